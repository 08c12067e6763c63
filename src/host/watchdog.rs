//! Ends the process when an executor hangs. A restart is short and loses nothing that is on disk, while a core that hangs
//! with bound sessions does more harm.
//!
//! An executor that the machine does not run is a different case: its thread waits for a page of its own code from disk, or
//! other processes or a hypervisor use the CPUs. Ending the process would then end the sessions without any gain, so the
//! watchdog logs it and waits. It tells the two cases apart by what the kernel says about the thread: the CPU time used
//! since the last heartbeat, and whether the thread is running or runnable, waits for the disk, or sleeps. An executor that has
//! not waited yet is not watched: it recovers what it owns, and the service manager's limit for a start holds.
//!
//! Knows heartbeats, not what beats. The watchdog never blocks on a reader of the log or on the service manager. A process
//! that was itself stopped (SIGSTOP, a suspended machine) is not at fault: after a round that took too long, the watchdog
//! gives all executors one more round.

use std::{
    fmt, fs, io,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam::utils::CachePadded;
use sd_notify::NotifyState;

use super::{clock::Clock, logging, systemd};
use stentor_core::model::Mono;

/// An executor whose last heartbeat is older than this is a suspect: from now on its CPU time is counted.
const SUSPECT_NS: u64 = 1_000_000_000;
/// A heartbeat older than this means a hang, unless the machine does not run the executor. Far longer than the longest turn,
/// far shorter than carriers wait.
const STALE_NS: u64 = 5_000_000_000;
/// An executor that uses this much CPU time without a heartbeat hangs in any case. Most of [`STALE_NS`], for a machine that is
/// not overloaded.
const BURNT_NS: u64 = 4_000_000_000;
/// If the machine does not run an executor for longer than this, the process ends: carriers have given the sessions up by
/// then, and a stand-by system should learn of it.
const STARVED_NS: u64 = 120_000_000_000;
/// How often the watchdog looks.
const ROUND: Duration = Duration::from_millis(500);
/// How often an executor that the machine does not run is logged.
const TOLD_NS: u64 = 5_000_000_000;
/// If a round took longer than this, the whole process did not run, and the round does not count.
const OVERSLEPT_NS: u64 = 2_000_000_000;
/// Length of a tick in `/proc`, in ns (`USER_HZ` is 100).
const TICK_NS: u64 = 10_000_000;

const SILENT: u64 = 0;

/// One executor's heartbeat: written by its heartbeat task, read by the watchdog.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<CachePadded<Beat>>);

#[derive(Debug, Default)]
struct Beat {
    last: AtomicU64,
    /// The kernel's id of the executor's thread; 0 before the executor has started.
    thread: AtomicU32,
}

impl Heartbeat {
    /// Notes that the executor was alive at `now`.
    pub fn beat(&self, now: Mono) {
        self.0.last.store(now.0.max(1), Ordering::Relaxed);
    }

    /// Notes that the calling thread is the executor's.
    pub fn belongs_here(&self) {
        self.0.thread.store(thread_id(), Ordering::Relaxed);
    }

    /// Notes that the executor has ended on purpose, and must no longer be watched.
    pub fn retire(&self) {
        self.0.last.store(SILENT, Ordering::Relaxed);
    }

    /// The last heartbeat; `None` before the first one and after the end.
    pub fn last(&self) -> Option<Mono> {
        match self.0.last.load(Ordering::Relaxed) {
            SILENT => None,
            at => Some(Mono(at)),
        }
    }
}

/// The kernel's id of the calling thread.
fn thread_id() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    #[allow(unsafe_code, reason = "the standard library does not tell it")]
    let id = unsafe { libc::gettid() };
    id.unsigned_abs()
}

/// The state of a thread according to the kernel (proc(5), `state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Running or runnable.
    Running,
    /// Waits for something that always comes, mostly a disk.
    Disk,
    /// Waits for something that may never come.
    Sleeping,
    /// Stopped by a debugger or a signal.
    Stopped,
}

