//! What is shown of a transfer: a bar on a terminal, lines elsewhere, objects for programs, and how it went.

use crate::common;

use common::files::{CHUNK, MIB, landed_in, names_in, sample};
use common::gate::Gate;
use common::proxy::{How, Plan, Way};
use common::route::{Blow, Route, fast_dir};
use common::tmux::Terminal;
use common::{EGOAT, Home, Node, Process, json_number, json_text, poll_until};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// More than the sockets between sender and receiver hold, so that a gate stops the sender too.
const LARGE: u64 = 48 << 20;
/// What a gate lets through: the handshake and the first chunks.
const SOME: u64 = 1 << 20;
/// Takes the place of what was drawn.
const CLEAR: &str = "\r\x1b[K";

/// Alice, whose files to Bob stop at a gate.
struct Held {
    gate: Gate,
    alice: Home,
    bob: Home,
    _node: Node,
}

impl Held {
    fn new() -> Held {
        let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
        let node = bob.serve();
        let gate = Gate::before(&node.addr, SOME);
        alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
        bob.run(&["peers", "add", "alice", &alice.key()]);
        Held { gate, alice, bob, _node: node }
    }

    fn start(&self, args: &[&str]) -> Process {
        Process::start(self.alice.cmd(args))
    }
}

/// A file of zeros that takes no room.
fn large(home: &Home, name: &str) -> String {
    let path = home.file(name, "");
    File::options().write(true).open(&path).unwrap().set_len(LARGE).unwrap();
    path
}

/// Runs a command of a home on a terminal, which says how that ended.
fn run_on(terminal: &Terminal, home: &Home, args: &str) {
    terminal.type_line("clear");
    terminal.type_line(&format!("'{EGOAT}' --home '{}' {args}; echo ended:$?", home.path("").display()));
}

/// What was drawn over something, but for the last, of which a part may be missing; what was said so is none of it.
fn drawn(terminal: &Terminal) -> Vec<String> {
    let written = terminal.written();
    let parts = written.split(CLEAR).skip(1);
    let mut lines: Vec<_> = parts.map(|part| part.split(['\r', '\n']).next().unwrap().to_owned()).collect();
    lines.pop();
    lines.retain(|line| !line.starts_with("egoat: "));
    lines
}

/// What is on the screen, with each line that was broken between words as one.
fn whole_lines(screen: &str) -> String {
    screen.replace("\n    ", " ")
}

fn lines_with<'a>(screen: &'a str, text: &str) -> Vec<&'a str> {
    screen.lines().filter(|line| line.contains(text)).collect()
}

#[test]
fn one_bar_is_drawn_over_and_over_and_goes() {
    let Some(terminal) = Terminal::open(80) else { return };
    let held = Held::new();
    run_on(&terminal, &held.alice, &format!("send bob '{}'", large(&held.alice, "large.bin")));
    terminal.wait_for(" of 48.0 MiB");
    poll_until("it to be drawn again", || (drawn(&terminal).len() > 5).then_some(()));
    let screen = terminal.screen();
    let [line] = lines_with(&screen, " %  ")[..] else { panic!("{screen}") };
    assert!(line.starts_with(' ') && line.len() < 80, "{line:?}");
    let (bar, rest) = line.split_once(']').unwrap();
    let (_, bar) = bar.split_once(" %  [").unwrap();
    assert!(bar.len() >= 10 && bar.trim_matches('=').trim_end() == ">", "{line:?}");
    assert!(rest.contains(" MiB of 48.0 MiB  ") && rest.contains("/s"), "{line:?}");
    let lines = drawn(&terminal);
    assert!(lines.iter().any(|line| line.contains("iB/s  ") && line.ends_with(" s left")), "{lines:?}");
    assert!(lines.iter().all(|line| line.is_ascii() && line.len() < 80), "{lines:?}");

    held.gate.open();
    let screen = whole_lines(&terminal.wait_for("ended:0"));
    assert!(lines_with(&screen, " %  ").is_empty(), "{screen}");
    let line = lines_with(&screen, "large.bin").pop().unwrap();
    let start = format!("egoat: sent large.bin (48.0 MiB) to bob at {} in ", held.gate.addr);
    assert!(
        line.starts_with(&start) && line.contains("/s, ") && line.trim_end().ends_with(" lanes"),
        "{line}"
    );
}

