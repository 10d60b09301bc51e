//! Strangers, one by one: what they are told, what is counted and noted of them, who is let in, and what nobody is to see.

use crate::common;

use common::strangers::{OTHER, connect, many};
use common::{Home, Node, Process, by, is_torture, json_number, json_text, paired, poll_until};
use egoat::crypto::base32;
use egoat::crypto::keys::{InviteToken, Seed, StaticKeys};
use egoat::net::deadline::Deadline;
use egoat::net::handshake;
use egoat::net::session::Session;
use egoat::net::transport::{Origin, Stream};
use egoat::store::invites::Invite;
use egoat::wire::link::Link;
use egoat::wire::message::{Kind, Message, Refusal};
use std::fmt::Debug;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

fn new_keys() -> StaticKeys {
    Seed::generate().static_keys()
}

/// The keys of a home.
fn keys_of(home: &Home) -> StaticKeys {
    Seed::from_bytes(seed_of(home)).static_keys()
}

fn seed_of(home: &Home) -> [u8; 32] {
    let identity = std::fs::read_to_string(home.path("identity")).unwrap();
    let (_, seed) = identity.trim_end().split_once("\nseed ").unwrap();
    base32::decode_array(seed).unwrap()
}

/// Dials a node, and says who it is.
fn dial(node: &Node, key: &str, from: Ipv4Addr, keys: &StaticKeys, kind: Kind, name: &str) -> Session {
    let stream = Stream::new(connect(from, &node.addr).unwrap(), Origin::Direct(from.into()));
    let by = Deadline::after(Duration::from_secs(20));
    let mut session =
        handshake::initiate(stream, keys, &key.parse().unwrap(), None, kind, "alice", by).unwrap();
    session.send(&Message::Profile { name, port: 4628, time: 0 }).unwrap();
    session
}

/// What a node says first: `None` for ACCEPT.
fn answer(session: &mut Session) -> Option<Refusal> {
    let said = session.read_as("waiting to be accepted", |message| match message {
        Message::Accept => Some(None),
        Message::Refused(why) => Some(Some(why)),
        _ => None,
    });
    said.unwrap()
}

#[test]
fn one_of_fifty_who_race_for_an_invite_is_paired() {
    let alice = Home::new("alice");
    let mut node = alice.serve();
    let link = alice.run(&["invite"]);
    let homes: Vec<Home> = (0..50).map(|number| Home::new(&format!("guest-{number}"))).collect();
    let mut joins: Vec<Process> = homes.iter().map(|home| Process::start(home.cmd(&["join", "-"]))).collect();
    joins.iter_mut().for_each(|join| join.write(link.as_bytes()));
    let ended: Vec<_> = joins.iter_mut().map(Process::end).collect();
    let mut winners = Vec::new();
    for (home, (code, _, said)) in homes.iter().zip(&ended) {
        match code {
            Some(0) => winners.push(home),
            Some(77) => assert!(said.contains("another node has used this invite"), "{said}"),
            // Fifty at once from one address are more than it takes.
            Some(69) => assert!(said.contains("too busy") || said.contains("it has too many"), "{said}"),
            other => panic!("{other:?}: {said}"),
        }
    }
    let [winner] = winners[..] else { panic!("{} are paired", winners.len()) };
    assert!(ended.iter().any(|(code, ..)| *code == Some(77)));
    let peers = alice.run(&["--json", "peers"]);
    assert_eq!((peers.lines().count(), json_text(&peers, "key")), (1, winner.key()));
    winner.run(&["say", "--wait", "30s", "alice", "here I am"]);
    node.wait_for("message from guest-");
}

