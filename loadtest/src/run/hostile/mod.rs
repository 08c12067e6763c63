//! Scenario `hostile`: clients without a key, two tenants and a carrier attack a daemon on one core, all at once, in
//! every way that is known; a third tenant meanwhile sends its messages over a good carrier, and must not notice.
//!
//! Knows the phases and what must hold; each family of attacks has a file of its own.

mod attack;
mod bodies;
mod carrier;
mod floods;
mod questions;
mod readers;
mod stage;
mod strangers;
mod third;
mod wire;
mod witness;

use std::net::TcpListener;
use std::process::ExitStatus;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::audit::Audit;
use super::figure::{Value, mib, quantiles_ms};
use super::ground::{Ground, GroundOptions, Smsc};
use super::process::Process;
use super::prometheus::{IN_DOUBT, LOG_DROPPED, POLL_LONGEST, POLL_TAIL};
use super::result::ScenarioResult;
use crate::send::report::Report;
use crate::smsc::stats::Quantiles;
use attack::{Attack, Campaign, Front, Tally};
use stage::NameServer;
use third::{Hand, Told};
use witness::{Seen, Witnesses};

/// The first recipient of the third tenant: before the attacks, and during them.
const FIRST_IDLE: u64 = 4_915_100_000_000;
const FIRST: u64 = 4_915_110_000_000;
/// The third tenant's requests: messages per request, and connections.
const BATCH: u64 = 5;
const CONNECTIONS: u64 = 8;
/// Attacks that are not made by a client or a carrier.
const SILENT: &str = "a name server that never answers";
const UNREAD: &str = "the log is not read";
/// Memory that the daemon may use beside `limits.memory`.
const MEMORY_BESIDE: u64 = 256 << 20;
/// Limit of the p99 of each kind of the third tenant's requests under attack: this long, or this many times the p99
/// before the attacks.
const P99_MAX_US: u64 = 50_000;
const P99_FACTOR: u64 = 10;
/// The longest poll of a task, in CPU time.
const POLL_MAX_MS: f64 = 10.0;
/// Longest time of a stop by SIGTERM.
const TERM_MAX: Duration = Duration::from_secs(15);
/// How long the generator waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(100);
/// Timeout where something is awaited until it comes.
const LONG: Duration = Duration::from_secs(24 * 3_600);

/// Sizes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub ground: GroundOptions,
    /// Duration of the attacks in minutes
    #[arg(long, default_value_t = 15.0)]
    minutes: f64,
    /// Duration of the measurement before the attacks in seconds
    #[arg(long, default_value_t = 20.0)]
    idle: f64,
    /// Messages per second of the third tenant
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Only attacks whose name contains one of these; by default all
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    only: Vec<String>,
    /// Show times but claim nothing about them: for machines that are busy with other work
    #[arg(long)]
    untimed: bool,
}

/// Latencies of the third tenant's requests.
#[derive(Debug)]
struct Latencies {
    batches: Quantiles,
    /// Requests with one message, each with a key and a connection of its own.
    singles: Quantiles,
}

/// What was observed during the attacks.
#[derive(Debug, Default)]
struct Watched {
    rss_peak: u64,
    fds_peak: usize,
    cpu_s: f64,
    ended: Option<(ExitStatus, f64)>,
}

/// Plays the scenario.
pub(super) fn play(options: &Options) -> Result<ScenarioResult, String> {
    let fds = stage::raise_descriptors();
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("the hostile carrier: {error}"))?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let mut ground = Ground::prepare(&options.ground)?;
    let name_server = if options.is_wanted(SILENT) { NameServer::start(&ground) } else { NameServer::none() };
    let (stalls, log_tally) = (Arc::new(OnceLock::new()), Tally::new(UNREAD));
    stage::prepare(&mut ground, port, &name_server)?.start(&stalls, &log_tally);
    let mut smsc = ground.start_smsc(&[])?;
    let witnesses = Witnesses::start();
    let (mut stentor, _) = ground.start_stentor()?;
    let idle = options.idle(&ground, &mut smsc)?;

    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let front = &Front::new(ground.http(), time);
    let mut campaign = options.begin(front, fds, listener);
    if options.is_wanted(UNREAD) {
        stalls.get_or_init(|| Arc::clone(front));
        campaign.add(&log_tally);
    }
    let hand = Hand::start(front);
    let mut generator = ground.start_sender("third", &options.offer(FIRST, options.minutes * 60.0))?;
    let mut watched = watch(&mut stentor, &mut generator.process, front, ground.stall());
    let tallies = campaign.end();
    let (told, report) = (hand.finish()?, generator.finish(ground.stall() + ANSWER_MAX)?);

    let mut result = ScenarioResult::new("hostile");
    result.figure(SILENT, if name_server.is_there() { "yes" } else { "no (it needs root)" });
    tell_attacks(&mut result, &tallies, !options.only.is_empty());
    options.tell_times(&mut result, &idle, &report, &told);
    if watched.ended.is_some() {
        watched.tell(&mut result);
        result.figure("the end of its log", stentor.failure("").trim());
        return Ok(result);
    }
    options.tell_polls(&mut result, &ground, &stentor, witnesses.finish());
    let judged = judge(&mut result, &ground, &mut smsc, &report, &told);
    // A query after the daemon's end reports a broken connection; the end of the daemon's log says more.
    stentor.check_alive().and(judged)?;
    // The daemon still works off what the attackers left: memory is watched until here.
    watched.look(&stentor);
    watched.tell(&mut result);
    end(&mut result, &mut ground, stentor)?;
    Ok(result)
}

