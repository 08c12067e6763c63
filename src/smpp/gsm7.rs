//! GSM 7-bit text: Unicode to septets and back, one septet per byte or packed.
//!
//! Knows: the escape mechanism, national tables instead of the default ones, packing (3GPP TS 23.038 §6).
//! Refuses to know: parts, headers, `data_coding`. Plain ASCII takes one table look-up per byte.

use super::gsm7_tables::{ABSENT, DEFAULT, EXTENSION, LOW, SHIFTED, Sheet};
use super::national::Language;

pub use super::gsm7_tables::ESCAPE;

/// Error: the text contains a character that the alphabet lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unrepresentable {
    /// The first such character.
    pub character: char,
    /// Its position in the text, counted in characters from 0.
    pub position: usize,
}

/// The pair of tables in use: each is the default table or a national one.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    main: &'static Sheet,
    shift: &'static Sheet,
    is_default: bool,
}

impl Tables {
    /// The default alphabet and its extension table.
    pub const DEFAULT: Self = Self { main: &DEFAULT, shift: &EXTENSION, is_default: true };

    /// National tables. Where no language is given, or the language has no such table, the default table is used
    /// (3GPP TS 23.038 §6.2.1.2.2: an unknown language is ignored).
    pub fn national(single: Option<Language>, locking: Option<Language>) -> Self {
        let main = locking.and_then(Language::locking_sheet);
        let shift = single.and_then(Language::single_sheet);
        Self {
            main: main.unwrap_or(&DEFAULT),
            shift: shift.unwrap_or(&EXTENSION),
            is_default: main.is_none() && shift.is_none(),
        }
    }

    /// Septets that the character takes: 1, or 2 with the escape; `None` if the tables lack it.
    pub fn septets(&self, character: char) -> Option<u8> {
        match self.code(character) {
            ABSENT => None,
            code => Some(1 + (code >> 7)),
        }
    }

    fn code(&self, character: char) -> u8 {
        match LOW.get(character as usize) {
            Some(&code) if self.is_default => code,
            _ => match (self.main.septet(character), self.shift.septet(character)) {
                (Some(septet), _) => septet,
                (None, Some(septet)) => SHIFTED | septet,
                (None, None) => ABSENT,
            },
        }
    }

    /// Septets that the text takes, or the first character that the tables lack.
    pub fn count(&self, text: &str) -> Result<usize, Unrepresentable> {
        if self.is_default
            && let Some(count) = count_ascii(text)
        {
            return Ok(count);
        }
        let mut count = 0;
        for (position, character) in text.chars().enumerate() {
            let septets = self.septets(character).ok_or(Unrepresentable { character, position })?;
            count += usize::from(septets);
        }
        Ok(count)
    }

    /// Appends the text, one septet per byte. On an error, the text before the missing character has been appended.
    pub fn encode(&self, text: &str, out: &mut Vec<u8>) -> Result<(), Unrepresentable> {
        if self.is_default && count_ascii(text) == Some(text.len()) {
            out.extend(text.bytes().map(plain));
            return Ok(());
        }
        out.reserve(text.len());
        for (position, character) in text.chars().enumerate() {
            match self.code(character) {
                ABSENT => return Err(Unrepresentable { character, position }),
                code if code & SHIFTED != 0 => out.extend([ESCAPE, code & !SHIFTED]),
                code => out.push(code),
            }
        }
        Ok(())
    }

    /// Appends the characters of unpacked septets. Never fails; bit 7 is ignored.
    ///
    /// Follows the rules for handsets (§6.2.1.1): an escaped septet that the shift table lacks becomes the main table's
    /// character, a doubled or final escape becomes a space.
    pub fn decode(&self, septets: &[u8], out: &mut String) {
        out.reserve(septets.len());
        let mut rest = septets.iter().map(|septet| septet & 0x7F);
        while let Some(septet) = rest.next() {
            let character = if septet == ESCAPE {
                rest.next().and_then(|next| self.shift.character(next).or_else(|| self.main.character(next)))
            } else {
                self.main.character(septet)
            };
            out.push(character.unwrap_or(' '));
        }
    }
}

/// Septets of the text if it is ASCII and the default tables hold every character.
///
/// Uses comparisons instead of a table, in blocks whose sums fit into a byte, so that the compiler can vectorise them.
pub(super) fn count_ascii(text: &str) -> Option<usize> {
    let mut count = text.len();
    for block in text.as_bytes().chunks(128) {
        let (mut shifted, mut refused) = (0u8, false);
        for &byte in block {
            let feed = byte == 0x0C;
            shifted += u8::from(byte.wrapping_sub(0x5B) < 4 || byte.wrapping_sub(0x7B) < 4 || feed);
            refused |= byte >= 0x7F || byte == b'`' || byte < 0x20 && byte != b'\n' && byte != b'\r' && !feed;
        }
        if refused {
            return None;
        }
        count += usize::from(shifted);
    }
    Some(count)
}

/// The septet of an ASCII byte that takes exactly one.
const fn plain(byte: u8) -> u8 {
    match byte {
        b'@' => 0x00,
        b'$' => 0x02,
        b'_' => 0x11,
        same => same,
    }
}

/// Packs septets into bytes, least significant bit first, after `fill` zero bits (0–6, the padding after a user data
/// header). Unused bits of the last byte are zero.
pub fn pack(septets: &[u8], fill: u8, out: &mut Vec<u8>) {
    let mut held = u32::from(fill.min(6));
    let mut bits = 0u32;
    for septet in septets {
        bits |= u32::from(septet & 0x7F) << held;
        held += 7;
        if held >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            held -= 8;
        }
    }
    if held > 0 {
        out.push(bits as u8);
    }
}

/// Unpacks at most `count` septets after skipping `fill` bits; fewer if the bytes end.
pub fn unpack(bytes: &[u8], fill: u8, count: usize, out: &mut Vec<u8>) {
    let fill = usize::from(fill.min(6));
    let present = (bytes.len() * 8).saturating_sub(fill) / 7;
    out.extend((0..count.min(present)).map(|index| {
        let bit = fill + index * 7;
        let low = bytes.get(bit / 8).copied().unwrap_or(0);
        let high = bytes.get(bit / 8 + 1).copied().unwrap_or(0);
        (u16::from_le_bytes([low, high]) >> (bit % 8)) as u8 & 0x7F
    }));
}

/// Padding bits between a header of `header` bytes (its length byte included) and the first septet.
pub const fn fill_bits(header: usize) -> u8 {
    ((7 - (header * 8) % 7) % 7) as u8
}

#[cfg(test)]
#[path = "gsm7_tests.rs"]
mod tests;
