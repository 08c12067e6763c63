//! Why a message cannot be taken as it is wanted: values, so that each door says it in its own words.

use super::numbering::NumberError;
use crate::model::{SenderId, sender::SenderError};
use stentor_smpp::{split::TextError, udh::HeaderError};

/// A thing that is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It has no recipient.
    NoRecipient,
    /// The recipient is no number.
    Recipient(NumberError),
    /// The tenant may not send there.
    Country,
    /// The sender is none.
    Sender(SenderError),
    /// The sender is to be a number, and cannot be one.
    SenderNumber(NumberError),
    /// The tenant may not use this sender.
    SenderNotAllowed(SenderId),
    /// A key of so many bytes.
    Key(usize),
    /// It is due too far ahead.
    DueTooLate,
    /// It would be worth sending for too long.
    ValidTooLong,
    /// It would expire before it is due.
    ExpiresTooEarly,
    /// A reference of so many bytes.
    Reference(usize),
    /// A tag that is empty, or has a character that no tag has.
    Tag,
    /// All tags together are too long.
    TagsTooLong,
    /// More SMPP parameters than allowed.
    TooManyTlvs,
    /// This SMPP parameter says what the message itself says.
    TlvReserved(u16),
    /// The value of an SMPP parameter has so many bytes.
    TlvTooLong(usize),
    /// It has neither text nor data.
    NoBody,
    /// A text is to be coded as data.
    TextAsBinary,
    /// Data is to be coded as a text.
    DataAsText,
    /// The body has so many bytes: none, or too many.
    BodyLength(usize),
    /// The user data header is malformed.
    Header(HeaderError),
    /// No number of parts that a message can have.
    PartsMax,
    /// It takes more parts than are allowed.
    TooManyParts {
        /// So many.
        needed: u32,
        /// So many are.
        allowed: u8,
    },
    /// It cannot be coded, or split.
    Text(TextError),
}
