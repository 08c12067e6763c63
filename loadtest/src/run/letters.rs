//! Messages whose texts must arrive exactly as they were sent: one kind for each way a text can travel. Knows the
//! public message format and the journal of a foreign SMSC; sends nothing itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Kinds take turns by message number.
const KINDS: u64 = 5;
const FIRST_RECIPIENT: u64 = 4_915_110_000_000;

/// The content of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    Text(String),
    Binary(Vec<u8>),
}

/// The message with that number: GSM-7 with every extension character, UCS-2, three parts with the euro sign at
/// every possible cut, emoji over several parts, binary.
pub(super) fn letter(number: u64) -> Letter {
    let gsm = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà^{}\\[~]|€";
    match number % KINDS {
        0 => Letter::Text(format!("{number} {gsm}")),
        1 => Letter::Text(format!("{number} Привет, こんにちは, שלום")),
        2 => {
            let unit = ["€", "a€", "ab€"][(number / KINDS % 3) as usize];
            let septets_per_unit = unit.chars().count() + 1;
            Letter::Text(format!("{number} {}", unit.repeat(400 / septets_per_unit)))
        }
        3 => Letter::Text(format!("{number}{} {}", "x".repeat((number / KINDS % 3) as usize), "👋🎉🚀".repeat(25))),
        _ => Letter::Binary((0..100).map(|i| (number.wrapping_mul(31) + i * 7) as u8).collect()),
    }
}

/// The recipient of that message, digits without `+`; every message has its own.
pub(super) fn recipient(number: u64) -> String {
    (FIRST_RECIPIENT + number).to_string()
}

/// The message as a line of NDJSON.
pub(super) fn line(number: u64) -> String {
    let to = format!("+{}", recipient(number));
    let line = match letter(number) {
        Letter::Text(body) => serde_json::json!({ "to": to, "from": "STENTOR", "body": body }),
        Letter::Binary(data) => {
            serde_json::json!({ "to": to, "from": "STENTOR", "encoding": "binary", "data": data_encoding::BASE64.encode(&data) })
        }
    };
    format!("{line}\n")
}

/// One event in a foreign SMSC's journal (see `peers/node-smsc.js`).
#[derive(Clone, Debug, Default, Deserialize)]
struct Event {
    #[serde(default)]
    id: String,
    #[serde(default)]
    acknowledged: Option<String>,
    #[serde(default)]
    to: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    hex: Option<String>,
    #[serde(default, rename = "ref")]
    reference: u32,
    #[serde(default)]
    total: u32,
    #[serde(default)]
    part: u32,
}

/// What a foreign SMSC received.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// By recipient and part reference: the parts.
    sets: BTreeMap<(String, u32), BTreeMap<u32, Event>>,
    /// How often each part of each recipient's message arrived.
    places: BTreeMap<(String, u32), u64>,
    /// Ids that the SMSC gave out and whose receipt was not acknowledged yet.
    unsettled: BTreeSet<String>,
    pub parts: u64,
    pub acknowledged: u64,
}

impl Received {
    /// Reads a journal; an incomplete last line is ignored.
    pub(super) fn read(journal: &str) -> Self {
        let mut received = Self::default();
        for event in journal.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()) {
            if let Some(id) = &event.acknowledged {
                received.acknowledged += 1;
                received.unsettled.remove(id);
            } else {
                received.parts += 1;
                received.unsettled.insert(event.id.clone());
                *received.places.entry((event.to.clone(), event.part)).or_default() += 1;
                received.sets.entry((event.to.clone(), event.reference)).or_default().insert(event.part, event);
            }
        }
        received
    }

    /// Parts whose receipt was not acknowledged.
    pub(super) fn owed(&self) -> u64 {
        self.unsettled.len() as u64
    }

    /// Recipients (each has one message) of which some part came more than once.
    pub(super) fn count_twice(&self) -> u64 {
        let twice = self.places.iter().filter(|(_, times)| **times > 1).map(|((to, _), _)| to);
        twice.collect::<BTreeSet<_>>().len() as u64
    }

    /// How many of the messages `0..count` arrived complete and unchanged.
    pub(super) fn count_equal(&self, count: u64) -> u64 {
        (0..count).filter(|number| self.has(*number)).count() as u64
    }

    fn has(&self, number: u64) -> bool {
        let to = recipient(number);
        let sets = self.sets.range((to.clone(), 0)..=(to, u32::MAX)).map(|(_, parts)| parts);
        let mut whole = sets.filter(|parts| parts.values().all(|part| part.total as usize == parts.len()));
        whole.any(|parts| {
            let join = |of: fn(&Event) -> Option<&str>| parts.values().map(of).collect::<Option<String>>();
            match letter(number) {
                Letter::Text(text) => join(|part| part.text.as_deref()) == Some(text),
                Letter::Binary(data) => join(|part| part.hex.as_deref()) == Some(hex(&data)),
            }
        })
    }
}

fn hex(data: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64, part: u32, total: u32, field: &str, value: &str) -> String {
        let to = recipient(number);
        let id = format!("{number}-{part}-{value}");
        let event = serde_json::json!({ "id": id, "to": to, "ref": 7, "total": total, "part": part, field: value });
        format!("{event}\n")
    }

    #[test]
    fn parts_are_joined_and_compared() {
        let Letter::Text(long) = letter(2) else { panic!("text") };
        let (head, tail) = long.split_at(long.char_indices().nth(150).unwrap().0);
        let Letter::Binary(data) = letter(4) else { panic!("binary") };
        let mut journal = event(2, 2, 2, "text", tail) + &event(2, 1, 2, "text", head);
        journal += &event(4, 1, 1, "hex", &hex(&data));
        journal += &event(0, 1, 1, "text", "something else");
        journal += &event(0, 1, 1, "text", "and once more");
        journal += "{\"acknowledged\":\"0-1-something else\"}\n{\"id\":\"cut";
        let received = Received::read(&journal);
        assert_eq!((received.count_equal(5), received.parts, received.acknowledged), (2, 5, 1));
        assert_eq!((received.owed(), received.count_twice()), (4, 1));
        assert!(received.has(2) && received.has(4) && !received.has(0) && !received.has(1));
    }

    #[test]
    fn base64_of_the_rfc() {
        let table =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in table {
            assert_eq!(data_encoding::BASE64.encode(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn lines_are_json() {
        for number in 0..KINDS {
            let line: serde_json::Value = serde_json::from_str(&line(number)).unwrap();
            assert_eq!(line["body"].is_string(), number != 4);
        }
    }
}
