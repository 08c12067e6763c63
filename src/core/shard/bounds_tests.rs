//! A shard at the bounds of what it may remember: each bound is reached, and what follows is safe.

use crate::delivery::samples::busy;
use crate::metrics::Metric;
use crate::store::key::Key;
use crate::store::recover;
use crate::traffic::HandsetIn;

use super::*;
use crate::shard::bounds::Bounds;
use crate::shard::repeats::RECORDED_MAX;

const OK: Answer = Answer::Accepted(Span { at: 0, len: 4 });
const BUSY: Answer = Answer::Refused(busy(8));

fn bounded(bounds: Bounds) -> Options {
    Options { bounds, ..options() }
}

fn world_of(bounds: Bounds) -> World {
    start(MemoryStore::new(Drops::AtOnce), bounded(bounds), Now { mono: Mono(0), wall: Wall(1_000_000) })
}

impl World {
    fn entries(&self, space: Space) -> usize {
        let visit = &mut |_: &[u8], _: &[u8]| std::ops::ControlFlow::Continue(());
        self.store.reader().range(space, &[0], &[255; 13], usize::MAX, visit).expect("read")
    }

    fn counters(&self) -> Counters {
        self.shard().status().counters
    }

    /// A message from a handset comes in. Returns the verdict.
    fn handset(&mut self, text: &str) -> Verdict {
        let message = HandsetIn {
            token: ReceiptToken(1),
            from: number(BERT).number(),
            at: self.now.wall,
            text: Span { at: 0, len: text.len() as u16 },
            ..HandsetIn::default()
        };
        let (group, handsets) = (GroupId(3), vec![message]);
        let batch = ReceiptBatch { link: LINK, group, handsets, arena: text.into(), ..ReceiptBatch::default() };
        self.handle(ShardEvent::Traffic(ToShard::Receipts(batch)));
        self.verdicts.pop().expect("a verdict").1
    }

    /// A message of two parts: the carrier takes one, and refuses the other for now.
    fn half_taken(&mut self) -> MessageId {
        let (id, submit) = self.sent(Class::Transactional, ANNA, 2);
        self.answered(&submit, 1, OK);
        self.answered(&submit, 2, BUSY);
        id
    }
}

