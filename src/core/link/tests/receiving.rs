//! Tests of receipts and messages from handsets: they reach the right shard, and are answered only when kept.

use super::world::World;
use crate::link::{BindId, Disconnect, LinkEvent, LinkState};
use crate::mesh::ShardMap;
use crate::model::{Class, DiskRoom, ErrorOrigin, ReceiptState, ShardId};
use crate::traffic::{IfUnknown, PartIn, Verdict};
use stentor_smpp::pdu::{Address, DataSm, EsmClass, ShortMessage};
use stentor_smpp::status::CommandStatus;
use stentor_smpp::tlv::{TlvTag, TlvWriter, Tlvs};

const ONE: u64 = 4_915_112_345_001;
const FIRST: BindId = BindId(0);
const OK: CommandStatus = CommandStatus::ROK;
const LATER: CommandStatus = CommandStatus::RX_T_APPN;
const SHARDS: u8 = 4;

fn world() -> World {
    World::bound(|options| options.shards = ShardMap::new(SHARDS, 1))
}

fn home(number: u64) -> ShardId {
    ShardMap::new(SHARDS, 1).shard_of(number)
}

/// Sends a `deliver_sm` from the carrier; `token` identifies its answer.
fn deliver(world: &mut World, token: u64, from: &str, esm_class: u8, text: &str, tlvs: &[u8]) {
    let message = ShortMessage {
        source: Address { ton: 1, npi: 1, digits: from.as_bytes() },
        destination: Address { ton: 0, npi: 0, digits: b"Bank" },
        esm_class: EsmClass(esm_class),
        short_message: text.as_bytes(),
        tlvs: Tlvs::new(tlvs),
        ..ShortMessage::default()
    };
    let now = world.now.mono.0;
    let server = world.servers.get_mut(&FIRST).expect("a session");
    server.deliver(token, &message, now).expect("a window");
    world.hear(FIRST);
}

fn text(id: &str) -> String {
    format!("id:{id} sub:001 dlvrd:001 submit date:2401010000 done date:2401010001 stat:DELIVRD err:042 text:hi")
}

/// Sends one message from a shard that is not the recipient's home, so that only the id leads to that shard.
fn sent_from(world: &mut World, shard: u8, id: &[u8]) {
    world.send(shard, ONE, Class::Transactional, "hi");
    let got = world.got.last().cloned().expect("it was sent");
    world.answer(&got, OK, id);
}

#[test]
fn a_receipt_goes_straight_to_its_shard_and_is_answered_when_kept() {
    let mut world = world();
    let owner = ShardId((home(ONE).0 + 1) % SHARDS);
    sent_from(&mut world, owner.0, b"00A1");
    deliver(&mut world, 77, "+4915112345001", 4, &text("a1"), &[]);
    let told = world.receipts[0].clone();
    assert_eq!((told.shard, told.id.as_slice()), (owner, &b"a1"[..]));
    assert_eq!((told.receipt.state, told.receipt.error.number), (ReceiptState::Delivered, 42));
    assert_eq!((told.receipt.error.text.as_str(), told.receipt.error.origin), ("042", ErrorOrigin::Receipt));
    assert_eq!((told.receipt.recipient, told.receipt.if_unknown), (ONE, IfUnknown::Tell));
    assert_eq!((told.receipt.at, told.text), (world.now.wall, text("a1").into_bytes()));
    assert!(world.delivered.is_empty(), "not before it is durable");
    world.judge(owner, told.receipt.token, Verdict::Kept);
    assert_eq!(world.delivered, [(FIRST, 77, OK)]);
    world.judge(owner, told.receipt.token, Verdict::Kept);
    assert_eq!(world.delivered.len(), 1, "a verdict counts once");
}

#[test]
fn an_id_in_another_base_is_found() {
    let mut world = world();
    let owner = ShardId((home(ONE).0 + 1) % SHARDS);
    sent_from(&mut world, owner.0, b"ff");
    deliver(&mut world, 1, "4915112345001", 4, &text("255"), &[]);
    assert_eq!(world.receipts[0].shard, owner);
}

