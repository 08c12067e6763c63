//! Which characters an alphabet holds, and how many units each takes in it.
//!
//! Knows: the tables of GSM 7-bit, ISO 8859-1 and ASCII as carriers take them. Refuses to know: which alphabet a text
//! gets (`analyse`) and what becomes of a character that one lacks (`transliterate`).

use super::coding::Alphabet;
use super::gsm7::{Tables, Unrepresentable, count_ascii};

/// The characters of one alphabet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Repertoire {
    /// A pair of GSM 7-bit tables.
    Septets(Tables),
    /// What ISO 8859-1 and the default tables of GSM 7-bit have in common.
    CommonLatin1,
    /// ISO 8859-1.
    Latin1,
    /// ASCII.
    Ascii,
    /// Every character.
    Unicode,
}

impl Repertoire {
    /// That of an alphabet. Bytes hold no characters; whoever asks is told that of UCS-2.
    pub(super) fn of(alphabet: Alphabet) -> Self {
        match alphabet {
            Alphabet::Gsm7 => Self::Septets(Tables::DEFAULT),
            Alphabet::Gsm7National { single, locking } => Self::Septets(Tables::national(single, locking)),
            Alphabet::Latin1 => Self::CommonLatin1,
            Alphabet::Latin1Octets => Self::Latin1,
            Alphabet::Ascii => Self::Ascii,
            Alphabet::Ucs2 | Alphabet::Binary => Self::Unicode,
        }
    }

    /// Units that the character takes, or none if it has no place.
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

    /// Whether the character has a place.
    pub(super) fn holds(&self, character: char) -> bool {
        self.units(character).is_some()
    }

    /// Units that the text takes, or the first character that has no place. Plain ASCII costs one pass over the bytes.
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

/// A graphic character of ISO 8859-1, or one of the controls that GSM 7-bit has, too. The soft hyphen is an invisible
/// mark, which carriers show as a hyphen.
const fn is_latin1(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{0C}' | ' '..='~' | '\u{A0}'..='\u{AC}' | '\u{AE}'..='\u{FF}')
}
