//! When a core hands out batches: each costs a sync. As soon as no other task of the core is ready, if the last batch was
//! small; else not before [`GATHER_NS`] have passed since that, for what comes meanwhile goes into the same batch. Knows times
//! and sizes; holds no batch.

use crate::model::Mono;

/// How long a core gathers under load: about as long as a sync takes where disks are slow.
const GATHER_NS: u64 = 8_000_000;
/// A batch that tells of so many messages tells of load: some ten thousand a second.
const LARGE: usize = 256;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Pace {
    /// When the last one was handed out, and whether it was large.
    last: Mono,
    was_large: bool,
    is_waiting: bool,
}

impl Pace {
    /// Whether it is time; `is_idle`: nothing else is ready. If not, one may be waiting from now on.
    pub fn hands_out(&mut self, now: Mono, is_idle: bool) -> bool {
        let is_due = self.is_due(now, is_idle);
        self.is_waiting = !is_due;
        is_due
    }

    fn is_due(&self, now: Mono, is_idle: bool) -> bool {
        (is_idle && !self.was_large) || now.since(self.last) >= GATHER_NS
    }

    /// One that tells of so many messages was.
    pub fn handed_out(&mut self, now: Mono, messages: usize) {
        (self.last, self.was_large) = (now, messages >= LARGE);
    }

    /// Whether one that may be waiting is due.
    pub fn wants_out(&self, now: Mono, is_idle: bool) -> bool {
        self.is_waiting && self.is_due(now, is_idle)
    }

    /// When to look again though nothing comes.
    pub fn deadline(&self) -> Option<Mono> {
        (self.is_waiting && self.was_large).then(|| self.last.after_ns(GATHER_NS))
    }

    /// Whether to look again when what is ready has run.
    pub const fn asks_again(&self) -> bool {
        self.is_waiting && !self.was_large
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_under_load_gathers_and_an_idle_one_does_not() {
        let (mut pace, soon, late) = (Pace::default(), Mono(1 + GATHER_NS), Mono(2 * GATHER_NS));
        pace.handed_out(Mono(GATHER_NS), LARGE - 1);
        assert!(pace.hands_out(soon, true) && !pace.asks_again());
        assert!(!pace.hands_out(soon, false) && pace.asks_again());
        assert!(!pace.wants_out(soon, false) && pace.wants_out(soon, true));
        assert!(pace.hands_out(late, false) && !pace.asks_again(), "not for ever");
        pace.handed_out(Mono(GATHER_NS), LARGE);
        assert!(!pace.hands_out(soon, true) && !pace.asks_again());
        assert_eq!(pace.deadline(), Some(late));
        assert!(pace.hands_out(late, true) && pace.deadline().is_none());
    }
}
