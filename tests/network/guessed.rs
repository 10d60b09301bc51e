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
    let (saved, day) = (peers(&alice), "@2026-01-01".len());
    let (bobs, carols) = saved.split_once('\n').unwrap();
    assert_eq!(bobs[..bobs.len() - day], format!("bob {} - seen=10.9.8.7:4628", bob.key()));
    assert_eq!(carols, format!("carol {} -\n", carol.key()));
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
    for port in 1025..=1064 {
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
    assert_eq!(json_text(&alice.run(&["--json", "peers"]), "seen"), "127.0.0.1:1027");
}

#[test]
fn an_address_of_a_link_is_relied_on_when_it_has_worked() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let (carol_node, mut bob_node) = (carol.serve(), bob.serve());
    // As a private address that leads elsewhere in the network of whoever joins.
    let link = bob.run(&["invite", "--addr", &carol_node.addr, "--addr", &bob_node.addr]);
    alice.run(&["join", link.trim_end()]);
    let line = peers(&alice);
    assert!(
        line.contains(&format!(" {} link={} worked={}@", bob_node.addr, carol_node.addr, bob_node.addr)),
        "{line}"
    );
    let addr = bob_node.addr.clone();
    bob_node.kill9();
    let file = alice.file("x", "x");
    let said = alice.fails(&["send", "bob", &file], 69);
    assert!(said.contains(&format!("{addr}: connection refused (2 addresses were tried)")), "{said}");
    assert!(!said.contains("has changed"), "{said}");
    let (told, _) = alice.ends_with(&["doctor", "bob"], b"", 69);
    assert!(!told.contains("has changed"), "{told}");
    // Where the key was proven, another one is news.
    drop(carol_node);
    let _carol_node = carol.serve_again_at(&addr);
    assert!(alice.fails(&["send", "bob", &file], 77).contains("the key of bob has changed"));
}

#[test]
fn a_link_to_a_known_peer_raises_no_alarm_in_another_network() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let node = carol.serve();
    alice.run(&["peers", "add", "bob", &bob.key()]);
    let link = format!("egoat:{}@{}", bob.key(), node.addr);
    let said = alice.fails(&["send", &link, &alice.file("x", "x")], 69);
    assert!(said.contains("another node has this address now") && !said.contains("has changed"), "{said}");
    assert!(peers(&alice).contains(&format!(" - link={}", node.addr)), "{}", peers(&alice));
}

#[test]
fn no_port_of_a_system_is_dialled_at_the_word_of_a_peer() {
    let (alice, mallory) = (Home::new("alice"), Rogue::new(7));
    // Known on this machine, so that its address here counts.
    know(&alice, "mallory", &mallory.key(), &Dead::new().addr);
    let (key, node) = (alice.key(), alice.serve());
    let seen = |port: u16| {
        come(&mallory, &node.addr, &key, port);
        peers(&alice).contains(&format!("seen=127.0.0.1:{port}@"))
    };
    assert!(!seen(22) && !seen(1023) && seen(443) && seen(1024));
}

#[test]
fn a_guessed_address_of_another_network_is_not_dialled() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    know(&alice, "bob", &bob.key(), "- seen=10.213.7.9:4628 told=224.0.0.1:4628 told=0.0.0.0:4628");
    let said = alice.fails(&["send", "bob", &alice.file("x", "x")], 69);
    assert!(said.contains("not dialled: it is of a network where this machine is not"), "{said}");
    assert!(said.contains("(3 addresses were tried)"), "{said}");
}

#[test]
fn what_worked_last_is_dialled_first_and_nothing_else() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = bob.serve();
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let (dead, other) = (Dead::new(), silent.local_addr().unwrap().to_string());
    alice.run(&["peers", "add", "bob", &bob.key(), &dead.addr, &other, &node.addr]);
    let file = alice.file("x", "x");
    alice.run(&["send", "bob", &file]);
    assert!(peers(&alice).contains(&format!("worked={}@", node.addr)), "{}", peers(&alice));
    // The silent one had its turn, and is not asked a second time.
    silent.accept().unwrap();
    silent.set_nonblocking(true).unwrap();
    let before = peers(&alice);
    alice.run(&["send", "bob", &file]);
    assert_eq!(silent.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(peers(&alice), before, "a note for each connection");
    let shown = alice.run(&["peers", "show", "bob"]);
    let first = shown.lines().find(|line| line.starts_with("address ")).unwrap();
    assert!(first.contains(&format!("{}  (yours; worked 20", node.addr)), "{shown}");
}

#[test]
fn an_error_names_the_best_reason_and_objects_have_all() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (node, dead) = (alice.serve(), Dead::new());
    know(&alice, "bob", &bob.key(), &format!("no-such-host.invalid:1,{},{}", dead.addr, node.addr));
    let (told, said) = alice.ends_with(&["--json", "send", "bob", &alice.file("x", "x")], b"", 69);
    assert!(
        said.contains(": connection refused (3 addresses were tried)") || said.contains("this node itself"),
        "{said}"
    );
    assert!(!said.contains("no-such-host"), "{said}");
    for address in ["no-such-host.invalid:1", &dead.addr, &node.addr] {
        let object = format!("{{\"event\":\"tried\",\"peer\":\"bob\",\"address\":\"{address}\",");
        assert_eq!(told.matches(&object).count(), 1, "{told}");
    }
}
