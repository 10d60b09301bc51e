//! The terminal: its mode, its size, and that both are left as they were. std knows no termios, so stty(1) does it, and a
//! shell that outlives this process, however it ends, puts the mode back and tells of new sizes. It leaves out what is
//! written: see `screen`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::error::{Error, Result};
use crate::ui::stty;

/// Characters come as they are typed, and none has a meaning to the system.
const RAW: [&str; 11] =
    ["-icanon", "-echo", "-isig", "-ixon", "-icrnl", "-inlcr", "-igncr", "-iexten", "min", "1", "time"];
/// Pasted text is marked as such.
const PASTE_ON: &str = "\x1b[?2004h";
const PASTE_OFF: &str = "\x1b[?2004l";

/// The guardian: its input ends with this process. Its standard error is the terminal. It puts the mode back only if it is
/// still the one that was set: a shell may have set its own by then. New sizes go to its output.
const GUARDIAN: &str = "
trap '' INT QUIT TSTP TTIN TTOU HUP TERM PIPE
trap 'stty size <&2' WINCH
exec 3<&0
cat <&3 >/dev/null 2>&1 &
while kill -0 $! 2>/dev/null; do wait $!; done
if [ \"$(stty -g <&2)\" = \"$2\" ]; then
    printf \"$3\" >&2
    stty \"$1\" <&2
fi";

/// A terminal in raw mode; as it was before when this is dropped.
pub struct Terminal {
    saved: String,
    guardian: Option<(Child, ChildStdin)>,
}

/// Whether there is a terminal on which lines can be drawn.
pub fn is_there() -> bool {
    let is_able = std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
    is_able && io::stdin().is_terminal() && io::stdout().is_terminal() && stty(&["-g"]).is_ok()
}

/// Columns and rows.
pub fn size() -> (usize, usize) {
    stty::size(Stdio::inherit()).unwrap_or(stty::DEFAULT_SIZE)
}

fn failed(cause: impl std::fmt::Display) -> Error {
    Error::Failed {
        what: format!("the terminal cannot be set up by stty: {cause}"),
        hint: Some("TERM=dumb egoat chat works line by line".into()),
    }
}

fn stty(arguments: &[&str]) -> Result<String> {
    stty::stty(Stdio::inherit(), arguments).map_err(failed)
}

/// The terminal once more, as a handle to give away.
#[cfg(unix)]
fn duplicate() -> io::Result<File> {
    use std::os::fd::AsFd;
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(not(unix))]
fn duplicate() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Terminal {
    /// Sets the mode. New sizes are lines of what is given with it, see [`sizes`].
    pub fn enter() -> Result<(Terminal, ChildStdout)> {
        let mut terminal = Terminal { saved: stty(&["-g"])?, guardian: None };
        terminal.set_raw()?;
        let end = "\\033[?2004l\\r\\n";
        let (guardian, sizes) = start_guardian(&terminal.saved, &stty(&["-g"])?, end).map_err(failed)?;
        terminal.guardian = Some(guardian);
        Ok((terminal, sizes))
    }

    fn set_raw(&self) -> Result<()> {
        stty(&[&RAW[..], &["0"]].concat())?;
        self.write(PASTE_ON)
    }

    /// Writes at once.
    pub fn write(&self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.map_err(|cause| Error::failed(format!("the terminal is gone: {cause}")))
    }

    fn restore(&self) {
        // Without a terminal there is nothing to put back.
        let _ = self.write(PASTE_OFF);
        let _ = stty(&[&self.saved]);
    }

    /// Stops this job as Ctrl-Z does, and goes on when the shell says so.
    pub fn suspend(&self) -> Result<()> {
        self.restore();
        // The shell is stopped with all of the job; it ends when all go on.
        let stopped = Command::new("sh").args(["-c", "kill -TSTP 0"]).stdin(Stdio::null()).status();
        self.set_raw()?;
        stopped.map(drop).map_err(failed)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        end_guardian(self.guardian.take());
        self.restore();
    }
}

/// A terminal that hands over lines, on which Ctrl-C ends a line and not this process; as it was before when this is dropped.
pub struct TypedLines {
    saved: String,
    guardian: Option<(Child, ChildStdin)>,
}

impl TypedLines {
    /// `None` where there is no stty(1), as on Windows: there Ctrl-C ends the process.
    pub fn enter() -> Option<TypedLines> {
        let saved = stty(&["-g"]).ok()?;
        let mut lines = TypedLines { saved, guardian: None };
        lines.set().ok()?;
        let set = stty(&["-g"]).ok()?;
        lines.guardian = start_guardian(&lines.saved, &set, "").ok().map(|(guardian, _sizes)| guardian);
        Some(lines)
    }

    /// Sets the mode. A shell may have set its own while this process was suspended, and nothing tells of that.
    pub fn set(&self) -> Result<()> {
        stty(&["intr", "undef", "eol", "^C"]).map(drop)
    }
}

impl Drop for TypedLines {
    fn drop(&mut self) {
        end_guardian(self.guardian.take());
        let _ = stty(&[&self.saved]);
    }
}

/// Before the mode is put back, so that the guardian does not do so later, when the shell has set its own.
fn end_guardian(guardian: Option<(Child, ChildStdin)>) {
    if let Some((mut guardian, _)) = guardian {
        let _ = guardian.kill();
        let _ = guardian.wait();
    }
}

/// `end` is what printf(1) is to print when the mode is put back after this process was killed.
fn start_guardian(saved: &str, set: &str, end: &str) -> io::Result<((Child, ChildStdin), ChildStdout)> {
    let mut guardian = Command::new("sh")
        .args(["-c", GUARDIAN, "egoat-guardian", saved, set, end])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(duplicate()?)
        .spawn()?;
    match (guardian.stdin.take(), guardian.stdout.take()) {
        (Some(stdin), Some(stdout)) => Ok(((guardian, stdin), stdout)),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Calls `report` with each new size, until `from` ends.
pub fn sizes(from: impl Read, mut report: impl FnMut((usize, usize))) {
    for line in BufReader::new(from).lines().map_while(|line| line.ok()) {
        stty::parse_size(&line).into_iter().for_each(&mut report);
    }
}
