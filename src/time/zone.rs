//! Where local time comes from: `TZ`, /etc/localtime, and the TZif files they name (RFC 9636, versions 1 to
//! 4).
//!
//! Anything missing or malformed is UTC: a wrong hour in a log is worth no error. Left out: leap seconds,
//! zone abbreviations, and which of the offsets are daylight saving time.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::rule::{Rule, checked_offset};

/// The largest TZif file read; the largest of tzdata has less than 4 KiB.
const MAX_FILE: usize = 64 * 1024;

/// Where tzdata is found unless `TZDIR` says otherwise.
const ZONEINFO: &str = "/usr/share/zoneinfo";

/// The rules of one place for the offset of its clocks from UTC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    /// The offset before the first transition, in seconds east of UTC.
    first: i32,
    /// When the offset changed, ascending, and to what.
    transitions: Vec<(i64, i32)>,
    /// What holds after the last transition; without it the last offset stays.
    rule: Option<Rule>,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Zone {
        Zone { first: 0, transitions: Vec::new(), rule: None }
    }

    /// The zone of this process, as the C library finds it: `TZ` if set, else /etc/localtime, else UTC.
    pub fn local() -> Zone {
        let Some(tz) = std::env::var_os("TZ") else {
            return Zone::load(Path::new("/etc/localtime")).unwrap_or_else(Zone::utc);
        };
        let given = std::env::var_os("TZDIR").filter(|dir| !dir.is_empty());
        let zoneinfo = given.map_or_else(|| PathBuf::from(ZONEINFO), PathBuf::from);
        tz.to_str().and_then(|tz| Zone::named(tz, &zoneinfo)).unwrap_or_else(Zone::utc)
    }

    /// The zone that a value of `TZ` stands for: a file, absolute or below `zoneinfo`, or else a POSIX
    /// string. A leading colon says the same as none.
    fn named(tz: &str, zoneinfo: &Path) -> Option<Zone> {
        let tz = tz.strip_prefix(':').unwrap_or(tz);
        if tz.starts_with('/') {
            return Zone::load(Path::new(tz));
        }
        let plain = !tz.is_empty() && Path::new(tz).components().all(|c| matches!(c, Component::Normal(_)));
        let file = if plain { Zone::load(&zoneinfo.join(tz)) } else { None };
        file.or_else(|| Zone::posix(tz))
    }

    fn load(path: &Path) -> Option<Zone> {
        // Opening a FIFO or a terminal that TZ names would wait for ever.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).ok()?;
        Zone::parse(&bytes)
    }

    /// Reads a TZif file. None if it is malformed or larger than 64 KiB.
    pub fn parse(bytes: &[u8]) -> Option<Zone> {
        if bytes.len() > MAX_FILE {
            return None;
        }
        let mut rest = bytes;
        let header = Header::take(&mut rest)?;
        if header.version == 0 {
            return header.take_data(&mut rest, 4);
        }
        // Since version 2 the file is written twice; the first copy has 32-bit times, for old readers.
        rest.split_off(..header.data_size(4))?;
        let mut zone = Header::take(&mut rest)?.take_data(&mut rest, 8)?;
        let footer = std::str::from_utf8(rest).ok()?.strip_prefix('\n')?;
        let (footer, _) = footer.split_once('\n')?;
        if !footer.is_empty() {
            zone.rule = Some(Rule::parse(footer)?);
        }
        Some(zone)
    }

    /// Reads a POSIX TZ string, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub fn posix(text: &str) -> Option<Zone> {
        let rule = Rule::parse(text)?;
        Some(Zone { first: rule.standard, transitions: Vec::new(), rule: Some(rule) })
    }

    /// Seconds to add to UTC for local time at `unix_seconds`.
    pub fn offset_at(&self, unix_seconds: i64) -> i32 {
        let passed = self.transitions.partition_point(|&(time, _)| time <= unix_seconds);
        match &self.rule {
            Some(rule) if passed == self.transitions.len() => rule.offset_at(unix_seconds),
            _ => passed.checked_sub(1).map_or(self.first, |at| self.transitions[at].1),
        }
    }
}

/// The header of a TZif data block (RFC 9636, section 3.1): the version and how many of each thing follow.
struct Header {
    version: u8,
    utc_flags: usize,
    standard_flags: usize,
    leaps: usize,
    transitions: usize,
    types: usize,
    name_bytes: usize,
}

impl Header {
    fn take(rest: &mut &[u8]) -> Option<Header> {
        if rest.split_off(..4)? != b"TZif" {
            return None;
        }
        let version = *rest.split_off_first()?;
        rest.split_off(..15)?;
        let mut counts = [0; 6];
        for count in &mut counts {
            *count = usize::try_from(signed(rest.split_off(..4)?)).ok().filter(|&n| n <= MAX_FILE)?;
        }
        let [utc_flags, standard_flags, leaps, transitions, types, name_bytes] = counts;
        Some(Header { version, utc_flags, standard_flags, leaps, transitions, types, name_bytes })
    }

