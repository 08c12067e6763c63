//! Tests of the link's reactions to refusals and stalled sockets: it slows down, stops, and probes.

use super::world::World;
use crate::link::{Alarm, BindId, Disconnect, LinkEvent, LinkState, breaker::REFUSALS_MAX};
use crate::model::{CarrierError, Class, Content, ErrorFamily};
use crate::traffic::{Answer, NotWritten};
use stentor_smpp::status::CommandStatus;

const ONE: u64 = 4_915_112_345_001;
const TWO: u64 = 4_915_112_345_002;
const OK: CommandStatus = CommandStatus::ROK;
const SLOWER: CommandStatus = CommandStatus::RTHROTTLED;

#[test]
fn throttled_messages_go_again_before_their_followers() {
    let mut world = World::bound(|options| options.window = 3);
    for text in ["a", "b", "c", "d", "e"] {
        world.wait(0, ONE, Class::Transactional, text);
    }
    world.demand(0);
    world.answer(&world.got[0].clone(), SLOWER, b"");
    assert_eq!(world.link.status(world.now.mono).state, LinkState::Throttled);
    world.answer(&world.got[1].clone(), CommandStatus::RMSGQFUL, b"");
    world.answer(&world.got[2].clone(), OK, b"1");
    assert_eq!(world.texts(), ["a", "b", "c"]);
    world.answers = Some(OK);
    world.advance_ms(1_500);
    assert_eq!(world.texts(), ["a", "b", "c", "a", "b", "d", "e"]);
    assert!(world.told.iter().all(|told| matches!(told.answer, Answer::Accepted(_))), "and no attempt is consumed");
    assert_eq!((world.open(), world.link.counters().throttled), (0, 2));
}

#[test]
fn a_throttled_part_goes_again_with_its_number() {
    let mut world = World::bound(|options| options.window = 3);
    world.send(0, ONE, Class::Transactional, &"x".repeat(400));
    world.answer(&world.got[0].clone(), OK, b"1");
    world.answer(&world.got[1].clone(), SLOWER, b"");
    world.answer(&world.got[2].clone(), OK, b"3");
    world.answers = Some(OK);
    world.advance_ms(200);
    assert_eq!(world.got.len(), 4);
    assert_eq!(world.got[3].text, world.got[1].text);
    assert_eq!(world.open(), 0);
}

#[test]
fn a_throttled_message_ends_with_its_time() {
    let mut world = World::bound(|options| options.reconnect_max_ms = 1_000);
    let content = Content { body: b"code", ..Content::default() };
    let expires_at = world.now.wall.after_ms(1_000);
    let submit = world.submit_of(ONE, Class::Otp, &content, |submit| submit.head.expires_at = expires_at);
    world.shards[0].waiting[Class::Otp.index()].push_back(submit);
    world.answers = Some(SLOWER);
    world.demand(0);
    world.advance_ms(20_000);
    assert_eq!(world.outcomes(), [Answer::NotWritten(NotWritten::Expired)]);
    assert!(world.got.len() > 2 && world.got.len() < 8, "{} attempts, slower and slower", world.got.len());
}

#[test]
fn a_throttled_message_of_a_lost_bind_is_not_in_doubt() {
    let mut world = World::bound(|_| {});
    world.send(0, ONE, Class::Transactional, "a");
    world.answer(&world.got[0].clone(), SLOWER, b"");
    world.accepts = None;
    world.disconnect(BindId(0), Disconnect::ByPeer);
    assert_eq!(world.outcomes(), [Answer::NotWritten(NotWritten::LinkDown)]);
}

#[test]
fn a_carrier_says_throttled_in_its_own_code() {
    let mut world = World::bound(|options| options.errors = vec![(0x400, ErrorFamily::Throttle)]);
    world.send(0, ONE, Class::Transactional, "a");
    world.answer(&world.got[0].clone(), CommandStatus(0x400), b"");
    assert!(world.told.is_empty());
    world.advance_ms(200);
    assert_eq!(world.texts(), ["a", "a"]);
}

