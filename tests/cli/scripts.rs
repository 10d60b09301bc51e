//! What scripts rely on, command by command: the exit status, data alone on stdout, the rest on stderr with `egoat: ` in
//! front, and with `--json` the objects that egoat(1) lists, field by field.

use crate::common;

use common::json::object;
use common::lan::Lan;
use common::tree::all_in;
use common::{Dead, EGOAT, Home, Node, Process, finish, json_number, json_text, pair, poll_until};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};

/// A port that the system chooses.
const FREE: &str = "127.0.0.1:0";

/// Every line of stderr is egoat's, in lower case and without a full stop.
fn is_in_style(stderr: &str) {
    for line in stderr.lines() {
        let said = line.strip_prefix("egoat: ").unwrap_or_else(|| panic!("{line}"));
        let said =
            said.trim_start_matches("error: ").trim_start_matches("hint: ").trim_start_matches("warning: ");
        assert!(!said.starts_with(char::is_uppercase) && !said.ends_with('.'), "{line}");
    }
}

#[test]
fn failures_say_nothing_on_stdout_and_have_their_status() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (nobody, nobody_else) = (Dead::new(), Dead::new());
    let (closed, file) = (nobody.addr.clone(), alice.file("a.txt", "a"));
    alice.run(&["peers", "add", "away", &bob.key(), &nobody_else.addr]);
    let link = format!("egoat:{}@{closed}", Home::new("carol").key());
    let cases: &[(i32, &[&str])] = &[
        (2, &["frob"]),
        (2, &["--frob"]),
        (2, &["chat", "nobody"]),
        (69, &["chat", "--listen", "127.0.0.1:0", &closed]),
        (2, &["serve", "--max-file", "x"]),
        (2, &["serve", "--listen", "x:y"]),
        (2, &["serve", "--listen", "70000"]),
        (2, &["serve", "--on-message", "/nonexistent"]),
        (1, &["serve", "--listen", "192.0.2.1:4628"]),
        (2, &["say"]),
        (2, &["say", "nobody", "hi"]),
        (2, &["say", "--wait", "x", "away", "hi"]),
        (69, &["say", &closed, "hi"]),
        (69, &["say", "nobody.invalid", "hi"]),
        (75, &["say", "--wait", "10ms", "away", "hi"]),
        (2, &["send", "away"]),
        (1, &["send", "away", "/nonexistent"]),
        (69, &["send", "away", &file]),
        (69, &["send", "--wait", "10ms", "away", &file]),
        (2, &["send", "--streams", "9", "away", &file]),
        (2, &["receive", "--from", "nobody"]),
        (69, &["-q", "receive", "--from", "away", "--timeout", "10ms", "--listen", "127.0.0.1:0"]),
        (2, &["invite", "--ttl", "0"]),
        (2, &["invite", "--ttl", "90"]),
        (2, &["say", "--wait", "5", "bob", "x"]),
        (2, &["say", "--expire", "5", "bob", "x"]),
        (2, &["send", "--wait", "5", "bob", "x"]),
        (2, &["receive", "--timeout", "5"]),
        (2, &["log", "--since", "5"]),
        (2, &["invite", "--as", "a/b"]),
        (2, &["join"]),
        (2, &["join", "egoat:abc"]),
        (69, &["join", &link]),
        (2, &["--proxy", "http://127.0.0.1:1", "id"]),
        (69, &["--proxy", "socks5://127.0.0.1:1", "say", &closed, "hi"]),
        (2, &["completions", "frob"]),
        (2, &["help", "frob"]),
        (2, &["peers", "show", "nobody"]),
        (2, &["peers", "add", "x", "y"]),
        (2, &["peers", "rename", "nobody", "x"]),
        (2, &["peers", "remove", "nobody"]),
        (2, &["peers", "set", "away", "frob=1"]),
        (1, &["peers", "accept"]),
        (2, &["log", "nobody"]),
        (2, &["log", "--since", "x"]),
        (2, &["outbox", "cancel", "x"]),
        (1, &["outbox", "cancel", "12"]),
        (2, &["outbox", "retry", "nobody"]),
        (69, &["outbox", "retry", "away"]),
        (69, &["fetch", "--strict"]),
        (69, &["status"]),
        (2, &["partial", "remove"]),
        (1, &["partial", "remove", "abc"]),
        (2, &["id", "--name", "a/b"]),
        (2, &["doctor", "nobody"]),
        (69, &["doctor", &closed]),
    ];
    for (code, args) in cases {
        for json in [&[][..], &["--json"]] {
            let (stdout, stderr) = alice.ends_with(&[json, args].concat(), b"", *code);
            // Programs are told what was done before that.
            let has_data = args.contains(&"-q") || args.contains(&"doctor");
            assert!(stdout.is_empty() || !json.is_empty() || has_data, "{args:?}: {stdout}");
            json.iter().for_each(|_| Printed::default().note(&stdout));
            assert!(stderr.contains("egoat: error: "), "{args:?}: {stderr}");
            is_in_style(&stderr);
        }
    }
}

