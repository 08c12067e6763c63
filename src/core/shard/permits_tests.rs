//! One shard over a store in memory, with limits: what is sent, what waits, and what a start and a reload know of it.

use std::sync::Arc;

use crate::limit::{LimitTable, Of, Over, Per, Rule, Span, Value, When};
use crate::model::{
    CarrierId, Content, DeadLetterReason, Frame, GroupId, Head, LimitId, LinkId, Mono, Msisdn, Now, Refusal, ReplyTo,
    RouteId, SenderId, SetNumber, TenantId, Whose,
};
use crate::node::world;
use crate::routing::Way;
use crate::store::memory::{DroppedRanges, Drops, MemoryStore, Remains};
use crate::traffic::{Answer, Bound, Grant, NotWritten, Outcome, OutcomeBatch, ToShard};

use super::*;

const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 0 };
const SECOND_MS: u64 = 1_000;
const CLASS: Class = Class::Transactional;

/// The worlds of this file.
#[derive(Debug)]
struct Limited;

type World = world::World<MemoryStore, Limited>;

fn rule(id: u16, per: Per, of: Of, amount: u64) -> Rule {
    let (when, span) = (When::default(), Span::Sliding(10 * SECOND_MS));
    Rule { id: LimitId(id), name: id.to_string(), when, per, of, amount, span, over: Over::Wait }
}

fn catalog(version: u64, rules: &[Rule]) -> Arc<Catalog> {
    let limits = Arc::new(LimitTable { rules: rules.to_vec() });
    Arc::new(Catalog { version, limits, ..Catalog::clone(&world::catalog(LINK, GroupId(1))) })
}

fn world(rules: &[Rule]) -> World {
    let now = Now { mono: Mono(1_000_000_000), wall: Wall(1_795_238_512_000) };
    let mut world = World::start(MemoryStore::new(Drops::AtOnce), Options::default(), catalog(1, rules), now);
    world.bind();
    world
}

impl World {
    fn bind(&mut self) {
        self.handle(ShardEvent::Traffic(ToShard::Bound(Bound { link: LINK, is_bound: true })));
    }

    fn accepted(&mut self, messages: usize, tags: &str, parts: u8) -> Vec<LineResult> {
        let (mut arena, wall) = (Vec::new(), self.now.wall);
        Content { from: SenderId::parse("ACME").expect("a sender"), tags, ..Content::default() }.encode(&mut arena);
        let head = Head {
            to: Msisdn::from_number(4_915_112_345_678).expect("a number"),
            class: CLASS,
            parts,
            route: RouteId(1),
            expires_at: wall.after_ms(3_600 * SECOND_MS),
            content_len: arena.len() as u32,
            ..Head::default()
        };
        match self.ask(Ask::Submit(Frame { heads: vec![head; messages], arena, ..Frame::default() })) {
            Reply::Submitted(results) => results,
            other => panic!("{other:?}"),
        }
    }

    /// The link has places for this many messages; those that leave for it.
    fn grant(&mut self, messages: u32) -> Vec<(Address, u8)> {
        self.grant_by(LINK, messages)
    }

    fn grant_by(&mut self, link: LinkId, messages: u32) -> Vec<(Address, u8)> {
        self.handle(ShardEvent::Traffic(ToShard::Grant(Grant { link, class: CLASS, messages, standing: false })));
        std::mem::take(&mut self.submits).into_iter().map(|submit| (submit.address, submit.attempt)).collect()
    }

    fn outcomes(&mut self, of: &[(Address, u8)], parts: u8, answer: Answer) {
        self.outcomes_by(LINK, of, parts, answer);
    }

