//! What a backup held unsent when it was made. The process that was backed up may have sent it after the backup, and nobody
//! can tell; so it is in doubt, for the reason `restored`, until somebody says what is to become of it, by class.
//!
//! Such a backlog may be large, so it is no list: what was ready stands in fifos of its own ([`FifoKind::Held`]), of which
//! nothing is taken and nothing read while its class is held. A decision is one record, whatever the number of messages.
//! - *hold*: nothing happens to it. New messages of the same lane pass.
//! - *resend*: it is taken like anything else; each message's doubt is recorded together with its attempt.
//! - *drop*: it is given up, `dead` with the reason `in_doubt_dropped`, a turn's worth at a time.
//!
//! What comes due at or before the moment of the restore enters these fifos as well. What comes due later cannot have been
//! sent by a process that was gone by then, and is sent as ever. Attempts and doubts of the time of the backup are few, and
//! stand in the ledger.

use crate::delivery::{DoubtPolicy, Event, Happened, InDoubt, Lost, MessageView, Resolution};
use crate::model::{Address, CarrierId, Class, DeadLetterReason, Head, Lane, MessageState, Point, ReplyTo, Wall};
use crate::queue::{DueEntry, FifoKind, InsertReason, Unsent};
use crate::store::key::Key;
use crate::store::record::{RestoredRecord, encode};
use crate::store::{Op, restored};
use crate::traffic::Unanswered;

use super::Shard;
use super::event::Reply;

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

impl Shard {
    /// Messages that one turn gives up at most.
    const DROPPED_PER_TURN_MAX: usize = 8_192;

    /// To be called when everything else is replayed: what was open becomes a doubt. `last` is the last commit found.
    pub(super) fn replay_restored(&mut self, record: Option<RestoredRecord>, last: u64) {
        let is_first_start = record.as_ref().is_some_and(|record| record.commit == last);
        self.restored = record;
        for class in Class::ALL {
            self.lanes.set_unsent(class, self.unsent(class).map_or(Unsent::Sent, unsent));
        }
        let reason = if is_first_start { Unanswered::Restored } else { Unanswered::Crashed };
        let left_open: Vec<_> = self.books.attempts.sorted().into_iter().map(|(address, _)| address).collect();
        for address in left_open {
            match self.books.is_closed(address) {
                true => self.books.settle_ended(address, self.now.wall),
                false => self.doubt(address, reason, None),
            }
        }
        if is_first_start {
            self.hold_ledger();
        }
        self.reconcile_ledger();
    }

    /// What was in doubt already when the backup was made has no better prospects now.
    fn hold_ledger(&mut self) {
        let known: Vec<(Address, Class)> =
            self.books.attempts.ledger().map(|(address, doubt)| (*address, doubt.lane.class)).collect();
        for (address, class) in known {
            let policy = self.doubt_policy(class, Unanswered::Restored);
            let lost = self.books.attempts.doubts.get(&address).map(|doubt| doubt.lost);
            if let Some(lost) = lost.filter(|lost| !is_restored(lost.reason) && policy != DoubtPolicy::Resend) {
                let lost = Lost { reason: Unanswered::Restored, held: policy == DoubtPolicy::Hold, ..lost };
                self.happens(address, Happened::InDoubt { lost });
            }
        }
    }

    /// What is to become of what a class had unsent; none if this shard was never restored.
    fn unsent(&self, class: Class) -> Option<DoubtPolicy> {
        self.restored.as_ref().map(|record| restored::policy(record.unsent[class.index()]))
    }

    /// What happens to an attempt in doubt. To be sent again after a restore means: as the class says.
    pub(super) fn doubt_policy(&self, class: Class, reason: Unanswered) -> DoubtPolicy {
        match self.unsent(class).filter(|_| is_restored(reason)) {
            Some(DoubtPolicy::Hold) => DoubtPolicy::Hold,
            Some(DoubtPolicy::Drop) => DoubtPolicy::Drop,
            Some(DoubtPolicy::Resend) | None => self.options.doubt[class.index()],
        }
    }

    /// The fifo of what has come due, if it may have been sent before the restore. `due` is the time that it waited for.
    pub(super) fn restored_due(&self, entry: &DueEntry, due: Wall) -> Option<FifoKind> {
        let record = self.restored.as_ref()?;
        let then = entry.address.segment() < record.below && due.0 <= record.at;
        let code = FifoKind::restored(FifoKind::Due.code(), record.generation);
        match entry.reason {
            InsertReason::Scheduled | InsertReason::Retry => then.then_some(FifoKind::Held(code)),
            InsertReason::DoubtWait | InsertReason::Expiry => None,
        }
    }

    /// A message that was unsent at the backup is taken: its doubt is recorded before its attempt.
    pub(super) fn begin_restored(&mut self, address: Address) {
        self.note_restored_doubt(address, Resolution::HandResend);
        self.happens(address, Happened::Resent { by: Resolution::HandResend });
    }

