//! The ledger of messages in doubt: how an entry is made, what settles it, and what the operator may do with it.
//!
//! Invariants:
//! 1. An entry leaves by exactly one [`Resolution`], which is in the message's timeline; or with the end of its message, when a
//!    receipt of one part says how the message ended.
//! 2. Each entry that its class's policy or the operator gives up leaves a notice in the same batch.
//! 3. An entry that is held ends when its message expires ([`Resolution::Expired`]): to send it again would then be useless. An
//!    entry that waits for a receipt waits until [`InDoubt::decided_at`] all the same.
//! 4. An entry of a class that sends again, or gives up, has an entry in the delay queue at [`InDoubt::decided_at`]: until then a
//!    receipt may settle it. One that fires earlier belongs to an older doubt of the message and does nothing.
//! 5. A message that is sent again is not put on a session with others ([`Doubts::trial`]), and is sent no more often than
//!    [`Options::doubts_max`] permits.
//!
//! The ledger holds the books of what is under way: a machine that moves a message on tells the ledger what happened, and gets
//! back what follows for other machines.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::policy::DOUBTED_AGAIN_MS;
use crate::delivery::{DoubtFilter, DoubtPolicy, Event, EventKind, Happened, InDoubt, Lost, LostBind, Resolution};
use crate::model::limits::OPEN_ATTEMPTS_MAX;
use crate::model::{
    Address, CarrierId, Class, DeadLetterReason, GroupId, MessageId, Mono, Msisdn, Point, ReceiptState, Sound, Tail,
    WALKED_MAX, Wall, holds,
};
use crate::queue::{DelayQueue, DueEntry, InsertReason, Tick};
use crate::store::Snapshot;
use crate::store::StoredMessage;
use crate::store::book::Book;
use crate::store::record::{CheckpointRecord, InboundRecord, NoticeRecord, ReceiptNote, TurnRecord};
use crate::traffic::Unanswered;
use stentor_smpp::receipt_id::id_key;

use super::books::{Books, Closed};
use super::counters::Counters;
use super::event::{DoubtAction, FoundDoubt, Resolved};
use super::gathering::Place;
use super::options::Options;
use super::restored::Restored;
use super::shown::{Listed, message};
use super::status::Hold;
use super::turn::Turn;

/// The doubts of a shard, and the books of what is under way.
#[derive(Debug)]
pub(super) struct Ledger {
    pub books: Books,
    /// The reference that was given last to a message of several parts.
    next_reference: u16,
    /// When each bind last left a message of this shard unanswered, and how many it has left within that loss. As many entries as
    /// there are binds.
    lost: BTreeMap<(CarrierId, LostBind), (Mono, u32)>,
    /// Corrects the check of invariant 1: entries that a restart has found, which no counter has counted, less those that left
    /// with the ends of their messages.
    not_counted: i64,
}

/// Messages that a bind leaves unanswered with pauses no longer than this belong to one loss of a session.
const ONE_LOSS_NS: u64 = 10_000_000_000;

/// The first messages that a lost session left unanswered are sent again one by one, those first that were sent first. Most
/// carriers read in order, so the message at which they hung up is among these. The others are sent in groups, or it would take
/// too long.
const ALONE_FIRST: u32 = 16;

impl Ledger {
    pub(super) fn new(options: &Options) -> Self {
        Self { books: Books::new(options), next_reference: 0, lost: BTreeMap::new(), not_counted: 0 }
    }

    /// A reference for a message's parts: a new one, unless the message surely has one part only. A message whose carrier makes
    /// more parts of it than were counted at ingest needs one as well.
    pub(super) fn reference(&mut self, parts: u8) -> u16 {
        if parts > 1 {
            self.next_reference = self.next_reference.wrapping_add(1);
        }
        self.next_reference
    }

    /// Records an event of a message: in the books now, and in this turn's batch. Returns what it took out of the books.
    pub(super) fn happens(&mut self, turn: &mut Turn, address: Address, what: Happened) -> Closed {
        let event = Event { address, at: turn.now.wall, what };
        turn.gathering.event(&event);
        turn.whereabouts.happens(address, what);
        self.books.apply(&event, &mut turn.counters)
    }

    /// Entries that came less entries that left, by this process's counters.
    fn counted(turn: &Turn) -> i64 {
        turn.counters.in_doubt as i64 - turn.counters.resolved.iter().sum::<u64>() as i64
    }

