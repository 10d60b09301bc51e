//! Faults: a process is killed before each of its system calls, its disk fails or is full. What was reported as queued
//! or delivered arrives once and in order all the same, and what was not is there whole or not at all.
//!
//! With `EGOAT_TORTURE` set, every call is hit; else every one of the short runs, and some of the long ones.

use crate::common;

use common::disk::SmallDisk;
use common::files::{MIB, names_in, note_goes, sample, staged_in};
use common::strace::{self, Fault, Faulty, KILL};
use common::{Home, Node, Process, json_number, json_text, poll_until};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const KIB: usize = 1 << 10;

/// What changes something on a disk or at the peer.
const CALLS: &[&str] = &[
    "write",
    "pwrite64",
    "fdatasync",
    "fsync",
    RENAME,
    "unlink,unlinkat",
    "ftruncate",
    "link,linkat",
    "sendto",
];
const RENAME: &str = "rename,renameat,renameat2";
/// What a failing disk can do to a log.
const LOG_CALLS: &[&str] = &["pwrite64", "fdatasync", "fsync", "ftruncate", RENAME];
const ERRORS: [&str; 2] = ["error=EIO", FULL_DISK];
const FULL_DISK: &str = "error=ENOSPC";

fn is_torture() -> bool {
    std::env::var_os("EGOAT_TORTURE").is_some()
}

/// Has `attempt` meet a fault at the first call of a kind, at the second, and so on, until there are no more. It says
/// whether it met the fault.
fn at_each(calls: &[&'static str], stride: usize, mut attempt: impl FnMut(&'static str, usize) -> bool) {
    let stride = if is_torture() { 1 } else { stride };
    let mut hits = 0;
    for call in calls {
        for nth in (1..).step_by(stride) {
            let place = Place(call, nth);
            if !attempt(call, nth) {
                break;
            }
            drop(place);
            hits += 1;
            assert!(nth < 500, "{call} never ends");
        }
    }
    eprintln!("{hits} faults");
}

/// The same with calls that fail: in turns with either error, or each call with both.
fn fails_with_each_error(
    calls: &[&'static str],
    stride: usize,
    mut attempt: impl FnMut(&'static str, usize, &'static str) -> bool,
) {
    at_each(calls, stride, |call, nth| {
        let is_hit = attempt(call, nth, ERRORS[nth % 2]);
        if is_torture() {
            attempt(call, nth, ERRORS[(nth + 1) % 2]);
        }
        is_hit
    });
}

/// Says where a test was when it failed.
struct Place(&'static str, usize);

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at call {} of {}", self.1, self.0);
        }
    }
}

/// The text without its padding.
fn short(text: &str) -> String {
    let (start, padding) = text.split_once(' ').unwrap_or((text, ""));
    assert!(padding == "x".repeat(padding.len()), "{start} was changed");
    format!("{start} {}", padding.len())
}

/// What stands in the log of `home` as `event`.
fn logged(home: &Home, event: &str) -> Vec<String> {
    let event = format!("\"event\":\"{event}\"");
    let log = undamaged(home, &["--json", "log"], b"", 0);
    // The texts have nothing that JSON escapes, and are long.
    let text = |line: &str| short(line.split_once("\"text\":\"").unwrap().1.split_once('"').unwrap().0);
    log.lines().filter(|line| line.contains(&event)).map(text).collect()
}

/// Runs a command that must end with `code` and find no damage; gives its stdout.
fn undamaged(home: &Home, args: &[&str], input: &[u8], code: i32) -> String {
    let (out, said) = home.ends_with(args, input, code);
    assert!(!said.contains("damage") && !said.contains("missing"), "{said}");
    out
}

/// Alice, who says things to Bob. They know each other's keys; where Bob is, Alice is told when he is there.
struct Couple {
    alice: Home,
    bob: Home,
    bob_key: String,
    alice_key: String,
    /// What Alice said, and whether it must arrive.
    said: Vec<(String, bool)>,
}

impl Couple {
    fn new() -> Couple {
        Couple::of(Home::new("alice"), Home::new("bob"))
    }

    fn of(alice: Home, bob: Home) -> Couple {
        let (alice_key, bob_key) = (alice.key(), bob.key());
        bob.run(&["peers", "add", "alice", &alice_key]);
        alice.run(&["peers", "add", "bob", &bob_key]);
        Couple { alice, bob, bob_key, alice_key, said: Vec::new() }
    }

    fn tell_where(&self, addr: &str) {
        fs::write(self.alice.path("peers"), format!("bob {} {addr}\n", self.bob_key)).unwrap();
    }

    /// Bob serves, and Alice knows where.
    fn serve(&self) -> Node {
        let node = self.bob.serve();
        self.tell_where(&node.addr);
        node
    }

    fn next_text(&self, size: usize) -> String {
        format!("message-{} {}", self.said.len(), "x".repeat(size))
    }

    /// Alice says something that arrives.
    fn say(&mut self) {
        let text = self.next_text(1);
        undamaged(&self.alice, &["say", "--wait", "30s", "bob"], text.as_bytes(), 0);
        self.said.push((short(&text), true));
    }

