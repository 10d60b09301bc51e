//! Two people, each at a terminal, who compare six digits.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::tmux::Terminal;
use super::{EGOAT, Home};

/// A user of a home, at a terminal.
pub struct User {
    pub home: Home,
    pub terminal: Terminal,
    /// What stands in front of the program, so that it runs somewhere else.
    pub prefix: String,
}

impl User {
    /// With a node to come on a port of its own.
    pub fn new(name: &str) -> Option<User> {
        let home = Home::new(name);
        std::fs::write(home.path("listen"), format!("{}\n", home.own_port("127.0.0.1:0"))).unwrap();
        Some(User { home, terminal: Terminal::open(100)?, prefix: String::new() })
    }

    /// Types a command, which tells its exit status in the end.
    pub fn types(&self, command: &str) {
        // What stands on the screen from an earlier command is gone when the line with its number is there.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let home = self.home.path("");
        self.terminal.type_line(&format!(
            "clear; echo start ''{number}; {} {EGOAT} --home {} {command}; echo status $?",
            self.prefix,
            home.display()
        ));
        self.terminal.wait_for(&format!("start {number}\n"));
    }

    /// Waits for somebody on loopback; gives the address to join.
    pub fn invites(&self, more: &str) -> String {
        self.types(&format!("invite --nearby --listen 127.0.0.1:0 {more}"));
        self.sees_after("egoat join ")
    }

    /// The question is asked; gives the digits.
    pub fn compares(&self) -> String {
        self.terminal.wait_for("[yes/no]");
        let digits = self.sees_after("Do both show ");
        digits.split('?').next().unwrap().to_owned()
    }

    fn sees_after(&self, text: &str) -> String {
        let screen = self.terminal.wait_for(text);
        let rest = screen.split(text).nth(1).unwrap();
        rest.lines().next().unwrap().trim().to_owned()
    }

    pub fn answers(&self, answer: &str) {
        self.terminal.type_line(answer);
    }

    /// The command has ended with this status; gives what is to be seen.
    pub fn ends_with(&self, status: u8) -> String {
        let screen = self.terminal.wait_for("\nstatus ");
        assert!(screen.contains(&format!("\nstatus {status}\n")), "not {status}: {screen}");
        screen
    }

    pub fn knows_nobody(&self) {
        assert_eq!(self.home.run(&["peers"]), "");
    }
}
