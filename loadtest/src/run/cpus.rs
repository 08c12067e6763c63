//! Sets of CPUs, as in `0-3,8`: read from the command line, and applied to this thread while a process is started,
//! which inherits them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPUs by their numbers; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cpus(BTreeSet<usize>);

/// While it exists, this thread runs only on those CPUs, and so does every process that it starts.
#[derive(Debug)]
pub(crate) struct Hold {
    before: CpuSet,
}

impl Cpus {
    /// Number of CPUs.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Moves this thread to them.
    pub(crate) fn hold(&self) -> Result<Hold, String> {
        let before = sched_getaffinity(None).map_err(|error| format!("CPUs of this thread: {error}"))?;
        let mut wanted = CpuSet::new();
        self.0.iter().for_each(|cpu| wanted.set(*cpu));
        sched_setaffinity(None, &wanted).map_err(|error| format!("CPUs {self}: {error}: none may be used here"))?;
        Ok(Hold { before })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The old set was valid a moment ago; if a cgroup has taken its CPUs away since, the kernel chooses others.
        let _ = sched_setaffinity(None, &self.before);
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|cpu| *cpu < CpuSet::MAX_CPU);
        let mut cpus = BTreeSet::new();
        for piece in text.split(',') {
            let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => cpus.extend(first..=last),
                _ => return Err(format!("`{piece}` is not a CPU below {} or a range such as 0-3", CpuSet::MAX_CPU)),
            }
        }
        Ok(Self(cpus))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&list.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_read() {
        let shown = |text: &str| text.parse::<Cpus>().map(|cpus| cpus.to_string());
        assert_eq!(shown("0-3,8"), Ok("0,1,2,3,8".to_owned()));
        assert_eq!(shown("5"), Ok("5".to_owned()));
        for text in ["", "3-1", "a", "0,,1", "0-", "99999", "-1"] {
            assert!(shown(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_held_is_inherited_and_given_back() {
        let before = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap();
        let held = first.to_string().parse::<Cpus>().unwrap().hold().unwrap();
        let status = std::process::Command::new("cat").arg("/proc/self/status").output().unwrap().stdout;
        let status = String::from_utf8_lossy(&status).into_owned();
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        assert_eq!(line.trim(), first.to_string());
        drop(held);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
