//! Base64 as in RFC 4648 §4, decoding only: the standard alphabet, optional padding, no other characters in between.

const NONE: u8 = 0xFF;

const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < alphabet.len() {
        values[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// Why a text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBase64 {
    /// The character at this byte is not in the alphabet.
    BadCharacter(usize),
    /// The text ends in the middle of a byte, or its last bits are not zero.
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
    out.reserve(bytes.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for (at, byte) in bytes.iter().enumerate() {
        let value = VALUES[usize::from(*byte)];
        if value == NONE {
            return Err(NotBase64::BadCharacter(at));
        }
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count == 6 || bits & ((1 << count) - 1) != 0 { Err(NotBase64::BadEnd) } else { Ok(()) }
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
            ("Zg===", NotBase64::BadCharacter(2)),
            ("====", NotBase64::BadCharacter(0)),
            ("Zé", NotBase64::BadCharacter(1)),
            ("Z", NotBase64::BadEnd),
            ("Zh==", NotBase64::BadEnd),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }
}
