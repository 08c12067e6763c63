//! Scenario `restart`: the daemon is stopped or killed in the middle and started again, while the generator retries
//! every unanswered batch with its key. Nothing acknowledged may be lost; messages that come twice must have been in
//! doubt.

use std::time::Duration;

use rustix::process::Signal;

use super::figure::{Value, quantiles_ms};
use super::ground::{Ground, GroundOptions};
use super::process::Process;
use super::prometheus::IN_DOUBT;
use super::result::ScenarioResult;
use crate::send::report::Report;
use crate::smsc::stats::Stats;

/// Longest time of a stop by SIGTERM.
const TERM_MAX: Duration = Duration::from_secs(10);

/// How the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Ending {
    /// It drains and exits by itself.
    Term,
    /// It is killed without a chance to clean up.
    Kill,
}

/// Sizes and times.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Messages
    #[arg(long, default_value_t = 1_000_000)]
    pub count: u64,
    /// Messages offered per second: slow enough that requests and submits are both under way when the daemon is stopped
    #[arg(long, default_value_t = 50_000.0)]
    pub rate: f64,
    /// TERM or KILL
    #[arg(long, default_value = "TERM", ignore_case = true)]
    pub signal: Ending,
    /// How often, spread evenly over the messages
    #[arg(long, default_value_t = 1)]
    pub rounds: u64,
    /// Submits that may be in doubt after each kill: windows and prepared queues of all binds together, and answers not recorded yet
    #[arg(long, default_value_t = 10_000)]
    pub in_doubt_max: u64,
}

/// Plays the scenario.
pub(crate) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let mut ground = Ground::prepare(&options.ground)?;
    let mut smsc = ground.start_smsc(&["--order"])?;
    let (mut stentor, _) = ground.start_stentor()?;
    let count = options.count.to_string();
    let rate = options.rate.to_string();
    let mut generator = ground.start_generator(&["--count", &count, "--rate", &rate, "--retry"])?;
    let mut result = ScenarioResult::new(match options.signal {
        Ending::Term => "restart --signal TERM",
        Ending::Kill => "restart --signal KILL",
    });
    let (mut in_doubt, mut clean) = (0.0, true);
    for round in 1..=options.rounds {
        let threshold = options.count * round / (options.rounds + 1);
        ground.watch(&mut smsc, "the moment to stop", |stats| stats.messages.distinct >= threshold)?;
        stentor.check_alive()?;
        clean &= end(&mut stentor, options.signal)?;
        let (again, ready_s) = ground.start_stentor()?;
        result.figure("ready again after", Value::seconds(ready_s));
        stentor = again;
        in_doubt += ground.metrics().sum(IN_DOUBT).unwrap_or(0.0);
    }
    let report = generator.finish(Duration::from_secs(24 * 3_600))?;
    ground.watch_delivered(&mut smsc, report.acknowledged_count())?;
    stentor.check_alive()?;
    let stats = smsc.stats(Some(options.count))?;
    let lost = count_lost(&smsc.missing(options.count, usize::MAX)?, &report);

    tell(&mut result, &report, &stats, lost, in_doubt as u64);
    let repeats = stats.messages.repeats;
    match options.signal {
        Ending::Term => {
            result.claim(format!("a clean end within {} s", TERM_MAX.as_secs()), clean);
            result.claim("no message was submitted twice", repeats == 0);
            result.claim("nothing is in doubt", in_doubt == 0.0);
        }
        Ending::Kill => {
            result.claim("no more came twice than was in doubt", repeats <= in_doubt as u64);
            let max = options.in_doubt_max * options.rounds;
            result.claim(format!("no more than {max} were in doubt"), in_doubt as u64 <= max);
        }
    }
    Ok(result)
}

fn end(stentor: &mut Process, ending: Ending) -> Result<bool, String> {
    match ending {
        Ending::Term => {
            stentor.signal(Signal::TERM);
            Ok(stentor.wait(TERM_MAX)?.success())
        }
        Ending::Kill => {
            stentor.signal(Signal::KILL);
            stentor.wait(TERM_MAX).map(|_| true)
        }
    }
}

fn count_lost(missing: &[u64], report: &Report) -> u64 {
    missing.iter().filter(|serial| report.is_acknowledged(**serial)).count() as u64
}

fn tell(result: &mut ScenarioResult, report: &Report, stats: &Stats, lost: u64, in_doubt: u64) {
    result.figure("acknowledged", report.acknowledged_count());
    result.figure("of them known already when sent again", report.duplicates);
    result.figure("batches sent again", report.retries);
    result.figure("submitted", stats.submits.taken);
    result.figure("submitted again", stats.messages.repeats);
    result.figure("in doubt", in_doubt);
    result.figure("overtaken", stats.messages.overtaken);
    result.figure("lost", lost);
    result.figure("request p50/p99/p99.9/max", quantiles_ms(&report.latency_us));
    result.per_second("accepted", report.per_second.iter().map(|messages| *messages as f64));
    result.per_second("submitted", stats.pace.per_second.iter().map(|parts| f64::from(*parts)));
    result.claim("every message was acknowledged in the end", report.is_complete());
    result.claim("nothing acknowledged was lost", lost == 0);
    result.claim("every receipt was taken", stats.receipts.acknowledged == stats.receipts.planned);
}
