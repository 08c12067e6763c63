//! What the books know after each event, and that a replay knows the same.

use crate::delivery::samples::busy;
use crate::model::{CarrierError, Coding, DeadLetterReason, ErrorFamily, ReceiptState};
use crate::shard::notes::attempt_note;
use crate::traffic::{Answer, NotWritten, Outcome, Unanswered};

use super::*;

const AT: Address = Address::new(5, 1);
const LOST: Lost = Lost { reason: Unanswered::ConnectionLost, bind: None, held: false, grouped: false };
const SUBMITTED: Happened = Happened::Submitted { parts: 2, awaits_receipt: true, coding: Coding::Gsm7 };
const RETURNED: Happened = Happened::Returned { why: NotWritten::LinkDown };
const UNDELIVERED: Happened = Happened::Undelivered { error: CarrierError::of_answer(ErrorFamily::Permanent, 1) };

/// What a restart would know. It is fed each turn as it is written, in every test and in every simulated world.
#[derive(Debug)]
pub(in crate::shard) struct Replayed {
    books: Books,
    counters: Counters,
}

impl Replayed {
    /// Begins with these books, as a checkpoint would hold them.
    pub(in crate::shard) fn from(books: &Books) -> Self {
        Self { books: books.clone(), counters: Counters::default() }
    }

    /// A turn was decided; `known` is what its shard knows now.
    pub(in crate::shard) fn turn(&mut self, turn: &TurnRecord, known: &Books) {
        self.books.replay(turn, &mut self.counters);
        self.books.attempts.ended.clear();
        known.assert_replayed_as(&self.books);
        // At the bound, what is kept depends on what else there is.
        if self.counters.parts_forgotten + self.counters.parts_unnoted == 0 {
            known.assert_parts_replayed_as(&self.books);
        }
    }
}

impl Books {
    /// Compares what a shard knows (`self`) with what a restart has replayed from its turns: they agree, except for what the head
    /// of `books.rs` names.
    fn assert_replayed_as(&self, replayed: &Self) {
        let open = |books: &Self| {
            let all = books.attempts.sorted().into_iter();
            let alive = all.filter(|(address, _)| !replayed.is_closed(*address));
            alive.map(|(address, open)| (attempt_note(address, open), open.doubts)).collect::<Vec<_>>()
        };
        assert_eq!(open(self), open(replayed), "attempts");
        let doubts = |books: &Self| {
            let told = |doubt: &InDoubt| InDoubt { decided_at: Wall(0), since: Wall(0), sent_at: Wall(0), ..*doubt };
            books.attempts.doubts.iter().map(|(address, doubt)| (*address, told(doubt))).collect::<Vec<_>>()
        };
        assert_eq!(doubts(self), doubts(replayed), "the ledger");
        assert_eq!(self.tried, replayed.tried, "attempts consumed");
        for (address, place_of) in self.cancelled.iter().filter(|(_, place_of)| **place_of != CLOSED) {
            assert_eq!(replayed.cancelled.get(address), Some(place_of), "cancelled {address}");
        }
    }

    fn assert_parts_replayed_as(&self, replayed: &Self) {
        for (address, known) in self.attempts.progress.iter() {
            let told = |progress: &Progress| {
                let Progress { carrier, reference, parts, accepted, delivered, closed, .. } = *progress;
                (carrier, reference, parts, accepted, delivered, closed)
            };
            assert_eq!(replayed.attempts.progress.get(address).map(told), Some(told(known)), "parts of {address}");
        }
    }
}

/// One message, and the books that know it.
struct World {
    books: Books,
    counters: Counters,
}

impl World {
    fn new() -> Self {
        let mut world = Self { books: Books::new(&Options::default()), counters: Counters::default() };
        world.begin(1);
        world
    }

    fn begin(&mut self, attempt: u8) {
        let (address, recipient) = (AT.packed(), 4_915_112_345_678);
        let note = AttemptNote {
            address,
            recipient,
            tenant: 3,
            carrier: 4,
            reference: 7,
            route: 1,
            class: 1,
            attempt,
            parts: 2,
            set: 0,
        };
        self.books.begin_again(&note, Wall(1));
    }

    fn happens(&mut self, what: Happened) -> Closed {
        self.books.apply(&Event { address: AT, at: Wall(2), what }, &mut self.counters)
    }

    fn takes_both(&mut self) {
        [1, 2].into_iter().for_each(|part| drop(self.happens(Happened::PartAccepted { part, parts: 2 })));
    }

    fn answered(&mut self, part: u8, answer: Answer) -> bool {
        let outcome = Outcome { part, parts: 2, ..Outcome::first(AT, answer) };
        self.books.attempts.settle(&outcome).is_some()
    }

