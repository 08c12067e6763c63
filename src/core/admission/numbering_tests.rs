//! Tests of the numbering plan: numbers as people write them, and the recipient or rule that comes out.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Shared by all tests: building one takes as long as reading 10,000 numbers.
static ABROAD: LazyLock<Numbering> = LazyLock::new(|| Numbering::new(None).expect("metadata"));
static GERMANY: LazyLock<Numbering> = LazyLock::new(|| Numbering::new(Some("DE")).expect("metadata"));

fn read(home: Option<&str>, typed: &str) -> Result<u64, NumberError> {
    Numbering::new(home).expect("country").parse(typed).map(Msisdn::number)
}

#[test]
fn international_numbers_in_all_their_dress() {
    for typed in [
        "+4915112345678",
        "4915112345678",
        "004915112345678",
        "+49 151 12345678",
        "+49 (151) 123-456.78",
        " (+49) 151/12345678 ",
        "+49 (0) 151 12345678",
        "+49015112345678",
    ] {
        assert_eq!(read(None, typed), Ok(4_915_112_345_678), "{typed}");
    }
    assert_eq!(read(None, "+1 202-555-0143"), Ok(12_025_550_143));
    assert_eq!(read(None, "+39 06 1234 5678"), Ok(390_612_345_678), "a zero that belongs there");
    assert_eq!(read(None, "+882 16 1234 5678"), Ok(8_821_612_345_678), "a network without a country");
}

#[test]
fn national_numbers_are_read_as_dialled_at_home() {
    assert_eq!(read(Some("DE"), "0151 12345678"), Ok(4_915_112_345_678));
    assert_eq!(read(Some("DE"), "004366012345678"), Ok(4_366_012_345_678));
    assert_eq!(read(Some("DE"), "+4366012345678"), Ok(4_366_012_345_678));
    assert_eq!(read(Some("US"), "(202) 555-0143"), Ok(12_025_550_143));
    assert_eq!(read(Some("US"), "011 49 151 12345678"), Ok(4_915_112_345_678));
    assert_eq!(read(Some("IT"), "06 1234 5678"), Ok(390_612_345_678));
    assert_eq!(read(Some("IN"), "98765 43210"), Ok(919_876_543_210));
}

#[test]
fn each_rule_says_that_it_is_broken() {
    use NumberError::{
        BadCharacter, Empty, NotDiallable, NotInternational, TooLong, TrunkPrefix, UnknownCountryCode, WrongLength,
    };
    for (home, typed, why) in [
        (None, "", Empty),
        (None, "+", Empty),
        (None, "--", Empty),
        (None, "anna", BadCharacter('a')),
        (None, "+49151x2345678", BadCharacter('x')),
        (None, "49+15112345678", BadCharacter('+')),
        (None, "++4915112345678", BadCharacter('+')),
        (None, "+49 151 1234567８", BadCharacter('８')),
        (None, "015112345678", NotInternational),
        (None, "0000000", NotInternational),
        (None, "+0049151", UnknownCountryCode(0)),
        (None, "+2101234567", UnknownCountryCode(210)),
        (None, "+999", UnknownCountryCode(999)),
        (None, "+1202555014", WrongLength { code: 1, digits: 9, lengths: 1 << 10 }),
        (None, "+15550100", WrongLength { code: 1, digits: 7, lengths: 1 << 10 }),
        (Some("US"), "555-0100", WrongLength { code: 1, digits: 7, lengths: 1 << 10 }),
        (None, "+120255501433", WrongLength { code: 1, digits: 11, lengths: 1 << 10 }),
        (None, "+33", WrongLength { code: 33, digits: 0, lengths: 1 << 9 }),
        (None, "+49", WrongLength { code: 49, digits: 0, lengths: 0x3FE0 }),
        (None, "+330", WrongLength { code: 33, digits: 1, lengths: 1 << 9 }),
        (None, "+44000000000", TrunkPrefix(44)),
        (None, "+49151123456781234", TooLong),
        (None, "+491511234567812345678901234567890", TooLong),
        (Some("DE"), "0", NotDiallable(*b"DE")),
        (Some("US"), "911", WrongLength { code: 1, digits: 3, lengths: 1 << 10 }),
    ] {
        assert_eq!(read(home, typed), Err(why), "{typed} at {home:?}: {}", why);
    }
}

#[test]
fn the_reason_is_said_in_words() {
    let says = |typed: &str| read(None, typed).expect_err("broken").to_string();
    assert_eq!(says("12"), "1 digit after +1; numbers there have 10");
    assert_eq!(says("+1555010019"), "9 digits after +1; numbers there have 10");
    assert_eq!(says("+4477009001"), "8 digits after +44; numbers there have 7, 9 or 10");
    assert_eq!(says("+471234567"), "7 digits after +47; numbers there have 5 or 8");
    assert_eq!(says("+49 123"), "3 digits after +49; numbers there have 5 to 13");
    assert_eq!(says("+33 12345678"), "8 digits after +33; numbers there have 9");
    assert_eq!(says("+210 1234567"), "no country's code begins with 210");
}

