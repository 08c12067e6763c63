//! How long histories are kept: what counts as settled, and when a segment may be dropped. The store counts and drops by it,
//! and knows no reason of its own.

use crate::model::Wall;

use super::event::Happened;

/// How long a message that a carrier took waits for its receipt where nobody says otherwise, ms.
pub const RECEIPT_WAIT_MS: u64 = 72 * 3_600_000;

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long a history is kept after its last event, ms.
    pub kept_ms: u64,
}

/// Whether nothing more is to come of a message to whom this has happened.
pub fn is_settled(history: impl IntoIterator<Item = Happened>) -> bool {
    history.into_iter().any(Happened::settles)
}

impl Retention {
    /// Whether a segment may be dropped that holds so many messages, of which so many are settled, and whose newest event is of
    /// that time.
    pub const fn may_drop(&self, messages: u32, settled: u32, newest: Wall, now: Wall) -> bool {
        settled >= messages && now.since(newest) > self.kept_ms
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Coding, ReceiptState};

    use super::*;

    const SUBMITTED: Happened = Happened::Submitted { parts: 1, awaits_receipt: true, coding: Coding::Gsm7 };

    #[test]
    fn a_message_is_settled_by_its_end_or_when_no_receipt_is_wanted() {
        let unwanted = Happened::Submitted { parts: 1, awaits_receipt: false, coding: Coding::Gsm7 };
        assert!(!is_settled([SUBMITTED, SUBMITTED]) && is_settled([unwanted]));
        assert!(is_settled([
            SUBMITTED,
            Happened::Delivered { error: None },
            Happened::Late { receipt: ReceiptState::Unknown }
        ]));
        assert!(is_settled([SUBMITTED, Happened::NoReceipt]));
    }

    #[test]
    fn what_is_settled_goes_after_its_time() {
        let retention = Retention { kept_ms: 100 };
        let may_drop = |settled, age| retention.may_drop(2, settled, Wall(5), Wall(5 + age));
        assert_eq!([100, 101].map(|age| may_drop(2, age)), [false, true]);
        assert!(!may_drop(1, u64::MAX - 5), "the other may still be sent, or waits for its receipt");
    }
}
