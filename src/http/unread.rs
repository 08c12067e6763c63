//! Why a text that should be JSON cannot be read, in helpful words: what a parser calls "unexpected end of hex escape" is a
//! text that was cut within a character. Knows no call; looks only at what was already refused.

use std::fmt;

use stentor_core::model::Clipped;

/// A byte order mark at the beginning of the text.
pub(super) fn byte_order_mark(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xEF, 0xBB, 0xBF, ..] => Some("it begins with a byte order mark (EF BB BF): remove it"),
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] => Some("it is UTF-16, as its byte order mark shows: send UTF-8"),
        _ => None,
    }
}

/// An escape for one half of a surrogate pair, without the other half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoneSurrogate {
    /// Position of its escape in the text, in bytes.
    pub at: usize,
    unit: u16,
}

impl fmt::Display for LoneSurrogate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, unit } = self;
        write!(out, "a lone surrogate, \\u{unit:04x} at byte {at}: half of a character that was cut in two")
    }
}

/// Replaces each lone surrogate in a mended text: a character that no real text has.
pub(super) const MENDED: char = '\u{FFFF}';

/// The text with [`MENDED`] in place of each lone surrogate, of the same length, and the first of them; `None` if there is none.
pub(super) fn mended(json: &str) -> Option<(String, LoneSurrogate)> {
    let (mut bytes, mut first, mut at) = (Vec::new(), None, 0);
    while let Some(found) = json.as_bytes().get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        at += match (unit(json, at), unit(json, at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(unit @ 0xD800..=0xDFFF), _) => {
                if first.is_none() {
                    bytes = json.as_bytes().to_vec();
                    first = Some(LoneSurrogate { at, unit });
                }
                if let Some(digits) = bytes.get_mut(at + 2..at + 6) {
                    digits.copy_from_slice(b"ffff");
                }
                6
            }
            (Some(_), _) => 6,
            (None, _) => 2,
        };
    }
    first.and_then(|first| Some((String::from_utf8(bytes).ok()?, first)))
}

/// The code unit whose escape is at this position.
fn unit(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// Why the parser refused the text with this error.
pub(super) fn why(json: &[u8], error: &serde_json::Error) -> String {
    if let Some(why) = byte_order_mark(json) {
        return why.to_owned();
    }
    // Only if nothing else is wrong before it; otherwise the parser's error is about something else.
    let text = std::str::from_utf8(json).ok();
    let surrogate = text.and_then(mended).filter(|(mended, lone)| {
        let reads = serde_json::from_str::<serde::de::IgnoredAny>(mended).is_ok();
        reads || error.line() == 1 && error.column() >= lone.at
    });
    surrogate.map_or_else(|| Clipped(error).to_string(), |(_, lone)| lone.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_of_a_pair_is_found_and_a_whole_pair_is_none() {
        let found = |json: &str| mended(json).map(|(mended, lone)| (mended, lone.at, lone.unit));
        for whole in
            [r#""x""#, r#""\ud83c\udf89""#, r#""\\ud83d""#, r#""\u00e9\uFFFD""#, "", "\\", r"\u", r"\ud8", "\\é"]
        {
            assert_eq!(found(whole), None, "{whole}");
        }
        let told = |json: &str, at, unit| Some((json.to_owned(), at, unit));
        assert_eq!(found(r#""a\ud83d""#), told(r#""a\uffff""#, 2, 0xD83D));
        assert_eq!(found(r#""\uDF89 x""#), told(r#""\uffff x""#, 1, 0xDF89));
        assert_eq!(found(r#""\ud83d\ud83d\ude00""#), told(r#""\uffff\ud83d\ude00""#, 1, 0xD83D));
        assert_eq!(found(r#""\ude00\ud83dx\n\ud800""#), told(r#""\uffff\uffffx\n\uffff""#, 1, 0xDE00));
        assert_eq!(found(r#""\\\ud83d""#), told(r#""\\\uffff""#, 3, 0xD83D));
    }

    #[test]
    fn why_a_text_cannot_be_read_is_told_in_words() {
        let why = |json: &[u8]| {
            let error = serde_json::from_slice::<serde_json::Value>(json).expect_err("broken");
            why(json, &error)
        };
        assert!(why(b"\xEF\xBB\xBF{}").contains("byte order mark (EF BB BF)"));
        assert!(why(b"\xFF\xFE{\0}\0").contains("UTF-16"));
        assert!(why(br#"{"a":"\ud83d"}"#).contains(r"a lone surrogate, \ud83d at byte 6"));
        assert_eq!(why(br#"{"a":tru,"b":"\ud83d"}"#), "expected ident at line 1 column 9");
    }
}
