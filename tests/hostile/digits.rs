//! Whoever is at the other end, or between the ends, when two users compare six digits: one guess, and nothing is saved by it.

use crate::common;

use common::digits::User;
use common::rogue::{Line, Rogue};
use egoat::crypto::digits::{commitment, number, written};
use egoat::wire::features::Features;
use egoat::wire::message::{Kind, Message, Refusal};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

const PREAMBLE: usize = 8;
const NOTHING: [u8; 0] = [];
const PURPOSE: usize = 7;
const PROFILE: Message = Message::Profile { name: "mallory", port: 0, time: 0 };

fn rogue(number: u8) -> Rogue {
    Rogue::new(number).with_features(Features::NEARBY)
}

/// The rogue as a dialler, up to PROFILE of the other end.
fn dials(rogue: &Rogue, alice: &User, address: &str) -> Line {
    let mut line = rogue.session(address, &alice.home.key(), Kind::Nearby);
    assert_eq!(line.read().unwrap().0, PROFILE.kind());
    line
}

/// The rogue as an acceptor: tells its key to whoever asks, and lets in who comes for the digits.
fn accepts(rogue: &Rogue, listener: &TcpListener) -> Line {
    let (mut asking, _) = listener.accept().unwrap();
    let mut preamble = [0; PREAMBLE];
    asking.read_exact(&mut preamble).unwrap();
    assert_eq!(preamble[PURPOSE], 0x80);
    asking.write_all(rogue.keys.public().as_bytes()).unwrap();
    drop(asking);
    rogue.meet(listener, Kind::Nearby)
}

fn listens() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// The next message, which must be a nonce or a commitment.
fn bytes(line: &mut Line, kind: u8) -> [u8; 32] {
    let (read, body) = line.read().expect("closed");
    assert_eq!(read, kind);
    body.try_into().unwrap()
}

