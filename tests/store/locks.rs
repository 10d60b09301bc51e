//! Processes that were stopped while they held a lock: nobody waits for them without an end, and the error names them.

use crate::common;

use common::{Home, Process, pair, skip};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How long a lock is waited for, and what a busy machine adds.
const BOUND: Duration = Duration::from_secs(10 + 15);

/// A process that took the lock of a file and was stopped. `None` where there is no flock(1) that becomes another program.
fn stopped_holder(path: &Path) -> Option<Process> {
    let mut command = Command::new("flock");
    command.arg("--no-fork").arg(path).args(["sh", "-c", "echo locked; kill -STOP $$"]);
    let can_flock = Command::new("flock").args(["--no-fork", "/dev/null", "true"]).output();
    if !Path::new("/proc/locks").exists() || !can_flock.is_ok_and(|output| output.status.success()) {
        skip("this needs /proc/locks and flock(1) of util-linux");
        return None;
    }
    let mut holder = Process::start(command);
    holder.wait_for("locked");
    Some(holder)
}

/// Has it go on, which lets go of the lock.
fn let_go(mut holder: Process) {
    let pid = holder.child.id().to_string();
    assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
    assert_eq!(holder.end().0, Some(0));
}

/// The command fails in bounded time, and tells of the file and the process.
fn gives_up(home: &Home, args: &[&str], path: &Path, holder: &Process) {
    let start = Instant::now();
    let told = home.fails(args, 74);
    assert!(start.elapsed() < BOUND, "{args:?} took {:?}", start.elapsed());
    let (path, pid) = (path.display(), holder.child.id());
    assert!(told.contains(&format!("cannot lock {path}: process {pid} keeps it locked")), "{told}");
    assert!(told.contains(&format!("`kill -CONT {pid}`")), "{told}");
}

/// Two homes of which the second serves, and the path of a file in the first whose name has the key of the second.
fn one_way(dir: &str, end: &str) -> (Home, Home, common::Node, std::path::PathBuf) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    pair(&bob, &alice);
    alice.run(&["say", "bob", "before"]);
    let path = alice.path(dir).join(format!("{}{end}", bob.key()));
    assert!(path.exists());
    (alice, bob, node, path)
}

#[test]
fn nobody_waits_without_an_end_for_the_log_of_a_stopped_process() {
    let check = |dir: &str, told: &[&str]| {
        let (alice, bob, _node, path) = one_way(dir, ".log");
        let Some(holder) = stopped_holder(&path) else { return };
        gives_up(&alice, &["say", "--wait", "60s", "bob", "meanwhile"], &path, &holder);
        let_go(holder);
        alice.run(&["say", "--wait", "60s", "bob", "after"]);
        assert_eq!(bob.received(), told);
        assert_eq!(alice.delivered(), told);
    };
    thread::scope(|scope| {
        // It was told that the message is not queued; and that it could not be noted as delivered, so it was sent again.
        scope.spawn(|| check("outbox", &["before", "after"]));
        scope.spawn(|| check("history", &["before", "meanwhile", "after"]));
    });
}

#[test]
fn nobody_waits_without_an_end_for_the_records_of_a_stopped_process() {
    let alice = Home::new("alice");
    let path = alice.path("records.lock");
    let Some(holder) = stopped_holder(&path) else { return };
    gives_up(&alice, &["id", "--name", "alicia"], &path, &holder);
    let_go(holder);
    alice.run(&["id", "--name", "alicia"]);
}

#[test]
fn a_message_is_queued_while_a_stopped_process_delivers() {
    let (alice, bob, _node, path) = one_way("outbox", ".lock");
    let Some(holder) = stopped_holder(&path) else { return };
    let start = Instant::now();
    let told = alice.ends_with(&["say", "bob", "meanwhile"], b"", 0).1;
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    let pid = holder.child.id();
    assert!(
        told.contains("queued for bob") && told.contains(&format!("process {pid} here delivers")),
        "{told}"
    );
    let_go(holder);
    alice.run(&["say", "--wait", "60s", "bob", "after"]);
    assert_eq!(bob.received(), ["before", "meanwhile", "after"]);
}
