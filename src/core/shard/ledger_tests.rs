//! One shard over a store in memory, driven step by step: messages in doubt, from their beginning to their end.

use crate::delivery::samples::busy;
use crate::delivery::{DoubtFilter, DoubtPolicy, EventKind, Happened, Lost, LostBind, Resolution};
use crate::model::{
    Address, CarrierError, CarrierId, Class, Content, DeadLetterReason, Frame, GroupId, Head, LinkId, MessageId,
    MessageState, Mono, Msisdn, Now, Numbers, ReceiptState, ReplyTo, RouteId, ShardId, Tail, TenantId, Wall, Whose,
};
use crate::node::world::catalog;
use crate::store::backend::RunFamily;
use crate::store::memory::{DroppedRanges, Drops, MemoryStore, Remains};
use crate::store::record::{NoticeRecord, decode};
use crate::store::{Backend, Found, Reader, Space, StoreError};
use crate::traffic::{
    Answer, Grant, IfUnknown, NotWritten, Outcome, OutcomeBatch, ReceiptBatch, ReceiptIn, ReceiptToken, Span, Submit,
    ToShard, Unanswered, Verdict,
};

use super::*;
use receipts::receipt_event;

#[path = "asked_tests.rs"]
mod asked;
#[path = "bounds_tests.rs"]
mod bounds;
#[path = "cancel_tests.rs"]
mod cancelled;
#[path = "doubts_tests.rs"]
mod doubts;
#[path = "receipts_tests.rs"]
mod receipts;
#[path = "replay_tests.rs"]
mod replay;
#[path = "whose_tests.rs"]
mod whose;

const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 2 };
const WAIT_MS: u64 = 10_000;

/// The worlds of this file.
#[derive(Debug)]
struct Ledger;

type World = crate::node::world::World<MemoryStore, Ledger>;

/// Policies by class: emergency resend, otp drop, transactional hold, marketing resend.
fn options() -> Options {
    use DoubtPolicy::{Drop, Hold, Resend};
    Options { doubt: [Resend, Drop, Hold, Resend], in_doubt_wait_ms: WAIT_MS, ..Options::default() }
}

fn start(store: MemoryStore, options: Options, now: Now) -> World {
    World::start(store, options, catalog(LINK, GroupId(3)), now)
}

fn world() -> World {
    let now = Now { mono: Mono(0), wall: Wall(1_000_000) };
    start(MemoryStore::new(Drops::AtOnce), options(), now)
}

impl World {
    fn accepted(&mut self, class: Class, to: &str, parts: u8) -> MessageId {
        self.accepted_until(Wall(u64::MAX), class, to, parts)
    }

    fn accepted_until(&mut self, expires_at: Wall, class: Class, to: &str, parts: u8) -> MessageId {
        let head = Head {
            to: number(to),
            tenant: TenantId(5),
            class,
            receipt: true,
            parts,
            route: RouteId(1),
            expires_at,
            ..Head::default()
        };
        let frame = Frame { heads: vec![head], ..Frame::default() };
        let Reply::Submitted(results) = self.ask(Ask::Submit(frame)) else { panic!("another answer") };
        let LineResult::Accepted(id) = results[0] else { panic!("{results:?}") };
        id
    }

    /// Accepts a message and hands it to the link.
    fn sent(&mut self, class: Class, to: &str, parts: u8) -> (MessageId, Submit) {
        (self.accepted(class, to, parts), self.pulled(class))
    }

    /// Asks, and answers that the store cannot be read.
    fn fails(&mut self, event: ShardEvent) {
        self.tell(event);
        let request = Box::new(self.reads.pop_front().expect("the store is asked"));
        let error = StoreError::Damaged("flipped".to_owned());
        self.alarms = Some(Vec::new());
        self.tell(ShardEvent::Found(Found::Failed { request, error }));
        assert_eq!(self.alarms.take().map(|alarms| alarms.len()), Some(1));
        self.settle();
    }

    fn pulled(&mut self, class: Class) -> Submit {
        self.granted(class).expect("a submit")
    }

    fn granted(&mut self, class: Class) -> Option<Submit> {
        self.handle(ShardEvent::Traffic(ToShard::Grant(Grant { link: LINK, class, messages: 1, standing: false })));
        self.submits.pop()
    }

