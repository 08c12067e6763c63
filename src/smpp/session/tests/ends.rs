//! How sessions end, which requests they leave without a response, and what an idle session does.

use super::*;
use crate::framer::FramingError;

#[test]
fn a_lost_connection_tells_what_was_certainly_never_written() {
    let mut session = bound_client(&Options::default());
    session.submit(1, &message(b"written"), 0).unwrap();
    session.submit(2, &message(b"half written"), 0).unwrap();
    let mut out = Vec::new();
    assert!(session.poll_transmit(&mut out));
    let first_bytes = u32::from_be_bytes([out[0], out[1], out[2], out[3]]) as usize;
    session.submit(3, &message(b"not even taken"), 0).unwrap();
    session.handle_written(first_bytes + 20);
    session.handle_connection_lost();
    assert_eq!(
        feed(&mut session, b"", 0),
        ["unresolved 1 Unanswered", "unresolved 2 NeverWritten", "unresolved 3 NeverWritten", "closed ConnectionLost"]
    );
    assert!(session.is_closed());
    assert_eq!(sent(&mut session), []);
    assert_eq!(session.submit(4, &message(b"x"), 0), Err(SendError::NotBound));
}

#[test]
fn bytes_of_unknown_fate_count_as_written() {
    let mut session = bound_client(&Options::default());
    session.submit(1, &message(b"x"), 0).unwrap();
    session.poll_transmit(&mut Vec::new());
    session.submit(2, &message(b"y"), 0).unwrap();
    session.handle_written_unknown();
    session.handle_connection_lost();
    let told = feed(&mut session, b"", 0);
    assert_eq!(told, ["unresolved 1 Unanswered", "unresolved 2 NeverWritten", "closed ConnectionLost"]);
}

#[test]
fn the_peers_unbind_is_answered_and_what_was_not_taken_is_called_back() {
    let mut session = bound_client(&Options::default());
    session.submit(1, &message(b"x"), 0).unwrap();
    session.poll_transmit(&mut Vec::new());
    session.submit(2, &message(b"y"), 0).unwrap();
    let input = [pdu(8, CommandStatus::ROK, Pdu::DeliverSm(message(b"in"))), pdu(9, CommandStatus::ROK, Pdu::Unbind)];
    let mut input = &input.concat()[..];
    assert!(matches!(session.poll_event(&mut input, 0), Some(Event::Deliver { sequence: 8, .. })));
    session.answer_deliver(8, CommandStatus::ROK).unwrap();
    assert_eq!(feed(&mut session, input, 0), ["unbind", "unresolved 2 NeverWritten"]);
    assert_eq!(sent(&mut session), [(CommandId::DELIVER_SM_RESP, 0, 8)]);
    // The peer's response to the first request may still come; nothing more is sent.
    assert_eq!(session.submit(3, &message(b"z"), 0), Err(SendError::NotBound));
    let end = Options::default().unbind_ns;
    session.handle_timeout(end);
    assert_eq!(feed(&mut session, b"", end), ["unresolved 1 Unanswered", "closed PeerUnbound"]);
    assert_eq!(sent(&mut session), [(CommandId::UNBIND_RESP, 0, 9)]);
}

/// Field P5: responses that were on their way when the peer sent unbind were lost.
#[test]
fn what_the_peer_owes_is_read_before_its_unbind_is_answered() {
    let mut session = bound_client(&Options::default());
    let first = session.submit(1, &message(b"x"), 0).unwrap();
    let second = session.submit(2, &message(b"y"), 0).unwrap();
    sent(&mut session);
    for token in 3..6 {
        session.submit(token, &message(b"z"), 0).unwrap();
    }
    assert_eq!(
        feed(&mut session, &pdu(9, CommandStatus::ROK, Pdu::Unbind), 0),
        ["unbind", "unresolved 3 NeverWritten", "unresolved 4 NeverWritten", "unresolved 5 NeverWritten"]
    );
    assert_eq!(feed(&mut session, &submit_resp(second, b"b"), 0), ["submit_resp 2 0 b"]);
    let deliver = pdu(8, CommandStatus::ROK, Pdu::DeliverSm(message(b"in")));
    assert_eq!(feed(&mut session, &deliver, 0), ["deliver 8 in"]);
    session.answer_deliver(8, CommandStatus::ROK).unwrap();
    assert_eq!(sent(&mut session), [(CommandId::DELIVER_SM_RESP, 0, 8)]);
    assert_eq!(feed(&mut session, &submit_resp(first, b"a"), 0), ["submit_resp 1 0 a", "closed PeerUnbound"]);
    assert_eq!(sent(&mut session), [(CommandId::UNBIND_RESP, 0, 9)]);
}

#[test]
fn a_connection_that_is_lost_before_the_last_answer_leaves_the_rest_open() {
    let mut session = bound_client(&Options::default());
    session.submit(1, &message(b"x"), 0).unwrap();
    sent(&mut session);
    assert_eq!(feed(&mut session, &pdu(9, CommandStatus::ROK, Pdu::Unbind), 0), ["unbind"]);
    session.handle_connection_lost();
    assert_eq!(feed(&mut session, b"", 0), ["unresolved 1 Unanswered", "closed ConnectionLost"]);
}