    /// The size of the data block behind this header, where a time takes `time` bytes.
    fn data_size(&self, time: usize) -> usize {
        self.transitions * (time + 1) + self.types * 6 + self.tail_size(time)
    }

    /// The size of what comes behind the types: names, leap seconds and flags.
    fn tail_size(&self, time: usize) -> usize {
        self.name_bytes + self.leaps * (time + 4) + self.standard_flags + self.utc_flags
    }

    /// Takes the data block (RFC 9636, section 3.2) and checks what it says.
    fn take_data(&self, rest: &mut &[u8], time: usize) -> Option<Zone> {
        let times = rest.split_off(..self.transitions * time)?.chunks_exact(time).map(signed);
        let kinds = rest.split_off(..self.transitions)?;
        let types = rest.split_off(..self.types * 6)?;
        rest.split_off(..self.tail_size(time))?;

        // A type is its offset (4 bytes), whether it is daylight saving time, and where its name starts.
        let offsets: Vec<i32> =
            types.chunks_exact(6).map(|kind| checked_offset(signed(&kind[..4]))).collect::<Option<_>>()?;
        let transitions: Vec<(i64, i32)> = times
            .zip(kinds)
            .map(|(time, &kind)| Some((time, *offsets.get(usize::from(kind))?)))
            .collect::<Option<_>>()?;
        let ascending = transitions.is_sorted_by(|one, two| one.0 < two.0);
        // Type 0 is what holds before the first transition, so there must be one.
        let first = *offsets.first()?;
        ascending.then_some(Zone { first, transitions, rule: None })
    }
}

