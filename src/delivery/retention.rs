//! How long histories are kept: what counts as settled, and when a segment may be dropped. The store counts and drops by it,
//! and knows no reason of its own.

use crate::model::Wall;

use super::event::Happened;

/// How long a message that a carrier took waits for its receipt before it is kept no longer than any other, ms.
pub const RECEIPT_PATIENCE_MS: u64 = 72 * 3_600_000;

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long a history is kept after its last event, ms.
    pub kept_ms: u64,
}

/// How far the messages of a segment are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that have reached their end.
    pub settled: u32,
    /// Messages that have reached it, or that a carrier took.
    pub sent: u32,
}

impl Tally {
    /// Counts one message in, by all that happened to it.
    pub fn count(&mut self, history: impl IntoIterator<Item = Happened>) {
        let (mut is_final, mut is_sent) = (false, false);
        for what in history {
            is_final |= what.is_final();
            is_sent |= what.is_sent();
        }
        self.settled += u32::from(is_final);
        self.sent += u32::from(is_sent);
    }
}

impl Retention {
    /// Whether a segment may be dropped that holds so many messages, and whose newest event is of that time.
    pub const fn may_drop(&self, messages: u32, tally: Tally, newest: Wall, now: Wall) -> bool {
        let age = now.since(newest);
        let settled = tally.settled >= messages && age > self.kept_ms;
        // A receipt that never comes.
        let silent = tally.sent >= messages && age > self.kept_ms.saturating_add(RECEIPT_PATIENCE_MS);
        settled || silent
    }
}

#[cfg(test)]
mod tests {
    use crate::delivery::Resolution;
    use crate::delivery::event::tests::busy;

    use super::*;

    const SUBMITTED: Happened = Happened::Submitted { parts: 1, awaits_receipt: true };
    const DELIVERED: Happened = Happened::Delivered { error: None };

    #[test]
    fn each_message_counts_once() {
        let mut tally = Tally::default();
        tally.count([SUBMITTED, DELIVERED, DELIVERED]);
        tally.count([SUBMITTED, SUBMITTED]);
        tally.count([Happened::Resolved { by: Resolution::HandSent }]);
        tally.count([Happened::Refused { error: busy(8) }]);
        tally.count([SUBMITTED, Happened::NoReceipt]);
        assert_eq!(tally, Tally { settled: 2, sent: 4 });
    }

    #[test]
    fn what_is_settled_goes_after_its_time_and_what_waits_for_receipts_with_patience() {
        let retention = Retention { kept_ms: 100 };
        let may_drop = |settled, sent, age| retention.may_drop(2, Tally { settled, sent }, Wall(5), Wall(5 + age));
        assert_eq!([100, 101].map(|age| may_drop(2, 2, age)), [false, true]);
        assert_eq!([101, 100 + RECEIPT_PATIENCE_MS].map(|age| may_drop(1, 2, age)), [false; 2]);
        assert!(may_drop(1, 2, 101 + RECEIPT_PATIENCE_MS));
        assert!(!may_drop(1, 1, u64::MAX - 5), "what is unsent stays");
    }
}
