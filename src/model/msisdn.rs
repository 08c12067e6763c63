//! A recipient's number in international form. Whether such a number can exist is the numbering plan's business
//! (room `admission`); here only its shape counts.

use std::fmt;

/// 7 to 15 digits of E.164 without `+`, as a number: the recipient is the address of everything.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msisdn(u64);

impl Msisdn {
    /// Fewest digits of an international number that can receive anything.
    pub const DIGITS_MIN: usize = 7;
    /// Most digits (ITU-T E.164 §6).
    pub const DIGITS_MAX: usize = 15;

    /// From digits alone, without `+`, not beginning with 0.
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        if !(Self::DIGITS_MIN..=Self::DIGITS_MAX).contains(&digits.len()) || digits.first() == Some(&b'0') {
            return None;
        }
        digits
            .iter()
            .try_fold(0_u64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
            .map(Self)
    }

    /// From a number as kept on disk or on the wire between rooms.
    pub const fn from_number(number: u64) -> Option<Self> {
        if number >= 1_000_000 && number < 1_000_000_000_000_000 { Some(Self(number)) } else { None }
    }

    /// The digits as one number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The digits as text into `out`; returns them.
    pub fn write_digits(self, out: &mut [u8; 15]) -> &str {
        let (mut number, mut at) = (self.0, out.len());
        while number > 0 && at > 0 {
            at -= 1;
            out[at] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        std::str::from_utf8(&out[at..]).unwrap_or_default()
    }

    /// For logs: the first five digits and the last two.
    pub fn masked(self) -> String {
        let mut digits = [0; 15];
        let text = self.write_digits(&mut digits);
        let hidden = text.len().saturating_sub(7);
        format!("{}{}{}", &text[..5.min(text.len())], "*".repeat(hidden), &text[text.len().saturating_sub(2)..])
    }
}

impl fmt::Display for Msisdn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.write_digits(&mut [0; 15]))
    }
}

/// Masked: debug output ends in logs.
impl fmt::Debug for Msisdn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_digits_and_masks_them() {
        let number = Msisdn::from_digits(b"4915112345678").expect("valid");
        assert_eq!(number.to_string(), "4915112345678");
        assert_eq!(number.masked(), "49151******78");
        assert_eq!(Msisdn::from_number(number.number()), Some(number));
    }

    #[test]
    fn refuses_what_has_no_shape() {
        for bad in ["", "123456", "0491511234567", "1234567890123456", "49151x234567", "+4915112345678"] {
            assert_eq!(Msisdn::from_digits(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Msisdn::from_number(10_u64.pow(15)), None);
    }
}
