//! Which alphabet a text takes and how long it is in it.
//!
//! Knows: the choice between GSM 7-bit, national tables and UCS-2, and its price in parts. Allocates nothing; plain
//! ASCII costs one pass over the octets. Refuses to know: headers, carriers' ways of splitting, and encoding itself.

use super::coding::{Alphabet, DefaultAlphabet};
use super::gsm7::{Tables, Unrepresentable};
use super::national::{Language, National};
use super::split::count_parts;
use super::ucs2;
use super::udh::Concatenation;

/// What the sender asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// GSM 7-bit if it holds every character, else national tables where they save parts, else UCS-2.
    #[default]
    Auto,
    /// GSM 7-bit (national tables included) or an error.
    Gsm7,
    /// UCS-2 even if GSM 7-bit would do.
    Ucs2,
}

/// The circumstances of the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TextOptions {
    /// What the sender asked for.
    pub encoding: Encoding,
    /// In which octets the carrier wants its default coding.
    pub default_alphabet: DefaultAlphabet,
    /// Which national tables may be used; only a carrier whose default is GSM 7-bit can carry them.
    pub national: National,
}

/// A text's alphabet and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Analysis {
    /// The alphabet chosen.
    pub alphabet: Alphabet,
    /// Septets for the 7-bit alphabets, UTF-16 units for UCS-2.
    pub units: u32,
    /// Parts when a longer text is concatenated by an 8-bit reference or SAR; at least 1.
    pub parts: u32,
    /// Parts when it is concatenated by a 16-bit reference; at least `parts`.
    pub parts_wide: u32,
}

/// Chooses the alphabet and counts. Fails only under [`Encoding::Gsm7`], naming the first character without a place.
pub fn analyse(text: &str, options: &TextOptions) -> Result<Analysis, Unrepresentable> {
    let (alphabet, units) = choose(text, options)?;
    let parts = parts_of(text, alphabet, units, false);
    let parts_wide = if parts == 1 { 1 } else { parts_of(text, alphabet, units, true) };
    Ok(Analysis { alphabet, units: saturate(units), parts: saturate(parts), parts_wide: saturate(parts_wide) })
}

/// The alphabet and the length in its units.
pub(super) fn choose(text: &str, options: &TextOptions) -> Result<(Alphabet, usize), Unrepresentable> {
    if options.encoding == Encoding::Ucs2 {
        return Ok((Alphabet::Ucs2, ucs2::count(text)));
    }
    let refused = match Tables::DEFAULT.count(text) {
        Ok(septets) => match on_the_wire(text, options.default_alphabet) {
            Ok(alphabet) => return Ok((alphabet, septets)),
            Err(refused) => refused,
        },
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

/// The form that text of the default tables takes in a carrier's default coding, or the character it cannot take.
fn on_the_wire(text: &str, default: DefaultAlphabet) -> Result<Alphabet, Unrepresentable> {
    let (alphabet, limit) = match default {
        DefaultAlphabet::Gsm7 => return Ok(Alphabet::Gsm7),
        DefaultAlphabet::Latin1 => (Alphabet::Latin1, '\u{FF}'),
        DefaultAlphabet::Ascii => (Alphabet::Ascii, '\u{7F}'),
    };
    match text.chars().enumerate().find(|&(_, character)| character > limit) {
        None => Ok(alphabet),
        Some((position, character)) => Err(Unrepresentable { character, position }),
    }
}

struct NationalChoice {
    alphabet: Alphabet,
    septets: usize,
    parts: usize,
}

/// The permitted pair of tables that needs the fewest parts, then the fewest septets; single shift before locking.
fn best_national(text: &str, permitted: &National) -> Option<NationalChoice> {
    if permitted.is_none() {
        return None;
    }
    let locking = || permitted.locking.iter().filter(|language| language.has_locking());
    let mut best: Option<NationalChoice> = None;
    for locking in with_none(locking()) {
        for single in with_none(permitted.single.iter()) {
            if single.is_none() && locking.is_none() {
                continue;
            }
            let Ok(septets) = Tables::national(single, locking).count(text) else {
                continue;
            };
            let alphabet = Alphabet::Gsm7National { single, locking };
            let parts = parts_of(text, alphabet, septets, false);
            if best.as_ref().is_none_or(|best| (parts, septets) < (best.parts, best.septets)) {
                best = Some(NationalChoice { alphabet, septets, parts });
            }
        }
    }
    best
}

fn with_none(languages: impl Iterator<Item = Language>) -> impl Iterator<Item = Option<Language>> {
    std::iter::once(None).chain(languages.map(Some))
}

/// Parts of a text without a header of the user's.
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
