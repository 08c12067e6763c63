//! The shard over a store in memory, step by step: what it does while a batch is decided and not durable.
//!
//! Each test is a finding of the simulator, which needs many steps to come to such a moment.

use std::sync::Arc;

use crate::model::{
    CarrierError, CarrierId, Encoding, Frame, GroupId, Head, KeyPrint, Line, LinkId, MessageId, MessageState, Msisdn,
    Numbers, ReceiptState, Refusal, ReplyTo, RouteId, SetNumber, Tail, TenantId, Whose,
};
use crate::node::world::catalog;
use crate::queue::{Chunk, DueEntry, FifoName, InsertReason, ListKind, SlotRuns, Tick};
use crate::store::key::Key;
use crate::store::memory::{DroppedRanges, Drops, MemoryStore, Remains};
use crate::store::{Backend, Op, Quarantined, Reader};
use crate::traffic::{
    Answer, Bound, Grant, IfUnknown, NotWritten, Outcome, OutcomeBatch, ReceiptBatch, ReceiptIn, ReceiptToken, Span,
};

use super::*;

const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 0 };
const CONTENT: &[u8] = b"content";

/// The worlds of this file.
#[derive(Debug)]
struct Steps;

type Bench = crate::node::world::World<MemoryStore, Steps>;

impl Bench {
    fn new() -> Self {
        Self::start(MemoryStore::new(Drops::AtOnce), Options::default(), catalog(LINK, GroupId(1)), now())
    }

    /// Addresses of all messages that have left.
    fn left(&self) -> Vec<Address> {
        self.submits.iter().map(|submit| submit.address).collect()
    }

    fn submit(&mut self, key: Option<u128>) {
        let head = Head {
            to: Msisdn::from_number(491_511_000_000).unwrap_or_default(),
            tenant: TenantId(0),
            class: Class::Otp,
            encoding: Encoding::Auto,
            receipt: true,
            flash: false,
            parts: 1,
            route: RouteId(1),
            set: SetNumber::NONE,
            accepted_at: Wall(0),
            send_at: Wall(0),
            expires_at: now().wall.after_ms(60_000),
            content_at: 0,
            content_len: CONTENT.len() as u32,
        };
        let keys = key.map(|key| Line { index: 0, print: KeyPrint { key, content: 5 } }).into_iter().collect();
        let frame = Frame { heads: vec![head], keys, arena: CONTENT.to_vec(), ..Frame::default() };
        self.tell(ShardEvent::Ask(Ask::Submit(frame)));
    }

