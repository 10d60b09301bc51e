//! Other programs that are asked for something: run without a shell, for a limited time, and what they print is read. It
//! leaves out which those are.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// The number of the descriptor that passphrases come from is in here. Neither is another program's business.
const SECRET: &str = "EGOAT_PASSPHRASE_FD";
/// For what std cannot do. It never sees what a peer wrote.
pub const SHELL: &str = "/bin/sh";
/// Highest descriptor for a secret: a shell takes only one digit for a descriptor.
const MAX_SECRET_FD: u32 = 9;
/// The bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 << 10;
/// How soon a program is first checked for its end. The interval doubles up to [`LONGEST_POLL`].
const FIRST_POLL: Duration = Duration::from_micros(250);
const LONGEST_POLL: Duration = Duration::from_millis(50);

/// How to start programs so that none gets our passphrases.
pub struct Starter {
    secret: Option<u32>,
}

impl Starter {
    /// As our environment is. A descriptor that cannot be kept from them is an error now.
    pub fn new() -> Result<Starter> {
        let secret = std::env::var(SECRET).ok().and_then(|number| number.parse().ok());
        if secret.is_some_and(|number| number > MAX_SECRET_FD) {
            return Err(Error::usage(format!(
                "{SECRET} is to be at most {MAX_SECRET_FD} where programs are run, so that they do not get it"
            )));
        }
        Ok(Starter { secret })
    }

    /// The same for a tool of the system, which has to run in any case: from it, only a descriptor that can be is kept.
    pub fn for_tool() -> Starter {
        Starter::new().unwrap_or(Starter { secret: None })
    }

    /// A command that runs the program; arguments can be added.
    pub fn command(&self, program: &str) -> Command {
        let mut command = match self.secret {
            // Std cannot keep an open descriptor from a child; this line of shell does.
            Some(number @ 3..) => {
                let mut shell = Command::new(SHELL);
                shell.args(["-c", &format!("exec \"$0\" \"$@\" {number}<&-"), program]);
                shell
            }
            _ => Command::new(program),
        };
        command.env_remove(SECRET);
        command
    }
}

/// What a program printed on standard output, and how it ended.
pub struct ProgramOutput {
    /// U+FFFD stands for what is no UTF-8.
    pub printed: String,
    /// Success or not.
    pub status: ExitStatus,
}

/// Runs a program to its end, with `input` to read: at most 4 KiB, which a pipe takes at once, so that a program which does
/// not read holds nobody up. One that takes longer than `patience` is killed, and is an error.
pub fn run_within(patience: Duration, command: &mut Command, input: &str) -> io::Result<ProgramOutput> {
    let deadline = Instant::now() + patience;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // It need not read.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (sender, pieces) = mpsc::channel();
    // If there can be no thread, the sender is gone, and nothing was printed.
    let _ = thread::Builder::new().name("program".into()).spawn(move || read(stdout, &sender));
    let (mut printed, mut status) = (Vec::new(), None);
    while Instant::now() < deadline {
        match pieces.recv_timeout(LONGEST_POLL) {
            Ok(Ok(piece)) => printed.extend(piece),
            // It may go on for long when it prints no more.
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => {
                status = wait_until(deadline, &mut child)?;
                break;
            }
            // What it has left running, such as the master of an ssh, may hold its stdout for as long. What it printed
            // itself is here by the time of another look.
            Err(RecvTimeoutError::Timeout) if status.is_some() => break,
            Err(RecvTimeoutError::Timeout) => status = child.try_wait()?,
        }
    }
    if let Some(status) = status {
        return Ok(ProgramOutput { printed: String::from_utf8_lossy(&printed).into_owned(), status });
    }
    let _ = child.kill();
    // What hangs in the kernel does not even die at once; it is not waited for here.
    let _ = thread::Builder::new().name("program".into()).spawn(move || child.wait());
    Err(io::ErrorKind::TimedOut.into())
}

/// Waits for the end of a program, which std alone can only do for ever; `None` if it goes on by then.
pub fn wait_until(deadline: Instant, child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let mut pause = FIRST_POLL;
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_POLL);
    }
}

/// Sends on what a program prints, until it prints no more or nobody wants it.
fn read(stdout: ChildStdout, sender: &Sender<io::Result<Vec<u8>>>) {
    let mut stdout = stdout.take(MAX_ANSWER);
    let mut piece = [0; 4096];
    loop {
        let read = stdout.read(&mut piece).map(|length| piece[..length].to_vec());
        let is_over = read.as_ref().map_or(true, Vec::is_empty);
        if sender.send(read).is_err() || is_over {
            return;
        }
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn shell(script: &str, patience: Duration) -> io::Result<ProgramOutput> {
        run_within(patience, Command::new("sh").args(["-c", script]).stderr(Stdio::null()), "in\n")
    }

    #[test]
    fn what_it_prints_and_how_it_ends() {
        let ended = shell("echo out; echo err >&2; cat", TIMEOUT).unwrap();
        assert!(ended.status.success() && ended.printed == "out\nin\n");
        let ended = shell("exec <&-; echo out; exit 3", TIMEOUT).unwrap();
        assert!(ended.status.code() == Some(3) && ended.printed == "out\n");
        assert!(!shell("yes", TIMEOUT).unwrap().status.success(), "more than can be an answer");
        assert!(run_within(TIMEOUT, &mut Command::new("egoat-no-such-command"), "").is_err());
    }

    #[test]
    fn what_it_leaves_running_is_not_waited_for() {
        let began = Instant::now();
        let ended = shell("sleep 25 & echo out; exit 3", TIMEOUT).unwrap();
        assert!(ended.status.code() == Some(3) && ended.printed == "out\n");
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn it_has_to_end_in_time() {
        let began = Instant::now();
        for script in ["exec sleep 60", "exec >&-; exec sleep 60"] {
            let late = shell(script, Duration::from_millis(50)).err().unwrap();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        }
        assert!(began.elapsed() < TIMEOUT);
    }
}
