//! Tests of sessions: connecting, binding, pausing, ending.

use super::world::World;
use crate::link::smpp::leg::LegState;
use crate::link::trouble::{Trouble, WORDS_MAX};
use crate::link::{Alarm, BindId, BindKind, Disconnect, LinkEvent, LinkState, Options, SessionLoss};
use crate::model::{Class, ShardId};
use crate::traffic::{Answer, NotWritten, Unanswered};
use stentor_smpp::split::Splitting;
use stentor_smpp::status::CommandStatus;

const ONE: u64 = 4_915_112_345_001;
const OK: CommandStatus = CommandStatus::ROK;
const FIRST: BindId = BindId(0);
const SECOND: BindId = BindId(1);
const DOWN: Answer = Answer::NotWritten(NotWritten::LinkDown);

#[test]
fn it_tries_the_hosts_in_turn_and_ever_more_slowly() {
    let mut world = World::new(|options| {
        options.hosts = 3;
        options.reconnect_max_ms = 8_000;
    });
    world.accepts = None;
    world.advance_ms(1);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let failed = world.now.mono;
        world.disconnect(FIRST, Disconnect::Unreachable);
        let before = world.connects.len();
        while world.connects.len() == before {
            world.advance_ms(1);
        }
        pauses.push(world.now.mono.since(failed) / 1_000_000);
    }
    let hosts: Vec<u16> = world.connects.iter().map(|connect| connect.1).collect();
    assert_eq!(hosts, [0, 1, 2, 0, 1, 2, 0]);
    for (pause, longest) in pauses.into_iter().zip([1_000, 2_000, 4_000, 8_000, 8_000, 8_000]) {
        assert!((longest / 2..=longest + 1).contains(&pause), "{pause} of {longest}");
    }
}

#[test]
fn binds_begin_with_different_hosts_and_the_halves_of_a_pair_with_the_same() {
    let hosts = |change: fn(&mut Options)| {
        let world = World::bound(|options| {
            (options.hosts, options.binds) = (2, 3);
            change(options);
        });
        world.connects.iter().map(|connect| connect.1).collect::<Vec<_>>()
    };
    assert_eq!(hosts(|_| {}), [0, 1, 0]);
    assert_eq!(hosts(|options| options.binds_before = 3), [1, 0, 1], "those of other cores are counted");
    assert_eq!(hosts(|options| options.bind = BindKind::Pair), [0, 0, 1, 1, 0, 0]);
    assert_eq!(hosts(|options| options.hosts = 0), [0, 0, 0]);
}

/// The hosts to which a link with `hosts` hosts connects, one after another, if its sessions end after these times, ms.
fn goes(hosts: u16, sessions_ms: &[u64], end: fn(&mut World)) -> Vec<(u16, u32)> {
    let mut world = World::bound(|options| {
        options.hosts = hosts;
        options.reconnect_max_ms = 1_000;
    });
    for ms in sessions_ms {
        world.advance_ms(*ms);
        end(&mut world);
        world.advance_ms(1_001);
    }
    world.connects.iter().map(|connect| connect.1).zip(world.turns).collect()
}

#[test]
fn a_host_that_binds_and_drops_its_sessions_is_left() {
    let drops: fn(&mut World) = |world| world.disconnect(FIRST, Disconnect::ByPeer);
    assert_eq!(goes(2, &[100, 9_000, 0], drops), [(0, 0), (0, 0), (0, 0), (1, 0)]);
    assert_eq!(goes(2, &[100, 100, 11_000, 100, 100], drops), [(0, 0); 6], "a long session resets the count");
    assert_eq!(goes(1, &[100, 100, 100], drops), [(0, 0), (0, 0), (0, 0), (0, 1)], "another of its addresses");
}

#[test]
fn a_host_that_binds_and_never_answers_is_left() {
    let mut world = World::bound(|options| {
        options.hosts = 2;
        options.response_timeout_ms = 20_000;
        options.reconnect_max_ms = 1_000;
    });
    for _ in 0..3 {
        world.send(0, ONE, Class::Transactional, "a");
        world.advance_ms(20_001);
        world.advance_ms(2_000);
    }
    assert_eq!(world.connects.iter().map(|connect| connect.1).collect::<Vec<_>>(), [0, 0, 0, 1]);
}

#[test]
fn a_host_is_not_left_because_we_end_its_sessions() {
    assert_eq!(goes(2, &[10; 5], |world| world.handle(LinkEvent::Rebind)), [(0, 0); 6]);
}

