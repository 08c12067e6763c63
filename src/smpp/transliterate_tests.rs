//! Transliteration of texts into each alphabet: examples, and every choice against the list next to this file.

use super::super::national::Language;
use super::*;
use proptest::prelude::*;

/// The possible alphabets of a default coding: the columns of the list.
const COLUMNS: [Alphabet; 3] = [Alphabet::Gsm7, Alphabet::Latin1Bytes, Alphabet::Ascii];

/// The characters in the list, as ranges, and the composed and decomposed forms of those that have both.
const FORMS: &str = include_str!("transliterate_forms.txt");
const CHOICES: &str = include_str!("transliterate_choices.txt");
/// Characters for which other programs' tables choose another ASCII form.
const DIFFERENCES: &str = include_str!("transliterate_differences.txt");

fn near_in(alphabet: Alphabet, text: &str) -> Option<String> {
    transliterate(text, alphabet).map(|near| near.text.into_owned())
}

fn character(hex: &str) -> char {
    u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).expect("a code point")
}

/// The characters in the list.
fn listed() -> impl Iterator<Item = char> {
    FORMS.lines().filter_map(|line| line.split_once("..")).flat_map(|(first, last)| character(first)..=character(last))
}

/// Each listed character that has a composed and a decomposed form, with both forms.
fn forms() -> impl Iterator<Item = (char, [String; 2])> {
    FORMS.lines().filter_map(|line| {
        let mut fields = line.split(';');
        let of = character(fields.next().filter(|_| line.contains(';'))?);
        let mut form = || fields.next().unwrap_or_default().split(' ').map(character).collect::<String>();
        Some((of, [form(), form()]))
    })
}

fn national(language: Language, locking: bool) -> Option<Alphabet> {
    match locking {
        false => Some(Alphabet::Gsm7National { single: Some(language), locking: None }),
        true => language.has_locking().then_some(Alphabet::Gsm7National { single: None, locking: Some(language) }),
    }
}

fn choice(of: char, alphabet: Alphabet) -> String {
    match near_in(alphabet, &of.to_string()) {
        None => "-".to_owned(),
        Some(near) if near == of.to_string() => "=".to_owned(),
        Some(near) => format!("{near:?}"),
    }
}

fn shown(of: char) -> String {
    match of {
        _ if of.is_control() || is_invisible(of) || of.is_whitespace() => String::new(),
        _ if is_mark(of) => format!("\u{25CC}{of}"),
        _ => of.to_string(),
    }
}

/// The list as `transliterate_choices.txt` must contain it.
fn list() -> String {
    let mut list = "# Choices: what each character becomes in GSM 7-bit, ISO 8859-1 and ASCII. \"=\": it stays. \"-\": it has no near form,\n\
                    # and a text with it stays as it is, in UCS-2. Written by `transliterate_tests.rs`.\n"
        .to_owned();
    for of in listed() {
        let columns = COLUMNS.map(|alphabet| choice(of, alphabet)).join(" | ");
        list.push_str(&format!("{:04X} {} | {columns}\n", u32::from(of), shown(of)));
    }
    list.push_str("# With national tables. `keeps`: what the default tables lack and this one has. `other`: what becomes of a\n\
                   # character that becomes something else with the default tables. `lacks`: ASCII that has no form here.\n");
    let basic = || (0..=0xFFFFu32).filter_map(char::from_u32);
    for (language, locking) in Language::ALL.into_iter().flat_map(|language| [(language, false), (language, true)]) {
        let Some(alphabet) = national(language, locking) else { continue };
        let (held, default) = (Repertoire::of(alphabet), Repertoire::of(Alphabet::Gsm7));
        let keeps: String = basic().filter(|&of| held.holds(of) && !default.holds(of)).collect();
        let both =
            || listed().filter(|&of| !held.holds(of)).map(|of| (of, choice(of, Alphabet::Gsm7), choice(of, alphabet)));
        let other = both().filter(|(_, plain, here)| here != "-" && plain != here);
        let other: Vec<String> = other.map(|(of, _, here)| format!("{}{here}", shown(of))).collect();
        let lacks: String = both().filter(|(of, _, here)| of.is_ascii() && here == "-").map(|(of, ..)| of).collect();
        let kind = if locking { "locking" } else { "single" };
        list.push_str(&format!(
            "{} {kind}\n  keeps {keeps}\n  other {}\n  lacks {lacks}\n",
            language.name(),
            other.join(" ")
        ));
    }
    list.push_str("# End\n");
    list
}

