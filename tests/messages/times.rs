//! Times, and the numbers of messages, which are not times: clocks that are wrong, and peers that name what numbers they
//! like (egoat-protocol(7), Numbers; egoat-files(5), HISTORY and OUTBOX).

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use crate::common::clock::Clock;
use crate::common::rogue::{Line, Rogue};
use crate::common::{Home, Node, Process, by, finish, json_number, json_text, pair, poll_until, untimed};
use egoat::time::now_micros;
use egoat::wire::features::Features;
use egoat::wire::message::{Kind, Message};

const HOUR: u64 = 3_600_000_000;

/// A field of each line of the log; `null` as it stands.
fn logged(home: &Home, args: &[&str], field: &str) -> Vec<(String, String)> {
    let log = home.run(&[&["--json", "log"], args].concat());
    let value = |line: &str| {
        let (_, rest) = line.split_once(&format!("\"{field}\":")).unwrap_or_else(|| panic!("{line}"));
        rest.split([',', '}']).next().unwrap().to_owned()
    };
    log.lines().map(|line| (json_text(line, "text"), value(line))).collect()
}

fn are_of_today(times: &[(String, String)], since: u64, texts: &[&str]) {
    assert_eq!(times.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), texts);
    for (text, time) in times {
        let time: u64 = time.parse().unwrap_or_else(|_| panic!("{text}: {time}"));
        assert!((since..=now_micros()).contains(&time), "{text}: {time}");
    }
}

#[test]
fn a_clock_that_was_ahead_once_is_forgotten() {
    let start = now_micros();
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (bob_node, alice_node) = (bob.serve(), alice.serve());
    pair(&bob, &alice);
    drop(alice_node);
    let clock = Clock::new(bob.path("clock")).expect("faketime is here");
    clock.jump("+26h");
    clock.run(&alice, &["say", "--wait", "20s", "bob", "early"]);
    alice.run(&["say", "--wait", "20s", "bob", "later"]);
    drop(bob_node);
    alice.run(&["say", "bob", "waits"]);
    let outbox = alice.run(&["--json", "outbox"]);
    assert!(json_number(&outbox, "age") < 60, "{outbox}");

    are_of_today(&logged(&bob, &[], "time"), start, &["early", "later"]);
    are_of_today(&logged(&bob, &["--since", "1h"], "time"), start, &["early", "later"]);
    assert_eq!(logged(&bob, &[], "said")[0].1, "null", "nobody can have said it tomorrow");
    let sent = logged(&alice, &[], "time");
    assert_eq!(sent[0], ("early".to_owned(), "null".to_owned()), "it is not known when that was");
    are_of_today(&sent[1..], start, &["later"]);
    assert!(alice.run(&["log"]).starts_with("????-??-?? ??:??:?? -> bob: early\n"));
}

#[test]
fn the_other_direction_has_the_time_of_its_own_clock() {
    let start = now_micros();
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = alice.serve();
    let _bob_node = bob.serve();
    pair(&bob, &alice);
    let clock = Clock::new(bob.path("clock")).expect("faketime is here");
    node.kill9();
    let words: Vec<&str> = clock.words.iter().map(String::as_str).collect();
    clock.jump("+26h");
    let ahead = alice.serve_again_by(&words, &node.addr);
    bob.run(&["say", "--wait", "20s", "alice", "one"]);
    drop(ahead);
    let _node = alice.serve_again_at(&node.addr);
    bob.run(&["say", "--wait", "20s", "alice", "two"]);
    let log = logged(&alice, &[], "time");
    assert_eq!(log[0].1, "null");
    are_of_today(&log[1..], start, &["two"]);
    are_of_today(&logged(&bob, &[], "time"), start, &["one", "two"]);
}

/// Bob's node, and a peer of his that names the numbers that a test likes.
struct Field {
    bob: Home,
    node: Node,
    key: String,
    peer: Rogue,
}

