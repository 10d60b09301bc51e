//! Wall-clock time, the calendar, and times as people read and write them.
//!
//! It is here because std knows neither, and the program takes no library at run time beyond its three. [`Zone`] is the local
//! time, read from what the system has; see `time/zone.rs` for the file and `time/rule.rs` for the rules that hold after its
//! end.
//!
//! Left out: leap seconds (the `right/` zones come out shifted by them), zone abbreviations, languages.

mod rule;
mod zone;

pub use zone::Zone;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::text;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const MICROS: u64 = 1_000_000;

/// The time now in microseconds since 1970 (UTC); 0 on a clock that is set before it.
pub fn now_micros() -> u64 {
    micros(SystemTime::now())
}

/// The same of another time.
pub fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// How far a clock may be ahead of this one, in µs. What is further ahead comes from a clock that was set wrong.
const MAX_AHEAD: u64 = 3600 * MICROS;

/// What is shown for a time that is not known.
const UNKNOWN_TIME: &str = "????-??-?? ??:??:??";

/// The time `micros`, unless it is 0, which stands for an unknown time, or more than an hour ahead of the clock.
pub fn believed(micros: u64) -> Option<u64> {
    Some(micros).filter(|micros| *micros != 0 && *micros <= now_micros().saturating_add(MAX_AHEAD))
}

/// The same in seconds.
pub fn believed_seconds(seconds: u64) -> Option<u64> {
    believed(seconds.saturating_mul(MICROS)).map(|_| seconds)
}

/// A date and a time of day in the Gregorian calendar, in no particular zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Civil {
    /// Astronomical: year 0 comes before year 1.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl Civil {
    /// The date and time `seconds` after 1970-01-01 00:00:00.
    pub fn from_seconds(seconds: i64) -> Civil {
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
        let clock = seconds.rem_euclid(DAY);
        // Each of these is below 60.
        let [hour, minute, second] = [clock / HOUR, clock / MINUTE % 60, clock % 60].map(|n| n as u8);
        Civil { year, month, day, hour, minute, second }
    }

    /// Seconds from 1970-01-01 00:00:00 to here. Fields out of range count on, as in mktime(3).
    pub fn to_seconds(self) -> i64 {
        let clock = i64::from(self.hour) * HOUR + i64::from(self.minute) * MINUTE + i64::from(self.second);
        days_from_civil(self.year, self.month, self.day) * DAY + clock
    }
}

/// Days from 1970-01-01 to a date. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// days_from_civil: years start in March, so that the leap day is the last, and an era is the 400 years after
/// which all repeats.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    // Beyond this, seconds do not fit in 64 bits.
    let year = year.clamp(-290_000_000_000, 290_000_000_000);
    let (month, day) = (i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The year, month and day that are `days` after 1970-01-01; civil_from_days of the same source.
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        2 => 28 + u8::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Zone {
    /// The local date and time at `unix_seconds`.
    fn civil(&self, unix_seconds: i64) -> Civil {
        Civil::from_seconds(unix_seconds.saturating_add(self.offset_at(unix_seconds).into()))
    }

    /// Formats a time in microseconds since 1970 as local `YYYY-MM-DD HH:MM:SS`.
    pub fn format(&self, micros: u64) -> String {
        let Civil { year, month, day, hour, minute, second } = self.civil((micros / MICROS) as i64);
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }

    /// The same of a time that may not be known, which is as long then.
    pub fn format_known(&self, micros: Option<u64>) -> String {
        micros.map_or_else(|| UNKNOWN_TIME.to_owned(), |micros| self.format(micros))
    }

    /// The time at which clocks here show `civil`. Of two, the earlier; where clocks skipped it, what it
    /// would have been without the skip.
    fn seconds_at(&self, civil: Civil) -> i64 {
        let shown = civil.to_seconds();
        // No offset in use reaches a day, so these two are in force before and after.
        let before = shown - i64::from(self.offset_at(shown - DAY));
        let after = shown - i64::from(self.offset_at(shown + DAY));
        if self.civil(before) != civil && self.civil(after) == civil { after } else { before }
    }

    /// Reads a time as people write it for `log --since`, in microseconds since 1970.
    ///
    /// `YYYY-MM-DD`, with ` HH:MM` or ` HH:MM:SS` (or `T` for the space), `HH:MM` today, `today`,
    /// `yesterday`, `now`, or how long ago: `2h`, `3d` (see [`text::parse_duration`]). Times before 1970 are 0.
    pub fn parse_time(&self, text: &str, now_micros: u64) -> Option<u64> {
        let text = text.trim();
        if let Some(ago) = text::parse_duration(text) {
            return Some(now_micros.saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX)));
        }
        let civil_now = self.civil((now_micros / MICROS) as i64);
        let today = Civil { hour: 0, minute: 0, second: 0, ..civil_now };
        let civil = match text {
            "now" => return Some(now_micros),
            "today" => today,
            "yesterday" => Civil::from_seconds(today.to_seconds() - DAY),
            _ => match text.split_once([' ', 'T']) {
                Some((date, clock)) => parse_clock(clock, parse_date(date)?)?,
                None => parse_date(text).or_else(|| parse_clock(text, today))?,
            },
        };
        let seconds = u64::try_from(self.seconds_at(civil)).unwrap_or(0);
        seconds.checked_mul(MICROS)
    }
}

