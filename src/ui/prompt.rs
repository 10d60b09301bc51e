//! Questions on the terminal that the user may leave by Ctrl-C or Ctrl-D.

use std::io::{self, Read};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::app::{Link, contacts};
use crate::error::{Error, Result};
use crate::ui::output;
use crate::ui::stty::stty;

/// Ctrl-C ends a line rather than this process, which could say no more then.
const TYPED: [&str; 3] = ["-isig", "eol", "^C"];
/// Ctrl-C, Ctrl-Z and Ctrl-\, which are no signals meanwhile.
const LEFT: [u8; 3] = [0x03, 0x1a, 0x1c];
/// Longest answer in bytes: a link with eight long addresses has under 3 KiB.
const MAX_ANSWER: usize = 8192;
/// Lines that a link may be broken into.
const MAX_LINK_LINES: usize = 80;

/// Asks a question; `None` if the user leaves it, or where there is no terminal to ask on.
pub fn ask(question: &str) -> Option<String> {
    if !output::can_ask() {
        return None;
    }
    let _mode = TypedKeys::begin();
    output::question(question);
    let answer = read_line(io::stdin().lock());
    let is_left = answer.as_ref().is_none_or(|answer| answer.iter().any(|byte| LEFT.contains(byte)));
    if is_left {
        output::end_question();
        return None;
    }
    Some(String::from_utf8_lossy(&answer?).trim().to_owned())
}

/// Asks for a link, which may come in several lines where it was copied out of a narrow window.
pub fn ask_link(question: &str) -> Option<String> {
    let mut link = ask(question)?;
    for _ in 0..MAX_LINK_LINES {
        // A comma after a link is left out, but here another address may follow it.
        let is_whole = contacts::parse_link(&link).is_ok() && !link.ends_with(',');
        if !Link::looks_like(&link) || is_whole {
            break;
        }
        match ask("and the rest of it? [Enter if that was all]")? {
            rest if rest.is_empty() => break,
            rest => link.push_str(&rest),
        }
    }
    Some(link)
}

/// A question beside which something else goes on. It is the last one that a process asks: whoever drops it leaves a thread
/// that reads the terminal.
pub struct Pending {
    answer: Receiver<Option<String>>,
    /// Until it is answered.
    mode: Option<TypedKeys>,
    is_answered: bool,
}

impl Pending {
    /// Asks. What was typed before is no answer to it, and is dropped.
    pub fn ask(question: &str) -> Result<Pending> {
        discard_typed();
        let mode = TypedKeys::begin();
        output::question(question);
        let (typed, answer) = mpsc::channel();
        let read = move || {
            let line = read_line(io::stdin().lock());
            let line = line.filter(|line| !line.iter().any(|byte| LEFT.contains(byte)));
            let _ = typed.send(line.map(|line| String::from_utf8_lossy(&line).trim().to_owned()));
        };
        let started = thread::Builder::new().name("answer".into()).spawn(read);
        started.map_err(|cause| Error::failed(format!("no thread could be started: {cause}")))?;
        Ok(Pending { answer, mode, is_answered: false })
    }

    /// The answer, once and when it is there; `Some(None)` if the user leaves the question.
    pub fn answer(&mut self) -> Option<Option<String>> {
        let answer = match self.answer.try_recv() {
            Ok(answer) => answer,
            Err(_) => return None,
        };
        self.mode = None;
        self.is_answered = answer.is_some();
        Some(answer)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_answered {
            output::end_question();
        }
    }
}

/// Reads what was typed already. Where stty(1) cannot say that a read does not wait, that stays.
fn discard_typed() {
    let Some(_mode) = TypedKeys::set(&["-icanon", "min", "0", "time", "0"]) else { return };
    let mut scrap = [0; 1024];
    while io::stdin().lock().read(&mut scrap).is_ok_and(|count| count > 0) {}
}

/// A line without its end; `None` where there is none. Byte by byte, since what comes after it is for the next question.
fn read_line(mut from: impl Read) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_ANSWER {
        match from.read(&mut byte) {
            Ok(0) if line.is_empty() => return None,
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if line.last() == Some(&LEFT[0]) {
            break;
        }
    }
    Some(line)
}

/// The mode of the terminal as it was, which is put back when this is dropped.
struct TypedKeys {
    saved: String,
}

impl TypedKeys {
    /// Without stty(1), as on Windows, Ctrl-C ends the process.
    fn begin() -> Option<TypedKeys> {
        TypedKeys::set(&TYPED)
    }

    fn set(mode: &[&str]) -> Option<TypedKeys> {
        let saved = stty(Stdio::inherit(), &["-g"]).ok()?;
        stty(Stdio::inherit(), mode).ok()?;
        Some(TypedKeys { saved })
    }
}

impl Drop for TypedKeys {
    fn drop(&mut self) {
        // Without a terminal there is nothing to put back.
        let _ = stty(Stdio::inherit(), &[&self.saved]);
    }
}
