//! Files for a peer that only dials in: it collects them from the node, whether a command waits for that or they are queued.

use crate::common;

use common::files::{CHUNK, MIB, chunks_in, landed_in, names_in, note_goes, sample, staged_in};
use common::proxy::{How, Plan, Proxy, Way};
use common::route::fast_dir;
use common::{Home, Node, Process, json_number, json_text, paired, poll_until};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

/// Alice, whose node Bob dials through a proxy; she knows no address of his.
struct Couple {
    alice: Home,
    bob: Home,
    node: Node,
    bob_node: Node,
    proxy: Proxy,
    /// Where Bob has the files of Alice.
    landing: PathBuf,
}

impl Couple {
    fn new() -> Couple {
        Couple::with(&[])
    }

    /// Bob serves with further arguments.
    fn with(args: &[&str]) -> Couple {
        let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
        let node = alice.serve();
        let proxy = Proxy::before(&node.addr);
        alice.run(&["peers", "add", "bob", &bob.key()]);
        bob.run(&["peers", "add", "alice", &alice.key(), &proxy.addr]);
        let bob_node = bob.serve_with(&[&["--listen", "127.0.0.1:0"], args].concat());
        let mut couple = Couple { landing: bob.path("downloads/alice"), alice, bob, node, bob_node, proxy };
        couple.node.wait_for("connected with bob");
        couple
    }

    /// Sends by a command, which succeeds; what `--json` says of it.
    fn send(&self, args: &[&str]) -> String {
        let out = self.alice.run(&[&["--json", "send", "bob"], args].concat());
        out.lines().find(|line| line.contains("\"event\":\"sent\"")).unwrap().to_owned()
    }

    fn chunks(&self) -> usize {
        staged_in(&self.landing).iter().map(|staging| chunks_in(staging)).sum()
    }

    /// Starts to send a file of 12 MiB on connections of which each hangs after 3 MiB, and returns when some of it is on
    /// Bob's disk.
    fn start_in_part(&self) -> (Process, Vec<u8>) {
        let content = sample(12 * MIB);
        let file = self.alice.file("large.bin", &content);
        // What Bob has of it comes from Alice's node, over connections that he dials.
        self.proxy.plan(|| Plan::cut(Way::ToDialler, 3 << 20, How::Hang));
        let send = Process::start(self.alice.cmd(&["send", "bob", &file]));
        poll_until("chunks to be written", || (self.chunks() >= 4).then_some(()));
        (send, content)
    }

    fn mend(&self) {
        self.proxy.cut_and_plan(0, Plan::default());
    }
}

#[test]
fn a_command_sends_to_a_peer_that_only_dials_in() {
    let couple = Couple::new();
    let content = sample(20 * MIB);
    let file = couple.alice.file("large.bin", &content);
    let sent = couple.send(&[&file]);
    assert_eq!((json_text(&sent, "peer"), json_text(&sent, "title")), ("bob".into(), "large.bin".into()));
    assert_eq!((json_number(&sent, "bytes"), json_number(&sent, "held")), (20 << 20, 0));
    assert!(fs::read(couple.landing.join("large.bin")).unwrap() == content);
    fs::create_dir_all(couple.alice.path("tree/empty")).unwrap();
    couple.alice.file("tree/a", "a");
    couple.alice.file("tree/none", "");
    couple.send(&[couple.alice.path("tree").to_str().unwrap()]);
    assert_eq!(names_in(&couple.landing.join("tree")), ["a", "empty", "none"]);
    couple.send(&["--name", "other", &couple.alice.file("small", "small")]);
    assert_eq!(fs::read_to_string(couple.landing.join("other")).unwrap(), "small");
    // Both sides have all of it in their logs, once.
    assert_eq!(couple.alice.run(&["log"]).lines().count(), 3);
    assert_eq!(couple.bob.run(&["log"]).lines().count(), 3);
    assert!(names_in(&couple.alice.path("partial")).is_empty());
    note_goes(&couple.bob);
}

/// The receiver dials the lanes.
#[test]
fn lanes_bring_what_is_collected() {
    if std::thread::available_parallelism().map_or(1, std::num::NonZero::get) == 1 {
        return eprintln!("left out: one processor is given no lane");
    }
    let couple = Couple::new();
    poll_until("a transfer that several connections bring", || {
        let content = sample(30 * MIB);
        let sent = couple.send(&[&couple.alice.file("large.bin", &content)]);
        assert!(fs::read(couple.landing.join("large.bin")).unwrap() == content);
        fs::remove_file(couple.landing.join("large.bin")).unwrap();
        (json_number(&sent, "lanes") > 1).then_some(())
    });
}