/// A stdout whose reader has gone.
fn unread() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

#[test]
fn a_reader_that_has_gone_ends_no_work() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let addr = bob.own_port("127.0.0.1:0");
    let mut serve = Process::start_between(bob.cmd(&["serve", "--listen", &addr]), Stdio::null(), unread());
    let link = poll_until("a node that nobody listens to", || {
        let invite = bob.run(&["--json", "invite"]);
        invite.contains(&addr).then(|| json_text(&invite, "link"))
    });
    alice.run(&["join", &link]);
    for text in ["one", "two"] {
        alice.run(&["say", "--wait", "30s", "bob", text]);
    }
    assert_eq!(bob.received(), ["one", "two"]);
    assert!(serve.is_running());
    serve.kill9();

    let numbers = ["three", "four"].map(|text| {
        let said = alice.run(&["--json", "say", "bob", text]);
        json_number(&said, "number").to_string()
    });
    let cancel = alice.cmd(&["outbox", "cancel", &numbers[0], &numbers[1]]);
    for (command, code) in [(cancel, 0), (alice.cmd(&["doctor", "bob"]), 69)] {
        let (ended, ..) = Process::start_between(command, Stdio::null(), unread()).end();
        assert_eq!(ended, Some(code));
    }
    assert_eq!(alice.run(&["outbox"]), "");
    // Whoever only reads has read enough.
    let (ended, _, said) = Process::start_between(alice.cmd(&["log"]), Stdio::null(), unread()).end();
    assert_eq!((ended, said.as_str()), (Some(0), ""));
}

/// A disk may be full, or mounted for reading alone.
#[test]
fn what_only_shows_something_writes_nothing() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let key = bob.key();
    let nobody = Dead::new();
    alice.run(&["peers", "add", "bob", &key, &nobody.addr]);
    alice.run(&["say", "bob", "hi"]);
    fs::remove_file(alice.path("node.lock")).unwrap();
    // Of a message for which there was no room.
    let outbox = alice.path("outbox").join(key + ".log");
    fs::write(&outbox, "").unwrap();
    let files = || all_in(&alice.path(""));
    let before = files();
    for args in
        ["peers", "peers --unread", "peers show bob", "peers requests", "id", "outbox", "log", "partial"]
    {
        alice.run(&args.split(' ').collect::<Vec<_>>());
        assert_eq!(files(), before, "{args}");
    }
}

#[test]
fn an_empty_tzdir_is_none() {
    let home = Home::new("alice");
    home.run(&["peers", "add", "bob", &Home::new("bob").key()]);
    home.run(&["say", "bob", "hi"]);
    let listed = |zone: &str| {
        let mut command = home.cmd(&["outbox"]);
        command.env("TZ", zone).env("TZDIR", "");
        finish(command, b"", 0).0
    };
    if fs::exists("/usr/share/zoneinfo/Etc/GMT-3").unwrap() {
        assert_eq!(listed("Etc/GMT-3"), listed("MSK-3"));
    }
}

