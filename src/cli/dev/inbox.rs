//! What "arrived": the parts that the simulated carrier accepted, decoded and put together again as a handset would; and the texts
//! that handsets wrote.
//!
//! Knows texts, parts and receipts, and which messages changed since a given revision. Knows no sockets, no time
//! and no carrier: others report to it.
//!
//! Invariants: there are at most `kept_max` messages, the oldest go first; each change has a number of its own, which leads
//! to the message as it is now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hex;
use stentor_core::sim::carrier::Fate;
use stentor_smpp::coding::{Charset, DataCoding, DefaultAlphabet};
use stentor_smpp::udh::{Concatenation, Header};
use stentor_smpp::user_data::{Reassembly, decode_text, decode_user_data};

/// Meaning of `data_coding` 0 in the configuration that `dev` writes.
const ALPHABET: DefaultAlphabet = DefaultAlphabet::Gsm7;

/// One part as it was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Milliseconds since 1970.
    pub(super) at_ms: u64,
    /// The number as people write it: with `+` before international digits.
    pub(super) to: String,
    /// The number or name as people write it.
    pub(super) from: String,
    /// The value on the wire.
    pub(super) data_coding: u8,
    /// Whether the user data begins with a header.
    pub(super) has_header: bool,
    /// The user data, with its header.
    #[serde(with = "hex")]
    pub(super) user_data: Vec<u8>,
    /// The carrier's id for it.
    pub(super) id: u64,
}

/// The direction of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To a handset.
    Arrives {
        /// Whether a receipt will be noted for it.
        awaits_receipt: bool,
    },
    /// From a handset; it will be noted once the daemon has accepted it.
    Written,
}

/// Where to find a part in the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    message: u64,
    part: u8,
}

/// What the page shows of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct PartShown {
    number: u8,
    bytes: usize,
    id: u64,
    /// `none`, `waiting`, or the receipt's own word; for a text from a handset `waiting` or `taken`.
    receipt: &'static str,
}

/// What the page shows of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Arrived {
    number: u64,
    revision: u64,
    /// Whether a handset wrote it: its number is in `from`.
    written: bool,
    at_ms: u64,
    to: String,
    from: String,
    /// Set once all parts have arrived, if the content is text.
    text: Option<String>,
    /// The bytes in hexadecimal, if the content is not text.
    bytes: Option<String>,
    /// Destination and source port of binary data.
    ports: Option<(u16, u16)>,
    flash: bool,
    encoding: String,
    parts_total: u8,
    parts: Vec<PartShown>,
    #[serde(skip)]
    key: Option<Key>,
}

/// What the parts of one message have in common (3GPP TS 23.040 §9.2.3.24.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    written: bool,
    from: String,
    to: String,
    reference: u16,
    total: u8,
    wide: bool,
}

#[derive(Debug)]
struct Gathering {
    message: u64,
    parts: Reassembly,
    /// The user data of the part whose header counts for all parts.
    first: Vec<u8>,
}

/// The inbox. See the head of this file.
#[derive(Debug)]
pub(super) struct Inbox {
    kept_max: usize,
    messages: BTreeMap<u64, Arrived>,
    /// From the number of a change to the number of the message.
    changes: BTreeMap<u64, u64>,
    gathering: BTreeMap<Key, Gathering>,
    numbered: u64,
    revision: u64,
}

impl Inbox {
    /// An empty inbox.
    pub(super) fn new(kept_max: usize) -> Self {
        Self {
            kept_max,
            messages: BTreeMap::new(),
            changes: BTreeMap::new(),
            gathering: BTreeMap::new(),
            numbered: 0,
            revision: 0,
        }
    }

    /// Adds a part.
    pub(super) fn take(&mut self, part: &Part, way: Way) -> Place {
        let read = decode_user_data(DataCoding(part.data_coding), ALPHABET, part.has_header, &part.user_data);
        let shown = |number| PartShown {
            number,
            bytes: part.user_data.len(),
            id: part.id,
            receipt: if way == (Way::Arrives { awaits_receipt: false }) { "none" } else { "waiting" },
        };
        let Some(of) = read.concatenation().filter(|of| of.total > 1) else {
            let (message, part_number) = (self.begin(part, way, read.header, 1, None), 1);
            self.finish(message, part, read.header, read.bytes);
            self.add(message, shown(part_number));
            return Place { message, part: part_number };
        };
        let message = self.gather(part, way, (read.header, read.bytes), of);
        self.add(message, shown(of.number));
        Place { message, part: of.number }
    }

    /// A receipt was sent for the part. A final state does not change any more.
    pub(super) fn note_receipt(&mut self, place: Place, fate: Fate) {
        let Some(part) = self.part(place) else { return };
        if fate != Fate::Enroute || part.receipt == "waiting" {
            part.receipt = fate.word();
        }
        self.change(place.message);
    }

