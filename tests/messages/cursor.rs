//! `log --cursor` and what is unread: a reader that goes on where it was misses nothing, and has twice only what it printed
//! and had not noted yet.

use crate::common;

use common::logs::{self, numbered};
use common::strace::{self, Fault, Faulty};
use common::{EGOAT, Home, Process, by, json_text, poll_until};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use egoat::crypto::keys::PublicKey;
use egoat::store::home::Own;
use egoat::time::now_micros;

/// A home with peers, whose logs the test writes itself.
struct Reading {
    home: Home,
    own: Own,
}

impl Reading {
    fn new(peers: &[&str]) -> Reading {
        let home = Home::new("alice");
        for peer in peers {
            home.run(&["peers", "add", peer, &Home::new(peer).key()]);
        }
        let own = logs::open(&home);
        Reading { home, own }
    }

    fn receive(&self, peer: &str, texts: &[impl AsRef<str>]) {
        logs::receive(&self.own, peer, texts);
    }

    fn key(&self, peer: &str) -> PublicKey {
        logs::key(&self.own, peer)
    }

    fn history(&self, peer: &str) -> PathBuf {
        self.own.home().history_path(self.key(peer).into())
    }

    /// Does as a chat in which the conversation is open.
    fn read(&self, peer: &str) {
        self.own.notes().unwrap().set_read(self.key(peer).into(), now_micros()).unwrap();
    }

    fn cursor(&self) -> String {
        self.home.path("my.cursor").to_str().unwrap().to_owned()
    }

    /// The texts that `log --cursor` prints.
    fn log(&self, more: &[&str]) -> Vec<String> {
        let out = self.home.run(&[&["--json", "log", "--cursor", &self.cursor()], more].concat());
        out.lines().map(|line| json_text(line, "text")).collect()
    }

    /// Whether there is nothing new, by a look that moves nothing.
    fn is_noted(&self) -> bool {
        let copy = self.cursor() + "-copy";
        fs::copy(self.cursor(), &copy).is_ok_and(|_| self.home.run(&["log", "--cursor", &copy]).is_empty())
    }

    fn follow(&self, more: &[&str]) -> Process {
        let cursor = self.cursor();
        let args = [&["--json", "log", "--follow", "--cursor", &cursor], more].concat();
        Process::start(self.home.cmd(&args))
    }
}

fn next_text(process: &mut Process) -> String {
    json_text(&process.next_line().unwrap(), "text")
}

#[test]
fn only_what_is_new_is_printed_of_one_and_of_all() {
    let reading = Reading::new(&["bob", "carol"]);
    assert_eq!(reading.log(&[]), [""; 0]);
    reading.receive("bob", &["b1", "b2"]);
    reading.receive("carol", &["c1"]);
    assert_eq!(reading.log(&["bob"]), ["b1", "b2"]);
    assert_eq!(reading.log(&["bob"]), [""; 0]);
    reading.receive("bob", &["b3"]);
    assert_eq!(reading.log(&[]), ["c1", "b3"]);
    assert_eq!(reading.log(&[]), [""; 0]);
    reading.receive("carol", &["c2\nand more"]);
    let text = reading.home.run(&["log", "--cursor", &reading.cursor()]);
    assert!(text.ends_with(" carol: c2\n    and more\n") && text.lines().count() == 2, "{text}");
    assert_eq!(reading.log(&[]), [""; 0]);
    // What is left out is passed over.
    reading.receive("bob", &["b4", "b5"]);
    assert_eq!(reading.log(&["--grep", "5"]), ["b5"]);
    assert_eq!(reading.log(&[]), [""; 0]);
    // Without it nothing has changed.
    assert_eq!(reading.home.received().len(), 7);
}

