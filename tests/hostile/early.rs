//! A peer that sends early what it should not, or less than it says: the connection ends, and nothing of it is stored twice,
//! out of order or at all.

use crate::common;

use common::rogue::{Line, Rogue, file};
use common::{Home, Node};
use egoat::wire::features::Features;
use egoat::wire::message::{CHUNK, Kind, MAX_EARLY, Message, Refusal};
use std::time::Duration;

/// Bob's node, and Mallory, who is a peer.
struct Field {
    bob: Home,
    node: Node,
    mallory: Rogue,
}

impl Field {
    fn new() -> Field {
        let features = Features::IGNORABLE.with(Features::EARLY);
        let (bob, mallory) = (Home::new("bob"), Rogue::new(43).with_features(features));
        let node = bob.serve();
        bob.run(&["peers", "add", "mallory", &mallory.key()]);
        Field { bob, node, mallory }
    }

    /// Says all of this before it has read anything.
    fn say(&self, kind: Kind, early: &[Message]) -> Line {
        let mut line = self.mallory.dial(&self.node.addr, &self.bob.key(), kind);
        line.at_once(|line| {
            line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
            early.iter().for_each(|message| line.say(message));
        });
        line
    }

    /// The same, and the session is accepted.
    fn accepted(&self, kind: Kind, early: &[Message]) -> Line {
        let mut line = self.say(kind, early);
        line.expect(&Message::Accept);
        line
    }
}

fn text(number: u64, text: &str) -> Message<'_> {
    Message::Text { number, said: None, text: text.as_bytes() }
}

#[test]
fn texts_count_together_or_not_at_all() {
    let field = Field::new();
    let mut line = field.accepted(Kind::Push, &[Message::Early(2), text(1, "one"), text(3, "three")]);
    line.expect(&Message::Held(0));
    line.expect(&Message::Ack(3));

    // The first one is old, so all are dropped, and none is acknowledged; what follows is judged by itself.
    let early = [Message::Early(3), text(2, "two"), text(4, "four"), text(5, "five")];
    let mut line = field.accepted(Kind::Push, &early);
    line.expect(&Message::Held(3));
    line.say(&text(6, "six"));
    line.expect(&Message::Ack(6));
    line.say(&Message::Ping);
    line.expect(&Message::Pong);
    assert_eq!(field.bob.received(), ["one", "three", "six"]);
}

#[test]
fn what_is_no_early_message_ends_the_session() {
    let field = Field::new();
    let long = "x".repeat(MAX_EARLY / 2);
    let cases: [&[Message]; 6] = [
        &[text(1, "none of it is announced")],
        &[Message::Early(0), Message::Early(0)],
        &[Message::Early(1), Message::Ping, text(1, "after it")],
        &[Message::Early(2), text(1, &long), text(2, &long)],
        &[Message::Early(2), text(2, "down"), text(1, "it goes")],
        &[Message::Early(1), Message::End],
    ];
    for early in cases {
        let mut line = field.accepted(Kind::Push, early);
        line.expect(&Message::Held(0));
        assert_eq!(line.expect_end(), [0; 0], "{early:?}");
        assert_eq!(field.bob.received(), [""; 0], "{early:?}");
    }
}

/// It announces more than it sends.
#[test]
fn messages_that_do_not_come_are_waited_for_and_nothing_is_stored() {
    let field = Field::new();
    let mut line = field.accepted(Kind::Push, &[Message::Early(3), text(1, "one"), text(2, "two")]);
    line.expect(&Message::Held(0));
    assert!(!line.ends_within(Duration::from_millis(300)));
    line.hang_up();
    assert_eq!(line.expect_end(), [0; 0]);
    assert_eq!(field.bob.received(), [""; 0]);
}

#[test]
fn a_file_that_is_not_taken_leaves_nothing() {
    let field = Field::new();
    field.bob.run(&["peers", "set", "mallory", "files=refuse"]);
    let mut offer = Vec::new();
    let entry = file("file", 5).encode();
    offer.extend([Message::Early(5), Message::Offer { transfer: [0; 16], entries: 1, bytes: 5 }]);
    offer.extend([Message::Manifest(&entry), Message::Start(1)]);
    offer.extend([Message::Piece { at: 0, data: b"hello" }, Message::End]);
    let mut line = field.accepted(Kind::Files, &offer);
    assert_eq!(line.expect_end(), [Message::Decline(egoat::wire::message::Declined::Policy).kind()]);

    field.bob.run(&["peers", "set", "mallory", "files=accept"]);
    let mut line = field.accepted(Kind::Files, &offer);
    line.expect_take();
    line.expect(&Message::Stored);
    line.say(&Message::Bye);
    let path = field.bob.path("downloads/mallory/file");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "hello");
}

#[test]
fn early_chunks_that_do_not_fit_the_offer_end_the_session() {
    let field = Field::new();
    let (entry, data) = (file("file", 5).encode(), [0; 6]);
    let offer = Message::Offer { transfer: [0; 16], entries: 1, bytes: 5 };
    let cases: [&[Message]; 4] = [
        &[Message::Start(2), Message::End],
        &[Message::Start(1), Message::Piece { at: 0, data: &data }, Message::End],
        &[Message::Start(1), Message::Piece { at: CHUNK as u64, data: &data[..5] }, Message::End],
        &[Message::Start(1), Message::End],
    ];
    for more in cases {
        let early =
            [&[Message::Early(2 + more.len() as u16), offer, Message::Manifest(&entry)], more].concat();
        let mut line = field.accepted(Kind::Files, &early);
        line.expect_take();
        let said = line.expect_end();
        assert!(!said.contains(&Message::Stored.kind()), "{more:?}: {said:?}");
        assert!(!field.bob.path("downloads/mallory/file").exists(), "{more:?}");
    }
}

/// What it has said before it was refused counts for nothing.
#[test]
fn whom_the_node_refuses_has_sent_nothing() {
    let field = Field::new();
    field.bob.run(&["peers", "set", "mallory", "blocked"]);
    let mut line = field.say(Kind::Push, &[Message::Early(1), text(1, "hello")]);
    line.expect(&Message::Refused(Refusal::Blocked));
    assert_eq!(field.bob.received(), [""; 0]);
}
