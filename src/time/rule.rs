//! POSIX TZ strings, such as `CET-1CEST,M3.5.0,M10.5.0/3` (POSIX.1-2024, section 8.3, with the extensions of
//! RFC 9636, section 3.3.1): the value of `TZ`, and the footer of a TZif file.
//!
//! Left out: the abbreviations, which nothing here shows.

use super::{DAY, HOUR, MINUTE, civil_from_days, days_from_civil, days_in_month, is_leap};

/// An offset within the bounds that RFC 9636, section 3.2, recommends: -24:59:59 to 25:59:59.
pub(super) fn checked_offset(seconds: i64) -> Option<i32> {
    i32::try_from(seconds).ok().filter(|offset| (-89_999..=93_599).contains(offset))
}

/// A POSIX TZ string: an offset, and perhaps another for a part of each year.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    /// Seconds east of UTC.
    pub(super) standard: i32,
    daylight: Option<Daylight>,
}

/// Daylight saving time; its offset may also be the smaller one (Europe/Dublin), and its end may come before
/// its start (the southern hemisphere).
#[derive(Clone, PartialEq, Eq, Debug)]
struct Daylight {
    offset: i32,
    start: Change,
    end: Change,
}

/// When clocks change: a day of the year, and the seconds from its midnight by the clock before the change.
/// These may be negative or more than a day (America/Nuuk, Asia/Gaza).
#[derive(Clone, PartialEq, Eq, Debug)]
struct Change {
    day: YearDay,
    time: i64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum YearDay {
    /// `Jn`: 1 to 365; 29 February is not counted.
    Julian(i64),
    /// `n`: 0 to 365; 29 February is counted.
    Zero(i64),
    /// `Mm.w.d`: weekday `d` (0 is Sunday) of week `w` of month `m`; week 5 is the last.
    Month(u8, i64, i64),
}

impl Rule {
    /// Seconds to add to UTC for local time at `seconds` since 1970.
    pub(super) fn offset_at(&self, seconds: i64) -> i32 {
        let Some(daylight) = &self.daylight else { return self.standard };
        let (year, _, _) = civil_from_days(seconds.div_euclid(DAY));
        let in_daylight =
            (year - 1..=year + 1).any(|year| self.daylight_from(daylight, year).contains(&seconds));
        if in_daylight { daylight.offset } else { self.standard }
    }

    /// The daylight saving time that starts in `year`; in the south it ends in the next.
    fn daylight_from(&self, daylight: &Daylight, year: i64) -> std::ops::Range<i64> {
        let start = daylight.start.seconds(year) - i64::from(self.standard);
        let end = |year| daylight.end.seconds(year) - i64::from(daylight.offset);
        if end(year) > start { start..end(year) } else { start..end(year + 1) }
    }

    /// Reads the whole of `text`; None if it is malformed.
    pub(super) fn parse(text: &str) -> Option<Rule> {
        let mut rest = text;
        take_name(&mut rest)?;
        // POSIX counts west of Greenwich, everybody else east.
        let standard = -take_time(&mut rest, 24)?;
        let daylight = if rest.is_empty() { None } else { Some(take_daylight(&mut rest, standard)?) };
        let standard = checked_offset(standard)?;
        rest.is_empty().then_some(Rule { standard, daylight })
    }
}

impl Change {
    /// The moment of the change in `year`, by the clock before it.
    fn seconds(&self, year: i64) -> i64 {
        let new_year = days_from_civil(year, 1, 1);
        let day = match self.day {
            YearDay::Julian(n) => new_year + n - 1 + i64::from(n >= 60 && is_leap(year)),
            YearDay::Zero(n) => new_year + n,
            YearDay::Month(month, week, weekday) => {
                let first = days_from_civil(year, month, 1);
                // 1970-01-01 was a Thursday, weekday 4.
                let day = (weekday - 4 - first).rem_euclid(7) + 7 * (week - 1);
                first + if day < i64::from(days_in_month(year, month)) { day } else { day - 7 }
            }
        };
        day * DAY + self.time
    }
}

/// Takes `CEST[offset][,start[/time],end[/time]]`.
fn take_daylight(rest: &mut &str, standard: i64) -> Option<Daylight> {
    take_name(rest)?;
    let offset =
        if rest.is_empty() || rest.starts_with(',') { standard + HOUR } else { -take_time(rest, 24)? };
    if rest.is_empty() {
        // `EST5EDT`: POSIX leaves the rule open; the C libraries take that of the United States.
        *rest = ",M3.2.0,M11.1.0";
    }
    let start = take_change(rest)?;
    let end = take_change(rest)?;
    Some(Daylight { offset: checked_offset(offset)?, start, end })
}

/// Takes the abbreviation of a zone, `CET` or `<+0330>`.
fn take_name(rest: &mut &str) -> Option<()> {
    let (name, after) = match rest.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?,
        None => rest.split_at(rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())),
    };
    *rest = after;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-');
    (name.len() >= 3 && plain).then_some(())
}

