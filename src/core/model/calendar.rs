//! The calendar (proleptic Gregorian, UTC): days and their dates, and the periods that quotas count in. Reads no clock
//! and knows no time zone (`zone.rs`).

use super::time::Wall;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - EPOCH_DAYS
}

/// Year, month and day of the day with this number since 1970-01-01; the inverse of [`days_from_civil`].
pub const fn civil_from_days(days: i64) -> (i64, i64, i64) {
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

/// A period of the calendar: a quota starts again with the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Hour,
    Day,
    Month,
}

impl Period {
    /// Every period, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The number of the period that contains `at`, and when the next one begins.
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

    /// How long the period is that contains `at`, ms: months differ.
    pub const fn length_ms(self, at: Wall) -> u64 {
        match self {
            Self::Hour => DAY_MS / 24,
            Self::Day => DAY_MS,
            Self::Month => {
                let (year, month, _) = civil_from_days((at.0 / DAY_MS) as i64);
                let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                let days = days_from_civil(next_year, next_month, 1) - days_from_civil(year, month, 1);
                days as u64 * DAY_MS
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        for (days, date) in [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (20_635, (2026, 7, 1))] {
            assert_eq!((civil_from_days(days), days_from_civil(date.0, date.1, date.2)), (date, days));
        }
        assert!((-800_000..800_000).all(|days| {
            let (year, month, day) = civil_from_days(days);
            days_from_civil(year, month, day) == days
        }));
    }

    #[test]
    fn periods_end_where_the_calendar_says() {
        let day = |year, month, day| days_from_civil(year, month, day) as u64 * DAY_MS;
        let (at, next) = (Wall(day(2026, 12, 31) + DAY_MS - 1_800_000), Wall(day(2027, 1, 1)));
        for period in [Period::Hour, Period::Day, Period::Month] {
            assert_eq!(period.of(at).1, next);
            assert_eq!(period.of(next).0, period.of(at).0 + 1);
            assert!((next.0 - period.length_ms(at)..next.0).contains(&at.0));
        }
        let months = [(2024, 2), (2026, 2), (2026, 4), (2026, 12)];
        let days = months.map(|(year, month)| Period::Month.length_ms(Wall(day(year, month, 7))) / DAY_MS);
        assert_eq!(days, [29, 28, 30, 31]);
    }
}
