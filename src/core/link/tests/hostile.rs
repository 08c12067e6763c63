//! Tests with hostile or broken carriers: one carrier's input is handled in bounded pieces, and the memory that a carrier can make
//! us use is bounded.

use super::world::World;
use crate::link::hosts::SHORT_SESSIONS_MAX;
use crate::link::noise::NOISE_MAX;
use crate::link::smpp::leg::LegState;
use crate::link::smpp::receipts::INQUIRY_BYTES_MAX;
use crate::link::smpp::sessions::{PDUS_MAX, UNREAD_BYTES_MAX};
use crate::link::{Alarm, BindId, Disconnect, SessionLoss};
use crate::model::Class;
use crate::traffic::{Answer, Unanswered, Verdict};
use stentor_smpp::pdu::{Address, ShortMessage};
use stentor_smpp::status::CommandStatus;
use stentor_smpp::tlv::{TlvTag, TlvWriter, Tlvs};

const ONE: u64 = 4_915_112_345_001;
const FIRST: BindId = BindId(0);
const ENQUIRE_LINK: u32 = 0x15;
const ENQUIRE_LINK_RESP: u32 = 0x8000_0015;
const SUBMIT_SM_RESP: u32 = 0x8000_0004;
const QUERY_SM_RESP: u32 = 0x8000_0003;

fn pdu(command: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = 16 + body.len() as u32;
    let mut bytes: Vec<u8> = [length, command, 0, sequence].iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(body);
    bytes
}

fn flood(command: u32, body: &[u8], count: u32) -> Vec<u8> {
    (1..=count).flat_map(|sequence| pdu(command, sequence, body)).collect()
}

fn lost(why: SessionLoss) -> Alarm {
    Alarm::SessionLost { bind: FIRST, why }
}

#[test]
fn so_many_pdus_are_dealt_with_and_the_rest_when_others_have_run() {
    let mut world = World::bound(|_| {});
    let bytes = flood(ENQUIRE_LINK, b"", 2 * PDUS_MAX as u32 + 3);
    let mut rest = &bytes[..];
    for pdus in [PDUS_MAX, PDUS_MAX, 3] {
        let dealt_with = world.link.handle_bytes(FIRST, rest, world.now);
        assert_eq!(dealt_with, 16 * pdus);
        rest = &rest[dealt_with..];
    }
    let mut answers = Vec::new();
    assert!(world.link.take_transmit(FIRST, &mut answers));
    assert_eq!(answers, flood(ENQUIRE_LINK_RESP, b"", 2 * PDUS_MAX as u32 + 3), "each once, in order");
}

#[test]
fn what_is_not_dealt_with_yet_is_told_all_the_same_at_the_end() {
    let mut world = World::bound(|options| options.window = 10);
    world.send(0, ONE, Class::Transactional, "a");
    let bytes = flood(ENQUIRE_LINK, b"", PDUS_MAX as u32 + 1);
    assert_eq!(world.link.handle_bytes(FIRST, &bytes, world.now), 16 * PDUS_MAX);
    world.disconnect(FIRST, Disconnect::ByPeer);
    assert_eq!(world.outcomes(), [Answer::Unanswered(Unanswered::ConnectionLost)]);
    assert_eq!(world.link.handle_bytes(FIRST, &bytes[16 * PDUS_MAX..], world.now), 16, "the rest is dropped");
}

#[test]
fn who_says_nothing_without_end_loses_his_session_and_then_his_host() {
    let talk: [(u32, &[u8]); 6] = [
        (ENQUIRE_LINK, b""),
        (ENQUIRE_LINK_RESP, b""),
        (0x9999, b""),
        (SUBMIT_SM_RESP, b"x\0"),
        // deliver_sm without a body; outbind.
        (5, b""),
        (0x0B, b"a\0b\0"),
    ];
    for (command, body) in talk {
        let mut world = World::bound(|options| options.hosts = 2);
        let bytes = flood(command, body, NOISE_MAX);
        world.feed(FIRST, &bytes);
        assert!(!world.alarms.contains(&lost(SessionLoss::Noise)), "{command:#x}");
        world.feed(FIRST, &pdu(command, 1, body));
        assert_eq!(world.alarms.iter().filter(|alarm| **alarm == lost(SessionLoss::Noise)).count(), 1, "{command:#x}");
        assert_eq!(world.link.counters().noisy_sessions, 1);
        assert_eq!(world.link.status(world.now.mono).binds[0].outstanding, 0, "the session is unbound");
        for _ in 1..SHORT_SESSIONS_MAX {
            let before = world.connects.len();
            while world.connects.len() == before {
                world.advance_ms(100);
            }
            world.feed(FIRST, &bytes);
            world.feed(FIRST, &bytes);
        }
        world.advance_ms(60_000);
        assert_eq!(world.connects.last(), Some(&(FIRST, 1)), "{command:#x}: {:?}", world.connects);
    }
}

