//! Descriptions of PDUs. Uses the encoder to make PDUs; refuses to know connections.

use super::super::encode::encode;
use super::super::framer::{Framer, PDU_BYTES_MAX};
use super::super::pdu::BindMode;
use super::super::status::CommandStatus;
use super::super::tlv::TlvWriter;
use super::*;

fn words_of(bytes: &[u8], detail: Detail) -> String {
    let (mut framer, mut rest) = (Framer::new(PDU_BYTES_MAX), bytes);
    let frame = framer.next_frame(&mut rest).expect("a PDU").expect("a length that can be true");
    InWords::new(&frame, detail).to_string()
}

fn told(pdu: &Pdu<'_>, status: CommandStatus) -> [String; 2] {
    let mut bytes = Vec::new();
    encode(&mut bytes, 7, status, pdu).expect("can be written");
    [Detail::Masked, Detail::Whole].map(|detail| words_of(&bytes, detail))
}

fn text<'a>(tlvs: Tlvs<'a>, short_message: &'a [u8]) -> ShortMessage<'a> {
    ShortMessage {
        source: Address { ton: ton::ALPHANUMERIC, npi: 0, digits: b"ACME" },
        destination: Address { ton: ton::INTERNATIONAL, npi: 1, digits: b"4915112345678" },
        registered_delivery: 1,
        short_message,
        tlvs,
        ..ShortMessage::default()
    }
}

#[test]
fn a_submit_is_told_without_number_and_text_unless_the_whole_is_asked_for() {
    let [masked, whole] = told(&Pdu::SubmitSm(text(Tlvs::EMPTY, b"your code is 4711")), CommandStatus::ROK);
    let coded = "esm_class 0x00, data_coding 0, registered_delivery 1, text of 17 bytes";
    assert_eq!(masked, format!("submit_sm 7: from ACME (5/0) to 49151******78 (1/1), {coded}"));
    let number = "4915112345678";
    assert_eq!(whole, format!("submit_sm 7: from ACME (5/0) to {number} (1/1), {coded} \"your code is 4711\""));
}

/// A phone number is masked even if its type is that of a name, and a short code is not masked.
#[test]
fn a_number_is_masked_whatever_its_type_says() {
    let sender = |ton, digits| ShortMessage { source: Address { ton, npi: 0, digits }, ..text(Tlvs::EMPTY, b"") };
    for (ton, digits, shown) in [
        (ton::ALPHANUMERIC, &b"4915112345678"[..], "49151******78"),
        (ton::ALPHANUMERIC, b"MY SHOP NAME", "MY SHOP NAME"),
        (ton::INTERNATIONAL, b"+49151x23", "+4915**23"),
        (ton::NETWORK_SPECIFIC, b"72345", "72345"),
    ] {
        let [masked, _] = told(&Pdu::DeliverSm(sender(ton, digits)), CommandStatus::ROK);
        assert!(masked.contains(&format!("from {shown} (")), "{masked}");
    }
}

#[test]
fn a_password_is_never_told() {
    let bind = Bind { system_id: b"north", password: b"secret", interface_version: 0x34, ..Bind::default() };
    for told in told(&Pdu::Bind(BindMode::Transceiver, bind), CommandStatus::ROK) {
        assert_eq!(told, "bind_transceiver 7: system_id north, password (not shown), version 0x34");
    }
    let outbind = super::super::pdu::Outbind { system_id: b"north", password: b"secret" };
    assert!(!told(&Pdu::Outbind(outbind), CommandStatus::ROK).concat().contains("secret"));
}

#[test]
fn a_receipt_says_what_it_is_for_and_keeps_the_text() {
    let body =
        b"id:4711 sub:001 dlvrd:001 submit date:2611281200 done date:2611281201 stat:DELIVRD err:000 text:your code";
    let receipt = ShortMessage { esm_class: EsmClass::DELIVERY_RECEIPT, ..text(Tlvs::EMPTY, body) };
    let [masked, whole] = told(&Pdu::DeliverSm(receipt), CommandStatus::ROK);
    assert!(masked.ends_with("bytes, receipt id 4711 state Delivered err 000 done 2611281201"), "{masked}");
    assert!(!masked.contains("your code") && whole.contains("your code"), "{whole}");
}

#[test]
fn an_answer_is_told_with_its_status() {
    let resp = MessageResp { message_id: b"4711", tlvs: Tlvs::EMPTY };
    let [masked, _] = told(&Pdu::SubmitSmResp(resp), CommandStatus::ROK);
    assert_eq!(masked, "submit_sm_resp 7 ESME_ROK (0x00): message_id 4711");
    let [nack, _] = told(&Pdu::GenericNack, CommandStatus::RINVCMDID);
    assert_eq!(nack, "generic_nack 7 ESME_RINVCMDID (0x03)");
}

#[test]
fn parameters_are_told_by_name_and_bounded() {
    let mut bytes = Vec::new();
    let mut writer = TlvWriter::new(&mut bytes);
    writer.u16(TlvTag::USER_MESSAGE_REFERENCE, 0x0102);
    for tag in 0..40 {
        writer.bytes(TlvTag(0x1400 + tag), b"1101234567890").expect("fits");
    }
    let [masked, whole] = told(&Pdu::SubmitSm(text(Tlvs::new(&bytes), b"x")), CommandStatus::ROK);
    assert!(masked.contains("user_message_reference 0x0102, 0x1400 of 13 bytes"), "{masked}");
    assert!(whole.contains("0x1400 0x31313031323334353637383930") && whole.ends_with("more parameters"), "{whole}");
    assert_eq!(masked.matches("of 13 bytes").count(), TLVS_MAX - 1);
}

/// The longest PDU that a peer can send gives a line of a few KiB, without control characters that a terminal would obey.
#[test]
fn whatever_is_sent_the_line_is_short_and_plain() {
    let long = vec![0x1B; 60_000];
    let mut bytes = Vec::new();
    TlvWriter::new(&mut bytes).bytes(TlvTag::MESSAGE_PAYLOAD, &long).expect("it fits");
    let message = ShortMessage { data_coding: 4, ..text(Tlvs::new(&bytes), b"") };
    for pdu in [Pdu::DeliverSm(message), Pdu::DeliverSm(ShortMessage { data_coding: 3, ..message })] {
        for told in told(&pdu, CommandStatus::ROK) {
            assert!(told.len() < 4_096 && !told.chars().any(char::is_control), "{} bytes: {told}", told.len());
        }
    }
    let mut torn = vec![0, 0, 0, 20, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 7];
    torn.extend_from_slice(b"\x1b[2J");
    assert!(words_of(&torn, Detail::Whole).starts_with("submit_sm 7: cannot be read: submit_sm 7: ends within"));
}

proptest::proptest! {
    #[test]
    fn nothing_that_comes_in_is_too_much(body: Vec<u8>, id in 0_u32..0x200, response: bool) {
        let id = if response { id | 0x8000_0000 } else { id };
        let length = 16 + body.len() as u32;
        let head = [length, id, 0, 7].map(u32::to_be_bytes);
        let bytes: Vec<u8> = head.as_flattened().iter().chain(&body).copied().collect();
        for detail in [Detail::Masked, Detail::Whole] {
            let told = words_of(&bytes, detail);
            assert!(told.len() < 8_192 && !told.chars().any(char::is_control));
        }
    }
}