#[test]
fn a_connection_that_never_comes_to_be_is_given_up() {
    let mut world = World::new(|options| options.connect_timeout_ms = 2_000);
    world.accepts = None;
    world.advance_ms(1);
    world.advance_ms(2_000);
    assert!(matches!(world.link.status(world.now.mono).binds[0].state, LegState::Waiting { .. }));
    world.advance_ms(1_000);
    world.connect(FIRST);
    world.advance_ms(2_100);
    let last = world.link.status(world.now.mono).last_trouble.expect("a trouble");
    let within = 1..2_000;
    let unanswered = |what| matches!(what, Trouble::Session(SessionLoss::BindUnanswered { within_ms }) if within.contains(&within_ms));
    assert!(unanswered(last.what), "{last:?}");
    let is_lost = |alarm: &Alarm| matches!(alarm, Alarm::SessionLost { .. });
    assert!(!world.alarms.iter().any(is_lost), "what was never bound was not lost: {:?}", world.alarms);
}

/// The last trouble in the status: host and text.
fn trouble(world: &mut World) -> Option<(String, String)> {
    let last = world.link.status(world.now.mono).last_trouble?;
    Some((last.peer, last.what.to_string()))
}

#[test]
fn an_answer_to_a_bind_that_comes_too_late_is_not_read() {
    let mut world = World::new(|options| {
        options.connect_timeout_ms = 2_000;
        options.host_names = vec!["smpp.north.example:2775".to_owned()];
    });
    world.accepts = None;
    world.advance_ms(500);
    world.connect(FIRST);
    let late = [&[0, 0, 0, 21, 0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1][..], b"smsc\0"].concat();
    // The session has ended, but its connection is not closed yet.
    world.now = world.now.after_ns(1_500_000_001);
    world.link.handle_timeout(world.now);
    assert_eq!(world.link.handle_bytes(FIRST, &late, world.now), late.len());
    world.settle();
    let told = trouble(&mut world).expect("a trouble");
    assert_eq!(told, ("smpp.north.example:2775".to_owned(), "bind not answered within 1.500 s".to_owned()));
    // It is not taken for the answer to the next bind either.
    assert_eq!(world.link.handle_bytes(FIRST, &late, world.now), late.len());
    let status = world.link.status(world.now.mono);
    assert!(matches!(status.binds[0].state, LegState::Waiting { .. }), "{status:?}");
    assert_eq!((status.state, world.link.counters().binds), (LinkState::Down, 0));
    world.accepts = Some(OK);
    world.advance_ms(2_000);
    assert_eq!((world.link.status(world.now.mono).state, world.link.counters().binds), (LinkState::Up, 1));
}

#[test]
fn what_went_wrong_last_is_told_with_its_cause() {
    let mut world = World::bound(|options| options.enquire_link_ms = 20_000);
    assert_eq!(trouble(&mut world), None);
    world.disconnect(FIRST, Disconnect::ByPeer);
    let by = |what: &str| Some(("host 1".to_owned(), what.to_owned()));
    assert_eq!(trouble(&mut world), by("the carrier closed the connection"));
    world.accepts = Some(CommandStatus::RINVPASWD);
    world.advance_ms(1_000);
    assert_eq!(trouble(&mut world), by("bind refused: ESME_RINVPASWD (0x0E)"), "not that it was closed then");
    world.accepts = None;
    while !world.connecting.contains(&FIRST) {
        world.advance_ms(100);
    }
    world.handle(LinkEvent::Words { bind: FIRST, words: "name not found".to_owned() });
    world.disconnect(FIRST, Disconnect::Unreachable);
    let unreachable = by("cannot be reached");
    assert_eq!(trouble(&mut world), unreachable);
    let last = world.link.status(world.now.mono).last_trouble.map(|last| last.said());
    assert_eq!(last.as_deref(), Some("cannot be reached: name not found"));
    let told = world.alarms.iter().rev().find(|alarm| matches!(alarm, Alarm::Trouble { .. }));
    let told = told.map(ToString::to_string).expect("the operator is told");
    assert!(told.starts_with("host 1: cannot be reached: name not found; ") && told.contains("next try in "), "{told}");
    world.accepts = Some(OK);
    world.advance_ms(120_000);
    world.handle(LinkEvent::Rebind);
    assert_eq!(trouble(&mut world), unreachable, "a session that we end ourselves is no trouble");
}