    /// The last digits of the number that the message was sent from, as its link tells them.
    pub(super) fn sender_of(submit: &Submit) -> Tail {
        let (from, bytes) = (submit.head.content_at as usize, submit.head.content_len as usize);
        let content = submit.arena.get(from..from + bytes).and_then(|bytes| Content::decode(bytes).ok());
        content.map_or(Tail::NONE, |content| Tail::of_written(content.from.as_bytes()))
    }

    fn answered(&mut self, submit: &Submit, part: u8, answer: Answer) {
        let parts = submit.head.parts;
        let outcome = Outcome {
            attempt: submit.attempt,
            part,
            parts,
            bind: 4,
            sender: Self::sender_of(submit),
            ..Outcome::first(submit.address, answer)
        };
        let arena = b"id-1".to_vec();
        let batch = OutcomeBatch { link: LINK, group: GroupId(3), outcomes: vec![outcome], arena };
        self.handle(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    }

    fn lost(&mut self, submit: &Submit) {
        for part in 1..=submit.head.parts {
            self.answered(submit, part, Answer::Unanswered(Unanswered::ConnectionLost));
        }
    }

    fn receipt(&mut self, from: &str, id: &str, state: ReceiptState, reference: Option<u16>) {
        self.handle(receipt_event(self.now.wall, (from, id), state, reference));
    }

    /// The state, and what happened after the first doubt.
    fn story(&mut self, id: MessageId) -> (MessageState, Vec<Happened>) {
        let Reply::Found(found) =
            self.ask(Ask::Lookup { reply: ReplyTo::default(), whose: Whose::Of(TenantId(5)), ids: vec![id] })
        else {
            panic!("another answer")
        };
        let Lookup::Found(found) = &found[0] else { panic!("{found:?}") };
        let happened = found.view.timeline.iter().map(|entry| entry.what);
        (found.view.state, happened.skip_while(|what| what.kind() != EventKind::InDoubt).skip(1).collect())
    }

    fn listed(&mut self, filter: DoubtFilter) -> Vec<FoundDoubt> {
        let from = Address::default();
        match self.ask(Ask::Doubts { reply: ReplyTo::default(), filter, from, limit: 10 }) {
            Reply::Doubts { found, next: None } => found,
            other => panic!("{other:?}"),
        }
    }

    fn decide(&mut self, id: MessageId, action: DoubtAction) -> Resolved {
        match self.ask(Ask::Resolve { reply: ReplyTo::default(), ids: vec![id], action }) {
            Reply::Resolved(resolved) => resolved[0],
            other => panic!("{other:?}"),
        }
    }

    fn outbox(&self) -> Vec<NoticeRecord> {
        let mut records = Vec::new();
        let visit = &mut |_: &[u8], value: &[u8]| {
            records.push(decode(value).expect("a record"));
            std::ops::ControlFlow::Continue(())
        };
        self.store.reader().range(Space::Outbox, &[0], &[255; 13], 100, visit).expect("read");
        records
    }

    /// Kills the process, and starts it with these options.
    fn crashed(self, options: Options) -> Self {
        let store =
            self.store.crash(&Remains { dropped: DroppedRanges::StayDropped, ..Remains::default() }).expect("a disk");
        start(store, options, self.now)
    }

    fn resolved(&self, how: Resolution) -> u64 {
        self.shard().status().counters.resolved[how.index()]
    }
}

fn number(text: &str) -> Msisdn {
    Msisdn::from_digits(text.as_bytes()).expect("a number")
}

const ANNA: &str = "4915112345678";
const BERT: &str = "4915112345679";

/// One message is held, and one waits to be sent again.
fn two_doubts() -> (World, [Address; 2]) {
    let mut world = world();
    let addresses =
        [(Class::Transactional, "4915111111111"), (Class::Marketing, "4915111111112")].map(|(class, to)| {
            let (id, submit) = world.sent(class, to, 1);
            world.lost(&submit);
            id.address()
        });
    assert_eq!((world.shard().status().doubts, world.shard().check()), (2, Ok(())));
    (world, addresses)
}

fn breach(world: &World) -> u8 {
    world.shard().check().expect_err("a breach").number
}

#[test]
fn breaking_invariant_1_lets_an_entry_go_without_a_word_or_with_two() {
    let (mut world, [held, _]) = two_doubts();
    world.shard_mut().ledger.books.attempts.doubts.remove(&held);
    assert_eq!(breach(&world), 1);
    let (mut world, [held, _]) = two_doubts();
    let shard = world.shard_mut();
    shard.turn.counters.resolved[Resolution::Receipt.index()] += 1;
    shard.ledger.resend(&mut shard.turn, held, Resolution::OperatorResend);
    assert_eq!(breach(&world), 1);
}

#[test]
fn breaking_invariant_2_gives_up_without_a_notice() {
    let (mut world, [held, _]) = two_doubts();
    let shard = world.shard_mut();
    shard.ledger.give_up_doubt(&mut shard.turn, held, Resolution::OperatorDrop);
    assert_eq!(shard.check(), Ok(()));
    shard.turn.gathering.batch().outbox.clear();
    assert_eq!(breach(&world), 2);
}

#[test]
fn breaking_invariant_4_forgets_when_a_doubt_is_decided() {
    let (mut world, [held, waiting]) = two_doubts();
    let decided_at = world.shard().ledger.books.attempts.doubts[&waiting].decided_at;
    let mut set = |address: Address, at: Wall| {
        let ledger = &mut world.shard_mut().ledger;
        ledger.books.put_off_doubt(address, at);
        let found = world.shard().check().map_err(|broken| broken.number);
        world.shard_mut().ledger.books.put_off_doubt(address, if address == held { InDoubt::HELD } else { decided_at });
        found
    };
    assert_eq!(set(waiting, InDoubt::HELD), Err(4), "its class does not hold it");
    assert_eq!(set(held, decided_at), Err(4), "its class holds it");
    assert_eq!(set(waiting, decided_at.after_ms(1_000)), Err(4), "it is woken too early, and never again");
    world.shard_mut().pull.scheduled = Default::default();
    assert_eq!(breach(&world), 4, "nothing wakes it");
}

#[test]
fn each_class_is_treated_as_it_wants() {
    let mut world = world();
    let (dropped, submit) = world.sent(Class::Otp, ANNA, 1);
    world.lost(&submit);
    let lost_at = world.now.wall;
    world.pass(WAIT_MS - 1);
    assert_eq!(world.story(dropped), (MessageState::InDoubt, vec![]));
    world.pass(11);
    let end = Happened::Dead { reason: DeadLetterReason::InDoubtDropped, by: Some(Resolution::PolicyDrop) };
    assert_eq!(world.story(dropped), (MessageState::Dead, vec![end]));
    let lost = Lost {
        reason: Unanswered::ConnectionLost,
        bind: Some(LostBind { core: 2, number: 4 }),
        held: false,
        grouped: false,
    };
    let given_up_at = world.outbox()[0].wall;
    assert!((lost_at.0 + WAIT_MS..=lost_at.0 + WAIT_MS + 10).contains(&given_up_at), "{given_up_at}");
    let notice = NoticeRecord {
        wall: given_up_at,
        address: dropped.address().packed(),
        tenant: 5,
        recipient: number(ANNA).number(),
        class: Class::Otp as u8,
        carrier: 1,
        attempt: 1,
        end,
        lost,
    };
    assert_eq!(world.outbox(), [notice]);

    let (held, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.lost(&submit);
    let (resent, submit) = world.sent(Class::Marketing, BERT, 1);
    world.lost(&submit);
    assert_eq!(world.shard().status().doubts, 2);
    world.pass(WAIT_MS - 1);
    assert_eq!(world.story(resent), (MessageState::InDoubt, vec![]));
    world.pass(11);
    let again = vec![Happened::Resent { by: Resolution::PolicyResend }];
    assert_eq!(world.story(resent), (MessageState::Queued, again));
    assert_eq!(world.pulled(Class::Marketing).attempt, 2);
    world.pass(1_000 * WAIT_MS);
    assert_eq!(world.story(held), (MessageState::InDoubt, vec![]));
    assert_eq!((world.resolved(Resolution::PolicyDrop), world.resolved(Resolution::PolicyResend)), (1, 1));
}

/// Field P4: its receipt came two seconds after the connection was lost, and the message was dead by then.
#[test]
fn what_is_to_be_given_up_waits_for_its_receipt_first() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Otp, ANNA, 1);
    world.lost(&submit);
    world.pass(WAIT_MS / 2);
    world.receipt(ANNA, "77", ReceiptState::Delivered, None);
    assert_eq!(world.story(id).0, MessageState::Delivered);
    world.pass(WAIT_MS);
    assert_eq!((world.story(id).0, world.resolved(Resolution::PolicyDrop)), (MessageState::Delivered, 0));
    assert!(world.outbox().is_empty());
}

