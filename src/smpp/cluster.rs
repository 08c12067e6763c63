//! Finds groups of characters that a reader sees as one, so that no part ends inside such a group.
//!
//! Knows: a deliberately small subset of Unicode's grapheme clusters (UAX 29): combining marks, variation selectors,
//! joiners, skin tones, tags, flags, and conjuncts of the Indic scripts. Refuses to know: Hangul jamo sequences and
//! the other rare rules; a cut there is ugly, not wrong.

/// Whether a cluster ends before `offset`, a character boundary of `text`. Looks back further than one character only in a
/// row of flags.
pub(super) fn ends_before(text: &str, offset: usize) -> bool {
    let Some((before, after)) = text.split_at_checked(offset) else {
        return false;
    };
    let (Some(previous), Some(next)) = (before.chars().next_back(), after.chars().next()) else {
        return true;
    };
    if next < FIRST_EXTENDING {
        return true;
    }
    if is_regional_indicator(next) && is_regional_indicator(previous) {
        let in_a_row = before.chars().rev().take_while(|&earlier| is_regional_indicator(earlier)).count();
        return in_a_row.is_multiple_of(2);
    }
    let conjunct = is_virama(previous) && same_block(previous, next);
    !(extends(next) || previous == ZERO_WIDTH_JOINER || conjunct)
}

/// No character below this one extends the character before it.
const FIRST_EXTENDING: char = '\u{300}';

const ZERO_WIDTH_JOINER: char = '\u{200D}';

fn is_regional_indicator(character: char) -> bool {
    matches!(character, '\u{1F1E6}'..='\u{1F1FF}')
}

/// Whether the character belongs to the cluster of the character before it.
fn extends(character: char) -> bool {
    match character {
        '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{0591}'..='\u{05BD}' | '\u{05BF}' => true,
        '\u{05C1}'..='\u{05C2}' | '\u{05C4}'..='\u{05C5}' | '\u{05C7}' | '\u{0610}'..='\u{061A}' => true,
        '\u{064B}'..='\u{065F}' | '\u{0670}' | '\u{06D6}'..='\u{06DC}' | '\u{06DF}'..='\u{06E4}' => true,
        '\u{06E7}'..='\u{06E8}' | '\u{06EA}'..='\u{06ED}' => true,
        '\u{0900}'..='\u{0DFF}' => is_indic_sign(character),
        '\u{0E31}' | '\u{0E34}'..='\u{0E3A}' | '\u{0E47}'..='\u{0E4E}' => true,
        '\u{0EB1}' | '\u{0EB4}'..='\u{0EBC}' | '\u{0EC8}'..='\u{0ECE}' => true,
        '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}' => true,
        '\u{200C}' | ZERO_WIDTH_JOINER | '\u{302A}'..='\u{302F}' | '\u{3099}'..='\u{309A}' => true,
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => true,
        '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0020}'..='\u{E007F}' => true,
        _ => false,
    }
}

/// The Indic blocks of 128 code points share one layout: signs, vowel signs and marks are at the same offsets.
fn is_indic_sign(character: char) -> bool {
    let point = u32::from(character);
    match point {
        0x0D80..=0x0DFF => matches!(point & 0x7F, 0x01..=0x03 | 0x4A..=0x5F | 0x72..=0x73), // Sinhala differs
        0x0B83 => false,                                                                    // Tamil visarga is a letter
        _ => matches!(point & 0x7F, 0x00..=0x03 | 0x3A..=0x3C | 0x3E..=0x4D | 0x51..=0x57 | 0x62..=0x63),
    }
}

/// Whether the character joins a consonant to the next one, in the blocks from Devanagari to Malayalam.
fn is_virama(character: char) -> bool {
    let point = u32::from(character);
    matches!(point, 0x0900..=0x0D7F) && point & 0x7F == 0x4D
}

fn same_block(one: char, other: char) -> bool {
    u32::from(one) >> 7 == u32::from(other) >> 7
}
