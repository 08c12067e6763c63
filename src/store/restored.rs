//! What a restore changes in what a backup holds, entry by entry: a pure function of keys and values.
//!
//! Knows: which fifos what was unsent goes to, how far segment numbers jump, the record that says that a shard was restored.
//! Refuses to know: how a backup is read (`backup`) and where the result is written (`fjall_backup`), and what a shard makes
//! of it (`shard/restored.rs`).
//!
//! **Segment numbers.** The process that was backed up may have gone on after the mark, and another restore of the same
//! backup may have run as well; no number may be used twice. Nobody writes more than [`SEGMENTS_PER_MS_MAX`] segments a
//! millisecond, so a shard goes on at its next number + that rate × the time since the mark: behind everything that was
//! written until now from the same backup, whoever wrote it. The gap is recorded, for retention goes by consecutive numbers.

use crate::delivery::DoubtPolicy;
use crate::model::{Address, Class};
use crate::queue::FifoKind;

use super::backend::Space;
use super::backup::{Piece, Table};
use super::key::Key;
use super::record::{CheckpointRecord, DecodeError, RestoredRecord, TurnRecord, decode, encode};

/// More than a shard can write: a batch of 3,000,000 messages a second makes 3, and a disk that syncs in 70 µs makes 14.
pub const SEGMENTS_PER_MS_MAX: u64 = 16;
/// For clocks that differ: a little over an hour at that rate.
const SEGMENTS_SLACK: u64 = 1 << 26;

/// A policy as the record keeps it.
pub const fn code(policy: DoubtPolicy) -> u8 {
    match policy {
        DoubtPolicy::Hold => 0,
        DoubtPolicy::Resend => 1,
        DoubtPolicy::Drop => 2,
    }
}

/// A policy as read back; what is not known is held.
pub const fn policy(code: u8) -> DoubtPolicy {
    match code {
        1 => DoubtPolicy::Resend,
        2 => DoubtPolicy::Drop,
        0 | 3.. => DoubtPolicy::Hold,
    }
}

/// What must be known of a shard before the first entry is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    next_segment: u64,
    before: Option<RestoredRecord>,
}

impl Survey {
    /// Takes note of entries of the shard.
    ///
    /// # Errors
    /// [`DecodeError`] for a record that a start would not understand.
    pub fn note(&mut self, piece: &Piece) -> Result<(), DecodeError> {
        for (key, value) in piece.entries() {
            if piece.table == Table::Space(Space::Event) {
                let turn: TurnRecord = decode(value)?;
                let next = turn.segments.iter().map(|note| note.number + 1).max().unwrap_or(0);
                self.next_segment = self.next_segment.max(next);
            } else if piece.table == Table::Space(Space::Meta) && key == Key::Checkpoint.bytes() {
                let checkpoint: CheckpointRecord = decode(value)?;
                self.next_segment = self.next_segment.max(checkpoint.next_segment);
            } else if piece.table == Table::Space(Space::Meta) && key == Key::Restored.bytes() {
                self.before = Some(decode(value)?);
            }
        }
        Ok(())
    }
}

/// Key and value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// How one shard is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    record: RestoredRecord,
}

/// Why a shard cannot be restored once more. One line for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// It was restored as often as there are codes.
    Generations,
    /// There are no segment numbers left.
    Segments,
}

impl std::fmt::Display for Exhausted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Generations => {
                write!(out, "it was restored {} times already, which is as often as it can be", FifoKind::RESTORES_MAX)
            }
            Self::Segments => out.write_str("the backup is so old that message numbers run out"),
        }
    }
}

impl Plan {
    /// `commit` and `mark` are the manifest's, `at` is now (ms); `unsent` says what becomes of what was not sent.
    ///
    /// # Errors
    /// See [`Exhausted`].
    pub fn new(survey: Survey, commit: u64, mark: u64, at: u64, unsent: DoubtPolicy) -> Result<Self, Exhausted> {
        let generation = survey.before.as_ref().map_or(0, |before| before.generation) + 1;
        if generation > FifoKind::RESTORES_MAX {
            return Err(Exhausted::Generations);
        }
        let next = survey.next_segment.max(1);
        let passed = at.saturating_sub(mark).saturating_mul(SEGMENTS_PER_MS_MAX);
        let below = next.saturating_add(passed).saturating_add(SEGMENTS_SLACK);
        if below >= Address::SEGMENT_MAX {
            return Err(Exhausted::Segments);
        }
        let mut gaps = survey.before.map(|before| before.gaps).unwrap_or_default();
        gaps.push((next, below));
        let unsent = [code(unsent); Class::COUNT];
        Ok(Self { record: RestoredRecord { generation, commit, mark, at, below, unsent, gaps } })
    }

