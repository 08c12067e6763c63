//! What is done with messages that were unsent in a backup from which the shard was restored.
//!
//! The process that was backed up may have sent them after the backup, which cannot be known. So they are in doubt, for the
//! reason `restored`, until the operator decides what is done with them, class by class.
//!
//! There may be very many, so nothing is recorded for each message. What was ready is in fifos of an earlier generation of lists;
//! while its class is held, nothing is taken or read from these. A decision is one record, however many messages it concerns.
//! - *hold*: nothing happens to the message. New messages of the same lane pass it.
//! - *resend*: it is taken like any other message; its doubt is recorded together with its attempt.
//! - *drop*: it is given up, `dead` with the reason `in_doubt_dropped`; each turn gives up a limited number.
//!
//! A message that comes due at or before the moment of the restore enters these fifos as well. One that comes due later cannot
//! have been sent by the earlier process, which had ended by then, and is sent as usual. Attempts and doubts from the time of the
//! backup are few, and are in the ledger.
//!
//! This file holds only the rules: which list a message enters, whether its doubt must be recorded first, which state is shown.
//! Messages are moved by `pull.rs`, `leaving.rs` and `ledger.rs`. What the store does, before a start and when it folds, is in
//! `store/restored.rs` and `store/fold.rs`.

use crate::delivery::{DoubtPolicy, Doubts, Event, Happened, InDoubt, Lost, MessageView};
use crate::model::{Address, CarrierId, Class, DeadLetterReason, Head, Lane, MessageState, Wall};
use crate::queue::{DueEntry, InsertReason, Unsent};
use crate::store::key::Key;
use crate::store::record::{RestoredRecord, encode};
use crate::store::{Op, restored};
use crate::traffic::Unanswered;

use super::options::Options;

/// That a shard was restored from a backup, and how much of what was unsent is still undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredStatus {
    /// When the backup was begun.
    pub mark: Wall,
    /// When it was restored.
    pub at: Wall,
    /// What is done with messages that were unsent, by class.
    pub unsent: [DoubtPolicy; Class::COUNT],
    /// Messages that were unsent and have not been taken since, by class; without those in the ledger.
    pub waiting: [u64; Class::COUNT],
}

/// The record of the restore; `None` if the shard was never restored, and then no rule here changes anything.
#[derive(Clone, Debug, Default)]
pub(super) struct Restored(Option<RestoredRecord>);

/// The loss that is recorded for everything that was unsent in a backup.
pub(super) const LOST: Lost = Lost { reason: Unanswered::Restored, bind: None, held: true, grouped: false };

impl Restored {
    pub(super) const fn new(record: Option<RestoredRecord>) -> Self {
        Self(record)
    }

    /// Whether this is the first start since the restore; `last` is the last commit found.
    pub(super) fn is_first_start(&self, last: u64) -> bool {
        self.0.as_ref().is_some_and(|record| record.commit == last)
    }

    /// Whether an attempt was lost because a backup was restored.
    pub(super) const fn is_cause(reason: Unanswered) -> bool {
        matches!(reason, Unanswered::Restored)
    }

    /// The decision about a class's unsent messages; `None` if this shard was never restored.
    fn unsent(&self, class: Class) -> Option<DoubtPolicy> {
        self.0.as_ref().map(|record| restored::policy(record.unsent[class.index()]))
    }

    /// What the lists do with a class's unsent messages.
    pub(super) fn unsent_in_lists(&self, class: Class) -> Unsent {
        self.unsent(class).map_or(Unsent::Sent, unsent)
    }

    /// Whether a class's unsent messages are to be given up.
    pub(super) fn drops(&self, class: Class) -> bool {
        self.unsent(class) == Some(DoubtPolicy::Drop)
    }

    /// The policy for an attempt in doubt. If the decision about the restore is to send again, the class's own policy applies.
    pub(super) fn doubt_policy(&self, options: &Options, class: Class, reason: Unanswered) -> DoubtPolicy {
        match self.unsent(class).filter(|_| Self::is_cause(reason)) {
            Some(DoubtPolicy::Hold) => DoubtPolicy::Hold,
            Some(DoubtPolicy::Drop) => DoubtPolicy::Drop,
            Some(DoubtPolicy::Resend) | None => options.doubt[class.index()],
        }
    }

