//! Front-ends beside a node that serves the home: the control connection (egoat-files(5), CONTROL CONNECTION), `status`, and
//! a chat that sees what the node does. What the chat on a terminal shows is in `terminal`.

use crate::common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::files::{CHUNK, MIB, landed_in, sample};
use common::gate::Gate;
use common::json::object;
use common::{Home, Process, json_number, json_text, paired, poll_until};
use egoat::crypto::SharedSecret;
use egoat::net::loopback::{self, LoopbackListener};
use egoat::store::home::Home as StoredHome;
use egoat::store::node_lock::{NodeInfo, NodeLock};
use egoat::wire::control::{Down, SendMode, Up};

/// The port and the secret that node.lock names.
fn control(home: &Home) -> (u16, SharedSecret) {
    let lock = fs::read_to_string(home.path("node.lock")).unwrap();
    let words: Vec<&str> =
        lock.lines().find_map(|line| line.strip_prefix("control ")).unwrap().split(' ').collect();
    (words[0].parse().unwrap(), SharedSecret::from_base32(words[1]).unwrap())
}

/// What `status` prints of one event.
fn status(home: &Home, event: &str) -> Vec<String> {
    let lines = home.run(&["--json", "status"]);
    lines.lines().filter(|line| json_text(line, "event") == event).map(str::to_owned).collect()
}

#[test]
fn status_tells_what_the_node_does() {
    let (alice, mut alice_node, bob, mut bob_node) = paired();
    alice_node.wait_for("connected with bob");
    let here = poll_until("bob", || status(&alice, "here").pop());
    assert_eq!(json_text(&here, "peer"), "bob");
    assert!(json_text(&here, "address").starts_with("127.0.0.1:"), "{here}");
    assert_eq!(json_text(&status(&alice, "listening")[0], "address"), alice_node.addr);
    assert_eq!(
        json_text(&status(&alice, "disk")[0], "path"),
        alice.path("").to_str().unwrap().trim_end_matches('/')
    );
    bob_node.kill9();
    alice_node.wait_for("disconnected from bob");
    for text in ["one", "two"] {
        alice.run(&["say", "bob", text]);
    }
    let file = alice.file("a.txt", "a");
    alice.run(&["send", "--queue", "bob", &file]);
    let waiting = poll_until("the reason", || {
        status(&alice, "waiting").pop().filter(|line| json_text(line, "error").contains("refused"))
    });
    assert_eq!((json_number(&waiting, "messages"), json_number(&waiting, "transfers")), (2, 1));
    assert!(status(&alice, "here").is_empty());
    let human = alice.run(&["status"]);
    assert!(human.contains("waiting    2 messages, 1 transfer for bob: tried "), "{human}");
    alice_node.kill9();
    assert!(alice.fails(&["status"], 69).contains("no node runs on "));
    drop(bob);
}

#[test]
fn a_chat_beside_a_node_answers_its_offers() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    alice.run(&["peers", "set", "bob", "files=ask"]);
    // With nobody to ask, it is refused.
    assert!(bob.fails(&["send", "alice", &bob.file("a.txt", "a")], 77).contains("alice refused"));
    let mut chats: Vec<Process> = (0..2).map(|_| Process::start(alice.cmd(&["chat", "bob"]))).collect();
    poll_until("both chats", || {
        let mut send = Process::start(bob.cmd(&["send", "alice", &bob.file("b.txt", "bb")]));
        let line = poll_until("an offer or its end", || {
            let said = chats.iter().map(Process::said).find(|said| said.contains("bob offers b.txt"));
            said.or_else(|| (!send.is_running()).then(String::new))
        });
        let number =
            line.lines().find_map(|line| line.split_once("egoat: [")?.1.split_once("] bob offers b.txt"))?.0;
        // Either may answer, once it has heard of the offer; the other one learns that it is decided.
        for chat in &chats {
            chat.wait_to_say(&format!(
                "egoat: [{number}] bob offers b.txt (2 B): /accept {number} [DIR] or /refuse {number}"
            ));
        }
        chats[0].write(format!("/accept {number}\n").as_bytes());
        assert_eq!(send.end().0, Some(0), "{}", send.said());
        poll_until("the decision", || {
            chats[1].write(format!("/refuse {number}\n").as_bytes());
            chats[1].said().contains("no such offer waits any more").then_some(())
        });
        Some(())
    });
    assert_eq!(landed_in(&alice.path("downloads/bob")), ["b.txt"]);
    // When the last chat goes, an open offer ends without an answer.
    let mut send = Process::start(bob.cmd(&["send", "alice", &bob.file("c.txt", "c")]));
    chats[0].wait_to_say("bob offers c.txt");
    for chat in &mut chats {
        chat.kill9();
    }
    assert_eq!(send.end().0, Some(69), "{}", send.said());
}

