//! Messages through a network that cuts connections at every byte, stalls, splits and delays: nothing is lost, doubled
//! or out of order, and nothing is reported delivered that is not. With EGOAT_TORTURE every byte has its turn.

use crate::common;

use common::proxy::{How, Plan, Proxy, Way};
use common::{Home, Node, Process, Random, count, is_torture, poll_until};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Messages of one flow.
const FLOW: usize = 3;
/// A node that listens here cannot be dialled at the address that its connections come from: it stays where the proxy
/// is the only way to it.
const ELSEWHERE: &str = "[::1]:0";

/// Bytes of a handshake and what opens a flow, each way, at most.
const HANDSHAKE: u64 = 1_500;

/// Of one length, so that every flow has the same bytes.
fn text(number: usize) -> String {
    format!("message {number:06}")
}

/// Whether `part` is how `all` begins.
fn begins(all: &[String], part: &[String]) -> bool {
    all.starts_with(part)
}

/// Sets the only peer of a home.
fn know(home: &Home, name: &str, peer: &Home, addr: &str) {
    std::fs::write(home.path("peers"), format!("{name} {} {addr}\n", peer.key())).unwrap();
}

/// Every position of both directions, those of `worker` among `workers`, with a stride that leaves about `most` of them.
/// The directions take turns.
fn positions([to_node, to_dialler]: [u64; 2], most: u64, worker: u64, workers: u64) -> Vec<(Way, u64)> {
    let stride = if is_torture() { 1 } else { (to_node + to_dialler).div_ceil(most) };
    // Not the same ones in each run: the stride begins elsewhere.
    let first = u64::from(std::process::id()) % stride + worker * stride;
    (first..=to_node.max(to_dialler))
        .step_by((stride * workers) as usize)
        .flat_map(|at| [(Way::ToNode, at), (Way::ToDialler, at)])
        .filter(|(way, at)| *at <= [to_node, to_dialler][*way as usize])
        .collect()
}

fn how(number: usize) -> How {
    [How::Cut, How::Stall][number / 2 % 2]
}

/// Alice has no node, and dials Bob's through the proxy each time she says something.
struct Push {
    alice: Home,
    bob: Home,
    _bob_node: Node,
    proxy: Proxy,
    said: Vec<String>,
}

impl Push {
    fn new() -> Push {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        know(&bob, "alice", &alice, "-");
        let bob_node = bob.serve();
        let proxy = Proxy::before(&bob_node.addr);
        Push { alice, bob, _bob_node: bob_node, proxy, said: Vec::new() }
    }

    /// Says one more; whether it is reported as delivered.
    fn say(&mut self) -> bool {
        let text = text(self.said.len());
        let (_, told) = self.alice.ends_with(&["say", "bob", &text], b"", 0);
        self.said.push(text);
        assert!(told.contains("delivered to bob") != told.contains("queued for bob"), "{told}");
        told.contains("delivered to bob")
    }

    /// Says [`FLOW`] messages that go out on one connection, the first of those to come; whether they were delivered.
    fn flow(&mut self, plan: Plan) -> bool {
        know(&self.alice, "bob", &self.bob, "-");
        (1..FLOW).for_each(|_| assert!(!self.say()));
        know(&self.alice, "bob", &self.bob, &self.proxy.addr);
        self.proxy.plan_next(plan);
        self.say()
    }

    fn try_at(&mut self, plan: Plan) {
        let is_delivered = self.flow(plan);
        let (delivered, received) = (self.alice.delivered(), self.bob.received());
        assert!(begins(&self.said, &received), "{plan:?}: {received:?}");
        assert!(begins(&received, &delivered), "{plan:?}: {delivered:?} are not in {received:?}");
        assert!(!is_delivered || received.len() == self.said.len(), "{plan:?}: reported, and not there");
        assert!(self.say(), "{plan:?}: the way is free");
        assert_eq!((self.bob.received(), self.alice.delivered()), (self.said.clone(), self.said.clone()));
    }
}

#[test]
fn a_push_survives_a_cut_at_any_byte() {
    let mut first = Push::new();
    assert!(first.flow(Plan::default()));
    let passed = first.proxy.connections()[0].passed();
    println!("bytes to the node and to the dialler: {passed:?}");
    let workers = 3;
    thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || {
                let mut push = Push::new();
                for (number, (way, at)) in positions(passed, 90, worker, workers).into_iter().enumerate() {
                    // Histories that are read at each position are kept short.
                    if number % 100 == 99 {
                        push = Push::new();
                    }
                    push.try_at(Plan::cut(way, at, how(number)));
                }
            });
        }
    });
}

