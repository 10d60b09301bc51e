//! Everything that is printed goes through here (age's tui.go is the model).
//!
//! - stdout carries data alone: lines that were asked for, or JSON objects with `--json`.
//! - stderr carries the rest, prefixed `egoat: `, in lower case, without a full stop; errors have a `hint:` line where
//!   one helps. `--quiet` leaves out notes, never warnings or errors.
//! - What came from a peer was cleaned before it is here, or is cleaned here.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result, Verb, reason};
use crate::text::{self, json::Object};

/// How this run prints.
#[derive(Clone, Copy)]
pub struct Output {
    /// One JSON object a line on stdout.
    pub json: bool,
    /// No notes on stderr.
    pub quiet: bool,
    /// The command goes on when the reader of stdout has gone.
    ignores_closed_stdout: bool,
}

impl Output {
    /// For a command that shows something.
    pub fn new(json: bool, quiet: bool) -> Output {
        Output { json, quiet, ignores_closed_stdout: false }
    }

    /// For a command whose effect matters more than its output: it goes on when the reader of stdout has gone.
    pub fn ignoring_closed_stdout(self) -> Output {
        Output { ignores_closed_stdout: true, ..self }
    }

    /// A line of data: `human`, or `object` with `--json`.
    pub fn data(&self, human: &str, object: impl FnOnce() -> Object) -> Result<()> {
        if self.json { self.object(object) } else { self.print(human) }
    }

    /// What only programs are told on stdout; people read it in a note.
    pub fn object(&self, object: impl FnOnce() -> Object) -> Result<()> {
        if self.json { self.print(&object().line()) } else { Ok(()) }
    }

    /// What only programs are told on stdout of something that is done, and stays done when stdout takes nothing.
    pub fn outcome(&self, object: impl FnOnce() -> Object) {
        if !self.json {
            return;
        }
        match write_stdout(&object().line()) {
            Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
                warn(&format!("it is done, but stdout cannot be written: {}", reason(&cause)));
            }
            _ => {}
        }
    }

    /// Data that is of no use to anybody if it cannot be printed: the caller takes it back then.
    pub fn revocable(&self, human: &str, object: impl FnOnce() -> Object) -> Result<()> {
        let written = if self.json { write_stdout(&object().line()) } else { write_stdout(human) };
        written.map_err(|cause| Error::Disk { verb: Verb::Write, path: "stdout".into(), cause })
    }

    fn print(&self, line: &str) -> Result<()> {
        match write_stdout(line) {
            Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe && self.ignores_closed_stdout => Ok(()),
            written => end_print(written),
        }
    }

    /// The same for how far something is, which goes on even if nobody reads that any more.
    pub fn passing_object(&self, object: impl FnOnce() -> Object) {
        if self.json {
            let _ = write_stdout(&object().line());
        }
    }

    /// A note about what goes on.
    pub fn note(&self, what: &str) {
        if !self.quiet {
            warn(what);
        }
    }

    /// Whether progress may be drawn on one line again and again.
    pub fn draws(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Draws a line, which the next one on stderr takes the place of; an empty one clears it.
    pub fn draw(&self, line: &str) {
        write_stderr(line, !line.is_empty());
    }
}

/// Whether the last line on stderr was drawn.
static DRAWN: AtomicBool = AtomicBool::new(false);

/// In the place of what is drawn there. If stderr is closed, there is nobody to tell.
fn write_stderr(text: &str, draws: bool) {
    let mut stderr = io::stderr().lock();
    let clear = if DRAWN.swap(draws, Ordering::Relaxed) { "\r\x1b[K" } else { "" };
    let _ = stderr.write_all(format!("{clear}{text}").as_bytes());
}

/// A line on stdout, whole or not at all. A reader that has gone, as with `| head`, is no error: this was enough for it.
pub fn print(line: &str) -> Result<()> {
    end_print(write_stdout(line))
}

fn end_print(written: io::Result<()>) -> Result<()> {
    match written {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(cause) => Err(Error::Disk { verb: Verb::Write, path: "stdout".into(), cause }),
        Ok(()) => Ok(()),
    }
}

/// Whether the last line on stdout may have been cut off by a disk that is full.
static CUT_OFF: AtomicBool = AtomicBool::new(false);

fn write_stdout(line: &str) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(line.len() + 2);
    if CUT_OFF.load(Ordering::Relaxed) {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(&bytes).and_then(|()| stdout.flush());
    CUT_OFF.store(written.is_err(), Ordering::Relaxed);
    written
}

/// A line on stderr, or a few. None is the body of a message: names and paths in them are cleaned as such.
pub fn warn(what: &str) {
    let lines: Vec<String> = text::clean(what).split('\n').map(text::clean_line).collect();
    write_stderr(&format!("egoat: {}\n", text::indent(&lines.join("\n"))), false);
}

/// An error and its hint.
pub fn error(error: &Error) {
    warn(&format!("error: {error}"));
    if let Some(hint) = error.hint() {
        warn(&format!("hint: {hint}"));
    }
}

/// Whether there is a terminal to ask on.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question on the terminal; `None` where there is none to ask on, or no answer.
pub fn ask(question: &str) -> Option<String> {
    if !can_ask() {
        return None;
    }
    write_stderr(&format!("egoat: {question} "), false);
    let mut answer = String::new();
    let length = io::stdin().read_line(&mut answer).ok()?;
    (length > 0).then(|| answer.trim().to_owned())
}
