//! Words that the file may choose from; the same type is typed and meant. Each is data: what a word leads to is told by
//! the room that acts on it.

use serde::{Deserialize, Serialize};

/// Urgency of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Emergency,
    Otp,
    Transactional,
    Marketing,
}

/// What becomes of an attempt of which nobody knows whether the carrier has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// Sent again after `in_doubt_wait`, up to `doubts_max`.
    Resend,
    /// Waits for a receipt or for the operator.
    Hold,
    /// Ends `dead`, reason `in_doubt_dropped`.
    Drop,
}

/// What speaks at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CarrierKind {
    /// SMPP 3.4.
    Smpp,
}

/// How sessions are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BindMode {
    /// One connection for both directions.
    Transceiver,
    /// One transmitter and one receiver.
    Pair,
    /// One transmitter: for an account that may only send.
    Transmitter,
}

/// How it is learned what became of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipts {
    /// The carrier sends receipts.
    Deliver,
    /// It sends none, and is asked by query_sm.
    Query,
}

/// How a text leaves when its message does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// The carrier's default alphabet where the text fits, UCS-2 otherwise.
    Auto,
    /// The default alphabet always; what does not fit is unencodable.
    Gsm7,
    /// Latin-1 with data_coding 3 where the text fits, UCS-2 otherwise.
    Latin1,
    /// UCS-2 always.
    Ucs2,
}

impl Encoding {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gsm7 => "gsm7",
            Self::Latin1 => "latin1",
            Self::Ucs2 => "ucs2",
        }
    }
}

/// What the carrier reads when data_coding is 0; the specification leaves it open.
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

/// How a long message is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Splitting {
    /// User data header with an 8-bit reference: 153/134/67 a part.
    Udh8,
    /// User data header with a 16-bit reference: 152/133/66 a part.
    Udh16,
    /// The TLVs sar_msg_ref_num, sar_total_segments, sar_segment_seqnum.
    Sar,
    /// Not at all: one PDU with message_payload; the carrier cuts.
    Payload,
}

/// How a carrier writes a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdForm {
    /// Not told: each plausible form is tried.
    Auto,
    /// As an opaque text.
    Text,
    /// As a decimal number; leading zeros mean nothing.
    Decimal,
    /// As a hexadecimal number; case and leading zeros mean nothing.
    Hex,
}

/// What the numbers in a carrier's receipts say of whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberRule {
    /// A receipt with the number of somebody else settles nothing.
    Compare,
    /// Nothing: its carrier writes numbers in a way of its own.
    Ignore,
}

/// Who has to act on a refusal of the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Slower, in order, no attempt consumed.
    Throttle,
    /// Passes: back off.
    Transient,
    /// Bind again.
    Session,
    /// The account is refused: call the operator.
    Credential,
    /// This message will never be taken.
    Permanent,
    /// The carrier could not read what we wrote.
    OurBug,
    /// Nobody knows: transient for a while.
    Unknown,
}

/// What executors stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeIo {
    /// `io_uring` where it works, `epoll` otherwise.
    Auto,
    /// Rings shared with the kernel: Linux 5.7, and no filter that forbids them.
    IoUring,
    /// Readiness of descriptors: everywhere.
    Epoll,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Which answered requests are told to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogRequests {
    /// Those that failed by us: 500 and above.
    Failed,
    /// Those that were refused as well: 400 and above.
    Refused,
    /// Each.
    All,
}

/// How much of a carrier's PDUs is told to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogPdus {
    /// Nothing.
    Off,
    /// Every PDU; numbers by their first and last digits, texts by their length.
    Masked,
    /// Every PDU, with numbers and texts.
    Whole,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// `text` when a person looks at it, `json` otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
