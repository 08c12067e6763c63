//! Splits a message into parts and produces the user data of each part.
//!
//! Knows: how many units fit, where a text may be cut, and the ways of numbering parts that carriers accept.
//! Refuses to know: PDUs, windows, and which reference number is free.
//!
//! Guarantees: an escape pair and a surrogate pair are never cut, and a cluster (`cluster`) only if it is longer than a
//! part; [`Plan::parts`] is the number of parts that [`Parts`] yields; a part's bytes fit into `short_message`.

use super::analyse::{Choice, Encoding, TextOptions, choose};
use super::cluster;
use super::coding::{Alphabet, DataCoding, DefaultAlphabet};
use super::gsm7::{self, Tables, Unrepresentable};
use super::national::National;
use super::ucs2;
use super::udh::{self, Concatenation, Header};

/// How a carrier wants a message that does not fit into one PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Splitting {
    /// Not at all: the message is refused.
    #[cfg_attr(feature = "serde", serde(skip))]
    Single,
    /// Concatenation element with an 8-bit reference.
    #[default]
    Udh8,
    /// Concatenation element with a 16-bit reference.
    Udh16,
    /// `sar_msg_ref_num`, `sar_total_segments`, `sar_segment_seqnum`. Only 8 bits of the reference are used, so that the
    /// carrier can convert it into either concatenation element.
    Sar,
    /// One PDU with `message_payload`; the carrier splits.
    Payload,
}

/// The features of text that a carrier supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CarrierText {
    /// The carrier's meaning of `data_coding` 0.
    pub default_alphabet: DefaultAlphabet,
    /// National tables that may be used.
    pub national: National,
    /// How messages longer than one PDU are sent.
    pub splitting: Splitting,
    /// Whether flash messages have `data_coding` 0xF0 instead of 0x10.
    pub flash_group_f: bool,
    /// Whether characters that the alphabet lacks are replaced by similar ones instead of using UCS-2. The caller must then
    /// pass to [`Parts`] the result of `transliterate` for the plan's alphabet.
    pub transliterate: bool,
}

/// The body of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// Text; the plan chooses the alphabet.
    Text(&'a str),
    /// Bytes, sent unchanged.
    Binary(&'a [u8]),
}

impl Body<'_> {
    /// Length in bytes as given, for text in UTF-8.
    const fn len(&self) -> usize {
        match self {
            Body::Text(text) => text.len(),
            Body::Binary(bytes) => bytes.len(),
        }
    }
}

/// The parts of a message that determine its user data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content<'a> {
    /// Text or bytes.
    pub body: Body<'a>,
    /// The sender's own user data header, repeated in each part; usually [`Header::NONE`].
    pub header: Header<'a>,
    /// Ignored for a binary body.
    pub encoding: Encoding,
    /// Whether the handset shows the message at once and does not store it.
    pub flash: bool,
}

impl<'a> Content<'a> {
    /// An ordinary text: without a header of its own, automatic encoding, not flash.
    pub const fn text(text: &'a str) -> Self {
        Self { body: Body::Text(text), header: Header::NONE, encoding: Encoding::Auto, flash: false }
    }
}

/// Why a message cannot be sent as it is. The sender must change it, or the caller must choose another carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextError {
    /// The sender asked for GSM 7-bit, which lacks this character.
    Unrepresentable(Unrepresentable),
    /// More than 255 parts.
    TooManyParts {
        /// Parts that the message would need.
        needed: u32,
    },
    /// The message is longer than one part and the carrier's way is [`Splitting::Single`], or it is longer than
    /// `message_payload` allows.
    TooLong {
        /// Length in septets, bytes or UTF-16 units.
        units: u32,
        /// Units that fit into one PDU.
        room: u32,
    },
    /// The sender's header leaves no room for text.
    HeaderTooLong,
    /// The sender's header contains a concatenation element, and the message does not fit into one part.
    HeaderNumbersParts,
}

/// The largest number of parts of one message.
pub const PARTS_MAX: u32 = 255;

/// The longest `message_payload` in bytes; its length field has 16 bits.
pub const PAYLOAD_MAX: usize = 65_535;

/// The least room of a part, in units: with less, a flag emoji (4 UTF-16 units) might not fit into any part, so the message
/// is refused.
const ROOM_MIN: usize = 4;

