//! One shard over a store in memory, driven step by step with its clock: what happens to messages that expire while no link takes
//! them.

use std::sync::Arc;

use crate::delivery::EventKind;
use crate::model::{
    Address, CarrierError, CarrierId, Class, Frame, GroupId, Head, LinkId, MessageId, MessageState, Mono, Msisdn, Now,
    Numbers, ReceiptState, Refusal, ReplyTo, RouteId, Tail, TenantId, Wall, Whose,
};
use crate::routing::{Condition, Route, RouteTable, Way};
use crate::store::backend::{Backend, Reader, RunFamily};
use crate::store::fold::ReaderAt;
use crate::store::memory::{DroppedRanges, Drops, MemoryStore, Remains};
use crate::traffic::{
    Answer, Grant, IfUnknown, NotWritten, Outcome, OutcomeBatch, ReceiptBatch, ReceiptIn, ReceiptToken, Span, ToShard,
    Unanswered,
};

use super::*;

const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 0 };
const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 24 * 3_600 * SECOND_MS;
/// After this time everything must have followed from a message's end.
const PATIENCE_MS: u64 = 6 * SECOND_MS;
/// Index of `Expired` in [`EventKind::FINALS`].
const EXPIRED: usize = 2;

/// The worlds of this file.
#[derive(Debug)]
struct Expiry;

type World = crate::node::world::World<MemoryStore, Expiry>;

fn catalog() -> Arc<Catalog> {
    let way = Way { carrier: LINK.carrier, weight: 1 };
    let route = |id, ways| Route { id: RouteId(id), name: format!("r{id}"), when: Condition::default(), ways };
    // The second route has no carrier.
    let routes = vec![route(1, vec![way]), route(2, Vec::new())];
    let carrier = CatalogCarrier {
        id: LINK.carrier,
        name: "north".into(),
        group: GroupId(1),
        home: Some(0),
        ..CatalogCarrier::default()
    };
    Arc::new(Catalog {
        version: 1,
        routes: RouteTable { routes },
        carriers: vec![carrier],
        shard_cores: vec![0],
        ..Catalog::default()
    })
}

fn world(options: Options) -> World {
    let now = Now { mono: Mono(0), wall: Wall(1_795_238_512_000) };
    World::start(MemoryStore::new(Drops::AtOnce), options, catalog(), now)
}

/// How one message differs from the others; the rest of its head is the same for all.
#[derive(Clone, Copy)]
struct Wanted {
    class: Class,
    route: u16,
    send_in_ms: u64,
    expires_in_ms: u64,
}

const OTP: Wanted = Wanted { class: Class::Otp, route: 1, send_in_ms: 0, expires_in_ms: 3 * SECOND_MS };

impl World {
    /// The process dies and starts again.
    fn crash(self, downtime_ms: u64) -> World {
        let World { store, options, now, .. } = self;
        let now = Now { mono: Mono(0), wall: now.wall.after_ms(downtime_ms) };
        let remains = Remains { dropped: DroppedRanges::StayDropped, ..Remains::default() };
        World::start(store.crash(&remains).expect("a disk"), options, catalog(), now)
    }

    fn submit(&mut self, wanted: &[Wanted]) -> Vec<LineResult> {
        let (wall, content) = (self.now.wall, crate::model::Content::default());
        let mut arena = Vec::new();
        content.encode(&mut arena);
        let head = |wanted: &Wanted| Head {
            to: Msisdn::from_number(4_915_112_345_678).expect("a number"),
            tenant: TenantId(0),
            class: wanted.class,
            receipt: true,
            parts: 1,
            route: RouteId(wanted.route),
            send_at: if wanted.send_in_ms > 0 { wall.after_ms(wanted.send_in_ms) } else { Wall(0) },
            expires_at: wall.after_ms(wanted.send_in_ms + wanted.expires_in_ms),
            content_len: arena.len() as u32,
            ..Head::default()
        };
        let heads = wanted.iter().map(head).collect();
        let frame = Frame { heads, arena: arena.clone(), ..Frame::default() };
        match self.ask(Ask::Submit(frame)) {
            Reply::Submitted(results) => results,
            other => panic!("{other:?}"),
        }
    }

