//! The user stops a transfer (`/stop`) whose sender goes on talking, but brings nothing new.

use std::fs;

use crate::common::files::CHUNK;
use crate::common::json::{json_number, json_text};
use crate::common::rogue::{Line, Rogue, file};
use crate::common::{Home, Node, poll_until};
use egoat::crypto::SharedSecret;
use egoat::net::loopback;
use egoat::wire::control::Up;
use egoat::wire::features::Features;
use egoat::wire::message::{Failure, Kind, Message};

/// Bob's node, and a transfer of Mallory's that has begun.
struct Field {
    bob: Home,
    _node: Node,
    line: Line,
}

impl Field {
    fn new(offer: impl FnOnce(&mut Line)) -> Field {
        let bob = Home::new("bob");
        let mallory = Rogue::new(13).with_features(Features::PROGRESS);
        bob.run(&["peers", "add", "mallory", &mallory.key()]);
        let node = bob.serve();
        let mut line = mallory.session(&node.addr, &bob.key(), Kind::Files);
        offer(&mut line);
        Field { bob, _node: node, line }
    }

    /// The user stops it.
    fn stop(&self) {
        let transfer = poll_until("the transfer", || {
            let lines = self.bob.run(&["--json", "status"]);
            lines.lines().find(|line| json_text(line, "event") == "transfer").map(str::to_owned)
        });
        let lock = fs::read_to_string(self.bob.path("node.lock")).unwrap();
        let control = lock.lines().find_map(|line| line.strip_prefix("control ")).unwrap();
        let (port, secret) = control.split_once(' ').unwrap();
        let (port, secret) = (port.parse().unwrap(), SharedSecret::from_base32(secret).unwrap());
        let version = Up::Version(env!("CARGO_PKG_VERSION").into()).encode();
        let stop = Up::Stop(json_number(&transfer, "number")).encode();
        let _front = loopback::dial(port, &secret, &[version, stop].concat()).unwrap();
        // It is heard of before the next message of the transfer is sent.
        self.bob.run(&["status"]);
    }

    /// Goes on with this until it is told that the transfer was stopped.
    fn is_stopped_while(&mut self, say: impl Fn(&mut Line)) {
        self.line.stream.set_nonblocking(true).unwrap();
        poll_until("the end of the transfer", || {
            self.line.stream.set_nonblocking(false).unwrap();
            say(&mut self.line);
            self.line.stream.set_nonblocking(true).unwrap();
            (self.line.stream.peek(&mut [0]).is_ok()).then_some(())
        });
        self.line.stream.set_nonblocking(false).unwrap();
        self.line.expect(&Message::Failed(Failure::Stopped));
    }
}

#[test]
fn a_sender_that_repeats_a_chunk_is_stopped() {
    let chunk = vec![7; CHUNK];
    let mut field = Field::new(|line| {
        line.offer(&[file("large", 2 * CHUNK as u64)]);
        line.expect_take();
        line.say(&Message::Start(2));
        line.chunk(0, &chunk);
    });
    field.stop();
    field.is_stopped_while(|line| line.chunk(0, &chunk));
}

#[test]
fn a_sender_that_only_pings_is_stopped() {
    let mut field = Field::new(|line| {
        line.offer(&[file("large", 2 * CHUNK as u64)]);
        line.expect_take();
    });
    field.stop();
    field.is_stopped_while(|line| line.say(&Message::Ping));
}
