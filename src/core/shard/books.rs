//! What a shard knows of messages that are under way, and what each event changes in it. [`Books::apply`] is called when
//! something happens, before that is written, and again when a start replays what was written: so a shard that was started
//! anew knows what it knew, but for the time, of which a turn has only one.
//!
//! What changes the books without an event, and what a start makes of it:
//! - An attempt begins ([`Books::begin`]): the turn's record of attempts says more than an event, and is replayed by the same
//!   function.
//! - Answers to single parts ([`Attempts::settle`]) and the last one of a message that has ended ([`Books::settle_ended`]): after
//!   a crash nobody knows which came. What has no outcome in the history is in doubt as a whole, or once was.
//! - A receipt for a part of a message that has ended ([`Books::part_settled`]): it only lets progress go before its time.
//! - When a doubt is decided about ([`Books::put_off_doubt`]): that is what the policy of today makes of it, which a start
//!   asks once more.
//! - A cancelled message is passed over ([`Books::pass_over`]): lists and the delay queue say by their heads what was taken from
//!   them, not which messages. A start keeps the mark until retention has passed; nobody meets it any more.
//! - What is over by age, or goes for want of room: the same rules find it again.
//!
//! How many messages of each tenant wait is not replayed but written down whole by each commit that changes it (`places.rs`).
//! So whoever lets something happen counts by what `apply` returns, and replay drops that.

use std::collections::BTreeMap;

use crate::delivery::attempt::Verdict;
use crate::delivery::{
    Attempts, Doubts, Event, Happened, InDoubt, Lost, Noted, OpenAttempt, Progress, Resolution, Taken,
};
use crate::model::{Address, CarrierId, Lane, Msisdn, TenantId, Wall};
use crate::store::book::{Book, TriedNote};
use crate::store::record::{AttemptNote, TurnRecord};
use crate::traffic::NotWritten;

use super::counters::Counters;
use super::notes::{self, doubt_of, open_attempt};
use super::options::Options;

/// See the head of this file.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub attempts: Attempts,
    /// Messages that wait to be tried again.
    pub tried: BTreeMap<Address, Tried>,
    /// Messages cancelled and not passed over yet, and whose place each holds until then (nobody's: it is free), or
    /// [`CLOSED`].
    pub cancelled: BTreeMap<Address, TenantId>,
    /// Notes that a start has found and that make no sense.
    pub unreadable: u64,
    tried_max: usize,
    cancelled_max: usize,
}

/// What a message that waits to be tried again has behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tried {
    /// Attempts consumed.
    pub attempts: u8,
    /// How often it was in doubt.
    pub doubts: Doubts,
}

/// In [`Books::cancelled`]: a message that its carrier has ended while it waited to be tried again, of whose parts nothing is
/// remembered.
pub(super) const CLOSED: TenantId = TenantId(u32::MAX);

/// What an event has taken out of the books.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// The attempt that it ended.
    pub attempt: Option<OpenAttempt>,
    /// The doubt that it ended.
    pub doubt: Option<InDoubt>,
}

/// What became of a message whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// It is under way, or waits for a receipt.
    Elsewhere,
    /// It had ended before.
    Before,
    /// It is ended now. It stands in a list of that lane, if in any; of what was restored, if that is true.
    Now(Option<(Lane, bool)>),
}

impl Books {
    pub(super) fn new(options: &Options) -> Self {
        let bounds = &options.bounds;
        Self {
            attempts: Attempts::new(options.hash_seed, bounds.progress_octets_max, bounds.once_in_doubt_max),
            tried: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            unreadable: 0,
            tried_max: bounds.tried_max,
            cancelled_max: bounds.cancelled_max,
        }
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, address: Address, open: OpenAttempt) {
        let doubts = self.doubts_before(address);
        self.tried.remove(&address);
        self.attempts.insert(address, OpenAttempt { doubts, ..open });
    }

    /// The same as it was written down.
    pub(super) fn begin_again(&mut self, note: &AttemptNote, at: Wall) {
        match open_attempt(note, at) {
            Some(open) => self.begin(Address::from_packed(note.address), open),
            None => self.unreadable += 1,
        }
    }

    /// A turn as it was decided. Its attempts came last: what they began from is among its events, what ends them is in later
    /// turns.
    pub(super) fn replay(&mut self, turn: &TurnRecord, counters: &mut Counters) {
        let at = Wall(turn.wall);
        for note in &turn.events {
            self.apply(&Event { address: note.address(), at, what: note.what }, counters);
        }
        for note in &turn.attempts {
            self.begin_again(note, at);
        }
    }