/// It is stdin or stdout for some commands; for the others, a word like any.
#[test]
fn a_lone_dash_is_a_word() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    pair(&bob, &alice);
    alice.run(&["say", "bob", "x", "-", "y"]);
    // Alone it stands for stdin.
    alice.pipe(&["say", "bob", "-"], b"-");
    alice.pipe(&["say", "--id", "-", "bob", "-", "--wait", "30s"], b"-");
    assert_eq!(bob.received(), ["x - y", "-", "-"]);
    assert_eq!(alice.run(&["log", "--grep", "-"]).lines().count(), 3);
    assert!(alice.run(&["--json", "log"]).lines().all(|line| !line.contains("u0000")));
    drop(node);
    for args in [&["peers", "show", "-"][..], &["peers", "rename", "-", "x"], &["log", "-"]] {
        assert!(alice.fails(args, 2).contains("is called -\n"), "{args:?}");
    }
    assert!(alice.fails(&["peers", "rename", "bob", "-"], 2).contains("- is no name"));
    assert!(alice.fails(&["fetch", "-"], 2).contains("unrecognized argument: -\n"));
    assert!(alice.fails(&["log", "bob", "x", "--unread"], 2).contains("unrecognized argument: x\n"));
    assert!(alice.fails(&["say", "bob", "-", "--wait"], 2).contains("no value provided for option '--wait'"));
    let mut command = Command::new(EGOAT);
    command.args(["--home", "-", "id"]).current_dir(alice.around());
    finish(command, b"", 0);
    assert!(alice.path("-").join("identity").is_file());
}

#[test]
fn a_home_that_cannot_be_is_a_disk_error() {
    let home = Home::new("alice");
    let file = home.file("a.txt", "a");
    for path in [file.as_str(), "/proc/egoat"] {
        let mut command = Command::new(EGOAT);
        command.args(["--home", path, "id"]);
        let (stdout, stderr) = finish(command, b"", 74);
        assert!(stdout.is_empty() && stderr.contains(path), "{stderr}");
    }
}

/// What succeeds puts on stdout what a script wants, and nothing else; `--quiet` leaves stderr empty.
#[test]
fn successes_have_data_alone_on_stdout() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let link = bob.run(&["-q", "invite"]);
    assert!(link.starts_with("egoat:") && link.lines().count() == 1, "{link}");
    let is_quiet = |home: &Home, args: &[&str]| {
        let (loud, notes) = home.ends_with(args, b"", 0);
        is_in_style(&notes);
        let (stdout, stderr) = home.ends_with(&[&["-q"], args].concat(), b"", 0);
        assert_eq!((stderr.as_str(), stdout.is_empty()), ("", loud.is_empty()), "{args:?}");
        stdout
    };
    assert!(alice.run(&["join", link.trim_end()]).starts_with("paired with bob, fingerprint "));
    assert_eq!(is_quiet(&alice, &["say", "bob", "hi"]), "");
    assert_eq!(is_quiet(&alice, &["say", "--wait", "30s", "bob", "hi"]), "");
    assert_eq!(is_quiet(&alice, &["send", "bob", &alice.file("a.txt", "a")]), "");
    assert_eq!(is_quiet(&alice, &["outbox"]), "");
    assert_eq!(is_quiet(&alice, &["partial"]), "");
    assert_eq!(is_quiet(&alice, &["peers", "requests"]), "");
    assert_eq!(is_quiet(&alice, &["fetch"]), "bob: delivered 0, received 0\n");
    assert!(is_quiet(&alice, &["peers"]).starts_with("bob  "));
    assert!(is_quiet(&alice, &["peers", "show", "bob"]).contains(&bob.key()));
    assert!(is_quiet(&alice, &["id"]).contains(&alice.key()));
    assert!(is_quiet(&alice, &["doctor", "bob"]).contains("ok       session"));
    assert!(is_quiet(&alice, &["help", "say"]).starts_with("Usage: egoat say"));
    assert!(is_quiet(&alice, &["completions", "bash"]).contains("complete -F _egoat egoat"));
    assert_eq!(is_quiet(&alice, &["log"]).lines().filter(|line| line.ends_with("-> bob: hi")).count(), 4);
    assert!(is_quiet(&alice, &["peers", "set", "bob", "quota=1G"]).contains("quota        1.0 GiB"));
    drop(node);
}

