//! The characters that each alphabet contains, and how many units each of them takes.
//!
//! Knows: the tables of GSM 7-bit, ISO 8859-1 and ASCII as carriers accept them. Refuses to know: which alphabet a text
//! gets (`analyse`) and how a missing character is replaced (`transliterate`).

use super::coding::Alphabet;
use super::gsm7::{Tables, Unrepresentable, count_ascii};

/// The characters of one alphabet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Repertoire {
    /// A pair of GSM 7-bit tables.
    Septets(Tables),
    /// The characters that are in both ISO 8859-1 and the default tables of GSM 7-bit.
    CommonLatin1,
    /// ISO 8859-1.
    Latin1,
    /// ASCII.
    Ascii,
    /// Every character.
    Unicode,
}

impl Repertoire {
    /// The repertoire of an alphabet. [`Alphabet::Binary`] has no characters; for it the repertoire of UCS-2 is returned.
    pub(super) fn of(alphabet: Alphabet) -> Self {
        match alphabet {
            Alphabet::Gsm7 => Self::Septets(Tables::DEFAULT),
            Alphabet::Gsm7National { single, locking } => Self::Septets(Tables::national(single, locking)),
            Alphabet::Latin1 => Self::CommonLatin1,
            Alphabet::Latin1Bytes => Self::Latin1,
            Alphabet::Ascii => Self::Ascii,
            Alphabet::Ucs2 | Alphabet::Binary => Self::Unicode,
        }
    }

    /// Units that the character takes; `None` if the alphabet lacks it.
    pub(super) fn units(&self, character: char) -> Option<u8> {
        let septets = || Tables::DEFAULT.septets(character);
        match self {
            Self::Septets(tables) => tables.septets(character),
            Self::CommonLatin1 => septets().filter(|_| is_latin1(character)),
            Self::Latin1 => is_latin1(character).then_some(1),
            Self::Ascii => (is_latin1(character) && character.is_ascii()).then(|| septets().unwrap_or(1)),
            Self::Unicode => Some(character.len_utf16() as u8),
        }
    }

    /// Whether the alphabet contains the character.
    pub(super) fn holds(&self, character: char) -> bool {
        self.units(character).is_some()
    }

    /// Units that the text takes, or the first character that the alphabet lacks. Plain ASCII takes one pass over the bytes.
    pub(super) fn count(&self, text: &str) -> Result<usize, Unrepresentable> {
        match self {
            Self::Septets(tables) => return tables.count(text),
            Self::CommonLatin1 | Self::Ascii => {
                if let Some(count) = count_ascii(text) {
                    return Ok(count);
                }
            }
            Self::Latin1 | Self::Unicode => {}
        }
        let mut count = 0;
        for (position, character) in text.chars().enumerate() {
            let units = self.units(character).ok_or(Unrepresentable { character, position })?;
            count += usize::from(units);
        }
        Ok(count)
    }
}

/// Whether it is a graphic character of ISO 8859-1, or a control character that GSM 7-bit also has. The soft hyphen does not
/// count: it is invisible, but carriers show it as a hyphen.
const fn is_latin1(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{0C}' | ' '..='~' | '\u{A0}'..='\u{AC}' | '\u{AE}'..='\u{FF}')
}