    /// Alice says something that is to be queued at the least; gives what she is told.
    fn queue(&mut self, size: usize) -> String {
        let text = self.next_text(size);
        let (_, said) = self.alice.ends_with(&["say", "bob"], text.as_bytes(), 0);
        self.said.push((short(&text), true));
        said
    }

    /// Alice says something that is queued only if she is told so; gives her exit status and what she was told.
    fn try_to_say(&mut self, text: &str) -> (Option<i32>, String) {
        let mut process = Process::start(self.alice.cmd(&["say", "bob"]));
        process.write(text.as_bytes());
        let (code, _, said) = process.end();
        self.said.push((short(text), code == Some(0)));
        (code, said)
    }

    /// Alice says something, and there is a fault; gives whether it was met, her exit status and what she was told.
    fn say_with(&mut self, fault: &Fault) -> (bool, Option<i32>, String) {
        let text = self.next_text(1);
        let mut process = Faulty::start(&self.alice, &["say", "--wait", "30s", "bob"], fault);
        process.write(text.as_bytes());
        let (code, _, said) = process.end();
        assert!(matches!(code, Some(0 | 74 | 75) | None), "{code:?} {said}");
        assert!(!said.contains("damage") && !said.contains("missing"), "{said}");
        self.said.push((short(&text), matches!(code, Some(0 | 75))));
        (process.was_hit(), code, said)
    }

    /// What was promised has arrived, once and in order; both histories say so, and nothing waits.
    fn agree(&self) {
        let (heard, known) = (logged(&self.bob, "received"), logged(&self.alice, "delivered"));
        let mut rest = heard.iter().peekable();
        for (text, must_be) in &self.said {
            if rest.next_if_eq(&text).is_none() {
                assert!(!must_be, "{text} is missing in {heard:?} of {:?}", self.said);
            }
        }
        assert_eq!(rest.next(), None, "doubled or out of order: {heard:?} of {:?}", self.said);
        assert_eq!(known, heard);
        assert_eq!(undamaged(&self.alice, &["outbox"], b"", 0), "");
    }

    /// What is touched only when the outbox is new, or started afresh.
    fn new_outbox(&self) -> Vec<PathBuf> {
        vec![self.alices("outbox").with_extension("new"), self.alice.path("outbox")]
    }

    fn alices(&self, log: &str) -> PathBuf {
        self.alice.path(log).join(format!("{}.log", self.bob_key))
    }

    fn bobs_history(&self) -> PathBuf {
        self.bob.path("history").join(format!("{}.log", self.alice_key))
    }
}

const TORN: &[u8] = b"the beginning of a record, never ended";

/// A record whose writer died in the middle of it.
fn tear(log: &Path) {
    File::options().append(true).open(log).unwrap().write_all(TORN).unwrap();
}

/// The torn record was kept.
fn assert_kept(log: &Path) {
    let stem = format!("{}.torn-", log.file_stem().unwrap().to_str().unwrap());
    let mut kept = fs::read_dir(log.parent().unwrap()).unwrap().map(|entry| entry.unwrap());
    let is_kept = kept.any(|entry| {
        entry.file_name().to_str().unwrap().starts_with(&stem) && fs::read(entry.path()).unwrap() == TORN
    });
    assert!(is_kept, "nothing was kept of {}", log.display());
}

/// What there is before a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// No log at all.
    Nothing,
    /// All logs of both end in torn records.
    Torn,
    /// Messages wait, so large that one append of them is not one write.
    Burst,
    /// What waits is so large that the outbox is started afresh when it is delivered.
    Grown,
}

impl Before {
    fn couple(self) -> Couple {
        let mut couple = Couple::new();
        match self {
            Before::Nothing => {}
            Before::Torn => {
                let mut node = couple.serve();
                couple.say();
                node.kill9();
                [couple.alices("outbox"), couple.alices("history"), couple.bobs_history()]
                    .iter()
                    .for_each(|log| tear(log));
            }
            Before::Burst => (0..4).for_each(|_| drop(couple.queue(50 * KIB))),
            Before::Grown => (0..2).for_each(|_| drop(couple.queue(600 * KIB))),
        }
        couple
    }

    fn assert_kept(self, couple: &Couple) {
        if self == Before::Torn {
            [couple.alices("outbox"), couple.alices("history"), couple.bobs_history()]
                .iter()
                .for_each(|log| assert_kept(log));
        }
    }
}

fn sender_killed(before: Before, stride: usize) {
    if !strace::works() {
        return;
    }
    let is_partial = before == Before::Grown && !is_torture();
    let calls = if is_partial { &["pwrite64", "fsync", RENAME] } else { CALLS };
    at_each(calls, stride, |call, nth| {
        let mut couple = before.couple();
        let _node = couple.serve();
        let on = if is_partial { couple.new_outbox() } else { Vec::new() };
        let fault = Fault { call, how: KILL, nth, on };
        // The second finds what the first has left.
        let hits = [couple.say_with(&fault), couple.say_with(&fault)].map(|(_, code, _)| code.is_none());
        couple.say();
        couple.agree();
        before.assert_kept(&couple);
        hits.contains(&true)
    });
}

#[test]
fn a_sender_is_killed_at_every_call_with_new_logs() {
    sender_killed(Before::Nothing, 1);
}

