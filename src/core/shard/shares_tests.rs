//! Tenants that share a shard: one fills it, and the other still gets its share, whatever happens to the messages in the
//! meantime, and after a restart.

use crate::delivery::DoubtPolicy;
use crate::delivery::samples::busy;
use crate::model::{
    CarrierId, Frame, GroupId, Head, KeyPrint, Line, LinkId, MessageId, MessageState, Msisdn, Refusal, ReplyTo,
    RouteId, TenantId, Whose,
};
use crate::node::world::catalog;
use crate::store::memory::{Drops, MemoryStore};
use crate::traffic::{Answer, Grant, NotWritten, Outcome, OutcomeBatch, Span, Unanswered};

use super::*;

const LINK: LinkId = LinkId { carrier: CarrierId(1), core: 0 };
const A: TenantId = TenantId(1);
const B: TenantId = TenantId(2);
const QUEUE: u64 = 40;

const BEGIN_MS: u64 = 1_795_238_512_000;

/// The worlds of this file.
#[derive(Debug)]
struct Shares;

type World = crate::node::world::World<MemoryStore, Shares>;

fn options(tenants: &[(TenantId, u32)]) -> Options {
    let tenants = tenants.to_vec();
    Options { queue_messages_max: QUEUE, keys_max: 20, tenants, fold_events: 5, ..Options::default() }
}

impl World {
    fn new(tenants: &[(TenantId, u32)]) -> Self {
        let now = Now { mono: Mono(0), wall: Wall(BEGIN_MS) };
        Self::start(MemoryStore::new(Drops::AtOnce), options(tenants), catalog(LINK, GroupId(1)), now)
    }

    /// Addresses of all messages that have left.
    fn left(&self) -> Vec<Address> {
        self.submits.iter().map(|submit| submit.address).collect()
    }

    fn submit(&mut self, tenant: TenantId, messages: usize, send_in_ms: u64) -> Vec<LineResult> {
        self.submit_of(Class::Otp, tenant, messages, send_in_ms)
    }

    fn submit_of(&mut self, class: Class, tenant: TenantId, messages: usize, send_in_ms: u64) -> Vec<LineResult> {
        let send_at = if send_in_ms > 0 { Wall(self.now.wall.0 + send_in_ms) } else { Wall(0) };
        let head = Head {
            to: Msisdn::from_number(491_511_000_000).unwrap_or_default(),
            tenant,
            class,
            parts: 1,
            route: RouteId(1),
            send_at,
            expires_at: Wall(self.now.wall.0 + 600_000),
            ..Head::default()
        };
        self.submit_frame(Frame { heads: vec![head; messages], ..Frame::default() })
    }

    fn submit_frame(&mut self, frame: Frame) -> Vec<LineResult> {
        self.handle(ShardEvent::Ask(Ask::Submit(frame)));
        match self.replies.pop() {
            Some(Reply::Submitted(lines)) => lines,
            other => panic!("{other:?}"),
        }
    }

    /// How many are accepted, and the first refusal.
    fn taken(&mut self, tenant: TenantId, messages: usize) -> (usize, Option<Refusal>) {
        count(&self.submit(tenant, messages, 0))
    }

    fn ids(&mut self, tenant: TenantId, messages: usize, send_in_ms: u64) -> Vec<MessageId> {
        let id = |line| match line {
            LineResult::Accepted(id) => id,
            LineResult::Duplicate(_) | LineResult::Refused(_) => panic!("{line:?}"),
        };
        self.submit(tenant, messages, send_in_ms).into_iter().map(id).collect()
    }

    fn grant(&mut self, messages: u32) {
        self.grant_of(Class::Otp, messages, true);
    }

    fn grant_of(&mut self, class: Class, messages: u32, standing: bool) {
        let grant = Grant { link: LINK, class, messages, standing };
        self.handle(ShardEvent::Traffic(ToShard::Grant(grant)));
    }

    fn outcome(&mut self, address: Address, answer: Answer) {
        let outcome = Outcome::first(address, answer);
        let batch = OutcomeBatch { link: LINK, group: GroupId(1), outcomes: vec![outcome], arena: b"77".to_vec() };
        self.handle(ShardEvent::Traffic(ToShard::Outcomes(batch)));
    }

