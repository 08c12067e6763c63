//! How long what stands in `outbox` is kept: for the retention of messages, counted from its commit. Bounded: a few marks say
//! which commits are older than which time; what lies below the oldest one that has passed is dropped with the checkpoint.
//! Messages from handsets are counted as well, for a carrier may send any number: over the bound none is taken, until
//! retention has dropped some. Notices are as many as messages in doubt that were dropped, and are not counted.

use std::collections::VecDeque;

use crate::model::Wall;
use crate::store::record::CheckpointRecord;

/// Marks over one retention at most: what is dropped is at most so much of it too late.
const MARKS: u64 = 64;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// First commit whose records are within retention.
    from: u64,
    /// Everything up to this commit was written at that time at the latest. Ascending.
    marks: VecDeque<(u64, Wall)>,
    /// Messages from handsets between two marks: last commit, how many, their octets. Ascending.
    handsets: VecDeque<(u64, u64, u64)>,
    /// Of all of them.
    messages: u64,
    octets: u64,
}

impl Outbox {
    pub(super) fn restore(checkpoint: &CheckpointRecord) -> Self {
        let marks = checkpoint.outbox_marks.iter().map(|&(commit, at)| (commit, Wall(at))).collect();
        Self { from: checkpoint.outbox_from, marks, ..Self::default() }
    }

    /// Messages from handsets that are kept, and their octets.
    pub(super) const fn handsets(&self) -> (u64, u64) {
        (self.messages, self.octets)
    }

    /// So many messages from handsets are in this commit.
    pub(super) fn add_handsets(&mut self, commit: u64, messages: u64, octets: u64) {
        self.messages += messages;
        self.octets += octets;
        let marked = self.marks.back().map_or(0, |(marked, _)| *marked);
        match self.handsets.back_mut().filter(|(last, ..)| *last > marked) {
            Some(since) => *since = (commit, since.1 + messages, since.2 + octets),
            None => self.handsets.push_back((commit, messages, octets)),
        }
    }

    /// A checkpoint is taken after `commit`.
    pub(super) fn mark(&mut self, commit: u64, now: Wall, retention_ms: u64) {
        while let Some(&(passed, at)) = self.marks.front()
            && now.since(at) > retention_ms
        {
            self.from = self.from.max(passed + 1);
            self.marks.pop_front();
        }
        while let Some(&(last, messages, octets)) = self.handsets.front()
            && last < self.from
        {
            self.messages -= messages;
            self.octets -= octets;
            self.handsets.pop_front();
        }
        if self.marks.back().is_none_or(|(_, at)| now.since(*at) >= retention_ms / MARKS) {
            self.marks.push_back((commit, now));
        }
    }

    /// As a checkpoint holds it.
    pub(super) fn notes(&self) -> (u64, Vec<(u64, u64)>) {
        (self.from, self.marks.iter().map(|&(commit, at)| (commit, at.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_within_retention_and_few_marks() {
        let mut outbox = Outbox::default();
        for commit in 1..=1_000 {
            outbox.mark(commit, Wall(commit * 10), 6_400);
            let (from, marks) = outbox.notes();
            assert!(marks.len() as u64 <= MARKS + 1, "{} marks", marks.len());
            let oldest_kept = (commit * 10).saturating_sub(6_400) / 10;
            assert!(from <= oldest_kept + 1, "commit {from} is dropped at {commit}");
            assert!(from + 6_400 / MARKS / 10 + 1 >= oldest_kept, "commit {from} stays at {commit}");
        }
    }

    #[test]
    fn counts_messages_from_handsets_as_long_as_they_are_kept() {
        let mut outbox = Outbox::default();
        for commit in 1..=1_000 {
            outbox.add_handsets(commit, 2, 10);
            outbox.mark(commit, Wall(commit * 10), 6_400);
            let (from, _) = outbox.notes();
            let (messages, octets) = outbox.handsets();
            let kept = commit + 1 - from.max(1);
            assert!(messages >= 2 * kept && messages <= 2 * (kept + 6_400 / MARKS / 10 + 1), "{messages} of {kept}");
            assert_eq!(octets, messages * 5);
            assert!(outbox.handsets.len() as u64 <= MARKS + 1);
        }
    }

    #[test]
    fn is_put_back_as_a_checkpoint_has_it() {
        let checkpoint =
            CheckpointRecord { outbox_from: 5, outbox_marks: vec![(7, 70)], ..CheckpointRecord::default() };
        assert_eq!(Outbox::restore(&checkpoint).notes(), (5, vec![(7, 70)]));
    }
}
