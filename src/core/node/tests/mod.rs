//! A node alone: mail stays in order over full mailboxes, turns are late, and a node ends.

use crate::model::{CarrierId, Class, Frame, Head, Wall};
use crate::shard::{Ask, LineResult, Options};
use crate::store::WriteBatch;
use crate::traffic::{Demand, ToLink};

use super::*;

/// A host with doors on core 1, whose mailbox has `room` places, and a disk that answers by the next turn.
#[derive(Default)]
struct Ground {
    room: usize,
    got: Vec<u64>,
    answers: Vec<NodeEvent>,
    misrouted: usize,
    is_late: bool,
}

impl Host for Ground {
    fn commit(&mut self, shard: ShardId, batch: WriteBatch) {
        self.answers.push(NodeEvent::Shard(shard, ShardEvent::Committed(batch.seq)));
    }

    fn errand(&mut self, _: ShardId, _: Errand) {}

    fn reply(&mut self, to: ReplyTo, _: Reply) {
        assert_eq!(to.core, 0);
        self.got.push(to.ticket);
    }

    fn post(&mut self, core: u8, mail: NodeEvent) -> Option<NodeEvent> {
        if self.room == 0 {
            return Some(mail);
        }
        let NodeEvent::Reply(to, Reply::Submitted(results)) = mail else { panic!("{mail:?}") };
        assert_eq!((core, to.core, results.len()), (1, 1, 1));
        assert!(matches!(results[0], LineResult::Accepted(_) | LineResult::Refused(_)));
        self.room -= 1;
        self.got.push(to.ticket);
        None
    }

    fn connection(&mut self, _: usize, _: BindId, _: Wanted) {}

    fn alarm(&mut self, alarm: Alarm<'_>) {
        assert!(matches!(alarm, Alarm::Misrouted(_)), "{alarm:?}");
        self.misrouted += 1;
    }

    fn is_late(&mut self) -> bool {
        self.is_late
    }
}

fn node() -> Node {
    let mut node = Node::new(0, 2, Arc::default());
    node.seat_shard(Options::default(), 1, Recovery::default(), now(0));
    node
}

const fn now(ms: u64) -> Now {
    Now { mono: Mono(ms * 1_000_000), wall: Wall(1_795_238_512_000 + ms) }
}

fn submit(core: u8, ticket: u64) -> NodeEvent {
    let head = Head { class: Class::Otp, expires_at: Wall(u64::MAX), ..Head::default() };
    let frame = Frame { reply: ReplyTo { core, ticket }, heads: vec![head], ..Frame::default() };
    NodeEvent::Shard(ShardId(0), ShardEvent::Ask(Ask::Submit(frame)))
}

/// Turns until the disk has nothing to answer.
fn settle(node: &mut Node, ground: &mut Ground, at: Now) {
    loop {
        assert!(node.turn(at, ground));
        if ground.answers.is_empty() {
            return;
        }
        ground.answers.drain(..).for_each(|answer| node.push(answer));
    }
}

#[test]
fn what_a_full_mailbox_gives_back_is_offered_again_before_anything_later() {
    let (mut node, mut ground) = (node(), Ground { room: 1, ..Ground::default() });
    node.push(NodeEvent::Drain);
    (1..=4).for_each(|ticket| node.push(submit(1, ticket)));
    settle(&mut node, &mut ground, now(0));
    assert_eq!(ground.got, [1]);
    assert_eq!(node.poll_timeout(), Some(now(RETRY_MS).mono), "it asks to be turned again by itself");
    assert!(node.has_mail() && !node.is_drained());
    ground.room = 2;
    node.push(submit(1, 5));
    settle(&mut node, &mut ground, now(RETRY_MS));
    assert_eq!(ground.got, [1, 2, 3], "the fifth waits behind the fourth");
    ground.room = 9;
    settle(&mut node, &mut ground, now(2 * RETRY_MS));
    assert_eq!(ground.got, [1, 2, 3, 4, 5]);
    assert!(!node.has_mail() && node.is_drained());
    assert_ne!(node.poll_timeout(), Some(now(3 * RETRY_MS).mono));
}

#[test]
fn a_reply_to_a_door_of_its_own_leaves_when_its_batch_is_durable() {
    let (mut node, mut ground) = (node(), Ground::default());
    node.push(submit(0, 7));
    assert!(node.turn(now(0), &mut ground));
    assert_eq!((&ground.got[..], ground.answers.len()), (&[][..], 1));
    settle(&mut node, &mut ground, now(0));
    assert_eq!(ground.got, [7]);
}

#[test]
fn a_turn_that_is_late_takes_one_item_and_says_that_it_is_not_through() {
    let (mut node, mut ground) = (node(), Ground { is_late: true, ..Ground::default() });
    (0..3).for_each(|_| node.push(NodeEvent::Disk(DiskRoom::Low)));
    // In the first turn the shard says to the home of limits what it has used: that is mail too.
    for left in [3, 2, 1, 0] {
        assert_eq!((node.turn(now(0), &mut ground), node.waiting()), (left == 0, left));
    }
}

#[test]
fn a_node_is_drained_and_sealed_only_when_it_was_asked_to_be() {
    let (mut node, mut ground) = (node(), Ground::default());
    settle(&mut node, &mut ground, now(0));
    assert!(!node.is_drained() && !node.is_sealed(), "at rest, but still serving");
    node.push(NodeEvent::Drain);
    settle(&mut node, &mut ground, now(0));
    assert!(node.is_drained() && !node.is_sealed());
    node.push(NodeEvent::Seal);
    settle(&mut node, &mut ground, now(0));
    assert!(!node.is_sealed(), "its checkpoint is not durable: no events were folded");
    node.push(NodeEvent::End);
    settle(&mut node, &mut ground, now(0));
    assert_eq!((node.stretch(), node.shards().count()), (Stretch::Ended, 0));
}

#[test]
fn mail_for_who_is_not_here_is_told() {
    let (mut node, mut ground) = (node(), Ground::default());
    let demand = LinkEvent::Traffic(ToLink::Demand(Demand { shard: ShardId(0), waiting: [0; Class::COUNT] }));
    node.push(NodeEvent::Link(LinkId { carrier: CarrierId(1), core: 0 }, demand));
    node.push(NodeEvent::Shard(ShardId(1), ShardEvent::Quarantined(1)));
    settle(&mut node, &mut ground, now(0));
    assert_eq!(ground.misrouted, 2);
}

#[test]
fn a_shard_that_has_nothing_to_do_records_that_the_clock_was_set() {
    let (mut node, mut ground) = (node(), Ground::default());
    node.push(submit(0, 1));
    settle(&mut node, &mut ground, now(0));
    assert!(!node.is_clock_set(now(5_000)));
    let set = Now { wall: Wall(now(5_000).wall.0 + 86_400_000), ..now(5_000) };
    assert!(node.is_clock_set(set));
    let wants = |node: &Node| node.shards().all(|(_, shard)| shard.checkpoint_pending());
    assert!(!wants(&node));
    node.turn(set, &mut ground);
    assert!(wants(&node) && !node.is_clock_set(set.after_ns(5_000_000_000)));
}
