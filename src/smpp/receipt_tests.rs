//! Receipts as real carriers write them.

use super::super::receipt_date::ReceiptDate;
use super::super::receipt_write::{ReceiptFields, ReceiptForm, write_receipt};
use super::*;
use ReceiptState::{Accepted, Delivered, Enroute, Expired, Rejected, Undeliverable, Unknown};
use proptest::prelude::*;

fn read(text: &str) -> Receipt<'_> {
    Receipt::parse_text(text.as_bytes())
}

fn with_id(id: &str) -> Receipt<'_> {
    Receipt { id: Some(id.as_bytes()), ..Receipt::default() }
}

#[test]
fn appendix_b_is_read_in_full() {
    let receipt = read(
        "id:0911897980 sub:001 dlvrd:000 submit date:1201121551 done date:1201121552 stat:UNDELIV err:075 text:-PROFILE id:1",
    );
    let expected = Receipt {
        id: Some(b"0911897980"),
        state: Some(Undeliverable),
        error: Some(b"075"),
        submitted: Some(b"001"),
        delivered: Some(b"000"),
        submit_date: Some(b"1201121551"),
        done_date: Some(b"1201121552"),
        text: Some(b"-PROFILE id:1"),
        ..Receipt::default()
    };
    assert_eq!(receipt, expected);
    assert!(receipt.is_final());
}

/// Text, id, state, error, done date.
type Case = (&'static str, Option<&'static str>, Option<ReceiptState>, Option<&'static str>, Option<&'static str>);

#[test]
fn every_variation_of_the_text_is_read() {
    let cases: [Case; 22] = [
        // Dates of 12 and 14 digits, and of 15 with a sign (smppex#46).
        (
            "id:64567564356765435676 sub:001 dlvrd:001 submit date:190608165232 done date:190608165237 stat:DELIVRD err:000 text:Hello",
            Some("64567564356765435676"),
            Some(Delivered),
            Some("000"),
            Some("190608165237"),
        ),
        (
            "id:7 submit date:20190608165232 done date:20190608165237 stat:DELIVRD err:000",
            Some("7"),
            Some(Delivered),
            Some("000"),
            Some("20190608165237"),
        ),
        (
            "id:rdwjwxns18krxr9936ey96ymcw sub:000 dlvrd:000 submit date:180711070003912+ done date:180711070000012+ stat:UNDELIV err:000",
            Some("rdwjwxns18krxr9936ey96ymcw"),
            Some(Undeliverable),
            Some("000"),
            Some("180711070000012+"),
        ),
        // Fields missing, in any order, in any case, and with blanks after the colon.
        ("id:1 stat:DELIVRD", Some("1"), Some(Delivered), None, None),
        ("stat:EXPIRED id:1", Some("1"), Some(Expired), None, None),
        ("done date:1601010101 err:7 stat:REJECTD text: id:99", None, Some(Rejected), Some("7"), Some("1601010101")),
        ("ID:AB STAT:delivrd ERR:000 Text:x", Some("AB"), Some(Delivered), Some("000"), None),
        ("Id: 12 Stat: DELIVRD Err: 000 Text: hi", Some("12"), Some(Delivered), Some("000"), None),
        (
            "id:5 sub:001 dlvrd:001 submit_date:1601010100 done_date:1601010101 stat:ACCEPTD",
            Some("5"),
            Some(Accepted),
            None,
            Some("1601010101"),
        ),
        ("id:5\nstat:DELIVRD\nerr:000", Some("5"), Some(Delivered), Some("000"), None),
        ("id:5,sub:001,stat:DELIVRD,err:0", Some("5"), Some(Delivered), Some("0"), None),
        ("id:a,b sub:001 stat:DELIVRD", Some("a,b"), Some(Delivered), None, None),
        ("text:a stat id:5 stat:DELIVRD", Some("5"), Some(Delivered), None, None),
        // Empty values.
        ("id: stat:UNKNOWN err: text:", None, Some(Unknown), None, None),
        ("id:5 err: stat:DELIVRD", Some("5"), Some(Delivered), None, None),
        // Words that Kannel knows in addition to those of the specification.
        ("id:5 stat:ACKED", Some("5"), Some(Accepted), None, None),
        ("id:5 stat:BUFFRED", Some("5"), Some(Enroute), None, None),
        ("id:5 stat:BUFFERD", Some("5"), Some(Enroute), None, None),
        // Errors that are not numbers (jasmin#514).
        ("id:5 stat:UNDELIV err:nul text:", Some("5"), Some(Undeliverable), Some("nul"), None),
        ("id:5 stat:UNDELIV err:0x6B7F", Some("5"), Some(Undeliverable), Some("0x6B7F"), None),
        (
            "id:16fd2706-8baf-433b-82eb-8c7fada847da stat:DELIVRD err:000",
            Some("16fd2706-8baf-433b-82eb-8c7fada847da"),
            Some(Delivered),
            Some("000"),
            None,
        ),
        ("id:5 stat:NONSENSE err:1", Some("5"), None, Some("1"), None),
    ];
    for (text, id, state, error, done) in cases {
        let receipt = read(text);
        let found = (receipt.id, receipt.state, receipt.error, receipt.done_date);
        let bytes = |text: Option<&'static str>| text.map(str::as_bytes);
        assert_eq!(found, (bytes(id), state, bytes(error), bytes(done)), "{text}");
    }
}