/// Takes `,day[/time]`; the time is 02:00 unless it says otherwise.
fn take_change(rest: &mut &str) -> Option<Change> {
    *rest = rest.strip_prefix(',')?;
    let day = take_day(rest)?;
    let time = match rest.strip_prefix('/') {
        Some(after) => {
            *rest = after;
            take_time(rest, 167)?
        }
        None => 2 * HOUR,
    };
    Some(Change { day, time })
}

fn take_day(rest: &mut &str) -> Option<YearDay> {
    if let Some(after) = rest.strip_prefix('J') {
        *rest = after;
        return Some(YearDay::Julian(take_number(rest, 1, 365)?));
    }
    let Some(after) = rest.strip_prefix('M') else {
        return Some(YearDay::Zero(take_number(rest, 0, 365)?));
    };
    *rest = after;
    let month = take_number(rest, 1, 12)? as u8;
    *rest = rest.strip_prefix('.')?;
    let week = take_number(rest, 1, 5)?;
    *rest = rest.strip_prefix('.')?;
    Some(YearDay::Month(month, week, take_number(rest, 0, 6)?))
}

/// Takes `[+-]hh[:mm[:ss]]` in seconds: up to 24 hours in an offset, 167 in a rule (RFC 9636, section 3.3.1).
fn take_time(rest: &mut &str, most_hours: i64) -> Option<i64> {
    let (sign, after) = match rest.strip_prefix('-') {
        Some(after) => (-1, after),
        None => (1, rest.strip_prefix('+').unwrap_or(rest)),
    };
    *rest = after;
    let mut seconds = take_number(rest, 0, most_hours)? * HOUR;
    for unit in [MINUTE, 1] {
        let Some(after) = rest.strip_prefix(':') else { break };
        *rest = after;
        seconds += take_number(rest, 0, 59)? * unit;
    }
    Some(sign * seconds)
}