    /// A message that was unsent at the backup leaves its list: it was in doubt until then, and how that ends follows.
    pub(super) fn note_restored_doubt(&mut self, address: Address, how: Resolution) {
        self.counters.in_doubt += 1;
        self.counters.resolved[how.index()] += 1;
        self.happens(address, Happened::InDoubt { lost: RESTORED });
    }

    /// Whether a message with that history that waits in a list waits in one of what was unsent at the backup.
    pub(super) fn is_in_restored_list(&self, address: Address, history: &[Event]) -> bool {
        self.restored.as_ref().is_some_and(|record| {
            let has_left = |event: &Event| event.at.0 > record.at && event.what.leaves_backup();
            address.segment() < record.below && !history.iter().any(has_left)
        })
    }

    /// Gives up what was unsent in classes that shall not send it: as much as one turn may.
    pub(super) fn drop_restored(&mut self) {
        if self.restored.is_none() {
            return;
        }
        let mut left = Self::DROPPED_PER_TURN_MAX;
        for class in Class::ALL {
            if self.unsent(class) != Some(DoubtPolicy::Drop) {
                continue;
            }
            while left > 0 {
                let Some((name, taken)) = self.lanes.take_restored(class) else { break };
                left = if self.buggify.at(Point::DropLater) { 0 } else { left - 1 };
                let head = self.lanes.fifo(name).head();
                self.gathering.taken(name, head);
                let address = taken.segment.address(taken.slot);
                let head = taken.segment.head(taken.slot).copied();
                if self.pass_over(name, address, head.as_ref()) {
                    continue;
                }
                self.waits_no_more(address, head.as_ref());
                let Some(head) = head else {
                    self.die(address, DeadLetterReason::Unreadable);
                    continue;
                };
                self.counters.in_doubt += 1;
                self.happens(address, Happened::InDoubt { lost: RESTORED });
                self.give_up(address, &unsent_doubt(&head, name.lane, self.now.wall), Resolution::HandDrop);
            }
        }
    }

    /// Somebody decided about a class, or all: how many messages that concerns.
    pub(super) fn release(&mut self, reply: ReplyTo, class: Option<Class>, policy: DoubtPolicy) {
        let mut concerned = 0;
        if let Some(mut record) = self.restored.clone() {
            for class in Class::ALL.into_iter().filter(|own| class.is_none_or(|asked| asked == *own)) {
                record.unsent[class.index()] = restored::code(policy);
                self.lanes.set_unsent(class, unsent(policy));
                concerned += self.lanes.restored_waiting(class);
            }
            let key = Key::Restored;
            let put = Op::Put { space: key.space(), key: key.bytes(), value: encode(&record) };
            self.gathering.batch().extra.push(put);
            self.restored = Some(record);
            concerned += self.release_ledger(class, policy);
        }
        self.reply(reply, Reply::Released(concerned));
    }

    fn release_ledger(&mut self, class: Option<Class>, policy: DoubtPolicy) -> u64 {
        let own =
            |doubt: &InDoubt| class.is_none_or(|class| doubt.lane.class == class) && is_restored(doubt.lost.reason);
        let held: Vec<Address> =
            self.books.attempts.ledger().filter(|(_, doubt)| own(doubt)).map(|(address, _)| *address).collect();
        for address in &held {
            match policy {
                DoubtPolicy::Hold => self.apply_policy(*address),
                DoubtPolicy::Drop => self.give_up_doubt(*address, Resolution::HandDrop),
                DoubtPolicy::Resend => self.resend(*address, Resolution::HandResend),
            }
        }
        held.len() as u64
    }

    /// What is held reads as in doubt, although its timeline does not say so yet.
    pub(super) fn show_restored(&self, address: Address, class: Class, view: &mut MessageView) {
        let Some(record) = self.restored.as_ref().filter(|record| address.segment() < record.below) else { return };
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

    /// How it stands with the restore; none if there never was one.
    pub fn restored(&self) -> Option<RestoredStatus> {
        let record = self.restored.as_ref()?;
        Some(RestoredStatus {
            mark: Wall(record.mark),
            at: Wall(record.at),
            unsent: record.unsent.map(restored::policy),
            waiting: Class::ALL.map(|class| self.lanes.restored_waiting(class)),
        })
    }
}

/// How everything was lost that a backup held unsent.
const RESTORED: Lost = Lost { reason: Unanswered::Restored, bind: None, held: true };

const fn unsent(policy: DoubtPolicy) -> Unsent {
    match policy {
        DoubtPolicy::Hold => Unsent::Held,
        DoubtPolicy::Resend => Unsent::Sent,
        DoubtPolicy::Drop => Unsent::GivenUp,
    }
}

/// The entry of a message that was never handed to a carrier here, for as long as it takes to give it up.
fn unsent_doubt(head: &Head, lane: Lane, now: Wall) -> InDoubt {
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
        lost: RESTORED,
        resend_at: InDoubt::HELD,
        vouched: false,
    }
}

const fn is_restored(reason: Unanswered) -> bool {
    matches!(reason, Unanswered::Restored)
}

#[cfg(test)]
#[path = "restored_tests.rs"]
mod tests;