#[test]
fn a_sender_is_killed_at_every_call_with_torn_logs() {
    sender_killed(Before::Torn, 1);
}

#[test]
fn a_sender_is_killed_at_every_call_with_a_burst() {
    sender_killed(Before::Burst, 2);
}

/// In a short run, only where the new outbox is made.
#[test]
fn a_sender_is_killed_at_every_call_while_its_outbox_is_started_afresh() {
    sender_killed(Before::Grown, 1);
}

/// Alice's node is hit while it delivers what waits.
#[test]
fn a_senders_node_is_killed_at_every_call() {
    if !strace::works() {
        return;
    }
    let is_hit = |call, nth, on_outbox| {
        let mut couple = Couple::new();
        (0..2).for_each(|_| drop(couple.queue(1)));
        let mut node = couple.serve();
        let on = if on_outbox { vec![couple.alices("outbox")] } else { Vec::new() };
        let fault = Fault { call, how: KILL, nth, on };
        let mut process = Faulty::start(&couple.alice, &["serve", "--listen", "127.0.0.1:0"], &fault);
        let is_hit = loop {
            match process.next_line() {
                None => break true,
                Some(line) if line.starts_with("delivered ") => break false,
                Some(_) => {}
            }
        };
        process.stop();
        drop(process);
        couple.say();
        node.wait_for("message from alice: message-2");
        couple.agree();
        is_hit
    };
    at_each(CALLS, 1, |call, nth| is_hit(call, nth, false));
    at_each(&["pwrite64"], 1, |call, nth| is_hit(call, nth, true));
}

/// Bob's node under a fault, while Alice talks until he is gone, or has heard her. Says how it ended: not at all if
/// there is no status.
fn hear_with(couple: &mut Couple, fault: &Fault) -> (bool, Option<(Option<i32>, String)>) {
    let mut process = Faulty::start(&couple.bob, &["serve", "--show-text", "--listen", "127.0.0.1:0"], fault);
    if let Some(line) = process.next_line() {
        couple.tell_where(line.strip_prefix("listening on ").unwrap());
        couple.queue(1);
        // What does not arrive although the node lives is said again, after what the dialler waits between two tries.
        let mut last = couple.said.len();
        while process.is_running() && couple.queue(1).contains("queued for bob") {
            last = couple.said.len();
            // It lives on, and meets the fault anew in the thread of each connection.
            if fault.how == FULL_DISK && process.was_hit() && process.is_running() {
                process.stop();
                return (true, None);
            }
            assert!(couple.said.len() < 40, "it neither ends nor takes messages");
        }
        // A fault may still come when the last one is stored: when it is printed, it has come or never will.
        let printed = format!("message from alice: message-{last} ");
        loop {
            match process.next_line() {
                None => break,
                Some(line) if line.starts_with(&printed) => {
                    let was_hit = process.was_hit();
                    process.stop();
                    return (was_hit, None);
                }
                Some(_) => {}
            }
        }
    }
    let (code, _, said) = process.end();
    assert!(!said.contains("damage") && !said.contains("missing"), "{said}");
    (process.was_hit(), Some((code, said)))
}

fn receiver_killed(before: Before, stride: usize) {
    if !strace::works() {
        return;
    }
    let is_hit = |call, nth, on_history| {
        let mut couple = before.couple();
        let on = if on_history { vec![couple.bobs_history()] } else { Vec::new() };
        let fault = Fault { call, how: KILL, nth, on };
        let (_, ended) = hear_with(&mut couple, &fault);
        let mut node = couple.serve();
        couple.say();
        node.wait_for(&format!("message from alice: message-{} ", couple.said.len() - 1));
        couple.agree();
        before.assert_kept(&couple);
        ended.is_some()
    };
    at_each(CALLS, stride, |call, nth| is_hit(call, nth, false));
    // What the main thread writes to other files would come first.
    at_each(&["pwrite64", "ftruncate"], 1, |call, nth| is_hit(call, nth, true));
}

#[test]
fn a_receiver_is_killed_at_every_call_with_new_logs() {
    receiver_killed(Before::Nothing, 1);
}

#[test]
fn a_receiver_is_killed_at_every_call_with_torn_logs() {
    receiver_killed(Before::Torn, 1);
}

#[test]
fn a_receiver_is_killed_at_every_call_with_a_burst() {
    receiver_killed(Before::Burst, 2);
}

fn sender_disk_fails(before: Before) {
    if !strace::works() {
        return;
    }
    let is_partial = before == Before::Grown && !is_torture();
    let calls = if is_partial { &["pwrite64", "fsync", RENAME] } else { LOG_CALLS };
    for log in if is_partial { &["outbox"][..] } else { &["outbox", "history"] } {
        fails_with_each_error(calls, 1, |call, nth, how| {
            let mut couple = before.couple();
            let _node = couple.serve();
            let path = couple.alices(log);
            let mut on = vec![path.with_extension("new"), couple.alice.path(log)];
            if !is_partial {
                on.push(path);
            }
            let (was_hit, code, said) = couple.say_with(&Fault { call, how, nth, on });
            // A log that cannot be shortened is no failure.
            let is_long = before == Before::Grown && said.contains("it was not shortened: cannot ");
            // What was to go out early goes out later, if the disk is full for so long only.
            let was_full = how == FULL_DISK;
            let fails = was_hit && !(code == Some(0) && (is_long || was_full));
            assert_eq!(code, Some(if fails { 74 } else { 0 }), "{said}");
            assert!(!fails || said.contains("egoat: error: cannot "), "{said}");
            couple.say();
            couple.agree();
            before.assert_kept(&couple);
            was_hit
        });
    }
}

