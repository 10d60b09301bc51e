//! `egoat join --via`: pairing over a login, from whichever side can dial the other.

use crate::common;

use common::sshd::{HOST, Sshd};
use common::{Dead, EGOAT, Home, by, finish, json_text};
use std::fs;

/// The command that a login would be: egoat on another home.
fn on(home: &Home) -> String {
    format!("{EGOAT} --home {}", home.path("").display())
}

/// Both know each other by key, and messages flow both ways.
fn talk(alice: &Home, bob: &Home) {
    for (from, to, name) in [(alice, bob, "bob"), (bob, alice, "alice")] {
        assert!(from.run(&["peers", "show", name]).contains(&to.key()), "{name}");
        from.run(&["say", name, "hello"]);
    }
    alice.run(&["fetch"]);
    bob.run(&["fetch"]);
    assert_eq!((alice.received(), bob.received()), (vec!["hello".into()], vec!["hello".into()]));
}

#[test]
fn over_a_real_ssh_login() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = bob.serve();
    let sshd = Sshd::start().unwrap();
    let via = format!("ssh -F {} {HOST} {}", sshd.config().display(), on(&bob));
    let (said, noted) = alice.ends_with(&["join", "--via", &via], b"", 0);
    assert_eq!(said.trim_end(), format!("paired with bob, fingerprint {}", bob.fingerprint()));
    assert!(noted.contains(&format!("as bob has it: {}", alice.fingerprint())), "{noted}");
    assert!(!noted.contains("the link works once"), "{noted}");
    talk(&alice, &bob);
}

#[test]
fn the_side_that_can_dial_does() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    // Nobody listens where bob says that he is; alice has a node.
    let _node = alice.serve();
    let (said, _) = alice.ends_with(&["--json", "join", "--as", "robert", "--via", &on(&bob)], b"", 0);
    assert_eq!(json_text(&said, "peer"), "robert");
    assert_eq!(json_text(&said, "key"), bob.key());
    alice.run(&["peers", "rename", "robert", "bob"]);
    talk(&alice, &bob);
}

#[test]
fn without_a_node_on_either_side_nobody_is_reached() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let said = alice.fails(&["join", "--via", &on(&bob)], 69);
    assert!(said.contains("start `egoat serve` on one side"), "{said}");
    // A node that cannot be dialled from there.
    let closed = Dead::new();
    let invite = format!("{} -q invite --addr {}", on(&bob), closed.addr);
    let away = alice.script("away", &format!("[ $2 = invite ] && exec {invite}\nexit 69"));
    let _node = alice.serve();
    let said = alice.fails(&["join", "--via", &away], 69);
    assert!(said.contains("nor can it reach this node"), "{said}");
    assert_eq!((alice.run(&["peers"]), bob.run(&["peers"])), (String::new(), String::new()));
}

#[test]
fn greetings_are_passed_over_and_anything_else_is_an_error() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = bob.serve();
    // What a login and a shell there would do.
    let greeting = alice.script("greeting", &format!("echo Welcome to egoat:\nexec {} \"$@\"", on(&bob)));
    let silent = alice.script("silent", "true");
    let failing = alice.script("failing", "echo no route >&2; exit 255");
    let two = alice.script("two", &format!("{0} \"$@\"; exec {0} \"$@\"", on(&bob)));
    let plain = alice.script("plain", &format!("echo egoat:{}@127.0.0.1:9", bob.key()));
    for (via, why) in [
        (silent.as_str(), "it printed no link"),
        (&two, "it printed no link, or several"),
        (&plain, "it printed no link"),
        (&failing, "exit status: 255"),
        ("egoat-no-such-program", "no such file"),
    ] {
        let said = alice.fails(&["join", "--via", via], 1);
        assert!(said.contains(why) && said.contains("hint: it is to run egoat"), "{said}");
    }
    assert!(alice.fails(&["join", "--via", &failing], 1).contains("no route"), "what it says is passed on");
    alice.fails(&["join", "--via", " "], 2);
    alice.fails(&["join", "--via", &greeting, "-"], 2);
    assert!(alice.run(&["join", "--via", &greeting]).contains("paired with bob"));
}

#[test]
fn no_secret_reaches_the_command() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = bob.serve();
    let secret = alice.file("secret", "correct horse\n");
    let (env, fds) = (alice.path("env"), alice.path("fds"));
    let body =
        format!("env >{}; ls -l /proc/self/fd >{}; exec {} \"$@\"", env.display(), fds.display(), on(&bob));
    let spy = alice.script("spy", &body);
    let shell = format!("exec 3<'{secret}'; export EGOAT_PASSPHRASE_FD=3; exec \"$@\"");
    let command = by(&["sh", "-c", &shell, "sh"], &alice.cmd(&["join", "--via", &spy]));
    assert!(finish(command, b"", 0).0.contains("paired with bob"));
    let [env, fds] = [env, fds].map(|path| fs::read_to_string(path).unwrap());
    assert!(env.contains("PATH=") && !env.contains("PASSPHRASE"), "{env}");
    assert!(!fds.contains("secret"), "{fds}");
}