/// Foreign programs use the same accounts: they may cause any number of receipts, and ours must survive them.
#[test]
fn parked_receipts_are_bounded_and_foreign_ones_go_first() {
    let bounds = Bounds { parked_max: 8, parked_foreign_max: 4, ..Bounds::DEFAULT };
    let mut world = world_of(bounds);
    let (id, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.receipt(ANNA, "id-1", ReceiptState::Delivered, None);
    for foreign in 0..50 {
        world.receipt(BERT, &format!("foreign-{foreign}"), ReceiptState::Delivered, None);
    }
    assert_eq!((world.shard().status().orphans, world.entries(Space::Orphan)), (5, 1), "foreign ones cost no disk");
    assert_eq!((world.counters().receipts_parked, world.counters().receipts_dropped), (51, [46, 0]));
    world.answered(&submit, 1, OK);
    assert_eq!((world.story(id).0, world.shard().status().orphans), (MessageState::Delivered, 4));
    assert_eq!(world.entries(Space::Orphan), 0);
}

/// Our own are bounded too, and a restart keeps to the bound, in memory and on disk.
#[test]
fn parked_receipts_of_numbers_that_are_written_to_are_bounded() {
    let bounds = Bounds { parked_max: 8, parked_foreign_max: 4, ..Bounds::DEFAULT };
    let mut world = world_of(bounds);
    world.sent(Class::Transactional, ANNA, 1);
    for n in 0..50 {
        world.receipt(ANNA, &format!("other-{n}"), ReceiptState::Delivered, None);
    }
    assert_eq!((world.shard().status().orphans, world.entries(Space::Orphan)), (8, 8));
    assert_eq!(world.counters().receipts_dropped, [0, 42]);
    let world = world.crashed(bounded(Bounds { parked_max: 3, parked_foreign_max: 2, ..bounds }));
    assert_eq!((world.shard().status().orphans, world.entries(Space::Orphan)), (3, 3));
}

#[test]
fn a_parked_receipt_keeps_the_beginning_of_its_text() {
    let mut world = world();
    world.sent(Class::Transactional, BERT, 1);
    let text = "x".repeat(60_000);
    let ShardEvent::Traffic(ToShard::Receipts(mut batch)) =
        receipt_event(world.now.wall, (BERT, "1"), ReceiptState::Delivered, None)
    else {
        panic!("another event")
    };
    batch.receipts[0].text = Span::append(&mut batch.arena, text.as_bytes());
    world.handle(ShardEvent::Traffic(ToShard::Receipts(batch)));
    let mut bytes = 0;
    let visit = &mut |_: &[u8], value: &[u8]| {
        bytes += value.len();
        std::ops::ControlFlow::Continue(())
    };
    world.store.reader().range(Space::Orphan, &[0], &[255; 13], 9, visit).expect("read");
    assert!((160..300).contains(&bytes), "{bytes} bytes");
}

/// Carriers send receipts in spite of `receipt = false`, and sometimes before their response.
#[test]
fn a_receipt_that_was_not_asked_for_is_known_and_not_parked() {
    for outruns in [false, true] {
        let mut world = world();
        let head = Head {
            to: number(ANNA),
            class: Class::Transactional,
            receipt: false,
            parts: 1,
            route: RouteId(1),
            expires_at: Wall(u64::MAX),
            ..Head::default()
        };
        world.ask(Ask::Submit(Frame { heads: vec![head], ..Frame::default() }));
        let submit = world.pulled(Class::Transactional);
        if outruns {
            world.receipt(ANNA, "id-1", ReceiptState::Delivered, None);
            assert_eq!(world.shard().status().orphans, 1);
        }
        world.answered(&submit, 1, OK);
        assert_eq!((world.shard().status().orphans, world.entries(Space::Orphan)), (0, 0));
        let mut world = world.crashed(options());
        world.receipt(ANNA, "id-1", ReceiptState::Delivered, None);
        let late = world.counters().receipts_late;
        assert_eq!((world.shard().status().orphans, world.entries(Space::Orphan), late), (0, 0, 1));
    }
}

#[test]
fn messages_from_handsets_are_bounded_and_their_carrier_keeps_the_rest() {
    let bounds = Bounds { handset_messages_max: 3, handset_bytes_max: 400, ..Bounds::DEFAULT };
    let mut world = world_of(bounds);
    assert_eq!([1, 2, 3].map(|_| world.handset("hello")), [Verdict::Kept, Verdict::Kept, Verdict::Kept]);
    assert_eq!((world.handset("hello"), world.counters().handsets_refused), (Verdict::Full, 1));
    // A restart knows what is kept.
    let mut world = world.crashed(bounded(bounds));
    assert_eq!((world.handset("hello"), world.entries(Space::Handset)), (Verdict::Full, 3));
    // And retention makes room.
    world.checkpoint();
    world.pass(options().retention_ms + options().retention_ms / 32);
    world.checkpoint();
    assert_eq!((world.shard().status().handsets, world.entries(Space::Handset)), ((0, 0), 0));
    assert_eq!(world.handset("hello"), Verdict::Kept);
    assert_eq!(world.handset(&"long".repeat(200)), Verdict::Full, "one that alone is too large");
}

/// The bounds of messages from handsets, and the pages and metrics that name them.
#[test]
fn the_bounds_of_messages_from_handsets_are_told_alike() {
    let grouped = |number: usize| format!("{},{:03}", number / 1_000, number % 1_000);
    let Bounds { handset_messages_max, handset_bytes_max, joining_max, joining_bytes_max, .. } = Bounds::DEFAULT;
    let (kept, lacking) = (grouped(handset_messages_max), grouped(joining_max));
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let (kept_bytes, lacking_bytes) = (mib(handset_bytes_max), mib(joining_bytes_max));
    for (page, pairs) in [
        (include_str!("../../../docs/API.md"), &[(&kept, &kept_bytes)][..]),
        (include_str!("../../../docs/STORAGE.md"), &[(&kept, &kept_bytes), (&lacking, &lacking_bytes)]),
        (include_str!("../../../docs/RELIABILITY.md"), &[(&kept, &kept_bytes), (&lacking, &lacking_bytes)]),
    ] {
        for (messages, bytes) in pairs {
            let told = |line: &&str| line.contains(messages.as_str()) && line.contains(bytes.as_str());
            assert!(page.lines().any(|line| told(&line)), "{messages} and {bytes}");
        }
    }
    for (metric, bound) in
        [(Metric::Handsets, &kept), (Metric::HandsetBytes, &kept_bytes), (Metric::HandsetsIncomplete, &lacking)]
    {
        assert!(metric.family().help.contains(bound.as_str()), "{}: {bound}", metric.family().name);
    }
}

#[test]
fn a_full_ledger_begins_nothing_until_the_operator_decides() {
    let bounds = Bounds { unanswered_max: 2, unanswered_urgent_max: 3, ..Bounds::DEFAULT };
    let mut world = world_of(bounds);
    let (first, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.lost(&submit);
    let (_, submit) = world.sent(Class::Transactional, BERT, 1);
    world.lost(&submit);
    let waits = world.accepted(Class::Transactional, ANNA, 1);
    assert!(world.granted(Class::Transactional).is_none());
    assert_eq!((world.unused, world.shard().status().held_by), (1, Some(Hold::LedgerFull)), "the place goes back");
    // Urgent messages have a reserve.
    world.accepted(Class::Emergency, BERT, 1);
    assert!(world.granted(Class::Emergency).is_some());
    world.accepted(Class::Emergency, BERT, 1);
    assert!(world.granted(Class::Emergency).is_none());
    let mut world = world.crashed(bounded(bounds));
    assert_eq!(world.decide(first, DoubtAction::Drop), Resolved::Done);
    let doubts = world.shard().status().doubts;
    assert_eq!((doubts, world.shard().status().held_by), (2, Some(Hold::LedgerFull)));
    world.pass(WAIT_MS);
    assert_eq!((world.shard().status().doubts, world.shard().status().held_by), (1, None));
    assert_eq!(world.pulled(Class::Transactional).address, waits.address());
}

/// Receipts that a carrier never sends.
#[test]
fn messages_of_several_parts_that_only_wait_for_receipts_make_room() {
    let bounds = Bounds { progress_bytes_max: 2 * 52, ..Bounds::DEFAULT };
    let mut world = world_of(bounds);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (id, submit) = world.sent(Class::Transactional, ANNA, 2);
        [1, 2].into_iter().for_each(|part| world.answered(&submit, part, OK));
        ids.push(id);
    }
    assert!(world.counters().parts_forgotten > 0);
    let states: Vec<_> = ids.iter().map(|id| world.story(*id).0).collect();
    assert_eq!(states, [MessageState::Submitted; 3], "each was sent once, with all its parts");
    world.checkpoint();
    let world = world.crashed(bounded(bounds));
    assert_eq!(world.counters().parts_unnoted, 0);
}

#[test]
fn a_part_that_cannot_be_remembered_is_never_sent_again() {
    let bounds = Bounds { progress_bytes_max: 52, ..Bounds::DEFAULT };
    let mut world = world_of(bounds);
    let remembered = world.half_taken();
    let unnoted = world.half_taken();
    assert_eq!(world.counters().parts_unnoted, 1);
    assert_eq!(world.story(unnoted).0, MessageState::Dead);
    world.pass(3_600_000);
    let again = world.pulled(Class::Transactional);
    assert_eq!(again.address, remembered.address());
    assert!(again.answered.is_some_and(|parts| parts.contains(1)), "only the other part goes");
    assert!(world.granted(Class::Transactional).is_none());
}

#[test]
fn attempts_that_cannot_be_counted_are_tried_all_the_same() {
    let mut world = world_of(Bounds { tried_max: 1, ..Bounds::DEFAULT });
    for to in [ANNA, BERT] {
        let (_, submit) = world.sent(Class::Marketing, to, 1);
        world.answered(&submit, 1, BUSY);
    }
    assert_eq!(world.counters().attempts_uncounted, 1);
    world.pass(3_600_000);
    let attempts = [world.pulled(Class::Marketing).attempt, world.pulled(Class::Marketing).attempt];
    assert_eq!(attempts.iter().sum::<u8>(), 3, "{attempts:?}");
}

/// An answer to the last attempt may still come, so its number must not be used again.
#[test]
fn a_message_in_doubt_waits_for_room_to_count_its_attempts() {
    let mut world = world_of(Bounds { tried_max: 1, ..Bounds::DEFAULT });
    let (_, submit) = world.sent(Class::Marketing, ANNA, 1);
    world.answered(&submit, 1, BUSY);
    let (id, submit) = world.sent(Class::Marketing, BERT, 1);
    world.lost(&submit);
    world.pass(WAIT_MS);
    assert_eq!(world.story(id).0, MessageState::InDoubt);
    world.pass(3_600_000);
    assert_ne!(world.pulled(Class::Marketing).address, id.address());
    world.pass(WAIT_MS);
    let again = world.pulled(Class::Marketing);
    assert_eq!((again.address, again.attempt), (id.address(), 2), "once the other is under way");
}

#[test]
fn cancellations_wait_until_others_are_passed_over() {
    let mut world = world_of(Bounds { cancelled_max: 1, ..Bounds::DEFAULT });
    let cancel =
        |world: &mut World, id| match world.ask(Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(5), id }) {
            Reply::Cancelled(cancelled) => cancelled,
            other => panic!("{other:?}"),
        };
    let ids = [ANNA, BERT].map(|to| world.accepted(Class::Marketing, to, 1));
    // The first of the list would be passed over at once.
    assert_eq!([ids[1], ids[0]].map(|id| cancel(&mut world, id)), [Cancelled::Done, Cancelled::Busy]);
    assert_eq!(world.counters().cancellations_refused, 1);
    assert_eq!(world.story(ids[0]).0, MessageState::Queued, "the caller was not told otherwise");
    assert_eq!(world.pulled(Class::Marketing).address, ids[0].address());
    let third = world.accepted(Class::Marketing, ANNA, 1);
    assert_eq!(cancel(&mut world, third), Cancelled::Done);
}

