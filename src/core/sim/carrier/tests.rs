//! Tests that the fake carrier follows its behaviour.

use super::*;
use crate::model::time::Wall;
use stentor_smpp::receipt::{Receipt, ReceiptSource};
use stentor_smpp::receipt_id::IdRelation;

const RECEIPT_WANTED: u8 = 1;

fn submit(recipient: &str) -> SubmitSeen<'_> {
    SubmitSeen { recipient: recipient.as_bytes(), registered_delivery: RECEIPT_WANTED, user_data: b"hello" }
}

fn fates(answer: &Reaction) -> Vec<Fate> {
    answer.receipts().map(|receipt| receipt.fate).collect()
}

/// Every setting on, none with certainty.
fn stormy() -> Behaviour {
    Behaviour {
        response_delay: Delay { min_us: 0, max_us: 50_000 },
        receipt_delay: Delay { min_us: 0, max_us: 500_000 },
        throttled_ppm: 50_000,
        transient_ppm: 50_000,
        permanent_ppm: 50_000,
        swallowed_ppm: 50_000,
        answer_lost_ppm: 50_000,
        disconnect_ppm: 10_000,
        taken_disconnect_ppm: 10_000,
        undelivered_ppm: 100_000,
        expired_ppm: 100_000,
        rejected_ppm: 100_000,
        receipt_lost_ppm: 100_000,
        receipt_twice_ppm: 100_000,
        receipt_first_ppm: 100_000,
        receipt_unknown_ppm: 100_000,
        intermediate_ppm: 100_000,
        regress_ppm: 100_000,
        receipt_elsewhere_ppm: 100_000,
        ..Behaviour::default()
    }
}

fn trace(seed: u64) -> Vec<Reaction> {
    let mut carrier = FakeCarrier::new(stormy(), seed);
    (0..2_000).map(|i| carrier.handle_submit(&submit("4915112345678"), Mono(i * 1_000))).collect()
}

#[test]
fn same_seed_same_answers_another_seed_others() {
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn every_fault_fires_and_nothing_untaken_gets_a_receipt() {
    let answers = trace(1);
    let count = |wanted: fn(&Reaction) -> bool| answers.iter().filter(|answer| wanted(answer)).count();
    let seen = [
        count(|a| matches!(a.reply, Reply::Accept(_))),
        count(|a| a.reply == Reply::Refuse(0x58)),
        count(|a| a.reply == Reply::Refuse(0x08)),
        count(|a| a.reply == Reply::Refuse(0x0B)),
        count(|a| a.reply == Reply::Silence && a.taken.is_none()),
        count(|a| a.reply == Reply::Silence && a.taken.is_some()),
        count(|a| a.reply == Reply::Disconnect && a.taken.is_none()),
        count(|a| a.reply == Reply::Disconnect && a.taken.is_some()),
        count(|a| a.taken.is_some() && a.receipts().count() == 0),
        count(|a| a.receipts().any(|r| r.way == Way::Elsewhere)),
        count(|a| a.receipts().any(|r| Some(r.id) != a.taken)),
        count(|a| a.receipts().any(|r| r.after_us < a.reply_after_us && r.fate != Fate::Enroute)),
        count(|a| fates(a).last() == Some(&Fate::Enroute)),
        count(|a| fates(a).contains(&Fate::Undeliverable)),
        count(|a| fates(a).contains(&Fate::Expired)),
        count(|a| fates(a).contains(&Fate::Rejected)),
    ];
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
    assert!(answers.iter().all(|a| a.taken.is_some() || a.receipts().count() == 0));
}

#[test]
fn ids_are_given_out_once() {
    let mut ids: Vec<_> = trace(3).iter().filter_map(|answer| answer.taken).collect();
    let given = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), given);
}

#[test]
fn ids_are_given_again_to_other_recipients() {
    let mut carrier = FakeCarrier::new(Behaviour { id_recipients: 3, ..Behaviour::default() }, 5);
    let mut recipients: BTreeMap<Vec<u8>, Vec<&str>> = BTreeMap::new();
    let mut issued = Vec::new();
    for recipient in ["491", "492", "491", "493", "494", "495", "491", "492", "493"].into_iter().cycle().take(90) {
        let id = carrier.handle_submit(&submit(recipient), Mono(0)).taken.expect("it takes everything");
        let mut spelled = Vec::new();
        id.write_in_response(IdDialect::Decimal, &mut spelled);
        recipients.entry(spelled).or_default().push(recipient);
        issued.push(id);
    }
    assert!(
        recipients
            .values()
            .all(|of| of.len() <= 3 && of.iter().all(|one| of.iter().filter(|other| one == *other).count() == 1))
    );
    assert!(recipients.values().filter(|of| of.len() == 3).count() > 20, "{recipients:?}");
    issued.sort_unstable();
    issued.dedup();
    assert_eq!(issued.len(), 90, "the ids can be told apart from outside");
}

