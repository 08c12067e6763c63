//! Scenario `soak`: a share of what the machine can do end to end, for long, while the wall clock runs fast, so that
//! retention passes again and again. Memory, descriptors and disk must stay as they are once the first retention has passed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::figure::{Value, mib, quantiles_ms};
use super::ground::{Ground, GroundOptions};
use super::means::{Need, demand};
use super::process::Process;
use super::prometheus::{FDS, RESIDENT};
use super::result::ScenarioResult;

const TICK: Duration = Duration::from_secs(1);
/// A day: timeout where the wait is limited in other ways.
const LONG: Duration = Duration::from_secs(24 * 3_600);
/// Messages with which the machine is measured first: enough that it has to work from the backlog, and could do so for long.
const MEASURED: u64 = 10_000_000;
/// Memory may grow by this, and by a tenth: allocators vary.
const BREATH: u64 = 16 << 20;
/// Tables that may be open at the end but not before.
const FDS_BREATH: u64 = 16;
/// Disk space beside the live data, for each shard (journals, tables that wait to be merged).
const DISK_PER_SHARD: u64 = 256 << 20;
const DISK_FACTOR: u64 = 3;

/// Sizes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Duration in minutes
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Share of what the machine can do end to end
    #[arg(long, default_value_t = 0.8)]
    share: f64,
    /// Messages per second, instead of measuring what the machine can do
    #[arg(long)]
    rate: Option<f64>,
    /// How many times faster than real time the daemon's wall clock runs: with 60 an hour of retention is a minute
    #[arg(long, default_value_t = 60)]
    clock: u32,
    /// Milliseconds until a receipt comes
    #[arg(long, default_value = "100-2000")]
    receipt_delay: String,
    /// Number of shards
    #[arg(long, default_value_t = 2)]
    shards: u64,
}

/// One sample of the daemon.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    resident: u64,
    fds: u64,
    disk: u64,
}

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    demand(&[Need::Tool("faketime", "faketime")]);
    let mut result = ScenarioResult::new("soak");
    let rate = match options.rate {
        Some(rate) => rate,
        None => {
            let most = measure(options)?;
            result.figure("end to end/s at most", Value::per_second(most));
            most * options.share
        }
    };
    let mut ground = prepare(options)?;
    let mut smsc = ground.start_smsc(&["--receipt-delay", &options.receipt_delay])?;
    let (mut stentor, _) = ground.start_stentor()?;
    let count = (rate * options.minutes * 60.0) as u64;
    let (count_text, rate_text) = (count.to_string(), rate.to_string());
    let mut generator = ground.start_generator(&["--count", &count_text, "--rate", &rate_text])?;
    let looks = watch(&ground, &mut stentor, &mut generator.process)?;
    // Live data is what a backup contains: taken while the daemon is still in the state under load.
    let at_end = disk_used(&ground.data());
    let live = live_data(&ground)?;
    let report = generator.finish(LONG)?;
    ground.watch_delivered(&mut smsc, report.acknowledged_count())?;
    stentor.check_alive()?;

    let stats = smsc.stats(Some(count))?;
    result.figure("offered/s", Value::per_second(rate));
    result.figure("minutes", options.minutes);
    result.figure("acknowledged", report.acknowledged_count());
    result.figure("delivered", stats.receipts.acknowledged);
    result.figure("request p50/p99/p99.9/max", quantiles_ms(&report.latency_us));
    result.figure("offer to submit p50/p99/p99.9/max", quantiles_ms(&stats.messages.age_us));
    result.claim("every message was accepted", report.is_complete());
    result.claim("every message was submitted", stats.messages.missing == Some(0));
    result.claim("no message was submitted twice", stats.messages.repeats == 0);
    result.claim("every receipt was taken", stats.receipts.acknowledged == stats.receipts.planned);
    judge(&mut result, options, &looks, at_end, live);
    Ok(result)
}

fn prepare(options: &Options) -> Result<Ground, String> {
    let mut ground = Ground::prepare(&options.ground)?;
    ground.fake_wall_clock()?;
    ground.set_variable("FAKETIME", &format!("+0 x{}", options.clock));
    ground.set("DEFAULTS__RETENTION", "1h");
    ground.set("NODE__SHARDS", &options.shards.to_string());
    Ok(ground)
}

