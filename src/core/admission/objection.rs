//! Why a message cannot be taken as the client wants it: values, so that each door uses its own words.

use super::numbering::NumberError;
use crate::model::{Class, SenderId, sender::SenderError};
use stentor_smpp::{split::TextError, udh::HeaderError};

/// One thing that is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It has no recipient.
    NoRecipient,
    /// The recipient is not a valid number.
    Recipient(NumberError),
    /// The tenant may not send to the recipient's country.
    Country,
    /// The recipient is blocked, or is not among those that are allowed.
    RecipientNotAllowed,
    /// The sender is not a valid sender.
    Sender(SenderError),
    /// The sender looks like a number, but is not a valid one.
    SenderNumber(NumberError),
    /// The tenant may not use this sender.
    SenderNotAllowed(SenderId),
    /// The caller may not use this class, which the message names or gets by default.
    ClassNotAllowed(Class),
    /// The key has this many bytes, which is not allowed.
    Key(usize),
    /// `send_at` is too far ahead.
    DueTooLate,
    /// The time between `send_at` and expiry is too long.
    ValidTooLong,
    /// The message would expire before it is due.
    ExpiresTooEarly,
    /// The reference has this many bytes, which is too long.
    Reference(usize),
    /// A tag is empty or has a character that tags may not have.
    Tag,
    /// All tags together are too long.
    TagsTooLong,
    /// It has more SMPP parameters than allowed.
    TooManyTlvs,
    /// This SMPP parameter is reserved: Stentor sets it from the message's other fields.
    TlvReserved(u16),
    /// The value of an SMPP parameter has this many bytes, which is too long.
    TlvTooLong(usize),
    /// It has neither text nor data.
    NoBody,
    /// The body is text, but the coding asked for is for data.
    TextAsBinary,
    /// The body is data, but the coding asked for is for text.
    DataAsText,
    /// The body has this many bytes: none, or too many.
    BodyLength(usize),
    /// The user data header is malformed.
    Header(HeaderError),
    /// The limit of parts is not between 1 and 255.
    PartsMax,
    /// The message needs more parts than allowed.
    TooManyParts {
        /// Parts that it needs.
        needed: u32,
        /// Parts that are allowed.
        allowed: u8,
    },
    /// The text cannot be encoded or split.
    Text(TextError),
}
