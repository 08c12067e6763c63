//! A text that a phone on the page writes to one of the daemon's numbers: its recipient, its length, how often phones may
//! write, and the parts that the carrier delivers for it. Pure: the time is an argument. Knows no sockets and pages, and not
//! what becomes of the parts.

use std::collections::VecDeque;

use super::inbox::Part;
use stentor_core::model::{Mono, Now, Quoted};
use stentor_smpp::split::{CarrierText, Content, Parts, Plan, Splitting};

/// Most characters of one text; people type less.
pub(super) const TEXT_CHARS_MAX: usize = 1_000;
/// Most texts of all phones in any second.
const TEXTS_PER_S_MAX: usize = 20;
/// Most parts that may wait for the daemon; a single text has fewer.
pub(super) const PARTS_WAITING_MAX: usize = 1_000;

/// ITU-T E.164: no number has more digits.
const DIGITS_MAX: usize = 15;
/// The shortest number of a phone, with its country code.
const PHONE_DIGITS_MIN: usize = 7;
/// The shortest number that can be written to.
const SHORT_DIGITS_MIN: usize = 3;

const SECOND_NS: u64 = 1_000_000_000;

/// A text as posted by the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    /// The phone's number.
    pub(super) from: &'a str,
    /// The daemon's number.
    pub(super) to: &'a str,
    /// What was written.
    pub(super) text: &'a str,
}

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Something is wrong with the text; in words for the person who wrote it.
    Flaw(String),
    /// More than [`TEXTS_PER_S_MAX`].
    TooOften,
    /// [`PARTS_WAITING_MAX`] are reached.
    TooManyWait,
}

impl Text<'_> {
    /// The text's parts; the first has id `first_id`, and the others the ids after it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn parts(&self, now: Now, first_id: u64) -> Result<Vec<Part>, Refused> {
        let (from, to) = (dialled(self.from), dialled(self.to));
        if !from.strip_prefix('+').is_some_and(|digits| is_number(digits, PHONE_DIGITS_MIN)) {
            let what = "a phone needs an international number, such as +4915112340000";
            return Err(Refused::Flaw(format!("{}: {what}", Quoted(self.from))));
        }
        if !is_number(to.strip_prefix('+').unwrap_or(&to), SHORT_DIGITS_MIN) {
            let what = "a phone can only write to numbers, such as 72345 or +4915112345678";
            return Err(Refused::Flaw(format!("{}: {what}", Quoted(self.to))));
        }
        let characters = self.text.chars().count();
        if !(1..=TEXT_CHARS_MAX).contains(&characters) {
            return Err(Refused::Flaw(format!("a text must have 1 to {TEXT_CHARS_MAX} characters, not {characters}")));
        }
        // The reference number repeats only after a long time: a text written twice is not mistaken for one delivered twice.
        let carrier = CarrierText { splitting: Splitting::Udh16, ..CarrierText::default() };
        let content = Content::text(self.text);
        let plan =
            Plan::new(&content, &carrier).map_err(|_| Refused::Flaw("this text cannot be encoded".to_owned()))?;
        let mut cut = Parts::new(content, plan, (first_id & 0xFFFF) as u16);
        let (mut parts, mut user_data) = (Vec::new(), Vec::new());
        while let Some(part) = cut.next_into(&mut user_data) {
            parts.push(Part {
                at_ms: now.wall.0,
                to: to.clone(),
                from: from.clone(),
                data_coding: part.data_coding.0,
                has_header: part.has_header,
                user_data: user_data.clone(),
                id: first_id + parts.len() as u64,
            });
        }
        Ok(parts)
    }
}

/// The number without the characters that people write between digits.
fn dialled(typed: &str) -> String {
    typed.chars().filter(|c| !c.is_whitespace() && !"-./()".contains(*c)).collect()
}

