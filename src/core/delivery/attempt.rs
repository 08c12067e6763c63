//! Open attempts, messages in doubt, and the progress of messages of several parts. The shard begins no attempt while too many
//! are open or in the ledger; the progress table and the list of messages once in doubt have their own bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Address, CarrierError, CarrierId, Lane, Map, Mono, Msisdn, Segment, SetNumber, Wall, map};
use crate::traffic::{Answer, NotWritten, Outcome, Unanswered};

use super::doubt::{Doubts, InDoubt, part_reference};
use super::once::OnceInDoubt;
use super::progress::{Noted, ProgressTable, Taken};

/// A recorded attempt that has no outcome yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Number of the attempt, from 1.
    pub attempt: u8,
    /// How often its message was in doubt before.
    pub doubts: Doubts,
    /// Concatenation reference, the same in all its parts.
    pub reference: u16,
    /// The carrier to which it was sent.
    pub carrier: CarrierId,
    /// The lane to which the message returns if it is to be sent again.
    pub lane: Lane,
    pub recipient: Msisdn,
    /// Number of parts, as counted at ingest.
    pub parts: u8,
    /// When it was recorded.
    pub at: Wall,
    /// The segment of its message; `None` if the attempt was restored at a start.
    pub segment: Option<Arc<Segment>>,
    /// Number of parts of this attempt that have an outcome.
    pub outcomes: u8,
    /// Number of parts that the carrier had taken before this attempt.
    pub resumed: u8,
    /// The gravest outcome so far.
    pub gravest: Gravest,
    /// Whether all parts have their outcomes.
    pub answered: bool,
    /// Number of the bind on which the last unanswered part was sent.
    pub lost_on: Option<u16>,
    /// The carrier took a part, but there was no room to remember which. A further attempt would send that part twice.
    pub unnoted: bool,
    /// What it has of the permits of its set of counters, in this process.
    pub permit: Permit,
}

/// What an attempt was given of the permits of its set of counters, and what it has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// It was given by the home of the counters. False for an attempt that was found at a start.
    pub given: bool,
    /// Parts written, wholly or in part.
    pub written: u8,
    /// When the last of them was written.
    pub at: Mono,
}

/// An attempt of a message that counts on limits has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedPermit {
    /// The set of its message.
    pub set: SetNumber,
    /// The carrier to which it was sent.
    pub carrier: CarrierId,
    /// Number of parts, as counted at ingest.
    pub parts: u8,
    pub permit: Permit,
}

/// The gravest outcome among the parts so far; the variants are in the order of gravity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gravest {
    /// The carrier took all parts that have an outcome.
    #[default]
    Accepted,
    /// A part was not written.
    NotWritten(NotWritten),
    /// The content cannot be encoded.
    Unencodable,
    /// The carrier refused a part with this error.
    Refused(CarrierError),
    /// A part was sent and not answered.
    Unanswered(Unanswered),
}

impl Gravest {
    const fn gravity(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::NotWritten(_) => 1,
            Self::Unencodable => 2,
            Self::Refused(_) => 3,
            Self::Unanswered(_) => 4,
        }
    }

    const fn of(answer: Answer) -> Self {
        match answer {
            Answer::Accepted(_) => Self::Accepted,
            Answer::Refused(error) => Self::Refused(error),
            Answer::NotWritten(reason) => Self::NotWritten(reason),
            Answer::Unanswered(reason) => Self::Unanswered(reason),
            Answer::Unencodable => Self::Unencodable,
        }
    }
}

/// All open attempts and messages in doubt of a shard.
#[derive(Clone, Debug)]
pub struct Attempts {
    open: Map<Address, OpenAttempt>,
    /// Messages in doubt. In order of address, so that the ledger has a fixed order. Includes the entries that the operator vouched
    /// for ([`InDoubt::vouched`]), which do not count as in the ledger.
    pub doubts: BTreeMap<Address, InDoubt>,
    /// Messages of several parts.
    pub progress: ProgressTable,
    /// Messages that were recently in doubt, settled or not. Their carriers may have taken them under unknown ids, and may still
    /// send the receipts.
    once: OnceInDoubt,
    /// Number of open attempts by recipient. Built when it is first needed, which is rare, then kept up to date until
    /// [`Self::forget_once_in_doubt`] drops it.
    open_to: Option<Map<Msisdn, u32>>,
    hash_seed: u64,
    /// Attempts of messages that count on limits and that have ended since this was last emptied.
    pub ended: Vec<EndedPermit>,
}

