//! What a typed line means: a message, or a command that begins with a slash; and how the line may go on. Pure but for
//! the names in directories. It leaves out what commands do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::store::home::expand;
use crate::text;

/// What a command takes, and so what completes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing that could be guessed.
    Words,
    /// A peer's name.
    Peer,
    /// Paths.
    Paths,
}

/// A command: its name, what stands behind it, what it does, what completes it.
pub struct Command {
    /// With its slash.
    pub name: &'static str,
    /// As `/help` shows it.
    pub arguments: &'static str,
    /// In a few words.
    pub help: &'static str,
    takes: Takes,
}

const fn command(name: &'static str, arguments: &'static str, help: &'static str, takes: Takes) -> Command {
    Command { name, arguments, help, takes }
}

/// All commands, as `/help` and egoat(1) list them.
pub const COMMANDS: [Command; 25] = [
    command("/to", "NAME", "talk to NAME; also Alt-1 to Alt-9", Takes::Peer),
    command("/all", "", "show all conversations together, or one again", Takes::Words),
    command("/who", "", "who is here, and when the others were", Takes::Words),
    command("/history", "[N|TEXT]", "the last N lines, or those with TEXT", Takes::Words),
    command("/me", "TEXT", "say what you do", Takes::Words),
    command("/cancel", "", "take back the last message that waits", Takes::Words),
    command("/invite", "", "a link for somebody to join with", Takes::Words),
    command("/join", "LINK", "pair by somebody's link", Takes::Words),
    command("/add", "HOST:PORT", "get to know the node there", Takes::Words),
    command("/requests", "", "strangers who wait", Takes::Words),
    command("/admit", "[FINGERPRINT]", "make a peer of a stranger", Takes::Words),
    command("/rename", "[NAME] NEW", "give a peer another name", Takes::Peer),
    command("/forget", "NAME", "forget a peer; the history stays", Takes::Peer),
    command("/verify", "[NAME]", "the safety number, to compare", Takes::Peer),
    command("/verified", "[NAME]", "note that it is the same there", Takes::Peer),
    command("/send", "PATH...", "send files and directories", Takes::Paths),
    command("/accept", "N [DIR]", "take what is offered", Takes::Paths),
    command("/refuse", "N", "do not take it", Takes::Words),
    command("/transfers", "", "what is on its way", Takes::Words),
    command("/stop", "N", "stop a transfer", Takes::Words),
    command("/clear", "", "empty the screen; also Ctrl-L", Takes::Words),
    command("/id", "", "this node's name, fingerprint and addresses", Takes::Words),
    command("/help", "", "this list", Takes::Words),
    command("/keys", "", "what the keys do", Takes::Words),
    command("/quit", "", "leave; also Ctrl-D", Takes::Words),
];

/// What the keys do, as `/keys` shows it.
pub const KEYS: [&str; 9] = [
    "Enter sends; Alt-Enter or Ctrl-J begins a further line; Tab completes",
    "Alt-1 to Alt-9 go to a peer, Alt-a to the next with something unread",
    "Up and Down: what you said before, beginning as the line does; Ctrl-R searches",
    "Left, Right, Home, End, Ctrl-A, Ctrl-E; by words with Alt or Ctrl and an arrow, Alt-b, Alt-f",
    "Ctrl-W, Alt-Backspace, Alt-d, Ctrl-U, Ctrl-K kill; Ctrl-Y brings it back",
    "Ctrl-C empties the line, twice leaves; Ctrl-D leaves; Ctrl-Z suspends",
    "before a message: . it waits, > it is on its way, + the peer has it on disk, x it was not sent",
    "//TEXT says something that begins with a slash",
    "what was pasted is one message, and never a command",
];