/// A node that lets bytes through slowly, so that a transfer is there to be seen.
#[test]
fn a_transfer_is_seen_and_stopped_from_beside() {
    let (alice, _alice_node, bob, bob_node) = paired();
    let gate = Gate::before(&bob_node.addr, MIB as u64);
    fs::write(alice.path("peers"), format!("bob {} {}\n", bob.key(), gate.addr)).unwrap();
    let file = alice.path("large.bin");
    fs::write(&file, sample(40 * CHUNK)).unwrap();
    alice.run(&["send", "--queue", "bob", file.to_str().unwrap()]);
    let moving = poll_until("the transfer", || status(&alice, "transfer").pop());
    assert_eq!(
        (json_text(&moving, "title").as_str(), json_text(&moving, "direction").as_str()),
        ("large.bin", "out")
    );
    assert_eq!(json_number(&moving, "total"), 40 * CHUNK as u64);
    let number = json_number(&moving, "number");
    let (port, secret) = control(&alice);
    let version = Up::Version(env!("CARGO_PKG_VERSION").into()).encode();
    let _front = loopback::dial(port, &secret, &[version, Up::Stop(number).encode()].concat()).unwrap();
    poll_until("its end", || status(&alice, "transfer").is_empty().then_some(()));
    assert_eq!(alice.run(&["outbox"]), "", "a transfer that the user stopped is not tried again");
    gate.open();
    drop(bob);
}

#[test]
fn files_of_a_chat_are_sent_by_the_node_and_those_of_a_command_end_with_it() {
    let (alice, _alice_node, bob, bob_node) = paired();
    let gate = Gate::before(&bob_node.addr, MIB as u64);
    fs::write(alice.path("peers"), format!("bob {} {}\n", bob.key(), gate.addr)).unwrap();
    let file = alice.path("large.bin");
    fs::write(&file, sample(40 * CHUNK)).unwrap();
    let (port, secret) = control(&alice);
    let send = |path: &Path, mode: SendMode| {
        let peer = bob.key().parse().unwrap();
        let (name, paths) = (String::new(), vec![path.to_owned()]);
        let job = Up::Send { job: 7, peer, mode, name, paths };
        let version = Up::Version(env!("CARGO_PKG_VERSION").into());
        loopback::dial(port, &secret, &[version.encode(), job.encode()].concat()).unwrap()
    };
    let front = send(&file, SendMode::Now);
    poll_until("the transfer", || status(&alice, "transfer").pop());
    front.close();
    poll_until("its end", || status(&alice, "transfer").is_empty().then_some(()));
    assert_eq!(alice.run(&["outbox"]), "");
    let front = send(&file, SendMode::Queue);
    poll_until("the transfer", || status(&alice, "transfer").pop());
    front.close();
    let small = alice.file("small.txt", "small");
    let front = send(Path::new(&small), SendMode::Queue);
    gate.open();
    let mut body = Vec::new();
    let job = loop {
        let kind = front.read(&mut body).unwrap();
        if let Down::Job(job) = Down::decode(kind, &body).unwrap() {
            break job;
        }
    };
    assert_eq!((job.number, job.title.as_str(), job.bytes), (7, "small.txt", 5));
    for name in ["small.txt", "large.bin"] {
        poll_until(name, || bob.path(&format!("downloads/alice/{name}")).exists().then_some(()));
    }
    poll_until("an empty outbox", || alice.run(&["outbox"]).is_empty().then_some(()));
}