/// What other programs would say, and what looks like ours but is not.
fn other_programs() -> Vec<Vec<u8>> {
    let mut random = common::Random(0x5741_4e54);
    let noise: Vec<u8> = (0..1 << 20).map(|_| random.next() as u8).collect();
    // A ClientHello of TLS 1.3 with a session id, three ciphers and no extensions.
    let hello = [&b"\x16\x03\x01\x00\x51\x01\x00\x00\x4d\x03\x03"[..], &noise[..32], b"\x20", &noise[32..64]];
    let hello = [&hello.concat()[..], b"\x00\x06\x13\x01\x13\x02\x13\x03\x01\x00\x00\x00"].concat();
    vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\n\r\n".to_vec(),
        hello,
        b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5\r\n".to_vec(),
        [b"E-GOAT\x01\x00", &noise[..4096]].concat(),
        [b"E-GOAT\x01\x01", &noise[..4096]].concat(),
        [b"E-GOAT\x02\x00", &noise[..4096]].concat(),
        noise,
    ]
}

/// Connects from there, says that, and waits for the end: nothing is answered, and it does not take long.
fn is_closed_on(node: &Node, from: Ipv4Addr, bytes: &[u8]) {
    let mut stream = connect(from, &node.addr).unwrap();
    let began = Instant::now();
    // It closes before it has taken all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() && began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn what_other_programs_say_is_closed_on_and_counted() {
    let alice = Home::new("alice");
    let mut node = Process::start(alice.cmd(&["--json", "serve", "--listen", "127.0.0.1:0"]));
    let addr = json_text(&node.wait_for("{\"event\":\"listening\""), "address");
    let mut node = Node::from(node, addr);
    let others = other_programs();
    for (from, bytes) in many(others.len()).into_iter().zip(&others) {
        is_closed_on(&node, from, bytes);
    }
    let (mut counted, all) = (0, others.len() as u64);
    // The first line comes at once, and has what was counted by then. The next, if that was not all, a minute later.
    while counted < if is_torture() { all } else { 1 } {
        let line = next_event(&mut node);
        assert_eq!(json_text(&line, "event"), "refusals");
        counted += json_number(&line, "bad_handshakes");
        for none in ["too_many_connections", "too_many_at_once", "too_often", "still_kept_out", "strangers"] {
            assert_eq!(json_number(&line, none), 0, "{line}");
        }
    }
    assert!(counted <= all, "{counted}");
    for _ in 0..10 {
        is_closed_on(&node, OTHER, b"GET / HTTP/1.0\r\n\r\n");
    }
    // Two more looks of the node at what is to be told.
    let since = Instant::now();
    poll_until("two seconds", || (since.elapsed() > Duration::from_secs(2)).then_some(()));
    assert!(node.is_running());
    let said = node.kill9();
    assert_eq!((said.as_str(), node.next_line()), ("", None), "not a word about each of them");
}

/// The next line on stdout, also if it takes a minute.
fn next_event(node: &mut Process) -> String {
    node.next_line().or_else(|| node.next_line()).unwrap()
}

#[test]
fn the_causes_are_told_in_words() {
    let alice = Home::new("alice");
    let mut node = alice.serve();
    is_closed_on(&node, OTHER, b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(node.wait_for("turned away"), "turned away in a minute: 1 bad handshakes");
}

#[test]
fn no_byte_moves_a_deadline() {
    let alice = Home::new("alice");
    let node = alice.serve();
    let lasts = |from: Ipv4Addr, begin: &'static [u8]| {
        let mut stream = connect(from, &node.addr).unwrap();
        let began = Instant::now();
        thread::spawn(move || {
            stream.write_all(begin).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            // A byte every two seconds.
            while matches!(stream.read(&mut [0; 64]), Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock)
            {
                let _ = stream.write_all(b"E");
            }
            began.elapsed()
        })
    };
    let all = [b"".as_slice(), b"E-GOAT\x01\x00", b"E-GOAT\x01\x01", b"E-GOAT\x01\x80"];
    let lasted: Vec<_> =
        many(all.len()).into_iter().zip(all).map(|(from, begin)| lasts(from, begin)).collect();
    for lasted in lasted {
        let lasted = lasted.join().unwrap();
        assert!(lasted < Duration::from_secs(8), "{lasted:?}");
    }
}