#[test]
fn the_pause_grows_although_noisy_sessions_stand_long() {
    let mut world = World::bound(|_| {});
    for _ in 0..4 {
        world.advance_ms(11_000);
        world.feed(FIRST, &flood(ENQUIRE_LINK, b"", NOISE_MAX + 2_000));
        let (before, ended) = (world.connects.len(), world.now.mono);
        while world.connects.len() == before {
            world.advance_ms(10);
        }
        if before == 4 {
            assert!(world.now.mono.since(ended) >= 4_000_000_000, "half of the fourth pause at least");
        }
    }
}

#[test]
fn a_carrier_that_answers_everything_three_times_keeps_its_session() {
    let mut world = World::bound(|options| options.window = 10);
    for number in 0..2 * NOISE_MAX {
        world.send(0, ONE, Class::Transactional, "a");
        let got = world.got.pop().expect("sent");
        world.got.clear();
        world.answered.clear();
        let answer = pdu(SUBMIT_SM_RESP, got.sequence, format!("{number}\0").as_bytes());
        world.feed(FIRST, &answer.repeat(3));
    }
    assert_eq!(world.connects.len(), 1);
    assert_eq!(world.link.counters().unknown_responses, 4 * u64::from(NOISE_MAX));
}

#[test]
fn answers_that_are_not_read_have_a_bound() {
    let mut world = World::bound(|_| {});
    world.writes = false;
    for _ in 0..2 * UNREAD_BYTES_MAX / 16 / PDUS_MAX as u64 {
        if world.link.status(world.now.mono).binds[0].state != LegState::Bound {
            break;
        }
        world.feed(FIRST, &flood(ENQUIRE_LINK, b"", PDUS_MAX as u32));
        let backlog = world.link.status(world.now.mono).binds[0].backlog_bytes;
        assert!(backlog <= UNREAD_BYTES_MAX + 16, "{backlog}");
    }
    assert!(world.alarms.contains(&lost(SessionLoss::NotReading)), "{:?}", world.alarms);
    world.advance_ms(1_001);
    assert!(!world.unwritten.contains_key(&FIRST), "and then the connection is closed");
}

/// The index of the message that was given up belongs to another message by then.
#[test]
fn a_late_answer_that_cannot_be_read_says_nothing_of_another_message() {
    let mut world = World::bound(|options| {
        (options.binds, options.window, options.response_timeout_ms) = (2, 2, 2_000);
    });
    world.send(0, ONE, Class::Transactional, "a");
    world.advance_ms(1_000);
    world.send(0, ONE, Class::Transactional, "its session waits for this one");
    world.advance_ms(1_001);
    assert_eq!(world.outcomes(), [Answer::Unanswered(Unanswered::ResponseTimeout)]);
    world.send(0, ONE + 1, Class::Transactional, "b");
    let (given_up, other) = (world.got[0].clone(), world.got[2].clone());
    assert_ne!(given_up.bind, other.bind);
    world.feed(given_up.bind, &pdu(QUERY_SM_RESP, given_up.sequence, b"cut off"));
    assert_eq!((world.link.counters().malformed, world.told.len()), (1, 1));
    world.answer(&other, CommandStatus::ROK, b"1");
    assert!(matches!(world.outcomes()[..], [_, Answer::Accepted(_)]), "{:?}", world.told);
}

#[test]
fn answers_that_cannot_be_read_leave_nothing_behind() {
    let mut world = World::bound(|options| options.window = 10);
    for _ in 0..100 {
        world.send(0, ONE, Class::Transactional, "a");
        let got = world.got.pop().expect("sent");
        world.got.clear();
        world.feed(FIRST, &pdu(QUERY_SM_RESP, got.sequence, b"cut off"));
    }
    assert_eq!((world.link.counters().malformed, world.told.len()), (100, 100));
    assert!(world.told.iter().all(|told| told.answer == Answer::Unanswered(Unanswered::ResponseTimeout)));
    assert!(world.link.legs[0].missed.is_empty(), "no answer will come for them");
}

#[test]
fn what_time_makes_us_wait_for_is_no_more_than_a_window() {
    let mut world = World::bound(|options| {
        options.window = 3;
        options.response_timeout_ms = 2_000;
    });
    for _ in 0..10 {
        world.send(0, ONE, Class::Transactional, "a");
    }
    world.advance_ms(2_001);
    assert_eq!(world.link.legs[0].missed.len(), 3);
}