#[test]
fn the_ledger_tells_where_why_and_since_when_and_survives_a_crash() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Transactional, ANNA, 3);
    world.answered(&submit, 1, Answer::Accepted(Span { at: 0, len: 4 }));
    world.pass(5);
    for part in [2, 3] {
        world.answered(&submit, part, Answer::Unanswered(Unanswered::ResponseTimeout));
    }
    let (open, _) = world.sent(Class::Marketing, BERT, 1);
    let check = |world: &mut World| {
        let found = world.listed(DoubtFilter { class: Some(Class::Transactional), ..DoubtFilter::default() });
        let entry = &found[0];
        assert_eq!((found.len(), entry.message.id, entry.parts_open, entry.policy), (1, id, 2, DoubtPolicy::Hold));
        let doubt = entry.doubt;
        assert_eq!((doubt.carrier, doubt.lane.tenant, doubt.attempt), (CarrierId(1), TenantId(5), 1));
        assert_eq!((doubt.sent_at, doubt.since), (Wall(1_000_000), Wall(1_000_005)));
        let bind = Some(LostBind { core: 2, number: 4 });
        assert_eq!(doubt.lost, Lost { reason: Unanswered::ResponseTimeout, bind, held: true, grouped: false });
        doubt
    };
    let before = check(&mut world);
    let mut world = world.crashed(options());
    assert_eq!(check(&mut world), before);
    let crashed = world.listed(DoubtFilter { reason: Some(Unanswered::Crashed), ..DoubtFilter::default() });
    assert_eq!((crashed.len(), crashed[0].message.id, crashed[0].doubt.lost.bind), (1, open, None));
    world.checkpoint();
    let mut world = world.crashed(options());
    assert_eq!(check(&mut world), before);
    let none = DoubtFilter { tenant: Some(TenantId(6)), ..DoubtFilter::default() };
    assert_eq!(world.listed(none), []);
    assert_eq!(world.listed(DoubtFilter { since: Some(world.now.wall), ..DoubtFilter::default() }).len(), 2);
}

