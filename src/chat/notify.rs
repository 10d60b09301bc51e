//! Tells a user who looks elsewhere that somebody said something: by a command of theirs, one at a time. It leaves out when
//! that is: see `talk`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// A command that takes longer is ended.
const LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// More wait for the one that runs, and the rest is not told.
const MOST: usize = 16;

/// A message to tell of.
pub struct Notice {
    /// The peer's name.
    pub peer: String,
    /// Its number.
    pub number: u64,
    /// Its text, as it came.
    pub text: Vec<u8>,
}

/// Starts the thread that runs `command` for each notice. Without one, nobody is told.
pub fn start(command: String) -> SyncSender<Notice> {
    let (sender, notices) = sync_channel(MOST);
    let _ = thread::Builder::new().name("notify".into()).spawn(move || {
        for notice in notices {
            run(&command, &notice);
        }
    });
    sender
}

/// No shell is asked: peer and number are in the environment, and the text goes to standard input, where it is data.
fn run(command: &str, notice: &Notice) {
    let started = Command::new(command)
        .env("EGOAT_PEER", &notice.peer)
        .env("EGOAT_ID", notice.number.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = started else { return };
    let (stdin, text) = (child.stdin.take(), notice.text.clone());
    // In a thread of its own, since the command may never read. It ends with the command at the latest.
    let _ = thread::Builder::new().name("notice".into()).spawn(move || {
        stdin.map(|mut stdin| stdin.write_all(&text));
    });
    let deadline = Instant::now() + LIMIT;
    while child.try_wait().is_ok_and(|status| status.is_none()) {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        thread::sleep(LOOK);
    }
}