#[test]
fn the_comma_list_is_read() {
    let list = read("00,0210021543,0,rest of it");
    let expected = Receipt {
        state: Some(Delivered),
        error: Some(b"00"),
        done_date: Some(b"0210021543"),
        text: Some(b"0,rest of it"),
        ..Receipt::default()
    };
    assert_eq!(list, expected);
    assert_eq!(read("12,0210021543,x").state, None, "another number needs the parameter");
    for text in ["Hello, world", "1,2,3", "00,02100215", "x00,0210021543,", ",,", "", "12345,0210021543,"] {
        assert_eq!(read(text), Receipt::default(), "{text}");
    }
}

#[test]
fn words_and_codes_name_the_states() {
    for state in ReceiptState::ALL {
        assert_eq!(ReceiptState::from_code(state as u8), Some(state));
        assert_eq!(ReceiptState::from_word(state.word().as_bytes()), Some(state));
        assert_eq!(ReceiptState::from_word(state.word().to_lowercase().as_bytes()), Some(state));
    }
    assert_eq!(ReceiptState::from_code(10), None);
    for (word, state) in [
        ("DELIVERED", Delivered),
        ("UNDELIVERABLE", Undeliverable),
        ("DELETED", ReceiptState::Deleted),
        ("Accepted", Accepted),
        ("FAILED", Undeliverable),
    ] {
        assert_eq!(ReceiptState::from_word(word.as_bytes()), Some(state), "{word}");
    }
    let finals = ReceiptState::ALL.map(ReceiptState::is_final);
    assert_eq!(finals, [false, false, true, true, true, true, false, true, true, true]);
}