    /// The number of a message's next attempt.
    pub(super) fn next_attempt(&self, address: Address) -> u8 {
        self.tried.get(&address).map_or(1, |tried| tried.attempts.saturating_add(1))
    }

    /// How often a message that waits was in doubt.
    pub(super) fn doubts_before(&self, address: Address) -> Doubts {
        self.tried.get(&address).map_or_else(Doubts::default, |tried| tried.doubts)
    }

    /// Something happens to a message, or has happened.
    pub(super) fn apply(&mut self, event: &Event, counters: &mut Counters) -> Closed {
        let Event { address, at, what } = *event;
        match what {
            // `begin`, with the record of the attempt.
            Happened::Attempt { .. } => Closed::default(),
            // A note, or a move between lists.
            Happened::Due { .. }
            | Happened::Intermediate { .. }
            | Happened::Late { .. }
            | Happened::Rerouted { .. } => Closed::default(),
            Happened::PartAccepted { part, parts } => {
                self.part_accepted(address, (part, parts), at, counters);
                Closed::default()
            }
            Happened::PartDelivered { part } => {
                if let Some(progress) = self.attempts.progress.get_mut(&address) {
                    progress.delivered.insert(part);
                    progress.settled.insert(part);
                }
                Closed::default()
            }
            Happened::Submitted { awaits_receipt, .. } => {
                if !awaits_receipt {
                    self.attempts.progress.remove(&address);
                }
                Closed { attempt: self.attempts.remove(address), doubt: None }
            }
            Happened::Returned { why } => {
                // What was taken of another cut is of no use: all parts go, under a reference of their own.
                if why == NotWritten::CutChanged {
                    self.attempts.progress.remove(&address);
                }
                let attempt = self.attempts.remove(address);
                // The part of it that was taken before it came back is at its carrier, which may end it.
                let is_known = |open: &&OpenAttempt| open.attempt > 1 || self.attempts.progress.get(&address).is_some();
                if let Some(open) = attempt.as_ref().filter(is_known) {
                    debug_assert!(open.attempt > 0, "attempts are counted from 1");
                    let before = Tried { attempts: open.attempt.saturating_sub(1), doubts: open.doubts };
                    self.remember_tried(address, before, counters);
                }
                Closed { attempt, doubt: None }
            }
            Happened::Refused { .. } | Happened::Resent { .. } => self.consumed(address, counters),
            Happened::InDoubt { lost } => self.in_doubt(address, lost, at),
            // It stays known for the receipt whose id nobody knows.
            Happened::Resolved { by: Resolution::HandSent } => {
                if let Some(doubt) = self.attempts.doubts.get_mut(&address) {
                    doubt.vouched = true;
                }
                Closed::default()
            }
            Happened::Resolved { .. } => Closed { attempt: None, doubt: self.attempts.doubts.remove(&address) },
            Happened::Cancelled { place_of } => {
                self.cancelled.insert(address, place_of);
                self.end(address, at)
            }
            // Nothing of it goes on: every part was answered, or none was sent. A receipt of one of its parts is late.
            Happened::Expired { error: None } => {
                self.tried.remove(&address);
                self.attempts.progress.remove(&address);
                self.close(address)
            }
            Happened::Delivered { .. }
            | Happened::Undelivered { .. }
            | Happened::Expired { error: Some(_) }
            | Happened::Rejected { .. } => self.end_by_carrier(address, at),
            Happened::Dead { .. } | Happened::NoReceipt => self.end(address, at),
        }
    }

    fn close(&mut self, address: Address) -> Closed {
        Closed { attempt: self.attempts.remove(address), doubt: self.attempts.doubts.remove(&address) }
    }

    /// The attempt, or the doubt that it became, has ended, and there may be another.
    fn consumed(&mut self, address: Address, counters: &mut Counters) -> Closed {
        let closed = self.close(address);
        let of_open = |open: &OpenAttempt| Tried { attempts: open.attempt, doubts: open.doubts };
        let of_doubt = |doubt: &InDoubt| Tried { attempts: doubt.attempt, doubts: doubt.doubts };
        let tried = closed.attempt.as_ref().map(of_open).or_else(|| closed.doubt.as_ref().map(of_doubt));
        if let Some(tried) = tried {
            self.remember_tried(address, tried, counters);
        }
        closed
    }

    /// Whether a carrier may still say how a message ended that waits in a list: some of it may be there.
    pub(super) fn may_end_by_carrier(&self, address: Address) -> bool {
        self.tried.contains_key(&address) || self.attempts.progress.get(&address).is_some()
    }