/// A big-endian two's complement number of 4 or 8 bytes.
fn signed(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|&b| b >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |number, &byte| number << 8 | i64::from(byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::time::Civil;
    use proptest::prelude::*;

    /// A data block with its header: transitions, their types, and the offset of each type.
    fn block(version: u8, time_size: usize, transitions: &[(i64, u8)], offsets: &[i32]) -> Vec<u8> {
        let mut out = b"TZif".to_vec();
        out.push(version);
        out.extend([0; 15]);
        // Two UTC flags, two standard flags, a leap second, names: there to be skipped.
        for count in [2, 2, 1, transitions.len(), offsets.len(), 4] {
            out.extend((count as u32).to_be_bytes());
        }
        for (time, _) in transitions {
            out.extend(&time.to_be_bytes()[8 - time_size..]);
        }
        out.extend(transitions.iter().map(|(_, kind)| kind));
        for offset in offsets {
            out.extend(offset.to_be_bytes());
            out.extend([0, 0]);
        }
        out.extend(b"ABC\0");
        out.extend(vec![0; time_size + 4 + 2 + 2]);
        out
    }

    fn file(transitions: &[(i64, u8)], offsets: &[i32], footer: &str) -> Vec<u8> {
        let mut out = block(b'2', 4, &[(-5, 0)], &[7]);
        out.extend(block(b'2', 8, transitions, offsets));
        out.extend(format!("\n{footer}\n").bytes());
        out
    }

    const OFFSETS: [i32; 3] = [-1234, 3600, 7200];
    const TRANSITIONS: [(i64, u8); 3] = [(-5_000_000_000, 1), (1_000_000_000, 2), (1_700_000_000, 1)];

    #[test]
    fn a_version_1_file_keeps_its_last_offset() {
        let zone = Zone::parse(&block(0, 4, &[(-100, 1), (100, 2)], &OFFSETS)).unwrap();
        for (time, offset) in
            [(i64::MIN, -1234), (-101, -1234), (-100, 3600), (99, 3600), (100, 7200), (i64::MAX, 7200)]
        {
            assert_eq!(zone.offset_at(time), offset, "{time}");
        }
    }

    #[test]
    fn a_version_2_file_has_wide_times_and_a_rule_for_what_follows() {
        let zone = Zone::parse(&file(&TRANSITIONS, &OFFSETS, "CET-1CEST,M3.5.0,M10.5.0/3")).unwrap();
        let cases = [
            (-5_000_000_001, -1234),
            (-5_000_000_000, 3600),
            (999_999_999, 3600),
            (1_000_000_000, 7200),
            (1_699_999_999, 7200),
            (1_700_000_000, 3600),
            (1_711_846_799, 3600), // 2024-03-31 00:59:59 UTC
            (1_711_846_800, 7200),
            (4_122_000_000, 7200), // August 2100
        ];
        for (time, offset) in cases {
            assert_eq!(zone.offset_at(time), offset, "{time}");
        }
        let open = Zone::parse(&file(&TRANSITIONS, &OFFSETS, "")).unwrap();
        assert_eq!(open.offset_at(4_122_000_000), 3600);
        let only_a_rule = Zone::parse(&file(&[], &[0], "<+0330>-3:30")).unwrap();
        assert_eq!(only_a_rule.offset_at(0), 12_600);
    }

    #[test]
    fn malformed_files_are_refused() {
        let good = file(&TRANSITIONS, &OFFSETS, "CET-1");
        for length in 0..good.len() {
            assert_eq!(Zone::parse(&good[..length]), None, "cut at {length}");
        }
        let mut long = good.clone();
        long.resize(MAX_FILE + 1, b'x');
        assert_eq!(Zone::parse(&long), None);
        assert_eq!(Zone::parse(&file(&[(5, 1), (5, 2)], &OFFSETS, "")), None, "not ascending");
        assert_eq!(Zone::parse(&file(&[(5, 3)], &OFFSETS, "")), None, "no such type");
        assert_eq!(Zone::parse(&file(&[], &[], "UTC0")), None, "no type at all");
        assert_eq!(Zone::parse(&file(&[], &[100_000], "")), None, "more than a day");
        assert_eq!(Zone::parse(&file(&[], &[i32::MIN], "")), None);
        assert_eq!(Zone::parse(&file(&[], &[0], "nonsense")), None);
        let mut counts = good;
        counts[32..36].fill(0xFF);
        assert_eq!(Zone::parse(&counts), None, "four milliard transitions");
    }

    #[test]
    fn tz_names_a_file_or_a_rule() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("Area")).unwrap();
        std::fs::write(dir.path().join("Area/Town"), file(&[], &[0], "TWN-5")).unwrap();
        std::fs::write(dir.path().join("EST5EDT"), file(&[], &[0], "XXX-9")).unwrap();
        let offset = |tz: &str| Zone::named(tz, dir.path()).map(|zone| zone.offset_at(0) / 3600);
        let absolute = dir.path().join("Area/Town").display().to_string();
        for tz in ["Area/Town", ":Area/Town", absolute.as_str(), &format!(":{absolute}")] {
            assert_eq!(offset(tz), Some(5), "{tz:?}");
        }
        assert_eq!(offset("EST5EDT"), Some(9), "a file goes before a rule");
        assert_eq!(offset("PST8PDT"), Some(-8));
        let outside = format!("Area/../../{}/EST5EDT", dir.path().file_name().unwrap().display());
        assert!(dir.path().join(&outside).exists());
        for tz in ["", ":", "Area", "Area/None", "/nonexistent", "/dev/zero", &outside, "Area/../EST5EDT"] {
            assert_eq!(offset(tz), None, "{tz:?}");
        }
    }

    /// What date(1) makes of these times in `tz`; None where it is not GNU's.
    fn dates(tz: &str, times: &[i64]) -> Option<Vec<String>> {
        let dir = tempfile::tempdir().ok()?;
        let list = dir.path().join("times");
        std::fs::write(&list, times.iter().map(|time| format!("@{time}\n")).collect::<String>()).ok()?;
        let mut date = std::process::Command::new("date");
        date.env("TZ", tz).env_remove("TZDIR").arg("-f").arg(list).arg("+%Y-%m-%d %H:%M:%S");
        let output = date.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.lines().map(str::to_owned).collect())
    }

    #[test]
    fn agrees_with_the_systems_date() {
        // 2 days and some seconds apart from 1900 to 2110, and both sides of 2038.
        let times: Vec<i64> =
            (-2_208_988_800..4_417_977_600).step_by(190_003).chain([i32::MAX.into(), 1 << 31]).collect();
        for tz in [
            "Europe/Berlin",
            "Europe/Dublin",
            "America/New_York",
            "America/Nuuk",
            "America/Godthab",
            "Asia/Gaza",
            "Asia/Kathmandu",
            "Africa/Casablanca",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Antarctica/Troll",
            "Etc/UTC",
            "AAA3BBB,J60/1,J300",
            "AAA-5BBB-6,59,364/23",
        ] {
            if !tz.contains(',') && !Path::new(ZONEINFO).join(tz).exists() {
                continue;
            }
            // glibc puts the changes of every year before 1971 into 1970 when it has only a rule.
            let since = if tz.contains(',') { 31_536_000 } else { i64::MIN };
            let times: Vec<i64> = times.iter().copied().filter(|&time| time >= since).collect();
            let Some(expected) = dates(tz, &times) else { return };
            let zone = Zone::named(tz, Path::new(ZONEINFO)).unwrap();
            assert_eq!(times.len(), expected.len());
            for (&time, expected) in times.iter().zip(expected) {
                let Civil { year, month, day, hour, minute, second } = zone.civil(time);
                let shown = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
                assert_eq!(shown, expected, "{tz} at {time}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0_usize..300, byte in any::<u8>(), time in any::<i64>()) {
            let mut bytes = file(&TRANSITIONS, &OFFSETS, "CET-1CEST,M3.5.0,M10.5.0/3");
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Some(zone) = Zone::parse(&bytes) {
                let _ = zone.civil(time);
            }
        }
    }
}
