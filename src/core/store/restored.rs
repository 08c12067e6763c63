//! The one record by which a restored shard differs from its backup: it says that the shard was restored.
//!
//! Knows: that record, with the generation of lists that begins with it, and how far segment numbers jump.
//! Refuses to know: how a backup is read (`backup`), where the result is written (`fjall_backup`), and how a shard acts
//! on it (`shard/restored.rs`).
//!
//! **Segment numbers.** The process that was backed up may have gone on after the mark, and another restore of the same
//! backup may have been running; no number may be used twice. No shard writes more than [`SEGMENTS_PER_MS_MAX`]
//! segments a millisecond, so a restored shard continues at its next number + that rate × the time since the mark: past
//! everything that any process can have written so far from the same backup. The gap is recorded, because retention
//! otherwise expects consecutive numbers.

use crate::delivery::DoubtPolicy;
use crate::model::{Address, Class};
use crate::queue::Generation;

use super::backend::Space;
use super::backup::{Piece, Table};
use super::key::Key;
use super::record::{CheckpointRecord, DecodeError, RestoredRecord, TurnRecord, decode, encode};

/// More than a shard can write: a batch of 3,000,000 messages a second writes 3, and a disk that syncs in 70 µs allows
/// 14.
pub const SEGMENTS_PER_MS_MAX: u64 = 16;
/// Added for clocks that differ: a little over an hour at that rate.
const SEGMENTS_SLACK: u64 = 1 << 26;

/// The code of a policy in the record.
pub const fn code(policy: DoubtPolicy) -> u8 {
    match policy {
        DoubtPolicy::Hold => 0,
        DoubtPolicy::Resend => 1,
        DoubtPolicy::Drop => 2,
    }
}

/// The policy for a code in the record; an unknown code counts as held.
pub const fn policy(code: u8) -> DoubtPolicy {
    match code {
        1 => DoubtPolicy::Resend,
        2 => DoubtPolicy::Drop,
        0 | 3.. => DoubtPolicy::Hold,
    }
}

/// The number at which a restore at `at` continues, if `next` was the next number in the backup with this `mark` (both
/// ms). Control's versions jump in the same way: control commits no more often than a shard writes segments.
pub(super) const fn beyond(next: u64, mark: u64, at: u64) -> u64 {
    let passed = at.saturating_sub(mark).saturating_mul(SEGMENTS_PER_MS_MAX);
    next.saturating_add(passed).saturating_add(SEGMENTS_SLACK)
}

/// What must be known of a shard before its first entry is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    next_segment: u64,
    before: Option<RestoredRecord>,
}

impl Survey {
    /// Reads entries of the shard.
    ///
    /// # Errors
    /// [`DecodeError`] for a record that a start could not read.
    pub fn note(&mut self, piece: &Piece) -> Result<(), DecodeError> {
        for (key, value) in piece.entries() {
            if piece.table == Table::Space(Space::Event) {
                let turn: TurnRecord = decode(value)?;
                let next = turn.segments.iter().map(|note| note.number + 1).max().unwrap_or(0);
                self.next_segment = self.next_segment.max(next);
            } else if piece.table == Table::Space(Space::Meta) {
                self.meta(key, value)?;
            }
        }
        Ok(())
    }

    fn meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        if key == Key::Checkpoint.bytes() {
            let checkpoint: CheckpointRecord = decode(value)?;
            self.next_segment = self.next_segment.max(checkpoint.next_segment);
        } else if key == Key::Restored.bytes() {
            let before: RestoredRecord = decode(value)?;
            self.next_segment = self.next_segment.max(before.below);
            self.before = Some(before);
        }
        Ok(())
    }
}

/// Key and value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// The changes that the restore of one shard makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    record: RestoredRecord,
}

/// Why a shard cannot be restored again. One line for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// It was restored as many times as there are generations.
    Generations,
    /// There are no segment numbers left.
    Segments,
}

impl std::fmt::Display for Exhausted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Generations => {
                write!(out, "it was restored {} times already, and no more are possible", Generation::LAST.0)
            }
            Self::Segments => out.write_str("the backup is so old that message numbers run out"),
        }
    }
}

