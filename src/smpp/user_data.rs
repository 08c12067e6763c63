//! Decodes received user data, and joins the parts of long messages.
//!
//! Knows: the decoder for each `data_coding`, and that parts arrive in any order, twice, or never.
//! Refuses to know: how long to wait for a missing part, and where parts are stored.

use super::coding::{Charset, DataCoding, DefaultAlphabet};
use super::gsm7::Tables;
use super::ucs2;
use super::udh::{Concatenation, Header};

/// One part, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData<'a> {
    /// The header, if the part had one.
    pub header: Header<'a>,
    /// The bytes after the header.
    pub bytes: &'a [u8],
    /// The text; `None` if the coding is binary or is not supported here.
    pub text: Option<String>,
}

impl UserData<'_> {
    /// The part numbering in the header, if any.
    pub fn concatenation(&self) -> Option<Concatenation> {
        self.header.concatenation()
    }
}

/// Reads one part. Never fails: a broken header is cut where it breaks, invalid text becomes U+FFFD.
///
/// `default` is the carrier's meaning of `data_coding` 0; `has_header` is bit 0x40 of `esm_class`.
pub fn decode_user_data(
    data_coding: DataCoding,
    default: DefaultAlphabet,
    has_header: bool,
    user_data: &[u8],
) -> UserData<'_> {
    let (header, bytes) = if has_header { Header::cut(user_data) } else { (Header::NONE, user_data) };
    UserData { header, bytes, text: decode_text(data_coding, default, header, bytes) }
}

/// The text of the bytes after `header`, which is used only for its national languages.
///
/// Also for the joined bytes of several parts. Joining before decoding is better than after, because some peers cut
/// escape pairs and surrogate pairs.
pub fn decode_text(
    data_coding: DataCoding,
    default: DefaultAlphabet,
    header: Header<'_>,
    bytes: &[u8],
) -> Option<String> {
    let mut text = String::new();
    match data_coding.charset(default) {
        Charset::Gsm7 => Tables::national(header.single_shift(), header.locking_shift()).decode(bytes, &mut text),
        Charset::Ascii => text.extend(bytes.iter().map(|&byte| ascii(byte))),
        Charset::Latin1 => text.extend(bytes.iter().map(|&byte| char::from(byte))),
        Charset::Cyrillic => text.extend(bytes.iter().map(|&byte| cyrillic(byte))),
        Charset::Hebrew => text.extend(bytes.iter().map(|&byte| hebrew(byte))),
        Charset::Ucs2 => ucs2::decode(bytes, &mut text),
        Charset::Binary | Charset::Other => return None,
    }
    Some(text)
}

fn ascii(byte: u8) -> char {
    if byte.is_ascii() { byte.into() } else { char::REPLACEMENT_CHARACTER }
}

