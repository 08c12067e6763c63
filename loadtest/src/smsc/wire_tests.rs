//! What the simulator reads from a `submit_sm`, byte by byte.

use super::*;

/// A well-formed `submit_sm` body; `tail` follows `sm_default_msg_id`.
fn submit_body(esm_class: u8, tail: &[u8]) -> Vec<u8> {
    let mut body = b"\0\x05\0STENTOR\0\x01\x014915110000000\0".to_vec();
    body.extend_from_slice(&[esm_class, 0, 0, 0, 0, 1, 0, 8, 0]);
    body.extend_from_slice(tail);
    body
}

#[test]
fn reads_a_submit() {
    let submit_source = Address { ton: 5, npi: 0, digits: b"STENTOR" };
    let destination = Address { ton: 1, npi: 1, digits: b"4915110000000" };
    let expected = |user_data: &'static [u8], text: &'static [u8]| {
        Ok(Submit { source: submit_source, destination, registered_delivery: 1, data_coding: 8, user_data, text })
    };
    assert_eq!(read_submit(&submit_body(0, b"\x02hi")), expected(b"hi", b"hi"));
    assert_eq!(
        read_submit(&submit_body(0x40, b"\x08\x05\0\x03\x01\x02\x01hi")),
        expected(b"\x05\0\x03\x01\x02\x01hi", b"hi")
    );
    assert_eq!(read_submit(&submit_body(0, b"\0\x02\x04\0\x02ab\x04\x24\0\x02hi")), expected(b"hi", b"hi"));
}

#[test]
fn refuses_a_submit_that_lies() {
    let check = |body: &[u8], field| assert_eq!(read_submit(body), Err(Malformed(field)), "{body:?}");
    check(b"", "service_type");
    check(b"toolong\0", "service_type");
    check(&submit_body(0, b"\x03hi"), "short_message");
    check(&submit_body(0, b"\x01hi"), "optional parameter");
    check(&submit_body(0, &[255]), "sm_length");
    check(&submit_body(0, b"\x02hi\x04\x24\0\x02hi"), "short_message and message_payload");
    check(&submit_body(0, b"\0\x04\x24\0\x09hi"), "length of an optional parameter");
    check(&submit_body(0x40, b"\0"), "user data header");
    check(&submit_body(0x40, b"\x02\x05\0"), "user data header");
    check(b"\0\0\0\0\0\0\0", "destination_addr");
}

#[test]
fn cuts_a_stream_and_notices_when_it_is_lost() {
    let mut out = Vec::new();
    write_empty(&mut out, command::ENQUIRE_LINK, 0, 7);
    let header = Header { length: 16, command: command::ENQUIRE_LINK, status: 0, sequence: 7 };
    assert_eq!(cut(&out), Cut::Pdu(header, b""));
    assert_eq!(cut(&out[..15]), Cut::Incomplete);
    assert_eq!(cut(b"HTTP/1.1 200 OK\r\n"), Cut::Broken);
    assert_eq!(cut(&[0, 0, 0, 15, 0]), Cut::Broken);
}

#[test]
fn what_is_written_is_what_was_meant() {
    let mut out = Vec::new();
    write_submit_response(&mut out, status::OK, 3, Some(|out: &mut Vec<u8>| out.extend_from_slice(b"99")));
    assert_eq!(out, b"\0\0\0\x13\x80\0\0\x04\0\0\0\0\0\0\0\x0399\0");
    out.clear();
    let deliver = Deliver {
        source: Address { ton: 1, npi: 1, digits: b"49" },
        destination: Address { ton: 5, npi: 0, digits: b"S" },
        esm_class: 4,
        short_message: b"id:1",
        tlvs: b"\x04\x27\0\x01\x02",
    };
    write_deliver(&mut out, 1, &deliver);
    assert_eq!(
        out,
        b"\0\0\0\x2D\0\0\0\x05\0\0\0\0\0\0\0\x01\0\x01\x0149\0\x05\0S\0\x04\0\0\0\0\0\0\0\0\x04id:1\x04\x27\0\x01\x02"
    );
    assert_eq!(out.len(), 0x2D);
}

#[test]
fn reads_a_bind() {
    assert_eq!(read_bind(b"stentor\0secret\0\0\x34\0\0\0"), Ok(Bind { system_id: b"stentor", password: b"secret" }));
    assert_eq!(read_bind(b"stentor\0secret12345\0\0\x34\0\0\0"), Err(Malformed("password")));
}

#[test]
fn a_query_is_read_and_answered() {
    let source = Address { ton: 5, npi: 0, digits: b"STENTOR" };
    assert_eq!(read_query(b"17\0\x05\0STENTOR\0"), Ok(Query { message_id: b"17", source }));
    assert_eq!(read_query(b"17\0\x05\0STENTOR"), Err(Malformed("source_addr")));
    assert_eq!(read_query(b"17\0\x05\0STENTOR\0x"), Err(Malformed("length")));
    let mut out = Vec::new();
    write_query_response(&mut out, 9, b"17", b"260101000000000+", 2, 0);
    assert_eq!(out, b"\0\0\0\x26\x80\0\0\x03\0\0\0\0\0\0\0\x0917\x00260101000000000+\0\x02\0");
    assert_eq!(out.len(), 0x26);
}