/// What the kernel says about a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ThreadUse {
    state: State,
    cpu_ns: u64,
}

impl ThreadUse {
    /// Reads fields 3, 14 and 15 of `/proc/self/task/N/stat` (proc(5)). Field 2 is a name in parentheses that may contain any
    /// characters.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = match fields.next()? {
            "R" => State::Running,
            "D" => State::Disk,
            "T" | "t" => State::Stopped,
            _ => State::Sleeping,
        };
        let mut ticks = fields.skip(10).map(str::parse::<u64>);
        let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
        Some(Self { state, cpu_ns: (user + system) * TICK_NS })
    }

    fn of(thread: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?)
    }
}

/// What the watchdog knows of one executor in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Time since its last heartbeat.
    age_ns: u64,
    /// CPU time used since it became a suspect; `None` if unknown.
    used_ns: Option<u64>,
    /// State of its thread in the last round and in this one; `None` if unknown.
    states: Option<(State, State)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Healthy,
    /// The machine does not run it; the watchdog waits.
    Starved,
    /// It uses CPU time without a heartbeat.
    Burns,
    /// It waits for something that may never come.
    Waits,
    /// The machine has not run it for longer than [`STARVED_NS`].
    Abandoned,
    /// It has no heartbeat, and the kernel says nothing about its thread.
    Silent,
}

fn judge(seen: &Seen) -> Health {
    if seen.used_ns.is_some_and(|used| used >= BURNT_NS) {
        return Health::Burns;
    }
    if seen.age_ns <= STALE_NS {
        return Health::Healthy;
    }
    match seen.states {
        None => Health::Silent,
        // Asleep in two rounds, so not just between two reads from a slow disk.
        Some((State::Sleeping, State::Sleeping)) => Health::Waits,
        Some(_) if seen.age_ns > STARVED_NS => Health::Abandoned,
        Some(_) => Health::Starved,
    }
}

/// An executor without a heartbeat for longer than [`SUSPECT_NS`].
#[derive(Clone, Copy, Debug)]
struct Suspect {
    beat: Mono,
    /// CPU time of its thread when it became a suspect.
    cpu_ns: Option<u64>,
    state: Option<State>,
    told: Option<Mono>,
}

/// The state of the watchdog for all executors, kept between rounds.
#[derive(Debug)]
struct Watch {
    hearts: Vec<Heartbeat>,
    suspects: Vec<Option<Suspect>>,
}

impl Watch {
    fn new(hearts: Vec<Heartbeat>) -> Self {
        let suspects = hearts.iter().map(|_| None).collect();
        Self { hearts, suspects }
    }

    /// Judges all executors, and returns those that are to be reported, with number and health.
    fn round(&mut self, now: Mono, account: impl Fn(u32) -> Option<ThreadUse>) -> Vec<(usize, Seen, Health)> {
        let mut told = Vec::new();
        for (index, (heart, suspect)) in self.hearts.iter().zip(&mut self.suspects).enumerate() {
            let Some(beat) = heart.last().filter(|beat| now.since(*beat) > SUSPECT_NS) else {
                *suspect = None;
                continue;
            };
            let account = account(heart.0.thread.load(Ordering::Relaxed));
            let (cpu_ns, state) = (account.map(|account| account.cpu_ns), account.map(|account| account.state));
            let fresh = Suspect { beat, cpu_ns, state, told: None };
            let known = suspect.filter(|known| known.beat == beat).unwrap_or(fresh);
            let seen = Seen {
                age_ns: now.since(beat),
                used_ns: cpu_ns.zip(known.cpu_ns).map(|(now, before)| now.saturating_sub(before)),
                states: known.state.zip(state),
            };
            let health = judge(&seen);
            let is_due = known.told.is_none_or(|at| now.since(at) >= TOLD_NS);
            let is_told = health != Health::Healthy && (health != Health::Starved || is_due);
            *suspect = Some(Suspect { state, told: if is_told { Some(now) } else { known.told }, ..known });
            if is_told {
                told.push((index, seen, health));
            }
        }
        told
    }
}

