//! The GSM alphabet: encoding and decoding.

use super::super::national::Language;
use super::*;
use proptest::prelude::*;

/// 3GPP TS 23.038 §6.2.1 in the order of the septets; the escape shown as '\u{1B}'.
const ALPHABET: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{1B}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                        ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// §6.2.1.1.
const EXTENSIONS: [(char, u8); 10] = [
    ('\u{C}', 0x0A),
    ('^', 0x14),
    ('{', 0x28),
    ('}', 0x29),
    ('\\', 0x2F),
    ('[', 0x3C),
    ('~', 0x3D),
    (']', 0x3E),
    ('|', 0x40),
    ('€', 0x65),
];

fn encoded(tables: Tables, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    tables.encode(text, &mut out).expect("representable");
    assert_eq!(tables.count(text), Ok(out.len()));
    out
}

fn decoded(tables: Tables, septets: &[u8]) -> String {
    let mut out = String::new();
    tables.decode(septets, &mut out);
    out
}

#[test]
fn the_default_tables_are_those_of_the_specification() {
    assert_eq!(ALPHABET.chars().count(), 128);
    for (septet, character) in ALPHABET.chars().enumerate().filter(|&(septet, _)| septet != 0x1B) {
        assert_eq!(encoded(Tables::DEFAULT, &character.to_string()), [septet as u8], "{character:?}");
        assert_eq!(decoded(Tables::DEFAULT, &[septet as u8]), character.to_string());
    }
    for (character, septet) in EXTENSIONS {
        assert_eq!(encoded(Tables::DEFAULT, &character.to_string()), [0x1B, septet], "{character:?}");
        assert_eq!(decoded(Tables::DEFAULT, &[0x1B, septet]), character.to_string());
    }
}

#[test]
fn nothing_else_is_representable() {
    let known = |character| {
        character != '\u{1B}'
            && (ALPHABET.contains(character) || EXTENSIONS.iter().any(|&(extension, _)| extension == character))
    };
    for character in (0..0x3000).filter_map(char::from_u32) {
        assert_eq!(Tables::DEFAULT.septets(character).is_some(), known(character), "{character:?}");
        assert_eq!(Tables::DEFAULT.count(&character.to_string()).is_ok(), known(character), "{character:?}");
    }
}

#[test]
fn the_first_unrepresentable_character_is_named() {
    let refused = |text: &str, character, position| {
        let expected = Unrepresentable { character, position };
        assert_eq!(Tables::DEFAULT.count(text), Err(expected));
        assert_eq!(Tables::DEFAULT.encode(text, &mut Vec::new()), Err(expected));
    };
    refused("it's `so`", '`', 5);
    refused("äöü ş ğ", 'ş', 4);
    refused("€{}\u{1F600}", '\u{1F600}', 3);
    refused("tab\there", '\t', 3);
}

#[test]
fn odd_escapes_read_as_a_handset_reads_them() {
    let cases: [(&[u8], &str); 5] = [
        (&[0x1B], " "),
        (&[0x1B, 0x1B, 0x41], " A"),
        (&[0x1B, 0x41], "A"),
        (&[0x41, 0x1B, 0x65, 0x1B], "A€ "),
        (&[0xC1, 0x9B, 0xE5], "A€"),
    ];
    for (septets, text) in cases {
        assert_eq!(decoded(Tables::DEFAULT, septets), text, "{septets:02X?}");
    }
}

/// Single shift, locking shift, text, septets.
type Case = (Option<Language>, Option<Language>, &'static str, &'static [u8]);

#[test]
fn national_tables_hold_what_their_languages_need() {
    use Language::{Hindi, Kannada, Malayalam, Portuguese, Spanish, Tamil, Telugu, Turkish, Urdu};
    let cases: [Case; 12] = [
        (Some(Turkish), None, "ğĞşŞıİç€", b"\x1Bg\x1BG\x1Bs\x1BS\x1Bi\x1BI\x1Bc\x1Be"),
        (None, Some(Turkish), "ğĞşŞıİç€", b"\x0C\x0B\x1D\x1C\x07\x40\x60\x04"),
        (Some(Spanish), None, "áéíóúñç", b"\x1Ba\x05\x1Bi\x1Bo\x1Bu\x7D\x1B\x09"),
        (Some(Portuguese), None, "ãõâÊ", b"\x1B\x7B\x1B\x7C\x1B\x7F\x1B\x1F"),
        (None, Some(Portuguese), "ãõâÊ∞|", b"\x7B\x7C\x1D\x1E\x15\x1A"),
        (None, Some(Hindi), "नमस्ते, ", b"\x2F\x42\x4C\x5F\x27\x59\x2C\x20"),
        (Some(Hindi), Some(Hindi), "१।", b"\x1B\x1D\x1B\x19"),
        (None, Some(Kannada), "ಡಪ", b"\x24\x3D"),
        (Some(Kannada), None, "[]", b"\x1B\x3C\x1B\x3E"),
        (None, Some(Malayalam), ",.", b"\x2C\x2E"),
        (Some(Telugu), None, "€", b"\x1B\x65"),
        (Some(Urdu), Some(Tamil), "அ۴", b"\x03\x1B\x20"),
    ];
    for (single, locking, text, septets) in cases {
        let tables = Tables::national(single, locking);
        assert_eq!(encoded(tables, text), septets, "{single:?} {locking:?}");
        assert_eq!(decoded(tables, septets), text);
    }
}

