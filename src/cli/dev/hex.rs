//! Bytes as pairs of lower-case hexadecimal digits, and back; also as a serde format.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Two digits per byte.
pub(super) fn text(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// `None` if it is not pairs of hexadecimal digits.
pub(super) fn octets(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

pub(super) fn serialize<S: Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(octets))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    octets(&text).ok_or_else(|| D::Error::custom("not hexadecimal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(octets(&text(&all)), Some(all));
        assert_eq!(text(b"\x00\xffA"), "00ff41");
        assert_eq!((octets("0"), octets("0g"), octets("é"), octets("")), (None, None, None, Some(Vec::new())));
    }
}