impl Attempts {
    /// Without attempts. `progress_bytes_max` bounds the progress table, `once_max` the list of messages once in doubt.
    pub fn new(hash_seed: u64, progress_bytes_max: usize, once_max: usize) -> Self {
        Self {
            open_to: None,
            ended: Vec::new(),
            hash_seed,
            open: map(hash_seed),
            doubts: BTreeMap::new(),
            progress: ProgressTable::new(progress_bytes_max),
            once: OnceInDoubt::new(once_max),
        }
    }

    /// Number of attempts that wait for their outcome.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Records an attempt.
    pub fn insert(&mut self, address: Address, attempt: OpenAttempt) {
        if let Some(open_to) = &mut self.open_to {
            *open_to.entry(attempt.recipient).or_default() += 1;
        }
        if let Some(before) = self.open.insert(address, attempt) {
            self.note_closed(before.recipient);
            self.note_ended(&before);
        }
    }

    fn note_ended(&mut self, attempt: &OpenAttempt) {
        if attempt.lane.set != SetNumber::NONE {
            let OpenAttempt { carrier, parts, permit, .. } = *attempt;
            self.ended.push(EndedPermit { set: attempt.lane.set, carrier, parts, permit });
        }
    }

    fn note_closed(&mut self, recipient: Msisdn) {
        let Some(open_to) = &mut self.open_to else { return };
        if let Some(open) = open_to.get_mut(&recipient) {
            *open -= 1;
            if *open == 0 {
                open_to.remove(&recipient);
            }
        }
    }

    /// Whether an attempt to this recipient is open. The first call goes through all open attempts; later calls do not.
    fn is_open_to(&mut self, recipient: Msisdn) -> bool {
        let open_to = self.open_to.get_or_insert_with(|| {
            let mut open_to = map(self.hash_seed);
            self.open.values().for_each(|open| *open_to.entry(open.recipient).or_default() += 1);
            open_to
        });
        open_to.contains_key(&recipient)
    }

    /// Whether a receipt from this number with an unknown id may be about a message of ours: a message to the number has an open
    /// attempt, or was recently in doubt. 0 stands for a number that is not in international form: then the receipt may be
    /// about any message that is under way.
    pub fn is_under_way_to(&mut self, number: u64) -> bool {
        if number == 0 {
            return self.open_count() > 0 || !self.doubts.is_empty();
        }
        Msisdn::from_number(number)
            .is_some_and(|recipient| self.once.of(recipient).next().is_some() || self.is_open_to(recipient))
    }

    /// Whether another message to this recipient has an open attempt or was recently in doubt.
    pub fn is_under_way_beside(&mut self, recipient: Msisdn, address: Address) -> bool {
        self.once.of(recipient).any(|known| known != address) || {
            let own = self.open.get(&address).is_some_and(|open| open.recipient == recipient);
            self.is_open_to(recipient)
                && !(own && self.open_to.as_ref().is_some_and(|to| to.get(&recipient) == Some(&1)))
        }
    }

    /// The open attempt of a message.
    pub fn get(&self, address: Address) -> Option<&OpenAttempt> {
        self.open.get(&address)
    }

    /// Removes an attempt that an event has ended.
    pub fn remove(&mut self, address: Address) -> Option<OpenAttempt> {
        let removed = self.open.remove(&address)?;
        self.note_closed(removed.recipient);
        self.note_ended(&removed);
        Some(removed)
    }

    /// The messages of all open attempts, in no particular order.
    pub fn open(&self) -> impl Iterator<Item = Address> {
        self.open.keys().copied()
    }

    /// All open attempts in order of address, for checkpoints and recovery.
    pub fn sorted(&self) -> Vec<(Address, &OpenAttempt)> {
        let mut all: Vec<_> = self.open.iter().map(|(address, attempt)| (*address, attempt)).collect();
        all.sort_unstable_by_key(|(address, _)| *address);
        all
    }

