//! Text for people: cleaning what peers wrote, names, sizes and durations, JSON strings.
//!
//! Text is stored as it came and cleaned where it leaves: [`clean`] for message bodies, [`clean_line`]
//! wherever one line is expected (names, paths, errors), [`json_string`] for programs. After any of them the
//! text cannot move the cursor, start an escape sequence, override the direction of its line, or hide a
//! character other than the joiners that scripts and emoji need.
//!
//! Left out: Unicode normalisation, look-alike letters, and the width of characters (stacked combining marks
//! pass, and a terminal wraps long lines as it likes). Private-use characters pass too: they only select a
//! glyph, and people's prompts and icons use them.

pub mod json;
pub mod percent;
pub mod spelling;

use std::borrow::Cow;
use std::time::Duration;

/// Stands where a character was taken out, so that a reader sees that something was there.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// What a TAB becomes: a tab stop depends on the column, which a sink does not know.
const TAB: &str = "    ";

/// The longest peer name, in characters; it is a column of `log` and the name of a directory.
const MAX_NAME: usize = 32;

/// Cleans a message body: any number of lines, each safe to print.
///
/// LF stays, CR LF becomes LF, TAB becomes four spaces, and every character that could steer a terminal,
/// reorder the line or stay unseen becomes U+FFFD. Zero-width joiners and the emoji variation selector stay:
/// scripts and emoji need them. Cleaning twice changes nothing more.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + TAB.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push_str(TAB),
            '\r' if chars.peek() == Some(&'\n') => {}
            c if is_hidden(c) => out.push(REPLACEMENT),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Cleans a message body that may not be UTF-8: each invalid sequence becomes U+FFFD, then as [`clean`].
pub fn clean_bytes(bytes: &[u8]) -> String {
    clean(&String::from_utf8_lossy(bytes)).into_owned()
}

/// Cleans text for a sink that shows one line (names, paths, errors): as [`clean`], and LF and the joiners
/// become U+FFFD too, because there two texts that look the same should be the same.
pub fn clean_line(text: &str) -> String {
    clean(text).chars().map(|c| if c == '\n' || is_joiner(c) { REPLACEMENT } else { c }).collect()
}

/// Whether [`clean_line`] leaves `c` as it is.
pub fn is_clean(c: char) -> bool {
    !is_hidden(c) && !is_joiner(c)
}

/// Whether `c` acts on a terminal, or on the text around it: controls, separators of lines, what changes the direction of
/// text, annotations, noncharacters. What shows nothing and does no more, such as a joiner or an emoji's selector, is
/// none of them.
pub fn acts_on_text(c: char) -> bool {
    let is_format = matches!(c,
        '\u{061C}'
        | '\u{200E}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2066}'..='\u{206F}'
        | '\u{FFF9}'..='\u{FFFB}');
    c.is_control() || is_format || is_noncharacter(c)
}

/// Whether `c` acts on a terminal or on the text around it, or shows nothing at all. LF and TAB count here;
/// the joiners of [`is_joiner`] do not.
fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    // C1 controls; 8-bit terminals read U+009B as the start of an escape sequence.
    c.is_control() || is_invisible(c) || is_noncharacter(c)
}

/// ZWNJ, ZWJ and VS16: invisible, but Persian, the Indic scripts and emoji are misspelt without them.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}' | '\u{FE0F}')
}

/// Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt, version 16) but for the joiners, and
/// the line separators and interlinear annotations, which it does not list.
///
/// This covers the bidirectional controls ("Trojan Source", CVE-2021-42574), zero-width spaces, soft hyphen,
/// Hangul fillers (which count as letters), variation selectors and tag characters.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}'
        | '\u{034F}'
        | '\u{061C}'
        | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
        && !is_joiner(c)
}

/// The 66 code points that Unicode will never assign (section 23.7): U+FDD0–FDEF and the last two of each
/// plane.
fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE
}