/// What happened to each of the third tenant's messages, once the attacks are over.
fn judge(
    result: &mut ScenarioResult,
    ground: &Ground,
    smsc: &mut Smsc,
    report: &Report,
    told: &Told,
) -> Result<(), String> {
    ground.watch_delivered(smsc, report.acknowledged_count())?;
    Audit::take(ground, smsc, report, FIRST)?.tell(result);
    told.tell(ground, result)?;
    let metrics = ground.metrics();
    result.figure("in doubt, the attackers' too", metrics.sum(IN_DOUBT).unwrap_or_default());
    result.figure("lines of the log that were dropped", metrics.sum(LOG_DROPPED).unwrap_or_default());
    result.claim("every message of the third tenant was accepted when it was offered", report.is_complete());
    Ok(())
}

impl Options {
    fn is_wanted(&self, attack: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| attack.contains(only))
    }

    /// What the third tenant offers, and for how long. Without `--retry`: a refused message stays refused.
    fn offer(&self, first: u64, seconds: f64) -> Vec<String> {
        let count = (self.rate * seconds).max(1.0) as u64;
        [("count", count.to_string()), ("rate", self.rate.to_string()), ("first-recipient", first.to_string())]
            .into_iter()
            .chain([("batch", BATCH.to_string()), ("connections", CONNECTIONS.to_string())])
            .map(|(name, value)| format!("--{name}={value}"))
            .collect()
    }

    /// The third tenant alone.
    fn idle(&self, ground: &Ground, smsc: &mut Smsc) -> Result<Latencies, String> {
        let hand = Hand::start_idle(&Front::new(ground.http(), Duration::from_secs_f64(self.idle)));
        let mut generator = ground.start_sender("idle", &self.offer(FIRST_IDLE, self.idle))?;
        let (report, told) = (generator.finish(LONG)?, hand.finish()?);
        ground.watch_delivered(smsc, report.acknowledged_count())?;
        smsc.reset()?;
        Ok(Latencies { batches: report.latency_us, singles: told.latency() })
    }

    fn begin(&self, front: &Arc<Front>, fds: usize, listener: TcpListener) -> Campaign {
        let mut campaign = Campaign::new(front);
        let families = [strangers::attacks(fds), bodies::attacks(), readers::attacks(), questions::attacks()];
        let attacks = families.into_iter().flatten().chain(floods::attacks());
        attacks.filter(|attack: &Attack| self.is_wanted(attack.name)).for_each(|attack| campaign.begin(attack));
        let turns: Vec<_> = carrier::turns().into_iter().filter(|turn| self.is_wanted(turn.name())).collect();
        if !turns.is_empty() {
            let tallies: Vec<_> = turns.iter().map(carrier::Turn::tally).collect();
            campaign.begin_with(&tallies, move |front| carrier::serve(&listener, front, &turns));
        }
        campaign
    }

    fn tell_times(&self, result: &mut ScenarioResult, idle: &Latencies, report: &Report, told: &Told) {
        let kinds = [
            ("the third tenant's batches", &idle.batches, &report.latency_us),
            ("the third tenant's single messages", &idle.singles, &told.latency()),
        ];
        for (kind, idle, attacked) in kinds {
            result.figure(&format!("{kind} p50/p99/p99.9/max, before the attacks"), quantiles_ms(idle));
            result.figure(&format!("{kind} p50/p99/p99.9/max, under attack"), quantiles_ms(attacked));
        }
        result.figure("of the batches' the generator's own share", quantiles_ms(&report.lateness_us));
        for (code, lines) in &report.errors {
            result.figure("refused to the third tenant", format!("{code} × {lines}"));
        }
        if !self.untimed {
            for (kind, idle, attacked) in kinds {
                let claim = format!("p99 of {kind} is at most {} ms, or {P99_FACTOR} × idle", P99_MAX_US / 1_000);
                result.claim(claim, attacked.p99 <= P99_MAX_US.max(P99_FACTOR * idle.p99));
            }
        }
    }

    fn tell_polls(&self, result: &mut ScenarioResult, ground: &Ground, stentor: &Process, seen: Option<Seen>) {
        let metrics = ground.metrics();
        let [longest, tail] = [POLL_LONGEST, POLL_TAIL].map(|name| metrics.sum(name).map(|seconds| seconds * 1_000.0));
        let ms = |ms: Option<f64>| ms.map_or("?".to_owned(), |ms| format!("{ms:.2}"));
        result.figure("polls p99.9/max", format!("{} / {} ms of CPU", ms(tail), ms(longest)));
        let polls = seen.map(|seen| seen.long_polls(&stentor.output())).unwrap_or_default();
        for poll in &polls {
            let of_it = format!("{:.1} ms, of which the machine took {:.1}", poll.cpu_ms, poll.taken_ms);
            result.figure(&format!("a long poll of `{}`", poll.task), of_it);
        }
        // Which of several polls was the longest is in the log in any case.
        let told = polls.iter().map(|poll| poll.cpu_ms).fold(POLL_MAX_MS, f64::max);
        let own = polls.iter().map(witness::LongPoll::own_ms).fold(0.0, f64::max);
        if !self.untimed {
            let is_short = longest.is_some_and(|longest| longest <= told) && own <= POLL_MAX_MS;
            let claim = format!("no poll took more than {POLL_MAX_MS} ms of CPU that the machine did not take itself");
            result.claim(claim, is_short);
        }
    }
}