/// A carrier that delivers one receipt for ever.
#[test]
fn a_receipt_that_is_said_again_and_again_is_not_written_down_for_ever() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.answered(&submit, 1, OK);
    for state in [ReceiptState::Accepted, ReceiptState::Delivered] {
        for _ in 0..500 {
            world.receipt(ANNA, "id-1", state, None);
        }
    }
    let Reply::Found(found) =
        world.ask(Ask::Lookup { reply: ReplyTo::default(), whose: Whose::Of(TenantId(5)), ids: vec![id] })
    else {
        panic!("another answer")
    };
    let Lookup::Found(found) = &found[0] else { panic!("{found:?}") };
    assert_eq!(found.view.state, MessageState::Delivered);
    assert!(found.view.timeline.len() <= usize::from(RECORDED_MAX) + 3, "{} entries", found.view.timeline.len());
    assert_eq!(world.counters().receipts_repeated, 999 - u64::from(RECORDED_MAX));
    assert_eq!(world.shard().status().orphans, 0);
}

/// No set can cause this, since all are bounded. But whatever the cause, a process that ends at each checkpoint would be useless.
#[test]
fn a_checkpoint_that_does_not_fit_is_left_out_and_told() {
    let bounds = Bounds { checkpoint_bytes_max: 150, ..Bounds::DEFAULT };
    let mut world = world_of(bounds);
    world.alarms = Some(Vec::new());
    let mut ids: Vec<MessageId> = (0..9).map(|_| world.accepted(Class::Transactional, ANNA, 1)).collect();
    for _ in 0..3 {
        let submit = world.pulled(Class::Transactional);
        world.lost(&submit);
    }
    for round in 1..=2 {
        world.handle(ShardEvent::Checkpoint);
        assert!(!world.shard().checkpoint_pending(), "a stop would never end");
        assert_eq!(world.alarms.as_ref().map(Vec::len), Some(round));
    }
    assert_eq!(world.counters().checkpoints_too_large, 2);
    ids.push(world.accepted(Class::Transactional, BERT, 1));
    // Nothing is lost by it, and a later checkpoint may fit.
    let mut world = world.crashed(options());
    world.checkpoint();
    assert_eq!((world.shard().status().doubts, world.shard().status().waiting[Class::Transactional.index()]), (3, 7));
    assert_eq!(world.store.reader().get(Space::Meta, &Key::Checkpoint.bytes()).map(|found| found.is_some()), Ok(true));
}