    /// For an attempt that was in doubt already when the backup was made: the loss that is recorded at the first start after the
    /// restore, if it changes. Its chances of being answered are not better than those of what was unsent.
    pub(super) fn lost_again(&self, options: &Options, class: Class, lost: Lost) -> Option<Lost> {
        let policy = self.doubt_policy(options, class, Unanswered::Restored);
        let is_worse = !Self::is_cause(lost.reason) && policy != DoubtPolicy::Resend;
        is_worse.then_some(Lost { reason: Unanswered::Restored, held: policy == DoubtPolicy::Hold, ..lost })
    }

    /// Whether a message that comes due may have been sent before the restore. `due`: the time that it waited for.
    pub(super) fn is_of_backup(&self, entry: &DueEntry, due: Wall) -> bool {
        let Some(record) = &self.0 else { return false };
        match entry.reason {
            InsertReason::Scheduled | InsertReason::Retry => {
                entry.address.segment() < record.below && due.0 <= record.at
            }
            InsertReason::DoubtWait | InsertReason::Expiry => false,
        }
    }

    /// Whether a message that waits in a list, with that history, waits in one of those of the backup.
    pub(super) fn is_in_list(&self, address: Address, history: &[Event]) -> bool {
        self.0.as_ref().is_some_and(|record| {
            let has_left = |event: &Event| event.at.0 > record.at && event.what.leaves_backup();
            address.segment() < record.below && !history.iter().any(has_left)
        })
    }

    /// The number of the first segment written after the restore, and when the restore was; messages in earlier segments may be
    /// from the backup.
    pub(super) fn below(&self) -> Option<(u64, Wall)> {
        self.0.as_ref().map(|record| (record.below, Wall(record.at)))
    }

    /// The operator has decided about those classes. Returns what must be written; `None` if this shard was never restored.
    pub(super) fn decide(&mut self, classes: impl Iterator<Item = Class>, policy: DoubtPolicy) -> Option<Op> {
        let record = self.0.as_mut()?;
        classes.for_each(|class| record.unsent[class.index()] = restored::code(policy));
        let key = Key::Restored;
        Some(Op::Put { space: key.space(), key: key.bytes(), value: encode(record) })
    }

    /// Shows a held message as in doubt, although its timeline does not say so yet.
    pub(super) fn show(&self, address: Address, class: Class, view: &mut MessageView) {
        let Some(record) = self.0.as_ref().filter(|record| address.segment() < record.below) else { return };
        let expired_here = view.reason == Some(DeadLetterReason::ExpiredHere)
            && view.timeline.iter().all(|entry| !entry.what.is_final());
        let is_unsent = view.state == MessageState::Queued || (expired_here && view.state == MessageState::Expired);
        // A message that came due after the restore, or was tried since, waits among new messages.
        let is_released = view.timeline.iter().any(|entry| {
            let is_new = matches!(entry.what, Happened::Attempt { .. } | Happened::Due { from_backup: false });
            entry.at.0 > record.at && is_new
        });
        if is_unsent && !is_released && restored::policy(record.unsent[class.index()]) == DoubtPolicy::Hold {
            (view.state, view.final_at, view.reason) = (MessageState::InDoubt, None, None);
        }
    }

    /// The state of the restore; `waiting` gives how many messages of a class still wait. `None` if there never was a restore.
    pub(super) fn status(&self, waiting: impl Fn(Class) -> u64) -> Option<RestoredStatus> {
        let record = self.0.as_ref()?;
        Some(RestoredStatus {
            mark: Wall(record.mark),
            at: Wall(record.at),
            unsent: record.unsent.map(restored::policy),
            waiting: Class::ALL.map(waiting),
        })
    }
}

const fn unsent(policy: DoubtPolicy) -> Unsent {
    match policy {
        DoubtPolicy::Hold => Unsent::Held,
        DoubtPolicy::Resend => Unsent::Sent,
        DoubtPolicy::Drop => Unsent::GivenUp,
    }
}

/// A ledger entry for a message that was never handed to a carrier here; needed only while the message is given up.
pub(super) fn unsent_doubt(head: &Head, lane: Lane, now: Wall) -> InDoubt {
    InDoubt {
        attempt: 0,
        reference: 0,
        carrier: CarrierId::default(),
        lane,
        recipient: head.to,
        parts: head.parts,
        sent_at: head.accepted_at,
        since: now,
        lost: LOST,
        decided_at: InDoubt::HELD,
        vouched: false,
        doubts: Doubts::default(),
    }
}