fn refusal(rogue: &Rogue, alice: &User, address: &str) -> Refusal {
    let mut line = rogue.dial(address, &alice.home.key(), Kind::Nearby);
    line.say(&PROFILE);
    let (kind, body) = line.read().expect("closed");
    match Message::decode(kind, &body).unwrap() {
        Message::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

/// A machine in the middle: Alice waits at `address`, and Bob has dialled the middle in her place, which has let him in.
struct Between {
    alice: User,
    bob: User,
    middle: Rogue,
    address: String,
    to_bob: Line,
    _listener: TcpListener,
}

impl Between {
    /// `None` where there is no terminal to test on.
    fn begin() -> Option<Between> {
        let (alice, bob) = User::new("alice").zip(User::new("bob"))?;
        let (middle, address) = (rogue(0x4d), alice.invites(""));
        let (listener, trap) = listens();
        bob.types(&format!("join {trap}"));
        let mut to_bob = accepts(&middle, &listener);
        to_bob.at_once(|line| {
            line.say(&Message::Accept);
            line.say(&PROFILE);
        });
        Some(Between { alice, bob, middle, address, to_bob, _listener: listener })
    }
}

#[test]
fn a_machine_in_the_middle_has_one_guess() {
    let Some(Between { alice, bob, middle, address, mut to_bob, .. }) = Between::begin() else { return };
    let commit = bytes(&mut to_bob, 40);
    // What bob has said is worth nothing to alice: her handshake has another hash.
    let mut to_alice = dials(&middle, &alice, &address);
    to_alice.say(&Message::Commit(commit));
    let nonce = bytes(&mut to_alice, 41);
    to_bob.say(&Message::Nonce(nonce));
    let open = bytes(&mut to_bob, 42);
    to_alice.say(&Message::Open(open));
    to_alice.expect_end();
    assert!(alice.ends_with(77).contains("something cut in"));
    let (his, hash) = (bob.compares(), to_bob.handshake_hash());
    assert_eq!(his, written(number(&hash, &open, &nonce)));
    to_bob.say(&Message::Confirm);
    bob.answers("no");
    assert!(bob.ends_with(77).contains("you did not say"));
    alice.knows_nobody();
    bob.knows_nobody();
}

/// It makes nonces of its own, so that both users see something, and confirms at once what nobody has compared.
#[test]
fn digits_that_differ_save_nobody() {
    let Some(Between { alice, bob, middle, address, mut to_bob, .. }) = Between::begin() else { return };
    bytes(&mut to_bob, 40);
    to_bob.say(&Message::Nonce([1; 32]));
    bytes(&mut to_bob, 42);
    let mut to_alice = dials(&middle, &alice, &address);
    to_alice.say(&Message::Commit(commitment(&to_alice.handshake_hash(), &[2; 32])));
    bytes(&mut to_alice, 41);
    to_alice.say(&Message::Open([2; 32]));
    to_alice.say(&Message::Confirm);
    to_bob.say(&Message::Confirm);
    assert_ne!(alice.compares(), bob.compares());
    alice.answers("no");
    bob.answers("no");
    alice.ends_with(77);
    bob.ends_with(77);
    alice.knows_nobody();
    bob.knows_nobody();
}

/// As over a slow path: the yes and the goodbye of a dialler come in one record.
#[test]
fn a_yes_with_a_goodbye_behind_it_is_a_yes() {
    let Some(alice) = User::new("alice") else { return };
    let mut line = dials(&rogue(1), &alice, &alice.invites(""));
    line.say(&Message::Commit(commitment(&line.handshake_hash(), &[3; 32])));
    bytes(&mut line, 41);
    line.say(&Message::Open([3; 32]));
    alice.compares();
    alice.answers("yes");
    line.expect(&Message::Confirm);
    line.at_once(|line| {
        line.say(&Message::Confirm);
        line.say(&Message::Bye);
    });
    alice.ends_with(0);
    assert!(alice.home.run(&["peers"]).starts_with("mallory "));
}

#[test]
fn a_cut_uses_up_the_try_and_three_are_all_of_an_hour() {
    let Some(alice) = User::new("alice") else { return };
    for number in 1..=3 {
        let address = alice.invites("");
        let mut line = dials(&rogue(number), &alice, &address);
        line.say(&Message::Commit([7; 32]));
        bytes(&mut line, 41);
        drop(line);
        let said = alice.ends_with(77);
        assert!(said.contains("something cut in") && said.contains("hint: "), "{said}");
    }
    alice.types("invite --nearby --listen 127.0.0.1:0");
    let said = alice.ends_with(77);
    assert!(said.contains("three tries within an hour") && said.contains("egoat invite"), "{said}");
    let (listener, trap) = listens();
    alice.types(&format!("join {trap}"));
    let mut line = accepts(&rogue(4), &listener);
    line.say(&Message::Accept);
    line.say(&PROFILE);
    assert_eq!(line.expect_end(), NOTHING, "no commitment");
    assert!(alice.ends_with(77).contains("three tries within an hour"));
    alice.knows_nobody();
}

/// The dialler's try is used up by COMMIT, whatever comes back.
#[test]
fn a_dialler_who_is_cut_off_does_not_dial_again() {
    let Some(bob) = User::new("bob") else { return };
    let (listener, trap) = listens();
    let middle = rogue(0x4d);
    bob.types(&format!("join {trap}"));
    let mut line = accepts(&middle, &listener);
    line.say(&Message::Accept);
    line.say(&PROFILE);
    bytes(&mut line, 40);
    drop(line);
    assert!(bob.ends_with(77).contains("something cut in"));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it has dialled again");
    assert_eq!(std::fs::read_to_string(bob.home.path("tries")).unwrap().lines().count(), 1);
}

#[test]
fn what_comes_out_of_turn_ends_the_session() {
    let Some(alice) = User::new("alice") else { return };
    let address = alice.invites("");
    // Before COMMIT nothing is used up, and alice goes on waiting.
    for early in [Message::Nonce([1; 32]), Message::Open([1; 32]), Message::Confirm, Message::Ping] {
        let mut line = dials(&rogue(1), &alice, &address);
        line.say(&early);
        assert_eq!(line.expect_end(), NOTHING);
    }
    alice.terminal.wait_for("left before there was something to compare");
    // The same COMMIT again.
    let mut line = dials(&rogue(2), &alice, &address);
    let commit = Message::Commit(commitment(&line.handshake_hash(), &[2; 32]));
    line.at_once(|line| {
        line.say(&commit);
        line.say(&commit);
    });
    assert_eq!(line.expect_end(), [41]);
    assert!(alice.ends_with(77).contains("something cut in"));
}

#[test]
fn a_nonce_before_the_commitment_is_not_taken() {
    let Some(bob) = User::new("bob") else { return };
    let (listener, trap) = listens();
    let middle = rogue(0x4d);
    bob.types(&format!("join {trap}"));
    let mut line = accepts(&middle, &listener);
    line.at_once(|line| {
        line.say(&Message::Accept);
        line.say(&PROFILE);
        line.say(&Message::Nonce([1; 32]));
    });
    assert_eq!(line.expect_end(), NOTHING);
    bob.ends_with(76);
    assert!(!bob.home.path("tries").exists());
}

#[test]
fn one_is_let_in_at_a_time_and_the_user_hears_of_others() {
    let Some(alice) = User::new("alice") else { return };
    let address = alice.invites("");
    let mut first = dials(&rogue(1), &alice, &address);
    let others: Vec<_> = (2..6)
        .map(|number| {
            let (address, key) = (address.clone(), alice.home.key());
            thread::spawn(move || {
                let mut line = rogue(number).dial(&address, &key, Kind::Nearby);
                line.say(&PROFILE);
                line.expect(&Message::Refused(Refusal::Busy));
            })
        })
        .collect();
    others.into_iter().for_each(|other| other.join().unwrap());
    let told = alice.terminal.wait_for("somebody else tried to pair");
    assert_eq!(told.matches("somebody else tried").count(), 1, "{told}");
    let hash = first.handshake_hash();
    first.say(&Message::Commit(commitment(&hash, &[3; 32])));
    let nonce = bytes(&mut first, 41);
    first.say(&Message::Open([3; 32]));
    assert_eq!(alice.compares(), written(number(&hash, &[3; 32], &nonce)));
    // From here on it is no wait any more, whatever becomes of this session.
    assert_eq!(refusal(&rogue(7), &alice, &address), Refusal::Busy);
    drop(first);
    assert!(alice.ends_with(77).contains("something cut in"));
    alice.knows_nobody();
}

#[test]
fn the_kind_is_for_who_waits_and_has_no_invite() {
    let Some(alice) = User::new("alice") else { return };
    let node = alice.home.serve();
    assert_eq!(refusal(&rogue(1), &alice, &node.addr), Refusal::Unknown);
    assert_eq!(alice.home.run(&["peers", "requests"]), "", "no request is noted");
    let blocked = rogue(2);
    alice.home.run(&["peers", "add", "mallory", &blocked.key()]);
    alice.home.run(&["peers", "set", "mallory", "blocked"]);
    let address = alice.invites("");
    assert_eq!(refusal(&blocked, &alice, &address), Refusal::Blocked);
    // Other kinds are not served there.
    for kind in [Kind::Pair, Kind::Push, Kind::Files] {
        let mut line = rogue(3).dial(&address, &alice.home.key(), kind);
        line.say(&PROFILE);
        line.expect(&Message::Refused(Refusal::Unsupported));
    }
}