/// Takes a decimal number from `least` to `most`.
fn take_number(rest: &mut &str, least: i64, most: i64) -> Option<i64> {
    let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    *rest = after;
    digits.parse().ok().filter(|n| (least..=most).contains(n))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::time::Civil;
    use proptest::prelude::*;

    fn utc(text: &str) -> i64 {
        let numbers: Vec<i64> = text.split(['-', ' ', ':']).map(|n| n.parse().unwrap()).collect();
        let [year, month, day, hour, minute] = numbers[..] else { panic!("{text:?}") };
        let [month, day, hour, minute] = [month, day, hour, minute].map(|n| n as u8);
        Civil { year, month, day, hour, minute, second: 0 }.to_seconds()
    }

    /// Checks that clocks change at each of these times (UTC) from one offset to the other, in minutes.
    fn changes(rule: &str, expected: &[(&str, i32, i32)]) {
        let parsed = Rule::parse(rule).unwrap();
        for (time, before, after) in expected {
            assert_eq!(parsed.offset_at(utc(time) - 1), before * 60, "{rule} before {time}");
            assert_eq!(parsed.offset_at(utc(time)), after * 60, "{rule} at {time}");
        }
    }

    #[test]
    fn both_hemispheres() {
        changes(
            "CET-1CEST,M3.5.0,M10.5.0/3",
            &[("2024-03-31 01:00", 60, 120), ("2024-10-27 01:00", 120, 60)],
        );
        changes(
            "EST5EDT,M3.2.0,M11.1.0",
            &[("2024-03-10 07:00", -300, -240), ("2024-11-03 06:00", -240, -300)],
        );
        changes("EST5EDT", &[("2024-03-10 07:00", -300, -240), ("2024-11-03 06:00", -240, -300)]);
        changes(
            "NZST-12NZDT,M9.5.0,M4.1.0/3",
            &[("2024-04-06 14:00", 780, 720), ("2024-09-28 14:00", 720, 780)],
        );
        changes("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", &[("2024-04-06 15:00", 660, 630)]);
        let south = Rule::parse("AEST-10AEDT,M10.1.0,M4.1.0/3").unwrap();
        assert_eq!(south.offset_at(utc("2023-12-31 23:59")), 39_600);
        assert_eq!(south.offset_at(utc("2024-01-01 00:00")), 39_600);
    }

    #[test]
    fn negative_daylight_saving_time() {
        changes("IST-1GMT0,M10.5.0,M3.5.0/1", &[("2024-03-31 01:00", 0, 60), ("2024-10-27 01:00", 60, 0)]);
    }

    #[test]
    fn changes_on_another_day_than_their_date() {
        // Greenland changes with Europe, which is Saturday evening there.
        changes(
            "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
            &[("2024-03-31 01:00", -120, -60), ("2024-10-27 01:00", -60, -120)],
        );
        // Gaza: 50 hours after the midnight that starts a Thursday is Saturday, 02:00.
        changes(
            "EET-2EEST,M3.4.4/50,M10.4.4/50",
            &[("2024-03-30 00:00", 120, 180), ("2024-10-25 23:00", 180, 120)],
        );
    }

    #[test]
    fn julian_days() {
        // J60 is always 1 March; 59 is 29 February in a leap year.
        changes("AAA0BBB,J60/0,J300/0", &[("2023-03-01 00:00", 0, 60), ("2024-03-01 00:00", 0, 60)]);
        changes("AAA0BBB,59/0,299/0", &[("2023-03-01 00:00", 0, 60), ("2024-02-29 00:00", 0, 60)]);
        changes("AAA0BBB,J59/0,J365/0", &[("2024-02-28 00:00", 0, 60), ("2024-12-30 23:00", 60, 0)]);
    }

    #[test]
    fn daylight_saving_time_all_year() {
        // RFC 9636, section 3.3.1: it starts on 1 January and ends as the next starts.
        for text in ["EST5EDT,0/0,J365/25", "XXX3EDT4,0/0,J365/23"] {
            let rule = Rule::parse(text).unwrap();
            for hour in 0..24 * 366 * 3 {
                assert_eq!(rule.offset_at(utc("2023-01-01 00:00") + hour * HOUR), -4 * 3600, "{text} {hour}");
            }
        }
    }

    #[test]
    fn fixed_offsets() {
        for (text, offset) in [
            ("UTC0", 0),
            ("<+0545>-5:45", 20_700),
            ("<-03>3", -10_800),
            ("ABC+1:02:03", -3723),
            ("XYZ-24", 86_400),
        ] {
            assert_eq!(Rule::parse(text).unwrap().offset_at(0), offset, "{text}");
        }
    }

    #[test]
    fn malformed_strings_are_refused() {
        for text in [
            "",
            "UTC",
            "AB1",
            "1",
            "<>0",
            "<A B>0",
            "<ABC0",
            "ABC25",
            "ABC1:60",
            "ABC1x",
            "ABC--1",
            "ABC1DEF,",
            "ABC1DEF,M3.5.0",
            "ABC1DEF,M3.5.0,",
            "ABC1DEF,M13.5.0,M10.5.0",
            "ABC1DEF,M3.6.0,M10.5.0",
            "ABC1DEF,M3.0.0,M10.5.0",
            "ABC1DEF,M3.5.7,M10.5.0",
            "ABC1DEF,J0,J300",
            "ABC1DEF,J366,J300",
            "ABC1DEF,366,1",
            "ABC1DEF,M3.5.0/168,M10.5.0",
            "ABC1DEF,M3.5.0,M10.5.0x",
            "ABC1DEF,M3.5.0,M10.5.0,",
            "ABC99999999999999999999",
        ] {
            assert_eq!(Rule::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A-C]{0,4}[-+]?[0-9]{0,2}[A-C]{0,3},?[JM0-9./,-]{0,20}", time in any::<i64>()) {
            if let Some(rule) = Rule::parse(&text) {
                let _ = rule.offset_at(time);
            }
        }
    }
}
