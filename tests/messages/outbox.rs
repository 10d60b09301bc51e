//! What waits: messages with a name, a time or second thoughts, trying again, fetching without a node; and reading a long
//! log from its end.

use crate::common;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::gate::Gate;
use common::{Dead, Home, Node, Process, by, json_text, pair, paired, poll_until};
use egoat::crypto::base32;
use egoat::crypto::keys::{PublicKey, Seed};
use egoat::crypto::random_array;
use egoat::store::attempts;
use egoat::store::history::{KEYS_REMEMBERED, ReceivedMessage};
use egoat::store::home::Own;
use egoat::store::log::{Kind, Log, LogId};
use egoat::store::outbox::{Draft, Outbox, Pending, QueuedMessage};
use egoat::time::{Zone, now_micros};
use proptest::prelude::*;

const TO_DELIVER: &str = "60s";

/// The texts of an event in the log of `home`, in order.
fn texts(home: &Home, event: &str) -> Vec<String> {
    let log = home.run(&["--json", "log"]);
    let event = format!("\"event\":\"{event}\"");
    log.lines().filter(|line| line.contains(&event)).map(|line| json_text(line, "text")).collect()
}

fn received(home: &Home) -> Vec<String> {
    texts(home, "received")
}

/// The lines of the log for people, without their times.
fn log_lines(home: &Home) -> Vec<String> {
    home.run(&["log"]).lines().map(|line| line["0000-00-00 00:00:00 ".len()..].to_owned()).collect()
}

/// The integer that is `key` in a line of `--json`.
fn json_number(line: &str, key: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("\"{key}\":")).unwrap_or_else(|| panic!("no {key} in {line}"));
    rest[..rest.find([',', '}']).unwrap()].parse().unwrap()
}

fn say(home: &Home, peer: &str, text: &str) {
    home.run(&["say", "--wait", TO_DELIVER, peer, text]);
}

/// Says something named; gives the line of `--json`, and what was noted.
fn say_named(home: &Home, peer: &str, key: &str, text: &str) -> (String, String) {
    home.ends_with(&["--json", "say", "--wait", TO_DELIVER, "--id", key, peer, text], b"", 0)
}

/// The objects of `outbox`.
fn outbox(home: &Home) -> Vec<String> {
    home.run(&["--json", "outbox", "list"]).lines().map(str::to_owned).collect()
}

/// The ids of what waits, by its text.
fn ids(home: &Home) -> HashMap<String, String> {
    let id = |line: &String| (json_text(line, "text"), json_number(line, "number").to_string());
    outbox(home).iter().map(id).collect()
}

/// Waits until all that waits with a time is expired.
fn until_expired(home: &Home) {
    poll_until("the expiry", || (!home.run(&["outbox"]).contains(" (until ")).then_some(()));
}

fn until_empty(home: &Home) {
    poll_until("an empty outbox", || home.run(&["outbox"]).is_empty().then_some(()));
}

fn micros() -> u64 {
    now_micros()
}

/// The home's owner, to look at logs and fill them without a process.
fn own(home: &Home) -> Own {
    let found = egoat::store::home::Home::locate(home.path("").to_str()).unwrap();
    found.unlock(|_| None, || unreachable!("no passphrase"), Arc::new(|_: &str| ())).unwrap()
}

fn key_of(home: &Home) -> PublicKey {
    home.key().parse().unwrap()
}

/// Alice can dial Bob, and Bob cannot dial Alice: nothing but her own doing brings her messages to him.
fn one_way() -> (Home, Home, Node) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let bob_node = bob.serve();
    alice.run(&["peers", "add", "bob", &bob.key(), &bob_node.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    (alice, bob, bob_node)
}

#[test]
fn an_id_is_delivered_once_however_often_it_is_said() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _alice_node = alice.serve();
    pair(&alice, &bob);
    for round in ["without a node", "with a node"] {
        let _bob_node = (round == "with a node").then(|| bob.serve());
        let (first, noted) = say_named(&bob, "alice", round, &format!("first {round}"));
        assert!(!noted.contains("before"), "{noted}");
        let (second, noted) = say_named(&bob, "alice", round, &format!("second {round}"));
        assert!(noted.contains("queued for alice before") && noted.contains("delivered to alice"), "{noted}");
        assert_eq!((json_number(&first, "number"), "delivered".into()), {
            (json_number(&second, "number"), json_text(&second, "state"))
        });
    }
    let expected = ["first without a node", "first with a node"];
    assert_eq!(received(&alice), expected);
    assert_eq!(texts(&bob, "delivered"), expected);
    assert!(bob.run(&["--json", "log"]).contains("\"key\":\"with a node\""));
}

#[test]
fn an_id_waits_once() {
    let (alice, bob, mut bob_node) = one_way();
    bob_node.kill9();
    for text in ["one", "two"] {
        alice.run(&["say", "--id", "job 7", "bob", text]);
    }
    let waiting = outbox(&alice);
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (json_text(&waiting[0], "key"), json_text(&waiting[0], "text")),
        ("job 7".into(), "one".into())
    );
    let _bob_node = bob.serve_again_at(&bob_node.addr);
    say(&alice, "bob", "and on");
    alice.run(&["say", "--id", "job 7", "bob", "three"]);
    assert_eq!(received(&bob), ["one", "and on"]);
}

