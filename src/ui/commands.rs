//! What a typed line means: a message, or a command that begins with a slash; and how the line may go on. A command is a row
//! of one table: its name, its help, what completes it, and the function of the chat that it calls.

use std::fs;
use std::path::{Path, PathBuf};

use crate::app::chat::Chat;
use crate::app::chat::view::View;
use crate::app::contacts::{parse_address, parse_link};
use crate::app::link::Decision;
use crate::app::settings::{directory, expand};
use crate::error::{Error, Result};
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

type Handler = fn(&mut Chat, &mut dyn View, &str) -> Result<()>;

/// What a command is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Talk,
    People,
    Files,
    Chat,
}

impl Group {
    const ALL: [Group; 4] = [Group::Talk, Group::People, Group::Files, Group::Chat];

    fn name(self) -> &'static str {
        match self {
            Group::Talk => "talk",
            Group::People => "people",
            Group::Files => "files",
            Group::Chat => "chat",
        }
    }

    fn commands(self) -> impl Iterator<Item = &'static SlashCommand> {
        all().iter().filter(move |command| command.group == self)
    }
}

/// A command of a chat.
pub struct SlashCommand {
    group: Group,
    /// With its slash.
    pub name: &'static str,
    /// As `/help` shows it.
    pub arguments: &'static str,
    /// In a few words.
    pub help: &'static str,
    takes: Takes,
    run: Handler,
}

impl SlashCommand {
    /// Whether it works where lines come out of a pipe.
    pub fn is_piped(&self) -> bool {
        PIPED.contains(&self.name)
    }

    /// Runs it with what was typed after its name.
    pub fn run(&self, chat: &mut Chat, view: &mut dyn View, rest: &str) -> Result<()> {
        (self.run)(chat, view, rest)
    }
}

const fn row(
    group: Group,
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    takes: Takes,
    run: Handler,
) -> SlashCommand {
    SlashCommand { group, name, arguments, help, takes, run }
}

