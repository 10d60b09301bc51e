//! The words of a typed line, with quotes and backslashes as a shell has them, and the paths that they name. A name with
//! blanks needs none of that if it is all that was typed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::app::settings::expand;
use crate::error::{Error, Result};
use crate::text;

/// The words of a line that may go on.
pub struct BegunLine {
    /// Those that are done.
    pub words: Vec<String>,
    /// Where the last word begins, in bytes, and what is there of it so far.
    pub last: (usize, String),
}

/// Splits a line into words. Quotes take blanks as they are, and a backslash whatever follows, except between single quotes.
pub fn words(line: &str) -> Vec<String> {
    let BegunLine { mut words, last: (start, word) } = split(line, false);
    if start < line.len() {
        words.push(word);
    }
    words
}

/// The same of a line that ends in the middle of a word, and perhaps between quotes.
pub fn begun(line: &str) -> BegunLine {
    split(line, true)
}

/// Without its end a quote is an apostrophe, unless the line `goes_on`.
fn split(line: &str, goes_on: bool) -> BegunLine {
    let mut words = Vec::new();
    let mut word: Option<(usize, String)> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() && quote.is_none() {
            words.extend(word.take().map(|(_, word)| word));
            continue;
        }
        let (_, word) = word.get_or_insert((at, String::new()));
        match (c, quote) {
            ('\\', None | Some('"')) => {
                let taken = chars.next_if(|(_, next)| is_escapable(*next));
                word.push(taken.map_or(c, |(_, next)| next));
            }
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) if goes_on || line[at + 1..].contains(c) => quote = Some(c),
            (c, _) => word.push(c),
        }
    }
    BegunLine { words, last: word.unwrap_or((line.len(), String::new())) }
}

/// On Windows most backslashes are part of a path.
fn is_escapable(c: char) -> bool {
    std::path::MAIN_SEPARATOR != '\\' || c.is_whitespace() || matches!(c, '"' | '\'' | '\\')
}

/// The path with a backslash wherever [`words`] needs one.
pub fn escape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c.is_whitespace() || matches!(c, '\\' | '"' | '\'') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The paths that a line names: the whole line if there is such a file, else its words. An error if a word of several names
/// nothing: then the user most likely means one name with blanks.
pub fn paths(line: &str) -> Result<Vec<PathBuf>> {
    let whole = expand(Path::new(line));
    if !line.is_empty() && fs::symlink_metadata(&whole).is_ok() {
        return Ok(vec![whole]);
    }
    let paths: Vec<PathBuf> = words(line).iter().map(|word| expand(Path::new(word))).collect();
    let is_missing =
        |path: &&PathBuf| fs::symlink_metadata(path).is_err_and(|cause| cause.kind() == ErrorKind::NotFound);
    match paths.iter().find(is_missing).filter(|_| paths.len() > 1) {
        Some(path) => Err(Error::Usage {
            what: format!("there is no file {}", text::clean_line(&path.to_string_lossy())),
            hint: Some("quotes go around a name with blanks, as in /send \"MY FILE\" OTHER".into()),
        }),
        None => Ok(paths),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_may_have_blanks() {
        assert_eq!(words(r#"a\ b "c d"e \\ "" f"#), ["a b", "c de", "\\", "", "f"]);
        assert_eq!(words(r#"'a b' 'it'\''s' "a\"b" '\' x"#), ["a b", "it's", "a\"b", "\\", "x"]);
        assert_eq!(words("it's.txt b.txt"), ["it's.txt", "b.txt"], "an apostrophe ends nowhere");
        assert_eq!(words("a\\"), ["a\\"]);
        assert!(words("  ").is_empty());
    }

    #[test]
    fn a_begun_line_ends_in_a_word() {
        for (line, start, last) in [
            ("/send 'a b", 6, "a b"),
            ("/send x \"a b", 8, "a b"),
            ("/send a\\ b", 6, "a b"),
            ("/send x ", 8, ""),
        ] {
            let begun = begun(line);
            assert_eq!(begun.last, (start, last.to_owned()), "{line}");
            assert_eq!(begun.words[0], "/send");
        }
    }

    #[test]
    fn a_path_with_blanks_is_found_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["my file.txt", "it's mine.txt", "other"] {
            fs::write(at(name), "").unwrap();
        }
        let line = |names: &[&str]| {
            names.iter().map(|name| at(name).display().to_string()).collect::<Vec<_>>().join(" ")
        };
        for name in ["my file.txt", "it's mine.txt"] {
            assert_eq!(paths(&line(&[name])).unwrap(), [at(name)]);
        }
        let quoted = format!("'{}' {}", at("my file.txt").display(), at("other").display());
        assert_eq!(paths(&quoted).unwrap(), [at("my file.txt"), at("other")]);
        let error = paths(&line(&["my file.txt", "other"])).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no file {}", at("my").display()));
        assert!(error.hint().unwrap().contains("quotes"));
        assert_eq!(paths("/nonexistent").unwrap(), [Path::new("/nonexistent")], "whoever reads it says why");
    }
}
