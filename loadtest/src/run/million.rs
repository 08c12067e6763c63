//! Scenario `million`: all messages once, as fast as possible, counted at the carrier.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::figure::{Unit, Value, mib, quantiles_ms};
use super::ground::{Ground, GroundOptions, Smsc};
use super::process::Process;
use super::prometheus::{ACCEPT_TO_SUBMIT, ACCEPTED, COMMITS, Metrics};
use super::result::ScenarioResult;
use crate::send::report::Report;
use crate::smsc::stats::Stats;

/// A clean stop takes no longer.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Sizes and minimum rates.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Messages
    #[arg(long, default_value_t = 1_000_000)]
    pub count: u64,
    /// Messages per second, open loop; without it as fast as answers come
    #[arg(long)]
    pub rate: Option<f64>,
    /// Fail if fewer messages per second are acknowledged
    #[arg(long, default_value_t = 0.0)]
    pub accepted_min: f64,
    /// Fail if there are fewer messages per second from the first request to the last acknowledged receipt
    #[arg(long, default_value_t = 0.0)]
    pub end_to_end_min: f64,
    /// The carrier's window in the configuration
    #[arg(long, default_value_t = 2_000)]
    pub window: u32,
    /// Tenants whose messages they are, in turn for each request; 0: no tenants, and no authentication
    #[arg(long, default_value_t = 0)]
    pub tenants: u32,
    /// Limits that every message is under, and that none of them reaches
    #[arg(long, default_value_t = 0)]
    pub limits: u32,
    /// Routes that are tried before the one that every message takes
    #[arg(long, default_value_t = 0)]
    pub rules: u32,
    /// Delay of the simulator's receipts in milliseconds
    #[arg(long, default_value = "0")]
    pub receipt_delay: String,
}

/// The cost of one pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pass {
    /// Stentor's CPU time per message, µs.
    pub cpu_us: f64,
    /// Speed from the first request to the last acknowledged receipt.
    pub messages_per_s: f64,
    pub accepted_per_s: f64,
    /// Time from the first request to the last acknowledged receipt.
    pub seconds: f64,
    /// How late requests left, at p99: the generator's own share in open loop.
    pub late_ms: f64,
    /// From the offer to the submit, at p99.
    pub age_ms: f64,
    /// Messages that became durable together; 0 if Stentor did not report it.
    pub messages_per_commit: f64,
    /// Bytes written to storage per message; 0 if that is not known.
    pub bytes_per_message: f64,
}

/// What was observed during a pass.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub report: Report,
    pub stats: Stats,
    /// Time from the first request to the last acknowledged receipt.
    pub seconds: f64,
}

/// Plays the scenario.
pub(crate) fn play(options: &Options) -> Result<ScenarioResult, String> {
    pass(options).map(|(result, _)| result)
}

/// Plays the scenario, and gives its cost as numbers too.
pub(crate) fn pass(options: &Options) -> Result<(ScenarioResult, Pass), String> {
    let mut ground = Ground::prepare(&options.ground)?;
    ground.use_tenants(options.tenants)?;
    ground.use_limits(options.limits)?;
    ground.use_rules(options.rules)?;
    let mut smsc = ground.start_smsc(&["--receipt-delay", &options.receipt_delay])?;
    let (mut stentor, ready_s) = ground.start_stentor()?;
    let before = (stentor.usage(), smsc.process.usage());
    let flow = flow(&ground, &mut smsc, options.count, options.rate, Some(&mut stentor))?;
    let after = (stentor.usage(), smsc.process.usage());
    let metrics = ground.metrics_of(flow.report.acknowledged_count());
    stentor.signal(Signal::TERM);
    let ended = stentor.wait(STOP_MAX + ground.stall())?;

    let mut result = ScenarioResult::new("million");
    let mut pass = tell(&mut result, &flow, &metrics, options.count);
    let cpu_s = after.0.cpu_s - before.0.cpu_s;
    let written = after.0.written.saturating_sub(before.0.written);
    let (bytes, cpu) = (written as f64 / options.count.max(1) as f64, Value::micros_per_message(cpu_s, options.count));
    (pass.cpu_us, pass.bytes_per_message) = (cpu_s * 1e6 / options.count.max(1) as f64, bytes);
    result.figure("stentor CPU per message", cpu);
    result.figure("written per message", Value::number(bytes, Unit::BytesPerMessage));
    let simulator = Value::micros_per_message(after.1.cpu_s - before.1.cpu_s, options.count);
    result.aside("simulator CPU per message", simulator);
    result.figure("stentor RSS, most", mib(after.0.rss_peak));
    result.figure("ready after", Value::seconds(ready_s));
    let stats = &flow.stats;
    let open_max = stats.binds.iter().map(|bind| bind.outstanding_max).max().unwrap_or(0);
    result.claim(
        format!("no bind had more than {} submits open: {open_max}", options.window),
        open_max <= options.window,
    );
    result.claim("a clean end on SIGTERM", ended.success());
    let (accepted_min, end_to_end_min) = (options.accepted_min, options.end_to_end_min);
    result.claim(format!("{accepted_min} accepted/s at least"), pass.accepted_per_s >= accepted_min);
    result.claim(format!("{end_to_end_min} end to end/s at least"), pass.messages_per_s >= end_to_end_min);
    Ok((result, pass))
}

