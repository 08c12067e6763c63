//! The ledger of what is in doubt: how an entry comes, what settles it, and what a hand may do with it.
//!
//! Invariants:
//! 1. An entry leaves by exactly one [`Resolution`], which stands in the message's timeline.
//! 2. What its class gives up, and what a hand gives up, leaves a notice in the same batch.
//! 3. What is held ends when its message expires ([`Resolution::Expired`]): to send it again would be for nothing then. What
//!    waits for a receipt waits until [`InDoubt::resend_at`] all the same.
//! 4. An entry of a class that sends again has an entry in the delay queue at [`InDoubt::resend_at`]; one that fires
//!    earlier belongs to an older doubt of the message and does nothing.

use crate::delivery::{DoubtFilter, DoubtPolicy, Happened, InDoubt, Lost, LostBind, Resolution};
use crate::model::{Address, DeadLetterReason, GroupId, MessageId, Msisdn, ReplyTo};
use crate::queue::{DueEntry, FifoKind, FifoName, InsertReason, Tick};
use crate::smpp::receipt::ReceiptState;
use crate::smpp::receipt_id::id_key;
use crate::store::StoredMessage;
use crate::store::record::{InboundRecord, NoticeRecord, OutboxRecord, ReceiptNote};
use crate::traffic::{Answer, Outcome, OutcomeBatch, Unanswered};

use super::Shard;
use super::event::{DoubtAction, FoundDoubt, Reply, Resolved};

/// A message that a page of the ledger shows, until the store has told what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub address: Address,
    pub attempt: u8,
}

impl Shard {
    /// The attempt went without an answer. `core`: of the link; `None` if the attempt was found at a start.
    pub(super) fn doubt(&mut self, address: Address, reason: Unanswered, core: Option<u8>) {
        let Some(open) = self.books.attempts.get(address) else { return };
        let held = self.doubt_policy(open.lane.class, reason) == DoubtPolicy::Hold;
        let bind = core.zip(open.lost_on).map(|(core, number)| LostBind { core, number });
        self.counters.in_doubt += 1;
        self.happens(address, Happened::InDoubt { lost: Lost { reason, bind, held } });
        if !self.settle_by_parked(address) {
            self.apply_policy(address);
        }
    }

    /// What the class of an entry wants, from now on.
    pub(super) fn apply_policy(&mut self, address: Address) {
        let Some(doubt) = self.books.attempts.in_ledger(address) else { return };
        let resend_at = match self.doubt_policy(doubt.lane.class, doubt.lost.reason) {
            DoubtPolicy::Drop => return self.give_up_doubt(address, Resolution::PolicyDrop),
            DoubtPolicy::Hold => InDoubt::HELD,
            DoubtPolicy::Resend => {
                let at = self.now.wall.after_ms(self.options.in_doubt_wait_ms);
                let entry = DueEntry { address, lane: doubt.lane, reason: InsertReason::DoubtWait };
                self.gathering.put_off(self.scheduled.tick_for(at), entry);
                at
            }
        };
        if let Some(doubt) = self.books.attempts.doubts.get_mut(&address) {
            doubt.resend_at = resend_at;
        }
    }

    /// Entries that stand otherwise than their class's policy wants: it was changed, or a start has found them.
    pub(super) fn reconcile_ledger(&mut self) {
        let passed = self.scheduled.head().tick;
        let astray = |doubt: &InDoubt| match self.doubt_policy(doubt.lane.class, doubt.lost.reason) {
            DoubtPolicy::Drop => true,
            DoubtPolicy::Hold => doubt.resend_at != InDoubt::HELD,
            // Its wait may have passed under another policy; what a start replayed does not say when it ends.
            DoubtPolicy::Resend => doubt.resend_at == InDoubt::HELD || Tick::at_or_after(doubt.resend_at) <= passed,
        };
        let astray: Vec<Address> =
            self.books.attempts.ledger().filter(|(_, doubt)| astray(doubt)).map(|(address, _)| *address).collect();
        for address in astray {
            self.apply_policy(address);
        }
    }

    /// The wait of a message in doubt is over: unless something settled it, it is ready again.
    pub(super) fn doubt_wait_over(&mut self, address: Address) {
        if self.books.attempts.in_ledger(address).is_some_and(|doubt| doubt.resend_at <= self.now.wall) {
            match self.books.has_room_for_tried() {
                true => self.resend(address, Resolution::PolicyResend),
                // An answer to its last attempt may still come: the next one needs a number of its own.
                false => self.apply_policy(address),
            }
        }
    }

