//! `loadtest smsc`: a carrier over TCP with real binds, windows, receipts and faults; [`stentor_core::sim::carrier`]
//! makes the decisions, and the report is JSON.

pub(crate) mod arrivals;
mod connection;
mod control;
mod pace;
mod queries;
mod receipts;
mod session;
mod simulator;
pub(crate) mod stats;
mod stream;
mod tally;
mod tls;
mod wheel;
mod wire;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use stentor_core::sim::carrier::{Behaviour, Delay};

use session::{Desk, Rules};
use simulator::{Settings, Simulator};

/// The simulator's command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// SMPP address; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:2775")]
    listen: SocketAddr,
    /// HTTP address for queries and changes (see the README); port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    #[command(flatten)]
    tls: tls::TlsOptions,
    /// The only system_id that may bind; by default any
    #[arg(long)]
    system_id: Option<String>,
    /// The only password that may bind; by default any
    #[arg(long)]
    password: Option<String>,
    /// Most unanswered submits per bind; more are throttled; 0 = no limit
    #[arg(long, default_value_t = 0)]
    window: u32,
    /// Most binds of an account at a time; 0 = no limit
    #[arg(long, default_value_t = 0)]
    binds_max: u32,
    /// Least milliseconds between two submits; a submit that comes sooner is throttled; 0 = no limit
    #[arg(long, value_name = "MS", default_value_t = 0)]
    spacing: u64,
    /// Most unacknowledged receipts per bind
    #[arg(long, default_value_t = 2_000)]
    receipt_window: usize,
    /// Behaviour as JSON (`{"throttled_ppm":1000}`) or `@FILE`; the options below override it
    #[arg(long, value_name = "JSON")]
    behaviour: Option<String>,
    /// The recipient's last four digits choose the outcome (…0000 to …0013)
    #[arg(long)]
    magic: bool,
    /// Most parts per second; more submits are throttled; 0 = no limit
    #[arg(long)]
    rate: Option<u32>,
    /// Delay of responses: milliseconds, or MIN-MAX
    #[arg(long, value_name = "MS", value_parser = parse_delay)]
    response_delay: Option<Delay>,
    /// Delay of receipts: milliseconds, or MIN-MAX
    #[arg(long, value_name = "MS", value_parser = parse_delay)]
    receipt_delay: Option<Delay>,
    /// Seed of every decision and of the message ids; by default the time of day, so that ids never repeat
    #[arg(long)]
    seed: Option<u64>,
    /// Check the order of messages per recipient
    #[arg(long)]
    order: bool,
    /// Report the ages of messages to this recipient and higher ones apart from all others
    #[arg(long, value_name = "NUMBER")]
    watched_from: Option<u64>,
    /// Keep when each part arrived, for `GET /arrivals`
    #[arg(long)]
    arrivals: bool,
    /// Write the final report to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The first line on stdout: where the simulator listens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub listening: SocketAddr,
    pub control: SocketAddr,
}

/// Runs the simulator until SIGTERM or SIGINT; prints [`Started`] first and [`stats::Stats`] last.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|error| format!("signals: {error}"))?;
    }
    let rules = Rules {
        system_id: options.system_id.clone(),
        password: options.password.clone(),
        window: options.window,
        binds_max: options.binds_max,
        spacing_ns: options.spacing * 1_000_000,
    };
    let desk =
        Desk::new(options.read_behaviour()?, options.seed.unwrap_or_else(seed_of_the_day), rules, options.watch());
    let settings =
        Settings { tls: options.tls.load()?, receipt_window: options.receipt_window, watch: options.watch() };
    let on = |address: SocketAddr| move |error: std::io::Error| format!("{address}: {error}");
    let mut simulator = Simulator::new(options.listen, settings, desk).map_err(on(options.listen))?;
    let control = TcpListener::bind(options.control).map_err(on(options.control))?;
    let started = Started {
        listening: simulator.local_addr().map_err(on(options.listen))?,
        control: control.local_addr().map_err(on(options.control))?,
    };
    println!("{}", serde_json::to_string(&started).map_err(|error| error.to_string())?);
    let waker = simulator.waker().map_err(|error| error.to_string())?;
    let commands = control::serve(control, waker)?;
    simulator.run(&stop, &commands).map_err(|error| error.to_string())?;
    let report = serde_json::to_string(&simulator.stats(None)).map_err(|error| error.to_string())?;
    println!("{report}");
    match &options.json {
        Some(path) => fs::write(path, report).map_err(|error| format!("{}: {error}", path.display())),
        None => Ok(()),
    }
}

impl Options {
    const fn watch(&self) -> tally::Watch {
        tally::Watch { order: self.order, from: self.watched_from, arrivals: self.arrivals }
    }

    fn read_behaviour(&self) -> Result<Behaviour, String> {
        let mut behaviour = match self.behaviour.as_deref() {
            None => Behaviour { receipt_delay: Delay::exactly(0), ..Behaviour::default() },
            Some(given) => {
                let text = match given.strip_prefix('@') {
                    Some(path) => fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
                    None => given.to_owned(),
                };
                serde_json::from_str(&text).map_err(|error| format!("behaviour: {error}"))?
            }
        };
        behaviour.magic |= self.magic;
        behaviour.rate_max = self.rate.unwrap_or(behaviour.rate_max);
        behaviour.response_delay = self.response_delay.unwrap_or(behaviour.response_delay);
        behaviour.receipt_delay = self.receipt_delay.unwrap_or(behaviour.receipt_delay);
        Ok(behaviour)
    }
}

fn parse_delay(text: &str) -> Result<Delay, String> {
    let us = |text: &str| text.trim().parse::<u64>().map(|ms| ms * 1_000).map_err(|error| error.to_string());
    match text.split_once('-') {
        Some((min, max)) => Ok(Delay { min_us: us(min)?, max_us: us(max)? }),
        None => us(text).map(Delay::exactly),
    }
}

fn seed_of_the_day() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}