    /// Adds one outcome to its attempt. Returns the attempt once all its parts have outcomes; it stays open until an event ends
    /// it. `None` as well if the attempt is no longer open.
    pub fn settle(&mut self, outcome: &Outcome) -> Option<&OpenAttempt> {
        let open = self.open.get_mut(&outcome.address)?;
        if open.attempt != outcome.attempt {
            return None;
        }
        open.outcomes = open.outcomes.saturating_add(1);
        let is_unsent = matches!(outcome.answer, Answer::NotWritten(_) | Answer::Unencodable);
        // What the carrier throttled was written all the same.
        let is_written = !is_unsent || outcome.written_at != Mono(0);
        if is_written && open.lane.set != SetNumber::NONE {
            open.permit.written = open.permit.written.saturating_add(1);
            open.permit.at = open.permit.at.max(outcome.written_at);
        }
        if matches!(outcome.answer, Answer::Unanswered(_)) {
            open.lost_on = Some(outcome.bind);
        }
        let gravest = Gravest::of(outcome.answer);
        if gravest.gravity() > open.gravest.gravity() {
            open.gravest = gravest;
        }
        if open.outcomes < outcome.parts.saturating_sub(open.resumed) {
            return None;
        }
        open.answered = true;
        Some(open)
    }

    /// Records that the carrier took one of several parts.
    pub fn part_accepted(&mut self, address: Address, taken: Taken) -> Noted {
        let noted = self.progress.note(address, taken);
        if noted == Noted::NoRoom
            && let Some(open) = self.open.get_mut(&address)
        {
            open.unnoted = true;
        }
        noted
    }

    /// Removes progress that only waits for receipts. Returns how many entries were removed, and those of them whose message may
    /// still be in a list; see [`ProgressTable::make_room`].
    pub fn make_room_for_parts(&mut self, void_max: usize) -> (usize, Vec<Address>) {
        let Self { open, doubts, progress, .. } = self;
        progress.make_room(|address| open.contains_key(&address) || doubts.contains_key(&address), void_max)
    }

    /// Removes progress from before `horizon` that only waits for receipts; see [`ProgressTable::expire`].
    pub fn expire_parts(&mut self, horizon: Wall, first_kept: Address) {
        let Self { open, doubts, progress, .. } = self;
        progress.expire(horizon, first_kept, |address| open.contains_key(&address) || doubts.contains_key(&address));
    }

    /// A message is in doubt from now on. `kept`: it enters the ledger; false if the message has ended already.
    pub fn doubt(&mut self, address: Address, doubt: InDoubt, kept: bool) {
        self.once.insert(doubt.recipient, address, doubt.since);
        if kept {
            self.doubts.insert(address, doubt);
        }
    }

    /// The message to `recipient` that a receipt with an unknown id must be about: the only one that is, or recently was, in
    /// doubt. `None` if an attempt to the recipient is open, since its receipt may come before its answer; if the list of such
    /// messages is full, since others may have been forgotten; and for a message of several parts, since it is unknown which
    /// part is meant.
    pub fn sole_doubt(&mut self, recipient: Msisdn) -> Option<(Address, InDoubt)> {
        if self.once.is_full() {
            return None;
        }
        let sole = {
            let mut ever = self.once.of(recipient);
            ever.next().filter(|_| ever.next().is_none())?
        };
        let doubt = self.doubts.get(&sole).filter(|doubt| doubt.parts <= 1).copied()?;
        (!self.is_open_to(recipient)).then_some((sole, doubt))
    }

    /// The part in doubt that a receipt from `recipient` with this `user_message_reference` is about: (message, entry, part).
    pub fn referenced_doubt(&self, recipient: Msisdn, reference: u16) -> Option<(Address, InDoubt, u8)> {
        self.once.of(recipient).filter_map(|address| Some((address, *self.doubts.get(&address)?))).find_map(
            |(address, doubt)| {
                let parts = self.progress.get(&address).map_or(doubt.parts, |progress| progress.parts).max(1);
                let tries = (1..=doubt.attempt).rev().flat_map(|attempt| (1..=parts).map(move |part| (attempt, part)));
                let part = tries.map(|(attempt, part)| (part, part_reference(address, attempt, part)));
                part.filter(|(_, known)| *known == reference).map(|(part, _)| (address, doubt, part)).next()
            },
        )
    }