    /// A carrier has said how a message ended. One that waits to be tried again still stands in a list or the delay queue, and
    /// is not to be sent when it is met.
    fn end_by_carrier(&mut self, address: Address, at: Wall) -> Closed {
        let waits = self.tried.contains_key(&address);
        if waits && self.attempts.progress.get(&address).is_none() && self.has_room_for_cancelled() {
            self.cancelled.insert(address, CLOSED);
        }
        self.end(address, at)
    }

    /// A message has reached its end: nothing of it stays but its history, and what receipts and answers of its other parts
    /// are still to be known by.
    fn end(&mut self, address: Address, at: Wall) -> Closed {
        self.tried.remove(&address);
        let parts = self.attempts.progress.get_mut(&address).map(|progress| progress.closed = true);
        if parts.is_some() && self.attempts.get(address).is_some_and(|open| !open.answered) {
            // By a receipt of one part: the answers to others are to come.
            return Closed { attempt: None, doubt: self.attempts.doubts.remove(&address) };
        }
        let closed = self.close(address);
        if let Some(open) = closed.attempt.as_ref().filter(|open| !open.answered) {
            self.attempts.restore_once_in_doubt(open.recipient, address, at);
        }
        if parts.is_some() {
            self.forget_settled(address);
        }
        closed
    }

    /// The last answer has come to an attempt whose message has ended, or it will not come.
    pub(super) fn settle_ended(&mut self, address: Address, at: Wall) {
        // By a start, and by an outcome of an attempt that is open: who asks has just looked.
        let Some(open) = self.attempts.remove(address) else { return };
        if !open.answered || matches!(open.verdict, Verdict::Unanswered(_)) {
            self.attempts.restore_once_in_doubt(open.recipient, address, at);
        }
        self.forget_settled(address);
    }

    /// The final receipt of a part has come, and changes nothing else.
    pub(super) fn part_settled(&mut self, address: Address, part: u8) {
        if let Some(progress) = self.attempts.progress.get_mut(&address) {
            progress.settled.insert(part);
        }
        self.forget_settled(address);
    }

    /// Of a message of which every part had its receipt nothing more is to come.
    fn forget_settled(&mut self, address: Address) {
        let is_settled = self.attempts.progress.get(&address).is_some_and(Progress::is_all_settled);
        if is_settled && self.attempts.get(address).is_none() {
            self.attempts.progress.remove(&address);
        }
    }

    /// A receipt of one part has ended the message while others were still under way.
    pub(super) fn is_closed(&self, address: Address) -> bool {
        self.attempts.progress.get(&address).is_some_and(|progress| progress.closed)
    }

    fn in_doubt(&mut self, address: Address, lost: Lost, at: Wall) -> Closed {
        let attempt = self.attempts.remove(address);
        if let Some(open) = &attempt {
            self.attempts.doubt(address, doubt_of(open, lost, at), true);
        } else if let Some(doubt) = self.attempts.doubts.get_mut(&address) {
            // It was in doubt already when the backup was made that this shard was restored from.
            doubt.lost = lost;
        }
        Closed { attempt, doubt: None }
    }

    /// Where the parts of a message are: its carrier, and the reference that they share.
    fn holder(&self, address: Address) -> Option<(CarrierId, u16)> {
        let open = self.attempts.get(address).map(|open| (open.carrier, open.reference));
        open.or_else(|| self.attempts.doubts.get(&address).map(|doubt| (doubt.carrier, doubt.reference)))
    }

    /// Whether it is known that the carrier has that part.
    pub(super) fn knows_part(&self, address: Address, part: u8) -> bool {
        self.attempts.progress.get(&address).is_some_and(|progress| {
            self.holder(address) == Some((progress.carrier, progress.reference)) && progress.accepted.contains(part)
        })
    }

    fn part_accepted(&mut self, address: Address, (part, parts): (u8, u8), at: Wall, counters: &mut Counters) {
        // Of what is neither at a link nor in doubt nobody needs to know the parts: a start may know less than was recorded.
        let Some((carrier, reference)) = self.holder(address) else { return };
        let progress = &self.attempts.progress;
        if progress.is_full(parts) && progress.get(&address).is_none() {
            // A smaller bound than before leaves what is there.
            let void_max = self.cancelled_max.saturating_sub(self.cancelled.len());
            let (forgotten, void) = self.attempts.make_room_for_parts(void_max);
            counters.parts_forgotten += forgotten as u64;
            // Final ones, which must be passed over if they still stand in a list.
            for address in void {
                self.cancelled.entry(address).or_insert(CLOSED);
            }
        }
        let noted = self.attempts.part_accepted(address, Taken { carrier, reference, part, parts, at });
        counters.parts_unnoted += u64::from(noted == Noted::NoRoom);
    }

