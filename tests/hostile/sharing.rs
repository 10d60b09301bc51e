//! Those who fetch what is shared, with a link or as peers, and mean harm; and a peer who lies about what it shares.

use crate::common;

use common::rogue::{Line, Rogue, connect, file};
use common::{Home, Node, poll_until};
use egoat::crypto::keys::{INVITE_ID_LEN, InviteToken};
use egoat::wire::features::Features;
use egoat::wire::link::Link;
use egoat::wire::message::{Kind, Message, Refusal};
use egoat::wire::shares::{self, MAX_OPEN, SharedFiles};
use std::net::TcpListener;
use std::thread;

const OFFER: u8 = 16;
const PIECE: u8 = 20;
const FAILED: u8 = 23;
const SHARES: u8 = 50;
const WANT: u8 = 51;

/// Alice's node, what she shares by a link, and Mallory, who is her peer.
struct Field {
    alice: Home,
    node: Node,
    key: String,
    file: String,
    token: InviteToken,
    mallory: Rogue,
}

fn token_of(link: &str) -> InviteToken {
    let Ok(link) = link.trim_end().parse::<Link>() else { panic!("no link: {link}") };
    link.token.unwrap()
}

fn rogue(number: u8) -> Rogue {
    Rogue::new(number).with_features(Features::ACCEPTOR)
}

impl Field {
    fn new() -> Field {
        let (alice, mallory) = (Home::new("alice"), rogue(61));
        let node = alice.serve();
        alice.run(&["peers", "add", "mallory", &mallory.key()]);
        let (key, file) = (alice.key(), alice.file("file", "content"));
        let token = token_of(&alice.run(&["share", &file]));
        // From where a peer has come, strangers may come as often as they like.
        mallory.session(&node.addr, &key, Kind::Push);
        Field { alice, node, key, file, token, mallory }
    }

    /// A session with a token, which is told who dials, and no more.
    fn with_token(&self, who: &Rogue, kind: Kind, token: &InviteToken) -> Line {
        let mut line = who.try_dial(&self.node.addr, &self.key, kind, Some(token)).expect("not let in");
        line.say(&Message::Profile { name: "mallory", port: 4628, time: 0 });
        line
    }

    /// Mallory hears what is shared with him.
    fn by_name(&self) -> (Line, Vec<SharedFiles>) {
        let mut line = self.mallory.session(&self.node.addr, &self.key, Kind::Get);
        let mut told = Vec::new();
        loop {
            let (kind, body) = line.read().unwrap();
            assert_eq!(kind, SHARES);
            if !shares::decode(&body, &mut told).unwrap() {
                return (line, told);
            }
        }
    }

    /// Nobody but Mallory is a peer, and nobody wants to be one.
    fn has_no_others(&self) {
        assert_eq!(self.alice.run(&["--json", "peers"]).lines().count(), 1);
        assert_eq!(self.alice.run(&["peers", "requests"]), "");
    }
}

#[test]
fn the_token_of_a_share_is_good_for_that_and_of_an_invite_for_pairing() {
    let field = Field::new();
    let invite = token_of(&field.alice.run(&["invite"]));
    let stranger = rogue(62);
    for kind in [Kind::Pair, Kind::Push, Kind::Pull, Kind::Files, Kind::Collect] {
        let mut line = field.with_token(&stranger, kind, &field.token);
        line.expect(&Message::Refused(Refusal::Unsupported));
    }
    field.with_token(&stranger, Kind::Get, &invite).expect(&Message::Refused(Refusal::Unsupported));
    // Neither is used up, and a key that is blocked is as good as any other.
    field.alice.run(&["peers", "set", "mallory", "blocked"]);
    for who in [&stranger, &field.mallory] {
        let mut line = field.with_token(who, Kind::Get, &field.token);
        line.expect(&Message::Accept);
        assert_eq!(line.read().map(|(kind, _)| kind), Some(OFFER));
    }
    field.has_no_others();
    let mut line = field.with_token(&stranger, Kind::Pair, &invite);
    line.expect(&Message::Accept);
    // A token that nobody gave out is no more than a wrong key.
    let unknown = InviteToken::from_bytes([9; 16]);
    assert!(stranger.try_dial(&field.node.addr, &field.key, Kind::Get, Some(&unknown)).is_none());
}

#[test]
fn a_stranger_without_a_link_is_a_stranger() {
    let field = Field::new();
    let mut line = rogue(63).dial(&field.node.addr, &field.key, Kind::Get);
    line.say(&Message::Profile { name: "eve", port: 0, time: 0 });
    line.expect(&Message::Refused(Refusal::Unknown));
    assert!(field.alice.run(&["peers", "requests"]).contains("eve"));
}

