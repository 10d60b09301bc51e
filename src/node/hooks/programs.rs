//! The user's programs as the options name them, and the report of one run.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;
use crate::node::hooks::program::{Program, RunOutcome};

/// The node ends a program that runs longer.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The hooks that the user wants.
#[derive(Default)]
pub struct Programs {
    /// Runs for each message.
    pub message: Option<Program>,
    /// Runs for each file.
    pub file: Option<Program>,
}

impl Programs {
    /// Hooks by the paths of their programs. Fails if a path names no program.
    pub fn new(message: Option<&str>, file: Option<&str>) -> Result<Programs> {
        let program = |path| Program::new(path, DEFAULT_TIMEOUT, true);
        Ok(Programs { message: message.map(program).transpose()?, file: file.map(program).transpose()? })
    }
}

/// What a hook runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookKind {
    /// A message.
    Message,
    /// A file, or a directory.
    File,
}

impl HookKind {
    /// The word for users and for other programs.
    pub fn word(self) -> &'static str {
        match self {
            HookKind::Message => "message",
            HookKind::File => "file",
        }
    }
}

/// The report of one run.
#[derive(Debug)]
pub struct RunReport {
    /// The sender of the message or file.
    pub peer: String,
    /// Which program.
    pub what: HookKind,
    /// The number of the message, or the sequence number of the file's record in the history.
    pub number: u64,
    /// Where the file is; `None` for a message.
    pub path: Option<PathBuf>,
    /// How the program ended.
    pub outcome: RunOutcome,
    /// How long the program took.
    pub took: Duration,
    /// After a failure: how long the hook pauses before it runs for the same arrival again.
    pub pause: Option<Duration>,
}
