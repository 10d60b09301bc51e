//! Offers that the user of a chat has answered: a yes holds until all is here, also when the connection breaks and the node
//! is started again, and `/stop` is a no.

use crate::common;
use crate::terminal::{Chat, USUAL};

use common::files::{CHUNK, MIB, landed_in, sample, set_time};
use common::gate::Gate;
use common::{Home, Node, Process, poll_until};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// Chunks of what Bob sends; the first of them come through a gate.
const CHUNKS: usize = 80;
/// Bytes that come through.
const FIRST: u64 = 2 * MIB as u64;

/// Alice's node asks about files of Bob's, whose node reaches her by a gate.
struct Scene {
    alice: Home,
    alice_node: Node,
    bob: Home,
    bob_node: Node,
    gate: Gate,
    file: String,
}

impl Scene {
    fn new() -> Scene {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        // She has no address of his, so that he learns none of hers but that of the gate.
        alice.run(&["peers", "add", "bob", &bob.key()]);
        alice.run(&["peers", "set", "bob", "files=ask"]);
        let alice_node = alice.serve();
        let gate = Gate::before(&alice_node.addr, FIRST);
        lead(&bob, &alice, &gate);
        let bob_node = bob.serve();
        let file = bob.file("large.bin", sample(CHUNKS * CHUNK));
        Scene { alice, alice_node, bob, bob_node, gate, file }
    }

    /// Starts a chat beside Alice's node, in which Bob's file is asked about.
    fn ask(&self) -> Process {
        let chat = Process::start(self.alice.cmd(&["chat", "bob"]));
        self.bob.run(&["send", "--queue", "alice", &self.file]);
        let question = "bob offers large.bin (18.7 MiB): /accept 1 [DIR] or /refuse 1";
        poll_until(question, || {
            // The chat may not be there yet to be asked.
            self.bob.run(&["outbox", "retry"]);
            chat.said().contains(question).then_some(())
        });
        chat
    }

    /// Bytes of a transfer are here.
    fn wait_for_some(&self) {
        poll_until("some of it", || self.alice.run(&["partial"]).contains(" MiB").then_some(()));
    }

    /// Both nodes end, and run again with another gate between them.
    fn restart(&mut self) {
        self.bob_node.kill9();
        self.alice_node.kill9();
        self.gate = Gate::firmly_before(&self.alice_node.addr, FIRST);
        lead(&self.bob, &self.alice, &self.gate);
        self.alice_node = self.alice.serve_again_at(&self.alice_node.addr);
        self.bob_node = self.bob.serve_again_at(&self.bob_node.addr);
    }
}

/// Bob, whose node does not run, reaches Alice by the gate from now on.
fn lead(bob: &Home, alice: &Home, gate: &Gate) {
    fs::write(bob.path("peers"), format!("alice {} {}\n", alice.key(), gate.addr)).unwrap();
}

/// How often the chat has asked.
fn questions(chat: &Process) -> usize {
    chat.said().matches("bob offers large.bin").count()
}

#[test]
fn a_yes_holds_until_all_is_here() {
    let mut scene = Scene::new();
    let place = scene.alice.path("a place");
    let mut chat = scene.ask();
    chat.write(format!("/accept 1 {}\n", place.display()).as_bytes());
    chat.wait_to_say(&format!("taken; it lands in {}\n", place.display()));
    scene.wait_for_some();
    scene.restart();
    chat.wait_to_say("bob's large.bin goes on at ");
    scene.gate.open();
    poll_until("the file", || (landed_in(&place) == ["large.bin"]).then_some(()));
    assert!(fs::read(place.join("large.bin")).unwrap() == sample(CHUNKS * CHUNK));
    assert_eq!(questions(&chat), 1, "{}", chat.said());
    poll_until("the note to go", || scene.alice.run(&["partial"]).is_empty().then_some(()));
}

#[test]
fn other_files_are_another_question() {
    let mut scene = Scene::new();
    let mut chat = scene.ask();
    chat.write(b"/accept\n");
    chat.wait_to_say(&format!("taken; it lands in {}\n", scene.alice.path("downloads/bob").display()));
    scene.wait_for_some();
    // Bob's user says to send it as it is now.
    set_time(Path::new(&scene.file), SystemTime::UNIX_EPOCH);
    scene.restart();
    poll_until("another question", || {
        scene.bob.run(&["outbox", "retry"]);
        (questions(&chat) == 2).then_some(())
    });
    chat.write(b"/refuse\n");
    poll_until("Bob to be told", || scene.bob.run(&["outbox"]).contains("(refused)").then_some(()));
}

/// What is stopped does not come back as an offer, and its sender is told.
#[test]
fn a_stop_is_a_no() {
    let scene = Scene::new();
    let Some(alice) = Chat::open(&scene.alice, USUAL, "bob") else { return };
    let Some(bob) = Chat::open(&scene.bob, USUAL, "alice") else { return };
    bob.line(&format!("/send {}", scene.file));
    alice.see("bob offers large.bin (18.7 MiB): /accept 1 [DIR] or /refuse 1");
    alice.line("/accept");
    alice.see("/s: large.bin from bob");
    scene.wait_for_some();
    alice.line("/stop");
    alice.see("-- large.bin is stopped, and bob told; what has arrived waits: `egoat partial` lists it");
    bob.see("-- alice stopped large.bin; it goes on only if it is sent or shared again");
    assert_eq!(scene.bob.run(&["outbox"]), "");
    // Only when Bob says so: then Alice is asked, and sees what there is.
    scene.gate.open();
    bob.line(&format!("/send {}", scene.file));
    alice.see("bob offers large.bin (18.7 MiB); ");
    alice.see(&format!(" % of it is in {}: /accept 2 ", scene.alice.path("downloads/bob").display()));
    alice.line("/accept");
    alice.see("* bob sent ");
    assert_eq!(landed_in(&scene.alice.path("downloads/bob")), ["large.bin"]);
}