#[test]
fn a_peer_gets_nothing_by_an_id_that_it_was_not_told() {
    let field = Field::new();
    let other = rogue(64);
    field.alice.run(&["peers", "add", "other", &other.key()]);
    field.alice.run(&["share", "--to", "other", &field.file]);
    let mut line = other.session(&field.node.addr, &field.key, Kind::Get);
    let mut told = Vec::new();
    assert_eq!(shares::decode(&line.read().unwrap().1, &mut told), Ok(false));
    let [of_other] = &told[..] else { panic!("{told:?}") };
    for id in [of_other.id, field.token.invite_id(), [0; INVITE_ID_LEN], [7; INVITE_ID_LEN]] {
        let (mut line, told) = field.by_name();
        assert!(told.is_empty());
        line.say(&Message::Want(&shares::encode_wanted(Some(&id))));
        line.expect(&Message::Bye);
        assert!(line.expect_end().is_empty());
    }
    // It was meant for him, and is stopped between the list and the choice.
    field.alice.run(&["share", "--to", "mallory", &field.file]);
    let (mut line, told) = field.by_name();
    field.alice.run(&["share", "stop", &egoat::crypto::base32::encode(&told[0].id)]);
    line.say(&Message::Want(&shares::encode_wanted(Some(&told[0].id))));
    line.expect(&Message::Bye);
}

#[test]
fn garbage_in_the_place_of_want_ends_the_session() {
    let field = Field::new();
    field.alice.run(&["share", "--to", "mallory", &field.file]);
    let id = field.by_name().1[0].id;
    let one = shares::encode_wanted(Some(&id));
    let two = [&[2][..], &id, &id].concat();
    let bodies: [&[u8]; 6] = [&[], &[1], &one[..16], &[&one[..], &[0]].concat(), &[0, 0], &[255; 17]];
    for body in bodies {
        let (mut line, _) = field.by_name();
        line.frame(WANT, body);
        assert!(line.expect_end().is_empty(), "{body:?}");
    }
    let (mut line, _) = field.by_name();
    line.lie(WANT, 33, &two);
    assert!(line.expect_end().is_empty());
    for message in
        [Message::Ping, Message::Shares(&[0]), Message::Offer { transfer: [0; 16], entries: 1, bytes: 0 }]
    {
        let (mut line, _) = field.by_name();
        line.say(&message);
        assert!(line.expect_end().is_empty(), "{message:?}");
    }
    // Nothing wanted is no mistake.
    let (mut line, _) = field.by_name();
    line.say(&Message::Want(&[0]));
    line.say(&Message::Bye);
    assert!(line.expect_end().is_empty());
    // With a link there is nothing to choose.
    let mut line = field.with_token(&rogue(65), Kind::Get, &field.token);
    line.expect(&Message::Accept);
    line.frame(WANT, &one);
    assert!(!line.expect_end().contains(&PIECE));
    let (mut line, _) = field.by_name();
    line.say(&Message::Want(&one));
    assert_eq!(line.read().map(|(kind, _)| kind), Some(OFFER));
}

/// Those with a link take places of their own, and of these no more than there are.
#[test]
fn a_crowd_with_a_link_keeps_no_peer_out() {
    let field = Field::new();
    field.alice.run(&["share", "--to", "mallory", &field.file]);
    let mut fetching = Vec::new();
    for number in 0..16 {
        let mut line = field.with_token(&rogue(100 + number), Kind::Get, &field.token);
        line.expect(&Message::Accept);
        assert_eq!(line.read().map(|(kind, _)| kind), Some(OFFER));
        fetching.push(line);
    }
    let last = rogue(200);
    field.with_token(&last, Kind::Get, &field.token).expect(&Message::Refused(Refusal::Busy));
    let (mut line, told) = field.by_name();
    line.say(&Message::Want(&shares::encode_wanted(Some(&told[0].id))));
    assert_eq!(line.read().map(|(kind, _)| kind), Some(OFFER));
    field.mallory.session(&field.node.addr, &field.key, Kind::Push);
    fetching.pop();
    poll_until("a place to be free", || {
        let mut line = field.with_token(&last, Kind::Get, &field.token);
        (line.read().map(|(kind, _)| kind) == Some(Message::Accept.kind())).then_some(())
    });
    field.has_no_others();
}

/// What is meant for one is not used up before all of it is stored.
#[test]
fn who_hangs_up_uses_nothing_up() {
    let field = Field::new();
    let token = token_of(&field.alice.run(&["share", "--once", &field.file]));
    let (first, second) = (rogue(66), rogue(67));
    let mut line = field.with_token(&first, Kind::Get, &token);
    line.expect(&Message::Accept);
    field.with_token(&second, Kind::Get, &token).expect(&Message::Refused(Refusal::Busy));
    // It has all of it, and says nothing of that.
    assert_eq!(line.read().map(|(kind, _)| kind), Some(OFFER));
    assert!(line.read().is_some(), "the manifest");
    line.say(&Message::Take { lanes: 0, ticket: [0; 16] });
    while line.read().is_some_and(|(kind, _)| kind != PIECE) {}
    drop(line);
    // For a minute the share is kept for the one who began.
    field.with_token(&second, Kind::Get, &token).expect(&Message::Refused(Refusal::Busy));
    let mut line = field.with_token(&first, Kind::Get, &token);
    line.expect(&Message::Accept);
    assert_eq!(line.read().map(|(kind, _)| kind), Some(OFFER));
    line.hang_up();
    drop(line);
    assert!(field.alice.run(&["share", "list"]).contains("(once)"));
}

