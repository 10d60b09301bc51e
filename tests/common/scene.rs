//! What is told when a test fails, before its processes die and its homes go: what they printed, what each of their
//! threads waits for, and which files there are. It must not panic itself, so what cannot be seen is left out.

// It is for whoever reads why a test failed.
#![allow(clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of one kind that are told.
const LINES: usize = 40;

/// The end of a text.
fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| format!("    {line}\n")).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// Of each thread of a process and of those that it has started: its name, its state, and the call that it is in.
fn threads(pid: u32) -> String {
    let mut told = String::new();
    for thread in entries(Path::new(&format!("/proc/{pid}/task"))) {
        let read = |name| fs::read_to_string(thread.join(name)).unwrap_or_default().trim_end().to_owned();
        let stat = read("stat");
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.get(..1)).unwrap_or_default();
        let (name, syscall, place) = (read("comm"), read("syscall"), read("wchan"));
        told += &format!("    {pid} {name}: {state}, {place}, {syscall}\n");
        read("children")
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .for_each(|child| told += &threads(child));
    }
    told
}

/// Tells of a process that has printed this.
pub fn tell_process(command: &str, pid: Option<u32>, heard: &str, said: &str) {
    let threads = pid.map(threads).unwrap_or_default();
    eprintln!("== {command}");
    for (what, text) in [("stdout", heard), ("stderr", said), ("threads", threads.as_str())] {
        if !text.is_empty() {
            eprint!("  {what}:\n{}", last(text));
        }
    }
}

/// Tells of a home; `command` asks it something.
pub fn tell_home(dir: &Path, command: impl Fn(&[&str]) -> Command) {
    eprintln!("== {}", dir.display());
    tell_files(dir);
    for path in entries(&dir.join("outbox")).into_iter().chain([dir.join("node.lock")]) {
        if path.extension().is_some_and(|extension| extension == "attempts" || extension == "lock") {
            eprint!("  {}:\n{}", path.display(), last(&fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    for args in [&["--json", "log"][..], &["--json", "outbox"]] {
        if let Ok(ran) = command(args).output() {
            let (out, said) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            eprint!("  {args:?}:\n{}{}", last(&out), last(&said));
        }
    }
    tell_users(dir);
}

fn tell_files(dir: &Path) {
    for path in entries(dir) {
        let Ok(data) = fs::symlink_metadata(&path) else { continue };
        if data.is_dir() {
            tell_files(&path);
        } else {
            eprintln!("    {} B  {}", data.len(), path.display());
        }
    }
}

/// Processes that run on the home, however they were started.
fn tell_users(dir: &Path) {
    for process in entries(Path::new("/proc")) {
        let pid = process.file_name().and_then(|name| name.to_str()?.parse().ok());
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if let Some(pid) = pid.filter(|_| words.contains(&*dir.to_string_lossy())) {
            tell_process(&words, Some(pid), "", "");
        }
    }
}
