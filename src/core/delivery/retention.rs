//! The retention of histories: when a message counts as settled, and when a segment may be dropped. The store counts and drops
//! segments by these rules and has none of its own.

use crate::model::Wall;

use super::event::Happened;

/// How long a message that a carrier took waits for its receipt, unless it is configured otherwise, ms.
pub const RECEIPT_WAIT_MS: u64 = 72 * 3_600_000;

/// The configured retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long a history is kept after its last event, ms.
    pub kept_ms: u64,
}

/// Whether no more events are expected for a message with this history.
pub fn is_settled(history: impl IntoIterator<Item = Happened>) -> bool {
    history.into_iter().any(Happened::settles)
}

impl Retention {
    /// Whether a segment may be dropped. `messages`: number of its messages; `settled`: how many of them are settled; `newest`:
    /// time of its newest event.
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
