//! Chooses the alphabet for a text and counts its length in that alphabet.
//!
//! Knows: the choice between GSM 7-bit, national tables, replaced characters and UCS-2, and its cost in parts. Allocates
//! nothing unless characters are replaced; plain ASCII takes one pass over the bytes. Refuses to know: headers, the ways in
//! which carriers want messages split, and encoding itself.

use super::coding::{Alphabet, DefaultAlphabet};
use super::gsm7::Unrepresentable;
use super::national::{Language, National};
use super::repertoire::Repertoire;
use super::split::count_parts;
use super::transliterate::{Near, transliterate};
use super::ucs2;
use super::udh::Concatenation;
use std::borrow::Cow;

/// The encoding that the sender of a text asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// GSM 7-bit if it holds every character, else national tables if they save parts, else UCS-2.
    #[default]
    Auto,
    /// GSM 7-bit (national tables included) or an error.
    Gsm7,
    /// UCS-2 even if GSM 7-bit would do.
    Ucs2,
}

/// What the choice of an alphabet depends on besides the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TextOptions {
    /// The encoding that the sender asks for.
    pub encoding: Encoding,
    /// The alphabet that the carrier expects under `data_coding` 0.
    pub default_alphabet: DefaultAlphabet,
    /// National tables that may be used; they work only with a carrier whose default alphabet is GSM 7-bit.
    pub national: National,
    /// Whether characters that the alphabet lacks may be replaced by similar ones.
    pub transliterate: bool,
}

/// A text's alphabet and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Analysis {
    /// The alphabet chosen.
    pub alphabet: Alphabet,
    /// Septets for the 7-bit alphabets, UTF-16 units for UCS-2.
    pub units: u32,
    /// Number of parts with an 8-bit reference or SAR; at least 1.
    pub parts: u32,
    /// Number of parts with a 16-bit reference; at least `parts`.
    pub parts_wide: u32,
}

/// Chooses the alphabet and counts. Fails only under [`Encoding::Gsm7`]; the error names the first character that GSM 7-bit
/// lacks.
pub fn analyse(text: &str, options: &TextOptions) -> Result<Analysis, Unrepresentable> {
    let Choice { text, alphabet, units } = choose(text, options)?;
    let parts = parts_of(&text, alphabet, units, false);
    let parts_wide = if parts == 1 { 1 } else { parts_of(&text, alphabet, units, true) };
    Ok(Analysis { alphabet, units: saturate(units), parts: saturate(parts), parts_wide: saturate(parts_wide) })
}

/// A text as it will be encoded, with its alphabet.
pub(super) struct Choice<'a> {
    /// Borrowed if no character was replaced.
    pub(super) text: Cow<'a, str>,
    pub(super) alphabet: Alphabet,
    /// The text's length in units of the alphabet.
    pub(super) units: usize,
}

/// The text unchanged if a 7-bit or 8-bit alphabet holds it; else with similar characters, if they are permitted, exist for
/// every character that the alphabet lacks, and do not cost more parts than UCS-2; else unchanged in UCS-2.
pub(super) fn choose<'a>(text: &'a str, options: &TextOptions) -> Result<Choice<'a>, Unrepresentable> {
    let as_it_is = choose_alphabet(text, options);
    let fits = matches!(as_it_is, Ok((alphabet, _)) if alphabet != Alphabet::Ucs2);
    if options.transliterate && !fits && options.encoding != Encoding::Ucs2 {
        let found = best_near(text, options);
        let dearer = |found: &NearChoice| {
            as_it_is.is_ok_and(|(ucs2, units)| {
                let parts = parts_of(text, ucs2, units, false);
                found.parts > parts || found.parts == parts && found.replaced == 0
            })
        };
        if let Some(NearChoice { choice, .. }) = found.filter(|found| !dearer(found)) {
            return Ok(choice);
        }
    }
    as_it_is.map(|(alphabet, units)| Choice { text: Cow::Borrowed(text), alphabet, units })
}