#[test]
fn pages_follow_each_other() {
    let mut world = world();
    let ids: Vec<MessageId> = (0..3)
        .map(|_| {
            let (id, submit) = world.sent(Class::Transactional, ANNA, 1);
            world.lost(&submit);
            id
        })
        .collect();
    let (mut from, mut found) = (Address::default(), Vec::new());
    for _ in 0..3 {
        let ask = Ask::Doubts { reply: ReplyTo::default(), filter: DoubtFilter::default(), from, limit: 2 };
        let Reply::Doubts { found: page, next } = world.ask(ask) else { panic!("another answer") };
        found.extend(page.iter().map(|entry| entry.message.id));
        let Some(next) = next else { break };
        from = next;
    }
    assert_eq!(found, ids);
}

/// With a filter that fits nothing, a question would look at the whole ledger at once.
#[test]
fn a_page_looks_at_so_many_entries_and_goes_on() {
    let mut world = world();
    let (_, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.lost(&submit);
    let doubt = *world.shard().ledger.books.attempts.ledger().next().expect("one").1;
    let entries = ledger::Ledger::LOOKED_AT_MAX as u64 + 1;
    world
        .shard_mut()
        .ledger
        .books
        .attempts
        .doubts
        .extend((0..entries).map(|number| (Address::new(1_000 + number, 0), doubt)));
    let filter = DoubtFilter { tenant: Some(TenantId(6)), ..DoubtFilter::default() };
    let mut from = Address::default();
    for expected in [Some(Address::new(1_000 + entries - 2, 0)), None] {
        let reply = world.ask(Ask::Doubts { reply: ReplyTo::default(), filter, from, limit: 2 });
        assert_eq!(reply, Reply::Doubts { found: Vec::new(), next: expected });
        from = expected.unwrap_or_default();
    }
}

#[test]
fn the_operator_decides_once() {
    let mut world = world();
    let ids: Vec<MessageId> = (0..3)
        .map(|_| {
            let (id, submit) = world.sent(Class::Transactional, ANNA, 1);
            world.lost(&submit);
            id
        })
        .collect();
    let strange = MessageId::new(Wall(1), world.options.node, ShardId(0), ids[0].address());
    assert_eq!(world.decide(strange, DoubtAction::Drop), Resolved::Unknown);
    for (id, action) in ids.iter().zip([DoubtAction::Resend, DoubtAction::Drop, DoubtAction::Sent]) {
        assert_eq!(world.decide(*id, action), Resolved::Done);
        assert_eq!(world.decide(*id, action), Resolved::NotInDoubt);
    }
    let dropped = Happened::Dead { reason: DeadLetterReason::InDoubtDropped, by: Some(Resolution::OperatorDrop) };
    let expected = [
        (MessageState::Queued, vec![Happened::Resent { by: Resolution::OperatorResend }]),
        (MessageState::Dead, vec![dropped]),
        (MessageState::Submitted, vec![Happened::Resolved { by: Resolution::OperatorSent }]),
    ];
    for round in 0..3 {
        for (id, expected) in ids.iter().zip(&expected) {
            assert_eq!(&world.story(*id), expected, "round {round}");
            assert_eq!(world.decide(*id, DoubtAction::Resend), Resolved::NotInDoubt);
        }
        if round == 1 {
            world.checkpoint();
        }
        world = world.crashed(options());
    }
    assert_eq!(world.outbox().len(), 1);
    assert_eq!(world.pulled(Class::Transactional).attempt, 2);
}

#[test]
fn a_late_answer_settles_it() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Marketing, ANNA, 1);
    world.answered(&submit, 1, Answer::Unanswered(Unanswered::ResponseTimeout));
    world.answered(&submit, 1, Answer::Accepted(Span { at: 0, len: 4 }));
    let late = Happened::Resolved { by: Resolution::LateAnswer };
    assert_eq!(world.story(id), (MessageState::Submitted, vec![late]));
    world.pass(2 * WAIT_MS);
    assert_eq!(world.granted(Class::Marketing).map(|submit| submit.attempt), None, "it is not sent again");
    let mut world = world.crashed(options());
    world.receipt(ANNA, "id-1", ReceiptState::Delivered, None);
    assert_eq!(world.story(id), (MessageState::Delivered, vec![late, Happened::Delivered { error: None }]));

    let (id, submit) = world.sent(Class::Marketing, BERT, 1);
    world.answered(&submit, 1, Answer::Unanswered(Unanswered::ResponseTimeout));
    world.answered(&submit, 1, Answer::Refused(busy(8)));
    assert_eq!(world.story(id), (MessageState::Scheduled, vec![Happened::Refused { error: busy(8) }]));
    let mut world = world.crashed(options());
    assert_eq!((world.shard().status().doubts, world.story(id).0), (0, MessageState::Scheduled));
    world.pass(600_000);
    assert_eq!(world.pulled(Class::Marketing).attempt, 2);
}

