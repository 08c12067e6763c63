//! How long records that nothing else ends are kept (notices, messages from handsets): for the retention of messages, counted
//! from their commit.
//!
//! The memory for this is bounded: a few marks say which commits are older than which time, and records before the newest mark
//! that has passed are dropped with the checkpoint.

use std::collections::VecDeque;

use crate::model::Wall;

/// Most marks within one retention. Records may be dropped late by one part in so many of the retention.
pub(super) const MARKS: u64 = 64;

/// The marks of one kind of record.
#[derive(Debug, Default)]
pub(super) struct Retained {
    /// First commit whose records are within retention.
    from: u64,
    /// Pairs: everything up to this commit was written at this time or earlier. Ascending.
    marks: VecDeque<(u64, Wall)>,
}

impl Retained {
    /// Takes what a checkpoint holds.
    pub(super) fn recover(from: u64, marks: &[(u64, u64)]) -> Self {
        Self { from, marks: marks.iter().map(|&(commit, at)| (commit, Wall(at))).collect() }
    }

    /// First commit whose records are within retention.
    pub(super) const fn from(&self) -> u64 {
        self.from
    }

    /// The commit of the newest mark; 0 if there is none.
    pub(super) fn marked(&self) -> u64 {
        self.marks.back().map_or(0, |(marked, _)| *marked)
    }

    /// A checkpoint is taken after `commit`: passes old marks and sets a new one.
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

    /// The form in which a checkpoint holds it.
    pub(super) fn notes(&self) -> (u64, Vec<(u64, u64)>) {
        (self.from, self.marks.iter().map(|&(commit, at)| (commit, at.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_within_retention_and_few_marks() {
        let mut retained = Retained::default();
        for commit in 1..=1_000 {
            retained.mark(commit, Wall(commit * 10), 6_400);
            let (from, marks) = retained.notes();
            assert!(marks.len() as u64 <= MARKS + 1, "{} marks", marks.len());
            let oldest_kept = (commit * 10).saturating_sub(6_400) / 10;
            assert!(from <= oldest_kept + 1, "commit {from} is dropped at {commit}");
            assert!(from + 6_400 / MARKS / 10 + 1 >= oldest_kept, "commit {from} stays at {commit}");
        }
    }

    #[test]
    fn is_put_back_as_a_checkpoint_has_it() {
        assert_eq!(Retained::recover(5, &[(7, 70)]).notes(), (5, vec![(7, 70)]));
    }
}