#[test]
fn a_senders_disk_fails_with_new_logs() {
    sender_disk_fails(Before::Nothing);
}

#[test]
fn a_senders_disk_fails_with_torn_logs() {
    sender_disk_fails(Before::Torn);
}

#[test]
fn a_senders_disk_fails_while_its_outbox_is_started_afresh() {
    sender_disk_fails(Before::Grown);
}

/// A node whose log cannot be written ends: it does not know what it may acknowledge.
fn receiver_disk_fails(before: Before, stride: usize) {
    if !strace::works() {
        return;
    }
    fails_with_each_error(LOG_CALLS, stride, |call, nth, how| {
        let mut couple = before.couple();
        let on = vec![couple.bobs_history(), couple.bob.path("history")];
        let (was_hit, ended) = hear_with(&mut couple, &Fault { call, how, nth, on });
        match ended {
            // A disk that is full ends a node only when a log cannot be cut back either.
            Some((code, said)) => assert!(
                was_hit
                    && (how != FULL_DISK || call == "ftruncate")
                    && code == Some(74)
                    && said.contains("egoat: error: cannot "),
                "{code:?} {said}"
            ),
            None => assert!(!was_hit || how == FULL_DISK, "it took no notice"),
        }
        let _node = couple.serve();
        couple.say();
        couple.agree();
        before.assert_kept(&couple);
        was_hit
    });
}

#[test]
fn a_receivers_disk_fails_with_new_logs() {
    receiver_disk_fails(Before::Nothing, 1);
}

#[test]
fn a_receivers_disk_fails_with_torn_logs() {
    receiver_disk_fails(Before::Torn, 1);
}

#[test]
fn a_receivers_disk_fails_with_a_burst() {
    receiver_disk_fails(Before::Burst, 2);
}

/// Leaves no room on a disk.
fn fill(disk: &SmallDisk) {
    let mut file = File::create(disk.path().join("ballast")).unwrap();
    while file.write_all(&[0; KIB]).is_ok() {}
}

const FULL: &str = "no space left on device";

#[test]
fn a_sender_whose_disk_is_full_says_so_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut couple = Couple::of(Home::new_in(disk.path(), "alice"), Home::new("bob"));
    // Alice says large things until she cannot.
    let said = loop {
        let text = couple.next_text(100 * KIB);
        let (code, said) = couple.try_to_say(&text);
        if code == Some(74) {
            break said;
        }
        assert!(code == Some(0) && couple.said.len() < 20, "{code:?} {said}");
    };
    assert!(said.contains(FULL) && said.contains("hint: free some space"), "{said}");
    let promised = couple.said.len() - 1;
    assert!(promised > 5);
    let _node = couple.serve();
    fill(&disk);
    // What only reads works, and what writes says why it does not.
    assert_eq!(undamaged(&couple.alice, &["outbox"], b"", 0).lines().count(), promised);
    for args in [&["id"][..], &["log"], &["peers"]] {
        undamaged(&couple.alice, args, b"", 0);
    }
    for args in [&["id", "--name", "other"][..], &["invite"], &["peers", "rename", "bob", "carol"]] {
        assert!(couple.alice.fails(args, 74).contains(FULL), "{args:?}");
    }
    // With a little room, Bob hears some of it, and Alice has no room to note that.
    fs::remove_file(disk.path().join("ballast")).unwrap();
    let text = couple.next_text(1);
    let (code, said) = couple.try_to_say(&text);
    assert!(code == Some(74) && said.contains(FULL), "{said}");
    disk.grow();
    couple.say();
    couple.agree();
}

#[test]
fn a_torn_log_on_a_full_disk_waits_for_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut couple = Couple::of(Home::new_in(disk.path(), "alice"), Home::new("bob"));
    couple.queue(1);
    tear(&couple.alices("outbox"));
    fill(&disk);
    let outbox = couple.alice.path("outbox");
    let folder = || fs::read_dir(&outbox).unwrap().count();
    let before = folder();
    for _ in 0..3 {
        let text = couple.next_text(1);
        let (code, said) = couple.try_to_say(&text);
        assert!(code == Some(74) && said.contains(FULL), "{said}");
    }
    assert_eq!(folder(), before, "parts of copies take the room that is short");
    fs::remove_file(disk.path().join("ballast")).unwrap();
    let _node = couple.serve();
    couple.say();
    couple.agree();
    assert_kept(&couple.alices("outbox"));
}

#[test]
fn a_home_is_made_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let home = Home::empty_in(disk.path());
    fill(&disk);
    assert!(home.fails(&["id"], 74).contains(FULL));
    fs::remove_file(disk.path().join("ballast")).unwrap();
    let key = home.key();
    assert_eq!(home.key(), key);
}

