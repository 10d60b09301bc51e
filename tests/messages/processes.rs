//! Many processes on one home at once, and homes that were put back from a backup.

use crate::common;

use common::rogue::{Line, Rogue};
use common::{Home, Node, Process, logs, pair, paired, poll_until};
use egoat::wire::message::{Kind, Message};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const TO_DELIVER: &str = "60s";
/// Those who speak at once, and what each says.
const SPEAKERS: usize = 10;
const EACH: usize = 3;

/// Ten threads start a process for each message; gives what they said on stderr.
fn all_say(home: &Home, peer: &str, args: &[&str]) -> String {
    let speak = |speaker: usize| {
        let said = (0..EACH).map(|number| {
            let text = format!("{speaker} says {number}");
            home.ends_with(&[&["say"], args, &[peer, &text]].concat(), b"", 0).1
        });
        said.collect::<String>()
    };
    thread::scope(|scope| {
        let speakers: Vec<_> = (0..SPEAKERS).map(|speaker| scope.spawn(move || speak(speaker))).collect();
        speakers.into_iter().map(|speaker| speaker.join().unwrap()).collect()
    })
}

/// Each message of `all_say` is there once, and those of one speaker are in order.
fn check_speakers(texts: &[String]) {
    for speaker in 0..SPEAKERS {
        let its = texts.iter().filter(|text| text.starts_with(&format!("{speaker} says ")));
        let expected: Vec<String> = (0..EACH).map(|number| format!("{speaker} says {number}")).collect();
        assert!(its.eq(expected.iter()), "{texts:?}");
    }
}

/// Nothing was found torn or damaged, as a process tells it or as it would have been kept aside.
fn check_no_damage(home: &Home, told: &str) {
    for word in ["damage", "cut off", "missing", "unfinished", "error"] {
        assert!(!told.contains(word), "{told}");
    }
    let names = |dir: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    // A node that was killed may have been about to note that the other one is gone.
    let known = [".log", ".lock", ".attempts", ".new"];
    for dir in ["history", "outbox"] {
        let aside: Vec<String> = names(&home.path(dir))
            .into_iter()
            .filter(|name| !known.iter().any(|known| name.ends_with(known)))
            .collect();
        assert!(aside.is_empty(), "{aside:?}");
    }
}

#[test]
fn a_node_ten_speakers_three_followers_and_a_chat_share_a_home() {
    let (alice, mut alice_node, bob, mut bob_node) = paired();
    let mut followers: Vec<Process> =
        (0..3).map(|_| Process::start(alice.cmd(&["log", "--follow", "--limit", "1000", "bob"]))).collect();
    let mut chat = Process::start(alice.cmd(&["chat", "bob"]));
    let mut back = Process::start(bob.cmd(&["chat", "alice"]));
    let typed: Vec<String> = (0..20).map(|number| format!("typed {number}")).collect();
    let answered: Vec<String> = (0..20).map(|number| format!("answered {number}")).collect();
    let mut told = thread::scope(|scope| {
        let speakers = scope.spawn(|| all_say(&alice, "bob", &[]));
        for (line, answer) in typed.iter().zip(&answered) {
            chat.write(format!("{line}\n").as_bytes());
            back.write(format!("{answer}\n").as_bytes());
        }
        speakers.join().unwrap()
    });
    let all = SPEAKERS * EACH + typed.len();
    poll_until("all to be delivered", || {
        (alice.delivered().len() >= all && alice.received().len() >= answered.len()).then_some(())
    });
    let received = bob.received();
    check_speakers(&received);
    assert!(received.iter().filter(|text| text.starts_with("typed")).eq(&typed), "{received:?}");
    assert_eq!(received.len(), all);
    assert_eq!(alice.delivered(), received);
    assert_eq!((alice.received(), bob.delivered()), (answered.clone(), answered));
    assert_eq!(alice.run(&["outbox"]), "");
    // What everybody shows is what the log has, each line once.
    let log: Vec<String> = alice.run(&["log", "bob"]).lines().map(str::to_owned).collect();
    assert_eq!(log.len(), all + 20);
    for follower in &mut followers {
        let shown: Vec<String> = log.iter().map(|_| follower.next_line().unwrap()).collect();
        assert_eq!(shown, log);
        assert!(follower.is_running());
        told += &follower.kill9();
    }
    // A chat shows what happens from its start on.
    let (code, shown, errors) = chat.end();
    let shown: Vec<String> = shown.lines().map(str::to_owned).collect();
    assert!(code == Some(0) && log.ends_with(&shown), "{shown:?}");
    assert!(typed.iter().all(|text| shown.iter().any(|line| line.ends_with(&format!(" -> bob: {text}")))));
    told += &errors;
    check_no_damage(&alice, &(told + &alice_node.kill9()));
    check_no_damage(&bob, &bob_node.kill9());
}

