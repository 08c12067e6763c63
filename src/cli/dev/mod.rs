//! `stentor dev`: everything in one process, nothing to configure.
//!
//! A simulated carrier on a loopback port (`smsc`, `connection`, `exchange`), its inbox with a page that shows the messages that
//! "arrived" and lets phones write (`inbox`, `handset`, `preview`, `pages`), switches that make it misbehave (`chaos`), its memory
//! across restarts (`journal`), and the real daemon in front of it, with the configuration that `settings` writes. The daemon knows
//! nothing of all this except the pages that it is given: what is tried here is what runs in production.

mod chaos;
mod connection;
mod exchange;
mod handset;
mod hex;
mod inbox;
mod journal;
mod pages;
mod preview;
mod settings;
mod smsc;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use self::exchange::Exchange;
use self::journal::Journal;
use self::settings::Place;
use super::exit::{Ended, Exit, Failure};
use super::log;
use crate::host::clock::Clock;
use crate::runtime::daemon::Daemon;
use crate::{host::logging, runtime::signals};

/// The arguments of `stentor dev`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// HTTP address; if its port is taken, the next free one is used
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where messages are kept between runs
    #[arg(long, value_name = "DIR", default_value = "./dev-data")]
    data: PathBuf,
    /// Delete what earlier runs kept there
    #[arg(long)]
    fresh: bool,
}

/// Prints how to use it, the inbox's address last, and returns when the daemon has stopped.
pub(super) fn run(typed: &Arguments) -> Ended {
    let refused = |what: String| Failure::new(Exit::CONFIG, what);
    let place = Place::new(&typed.data);
    place.prepare(typed.fresh).map_err(refused)?;
    let listen = settings::free_address(typed.listen).map_err(refused)?;
    // Before the carrier's threads start: a signal that finds a thread that does not block it would end the process.
    signals::block().map_err(|error| refused(format!("cannot block signals: {error}")))?;
    let exchange = exchange(&place).map_err(refused)?;
    let carrier = smsc::start(Arc::clone(&exchange))
        .map_err(|error| refused(format!("the simulated carrier cannot listen: {error}")))?;
    let text = settings::text(listen, carrier, &place.store());
    let config = settings::config(&text).map_err(|problems| refused(problems.to_string()))?;
    log::start(&config.log).map_err(|error| refused(format!("log: {error}")))?;
    let pages = pages::pages(exchange).map_err(|error| Failure::new(Exit::OS, format!("random numbers: {error}")))?;
    let daemon = Daemon::start(config, Some(pages)).map_err(|error| Failure::new(Exit(error.exit_code()), error))?;
    let address = daemon.addresses().first().copied().unwrap_or(listen);
    // With stdout closed the sandbox still runs.
    let _ = greet(&mut io::stdout(), address, typed);
    Ok(Exit(daemon.join(None, &|what| logging::last_words(&format!("stentor: {what}")))))
}

/// The journal belongs to the sandbox whose daemon holds the lock, so a second sandbox must not get as far as writing
/// to it: its daemon will refuse to start, but only later.
fn exchange(place: &Place) -> Result<Arc<Exchange>, String> {
    let clock = Clock::start();
    let memory = Journal::open(&place.journal()).map_err(|error| format!("{}: {error}", place.journal().display()))?;
    let now = clock.now();
    Ok(Arc::new(Exchange::new(clock, now.wall.0, Some(memory))))
}

fn greet(out: &mut dyn Write, address: SocketAddr, typed: &Arguments) -> io::Result<()> {
    if address != typed.listen {
        writeln!(out, "{} is taken; listening on {address}.", typed.listen)?;
    }
    writeln!(out, "A whole Stentor with a simulated carrier behind it; no message leaves this machine.")?;
    writeln!(out, "Messages are kept in {} (--fresh forgets them); Ctrl-C stops.", typed.data.display())?;
    writeln!(out, "Send one:\n")?;
    writeln!(out, "  curl http://{address}/v1/messages -H 'content-type: application/json' \\")?;
    writeln!(out, "    -d '{{\"to\": \"+4915112340000\", \"body\": \"Hello from Stentor\"}}'\n")?;
    writeln!(out, "Inbox: http://{address}/")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_last_line() {
        let typed =
            Arguments { listen: "127.0.0.1:8080".parse().expect("address"), data: "./dev-data".into(), fresh: false };
        let mut out = Vec::new();
        greet(&mut out, "127.0.0.1:8081".parse().expect("address"), &typed).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.lines().last(), Some("Inbox: http://127.0.0.1:8081/"));
        assert!(text.starts_with("127.0.0.1:8080 is taken; listening on 127.0.0.1:8081.\n"), "{text}");
        assert!(text.contains("curl http://127.0.0.1:8081/v1/messages"));
    }
}
