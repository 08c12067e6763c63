//! Scenario `limits`: what a `[[limit]]` promises, judged at the instants at which the carrier received each part.
//! Three parts: limits of every kind at once; many messages that wait for many counters; and limits of every kind while
//! the daemon is killed.
//!
//! An arrival is known to lie between two instants, some milliseconds apart (`smsc/arrivals.rs`). A span holds too much
//! only if its parts certainly arrived within less than it; so no other allowance is made.

mod carrier;
mod client;
mod every_kind;
mod judge;
mod many;
mod plan;
mod steady;

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Deserialize;

use super::ground::{Ground, GroundOptions};
use super::process::Process;
use super::prometheus::METRICS_AGE;
use super::result::ScenarioResult;

const TICK: Duration = Duration::from_millis(50);
/// How long a reload, or anything else that is waited for, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer to `GET /v1/limits`.
#[derive(Debug, Deserialize)]
struct Shown {
    limits: Vec<ShownCounter>,
}

#[derive(Debug, Deserialize)]
struct ShownCounter {
    name: String,
    used: u64,
    allowed: u64,
    parked: u64,
}

/// One part of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Limits of every kind at once
    Kinds,
    /// Many messages that wait for many counters, a kill among them
    Many,
    /// Limits of every kind, and kills while they are spent
    Restart,
}

/// Sizes and times.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Only these parts; by default all, one after the other
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Seconds for which the limits of every kind are kept busy
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seconds: the span of the long ones among them
    #[arg(long, default_value_t = 10)]
    span: u64,
    /// How often the daemon is killed among them, in part `restart`
    #[arg(long, default_value_t = 3)]
    kills: u64,
    /// Messages that wait for many counters
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// The counters
    #[arg(long, default_value_t = 100)]
    counters: u64,
    /// Messages that each counter lets pass …
    #[arg(long, default_value_t = 10)]
    amount: u64,
    /// … in this many seconds
    #[arg(long, default_value_t = 60)]
    every: u64,
    /// How often they wake before the daemon is killed
    #[arg(long, default_value_t = 2)]
    wakes: u64,
    /// Seconds in which nothing wakes and the daemon's CPU time is measured
    #[arg(long, default_value_t = 10)]
    idle: u64,
    /// Part of a long limit that must be used
    #[arg(long, default_value_t = 0.95)]
    used_min: f64,
    /// Milliseconds: the p99 from the instant at which a counter has room again to the next message on the wire
    #[arg(long, default_value_t = 30)]
    wake_ms: u64,
    /// How often the daemon's process is stopped in the middle of a wake, for nearly half of `--every`
    #[arg(long, default_value_t = 0)]
    stops: u64,
    /// Percent of a core by which the idle daemon may use more while messages wait
    #[arg(long, default_value_t = 1.0)]
    idle_percent: f64,
    /// Make no claims about times and CPU
    #[arg(long)]
    untimed: bool,
}

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let parts = [Part::Kinds, Part::Many, Part::Restart];
    let mut result = ScenarioResult::new("limits");
    for part in parts.into_iter().filter(|part| options.only.is_empty() || options.only.contains(part)) {
        match part {
            Part::Kinds => every_kind::play(options, &mut result, 0)?,
            Part::Many => many::play(options, &mut result)?,
            Part::Restart => every_kind::play(options, &mut result, options.kills)?,
        }
    }
    Ok(result)
}

/// What the daemon says of its limits.
fn shown(ground: &Ground) -> Result<Shown, String> {
    let (status, body) = ground.get("/v1/limits", PATIENCE)?;
    serde_json::from_slice(&body).map_err(|error| format!("limits: HTTP {status}: {error}"))
}

/// Ends the daemon without a chance to clean up and starts it again; gives how long the start took, in seconds.
fn kill_and_start(ground: &mut Ground, stentor: &mut Process) -> Result<f64, String> {
    stentor.check_alive()?;
    stentor.signal(Signal::KILL);
    stentor.wait(ground.stall())?;
    let (again, ready_s) = ground.start_stentor()?;
    *stentor = again;
    Ok(ready_s)
}

/// Changes the configuration, and waits until the daemon has applied it.
fn reload(ground: &mut Ground, stentor: &mut Process, change: impl FnOnce(String) -> String) -> Result<(), String> {
    ground.change_config(change)?;
    let reloads = |process: &Process| process.output().matches("reload").count();
    let (begun, before) = (Instant::now(), reloads(stentor));
    stentor.signal(Signal::HUP);
    while reloads(stentor) == before {
        stentor.check_alive()?;
        if begun.elapsed() > PATIENCE {
            return Err(stentor.failure("no word about the reload"));
        }
        thread::sleep(TICK);
    }
    if stentor.output().contains("reload refused") { Err(stentor.failure("refuses the reload")) } else { Ok(()) }
}
