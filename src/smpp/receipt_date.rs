//! Dates in receipts: `YYMMDDhhmm`, also with seconds, with a century, or with further digits.
//!
//! Knows: the digits. Refuses to know: the carrier's time zone, which no receipt contains.

/// A date and time in the carrier's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptDate {
    /// 2000–2099.
    pub year: u16,
    /// 1–12.
    pub month: u8,
    /// 1 to the last day of the month.
    pub day: u8,
    /// 0–23.
    pub hour: u8,
    /// 0–59.
    pub minute: u8,
    /// 0–60.
    pub second: u8,
}

impl ReceiptDate {
    /// Reads the value of a date field; `None` if it is not a date in any known format.
    ///
    /// 10 digits are `YYMMDDhhmm`; 12 are `YYMMDDhhmmss`, or `YYYYMMDDhhmm` if the former is not a valid date; 14 are
    /// `YYYYMMDDhhmmss`, or `YYMMDDhhmmss` and two more digits; the last two formats are also tried for longer runs of digits.
    pub fn read(field: &[u8]) -> Option<Self> {
        let digits = field.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let field = field.get(..digits)?;
        match digits {
            0..=9 => None,
            10 | 11 => Self::short(field),
            12 | 13 => Self::short(field).or_else(|| Self::long(field)),
            _ => Self::long(field).or_else(|| Self::short(field)),
        }
    }

    fn short(digits: &[u8]) -> Option<Self> {
        Self::at(2000 + u16::from(pair(digits, 0)?), digits.get(2..)?)
    }

    fn long(digits: &[u8]) -> Option<Self> {
        Self::at(u16::from(pair(digits, 0)?) * 100 + u16::from(pair(digits, 2)?), digits.get(4..)?)
    }

    fn at(year: u16, rest: &[u8]) -> Option<Self> {
        let date = Self {
            year,
            month: pair(rest, 0)?,
            day: pair(rest, 2)?,
            hour: pair(rest, 4)?,
            minute: pair(rest, 6)?,
            second: pair(rest, 8).unwrap_or(0),
        };
        let holds = (2000..2100).contains(&year)
            && (1..=12).contains(&date.month)
            && (1..=days_of(year, date.month)).contains(&date.day)
            && date.hour < 24
            && date.minute < 60
            && date.second <= 60;
        holds.then_some(date)
    }

    /// Seconds since 1970, on the assumption that the carrier's clock shows UTC.
    pub fn unix_seconds(&self) -> u64 {
        let years = u64::from(self.year) - 1970;
        // 2000 was a leap year and 2100 is out of range, so every fourth year is a leap year.
        let leap_days = (years + 1) / 4;
        let months: u64 = (1..self.month).map(|month| u64::from(days_of(self.year, month))).sum();
        let days = years * 365 + leap_days + months + u64::from(self.day) - 1;
        ((days * 24 + u64::from(self.hour)) * 60 + u64::from(self.minute)) * 60 + u64::from(self.second)
    }
}

fn pair(digits: &[u8], at: usize) -> Option<u8> {
    match digits.get(at..at + 2)? {
        &[tens, ones] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

fn days_of(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