/// Reads `YYYY-MM-DD`.
fn parse_date(text: &str) -> Option<Civil> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?.into();
    let month = in_range(digits(parts.next()?, 2)?, 1, 12)?;
    let day = in_range(digits(parts.next()?, 2)?, 1, days_in_month(year, month))?;
    parts.next().is_none().then_some(Civil { year, month, day, hour: 0, minute: 0, second: 0 })
}

/// Reads `HH:MM` or `HH:MM:SS` on the day of `date`.
fn parse_clock(text: &str, date: Civil) -> Option<Civil> {
    let mut parts = text.split(':');
    let hour = in_range(digits(parts.next()?, 2)?, 0, 23)?;
    let minute = in_range(digits(parts.next()?, 2)?, 0, 59)?;
    let second = parts.next().map_or(Some(0), |part| in_range(digits(part, 2)?, 0, 59))?;
    parts.next().is_none().then_some(Civil { hour, minute, second, ..date })
}

/// Reads exactly `length` decimal digits; no sign.
fn digits(text: &str, length: usize) -> Option<u16> {
    let plain = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn in_range(number: u16, least: u8, most: u8) -> Option<u8> {
    u8::try_from(number).ok().filter(|n| (least..=most).contains(n))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn civil(year: i64, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Civil {
        Civil { year, month, day, hour, minute, second }
    }

    #[test]
    fn the_calendar_by_example() {
        let cases = [
            (0, civil(1970, 1, 1, 0, 0, 0)),
            (-1, civil(1969, 12, 31, 23, 59, 59)),
            (951_782_400, civil(2000, 2, 29, 0, 0, 0)),
            (1_709_251_199, civil(2024, 2, 29, 23, 59, 59)),
            (4_107_542_400, civil(2100, 3, 1, 0, 0, 0)),
            (-62_167_219_200, civil(0, 1, 1, 0, 0, 0)),
        ];
        for (seconds, date) in cases {
            assert_eq!(Civil::from_seconds(seconds), date);
            assert_eq!(date.to_seconds(), seconds);
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut days = days_from_civil(1900, 1, 1);
        for year in 1900..2300 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(civil_from_days(days), (year, month, day));
                    assert_eq!(days_from_civil(year, month, day), days);
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let zone = Zone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for seconds in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            let _ = (Civil::from_seconds(seconds), zone.offset_at(seconds));
        }
        let _ = civil(i64::MAX, 255, 255, 255, 255, 255).to_seconds();
        let _ = civil(i64::MIN, 0, 0, 0, 0, 0).to_seconds();
        assert_eq!(Zone::utc().format(u64::MAX), "586524-01-19 08:01:49");
        assert!(now_micros() > 1_600_000_000 * MICROS);
    }

    fn at(zone: &Zone, text: &str) -> Option<i64> {
        // 2024-07-15 12:30:00 UTC
        let now = 1_721_046_600 * MICROS;
        zone.parse_time(text, now).map(|micros| (micros / MICROS) as i64)
    }

    #[test]
    fn times_as_people_write_them() {
        let zone = Zone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let cases = [
            ("2024-07-15", "2024-07-15 00:00:00"),
            ("2024-01-15 08:05", "2024-01-15 08:05:00"),
            ("2024-01-15T08:05:59", "2024-01-15 08:05:59"),
            (" 09:15 ", "2024-07-15 09:15:00"),
            ("23:59:58", "2024-07-15 23:59:58"),
            ("today", "2024-07-15 00:00:00"),
            ("yesterday", "2024-07-14 00:00:00"),
            ("2h", "2024-07-15 12:30:00"),
            ("3d", "2024-07-12 14:30:00"),
            ("now", "2024-07-15 14:30:00"),
            ("0", "2024-07-15 14:30:00"),
            ("99999999d", "1970-01-01 01:00:00"),
            ("1969-07-20", "1970-01-01 01:00:00"),
        ];
        for (text, expected) in cases {
            let micros = zone.parse_time(text, 1_721_046_600 * MICROS).unwrap();
            assert_eq!(zone.format(micros), expected, "{text:?}");
        }
        for bad in [
            "",
            "tomorrow",
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-1-1",
            "24-01-01",
            "2024-01-01-01",
            "2024-01-01 24:00",
            "12:60",
            "12",
            "1:2",
            "12:00:00:00",
            "+024-01-01",
            "2024-01-01 ",
            "２０:００",
            "2024-01-01 x",
        ] {
            // Outer blanks are nothing.
            let expected = bad == "2024-01-01 ";
            assert_eq!(zone.parse_time(bad, 0).is_some(), expected, "{bad:?}");
        }
    }

    #[test]
    fn a_time_that_comes_twice_is_the_first_and_one_that_never_comes_is_later() {
        let zone = Zone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(at(&zone, "2024-10-27 02:30"), Some(1_729_989_000)); // 00:30 UTC
        assert_eq!(at(&zone, "2024-03-31 02:30"), Some(1_711_848_600)); // 01:30 UTC, shown as 03:30
        let west = Zone::posix("EST5EDT").unwrap();
        assert_eq!(at(&west, "2024-11-03 01:30"), Some(1_730_611_800)); // 05:30 UTC
        assert_eq!(at(&west, "2024-03-10 02:30"), Some(1_710_055_800)); // 07:30 UTC
        assert_eq!(at(&west, "2024-03-10 03:00"), Some(1_710_054_000)); // 07:00 UTC, the first after it
        assert_eq!(at(&west, "today"), Some(1_721_016_000));
    }

    proptest! {
        #[test]
        fn the_calendar_goes_both_ways(seconds in -9_000_000_000_000_000_000_i64..9_000_000_000_000_000_000) {
            prop_assert_eq!(Civil::from_seconds(seconds).to_seconds(), seconds);
        }

        #[test]
        fn what_is_formatted_reads_back(seconds in 0_u64..250_000_000_000, tz in "UTC0|EST5EDT|<\\+0545>-5:45") {
            let zone = Zone::posix(&tz).unwrap();
            let text = zone.format(seconds * MICROS);
            let back = zone.parse_time(&text, 0).unwrap();
            // The hour that comes twice reads as the first.
            prop_assert!(back == seconds * MICROS || back + 3600 * MICROS == seconds * MICROS);
            prop_assert_eq!(zone.format(back), text);
        }

        #[test]
        fn any_text_is_a_time_or_none(text in "[0-9:T -]{0,20}|\\PC{0,12}", now in any::<u64>()) {
            let _ = Zone::utc().parse_time(&text, now);
        }
    }
}