#[test]
fn what_comes_out_of_a_pipe_is_collected_as_well() {
    let couple = Couple::new();
    let content = sample(9 * MIB);
    couple.alice.ends_with(&["send", "bob", "--name", "pipe.bin", "-"], &content, 0);
    assert!(fs::read(couple.landing.join("pipe.bin")).unwrap() == content);
    couple.alice.ends_with(&["send", "bob", "-"], b"", 0);
    assert_eq!(fs::read(couple.landing.join("stdin")).unwrap(), b"");
    assert_eq!(couple.alice.run(&["log"]).lines().count(), 2);
}

/// A pipe whose command is killed has not ended, so what came out of it is no file.
#[test]
fn a_pipe_whose_command_is_killed_leaves_nothing() {
    let couple = Couple::new();
    for _ in 0..5 {
        let mut command = couple.alice.cmd(&["send", "bob", "-"]);
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(&sample(MIB)).unwrap();
        poll_until("some of it to be there", || (!staged_in(&couple.landing).is_empty()).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        poll_until("it to be gone", || names_in(&couple.landing).is_empty().then_some(()));
    }
    assert_eq!(couple.bob.run(&["log"]), "");
}

/// It is bounded what the node reads ahead of a pipe while the peer takes nothing.
#[test]
fn a_pipe_is_not_read_ahead_without_bound() {
    let couple = Couple::new();
    couple.proxy.plan(|| Plan::cut(Way::ToDialler, 1 << 20, How::Hang));
    let mut command = couple.alice.cmd(&["send", "bob", "--spool", "8M", "-"]);
    command.stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let (read, is_read) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let piece = sample(MIB);
        while pipe.write_all(&piece).is_ok() && read.send(()).is_ok() {}
    });
    let mut pieces = 0;
    while is_read.recv_timeout(std::time::Duration::from_secs(2)).is_ok() {
        pieces += 1;
        assert!(pieces < 40, "40 MiB were read");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(is_read);
    writer.join().unwrap();
}

#[test]
fn what_is_queued_is_collected_when_the_peer_comes() {
    let mut couple = Couple::new();
    couple.bob_node.kill9();
    let names: Vec<String> = (0..5).map(|number| format!("file {number}")).collect();
    for name in &names {
        couple.alice.run(&["send", "--queue", "bob", &couple.alice.file(name, name)]);
    }
    let _bob_node = couple.bob.serve();
    poll_until("the outbox to be empty", || couple.alice.run(&["outbox"]).is_empty().then_some(()));
    assert_eq!(landed_in(&couple.landing), names);
    assert_eq!(couple.bob.run(&["log"]).lines().count(), 5);
    // While he is here as well.
    couple.alice.run(&["send", "--queue", "bob", &couple.alice.file("later", "later")]);
    poll_until("it to be there", || couple.landing.join("later").exists().then_some(()));
}

#[test]
fn a_peer_who_is_away_is_an_error_and_no_queue() {
    let mut couple = Couple::new();
    couple.bob_node.kill9();
    couple.node.wait_for("disconnected from bob");
    let said = couple.alice.fails(&["send", "bob", &couple.alice.file("file", "x")], 69);
    assert!(said.contains("no address of it is known"), "{said}");
    assert!(said.contains("hint: with --queue the files wait here"), "{said}");
    assert_eq!(couple.alice.run(&["outbox"]), "");
    // It is waited for, if that is wanted.
    let send =
        Process::start(couple.alice.cmd(&["send", "--wait", "60s", "bob", &couple.alice.file("file", "x")]));
    send.wait_to_say("trying again");
    let _bob_node = couple.bob.serve();
    let (code, _, said) = { send }.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read(couple.landing.join("file")).unwrap(), b"x");
}

/// What the receiver refuses is told as if it had been dialled.
#[test]
fn refusals_have_their_reason_and_status() {
    let couple = Couple::new();
    couple.bob.run(&["peers", "set", "alice", "files=refuse"]);
    let file = couple.alice.file("file", "content");
    let refused = || couple.alice.ends_with(&["send", "bob", &file], b"", 77).1;
    poll_until("his node to have seen it", || refused().contains("takes no files from you").then_some(()));
    assert!(refused().contains("hint: they can allow it"));
    couple.bob.run(&["peers", "set", "alice", "files=accept", "max-file=3"]);
    poll_until("his node to have seen it", || refused().contains("7 B is more than it takes").then_some(()));
    let missing = couple.alice.path("missing");
    let said = couple.alice.ends_with(&["send", "bob", missing.to_str().unwrap()], b"", 1).1;
    assert!(said.contains("missing"), "{said}");
    assert!(landed_in(&couple.landing).is_empty());
}

