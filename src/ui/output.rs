//! Everything that is printed goes through here (age's tui.go is the model).
//!
//! - stdout carries data alone: lines that were asked for, or JSON objects with `--json`.
//! - stderr carries the rest, prefixed `egoat: `, in lower case, without a full stop; errors have a `hint:` line where
//!   one helps. `--quiet` leaves out notes, never warnings or errors.
//! - What came from a peer was cleaned before it is here, or is cleaned here.
//! - On a terminal, a line that is too long for it is broken between words. A pipe or a file gets it whole.

use std::io::{self, IsTerminal, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{Error, Result, Verb, reason};
use crate::text::{self, json::Object};
use crate::time::{Zone, now_micros};
use crate::ui::stty::TerminalWidth;
use crate::ui::width::columns;
use crate::ui::{help, reader, wrap};

/// A line of fewer columns fits on any terminal, whose width need not be asked for then.
const SHORT: usize = 20;

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

/// Of something that is done, whatever became of the line about it.
fn tell_unwritten(written: io::Result<()>) {
    match written {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            warn(&format!("it is done, but stdout cannot be written: {}", reason(&cause)));
        }
        _ => {}
    }
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
        self.table(human, 0, object)
    }

    /// The same for a row of a table, whose last field begins at this column. On a terminal, the rest of a field that is too
    /// long stands below its beginning.
    pub fn table(&self, human: &str, column: usize, object: impl FnOnce() -> Object) -> Result<()> {
        if self.json { self.object(object) } else { self.row(human, column) }
    }

    /// One copy for all objects that could have been printed instead.
    #[inline(never)]
    fn row(&self, human: &str, column: usize) -> Result<()> {
        let timed =
            STAMPS.get().filter(|stamps| stamps.stdout).map(|stamps| format!("{}{human}", stamps.now()));
        let human = timed.as_deref().unwrap_or(human);
        self.print(&STDOUT_WIDTH.fit(human, io::stdout(), |text, room| wrap::text(text, room, column)))
    }

    /// What only programs are told on stdout; people read it in a note.
    pub fn object(&self, object: impl FnOnce() -> Object) -> Result<()> {
        if self.json { self.print(&object().line()) } else { Ok(()) }
    }

    /// What only programs are told on stdout of something that is done, and stays done when stdout takes nothing.
    pub fn outcome(&self, object: impl FnOnce() -> Object) {
        if self.json {
            tell_unwritten(write_stdout(&object().line()));
        }
    }

    /// Data that is of no use to anybody if it cannot be printed: the caller takes it back then.
    pub fn revocable(&self, human: &str, object: impl FnOnce() -> Object) -> Result<()> {
        let written = if self.json { write_stdout(&object().line()) } else { write_stdout(human) };
        written.map_err(|cause| Error::Disk { verb: Verb::Write, path: "stdout".into(), cause })
    }

    #[inline(never)]
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

    /// Says what a command waits for that reads its standard input, if that is a terminal: `what` is for the user to type.
    pub fn note_typing(&self, what: &str) {
        let end = if cfg!(windows) { "Ctrl-Z and Enter" } else { "Ctrl-D" };
        if io::stdin().is_terminal() {
            self.note(&format!("type {what}; {end} on a line of its own ends it"));
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

/// How wide stdout and stderr are, if they are terminals.
static STDOUT_WIDTH: Width = Width::new();
static STDERR_WIDTH: Width = Width::new();

struct Width(Mutex<TerminalWidth>);

impl Width {
    const fn new() -> Width {
        Width(Mutex::new(TerminalWidth::new()))
    }

    /// The text as `lay_out` makes it for so many columns, if `stream` is a terminal.
    fn fit<S: IsTerminal + Into<Stdio>>(
        &self,
        text: &str,
        stream: S,
        lay_out: impl FnOnce(&str, usize) -> String,
    ) -> String {
        if !stream.is_terminal() || text.lines().all(|line| columns(line) < SHORT) {
            return text.to_owned();
        }
        let mut width = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Some terminals go on at once after the last column.
        lay_out(text, width.columns(stream).saturating_sub(1))
    }
}

/// What has the time on its lines.
struct Stamps {
    zone: Zone,
    stdout: bool,
    stderr: bool,
}

impl Stamps {
    fn now(&self) -> String {
        format!("{} ", self.zone.format(now_micros()))
    }
}

/// Set by [`stamp_lines`].
static STAMPS: OnceLock<Stamps> = OnceLock::new();

/// Puts the time on each line for people from now on, for a command that runs for days. A journal has its own times.
pub fn stamp_lines() {
    let (stdout, stderr) = (!reader::is_journal(io::stdout()), !reader::is_journal(io::stderr()));
    // A second call would say the same.
    let _ = STAMPS.set(Stamps { zone: Zone::local(), stdout, stderr });
}

/// Whether the last line on stderr was drawn.
static DRAWN: AtomicBool = AtomicBool::new(false);

/// In the place of what is drawn there. If stderr is closed, there is nobody to tell.
fn write_stderr(text: &str, draws: bool) {
    let mut stderr = io::stderr().lock();
    let clear = if DRAWN.swap(draws, Ordering::Relaxed) { "\r\x1b[K" } else { "" };
    let _ = stderr.write_all(format!("{clear}{text}").as_bytes());
}

/// The help of a command, as argh makes it, on stdout.
pub fn print_help(text: &str) -> Result<()> {
    print(&STDOUT_WIDTH.fit(text.trim_end(), io::stdout(), help::fit))
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

/// A line on stderr as it is, to be copied.
pub fn copyable(line: &str) {
    write_stderr(&format!("{}\n", text::clean_line(line)), false);
}

/// A line on stderr, or a few. None is the body of a message: names and paths in them are cleaned as such.
pub fn warn(what: &str) {
    let lines: Vec<String> = text::clean(what).split('\n').map(text::clean_line).collect();
    let time = STAMPS.get().filter(|stamps| stamps.stderr).map(Stamps::now).unwrap_or_default();
    write_stderr(&format!("{}\n", told(&format!("{time}{}", text::indent(&lines.join("\n"))))), false);
}

fn told(what: &str) -> String {
    STDERR_WIDTH.fit(&format!("egoat: {what}"), io::stderr(), |text, room| wrap::text(text, room, 0))
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
    self::question(question);
    let mut answer = String::new();
    let length = io::stdin().read_line(&mut answer).ok()?;
    (length > 0).then(|| answer.trim().to_owned())
}

/// Writes a question, to be answered on the same line.
pub fn question(question: &str) {
    write_stderr(&format!("{} ", told(question)), false);
}

/// Ends the line of a question that was not answered.
pub fn end_question() {
    write_stderr("\n", false);
}
