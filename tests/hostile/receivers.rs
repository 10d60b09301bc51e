//! A peer that is paired and means harm is sent files: it answers by everything but what it should. The sender may not be
//! led to believe what is not so, nor kept busy for ever, nor show what it did not clean; and what it sends to others
//! arrives. It leaves out harmful senders: see `files`.

use crate::common;

use common::files::{CHUNK, names_in, sample};
use common::rogue::{Line, Rogue};
use common::{Home, Node, Process, json_number, poll_until};
use egoat::crypto::Hasher;
use egoat::wire::features::Features;
use egoat::wire::message::{Kind, MAX_NUMBER, Message};
use std::fs;
use std::net::TcpListener;

/// Chunks of the file that Alice sends, the last of which is five bytes.
const CHUNKS: u64 = 4;

/// Alice, who sends to Mallory and to Bob.
struct Field {
    alice: Home,
    bob: Home,
    _node: Node,
    mallory: Rogue,
    listener: TcpListener,
    content: Vec<u8>,
    file: String,
    sent: usize,
}

impl Field {
    fn new() -> Field {
        let (alice, bob, mallory) =
            (Home::new("alice"), Home::new("bob"), Rogue::new(13).with_features(Features::REASONS));
        let (listener, node) = (TcpListener::bind("127.0.0.1:0").unwrap(), bob.serve());
        let addr = listener.local_addr().unwrap().to_string();
        alice.run(&["peers", "add", "mallory", &mallory.key(), &addr]);
        alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
        bob.run(&["peers", "add", "alice", &alice.key()]);
        let content = sample(3 * CHUNK + 5);
        let file = alice.file("secret.bin", &content);
        Field { alice, bob, _node: node, mallory, listener, content, file, sent: 0 }
    }

    /// What becomes of `egoat send mallory FILE`, to which Mallory says this once it was offered: code and stderr.
    fn answer(&self, answer: impl FnOnce(&mut Line)) -> (i32, String) {
        self.answer_to(&["send", "mallory", &self.file], answer)
    }

    fn answer_to(&self, args: &[&str], answer: impl FnOnce(&mut Line)) -> (i32, String) {
        let mut send = Process::start(self.alice.cmd(args));
        let mut line = self.mallory.accept(&self.listener, Kind::Files);
        while line.read().is_some_and(|(kind, _)| kind != Message::Manifest(&[]).kind()) {}
        answer(&mut line);
        line.expect_end();
        drop(line);
        let (code, out, said) = send.end();
        assert_eq!(out, "");
        assert_eq!(said.chars().find(|c| c.is_control() && *c != '\n'), None, "{said:?}");
        (code.unwrap(), said)
    }

    /// Alice's history has nothing of it, and what she sends to Bob arrives.
    fn is_unharmed(&mut self, what: &str) {
        assert!(!self.alice.run(&["log", "mallory"]).contains("mallory has"), "{what}");
        self.sent += 1;
        let name = format!("{}.txt", self.sent);
        self.alice.run(&["send", "bob", &self.alice.file(&name, what)]);
        let landed = self.bob.path("downloads/alice").join(name);
        assert_eq!(fs::read_to_string(landed).unwrap(), what);
    }

    /// The sender says that this is against the protocol.
    fn is_broken(&mut self, what: &str, answer: impl FnOnce(&mut Line)) {
        let (code, said) = self.answer(answer);
        self.is_against_the_protocol(what, code, &said);
    }

    fn is_against_the_protocol(&mut self, what: &str, code: i32, said: &str) {
        let is_told = said.contains("mallory does not speak this protocol: ");
        assert!(code == 76 && is_told, "{what}: {code}: {said}");
        self.is_unharmed(what);
    }
}

fn take(line: &mut Line) {
    line.say(&Message::Take { lanes: 0, ticket: [1; 16] });
}

