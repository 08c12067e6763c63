//! Reads delivery receipts, including the many deviations of carriers from Appendix B of SMPP 3.4.
//!
//! Knows: the text form with its fields in any order and case, complete or not, the comma list, the parameters
//! `receipted_message_id`, `message_state` and `network_error_code`, and which of them takes precedence.
//! Refuses to know: PDUs (parameters are plain arguments), to which message a receipt belongs (`receipt_id`), and what
//! follows from it. Borrows from its source; a buffer of the caller is used for text that must be converted first.

use super::udh::Header;

/// The state of the message as reported by the carrier (SMPP 3.4 §5.2.28; 0 and 9 from 5.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReceiptState {
    Scheduled = 0,
    Enroute = 1,
    Delivered = 2,
    Expired = 3,
    Deleted = 4,
    Undeliverable = 5,
    Accepted = 6,
    Unknown = 7,
    Rejected = 8,
    Skipped = 9,
}

impl ReceiptState {
    /// Every state, by code.
    pub const ALL: [Self; 10] = [
        Self::Scheduled,
        Self::Enroute,
        Self::Delivered,
        Self::Expired,
        Self::Deleted,
        Self::Undeliverable,
        Self::Accepted,
        Self::Unknown,
        Self::Rejected,
        Self::Skipped,
    ];

    /// The state of a `message_state` parameter.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The state of a `stat:` word, in upper or lower case, and truncated at any length that is still unambiguous.
    ///
    /// ACKED, BUFFRED and BUFFERD mean that the message is still on its way, as in Kannel.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        WORDS.iter().find(|(known, _)| starts_with(word, known)).map(|&(_, state)| state)
    }

    /// The word of Appendix B.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDUL",
            Self::Enroute => "ENROUTE",
            Self::Delivered => "DELIVRD",
            Self::Expired => "EXPIRED",
            Self::Deleted => "DELETED",
            Self::Undeliverable => "UNDELIV",
            Self::Accepted => "ACCEPTD",
            Self::Unknown => "UNKNOWN",
            Self::Rejected => "REJECTD",
            Self::Skipped => "SKIPPED",
        }
    }

    /// Whether no other state is to be expected. ACCEPTED is treated as not final although the specification calls it final,
    /// because carriers use it for "accepted by the network" and send DELIVRD later.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Scheduled | Self::Enroute | Self::Accepted => false,
            Self::Delivered | Self::Expired | Self::Deleted | Self::Undeliverable => true,
            Self::Unknown | Self::Rejected | Self::Skipped => true,
        }
    }
}

const WORDS: [(&[u8], ReceiptState); 17] = [
    (b"DELIV", ReceiptState::Delivered),
    (b"DLVRD", ReceiptState::Delivered),
    (b"EXPIR", ReceiptState::Expired),
    (b"DELET", ReceiptState::Deleted),
    (b"UNDEL", ReceiptState::Undeliverable),
    (b"FAILED", ReceiptState::Undeliverable),
    (b"ACCEP", ReceiptState::Accepted),
    (b"ACKED", ReceiptState::Accepted),
    (b"UNKN", ReceiptState::Unknown),
    (b"REJEC", ReceiptState::Rejected),
    (b"REJCT", ReceiptState::Rejected),
    (b"ENROU", ReceiptState::Enroute),
    (b"BUFFRED", ReceiptState::Enroute),
    (b"BUFFERD", ReceiptState::Enroute),
    (b"BUFFERED", ReceiptState::Enroute),
    (b"SCHED", ReceiptState::Scheduled),
    (b"SKIP", ReceiptState::Skipped),
];

/// The parts of a `deliver_sm` or `data_sm` that can hold a receipt.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReceiptSource<'a> {
    /// The raw byte from the PDU.
    pub esm_class: u8,
    /// `short_message`, or `message_payload` if that is empty.
    pub text: &'a [u8],
    /// The parameter 0x001E, with or without its NUL.
    pub receipted_message_id: Option<&'a [u8]>,
    /// The parameter 0x0427.
    pub message_state: Option<u8>,
    /// The parameter 0x0423.
    pub network_error_code: Option<[u8; 3]>,
}

impl ReceiptSource<'_> {
    const TYPE: u8 = 0x3C;
    const RECEIPT: u8 = 0x04;
    const INTERMEDIATE: u8 = 0x20;

    /// Whether this is a receipt and not a message: according to the type in `esm_class`, or the parameter, or, if both are
    /// missing, the form of its text.
    pub fn is_receipt(&self) -> bool {
        match self.esm_class & Self::TYPE {
            Self::RECEIPT | Self::INTERMEDIATE => true,
            0 => self.receipted_message_id.is_some() || looks_like_receipt(self.text),
            _ => false,
        }
    }

    /// Whether something other than the form of its text marks it as a receipt. Any handset can send a text that looks like a
    /// receipt.
    pub const fn is_typed(&self) -> bool {
        self.esm_class & Self::TYPE != 0 || self.receipted_message_id.is_some() || self.message_state.is_some()
    }

    const fn is_intermediate(&self) -> bool {
        self.esm_class & Self::TYPE == Self::INTERMEDIATE
    }
}

