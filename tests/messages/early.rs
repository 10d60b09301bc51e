//! Messages that go out before it is known what the receiver holds (egoat-protocol(7), Sending early): none is lost, and
//! none comes twice, whatever ends a connection, and whichever home is restored from a backup.

use crate::common;

use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender as Signal};
use std::thread;

use common::rogue::Rogue;
use common::{Home, PATIENCE, Process, Random, count, logs};
use egoat::crypto::keys::PublicKey;
use egoat::net::dial::{self, Target};
use egoat::net::endpoint::Endpoint;
use egoat::net::handshake::{self, Opening};
use egoat::net::session::Session;
use egoat::net::transport::Listener;
use egoat::node::messages::flow::{self, Idle, Sender, Start};
use egoat::store::history::{self, Event};
use egoat::store::home::Own;
use egoat::store::outbox::{Draft, QueuedMessage};
use egoat::wire::features::Features;
use egoat::wire::message::{Kind, MAX_EARLY, Message, Refusal};

/// One of the two: its home, and the logs that it has of the other.
struct Side {
    _home: Home,
    own: Own,
    logs: Vec<PathBuf>,
}

/// What the logs of a side had in them.
type Backup = Vec<Option<Vec<u8>>>;

impl Side {
    fn new(home: Home, other: PublicKey) -> Side {
        let own = logs::open(&home);
        let logs = vec![own.home().outbox_path(&other), own.home().history_path(other.into())];
        Side { _home: home, own, logs }
    }

    fn back_up(&self) -> Backup {
        self.logs.iter().map(|path| fs::read(path).ok()).collect()
    }

    fn restore(&self, backup: &Backup) {
        for (path, content) in self.logs.iter().zip(backup) {
            match content {
                Some(content) => fs::write(path, content).unwrap(),
                None => drop(fs::remove_file(path)),
            }
        }
    }

    /// The texts in the history that this side has received, or sent.
    fn texts(&self, other: PublicKey, are_received: bool) -> Vec<String> {
        let mut reader = self.own.read_history(other.into());
        let mut texts = Vec::new();
        while let Some(record) = reader.read().unwrap() {
            match history::decode(record.body) {
                Ok(Event::Received { text, .. }) if are_received => texts.push(text.to_vec()),
                Ok(Event::Sent { text, .. }) if !are_received => texts.push(text.to_vec()),
                _ => {}
            }
        }
        texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
    }
}

/// How far a connection comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The receiver says that it is busy.
    Refused,
    /// The sender is killed before it knows what the receiver holds, but after that has stored what came early.
    Unread,
    /// The sender is killed once it knows that, before it knows what is stored.
    Unacknowledged,
    Whole,
}

/// A sender and a receiver, and what is known of them from outside.
struct Model {
    alice: Side,
    bob: Side,
    /// Texts that the sender has queued, as far as it knows.
    queued: Vec<String>,
    /// Texts that were acknowledged before the receiver lost them; nobody sends them again.
    forgotten: HashSet<String>,
    sender_backup: (Backup, Vec<String>),
    receiver_backup: Backup,
    /// How often the sender and the receiver were restored.
    restored: (u32, u32),
    /// Texts that the sender had queued before it was restored; it does not know which of them it has sent since.
    doubtful: usize,
    /// The number in the text that was queued last.
    last: usize,
}

impl Model {
    fn queue(&mut self, random: &mut Random) {
        let lengths = [1, 10, 300, MAX_EARLY / 3, MAX_EARLY];
        let mut outbox = self.alice.own.outbox(&self.bob.own.key()).unwrap();
        for _ in 0..1 + random.below(3) {
            self.last += 1;
            let text = format!("{:>width$}", self.last, width = random.pick(&lengths));
            outbox.queue(&[Draft::new(text.as_bytes())]).unwrap();
            self.queued.push(text);
        }
    }

    fn restore_sender(&mut self) {
        self.restored.0 += 1;
        self.alice.restore(&self.sender_backup.0);
        self.queued = self.sender_backup.1.clone();
        self.doubtful = self.queued.len();
    }

    fn restore_receiver(&mut self) {
        self.restored.1 += 1;
        self.forgotten.extend(self.alice.texts(self.bob.own.key(), false));
        self.bob.restore(&self.receiver_backup);
    }

    fn connect(&self, fate: Fate) {
        let listener = Listener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().into();
        let key = self.bob.own.key();
        thread::scope(|scope| {
            let (stored, is_stored) = mpsc::channel();
            scope.spawn(move || accept(&self.bob.own, &listener, fate == Fate::Refused, &stored));
            let endpoint = Endpoint::new(self.alice.own.clone(), None);
            let mut early = Vec::new();
            let dialled = dial::dial(
                &endpoint,
                &Target::stranger(key, &[address], "bob"),
                Kind::Push,
                &mut |session| {
                    session.write(&Message::Profile { name: "alice", port: 0, time: 0 })?;
                    early = flow::write_early(session, &self.alice.own)?;
                    Ok(())
                },
            );
            let Ok(mut session) = dialled else { return assert_eq!(fate, Fate::Refused) };
            let held = flow::read_held(&mut session).unwrap();
            let counts = early.first().is_some_and(|first: &QueuedMessage| first.number > held);
            let start = Start { held, acknowledged: 0, early };
            let sender = (fate != Fate::Unread).then(|| Sender::new(&mut session, &self.alice.own, start));
            if fate == Fate::Whole {
                sender.unwrap().unwrap().run(|| true, |_| Idle::Stop, || false, |_, _| ()).unwrap();
            } else if counts {
                // Closing before that could destroy what is on its way.
                is_stored.recv_timeout(PATIENCE).unwrap();
            }
        });
    }