#[test]
fn what_a_reload_changed_is_tried_at_once() {
    let mut world = World::new(|options| {
        options.reconnect_min_ms = 60_000;
        options.reconnect_max_ms = 60_000;
    });
    world.accepts = None;
    world.advance_ms(1);
    let endless = "é".repeat(WORDS_MAX);
    world.handle(LinkEvent::Words { bind: FIRST, words: endless });
    world.disconnect(FIRST, Disconnect::Unreachable);
    let status = world.link.status(world.now.mono);
    assert!(status.next_try_ms.is_some_and(|ms| (30_000..=60_000).contains(&ms)), "{:?}", status.next_try_ms);
    let words = status.last_trouble.and_then(|last| last.words).expect("words");
    assert_eq!(words.len(), WORDS_MAX, "the rest is left out");
    world.advance_ms(1_000);
    assert_eq!(world.connects.len(), 1);
    let options = world.link.options().clone();
    world.handle(LinkEvent::Reconfigure(Box::new(options)));
    world.advance_ms(1);
    assert_eq!((world.connects.len(), world.link.status(world.now.mono).next_try_ms), (2, None));
}

#[test]
fn a_refused_account_is_told_and_tried_slowly() {
    let mut world = World::new(|options| options.reconnect_max_ms = 60_000);
    world.accepts = Some(CommandStatus::RINVPASWD);
    world.advance_ms(1);
    assert!(world.alarms.contains(&Alarm::AccountRefused { bind: FIRST, status: 0x0E }));
    let status = world.link.status(world.now.mono);
    assert_eq!((status.state, status.binds[0].refused), (LinkState::Down, Some(0x0E)));
    world.advance_ms(29_000);
    assert_eq!(world.connects.len(), 1, "at least half a minute");
    world.accepts = Some(OK);
    world.handle(LinkEvent::Rebind);
    world.advance_ms(1);
    let status = world.link.status(world.now.mono);
    assert_eq!((status.state, status.binds[0].refused), (LinkState::Up, None), "the operator need not wait");
}

#[test]
fn a_pair_sends_only_while_both_halves_are_bound() {
    let mut world = World::bound(|options| options.bind = BindKind::Pair);
    assert_eq!(world.connects.len(), 2);
    world.send(0, ONE, Class::Transactional, "a");
    assert_eq!((world.got.len(), world.got[0].bind), (1, FIRST));
    world.accepts = None;
    world.disconnect(SECOND, Disconnect::ByPeer);
    world.send(0, ONE, Class::Transactional, "b");
    assert_eq!(world.got.len(), 1);
    world.answer(&world.got[0].clone(), OK, b"1");
    assert_eq!(world.told.len(), 1, "answers still count");
    world.accepts = Some(OK);
    world.advance_ms(1_001);
    world.connecting.iter().copied().collect::<Vec<_>>().into_iter().for_each(|bind| world.connect(bind));
    assert_eq!(world.texts(), ["a", "b"]);
}

#[test]
fn a_transmitter_needs_no_receiver() {
    let mut world = World::bound(|options| {
        options.bind = BindKind::Transmitter;
        options.binds = 2;
    });
    assert_eq!(world.connects.len(), 2, "one connection each");
    assert_eq!((world.link.transmits(FIRST), world.link.transmits(SECOND)), (Some(true), Some(true)));
    world.accepts = None;
    world.disconnect(SECOND, Disconnect::ByPeer);
    world.send(0, ONE, Class::Transactional, "a");
    assert_eq!(world.texts(), ["a"]);
}

#[test]
fn without_a_bind_nothing_is_kept() {
    let mut world = World::bound(|options| options.window = 2);
    for text in ["a", "b", "c"] {
        world.wait(0, ONE, Class::Transactional, text);
    }
    world.demand(0);
    world.accepts = None;
    world.disconnect(FIRST, Disconnect::ByPeer);
    let lost = Answer::Unanswered(Unanswered::ConnectionLost);
    assert_eq!(world.outcomes(), [lost, lost, DOWN]);
    assert_eq!((world.open(), world.alarms.last()), (0, Some(&Alarm::LinkDown)));
    world.demand(0);
    assert_eq!(world.shards[0].places, [0; 4], "no grants while it is down");
}

#[test]
fn a_place_granted_before_the_end_is_void() {
    let mut world = World::bound(|_| {});
    world.uses_grants = false;
    world.send(0, ONE, Class::Transactional, "a");
    world.accepts = None;
    world.disconnect(FIRST, Disconnect::ByPeer);
    world.use_places(ShardId(0), Class::Transactional, true);
    assert_eq!(world.outcomes(), [DOWN]);
}

