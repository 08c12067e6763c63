//! What a shard knows of the messages that are under way, and what each event changes in it.
//!
//! [`Books::apply`] is called when something happens, before that is written, and again when a restart replays what was written.
//! So a restarted shard knows what the shard before it knew, except the exact times: a turn has only one.
//!
//! What changes the books without an event, and how a restart gets by without one:
//! - An attempt begins ([`Books::begin`]): the turn's record of attempts says more than an event could, and is replayed by the
//!   same function.
//! - Single parts are answered ([`Attempts::settle`]), or the last answer comes to a message that has ended
//!   ([`Books::settle_ended`]): after a crash it is not known which answers came. An attempt without an outcome in the history is
//!   in doubt as a whole, or counts as once in doubt.
//! - A receipt comes for a part of an ended message ([`Books::part_settled`]): it only lets the progress be forgotten early.
//! - The time of a doubt's decision is set ([`Books::put_off_doubt`]): it follows from the present policy, which a restart asks
//!   again.
//! - A cancelled message is passed over ([`Books::pass_over`]): the heads of lists and of the delay queue record how much was
//!   taken, not which messages. A restart keeps the mark until retention has passed; it is not met again.
//! - Something goes because of its age or for want of room: the same rules find it again.
//!
//! How many messages of each tenant wait is not replayed. Each commit that changes these counts writes them in full
//! (`places.rs`). So the caller of `apply` counts by what `apply` returns, and the replay ignores that.

use std::collections::BTreeMap;

use crate::delivery::attempt::Gravest;
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

/// The books of a shard.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub attempts: Attempts,
    /// Messages that wait to be tried again after an attempt.
    pub tried: BTreeMap<Address, Tried>,
    /// Messages that were cancelled and are not passed over yet, each with the tenant whose place it holds until then (the
    /// default tenant if its place is free already), or [`CLOSED`].
    pub cancelled: BTreeMap<Address, TenantId>,
    /// Notes of a checkpoint or turn that a restart could not read.
    pub unreadable: u64,
    tried_max: usize,
    cancelled_max: usize,
}

/// What is remembered of a message that waits to be tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tried {
    /// Attempts consumed so far.
    pub attempts: u8,
    /// How often it was in doubt.
    pub doubts: Doubts,
}

/// In [`Books::cancelled`]: its carrier ended the message while it waited to be tried again, and the books have no progress of
/// parts that would say so.
pub(super) const CLOSED: TenantId = TenantId(u32::MAX);

/// What an event took out of the books.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// The attempt that the event ended.
    pub attempt: Option<OpenAttempt>,
    /// The doubt that the event ended.
    pub doubt: Option<InDoubt>,
}

/// What was found when a message expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// It is under way, or waits for a receipt: it is not ended now.
    Elsewhere,
    /// It had ended before.
    Before,
    /// It is ended now. If it is in a list: the lane of that list, and whether the list holds what was unsent at a backup.
    Now(Option<(Lane, bool)>),
}

