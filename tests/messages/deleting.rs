//! `log --delete-before`: what is old goes for good, and neither a peer, a cursor, a program nor a reader that runs has anything
//! twice because of it.

use crate::common;

use common::tmux::Terminal;
use common::{EGOAT, Home, Process, logs, pair, poll_until};
use std::fs;

use egoat::store::history::{self, Event, History, KeySearch, ReceivedMessage};
use egoat::store::home::Own;
use egoat::store::log::Reader;
use egoat::store::outbox::{Draft, QueuedMessage};
use egoat::time::now_micros;

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// A home with a saved peer bob, whose history the test writes itself.
struct Written {
    home: Home,
    own: Own,
}

impl Written {
    fn new() -> Written {
        let home = Home::new("alice");
        home.run(&["peers", "add", "bob", &Home::new("bob").key()]);
        let own = logs::open(&home);
        Written { home, own }
    }

    fn history(&self) -> History {
        self.own.history(logs::key(&self.own, "bob").into()).unwrap()
    }

    fn reader(&self) -> Reader {
        self.own.read_history(logs::key(&self.own, "bob").into())
    }

    fn receive(&self, number: u64) {
        let message = ReceivedMessage { number, said: number, text: number.to_string().into() };
        assert_eq!(self.history().store_received(&[message]).unwrap(), [number]);
    }

    /// The texts of the records that `reader` has still.
    fn rest(&self, reader: &mut Reader) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(record) = reader.read().unwrap() {
            if let Ok(Event::Received { text, .. } | Event::Sent { text, .. }) = history::decode(record.body)
            {
                texts.push(String::from_utf8_lossy(text).into_owned());
            }
        }
        texts
    }

    fn texts(&self) -> Vec<String> {
        self.rest(&mut self.reader())
    }

    fn delete_all(&self) -> usize {
        self.history().delete_before(now_micros() + 1).unwrap()
    }
}

fn sent(number: u64, key: &str) -> QueuedMessage {
    let draft = Draft { text: format!("sent {number}").into(), key: key.into(), expires: 0 };
    QueuedMessage { number, said: number, draft }
}

#[test]
fn what_was_noted_before_a_time_is_deleted() {
    let written = Written::new();
    assert_eq!(written.delete_all(), 0);
    (1..=3).for_each(|number| written.receive(number));
    let between = now_micros() + 1;
    while now_micros() <= between {}
    (4..=5).for_each(|number| written.receive(number));
    assert_eq!(written.history().delete_before(1).unwrap(), 0);
    assert_eq!(written.history().delete_before(between).unwrap(), 3);
    assert_eq!(written.texts(), ["4", "5"]);
    assert_eq!(written.history().delete_before(between).unwrap(), 0);
    written.receive(6);
    assert_eq!(written.delete_all(), 3);
    assert_eq!((written.texts(), written.delete_all()), (vec![], 0));
    // What it holds still counts.
    assert_eq!(written.history().received().unwrap(), 6);
    let again = ReceivedMessage { number: 5, said: 5, text: b"5".to_vec() };
    assert_eq!(written.history().store_received(&[again]).unwrap(), [0; 0]);
}

/// A reader that runs, and a place that was noted, go on behind what they had; also where a clock was ahead.
#[test]
fn places_in_the_log_hold() {
    for ahead in [false, true] {
        let written = Written::new();
        written.receive(1);
        if ahead {
            let number = now_micros() + 86_400_000_000;
            written.history().store_sent([sent(number, "")].iter()).unwrap();
        }
        written.receive(2);
        let mut begun = written.reader();
        let mut last = 0;
        while let Some(record) = begun.read().unwrap() {
            last = record.seq;
        }
        let place = written.reader().position(last).unwrap().unwrap();
        let unread = written.reader();
        let mut readers = [begun, unread];
        for round in 0..3 {
            assert_eq!(written.delete_all(), if round == 0 { 2 + usize::from(ahead) } else { 1 });
            assert_eq!(written.reader().position(last).unwrap().unwrap(), place);
            let number = 3 + round;
            written.receive(number);
            let mut resumed = written.reader();
            resumed.resume(place).unwrap();
            assert_eq!(written.rest(&mut resumed), [number.to_string()]);
            for reader in &mut readers {
                assert_eq!(written.rest(reader), [number.to_string()], "ahead: {ahead}");
            }
        }
    }
}

#[test]
fn keys_are_known_still() {
    let written = Written::new();
    let mut history = written.history();
    history.store_sent([sent(1, "one"), sent(2, ""), sent(3, "three")].iter()).unwrap();
    assert_eq!(written.delete_all(), 3);
    history.store_sent([sent(4, "four")].iter()).unwrap();
    assert_eq!(written.delete_all(), 1);
    let find = |key: &str| KeySearch::new(written.reader(), key).find().unwrap();
    assert_eq!((find("one"), find("three"), find("four")), (Some(1), Some(3), Some(4)));
    assert_eq!((find("two"), find("")), (None, None));
    assert_eq!((history.sent(), written.history().sent()), (4, 4));
}

