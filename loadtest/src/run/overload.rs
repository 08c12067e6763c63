//! Scenario `overload`: for a minute a tenant offers several times what the carrier takes, in an open loop, to a daemon
//! on one core. The carrier must stay as busy as before, what is accepted must be answered as fast as ever, and what is
//! refused must be told why and when to come again. Another tenant, which sends little, must not notice; and soon after
//! the flood everything must be as usual.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::figure::{Value, mib, quantiles_ms};
use super::ground::{Ground, GroundOptions, Smsc};
use super::prometheus::RESIDENT;
use super::result::ScenarioResult;
use crate::http;
use crate::send::report::Report;

/// Time of the flood after which the queue has filled: from then on the carrier's share is counted.
const FILLING: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(250);
/// How often the neighbour sends a message.
const NEIGHBOUR_TICK: Duration = Duration::from_millis(100);
/// How often the tenant of the flood tries a single message when it is over.
const PROBE_TICK: Duration = Duration::from_millis(20);
/// Everything is as usual when so many single messages in a row were accepted, each as fast as it must be.
const PROBES: usize = 5;
/// How long a single message may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The refusals that the flood should meet.
const EXPECTED: [&str; 3] = ["queue_full", "queue_share_full", "overloaded"];
/// Memory may grow by this, and by a tenth: allocators vary.
const BREATH: u64 = 16 << 20;
/// And by this for each message that was sent meanwhile: a run of a minute only begins to fill what has a bound of its own, the
/// store's tables that are not written yet and the ids by which receipts find their messages. What was refused leaves nothing.
const KEPT: f64 = 512.0;
const FLOODER: &str = "key-of-tenant-000000";
const NEIGHBOUR: &str = "key-of-tenant-000001";

/// Sizes and limits.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Parts per second that the carrier permits
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// How many times as much is offered
    #[arg(long, default_value_t = 3.0)]
    factor: f64,
    /// Seconds of the flood
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Messages of one request
    #[arg(long, default_value_t = 10)]
    lines: u64,
    /// Connections of the flood: enough that it stays an open loop
    #[arg(long, default_value_t = 64)]
    clients: u64,
    /// Milliseconds that the carrier needs for the messages for which the queue has room
    #[arg(long, default_value_t = 1_000)]
    queue_ms: u64,
    /// Share of the carrier's rate that must be used
    #[arg(long, default_value_t = 0.9)]
    goodput_min: f64,
    /// Milliseconds: the p99 of the requests of which something was accepted
    #[arg(long, default_value_t = 50)]
    answer_ms: u64,
    /// Milliseconds after the flood until everything is as usual; more than `--queue-ms`
    #[arg(long, default_value_t = 2_000)]
    normal_ms: u64,
    /// Make no claims about times
    #[arg(long)]
    untimed: bool,
}

/// What was seen while the flood lasted.
#[derive(Debug, Default)]
struct Seen {
    /// Parts that the carrier took, and in how many seconds, once the queue was full.
    taken: u64,
    seconds: f64,
    resident: Vec<u64>,
    /// Answers to the neighbour's messages: those accepted, the others, and how long each took.
    neighbour: Tries,
}