#[test]
fn no_reason_contradicts_itself() {
    for plan in PLANS {
        for national in 0..=15 {
            let typed = format!("+{}{}", plan.code, &"234567892345678"[..national]);
            if let Err(why @ NumberError::WrongLength { digits, lengths, .. }) = read_abroad(&typed) {
                assert_eq!(lengths & 1 << digits, 0, "{typed}: {why}");
                assert_eq!(usize::from(digits), national, "{typed}: {why}");
            }
        }
    }
    let lengths = |set: &[u8]| Lengths(set.iter().fold(0, |lengths, length| lengths | 1 << length)).to_string();
    assert_eq!(lengths(&[10]), "10");
    assert_eq!(lengths(&[9, 10]), "9 or 10");
    assert_eq!(lengths(&[4, 5, 6]), "4 to 6");
    assert_eq!(lengths(&[5, 8, 9, 11, 12, 13]), "5, 8, 9 or 11 to 13");
}

fn read_abroad(typed: &str) -> Result<u64, NumberError> {
    ABROAD.parse(typed).map(Msisdn::number)
}

#[test]
fn sim_cards_of_machines_have_numbers() {
    for typed in [
        "+47 5800 0900 0000",
        "+34 590 0000000000",
        "+46719 0001234567",
        "+46710 0001234567",
        "+33 700 001 156 4653",
        "+33700312345678",
        "+32 77 00010023652",
        "+31 97 002801234",
    ] {
        assert!(read_abroad(typed).is_ok(), "{typed}: {:?}", read_abroad(typed));
    }
    assert_eq!(read(Some("NO"), "580009000000"), Ok(47_580_009_000_000));
    assert!(read_abroad("+4757 00 0900 0000").is_err(), "beside the range");
    assert!(read_abroad("+47580009000").is_err(), "within it, but shorter");
}

#[test]
fn ranges_are_told_where_no_table_knows_them() {
    let range = |prefix: &str, lengths: &[u8]| NumberRange::new(prefix, lengths);
    let ranges = vec![range("21099", &[11, 12]).expect("a range"), range("4767", &[15]).expect("a range")];
    let numbering = Numbering::new(None).expect("metadata").with_ranges(ranges);
    for typed in ["+210 99 123456", "+210991234567", "+476712345678901"] {
        assert!(numbering.parse(typed).is_ok(), "{typed}");
        assert!(read_abroad(typed).is_err(), "{typed}");
    }
    assert!(numbering.parse("+2109912345").is_err() && numbering.parse("+4766123456789012").is_err());
    assert_eq!(numbering.parse("+21098123456"), Err(NumberError::UnknownCountryCode(210)));
    for (prefix, lengths) in [("", &[10][..]), ("049", &[10]), ("4a", &[10]), ("49", &[]), ("49", &[16]), ("49", &[6])]
    {
        assert_eq!(range(prefix, lengths), None, "{prefix} {lengths:?}");
    }
    assert_eq!(range("123456789", &[8]), None, "shorter than its prefix");
}

#[test]
fn homes_are_countries() {
    for wrong in ["", "D", "GER", "ZZ", "de1"] {
        assert!(Numbering::new(Some(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn a_number_belongs_to_its_country() {
    let numbering = Numbering::new(None).expect("numbering");
    let is_in = |typed: &str, countries: &[&str]| {
        let countries: Vec<String> = countries.iter().map(|country| (*country).to_owned()).collect();
        numbering.is_in(numbering.parse(typed).expect("number"), &countries)
    };
    assert!(is_in("+4915112345678", &["AT", "DE"]) && !is_in("+4915112345678", &["AT", "CH"]));
    assert!(is_in("+12025550143", &["US"]) && !is_in("+12025550143", &["CA"]));
    assert!(is_in("+14165550143", &["CA"]) && !is_in("+14165550143", &["US"]));
    assert!(is_in("+77011234567", &["KZ"]) && !is_in("+77011234567", &["RU"]));
    assert!(!is_in("+88216123456789", &["DE"]));
    let country = |typed: &str| {
        let found = numbering.country(numbering.parse(typed).expect("number"));
        found.map(|country| country.code().to_owned())
    };
    let found = ["+4915112345678", "+12025550143", "+14165550143", "+77011234567", "+88216123456789"].map(country);
    assert_eq!(found.each_ref().map(Option::as_deref), [Some("DE"), Some("US"), Some("CA"), Some("KZ"), None]);
    let has_plan = |code: &str| numbering.has_plan(Country::new(code).expect("two letters"));
    assert_eq!(["DE", "KZ", "XQ"].map(has_plan), [true, true, false]);
}

#[test]
fn the_table_holds_the_codes_of_the_library() {
    let library = PhoneNumberUtil::new().expect("metadata");
    let mut codes: Vec<i32> = library.get_supported_calling_codes().collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes, PLANS.map(|plan| i32::from(plan.code)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_the_table_takes_is_possible_to_the_library(place in 0..PLANS.len(), rest in "[0-9]{2,14}") {
        let numbering = &*ABROAD;
        let typed = format!("+{}{rest}", PLANS[place].code);
        let is_machine = |number: Msisdn| MACHINES.iter().any(|range| range.holds(number.number(), count_digits(number.number())));
        if let Some(number) = numbering.parse(&typed).ok().filter(|&number| !is_machine(number)) {
            let again = numbering.library.parse(format!("+{number}"), None).expect("the library reads it");
            prop_assert!(numbering.library.is_possible_number(&again), "{}", typed);
            prop_assert_eq!(numbering.parse(&format!("+{number}")), Ok(number));
        }
    }

    #[test]
    fn no_text_is_too_odd(typed: String, home: bool) {
        let _ = if home { &GERMANY } else { &ABROAD }.parse(&typed);
    }
}