#[test]
fn an_unknown_receipt_is_asked_for_everywhere_and_then_parked_at_home() {
    let mut world = world();
    let owner = ShardId((home(ONE).0 + 1) % SHARDS);
    sent_from(&mut world, owner.0, b"500");
    deliver(&mut world, 9, "4915112345001", 4, &text("500"), &[]);
    let token = world.receipts[0].receipt.token;
    world.judge(owner, token, Verdict::Unknown);
    assert_eq!((world.receipts[1].shard, world.receipts[1].receipt.if_unknown), (home(ONE), IfUnknown::Tell));
    world.judge(home(ONE), token, Verdict::Unknown);
    let others: Vec<ShardId> = world.receipts[2..].iter().map(|told| told.shard).collect();
    let expected: Vec<ShardId> =
        (0..SHARDS).map(ShardId).filter(|shard| *shard != owner && *shard != home(ONE)).collect();
    assert_eq!(others, expected);
    world.judge(others[0], token, Verdict::Unknown);
    assert_eq!(world.receipts.len(), 4);
    world.judge(others[1], token, Verdict::Unknown);
    let last = &world.receipts[4];
    assert_eq!((last.shard, last.receipt.if_unknown, last.id.as_slice()), (home(ONE), IfUnknown::Park, &b"500"[..]));
    world.judge(home(ONE), token, Verdict::Kept);
    assert_eq!(world.delivered, [(FIRST, 9, OK)]);
    let counters = world.link.counters();
    assert_eq!((counters.receipts, counters.receipts_direct, counters.receipts_asked_all), (1, 1, 1));
}

/// A shard that knows the id of a receipt, but cannot tell by its numbers which part is meant, parks it, so that it can be found
/// later. The receipt does not settle a part by its id alone if other shards may know the id.
#[test]
fn a_receipt_is_kept_by_the_shard_that_knows_its_id() {
    for several in [false, true] {
        let mut world = world();
        let owner = ShardId((home(ONE).0 + 1) % SHARDS);
        deliver(&mut world, 9, "4915112345001", 4, &text("500"), &[]);
        let token = world.receipts[0].receipt.token;
        assert!(world.receipts[0].receipt.is_shared, "the table does not know it");
        let first = if several { Verdict::Perhaps } else { Verdict::Unknown };
        world.judge(home(ONE), token, first);
        let others: Vec<_> = world.receipts[1..].iter().map(|told| (told.shard, told.receipt.is_shared)).collect();
        assert!(others.iter().all(|(_, is_shared)| *is_shared), "{others:?}");
        for (shard, _) in others {
            world.judge(shard, token, if shard == owner { Verdict::Perhaps } else { Verdict::Unknown });
        }
        let asked = |world: &World| {
            let last = world.receipts.last().expect("asked");
            (last.shard, last.receipt.if_unknown, last.receipt.is_shared)
        };
        if several {
            assert_eq!(asked(&world), (home(ONE), IfUnknown::Park, true));
            world.judge(home(ONE), token, Verdict::Kept);
        } else {
            assert_eq!(asked(&world), (home(ONE), IfUnknown::Settle, true), "a message in doubt comes first");
            world.judge(home(ONE), token, Verdict::Unknown);
            assert_eq!(asked(&world), (owner, IfUnknown::Park, false));
            world.judge(owner, token, Verdict::Kept);
        }
        assert_eq!(world.delivered, [(FIRST, 9, OK)]);
    }
    // A shard that the id table names is asked as the only one that knows the id.
    let mut world = world();
    let owner = ShardId((home(ONE).0 + 1) % SHARDS);
    sent_from(&mut world, owner.0, b"500");
    deliver(&mut world, 9, "", 4, &text("500"), &[]);
    assert_eq!((world.receipts[0].shard, world.receipts[0].receipt.is_shared), (owner, false));
}

