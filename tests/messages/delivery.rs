//! Messages: queued, delivered once and in order whatever happens, and shown so that no text can do harm.

use crate::common;

use common::{EGOAT, Home, Node, Process, finish, json_number, json_text, pair, paired, poll_until};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const TO_DELIVER: &str = "60s";

/// The texts that `home` has received, in order.
fn received(home: &Home) -> Vec<String> {
    texts(home, "\"event\":\"received\"")
}

/// The texts that `home` knows to be delivered, in order.
fn delivered(home: &Home) -> Vec<String> {
    texts(home, "\"event\":\"delivered\"")
}

fn texts(home: &Home, event: &str) -> Vec<String> {
    let log = home.run(&["--json", "log"]);
    log.lines().filter(|line| line.contains(event)).map(|line| json_text(line, "text")).collect()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("message {n}")).collect()
}

fn say(home: &Home, peer: &str, text: &str) {
    home.run(&["say", "--wait", TO_DELIVER, peer, text]);
}

#[test]
fn both_directions_with_and_without_a_node() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut alice_node = alice.serve();
    pair(&alice, &bob);
    // Bob has no node: he delivers himself, and collects what waits when he has one.
    say(&bob, "alice", "from bob");
    assert_eq!(alice_node.wait_for("message from"), "message from bob: from bob");
    alice.run(&["say", "bob", "from", "alice"]);
    let mut bob_node = bob.serve();
    assert_eq!(bob_node.wait_for("message from"), "message from alice: from alice");
    alice_node.wait_for("delivered 1 to bob");
    assert_eq!((received(&alice), delivered(&alice)), (vec!["from bob".into()], vec!["from alice".into()]));
    assert_eq!((received(&bob), delivered(&bob)), (vec!["from alice".into()], vec!["from bob".into()]));
    assert_eq!(alice.run(&["outbox"]), "");
}

#[test]
fn text_comes_from_stdin_but_for_its_last_newline() {
    let (_alice, mut alice_node, bob, _bob_node) = paired();
    bob.pipe(&["say", "--wait", TO_DELIVER, "alice"], b"piped\nin\n\n");
    let lines = [alice_node.wait_for("message from"), alice_node.next_line().unwrap()];
    assert_eq!(lines, ["message from bob: piped", "    in"]);
    assert_eq!(delivered(&bob), ["piped\nin\n"]);
    // A cron line whose program has nothing to tell says nothing.
    for args in [&["say", "alice"][..], &["say", "alice", "-"], &["say", "--wait", "9s", "--lines", "alice"]]
    {
        for input in [&b""[..], b"\n"] {
            let (out, said) = bob.ends_with(args, input, 0);
            assert!(out.is_empty() && said.contains("stdin was empty, so nothing was said"), "{out}{said}");
        }
    }
    assert!(bob.fails(&["say", "alice", ""], 2).contains("there is nothing to say"));
    assert_eq!(delivered(&bob).len(), 1);
}

/// Whoever reads it would see U+FFFD in its place.
#[test]
fn what_is_no_text_is_refused() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    for args in [&["say", "alice"][..], &["say", "alice", "-"]] {
        let (out, said) = bob.ends_with(args, b"caf\xe9\n", 2);
        assert!(out.is_empty() && said.contains("byte 4 of the message is not UTF-8"), "{said}");
        assert!(
            said.contains("hint: `iconv -f LATIN1 -t UTF-8` turns") && said.contains("`egoat send PEER -`"),
            "{said}"
        );
    }
    let words = [OsStr::new("say"), OsStr::new("alice"), OsStr::from_bytes(b"caf\xe9")];
    assert!(bob.fails(&words, 2).contains("give a text in UTF-8"));
    let (_, said) = bob.ends_with(&["chat", "alice"], b"first\ncaf\xe9\nlast\n", 0);
    assert!(said.contains("this line was not sent: byte 4 of the message is not UTF-8"), "{said}");
    // The lines before are sent, and the error says which it was.
    let args = ["say", "--wait", TO_DELIVER, "--lines", "alice"];
    let (_, said) = bob.ends_with(&args, b"one\n\ntwo\ncaf\xe9\nfive\n", 2);
    assert!(said.contains("delivered to alice") && said.contains("line 4 of stdin is not UTF-8"), "{said}");
    assert_eq!(received(&alice), ["first", "last", "one", "two"]);
    assert!(bob.ends_with(&args, b"\xff", 2).1.contains("line 1 of stdin is not UTF-8"));
    assert_eq!(bob.run(&["outbox"]), "");
}