/// Returns `text`, trimmed, if it can name a peer or a node; else None.
///
/// 1 to 32 letters, digits and `-_.@+`. A name is a word of the `peers` file, an argument on command lines
/// and a directory: it neither starts with `-` or `.` nor ends with `.`, which Windows drops.
pub fn name(text: &str) -> Option<String> {
    let text = text.trim();
    let shape = (1..=MAX_NAME).contains(&text.chars().count()) && text.chars().all(is_name_char);
    let ends = !text.starts_with(['-', '.']) && !text.ends_with('.');
    (shape && ends).then(|| text.to_owned())
}

/// Makes a [`name`] of any text, such as a host name or what a peer calls itself: other characters become
/// `-`. None if nothing is left.
pub fn suggest_name(text: &str) -> Option<String> {
    let mapped: String = text.trim().chars().map(|c| if is_name_char(c) { c } else { '-' }).collect();
    let kept: String = mapped.trim_matches(['-', '.']).chars().take(MAX_NAME).collect();
    name(kept.trim_end_matches(['-', '.']))
}

/// A letter, a digit or one of `-_.@+`. Hangul fillers are letters to Unicode and yet invisible.
fn is_name_char(c: char) -> bool {
    (c.is_alphanumeric() && !is_hidden(c)) || matches!(c, '-' | '_' | '.' | '@' | '+')
}

/// Indents every line of a cleaned body but the first by four spaces, so that no body can pass for a log
/// line.
pub fn indent(body: &str) -> Cow<'_, str> {
    if body.contains('\n') { Cow::Owned(body.replace('\n', "\n    ")) } else { Cow::Borrowed(body) }
}

/// Joins words as a sentence lists them: `a`, `a and b`, `a, b and c`.
pub fn list(words: &[String]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        words => words.concat(),
    }
}

/// Formats a number of bytes: `512 B`, `64.0 MiB`. It rounds down: a file is never shown as more than it is.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog2() / 10;
    let unit = 1_u64 << (10 * power);
    let tenths = bytes % unit * 10 / unit;
    format!("{}.{tenths} {}", bytes / unit, UNITS[power as usize - 1])
}

/// How much a transfer is, to stand behind its title: ` (12 files, 40.0 MiB)`; nothing where that is not known.
pub fn extent(files: u64, bytes: Option<u64>) -> String {
    match (files, bytes.map(size)) {
        (_, None) => String::new(),
        (0 | 1, Some(size)) => format!(" ({size})"),
        (files, Some(size)) => format!(" ({files} files, {size})"),
    }
}

/// Reads a number of bytes: `123`, `500k`, `64MiB`, `1G`. Units are binary however they are written.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let power = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        "e" | "eb" | "eib" => 6,
        _ => return None,
    };
    number.checked_mul(1 << (10 * power))
}

/// Reads a duration: `500ms`, `90s`, `5m`, `24h`, `7d`, or `0`. A number without a unit is none: whoever types `90` may mean
/// days.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "" if number == 0 => 0,
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// The number, if the text is a number and nothing else.
pub fn bare_number(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// Splits `64 MiB` into 64 and `MiB`. No sign, no fraction; overflow is None.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    Some((digits.parse().ok()?, unit.trim_start()))
}

/// Formats a duration that is known in whole seconds: `0 s`, `55 s`, then as [`duration`] does.
pub fn seconds(count: u64) -> String {
    if count < 60 { format!("{count} s") } else { duration(Duration::from_secs(count)) }
}

/// Formats a duration with its two largest units, the second only if it is not zero: `340 ms`, `12.3 s`,
/// `4 m 10 s`, `3 h`, `2 d 5 h`; rounded down.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let (large, small) = match seconds {
        0 => return format!("{} ms", duration.as_millis()),
        1..60 => return format!("{seconds}.{} s", duration.subsec_millis() / 100),
        60..3600 => ((minutes, "m"), (seconds % 60, "s")),
        3600..86_400 => ((hours, "h"), (minutes % 60, "m")),
        _ => ((days, "d"), (hours % 24, "h")),
    };
    match small {
        (0, _) => format!("{} {}", large.0, large.1),
        (count, unit) => format!("{} {} {count} {unit}", large.0, large.1),
    }
}

