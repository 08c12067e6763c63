//! When the socket of one connection took what was queued for it.
//!
//! A socket takes bytes in the order in which they were queued, and mostly at once. Only writes that took longer are kept, so to
//! know when a part was written costs nothing while the peer reads.
//!
//! Invariants:
//! 1. An instant told is never earlier than the true one by more than [`AT_ONCE_NS`].
//! 2. At most [`KEPT_MAX`] writes are kept.

use std::collections::VecDeque;

use crate::model::{Mono, Sound, holds};

/// What is written within this time counts as written when it was queued.
pub(super) const AT_ONCE_NS: u64 = 1_000_000;

/// Most late writes that are kept; of more, the oldest are joined under the later time.
const KEPT_MAX: usize = 64;

/// Late writes of a connection; see the top of this file.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// When the first part of the write was queued, and when all of it was written; ascending in both.
    late: VecDeque<(Mono, Mono)>,
}

impl Writes {
    /// What was queued since `from` is written.
    pub fn handle_written(&mut self, from: Mono, now: Mono) {
        if now.since(from) <= AT_ONCE_NS {
            return;
        }
        if self.late.len() == KEPT_MAX
            && let (Some((oldest, _)), Some((_, at))) = (self.late.pop_front(), self.late.pop_front())
        {
            self.late.push_front((oldest, at));
        }
        self.late.push_back((from, now));
    }

    /// When a part was written that was queued at `queued`; all that was queued then is written.
    pub fn written_at(&self, queued: Mono) -> Mono {
        let later = self.late.partition_point(|(from, _)| *from <= queued);
        let write = later.checked_sub(1).and_then(|at| self.late.get(at));
        write.map_or(queued, |(_, at)| queued.max(*at))
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first one that does not hold.
    pub fn check(&self) -> Sound {
        let is_late = |(from, at): &(Mono, Mono)| at.since(*from) > AT_ONCE_NS;
        holds!(1, self.late.iter().all(is_late) && self.late.iter().is_sorted(), "{:?}", self.late);
        holds!(2, self.late.len() <= KEPT_MAX, "{} late writes", self.late.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Mono {
        Mono(ms * MS)
    }

    #[test]
    fn a_part_is_written_when_the_socket_took_it() {
        let mut writes = Writes::default();
        assert_eq!(writes.written_at(at(5)), at(5));
        writes.handle_written(at(10), at(11));
        assert_eq!(writes.written_at(at(10)), at(10), "at once");
        writes.handle_written(at(20), at(50));
        writes.handle_written(at(60), at(70));
        let told = [19, 20, 49, 55, 60, 65, 71].map(|queued| writes.written_at(at(queued)));
        assert_eq!(told, [19, 50, 50, 55, 70, 70, 71].map(at));
        writes.check().expect("sound");
    }

    #[test]
    fn of_many_late_writes_the_oldest_are_told_later() {
        let mut writes = Writes::default();
        (0..2 * KEPT_MAX as u64).for_each(|n| writes.handle_written(at(10 * n), at(10 * n + 5)));
        writes.check().expect("sound");
        let joined = 10 * KEPT_MAX as u64;
        assert_eq!(writes.written_at(at(10)), at(joined + 5));
        assert_eq!(writes.written_at(at(joined + 10)), at(joined + 15));
    }

    #[test]
    fn breaking_invariant_1_is_seen() {
        let writes = Writes { late: VecDeque::from([(at(1), at(3)), (at(0), at(9))]) };
        assert_eq!(writes.check().expect_err("a breach").number, 1);
    }

    #[test]
    fn breaking_invariant_2_is_seen() {
        let writes = Writes { late: (0..=KEPT_MAX as u64).map(|n| (at(10 * n), at(10 * n + 5))).collect() };
        assert_eq!(writes.check().expect_err("a breach").number, 2);
    }
}