#[test]
fn a_carrier_that_calls_every_submit_unreadable_is_told_of_once_in_a_while() {
    let mut world = World::bound(|options| options.window = 1);
    let told = |world: &World| world.alarms.iter().filter(|alarm| matches!(alarm, Alarm::Unreadable { .. })).count();
    for at in 0..200 {
        world.send(0, ONE, Class::Transactional, "a");
        let got = world.got.last().cloned().expect("sent");
        // Every other submit is accepted, or the breaker would open.
        world.answer(&got, if at % 2 == 0 { CommandStatus::RINVCMDLEN } else { CommandStatus::ROK }, b"1");
    }
    assert_eq!(told(&world), 1);
    world.advance_ms(10_000);
    world.send(0, ONE, Class::Transactional, "a");
    world.answer(&world.got.last().cloned().expect("sent"), CommandStatus::RINVCMDLEN, b"");
    assert_eq!(told(&world), 2);
}

/// A message from a handset, of 60,000 bytes.
fn deliver_long(world: &mut World, token: u64) {
    let (mut tlvs, now) = (Vec::new(), world.now.mono.0);
    TlvWriter::new(&mut tlvs).bytes(TlvTag::MESSAGE_PAYLOAD, &[b'x'; 60_000]).expect("it fits");
    let message = ShortMessage {
        source: Address { ton: 1, npi: 1, digits: b"4915112345001" },
        destination: Address { ton: 0, npi: 0, digits: b"Bank" },
        tlvs: Tlvs::new(&tlvs),
        ..ShortMessage::default()
    };
    world.servers.get_mut(&FIRST).expect("a session").deliver(token, &message, now).expect("a window");
    world.hear(FIRST);
}

#[test]
fn what_is_long_stops_the_reading_before_it_is_many_over_all_sessions() {
    let mut world = World::bound(|_| {});
    let mut receipts = 0;
    while world.reads_paused.is_empty() {
        deliver_long(&mut world, receipts);
        receipts += 1;
    }
    assert_eq!(receipts, INQUIRY_BYTES_MAX / 60_000 + 1);
    world.disconnect(FIRST, Disconnect::ByPeer);
    while world.connects.len() == 1 {
        world.advance_ms(100);
    }
    assert!(world.reads_paused.contains(&FIRST), "a new session is not read either");
    let kept: Vec<_> = world.handsets.iter().map(|told| (told.shard, told.message.token)).collect();
    for (shard, token) in kept {
        world.judge(shard, token, Verdict::Kept);
    }
    assert!(world.reads_paused.is_empty() && world.delivered.is_empty());
    assert_eq!((world.link.legs[0].inquiries, world.link.legs[0].inquiry_bytes), (0, 0));
    assert!(world.link.inquiries.spare_bytes() < 1 << 16, "buffers of long messages are released");
}

/// The reports of unreadable PDUs: what is wrong, the bytes, the number of PDUs that were not reported.
fn unread(world: &World) -> Vec<(String, String, u64)> {
    let told = world.alarms.iter().filter_map(|alarm| match alarm {
        Alarm::Unread { what, hex, untold, .. } => Some((what.clone(), hex.clone(), *untold)),
        _ => None,
    });
    told.collect()
}

#[test]
fn what_cannot_be_read_is_told_once_in_a_minute_with_its_first_bytes() {
    let mut world = World::bound(|options| options.enquire_link_ms = 3_600_000);
    // `sm_length` is larger than the rest of the PDU.
    let body = [&b"\0\x01\x01491511\0\x01\x014915\0\x04\0\0\0\0\0\0\0\0\xff"[..], &[0x41; 100]].concat();
    let bad = pdu(5, 7, &body);
    for _ in 0..3 {
        world.feed(FIRST, &bad);
    }
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let what = "deliver_sm 7: sm_length 255 disagrees with the 100 bytes behind it".to_owned();
    assert_eq!(unread(&world), [(what.clone(), hex(&bad[..64]), 0)]);
    world.now = world.now.after_ns(60_000_000_000);
    world.feed(FIRST, &bad);
    assert_eq!(unread(&world)[1..], [(what, hex(&bad[..64]), 2)]);
    world.now = world.now.after_ns(60_000_000_000);
    world.feed(FIRST, b"HTTP/1.1 400 Bad Request");
    let what = "the peer speaks HTTP, not SMPP".to_owned();
    assert_eq!(unread(&world)[2..], [(what, hex(b"HTTP/1.1 400 Bad Request"), 0)], "a stream that is not SMPP");
}
