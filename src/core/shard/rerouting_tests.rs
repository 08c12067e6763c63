//! One shard over a store in memory, whose routes are renamed and removed: what happens to messages that wait for them, in
//! whatever place they wait.

use std::sync::Arc;

use crate::delivery::DoubtPolicy;
use crate::model::{
    Address, CarrierError, CarrierId, Class, DeadLetterReason, ErrorFamily, Frame, GroupId, Head, LinkId, MessageId,
    MessageState, Mono, Msisdn, Now, ReplyTo, RouteId, TenantId, Wall, Whose,
};
use crate::routing::{Condition, Route, RouteTable, Way};
use crate::store::memory::{DroppedRanges, Drops, MemoryStore, Remains};
use crate::traffic::{Answer, Grant, NotWritten, Outcome, OutcomeBatch, ToShard, Unanswered};

use super::*;

const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 0 };
const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600 * SECOND_MS;
const GONE: RouteId = RouteId(1);
const NEW: RouteId = RouteId(2);

/// The worlds of this file.
#[derive(Debug)]
struct Rerouted;

type World = crate::node::world::World<MemoryStore, Rerouted>;

/// One route: the old one takes everything, the new one everything but marketing.
fn catalog(route: RouteId) -> Arc<Catalog> {
    let classes = if route == NEW { vec![Class::Otp, Class::Transactional] } else { Vec::new() };
    let when = Condition { classes, ..Condition::default() };
    let ways = vec![Way { carrier: LINK.carrier, weight: 1 }];
    let routes = vec![Route { id: route, name: format!("r{}", route.0), when, ways }];
    let carrier = CatalogCarrier {
        id: LINK.carrier,
        name: "north".into(),
        group: GroupId(1),
        home: Some(0),
        ..CatalogCarrier::default()
    };
    let version = u64::from(route.0);
    Arc::new(Catalog {
        version,
        routes: RouteTable { routes },
        carriers: vec![carrier],
        shard_cores: vec![0],
        ..Catalog::default()
    })
}

fn options() -> Options {
    Options { doubt: [DoubtPolicy::Resend; Class::COUNT], ..Options::default() }
}

fn world() -> World {
    let now = Now { mono: Mono(0), wall: Wall(1_795_238_512_000) };
    World::start(MemoryStore::new(Drops::AtOnce), options(), catalog(GONE), now)
}

