//! Senders as people type them: a number is read like a recipient's, a name is taken as it is.
//!
//! Knows when a sender is a number. Refuses to know what a valid number looks like (`numbering`), and a valid name
//! (`model::sender`).

use super::numbering::{NumberError, Numbering};
use super::objection::Objection;
use crate::model::SenderId;

/// Whether the text is a number: it begins with `+` or `00`. `24/7` is a name, and `72345` a short code.
fn is_number(typed: &str) -> bool {
    let typed = typed.trim_start_matches(' ');
    typed.starts_with('+') || typed.starts_with("00")
}

/// Reads a sender.
///
/// # Errors
/// [`Objection::Sender`] or [`Objection::SenderNumber`].
pub fn read(typed: &str, numbering: &Numbering) -> Result<SenderId, Objection> {
    if !is_number(typed) {
        return SenderId::parse(typed).map_err(Objection::Sender);
    }
    let number = numbering.parse(typed).map_err(Objection::SenderNumber)?;
    SenderId::parse(&number.to_string()).map_err(Objection::Sender)
}

/// Reads a pattern of senders into the form in which senders are compared: a whole sender as it is sent, or its
/// beginning and `*`.
///
/// # Errors
/// As [`read`]; of a beginning only the characters are checked.
pub fn pattern(typed: &str, numbering: &Numbering) -> Result<String, Objection> {
    let Some(beginning) = typed.strip_suffix('*') else {
        return read(typed, numbering).map(|sender| sender.as_str().to_owned());
    };
    if beginning.is_empty() {
        return Ok(typed.to_owned());
    }
    if !is_number(beginning) {
        return SenderId::parse(beginning).map_err(Objection::Sender).map(|_| typed.to_owned());
    }
    let trimmed = beginning.trim_start_matches(' ');
    let digits = trimmed.strip_prefix('+').or_else(|| trimmed.strip_prefix("00")).unwrap_or(trimmed);
    let digits: String = digits.chars().filter(|character| !" -./()".contains(*character)).collect();
    match digits.chars().find(|character| !character.is_ascii_digit()) {
        Some(other) => Err(Objection::SenderNumber(NumberError::BadCharacter(other))),
        None if digits.is_empty() => Err(Objection::SenderNumber(NumberError::Empty)),
        None => Ok(digits + "*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sender::SenderError;
    use crate::model::sender::SenderForm::{self, Alphanumeric, International, ShortCode};

    fn abroad() -> Numbering {
        Numbering::new(None).expect("metadata")
    }

    #[test]
    fn what_begins_as_a_number_leaves_as_one() {
        let numbering = abroad();
        let cases: [(&str, &str, SenderForm); 8] = [
            ("+4915112345678", "4915112345678", International),
            ("004915112345678", "4915112345678", International),
            ("+49 151 123", "49151123", International),
            (" +49 (0) 151/123-45.678", "4915112345678", International),
            ("4915112345678", "4915112345678", International),
            ("72345", "72345", ShortCode),
            ("24/7", "24/7", Alphanumeric),
            ("1-800-BANK", "1-800-BANK", Alphanumeric),
        ];
        for (typed, leaves, form) in cases {
            let sender = read(typed, &numbering).expect(typed);
            assert_eq!((sender.as_str(), sender.form()), (leaves, form), "{typed}");
        }
        let home = Numbering::new(Some("DE")).expect("metadata");
        assert_eq!(read("0049 151 12345678", &home).expect("sender").as_str(), "4915112345678");
    }

    #[test]
    fn a_number_that_cannot_be_is_no_sender() {
        let numbering = abroad();
        for typed in ["+", "+72345", "+49 Bank", "00", "+1 555 0100", "007"] {
            let found = read(typed, &numbering);
            assert!(matches!(found, Err(Objection::SenderNumber(_))), "{typed}: {found:?}");
        }
        assert_eq!(read("   ", &numbering), Err(Objection::Sender(SenderError::NoLetter)));
        assert_eq!(read("", &numbering), Err(Objection::Sender(SenderError::Empty)));
    }

    #[test]
    fn patterns_are_compared_as_senders_leave() {
        let numbering = abroad();
        let read_pattern = |typed: &str| pattern(typed, &numbering).expect(typed);
        assert_eq!(read_pattern("+49 151*"), "49151*");
        assert_eq!(read_pattern("0049-151*"), "49151*");
        assert_eq!(read_pattern("0049 151 12345678"), "4915112345678");
        assert_eq!([read_pattern("SHOP*"), read_pattern("*")], ["SHOP*", "*"]);
        assert_eq!(read_pattern("4915*"), "4915*");
        for wrong in ["+*", "+49x*", "", "+72345", "Bänk*", "TwelveLetter"] {
            assert!(pattern(wrong, &numbering).is_err(), "{wrong}");
        }
    }
}