#[test]
fn an_id_is_known_as_long_as_it_is_among_the_last_entries() {
    let (alice, bob) = (Home::new_in(&common::route::fast_dir(), "alice"), Home::new("bob"));
    let bob_node = bob.serve();
    alice.run(&["peers", "add", "bob", &bob.key(), &bob_node.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let said = |text: &str| say_named(&alice, "bob", "key", text).1.contains("before");
    assert!(!said("first"));
    let mut history = own(&alice).history(key_of(&bob).into()).unwrap();
    let message = |number| ReceivedMessage { number, said: 0, text: Vec::new() };
    let others: Vec<_> = (1..KEYS_REMEMBERED as u64).map(message).collect();
    history.store_received(&others).unwrap();
    assert!(said("again"));
    assert_eq!(received(&bob), ["first"]);
}

#[test]
fn ten_who_say_one_id_at_once_are_heard_once() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _alice_node = alice.serve();
    pair(&alice, &bob);
    for round in ["without", "with"] {
        let _bob_node = (round == "with").then(|| bob.serve());
        let say = || json_number(&say_named(&bob, "alice", round, round).0, "number");
        let mut numbers: Vec<u64> = thread::scope(|scope| {
            let all: Vec<_> = (0..10).map(|_| scope.spawn(say)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        numbers.dedup();
        assert_eq!(numbers.len(), 1, "all of them know it by one number");
    }
    assert_eq!(received(&alice), ["without", "with"]);
}

#[test]
fn an_id_is_each_peer_s_own() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let carol = Home::new("carol");
    let _carol_node = carol.serve();
    pair(&alice, &carol);
    say_named(&alice, "bob", "k", "for bob");
    say_named(&alice, "carol", "k", "for carol");
    assert_eq!((received(&bob), received(&carol)), (vec!["for bob".into()], vec!["for carol".into()]));
}

/// Kills `say` at any instant and says it again.
fn killed_and_said_again(alice: &Home, bob: &Home, round: &str) {
    for n in 0..12 {
        let name = format!("{round} {n}");
        let mut killed =
            Process::start(bob.cmd(&["say", "--wait", TO_DELIVER, "--id", &name, "alice", &name]));
        thread::sleep(Duration::from_micros(u16::from_be_bytes(random_array()).into()));
        killed.kill9();
        say_named(bob, "alice", &name, &name);
    }
    let all: Vec<String> = (0..12).map(|n| format!("{round} {n}")).collect();
    let heard: Vec<String> = received(alice).into_iter().filter(|text| all.contains(text)).collect();
    assert_eq!(heard, all);
}

#[test]
fn an_id_survives_the_kill_of_who_says_it() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _alice_node = alice.serve();
    pair(&alice, &bob);
    killed_and_said_again(&alice, &bob, "without");
    let _bob_node = bob.serve();
    killed_and_said_again(&alice, &bob, "with");
}

#[test]
fn an_id_is_free_again_when_its_message_is_dropped() {
    let (alice, bob, mut bob_node) = one_way();
    bob_node.kill9();
    let said = |key: &str, text: &str| alice.ends_with(&["say", "--id", key, "bob", text], b"", 0).1;
    said("c", "cancelled");
    alice.run(&["outbox", "cancel", &ids(&alice)["cancelled"]]);
    assert!(!said("c", "instead of cancelled").contains("before"));
    assert!(said("c", "no").contains("before"));
    for text in ["expired", "expired too"] {
        alice.run(&["say", "--id", "e", "--expire", "1ms", "bob", text]);
        until_expired(&alice);
    }
    assert!(!said("e", "instead of expired").contains("before"));
    assert!(said("e", "no").contains("before"));
    alice.run(&["say", "--id", "later", "--expire", "1ms", "bob", "expired and gone"]);
    until_expired(&alice);
    let _bob_node = bob.serve_again_at(&bob_node.addr);
    say(&alice, "bob", "now");
    assert!(said("e", "no").contains("delivered to bob"));
    assert!(!said("later", "later").contains("before"));
    assert_eq!(received(&bob), ["instead of cancelled", "instead of expired", "now", "later"]);
    assert_eq!(texts(&alice, "expired"), ["expired", "expired too", "expired and gone"]);
    until_empty(&alice);
}

/// Its time is over when it is said again, but it was in time.
#[test]
fn an_id_that_was_delivered_in_time_stays_used() {
    let (alice, bob, _bob_node) = one_way();
    alice.run(&["say", "--wait", TO_DELIVER, "--id", "k", "--expire", "5s", "bob", "in time"]);
    let over = micros() + 5_000_000;
    poll_until("its time to be over", || (micros() > over).then_some(()));
    let (line, noted) = say_named(&alice, "bob", "k", "again");
    assert!(noted.contains("before") && json_text(&line, "state") == "delivered", "{noted}");
    assert_eq!(received(&bob), ["in time"]);
}

#[test]
fn an_id_has_1_to_128_bytes() {
    let (alice, bob, _bob_node) = one_way();
    say_named(&alice, "bob", &"k".repeat(128), "long");
    let said = alice.fails(&["say", "--id", &"k".repeat(129), "bob", "too long"], 2);
    assert!(said.contains("at most 128 bytes"), "{said}");
    assert!(alice.fails(&["say", "--id", "", "bob", "none"], 2).contains("an id cannot be empty"));
    assert_eq!(received(&bob), ["long"]);
    assert_eq!(alice.run(&["outbox"]), "");
}

/// Alice with or without a node; Bob is away.
fn expires(with_node: bool) {
    let (alice, bob, mut bob_node) = one_way();
    bob_node.kill9();
    let alice_node = with_node.then(|| alice.serve());
    alice.run(&["say", "bob", "one"]);
    alice.run(&["say", "--expire", "1h", "bob", "in time"]);
    for n in 0..3 {
        alice.run(&["say", "--expire", "50ms", "bob", &format!("late {n}")]);
        alice.run(&["say", "bob", &format!("after {n}")]);
    }
    alice.run(&["say", "--expire", "50ms", "bob", "last"]);
    poll_until("the expiry", || (alice.run(&["outbox"]).matches(" (expired) ").count() == 4).then_some(()));
    let waiting = alice.run(&["outbox"]);
    let shape = |line: &str| {
        let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
        digits.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>()
    };
    let shapes: Vec<String> = waiting.lines().map(shape).collect();
    assert_eq!(shapes[0], " 0000-00-00 00:00:00 -> bob: one");
    assert_eq!(shapes[1], " (until 0000-00-00 00:00:00) 0000-00-00 00:00:00 -> bob: in time");
    assert_eq!(shapes[2], " (expired) 0000-00-00 00:00:00 -> bob: late 0");
    assert_eq!(texts(&alice, "expired"), [""; 0]);

    let _bob_node = bob.serve_again_at(&bob_node.addr);
    if with_node {
        alice.run(&["outbox", "retry", "bob"]);
        poll_until("the rest to arrive", || (received(&bob).len() >= 5).then_some(()));
    }
    say(&alice, "bob", "two");
    let expected = ["one", "in time", "after 0", "after 1", "after 2", "two"];
    assert_eq!(received(&bob), expected);
    until_empty(&alice);
    assert_eq!(texts(&alice, "delivered"), expected);
    let lines = log_lines(&alice);
    for text in ["late 0", "late 1", "late 2", "last"] {
        let line = format!("-> bob (expired): {text}");
        assert_eq!(lines.iter().filter(|shown| **shown == line).count(), 1, "{lines:?}");
    }
    assert!(!own(&alice).outbox(&key_of(&bob)).unwrap().has_pending().unwrap());
    drop(alice_node);
}

#[test]
fn what_is_expired_is_left_out_by_a_node() {
    expires(true);
}

#[test]
fn what_is_expired_is_left_out_without_a_node() {
    expires(false);
}

/// All of them go at once, and not each after another look at all.
#[test]
fn thousands_that_expired_do_not_hold_up_the_next() {
    let (alice, bob, _bob_node) = one_way();
    let late = Draft { expires: 1, ..Draft::new(b"late") };
    own(&alice).outbox(&key_of(&bob)).unwrap().queue(&vec![late; 6000]).unwrap();
    say(&alice, "bob", "now");
    assert_eq!(received(&bob), ["now"]);
    assert_eq!(texts(&alice, "expired").len(), 6000);
    assert_eq!(alice.run(&["outbox"]), "");
}

/// Status 0 with --wait means delivered.
#[test]
fn waiting_for_what_is_dropped_fails() {
    for with_node in [false, true] {
        let (alice, bob, mut bob_node) = one_way();
        bob_node.kill9();
        let alice_node = with_node.then(|| alice.serve());
        let mut cancelled = Process::start(alice.cmd(&["say", "--wait", TO_DELIVER, "bob", "cancelled"]));
        let id = poll_until("it to be queued", || ids(&alice).get("cancelled").cloned());
        let wait = ["say", "--wait", TO_DELIVER, "--expire", "1ms", "bob", "expired"];
        let mut expired = Process::start(alice.cmd(&wait));
        poll_until("it to expire", || alice.run(&["outbox"]).contains(" (expired) ").then_some(()));
        alice.run(&["outbox", "cancel", &id]);
        let _bob_node = bob.serve_again_at(&bob_node.addr);
        if with_node {
            alice.run(&["outbox", "retry"]);
        }
        for process in [&mut cancelled, &mut expired] {
            let (code, _, said) = process.end();
            assert_eq!(code, Some(1), "{said}");
            assert!(
                said.contains("not delivered to bob: the message was cancelled, or it has expired"),
                "{said}"
            );
        }
        assert_eq!(received(&bob), [""; 0]);
        drop(alice_node);
    }
}

/// There is nothing left to dial for, so the peer need not come first.
#[test]
fn waiting_for_what_is_cancelled_ends_at_once() {
    for with_node in [false, true] {
        let (alice, _bob, mut bob_node) = one_way();
        bob_node.kill9();
        let _alice_node = with_node.then(|| alice.serve());
        let mut others = Process::start(alice.cmd(&["say", "--wait", "24h", "bob", "other"]));
        let mut process = Process::start(alice.cmd(&["say", "--wait", "24h", "bob", "cancelled"]));
        let id = poll_until("it to be queued", || ids(&alice).get("cancelled").cloned());
        let other = poll_until("the other to be queued", || ids(&alice).get("other").cloned());
        for (id, process) in [(other, &mut others), (id, &mut process)] {
            assert!(process.is_running());
            alice.run(&["outbox", "cancel", &id]);
            let (code, _, said) = process.end();
            assert!(code == Some(1) && said.contains("the message was cancelled"), "{code:?} {said}");
        }
    }
}

/// More than a megabyte waited, so that the outbox starts afresh and forgets what it dropped.
#[test]
fn waiting_for_what_is_dropped_fails_when_the_outbox_starts_afresh() {
    let (alice, bob, mut bob_node) = one_way();
    bob_node.kill9();
    let large = "x".repeat(1 << 20);
    alice.pipe(&["say", "bob"], large.as_bytes());
    let wait = ["say", "--wait", TO_DELIVER, "--expire", "1ms", "bob", "expired"];
    let mut expired = Process::start(alice.cmd(&wait));
    poll_until("it to expire", || alice.run(&["outbox"]).contains(" (expired) ").then_some(()));
    let _bob_node = bob.serve_again_at(&bob_node.addr);
    let (code, _, said) = expired.end();
    assert!(code == Some(1) && said.contains("has expired"), "{code:?} {said}");
    assert_eq!(received(&bob), [large]);
    assert!(std::fs::metadata(own(&alice).home().outbox_path(&key_of(&bob))).unwrap().len() < 1000);
}

/// What is on its way arrives, so it is not said to be expired.
#[test]
fn what_expires_on_its_way_is_delivered() {
    let (alice, bob, bob_node) = one_way();
    let _alice_node = alice.serve();
    // With the second, the first pause of the connection is over, in which the sender waits for a sign of life.
    ["connected", "and quiet"].iter().for_each(|text| say(&alice, "bob", text));
    let path = own(&alice).home().outbox_path(&key_of(&bob));
    let length = || std::fs::metadata(&path).unwrap().len();
    let mut queue = own(&alice).outbox(&key_of(&bob)).unwrap();
    loop {
        bob_node.signal("STOP");
        // The first two fill the window; the first is acknowledged alone, and then the third is looked at.
        let expires = micros() + 8_000_000;
        let draft = |length: usize| Draft { expires, ..Draft::new(&vec![b'x'; length]) };
        queue.queue(&[500_000, 300_000, 10].map(draft)).unwrap();
        let before = length();
        alice.run(&["outbox", "retry"]);
        // It notes what it sends. One that waits for a sign of life sends nothing: then once more.
        while length() == before && micros() < expires - 4_000_000 {
            std::thread::sleep(Duration::from_millis(20));
        }
        if length() > before {
            break;
        }
        bob_node.signal("CONT");
        until_empty(&alice);
    }
    until_expired(&alice);
    bob_node.signal("CONT");
    until_empty(&alice);
    let lengths = |texts: Vec<String>| texts.iter().map(String::len).collect::<Vec<_>>();
    assert!(lengths(received(&bob)).ends_with(&[500_000, 300_000]));
    assert!(lengths(texts(&alice, "delivered")).ends_with(&[500_000, 300_000]));
    assert_eq!(lengths(texts(&alice, "expired")), [10]);
}

/// The node has the messages before it under way when this one is taken back.
#[test]
fn what_is_cancelled_behind_others_on_their_way_is_not_sent() {
    let (alice, bob, bob_node) = one_way();
    let _alice_node = alice.serve();
    // With the second, the first pause of the connection is over, in which the sender waits for a sign of life.
    ["connected", "and quiet"].iter().for_each(|text| say(&alice, "bob", text));
    bob_node.signal("STOP");
    for letter in ["a", "b", "c", "d"] {
        alice.pipe(&["say", "bob"], letter.repeat(600_000).as_bytes());
    }
    alice.run(&["outbox", "cancel", &ids(&alice)[&"c".repeat(600_000)]]);
    bob_node.signal("CONT");
    until_empty(&alice);
    let firsts: Vec<String> = received(&bob).iter().map(|text| text[..1].to_owned()).collect();
    assert_eq!(firsts, ["c", "a", "a", "b", "d"], "two came before");
    assert_eq!(texts(&alice, "cancelled").len(), 1);
}

#[test]
fn the_outbox_tells_ids_ages_errors_and_the_next_try() {
    let (alice, bob, mut bob_node) = one_way();
    bob_node.kill9();
    let told = |args: &[&str]| alice.ends_with(args, b"", 0);
    own(&alice).outbox(&key_of(&bob)).unwrap().queue(&[Draft::new(b"one")]).unwrap();
    assert_eq!(told(&["outbox"]).1, "egoat: bob: not tried yet; no node runs here to try again\n");
    alice.run(&["say", "--id", "k", "--expire", "1h", "bob", "two"]);
    let noted = told(&["outbox"]).1;
    assert!(noted.contains("bob: tried ") && noted.contains("connection refused; no node"), "{noted}");
    assert_eq!(json_number(&outbox(&alice)[0], "next"), 0, "nobody tries again");
    let mut alice_node = alice.serve();
    let lines = poll_until("a note of the failure", || {
        Some(outbox(&alice)).filter(|lines| json_number(&lines[0], "next") > micros())
    });
    let ids: Vec<u64> = lines.iter().map(|line| json_number(line, "number")).collect();
    assert!(ids.is_sorted_by(|a, b| a < b) && ids.len() == 2);
    for (line, key, text) in [(&lines[0], "", "one"), (&lines[1], "k", "two")] {
        assert!(line.starts_with("{\"event\":\"queued\",\"peer\":\"bob\",\"number\":"), "{line}");
        assert_eq!((json_text(line, "key"), json_text(line, "text")), (key.into(), text.into()));
        assert!(json_text(line, "error").starts_with("cannot reach bob: "), "{line}");
        assert!(json_number(line, "age") <= 120, "{line}");
        assert!(json_number(line, "next").abs_diff(micros()) < 300_000_000, "{line}");
    }
    assert_eq!(json_number(&lines[0], "expires"), 0);
    assert!(json_number(&lines[1], "expires") > ids[1] + 3_500_000_000);
    poll_until("the note for people", || {
        let (out, noted) = told(&["outbox", "list"]);
        assert_eq!(out.lines().count(), 2);
        let is_there =
            noted.contains("egoat: bob: tried ") && noted.contains("connection refused; again in ");
        assert_eq!(noted.lines().count(), 1, "{noted}");
        is_there.then_some(())
    });
    assert_eq!(told(&["-q", "outbox"]).1, "");
    let again: Vec<u64> = outbox(&alice).iter().map(|line| json_number(line, "number")).collect();
    assert_eq!(again, ids, "an id stays the same");
    let note = own(&alice).home().attempts_path(&key_of(&bob));
    poll_until("the note", || note.metadata().ok().filter(|data| data.permissions().mode() & 0o077 == 0));

    alice_node.kill9();
    let (out, noted) = told(&["outbox"]);
    assert!(out.starts_with(&format!("{} ", ids[0])), "{out}");
    assert!(noted.contains("connection refused; no node runs here to try again\n"), "{noted}");
    assert_eq!(json_number(&outbox(&alice)[0], "next"), 0);
}

/// A peer that collects is reached: what came of dialling it is forgotten, and `say` waits for the delivery.
#[test]
fn the_failure_is_forgotten_when_the_peer_comes_by_itself() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let alice_node = alice.serve();
    let mut nowhere = bob.serve();
    alice.run(&["peers", "add", "bob", &bob.key(), &nowhere.addr]);
    bob.run(&["peers", "add", "alice", &alice.key(), &alice_node.addr]);
    nowhere.kill9();
    alice.run(&["say", "bob", "one"]);
    let note = own(&alice).home().attempts_path(&key_of(&bob));
    poll_until("a note of the failure", || note.exists().then_some(()));
    // Where Alice believes him to be, nobody answers.
    let mut bob_node = bob.serve_with(&["--listen", "[::1]:0"]);
    bob_node.wait_for("message from alice: one");
    poll_until("the note to be gone", || (!note.exists()).then_some(()));
    // Alice dials him once more because he came, in vain; that is no news.
    poll_until("a delivery that is told as one", || {
        let (_, said) = alice.ends_with(&["say", "bob", "on and on"], b"", 0);
        said.contains("delivered to bob").then_some(())
    });
    assert!(!note.exists());
}

fn cancels(with_node: bool) {
    let (alice, bob, mut bob_node) = one_way();
    bob_node.kill9();
    let alice_node = with_node.then(|| alice.serve());
    for text in ["a", "b", "c", "d"] {
        alice.run(&["say", "bob", text]);
    }
    let ids = ids(&alice);
    let out = alice.run(&["--json", "outbox", "cancel", &ids["d"], &ids["b"]]);
    let objects: Vec<String> = ["b", "d"]
        .map(|text| format!("{{\"event\":\"cancelled\",\"peer\":\"bob\",\"number\":{}}}", ids[text]))
        .into();
    assert_eq!(out.lines().collect::<Vec<_>>(), objects);
    // Twice is once too often, but does not keep from the others.
    let (out, said) = alice.ends_with(&["outbox", "cancel", &ids["b"], &ids["c"]], b"", 1);
    assert_eq!(out, format!("cancelled {} to bob\n", ids["c"]));
    assert!(said.contains(&format!("no message {} waits", ids["b"])), "{said}");
    assert!(alice.fails(&["outbox", "cancel", "1"], 1).contains("no message 1 waits"));
    assert!(alice.fails(&["outbox", "cancel", "x"], 2).contains("x is no id"));
    assert!(alice.fails(&["outbox", "cancel"], 2).contains("which message?"));
    assert_eq!(alice.run(&["outbox"]).lines().count(), 1);
    let cancelled = ["b", "d", "c"].map(|text| format!("-> bob (cancelled): {text}"));
    assert_eq!(log_lines(&alice), cancelled);

    let _bob_node = bob.serve_again_at(&bob_node.addr);
    if with_node {
        alice.run(&["outbox", "retry"]);
        poll_until("the rest to arrive", || (received(&bob) == ["a"]).then_some(()));
    }
    say(&alice, "bob", "e");
    assert_eq!(received(&bob), ["a", "e"]);
    until_empty(&alice);
    assert!(alice.fails(&["outbox", "cancel", &ids["a"]], 1).contains("may be delivered by now"));
    assert_eq!(log_lines(&alice).len(), 5);
    drop(alice_node);
}

#[test]
fn what_is_cancelled_never_arrives_from_a_node() {
    cancels(true);
}

#[test]
fn what_is_cancelled_never_arrives_without_a_node() {
    cancels(false);
}

#[test]
fn an_outbox_of_cancelled_messages_is_empty() {
    for with_node in [false, true] {
        let (alice, bob, mut bob_node) = one_way();
        bob_node.kill9();
        for text in ["a", "b"] {
            alice.run(&["say", "bob", text]);
        }
        for id in ids(&alice).values() {
            alice.run(&["outbox", "cancel", id]);
        }
        assert_eq!(alice.run(&["outbox"]), "");
        let _bob_node = bob.serve_again_at(&bob_node.addr);
        let alice_node = with_node.then(|| alice.serve());
        if !with_node {
            assert_eq!(alice.run(&["fetch"]), "bob: delivered 0, received 0\n");
        }
        let mut outbox = own(&alice).outbox(&key_of(&bob)).unwrap();
        poll_until("the contact", || (!outbox.has_pending().unwrap()).then_some(()));
        assert_eq!(alice.run(&["outbox"]), "");
        say(&alice, "bob", "c");
        assert_eq!(received(&bob), ["c"]);
        assert_eq!(alice.run(&["outbox"]), "");
        drop(alice_node);
    }
}

#[test]
fn retry_makes_a_node_dial_now() {
    let (alice, bob, mut bob_node) = one_way();
    let _alice_node = alice.serve();
    bob_node.kill9();
    alice.run(&["say", "bob", "at last"]);
    let next = || outbox(&alice).first().map_or(0, |line| json_number(line, "next"));
    let next = loop {
        poll_until("a long back-off", || (next() > micros() + 2_500_000).then_some(()));
        bob_node = bob.serve_again_at(&bob_node.addr);
        let next = next();
        if next > micros() + 1_500_000 {
            break next;
        }
        // It took too long for this machine to start a node. Should the message have gone by now, the test says so.
        bob_node.kill9();
    };
    assert_eq!(received(&bob), [""; 0]);
    let (_, said) = alice.ends_with(&["outbox", "retry", "bob"], b"", 0);
    assert!(said.contains("the node tries now"), "{said}");
    bob_node.wait_for("message from alice: at last");
    assert!(micros() < next, "it waited for the back-off");
    until_empty(&alice);
}

/// Else who is talked to much while away would not be tried for minutes once it is back.
#[test]
fn what_is_said_meanwhile_does_not_put_off_the_next_try() {
    let (alice, bob, mut bob_node) = one_way();
    bob_node.kill9();
    let _alice_node = alice.serve();
    let (own, key, began) = (own(&alice), key_of(&bob), Instant::now());
    let note = || own.home().attempts_path(&key).metadata().and_then(|data| data.modified()).ok();
    for n in 0..8 {
        let before = note();
        alice.run(&["say", "bob", &n.to_string()]);
        poll_until("a try", || (note() != before).then_some(()));
    }
    let last = attempts::last(own.home(), &key).unwrap();
    // Only what was waited out doubles, and with its jitter no pause is four times as long as those before it.
    let most = 4 * began.elapsed().as_secs() + 2;
    let pause = last.next - last.tried.expect("the clock is right");
    assert!(pause <= most, "{pause} s, and {most} s are the most");
}

#[test]
fn retry_without_a_node_delivers() {
    let (alice, bob, mut bob_node) = one_way();
    bob_node.kill9();
    for text in ["one", "two"] {
        alice.run(&["say", "bob", text]);
    }
    let said = alice.fails(&["outbox", "retry"], 69);
    assert!(said.contains("cannot reach bob"), "{said}");
    let _bob_node = bob.serve_again_at(&bob_node.addr);
    assert_eq!(alice.run(&["outbox", "retry", "bob"]), "bob: delivered 2, received 0\n");
    assert_eq!(alice.run(&["outbox", "retry"]), "bob: delivered 0, received 0\n");
    assert_eq!(received(&bob), ["one", "two"]);
    assert!(alice.fails(&["outbox", "retry", "nobody"], 2).contains("is called nobody"));
}

#[test]
fn fetch_delivers_and_collects_in_one_pass() {
    let (alice, bob, _bob_node) = one_way();
    let away = Home::new("away");
    let mut away_node = away.serve();
    let carol = Home::new("carol");
    let carol_node = carol.serve();
    alice.run(&["peers", "add", "away", &away.key(), &away_node.addr]);
    alice.run(&["peers", "add", "carol", &carol.key(), &carol_node.addr]);
    carol.run(&["peers", "add", "alice", &alice.key()]);
    away.run(&["peers", "add", "alice", &alice.key()]);
    let queue = |to: &Home, text: &str| {
        own(&alice).outbox(&key_of(to)).unwrap().queue(&[Draft::new(text.as_bytes())]).unwrap();
    };
    assert_eq!(
        alice.run(&["fetch"]),
        "bob: delivered 0, received 0\naway: delivered 0, received 0\ncarol: delivered 0, received 0\n"
    );
    // Alice has no address that they know: their nodes hold it for her.
    for text in ["one", "two", "three"] {
        bob.run(&["say", "alice", text]);
    }
    carol.run(&["say", "alice", "from carol"]);
    queue(&bob, "for bob");
    queue(&carol, "for carol");
    assert_eq!(
        alice.run(&["--json", "fetch"]).lines().filter(|line| !line.contains("away")).collect::<Vec<_>>(),
        [
            "{\"event\":\"fetched\",\"peer\":\"bob\",\"delivered\":1,\"received\":3,\"files\":0,\"collected\":0}",
            "{\"event\":\"fetched\",\"peer\":\"carol\",\"delivered\":1,\"received\":1,\"files\":0,\"collected\":0}"
        ]
    );
    assert_eq!(received(&alice), ["one", "two", "three", "from carol"]);
    assert_eq!((received(&bob), received(&carol)), (vec!["for bob".into()], vec!["for carol".into()]));
    for home in [&alice, &bob, &carol] {
        until_empty(home);
    }
    assert_eq!(texts(&bob, "delivered"), ["one", "two", "three"]);

    away_node.kill9();
    bob.run(&["say", "alice", "four"]);
    queue(&carol, "more");
    queue(&away, "in vain");
    // Nothing on stderr: cron would mail it.
    assert_eq!(
        alice.ends_with(&["fetch"], b"", 0),
        ("bob: delivered 0, received 1\naway: away\ncarol: delivered 1, received 0\n".into(), String::new())
    );
    assert_eq!(received(&carol), ["for carol", "more"]);
    let (out, said) = alice.ends_with(&["fetch", "--strict"], b"", 69);
    assert_eq!(out, "bob: delivered 0, received 0\ncarol: delivered 0, received 0\n");
    assert!(said.contains("cannot reach away"), "{said}");
    assert_eq!(outbox(&alice).len(), 1);
}

#[test]
fn fetch_leaves_it_to_a_node_that_runs() {
    let (alice, _alice_node, _bob, mut bob_node) = paired();
    bob_node.kill9();
    let (out, said) = alice.ends_with(&["fetch"], b"", 0);
    assert!(out.is_empty() && said.contains("a node runs here"), "{said}");
}

#[test]
fn fetch_does_not_dial_whom_the_user_has_blocked() {
    let (alice, bob, _bob_node) = one_way();
    own(&alice).outbox(&key_of(&bob)).unwrap().queue(&[Draft::new(b"hm")]).unwrap();
    let peers = std::fs::read_to_string(alice.path("peers")).unwrap();
    std::fs::write(alice.path("peers"), format!("{} blocked\n", peers.trim_end())).unwrap();
    assert_eq!(alice.run(&["fetch"]), "");
    assert_eq!(alice.run(&["outbox", "retry"]), "");
    assert_eq!(received(&bob), [""; 0]);
}

#[test]
fn whoever_is_blocked_is_not_dialled_by_any_name() {
    let (alice, bob, node) = one_way();
    own(&alice).outbox(&key_of(&bob)).unwrap().queue(&[Draft::new(b"hm")]).unwrap();
    // Not by `peers set`, which empties the outbox.
    let peers = std::fs::read_to_string(alice.path("peers")).unwrap();
    let peers = format!("{} blocked\n", peers.trim_end());
    std::fs::write(alice.path("peers"), &peers).unwrap();
    let link = format!("egoat:{}@{}", bob.key(), node.addr);
    let invite = bob.run(&["invite", "--addr", &node.addr]);
    let elsewhere = node.addr.replace("127.0.0.1", "localhost");
    let file = alice.file("file", "content");
    for peer in ["bob", &link, invite.trim(), &node.addr, &elsewhere] {
        for args in [&["say", peer, "hi"][..], &["send", peer, &file], &["say", "--accept-new", peer, "hi"]] {
            let said = alice.fails(args, 1);
            assert!(said.contains("bob is blocked here") && said.contains("hint: "), "{args:?}: {said}");
        }
    }
    for args in [["outbox", "retry", "bob"].as_slice(), &["join", &link], &["join", invite.trim()]] {
        let said = alice.fails(args, 1);
        assert!(said.contains("bob is blocked here"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(alice.path("peers")).unwrap(), peers);
    assert_eq!(received(&bob), [""; 0]);
    alice.run(&["peers", "set", "bob", "blocked="]);
    alice.run(&["join", invite.trim()]);
}

/// Two at once: each message is stored once, and the one that is replaced says so.
#[test]
fn fetches_at_once_store_each_message_once() {
    let (alice, bob, _bob_node) = one_way();
    let mut outbox = own(&bob).outbox(&key_of(&alice)).unwrap();
    let drafts: Vec<Draft> = (0..500).map(|n| Draft::new(format!("message {n}").as_bytes())).collect();
    outbox.queue(&drafts).unwrap();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // One of two at the same peer would lose its connection.
                let (code, _, said) = Process::start(alice.cmd(&["fetch", "--strict"])).end();
                assert_eq!(code, Some(0), "{said}");
            });
        }
    });
    assert_eq!(received(&alice), (0..500).map(|n| format!("message {n}")).collect::<Vec<_>>());
}