    pub(super) fn resend(&mut self, address: Address, by: Resolution) {
        if self.books.attempts.in_ledger(address).is_none() {
            return;
        }
        self.counters.resolved[by.index()] += 1;
        if let Some(doubt) = self.happens(address, Happened::Resent { by }).doubt {
            self.places.enter(doubt.tenant, 1);
            self.gathering.due(FifoName { lane: doubt.lane, kind: FifoKind::Due }, address);
        }
    }

    pub(super) fn give_up_doubt(&mut self, address: Address, how: Resolution) {
        if let Some(doubt) = self.books.attempts.in_ledger(address) {
            self.give_up(address, &doubt, how);
        }
    }

    /// Gives up what is in doubt, or was until now.
    pub(super) fn give_up(&mut self, address: Address, doubt: &InDoubt, how: Resolution) {
        self.counters.resolved[how.index()] += 1;
        let end = Happened::Dead { reason: DeadLetterReason::InDoubtDropped, by: Some(how) };
        let notice = NoticeRecord {
            wall: self.now.wall.0,
            address: address.packed(),
            tenant: doubt.tenant.0,
            recipient: doubt.recipient.number(),
            class: doubt.lane.class as u8,
            carrier: doubt.carrier.0,
            attempt: doubt.attempt,
            end,
            lost: doubt.lost,
        };
        self.gathering.batch().outbox.push(OutboxRecord::Notice(notice));
        self.finish(address, end);
    }

    /// The carrier has a part of it. With all its parts the message leaves the ledger.
    fn taken_after_all(&mut self, address: Address, doubt: &InDoubt, (part, parts): (u8, u8), how: Resolution) {
        if parts > 1 {
            self.part_taken(address, part, parts);
            let accepted = self.books.attempts.progress.get(&address).map_or(0, |progress| progress.accepted.len());
            if accepted < u32::from(parts) {
                return;
            }
        }
        if !doubt.vouched {
            self.resolved_as(address, how);
        }
    }

    fn resolved_as(&mut self, address: Address, how: Resolution) {
        self.alarms.touch(address);
        self.counters.resolved[how.index()] += 1;
        self.counters.submitted += 1;
        self.happens(address, Happened::Resolved { by: how });
    }

    /// An outcome of an attempt that is not open any more: the carrier's answer came after it was given up.
    pub(super) fn late_outcome(&mut self, batch: &OutcomeBatch, outcome: &Outcome) {
        let address = outcome.address;
        let doubt = self.books.attempts.doubts.get(&address).filter(|doubt| doubt.attempt == outcome.attempt).copied();
        let Some(doubt) = doubt.filter(|doubt| doubt.carrier == batch.link.carrier) else { return };
        match outcome.answer {
            Answer::Accepted(id) => {
                let id = id.of(&batch.arena);
                let of = (outcome.part, outcome.parts);
                self.taken_after_all(address, &doubt, of, Resolution::LateAnswer);
                if !id.is_empty() {
                    self.await_part(doubt_note(address, &doubt, of, batch.group, id));
                }
            }
            // Of several parts others may have been taken: only a refused whole is surely not there.
            Answer::Refused(status) if outcome.parts <= 1 && !doubt.vouched => {
                self.counters.resolved[Resolution::LateAnswer.index()] += 1;
                self.refused_late(address, &doubt, status);
            }
            Answer::Refused(_) | Answer::NotWritten(_) | Answer::Unanswered(_) | Answer::Unencodable => {}
        }
    }

    /// A receipt whose id nobody knows: whether it settled an entry of the ledger.
    pub(super) fn settle_by_receipt(&mut self, record: &InboundRecord) -> bool {
        let recipient = Msisdn::from_number(record.from);
        let state = record.state.and_then(ReceiptState::from_code);
        let (Some(recipient), Some(state)) = (recipient, state) else { return false };
        let by_reference = record.reference.and_then(|reference| {
            let (address, doubt, part) = self.books.attempts.referenced_doubt(recipient, reference)?;
            Some((address, doubt, part, Resolution::Reference))
        });
        let sole = || {
            let (address, doubt) = self.books.attempts.sole_doubt(recipient)?;
            Some((address, doubt, 1, Resolution::Receipt))
        };
        let Some((address, doubt, part, how)) = by_reference.or_else(sole) else { return false };
        let group = GroupId(record.group);
        if self.carrier_group(doubt.carrier) != Some(group) {
            return false;
        }
        let parts = self.books.attempts.progress.get(&address).map_or(doubt.parts, |progress| progress.parts).max(1);
        self.taken_after_all(address, &doubt, (part, parts), how);
        let note = doubt_note(address, &doubt, (part, parts), group, &record.id);
        if record.id.is_empty() {
            self.receipt_without_id(note, state, record.error);
        } else {
            // Its id is known from now on.
            self.await_late(note);
            self.apply_receipt(note, false, state, record.error);
        }
        true
    }