/// A limit on the size of files kills, unless the signal is ignored: then it is a failed write like others.
#[test]
fn a_limit_on_the_size_of_files_loses_nothing() {
    const SIGXFSZ: i32 = 25;
    for (limit, signal, code) in
        [("ulimit -c 0; ulimit -f 8", Some(SIGXFSZ), None), ("trap '' XFSZ; ulimit -f 8", None, Some(74))]
    {
        let mut couple = Couple::new();
        couple.queue(1);
        let text = couple.next_text(100 * KIB);
        let command = couple.alice.cmd(&["say", "bob"]);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("{limit}; exec \"$@\""), "sh"]).arg(command.get_program());
        limited.args(command.get_args());
        let mut process = Process::start(limited);
        process.write(text.as_bytes());
        let ended = process.end();
        let status = process.child.wait().unwrap();
        assert_eq!((status.signal(), status.code()), (signal, code), "{}", ended.2);
        assert!(code.is_none() || ended.2.contains("file too large"), "{}", ended.2);
        couple.said.push((short(&text), false));
        let _node = couple.serve();
        couple.say();
        couple.agree();
    }
}

#[test]
fn what_cannot_be_printed_is_a_disk_error() {
    let mut couple = Couple::new();
    let _node = couple.serve();
    couple.say();
    for args in [
        &["log"][..],
        &["log", "--limit", "1"],
        &["--json", "log"],
        &["id"],
        &["invite"],
        &["peers"],
        &["receive", "--listen", "127.0.0.1:0"],
        &["--help"],
        &["--version"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = couple.alice.cmd(args).stdin(Stdio::null()).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(74), "{args:?} {:?} {said}", output.status);
        assert!(said.contains(&format!("egoat: error: cannot write stdout: {FULL}")), "{args:?} {said}");
    }
}

/// Two files to send.
fn files(home: &Home) -> Vec<(String, Vec<u8>)> {
    [("one.bin", 10), ("two.bin", 3 * KIB)]
        .map(|(name, size)| {
            let content = name.as_bytes().repeat(size);
            home.file(name, &content);
            (name.to_owned(), content)
        })
        .to_vec()
}

/// Every file that is not hidden is one that was sent, whole; gives how many there are of each.
fn landed(dir: &Path, files: &[(String, Vec<u8>)]) -> Vec<usize> {
    let mut counts = vec![0; files.len()];
    let Ok(entries) = fs::read_dir(dir) else { return counts };
    for entry in entries.map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with(".egoat-") {
            let is_it = |(sent, _): &(String, _)| name.starts_with(sent.trim_end_matches(".bin"));
            let index = files.iter().position(is_it).unwrap();
            assert!(fs::read(entry.path()).unwrap() == files[index].1, "{name} is not what was sent");
            counts[index] += 1;
        }
    }
    counts
}

/// What making homes and receiving files does beside; what is opened only in the long run.
fn and_file_calls() -> Vec<&'static str> {
    let beside: &[&str] = &["mkdir,mkdirat", "chmod,fchmodat", "fchmod", "utimensat"];
    [CALLS, beside, if is_torture() { &["openat"] } else { &[] }].concat()
}

/// Alice sends two files to what `receiver` of Bob's starts, and it is killed; then again, and it is not.
fn receiver_of_files_killed(landing: &str, receiver: impl Fn(&str) -> Vec<&str>) {
    if !strace::works() {
        return;
    }
    at_each(&and_file_calls(), 1, |call, nth| {
        let couple = Couple::new();
        let into = couple.bob.path(landing);
        let files = files(&couple.alice);
        let paths: Vec<String> =
            files.iter().map(|(name, _)| couple.alice.path(name).to_str().unwrap().to_owned()).collect();
        let fault = Fault { call, how: KILL, nth, on: Vec::new() };
        let mut process = Faulty::start(&couple.bob, &receiver(into.to_str().unwrap()), &fault);
        let said_first = process.next_line();
        // A node says where it is, a one-off receiver prints a link.
        let address = said_first.as_deref().and_then(|line| line.strip_prefix("listening on "));
        let is_node = address.is_some();
        couple.tell_where(address.unwrap_or("-"));
        let send_to = |to: &str| {
            let args = [&["send".to_owned(), to.to_owned()], &paths[..]].concat();
            Process::start(couple.alice.cmd(&args)).end()
        };
        let to = if is_node { Some("bob") } else { said_first.as_deref() };
        let mut code = None;
        while let Some(to) = to
            && code != Some(0)
        {
            let ended = send_to(to);
            assert!(matches!(ended.0, Some(0 | 1 | 69 | 76)), "{ended:?}");
            code = ended.0;
            if !process.is_running() {
                break;
            }
        }
        let first = landed(&into, &files);
        if code == Some(0) {
            assert_eq!(first, [1, 1], "they were reported to be there");
        }
        assert!(first.iter().all(|count| *count <= 1));
        // The receiver is gone by itself, or has told of the second file and will do nothing more.
        let is_hit = loop {
            match process.next_line() {
                None => {
                    let ended = process.end();
                    assert!(matches!(ended.0, None | Some(0)), "{ended:?}");
                    break ended.0.is_none();
                }
                Some(line) if is_node && line.contains("two.bin") => break false,
                Some(_) => {}
            }
        };
        drop(process);
        let _node = couple.serve();
        assert_eq!(send_to("bob").0, Some(0));
        let in_node = couple.bob.path("downloads/alice");
        let now = landed(&in_node, &files);
        // Only of what the sender has heard of it wants another.
        let may_be_another = in_node == into && code == Some(0);
        assert!(now == [1, 1] || may_be_another && now == [2, 2], "{now:?} {code:?}");
        assert!(staged_in(&in_node).is_empty(), "{:?}", names_in(&in_node));
        is_hit
    });
}