/// Another node counts from 1 again: what it asks is asked, though its number was seen before.
#[test]
fn a_chat_outlives_its_node() {
    let (alice, alice_node, bob, _bob_node) = paired();
    alice.run(&["peers", "set", "bob", "files=ask"]);
    let chat = Process::start(alice.cmd(&["chat", "bob"]));
    let offered = |chat: &Process, name: &str| {
        let mut send = Process::start(bob.cmd(&["send", "alice", &bob.file(name, "1")]));
        poll_until(name, || {
            if !send.is_running() {
                send = Process::start(bob.cmd(&["send", "alice", &bob.path(name).display().to_string()]));
            }
            chat.said().contains(&format!("[1] bob offers {name}")).then_some(())
        });
        send.kill9();
    };
    offered(&chat, "first.txt");
    let addr = alice_node.addr.clone();
    drop(alice_node);
    let _alice_node = alice.serve_again_at(&addr);
    offered(&chat, "second.txt");
}

/// A node hands the seed to front-ends, as an agent does.
#[test]
fn beside_a_node_nobody_is_asked_for_the_passphrase() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let passphrase = alice.file("passphrase", "goat\n");
    let shell = |args: &str| {
        let home = alice.path("");
        let mut command = std::process::Command::new("sh");
        let line = format!("exec {} --home {} {args} 3<{passphrase}", common::EGOAT, home.display());
        command.args(["-c", &line]).env("EGOAT_PASSPHRASE_FD", "3");
        command
    };
    common::finish(shell("id --passphrase"), b"", 0);
    assert!(alice.fails(&["id"], 1).contains("no terminal to ask for the passphrase"));
    let mut node = Process::start(shell(&format!("serve --listen {}", alice.own_port("127.0.0.1:0"))));
    node.wait_for("listening on ");
    assert!(alice.run(&["id"]).contains("fingerprint"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    alice.run(&["say", "bob", "without a passphrase"]);
    assert!(alice.run(&["outbox"]).contains("without a passphrase"));
    alice.run(&["send", "--queue", "bob", &alice.file("a.txt", "a")]);
    assert_eq!(alice.run(&["log"]), "");

    // Until it is to forget it, which needs no passphrase itself.
    assert!(alice.fails(&["id", "--forget", "--passphrase"], 2).contains("--forget goes alone"));
    for _ in 0..2 {
        let (out, said) = alice.ends_with(&["id", "--forget"], b"", 0);
        assert!(out.is_empty() && said.contains("gives the key to no other command"), "{said}");
    }
    for command in [&["id"][..], &["say", "bob", "x"], &["log"], &["send", "bob", "x"]] {
        assert!(alice.fails(command, 1).contains("no terminal to ask for the passphrase"), "{command:?}");
    }
    common::finish(shell("say bob with-a-passphrase"), b"", 0);
    // A monitor goes on without: only what waits is sealed.
    let (shown, said) = alice.ends_with(&["status"], b"", 0);
    assert!(shown.starts_with("listening  127.0.0.1:") && shown.contains("\ndisk "), "{shown}");
    assert!(!shown.contains("waiting") && said.contains("what waits is left out"), "{shown}{said}");
    let (shown, _) = common::finish(shell("status"), b"", 0);
    assert!(shown.contains("waiting    2 messages, 1 transfer for bob"), "{shown}");
    node.kill9();
    assert!(alice.ends_with(&["id", "--forget"], b"", 0).1.contains("no node runs here"));
    let mut node = Process::start(shell(&format!("serve --listen {}", alice.own_port("127.0.0.1:0"))));
    node.wait_for("listening on ");
    assert!(alice.run(&["outbox"]).contains("with-a-passphrase"));
    node.kill9();
    assert!(alice.fails(&["id"], 1).contains("no terminal to ask for the passphrase"));
}

/// Whoever cannot read the home gets nothing from its port, and a program of another version is told so.
#[test]
fn strangers_and_other_versions_are_not_served() {
    let (alice, _node, bob, _bob_node) = paired();
    let (port, secret) = control(&alice);
    let mut silent = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut wrong = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    wrong.write_all(&[7; 16]).unwrap();
    wrong.read_exact(&mut [0; 48]).unwrap();
    wrong.write_all(&[7; 32]).unwrap();
    for stream in [&mut silent, &mut wrong] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "it is closed");
    }
    let opening = [Up::Version("0.0.1".into()).encode(), Up::Unseal.encode()].concat();
    let other = loopback::dial(port, &secret, &opening).unwrap();
    let mut body = Vec::new();
    let kind = other.read(&mut body).unwrap();
    assert_eq!(Down::decode(kind, &body).unwrap(), Down::Version(env!("CARGO_PKG_VERSION").into()));
    assert!(other.read(&mut body).is_err(), "and nothing else");
    // Another program at the port proves nothing, and is not believed.
    let lock = fs::read_to_string(alice.path("node.lock")).unwrap();
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let forged = lock
        .replace(&format!("control {port} "), &format!("control {} ", listener.local_addr().unwrap().port()));
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        let _ = stream.write_all(&[0; 48]);
        let _ = stream.read_to_end(&mut heard);
        heard
    });
    fs::write(alice.path("node.lock"), forged).unwrap();
    alice.run(&["say", "bob", "hello"]);
    assert_eq!(thread.join().unwrap().len(), 16, "it gets a nonce and no more");
    assert_eq!(object(status_line(&bob).as_str())["event"], "listening");
}

