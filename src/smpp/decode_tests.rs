//! Malformed and odd PDUs as real peers send them, and arbitrary bytes.

use super::super::framer::{Framer, FramingError, PDU_BYTES_MAX};
use super::super::tlv::Tlv;
use super::*;
use proptest::prelude::*;

fn bytes(id: CommandId, status: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + body.len() as u32).to_be_bytes().to_vec();
    bytes.extend(id.0.to_be_bytes());
    bytes.extend(status.to_be_bytes());
    bytes.extend(77u32.to_be_bytes());
    bytes.extend(body);
    bytes
}

fn read<'a>(bytes: &'a [u8]) -> Result<Decoded<'a>, DecodeError> {
    let (header, body) = Header::read(bytes).unwrap();
    assert_eq!(header.command_length as usize, bytes.len());
    decode(&Frame { header, body })
}

/// A deliver_sm up to sm_length, without it.
const DELIVER_HEAD: &[u8] = b"\0\x01\x01491701234567\0\x05\x00Stentor\0\x04\0\0\0\0\x00\0\0\0";

fn deliver(tail: &[u8]) -> Vec<u8> {
    bytes(CommandId::DELIVER_SM, 0, &[DELIVER_HEAD, tail].concat())
}

fn check_deliver(tail: &[u8], check: impl FnOnce(ShortMessage<'_>, Quirks)) {
    let bytes = deliver(tail);
    let decoded = read(&bytes).unwrap();
    let Pdu::DeliverSm(message) = decoded.pdu else { panic!("{decoded:?}") };
    assert_eq!(message.source.digits, b"491701234567");
    assert_eq!(message.destination.digits, b"Stentor");
    check(message, decoded.quirks);
}

fn check_error(bytes: &[u8], reason: DecodeReason, status: CommandStatus) {
    let error = read(bytes).unwrap_err();
    assert_eq!((error.reason, error.status()), (reason, status));
    assert_eq!(error.header.sequence_number, 77, "the sequence number survives");
    assert!(error.header.command_id.name().is_some());
}

#[test]
fn a_deliver_sm_to_the_letter() {
    check_deliver(b"\x02hi\x04\x27\x00\x01\x02", |message, quirks| {
        assert_eq!((message.short_message, quirks), (&b"hi"[..], Quirks::NONE));
        assert_eq!(message.tlvs.message_state(), Some(2));
        assert!(message.esm_class.is_receipt());
        assert_eq!((message.source.ton, message.source.npi, message.destination.ton), (1, 1, 5));
    });
}

#[test]
fn sm_length_255_is_read_as_it_is() {
    let text = [b'x'; 255];
    check_deliver(&[&[255], &text[..]].concat(), |message, quirks| {
        assert_eq!((message.short_message.len(), quirks), (255, Quirks::OVERLONG));
    });
}

#[test]
fn an_sm_length_over_the_body_is_an_error_that_can_be_answered() {
    let wanted = DecodeReason::ShortMessageLength { promised: 255, present: 4 };
    check_error(&deliver(b"\xFFtext"), wanted, CommandStatus::RINVMSGLEN);
    let wanted = DecodeReason::ShortMessageLength { promised: 1, present: 0 };
    check_error(&deliver(b"\x01"), wanted, CommandStatus::RINVMSGLEN);
    check_error(&deliver(b""), DecodeReason::Truncated(Field::SmLength), CommandStatus::RINVMSGLEN);
}

#[test]
fn an_sm_length_under_the_body_is_an_error_that_can_be_answered() {
    for (promised, text) in
        [(5, &b"hello world"[..]), (10, b"hello world"), (0, b"x"), (0, b"hello"), (2, b"\0H\0e\0l\0l\0o")]
    {
        let wanted = DecodeReason::ShortMessageLength { promised, present: text.len() };
        check_error(&deliver(&[&[promised], text].concat()), wanted, CommandStatus::RINVMSGLEN);
    }
}

#[test]
fn zeros_behind_the_text_are_forgiven() {
    for zeros in [&b"\0"[..], b"\0\0\0", b"\0\0\0\0\0\0\0"] {
        check_deliver(&[b"\x02hi", zeros].concat(), |message, quirks| {
            assert_eq!((message.short_message, quirks), (&b"hi"[..], Quirks::TRAILING));
            assert_eq!(message.tlvs, Tlvs::EMPTY);
        });
    }
}

#[test]
fn a_broken_parameter_does_not_cost_the_receipt() {
    check_deliver(b"\x02hi\x00\x1E\x00\x08id-1234", |message, _| {
        assert_eq!(
            message.tlvs.receipted_message_id(),
            Some(&b"id-1234"[..]),
            "its length counts a NUL that is not there"
        );
    });
    check_deliver(b"\x02hi\x00\x1E\x00\x03abc\x04\x27\x00\x09\x02", |message, _| {
        assert_eq!(message.tlvs.receipted_message_id(), Some(&b"abc"[..]));
        assert_eq!(message.tlvs.message_state(), None);
    });
    check_deliver(b"\x00\x04\x27\x00\x01\x02\x99\x99", |message, _| {
        assert_eq!(message.tlvs.message_state(), Some(2));
        assert_eq!(message.tlvs.iter().last(), Some(Err(TlvError::Garbage(b"\x99\x99"))));
    });
}

/// Field P9: bytes after the text of a receipt are no reason to refuse it.
#[test]
fn garbage_behind_a_receipt_does_not_cost_it() {
    let text = b"id:7 stat:DELIVRD err:000";
    for garbage in [&b"\x04\x27\x00"[..], b"\x14\x00\xFF\xFFx", b"\x04\x24\x00\x09x", b"\x99"] {
        check_deliver(&[&[text.len() as u8], &text[..], garbage].concat(), |message, quirks| {
            assert_eq!((message.short_message, quirks), (&text[..], Quirks::TRAILING), "{garbage:?}");
        });
    }
    // A text that is cut before its state does not count as a receipt.
    let cut = [&[5][..], &text[..]].concat();
    let wanted = DecodeReason::ShortMessageLength { promised: 5, present: text.len() };
    check_error(&deliver(&cut), wanted, CommandStatus::RINVMSGLEN);
}

#[test]
fn no_text_no_payload_and_still_a_header_indicated() {
    let mut head = DELIVER_HEAD.to_vec();
    let esm_class = head.iter().position(|byte| *byte == 4).unwrap();
    head[esm_class] = 0x40;
    let bytes = bytes(CommandId::DELIVER_SM, 0, &[&head[..], b"\0"].concat());
    let Ok(Decoded { pdu: Pdu::DeliverSm(message), .. }) = read(&bytes) else { panic!() };
    assert!(message.esm_class.has_udh());
    assert_eq!(message.user_data(), b"");
}

#[test]
fn the_text_may_be_in_the_payload() {
    check_deliver(b"\x00\x04\x24\x00\x05hello", |message, _| assert_eq!(message.user_data(), b"hello"));
    check_deliver(b"\x02hi\x04\x24\x00\x05hello", |message, _| assert_eq!(message.user_data(), b"hi"));
}

#[test]
fn a_string_without_nul_runs_to_the_end_and_no_further() {
    check_error(
        &bytes(CommandId::DELIVER_SM, 0, b"\0\x01\x01491701234567"),
        DecodeReason::Truncated(Field::DestTon),
        CommandStatus::RINVCMDLEN,
    );
    check_error(
        &bytes(CommandId::SUBMIT_SM, 0, b"\0\x01\x01"),
        DecodeReason::Truncated(Field::SourceAddr),
        CommandStatus::RINVSRCADR,
    );
    check_error(
        &bytes(CommandId::SUBMIT_SM, 0, b"\0\x01\x01a\0\x01\x01"),
        DecodeReason::Truncated(Field::DestinationAddr),
        CommandStatus::RINVDSTADR,
    );
    check_error(
        &bytes(CommandId::BIND_TRANSCEIVER, 0, b"AAAAAAAAAAAAAAAAAAAAAAAA"),
        DecodeReason::Truncated(Field::Password),
        CommandStatus::RINVCMDLEN,
    );
    check_error(
        &bytes(CommandId::SUBMIT_SM, 0, b""),
        DecodeReason::Truncated(Field::ServiceType),
        CommandStatus::RINVCMDLEN,
    );
}

fn check_submit_resp(status: u32, body: &[u8], id: &[u8], quirks: Quirks) {
    let bytes = bytes(CommandId::SUBMIT_SM_RESP, status, body);
    let decoded = read(&bytes).unwrap();
    let Pdu::SubmitSmResp(resp) = decoded.pdu else { panic!("{decoded:?}") };
    assert_eq!((resp.message_id, decoded.quirks, decoded.header.command_status.0), (id, quirks, status));
}

#[test]
fn submit_sm_resp_in_all_its_shapes() {
    check_submit_resp(0, b"0a1b\0", b"0a1b", Quirks::NONE);
    check_submit_resp(0, b"0a1b", b"0a1b", Quirks::MISSING_NUL);
    check_submit_resp(0, b"\0", b"", Quirks::NONE);
    check_submit_resp(0, b"", b"", Quirks::MISSING_NUL);
    check_submit_resp(0x58, b"", b"", Quirks::NONE);
    check_submit_resp(0x58, b"\0", b"", Quirks::NONE);
    check_submit_resp(0x58, b"0a1b\0", b"0a1b", Quirks::NONE);
    check_submit_resp(0x58, b"0a1b", b"0a1b", Quirks::MISSING_NUL);
    check_submit_resp(0, b"7\0garbage behind", b"7", Quirks::NONE);
    check_submit_resp(0, &[&[b'9'; 70][..], b"\0"].concat(), &[b'9'; 70], Quirks::OVERLONG);
}

#[test]
fn bind_resp_with_and_without_body() {
    let with_body = bytes(CommandId::BIND_TRANSCEIVER_RESP, 0, b"smsc\0\x02\x10\x00\x01\x34");
    let Ok(Decoded { pdu: Pdu::BindResp(BindMode::Transceiver, resp), .. }) = read(&with_body) else { panic!() };
    assert_eq!(resp.system_id, b"smsc");
    assert_eq!(resp.tlvs.number(TlvTag::SC_INTERFACE_VERSION), Some(0x34));
    let refused = bytes(CommandId::BIND_RECEIVER_RESP, 0x0E, b"");
    let wanted = Pdu::BindResp(BindMode::Receiver, BindResp::default());
    assert_eq!(read(&refused).map(|decoded| (decoded.pdu, decoded.quirks)), Ok((wanted, Quirks::NONE)));
}

#[test]
fn a_bind_may_end_without_its_last_nul_or_with_more() {
    let bind = Bind { system_id: b"me", password: b"pw", interface_version: 0x34, ..Bind::default() };
    for (body, quirks) in [
        (&b"me\0pw\0\0\x34\0\0\0"[..], Quirks::NONE),
        (b"me\0pw\0\0\x34\0\0", Quirks::MISSING_NUL),
        (b"me\0pw\0\0\x34\0\0\0more", Quirks::TRAILING),
    ] {
        let bytes = bytes(CommandId::BIND_TRANSMITTER, 0, body);
        let wanted = (Pdu::Bind(BindMode::Transmitter, bind), quirks);
        assert_eq!(read(&bytes).map(|decoded| (decoded.pdu, decoded.quirks)), Ok(wanted));
    }
    assert!(!format!("{bind:?}").contains("pw"), "a password is never printed");
}

#[test]
fn pdus_without_a_body_forgive_one() {
    let bytes = bytes(CommandId::ENQUIRE_LINK, 0, b"\0");
    assert_eq!(read(&bytes).map(|decoded| (decoded.pdu, decoded.quirks)), Ok((Pdu::EnquireLink, Quirks::TRAILING)));
}

#[test]
fn an_unknown_id_keeps_its_header_and_body() {
    let bytes = bytes(CommandId(0x0000_0111), 0, b"abc");
    let decoded = read(&bytes).unwrap();
    assert_eq!(decoded.pdu, Pdu::Unknown { id: CommandId(0x111), body: b"abc" });
    assert_eq!(decoded.header.sequence_number, 77);
}

#[test]
fn query_sm_resp_of_a_refusal_may_be_empty() {
    let refused = bytes(CommandId::QUERY_SM_RESP, 0x67, b"");
    assert_eq!(read(&refused).map(|decoded| decoded.pdu), Ok(Pdu::QuerySmResp(QuerySmResp::default())));
    check_error(
        &bytes(CommandId::QUERY_SM_RESP, 0, b"17\0\0"),
        DecodeReason::Truncated(Field::MessageState),
        CommandStatus::RINVCMDLEN,
    );
}

#[test]
fn data_sm_and_alert_notification() {
    let bytes_of_data = bytes(CommandId::DATA_SM, 0, b"\0\x01\x011\0\x01\x012\0\x04\0\0\x00\x1E\x00\x02a\0");
    let Ok(Decoded { pdu: Pdu::DataSm(data), .. }) = read(&bytes_of_data) else { panic!() };
    assert_eq!((data.source.digits, data.destination.digits), (&b"1"[..], &b"2"[..]));
    assert_eq!(data.tlvs.receipted_message_id(), Some(&b"a"[..]));
    let alert = bytes(CommandId::ALERT_NOTIFICATION, 0, b"\x01\x011\0\x01\x012\0\x04\x22\x00\x01\x00");
    let Ok(Decoded { pdu: Pdu::AlertNotification(alert), .. }) = read(&alert) else { panic!() };
    assert_eq!(alert.esme.digits, b"2");
    assert_eq!(alert.tlvs.iter().next(), Some(Ok(Tlv { tag: TlvTag::MS_AVAILABILITY_STATUS, value: &[0] })));
}

/// Reads everything that is read lazily, so that all readers are exercised.
fn touch(decoded: &Decoded<'_>) {
    let tlvs = match decoded.pdu {
        Pdu::SubmitSm(message) | Pdu::DeliverSm(message) => {
            let _ = message.user_data();
            message.tlvs
        }
        Pdu::SubmitSmResp(resp) | Pdu::DeliverSmResp(resp) | Pdu::DataSmResp(resp) => resp.tlvs,
        Pdu::DataSm(message) => message.tlvs,
        Pdu::BindResp(_, resp) => resp.tlvs,
        Pdu::AlertNotification(alert) => alert.tlvs,
        Pdu::Bind(..)
        | Pdu::Outbind(_)
        | Pdu::QuerySm(_)
        | Pdu::QuerySmResp(_)
        | Pdu::EnquireLink
        | Pdu::EnquireLinkResp
        | Pdu::Unbind
        | Pdu::UnbindResp
        | Pdu::GenericNack
        | Pdu::Unknown { .. } => Tlvs::EMPTY,
    };
    assert!(tlvs.iter().count() <= tlvs.bytes().len() / 4 + 1);
    let _ = (tlvs.receipted_message_id(), tlvs.message_state(), tlvs.network_error_code(), tlvs.message_payload());
}

fn command_ids() -> impl Strategy<Value = CommandId> {
    let ids = [1, 2, 3, 4, 5, 6, 7, 9, 0xB, 0x15, 0x102, 0x103];
    prop_oneof![prop::sample::select(ids.to_vec()), any::<u32>()]
        .prop_flat_map(|id| prop_oneof![Just(CommandId(id)), Just(CommandId(id).response())])
}

proptest! {
    #[test]
    fn arbitrary_bodies_never_panic(
        id in command_ids(),
        status in prop_oneof![Just(0u32), any::<u32>()],
        body in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..120),
    ) {
        let bytes = bytes(id, status, &body);
        match read(&bytes) {
            Ok(decoded) => touch(&decoded),
            Err(error) => prop_assert!(!error.status().is_ok()),
        }
    }

    #[test]
    fn damaged_messages_never_panic(at in 0usize..60, byte in any::<u8>(), cut in 0usize..60) {
        let mut bytes = deliver(b"\x05hello\x00\x1E\x00\x03abc\x04\x27\x00\x01\x02");
        bytes.truncate(bytes.len().saturating_sub(cut).max(16));
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        if let Some(damaged) = bytes.get_mut(16 + at) {
            *damaged = byte;
        }
        if let Ok(decoded) = read(&bytes) {
            touch(&decoded);
        }
    }

    #[test]
    fn framer_and_decoder_always_progress(
        stream in prop::collection::vec(any::<u8>(), 0..400),
        honest in any::<bool>(),
        piece in 1usize..64,
    ) {
        let mut stream = stream;
        if honest {
            stream = stream.chunks(40).flat_map(|body| bytes(CommandId(u32::from(body[0] % 12)), 0, body)).collect();
        }
        let mut framer = Framer::new(PDU_BYTES_MAX);
        let mut frames = 0;
        for mut input in stream.chunks(piece) {
            while let Some(frame) = framer.next_frame(&mut input) {
                frames += 1;
                prop_assert!(frames <= stream.len() / 16 + 1);
                match frame {
                    Ok(frame) => if let Ok(decoded) = decode(&frame) { touch(&decoded) },
                    Err(FramingError::TooShort(_) | FramingError::TooLong { .. } | FramingError::Stranger(_)) => {}
                }
            }
            prop_assert!(input.is_empty());
        }
        if honest {
            prop_assert_eq!(frames, stream.len().div_ceil(56));
        }
    }
}
