//! When a core hands out batches, each of which costs a sync. If the last batch was small: as soon as no other task of the core is
//! ready; else not before [`IDLE_GATHER_NS`] have passed since it, because what comes meanwhile goes into the same batch. While
//! other tasks are ready: after [`GATHER_NS`] at the latest. Knows times and sizes; holds no batch.

use stentor_core::model::Mono;

/// How long a core gathers while it has other work: about as long as a sync takes on slow disks.
const GATHER_NS: u64 = 8_000_000;
/// How long a core under load gathers when it has no other work: clients and carriers wait for the batch meanwhile.
const IDLE_GATHER_NS: u64 = 4_000_000;
/// A batch with this many messages means load: some ten thousand per second.
const LARGE: usize = 256;

/// Times of a core's batches. See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last batch was handed out, and whether it was large.
    last: Mono,
    was_large: bool,
    is_waiting: bool,
}

impl Pace {
    /// Whether to hand out a batch now; `is_idle`: no other task is ready. If not, a batch may be waiting from now on.
    pub(super) fn hands_out(&mut self, now: Mono, is_idle: bool) -> bool {
        let is_due = self.is_due(now, is_idle);
        self.is_waiting = !is_due;
        is_due
    }

    fn is_due(&self, now: Mono, is_idle: bool) -> bool {
        (is_idle && now >= self.idle_from()) || now.since(self.last) >= GATHER_NS
    }

    /// The time from which it is enough that no other task is ready.
    fn idle_from(&self) -> Mono {
        self.last.after_ns(if self.was_large { IDLE_GATHER_NS } else { 0 })
    }

    /// A batch of `messages` messages was handed out.
    pub(super) fn handed_out(&mut self, now: Mono, messages: usize) {
        (self.last, self.was_large) = (now, messages >= LARGE);
    }

    /// Whether a batch that may be waiting is due.
    pub(super) fn wants_out(&self, now: Mono, is_idle: bool) -> bool {
        self.is_waiting && self.is_due(now, is_idle)
    }

    /// When to look again even if nothing comes.
    pub(super) fn deadline(&self, now: Mono) -> Option<Mono> {
        Some(self.idle_from()).filter(|at| self.is_waiting && *at > now)
    }

    /// Whether to look again when the tasks that are ready have run.
    pub(super) fn asks_again(&self, now: Mono) -> bool {
        self.is_waiting && now >= self.idle_from()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_under_load_gathers_and_an_idle_one_does_not() {
        const LAST: Mono = Mono(GATHER_NS);
        let mut pace = Pace::default();
        let (soon, later, late) = (LAST.after_ns(1), LAST.after_ns(IDLE_GATHER_NS), LAST.after_ns(GATHER_NS));
        pace.handed_out(LAST, LARGE - 1);
        assert!(pace.hands_out(soon, true) && !pace.asks_again(soon));
        assert!(!pace.hands_out(soon, false) && pace.asks_again(soon) && pace.deadline(soon).is_none());
        assert!(!pace.wants_out(soon, false) && pace.wants_out(soon, true));
        assert!(pace.hands_out(late, false) && !pace.asks_again(late), "not for ever");
        pace.handed_out(LAST, LARGE);
        assert!(!pace.hands_out(soon, true) && !pace.asks_again(soon));
        assert_eq!(pace.deadline(soon), Some(later));
        assert!(!pace.hands_out(later, false) && pace.asks_again(later) && pace.deadline(later).is_none());
        assert!(pace.wants_out(later, true) && pace.wants_out(late, false));
        assert!(pace.hands_out(later, true) && !pace.asks_again(later) && pace.deadline(soon).is_none());
    }
}