    /// An entry as it is to be written; order is kept within a table. None: leave it out, [`Self::records`] has it.
    ///
    /// # Errors
    /// [`DecodeError`] for a record that a start would not understand.
    pub fn rewrite(&self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Entry>, DecodeError> {
        let mut key = key.to_vec();
        let value = match table {
            Table::Space(Space::Ready) => {
                let kind = key.get_mut(READY_KIND_AT).ok_or_else(|| DecodeError("a key of ready".to_owned()))?;
                *kind = FifoKind::restored(*kind, self.record.generation);
                value.to_vec()
            }
            Table::Space(Space::Event) => encode(&self.turn(decode(value)?)),
            Table::Space(Space::Meta) if key == Key::Checkpoint.bytes() => encode(&self.checkpoint(decode(value)?)),
            Table::Space(Space::Meta) if key == Key::Restored.bytes() => return Ok(None),
            Table::Space(_) | Table::Run(_) => value.to_vec(),
        };
        Ok(Some((key, value)))
    }

    /// What is to be written into `meta` beside the entries that are there; `has_checkpoint`: one of them was it.
    pub fn records(&self, has_checkpoint: bool) -> Vec<Entry> {
        let mut records = vec![(Key::Restored.bytes(), encode(&self.record))];
        if !has_checkpoint {
            records.push((Key::Checkpoint.bytes(), encode(&self.checkpoint(CheckpointRecord::default()))));
        }
        records
    }

    fn checkpoint(&self, mut checkpoint: CheckpointRecord) -> CheckpointRecord {
        checkpoint.next_segment = self.record.below;
        for note in &mut checkpoint.fifos {
            note.fifo.2 = FifoKind::restored(note.fifo.2, self.record.generation);
        }
        checkpoint.ended.iter_mut().for_each(|ended| ended.2 = true);
        checkpoint
    }

    fn turn(&self, mut turn: TurnRecord) -> TurnRecord {
        let codes =
            turn.appended.iter_mut().map(|(fifo, _)| fifo).chain(turn.taken.iter_mut().map(|note| &mut note.fifo));
        for fifo in codes {
            fifo.2 = FifoKind::restored(fifo.2, self.record.generation);
        }
        turn.ended.iter_mut().for_each(|ended| ended.2 = true);
        turn
    }
}

/// Where the kind of a fifo stands in a key of `ready`: behind class and route.
const READY_KIND_AT: usize = 3;

#[cfg(test)]
mod tests {
    use crate::model::{Lane, RouteId};
    use crate::queue::FifoName;
    use crate::store::record::{FifoNote, SegmentNote, TakenNote};

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
        let before = RestoredRecord { generation: FifoKind::RESTORES_MAX, ..RestoredRecord::default() };
        let survey = Survey { next_segment: 1, before: Some(before) };
        assert_eq!(Plan::new(survey, 1, 1, 1, DoubtPolicy::Hold), Err(Exhausted::Generations));
        let far = Plan::new(Survey::default(), 1, 0, Address::SEGMENT_MAX, DoubtPolicy::Hold);
        assert_eq!(far, Err(Exhausted::Segments));
    }

    #[test]
    fn everything_that_names_a_fifo_is_rewritten() {
        let plan = plan(None);
        let name = FifoName { lane: Lane { class: Class::Otp, route: RouteId(3) }, kind: FifoKind::Fresh };
        let held = FifoName { kind: FifoKind::Held(FifoKind::restored(9, 1)), ..name };
        let rewritten = plan.rewrite(Table::Space(Space::Ready), &Key::Ready(name, 5).bytes(), b"v");
        assert_eq!(rewritten, Ok(Some((Key::Ready(held, 5).bytes(), b"v".to_vec()))));
        let fifo = (Class::Otp as u8, 3, 9);
        let turn = TurnRecord {
            appended: vec![(fifo, 2)],
            taken: vec![TakenNote { fifo, commit: 1, index: 1, messages: 1 }],
            segments: vec![SegmentNote { number: 4, messages: 2, expires_at: 9, class: 1 }],
            ended: vec![(1, 3, false, 2)],
            ..TurnRecord::default()
        };
        let (_, value) =
            plan.rewrite(Table::Space(Space::Event), b"commit", &encode(&turn)).expect("read").expect("kept");
        let turn: TurnRecord = decode(&value).expect("a turn");
        assert_eq!((turn.appended[0].0.2, turn.taken[0].fifo.2, turn.ended[0].2), (249, 249, true));
        let note = FifoNote { fifo, commit: 1, index: 0, newest: 1, waiting: 1 };
        let ended = vec![(1, 3, false, 2)];
        let checkpoint = CheckpointRecord { fifos: vec![note], next_segment: 10, ended, ..CheckpointRecord::default() };
        let table = Table::Space(Space::Meta);
        let (_, value) =
            plan.rewrite(table, &Key::Checkpoint.bytes(), &encode(&checkpoint)).expect("read").expect("kept");
        let checkpoint: CheckpointRecord = decode(&value).expect("a checkpoint");
        assert_eq!((checkpoint.fifos[0].fifo.2, checkpoint.next_segment), (249, plan.record.below));
        assert!(checkpoint.ended[0].2, "its entry stands among those of what was restored");
        assert_eq!(plan.rewrite(table, &Key::Restored.bytes(), b"old"), Ok(None));
        assert!(plan.rewrite(table, &Key::Checkpoint.bytes(), b"?").is_err());
        assert_eq!((plan.records(true).len(), plan.records(false).len()), (1, 2));
    }
}