impl World {
    fn accepted(&mut self, class: Class, send_in_ms: u64) -> MessageId {
        let (wall, content) = (self.now.wall, crate::model::Content::default());
        let mut arena = Vec::new();
        content.encode(&mut arena);
        let head = Head {
            to: Msisdn::from_number(4_915_112_345_678).expect("a number"),
            class,
            receipt: true,
            parts: 1,
            route: GONE,
            send_at: if send_in_ms > 0 { wall.after_ms(send_in_ms) } else { Wall(0) },
            expires_at: wall.after_ms(HOUR_MS),
            content_len: arena.len() as u32,
            ..Head::default()
        };
        match self.ask(Ask::Submit(Frame { heads: vec![head], arena, ..Frame::default() })) {
            Reply::Submitted(results) => match results[..] {
                [LineResult::Accepted(id)] => id,
                _ => panic!("{results:?}"),
            },
            other => panic!("{other:?}"),
        }
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

    fn grant(&mut self, class: Class) {
        let grant = Grant { link: LINK, class, messages: 1, standing: class.is_urgent() };
        self.handle(ShardEvent::Traffic(ToShard::Grant(grant)));
    }

    fn outcome(&mut self, address: Address, answer: Answer) {
        let outcome = Outcome::first(address, answer);
        let batch = OutcomeBatch { link: LINK, group: GroupId(1), outcomes: vec![outcome], arena: Vec::new() };
        self.handle(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    }

    fn catalog(&mut self, route: RouteId) {
        self.handle(ShardEvent::Catalog(catalog(route)));
    }

    /// The process dies, and the next one is configured with that route.
    fn crash(self, route: RouteId) -> World {
        let World { store, options, now, .. } = self;
        let remains = Remains { dropped: DroppedRanges::StayDropped, ..Remains::default() };
        let now = Now { mono: Mono(0), wall: now.wall };
        World::start(store.crash(&remains).expect("a disk"), options, catalog(route), now)
    }

    fn check_nothing_waits(&self) {
        let status = self.shard().status();
        assert_eq!((status.waiting, status.scheduled), ([0; Class::COUNT], 0), "{status:?}");
        assert_eq!(self.shard().lanes().count(), 0);
        assert_eq!(status.tenants.iter().map(|(_, messages)| messages).sum::<u64>(), 0, "{status:?}");
    }
}

/// Where a message waits when its route is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Ready,
    Scheduled,
    Retry,
    AtItsLink,
    InDoubt,
}

/// Core A15: the message stayed in the old lane for ever, and kept every later segment.
#[test]
fn what_waits_for_a_route_that_is_gone_goes_by_another_wherever_it_stands() {
    use Stands::{AtItsLink, InDoubt, Ready, Retry, Scheduled};
    let class = Class::Transactional;
    for (stands, crashes) in
        [Ready, Scheduled, Retry, AtItsLink, InDoubt].map(|one| [(one, false), (one, true)]).concat()
    {
        let mut world = world();
        let id = world.accepted(class, if stands == Scheduled { 60 * SECOND_MS } else { 0 });
        if matches!(stands, Retry | AtItsLink | InDoubt) {
            world.grant(class);
            assert_eq!(world.submits.drain(..).count(), 1, "{stands:?}");
        }
        match stands {
            Ready | Scheduled | AtItsLink => {}
            Retry => {
                world.outcome(id.address(), Answer::Refused(CarrierError::of_answer(ErrorFamily::Transient, 8)));
            }
            InDoubt => world.outcome(id.address(), Answer::Unanswered(Unanswered::ConnectionLost)),
        }
        let mut world = if crashes {
            world.crash(NEW)
        } else {
            world.catalog(NEW);
            world
        };
        if stands == AtItsLink && !crashes {
            world.outcome(id.address(), Answer::NotWritten(NotWritten::LinkDown));
        }
        world.pass(10 * 60 * SECOND_MS);
        assert_eq!(world.shard().lanes().map(|(lane, depth, _)| (lane.route, depth)).collect::<Vec<_>>(), [(NEW, 1)]);
        assert_eq!(world.shard().status().counters.rerouted, 1, "{stands:?}");
        let found = world.found(id);
        assert_eq!((found.view.state, found.view.route), (MessageState::Queued, Some(NEW)), "{stands:?} {found:?}");
        world.grant(class);
        assert_eq!(world.submits.drain(..).map(|submit| submit.address).collect::<Vec<_>>(), [id.address()]);
        world.check_nothing_waits();
    }
}

#[test]
fn what_no_route_takes_any_more_ends_and_the_operator_is_told_of_all() {
    let mut world = world();
    let [marketing, otp] = [Class::Marketing, Class::Otp].map(|class| world.accepted(class, 0));
    world.alarms = Some(Vec::new());
    world.catalog(NEW);
    let told = ["shard 0: 1 messages were rerouted because their route is gone; 1 ended, since no route takes them"];
    assert_eq!(world.alarms.take().expect("gathered"), told);
    let view = world.found(marketing).view;
    assert_eq!((view.state, view.reason), (MessageState::Dead, Some(DeadLetterReason::NoRoute)));
    assert_eq!(world.found(otp).view.state, MessageState::Queued);
    let counters = world.shard().status().counters;
    assert_eq!((counters.rerouted, counters.unroutable), (1, 1));
    // When the old route comes back, it is a route like any other.
    world.catalog(GONE);
    assert_eq!(world.found(otp).view.route, Some(GONE));
    world.grant(Class::Otp);
    assert_eq!(world.submits.len(), 1);
    world.check_nothing_waits();
}

/// An entry that is passed over later is counted in the list of the lane in which its message waits now.
#[test]
fn what_was_routed_anew_is_cancelled_and_expires_where_it_waits() {
    for crashes in [false, true] {
        let mut world = world();
        let [cancelled, expiring] = [Class::Transactional; 2].map(|class| world.accepted(class, 0));
        world.catalog(NEW);
        let mut world = if crashes { world.crash(NEW) } else { world };
        let ask = Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(0), id: cancelled };
        assert_eq!(world.ask(ask), Reply::Cancelled(Cancelled::Done));
        assert_eq!(world.shard().status().waiting[Class::Transactional.index()], 1);
        world.pass(HOUR_MS + 10 * SECOND_MS);
        assert_eq!(world.found(expiring).view.state, MessageState::Expired);
        world.check_nothing_waits();
        (0..2).for_each(|_| world.checkpoint());
        let world = world.crash(NEW);
        world.check_nothing_waits();
    }
}

/// More than a turn takes, and more than memory holds.
#[test]
fn a_long_list_is_routed_anew_in_its_order() {
    let mut world = world();
    let ids: Vec<_> = (0..300).map(|_| world.accepted(Class::Otp, 0)).collect();
    let mut world = world.crash(NEW);
    let after = world.accepted(Class::Otp, 0);
    assert_eq!(world.shard().status().counters.rerouted, 301, "including what a door sent by the old rules");
    for id in ids.iter().chain([&after]) {
        world.grant(Class::Otp);
        assert_eq!(world.submits.pop().map(|submit| submit.address), Some(id.address()));
    }
    world.check_nothing_waits();
}

/// A message in the new route's lane is there already; newer ones that come in on it must not go before the rerouted one.
#[test]
fn what_is_routed_anew_goes_before_what_is_newer() {
    let mut world = world();
    let old = world.accepted(Class::Otp, 0);
    world.tell(ShardEvent::Catalog(catalog(NEW)));
    let mut arena = Vec::new();
    crate::model::Content::default().encode(&mut arena);
    let head = Head {
        to: Msisdn::from_number(4_915_112_345_678).expect("a number"),
        class: Class::Otp,
        receipt: true,
        parts: 1,
        route: NEW,
        expires_at: world.now.wall.after_ms(HOUR_MS),
        content_len: arena.len() as u32,
        ..Head::default()
    };
    world.tell(ShardEvent::Ask(Ask::Submit(Frame { heads: vec![head], arena, ..Frame::default() })));
    let grant = Grant { link: LINK, class: Class::Otp, messages: 2, standing: true };
    world.tell(ShardEvent::Traffic(ToShard::Grant(grant)));
    world.settle();
    let sent: Vec<_> = world.submits.iter().map(|submit| submit.address).collect();
    assert_eq!((sent.len(), sent[0]), (2, old.address()), "{sent:?}");
}
