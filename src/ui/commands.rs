//! The commands of a chat, which begin with a slash. Each is a row of one table: its name, its help, what completes it, and
//! the function of the chat that it calls.

use crate::app::chat::Chat;
use crate::app::chat::view::View;
use crate::app::contacts::{parse_address, parse_link};
use crate::app::link::Decision;
use crate::app::settings::directory;
use crate::error::{Error, Result};
use crate::text;
use crate::ui::words::{paths, words};

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
        COMMANDS.iter().filter(move |command| command.group == self)
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
    /// What completes it.
    pub takes: Takes,
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
pub static COMMANDS: [SlashCommand; 30] = [
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
    row(
        Group::Talk,
        "/outbox",
        "",
        "what waits to go out: messages and files",
        Takes::Words,
        |chat, view, _| chat.list_outbox(view),
    ),
    row(
        Group::Talk,
        "/cancel",
        "[N]",
        "take back the last message that waits, or N of /outbox",
        Takes::Words,
        |chat, view, rest| chat.cancel(numbered(rest)?, view),
    ),
    row(Group::People, "/who", "", "who is here, and when the others were", Takes::Words, |chat, view, _| {
        chat.who(view);
        Ok(())
    }),
    row(
        Group::People,
        "/invite",
        "[NAME] | nearby",
        "a link for somebody to join with, or digits",
        Takes::Words,
        |chat, view, rest| match rest.eq_ignore_ascii_case("nearby") {
            true => chat.invite_nearby(view),
            false => chat.invite(given(rest), view),
        },
    ),
    row(Group::People, "/join", "LINK | nearby", "pair by a link, or by digits", Takes::Words, join),
    row(
        Group::People,
        "/add",
        "HOST:PORT",
        "get to know the node there",
        Takes::Words,
        |chat, view, rest| {
            chat.add(parse_address(rest)?, view);
            Ok(())
        },
    ),
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
        chat.send_files(paths(rest)?, view)
    }),
    row(Group::Files, "/accept", "[N] [DIR]", "take what is offered", Takes::Paths, accept),
    row(Group::Files, "/refuse", "[N]", "do not take it", Takes::Words, |chat, view, rest| {
        chat.decide(numbered(rest)?, Decision::Refuse, view)
    }),
    row(Group::Files, "/transfers", "", "what is on its way", Takes::Words, |chat, view, _| {
        chat.list_transfers(view);
        Ok(())
    }),
    row(Group::Files, "/stop", "[N]", "stop a transfer", Takes::Words, |chat, view, rest| {
        chat.stop(numbered(rest)?, view)
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
        let keys = if view.reads_keys() { &KEYS[..] } else { &LINE_KEYS };
        keys.iter().for_each(|line| view.note(line));
        Ok(())
    }),
    row(Group::Chat, "/quit", "", "leave; also /q and Ctrl-D", Takes::Words, |chat, view, _| chat.quit(view)),
];

/// The same as `/quit`.
const QUIT_SHORT: &str = "/q";

/// The commands that work where lines come out of a pipe, in which somebody else may have a say.
const PIPED: [&str; 5] = ["/to", "/msg", "/accept", "/refuse", "/quit"];

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
    let meant: Vec<&SlashCommand> = COMMANDS.iter().filter(is_meant).collect();
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

fn join(chat: &mut Chat, view: &mut dyn View, rest: &str) -> Result<()> {
    if rest.is_empty() {
        return Err(Error::usage("which link? /join LINK, as the other one's /invite shows it"));
    }
    if rest.eq_ignore_ascii_case("nearby") {
        return chat.join_nearby(view);
    }
    if rest.starts_with('#') {
        return Err(Error::usage(
            "there are no channels here: /to NAME talks to a peer, /all shows all of them",
        ));
    }
    chat.join(parse_link(rest)?, view);
    Ok(())
}

fn rename(chat: &mut Chat, view: &mut dyn View, rest: &str) -> Result<()> {
    let (old, new) = rest.rsplit_once(' ').unwrap_or(("", rest));
    chat.rename(old.trim(), new, view)
}

/// `[N] [DIR]`. There is one directory, so that spaces in it need no backslash.
fn accept(chat: &mut Chat, view: &mut dyn View, rest: &str) -> Result<()> {
    let (first, other) = rest.split_once(' ').unwrap_or((rest, ""));
    let (number, dir) = first.parse().map_or((None, rest), |number| (Some(number), other));
    let dir = given(&words(dir).join(" "))
        .map(|dir| directory(dir).ok_or_else(|| Error::usage("there is no such place; name a directory")));
    chat.decide(number, Decision::Accept { dir: dir.transpose()? }, view)
}

/// The number that a command is given, if it is.
fn numbered(typed: &str) -> Result<Option<u64>> {
    let number = |typed: &str| {
        let meant = text::clean_line(typed);
        typed.parse().map_err(|_| Error::usage(format!("{meant} is no number; which one is meant?")))
    };
    given(typed).map(number).transpose()
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

/// The same where the terminal hands over whole lines.
const LINE_KEYS: [&str; 4] = [
    "Enter sends; Backspace deletes; Ctrl-U empties the line",
    "Ctrl-C drops what is typed, and on an empty line leaves, as Ctrl-D does; both ask where something is left to do",
    "//TEXT says something that begins with a slash",
    "each line of a paste counts by itself: it is a message, or a command if it begins with a slash",
];

/// The command of this name, with its slash.
pub fn find(name: &str) -> Option<&'static SlashCommand> {
    let name = if name == QUIT_SHORT { "/quit" } else { name };
    COMMANDS.iter().find(|command| command.name == name)
}
