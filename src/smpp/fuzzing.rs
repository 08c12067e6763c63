//! The entry for a fuzzer: calls everything that reads bytes from a peer, driven by one string of bytes.
//!
//! Knows which functions must accept any bytes, and what must hold then. Refuses to choose the bytes.

#![allow(clippy::expect_used, reason = "a fuzz target: a panic is how it tells")]

use super::coding::{DataCoding, DefaultAlphabet};
use super::decode::decode;
use super::encode::encode;
use super::framer::{Framer, PDU_BYTES_MAX};
use super::pdu::{Bind, BindMode, BindResp, INTERFACE_VERSION_3_4, Pdu, QuerySmResp, ShortMessage};
use super::receipt::Receipt;
use super::session::{Event, Options, Session};
use super::status::CommandStatus;
use super::time_format::SmppTime;
use super::tlv::Tlvs;
use super::user_data::decode_user_data;

/// Runs all checks. The first byte decides the length of the pieces into which the rest is cut.
///
/// # Panics
/// If a check fails: that is the fuzzer's finding.
pub fn decode_everything(data: &[u8]) {
    let Some((piece, stream)) = data.split_first() else {
        return;
    };
    let piece = usize::from(*piece) + 1;
    read_stream(stream, piece);
    read_text(stream);
    let options = Options { window: 4, backlog_bytes_max: 4096, ..Options::default() };
    for mut session in [client(&options), server(&options), Session::server(&options, 0)] {
        drive(&mut session, stream, piece);
        outlive(&mut session);
    }
}

/// Reads a stream, cut into pieces, with the framer, the decoder, and the readers of parameters and receipts.
///
/// # Panics
/// If the framer makes no progress, or a PDU that was read and accepted by the encoder reads differently afterwards.
pub fn read_stream(stream: &[u8], piece: usize) {
    let mut framer = Framer::new(PDU_BYTES_MAX);
    let mut frames = 0;
    for mut input in stream.chunks(piece.max(1)) {
        while let Some(frame) = framer.next_frame(&mut input) {
            frames += 1;
            assert!(frames <= stream.len() / 16 + 1, "a frame of less than a header");
            let Ok(frame) = frame else { continue };
            let Ok(decoded) = decode(&frame) else { continue };
            read_body(&decoded.pdu);
            write_again(&decoded.pdu, decoded.header.command_status);
        }
        assert!(input.is_empty(), "the framer left input behind");
    }
}

/// Reads the bytes as a receipt, as user data in every coding, and as a time.
pub fn read_text(bytes: &[u8]) {
    let _ = SmppTime::parse(bytes);
    let _ = Receipt::parse_text(bytes);
    if let Some((data_coding, user_data)) = bytes.split_first() {
        for has_header in [false, true] {
            let _ = decode_user_data(DataCoding(*data_coding), DefaultAlphabet::Gsm7, has_header, user_data);
        }
    }
}

fn read_body(pdu: &Pdu<'_>) {
    match pdu {
        Pdu::SubmitSm(message) | Pdu::DeliverSm(message) => {
            let mut scratch = Vec::new();
            let _ = Receipt::parse(&message.receipt_source(), &mut scratch);
            let coding = DataCoding(message.data_coding);
            let _ = decode_user_data(coding, DefaultAlphabet::Gsm7, message.esm_class.has_udh(), message.user_data());
            read_parameters(message.tlvs);
        }
        Pdu::DataSm(message) => {
            let mut scratch = Vec::new();
            let _ = Receipt::parse(&message.receipt_source(), &mut scratch);
            read_parameters(message.tlvs);
        }
        Pdu::SubmitSmResp(resp) | Pdu::DeliverSmResp(resp) | Pdu::DataSmResp(resp) => read_parameters(resp.tlvs),
        Pdu::BindResp(_, resp) => read_parameters(resp.tlvs),
        Pdu::AlertNotification(alert) => read_parameters(alert.tlvs),
        Pdu::Bind(..)
        | Pdu::Outbind(_)
        | Pdu::QuerySm(_)
        | Pdu::QuerySmResp(_)
        | Pdu::EnquireLink
        | Pdu::EnquireLinkResp
        | Pdu::Unbind
        | Pdu::UnbindResp
        | Pdu::GenericNack
        | Pdu::Unknown { .. } => {}
    }
}

fn read_parameters(tlvs: Tlvs<'_>) {
    assert!(tlvs.iter().count() <= tlvs.bytes().len() / 4 + 1);
    let _ = (tlvs.receipted_message_id(), tlvs.message_state(), tlvs.network_error_code(), tlvs.message_payload());
}

/// Checks that the lenient decoder reads back unchanged what the strict encoder accepts.
fn write_again(pdu: &Pdu<'_>, status: CommandStatus) {
    let mut out = Vec::new();
    if encode(&mut out, 1, status, pdu).is_err() {
        assert!(out.is_empty(), "a refused PDU left bytes behind");
        return;
    }
    let mut framer = Framer::new(PDU_BYTES_MAX);
    let mut input = &out[..];
    let frame = framer.next_frame(&mut input).and_then(Result::ok);
    let again = frame.and_then(|frame| decode(&frame).ok());
    assert_eq!(again.map(|again| again.pdu), Some(*pdu), "what was written reads differently");
    assert!(input.is_empty());
}

