//! Replaces characters that an alphabet lacks by similar ones, if a reader would hardly notice the difference.
//!
//! Knows: near forms, which replace a character step by step (`transliterate_tables`), letters composed of a base letter
//! and marks, invisible characters, and the few characters whose replacement depends on their neighbours. Refuses to know:
//! other scripts, because their texts would look foreign to the author in Latin letters. Greek stays Greek: it is written in
//! the capitals of GSM 7-bit and in Latin capitals that look the same. Either every character has a near form, or the whole
//! text stays unchanged.
//!
//! `transliterate_choices.txt` lists what each character becomes in each alphabet; `transliterate_differences.txt` lists
//! where two other programs' tables differ, and why.

use std::borrow::Cow;

use super::coding::Alphabet;
use super::repertoire::Repertoire;
use super::transliterate_tables::{MADE, NEAR, TEXTS};

/// A text that contains only characters of an alphabet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near<'a> {
    /// Borrowed if no character was replaced.
    pub text: Cow<'a, str>,
    /// Number of characters that were replaced or left out.
    pub replaced: usize,
}

/// The text with near forms for the characters that the alphabet lacks; `None` if one of them has no near form. Allocates
/// only if a character is replaced.
pub fn transliterate(text: &str, alphabet: Alphabet) -> Option<Near<'_>> {
    let held = Repertoire::of(alphabet);
    if held.count(text).is_ok() {
        return Some(Near { text: Cow::Borrowed(text), replaced: 0 });
    }
    let mut writer = Writer { held, out: String::with_capacity(text.len()), replaced: 0 };
    writer.write(text, 0)?;
    Some(Near { text: Cow::Owned(writer.out), replaced: writer.replaced })
}

/// Limit of steps for one character; no character needs so many.
const STEPS_MAX: u8 = 8;

struct Writer {
    held: Repertoire,
    out: String,
    replaced: usize,
}

impl Writer {
    /// `None` if a character has no near form. `steps` is the number of replacements between the original text and this one.
    fn write(&mut self, text: &str, steps: u8) -> Option<()> {
        if steps > STEPS_MAX {
            return None;
        }
        let mut rest = text.chars();
        let mut previous = None;
        while let Some(first) = rest.next() {
            let letter = self.with_marks(first, &mut rest)?;
            self.write_one(letter, (previous, rest.clone().next()), steps)?;
            previous = Some(first);
        }
        Some(())
    }

    /// The letter composed of the character and the marks after it. A mark with which it forms no letter is left out.
    fn with_marks(&mut self, first: char, rest: &mut std::str::Chars<'_>) -> Option<char> {
        let mut letter = first;
        while let Some(mark) = rest.clone().next().filter(|&next| is_mark(next)) {
            match made(letter, mark) {
                Some(whole) => letter = whole,
                None if strikes(mark) => return None,
                None => {}
            }
            self.replaced += 1;
            rest.next();
        }
        Some(letter)
    }

    fn write_one(&mut self, letter: char, beside: (Option<char>, Option<char>), steps: u8) -> Option<()> {
        if self.held.holds(letter) {
            self.out.push(letter);
            return Some(());
        }
        self.replaced += usize::from(steps == 0);
        if letter == MU && is_micro(beside) {
            self.out.push(if self.held.holds(MICRO) { MICRO } else { 'u' });
            return Some(());
        }
        if beside.0.is_some_and(|previous| previous.is_ascii_digit()) {
            self.write(joint(letter), steps + 1)?;
        }
        match near(letter) {
            Some(text) => self.write(text, steps + 1),
            None if is_invisible(letter) || is_mark(letter) && !strikes(letter) => Some(()),
            None => None,
        }
    }
}

/// The near form of a character, one step further; `None` if it has none.
fn near(character: char) -> Option<&'static str> {
    let point = u32::from(character);
    let at = NEAR.partition_point(|entry| entry >> 12 < point);
    let entry = NEAR.get(at).filter(|&&entry| entry >> 12 == point)?;
    TEXTS.get((entry & 0xFFF) as usize).copied()
}

/// The letter composed of a letter and a mark, if there is one.
fn made(letter: char, mark: char) -> Option<char> {
    let (letter, mark) = (u16::try_from(u32::from(letter)).ok()?, u16::try_from(u32::from(mark)).ok()?);
    let wanted = u64::from(letter) << 16 | u64::from(mark);
    let at = MADE.partition_point(|entry| entry >> 16 < wanted);
    let entry = MADE.get(at).filter(|&&entry| entry >> 16 == wanted)?;
    char::from_u32((entry & 0xFFFF) as u32)
}

/// Whether it is a mark of the character before it, which may be left out if no composed letter exists.
const fn is_mark(character: char) -> bool {
    matches!(
        character,
        '\u{300}'..='\u{36F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}'
    )
}

/// Whether the mark crosses out or encloses the character, so that without it the text could mean the opposite. The key cap
/// does not count.
const fn strikes(mark: char) -> bool {
    matches!(mark, '\u{334}'..='\u{338}' | '\u{20D2}'..='\u{20D3}' | '\u{20D8}'..='\u{20DA}' | '\u{20DD}'..='\u{20E0}')
        || matches!(mark, '\u{20E2}' | '\u{20E4}'..='\u{20E6}' | '\u{20EA}'..='\u{20EB}')
}

/// Whether it is invisible in scripts that do not need it: joiners, directions, variants, annotations, tags, controls.
const fn is_invisible(character: char) -> bool {
    matches!(character, '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{AD}' | '\u{61C}' | '\u{180B}'..='\u{180F}')
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}')
        || matches!(character, '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
        || matches!(character, '\u{E0001}' | '\u{E0020}'..='\u{E007F}' | '\u{E0100}'..='\u{E01EF}')
}

const MU: char = '\u{3BC}';
const MICRO: char = '\u{B5}';

/// Whether a mu is the prefix for a millionth: `5 μg`, but not `μας` or `μ.μ.`.
fn is_micro((previous, next): (Option<char>, Option<char>)) -> bool {
    let in_word = previous.is_some_and(is_greek);
    match next {
        Some('\u{3A9}' | '\u{2126}' | 'a'..='z' | 'A'..='Z') => !in_word,
        Some(next) if next == '.' || is_greek(next) => false,
        Some(_) | None => !in_word && previous != Some('.'),
    }
}

fn is_greek(character: char) -> bool {
    matches!(character, '\u{370}'..='\u{3FF}' | '\u{1F00}'..='\u{1FFF}') && character.is_alphabetic()
}

/// The text to insert between a digit and the replacement of this character: `1½` must not become `11/2`, nor `10²` `102`.
const fn joint(character: char) -> &'static str {
    match character {
        '\u{BC}'..='\u{BE}' | '\u{2150}'..='\u{215F}' | '\u{2189}' => " ",
        '\u{B2}' | '\u{B3}' | '\u{B9}' | '\u{2070}' | '\u{2074}'..='\u{207B}' => "^",
        _ => "",
    }
}

#[cfg(test)]
#[path = "transliterate_tests.rs"]
mod tests;