/// How the parts of one message are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Manner {
    /// One PDU, `short_message`.
    Whole,
    /// One PDU, `message_payload`.
    Payload,
    /// Concatenation element, 8-bit reference.
    Udh8,
    /// Concatenation element, 16-bit reference.
    Udh16,
    /// SAR parameters.
    Sar,
}

/// How one message is sent at one carrier. It holds no text and takes 8 bytes, so that the caller can store it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    alphabet: Alphabet,
    data_coding: DataCoding,
    manner: Manner,
    parts: u8,
    room: u16,
}

impl Plan {
    /// Chooses alphabet, manner and number of parts. Reads the text once or twice; allocates nothing unless characters are
    /// replaced.
    pub fn new(content: &Content, carrier: &CarrierText) -> Result<Self, TextError> {
        let text = match content.body {
            Body::Binary(bytes) => return Self::of(content, Alphabet::Binary, bytes.len(), carrier),
            Body::Text(text) => text,
        };
        let CarrierText { default_alphabet, national, transliterate, .. } = *carrier;
        let options = TextOptions { encoding: content.encoding, default_alphabet, national, transliterate };
        let Choice { text, alphabet, units } = choose(text, &options).map_err(TextError::Unrepresentable)?;
        Self::of(&Content { body: Body::Text(&text), ..*content }, alphabet, units, carrier)
    }

    /// The plan of a content whose alphabet has been chosen.
    fn of(content: &Content, alphabet: Alphabet, units: usize, carrier: &CarrierText) -> Result<Self, TextError> {
        let elements = content.header.elements().len() + alphabet.announcement_len();
        let whole = alphabet.room(header_len(elements));
        let data_coding = DataCoding::of(alphabet, content.flash, carrier.flash_group_f);
        if units <= whole && header_len(elements) <= udh::HEADER_MAX {
            return Ok(Self { alphabet, data_coding, manner: Manner::Whole, parts: 1, room: whole as u16 });
        }
        let manner = manner_of_long(carrier.splitting, units, whole, elements)?;
        if manner == Manner::Payload {
            let payload = payload_bytes(content.body, alphabet, units);
            let (units, room) = (saturate(payload), PAYLOAD_MAX as u32);
            return match payload <= PAYLOAD_MAX {
                true => Ok(Self { alphabet, data_coding, manner, parts: 1, room: 0 }),
                false => Err(TextError::TooLong { units, room }),
            };
        }
        if content.header.concatenation().is_some() {
            return Err(TextError::HeaderNumbersParts);
        }
        let room = alphabet.room(header_len(elements + Concatenation::len(manner == Manner::Udh16)));
        if room < ROOM_MIN {
            return Err(TextError::HeaderTooLong);
        }
        let needed = match content.body {
            Body::Binary(_) => units.div_ceil(room),
            Body::Text(text) => count_parts(text, alphabet, units, room),
        };
        let parts = u8::try_from(needed).map_err(|_| TextError::TooManyParts { needed: saturate(needed) })?;
        Ok(Self { alphabet, data_coding, manner, parts, room: room as u16 })
    }

    /// Number of PDUs, 1–255.
    pub const fn parts(&self) -> u8 {
        self.parts
    }

    /// The alphabet chosen.
    pub const fn alphabet(&self) -> Alphabet {
        self.alphabet
    }

    /// The `data_coding`, which is the same in each part.
    pub const fn data_coding(&self) -> DataCoding {
        self.data_coding
    }

    /// How the parts are joined.
    pub const fn manner(&self) -> Manner {
        self.manner
    }
}

/// Length of a header whose elements have `elements` bytes: one more for the length byte, or 0 without elements.
const fn header_len(elements: usize) -> usize {
    if elements == 0 { 0 } else { 1 + elements }
}

/// The manner for a message longer than one part. If it has header elements of its own, a concatenation element is used
/// even if SAR or payload is configured: with those the carrier would have to merge headers, which carriers do not do.
fn manner_of_long(splitting: Splitting, units: usize, room: usize, elements: usize) -> Result<Manner, TextError> {
    match splitting {
        Splitting::Single => Err(TextError::TooLong { units: saturate(units), room: saturate(room) }),
        Splitting::Udh16 => Ok(Manner::Udh16),
        Splitting::Sar if elements == 0 => Ok(Manner::Sar),
        Splitting::Payload if elements == 0 => Ok(Manner::Payload),
        Splitting::Udh8 | Splitting::Sar | Splitting::Payload => Ok(Manner::Udh8),
    }
}

