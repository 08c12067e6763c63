//! What a message says, apart from where and when: the part that no decision reads.

use super::sender::SenderId;

/// How the text is to be coded; what was asked for at ingest, settled to a carrier's coding at the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// GSM 7-bit where every character fits, else UCS-2.
    #[default]
    Auto = 0,
    /// GSM 7-bit or nothing.
    Gsm7 = 1,
    /// UCS-2 (UTF-16BE on the air).
    Ucs2 = 2,
    /// Octets, as given.
    Binary = 3,
}

impl Encoding {
    /// The name used in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
            Self::Binary => "binary",
        }
    }

    /// As read back from disk.
    pub const fn from_index(index: u8) -> Option<Self> {
        match index {
            0 => Some(Self::Auto),
            1 => Some(Self::Gsm7),
            2 => Some(Self::Ucs2),
            3 => Some(Self::Binary),
            4.. => None,
        }
    }
}

/// The free part of a message, borrowed from a request or from a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// Sender; empty = the carrier's default.
    pub from: SenderId,
    /// UTF-8 text, or octets for [`Encoding::Binary`].
    pub body: &'a [u8],
    /// User data header with its length octet, for binary messages; empty = none.
    pub udh: &'a [u8],
    /// The client's own reference, echoed back.
    pub reference: &'a str,
    /// Tags, comma separated.
    pub tags: &'a str,
    /// Extra SMPP TLVs, already as tag, length, value octets.
    pub tlvs: &'a [u8],
    /// Where notices of this message go; empty = nowhere in particular.
    pub callback_url: &'a str,
}
