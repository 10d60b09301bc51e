//! How the protocol grows (egoat-protocol(7), Feature bits and Ignorable types): a peer of a later version sends messages
//! that this program does not know, in front of those that it does. Where they may come they change nothing; anywhere
//! else they end the session.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use crate::common::files::{CHUNK, PIECE, landed_in, sample, staged_in};
use crate::common::rogue::{Line, Rogue, file};
use crate::common::{Home, Node, Process, poll_until};
use egoat::wire::features::Features;
use egoat::wire::message::{GOT, Kind, MAX_IGNORABLE, Message};

/// Bob's node, and a peer of his with these feature bits.
struct Field {
    bob: Home,
    node: Node,
    key: String,
    peer: Rogue,
}

impl Field {
    fn new(features: Features) -> Field {
        Field::with(features, "files=accept")
    }

    /// With an option for the peer's files.
    fn with(features: Features, option: &str) -> Field {
        let (bob, peer) = (Home::new("bob"), Rogue::new(13).with_features(features));
        bob.run(&["peers", "add", "newer", &peer.key()]);
        bob.run(&["peers", "set", "newer", option]);
        let (node, key) = (bob.serve(), bob.key());
        Field { bob, node, key, peer }
    }

    fn session(&self, kind: Kind) -> Line {
        self.peer.session(&self.node.addr, &self.key, kind)
    }

    fn downloads(&self) -> Vec<String> {
        landed_in(&self.bob.path("downloads/newer"))
    }
}

/// A listener of the peer, whom Alice knows.
fn known_to(alice: &Home, peer: &Rogue) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    alice.run(&["peers", "add", "newer", &peer.key(), &listener.local_addr().unwrap().to_string()]);
    listener
}

fn newer() -> Rogue {
    Rogue::new(13).with_features(Features::IGNORABLE)
}

/// So many messages of types that this version does not know.
fn news(line: &mut Line, count: usize) {
    let types = [128, 200, 255, 131, 130];
    types[..count].iter().for_each(|kind| line.frame(*kind, b"news"));
}

/// A message after as much news as may come.
fn say(line: &mut Line, message: &Message) {
    news(line, 4);
    line.say(message);
}

#[test]
fn messages_come_with_news() {
    let field = Field::new(Features::IGNORABLE);
    let mut line = field.session(Kind::Push);
    line.expect(&Message::Held(0));
    say(&mut line, &Message::Text { number: 1, said: None, text: b"one" });
    line.expect(&Message::Ack(1));
    // News that waits for its message holds up no acknowledgement.
    line.at_once(|line| {
        line.say(&Message::Text { number: 2, said: None, text: b"two" });
        news(line, 2);
    });
    line.expect(&Message::Ack(2));
    line.frame(250, &[7; MAX_IGNORABLE]);
    line.say(&Message::Ping);
    line.expect(&Message::Pong);
    say(&mut line, &Message::Bye);
    line.expect_end();
    assert_eq!(field.bob.received(), ["one", "two"]);
}

#[test]
fn messages_are_collected_with_news() {
    let field = Field::new(Features::IGNORABLE);
    field.bob.run(&["say", "newer", "one"]);
    let mut line = field.session(Kind::Pull);
    let (kind, body) = line.read().unwrap();
    let Ok(Message::Text { number, said: None, text: b"one" }) = Message::decode(kind, &body) else {
        panic!("{kind}")
    };
    say(&mut line, &Message::Ack(number));
    line.expect(&Message::Ping);
    say(&mut line, &Message::Pong);
    field.bob.run(&["say", "newer", "two"]);
    let (kind, _) = line.read().unwrap();
    assert_eq!(kind, 8);
    say(&mut line, &Message::Bye);
    line.expect_end();
    assert_eq!(field.bob.delivered(), ["one"]);
}

#[test]
fn who_is_dialled_tells_news() {
    let (alice, peer) = (Home::new("alice"), newer());
    let listener = known_to(&alice, &peer);
    // Sent ...
    let mut saying = Process::start(alice.cmd(&["say", "--wait", "20s", "newer", "one"]));
    let mut line = peer.accept(&listener, Kind::Push);
    say(&mut line, &Message::Held(0));
    let (kind, body) = line.read().unwrap();
    let Ok(Message::Text { number, .. }) = Message::decode(kind, &body) else { panic!("{kind}") };
    say(&mut line, &Message::Ack(number));
    line.expect(&Message::Bye);
    assert_eq!(saying.end().0, Some(0));
    // ... and collected.
    let fetching = Process::start(alice.cmd(&["fetch"]));
    let mut line = peer.accept(&listener, Kind::Pull);
    assert_eq!(line.read().unwrap().0, 7);
    say(&mut line, &Message::Text { number: 5, said: None, text: b"two" });
    line.expect(&Message::Ack(5));
    say(&mut line, &Message::Ping);
    line.expect(&Message::Bye);
    drop((line, fetching));
    poll_until("the message", || (alice.received() == ["two"]).then_some(()));
}

