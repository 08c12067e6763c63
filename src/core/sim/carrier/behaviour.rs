//! How a fake carrier behaves: every setting with its unit and its default, but not how the settings are applied.
//! The default is a carrier without a fault: it answers at once, sends receipts after a second, and uses decimal ids.

use serde::{Deserialize, Serialize};

/// A probability in parts per million.
pub type Ppm = u32;

/// A delay drawn uniformly between two bounds, both in microseconds and both inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delay {
    /// The shortest.
    pub min_us: u64,
    /// The longest; a value below `min_us` counts as `min_us`.
    pub max_us: u64,
}

impl Delay {
    /// Always exactly this long.
    pub const fn exactly(us: u64) -> Self {
        Self { min_us: us, max_us: us }
    }
}

/// How a message id is written in the response and again in the receipt (shapes: jasmin#643, #1129, jsmpp#178).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdDialect {
    /// Decimal in both.
    #[default]
    Decimal,
    /// Upper-case hexadecimal in both.
    Hex,
    /// Hexadecimal in the response, decimal in the receipt.
    HexThenDecimal,
    /// Decimal in the response, hexadecimal in the receipt.
    DecimalThenHex,
    /// Lower-case hexadecimal in the response, upper-case in the receipt.
    CaseChanged,
    /// Decimal, with leading zeros only in the receipt.
    ZerosAdded,
    /// Decimal, with leading zeros only in the response.
    ZerosLost,
    /// A UUID in both.
    Uuid,
    /// 24 decimal digits in both: wider than 64 bits.
    Wide,
}

impl IdDialect {
    /// Every dialect.
    pub const ALL: [Self; 9] = [
        Self::Decimal,
        Self::Hex,
        Self::HexThenDecimal,
        Self::DecimalThenHex,
        Self::CaseChanged,
        Self::ZerosAdded,
        Self::ZerosLost,
        Self::Uuid,
        Self::Wide,
    ];
}

/// Where a receipt carries its content (shapes: SMPP 3.4 appendix B and Kannel's parser).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptForm {
    /// Appendix B text in `short_message`.
    #[default]
    Text,
    /// The text and the TLVs `receipted_message_id` and `message_state`.
    TextAndTlvs,
    /// Only the two TLVs, an empty `short_message`.
    Tlvs,
    /// The id as TLV, the state only in a text without an id ("partial 3.4").
    IdTlvStateText,
    /// The text in `message_payload`.
    Payload,
    /// `id:` and `stat:` alone.
    Terse,
    /// Other order of the fields, `Text:` with a capital, a non-numeric `err`.
    Shuffled,
    /// An error number and a date, comma-separated, instead of the text form; id and state only in the two TLVs.
    CommaList,
}

impl ReceiptForm {
    /// Every form.
    pub const ALL: [Self; 8] = [
        Self::Text,
        Self::TextAndTlvs,
        Self::Tlvs,
        Self::IdTlvStateText,
        Self::Payload,
        Self::Terse,
        Self::Shuffled,
        Self::CommaList,
    ];
}

/// How a receipt's text writes its error code (shapes: jasmin#514, and how vendors read Appendix B's `err:E`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorDialect {
    /// Three digits; `000` means no error.
    #[default]
    Digits,
    /// Letters, and digits in hexadecimal.
    Alphanumeric,
    /// The field is present and empty.
    Empty,
    /// More than eight characters.
    Long,
    /// Bytes that cannot be printed.
    Unprintable,
}

impl ErrorDialect {
    /// Every dialect.
    pub const ALL: [Self; 5] = [Self::Digits, Self::Alphanumeric, Self::Empty, Self::Long, Self::Unprintable];
}