/// A file that is a share's no more is not sent in its place.
#[test]
fn what_is_put_in_the_place_of_a_shared_file_is_not_sent() {
    let field = Field::new();
    let secret = field.alice.file("secret", "secret!");
    std::fs::remove_file(&field.file).unwrap();
    std::os::unix::fs::symlink(&secret, &field.file).unwrap();
    let mut line = field.with_token(&rogue(68), Kind::Get, &field.token);
    line.expect(&Message::Accept);
    assert_eq!(line.read(), Some((FAILED, vec![3])));
    assert!(line.expect_end().is_empty());
}

/// Answers each GET of Alice by what `answer` says after ACCEPT.
fn liar(answer: impl Fn(&mut Line) + Send + 'static) -> (Home, String) {
    let alice = Home::new("alice");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    alice.run(&["peers", "add", "mallory", &rogue(69).key(), &address]);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Some((Kind::Get, mut line)) = rogue(69).answer(stream) else { continue };
            line.read();
            line.say(&Message::Accept);
            answer(&mut line);
        }
    });
    (alice, address)
}

fn shared(count: usize, name: &str) -> Vec<SharedFiles> {
    let one = SharedFiles { id: [1; INVITE_ID_LEN], entries: 1, bytes: u64::MAX, name: name.into() };
    vec![one; count]
}

#[test]
fn lies_about_what_is_shared_are_against_the_protocol() {
    let body = shares::encode(&shared(1, "x")).remove(0);
    let mut not_text = body.clone();
    *not_text.last_mut().unwrap() = 0xff;
    let bodies =
        [vec![], vec![1], body[..20].to_vec(), [&body[..], &[0]].concat(), not_text, vec![255; 72_421]];
    for lie in bodies {
        let (alice, _) = liar(move |line| line.frame(SHARES, &lie));
        alice.fails(&["get", "mallory"], 76);
    }
    // Lengths are looked at before there is room for what they promise.
    let (alice, _) = liar(|line| {
        line.lie(SHARES, u32::MAX, &[255; 100]);
        while line.read().is_some() {}
    });
    alice.fails(&["get", "mallory"], 76);
    // It never ends.
    let full = shares::encode(&shared(255, "x")).remove(0);
    let (alice, _) = liar(move |line| (0..10).for_each(|_| line.frame(SHARES, &full)));
    let said = alice.fails(&["get", "mallory"], 76);
    assert!(said.contains("number of shares in SHARES"), "{said}");
    for message in [Message::Ping, Message::Want(&[0]), Message::Bye] {
        let kind = message.kind();
        let (alice, _) = liar(move |line| line.frame(kind, if kind == WANT { &[0] } else { &[] }));
        alice.fails(&["get", "mallory"], if kind == Message::Bye.kind() { 69 } else { 76 });
    }
}

/// As many as there may be are listed, and their names do nothing to a terminal.
#[test]
fn a_thousand_shares_with_names_that_steer_a_terminal_are_listed() {
    let name = "a\u{1b}[2J\nb\u{202e}c";
    let bodies = shares::encode(&shared(MAX_OPEN, name));
    let (alice, _) = liar(move |line| {
        bodies.iter().for_each(|body| line.frame(SHARES, body));
        line.read();
        line.read();
    });
    let told = alice.run(&["get", "mallory"]);
    assert_eq!(told.lines().count(), MAX_OPEN);
    assert!(!told.contains(['\u{1b}', '\u{202e}']) && told.contains("(15.9 EiB)"), "{}", &told[..200]);
    let said = alice.fails(&["get", "mallory", name], 2);
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said}");
}

/// What comes is what the transfer says, and the rules are for that.
#[test]
fn what_is_sent_in_the_place_of_a_share_is_judged_as_it_is() {
    let bodies = shares::encode(&shared(1, "notes"));
    let (alice, _) = liar(move |line| {
        bodies.iter().for_each(|body| line.frame(SHARES, body));
        line.read();
        line.offer(&[file(".bash_profile", 1)]);
        line.read();
    });
    let mut get = alice.cmd(&["get", "mallory", "notes"]);
    get.current_dir(alice.around());
    let said = common::finish(get, b"", 1).1;
    assert!(said.contains(".bash_profile"), "{said}");
    assert!(!alice.path(".bash_profile").exists());
}

/// A program that does not know of shares is told so, and closes before it says what it wants.
#[test]
fn an_older_program_is_too_old_for_this() {
    let alice = Home::new("alice");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let old = Rogue::new(70).with_features(Features::COLLECT.with(Features::IGNORABLE));
    alice.run(&["peers", "add", "mallory", &old.key(), &address]);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            assert!(old.answer(stream).is_none(), "message 3 was sent");
        }
    });
    let said = alice.fails(&["get", "mallory"], 69);
    assert!(said.contains("its egoat is too old for this; ask them to update it"), "{said}");
    drop(connect(&address));
}
