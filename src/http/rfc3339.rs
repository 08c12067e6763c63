//! Instants as RFC 3339 text, both ways. Knows the calendar (proleptic Gregorian); knows no time zone but offsets, and
//! no clock.

use crate::model::Wall;

const DAY_MS: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Why a text is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnInstant {
    /// Not of the form `2026-01-31T12:00:00Z`, with `+02:00` or the like in place of `Z`.
    Form,
    /// Of the form, but no such day or hour exists, or it lies before 1970.
    Range,
}

/// Reads `2026-01-31T12:00:00Z`, `2026-01-31T14:00:00.123+02:00` and their like; parts of a millisecond are cut. A leap
/// second counts as the next one.
pub fn parse(text: &str) -> Result<Wall, NotAnInstant> {
    let bytes = text.as_bytes();
    let (Some(date_time), Some(rest)) = (bytes.first_chunk::<19>(), bytes.get(19..)) else {
        return Err(NotAnInstant::Form);
    };
    let form = date_time[4] == b'-' && date_time[7] == b'-' && date_time[13] == b':' && date_time[16] == b':';
    if !form || !matches!(date_time[10], b'T' | b't' | b' ') {
        return Err(NotAnInstant::Form);
    }
    let field = |from: usize, len: usize| digits(&date_time[from..from + len]).ok_or(NotAnInstant::Form);
    let (year, month, day) = (field(0, 4)?, field(5, 2)?, field(8, 2)?);
    let (hour, minute, second) = (field(11, 2)?, field(14, 2)?, field(17, 2)?);
    let (millis, zone) = fraction(rest)?;
    let offset_minutes = offset(zone)?;
    if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return Err(NotAnInstant::Range);
    }
    let minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    u64::try_from((minutes * 60 + second) * 1_000 + millis).map(Wall).map_err(|_| NotAnInstant::Range)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

fn fraction(rest: &[u8]) -> Result<(i64, &[u8]), NotAnInstant> {
    let Some(fraction) = rest.strip_prefix(b".") else {
        return Ok((0, rest));
    };
    let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return Err(NotAnInstant::Form);
    }
    let millis = (0..3).fold(0, |millis, place| match fraction[..length].get(place) {
        Some(digit) => millis * 10 + i64::from(digit - b'0'),
        None => millis * 10,
    });
    Ok((millis, &fraction[length..]))
}

/// Minutes east of Greenwich.
fn offset(zone: &[u8]) -> Result<i64, NotAnInstant> {
    let (sign, hours, minutes) = match zone {
        b"Z" | b"z" => return Ok(0),
        &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => (sign, digits(&[h1, h2]), digits(&[m1, m2])),
        _ => return Err(NotAnInstant::Form),
    };
    match (hours, minutes) {
        (Some(hours @ 0..=23), Some(minutes @ 0..=59)) => {
            Ok((hours * 60 + minutes) * if sign == b'-' { -1 } else { 1 })
        }
        (Some(_), Some(_)) => Err(NotAnInstant::Range),
        (None, _) | (_, None) => Err(NotAnInstant::Form),
    }
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - EPOCH_DAYS
}

/// Year, month and day of a day since 1970-01-01; the inverse of [`days_from_civil`].
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * month_from_march + 2) / 5 + 1)
}

/// Appends `2026-01-31T12:00:00.123Z`; instants past the year 9999 as its last millisecond.
pub fn push(out: &mut Vec<u8>, at: Wall) {
    let at = at.0.min(253_402_300_799_999);
    let (year, month, day) = civil_from_days((at / DAY_MS) as i64);
    let of_day = at % DAY_MS;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |from: usize, len: usize, mut number: u64| {
        for place in text[from..from + len].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(0, 4, year as u64);
    put(5, 2, month as u64);
    put(8, 2, day as u64);
    put(11, 2, of_day / 3_600_000);
    put(14, 2, of_day / 60_000 % 60);
    put(17, 2, of_day / 1_000 % 60);
    put(20, 3, of_day % 1_000);
    out.extend_from_slice(&text);
}

/// The first instant of the UTC hour, day or month after the one that holds `at`: when a calendar quota begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Hour,
    Day,
    Month,
}

impl Period {
    /// The number of the period that holds `at`, and when the next begins.
    pub fn of(self, at: Wall) -> (u64, Wall) {
        let span_ms = match self {
            Self::Hour => DAY_MS / 24,
            Self::Day => DAY_MS,
            Self::Month => {
                let (year, month, _) = civil_from_days((at.0 / DAY_MS) as i64);
                let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                let next = days_from_civil(next_year, next_month, 1) as u64 * DAY_MS;
                return ((year * 12 + month) as u64, Wall(next));
            }
        };
        (at.0 / span_ms, Wall((at.0 / span_ms + 1) * span_ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(at: u64) -> String {
        let mut out = Vec::new();
        push(&mut out, Wall(at));
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn known_instants() {
        for (typed, at) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999),
            ("2026-07-01T14:00:00+02:00", 1_782_907_200_000),
            ("2026-07-01 12:00:00.5z", 1_782_907_200_500),
            ("2026-07-01T06:30:00.0009-05:30", 1_782_907_200_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ] {
            assert_eq!(parse(typed), Ok(Wall(at)), "{typed}");
        }
        assert_eq!(text(1_782_907_200_123), "2026-07-01T12:00:00.123Z");
        assert_eq!(text(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_none() {
        use NotAnInstant::{Form, Range};
        for (typed, why) in [
            ("", Form),
            ("tomorrow", Form),
            ("2026-07-01", Form),
            ("2026-07-01T12:00:00", Form),
            ("2026-07-01T12:00:00.Z", Form),
            ("2026-07-01T12:00:00+0200", Form),
            ("2026-07-01T12:00:00Zx", Form),
            ("2026-7-01T12:00:00Z00", Form),
            ("2026-02-29T12:00:00Z", Range),
            ("2026-13-01T12:00:00Z", Range),
            ("2026-07-01T24:00:00Z", Range),
            ("2026-07-01T12:00:00+24:00", Range),
            ("1969-12-31T23:59:59Z", Range),
        ] {
            assert_eq!(parse(typed), Err(why), "{typed}");
        }
    }

    #[test]
    fn periods_end_where_the_calendar_says() {
        let at = parse("2026-12-31T23:30:00Z").expect("instant");
        let next = parse("2027-01-01T00:00:00Z").expect("instant");
        for period in [Period::Hour, Period::Day, Period::Month] {
            assert_eq!(period.of(at).1, next);
            assert_eq!(period.of(next).0, period.of(at).0 + 1);
        }
    }

    proptest! {
        #[test]
        fn every_instant_reads_back(at in 0_u64..253_402_300_800_000) {
            prop_assert_eq!(parse(&text(at)), Ok(Wall(at)));
        }

        #[test]
        fn no_text_is_too_odd(typed: String) {
            let _ = parse(&typed);
        }
    }
}
