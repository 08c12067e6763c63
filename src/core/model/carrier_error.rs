//! What a carrier says against a message: the family that we decide by, and the code as the carrier gave it. Knows no protocol:
//! a link, which speaks its carrier's, writes these words.

/// Who has to act on an error. Whatever is decided because of one, is decided by this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ErrorFamily {
    /// The carrier asks for a slower pace: the link slows down, in order, and no attempt is consumed.
    Throttle = 1,
    /// The carrier or the handset has trouble that passes: try again later.
    Transient = 2,
    /// The session is not in the state that the request needs: bind again.
    Session = 3,
    /// The account is refused: the operator must act.
    Credential = 4,
    /// This message will never be taken.
    Permanent = 5,
    /// The carrier could not read what we wrote.
    OurBug = 6,
    /// Nobody knows what the code means: as transient, a bounded number of times.
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

/// Where an error was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ErrorOrigin {
    /// In the carrier's answer to the message.
    Answer = 1,
    /// In the text of a receipt, or by its state alone.
    #[default]
    Receipt = 2,
    /// By the network behind the carrier, in a parameter of the receipt.
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

/// A code as its carrier wrote it: up to 8 bytes of printable ASCII, zeros behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorText([u8; Self::OCTETS_MAX]);

impl ErrorText {
    /// More of a code is not kept.
    pub const OCTETS_MAX: usize = 8;

    /// The first bytes of a code; a question mark stands for each that cannot be printed.
    pub fn cut(said: &[u8]) -> Self {
        let mut text = [0; Self::OCTETS_MAX];
        for (place, octet) in text.iter_mut().zip(said) {
            *place = if is_printable(*octet) { *octet } else { b'?' };
        }
        Self(text)
    }

    /// As read back from disk; `None` for what [`Self::cut`] never gives.
    pub fn whole(octets: &[u8]) -> Option<Self> {
        let text = Self::cut(octets);
        (text.octets() == octets).then_some(text)
    }

    /// The bytes, without the zeros.
    pub fn octets(&self) -> &[u8] {
        let end = self.0.iter().position(|octet| *octet == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        // Printable ASCII: nothing else gets in.
        std::str::from_utf8(self.octets()).unwrap_or_default()
    }

    /// Nothing was said.
    pub const fn is_empty(&self) -> bool {
        self.0[0] == 0
    }
}

const fn is_printable(octet: u8) -> bool {
    matches!(octet, b' '..=b'~')
}

/// An error of a carrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierError {
    /// What we take it for.
    pub family: ErrorFamily,
    /// Where it was said.
    pub origin: ErrorOrigin,
    /// The code as it was written; empty where it was only a number, or there was none.
    pub text: ErrorText,
    /// The code as a number: of an answer its status, of a receipt its text's or else its network's; 0 where neither is one.
    pub number: u32,
}

const _: () = assert!(size_of::<CarrierError>() <= 16, "it travels with every answer and every receipt");

impl CarrierError {
    /// An answer's.
    pub const fn of_answer(family: ErrorFamily, number: u32) -> Self {
        Self { family, origin: ErrorOrigin::Answer, text: ErrorText([0; ErrorText::OCTETS_MAX]), number }
    }

    /// Whether it has a code, and not a family alone.
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
