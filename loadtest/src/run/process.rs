//! One child process of a scenario: started, watched through /proc, signalled by its pid, killed with its owner. Its
//! output goes to a file. Knows nothing of what the process does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::guard;

const TICK: Duration = Duration::from_millis(10);

/// A running child; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all its threads, in seconds.
    pub cpu_s: f64,
    /// The most memory that was resident so far, in bytes.
    pub rss_peak: u64,
    /// Bytes that it had written to storage; writes to a file system in memory do not count.
    pub written: u64,
}

impl Process {
    /// Starts a command whose stdout and stderr go to `directory/name.log`.
    pub(crate) fn start(name: &str, directory: &Path, command: &mut Command) -> Result<Self, String> {
        Self::start_heard(name, directory, command, None)
    }

    /// As [`Self::start`], but stderr goes to a pipe whose reader may write it to [`Self::log_in`].
    pub(crate) fn start_heard(
        name: &str,
        directory: &Path,
        command: &mut Command,
        stderr: Option<Stdio>,
    ) -> Result<Self, String> {
        let log = Self::log_in(directory, name);
        let failed = |error: std::io::Error| format!("{name}: {error}");
        let out = File::create(&log).map_err(failed)?;
        let err = stderr.map_or_else(|| out.try_clone().map(Stdio::from), Ok).map_err(failed)?;
        let child = command
            .env(guard::MARK, directory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| format!("{name}: {}: {error}", command.get_program().to_string_lossy()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The output file of the process with that name.
    pub(crate) fn log_in(directory: &Path, name: &str) -> PathBuf {
        directory.join(format!("{name}.log"))
    }

    /// Its output so far.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal; it is no error if the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        // The child is not reaped before `wait`, so no other process can have its pid.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits until every thread of a stopped process is stopped, or is inside a call that cannot be interrupted.
    pub(crate) fn wait_still(&self, timeout: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while !self.is_still() {
            if begun.elapsed() >= timeout {
                return Err(format!("{} does not stop", self.name));
            }
            thread::yield_now();
        }
        Ok(())
    }

    fn is_still(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        // The state comes after the name, which may contain any characters but ends with the last `)`.
        let state = |stat: &str| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        tasks
            .filter_map(|task| fs::read_to_string(task.path().join("stat")).ok())
            .all(|stat| matches!(state(&stat), Some('T' | 't' | 'D' | 'Z' | 'X')))
    }

    /// Waits for its end, at most `timeout`.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, String> {
        let begun = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if begun.elapsed() >= timeout => {
                    return Err(format!("{} did not end within {timeout:?}", self.name));
                }
                Ok(None) => thread::sleep(TICK),
                Err(error) => return Err(format!("{}: {error}", self.name)),
            }
        }
    }

    /// Fails, with the end of its output, if it has ended.
    pub(crate) fn check_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failure(&format!("ended by itself: {status}"))),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// A message about this process with the last lines that it wrote.
    pub(crate) fn failure(&self, what: &str) -> String {
        let output = self.output();
        let lines: Vec<_> = output.lines().collect();
        let tail = lines[lines.len().saturating_sub(10)..].join("\n");
        format!("{}: {what}\n{tail}", self.name)
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Number of its open descriptors; 0 once it has ended.
    pub(crate) fn fds(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// What it has used; zero once it has ended.
    pub(crate) fn usage(&self) -> Usage {
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default();
        Usage {
            cpu_s: parse_cpu(&read("stat")).unwrap_or(0.0),
            rss_peak: parse_peak(&read("status")).unwrap_or(0),
            written: parse_written(&read("io")).unwrap_or(0),
        }
    }

    /// Its pid; no other process can have it before this one was waited for.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fields 14 and 15 of /proc/PID/stat (proc(5)), counted after the name, which may itself contain blanks.
pub(crate) fn parse_cpu(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `VmHWM` of /proc/PID/status, which is in kB.
fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1_024)
}

/// `write_bytes` of /proc/PID/io.
pub(crate) fn parse_written(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(parse_cpu(stat), Some(300.0 / ticks));
        assert_eq!(parse_peak("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS: 1 kB\n"), Some(2_097_152));
        assert_eq!(parse_written("wchar: 9\nwrite_bytes: 4096\ncancelled_write_bytes: 1\n"), Some(4_096));
        assert_eq!((parse_cpu("x"), parse_peak(""), parse_written("")), (None, None, None));
    }

    #[test]
    fn a_child_is_watched_and_ended() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let mut child =
            Process::start("child", directory.path(), command.args(["-c", "echo here; exec sleep 600"])).unwrap();
        while child.output().is_empty() {
            thread::sleep(TICK);
        }
        assert!(child.usage().rss_peak > 0);
        child.check_alive().unwrap();
        child.signal(Signal::TERM);
        assert!(!child.wait(Duration::from_secs(20)).unwrap().success());
        assert!(child.check_alive().unwrap_err().contains("here"));
        assert!(Process::start("none", directory.path(), &mut Command::new("/no/such/program")).is_err());
    }
}
