//! Tests of both roles of a session: each alone against given bytes, and both together through streams cut anywhere.
//! This file holds the fixtures.

use super::super::pdu::{
    Address, Bind, BindMode, BindResp, CommandId, MessageResp, Pdu, QuerySm, QuerySmResp, ShortMessage,
};
use super::super::status::CommandStatus;
use super::super::tlv::Tlvs;
use super::*;

mod ends;
mod oddities;
mod together;
mod traffic;

const MS: u64 = 1_000_000;
const BIND: Bind<'static> = Bind {
    system_id: b"me",
    password: b"pw",
    system_type: b"",
    interface_version: 0x34,
    addr_ton: 0,
    addr_npi: 0,
    address_range: b"",
};

fn message(text: &[u8]) -> ShortMessage<'_> {
    ShortMessage {
        source: Address { ton: 5, npi: 0, digits: b"Stentor" },
        destination: Address { ton: 1, npi: 1, digits: b"491701234567" },
        short_message: text,
        ..ShortMessage::default()
    }
}

fn pdu(sequence: u32, status: CommandStatus, pdu: Pdu<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, sequence, status, &pdu).unwrap();
    out
}

fn submit_resp(sequence: u32, id: &[u8]) -> Vec<u8> {
    pdu(sequence, CommandStatus::ROK, Pdu::SubmitSmResp(MessageResp { message_id: id, tlvs: Tlvs::EMPTY }))
}

/// Feeds bytes and returns a text for every event, so that tests can compare the whole list.
fn feed(session: &mut Session<u64>, mut input: &[u8], now_ns: u64) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = session.poll_event(&mut input, now_ns) {
        told.push(short(&event));
    }
    assert!(input.is_empty());
    told
}

fn short(event: &Event<'_, u64>) -> String {
    let answer = |name: &str, answer: &Response<'_, u64>| {
        let id = String::from_utf8_lossy(answer.message_id);
        let marks = [&*id, if answer.late { "late" } else { "" }, if answer.nacked { "nacked" } else { "" }];
        let marks: String = marks.iter().filter(|mark| !mark.is_empty()).map(|mark| format!(" {mark}")).collect();
        format!("{name} {} {:X}{marks}", answer.token, answer.status.0)
    };
    match event {
        Event::Bound { mode, .. } => format!("bound {mode:?}"),
        Event::BindFailed { status } => format!("bind failed {:X}", status.0),
        Event::BindRequest { mode, bind } => format!("bind {mode:?} {}", String::from_utf8_lossy(bind.system_id)),
        Event::SubmitResp(found) => answer("submit_resp", found),
        Event::DeliverResp(found) => answer("deliver_resp", found),
        Event::DataResp(found) => answer("data_resp", found),
        Event::QueryResp { answer: found, found: state } => {
            format!("{} state {:?}", answer("query_resp", found), state.map(|state| state.message_state))
        }
        Event::ResponseTimeout { token, fate, .. } => format!("timeout {token} {fate:?}"),
        Event::Submit { sequence, message, .. } => {
            format!("submit {sequence} {}", String::from_utf8_lossy(message.short_message))
        }
        Event::Deliver { sequence, message, .. } => {
            format!("deliver {sequence} {}", String::from_utf8_lossy(message.short_message))
        }
        Event::Data { sequence, .. } => format!("data {sequence}"),
        Event::Query { sequence, query } => format!("query {sequence} {}", String::from_utf8_lossy(query.message_id)),
        Event::Alert(_) => "alert".into(),
        Event::Outbind(_) => "outbind".into(),
        Event::EnquireLink => "enquire".into(),
        Event::EnquireLinkResp => "enquire_resp".into(),
        Event::UnbindRequested => "unbind".into(),
        Event::UnbindAnswered => "unbind_resp".into(),
        Event::Refused { header, status } => format!("refused {} {:X}", header.command_id, status.0),
        Event::Malformed { error, token, .. } => format!("malformed {} {token:?}", error.header.sequence_number),
        Event::UnknownResponse { header, .. } => format!("unknown {} {}", header.command_id, header.sequence_number),
        Event::Unresolved { token, fate, .. } => format!("unresolved {token} {fate:?}"),
        Event::Closed { reason } => format!("closed {reason:?}"),
    }
}

/// Every PDU that the session wants to send, as id, status and sequence number; all of them count as written.
fn sent(session: &mut Session<u64>) -> Vec<(CommandId, u32, u32)> {
    let mut out = Vec::new();
    session.poll_transmit(&mut out);
    session.handle_written(out.len());
    let mut rest = &out[..];
    let mut found = Vec::new();
    while let Some((header, _)) = super::super::pdu::Header::read(rest) {
        found.push((header.command_id, header.command_status.0, header.sequence_number));
        rest = &rest[header.command_length as usize..];
    }
    assert!(rest.is_empty());
    found
}

fn bound_client(options: &Options) -> Session<u64> {
    let mut session = Session::client(options, BindMode::Transceiver, &BIND, 0).unwrap();
    assert_eq!(sent(&mut session), [(CommandId::BIND_TRANSCEIVER, 0, 1)]);
    let resp = pdu(1, CommandStatus::ROK, Pdu::BindResp(BindMode::Transceiver, BindResp::default()));
    assert_eq!(feed(&mut session, &resp, 0), ["bound Transceiver"]);
    session
}

fn bound_server(options: &Options, mode: BindMode) -> Session<u64> {
    let mut session = Session::server(options, 0);
    let told = feed(&mut session, &pdu(1, CommandStatus::ROK, Pdu::Bind(mode, BIND)), 0);
    assert_eq!(told, [format!("bind {mode:?} me")]);
    session.answer_bind(CommandStatus::ROK, b"smsc", 0).unwrap();
    assert_eq!(sent(&mut session), [(mode.command_id().response(), 0, 1)]);
    session
}