#[test]
fn every_character_arrives() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let all: String = ('\0'..='\u{ff}').collect();
    let cases = [
        all.as_bytes(),
        b"\0",
        b"\r\n\r\n\x1b[2J",
        "\u{202e}\u{200b}\u{e0041}🐐 \"quoted\" \\ back".as_bytes(),
        b"no newline at the end",
    ];
    for case in cases {
        bob.pipe(&["say", "--wait", TO_DELIVER, "alice"], case);
    }
    let expected: Vec<String> = cases.iter().map(|case| String::from_utf8_lossy(case).into_owned()).collect();
    assert_eq!(received(&alice), expected);
    assert_eq!(delivered(&bob), expected);
}

#[test]
fn a_message_of_one_mebibyte_goes_and_a_longer_one_names_send() {
    let (alice, mut alice_node, bob, _bob_node) = paired();
    let longest = "x".repeat(MIB);
    bob.pipe(&["say", "--wait", TO_DELIVER, "alice"], longest.as_bytes());
    alice_node.wait_for("message from bob: xxx");
    let (_, said) = bob.ends_with(&["say", "alice"], (longest.clone() + "x").as_bytes(), 2);
    assert!(said.contains("more than 1048576 bytes") && said.contains("egoat send"), "{said}");
    assert_eq!(received(&alice), [longest]);
}

#[test]
fn what_waits_is_delivered_when_the_peer_dials_again() {
    let (alice, alice_node, bob, mut bob_node) = paired();
    bob_node.kill9();
    let (_, said) = alice.ends_with(&["say", "bob", "while you were out"], b"", 0);
    assert!(said.contains("queued for bob"), "{said}");
    // On another port, which Alice does not know: Bob dials.
    let mut bob_node = bob.serve();
    bob_node.wait_for("message from alice: while you were out");
    assert_ne!(bob_node.addr, alice_node.addr);
}

#[test]
fn what_waits_is_delivered_when_the_peer_can_only_be_dialled() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut bob_node = bob.serve();
    alice.run(&["peers", "add", "bob", &bob.key(), &bob_node.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    bob_node.kill9();
    let _alice_node = alice.serve();
    alice.run(&["say", "bob", "while you were out"]);
    let mut bob_node = bob.serve_again_at(&bob_node.addr);
    bob_node.wait_for("message from alice: while you were out");
}

#[test]
fn what_waits_is_collected_by_a_peer_that_cannot_be_dialled() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut alice_node = alice.serve();
    alice.run(&["peers", "add", "bob", &bob.key()]);
    bob.run(&["peers", "add", "alice", &alice.key(), &alice_node.addr]);
    let (_, said) = alice.ends_with(&["say", "bob", "one"], b"", 0);
    assert!(said.contains("queued for bob"), "{said}");
    // Alice learns an address at which nobody answers: Bob's at ::1, seen from 127.0.0.1.
    let mut bob_node = bob.serve_with(&["--listen", "[::1]:0"]);
    bob_node.wait_for("message from alice: one");
    alice.run(&["say", "bob", "two"]);
    bob_node.wait_for("message from alice: two");
    say(&bob, "alice", "three");
    alice_node.wait_for("message from bob: three");
}

