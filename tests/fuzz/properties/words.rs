//! Text for people, and the time that it was said: cleaning, JSON, names, sizes, durations, time zones.

#[path = "../../common/shown.rs"]
mod shown;

use egoat::text::{self, json::Object};
use egoat::time::Zone;

pub use shown::{is_forbidden, is_joiner};

/// Any bytes as a body, a line, a name, a number and a time.
pub fn text(input: &[u8]) -> Option<Vec<u8>> {
    let body = text::clean_bytes(input);
    assert!(!body.chars().any(is_forbidden), "{body:?}");
    assert_eq!(text::clean(&body), body, "cleaning twice changes nothing more");
    assert!(text::indent(&body).lines().skip(1).all(|line| line.starts_with("    ")));

    let given = String::from_utf8_lossy(input);
    let line = text::clean_line(&given);
    assert!(!line.chars().any(|c| is_forbidden(c) || is_joiner(c) || c == '\n'), "{line:?}");
    assert_eq!(text::clean_line(&line), line);

    let json = text::json_string(&given);
    assert!(!json.chars().any(|c| is_forbidden(c) || is_joiner(c) || c == '\n'), "{json}");
    assert_eq!(serde_json::from_str::<String>(&json).unwrap(), given, "a parser gets the original back");
    let object = Object::event("x").text("text", &given).list("list", std::iter::once(given.to_string()));
    assert_eq!(object.line(), format!("{{\"event\":\"x\",\"text\":{json},\"list\":[{json}]}}"));

    names(&given);
    numbers(&given);
    Some(body.into_bytes())
}

fn names(given: &str) {
    let suggested = text::suggest_name(given);
    assert_eq!(suggested.as_deref().and_then(text::suggest_name), suggested);
    for name in [text::name(given), suggested].into_iter().flatten() {
        assert_eq!(text::name(&name).as_ref(), Some(&name));
        assert_eq!(text::clean_line(&name), name);
        assert!((1..=32).contains(&name.chars().count()) && !name.contains(char::is_whitespace), "{name:?}");
        assert!(!name.contains(['/', '\\', ':', '#', ',', '=']) && !name.starts_with(['-', '.']), "{name:?}");
    }
}

fn numbers(given: &str) {
    if let Some(bytes) = text::parse_size(given) {
        assert_eq!(text::parse_size(&bytes.to_string()), Some(bytes));
        let _ = text::size(bytes);
    }
    if let Some(duration) = text::parse_duration(given) {
        let _ = text::duration(duration);
    }
    let zone = Zone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    if let Some(micros) = zone.parse_time(given, 1_721_046_600_000_000) {
        let shown = zone.format(micros);
        // A year has four digits there; a duration reaches from 1970 to now.
        let back = zone.parse_time(&shown, 0).unwrap_or_else(|| panic!("{given:?} is {shown:?}"));
        assert_eq!(zone.format(back), shown);
    }
}

/// Times at which offsets are asked for: the ends of time, those of 32 bits, and a day in each half of the year.
const TIMES: [i64; 9] = [
    i64::MIN,
    i64::MIN + 1,
    i32::MIN as i64,
    -1,
    0,
    1_705_276_800,
    1_721_046_600,
    i32::MAX as i64 + 1,
    i64::MAX,
];

/// No offset of a clock is further from UTC than that (RFC 9636, section 3.2).
fn has_sane_offsets(zone: &Zone) {
    for time in TIMES {
        assert!((-89_999..=93_599).contains(&zone.offset_at(time)));
        let _ = zone.format(time as u64);
    }
    for given in ["today", "yesterday", "23:59", "2024-03-31 02:30", "9999-12-31", "0000-01-01", "7d"] {
        assert!(zone.parse_time(given, 1_721_046_600_000_000).is_some(), "{given}");
    }
}

pub fn tzif(input: &[u8]) -> Option<Vec<u8>> {
    let zone = Zone::parse(input)?;
    has_sane_offsets(&zone);
    Some(format!("{zone:?}").into_bytes())
}

/// A POSIX rule, which means the same in `TZ` and at the end of a file.
pub fn tz_rule(input: &[u8]) -> Option<Vec<u8>> {
    let rule = std::str::from_utf8(input).ok()?;
    let zone = Zone::posix(rule)?;
    has_sane_offsets(&zone);
    let from_file = Zone::parse(&file_with(rule)).expect("a file with this rule");
    for time in TIMES {
        assert_eq!(zone.offset_at(time), from_file.offset_at(time));
    }
    Some(format!("{zone:?}").into_bytes())
}

/// A TZif file of version 2 without transitions, so that its rule is all there is.
pub fn file_with(rule: &str) -> Vec<u8> {
    let mut header = [0; 44];
    header[..5].copy_from_slice(b"TZif2");
    let types = 36..40;
    // The first of its two parts, for old readers, may have as little as one type and its six bytes.
    header[types].copy_from_slice(&1u32.to_be_bytes());
    let part = [header.as_slice(), &[0; 6]].concat();
    [&part, &part, b"\n".as_slice(), rule.as_bytes(), b"\n"].concat()
}