/// Held by who delivers to Bob now.
fn is_locked(alice: &Home, bob: &Home) -> bool {
    let path = own(alice).home().outbox_path(&key_of(bob)).with_extension("lock");
    File::open(path).is_ok_and(|file| file.try_lock().is_err())
}

#[test]
fn a_say_that_crashed_holds_no_lock() {
    let (alice, bob, bob_node) = one_way();
    let gate = Gate::before(&bob_node.addr, 100);
    alice.run(&["peers", "remove", "bob"]);
    alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
    let carol = Home::new("carol");
    let carol_node = carol.serve();
    alice.run(&["peers", "add", "carol", &carol.key(), &carol_node.addr]);
    carol.run(&["peers", "add", "alice", &alice.key()]);
    let mut stuck = Process::start(alice.cmd(&["say", "--wait", TO_DELIVER, "bob", "one"]));
    poll_until("it to deliver", || is_locked(&alice, &bob).then_some(()));
    // Only Bob has to wait for it.
    say(&alice, "carol", "hi");
    let mut retry = Process::start(alice.cmd(&["outbox", "retry", "bob"]));
    stuck.kill9();
    gate.open();
    let (code, out, said) = retry.end();
    assert_eq!((code, out.as_str()), (Some(0), "bob: delivered 1, received 0\n"), "{said}");
    assert!(!is_locked(&alice, &bob));
    say(&alice, "bob", "two");
    assert_eq!(received(&bob), ["one", "two"]);
    let _alice_node = alice.serve();
    assert_eq!(received(&carol), ["hi"]);
}