#[test]
fn ten_speakers_share_a_home_without_a_node() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut bob_node = bob.serve();
    pair(&bob, &alice);
    let told = all_say(&alice, "bob", &["--wait", TO_DELIVER]);
    assert_eq!(told.matches("delivered to bob").count(), SPEAKERS * EACH, "{told}");
    check_speakers(&bob.received());
    assert_eq!(bob.received().len(), SPEAKERS * EACH);
    assert_eq!(alice.delivered(), bob.received());
    check_no_damage(&alice, &told);
    check_no_damage(&bob, &bob_node.kill9());
}

/// A node that waits for a delivery to end waits 10 s for an address that says nothing.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Starts a node, which must be there soon though others deliver.
fn serve_at_once(home: &Home) -> Node {
    let start = Instant::now();
    let node = home.serve();
    assert!(start.elapsed() < AT_ONCE, "it took {:?}", start.elapsed());
    node
}

/// What was said to it meanwhile comes over the node, each message once.
#[test]
fn a_node_starts_while_others_dial_an_address_that_says_nothing() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    alice.run(&["peers", "add", "bob", &bob.key(), &silent.local_addr().unwrap().to_string()]);
    let texts: Vec<String> = (0..4).map(|number| format!("message {number}")).collect();
    let mut speakers: Vec<Process> = texts
        .iter()
        .map(|text| Process::start(alice.cmd(&["say", "--wait", TO_DELIVER, "bob", text])))
        .collect();
    let _dialled = silent.accept().unwrap();
    poll_until("all to be queued", || (alice.run(&["outbox"]).lines().count() == 4).then_some(()));
    let node = serve_at_once(&alice);
    bob.run(&["peers", "add", "alice", &alice.key(), &node.addr]);
    bob.run(&["fetch"]);
    for speaker in &mut speakers {
        let (code, _, told) = speaker.end();
        assert!(code == Some(0) && told.contains("delivered to bob"), "{told}");
    }
    let mut received = bob.received();
    assert_eq!(alice.delivered(), received);
    received.sort();
    assert_eq!(received, texts);
}

/// The connection ends for the node, which sends the message again under its number.
#[test]
fn a_node_starts_while_a_peer_acknowledges_nothing() {
    let (alice, rogue) = (Home::new("alice"), Rogue::new(1));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    alice.run(&["peers", "add", "rogue", &rogue.key(), &listener.local_addr().unwrap().to_string()]);
    let mut speaker = Process::start(alice.cmd(&["say", "--wait", TO_DELIVER, "rogue", "hello"]));
    let take = || {
        let mut line = rogue.accept(&listener, Kind::Push);
        line.say(&Message::Held(0));
        let (kind, body) = line.read().unwrap();
        let Message::Text { number, .. } = Message::decode(kind, &body).unwrap() else { panic!("{kind}") };
        (line, number)
    };
    let (_line, said) = take();
    let _node = serve_at_once(&alice);
    let (mut line, number) = take();
    assert_eq!(number, said);
    line.say(&Message::Ack(number));
    let (code, _, told) = speaker.end();
    assert!(code == Some(0) && told.contains("delivered to rogue"), "{told}");
    assert_eq!(alice.delivered(), ["hello"]);
}

