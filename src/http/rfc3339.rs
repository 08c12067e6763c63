//! Instants as RFC 3339 text, parsed and written. Knows offsets but no time zones, and no clock.

use stentor_core::model::{
    Wall,
    calendar::{DAY_MS, civil_from_days, days_from_civil},
};

/// Why a text is not an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnInstant {
    /// Not of the form `2026-01-31T12:00:00Z`, or with an offset such as `+02:00` instead of `Z`.
    Form,
    /// Of the right form, but there is no such day or hour.
    Range,
}

/// Parses texts such as `2026-01-31T12:00:00Z` and `2026-01-31T14:00:00.123+02:00`; fractions of a millisecond are cut off. A
/// leap second counts as the second after it, and instants before 1970 as 1970-01-01T00:00:00Z.
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
    let at = (minutes * 60 + second) * 1_000 + millis;
    Ok(Wall(u64::try_from(at).unwrap_or_default()))
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

/// Minutes east of UTC.
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

/// Appends text such as `2026-01-31T12:00:00.123Z`; instants past the year 9999 become its last millisecond.
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
            ("1969-12-31T23:59:59Z", 0),
            ("1970-01-01T00:00:00+02:00", 0),
            ("0000-01-01T00:00:00Z", 0),
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
        ] {
            assert_eq!(parse(typed), Err(why), "{typed}");
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
