//! The time format of SMPP, sixteen characters: `YYMMDDhhmmsstnnp` (SMPP 3.4 §7.1.1).
//!
//! Knows both forms: absolute, with tenths of a second and the offset from UTC in quarter hours, and relative (`…000R`).
//! Refuses to know the current time. Years are 2000 to 2099.

/// Length of a time in bytes.
pub const TIME_BYTES: usize = 16;

const SECONDS_PER_DAY: i64 = 86_400;
const DAYS_PER_MONTH: u64 = 30;
const DAYS_PER_YEAR: u64 = 365;

/// Longest period that is written in the relative form. It has the fields of a date, of which the day is the largest with a
/// fixed length, and a peer may accept no more than 31 days. A longer period can be given as an absolute time.
const RELATIVE_SECONDS_MAX: u64 = 32 * SECONDS_PER_DAY as u64 - 1;

/// A time as SMPP can express it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmppTime {
    /// An instant; only tenths of a second are kept when it is written.
    Absolute {
        /// Milliseconds since 1970-01-01T00:00:00 UTC, whatever time zone the text used.
        unix_ms: i64,
    },
    /// A period from the moment at which the SMSC accepts the message. When read, a month counts 30 days, a year 365.
    Relative {
        /// Length of the period.
        seconds: u64,
    },
}

/// Why a time cannot be written in this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOutOfRange {
    /// An absolute time before 2000 or after 2099.
    Year,
    /// A relative period of thirty-two days or more.
    Period,
}

impl SmppTime {
    /// Reads a time; `None` if the text is not exactly one. Any time zone is accepted.
    pub fn parse(text: &[u8]) -> Option<SmppTime> {
        let text: &[u8; TIME_BYTES] = text.try_into().ok()?;
        let (digits, sign) = text.split_last_chunk::<1>()?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let pair = |at: usize| u64::from(digits[at] - b'0') * 10 + u64::from(digits[at + 1] - b'0');
        let (year, month, day) = (pair(0), pair(2), pair(4));
        let (hour, minute, second) = (pair(6), pair(8), pair(10));
        let (tenth, quarters) = (u64::from(digits[12] - b'0'), pair(13));
        if sign == b"R" {
            let days = year * DAYS_PER_YEAR + month * DAYS_PER_MONTH + day;
            return Some(SmppTime::Relative { seconds: ((days * 24 + hour) * 60 + minute) * 60 + second });
        }
        let year = 2000 + year as i64;
        let real = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        if !real || hour > 23 || minute > 59 || second > 59 || quarters > 48 {
            return None;
        }
        let local = days_from_civil(year, month as i64, day as i64) * SECONDS_PER_DAY
            + (hour * 3600 + minute * 60 + second) as i64;
        let ahead = match sign {
            b"+" => quarters as i64 * 900,
            b"-" => -(quarters as i64) * 900,
            _ => return None,
        };
        Some(SmppTime::Absolute { unix_ms: (local - ahead) * 1000 + tenth as i64 * 100 })
    }

    /// Writes the time: an absolute one in UTC, truncated to tenths; a relative one in days, hours, minutes and seconds.
    pub fn write(self) -> Result<[u8; TIME_BYTES], TimeOutOfRange> {
        match self {
            SmppTime::Absolute { unix_ms } => {
                let seconds = unix_ms.div_euclid(1000);
                let tenth = unix_ms.rem_euclid(1000) / 100;
                let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
                if !(2000..2100).contains(&year) {
                    return Err(TimeOutOfRange::Year);
                }
                let second = seconds.rem_euclid(SECONDS_PER_DAY);
                let fields = [year - 2000, month, day, second / 3600, second / 60 % 60, second % 60];
                Ok(digits(fields.map(|field| field as u8), tenth as u8, b'+'))
            }
            SmppTime::Relative { seconds } if seconds > RELATIVE_SECONDS_MAX => Err(TimeOutOfRange::Period),
            SmppTime::Relative { seconds } => {
                let fields = [0, 0, seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60];
                Ok(digits(fields.map(|field| field as u8), 0, b'R'))
            }
        }
    }
}

fn digits(pairs: [u8; 6], tenth: u8, sign: u8) -> [u8; TIME_BYTES] {
    let mut text = [b'0'; TIME_BYTES];
    for (at, pair) in pairs.into_iter().enumerate() {
        text[at * 2] = b'0' + pair / 10;
        text[at * 2 + 1] = b'0' + pair % 10;
    }
    text[12] = b'0' + tenth;
    text[15] = sign;
    text
}

fn days_in_month(year: i64, month: u64) -> u64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &[u8], wanted: Option<SmppTime>) {
        assert_eq!(SmppTime::parse(text), wanted, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn both_forms_are_read() {
        check(b"000000000100000R", Some(SmppTime::Relative { seconds: 60 }));
        check(b"000002030405000R", Some(SmppTime::Relative { seconds: 2 * 86_400 + 3 * 3600 + 4 * 60 + 5 }));
        check(b"010100000000000R", Some(SmppTime::Relative { seconds: 395 * 86_400 }));
        check(b"000101000000000+", Some(SmppTime::Absolute { unix_ms: 946_684_800_000 }));
        check(b"240229235959900+", Some(SmppTime::Absolute { unix_ms: 1_709_251_199_900 }));
        check(b"240229235959904+", Some(SmppTime::Absolute { unix_ms: 1_709_247_599_900 }));
        check(b"240229235959904-", Some(SmppTime::Absolute { unix_ms: 1_709_254_799_900 }));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        check(b"", None);
        check(b"000000000100000", None);
        check(b"000000000100000RR", None);
        check(b"000000000100000r", None);
        check(b"00000000010000 R", None);
        check(b"230229000000000+", None);
        check(b"241301000000000+", None);
        check(b"240100000000000+", None);
        check(b"240101240000000+", None);
        check(b"240101000000049+", None);
    }

    #[test]
    fn what_sixteen_characters_cannot_say_is_refused() {
        assert_eq!(SmppTime::Relative { seconds: 32 * 86_400 }.write(), Err(TimeOutOfRange::Period));
        assert_eq!(SmppTime::Absolute { unix_ms: 946_684_799_999 }.write(), Err(TimeOutOfRange::Year));
        assert_eq!(SmppTime::Absolute { unix_ms: 4_102_444_800_000 }.write(), Err(TimeOutOfRange::Year));
        assert_eq!(SmppTime::Relative { seconds: 60 }.write(), Ok(*b"000000000100000R"));
        assert_eq!(SmppTime::Absolute { unix_ms: 4_102_444_799_999 }.write(), Ok(*b"991231235959900+"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tenths in 9_466_848_000i64..41_024_448_000, seconds in 0..=RELATIVE_SECONDS_MAX) {
            for time in [SmppTime::Absolute { unix_ms: tenths * 100 }, SmppTime::Relative { seconds }] {
                prop_assert_eq!(SmppTime::parse(&time.write().unwrap()), Some(time));
            }
        }

        #[test]
        fn anything_may_be_tried(text in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = SmppTime::parse(&text);
        }
    }
}
