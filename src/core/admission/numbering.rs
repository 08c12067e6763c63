//! The numbering plan: turns a number as people type it into a recipient, or into the rule that it breaks.
//!
//! International numbers are checked against a table of country codes and lengths in a few ns; a number that is dialled
//! within a country, or has a trunk prefix after its country code, goes through Google's library (0.9 µs). A number
//! that passes is *possible*, not necessarily assigned: new number ranges open faster than any table learns of them.
//! Knows no carrier and no price; does not guess a network from a number, because numbers are ported.

use std::fmt;

use rlibphonenumber::{PhoneNumber, PhoneNumberUtil, Region};

use crate::model::{Country, Msisdn, Quoted};

#[path = "numbering_table.rs"]
mod table;

use table::PLANS;

/// What the table knows of one country calling code.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// The calling code, 1 to 999.
    code: u16,
    /// Bit n is set if numbers with n digits after the code exist.
    lengths: u32,
    /// A number may begin with 0 after the code; where it may not, such a 0 is a trunk prefix that was left in.
    leading_zero: bool,
    /// ISO 3166 code of the (largest) country; `00` for a code that belongs to no country.
    region: [u8; 2],
    /// Other countries share the code.
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

/// First three digits → 1 + index in [`PLANS`]; 0: there is no such code.
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

/// More digits than any number has, with room for prefixes; a number of this length still fits 64 bits.
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

/// The rule that a number breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// It contains no digit.
    Empty,
    /// It contains something that is neither a digit, a `+` at the front, a space nor one of `-./()`.
    BadCharacter(char),
    /// It is in national format, and no home country is configured.
    NotInternational,
    /// No country code begins with these digits.
    UnknownCountryCode(u16),
    /// No number of this country has that many digits.
    WrongLength {
        /// The calling code.
        code: u16,
        /// Digits after the code.
        digits: u8,
        /// Bit n is set if numbers with n digits after the code exist.
        lengths: u32,
    },
    /// The 0 that is dialled only within the country follows the country code, and without it no number is left.
    TrunkPrefix(u16),
    /// It has more digits than any number.
    TooLong,
    /// It cannot be dialled within this country (ISO 3166).
    NotDiallable([u8; 2]),
}

impl fmt::Display for NumberError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => out.write_str("it contains no digit"),
            Self::BadCharacter(character) => {
                let mut bytes = [0; 4];
                write!(out, "{} is not allowed in a phone number", Quoted(character.encode_utf8(&mut bytes)))
            }
            Self::NotInternational => {
                out.write_str("begin with + and the country's code: no country is assumed here (`defaults.country`)")
            }
            Self::UnknownCountryCode(code) => write!(out, "no country's code begins with {code}"),
            Self::WrongLength { code, digits, lengths } => {
                let s = if *digits == 1 { "" } else { "s" };
                write!(out, "{digits} digit{s} after +{code}; numbers there have {}", Lengths(*lengths))
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

/// Number lengths in words; bit n is set for length n: `10`, `5 or 8`, `4 to 13`, `6, 8 or 10 to 12`.
struct Lengths(u32);

impl fmt::Display for Lengths {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut is_first = true;
        while rest != 0 {
            let from = rest.trailing_zeros();
            let run = (rest >> from).trailing_ones();
            // Two neighbours are written as two lengths, not as a range.
            let taken = if run == 2 { 1 } else { run };
            rest &= !(((1 << taken) - 1) << from);
            let between = match (is_first, rest) {
                (true, _) => "",
                (false, 0) => " or ",
                (false, _) => ", ",
            };
            write!(out, "{between}{from}")?;
            if taken > 1 {
                write!(out, " to {}", from + taken - 1)?;
            }
            is_first = false;
        }
        Ok(())
    }
}

/// Extra numbers: those with this prefix may have lengths that their country's plan does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    prefix: u64,
    prefix_digits: u8,
    /// Bit n is set for numbers of n digits in all.
    lengths: u16,
}

impl NumberRange {
    /// Numbers that begin with these digits (country code first, without `+`) and have one of these lengths, including
    /// the country code. `None` if no number can match.
    pub fn new(prefix: &str, lengths: &[u8]) -> Option<Self> {
        let prefix_digits = prefix.len();
        let is_prefix = (1..=Msisdn::DIGITS_MAX).contains(&prefix_digits)
            && !prefix.starts_with('0')
            && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let least = prefix_digits.max(Msisdn::DIGITS_MIN);
        let are_lengths = lengths.iter().all(|&length| (least..=Msisdn::DIGITS_MAX).contains(&usize::from(length)));
        if !is_prefix || !are_lengths || lengths.is_empty() {
            return None;
        }
        let lengths = lengths.iter().fold(0, |set, length| set | 1 << length);
        Some(Self { prefix: prefix.parse().ok()?, prefix_digits: prefix_digits as u8, lengths })
    }

    const fn of(prefix: u64, lengths: u16) -> Self {
        Self { prefix, prefix_digits: count_digits(prefix) as u8, lengths }
    }