/// To accept new choices, check what the test prints, and put it into the file:
/// `cargo test --lib the_choices -- --nocapture | sed -n '/^# Choices/,/^# End/p'`.
#[test]
fn the_choices_are_those_that_are_listed() {
    let found = list();
    if found != CHOICES {
        println!("{found}");
        let differing: Vec<_> =
            found.lines().zip(CHOICES.lines()).filter(|(now, listed)| now != listed).take(20).collect();
        panic!(
            "{} lines now, {} listed; first of those that differ: {differing:#?}",
            found.lines().count(),
            CHOICES.lines().count()
        );
    }
}

#[test]
fn a_character_becomes_the_same_in_whatever_form_it_came() {
    let mut count = 0;
    for (of, forms) in forms() {
        for alphabet in COLUMNS {
            let [composed, decomposed] = forms.each_ref().map(|form| near_in(alphabet, form));
            assert_eq!(composed, decomposed, "U+{:04X} in {alphabet:?}", u32::from(of));
            if !Repertoire::of(alphabet).holds(of) {
                assert_eq!(near_in(alphabet, &of.to_string()), composed, "U+{:04X} in {alphabet:?}", u32::from(of));
            }
            count += 1;
        }
    }
    assert!(count > 2_000, "{count} forms looked at");
}

#[test]
fn other_tables_differ_where_it_is_listed_and_nowhere_else_by_accident() {
    let mut count = 0;
    for line in DIFFERENCES.lines().filter(|line| line.starts_with("  ")) {
        let (of, rest) = line.trim_start().split_once(' ').expect("a code point");
        let ours = rest.split(" | ").nth(1).expect("our choice");
        assert_eq!(choice(character(of), Alphabet::Ascii), ours, "{line}");
        count += 1;
    }
    assert!(count > 100, "{count} differences listed");
}

