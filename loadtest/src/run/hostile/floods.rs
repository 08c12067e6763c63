//! Attacks by valid messages: more than there are places in the queue and in the window of keys, more than the carriers
//! take, and messages that expire while their carrier is away.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::attack::{Attack, Front, Tally};
use super::stage::{KEY_A, TO_ABSENT, TO_GOOD, TO_HOSTILE};
use super::wire::{Wire, head};

/// Last number of the source address (127.0.0.…) of these attackers.
const ADDRESS: u8 = 10;
const PATIENCE: Duration = Duration::from_secs(30);
/// Number of recipients: eight digits follow the prefix.
const RECIPIENTS: u64 = 100_000_000;

/// The messages of one attack: how many at once, to which prefix, and their other fields.
#[derive(Clone, Copy)]
struct Flood {
    name: &'static str,
    lines: u64,
    pause: Duration,
    to: &'static str,
    fields: &'static str,
    is_keyed: bool,
}

const FLOODS: [Flood; 5] = [
    Flood {
        name: "messages for a carrier that is away",
        lines: 500,
        pause: Duration::from_millis(250),
        to: TO_ABSENT,
        fields: "",
        is_keyed: false,
    },
    Flood {
        name: "messages that expire while their carrier is away",
        lines: 250,
        pause: Duration::from_millis(500),
        to: TO_ABSENT,
        fields: r#","expires_in":2,"class":"otp""#,
        is_keyed: false,
    },
    Flood {
        name: "messages for the hostile carrier",
        lines: 100,
        pause: Duration::from_millis(500),
        to: TO_HOSTILE,
        fields: r#","expires_in":30"#,
        is_keyed: false,
    },
    Flood {
        name: "messages with keys",
        lines: 250,
        pause: Duration::from_millis(500),
        to: TO_HOSTILE,
        fields: r#","expires_in":5"#,
        is_keyed: true,
    },
    Flood {
        name: "urgent messages for the good carrier",
        lines: 100,
        pause: Duration::from_millis(200),
        to: TO_GOOD,
        fields: r#","class":"emergency""#,
        is_keyed: false,
    },
];

/// All attacks of this file.
pub(super) fn attacks() -> Vec<Attack> {
    FLOODS
        .into_iter()
        .map(|flood| {
            let next = AtomicU64::new(0);
            let round = move |front: &Front, tally: &Tally| {
                flood.send(front, tally, next.fetch_add(flood.lines, Ordering::Relaxed));
            };
            Attack { name: flood.name, hands: 1, pause: flood.pause, round: Box::new(round) }
        })
        .collect()
}

impl Flood {
    fn send(&self, front: &Front, tally: &Tally, first: u64) {
        let body = self.body(first);
        let media = "Content-Type: application/x-ndjson\r\n";
        let head = head("POST /v1/messages?ack=summary", Some(KEY_A), media, Some(body.len()));
        match Wire::open(front, ADDRESS) {
            Ok(mut wire) => tally.note(wire.exchange(front, &[&head, body.as_bytes()], PATIENCE)),
            Err(ending) => tally.note(ending),
        }
        tally.count(self.lines);
    }

    fn body(&self, first: u64) -> String {
        let mut body = String::new();
        for number in first..first + self.lines {
            // Writing to a string cannot fail.
            let _ = write!(body, r#"{{"to":"{}{:08}","body":"flood"{}"#, self.to, number % RECIPIENTS, self.fields);
            if self.is_keyed {
                let _ = write!(body, r#","key":"{number}""#);
            }
            body.push_str("}\n");
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json() {
        for flood in FLOODS {
            let body = flood.body(RECIPIENTS - 1);
            let lines: Vec<serde_json::Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!((lines.len() as u64, lines[0]["key"].is_string()), (flood.lines, flood.is_keyed));
            assert_eq!(lines[1]["to"].as_str().map(str::len), Some(flood.to.len() + 8), "{}", flood.name);
        }
    }
}
