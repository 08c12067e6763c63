//! Scenario `beside`: one tenant has a backlog that saturates the carrier, another sends a few messages a second. These
//! must leave as if they were alone, but for a turn at the wire and a commit; and the backlog must use all that is left.

use std::thread;
use std::time::{Duration, Instant};

use super::figure::quantiles_ms;
use super::ground::{Ground, GroundOptions, Smsc};
use super::prometheus::COMMIT;
use super::result::ScenarioResult;
use crate::smsc::stats::Stats;

/// Sizes and limits.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Messages of the backlog
    #[arg(long, default_value_t = 10_000_000)]
    backlog: u64,
    /// Parts per second that the carrier permits
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Messages per second of the other tenant
    #[arg(long, default_value_t = 20)]
    few: u64,
    /// Seconds for which the other tenant sends alone, and then beside the backlog
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Both tenants send messages of class transactional, instead of marketing and otp
    #[arg(long)]
    same_class: bool,
    /// The backlog must use this share of what is left
    #[arg(long, default_value_t = 0.97)]
    used_min: f64,
    /// Make no claims about times and shares
    #[arg(long)]
    untimed: bool,
}

/// A carrier with a rate is sent nothing in the first second after a start.
const SILENCE: Duration = Duration::from_millis(1_500);
/// The tenants by number.
const MANY: u32 = 0;
const FEW: u32 = 1;
/// Recipients of the backlog, of the other tenant alone, and of the other tenant beside the backlog.
const TO: [u64; 3] = [4_915_110_000_000, 4_916_010_000_000, 4_917_010_000_000];

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let [bulk, few] = if options.same_class { ["transactional"; 2] } else { ["marketing", "otp"] };
    let mut ground = Ground::prepare(&options.ground)?;
    ground.use_tenants(2)?;
    ground.set_carrier("RATE", &options.rate.to_string());
    let mut smsc = ground.start_smsc(&["--watched-from", &TO[2].to_string()])?;
    let (mut stentor, _) = ground.start_stentor()?;
    thread::sleep(SILENCE);

    send_few(&mut ground, options, few, TO[1], options.backlog)?;
    let sent = options.few * options.seconds;
    let alone = ground.watch_delivered(&mut smsc, sent)?;

    ground.speak_as(MANY)?;
    let (count, classes, to) = (options.backlog.to_string(), format!("{bulk}=1"), TO[0].to_string());
    let words = ["--saturate", "--count", &count, "--classes", &classes, "--first-recipient", &to];
    let filled = ground.start_generator(&words)?.finish(Duration::from_secs(3_600))?;
    let is_busy = |stats: &Stats| stats.messages.distinct > sent + u64::from(options.rate);
    let before = ground.watch(&mut smsc, "the backlog", is_busy)?;
    let (begun, metrics) = (Instant::now(), ground.metrics());
    send_few(&mut ground, options, few, TO[2], options.backlog + sent)?;
    let at_the_end = smsc.stats(None)?;
    let seconds = begun.elapsed().as_secs_f64();
    let commits = ground.metrics().since(&metrics);
    let settled = settled(&mut smsc, sent)?;
    stentor.check_alive()?;

    let taken = (at_the_end.pace.parts - before.pace.parts).saturating_sub(at_the_end.messages.watched);
    let left = f64::from(options.rate) * seconds - settled.messages.watched as f64;
    let used = taken as f64 / left;
    let interval_us = 1_000_000 / u64::from(options.rate.max(1));
    let commit_us = (commits.quantile(COMMIT, 0.99).unwrap_or_default() * 1e6) as u64;
    let (idle, beside) = (alone.messages.age_us, settled.messages.watched_age_us);

    let mut result = ScenarioResult::new(if options.same_class { "beside --same-class" } else { "beside" });
    result.figure("backlog", filled.acknowledged_count());
    result.figure("alone, offered to submit p50/p99/p99.9/max", quantiles_ms(&idle));
    result.figure("beside it, the same", quantiles_ms(&beside));
    result.figure("commit p99, at most", format!("{:.2} ms", commit_us as f64 / 1e3));
    result.figure("the backlog's share of what is left", format!("{:.1} %", used * 100.0));
    result.claim("every message of the backlog was acknowledged", filled.is_complete());
    result.claim("every message beside it was submitted", settled.messages.watched == sent);
    result.claim("no message was submitted twice", settled.messages.repeats == 0);
    result.claim("the carrier was not asked for more than its rate", settled.pace.worst_second_proven <= options.rate);
    if !options.untimed {
        let limit = idle.p99 + 2 * interval_us + commit_us;
        let what = "p99 is at most that alone, and two intervals of the rate, and one commit";
        result.claim(format!("{what} ({:.1} ms)", limit as f64 / 1e3), beside.p99 <= limit);
        result.claim(format!("the backlog uses {:.0} % at least", options.used_min * 100.0), used >= options.used_min);
    }
    Ok(result)
}

/// The other tenant sends; its messages' marks begin at `mark`.
fn send_few(ground: &mut Ground, options: &Options, class: &str, to: u64, mark: u64) -> Result<(), String> {
    ground.speak_as(FEW)?;
    let (count, rate) = (options.few * options.seconds, options.few);
    let words = [
        "--batch=1".to_owned(),
        "--connections=4".to_owned(),
        format!("--count={count}"),
        format!("--rate={rate}"),
        format!("--classes={class}=1"),
        format!("--first-recipient={to}"),
        format!("--first-mark={mark}"),
    ];
    let report = ground.start_sender("few", &words)?.finish(Duration::from_secs(options.seconds) + ground.stall())?;
    if report.is_complete() { Ok(()) } else { Err("not every message of the few was acknowledged".to_owned()) }
}

/// The simulator's report once all messages beside the backlog came. Ends after a minute: the backlog alone would keep it
/// waiting for hours if one is missing.
fn settled(smsc: &mut Smsc, sent: u64) -> Result<Stats, String> {
    let begun = Instant::now();
    loop {
        let stats = smsc.stats(None)?;
        if stats.messages.watched >= sent || begun.elapsed() > Duration::from_secs(60) {
            return Ok(stats);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
