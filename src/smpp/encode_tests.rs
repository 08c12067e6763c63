//! The encoder against its limits, against the decoder here, and against an independent codec in both directions.

use super::super::decode::{Quirks, decode};
use super::super::framer::Frame;
use super::super::pdu::{AlertNotification, BindMode, BindResp, EsmClass, Header, Outbind, QuerySm};
use super::super::tlv::TlvWriter;
use super::*;
use proptest::prelude::*;
use rusmpp_core::command::borrowed::Command;
use rusmpp_core::decode::borrowed::DecodeWithLength;
use rusmpp_core::encode::{Encode, Length};

fn written(status: CommandStatus, pdu: &Pdu<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, 9, status, pdu).unwrap();
    out
}

fn check_refused(pdu: Pdu<'_>, wanted: EncodeError) {
    let mut out = b"before".to_vec();
    assert_eq!(encode(&mut out, 1, CommandStatus::ROK, &pdu), Err(wanted));
    assert_eq!(out, b"before", "nothing of a refused PDU is left behind");
}

fn message() -> ShortMessage<'static> {
    ShortMessage {
        source: Address { ton: 5, npi: 0, digits: b"Stentor" },
        destination: Address { ton: 1, npi: 1, digits: b"491701234567" },
        registered_delivery: 1,
        short_message: b"hello",
        ..ShortMessage::default()
    }
}

#[test]
fn the_sample_bind_of_the_specification() {
    let bind = Bind {
        system_id: b"SMPP3TEST",
        password: b"secret08",
        system_type: b"SUBMIT1",
        interface_version: 0x50,
        addr_ton: 1,
        addr_npi: 1,
        address_range: b"",
    };
    let wanted = b"\0\0\0\x2F\0\0\0\x02\0\0\0\0\0\0\0\x09SMPP3TEST\0secret08\0SUBMIT1\0\x50\x01\x01\0";
    assert_eq!(written(CommandStatus::ROK, &Pdu::Bind(BindMode::Transmitter, bind)), wanted);
}

