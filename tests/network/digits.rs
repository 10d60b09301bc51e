//! Pairing by six digits that two users compare, each at a terminal.

use crate::common;

use common::digits::User;
use common::{Home, json_text};

fn two() -> Option<(User, User)> {
    User::new("alice").zip(User::new("bob"))
}

/// The question is asked at both, with the same digits.
fn compare(alice: &User, bob: &User, more: &str) -> String {
    bob.types(&format!("join {}", alice.invites(more)));
    let (hers, his) = (alice.compares(), bob.compares());
    assert_eq!(hers, his);
    assert!(hers.len() == 7 && hers.chars().filter(char::is_ascii_digit).count() == 6, "{hers}");
    hers
}

#[test]
fn who_both_say_yes_are_peers() {
    let Some((alice, bob)) = two() else { return };
    let (alice_node, _bob_node) = (alice.home.serve(), bob.home.serve());
    compare(&alice, &bob, "--as my-bob");
    alice.answers("yes");
    alice.terminal.wait_for("waiting for the other side");
    alice.knows_nobody();
    bob.answers("yes");
    let (hers, his) = (alice.ends_with(0), bob.ends_with(0));
    assert!(hers.contains(&format!("paired with my-bob, fingerprint {}", bob.home.fingerprint())), "{hers}");
    assert!(his.contains(&format!("paired with alice, fingerprint {}", alice.home.fingerprint())), "{his}");
    // What is kept is where the node listens, and not the port of the command.
    let saved = bob.home.run(&["--json", "peers"]);
    assert_eq!(json_text(&saved, "seen"), alice_node.addr);
    assert!(saved.contains(&format!("\"addresses\":[\"{}\"]", alice_node.addr)), "{saved}");
    // A try that came to something does not count.
    let tries = |user: &User| std::fs::read_to_string(user.home.path("tries")).unwrap();
    assert_eq!((tries(&alice), tries(&bob)), (String::new(), String::new()));
    bob.home.run(&["say", "--wait", "20s", "alice", "hello"]);
    assert_eq!(alice.home.received(), ["hello"]);
}

#[test]
fn a_no_saves_nobody_at_either_end() {
    let Some((alice, bob)) = two() else { return };
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        compare(&alice, &bob, "");
        one.answers("yes");
        other.answers("");
        let (said, heard) = (other.ends_with(77), one.ends_with(77));
        assert!(said.contains("you did not say that both show the same"), "{said}");
        assert!(heard.contains("the other side did not say that both show the same"), "{heard}");
        alice.knows_nobody();
        bob.knows_nobody();
    }
}

#[test]
fn a_question_without_an_answer_ends_at_both() {
    let Some((alice, bob)) = two() else { return };
    compare(&alice, &bob, "--ttl 15s");
    bob.answers("yes");
    assert!(alice.ends_with(77).contains("not both sides have said in time"));
    assert!(bob.ends_with(77).contains("the other side did not say"));
    alice.knows_nobody();
    bob.knows_nobody();
}

#[test]
fn a_question_that_is_left_is_a_no() {
    let Some((alice, bob)) = two() else { return };
    compare(&alice, &bob, "");
    bob.answers("yes");
    alice.terminal.tmux(&["send-keys", "C-c"]).unwrap();
    assert!(alice.ends_with(77).contains("you did not say"));
    assert!(bob.ends_with(77).contains("the other side did not say"));
    bob.knows_nobody();
    // The terminal is as it was: Ctrl-C is a signal again.
    alice.types("invite --nearby --listen 127.0.0.1:0");
    alice.terminal.wait_for("egoat join ");
    alice.terminal.tmux(&["send-keys", "C-c"]).unwrap();
    alice.terminal.type_line("echo ba''ck");
    alice.terminal.wait_for("\nback\n");
}

#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    let Some((alice, bob)) = two() else { return };
    let address = alice.invites("");
    alice.answers("yes");
    alice.terminal.wait_for("\nyes\n");
    bob.types(&format!("join {address}"));
    alice.compares();
    bob.compares();
    bob.answers("yes");
    bob.terminal.wait_for("waiting for the other side");
    alice.answers("no");
    bob.ends_with(77);
    alice.ends_with(77);
    bob.knows_nobody();
}

#[test]
fn somebody_who_does_not_wait_is_asked_for_by_the_fingerprint() {
    let Some(bob) = User::new("bob") else { return };
    let alice = Home::new("alice");
    let node = alice.serve();
    bob.types(&format!("join {}", node.addr));
    bob.terminal.wait_for(&format!("its fingerprint is {}", alice.fingerprint()));
    assert_eq!(alice.run(&["peers", "requests"]), "", "the first connection is not noted");
    bob.answers("yes");
    let said = bob.ends_with(77);
    assert!(said.contains("paired with alice") || said.contains("does not know this node yet"), "{said}");
    assert!(alice.run(&["peers", "requests"]).contains("bob"));
    assert!(!bob.home.path("tries").exists());
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let alice = Home::new("alice");
    let said = alice.fails(&["invite", "--nearby"], 2);
    assert!(said.contains("no terminal") && said.contains("hint: "), "{said}");
    assert!(alice.fails(&["invite", "--nearby", "--addr", "a.example"], 2).contains("either --addr"));
    assert!(alice.fails(&["invite", "--listen", "127.0.0.1:0"], 2).contains("--listen is for --nearby"));
}