#[test]
fn nodes_pair_with_news() {
    let field = Field::new(Features::IGNORABLE);
    let mut line = field.session(Kind::Pair);
    assert_eq!(line.read().unwrap().0, 6);
    say(&mut line, &Message::Bye);
    line.expect_end();

    let (alice, peer) = (Home::new("alice"), newer());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = format!("egoat:{}@{}", peer.key(), listener.local_addr().unwrap());
    let mut join = Process::start(alice.cmd(&["join", &link]));
    let mut line = peer.accept(&listener, Kind::Pair);
    say(&mut line, &Message::Profile { name: "newer", port: 0, time: 1 });
    line.expect(&Message::Bye);
    drop(line);
    assert_eq!(join.end().0, Some(0));
    assert!(alice.run(&["peers"]).contains("newer"));
}

#[test]
fn files_come_with_news() {
    let field = Field::new(Features::IGNORABLE);
    let content = sample(2 * CHUNK);
    let mut line = field.session(Kind::Files);
    news(&mut line, 4);
    line.offer(&[file("a.bin", content.len() as u64)]);
    line.expect_take();
    say(&mut line, &Message::Ping);
    say(&mut line, &Message::Start(2));
    content.chunks(CHUNK).enumerate().for_each(|(index, chunk)| line.chunk(index as u64, chunk));
    line.say(&Message::End);
    line.expect(&Message::Stored);
    say(&mut line, &Message::Bye);
    line.expect_end();
    assert_eq!(fs::read(field.bob.path("downloads/newer/a.bin")).unwrap(), content);

    // A stream, with news in front of each MANIFEST too.
    let mut line = field.session(Kind::Files);
    line.say(&Message::Offer { transfer: [7; 16], entries: 1, bytes: u64::MAX });
    say(&mut line, &Message::Manifest(&file("s.bin", 0).encode()));
    line.expect(&Message::Stream(0));
    line.say(&Message::Piece { at: 0, data: b"stream" });
    line.say(&Message::End);
    while line.read().unwrap().0 != Message::Stored.kind() {}
    say(&mut line, &Message::Bye);
    line.expect_end();
    assert_eq!(fs::read(field.bob.path("downloads/newer/s.bin")).unwrap(), b"stream");
}

/// What becomes of `egoat send newer FILE` when it is accepted and answered like this.
fn sent(content: &[u8], answer: impl FnOnce(&mut Line)) -> (Option<i32>, String) {
    let (alice, peer) = (Home::new("alice"), newer());
    let listener = known_to(&alice, &peer);
    let mut send = Process::start(alice.cmd(&["send", "newer", &alice.file("a.bin", content)]));
    let mut line = peer.meet(&listener, Kind::Files);
    line.at_once(|line| {
        line.say(&Message::Accept);
        // Directly after ACCEPT, although the dialler speaks next.
        news(line, 2);
    });
    while line.read().unwrap().0 != Message::Manifest(&[]).kind() {}
    answer(&mut line);
    line.expect_end();
    drop(line);
    let (code, _, said) = send.end();
    (code, said)
}

fn read_pieces(line: &mut Line) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let (kind, body) = line.read().unwrap();
        match Message::decode(kind, &body).unwrap() {
            Message::Piece { data, .. } => bytes.extend_from_slice(data),
            Message::End => return bytes,
            other => assert_eq!(other.kind(), 25, "START, or nothing else"),
        }
    }
}

const TAKE: Message = Message::Take { lanes: 0, ticket: [1; 16] };

#[test]
fn files_are_taken_with_news() {
    let content = sample(2 * CHUNK + 5);
    let (code, said) = sent(&content, |line| {
        news(line, 2);
        line.say(&Message::Ping);
        say(line, &TAKE);
        assert!(read_pieces(line) == content);
        say(line, &Message::Ping);
        say(line, &Message::Stored);
    });
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = sent(&content, |line| {
        news(line, 2);
        line.say(&Message::Stream(5));
        assert!(read_pieces(line) == content[5..]);
        say(line, &Message::Ack(content.len() as u64));
        say(line, &Message::Stored);
    });
    assert_eq!(code, Some(0), "{said}");
}

