//! The numbering plan: from a number as people type it to a recipient, or to the rule that it breaks.
//!
//! International numbers are judged by a table of country codes and lengths in a few ns; what is dialled within a
//! country, or carries a trunk prefix after its country code, goes through Google's library (0.9 µs). A number that
//! passes is *possible*, not assigned: numbers are opened faster than any table learns of them.
//! Knows no carrier and no price; refuses to guess a network from a number, for numbers are ported.

use std::fmt;

use rlibphonenumber::{PhoneNumber, PhoneNumberUtil, Region};

use crate::model::{Msisdn, Quoted};

#[path = "numbering_table.rs"]
mod table;

use table::PLANS;

/// What is known of one country calling code.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// 1 to 999.
    code: u16,
    /// Bit n: numbers of n digits after the code exist.
    lengths: u32,
    /// A number may begin with 0 after the code; elsewhere such a 0 is a trunk prefix that was left in.
    leading_zero: bool,
    /// ISO 3166 of the (largest) country; `00` for what belongs to none.
    region: [u8; 2],
    /// Other countries have the same code.
    shared: bool,
}

impl Plan {
    const fn code_digits(self) -> usize {
        match self.code {
            0..10 => 1,
            10..100 => 2,
            _ => 3,
        }
    }

    fn region(&self) -> &str {
        std::str::from_utf8(&self.region).unwrap_or_default()
    }
}

/// First three digits → 1 + place in [`PLANS`]; 0: no such code.
const PLAN_OF: [u8; 1_000] = {
    let mut places = [0; 1_000];
    let mut place = 0;
    while place < PLANS.len() {
        let plan = PLANS[place];
        let span = [100, 10, 1][plan.code_digits() - 1];
        let mut at = plan.code as usize * span;
        let end = at + span;
        while at < end {
            places[at] = place as u8 + 1;
            at += 1;
        }
        place += 1;
    }
    places
};

const _: () = assert!(PLANS.len() < u8::MAX as usize);

/// More digits than any number has, with room for prefixes; all of them fit 64 bits.
const TYPED_DIGITS_MAX: usize = 19;

const POWERS: [u64; TYPED_DIGITS_MAX + 1] = {
    let mut powers = [1; TYPED_DIGITS_MAX + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Which rule a number breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// No digit in it.
    Empty,
    /// Something that is neither digit, `+` at the front, space nor one of `-./()`.
    BadCharacter(char),
    /// In national format, and no country is assumed.
    NotInternational,
    /// No country has a code that begins so.
    UnknownCountryCode(u16),
    /// No number of this country has so many digits.
    WrongLength {
        /// Its calling code.
        code: u16,
        /// Digits after the code.
        digits: u8,
        /// Fewest that exist.
        min: u8,
        /// Most that exist.
        max: u8,
    },
    /// The 0 that is dialled within the country stands after its code, and without it there is no number left.
    TrunkPrefix(u16),
    /// More digits than any number.
    TooLong,
    /// Not a number that can be dialled within this country (ISO 3166).
    NotDiallable([u8; 2]),
}

impl fmt::Display for NumberError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => out.write_str("there is no digit in it"),
            Self::BadCharacter(character) => {
                let mut octets = [0; 4];
                write!(out, "{} has no place in a telephone number", Quoted(character.encode_utf8(&mut octets)))
            }
            Self::NotInternational => {
                out.write_str("begin with + and the country's code: no country is assumed here (`defaults.country`)")
            }
            Self::UnknownCountryCode(code) => write!(out, "no country's code begins with {code}"),
            Self::WrongLength { code, digits, min, max } => {
                let s = if *digits == 1 { "" } else { "s" };
                write!(out, "{digits} digit{s} after +{code}; numbers there have {min}")?;
                if min == max { Ok(()) } else { write!(out, " to {max}") }
            }
            Self::TrunkPrefix(code) => write!(out, "the 0 after +{code} is only dialled within the country"),
            Self::TooLong => out.write_str("no number has more than 15 digits"),
            Self::NotDiallable(region) => {
                write!(out, "not a number as it is dialled in {}", std::str::from_utf8(region).unwrap_or_default())
            }
        }
    }
}

