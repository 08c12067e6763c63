//! Messages from handsets: how many are kept, and how many bytes they take.
//!
//! A carrier may send any number. Over the bound, messages are refused and the carrier keeps them, until retention has dropped
//! some here. Messages whose parts wait to be joined have their room reserved already.
//!
//! Invariant: messages that are kept and messages that wait to be joined fit into the bound together, unless the bound was made
//! smaller.

use std::collections::VecDeque;

use crate::store::record::{CheckpointRecord, HandsetRecord};

use super::retained::Retained;
use super::turn::Turn;

/// Counts of the messages from handsets that a shard keeps.
#[derive(Debug, Default)]
pub(super) struct Handsets {
    retained: Retained,
    /// For each stretch of commits between two retention marks: last commit, number of messages, their bytes. Ascending.
    counts: VecDeque<(u64, u64, u64)>,
    /// The sums over all stretches.
    messages: u64,
    bytes: u64,
}

impl Handsets {
    pub(super) fn recover(checkpoint: &CheckpointRecord) -> Self {
        let counts: VecDeque<_> = checkpoint.handset_counts.iter().copied().collect();
        Self {
            retained: Retained::recover(checkpoint.handsets_from, &checkpoint.handset_marks),
            messages: counts.iter().map(|(_, messages, _)| messages).sum(),
            bytes: counts.iter().map(|(.., bytes)| bytes).sum(),
            counts,
        }
    }

    /// A commit after the checkpoint held so many messages of so many bytes.
    pub(super) fn replay(&mut self, commit: u64, (messages, bytes): (u32, u64)) {
        if messages > 0 {
            self.add(commit, u64::from(messages), bytes);
        }
    }

    /// The first commit whose messages are kept; older ones may be gone.
    pub(super) const fn from(&self) -> u64 {
        self.retained.from()
    }

    /// Messages that are kept, and their bytes.
    pub(super) const fn kept(&self) -> (u64, u64) {
        (self.messages, self.bytes)
    }

    /// Whether there is room for so many more messages and bytes, beside those that are kept and those that wait to be joined.
    pub(super) const fn has_room(&self, turn: &Turn, waiting: (u64, u64), more: (u64, u64)) -> bool {
        let bounds = &turn.options.bounds;
        self.messages + waiting.0 + more.0 <= bounds.handset_messages_max as u64
            && self.bytes + waiting.1 + more.1 <= bounds.handset_bytes_max
    }

    /// Keeps a message: it goes into this turn's batch.
    pub(super) fn keep(&mut self, turn: &mut Turn, record: HandsetRecord) {
        self.add(turn.gathering.seq().0, 1, record.bytes());
        turn.gathering.batch().handsets.push(record);
    }

    fn add(&mut self, commit: u64, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += bytes;
        let marked = self.retained.marked();
        match self.counts.back_mut().filter(|(last, ..)| *last > marked) {
            Some(since) => *since = (commit, since.1 + messages, since.2 + bytes),
            None => self.counts.push_back((commit, messages, bytes)),
        }
    }

    /// Puts what it knows into a checkpoint. The caller must not have added anything of a later commit.
    pub(super) fn note(&mut self, turn: &Turn, checkpoint: &mut CheckpointRecord) {
        self.retained.mark(checkpoint.commit, turn.now.wall, turn.options.retention_ms);
        while let Some(&(last, messages, bytes)) = self.counts.front()
            && last < self.retained.from()
        {
            self.messages -= messages;
            self.bytes -= bytes;
            self.counts.pop_front();
        }
        (checkpoint.handsets_from, checkpoint.handset_marks) = self.retained.notes();
        checkpoint.handset_counts = self.counts.iter().copied().collect();
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Mono, Now, Wall};
    use crate::shard::Options;
    use crate::shard::retained::MARKS;
    use crate::store::Recovery;

    use super::*;

    #[test]
    fn messages_are_counted_as_long_as_they_are_kept_and_a_start_counts_the_same() {
        let options = Options { retention_ms: 6_400, ..Options::default() };
        let mut turn = Turn::new(options, 1, &Recovery::default(), Now { mono: Mono(0), wall: Wall(0) });
        let mut handsets = Handsets::default();
        for commit in 1..=1_000 {
            handsets.add(commit, 2, 10);
            turn.now.wall = Wall(commit * 10);
            let mut checkpoint = CheckpointRecord { commit, ..CheckpointRecord::default() };
            handsets.note(&turn, &mut checkpoint);
            let (messages, bytes) = handsets.kept();
            let kept = commit + 1 - checkpoint.handsets_from.max(1);
            assert!(messages >= 2 * kept && messages <= 2 * (kept + 6_400 / MARKS / 10 + 1), "{messages} of {kept}");
            assert_eq!(bytes, messages * 5);
            assert!(handsets.counts.len() as u64 <= MARKS + 1);
            if commit % 7 == 0 {
                handsets = Handsets::recover(&checkpoint);
                assert_eq!(handsets.kept(), (messages, bytes));
            }
        }
    }
}