/// Who sends and has nothing to send asks every 20 s whether the other end is there; who receives sees that it is gone.
#[test]
fn who_is_gone_is_away_at_once() {
    let (alice, mut alice_node, bob, mut bob_node) = paired();
    say(&alice, "bob", "one way");
    say(&bob, "alice", "and the other");
    let began = Instant::now();
    bob_node.kill9();
    alice_node.wait_for("disconnected from bob");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn waiting_for_a_delivery_that_does_not_come_exits_75() {
    let (alice, _alice_node, _bob, mut bob_node) = paired();
    bob_node.kill9();
    let (out, said) = alice.ends_with(&["--json", "say", "--wait", "100ms", "bob", "hi"], b"", 75);
    assert_eq!(json_text(&out, "state"), "queued");
    assert!(said.contains("not delivered to bob in time") && said.contains("egoat outbox"), "{said}");
    let outbox = alice.run(&["outbox"]);
    assert!(outbox.ends_with(" -> bob: hi\n") && outbox.lines().count() == 1, "{outbox}");
    alice.run(&["outbox", "cancel", &json_number(&out, "number").to_string()]);
}

#[test]
fn without_a_node_an_unreachable_peer_gets_it_later() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut alice_node = alice.serve();
    pair(&alice, &bob);
    alice_node.kill9();
    let (out, said) = bob.ends_with(&["say", "alice", "later"], b"", 0);
    assert!(
        out.is_empty() && said.contains("queued for alice") && said.contains("connection refused"),
        "{said}"
    );
    let json = bob.run(&["--json", "say", "alice", "later still"]);
    assert_eq!(json_text(&json, "state"), "queued");
    alice_node = alice.serve_again_at(&alice_node.addr);
    // The next message takes along what waited before it.
    say(&bob, "alice", "now");
    for text in ["later", "later still", "now"] {
        assert_eq!(alice_node.wait_for("message from"), format!("message from bob: {text}"));
    }
}

#[test]
fn an_unknown_peer_is_a_usage_error() {
    let home = Home::new("alice");
    // No host can be called this, so nobody is asked for it.
    let nobody = "x".repeat(64);
    let said = home.fails(&["say", &nobody, "hi"], 2);
    assert!(said.contains("is called xxx") && said.contains("no host either"), "{said}");
    for args in [&["log", "nobody"][..], &["peers", "show", "nobody"], &["peers", "remove", "nobody"]] {
        assert!(home.fails(args, 2).contains("is called nobody"));
    }
}

#[test]
fn five_hundred_queued_messages_keep_their_order() {
    let (alice, _alice_node, bob, mut bob_node) = paired();
    bob_node.kill9();
    // Attached to the node, a chat queues a line a message.
    let all = numbered(500);
    let mut chat = Process::start(alice.cmd(&["chat", "bob"]));
    chat.write((all.join("\n") + "\n").as_bytes());
    poll_until("the messages to be queued", || (alice.run(&["outbox"]).lines().count() == 500).then_some(()));
    let _bob_node = bob.serve();
    poll_until("the messages to arrive", || (received(&bob).len() >= 500).then_some(()));
    assert_eq!(received(&bob), all);
    poll_until("the acknowledgements", || (delivered(&alice).len() >= 500).then_some(()));
    assert_eq!(delivered(&alice), all);
}

#[test]
fn many_who_speak_at_once_for_one_home_are_all_heard() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut alice_node = alice.serve();
    pair(&alice, &bob);
    // Without a node of Bob's, each of them is the node for a moment; then with one.
    for round in 0..2 {
        let _bob_node = (round == 1).then(|| bob.serve());
        thread::scope(|scope| {
            for n in 0..8 {
                let bob = &bob;
                scope.spawn(move || (0..3).for_each(|m| say(bob, "alice", &format!("{round} {n} {m}"))));
            }
        });
    }
    let mut heard = received(&alice);
    for round in 0..2 {
        for n in 0..8 {
            let its: Vec<&String> =
                heard.iter().filter(|text| text.starts_with(&format!("{round} {n} "))).collect();
            assert!(its.is_sorted() && its.len() == 3, "{its:?}");
        }
    }
    heard.dedup();
    assert_eq!(heard.len(), 48);
    assert_eq!(delivered(&bob), heard);
    assert!(alice_node.is_running());
}