/// All commands, by their groups, as `/help` and egoat(1) list them.
pub const COMMANDS: [SlashCommand; 29] = [
    row(Group::Talk, "/to", "NAME", "talk to NAME; also Alt-1 to Alt-9", Takes::Peer, |chat, view, rest| {
        chat.talk_to(rest, view)
    }),
    row(
        Group::Talk,
        "/msg",
        "NAME TEXT",
        "say TEXT to NAME, and stay here",
        Takes::Peer,
        |chat, view, rest| {
            let (name, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            chat.say_to(name, text.trim_start(), view)
        },
    ),
    row(Group::Talk, "/me", "TEXT", "say what you do", Takes::Words, |_, _, _| {
        Err(Error::usage("what do you do? /me TEXT"))
    }),
    row(
        Group::Talk,
        "/all",
        "",
        "show all conversations together, or one again",
        Takes::Words,
        |chat, view, _| chat.toggle_all(view),
    ),
    row(
        Group::Talk,
        "/history",
        "[N|TEXT]",
        "the last N lines, or those with TEXT",
        Takes::Words,
        |chat, view, rest| chat.history(rest, view),
    ),
    row(Group::Talk, "/cancel", "", "take back the last message that waits", Takes::Words, |chat, _, _| {
        chat.cancel()
    }),
    row(Group::People, "/who", "", "who is here, and when the others were", Takes::Words, |chat, view, _| {
        chat.who(view);
        Ok(())
    }),
    row(Group::People, "/invite", "", "a link for somebody to join with", Takes::Words, |chat, view, _| {
        chat.invite(view)
    }),
    row(Group::People, "/join", "LINK", "pair by somebody's link", Takes::Words, |chat, view, rest| {
        chat.join(parse_link(rest)?, view);
        Ok(())
    }),
    row(Group::People, "/add", "HOST:PORT", "get to know the node there", Takes::Words, |chat, _, rest| {
        chat.add(parse_address(rest)?);
        Ok(())
    }),
    row(Group::People, "/requests", "", "strangers who wait", Takes::Words, |chat, view, _| {
        chat.list_requests(view)
    }),
    row(
        Group::People,
        "/admit",
        "[FINGERPRINT]",
        "make a peer of a stranger",
        Takes::Words,
        |chat, view, rest| chat.admit(given(rest), view),
    ),
    row(Group::People, "/rename", "[NAME] NEW", "give a peer another name", Takes::Peer, rename),
    row(
        Group::People,
        "/forget",
        "NAME",
        "forget a peer; the history stays",
        Takes::Peer,
        |chat, view, rest| chat.forget(rest, view),
    ),
    row(
        Group::People,
        "/verify",
        "[NAME]",
        "the safety number, to compare",
        Takes::Peer,
        |chat, view, rest| chat.verify(rest, view),
    ),
    row(
        Group::People,
        "/verified",
        "[NAME]",
        "note that it is the same there",
        Takes::Peer,
        |chat, view, rest| chat.verified(rest, view),
    ),
    row(
        Group::People,
        "/mute",
        "[NAME]",
        "mute a peer: no bell; or unmute it",
        Takes::Peer,
        |chat, view, rest| chat.toggle_mute(rest, view),
    ),
    row(Group::Files, "/send", "PATH...", "send files and directories", Takes::Paths, |chat, view, rest| {
        chat.send_files(path_words(rest), view)
    }),
    row(Group::Files, "/accept", "[N] [DIR]", "take what is offered", Takes::Paths, accept),
    row(Group::Files, "/refuse", "[N]", "do not take it", Takes::Words, |chat, _, rest| {
        chat.decide(number(chat, rest)?, Decision::Refuse)
    }),
    row(Group::Files, "/transfers", "", "what is on its way", Takes::Words, |chat, view, _| {
        chat.list_transfers(view);
        Ok(())
    }),
    row(Group::Files, "/stop", "N", "stop a transfer", Takes::Words, |chat, _, rest| {
        chat.stop(rest.parse().ok())
    }),
    row(Group::Chat, "/nick", "NAME", "what you are called", Takes::Words, |chat, view, rest| {
        chat.rename_self(rest, view)
    }),
    row(Group::Chat, "/away", "", "mute all in this chat, or unmute", Takes::Words, |chat, view, _| {
        chat.toggle_away(view);
        Ok(())
    }),
    row(
        Group::Chat,
        "/id",
        "",
        "this node's name, fingerprint and addresses",
        Takes::Words,
        |chat, view, _| chat.id(view),
    ),
    row(Group::Chat, "/clear", "", "empty the screen; also Ctrl-L", Takes::Words, |_, view, _| {
        view.clear();
        Ok(())
    }),
    row(Group::Chat, "/help", "[TOPIC]", "the commands, or what they do", Takes::Words, help),
    row(Group::Chat, "/keys", "", "what the keys do", Takes::Words, |_, view, _| {
        KEYS.iter().for_each(|line| view.note(line));
        Ok(())
    }),
    row(Group::Chat, "/quit", "", "leave; also /q and Ctrl-D", Takes::Words, |_, view, _| {
        view.leave();
        Ok(())
    }),
];

/// The same as `/quit`.
const QUIT_SHORT: &str = "/q";

/// The commands that work where lines come out of a pipe, in which somebody else may have a say.
const PIPED: [&str; 5] = ["/to", "/msg", "/accept", "/refuse", "/quit"];

fn all() -> &'static [SlashCommand] {
    static ALL: &[SlashCommand] = &COMMANDS;
    ALL
}

