//! What a phone of the page writes to a number of ours: to whom, how long, how often, and the parts that the carrier
//! delivers of it. Pure: the hour is an argument. Refuses to know sockets and pages, and what becomes of the parts.

use std::collections::VecDeque;

use super::inbox::Part;
use stentor_core::model::{Mono, Now, Quoted};
use stentor_smpp::split::{CarrierText, Content, Plan, Segments, Splitting};

/// Characters of one text. A person types less.
pub(super) const TEXT_CHARS_MAX: usize = 1_000;
/// Texts of all phones in any second.
const TEXTS_PER_S_MAX: usize = 20;
/// Parts that the daemon has not taken yet; more than one text has.
pub(super) const PARTS_WAITING_MAX: usize = 1_000;

/// ITU-T E.164: no number has more digits.
const DIGITS_MAX: usize = 15;
/// The shortest number of a phone, with its country's code.
const PHONE_DIGITS_MIN: usize = 7;
/// The shortest number that is written to.
const SHORT_DIGITS_MIN: usize = 3;

const SECOND_NS: u64 = 1_000_000_000;

/// As posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    /// Number of the phone.
    pub(super) from: &'a str,
    /// Number of ours.
    pub(super) to: &'a str,
    /// What was written.
    pub(super) text: &'a str,
}

/// Why a text does not leave the phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Something is wrong with it, in words for whoever wrote it.
    Flaw(String),
    /// [`TEXTS_PER_S_MAX`].
    TooOften,
    /// [`PARTS_WAITING_MAX`].
    TooManyWait,
}

impl Text<'_> {
    /// Its parts; the first has that id, and the others those behind it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parts(&self, now: Now, first_id: u64) -> Result<Vec<Part>, Refused> {
        let (from, to) = (dialled(self.from), dialled(self.to));
        if !from.strip_prefix('+').is_some_and(|digits| is_number(digits, PHONE_DIGITS_MIN)) {
            let what = "a phone has an international number, such as +4915112340000";
            return Err(Refused::Flaw(format!("{}: {what}", Quoted(self.from))));
        }
        if !is_number(to.strip_prefix('+').unwrap_or(&to), SHORT_DIGITS_MIN) {
            let what = "a phone can write to numbers alone, such as 72345 or +4915112345678";
            return Err(Refused::Flaw(format!("{}: {what}", Quoted(self.to))));
        }
        let characters = self.text.chars().count();
        if !(1..=TEXT_CHARS_MAX).contains(&characters) {
            return Err(Refused::Flaw(format!("a text has 1 to {TEXT_CHARS_MAX} characters, not {characters}")));
        }
        // So long until the same numbers of parts come again: a text that repeats is not taken for one told twice.
        let carrier = CarrierText { splitting: Splitting::Udh16, ..CarrierText::default() };
        let content = Content::text(self.text);
        let plan = Plan::new(&content, &carrier).map_err(|_| Refused::Flaw("this text cannot be coded".to_owned()))?;
        let mut segments = Segments::new(content, plan, (first_id & 0xFFFF) as u16);
        let (mut parts, mut user_data) = (Vec::new(), Vec::new());
        while let Some(part) = segments.next_into(&mut user_data) {
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

/// Without what people write between digits.
fn dialled(typed: &str) -> String {
    typed.chars().filter(|c| !c.is_whitespace() && !"-./()".contains(*c)).collect()
}

fn is_number(digits: &str, digits_min: usize) -> bool {
    (digits_min..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// How often phones write: at most [`TEXTS_PER_S_MAX`] in any second, and no more are remembered.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Mono>);

impl Pace {
    /// Whether one more fits; then it counts.
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
            (phone, "Stentor", "x", "\"Stentor\": a phone can write to numbers alone"),
            (phone, "12", "x", "numbers alone"),
            (phone, "1234567890123456", "x", "numbers alone"),
            (phone, "+", "x", "numbers alone"),
            (phone, "١٢٣٤", "x", "numbers alone"),
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