#[test]
fn parameters_win_over_the_text() {
    let mut scratch = Vec::new();
    let source = ReceiptSource {
        esm_class: 0x04,
        text: b"id:1234 stat:UNDELIV err:001",
        receipted_message_id: Some(b"4d2\0"),
        message_state: Some(2),
        network_error_code: Some([3, 0, 34]),
    };
    let receipt = Receipt::parse(&source, &mut scratch);
    assert_eq!((receipt.id, receipt.other_id), (Some(&b"4d2"[..]), Some(&b"1234"[..])));
    assert_eq!(receipt.state, Some(Delivered));
    assert_eq!(receipt.network_error, Some(NetworkError::Code { network: 3, code: 34 }));

    let same = ReceiptSource { receipted_message_id: Some(b"1234"), message_state: None, ..source };
    let receipt = Receipt::parse(&same, &mut scratch);
    assert_eq!((receipt.id, receipt.other_id, receipt.state), (Some(&b"1234"[..]), None, Some(Undeliverable)));

    let only = ReceiptSource { text: b"", network_error_code: Some(*b"042"), ..source };
    let receipt = Receipt::parse(&only, &mut scratch);
    assert_eq!((receipt.id, receipt.state), (Some(&b"4d2"[..]), Some(Delivered)));
    assert_eq!(receipt.network_error, Some(NetworkError::Digits(42)));

    let half = ReceiptSource { message_state: Some(77), text: b"", ..source };
    let receipt = Receipt::parse(&half, &mut scratch);
    assert_eq!((receipt.id, receipt.state, receipt.is_final()), (Some(&b"4d2"[..]), None, false));
}

/// Field K9: the carrier never sets the parameter.
#[test]
fn a_final_state_wins_over_one_that_is_not() {
    let mut scratch = Vec::new();
    let mut state = |esm_class, text, state| {
        let source = ReceiptSource { esm_class, text, message_state: Some(state), ..ReceiptSource::default() };
        Receipt::parse(&source, &mut scratch).state
    };
    assert_eq!([1, 6].map(|code| state(0x04, b"id:7 stat:DELIVRD", code)), [Some(Delivered); 2]);
    assert_eq!(state(0x04, b"id:7 stat:ENROUTE", 2), Some(Delivered));
    assert_eq!(state(0x20, b"id:7 stat:DELIVRD", 1), ReceiptState::from_code(1), "an intermediate one says so itself");
}

#[test]
fn wide_text_and_headers_are_seen_through() {
    let mut scratch = Vec::new();
    let wide: Vec<u8> = "id:77 stat:DELIVRD err:000 text:ж".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let source = ReceiptSource { esm_class: 0x04, text: &wide, ..ReceiptSource::default() };
    let expected = Receipt { state: Some(Delivered), error: Some(b"000"), text: Some(b"?"), ..with_id("77") };
    assert_eq!(Receipt::parse(&source, &mut scratch), expected);

    for (mark, units) in [
        (&b""[..], u16::to_le_bytes as fn(u16) -> [u8; 2]),
        (b"\xFF\xFE", u16::to_le_bytes),
        (b"\xFE\xFF", u16::to_be_bytes),
    ] {
        let wide = "id:77 stat:DELIVRD err:000 text:ж".encode_utf16().flat_map(units);
        let wide: Vec<u8> = mark.iter().copied().chain(wide).collect();
        let source = ReceiptSource { esm_class: 0x04, text: &wide, ..ReceiptSource::default() };
        assert_eq!(Receipt::parse(&source, &mut scratch), expected, "{mark:?}");
    }
    let gsm = ReceiptSource { esm_class: 0x04, text: b"id:7\x117 stat:DELIVRD", ..ReceiptSource::default() };
    assert_eq!(Receipt::parse(&gsm, &mut scratch), Receipt { state: Some(Delivered), ..with_id("7_7") });

    let with_header = b"\x05\x00\x03\x01\x01\x01id:77 stat:DELIVRD";
    let source = ReceiptSource { esm_class: 0x44, text: with_header, ..ReceiptSource::default() };
    assert_eq!(Receipt::parse(&source, &mut scratch), Receipt { state: Some(Delivered), ..with_id("77") });
}