#[test]
fn magic_numbers_play_their_fate() {
    let mut carrier = FakeCarrier::new(Behaviour::showcase(), 5);
    let play = |carrier: &mut FakeCarrier, recipient| {
        let answer = carrier.handle_submit(&submit(recipient), Mono(0));
        let reply = match answer.reply {
            Reply::Accept(_) => "accept".to_owned(),
            Reply::Refuse(status) => format!("refuse {status:#x}"),
            Reply::Silence => "silence".to_owned(),
            Reply::Disconnect => "disconnect".to_owned(),
        };
        (reply, answer.receipts().map(|receipt| receipt.fate.word()).collect::<Vec<_>>().join(" "))
    };
    let table = [
        ("49151000000", "accept", "DELIVRD"),
        ("491510000001", "accept", "UNDELIV"),
        ("491510000002", "accept", "EXPIRED"),
        ("491510000003", "accept", "REJECTD"),
        ("491510000004", "refuse 0x58", ""),
        ("491510000004", "refuse 0x58", ""),
        ("491510000004", "accept", "DELIVRD"),
        ("491510000005", "accept", ""),
        ("491510000006", "refuse 0xb", ""),
        ("491510000007", "refuse 0x8", ""),
        ("491510000007", "accept", "DELIVRD"),
        ("491510000008", "accept", "DELIVRD"),
        ("491510000009", "silence", ""),
        ("491510000010", "accept", "DELIVRD DELIVRD"),
        ("491510000011", "silence", "DELIVRD"),
        ("491510000012", "accept", "ENROUTE DELIVRD"),
        ("491510000013", "disconnect", ""),
        ("491510000013", "accept", "DELIVRD"),
        ("491510000014", "accept", "DELIVRD"),
        ("+4915123456789", "accept", "DELIVRD"),
    ];
    for (recipient, reply, receipts) in table {
        assert_eq!(play(&mut carrier, recipient), (reply.to_owned(), receipts.to_owned()), "{recipient}");
    }
}

#[test]
fn receipt_first_comes_first() {
    let mut carrier = FakeCarrier::new(Behaviour::showcase(), 5);
    let answer = carrier.handle_submit(&submit("491510000008"), Mono(0));
    assert!(answer.receipts().all(|receipt| receipt.after_us < answer.reply_after_us));
}

#[test]
fn throttles_above_its_rate_and_only_then() {
    let mut carrier = FakeCarrier::new(Behaviour { rate_max: 3, ..Behaviour::default() }, 1);
    let mut taken_at = |ms: u64| carrier.handle_submit(&submit("491511"), Mono(ms * 1_000_000)).taken.is_some();
    assert_eq!([0, 10, 20, 30, 999].map(&mut taken_at), [true, true, true, false, false]);
    assert_eq!([1_000, 1_009, 1_010].map(&mut taken_at), [true, false, true]);
}

#[test]
fn receipts_only_where_asked_for() {
    let undeliverable = Behaviour { undelivered_ppm: 1_000_000, ..Behaviour::default() };
    let asked = |behaviour: &Behaviour, registered_delivery| {
        let mut carrier = FakeCarrier::new(behaviour.clone(), 1);
        let submit = SubmitSeen { registered_delivery, ..submit("491511") };
        carrier.handle_submit(&submit, Mono(0)).receipts().count()
    };
    assert_eq!([0, 1, 2, 3, 0x11].map(|flags| asked(&Behaviour::default(), flags)), [0, 1, 0, 1, 1]);
    assert_eq!([0, 1, 2, 3].map(|flags| asked(&undeliverable, flags)), [0, 1, 1, 0]);
}