impl Plan {
    /// `commit` and `mark` are from the manifest, `at` is now (ms); `unsent` says what happens to messages that were
    /// not sent.
    ///
    /// # Errors
    /// See [`Exhausted`].
    pub fn new(survey: Survey, commit: u64, mark: u64, at: u64, unsent: DoubtPolicy) -> Result<Self, Exhausted> {
        let before = survey.before.as_ref().map_or(0, |before| before.generation);
        let generation = before.checked_add(1).ok_or(Exhausted::Generations)?;
        let next = survey.next_segment.max(1);
        let below = beyond(next, mark, at);
        if below >= Address::SEGMENT_MAX {
            return Err(Exhausted::Segments);
        }
        let mut gaps = survey.before.map(|before| before.gaps).unwrap_or_default();
        gaps.push((next, below));
        let unsent = [code(unsent); Class::COUNT];
        Ok(Self { record: RestoredRecord { generation, commit, mark, at, below, unsent, gaps } })
    }

    /// Whether an entry of the backup is written unchanged; [`Self::record`] replaces the one that is not.
    pub fn keeps(&self, table: Table, key: &[u8]) -> bool {
        table != Table::Space(Space::Meta) || key != Key::Restored.bytes()
    }

    /// The record to be written into `meta` in addition.
    pub fn record(&self) -> Entry {
        (Key::Restored.bytes(), encode(&self.record))
    }
}

#[cfg(test)]
mod tests {
    use crate::queue::{FifoName, ListKind, ListNumber};

    use super::*;

    fn plan(before: Option<RestoredRecord>) -> Plan {
        let survey = Survey { next_segment: 10, before };
        Plan::new(survey, 7, 1_000, 3_000, DoubtPolicy::Hold).expect("a plan")
    }

    #[test]
    fn numbers_go_on_behind_everything_that_may_have_been_written_since() {
        let first = plan(None).record;
        assert_eq!(first.below, 10 + 2_000 * SEGMENTS_PER_MS_MAX + SEGMENTS_SLACK);
        assert_eq!((first.generation, &first.gaps), (1, &vec![(10, first.below)]));
        let survey = Survey { next_segment: 10, before: None };
        let later = Plan::new(survey, 7, 1_000, 4_000, DoubtPolicy::Hold).expect("a plan").record;
        let written_by_the_first = 1_000 * SEGMENTS_PER_MS_MAX;
        assert!(later.below >= first.below + written_by_the_first, "another restore of the same backup");
        let survey = Survey { next_segment: first.below + 5, before: Some(first.clone()) };
        let again = Plan::new(survey, 9, 5_000, 4_000, DoubtPolicy::Drop).expect("a clock that went back").record;
        assert_eq!((again.generation, again.unsent, again.gaps.len()), (2, [2; 4], 2));
        assert_eq!(again.below, first.below + 5 + SEGMENTS_SLACK);
    }

    #[test]
    fn what_cannot_go_on_is_refused() {
        let before = RestoredRecord { generation: Generation::LAST.0, ..RestoredRecord::default() };
        let survey = Survey { next_segment: 1, before: Some(before) };
        assert_eq!(Plan::new(survey, 1, 1, 1, DoubtPolicy::Hold), Err(Exhausted::Generations));
        let far = Plan::new(Survey::default(), 1, 0, Address::SEGMENT_MAX, DoubtPolicy::Hold);
        assert_eq!(far, Err(Exhausted::Segments));
    }

    #[test]
    fn a_restore_begins_another_generation_and_changes_nothing_else() {
        let plan = plan(None);
        let (ready, meta) = (Table::Space(Space::Ready), Table::Space(Space::Meta));
        let name = FifoName { list: ListNumber(1), generation: Generation(0), kind: ListKind::Fresh };
        assert!(plan.keeps(ready, &Key::Ready(name, 5).bytes()) && plan.keeps(meta, &Key::Checkpoint.bytes()));
        assert!(!plan.keeps(meta, &Key::Restored.bytes()), "its own takes its place");
        assert_eq!(plan.record(), (Key::Restored.bytes(), encode(&plan.record)));
        assert_eq!(plan.record.generation, 1);
    }

    #[test]
    fn a_restored_shard_that_wrote_nothing_has_used_the_numbers_up_to_its_gap() {
        let before = RestoredRecord { generation: 1, below: 500, ..RestoredRecord::default() };
        let mut survey = Survey::default();
        let checkpoint = CheckpointRecord { next_segment: 10, ..CheckpointRecord::default() };
        survey.meta(&Key::Checkpoint.bytes(), &encode(&checkpoint)).expect("a checkpoint");
        survey.meta(&Key::Restored.bytes(), &encode(&before)).expect("a restore");
        assert_eq!(survey, Survey { next_segment: 500, before: Some(before) });
        assert!(survey.meta(&Key::Checkpoint.bytes(), b"?").is_err());
    }
}
