//! A network of its own, with loopback alone, where the default port is free: a namespace that unshare(1) makes.

// Whoever runs the tests is told what was left out.
#![allow(clippy::print_stderr)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

pub struct Lan {
    /// The namespace is there for as long as this runs, which is until its stdin is closed.
    holder: Child,
}

impl Lan {
    /// Where that does not work, the test says that it is skipped.
    pub fn new() -> Option<Lan> {
        let made = Lan::make();
        if made.is_none() {
            super::skip("`unshare -rn` and ip(8) do not work here");
        }
        made
    }

    fn make() -> Option<Lan> {
        let mut unshare = Command::new("unshare");
        unshare.args(["-rn", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut lan = Lan { holder: unshare.spawn().ok()? };
        let mut line = String::new();
        BufReader::new(lan.holder.stdout.take()?).read_line(&mut line).ok()?;
        (line == "up\n").then_some(lan)
    }

    /// What stands in front of a command in a shell, so that it runs in this network.
    pub fn prefix(&self) -> String {
        format!("nsenter -t {} -U -n --preserve-credentials", self.holder.id())
    }

    /// The command in this network.
    pub fn cmd(&self, command: Command) -> Command {
        self.run(command, "exec \"$@\"")
    }

    /// The same with its stderr on its stdout, where a test sees each line when it comes.
    pub fn cmd_with_stderr(&self, command: Command) -> Command {
        self.run(command, "exec \"$@\" 2>&1")
    }

    fn run(&self, command: Command, script: &str) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["-t", &self.holder.id().to_string(), "-U", "-n", "--preserve-credentials"]);
        inside.args(["sh", "-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