/// The events that egoat(1) lists, with the fields of each.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let man = fs::read_to_string("man/egoat.1").unwrap();
    let (_, section) = man.split_once(".Sh JSON").unwrap();
    let (table, _) = section.split_once(".El").unwrap();
    let rows =
        table.lines().filter_map(|line| line.strip_prefix(".It ")).filter(|row| !row.starts_with("Sy "));
    let row = |row: &str| {
        let (event, cells) = row.split_once(" Ta ").unwrap();
        (event.to_owned(), fields(cells))
    };
    rows.map(row).collect()
}

/// The names in a cell, without remarks in parentheses and without the commands that print them.
fn fields(cells: &str) -> BTreeSet<String> {
    let (mut depth, mut plain) = (0, String::new());
    for character in cells.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            character if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    let mut is_command = false;
    for word in plain.split([' ', ',', ';']).filter(|word| !word.is_empty()) {
        match word {
            "Cm" => is_command = true,
            "No" => is_command = false,
            "of" | "and" | "also" | "only" => {}
            word if !is_command => drop(names.insert(word.to_owned())),
            _ => {}
        }
    }
    names
}

/// All objects that were printed, by event, with the fields that were seen in any.
#[derive(Default)]
struct Printed(BTreeMap<String, BTreeSet<String>>);

impl Printed {
    fn note(&mut self, lines: &str) {
        for line in lines.lines() {
            let mut object = object(line);
            let event = object.remove("event").unwrap().as_str().unwrap().to_owned();
            self.0.entry(event).or_default().extend(object.into_iter().map(|(name, _)| name));
        }
    }

    fn of(&mut self, home: &Home, args: &[&str]) -> String {
        let lines = home.run(&[&["--json"], args].concat());
        self.note(&lines);
        lines
    }

    /// The next line of a command that goes on, up to one of this event.
    fn until(&mut self, process: &mut Process, event: &str) -> String {
        loop {
            let line = process.next_line().unwrap_or_else(|| panic!("no {event}: {}", process.said()));
            self.note(&line);
            if json_text(&line, "event") == event {
                return line;
            }
        }
    }
}

fn serve_json(home: &Home, address: &str, printed: &mut Printed) -> Node {
    // The connections of a node that is gone may hold its port for a moment.
    let (process, line) = poll_until("the port to be free", || {
        let args = ["--json", "serve", "--on-message", "true", "--listen", address];
        let mut process = Process::start(home.cmd(&args));
        process.next_line().map(|line| (process, line))
    });
    printed.note(&line);
    Node::from(process, json_text(&line, "address"))
}

/// Every event of the manual page is printed by somebody here, with all its fields, and none that is not there.
#[test]
fn objects_are_as_the_manual_page_has_them() {
    let mut printed = Printed::default();
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let mut node = serve_json(&bob, FREE, &mut printed);
    printed.of(&alice, &["id"]);
    printed.of(&alice, &["doctor"]);
    let link = json_text(&printed.of(&bob, &["invite"]), "link");
    printed.of(&alice, &["join", &link]);
    printed.until(&mut node, "paired");

    strangers(&mut printed, &bob, &mut node, &carol);
    let address = messages(&mut printed, &alice, &bob, &mut node);
    files(&mut printed, &alice, &bob, &mut node);
    sharing(&mut printed, &alice, &bob);
    status(&mut printed, &alice, &bob);
    partial(&mut printed, &alice, &carol);
    waiting(&mut printed, &alice, &address, &bob, node);

    for home in [&alice, &bob] {
        printed.of(home, &["log"]);
        printed.of(home, &["peers"]);
        printed.of(home, &["log", "--delete-before", "now", "--yes"]);
    }
    printed.of(&alice, &["demo"]);
    let args = ["--json", "window", "--no-open", "--port", "0", "--listen", FREE];
    let mut window = Process::start(alice.cmd(&args));
    printed.note(&window.next_line().unwrap());
    let mut expected = documented();
    if !chosen_port(&mut printed) {
        expected.remove("port");
    }
    // It takes a router: see tests/network/mapping.rs.
    expected.remove("mapped");
    assert_eq!(printed.0, expected);
}