    fn cancel(&mut self, tenant: TenantId, id: MessageId) -> Cancelled {
        self.handle(ShardEvent::Ask(Ask::Cancel { reply: ReplyTo::default(), tenant, id }));
        match self.replies.pop() {
            Some(Reply::Cancelled(cancelled)) => cancelled,
            other => panic!("{other:?}"),
        }
    }

    fn claim(&mut self, tenant: TenantId, key: u128) -> Claimed {
        let print = KeyPrint { key: key << 64 | key, content: 1 };
        self.handle(ShardEvent::Ask(Ask::Claim { reply: ReplyTo::default(), tenant, print, is_paid: true }));
        match self.replies.pop() {
            Some(Reply::Claimed(claimed)) => claimed,
            other => panic!("{other:?}"),
        }
    }

    /// How many messages of A and of B wait.
    fn waiting(&self) -> [u64; 2] {
        let tenants = self.shard().status().tenants;
        assert!(tenants.iter().all(|(_, messages)| *messages > 0), "{tenants:?}");
        [A, B].map(|tenant| tenants.iter().find(|(known, _)| *known == tenant).map_or(0, |(_, messages)| *messages))
    }
}

fn count(lines: &[LineResult]) -> (usize, Option<Refusal>) {
    let refused = lines.iter().find_map(|line| match line {
        LineResult::Refused(refusal) => Some(*refusal),
        LineResult::Accepted(_) | LineResult::Duplicate(_) => None,
    });
    (lines.iter().filter(|line| matches!(line, LineResult::Accepted(_))).count(), refused)
}

const EQUAL: [(TenantId, u32); 2] = [(A, 1), (B, 1)];

#[test]
fn a_tenant_that_fills_the_queue_leaves_the_last_tenth_to_the_others() {
    let mut world = World::new(&EQUAL);
    assert_eq!(world.taken(A, 100), (36, Some(Refusal::QueueShareFull)));
    assert_eq!(world.taken(B, 100), (4, Some(Refusal::QueueFull)));
    assert_eq!(world.taken(A, 1), (0, Some(Refusal::QueueFull)));
    world.grant(10);
    assert_eq!(world.waiting(), [30, 0], "they take turns");
    assert_eq!(world.taken(A, 100), (6, Some(Refusal::QueueShareFull)), "up to the last tenth once more");
    assert_eq!(world.taken(B, 1), (1, None));
    let at = |refusal| Refusal::ALL.iter().position(|known| *known == refusal).expect("counted");
    assert_eq!(world.shard().status().counters.refused[at(Refusal::QueueShareFull)], 64 + 94);
}

#[test]
fn a_tenant_that_comes_late_gets_its_whole_share_as_places_become_free() {
    let mut world = World::new(&EQUAL);
    world.taken(A, 36);
    for _ in 0..36 {
        world.grant(1);
        world.taken(A, 1);
        world.taken(B, 2);
    }
    assert_eq!(world.waiting(), [QUEUE / 2; 2]);
}

#[test]
fn without_tenants_everything_is_everybodys() {
    let mut world = World::new(&[]);
    assert_eq!(world.taken(TenantId(0), 100), (QUEUE as usize, Some(Refusal::QueueFull)));
    assert_eq!(world.shard().status().tenants, []);
}