#[test]
fn plain_characters_take_the_place_of_fine_ones() {
    let cases = [
        ("“It’s” – well…", "\"It's\" - well..."),
        ("a\u{A0}b\u{200B}c\td", "a bc d"),
        ("`code`", "'code'"),
        ("Zażółć gęślą jaźń", "Zazolc gesla jazn"),
        ("Çà et là, ça", "Çà et là, ca"),
        ("× 3 № 5 ™", "x 3 No 5 TM"),
        ("Mã xác thực của bạn là 123456", "Ma xac thuc cua ban là 123456"),
        ("Ma\u{303} xa\u{301}c thu\u{31B}\u{323}c", "Ma xac thuc"),
        ("cafe\u{301} Gro\u{308}\u{DF}e", "café Größe"),
        ("oﬃce ＡＢ１ ĳ", "office AB1 ij"),
        ("≤ 5 ≠ 6 ± 1 ₹5 → ✓ 3 ‰ ‴", "<= 5 != 6 +/- 1 Rs5 -> v 3 o/oo '''"),
        ("𝐁𝐨𝐥𝐝 ㎏ 5️⃣", "Bold kg 5"),
        ("Καλημέρα, ΝΑΙ", "KAΛHMEPA, NAI"),
        ("H\u{435}llo", "Hello"),
        ("it\u{92}s", "it's"),
    ];
    for (text, expected) in cases {
        assert_eq!(near_in(Alphabet::Gsm7, text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn each_alphabet_keeps_what_it_has() {
    let text = "Façade, Café Größe £5 ½ ¤ €";
    assert_eq!(near_in(Alphabet::Gsm7, text).as_deref(), Some("Facade, Café Größe £5 1/2 ¤ €"));
    assert_eq!(near_in(Alphabet::Latin1Bytes, text).as_deref(), Some("Façade, Café Größe £5 ½ ¤ EUR"));
    assert_eq!(near_in(Alphabet::Ascii, text), None, "a currency of no name");
    assert_eq!(
        near_in(Alphabet::Ascii, "Façade, Café Größe £5 ½ €").as_deref(),
        Some("Facade, Cafe Grosse GBP5 1/2 EUR")
    );
    assert_eq!(near_in(Alphabet::Latin1Bytes, "ế ậ ử").as_deref(), Some("ê â u"));
    let turkish = Alphabet::Gsm7National { single: Some(Language::Turkish), locking: None };
    assert_eq!(near_in(turkish, "şŝ“").as_deref(), Some("şs\""));
}

#[test]
fn a_number_stays_the_number_that_it_is() {
    let cases = [
        ("1½ kg, ½ kg, x½", "1 1/2 kg, 1/2 kg, x1/2"),
        ("10² m², 10¹², 10⁻³", "10^2 m2, 10^12, 10^-3"),
        ("5 µg, 5 μg, μΩ", "5 ug, 5 ug, uΩ"),
        ("μας, 5 μ.μ., η μ", "MAΣ, 5 M.M., H u"),
    ];
    for (text, expected) in cases {
        assert_eq!(near_in(Alphabet::Gsm7, text).as_deref(), Some(expected), "{text}");
    }
    assert_eq!(near_in(Alphabet::Latin1Bytes, "5 μg").as_deref(), Some("5 µg"));
}

#[test]
fn what_needs_no_change_is_borrowed_and_other_scripts_stay() {
    for text in ["", "plain", "äöüß €[]"] {
        let near = transliterate(text, Alphabet::Gsm7);
        assert!(matches!(near, Some(Near { text: Cow::Borrowed(same), replaced: 0 }) if same == text), "{text}");
    }
    for text in ["“Привет”", "日本 😀", "naïve 👍", "5\u{336}0", "a \u{2260}\u{20DD}", "שלום", "5 ≰ 6", "5 ≤\u{338} 6"]
    {
        assert_eq!(transliterate(text, Alphabet::Gsm7), None, "{text}: whole or not at all");
    }
}

#[test]
fn invisible_marks_are_left_out() {
    let marks = "\u{AD}\u{34F}\u{61C}\u{180E}\u{200B}\u{200C}\u{200D}\u{200E}\u{200F}\u{202A}\u{202B}\u{202C}\u{202D}\u{202E}\
                 \u{2060}\u{2061}\u{2062}\u{2063}\u{2064}\u{2066}\u{2067}\u{2068}\u{2069}\u{FE0E}\u{FE0F}\u{FEFF}";
    for mark in marks.chars() {
        for alphabet in COLUMNS {
            let near = near_in(alphabet, &format!("Gru{mark}e"));
            assert_eq!(near.as_deref(), Some("Grue"), "U+{:04X} in {alphabet:?}", u32::from(mark));
        }
    }
}

#[test]
fn every_step_leads_somewhere_and_the_tables_are_in_order() {
    assert!(NEAR.is_sorted_by(|one, other| one >> 12 < other >> 12));
    assert!(MADE.is_sorted_by(|one, other| one >> 16 < other >> 16));
    for entry in &NEAR {
        let of = char::from_u32(entry >> 12).expect("a character");
        let found = COLUMNS.iter().any(|&alphabet| near_in(alphabet, &of.to_string()).is_some());
        assert!(found, "U+{:04X} becomes {:?} and stays there", entry >> 12, near(of));
    }
}

proptest! {
    #[test]
    fn what_comes_out_is_held_and_no_longer_than_its_bound(text in any::<String>(), language in 0usize..13, locking in any::<bool>()) {
        let own = national(Language::ALL[language], locking);
        for alphabet in COLUMNS.into_iter().chain(own) {
            if let Some(near) = transliterate(&text, alphabet) {
                prop_assert!(Repertoire::of(alphabet).count(&near.text).is_ok());
                prop_assert!(near.text.len() <= 16 * text.len());
                prop_assert_eq!(near.replaced == 0, near.text == text);
                let again = transliterate(&near.text, alphabet).expect("held");
                prop_assert!(matches!(again.text, Cow::Borrowed(_)));
            }
        }
    }
}