/// The alphabet for a text whose characters are not replaced, and its length in units of that alphabet.
fn choose_alphabet(text: &str, options: &TextOptions) -> Result<(Alphabet, usize), Unrepresentable> {
    if options.encoding == Encoding::Ucs2 {
        return Ok((Alphabet::Ucs2, ucs2::count(text)));
    }
    let refused = match by_default(text, options) {
        Ok(found) => return Ok(found),
        Err(refused) => refused,
    };
    let national = match options.default_alphabet {
        DefaultAlphabet::Gsm7 => best_national(text, &options.national),
        DefaultAlphabet::Latin1 | DefaultAlphabet::Ascii => None,
    };
    match (options.encoding, national) {
        (Encoding::Gsm7, None) => Err(refused),
        (Encoding::Gsm7, Some(found)) => Ok((found.alphabet, found.septets)),
        (Encoding::Auto | Encoding::Ucs2, found) => {
            let units = ucs2::count(text);
            let saves = |found: &NationalChoice| found.parts < parts_of(text, Alphabet::Ucs2, units, false);
            Ok(match found.filter(saves) {
                Some(found) => (found.alphabet, found.septets),
                None => (Alphabet::Ucs2, units),
            })
        }
    }
}

/// The alphabet of a text in the carrier's default coding, or the first character that does not fit. Under
/// [`Encoding::Gsm7`], characters of ISO 8859-1 that GSM 7-bit lacks are refused.
fn by_default(text: &str, options: &TextOptions) -> Result<(Alphabet, usize), Unrepresentable> {
    let count = |alphabet| Repertoire::of(alphabet).count(text).map(|units| (alphabet, units));
    match (options.default_alphabet, options.encoding) {
        (DefaultAlphabet::Gsm7, _) => count(Alphabet::Gsm7),
        (DefaultAlphabet::Ascii, _) => count(Alphabet::Ascii),
        (DefaultAlphabet::Latin1, Encoding::Gsm7) => count(Alphabet::Latin1),
        (DefaultAlphabet::Latin1, Encoding::Auto | Encoding::Ucs2) => {
            count(Alphabet::Latin1).or_else(|_| count(Alphabet::Latin1Bytes))
        }
    }
}

struct NearChoice<'a> {
    choice: Choice<'a>,
    parts: usize,
    replaced: usize,
}

/// The text with similar characters: with the fewest parts, then with the fewest replaced characters; default tables are
/// preferred to national ones.
fn best_near<'a>(text: &'a str, options: &TextOptions) -> Option<NearChoice<'a>> {
    let widest = match (options.default_alphabet, options.encoding) {
        (DefaultAlphabet::Gsm7, _) => Alphabet::Gsm7,
        (DefaultAlphabet::Ascii, _) => Alphabet::Ascii,
        (DefaultAlphabet::Latin1, Encoding::Gsm7) => Alphabet::Latin1,
        (DefaultAlphabet::Latin1, Encoding::Auto | Encoding::Ucs2) => Alphabet::Latin1Bytes,
    };
    let permitted = match options.default_alphabet {
        DefaultAlphabet::Gsm7 => options.national,
        DefaultAlphabet::Latin1 | DefaultAlphabet::Ascii => National::NONE,
    };
    let mut best: Option<NearChoice<'a>> = None;
    for alphabet in std::iter::once(widest).chain(national_alphabets(&permitted)) {
        let Some(Near { text, replaced }) = transliterate(text, alphabet) else { continue };
        let counted = match alphabet {
            Alphabet::Latin1Bytes => by_default(&text, options),
            _ => Repertoire::of(alphabet).count(&text).map(|units| (alphabet, units)),
        };
        let Ok((alphabet, units)) = counted else { continue };
        let parts = parts_of(&text, alphabet, units, false);
        if best.as_ref().is_none_or(|best| (parts, replaced) < (best.parts, best.replaced)) {
            best = Some(NearChoice { choice: Choice { text, alphabet, units }, parts, replaced });
        }
    }
    best
}

struct NationalChoice {
    alphabet: Alphabet,
    septets: usize,
    parts: usize,
}