/// The commands by their groups. What they do is told of one group at a time, so that it fits a small screen.
fn help(_: &mut Chat, view: &mut dyn View, topic: &str) -> Result<()> {
    if topic.is_empty() {
        for group in Group::ALL {
            let names: Vec<&str> = group.commands().map(|command| command.name).collect();
            view.note(&format!("{:8}{}", format!("{}:", group.name()), names.join(" ")));
        }
        view.note("`/help talk` says what those do, `/help all` what all do; /keys what the keys do");
        return Ok(());
    }
    let is_meant = |command: &&SlashCommand| {
        topic == "all"
            || topic == command.group.name()
            || find_topic(topic).is_some_and(|one| one.name == command.name)
    };
    let meant: Vec<&SlashCommand> = all().iter().filter(is_meant).collect();
    if meant.is_empty() {
        return Err(Error::usage(format!("{} is no command; /help lists them", text::clean_line(topic))));
    }
    let usage = |command: &SlashCommand| format!("{} {}", command.name, command.arguments);
    let width = meant.iter().map(|command| usage(command).len()).max().unwrap_or(0);
    meant.iter().for_each(|command| view.note(&format!("{:width$}  {}", usage(command), command.help)));
    Ok(())
}

/// The command of this name, with its slash or without.
fn find_topic(topic: &str) -> Option<&'static SlashCommand> {
    find(topic).or_else(|| find(&format!("/{topic}")))
}

fn rename(chat: &mut Chat, view: &mut dyn View, rest: &str) -> Result<()> {
    let (old, new) = rest.rsplit_once(' ').unwrap_or(("", rest));
    chat.rename(old.trim(), new, view)
}

/// `N [DIR]`. There is one directory, so that spaces in it need no backslash.
fn accept(chat: &mut Chat, _: &mut dyn View, rest: &str) -> Result<()> {
    let (first, dir) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = number(chat, first)?;
    let dir = given(&words(dir).join(" "))
        .map(|dir| directory(dir).ok_or_else(|| Error::usage("there is no such place; name a directory")));
    chat.decide(number, Decision::Accept { dir: dir.transpose()? })
}

/// The number of an offer; without one, that of the only one.
fn number(chat: &Chat, typed: &str) -> Result<u64> {
    if typed.trim().is_empty() {
        return chat.only_offer();
    }
    typed.trim().parse().map_err(|_| Error::usage("which one? /accept N [DIR] or /refuse N"))
}

fn given(typed: &str) -> Option<&str> {
    Some(typed).filter(|typed| !typed.is_empty())
}

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
pub enum ParsedLine<'a> {
    /// To be said.
    Message(&'a str),
    /// To be done: the command, and what was typed after its name.
    Command(&'static SlashCommand, &'a str),
    /// No such command.
    Unknown(&'a str),
}

/// Understands a line.
pub fn parse(line: &str) -> ParsedLine<'_> {
    if !line.starts_with('/') || line.starts_with("/me ") {
        return ParsedLine::Message(line);
    }
    if let Some(rest) = line.strip_prefix("//") {
        return ParsedLine::Message(&line[line.len() - rest.len() - 1..]);
    }
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    find(name).map_or(ParsedLine::Unknown(name), |command| ParsedLine::Command(command, rest.trim()))
}

/// The command of this name, with its slash.
pub fn find(name: &str) -> Option<&'static SlashCommand> {
    let name = if name == QUIT_SHORT { "/quit" } else { name };
    all().iter().find(|command| command.name == name)
}

/// The line that says a text, whatever it begins with.
pub fn saying(text: &str) -> String {
    if matches!(parse(text), ParsedLine::Message(message) if message == text) {
        text.to_owned()
    } else {
        format!("/{text}")
    }
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
    let Some(command) = find(name) else {
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
            ("hello", "says hello"),
            ("/to bob ", "does /to with bob"),
            ("/quit", "does /quit with "),
            ("/q\r", "does /quit with "),
            ("/msg bob hello you", "does /msg with bob hello you"),
            ("/me waves", "says /me waves"),
            ("//etc is a directory", "says /etc is a directory"),
            ("/etc/passwd", "does not know /etc/passwd"),
            (" /to bob", "says  /to bob"),
        ] {
            assert_eq!(meaning(line), expected, "{line}");
            assert_eq!(meaning(&saying(line)), format!("says {line}"), "{line}");
        }
    }

    fn meaning(line: &str) -> String {
        match parse(line) {
            ParsedLine::Message(text) => format!("says {text}"),
            ParsedLine::Command(command, rest) => format!("does {} with {rest}", command.name),
            ParsedLine::Unknown(name) => format!("does not know {name}"),
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