impl Books {
    pub(super) fn new(options: &Options) -> Self {
        let bounds = &options.bounds;
        Self {
            attempts: Attempts::new(options.hash_seed, bounds.progress_bytes_max, bounds.once_in_doubt_max),
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

    /// An attempt begins as it was recorded.
    pub(super) fn begin_again(&mut self, note: &AttemptNote, at: Wall) {
        match open_attempt(note, at) {
            Some(open) => self.begin(Address::from_packed(note.address), open),
            None => self.unreadable += 1,
        }
    }

    /// Applies a recorded turn. Its attempts come last: what they began from is among the events of this turn, and what ends them
    /// is in later turns.
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

    /// How often a message that waits to be tried again was in doubt.
    pub(super) fn doubts_before(&self, address: Address) -> Doubts {
        self.tried.get(&address).map_or_else(Doubts::default, |tried| tried.doubts)
    }

    /// Applies an event: one that happens now, or one from the records.
    pub(super) fn apply(&mut self, event: &Event, counters: &mut Counters) -> Closed {
        let Event { address, at, what } = *event;
        match what {
            // Done by `begin`, with the record of the attempt.
            Happened::Attempt { .. } => Closed::default(),
            // A note in the timeline, or a move between lists: the books hold neither.
            Happened::Due { .. }
            | Happened::Intermediate { .. }
            | Happened::Late { .. }
            | Happened::Rerouted { .. }
            | Happened::Regrouped { .. } => Closed::default(),
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
                // Parts were taken of a message that was cut differently: all parts are sent, under a new reference.
                if why == NotWritten::CutChanged {
                    self.attempts.progress.remove(&address);
                }
                let attempt = self.attempts.remove(address);
                // If it was tried before, or its carrier took a part before it came back, the carrier may still end it.
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
            // The entry stays, for a receipt whose id is not known.
            Happened::Resolved { by: Resolution::OperatorSent } => {
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
            // Nothing of it goes on: every part was answered, or none was sent. A receipt of one of its parts counts as late.
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

    /// The attempt, or the doubt that it became, has ended, and the message may be tried again.
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

    /// Whether a carrier may still say how a message that waits in a list ended, since it may have a part of it.
    pub(super) fn may_end_by_carrier(&self, address: Address) -> bool {
        self.tried.contains_key(&address) || self.attempts.progress.get(&address).is_some()
    }

    /// A carrier has said how a message ended. A message that waits to be tried again still has an entry in a list or the delay
    /// queue, and is marked so that it is not sent when it is met.
    fn end_by_carrier(&mut self, address: Address, at: Wall) -> Closed {
        let waits = self.tried.contains_key(&address);
        if waits && self.attempts.progress.get(&address).is_none() && self.has_room_for_cancelled() {
            self.cancelled.insert(address, CLOSED);
        }
        self.end(address, at)
    }

    /// A message has ended: the books forget all of it except what later receipts and answers of its other parts must be matched
    /// with.
    fn end(&mut self, address: Address, at: Wall) -> Closed {
        self.tried.remove(&address);
        let parts = self.attempts.progress.get_mut(&address).map(|progress| progress.closed = true);
        if parts.is_some() && self.attempts.get(address).is_some_and(|open| !open.answered) {
            // A receipt of one part ended it: the answers to the others are still to come.
            return Closed { attempt: None, doubt: self.attempts.doubts.remove(&address) };
        }
        let closed = self.close(address);
        if let Some(open) = closed.attempt.as_ref().filter(|open| !open.answered) {
            self.attempts.recover_once_in_doubt(open.recipient, address, at);
        }
        if parts.is_some() {
            self.forget_settled(address);
        }
        closed
    }

    /// The last answer has come to an attempt whose message has ended, or will not come any more.
    pub(super) fn settle_ended(&mut self, address: Address, at: Wall) {
        // `None` cannot happen: at a start and at an outcome the caller has just seen the open attempt.
        let Some(open) = self.attempts.remove(address) else { return };
        if !open.answered || matches!(open.gravest, Gravest::Unanswered(_)) {
            self.attempts.recover_once_in_doubt(open.recipient, address, at);
        }
        self.forget_settled(address);
    }

    /// The final receipt of a part has come, and changes nothing but the progress.
    pub(super) fn part_settled(&mut self, address: Address, part: u8) {
        if let Some(progress) = self.attempts.progress.get_mut(&address) {
            progress.settled.insert(part);
        }
        self.forget_settled(address);
    }

    /// Forgets the progress of a message all of whose parts have their final receipts.
    fn forget_settled(&mut self, address: Address) {
        let is_settled = self.attempts.progress.get(&address).is_some_and(Progress::is_all_settled);
        if is_settled && self.attempts.get(address).is_none() {
            self.attempts.progress.remove(&address);
        }
    }

    /// Whether a receipt of one part has ended the message while other parts were still under way.
    pub(super) fn is_closed(&self, address: Address) -> bool {
        self.attempts.progress.get(&address).is_some_and(|progress| progress.closed)
    }

    fn in_doubt(&mut self, address: Address, lost: Lost, at: Wall) -> Closed {
        let attempt = self.attempts.remove(address);
        if let Some(open) = &attempt {
            self.attempts.doubt(address, doubt_of(open, lost, at), true);
        } else if let Some(doubt) = self.attempts.doubts.get_mut(&address) {
            // It was in doubt already when the backup was made; the restore has changed the reason.
            doubt.lost = lost;
        }
        Closed { attempt, doubt: None }
    }

    /// Where the parts of a message are: its carrier, and the reference that the parts share.
    fn holder(&self, address: Address) -> Option<(CarrierId, u16)> {
        let open = self.attempts.get(address).map(|open| (open.carrier, open.reference));
        open.or_else(|| self.attempts.doubts.get(&address).map(|doubt| (doubt.carrier, doubt.reference)))
    }

    /// Whether the books know that the carrier has that part.
    pub(super) fn knows_part(&self, address: Address, part: u8) -> bool {
        self.attempts.progress.get(&address).is_some_and(|progress| {
            self.holder(address) == Some((progress.carrier, progress.reference)) && progress.accepted.contains(part)
        })
    }

    fn part_accepted(&mut self, address: Address, (part, parts): (u8, u8), at: Wall, counters: &mut Counters) {
        // The parts of a message that is neither at a link nor in doubt are not needed. A restart may come to this: it may know
        // less than was recorded.
        let Some((carrier, reference)) = self.holder(address) else { return };
        let progress = &self.attempts.progress;
        if progress.is_full(parts) && progress.get(&address).is_none() {
            // Never below zero: the bound may have been larger when the marks were made.
            let void_max = self.cancelled_max.saturating_sub(self.cancelled.len());
            let (forgotten, void) = self.attempts.make_room_for_parts(void_max);
            counters.parts_forgotten += forgotten as u64;
            // These have ended; if they are still in a list, the mark makes that they are passed over.
            for address in void {
                self.cancelled.entry(address).or_insert(CLOSED);
            }
        }
        let noted = self.attempts.part_accepted(address, Taken { carrier, reference, part, parts, at });
        counters.parts_unnoted += u64::from(noted == Noted::NoRoom);
    }

    /// Remembers a message's tries. If there is no room, it counts from 1 again: it is tried more often than its policy says, and
    /// never less.
    fn remember_tried(&mut self, address: Address, tried: Tried, counters: &mut Counters) {
        if self.has_room_for_tried() || self.tried.contains_key(&address) {
            self.tried.insert(address, tried);
        } else {
            counters.attempts_uncounted += 1;
        }
    }

    /// A message that was cancelled or closed is passed over. Returns the tenant whose place it held, or [`CLOSED`]; `None` if it
    /// has no mark.
    pub(super) fn pass_over(&mut self, address: Address) -> Option<TenantId> {
        self.cancelled.remove(&address)
    }

    /// Sets when a doubt is decided: sent again or given up.
    pub(super) fn put_off_doubt(&mut self, address: Address, decided_at: Wall) {
        if let Some(doubt) = self.attempts.doubts.get_mut(&address) {
            doubt.decided_at = decided_at;
        }
    }

    /// Puts the books into a checkpoint, without marks of messages whose history is gone: their entries are passed over anyway. A
    /// message that was cancelled while it was put off for longer than the retention keeps its mark: it holds a place until it is
    /// due.
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

    /// Takes what a checkpoint's book holds.
    pub(super) fn recover(&mut self, book: &Book) {
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
                self.attempts.recover_once_in_doubt(recipient, Address::from_packed(packed), Wall(since));
            }
        }
        for note in &book.progress {
            self.attempts.progress.recover(Address::from_packed(note.address), notes::progress(note));
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
