//! Searching texts and paths for what a user has typed.

use crate::text;

/// A text to find: in any case, unless it has a capital letter itself.
pub struct Pattern {
    wanted: String,
    has_capital: bool,
}

impl Pattern {
    /// A pattern of what the user has typed. An empty one is found everywhere.
    pub fn new(typed: &str) -> Pattern {
        Pattern { wanted: typed.to_owned(), has_capital: typed.chars().any(char::is_uppercase) }
    }

    /// A pattern for each word of what the user has typed. A text that has all of them, in any order, is meant.
    pub fn words(typed: &str) -> Vec<Pattern> {
        typed.split_whitespace().map(Pattern::new).collect()
    }

    /// Whether the pattern is empty, and so matches every text.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The note for a search without a match: it names the `place`, as in "nothing here", and a pattern that finds more.
    pub fn not_found(&self, place: &str) -> String {
        let wanted = text::clean_line(&self.wanted);
        match self.has_capital {
            true => format!(
                "nothing {place} has {wanted}; capital letters count, {} finds any",
                wanted.to_lowercase()
            ),
            false => format!("nothing {place} has {wanted}"),
        }
    }

    /// Whether the bytes contain the pattern; they need not be UTF-8.
    pub fn is_in(&self, raw: &[u8]) -> bool {
        let wanted = self.wanted.as_bytes();
        if wanted.is_empty() {
            true
        } else if self.has_capital {
            raw.windows(wanted.len()).any(|window| window == wanted)
        } else if raw.is_ascii() {
            raw.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted))
        } else {
            String::from_utf8_lossy(raw).to_lowercase().contains(&self.wanted.to_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_counts_only_with_a_capital() {
        for (typed, raw, expected) in [
            ("", "", true),
            ("", "x", true),
            ("x", "", false),
            ("report", "The Report", true),
            ("Report", "The Report", true),
            ("Report", "the report", false),
            ("REPORT", "the report", false),
            ("\u{e4}rger", "\u{c4}RGER", true),
            ("\u{c4}rger", "\u{e4}rger", false),
            ("c4 ", "C4 \u{e4}", true),
            ("lob", "hello bob", false),
        ] {
            assert_eq!(Pattern::new(typed).is_in(raw.as_bytes()), expected, "{typed:?} in {raw:?}");
        }
        assert_eq!(Pattern::new("report").not_found("here"), "nothing here has report");
        let told = "nothing here has Report; capital letters count, report finds any";
        assert_eq!(Pattern::new("Report").not_found("here"), told);
        assert!(Pattern::new("b").is_in(b"\xffB") && Pattern::new("B").is_in(b"\xffB"));
    }
}
