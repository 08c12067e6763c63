//! Measures the CPU time that the machine takes for itself. A virtual machine may stop a processor for milliseconds
//! without reporting it: the kernel counts that as CPU time of the process that was running. So each processor gets a
//! witness thread of real-time priority that records when it was woken late.
//!
//! Knows gaps and how a daemon's log reports long polls; gives no result if it may not have that priority (that needs root).

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};
use serde::Deserialize;
use stentor::http::rfc3339;

/// Time between two wake-ups of a witness.
const PERIOD: Duration = Duration::from_micros(500);
/// A wake-up that is this much too late is a gap.
const LATE: Duration = Duration::from_micros(500);
/// How exactly the log gives the end of a poll, ms.
const GRAIN_MS: f64 = 1.0;
/// The daemon's log message about a long poll.
const TOLD: &str = "a task kept its executor for long";

/// When a processor was stopped, in ms since 1970.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: f64,
    to: f64,
}

/// The witness threads, running.
#[derive(Debug)]
pub(super) struct Witnesses {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Option<Vec<Gap>>>>,
}

/// What they have recorded: the gaps of each processor.
#[derive(Debug)]
pub(super) struct Seen(Vec<Vec<Gap>>);

/// A long poll, as the log reports it.
#[derive(Debug, Deserialize)]
struct Told {
    timestamp: String,
    message: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    cpu_ms: u64,
    #[serde(default)]
    wall_ms: u64,
}

/// A long poll, and how much of its time the machine took.
#[derive(Debug)]
pub(super) struct LongPoll {
    pub task: String,
    /// Rounded up.
    pub cpu_ms: f64,
    pub taken_ms: f64,
}

impl LongPoll {
    /// CPU time that the daemon itself took.
    pub(super) fn own_ms(&self) -> f64 {
        self.cpu_ms - self.taken_ms
    }
}

impl Witnesses {
    /// Starts one for each processor that this process may use.
    pub(super) fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let all = sched_getaffinity(None).ok();
        let own = |cpu: &usize| all.as_ref().is_some_and(|all| all.is_set(*cpu));
        let watch = |cpu| {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || watch(cpu, &is_over))
        };
        let threads = (0..CpuSet::MAX_CPU).filter(own).map(watch).collect();
        Self { is_over, threads }
    }

    /// Ends them. `None` if they could not get real-time priority.
    pub(super) fn finish(self) -> Option<Seen> {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().ok().flatten()).collect::<Option<_>>().map(Seen)
    }
}

fn watch(cpu: usize, is_over: &AtomicBool) -> Option<Vec<Gap>> {
    let mut own = CpuSet::new();
    own.set(cpu);
    sched_setaffinity(None, &own).ok()?;
    let tid = gettid().as_raw_nonzero().to_string();
    let mut first = Command::new("chrt");
    first.args(["--fifo", "--pid", "1", &tid]).stdout(Stdio::null()).stderr(Stdio::null());
    first.status().ok()?.success().then_some(())?;
    let mut gaps = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let due = Instant::now() + PERIOD;
        thread::sleep(PERIOD);
        let late = due.elapsed();
        if late > LATE {
            let to = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64() * 1_000.0;
            gaps.push(Gap { from: to - late.as_secs_f64() * 1_000.0, to });
        }
    }
    Some(gaps)
}

impl Seen {
    /// The longest time for which one processor was stopped within that period.
    fn within(&self, from: f64, to: f64) -> f64 {
        let part = |gap: &Gap| (gap.to.min(to) - gap.from.max(from)).max(0.0);
        self.0.iter().map(|gaps| gaps.iter().map(part).sum()).fold(0.0, f64::max)
    }

    /// The long polls that a daemon's log reports.
    pub(super) fn long_polls(&self, log: &str) -> Vec<LongPoll> {
        let told = log.lines().filter(|line| line.contains(TOLD)).filter_map(|line| serde_json::from_str(line).ok());
        let poll = |told: Told| {
            let ended = rfc3339::parse(&told.timestamp).ok()?.0 as f64 + GRAIN_MS;
            let taken_ms = self.within(ended - told.wall_ms as f64 - 2.0 * GRAIN_MS, ended);
            Some(LongPoll { task: told.task, cpu_ms: told.cpu_ms as f64 + 1.0, taken_ms })
        };
        told.filter(|told: &Told| told.message == TOLD).filter_map(poll).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(at: &str, cpu_ms: u64, wall_ms: u64) -> String {
        format!(
            r#"{{"timestamp":"2026-11-29T{at}Z","level":"WARN","message":"{TOLD}","task":"main","cpu_ms":{cpu_ms},"wall_ms":{wall_ms}}}"#
        )
    }

    #[test]
    fn what_the_machine_took_of_a_poll_is_what_stood_still_while_it_ran() {
        let at = |text: &str| rfc3339::parse(&format!("2026-11-29T{text}Z")).expect("a time").0 as f64;
        let gap = |to: f64, ms: f64| Gap { from: to - ms, to };
        let end = at("10:00:01.500");
        // One processor was stopped twice during the poll, the other once but longer; the last gap is outside the poll.
        let seen = Seen(vec![
            vec![gap(end - 20.0, 4.0), gap(end - 5.0, 3.0)],
            vec![gap(end - 10.0, 12.0), gap(end + 60.0, 30.0)],
        ]);
        let log = [told("10:00:01.500", 19, 25), "no JSON, but a task kept its executor for long".to_owned()];
        let polls = seen.long_polls(&log.join("\n"));
        assert_eq!(polls.len(), 1, "{polls:?}");
        assert_eq!((polls[0].task.as_str(), polls[0].cpu_ms, polls[0].taken_ms), ("main", 20.0, 12.0));
        assert!((polls[0].own_ms() - 8.0).abs() < 1e-9);
        let none = Seen(Vec::new()).long_polls(&told("10:00:01.500", 10, 10));
        assert_eq!((none[0].taken_ms, none[0].own_ms()), (0.0, 11.0));
    }
}
