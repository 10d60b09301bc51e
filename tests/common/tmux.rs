//! A terminal: tmux(1) with a server of its own, and a shell in it.

// Whoever runs the tests is told what was left out.
#![allow(clippy::print_stderr)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::poll_until;

/// The server ends with its test.
pub struct Terminal {
    socket: String,
    dir: tempfile::TempDir,
}

impl Terminal {
    /// So many columns wide. Where there is no tmux, the test says that it is skipped.
    pub fn open(columns: usize) -> Option<Terminal> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let socket = format!("egoat-test-{}-{number}", std::process::id());
        let terminal = Terminal { socket, dir: tempfile::tempdir().unwrap() };
        let columns = columns.to_string();
        if terminal.tmux(&["new-session", "-d", "-x", &columns, "-y", "20", "sh"]).is_none() {
            super::skip("there is no tmux here");
            return None;
        }
        let record = format!("cat >'{}'", terminal.record().display());
        terminal.tmux(&["pipe-pane", &record]).unwrap();
        // No prompt. What is typed before the shell reads is echoed above the prompt that it shows first.
        terminal.type_line("PS1=; echo rea''dy");
        terminal.wait_for("ready");
        Some(terminal)
    }

    fn record(&self) -> PathBuf {
        self.dir.path().join("record")
    }

    pub fn tmux(&self, args: &[&str]) -> Option<String> {
        let tmux = Command::new("tmux").args(["-L", &self.socket, "-f", "/dev/null"]).args(args).output();
        let ran = tmux.ok()?;
        ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// What is to be seen now. A line that was too long for the screen is one here.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"]).unwrap()
    }

    pub fn wait_for(&self, text: &str) -> String {
        poll_until(text, || Some(self.screen()).filter(|screen| screen.contains(text)))
    }

    pub fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]).unwrap();
        self.tmux(&["send-keys", "Enter"]).unwrap();
    }

    /// All that was ever written to it.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.record()).unwrap_or_default()).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("== the terminal:\n{}", self.tmux(&["capture-pane", "-p", "-J"]).unwrap_or_default());
        }
        self.tmux(&["kill-server"]);
    }
}
