//! UTF-16 big endian, which is what SMPP peers send as "UCS-2".
//!
//! Knows: text to bytes, and bytes to text leniently. Refuses to know: parts.

/// Number of UTF-16 units of the text.
pub fn count(text: &str) -> usize {
    // In UTF-8 every character has one byte that is not a continuation; a character of four bytes takes two units.
    text.bytes().map(|byte| usize::from(byte & 0xC0 != 0x80) + usize::from(byte >= 0xF0)).sum()
}

/// Appends the text, big endian, without a byte order mark.
pub fn encode(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() * 2);
    if text.is_ascii() {
        out.extend(text.bytes().flat_map(|byte| [0, byte]));
    } else {
        out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
    }
}

/// Appends the text of the bytes. Never fails: a lone surrogate becomes U+FFFD, an odd last byte is dropped.
///
/// A byte order mark is obeyed and removed, because some peers send one, also that of little-endian text.
pub fn decode(bytes: &[u8], out: &mut String) {
    let (bytes, read) = match bytes {
        [0xFF, 0xFE, rest @ ..] => (rest, u16::from_le_bytes as fn([u8; 2]) -> u16),
        [0xFE, 0xFF, rest @ ..] => (rest, u16::from_be_bytes as _),
        _ => (bytes, u16::from_be_bytes as _),
    };
    out.reserve(bytes.len() / 2);
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|&pair| read(pair));
    out.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
}
