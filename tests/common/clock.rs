//! A wrong clock, by libfaketime.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Home, by, finish};

/// A clock that says what a file says.
pub struct Clock {
    file: PathBuf,
    /// In front of a command that is to have this clock.
    pub words: Vec<String>,
}

impl Clock {
    /// By libfaketime; `None` where that is missing.
    pub fn new(file: PathBuf) -> Option<Clock> {
        let found = Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).output().ok()?;
        let preload = format!("LD_PRELOAD={}", String::from_utf8(found.stdout).unwrap().trim());
        let by_file = format!("FAKETIME_TIMESTAMP_FILE={}", file.display());
        let words = ["env", &preload, &by_file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
        let clock = Clock { file, words: words.map(str::to_owned).to_vec() };
        clock.jump("+0");
        Some(clock)
    }

    /// Jumps to so much before or after the true time.
    pub fn jump(&self, by: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, by).unwrap();
        fs::rename(&new, &self.file).unwrap();
    }

    pub fn run(&self, home: &Home, args: &[&str]) {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        finish(by(&words, &home.cmd(args)), b"", 0);
    }
}