impl Field {
    fn new(features: Features) -> Field {
        let (bob, peer) = (Home::new("bob"), Rogue::new(17).with_features(features));
        bob.run(&["peers", "add", "mallory", &peer.key()]);
        let (node, key) = (bob.serve(), bob.key());
        Field { bob, node, key, peer }
    }

    /// Collects, and says that it holds everything up to this number.
    fn pull(&self, held: u64) -> Line {
        let mut line = self.peer.dial(&self.node.addr, &self.key, Kind::Pull);
        line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
        line.say(&Message::Held(held));
        line.expect(&Message::Accept);
        line
    }

    /// The length of Bob's outbox, and its inode.
    fn outbox(&self) -> (u64, u64) {
        use std::os::unix::fs::MetadataExt;
        let file = fs::metadata(self.bob.path("outbox").join(format!("{}.log", self.peer.key()))).unwrap();
        (file.len(), file.ino())
    }
}

/// The number of the text that comes next.
fn next_text(line: &mut Line, wanted: &[u8]) -> u64 {
    let (kind, body) = line.read().expect("a text");
    match Message::decode(kind, &body) {
        Ok(Message::Text { number, text, .. }) if text == wanted => number,
        other => panic!("{kind}: {other:?}"),
    }
}

#[test]
fn a_number_of_another_century_is_no_time() {
    let start = now_micros();
    let field = Field::new(Features::NONE);
    let held = 1 << 54;
    field.bob.run(&["say", "mallory", "one"]);
    let mut line = field.pull(held);
    let number = next_text(&mut line, b"one");
    assert!(number > held);
    let outbox = field.bob.run(&["--json", "outbox"]);
    assert!(json_number(&outbox, "number") == number && json_number(&outbox, "age") < 60, "{outbox}");
    line.say(&Message::Ack(number));
    poll_until("it to be settled", || field.bob.run(&["outbox"]).is_empty().then_some(()));
    line.expect(&Message::Ping);
    line.say(&Message::Pong);
    field.bob.run(&["say", "mallory", "two"]);
    let next = next_text(&mut line, b"two");
    assert!(next > number);
    line.say(&Message::Ack(next));
    poll_until("it to be settled", || field.bob.run(&["outbox"]).is_empty().then_some(()));
    are_of_today(&logged(&field.bob, &["--since", "1h"], "time"), start, &["one", "two"]);
}

#[test]
fn ever_higher_numbers_are_not_followed() {
    let field = Field::new(Features::NONE);
    field.bob.run(&["say", "mallory", "one"]);
    let mut held = 1 << 54;
    for _ in 0..2 {
        let mut line = field.pull(held);
        held = next_text(&mut line, b"one") + 1000;
    }
    let before = field.outbox();
    for _ in 0..20 {
        assert_eq!(field.pull(held).expect_end(), [0; 0]);
        held += 1000;
    }
    assert_eq!(field.outbox(), before);
    let outbox = field.bob.run(&["outbox"]);
    assert!(outbox.contains(" -> mallory: one"), "{outbox}");
}

#[test]
fn a_cancelled_message_that_the_peer_has_all_the_same_is_delivered() {
    let field = Field::new(Features::NONE);
    let texts = ["one", "two", "three"];
    texts.iter().for_each(|text| drop(field.bob.run(&["say", "mallory", text])));
    let mut line = field.pull(0);
    let numbers: Vec<u64> = texts.iter().map(|text| next_text(&mut line, text.as_bytes())).collect();
    drop(line);
    field.bob.run(&["say", "mallory", "four"]);
    let fourth = json_number_of(&field.bob, "four");
    for number in [numbers[0], numbers[1], fourth] {
        field.bob.run(&["outbox", "cancel", &number.to_string()]);
    }
    // It has the first one alone: the second was on its way as well, but did not arrive.
    let mut line = field.pull(numbers[0]);
    assert_eq!(next_text(&mut line, b"three"), numbers[2]);
    poll_until("the first", || (field.bob.delivered() == ["one"]).then_some(()));
    line.say(&Message::Ack(numbers[2]));
    poll_until("the last", || (field.bob.delivered() == ["one", "three"]).then_some(()));
    let log = field.bob.run(&["log"]);
    assert_eq!(log.matches("(cancelled)").count(), 3, "{log}");
}

