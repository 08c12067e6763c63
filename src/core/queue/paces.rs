//! How fast the messages of a list leave, and so how long a new one is expected to wait.
//!
//! Knows instants and counts. Refuses to know messages and who takes them. The rate is that of the last ten to twenty seconds; while
//! nothing has left yet, only the time since then is known.
//!
//! Invariants:
//! 1. What left in a stretch of time is counted only while it is the present one; a stretch that is over left a mean.

use std::collections::BTreeMap;

use crate::model::{Mono, Sound, holds};

use super::list::ListNumber;

/// How long a rate is measured, ns.
const STRETCH_NS: u64 = 10_000_000_000;
/// After this time the present stretch says more than the one before, ns.
const TELLS_NS: u64 = 5_000_000_000;

/// How fast the messages of one list leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pace {
    /// When the present stretch began.
    began: Mono,
    /// Messages that left since.
    left: u64,
    /// Mean time between two that left in the stretch before, ns; 0: not known.
    each_ns: u64,
    /// When one left last, or when messages began to wait.
    last: Mono,
}

impl Pace {
    const fn new(now: Mono) -> Self {
        Self { began: now, left: 0, each_ns: 0, last: now }
    }

    fn leave(&mut self, now: Mono) {
        self.left += 1;
        self.last = now;
        let took = now.since(self.began);
        if took >= STRETCH_NS {
            (self.each_ns, self.began, self.left) = (took / self.left, now, 0);
        }
    }

    /// Mean time between two that leave, ns; 0: not known.
    fn each_ns(&self, now: Mono) -> u64 {
        let took = now.since(self.began);
        match self.each_ns {
            0 => took.checked_div(self.left).unwrap_or(0),
            before if took < TELLS_NS => before,
            before => took.checked_div(self.left).unwrap_or(before),
        }
    }
}

/// The paces of lists with messages; see the top of this file.
#[derive(Clone, Debug, Default)]
pub struct Paces {
    of: BTreeMap<ListNumber, Pace>,
}

impl Paces {
    /// Messages enter a list in which so many wait already.
    pub fn enter(&mut self, list: ListNumber, waiting: u64, now: Mono) {
        let pace = self.of.entry(list).or_insert(Pace::new(now));
        if waiting == 0 {
            *pace = Pace::new(now);
        }
    }

    /// A message leaves a list, in which so many are left.
    pub fn leave(&mut self, list: ListNumber, waiting: u64, now: Mono) {
        if waiting == 0 {
            self.forget(list);
        } else {
            self.of.entry(list).or_insert(Pace::new(now)).leave(now);
        }
    }

    /// A list has nothing left, for whatever reason.
    pub fn forget(&mut self, list: ListNumber) {
        self.of.remove(&list);
    }

    /// How long a message is expected to wait in a list in which so many wait, ns: as long as those take to leave, and at least as
    /// long as none has left.
    pub fn wait_ns(&self, list: ListNumber, waiting: u64, now: Mono) -> u64 {
        let Some(pace) = self.of.get(&list).filter(|_| waiting > 0) else { return 0 };
        pace.each_ns(now).saturating_mul(waiting).max(now.since(pace.last))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.of.clear();
    }

    /// Checks the invariant.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&self) -> Sound {
        for (list, pace) in &self.of {
            let is_present = pace.last.since(pace.began) < STRETCH_NS || pace.left == 0;
            holds!(1, is_present && pace.last >= pace.began, "{list:?}: {pace:?}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: ListNumber = ListNumber(3);

    const fn at(ms: u64) -> Mono {
        Mono(1_000_000 * (5_000 + ms))
    }

    fn wait_ms(paces: &Paces, waiting: u64, ms: u64) -> u64 {
        paces.wait_ns(LIST, waiting, at(ms)) / 1_000_000
    }

    #[test]
    fn a_wait_is_as_long_as_those_before_take() {
        let mut paces = Paces::default();
        assert_eq!(wait_ms(&paces, 9, 0), 0, "nothing is known");
        paces.enter(LIST, 0, at(0));
        paces.enter(LIST, 100, at(500));
        assert_eq!(wait_ms(&paces, 100, 700), 700, "none has left");
        (1..=40).for_each(|n| paces.leave(LIST, 1_000 - n, at(1_000 + 100 * n)));
        assert_eq!(wait_ms(&paces, 900, 5_000), 900 * 125, "40 in 5 s");
        (1..=60).for_each(|n| paces.leave(LIST, 1_000 - n, at(5_000 + 100 * n)));
        assert_eq!(wait_ms(&paces, 900, 11_000), 99_999, "90 in 10 s, in the stretch that is over");
        assert_eq!(wait_ms(&paces, 0, 11_000), 0, "none waits");
        paces.check().expect("sound");
    }

    #[test]
    fn where_nothing_leaves_any_more_the_wait_grows() {
        let mut paces = Paces::default();
        (0..=100).for_each(|n| paces.leave(LIST, 9, at(100 * n)));
        assert_eq!(wait_ms(&paces, 10, 10_100), 990, "101 in ten seconds");
        assert_eq!(wait_ms(&paces, 10, 40_000), 30_000, "since then none");
        paces.leave(LIST, 9, at(40_000));
        assert_eq!(wait_ms(&paces, 10, 40_000), 300_000, "one in thirty seconds");
        paces.leave(LIST, 0, at(40_001));
        paces.enter(LIST, 0, at(50_000));
        assert_eq!(wait_ms(&paces, 10, 50_010), 10, "begun anew");
        paces.forget(LIST);
        assert!(paces.of.is_empty(), "memory holds lists that have something only");
        paces.enter(LIST, 0, at(60_000));
        paces.clear();
        assert_eq!(wait_ms(&paces, 10, 70_000), 0);
    }

    #[test]
    fn breaking_invariant_1_counts_an_old_stretch() {
        let mut paces = Paces::default();
        paces.of.insert(LIST, Pace { left: 3, last: at(20_000), ..Pace::new(at(0)) });
        assert_eq!(paces.check().expect_err("a breach").number, 1);
    }
}