    /// What that message has behind it. Where that cannot be remembered, it counts from 1 again: it is tried
    /// more often than its policy says, and never less.
    fn remember_tried(&mut self, address: Address, tried: Tried, counters: &mut Counters) {
        if self.has_room_for_tried() || self.tried.contains_key(&address) {
            self.tried.insert(address, tried);
        } else {
            counters.attempts_uncounted += 1;
        }
    }

    /// A message that was cancelled, or closed, is passed over: whose place it held, or [`CLOSED`]. None if it is neither.
    pub(super) fn pass_over(&mut self, address: Address) -> Option<TenantId> {
        self.cancelled.remove(&address)
    }

    /// When a doubt is to be sent again, or given up.
    pub(super) fn put_off_doubt(&mut self, address: Address, decided_at: Wall) {
        if let Some(doubt) = self.attempts.doubts.get_mut(&address) {
            doubt.decided_at = decided_at;
        }
    }

    /// What is known goes into a checkpoint's book, but for marks of messages whose history is not kept: nobody asks for them any
    /// more. One that was cancelled while it was put off for longer than that holds its place until its turn comes.
    pub(super) fn note(&mut self, first_segment: u64, book: &mut Book) {
        let first_kept = Address::new(first_segment, 0);
        let holds_place = |holder: TenantId| holder != TenantId::default() && holder != CLOSED;
        self.cancelled.retain(|address, holder| *address >= first_kept || holds_place(*holder));
        let Attempts { doubts, progress, .. } = &self.attempts;
        book.open = self.attempts.sorted().into_iter().map(|(address, open)| notes::open_note(address, open)).collect();
        book.doubts = doubts.iter().map(|(address, doubt)| notes::doubt_note(*address, doubt)).collect();
        book.progress = progress.iter().map(|(address, known)| notes::progress_note(*address, known)).collect();
        book.cancelled = self.cancelled.iter().map(|(address, tenant)| (address.packed(), tenant.0)).collect();
        let tried = |(address, tried): (&Address, &Tried)| {
            let Tried { attempts, doubts } = *tried;
            TriedNote { address: address.packed(), attempts, doubts: doubts.pack() }
        };
        book.tried = self.tried.iter().map(tried).collect();
        let once = self.attempts.once_in_doubt();
        book.once_in_doubt =
            once.map(|(recipient, address, since)| (recipient.number(), address.packed(), since.0)).collect();
    }

    /// As a checkpoint's book has it.
    pub(super) fn restore(&mut self, book: &Book) {
        for note in &book.open {
            let address = Address::from_packed(note.attempt.address);
            match open_attempt(&note.attempt, Wall(note.at)) {
                Some(open) => {
                    self.attempts.insert(address, OpenAttempt { doubts: Doubts::unpack(note.doubts), ..open });
                }
                None => self.unreadable += 1,
            }
        }
        for note in &book.doubts {
            match notes::doubt(note) {
                Some(doubt) => drop(self.attempts.doubts.insert(Address::from_packed(note.attempt.address), doubt)),
                None => self.unreadable += 1,
            }
        }
        for &(recipient, packed, since) in &book.once_in_doubt {
            if let Some(recipient) = Msisdn::from_number(recipient) {
                self.attempts.restore_once_in_doubt(recipient, Address::from_packed(packed), Wall(since));
            }
        }
        for note in &book.progress {
            self.attempts.progress.restore(Address::from_packed(note.address), notes::progress(note));
        }
        self.cancelled =
            book.cancelled.iter().map(|(packed, tenant)| (Address::from_packed(*packed), TenantId(*tenant))).collect();
        let tried = |note: &TriedNote| {
            let TriedNote { address, attempts, doubts } = *note;
            (Address::from_packed(address), Tried { attempts, doubts: Doubts::unpack(doubts) })
        };
        self.tried = book.tried.iter().map(tried).collect();
    }

    pub(super) fn has_room_for_tried(&self) -> bool {
        self.tried.len() < self.tried_max
    }

    pub(super) fn has_room_for_cancelled(&self) -> bool {
        self.cancelled.len() < self.cancelled_max
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
pub(super) mod tests;