fn bind() -> Bind<'static> {
    Bind { system_id: b"fuzz", interface_version: INTERFACE_VERSION_3_4, ..Bind::default() }
}

fn client(options: &Options) -> Session<u64> {
    let session = Session::client(options, BindMode::Transceiver, &bind(), 0);
    let mut session = session.expect("a bind request of constants can be written");
    bring(&mut session, &Pdu::BindResp(BindMode::Transceiver, BindResp::default()));
    for token in 0..3 {
        let _ = session.submit(token, &ShortMessage { short_message: b"x", ..ShortMessage::default() }, 0);
    }
    session
}

fn server(options: &Options) -> Session<u64> {
    let mut session = Session::server(options, 0);
    bring(&mut session, &Pdu::Bind(BindMode::Transceiver, bind()));
    for token in 0..3 {
        let _ = session.deliver(token, &ShortMessage { short_message: b"x", ..ShortMessage::default() }, 0);
    }
    session
}

fn bring(session: &mut Session<u64>, pdu: &Pdu<'_>) {
    let mut bytes = Vec::new();
    encode(&mut bytes, 1, CommandStatus::ROK, pdu).expect("a PDU of constants can be written");
    drive(session, &bytes, bytes.len());
}

/// Feeds a session and answers each request at once; an answer that the session refuses is not a finding.
fn drive(session: &mut Session<u64>, stream: &[u8], piece: usize) {
    let status = CommandStatus::ROK;
    let mut out = Vec::new();
    let mut events = 0;
    for (number, mut input) in stream.chunks(piece.max(1)).enumerate() {
        let now_ns = number as u64;
        while let Some(event) = session.poll_event(&mut input, now_ns) {
            events += 1;
            assert!(events <= stream.len() / 16 + 16, "more events than PDUs");
            let _ = match event {
                Event::BindRequest { .. } => session.answer_bind(status, b"smsc", now_ns),
                Event::Submit { sequence, .. } => session.answer_submit(sequence, status, b"17"),
                Event::Deliver { sequence, .. } => session.answer_deliver(sequence, status),
                Event::Data { sequence, .. } => session.answer_data(sequence, status, b"17"),
                Event::Query { sequence, .. } => session.answer_query(sequence, status, &QuerySmResp::default()),
                Event::Bound { .. }
                | Event::BindFailed { .. }
                | Event::SubmitResp(_)
                | Event::DeliverResp(_)
                | Event::DataResp(_)
                | Event::QueryResp { .. }
                | Event::ResponseTimeout { .. }
                | Event::Alert(_)
                | Event::Outbind(_)
                | Event::EnquireLink
                | Event::EnquireLinkResp
                | Event::UnbindRequested
                | Event::UnbindAnswered
                | Event::Refused { .. }
                | Event::Malformed { .. }
                | Event::UnknownResponse { .. }
                | Event::Unresolved { .. }
                | Event::Closed { .. } => Ok(()),
            };
        }
        assert!(input.is_empty(), "the session left input behind");
        assert!(session.backlog_bytes() <= 16 * 1024, "answers pile up");
        out.clear();
        if number % 2 == 0 && session.poll_transmit(&mut out) {
            session.handle_written(out.len());
        }
    }
}

/// Advances the time until the session is over.
fn outlive(session: &mut Session<u64>) {
    session.unbind(1, u64::from(u32::MAX));
    for _ in 0..16 {
        if let Some(at_ns) = session.poll_timeout() {
            session.handle_timeout(at_ns);
        }
        while session.poll_event(&mut &[][..], u64::from(u32::MAX)).is_some() {}
    }
    assert!(session.is_closed(), "an unbinding session does not end");
    assert_eq!(session.outstanding(), 0, "a request was never settled");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Streams of nearly correct PDUs, which random bytes would never form.
    fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
        let ids = [1u32, 2, 3, 4, 5, 6, 9, 0xB, 0x15, 0x102, 0x103];
        let id = (prop::sample::select(ids.to_vec()), any::<bool>()).prop_map(|(id, resp)| id | u32::from(resp) << 31);
        let body =
            prop::collection::vec(prop_oneof![3 => Just(0u8), 2 => 1u8..8, 2 => b'0'..b'z', 1 => any::<u8>()], 0..60);
        let pdu = (id, 0u32..2, 0u32..6, body).prop_map(|(id, status, sequence, body)| {
            let length = 16 + body.len() as u32;
            [length, id, status, sequence].iter().flat_map(|word| word.to_be_bytes()).chain(body).collect::<Vec<u8>>()
        });
        prop::collection::vec(pdu, 0..12).prop_map(|pdus| pdus.concat())
    }

    proptest! {
        #[test]
        fn nearly_right_streams_find_nothing(piece in any::<u8>(), stream in nearly_right()) {
            decode_everything(&[&[piece], &stream[..]].concat());
        }

        #[test]
        fn blind_bytes_find_nothing(data in prop::collection::vec(any::<u8>(), 0..200)) {
            decode_everything(&data);
        }
    }
}