    /// A message that is durable.
    fn accepted(&mut self) -> MessageId {
        self.submit(None);
        self.settle();
        match self.replies.pop() {
            Some(Reply::Submitted(lines)) if matches!(lines[..], [LineResult::Accepted(_)]) => match lines[0] {
                LineResult::Accepted(id) => id,
                LineResult::Duplicate(_) | LineResult::Refused(_) => unreachable!("matched above"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn grant(&mut self, messages: u32) {
        self.grant_of(LINK, messages);
    }

    fn grant_of(&mut self, link: LinkId, messages: u32) {
        let grant = Grant { link, class: Class::Otp, messages, standing: true };
        self.tell(ShardEvent::Traffic(ToShard::Grant(grant)));
    }

    fn bound(&mut self, link: LinkId, is_bound: bool) {
        self.tell(ShardEvent::Traffic(ToShard::Bound(Bound { link, is_bound })));
    }

    fn outcome(&mut self, address: Address, answer: Answer) {
        self.outcome_of(LINK, address, answer);
    }

    fn outcome_of(&mut self, link: LinkId, address: Address, answer: Answer) {
        let outcome = Outcome::first(address, answer);
        let (group, arena) = (GroupId(1), b"77".to_vec());
        let batch = OutcomeBatch { link, group, outcomes: vec![outcome], arena };
        self.tell(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    }

    fn delivered(&mut self) {
        let receipt = ReceiptIn {
            token: ReceiptToken(1),
            if_unknown: IfUnknown::Park,
            recipient: 491_511_000_000,
            numbers: Numbers { source: Tail::of(491_511_000_000), destination: Tail::NONE },
            is_untyped: false,
            is_shared: false,
            is_asked: false,
            id: Span { at: 0, len: 2 },
            reference: None,
            state: ReceiptState::Delivered,
            error: CarrierError::default(),
            at: now().wall,
            text: Span::default(),
        };
        let batch = ReceiptBatch {
            link: LINK,
            group: GroupId(1),
            receipts: vec![receipt],
            arena: b"77".to_vec(),
            ..ReceiptBatch::default()
        };
        self.tell(ShardEvent::Traffic(ToShard::Receipts(batch)));
    }

    fn cancel(&mut self, id: MessageId) {
        self.tell(ShardEvent::Ask(Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(0), id }));
    }

    fn look_up(&mut self, id: MessageId) {
        self.tell(ShardEvent::Ask(Ask::Lookup {
            reply: ReplyTo::default(),
            whose: Whose::Of(TenantId(0)),
            ids: vec![id],
        }));
    }
}

fn now() -> Now {
    Now { mono: Mono(1_000_000_000), wall: Wall(1_795_238_512_000) }
}

#[test]
fn breaking_invariant_3_loses_a_message_or_has_it_twice() {
    let mut bench = Bench::new();
    let address = bench.accepted().address();
    let lane = Lane { class: Class::Otp, route: RouteId(1), tenant: TenantId(0), set: SetNumber::NONE };
    let number = |shard: &Shard| shard.check().expect_err("a breach").number;
    assert_eq!(bench.shard().check(), Ok(()));
    // It is taken from its list, and no place is recorded for it.
    let name = bench.shard_mut().pull.lanes.fresh(lane);
    let taken = bench.shard_mut().pull.lanes.take_from(name).expect("it waits");
    assert_eq!(number(bench.shard()), 3, "it is nowhere");
    // It comes back, and is put off as well.
    let chunk = Chunk { commit: 99, segment: taken.segment, runs: SlotRuns::one(taken.slot) };
    let shard = bench.shard_mut();
    shard.pull.lanes.append(name, 99, 1, vec![chunk]);
    assert_eq!(shard.check(), Ok(()));
    let entry = DueEntry { address, lane, reason: InsertReason::Retry };
    let tick = Tick::at_or_after(now().wall.after_ms(1_000));
    let place = shard.pull.scheduled.place(tick, tick);
    shard.pull.scheduled.insert(place, 99, &[DueEntry { reason: InsertReason::DoubtWait, ..entry }]);
    assert_eq!(shard.check(), Ok(()), "the wait of an older doubt does not count as a place");
    shard.pull.scheduled.insert(place, 100, &[entry]);
    assert_eq!(number(shard), 3, "it is in two places");
}

#[test]
fn no_attempt_leaves_for_a_link_before_it_is_durable() {
    let mut bench = Bench::new();
    let address = bench.accepted().address();
    bench.grant(1);
    let attempts = bench.batch.as_ref().map(|batch| batch.turn.attempts.iter().map(|note| note.address).collect());
    assert_eq!((attempts, bench.left()), (Some(vec![address.packed()]), vec![]), "it is recorded, and waits");
    bench.sync();
    assert_eq!(bench.left(), [address]);
}

/// Dropped records of a list may come back after a crash. A list that holds nothing is in no checkpoint.
#[test]
fn a_list_that_was_empty_does_not_read_what_came_back() {
    let mut bench = Bench::new();
    let first = bench.accepted();
    bench.grant(1);
    bench.settle();
    bench.outcome(first.address(), Answer::Accepted(Span { at: 0, len: 2 }));
    bench.settle();
    let key = Key::Ready(FifoName { kind: ListKind::Fresh, ..FifoName::FIRST }, 1);
    let found = |bench: &Bench| bench.store.reader().get(key.space(), &key.bytes()).expect("read");
    let dropped = found(&bench).expect("it is there").to_vec();
    bench.checkpoint();
    assert_eq!((found(&bench), bench.shard().pull.lanes.iter().count()), (None, 0));
    // The disk has not forgotten the dropped records for good, so a crash brings them back.
    let remains = Remains { dropped: DroppedRanges::ComeBack, ..Remains::default() };
    bench.store = bench.store.crash(&remains).expect("sound");
    assert_eq!(found(&bench).as_deref(), Some(&dropped[..]));
    bench.restart(Options::default());
    let second = bench.accepted();
    bench.restart(Options::default());
    bench.grant(9);
    bench.settle();
    assert_eq!(bench.left(), [first.address(), second.address()]);
    bench.checkpoint();
    assert_eq!(found(&bench), None, "and it is dropped again");
}

/// F18: from when a checkpoint is written until it is durable, its events are in neither place that a reader looks at.
#[test]
fn history_is_seen_while_its_checkpoint_is_not_durable() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    bench.grant(1);
    bench.settle();
    bench.outcome(id.address(), Answer::Accepted(Span { at: 0, len: 2 }));
    bench.delivered();
    bench.settle();
    bench.tell(ShardEvent::Checkpoint);
    bench.read();
    assert!(bench.batch.as_ref().is_some_and(|batch| batch.checkpoint.is_some()), "a checkpoint is under way");
    bench.look_up(id);
    bench.read();
    bench.settle();
    match &bench.replies[..] {
        [Reply::Found(found)] => match &found[..] {
            [Lookup::Found(found)] => assert_eq!(found.view.state, MessageState::Delivered),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// What retention took may still be on disk, or come back with a crash, and then without its history.
#[test]
fn what_retention_took_is_gone_though_the_disk_still_has_it() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    bench.shard_mut().turn.first_segment = id.address().segment() + 1;
    bench.look_up(id);
    bench.settle();
    bench.cancel(id);
    bench.settle();
    match &bench.replies[..] {
        [Reply::Found(found), Reply::Cancelled(Cancelled::Gone)] => assert_eq!(found[..], [Lookup::Gone]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_not_cancelled_in_a_batch_that_is_not_durable_and_again() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    bench.submit(None);
    assert!(bench.batch.is_some(), "the disk is busy");
    bench.cancel(id);
    bench.settle();
    // The link takes the message's place in the list: nothing in memory names the message any more.
    bench.grant(1);
    bench.cancel(id);
    bench.settle();
    let cancelled: Vec<_> = bench.replies.iter().filter(|reply| matches!(reply, Reply::Cancelled(_))).collect();
    assert_eq!(cancelled, [&Reply::Cancelled(Cancelled::Done), &Reply::Cancelled(Cancelled::TooLate)]);
    assert!(!bench.left().contains(&id.address()));
}

#[test]
fn a_cancel_waits_for_the_batch_in_which_the_message_may_have_ended() {
    let mut bench = Bench::new();
    let id = bench.accepted();
    bench.cancel(id);
    bench.read();
    assert!(bench.batch.is_some(), "cancelled, and not durable");
    bench.grant(1);
    bench.cancel(id);
    assert!(bench.reads.is_empty(), "the store does not know of the first cancellation yet");
    bench.settle();
    assert_eq!(bench.replies, [Reply::Cancelled(Cancelled::Done), Reply::Cancelled(Cancelled::TooLate)]);
}

#[test]
fn what_was_taken_before_is_said_before_any_refusal() {
    let mut bench = Bench::new();
    bench.submit(Some(9));
    bench.settle();
    bench.tell(ShardEvent::Drain);
    bench.submit(Some(9));
    bench.submit(Some(10));
    bench.settle();
    let lines: Vec<_> = bench
        .replies
        .iter()
        .map(|reply| match reply {
            Reply::Submitted(lines) => lines[0],
            other => panic!("{other:?}"),
        })
        .collect();
    let [LineResult::Accepted(id), again, new] = lines[..] else { panic!("{lines:?}") };
    assert_eq!((again, new), (LineResult::Duplicate(id), LineResult::Refused(Refusal::Draining)));
}

/// Seed 64337: the disk was slow, the link went down and up again in the meantime, and a later message overtook one that came
/// back.
#[test]
fn followers_of_what_comes_back_do_not_overtake_it() {
    let mut bench = Bench::new();
    let (first, second) = (bench.accepted(), bench.accepted());
    bench.grant(1);
    bench.settle();
    assert_eq!(bench.left(), [first.address()]);
    bench.grant(1);
    assert!(bench.batch.is_some(), "the second one's attempt is recorded, and not durable");
    bench.outcome(first.address(), Answer::NotWritten(NotWritten::LinkDown));
    bench.settle();
    assert_eq!((&bench.left()[1..], bench.unused), (&[][..], 1), "its place goes back");
    bench.grant(2);
    bench.settle();
    assert_eq!(bench.left()[1..], [first.address(), second.address()]);
}

/// A damaged segment costs its own messages only: messages behind it in the same lane are sent.
#[test]
fn a_damaged_segment_costs_its_own_messages_only() {
    let mut bench = Bench::new();
    let (lost, kept) = (bench.accepted(), bench.accepted());
    assert_ne!(lost.address().segment(), kept.address().segment());
    let key = Key::Segment(lost.address().segment()).bytes();
    let value = b"no segment".to_vec();
    bench.store.commit(vec![Op::Put { space: crate::store::Space::Segment, key, value }]).expect("kept");
    // As after a start: nothing is in memory.
    bench.restart(Options::default());
    bench.grant(5);
    bench.settle();
    assert_eq!(bench.left(), [kept.address()]);
    let quarantined = bench.answerer.take_quarantined();
    let [Quarantined { segment, why, bytes }] = &quarantined[..] else { panic!("{quarantined:?}") };
    assert_eq!((*segment, bytes.as_deref()), (lost.address().segment(), Some(&b"no segment"[..])));
    assert!(why.contains("segment: shorter than its header"), "{why}");
    assert_eq!(bench.shard().status().counters.finals[5], 1, "it is dead");
    // A client that asks for it is told that it cannot be read; pages of records leave it out.
    bench.alarms = Some(Vec::new());
    bench.replies.clear();
    bench.look_up(lost);
    bench.settle();
    assert_eq!(bench.replies, [Reply::Unreadable]);
    assert_eq!(bench.answerer.take_quarantined(), [], "it is told once");
    let records =
        Ask::Records { reply: ReplyTo::default(), whose: Whose::Of(TenantId(0)), from: Address::default(), limit: 10 };
    bench.tell(ShardEvent::Ask(records));
    bench.settle();
    match bench.replies.pop() {
        Some(Reply::Records { found, .. }) => assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [kept]),
        other => panic!("{other:?}"),
    }
}

/// Found with a carrier that permits one bind for an account: half of the shards waited for ever.
#[test]
fn while_the_own_link_has_no_bind_anothers_is_used_when_nothing_is_out_at_the_own() {
    let [own, other] = [1, 2].map(|core| LinkId { core, ..LINK });
    let mut catalog = Arc::unwrap_or_clone(catalog(LINK, GroupId(1)));
    (catalog.carriers[0].home, catalog.shard_cores) = (None, vec![own.core]);
    let mut bench = Bench::start(MemoryStore::new(Drops::AtOnce), Options::default(), Arc::new(catalog), now());
    bench.bound(own, true);
    let [first, second] = [(); 2].map(|()| bench.accepted().address());
    bench.grant_of(own, 1);
    bench.settle();
    assert_eq!(bench.left(), [first]);
    bench.bound(other, true);
    bench.grant_of(other, 2);
    assert_eq!((bench.left(), bench.unused), (vec![first], 2), "its own has a bind");
    bench.bound(own, false);
    bench.grant_of(other, 2);
    bench.settle();
    assert_eq!((bench.left(), bench.unused), (vec![first], 4), "the first may come back, and leaves before the second");
    bench.outcome_of(own, first, Answer::NotWritten(NotWritten::LinkDown));
    bench.settle();
    bench.grant_of(other, 2);
    bench.settle();
    assert_eq!((bench.left(), bench.unused), (vec![first, first, second], 4));
    bench.bound(own, true);
    bench.accepted();
    bench.grant_of(own, 1);
    bench.settle();
    assert_eq!(bench.unused, 5, "and back again, when those are over");
    for address in [first, second] {
        bench.outcome_of(other, address, Answer::Unencodable);
        bench.settle();
    }
    bench.grant_of(own, 1);
    bench.settle();
    assert_eq!((bench.left().len(), bench.unused), (4, 5));
}