/// The parameter `network_error_code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NetworkError {
    /// In the specified format.
    Code {
        /// 1 ANSI-136, 2 IS-95, 3 GSM, 8 the carrier's own (SMPP 3.4 §5.3.2.31, 5.0 §4.8.4.42).
        network: u8,
        /// The network's error code.
        code: u16,
    },
    /// Three ASCII digits, which some carriers send instead.
    Digits(u16),
}

impl NetworkError {
    /// Reads the parameter; defined for all values.
    pub const fn read(bytes: [u8; 3]) -> Self {
        match bytes {
            [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                Self::Digits((a - b'0') as u16 * 100 + (b - b'0') as u16 * 10 + (c - b'0') as u16)
            }
            [network, high, low] => Self::Code { network, code: u16::from_be_bytes([high, low]) },
        }
    }
}

/// A receipt as read. Missing fields are `None`; texts are as the carrier wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt<'a> {
    /// The carrier's message id: from the parameter if present, else from the text. Blanks and NULs at both ends are removed.
    pub id: Option<&'a [u8]>,
    /// The id in the text, if it differs from that of the parameter: to be tried if `id` is unknown.
    pub other_id: Option<&'a [u8]>,
    /// `None` if neither the text nor a parameter contains it; such a receipt does not tell the outcome of the message.
    pub state: Option<ReceiptState>,
    /// `err` from the text: decimal, hexadecimal, `nul` or any other text.
    pub error: Option<&'a [u8]>,
    /// The parameter `network_error_code`.
    pub network_error: Option<NetworkError>,
    /// `sub`, the number of messages submitted, as written.
    pub submitted: Option<&'a [u8]>,
    /// `dlvrd`, the number of messages delivered, as written.
    pub delivered: Option<&'a [u8]>,
    /// `submit date`, as written; see [`ReceiptDate`].
    pub submit_date: Option<&'a [u8]>,
    /// `done date`, as written; see [`ReceiptDate`].
    pub done_date: Option<&'a [u8]>,
    /// The beginning of the message, as written.
    pub text: Option<&'a [u8]>,
}

impl<'a> Receipt<'a> {
    /// Reads a receipt. Never fails; an unreadable receipt has neither id nor state.
    ///
    /// `scratch` is used only if the text must be converted first. Parameters take precedence over the text, except that a
    /// final state in the text takes precedence over one in the parameter that is not final.
    pub fn parse(source: &ReceiptSource<'a>, scratch: &'a mut Vec<u8>) -> Self {
        let (_, text) = match source.esm_class & 0x40 {
            0 => (Header::NONE, source.text),
            _ => Header::cut(source.text),
        };
        let mut receipt = Self::parse_text(narrow(text, scratch));
        if let Some(id) = source.receipted_message_id.map(trimmed).filter(|id| !id.is_empty()) {
            receipt.other_id = receipt.id.filter(|&other| other != id);
            receipt.id = Some(id);
        }
        let told = source.message_state.and_then(ReceiptState::from_code);
        receipt.state = match (told, receipt.state) {
            // Some carriers leave the parameter unchanged and write the final state only into the text. Intermediate receipts
            // have a type of their own.
            (Some(told), Some(text)) if !told.is_final() && text.is_final() && !source.is_intermediate() => Some(text),
            (told, text) => told.or(text),
        };
        receipt.network_error = source.network_error_code.map(NetworkError::read);
        receipt
    }

    /// Reads the text alone.
    pub fn parse_text(text: &'a [u8]) -> Self {
        Self::parse_plain(text).unwrap_or_else(|| Self::parse_any(text))
    }

    /// The fast path for what most carriers write: the fields of Appendix B in its order and spelling, each but the last a
    /// single word. `None` for any other text. [`Self::parse_any`] gives the same result for the texts that this accepts.
    fn parse_plain(text: &'a [u8]) -> Option<Self> {
        let mut receipt = Self::default();
        let mut rest = text;
        for (name, field) in PLAIN {
            rest = rest.strip_prefix(name)?;
            let (word, after) = rest.split_at(rest.iter().position(|&byte| ends_value(byte))?);
            if word.is_empty() || after.first() != Some(&b' ') || field_at(rest).is_some() {
                return None;
            }
            receipt.set(field, word);
            rest = after;
        }
        receipt.set(Field::Text, trimmed(rest.strip_prefix(b" text:")?));
        Some(receipt)
    }