#[test]
fn what_never_left_is_not_in_doubt() {
    let mut world = World::bound(|options| options.window = 3);
    world.writes = false;
    for text in ["a", "b", "c"] {
        world.send(0, ONE, Class::Transactional, text);
    }
    world.write(FIRST, 60);
    world.accepts = None;
    world.disconnect(FIRST, Disconnect::Broken);
    // The parts went back ahead of their followers, and then the link had no bind left.
    assert_eq!(world.outcomes(), [Answer::Unanswered(Unanswered::ConnectionLost), DOWN, DOWN]);
}

#[test]
fn a_session_that_loses_an_answer_is_bound_anew() {
    let mut world = World::bound(|options| {
        options.window = 2;
        options.response_timeout_ms = 2_000;
    });
    world.send(0, ONE, Class::Transactional, "a");
    world.advance_ms(1_000);
    world.send(0, ONE, Class::Transactional, "b");
    world.send(0, ONE, Class::Transactional, "c");
    world.advance_ms(1_001);
    assert_eq!(world.outcomes(), [Answer::Unanswered(Unanswered::ResponseTimeout), DOWN]);
    assert!(world.alarms.contains(&Alarm::SessionLost { bind: FIRST, why: SessionLoss::ResponseTimeout }));
    world.answer(&world.got[0].clone(), OK, b"1");
    assert_eq!((world.told.len(), world.link.counters().late_responses), (2, 1));
    assert_eq!((world.late.len(), world.late[0].id.as_slice()), (1, b"1".as_slice()), "the shard is still told");
    world.answer(&world.got[1].clone(), OK, b"2");
    assert_eq!(world.told.len(), 3, "the other answer was waited for");
    world.advance_ms(2_000);
    assert_eq!((world.connects.len(), world.link.status(world.now.mono).state), (2, LinkState::Up));
}

#[test]
fn messages_of_a_lost_bind_go_over_another() {
    let mut world = World::bound(|options| {
        options.binds = 2;
        options.window = 1;
    });
    world.accepts = None;
    world.wait(0, ONE, Class::Transactional, "a");
    world.wait(0, ONE, Class::Transactional, "b");
    world.demand(0);
    assert_eq!(world.texts(), ["a"], "b waits at the bind where a is");
    let bind = world.got[0].bind;
    world.disconnect(bind, Disconnect::ByPeer);
    assert_eq!(world.texts(), ["a", "b"]);
    assert_ne!(world.got[1].bind, bind);
}

#[test]
fn what_a_lost_bind_gives_back_goes_before_younger_ones() {
    let mut world = World::bound(|options| {
        options.binds = 2;
        options.window = 1;
    });
    world.accepts = None;
    world.wait(0, ONE, Class::Transactional, "a");
    world.wait(0, ONE, Class::Transactional, "b");
    world.demand(0);
    world.send(0, ONE + 1, Class::Transactional, "other");
    world.send(0, ONE, Class::Transactional, "c");
    assert_eq!(world.texts(), ["a", "other"], "b waits at the first bind, c for any");
    let (first, second) = (world.got[0].bind, world.got[1].clone());
    world.disconnect(first, Disconnect::ByPeer);
    world.answers = Some(OK);
    world.answer(&second, OK, b"1");
    assert_eq!(world.texts(), ["a", "other", "b", "c"]);
}

#[test]
fn the_carrier_may_say_goodbye() {
    let mut world = World::bound(|_| {});
    let now = world.now.mono.0;
    world.servers.get_mut(&FIRST).expect("a session").unbind(0, now);
    world.hear(FIRST);
    assert!(world.alarms.contains(&Alarm::SessionLost { bind: FIRST, why: SessionLoss::PeerUnbound }));
    world.advance_ms(1_000);
    assert_eq!((world.connects.len(), world.link.status(world.now.mono).state), (2, LinkState::Up));
}

#[test]
fn pause_keeps_the_session_and_sends_nothing() {
    let mut world = World::bound(|options| options.window = 1);
    world.wait(0, ONE, Class::Transactional, "a");
    world.wait(0, ONE, Class::Transactional, "b");
    world.demand(0);
    world.handle(LinkEvent::Pause);
    assert_eq!((world.link.status(world.now.mono).state, world.outcomes()), (LinkState::Paused, vec![DOWN]));
    world.answer(&world.got[0].clone(), OK, b"1");
    world.send(0, ONE, Class::Transactional, "c");
    assert_eq!(world.texts(), ["a"]);
    world.handle(LinkEvent::Resume);
    assert_eq!((world.texts(), world.connects.len()), (vec!["a".to_owned(), "c".to_owned()], 1));
}

