//! Fingerprints of idempotency keys: keyed hashes, since strangers choose the keys. They go to disk, so the function
//! (XXH3 with the installation's seed) and the octets that it reads never change. Knows no window and no shard.
//!
//! Three scopes that never meet: a message's key within tenant and recipient, a request's key within its tenant, and the
//! keys that a request's lines without one of their own get from it.

use std::fmt;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128_with_seed};

use super::typed::{Loose, Typed};
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
    /// `seed`: the installation's, for ever.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Of a message with a key of its own. `said`: [`said`].
    pub fn message(self, tenant: TenantId, to: Msisdn, key: &str, said: &[u8]) -> KeyPrint {
        self.print(OF_MESSAGE, &[&tenant.0.to_le_bytes(), &to.number().to_le_bytes(), key.as_bytes()], said)
    }

    /// Of a request with an `Idempotency-Key`; its body is added piece by piece.
    pub fn request(self, tenant: TenantId, key: &[u8]) -> RequestPrint {
        let key = self.key(OF_REQUEST, &[&tenant.0.to_le_bytes(), key]);
        RequestPrint { key, content: Box::new(Xxh3::with_seed(self.seed)) }
    }

    /// Of a line without a key in such a request; lines are numbered from 0.
    pub fn line(self, request: KeyPrint, line: u64, said: &[u8]) -> KeyPrint {
        self.print(OF_LINE, &[&request.key.to_le_bytes(), &line.to_le_bytes()], said)
    }

    fn print(self, scope: u8, parts: &[&[u8]], content: &[u8]) -> KeyPrint {
        KeyPrint { key: self.key(scope, parts), content: xxh3_64_with_seed(content, self.seed) }
    }

    fn key(self, scope: u8, parts: &[&[u8]]) -> u128 {
        let mut octets = [0; 320];
        let mut length = 1;
        octets[0] = scope;
        for part in parts {
            let room = octets.get_mut(length..length + part.len());
            if let Some(room) = room {
                room.copy_from_slice(part);
                length += part.len();
            }
        }
        xxh3_128_with_seed(&octets[..length], self.seed)
    }
}

/// A request's fingerprint while its body is read over: a body of many megabytes is not hashed in one go.
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
    /// The next octets of the body.
    pub fn add(&mut self, octets: &[u8]) {
        self.content.update(octets);
    }

    /// That was the body.
    pub fn end(self) -> KeyPrint {
        KeyPrint { key: self.key, content: self.content.digest() }
    }
}

/// Everything that the sender said but the recipient and the key, which are the scope: each field that is there, with its
/// number and length. What was left out stays out, so that another default does not make another message of it.
pub fn said(typed: &Typed<'_>, out: &mut Vec<u8>) {
    let texts = [
        (1, &typed.from),
        (2, &typed.body),
        (3, &typed.data),
        (4, &typed.udh),
        (5, &typed.class),
        (6, &typed.send_at),
        (7, &typed.expires_at),
        (8, &typed.encoding),
        (9, &typed.reference),
    ];
    for (number, text) in texts {
        if let Some(text) = text {
            put(number, text.as_bytes(), out);
        }
    }
    for (number, truth) in [(10, typed.flash), (11, typed.receipt)] {
        if let Some(truth) = truth {
            put(number, &[truth.into()], out);
        }
    }
    if let Some(parts) = typed.parts_max {
        put(12, &parts.to_le_bytes(), out);
    }
    if let Some(span) = &typed.expires_in {
        put_loose(13, span, out);
    }
    for tag in typed.tags.iter().flatten() {
        put(14, tag.as_bytes(), out);
    }
    for tlv in typed.tlvs.iter().flatten() {
        if let Some(tag) = &tlv.tag {
            put_loose(15, tag, out);
        }
        for (number, value) in [(16, &tlv.text), (17, &tlv.hex)] {
            if let Some(value) = value {
                put(number, value.as_bytes(), out);
            }
        }
    }
}

fn put_loose(number: u8, value: &Loose<'_>, out: &mut Vec<u8>) {
    match value {
        Loose::Number(value) => put(number, value.to_string().as_bytes(), out),
        Loose::Text(value) => put(number, value.as_bytes(), out),
    }
}

fn put(number: u8, octets: &[u8], out: &mut Vec<u8>) {
    out.push(number);
    out.extend_from_slice(&(octets.len() as u32).to_le_bytes());
    out.extend_from_slice(octets);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::KEY_BYTES_MAX;

    fn said_of(json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        said(&serde_json::from_str(json).expect("JSON"), &mut out);
        out
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
        let print = printer.message(TenantId(1), to("4915112345678"), "k", &said_of(r#"{"body":"hi","flash":true}"#));
        assert_eq!(said_of(r#"{"body":"hi","flash":true}"#), b"\x02\x02\0\0\0hi\x0a\x01\0\0\0\x01");
        assert_eq!(format!("{:032x} {:016x}", print.key, print.content), GOLDEN_MESSAGE);
        let request = request(printer, 1, b"k", b"{}");
        assert_eq!(format!("{:032x} {:016x}", request.key, request.content), GOLDEN_REQUEST);
    }

    /// By the reference implementation (xxHash 0.8), over the octets that are named above.
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
    fn another_content_is_another_content() {
        let one = said_of(r#"{"to":"1","body":"hi","key":"a"}"#);
        assert_eq!(
            one,
            said_of(r#" { "key":"b", "body":"\u0068i", "to":"2" } "#),
            "form, recipient and key do not count"
        );
        for other in [
            r#"{"body":"ho"}"#,
            r#"{"body":"hi","from":""}"#,
            r#"{"body":"hi","class":"transactional"}"#,
            r#"{"body":"hi","expires_in":60}"#,
            r#"{"body":"hi","tags":["a"]}"#,
            r#"{"data":"hi"}"#,
        ] {
            assert_ne!(one, said_of(other), "{other}");
        }
        assert_ne!(said_of(r#"{"tags":["a","b"]}"#), said_of(r#"{"tags":["ab"]}"#));
    }
}