/// Every way in which a message begins to wait and stops waiting.
#[test]
fn places_are_counted_exactly_whatever_becomes_of_a_message() {
    let mut world = World::new(&EQUAL);
    let ready = world.ids(A, 3, 0);
    let later = world.ids(B, 3, 5_000);
    assert_eq!(world.waiting(), [3, 3]);
    assert_eq!(world.cancel(A, ready[1]), Cancelled::Done);
    assert_eq!(world.cancel(B, later[1]), Cancelled::Done);
    assert_eq!(world.waiting(), [2, 3], "in a list its place is free at once, in the delay queue when it is due");
    world.grant(1);
    assert_eq!((world.waiting(), world.submits.len()), ([1, 3], 1));
    world.outcome(world.submits[0].address, Answer::NotWritten(NotWritten::LinkDown));
    assert_eq!((world.waiting(), world.submits.len()), ([2, 3], 1), "given back unsent");
    world.pass(6_000);
    assert_eq!(world.waiting(), [2, 2], "the others are due; the cancelled one has freed its place");
    world.grant(2);
    assert_eq!((world.waiting(), world.submits.len()), ([1, 1], 3), "what came back and what was due go first");
    world.grant(2);
    assert_eq!((world.waiting(), world.submits.len()), ([0, 0], 5), "all, and the cancelled one is passed over");
    world.outcome(ready[0].address(), Answer::Refused(busy(0x58)));
    world.outcome(later[0].address(), Answer::Accepted(Span { at: 0, len: 2 }));
    assert_eq!(world.waiting(), [1, 0], "refused for now: it waits to be tried again");
}

#[test]
fn what_is_sent_again_out_of_doubt_and_what_expires_is_counted() {
    let mut world = World::new(&EQUAL);
    world.shard_mut().turn.options.doubt = Class::ALL.map(|_| DoubtPolicy::Resend);
    let id = world.ids(B, 1, 0)[0];
    world.grant(1);
    world.outcome(id.address(), Answer::Unanswered(Unanswered::ConnectionLost));
    assert_eq!(world.waiting(), [0, 0], "in doubt, it is in no list");
    world.pass(20_000);
    assert_eq!(world.waiting(), [0, 1]);
    world.pass(600_000);
    world.grant(1);
    assert_eq!(world.waiting(), [0, 0]);
}

#[test]
fn a_start_finds_whose_messages_wait() {
    let mut world = World::new(&EQUAL);
    let ready = world.ids(A, 30, 0);
    world.submit(A, 6, 5_000);
    assert_eq!(world.cancel(A, ready[3]), Cancelled::Done);
    let mut waiting = 35;
    for round in 0..3 {
        world.grant(2);
        waiting -= 2;
        assert_eq!(world.waiting(), [waiting, 0], "{round}");
        let taken = count(&world.submit(A, 40, 0));
        assert_eq!(taken, (36 - waiting as usize, Some(Refusal::QueueShareFull)), "{round}");
        waiting = 36;
        // Messages that were under way are in doubt, and take no place while they are held.
        world.restart(Options { doubt: Class::ALL.map(|_| DoubtPolicy::Hold), ..options(&EQUAL) });
        assert_eq!(world.waiting(), [waiting, 0], "{round}");
        if round == 1 {
            world.checkpoint();
        }
    }
    assert_eq!(world.taken(B, 9), (4, Some(Refusal::QueueFull)));
}