/// What the receiver says to an offer.
type Answer = fn(&mut Line);

#[test]
fn news_that_may_not_come_ends_the_sending_of_files() {
    let content = sample(8 * CHUNK);
    let wrong: [(&str, Answer); 4] = [
        ("a fifth in a row", |line| {
            news(line, 3);
            line.say(&TAKE);
        }),
        ("after TAKE", |line| {
            line.at_once(|line| {
                [&TAKE, &Message::Ping].into_iter().for_each(|message| {
                    line.say(message);
                    news(line, 1);
                })
            })
        }),
        ("after STREAM", |line| {
            line.say(&Message::Stream(0));
            news(line, 1);
            line.say(&Message::Ack(0));
        }),
        ("one that is too long", |line| {
            line.frame(128, &[0; MAX_IGNORABLE + 1]);
            line.say(&TAKE);
        }),
    ];
    for (what, answer) in wrong {
        let (code, said) = sent(&content, answer);
        assert!(code == Some(76) && said.contains("does not speak this protocol"), "{what}: {code:?} {said}");
    }
}

type Wrong = (&'static str, Kind, fn(&Field, &mut Line));

/// What a session is ended by, although another message would follow.
const WRONG: [Wrong; 8] = [
    ("a fifth in a row", Kind::Push, |_, line| news(line, 5)),
    ("one that is too long", Kind::Push, |_, line| line.lie(128, MAX_IGNORABLE as u32 + 1, b"news")),
    ("a fifth in a row, in PULL", Kind::Pull, |_, line| news(line, 5)),
    ("a fifth in a row, in PAIR", Kind::Pair, |_, line| news(line, 5)),
    ("between START and END", Kind::Files, |_, line| {
        line.offer(&[file("a.bin", 2 * CHUNK as u64)]);
        line.expect_take();
        line.say(&Message::Start(2));
        line.chunk(0, &sample(CHUNK));
        news(line, 1);
    }),
    ("in front of END", Kind::Files, |_, line| {
        line.offer(&[file("a.bin", CHUNK as u64)]);
        line.expect_take();
        line.say(&Message::Start(1));
        line.chunk(0, &sample(CHUNK));
        line.at_once(|line| {
            news(line, 1);
            line.say(&Message::End);
        });
    }),
    ("within a stream", Kind::Files, |_, line| {
        line.offer_stream("s.bin");
        line.expect(&Message::Stream(0));
        news(line, 1);
    }),
    ("on a lane", Kind::Files, |field, line| {
        line.offer(&[file("a.bin", 2 * CHUNK as u64)]);
        let (_, ticket) = line.expect_take();
        let mut lane = line.lane(&field.node.addr, &ticket, 0).unwrap();
        lane.at_once(|lane| {
            lane.chunk(0, &sample(CHUNK));
            news(lane, 1);
        });
        assert!(lane.ends_within(Duration::from_secs(8)));
        // The transfer is lost with it, and looks for that when something comes.
        line.say(&Message::Start(2));
        line.say(&Message::Ping);
    }),
];

fn ends(what: &str, mut line: Line) {
    assert!(line.ends_within(Duration::from_secs(8)), "{what}");
}

#[test]
fn news_that_may_not_come_ends_the_session() {
    let field = Field::new(Features::IGNORABLE);
    for (what, kind, wrong) in WRONG {
        let mut line = field.session(kind);
        wrong(&field, &mut line);
        ends(what, line);
    }
    assert!(field.downloads().is_empty());
    // Before ACCEPT: in front of PROFILE.
    let mut line = field.peer.dial(&field.node.addr, &field.key, Kind::Push);
    line.at_once(|line| {
        news(line, 1);
        line.say(&Message::Profile { name: "newer", port: 0, time: 0 });
    });
    assert_eq!(line.expect_end(), [] as [u8; 0]);
}

/// While a user is asked, the sender has nothing to say, so nothing can stand in front of that.
#[test]
fn news_while_an_offer_is_looked_at_ends_the_session() {
    let bob = Home::new("bob");
    let peer = newer();
    bob.run(&["peers", "add", "newer", &peer.key()]);
    bob.run(&["peers", "set", "newer", "files=ask"]);
    let chat = Process::start(bob.cmd(&["chat", "--listen", "127.0.0.1:0", "newer"]));
    let addr = chat.wait_to_say("listening on ");
    let addr = addr.lines().find_map(|line| line.split("listening on ").nth(1)).unwrap().trim().to_owned();
    let mut line = peer.session(&addr, &bob.key(), Kind::Files);
    line.offer(&[file("a.bin", 5)]);
    chat.wait_to_say("a.bin");
    news(&mut line, 1);
    ends("news while the user is asked", line);
}

/// A session has a feature only if both ends told so: this peer did not, or told bits that are no feature.
#[test]
fn without_the_bit_no_news_may_come() {
    for features in [Features::NONE, Features::from_bits(!0x103)] {
        let field = Field::new(features);
        for kind in [Kind::Push, Kind::Pull, Kind::Pair, Kind::Files] {
            let mut line = field.session(kind);
            news(&mut line, 1);
            ends("news without the bit", line);
        }
        // All else is as ever.
        let mut line = field.session(Kind::Push);
        line.expect(&Message::Held(0));
        line.say(&Message::Text { number: 1, said: None, text: b"one" });
        line.expect(&Message::Ack(1));
    }
}

/// What a node has sent by then: ACCEPT and HELD.
const SENT: u64 = 5 + 13;

#[test]
fn what_a_peer_has_got_is_checked() {
    let field = Field::new(Features::PROGRESS);
    let greeted = || {
        let mut line = field.session(Kind::Push);
        line.expect(&Message::Held(0));
        line.say(&Message::Got(SENT));
        line
    };
    for (what, got) in [("more than was sent", SENT + 1), ("less than before", SENT - 1)] {
        let mut line = greeted();
        line.say(&Message::Got(got));
        ends(what, line);
    }
    let mut line = greeted();
    line.say(&Message::Text { number: 1, said: None, text: b"one" });
    line.expect(&Message::Ack(1));
    let field = Field::new(Features::from_bits(!(1 << 11)));
    let mut line = field.session(Kind::Push);
    line.say(&Message::Got(0));
    ends("GOT without the bit", line);
}

/// As when the sender took a lane for lost that had brought the chunk.
#[test]
fn a_chunk_that_comes_again_is_dropped() {
    let field = Field::new(Features::PROGRESS);
    let content = sample(2 * CHUNK);
    let mut line = field.session(Kind::Files);
    line.offer(&[file("a.bin", content.len() as u64)]);
    line.expect_take();
    line.say(&Message::Start(2));
    line.chunk(0, &content[..CHUNK]);
    line.chunk(0, &sample(CHUNK + 1)[1..]);
    line.chunk(1, &content[CHUNK..]);
    line.say(&Message::End);
    line.expect(&Message::Stored);
    line.say(&Message::Bye);
    line.expect_end();
    assert!(fs::read(field.bob.path("downloads/newer/a.bin")).unwrap() == content);
}

/// What was sent over a lane that is lost may arrive after the same chunk has begun on the session, and not go on.
#[test]
fn a_chunk_that_begins_late_on_a_lane_takes_nothing_from_the_session() {
    let field = Field::new(Features::PROGRESS);
    let content = sample(CHUNK);
    let mut line = field.session(Kind::Files);
    line.offer(&[file("a.bin", content.len() as u64)]);
    let (_, ticket) = line.expect_take();
    line.say(&Message::Start(1));
    let mut lane = line.lane(&field.node.addr, &ticket, 0).unwrap();
    let mut pieces = (0..).step_by(PIECE).zip(content.chunks(PIECE));
    let (_, first) = pieces.next().unwrap();
    line.say(&Message::Piece { at: 0, data: first });
    poll_until("the first piece", || {
        let staged = staged_in(&field.bob.path("downloads/newer"));
        let staged = fs::read(staged.first()?.join("files/a.bin")).ok()?;
        staged.starts_with(first).then_some(())
    });
    lane.say(&Message::Piece { at: 0, data: first });
    assert_eq!(lane.read().unwrap().0, GOT, "it has read that");
    drop(lane);
    for (at, data) in pieces {
        line.say(&Message::Piece { at, data });
    }
    line.say(&Message::End);
    let answer = std::iter::from_fn(|| line.read()).map(|(kind, _)| kind).find(|kind| *kind != GOT);
    assert_eq!(answer, Some(Message::Stored.kind()));
    line.say(&Message::Bye);
    line.expect_end();
    assert!(fs::read(field.bob.path("downloads/newer/a.bin")).unwrap() == content);
}