    /// The entries of the ledger: messages in doubt that the operator has not vouched for.
    pub fn ledger(&self) -> impl Iterator<Item = (&Address, &InDoubt)> {
        self.doubts.iter().filter(|(_, doubt)| !doubt.vouched)
    }

    /// The entries of the ledger from this address on.
    pub fn ledger_from(&self, from: Address) -> impl Iterator<Item = (&Address, &InDoubt)> {
        self.doubts.range(from..).filter(|(_, doubt)| !doubt.vouched)
    }

    /// The entry of the ledger at that address.
    pub fn in_ledger(&self, address: Address) -> Option<InDoubt> {
        self.doubts.get(&address).filter(|doubt| !doubt.vouched).copied()
    }

    /// Messages that were recently in doubt: recipient, message, since when.
    pub fn once_in_doubt(&self) -> impl Iterator<Item = (Msisdn, Address, Wall)> {
        self.once.iter()
    }

    /// Restores one of these from a checkpoint.
    pub fn recover_once_in_doubt(&mut self, recipient: Msisdn, address: Address, since: Wall) {
        self.once.insert(recipient, address, since);
    }

    /// Forgets the messages that were in doubt before `horizon`: their receipts will not come any more.
    pub fn forget_once_in_doubt(&mut self, horizon: Wall) {
        self.open_to = None;
        self.once.expire(horizon);
        self.doubts.retain(|_, doubt| !doubt.vouched || doubt.since >= horizon);
    }
}

#[cfg(test)]
mod tests {
    use crate::delivery::Lost;
    use crate::delivery::samples::busy;
    use crate::model::{Class, RouteId, TenantId};

    use super::*;

    fn attempt() -> OpenAttempt {
        OpenAttempt {
            doubts: Doubts::default(),
            attempt: 1,
            reference: 7,
            carrier: CarrierId(1),
            lane: Lane { class: Class::Otp, route: RouteId(1), tenant: TenantId(0), set: SetNumber::NONE },
            recipient: Msisdn::default(),
            parts: 1,
            at: Wall(1),
            segment: None,
            outcomes: 0,
            resumed: 0,
            gravest: Gravest::Accepted,
            answered: false,
            lost_on: None,
            unnoted: false,
            permit: Permit::default(),
        }
    }

    fn settle(answers: &[Answer]) -> Option<Gravest> {
        let address = Address::new(1, 1);
        let mut attempts = Attempts::new(1, 1_000, 1_000);
        attempts.insert(address, attempt());
        let parts = answers.len() as u8;
        let mut last = None;
        for (index, &answer) in answers.iter().enumerate() {
            assert!(last.is_none(), "settled before its last part");
            let outcome = Outcome { part: index as u8 + 1, parts, ..Outcome::first(address, answer) };
            last = attempts.settle(&outcome).map(|open| open.gravest);
        }
        last
    }

    #[test]
    fn the_gravest_part_decides_once_all_have_spoken() {
        let ok = Answer::Accepted(Default::default());
        let lost = Answer::Unanswered(Unanswered::ConnectionLost);
        assert_eq!(settle(&[ok]), Some(Gravest::Accepted));
        let refused = Answer::Refused(busy(8));
        assert_eq!(settle(&[ok, refused, ok]), Some(Gravest::Refused(busy(8))));
        assert_eq!(settle(&[lost, refused]), Some(Gravest::Unanswered(Unanswered::ConnectionLost)));
        let unsent = Answer::NotWritten(NotWritten::LinkDown);
        assert_eq!(settle(&[ok, unsent]), Some(Gravest::NotWritten(NotWritten::LinkDown)));
    }

    #[test]
    fn an_outcome_of_an_older_attempt_is_void() {
        let mut attempts = Attempts::new(1, 1_000, 1_000);
        attempts.insert(Address::new(1, 1), OpenAttempt { attempt: 2, ..attempt() });
        let answer = Answer::Refused(busy(1));
        let old = Outcome::first(Address::new(1, 1), answer);
        assert!(attempts.settle(&old).is_none());
        assert_eq!(attempts.open_count(), 1);
    }

