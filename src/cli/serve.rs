//! `stentor serve`: the daemon in the foreground, as a service manager expects it.
//! Knows what is printed and when; `runtime` runs and ends the daemon.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;

use super::exit::{Ended, Exit, Failure};
use super::log;
use crate::config::Config;
use crate::runtime::daemon::{Daemon, Reload};
use crate::{
    host::logging,
    runtime::{signals, warnings},
};

/// The arguments of `stentor serve`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file; each key can also be set by the environment, as config/stentor.toml explains
    #[arg(long, value_name = "FILE", env = "STENTOR_CONFIG")]
    config: PathBuf,
}

/// Prints the addresses in one line once the daemon is ready, and returns when it has stopped.
pub(super) fn run(typed: &Arguments) -> Ended {
    let config = Config::load(&typed.config).map_err(|problems| Failure::new(Exit::CONFIG, problems))?;
    // Threads inherit the mask: a signal that finds a thread without it would end the process.
    signals::block().map_err(|error| Failure::new(Exit::OS, format!("cannot block signals: {error}")))?;
    let level = log::start(&config.log).map_err(|error| Failure::new(Exit::OS, format!("log: {error}")))?;
    tell(&typed.config, &config);
    if let Some(warning) = warnings::of_place(&config.node.data_dir) {
        tracing::warn!("{warning}");
    }
    let tls = config.http.tls.is_some();
    let daemon = Daemon::start(config, None).map_err(|error| Failure::new(Exit(error.exit_code()), error))?;
    say(ready_line(daemon.addresses(), tls));
    let file = typed.config.clone();
    let reload = Reload {
        load: Box::new(move || Config::load(&file)),
        applied: Box::new(move |config| level.set(config.log.level)),
    };
    Ok(Exit(daemon.join(Some(&reload), &stopping)))
}

/// Goes to the log, or, if the log is silent, to the person who pressed Ctrl-C.
fn stopping(what: &str) {
    if tracing::enabled!(tracing::Level::INFO) {
        tracing::info!("{what}");
    } else if io::stderr().is_terminal() {
        logging::last_words(&format!("stentor: {what}"));
    }
}

/// The first lines of a log: what is started, with which configuration. A reason why the start fails comes after them.
fn tell(file: &Path, config: &Config) {
    let (version, process) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let build = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    tracing::info!(version, build, process, "stentor {version}, {build}, process {process}");
    let [carriers, routes, tenants] = [config.carriers.len(), config.routes.len(), config.tenants.len()];
    let file = file.display();
    tracing::info!(
        %file,
        carriers,
        routes,
        tenants,
        "configuration {file}: carriers {carriers}, routes {routes}, tenants {tenants}"
    );
}

/// A service without a stdout still serves, and so does one whose stdout is never read: this thread may wait for ever.
fn say(line: String) {
    let _ = thread::Builder::new().name("ready".to_owned()).spawn(move || writeln!(io::stdout(), "{line}"));
}

fn ready_line(addresses: &[SocketAddr], tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let urls: Vec<_> = addresses.iter().map(|address| format!("{scheme}://{address}/")).collect();
    format!("stentor is ready on {}", urls.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_can_be_opened() {
        let addresses = ["127.0.0.1:8080", "[::1]:8080"].map(|address| address.parse().expect("address"));
        let line = "stentor is ready on http://127.0.0.1:8080/ http://[::1]:8080/";
        assert_eq!(ready_line(&addresses, false), line);
        assert_eq!(ready_line(&addresses[..1], true), "stentor is ready on https://127.0.0.1:8080/");
    }
}
