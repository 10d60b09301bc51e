//! `make bench`: the figures of egoat that depend on the machine, measured with real processes and printed beside what
//! they are to reach. Nothing fails here but a broken program: a verdict on a shared machine would be noise.
//! `cargo bench --bench figures -- chat window` runs some sections only.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

mod chat;
mod common;
mod window;

use std::collections::VecDeque;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Home, Node, PROGRAM, TICKS, key, median_and_worst, milliseconds, pair, row, sync_time, time};
use egoat::net::loopback;
use egoat::store::history::ReceivedMessage;
use egoat::store::home::Own;
use egoat::store::node_lock;
use egoat::store::outbox::Draft;
use egoat::wire::control::Up;

/// Its name, and what it measures and prints.
type Section = (&'static str, fn());
const SECTIONS: [Section; 9] = [
    ("size", binary_size),
    ("id", id),
    ("say", say),
    ("queue", queue),
    ("history", history),
    ("idle", idle),
    ("control", control),
    ("chat", || chat::figures(fill)),
    ("window", || window::figures(fill)),
];

fn main() {
    // Cargo adds options of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|word| !SECTIONS.iter().any(|(name, _)| name == word)) {
        return println!("no {unknown}: the sections are {}", SECTIONS.map(|(name, _)| name).join(", "));
    }
    row("what", "median".into(), "worst".into(), "to reach");
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            section();
        }
    }
}

fn binary_size() {
    let bytes = fs::metadata(PROGRAM).expect("the program is there").len();
    row("stripped binary", format!("{:.2} MiB", bytes as f64 / 1048576.0), String::new(), "3 MiB");
}

fn id() {
    let home = Home::new("alice");
    let (median, worst) = time(100, || drop(home.run(&["id"])));
    row("egoat id, whole process", milliseconds(median), milliseconds(worst), "5 ms");
}

fn say() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _alice_node = alice.serve();
    pair(&alice, &bob);
    let _bob_node = bob.serve();
    let sync = sync_time(alice.dir.path());
    row("one append and fdatasync where the homes are", milliseconds(sync), String::new(), "");
    let (median, worst) = time(200, || drop(alice.run(&["say", "--wait", "10s", "bob", "a line of text"])));
    // Queued, stored by the receiver, and moved to the history: three of them one after the other.
    let goal = format!("3 ms + 3 syncs = {}", milliseconds(Duration::from_millis(3) + 3 * sync));
    row("egoat say, whole process, durable on both sides", milliseconds(median), milliseconds(worst), &goal);
}

/// The home's owner, to fill logs faster than processes would.
fn own(home: &Home) -> Own {
    let dir = home.dir.path().to_str().expect("UTF-8");
    let found = egoat::store::home::Home::locate(Some(dir)).expect("a home");
    found.unlock(|_| None, || unreachable!("no passphrase"), Arc::new(|_: &str| ())).expect("an identity")
}

fn per_second(count: usize, time: Duration) -> String {
    format!("{:.0}/s", count as f64 / time.as_secs_f64())
}

/// A peer comes back to whom much was said.
fn queue() {
    const MESSAGES: usize = 100_000;
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let alice_node = alice.serve();
    pair(&alice, &bob);
    let mut outbox = own(&alice).outbox(&key(&bob)).expect("an outbox");
    let draft = Draft::new(&[b'x'; 100]);
    for _ in 0..MESSAGES / 1000 {
        outbox.queue(&vec![draft.clone(); 1000]).expect("queued");
    }
    let started = Instant::now();
    let _bob_node = bob.serve();
    while outbox.has_pending().expect("readable") {
        thread::sleep(Duration::from_millis(5));
    }
    let took = started.elapsed();
    row(
        "100,000 queued messages of 100 bytes, delivered",
        per_second(MESSAGES, took),
        String::new(),
        "50000/s",
    );
    let memory = format!("{:.1} MiB", alice_node.resident().unwrap_or_default() as f64 / 1024.0);
    row("resident memory of the sender after that", memory, String::new(), "");
}

/// Gives a home a history of so many messages, of 200 bytes each, from a peer.
fn fill(home: &Home, peer: &Home, messages: u64) {
    let mut history = own(home).history(key(peer).into()).expect("a history");
    let text = vec![b'y'; 200];
    for batch in 0..messages / 1000 {
        let message = |n| ReceivedMessage { number: batch * 1000 + n, said: 0, text: text.clone() };
        let messages: Vec<_> = (1..=1000).map(message).collect();
        history.store_received(&messages).expect("stored");
    }
}

