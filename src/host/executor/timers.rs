//! An ordered list of timers. Knows wakers and instants; neither who waits nor how the kernel is set.

use std::{collections::BTreeMap, task::Waker};

use stentor_core::model::Mono;

/// The timers of one kind of one executor. There are few, because connections have no timers of their own: one sweeper task
/// checks the deadlines of all connections.
#[derive(Debug, Default)]
pub(super) struct Timers {
    waiting: BTreeMap<(Mono, u64), Waker>,
    ids: u64,
}

impl Timers {
    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn set(&mut self, at: Mono, id: u64, waker: &Waker) {
        let entry = self.waiting.entry((at, id)).or_insert_with(|| waker.clone());
        entry.clone_from(waker);
    }

    pub(super) fn remove(&mut self, at: Mono, id: Option<u64>) {
        if let Some(id) = id {
            self.waiting.remove(&(at, id));
        }
    }

    /// Removes the timers that are due, and returns their wakers.
    pub(super) fn due(&mut self, now: Mono) -> Vec<Waker> {
        let later = self.waiting.split_off(&(now.after_ns(1), 0));
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }

    /// When the first timer is due.
    pub(super) fn first(&self) -> Option<Mono> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
