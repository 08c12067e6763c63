//! Watches the processes of a run from outside: CPU of each, of the daemon's threads, and of the whole machine, and the
//! bytes that the daemon had written, at regular intervals. Reads /proc alone, and knows nothing of what the processes
//! do.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::bottleneck::Shares;
use super::result::Thread;
use crate::run::figure::Unit;
use crate::run::process::{parse_cpu, parse_written};
use crate::run::result::Series;
use crate::run::roster::{Member, Role, Roster};

/// Most threads that are listed; the others are almost idle.
const THREADS_MAX: usize = 16;
/// An hour at one sample a second: of a longer run only the first part is listed.
const SAMPLES_MAX: usize = 3_600;

/// A thread that takes samples.
#[derive(Debug)]
pub(super) struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<Vec<Sample>>,
    interval: Duration,
}

/// One sample.
#[derive(Clone, Debug, Default)]
struct Sample {
    at_s: f64,
    /// CPU seconds used so far, by role.
    cpu_s: BTreeMap<Role, f64>,
    is_generating: bool,
    written: f64,
    /// By process and thread: name and CPU seconds.
    threads: BTreeMap<(u32, u32), (String, f64)>,
    /// CPU seconds of the whole machine that were used.
    busy_s: f64,
}

/// The result of watching.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    pub series: Vec<Series>,
    pub threads: Vec<Thread>,
    /// Shares of CPU while messages were offered; `None` if there were fewer than two samples meanwhile.
    pub shares: Option<Shares>,
}

impl Sampler {
    /// Begins to watch the processes on the roster.
    pub(super) fn start(roster: Roster, interval: Duration) -> Self {
        let (stop, stopped) = channel::<()>();
        let thread = thread::spawn(move || {
            let begun = Instant::now();
            let mut samples = Vec::new();
            for number in 1_u32.. {
                if samples.len() < SAMPLES_MAX {
                    samples.push(look(&roster.members(), begun.elapsed().as_secs_f64()));
                }
                let due = (interval * number).saturating_sub(begun.elapsed());
                match stopped.recv_timeout(due) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            samples
        });
        Self { stop, thread, interval }
    }

    /// Stops; gives the result.
    pub(super) fn finish(self, cpus: usize) -> Watched {
        drop(self.stop);
        let samples = self.thread.join().unwrap_or_default();
        tell(&samples, self.interval.as_secs_f64(), cpus)
    }
}

fn look(members: &[Member], at_s: f64) -> Sample {
    let mut sample = Sample { at_s, busy_s: busy_s(&read("/proc/stat")), ..Sample::default() };
    for member in members {
        let directory = format!("/proc/{}", member.pid);
        let stat = read(&format!("{directory}/stat"));
        let Some(cpu_s) = parse_cpu(&stat) else { continue };
        *sample.cpu_s.entry(member.role).or_default() += cpu_s;
        match member.role {
            Role::Daemon => {
                sample.written += parse_written(&read(&format!("{directory}/io"))).unwrap_or(0) as f64;
                sample.threads.extend(threads(member.pid));
            }
            // A process that has ended but was not waited for works no more.
            Role::Generator => sample.is_generating |= !stat.contains(") Z "),
            Role::Simulator => {}
        }
    }
    sample
}

fn threads(pid: u32) -> Vec<((u32, u32), (String, f64))> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let one = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let id = task.file_name().to_string_lossy().parse().ok()?;
        let (from, to) = (stat.find('(')?, stat.rfind(')')?);
        Some(((pid, id), (stat.get(from + 1..to)?.to_owned(), parse_cpu(&stat)?)))
    };
    tasks.filter_map(one).collect()
}