/// Reads until START, and the pieces of so many chunks behind it.
fn read_chunks(line: &mut Line, count: u64) -> Vec<u8> {
    line.expect(&Message::Start(count));
    let mut bytes = Vec::new();
    while let Some((kind, body)) = line.read() {
        match Message::decode(kind, &body).unwrap() {
            Message::Piece { data, .. } => bytes.extend_from_slice(data),
            Message::End => break,
            other => panic!("{other:?}"),
        }
    }
    bytes
}

fn have(line: &mut Line, first: u64, count: u32) {
    line.say(&Message::Have { first, count, hash: [9; 32] });
}

type Wrong = (&'static str, fn(&mut Line));

#[test]
fn what_cannot_be_an_answer_is_none() {
    let wrong: [Wrong; 27] = [
        ("more chunks than can be counted", |line| have(line, 0, u32::MAX)),
        ("the last of all chunks", |line| have(line, u64::MAX, 1)),
        ("more than the last of all chunks", |line| have(line, u64::MAX, u32::MAX)),
        ("a chunk behind the last", |line| have(line, CHUNKS, 1)),
        ("one chunk too many", |line| have(line, 0, CHUNKS as u32 + 1)),
        ("no chunk", |line| have(line, 0, 0)),
        ("no chunk, at the end", |line| have(line, CHUNKS, 0)),
        ("the same chunk twice", |line| [0, 0].into_iter().for_each(|first| have(line, first, 1))),
        ("runs that overlap", |line| [0, 1].into_iter().for_each(|first| have(line, first, 2))),
        ("backwards", |line| [2, 0].into_iter().for_each(|first| have(line, first, 1))),
        ("lanes without a ticket", |line| line.frame(18, &[255])),
        ("more of the file than there is", |line| line.say(&Message::Stream(3 * CHUNK as u64 + 6))),
        ("far more of the file", |line| line.say(&Message::Stream(MAX_NUMBER))),
        ("a place that no stream has", |line| line.frame(26, &[0xff; 8])),
        ("a reason that there is not", |line| line.frame(19, &[0])),
        ("another one", |line| line.frame(19, &[14])),
        ("and another one", |line| line.frame(19, &[255])),
        ("two reasons", |line| line.frame(19, &[1, 1])),
        ("no reason", |line| line.frame(19, &[])),
        ("an acknowledgement", |line| line.say(&Message::Ack(1))),
        ("a failure", |line| line.say(&Message::Failed(egoat::wire::message::Failure::Disk))),
        ("an offer in return", |line| line.offer(&[common::rogue::file("evil", 4)])),
        ("a piece in return", |line| line.say(&Message::Piece { at: 0, data: b"evil" })),
        ("a message", |line| line.say(&Message::Text { number: 1, said: None, text: b"\x1b[31mevil" })),
        ("accepted twice", |line| line.say(&Message::Accept)),
        ("a type that there is not", |line| line.frame(0x1b, b"\x1b[31mevil")),
        ("a length that nothing has", |line| line.lie(24, u32::MAX, b"evil")),
    ];
    let mut field = Field::new();
    for (what, answer) in wrong {
        field.is_broken(what, answer);
    }
}

#[test]
fn what_cannot_follow_on_an_answer_does_not() {
    let wrong: [Wrong; 9] = [
        ("stored before anything was sent", |line| line.say(&Message::Stored)),
        ("taken twice", |line| line.say(&Message::Take { lanes: 7, ticket: [1; 16] })),
        ("had after all", |line| have(line, 0, 1)),
        ("a stream after all", |line| line.say(&Message::Stream(0))),
        ("declined after all", |line| line.frame(19, &[1])),
        ("goes on without a word", |line| line.say(&Message::Pong)),
        ("a failure that there is not", |line| line.frame(23, &[0])),
        ("another one", |line| line.frame(23, &[8])),
        ("a failure with a word", |line| line.frame(23, b"\x01evil")),
    ];
    let mut field = Field::new();
    for (what, answer) in wrong {
        field.is_broken(&format!("{what}, at once"), |line| {
            // So that it is there before the first chunk is sent.
            line.at_once(|line| {
                take(line);
                answer(line);
            });
        });
        if !what.starts_with("stored") {
            field.is_broken(&format!("{what}, when all was sent"), |line| {
                take(line);
                read_chunks(line, CHUNKS);
                answer(line);
            });
        }
    }
}

/// A file too large for the buffers between the two is under way when it is said to be stored.
#[test]
fn stored_in_the_middle_is_not_believed() {
    let mut field = Field::new();
    let file = field.alice.file("large.bin", sample(40 * CHUNK));
    for streams in ["1", "2"] {
        let (code, said) = field.answer_to(&["send", "mallory", "--streams", streams, &file], |line| {
            take(line);
            line.expect(&Message::Start(40));
            line.read().unwrap();
            line.say(&Message::Stored);
        });
        field.is_against_the_protocol("stored in the middle", code, &said);
    }
}

#[test]
fn a_hash_that_lies_leaves_nothing_out_and_a_true_one_only_what_it_is_of() {
    let mut field = Field::new();
    let content = field.content.clone();
    let hash = |from: usize, to: usize| {
        let mut hasher = Hasher::default();
        hasher.update(&content[from * CHUNK..(to * CHUNK).min(content.len())]);
        hasher.finish()
    };
    // What is said to be there, by the hash of what, and what is sent then.
    type Case<'a> = (&'a str, Vec<(u64, u32, [u8; 32])>, Vec<usize>);
    let cases: [Case; 5] = [
        ("a made-up hash", vec![(0, 4, [9; 32])], vec![0, 1, 2, 3]),
        ("the hash of nothing", vec![(0, 4, Hasher::default().finish())], vec![0, 1, 2, 3]),
        ("the hash of another chunk", vec![(1, 1, hash(0, 1)), (2, 1, hash(1, 2))], vec![0, 1, 2, 3]),
        ("the hash of one of two", vec![(0, 2, hash(0, 1)), (2, 2, hash(2, 3))], vec![0, 1, 2, 3]),
        ("a lie and a truth", vec![(0, 1, hash(1, 2)), (1, 1, hash(1, 2)), (3, 1, hash(3, 4))], vec![0, 2]),
    ];
    for (what, said, sent) in cases {
        let (code, told) = field.answer(|line| {
            for (first, count, hash) in &said {
                line.say(&Message::Have { first: *first, count: *count, hash: *hash });
            }
            take(line);
            let expected: Vec<u8> = sent
                .iter()
                .flat_map(|index| &content[index * CHUNK..((index + 1) * CHUNK).min(content.len())])
                .copied()
                .collect();
            assert!(read_chunks(line, sent.len() as u64) == expected, "{what}");
            // It does not say that it has stored them.
            line.hang_up();
        });
        assert!(code == 69 && told.contains("connection to mallory lost"), "{what}: {told}");
        field.is_unharmed(what);
    }
}

