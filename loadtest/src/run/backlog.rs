//! Scenario `backlog`: the carrier is down while messages pile up, then the daemon is killed, and everything is delivered
//! when the carrier comes back. Neither memory nor the time of a start may grow with the queue.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::figure::{Value, mib, quantiles_ms};
use super::ground::{Ground, GroundOptions};
use super::means::{Need, demand};
use super::prometheus::{METRICS_AGE, SEGMENTS_READ};
use super::result::ScenarioResult;

/// Segments that may be read for 100 messages: their own, and one more.
const SEGMENT_READS_MAX: f64 = 2.0;

/// Sizes and limits.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Messages
    #[arg(long, default_value_t = 10_000_000)]
    pub count: u64,
    /// MiB of memory that may be resident
    #[arg(long, default_value_t = 600)]
    pub rss_max: u64,
    /// Seconds from the start after the kill until the daemon is ready
    #[arg(long, default_value_t = 1.0)]
    pub ready_max: f64,
    /// Send each request with an `Idempotency-Key`: the keys of its messages stay in memory for the length of the window
    #[arg(long)]
    pub keyed: bool,
    /// Empty the page cache after the kill (needs root), and bring the carrier back before the daemon starts: the first
    /// submit is then timed from the start
    #[arg(long)]
    pub cold: bool,
    /// Tenants whose messages they are, in turn for each request; 0: no tenants, and no authentication
    #[arg(long, default_value_t = 0)]
    pub tenants: u32,
}

/// Writes all data to the disk and drops it from memory.
fn forget_pages() -> Result<(), String> {
    rustix::fs::sync();
    let file = "/proc/sys/vm/drop_caches";
    std::fs::write(file, "3").map_err(|error| format!("{file}: {error}"))
}

/// Plays the scenario.
pub(crate) fn play(options: &Options) -> Result<ScenarioResult, String> {
    if options.cold {
        demand(&[Need::Root]);
    }
    let mut ground = Ground::prepare(&options.ground)?;
    ground.use_tenants(options.tenants)?;
    let (mut stentor, _) = ground.start_stentor()?;
    let count = options.count.to_string();
    let keyed: &[&str] = if options.keyed { &["--retry"] } else { &[] };
    let mut generator = ground.start_generator(&[&["--count", &count, "--saturate"], keyed].concat())?;
    let report = generator.finish(Duration::from_secs(24 * 3_600))?;
    stentor.check_alive()?;
    let filling = stentor.usage();
    stentor.signal(Signal::KILL);
    stentor.wait(ground.stall())?;

    let before = options.cold.then(|| forget_pages().and_then(|()| ground.start_smsc(&[]))).transpose()?;
    let launched = Instant::now();
    let (mut stentor, ready_s) = ground.start_stentor()?;
    let started = stentor.usage();
    let begun = if options.cold { launched } else { Instant::now() };
    let mut smsc = before.map_or_else(|| ground.start_smsc(&[]), Ok)?;
    ground.watch(&mut smsc, "the first submit", |stats| stats.submits.received > 0)?;
    let first_submit_s = begun.elapsed().as_secs_f64();
    ground.watch_delivered(&mut smsc, report.acknowledged_count())?;
    let seconds = begun.elapsed().as_secs_f64();
    stentor.check_alive()?;
    let draining = stentor.usage();
    thread::sleep(METRICS_AGE);
    let reads = ground.metrics().sum(SEGMENTS_READ).unwrap_or(f64::NAN) * 100.0 / options.count.max(1) as f64;
    let stats = smsc.stats(Some(options.count))?;

    let mut result = ScenarioResult::new("backlog");
    result.figure("queued", report.acknowledged_count());
    result.figure("accepted/s", Value::per_second(report.acknowledged_per_s));
    result.figure("request p50/p99/p99.9/max", quantiles_ms(&report.latency_us));
    result.figure("RSS, most while filling", mib(filling.rss_peak));
    result.figure("RSS after the start", mib(started.rss_peak));
    result.figure("RSS, most while draining", mib(draining.rss_peak));
    result.figure("ready after", Value::seconds(ready_s));
    let since = if options.cold {
        "first submit after the start, page cache cold"
    } else {
        "first submit after the carrier's return"
    };
    result.figure(since, Value::seconds(first_submit_s));
    result.figure("delivered/s", Value::per_second(options.count as f64 / seconds));
    result.figure("CPU per message while draining", Value::micros_per_message(draining.cpu_s, options.count));
    result.figure("segments read", format!("{reads:.2} per 100 messages"));
    result.per_second("accepted", report.per_second.iter().map(|messages| *messages as f64));
    result.per_second("submitted", stats.pace.per_second.iter().map(|parts| f64::from(*parts)));
    let rss_peak = filling.rss_peak.max(draining.rss_peak);
    result.claim("every message was accepted", report.is_complete());
    result.claim(format!("RSS ≤ {} MiB", options.rss_max), rss_peak <= options.rss_max << 20);
    result.claim(format!("ready again in {} s", options.ready_max), ready_s <= options.ready_max);
    let claim = format!("segments are read at most {SEGMENT_READS_MAX} times per 100 messages");
    result.claim(claim, reads <= SEGMENT_READS_MAX);
    if options.cold {
        let claim = format!("the first submit within {} s of the start", options.ready_max);
        result.claim(claim, first_submit_s <= options.ready_max);
    }
    result.claim("every message was submitted", stats.messages.missing == Some(0));
    result.claim("no message was submitted twice", stats.messages.repeats == 0);
    result.claim("every receipt was taken", stats.receipts.acknowledged == stats.receipts.planned);
    Ok(result)
}