#[test]
fn the_breaker_opens_probes_and_closes() {
    let mut world = World::bound(|options| options.window = 30);
    world.answers = Some(CommandStatus::RINVSERTYP);
    for n in 0..u64::from(REFUSALS_MAX) {
        world.send(0, ONE + n, Class::Transactional, "a");
    }
    assert!(world.alarms.contains(&Alarm::BreakerOpened { status: 0x15 }));
    assert_eq!(world.link.status(world.now.mono).state, LinkState::BreakerOpen);
    world.wait(0, ONE, Class::Transactional, "b");
    world.wait(0, TWO, Class::Transactional, "c");
    world.demand(0);
    world.advance_ms(29_000);
    assert_eq!(world.got.len(), REFUSALS_MAX as usize, "nothing passes");
    world.answers = None;
    world.advance_ms(1_001);
    assert_eq!(world.texts().last().map(String::as_str), Some("b"));
    assert_eq!(world.got.len(), REFUSALS_MAX as usize + 1, "one probe");
    world.answer(&world.got[REFUSALS_MAX as usize].clone(), OK, b"1");
    assert_eq!(world.texts().last().map(String::as_str), Some("c"));
    assert!(world.alarms.contains(&Alarm::BreakerClosed));
}

#[test]
fn the_operator_closes_the_breaker() {
    let mut world = World::bound(|options| options.window = 30);
    world.answers = Some(CommandStatus::RINVCMDLEN);
    for n in 0..u64::from(REFUSALS_MAX) {
        world.send(0, ONE + n, Class::Transactional, "a");
    }
    assert_eq!(world.link.status(world.now.mono).state, LinkState::BreakerOpen);
    assert!(world.alarms.contains(&Alarm::Unreadable { bind: BindId(0), status: 2 }));
    world.handle(LinkEvent::Resume);
    world.answers = Some(OK);
    world.send(0, ONE, Class::Transactional, "b");
    assert_eq!(world.texts().last().map(String::as_str), Some("b"));
}

#[test]
fn not_bound_says_the_carrier_so_it_binds_anew() {
    let mut world = World::bound(|_| {});
    world.send(0, ONE, Class::Transactional, "a");
    world.answer(&world.got[0].clone(), CommandStatus::RINVBNDSTS, b"");
    assert_eq!(world.outcomes(), [Answer::Refused(CarrierError::of_answer(ErrorFamily::Session, 4))]);
    world.advance_ms(1_001);
    assert_eq!((world.connects.len(), world.link.status(world.now.mono).state), (2, LinkState::Up));
}

#[test]
fn parts_that_left_late_are_counted_when_they_left() {
    let mut world = stalled(1);
    let stuck = world.link.status(world.now.mono).outstanding;
    assert_eq!(stuck, 1, "while the socket takes nothing, no more parts are sent");
    world.writes = true;
    world.answers = Some(OK);
    world.write(BindId(0), usize::MAX);
    world.advance_ms(3_000);
    check_ten_a_second(world.got.iter().map(|got| got.at.0).collect());
}

/// Checks that there are never eleven parts within a second, and on average not far fewer than ten.
fn check_ten_a_second(mut instants: Vec<u64>) {
    instants.sort_unstable();
    for window in instants.windows(11) {
        assert!(window[10] - window[0] >= 1_000_000_000, "eleven within a second");
    }
    assert!(instants.len() >= 25, "{}", instants.len());
}

/// A rate of ten parts a second, a long queue, and sockets that take nothing for 900 ms.
fn stalled(binds: u16) -> World {
    let mut world = World::bound(|options| {
        options.rate_parts_per_s = Some(10);
        options.window = 100;
        options.binds = binds;
    });
    world.writes = false;
    for _ in 0..40 {
        world.wait(0, ONE, Class::Marketing, "m");
    }
    world.demand(0);
    world.advance_ms(900);
    world
}

/// If a connection is lost whose socket took a part late or never, it is unknown when the part was sent: it counts as sent at
/// the time of the loss.
#[test]
fn a_part_in_a_stalled_socket_counts_at_the_loss_of_its_connection() {
    let mut world = stalled(2);
    world.writes = true;
    world.answers = Some(OK);
    let lost_at = world.now.mono.0;
    world.unwritten.remove(&BindId(0));
    world.handle(LinkEvent::Disconnected { bind: BindId(0), reason: Disconnect::Broken, torn: true });
    world.write(BindId(1), usize::MAX);
    world.advance_ms(3_000);
    check_ten_a_second(world.got.iter().map(|got| got.at.0).chain([lost_at]).collect());
}
