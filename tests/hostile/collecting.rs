//! A peer that is paired and means harm collects files, or has them collected: it may learn and cost no more than one that
//! sends and is sent files.

use crate::common;

use common::rogue::{Line, Rogue};
use common::{Home, Node, poll_until};
use egoat::crypto::lane::TICKET_LEN;
use egoat::wire::features::Features;
use egoat::wire::message::{Kind, Message, Refusal};
use std::fs::File;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

const FILES_WAIT: u8 = 128;

/// Alice's node, and Mallory, who only dials in.
struct Field {
    alice: Home,
    node: Node,
    key: String,
    mallory: Rogue,
}

impl Field {
    fn new(features: Features) -> Field {
        let (alice, mallory) = (Home::new("alice"), Rogue::new(41).with_features(features));
        let node = alice.serve();
        alice.run(&["peers", "add", "mallory", &mallory.key()]);
        let key = alice.key();
        Field { alice, node, key, mallory }
    }

    fn session(&self, kind: Kind) -> Line {
        self.mallory.session(&self.node.addr, &self.key, kind)
    }

    /// A session that fetches messages, on which nothing waits any more.
    fn fetching(&self) -> Line {
        let mut line = self.session(Kind::Pull);
        line.expect(&Message::Ping);
        line.say(&Message::Pong);
        line
    }

    /// The session by which Mallory collects the file that is queued then, which is taken with so many lanes.
    fn collecting(&self, bytes: u64, lanes: u8) -> (Line, Line) {
        let mut fetching = self.fetching();
        File::create(self.alice.path("file")).unwrap().set_len(bytes).unwrap();
        self.alice.run(&["send", "--queue", "mallory", self.alice.path("file").to_str().unwrap()]);
        // News that is none for the peer comes as a PING alone.
        let mut is_told = false;
        while !is_told {
            match fetching.read().map(|(kind, _)| kind) {
                Some(FILES_WAIT) => is_told = true,
                kind => {
                    assert_eq!(kind, Some(Message::Ping.kind()));
                    fetching.say(&Message::Pong);
                }
            }
        }
        fetching.expect(&Message::Ping);
        fetching.say(&Message::Pong);
        let mut line = self.session(Kind::Collect);
        let offer = Message::Offer { transfer: [0; 16], entries: 1, bytes };
        line.expect(&offer);
        assert_eq!(line.read().map(|(kind, _)| kind), Some(Message::Manifest(&[]).kind()));
        line.say(&Message::Take { lanes, ticket: [0; TICKET_LEN] });
        (fetching, line)
    }
}

#[test]
fn who_collects_where_nothing_waits_is_told_so() {
    let field = Field::new(Features::ACCEPTOR);
    let _fetching = field.fetching();
    for _ in 0..20 {
        let mut line = field.session(Kind::Collect);
        line.expect(&Message::Bye);
        assert!(line.expect_end().is_empty());
    }
    // A file that waits goes to its peer alone.
    let other = Rogue::new(42).with_features(Features::ACCEPTOR);
    field.alice.run(&["peers", "add", "other", &other.key()]);
    field.alice.run(&["send", "--queue", "mallory", &field.alice.file("file", "secret")]);
    let mut line = other.session(&field.node.addr, &field.key, Kind::Collect);
    line.expect(&Message::Bye);
}

#[test]
fn a_blocked_peer_and_a_stranger_collect_nothing() {
    let field = Field::new(Features::ACCEPTOR);
    field.alice.run(&["peers", "set", "mallory", "blocked"]);
    for (who, refusal) in [(&field.mallory, Refusal::Blocked), (&Rogue::new(43), Refusal::Unknown)] {
        let mut line = who.dial(&field.node.addr, &field.key, Kind::Collect);
        line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
        line.expect(&Message::Refused(refusal));
    }
}

