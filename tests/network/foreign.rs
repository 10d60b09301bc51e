//! What stands at the other end when it is no node of this version, and what a node does about strangers' bytes.

use crate::common;

use common::{Dead, Home, Node, paired, server};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// What the node answers to `bytes` until it closes the connection.
fn answer(node: &Node, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(&node.addr).unwrap();
    // More than its own deadlines for strangers; not reached when it closes as it should.
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => answer,
        // It closed with our bytes unread.
        Err(cause) if cause.kind() == ErrorKind::ConnectionReset => answer,
        Err(cause) => panic!("it neither answers nor closes: {cause}"),
    }
}

/// A server that closes when something has come, without reading it.
fn full() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.peek(&mut [0]);
        }
    });
    addr
}

#[test]
fn serving_begins_with_the_addresses() {
    let home = Home::new("alice");
    let mut node = home.serve_with(&["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]);
    assert!(node.addr.starts_with("127.0.0.1:") && !node.addr.ends_with(":0"), "{}", node.addr);
    let second = node.next_line().unwrap();
    assert!(second.starts_with("listening on [::1]:"), "{second}");
    let link = home.run(&["invite"]);
    assert!(link.contains(&format!("@{},[::1]:", node.addr)), "{link}");
}

#[test]
fn a_port_in_use_is_a_failure_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let said = Home::new("alice").fails(&["serve", "--listen", &addr], 1);
    assert!(said.contains("cannot listen on 127.0.0.1") && said.contains("already in use"), "{said}");
    assert!(said.contains("hint: ") && said.contains("--listen"), "{said}");
}

#[test]
fn what_is_no_address_is_a_usage_error() {
    let home = Home::new("alice");
    for bad in ["127.0.0.1:99999", "[::1", "::1:0:", "127.0.0.1:x", "a b"] {
        let said = home.fails(&["serve", "--listen", bad], 2);
        assert!(said.contains("is no address to listen on") && said.contains("hint: "), "{bad}: {said}");
        home.fails(&["say", bad, "hi"], 2);
    }
}

#[test]
fn a_second_node_on_a_home_is_refused() {
    let home = Home::new("alice");
    let _node = home.serve();
    let said = home.fails(&["serve", "--listen", "127.0.0.1:0"], 1);
    assert!(said.contains("a node already runs on") && said.contains("hint: "), "{said}");
}

#[test]
fn a_home_is_free_when_its_node_was_killed() {
    let home = Home::new("alice");
    home.serve().kill9();
    home.serve();
}

#[test]
fn nobody_listening_is_unreachable() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("a.txt", "a");
    for loopback in ["127.0.0.1:0", "[::1]:0"] {
        let Dead { addr: closed, .. } = &Dead::on(loopback);
        let said = alice.fails(&["send", closed, &file], 69);
        assert!(said.contains(closed) && said.contains("refused") && said.contains("hint: "), "{said}");
        let link = format!("egoat:{}@{closed}", bob.key());
        assert!(alice.fails(&["join", &link], 69).contains("refused"));
    }
    alice.run(&["peers", "add", "bob", &bob.key()]);
    let said = alice.fails(&["send", "bob", &file], 69);
    assert!(said.contains("no address of it is known"), "{said}");
    assert!(said.contains("by `egoat peers set bob address+=HOST:PORT`"), "{said}");
}

#[test]
fn the_second_address_of_a_peer_is_tried_too() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let closed = Dead::new();
    let mut node = bob.serve_with(&["--listen", "127.0.0.1:0", "--accept-new"]);
    alice.run(&["peers", "add", "bob", &bob.key(), &closed.addr, &server(b"nonsense"), &node.addr]);
    alice.run(&["say", "--wait", "30s", "bob", "hi"]);
    node.wait_for("message from alice: hi");
}

