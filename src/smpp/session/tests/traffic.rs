//! Binding, windows, sequence numbers, responses in time and late.

use super::*;
use crate::window::SEQUENCE_MAX;

#[test]
fn nothing_is_sent_before_the_bind_is_answered() {
    let mut session: Session<u64> = Session::client(&Options::default(), BindMode::Transceiver, &BIND, 0).unwrap();
    assert_eq!(session.submit(1, &message(b"x"), 0), Err(SendError::NotBound));
    assert_eq!((session.window_free(), session.bound()), (0, None));
    sent(&mut session);
    let early = pdu(5, CommandStatus::ROK, Pdu::DeliverSm(message(b"x")));
    assert_eq!(feed(&mut session, &early, 0), ["refused deliver_sm 4"]);
    assert_eq!(sent(&mut session), [(CommandId::DELIVER_SM_RESP, 4, 5)]);
}

#[test]
fn a_refused_bind_ends_the_session_with_its_status() {
    let mut session: Session<u64> = Session::client(&Options::default(), BindMode::Transmitter, &BIND, 0).unwrap();
    let resp = pdu(1, CommandStatus::RINVPASWD, Pdu::BindResp(BindMode::Transmitter, BindResp::default()));
    assert_eq!(feed(&mut session, &resp, 0), ["bind failed E", "closed BindRefused(ESME_RINVPASWD (0x0E))"]);
    assert_eq!(session.poll_timeout(), None);
    let mut session: Session<u64> = Session::client(&Options::default(), BindMode::Transmitter, &BIND, 0).unwrap();
    let nack = pdu(1, CommandStatus::RINVCMDID, Pdu::GenericNack);
    assert_eq!(feed(&mut session, &nack, 0), ["bind failed 3", "closed BindRefused(ESME_RINVCMDID (0x03))"]);
    // Field case 14: some peers answer without the sequence number.
    let mut session: Session<u64> = Session::client(&Options::default(), BindMode::Transmitter, &BIND, 0).unwrap();
    let nack = pdu(0, CommandStatus::RINVBNDSTS, Pdu::GenericNack);
    assert_eq!(feed(&mut session, &nack, 0), ["bind failed 4", "closed BindRefused(ESME_RINVBNDSTS (0x04))"]);
}

#[test]
fn responses_come_in_any_order_and_strangers_are_told() {
    let mut session = bound_client(&Options::default());
    let numbers: Vec<_> = (0..3).map(|token| session.submit(token, &message(b"x"), 0).unwrap()).collect();
    assert_eq!(numbers, [2, 3, 4]);
    let input = [submit_resp(4, b"c"), submit_resp(2, b"a"), submit_resp(9, b"z"), submit_resp(3, b"b")].concat();
    let told = feed(&mut session, &input, 0);
    assert_eq!(told, ["submit_resp 2 0 c", "submit_resp 0 0 a", "unknown submit_sm_resp 9", "submit_resp 1 0 b"]);
    assert_eq!(feed(&mut session, &submit_resp(3, b"b"), 0), ["unknown submit_sm_resp 3"], "an answer counts once");
    assert_eq!(session.outstanding(), 0);
}

#[test]
fn the_window_is_never_exceeded() {
    let mut session = bound_client(&Options { window: 2, ..Options::default() });
    session.submit(1, &message(b"x"), 0).unwrap();
    let first = session.submit(2, &message(b"x"), 0).unwrap();
    assert_eq!(session.submit(3, &message(b"x"), 0), Err(SendError::WindowFull));
    assert_eq!(sent(&mut session).len(), 2);
    feed(&mut session, &submit_resp(first, b"a"), 0);
    assert_eq!(session.window_free(), 1);
    session.submit(3, &message(b"x"), 0).unwrap();
}

#[test]
fn a_message_that_cannot_be_written_leaves_no_trace() {
    let mut session = bound_client(&Options { window: 1, ..Options::default() });
    let refused = session.submit(1, &message(&[b'x'; 255]), 0);
    assert!(matches!(refused, Err(SendError::Encode(EncodeError::TooLong { bytes: 255, limit: 254, .. }))));
    assert_eq!((session.outstanding(), sent(&mut session)), (0, vec![]));
    session.submit(1, &message(b"x"), 0).unwrap();
}

#[test]
fn sequence_numbers_wrap() {
    let mut session: Session<u64> = Session::client(
        &Options { first_sequence: SEQUENCE_MAX, ..Options::default() },
        BindMode::Transceiver,
        &BIND,
        0,
    )
    .unwrap();
    assert_eq!(sent(&mut session), [(CommandId::BIND_TRANSCEIVER, 0, SEQUENCE_MAX)]);
    let resp = pdu(SEQUENCE_MAX, CommandStatus::ROK, Pdu::BindResp(BindMode::Transceiver, BindResp::default()));
    feed(&mut session, &resp, 0);
    assert_eq!(session.submit(1, &message(b"x"), 0), Ok(1));
}

#[test]
fn a_response_that_does_not_come_is_told_and_a_late_one_is_recognised() {
    let options = Options { response_ns: 100 * MS, enquire_link_ns: None, ..Options::default() };
    let mut session = bound_client(&options);
    let first = session.submit(1, &message(b"x"), 0).unwrap();
    sent(&mut session);
    session.submit(2, &message(b"y"), 40 * MS).unwrap();
    assert_eq!(session.poll_timeout(), Some(100 * MS));
    session.handle_timeout(99 * MS);
    assert!(feed(&mut session, b"", 99 * MS).is_empty());
    session.handle_timeout(100 * MS);
    assert_eq!(feed(&mut session, b"", 100 * MS), ["timeout 1 Unanswered"]);
    assert_eq!((session.poll_timeout(), session.outstanding()), (Some(140 * MS), 1));
    session.handle_timeout(140 * MS);
    assert_eq!(feed(&mut session, b"", 140 * MS), ["timeout 2 NeverWritten"]);
    assert_eq!((session.poll_timeout(), session.window_free()), (None, 10));
    assert_eq!(feed(&mut session, &submit_resp(first, b"a"), 200 * MS), ["submit_resp 1 0 a late"]);
    session.submit(3, &message(b"z"), 200 * MS).unwrap();
    assert_eq!(session.poll_timeout(), Some(300 * MS));
}

#[test]
fn a_late_response_that_cannot_be_read_is_no_tenants() {
    let options = Options { response_ns: 100 * MS, enquire_link_ns: None, ..Options::default() };
    let mut session = bound_client(&options);
    let first = session.submit(1, &message(b"x"), 0).unwrap();
    sent(&mut session);
    session.handle_timeout(100 * MS);
    assert_eq!(feed(&mut session, b"", 100 * MS), ["timeout 1 Unanswered"], "all is said of it");
    let cut_off = pdu(first, CommandStatus::ROK, Pdu::Unknown { id: CommandId::QUERY_SM_RESP, body: b"17\0" });
    assert_eq!(feed(&mut session, &cut_off, 200 * MS), [format!("malformed {first} None")]);
}
