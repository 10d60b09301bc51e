//! Pairing from a chat by six digits that two users compare.

use crate::common;
use crate::terminal::{Chat, USUAL};

use common::digits::User;
use common::{Home, poll_until};

#[test]
fn a_chat_compares_digits_with_who_waits() {
    let Some(alice) = User::new("alice") else { return };
    let bob = Home::new("bob");
    let Some(chat) = Chat::open(&bob, USUAL, "") else { return };
    chat.line(&format!("/add {}", alice.invites("")));
    let digits = alice.compares();
    chat.see(&format!("do both show {digits}? yes or no"));
    chat.line("yes");
    chat.see("waiting for the other side to say so as well");
    assert_eq!(bob.run(&["peers"]), "");
    alice.answers("yes");
    alice.ends_with(0);
    chat.see("paired with alice");
    poll_until("alice as a peer", || bob.run(&["peers"]).starts_with("alice ").then_some(()));
}

#[test]
fn a_no_and_a_late_answer_in_a_chat_save_nobody() {
    let Some(alice) = User::new("alice") else { return };
    let bob = Home::new("bob");
    let Some(chat) = Chat::open(&bob, USUAL, "") else { return };
    chat.line(&format!("/add {}", alice.invites("")));
    alice.compares();
    chat.see("? yes or no");
    chat.line("what?");
    chat.see("you did not say that both show the same digits");
    alice.ends_with(77);
    chat.line(&format!("/add {}", alice.invites("")));
    alice.compares();
    poll_until("the second question", || {
        (chat.terminal.screen().matches("? yes or no").count() == 2).then_some(())
    });
    alice.answers("no");
    alice.ends_with(77);
    chat.see("the other side did not say that both show the same digits");
    chat.line("yes");
    chat.see("it was over before you answered");
    assert_eq!(bob.run(&["peers"]), "");
    alice.knows_nobody();
}

/// Has the chat wait; gives the address to join.
fn waits(chat: &Chat) -> String {
    chat.line("/invite nearby");
    let screen = chat.see("egoat join 127.0.0.1:");
    let rest = screen.rsplit("egoat join ").next().unwrap();
    rest.lines().next().unwrap().trim().to_owned()
}

/// The node is the chat itself, or one beside it.
#[test]
fn a_chat_waits_for_somebody_at_the_port_of_the_node() {
    for has_node in [false, true] {
        let Some(bob) = User::new("bob") else { return };
        let alice = Home::new("alice");
        let node = has_node.then(|| alice.serve());
        let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
        let address = waits(&chat);
        assert!(node.as_ref().is_none_or(|node| node.addr == address), "{address}");
        bob.types(&format!("join {address}"));
        let digits = bob.compares();
        chat.see(&format!("do both show {digits}? yes or no"));
        bob.answers("yes");
        bob.terminal.wait_for("waiting for the other side");
        assert_eq!(alice.run(&["peers"]), "");
        chat.line("yes");
        bob.ends_with(0);
        chat.see("bob");
        poll_until("bob as a peer", || alice.run(&["peers"]).starts_with("bob ").then_some(()));
        let saved = bob.home.run(&["peers"]);
        assert!(saved.starts_with("alice ") && saved.contains(&address), "{saved}");
        bob.home.run(&["say", "--wait", "20s", "alice", "hello"]);
        // The wait is over with that.
        let carol = User::new("carol").unwrap();
        carol.types(&format!("join {address}"));
        carol.terminal.wait_for("its fingerprint is");
    }
}

#[test]
fn a_wait_ends_with_its_chat() {
    let Some(bob) = User::new("bob") else { return };
    let alice = Home::new("alice");
    let _node = alice.serve();
    let Some((chat, other)) = Chat::open(&alice, USUAL, "").zip(Chat::open(&alice, USUAL, "")) else {
        return;
    };
    let address = waits(&chat);
    other.line("/invite nearby");
    other.see("somebody is waited for already");
    bob.types(&format!("join {address}"));
    bob.compares();
    chat.see("? yes or no");
    chat.terminal.tmux(&["kill-server"]).unwrap();
    assert!(bob.ends_with(77).contains("the other side did not say"));
    bob.knows_nobody();
    bob.types(&format!("join {address}"));
    bob.terminal.wait_for("its fingerprint is");
    assert_eq!(alice.run(&["peers"]), "");
}