/// User, nice, system, irq, softirq and steal of the first line of /proc/stat (proc_stat(5)), in seconds.
fn busy_s(stat: &str) -> f64 {
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|index| ticks.get(*index)).sum();
    busy as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn tell(samples: &[Sample], interval_s: f64, cpus: usize) -> Watched {
    let between = |unit: Unit, name: &str, of: &dyn Fn(&Sample) -> f64, is_rate: bool| {
        let values = samples.windows(2).map(|pair| {
            let seconds = (pair[1].at_s - pair[0].at_s).max(1e-9);
            // A process that has ended takes its counts with it.
            let more = (of(&pair[1]) - of(&pair[0])).max(0.0);
            if is_rate { more / seconds } else { more }
        });
        Series { name: name.to_owned(), unit, interval_s, values: values.collect() }
    };
    let cpu = |role: Role| move |sample: &Sample| sample.cpu_s.get(&role).copied().unwrap_or(0.0);
    let mut series: Vec<_> = [("daemon", Role::Daemon), ("generator", Role::Generator), ("simulator", Role::Simulator)]
        .into_iter()
        .map(|(name, role)| between(Unit::Cpus, name, &cpu(role), true))
        .collect();
    series.push(between(Unit::Bytes, "written by the daemon", &|sample| sample.written, false));
    let offering: Vec<_> = samples.iter().filter(|sample| sample.is_generating).collect();
    let (Some(first), Some(last)) = (offering.first(), offering.last()) else {
        return Watched { series, ..Watched::default() };
    };
    let seconds = last.at_s - first.at_s;
    if seconds <= 0.0 {
        return Watched { series, ..Watched::default() };
    }
    let share = |role: Role| ((cpu(role)(last) - cpu(role)(first)) / seconds).max(0.0);
    let (daemon, generator, simulator) = (share(Role::Daemon), share(Role::Generator), share(Role::Simulator));
    let others = ((last.busy_s - first.busy_s) / seconds - daemon - generator - simulator).max(0.0);
    let shares = Shares { daemon, generator, simulator, others, cpus: cpus as f64 };
    Watched { series, threads: busiest(first, last, seconds), shares: Some(shares) }
}

fn busiest(first: &Sample, last: &Sample, seconds: f64) -> Vec<Thread> {
    let before = |id: &(u32, u32)| first.threads.get(id).map_or(0.0, |(_, cpu_s)| *cpu_s);
    let used = last.threads.iter().map(|(id, (name, cpu_s))| (name.clone(), (cpu_s - before(id)).max(0.0) / seconds));
    let mut threads: Vec<_> = used.map(|(name, cpus)| Thread { name, cpus }).collect();
    threads.sort_by(|a, b| b.cpus.total_cmp(&a.cpus));
    threads.truncate(THREADS_MAX);
    threads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_s: f64, daemon: f64, is_generating: bool) -> Sample {
        Sample {
            at_s,
            cpu_s: [(Role::Daemon, daemon), (Role::Simulator, at_s / 2.0)].into(),
            is_generating,
            written: at_s * 100.0,
            threads: [((1, 1), ("a".to_owned(), daemon)), ((1, 2), ("b".to_owned(), daemon * 2.0))].into(),
            busy_s: at_s * 3.0,
        }
    }

    #[test]
    fn shares_are_those_of_the_time_of_the_load() {
        let samples =
            [sample(0.0, 5.0, false), sample(1.0, 5.0, true), sample(3.0, 8.0, true), sample(4.0, 8.0, false)];
        let watched = tell(&samples, 1.0, 4);
        let shares = watched.shares.unwrap();
        assert_eq!((shares.daemon, shares.generator, shares.simulator, shares.cpus), (1.5, 0.0, 0.5, 4.0));
        assert_eq!(shares.others, 1.0);
        assert_eq!(watched.series[0].values, [0.0, 1.5, 0.0]);
        assert_eq!(watched.series[3].values, [100.0, 200.0, 100.0]);
        assert_eq!((watched.threads[0].name.as_str(), watched.threads[0].cpus), ("b", 3.0));
    }

    #[test]
    fn too_few_looks_tell_nothing() {
        assert!(tell(&[], 1.0, 2).shares.is_none());
        assert!(tell(&[sample(1.0, 1.0, true)], 1.0, 2).shares.is_none());
    }

    #[test]
    fn this_process_is_seen() {
        let roster = Roster::default();
        roster.enter(Role::Daemon, std::process::id());
        let sampler = Sampler::start(roster.clone(), Duration::from_millis(1));
        assert!(!threads(std::process::id()).is_empty());
        assert!(look(&roster.members(), 0.0).busy_s > 0.0);
        assert_eq!(sampler.finish(2).series.len(), 4);
        assert!(
            (busy_s("cpu  1 2 3 4 5 6 7 8 9 9\n") - 27.0 / rustix::param::clock_ticks_per_second() as f64).abs() < 1e-9
        );
        assert_eq!(busy_s(""), 0.0);
    }
}
