//! An attack: a name, a number of threads that repeat its round, and a tally of how the rounds ended. Knows when all
//! attacks begin and end, not what any of them does.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a thread sleeps before it checks whether the phase is over.
const TICK: Duration = Duration::from_millis(50);
/// Attackers have low priority: on a small machine they would otherwise take the processor from carrier and client,
/// whose waiting would then be counted as the daemon's.
const NICE: i32 = 10;
/// Most ids of the innocent tenant that attackers may know.
const IDS_MAX: usize = 200;

/// The target of the attacks, and the time of the phase.
#[derive(Debug)]
pub(super) struct Front {
    pub http: SocketAddr,
    /// How long the phase lasts.
    pub time: Duration,
    begun: Instant,
    is_over: AtomicBool,
    ids: Mutex<VecDeque<String>>,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// With an HTTP status.
    Answered(u16),
    /// The other side closed the connection without an answer.
    Cut,
    /// The attacker gave up after its time.
    Held,
    /// No connection could be opened.
    Refused,
}

/// How the rounds of one attack ended.
#[derive(Debug)]
pub(super) struct Tally {
    pub name: &'static str,
    endings: Mutex<BTreeMap<Ending, u64>>,
    /// What went over the wire, if that is of interest: PDUs, messages.
    units: AtomicU64,
}

/// What one thread repeats; each call notes at least one ending.
type Round = Box<dyn Fn(&Front, &Tally) + Send + Sync>;

/// One kind of attack.
pub(super) struct Attack {
    pub name: &'static str,
    /// How many threads do it at the same time.
    pub hands: usize,
    /// Pause between two rounds of one thread.
    pub pause: Duration,
    pub round: Round,
}

/// All attacks, running.
#[derive(Debug)]
pub(super) struct Campaign {
    front: Arc<Front>,
    tallies: Vec<Arc<Tally>>,
    threads: Vec<JoinHandle<()>>,
}

impl Front {
    /// A phase of that length, which begins now.
    pub(super) fn new(http: SocketAddr, time: Duration) -> Arc<Self> {
        let (is_over, ids) = (AtomicBool::new(false), Mutex::new(VecDeque::new()));
        Arc::new(Self { http, time, begun: Instant::now(), is_over, ids })
    }

    /// Whether the phase has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Time since the phase began.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits, but not beyond the end of the phase.
    pub(super) fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_over() {
            match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return,
                left => thread::sleep(left.min(TICK)),
            }
        }
    }

    /// The innocent tenant's message got this id.
    pub(super) fn publish(&self, id: &str) {
        let mut ids = self.ids();
        ids.push_front(id.to_owned());
        ids.truncate(IDS_MAX);
    }

    /// One of the last ids that the innocent tenant got; `number` chooses.
    pub(super) fn id(&self, number: u64) -> Option<String> {
        let ids = self.ids();
        let index = usize::try_from(number).ok()?.checked_rem(ids.len())?;
        ids.get(index).cloned()
    }

    fn ids(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// An empty tally.
    pub(super) fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, endings: Mutex::default(), units: AtomicU64::new(0) })
    }

    /// Counts the end of a round.
    pub(super) fn note(&self, ending: Ending) {
        *self.endings().entry(ending).or_default() += 1;
    }

    /// Counts what went over the wire; gives the count before.
    pub(super) fn count(&self, units: u64) -> u64 {
        self.units.fetch_add(units, Ordering::Relaxed)
    }

    /// Rounds that ended so far.
    pub(super) fn rounds(&self) -> u64 {
        self.endings().values().sum()
    }

    fn endings(&self) -> MutexGuard<'_, BTreeMap<Ending, u64>> {
        self.endings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Campaign {
    /// No attack has begun.
    pub(super) fn new(front: &Arc<Front>) -> Self {
        Self { front: Arc::clone(front), tallies: Vec::new(), threads: Vec::new() }
    }

    /// Lets an attack begin.
    pub(super) fn begin(&mut self, attack: Attack) {
        let (round, tally) = (Arc::new(attack.round), Tally::new(attack.name));
        for _ in 0..attack.hands {
            let (round, tally) = (Arc::clone(&round), Arc::clone(&tally));
            self.join_in(move |front| {
                while !front.is_over() {
                    round(front, &tally);
                    front.wait(attack.pause);
                }
            });
        }
        self.tallies.push(tally);
    }

    /// Runs `act` in a thread until the phase is over; it counts in `tallies`.
    pub(super) fn begin_with(&mut self, tallies: &[Arc<Tally>], act: impl FnOnce(&Arc<Front>) + Send + 'static) {
        self.tallies.extend_from_slice(tallies);
        self.join_in(act);
    }

    /// Includes the tally of another thread.
    pub(super) fn add(&mut self, tally: &Arc<Tally>) {
        self.tallies.push(Arc::clone(tally));
    }

    fn join_in(&mut self, act: impl FnOnce(&Arc<Front>) + Send + 'static) {
        let front = Arc::clone(&self.front);
        self.threads.push(thread::spawn(move || {
            // On Linux both concern the calling thread and the threads that it starts. If refused, it attacks with more power.
            let _ = setpriority_process(None, NICE);
            let _ = leave_first_cpu();
            act(&front);
        }));
    }

    /// Ends all attacks; gives their tallies.
    pub(super) fn end(self) -> Vec<Arc<Tally>> {
        self.front.end();
        for thread in self.threads {
            // A thread that panicked has reported that, and its tally shows no rounds.
            let _ = thread.join();
        }
        self.tallies
    }
}

