//! Asking for passphrases: on the terminal with echo off, or line by line from the file descriptor that
//! `$EGOAT_PASSPHRASE_FD` names. Never from argv or the environment, which others can see.

use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::error::{Error, Result, reason};

/// Longest passphrase in bytes.
const MAX_LEN: usize = 1024;

/// The passphrase of the identity as it is.
pub fn current() -> Result<String> {
    ask("passphrase:")
}

/// A new passphrase, twice the same when it is typed; empty for none.
pub fn new() -> Result<String> {
    let first = ask("new passphrase (empty for none):")?;
    if env::var_os("EGOAT_PASSPHRASE_FD").is_none() && ask("again:")? != first {
        return Err(Error::failed("the two passphrases differ; nothing was changed"));
    }
    Ok(first)
}

fn ask(question: &str) -> Result<String> {
    match env::var("EGOAT_PASSPHRASE_FD") {
        Ok(descriptor) => from_descriptor(&descriptor),
        Err(_) => from_terminal(question),
    }
}

fn from_descriptor(descriptor: &str) -> Result<String> {
    let number: u32 = descriptor
        .parse()
        .map_err(|_| Error::usage("EGOAT_PASSPHRASE_FD is not the number of a file descriptor"))?;
    let file = File::open(format!("/dev/fd/{number}")).map_err(|cause| {
        Error::usage(format!("cannot read EGOAT_PASSPHRASE_FD {number}: {}", reason(&cause)))
    })?;
    read_line(file)
}

/// One line, byte by byte: what is behind it belongs to the next question.
fn read_line(mut from: impl Read) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() <= MAX_LEN {
        match from.read(&mut byte) {
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
struct Silence<'a>(&'a File);

impl Silence<'_> {
    fn stty(&self, setting: &str) -> bool {
        let Ok(terminal) = self.0.try_clone() else { return false };
        let ran = Command::new("stty").arg(setting).stdin(terminal).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.stty("echo");
        let _ = (&mut &*self.0).write_all(b"\n");
    }
}

fn from_terminal(question: &str) -> Result<String> {
    let none = || Error::Failed {
        what: "the identity has a passphrase, and there is no terminal to ask for it".into(),
        hint: Some("give it on a file descriptor: EGOAT_PASSPHRASE_FD=3 egoat ... 3<file".into()),
    };
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(|_| none())?;
    (&mut &terminal).write_all(format!("egoat: {question} ").as_bytes()).map_err(|_| none())?;
    let silence = Silence(&terminal);
    if !silence.stty("-echo") {
        return Err(Error::failed("cannot turn the terminal's echo off, so no passphrase is asked for"));
    }
    read_line(&terminal)
}