#[test]
fn a_tree_has_one_bar_for_all_of_it() {
    let Some(terminal) = Terminal::open(120) else { return };
    let held = Held::new();
    fs::create_dir(held.alice.path("dir")).unwrap();
    large(&held.alice, "dir/large.bin");
    held.alice.file("dir/a", "a");
    held.alice.file("dir/b", "b");
    let dir = held.alice.path("dir").to_str().unwrap().to_owned();
    run_on(&terminal, &held.alice, &format!("send --streams 1 bob '{dir}'"));
    let screen = terminal.wait_for(" of 48.0 MiB  2 of 3 files  ");
    assert_eq!(lines_with(&screen, " files").len(), 1, "{screen}");
    held.gate.open();
    let screen = terminal.wait_for("ended:0");
    assert!(lines_with(&screen, " files").is_empty(), "{screen}");
    assert!(lines_with(&screen, "sent dir/ (48.0 MiB) to bob at ")[0].trim_end().ends_with("/s, 1 lane"));
}

#[test]
fn no_line_is_longer_than_the_terminal_is_wide() {
    let held = Held::new();
    let file = large(&held.alice, "large.bin");
    let sizes = [(12, 0), (25, 1), (80, 1)];
    let terminals: Vec<_> = sizes.iter().filter_map(|(columns, _)| Terminal::open(*columns)).collect();
    for (terminal, (columns, _)) in terminals.iter().zip(sizes) {
        run_on(terminal, &held.alice, &format!("send --name {columns}.bin bob '{file}'"));
    }
    for (terminal, (columns, bars)) in terminals.iter().zip(sizes) {
        poll_until("it to be drawn", || (drawn(terminal).len() > 3).then_some(()));
        assert!(drawn(terminal).iter().all(|line| line.len() < columns), "{:?}", drawn(terminal));
        assert_eq!(lines_with(&terminal.screen(), "[").len(), bars, "{}", terminal.screen());
    }
    // Another size while it goes on.
    let resize = |columns: &str, fits: fn(usize) -> bool| {
        for terminal in &terminals {
            terminal.tmux(&["resize-window", "-x", columns]).unwrap();
        }
        for terminal in &terminals {
            poll_until("it to fit", || fits(drawn(terminal).pop().unwrap().len()).then_some(()));
        }
    };
    resize("18", |length| length < 18);
    resize("100", |length| length > 80);
}

#[test]
fn what_is_said_takes_the_place_of_the_bar() {
    let Some(terminal) = Terminal::open(100) else { return };
    let route = Route::new();
    route.proxy.plan(|| Plan::cut(Way::ToNode, SOME, How::Hang));
    let file = large(&route.alice, "large.bin");
    run_on(&terminal, &route.alice, &format!("send --wait 1m --streams 1 bob '{file}'"));
    terminal.wait_for(" of 48.0 MiB");
    route.mend();
    let screen = whole_lines(&terminal.wait_for("ended:0"));
    let said = lines_with(&screen, "trying again");
    assert!(said.len() == 1 && said[0].starts_with("egoat: connection to bob lost"), "{screen}");
    assert!(lines_with(&screen, " %  ").is_empty(), "{screen}");
    assert!(lines_with(&screen, "were there already")[0].starts_with("egoat: sent large.bin"), "{screen}");
}

#[test]
fn what_is_compared_for_a_resume_is_shown() {
    let Some(terminal) = Terminal::open(80) else { return };
    let mut route = Route::new();
    // One run of 64 chunks that is proven by a hash, and some more.
    let file = route.alice.file("large.bin", sample(20 * MIB));
    let bytes = (70 * CHUNK + CHUNK / 2) as u64;
    route.send_in_part(bytes, 70, &["--streams", "1", &file], Blow::Sender);
    // The second one does not come.
    route.proxy.plan(|| Plan::cut(Way::ToDialler, 1_200 + 23 + 67, How::Hang));
    run_on(&terminal, &route.alice, &format!("send --wait 1m --streams 1 bob '{file}'"));
    let screen = terminal.wait_for("comparing what is there already, 15.0 MiB so far");
    assert_eq!(lines_with(&screen, "comparing").len(), 1, "{screen}");
    route.mend();
    let screen = terminal.wait_for("ended:0");
    assert!(lines_with(&screen, "comparing").is_empty(), "{screen}");
    assert!(screen.contains(", 16.4 MiB of it were there already"), "{screen}");
    assert!(fs::read(route.landing.join("large.bin")).unwrap() == sample(20 * MIB));
}