/// A program that does not know of files that wait hears nothing of them, and goes on as before.
#[test]
fn a_peer_of_before_is_not_told() {
    for features in [Features::NONE, Features::IGNORABLE, Features::COLLECT] {
        let field = Field::new(features);
        let mut line = field.fetching();
        field.alice.run(&["send", "--queue", "mallory", &field.alice.file("file", "content")]);
        poll_until("a try", || field.alice.run(&["--json", "outbox"]).contains("no address").then_some(()));
        field.alice.run(&["say", "mallory", "hello"]);
        loop {
            match line.read() {
                Some((kind, _)) if kind == Message::Ping.kind() => line.say(&Message::Pong),
                Some((8, body)) => break assert!(body.ends_with(b"hello")),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Message 1 of a lane may be a recording: nothing is sent on it before the first record has proven the dialler.
#[test]
fn a_lane_that_has_proven_nothing_is_sent_nothing() {
    let field = Field::new(Features::ACCEPTOR);
    // More than the sockets' buffers hold, so that there is something left for the lanes.
    let (_fetching, mut line) = field.collecting(200 << 20, 2);
    let ticket = line.collect_ticket();
    let lane = |index| {
        let dial = || line.lane(&field.node.addr, &ticket, index);
        poll_until("the lane to be let in", dial)
    };
    let (silent, mut proven) = (lane(0), lane(1));
    assert!(line.lane(&field.node.addr, &ticket, 0).is_none(), "each lane is let in once");
    assert!(line.lane(&field.node.addr, &ticket, 2).is_none(), "two were wanted");
    proven.say(&Message::Ping);
    assert_eq!(proven.read().map(|(kind, _)| kind), Some(20), "a piece");
    silent.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(silent.stream.peek(&mut [0]).is_err(), "nothing");
    line.hang_up();
    drop((silent, proven));
    assert!(line.expect_end().contains(&25), "START");
}

/// Each has a node dial its peer, which costs both a handshake.
#[test]
fn files_that_wait_and_are_not_there_are_dialled_for_a_few_times() {
    let (alice, mallory) = (Home::new("alice"), Rogue::new(44).with_features(Features::ACCEPTOR));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    alice.run(&["peers", "add", "mallory", &mallory.key(), &listener.local_addr().unwrap().to_string()]);
    let _node = alice.serve();
    // A peer that only says something when it is fetched.
    let fetched = Arc::new(AtomicUsize::new(0));
    let (counted, alarms) = (Arc::clone(&fetched), Arc::new(AtomicUsize::new(0)));
    let told = Arc::clone(&alarms);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (counted, told) = (Arc::clone(&counted), Arc::clone(&told));
            let mallory = Rogue::new(44).with_features(Features::ACCEPTOR);
            thread::spawn(move || {
                let Some((kind, mut line)) = mallory.answer(stream.unwrap()) else { return };
                line.read();
                match kind {
                    Kind::Collect => {
                        counted.fetch_add(1, Relaxed);
                        line.at_once(|line| {
                            line.say(&Message::Accept);
                            line.say(&Message::Bye);
                        });
                    }
                    Kind::Pull => {
                        line.read();
                        line.say(&Message::Accept);
                        loop {
                            line.say(&Message::FilesWait);
                            line.say(&Message::Ping);
                            if line.read().is_none() {
                                return;
                            }
                            told.fetch_add(1, Relaxed);
                        }
                    }
                    // He takes messages, so that she fetches his.
                    Kind::Push => {
                        line.say(&Message::Accept);
                        line.say(&Message::Held(0));
                        while line.read().is_some() {
                            line.say(&Message::Pong);
                        }
                    }
                    _ => {}
                }
            });
        }
    });
    poll_until("thousands of alarms", || (alarms.load(Relaxed) > 5000).then_some(()));
    let dialled = fetched.load(Relaxed);
    assert!((1..=20).contains(&dialled), "dialled {dialled} times for {} alarms", alarms.load(Relaxed));
}
