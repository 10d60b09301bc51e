//! What a command that waits for a peer does when the network cuts a handshake, and when another node has its address.

use crate::common;

use common::proxy::{How, Plan, Proxy, Way};
use common::{Home, Node, Process, finish};

/// Bytes of the answer after which the network cuts: at once, early, late, and when all of it has arrived.
const CUTS: [u64; 4] = [0, 3, 700, 1200];

/// Alice, who reaches Bob through a network, and a file.
fn through(proxy: impl Fn(&str) -> Proxy) -> (Home, Home, Node, Proxy, String) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let proxy = proxy(&node.addr);
    alice.run(&["peers", "add", "bob", &bob.key(), &proxy.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let file = alice.file("a.txt", "a");
    (alice, bob, node, proxy, file)
}

#[test]
fn a_handshake_that_is_cut_is_a_lost_connection() {
    for at in CUTS {
        let (alice, _bob, _node, proxy, file) = through(Proxy::before);
        proxy.plan(move || Plan::cut(Way::ToDialler, at, How::Cut));
        let said = alice.fails(&["send", "bob", &file], 69);
        assert!(said.contains("lost while"), "{at}: {said}");
    }
}

/// After as many connections as one try makes, the network is well again.
fn cut_and_tried_again(args: &[&str], at: u64) -> Home {
    let (alice, bob, _node, proxy, _file) = through(Proxy::before);
    let mut made = 0;
    proxy.plan(move || {
        made += 1;
        if made <= 12 { Plan::cut(Way::ToDialler, at, How::Cut) } else { Plan::default() }
    });
    let mut command = alice.cmd(args);
    command.current_dir(alice.around());
    let said = finish(command, b"from a pipe", 0).1;
    assert!(said.contains("lost while") && said.contains("trying again"), "{at}: {said}");
    bob
}

#[test]
fn a_handshake_that_is_cut_is_tried_again() {
    for at in [0, 700] {
        let bob = cut_and_tried_again(&["send", "--wait", "60s", "bob", "a.txt"], at);
        assert!(bob.path("downloads/alice/a.txt").exists());
    }
}

/// What comes out of a pipe is worth a minute without being told.
#[test]
fn a_handshake_for_a_pipe_that_is_cut_is_tried_again() {
    for at in [3, 1200] {
        let bob = cut_and_tried_again(&["send", "bob", "-"], at);
        assert!(bob.path("downloads/alice/stdin").exists());
    }
}

/// Bob, with a node of somebody else at the first of his addresses; he himself is away from the second.
fn somebody_else() -> (Home, Home, String, (Home, Node), String) {
    let (alice, bob, mallory) = (Home::new("alice"), Home::new("bob"), Home::new("mallory"));
    let mut node = bob.serve();
    let other = mallory.serve_with(&["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]);
    node.kill9();
    alice.run(&["peers", "add", "bob", &bob.key(), &other.addr, &node.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let file = alice.file("a.txt", "a");
    (alice, bob, node.addr.clone(), (mallory, other), file)
}

#[test]
fn who_waits_for_a_peer_goes_on_when_somebody_else_has_an_address() {
    for what in ["send", "say", "pipe"] {
        let (alice, bob, addr, _other, file) = somebody_else();
        let mut args = vec!["--wait", "60s", "bob"];
        args.insert(0, if what == "say" { "say" } else { "send" });
        args.push(match what {
            "send" => &file,
            "say" => "hi",
            _ => "-",
        });
        let mut waiting = Process::start(alice.cmd(&args));
        waiting.write(b"from a pipe");
        waiting.wait_to_say("the key of bob has changed");
        let _node = bob.serve_again_at(&addr);
        let (code, _, said) = waiting.end();
        assert_eq!(code, Some(0), "{what}: {said}");
        assert_eq!(said.matches("has changed").count(), 1, "{what}: {said}");
    }
}

/// One of two addresses: Bob may come back to the other. Each command finds another node there, since failed handshakes
/// count.
#[test]
fn a_wait_ends_as_usual_if_one_of_two_addresses_has_a_changed_key() {
    for (command, code, words) in
        [("send", 69, "cannot reach bob: "), ("say", 75, "not delivered to bob in time: ")]
    {
        let (alice, _bob, addr, _other, file) = somebody_else();
        let said = alice.fails(&[command, "--wait", "2s", "bob", &file], code);
        assert!(said.contains(words) && said.contains(&format!("{addr}: connection refused")), "{said}");
        assert_eq!(said.matches("has changed").count(), 1, "{said}");
    }
    // Without a wait there is no time to try again.
    let (alice, _bob, _addr, _other, file) = somebody_else();
    assert!(alice.fails(&["send", "bob", &file], 77).contains("the key of bob has changed"));
}

#[test]
fn a_wait_ends_with_a_changed_key_if_each_address_has_one() {
    for command in ["send", "say"] {
        let (alice, bob, _addr, (_mallory, mut other), file) = somebody_else();
        let second = other.wait_for("listening on ")["listening on ".len()..].to_owned();
        alice.run(&["peers", "remove", "bob"]);
        alice.run(&["peers", "add", "bob", &bob.key(), &other.addr, &second]);
        let said = alice.fails(&[command, "--wait", "2s", "bob", &file], 77);
        assert!(said.contains("answers now; trying its addresses again"), "{said}");
        assert!(said.contains("error: the key of bob has changed") && said.contains("hint: "), "{said}");
    }
}