/// A node waits for it, and takes over.
#[test]
fn a_node_starts_when_a_say_that_delivers_is_gone() {
    let (alice, bob, bob_node) = one_way();
    let gate = Gate::before(&bob_node.addr, 100);
    alice.run(&["peers", "remove", "bob"]);
    alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
    let mut stuck = Process::start(alice.cmd(&["say", "--wait", TO_DELIVER, "bob", "one"]));
    poll_until("it to deliver", || is_locked(&alice, &bob).then_some(()));
    let mut node = Process::start(alice.cmd(&["serve", "--listen", "127.0.0.1:0"]));
    stuck.kill9();
    node.wait_for("listening on ");
    gate.open();
    node.wait_for("delivered 1 to bob");
    assert_eq!(received(&bob), ["one"]);
}

/// Whoever waits for a peer that is away pauses between two tries, and takes no node's place.
#[test]
fn a_node_starts_while_a_say_waits() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let dead = Dead::new();
    alice.run(&["peers", "add", "bob", &bob.key(), &dead.addr]);
    let mut say = Process::start(alice.cmd(&["say", "--wait", "1h", "bob", "one"]));
    poll_until("a try", || attempts::last(own(&alice).home(), &key_of(&bob)));
    let mut node = Process::start(alice.cmd(&["serve", "--listen", "127.0.0.1:0"]));
    node.wait_for("listening on ");
    assert!(say.is_running());
    say.kill9();
}