#[test]
fn ids_in_each_dialect() {
    let spell = |dialect| {
        let (mut response, mut receipt) = (Vec::new(), Vec::new());
        IssuedId(0xABC).write_in_response(dialect, &mut response);
        IssuedId(0xABC).write_in_receipt(dialect, &mut receipt);
        (String::from_utf8(response).unwrap(), String::from_utf8(receipt).unwrap())
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(spell(IdDialect::Decimal), pair("2748", "2748"));
    assert_eq!(spell(IdDialect::Hex), pair("ABC", "ABC"));
    assert_eq!(spell(IdDialect::HexThenDecimal), pair("ABC", "2748"));
    assert_eq!(spell(IdDialect::DecimalThenHex), pair("2748", "ABC"));
    assert_eq!(spell(IdDialect::CaseChanged), pair("abc", "ABC"));
    assert_eq!(spell(IdDialect::ZerosAdded), pair("2748", "00000000000000002748"));
    assert_eq!(spell(IdDialect::ZerosLost), pair("00000000000000002748", "2748"));
    assert_eq!(spell(IdDialect::Wide), pair("730100000000000000002748", "730100000000000000002748"));
    let (uuid, _) = spell(IdDialect::Uuid);
    assert_eq!((uuid.len(), uuid.matches('-').count()), (36, 4));
}

#[test]
fn receipts_in_each_form() {
    // 2026-11-21 05:21:52 UTC and one minute later.
    let (submitted, done) = (Wall(1_795_238_512_000), Wall(1_795_238_572_000));
    let check = |behaviour: Behaviour, fate, text: &str, tlvs: &[(u16, &[u8])]| {
        let mut body = ReceiptBody::default();
        body.write(IssuedId(77), Fate::Enroute, Wall(0), Wall(0), &behaviour);
        body.write(IssuedId(77), fate, submitted, done, &behaviour);
        assert_eq!(String::from_utf8_lossy(&body.short_message), text);
        assert_eq!(body.tlvs().collect::<Vec<_>>(), tlvs);
        assert_eq!(body.esm_class, 0x04);
    };
    let with = |receipt_form| Behaviour { receipt_form, ..Behaviour::default() };
    let text = "id:77 sub:001 dlvrd:001 submit date:2611210521 done date:2611210522 stat:DELIVRD err:000 text:";
    check(with(ReceiptForm::Text), Fate::Delivered, text, &[]);
    check(with(ReceiptForm::TextAndTlvs), Fate::Delivered, text, &[(0x1E, b"77\0"), (0x427, &[2])]);
    check(
        Behaviour { tlv_unterminated: true, ..with(ReceiptForm::Tlvs) },
        Fate::Rejected,
        "",
        &[(0x1E, b"77"), (0x427, &[8])],
    );
    check(
        with(ReceiptForm::IdTlvStateText),
        Fate::Expired,
        "sub:001 dlvrd:001 stat:EXPIRED err:000",
        &[(0x1E, b"77\0")],
    );
    check(with(ReceiptForm::Payload), Fate::Delivered, "", &[(0x424, text.as_bytes())]);
    check(with(ReceiptForm::Terse), Fate::Undeliverable, "id:77 stat:UNDELIV", &[]);
    check(
        Behaviour { date_digits: 14, ..with(ReceiptForm::Shuffled) },
        Fate::Delivered,
        "stat:DELIVRD err:nul submit date:20261121052152 done date:20261121052252 id:77 Text:-",
        &[],
    );
}

/// Stentor's reader, which is independent code, must read back what this carrier writes, in any dialect.
#[test]
fn every_spelling_is_read() {
    for id_dialect in IdDialect::ALL {
        for receipt_form in ReceiptForm::ALL {
            let usual = Behaviour { id_dialect, receipt_form, ..Behaviour::default() };
            for (date_digits, tlv_unterminated) in [(10, false), (12, true), (14, true)] {
                check_reading(&Behaviour { date_digits, tlv_unterminated, ..usual.clone() });
            }
            for error_dialect in ErrorDialect::ALL {
                check_reading(&Behaviour { error_dialect, ..usual.clone() });
            }
        }
    }
}

fn check_reading(behaviour: &Behaviour) {
    let id = IssuedId(8_123_456_789_017);
    let (mut body, mut response) = (ReceiptBody::default(), Vec::new());
    id.write_in_response(behaviour.id_dialect, &mut response);
    for fate in [Fate::Enroute, Fate::Delivered, Fate::Expired, Fate::Undeliverable, Fate::Rejected] {
        body.write(id, fate, Wall(1_795_238_512_000), Wall(1_795_238_572_000), behaviour);
        let tlv = |wanted: u16| body.tlvs().find(|(tag, _)| *tag == wanted).map(|(_, value)| value);
        let source = ReceiptSource {
            esm_class: body.esm_class,
            text: tlv(0x424).unwrap_or(&body.short_message),
            receipted_message_id: tlv(0x1E),
            message_state: tlv(0x427).and_then(|state| state.first()).copied(),
            network_error_code: None,
        };
        let mut scratch = Vec::new();
        let receipt = Receipt::parse(&source, &mut scratch);
        assert_eq!(receipt.state.map(|state| state as u8), Some(fate.state_byte()), "{behaviour:?}");
        assert_eq!(receipt.error.unwrap_or_default(), body.error(), "{behaviour:?}");
        let read = receipt.id.unwrap_or_default();
        assert!(IdRelation::between(read, &response).is_some(), "{response:?} {receipt:?} {behaviour:?}");
    }
}

#[test]
fn behaviour_refuses_a_knob_it_does_not_have() {
    let read = |text| serde_json::from_str::<Behaviour>(text).map_err(|error| error.to_string());
    assert_eq!(read("{}"), Ok(Behaviour::default()));
    assert_eq!(read(r#"{"rate_max":5}"#), Ok(Behaviour { rate_max: 5, ..Behaviour::default() }));
    assert!(read(r#"{"rate_maximum":5}"#).unwrap_err().contains("rate_maximum"));
}
