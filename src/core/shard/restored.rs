//! What a backup held unsent when it was made. The process that was backed up may have sent it after the backup, and nobody
//! can tell; so it is in doubt, for the reason `restored`, until somebody says what is to become of it, by class.
//!
//! Such a backlog may be large, so nothing is noted for each message: what was ready stands in fifos of an earlier generation
//! of lists, of which nothing is taken and nothing read while its class is held. A decision is one record, whatever the number of messages.
//! - *hold*: nothing happens to it. New messages of the same lane pass.
//! - *resend*: it is taken like anything else; each message's doubt is recorded together with its attempt.
//! - *drop*: it is given up, `dead` with the reason `in_doubt_dropped`, a turn's worth at a time.
//!
//! What comes due at or before the moment of the restore enters these fifos as well. What comes due later cannot have been
//! sent by a process that was gone by then, and is sent as ever. Attempts and doubts of the time of the backup are few, and
//! stand in the ledger.

//! This file holds the rules, and whoever moves a message asks them: which list it enters, whether its doubt is to be written
//! down first, how it reads. Who moves it is `pull.rs` and `ledger.rs`. What the store does with it, before a start and when it
//! folds, stands in `store/restored.rs` and `store/fold.rs`.

use crate::delivery::{DoubtPolicy, Doubts, Event, Happened, InDoubt, Lost, MessageView};
use crate::model::{Address, CarrierId, Class, DeadLetterReason, Head, Lane, MessageState, Wall};
use crate::queue::{DueEntry, InsertReason, Unsent};
use crate::store::key::Key;
use crate::store::record::{RestoredRecord, encode};
use crate::store::{Op, restored};
use crate::traffic::Unanswered;

use super::options::Options;

/// That a shard was restored, and how much of that time is still undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredStatus {
    /// When the backup was begun.
    pub mark: Wall,
    /// When it was restored.
    pub at: Wall,
    /// What becomes of what was unsent, by class.
    pub unsent: [DoubtPolicy; Class::COUNT],
    /// Messages that were unsent and have not been taken since, by class; without those in the ledger.
    pub waiting: [u64; Class::COUNT],
}

/// See the head of this file; of a shard that was never restored, it says that nothing is special.
#[derive(Clone, Debug, Default)]
pub(super) struct Restored(Option<RestoredRecord>);

/// How everything was lost that a backup held unsent.
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

    /// What is to become of what a class had unsent; none if this shard was never restored.
    fn unsent(&self, class: Class) -> Option<DoubtPolicy> {
        self.0.as_ref().map(|record| restored::policy(record.unsent[class.index()]))
    }

    /// What its lists are to do with it.
    pub(super) fn unsent_in_lists(&self, class: Class) -> Unsent {
        self.unsent(class).map_or(Unsent::Sent, unsent)
    }

    /// Whether what a class had unsent is to be given up.
    pub(super) fn drops(&self, class: Class) -> bool {
        self.unsent(class) == Some(DoubtPolicy::Drop)
    }

    /// What happens to an attempt in doubt. To be sent again after a restore means: as the class says.
    pub(super) fn doubt_policy(&self, options: &Options, class: Class, reason: Unanswered) -> DoubtPolicy {
        match self.unsent(class).filter(|_| Self::is_cause(reason)) {
            Some(DoubtPolicy::Hold) => DoubtPolicy::Hold,
            Some(DoubtPolicy::Drop) => DoubtPolicy::Drop,
            Some(DoubtPolicy::Resend) | None => options.doubt[class.index()],
        }
    }

    /// What was in doubt already when the backup was made has no better prospects now: how it was lost from the first start
    /// on, if that changes.
    pub(super) fn lost_again(&self, options: &Options, class: Class, lost: Lost) -> Option<Lost> {
        let policy = self.doubt_policy(options, class, Unanswered::Restored);
        let is_worse = !Self::is_cause(lost.reason) && policy != DoubtPolicy::Resend;
        is_worse.then_some(Lost { reason: Unanswered::Restored, held: policy == DoubtPolicy::Hold, ..lost })
    }

    /// Whether what has come due may have been sent before the restore. `due` is the time that it waited for.
    pub(super) fn is_of_backup(&self, entry: &DueEntry, due: Wall) -> bool {
        let Some(record) = &self.0 else { return false };
        match entry.reason {
            InsertReason::Scheduled | InsertReason::Retry => {
                entry.address.segment() < record.below && due.0 <= record.at
            }
            InsertReason::DoubtWait | InsertReason::Expiry => false,
        }
    }

    /// Whether a message with that history that waits in a list waits in one of what was unsent at the backup.
    pub(super) fn is_in_list(&self, address: Address, history: &[Event]) -> bool {
        self.0.as_ref().is_some_and(|record| {
            let has_left = |event: &Event| event.at.0 > record.at && event.what.leaves_backup();
            address.segment() < record.below && !history.iter().any(has_left)
        })
    }

    /// Segments before this one, and when they were restored.
    pub(super) fn below(&self) -> Option<(u64, Wall)> {
        self.0.as_ref().map(|record| (record.below, Wall(record.at)))
    }

    /// Somebody has decided about those classes. What is to be written down; none if this shard was never restored.
    pub(super) fn decide(&mut self, classes: impl Iterator<Item = Class>, policy: DoubtPolicy) -> Option<Op> {
        let record = self.0.as_mut()?;
        classes.for_each(|class| record.unsent[class.index()] = restored::code(policy));
        let key = Key::Restored;
        Some(Op::Put { space: key.space(), key: key.bytes(), value: encode(record) })
    }

    /// What is held reads as in doubt, although its timeline does not say so yet.
    pub(super) fn show(&self, address: Address, class: Class, view: &mut MessageView) {
        let Some(record) = self.0.as_ref().filter(|record| address.segment() < record.below) else { return };
        let expired_here = view.reason == Some(DeadLetterReason::ExpiredHere)
            && view.timeline.iter().all(|entry| !entry.what.is_final());
        let is_unsent = view.state == MessageState::Queued || (expired_here && view.state == MessageState::Expired);
        // What came due after the restore, or was tried since, stands with the new messages.
        let is_released = view.timeline.iter().any(|entry| {
            let is_new = matches!(entry.what, Happened::Attempt { .. } | Happened::Due { from_backup: false });
            entry.at.0 > record.at && is_new
        });
        if is_unsent && !is_released && restored::policy(record.unsent[class.index()]) == DoubtPolicy::Hold {
            (view.state, view.final_at, view.reason) = (MessageState::InDoubt, None, None);
        }
    }

    /// How it stands with the restore, while so many messages of each class wait; none if there never was one.
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

/// The entry of a message that was never handed to a carrier here, for as long as it takes to give it up.
pub(super) fn unsent_doubt(head: &Head, lane: Lane, now: Wall) -> InDoubt {
    InDoubt {
        attempt: 0,
        reference: 0,
        carrier: CarrierId::default(),
        lane,
        recipient: head.to,
        tenant: head.tenant,
        parts: head.parts,
        sent_at: head.accepted_at,
        since: now,
        lost: LOST,
        decided_at: InDoubt::HELD,
        vouched: false,
        doubts: Doubts::default(),
    }
}