    fn parse_any(text: &'a [u8]) -> Self {
        let mut receipt = Self::default();
        let mut rest = text;
        while let Some((field, value_at)) = next_field(rest) {
            let is_last = field == Field::Text && (receipt.state.is_some() || receipt.id.is_some());
            let (value, after) = split_value(value_at, field, is_last);
            receipt.set(field, value);
            rest = after;
        }
        if receipt == Self::default() {
            receipt.read_comma_list(text);
        }
        receipt
    }

    /// Whether no other state is to be expected.
    pub fn is_final(&self) -> bool {
        self.state.is_some_and(ReceiptState::is_final)
    }

    /// Sets a field that has no value yet, so that the first value counts; an empty value is ignored.
    fn set(&mut self, field: Field, value: &'a [u8]) {
        let place = match field {
            Field::Stat => {
                self.state = self.state.or_else(|| ReceiptState::from_word(value));
                return;
            }
            Field::Id => &mut self.id,
            Field::Sub => &mut self.submitted,
            Field::Dlvrd => &mut self.delivered,
            Field::SubmitDate => &mut self.submit_date,
            Field::DoneDate => &mut self.done_date,
            Field::Err => &mut self.error,
            Field::Text => &mut self.text,
        };
        if place.is_none() && !value.is_empty() {
            *place = Some(value);
        }
    }

    /// `00,0210021543,…`: an error number, then the date, without an id. 0 means delivered; the meaning of other numbers
    /// differs between carriers, so the state must then come from the parameter.
    fn read_comma_list(&mut self, text: &'a [u8]) {
        let mut items = text.splitn(3, |&byte| byte == b',').map(trimmed);
        let (Some(error), Some(date)) = (items.next(), items.next()) else {
            return;
        };
        if !(1..=4).contains(&error.len()) || !all_digits(error) || date.len() < 10 || !all_digits(date) {
            return;
        }
        self.error = Some(error);
        self.done_date = Some(date);
        self.text = items.next().filter(|rest| !rest.is_empty());
        self.state = error.iter().all(|&digit| digit == b'0').then_some(ReceiptState::Delivered);
    }
}

/// Whether a text that nothing else marks as a receipt has the form of one: an id, a known state, and one more field that
/// people are unlikely to write.
pub fn looks_like_receipt(text: &[u8]) -> bool {
    if !text.contains(&b':') {
        return false;
    }
    let receipt = Receipt::parse_text(text);
    let more = [receipt.submitted, receipt.delivered, receipt.submit_date, receipt.done_date, receipt.error];
    receipt.id.is_some() && receipt.state.is_some() && more.iter().any(Option::is_some)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    Sub,
    Dlvrd,
    SubmitDate,
    DoneDate,
    Stat,
    Err,
    Text,
}

/// The fields of Appendix B in its order, except for the last.
const PLAIN: [(&[u8], Field); 7] = [
    (b"id:", Field::Id),
    (b" sub:", Field::Sub),
    (b" dlvrd:", Field::Dlvrd),
    (b" submit date:", Field::SubmitDate),
    (b" done date:", Field::DoneDate),
    (b" stat:", Field::Stat),
    (b" err:", Field::Err),
];

/// The classes of each byte value in the text of a receipt. A table, because it is needed for each byte of each receipt.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte.to_ascii_uppercase() {
            b' ' | b'\t' | b'\r' | b'\n' | 0 => BLANK,
            b',' | b';' | b'|' => SEPARATOR,
            b'I' | b'S' | b'D' | b'E' | b'T' => INITIAL,
            _ => 0,
        };
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};
const BLANK: u8 = 1;
const SEPARATOR: u8 = 2;
/// A letter with which the name of a field begins.
const INITIAL: u8 = 4;

const fn is_one_of(byte: u8, classes: u8) -> bool {
    CLASSES[byte as usize] & classes != 0
}

/// The names that begin with a letter, without blanks and underscores.
const fn names(initial: u8) -> &'static [(&'static [u8], Field)] {
    match initial.to_ascii_uppercase() {
        b'I' => &[(b"ID", Field::Id)],
        b'S' => &[
            (b"SUB", Field::Sub),
            (b"STATUS", Field::Stat),
            (b"STAT", Field::Stat),
            (b"SUBMITDATE", Field::SubmitDate),
        ],
        b'D' => &[(b"DLVRD", Field::Dlvrd), (b"DONEDATE", Field::DoneDate)],
        b'E' => &[(b"ERR", Field::Err), (b"ERROR", Field::Err)],
        b'T' => &[(b"TEXT", Field::Text)],
        _ => &[],
    }
}