/// Messages that were sent one by one.
#[derive(Debug, Default)]
struct Tries {
    accepted: u64,
    others: u64,
    slowest: Duration,
}

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let mut ground = Ground::prepare(&options.ground)?;
    ground.use_tenants(2)?;
    ground.use_secret_key(FLOODER)?;
    ground.use_load(options.clients, options.lines);
    ground.set_carrier("RATE", &options.rate.to_string());
    ground.set("NODE__CORES", "1");
    ground.set("NODE__SHARDS", "1");
    ground.set("LIMITS__QUEUE", &(options.rate * options.queue_ms / 1_000).to_string());
    let mut smsc = ground.start_smsc(&[])?;
    let (mut stentor, _) = ground.start_stentor()?;
    let (offered, duration) = ((options.rate as f64 * options.factor).to_string(), options.seconds.to_string());
    let mut generator = ground.start_generator(&["--rate", &offered, "--duration", &duration])?;
    let seen = watch(&ground, &mut smsc, || generator.process.is_alive())?;
    let ended = Instant::now();
    let (usual, probes) = wait_until_usual(&ground, Duration::from_millis(options.answer_ms))?;
    let report = generator.finish(ground.stall())?;
    let (accepted, singles) = (report.acknowledged_count(), seen.neighbour.accepted + probes.accepted);
    let stats = ground.watch(&mut smsc, "the end of the queue", |stats| {
        let is_sent = stats.messages.distinct >= accepted && stats.messages.unmarked >= singles;
        is_sent && stats.receipts.acknowledged >= stats.receipts.planned
    })?;
    let sent_within = ended.elapsed();
    stentor.check_alive()?;

    let mut result = ScenarioResult::new("overload");
    tell(&mut result, &report, &seen);
    result.figure("as usual after the flood within", Value::seconds(usual.as_secs_f64()));
    result
        .figure("all that was accepted is sent and has its receipt within", Value::seconds(sent_within.as_secs_f64()));
    result.claim("something was refused", report.offered > accepted);
    result.claim("every message that was accepted was sent, and no other", stats.messages.distinct == accepted);
    result.claim("no message was sent twice", stats.messages.repeats == 0);
    let unmarked = stats.messages.unmarked;
    result.claim(format!("so were the {singles} single messages: {unmarked}"), unmarked == singles);
    judge(&mut result, options, &report, &seen);
    if !options.untimed {
        let (most, within) = (options.normal_ms, Duration::from_millis(options.normal_ms));
        result
            .claim(format!("single messages are accepted as usual within {most} ms after the flood"), usual <= within);
        result.claim(format!("the queue of the flood is sent within {most} ms"), sent_within <= within);
    }
    Ok(result)
}

fn tell(result: &mut ScenarioResult, report: &Report, seen: &Seen) {
    result.figure("offered/s", Value::per_second(report.offered as f64 / report.seconds));
    result.figure("accepted", report.acknowledged_count());
    for (code, messages) in &report.errors {
        result.figure(&format!("refused: {code}"), *messages);
    }
    result.figure("goodput/s", Value::per_second(seen.taken as f64 / seen.seconds.max(1e-3)));
    result.figure("accepted request p50/p99/p99.9/max", quantiles_ms(&report.accepted_us));
    result.figure("any request p50/p99/p99.9/max", quantiles_ms(&report.latency_us));
    result.aside("left late p50/p99/p99.9/max", quantiles_ms(&report.lateness_us));
    result.figure("neighbour's messages", seen.neighbour.accepted + seen.neighbour.others);
    result.figure("neighbour's slowest answer", Value::seconds(seen.neighbour.slowest.as_secs_f64()));
    result.figure("RSS, most", mib(seen.resident.iter().copied().max().unwrap_or(0)));
    result.per_second("accepted", report.per_second.iter().map(|messages| *messages as f64));
}

fn judge(result: &mut ScenarioResult, options: &Options, report: &Report, seen: &Seen) {
    let unexpected: Vec<_> = report.errors.keys().filter(|code| !EXPECTED.contains(&code.as_str())).collect();
    result.claim(format!("every refusal has its code: {unexpected:?} beside those"), unexpected.is_empty());
    result.claim("every refusal has its `Retry-After`", report.untold == 0);
    let refused = seen.neighbour.others;
    result.claim(format!("no message of the neighbour was refused: {refused}"), refused == 0);
    let quarter = seen.resident.len() / 4;
    let median = |looks: &[u64]| {
        let mut looks = looks.to_vec();
        looks.sort_unstable();
        looks.get(looks.len() / 2).copied().unwrap_or(0)
    };
    let second = median(&seen.resident[quarter..2 * quarter]);
    let last = median(&seen.resident[seen.resident.len() - quarter..]);
    result.figure("RSS, second and last quarter", format!("{}, {}", mib(second), mib(last)));
    // From the middle of the second quarter to the middle of the last.
    let kept = (seen.taken as f64 / 2.0 * KEPT) as u64;
    let allowed = second + second / 10 + BREATH + kept;
    result.claim(format!("RSS grows only by what is kept of accepted messages, to {}", mib(allowed)), last <= allowed);
    if options.untimed {
        return;
    }
    let (goodput, most) = (seen.taken as f64 / seen.seconds.max(1e-3), options.answer_ms);
    let least = options.rate as f64 * options.goodput_min;
    result.claim(format!("{least:.0} messages leave in a second at least"), goodput >= least);
    result.claim(format!("p99 of accepted requests ≤ {most} ms"), report.accepted_us.p99 <= most * 1_000);
}

