//! Keys with a fixed set of words; the same type serves the raw and the resolved configuration, and where the core or the
//! protocol has a type with these words it is that one. What a word causes is documented in the module that acts on it.

use serde::{Deserialize, Serialize};

pub use crate::host::probe::NodeIo;
pub use stentor_core::delivery::DoubtPolicy;
pub use stentor_core::link::{BindKind, CarrierEncoding};
pub use stentor_core::model::{Class, ErrorFamily};
pub use stentor_smpp::coding::DefaultAlphabet;
pub use stentor_smpp::split::Splitting;

/// Protocol that the carrier speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CarrierKind {
    /// SMPP 3.4.
    Smpp,
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

/// By what a limit counts messages apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitPer {
    /// All together.
    All,
    Tenant,
    Carrier,
    /// Known in order to be refused: a carrier has a rate for each bind.
    Bind,
    Sender,
    Country,
    Tag,
    /// Known in order to be refused.
    Recipient,
}

impl LimitPer {
    /// The word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Tenant => "tenant",
            Self::Carrier => "carrier",
            Self::Bind => "bind",
            Self::Sender => "sender",
            Self::Country => "country",
            Self::Tag => "tag",
            Self::Recipient => "recipient",
        }
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitOf {
    Parts,
    Messages,
    /// Known in order to be refused.
    Recipients,
}

/// What happens to a message for which a limit has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitOver {
    /// It waits.
    Wait,
    /// It is refused.
    Refuse,
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