/// How one carrier treats what it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Whether the last four digits of a recipient choose its fate (see [`super::Magic`]).
    pub magic: bool,
    /// Parts taken in any second; further ones are answered with `throttled_status`. 0 = no limit.
    pub rate_max: u32,
    /// Time from a submit to its response.
    pub response_delay: Delay,
    /// Time from a submit to its final receipt.
    pub receipt_delay: Delay,

    /// Answered `throttled_status`, not taken.
    pub throttled_ppm: Ppm,
    /// Answered `transient_status`, not taken.
    pub transient_ppm: Ppm,
    /// Answered `permanent_status`, not taken.
    pub permanent_ppm: Ppm,
    /// Neither taken nor answered.
    pub swallowed_ppm: Ppm,
    /// Taken, its receipt will come, but never answered.
    pub answer_lost_ppm: Ppm,
    /// Not taken; the carrier closes the connection instead.
    pub disconnect_ppm: Ppm,
    /// Taken, its receipt will come, but the carrier closes the connection instead of answering.
    pub taken_disconnect_ppm: Ppm,
    /// The carrier closes the connection at each message to this recipient, without taking it; empty: it does so to none.
    pub hangs_up_on: String,
    /// Command status of throttled submits; default 0x58 ESME_RTHROTTLED.
    pub throttled_status: u32,
    /// Command status of transient refusals; default 0x08 ESME_RSYSERR.
    pub transient_status: u32,
    /// Command status of permanent refusals; default 0x0B ESME_RINVDSTADR.
    pub permanent_status: u32,

    /// Receipts that say undeliverable.
    pub undelivered_ppm: Ppm,
    /// Receipts that say expired.
    pub expired_ppm: Ppm,
    /// Receipts that say rejected.
    pub rejected_ppm: Ppm,
    /// Receipts that never come.
    pub receipt_lost_ppm: Ppm,
    /// Receipts that come twice.
    pub receipt_twice_ppm: Ppm,
    /// Receipts that come before the response they refer to.
    pub receipt_first_ppm: Ppm,
    /// Receipts preceded by one with an id that was never given out.
    pub receipt_unknown_ppm: Ppm,
    /// Receipts preceded by an intermediate ENROUTE one.
    pub intermediate_ppm: Ppm,
    /// Final receipts followed by an ENROUTE one.
    pub regress_ppm: Ppm,
    /// Receipts that come over another bind of the same account.
    pub receipt_elsewhere_ppm: Ppm,
    /// Receipts sent although `registered_delivery` asked for none.
    pub receipt_unasked_ppm: Ppm,
    /// No receipt is sent; a `query_sm` is answered with what the receipt would say, from the time at which it would be sent.
    pub receipts_on_query: bool,

    /// How many recipients get the same id, one after the other, at most 8; 0 or 1: each id is given out once.
    pub id_recipients: u8,
    /// How ids are written.
    pub id_dialect: IdDialect,
    /// Receipts carry no id.
    pub id_missing: bool,
    /// Where receipts carry their content.
    pub receipt_form: ReceiptForm,
    /// How their texts write error codes.
    pub error_dialect: ErrorDialect,
    /// Digits of the dates in a receipt: 10 (default), 12 or 14.
    pub date_digits: u8,
    /// `receipted_message_id` without its closing NUL.
    pub tlv_unterminated: bool,
    /// A failing response still carries an (empty) message id.
    pub error_body: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            magic: false,
            rate_max: 0,
            response_delay: Delay::exactly(0),
            receipt_delay: Delay::exactly(1_000_000),
            throttled_ppm: 0,
            transient_ppm: 0,
            permanent_ppm: 0,
            swallowed_ppm: 0,
            answer_lost_ppm: 0,
            disconnect_ppm: 0,
            taken_disconnect_ppm: 0,
            hangs_up_on: String::new(),
            throttled_status: 0x58,
            transient_status: 0x08,
            permanent_status: 0x0B,
            undelivered_ppm: 0,
            expired_ppm: 0,
            rejected_ppm: 0,
            receipt_lost_ppm: 0,
            receipt_twice_ppm: 0,
            receipt_first_ppm: 0,
            receipt_unknown_ppm: 0,
            intermediate_ppm: 0,
            regress_ppm: 0,
            receipt_elsewhere_ppm: 0,
            receipt_unasked_ppm: 0,
            receipts_on_query: false,
            id_recipients: 0,
            id_dialect: IdDialect::Decimal,
            id_missing: false,
            receipt_form: ReceiptForm::Text,
            error_dialect: ErrorDialect::Digits,
            date_digits: 10,
            tlv_unterminated: false,
            error_body: false,
        }
    }
}

impl Behaviour {
    /// What `stentor dev` shows: magic numbers on, receipts after half a second to two.
    pub fn showcase() -> Self {
        Self { magic: true, receipt_delay: Delay { min_us: 500_000, max_us: 2_000_000 }, ..Self::default() }
    }
}