/// One letter of each table whose position was read from the specification's printed table, so that a shifted row is found.
#[test]
fn the_last_letter_before_z_stands_where_it_should() {
    let last = [
        (Language::Bengali, '\u{9F1}', '\u{9FA}', 0x34),
        (Language::Gujarati, '\u{AF1}', '\u{AEF}', 0x25),
        (Language::Hindi, '\u{97F}', '\u{971}', 0x3A),
        (Language::Kannada, '\u{CE3}', '\u{CF2}', 0x2A),
        (Language::Malayalam, '\u{D79}', '\u{D7F}', 0x34),
        (Language::Oriya, '\u{B63}', '\u{B71}', 0x2C),
        (Language::Punjabi, '\u{A74}', '\u{A75}', 0x2D),
        (Language::Tamil, '\u{BF9}', '\u{BFA}', 0x2E),
        (Language::Telugu, '\u{C63}', '\u{C7F}', 0x32),
        (Language::Urdu, '\u{670}', '\u{6D4}', 0x3F),
    ];
    for (language, in_locking, in_single, septet) in last {
        assert_eq!(decoded(Tables::national(None, Some(language)), &[0x7F]), in_locking.to_string());
        assert_eq!(decoded(Tables::national(Some(language), None), &[0x1B, septet]), in_single.to_string());
        let comma_and_stop = decoded(Tables::national(None, Some(language)), b",.()?az");
        assert_eq!(comma_and_stop, ",.)(?az", "{language:?}: parentheses have the other order");
    }
}

#[test]
fn every_assigned_septet_reads_back() {
    for language in Language::ALL {
        for (single, locking) in [(Some(language), None), (None, Some(language)), (Some(language), Some(language))] {
            let tables = Tables::national(single, locking);
            for septet in (0..128).filter(|&septet| septet != ESCAPE) {
                for septets in [vec![septet], vec![ESCAPE, septet]] {
                    let text = decoded(tables, &septets);
                    if text != " " {
                        assert_eq!(decoded(tables, &encoded(tables, &text)), text, "{language:?} {septets:02X?}");
                    }
                }
            }
        }
    }
}

#[test]
fn packing_is_that_of_the_specification() {
    let packed = |septets: &[u8], fill| {
        let mut out = Vec::new();
        pack(septets, fill, &mut out);
        out
    };
    assert_eq!(packed(b"hellohello", 0), [0xE8, 0x32, 0x9B, 0xFD, 0x46, 0x97, 0xD9, 0xEC, 0x37]);
    assert_eq!(packed(b"A", 1), [0x82]);
    assert_eq!(packed(&[b'z'; 160], 0).len(), 140);
    assert_eq!(packed(&[b'z'; 153], fill_bits(6)).len(), 134);
    assert_eq!(packed(&[b'z'; 152], fill_bits(7)).len(), 133);
    assert_eq!([0, 4, 6, 7, 10, 13].map(fill_bits), [0, 3, 1, 0, 4, 1]);
}

proptest! {
    #[test]
    fn packing_reverses(septets in prop::collection::vec(0u8..128, 0..300), fill in 0u8..7) {
        let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
        pack(&septets, fill, &mut packed);
        unpack(&packed, fill, septets.len(), &mut unpacked);
        prop_assert_eq!(unpacked, septets);
    }

    #[test]
    fn ascii_counts_as_its_characters_do(text in "[ -~\n\r\u{C}]{0,300}") {
        let one_by_one = text.chars().try_fold(0, |sum, c| Some(sum + usize::from(Tables::DEFAULT.septets(c)?)));
        prop_assert_eq!(count_ascii(&text), one_by_one);
    }

    #[test]
    fn decoding_never_fails(bytes in prop::collection::vec(any::<u8>(), 0..300), single in 0u8..20, locking in 0u8..20) {
        let tables = Tables::national(Language::from_identifier(single), Language::from_identifier(locking));
        decoded(tables, &bytes);
        unpack(&bytes, single, 200, &mut Vec::new());
    }
}