/// The permitted pair of tables that needs the fewest parts, then the fewest septets; single shift is preferred to locking.
fn best_national(text: &str, permitted: &National) -> Option<NationalChoice> {
    let mut best: Option<NationalChoice> = None;
    for alphabet in national_alphabets(permitted) {
        let Ok(septets) = Repertoire::of(alphabet).count(text) else { continue };
        let parts = parts_of(text, alphabet, septets, false);
        if best.as_ref().is_none_or(|best| (parts, septets) < (best.parts, best.septets)) {
            best = Some(NationalChoice { alphabet, septets, parts });
        }
    }
    best
}

/// Every permitted pair of tables of which at least one is national; single shift before locking shift.
fn national_alphabets(permitted: &National) -> impl Iterator<Item = Alphabet> {
    let National { single, locking } = *permitted;
    let locking = with_none(locking.iter().filter(|language| language.has_locking()));
    locking
        .flat_map(move |locking| with_none(single.iter()).map(move |single| (single, locking)))
        .filter(|(single, locking)| single.is_some() || locking.is_some())
        .map(|(single, locking)| Alphabet::Gsm7National { single, locking })
}

fn with_none(languages: impl Iterator<Item = Language>) -> impl Iterator<Item = Option<Language>> {
    std::iter::once(None).chain(languages.map(Some))
}

