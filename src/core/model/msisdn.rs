//! A recipient's number in international form. Only its shape is checked here; whether such a number can exist is
//! checked by the numbering plan (room `admission`).

use std::fmt;

/// 7 to 15 digits of E.164 without `+`, as a number: it decides which shard a message belongs to.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Msisdn(u64);

impl Msisdn {
    /// Fewest digits of an international number that can receive anything.
    pub const DIGITS_MIN: usize = 7;
    /// Most digits (ITU-T E.164 §6).
    pub const DIGITS_MAX: usize = 15;

    /// A number from its digits, without `+`; it must not begin with 0.
    pub fn from_digits(digits: &[u8]) -> Option<Self> {
        if !(Self::DIGITS_MIN..=Self::DIGITS_MAX).contains(&digits.len()) || digits.first() == Some(&b'0') {
            return None;
        }
        digits
            .iter()
            .try_fold(0_u64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
            .map(Self)
    }

    /// A number as kept on disk or passed between rooms; `None` if its length is not valid.
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

    /// For logs: the first five digits and the last two; the rest is masked.
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

/// The last seven digits of a number: they stay the same however it is written, with or without country code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tail(u32);

impl Tail {
    const DIGITS: usize = 7;
    /// For an address that is too short, masked, or not a number.
    pub const NONE: Self = Self(u32::MAX);

    /// The tail of a number in international form; 0, which means "no number", gives [`Self::NONE`].
    pub const fn of(number: u64) -> Self {
        if number == 0 { Self::NONE } else { Self((number % 10_u64.pow(Self::DIGITS as u32)) as u32) }
    }

    /// The tail of an address as a carrier wrote it: `+`, country code and leading zeros may be there or not.
    pub fn of_written(address: &[u8]) -> Self {
        let digits = address.strip_prefix(b"+").unwrap_or(address);
        match digits.split_at_checked(digits.len().wrapping_sub(Self::DIGITS)) {
            Some((front, last)) if front.iter().chain(last).all(u8::is_ascii_digit) => {
                Self(last.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
            }
            Some(_) | None => Self::NONE,
        }
    }

    /// Whether there is no tail.
    pub const fn is_none(self) -> bool {
        self.0 == Self::NONE.0
    }

    /// As kept on disk.
    pub const fn index(self) -> u32 {
        self.0
    }

    /// As read back from disk.
    pub const fn from_index(index: u32) -> Self {
        Self(index)
    }
}

impl Default for Tail {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_same_in_every_spelling() {
        let spelled = ["+4915112345678", "4915112345678", "004915112345678", "015112345678", "15112345678", "2345678"];
        for address in spelled {
            assert_eq!(Tail::of_written(address.as_bytes()), Tail::of(4_915_112_345_678), "{address}");
        }
        assert_eq!(Tail::of_written(b"0000001"), Tail::of(491_510_000_001));
        for nothing in ["", "+", "345678", "49151xxxx678", "4915112345***", "ACME", "INFO1234567", "+49 151 12345678"] {
            assert!(Tail::of_written(nothing.as_bytes()).is_none(), "{nothing}");
        }
        assert!(Tail::of(0).is_none() && Tail::default().is_none());
    }

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