#[test]
fn late_answers_to_parts_leave_the_rest_in_doubt() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Marketing, ANNA, 2);
    world.lost(&submit);
    world.answered(&submit, 2, Answer::Accepted(Span { at: 0, len: 4 }));
    assert_eq!(world.story(id), (MessageState::InDoubt, vec![Happened::PartAccepted { part: 2, parts: 2 }]));
    assert_eq!(world.listed(DoubtFilter::default())[0].parts_open, 1);
    let mut world = world.crashed(options());
    world.pass(WAIT_MS + 10);
    let again = world.pulled(Class::Marketing);
    let answered = again.answered.as_ref().expect("one part was taken");
    assert_eq!((answered.contains(1), answered.contains(2), again.reference), (false, true, submit.reference));
}

/// Found by the simulator: one part was refused, and the message waits to be tried again; then a receipt says that another part
/// failed.
#[test]
fn who_cancels_what_ends_meanwhile_is_too_late() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Transactional, ANNA, 2);
    world.answered(&submit, 1, Answer::Accepted(Span { at: 0, len: 4 }));
    world.answered(&submit, 2, Answer::Refused(busy(8)));
    let cancel = Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(5), id };
    world.tell(ShardEvent::Ask(cancel));
    let found = world.answerer.answer(world.reads.pop_front().expect("the store is asked"));
    world.receipt(ANNA, "id-1", ReceiptState::Undeliverable, None);
    world.handle(ShardEvent::Found(found));
    assert!(matches!(world.replies.pop(), Some(Reply::Cancelled(Cancelled::TooLate))));
    assert_eq!(world.story(id).0, MessageState::Undelivered);
}