#[test]
fn lanes_that_lead_nowhere_are_done_without() {
    let field = Field::new();
    let content = sample(100 * CHUNK);
    let file = field.alice.file("large.bin", &content);
    let mut lanes = Vec::new();
    let (code, said) = field.answer_to(&["send", "mallory", "--streams", "8", &file], |line| {
        line.say(&Message::Take { lanes: 255, ticket: [1; 16] });
        // The lanes that come are let in by nobody, and hold nothing up.
        assert!(read_chunks(line, 100) == content);
        lanes.push(field.listener.accept().unwrap());
        line.say(&Message::Stored);
        line.expect(&Message::Bye);
        field.listener.set_nonblocking(true).unwrap();
        lanes.extend(std::iter::from_fn(|| field.listener.accept().ok()));
        field.listener.set_nonblocking(false).unwrap();
    });
    assert_eq!(code, 0, "{said}");
    // 17 chunks are worth a lane; a lane that was not answered may have been dialled twice.
    assert!(lanes.len() <= 10, "{}", lanes.len());
    assert!(said.contains("sent large.bin (23.4 MiB) to mallory"), "{said}");
    fs::remove_file(&file).unwrap();
    field.alice.run(&["send", "bob", &field.file]);
}

#[test]
fn every_reason_has_its_words_and_its_code() {
    let mut field = Field::new();
    let declines = [
        (1, 77, "a name or size breaks its rules\negoat: hint: an older egoat takes no names with"),
        (2, 77, "is more than it takes"),
        (3, 69, "its disk is full"),
        (5, 74, "it cannot write where files land"),
        (6, 77, "it takes no files from you"),
        (7, 77, "more than it has room for you"),
        (8, 77, "its user did not take it"),
        (9, 77, "it writes one file to a pipe"),
        (10, 77, "its pipe already has the beginning of another transfer"),
        (11, 77, "a directory there has the name of a file"),
        (12, 77, "a file there has the name of a directory"),
        (13, 74, "its system lets it open too few files: 64 are needed"),
    ];
    for (reason, expected, words) in declines {
        let (code, said) = field.answer(|line| line.frame(19, &[reason]));
        assert!(code == expected && said.contains(words), "{reason}: {code} {said}");
    }
    let failures = [
        (1, 74, "its disk is full"),
        (2, 74, "its disk failed"),
        (3, 1, "it lost track of the files"),
        (4, 1, "what it writes to was closed"),
        (5, 77, "the stream is longer than it takes"),
        (6, 77, "stopped it"),
        (7, 74, "its system lets it open too few files: 64 are needed"),
    ];
    for (reason, expected, words) in failures {
        for is_early in [true, false] {
            let (code, said) = field.answer(|line| {
                take(line);
                if !is_early {
                    read_chunks(line, CHUNKS);
                }
                line.frame(23, &[reason]);
            });
            assert!(code == expected && said.contains(words), "{reason}: {code} {said}");
        }
    }
    field.is_unharmed("reasons");
    // Before anything is offered.
    for (reason, expected) in
        [(1, 77), (2, 77), (3, 77), (4, 77), (5, 69), (6, 77), (0, 76), (7, 76), (255, 76)]
    {
        let mut send = Process::start(field.alice.cmd(&["send", "mallory", &field.file]));
        let mut line = field.mallory.meet(&field.listener, Kind::Files);
        line.frame(2, &[reason]);
        drop(line);
        let (code, _, said) = send.end();
        assert_eq!(code, Some(expected), "{reason}: {said}");
        assert_eq!(said.contains("hint: it may be over in a moment"), reason == 5, "{said}");
    }
    field.is_unharmed("refusals");
}

