//! A carrier's error about a message: the family that decisions use, and the code as the carrier gave it. Knows no
//! protocol: a link, which speaks its carrier's protocol, fills these values in.

use serde::{Deserialize, Serialize};

/// What kind of error it is, and so who has to act. Every decision because of an error uses only this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ErrorFamily {
    /// The carrier asks for a slower pace: the link slows down, the order stays, and no attempt is consumed.
    Throttle = 1,
    /// The carrier or the handset has a problem that will pass: try again later.
    Transient = 2,
    /// The session is not in the state that the request needs: bind again.
    Session = 3,
    /// The account is refused: the operator must act.
    Credential = 4,
    /// The carrier will never take this message.
    Permanent = 5,
    /// The carrier could not read our request.
    OurBug = 6,
    /// The meaning of the code is unknown: treated as transient, a limited number of times.
    #[default]
    Unknown = 7,
}

impl ErrorFamily {
    /// Every family.
    pub const ALL: [Self; 7] = [
        Self::Throttle,
        Self::Transient,
        Self::Session,
        Self::Credential,
        Self::Permanent,
        Self::OurBug,
        Self::Unknown,
    ];

    /// The name in the configuration and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Transient => "transient",
            Self::Session => "session",
            Self::Credential => "credential",
            Self::Permanent => "permanent",
            Self::OurBug => "our_bug",
            Self::Unknown => "unknown",
        }
    }

    /// As read back from disk.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| *family as u8 == index)
    }
}

/// Where the error was reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ErrorOrigin {
    /// In the carrier's response to the message.
    Answer = 1,
    /// In the text of a receipt, or only by the receipt's state.
    #[default]
    Receipt = 2,
    /// In a parameter of the receipt, from the network behind the carrier.
    Network = 3,
}

impl ErrorOrigin {
    /// Every origin.
    pub const ALL: [Self; 3] = [Self::Answer, Self::Receipt, Self::Network];

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Receipt => "receipt",
            Self::Network => "network",
        }
    }

    /// As read back from disk.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| *origin as u8 == index)
    }
}

/// A code as its carrier wrote it: up to 8 bytes of printable ASCII, padded with zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorText([u8; Self::BYTES_MAX]);

impl ErrorText {
    /// Longest code that is kept, bytes; the rest is cut off.
    pub const BYTES_MAX: usize = 8;

    /// The first bytes of a code; each byte that cannot be printed becomes a question mark.
    pub fn cut(said: &[u8]) -> Self {
        let mut text = [0; Self::BYTES_MAX];
        for (place, byte) in text.iter_mut().zip(said) {
            *place = if is_printable(*byte) { *byte } else { b'?' };
        }
        Self(text)
    }

    /// As read back from disk; `None` if [`Self::cut`] cannot have made these bytes.
    pub fn whole(bytes: &[u8]) -> Option<Self> {
        let text = Self::cut(bytes);
        (text.bytes() == bytes).then_some(text)
    }

    /// The bytes, without the zeros.
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        // Always printable ASCII: the constructors allow nothing else.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// Whether there is no code.
    pub const fn is_empty(&self) -> bool {
        self.0[0] == 0
    }
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// An error of a carrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierError {
    /// What we take the error for.
    pub family: ErrorFamily,
    /// Where it was reported.
    pub origin: ErrorOrigin,
    /// The code as written; empty if the code was only a number, or if there was none.
    pub text: ErrorText,
    /// The code as a number: for a response its status, for a receipt the number in its text or else the one from the
    /// network; 0 if there is no number.
    pub number: u32,
}

const _: () = assert!(size_of::<CarrierError>() <= 16, "it travels with every answer and every receipt");

impl CarrierError {
    /// The error of a carrier's response with status `number`.
    pub const fn of_answer(family: ErrorFamily, number: u32) -> Self {
        Self { family, origin: ErrorOrigin::Answer, text: ErrorText([0; ErrorText::BYTES_MAX]), number }
    }

    /// Whether it has a code, not only a family.
    pub const fn has_code(&self) -> bool {
        self.number != 0 || !self.text.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_kept_as_it_was_as_far_as_it_can_be_printed() {
        let check = |said: &[u8], text: &str| {
            let cut = ErrorText::cut(said);
            assert_eq!((cut.as_str(), cut.is_empty()), (text, text.is_empty()));
            assert_eq!(ErrorText::whole(text.as_bytes()), Some(cut));
        };
        check(b"", "");
        check(b"027", "027");
        check(b"EC_ABSENT_SUBSCRIBER", "EC_ABSEN");
        check(b"1 2~", "1 2~");
        check(b"\x01\x7F\xE9\x00a", "????a");
        for foreign in [&b"123456789"[..], b"\0", b"a\0", b"\x1F", b"\xC3\xA4"] {
            assert_eq!(ErrorText::whole(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn names_and_numbers_are_one_to_one() {
        for family in ErrorFamily::ALL {
            assert_eq!(ErrorFamily::from_index(family as u8), Some(family));
            assert_eq!(ErrorFamily::ALL.iter().filter(|other| other.name() == family.name()).count(), 1);
        }
        for origin in ErrorOrigin::ALL {
            assert_eq!(ErrorOrigin::from_index(origin as u8), Some(origin));
        }
        assert_eq!((ErrorFamily::from_index(0), ErrorFamily::from_index(8)), (None, None));
        assert_eq!((ErrorOrigin::from_index(0), ErrorOrigin::from_index(4)), (None, None));
    }
}
