//! Asking for passphrases: on the terminal with echo off, or line by line from the file descriptor that
//! `$EGOAT_PASSPHRASE_FD` names. Never from argv or the environment, which others can see.

use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::error::{Error, Result, reason};
use crate::ui::stty;

/// Longest passphrase in bytes.
const MAX_LEN: usize = 1024;
/// No echo, and Ctrl-C ends a line rather than this process, which could not put the echo back then.
const SILENT: [&str; 4] = ["-echo", "-isig", "eol", "^C"];
/// Ctrl-C, Ctrl-Z and Ctrl-\: none is meant to be part of a passphrase.
const GIVEN_UP: [char; 3] = ['\x03', '\x1a', '\x1c'];

/// Where passphrases come from.
pub enum PassphraseSource {
    /// The terminal.
    Terminal,
    /// A file descriptor: opened once, since where that opens a file anew every question would get its first line.
    Descriptor(File),
}

impl PassphraseSource {
    /// What the environment says.
    pub fn from_environment() -> Result<PassphraseSource> {
        let Ok(descriptor) = env::var("EGOAT_PASSPHRASE_FD") else { return Ok(PassphraseSource::Terminal) };
        let bad =
            |why: &str| Error::usage(format!("cannot read passphrases from EGOAT_PASSPHRASE_FD: {why}"));
        let number: u32 = descriptor.parse().map_err(|_| bad("it is not a number"))?;
        let file = File::open(format!("/dev/fd/{number}")).map_err(|cause| bad(&reason(&cause)))?;
        Ok(PassphraseSource::Descriptor(file))
    }

    /// The passphrase of the identity as it is.
    pub fn current(&self) -> Result<String> {
        self.ask("passphrase:")
    }

    /// A new passphrase, twice the same when it is typed; empty for none.
    pub fn new_one(&self) -> Result<String> {
        let first = self.ask("new passphrase (empty for none):")?;
        if matches!(self, PassphraseSource::Terminal) && self.ask("again:")? != first {
            return Err(Error::failed("the two passphrases differ; nothing was changed"));
        }
        Ok(first)
    }

    fn ask(&self, question: &str) -> Result<String> {
        match self {
            PassphraseSource::Descriptor(file) => read_line(file, b""),
            PassphraseSource::Terminal => from_terminal(question),
        }
    }
}

/// One line, byte by byte: what is behind it belongs to the next question. One of `ends` ends it as well, and
/// stands in it. Where nothing more comes there is no line, and not an empty one, which may mean something.
fn read_line(mut from: impl Read, ends: &[u8]) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() <= MAX_LEN && !line.last().is_some_and(|last| ends.contains(last)) {
        match from.read(&mut byte) {
            Ok(0) if line.is_empty() => return Err(none_given()),
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
            Err(cause) => {
                return Err(Error::failed(format!("cannot read the passphrase: {}", reason(&cause))));
            }
        }
    }
    String::from_utf8(line)
        .ok()
        .filter(|line| line.len() <= MAX_LEN)
        .ok_or_else(|| Error::usage(format!("the passphrase is not UTF-8, or longer than {MAX_LEN} bytes")))
}

/// Echo is off until this is dropped.
struct Silence<'a> {
    terminal: &'a File,
    saved: String,
}

impl Silence<'_> {
    fn begin(terminal: &File) -> Option<Silence<'_>> {
        let saved = stty(terminal, &["-g"])?;
        let silence = Silence { terminal, saved };
        stty(terminal, &SILENT)?;
        Some(silence)
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = stty(self.terminal, &[&self.saved]);
        let _ = (&mut &*self.terminal).write_all(b"\n");
    }
}

/// What stty(1) printed; `None` if it failed.
fn stty(terminal: &File, arguments: &[&str]) -> Option<String> {
    stty::stty(terminal.try_clone().ok()?, arguments).ok()
}

fn from_terminal(question: &str) -> Result<String> {
    let none = || Error::Failed {
        what: "there is no terminal to ask for the passphrase of the identity".into(),
        hint: Some("give it on a file descriptor: EGOAT_PASSPHRASE_FD=3 egoat ... 3<file".into()),
    };
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(|_| none())?;
    // Before the question: what is typed the moment it appears must not show.
    let silence = Silence::begin(&terminal)
        .ok_or_else(|| Error::failed("cannot turn the terminal's echo off, so no passphrase is asked for"))?;
    (&mut &terminal).write_all(format!("egoat: {question} ").as_bytes()).map_err(|_| none())?;
    let line = read_line(&terminal, b"\x03")?;
    drop(silence);
    if line.contains(GIVEN_UP) { Err(interrupt()) } else { Ok(line) }
}

/// Ends the job as the terminal does for Ctrl-C, so that a loop of the shell around it ends as well. The error is for where
/// that is ignored.
fn interrupt() -> Error {
    let _ = Command::new("sh").args(["-c", "kill -INT 0"]).stdin(Stdio::null()).status();
    none_given()
}

fn none_given() -> Error {
    Error::failed("no passphrase was given")
}