#[test]
fn nodes_talk_over_ipv6() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut nodes = [&alice, &bob].map(|home| home.serve_with(&["--listen", "[::1]:0"]));
    pair(&alice, &bob);
    assert!(alice.run(&["peers"]).contains(&format!("  {}", nodes[1].addr)));
    say(&alice, "bob", "hello");
    say(&bob, "alice", "hello");
    nodes[0].wait_for("message from bob: hello");
    nodes[1].wait_for("message from alice: hello");
}

#[test]
fn ten_peers_talk_to_one_node_at_once() {
    let hub = Home::new("hub");
    let mut hub_node = hub.serve();
    let peers: Vec<Home> = (0..10).map(|n| Home::new(&format!("peer{n}"))).collect();
    let mut nodes: Vec<Node> = peers.iter().map(Home::serve).collect();
    // One by one: a node takes few handshakes of strangers from one address at once.
    peers.iter().for_each(|peer| pair(&hub, peer));
    thread::scope(|scope| {
        for peer in &peers {
            scope.spawn(|| say(peer, "hub", "up"));
        }
    });
    thread::scope(|scope| {
        for n in 0..10 {
            let hub = &hub;
            scope.spawn(move || say(hub, &format!("peer{n}"), "down"));
        }
    });
    for node in &mut nodes {
        node.wait_for("message from hub: down");
    }
    let mut up: Vec<String> = (0..10).map(|_| hub_node.wait_for("message from")).collect();
    up.sort();
    assert_eq!(up, (0..10).map(|n| format!("message from peer{n}: up")).collect::<Vec<_>>());
}

/// Alice says things while a node is killed and started again; nothing may be lost, doubled or out of order.
fn stream_while(kills: impl Fn(&Home, &Home, &mut Node, &mut Node)) {
    let (alice, mut alice_node, bob, mut bob_node) = paired();
    let all = numbered(30);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for text in &all {
                alice.run(&["say", "bob", text]);
            }
            is_done.store(true, Ordering::Release);
        });
        while !is_done.load(Ordering::Acquire) {
            let seen = received(&bob).len();
            poll_until("the stream to go on", || {
                (is_done.load(Ordering::Acquire) || received(&bob).len() > seen).then_some(())
            });
            kills(&alice, &bob, &mut alice_node, &mut bob_node);
        }
    });
    say(&alice, "bob", "the end");
    let expected: Vec<String> = all.iter().cloned().chain(["the end".into()]).collect();
    assert_eq!(received(&bob), expected);
    poll_until("the acknowledgements", || (alice.run(&["outbox"]).is_empty()).then_some(()));
    assert_eq!(delivered(&alice), expected);
}

#[test]
fn nothing_is_lost_or_doubled_when_the_receiver_is_killed() {
    stream_while(|_, bob, _, bob_node| {
        bob_node.kill9();
        *bob_node = bob.serve();
    });
}

#[test]
fn nothing_is_lost_or_doubled_when_the_sender_is_killed() {
    stream_while(|alice, _, alice_node, _| {
        alice_node.kill9();
        *alice_node = alice.serve();
    });
}

#[test]
fn log_lines_have_time_and_direction() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    say(&bob, "alice", "ping");
    say(&alice, "bob", "pong");
    let log = alice.run(&["log"]);
    let lines: Vec<&str> = log.lines().collect();
    let shape =
        |line: &str| line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    assert_eq!(
        lines.iter().map(|line| shape(line)).collect::<Vec<_>>(),
        ["0000-00-00 00:00:00 bob: ping", "0000-00-00 00:00:00 -> bob: pong"]
    );
    assert_eq!(alice.run(&["log", "bob"]), log);
    // A day to the east, the clock shows the same time of the next day.
    let mut command = alice.cmd(&["log", "--limit", "1"]);
    command.env("TZ", "XYZ-24");
    let (east, _) = finish(command, b"", 0);
    let (date, rest) = lines[1].split_once(' ').unwrap();
    assert!(east.trim_end().ends_with(rest) && !east.starts_with(date), "{east}");
}