#[test]
fn a_search_that_is_repeated_finds_what_was_delivered_since() {
    let written = Written::new();
    let mut history = written.history();
    history.store_sent([sent(1, "one")].iter()).unwrap();
    let search = |key: &str| {
        let mut search = KeySearch::new(written.reader(), key);
        assert_eq!(search.find().unwrap(), None);
        search
    };
    let (mut two, mut three) = (search("two"), search("three"));
    history.store_sent([sent(2, "two")].iter()).unwrap();
    assert_eq!((two.find().unwrap(), three.find().unwrap()), (Some(2), None));
    history.store_sent([sent(3, "three")].iter()).unwrap();
    written.delete_all();
    assert_eq!(three.find().unwrap(), Some(3), "deleted as well");
}

/// A node, a program, a cursor and a reader, while what they had is deleted.
#[test]
fn nothing_comes_twice() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let hook = alice.script("hook", r#"cat >>"$EGOAT_HOME/../told"; echo >>"$EGOAT_HOME/../told""#);
    let told = || fs::read_to_string(alice.path("told")).unwrap_or_default();
    let serve = || alice.serve_with(&[&LISTEN[..], &["--on-message", &hook]].concat());
    let mut node = serve();
    pair(&alice, &bob);
    let say = |text: &str| bob.run(&["say", "--wait", "60s", "--id", text, "alice", text]);
    let cursor = alice.path("cursor");
    let new = || {
        let log = alice.run(&["log", "--cursor", cursor.to_str().unwrap()]);
        log.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    say("one");
    say("two");
    assert_eq!(new(), ["one", "two"]);
    let mut follow = Process::start(alice.cmd(&["log", "--follow"]));
    let mut follows = |text: &str| {
        let line = follow.next_line().unwrap();
        assert!(line.ends_with(&format!(" {text}")), "{line}");
    };
    follows("one");
    follows("two");
    poll_until("the program", || (told() == "one\ntwo\n").then_some(()));

    assert_eq!(
        alice.ends_with(&["log", "--delete-before", "now", "--yes"], b"", 0),
        ("bob: deleted 2 messages and files\n".into(), String::new())
    );
    assert_eq!((alice.run(&["log"]), new()), (String::new(), vec![]));
    say("three");
    follows("three");
    assert_eq!(new(), ["three"]);
    poll_until("the program", || (told() == "one\ntwo\nthree\n").then_some(()));
    // The node comes again, and finds out what each holds.
    let addr = node.addr.clone();
    node.kill9();
    alice.run(&["--json", "log", "--delete-before", "now", "--yes", "bob"]);
    let mut node = alice.serve_again_by(&["env"], &addr);
    drop(bob.run(&["log", "--delete-before", "now", "--yes"]));
    let said = bob.run(&["--json", "say", "--wait", "60s", "--id", "one", "alice", "one"]);
    assert!(said.contains("\"state\":\"delivered\""), "{said}");
    say("four");
    follows("four");
    node.kill9();
    assert_eq!(new(), ["four"]);
    assert_eq!(alice.received(), ["four"]);
    assert_eq!(bob.delivered(), ["four"]);
    let mut node = serve();
    poll_until("the program", || (told() == "one\ntwo\nthree\nfour\n").then_some(()));
    node.kill9();
}

#[test]
fn it_is_asked_about() {
    let written = Written::new();
    let home = &written.home;
    logs::receive(&written.own, "bob", &["hello"]);
    let said = home.fails(&["log", "--delete-before", "now"], 2);
    assert!(said.contains("bob: 1 message or file") && said.contains("hint: with --yes"), "{said}");
    for (wrong, code) in
        [(&["--yes"][..], 2), (&["--delete-before", "frob"], 2), (&["--delete-before", "now", "-f"], 2)]
    {
        home.fails(&[&["log"], wrong].concat(), code);
    }
    // What may be a slip deletes nothing, and says what would.
    let said = home.fails(&["log", "--delete-before", "90", "--yes"], 2);
    assert!(
        said.contains("error: 90 has no unit") && said.contains("hint: write 90s, 90m, 90h or 90d"),
        "{said}"
    );
    for everything in ["0", "0d", "2199-01-01"] {
        let said = home.fails(&["log", "--delete-before", everything, "--yes"], 2);
        assert!(said.contains(&format!("before {everything} is everything")), "{said}");
        assert!(said.contains("hint: to delete everything, say so: --delete-before now"), "{said}");
    }
    assert_eq!(home.received(), ["hello"]);
    let (out, said) = home.ends_with(&["log", "--delete-before", "1d", "--yes"], b"", 0);
    assert!(out.is_empty() && said.contains("nothing is there from before"), "{said}");
    assert_eq!(home.received(), ["hello"]);
    let Some(terminal) = Terminal::open(200) else { return };
    let dir = home.path("").to_str().unwrap().to_owned();
    for (answer, left) in [("n", 1), ("", 1), ("y", 0)] {
        terminal
            .type_line(&format!("clear; '{EGOAT}' --home '{dir}' log --delete-before now; echo ended:$?"));
        terminal.wait_for("delete this for good? [y/N]");
        terminal.type_line(answer);
        terminal.wait_for(if left > 0 { "ended:1" } else { "bob: deleted 1 message or file" });
        assert_eq!(home.received().len(), left);
    }
    // Of a former peer, too.
    logs::receive(&written.own, "bob", &["hello"]);
    let former = logs::key(&written.own, "bob");
    home.run(&["peers", "remove", "bob"]);
    let out = home.run(&["--json", "log", "--delete-before", "now", "--yes"]);
    assert_eq!(out, format!("{{\"event\":\"deleted\",\"peer\":\"{}\",\"count\":1}}\n", former.fingerprint()));
}
