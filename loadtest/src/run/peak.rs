//! Scenario `peak`: a burst far above the carrier's rate. All of it is answered, none of it lost; the carrier sees no
//! second with more parts than agreed, not even around a kill, and hardly fewer.

use std::time::Duration;

use rustix::process::Signal;

use super::figure::{Value, quantiles_ms};
use super::ground::{Ground, GroundOptions};
use super::result::ScenarioResult;
use crate::smsc::stats::Stats;

/// Sizes and limits.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Messages, all offered within one second
    #[arg(long, default_value_t = 500_000)]
    pub count: u64,
    /// Parts per second that the carrier permits
    #[arg(long, default_value_t = 5_000)]
    pub rate: u32,
    /// The mean must reach this share of the rate
    #[arg(long, default_value_t = 0.98)]
    pub mean_min: f64,
    /// Kill the daemon in the middle and start it again
    #[arg(long)]
    pub kill: bool,
}

/// Plays the scenario.
pub(crate) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let mut ground = Ground::prepare(&options.ground)?;
    ground.set_carrier("RATE", &options.rate.to_string());
    let mut smsc = ground.start_smsc(&["--order"])?;
    let (mut stentor, _) = ground.start_stentor()?;
    let count = options.count.to_string();
    let mut generator = ground.start_generator(&["--count", &count, "--rate", &count, "--retry"])?;
    let report = generator.finish(Duration::from_secs(24 * 3_600))?;
    stentor.check_alive()?;
    if options.kill {
        let middle = options.count / 2;
        ground.watch(&mut smsc, "the middle", |stats| stats.messages.distinct >= middle)?;
        stentor.signal(Signal::KILL);
        stentor.wait(ground.stall())?;
        stentor = ground.start_stentor()?.0;
    }
    ground.watch_delivered(&mut smsc, report.acknowledged_count())?;
    stentor.check_alive()?;
    let stats = smsc.stats(Some(options.count))?;

    let mut result = ScenarioResult::new(if options.kill { "peak --kill" } else { "peak" });
    result.figure("offered in one second", report.offered);
    result.figure("acknowledged", report.acknowledged_count());
    result.figure("answered within", Value::seconds(report.seconds));
    result.figure("request p50/p99/p99.9/max", quantiles_ms(&report.latency_us));
    result.figure("submitted again", stats.messages.repeats);
    result.per_second("accepted", report.per_second.iter().map(|messages| *messages as f64));
    result.per_second("submitted", stats.pace.per_second.iter().map(|parts| f64::from(*parts)));
    tell_pace(&mut result, options, &stats);
    result.claim("every message was answered and accepted", report.is_complete());
    result.claim("every message was submitted", stats.messages.missing == Some(0));
    result.claim("the carrier never throttled", stats.submits.throttled == 0);
    result.claim("every receipt was taken", stats.receipts.acknowledged == stats.receipts.planned);
    if !options.kill {
        result.claim("no message was submitted twice", stats.messages.repeats == 0);
    }
    Ok(result)
}

fn tell_pace(result: &mut ScenarioResult, options: &Options, stats: &Stats) {
    let pace = &stats.pace;
    result.figure("mean parts/s", Value::per_second(pace.mean_per_s));
    result.figure("worst sliding second, seen", pace.worst_second_seen);
    result.figure("worst sliding second, proven", pace.worst_second_proven);
    result.aside("the simulator's jitter p50/p99/p99.9/max", quantiles_ms(&pace.jitter_us));
    let rate = options.rate;
    result.claim(format!("no sliding second above {rate} parts"), pace.worst_second_proven <= rate);
    if !options.kill {
        let floor = f64::from(rate) * options.mean_min;
        result.claim(format!("{floor:.0} parts/s in the mean at least"), pace.mean_per_s >= floor);
    }
}
