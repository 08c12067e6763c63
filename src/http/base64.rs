//! Base64 as in RFC 4648 §4, decoding only: the standard alphabet, optional padding, no other characters in between.

use data_encoding::{BASE64_NOPAD, DecodeError, DecodeKind, DecodePartial};

/// Why a text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBase64 {
    /// The character at this byte is not in the alphabet.
    BadCharacter(usize),
    /// A character is missing at the end, or there is one too many, or its last bits are not zero.
    BadEnd,
}

/// Appends the decoded bytes of `text` to `out`.
///
/// # Errors
/// [`NotBase64`]; what was appended by then is meaningless.
pub fn decode(text: &str, out: &mut Vec<u8>) -> Result<(), NotBase64> {
    let bytes = match text.as_bytes() {
        [whole @ .., b'=', b'='] if text.len().is_multiple_of(4) => whole,
        [whole @ .., b'='] if text.len().is_multiple_of(4) => whole,
        whole => whole,
    };
    let not_base64 = |DecodeError { position, kind }: DecodeError| match kind {
        DecodeKind::Symbol => NotBase64::BadCharacter(position),
        DecodeKind::Length | DecodeKind::Trailing | DecodeKind::Padding => NotBase64::BadEnd,
    };
    let before = out.len();
    out.resize(before + BASE64_NOPAD.decode_len(bytes.len()).map_err(not_base64)?, 0);
    match BASE64_NOPAD.decode_mut(bytes, &mut out[before..]) {
        Ok(_) => Ok(()),
        Err(DecodePartial { error, .. }) => Err(not_base64(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<u8>, NotBase64> {
        let mut out = Vec::new();
        decode(text, &mut out).map(|()| out)
    }

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9vYg", "foob"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(bytes.as_bytes()), "{text}");
        }
        assert_eq!(read("+/+/"), Ok(vec![0xFB, 0xFF, 0xBF]));
    }

    #[test]
    fn what_is_none_says_where() {
        for (text, why) in [
            ("Zm9\n", NotBase64::BadCharacter(3)),
            ("Zm-v", NotBase64::BadCharacter(2)),
            ("Zg===", NotBase64::BadEnd),
            ("====", NotBase64::BadCharacter(0)),
            ("Zé", NotBase64::BadCharacter(1)),
            ("Z", NotBase64::BadEnd),
            ("Zh==", NotBase64::BadEnd),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }
}