/// Alice's node waits for Bob's, which dials twice through the proxy: to push, where nothing happens, and to pull.
struct Pull {
    alice: Home,
    bob: Home,
    _nodes: [Node; 2],
    chat: Process,
    proxy: Proxy,
    said: Vec<String>,
}

impl Pull {
    fn new() -> Pull {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        know(&alice, "bob", &bob, "-");
        let alice_node = alice.serve();
        let proxy = Proxy::before(&alice_node.addr);
        know(&bob, "alice", &alice, &proxy.addr);
        let bob_node = bob.serve_with(&["--listen", ELSEWHERE]);
        let chat = Process::start(alice.cmd(&["chat", "bob"]));
        Pull { alice, bob, _nodes: [alice_node, bob_node], chat, proxy, said: Vec::new() }
    }

    /// Ends the connection that pulls, says [`FLOW`] messages, and waits until the next connection, which has `plan`, is
    /// cut or has delivered them all.
    fn flow(&mut self, plan: Plan) -> [u64; 2] {
        poll_until("both connections", || (self.proxy.connections().len() >= 2).then_some(()));
        let old = self.proxy.connections().len();
        self.proxy.cut_and_plan(1, plan);
        say_lines(&mut self.chat, &mut self.said, (0..FLOW).map(|_| String::new()));
        let mut looked = Instant::now();
        poll_until("the connection to be cut, or the messages to be delivered", || {
            let connection = self.proxy.connections().get(old)?.clone();
            let is_over = connection.is_over() || {
                let looks = looked.elapsed() > Duration::from_millis(100);
                looks && {
                    looked = Instant::now();
                    self.is_all_delivered()
                }
            };
            is_over.then(|| connection.passed())
        })
    }

    fn is_all_delivered(&self) -> bool {
        self.alice.delivered().len() == self.said.len()
    }

    fn try_at(&mut self, plan: Plan) {
        self.flow(plan);
        check_beginnings(&self.alice, &self.bob, &self.said, plan);
    }

    fn check_all(&self) {
        poll_until("the rest to be delivered", || self.is_all_delivered().then_some(()));
        assert_eq!((self.bob.received(), self.alice.delivered()), (self.said.clone(), self.said.clone()));
    }
}

/// Types lines into a chat: a number and the padding of each.
fn say_lines(chat: &mut Process, said: &mut Vec<String>, paddings: impl Iterator<Item = String>) {
    let from = said.len();
    paddings.for_each(|padding| said.push(text(said.len()) + &padding));
    chat.write((said[from..].join("\n") + "\n").as_bytes());
}

fn check_beginnings(alice: &Home, bob: &Home, said: &[String], context: impl std::fmt::Debug) {
    // In this order: what is delivered was received before.
    let (delivered, received) = (alice.delivered(), bob.received());
    assert!(begins(&received, &delivered), "{context:?}: {delivered:?} are not in {received:?}");
    assert!(begins(said, &received), "{context:?}: {received:?}");
}

#[test]
fn a_pull_survives_a_cut_at_any_byte() {
    let mut first = Pull::new();
    let passed = first.flow(Plan::default());
    println!("bytes to the node and to the dialler: {passed:?}");
    // They wait most of the time: a pull that was cut is dialled again after a second.
    let workers = count(8, 24) as u64;
    thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || {
                let mut pull = Pull::new();
                for (number, (way, at)) in positions(passed, 32, worker, workers).into_iter().enumerate() {
                    if number % 100 == 99 {
                        pull = Pull::new();
                    }
                    pull.try_at(Plan::cut(way, at, how(number)));
                    // Most cuts of what the node says make a dial fail, and pauses grow until one succeeds.
                    if way == Way::ToDialler {
                        pull.check_all();
                    }
                }
                pull.check_all();
            });
        }
    });
}

#[test]
fn a_flow_arrives_byte_by_byte() {
    let mut push = Push::new();
    let plan = Plan { segment: 1, ..Plan::default() };
    assert!(push.flow(plan));
    assert_eq!((push.bob.received(), push.alice.delivered()), (push.said.clone(), push.said.clone()));
    let mut pull = Pull::new();
    pull.flow(plan);
    pull.check_all();
}