/// Alice sends a pipe that is still open, so that its end has not been sent.
#[test]
fn of_a_stream_no_more_is_stored_than_was_sent() {
    let mut field = Field::new();
    let wrong: [Wrong; 8] = [
        ("stored before anything was sent", |line| line.say(&Message::Stored)),
        ("more than was sent", |line| line.say(&Message::Stream(1))),
        ("taken as files", take),
        ("had already", |line| have(line, 0, 1)),
        ("acknowledged before it was sent", |line| {
            line.say(&Message::Stream(0));
            line.say(&Message::Ack(1 << 40));
        }),
        ("one byte more than was sent", |line| {
            line.say(&Message::Stream(0));
            line.read().unwrap();
            line.say(&Message::Ack(6));
        }),
        ("stored before its end", |line| {
            line.say(&Message::Stream(0));
            line.read().unwrap();
            line.say(&Message::Stored);
        }),
        ("two streams", |line| {
            line.say(&Message::Stream(0));
            line.say(&Message::Stream(0));
        }),
    ];
    for (what, answer) in wrong {
        let mut send = Process::start(field.alice.cmd(&["send", "mallory", "-"]));
        send.write(b"12345");
        let mut line = field.mallory.accept(&field.listener, Kind::Files);
        while line.read().unwrap().0 != Message::Manifest(&[]).kind() {}
        answer(&mut line);
        line.expect_end();
        let (code, _, said) = send.end();
        field.is_against_the_protocol(what, code.unwrap(), &said);
    }
    // Several files are no stream.
    let other = field.alice.file("other.bin", "other");
    let (code, said) = field.answer_to(&["send", "mallory", &field.file, &other], |line| {
        line.say(&Message::Stream(0));
    });
    field.is_against_the_protocol("two files as a stream", code, &said);
}