    /// The replay is complete: the entries that are here now were counted by an earlier process.
    pub(super) fn replayed(&mut self, turn: &Turn) {
        self.not_counted = self.books.attempts.ledger().count() as i64 - Self::counted(turn);
    }

    /// A receipt of one part has ended the message; its entry, if it has one, leaves without a resolution.
    pub(super) fn leaves_by_receipt(&mut self, address: Address) {
        self.not_counted -= i64::from(self.books.attempts.in_ledger(address).is_some());
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first one that does not.
    pub(super) fn check(&self, turn: &Turn, queue: &DelayQueue) -> Sound {
        self.check_notices(turn)?;
        if self.books.attempts.doubts.len() > WALKED_MAX {
            return Ok(());
        }
        let (counted, there) = (Self::counted(turn), self.books.attempts.ledger().count());
        holds!(
            1,
            counted + self.not_counted == there as i64,
            "{there}, and {counted} + {} are counted",
            self.not_counted
        );
        for (address, doubt) in self.books.attempts.ledger() {
            let (policy, is_held) = (Self::policy(turn, doubt), doubt.decided_at == InDoubt::HELD);
            holds!(4, (policy == DoubtPolicy::Hold) == is_held, "{address:?}: {policy:?}, and {doubt:?}");
        }
        let mut waiting =
            self.books.attempts.ledger().filter(|(_, doubt)| doubt.decided_at != InDoubt::HELD).peekable();
        let (put_off, is_all_known) = match waiting.peek() {
            Some(_) => doubt_waits(turn, queue),
            None => return Ok(()),
        };
        let is_due_later = |(address, doubt): &(&Address, &InDoubt)| {
            let at = (**address, Tick::at_or_after(doubt.decided_at));
            put_off.range(at..=(**address, Tick(u64::MAX))).next().is_none()
        };
        let forgotten = waiting.find(is_due_later).filter(|_| is_all_known);
        holds!(4, forgotten.is_none(), "nothing wakes {forgotten:?}");
        Ok(())
    }

    /// Checks that the batch has a notice for each doubt that it gives up, and no others.
    pub(super) fn check_notices(&self, turn: &Turn) -> Sound {
        let batch = turn.gathering.gathered();
        let is_given_up = |what: Happened| matches!(what, Happened::Dead { by: Some(_), .. });
        let given_up = || batch.turn.events.iter().filter(|note| is_given_up(note.what)).map(|note| note.address);
        let told = || batch.outbox.iter().map(|notice| notice.address);
        holds!(2, given_up().eq(told()), "{:?} of {:?}", told().collect::<Vec<_>>(), given_up().collect::<Vec<_>>());
        Ok(())
    }

    pub(super) fn die(&mut self, turn: &mut Turn, address: Address, reason: DeadLetterReason) {
        self.finish(turn, address, Happened::Dead { reason, by: None });
    }

    /// Gives a message its final state.
    pub(super) fn finish(&mut self, turn: &mut Turn, address: Address, end: Happened) {
        debug_assert!(end.is_final());
        turn.moved.push(address);
        if let Some(at) = EventKind::FINALS.iter().position(|known| *known == end.kind()) {
            turn.counters.finals[at] += 1;
        }
        self.happens(turn, address, end);
    }

    /// Why no attempt of that class is begun at present. An open attempt may end in the ledger, so open attempts count too.
    pub(super) fn hold(&self, turn: &Turn, class: Class) -> Option<Hold> {
        let bounds = &turn.options.bounds;
        let most = if class.is_urgent() { bounds.unanswered_urgent_max } else { bounds.unanswered_max };
        if turn.disk.is_out() {
            Some(Hold::DiskOut)
        } else if self.books.attempts.open_count() + self.books.attempts.doubts.len() >= most {
            Some(Hold::LedgerFull)
        } else {
            None
        }
    }

    /// Whether one more attempt may be open. If not, the next outcome of an open attempt makes the shard go on. Urgent messages
    /// are never refused: their link keeps a slot for them, and may hold back the very attempts that the shard would wait for.
    pub(super) fn may_attempt(&mut self, turn: &mut Turn, class: Class) -> bool {
        match self.books.attempts.open_count() {
            0 => true,
            _ if class.is_urgent() => true,
            OPEN_ATTEMPTS_MAX.. => false,
            _ => !turn.buggify.at(Point::AttemptsFull),
        }
    }

    /// The carrier took one of several parts. An event records it, unless it is known already.
    pub(super) fn part_taken(&mut self, turn: &mut Turn, address: Address, part: u8, parts: u8) {
        if !self.books.knows_part(address, part) {
            self.happens(turn, address, Happened::PartAccepted { part, parts });
        }
    }

    /// An attempt got no answer. `core`: the core of its link; `None` if the attempt was found at a start. Returns whether the
    /// message is in doubt now: then a parked receipt may settle it, or its class decides ([`Ledger::apply_policy`]).
    pub(super) fn doubt(&mut self, turn: &mut Turn, address: Address, reason: Unanswered, core: Option<u8>) -> bool {
        debug_assert!(self.books.attempts.get(address).is_some(), "only an attempt that is open goes in doubt");
        let Some(open) = self.books.attempts.get(address) else { return false };
        let (carrier, is_first) = (open.carrier, open.doubts.lost == 0 && reason.is_by_carrier());
        let held = turn.restored.doubt_policy(&turn.options, open.lane.class, reason) == DoubtPolicy::Hold;
        let bind = core.zip(open.lost_on).map(|(core, number)| LostBind { core, number });
        let grouped = is_first && bind.is_some_and(|bind| self.is_behind_the_first(turn, carrier, bind));
        turn.counters.in_doubt += 1;
        self.happens(turn, address, Happened::InDoubt { lost: Lost { reason, bind, held, grouped } });
        true
    }

    /// Counts one more message that a session left unanswered. Returns whether so many were lost before it that it is sent again
    /// in a group rather than alone. Timeouts are noticed one by one, and the messages of one lost session may come in several
    /// turns, so a loss goes on until there is a pause.
    fn is_behind_the_first(&mut self, turn: &Turn, carrier: CarrierId, bind: LostBind) -> bool {
        let now = turn.now.mono;
        let lost = self.lost.entry((carrier, bind)).or_insert((now, 0));
        let is_another = now.since(lost.0) > ONE_LOSS_NS;
        *lost = (now, if is_another { 1 } else { lost.1.saturating_add(1) });
        lost.1 > ALONE_FIRST
    }

    /// What is done with an entry when its wait is over. A message that was lost alone too often is given up instead of sent
    /// again.
    fn policy(turn: &Turn, doubt: &InDoubt) -> DoubtPolicy {
        match turn.restored.doubt_policy(&turn.options, doubt.lane.class, doubt.lost.reason) {
            DoubtPolicy::Resend if Self::is_exhausted(turn, doubt) => DoubtPolicy::Drop,
            policy => policy,
        }
    }

    fn is_exhausted(turn: &Turn, doubt: &InDoubt) -> bool {
        doubt.doubts.alone() >= turn.options.doubts_max
    }

    /// Until when an entry waits that is made now. From the second loss on it waits longer, so that a long silence of the carrier
    /// is not blamed on the message.
    fn decided_at(turn: &Turn, doubt: &InDoubt) -> Wall {
        let wait_ms = turn.options.in_doubt_wait_ms;
        let again = Self::policy(turn, doubt) == DoubtPolicy::Resend && doubt.doubts.lost > 1;
        let again = again && doubt.lost.reason.is_by_carrier();
        turn.now.wall.after_ms(if again { wait_ms.max(DOUBTED_AGAIN_MS) } else { wait_ms })
    }

    /// Applies the policy of an entry's class from now on: holds it, or lets it wait in the delay queue until its class decides.
    pub(super) fn apply_policy(&mut self, turn: &mut Turn, address: Address) {
        // It may be settled already: what put it in doubt may have brought the receipt as well.
        let Some(doubt) = self.books.attempts.in_ledger(address) else { return };
        let decided_at = match Self::policy(turn, &doubt) {
            DoubtPolicy::Hold => InDoubt::HELD,
            DoubtPolicy::Drop | DoubtPolicy::Resend => {
                let at = Self::decided_at(turn, &doubt);
                let InDoubt { lane, .. } = doubt;
                let entry = DueEntry { address, lane, reason: InsertReason::DoubtWait };
                turn.put_off(at, entry);
                at
            }
        };
        self.books.put_off_doubt(address, decided_at);
    }

    /// Applies the present policy to entries that are treated otherwise: the policy was changed, the clock went back, or a
    /// restart has found them.
    pub(super) fn reconcile(&mut self, turn: &mut Turn) {
        // Held, and no longer to be held, or made to wait too long by a clock that was ahead.
        let misrouted = |doubt: &InDoubt| match Self::policy(turn, doubt) {
            DoubtPolicy::Hold => doubt.decided_at != InDoubt::HELD,
            // Its wait may be over while another policy applied; and replayed turns do not say when a wait ends.
            DoubtPolicy::Drop | DoubtPolicy::Resend => {
                let latest = Self::decided_at(turn, doubt);
                doubt.decided_at > latest || Tick::at_or_after(doubt.decided_at) <= turn.due_from
            }
        };
        for address in self.addresses(misrouted) {
            self.apply_policy(turn, address);
        }
    }

    /// The wait of a message in doubt is over: unless something settled it, its class decides.
    pub(super) fn doubt_wait_over(&mut self, turn: &mut Turn, address: Address) {
        // A receipt or the operator has settled it.
        let Some(doubt) = self.books.attempts.in_ledger(address) else { return };
        if doubt.decided_at > turn.now.wall {
            return;
        }
        match Self::policy(turn, &doubt) {
            DoubtPolicy::Drop => self.give_up(turn, address, &doubt, Resolution::PolicyDrop),
            DoubtPolicy::Resend if self.books.has_room_for_tried() => {
                self.resend(turn, address, Resolution::PolicyResend);
            }
            // Without room to count its attempts, the next one would get the same number, and a late answer to the last attempt
            // would be taken for an answer to it. So it waits again.
            DoubtPolicy::Resend | DoubtPolicy::Hold => self.apply_policy(turn, address),
        }
    }

    pub(super) fn resend(&mut self, turn: &mut Turn, address: Address, by: Resolution) {
        if self.books.attempts.in_ledger(address).is_none() {
            return;
        }
        turn.counters.resolved[by.index()] += 1;
        if let Some(doubt) = self.happens(turn, address, Happened::Resent { by }).doubt {
            turn.places.enter(doubt.lane.tenant, 1);
            turn.gathering.ready(Place::Due { lane: doubt.lane, restored: false }, address);
        }
    }

    pub(super) fn give_up_doubt(&mut self, turn: &mut Turn, address: Address, how: Resolution) {
        if let Some(doubt) = self.books.attempts.in_ledger(address) {
            self.give_up(turn, address, &doubt, how);
        }
    }

    /// Gives up a message that is in doubt, or was until now.
    pub(super) fn give_up(&mut self, turn: &mut Turn, address: Address, doubt: &InDoubt, how: Resolution) {
        turn.counters.resolved[how.index()] += 1;
        let policy = turn.restored.doubt_policy(&turn.options, doubt.lane.class, doubt.lost.reason);
        let is_sent_again = policy == DoubtPolicy::Resend && how == Resolution::PolicyDrop;
        let reason = if is_sent_again { DeadLetterReason::InDoubtExhausted } else { DeadLetterReason::InDoubtDropped };
        let end = Happened::Dead { reason, by: Some(how) };
        let notice = NoticeRecord {
            wall: turn.now.wall.0,
            address: address.packed(),
            tenant: doubt.lane.tenant.0,
            recipient: doubt.recipient.number(),
            class: doubt.lane.class as u8,
            carrier: doubt.carrier.0,
            attempt: doubt.attempt,
            end,
            lost: doubt.lost,
        };
        turn.gathering.batch().outbox.push(notice);
        self.finish(turn, address, end);
    }

    /// The carrier has a part of a message in doubt. Once it has all parts, the message leaves the ledger.
    pub(super) fn taken_after_all(
        &mut self,
        turn: &mut Turn,
        address: Address,
        doubt: &InDoubt,
        (part, parts): (u8, u8),
        how: Resolution,
    ) {
        if parts > 1 {
            self.part_taken(turn, address, part, parts);
            let accepted = self.books.attempts.progress.get(&address).map_or(0, |progress| progress.accepted.len());
            if accepted < u32::from(parts) {
                return;
            }
        }
        if !doubt.vouched {
            self.resolved_as(turn, address, how);
        }
    }

    fn resolved_as(&mut self, turn: &mut Turn, address: Address, how: Resolution) {
        turn.moved.push(address);
        turn.counters.resolved[how.index()] += 1;
        turn.counters.submitted += 1;
        self.happens(turn, address, Happened::Resolved { by: how });
    }

    /// Looks for the entry of the ledger that a receipt with an unknown id is about. Returns the part that it settled, and what
    /// the receipt says.
    pub(super) fn settle_by_receipt(
        &mut self,
        turn: &mut Turn,
        record: &InboundRecord,
    ) -> Option<(ReceiptNote, ReceiptState)> {
        let recipient = Msisdn::from_number(record.from);
        let state = ReceiptState::from_index(record.state);
        let (recipient, state) = recipient.zip(state)?;
        let by_reference = record.reference.and_then(|reference| {
            let (address, doubt, part) = self.books.attempts.referenced_doubt(recipient, reference)?;
            Some((address, doubt, part, Resolution::Reference))
        });
        let sole = || {
            let (address, doubt) = self.books.attempts.sole_doubt(recipient)?;
            Some((address, doubt, 1, Resolution::Receipt))
        };
        let (address, doubt, part, how) = by_reference.or_else(sole)?;
        let group = GroupId(record.group);
        if turn.carrier_group(doubt.carrier) != Some(group) {
            return None;
        }
        let parts = self.books.attempts.progress.get(&address).map_or(doubt.parts, |progress| progress.parts).max(1);
        self.taken_after_all(turn, address, &doubt, (part, parts), how);
        Some((doubt_note(turn, address, &doubt, (part, parts), group, &record.id), state))
    }

    /// Whether another message to that number is under way, or was recently in doubt.
    pub(super) fn is_under_way_beside(&mut self, number: u64, address: Address) -> bool {
        Msisdn::from_number(number).is_some_and(|recipient| self.books.attempts.is_under_way_beside(recipient, address))
    }

    /// Whether a parked receipt is about that doubt: its reference names it, or (`is_sole`) it cannot be about anything else.
    pub(super) fn is_about(&self, address: Address, doubt: &InDoubt, record: &InboundRecord, is_sole: bool) -> bool {
        let named = record.reference.and_then(|reference| {
            self.books.attempts.referenced_doubt(doubt.recipient, reference).filter(|(at, ..)| *at == address)
        });
        named.is_some() || is_sole
    }

    /// The addresses of those entries that `is_wanted` accepts.
    pub(super) fn addresses(&self, is_wanted: impl Fn(&InDoubt) -> bool) -> Vec<Address> {
        self.books.attempts.ledger().filter(|(_, doubt)| is_wanted(doubt)).map(|(address, _)| *address).collect()
    }

    /// The operator decided about messages that were unsent in a backup. Returns how many entries of the ledger it concerns.
    pub(super) fn release(&mut self, turn: &mut Turn, class: Option<Class>, policy: DoubtPolicy) -> u64 {
        let own = |doubt: &InDoubt| {
            class.is_none_or(|class| doubt.lane.class == class) && Restored::is_cause(doubt.lost.reason)
        };
        let held = self.addresses(own);
        for address in &held {
            match policy {
                DoubtPolicy::Hold => self.apply_policy(turn, *address),
                DoubtPolicy::Drop => self.give_up_doubt(turn, *address, Resolution::OperatorDrop),
                DoubtPolicy::Resend => self.resend(turn, *address, Resolution::OperatorResend),
            }
        }
        held.len() as u64
    }

    /// Entries that one question looks at. With a filter that fits few of them, a page may be empty and have a next page.
    pub(super) const LOOKED_AT_MAX: usize = 10_000;

    /// A page of the ledger, beginning at an address, and where the next page begins.
    pub(super) fn list_doubts(
        &self,
        filter: &DoubtFilter,
        from: Address,
        limit: usize,
    ) -> (Vec<Listed>, Option<Address>) {
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
        (listed, next)
    }

    /// Builds a page from what the store found; entries that left the ledger in the meantime are left out.
    pub(super) fn shown_doubts(
        &self,
        turn: &Turn,
        listed: &[Listed],
        messages: Vec<Option<StoredMessage>>,
    ) -> Vec<FoundDoubt> {
        let shown = |(entry, stored): (&Listed, Option<StoredMessage>)| {
            let stored = stored?;
            let doubt = self.books.attempts.in_ledger(entry.address).filter(|doubt| doubt.attempt == entry.attempt)?;
            let progress = self.books.attempts.progress.get(&entry.address);
            let (parts, taken) = progress.map_or((doubt.parts, 0), |known| (known.parts, known.accepted.len()));
            let parts_open = u32::from(parts.max(1)).saturating_sub(taken);
            let (node, shard) = (turn.options.node, turn.options.shard);
            let id = MessageId::new(stored.head.accepted_at, node, shard, stored.address);
            let policy = Self::policy(turn, &doubt);
            Some(FoundDoubt { message: message(turn, id, stored), doubt, parts_open, policy })
        };
        listed.iter().zip(messages).filter_map(shown).collect()
    }

    /// The operator decides about one message; the caller has compared all 128 bits of its id.
    pub(super) fn resolve_by_operator(&mut self, turn: &mut Turn, address: Address, action: DoubtAction) -> Resolved {
        if self.books.attempts.in_ledger(address).is_none() {
            return Resolved::NotInDoubt;
        }
        match action {
            DoubtAction::Resend => self.resend(turn, address, Resolution::OperatorResend),
            DoubtAction::Drop => self.give_up_doubt(turn, address, Resolution::OperatorDrop),
            DoubtAction::Sent => self.resolved_as(turn, address, Resolution::OperatorSent),
        }
        Resolved::Done
    }

    /// An attempt that a start has found without its outcome. Returns whether its message has ended; if not, it goes in doubt.
    pub(super) fn settle_left_open(&mut self, turn: &Turn, address: Address) -> bool {
        let has_ended = self.books.is_closed(address);
        if has_ended {
            self.books.settle_ended(address, turn.now.wall);
        }
        has_ended
    }

    /// At the first start after a restore: what was in doubt when the backup was made is now in doubt because of the restore.
    pub(super) fn hold_again(&mut self, turn: &mut Turn) {
        for address in self.addresses(|_| true) {
            let doubt = self.books.attempts.doubts.get(&address);
            let lost = doubt.and_then(|doubt| turn.restored.lost_again(&turn.options, doubt.lane.class, doubt.lost));
            if let Some(lost) = lost {
                self.happens(turn, address, Happened::InDoubt { lost });
            }
        }
    }

    /// Puts what it knows into a checkpoint.
    pub(super) fn note(&mut self, turn: &Turn, snapshot: &mut Snapshot) {
        self.books.note(turn.first_segment, &mut snapshot.book);
        snapshot.checkpoint.next_reference = self.next_reference;
    }

    /// Takes what a checkpoint holds.
    pub(super) fn recover(&mut self, checkpoint: &CheckpointRecord, book: &Book) {
        self.books.recover(book);
        self.next_reference = checkpoint.next_reference;
    }

    /// Applies a recorded turn.
    pub(super) fn replay(&mut self, record: &TurnRecord, counters: &mut Counters) {
        self.books.replay(record, counters);
        self.next_reference = record.next_reference;
    }

    /// The reference that was given last to a message of several parts.
    pub(super) const fn last_reference(&self) -> u16 {
        self.next_reference
    }

    /// Forgets what was remembered long enough.
    pub(super) fn expire_memory(&mut self, horizon: Wall, first_segment: u64) {
        self.books.attempts.expire_parts(horizon, Address::new(first_segment, 0));
        self.books.attempts.forget_once_in_doubt(horizon);
    }
}

/// The messages and ticks of all doubt waits in the delay queue; and whether all of the queue is in memory.
fn doubt_waits(turn: &Turn, queue: &DelayQueue) -> (BTreeSet<(Address, Tick)>, bool) {
    let known = queue.eras().flat_map(|(_, queue)| queue.entries()).chain(turn.gathering.due());
    let is_all_known = queue.eras().all(|(_, queue)| queue.entries().len() as u64 == queue.waiting());
    let own = known.filter(|(_, entry)| entry.reason == InsertReason::DoubtWait);
    (own.map(|(tick, entry)| (entry.address, tick)).collect(), is_all_known)
}

/// The note by which a part of an entry waits for its receipt; its id became known only now.
pub(super) fn doubt_note(
    turn: &Turn,
    address: Address,
    doubt: &InDoubt,
    of: (u8, u8),
    group: GroupId,
    id: &[u8],
) -> ReceiptNote {
    let (part, parts) = of;
    ReceiptNote {
        key: id_key(u64::from(group.0), id),
        address: address.packed(),
        recipient: doubt.recipient.number(),
        until: turn.receipt_until(doubt.since, None),
        sender: Tail::NONE.index(),
        group: group.0,
        reference: doubt.reference,
        part,
        parts,
    }
}
