//! The sender of a message, as the recipient sees it.

use std::fmt;

/// A sender: up to 15 digits with or without `+`, a short code, or up to 11 characters with a letter among them. Stored
/// inline (16 bytes) so that a message needs no allocation for it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderId {
    length: u8,
    text: [u8; 15],
}

/// Why a text is not a valid sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderError {
    /// It is empty.
    Empty,
    /// It has neither a letter nor a digit.
    NoLetter,
    /// It has more than 15 digits or 11 characters.
    TooLong,
    /// It has a character that is not in the carriers' default alphabet; `@` counts as one, because its code there is
    /// NUL.
    BadCharacter,
}

/// The form of a sender; decides type of number and numbering plan at the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SenderForm {
    /// E.164 digits, 7 or more.
    International,
    /// 3 to 6 digits.
    ShortCode,
    /// Up to 11 characters, letters among them.
    Alphanumeric,
}

impl SenderId {
    /// Longest alphanumeric sender (3GPP TS 23.040 §9.1.2.5: 11 septets).
    pub const ALPHANUMERIC_MAX: usize = 11;

    /// Reads a sender as typed: a leading `+` before digits is dropped.
    pub fn parse(typed: &str) -> Result<Self, SenderError> {
        let text = match typed.strip_prefix('+') {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits,
            Some(_) | None => typed,
        };
        if text.is_empty() {
            return Err(SenderError::Empty);
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() > if digits { 15 } else { Self::ALPHANUMERIC_MAX } {
            return Err(SenderError::TooLong);
        }
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"@`[]{}\\^|~".contains(&byte)) {
            return Err(SenderError::BadCharacter);
        }
        if !text.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
            return Err(SenderError::NoLetter);
        }
        let mut sender = Self { length: text.len() as u8, text: [0; 15] };
        sender.text[..text.len()].copy_from_slice(text.as_bytes());
        Ok(sender)
    }

    /// The text without `+`; empty for the default value, which means "the carrier's own".
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The text as ASCII bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Whether no sender is given.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether the sender equals a pattern, or begins with it if the pattern ends in `*`. A leading `+` of the pattern
    /// is ignored, as in a sender.
    pub fn fits(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(beginning) => self.as_str().starts_with(beginning.trim_start_matches('+')),
            None => self.as_str() == pattern.trim_start_matches('+'),
        }
    }

    /// Its form.
    pub fn form(&self) -> SenderForm {
        if !self.as_bytes().iter().all(u8::is_ascii_digit) {
            SenderForm::Alphanumeric
        } else if self.length < 7 {
            SenderForm::ShortCode
        } else {
            SenderForm::International
        }
    }
}

impl fmt::Display for SenderId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for SenderId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_three_forms() {
        let form = |typed| SenderId::parse(typed).map(|sender| (sender.to_string(), sender.form()));
        assert_eq!(form("+4915112345678"), Ok(("4915112345678".into(), SenderForm::International)));
        assert_eq!(form("72345"), Ok(("72345".into(), SenderForm::ShortCode)));
        assert_eq!(form("My Bank"), Ok(("My Bank".into(), SenderForm::Alphanumeric)));
    }

    #[test]
    fn a_sender_fits_whole_or_by_its_beginning() {
        let fits = |sender, pattern: &str| SenderId::parse(sender).is_ok_and(|sender| sender.fits(pattern));
        assert!(["BankNord", "Bank*", "*"].iter().all(|pattern| fits("BankNord", pattern)));
        assert!(!fits("BankNord", "Bank") && !fits("BankNord", "Nord*"));
        assert!(fits("+4915112", "4915*") && fits("4915112", "+4915*") && fits("4915112", "+4915112"));
        assert!(!fits("4915112", "4916*"));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(SenderId::parse(""), Err(SenderError::Empty));
        assert_eq!(SenderId::parse("   "), Err(SenderError::NoLetter));
        assert_eq!(SenderId::parse("-/-"), Err(SenderError::NoLetter));
        assert_eq!(SenderId::parse("TwelveLetter"), Err(SenderError::TooLong));
        assert_eq!(SenderId::parse("1234567890123456"), Err(SenderError::TooLong));
        assert_eq!(SenderId::parse("me@home"), Err(SenderError::BadCharacter));
        assert_eq!(SenderId::parse("Bänk"), Err(SenderError::BadCharacter));
    }
}
