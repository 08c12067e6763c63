//! Attempts that wait for their outcome, what is in doubt, and the progress of messages of several parts. The shard begins
//! no attempt when too many are open or in the ledger; progress and what was once in doubt keep their own bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Address, CarrierError, CarrierId, Lane, Map, Msisdn, Segment, TenantId, Wall, map};
use crate::traffic::{Answer, NotWritten, Outcome, Unanswered};

use super::doubt::{Doubts, InDoubt, part_reference};
use super::once::OnceInDoubt;
use super::progress::{Noted, ProgressTable, Taken};

/// A recorded attempt without its outcome yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Which attempt, from 1.
    pub attempt: u8,
    /// How often its message had been in doubt before.
    pub doubts: Doubts,
    /// The reference that its parts share.
    pub reference: u16,
    /// Where it was sent.
    pub carrier: CarrierId,
    /// Where it returns to.
    pub lane: Lane,
    /// To whom.
    pub recipient: Msisdn,
    /// Whose.
    pub tenant: TenantId,
    /// Parts, as counted at ingest.
    pub parts: u8,
    /// When it was recorded.
    pub at: Wall,
    /// Its segment, unless this attempt was found at a start.
    pub segment: Option<Arc<Segment>>,
    /// Parts whose outcome came, in this attempt.
    pub outcomes: u8,
    /// Parts already answered before this attempt.
    pub resumed: u8,
    /// What is known of it so far.
    pub verdict: Verdict,
    /// All its parts have their outcomes.
    pub answered: bool,
    /// The bind on which its last unanswered part went, by number.
    pub lost_on: Option<u16>,
    /// The carrier took a part, and there was no room to remember which: it cannot be tried again without sending that twice.
    pub unnoted: bool,
}

/// The gravest outcome among the parts so far, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// All answered parts were taken.
    #[default]
    Accepted,
    /// A part never left.
    NotWritten(NotWritten),
    /// The content cannot be coded.
    Unencodable,
    /// A part was refused, and this was said.
    Refused(CarrierError),
    /// A part went without an answer.
    Unanswered(Unanswered),
}

impl Verdict {
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

/// Everything of a shard that is under way at links.
#[derive(Clone, Debug)]
pub struct Attempts {
    open: Map<Address, OpenAttempt>,
    /// By address, so that the ledger has one order. With those that somebody vouched for.
    pub doubts: BTreeMap<Address, InDoubt>,
    /// Messages of several parts.
    pub progress: ProgressTable,
    /// Messages that were in doubt of late, settled or not: their carriers may have taken them under ids that nobody
    /// knows, and may still send the receipts.
    once: OnceInDoubt,
    /// Attempts that are open, by recipient; made when somebody asks, since few ever do, and kept from then on until what was
    /// in doubt is forgotten next.
    open_to: Option<Map<Msisdn, u32>>,
    hash_seed: u64,
}

impl Attempts {
    /// None. `progress_octets_max` and `once_max` bound what is remembered beside open attempts and the ledger.
    pub fn new(hash_seed: u64, progress_octets_max: usize, once_max: usize) -> Self {
        Self {
            open_to: None,
            hash_seed,
            open: map(hash_seed),
            doubts: BTreeMap::new(),
            progress: ProgressTable::new(progress_octets_max),
            once: OnceInDoubt::new(once_max),
        }
    }

    /// How many wait for their outcome.
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

    /// Whether an attempt to that recipient is open. One pass over all of them, the first time; then none.
    fn is_open_to(&mut self, recipient: Msisdn) -> bool {
        let open_to = self.open_to.get_or_insert_with(|| {
            let mut open_to = map(self.hash_seed);
            self.open.values().for_each(|open| *open_to.entry(open.recipient).or_default() += 1);
            open_to
        });
        open_to.contains_key(&recipient)
    }