#[test]
fn one_of_many_knows_it_and_the_rest_do_not_matter() {
    let mut world = world();
    deliver(&mut world, 9, "4915112345001", 4, &text("500"), &[]);
    let token = world.receipts[0].receipt.token;
    assert_eq!(world.receipts[0].shard, home(ONE));
    world.judge(home(ONE), token, Verdict::Unknown);
    assert_eq!(world.receipts.len(), 4);
    world.judge(world.receipts[2].shard, token, Verdict::Kept);
    deliver(&mut world, 10, "4915112345001", 4, &text("501"), &[]);
    let next = world.receipts[4].receipt.token;
    assert_ne!(next, token);
    for told in [1, 3] {
        world.judge(world.receipts[told].shard, token, Verdict::Unknown);
    }
    assert_eq!((world.receipts.len(), world.delivered.len()), (5, 1), "late verdicts do not affect the next receipt");
    world.judge(home(ONE), next, Verdict::Kept);
    assert_eq!(world.delivered[1], (FIRST, 10, OK));
}

#[test]
fn a_receipt_by_parameters_alone_and_one_that_says_nothing() {
    let mut world = world();
    let mut tlvs = Vec::new();
    let mut writer = TlvWriter::new(&mut tlvs);
    writer.c_string(TlvTag::RECEIPTED_MESSAGE_ID, b"x-1").expect("short");
    writer.u8(TlvTag::MESSAGE_STATE, 5);
    writer.bytes(TlvTag::NETWORK_ERROR_CODE, &[3, 0, 27]).expect("short");
    deliver(&mut world, 1, "12", 4, "", &tlvs);
    let told = &world.receipts[0];
    assert_eq!((told.receipt.state, told.receipt.error.number), (ReceiptState::Undeliverable, 27));
    assert_eq!((told.receipt.error.text.as_str(), told.receipt.error.origin), ("", ErrorOrigin::Network));
    assert_eq!((told.receipt.recipient, told.id.as_slice()), (0, &b"x-1"[..]));
    deliver(&mut world, 2, "4915112345001", 4, "hello?", &[]);
    let told = &world.receipts[1];
    assert_eq!((told.receipt.state, told.receipt.if_unknown), (ReceiptState::Enroute, IfUnknown::Park));
    assert_eq!((told.shard, told.id.len()), (home(ONE), 0));
}

#[test]
fn a_message_from_a_handset_goes_to_its_senders_shard() {
    let mut world = world();
    deliver(&mut world, 5, "4915112345001", 0, "STOP", &[]);
    let told = world.handsets[0].clone();
    assert_eq!((told.shard, told.message.from, told.message.at), (home(ONE), ONE, world.now.wall));
    assert_eq!((told.to.as_slice(), told.text.as_slice(), told.name.len()), (&b"Bank"[..], &b"STOP"[..], 0));
    assert_eq!((told.message.part, told.message.data_coding, told.header.len()), (None, 0, 0));
    assert!(world.receipts.is_empty() && world.delivered.is_empty(), "not before it is durable");
    world.judge(told.shard, told.message.token, Verdict::Kept);
    assert_eq!(world.delivered, [(FIRST, 5, OK)]);
    world.judge(told.shard, told.message.token, Verdict::Kept);
    assert_eq!(world.delivered.len(), 1, "a verdict counts once");
}

#[test]
fn a_part_is_told_by_its_number_and_its_coding() {
    let mut world = world();
    let message = ShortMessage {
        source: Address { ton: 5, npi: 0, digits: b"Info" },
        destination: Address { ton: 1, npi: 1, digits: b"+49123" },
        esm_class: EsmClass::UDHI,
        data_coding: 8,
        short_message: b"\x0B\x00\x03\x07\x02\x01\x05\x04\x0B\x84\x23\xF0hi",
        ..ShortMessage::default()
    };
    let now = world.now.mono.0;
    world.servers.get_mut(&FIRST).expect("a session").deliver(1, &message, now).expect("a window");
    world.hear(FIRST);
    let told = &world.handsets[0];
    let part = PartIn { reference: 7, parts: 2, part: 1 };
    assert_eq!((told.message.part, told.message.data_coding, told.message.from), (Some(part), 8, 0));
    assert_eq!((told.name.as_slice(), told.to.as_slice()), (&b"Info"[..], &b"+49123"[..]));
    assert_eq!((told.header.as_slice(), told.text.as_slice()), (&b"\x05\x04\x0B\x84\x23\xF0"[..], &b"hi"[..]));
}