/// The next field and the text after its colon. A name is recognised only at the beginning or after the end of a value.
fn next_field(text: &[u8]) -> Option<(Field, &[u8])> {
    let mut may_begin = true;
    for (at, &byte) in text.iter().enumerate() {
        if may_begin && let Some(found) = field_at(text.get(at..)?) {
            return Some(found);
        }
        may_begin = ends_value(byte);
    }
    None
}

/// The field whose name begins exactly here.
fn field_at(text: &[u8]) -> Option<(Field, &[u8])> {
    let &initial = text.first().filter(|byte| is_one_of(**byte, INITIAL))?;
    names(initial).iter().find_map(|&(name, field)| Some((field, after_name(text, name)?)))
}

/// The text after a name and its colon. The name may be written with blanks, underscores and hyphens in it.
fn after_name<'t>(text: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let mut bytes = text.iter();
    for (place, letter) in name.iter().enumerate() {
        loop {
            let byte = bytes.next()?;
            if byte.to_ascii_uppercase() == *letter {
                break;
            }
            if place == 0 || !matches!(byte, b' ' | b'_' | b'-') {
                return None;
            }
        }
    }
    (*bytes.find(|byte| **byte != b' ')? == b':').then_some(bytes.as_slice())
}

/// The value at the beginning, and the text after it. A comma ends a value only if a field follows, because ids may
/// contain commas; the message text ends at the next field unless it is the last.
fn split_value(text: &[u8], field: Field, is_last: bool) -> (&[u8], &[u8]) {
    if is_last {
        return (trimmed(text), &[]);
    }
    let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
    let text = text.get(blanks..).unwrap_or_default();
    let end = if field_at(text).is_some() { 0 } else { value_len(text, field) };
    let (value, rest) = text.split_at(end);
    (trimmed(value), rest)
}

/// The length of a value that does not begin with the name of a field.
fn value_len(text: &[u8], field: Field) -> usize {
    let mut from = 0;
    while let Some(step) = text.get(from..).and_then(|rest| rest.iter().position(|&byte| ends_value(byte))) {
        let (at, rest) = (from + step, text.get(from + step + 1..).unwrap_or_default());
        let needs_no_field = match text.get(at) {
            Some(&byte) if is_blank(byte) => field != Field::Text,
            Some(_) | None => rest.is_empty(),
        };
        if needs_no_field || field_at(trimmed_start(rest)).is_some() {
            return at;
        }
        from = at + 1;
    }
    text.len()
}

const fn ends_value(byte: u8) -> bool {
    is_one_of(byte, BLANK | SEPARATOR)
}

const fn is_blank(byte: u8) -> bool {
    is_one_of(byte, BLANK)
}

fn trimmed_start(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| is_blank(**byte)).count();
    bytes.get(blanks..).unwrap_or_default()
}

/// The bytes without blanks and NULs at both ends.
pub(super) fn trimmed(bytes: &[u8]) -> &[u8] {
    let bytes = trimmed_start(bytes);
    let blanks = bytes.iter().rev().take_while(|byte| is_blank(**byte)).count();
    bytes.get(..bytes.len() - blanks).unwrap_or_default()
}

fn all_digits(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_digit)
}

fn starts_with(word: &[u8], known: &[u8]) -> bool {
    word.get(..known.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(known))
}

/// The text as ASCII bytes, which are enough for all fields of a receipt. UCS-2 in either byte order, with or without a byte
/// order mark, is recognised by its form, because carriers set `data_coding` wrongly in both directions. Of the GSM alphabet
/// only the underscore has another code than in ASCII, and it occurs in ids.
fn narrow<'a>(text: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    const UNDERSCORE: u8 = 0x11;
    let unmarked = text.strip_prefix(b"\xFE\xFF").or_else(|| text.strip_prefix(b"\xFF\xFE")).unwrap_or(text);
    let (pairs, _) = unmarked.as_chunks::<2>();
    let begins = |is_ascii: fn(&[u8; 2]) -> bool| !pairs.is_empty() && pairs.iter().take(8).all(is_ascii);
    scratch.clear();
    if begins(|&[high, low]| high == 0 && low != 0) {
        scratch.extend(pairs.iter().map(|&[high, low]| if high == 0 { low } else { b'?' }));
    } else if begins(|&[low, high]| high == 0 && low != 0) {
        scratch.extend(pairs.iter().map(|&[low, high]| if high == 0 { low } else { b'?' }));
    } else if text.contains(&UNDERSCORE) {
        scratch.extend(text.iter().map(|&byte| if byte == UNDERSCORE { b'_' } else { byte }));
    } else {
        return text;
    }
    scratch
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