    fn doubt_of(parts: u8) -> InDoubt {
        InDoubt {
            doubts: Doubts::default(),
            attempt: 1,
            reference: 7,
            carrier: CarrierId(1),
            lane: attempt().lane,
            recipient: Msisdn::default(),
            parts,
            sent_at: Wall(4),
            since: Wall(5),
            lost: Lost { reason: Unanswered::Crashed, bind: None, held: false, grouped: false },
            decided_at: InDoubt::HELD,
            vouched: false,
        }
    }

    #[test]
    fn a_part_is_found_by_the_reference_that_it_was_given() {
        let recipient = Msisdn::default();
        let (first, second) = (Address::new(1, 1), Address::new(1, 2));
        let mut attempts = Attempts::new(1, 1_000, 1_000);
        attempts.doubt(first, InDoubt { attempt: 2, ..doubt_of(3) }, true);
        attempts.doubt(second, doubt_of(1), true);
        let found = |attempts: &Attempts, of| {
            attempts.referenced_doubt(recipient, of).map(|(address, _, part)| (address, part))
        };
        assert_eq!(found(&attempts, part_reference(first, 1, 3)), Some((first, 3)), "an older attempt's");
        assert_eq!(found(&attempts, part_reference(second, 1, 1)), Some((second, 1)));
        assert_eq!(found(&attempts, part_reference(second, 2, 1)), None, "an attempt that never was");
        attempts.doubts.remove(&second);
        assert_eq!(found(&attempts, part_reference(second, 1, 1)), None, "settled");
    }

    #[test]
    fn a_receipt_without_a_name_is_for_the_only_one_it_can_be_for() {
        let recipient = Msisdn::default();
        let doubt = doubt_of;
        let (first, second) = (Address::new(1, 1), Address::new(1, 2));
        let mut attempts = Attempts::new(1, 1_000, 1_000);
        attempts.doubt(first, doubt(1), true);
        assert_eq!(attempts.sole_doubt(recipient), Some((first, doubt(1))));
        attempts.insert(second, attempt());
        assert_eq!(attempts.sole_doubt(recipient), None, "it may be faster than the answer to its own submit");
        attempts.remove(second);
        attempts.doubt(second, doubt(1), false);
        assert_eq!(attempts.sole_doubt(recipient), None, "given up, but its carrier may have it");
        attempts.forget_once_in_doubt(Wall(6));
        attempts.doubt(first, doubt(2), true);
        assert_eq!(attempts.sole_doubt(recipient), None, "which part?");
    }

    /// Core A13: for each answer that was lost with a connection, the code used to go through all open attempts.
    #[test]
    fn who_is_written_to_is_known_without_looking_through_all_attempts() {
        let recipient = |n: u64| Msisdn::from_number(4_915_110_000_000 + n).expect("a number");
        let to = |n| OpenAttempt { recipient: recipient(n), ..attempt() };
        let mut attempts = Attempts::new(1, 1_000, 1_000);
        attempts.insert(Address::new(1, 1), to(1));
        attempts.doubt(Address::new(9, 9), InDoubt { recipient: recipient(2), ..doubt_of(1) }, true);
        assert!(attempts.sole_doubt(recipient(2)).is_some());
        assert_eq!(attempts.open_to.as_ref().map(Map::len), Some(1), "looked through once");
        // From then on it is kept up to date, also when an attempt replaces another one of the same message.
        attempts.insert(Address::new(1, 2), to(2));
        attempts.insert(Address::new(1, 2), to(3));
        attempts.insert(Address::new(1, 3), to(3));
        assert!(attempts.sole_doubt(recipient(2)).is_some() && attempts.is_open_to(recipient(3)));
        attempts.remove(Address::new(1, 2));
        assert!(attempts.is_open_to(recipient(3)), "by another message");
        attempts.remove(Address::new(1, 3));
        assert!(!attempts.is_open_to(recipient(3)));
        assert_eq!(attempts.open_to.as_ref().map(Map::len), Some(1));
    }
}
