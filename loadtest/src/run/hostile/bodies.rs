//! Attacks by request bodies with a tenant's key: bodies that are declared but never come, that grow when inflated,
//! that are expensive to parse, and whose refusal is larger than they are.

use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use stentor_core::model::prng::Prng;

use super::attack::{Attack, Front, Tally};
use super::stage::{KEY_A, KEY_B};
use super::wire::{Wire, head};

/// Last number of the source address (127.0.0.…) of these attackers.
const ADDRESS: u8 = 7;
/// Just below `http.body_max`.
const BODY_LEN: usize = 15_700_000;
const DECLARED_LEN: usize = 16 << 20;
/// Bytes that cannot be compressed, so that a body stays under `http.inflate_ratio_max`.
const PAD_LEN: usize = 230_000;
/// Number of declared bodies of which only one byte comes.
const ROOMS: usize = 40;
const ROOM_TIME: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(30);
/// The same body is sent on so many connections at once.
const AT_ONCE: usize = 4;
/// A gzip member without content (RFC 1952).
const EMPTY_MEMBER: [u8; 20] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Inflated size of the bomb, bytes.
const BOMB_LEN: usize = 128 << 20;

const JSON: &str = "Content-Type: application/json\r\n";
const LINES: &str = "Content-Type: application/x-ndjson\r\n";
const MESSAGES: &str = "POST /v1/messages";
const LOOKUP: &str = "POST /v1/messages/lookup";

/// A body that is expensive to parse: a beginning, a pad, a unit repeated many times, an end.
#[derive(Clone, Copy)]
struct Dear {
    name: &'static str,
    call: &'static str,
    media: &'static str,
    before: &'static str,
    unit: &'static str,
    after: &'static str,
    is_packed: bool,
}

const DEAR: [Dear; 8] = [
    Dear {
        name: "arrays of tlvs",
        call: MESSAGES,
        media: JSON,
        before: r#"[{"q":"PAD","tlvs":["#,
        unit: "{},",
        after: "{}]}]",
        is_packed: true,
    },
    Dear {
        name: "tags that are null",
        call: MESSAGES,
        media: JSON,
        before: r#"[{"q":"PAD","tags":["#,
        unit: "null,",
        after: r#""a"]}]"#,
        is_packed: true,
    },
    Dear {
        name: "elements without end",
        call: MESSAGES,
        media: JSON,
        before: r#"[{"q":"PAD"},"#,
        unit: "{},",
        after: "{}]",
        is_packed: true,
    },
    Dear {
        name: "escapes in an unknown field",
        call: MESSAGES,
        media: JSON,
        before: r#"[{"q":"PAD","x":""#,
        unit: r"\u0041",
        after: r#""}]"#,
        is_packed: true,
    },
    Dear {
        name: "arrays in arrays",
        call: MESSAGES,
        media: JSON,
        before: r#"[{"q":"PAD","x":"#,
        unit: "[",
        after: "}]",
        is_packed: true,
    },
    Dear {
        name: "4 million ids",
        call: LOOKUP,
        media: JSON,
        before: r#"{"ids":["PAD","#,
        unit: r#""x","#,
        after: r#""x"]}"#,
        is_packed: true,
    },
    Dear {
        name: "blank lines",
        call: MESSAGES,
        media: LINES,
        before: "{\"x\":\"PAD\"}\n",
        unit: "\n",
        after: "",
        is_packed: true,
    },
    Dear {
        name: "blank lines, not packed",
        call: MESSAGES,
        media: LINES,
        before: "",
        unit: " \n",
        after: "",
        is_packed: false,
    },
];

/// All attacks of this file.
pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = vec![
        Attack {
            name: "declared bodies that never come",
            hands: 1,
            pause: Duration::from_millis(500),
            round: Box::new(hold_rooms),
        },
        once_built("gzip members without content", Duration::from_secs(2), || Request {
            call: MESSAGES,
            headers: format!("{JSON}Content-Encoding: gzip\r\n"),
            body: EMPTY_MEMBER.repeat(DECLARED_LEN / EMPTY_MEMBER.len() - 1),
        }),
        once_built("gzip bomb", Duration::from_millis(200), || Request {
            call: MESSAGES,
            headers: format!("{LINES}Content-Encoding: gzip\r\n"),
            body: packed(&vec![b' '; BOMB_LEN]),
        }),
        once_built("tags that are quoted in the refusal", Duration::from_secs(1), amplified),
    ];
    attacks.extend(DEAR.map(|dear| once_built(dear.name, Duration::from_secs(1), move || dear.request())));
    attacks
}