/// Starts the thread that watches `hearts`; reports number them in this order. It runs until the process ends.
///
/// # Errors
/// When the thread cannot be started.
pub fn watch(clock: Clock, hearts: Vec<Heartbeat>) -> io::Result<()> {
    let feed = sd_notify::watchdog_enabled().map(|interval| interval / 3);
    let round = feed.map_or(ROUND, |feed| feed.min(ROUND));
    let watching = move || {
        let (mut last, mut fed) = (clock.mono(), clock.mono());
        let mut watch = Watch::new(hearts);
        loop {
            thread::sleep(round);
            let now = clock.mono();
            if now.since(last) > OVERSLEPT_NS {
                tracing::warn!(ms = now.since(last) / 1_000_000, "the whole process did not run for a while");
            } else {
                for (executor, seen, health) in watch.round(now, ThreadUse::of) {
                    tell_of(executor, watch.hearts[executor].0.thread.load(Ordering::Relaxed), &seen, health);
                }
            }
            if feed.is_some_and(|feed| u128::from(now.since(fed)) >= feed.as_nanos()) {
                systemd::tell(vec![NotifyState::Watchdog]);
                fed = now;
            }
            last = now;
        }
    };
    thread::Builder::new().name("watchdog".to_owned()).spawn(watching).map(drop)
}

/// Logs what is wrong with an executor, and ends the process unless the health is to wait. Does not wait for a reader of the
/// log.
fn tell_of(executor: usize, thread: u32, seen: &Seen, health: Health) {
    let age_ms = seen.age_ns / 1_000_000;
    let used_ms = seen.used_ns.map(|used| used / 1_000_000);
    let state = seen.states.map(|(_, state)| state);
    let place = fs::read_to_string(format!("/proc/self/task/{thread}/wchan")).unwrap_or_default();
    let (cpu, io) = (Pressure::read("cpu"), Pressure::read("io"));
    if health == Health::Starved {
        tracing::warn!(
            executor, age_ms, used_ms, ?state, place, %cpu, %io,
            "the machine does not run an executor; waiting"
        );
        return;
    }
    let why = match health {
        Health::Burns => "executor hangs: it uses CPU time without a heartbeat",
        Health::Waits => "executor hangs: it sleeps without a heartbeat",
        Health::Abandoned => "the machine has not run an executor for too long",
        Health::Healthy | Health::Starved | Health::Silent => "executor hangs",
    };
    tracing::error!(
        executor, age_ms, used_ms, ?state, place, %cpu, %io,
        "{why}: aborting, a restart recovers from the log"
    );
    logging::abort();
}

/// Share of the last ten seconds in which some process of this machine waited for a resource, in percent; `None` if the kernel
/// does not say (`/proc/pressure`, Linux 4.20 with CONFIG_PSI).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pressure(Option<f32>);

impl Pressure {
    fn read(resource: &str) -> Self {
        Self(fs::read_to_string(format!("/proc/pressure/{resource}")).ok().and_then(|text| Self::parse(&text)))
    }

    /// Reads `some avg10=12.34 avg60=…`.
    fn parse(text: &str) -> Option<f32> {
        let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
        line.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
    }
}