/// A log that cannot be made for want of a descriptor is no disk that fails.
#[test]
fn too_many_open_files_end_no_node() {
    let (bob, mut has_delivered) = (Home::new("bob"), [false; 2]);
    let bob_node = bob.serve();
    for limit in 10..30 {
        let alice = Home::new("alice");
        pair(&bob, &alice);
        let run = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let serve = alice.cmd(&["serve", "--listen", "127.0.0.1:0"]);
        let mut node = Process::start(by(&["sh", "-c", &run], &serve));
        if node.next_line().is_some() {
            alice.ends_with(&["say", "bob", "hi"], b"", 0);
            has_delivered[usize::from(!alice.run(&["outbox"]).contains("hi"))] = true;
            assert!(node.is_running(), "with {limit}: {}", node.kill9());
        }
    }
    drop(bob_node);
    assert_eq!(has_delivered, [true; 2], "some limits are too low, and others are not");
}

/// As where a program that is no node has the address at which a peer was seen last.
#[test]
fn an_address_that_says_nothing_leaves_time_for_the_next() {
    let (alice, bob, _bob_node) = one_way();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peers = std::fs::read_to_string(alice.path("peers")).unwrap();
    let seen = silent.local_addr().unwrap();
    std::fs::write(alice.path("peers"), format!("{} seen={seen}\n", peers.trim_end())).unwrap();
    alice.run(&["say", "bob", "one"]);
    assert_eq!(received(&bob), ["one"]);
}

