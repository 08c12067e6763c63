//! Scenario `expiry`: the carrier is away, and messages of every class expire one after the other, in no particular order. An
//! expired message must be shown and counted as expired, and its place be free, within seconds, and never before its
//! time; the rest is delivered when the carrier comes.

use std::collections::BTreeSet;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::figure::{Value, mib};
use super::ground::{Ground, GroundOptions};
use super::prometheus::{ACCEPTED, FINAL};
use super::result::ScenarioResult;
use crate::http;

/// Sizes and limits.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Messages
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// They expire from this many seconds after they were accepted…
    #[arg(long, default_value_t = 20)]
    from: u64,
    /// … up to this many
    #[arg(long, default_value_t = 60)]
    upto: u64,
    /// Seconds after its expiry within which a message must be shown and counted as expired, and its place be free
    #[arg(long, default_value_t = 6.0)]
    late_max: f64,
}

/// One message in so many does not expire during the scenario.
const LASTING_EACH: u64 = 10;
const LASTING_S: u64 = 3_600;
const SENDERS: u64 = 4;
const CLASSES: [&str; 4] = ["emergency", "otp", "transactional", "marketing"];
const FIRST_RECIPIENT: u64 = 4_915_110_000_000;
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(200);
/// Messages that are looked up at each check.
const SHOWN_EACH: usize = 40;

/// A message that was accepted, and between which instants it expires.
#[derive(Clone, Debug)]
struct Taken {
    id: String,
    earliest: Instant,
    latest: Instant,
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Queues {
    depth: u64,
    scheduled: u64,
}

#[derive(Debug, Deserialize)]
struct Shown {
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    state: String,
    #[serde(rename = "final")]
    is_final: bool,
    #[serde(default)]
    timeline: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    event: String,
}

/// One check of the daemon.
#[derive(Clone, Copy, Debug)]
struct Look {
    before: Instant,
    after: Instant,
    expired: u64,
    waiting: u64,
}

fn is_lasting(number: u64) -> bool {
    number % LASTING_EACH == 3
}

/// Validity of a message in seconds; it depends on the number, in no particular order.
fn seconds(options: &Options, number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    if is_lasting(number) { LASTING_S } else { options.from + mixed % (options.upto - options.from).max(1) }
}

fn body(options: &Options, numbers: Range<u64>) -> String {
    let line = |number: u64| {
        let (class, to) = (CLASSES[(number / 7 % 4) as usize], FIRST_RECIPIENT + number);
        let expires_in = seconds(options, number);
        format!("{{\"to\":\"+{to}\",\"body\":\"{number}\",\"class\":\"{class}\",\"expires_in\":{expires_in}}}\n")
    };
    numbers.map(line).collect()
}

/// Sends these messages; gives those that were accepted, each with its number.
fn send(ground: &Ground, options: &Options, numbers: Range<u64>) -> Result<Vec<(u64, Taken)>, String> {
    let before = Instant::now();
    let text = body(options, numbers.clone());
    let (status, answer) = http::post(ground.http(), "/v1/messages", "application/x-ndjson", &text, PATIENCE)
        .map_err(|error| error.to_string())?;
    let after = Instant::now();
    if status != 202 {
        // None of them was accepted; the figures show which claim that breaks.
        return Ok(Vec::new());
    }
    let lines: Vec<Line> = serde_json::from_slice(&answer).map_err(|error| format!("HTTP {status}: {error}"))?;
    let taken = |(number, line): (u64, Line)| {
        let left = Duration::from_secs(seconds(options, number));
        Some((number, Taken { id: line.id?, earliest: before + left, latest: after + left }))
    };
    Ok(numbers.zip(lines).filter_map(taken).collect())
}

/// Sends them over several connections at once.
fn send_all(ground: &Ground, options: &Options, count: u64, first: u64) -> Result<Vec<(u64, Taken)>, String> {
    let batch = options.ground.batch();
    let sender = |own: u64| {
        let mut taken = Vec::new();
        for begin in (first..first + count).step_by(batch as usize).skip(own as usize).step_by(SENDERS as usize) {
            taken.extend(send(ground, options, begin..(begin + batch).min(first + count))?);
        }
        Ok::<_, String>(taken)
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|own| scope.spawn(move || sender(own))).collect();
        let sent = senders.into_iter().map(|one| one.join().map_err(|_| "a sender panicked".to_owned())?);
        sent.collect::<Result<Vec<_>, String>>().map(|taken| taken.concat())
    })
}

fn look(ground: &Ground) -> Result<Look, String> {
    let before = Instant::now();
    let expired = ground.metrics().sum_of(FINAL, "state", "expired").unwrap_or(0.0) as u64;
    let (_, text) = http::get(ground.http(), "/v1/queues", PATIENCE).map_err(|error| error.to_string())?;
    let queues: Queues = serde_json::from_slice(&text).map_err(|error| format!("queues: {error}"))?;
    Ok(Look { before, after: Instant::now(), expired, waiting: queues.depth + queues.scheduled })
}

/// How many of these are not shown as expired, with an event of that kind.
fn not_shown(ground: &Ground, ids: &[&str]) -> Result<usize, String> {
    if ids.is_empty() {
        return Ok(0);
    }
    let text = serde_json::json!({ "ids": ids }).to_string();
    let (_, text) = http::post(ground.http(), "/v1/messages/lookup", "application/json", &text, PATIENCE)
        .map_err(|error| error.to_string())?;
    let shown: Shown = serde_json::from_slice(&text).map_err(|error| format!("lookup: {error}"))?;
    let ended = |message: &&Message| {
        message.state == "expired" && message.is_final && message.timeline.iter().any(|one| one.event == "expired")
    };
    Ok(ids.len() - shown.messages.iter().filter(ended).count())
}