/// A request that is expensive for the daemon.
pub(super) struct Request {
    call: &'static str,
    headers: String,
    body: Vec<u8>,
}

impl Request {
    /// Its head.
    pub(super) fn head(&self, key: &str) -> Vec<u8> {
        head(self.call, Some(key), &self.headers, Some(self.body.len()))
    }

    /// Its body.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }
}

impl Dear {
    fn request(self) -> Request {
        let mut body = self.before.replace("PAD", &pad()).into_bytes();
        let times = (BODY_LEN - body.len() - self.after.len()) / self.unit.len();
        body.extend_from_slice(self.unit.repeat(times).as_bytes());
        body.extend_from_slice(self.after.as_bytes());
        if !self.is_packed {
            return Request { call: self.call, headers: self.media.to_owned(), body };
        }
        Request { call: self.call, headers: format!("{}Content-Encoding: gzip\r\n", self.media), body: packed(&body) }
    }
}

/// Lines whose tags are control characters: quoted in full they are seven times as long.
pub(super) fn amplified() -> Request {
    let tag = "\u{80}".repeat(125_000);
    let line = format!("{{\"to\":\"+4915112345678\",\"body\":\"x\",\"tags\":[\"{tag}\"]}}\n");
    let mut body = line.repeat(62);
    body.push_str(&format!("{{\"x\":\"{}\"}}\n", pad()));
    Request { call: MESSAGES, headers: format!("{LINES}Content-Encoding: gzip\r\n"), body: packed(body.as_bytes()) }
}

/// The request is built in the attack's own thread, when it is first needed.
fn once_built(name: &'static str, pause: Duration, build: impl Fn() -> Request + Send + Sync + 'static) -> Attack {
    let built = OnceLock::new();
    let round = move |front: &Front, tally: &Tally| send_at_once(front, tally, built.get_or_init(&build));
    Attack { name, hands: 1, pause, round: Box::new(round) }
}

/// The same request on several connections, with the last byte of each at the end, so that all are processed together.
fn send_at_once(front: &Front, tally: &Tally, request: &Request) {
    let head = request.head(KEY_B);
    let Some((last, most)) = request.body().split_last() else { return };
    let mut wires = Vec::new();
    for _ in 0..AT_ONCE {
        match Wire::open(front, ADDRESS) {
            Ok(mut wire) => {
                let sent = wire.send(front, &head, PATIENCE).and_then(|()| wire.send(front, most, PATIENCE));
                wires.push((wire, sent));
            }
            Err(ending) => tally.note(ending),
        }
    }
    for (wire, sent) in &mut wires {
        if sent.is_ok() {
            *sent = wire.send(front, &[*last], PATIENCE);
        }
    }
    for (mut wire, _) in wires {
        tally.note(wire.read_to_end(front, PATIENCE));
    }
}

fn hold_rooms(front: &Front, tally: &Tally) {
    let head = head(MESSAGES, Some(KEY_A), JSON, Some(DECLARED_LEN));
    let mut wires = Vec::new();
    for _ in 0..ROOMS {
        match Wire::open(front, ADDRESS) {
            Ok(mut wire) => {
                if wire.send(front, &head, PATIENCE).and_then(|()| wire.send(front, b"[", PATIENCE)).is_ok() {
                    wires.push(wire);
                } else {
                    tally.note(wire.read_to_end(front, Duration::ZERO));
                }
            }
            Err(ending) => tally.note(ending),
        }
    }
    front.wait(ROOM_TIME);
    for mut wire in wires {
        wire.do_not_wait();
        tally.note(wire.read_to_end(front, Duration::ZERO));
    }
}

fn pad() -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut chance = Prng::new(1);
    (0..PAD_LEN).map(|_| char::from(LETTERS[chance.below(64) as usize])).collect()
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;

    use super::*;

    #[test]
    fn bodies_stay_under_the_limits_that_would_refuse_them_unseen() {
        for request in DEAR.iter().map(|dear| dear.request()).chain([amplified()]) {
            let mut body = request.body.clone();
            if request.headers.contains("gzip") {
                body.clear();
                MultiGzDecoder::new(&request.body[..]).read_to_end(&mut body).unwrap();
                assert!(body.len() / request.body.len() < 100, "{}", request.headers);
            }
            assert!((BODY_LEN - 100..=DECLARED_LEN).contains(&body.len()), "{}", body.len());
        }
    }

    #[test]
    fn an_empty_member_is_one() {
        let mut body = Vec::new();
        MultiGzDecoder::new(&EMPTY_MEMBER.repeat(3)[..]).read_to_end(&mut body).unwrap();
        assert!(body.is_empty());
    }
}