#[test]
fn a_transfer_goes_on_after_the_command_the_network_or_a_node_has_ended() {
    for blow in ["command", "network", "receiver", "sender"] {
        let mut couple = Couple::new();
        let (mut send, content) = couple.start_in_part();
        match blow {
            "command" => drop(send.kill9()),
            "network" => {}
            "receiver" => drop(couple.bob_node.kill9()),
            _ => drop(couple.node.kill9()),
        }
        couple.mend();
        match blow {
            "receiver" => couple.bob_node = couple.bob.serve(),
            "sender" => couple.node = couple.alice.serve_again_at(&couple.node.addr),
            _ => {}
        }
        if blow != "command" {
            let (code, _, said) = send.end();
            // A node that has ended cannot say how far it was.
            let is_told = blow == "sender" || said.contains("kept there");
            assert!(code == Some(69) && is_told, "{blow}: {code:?} {said}");
        }
        assert!(landed_in(&couple.landing).is_empty(), "{blow}");
        // The same command goes on from what is there.
        let file = couple.alice.path("large.bin");
        let sent = couple.alice.run(&["--json", "send", "--wait", "60s", "bob", file.to_str().unwrap()]);
        let sent = sent.lines().find(|line| line.contains("\"event\":\"sent\"")).unwrap();
        assert!(json_number(sent, "held") >= 4 * CHUNK as u64, "{blow}: {sent}");
        assert!(fs::read(couple.landing.join("large.bin")).unwrap() == content, "{blow}");
        assert_eq!(couple.bob.run(&["log"]).matches("large.bin").count(), 1, "{blow}");
    }
}

/// The node has dialled him, and is connected for as long as that lasts.
#[test]
fn a_peer_whose_address_is_taken_away_collects_while_it_is_connected() {
    let (alice, mut node, bob, _bob_node) = paired();
    node.wait_for("connected with bob");
    alice.run(&["say", "--wait", "60s", "bob", "hello"]);
    let file = alice.file("file", "content");
    alice.run(&["peers", "set", "bob", "address="]);
    alice.run(&["send", "bob", &file]);
    assert_eq!(fs::read(bob.path("downloads/alice/file")).unwrap(), b"content");
}

/// Whoever runs no node gets by `fetch` what is queued for them, and messages that come meanwhile.
#[test]
fn fetch_collects_what_is_queued_there() {
    let mut couple = Couple::new();
    couple.bob_node.kill9();
    couple.node.wait_for("disconnected from bob");
    let large = sample(9 * MIB);
    for (name, content) in [("one", &b"1"[..]), ("two", b"2"), ("large", &large)] {
        couple.alice.run(&["send", "--queue", "bob", &couple.alice.file(name, content)]);
    }
    couple.alice.run(&["say", "bob", "hello"]);
    let out = couple.bob.run(&["fetch"]);
    assert_eq!(out, "alice: delivered 0, received 1, files received 3\n");
    assert_eq!(landed_in(&couple.landing), ["large", "one", "two"]);
    assert!(fs::read(couple.landing.join("large")).unwrap() == large);
    poll_until("the outbox to be empty", || couple.alice.run(&["outbox"]).is_empty().then_some(()));
    assert_eq!(couple.bob.run(&["log"]).lines().count(), 4);
    // With nothing there, it is over at once.
    assert_eq!(
        couple.bob.ends_with(&["fetch"], b"", 0),
        ("alice: delivered 0, received 0\n".into(), String::new())
    );
    // What is not taken is told here, and keeps nothing back.
    couple.bob.run(&["peers", "set", "alice", "max-file=3"]);
    couple.alice.run(&["send", "--queue", "bob", &couple.alice.file("long", "12345")]);
    couple.alice.run(&["send", "--queue", "bob", &couple.alice.file("next", "x")]);
    let (out, said) = couple.bob.ends_with(&["fetch"], b"", 1);
    assert_eq!(out, "alice: delivered 0, received 0, files received 1\n", "{said}");
    assert!(said.contains("alice offered long, which was refused"), "{said}");
}