/// What the machine can do end to end, in messages per second, in the same setting.
fn measure(options: &Options) -> Result<f64, String> {
    let mut ground = prepare(options)?;
    let mut smsc = ground.start_smsc(&["--receipt-delay", &options.receipt_delay])?;
    let (_stentor, _) = ground.start_stentor()?;
    let begun = Instant::now();
    let mut generator = ground.start_generator(&["--count", &MEASURED.to_string(), "--saturate"])?;
    let report = generator.finish(LONG)?;
    ground.watch_delivered(&mut smsc, report.acknowledged_count())?;
    Ok(MEASURED as f64 / begun.elapsed().as_secs_f64())
}

/// Samples every second until the generator has ended.
fn watch(ground: &Ground, stentor: &mut Process, generator: &mut Process) -> Result<Vec<Look>, String> {
    let mut looks = Vec::new();
    while generator.is_alive() {
        stentor.check_alive()?;
        let metrics = ground.metrics();
        let gauge = |name: &str| metrics.sum(name).unwrap_or(0.0) as u64;
        let look = Look { resident: gauge(RESIDENT), fds: gauge(FDS), disk: disk_used(&ground.data()) };
        if look.resident > 0 {
            looks.push(look);
        }
        thread::sleep(TICK);
    }
    Ok(looks)
}

/// Disk space of a data directory, without the ballast, which is reserved room and not data; files that vanish
/// meanwhile are not counted.
fn disk_used(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name() != "ballast")
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => disk_used(&entry.path()),
            Ok(about) => about.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// Bytes of all keys and values in a backup taken now, as the store keeps them.
fn live_data(ground: &Ground) -> Result<u64, String> {
    let file = ground.path().join("backup").display().to_string();
    let told = |arguments: &[&str]| {
        let output = ground.stentor_command(arguments)?.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
    };
    told(&["backup", &file])?;
    let checked: serde_json::Value =
        serde_json::from_slice(&told(&["restore", &file, "--check", "--json"])?).map_err(|error| error.to_string())?;
    checked["plain_bytes"].as_u64().ok_or_else(|| format!("{file}: {checked}"))
}

fn judge(result: &mut ScenarioResult, options: &Options, looks: &[Look], at_end: u64, live: u64) {
    let quarter = looks.len() / 4;
    let (second, last) = (&looks[quarter..2 * quarter], &looks[looks.len() - quarter..]);
    let median = |looks: &[Look], of: fn(&Look) -> u64| {
        let mut values: Vec<u64> = looks.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    let most = |of: fn(&Look) -> u64| looks.iter().map(of).max().unwrap_or(0);
    let resident = [second, last].map(|looks| median(looks, |look| look.resident));
    let fds = [second, last].map(|looks| median(looks, |look| look.fds));
    let disk = most(|look| look.disk);
    let four = |of: fn(&Look) -> u64, show: fn(u64) -> String| {
        looks.chunks(quarter.max(1)).take(4).map(|looks| show(median(looks, of))).collect::<Vec<_>>().join(", ")
    };
    result.figure("RSS, median of each quarter", four(|look| look.resident, |bytes| mib(bytes).to_string()));
    result.figure("RSS, most", mib(most(|look| look.resident)));
    result.figure("descriptors, median of each quarter", four(|look| look.fds, |fds| fds.to_string()));
    result.figure("disk, median of each quarter", four(|look| look.disk, |bytes| mib(bytes).to_string()));
    result.figure("disk, most", mib(disk));
    result.figure("disk at the end, and live data then", format!("{}, {}", mib(at_end), mib(live)));
    result.claim("the last quarter's RSS is the second's", resident[1] <= resident[0] + resident[0] / 10 + BREATH);
    result.claim("the last quarter's descriptors are the second's", fds[1] <= fds[0] + FDS_BREATH);
    let allowed = DISK_FACTOR * live + options.shards * DISK_PER_SHARD;
    result
        .claim(format!("the disk never held more than 3 × live + 256 MiB a shard: {}", mib(allowed)), disk <= allowed);
}