#[test]
fn requests_of_strangers_are_few_and_harmless_and_one_is_accepted() {
    let alice = Home::new("alice");
    let mut node = alice.serve();
    let key = alice.key();
    let name = "\u{1b}[31m Al\u{202e}ice\r\n.example \u{7f}\u{200b}";
    let strangers: Vec<StaticKeys> = (0..30).map(|_| new_keys()).collect();
    let answers: Vec<_> = many(strangers.len())
        .into_iter()
        .zip(&strangers)
        .map(|(from, keys)| answer(&mut dial(&node, &key, from, keys, Kind::Push, name)))
        .collect();
    assert!(answers.iter().all(|answer| matches!(answer, Some(Refusal::Unknown | Refusal::Busy))));
    let noted = answers.iter().filter(|answer| **answer == Some(Refusal::Unknown)).count();
    // Sixteen at once, and a few more if it took long.
    assert!((16..25).contains(&noted), "{noted}");

    let listed = alice.run(&["peers", "requests"]);
    let json = alice.run(&["--json", "peers", "requests"]);
    assert_eq!((listed.lines().count(), json.lines().count()), (noted, noted));
    assert!(listed.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{listed}");
    assert!(json.lines().all(|line| json_text(line, "name").len() <= 32), "{json}");
    for _ in 0..noted {
        let told = node.wait_for("");
        assert!(told.contains(" wants to be a peer: `egoat peers accept ") && told.is_ascii(), "{told}");
    }

    let fingerprint = strangers[3].public().fingerprint();
    alice.run(&["peers", "accept", "--as", "third", &fingerprint]);
    assert_eq!(alice.run(&["peers"]).lines().count(), 1);
    assert_eq!(alice.run(&["peers", "requests"]).lines().count(), noted - 1);
    let answer_to = |index: usize| answer(&mut dial(&node, &key, OTHER, &strangers[index], Kind::Push, "x"));
    assert_eq!((answer_to(3), answer_to(4)), (None, Some(Refusal::Unknown)));
}

#[test]
fn strangers_who_are_made_peers_unasked_are_few_and_are_asked_about() {
    let alice = Home::new("alice");
    let node = alice.serve_with(&["--listen", "127.0.0.1:0", "--accept-new"]);
    let key = alice.key();
    let come = |from: Ipv4Addr| {
        let answers: Vec<_> = (0..10)
            .map(|number| {
                answer(&mut dial(&node, &key, from, &new_keys(), Kind::Pair, &format!("new-{number}")))
            })
            .collect();
        assert!(answers.iter().all(|answer| matches!(answer, None | Some(Refusal::Busy))), "{answers:?}");
        answers.iter().filter(|answer| answer.is_none()).count()
    };
    // Of one address 4, of all 8.
    assert_eq!([OTHER, Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 9)].map(come), [4, 4, 0]);
    let peers = std::fs::read_to_string(alice.path("peers")).unwrap();
    assert_eq!(peers.lines().filter(|line| line.ends_with(" - files=ask")).count(), 8, "{peers}");
    assert_eq!((peers.lines().count(), alice.run(&["peers", "requests"]).as_str()), (8, ""));
}