/// Commands on a history of a million messages.
fn history() {
    const MESSAGES: u64 = 1_000_000;
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &key(&bob).to_string()]);
    fill(&alice, &bob, MESSAGES);
    let bytes = fs::metadata(own(&alice).home().history_path(key(&bob).into())).expect("a history").len();
    let (median, worst) = time(9, || drop(alice.run(&["log", "--limit", "20", "bob"])));
    row("log --limit 20 of a million messages", milliseconds(median), milliseconds(worst), "100 ms");
    let (median, worst) = time(9, || drop(alice.run(&["log", "--since", "1ms", "bob"])));
    row("log --since of a million messages", milliseconds(median), milliseconds(worst), "");
    let (median, _) = time(3, || drop(alice.run(&["log", "--grep", "nowhere", "bob"])));
    let rate = bytes as f64 / 1e6 / median.as_secs_f64();
    row("log --grep of a million messages", format!("{rate:.0} MB/s"), String::new(), "200 MB/s");
    let (median, worst) = time(9, || drop(own(&alice).history(key(&bob).into()).expect("opens")));
    row(
        "opening a history of a million messages, and two commands",
        milliseconds(median),
        milliseconds(worst),
        "100 ms",
    );
}

/// Memory and processor time of a node that has nothing to do, without peers and with many.
fn idle() {
    const PEERS: usize = 24;
    const WATCH: Duration = Duration::from_secs(10);
    let hub = Home::new("hub");
    let node = hub.serve();
    thread::sleep(WATCH / 5);
    let Some(alone) = node.resident() else {
        return println!("no /proc here: memory and processor time are left out");
    };
    row("idle node, resident", format!("{:.1} MiB", alone as f64 / 1024.0), String::new(), "4 MiB");
    let before = node.ticks().unwrap_or_default();
    thread::sleep(WATCH);
    let used = (node.ticks().unwrap_or_default() - before) as f64 / 100.0 / WATCH.as_secs_f64();
    row("idle node, share of a core", format!("{:.2} %", used * 100.0), String::new(), "0.2 %");

    let peers: Vec<(Home, Node)> = (0..PEERS)
        .map(|number| {
            let peer = Home::new(&format!("peer{number}"));
            pair(&hub, &peer);
            let node = peer.serve();
            peer.run(&["say", "--wait", "10s", "hub", "here"]);
            hub.run(&["say", "--wait", "10s", &format!("peer{number}"), "there"]);
            (peer, node)
        })
        .collect();
    thread::sleep(WATCH / 5);
    let crowded = node.resident().unwrap_or_default();
    // Each peer has a connection for either direction.
    let each = crowded.saturating_sub(alone) as f64 / (2 * PEERS) as f64;
    row("per connection, resident", format!("{each:.0} KiB"), String::new(), "100 KiB");
    let before = node.ticks().unwrap_or_default();
    thread::sleep(WATCH);
    let used = (node.ticks().unwrap_or_default() - before) as f64 / 100.0 / WATCH.as_secs_f64();
    row(
        &format!("node with {PEERS} idle peers, share of a core"),
        format!("{:.2} %", used * 100.0),
        String::new(),
        "",
    );
    drop(peers);
}

/// What it costs to ring for a node, and what strangers at its control port cost it.
fn control() {
    const STRANGERS: u32 = 1000;
    const WATCH: Duration = Duration::from_secs(10);
    let alice = Home::new("alice");
    let node = alice.serve();
    let info = node_lock::running(own(&alice).home()).expect("readable").expect("a node");
    let (port, secret) = info.control.expect("a port");
    let opening = [Up::Version(env!("CARGO_PKG_VERSION").into()).encode(), Up::Ring(None).encode()].concat();
    // Calm is below 50 a second.
    let ring = || {
        thread::sleep(Duration::from_millis(25));
        let started = Instant::now();
        drop(loopback::dial(port, &secret, &opening).expect("a node"));
        started.elapsed()
    };
    let (median, worst) = median_and_worst((0..200).map(|_| ring()).collect());
    row("a ring without an open connection", milliseconds(median), milliseconds(worst), "0.15 ms");
    let mut strangers = VecDeque::new();
    let before = node.ticks().unwrap_or_default();
    let started = Instant::now();
    for number in 1..STRANGERS * WATCH.as_secs() as u32 {
        strangers.push_back(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a port"));
        if strangers.len() > 100 {
            strangers.pop_front();
        }
        thread::sleep(
            (started + number * Duration::from_secs(1) / STRANGERS).saturating_duration_since(Instant::now()),
        );
    }
    let used = (node.ticks().unwrap_or_default() - before) as f64 / TICKS / started.elapsed().as_secs_f64();
    row("1000 strangers a second, share of a core", format!("{:.2} %", used * 100.0), String::new(), "2 %");
}
