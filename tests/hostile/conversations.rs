//! Peers that are paired and mean harm: what they say, and when, and how often, while honest peers talk to the same node.
//! Each of their messages must get through within 2 s, and the node may not grow by more than 64 MiB. It leaves out
//! strangers, and what is in files: see `files`.

use crate::common;

use common::files::{CHUNK, landed_in, sample};
use common::rogue::{Entry, LANE, Line, Rogue, connect, file};
use common::{Home, Node, PATIENCE, poll_until};
use egoat::crypto::handshake::{MESSAGE_1_LEN, MESSAGE_3_LEN, PREAMBLE_LEN};
use egoat::crypto::lane::{MESSAGE_LEN, TICKET_LEN};
use egoat::wire::message::{Kind, MAX_NUMBER, MAX_TEXT, Message, max_body};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the honest may have to wait: far less than an attack lasts that holds them up, and more than a busy machine takes.
const WITHIN: Duration = Duration::from_secs(20);
/// What the node may grow by.
const GROWTH: u64 = 64 << 20;

/// Bob's node, and honest peers of his: Carol dials for each message, and Dave's node has a connection that stands.
struct Field {
    bob: Home,
    node: Node,
    key: String,
    mallory: Rogue,
    talk: Talk,
    memory: u64,
}

/// Messages that are sent one after the other until they are told to stop.
struct Talk {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Field {
    fn new() -> Field {
        Field::with(&[])
    }

    fn with(args: &[&str]) -> Field {
        Field::of(Home::new("bob"), args)
    }

    /// Friends and enemies come from two addresses, since what an enemy does is held against his.
    fn of(bob: Home, args: &[&str]) -> Field {
        let (carol, dave) = (Home::new("carol"), Home::new("dave"));
        let mut node = bob.serve_with(&[&["--listen", "127.0.0.1:0", "--listen", "[::1]:0"], args].concat());
        let friends = node.wait_for("listening on ")["listening on ".len()..].to_owned();
        let key = bob.key();
        carol.run(&["peers", "add", "bob", &key, &friends]);
        bob.run(&["peers", "add", "carol", &carol.key()]);
        dave.run(&["peers", "add", "bob", &key, &friends]);
        bob.run(&["peers", "add", "dave", &dave.key()]);
        let mallory = Rogue::new(13);
        bob.run(&["peers", "add", "mallory", &mallory.key()]);
        let memory = resident(&node, "VmRSS");
        Field { bob, node, key, mallory, talk: Talk::start(carol, dave), memory }
    }

    fn session(&self, kind: Kind) -> Line {
        self.mallory.session(&self.node.addr, &self.key, kind)
    }

    /// A transfer of a file of so many chunks, that is taken; with its ticket.
    fn transfer(&self, name: &str, chunks: usize) -> (Line, [u8; TICKET_LEN]) {
        let mut line = self.session(Kind::Files);
        line.offer(&[file(name, (chunks * CHUNK) as u64)]);
        let (_, ticket) = line.expect_take();
        (line, ticket)
    }