#[test]
fn the_file_is_what_the_manual_says() {
    let reading = Reading::new(&["bob"]);
    reading.log(&[]);
    assert_eq!(fs::read_to_string(reading.cursor()).unwrap(), "E-Goat cursor 1\n");
    reading.receive("bob", &["b1", "b2"]);
    assert_eq!(reading.log(&[]), ["b1", "b2"]);
    let key = reading.key("bob");
    let text = fs::read_to_string(reading.cursor()).unwrap();
    let own = common::logs::open(&reading.home);
    let mut history = own.read_history(common::logs::key(&own, "bob").into());
    let seqs = std::iter::from_fn(|| history.read().unwrap().map(|record| record.seq));
    let seqs: Vec<u64> = seqs.collect();
    assert_eq!(text, format!("E-Goat cursor 1\n{key} {} {}\n", seqs[0], seqs[1]));
    let mode = fs::metadata(reading.cursor()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!Path::new(&(reading.cursor() + ".new")).exists());
}

#[test]
fn the_first_time_begins_where_it_is_told_to() {
    for (first, expected) in
        [(vec!["--limit", "0"], 3), (vec!["--limit", "1"], 2), (vec!["--since", "1h"], 0)]
    {
        let reading = Reading::new(&["bob"]);
        reading.receive("bob", &numbered(0, 3));
        assert_eq!(reading.log(&first), numbered(expected, 3));
        reading.receive("bob", &numbered(3, 15));
        // The same command later: all that is new, however much.
        assert_eq!(reading.log(&first), numbered(3, 15), "{first:?}");
    }
    let reading = Reading::new(&["bob"]);
    reading.receive("bob", &numbered(0, 15));
    let mut follower = reading.follow(&["--limit", "0"]);
    poll_until("the place to be noted before it waits", || {
        Path::new(&reading.cursor()).exists().then_some(())
    });
    follower.kill9();
    reading.receive("bob", &numbered(15, 30));
    assert_eq!(reading.log(&["--limit", "0"]), numbered(15, 30));
}

#[test]
fn a_follower_that_is_killed_goes_on_where_it_was() {
    let reading = Reading::new(&["bob", "carol"]);
    let mut told = Vec::new();
    for round in 0..6 {
        reading.receive("bob", &numbered(round * 20, round * 20 + 5));
        let mut follower = reading.follow(&[]);
        reading.receive("carol", &numbered(round * 20 + 5, round * 20 + 15));
        reading.receive("bob", &numbered(round * 20 + 15, round * 20 + 20));
        let last = format!("message {}", round * 20 + 19);
        while told.last() != Some(&last) {
            told.push(next_text(&mut follower));
        }
        let waits = round % 2 == 0;
        if waits {
            poll_until("the place to be noted", || reading.is_noted().then_some(()));
        }
        follower.kill9();
        // What another peer has said may come behind it.
        while let Some(line) = follower.next_line() {
            told.push(json_text(&line, "text"));
        }
        if waits {
            assert_eq!(reading.log(&[]), [""; 0], "round {round}");
        }
    }
    let mut first_times = told.clone();
    let mut seen = std::collections::HashSet::new();
    first_times.retain(|text| seen.insert(text.clone()));
    // What two peers say while it looks may come one way or the other.
    let number = |text: &String| text["message ".len()..].parse::<usize>().unwrap();
    first_times.sort_by_key(number);
    assert_eq!(first_times, numbered(0, 120), "nothing is left out");
    let of_carol: Vec<usize> =
        told.iter().map(number).filter(|number| (5..15).contains(&(number % 20))).collect();
    assert!(
        of_carol.chunk_by(|one, other| one < other).count() <= 6,
        "only what comes twice is out of order"
    );
    assert!(told.len() < 120 + 4 * 20, "only the last come twice");
}

#[test]
fn what_nobody_took_from_a_closed_pipe_is_printed_again() {
    let reading = Reading::new(&["bob"]);
    // More than a pipe holds.
    let texts: Vec<String> = (0..400).map(|n| format!("message {n} {}", "x".repeat(1000))).collect();
    reading.receive("bob", &texts);
    for more in [&[][..], &["--follow"]] {
        let mut child = reading.home.cmd(&[&["log", "--cursor", &reading.cursor()], more].concat());
        let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::with_capacity(64, child.stdout.take().unwrap()).lines();
        for text in &texts[..3] {
            assert!(lines.next().unwrap().unwrap().ends_with(text));
        }
        drop(lines);
        poll_until("the end of a reader without a reader", || child.try_wait().unwrap());
        assert!(!Path::new(&reading.cursor()).exists());
    }
    let shell = format!(
        "{EGOAT} --home {} log --cursor {} | head -n 3",
        reading.home.path("").display(),
        reading.cursor()
    );
    let out = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 3);
    assert_eq!(reading.log(&[]), texts);
    assert_eq!(reading.log(&[]), [""; 0]);
}

