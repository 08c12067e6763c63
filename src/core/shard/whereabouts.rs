//! Which messages of this life of the process are not settled: what is admitted goes in, what is settled goes out, and nothing
//! else is asked. So the shard's check can tell that none is lost, which no look at the places tells: a message that is in none
//! leaves no trace. Kept in debug builds alone, and only while they are few.

use std::collections::BTreeSet;

use crate::delivery::Happened;
use crate::model::{Address, WALKED_MAX};

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    unsettled: BTreeSet<Address>,
    /// Of these, whose time is over and whose entry in a list was passed over: the alarm of its segment ends it.
    passed_over: BTreeSet<Address>,
    /// There were too many once: nothing is said any more.
    is_given_up: bool,
}

impl Whereabouts {
    /// A message is admitted.
    pub(super) fn admitted(&mut self, address: Address) {
        if !cfg!(debug_assertions) || self.is_given_up {
            return;
        }
        self.unsettled.insert(address);
        if self.unsettled.len() > WALKED_MAX {
            self.is_given_up = true;
            self.unsettled.clear();
            self.passed_over.clear();
        }
    }

    /// Its entry in a list was passed over, and what ends it is still to come.
    pub(super) fn passed_over(&mut self, address: Address) {
        if self.unsettled.contains(&address) {
            self.passed_over.insert(address);
        }
    }

    /// Something happens to a message.
    pub(super) fn happens(&mut self, address: Address, what: Happened) {
        // With its carrier, which has all of it, or at its end.
        if what.is_final() || matches!(what, Happened::Submitted { .. } | Happened::Resolved { .. }) {
            self.unsettled.remove(&address);
            self.passed_over.remove(&address);
        }
    }

    /// Messages that must be somewhere.
    pub(super) fn placed(&self) -> impl Iterator<Item = Address> {
        self.unsettled.iter().copied().filter(|address| !self.passed_over.contains(address))
    }

    /// Messages that are in no place, and that an alarm must end.
    pub(super) fn ending(&self) -> impl Iterator<Item = Address> {
        self.passed_over.iter().copied()
    }

    /// Whether a message is known not to be settled.
    pub(super) fn is_unsettled(&self, address: Address) -> bool {
        self.unsettled.contains(&address)
    }
}