    fn holds(&self, number: u64, digits: usize) -> bool {
        let front = || number / POWERS[digits - usize::from(self.prefix_digits)];
        digits <= Msisdn::DIGITS_MAX && self.lengths & 1 << digits != 0 && front() == self.prefix
    }
}

/// SIM cards of machines: longer than people's numbers, and absent from Google's metadata. From the regulators'
/// numbering plans: Belgium 77, France 700, Norway 58, Spain 590, Sweden 710 and 719.
const MACHINES: [NumberRange; 6] = [
    NumberRange::of(32_77, 1 << 15),
    NumberRange::of(33_700, 1 << 14 | 1 << 15),
    NumberRange::of(34_590, 1 << 15),
    NumberRange::of(46_710, 1 << 15),
    NumberRange::of(46_719, 1 << 15),
    NumberRange::of(47_58, 1 << 14),
];

/// No country of this name (ISO 3166, two letters) has a numbering plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCountry(pub String);

/// Reads numbers. The doors of each core have their own: the library keeps compiled patterns.
pub struct Numbering {
    home: Option<Region>,
    ranges: Vec<NumberRange>,
    library: PhoneNumberUtil,
}

impl fmt::Debug for Numbering {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Numbering").field("home", &self.home).finish_non_exhaustive()
    }
}

/// The library's tables are the same everywhere.
impl PartialEq for Numbering {
    fn eq(&self, other: &Self) -> bool {
        (&self.home, &self.ranges) == (&other.home, &other.ranges)
    }
}

impl Eq for Numbering {}

/// A number as typed: its digits, and how many there are, including leading zeros.
#[derive(Clone, Copy, Debug)]
struct Dialled {
    number: u64,
    digits: usize,
    plus: bool,
}

impl Numbering {
    /// Numbers without `+` are read as dialled in `home` (ISO 3166), or as international ones if `home` is `None`.
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
        Ok(Self { home: home.map(|(_, region)| region), ranges: Vec::new(), library })
    }

    /// Adds ranges of numbers that no table has yet.
    #[must_use]
    pub fn with_ranges(mut self, ranges: Vec<NumberRange>) -> Self {
        self.ranges = ranges;
        self
    }

    /// Reads a recipient.
    ///
    /// # Errors
    /// The first rule that the number breaks.
    pub fn parse(&self, typed: &str) -> Result<Msisdn, NumberError> {
        let Dialled { number, digits, plus } = scan(typed)?;
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
        self.country(number).is_some_and(|own| countries.iter().any(|country| country == own.code()))
    }

    /// The country of the number; `None` if it belongs to no country, such as one of a satellite network.
    pub fn country(&self, number: Msisdn) -> Option<Country> {
        let digits = count_digits(number.number());
        let plan = plan_of(number.number(), digits)?;
        if !plan.shared {
            return Country::new(plan.region());
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
            Some(region) => Country::new(region.as_region_str().as_str()),
            None => Country::new(plan.region()),
        }
    }

    /// Whether there is a numbering plan for that country.
    pub fn has_plan(&self, country: Country) -> bool {
        let region = Region::from_code(country.code()).ok();
        region.is_some_and(|region| self.library.get_country_code_for_region(region).is_some())
    }

    fn international(&self, number: u64, digits: usize) -> Result<Msisdn, NumberError> {
        self.planned(number, digits).or_else(|why| self.in_a_range(number, digits).ok_or(why))
    }

    /// The number if a configured or built-in range has it; the table of plans does not know these.
    fn in_a_range(&self, number: u64, digits: usize) -> Option<Msisdn> {
        let mut ranges = MACHINES.iter().chain(&self.ranges);
        ranges.any(|range| range.holds(number, digits)).then(|| Msisdn::from_number(number)).flatten()
    }

    fn planned(&self, number: u64, digits: usize) -> Result<Msisdn, NumberError> {
        let (plan, national) = check_front(number, digits)?;
        if !plan.leading_zero && number % POWERS[national] < POWERS[national - 1] {
            return self.without_trunk_prefix(number, digits, plan);
        }
        check_length(plan, national)?;
        Msisdn::from_number(number).ok_or(NumberError::TooLong)
    }

    /// `+49 (0) 151 …`: asks the library, which knows in which countries the 0 must be dropped.
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
        let as_planned = || {
            let (plan, national) = check_front(number, digits)?;
            check_length(plan, national)?;
            Msisdn::from_number(number).ok_or(NumberError::TooLong)
        };
        as_planned().or_else(|why| self.in_a_range(number, digits).ok_or(why))
    }

    /// The number with its country code, and how many digits it has.
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

fn scan(typed: &str) -> Result<Dialled, NumberError> {
    let mut found = Dialled { number: 0, digits: 0, plus: false };
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

/// The plan of a number, and how many digits follow its country code (at least one).
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

/// Up to three leading digits of the number.
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
    let (least, most) = (Msisdn::DIGITS_MIN - plan.code_digits(), Msisdn::DIGITS_MAX - plan.code_digits());
    let lengths = plan.lengths & ((2 << most) - (1 << least));
    NumberError::WrongLength { code: plan.code, digits: national as u8, lengths }
}

#[cfg(test)]
#[path = "numbering_tests.rs"]
mod tests;