/// What is too old is removed before the snapshot is taken.
#[test]
fn what_is_too_old_is_in_no_checkpoint() {
    let mut world = world();
    for _ in 0..3 {
        let (_, submit) = world.sent(Class::Transactional, ANNA, 2);
        [1, 2].into_iter().for_each(|part| world.answered(&submit, part, OK));
    }
    let pages = |world: &World| recover(&world.store.reader()).expect("sound").book.progress.len();
    world.checkpoint();
    assert_eq!(pages(&world), 3);
    world.pass(options().receipt_wait_ms + 1);
    world.checkpoint();
    assert_eq!(pages(&world), 0);
}

/// However much is under way: it takes as many pages as it needs, and no page of an earlier checkpoint stays.
#[test]
fn a_checkpoint_of_many_messages_is_written_in_pages() {
    let mut world = world();
    for _ in 0..2_500 {
        world.accepted(Class::Transactional, ANNA, 1);
        let submit = world.pulled(Class::Transactional);
        world.lost(&submit);
    }
    for _ in 0..3 {
        world.checkpoint();
        let found = recover(&world.store.reader()).expect("sound");
        assert_eq!((found.book.doubts.len(), world.entries(Space::Book) as u32), (2_500, found.checkpoint.pages));
        assert!(found.checkpoint.pages >= 3, "{} pages", found.checkpoint.pages);
    }
    let world = world.crashed(options());
    assert_eq!(world.shard().status().doubts, 2_500);
}

