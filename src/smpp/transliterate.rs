//! Writing a text in characters that GSM 7-bit holds, where a reader would hardly notice.
//!
//! Knows: typographic marks and blanks, ligatures, Latin letters with marks. Refuses to know: other scripts; a text
//! in them is not what its author wrote once it is in Latin letters, so their characters stay.

use super::gsm7::Tables;
use std::borrow::Cow;

/// The text with every character replaced that has a plain equivalent and is not in the default tables.
/// Borrowed, and free of allocation, if nothing changes. What has no equivalent stays.
pub fn transliterate(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(|character| replacement(character).is_some()) else {
        return Cow::Borrowed(text);
    };
    let (kept, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len());
    out.push_str(kept);
    for character in rest.chars() {
        match replacement(character) {
            Some(plain) => out.push_str(plain),
            None => out.push(character),
        }
    }
    Cow::Owned(out)
}

fn replacement(character: char) -> Option<&'static str> {
    match Tables::DEFAULT.septets(character) {
        Some(_) => None,
        None => typographic(character).or_else(|| latin(character)),
    }
}

fn typographic(character: char) -> Option<&'static str> {
    Some(match character {
        '`' | '\u{B4}' | '\u{2018}' | '\u{2019}' | '\u{201B}' | '\u{2032}' | '\u{2BC}' | '\u{FF07}' => "'",
        '\u{201A}' => ",",
        '\u{201C}' | '\u{201D}' | '\u{201E}' | '\u{201F}' | '\u{2033}' | '\u{AB}' | '\u{BB}' => "\"",
        '\u{2039}' => "<",
        '\u{203A}' => ">",
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' | '\u{FE58}' | '\u{FF0D}' => "-",
        '\u{2026}' => "...",
        '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' | '\t' => " ",
        '\u{200B}' | '\u{2060}' | '\u{FEFF}' | '\u{AD}' => "",
        '\u{2028}' | '\u{2029}' | '\u{85}' => "\n",
        '\u{2022}' | '\u{B7}' | '\u{2219}' => "*",
        '\u{D7}' => "x",
        '\u{F7}' | '\u{2044}' => "/",
        '\u{A9}' => "(c)",
        '\u{AE}' => "(r)",
        '\u{2122}' => "TM",
        '\u{BA}' | '\u{B0}' => "o",
        '\u{AA}' => "a",
        '\u{B9}' => "1",
        '\u{B2}' => "2",
        '\u{B3}' => "3",
        '\u{BC}' => "1/4",
        '\u{BD}' => "1/2",
        '\u{BE}' => "3/4",
        '\u{2116}' => "No",
        _ => return None,
    })
}

fn latin(character: char) -> Option<&'static str> {
    Some(match character {
        'À' | 'Á' | 'Â' | 'Ã' | 'Ā' | 'Ă' | 'Ą' | 'Ǎ' => "A",
        'á' | 'â' | 'ã' | 'ā' | 'ă' | 'ą' | 'ǎ' => "a",
        'Ć' | 'Ĉ' | 'Ċ' | 'Č' => "C",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'Ď' | 'Đ' | 'Ð' => "D",
        'ď' | 'đ' | 'ð' => "d",
        'È' | 'Ê' | 'Ë' | 'Ē' | 'Ĕ' | 'Ė' | 'Ę' | 'Ě' => "E",
        'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'Ĝ' | 'Ğ' | 'Ġ' | 'Ģ' => "G",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'Ĥ' | 'Ħ' => "H",
        'ĥ' | 'ħ' => "h",
        'Ì' | 'Í' | 'Î' | 'Ï' | 'Ĩ' | 'Ī' | 'Ĭ' | 'Į' | 'İ' => "I",
        'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'Ĵ' => "J",
        'ĵ' => "j",
        'Ķ' => "K",
        'ķ' => "k",
        'Ĺ' | 'Ļ' | 'Ľ' | 'Ŀ' | 'Ł' => "L",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'Ń' | 'Ņ' | 'Ň' => "N",
        'ń' | 'ņ' | 'ň' => "n",
        'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ō' | 'Ŏ' | 'Ő' | 'Ơ' => "O",
        'ó' | 'ô' | 'õ' | 'ō' | 'ŏ' | 'ő' | 'ơ' => "o",
        'Ŕ' | 'Ŗ' | 'Ř' => "R",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'Ś' | 'Ŝ' | 'Ş' | 'Š' | 'Ș' => "S",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'Ţ' | 'Ť' | 'Ŧ' | 'Ț' => "T",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'Ù' | 'Ú' | 'Û' | 'Ũ' | 'Ū' | 'Ŭ' | 'Ů' | 'Ű' | 'Ų' | 'Ư' => "U",
        'ú' | 'û' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ư' => "u",
        'Ŵ' => "W",
        'ŵ' => "w",
        'Ý' | 'Ŷ' | 'Ÿ' => "Y",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'Ź' | 'Ż' | 'Ž' => "Z",
        'ź' | 'ż' | 'ž' => "z",
        'Þ' => "Th",
        'þ' => "th",
        'Œ' => "OE",
        'œ' => "oe",
        'ẞ' => "SS",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_characters_take_the_place_of_fine_ones() {
        let cases = [
            ("“It’s” – well…", "\"It's\" - well..."),
            ("a\u{A0}b\u{200B}c\td", "a bc d"),
            ("`code`", "'code'"),
            ("Zażółć gęślą jaźń", "Zazolc gesla jazn"),
            ("Çà et là, ça", "Çà et là, ca"),
            ("½ × 3 № 5 ™", "1/2 x 3 No 5 TM"),
        ];
        for (text, expected) in cases {
            assert_eq!(transliterate(text), expected, "{text}");
            assert!(Tables::DEFAULT.count(expected).is_ok(), "{expected}");
        }
    }

    #[test]
    fn what_needs_no_change_is_borrowed_and_other_scripts_stay() {
        for text in ["", "plain", "äöüß €[]", "Привет", "日本 😀"] {
            assert!(matches!(transliterate(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        assert_eq!(transliterate("“Привет”"), "\"Привет\"");
    }

    #[test]
    fn every_replacement_is_representable() {
        for character in (0..0x10FFFF).filter_map(char::from_u32) {
            if let Some(plain) = replacement(character) {
                assert!(Tables::DEFAULT.count(plain).is_ok(), "{character:?} {plain:?}");
            }
        }
    }
}