    fn knows(&self) -> (bool, bool, Option<u8>) {
        let Books { attempts, tried, .. } = &self.books;
        (attempts.get(AT).is_some(), attempts.doubts.contains_key(&AT), tried.get(&AT).map(|tried| tried.attempts))
    }
}

#[test]
fn what_expires_here_while_a_carrier_has_a_part_leaves_nothing_open() {
    let mut world = World::new();
    world.happens(Happened::PartAccepted { part: 1, parts: 2 });
    let closed = world.happens(Happened::Expired { error: None });
    assert!(closed.attempt.is_some(), "a restart would take it for lost, and send it again");
    let Attempts { progress, doubts, .. } = &world.books.attempts;
    assert!(world.books.attempts.get(AT).is_none() && progress.is_empty() && doubts.is_empty());
}

#[test]
fn an_attempt_ends_by_one_event_that_says_what_it_took_out() {
    let attempts = |what| {
        let mut world = World::new();
        let closed = world.happens(what);
        assert_eq!(closed.attempt.map(|open| (open.attempt, open.lane.tenant)), Some((1, TenantId(3))), "{what:?}");
        world.knows()
    };
    assert_eq!(attempts(SUBMITTED), (false, false, None));
    assert_eq!(attempts(RETURNED), (false, false, None), "it consumed none");
    assert_eq!(attempts(Happened::Refused { error: busy(8) }), (false, false, Some(1)));
    assert_eq!(attempts(Happened::InDoubt { lost: LOST }), (false, true, None));
    assert_eq!(attempts(Happened::Dead { reason: DeadLetterReason::NoRoute, by: None }), (false, false, None));
    let mut world = World::new();
    world.begin(3);
    world.happens(RETURNED);
    assert_eq!((world.knows(), world.books.next_attempt(AT)), ((false, false, Some(2)), 3));
}

#[test]
fn a_doubt_ends_by_one_event_that_says_what_it_took_out() {
    let doubts = |what| {
        let mut world = World::new();
        world.happens(Happened::InDoubt { lost: LOST });
        let closed = world.happens(what);
        (closed.doubt.map(|doubt| doubt.lost), world.knows())
    };
    let resent = Happened::Resent { by: Resolution::PolicyResend };
    assert_eq!(doubts(resent), (Some(LOST), (false, false, Some(1))));
    assert_eq!(doubts(Happened::Refused { error: busy(8) }), (Some(LOST), (false, false, Some(1))));
    assert_eq!(doubts(Happened::Resolved { by: Resolution::LateAnswer }), (Some(LOST), (false, false, None)));
    assert_eq!(doubts(UNDELIVERED), (Some(LOST), (false, false, None)));
    let vouched = Happened::Resolved { by: Resolution::OperatorSent };
    assert_eq!(doubts(vouched), (None, (false, true, None)), "it stays for its receipt");
    let restored = Lost { reason: Unanswered::Restored, ..LOST };
    let mut world = World::new();
    world.happens(Happened::InDoubt { lost: LOST });
    world.happens(Happened::InDoubt { lost: restored });
    assert_eq!(world.books.attempts.doubts[&AT].lost, restored);
}

/// Its first doubt, then what followed: counted are only the doubts that the carrier caused.
#[test]
fn doubts_are_counted_by_message_and_only_those_that_the_carrier_caused() {
    let mut world = World::new();
    let mut counted = Vec::new();
    let reasons = [Unanswered::ConnectionLost, Unanswered::Crashed, Unanswered::ResponseTimeout, Unanswered::Stopped];
    for (reason, attempt) in reasons.into_iter().zip(1..) {
        world.begin(attempt);
        world.happens(Happened::InDoubt { lost: Lost { reason, ..LOST } });
        let mut book = Book::default();
        world.books.note(0, &mut book);
        counted.push(book.doubts[0].doubts);
        world.books.recover(&book);
        world.happens(Happened::Resent { by: Resolution::PolicyResend });
        world.books.note(0, &mut book);
        assert_eq!(
            book.tried,
            [TriedNote { address: AT.packed(), attempts: attempt, doubts: counted[counted.len() - 1] }]
        );
        world.books.recover(&book);
        // A message that ended without an answer to its attempt keeps its count.
        world.begin(attempt + 1);
        world.books.note(0, &mut book);
        world.books.recover(&book);
        world.happens(RETURNED);
    }
    assert_eq!(counted, [1, 1, 2, 2]);
}