#[test]
fn our_unbind_waits_for_the_window() {
    let mut session = bound_client(&Options::default());
    let number = session.submit(1, &message(b"x"), 0).unwrap();
    sent(&mut session);
    session.unbind(1000 * MS, 0);
    assert_eq!(session.submit(2, &message(b"y"), 0), Err(SendError::NotBound));
    assert_eq!(sent(&mut session), []);
    let deliver = pdu(8, CommandStatus::ROK, Pdu::DeliverSm(message(b"in")));
    assert_eq!(feed(&mut session, &deliver, 0), ["deliver 8 in"]);
    session.answer_deliver(8, CommandStatus::ROK).unwrap();
    assert_eq!(feed(&mut session, &submit_resp(number, b"a"), 0), ["submit_resp 1 0 a"]);
    let [(CommandId::DELIVER_SM_RESP, 0, 8), (CommandId::UNBIND, 0, unbind)] = sent(&mut session)[..] else { panic!() };
    let resp = pdu(unbind, CommandStatus::ROK, Pdu::UnbindResp);
    assert_eq!(feed(&mut session, &resp, 0), ["unbind_resp", "closed Unbound"]);
}

#[test]
fn an_overdue_request_does_not_hold_up_the_unbind() {
    let options = Options { response_ns: 10 * MS, ..Options::default() };
    let mut session = bound_client(&options);
    session.submit(1, &message(b"x"), 0).unwrap();
    sent(&mut session);
    session.unbind(1000 * MS, 0);
    session.handle_timeout(10 * MS);
    assert_eq!(feed(&mut session, b"", 10 * MS), ["timeout 1 Unanswered"]);
    assert!(matches!(sent(&mut session)[..], [(CommandId::UNBIND, 0, _)]));
}

#[test]
fn draining_and_unbinding_end_by_themselves() {
    let options = Options { unbind_ns: 50 * MS, ..Options::default() };
    let mut session = bound_client(&options);
    session.submit(1, &message(b"x"), 0).unwrap();
    sent(&mut session);
    session.unbind(20 * MS, 0);
    assert_eq!(session.poll_timeout(), Some(20 * MS));
    session.handle_timeout(20 * MS);
    assert_eq!(sent(&mut session).len(), 1, "unbind");
    assert_eq!(session.poll_timeout(), Some(70 * MS));
    session.handle_timeout(70 * MS);
    assert_eq!(feed(&mut session, b"", 70 * MS), ["unresolved 1 Unanswered", "closed UnbindTimeout"]);
}

#[test]
fn enquire_link_is_answered_and_asked() {
    let options = Options { enquire_link_ns: Some(100 * MS), enquire_response_ns: 30 * MS, ..Options::default() };
    let mut session = bound_client(&options);
    assert_eq!(feed(&mut session, &pdu(70, CommandStatus::ROK, Pdu::EnquireLink), 50 * MS), ["enquire"]);
    assert_eq!(sent(&mut session), [(CommandId::ENQUIRE_LINK_RESP, 0, 70)]);
    session.handle_timeout(149 * MS);
    assert_eq!(sent(&mut session), []);
    session.handle_timeout(150 * MS);
    let [(CommandId::ENQUIRE_LINK, 0, number)] = sent(&mut session)[..] else { panic!() };
    assert_eq!(session.poll_timeout(), Some(180 * MS));
    assert_eq!(feed(&mut session, &pdu(number, CommandStatus::ROK, Pdu::EnquireLinkResp), 160 * MS), ["enquire_resp"]);
    assert_eq!(session.poll_timeout(), Some(260 * MS));
    session.handle_timeout(260 * MS);
    session.handle_timeout(290 * MS);
    assert_eq!(feed(&mut session, b"", 290 * MS), ["closed EnquireLinkTimeout"]);
}

#[test]
fn inactivity_unbinds_and_enquire_link_does_not_count_as_activity() {
    let options = Options { inactivity_ns: Some(100 * MS), enquire_link_ns: None, ..Options::default() };
    let mut session = bound_client(&options);
    feed(&mut session, &pdu(70, CommandStatus::ROK, Pdu::EnquireLink), 90 * MS);
    sent(&mut session);
    session.handle_timeout(100 * MS);
    let [(CommandId::UNBIND, 0, number)] = sent(&mut session)[..] else { panic!() };
    let resp = pdu(number, CommandStatus::ROK, Pdu::UnbindResp);
    assert_eq!(feed(&mut session, &resp, 110 * MS), ["unbind_resp", "closed Inactivity"]);
}

#[test]
fn an_unbound_session_ends_in_time() {
    for mut session in [
        Session::<u64>::server(&Options { session_init_ns: 5 * MS, ..Options::default() }, 0),
        Session::client(&Options { session_init_ns: 5 * MS, ..Options::default() }, BindMode::Receiver, &BIND, 0)
            .unwrap(),
    ] {
        assert_eq!(session.poll_timeout(), Some(5 * MS));
        session.handle_timeout(5 * MS);
        assert_eq!(feed(&mut session, b"", 5 * MS), ["closed SessionInitTimeout"]);
    }
}

#[test]
fn an_answer_to_the_bind_that_comes_after_the_end_is_no_tenants() {
    let options = Options { session_init_ns: 5 * MS, ..Options::default() };
    let mut session: Session<u64> = Session::client(&options, BindMode::Transceiver, &BIND, 0).unwrap();
    sent(&mut session);
    session.handle_timeout(5 * MS);
    let late = pdu(1, CommandStatus::ROK, Pdu::BindResp(BindMode::Transceiver, BindResp::default()));
    assert_eq!(feed(&mut session, &late, 6 * MS), ["closed SessionInitTimeout"]);
    assert_eq!(feed(&mut session, &late, 7 * MS), Vec::<String>::new());
    assert_eq!((session.bound(), session.is_closed(), session.poll_timeout()), (None, true, None));
    assert_eq!(sent(&mut session), [], "and nothing is answered");
    assert_eq!(session.submit(1, &message(b"x"), 8 * MS), Err(SendError::NotBound));
}

#[test]
fn the_words_for_ends_and_errors_are_plain() {
    assert_eq!(CloseReason::Framing(FramingError::TooShort(2)).to_string(), "command_length 2 is less than a header");
    assert_eq!(SendError::WindowFull.to_string(), "the window is full");
}