/// Attackers use other CPUs: their effect on the daemon counts, not that their own work takes its one core away.
fn leave_first_cpu() -> rustix::io::Result<()> {
    let mut cpus = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| cpus.is_set(*cpu)).unwrap_or_default();
    if cpus.count() > 1 {
        cpus.unset(first);
    }
    sched_setaffinity(None, &cpus)
}

impl fmt::Debug for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attack").field("name", &self.name).field("hands", &self.hands).finish_non_exhaustive()
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => write!(f, "{status}"),
            Self::Cut => f.write_str("cut"),
            Self::Held => f.write_str("held"),
            Self::Refused => f.write_str("no connection"),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endings = self.endings();
        let told: Vec<String> = endings.iter().map(|(ending, times)| format!("{ending} × {times}")).collect();
        f.write_str(if told.is_empty() { "never" } else { "" })?;
        f.write_str(&told.join(", "))?;
        match self.units.load(Ordering::Relaxed) {
            0 => Ok(()),
            units => write!(f, "; {units} units"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front() -> Arc<Front> {
        Front::new("127.0.0.1:1".parse().unwrap(), Duration::from_secs(60))
    }

    #[test]
    fn rounds_go_on_until_the_phase_ends() {
        let front = front();
        let mut campaign = Campaign::new(&front);
        let (told, heard) = std::sync::mpsc::channel();
        let round = move |_: &Front, tally: &Tally| {
            tally.note(Ending::Answered(413));
            let _ = told.send(());
        };
        campaign.begin(Attack { name: "a", hands: 2, pause: Duration::ZERO, round: Box::new(round) });
        (0..10).for_each(|_| heard.recv().unwrap());
        let tallies = campaign.end();
        assert!(tallies[0].rounds() >= 10 && tallies[0].to_string().starts_with("413 × "));
        front.wait(Duration::from_secs(3_600));
    }

    #[test]
    fn a_tally_is_told_in_one_line() {
        let tally = Tally::new("b");
        assert_eq!(tally.to_string(), "never");
        for ending in [Ending::Held, Ending::Cut, Ending::Answered(503), Ending::Cut] {
            tally.note(ending);
        }
        tally.count(7);
        assert_eq!(tally.to_string(), "503 × 1, cut × 2, held × 1; 7 units");
    }

    #[test]
    fn the_last_ids_are_known() {
        let front = front();
        assert_eq!(front.id(3), None);
        (0..300).for_each(|number| front.publish(&number.to_string()));
        assert_eq!((front.id(0), front.id(199), front.id(200)), (front.id(200), Some("100".to_owned()), front.id(0)));
    }
}
