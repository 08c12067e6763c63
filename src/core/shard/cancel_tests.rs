//! A cancelled message is never sent, however long its entries stay in lists and in the delay queue.

use super::*;

const CLASS: Class = Class::Marketing;
const RETENTION_MS: u64 = 3_600_000;

fn scheduled(world: &mut World, to: &str, in_ms: u64) -> MessageId {
    let head = Head {
        to: number(to),
        tenant: TenantId(5),
        class: CLASS,
        parts: 1,
        route: RouteId(1),
        send_at: world.now.wall.after_ms(in_ms),
        expires_at: world.now.wall.after_ms(100 * RETENTION_MS),
        ..Head::default()
    };
    let Reply::Submitted(results) = world.ask(Ask::Submit(Frame { heads: vec![head], ..Frame::default() })) else {
        panic!("another answer")
    };
    let LineResult::Accepted(id) = results[0] else { panic!("{results:?}") };
    id
}

fn cancel(world: &mut World, id: MessageId) {
    let ask = Ask::Cancel { reply: ReplyTo::default(), tenant: TenantId(5), id };
    assert!(matches!(world.ask(ask), Reply::Cancelled(Cancelled::Done)));
}

fn is_gone(world: &mut World, id: MessageId) -> bool {
    let ask = Ask::Lookup { reply: ReplyTo::default(), whose: Whose::Of(TenantId(5)), ids: vec![id] };
    let Reply::Found(found) = world.ask(ask) else { panic!("another answer") };
    matches!(found[0], Lookup::Gone)
}

/// In a world with a short retention `prepare` cancels a message. Then retention passes, and checkpoints are made; then all that
/// was scheduled is due, before or after a crash. Returns what leaves when the link grants enough for all.
fn left_at_last(prepare: impl Fn(&mut World) -> MessageId, crashes: bool) -> Vec<Address> {
    let options = || Options { retention_ms: RETENTION_MS, ..options() };
    let now = Now { mono: Mono(0), wall: Wall(1_000_000) };
    let mut world = start(MemoryStore::new(Drops::AtCheckpoint), options(), now);
    let cancelled = prepare(&mut world);
    world.pass(RETENTION_MS + 60_000);
    for _ in 0..3 {
        world.checkpoint();
        // Something happens in between.
        scheduled(&mut world, BERT, 50 * RETENTION_MS);
    }
    assert!(is_gone(&mut world, cancelled), "its segment is retired");
    if crashes {
        world = world.crashed(options());
    }
    world.pass(2 * RETENTION_MS);
    for _ in 0..3 {
        let grant = Grant { link: LINK, class: CLASS, messages: 10, standing: false };
        world.handle(ShardEvent::Traffic(ToShard::Grant(grant)));
    }
    assert_eq!(world.shard().status().tenants, [(TenantId(5), 3)], "only those from in between hold places");
    world.submits.iter().map(|submit| submit.address).collect()
}

/// Core A1: the mark of a cancelled message went with its segment, and its entry stayed.
#[test]
fn what_was_cancelled_in_the_delay_queue_is_not_sent_when_its_segment_is_gone() {
    for crashes in [false, true] {
        let left = left_at_last(
            |world| {
                let id = scheduled(world, ANNA, 2 * RETENTION_MS);
                cancel(world, id);
                id
            },
            crashes,
        );
        assert!(left.is_empty(), "{left:?}");
    }
}

/// The same for a message that was ready, behind another that waits for a link.
#[test]
fn what_was_cancelled_in_a_list_is_not_sent_when_its_segment_is_gone() {
    for crashes in [false, true] {
        let left = left_at_last(
            |world| {
                let id = scheduled(world, ANNA, 2_000);
                // It comes due into the list before the other, but its segment is later.
                scheduled(world, BERT, 1_000);
                world.pass(3_000);
                cancel(world, id);
                id
            },
            crashes,
        );
        assert_eq!(left.len(), 1, "the other one: {left:?}");
    }
}

/// Ids contain addresses, which are given out in a row, so a client can guess the ids of another tenant's messages.
#[test]
fn another_tenants_message_is_neither_seen_nor_cancelled() {
    let mut world = world();
    let own = scheduled(&mut world, ANNA, RETENTION_MS);
    let mut seen = |whose| {
        let ask = Ask::Lookup { reply: ReplyTo::default(), whose, ids: vec![own] };
        let Reply::Found(found) = world.ask(ask) else { panic!("another answer") };
        !matches!(found[..], [Lookup::Unknown])
    };
    assert_eq!([Whose::Of(TenantId(6)), Whose::Of(TenantId(5)), Whose::All].map(&mut seen), [false, true, true]);
    let mut cancelled = |tenant| match world.ask(Ask::Cancel { reply: ReplyTo::default(), tenant, id: own }) {
        Reply::Cancelled(cancelled) => cancelled,
        other => panic!("{other:?}"),
    };
    let answers = [TenantId(6), TenantId(5), TenantId(6)].map(&mut cancelled);
    assert_eq!(answers, [Cancelled::Unknown, Cancelled::Done, Cancelled::Unknown]);
}