#[test]
fn a_log_is_cut_down_by_time_number_and_text() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    for text in ["one", "two", "three"] {
        say(&bob, "alice", text);
    }
    let shown = |args: &[&str]| {
        let log = alice.run(&[&["--json", "log"], args].concat());
        log.lines().map(|line| json_text(line, "text")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown(&["--limit", "2"]), "two three");
    assert_eq!(shown(&["--limit", "0"]), "");
    assert_eq!(shown(&["--grep", "o"]), "one two");
    assert_eq!(shown(&["--grep", "o", "--limit", "1"]), "two");
    say(&bob, "alice", "One");
    assert_eq!((shown(&["--grep", "one"]), shown(&["--grep", "One"])), ("one One".into(), "One".into()));
    for (args, expected) in [
        (&["--grep", "ONE"][..], "nothing there has ONE; capital letters count, one finds any"),
        (&["--grep", "x", "--limit", "3"], "nothing there has x"),
    ] {
        let (out, said) = alice.ends_with(&[&["log"], args].concat(), b"", 0);
        assert_eq!((out.as_str(), said), ("", format!("egoat: {expected}\n")));
    }
    assert_eq!(alice.ends_with(&["log", "--since", "2999-01-01"], b"", 0).1, "");
    assert_eq!(shown(&["--since", "1h"]), "one two three One");
    assert_eq!(shown(&["--since", "2000-01-01"]), "one two three One");
    assert_eq!(shown(&["--since", "2999-01-01 12:00"]), "");
    let said = alice.fails(&["log", "--since", "soon"], 2);
    assert!(said.contains("soon is no time") && said.contains("hint: "), "{said}");
}

#[test]
fn following_a_log_shows_what_comes() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    say(&bob, "alice", "before");
    let mut log = Process::start(alice.cmd(&["log", "--follow", "bob"]));
    assert!(log.next_line().unwrap().ends_with(" bob: before"));
    say(&bob, "alice", "now");
    assert!(log.next_line().unwrap().ends_with(" bob: now"));
    say(&alice, "bob", "mine");
    assert!(log.next_line().unwrap().ends_with(" -> bob: mine"));
}

#[test]
fn no_text_can_forge_a_line_or_reach_the_terminal() {
    let (alice, mut alice_node, bob, mut bob_node) = paired();
    let evil = "\x1b[2Jred\x07\r\n2026-01-01 00:00:00 bob: forged\n\u{202e}\u{9b}31mtext\0";
    bob.pipe(&["say", "--wait", TO_DELIVER, "alice"], evil.as_bytes());
    let first = alice_node.wait_for("message from bob: ");
    let served = [first, alice_node.next_line().unwrap(), alice_node.next_line().unwrap()].join("\n");
    bob_node.kill9();
    alice.pipe(&["say", "bob"], evil.as_bytes());
    for text in [served, alice.run(&["log"]), alice.run(&["outbox"]), bob.run(&["log"])] {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text:?}");
        assert!(lines[1].starts_with("    2026-01-01") && lines[2].starts_with("    "), "{text:?}");
        let is_bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(is_bad), "{text:?}");
    }
}

#[test]
fn a_chat_beside_a_node_talks_line_by_line() {
    let (alice, _alice_node, bob, mut bob_node) = paired();
    say(&bob, "alice", "before");
    let mut chat = Process::start(alice.cmd(&["chat", "bob"]));
    chat.write(b"hello\n");
    bob_node.wait_for("message from alice: hello");
    // What was said before it began is not shown.
    assert!(chat.next_line().unwrap().ends_with(" -> bob: hello"));
    say(&bob, "alice", "hello yourself");
    assert!(chat.next_line().unwrap().ends_with(" bob: hello yourself"));
    chat.write(b"bye, without a newline");
    let (code, out, _) = chat.end();
    assert_eq!(code, Some(0));
    assert!(out.ends_with(" -> bob: bye, without a newline\n"), "{out}");
    bob_node.wait_for("message from alice: bye, without a newline");
}