#[test]
fn a_receiver_shows_the_same() {
    let Some(terminal) = Terminal::open(100) else { return };
    let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let into = bob.path("into").to_str().unwrap().to_owned();
    run_on(&terminal, &bob, &format!("receive --from alice --listen 127.0.0.1:0 --into '{into}'"));
    let screen = terminal.wait_for("waiting for files from alice at 127.0.0.1:");
    let addr = lines_with(&screen, "waiting for files")[0].trim_end().rsplit_once(' ').unwrap().1;
    let gate = Gate::before(addr, SOME);
    alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
    let mut send = Process::start(alice.cmd(&["send", "bob", &large(&alice, "large.bin")]));
    terminal.wait_for("take this? [y/N]");
    terminal.type_line("y");
    terminal.wait_for(" of 48.0 MiB");
    poll_until("it to be drawn again", || (drawn(&terminal).len() > 5).then_some(()));
    let screen = terminal.screen();
    assert!(lines_with(&screen, " %  [")[0].contains(" MiB of 48.0 MiB  "), "{screen}");
    gate.open();
    assert_eq!(send.end().0, Some(0));
    let screen = terminal.wait_for("ended:0");
    assert!(lines_with(&screen, " %  ").is_empty(), "{screen}");
    let lines = lines_with(&screen, "large.bin");
    let [_offered, said, path] = lines[..] else { panic!("{screen}") };
    let start = "egoat: received large.bin (48.0 MiB) from alice at 127.0.0.1:";
    assert!(said.starts_with(start) && said.contains(" lane"), "{said}");
    assert_eq!(path.trim_end(), format!("{into}/large.bin"));
}

#[test]
fn quiet_shows_nothing() {
    let Some(terminal) = Terminal::open(200) else { return };
    let held = Held::new();
    run_on(&terminal, &held.alice, &format!("-q send bob '{}'", large(&held.alice, "large.bin")));
    poll_until("some of it to arrive", || common::files::staged_in(&held.bob.path("downloads/alice")).pop());
    held.gate.open();
    let screen = terminal.wait_for("ended:0");
    assert!(!terminal.written().contains(CLEAR) && !screen.contains("egoat: "), "{screen}");
}

/// The one test that waits for them.
#[test]
fn a_line_is_said_every_ten_seconds_without_a_terminal() {
    let held = Held::new();
    let bob = Home::new_in(&fast_dir(), "bob");
    bob.run(&["peers", "add", "alice", &held.alice.key()]);
    let mut receive = Process::start(bob.cmd(&["receive", "--from", "alice", "--listen", "127.0.0.1:0"]));
    let line = receive.wait_to_say("waiting for files from alice at ");
    let gate = Gate::before(line.rsplit_once(' ').unwrap().1, SOME);
    held.alice.run(&["peers", "add", "robert", &bob.key(), &gate.addr]);
    let file = large(&held.alice, "large.bin");
    let mut quiet = held.start(&["-q", "send", "bob", "--name", "quiet.bin", &file]);
    let mut to_receive = held.start(&["send", "robert", &file]);
    let mut send = held.start(&["send", "bob", &file]);
    let mut pipe = held.start(&["send", "bob", "--name", "d.tar", "-"]);
    pipe.write(&[0; 1000]);
    for process in [&send, &to_receive, &receive] {
        let line = process.wait_to_say("egoat: large.bin: ");
        assert!(line.contains(" %, ") && line.contains(" MiB of 48.0 MiB, "), "{line}");
    }
    assert!(
        pipe.wait_to_say("egoat: d.tar: ").ends_with("egoat: d.tar: 1000 B, 99 B/s")
            || !pipe.said().contains('%')
    );
    held.gate.open();
    gate.open();
    for process in [&mut send, &mut to_receive, &mut receive, &mut pipe] {
        let (code, _, said) = process.end();
        assert!(code == Some(0) && !said.contains(['\r', '\x1b']), "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("egoat: sent ") || last.starts_with("egoat: received large.bin "), "{said}");
    }
    let (code, out, said) = quiet.end();
    assert_eq!((code, out.as_str(), said.as_str()), (Some(0), "", ""));
}

#[test]
fn a_short_transfer_says_how_it_went_and_no_more() {
    let route = Route::new();
    let (out, said) = route.alice.ends_with(&["send", "bob", &route.alice.file("a.txt", "abc")], b"", 0);
    assert_eq!((out.as_str(), said.lines().count()), ("", 1), "{said}");
    let start = format!("egoat: sent a.txt (3 B) to bob at {} in ", route.proxy.addr);
    assert!(said.starts_with(&start) && said.ends_with("B/s, 1 lane\n"), "{said}");
    let (out, said) = route.alice.ends_with(&["-q", "send", "bob", &route.alice.file("b.txt", "b")], b"", 0);
    assert_eq!((out.as_str(), said.as_str()), ("", ""));
    assert_eq!(names_in(&route.landing), ["a.txt", "b.txt"]);
}

#[test]
fn programs_get_an_object_every_second_and_one_at_the_end() {
    let held = Held::new();
    let file = large(&held.alice, "large.bin");
    let mut send = held.start(&["--json", "send", "bob", "--streams", "2", &file]);
    let mut before = (0, 0);
    for _ in 0..2 {
        let line = send.next_line().unwrap();
        assert_eq!(
            ["event", "peer", "title"].map(|key| json_text(&line, key)),
            ["progress", "bob", "large.bin"].map(str::to_owned)
        );
        assert_eq!(["total", "checked", "files"].map(|key| json_number(&line, key)), [LARGE, 0, 0]);
        let now = (json_number(&line, "milliseconds"), json_number(&line, "bytes"));
        assert!(now.0 >= before.0 + 500 && now.1 >= before.1 && now.1 < LARGE, "{line}");
        before = now;
    }
    let mut pipe = held.start(&["--json", "send", "bob", "-"]);
    assert!(pipe.next_line().unwrap().contains("\"total\":null"));
    held.gate.open();
    let (code, out, said) = send.end();
    let line = out.lines().last().unwrap();
    assert_eq!(
        ["event", "peer", "title", "address"].map(|key| json_text(line, key)),
        ["sent", "bob", "large.bin", &held.gate.addr].map(str::to_owned)
    );
    assert_eq!(["files", "bytes", "held"].map(|key| json_number(line, key)), [1, LARGE, 0]);
    assert!((1..=2).contains(&json_number(line, "lanes")), "{line}");
    assert!(json_number(line, "milliseconds") >= before.0, "{line}");
    // People are told as well.
    assert!(code == Some(0) && said.starts_with("egoat: sent large.bin (48.0 MiB) to bob at "), "{said}");
    assert_eq!(pipe.end().0, Some(0));
}

#[test]
fn a_receivers_objects_tell_the_same() {
    let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let args = ["--json", "receive", "--from", "alice", "--listen", "127.0.0.1:0"];
    let mut receive = Process::start(bob.cmd(&args));
    let line = receive.wait_to_say("waiting for files from alice at ");
    let gate = Gate::before(line.rsplit_once(' ').unwrap().1, SOME);
    alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
    let mut send = Process::start(alice.cmd(&["send", "bob", &large(&alice, "large.bin")]));
    let line = receive.next_line().unwrap();
    assert_eq!((json_text(&line, "event"), json_text(&line, "peer")), ("progress".into(), "alice".into()));
    assert_eq!(json_number(&line, "total"), LARGE);
    gate.open();
    let (code, out, _) = receive.end();
    let line = out.lines().last().unwrap();
    assert_eq!((code, json_text(line, "event")), (Some(0), "file-received".into()));
    assert_eq!(json_number(line, "size"), LARGE);
    assert_eq!(send.end().0, Some(0));
}

/// How often the thread that tells how far a transfer is has gone to sleep.
fn naps(process: &Process) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", process.child.id())).unwrap();
    let mut statuses =
        threads.filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).ok());
    let status = statuses.find(|status| status.starts_with("Name:\tprogress\n")).unwrap();
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