/// A front-end that is older or newer than the node, as after an upgrade, says so and dials it once a second, not all the time.
#[test]
fn a_node_of_another_version_is_not_dialled_in_a_circle() {
    let (alice, node, bob, _bob_node) = paired();
    drop(node);
    let (dir, mut listener) = (alice.path(""), LoopbackListener::open().unwrap());
    let home = StoredHome::locate(dir.to_str()).unwrap();
    let lock = NodeLock::take(&home).unwrap().unwrap();
    let control = Some((listener.port().unwrap(), listener.secret().clone()));
    lock.publish(&NodeInfo { control, ..NodeInfo::default() }).unwrap();
    let (count, counted) = (Arc::new(AtomicU32::new(0)), Instant::now());
    let dialled = Arc::clone(&count);
    std::thread::spawn(move || {
        loop {
            let connection = listener.accept();
            let _ = connection.write(&Down::Version("0.0.1".into()).encode());
            connection.close();
            dialled.fetch_add(1, Ordering::Relaxed);
        }
    });
    let refused = alice.fails(&["status"], 1);
    assert!(refused.contains("is egoat 0.0.1, and this is another version"), "{refused}");
    let _chat = Process::start(alice.cmd(&["chat", "bob"]));
    let _log = Process::start(alice.cmd(&["log", "--follow"]));
    alice.fails(&["say", "--wait", "3s", "bob", "hello"], 75);
    let seconds = counted.elapsed().as_secs() as u32 + 1;
    let dialled = count.load(Ordering::Relaxed);
    assert!(dialled <= 3 * 3 * seconds, "{dialled} times in {seconds} s, by three programs");
    drop(bob);
}

fn status_line(home: &Home) -> String {
    home.run(&["--json", "status"]).lines().next().unwrap().to_owned()
}