impl std::error::Error for NumberError {}

/// No country of this name (ISO 3166, two letters) has a numbering plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCountry(pub String);

/// Reads numbers. One per core: the library keeps compiled patterns.
pub struct Numbering {
    home: Option<Region>,
    library: PhoneNumberUtil,
}

impl fmt::Debug for Numbering {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Numbering").field("home", &self.home).finish_non_exhaustive()
    }
}

/// Digits as typed, leading zeros counted.
#[derive(Clone, Copy, Debug)]
struct Typed {
    number: u64,
    digits: usize,
    plus: bool,
}

impl Numbering {
    /// Numbers without `+` are read as dialled in `home` (ISO 3166), or as international ones if there is none.
    ///
    /// # Errors
    /// [`UnknownCountry`].
    pub fn new(home: Option<&str>) -> Result<Self, UnknownCountry> {
        let unknown = |name: &str| UnknownCountry(name.to_owned());
        let library = PhoneNumberUtil::new().map_err(|error| UnknownCountry(error.to_string()))?;
        let region = |name: &str| Region::from_code(name).map_err(|_| unknown(name));
        let home = home.map(|name| region(name).map(|region| (name, region))).transpose()?;
        if let Some((name, region)) = home {
            library.get_country_code_for_region(region).ok_or_else(|| unknown(name))?;
        }
        Ok(Self { home: home.map(|(_, region)| region), library })
    }

    /// The recipient that was typed.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(&self, typed: &str) -> Result<Msisdn, NumberError> {
        let Typed { number, digits, plus } = scan(typed)?;
        if let Some(home) = self.home.filter(|_| !plus) {
            return self.dialled(number, digits, home);
        }
        match digits - count_digits(number) {
            0 => self.international(number, digits),
            2 if !plus => self.international(number, digits - 2),
            _ if plus => Err(NumberError::UnknownCountryCode(0)),
            _ => Err(NumberError::NotInternational),
        }
    }

    /// Whether the number belongs to one of these countries (ISO 3166).
    pub fn is_in(&self, number: Msisdn, countries: &[String]) -> bool {
        let digits = count_digits(number.number());
        let Some(plan) = plan_of(number.number(), digits) else { return false };
        let is_main = || countries.iter().any(|country| country == plan.region());
        if !plan.shared {
            return is_main();
        }
        let national = digits - plan.code_digits();
        let rest = number.number() % POWERS[national];
        let leading = national - count_digits(rest);
        let split = PhoneNumber {
            country_code: plan.code.into(),
            national_number: rest,
            italian_leading_zero: (leading > 0).then_some(true),
            number_of_leading_zeros: (leading > 0).then_some(leading as i32),
            ..PhoneNumber::default()
        };
        match self.library.get_region_for_number(&split) {
            Some(region) => countries.iter().any(|country| country == region.as_region_str().as_str()),
            None => is_main(),
        }
    }

    fn international(&self, number: u64, digits: usize) -> Result<Msisdn, NumberError> {
        let (plan, national) = check_front(number, digits)?;
        if !plan.leading_zero && number % POWERS[national] < POWERS[national - 1] {
            return self.without_trunk_prefix(number, digits, plan);
        }
        check_length(plan, national)?;
        Msisdn::from_number(number).ok_or(NumberError::TooLong)
    }

    /// `+49 (0) 151 …`: how the library reads it, which knows where the 0 is one to be dropped.
    fn without_trunk_prefix(&self, number: u64, digits: usize, plan: Plan) -> Result<Msisdn, NumberError> {
        let typed = format!("+{number:0digits$}");
        let refused = NumberError::TrunkPrefix(plan.code);
        let (number, digits) = self.ask_library(&typed, None).ok_or(refused)?;
        let (plan, national) = check_front(number, digits)?;
        if number % POWERS[national] < POWERS[national - 1] {
            return Err(refused);
        }
        check_length(plan, national)?;
        Msisdn::from_number(number).ok_or(NumberError::TooLong)
    }

    fn dialled(&self, number: u64, digits: usize, home: Region) -> Result<Msisdn, NumberError> {
        let refused = || NumberError::NotDiallable(iso(home));
        let (number, digits) = self.ask_library(&format!("{number:0digits$}"), Some(home)).ok_or_else(refused)?;
        let (plan, national) = check_front(number, digits)?;
        check_length(plan, national)?;
        Msisdn::from_number(number).ok_or(NumberError::TooLong)
    }

    /// The number with its country code, and how many digits that are.
    fn ask_library(&self, typed: &str, home: Option<Region>) -> Option<(u64, usize)> {
        let found = self.library.parse(typed, home).ok()?;
        let code = u64::try_from(found.country_code).ok().filter(|code| (1..1_000).contains(code))?;
        let zeros = if found.italian_leading_zero() { found.number_of_leading_zeros() } else { 0 };
        let national = count_digits(found.national_number) + usize::try_from(zeros).ok()?;
        let digits = count_digits(code) + national;
        if digits > TYPED_DIGITS_MAX {
            return None;
        }
        Some((code * POWERS[national] + found.national_number, digits))
    }
}