/// The seed of a home, to write logs with times of one's own.
fn seed(home: &Home) -> Seed {
    let identity = std::fs::read_to_string(home.path("identity")).unwrap();
    let text = identity.lines().find_map(|line| line.strip_prefix("seed ")).unwrap();
    Seed::from_bytes(base32::decode(text).unwrap().try_into().unwrap())
}

/// Lengths of messages: many short, some long, a few as long as can be.
fn length(n: u64) -> usize {
    match (n % 1455, n % 97) {
        (77, _) => 1 << 20,
        (110, _) => 70_000,
        (_, 40) => 20_000,
        (_, 41) => 5_000,
        (_, small) => (small * small % 301) as usize,
    }
}

/// A history with a record every few seconds until now, in one of five kinds; gives the times.
fn write_history(home: &Home, peer: &PublicKey, count: u64, step: u64) -> Vec<u64> {
    let id = LogId::new(own(home).home().history_path((*peer).into()), Kind::History, peer, &seed(home));
    let mut log = Log::open(id, Arc::new(|what: &str| panic!("{what}"))).unwrap();
    let start = micros() - (count + 10) * step;
    let mut times = Vec::new();
    for batch in 0..count.div_ceil(100) {
        let mut appender = log.lock().unwrap();
        for n in batch * 100..((batch + 1) * 100).min(count) {
            let seq = start + n * step + n % 7 * 1000;
            let mut body = vec![1 + (n % 5) as u8];
            body.extend(seq.to_be_bytes());
            body.extend((seq - 17).to_be_bytes());
            match n % 5 {
                1 => body.push(0),
                2 | 3 => body.extend(n.to_be_bytes()),
                4 => body.extend([&n.to_be_bytes()[..], &[1 + (n % 2) as u8]].concat()),
                _ => {}
            }
            body.extend(format!("{n} ").bytes().chain(std::iter::repeat_n(b'x', length(n))));
            // As a writer would: the clock gives the least number, and these are all in the past.
            appender.push(seq, &body).unwrap();
            times.push(seq);
        }
        appender.commit(false).unwrap();
    }
    times
}

