//! Who takes part in a run: the process ids of daemon, generator and simulator, for the sampler that watches them.

use std::sync::{Arc, Mutex, PoisonError};

/// The role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Daemon,
    Generator,
    Simulator,
}

/// One process; the list is in the order of the starts. Once the run is over, another process may have the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub role: Role,
    pub pid: u32,
}

/// The list; its clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster(Arc<Mutex<Vec<Member>>>);

impl Roster {
    /// Enters a process that was just started.
    pub(crate) fn enter(&self, role: Role, pid: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Member { role, pid });
    }

    /// All of them so far.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
