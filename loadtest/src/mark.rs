//! The mark at the head of every generated body, by which the SMSC simulator recognises a message: its serial number
//! and the instant at which it was offered. Written by the generator, read by the simulator; only 7-bit characters, so
//! that it survives every encoding.

/// Length of a mark: `#`, serial (10 digits), blank, microseconds since the Unix epoch (16 digits).
pub(crate) const MARK_LEN: usize = 28;
const SERIAL: std::ops::Range<usize> = 1..11;
const OFFERED: std::ops::Range<usize> = 12..28;

/// The content of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Number of the message within its run, from 0.
    pub serial: u64,
    /// When its request was due to leave, in microseconds since the Unix epoch.
    pub offered_us: u64,
}

impl Mark {
    /// Writes the mark over the first [`MARK_LEN`] bytes of `text`, which must be at least that long.
    pub(crate) fn write(self, text: &mut [u8]) {
        text[0] = b'#';
        write_digits(&mut text[SERIAL], self.serial);
        text[SERIAL.end] = b' ';
        write_digits(&mut text[OFFERED], self.offered_us);
    }

    /// Reads the mark at the head of a text with one byte per character, or of UTF-16BE; `None` if there is none.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        match text {
            [b'#', ..] => Self::read_bytes(text.get(..MARK_LEN)?),
            [0, b'#', ..] => {
                let mut narrow = [0; MARK_LEN];
                for (byte, pair) in narrow.iter_mut().zip(text.get(..2 * MARK_LEN)?.chunks_exact(2)) {
                    *byte = pair[1];
                }
                Self::read_bytes(&narrow)
            }
            _ => None,
        }
    }

    fn read_bytes(text: &[u8]) -> Option<Self> {
        Some(Self { serial: read_digits(text.get(SERIAL)?)?, offered_us: read_digits(text.get(OFFERED)?)? })
    }
}

/// Overwrites `field` with the number, right-aligned and padded with zeros; digits that do not fit are lost at the left.
pub(crate) fn write_digits(field: &mut [u8], mut number: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The number that the field spells in decimal; `None` if it is empty, not all digits, or does not fit.
pub(crate) fn read_digits(field: &[u8]) -> Option<u64> {
    if field.is_empty() || field.len() > 19 {
        return None;
    }
    field.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_one_and_two_bytes_per_character() {
        let mark = Mark { serial: 42, offered_us: 1_795_238_512_123_456 };
        let mut text = *b"#.......................... and a rest";
        mark.write(&mut text);
        assert_eq!(&text[..MARK_LEN], b"#0000000042 1795238512123456");
        assert_eq!(Mark::read(&text), Some(mark));
        let wide: Vec<u8> = text.iter().flat_map(|byte| [0, *byte]).collect();
        assert_eq!(Mark::read(&wide), Some(mark));
    }

    #[test]
    fn absent_or_cut_marks_are_none() {
        for text in [&b""[..], b"#", b"hello", b"#00000000x2 1795238512123456", b"#0000000042 17952385121234", b"\0#\0"]
        {
            assert_eq!(Mark::read(text), None, "{text:?}");
        }
    }
}
