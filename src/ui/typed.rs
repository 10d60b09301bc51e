//! What a typed line means: a message, a command of the chat, or something that was typed in the wrong place and is sent to
//! nobody.

use crate::text::{self, spelling::nearest};
use crate::ui::commands::{self, COMMANDS, SlashCommand};

/// The commands of the program, and what does the same in a chat; empty where nothing does. Longer ones come first.
pub const SHELL_COMMANDS: [(&str, &str); 28] = [
    ("peers accept", "/admit FINGERPRINT"),
    ("peers requests", "/requests"),
    ("peers add", "/add HOST:PORT"),
    ("peers remove", "/forget NAME"),
    ("peers rename", "/rename NAME NEW"),
    ("outbox cancel", "/cancel N"),
    ("chat", ""),
    ("serve", ""),
    ("say", "/msg NAME TEXT"),
    ("send", "/send PATH"),
    ("receive", ""),
    ("share", ""),
    ("window", ""),
    ("get", ""),
    ("invite", "/invite"),
    ("join", "/join LINK"),
    ("peers", "/who"),
    ("log", "/history"),
    ("outbox", "/outbox"),
    ("fetch", ""),
    ("status", "/transfers"),
    ("partial", ""),
    ("id", "/id"),
    ("doctor", ""),
    ("demo", ""),
    ("completions", ""),
    ("version", ""),
    ("help", "/help"),
];

/// A line, understood.
pub enum ParsedLine<'a> {
    /// To be said.
    Message(&'a str),
    /// To be done: the command, and what was typed after its name.
    Command(&'static SlashCommand, &'a str),
    /// Not to be sent, and why.
    Refused(String),
}

/// Understands a line.
pub fn parse(line: &str) -> ParsedLine<'_> {
    if let Some(instead) = shell_command(line) {
        return ParsedLine::Refused(format!(
            "this is a command for a shell; {instead}with a blank in front it is a message"
        ));
    }
    if !line.starts_with('/') || line.starts_with("/me ") {
        return ParsedLine::Message(line);
    }
    if let Some(rest) = line.strip_prefix("//") {
        return ParsedLine::Message(&line[line.len() - rest.len() - 1..]);
    }
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match commands::find(name) {
        Some(command) => ParsedLine::Command(command, rest.trim()),
        None => ParsedLine::Refused(unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    let typed = text::clean_line(name);
    let is_meant =
        |(words, _): &&(&str, &str)| words.split(' ').any(|word| name.strip_prefix('/') == Some(word));
    if let Some((_, here)) = ELSEWHERE.iter().find(is_meant) {
        return format!("{typed} is no command here; {here}");
    }
    match nearest(name, COMMANDS.iter().map(|command| command.name)) {
        Some(near) => format!("{typed} is no command; did you mean {near}?"),
        None => format!("{typed} is no command; /help lists them, and // begins a message"),
    }
}

/// A message that begins so says what somebody does.
pub const ACTION: &str = "/me ";

/// What other chats call it, and what does it here.
const ELSEWHERE: [(&str, &str); 19] = [
    ("exit bye leave close part wc logout disconnect x", "/quit leaves, and /to NAME talks to another"),
    (
        "query m msgto talk win window switch chat",
        "/to NAME talks to NAME, and /msg NAME TEXT says one thing",
    ),
    ("say echo", "type TEXT and Enter to say it"),
    ("whois whowas w names list n users peers contacts friends buddies", "/who lists the peers"),
    ("notice privmsg t tell dm", "/msg NAME TEXT says TEXT to NAME"),
    ("action describe emote", "/me TEXT says what you do"),
    ("dcc upload file share attach put", "/send PATH... sends files"),
    ("get download receive take ok yes", "/accept takes what is offered"),
    ("decline reject deny no", "/refuse refuses what is offered"),
    ("abort kill", "/stop ends a transfer, and /cancel takes back what waits"),
    ("undo unsend delete", "/cancel takes back what waits"),
    ("lastlog log scrollback search grep find hilight sb", "/history TEXT shows the lines with TEXT"),
    ("server connect dial", "/add HOST:PORT gets to know the node there, and /join takes a link"),
    ("link pair", "/invite makes a link, and /join takes one"),
    ("ignore silence", "/mute NAME ends the bell for NAME"),
    (
        "kick ban remove unfriend block",
        "/forget NAME forgets a peer; `egoat peers set NAME blocked` keeps it out",
    ),
    ("name username", "/nick NAME says what you are called, and /rename gives a peer another name"),
    ("status jobs", "/transfers lists what is on its way, and /outbox what waits"),
    ("commands h ? man", "/help lists the commands"),
];

/// For a line that belongs into a shell, in words what to type here instead. A further line makes it a message: somebody
/// shows what happened.
fn shell_command(line: &str) -> Option<String> {
    let rest = line.strip_prefix("$ ").unwrap_or(line).strip_prefix("egoat ")?;
    if line.trim_end().contains('\n') {
        return None;
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    let is_meant = |name: &str| name.split(' ').zip(&words).filter(|(word, typed)| word == *typed).count();
    let known = SHELL_COMMANDS.iter().find(|(name, _)| is_meant(name) == name.split(' ').count());
    match known {
        Some((_, "")) => Some(String::new()),
        Some((_, here)) => Some(format!("here it is {here}, and ")),
        None => words.first()?.starts_with('-').then(String::new),
    }
}

/// The line that says a text, also one that begins with a slash.
pub fn saying(text: &str) -> String {
    match parse(text) {
        ParsedLine::Message(message) if message == text => text.to_owned(),
        // Whoever pastes one into a chat is told as well.
        _ if !text.starts_with('/') => text.to_owned(),
        _ => format!("/{text}"),
    }
}

#[cfg(test)]
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
            ("/etc/passwd", "/etc/passwd is no command; /help lists them, and // begins a message"),
            ("/sned a", "/sned is no command; did you mean /send?"),
            ("/exit", "/exit is no command here; /quit leaves, and /to NAME talks to another"),
            ("/whois bob", "/whois is no command here; /who lists the peers"),
            (" /to bob", "says  /to bob"),
            (" egoat peers", "says  egoat peers"),
            ("egoat is small", "says egoat is small"),
            ("egoat peers\nsays nothing", "says egoat peers\nsays nothing"),
        ] {
            assert_eq!(meaning(line), expected, "{line}");
            assert_eq!(meaning(&saying(line)), format!("says {line}"), "{line}");
        }
    }

    #[test]
    fn a_command_for_a_shell_is_sent_to_nobody() {
        for (line, here) in [
            ("egoat peers accept abcd", "here it is /admit FINGERPRINT, and "),
            ("$ egoat send bob a.txt\n", "here it is /send PATH, and "),
            ("egoat --home x status", ""),
            ("egoat doctor", ""),
        ] {
            let expected =
                format!("this is a command for a shell; {here}with a blank in front it is a message");
            assert_eq!(meaning(line), expected);
            assert_eq!(meaning(&saying(line)), expected);
        }
    }

    fn meaning(line: &str) -> String {
        match parse(line) {
            ParsedLine::Message(text) => format!("says {text}"),
            ParsedLine::Command(command, rest) => format!("does {} with {rest}", command.name),
            ParsedLine::Refused(why) => why,
        }
    }
}