/// Alice, who has no node, and Bob, whose node is there.
fn one_node() -> (Home, Home, Node) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let bob_node = bob.serve();
    pair(&bob, &alice);
    (alice, bob, bob_node)
}

/// Says something that must be delivered at once; gives what was told.
fn say(home: &Home, peer: &str, text: &str) -> String {
    let (_, told) = home.ends_with(&["say", "--wait", TO_DELIVER, peer, text], b"", 0);
    assert!(told.contains(&format!("delivered to {peer}")), "{told}");
    told
}

const SENDER_RESTORED: &str = "holds newer messages from here than this home has sent";
const RECEIVER_RESTORED: &str = "does not hold all that it had acknowledged";

#[test]
fn a_sender_that_was_restored_is_told_and_goes_on() {
    let (alice, bob, _bob_node) = one_node();
    say(&alice, "bob", "before");
    let copy = alice.copy();
    say(&alice, "bob", "forgotten");
    alice.restore(copy.path());
    // The next message has a higher number than all before, and still it is told what happened, once.
    let told = say(&alice, "bob", "after");
    assert!(told.contains(SENDER_RESTORED), "{told}");
    assert_eq!(bob.received(), ["before", "forgotten", "after"]);
    assert_eq!(alice.delivered(), ["before", "after"]);
    let told = say(&alice, "bob", "and on");
    assert!(!told.contains(SENDER_RESTORED), "{told}");
    assert_eq!(alice.run(&["outbox"]), "");
}

#[test]
fn what_waited_in_the_copy_is_not_lost() {
    let (alice, bob, mut bob_node) = one_node();
    say(&alice, "bob", "before");
    bob_node.kill9();
    alice.run(&["say", "bob", "waiting"]);
    let copy = alice.copy();
    bob_node = bob.serve_again_at(&bob_node.addr);
    say(&alice, "bob", "forgotten");
    alice.restore(copy.path());
    // A node this time, which has nothing new to say.
    let mut alice_node = alice.serve();
    alice_node.wait_for("delivered 1 to bob");
    assert_eq!(alice.delivered(), ["before", "waiting"]);
    say(&alice, "bob", "after");
    // It cannot know that this was delivered in the time that it has forgotten: better twice than never.
    assert_eq!(bob.received(), ["before", "waiting", "forgotten", "waiting", "after"]);
    let told = alice_node.kill9();
    assert_eq!(told.matches(SENDER_RESTORED).count(), 1, "{told}");
    assert!(bob_node.is_running());
}

#[test]
fn a_restored_receiver_gets_what_is_new_and_the_sender_is_told() {
    let (alice, bob, mut bob_node) = one_node();
    say(&alice, "bob", "before");
    say(&alice, "bob", "kept");
    let addr = bob_node.addr.clone();
    bob_node.kill9();
    let copy = bob.copy();
    bob_node = bob.serve_again_at(&addr);
    let told = say(&alice, "bob", "forgotten");
    assert!(!told.contains(RECEIVER_RESTORED), "{told}");
    bob_node.kill9();
    alice.run(&["say", "bob", "waiting"]);
    bob.restore(copy.path());
    bob_node = bob.serve_again_at(&addr);
    let told = say(&alice, "bob", "after");
    assert!(told.contains(RECEIVER_RESTORED), "{told}");
    // Alice does not hold it to send it again: it is in her history alone.
    assert_eq!(bob.received(), ["before", "kept", "waiting", "after"]);
    assert_eq!(alice.delivered(), ["before", "kept", "forgotten", "waiting", "after"]);
    let told = say(&alice, "bob", "and on");
    assert!(!told.contains(RECEIVER_RESTORED), "{told}");
    assert!(bob_node.is_running());
}

