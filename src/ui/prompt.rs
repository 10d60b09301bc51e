//! Questions on the terminal that the user may leave by Ctrl-C or Ctrl-D.

use std::io::{self, Read};
use std::process::Stdio;

use crate::app::{Link, contacts};
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
        let saved = stty(Stdio::inherit(), &["-g"]).ok()?;
        stty(Stdio::inherit(), &TYPED).ok()?;
        Some(TypedKeys { saved })
    }
}

impl Drop for TypedKeys {
    fn drop(&mut self) {
        // Without a terminal there is nothing to put back.
        let _ = stty(Stdio::inherit(), &[&self.saved]);
    }
}
