//! Which messages admitted by this process are not settled, so that the shard's check can tell that none is lost.
//!
//! A look at the places cannot tell that: a message that is in no place leaves no trace. Kept in debug builds only, and only
//! while the messages are few.

use std::collections::BTreeSet;

use crate::delivery::Happened;
use crate::model::{Address, WALKED_MAX};

/// The unsettled messages of a shard.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    unsettled: BTreeSet<Address>,
    /// Those of them that have expired and whose entry in a list was passed over: the alarm of their segment ends them.
    passed_over: BTreeSet<Address>,
    /// There were too many once: from then on nothing is kept.
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

    /// A message's entry in a list was passed over; its segment's alarm has still to end it.
    pub(super) fn passed_over(&mut self, address: Address) {
        if self.unsettled.contains(&address) {
            self.passed_over.insert(address);
        }
    }

    /// Something happens to a message.
    pub(super) fn happens(&mut self, address: Address, what: Happened) {
        // Its carrier has all of it, or it has ended.
        if what.is_final() || matches!(what, Happened::Submitted { .. } | Happened::Resolved { .. }) {
            self.unsettled.remove(&address);
            self.passed_over.remove(&address);
        }
    }

    /// Messages that must be in a place.
    pub(super) fn placed(&self) -> impl Iterator<Item = Address> {
        self.unsettled.iter().copied().filter(|address| !self.passed_over.contains(address))
    }

    /// Messages that are in no place and that an alarm must end.
    pub(super) fn ending(&self) -> impl Iterator<Item = Address> {
        self.passed_over.iter().copied()
    }

    /// Whether a message is known not to be settled.
    pub(super) fn is_unsettled(&self, address: Address) -> bool {
        self.unsettled.contains(&address)
    }
}