/// Watches until the flood ends, while the neighbour sends its messages.
fn watch(ground: &Ground, smsc: &mut Smsc, mut is_flooded: impl FnMut() -> bool) -> Result<Seen, String> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut tries = Tries::default();
            while !is_over.load(Ordering::Relaxed) {
                tries.send(ground, NEIGHBOUR)?;
                thread::sleep(NEIGHBOUR_TICK);
            }
            Ok::<_, String>(tries)
        });
        let watched = watch_flood(ground, smsc, &mut is_flooded);
        is_over.store(true, Ordering::Relaxed);
        let neighbour = neighbour.join().map_err(|_| "the neighbour panicked".to_owned())??;
        watched.map(|seen| Seen { neighbour, ..seen })
    })
}

fn watch_flood(ground: &Ground, smsc: &mut Smsc, is_flooded: &mut dyn FnMut() -> bool) -> Result<Seen, String> {
    thread::sleep(FILLING);
    let (begun, before) = (Instant::now(), smsc.stats(None)?.submits.taken);
    let mut seen = Seen::default();
    while is_flooded() {
        // Between two looks the flood may end; the carrier's share is that up to the last look.
        (seen.taken, seen.seconds) = (smsc.stats(None)?.submits.taken - before, begun.elapsed().as_secs_f64());
        seen.resident.extend(ground.metrics().sum(RESIDENT).map(|bytes| bytes as u64));
        thread::sleep(TICK);
    }
    Ok(seen)
}

/// Waits until single messages of the flooder are accepted one after the other, each within `each`; gives how long that
/// took, without the messages that showed it.
fn wait_until_usual(ground: &Ground, each: Duration) -> Result<(Duration, Tries), String> {
    let (begun, mut tries) = (Instant::now(), Tries::default());
    let mut usual_since: Option<(Duration, usize)> = None;
    while usual_since.is_none_or(|(_, messages)| messages < PROBES) {
        let at = begun.elapsed();
        if at > PATIENCE {
            return Err(format!("not as usual {} s after the flood", PATIENCE.as_secs()));
        }
        let is_usual = tries.send(ground, FLOODER)?.is_some_and(|took| took <= each);
        usual_since = is_usual.then(|| usual_since.map_or((at, 1), |(since, messages)| (since, messages + 1)));
        thread::sleep(PROBE_TICK);
    }
    Ok((usual_since.map_or(PATIENCE, |(since, _)| since), tries))
}

impl Tries {
    /// Sends one message; gives how long its answer took if it was accepted.
    fn send(&mut self, ground: &Ground, key: &str) -> Result<Option<Duration>, String> {
        let headers = format!("Authorization: Bearer {key}\r\nContent-Type: application/json\r\n");
        let body = r#"{"to":"+4915220000001","body":"one of few"}"#;
        let begun = Instant::now();
        let (status, _) = http::ask(ground.http(), "POST /v1/messages", &headers, body, PATIENCE)
            .map_err(|error| format!("a single message: {error}"))?;
        let took = begun.elapsed();
        self.slowest = self.slowest.max(took);
        if status == 202 {
            self.accepted += 1;
            return Ok(Some(took));
        }
        self.others += 1;
        Ok(None)
    }
}
