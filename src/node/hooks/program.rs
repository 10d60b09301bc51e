//! Programs of the user that are run for what has happened: `chat --notify`, `serve --on-message` and `--on-file`. A program
//! is one path without arguments, and no shell is asked: what a peer wrote goes to standard input or to the environment,
//! where it is data. It leaves out when, and what for.

use std::ffi::OsString;
use std::io::{self, PipeWriter, Write};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, reason};
use crate::store::external::{self, Starter};
use crate::text;

/// Bytes that fit into a pipe before anybody reads. POSIX promises no number; every system has a page.
const PIPE_CAPACITY: usize = 4096;
/// Threads that write to programs which have gone and left their input to others.
const MAX_WRITERS: usize = 16;

/// A program that can be run.
pub struct Program {
    path: String,
    limit: Duration,
    /// What it prints goes to our standard error, rather than nowhere.
    is_heard: bool,
    starter: Starter,
    /// As many references as there are threads that write, and one.
    writers: Arc<()>,
}

/// How a run ended.
#[derive(Debug)]
pub enum RunOutcome {
    /// With this status.
    Exited(i32),
    /// In another way, in words.
    Failed(String),
}

impl RunOutcome {
    /// Whether it did what it was run for.
    pub fn is_done(&self) -> bool {
        matches!(self, RunOutcome::Exited(0))
    }
}

impl Program {
    /// A program that is ended after `limit`. What cannot be a program is an error now.
    pub fn new(path: &str, limit: Duration, is_heard: bool) -> Result<Program> {
        if path.contains('/') && !Path::new(path).is_file() {
            return Err(Error::Usage {
                what: format!("there is no program {}", text::clean_line(path)),
                hint: Some("it is one path, without arguments; what takes some goes into a script".into()),
            });
        }
        let starter = Starter::new()?;
        Ok(Program { path: path.into(), limit, is_heard, starter, writers: Arc::default() })
    }

    /// Runs it and waits for its end: with these variables, or without them, and with this on its standard input.
    pub fn run(&self, variables: &[(&str, Option<OsString>)], input: Vec<u8>) -> RunOutcome {
        if Arc::strong_count(&self.writers) > MAX_WRITERS {
            return RunOutcome::Failed("too many that it left behind still have their input".into());
        }
        match self.start(variables, input) {
            Ok(child) => self.wait(child),
            Err(cause) => RunOutcome::Failed(format!("could not be started: {}", reason(&cause))),
        }
    }

    fn start(&self, variables: &[(&str, Option<OsString>)], input: Vec<u8>) -> io::Result<Child> {
        let (stdin, mut writer) = io::pipe()?;
        let is_short = input.len() <= PIPE_CAPACITY;
        if is_short {
            // Before it is started: should we be killed, it has all of it or does not run.
            writer.write_all(&input)?;
        }
        let mut command = self.starter.command(&self.path);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        for (name, value) in variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(stdin);
        if self.is_heard {
            command.stdout(io::stderr());
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let child = command.spawn()?;
        // Our end for reading goes with the command: who writes is to learn that the program has gone.
        drop(command);
        if !is_short {
            self.write(writer, input);
        }
        Ok(child)
    }

    /// In a thread of its own, since the program may never read, which is no error. It ends with the last who could.
    fn write(&self, mut writer: PipeWriter, input: Vec<u8>) {
        let counted = Arc::clone(&self.writers);
        let _ = thread::Builder::new().name("input".into()).stack_size(64 << 10).spawn(move || {
            let _ = writer.write_all(&input);
            drop(counted);
        });
    }

    fn wait(&self, mut child: Child) -> RunOutcome {
        match external::wait_until(Instant::now() + self.limit, &mut child) {
            Ok(Some(status)) => outcome(status),
            _ => {
                kill(&mut child);
                RunOutcome::Failed(format!("took longer than {}", text::duration(self.limit)))
            }
        }
    }
}

fn outcome(status: ExitStatus) -> RunOutcome {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return RunOutcome::Failed(format!("killed by signal {signal}"));
    }
    status.code().map_or_else(|| RunOutcome::Failed("ended without a status".into()), RunOutcome::Exited)
}

/// With all that it has started and that did not leave its group. It was not waited for yet, so the number is still its.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    {
        // Every shell has this built in; kill(1) is not everywhere.
        let mut kill = Starter::for_tool().command(external::SHELL);
        kill.args(["-c", "kill -s KILL -- \"-$0\"", &child.id().to_string()]);
        let _ = kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    let _ = child.kill();
    let _ = child.wait();
}