#[test]
fn a_drain_waits_for_answers_and_unbinds() {
    let mut world = World::bound(|options| options.window = 1);
    world.wait(0, ONE, Class::Transactional, "a");
    world.wait(0, ONE, Class::Transactional, "b");
    world.demand(0);
    world.handle(LinkEvent::Drain);
    assert_eq!(world.outcomes(), [Answer::NotWritten(NotWritten::Drained)]);
    world.send(0, ONE, Class::Transactional, "c");
    assert_eq!(world.shards[0].places, [0; 4]);
    world.advance_ms(3_000);
    assert!(!world.link.is_drained());
    world.answer(&world.got[0].clone(), OK, b"1");
    assert!(world.link.is_drained(), "{:?}", world.link.status(world.now.mono));
    world.advance_ms(600_000);
    assert_eq!((world.open(), world.connects.len(), world.link.poll_timeout()), (0, 1, None));
}

#[test]
fn a_stop_leaves_nothing_open() {
    let mut world = World::bound(|options| options.window = 1);
    world.wait(0, ONE, Class::Transactional, "a");
    world.wait(0, ONE, Class::Transactional, "b");
    world.demand(0);
    world.handle(LinkEvent::Drain);
    world.link.handle(LinkEvent::Stop, world.now);
    world.settle();
    let stopped = Answer::Unanswered(Unanswered::Stopped);
    assert_eq!(world.outcomes(), [Answer::NotWritten(NotWritten::Drained), stopped]);
    assert!(world.link.is_drained());
}

#[test]
fn other_options_take_effect_without_new_sessions_where_they_can() {
    let mut world = World::bound(|options| options.window = 100);
    let mut options = world.link.options().clone();
    options.rate_parts_per_s = Some(50);
    options.binds = 2;
    world.handle(LinkEvent::Reconfigure(Box::new(options.clone())));
    world.advance_ms(1);
    assert_eq!(world.connects, [(FIRST, 0), (SECOND, 0)]);
    world.answers = Some(OK);
    for _ in 0..200 {
        world.wait(0, ONE, Class::Marketing, "m");
    }
    world.demand(0);
    world.advance_ms(1_000);
    assert!((48..=50).contains(&world.got.len()), "{}", world.got.len());
    options.account.password = b"new".to_vec();
    options.binds = 1;
    world.handle(LinkEvent::Reconfigure(Box::new(options)));
    world.advance_ms(2_000);
    assert_eq!(world.connects.len(), 3, "the first one binds again, the second one is closed");
    assert_eq!(world.link.status(world.now.mono).binds[1].state, LegState::Resting);
}

#[test]
fn a_message_begun_under_another_coding_ends() {
    let mut world = World::bound(|options| options.window = 1);
    world.send(0, ONE, Class::Transactional, &"x".repeat(400));
    let mut options = world.link.options().clone();
    options.text.splitting = Splitting::Udh16;
    world.handle(LinkEvent::Reconfigure(Box::new(options)));
    world.answer(&world.got[0].clone(), OK, b"1");
    assert_eq!(world.outcomes()[1..], [DOWN, DOWN]);
    assert_eq!((world.got.len(), world.open()), (1, 0));
    world.send(0, ONE, Class::Transactional, &"x".repeat(400));
    assert_eq!(world.got[1].text[..3], [6, 8, 4], "the next one is cut anew");
}

#[test]
fn standing_places_are_recalled_when_the_link_goes_down() {
    let mut world = World::bound(|options| options.window = 20);
    world.advance_ms(150);
    assert_eq!(world.shards[0].places, [4, 4, 0, 0]);
    world.accepts = None;
    world.disconnect(FIRST, Disconnect::ByPeer);
    assert_eq!(world.shards[0].places, [0; 4]);
}

#[test]
fn every_shard_hears_whether_there_is_a_bind() {
    let mut world = World::bound(|_| {});
    assert_eq!(world.bound_told, [(ShardId(0), true), (ShardId(1), true)]);
    world.bound_told.clear();
    world.accepts = Some(CommandStatus::RBINDFAIL);
    world.disconnect(BindId(0), Disconnect::ByPeer);
    world.advance_ms(5_000);
    assert_eq!(world.bound_told, [(ShardId(0), false), (ShardId(1), false)], "once, however often it is refused");
}