/// How long after its expiry the first message that is not among the `done` still waits. `latest`: by when each must
/// have expired.
fn lag_s(latest: &[Instant], done: u64, at: Instant) -> f64 {
    let next = usize::try_from(done).ok().and_then(|done| latest.get(done));
    next.map_or(0.0, |due| at.saturating_duration_since(*due).as_secs_f64())
}

/// What was observed while everything expired.
#[derive(Debug, Default)]
struct Seen {
    counted_s: f64,
    freed_s: f64,
    /// Messages counted as expired, or missing from the queue, before their time.
    early: u64,
    asked: usize,
    not_shown: usize,
}

fn watch(ground: &Ground, options: &Options, expiring: &mut [Taken], lasting: u64) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let mut earliest: Vec<_> = expiring.iter().map(|one| one.earliest).collect();
    earliest.sort_unstable();
    expiring.sort_unstable_by_key(|one| one.latest);
    let latest: Vec<_> = expiring.iter().map(|one| one.latest).collect();
    let late = Duration::from_secs_f64(options.late_max);
    let end = latest.last().copied().unwrap_or_else(Instant::now) + late + Duration::from_secs(1);
    let mut asked = 0;
    // The daemon's metrics are up to a second old: until then they may not show everything that was accepted.
    thread::sleep(Duration::from_secs(1));
    while Instant::now() < end {
        let Look { before, after, expired, waiting } = look(ground)?;
        let gone = (expiring.len() as u64 + lasting).saturating_sub(waiting);
        seen.counted_s = seen.counted_s.max(lag_s(&latest, expired, before));
        seen.freed_s = seen.freed_s.max(lag_s(&latest, gone, before));
        let due = earliest.partition_point(|at| *at <= after) as u64;
        seen.early = seen.early.max(expired.max(gone).saturating_sub(due));
        let overdue = latest.partition_point(|at| *at + late <= Instant::now());
        let step = (overdue - asked).div_ceil(SHOWN_EACH).max(1);
        let ids: Vec<_> = expiring[asked..overdue].iter().step_by(step).map(|one| one.id.as_str()).collect();
        seen.asked += ids.len();
        seen.not_shown += not_shown(ground, &ids)?;
        asked = overdue;
        thread::sleep(TICK);
    }
    Ok(seen)
}

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let mut ground = Ground::prepare(&options.ground)?;
    // So small that later messages find room only where others have expired.
    ground.set("LIMITS__QUEUE", &(options.count + options.count / 4).to_string());
    let (mut stentor, _) = ground.start_stentor()?;
    let begun = Instant::now();
    let taken = send_all(&ground, options, options.count, 0)?;
    let sent_s = begun.elapsed().as_secs_f64();
    let lasting = taken.iter().filter(|(number, _)| is_lasting(*number)).count() as u64;
    let mut expiring: Vec<Taken> =
        taken.iter().filter(|(number, _)| !is_lasting(*number)).map(|(_, one)| one.clone()).collect();
    let seen = watch(&ground, options, &mut expiring, lasting)?;
    stentor.check_alive()?;
    let usage = stentor.usage();
    let again = options.count / 2;
    let more = send_all(&ground, options, again, options.count)?;
    let more_lasting: BTreeSet<u64> = more.iter().map(|(number, _)| *number).filter(|one| is_lasting(*one)).collect();
    let left = lasting + more_lasting.len() as u64;
    // The remaining ones expire before the carrier comes.
    thread::sleep(Duration::from_secs(options.upto) + Duration::from_secs_f64(options.late_max));
    let mut smsc = ground.start_smsc(&[])?;
    ground.watch(&mut smsc, "the rest", |stats| stats.submits.taken >= left)?;
    thread::sleep(Duration::from_secs(1));
    let submitted = smsc.stats(None)?.submits.taken;
    stentor.check_alive()?;

    let mut result = ScenarioResult::new("expiry");
    result.figure("taken", taken.len());
    result.figure("taken/s", Value::per_second(taken.len() as f64 / sent_s));
    result.figure("expiring", expiring.len());
    result.figure("longest until counted", Value::seconds(seen.counted_s));
    result.figure("longest until its place was free", Value::seconds(seen.freed_s));
    result.figure("asked for", seen.asked);
    result.figure("stentor RSS, most", mib(usage.rss_peak));
    result.figure("stentor CPU per message", Value::micros_per_message(usage.cpu_s, options.count));
    result.figure("accepted in all", ground.metrics().sum(ACCEPTED).unwrap_or(0.0));
    let late_max = options.late_max;
    result.claim("every message was taken", taken.len() as u64 == options.count);
    result.claim(format!("each was counted as expired within {late_max} s"), seen.counted_s <= late_max);
    result.claim(format!("the place of each was free within {late_max} s"), seen.freed_s <= late_max);
    result
        .claim(format!("each that was asked for showed so after {late_max} s"), seen.asked > 0 && seen.not_shown == 0);
    result.claim("none expired before its time", seen.early == 0);
    result.claim("the places are free for others", more.len() as u64 == again);
    result.claim("what had time left was submitted, and nothing else", submitted == left);
    Ok(result)
}
