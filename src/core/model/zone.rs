//! Time zones and their months. The database of zones is part of the program (`chrono-tz`): a zone is a value, and what it
//! answers depends on nothing else. Reads no clock, no file and no variable of the environment.
//!
//! What a government decides after the release of the database is known only to a later version. From the year 2100 on a
//! zone keeps its last offset.

use std::fmt;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::calendar::{DAY_MS, civil_from_days, days_from_civil};
use super::time::Wall;

/// In every zone months begin at a multiple of this, ms: the offsets of today are full quarters of an hour.
pub const QUARTER_MS: u64 = 900_000;
/// No offset is larger, ms.
const OFFSET_MAX_MS: i64 = 15 * 3_600_000;

/// A time zone of the IANA database.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

/// A month in a zone: from the first instant of its first day, to that of the next month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    pub began: Wall,
    pub ends: Wall,
}

impl Zone {
    /// The zone whose offset is always zero.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone of that name, such as `Europe/Berlin`; names are compared letter by letter.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The names of all zones.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// The month that contains `at`. A clock that is turned back over the beginning of a month does not end that month.
    pub fn month(self, at: Wall) -> Month {
        let ms = at.0 as i64;
        let (year, month, _) = civil_from_days((ms + self.offset_ms(ms)).div_euclid(DAY_MS as i64));
        let began = |month| self.month_began(year, month);
        let (this, next) = (began(month), began(month + 1));
        // Turned back over midnight of the first: the clock shows the month before once more.
        let (began, ends) = if next <= at { (next, began(month + 2)) } else { (this, next) };
        Month { began, ends }
    }

    /// The first instant at which the clock of the zone shows the first of that month, or later. Months go on after 12.
    fn month_began(self, year: i64, month: i64) -> Wall {
        let (year, month) = (year + (month - 1) / 12, (month - 1) % 12 + 1);
        let local = days_from_civil(year, month, 1) * DAY_MS as i64;
        let (earliest, latest) = (local - OFFSET_MAX_MS, local + OFFSET_MAX_MS);
        let offset = self.offset_ms(earliest);
        let at = if offset == self.offset_ms(latest) {
            local - offset
        } else {
            // The offset changes within these hours, perhaps at midnight itself.
            let mut quarters = (earliest..latest).step_by(QUARTER_MS as usize);
            quarters.find(|at| at + self.offset_ms(*at) >= local).unwrap_or(latest)
        };
        Wall(at.max(0) as u64)
    }

    /// What is added to UTC at that time, ms.
    fn offset_ms(self, at_ms: i64) -> i64 {
        // An instant that the calendar does not reach has no offset: it is in no configuration's future.
        DateTime::from_timestamp_millis(at_ms)
            .map_or(0, |at| i64::from(self.0.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()) * 1_000)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An instant, UTC.
    fn utc(year: i64, month: i64, day: i64, hour: u64, minute: u64) -> Wall {
        Wall(days_from_civil(year, month, day) as u64 * DAY_MS + hour * 3_600_000 + minute * 60_000)
    }

    fn check(zone: &str, began: Wall, ends: Wall) {
        let found = Zone::parse(zone).expect(zone);
        for at in [began, Wall(began.0 + 1), Wall(began.0 + 13 * DAY_MS), Wall(ends.0 - 1)] {
            assert_eq!(found.month(at), Month { began, ends }, "{zone} at {at:?}");
        }
        assert_eq!(found.month(Wall(began.0 - 1)).ends, began, "{zone}");
        assert_eq!(found.month(ends).began, ends, "{zone}");
    }

    #[test]
    fn months_begin_at_midnight_of_their_zone() {
        check("UTC", utc(2026, 12, 1, 0, 0), utc(2027, 1, 1, 0, 0));
        // Summer time begins in March, and ends in October: these months are an hour shorter and longer.
        check("Europe/Berlin", utc(2026, 2, 28, 23, 0), utc(2026, 3, 31, 22, 0));
        check("Europe/Berlin", utc(2026, 9, 30, 22, 0), utc(2026, 10, 31, 23, 0));
        check("Asia/Kathmandu", utc(2026, 6, 30, 18, 15), utc(2026, 7, 31, 18, 15));
        check("America/St_Johns", utc(2026, 7, 1, 2, 30), utc(2026, 8, 1, 2, 30));
        // On the first of November 2026 the clock is turned back at two o'clock.
        check("America/New_York", utc(2026, 11, 1, 4, 0), utc(2026, 12, 1, 5, 0));
        check("America/New_York", utc(2026, 10, 1, 4, 0), utc(2026, 11, 1, 4, 0));
    }

    #[test]
    fn months_begin_and_end_beside_what_a_clock_leaves_out() {
        // Apia left out the 30th of December 2011.
        check("Pacific/Apia", utc(2011, 12, 1, 10, 0), utc(2011, 12, 31, 10, 0));
        // Asuncion's clock went from midnight of the first of October to one o'clock.
        check("America/Asuncion", utc(2017, 10, 1, 4, 0), utc(2017, 11, 1, 3, 0));
    }

    #[test]
    fn a_clock_turned_back_over_midnight_ends_no_month() {
        // Havana, the first of November 2015, one o'clock: midnight once more, which is still the first.
        check("America/Havana", utc(2015, 11, 1, 4, 0), utc(2015, 12, 1, 5, 0));
        // Goose Bay, the first of November 2009, one minute after midnight: back to 23:01 of October.
        let zone = Zone::parse("America/Goose_Bay").expect("a zone");
        let back = utc(2009, 11, 1, 3, 1);
        assert_eq!(zone.month(Wall(back.0 + 60_000)).began, zone.month(Wall(back.0 - 1)).began);
    }

    #[test]
    fn months_of_all_zones_follow_each_other() {
        for name in Zone::names() {
            let zone = Zone::parse(name).expect(name);
            let mut at = utc(2025, 12, 15, 0, 0);
            for _ in 0..60 {
                let Month { began, ends } = zone.month(at);
                assert!(began <= at && at < ends && began.0 % QUARTER_MS == 0, "{name} {at:?}");
                assert!((27 * DAY_MS..32 * DAY_MS).contains(&(ends.0 - began.0)), "{name} {at:?}");
                at = ends;
            }
        }
    }

    #[test]
    fn names_are_those_of_the_database() {
        assert_eq!(Zone::parse("Europe/Berlin").map(Zone::name), Some("Europe/Berlin"));
        assert_eq!((Zone::parse("europe/berlin"), Zone::parse("+01:00"), Zone::parse("")), (None, None, None));
        assert!(Zone::names().any(|name| name == "UTC"));
    }
}
