//! Tells a user who looks elsewhere that somebody said something: by a program of theirs, one at a time. It leaves out when
//! that is: see `talk`.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::error::Result;
use crate::node::program::Program;

/// A program that takes longer is ended.
const LIMIT: Duration = Duration::from_secs(10);
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

/// The program at this path. What it prints would be in the way of the conversation, and is not shown.
pub fn program(path: &str) -> Result<Program> {
    Program::new(path, LIMIT, false)
}

/// Starts the thread that runs the program for each notice. Without one, nobody is told.
pub fn start(program: Program) -> SyncSender<Notice> {
    let (sender, notices) = sync_channel::<Notice>(MOST);
    let _ = thread::Builder::new().name("notify".into()).spawn(move || {
        for notice in notices {
            let number = notice.number.to_string();
            let variables = [("EGOAT_PEER", Some(notice.peer.into())), ("EGOAT_ID", Some(number.into()))];
            program.run(&variables, notice.text);
        }
    });
    sender
}