#[test]
fn killed_while_it_prints_it_prints_that_again() {
    let reading = Reading::new(&["bob"]);
    let texts: Vec<String> = (0..400).map(|n| format!("message {n} {}", "x".repeat(1000))).collect();
    reading.receive("bob", &texts);
    let mut child =
        reading.home.cmd(&["log", "--cursor", &reading.cursor()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100_000]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(reading.log(&[]), texts);
}

#[test]
fn killed_at_any_call_between_print_and_note_it_repeats_and_loses_nothing() {
    if !strace::works() {
        return;
    }
    let reading = Reading::new(&["bob"]);
    let mut sent = 0;
    let cursor = PathBuf::from(reading.cursor());
    let files = vec![PathBuf::from(reading.cursor() + ".new"), cursor.clone()];
    for (call, on) in [
        ("openat", vec![files[0].clone()]),
        ("write", vec![files[0].clone()]),
        ("fsync", vec![files[0].clone()]),
        ("rename", files),
        ("fsync", vec![cursor.parent().unwrap().to_owned()]),
    ] {
        reading.receive("bob", &numbered(sent, sent + 3));
        let is_last = on == [cursor.parent().unwrap()];
        let fault = Fault { call, how: strace::KILL, nth: 1, on };
        let mut faulty =
            Faulty::start(&reading.home, &["--json", "log", "--cursor", &reading.cursor()], &fault);
        let texts: Vec<String> = (0..3).map(|_| next_text(&mut faulty)).collect();
        assert_eq!((texts, faulty.next_line()), (numbered(sent, sent + 3), None));
        poll_until("the fault", || faulty.was_hit().then_some(()));
        faulty.stop();
        // In the last case the new file has its name already.
        let expected = if is_last { Vec::new() } else { numbered(sent, sent + 3) };
        assert_eq!(reading.log(&[]), expected, "{fault:?}");
        sent += 3;
    }
}

#[test]
fn lines_in_bulk_are_noted_together() {
    if !strace::works() {
        return;
    }
    let reading = Reading::new(&["bob"]);
    reading.receive("bob", &numbered(0, 3000));
    let trace = reading.home.path("renames");
    let words = ["strace", "-f", "-qq", "-e", "trace=rename", "-o", trace.to_str().unwrap()];
    let started = std::time::Instant::now();
    let mut follower =
        Process::start(by(&words, &reading.home.cmd(&["log", "--follow", "--cursor", &reading.cursor()])));
    for text in numbered(0, 3000) {
        assert!(follower.next_line().unwrap().ends_with(&text));
    }
    poll_until("the place to be noted", || reading.is_noted().then_some(()));
    let renames = fs::read_to_string(&trace).unwrap().lines().count() as u64;
    assert!(renames <= 2 + started.elapsed().as_secs(), "{renames} times in {:?}", started.elapsed());
}

#[test]
fn a_history_that_began_anew_is_new_and_one_that_was_restored_is_not() {
    let reading = Reading::new(&["bob"]);
    let history = reading.history("bob");
    reading.receive("bob", &["a1", "a2"]);
    let older = fs::read(&history).unwrap();
    assert_eq!(reading.log(&[]), ["a1", "a2"]);
    reading.receive("bob", &["a3"]);
    assert_eq!(reading.log(&[]), ["a3"]);
    // Restored: what it has was printed, and only what comes is new.
    fs::write(&history, &older).unwrap();
    assert_eq!(reading.log(&[]), [""; 0]);
    reading.receive("bob", &["a4"]);
    assert_eq!(reading.log(&[]), ["a4"]);
    // Deleted, and begun anew.
    fs::remove_file(&history).unwrap();
    assert_eq!(reading.log(&[]), [""; 0]);
    reading.receive("bob", &["b1", "b2", "b3"]);
    assert_eq!(reading.log(&[]), ["b1", "b2", "b3"]);
    assert_eq!(reading.log(&[]), [""; 0]);
    // The same with a clock that went back: all its numbers are lower than what was read.
    fs::write(&history, &older).unwrap();
    assert_eq!(reading.log(&[]), ["a1", "a2"]);
    // While it is followed.
    let mut follower = reading.follow(&[]);
    reading.receive("bob", &["a5"]);
    assert_eq!(next_text(&mut follower), "a5");
    fs::remove_file(&history).unwrap();
    reading.receive("bob", &["c1"]);
    assert_eq!(next_text(&mut follower), "c1");
    poll_until("the place in the new history", || {
        let text = fs::read_to_string(reading.cursor()).unwrap();
        let fields: Vec<&str> = text.lines().nth(1).unwrap().split(' ').collect();
        (fields[1] == fields[2]).then_some(())
    });
    follower.kill9();
    assert_eq!(reading.log(&[]), [""; 0]);
}

#[test]
fn a_peer_that_is_renamed_or_comes_back_keeps_its_place() {
    let reading = Reading::new(&["bob", "carol"]);
    reading.receive("bob", &["b1"]);
    assert_eq!(reading.log(&[]), ["b1"]);
    reading.home.run(&["peers", "rename", "bob", "robert"]);
    reading.receive("robert", &["b2"]);
    assert_eq!(reading.log(&[]), ["b2"]);
    let key = reading.key("robert").to_string();
    reading.home.run(&["peers", "remove", "robert"]);
    assert_eq!(reading.log(&[]), [""; 0]);
    // Back while it is followed.
    let mut follower = reading.follow(&[]);
    reading.home.run(&["peers", "add", "bob", &key]);
    reading.receive("bob", &["b3"]);
    assert_eq!(next_text(&mut follower), "b3");
    follower.kill9();
    // A new peer is new from its first word on.
    reading.receive("carol", &["c1"]);
    assert!(reading.log(&["--limit", "0"]).ends_with(&["c1".to_owned()]));
}

#[test]
fn a_file_that_is_something_else_is_left_alone() {
    let reading = Reading::new(&["bob"]);
    reading.receive("bob", &["b1"]);
    reading.log(&[]);
    let good = fs::read_to_string(reading.cursor()).unwrap();
    let mut bad = vec![
        "".into(),
        "my diary\n".into(),
        "E-Goat cursor 2\n".into(),
        "E-Goat cursor 1".into(),
        format!("{good}\n"),
        format!("{good}{}\n", good.lines().nth(1).unwrap()),
        good.replace(' ', "  x"),
        good.replace("\n", " 5\n"),
    ];
    // Cut off at any byte but for the ends of lines.
    let line = good.find('\n').unwrap() + 1;
    bad.extend((1..good.len()).filter(|end| *end != line).map(|end| good[..end].to_owned()));
    let path = PathBuf::from(reading.cursor());
    for text in bad.iter().map(String::as_bytes).chain([&b"\xff\xfe"[..], &[b'x'; 5 << 20]]) {
        fs::write(&path, text).unwrap();
        let error = reading.home.fails(&["log", "--cursor", &reading.cursor()], 2);
        assert!(
            error.contains("my.cursor is there, and is no cursor") && error.contains("hint: "),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), text);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    reading.home.fails(&["log", "--cursor", &reading.cursor()], 2);
    reading.home.fails(&["log", "--cursor", "/dev/null"], 2);
    // A link stays one, and what it leads to is the cursor; what a crash left beside it is no hindrance.
    fs::remove_dir(&path).unwrap();
    let real = reading.home.path("real.cursor");
    fs::write(&real, &good).unwrap();
    symlink(&real, &path).unwrap();
    let victim = reading.home.path("victim");
    fs::write(&victim, "mine").unwrap();
    symlink(&victim, reading.home.path("real.cursor.new")).unwrap();
    reading.receive("bob", &["b2"]);
    assert_eq!(reading.log(&[]), ["b2"]);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_ne!(fs::read_to_string(&real).unwrap(), good);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    // Also one that leads to what is not there yet, by way of another.
    fs::remove_file(&path).unwrap();
    symlink("second", &path).unwrap();
    symlink(reading.home.path("new.cursor"), reading.home.path("second")).unwrap();
    assert_eq!(reading.log(&["--limit", "1"]), ["b2"]);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(fs::symlink_metadata(reading.home.path("new.cursor")).unwrap().is_file());
    assert_eq!(reading.log(&[]), [""; 0]);
    // One that leads to itself leads nowhere.
    fs::remove_file(&path).unwrap();
    symlink("my.cursor", &path).unwrap();
    reading.home.fails(&["log", "--cursor", &reading.cursor()], 74);
    // Where nothing can be written, it is said.
    let (out, error) = reading.home.ends_with(&["log", "--cursor", "/nowhere/cursor"], b"", 74);
    assert!(out.is_empty() && error.contains("cannot open /nowhere: "), "{out}{error}");
}

#[test]
fn what_was_not_read_in_chat_is_listed_and_stays_unread() {
    let reading = Reading::new(&["bob", "carol", "dave"]);
    let unread = |args: &[&str]| {
        let log = reading.home.run(&[&["--json", "log", "--unread"], args].concat());
        log.lines().map(|line| json_text(line, "text")).collect::<Vec<_>>()
    };
    assert_eq!((reading.home.run(&["peers", "--unread"]), unread(&[])), (String::new(), vec![]));
    reading.receive("bob", &["b1", "b2"]);
    reading.receive("carol", &["c1"]);
    reading.read("bob");
    reading.receive("bob", &["b3", "b4"]);
    // What is said and sent from here is nothing to be read.
    let bob = reading.key("bob");
    let mut history = reading.own.history(bob.into()).unwrap();
    history.store_files_sent(1, &[(1, "ours".into())]).unwrap();
    history.store_files_received(&[(1, "/theirs".into())]).unwrap();
    let before = fs::read(reading.own.home().notes_path()).unwrap();
    for _ in 0..2 {
        assert_eq!(reading.home.run(&["peers", "--unread"]), "bob 3\ncarol 1\n");
        assert_eq!(unread(&["carol"]), ["c1"]);
        let log = reading.home.run(&["log", "--unread"]);
        let ends = [" carol: c1", " bob: b3", " bob: b4", " * bob sent /theirs (1 B)"];
        assert!(log.lines().zip(ends).all(|(line, end)| line.ends_with(end)), "{log}");
        assert_eq!(log.lines().count(), 4);
    }
    assert_eq!(
        reading.home.run(&["--json", "peers", "--unread"]),
        "{\"event\":\"unread\",\"peer\":\"bob\",\"count\":3}\n{\"event\":\"unread\",\"peer\":\"carol\",\"count\":1}\n"
    );
    assert_eq!(unread(&["--limit", "1", "carol"]), ["c1"]);
    assert_eq!(unread(&["--grep", "b"]), ["b3", "b4"]);
    assert_eq!(fs::read(reading.own.home().notes_path()).unwrap(), before, "the marks are where they were");
    let mut follower = Process::start(reading.home.cmd(&["--json", "log", "--follow", "--unread", "carol"]));
    assert_eq!(next_text(&mut follower), "c1");
    reading.receive("carol", &["c2"]);
    assert_eq!(next_text(&mut follower), "c2");
    reading.read("bob");
    reading.read("carol");
    assert_eq!((reading.home.run(&["peers", "--unread"]), unread(&[])), (String::new(), vec![]));
    reading.receive("dave", &numbered(0, 1500));
    assert_eq!(reading.home.run(&["peers", "--unread"]), "dave 999\n");
    reading.home.fails(&["peers", "--unread", "list"], 2);
    reading.home.fails(&["log", "--unread", "--cursor", &reading.cursor()], 2);
}
