//! The part of a store that is still needed, judged by the cursors of its checkpoint: a backup holds this part. A pure
//! function of keys.
//!
//! What lies before a cursor has been processed, and can be there only because a dropped range came back after a crash.

use std::collections::BTreeMap;

use crate::queue::Era;

use super::backend::{KEY_BYTES_MIN, Space};
use super::backup::Table;
use super::batch::{CommitSeq, fifo_code};
use super::key::Key;
use super::record::{CheckpointRecord, FifoCode};

/// The part of a store that is still needed.
#[derive(Clone, Debug)]
pub struct Extent {
    checkpoint: CheckpointRecord,
    /// By fifo: everything before this commit was taken. For a fifo that is not here, everything up to the checkpoint
    /// was.
    heads: BTreeMap<FifoCode, u64>,
}

impl Extent {
    /// The extent of a store with that checkpoint.
    pub fn of(checkpoint: CheckpointRecord) -> Self {
        let heads = checkpoint.fifos.iter().map(|note| (note.fifo, note.commit)).collect();
        Self { checkpoint, heads }
    }

    /// The first key of a space that may be needed.
    pub fn first_key(&self, space: Space) -> Vec<u8> {
        let checkpoint = &self.checkpoint;
        match space {
            Space::Segment => Key::Segment(checkpoint.first_segment).bytes(),
            Space::State => Key::State(checkpoint.first_segment).bytes(),
            Space::Event => Key::Turn(checkpoint.commit + 1).bytes(),
            Space::Book => Key::Page(checkpoint.commit, 0).bytes(),
            Space::Due => {
                let first = checkpoint.due.first().copied().unwrap_or_default();
                Key::Due(Era(first.era), first.tick, first.commit).bytes()
            }
            Space::Receipt => Key::Receipts(checkpoint.receipts_from).bytes(),
            Space::Dedup => Key::Keys(checkpoint.keys_from).bytes(),
            Space::Outbox => Key::Outbox(checkpoint.outbox_from, 0).bytes(),
            Space::Handset => Key::Handset(checkpoint.handsets_from, 0).bytes(),
            Space::Ready
            | Space::DeadLetter
            | Space::Moved
            | Space::Joining
            | Space::Orphan
            | Space::Entry
            | Space::Meta => vec![0],
        }
    }

    /// Whether an entry at or after [`Self::first_key`] is needed: not if it is the backend's own, nor if it is a
    /// record of a fifo that was taken.
    pub fn holds(&self, table: Table, key: &[u8]) -> bool {
        let is_taken = || {
            let (name, commit) = Key::ready(key)?;
            let first = self.heads.get(&fifo_code(name)).copied().unwrap_or(self.checkpoint.commit + 1);
            Some(commit < first)
        };
        key.len() >= KEY_BYTES_MIN && (table != Table::Space(Space::Ready) || is_taken() != Some(true))
    }

    /// The last commit of a store whose newest turn has that number.
    pub fn last_commit(&self, newest_turn: Option<u64>) -> CommitSeq {
        CommitSeq(self.checkpoint.commit.max(newest_turn.unwrap_or(0)))
    }
}
