//! What a fake carrier writes: message ids and delivery receipts, in each dialect. It writes its own bytes instead of
//! calling the `smpp` room, so that the room's reader is checked against independent code. Knows nothing of the PDUs
//! around them.

use std::io::Write;

use super::behaviour::{Behaviour, ErrorDialect, IdDialect, ReceiptForm};
use crate::model::prng::mix;
use crate::model::time::Wall;

/// TLV `receipted_message_id` (SMPP 3.4 §5.3.2.12).
const TLV_RECEIPTED_MESSAGE_ID: u16 = 0x001E;
/// TLV `message_payload` (§5.3.2.32).
const TLV_MESSAGE_PAYLOAD: u16 = 0x0424;
/// TLV `message_state` (§5.3.2.35).
const TLV_MESSAGE_STATE: u16 = 0x0427;
/// `esm_class` of a delivery receipt and of an intermediate notification (§5.2.12).
const ESM_RECEIPT: u8 = 0x04;
const ESM_INTERMEDIATE: u8 = 0x20;

/// The number behind an id that this carrier gave out (or, for a stray receipt, never gave out).
/// The dialect decides how it is spelled. The highest four bits are not spelled: they count how often the id was given
/// out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuedId(pub u64);

impl IssuedId {
    const TIMES_AT: u32 = 60;

    /// The same id, given out again after `times` earlier uses.
    pub(super) const fn again(id: u64, times: usize) -> Self {
        Self(id | (times as u64) << Self::TIMES_AT)
    }

    const fn spelled(self) -> u64 {
        self.0 & ((1 << Self::TIMES_AT) - 1)
    }

    /// Appends the id as the `submit_sm_resp` spells it, without NUL: 1 to 36 bytes.
    pub fn write_in_response(self, dialect: IdDialect, out: &mut Vec<u8>) {
        match dialect {
            IdDialect::Decimal | IdDialect::DecimalThenHex | IdDialect::ZerosAdded => put(out, self.spelled()),
            IdDialect::Hex | IdDialect::HexThenDecimal => format(out, format_args!("{:X}", self.spelled())),
            IdDialect::CaseChanged => format(out, format_args!("{:x}", self.spelled())),
            IdDialect::ZerosLost => format(out, format_args!("{:020}", self.spelled())),
            IdDialect::Uuid => self.write_uuid(out),
            IdDialect::Wide => self.write_wide(out),
        }
    }

    /// Appends the id as the receipt spells it, without NUL.
    pub fn write_in_receipt(self, dialect: IdDialect, out: &mut Vec<u8>) {
        match dialect {
            IdDialect::Decimal | IdDialect::HexThenDecimal | IdDialect::ZerosLost => put(out, self.spelled()),
            IdDialect::Hex | IdDialect::DecimalThenHex | IdDialect::CaseChanged => {
                format(out, format_args!("{:X}", self.spelled()));
            }
            IdDialect::ZerosAdded => format(out, format_args!("{:020}", self.spelled())),
            IdDialect::Uuid => self.write_uuid(out),
            IdDialect::Wide => self.write_wide(out),
        }
    }

    fn write_uuid(self, out: &mut Vec<u8>) {
        let (high, low) = (mix(self.spelled()), self.spelled());
        format(
            out,
            format_args!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                high >> 32,
                (high >> 16) & 0xFFFF,
                high & 0xFFF,
                (low >> 48) & 0xFFF,
                low & 0xFFFF_FFFF_FFFF
            ),
        );
    }

    fn write_wide(self, out: &mut Vec<u8>) {
        format(out, format_args!("7301{:020}", self.spelled()));
    }
}

/// The state that a receipt reports for its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// On its way: an intermediate notification.
    Enroute,
    /// Delivered to the handset.
    Delivered,
    /// Its validity ran out.
    Expired,
    /// Cannot be delivered.
    Undeliverable,
    /// Refused after it was taken.
    Rejected,
}

