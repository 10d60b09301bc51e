//! How a line that is typed may go on: commands, peers, and paths.

use std::fs;
use std::path::{Path, PathBuf};

use crate::app::settings::expand;
use crate::text;
use crate::ui::commands::{self, COMMANDS, Takes};
use crate::ui::words;

/// How a line may go on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Where in the line the word begins that is completed.
    pub start: usize,
    /// What may stand there, whole.
    pub candidates: Vec<String>,
}

impl Completion {
    /// What all candidates begin with.
    pub fn common(&self) -> &str {
        let Some(first) = self.candidates.first() else { return "" };
        let same = |length: &usize| self.candidates.iter().all(|other| other.starts_with(&first[..*length]));
        let ends = (0..=first.len()).rev().filter(|end| first.is_char_boundary(*end));
        ends.into_iter().find(same).map_or("", |length| &first[..length])
    }
}

/// Completes a line up to the cursor.
pub fn complete(before: &str, peers: &[&str]) -> Completion {
    let begins = |start: usize, all: &mut dyn Iterator<Item = String>| Completion {
        start,
        candidates: all.filter(|one| one.starts_with(&before[start..])).collect(),
    };
    let Some((name, _)) = before.split_once(' ') else {
        let is_command = before.starts_with('/');
        return begins(0, &mut COMMANDS.iter().filter(|_| is_command).map(|one| format!("{} ", one.name)));
    };
    let Some(command) = commands::find(name) else {
        return Completion::default();
    };
    let (start, typed) = words::begun(before).last;
    match command.takes {
        Takes::Words => Completion::default(),
        Takes::Peer => begins(start, &mut peers.iter().map(|peer| format!("{peer} "))),
        Takes::Paths => Completion { start, candidates: paths(&typed) },
    }
}

/// Paths that begin like this, escaped as [`words::words`] takes them; a directory has a slash behind it.
fn paths(typed: &str) -> Vec<String> {
    let (dir, name) = typed.rsplit_once('/').unwrap_or(("", typed));
    let inside = if typed.starts_with('/') && dir.is_empty() { Path::new("/") } else { Path::new(dir) };
    let listed = fs::read_dir(if inside == Path::new("") { PathBuf::from(".") } else { expand(inside) });
    let mut found: Vec<String> = listed
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let found = entry.file_name().into_string().ok()?;
            let is_hidden = found.starts_with('.') && !name.starts_with('.');
            // What goes into the line goes to the terminal.
            let is_shown = found.starts_with(name) && !is_hidden && found.chars().all(text::is_clean);
            let end = if entry.path().is_dir() { "/" } else { " " };
            is_shown.then(|| words::escape(&inside.join(&found).to_string_lossy()) + end)
        })
        .collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_peers_are_completed() {
        let peers = ["bob", "bella", "carol"];
        let complete = |line: &str| complete(line, &peers);
        assert_eq!(complete("/verif").candidates, ["/verify ", "/verified "]);
        assert_eq!(complete("/verif").common(), "/verif");
        assert_eq!(
            complete("/to b"),
            Completion { start: 4, candidates: vec!["bob ".into(), "bella ".into()] }
        );
        assert_eq!(complete("/to b").common(), "b");
        assert_eq!(complete("/to c").common(), "carol ");
        for line in ["hello b", "/nothing b", "", "x", "/who b"] {
            assert_eq!(complete(line).candidates, [""; 0], "{line}");
        }
    }

    #[test]
    fn paths_are_completed_and_come_back_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a b.txt", "a\"c", "it's", ".hidden"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        // Not every system has such names.
        for name in ["a\x1b]0;owned\x07", "a\nb", "a\u{202e}b"] {
            let _ = fs::write(dir.path().join(name), "");
        }
        fs::create_dir(dir.path().join("sub")).unwrap();
        let root = dir.path().to_str().unwrap();
        let candidates = |line: String| complete(&line, &[]).candidates;
        let complete = |rest: &str| candidates(format!("/send x {root}/{rest}"));
        assert_eq!(complete("a"), [format!("{root}/a\\ b.txt "), format!("{root}/a\\\"c ")]);
        assert_eq!(complete("a\\ "), [format!("{root}/a\\ b.txt ")]);
        assert_eq!(candidates(format!("/send '{root}/a b")), [format!("{root}/a\\ b.txt ")]);
        assert_eq!(complete("s"), [format!("{root}/sub/")]);
        assert_eq!(complete("").len(), 4);
        assert_eq!(words::words(&complete("a")[0]), [format!("{root}/a b.txt")]);
        assert_eq!(words::words(&complete("i")[0]), [format!("{root}/it's")]);
    }
}
