//! PDUs that peers should not send, but do.

use super::*;
use crate::decode::DecodeReason;

#[test]
fn generic_nack_answers_the_request_that_it_names() {
    let mut session = bound_client(&Options::default());
    let number = session.submit(1, &message(b"x"), 0).unwrap();
    let nack = |sequence| pdu(sequence, CommandStatus::RINVCMDLEN, Pdu::GenericNack);
    assert_eq!(feed(&mut session, &nack(number), 0), ["submit_resp 1 2 nacked"]);
    assert_eq!(feed(&mut session, &nack(0), 0), ["unknown generic_nack 0"]);
    assert_eq!(sent(&mut session).len(), 1, "a nack is never answered");
}

#[test]
fn a_17_byte_nack_that_says_16_ends_the_session_cleanly() {
    let mut session = bound_client(&Options::default());
    let number = session.submit(1, &message(b"x"), 0).unwrap();
    sent(&mut session);
    let mut bytes = pdu(number, CommandStatus::RINVCMDID, Pdu::GenericNack);
    bytes.push(0);
    bytes.extend(submit_resp(number, b"a"));
    assert_eq!(feed(&mut session, &bytes, 0), ["submit_resp 1 3 nacked", "closed Framing(TooShort(0))"]);
}

#[test]
fn unknown_requests_are_nacked_and_unknown_responses_are_not() {
    let mut session = bound_client(&Options::default());
    let request = pdu(44, CommandStatus::ROK, Pdu::Unknown { id: CommandId(0x0111), body: b"abc" });
    assert_eq!(feed(&mut session, &request, 0), ["refused 0x00000111 3"]);
    assert_eq!(sent(&mut session), [(CommandId::GENERIC_NACK, 3, 44)]);
    let response = pdu(44, CommandStatus::ROK, Pdu::Unknown { id: CommandId(0x8000_0111), body: b"abc" });
    assert_eq!(feed(&mut session, &response, 0), ["unknown 0x80000111 44"]);
    assert_eq!(sent(&mut session), []);
}

#[test]
fn a_stream_that_is_no_smpp_ends_the_session_with_its_reason() {
    let mut session = bound_client(&Options::default());
    session.submit(1, &message(b"x"), 0).unwrap();
    sent(&mut session);
    assert_eq!(
        feed(&mut session, b"HTTP/1.1 400 Bad Request\r\n", 0),
        ["unresolved 1 Unanswered", "closed Framing(Stranger(Http))"]
    );
    assert_eq!(sent(&mut session), []);
    let mut session = bound_client(&Options::default());
    assert_eq!(feed(&mut session, &[0; 16], 0), ["closed Framing(TooShort(0))"]);
    assert_eq!(sent(&mut session), [(CommandId::GENERIC_NACK, 2, 0)]);
}

#[test]
fn a_malformed_message_is_answered_and_the_session_lives() {
    let mut session = bound_server(&Options::default(), BindMode::Transceiver);
    let mut bad = pdu(5, CommandStatus::ROK, Pdu::SubmitSm(message(b"hello world")));
    let sm_length = bad.len() - b"hello world".len() - 1;
    bad[sm_length] = 5;
    let good = pdu(6, CommandStatus::ROK, Pdu::SubmitSm(message(b"next")));
    let mut input = &bad[..];
    let Some(Event::Malformed { error, token: None, .. }) = session.poll_event(&mut input, 0) else { panic!() };
    assert_eq!(error.reason, DecodeReason::ShortMessageLength { promised: 5, present: 11 });
    assert_eq!(feed(&mut session, &good, 0), ["submit 6 next"]);
    assert_eq!(sent(&mut session), [(CommandId::SUBMIT_SM_RESP, 1, 5)]);
}

#[test]
fn before_the_bind_a_server_refuses_messages_and_reads_them_safely() {
    let mut session = Session::<u64>::server(&Options::default(), 0);
    let submit = pdu(3, CommandStatus::ROK, Pdu::SubmitSm(message(b"x")));
    assert_eq!(feed(&mut session, &submit, 0), ["refused submit_sm 4"]);
    let bind = pdu(4, CommandStatus::ROK, Pdu::Bind(BindMode::Receiver, BIND));
    assert_eq!(feed(&mut session, &[bind.clone(), bind].concat(), 0), ["bind Receiver me", "refused bind_receiver 5"]);
    session.answer_bind(CommandStatus::RINVPASWD, b"", 0).unwrap();
    assert_eq!(session.answer_bind(CommandStatus::ROK, b"", 0), Err(SendError::NotBound));
    assert_eq!(
        sent(&mut session),
        [
            (CommandId::SUBMIT_SM_RESP, 4, 3),
            (CommandId::BIND_RECEIVER_RESP, 5, 4),
            (CommandId::BIND_RECEIVER_RESP, 0x0E, 4)
        ]
    );
}

#[test]
fn directions_follow_the_mode() {
    let mut receiver = bound_server(&Options::default(), BindMode::Receiver);
    let submit = pdu(3, CommandStatus::ROK, Pdu::SubmitSm(message(b"x")));
    assert_eq!(feed(&mut receiver, &submit, 0), ["refused submit_sm 4"]);
    receiver.deliver(1, &message(b"x"), 0).unwrap();
    let mut transmitter = bound_server(&Options::default(), BindMode::Transmitter);
    assert_eq!(transmitter.deliver(1, &message(b"x"), 0), Err(SendError::WrongDirection));
    assert_eq!(transmitter.submit(1, &message(b"x"), 0), Err(SendError::WrongDirection));
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let mut session = bound_client(&Options { backlog_bytes_max: 64, ..Options::default() });
    let enquire = pdu(70, CommandStatus::ROK, Pdu::EnquireLink);
    let told = feed(&mut session, &enquire.repeat(6), 0);
    assert_eq!(told[4..], ["enquire", "closed PeerNotReading"]);
    let mut session = bound_client(&Options { backlog_bytes_max: 64, ..Options::default() });
    session.submit(1, &message(b"a message of some length"), 0).unwrap();
    assert_eq!(session.submit(2, &message(b"x"), 0), Err(SendError::Backlogged));
    sent(&mut session);
    session.submit(2, &message(b"x"), 0).unwrap();
}

#[test]
fn queries_go_both_ways() {
    let mut client = bound_client(&Options::default());
    let mut server = bound_server(&Options::default(), BindMode::Transceiver);
    client.query(5, &QuerySm { message_id: b"17", ..QuerySm::default() }, 0).unwrap();
    let mut wire = Vec::new();
    client.poll_transmit(&mut wire);
    assert_eq!(feed(&mut server, &wire, 0), ["query 2 17"]);
    let found = QuerySmResp { message_id: b"17", message_state: 2, ..QuerySmResp::default() };
    server.answer_query(2, CommandStatus::ROK, &found).unwrap();
    wire.clear();
    server.poll_transmit(&mut wire);
    assert_eq!(feed(&mut client, &wire, 0), ["query_resp 5 0 17 state Some(2)"]);
    client.query(6, &QuerySm::default(), 0).unwrap();
    let truncated = pdu(3, CommandStatus::ROK, Pdu::Unknown { id: CommandId::QUERY_SM_RESP, body: b"17\0" });
    assert_eq!(feed(&mut client, &truncated, 0), ["malformed 3 Some(6)"]);
    assert_eq!(client.outstanding(), 0);
}