impl Fate {
    /// The word in a receipt's `stat:` field.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enroute => "ENROUTE",
            Self::Delivered => "DELIVRD",
            Self::Expired => "EXPIRED",
            Self::Undeliverable => "UNDELIV",
            Self::Rejected => "REJECTD",
        }
    }

    /// The value of the TLV `message_state`, one byte.
    pub const fn state_byte(self) -> u8 {
        match self {
            Self::Enroute => 1,
            Self::Delivered => 2,
            Self::Expired => 3,
            Self::Undeliverable => 5,
            Self::Rejected => 8,
        }
    }

    const fn error_number(self) -> u16 {
        match self {
            Self::Enroute | Self::Delivered => 0,
            Self::Expired => 27,
            Self::Undeliverable => 1,
            Self::Rejected => 99,
        }
    }

    /// The error code of dialects that do not use just digits. No code contains a byte that ends the value of a field.
    const fn odd_code(self, dialect: ErrorDialect) -> &'static [u8] {
        match (dialect, self) {
            (ErrorDialect::Digits | ErrorDialect::Empty, _) => b"",
            (ErrorDialect::Alphanumeric, Self::Enroute) => b"0x00",
            (ErrorDialect::Alphanumeric, Self::Delivered) => b"NONE",
            (ErrorDialect::Alphanumeric, Self::Expired) => b"EC_27",
            (ErrorDialect::Alphanumeric, Self::Undeliverable) => b"0x1F",
            (ErrorDialect::Alphanumeric, Self::Rejected) => b"nul",
            (ErrorDialect::Long, Self::Enroute | Self::Delivered) => b"0000000000",
            (ErrorDialect::Long, Self::Expired) => b"HANDSET_UNREACHABLE",
            (ErrorDialect::Long, Self::Undeliverable) => b"123456789012",
            (ErrorDialect::Long, Self::Rejected) => b"REJECTED_BY_NETWORK",
            (ErrorDialect::Unprintable, Self::Enroute | Self::Delivered) => b"\x01",
            (ErrorDialect::Unprintable, Self::Expired) => b"\xE9\x7F27",
            (ErrorDialect::Unprintable, Self::Undeliverable) => b"\x1B[31m1",
            (ErrorDialect::Unprintable, Self::Rejected) => b"no_\xC3\xA4",
        }
    }
}

/// The content of one receipt's `deliver_sm`; reusable, so that writing one costs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiptBody {
    /// 0x04 for a final receipt, 0x20 for an intermediate one.
    pub esm_class: u8,
    /// At most 254 bytes.
    pub short_message: Vec<u8>,
    /// Optional parameters as on the wire: tag, length, value, one after another.
    pub tlvs: Vec<u8>,
    id: Vec<u8>,
    error: Vec<u8>,
}

impl ReceiptBody {
    /// Rewrites this body for one receipt in the behaviour's dialect. `submitted` and `done` are written in UTC, to the
    /// minute or the second, by `date_digits`.
    pub fn write(&mut self, id: IssuedId, fate: Fate, submitted: Wall, done: Wall, behaviour: &Behaviour) {
        self.esm_class = if fate == Fate::Enroute { ESM_INTERMEDIATE } else { ESM_RECEIPT };
        self.short_message.clear();
        self.tlvs.clear();
        self.id.clear();
        self.write_error(fate, behaviour);
        if !behaviour.id_missing {
            id.write_in_receipt(behaviour.id_dialect, &mut self.id);
        }
        let dates = (submitted, done, behaviour.date_digits);
        match behaviour.receipt_form {
            ReceiptForm::Text => self.write_text(fate, dates),
            ReceiptForm::TextAndTlvs => {
                self.write_text(fate, dates);
                self.write_id_tlv(behaviour.tlv_unterminated);
                self.write_tlv(TLV_MESSAGE_STATE, &[fate.state_byte()]);
            }
            ReceiptForm::Tlvs => {
                self.write_id_tlv(behaviour.tlv_unterminated);
                self.write_tlv(TLV_MESSAGE_STATE, &[fate.state_byte()]);
            }
            ReceiptForm::IdTlvStateText => {
                self.write_id_tlv(behaviour.tlv_unterminated);
                format(&mut self.short_message, format_args!("sub:001 dlvrd:001 stat:{} err:", fate.word()));
                self.short_message.extend_from_slice(&self.error);
            }
            ReceiptForm::Payload => {
                self.write_text(fate, dates);
                let text = std::mem::take(&mut self.short_message);
                self.write_tlv(TLV_MESSAGE_PAYLOAD, &text);
            }
            ReceiptForm::Terse => {
                self.write_id_field();
                format(&mut self.short_message, format_args!(" stat:{}", fate.word()));
            }
            ReceiptForm::Shuffled => self.write_shuffled(fate, dates),
            ReceiptForm::CommaList => {
                self.short_message.extend_from_slice(&self.error);
                self.short_message.push(b',');
                write_date(done, behaviour.date_digits, &mut self.short_message);
                self.short_message.push(b',');
                self.write_id_tlv(behaviour.tlv_unterminated);
                self.write_tlv(TLV_MESSAGE_STATE, &[fate.state_byte()]);
            }
        }
    }

    /// The error code as the receipt writes it; empty if it writes none.
    pub fn error(&self) -> &[u8] {
        &self.error
    }