/// The character of a byte in ISO 8859-5.
fn cyrillic(byte: u8) -> char {
    let point = match byte {
        0xA1..=0xAC | 0xAE..=0xEF | 0xF1..=0xFC | 0xFE..=0xFF => u32::from(byte) - 0xA0 + 0x400,
        0xF0 => 0x2116,
        0xFD => 0xA7,
        0x00..=0xA0 | 0xAD => byte.into(),
    };
    char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The character of a byte in ISO 8859-8.
fn hebrew(byte: u8) -> char {
    let point = match byte {
        0xE0..=0xFA => u32::from(byte) - 0xE0 + 0x5D0,
        0xAA => 0xD7,
        0xBA => 0xF7,
        0xDF => 0x2017,
        0xFD => 0x200E,
        0xFE => 0x200F,
        0x00..=0xA0 | 0xA2..=0xA9 | 0xAB..=0xB9 | 0xBB..=0xBE => byte.into(),
        0xA1 | 0xBF..=0xDE | 0xFB..=0xFC | 0xFF => return char::REPLACEMENT_CHARACTER,
    };
    char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// A long message of which parts are still missing. The caller keeps one for each combination of sender, recipient and
/// reference, and limits their number.
#[derive(Debug, Clone, Default)]
pub struct Reassembly {
    parts: Vec<Option<Vec<u8>>>,
    missing: usize,
}

impl Reassembly {
    /// A message of `total` parts (1–255).
    pub fn new(total: u8) -> Self {
        Self { parts: vec![None; total.into()], missing: total.into() }
    }

    /// Adds a part's bytes, without its header. False if the number is not that of a part or the part is already present: then
    /// the first one is kept.
    pub fn insert(&mut self, number: u8, bytes: &[u8]) -> bool {
        let place = usize::from(number).checked_sub(1).and_then(|index| self.parts.get_mut(index));
        match place {
            Some(place @ None) => {
                *place = Some(bytes.to_vec());
                self.missing -= 1;
                true
            }
            Some(Some(_)) | None => false,
        }
    }

    /// Number of parts that are still missing.
    pub const fn missing(&self) -> usize {
        self.missing
    }

    /// All bytes in order; `None` while a part is missing.
    pub fn whole(&self) -> Option<Vec<u8>> {
        (self.missing == 0).then(|| self.parts.iter().flatten().flatten().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(data_coding: u8, default: DefaultAlphabet, bytes: &[u8]) -> Option<String> {
        decode_user_data(DataCoding(data_coding), default, false, bytes).text
    }

    #[test]
    fn every_coding_finds_its_decoder() {
        let gsm7 = DefaultAlphabet::Gsm7;
        let cases: [(u8, DefaultAlphabet, &[u8], Option<&str>); 18] = [
            (0x00, gsm7, b"\x00\x1B\x65", Some("@€")),
            (0x00, DefaultAlphabet::Latin1, b"@\xE4", Some("@ä")),
            (0x00, DefaultAlphabet::Ascii, b"@\xE4", Some("@\u{FFFD}")),
            (0x01, gsm7, b"@$_", Some("@$_")),
            (0x03, gsm7, b"\xE9\xFF", Some("éÿ")),
            (0x02, gsm7, b"abc", None),
            (0x04, gsm7, b"abc", None),
            (0x06, gsm7, b"\xBF\xE0\xF0", Some("Пр№")),
            (0x07, gsm7, b"\xF9\xEC\xE5\xED", Some("שלום")),
            (0x08, gsm7, b"\x04\x16\xD8\x3D\xDE\x00", Some("Ж😀")),
            (0x0D, gsm7, b"abc", None),
            (0x10, gsm7, b"\x02", Some("$")),
            (0x18, gsm7, b"\x00a", Some("a")),
            (0x20, gsm7, b"abc", None),
            (0xC8, gsm7, b"\x11", Some("_")),
            (0xE0, gsm7, b"\x00a", Some("a")),
            (0xF0, gsm7, b"\x02", Some("$")),
            (0xF5, gsm7, b"abc", None),
        ];
        for (data_coding, default, bytes, expected) in cases {
            assert_eq!(text(data_coding, default, bytes).as_deref(), expected, "{data_coding:02X} {default:?}");
        }
    }

    #[test]
    fn broken_utf16_is_read_as_far_as_it_goes() {
        let cases: [(&[u8], &str); 5] = [
            (b"\x00a\x00", "a"),
            (b"\xD8\x3D\x00a", "\u{FFFD}a"),
            (b"\xDE\x00", "\u{FFFD}"),
            (b"\xFE\xFF\x04\x16", "Ж"),
            (b"\xFF\xFE\x16\x04", "Ж"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(text(8, DefaultAlphabet::Gsm7, bytes).as_deref(), Some(expected), "{bytes:02X?}");
        }
    }

    #[test]
    fn parts_come_in_any_order_and_twice() {
        let mut message = Reassembly::new(3);
        assert!(message.insert(3, b"c"));
        assert!(message.insert(1, b"a"));
        assert!(!message.insert(1, b"x"), "the first stays");
        assert!(!message.insert(0, b"x"));
        assert!(!message.insert(4, b"x"));
        assert_eq!((message.missing(), message.whole()), (1, None));
        assert!(message.insert(2, b"b"));
        assert_eq!((message.missing(), message.whole().as_deref()), (0, Some(&b"abc"[..])));
    }

    proptest! {
        #[test]
        fn no_user_data_is_too_odd(
            data_coding in any::<u8>(),
            has_header in any::<bool>(),
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            for default in [DefaultAlphabet::Gsm7, DefaultAlphabet::Latin1, DefaultAlphabet::Ascii] {
                let read = decode_user_data(DataCoding(data_coding), default, has_header, &bytes);
                prop_assert!(read.bytes.len() <= bytes.len());
                read.concatenation();
            }
        }
    }
}