/// Offers everything, at a rate or as fast as answers come, and waits until all of it is delivered. `stentor` is the
/// daemon's process, checked meanwhile, if it runs on this machine.
pub(crate) fn flow(
    ground: &Ground,
    smsc: &mut Smsc,
    count: u64,
    rate: Option<f64>,
    stentor: Option<&mut Process>,
) -> Result<Flow, String> {
    let begun = Instant::now();
    let words = (count.to_string(), rate.map(|rate| rate.to_string()));
    let pace = words.1.as_ref().map_or(vec!["--saturate"], |rate| vec!["--rate", rate]);
    let mut generator = ground.start_generator(&[&["--count", &words.0], pace.as_slice()].concat())?;
    let report = generator.finish(Duration::from_secs(24 * 3_600))?;
    if let Some(stentor) = stentor {
        stentor.check_alive()?;
    }
    ground.watch_delivered(smsc, report.acknowledged_count())?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Flow { report, stats: smsc.stats(Some(count))?, seconds })
}

/// Adds what was observed of `count` messages from outside of Stentor, and by its own metrics.
pub(crate) fn tell(result: &mut ScenarioResult, flow: &Flow, metrics: &Metrics, count: u64) -> Pass {
    let Flow { report, stats, seconds } = flow;
    let messages_per_s = count as f64 / seconds.max(1e-9);
    result.figure("accepted", report.accepted);
    result.figure("accepted, by its own count", metrics.sum(ACCEPTED).map_or(Value::from("?"), Value::from));
    result.figure("submitted", stats.submits.taken);
    result.figure("delivered", stats.receipts.acknowledged);
    result.figure("accepted/s", Value::per_second(report.acknowledged_per_s));
    result.figure("submits/s", Value::per_second(stats.pace.mean_per_s));
    result.figure("end to end/s", Value::per_second(messages_per_s));
    result.figure("request p50/p99/p99.9/max", quantiles_ms(&report.latency_us));
    result.figure("offer to submit p50/p99/p99.9/max", quantiles_ms(&stats.messages.age_us));
    // In a closed loop no request is due before it leaves.
    if report.lateness_us.max > 0 {
        result.aside("left late p50/p99/p99.9/max", quantiles_ms(&report.lateness_us));
    }
    result.figure("accept to submit p50/p99/p99.9", accept_to_submit(metrics));
    let commits = metrics.sum(COMMITS).unwrap_or_default();
    let messages_per_commit = if commits > 0.0 { count as f64 / commits } else { 0.0 };
    result.figure("messages a commit", messages_per_commit);
    result.per_second("accepted", report.per_second.iter().map(|messages| *messages as f64));
    result.per_second("submitted", stats.pace.per_second.iter().map(|parts| f64::from(*parts)));
    result.claim("every message was accepted", report.accepted == count);
    result.claim("every message was submitted", stats.messages.missing == Some(0));
    result.claim("no message was submitted twice", stats.messages.repeats == 0);
    result.claim("every receipt was taken", stats.receipts.acknowledged == stats.receipts.planned);
    result.claim("no PDU was malformed", stats.submits.malformed == 0 && stats.connections.broken == 0);
    Pass {
        messages_per_s,
        accepted_per_s: report.acknowledged_per_s,
        seconds: *seconds,
        late_ms: report.lateness_us.p99 as f64 / 1_000.0,
        age_ms: stats.messages.age_us.p99 as f64 / 1_000.0,
        messages_per_commit,
        ..Pass::default()
    }
}

fn accept_to_submit(metrics: &Metrics) -> String {
    let quantile =
        |q: f64| metrics.quantile(ACCEPT_TO_SUBMIT, q).map_or("?".to_owned(), |s| format!("≤ {:.1}", s * 1e3));
    format!("{} / {} / {} ms", quantile(0.5), quantile(0.99), quantile(0.999))
}
