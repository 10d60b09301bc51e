//! What goes out of a chat: what waits is listed and taken back, files are named as people type names, and what is typed in
//! the wrong place goes to nobody.

use crate::common;
use crate::terminal::{Chat, USUAL, with_bob};

use common::{EGOAT, Home, Process, finish, paired, poll_until};
use std::fs;

#[test]
fn what_waits_is_listed_and_taken_back_by_its_number() {
    let Some((chat, alice, bob, node)) = with_bob() else { return };
    chat.line("/outbox");
    chat.see("-- nothing waits");
    let addr = node.addr.clone();
    drop(node);
    chat.see_input("bob (away)>");
    chat.line("the first");
    chat.line("the second");
    chat.see(". me: the second");
    let path = alice.file("notes.txt", "some notes");
    alice.run(&["send", "--queue", "bob", &path]);
    chat.line("/outbox");
    let screen = chat.see("-- /cancel N takes one back");
    let listed = |number: usize, what: &str| {
        let is_it = |line: &&str| line.starts_with(&format!("-- {number}  ")) && line.contains(what);
        screen.lines().any(|line| is_it(&line))
    };
    assert!(listed(1, "to bob: the first") && listed(2, "to bob: the second"), "{screen}");
    assert!(
        screen.contains("-- 3  ") && screen.replace("\n    ", " ").contains("notes.txt (10 B)"),
        "{screen}"
    );
    chat.line("/cancel 3");
    chat.see("-- taken back: file ");
    chat.line("/cancel 1");
    chat.see("x me (cancelled): the first");
    // The numbers stay what they were.
    chat.line("/clear");
    chat.line("/cancel 1");
    chat.see("-- it waits no more");
    chat.line("/cancel 7");
    chat.see("which one? /outbox lists what waits");
    chat.line("/outbox");
    let screen = chat.see("-- /cancel N takes one back");
    assert!(screen.contains("-- 2  ") && !screen.contains("-- 1  "), "{screen}");
    let _node = bob.serve_again_at(&addr);
    poll_until("the second", || (bob.received() == ["the second"]).then_some(()));
    assert!(!bob.path("downloads/alice").exists());
}

#[test]
fn a_name_with_blanks_is_sent_however_it_is_typed() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    let path = |name: &str| alice.file(name, name);
    let arrives = |name: &str| {
        let landed = bob.path(&format!("downloads/alice/{name}"));
        poll_until(name, || fs::read(&landed).ok().filter(|read| read == name.as_bytes()).map(drop));
    };
    chat.line(&format!("/send {}", path("as it is.txt")));
    arrives("as it is.txt");
    chat.line(&format!("/send '{}' \"{}\"", path("one of two.txt"), path("the other of two.txt")));
    arrives("one of two.txt");
    arrives("the other of two.txt");
    chat.line(&format!("/send {}", path("a backslash.txt").replace(' ', "\\ ")));
    arrives("a backslash.txt");
    chat.line("/clear");
    chat.line("/send /nonexistent name.txt");
    chat.see("-- there is no file /nonexistent\n");
    chat.see("-- hint: quotes go around a name with blanks");
}

#[test]
fn what_is_mistyped_goes_to_nobody_and_not_into_the_next_line() {
    let Some((chat, _alice, bob, _node)) = with_bob() else { return };
    chat.line("/sned notes.txt");
    chat.see("-- /sned is no command; did you mean /send? (Up brings the line back)");
    chat.see_input("bob (here)>");
    chat.line("egoat peers accept");
    chat.see("-- this is a command for a shell; here it is /admit FINGERPRINT, and with a blank in front");
    chat.see_input("bob (here)>");
    chat.paste("egoat doctor bob");
    chat.see_input("bob (here)> egoat doctor bob");
    chat.keys(&["Enter"]);
    chat.see("a command for a shell; with a blank in front it is a message (Up brings the line back)");
    chat.keys(&["Up", "C-a", "Space"]);
    chat.see_input("bob (here)>  egoat doctor bob");
    chat.keys(&["Enter"]);
    chat.line("egoat is small");
    poll_until("the messages", || (bob.received().len() == 2).then_some(()));
    assert_eq!(bob.received(), [" egoat doctor bob", "egoat is small"]);
}