/// Bob, whose node runs, shares a file, and Alice fetches it.
fn sharing(printed: &mut Printed, alice: &Home, bob: &Home) {
    let file = bob.file("shared.txt", "shared");
    let by_link = printed.of(bob, &["share", "--for", "1h", &file]);
    let by_name = printed.of(bob, &["share", "--to", "alice", &file]);
    assert!(
        by_name.contains("\"link\":null") && json_number(&by_link, "seconds") == 3600,
        "{by_link}{by_name}"
    );
    let listed = printed.of(bob, &["share", "list"]);
    assert!(listed.contains("\"to\":[],") && listed.contains("\"to\":[\"alice\"],"), "{listed}");
    printed.of(alice, &["get", "bob"]);
    let into = alice.path("shared");
    fs::create_dir(&into).unwrap();
    for what in [&[json_text(&by_link, "link")][..], &["bob".into(), "shared.txt".into()]] {
        let what: Vec<&str> = what.iter().map(String::as_str).collect();
        let got = printed.of(alice, &[&["get", "--into", into.to_str().unwrap()][..], &what].concat());
        assert!(got.contains("\"event\":\"file-received\",\"peer\":\"bob\""), "{got}");
    }
    printed.of(bob, &["share", "stop", &json_text(&by_link, "id"), &json_text(&by_name, "id")]);
}

/// A node that nobody has told where to listen; in a network of its own, else nothing is printed.
fn chosen_port(printed: &mut Printed) -> bool {
    let Some(lan) = Lan::new() else { return false };
    let dora = Home::new("dora");
    let mut node = Process::start(lan.cmd(dora.cmd(&["--json", "serve"])));
    printed.until(&mut node, "port");
    true
}

/// Carol is no peer: she dials, is noted, and others like her are counted.
fn strangers(printed: &mut Printed, bob: &Home, node: &mut Node, carol: &Home) {
    carol.fails(&["say", "--accept-new", &node.addr, "hi"], 77);
    printed.until(node, "request");
    printed.until(node, "refusals");
    printed.of(bob, &["peers", "requests"]);
}

/// Gives the address of Alice's node, which is gone again.
fn messages(printed: &mut Printed, alice: &Home, bob: &Home, node: &mut Node) -> String {
    printed.of(alice, &["say", "bob", "hi"]);
    printed.until(node, "received");
    // It connects when it has something to say, and when she serves.
    let mut alice_node = serve_json(alice, FREE, printed);
    bob.run(&["say", "alice", "hello"]);
    printed.until(node, "delivered");
    printed.until(&mut alice_node, "received");
    printed.of(alice, &["status"]);
    printed.until(&mut alice_node, "hook");
    printed.of(alice, &["peers", "--unread"]);
    alice_node.kill9();
    // It looks after the connection when it has something to say, and else after 20 seconds.
    bob.run(&["say", "alice", "are you there?"]);
    printed.until(node, "disconnected");
    alice_node.addr.clone()
}

fn files(printed: &mut Printed, alice: &Home, bob: &Home, node: &mut Node) {
    printed.of(alice, &["send", "bob", &alice.file("a.txt", "a")]);
    printed.until(node, "receiving");
    printed.until(node, "file-received");
    // A pipe that takes longer than a second shows how far it is.
    let mut pipe = Process::start(alice.cmd(&["--json", "send", "bob", "-"]));
    printed.until(&mut pipe, "progress");
    let (code, rest, _) = pipe.end();
    printed.note(&rest);
    assert_eq!(code, Some(0));
    let mut receive = Process::start(alice.cmd(&["--json", "receive", "--listen", "127.0.0.1:0"]));
    let link = json_text(&printed.until(&mut receive, "invite"), "link");
    bob.run(&["send", &link, &bob.file("b.txt", "b")]);
    let (code, rest, _) = receive.end();
    printed.note(&rest);
    assert_eq!(code, Some(0));
}

