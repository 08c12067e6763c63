//! Fingerprints of idempotency keys: keyed hashes, because clients, who may be hostile, choose the keys. They go to
//! disk, so the function (XXH3 with the installation's seed) and the bytes that it reads never change. Knows no window
//! and no shard.
//!
//! Three scopes that never collide: a message's key within tenant and recipient, a request's key within its tenant, and
//! the keys derived from a request's key for those of its lines that have no key of their own.

use std::fmt;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128_with_seed};

use super::draft::{Body, Draft, Expiry};
use crate::model::{KeyPrint, Msisdn, TenantId};

const OF_MESSAGE: u8 = 1;
const OF_REQUEST: u8 = 2;
const OF_LINE: u8 = 3;

/// Makes fingerprints; holds the installation's seed.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    seed: u64,
}

impl Printer {
    /// `seed` belongs to the installation and never changes.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Fingerprint of a message with a key of its own. `said`: the bytes that [`said`] writes.
    pub fn message(self, tenant: TenantId, to: Msisdn, key: &str, said: &[u8]) -> KeyPrint {
        self.print(OF_MESSAGE, &[&tenant.0.to_le_bytes(), &to.number().to_le_bytes(), key.as_bytes()], said)
    }

    /// Fingerprint of a request with an `Idempotency-Key`; its body is added piece by piece.
    pub fn request(self, tenant: TenantId, key: &[u8]) -> RequestPrint {
        let key = self.key(OF_REQUEST, &[&tenant.0.to_le_bytes(), key]);
        RequestPrint { key, content: Box::new(Xxh3::with_seed(self.seed)) }
    }

    /// Fingerprint of a line without a key in such a request; lines are numbered from 0.
    pub fn line(self, request: KeyPrint, line: u64, said: &[u8]) -> KeyPrint {
        self.print(OF_LINE, &[&request.key.to_le_bytes(), &line.to_le_bytes()], said)
    }

    /// Fingerprint of a message that has a key, or whose request has one (`line` is its position in the request);
    /// `None` if neither has. `room` is a buffer for the message's content.
    pub fn of(
        self,
        draft: &Draft<'_>,
        tenant: TenantId,
        to: Msisdn,
        (request, line): (Option<KeyPrint>, usize),
        room: &mut Vec<u8>,
    ) -> Option<KeyPrint> {
        if draft.key.is_none() && request.is_none() {
            return None;
        }
        room.clear();
        said(draft, room);
        match (draft.key, request) {
            (Some(key), _) => Some(self.message(tenant, to, key, room)),
            (None, Some(request)) => Some(self.line(request, line as u64, room)),
            (None, None) => None,
        }
    }

    fn print(self, scope: u8, parts: &[&[u8]], content: &[u8]) -> KeyPrint {
        KeyPrint { key: self.key(scope, parts), content: xxh3_64_with_seed(content, self.seed) }
    }

    fn key(self, scope: u8, parts: &[&[u8]]) -> u128 {
        let mut bytes = [0; 320];
        let mut length = 1;
        bytes[0] = scope;
        for part in parts {
            let room = bytes.get_mut(length..length + part.len());
            if let Some(room) = room {
                room.copy_from_slice(part);
                length += part.len();
            }
        }
        xxh3_128_with_seed(&bytes[..length], self.seed)
    }
}

/// A request's fingerprint, computed while its body is read: a body of many megabytes is not hashed in one go.
pub struct RequestPrint {
    key: u128,
    content: Box<Xxh3>,
}

impl fmt::Debug for RequestPrint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RequestPrint").field("key", &self.key).finish_non_exhaustive()
    }
}

impl RequestPrint {
    /// Adds the next bytes of the body.
    pub fn add(&mut self, bytes: &[u8]) {
        self.content.update(bytes);
    }

    /// Ends the body and gives the fingerprint.
    pub fn end(self) -> KeyPrint {
        KeyPrint { key: self.key, content: self.content.digest() }
    }
}