    /// Whether a receipt from this number, with an id that nobody knows, may be about a message of ours: one to it waits for
    /// its answer, or was in doubt of late. 0: it names none in international form, so any may be meant that is under way.
    pub fn is_under_way_to(&mut self, number: u64) -> bool {
        if number == 0 {
            return self.open_count() > 0 || !self.doubts.is_empty();
        }
        Msisdn::from_number(number)
            .is_some_and(|recipient| self.once.of(recipient).next().is_some() || self.is_open_to(recipient))
    }

    /// Whether a message to that recipient, other than this one, waits for its answer or was in doubt of late.
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

    /// Takes an attempt out: an event has ended it.
    pub fn remove(&mut self, address: Address) -> Option<OpenAttempt> {
        let removed = self.open.remove(&address)?;
        self.note_closed(removed.recipient);
        Some(removed)
    }

    /// The messages of open attempts, in no order.
    pub fn open(&self) -> impl Iterator<Item = Address> {
        self.open.keys().copied()
    }

    /// All open attempts by address: for checkpoints and recovery.
    pub fn sorted(&self) -> Vec<(Address, &OpenAttempt)> {
        let mut all: Vec<_> = self.open.iter().map(|(address, attempt)| (*address, attempt)).collect();
        all.sort_unstable_by_key(|(address, _)| *address);
        all
    }

    /// Counts one outcome in; the attempt, once all its parts have theirs. `None` also for an outcome of an attempt that is not
    /// open any more. It stays open until an event ends it.
    pub fn settle(&mut self, outcome: &Outcome) -> Option<&OpenAttempt> {
        let open = self.open.get_mut(&outcome.address)?;
        if open.attempt != outcome.attempt {
            return None;
        }
        open.outcomes = open.outcomes.saturating_add(1);
        if matches!(outcome.answer, Answer::Unanswered(_)) {
            open.lost_on = Some(outcome.bind);
        }
        let verdict = Verdict::of(outcome.answer);
        if verdict.gravity() > open.verdict.gravity() {
            open.verdict = verdict;
        }
        if open.outcomes < outcome.parts.saturating_sub(open.resumed) {
            return None;
        }
        open.answered = true;
        Some(open)
    }

    /// Notes that the carrier took a part of several.
    pub fn part_accepted(&mut self, address: Address, taken: Taken) -> Noted {
        let noted = self.progress.note(address, taken);
        if noted == Noted::NoRoom
            && let Some(open) = self.open.get_mut(&address)
        {
            open.unnoted = true;
        }
        noted
    }

    /// Lets progress go that only waits for receipts; how much went, and what of it may still stand in a list.
    pub fn make_room_for_parts(&mut self, void_max: usize) -> (usize, Vec<Address>) {
        let Self { open, doubts, progress, .. } = self;
        progress.make_room(|address| open.contains_key(&address) || doubts.contains_key(&address), void_max)
    }

    /// Lets progress of before `horizon` go that only waits for receipts: [`ProgressTable::expire`].
    pub fn expire_parts(&mut self, horizon: Wall, first_kept: Address) {
        let Self { open, doubts, progress, .. } = self;
        progress.expire(horizon, first_kept, |address| open.contains_key(&address) || doubts.contains_key(&address));
    }

    /// A message goes in doubt; `kept` in the ledger, unless its message has ended.
    pub fn doubt(&mut self, address: Address, doubt: InDoubt, kept: bool) {
        self.once.insert(doubt.recipient, address, doubt.since);
        if kept {
            self.doubts.insert(address, doubt);
        }
    }

    /// The message to `recipient` that a receipt with an unknown id must be about: the only one that is in doubt, or was
    /// of late, and none that still waits for its answer, which a receipt may outrun. A message of several parts
    /// never: nobody knows which of them it is.
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

    /// The part that a receipt from `recipient` with this reference is about: (message, entry, part).
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

    /// Entries of the ledger: what nobody vouched for.
    pub fn ledger(&self) -> impl Iterator<Item = (&Address, &InDoubt)> {
        self.doubts.iter().filter(|(_, doubt)| !doubt.vouched)
    }