fn is_number(digits: &str, digits_min: usize) -> bool {
    (digits_min..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The times at which phones wrote, within the last second: at most [`TEXTS_PER_S_MAX`].
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Mono>);

impl Pace {
    /// Whether one more text is allowed; if so, it counts.
    pub(super) fn take(&mut self, now: Mono) -> bool {
        while self.0.front().is_some_and(|at| now.since(*at) >= SECOND_NS) {
            self.0.pop_front();
        }
        let fits = self.0.len() < TEXTS_PER_S_MAX;
        if fits {
            self.0.push_back(now);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_core::model::Wall;

    fn parts(from: &str, to: &str, text: &str) -> Result<Vec<Part>, Refused> {
        Text { from, to, text }.parts(Now { mono: Mono(0), wall: Wall(7) }, 0x1_0005)
    }

    #[test]
    fn a_short_text_is_one_part() {
        let part = Part {
            at_ms: 7,
            to: "72345".to_owned(),
            from: "+4915112340000".to_owned(),
            user_data: b"caf\x05".to_vec(),
            id: 0x1_0005,
            ..Part::default()
        };
        assert_eq!(parts("+49 (151) 1234-0000", "7 23.45", "café"), Ok(vec![part]));
    }

    #[test]
    fn a_long_text_is_numbered_parts() {
        let parts = parts("+4915112340000", "72345", &"Ж".repeat(100)).expect("a text");
        let heads: Vec<_> = parts.iter().map(|part| (part.id, part.data_coding, &part.user_data[..7])).collect();
        assert_eq!(heads, [(0x1_0005, 8, &[6, 8, 4, 0, 5, 2, 1][..]), (0x1_0006, 8, &[6, 8, 4, 0, 5, 2, 2])]);
        assert!(parts.iter().all(|part| part.has_header && part.user_data.len() <= 140));
    }

    #[test]
    fn the_longest_text_waits_in_room_for_it() {
        let parts = parts("+4915112340000", "72345", &"👋".repeat(TEXT_CHARS_MAX)).expect("a text");
        assert!(parts.len() < PARTS_WAITING_MAX / 10, "{}", parts.len());
        assert!(parts.len() <= usize::from(stentor_core::model::limits::HANDSET_PARTS_MAX), "more would not be joined");
    }

    #[test]
    fn what_no_phone_could_write_is_refused() {
        let (phone, long) = ("+4915112340000", "x".repeat(TEXT_CHARS_MAX + 1));
        for (from, to, text, told) in [
            ("", "72345", "x", "international number"),
            ("4915112340000", "72345", "x", "international number"),
            ("+491511", "72345", "x", "international number"),
            ("+4915112340000000", "72345", "x", "international number"),
            ("+49151123ABCD", "72345", "x", "international number"),
            (phone, "Stentor", "x", "\"Stentor\": a phone can only write to numbers"),
            (phone, "12", "x", "can only write to numbers"),
            (phone, "1234567890123456", "x", "can only write to numbers"),
            (phone, "+", "x", "can only write to numbers"),
            (phone, "١٢٣٤", "x", "can only write to numbers"),
            (phone, "72345", "", "1 to 1000 characters, not 0"),
            (phone, "72345", &long, "1 to 1000 characters, not 1001"),
        ] {
            let Err(Refused::Flaw(flaw)) = parts(from, to, text) else { panic!("{from:?} {to:?} was taken") };
            assert!(flaw.contains(told), "{flaw}");
        }
    }

    #[test]
    fn the_pace_holds_in_any_second() {
        let mut pace = Pace::default();
        let taken = |pace: &mut Pace, at_ms: u64| pace.take(Mono(at_ms * 1_000_000));
        let first = (0..2 * TEXTS_PER_S_MAX as u64).filter(|at| taken(&mut pace, *at)).count();
        assert_eq!(first, TEXTS_PER_S_MAX);
        assert!(!taken(&mut pace, 999) && taken(&mut pace, 1_000) && !taken(&mut pace, 1_000));
        assert_eq!(pace.0.len(), TEXTS_PER_S_MAX);
    }
}
