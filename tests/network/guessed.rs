//! Addresses that nobody gave: what a peer says of itself, and what a link says in another network. None of them has this
//! machine dialled at a peer's word, and another node there is no changed key.

use crate::common;

use common::rogue::Rogue;
use common::{Dead, Home, json_text, paired, poll_until};
use egoat::wire::message::{Kind, Message};
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

fn peers(home: &Home) -> String {
    fs::read_to_string(home.path("peers")).unwrap_or_default()
}

/// A peer's line without options, but for the key and the address.
fn know(home: &Home, name: &str, key: &str, addr: &str) {
    fs::write(home.path("peers"), format!("{name} {key} {addr}\n")).unwrap();
}

/// Connects as a peer that says it listens at `port`.
fn come(rogue: &Rogue, addr: &str, node: &str, port: u16) {
    let mut line = rogue.dial(addr, node, Kind::Push);
    line.say(&Message::Profile { name: "mallory", port, time: 0 });
    line.expect(&Message::Accept);
}

#[test]
fn no_peer_has_this_machine_dialled_by_its_word() {
    let (alice, mallory) = (Home::new("alice"), Rogue::new(7));
    know(&alice, "mallory", &mallory.key(), "-");
    let (key, node) = (alice.key(), alice.serve());
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    come(&mallory, &node.addr, &key, port);
    assert!(!peers(&alice).contains("seen="), "{}", peers(&alice));
    alice.run(&["say", "mallory", "hello"]);
    service.set_nonblocking(true).unwrap();
    assert_eq!(service.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    // A user who knows the peer on this machine has said so.
    let dead = Dead::new();
    know(&alice, "mallory", &mallory.key(), &dead.addr);
    come(&mallory, &node.addr, &key, port);
    assert!(peers(&alice).contains(&format!("seen=127.0.0.1:{port}")), "{}", peers(&alice));
    poll_until("a connection", || service.accept().ok());
}

#[test]
fn a_guest_is_on_this_machine_if_its_invite_leads_here() {
    let (alice, node, bob, bob_node) = paired();
    assert!(peers(&alice).contains(&format!("seen={}", bob_node.addr)), "{}", peers(&alice));
    // Whether it has a node by then or not.
    let dora = Home::new("dora");
    dora.run(&["join", alice.run(&["invite"]).trim_end()]);
    let dora_node = dora.serve();
    poll_until("it to be seen", || peers(&alice).contains(&format!("seen={}", dora_node.addr)).then_some(()));
    let carol = Home::new("carol");
    let _carol_node = carol.serve();
    // As through an onion service or a forwarded port.
    let link = alice.run(&["invite", "--addr", "192.0.2.1:4628"]);
    carol.run(&["join", &link.trim_end().replace("192.0.2.1:4628", &node.addr)]);
    let line = peers(&alice).lines().find(|line| line.starts_with("carol ")).unwrap().to_owned();
    assert!(!line.contains("seen="), "{line}");
    alice.run(&["say", "--wait", "30s", "carol", "over your connection"]);
    bob.run(&["say", "--wait", "30s", "alice", "hello"]);
}

#[test]
fn a_stranger_who_is_accepted_is_not_relied_on() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let requests = format!("{} bob 10.9.8.7:4628 1\n{} carol 127.0.0.1:22 2\n", bob.key(), carol.key());
    fs::write(alice.path("requests"), requests).unwrap();
    alice.run(&["peers", "accept", &bob.fingerprint()]);
    alice.run(&["peers", "accept", &carol.fingerprint()]);
    let expected = format!("bob {} - seen=10.9.8.7:4628\ncarol {} -\n", bob.key(), carol.key());
    assert_eq!(peers(&alice), expected);
}

#[test]
fn an_address_that_leads_back_here_is_told_and_no_alarm() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve();
    let link = format!("egoat:{}@{}", bob.key(), node.addr);
    let said = alice.fails(&["join", &link], 69);
    assert!(said.contains("this node itself answers there") && !said.contains("has changed"), "{said}");
    let (told, _) = alice.ends_with(&["doctor", &link], b"", 69);
    assert!(told.contains("this node itself answers there") && !told.contains("has changed"), "{told}");
    // As an address that a user gave, and as one where the peer was seen.
    for place in [node.addr.clone(), format!("- seen={}", node.addr)] {
        know(&alice, "bob", &bob.key(), &place);
        let said = alice.fails(&["send", "bob", &alice.file("x", "x")], 69);
        assert!(said.contains("this node itself answers there") && !said.contains("has changed"), "{said}");
    }
}

#[test]
fn another_node_at_the_address_of_a_link_is_no_changed_key() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let node = carol.serve();
    let link = format!("egoat:{}@{}", bob.key(), node.addr);
    for args in [["join", &link], ["doctor", &link]] {
        let (told, said) = alice.ends_with(&args, b"", 77);
        let said = format!("{told}{said}");
        assert!(said.contains("another node answers at") && !said.contains("has changed"), "{said}");
        assert!(said.contains(&carol.fingerprint()) && said.contains(&bob.fingerprint()), "{said}");
    }
    assert_eq!(alice.run(&["peers"]), "");
    // At an address that a user gave for a saved peer, it is one.
    know(&alice, "bob", &bob.key(), &node.addr);
    assert!(alice.fails(&["send", "bob", &alice.file("x", "x")], 77).contains("has changed"));
}

/// Times that the peers file was replaced while a peer came with one port after the other.
#[test]
fn a_peer_that_moves_all_the_time_costs_few_writes_and_few_lines() {
    let (alice, bob) = (Home::new("alice"), Rogue::new(7));
    know(&alice, "bob", &bob.key(), &Dead::new().addr);
    let (key, mut node) = (alice.key(), alice.serve());
    let mut shown = vec![peers(&alice)];
    for port in 1..=40 {
        come(&bob, &node.addr, &key, port);
        shown.push(peers(&alice));
        let here = || alice.run(&["--json", "status"]).contains("\"event\":\"here\"");
        poll_until("it to be gone", || (!here()).then_some(()));
    }
    shown.dedup();
    assert_eq!(shown.len(), 1 + 3, "{shown:?}");
    node.kill9();
    let lines: Vec<String> = std::iter::from_fn(|| node.next_line()).collect();
    let told = lines.iter().filter(|line| line.ends_with("connected with bob") || line.ends_with("from bob"));
    assert!((2..=20).contains(&told.count()), "{lines:?}");
    assert_eq!(json_text(&alice.run(&["--json", "peers"]), "seen"), "127.0.0.1:3");
}
