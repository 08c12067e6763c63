//! A memory cgroup of its own, so that the kernel's OOM killer kills the process in it and no other. Version 1 or 2,
//! whichever controls memory on this machine. Removed with its owner.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(20);
/// How far below the used memory the limit is set at each try, bytes.
const SQUEEZE: u64 = 4 << 20;

/// A memory cgroup for one process.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
    is_v2: bool,
}

impl Cgroup {
    /// Where memory cgroups can be made on this machine, and whether they are version 2; `None` if they cannot.
    pub(crate) fn place() -> Option<(&'static Path, bool)> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        if v1.join("memory.limit_in_bytes").exists() || v1.join("memory.usage_in_bytes").exists() {
            return Some((v1, false));
        }
        let v2 = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(v2.join("cgroup.subtree_control")).unwrap_or_default();
        controllers.split_whitespace().any(|name| name == "memory").then_some((v2, true))
    }

    /// The path of this program's cgroup, once it is made.
    pub(crate) fn path() -> Option<PathBuf> {
        Self::place().map(|(place, _)| path_in(place))
    }

    /// Makes an empty cgroup without a limit.
    pub(crate) fn make() -> Result<Self, String> {
        let (place, is_v2) = Self::place().ok_or("no memory cgroups here")?;
        let path = path_in(place);
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, is_v2 })
    }

    /// The file into which a process writes its pid to enter.
    pub(crate) fn entrance(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Sets the limit below the used memory until `is_ended`: the kernel first reclaims what it can, then kills.
    pub(crate) fn squeeze(&self, mut is_ended: impl FnMut() -> bool) -> Result<(), String> {
        while !is_ended() {
            let used: u64 = self.read(if self.is_v2 { "memory.current" } else { "memory.usage_in_bytes" })?;
            // Refused while the kernel finds nothing to reclaim; the next allocation of the process is then too much.
            let _ = self.limit(&used.saturating_sub(SQUEEZE).max(SQUEEZE).to_string());
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// Removes the limit.
    pub(crate) fn relax(&self) -> Result<(), String> {
        self.limit(if self.is_v2 { "max" } else { "-1" })
    }

    fn limit(&self, text: &str) -> Result<(), String> {
        let file = self.path.join(if self.is_v2 { "memory.max" } else { "memory.limit_in_bytes" });
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
    }

    fn read(&self, name: &str) -> Result<u64, String> {
        let file = self.path.join(name);
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        text.trim().parse().map_err(|error| format!("{}: {error}", file.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.path) {
            eprintln!("loadtest: {}: {error}", self.path.display());
        }
    }
}

fn path_in(place: &Path) -> PathBuf {
    place.join(format!("stentor-fault-{}", std::process::id()))
}
