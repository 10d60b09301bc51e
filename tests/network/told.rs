//! Nodes tell each other where they can be dialled, so that a peer is found again where it has moved to; and what a peer
//! names is dialled seldom.

use crate::common;
use crate::wire::{Wire, egoat_in, serve_in};

use common::{Home, Process, json_text, poll_until};
use std::process::Command;

/// What Alice's peers file says of Bob.
fn line_of_bob(alice: &Home) -> String {
    std::fs::read_to_string(alice.path("peers")).unwrap()
}

#[test]
#[ignore = "make check-net"]
fn a_peer_is_found_where_it_says_that_it_is() {
    let Some(wire) = Wire::lay() else { return };
    wire.alice("addr add 10.99.0.1/24 dev va");
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key(), "10.99.0.2:4701"]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let mut bob_node = serve_in(&wire.bob, &bob, "[::]:4701");
    let mut alice_node = serve_in(&wire.alice, &alice, "127.0.0.1:0");
    alice_node.wait_for("connected with bob");
    // Bob's machine gets another address, and tells it over the connection that stands.
    wire.bob("addr add 10.99.0.77/24 dev vb");
    poll_until("the new address", || line_of_bob(&alice).contains("told=10.99.0.77:4701").then_some(()));
    assert!(!line_of_bob(&alice).contains("told=10.99.0.2:4701"), "it is an address that Alice has named");
    alice_node.kill9();

    // The address that Alice knows is gone while she is away, and Bob is told nothing of where she is.
    wire.bob("addr del 10.99.0.2/24 dev vb");
    wire.bob("addr add 10.99.0.77/24 dev vb");
    let _alice_node = serve_in(&wire.alice, &alice, "127.0.0.1:0");
    alice.run(&["say", "--wait", "30s", "bob", "found you"]);
    bob_node.wait_for("message from alice: found you");
    let status = poll_until("bob is here", || {
        let (json, _) = common::finish(egoat_in(&wire.alice, &alice, &["--json", "status"]), b"", 0);
        json.lines().find(|line| line.contains("\"here\"")).map(str::to_owned)
    });
    assert_eq!(
        (json_text(&status, "path").as_str(), json_text(&status, "address").as_str()),
        ("direct", "10.99.0.77:4701")
    );
    let shown = alice.run(&["--json", "peers", "show", "bob"]);
    assert!(shown.contains("\"told\"") && shown.contains("10.99.0.77:4701"), "{shown}");
}

/// Accepts at 10.99.0.2:4790 and closes, and prints a line each time.
const TRAP: &str = "import socket\ns = socket.create_server(('10.99.0.2', 4790))\nprint('ready', flush=True)\n\
                    while True:\n  c, a = s.accept()\n  print('dialled from', a[0], flush=True)\n  c.close()\n";

#[test]
#[ignore = "make check-net"]
fn a_place_that_only_the_peer_names_is_dialled_eight_times_an_hour() {
    let Some(wire) = Wire::lay() else { return };
    wire.alice("addr add 10.99.0.1/24 dev va");
    let mut python = Command::new("ip");
    python.args(["netns", "exec", &wire.bob, "python3", "-c", TRAP]);
    let mut trap = Process::start(python);
    trap.wait_for("ready");
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    // Her own machine is another trap: that one is never dialled.
    let line = format!("bob {} - told=10.99.0.2:4790 told=10.99.0.1:4790 told-version=1\n", bob.key());
    std::fs::write(alice.path("peers"), line).unwrap();
    let _node = serve_in(&wire.alice, &alice, "10.99.0.1:4790");
    alice.fails(&["say", "--wait", "0s", "bob", "hello"], 75);
    for _ in 0..8 {
        trap.wait_for("dialled from 10.99.0.1");
        alice.run(&["outbox", "retry", "bob"]);
    }
    // Twelve more tries: each ends with a note of why there was none.
    for _ in 0..12 {
        alice.run(&["outbox", "retry", "bob"]);
        poll_until("a try", || alice.run(&["--json", "outbox"]).contains("\"error\":\"").then_some(()));
    }
    trap.kill9();
    assert_eq!(trap.next_line(), None, "a ninth time");
}
