//! Who waits until when, in order. Knows wakers and instants; not who asks, nor what the kernel is told of it.

use std::{collections::BTreeMap, task::Waker};

use stentor_core::model::Mono;

/// Timers of one kind of one executor. Few: a connection has none of its own, a sweeper looks after all of them.
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

    /// Takes out those whose time has come.
    pub(super) fn due(&mut self, now: Mono) -> Vec<Waker> {
        let later = self.waiting.split_off(&(now.after_ns(1), 0));
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }

    /// When the first of them is due.
    pub(super) fn first(&self) -> Option<Mono> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
