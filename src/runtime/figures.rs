//! What the kernel says about this process, read once a second by a thread of its own: `/proc` is mostly memory, but reading
//! it takes locks that others hold, and with thousands of descriptors milliseconds.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Ticks per second of the times in `/proc` (`USER_HZ`: 100 on every architecture on which Linux runs this program).
const TICKS_PER_S: u64 = 100;

/// Figures of the process; `None` for what the kernel does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// Number of threads.
    pub threads: Option<u64>,
    /// Descriptors in use.
    pub open_files: Option<u64>,
    /// Descriptors that may be in use.
    pub open_files_max: Option<u64>,
    /// CPU time used, whole seconds.
    pub cpu_s: Option<u64>,
    /// When it started, since the Unix epoch.
    pub start_s: Option<f64>,
}

/// The figures of the last look.
#[derive(Clone, Debug, Default)]
pub struct LastLook(Arc<Mutex<Figures>>);

/// Dropping it stops the looking.
#[derive(Debug)]
pub struct Looking {
    _stop: mpsc::Sender<()>,
}

impl LastLook {
    /// The last figures.
    pub fn figures(&self) -> Figures {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks now, and then every second until the returned value is dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn watch(&self) -> io::Result<Looking> {
        let (stop, stopped) = mpsc::channel::<()>();
        let last = self.clone();
        last.put(Figures::look());
        thread::Builder::new().name("figures".to_owned()).spawn(move || {
            while stopped.recv_timeout(PERIOD) == Err(mpsc::RecvTimeoutError::Timeout) {
                last.put(Figures::look());
            }
        })?;
        Ok(Looking { _stop: stop })
    }

    fn put(&self, figures: Figures) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }
}

impl Figures {
    /// The current figures. Not for executors.
    pub fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/self/status");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).and_then(first_number);
        let limits = read("/proc/self/limits");
        let times = Times::parse(&read("/proc/self/stat"));
        let boot = read("/proc/stat");
        let boot_s = boot.lines().find_map(|line| line.strip_prefix("btime ")).and_then(first_number);
        Self {
            resident_bytes: field("VmRSS:").map(|kib| kib * 1_024),
            threads: field("Threads:"),
            open_files: open_files(),
            open_files_max: limits.lines().find_map(|line| line.strip_prefix("Max open files")).and_then(first_number),
            cpu_s: times.map(|times| times.cpu_ticks / TICKS_PER_S),
            start_s: boot_s
                .zip(times)
                .map(|(boot_s, times)| boot_s as f64 + times.start_ticks as f64 / TICKS_PER_S as f64),
        }
    }
}

/// Since Linux 6.2 the directory's size is the number of open files; before that it was 0 and they must be counted, one of them
/// being the directory that is read.
fn open_files() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.size() {
        0 => fs::read_dir("/proc/self/fd").ok().map(|open| open.count().saturating_sub(1) as u64),
        open => Some(open),
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Times from `/proc/self/stat` (proc(5)): fields 14 and 15, CPU time in user and kernel mode; 22, start after boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    cpu_ticks: u64,
    start_ticks: u64,
}

impl Times {
    /// The second field is the command's name in parentheses and may contain anything.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
        Some(Self { cpu_ticks: field(14)? + field(15)?, start_ticks: field(22)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_tells_of_itself() {
        let last = LastLook::default();
        assert_eq!(last.figures(), Figures::default());
        let looking = last.watch().expect("a thread");
        let figures = last.figures();
        assert!(figures.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(
            figures.open_files.is_some_and(|open| open >= 3) && figures.threads.is_some_and(|threads| threads >= 2)
        );
        assert!(figures.open_files_max.is_some_and(|most| most >= 3));
        assert!(figures.start_s.is_some_and(|start| start > 1_600_000_000.0) && figures.cpu_s.is_some());
        drop(looking);
    }

    #[test]
    fn times_stand_behind_a_name_that_may_hold_anything() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 130 21 0 0 20 0 3 0 5555 1000 200";
        assert_eq!(Times::parse(stat), Some(Times { cpu_ticks: 151, start_ticks: 5_555 }));
        assert_eq!(Times::parse("7 (a) S 1"), None);
        assert_eq!(Times::parse(""), None);
    }
}