    /// The same from an address on.
    pub fn ledger_from(&self, from: Address) -> impl Iterator<Item = (&Address, &InDoubt)> {
        self.doubts.range(from..).filter(|(_, doubt)| !doubt.vouched)
    }

    /// The entry of the ledger at that address.
    pub fn in_ledger(&self, address: Address) -> Option<InDoubt> {
        self.doubts.get(&address).filter(|doubt| !doubt.vouched).copied()
    }

    /// Messages that were in doubt of late, with their recipients and since when.
    pub fn once_in_doubt(&self) -> impl Iterator<Item = (Msisdn, Address, Wall)> {
        self.once.iter()
    }

    /// Puts one of them back.
    pub fn restore_once_in_doubt(&mut self, recipient: Msisdn, address: Address, since: Wall) {
        self.once.insert(recipient, address, since);
    }

    /// Forgets those of before `horizon`: their receipts will not come any more.
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
    use crate::model::{Class, RouteId};

    use super::*;

    fn attempt() -> OpenAttempt {
        OpenAttempt {
            doubts: Doubts::default(),
            attempt: 1,
            reference: 7,
            carrier: CarrierId(1),
            lane: Lane { class: Class::Otp, route: RouteId(1) },
            recipient: Msisdn::default(),
            tenant: TenantId(0),
            parts: 1,
            at: Wall(1),
            segment: None,
            outcomes: 0,
            resumed: 0,
            verdict: Verdict::Accepted,
            answered: false,
            lost_on: None,
            unnoted: false,
        }
    }

    fn settle(answers: &[Answer]) -> Option<Verdict> {
        let address = Address::new(1, 1);
        let mut attempts = Attempts::new(1, 1_000, 1_000);
        attempts.insert(address, attempt());
        let parts = answers.len() as u8;
        let mut last = None;
        for (index, &answer) in answers.iter().enumerate() {
            assert!(last.is_none(), "settled before its last part");
            let outcome = Outcome { part: index as u8 + 1, parts, ..Outcome::first(address, answer) };
            last = attempts.settle(&outcome).map(|open| open.verdict);
        }
        last
    }

    #[test]
    fn the_gravest_part_decides_once_all_have_spoken() {
        let ok = Answer::Accepted(Default::default());
        let lost = Answer::Unanswered(Unanswered::ConnectionLost);
        assert_eq!(settle(&[ok]), Some(Verdict::Accepted));
        let refused = Answer::Refused(busy(8));
        assert_eq!(settle(&[ok, refused, ok]), Some(Verdict::Refused(busy(8))));
        assert_eq!(settle(&[lost, refused]), Some(Verdict::Unanswered(Unanswered::ConnectionLost)));
        let unsent = Answer::NotWritten(NotWritten::LinkDown);
        assert_eq!(settle(&[ok, unsent]), Some(Verdict::NotWritten(NotWritten::LinkDown)));
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
            tenant: TenantId(0),
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

    /// Core A13: each answer that a connection lost took along looked through all attempts that were open.
    #[test]
    fn who_is_written_to_is_known_without_looking_through_all_attempts() {
        let recipient = |n: u64| Msisdn::from_number(4_915_110_000_000 + n).expect("a number");
        let to = |n| OpenAttempt { recipient: recipient(n), ..attempt() };
        let mut attempts = Attempts::new(1, 1_000, 1_000);
        attempts.insert(Address::new(1, 1), to(1));
        attempts.doubt(Address::new(9, 9), InDoubt { recipient: recipient(2), ..doubt_of(1) }, true);
        assert!(attempts.sole_doubt(recipient(2)).is_some());
        assert_eq!(attempts.open_to.as_ref().map(Map::len), Some(1), "looked through once");
        // From then on it is kept true, also by what replaces an attempt of the same message.
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