/// The first is lost and then cancelled; the second arrives, but its acknowledgement does not. What the peer holds then is a
/// number above that of the first.
#[test]
fn a_cancelled_message_that_was_lost_is_not_delivered() {
    let field = Field::new(Features::NONE);
    field.bob.run(&["say", "mallory", "lost"]);
    let mut line = field.pull(0);
    let lost = next_text(&mut line, b"lost");
    drop(line);
    field.bob.run(&["outbox", "cancel", &lost.to_string()]);
    field.bob.run(&["say", "mallory", "arrives"]);
    let mut line = field.pull(0);
    let arrived = next_text(&mut line, b"arrives");
    drop(line);
    let mut line = field.pull(arrived);
    line.expect(&Message::Ping);
    poll_until("the second", || (field.bob.delivered() == ["arrives"]).then_some(()));
    assert_eq!(field.bob.run(&["outbox"]), "");
    let log = field.bob.run(&["log"]);
    assert!(log.contains("(cancelled): lost") && log.lines().count() == 2, "{log}");
}

fn json_number_of(home: &Home, text: &str) -> u64 {
    let outbox = home.run(&["--json", "outbox"]);
    let line = outbox.lines().find(|line| json_text(line, "text") == text).expect("it waits");
    json_number(line, "number")
}

#[test]
fn a_peer_says_when_it_said_something() {
    let field = Field::new(Features::SAID);
    let mut line = field.peer.session(&field.node.addr, &field.key, Kind::Push);
    line.expect(&Message::Held(0));
    let now = now_micros();
    let times = [now - 5 * HOUR, now + HOUR / 2, now + 2 * HOUR, u64::MAX, 0];
    for (number, said) in (1..).zip(times) {
        line.say(&Message::Text { number, said: Some(said), text: number.to_string().as_bytes() });
        line.expect(&Message::Ack(number));
    }
    let said: Vec<String> = logged(&field.bob, &[], "said").into_iter().map(|(_, said)| said).collect();
    assert_eq!(
        said,
        [times[0].to_string(), times[1].to_string(), "null".into(), "null".into(), "null".into()]
    );
    // And it is told when Bob does.
    let since = now_micros();
    field.bob.run(&["say", "mallory", "hi"]);
    let mut line = field.pull(0);
    let (kind, body) = line.read().unwrap();
    let Ok(Message::Text { said: Some(said), text: b"hi", .. }) =
        Message::decode_with(Features::SAID, kind, &body)
    else {
        panic!("{kind}: {body:?}")
    };
    assert!((since..=now_micros()).contains(&said));
}

/// What a node prints first into this file, and what it says on stderr, there too.
fn printed(home: &Home, log: File, journal: Option<String>) -> String {
    let mut command = home.cmd(&["serve", "--listen", "127.0.0.1:0"]);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    match journal {
        Some(journal) => command.env("JOURNAL_STREAM", journal),
        None => command.env_remove("JOURNAL_STREAM"),
    };
    let mut node = command.spawn().unwrap();
    let read = |text: &str| {
        let shown = fs::read_to_string(home.path("shown")).unwrap();
        (shown.contains(text) && shown.ends_with('\n')).then_some(shown)
    };
    poll_until("the first line", || read("listening on "));
    fs::write(home.path("peers"), "not a line\n").unwrap();
    let shown = poll_until("an error", || read("home/peers"));
    node.kill().unwrap();
    node.wait().unwrap();
    fs::write(home.path("peers"), "").unwrap();
    shown
}