/// Bob's node while something waits, something is offered, and then it moves.
fn status(printed: &mut Printed, alice: &Home, bob: &Home) {
    let ghost = Home::new("ghost");
    bob.run(&["peers", "add", "ghost", &ghost.key()]);
    bob.run(&["say", "ghost", "are you there?"]);
    bob.run(&["peers", "set", "alice", "files=ask"]);
    let mut chat = Process::start(bob.cmd(&["chat"]));
    let offer = || {
        let mut pipe = Process::start(alice.cmd(&["send", "bob", "-"]));
        pipe.write(b"some");
        pipe
    };
    let mut pipe = offer();
    let mut until = |event: &str, meanwhile: &mut dyn FnMut()| {
        poll_until(event, || {
            meanwhile();
            let lines = printed.of(bob, &["status"]);
            lines.lines().find(|line| json_text(line, "event") == event).map(str::to_owned)
        })
    };
    let offer = until("offer", &mut || {
        // It was refused if the chat was not there yet to be asked.
        if !pipe.is_running() {
            pipe = offer();
        }
    });
    chat.write(format!("/accept {}\n", json_number(&offer, "number")).as_bytes());
    until("transfer", &mut || ());
    for event in ["listening", "waiting", "disk"] {
        until(event, &mut || ());
    }
    assert_eq!((pipe.end().0, chat.end().0), (Some(0), Some(0)));
    bob.run(&["peers", "set", "alice", "files="]);
    bob.run(&["peers", "remove", "ghost"]);
}

/// Carol takes a part of a stream, and loses the sender.
fn partial(printed: &mut Printed, alice: &Home, carol: &Home) {
    let mut node = carol.serve();
    pair(carol, alice);
    let mut pipe = Process::start(alice.cmd(&["send", "carol", "-"]));
    pipe.write(&[7; 3 << 20]);
    node.wait_for("receiving ");
    let list = poll_until("something that came in part", || {
        let list = carol.run(&["--json", "partial"]);
        (!list.is_empty()).then_some(list)
    });
    pipe.kill9();
    printed.note(&list);
    node.kill9();
    printed.of(carol, &["partial", "remove", "--all"]);
    alice.run(&["peers", "remove", "carol"]);
}

/// Bob goes: what is for him waits, and some of it in vain.
fn waiting(printed: &mut Printed, alice: &Home, address: &str, bob: &Home, mut node: Node) {
    let addr = node.addr.clone();
    node.kill9();
    printed.of(alice, &["say", "bob", "waits"]);
    printed.of(alice, &["say", "--expire", "1ms", "bob", "in vain"]);
    printed.of(alice, &["send", "--queue", "bob", &alice.file("q.txt", "q")]);
    printed.note(&alice.ends_with(&["--json", "send", "bob", &alice.file("t.txt", "t")], b"", 69).0);
    let cancelled = printed.of(alice, &["say", "bob", "taken back"]);
    let number = object(cancelled.trim_end())["number"].to_string();
    printed.of(alice, &["outbox"]);
    printed.of(alice, &["outbox", "cancel", &number]);
    printed.of(alice, &["fetch"]);
    let mut node = bob.serve_again_at(&addr);
    printed.of(alice, &["fetch"]);
    // Its own queue goes out by its node.
    printed.of(bob, &["send", "--queue", "alice", &bob.file("b.bin", "b")]);
    node.kill9();
    let mut alice_node = serve_json(alice, address, printed);
    let mut node = serve_json(bob, &addr, printed);
    printed.until(&mut node, "sent");
    printed.until(&mut alice_node, "file-received");
}