impl fmt::Display for Pressure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(percent) => write!(out, "{percent:.0} %"),
            None => out.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn check(age_s: u64, used_s: u64, states: (State, State), expected: Health) {
        let seen = Seen { age_ns: age_s * SECOND, used_ns: Some(used_s * SECOND), states: Some(states) };
        assert_eq!(judge(&seen), expected, "{seen:?}");
    }

    #[test]
    fn one_that_runs_and_does_not_turn_hangs() {
        let running = (State::Running, State::Running);
        check(4, 2, running, Health::Healthy);
        check(5, 4, running, Health::Burns);
        // On an overloaded machine it takes longer until this is certain.
        check(60, 3, running, Health::Starved);
        check(90, 4, running, Health::Burns);
    }

    #[test]
    fn one_that_is_not_run_is_waited_for_but_not_for_ever() {
        for states in [(State::Disk, State::Disk), (State::Running, State::Running), (State::Stopped, State::Stopped)] {
            check(6, 0, states, Health::Starved);
            check(119, 2, states, Health::Starved);
            check(121, 0, states, Health::Abandoned);
        }
    }

    #[test]
    fn one_that_sleeps_hangs_if_it_is_seen_so_twice() {
        check(5, 0, (State::Sleeping, State::Sleeping), Health::Healthy);
        check(6, 0, (State::Sleeping, State::Sleeping), Health::Waits);
        check(6, 0, (State::Disk, State::Sleeping), Health::Starved);
        check(6, 0, (State::Sleeping, State::Disk), Health::Starved);
    }

    #[test]
    fn where_the_kernel_is_silent_the_beat_alone_counts() {
        let seen = |age_s: u64| Seen { age_ns: age_s * SECOND, used_ns: None, states: None };
        assert_eq!((judge(&seen(5)), judge(&seen(6))), (Health::Healthy, Health::Silent));
    }

    /// The reports of rounds of half a second: the second of each, and the health.
    fn rounds(heart: &Heartbeat, until_s: u64, account: impl Fn(u64) -> ThreadUse) -> Vec<(u64, Health)> {
        let mut watch = Watch::new(vec![Heartbeat::default(), heart.clone()]);
        let mut told = Vec::new();
        for half in 0..until_s * 2 {
            let now = Mono((100 * SECOND) + half * SECOND / 2);
            let round = watch.round(now, |_| Some(account(half)));
            told.extend(round.into_iter().map(|(index, _, health)| {
                assert_eq!(index, 1);
                (half / 2, health)
            }));
        }
        told
    }

    #[test]
    fn an_idle_executor_on_a_starved_disk_is_told_of_every_five_seconds() {
        let heart = Heartbeat::default();
        heart.beat(Mono(100 * SECOND));
        let told = rounds(&heart, 20, |_| ThreadUse { state: State::Disk, cpu_ns: 7 * SECOND });
        assert_eq!(told, [(5, Health::Starved), (10, Health::Starved), (15, Health::Starved)]);
    }

    #[test]
    fn a_loop_is_found_by_what_it_burnt_since_it_was_suspected() {
        let heart = Heartbeat::default();
        heart.beat(Mono(100 * SECOND));
        let burning = |half: u64| ThreadUse { state: State::Running, cpu_ns: 900 * SECOND + half * SECOND / 2 };
        assert_eq!(rounds(&heart, 6, burning), [(5, Health::Burns)]);
        heart.retire();
        assert_eq!(rounds(&heart, 20, burning), []);
    }

    #[test]
    fn the_kernels_account_is_read() {
        let stat = "4711 (co) re-0) D 1 4711 1 0 -1 4194368 9 0 1 0 250 17 0 0 20 0 9 0 12345 1 2 18446744073709551615";
        assert_eq!(ThreadUse::parse(stat), Some(ThreadUse { state: State::Disk, cpu_ns: 2_670_000_000 }));
        assert_eq!(ThreadUse::parse("4711 (core-0"), None);
        assert!(ThreadUse::of(thread_id()).is_some_and(|own| own.state == State::Running));
        assert_eq!(ThreadUse::of(0), None);
    }

    #[test]
    fn pressure_is_read_where_there_is_any() {
        assert_eq!(Pressure::parse("some avg10=87.92 avg60=82.92 total=1\nfull avg10=0.00"), Some(87.92));
        assert_eq!(Pressure::parse("full avg10=0.00"), None);
        assert_eq!((Pressure(Some(87.92)).to_string(), Pressure(None).to_string()), ("88 %".into(), "unknown".into()));
    }
}