    /// Iterates over the optional parameters: tag and value.
    pub fn tlvs(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest = self.tlvs.as_slice();
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            let (value, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
            rest = tail;
            Some((u16::from_be_bytes([head[0], head[1]]), value))
        })
    }

    fn write_id_field(&mut self) {
        self.short_message.extend_from_slice(b"id:");
        self.short_message.extend_from_slice(&self.id);
    }

    /// Stores the error code for the forms that have a place for one, in their own format.
    fn write_error(&mut self, fate: Fate, behaviour: &Behaviour) {
        let (form, dialect) = (behaviour.receipt_form, behaviour.error_dialect);
        self.error.clear();
        match (form, dialect) {
            (ReceiptForm::Tlvs | ReceiptForm::Terse, _) => {}
            (ReceiptForm::CommaList, _) => put_digits(&mut self.error, u64::from(fate.error_number()), 2),
            (ReceiptForm::IdTlvStateText, ErrorDialect::Digits) => self.error.extend_from_slice(b"000"),
            (ReceiptForm::Shuffled, ErrorDialect::Digits) => self.error.extend_from_slice(b"nul"),
            (ReceiptForm::Text | ReceiptForm::TextAndTlvs | ReceiptForm::Payload, ErrorDialect::Digits) => {
                put_digits(&mut self.error, u64::from(fate.error_number()), 3);
            }
            (
                ReceiptForm::Text
                | ReceiptForm::TextAndTlvs
                | ReceiptForm::Payload
                | ReceiptForm::IdTlvStateText
                | ReceiptForm::Shuffled,
                odd,
            ) => self.error.extend_from_slice(fate.odd_code(odd)),
        }
    }

    fn write_text(&mut self, fate: Fate, (submitted, done, digits): (Wall, Wall, u8)) {
        self.write_id_field();
        let delivered = if fate == Fate::Delivered { "001" } else { "000" };
        let out = &mut self.short_message;
        out.extend_from_slice(b" sub:001 dlvrd:");
        out.extend_from_slice(delivered.as_bytes());
        out.extend_from_slice(b" submit date:");
        write_date(submitted, digits, out);
        out.extend_from_slice(b" done date:");
        write_date(done, digits, out);
        out.extend_from_slice(b" stat:");
        out.extend_from_slice(fate.word().as_bytes());
        out.extend_from_slice(b" err:");
        out.extend_from_slice(&self.error);
        out.extend_from_slice(b" text:");
    }

    fn write_shuffled(&mut self, fate: Fate, (submitted, done, digits): (Wall, Wall, u8)) {
        let out = &mut self.short_message;
        format(out, format_args!("stat:{} err:", fate.word()));
        out.extend_from_slice(&self.error);
        out.extend_from_slice(b" submit date:");
        write_date(submitted, digits, out);
        out.extend_from_slice(b" done date:");
        write_date(done, digits, out);
        out.push(b' ');
        self.write_id_field();
        self.short_message.extend_from_slice(b" Text:-");
    }

    fn write_id_tlv(&mut self, unterminated: bool) {
        let mut id = std::mem::take(&mut self.id);
        if !unterminated {
            id.push(0);
        }
        self.write_tlv(TLV_RECEIPTED_MESSAGE_ID, &id);
        self.id = id;
    }

    fn write_tlv(&mut self, tag: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.tlvs.extend_from_slice(&tag.to_be_bytes());
        self.tlvs.extend_from_slice(&length.to_be_bytes());
        self.tlvs.extend_from_slice(&value[..usize::from(length)]);
    }
}

/// Appends `YYMMDDhhmm` (10 digits), `YYMMDDhhmmss` (12) or `YYYYMMDDhhmmss` (14) in UTC; any other count is 10.
fn write_date(at: Wall, digits: u8, out: &mut Vec<u8>) {
    let seconds = at.0 / 1_000;
    let (year, month, day) = civil_date(seconds / 86_400);
    let of_day = seconds % 86_400;
    if digits == 14 {
        put_digits(out, year, 4)
    } else {
        put_digits(out, year % 100, 2)
    }
    for field in [month, day, of_day / 3_600, of_day / 60 % 60] {
        put_digits(out, field, 2);
    }
    if matches!(digits, 12 | 14) {
        put_digits(out, of_day % 60, 2);
    }
}

/// Days since 1970-01-01 to year, month and day (Hinnant, "chrono-compatible low-level date algorithms").
const fn civil_date(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as u64;
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn put(out: &mut Vec<u8>, number: u64) {
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    put_digits(out, number, digits);
}

fn put_digits(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn format(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}