    fn outcomes_by(&mut self, link: LinkId, of: &[(Address, u8)], parts: u8, answer: Answer) {
        let is_unsent = matches!(answer, Answer::NotWritten(_));
        let written_at = if is_unsent { Mono(0) } else { self.now.mono };
        let of_part =
            |address, attempt, part| Outcome { attempt, part, parts, written_at, ..Outcome::first(address, answer) };
        let all = |&(address, attempt)| (1..=parts).map(move |part| of_part(address, attempt, part));
        let outcomes = of.iter().flat_map(all).collect();
        let batch = OutcomeBatch { link, group: GroupId(1), outcomes, arena: Vec::new() };
        self.handle(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    }

    fn taken(&mut self, of: &[(Address, u8)], parts: u8) {
        self.outcomes(of, parts, Answer::Accepted(crate::traffic::Span::default()));
    }

    fn limits(&mut self, version: u64, rules: &[Rule]) {
        let catalog = catalog(version, rules);
        self.home.set_rules(&catalog.limits, self.now);
        self.handle(ShardEvent::Catalog(catalog));
    }

    fn parked(&mut self) -> Vec<(Value, u64)> {
        match self.ask(Ask::Parked { reply: ReplyTo::default() }) {
            Reply::Parked(parked) => parked.into_iter().map(|(counter, waiting)| (counter.value, waiting)).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// The process dies, and the next one starts after that time.
    fn crash(self, rules: &[Rule], after_ms: u64) -> World {
        let World { store, options, now, .. } = self;
        let remains = Remains { dropped: DroppedRanges::StayDropped, ..Remains::default() };
        let now = Now { mono: Mono(5), wall: now.wall.after_ms(after_ms) };
        let mut world = World::start(store.crash(&remains).expect("a disk"), options, catalog(9, rules), now);
        world.bind();
        world
    }
}

#[test]
fn what_a_limit_has_no_room_for_waits_and_nothing_else_does() {
    let mut world = world(&[rule(1, Per::Tag, Of::Messages, 2)]);
    world.accepted(5, "a", 1);
    world.accepted(3, "", 1);
    let sent = world.grant(20);
    assert_eq!(sent.len(), 5, "two of the tag, and all others");
    assert_eq!(world.parked(), [(Value::Tag("a".into()), 3)]);
    assert_eq!(world.shard().status().parked, [(LimitId(1), 3)]);
    world.taken(&sent, 1);
    assert_eq!(world.grant(20), [], "the limit is spent");
    world.pass(10 * SECOND_MS + 100);
    assert_eq!((world.parked(), world.grant(20).len(), world.parked()), (vec![], 2, vec![(Value::Tag("a".into()), 1)]));
}

#[test]
fn a_carrier_whose_limit_is_spent_leaves_its_messages_to_the_others() {
    let other = LinkId { carrier: CarrierId(2), core: LINK.core };
    let rules = [rule(1, Per::Carrier, Of::Messages, 2)];
    let with_other = |version| {
        let mut catalog = Catalog::clone(&catalog(version, &rules));
        catalog.routes.routes[0].ways.push(Way { carrier: other.carrier, weight: 1 });
        let known = catalog.carriers[0].clone();
        catalog.carriers.push(CatalogCarrier { id: other.carrier, name: "south".into(), ..known });
        Arc::new(catalog)
    };
    let mut world = world(&rules);
    world.handle(ShardEvent::Catalog(with_other(2)));
    world.accepted(7, "", 1);
    let first = world.grant(9);
    let both = |waiting| [LINK, other].map(|link| (Value::Carrier(link.carrier), waiting)).to_vec();
    assert_eq!((first.len(), world.parked()), (2, both(5)), "the other has no bind");
    world.handle(ShardEvent::Traffic(ToShard::Bound(Bound { link: other, is_bound: true })));
    assert_eq!(world.parked(), [], "the other may take them");
    let second = world.grant_by(other, 9);
    assert_eq!((second.len(), world.parked(), world.grant(9).len()), (2, both(3), 0));
    world.outcomes(&first[..1], 1, Answer::NotWritten(NotWritten::LinkDown));
    assert_eq!(
        (world.grant_by(other, 9), world.grant(9)),
        (vec![], first[..1].to_vec()),
        "only its own carrier has room"
    );
    world.taken(&first, 1);
    world.pass(5 * SECOND_MS);
    world.outcomes_by(other, &second, 1, Answer::Accepted(crate::traffic::Span::default()));
    assert_eq!(world.shard().check(), Ok(()));

    world.checkpoint();
    let mut again = world.crash(&rules, 5 * SECOND_MS);
    again.handle(ShardEvent::Catalog(with_other(10)));
    again.handle(ShardEvent::Traffic(ToShard::Bound(Bound { link: other, is_bound: true })));
    assert_eq!(again.grant_by(other, 9), [], "what it sent before the start counts for it");
    again.pass(200);
    assert_eq!(again.grant(9).len(), 2);
    again.pass(5 * SECOND_MS);
    assert_eq!(again.grant_by(other, 9).len(), 1);
}

#[test]
fn permits_that_were_not_used_are_used_by_others() {
    let mut world = world(&[rule(1, Per::All, Of::Parts, 6)]);
    world.accepted(5, "", 2);
    let sent = world.grant(20);
    assert_eq!((sent.len(), world.grant(20).len()), (3, 0), "three messages of two parts");
    world.outcomes(&sent[..1], 2, Answer::NotWritten(NotWritten::LinkDown));
    let again = world.grant(20);
    assert_eq!(again, sent[..1], "it came back, and goes first");
    world.taken(&sent[1..], 2);
    world.taken(&again, 2);
    world.pass(5 * SECOND_MS);
    assert_eq!(world.grant(20), []);
    world.pass(5 * SECOND_MS + 100);
    assert_eq!(world.grant(20).len(), 2);
}

#[test]
fn a_permit_that_no_link_wants_goes_back_after_a_second() {
    let mut world = world(&[rule(1, Per::All, Of::Messages, 2)]);
    world.accepted(2, "", 1);
    assert_eq!(world.home.look(world.now)[0].used, 2, "they are given to the shard");
    world.handle(ShardEvent::Traffic(ToShard::Bound(Bound { link: LINK, is_bound: false })));
    world.pass(SECOND_MS + 1);
    assert_eq!(world.home.look(world.now)[0].used, 0);
    world.pass(60 * SECOND_MS);
    world.bind();
    assert_eq!(world.grant(9).len(), 2);
}

#[test]
fn a_start_knows_what_was_used_before_it() {
    for checkpoint in [false, true] {
        let rules = [rule(1, Per::All, Of::Messages, 4)];
        let mut first = world(&rules);
        first.accepted(9, "", 1);
        let sent = first.grant(3);
        first.taken(&sent, 1);
        assert_eq!(first.grant(1).len(), 1, "it is under way when the process dies");
        if checkpoint {
            first.checkpoint();
        }
        let mut again = first.crash(&rules, 4 * SECOND_MS);
        assert_eq!(again.grant(9), [], "checkpoint: {checkpoint}");
        again.pass(6 * SECOND_MS + 100);
        assert_eq!(again.grant(9).len(), 3, "what was answered is over, what was under way is not");
        assert_eq!(again.shard().check(), Ok(()));
    }
}

#[test]
fn a_start_without_limits_forgets_nothing_that_waited_for_one() {
    for now_limited in [false, true] {
        let mut first = world(&[rule(1, Per::All, Of::Messages, 1)]);
        first.accepted(3, "", 1);
        assert_eq!(first.grant(1).len(), 1);
        let rules = [rule(2, Per::Tag, Of::Messages, 1)];
        let mut again = first.crash(if now_limited { &rules } else { &[] }, SECOND_MS);
        assert_eq!((again.grant(9).len(), again.parked()), (2, vec![]));
    }
}

#[test]
fn messages_that_wait_are_judged_anew_when_the_rules_change() {
    let mut world = world(&[]);
    world.accepted(4, "a", 1);
    world.accepted(1, "", 2);
    world.limits(2, &[rule(1, Per::Tag, Of::Messages, 1), rule(2, Per::All, Of::Parts, 1)]);
    assert_eq!(world.grant(9).len(), 1, "one of the tag; what has two parts can never pass");
    world.limits(3, &[rule(1, Per::Tag, Of::Messages, 3)]);
    assert_eq!(world.grant(9).len(), 2, "what was sent under the rule before counts");
    world.limits(4, &[]);
    assert_eq!((world.grant(9).len(), world.parked()), (1, vec![]));
    let ids: Vec<_> = match world.ask(Ask::Records {
        reply: ReplyTo::default(),
        whose: Whose::Of(TenantId(0)),
        from: Address::default(),
        limit: 9,
    }) {
        Reply::Records { found, .. } => found,
        other => panic!("{other:?}"),
    };
    let dead: Vec<_> = ids.iter().filter_map(|found| found.view.reason).collect();
    assert_eq!(dead, [DeadLetterReason::OverLimit]);
}

#[test]
fn of_a_limit_that_refuses_only_one_span_waits() {
    let mut world = world(&[Rule { over: Over::Refuse, ..rule(1, Per::All, Of::Messages, 3) }]);
    let results = world.accepted(5, "", 1);
    let refused = results.iter().filter(|line| **line == LineResult::Refused(Refusal::OverLimit)).count();
    assert_eq!((refused, world.grant(9).len()), (2, 3));
    assert_eq!(world.accepted(1, "", 4).len(), 1);
}

#[test]
fn a_message_that_waits_for_a_limit_can_be_cancelled_and_expires() {
    let mut world = world(&[rule(1, Per::All, Of::Messages, 1)]);
    let ids: Vec<_> = world
        .accepted(3, "", 1)
        .into_iter()
        .map(|line| match line {
            LineResult::Accepted(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(world.grant(9).len(), 1);
    let cancel = Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(0), id: ids[1] };
    assert_eq!(world.ask(cancel), Reply::Cancelled(Cancelled::Done));
    world.handle(ShardEvent::Traffic(ToShard::Bound(Bound { link: LINK, is_bound: false })));
    world.pass(3_700 * SECOND_MS);
    let status = world.shard().status();
    assert_eq!((status.waiting, status.parked, status.tenants), ([0; Class::COUNT], vec![], vec![]));
}

fn breach(change: fn(&mut Permits, SetNumber)) -> u8 {
    let mut world = world(&[rule(1, Per::All, Of::Messages, 4)]);
    world.accepted(9, "", 1);
    let shard = world.shard_mut();
    assert_eq!(shard.permits.check(&shard.pull.lanes), Ok(()));
    change(&mut shard.permits, SetNumber(1));
    shard.permits.check(&shard.pull.lanes).expect_err("a breach").number
}

#[test]
fn breaking_invariant_1_keeps_permits_for_ever() {
    assert_eq!(breach(Permits::forget_until), 1);
    assert_eq!(breach(Permits::seem_asked), 1);
}
