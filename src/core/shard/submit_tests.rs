//! Frames before and behind others, and what is refused while the disk has no room.

use std::sync::Arc;

use super::*;
use crate::model::{Class, DiskRoom, Line, Now, Wall};
use crate::node::world::World;
use crate::shard::{Ask, ShardEvent};
use crate::store::memory::{Drops, MemoryStore};

/// The worlds of this file.
#[derive(Debug)]
struct Frames;

type Bench = World<MemoryStore, Frames>;

fn head() -> Head {
    Head { class: Class::Otp, expires_at: Wall(9), ..Head::default() }
}

impl Bench {
    fn new() -> Self {
        Self::start(MemoryStore::new(Drops::AtOnce), Options::default(), Arc::default(), Now::default())
    }

    /// Submits one message. Returns its result.
    fn submitted(&mut self) -> LineResult {
        match self.ask(Ask::Submit(Frame { heads: vec![head()], ..Frame::default() })) {
            Reply::Submitted(results) => results[0],
            other => panic!("{other:?}"),
        }
    }

    fn claimed(&mut self, key: u128, content: u64) -> Claimed {
        self.claimed_if(true, key, content)
    }

    fn claimed_if(&mut self, is_paid: bool, key: u128, content: u64) -> Claimed {
        let (reply, tenant) = (ReplyTo::default(), TenantId::default());
        match self.ask(Ask::Claim { reply, tenant, print: KeyPrint { key, content }, is_paid }) {
            Reply::Claimed(claimed) => claimed,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_small_request_does_not_wait_behind_large_ones() {
    let mut world = Bench::new();
    let frame = |ticket, messages: usize, alone| {
        let reply = ReplyTo { core: 0, ticket };
        ShardEvent::Ask(Ask::Submit(Frame { reply, heads: vec![head(); messages], alone, ..Frame::default() }))
    };
    let frames = TURN_MESSAGES_MAX / 1_000 * 3;
    // The first is being written while the others come.
    (1..=frames as u64).for_each(|ticket| world.tell(frame(ticket, 1_000, false)));
    world.tell(frame(0, 1, true));
    let mut answered = Vec::new();
    while world.batch.is_some() {
        world.sync();
        answered.push(std::mem::take(&mut world.tickets));
    }
    for reply in world.replies {
        let Reply::Submitted(results) = reply else { panic!("{reply:?}") };
        assert!(results.iter().all(|result| matches!(result, LineResult::Accepted(_))));
    }
    assert!(answered[1].contains(&0) && answered.len() >= 4, "{answered:?}");
    let large: Vec<u64> = answered.concat().into_iter().filter(|ticket| *ticket > 0).collect();
    assert!(large.is_sorted() && large.len() == frames, "large ones keep their order: {large:?}");
}

#[test]
fn frames_that_waited_are_admitted_a_quarter_of_a_turn_at_once() {
    admitted_in_quarters(&Frame { heads: vec![head(); TURN_MESSAGES_MAX / 4], ..Frame::default() });
    let (messages, bytes) = (TURN_BYTES_MAX / 4 / 32_768, 32_768);
    let large = |at: usize| Head { content_at: (at * bytes) as u32, content_len: bytes as u32, ..head() };
    admitted_in_quarters(&Frame {
        heads: (0..messages).map(large).collect(),
        arena: vec![0; messages * bytes],
        ..Frame::default()
    });
}

fn admitted_in_quarters(frame: &Frame) {
    let mut world = Bench::new();
    let submit = |world: &mut Bench| world.tell(ShardEvent::Ask(Ask::Submit(frame.clone())));
    submit(&mut world);
    (0..8).for_each(|_| submit(&mut world));
    assert_eq!(world.shard().intake.waiting_frames.len(), 4);
    world.sync();
    assert_eq!(world.shard().intake.waiting_frames.len(), 3);
    for waiting in [2, 1, 0] {
        assert_eq!(world.shard().poll_timeout(), Some(world.now.mono));
        world.turn();
        assert_eq!(world.shard().intake.waiting_frames.len(), waiting);
    }
    assert_eq!(world.shard().turn.gathering.messages(), 4 * frame.heads.len());
    assert_ne!(world.shard().poll_timeout(), Some(world.now.mono), "only expiries are waited for");
}

#[test]
fn a_full_disk_refuses_what_is_new_until_there_is_room() {
    let mut world = Bench::new();
    let full = Refusal::DiskFull;
    assert!(matches!(world.submitted(), LineResult::Accepted(_)));
    world.handle(ShardEvent::Disk(DiskRoom::Low));
    assert_eq!(world.submitted(), LineResult::Refused(full));
    assert_eq!(world.claimed(1, 2), Claimed::Refused(full));
    let at = Refusal::ALL.iter().position(|known| *known == full).expect("counted");
    assert_eq!(world.shard().status().counters.refused[at], 1);
    world.handle(ShardEvent::Disk(DiskRoom::Ample));
    assert!(matches!(world.submitted(), LineResult::Accepted(_)));
    assert_eq!(world.claimed(1, 2), Claimed::Ours);
}

/// Seed 7437: a client tries again, and is refused although its message was accepted.
#[test]
fn a_key_that_is_known_is_known_on_a_full_disk_as_well() {
    let mut world = Bench::new();
    assert_eq!(world.claimed(1, 2), Claimed::Ours);
    world.handle(ShardEvent::Disk(DiskRoom::Low));
    assert_eq!((world.claimed(1, 2), world.claimed(1, 3)), (Claimed::Ours, Claimed::Reused));
    assert_eq!(world.claimed(4, 2), Claimed::Refused(Refusal::DiskFull));
}

const DAY_MS: u64 = 86_400_000;

/// Core B5: when the clock jumped a day ahead, every key was too old, and a repeated message counted as new.
#[test]
fn a_jump_of_the_clock_makes_no_key_old() {
    let mut world = Bench::new();
    world.now.wall = Wall(10 * DAY_MS);
    assert_eq!(world.claimed(1, 2), Claimed::Ours);
    for (ahead, back) in [(DAY_MS + 1, 0), (0, 3 * DAY_MS), (5 * DAY_MS, 0)] {
        world.now.wall = Wall(world.now.wall.0 + ahead - back);
        assert_eq!(world.claimed(1, 3), Claimed::Reused);
        world.checkpoint();
        world.restart(Options::default());
        assert_eq!(world.claimed(1, 3), Claimed::Reused, "after a restart");
    }
    world.pass(DAY_MS + 1);
    assert_eq!(world.claimed(1, 3), Claimed::Ours, "its time is over");
}

/// Keys in the window survive checkpoints, from the window's beginning to its end.
#[test]
fn a_checkpoint_keeps_every_key_of_the_window() {
    let mut world = Bench::new();
    for (key, age) in [(1, 5), (2, 10), (3, 95), (4, 0)] {
        assert_eq!(world.claimed(key, 2), Claimed::Ours);
        world.pass(DAY_MS / 100 * age);
        (0..2).for_each(|_| world.checkpoint());
    }
    world.restart(Options::default());
    let known = [1, 2, 3, 4].map(|key| world.claimed(key, 3));
    assert_eq!(known, [Claimed::Ours, Claimed::Ours, Claimed::Reused, Claimed::Reused]);
}

/// Found with a request that was repeated under its key when it had itself used up the quota.
#[test]
fn what_is_known_is_told_without_a_charge_and_what_is_new_is_charged() {
    let mut world = Bench::new();
    let line = |index, key| Line { index, print: KeyPrint { key, content: 0 } };
    let mut bring = |keys: &[u128], unpaid| {
        let lines = (0..).zip(keys).map(|(index, key)| line(index, *key)).collect();
        let frame = Frame { heads: vec![head(); keys.len()], keys: lines, unpaid, ..Frame::default() };
        match world.ask(Ask::Submit(frame)) {
            Reply::Submitted(results) => results,
            other => panic!("{other:?}"),
        }
    };
    let first = bring(&[1, 2], 0);
    let [LineResult::Accepted(one), LineResult::Accepted(two)] = first[..] else { panic!("{first:?}") };
    let over = LineResult::Refused(Refusal::OverQuota);
    assert_eq!(bring(&[1, 2, 3], 3), [LineResult::Duplicate(one), LineResult::Duplicate(two), over]);
    let again = bring(&[1, 2, 3, 4], 3);
    assert!(matches!(again[2], LineResult::Accepted(_)), "the first is free, so this one is paid for: {again:?}");
    assert_eq!(again[3], over);
    assert_eq!(world.claimed_if(false, 7, 1), Claimed::Ours);
    assert_eq!(world.claimed(7, 2), Claimed::Ours, "it was not remembered");
    assert_eq!([world.claimed_if(false, 7, 2), world.claimed_if(false, 7, 3)], [Claimed::Ours, Claimed::Reused]);
}
