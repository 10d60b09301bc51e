//! What the benchmarks share: homes in temporary directories, nodes that die with their benchmark, what /proc tells of
//! them, and rows of a table. Left out: any verdict; who reads the rows gives it.

// Each benchmark uses its part of this.
#![allow(dead_code)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use egoat::crypto::keys::PublicKey;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_egoat");

/// Ticks a second in /proc: USER_HZ, which is 100 wherever Linux runs.
pub const TICKS: f64 = 100.0;

pub fn row(what: &str, median: String, worst: String, goal: &str) {
    println!("{what:<58} {median:>12} {worst:>12}  {goal}");
}

pub fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// The median and the worst.
pub fn median_and_worst(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

/// Runs `act` `runs` times after one that is not counted; gives the median and the worst time.
pub fn time(runs: usize, mut act: impl FnMut()) -> (Duration, Duration) {
    act();
    let one = |_| {
        let started = Instant::now();
        act();
        started.elapsed()
    };
    median_and_worst((0..runs).map(one).collect())
}

/// How long it takes to append 200 bytes to a file in `dir` and sync them.
pub fn sync_time(dir: &Path) -> Duration {
    let mut file = File::create(dir.join("sync")).expect("created");
    let (median, _) = time(200, || {
        file.write_all(&[7; 200]).expect("written");
        file.sync_data().expect("synced");
    });
    median
}

pub struct Home {
    pub dir: tempfile::TempDir,
}

impl Home {
    pub fn new(name: &str) -> Home {
        let home = Home { dir: tempfile::tempdir().expect("a temporary directory") };
        home.run(&["id", "--name", name]);
        home
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--home").arg(self.dir.path()).arg("--quiet").args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let ran = self.command(arguments).output().expect("it starts");
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("UTF-8")
    }

    pub fn serve(&self) -> Node {
        self.serve_with(&[])
    }

    /// A node with more options than where to listen.
    pub fn serve_with(&self, options: &[&str]) -> Node {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(options);
        Node::of(command)
    }
}

pub struct Node {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    /// What this command starts, once it listens.
    pub fn of(mut serve: Command) -> Node {
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it speaks");
        let Some((_, address)) = line.trim_end().split_once("listening on ") else { panic!("{line}") };
        let address = address.to_owned();
        thread::spawn(move || stdout.lines().for_each(drop));
        Node { child, address }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> Option<u64> {
        memory(self.id(), "VmRSS:")
    }

    /// Processor time so far in clock ticks.
    pub fn ticks(&self) -> Option<u64> {
        ticks(&proc(self.id(), "stat")?)
    }
}

/// A file that tells something of a process, where there is a /proc.
pub fn proc(process: u32, file: &str) -> Option<String> {
    fs::read_to_string(PathBuf::from("/proc").join(process.to_string()).join(file)).ok()
}

/// A line of /proc/PROCESS/status that is an amount of memory, in KiB.
pub fn memory(process: u32, field: &str) -> Option<u64> {
    let status = proc(process, "status")?;
    status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.parse().ok())
}

/// The fields of a `stat` behind the name of the program, which can hold anything.
pub fn stat_fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace().collect())
}

/// Processor time in a `stat`, in clock ticks: its own, and that of the children it has waited for.
pub fn ticks(stat: &str) -> Option<u64> {
    stat_fields(stat)?.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

pub fn pair(inviter: &Home, joiner: &Home) {
    let link = inviter.run(&["invite"]);
    joiner.run(&["join", link.trim()]);
}

pub fn key(home: &Home) -> PublicKey {
    let id = home.run(&["id"]);
    let key = id.lines().find_map(|line| line.strip_prefix("key ")).expect("a key");
    key.trim().parse().expect("a key")
}