#[test]
fn a_node_that_is_killed_while_it_receives_files_leaves_none_in_part() {
    receiver_of_files_killed("downloads/alice", |_| vec!["serve", "--listen", "127.0.0.1:0"]);
}

#[test]
fn a_one_off_receiver_that_is_killed_leaves_no_file_in_part() {
    receiver_of_files_killed("into", |into| vec!["receive", "--listen", "127.0.0.1:0", "--into", into]);
}

/// The lane's thread is held up when it has told the sender to go on, so that all else has arrived before it begins.
#[test]
fn a_lane_that_is_slow_to_begin_is_waited_for() {
    if !strace::works() {
        return;
    }
    let couple = Couple::new();
    let fault = Fault { call: "sendto", how: "delay_exit=300000", nth: 1, on: Vec::new() };
    let mut node = Faulty::start(&couple.bob, &["serve", "--listen", "127.0.0.1:0"], &fault);
    couple.tell_where(&node.wait_for("listening on ")["listening on ".len()..]);
    // On a busy machine the session has brought everything before the lane begins.
    poll_until("a transfer that two connections bring", || {
        let content = sample(5 * MIB);
        let file = couple.alice.file("file.bin", &content);
        let sent = couple.alice.run(&["--json", "send", "bob", "--streams", "2", &file]);
        let received = couple.bob.path("downloads/alice/file.bin");
        assert!(fs::read(&received).unwrap() == content);
        fs::remove_file(&received).unwrap();
        sent.contains("\"lanes\":2,").then_some(())
    });
}

/// A home in which the first commands are killed can be used, and is the same node whenever it has shown a key.
#[test]
fn a_home_survives_the_death_of_the_commands_that_make_it() {
    if !strace::works() {
        return;
    }
    let bob = Home::new("bob").key();
    let commands =
        [&["id", "--name", "alice"][..], &["peers", "add", "bob", &bob], &["invite", "--as", "carol"]];
    for (index, args) in commands.iter().enumerate() {
        at_each(&and_file_calls(), 1, |call, nth| {
            let home = Home::empty_in(&std::env::temp_dir());
            commands[..index].iter().for_each(|args| drop(home.run(args)));
            let key = (index > 0).then(|| home.key());
            let mut process = Faulty::start(&home, args, &Fault { call, how: KILL, nth, on: Vec::new() });
            let (code, ..) = process.end();
            assert!(matches!(code, Some(0) | None));
            let peers = undamaged(&home, &["peers"], b"", 0);
            assert!(peers.lines().count() <= 1);
            assert!(key.is_none_or(|key| key == home.key()));
            let now = home.key();
            // `peers add` of one who is there is an error.
            if peers.is_empty() || index != 1 {
                undamaged(&home, args, b"", 0);
            }
            assert_eq!(home.key(), now);
            code.is_none()
        });
    }
}

/// Alice joins once more by the link of an invite of Bob's, and each has the other as the one peer. Carol, who has the link
/// as well, is refused: at once if Bob has Alice already.
fn joins_again(alice: &Home, bob: &Home, link: &str) {
    let carol = Home::new("carol");
    let refused = || {
        let (_, said) = carol.ends_with(&["join", link], b"", 77);
        assert!(said.contains("another node has used this invite"), "{said}");
    };
    if !undamaged(bob, &["peers"], b"", 0).is_empty() {
        refused();
    }
    undamaged(alice, &["join", link], b"", 0);
    refused();
    for home in [alice, bob] {
        assert_eq!(undamaged(home, &["peers"], b"", 0).lines().count(), 1);
    }
}

#[test]
fn a_pairing_whose_joiner_is_killed_can_be_done_again() {
    if !strace::works() {
        return;
    }
    at_each(CALLS, 1, |call, nth| {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let _node = bob.serve();
        let link = bob.run(&["invite"]);
        let fault = Fault { call, how: KILL, nth, on: Vec::new() };
        let (code, _, said) = Faulty::start(&alice, &["join", link.trim_end()], &fault).end();
        assert!(matches!(code, Some(0) | None), "{said}");
        joins_again(&alice, &bob, link.trim_end());
        code.is_none()
    });
}