    /// After a whole connection.
    fn check(&self) {
        let bob = self.bob.own.key();
        assert!(!self.alice.own.outbox(&bob).unwrap().has_pending().unwrap(), "something waits");
        let arrived = self.bob.texts(self.alice.own.key(), true);
        let known: HashSet<&String> = arrived.iter().collect();
        for text in &self.queued {
            let is_here = known.contains(text) || self.forgotten.contains(text);
            assert!(is_here, "lost: {}", text.trim());
        }
        for text in &self.queued[self.doubtful..] {
            let times = arrived.iter().filter(|one| *one == text).count();
            assert!(times < 2, "came twice: {}", text.trim());
        }
        if self.restored == (0, 0) {
            assert!(arrived == self.queued, "not what was queued, or in another order");
        }
    }
}

/// The receiver's part of a connection; says when it has stored something.
fn accept(own: &Own, listener: &Listener, refuses: bool, stored: &Signal<()>) {
    let stream = listener.accept().unwrap();
    let opening = Opening::read(&stream).unwrap();
    let features = |_: Option<&_>| Features::ACCEPTOR;
    let accepted =
        handshake::respond(stream, &opening, own.keys(), |_| None, features, |_| true, |_| true).unwrap();
    let mut session = accepted.session;
    let read =
        session.read_as("the model", |message| matches!(message, Message::Profile { .. }).then_some(()));
    read.unwrap();
    if refuses {
        return session.finish(&Message::Refused(Refusal::Busy)).unwrap();
    }
    let held = flow::held(own, &session.peer()).unwrap();
    session.accept().unwrap();
    session.send(&Message::Held(held)).unwrap();
    // The sender may be gone.
    let _ = receive(own, &mut session, held, stored);
}

fn receive(own: &Own, session: &mut Session, held: u64, stored: &Signal<()>) -> egoat::error::Result<()> {
    flow::receive_early(session, held)?;
    flow::receive(
        session,
        own,
        false,
        |_| true,
        |_| {
            let _ = stored.send(());
        },
        || (),
    )
}

#[test]
fn whatever_ends_a_connection_nothing_is_lost_and_nothing_comes_twice() {
    let mut random = Random::seeded(7);
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (alice_key, bob_key): (PublicKey, PublicKey) =
        (alice.key().parse().unwrap(), bob.key().parse().unwrap());
    let (alice, bob) = (Side::new(alice, bob_key), Side::new(bob, alice_key));
    let nothing = (alice.back_up(), bob.back_up());
    let mut model = Model {
        alice,
        bob,
        queued: Vec::new(),
        forgotten: HashSet::new(),
        sender_backup: (nothing.0.clone(), Vec::new()),
        receiver_backup: nothing.1.clone(),
        restored: (0, 0),
        doubtful: 0,
        last: 0,
    };
    for _ in 0..count(60, 2000) {
        model.alice.restore(&nothing.0);
        model.bob.restore(&nothing.1);
        model.sender_backup = (nothing.0.clone(), Vec::new());
        model.receiver_backup = nothing.1.clone();
        (model.queued, model.forgotten) = (Vec::new(), HashSet::new());
        (model.restored, model.doubtful) = ((0, 0), 0);
        let has_backups = random.below(2) == 0;
        for _ in 0..4 + random.below(8) {
            match random.below(8) {
                0..3 => model.queue(&mut random),
                3..6 => {
                    let fates = [Fate::Refused, Fate::Unread, Fate::Unacknowledged, Fate::Whole];
                    model.connect(random.pick(&fates));
                }
                6 if has_backups && random.below(2) == 0 => {
                    model.sender_backup = (model.alice.back_up(), model.queued.clone());
                }
                6 if has_backups => model.receiver_backup = model.bob.back_up(),
                // More than two in a row would have to wait for a minute.
                7 if has_backups && model.restored.0 < 2 && random.below(2) == 0 => model.restore_sender(),
                7 if has_backups => model.restore_receiver(),
                _ => {}
            }
        }
        model.connect(Fate::Whole);
        model.check();
    }
}

/// A message, and a small file, are on their way before the receiver has said a word behind its handshake.
#[test]
fn a_message_and_a_small_file_go_out_before_the_answer() {
    let (alice, bob) = (Home::new("alice"), Rogue::new(9).with_features(Features::ACCEPTOR));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    alice.run(&["peers", "add", "bob", &bob.key(), &address]);

    let mut saying = Process::start(alice.cmd(&["say", "bob", "hello"]));
    let mut line = bob.meet(&listener, Kind::Push);
    line.expect(&Message::Early(1));
    let (kind, body) = line.read().unwrap();
    assert_eq!((kind, &body[16..]), (8, b"hello".as_slice()));
    let number = u64::from_be_bytes(body[..8].try_into().unwrap());
    line.say(&Message::Accept);
    line.say(&Message::Held(0));
    line.say(&Message::Ack(number));
    line.expect(&Message::Bye);
    assert_eq!(saying.end().0, Some(0));

    let file = alice.file("small", "a few words");
    let mut sending = Process::start(alice.cmd(&["send", "bob", &file]));
    let mut line = bob.meet(&listener, Kind::Files);
    line.expect(&Message::Early(5));
    let kinds: Vec<u8> = (0..5).map(|_| line.read().unwrap().0).collect();
    assert_eq!(kinds, [16, 17, 25, 20, 21], "OFFER, MANIFEST, START, PIECE, END");
    line.say(&Message::Accept);
    line.say(&Message::Take { lanes: 3, ticket: [1; 16] });
    line.say(&Message::Stored);
    line.expect(&Message::Bye);
    assert_eq!(sending.end().0, Some(0));
}
