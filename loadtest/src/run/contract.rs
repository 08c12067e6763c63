//! Scenario `contract`: a carrier that does nothing wrong but enforces its contract to the letter. It throttles a part
//! that comes a moment sooner than its rate permits; it accepts one bind where two are configured; it unbinds sessions
//! whose window is full.

use std::thread;
use std::time::{Duration, Instant};

use super::ground::{Ground, GroundOptions};
use super::prometheus::{DOUBTS, IN_DOUBT};
use super::result::ScenarioResult;

/// What the carrier is strict about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Clause {
    /// No submit may come sooner than 20 ms after the one before
    Spacing,
    /// One bind, where the configuration has two
    Bind,
    /// Sessions are unbound by the carrier, with 100 submits unanswered
    Goodbye,
}

/// Sizes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// What the carrier is strict about
    #[arg(long, value_enum)]
    clause: Clause,
    /// Seconds for which the carrier with strict spacing is watched
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Share of the contract's rate that must be used
    #[arg(long, default_value_t = 0.9)]
    used_min: f64,
}

const SPACING_MS: u64 = 20;
const WINDOW: u64 = 100;

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    match options.clause {
        Clause::Spacing => spacing(options),
        Clause::Bind => bind(options),
        Clause::Goodbye => goodbye(options),
    }
}

fn spacing(options: &Options) -> Result<ScenarioResult, String> {
    let mut ground = Ground::prepare(&options.ground)?;
    let per_second = 1_000 / SPACING_MS;
    ground.set_carrier("RATE", &per_second.to_string());
    let mut smsc = ground.start_smsc(&["--spacing", &SPACING_MS.to_string()])?;
    let (mut stentor, _) = ground.start_stentor()?;
    let count = (per_second * (options.seconds + 10)).to_string();
    ground.start_generator(&["--count", &count, "--rate", &count])?.finish(ground.stall())?;
    ground.watch(&mut smsc, "the first submit", |stats| stats.submits.taken > 0)?;
    let (begun, before) = (Instant::now(), smsc.stats(None)?);
    thread::sleep(Duration::from_secs(options.seconds));
    let after = smsc.stats(None)?;
    stentor.check_alive()?;

    let taken = (after.submits.taken - before.submits.taken) as f64 / begun.elapsed().as_secs_f64();
    let used = taken / per_second as f64;
    let mut result = ScenarioResult::new("contract --clause spacing");
    result.figure("by contract", format!("{per_second} a second, {SPACING_MS} ms apart"));
    result.figure("taken", format!("{taken:.1} a second, {:.1} %", used * 100.0));
    result.figure("throttled", after.submits.throttled);
    result.claim(
        format!("{:.0} % of the contract's rate are used at least", options.used_min * 100.0),
        used >= options.used_min,
    );
    result.claim("nothing came twice", after.messages.repeats == 0);
    Ok(result)
}

fn bind(options: &Options) -> Result<ScenarioResult, String> {
    const COUNT: u64 = 200;
    let mut ground = Ground::prepare(&options.ground)?;
    ground.set_carrier("BINDS", "2");
    let mut smsc = ground.start_smsc(&["--binds-max", "1"])?;
    let (mut stentor, _) = ground.start_stentor()?;
    let report = ground
        .start_generator(&["--count", &COUNT.to_string(), "--rate", &COUNT.to_string()])?
        .finish(ground.stall())?;
    let stats = ground.watch_delivered(&mut smsc, COUNT)?;
    stentor.check_alive()?;

    let mut result = ScenarioResult::new("contract --clause bind");
    result.figure("acknowledged", report.acknowledged_count());
    result.figure("submitted", stats.submits.taken);
    result.figure("receipts", stats.receipts.acknowledged);
    result.figure("binds refused", stats.connections.binds_refused);
    result.claim("a bind was refused", stats.connections.binds_refused > 0);
    result.claim(format!("{COUNT} of {COUNT} were delivered"), stats.receipts.acknowledged == COUNT);
    result.claim("nothing came twice", stats.messages.repeats == 0);
    Ok(result)
}

fn goodbye(options: &Options) -> Result<ScenarioResult, String> {
    const COUNT: u64 = 1_000;
    let mut ground = Ground::prepare(&options.ground)?;
    ground.set_carrier("BINDS", "1");
    ground.set_carrier("WINDOW", &WINDOW.to_string());
    let mut smsc = ground.start_smsc(&["--response-delay", "500"])?;
    let (mut stentor, _) = ground.start_stentor()?;
    let report = ground
        .start_generator(&["--count", &COUNT.to_string(), "--rate", &COUNT.to_string()])?
        .finish(ground.stall())?;
    // Answers take so long that the window is soon full again.
    let full = ground.watch(&mut smsc, "full windows", |stats| stats.submits.received >= 3 * WINDOW)?;
    smsc.say_goodbye()?;
    let stats = ground.watch_delivered(&mut smsc, COUNT)?;
    stentor.check_alive()?;
    let metrics = ground.metrics();
    let (in_doubt, doubts) = (metrics.sum(IN_DOUBT).unwrap_or(0.0), metrics.sum(DOUBTS).unwrap_or(0.0));

    let mut result = ScenarioResult::new("contract --clause goodbye");
    result.figure("acknowledged", report.acknowledged_count());
    result.figure("submitted before", full.submits.received);
    result.figure("submits", stats.submits.received);
    result.figure(
        "unanswered at a time, at most",
        stats.binds.iter().map(|bind| bind.outstanding_max).max().unwrap_or(0),
    );
    result.figure("sessions", stats.connections.bound);
    result.figure("in doubt", in_doubt);
    result.claim("a session was ended and another begun", stats.connections.bound > 1);
    result.claim("nothing was in doubt", in_doubt + doubts == 0.0);
    result.claim("nothing came twice", stats.messages.repeats == 0 && stats.submits.received == COUNT);
    Ok(result)
}