#[test]
fn a_pairing_whose_inviter_is_killed_can_be_done_again() {
    if !strace::works() {
        return;
    }
    at_each(CALLS, 1, |call, nth| {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let invite = bob.run(&["invite", "--addr", "127.0.0.1"]);
        let link_to = |addr: &str| format!("{}@{addr}", invite.split_once('@').unwrap().0);
        let fault = Fault { call, how: KILL, nth, on: Vec::new() };
        let mut process = Faulty::start(&bob, &["serve", "--listen", "127.0.0.1:0"], &fault);
        let mut is_hit = true;
        if let Some(line) = process.next_line() {
            let link = link_to(line.strip_prefix("listening on ").unwrap());
            let (code, _, said) = Process::start(alice.cmd(&["join", &link])).end();
            assert!(matches!(code, Some(0 | 69 | 76)), "{code:?} {said}");
            while let Some(line) = process.next_line() {
                if code == Some(0) && line.starts_with("paired with alice") {
                    is_hit = false;
                    break;
                }
            }
        }
        drop(process);
        let node = bob.serve();
        joins_again(&alice, &bob, &link_to(&node.addr));
        is_hit
    });
}

/// Whoever finds a log that has no record yet makes its name durable: its maker may have died before that.
#[test]
fn an_empty_log_is_synced_by_whoever_finds_it() {
    if !strace::works() {
        return;
    }
    let mut couple = Couple::new();
    let on = vec![couple.alice.path("outbox")];
    let fault = |how| Fault { call: "fsync", how, nth: 1, on: on.clone() };
    let (_, code, _) = couple.say_with(&fault(KILL));
    assert!(code.is_none() && couple.alices("outbox").exists());
    let (was_hit, code, said) = couple.say_with(&fault("error=EIO"));
    assert!(was_hit && code == Some(74), "{said}");
    let _node = couple.serve();
    couple.say();
    couple.agree();
}

/// The note of a transfer cannot be read, or none of the others.
#[test]
fn notes_that_cannot_be_read_decline_what_is_offered_as_the_disk_that_they_are_on() {
    let couple = Couple::new();
    let (file, notes) = (couple.alice.file("a.txt", "a"), couple.bob.path("partial"));
    let is_declined = || {
        let said = couple.alice.fails(&["send", "bob", &file], 74);
        assert!(said.contains("it cannot write where files land"), "{said}");
    };
    fs::write(&notes, "a file in the place of a directory").unwrap();
    let node = couple.serve();
    is_declined();
    drop(node);
    fs::remove_file(&notes).unwrap();
    fs::create_dir(&notes).unwrap();
    if strace::works() {
        // The first one is asked whether the user has taken this before; without an answer, that is a no.
        let fault = Fault { call: "openat", how: "error=EIO", nth: 2, on: vec![notes] };
        let mut node = Faulty::start(&couple.bob, &["serve", "--listen", "127.0.0.1:0"], &fault);
        couple.tell_where(&node.wait_for("listening on ")["listening on ".len()..]);
        is_declined();
        assert!(node.was_hit());
    }
    let _node = couple.serve();
    couple.alice.run(&["send", "bob", &file]);
    assert_eq!(names_in(&couple.bob.path("downloads/alice")), ["a.txt"]);
}

/// The node is killed when all is in place: before that is in the history, and when it just is.
#[test]
fn what_is_in_place_is_in_the_history_once_whenever_the_node_was_killed() {
    if !strace::works() {
        return;
    }
    for (call, is_noted) in [("pwrite64", false), ("fdatasync", true)] {
        let mut couple = Couple::new();
        let node = couple.serve();
        couple.say();
        drop(node);
        let hook = couple.bob.script("hook", "echo \"$EGOAT_PATH\" >>\"$0.ran\"");
        let serve = ["serve", "--listen", "127.0.0.1:0", "--on-file", &hook];
        fs::create_dir(couple.alice.path("tree")).unwrap();
        couple.alice.file("tree/c.txt", "c");
        let mut send = vec!["send".to_owned(), "bob".to_owned()];
        send.extend(["a.txt", "b.txt"].map(|name| couple.alice.file(name, name)));
        send.push(couple.alice.path("tree").to_str().unwrap().to_owned());

        let fault = Fault { call, how: KILL, nth: 1, on: vec![couple.bobs_history()] };
        let mut node = Faulty::start(&couple.bob, &serve, &fault);
        couple.tell_where(&node.wait_for("listening on ")["listening on ".len()..]);
        couple.alice.fails(&send, 69);
        poll_until("it to be killed", || node.was_hit().then_some(()));
        drop(node);
        let landing = couple.bob.path("downloads/alice");
        assert_eq!(names_in(&landing), ["a.txt", "b.txt", "tree"]);

        let mut node = Process::start(couple.bob.cmd(&serve));
        couple.tell_where(&node.wait_for("listening on ")["listening on ".len()..]);
        couple.alice.run(&send);
        assert_eq!(names_in(&landing), ["a.txt", "b.txt", "tree"]);
        let paths = ["a.txt", "b.txt", "tree"].map(|name| landing.join(name).to_str().unwrap().to_owned());
        let log = couple.bob.run(&["--json", "log"]);
        let files = log.lines().filter(|line| line.contains("\"event\":\"file-received\""));
        assert_eq!(files.map(|line| json_text(line, "path")).collect::<Vec<_>>(), paths, "{call}");
        let ran = couple.bob.path("hook.ran");
        poll_until("the hook", || {
            let ran = fs::read_to_string(&ran).unwrap_or_default();
            paths.iter().all(|path| ran.lines().any(|line| line == path)).then_some(())
        });
        if !is_noted {
            paths.iter().for_each(|path| assert!(node.wait_for("file from alice").contains(path.as_str())));
        }
        note_goes(&couple.bob);
    }
}