/// Number of parts of a text that has no user data header of its own.
fn parts_of(text: &str, alphabet: Alphabet, units: usize, wide: bool) -> usize {
    let national = alphabet.announcement_len();
    let whole = if national == 0 { 0 } else { 1 + national };
    if units <= alphabet.room(whole) {
        return 1;
    }
    count_parts(text, alphabet, units, alphabet.room(1 + national + Concatenation::len(wide)))
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::national::LanguageSet;
    use super::super::split::{CarrierText, Content, Plan, Splitting};
    use super::*;
    use proptest::prelude::*;

    fn analysed(text: &str, options: &TextOptions) -> (Alphabet, u32, u32, u32) {
        let Analysis { alphabet, units, parts, parts_wide } = analyse(text, options).expect("representable");
        (alphabet, units, parts, parts_wide)
    }

    #[test]
    fn the_cheapest_alphabet_that_holds_the_text_is_chosen() {
        let auto = TextOptions::default();
        assert_eq!(analysed("", &auto), (Alphabet::Gsm7, 0, 1, 1));
        assert_eq!(analysed("price: 5€", &auto), (Alphabet::Gsm7, 10, 1, 1));
        assert_eq!(analysed(&"a".repeat(306), &auto), (Alphabet::Gsm7, 306, 2, 3));
        assert_eq!(analysed("naïve", &auto), (Alphabet::Ucs2, 5, 1, 1));
        assert_eq!(analysed("😀", &auto), (Alphabet::Ucs2, 2, 1, 1));
        assert_eq!(analysed(&"ж".repeat(134), &auto), (Alphabet::Ucs2, 134, 2, 3));
        let ucs2 = TextOptions { encoding: Encoding::Ucs2, ..auto };
        assert_eq!(analysed("abc", &ucs2), (Alphabet::Ucs2, 3, 1, 1));
    }

    #[test]
    fn gsm7_by_demand_names_what_stands_in_its_way() {
        let strict = TextOptions { encoding: Encoding::Gsm7, ..TextOptions::default() };
        let refused = Unrepresentable { character: 'ï', position: 2 };
        assert_eq!(analyse("naïve ж", &strict), Err(refused));
        assert_eq!(analysed("5€", &strict), (Alphabet::Gsm7, 3, 1, 1));
    }

    #[test]
    fn national_tables_are_used_where_they_save_parts() {
        let turkish = LanguageSet::EMPTY.with(Language::Turkish);
        let national = National { single: turkish, locking: turkish };
        let options = TextOptions { national, ..TextOptions::default() };
        let text = "İyi günler, şifreniz: ";
        assert_eq!(analysed(text, &options), (Alphabet::Ucs2, 22, 1, 1), "one part either way: UCS-2 is safer");
        let long = text.repeat(5);
        let locking = Alphabet::Gsm7National { single: None, locking: Some(Language::Turkish) };
        assert_eq!(analysed(&long, &options), (locking, 110, 1, 1));
        assert_eq!(analysed(&long, &TextOptions::default()).2, 2);
        let few = "ş".to_owned() + &"a".repeat(100);
        let single = Alphabet::Gsm7National { single: Some(Language::Turkish), locking: None };
        let only_single = TextOptions { national: National { locking: LanguageSet::EMPTY, ..national }, ..options };
        assert_eq!(analysed(&few, &only_single), (single, 102, 1, 1));
        let elsewhere = TextOptions { default_alphabet: DefaultAlphabet::Latin1, ..options };
        assert_eq!(analysed(&long, &elsewhere).0, Alphabet::Ucs2, "tables need a carrier that speaks septets");
    }

    #[test]
    fn near_characters_are_taken_where_the_text_does_not_fit_and_they_are_no_dearer() {
        let near = TextOptions { transliterate: true, ..TextOptions::default() };
        assert_eq!(analysed("naïve “text”…", &near), (Alphabet::Gsm7, 15, 1, 1));
        assert_eq!(analysed("price: 5€", &near), (Alphabet::Gsm7, 10, 1, 1), "nothing to replace");
        assert_eq!(analysed("naïve 😀", &near), (Alphabet::Ucs2, 8, 1, 1), "whole or not at all");
        assert_eq!(analysed(&"…".repeat(60), &near), (Alphabet::Ucs2, 60, 1, 1), "180 septets are two parts");
        let strict = TextOptions { encoding: Encoding::Gsm7, ..near };
        assert_eq!(analysed("naïve", &strict), (Alphabet::Gsm7, 5, 1, 1));
        let refused = Unrepresentable { character: 'ï', position: 2 };
        assert_eq!(analyse("naïve ж", &strict), Err(refused), "named is what the author wrote");
        let ucs2 = TextOptions { encoding: Encoding::Ucs2, ..near };
        assert_eq!(analysed("“abc”", &ucs2), (Alphabet::Ucs2, 5, 1, 1));
    }

    #[test]
    fn national_tables_come_before_near_characters_at_the_same_price() {
        let turkish = LanguageSet::EMPTY.with(Language::Turkish);
        let national = National { single: turkish, locking: LanguageSet::EMPTY };
        let near = TextOptions { national, transliterate: true, ..TextOptions::default() };
        let single = Alphabet::Gsm7National { single: Some(Language::Turkish), locking: None };
        assert_eq!(analysed("şu “söz”", &near), (single, 9, 1, 1));
        assert_eq!(analysed("şu söz", &near), (Alphabet::Ucs2, 6, 1, 1), "as without near characters");
        assert_eq!(analysed(&("ş".to_owned() + &"a".repeat(150)), &near), (single, 152, 1, 1));
        assert_eq!(analysed(&("ş".to_owned() + &"a".repeat(154) + "…"), &near), (Alphabet::Gsm7, 158, 1, 1));
    }

    proptest! {
        #[test]
        fn the_plan_needs_as_many_parts(text in any::<String>(), times in 1usize..40, languages in any::<u16>()) {
            let text = text.repeat(times);
            let chosen = |language: &Language| languages & (1 << language.identifier()) != 0;
            let set: LanguageSet = Language::ALL.into_iter().filter(chosen).collect();
            let national = National { single: set, locking: set };
            let options = TextOptions { national, ..TextOptions::default() };
            let found = analyse(&text, &options).expect("auto never fails");
            for (splitting, parts) in [(Splitting::Udh8, found.parts), (Splitting::Udh16, found.parts_wide)] {
                let carrier = CarrierText { national, splitting, ..CarrierText::default() };
                match Plan::new(&Content::text(&text), &carrier) {
                    Ok(plan) => prop_assert_eq!((u32::from(plan.parts()), plan.alphabet()), (parts, found.alphabet)),
                    Err(_) => prop_assert!(parts > 255),
                }
            }
        }
    }
}
