//! A node with a proxy: the setting, and what the node does not tell by itself: its addresses, its user, its clock.

use crate::common;

use common::rogue::Rogue;
use common::{Dead, Home, Node, Process, finish, json_text};
use egoat::wire::message::{Kind, Message};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// A home without a name, with a proxy at which nobody listens.
fn hidden() -> (Home, Dead) {
    let (home, dead) = (Home::empty_in(&std::env::temp_dir()), Dead::new());
    home.run(&["id"]);
    fs::write(home.path("proxy"), format!("socks5://{}\n", dead.addr)).unwrap();
    (home, dead)
}

#[test]
fn the_proxy_of_a_home_is_taken_unless_another_is_named() {
    let (alice, (bob, dead)) = (Home::new("alice"), hidden());
    let _node = alice.serve();
    let link = alice.run(&["invite"]);
    let link = link.trim_end();
    let said = bob.fails(&["join", link], 69);
    assert!(said.contains(&format!("the proxy {} cannot be reached", dead.addr)), "{said}");
    assert!(said.contains("or the file proxy says"), "{said}");
    let other = Dead::new();
    let url = format!("socks5://{}", other.addr);
    let said = bob.fails(&["--proxy", &url, "join", link], 69);
    assert!(said.contains(&format!("the proxy {} cannot be reached", other.addr)), "{said}");
    let by_environment = |url: &str, code: i32| {
        let mut command = bob.cmd(&["join", link]);
        command.env("EGOAT_PROXY", url);
        finish(command, b"", code).1
    };
    assert!(by_environment(&url, 69).contains(&other.addr));
    by_environment("", 0);
    bob.run(&["--proxy", "", "join", link]);
}

#[test]
fn a_proxy_file_that_says_nothing_of_use_keeps_everything_from_being_dialled() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve();
    for wrong in ["127.0.0.1:9050", "http://127.0.0.1:9050", "socks5://h:1\nsocks5://h:2", "secret"] {
        fs::write(bob.path("proxy"), wrong).unwrap();
        let said = bob.fails(&["say", "--accept-new", &node.addr, "hello"], 2);
        assert!(said.contains("the proxy cannot be used") && !said.contains("secret"), "{said}");
        assert!(said.contains("proxy is to hold one line"), "{said}");
    }
    fs::remove_file(bob.path("proxy")).unwrap();
    fs::create_dir(bob.path("proxy")).unwrap();
    assert!(bob.fails(&["say", "--accept-new", &node.addr, "hello"], 74).contains("cannot read"));
    assert_eq!(alice.run(&["peers", "requests"]), "");
    fs::remove_dir(bob.path("proxy")).unwrap();
    fs::write(bob.path("proxy"), " \n").unwrap();
    bob.fails(&["say", "--accept-new", &node.addr, "hello"], 77);
}

#[test]
fn no_link_has_the_addresses_of_a_hidden_node() {
    let (alice, _dead) = hidden();
    let said = alice.fails(&["invite"], 2);
    assert!(said.contains("egoat invite --addr HOST:PORT"), "{said}");
    assert!(!alice.path("invites").exists(), "a token was issued");
    assert!(alice.run(&["invite", "--addr", "xyz.onion:4628"]).trim_end().ends_with("@xyz.onion:4628"));
    let said = alice.fails(&["receive", "--timeout", "5s"], 2);
    assert!(said.contains("--from") && said.contains("--listen"), "{said}");
    let shown = alice.run(&["id"]);
    assert!(!shown.contains("address") && !shown.contains("link"), "{shown}");
    let json = alice.run(&["--json", "id"]);
    assert!(json.contains("\"addresses\":[]") && json.contains("\"link\":null"), "{json}");
    let mut receiving = Process::start(alice.cmd(&["receive", "--listen", "127.0.0.1:0"]));
    assert!(receiving.wait_for("egoat:").contains("@127.0.0.1:"));
}

/// What a node says of itself to a peer that pairs.
fn profile(home: &Home, node: &Node) -> (String, u64) {
    let rogue = Rogue::new(9);
    let mut line = rogue.dial(&node.addr, &home.key(), Kind::Pair);
    line.say(&Message::Profile { name: "rogue", port: 0, time: 0 });
    line.expect(&Message::Accept);
    let (kind, body) = line.read().unwrap();
    line.say(&Message::Bye);
    let Ok(Message::Profile { name, time, .. }) = Message::decode(kind, &body) else { panic!("no PROFILE") };
    (name.to_owned(), time)
}

#[test]
fn a_hidden_node_tells_neither_its_user_nor_its_clock() {
    let (alice, _dead) = hidden();
    let rogue = Rogue::new(9).key();
    alice.run(&["peers", "add", "rogue", &rogue]);
    let node = alice.serve();
    let (name, time) = profile(&alice, &node);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    assert_eq!((name.as_str(), time % 60_000_000), ("egoat", 0));
    assert!(now.abs_diff(time) <= 31_000_000, "{now} {time}");
    assert_eq!(json_text(&alice.run(&["--json", "id"]), "name"), "egoat");
    // A name that the user has chosen is one to be told.
    alice.run(&["id", "--name", "alice"]);
    assert_eq!(profile(&alice, &node).0, "alice");
}

#[test]
fn the_doctor_sees_a_node_that_can_be_found_without_the_proxy() {
    let (alice, _dead) = hidden();
    let node = alice.serve();
    let text = alice.run(&["doctor"]);
    assert!(!text.contains("found without the proxy"));
    // Of the machine's addresses, no link has any.
    assert_eq!(text.matches(" address ").count(), 1, "{text}");
    assert!(
        text.contains("skipped  address   with a proxy, links have the addresses that --addr names"),
        "{text}"
    );
    drop(node);
    let _node = alice.serve_with(&["--listen", "0.0.0.0:0"]);
    assert!(alice.run(&["doctor"]).contains("can be found without the proxy"));
}
