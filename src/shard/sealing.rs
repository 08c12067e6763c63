//! How the older half of a full epoch of receipts goes into a sorted run: a few entries for each part that is added, for half
//! a million in one turn would keep everybody waiting.
//!
//! Invariant: an entry that waits leaves the epoch only after a run that answers for it is registered.

use crate::model::Wall;
use crate::store::record::{ReceiptNote, ReceiptsRecord};

use super::awaited::Awaited;

/// Entries that are collected, or that leave, for each part that is added.
pub(super) const PACE: usize = 16;

/// Where it stands. It is about the oldest `entries` of the epoch.
#[derive(Debug)]
pub(super) enum Sealing {
    /// What waits among the first `seen` of them is in `notes`.
    Collecting { entries: usize, seen: usize, notes: Vec<ReceiptNote> },
    /// A run is being written.
    Writing { entries: usize, run: u64, until: Wall },
    /// They leave; so many are still there.
    Leaving { entries: usize },
}

/// What a step has led to.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing yet.
    Under(Sealing),
    /// These wait, and go into a run: the oldest first.
    Collected { entries: usize, notes: Vec<ReceiptNote> },
    /// They have left.
    Done,
}

impl Sealing {
    pub(super) fn of(entries: usize) -> Self {
        Self::Collecting { entries, seen: 0, notes: Vec::new() }
    }

    /// Goes on by `pace` entries. `said`: what the present turn writes down.
    pub(super) fn step(self, pace: usize, awaited: &mut Awaited, said: &mut ReceiptsRecord) -> Step {
        match self {
            Self::Collecting { entries, seen, mut notes } => {
                let upto = (seen + pace).min(entries);
                notes.extend(awaited.unanswered(seen..upto));
                match upto < entries {
                    true => Step::Under(Self::Collecting { entries, seen: upto, notes }),
                    // All of it is answered: there is nothing to be kept.
                    false if notes.is_empty() => Self::Leaving { entries }.step(pace, awaited, said),
                    false => Step::Collected { entries, notes },
                }
            }
            Self::Writing { .. } => Step::Under(self),
            Self::Leaving { entries } => {
                let left = entries.saturating_sub(pace);
                awaited.forget_oldest(entries - left);
                if left > 0 {
                    return Step::Under(Self::Leaving { entries: left });
                }
                awaited.say_again(said);
                Step::Done
            }
        }
    }
}