    /// Nobody was kept waiting, nothing is lost, and the node is as it was.
    fn survives(mut self) {
        let sent = self.talk.stop();
        assert!(sent.len() > 1);
        let received = self.bob.received();
        assert!(sent.iter().all(|text| received.contains(text)), "{received:?}");
        let growth = resident(&self.node, "VmHWM").saturating_sub(self.memory);
        assert!(growth <= GROWTH, "it grew by {} KiB", growth >> 10);
        assert!(self.node.is_running());
        let said = self.node.kill9();
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(said.chars().find(|c| c.is_control() && *c != '\n'), None, "{said:?}");
    }
}

impl Talk {
    fn start(carol: Home, dave: Home) -> Talk {
        let stop = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let _node = dave.serve();
            let mut sent = Vec::new();
            while !over.load(Ordering::Relaxed) || sent.len() < 2 {
                let who = if sent.len() % 2 == 0 { &carol } else { &dave };
                let text = format!("message {}", sent.len());
                let began = Instant::now();
                who.run(&["say", "--wait", "20s", "bob", &text]);
                assert!(began.elapsed() < WITHIN, "it took {:?}", began.elapsed());
                sent.push(text);
                // So often is enough.
                thread::sleep(Duration::from_millis(50));
            }
            sent
        });
        Talk { stop, thread: Some(thread) }
    }

    fn stop(&mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A figure of a process's memory, in bytes.
fn resident(node: &Node, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Open files and sockets of a process.
fn descriptors(node: &Node) -> usize {
    fs::read_dir(format!("/proc/{}/fd", node.child.id())).unwrap().count()
}

/// How far a session has come.
type State = (&'static str, fn(&Field) -> Line, &'static [u8]);

/// Each with the types that may come then.
const STATES: [State; 7] = [
    (
        "pairing",
        |field| {
            let mut line = field.session(Kind::Pair);
            line.read().unwrap();
            line
        },
        &[3],
    ),
    (
        "sending messages",
        |field| {
            let mut line = field.session(Kind::Push);
            line.expect(&Message::Held(0));
            line
        },
        &[3, 4, 8],
    ),
    (
        "collecting messages",
        |field| {
            let mut line = field.session(Kind::Pull);
            line.expect(&Message::Ping);
            line
        },
        &[3, 5],
    ),
    ("about to offer files", |field| field.session(Kind::Files), &[16]),
    ("about to send them", |field| field.transfer("evil", 2).0, &[4, 23, 25]),
    (
        "sending them",
        |field| {
            let (mut line, _) = field.transfer("evil", 2);
            line.say(&Message::Start(2));
            line
        },
        &[4, 20, 21, 23],
    ),
    (
        "on a lane",
        |field| {
            let (line, ticket) = field.transfer("evil", 2);
            let lane = line.lane(&field.node.addr, &ticket, 0).unwrap();
            // The session stays as long as its lane, and is not read.
            let with = line.stream.try_clone().unwrap();
            lane.keep(with)
        },
        &[4, 20, 21, 23],
    ),
];

/// What is said that is no message, or not one that can be read.
type Noise = (&'static str, fn(&mut Line));

const NOISE: [Noise; 21] = [
    ("type 0", |line| line.frame(0, &[])),
    ("a type between the known ones", |line| line.frame(10, &[])),
    ("the type behind the last", |line| line.frame(27, b"evil")),
    ("the last of all types", |line| line.frame(255, &[])),
    ("a length of 2^31", |line| line.lie(8, 1 << 31, b"evil")),
    ("a length of 2^31, of no type", |line| line.lie(99, 1 << 31, b"evil")),
    ("a length of 2^32 - 1", |line| line.lie(8, u32::MAX, b"evil")),
    ("a length of 2^32 - 1 of a piece", |line| line.lie(20, u32::MAX, &[0; 100])),
    ("a length of 2^32 - 1 of what has no body", |line| line.lie(3, u32::MAX, &[])),
    ("one byte more than the longest text", |line| line.lie(8, 8 + MAX_TEXT as u32 + 1, b"evil")),
    ("no body where there must be one", |line| line.frame(8, &[])),
    ("half a number", |line| line.frame(9, &[0; 7])),
    ("a number that there is not", |line| line.frame(9, &(MAX_NUMBER + 1).to_be_bytes())),
    ("a byte behind the message", |line| line.frame(3, &[0])),
    ("a byte behind a name", |line| line.frame(6, &[1, b'x', 0, 0, 0])),
    ("a name that is longer than its message", |line| line.frame(6, &[128, b'x', 0, 0])),
    ("a name that is no text", |line| line.frame(6, &[1, 0xff, 0, 0])),
    ("the end in a header", |line| {
        line.send(&[4, 0, 0]);
        line.hang_up();
    }),
    ("the end in a body", |line| {
        line.lie(9, 8, &[0; 3]);
        line.hang_up();
    }),
    ("the end in a record", |line| {
        let record = line.seal(&[4, 0, 0, 0, 0]);
        line.raw(&record[..record.len() - 1]);
        line.hang_up();
    }),
    ("the end", |line| line.hang_up()),
];

/// What is no record that may come now.
const RECORDS: [Noise; 7] = [
    ("a record of nothing", |line| line.raw(&[0, 0])),
    ("a record that is too short", |line| line.raw(&[[0, 15].as_slice(), &[7; 15]].concat())),
    ("a record that nobody has sealed", |line| line.raw(&[[0, 21].as_slice(), &[7; 21]].concat())),
    ("the longest record, which nobody has sealed", |line| {
        line.raw(&[[0xff, 0xff].as_slice(), &[7; 65535]].concat())
    }),
    ("a record twice", |line| {
        let record = line.seal(&[]);
        line.raw(&[&record[..], &record].concat());
    }),
    ("two records in the wrong order", |line| {
        let (first, second) = (line.seal(&[]), line.seal(&[]));
        line.raw(&[second, first].concat());
    }),
    ("a record that was altered", |line| {
        let mut record = line.seal(&[4, 0, 0, 0, 0]);
        record[3] ^= 1;
        line.raw(&record);
    }),
];

/// A body that a message of this type can have.
fn body(kind: u8) -> Vec<u8> {
    match kind {
        2 | 19 | 23 => vec![1],
        6 => vec![0; 11],
        8 => vec![0; 9],
        20 => vec![0; 10],
        kind => vec![0; max_body(kind).unwrap().min(44)],
    }
}

/// It ends at once, and not when a minute of silence is over.
fn ends(what: &str, mut line: Line) {
    assert!(line.ends_within(Duration::from_secs(8)), "{what}");
}

#[test]
fn what_is_no_message_or_comes_at_the_wrong_time_ends_the_session() {
    let field = Field::new();
    for (state, begin, allowed) in STATES {
        for (what, say) in NOISE.iter().chain(&RECORDS) {
            let mut line = begin(&field);
            say(&mut line);
            ends(&format!("{what} while {state}"), line);
        }
        let known = (0..=255).filter(|kind| max_body(*kind).is_ok());
        for kind in known.filter(|kind| !allowed.contains(kind)) {
            let mut line = begin(&field);
            line.frame(kind, &body(kind));
            ends(&format!("type {kind} while {state}"), line);
        }
    }
    assert!(landed_in(&field.bob.path("downloads/mallory")).is_empty());
    field.survives();
}

/// Before somebody has said who it is, only that may come. Such a connection counts as a stranger's, of which there may not
/// be many in a short time.
#[test]
fn who_does_not_say_its_name_is_not_listened_to() {
    let field = Field::new();
    // From the address of a friend, which is not kept out.
    drop(field.session(Kind::Push));
    let noise: [Noise; 8] = [
        ("a message", |line| line.frame(8, &[0; 9])),
        // Nobody has asked for that much memory yet.
        ("the beginning of a long text", |line| line.lie(8, 8 + MAX_TEXT as u32, &[0; 1000])),
        ("the beginning of a manifest", |line| line.lie(17, 1 << 16, &[0; 1000])),
        ("a name of 129 bytes", |line| line.lie(6, 140, &[129; 10])),
        ("a name that is no text", |line| line.frame(6, &[1, 0xff, 0, 0])),
        ("goodbye", |line| line.say(&Message::Bye)),
        ("a length of 2^32 - 1", |line| line.lie(6, u32::MAX, b"evil")),
        ("a record that nobody has sealed", |line| line.raw(&[[0, 21].as_slice(), &[7; 21]].concat())),
    ];
    for (what, say) in noise {
        let mut line = field.mallory.dial(&field.node.addr, &field.key, Kind::Push);
        say(&mut line);
        ends(what, line);
    }
    field.survives();
}

#[test]
fn acknowledging_what_was_never_sent_settles_nothing() {
    let field = Field::new();
    field.bob.run(&["say", "mallory", "one"]);
    field.bob.run(&["say", "mallory", "two"]);
    let waiting = field.bob.run(&["outbox"]);
    assert_eq!(waiting.lines().count(), 2, "{waiting}");
    let first = || {
        let mut line = field.session(Kind::Pull);
        let (kind, body) = line.read().unwrap();
        let Ok(Message::Text { number, .. }) = Message::decode(kind, &body) else { panic!("{kind}") };
        (line, number)
    };
    for wrong in [|_| 0, |number| number - 1, |number| number + (1 << 40), |_| MAX_NUMBER] {
        let (mut line, number) = first();
        line.say(&Message::Ack(wrong(number)));
        ends("an acknowledgement", line);
    }
    // It holds what was never given out.
    for held in [MAX_NUMBER, MAX_NUMBER - 1] {
        let mut line = field.mallory.dial(&field.node.addr, &field.key, Kind::Pull);
        line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
        line.say(&Message::Held(held));
        line.expect(&Message::Accept);
        ends("too much held", line);
    }
    assert_eq!(field.bob.run(&["outbox"]), waiting);
    // What is true counts.
    let (mut line, number) = first();
    line.say(&Message::Ack(number));
    poll_until("one to be settled", || (field.bob.run(&["outbox"]).lines().count() == 1).then_some(()));
    drop(line);
    field.survives();
}

/// One peer opens as many sessions as it can, and leaves them open: it gets its share, and others have theirs.
#[test]
fn one_peer_does_not_take_the_seats_of_all() {
    let field = Field::with(&["--max-peers", "60"]);
    let before = descriptors(&field.node);
    let mut lines = Vec::new();
    for kind in [Kind::Pair, Kind::Push, Kind::Pull, Kind::Files] {
        for _ in 0..60 {
            let Some(mut line) = field.mallory.try_dial(&field.node.addr, &field.key, kind, None) else {
                continue;
            };
            line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
            lines.push(line);
        }
    }
    let open = descriptors(&field.node) - before;
    assert!(lines.len() > 16 && open < 50, "{} of {}", open, lines.len());
    // Some of it is for who says goodbye.
    drop(lines);
    poll_until("the sessions to end", || (descriptors(&field.node) <= before + 8).then_some(()));
    // What was too much counts as a stranger's, and there were many in a short time.
    let dial = || field.mallory.try_dial(&field.node.addr, &field.key, Kind::Pair, None);
    let mut line = poll_until("to be let in", dial);
    line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
    line.expect(&Message::Accept);
    field.survives();
}

/// Manifests are the largest things that are kept for a peer.
#[test]
fn many_long_manifests_at_once_are_not_all_kept() {
    let field = Field::new();
    // 15 MiB, of 16 that a peer may have.
    let entries: Vec<Entry> = (0..58_000).map(|n| file(format!("{n:0250}"), 0)).collect();
    let mut lines: Vec<Line> = (0..4).map(|_| field.session(Kind::Files)).collect();
    let taken = thread::scope(|scope| {
        let offers: Vec<_> = lines
            .iter_mut()
            .map(|line| {
                scope.spawn(|| {
                    line.offer(&entries);
                    // TAKE, or goodbye.
                    line.read().is_some_and(|(kind, _)| kind == 18)
                })
            })
            .collect();
        offers.into_iter().map(|offer| offer.join().unwrap()).filter(|taken| *taken).count()
    });
    assert!(taken <= 1, "{taken}");
    field.survives();
}

/// Passes on what one dialler says to the node and hears from it; gives what it has said.
fn record(node: &str) -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let node = node.to_owned();
    let thread = thread::spawn(move || {
        let (mut dialler, _) = listener.accept().unwrap();
        let mut node = connect(&node);
        let (mut heard, mut back) = (node.try_clone().unwrap(), dialler.try_clone().unwrap());
        let answers = thread::spawn(move || drop(std::io::copy(&mut heard, &mut back)));
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = dialler.read(&mut buffer) {
            said.extend_from_slice(&buffer[..count]);
            node.write_all(&buffer[..count]).unwrap();
        }
        node.shutdown(std::net::Shutdown::Write).unwrap();
        answers.join().unwrap();
        said
    });
    (addr, thread)
}

/// What the node answers to these bytes, until it closes.
fn answer(node: &str, bytes: &[u8]) -> usize {
    let mut stream = connect(node);
    // It may close before it has read all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer.len()
}

/// Preamble and message 1.
const OPENING: usize = PREAMBLE_LEN + MESSAGE_1_LEN;

#[test]
fn a_recorded_session_says_nothing_twice() {
    let field = Field::new();
    let erin = Home::new("erin");
    let (addr, recording) = record(&field.node.addr);
    field.bob.run(&["peers", "add", "erin", &erin.key()]);
    erin.run(&["peers", "add", "bob", &field.key, &addr]);
    erin.run(&["say", "--wait", "30s", "bob", "once"]);
    let said = recording.join().unwrap();
    let replays = [
        // All of it, and what could be taken for another try.
        said.clone(),
        said[..OPENING + MESSAGE_3_LEN].to_vec(),
        [&said[..OPENING], &said[OPENING + MESSAGE_3_LEN..]].concat(),
    ];
    // The node knows the first message, and does nothing for it.
    for replay in &replays {
        assert_eq!(answer(&field.node.addr, replay), 0);
    }
    assert_eq!(field.bob.received().iter().filter(|text| *text == "once").count(), 1);
    assert!(field.bob.run(&["log", "erin"]).lines().count() == 1);
    field.survives();
}

/// What is wrong with a lane; gives a line on which all must be well in the end.
type LaneCase = (&'static str, fn(&Field) -> Line);

fn deliver(line: &mut Line, chunks: usize) {
    let content = sample(chunks * CHUNK);
    line.say(&Message::Start(chunks as u64));
    for (index, chunk) in content.chunks(CHUNK).enumerate() {
        line.chunk(index as u64, chunk);
    }
    line.say(&Message::End);
    line.expect(&Message::Stored);
    line.say(&Message::Bye);
    line.expect_end();
}

const LANES: [LaneCase; 8] = [
    ("a recorded lane again", |field| {
        let (line, ticket) = field.transfer("evil", 2);
        let (opening, _) = line.lane_opening(&ticket, 0);
        let mut first = connect(&field.node.addr);
        first.write_all(&opening).unwrap();
        first.read_exact(&mut [0; MESSAGE_LEN]).unwrap();
        // It is in use, and then it was.
        assert_eq!(answer(&field.node.addr, &opening), 0);
        drop(first);
        assert_eq!(answer(&field.node.addr, &opening), 0);
        line
    }),
    // Somebody on the way repeats how a lane begins, and is faster. He cannot go on with it.
    ("a recorded lane before the true one", |field| {
        let (line, ticket) = field.transfer("evil", 2);
        let (opening, _) = line.lane_opening(&ticket, 0);
        assert_eq!(answer(&field.node.addr, &[&opening[..], &[0, 21], &[7; 21]].concat()), MESSAGE_LEN);
        assert_eq!(answer(&field.node.addr, &opening), 0);
        line
    }),
    ("a lane that was not offered", |field| {
        let (line, ticket) = field.transfer("evil", 2);
        for index in [7, 255] {
            assert!(line.lane(&field.node.addr, &ticket, index).is_none(), "{index}");
        }
        line
    }),
    ("a ticket that nobody gave out", |field| {
        let (line, mut ticket) = field.transfer("evil", 2);
        ticket[0] ^= 1;
        assert!(line.lane(&field.node.addr, &ticket, 0).is_none());
        // It closes without a look at what follows.
        assert_eq!(answer(&field.node.addr, &[LANE.as_slice(), &ticket, &[0]].concat()), 0);
        line
    }),
    ("the ticket of another session of the same peer", |field| {
        let ((one, ticket), (other, _)) = (field.transfer("evil", 2), field.transfer("other", 2));
        assert!(other.lane(&field.node.addr, &ticket, 0).is_none());
        // It was not used up by that.
        let lane = one.lane(&field.node.addr, &ticket, 0).unwrap();
        one.keep(lane.stream)
    }),
    ("the ticket of another peer", |field| {
        let (one, ticket) = field.transfer("evil", 2);
        let trudy = Rogue::new(14);
        field.bob.run(&["peers", "add", "trudy", &trudy.key()]);
        let mut other = trudy.session(&field.node.addr, &field.key, Kind::Files);
        other.offer(&[file("other", CHUNK as u64)]);
        other.expect_take();
        assert!(other.lane(&field.node.addr, &ticket, 0).is_none());
        let lane = one.lane(&field.node.addr, &ticket, 0).unwrap();
        one.keep(lane.stream)
    }),
    ("a ticket whose transfer is over", |field| {
        let (line, ticket) = field.transfer("over", 2);
        let mut done = line;
        deliver(&mut done, 2);
        assert!(done.lane(&field.node.addr, &ticket, 0).is_none());
        fs::remove_file(field.bob.path("downloads/mallory/over")).unwrap();
        field.transfer("evil", 2).0
    }),
    ("a ninth lane", |field| {
        let ((one, ticket), (other, others)) = (field.transfer("evil", 2), field.transfer("other", 2));
        let mut lanes: Vec<Line> = (0..7).map(|n| one.lane(&field.node.addr, &ticket, n).unwrap()).collect();
        lanes.push(other.lane(&field.node.addr, &others, 0).unwrap());
        assert!(other.lane(&field.node.addr, &others, 1).is_none());
        // When one has ended there is room for another.
        let mut first = lanes.remove(0);
        first.say(&Message::End);
        first.expect_end();
        assert!(other.lane(&field.node.addr, &others, 2).is_some());
        lanes.iter_mut().for_each(|lane| lane.say(&Message::End));
        one
    }),
];

#[test]
fn lanes_are_for_who_has_the_ticket_and_once() {
    // Each with a node of its own, since failed handshakes are held against their address.
    for (what, case) in LANES {
        let field = Field::new();
        let mut line = case(&field);
        // A lane that somebody else has begun brings nothing, and all goes over the session.
        line.end_kept();
        deliver(&mut line, 2);
        assert_eq!(landed_in(&field.bob.path("downloads/mallory")), ["evil"], "{what}");
        field.survives();
    }
}

/// Until the node has given up on everybody who keeps it waiting.
const LONG: Duration = Duration::from_secs(62);

/// Who keeps a node waiting: a rogue of its own, the node's address and key, and where the rogue itself listens.
struct Slow<'a> {
    rogue: Rogue,
    addr: &'a str,
    key: &'a str,
    listener: TcpListener,
    began: Instant,
    /// Told once it is let in.
    let_in: Sender<()>,
}

impl Slow<'_> {
    fn session(&self, kind: Kind) -> Line {
        self.is_in(self.rogue.session(self.addr, self.key, kind))
    }

    fn accept(&self, kind: Kind) -> Line {
        self.is_in(self.rogue.accept(&self.listener, kind))
    }

    fn is_in(&self, line: Line) -> Line {
        let _ = self.let_in.send(());
        line
    }

    fn taken(&self) -> (Line, [u8; TICKET_LEN]) {
        let mut line = self.session(Kind::Files);
        line.offer(&[file("evil", 4 * CHUNK as u64)]);
        let (_, ticket) = line.expect_take();
        (line, ticket)
    }

    /// The node closes after so many seconds; the system's timers may be late by an eighth.
    fn ends_after(&self, seconds: u64, mut line: Line) {
        let (least, most) =
            (Duration::from_secs(seconds - 2), Duration::from_secs(seconds + seconds / 8 + 2));
        let is_over = line.ends_within((self.began + most).saturating_duration_since(Instant::now()));
        assert!(is_over && self.began.elapsed() >= least, "{:?}", self.began.elapsed());
    }

    /// The node has closed by then, whatever it had sent before. It is not looked at earlier: to read would let it go
    /// on.
    fn has_ended(&self, by: Duration, mut line: Line) {
        thread::sleep(by.saturating_sub(self.began.elapsed()));
        assert!(line.ends_within(Duration::from_secs(8)));
    }
}

type SlowCase = (&'static str, fn(Slow));

const SLOW: [SlowCase; 16] = [
    ("no name", |slow| {
        let line = slow.is_in(slow.rogue.dial(slow.addr, slow.key, Kind::Push));
        slow.ends_after(10, line);
    }),
    ("no goodbye", |slow| {
        let line = slow.session(Kind::Pair);
        slow.ends_after(10, line);
    }),
    ("no messages", |slow| slow.ends_after(60, slow.session(Kind::Push))),
    ("no answer to a ping", |slow| slow.ends_after(60, slow.session(Kind::Pull))),
    ("no offer", |slow| slow.ends_after(60, slow.session(Kind::Files))),
    ("no start", |slow| slow.ends_after(60, slow.taken().0)),
    ("no more pieces", |slow| {
        let (mut line, _) = slow.taken();
        line.say(&Message::Start(4));
        line.say(&Message::Piece { at: 0, data: &[0; 60 << 10] });
        slow.ends_after(60, line);
    }),
    ("nothing on a lane", |slow| {
        let (line, ticket) = slow.taken();
        let lane = line.lane(slow.addr, &ticket, 0).unwrap();
        slow.ends_after(60, lane.keep(line.stream));
    }),
    ("a byte a second", |slow| {
        let mut line = slow.session(Kind::Push);
        let record = line.seal(&[0; 1000]);
        for byte in record {
            line.raw(&[byte]);
            if line.ends_within(Duration::from_secs(1)) {
                break;
            }
        }
        slow.ends_after(60, line);
    }),
    ("nobody reads the messages", |slow| {
        let line = slow.session(Kind::Pull);
        slow.has_ended(LONG, line);
    }),
    ("of the messages a byte a second is read", |slow| {
        let mut line = slow.session(Kind::Pull);
        while slow.began.elapsed() < LONG && !matches!(line.stream.read(&mut [0]), Ok(0) | Err(_)) {
            thread::sleep(Duration::from_secs(1));
        }
        slow.has_ended(LONG, line);
    }),
    ("pings, and nobody reads what is answered", |slow| {
        let mut line = slow.session(Kind::Push);
        line.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let pings: Vec<u8> = [4, 0, 0, 0, 0].repeat(10_000);
        // Until the buffers are full. How long the node is busy with them before it notices depends on the machine.
        let mut record = line.seal(&pings);
        while line.stream.write_all(&record).is_ok() {
            record = line.seal(&pings);
        }
        // It is the node that is to end this: as in `has_ended`.
        thread::sleep(LONG.saturating_sub(slow.began.elapsed()));
    }),
    ("dialled with a file, and nobody reads it", |slow| {
        let mut line = slow.accept(Kind::Files);
        while line.read().unwrap().0 != Message::Manifest(&[]).kind() {}
        line.say(&Message::Take { lanes: 0, ticket: [1; 16] });
        // The write that makes no progress is given up long before a minute has passed.
        slow.has_ended(Duration::from_secs(45), line);
    }),
    ("a ticket that has expired", |slow| {
        let (mut line, ticket) = slow.taken();
        line.lane(slow.addr, &ticket, 0).unwrap().say(&Message::End);
        // The ticket lives for 60 s, and the session has to be kept alive as long.
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(20_500));
            line.say(&Message::Ping);
        }
        assert!(line.lane(slow.addr, &ticket, 1).is_none());
        deliver(&mut line, 4);
    }),
    ("dialled, and nothing is said", |slow| {
        let line = slow.accept(Kind::Push);
        slow.ends_after(60, line);
    }),
    ("dialled, and nobody reads the messages", |slow| {
        let mut line = slow.accept(Kind::Push);
        line.say(&Message::Held(0));
        slow.has_ended(LONG, line);
    }),
];