/// The dialler's end is closed, and what it had sent reaches the node while, or after, it sends the same again.
#[test]
fn what_an_old_connection_brings_late_changes_nothing() {
    let mut push = Push::new();
    assert!(push.flow(Plan::default()));
    let [to_node, _] = push.proxy.connections()[0].passed();
    // In the record of the messages, or somewhat before: the goodbye behind it has 23 bytes.
    let first = to_node - 200;
    let mut random = Random::seeded(3);
    for round in 0..count(12, 200) {
        push.proxy.hold();
        let at = first + random.below(175) as u64;
        assert!(!push.flow(Plan::cut(Way::ToNode, at, How::Late)));
        if round % 2 == 0 {
            assert!(push.say());
            push.proxy.release();
        } else {
            thread::scope(|scope| {
                scope.spawn(|| push.proxy.release());
                let text = text(push.said.len());
                let (_, told) = push.alice.ends_with(&["say", "bob", &text], b"", 0);
                assert!(told.contains("delivered to bob"), "{told}");
            });
            push.said.push(text(push.said.len()));
        }
        let old = push.proxy.connections();
        poll_until("the old connections to end", || old.iter().all(|old| old.is_over()).then_some(()));
        assert!(push.say());
        assert_eq!((push.bob.received(), push.alice.delivered()), (push.said.clone(), push.said.clone()));
    }
}

/// Two nodes, and cuts and splits at random while messages of all lengths flow.
fn at_random(
    mut chat: Process,
    alice: &Home,
    bob: &Home,
    proxy: &Proxy,
    kept: usize,
    rounds: usize,
    mut random: Random,
) {
    let plans = Arc::new(Mutex::new(Random(random.next())));
    let cuts = Arc::new(AtomicU64::new(0));
    let (theirs, counted) = (Arc::clone(&plans), Arc::clone(&cuts));
    let (mut made, mut has_failed) = (0, false);
    proxy.plan(move || {
        let mut random = theirs.lock().unwrap();
        made += 1;
        let (way, limit) = random.pick(&[
            (Way::ToNode, 4_000),
            (Way::ToNode, 300_000),
            (Way::ToDialler, 1_500),
            (Way::ToDialler, 3_000),
        ]);
        let mut at = random.below(limit) as u64;
        // One handshake that fails after another is dialled again later and later.
        if has_failed {
            at += HANDSHAKE;
        }
        let is_cut = random.below(5) > 0;
        has_failed = is_cut && at < HANDSHAKE;
        counted.fetch_add(u64::from(is_cut), Ordering::Relaxed);
        Plan {
            cut: is_cut.then(|| (way, at, how(made))),
            segment: random.pick(&[0, 1, 7, 100, 5_000]),
            seed: random.next(),
        }
    });
    proxy.cut(kept);
    let mut said = Vec::new();
    for _ in 0..rounds {
        let connections = proxy.connections().len();
        let lengths: Vec<usize> = (0..1 + random.below(5))
            .map(|_| {
                let longest = random.pick(&[20, 2_000, 2_000, 100_000]);
                random.below(longest)
            })
            .collect();
        say_lines(&mut chat, &mut said, lengths.into_iter().map(|length| "x".repeat(length)));
        let started = Instant::now();
        let mut looked = started;
        poll_until("the flow to go on", || {
            let mut goes_on = proxy.connections().len() > connections;
            if looked.elapsed() > Duration::from_millis(100) {
                looked = Instant::now();
                goes_on |=
                    alice.delivered().len() == said.len() || started.elapsed() > Duration::from_secs(4);
            }
            goes_on.then_some(())
        });
        if random.below(2) == 0 {
            proxy.cut(kept);
        }
        check_beginnings(alice, bob, &said, "at random");
    }
    println!("{} messages, {} connections to cut", said.len(), cuts.load(Ordering::Relaxed));
    proxy.plan(Plan::default);
    proxy.cut(kept);
    poll_until("all to be delivered", || (alice.delivered().len() == said.len()).then_some(()));
    assert!(bob.received() == said && alice.delivered() == said, "{:?}", bob.received());
}

#[test]
fn a_push_survives_cuts_and_splits_at_random() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    know(&bob, "alice", &alice, "-");
    let bob_node = bob.serve();
    let proxy = Proxy::before(&bob_node.addr);
    know(&alice, "bob", &bob, &proxy.addr);
    let _alice_node = alice.serve_with(&["--listen", ELSEWHERE]);
    let chat = Process::start(alice.cmd(&["chat", "bob"]));
    at_random(chat, &alice, &bob, &proxy, 0, count(25, 200), Random::seeded(1));
}

#[test]
fn a_pull_survives_cuts_and_splits_at_random() {
    let pull = Pull::new();
    poll_until("both connections", || (pull.proxy.connections().len() >= 2).then_some(()));
    at_random(pull.chat, &pull.alice, &pull.bob, &pull.proxy, 1, count(6, 200), Random::seeded(2));
}
