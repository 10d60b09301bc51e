//! `say --lines`: what a program prints becomes a message a line, and none is lost.

use crate::common;

use common::{Home, Node, Process, pair, paired, poll_until};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Starts `say --lines` to Bob.
fn start(home: &Home) -> Process {
    Process::start(home.cmd(&["say", "--lines", "bob"]))
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("line {number}")).collect()
}

/// Alice, who may serve, knows Bob, who serves.
fn with_bob(alice_serves: bool) -> (Home, Option<Node>, Home, Node) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let alice_node = alice_serves.then(|| alice.serve());
    let bob_node = bob.serve();
    pair(&bob, &alice);
    (alice, alice_node, bob, bob_node)
}

#[test]
fn every_line_arrives_in_order_with_a_node_and_without() {
    for alice_serves in [true, false] {
        let (alice, _alice_node, bob, _bob_node) = with_bob(alice_serves);
        let lines = numbered(5000);
        let input = format!("{}\n\n\nwithout an end", lines.join("\n"));
        let (out, said) = alice.ends_with(&["say", "--wait", "30s", "--lines", "bob"], input.as_bytes(), 0);
        assert!(out.is_empty() && said.contains("delivered to bob"), "{said}");
        assert_eq!(bob.received(), [&lines[..], &["without an end".to_owned()]].concat());
    }
}

#[test]
fn a_line_goes_out_before_the_next_one_is_there() {
    for alice_serves in [true, false] {
        let (alice, _alice_node, _bob, mut bob_node) = with_bob(alice_serves);
        let mut say = start(&alice);
        for line in numbered(5) {
            say.write(format!("{line}\n").as_bytes());
            assert_eq!(bob_node.wait_for("message from"), format!("message from alice: {line}"));
        }
        assert!(say.is_running());
        assert_eq!(say.end().0, Some(0));
    }
}

#[test]
fn lines_wait_for_a_peer_that_is_away() {
    let (alice, _alice_node, bob, bob_node) = with_bob(false);
    let addr = bob_node.addr.clone();
    drop(bob_node);
    let mut say = start(&alice);
    say.write(b"one\ntwo\n");
    poll_until("both to wait", || (alice.run(&["outbox"]).lines().count() == 2).then_some(()));
    let _bob_node = bob.serve_again_at(&addr);
    poll_until("both to arrive", || (bob.received() == ["one", "two"]).then_some(()));
    say.write(b"three\n");
    assert_eq!(say.end().0, Some(0));
    assert_eq!(bob.received(), ["one", "two", "three"]);
}

#[test]
fn what_was_read_survives_kill_9() {
    let (alice, _alice_node, bob, bob_node) = with_bob(false);
    let addr = bob_node.addr.clone();
    drop(bob_node);
    let mut say = start(&alice);
    let lines = numbered(100);
    say.write(format!("{}\n", lines.join("\n")).as_bytes());
    poll_until("all to wait", || (alice.run(&["outbox"]).lines().count() == 100).then_some(()));
    say.kill9();
    let _bob_node = bob.serve_again_at(&addr);
    alice.run(&["fetch"]);
    assert_eq!(bob.received(), lines);
}

#[test]
fn whoever_writes_is_held_up_while_much_waits() {
    const LINE: usize = 1 << 20;
    const LINES: usize = 74;
    let (alice, bob) =
        (Home::new_in(&common::route::fast_dir(), "alice"), Home::new_in(&common::route::fast_dir(), "bob"));
    let bob_node = bob.serve();
    pair(&bob, &alice);
    let addr = bob_node.addr.clone();
    drop(bob_node);
    // Without it, what is not delivered in one try stays queued.
    let mut say = Process::start(alice.cmd(&["say", "--wait", "100s", "--lines", "bob"]));
    let mut stdin = say.child.stdin.take().unwrap();
    let written = AtomicUsize::new(0);
    let (outbox, written) = (alice.path("outbox").join(format!("{}.log", bob.key())), &written);
    thread::scope(|scope| {
        scope.spawn(move || {
            let line = [&[b'x'; LINE - 1][..], b"\n"].concat();
            for _ in 0..LINES {
                stdin.write_all(&line).unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        // It stops a little above 64 MiB: what it reads at once, and the pipe.
        let length = || std::fs::metadata(&outbox).map_or(0, |data| data.len()) as usize;
        poll_until("64 MiB to wait", || (length() > 64 * LINE).then_some(()));
        assert!(written.load(Ordering::Relaxed) < 70 && length() < 70 * LINE);
        let _bob_node = bob.serve_again_at(&addr);
        poll_until("the rest to be read", || (written.load(Ordering::Relaxed) == LINES).then_some(()));
        assert_eq!(say.end().0, Some(0));
    });
    let log = bob.run(&["--json", "log"]);
    assert_eq!(log.matches("\"event\":\"received\"").count(), LINES);
}

#[test]
fn a_changed_key_ends_it() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let node = carol.serve();
    alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
    let mut say = start(&alice);
    say.write(b"one\n");
    // Nothing more is written, and stdin stays open.
    poll_until("it to end", || (!say.is_running()).then_some(()));
    let (code, _, said) = say.end();
    assert_eq!(code, Some(77));
    assert!(said.contains("what was said stays queued for bob as it was; `egoat outbox` shows it"), "{said}");
    assert_eq!(alice.run(&["outbox"]).lines().count(), 1);
}

/// What cannot be delivered must not be waited for.
#[test]
fn a_changed_key_ends_it_while_it_waits_for_room() {
    let homes = ["alice", "bob", "carol"].map(|name| Home::new_in(&common::route::fast_dir(), name));
    let [alice, bob, carol] = &homes;
    let bob_node = bob.serve();
    pair(bob, alice);
    let addr = bob_node.addr.clone();
    drop(bob_node);
    let mut say = start(alice);
    let mut stdin = say.child.stdin.take().unwrap();
    let outbox = alice.path("outbox").join(format!("{}.log", bob.key()));
    thread::spawn(move || {
        let line = [&[b'x'; (1 << 20) - 1][..], b"\n"].concat();
        // Until nobody reads any more; stdin stays open as long.
        while stdin.write_all(&line).is_ok() {}
    });
    let length = || std::fs::metadata(&outbox).map_or(0, |data| data.len());
    poll_until("64 MiB to wait", || (length() > 64 << 20).then_some(()));
    let _node = carol.serve_again_at(&addr);
    assert_eq!(say.end().0, Some(77));
}

#[test]
fn lines_come_from_stdin_alone() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    alice.run(&["peers", "rename", "bob", "robert"]);
    for args in [&["say", "--lines", "robert", "text"][..], &["say", "--lines", "--id", "x", "robert"]] {
        assert!(alice.fails(args, 2).contains("--lines reads its messages from stdin"));
    }
    // Nobody is dialled for it, or paired with.
    let link = bob.run(&["-q", "invite"]);
    assert!(alice.fails(&["say", "--lines", link.trim_end(), "text"], 2).contains("--lines reads"));
    assert!(Home::new("carol").run(&["join", link.trim_end()]).contains("paired with bob"));
}