/// Quotes `text` as a JSON string (RFC 8259, section 7).
///
/// A parser gets the text back unchanged; but what [`clean_line`] would replace is written as `\uXXXX` (in
/// surrogate pairs beyond the basic plane), so that the output is also safe to look at on a terminal.
pub fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) || is_joiner(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A word of a command line as a shell takes it, for a line to be copied.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:,+@%=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
#[path = "../tests/common/shown.rs"]
mod shown;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_for_a_shell_is_one_word() {
        for (word, expected) in [
            ("/home/anna/.egoat-2", "/home/anna/.egoat-2"),
            ("[::1]:4628", "'[::1]:4628'"),
            ("a b", "'a b'"),
            ("", "''"),
            ("it's $HOME;", r"'it'\''s $HOME;'"),
        ] {
            assert_eq!(shell_word(word), expected);
        }
    }

    #[test]
    fn no_code_point_escapes_the_cleaning() {
        for c in '\0'..=char::MAX {
            let text = format!("a{c}b");
            let body = clean(&text);
            assert!(!body.chars().any(shown::is_forbidden), "U+{:04X}", u32::from(c));
            assert_eq!(clean(&body), body, "U+{:04X}", u32::from(c));
            assert!(body.len() >= text.len().min(3), "U+{:04X} vanished", u32::from(c));
            let line = clean_line(&text);
            assert!(!line.chars().any(|c| shown::is_forbidden(c) || shown::is_joiner(c) || c == '\n'));
            assert_eq!(clean_line(&line), line);
            assert_eq!(is_clean(c), line == text, "U+{:04X}", u32::from(c));
            assert!(!acts_on_text(c) || !is_clean(c), "U+{:04X}", u32::from(c));
            let json = json_string(&text);
            assert!(!json.chars().any(|c| shown::is_forbidden(c) || shown::is_joiner(c) || c == '\n'));
            if let Some(name) = name(&c.to_string()) {
                assert_eq!(clean_line(&name), name);
            }
        }
    }

    #[test]
    fn ordinary_text_is_not_touched_and_not_copied() {
        for text in [
            "",
            "plain",
            "two\nlines\n",
            "né 日本語 שלום",
            "👨\u{200D}👩 ❤\u{FE0F} می\u{200C}خواهم",
            "\u{E0B0}",
        ] {
            assert!(matches!(clean(text), Cow::Borrowed(t) if t == text), "{text:?}");
        }
    }

    #[test]
    fn cleaning_by_example() {
        assert_eq!(clean("a\r\nb\rc\r\r\nd"), "a\nb\u{FFFD}c\u{FFFD}\nd");
        assert_eq!(clean("a\tb"), "a    b");
        assert_eq!(clean("\x1b[2Jgone"), "\u{FFFD}[2Jgone");
        assert_eq!(clean("\u{9b}2J"), "\u{FFFD}2J");
        assert_eq!(clean("user\u{202E}txt.exe"), "user\u{FFFD}txt.exe");
        assert_eq!(clean_line("a\nb\r\nc\td"), "a\u{FFFD}b\u{FFFD}c    d");
        assert_eq!(clean_bytes(b"a\xFF\x1bb\xC3"), "a\u{FFFD}\u{FFFD}b\u{FFFD}");
    }

    #[test]
    fn names() {
        for good in ["anna", "a", "Zoë", "日本", "box-1.lan", "me@work", "c++", "10.0.0.1", &"x".repeat(32)]
        {
            assert_eq!(name(good).as_deref(), Some(good));
        }
        assert_eq!(name("  anna\n").as_deref(), Some("anna"));
        for bad in [
            "",
            " ",
            "-x",
            ".x",
            "..",
            "x.",
            "a b",
            "a/b",
            "a\\b",
            "a:b",
            "a,b",
            "a\nb",
            "#x",
            "a=b",
            "\u{3164}",
            "a\u{200D}b",
            &"x".repeat(33),
        ] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn suggested_names() {
        let cases = [
            ("Anna's laptop", Some("Anna-s-laptop")),
            ("../../etc", Some("etc")),
            ("--x--", Some("x")),
            ("host.lan.", Some("host.lan")),
            ("...", None),
            ("\u{202E}", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(suggest_name(text).as_deref(), expected, "{text:?}");
        }
        assert_eq!(suggest_name(&"é".repeat(99)).unwrap(), "é".repeat(32));
        assert_eq!(suggest_name(&format!("{}.y", "x".repeat(31))).unwrap(), "x".repeat(31));
    }

    #[test]
    fn no_body_can_forge_a_line() {
        assert_eq!(indent("one"), "one");
        assert_eq!(indent(&clean("hi\r\n2030-01-01 00:00:00 bob: x")), "hi\n    2030-01-01 00:00:00 bob: x");
    }

    #[test]
    fn sizes() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (64 << 20, "64.0 MiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(size(bytes), shown);
        }
        let cases =
            [("123", 123), ("500k", 500 << 10), ("64MiB", 64 << 20), ("1G", 1 << 30), (" 2 kb ", 2048)];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Some(bytes), "{text:?}");
        }
        for bad in ["", "k", "-1", "+1", "1.5G", "1x", "16E", "18446744073709551616", "1 2"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("0", 0),
            ("90s", 90_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text:?}");
        }
        for bad in
            ["", "s", "90", "-5", "1.5h", "5 years", "5M", "18446744073709551615d", "99999999999999999999"]
        {
            assert_eq!(parse_duration(bad), None, "{bad:?}");
        }
        let cases = [
            (0, "0 ms"),
            (340, "340 ms"),
            (999, "999 ms"),
            (12_399, "12.3 s"),
            (59_999, "59.9 s"),
            (250_000, "4 m 10 s"),
            (10_920_000, "3 h 2 m"),
            (190_800_000, "2 d 5 h"),
        ];
        for (millis, shown) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), shown);
        }
        assert_eq!(duration(Duration::MAX), "213503982334601 d 7 h");
        assert_eq!([seconds(0), seconds(59), seconds(90)], ["0 s", "59 s", "1 m 30 s"]);
    }

    fn parsed(json: &str) -> String {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn json_by_example() {
        assert_eq!(json_string("a\"\\\n\x1b\u{202E}\u{E0041}é"), r#""a\"\\\n\u001b\u202e\udb40\udc41é""#);
        let all: String = ('\0'..=char::MAX).collect();
        assert!(parsed(&json_string(&all)) == all);
    }

    proptest! {
        #[test]
        fn a_parser_gets_the_original_back(text in any::<String>()) {
            prop_assert_eq!(parsed(&json_string(&text)), text);
        }

        #[test]
        fn cleaning_twice_changes_nothing(text in "[\\r\\n\\t\\x1b a\u{200B}\u{200D}\u{2028}]{0,12}") {
            let once = clean(&text).into_owned();
            prop_assert_eq!(clean(&once), once.as_str());
            prop_assert!(!once.chars().any(shown::is_forbidden));
        }

        #[test]
        fn a_suggested_name_is_a_name(text in any::<String>()) {
            if let Some(made) = suggest_name(&text) {
                prop_assert_eq!(name(&made), Some(made));
            }
        }

        #[test]
        fn numbers_never_panic(text in "[0-9]{0,22} ?[a-zA-Z]{0,3}", bytes in any::<u64>()) {
            let _ = (parse_size(&text), parse_duration(&text), size(bytes));
        }
    }
}
