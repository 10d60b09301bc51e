//! A wrong clock, by libfaketime.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use super::{Home, by, finish};

/// A clock that says what a file says.
pub struct Clock {
    file: PathBuf,
    /// How far the time of day is set back, in seconds.
    back: f64,
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
        let clock = Clock { file, back: 0.0, words: words.map(str::to_owned).to_vec() };
        clock.jump("+0");
        Some(clock)
    }

    /// A clock by which a program counts how long it has run, and which can be set forward. libfaketime makes it from the time of
    /// day, and a wait for a moment that a program computes by it is over when the true one gets there; so the time of
    /// day is set back to where both agree, shortly after 1970.
    pub fn for_waits(file: PathBuf) -> Option<Clock> {
        let mut clock = Clock::new(file)?;
        clock.words.pop();
        let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        clock.back = now.as_secs_f64() - uptime;
        clock.pass(0);
        Some(clock)
    }

    /// So many seconds have passed at once since [`Clock::for_waits`], beside those that passed.
    pub fn pass(&self, seconds: i32) {
        self.jump(&format!("{:+.3}", f64::from(seconds) - self.back));
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