#[test]
fn notes_change_nothing() {
    let mut world = World::new();
    for what in [
        Happened::Due { from_backup: false },
        Happened::Attempt { carrier: CarrierId(4), attempt: 1 },
        Happened::Intermediate { receipt: ReceiptState::Enroute },
        Happened::Late { receipt: ReceiptState::Delivered },
    ] {
        let closed = world.happens(what);
        assert!(closed.attempt.is_none() && closed.doubt.is_none());
        assert_eq!(world.knows(), (true, false, None));
    }
}

/// A receipt of one part comes before the answers to the others.
#[test]
fn an_attempt_outlives_its_message_until_its_last_answer() {
    let taken = Happened::PartAccepted { part: 1, parts: 2 };
    let once = |world: &World| world.books.attempts.once_in_doubt().count();
    let mut world = World::new();
    assert!(!world.answered(1, Answer::Accepted(Default::default())));
    world.happens(taken);
    assert!(world.books.knows_part(AT, 1) && !world.books.knows_part(AT, 2));
    assert!(world.happens(UNDELIVERED).attempt.is_none());
    assert!(world.books.is_closed(AT) && world.knows().0);
    assert!(world.answered(2, Answer::Accepted(Default::default())));
    world.books.settle_ended(AT, Wall(3));
    assert_eq!((world.knows().0, once(&world)), (false, 0));

    // After a crash the other answer is not known.
    let mut world = World::new();
    world.happens(taken);
    world.happens(UNDELIVERED);
    world.books.settle_ended(AT, Wall(3));
    assert_eq!((world.knows().0, once(&world)), (false, 1));
}

#[test]
fn what_is_kept_of_parts_goes_with_the_last_word_about_them() {
    let is_known = |world: &World| world.books.attempts.progress.get(&AT).is_some();
    let of_two = |end: &[Happened]| {
        let mut world = World::new();
        world.takes_both();
        end.iter().for_each(|what| drop(world.happens(*what)));
        world
    };
    assert!(is_known(&of_two(&[SUBMITTED])));
    assert!(!is_known(&of_two(&[Happened::Submitted { parts: 2, awaits_receipt: false, coding: Coding::Gsm7 }])));
    assert!(!is_known(&of_two(&[Happened::Expired { error: None }])));
    let delivered = Happened::Delivered { error: None };
    let [one, two] = [1, 2].map(|part| Happened::PartDelivered { part });
    assert!(is_known(&of_two(&[SUBMITTED, one])));
    assert!(!is_known(&of_two(&[SUBMITTED, one, two, delivered])));
    let mut world = of_two(&[SUBMITTED, UNDELIVERED]);
    world.books.part_settled(AT, 1);
    assert!(is_known(&world) && world.books.is_closed(AT), "a receipt of the other is late");
    world.books.part_settled(AT, 2);
    assert!(!is_known(&world));
}

#[test]
fn what_no_receipt_came_for_hears_of_its_parts_too_late() {
    let mut world = World::new();
    world.takes_both();
    world.happens(SUBMITTED);
    world.happens(Happened::NoReceipt);
    assert!(world.books.is_closed(AT));
    let mut world = World::new();
    world.happens(Happened::InDoubt { lost: LOST });
    world.happens(Happened::Resolved { by: Resolution::OperatorSent });
    assert!(world.happens(Happened::NoReceipt).doubt.is_some(), "a receipt without an id is waited for no longer");
}

/// The message is in a list, or in the delay queue.
#[test]
fn what_waits_to_be_tried_again_and_has_its_receipt_is_not_sent_when_it_is_met() {
    let mut world = World::new();
    world.happens(Happened::Refused { error: busy(8) });
    assert!(world.books.tried.contains_key(&AT));
    world.happens(UNDELIVERED);
    assert!(!world.books.tried.contains_key(&AT));
    assert_eq!((world.books.pass_over(AT), world.books.pass_over(AT)), (Some(CLOSED), None));
    // It came back the first time after one part was taken, and there was no room to remember which part.
    let mut world = World::new();
    world.happens(Happened::PartAccepted { part: 1, parts: 2 });
    world.happens(RETURNED);
    assert_eq!((world.books.tried.contains_key(&AT), world.books.next_attempt(AT)), (true, 1));
    world.books.attempts.progress.remove(&AT);
    world.happens(UNDELIVERED);
    assert_eq!(world.books.pass_over(AT), Some(CLOSED));
    // It was rejected in answer to an attempt, so it is in no list.
    let mut world = World::new();
    world.happens(Happened::Rejected { error: busy(8) });
    assert_eq!(world.books.pass_over(AT), None);
}

#[test]
fn a_cancelled_message_keeps_its_place_until_it_is_passed_over() {
    let mut world = World::new();
    world.happens(RETURNED);
    world.happens(Happened::Cancelled { place_of: TenantId(3) });
    assert_eq!(world.books.cancelled.get(&AT), Some(&TenantId(3)));
}
