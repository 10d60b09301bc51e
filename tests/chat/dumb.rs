//! A chat line by line that a person types, as with TERM=dumb: it says what was missed, and can be left as the other one.

use crate::common;
use crate::terminal::{Chat, USUAL};

use common::{EGOAT, Home, paired, poll_until};

/// A chat of the home on a dumb terminal.
fn start(chat: &Chat, home: &Home, args: &str) {
    chat.line(&format!(
        "clear; TERM=dumb {EGOAT} --home {} chat --listen {} {args}",
        home.path("").display(),
        home.own_port("127.0.0.1:0")
    ));
}

#[test]
fn it_begins_with_what_is_unread() {
    let (alice, alice_node, bob, _bob_node) = paired();
    let Some(chat) = Chat::shell(USUAL) else { return };
    for text in ["are you there?", "/me waits"] {
        bob.run(&["say", "--wait", "30s", "alice", text]);
    }
    start(&chat, &alice, "");
    let screen = chat.see("egoat: what you type goes to bob (");
    let lines: Vec<&str> =
        screen.lines().filter(|line| line.contains("egoat: ") || line.contains("20")).collect();
    assert_eq!(lines[0], "egoat: unread", "{screen}");
    assert!(lines[1].ends_with(" bob: are you there?") && lines[2].ends_with(" ~ bob waits"), "{screen}");
    assert_eq!(alice.run(&["peers", "--unread"]), "", "it was read");
    bob.run(&["say", "--wait", "30s", "alice", "and now?"]);
    chat.see(" bob: and now?");
    chat.line("/quit");
    chat.see_input("$");
    chat.line("clear");
    chat.wait("an empty screen", || (!chat.terminal.screen().contains("bob")).then_some(()));
    start(&chat, &alice, "bob");
    let screen = chat.see("egoat: what you type goes to bob (");
    assert!(!screen.contains("and now?"), "it was read: {screen}");
    chat.line("/quit");
    chat.see_input("$");
    // A pipe reads nothing in the place of a person.
    bob.run(&["say", "--wait", "30s", "alice", "the last one"]);
    alice.pipe(&["chat", "bob"], b"");
    assert_eq!(alice.run(&["peers", "--unread"]), "bob 1\n");
    drop(alice_node);
}

#[test]
fn it_asks_before_it_is_left() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    let Some(chat) = Chat::shell(USUAL) else { return };
    start(&chat, &alice, "");
    chat.see("egoat: what you type goes to bob (away)");
    chat.see("egoat: listening on");
    // Ctrl-C drops what was begun.
    chat.text("nonsense");
    chat.keys(&["C-c"]);
    chat.line("for later");
    chat.see("egoat: bob is away: what you say waits, and goes out when they are back");
    assert!(alice.run(&["outbox"]).contains("-> bob: for later\n"), "{}", alice.run(&["outbox"]));
    for (keys, answers) in [(&["C-d"][..], true), (&["C-c", "C-c"], false)] {
        chat.line("/clear");
        chat.keys(keys);
        chat.see("egoat: still to go out: 1 message; leave? yes or no");
        if answers {
            chat.line("no");
            chat.see("egoat: then on");
            chat.terminal.tmux(&["send-keys", "-R"]).unwrap();
            chat.terminal.tmux(&["clear-history"]).unwrap();
        } else {
            chat.keys(&["C-c"]);
        }
    }
    chat.is_a_shell_again();
    poll_until("the node to be gone", || {
        alice.cmd(&["status"]).output().ok().filter(|status| !status.status.success())
    });
}

/// The terminal is as it was also after the chat was killed.
#[test]
fn its_end_leaves_the_terminal_as_it_was() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    let Some(chat) = Chat::shell(USUAL) else { return };
    start(&chat, &alice, "");
    chat.see("egoat: listening on");
    chat.kill(&alice, "-KILL");
    chat.has_ended();
}