    /// Receipts for the recipient came before its attempt was given up, and were parked: whether they settled it.
    fn settle_by_parked(&mut self, address: Address) -> bool {
        let Some(doubt) = self.books.attempts.in_ledger(address) else { return true };
        let Some(group) = self.carrier_group(doubt.carrier) else { return false };
        let parked = self.receipts.parked_for(doubt.recipient, group, doubt.sent_at);
        if parked.is_empty() {
            return false;
        }
        let (sole, several) = (self.books.attempts.sole_doubt(doubt.recipient), parked.len() > 1);
        for (key, record) in parked {
            let named = record.reference.and_then(|reference| {
                self.books.attempts.referenced_doubt(doubt.recipient, reference).filter(|(at, ..)| *at == address)
            });
            let is_sole = !several && sole.is_some_and(|(at, _)| at == address);
            if (named.is_some() || is_sole) && self.settle_by_receipt(&record) {
                self.unpark(key);
            }
        }
        self.books.attempts.in_ledger(address).is_none()
    }

    /// Carriers and their groups are known: what a start found in doubt may be settled by what was parked before.
    pub(super) fn settle_ledger_by_parked(&mut self) {
        if self.receipts.orphans() == 0 {
            return;
        }
        let entries: Vec<Address> = self.books.attempts.ledger().map(|(address, _)| *address).collect();
        for address in entries {
            self.settle_by_parked(address);
        }
    }

    /// Entries of the ledger that one question looks at: with a filter that fits few, a page may be empty and go on.
    pub(super) const LOOKED_AT_MAX: usize = 10_000;

    /// A page of the ledger, from an address on.
    pub(super) fn list_doubts(&mut self, reply: ReplyTo, filter: &DoubtFilter, from: Address, limit: usize) {
        let (mut listed, mut next) = (Vec::new(), None);
        for (looked_at, (address, doubt)) in self.books.attempts.ledger_from(from).enumerate() {
            let is_wanted = filter.takes(doubt);
            if looked_at >= Self::LOOKED_AT_MAX || (is_wanted && listed.len() >= limit) {
                next = Some(*address);
                break;
            }
            if is_wanted {
                listed.push(Listed { address: *address, attempt: doubt.attempt });
            }
        }
        if listed.is_empty() {
            return self.reply(reply, Reply::Doubts { found: Vec::new(), next });
        }
        let addresses = listed.iter().map(|entry| entry.address).collect();
        self.read_for_doubts(reply, listed, next, addresses);
    }

    /// What the store told of a page; what left the ledger meanwhile is left out.
    pub(super) fn shown_doubts(&self, listed: &[Listed], messages: Vec<Option<StoredMessage>>) -> Vec<FoundDoubt> {
        let shown = |(entry, stored): (&Listed, Option<StoredMessage>)| {
            let stored = stored?;
            let doubt = self.books.attempts.in_ledger(entry.address).filter(|doubt| doubt.attempt == entry.attempt)?;
            let progress = self.books.attempts.progress.get(&entry.address);
            let (parts, taken) = progress.map_or((doubt.parts, 0), |known| (known.parts, known.accepted.len()));
            let parts_open = u32::from(parts.max(1)).saturating_sub(taken);
            let (node, shard) = (self.options.node, self.options.shard);
            let id = MessageId::new(stored.head.accepted_at, node, shard, stored.address);
            let policy = self.doubt_policy(doubt.lane.class, doubt.lost.reason);
            Some(FoundDoubt { message: self.message(id, stored), doubt, parts_open, policy })
        };
        listed.iter().zip(messages).filter_map(shown).collect()
    }

    /// A hand decides over one message; all 128 bits of its id have been compared.
    pub(super) fn resolve_by_hand(&mut self, address: Address, action: DoubtAction) -> Resolved {
        if self.books.attempts.in_ledger(address).is_none() {
            return Resolved::NotInDoubt;
        }
        match action {
            DoubtAction::Resend => self.resend(address, Resolution::HandResend),
            DoubtAction::Drop => self.give_up_doubt(address, Resolution::HandDrop),
            DoubtAction::Sent => self.resolved_as(address, Resolution::HandSent),
        }
        Resolved::Done
    }
}

/// The part of an entry that waits for its receipt under an id which is known only now.
fn doubt_note(address: Address, doubt: &InDoubt, of: (u8, u8), group: GroupId, id: &[u8]) -> ReceiptNote {
    let (part, parts) = of;
    ReceiptNote {
        key: id_key(u64::from(group.0), id),
        address: address.packed(),
        recipient: doubt.recipient.number(),
        since: (doubt.since.0 / 1_000) as u32,
        tenant: doubt.tenant.0,
        class: doubt.lane.class as u8,
        part,
        parts,
        flags: 0,
        reference: doubt.reference,
    }
}