fn payload_bytes(body: Body, alphabet: Alphabet, units: usize) -> usize {
    match (body, alphabet) {
        (Body::Text(text), Alphabet::Latin1 | Alphabet::Latin1Bytes | Alphabet::Ascii) => text.chars().count(),
        (Body::Text(_) | Body::Binary(_), _) => units * alphabet.bytes_per_unit(),
    }
}

/// The three numbers of the SAR parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sar {
    /// `sar_msg_ref_num`, 0–255.
    pub reference: u16,
    /// `sar_total_segments`.
    pub total: u8,
    /// `sar_segment_seqnum`, from 1.
    pub number: u8,
}

/// Everything about one part except its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// Number of this part, from 1.
    pub number: u8,
    /// Number of parts.
    pub total: u8,
    /// `data_coding` for the PDU.
    pub data_coding: DataCoding,
    /// Whether the bytes begin with a user data header: `esm_class` then needs 0x40.
    pub has_header: bool,
    /// The SAR parameters to add to the PDU, if any.
    pub sar: Option<Sar>,
    /// Whether the bytes go into `message_payload`, with `sm_length` 0.
    pub in_payload: bool,
}

impl Part {
    /// The bits to set in `esm_class`: 0x40 or 0.
    pub const fn esm_class(&self) -> u8 {
        if self.has_header { 0x40 } else { 0 }
    }
}

/// A place between two parts, from which to continue later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Position {
    offset: u32,
    number: u8,
}

/// Writes the parts of one message, in order, into a buffer of the caller.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    content: Content<'a>,
    plan: Plan,
    reference: u16,
    at: Position,
}

impl<'a> Parts<'a> {
    /// `plan` must have been made for `content`. `reference` must stay the same when parts are sent again; concatenation with
    /// an 8-bit reference and SAR use its low byte.
    pub const fn new(content: Content<'a>, plan: Plan, reference: u16) -> Self {
        Self { content, plan, reference, at: Position { offset: 0, number: 0 } }
    }

    /// Continues from a position of the same content and plan.
    #[must_use]
    pub const fn resumed(mut self, at: Position) -> Self {
        self.at = at;
        self
    }

    /// The position after the last part that was written.
    pub const fn position(&self) -> Position {
        self.at
    }

    /// Skips parts so that `number` is the next; does nothing if that part is already past.
    pub fn skip_to(&mut self, number: u8) {
        while self.at.number.saturating_add(1) < number && self.at.number < self.plan.parts {
            self.advance();
        }
    }

    /// Replaces the contents of `out` by the next part's user data; `None` when there are no more parts.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> Option<Part> {
        if self.at.number >= self.plan.parts {
            return None;
        }
        out.clear();
        let slice = self.advance();
        let (number, total) = (self.at.number, self.plan.parts);
        self.write_header(out);
        let has_header = !out.is_empty();
        match (self.content.body, slice) {
            (Body::Text(text), (from, to)) => self.write_text(text.get(from..to).unwrap_or_default(), out),
            (Body::Binary(bytes), (from, to)) => out.extend_from_slice(bytes.get(from..to).unwrap_or_default()),
        }
        let sar = Sar { reference: self.reference & 0xFF, total, number };
        Some(Part {
            number,
            total,
            data_coding: self.plan.data_coding,
            has_header,
            sar: (self.plan.manner == Manner::Sar).then_some(sar),
            in_payload: self.plan.manner == Manner::Payload,
        })
    }

    /// Moves past the next part, and returns where its bytes begin and end in the body.
    fn advance(&mut self) -> (usize, usize) {
        let from = self.at.offset as usize;
        let room = usize::from(self.plan.room);
        let to = match (self.plan.manner, self.content.body) {
            (Manner::Whole | Manner::Payload, body) => body.len(),
            (Manner::Udh8 | Manner::Udh16 | Manner::Sar, Body::Binary(bytes)) => (from + room).min(bytes.len()),
            (Manner::Udh8 | Manner::Udh16 | Manner::Sar, Body::Text(text)) => {
                from + Measure::of(self.plan.alphabet).cut(text.get(from..).unwrap_or_default(), room)
            }
        };
        self.at = Position { offset: saturate(to), number: self.at.number + 1 };
        (from, to)
    }

    fn write_header(&self, out: &mut Vec<u8>) {
        out.push(0);
        let concatenation =
            |wide| Concatenation { reference: self.reference, total: self.plan.parts, number: self.at.number, wide };
        match self.plan.manner {
            Manner::Udh8 => concatenation(false).write(out),
            Manner::Udh16 => concatenation(true).write(out),
            Manner::Whole | Manner::Payload | Manner::Sar => {}
        }
        if let Alphabet::Gsm7National { single, locking } = self.plan.alphabet {
            udh::write_national(single, locking, out);
        }
        out.extend_from_slice(self.content.header.elements());
        match (out.len() - 1, out.first_mut()) {
            (0, _) | (_, None) => out.clear(),
            (length, Some(first)) => *first = length as u8,
        }
    }

    /// Encodes a part's text. This cannot fail: when the plan was made, the alphabet was found to hold every character.
    fn write_text(&self, text: &str, out: &mut Vec<u8>) {
        let whole = match self.plan.alphabet {
            Alphabet::Gsm7 => Tables::DEFAULT.encode(text, out),
            Alphabet::Gsm7National { single, locking } => Tables::national(single, locking).encode(text, out),
            Alphabet::Ascii | Alphabet::Latin1 | Alphabet::Latin1Bytes => {
                out.extend(text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')));
                Ok(())
            }
            Alphabet::Ucs2 | Alphabet::Binary => {
                ucs2::encode(text, out);
                Ok(())
            }
        };
        debug_assert_eq!(whole, Ok(()), "a plan is used with the content that it was made for");
    }
}