/// Found by the simulator: the same, but the message has expired when a link meets it. It then counted as waiting for ever, since
/// the alarm that should end what was passed over found it ended.
#[test]
fn what_was_tried_and_is_met_after_its_time_ends_there() {
    is_met_after_its_time(Answer::Refused(busy(8)));
}

/// No attempt of it counts, but one part of it was taken.
#[test]
fn what_came_back_in_part_and_is_met_after_its_time_ends_there() {
    is_met_after_its_time(Answer::NotWritten(NotWritten::ConnectionLost));
}

fn is_met_after_its_time(answer_of_the_second_part: Answer) {
    let mut world = world();
    let expires_at = world.now.wall.after_ms(3_600_000);
    let id = world.accepted_until(expires_at, Class::Transactional, ANNA, 2);
    let submit = world.pulled(Class::Transactional);
    world.answered(&submit, 1, Answer::Accepted(Span { at: 0, len: 4 }));
    world.answered(&submit, 2, answer_of_the_second_part);
    world.pass(600_000);
    let waiting = |world: &World| world.shard().status().waiting[Class::Transactional.index()];
    assert_eq!((waiting(&world), world.story(id).0), (1, MessageState::Queued));
    // Its alarm is due, and before the store has answered, a link takes.
    world.now = world.now.after_ns(3_600_000 * 1_000_000);
    let grant = Grant { link: LINK, class: Class::Transactional, messages: 1, standing: false };
    world.tell(ShardEvent::Traffic(ToShard::Grant(grant)));
    let receipt = receipt_event(world.now.wall, (ANNA, "id-1"), ReceiptState::Undeliverable, None);
    world.tell(receipt);
    world.pass(60_000);
    assert_eq!((world.submits.len(), waiting(&world), world.story(id).0), (0, 0, MessageState::Expired));
    assert_eq!(world.shard().status().counters.receipts_late, 1);
}

/// Core A6: a reload has changed how its carrier's texts are encoded.
#[test]
fn what_is_cut_otherwise_goes_whole_under_another_reference() {
    for (cut, parts) in [(3, 2), (3, 4)] {
        let mut world = world();
        let id = world.accepted(Class::Transactional, ANNA, cut);
        let first = world.pulled(Class::Transactional);
        for part in [1, 2] {
            world.answered(&first, part, Answer::Accepted(Span { at: 0, len: 4 }));
        }
        world.answered(&first, 3, Answer::Refused(busy(8)));
        world.pass(600_000);
        let mut again = world.pulled(Class::Transactional);
        assert_eq!((again.cut, again.reference), (cut, first.reference));
        again.head.parts = parts;
        for part in 1..=parts {
            world.answered(&again, part, Answer::NotWritten(NotWritten::CutChanged));
        }
        assert_eq!(world.story(id).0, MessageState::Queued);
        let whole = world.pulled(Class::Transactional);
        assert!(whole.answered.is_none() && whole.cut == 0 && whole.reference != first.reference);
    }
}

/// Core A2: its carrier was away for longer than receipts are waited for.
#[test]
fn what_was_taken_in_part_goes_on_where_it_was_however_long_that_takes() {
    let mut world = world();
    let expires_at = world.now.wall.after_ms(14 * 24 * 3_600_000);
    world.accepted_until(expires_at, Class::Transactional, ANNA, 2);
    let first = world.pulled(Class::Transactional);
    world.answered(&first, 1, Answer::Accepted(Span { at: 0, len: 4 }));
    world.answered(&first, 2, Answer::Refused(busy(8)));
    world.pass(2 * world.options.receipt_wait_ms);
    (0..2).for_each(|_| world.checkpoint());
    let again = world.pulled(Class::Transactional);
    assert_eq!(again.reference, first.reference);
    assert!(again.answered.is_some_and(|answered| answered.contains(1) && !answered.contains(2)));
}

/// Without an answer the link would stop reading from its carrier, and no later cancellation would be answered.
#[test]
fn a_store_that_cannot_be_read_leaves_no_request_waiting() {
    let now = Now { mono: Mono(0), wall: Wall(1_000_000) };
    let mut world = start(MemoryStore::new(Drops::AtOnce), Options { receipts_max: 2, ..options() }, now);
    for to in [ANNA, BERT] {
        let (_, submit) = world.sent(Class::Transactional, to, 1);
        world.answered(&submit, 1, Answer::Accepted(Span { at: 0, len: 4 }));
    }
    let receipt = receipt_event(world.now.wall, (BERT, "in-a-run"), ReceiptState::Delivered, None);
    world.fails(receipt);
    assert_eq!(world.shard().status().orphans, 1, "it is parked");

    let id = world.accepted(Class::Marketing, BERT, 1);
    let cancel = || Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(5), id };
    world.fails(ShardEvent::Ask(cancel()));
    assert!(matches!(world.replies.pop(), Some(Reply::Unreadable)));
    assert!(matches!(world.ask(cancel()), Reply::Cancelled(Cancelled::Done)));
}

