//! How the older half of a full epoch of receipts is moved into a sorted run: a few entries for each part that is added, since
//! half a million entries in one turn would delay every message.
//!
//! Invariant: an entry that waits leaves the epoch only after a run that holds it is registered.

use crate::model::Wall;
use crate::store::record::{ReceiptNote, ReceiptsRecord};

use super::awaited::Awaited;

/// Entries that are collected, or removed, for each part that is added.
pub(super) const PACE: usize = 16;

/// How far the move of the oldest `entries` of the epoch is.
#[derive(Debug)]
pub(super) enum Sealing {
    /// `notes` holds the parts that wait among the first `seen` entries.
    Collecting { entries: usize, seen: usize, notes: Vec<ReceiptNote> },
    /// A run is being written.
    Writing { entries: usize, run: u64, until: Wall },
    /// The entries are being removed; so many are left.
    Leaving { entries: usize },
}

/// What a step has led to.
#[derive(Debug)]
pub(super) enum Step {
    /// More steps are needed.
    Under(Sealing),
    /// All entries are seen: these parts wait and go into a run, oldest first.
    Collected { entries: usize, notes: Vec<ReceiptNote> },
    /// All entries are removed.
    Done,
}

impl Sealing {
    pub(super) fn of(entries: usize) -> Self {
        Self::Collecting { entries, seen: 0, notes: Vec::new() }
    }

    /// Goes on by `pace` entries. `said`: what the present turn records.
    pub(super) fn step(self, pace: usize, awaited: &mut Awaited, said: &mut ReceiptsRecord) -> Step {
        match self {
            Self::Collecting { entries, seen, mut notes } => {
                let upto = (seen + pace).min(entries);
                notes.extend(awaited.unanswered(seen..upto));
                match upto < entries {
                    true => Step::Under(Self::Collecting { entries, seen: upto, notes }),
                    // Every part has its answer: no run is needed.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn note(key: u64) -> ReceiptNote {
        ReceiptNote::of_one_part(key, 4_915_112_345_001, key)
    }

    /// An epoch of a hundred parts, each added by a commit of its own, from 1 on.
    fn hundred() -> (Awaited, ReceiptsRecord) {
        let (mut awaited, mut said) = (Awaited::new(1_000), ReceiptsRecord::default());
        for key in 1..=100 {
            awaited.wait(note(key), &mut said);
            awaited.committed(key);
        }
        (awaited, ReceiptsRecord::default())
    }

    /// Makes steps until one has a result. Returns the number of steps, and the result.
    fn stepped(mut sealing: Sealing, awaited: &mut Awaited, said: &mut ReceiptsRecord) -> (usize, Step) {
        for steps in 1.. {
            let before = awaited.len();
            match sealing.step(PACE, awaited, said) {
                Step::Under(next) => sealing = next,
                done => return (steps, done),
            }
            assert!(before - awaited.len() <= PACE, "no step is long");
        }
        unreachable!("it comes to an end")
    }

    #[test]
    fn nothing_leaves_before_its_run_and_a_start_takes_in_all_until_the_last_has_left() {
        let (mut awaited, mut said) = hundred();
        awaited.answer(7, note(7).recipient, &mut said);
        let (steps, collected) = stepped(Sealing::of(50), &mut awaited, &mut said);
        let Step::Collected { entries: 50, notes } = collected else { panic!("{collected:?}") };
        assert_eq!((steps, notes.len(), awaited.len()), (50_usize.div_ceil(PACE), 49, 100));
        assert!(notes.windows(2).all(|two| two[0].key < two[1].key), "the oldest first");

        let writing = Sealing::Writing { entries: 50, run: 1, until: Wall(1) };
        assert!(matches!(writing.step(PACE, &mut awaited, &mut said), Step::Under(Sealing::Writing { .. })));

        said = ReceiptsRecord::default();
        let first = Sealing::Leaving { entries: 50 }.step(PACE, &mut awaited, &mut said);
        let Step::Under(leaving @ Sealing::Leaving { .. }) = first else { panic!("{first:?}") };
        assert_eq!((awaited.len(), awaited.first_commit(), said.answered.len()), (100 - PACE, Some(1), 0));
        let (_, done) = stepped(leaving, &mut awaited, &mut said);
        assert!(matches!(done, Step::Done));
        assert_eq!((awaited.len(), awaited.first_commit()), (50, Some(51)));
        assert_eq!(said.answered, [(7, note(7).recipient)], "said again, for its commit goes");
    }

    #[test]
    fn what_is_answered_needs_no_run() {
        let (mut awaited, mut said) = hundred();
        (1..=50).for_each(|key| awaited.answer(key, note(key).recipient, &mut said));
        assert!(matches!(stepped(Sealing::of(50), &mut awaited, &mut said).1, Step::Done));
        assert_eq!(awaited.len(), 50);
    }
}
