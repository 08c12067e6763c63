//! To which numbers messages may go: lists of numbers and of beginnings of numbers.
//!
//! Knows digits. Refuses to know whose lists they are and what becomes of a message. A look-up costs one search for each digit of
//! the number, at most 15, however many entries there are.

use std::collections::BTreeSet;

use crate::model::{Beginnings, Msisdn, Prefix};

/// Most entries of a list.
pub const LISTED_MAX: usize = 100_000;

/// Numbers, whole or by their first digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberList {
    whole: BTreeSet<u64>,
    beginnings: BTreeSet<Prefix>,
}

/// The numbers to which messages may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// Only these; empty: any.
    pub allow: NumberList,
    /// Not these, even if they are allowed.
    pub block: NumberList,
}

impl NumberList {
    /// Adds an entry: a number in international form, or its first digits followed by `*`; both with or without `+`. False if it
    /// is neither.
    #[must_use]
    pub fn add(&mut self, entry: &str) -> bool {
        let entry = entry.strip_prefix('+').unwrap_or(entry);
        let Some(beginning) = entry.strip_suffix('*') else {
            let number = Msisdn::from_digits(entry.as_bytes());
            return number.map(|number| self.whole.insert(number.number())).is_some();
        };
        // No number begins with 0.
        let beginning = Prefix::new(beginning).filter(|_| !beginning.starts_with('0'));
        beginning.map(|beginning| self.beginnings.insert(beginning)).is_some()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.beginnings.is_empty()
    }

    /// Whether a number, or a beginning of it, is listed.
    pub fn has(&self, number: Msisdn) -> bool {
        let begins = || Beginnings::of(number).iter().any(|beginning| self.beginnings.contains(&beginning));
        self.whole.contains(&number.number()) || !self.beginnings.is_empty() && begins()
    }
}

impl Recipients {
    /// Whether messages may go to that number.
    pub fn may_be(&self, to: Msisdn) -> bool {
        (self.allow.is_empty() || self.allow.has(to)) && !self.block.has(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> NumberList {
        let mut list = NumberList::default();
        entries.iter().for_each(|entry| assert!(list.add(entry), "{entry}"));
        list
    }

    #[test]
    fn numbers_are_listed_whole_or_by_their_beginning() {
        let list = list(&["+49151*", "436601234567", "+1*", "123456789012345*", "+999999999999999"]);
        let has = |number| list.has(Msisdn::from_number(number).expect("a number"));
        for listed in [4_915_112_345_678, 436_601_234_567, 1_000_000, 123_456_789_012_345, 999_999_999_999_999] {
            assert!(has(listed), "{listed}");
        }
        for other in [4_915_212_345_678, 436_601_234_568, 43_660_123_456, 4_366_012_345_670, 999_999_999_999_998] {
            assert!(!has(other), "{other}");
        }
        let mut list = NumberList::default();
        for wrong in
            ["", "+", "*", "+*", "049*", "4x*", "123456", "0151123456", "+49 151*", "1234567890123456*", "49**"]
        {
            assert!(!list.add(wrong), "{wrong}");
        }
        assert!(list.is_empty() && !list.has(Msisdn::from_number(1_000_000).expect("a number")));
    }

    #[test]
    fn what_is_blocked_is_not_allowed() {
        let to = |number| Msisdn::from_number(number).expect("a number");
        let recipients = Recipients { allow: list(&["49*", "43*"]), block: list(&["49900*", "4915112345678"]) };
        let may = [4_915_112_345_679, 436_601_234_567, 4_990_012_345, 4_915_112_345_678, 33_612_345_678];
        assert_eq!(may.map(|number| recipients.may_be(to(number))), [true, true, false, false, false]);
        assert!(Recipients::default().may_be(to(33_612_345_678)));
    }
}