#[test]
fn a_receipt_settles_the_only_one_that_it_can_be_about() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.lost(&submit);
    // Not final: it proves that the carrier has the message, and makes its id known.
    world.receipt(ANNA, "77", ReceiptState::Accepted, None);
    let resolved = Happened::Resolved { by: Resolution::Receipt };
    let on_the_way = Happened::Intermediate { receipt: ReceiptState::Accepted };
    assert_eq!(world.story(id), (MessageState::Submitted, vec![resolved, on_the_way]));
    let mut world = world.crashed(options());
    world.receipt(ANNA, "77", ReceiptState::Delivered, None);
    assert_eq!(world.story(id).0, MessageState::Delivered);

    let (first, one) = world.sent(Class::Transactional, BERT, 1);
    let (second, two) = world.sent(Class::Transactional, BERT, 1);
    world.lost(&one);
    world.lost(&two);
    world.receipt(BERT, "78", ReceiptState::Delivered, None);
    assert_eq!([first, second].map(|id| world.story(id).0), [MessageState::InDoubt; 2], "it could be about either");
    assert_eq!(world.shard().status().orphans, 1);
}

#[test]
fn a_receipt_that_outran_the_loss_settles_it() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Otp, ANNA, 1);
    world.receipt(ANNA, "9", ReceiptState::Delivered, None);
    assert_eq!(world.shard().status().orphans, 1);
    world.lost(&submit);
    assert_eq!(world.story(id).0, MessageState::Delivered, "it is not given up");
    assert_eq!((world.shard().status().orphans, world.outbox().len()), (0, 0));

    let (id, _) = world.sent(Class::Transactional, BERT, 1);
    world.receipt(BERT, "10", ReceiptState::Undeliverable, None);
    let mut world = world.crashed(options());
    assert_eq!((world.story(id).0, world.shard().status().orphans), (MessageState::Undelivered, 0));
    let world = world.crashed(options());
    assert_eq!((world.shard().status().orphans, world.shard().status().doubts), (0, 0));
}

#[test]
fn a_reference_tells_messages_and_parts_apart() {
    use crate::delivery::doubt::part_reference;
    let mut world = world();
    let (first, one) = world.sent(Class::Transactional, ANNA, 1);
    let (second, two) = world.sent(Class::Transactional, ANNA, 2);
    world.lost(&one);
    world.lost(&two);
    let reference = |submit: &Submit, part| Some(part_reference(submit.address, submit.attempt, part));
    world.receipt(ANNA, "1", ReceiptState::Delivered, reference(&two, 2));
    assert_eq!(world.story(second).0, MessageState::InDoubt);
    assert_eq!(world.listed(DoubtFilter::default()).len(), 2);
    world.receipt(ANNA, "2", ReceiptState::Delivered, reference(&two, 1));
    assert_eq!(world.story(second).0, MessageState::Delivered);
    assert_eq!(world.story(first).0, MessageState::InDoubt);
    world.receipt(ANNA, "", ReceiptState::Expired, reference(&one, 1));
    assert_eq!(world.story(first).0, MessageState::Expired);
    assert_eq!(world.resolved(Resolution::Reference), 2);
}

#[test]
fn what_the_operator_vouched_for_still_gets_its_receipt() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.lost(&submit);
    assert_eq!(world.decide(id, DoubtAction::Sent), Resolved::Done);
    world.checkpoint();
    let mut world = world.crashed(options());
    assert_eq!((world.story(id).0, world.shard().status().doubts), (MessageState::Submitted, 0));
    world.receipt(ANNA, "5", ReceiptState::Delivered, None);
    assert_eq!(world.story(id).0, MessageState::Delivered);
    assert_eq!(
        (world.resolved(Resolution::OperatorSent), world.resolved(Resolution::Receipt)),
        (0, 0),
        "it was counted before"
    );
}