#[test]
fn a_disk_without_room_holds_everything_and_lets_it_go_on() {
    let mut world = world();
    let id = world.accepted(Class::Transactional, ANNA, 1);
    world.handle(ShardEvent::Disk(DiskRoom::Out));
    assert!(world.granted(Class::Transactional).is_none());
    assert_eq!((world.unused, world.shard().status().held_by), (1, Some(Hold::DiskOut)));
    assert_eq!(world.handset("hello"), Verdict::Full);
    // Answers that are still open are written, and reading goes on.
    assert_eq!(world.story(id).0, MessageState::Queued);
    world.handle(ShardEvent::Disk(DiskRoom::Low));
    assert_eq!(world.pulled(Class::Transactional).address, id.address());
    assert_eq!(world.handset("hello"), Verdict::Full, "messages from handsets are new ones as well");
    world.handle(ShardEvent::Disk(DiskRoom::Ample));
    assert_eq!((world.handset("hello"), world.shard().status().held_by), (Verdict::Kept, None));
}

/// A shard that is told that the disk is full frees what room it can.
#[test]
fn a_full_disk_is_a_reason_for_a_checkpoint() {
    let mut world = world();
    let (_, submit) = world.sent(Class::Transactional, ANNA, 1);
    world.answered(&submit, 1, OK);
    let checkpoint = |world: &World| world.store.reader().get(Space::Meta, &Key::Checkpoint.bytes()).expect("read");
    assert!(checkpoint(&world).is_none());
    world.handle(ShardEvent::Disk(DiskRoom::Low));
    let first = checkpoint(&world).expect("a checkpoint");
    world.handle(ShardEvent::Disk(DiskRoom::Low));
    assert_ne!(checkpoint(&world), Some(first), "each time");
}