#[test]
fn a_receipt_is_recognised_and_a_message_is_not() {
    let text = b"id:1 sub:001 dlvrd:001 submit date:1601010100 done date:1601010101 stat:DELIVRD err:000 text:";
    let source = |esm_class, text| ReceiptSource { esm_class, text, ..ReceiptSource::default() };
    assert!(source(0x04, b"").is_receipt());
    assert!(source(0x20, b"").is_receipt());
    assert!(source(0x44, b"").is_receipt());
    assert!(source(0x00, text).is_receipt());
    assert!(source(0x03, text).is_receipt(), "the mode bits do not matter");
    assert!(!source(0x08, text).is_receipt(), "an acknowledgement by the handset");
    assert!(!source(0x00, b"id:1 stat:DELIVRD is what they sent me").is_receipt());
    assert!(!source(0x00, b"STOP").is_receipt());
    assert!(!source(0x00, b"00,0210021543,").is_receipt());
    assert!(ReceiptSource { receipted_message_id: Some(b"1"), ..source(0, b"") }.is_receipt());
}

#[test]
fn dates_of_every_length_are_read() {
    let date = |field: &str| ReceiptDate::read(field.as_bytes());
    let at = |year, month, day, hour, minute, second| Some(ReceiptDate { year, month, day, hour, minute, second });
    assert_eq!(date("1201121551"), at(2012, 1, 12, 15, 51, 0));
    assert_eq!(date("190608165232"), at(2019, 6, 8, 16, 52, 32));
    assert_eq!(date("202412310930"), at(2024, 12, 31, 9, 30, 0), "makes no date of two-digit years: month 24");
    assert_eq!(date("20190608165232"), at(2019, 6, 8, 16, 52, 32));
    assert_eq!(date("180711070000012+"), at(2018, 7, 11, 7, 0, 0));
    for wrong in ["", "12011215", "1202301551", "1201121560", "99999999999999", "abcdefghij"] {
        assert_eq!(date(wrong), None, "{wrong}");
    }
    assert_eq!(date("7001010000").map(|date| date.unix_seconds()), Some(3_155_760_000));
    assert_eq!(date("20240229123456").map(|date| date.unix_seconds()), Some(1_709_210_096));
    assert_eq!(date("0001010000").map(|date| date.unix_seconds()), Some(946_684_800));
}

#[test]
fn what_is_written_is_read() {
    for form in ReceiptForm::ALL {
        for state in ReceiptState::ALL {
            let mut fields = ReceiptFields::plain("00aB-7", state, "2401020304", "2401020305");
            fields.text = "Hello, you";
            let mut text = Vec::new();
            write_receipt(form, &fields, &mut text);
            let parameters = form.needs_parameters();
            let source = ReceiptSource {
                esm_class: 0x04,
                text: &text,
                receipted_message_id: parameters.then_some(b"00aB-7"),
                message_state: parameters.then_some(state as u8),
                network_error_code: None,
            };
            let mut scratch = Vec::new();
            let receipt = Receipt::parse(&source, &mut scratch);
            assert_eq!((receipt.id, receipt.state), (Some(&b"00aB-7"[..]), Some(state)), "{form:?}");
            let short = matches!(form, ReceiptForm::Short | ReceiptForm::ParametersOnly);
            assert_eq!(receipt.done_date.is_some(), !short, "{form:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(
        esm_class in any::<u8>(),
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(id|sub|stat|text|err|submit date|done_date|[ :,;a-z0]){0,60}".prop_map(String::into_bytes),
        ],
        id in prop::option::of(prop::collection::vec(any::<u8>(), 0..80)),
        message_state in any::<Option<u8>>(),
        network_error_code in any::<Option<[u8; 3]>>(),
    ) {
        let source = ReceiptSource {
            esm_class, text: &text, receipted_message_id: id.as_deref(), message_state, network_error_code,
        };
        source.is_receipt();
        let mut scratch = Vec::new();
        let receipt = Receipt::parse(&source, &mut scratch);
        for date in [receipt.submit_date, receipt.done_date].into_iter().flatten() {
            if let Some(date) = ReceiptDate::read(date) {
                date.unix_seconds();
            }
        }
        for field in [receipt.id, receipt.error, receipt.submitted, receipt.text].into_iter().flatten() {
            prop_assert!(!field.is_empty());
        }
    }
}