#[test]
fn every_limit_is_kept_to_the_byte() {
    let long = [b'7'; 300];
    let over = |field: Field, bytes, limit| EncodeError::TooLong { field, bytes, limit };
    let check = |limit: usize, field: Field, pdu: &dyn Fn(&'static [u8]) -> Pdu<'static>| {
        let long: &'static [u8] = &[b'7'; 300];
        written(CommandStatus::ROK, &pdu(&long[..limit]));
        check_refused(pdu(&long[..=limit]), over(field, limit + 1, limit));
    };
    check(5, Field::ServiceType, &|text| Pdu::SubmitSm(ShortMessage { service_type: text, ..message() }));
    check(20, Field::SourceAddr, &|digits| {
        Pdu::SubmitSm(ShortMessage { source: Address { digits, ..Address::default() }, ..message() })
    });
    check(20, Field::DestinationAddr, &|digits| {
        Pdu::SubmitSm(ShortMessage { destination: Address { digits, ..Address::default() }, ..message() })
    });
    check(254, Field::ShortMessage, &|text| Pdu::SubmitSm(ShortMessage { short_message: text, ..message() }));
    check(64, Field::MessageId, &|id| Pdu::SubmitSmResp(MessageResp { message_id: id, ..MessageResp::default() }));
    // Texts that the carrier assigns may be longer than the specification allows, up to 255 bytes.
    check(255, Field::SystemId, &|text| Pdu::Bind(BindMode::Receiver, Bind { system_id: text, ..Bind::default() }));
    check(255, Field::Password, &|text| Pdu::Bind(BindMode::Receiver, Bind { password: text, ..Bind::default() }));
    check(255, Field::SystemType, &|text| Pdu::Bind(BindMode::Receiver, Bind { system_type: text, ..Bind::default() }));
    check(255, Field::AddressRange, &|text| {
        Pdu::Bind(BindMode::Receiver, Bind { address_range: text, ..Bind::default() })
    });
    let too_long = ShortMessage { short_message: &long[..256], ..message() };
    check_refused(Pdu::SubmitSm(too_long), over(Field::ShortMessage, 256, 254));
}

#[test]
fn a_nul_would_end_a_name_early() {
    let at_sign_in_gsm = Address { ton: 5, npi: 0, digits: b"me\0you" };
    check_refused(
        Pdu::SubmitSm(ShortMessage { source: at_sign_in_gsm, ..message() }),
        EncodeError::NulWithin(Field::SourceAddr),
    );
}

#[test]
fn times_are_empty_or_times() {
    written(CommandStatus::ROK, &Pdu::SubmitSm(ShortMessage { validity_period: b"000000000100000R", ..message() }));
    check_refused(
        Pdu::SubmitSm(ShortMessage { validity_period: b"000000000100000", ..message() }),
        EncodeError::NotATime(Field::ValidityPeriod),
    );
    check_refused(
        Pdu::SubmitSm(ShortMessage { schedule_delivery_time: b"tomorrow", ..message() }),
        EncodeError::NotATime(Field::ScheduleDeliveryTime),
    );
}

#[test]
fn parameters_are_checked() {
    let mut payload = Vec::new();
    TlvWriter::new(&mut payload).bytes(TlvTag::MESSAGE_PAYLOAD, b"text").unwrap();
    check_refused(
        Pdu::SubmitSm(ShortMessage { tlvs: Tlvs::new(&payload), ..message() }),
        EncodeError::ShortMessageAndPayload,
    );
    written(
        CommandStatus::ROK,
        &Pdu::SubmitSm(ShortMessage { tlvs: Tlvs::new(&payload), short_message: b"", ..message() }),
    );
    check_refused(
        Pdu::SubmitSm(ShortMessage { tlvs: Tlvs::new(b"\x02\x0C\x00\x01\x07"), ..message() }),
        EncodeError::TlvLength { tag: TlvTag::SAR_MSG_REF_NUM, bytes: 1 },
    );
    check_refused(
        Pdu::SubmitSm(ShortMessage { tlvs: Tlvs::new(b"\x02\x0C\x00\x02\x07"), ..message() }),
        EncodeError::TlvsBroken,
    );
    let mut huge = Vec::new();
    TlvWriter::new(&mut huge).bytes(TlvTag::MESSAGE_PAYLOAD, &[0; 65_535]).unwrap();
    let over = ShortMessage { tlvs: Tlvs::new(&huge), short_message: b"", ..ShortMessage::default() };
    check_refused(Pdu::SubmitSm(over), EncodeError::PduTooLong(16 + 17 + 4 + 65_535));
}

#[test]
fn a_refusal_goes_without_a_body() {
    let resp = Pdu::SubmitSmResp(MessageResp::default());
    assert_eq!(written(CommandStatus::RTHROTTLED, &resp).len(), 16);
    assert_eq!(written(CommandStatus::ROK, &resp).len(), 17);
    let refused = Pdu::BindResp(BindMode::Receiver, BindResp::default());
    assert_eq!(written(CommandStatus::RINVPASWD, &refused).len(), 16);
    assert_eq!(written(CommandStatus::RQUERYFAIL, &Pdu::QuerySmResp(QuerySmResp::default())).len(), 16);
}

#[test]
fn a_refusal_that_says_something_goes_with_its_body() {
    // Found by fuzzing: an empty name or id must not cause the parameters after it to be dropped.
    for pdu in [
        Pdu::QuerySmResp(QuerySmResp { error_code: 1, ..QuerySmResp::default() }),
        Pdu::BindResp(BindMode::Receiver, BindResp { system_id: b"", tlvs: Tlvs::new(b"\x02\x10\x00\x01\x34") }),
        Pdu::SubmitSmResp(MessageResp { message_id: b"", tlvs: Tlvs::new(b"\x04\x25\x00\x01\x02") }),
    ] {
        let bytes = written(CommandStatus::RSYSERR, &pdu);
        let (header, body) = Header::read(&bytes).unwrap();
        assert_eq!(decode(&Frame { header, body }).map(|decoded| decoded.pdu), Ok(pdu));
    }
}

/// Bytes written here, read and written again by the other codec, must come back unchanged; and the bytes written by the
/// other codec must decode here to the original fields.
fn check_oracle(status: CommandStatus, pdu: &Pdu<'_>) {
    let ours = written(status, pdu);
    let (theirs, used) = Command::<8>::decode(&ours[4..], ours.len() - 4).unwrap();
    assert_eq!(used, ours.len() - 4);
    assert_eq!(u32::from(theirs.id()), pdu.command_id().0);
    assert_eq!(theirs.sequence_number(), 9);
    let mut back = (ours.len() as u32).to_be_bytes().to_vec();
    back.resize(4 + theirs.length(), 0);
    assert_eq!(theirs.encode(&mut back[4..]), ours.len() - 4);
    assert_eq!(back, ours);
    let (header, body) = Header::read(&back).unwrap();
    let decoded = decode(&Frame { header, body }).unwrap();
    assert_eq!((decoded.pdu, decoded.quirks, decoded.header.command_status), (*pdu, Quirks::NONE, status));
}

fn text(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0x20u8..0x7F, 0..=most)
}

fn time() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), Just(b"000002030405000R".to_vec()), Just(b"240229235959904+".to_vec())]
}

/// Type of number, numbering plan, digits.
type OwnedAddress = (u8, u8, Vec<u8>);

fn address() -> impl Strategy<Value = OwnedAddress> {
    let npi = prop::sample::select(vec![0u8, 1, 3, 4, 6, 8, 9, 10, 14, 18]);
    (0u8..=6, npi, text(20))
}

fn borrowed((ton, npi, digits): &OwnedAddress) -> Address<'_> {
    Address { ton: *ton, npi: *npi, digits }
}