/// All at once: each of them is waited for up to a minute, and none of the others is.
#[test]
#[ignore = "takes a minute: make check-net"]
fn a_peer_that_keeps_the_node_waiting_waits_alone() {
    let bob = Home::new("bob");
    let large = bob.file("large.bin", "");
    File::options().write(true).open(&large).unwrap().set_len(64 << 20).unwrap();
    let mut rogues = Vec::new();
    for (number, (what, _)) in SLOW.iter().enumerate() {
        let (name, rogue) = (format!("slow-{number}"), Rogue::new(20 + number as u8));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let addr = what.starts_with("dialled").then_some(addr);
        let (key, add) = (rogue.key(), ["peers", "add", &name]);
        bob.run(&add.into_iter().chain([key.as_str()]).chain(addr.as_deref()).collect::<Vec<_>>());
        // What Bob has to say to them is more than the buffers between the two hold.
        for _ in 0..if what.contains("the messages") { 2 } else { 0 } {
            bob.ends_with(&["say", "--wait", "0s", &name], &[b'x'; 1 << 20], 75);
        }
        if what.contains("file") {
            bob.run(&["send", "--queue", &name, &large]);
        }
        rogues.push((rogue, listener));
    }
    let field = Field::of(bob, &[]);
    let (addr, key) = (&field.node.addr, &field.key);
    thread::scope(|scope| {
        let mut cases = Vec::new();
        for ((what, case), (rogue, listener)) in SLOW.iter().zip(rogues) {
            let (let_in, is_in) = mpsc::channel();
            let slow = Slow { rogue, addr, key, listener, began: Instant::now(), let_in };
            cases.push((what, scope.spawn(move || case(slow))));
            // One after the other is let in; then they wait together. Of one that is not, its own end tells.
            let _ = is_in.recv_timeout(PATIENCE);
        }
        for (what, case) in cases {
            assert!(case.join().is_ok(), "{what}");
        }
    });
    field.survives();
}
