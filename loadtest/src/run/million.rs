//! Scenario `million`: everything goes through once, as fast as it can, and is counted on the other side.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::ground::{Ground, GroundOptions};
use super::prometheus::{ACCEPT_TO_SUBMIT, ACCEPTED, COMMITS, Metrics};
use super::verdict::{Verdict, mib, quantiles_ms};

/// A clean stop is over by then.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Sizes and floors.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Messages
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Messages per second, open loop; without it as fast as answers come
    #[arg(long)]
    rate: Option<f64>,
    /// Fail below that many acknowledged per second
    #[arg(long, default_value_t = 0.0)]
    accepted_min: f64,
    /// Fail below that many per second from the first request to the last acknowledged receipt
    #[arg(long, default_value_t = 0.0)]
    end_to_end_min: f64,
    /// The carrier's window in the configuration
    #[arg(long, default_value_t = 2_000)]
    window: u32,
    /// Tenants whose messages they are, request by request in turn; 0: there are none, and no authentication
    #[arg(long, default_value_t = 0)]
    pub tenants: u32,
    /// Delay of the simulator's receipts in milliseconds
    #[arg(long, default_value = "0")]
    receipt_delay: String,
}

/// What one pass cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Stentor's CPU time, µs a message.
    pub cpu_us: f64,
    /// From the first request to the last acknowledged receipt.
    pub messages_per_s: f64,
}

/// Plays the scenario.
pub fn play(options: &Options) -> Result<Verdict, String> {
    pass(options).map(|(verdict, _)| verdict)
}

/// Plays it, and says what it cost as numbers too.
pub fn pass(options: &Options) -> Result<(Verdict, Cost), String> {
    let mut ground = Ground::prepare(&options.ground)?;
    ground.use_tenants(options.tenants)?;
    let mut smsc = ground.start_smsc(&["--receipt-delay", &options.receipt_delay])?;
    let (mut stentor, ready_s) = ground.start_stentor()?;
    let before = (stentor.usage(), smsc.process.usage());
    let begun = Instant::now();
    let count = options.count.to_string();
    let rate = options.rate.map(|rate| rate.to_string());
    let pace = rate.as_ref().map_or(vec!["--saturate"], |rate| vec!["--rate", rate]);
    let mut generator = ground.start_generator(&[&["--count", &count], pace.as_slice()].concat())?;
    let report = generator.finish(Duration::from_secs(24 * 3_600))?;
    stentor.check_alive()?;
    ground.watch_delivered(&mut smsc, report.acknowledged_count())?;
    let seconds = begun.elapsed().as_secs_f64();
    let metrics = ground.metrics();
    let after = (stentor.usage(), smsc.process.usage());
    let stats = smsc.stats(Some(options.count))?;
    stentor.signal(Signal::TERM);
    let ended = stentor.wait(STOP_MAX + ground.stall())?;

    let mut verdict = Verdict::new("million");
    let per_message_us = |s: f64| format!("{:.2} µs", s * 1e6 / options.count as f64);
    verdict.figure("accepted", report.accepted);
    verdict.figure("accepted, by its own count", metrics.sum(ACCEPTED).map_or("?".to_owned(), |sum| sum.to_string()));
    verdict.figure("submitted", stats.submits.taken);
    verdict.figure("delivered", stats.receipts.acknowledged);
    verdict.figure("accepted/s", format!("{:.0}", report.acknowledged_per_s));
    verdict.figure("submits/s", format!("{:.0}", stats.pace.mean_per_s));
    verdict.figure("end to end/s", format!("{:.0}", options.count as f64 / seconds));
    verdict.figure("request p50/p99/p99.9/max", quantiles_ms(&report.latency_us));
    verdict.figure("offer to submit p50/p99/p99.9/max", quantiles_ms(&stats.messages.age_us));
    verdict.figure("accept to submit p50/p99/p99.9", accept_to_submit(&metrics));
    verdict.figure("stentor CPU per message", per_message_us(after.0.cpu_s - before.0.cpu_s));
    let commits = metrics.sum(COMMITS).unwrap_or_default();
    verdict.figure("messages a commit", format!("{:.0}", options.count as f64 / commits));
    verdict.figure("simulator CPU per message", per_message_us(after.1.cpu_s - before.1.cpu_s));
    verdict.figure("stentor RSS, most", mib(after.0.rss_peak));
    verdict.figure("ready after", format!("{ready_s:.2} s"));
    verdict.claim("every message was accepted", report.accepted == options.count);
    verdict.claim("every message was submitted", stats.messages.missing == Some(0));
    verdict.claim("no message was submitted twice", stats.messages.repeats == 0);
    verdict.claim("every receipt was taken", stats.receipts.acknowledged == stats.receipts.planned);
    let open_max = stats.binds.iter().map(|bind| bind.outstanding_max).max().unwrap_or(0);
    verdict.claim(
        format!("no bind had more than {} submits open: {open_max}", options.window),
        open_max <= options.window,
    );
    verdict.claim("no PDU was malformed", stats.submits.malformed == 0 && stats.connections.broken == 0);
    verdict.claim("a clean end on SIGTERM", ended.success());
    let (accepted_min, end_to_end_min) = (options.accepted_min, options.end_to_end_min);
    verdict.claim(format!("{accepted_min} accepted/s at least"), report.acknowledged_per_s >= accepted_min);
    verdict.claim(format!("{end_to_end_min} end to end/s at least"), options.count as f64 / seconds >= end_to_end_min);
    let cost = Cost {
        cpu_us: (after.0.cpu_s - before.0.cpu_s) * 1e6 / options.count as f64,
        messages_per_s: options.count as f64 / seconds,
    };
    Ok((verdict, cost))
}

fn accept_to_submit(metrics: &Metrics) -> String {
    let quantile =
        |q: f64| metrics.quantile(ACCEPT_TO_SUBMIT, q).map_or("?".to_owned(), |s| format!("≤ {:.1}", s * 1e3));
    format!("{} / {} / {} ms", quantile(0.5), quantile(0.99), quantile(0.999))
}
