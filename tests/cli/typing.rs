//! What people type out of habit, and what a command says that waits for them to type.

use crate::common;

use common::tmux::Terminal;
use common::{EGOAT, Home, pair};

#[test]
fn the_peer_may_not_be_named_last() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    let (one, two) = (alice.file("one.txt", "1"), alice.file("two.txt", "2"));
    let link = format!("egoat:{}@127.0.0.1:9", bob.key());
    for (files, peer, meant) in [
        (&[&one][..], "bob", format!("bob {one}")),
        (&[&one, &two], "Bo", format!("Bo {one} {two}")),
        (&[&one], &link, format!("{link} {one}")),
        (&[&one], "carol", format!("PEER {one}")),
        (&[], &one, format!("PEER {one}")),
    ] {
        let mut args = vec!["send"];
        args.extend(files.iter().map(|file| file.as_str()));
        args.push(peer);
        let said = alice.fails(&args, 2);
        assert!(said.contains(&format!("the peer comes first, and {one} is a file")), "{said}");
        assert!(said.contains(&format!("hint: `egoat send {meant}`")), "{said}");
    }
    let dir = alice.path("dir");
    std::fs::create_dir(&dir).unwrap();
    let said = alice.fails(&["send", dir.to_str().unwrap(), "bob"], 2);
    assert!(said.contains(&format!("the peer comes first, and {} is a directory", dir.display())), "{said}");
    // A peer that has the name of a file here.
    alice.run(&["peers", "rename", "bob", "Cargo.toml"]);
    assert!(alice.fails(&["send", "Cargo.toml", &one], 69).contains("cannot reach Cargo.toml"));
}

#[test]
fn a_dash_is_a_message_from_stdin() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = bob.serve();
    pair(&bob, &alice);
    alice.pipe(&["say", "--wait", "30s", "bob", "-"], b"from a pipe\n");
    alice.run(&["say", "--wait", "30s", "bob", "-", "is a dash"]);
    assert_eq!(bob.received(), ["from a pipe", "- is a dash"]);
    // Nothing is read for nobody.
    let said = alice.ends_with(&["say", "nobody", "-"], b"x", 2).1;
    assert!(said.contains("is called nobody"), "{said}");
}

#[test]
fn what_is_typed_is_waited_for_with_a_note() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = bob.serve();
    pair(&bob, &alice);
    let Some(terminal) = Terminal::open(200) else { return };
    let home = alice.path("").display().to_string();
    for (number, (command, what)) in [
        ("say --wait 30s bob", "the message"),
        ("say --wait 30s bob -", "the message"),
        ("say --lines --wait 30s bob", "the messages, a line each"),
        ("send bob -", "what is to be sent"),
    ]
    .into_iter()
    .enumerate()
    {
        terminal.type_line(&format!("clear; {EGOAT} --home {home} {command}; echo 'ended' {number}:$?"));
        terminal.wait_for(&format!("egoat: type {what}; Ctrl-D on a line of its own ends it"));
        terminal.type_line("typed");
        terminal.tmux(&["send-keys", "C-d"]).unwrap();
        terminal.wait_for(&format!("ended {number}:0"));
    }
    assert_eq!(bob.received(), ["typed"; 3]);
    let none = alice.ends_with(&["say", "--wait", "30s", "bob"], b"piped", 0).1;
    assert!(!none.contains("Ctrl-D"), "{none}");
}

#[test]
fn a_link_on_stderr_is_printed_as_it_is() {
    let home = Home::new("alice");
    let mut receive = common::Process::start(home.cmd(&[
        "receive",
        "--into",
        "-",
        "--listen",
        "127.0.0.1:0",
        "--timeout",
        "1ms",
    ]));
    let (_, stdout, stderr) = receive.end();
    assert_eq!(stdout, "");
    assert_eq!(
        stderr.lines().filter(|line| line.starts_with("egoat:") && line.contains('@')).count(),
        1,
        "{stderr}"
    );
    assert!(!stderr.contains("egoat: egoat:"), "{stderr}");
}