    /// The daemon accepted a part that a handset wrote.
    pub(super) fn note_taken(&mut self, place: Place) {
        if let Some(part) = self.part(place) {
            part.receipt = "taken";
        }
        self.change(place.message);
    }

    /// At most `max` messages that changed after `revision`, in the order of their last changes.
    pub(super) fn since(&self, revision: u64, max: usize) -> Vec<&Arrived> {
        let changed = self.changes.range(revision.saturating_add(1)..).take(max);
        changed.filter_map(|(_, message)| self.messages.get(message)).collect()
    }

    /// Number of messages kept, and of messages that ever came.
    pub(super) fn count(&self) -> (usize, u64) {
        (self.messages.len(), self.numbered)
    }

    fn part(&mut self, place: Place) -> Option<&mut PartShown> {
        let parts = &mut self.messages.get_mut(&place.message)?.parts;
        parts.iter_mut().rfind(|part| part.number == place.part)
    }

    fn gather(&mut self, part: &Part, way: Way, (header, bytes): (Header<'_>, &[u8]), of: Concatenation) -> u64 {
        let Concatenation { reference, total, wide, .. } = of;
        let (written, from, to) = (way == Way::Written, part.from.clone(), part.to.clone());
        let key = Key { written, from, to, reference, total, wide };
        let known = self.gathering.remove(&key);
        let mut gathering = known.unwrap_or_else(|| Gathering {
            message: self.begin(part, way, header, total, Some(key.clone())),
            parts: Reassembly::new(total),
            first: part.user_data.clone(),
        });
        let message = gathering.message;
        gathering.parts.insert(of.number, bytes);
        match gathering.parts.whole() {
            Some(whole) => self.finish(message, part, Header::cut(&gathering.first).0, &whole),
            None => drop(self.gathering.insert(key, gathering)),
        }
        message
    }

    fn begin(&mut self, part: &Part, way: Way, header: Header<'_>, parts_total: u8, key: Option<Key>) -> u64 {
        self.numbered += 1;
        let number = self.numbered;
        let coding = DataCoding(part.data_coding);
        let arrived = Arrived {
            number,
            revision: 0,
            written: way == Way::Written,
            at_ms: part.at_ms,
            to: part.to.clone(),
            from: part.from.clone(),
            text: None,
            bytes: None,
            ports: header.ports(),
            flash: coding.is_flash(),
            encoding: encoding(coding, header),
            parts_total,
            parts: Vec::new(),
            key,
        };
        self.messages.insert(number, arrived);
        while self.messages.len() > self.kept_max {
            self.forget_oldest();
        }
        number
    }

    fn forget_oldest(&mut self) {
        let Some((number, oldest)) = self.messages.pop_first() else { return };
        self.changes.remove(&oldest.revision);
        if let Some(key) = oldest.key
            && self.gathering.get(&key).is_some_and(|gathering| gathering.message == number)
        {
            self.gathering.remove(&key);
        }
    }

    fn finish(&mut self, message: u64, part: &Part, header: Header<'_>, bytes: &[u8]) {
        let Some(message) = self.messages.get_mut(&message) else { return };
        message.text = decode_text(DataCoding(part.data_coding), ALPHABET, header, bytes);
        if message.text.is_none() {
            message.bytes = Some(hex::text(bytes));
        }
    }

    fn add(&mut self, message: u64, part: PartShown) {
        if let Some(arrived) = self.messages.get_mut(&message) {
            arrived.parts.push(part);
        }
        self.change(message);
    }

    fn change(&mut self, number: u64) {
        let Some(message) = self.messages.get_mut(&number) else { return };
        self.changes.remove(&message.revision);
        self.revision += 1;
        message.revision = self.revision;
        self.changes.insert(self.revision, number);
    }
}

fn encoding(coding: DataCoding, header: Header<'_>) -> String {
    let national = header.single_shift().is_some() || header.locking_shift().is_some();
    match coding.charset(ALPHABET) {
        Charset::Gsm7 if national => "GSM 7-bit, national".to_owned(),
        Charset::Gsm7 => "GSM 7-bit".to_owned(),
        Charset::Ascii => "ASCII".to_owned(),
        Charset::Latin1 => "Latin-1".to_owned(),
        Charset::Cyrillic => "ISO 8859-5".to_owned(),
        Charset::Hebrew => "ISO 8859-8".to_owned(),
        Charset::Ucs2 => "UCS-2".to_owned(),
        Charset::Binary => "binary".to_owned(),
        Charset::Other => format!("data_coding 0x{:02X}", coding.0),
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