/// `data_sm` has room for addresses of 64 bytes.
#[test]
fn of_an_address_the_beginning_is_told() {
    let mut world = world();
    let mut tlvs = Vec::new();
    let mut writer = TlvWriter::new(&mut tlvs);
    writer.bytes(TlvTag::MESSAGE_PAYLOAD, b"hi").expect("short");
    writer.u16(TlvTag::SAR_MSG_REF_NUM, 513).u8(TlvTag::SAR_TOTAL_SEGMENTS, 3).u8(TlvTag::SAR_SEGMENT_SEQNUM, 3);
    let long = Address { ton: 5, npi: 0, digits: &[b'a'; 64] };
    let message =
        DataSm { source: long, destination: long, data_coding: 3, tlvs: Tlvs::new(&tlvs), ..DataSm::default() };
    let now = world.now.mono.0;
    world.servers.get_mut(&FIRST).expect("a session").data(3, &message, now).expect("a window");
    world.hear(FIRST);
    let told = world.handsets[0].clone();
    assert_eq!((told.name.as_slice(), told.to.as_slice()), (&[b'a'; 20][..], &[b'a'; 20][..]));
    assert_eq!(told.message.part, Some(PartIn { reference: 513, parts: 3, part: 3 }));
    world.judge(told.shard, told.message.token, Verdict::Kept);
    assert_eq!((told.text.as_slice(), world.delivered.as_slice()), (&b"hi"[..], &[(FIRST, 3, OK)][..]));
}

#[test]
fn data_sm_is_answered_as_such() {
    let mut world = world();
    let mut tlvs = Vec::new();
    TlvWriter::new(&mut tlvs).bytes(TlvTag::MESSAGE_PAYLOAD, text("7").as_bytes()).expect("short");
    let source = Address { ton: 1, npi: 1, digits: b"4915112345001" };
    let message = DataSm { source, esm_class: EsmClass(4), tlvs: Tlvs::new(&tlvs), ..DataSm::default() };
    let now = world.now.mono.0;
    world.servers.get_mut(&FIRST).expect("a session").data(3, &message, now).expect("a window");
    world.hear(FIRST);
    assert_eq!(world.receipts[0].id, b"7");
    world.judge(home(ONE), world.receipts[0].receipt.token, Verdict::Kept);
    assert_eq!(world.delivered, [(FIRST, 3, OK)]);
}

#[test]
fn a_verdict_for_a_session_that_is_gone_answers_no_request() {
    let mut world = world();
    deliver(&mut world, 1, "4915112345001", 4, &text("1"), &[]);
    let old = world.receipts[0].receipt.token;
    world.disconnect(FIRST, Disconnect::ByPeer);
    world.advance_ms(1_001);
    deliver(&mut world, 2, "4915112345001", 4, &text("1"), &[]);
    let new = world.receipts[1].receipt.token;
    world.judge(home(ONE), old, Verdict::Kept);
    assert!(world.delivered.is_empty());
    world.judge(home(ONE), new, Verdict::Kept);
    assert_eq!(world.delivered, [(FIRST, 2, OK)]);
}

#[test]
fn slow_shards_stop_the_reading() {
    let mut world = world();
    let mut answered = 0;
    let mut send = |world: &mut World, count: usize| {
        for n in 0..count {
            // The server session has a window of 1,000 requests: the time-out of its requests empties it.
            if n % 900 == 899 {
                world.servers.get_mut(&FIRST).expect("a session").handle_timeout(u64::MAX);
                let now = world.now.mono.0;
                let server = world.servers.get_mut(&FIRST).expect("a session");
                while server.poll_event(&mut &[][..], now).is_some() {}
            }
            deliver(world, n as u64, "4915112345001", 4, &text(&n.to_string()), &[]);
        }
        answered += count;
    };
    send(&mut world, 4_096);
    assert!(world.reads_paused.is_empty());
    send(&mut world, 1);
    assert!(world.reads_paused.contains(&FIRST));
    assert_eq!(world.link.status(world.now.mono).binds[0].receipts_waiting, 4_097);
    for n in 0..2_049 {
        assert!(world.reads_paused.contains(&FIRST), "after {n}");
        world.judge(home(ONE), world.receipts[n].receipt.token, Verdict::Kept);
    }
    assert!(world.reads_paused.is_empty());
}