/// Number of parts of a text of `units` units, with room for `room` units in each part.
pub(super) fn count_parts(text: &str, alphabet: Alphabet, units: usize, room: usize) -> usize {
    if units == text.len() && text.is_ascii() {
        return units.div_ceil(room).max(1);
    }
    let measure = Measure::of(alphabet);
    let mut rest = text;
    let mut parts = 0;
    while !rest.is_empty() {
        rest = rest.get(measure.cut(rest, room)..).unwrap_or_default();
        parts += 1;
    }
    parts.max(1)
}

/// How to measure the characters of an alphabet, and whether characters may form clusters.
#[derive(Clone, Copy)]
enum Measure {
    /// The default tables of GSM 7-bit: no character forms a cluster with the one before it.
    Septets,
    NationalSeptets(Tables),
    /// ISO 8859-1: one byte for each character, and no clusters.
    Bytes,
    Utf16,
}

impl Measure {
    fn of(alphabet: Alphabet) -> Self {
        match alphabet {
            Alphabet::Gsm7 | Alphabet::Latin1 | Alphabet::Ascii => Self::Septets,
            Alphabet::Gsm7National { single, locking } => Self::NationalSeptets(Tables::national(single, locking)),
            Alphabet::Latin1Bytes => Self::Bytes,
            Alphabet::Ucs2 | Alphabet::Binary => Self::Utf16,
        }
    }

    fn units(self, character: char) -> usize {
        match self {
            Self::Septets => Tables::DEFAULT.septets(character).unwrap_or(1).into(),
            Self::NationalSeptets(tables) => tables.septets(character).unwrap_or(1).into(),
            Self::Bytes => 1,
            Self::Utf16 => character.len_utf16(),
        }
    }

    /// Length in bytes of the next part of `text`, at most `room` units (≥ 4). Never 0 for a text that is not empty.
    fn cut(self, text: &str, room: usize) -> usize {
        let full = self.fill(text, room);
        if full == text.len() || matches!(self, Self::Septets | Self::Bytes) {
            return full;
        }
        let is_boundary = |&offset: &usize| text.is_char_boundary(offset) && cluster::ends_before(text, offset);
        (1..=full).rev().find(is_boundary).unwrap_or(full)
    }

    /// Length in bytes of the longest beginning of `text` that fits into `room` units.
    fn fill(self, text: &str, room: usize) -> usize {
        if matches!(self, Self::Septets)
            && let Some(beginning) = text.get(..room)
            && gsm7::count_ascii(beginning) == Some(room)
        {
            return room;
        }
        let mut used = 0;
        for (offset, character) in text.char_indices() {
            used += self.units(character);
            if used > room {
                return offset;
            }
        }
        text.len()
    }
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