#[test]
fn who_is_blocked_is_refused_before_anything_else() {
    let (alice, mut alice_node, bob, mut bob_node) = paired();
    alice_node.wait_for("connected with bob");
    bob_node.kill9();
    alice_node.wait_for("disconnected from bob");
    alice.run(&["say", "bob", "never"]);
    let (_, said) = alice.ends_with(&["peers", "set", "bob", "blocked"], b"", 0);
    assert!(said.contains("cancelled 1 queued message or file for bob"), "{said}");
    assert_eq!(alice.run(&["outbox"]), "");
    assert!(alice.run(&["log", "bob"]).contains(" -> bob (cancelled): never"));
    let said = alice.fails(&["say", "bob", "never"], 1);
    assert!(said.contains("bob is blocked here") && said.contains("blocked=` lets them in again"), "{said}");

    for kind in [Kind::Pair, Kind::Push, Kind::Pull, Kind::Files] {
        let mut session = dial(&alice_node, &alice.key(), OTHER, &keys_of(&bob), kind, "bob");
        assert_eq!(answer(&mut session), Some(Refusal::Blocked));
    }
    let said = bob.fails(&["say", "--wait", "500ms", "alice", "hello"], 75);
    assert!(said.contains("it has blocked this node"), "{said}");

    let mut bob_node = bob.serve_again_at(&bob_node.addr);
    alice.run(&["peers", "set", "bob", "blocked="]);
    bob.run(&["outbox", "retry"]);
    alice_node.wait_for("message from bob: hello");
    assert_eq!(bob.received(), [""; 0]);
    alice.run(&["say", "--wait", "30s", "bob", "welcome back"]);

    // Connections that are there end as well, at the next word at the latest.
    alice.run(&["peers", "set", "bob", "blocked"]);
    bob.fails(&["say", "--wait", "500ms", "alice", "too late"], 75);
    bob_node.wait_for("disconnected from alice");
    assert_eq!(alice.received(), ["hello"]);
}

#[test]
fn peers_have_seats_that_strangers_do_not_take() {
    let alice = Home::new("alice");
    let peers: Vec<StaticKeys> = (0..3).map(|_| new_keys()).collect();
    for (index, keys) in peers.iter().enumerate() {
        alice.run(&["peers", "add", &format!("peer-{index}"), &keys.public().to_string()]);
    }
    let node = alice.serve_with(&["--listen", "127.0.0.1:0", "--max-peers", "1"]);
    let _silent: Vec<TcpStream> =
        many(100).into_iter().map(|from| connect(from, &node.addr).unwrap()).collect();
    let dial_as = |index: usize| {
        // There may be no place for one more unknown just now.
        poll_until("a handshake", || {
            let from = Ipv4Addr::LOCALHOST;
            let stream = Stream::new(connect(from, &node.addr).unwrap(), Origin::Direct(from.into()));
            let by = Deadline::after(Duration::from_secs(20));
            let key = alice.key().parse().unwrap();
            let dialled = handshake::initiate(stream, &peers[index], &key, None, Kind::Push, "alice", by);
            let mut session = dialled.ok()?;
            session.send(&Message::Profile { name: "peer", port: 0, time: 0 }).unwrap();
            Some((answer(&mut session), session))
        })
    };
    // One peer is one connection each way.
    let (first, second, third) = (dial_as(0), dial_as(1), dial_as(2));
    assert_eq!((first.0, second.0, third.0), (None, None, Some(Refusal::Busy)));
    drop(second);
    poll_until("a seat", || dial_as(2).0.is_none().then_some(()));
}