/// Writes everything that the client gave, except recipient and key, which are the scope: each given field with its
/// number and length. A field that was not given is left out, so that a changed default does not turn the same request
/// into another message.
pub fn said(draft: &Draft<'_>, out: &mut Vec<u8>) {
    let mut put = |number: u8, bytes: Option<&[u8]>| {
        if let Some(bytes) = bytes {
            out.push(number);
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        }
    };
    let number = |number: Option<u64>| number.map(u64::to_le_bytes);
    let truth = |truth: Option<bool>| truth.map(|truth| [u8::from(truth)]);
    let there = |bytes: &'_ [u8]| !bytes.is_empty();
    put(1, draft.from.map(str::as_bytes));
    match draft.body {
        None => {}
        Some(Body::Text(text)) => put(2, Some(text.as_bytes())),
        Some(Body::Data { bytes, udh }) => {
            put(3, Some(bytes));
            put(4, Some(udh).filter(|udh| there(udh)));
        }
    }
    put(5, draft.class.map(|class| class.name().as_bytes()));
    put(6, number(draft.send_at.map(|at| at.0)).as_ref().map(<[u8; 8]>::as_slice));
    match draft.expiry {
        None => {}
        Some(Expiry::At(at)) => put(7, Some(&at.0.to_le_bytes())),
        Some(Expiry::In(ms)) => put(13, Some(&ms.to_le_bytes())),
    }
    put(8, draft.encoding.map(|encoding| encoding.name().as_bytes()));
    put(9, draft.reference.map(str::as_bytes));
    put(10, truth(draft.flash).as_ref().map(<[u8; 1]>::as_slice));
    put(11, truth(draft.receipt).as_ref().map(<[u8; 1]>::as_slice));
    put(12, number(draft.parts_max).as_ref().map(<[u8; 8]>::as_slice));
    put(14, Some(draft.tags.as_bytes()).filter(|tags| there(tags)));
    put(15, Some(draft.tlvs).filter(|tlvs| there(tlvs)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Class, Encoding, Wall, limits::KEY_BYTES_MAX};

    fn said_of(draft: &Draft<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        said(draft, &mut out);
        out
    }

    fn text(text: &str) -> Draft<'_> {
        Draft { body: Some(Body::Text(text)), ..Draft::default() }
    }

    fn request(printer: Printer, tenant: u32, key: &[u8], body: &[u8]) -> KeyPrint {
        let mut print = printer.request(TenantId(tenant), key);
        body.chunks(3).for_each(|piece| print.add(piece));
        print.end()
    }

    fn to(digits: &str) -> Msisdn {
        Msisdn::from_digits(digits.as_bytes()).expect("number")
    }

    #[test]
    fn fingerprints_on_disk_do_not_move() {
        let printer = Printer::new(7);
        let said = said_of(&Draft { flash: Some(true), ..text("hi") });
        assert_eq!(said, b"\x02\x02\0\0\0hi\x0a\x01\0\0\0\x01");
        let print = printer.message(TenantId(1), to("4915112345678"), "k", &said);
        assert_eq!(format!("{:032x} {:016x}", print.key, print.content), GOLDEN_MESSAGE);
        let request = request(printer, 1, b"k", b"{}");
        assert_eq!(format!("{:032x} {:016x}", request.key, request.content), GOLDEN_REQUEST);
    }

    /// From the reference implementation (xxHash 0.8), over the bytes described above.
    const GOLDEN_MESSAGE: &str = "67cc040048b09926b51cb066fb0293c2 3b36c17bf481bd67";
    const GOLDEN_REQUEST: &str = "10a355c2583f01af82fafcb1fbabb63f 9606931cd3142da1";

    #[test]
    fn a_body_is_the_same_in_whatever_pieces() {
        let body: Vec<u8> = (0..10_000_u32).map(|at| at as u8).collect();
        let printer = Printer::new(7);
        let whole = printer.print(OF_REQUEST, &[&1_u32.to_le_bytes(), b"k"], &body);
        assert_eq!(request(printer, 1, b"k", &body), whole);
    }

    #[test]
    fn a_key_counts_within_tenant_and_recipient_and_installation() {
        let print = |seed, tenant, number: &str, key: &str| {
            Printer::new(seed).message(TenantId(tenant), to(number), key, b"").key
        };
        let one = print(1, 1, "4915112345678", "k");
        assert_eq!(one, print(1, 1, "4915112345678", "k"));
        for other in [
            print(2, 1, "4915112345678", "k"),
            print(1, 2, "4915112345678", "k"),
            print(1, 1, "4915112345679", "k"),
            print(1, 1, "4915112345678", "l"),
            request(Printer::new(1), 1, b"k", b"").key,
        ] {
            assert_ne!(one, other);
        }
        let longest = "x".repeat(KEY_BYTES_MAX);
        assert_ne!(print(1, 1, "4915112345678", &longest), print(1, 1, "4915112345678", &longest[1..]));
    }

    #[test]
    fn lines_of_a_request_have_keys_of_their_own() {
        let printer = Printer::new(1);
        let one = request(printer, 1, b"k", b"body");
        let lines = [0, 1, 256].map(|line| printer.line(one, line, b"said"));
        assert!(lines[0].key != lines[1].key && lines[1].key != lines[2].key);
        assert_eq!(lines[0], printer.line(request(printer, 1, b"k", b"other"), 0, b"said"));
    }

    #[test]
    fn everything_that_is_said_counts() {
        let whole = Draft {
            to: Some("1"),
            from: Some("A"),
            body: Some(Body::Data { bytes: b"d", udh: b"u" }),
            class: Some(Class::Otp),
            key: Some("k"),
            send_at: Some(Wall(6)),
            expiry: Some(Expiry::At(Wall(7))),
            encoding: Some(Encoding::Binary),
            flash: Some(true),
            receipt: Some(false),
            parts_max: Some(12),
            reference: Some("r"),
            tags: "a,b",
            tlvs: b"tlv",
        };
        let expected = b"\x01\x01\0\0\0A\x03\x01\0\0\0d\x04\x01\0\0\0u\x05\x03\0\0\0otp\
            \x06\x08\0\0\0\x06\0\0\0\0\0\0\0\x07\x08\0\0\0\x07\0\0\0\0\0\0\0\x08\x06\0\0\0binary\
            \x09\x01\0\0\0r\x0a\x01\0\0\0\x01\x0b\x01\0\0\0\0\x0c\x08\0\0\0\x0c\0\0\0\0\0\0\0\
            \x0e\x03\0\0\0a,b\x0f\x03\0\0\0tlv";
        assert_eq!(said_of(&whole), expected);
        assert_eq!(said_of(&Draft { to: Some("2"), key: None, ..whole }), expected, "recipient and key are the scope");
        let within = Draft { expiry: Some(Expiry::In(13)), ..Draft::default() };
        assert_eq!(said_of(&within), b"\x0d\x08\0\0\0\x0d\0\0\0\0\0\0\0");
        let one = said_of(&text("hi"));
        for other in [
            text("ho"),
            Draft { from: Some(""), ..text("hi") },
            Draft { class: Some(Class::Transactional), ..text("hi") },
            Draft { expiry: Some(Expiry::In(60_000)), ..text("hi") },
            Draft { tags: "a", ..text("hi") },
            Draft { body: Some(Body::Data { bytes: b"hi", udh: b"" }), ..Draft::default() },
        ] {
            assert_ne!(one, said_of(&other), "{other:?}");
        }
    }

    #[test]
    fn a_key_of_its_own_goes_before_the_requests() {
        let printer = Printer::new(1);
        let number = to("4915112345678");
        let of_request = request(printer, 1, b"k", b"body");
        let of = |draft: &Draft<'_>, request| {
            printer.of(draft, TenantId(1), number, (request, 3), &mut b"left over".to_vec())
        };
        let said = said_of(&text("hi"));
        assert_eq!(of(&text("hi"), None), None);
        assert_eq!(of(&text("hi"), Some(of_request)), Some(printer.line(of_request, 3, &said)));
        let keyed = Draft { key: Some("own"), ..text("hi") };
        for request in [None, Some(of_request)] {
            assert_eq!(of(&keyed, request), Some(printer.message(TenantId(1), number, "own", &said)));
        }
    }
}