/// A message from a handset may be 64 KiB long, so 4,096 of them would take 256 MiB.
#[test]
fn large_messages_stop_the_reading_earlier() {
    let mut world = world();
    let large = "x".repeat(60_000);
    let mut tlvs = Vec::new();
    TlvWriter::new(&mut tlvs).bytes(TlvTag::MESSAGE_PAYLOAD, large.as_bytes()).expect("short");
    for n in 0..18 {
        assert!(world.reads_paused.is_empty(), "after {n}");
        deliver(&mut world, n, "4915112345001", 0, "", &tlvs);
    }
    assert!(world.reads_paused.contains(&FIRST), "a mebibyte");
    for n in 0..18 {
        world.judge(home(ONE), world.handsets[n].message.token, Verdict::Kept);
    }
    assert!(world.reads_paused.is_empty() && world.delivered.len() == 18);
}

#[test]
fn of_a_receipt_the_beginning_of_its_text_goes_to_the_shard() {
    let mut world = world();
    let mut tlvs = Vec::new();
    let long = format!("{} {}", text("1"), "x".repeat(60_000));
    TlvWriter::new(&mut tlvs).bytes(TlvTag::MESSAGE_PAYLOAD, long.as_bytes()).expect("short");
    deliver(&mut world, 1, "4915112345001", 4, "", &tlvs);
    let told = &world.receipts[0];
    assert_eq!((told.id.as_slice(), told.receipt.state), (&b"1"[..], ReceiptState::Delivered));
    assert_eq!(told.text, &long.as_bytes()[..160]);
}

/// The carrier must deliver again what was not kept; its session stays.
#[test]
fn a_message_that_finds_no_room_is_the_carriers_to_deliver_later() {
    let mut world = world();
    deliver(&mut world, 5, "4915112345001", 0, "STOP", &[]);
    world.judge(home(ONE), world.handsets[0].message.token, Verdict::Full);
    assert_eq!((world.delivered.as_slice(), world.link.counters().deferred), (&[(FIRST, 5, LATER)][..], 1));
    deliver(&mut world, 6, "4915112345001", 0, "STOP", &[]);
    world.judge(home(ONE), world.handsets[1].message.token, Verdict::Kept);
    assert_eq!(world.delivered[1], (FIRST, 6, OK));
}

#[test]
fn without_room_on_the_disk_nothing_is_taken_from_a_carrier_and_its_session_stays() {
    let mut world = world();
    world.handle(LinkEvent::Disk(DiskRoom::Out));
    deliver(&mut world, 1, "4915112345001", 4, &text("1"), &[]);
    deliver(&mut world, 2, "4915112345001", 0, "STOP", &[]);
    assert_eq!(world.delivered, [(FIRST, 1, LATER), (FIRST, 2, LATER)]);
    assert!(world.receipts.is_empty() && world.handsets.is_empty());
    let status = world.link.status(world.now.mono);
    assert_eq!((status.state, status.binds[0].ready), (LinkState::DiskFull, true));
    world.handle(LinkEvent::Disk(DiskRoom::Low));
    deliver(&mut world, 3, "4915112345001", 4, &text("1"), &[]);
    assert_eq!((world.receipts.len(), world.link.status(world.now.mono).state), (1, LinkState::Up));
}

#[test]
fn a_part_gets_a_reference_which_its_receipt_carries_back_where_that_is_wanted() {
    use crate::delivery::doubt::part_reference;
    for wanted in [false, true] {
        let mut world = World::bound(|options| options.part_references = wanted);
        sent_from(&mut world, 0, b"1");
        let (address, got) = (world.told[0].address, world.got[0].clone());
        let expected = wanted.then(|| part_reference(address, 1, 1));
        assert_eq!(Tlvs::new(&got.tlvs).user_message_reference(), expected);
        let mut tlvs = Vec::new();
        TlvWriter::new(&mut tlvs).u16(TlvTag::USER_MESSAGE_REFERENCE, 513);
        deliver(&mut world, 1, "4915112345001", 4, &text("9"), &tlvs);
        assert_eq!(world.receipts[0].receipt.reference, wanted.then_some(513), "ignored if the option is off");
    }
}