#[test]
fn limits_that_the_system_does_not_allow_are_lowered() {
    let alice = Home::new("alice");
    let command =
        alice.cmd(&["serve", "--listen", "127.0.0.1:0", "--max-peers", "99", "--max-pending", "999"]);
    let mut node = Process::start(by(&["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""], &command));
    node.wait_for("listening on");
    let said = node.kill9();
    assert!(
        said.contains("so few files, or so little memory, that --max-peers is 2, and --max-pending 8"),
        "{said}"
    );
    for none in ["--max-peers", "--max-pending"] {
        assert!(alice.fails(&["serve", none, "0"], 2).contains("are 1 or more"));
    }
}

/// Whether a type has `Debug`: what is found on the type itself goes before what a trait gives it.
struct Shown<T>(PhantomData<T>);

trait Hidden {
    const IS_SHOWN: bool = false;
}

impl<T> Hidden for Shown<T> {}

impl<T: Debug> Shown<T> {
    const IS_SHOWN: bool = true;
}

#[test]
fn secrets_have_no_debug_output() {
    const {
        assert!(Shown::<u8>::IS_SHOWN);
        assert!(
            !Shown::<Seed>::IS_SHOWN && !Shown::<StaticKeys>::IS_SHOWN && !Shown::<InviteToken>::IS_SHOWN
        );
        assert!(!Shown::<Link>::IS_SHOWN && !Shown::<Invite>::IS_SHOWN && !Shown::<Session>::IS_SHOWN);
        assert!(!Shown::<egoat::net::session::Binding>::IS_SHOWN);
        assert!(!Shown::<egoat::crypto::handshake::Established>::IS_SHOWN);
        assert!(!Shown::<egoat::crypto::seal::LogKey>::IS_SHOWN);
        assert!(!Shown::<egoat::store::home::Own>::IS_SHOWN);
        assert!(!Shown::<egoat::net::endpoint::Endpoint>::IS_SHOWN);
        assert!(!Shown::<egoat::store::identity::Identity>::IS_SHOWN);
    }
}

#[test]
fn a_token_is_in_no_error_and_no_event() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let mut node = alice.serve();
    let link = alice.run(&["invite"]);
    let link = link.trim_end();
    let token = &link[link.find('.').unwrap() + 1..link.find('@').unwrap()];
    let mut said = bob.pipe(&["join", "-"], link.as_bytes());
    for wrong in [link.replace("127.0.0.1:", "127.0.0.1:99999"), link.replace('@', "!"), format!("{link}/x")]
    {
        said += &carol.fails(&["join", &wrong], 2);
    }
    said += &carol.fails(&["join", link], 77);
    said += &carol.fails(&["send", link, &carol.file("a.txt", "a")], 77);
    said += &node.wait_for("paired with bob");
    said += &node.kill9();
    let seed = base32::encode(&seed_of(&alice));
    for text in [said, std::fs::read_to_string(alice.path("peers")).unwrap()] {
        assert!(!text.contains(token) && !text.contains(&seed), "{text}");
    }
}

/// Ends a node by a signal that leaves a core in its directory; gives the core, if the system puts one there.
fn core_of(home: &Home, dir: &Path, signal: &str, filter: Option<&str>) -> Option<Vec<u8>> {
    let command = home.cmd(&["serve", "--listen", "127.0.0.1:0"]);
    let mut command = by(&["sh", "-c", "ulimit -c unlimited; exec \"$0\" \"$@\""], &command);
    command.current_dir(dir);
    let mut node = Process::start(command);
    node.wait_for("listening on");
    let pid = node.child.id();
    let file = format!("/proc/{pid}/coredump_filter");
    assert_eq!(u32::from_str_radix(std::fs::read_to_string(&file).unwrap().trim(), 16), Ok(0));
    filter.into_iter().for_each(|filter| std::fs::write(&file, filter).unwrap());
    // What it does about the end of a stack takes one signal of its own.
    let kill = || Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    let ended = poll_until("the end of the node", || {
        kill().unwrap();
        node.child.try_wait().unwrap()
    });
    assert!(ended.signal().is_some());
    let core = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).next()?;
    let bytes = std::fs::read(&core).unwrap();
    std::fs::remove_file(core).unwrap();
    Some(bytes)
}

#[test]
fn a_core_dump_has_no_secret() {
    let (home, dir) = (Home::new("alice"), tempfile::tempdir().unwrap());
    let seed = seed_of(&home);
    let has_seed = |core: &[u8]| core.windows(seed.len()).any(|bytes| bytes == seed);
    let Some(all) = core_of(&home, dir.path(), "SEGV", Some("0x3f")) else {
        eprintln!("the system leaves no core in the directory here: only the filter was looked at");
        return;
    };
    assert!(has_seed(&all), "it would be there");
    for signal in ["SEGV", "ABRT"] {
        let core = core_of(&home, dir.path(), signal, None).unwrap();
        assert!(!has_seed(&core) && core.len() < 1 << 20, "{} bytes", core.len());
    }
}