#[test]
fn a_chat_with_all_needs_to_know_to_whom() {
    let (alice, _alice_node, bob, mut bob_node) = paired();
    let carol = Home::new("carol");
    let mut carol_node = carol.serve();
    pair(&alice, &carol);
    let mut chat = Process::start(alice.cmd(&["chat"]));
    chat.write(b"who?\n/to nobody\n/to carol\nfor carol\n/to bob\nfor bob\n");
    carol_node.wait_for("message from alice: for carol");
    bob_node.wait_for("message from alice: for bob");
    let (code, _, said) = chat.end();
    assert_eq!(code, Some(0));
    assert!(
        said.contains("to whom?") && said.contains("no peer is called nobody; `egoat peers` lists them"),
        "{said}"
    );
    assert_eq!((received(&bob), received(&carol)), (vec!["for bob".into()], vec!["for carol".into()]));
}

#[test]
fn after_a_mistyped_to_nothing_is_sent_to_the_peer_before() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = alice.serve();
    alice.run(&["peers", "add", "bob", &bob.key()]);
    let input = b"/to bob\nfor bob\n/to typo\nlost\nlost, too\n/to bob\nfor bob again\n";
    let (_, said) = alice.ends_with(&["chat"], input, 0);
    assert_eq!(said.matches("this line was not sent: to whom?").count(), 2, "{said}");
    let waiting = alice.run(&["outbox"]);
    assert!(waiting.contains("for bob again") && !waiting.contains("lost"), "{waiting}");
}

#[test]
fn a_chat_without_a_node_is_the_node() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut bob_node = bob.serve();
    pair(&bob, &alice);
    let mut chat = Process::start(alice.cmd(&["chat", "bob"]));
    chat.write(b"hello\n");
    if poll_until("the chat to talk or end", || {
        let is_over = !chat.is_running();
        (is_over || received(&bob) == ["hello"]).then_some(is_over)
    }) {
        // It listens on the default port, which this machine may use.
        let (code, _, said) = chat.end();
        assert!(code == Some(1) && said.contains("cannot listen on port 4628"), "{said}");
        return;
    }
    bob_node.wait_for("message from alice: hello");
    say(&bob, "alice", "hi");
    chat.wait_for("20");
    assert!(chat.next_line().unwrap().ends_with(" bob: hi"));
    assert_eq!(chat.end().0, Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn a_follower_ends_when_its_reader_has_gone() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    bob.run(&["say", "--wait", "10s", "alice", "one"]);
    let log = format!("{EGOAT} --home {} log --follow bob", alice.path("").display());
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("({log}; echo ended with $? >&2) | (grep -m1 one; echo found >&2)")]);
    let mut process = Process::start(command);
    assert!(process.next_line().unwrap().ends_with("bob: one"));
    process.wait_to_say("found");
    // Nothing more is said.
    process.wait_to_say("ended with 0");
    assert_eq!(process.end().0, Some(0));
}

#[test]
fn no_line_with_a_slash_goes_to_a_friend() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let lines = "/etc/passwd\n/send /etc/passwd\n/forget bob\n/qiut\n/msg bob to him\n//a\n/me waves\ncrlf\r\n/q\nafter\n";
    let (_, said) = alice.ends_with(&["chat", "bob"], lines.as_bytes(), 0);
    poll_until("all to arrive", || (received(&bob).len() == 4).then_some(()));
    assert_eq!(received(&bob), ["to him", "/a", "/me waves", "crlf"]);
    for line in
        ["/etc/passwd is no command", "/send works on a terminal", "/forget works on", "/qiut is no command"]
    {
        assert!(said.contains(&format!("this line was not sent: {line}")), "{said}");
    }
    assert!(alice.run(&["peers"]).contains("bob"));
}
