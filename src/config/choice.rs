//! Keys with a fixed set of words; the same type serves the raw and the resolved configuration. Each type is plain data:
//! what a word causes is documented in the module that acts on it.

use serde::{Deserialize, Serialize};

pub use crate::host::probe::NodeIo;

/// Urgency of a message, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Emergency,
    Otp,
    Transactional,
    Marketing,
}

/// What happens to an attempt in doubt: it was written to the carrier, but no answer came, so the carrier may or may not
/// have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// Send it again after `in_doubt_wait`, within the limit of `doubts_max`.
    Resend,
    /// Wait for a receipt or for the operator's decision.
    Hold,
    /// End the message as `dead`, reason `in_doubt_dropped`.
    Drop,
}

/// Protocol that the carrier speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CarrierKind {
    /// SMPP 3.4.
    Smpp,
}

/// How sessions bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BindMode {
    /// One connection (`bind_transceiver`) for both directions.
    Transceiver,
    /// Two connections: a transmitter and a receiver.
    Pair,
    /// One transmitter, for an account that may only send.
    Transmitter,
}

/// How the outcome of messages is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipts {
    /// The carrier sends receipts.
    Deliver,
    /// The carrier sends none; it is asked with query_sm.
    Query,
}

/// Encoding of texts whose message names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// The carrier's default alphabet where the text fits, UCS-2 otherwise.
    Auto,
    /// Always the default alphabet; a text that does not fit is refused.
    Gsm7,
    /// Latin-1 with data_coding 3 where the text fits, UCS-2 otherwise.
    Latin1,
    /// Always UCS-2.
    Ucs2,
}

impl Encoding {
    /// The word in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gsm7 => "gsm7",
            Self::Latin1 => "latin1",
            Self::Ucs2 => "ucs2",
        }
    }
}

/// Alphabet that the carrier uses for data_coding 0; the specification leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultAlphabet {
    /// GSM 03.38, one septet per byte.
    Gsm7,
    /// ISO 8859-1.
    Latin1,
    /// Seven-bit ASCII.
    Ascii,
}

/// How a long message is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Splitting {
    /// User data header with an 8-bit reference: 153 septets, 134 bytes or 67 UCS-2 characters per part.
    Udh8,
    /// User data header with a 16-bit reference: 152 septets, 133 bytes or 66 UCS-2 characters per part.
    Udh16,
    /// The TLVs sar_msg_ref_num, sar_total_segments, sar_segment_seqnum.
    Sar,
    /// Not at all: one PDU with message_payload, which the carrier splits.
    Payload,
}

/// How a carrier writes a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdForm {
    /// Unknown: each plausible form is tried.
    Auto,
    /// An opaque text.
    Text,
    /// A decimal number; leading zeros do not count.
    Decimal,
    /// A hexadecimal number; case and leading zeros do not count.
    Hex,
}

/// Whether the phone numbers in a carrier's receipts are compared with those of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberRule {
    /// A receipt with a different number does not settle the message.
    Compare,
    /// They are ignored, for a carrier that writes numbers in a form of its own.
    Ignore,
}

/// Classes of a carrier's refusals, by what has to happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The link slows down and keeps the order; the refusal does not count as an attempt.
    Throttle,
    /// The trouble will pass: retry with back-off.
    Transient,
    /// The session is in the wrong state: bind again.
    Session,
    /// The account is refused: the operator must talk to the carrier.
    Credential,
    /// The carrier will never accept this message.
    Permanent,
    /// The carrier could not read what Stentor wrote.
    OurBug,
    /// A status without a known meaning: retried a few times.
    Unknown,
}

/// Least important level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Which answered HTTP requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogRequests {
    /// Those that failed on the server's side: status 500 and above.
    Failed,
    /// Refused requests as well: status 400 and above.
    Refused,
    /// Every request.
    All,
}

/// How much of a carrier's PDUs is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogPdus {
    /// Nothing.
    Off,
    /// Every PDU, with only the first and last digits of numbers, and only the length of texts.
    Masked,
    /// Every PDU, with complete numbers and texts.
    Whole,
}

/// Format of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// `text` if the log goes to a terminal, else `json`.
    Auto,
    /// For human readers.
    Text,
    /// One JSON object a line.
    Json,
}