/// The sender is killed when the peer has stored all: before that is in the history here, and when it just is.
#[test]
fn what_was_sent_is_in_the_history_once_whenever_the_sender_was_killed() {
    if !strace::works() {
        return;
    }
    for (call, is_queued) in
        [("pwrite64", false), ("fdatasync", false), ("pwrite64", true), ("fdatasync", true)]
    {
        let mut couple = Couple::new();
        let _node = couple.serve();
        couple.say();
        let files = ["a.txt", "b.txt"].map(|name| couple.alice.file(name, name));
        let send = ["send", "bob", &files[0], &files[1]];
        if is_queued {
            couple.alice.run(&["send", "--queue", "bob", &files[0], &files[1]]);
        }
        let command = if is_queued { ["fetch"].as_slice() } else { &send };
        let history = couple.alice.path(&format!("history/{}.log", couple.bob_key));
        let killed =
            Faulty::start(&couple.alice, command, &Fault { call, how: KILL, nth: 1, on: vec![history] });
        poll_until("it to be killed", || killed.was_hit().then_some(()));
        drop(killed);
        couple.alice.run(command);
        assert_eq!(logged_files(&couple.alice), ["a.txt", "b.txt"], "{call} {is_queued}");
        assert_eq!(names_in(&couple.bob.path("downloads/alice")), ["a.txt", "b.txt"]);
        assert_eq!(couple.alice.run(&["outbox"]), "");
    }
}

/// The files that a history has as delivered.
fn logged_files(home: &Home) -> Vec<String> {
    let log = home.run(&["--json", "log"]);
    let files = log.lines().filter(|line| line.contains("\"event\":\"file-delivered\""));
    files.map(|line| json_text(line, "path")).collect()
}

/// The node is killed before each rename and each removal, and when all is renamed.
#[test]
fn directories_come_once_whenever_the_node_was_killed() {
    if !strace::works() {
        return;
    }
    let around = (1..=6).flat_map(|nth| [(RENAME, nth), ("unlink,unlinkat", nth)]);
    let mut hits = 0;
    // The first fsync of the place is for the folder in it.
    // Then somebody may take one of them away.
    let around = around.chain([("fsync", 2)]).map(|(call, nth)| (call, nth, true));
    for (call, nth, is_whole) in around.chain([("fsync", 2, false)]) {
        let place = Place(call, nth);
        let couple = Couple::new();
        let landing = couple.bob.path("downloads/alice");
        fs::create_dir_all(landing.join("one")).unwrap();
        fs::write(landing.join("one/mine"), "mine").unwrap();
        let mut send = vec!["send".to_owned(), "bob".to_owned(), couple.alice.file("a.txt", "a")];
        for dir in ["one", "two", "three"] {
            fs::create_dir(couple.alice.path(dir)).unwrap();
            couple.alice.file(&format!("{dir}/file"), dir);
            send.push(couple.alice.path(dir).to_str().unwrap().to_owned());
        }
        let on = if call == "fsync" { vec![landing.clone()] } else { Vec::new() };
        let fault = Fault { call, how: KILL, nth, on };
        let mut node = Faulty::start(&couple.bob, &["serve", "--listen", "127.0.0.1:0"], &fault);
        if let Some(line) = node.next_line() {
            couple.tell_where(&line["listening on ".len()..]);
            let (code, ..) = Process::start(couple.alice.cmd(&send)).end();
            assert!(matches!(code, Some(0 | 69)), "{code:?}");
            if code == Some(0) {
                // There are not as many.
                assert_ne!(call, "fsync");
                continue;
            }
        }
        poll_until("it to be killed", || node.was_hit().then_some(()));
        hits += 1;
        drop(node);
        let _node = couple.serve();
        if call == "fsync" && !is_whole {
            fs::remove_dir_all(landing.join("two")).unwrap();
            couple.alice.run(&send);
            assert_eq!(fs::read_to_string(landing.join("two/file")).unwrap(), "two");
            assert!(staged_in(&landing).is_empty());
            continue;
        }
        let sent = couple.alice.run(&[&["--json".to_owned()], &send[..]].concat());
        if call == "fsync" {
            assert_eq!(json_number(&sent, "held"), json_number(&sent, "bytes"), "{sent}");
        }
        assert_eq!(names_in(&landing), ["a.txt", "one", "one (1)", "three", "two"]);
        for (dir, content) in [("one (1)", "one"), ("two", "two"), ("three", "three")] {
            assert_eq!(names_in(&landing.join(dir)), ["file"]);
            assert_eq!(fs::read_to_string(landing.join(dir).join("file")).unwrap(), content);
        }
        assert_eq!(names_in(&landing.join("one")), ["mine"]);
        let log = couple.bob.run(&["--json", "log"]);
        assert_eq!(log.lines().filter(|line| line.contains("file-received")).count(), 4, "{log}");
        drop(place);
    }
    eprintln!("{hits} faults");
}