    fn accepted(&mut self, wanted: &[Wanted]) -> Vec<MessageId> {
        let id = |result: LineResult| match result {
            LineResult::Accepted(id) => id,
            other => panic!("{other:?}"),
        };
        self.submit(wanted).into_iter().map(id).collect()
    }

    fn found(&mut self, id: MessageId) -> FoundMessage {
        match self.ask(Ask::Lookup { reply: ReplyTo::default(), whose: Whose::Of(TenantId(0)), ids: vec![id] }) {
            Reply::Found(found) => match found.into_iter().next() {
                Some(Lookup::Found(found)) => *found,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn grant(&mut self, class: Class, messages: u32) {
        let grant = Grant { link: LINK, class, messages, standing: class.is_urgent() };
        self.handle(ShardEvent::Traffic(ToShard::Grant(grant)));
    }

    fn outcome(&mut self, address: Address, attempt: u8, answer: Answer) {
        let outcome = Outcome { attempt, ..Outcome::first(address, answer) };
        let (group, arena) = (GroupId(1), b"77".to_vec());
        let batch = OutcomeBatch { link: LINK, group, outcomes: vec![outcome], arena };
        self.handle(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    }

    /// The carrier takes the message under that id.
    fn taken(&mut self, address: Address, id: &str) {
        let answer = Answer::Accepted(Span { at: 0, len: id.len() as u16 });
        let outcome = Outcome::first(address, answer);
        let batch = OutcomeBatch { link: LINK, group: GroupId(1), outcomes: vec![outcome], arena: id.into() };
        self.handle(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    }

    fn receipt(&mut self, id: &str, state: ReceiptState) {
        let receipt = ReceiptIn {
            token: ReceiptToken(1),
            if_unknown: IfUnknown::Park,
            recipient: 4_915_112_345_678,
            numbers: Numbers { source: Tail::of(4_915_112_345_678), destination: Tail::NONE },
            is_untyped: false,
            is_shared: false,
            is_asked: false,
            id: Span { at: 0, len: id.len() as u16 },
            state,
            error: CarrierError::default(),
            reference: None,
            at: self.now.wall,
            text: Span::default(),
        };
        let (receipts, arena) = (vec![receipt], id.into());
        let batch = ReceiptBatch { link: LINK, group: GroupId(1), receipts, handsets: Vec::new(), arena };
        self.handle(ShardEvent::Traffic(ToShard::Receipts(batch)));
    }

    /// Checks that the message ended as expired, once, by an event of its own.
    fn check_expired(&mut self, id: MessageId) {
        let found = self.found(id);
        let ends = found.view.timeline.iter().filter(|entry| entry.what.is_final());
        let ends: Vec<_> = ends.map(|entry| entry.kind()).collect();
        assert_eq!((found.view.state, &ends[..]), (MessageState::Expired, &[EventKind::Expired][..]), "{found:?}");
        assert_eq!(found.view.reason, Some(crate::model::DeadLetterReason::ExpiredHere));
    }

    /// Checks that nothing waits, nothing is counted as waiting, and so many have expired.
    fn check_freed(&self, expired: u64) {
        let status = self.shard().status();
        assert_eq!((status.waiting, status.scheduled, status.oldest), ([0; Class::COUNT], 0, None), "{status:?}");
        assert_eq!(status.counters.finals[EXPIRED], expired, "{status:?}");
        assert_eq!(self.shard().lanes().count(), 0);
    }
}

/// Field case 67: messages that had expired while their carrier was away kept their places, so every tenant was refused.
#[test]
fn what_expires_before_a_link_takes_it_frees_its_place() {
    let mut world = world(Options { queue_messages_max: 30, ..Options::default() });
    let ids = world.accepted(&[OTP; 30]);
    assert_eq!(world.submit(&[OTP]), [LineResult::Refused(Refusal::QueueFull)]);
    world.pass(OTP.expires_in_ms + PATIENCE_MS);
    world.check_freed(30);
    world.check_expired(ids[0]);
    world.check_expired(ids[29]);
    assert!(matches!(world.submit(&[OTP])[..], [LineResult::Accepted(_)]), "the places are free");
}

#[test]
fn so_it_does_on_a_route_without_a_carrier_and_after_its_segment_was_folded() {
    let mut world = world(Options::default());
    let wanted = Wanted { route: 2, class: Class::Marketing, expires_in_ms: DAY_MS, ..OTP };
    let ids = world.accepted(&[wanted; 3]);
    world.checkpoint();
    world.pass(DAY_MS + PATIENCE_MS);
    world.check_freed(3);
    ids.into_iter().for_each(|id| world.check_expired(id));
}

/// The alarm is in memory or in the delay queue when the process dies, and the expiry is before or after that.
#[test]
fn so_it_does_over_a_crash() {
    for (checkpoints, uptime_ms, downtime_ms) in [
        ([false, false], 0, 9),
        ([true, false], 0, 9),
        ([false, true], 0, 9),
        ([true, true], 9, 9),
        ([true, false], 9, 0),
    ]
    .map(|(at, up, down)| (at, up * SECOND_MS, down * SECOND_MS))
    {
        let mut world = world(Options::default());
        let ids = world.accepted(&[OTP, OTP, Wanted { expires_in_ms: 60 * SECOND_MS, ..OTP }]);
        if checkpoints[0] {
            world.checkpoint();
        }
        world.pass(uptime_ms);
        if checkpoints[1] {
            world.checkpoint();
        }
        let before = world.shard().status().counters.finals[EXPIRED];
        let mut world = world.crash(downtime_ms);
        world.pass(PATIENCE_MS);
        let status = world.shard().status();
        assert_eq!((status.waiting[Class::Otp.index()], before + status.counters.finals[EXPIRED]), (1, 2));
        world.check_expired(ids[0]);
        let mut world = world.crash(60 * SECOND_MS);
        world.pass(PATIENCE_MS);
        world.check_freed(1);
        world.check_expired(ids[1]);
        world.check_expired(ids[2]);
        world.grant(Class::Otp, 9);
        assert!(world.submits.is_empty(), "nothing of it leaves");
        assert_eq!(world.answerer.take_quarantined(), []);
    }
}

/// A message that has not expired is before and behind those that have.
#[test]
fn what_is_still_wanted_between_them_leaves_in_order() {
    let mut world = world(Options::default());
    let long = Wanted { expires_in_ms: DAY_MS, ..OTP };
    let ids = world.accepted(&[long, OTP, OTP, long, OTP]);
    world.pass(OTP.expires_in_ms + PATIENCE_MS);
    let status = world.shard().status();
    assert_eq!((status.waiting[Class::Otp.index()], status.counters.finals[EXPIRED]), (2, 3));
    let mut world = world.crash(SECOND_MS);
    assert_eq!(world.shard().status().waiting[Class::Otp.index()], 2);
    world.grant(Class::Otp, 9);
    assert_eq!(world.submits.iter().map(|one| one.address).collect::<Vec<_>>(), [ids[0].address(), ids[3].address()]);
    world.check_freed(0);
}

#[test]
fn what_is_held_in_doubt_ends_with_its_time_and_what_waits_for_a_receipt_after_its_wait() {
    use crate::delivery::{DoubtPolicy, Resolution};
    let mut options = Options { in_doubt_wait_ms: 10 * SECOND_MS, ..Options::default() };
    options.doubt = [DoubtPolicy::Resend, DoubtPolicy::Hold, DoubtPolicy::Resend, DoubtPolicy::Resend];
    let mut world = world(options);
    let held = world.accepted(&[OTP])[0];
    let waiting = world.accepted(&[Wanted { class: Class::Emergency, ..OTP }])[0];
    world.grant(Class::Otp, 1);
    world.grant(Class::Emergency, 1);
    for id in [held, waiting] {
        world.outcome(id.address(), 1, Answer::Unanswered(Unanswered::ConnectionLost));
    }
    world.pass(OTP.expires_in_ms + PATIENCE_MS);
    world.check_expired(held);
    assert_eq!(world.found(waiting).view.state, MessageState::InDoubt, "a receipt may still settle it");
    assert_eq!(world.shard().status().counters.resolved[Resolution::Expired.index()], 1);
    world.pass(10 * SECOND_MS);
    world.check_expired(waiting);
    world.check_freed(2);
    assert_eq!((world.shard().status().doubts, world.submits.len()), (0, 2));
}

#[test]
fn what_is_at_a_link_ends_when_the_link_gives_it_back() {
    let mut world = world(Options::default());
    let ids = world.accepted(&[OTP; 2]);
    world.grant(Class::Otp, 2);
    world.pass(OTP.expires_in_ms + PATIENCE_MS);
    let status = world.shard().status();
    assert_eq!((status.open, status.counters.finals[EXPIRED]), (2, 0), "their outcomes are not known yet");
    world.outcome(ids[0].address(), 1, Answer::NotWritten(NotWritten::LinkDown));
    world.outcome(ids[1].address(), 1, Answer::Accepted(Span { at: 0, len: 2 }));
    world.pass(PATIENCE_MS);
    world.check_expired(ids[0]);
    assert_eq!(world.found(ids[1]).view.state, MessageState::Submitted);
    world.check_freed(1);
}

/// Messages of a segment under visit may be taken, answered or cancelled before the reader thread has answered.
#[test]
fn what_happens_while_the_store_is_asked_counts() {
    let mut world = world(Options::default());
    let ids = world.accepted(&[OTP; 3]);
    world.now = world.now.after_ns(OTP.expires_in_ms * 1_000_000);
    // As when a clock that goes back lets a link take a message that the visit finds to be expired.
    world.turn();
    let request = world.reads.pop_front().expect("the visit");
    let found = world.answerer.answer(request);
    world.now = Now { wall: Wall(world.now.wall.0 - 1), ..world.now };
    world.grant(Class::Otp, 1);
    assert_eq!(world.submits.len(), 1);
    world.outcome(ids[0].address(), 1, Answer::Accepted(Span { at: 0, len: 2 }));
    world.handle(ShardEvent::Found(found));
    assert_eq!(world.found(ids[0]).view.state, MessageState::Submitted);
    assert_eq!(world.shard().status().counters.finals[EXPIRED], 2);
    // An ended message is not sent, though by this clock it has a millisecond left.
    let mut world = world.crash(0);
    world.grant(Class::Otp, 9);
    assert!(world.submits.is_empty());
    world.pass(PATIENCE_MS);
    world.check_expired(ids[1]);
    world.check_freed(0);
}

/// A neighbour of core A1: retention takes a segment whose message has expired, while its entry is still in a list.
#[test]
fn an_entry_whose_segment_is_gone_is_passed_over_without_a_word() {
    let mut world = world(Options { retention_ms: 60 * SECOND_MS, ..Options::default() });
    let gone = world.accepted(&[Wanted { send_in_ms: 2 * SECOND_MS, ..OTP }])[0];
    let lasting = world.accepted(&[Wanted { send_in_ms: SECOND_MS, expires_in_ms: DAY_MS, ..OTP }])[0];
    world.pass(10 * SECOND_MS);
    world.check_expired(gone);
    assert_eq!(world.shard().pull.lanes.entries_total(), 2, "it is behind one that lasts");
    for _ in 0..3 {
        world.pass(61 * SECOND_MS);
        world.checkpoint();
    }
    assert_eq!(world.shard().turn.first_segment, lasting.address().segment());
    let mut world = world.crash(SECOND_MS);
    assert_eq!(world.shard().status().waiting[Class::Otp.index()], 1);
    world.grant(Class::Otp, 9);
    assert_eq!(world.submits.iter().map(|one| one.address).collect::<Vec<_>>(), [lasting.address()]);
    world.check_freed(0);
    assert_eq!((world.answerer.take_quarantined(), world.shard().pull.lanes.entries_total()), (Vec::new(), 0));
}

#[test]
fn what_is_cancelled_frees_its_place_at_once() {
    let mut world = world(Options { queue_messages_max: 2, ..Options::default() });
    let ids = world.accepted(&[Wanted { expires_in_ms: DAY_MS, ..OTP }; 2]);
    let reply = world.ask(Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(0), id: ids[1] });
    assert_eq!(reply, Reply::Cancelled(Cancelled::Done));
    let next = world.accepted(&[OTP])[0];
    let mut world = world.crash(0);
    assert_eq!(world.shard().status().waiting[Class::Otp.index()], 2);
    world.grant(Class::Otp, 9);
    let sent: Vec<_> = world.submits.iter().map(|one| one.address).collect();
    assert_eq!(sent, [ids[0].address(), next.address()]);
    world.check_freed(0);
}

/// More than one visit takes, and more than a list holds in memory; at its head are only ended messages.
#[test]
fn many_end_within_seconds_and_their_lists_shrink_by_themselves() {
    let mut world = world(Options::default());
    let frame: Vec<_> = (0..1_000).map(|n| Wanted { class: Class::ALL[n % 4], ..OTP }).collect();
    for _ in 0..40 {
        world.submit(&frame);
    }
    world.pass(OTP.expires_in_ms + PATIENCE_MS);
    world.check_freed(40_000);
    let entries: u64 = world.shard().pull.lanes.entries_total();
    assert_eq!((entries, world.shard().pull.lanes.ended().count()), (0, 0), "nothing is left of them");
    world.accepted(&[OTP]);
    world.grant(Class::Otp, 1);
    assert_eq!(world.submits.len(), 1);
}

#[test]
fn behind_what_lasts_entries_are_bounded_as_well() {
    let mut world = world(Options { queue_messages_max: 4, ..Options::default() });
    world.accepted(&[Wanted { expires_in_ms: DAY_MS, ..OTP }]);
    let mut taken = 0;
    for _ in 0..40 {
        taken += world.submit(&[OTP; 3]).iter().filter(|line| matches!(line, LineResult::Accepted(_))).count();
        world.pass(OTP.expires_in_ms + PATIENCE_MS);
    }
    assert_eq!(world.shard().status().waiting[Class::Otp.index()], 1);
    assert!((60..=66).contains(&taken), "sixteen entries for each place: {taken}");
    assert_eq!(world.submit(&[OTP]), [LineResult::Refused(Refusal::QueueFull)]);
    world.grant(Class::Otp, 1);
    assert!(matches!(world.submit(&[OTP])[..], [LineResult::Accepted(_)]), "they went with what was before them");
}

#[test]
fn a_segment_of_which_all_is_settled_leaves_no_alarm() {
    let mut world = world(Options::default());
    let ids = world.accepted(&[Wanted { expires_in_ms: DAY_MS, ..OTP }; 3]);
    let lasting = world.accepted(&[Wanted { class: Class::Marketing, expires_in_ms: DAY_MS, ..OTP }])[0];
    for id in ids {
        let reply = world.ask(Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(0), id });
        assert_eq!(reply, Reply::Cancelled(Cancelled::Done));
    }
    world.checkpoint();
    world.checkpoint();
    let status = world.shard().status();
    assert_eq!((status.waiting[Class::Marketing.index()], status.scheduled), (1, 0), "an alarm is no message");
    assert_eq!((world.shard().alarms.is_empty(), world.shard().pull.scheduled.alarms()), (true, 1));
    world.pass(DAY_MS + PATIENCE_MS);
    world.check_expired(lasting);
    world.checkpoint();
    assert_eq!((world.shard().alarms.is_empty(), world.shard().pull.scheduled.alarms()), (true, 0));
}

/// Field cases 03 and 69: messages that never became final stopped the feed of settled records, and were dropped with their
/// segment.
#[test]
fn whose_receipt_does_not_come_ends_when_the_wait_is_over() {
    let wait_ms = 4 * DAY_MS;
    let mut world = world(Options { receipt_wait_ms: wait_ms, retention_ms: DAY_MS, ..Options::default() });
    let wanted = Wanted { expires_in_ms: DAY_MS, ..OTP };
    let ids = world.accepted(&[wanted, wanted, Wanted { expires_in_ms: SECOND_MS, ..OTP }]);
    world.grant(Class::Otp, 3);
    for id in &ids {
        world.outcome(id.address(), 1, Answer::Accepted(Span { at: 0, len: 2 }));
    }
    (0..3).for_each(|_| world.checkpoint());
    let mut world = world.crash(0);
    let state = |world: &mut World, id| {
        let view = world.found(id).view;
        (view.state, view.is_final(), view.timeline.last().map(|entry| entry.kind()))
    };
    world.pass(wait_ms + PATIENCE_MS);
    let (waits, over) = ((false, Some(EventKind::Submitted)), (true, Some(EventKind::NoReceipt)));
    let submitted = |(is_final, last)| (MessageState::Submitted, is_final, last);
    assert_eq!(state(&mut world, ids[2]), submitted(over), "counted from its submit, since it expired soon after");
    assert_eq!(state(&mut world, ids[0]), submitted(waits), "it expired a day later");
    world.checkpoint();
    let mut world = world.crash(0);
    world.pass(DAY_MS);
    assert_eq!(state(&mut world, ids[0]), submitted(over));
    assert_eq!(world.shard().status().counters.finals, [0, 0, 0, 0, 0, 0, 2], "and one before the crash");
    world.pass(DAY_MS + PATIENCE_MS);
    (0..3).for_each(|_| world.checkpoint());
    assert_eq!(world.shard().turn.first_segment, ids[0].address().segment() + 1, "history goes by retention");
    assert!(world.shard().alarms.is_empty());
}

/// Field case 69: records that were dropped before a billing reader had read them were lost without notice.
#[test]
fn what_a_reader_has_not_read_at_its_retention_is_counted_and_told() {
    let mut world = world(Options { retention_ms: DAY_MS, ..Options::default() });
    let first = world.accepted(&[OTP; 3]);
    world.pass(OTP.expires_in_ms + PATIENCE_MS);
    world.checkpoint();
    let second = world.accepted(&[OTP; 2]);
    world.pass(OTP.expires_in_ms + PATIENCE_MS);
    let reader = |name: &str, tenant, at| ReaderAt { tenant: TenantId(tenant), name: name.to_owned(), at };
    let readers = vec![
        reader("slow", 0, first[1].address()),
        reader("quick", 0, Address::new(second[1].address().segment() + 1, 0)),
        reader("of another", 9, Address::default()),
    ];
    world.handle(ShardEvent::Readers(readers));
    world.alarms = Some(Vec::new());
    world.pass(DAY_MS);
    (0..3).for_each(|_| world.checkpoint());
    assert_eq!(world.shard().turn.first_segment, second[1].address().segment() + 1, "history goes by retention");
    assert_eq!(world.shard().status().counters.records_unread, 4);
    let told = world.alarms.take().expect("gathered");
    let line = "shard 0: 2 records were dropped at their retention, unread by slow";
    assert_eq!(told, [line, line], "for each segment, when it is dropped");
}

/// Judged by the part's own note: the message is not looked up.
#[test]
fn a_receipt_after_the_wait_is_late_and_one_before_it_counts() {
    let wait_ms = 60 * SECOND_MS;
    let options = || Options { receipt_wait_ms: wait_ms, receipts_max: 4, ..Options::default() };
    for crashes in [false, true] {
        let mut world = world(options());
        let ids = world.accepted(&[OTP; 8]);
        world.grant(Class::Otp, 8);
        for (id, text) in ids.iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
            world.taken(id.address(), text);
        }
        let mut world = if crashes { world.crash(0) } else { world };
        world.pass(wait_ms);
        world.receipt("a", ReceiptState::Delivered);
        world.receipt("g", ReceiptState::Delivered);
        world.pass(OTP.expires_in_ms + PATIENCE_MS);
        world.receipt("b", ReceiptState::Delivered);
        world.receipt("h", ReceiptState::Delivered);
        let mut ends = |at: usize| {
            let view = world.found(ids[at]).view;
            let kinds: Vec<_> = view.timeline.iter().map(|entry| entry.kind()).skip(2).collect();
            (view.state, kinds)
        };
        let delivered = (MessageState::Delivered, vec![EventKind::Delivered]);
        let late = (MessageState::Submitted, vec![EventKind::NoReceipt, EventKind::Late]);
        assert_eq!([0, 6, 1, 7].map(&mut ends), [delivered.clone(), delivered, late.clone(), late]);
        // The runs of those are deleted as well.
        (0..2).for_each(|_| world.checkpoint());
        assert_eq!(world.store.reader().runs(RunFamily::Receipt).len(), 0);
    }
}

/// Found by the simulator: the message was at its link when the clock jumped ahead, and a list passed it over after the clock had
/// gone back; its alarm was set by the fast clock.
#[test]
fn what_was_over_by_a_clock_that_went_back_ends_at_once() {
    let mut world = world(Options::default());
    let ids = world.accepted(&[Wanted { expires_in_ms: DAY_MS, ..OTP }; 2]);
    world.grant(Class::Otp, 1);
    let forth = world.now.wall;
    world.now = Now { wall: forth.after_ms(2 * DAY_MS), ..world.now };
    world.checkpoint();
    world.pass(PATIENCE_MS);
    world.check_expired(ids[1]);
    world.now = Now { wall: forth, ..world.now };
    world.outcome(ids[0].address(), 1, Answer::NotWritten(NotWritten::LinkDown));
    world.grant(Class::Otp, 1);
    assert_eq!(world.submits.len(), 1, "it has expired, once and for all");
    world.pass(PATIENCE_MS);
    world.check_expired(ids[0]);
    world.check_freed(2);
}

/// Found by the simulator: its alarm was set for a second later, by the clock that was ahead.
#[test]
fn what_comes_back_after_the_clock_went_back_expires_in_time() {
    let mut world = world(Options::default());
    let ids = world.accepted(&[Wanted { expires_in_ms: DAY_MS, ..OTP }]);
    world.grant(Class::Otp, 1);
    let forth = world.now.wall;
    world.now = Now { wall: forth.after_ms(2 * DAY_MS), ..world.now };
    world.checkpoint();
    world.pass(PATIENCE_MS);
    world.now = Now { wall: forth, ..world.now };
    world.outcome(ids[0].address(), 1, Answer::NotWritten(NotWritten::LinkDown));
    assert_eq!(world.found(ids[0]).view.state, MessageState::Queued);
    world.pass(DAY_MS + PATIENCE_MS);
    world.check_expired(ids[0]);
    world.check_freed(1);
}

/// Core A10: a message that is put off after the clock jumped ahead and back waits for its own time, not until the clock is as
/// far ahead again; and one that was put off before keeps its own time.
#[test]
fn a_clock_that_went_forth_and_back_delays_nothing() {
    let mut world = world(Options::default());
    let due_in = |ms| Wanted { send_in_ms: ms, expires_in_ms: 9 * DAY_MS + ms, ..OTP };
    let early = world.accepted(&[due_in(DAY_MS), due_in(5 * DAY_MS)]);
    let forth = world.now.wall;
    world.now = Now { wall: forth.after_ms(DAY_MS), ..world.now };
    world.checkpoint();
    world.pass(1_000);
    world.now = Now { wall: forth.after_ms(1_000), ..world.now };
    let late = world.accepted(&[due_in(3_000)]);
    let states = |world: &mut World| [early[0], late[0], early[1]].map(|id| world.found(id).view.state);
    let (waits, ready) = (MessageState::Scheduled, MessageState::Queued);
    world.pass(2_900);
    assert_eq!(states(&mut world), [ready, waits, waits]);
    world.pass(200);
    assert_eq!(states(&mut world), [ready, ready, waits]);
    let mut world = world.crash(1_000);
    let last = world.accepted(&[due_in(2_000)]);
    world.checkpoint();
    world.pass(2_100);
    assert_eq!(world.found(last[0]).view.state, ready, "a restart knows both eras");
    world.pass(5 * DAY_MS);
    assert_eq!(world.found(early[1]).view.state, ready);
    assert_eq!(world.shard().pull.scheduled.messages(), 0);
}

/// Core A13: a lost connection brings its whole window at once.
#[test]
fn outcomes_of_a_lost_connection_are_taken_in_over_several_turns() {
    let mut world = world(Options::default());
    let wanted = Wanted { class: Class::Transactional, expires_in_ms: DAY_MS, ..OTP };
    let ids: Vec<_> = (0..10).flat_map(|_| world.accepted(&[wanted; 1_000])).collect();
    world.grant(Class::Transactional, 10_000);
    assert_eq!(world.submits.len(), 10_000);
    let answer = Answer::Unanswered(Unanswered::ConnectionLost);
    let outcome = |id: &MessageId| Outcome::first(id.address(), answer);
    let outcomes = ids.iter().map(outcome).collect();
    let batch = OutcomeBatch { link: LINK, group: GroupId(1), outcomes, arena: Vec::new() };
    world.tell(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    let mut turns = Vec::new();
    while let Some(batch) = &world.batch {
        turns.push(batch.turn.events.len());
        world.sync();
    }
    assert_eq!(turns, [4_096, 4_096, 1_808]);
    assert_eq!(world.shard().status().doubts, 10_000);
}

/// Core A12: lists that hold a message or two of each of many segments hold these messages and not the segments.
#[test]
fn lists_hold_what_waits_and_not_the_segments_around_it() {
    let mut world = world(Options::default());
    let wanted =
        |n: usize| Wanted { class: if n == 500 { Class::Marketing } else { Class::Otp }, expires_in_ms: DAY_MS, ..OTP };
    let frame: Vec<_> = (0..1_000).map(wanted).collect();
    for _ in 0..50 {
        world.submit(&frame);
        world.grant(Class::Otp, 999);
    }
    assert_eq!(world.shard().status().waiting[Class::Marketing.index()], 50);
    let mut world = world.crash(0);
    world.grant(Class::Emergency, 1);
    let held = world.shard().pull.lanes.window_bytes();
    assert!(held < 50 * 1_000, "{held} bytes for 50 messages");
}

/// Found by the simulator: a message that a link passed over before its alarm was due was not counted until then.
#[test]
fn what_is_passed_over_counts_until_it_is_ended() {
    let mut world = world(Options::default());
    let id = world.accepted(&[OTP])[0];
    world.now = world.now.after_ns((OTP.expires_in_ms + 1) * 1_000_000);
    // Its alarm is due, and before the store has answered, a link takes.
    let grant = Grant { link: LINK, class: Class::Otp, messages: 1, standing: true };
    world.tell(ShardEvent::Traffic(ToShard::Grant(grant)));
    assert_eq!((world.submits.len(), world.shard().pull.lanes.entries_total()), (0, 0));
    assert_eq!(world.shard().status().waiting[Class::Otp.index()], 1, "it has not been ended yet");
    world.pass(PATIENCE_MS);
    world.check_expired(id);
    world.check_freed(1);
}