#[test]
fn strangers_bytes_are_closed_without_an_answer() {
    let (_alice, mut alice_node, bob, _bob_node) = paired();
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let hello: Vec<u8> = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &noise[..506]].concat();
    let after = |preamble: &[u8]| [preamble, &noise].concat();
    let cases = [
        ("noise", noise.clone()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("TLS", hello),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        ("version 0", after(b"E-GOAT\x00\x00")),
        ("version 2", after(b"E-GOAT\x02\x00")),
        ("a lane", after(b"E-GOAT\x01\x01")),
        ("another purpose", after(b"E-GOAT\x01\x02")),
        ("a forged message 1", after(b"E-GOAT\x01\x00")),
    ];
    for (what, bytes) in cases {
        assert!(answer(&alice_node, &bytes).is_empty(), "{what}");
    }
    bob.run(&["say", "--wait", "30s", "alice", "still there?"]);
    alice_node.wait_for("message from bob: still there?");
}

/// It shows its user that there is another version, and not a node without a place for it, which resets the connection.
#[test]
fn who_speaks_another_version_sees_an_end_and_no_reset() {
    let home = Home::new("alice");
    let node = home.serve();
    for preamble in [b"E-GOAT\x02\x00", b"E-GOAT\x00\x80", b"E-GOAT\x01\x7f"] {
        let mut stream = TcpStream::connect(&node.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&[&preamble[..], &[7; 4096]].concat()).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn who_asks_for_the_key_gets_the_key_alone() {
    let alice = Home::new("alice");
    let node = alice.serve();
    let asked = [&b"E-GOAT\x01\x80"[..], &[7; 4096]].concat();
    assert_eq!(answer(&node, &asked).len(), 32);
}

#[test]
fn a_connection_that_says_nothing_keeps_nobody_out() {
    let (_alice, mut alice_node, bob, _bob_node) = paired();
    // Fewer than one address may have at once.
    let _silent: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(&alice_node.addr).unwrap()).collect();
    bob.run(&["say", "--wait", "30s", "alice", "hi"]);
    alice_node.wait_for("message from bob: hi");
}

#[test]
fn another_program_at_the_other_end_is_a_protocol_error() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("a.txt", "a");
    let servers = [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n400 Bad Request"
            [..],
        b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5\r\n",
        b"220 mail.example.org ESMTP Postfix (Debian/GNU)\r\n",
        // One of another version closes at once.
        b"",
    ];
    for says in servers {
        let addr = server(says);
        for args in [
            vec!["send", &addr, &file],
            vec!["send", "--accept-new", &addr, &file],
            vec!["say", &addr, "hi"],
            vec!["join", &format!("egoat:{}@{addr}", bob.key())],
        ] {
            // A link says that an egoat is there, and a line that is cut closes as well.
            if says.is_empty() && args[0] == "join" {
                let said = alice.fails(&args, 69);
                assert!(said.contains("may be the network, or it is not egoat of this version"), "{said}");
                continue;
            }
            let said = alice.fails(&args, 76);
            assert!(said.contains("does not speak this protocol") && said.contains("hint: "), "{said}");
            assert!(said.contains(&addr), "{said}");
        }
    }
    assert_eq!(alice.run(&["peers"]), "");
}

/// It has no place for us, and closes without reading what we said.
#[test]
fn a_node_that_is_full_is_unreachable_and_no_other_program() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let addr = full();
    alice.run(&["peers", "add", "bob", &bob.key(), &addr]);
    let file = alice.file("a.txt", "a");
    let (key, token) = (bob.key(), "a".repeat(26));
    for args in [
        vec!["send", &addr, &file],
        vec!["send", "bob", &file],
        vec!["join", &format!("egoat:{key}@{addr}")],
        vec!["join", &format!("egoat:{key}.{token}@{addr}")],
    ] {
        let said = alice.fails(&args, 69);
        assert!(said.contains("takes no connection from here now: it has too many"), "{said}");
    }
    let (_, said) = alice.ends_with(&["say", "bob", "hi"], b"", 0);
    assert!(said.contains("queued for bob: connection to bob at"), "{said}");
}

#[test]
fn another_program_at_a_peers_address_leaves_the_message_queued() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key(), &server(b"HTTP/1.1 400 Bad Request\r\n\r\n")]);
    let (_, said) = alice.ends_with(&["say", "bob", "hi"], b"", 0);
    assert!(said.contains("queued for bob") && said.contains("does not speak this protocol"), "{said}");
    let said = alice.fails(&["send", "bob", &alice.file("a.txt", "a")], 76);
    assert!(said.contains("does not speak this protocol"), "{said}");
}