/// A line, understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// To be said.
    Message(&'a str),
    /// To be done: the command's name, and what stands behind it.
    Command(&'static str, &'a str),
    /// No such command.
    Unknown(&'a str),
}

/// Understands a line.
pub fn parse(line: &str) -> Line<'_> {
    if !line.starts_with('/') || line.starts_with("/me ") {
        return Line::Message(line);
    }
    if let Some(rest) = line.strip_prefix("//") {
        return Line::Message(&line[line.len() - rest.len() - 1..]);
    }
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => Line::Command(command.name, rest.trim()),
        None => Line::Unknown(name),
    }
}

/// The line that says a text, whatever it begins with.
pub fn saying(text: &str) -> String {
    if parse(text) == Line::Message(text) { text.to_owned() } else { format!("/{text}") }
}

/// Splits a line into words. A backslash takes what is behind it as it is, and so do double quotes.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let (mut is_quoted, mut chars) = (false, line.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '"' => {
                word.get_or_insert_default();
                is_quoted = !is_quoted;
            }
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

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
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Completion::default();
    };
    let start = last_word(before);
    match command.takes {
        Takes::Words => Completion::default(),
        Takes::Peer => begins(start, &mut peers.iter().map(|peer| format!("{peer} "))),
        Takes::Paths => Completion { start, candidates: paths(&before[start..]) },
    }
}

/// Where the last word of a line begins.
fn last_word(line: &str) -> usize {
    let (mut begin, mut is_escaped) = (0, false);
    for (at, c) in line.char_indices() {
        if c.is_whitespace() && !is_escaped {
            begin = at + c.len_utf8();
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    begin
}

/// Paths that begin like this, escaped as [`words`] takes them; a directory has a slash behind it.
fn paths(begun: &str) -> Vec<String> {
    let typed = words(begun).pop().unwrap_or_default();
    let (dir, name) = typed.rsplit_once('/').map_or(("", typed.as_str()), |(dir, name)| (dir, name));
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
            is_shown.then(|| escape(&inside.join(&found).to_string_lossy()) + end)
        })
        .collect();
    found.sort_unstable();
    found
}

fn escape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if c.is_whitespace() || matches!(c, '\\' | '"') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The paths of a line.
pub fn path_words(line: &str) -> Vec<PathBuf> {
    words(line).iter().map(|word| expand(Path::new(word))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        for (line, expected) in [
            ("hello", Line::Message("hello")),
            ("/to bob ", Line::Command("/to", "bob")),
            ("/quit", Line::Command("/quit", "")),
            ("/me waves", Line::Message("/me waves")),
            ("//etc is a directory", Line::Message("/etc is a directory")),
            ("/etc/passwd", Line::Unknown("/etc/passwd")),
            (" /to bob", Line::Message(" /to bob")),
        ] {
            assert_eq!(parse(line), expected, "{line}");
            assert_eq!(parse(&saying(line)), Line::Message(line), "{line}");
        }
    }

    #[test]
    fn words_may_have_spaces() {
        assert_eq!(words(r#"a\ b "c d"e \\ "" f"#), ["a b", "c de", "\\", "", "f"]);
        assert!(words("  ").is_empty());
    }

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
        for name in ["a b.txt", "a\"c", ".hidden"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        // Not every system has such names.
        for name in ["a\x1b]0;owned\x07", "a\nb", "a\u{202e}b"] {
            let _ = fs::write(dir.path().join(name), "");
        }
        fs::create_dir(dir.path().join("sub")).unwrap();
        let root = dir.path().to_str().unwrap();
        let complete = |rest: &str| complete(&format!("/send x {root}/{rest}"), &[]).candidates;
        assert_eq!(complete("a"), [format!("{root}/a\\ b.txt "), format!("{root}/a\\\"c ")]);
        assert_eq!(complete("a\\ "), [format!("{root}/a\\ b.txt ")]);
        assert_eq!(complete("s"), [format!("{root}/sub/")]);
        assert_eq!(complete("").len(), 3);
        assert_eq!(words(&complete("a")[0]), [format!("{root}/a b.txt")]);
    }
}