#[test]
fn line_by_line_the_same_holds() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let lines = "egoat peers accept\n/sned x\n/outbox\n egoat peers\n";
    let (_, said) = finish(alice.cmd(&["chat", "bob"]), lines.as_bytes(), 0);
    assert!(
        said.contains("this line was not sent: this is a command for a shell; here it is /admit"),
        "{said}"
    );
    assert!(said.contains("/sned is no command; did you mean /send?"), "{said}");
    assert!(said.contains("/outbox works on a terminal"), "{said}");
    assert_eq!(bob.received(), [" egoat peers"]);

    // On a terminal a file goes to whom lines go, and strangers are told with the command of the chat.
    let Some(chat) = Chat::shell(USUAL) else { return };
    chat.line(&format!("clear; TERM=dumb {EGOAT} --home {} chat", alice.path("").display()));
    chat.line("hello");
    poll_until("the line", || (bob.received().len() == 2).then_some(()));
    chat.line(&format!("/send {}", alice.file("my notes.txt", "some notes")));
    poll_until("the file", || bob.path("downloads/alice/my notes.txt").exists().then_some(()));
    chat.line("/nick no/name");
    chat.see("egoat: no/name is no name");
    poll_until("the outbox to be empty", || alice.run(&["outbox"]).is_empty().then_some(()));
    chat.line("/outbox");
    chat.see("egoat: nothing waits");
    chat.line("/to nobody");
    chat.see("no peer is called nobody; /who lists them");
    chat.line("/q");
    chat.see_input("$");

    // What somebody goes on to type is no answer, and is not lost without a word.
    let carol = Home::new("carol");
    carol.run(&["peers", "add", "bob", &bob.key()]);
    let at = carol.own_port("127.0.0.1:0");
    chat.line(&format!("clear; TERM=dumb {EGOAT} --home {} chat --listen {at}", carol.path("").display()));
    chat.line("it waits");
    chat.line("/quit");
    chat.see("egoat: still to go out: 1 message; leave? yes or no");
    chat.line("and on");
    chat.see("egoat: this line was not sent: it answered the question, with no");
    chat.line("/quit");
    chat.line("/quit");
    chat.see_input("$");
    let queued = carol.run(&["outbox"]);
    assert!(queued.contains("it waits") && !queued.contains("and on"), "{queued}");
}

#[test]
fn the_only_offer_needs_no_number_and_its_sender_reads_what_it_waits_for() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.see("-- listening on");
    bob.run(&["join", alice.run(&["invite"]).trim_end()]);
    alice.run(&["peers", "set", "bob", "files=ask"]);
    let Some(other) = Chat::open(&bob, USUAL, "") else { return };
    chat.see_input("bob (here)>");
    other.see_input("alice (here)>");
    chat.line("/accept");
    chat.see("-- no offer waits");
    other.line(&format!("/send {}", bob.file("one.txt", "an offer")));
    chat.see("-- [1] bob offers one.txt");
    other.see("[1] waiting for alice to take one.txt");
    chat.line(&format!("/accept {}", alice.path("elsewhere").display()));
    poll_until("the file", || alice.path("elsewhere/one.txt").exists().then_some(()));
    other.line(&format!("/send {}", bob.file("two.txt", "an offer")));
    chat.see("-- [2] bob offers two.txt");
    other.line(&format!("/send {}", bob.file("three.txt", "an offer")));
    chat.see("-- [3] bob offers three.txt");
    chat.line("/accept");
    chat.see("-- which offer? type its number:");
    chat.see("-- [3] three.txt of bob");
    chat.line("/accept 3");
    chat.line("/refuse 2");
    other.see("alice refused");
    // What was refused is told, and does not stay.
    poll_until("the outbox to be empty", || bob.run(&["outbox"]).is_empty().then_some(()));
}

#[test]
fn queued_messages_are_asked_about_only_where_the_node_ends() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.see_input("bob (away)>");
    chat.line("it waits");
    chat.see(". me: it waits");
    chat.line("/quit");
    chat.see("-- still to go out: 1 message; leave? yes or no");
    // Whoever types it once more means it.
    chat.line("/quit");
    chat.is_a_shell_again();
    let _node = alice.serve();
    chat.start(&alice, "");
    chat.see(". me: it waits");
    chat.line("/quit");
    chat.is_a_shell_again();
}

/// Another program has the port that links of this home name.
#[test]
fn a_chat_begins_without_its_port_and_takes_it_later() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = bob.serve();
    alice.run(&["join", bob.run(&["invite"]).trim_end()]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    fs::write(alice.path("listen"), format!("{at}\n")).unwrap();
    let said = alice.fails(&["chat", "--listen", &at.to_string()], 1);
    assert!(
        said.contains("already in use") && said.contains("hint: another program listens there"),
        "{said}"
    );
    assert!(alice.fails(&["serve"], 1).contains("already in use"));
    let mut chat = Process::start(alice.cmd(&["chat", "bob"]));
    chat.wait_to_say("already in use; nobody can dial this node there until it can, and it keeps trying");
    chat.wait_to_say("hint: another program listens there; write ");
    chat.write(b"it dials all the same\n");
    poll_until("the message", || (bob.received() == ["it dials all the same"]).then_some(()));
    drop(taken);
    chat.wait_to_say(&format!("listening on {at}"));
    poll_until("the address for links", || {
        fs::read_to_string(alice.path("node.lock"))
            .ok()
            .filter(|lock| lock.contains(&format!("listening {at}")))
    });
    bob.run(&["say", "--wait", "20s", "alice", "and is dialled"]);
}
