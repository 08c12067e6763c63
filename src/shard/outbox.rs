//! How long what stands in `outbox` is kept: for the retention of messages, counted from its commit. Bounded: a few marks say
//! which commits are older than which time; what lies below the oldest one that has passed is dropped with the checkpoint.

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
}

impl Outbox {
    pub(super) fn restore(checkpoint: &CheckpointRecord) -> Self {
        let marks = checkpoint.outbox_marks.iter().map(|&(commit, at)| (commit, Wall(at))).collect();
        Self { from: checkpoint.outbox_from, marks }
    }

    /// A checkpoint is taken after `commit`.
    pub(super) fn mark(&mut self, commit: u64, now: Wall, retention_ms: u64) {
        while let Some(&(passed, at)) = self.marks.front()
            && now.since(at) > retention_ms
        {
            self.from = self.from.max(passed + 1);
            self.marks.pop_front();
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
        let checkpoint =
            CheckpointRecord { outbox_from: 5, outbox_marks: vec![(7, 70)], ..CheckpointRecord::default() };
        assert_eq!(Outbox::restore(&checkpoint).notes(), (5, vec![(7, 70)]));
    }
}