#[test]
fn a_long_log_is_cut_down_as_it_would_be_by_hand() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    for (name, peer) in [("bob", &bob), ("carol", &carol)] {
        alice.run(&["peers", "add", name, &peer.key()]);
    }
    let bobs = write_history(&alice, &key_of(&bob), 2999, 7_000_000);
    let carols = write_history(&alice, &key_of(&carol), 1501, 11_000_000);
    let mut both: Vec<u64> = [&bobs[..], &carols[..]].concat();
    both.sort();
    let log = |args: &[&str]| -> Vec<String> {
        alice.run(&[&["--json", "log"], args].concat()).lines().map(str::to_owned).collect()
    };
    for (peer, times) in [(&["bob"][..], &bobs), (&[], &both)] {
        let all = log(peer);
        assert_eq!(all.len(), times.len());
        for limit in [0, 1, 2, 13, 400, 10_000] {
            let cut = log(&[&["--limit", &limit.to_string()], peer].concat());
            assert!(cut == all[all.len().saturating_sub(limit)..], "--limit {limit} {peer:?}: {}", cut.len());
        }
        for part in [0, 10, 50, 99, 100] {
            let since = Zone::utc().format(times[(times.len() - 1) * part / 100]);
            let micros = Zone::utc().parse_time(&since, 0).unwrap();
            let first = times.iter().position(|time| *time >= micros).unwrap();
            let cut = log(&[&["--since", &since], peer].concat());
            assert!(cut == all[first..], "--since {since} {peer:?}: {} of {}", cut.len(), all.len() - first);
        }
    }
    let since = Zone::utc().format(both[both.len() / 3]);
    assert!(log(&["--since", &since, "--limit", "5"]) == log(&["--limit", "5"]));
    assert_eq!(log(&["--since", "1ms"]), [""; 0]);
}

/// What an outbox should be.
#[derive(Debug, Default)]
struct Model {
    waiting: Vec<QueuedMessage>,
    /// Keys of what was delivered, with its number.
    delivered: HashMap<String, u64>,
    /// What the sender has read.
    read: u64,
}

#[derive(Clone, Debug)]
enum Op {
    /// Texts of these lengths.
    Queue(Vec<usize>),
    QueueOnce(u8),
    /// Expired as it is queued.
    QueueExpired(u8),
    /// Those of what waits whose place is a multiple.
    Drop(usize),
    DropExpired,
    /// The sender reads so many.
    Read(usize),
    /// A part of what was read is acknowledged.
    Settle(u8),
    SettleDropped,
    /// The receiver holds a number that was never given out.
    Reissue(u32),
    /// By another process from now on.
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let length = prop_oneof![8 => 0..200usize, 1 => 300_000..500_000usize];
    prop_oneof![
        4 => prop::collection::vec(length, 0..5).prop_map(Op::Queue),
        3 => (0..6u8).prop_map(Op::QueueOnce),
        2 => (0..6u8).prop_map(Op::QueueExpired),
        3 => (1..5usize).prop_map(Op::Drop),
        1 => Just(Op::DropExpired),
        4 => (1..6usize).prop_map(Op::Read),
        4 => any::<u8>().prop_map(Op::Settle),
        2 => Just(Op::SettleDropped),
        1 => (0..1_000_000u32).prop_map(Op::Reissue),
        1 => Just(Op::Reopen),
    ]
}