#[test]
fn lines_of_serve_have_times_unless_a_journal_has_them() {
    let home = Home::new("alice");
    let log = || File::create(home.path("shown")).unwrap();
    let of = |log: &File| log.metadata().map(|file| format!("{}:{}", file.dev(), file.ino())).unwrap();
    for (journal, is_timed) in [(None, true), (Some("8:1".to_owned()), true), (Some(of(&log())), false)] {
        let shown = printed(&home, log(), journal.clone());
        for line in shown.lines().filter(|line| !line.starts_with(' ')) {
            let line = line.strip_prefix("egoat: ").unwrap_or(line);
            assert_eq!(untimed(line) != line, is_timed, "{journal:?}: {shown}");
        }
    }
    let mut command = home.cmd(&["--json", "serve", "--listen", "127.0.0.1:0"]);
    command.env_remove("JOURNAL_STREAM");
    assert!(Process::start(command).next_line().unwrap().starts_with("{\"event\":\"listening\""));
}

/// What a command says whose clock is wrong as well.
fn by_clock(clock: &Clock, home: &Home, args: &[&str]) -> String {
    let words: Vec<&str> = clock.words.iter().map(String::as_str).collect();
    finish(by(&words, &home.cmd(args)), b"", 0).0
}

#[test]
fn how_long_a_peer_is_here_does_not_depend_on_the_clock() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = alice.serve();
    let _bob_node = bob.serve();
    pair(&bob, &alice);
    node.kill9();
    let clock = Clock::new(alice.path("clock")).expect("faketime is here");
    let words: Vec<&str> = clock.words.iter().map(String::as_str).collect();
    let _node = alice.serve_again_by(&words, &node.addr);
    alice.run(&["say", "--wait", "20s", "bob", "hi"]);
    // libfaketime gives the true time now and then, while it reads its file.
    let here = |status: &dyn Fn() -> String, is_good: fn(&str) -> bool| {
        poll_until("bob to be here as he is", || {
            status().lines().find(|line| line.contains("here") && is_good(line)).map(drop)
        });
    };
    for jump in ["+26h", "-26h"] {
        clock.jump(jump);
        let status = || by_clock(&clock, &alice, &["status"]);
        here(&status, |line| line.contains("bob, for ") && !line.replace(", direct", "").contains(" d"));
    }
    clock.jump("+26h");
    // Nobody can be here since tomorrow.
    here(&|| alice.run(&["--json", "status"]), |line| line.contains("\"time\":null"));
}

#[test]
fn a_stranger_who_dialled_while_the_clock_was_ahead_did_so_at_an_unknown_time() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = bob.serve();
    alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
    node.kill9();
    let clock = Clock::new(bob.path("clock")).expect("faketime is here");
    clock.jump("+26h");
    let words: Vec<&str> = clock.words.iter().map(String::as_str).collect();
    let mut node = bob.serve_again_by(&words, &node.addr);
    alice.run(&["say", "bob", "hi"]);
    node.wait_for("alice wants to be a peer");
    let requests = bob.run(&["peers", "requests"]);
    assert!(requests.starts_with("????-??-?? ??:??:??  "), "{requests}");
    let json = bob.run(&["--json", "peers", "requests"]);
    assert!(json.contains("\"time\":null"), "{json}");
}

#[test]
fn a_clock_that_was_ahead_puts_off_no_attempt() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    // Without an address the node tries nothing, and leaves the note as it is.
    alice.run(&["peers", "add", "bob", &bob.key()]);
    let _node = alice.serve();
    alice.run(&["say", "bob", "hi"]);
    let attempts = alice.path("outbox").join(format!("{}.attempts", bob.key()));
    let tried = (now_micros() + 26 * HOUR) / 1_000_000;
    fs::write(&attempts, format!("{tried} {} unreachable cannot reach bob: gone\n", tried + 60)).unwrap();
    for args in [&["outbox"][..], &["status"]] {
        let (shown, said) = alice.ends_with(args, b"", 0);
        let line = format!("{shown}{said}");
        assert!(line.contains("tried, cannot reach bob"), "{line}");
        let again = line.split("again in ").nth(1).unwrap_or("0 s");
        assert!(!again.split('\n').next().unwrap().contains(['d', 'h']), "{line}");
    }
    let next = json_number(&alice.run(&["--json", "outbox"]), "next");
    assert!(next < now_micros() + HOUR, "{next}");
}