/// Whoever receives can say so without having done it; nobody can do anything about that, and it costs only the two.
#[test]
fn a_receiver_that_says_it_has_everything_is_told_nothing() {
    let field = Field::new();
    let mut send = Process::start(field.alice.cmd(&["--json", "send", "mallory", &field.file]));
    let mut line = field.mallory.accept(&field.listener, Kind::Files);
    while line.read().unwrap().0 != Message::Manifest(&[]).kind() {}
    line.say(&Message::Stored);
    line.expect(&Message::Bye);
    assert!(line.read().is_none());
    drop(line);
    let (code, out, said) = send.end();
    assert_eq!(code, Some(0), "{said}");
    let sent = out.lines().find(|line| line.contains("\"event\":\"sent\"")).unwrap();
    assert_eq!(json_number(sent, "held"), field.content.len() as u64);
}

/// The node sends what is queued, and is not led to believe that it has.
#[test]
fn a_queued_file_waits_until_it_was_really_sent() {
    let field = Field::new();
    let _node = field.alice.serve();
    field.alice.run(&["send", "--queue", "mallory", &field.file]);
    let accept = || {
        let mut line = field.mallory.accept(&field.listener, Kind::Files);
        while line.read().unwrap().0 != Message::Manifest(&[]).kind() {}
        line
    };
    let mut line = accept();
    line.at_once(|line| {
        take(line);
        line.say(&Message::Stored);
    });
    line.expect_end();
    drop(line);
    assert!(field.alice.run(&["outbox"]).contains("secret.bin"));
    let mut line = accept();
    take(&mut line);
    assert!(read_chunks(&mut line, CHUNKS) == field.content);
    line.say(&Message::Stored);
    line.expect(&Message::Bye);
    drop(line);
    poll_until("the file to be noted as sent", || {
        (!field.alice.run(&["outbox"]).contains("secret.bin")).then_some(())
    });
}

#[test]
fn what_an_acceptor_calls_itself_is_shown_clean() {
    let field = Field::new();
    let addr = field.listener.local_addr().unwrap();
    for (number, name) in
        ["\x1b]0;evil\x07", "evil\nalice qqqq", "../../evil", "\u{202e}evil", "", "alice 127.0.0.1"]
            .into_iter()
            .enumerate()
    {
        let other = Rogue::new(100 + number as u8);
        let link = format!("egoat:{}@{addr}", other.key());
        let mut join = Process::start(field.alice.cmd(&["join", &link]));
        let mut line = other.meet(&field.listener, Kind::Pair);
        line.say(&Message::Accept);
        line.say(&Message::Profile { name, port: 1, time: 0 });
        line.expect(&Message::Bye);
        drop(line);
        let (code, out, said) = join.end();
        assert_eq!(code, Some(0), "{said}");
        let shown = out + &said;
        assert_eq!(shown.chars().find(|c| c.is_control() && *c != '\n'), None, "{shown:?}");
        assert_eq!(shown.lines().count(), 1, "{shown:?}");
    }
    let peers = fs::read_to_string(field.alice.path("peers")).unwrap();
    assert_eq!(peers.lines().count(), 2 + 6, "{peers}");
    assert!(peers.lines().all(|line| !line.starts_with(['.', '/']) && !line.contains("..")), "{peers}");
    assert!(names_in(&field.alice.path("downloads")).is_empty());
}
