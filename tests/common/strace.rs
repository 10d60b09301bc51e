//! strace(1) as a saboteur: it kills a process before its Nth system call of a kind, or has that call fail.

// Whoever runs the tests is told what was left out.
#![allow(clippy::print_stderr)]

use crate::common::{Home, Process};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// What is to go wrong, and when. Each thread counts its calls for itself.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The calls that count, with commas in between; a program makes one of them, and not the others.
    pub call: &'static str,
    /// `signal=KILL`: the process is gone before the call is made. `error=EIO`: the call fails and does nothing.
    /// `delay_exit=1000`: the call is made, and its thread goes on a millisecond later.
    pub how: &'static str,
    pub nth: usize,
    /// Calls for these files alone count; empty for all.
    pub on: Vec<PathBuf>,
}

pub const KILL: &str = "signal=KILL";

impl Fault {
    /// The command with the fault in it; what strace saw is written to `trace`.
    fn build(&self, command: &Command, trace: &Path) -> Command {
        let Fault { call, how, nth, on } = self;
        let mut traced = Command::new("strace");
        // A question mark before a call: not every system has it.
        let call = format!("?{}", call.replace(',', ",?"));
        traced.args(["-f", "-qq", "-e", &format!("trace={call}")]);
        if how.starts_with("delay") {
            // Else the other threads wait as well, with each of their calls.
            traced.arg("--seccomp-bpf");
        }
        traced.args(["-e", &format!("inject={call}:{how}:when={nth}")]).arg("-o").arg(trace);
        for path in on {
            traced.arg("-P").arg(path);
        }
        traced.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => traced.env(name, value),
                None => traced.env_remove(name),
            };
        }
        traced
    }
}

/// A running command with a fault in it.
pub struct Faulty {
    process: Process,
    trace: PathBuf,
}

impl Faulty {
    pub fn start(home: &Home, args: &[&str], fault: &Fault) -> Faulty {
        let trace = home.path("trace");
        // Of the last one, which was hit.
        let _ = std::fs::remove_file(&trace);
        Faulty { process: Process::start(fault.build(&home.cmd(args), &trace)), trace }
    }

    /// Whether the fault has come to pass.
    pub fn was_hit(&self) -> bool {
        let trace = std::fs::read_to_string(&self.trace).unwrap_or_default();
        trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL")
    }

    /// Kills it, should it run. strace ends with what it watches, but not the other way round.
    pub fn stop(&mut self) {
        // Once it was waited for, its number may be another's.
        if !matches!(self.process.child.try_wait(), Ok(None)) {
            return;
        }
        let strace = self.process.child.id();
        let children = std::fs::read_to_string(format!("/proc/{strace}/task/{strace}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            let _ = Command::new("kill").args(["-9", child]).stderr(Stdio::null()).status();
        }
        let _ = self.process.child.wait();
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Deref for Faulty {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Faulty {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Whether strace is there and may do this. If not, the test says that it is skipped.
pub fn works() -> bool {
    static WORKS: LazyLock<bool> = LazyLock::new(|| {
        let home = Home::new("probe");
        let fault = Fault { call: "fsync", how: KILL, nth: 1, on: Vec::new() };
        let trace = home.path("trace");
        let ran = fault.build(&home.cmd(&["id", "--name", "other"]), &trace).output();
        let pid = std::process::id();
        let knows_children = Path::new(&format!("/proc/{pid}/task/{pid}/children")).exists();
        knows_children && ran.is_ok_and(|ran| ran.status.code().is_none())
    });
    if !*WORKS {
        super::skip("strace is missing, or its fault injection does not work here");
    }
    *WORKS
}