/// A reader such as head(1), which has enough after the first line.
#[test]
fn a_transfer_goes_on_when_nobody_reads_how_far_it_is() {
    let held = Held::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let command = held.alice.cmd(&["--json", "send", "bob", &large(&held.alice, "large.bin")]);
    let mut send = Process::start_between(command, Stdio::null(), writer.into());
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert_eq!(json_text(&line, "event"), "progress");
    // There is more to be said meanwhile. The first nap may be the one after the line that was read.
    let before = naps(&send);
    poll_until("another object that nobody reads", || {
        assert!(send.is_running());
        (naps(&send) >= before + 2).then_some(())
    });
    held.gate.open();
    let (code, _, said) = send.end();
    assert_eq!(code, Some(0), "{said}");
    let landed = held.bob.path("downloads/alice/large.bin");
    assert_eq!(fs::metadata(landed).unwrap().len(), LARGE);
}

#[test]
fn a_receiver_of_which_only_the_link_is_read_takes_all() {
    let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
    let (reader, writer) = std::io::pipe().unwrap();
    let into = bob.path("into");
    let args = ["receive", "--listen", "127.0.0.1:0", "--into", into.to_str().unwrap()];
    let mut receive = Process::start_between(bob.cmd(&args), Stdio::null(), writer.into());
    let mut link = String::new();
    BufReader::new(reader).read_line(&mut link).unwrap();
    let files = ["a.txt", "b.txt", "c.txt"].map(|name| alice.file(name, name));
    alice.run(&["send", link.trim_end(), &files[0], &files[1], &files[2]]);
    assert_eq!(receive.end().0, Some(0));
    assert_eq!(landed_in(&into), ["a.txt", "b.txt", "c.txt"]);
}