#[test]
fn what_was_cancelled_before_a_start_gives_its_place_back_when_it_is_due() {
    let mut world = World::new(&EQUAL);
    let later = world.ids(B, 2, 5_000);
    assert_eq!(world.cancel(B, later[0]), Cancelled::Done);
    world.checkpoint();
    world.restart(options(&EQUAL));
    assert_eq!(world.waiting(), [0, 2]);
    world.pass(6_000);
    world.grant(5);
    assert_eq!((world.waiting(), world.left()), ([0, 0], vec![later[1].address()]));
    world.handle(ShardEvent::Ask(Ask::Lookup { reply: ReplyTo::default(), whose: Whose::Of(B), ids: vec![later[0]] }));
    match world.replies.pop() {
        Some(Reply::Found(found)) => match &found[..] {
            [Lookup::Found(found)] => assert_eq!(found.view.state, MessageState::Cancelled),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Places that are there before anybody asks are kept for a tenant that has just begun to wait; a backlog does not use them up.
#[test]
fn a_standing_place_is_for_a_tenant_that_has_just_begun_to_wait() {
    let mut world = World::new(&EQUAL);
    let class = Class::Transactional;
    world.submit_of(class, A, 10, 0);
    world.grant_of(class, 3, true);
    assert_eq!(world.waiting(), [9, 0], "its first message, and no more");
    world.submit_of(class, B, 2, 0);
    assert_eq!(world.waiting(), [9, 1]);
    world.grant_of(class, 4, false);
    assert_eq!(world.waiting(), [6, 0], "what was demanded is for all, in turn");
    world.submit_of(class, B, 1, 0);
    assert_eq!(world.waiting(), [6, 0], "B waits for no grant");
    world.submit_of(class, B, 1, 0);
    assert_eq!(world.waiting(), [6, 1], "there are no more standing places");
}

#[test]
fn tenants_take_turns_by_weight_and_a_reload_changes_the_weights() {
    let weigh = |weight| Options { weights: [(A, weight)].into(), ..options(&EQUAL) };
    let mut world = World::new(&EQUAL);
    world.handle(ShardEvent::Reconfigure(Box::new(weigh(3))));
    world.submit(A, 16, 0);
    world.submit(B, 16, 0);
    world.grant(8);
    assert_eq!(world.waiting(), [10, 14]);
    let weights: Vec<u32> = world.submits.iter().map(|submit| submit.weight).collect();
    assert_eq!((weights.iter().filter(|weight| **weight == 3).count(), weights.iter().max()), (6, Some(&3)));
    world.handle(ShardEvent::Reconfigure(Box::new(weigh(1))));
    world.grant(8);
    assert_eq!(world.waiting(), [6, 10]);
}

#[test]
fn a_reload_changes_shares_and_a_tenant_that_is_removed_counts_until_it_has_left() {
    let mut world = World::new(&EQUAL);
    world.taken(A, 36);
    let reload = |tenants: &[(TenantId, u32)]| ShardEvent::Reconfigure(Box::new(options(tenants)));
    world.handle(reload(&[(A, 9), (B, 1)]));
    assert_eq!(world.taken(B, 9), (4, Some(Refusal::QueueFull)), "its share is 4, and so much is left");
    world.grant(4);
    assert_eq!(world.waiting(), [34, 2]);
    assert_eq!(world.taken(B, 9), (2, Some(Refusal::QueueShareFull)), "it has its share");
    assert_eq!(world.taken(A, 9), (2, Some(Refusal::QueueFull)), "A is under its share of 36");
    world.handle(reload(&[(B, 1)]));
    world.grant(6);
    assert_eq!((world.waiting(), world.taken(B, 9)), ([33, 1], (6, Some(Refusal::QueueFull))));
    world.restart(options(&[(B, 1)]));
    assert_eq!(world.waiting(), [33, 7]);
    world.grant(40);
    assert_eq!(world.waiting(), [0, 0]);
}

#[test]
fn keys_are_shared_as_the_queue_is_and_a_start_knows_whose_they_are() {
    let mut world = World::new(&EQUAL);
    let frame = |tenant: TenantId, from: u32, keys: u32| {
        let to = Msisdn::from_number(491_511_000_000).unwrap_or_default();
        let head = Head { to, tenant, route: RouteId(1), expires_at: Wall(1_795_239_512_000), ..Head::default() };
        let print = |key| KeyPrint { key: u128::from(key) << 64 | u128::from(key), content: 5 };
        let keys = (0..keys).map(|index| Line { index, print: print(u64::from(from + index)) }).collect::<Vec<_>>();
        Frame { heads: vec![head; keys.len()], keys, ..Frame::default() }
    };
    let lines = world.submit_frame(frame(A, 0, 25));
    assert_eq!(count(&lines), (18, Some(Refusal::KeyShareFull)));
    world.restart(options(&EQUAL));
    assert_eq!(count(&world.submit_frame(frame(A, 30, 1))), (0, Some(Refusal::KeyShareFull)));
    assert_eq!(world.claim(A, 1_000), Claimed::Refused(Refusal::KeyShareFull));
    assert_eq!(world.claim(B, 1_000), Claimed::Ours);
    assert_eq!(count(&world.submit_frame(frame(B, 40, 3))), (1, Some(Refusal::KeyWindowFull)));
    assert_eq!(world.claim(B, 1_001), Claimed::Full);
}

/// H4: a client that asked for another tenant's message displaced the owner's question, and was told that the message exists.
#[test]
fn who_cancels_what_is_not_his_learns_nothing_and_takes_nothing_from_its_owner() {
    let mut world = World::new(&EQUAL);
    let [waits, leaves] = world.ids(A, 2, 0)[..] else { panic!("two") };
    for tenant in [B, A, B] {
        world.tell(ShardEvent::Ask(Ask::Cancel { reply: ReplyTo::default(), tenant, id: waits }));
    }
    world.settle();
    use Cancelled::{Done, TooLate, Unknown};
    assert_eq!(std::mem::take(&mut world.replies), [Unknown, Done, Unknown].map(Reply::Cancelled));
    world.grant(5);
    assert_eq!(world.left(), [leaves.address()]);
    assert_eq!((world.cancel(B, leaves), world.cancel(A, leaves)), (Unknown, TooLate), "it is under way");
    let forged = MessageId::new(Wall(1), leaves.node(), leaves.shard(), leaves.address());
    assert_eq!(world.cancel(A, forged), Unknown, "no message has this id, which differs only in its time");
}

/// A wait is bounded by class, and judged by the messages of the same tenant.
#[test]
fn what_would_wait_too_long_is_refused_and_only_that() {
    let mut world = World::new(&EQUAL);
    let options = Options { class_wait_ms: [0, 20_000, 0, 0], ..options(&EQUAL) };
    world.handle(ShardEvent::Reconfigure(Box::new(options)));
    assert_eq!(world.taken(A, 20), (20, None), "nothing is known of the list");
    world.pass(15_000);
    assert_eq!(world.taken(A, 1), (1, None), "for 15 s none has left");
    world.pass(6_000);
    let slow = (0, Some(Refusal::QueueSlow));
    assert_eq!(world.taken(A, 1), slow);
    assert_eq!((world.taken(B, 1), count(&world.submit_of(Class::Marketing, A, 1, 0))), ((1, None), (1, None)));
    assert_eq!(count(&world.submit(A, 1, 60_000)), (1, None), "it is not ready before");
    // Of A and B, in turn: one in four seconds.
    for _ in 0..4 {
        world.pass(2_000);
        world.grant_of(Class::Otp, 1, false);
    }
    assert_eq!(world.taken(A, 1), slow, "17 wait, each for more than a second");
    (0..16).for_each(|_| {
        world.pass(500);
        world.grant_of(Class::Otp, 1, false);
    });
    assert_eq!(world.taken(A, 1), (1, None), "few wait");
}

/// Entries of messages that have ended stay in a list until they are passed over; they do not count.
#[test]
fn what_was_cancelled_makes_nobody_wait() {
    let mut world = World::new(&EQUAL);
    world.handle(ShardEvent::Reconfigure(Box::new(Options { class_wait_ms: [0, 20_000, 0, 0], ..options(&EQUAL) })));
    let ids = world.ids(A, 20, 0);
    for _ in 0..4 {
        world.pass(2_000);
        world.grant_of(Class::Otp, 1, false);
    }
    assert_eq!(world.taken(A, 1), (0, Some(Refusal::QueueSlow)), "16 wait, each for two seconds");
    for id in &ids[5..] {
        assert_eq!(world.cancel(A, *id), Cancelled::Done);
    }
    assert_eq!(world.taken(A, 1), (1, None), "one waits, and behind it only what has ended");
}

/// A connection that is made and lost again and again takes messages as fast as they come, and sends none.
#[test]
fn what_links_give_back_has_not_left() {
    let mut world = World::new(&EQUAL);
    world.handle(ShardEvent::Reconfigure(Box::new(Options { class_wait_ms: [0, 20_000, 0, 0], ..options(&EQUAL) })));
    world.ids(A, 5, 0);
    for _ in 0..12 {
        world.pass(2_000);
        world.grant_of(Class::Otp, 5, false);
        let left = std::mem::take(&mut world.submits);
        assert_eq!(left.len(), 5);
        left.iter().for_each(|one| world.outcome(one.address, Answer::NotWritten(NotWritten::ConnectionLost)));
    }
    assert_eq!((world.taken(A, 1), world.taken(B, 1)), ((0, Some(Refusal::QueueSlow)), (1, None)));
    world.pass(2_000);
    world.grant_of(Class::Otp, 9, false);
    assert_eq!(world.taken(A, 1), (1, None), "none waits");
}