fn iso(region: Region) -> [u8; 2] {
    region.as_region_str().as_str().as_bytes().first_chunk().copied().unwrap_or_default()
}

fn scan(typed: &str) -> Result<Typed, NumberError> {
    let mut found = Typed { number: 0, digits: 0, plus: false };
    for (at, byte) in typed.bytes().enumerate() {
        match byte {
            b'0'..=b'9' if found.digits < TYPED_DIGITS_MAX => {
                found.number = found.number * 10 + u64::from(byte - b'0');
                found.digits += 1;
            }
            b'0'..=b'9' => return Err(NumberError::TooLong),
            b'+' if found.digits == 0 && !found.plus => found.plus = true,
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' => {}
            _ => {
                return Err(NumberError::BadCharacter(
                    typed.get(at..).and_then(|rest| rest.chars().next()).unwrap_or('\u{FFFD}'),
                ));
            }
        }
    }
    if found.digits == 0 { Err(NumberError::Empty) } else { Ok(found) }
}

const fn count_digits(number: u64) -> usize {
    match number.checked_ilog10() {
        Some(power) => power as usize + 1,
        None => 1,
    }
}

/// The plan of a number, and how many digits stand after its code (at least one).
fn check_front(number: u64, digits: usize) -> Result<(Plan, usize), NumberError> {
    if digits < Msisdn::DIGITS_MIN {
        return Err(match plan_of(number * POWERS[Msisdn::DIGITS_MIN - digits], Msisdn::DIGITS_MIN) {
            Some(plan) => wrong_length(plan, digits.saturating_sub(plan.code_digits())),
            None => NumberError::UnknownCountryCode(leading(number, digits)),
        });
    }
    let plan = plan_of(number, digits).ok_or_else(|| NumberError::UnknownCountryCode(leading(number, digits)))?;
    Ok((plan, digits - plan.code_digits()))
}

/// Up to three leading digits.
fn leading(number: u64, digits: usize) -> u16 {
    (number / POWERS[digits.saturating_sub(3)]) as u16
}

fn plan_of(number: u64, digits: usize) -> Option<Plan> {
    let front = number / POWERS[digits.checked_sub(3)?];
    let place = PLAN_OF.get(usize::try_from(front).ok()?)?;
    PLANS.get(usize::from(*place).checked_sub(1)?).copied()
}

fn check_length(plan: Plan, national: usize) -> Result<(), NumberError> {
    if plan.lengths & 1 << national == 0 { Err(wrong_length(plan, national)) } else { Ok(()) }
}

fn wrong_length(plan: Plan, national: usize) -> NumberError {
    let (min, max) = (plan.lengths.trailing_zeros() as u8, plan.lengths.ilog2() as u8);
    let max = max.min((Msisdn::DIGITS_MAX - plan.code_digits()) as u8);
    NumberError::WrongLength { code: plan.code, digits: national as u8, min, max }
}

#[cfg(test)]
#[path = "numbering_tests.rs"]
mod tests;