struct Run {
    outbox: Outbox,
    /// As the sender holds them.
    sender: (Outbox, Pending),
    model: Model,
    last: u64,
    renumbered: u32,
}

fn open(path: &Path) -> Outbox {
    let key = |byte| Seed::from_bytes([byte; 32]);
    let peer = key(2).static_keys().public();
    Outbox::open(
        LogId::new(path.to_owned(), Kind::Outbox, &peer, &key(1)),
        Arc::new(|what: &str| panic!("{what}")),
    )
    .unwrap()
}

fn sender(path: &Path) -> (Outbox, Pending) {
    let outbox = open(path);
    let pending = outbox.pending();
    (outbox, pending)
}

/// Without the times, of which the model knows nothing.
fn untimed(messages: Vec<QueuedMessage>) -> Vec<QueuedMessage> {
    messages.into_iter().map(|message| QueuedMessage { said: 0, ..message }).collect()
}

impl Run {
    fn queued(&mut self, number: u64, draft: Draft) {
        assert!(number > self.last, "numbers rise");
        self.last = number;
        self.model.waiting.push(QueuedMessage { number, said: 0, draft });
    }

    fn queue_once(&mut self, draft: Draft) {
        let done = self.model.delivered.get(&draft.key).copied();
        let is_it = |one: &&QueuedMessage| one.draft.key == draft.key && !one.is_expired();
        let known = self.model.waiting.iter().rfind(is_it).map(|one| one.number).or(done);
        let (number, is_new) = self.outbox.queue_once(&draft, || Ok(done)).unwrap();
        match known {
            Some(known) => assert_eq!((number, is_new), (known, false)),
            None => {
                assert!(is_new);
                self.queued(number, draft);
            }
        }
    }

    fn drop_messages(&mut self, wanted: impl Fn(&QueuedMessage) -> bool) {
        let dropped = untimed(self.outbox.drop_messages(&wanted, Ok).unwrap());
        let (out, stay) = std::mem::take(&mut self.model.waiting).into_iter().partition(|one| wanted(one));
        self.model.waiting = stay;
        assert_eq!(dropped, out, "what was dropped");
        for one in dropped {
            assert_ne!(self.outbox.is_dropped(one.number).unwrap(), Some(false));
        }
    }

    fn apply(&mut self, path: &Path, op: Op) {
        match op {
            Op::Queue(lengths) => {
                for length in lengths {
                    let draft = Draft::new(&vec![7; length]);
                    let number = self.outbox.queue(std::slice::from_ref(&draft)).unwrap();
                    self.queued(number, draft);
                }
            }
            Op::QueueOnce(key) => {
                self.queue_once(Draft { text: b"once".into(), key: key.to_string(), expires: 0 });
            }
            Op::QueueExpired(key) => {
                self.queue_once(Draft { text: b"late".into(), key: key.to_string(), expires: 1 });
            }
            Op::Drop(every) => {
                let mut place = 0;
                let chosen: Vec<u64> = self.model.waiting.iter().map(|one| one.number).collect();
                let chosen: Vec<u64> = chosen
                    .into_iter()
                    .filter(|_| {
                        place += 1;
                        place % every == 0
                    })
                    .collect();
                self.drop_messages(|one| chosen.contains(&one.number));
            }
            Op::DropExpired => self.drop_messages(QueuedMessage::is_expired),
            Op::Read(count) => {
                self.sender.1.look_again();
                for _ in 0..count {
                    let next = self.model.waiting.iter().find(|one| one.number > self.model.read);
                    let read = untimed(self.sender.1.read().unwrap().into_iter().collect());
                    assert_eq!(read.first(), next, "what the sender reads");
                    self.model.read = next.map_or(self.model.read, |next| next.number);
                }
            }
            Op::Settle(part) => {
                let sent = self.model.waiting.iter().filter(|one| one.number <= self.model.read).count();
                let Some(last) = (sent * usize::from(part) / 255).checked_sub(1) else { return };
                let number = self.model.waiting[last].number;
                self.sender.0.settle(number).unwrap();
                for one in self.model.waiting.drain(..=last) {
                    if !one.draft.key.is_empty() {
                        self.model.delivered.insert(one.draft.key, one.number);
                    }
                }
                assert!(self.outbox.is_settled(number).unwrap());
                assert_ne!(self.outbox.is_dropped(number).unwrap(), Some(true));
            }
            Op::SettleDropped => {
                self.sender.0.settle_dropped().unwrap();
                if self.model.waiting.is_empty() {
                    // What was dropped before anything was settled may count, but not after this.
                    assert!(!self.outbox.has_pending().unwrap());
                }
            }
            Op::Reissue(ahead) => {
                let held = self.last.max(micros()) + u64::from(ahead);
                self.renumbered += 1;
                if let Err(error) = self.outbox.reissue_above(held) {
                    assert!(self.renumbered > 2, "{error}");
                    return;
                }
                // Under new numbers, in the same order.
                let mut pending = self.outbox.pending();
                for one in &mut self.model.waiting {
                    let now = pending.read().unwrap().expect("nothing is lost");
                    assert!(now.number > held && now.draft == one.draft);
                    one.number = now.number;
                    self.last = now.number;
                }
                self.last = self.last.max(held);
                // The flow begins with this.
                self.sender = sender(path);
                self.model.read = 0;
            }
            Op::Reopen => {
                self.outbox = open(path);
                self.sender = sender(path);
                self.model.read = 0;
            }
        }
    }

    fn check(&mut self) {
        let mut pending = self.outbox.pending();
        let found = untimed(std::iter::from_fn(|| pending.read().unwrap()).collect());
        assert_eq!(found.len(), self.model.waiting.len());
        assert!(found == self.model.waiting, "what waits");
        assert!(self.model.waiting.is_empty() || self.outbox.has_pending().unwrap());
        if let Some(last) = self.model.waiting.last() {
            assert!(self.outbox.has_issued(last.number).unwrap());
        }
        let first = self.model.waiting.first().map(|one| one.number);
        assert!(first.is_none_or(|first| !self.outbox.is_settled(first).unwrap()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn an_outbox_does_what_a_simple_model_does(ops in prop::collection::vec(op(), 1..40)) {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let path = dir.path().join("a.log");
        let mut run = Run { outbox: open(&path), sender: sender(&path), model: Model::default(), last: 0, renumbered: 0 };
        for op in ops {
            run.apply(&path, op);
            run.check();
        }
    }
}
