//! First digits of numbers: of routes, and of lists of recipients.

use std::fmt;

use super::msisdn::Msisdn;

/// First digits of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    digits: u8,
    number: u64,
}

/// The first digits of a number, by how many they are: one comparison decides on a prefix, and there may be hundreds.
#[derive(Clone, Copy, Debug)]
pub struct Beginnings([u64; Msisdn::DIGITS_MAX + 1]);

impl Prefix {
    /// A prefix of 1 to 15 digits; `None` for anything else.
    pub fn new(text: &str) -> Option<Self> {
        let is_good =
            (1..=Msisdn::DIGITS_MAX).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_good)?;
        Some(Self { digits: text.len() as u8, number })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:0digits$}", self.number, digits = usize::from(self.digits))
    }
}

impl Beginnings {
    /// Those of a number.
    pub fn of(number: Msisdn) -> Self {
        let mut rest = number.number();
        // No number begins so.
        let mut all = [u64::MAX; Msisdn::DIGITS_MAX + 1];
        for at in (1..=rest.checked_ilog10().map_or(0, |log| log as usize + 1)).rev() {
            all[at] = rest;
            rest /= 10;
        }
        Self(all)
    }

    /// Each of them, the shortest first.
    pub fn iter(&self) -> impl Iterator<Item = Prefix> {
        let own = (0_u8..).zip(self.0).filter(|(_, number)| *number != u64::MAX);
        own.map(|(digits, number)| Prefix { digits, number })
    }

    /// Whether the number begins with these digits.
    pub const fn begins_with(&self, prefix: Prefix) -> bool {
        self.0[prefix.digits as usize] == prefix.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_compared_digit_by_digit() {
        let prefix = |text| Prefix::new(text).expect("digits");
        let begins =
            |number, text| Beginnings::of(Msisdn::from_number(number).expect("a number")).begins_with(prefix(text));
        for (number, text) in [(4_915_112_345, "4"), (4_915_112_345, "49151"), (123_456_789_012_345, "123456789012345")]
        {
            assert!(begins(number, text), "{number} {text}");
        }
        for (number, text) in
            [(4_915_112_345, "5"), (4_915_112_345, "049"), (1_000_000, "10000000"), (4_915_112, "49152")]
        {
            assert!(!begins(number, text), "{number} {text}");
        }
        assert_eq!(["", "1234567890123456", "4a", "+49"].map(Prefix::new), [None; 4]);
        assert_eq!(["049", "7"].map(|text| prefix(text).to_string()), ["049", "7"]);
    }
}
