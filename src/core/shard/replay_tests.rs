//! What a restart knows, in cases where it once knew something else than the shard before it.

use crate::delivery::samples::busy;

use super::*;

const OK: Answer = Answer::Accepted(Span { at: 0, len: 4 });
const BUSY: Answer = Answer::Refused(busy(8));
const HOUR_MS: u64 = 3_600_000;

/// The checkpoint holds the attempt, since an answer is still to come; its message has ended.
#[test]
fn what_ended_before_its_last_answer_is_not_in_doubt_after_a_crash() {
    let mut world = world();
    let (id, submit) = world.sent(Class::Transactional, ANNA, 2);
    world.answered(&submit, 1, OK);
    world.receipt(ANNA, "id-1", ReceiptState::Undeliverable, None);
    assert_eq!(world.story(id).0, MessageState::Undelivered);
    world.checkpoint();
    let mut world = world.crashed(options());
    assert_eq!((world.shard().status().doubts, world.shard().status().open), (0, 0));
    assert_eq!(world.story(id).0, MessageState::Undelivered);
}

/// Its place has been free since then; its entry in the list is passed over after the restart.
#[test]
fn what_expired_in_its_list_with_a_part_at_the_carrier_frees_one_place() {
    let mut world = world();
    let head = Head {
        to: number(ANNA),
        tenant: TenantId(5),
        class: Class::Transactional,
        receipt: true,
        parts: 2,
        route: RouteId(1),
        expires_at: world.now.wall.after_ms(HOUR_MS),
        ..Head::default()
    };
    let Reply::Submitted(results) = world.ask(Ask::Submit(Frame { heads: vec![head], ..Frame::default() })) else {
        panic!("another answer")
    };
    let LineResult::Accepted(expires) = results[0] else { panic!("{results:?}") };
    let half = world.pulled(Class::Transactional);
    world.answered(&half, 1, OK);
    // A message before it in the list keeps its entry there.
    let (first, submit) = world.sent(Class::Transactional, BERT, 1);
    world.answered(&submit, 1, BUSY);
    world.pass(HOUR_MS / 4);
    world.answered(&half, 2, BUSY);
    world.pass(HOUR_MS / 4);
    assert_eq!(world.shard().status().tenants, [(TenantId(5), 2)]);
    [HOUR_MS, 1_000].into_iter().for_each(|ms| world.pass(ms));
    assert_eq!(world.story(expires).0, MessageState::Expired);
    assert_eq!(world.shard().status().tenants, [(TenantId(5), 1)]);

    let mut world = world.crashed(options());
    world.accepted(Class::Transactional, BERT, 1);
    assert_eq!(world.pulled(Class::Transactional).address, first.address());
    assert_eq!(world.shard().status().tenants, [(TenantId(5), 1)]);
}