fn tlvs(id: bool, state: bool, reference: bool, vendor: Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = TlvWriter::new(&mut bytes);
    if reference {
        writer.u16(TlvTag::SAR_MSG_REF_NUM, 0x1234).u8(TlvTag::SAR_TOTAL_SEGMENTS, 3).u8(TlvTag::SAR_SEGMENT_SEQNUM, 1);
    }
    if id {
        writer.c_string(TlvTag::RECEIPTED_MESSAGE_ID, b"0a1b2c").unwrap();
    }
    if state {
        writer.u8(TlvTag::MESSAGE_STATE, 2).bytes(TlvTag::NETWORK_ERROR_CODE, &[3, 0, 17]).unwrap();
    }
    if let Some(value) = vendor {
        writer.bytes(TlvTag(0x1401), &value).unwrap();
    }
    bytes
}

proptest! {
    #[test]
    fn messages_agree_with_the_oracle(
        service_type in prop::sample::select(vec![&b""[..], b"CMT", b"WAP", b"xyz"]),
        (source, destination) in (address(), address()),
        flags in any::<[u8; 5]>(),
        (schedule, validity) in (time(), time()),
        short_message in prop::collection::vec(any::<u8>(), 0..=254),
        tlvs in (any::<bool>(), any::<bool>(), any::<bool>(), prop::option::of(text(20))),
    ) {
        let tlvs = self::tlvs(tlvs.0, tlvs.1, tlvs.2, tlvs.3);
        let message = ShortMessage {
            service_type,
            source: borrowed(&source),
            destination: borrowed(&destination),
            esm_class: EsmClass(flags[0]),
            protocol_id: flags[1],
            priority_flag: flags[2] & 3,
            schedule_delivery_time: &schedule,
            validity_period: &validity,
            registered_delivery: flags[3] & 0x1F,
            replace_if_present_flag: flags[4] & 1,
            data_coding: flags[1] ^ flags[3],
            sm_default_msg_id: flags[2],
            short_message: &short_message,
            tlvs: Tlvs::new(&tlvs),
        };
        check_oracle(CommandStatus::ROK, &Pdu::SubmitSm(message));
        let delivered = ShortMessage { schedule_delivery_time: b"", validity_period: b"", ..message };
        check_oracle(CommandStatus::ROK, &Pdu::DeliverSm(delivered));
    }

    #[test]
    fn the_rest_agrees_with_the_oracle(
        (system_id, password, system_type, range) in (text(15), text(8), text(12), text(40)),
        (message_id, source, esme) in (text(64), address(), address()),
        (state, error_code) in (1u8..=8, any::<u8>()),
    ) {
        let bind = Bind {
            system_id: &system_id,
            password: &password,
            system_type: &system_type,
            interface_version: 0x34,
            addr_ton: source.0,
            addr_npi: source.1,
            address_range: &range,
        };
        for mode in [BindMode::Receiver, BindMode::Transmitter, BindMode::Transceiver] {
            check_oracle(CommandStatus::ROK, &Pdu::Bind(mode, bind));
            let version = Tlvs::new(b"\x02\x10\x00\x01\x34");
            check_oracle(CommandStatus::ROK, &Pdu::BindResp(mode, BindResp { system_id: &system_id, tlvs: version }));
        }
        let resp = MessageResp { message_id: &message_id, tlvs: Tlvs::EMPTY };
        check_oracle(CommandStatus::ROK, &Pdu::SubmitSmResp(resp));
        check_oracle(CommandStatus::ROK, &Pdu::DeliverSmResp(resp));
        check_oracle(CommandStatus::ROK, &Pdu::DataSmResp(resp));
        let (source, esme) = (borrowed(&source), borrowed(&esme));
        check_oracle(CommandStatus::ROK, &Pdu::QuerySm(QuerySm { message_id: &message_id, source }));
        let found = QuerySmResp { message_id: &message_id, final_date: b"", message_state: state, error_code };
        check_oracle(CommandStatus::ROK, &Pdu::QuerySmResp(found));
        check_oracle(CommandStatus::ROK, &Pdu::Outbind(Outbind { system_id: &system_id, password: &password }));
        let alert = AlertNotification { source, esme, tlvs: Tlvs::EMPTY };
        check_oracle(CommandStatus::ROK, &Pdu::AlertNotification(alert));
        let data = DataSm { source, destination: esme, esm_class: EsmClass(4), ..DataSm::default() };
        check_oracle(CommandStatus::ROK, &Pdu::DataSm(data));
    }
}

#[test]
fn pdus_without_a_body_agree_with_the_oracle() {
    for pdu in [Pdu::EnquireLink, Pdu::EnquireLinkResp, Pdu::Unbind, Pdu::UnbindResp] {
        check_oracle(CommandStatus::ROK, &pdu);
    }
    check_oracle(CommandStatus::RINVCMDID, &Pdu::GenericNack);
}

#[test]
fn every_status_has_the_oracles_number() {
    let renamed_in_5_0 = |status: &CommandStatus| (0xC0..=0xC4).contains(&status.0);
    for status in CommandStatus::NAMED.iter().filter(|status| !renamed_in_5_0(status)) {
        let theirs = rusmpp_core::CommandStatus::from(status.0);
        let name = status.name().unwrap().replace('_', "").to_lowercase();
        assert_eq!(name, format!("{theirs:?}").to_lowercase(), "{status:?}");
    }
}