/// Watches the daemon until the generator or the daemon has ended, or nothing is answered any more.
fn watch(stentor: &mut Process, generator: &mut Process, front: &Front, stall: Duration) -> Watched {
    let mut watched = Watched::default();
    while generator.is_alive() {
        watched.look(stentor);
        if let Some(status) = stentor.ended() {
            watched.ended = Some((status, front.elapsed().as_secs_f64()));
        }
        if watched.ended.is_some() || front.elapsed() > front.time + stall {
            generator.signal(Signal::TERM);
            break;
        }
        thread::sleep(TICK);
    }
    watched
}

impl Watched {
    fn look(&mut self, stentor: &Process) {
        let usage = stentor.usage();
        self.rss_peak = self.rss_peak.max(usage.rss_peak);
        self.cpu_s = self.cpu_s.max(usage.cpu_s);
        self.fds_peak = self.fds_peak.max(stentor.fds());
    }

    fn tell(&self, result: &mut ScenarioResult) {
        let allowed = stage::MEMORY + MEMORY_BESIDE;
        result.figure("RSS, most", mib(self.rss_peak));
        result.figure("descriptors, most", self.fds_peak);
        result.figure("CPU", Value::seconds(self.cpu_s));
        if let Some((status, after)) = &self.ended {
            result.figure("the daemon ended by itself", format!("{status}, after {after:.1} s"));
        }
        result.claim("the daemon went on", self.ended.is_none());
        result.claim(format!("RSS was at most limits.memory and 256 MiB: {}", mib(allowed)), self.rss_peak <= allowed);
    }
}

fn tell_attacks(result: &mut ScenarioResult, tallies: &[Arc<Tally>], is_part: bool) {
    for tally in tallies {
        result.figure(&format!("attack: {}", tally.name), tally.to_string());
    }
    let is_idle = |tally: &&Arc<Tally>| tally.rounds() == 0;
    let idle: Vec<_> = tallies.iter().filter(is_idle).map(|tally| tally.name).collect();
    if !is_part {
        result.figure("attacks, and those never made", format!("{}, {idle:?}", tallies.len()));
        result.claim("every attack was made", idle.is_empty());
    }
}

/// After all attacks the daemon must still stop cleanly and start again.
fn end(result: &mut ScenarioResult, ground: &mut Ground, mut stentor: Process) -> Result<(), String> {
    stentor.signal(Signal::TERM);
    let is_clean = stentor.wait(TERM_MAX).is_ok_and(|status| status.success());
    result.claim("a clean end on SIGTERM", is_clean);
    drop(stentor);
    let again = ground.start_stentor();
    if let Ok((_, ready_s)) = &again {
        result.figure("ready again after", Value::seconds(*ready_s));
    }
    result.claim("it starts again", again.is_ok());
    again.map(drop)
}