/// Both talk, and each goes back in turn: a restored home is a sender and a receiver.
#[test]
fn a_home_that_was_restored_between_two_nodes_talks_both_ways() {
    let (alice, mut alice_node, bob, mut bob_node) = paired();
    let both = |round: &str| {
        say(&alice, "bob", &format!("{round} from alice"));
        say(&bob, "alice", &format!("{round} from bob"));
    };
    both("one");
    bob_node.kill9();
    let copy = bob.copy();
    bob_node = bob.serve_again_at(&bob_node.addr);
    both("two");
    bob_node.kill9();
    bob.restore(copy.path());
    bob_node = bob.serve_again_at(&bob_node.addr);
    both("three");
    assert_eq!(bob.received(), ["one from alice", "three from alice"]);
    assert_eq!(bob.delivered(), ["one from bob", "three from bob"]);
    assert_eq!(alice.received(), ["one", "two", "three"].map(|round| format!("{round} from bob")));
    assert_eq!(alice.delivered(), ["one", "two", "three"].map(|round| format!("{round} from alice")));
    let told = [alice_node.kill9(), bob_node.kill9()];
    assert!(told[0].contains(RECEIVER_RESTORED) && !told[0].contains(SENDER_RESTORED), "{told:?}");
    assert!(told[1].contains(SENDER_RESTORED) && !told[1].contains(RECEIVER_RESTORED), "{told:?}");
}

/// Collects what waits, by a connection on which nothing is said yet, and says that it holds nothing; gives the number of the
/// message that is there.
fn collect(line: &mut Line) -> u64 {
    line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
    line.say(&Message::Held(0));
    line.expect(&Message::Accept);
    let (_, body) = line.read().unwrap();
    let number = u64::from_be_bytes(*body.first_chunk().unwrap());
    line.say(&Message::Ack(number));
    number
}

/// What a peer says that it holds may be on its way while it gets more over another connection.
#[test]
fn a_receiver_that_is_slow_to_collect_was_not_restored() {
    let (alice, mallory) = (Home::new("alice"), Rogue::new(66));
    let mut node = alice.serve();
    alice.run(&["peers", "add", "mallory", &mallory.key()]);
    let connect = || mallory.dial(&node.addr, &alice.key(), Kind::Pull);
    let mut slow = connect();
    alice.run(&["say", "mallory", "one"]);
    let mut line = connect();
    collect(&mut line);
    node.wait_for("delivered 1 to mallory");
    drop(line);
    alice.run(&["say", "mallory", "two"]);
    collect(&mut slow);
    node.wait_for("delivered 1 to mallory");
    assert!(!node.said().contains(RECEIVER_RESTORED), "{}", node.said());
    drop(slow);
    // One who has asked since, and still holds nothing, has lost both.
    alice.run(&["say", "mallory", "three"]);
    collect(&mut mallory.dial(&node.addr, &alice.key(), Kind::Pull));
    node.wait_to_say(RECEIVER_RESTORED);
}

/// It must not say what it held before it dialled: by then it may have got more from a node that has begun to listen since.
#[test]
fn a_receiver_looks_at_what_it_holds_once_it_is_connected() {
    let (bob, mallory) = (Home::new("bob"), Rogue::new(66));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    bob.run(&["peers", "add", "mallory", &mallory.key(), &listener.local_addr().unwrap().to_string()]);
    let mut fetch = Process::start(bob.cmd(&["fetch"]));
    let stream = listener.accept().unwrap().0;
    logs::receive(&logs::open(&bob), "mallory", &["meanwhile"]);
    let (kind, mut line) = mallory.answer(stream).unwrap();
    assert_eq!(kind, Kind::Pull);
    line.read().unwrap();
    let (_, held) = line.read().unwrap();
    let log = bob.run(&["--json", "log"]);
    assert_eq!(held, common::json_number(&log, "number").to_be_bytes());
    line.say(&Message::Accept);
    line.say(&Message::Ping);
    assert_eq!(fetch.end().0, Some(0));
}
