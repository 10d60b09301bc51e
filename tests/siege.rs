//! A siege: strangers do what they can to keep a node from its friends, who talk all the while. Each message gets through,
//! and the node keeps its memory, whatever the strangers do and however little the system allows.
//!
//! With `EGOAT_TORTURE` set, each attack lasts 30 seconds, and comes from one address, from many and from the friends' own,
//! and each message gets through in time; else it comes from all of them at once, and is short, and how long a message
//! takes is the machine's affair, which may have other things to do.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use common::clock::Clock;
use common::rogue::Rogue;
use common::strangers::{Manner, OTHER, SHARED, Seen, Strangers, connect, many};
use common::{EGOAT, Home, Node, by, count, is_torture, pair, poll_until};
use egoat::crypto::handshake::{Initiator, MESSAGE_2_LEN};
use egoat::crypto::keys::{PublicKey, Seed};
use egoat::wire::message::{Kind, Message, Refusal};
use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// A message gets through within this on a machine that does nothing else.
const IN_TIME: Duration = Duration::from_secs(2);
/// The node keeps within so many KiB of what it had at the start.
const MEMORY: u64 = 64 << 10;
/// Addresses, if there are to be many.
const ADDRESSES: usize = 1000;
const PREAMBLE: [u8; 8] = *b"E-GOAT\x01\x00";

/// The sieges would disturb each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Alice's node, and two who are paired with it: Bob has a node that is connected, Carol dials for each message.
struct Siege {
    alice: Home,
    node: Node,
    bob: Home,
    _bob_node: Node,
    carol: Home,
    said: usize,
    late: usize,
    memory: u64,
    _alone: MutexGuard<'static, ()>,
}

impl Siege {
    fn new() -> Siege {
        Siege::by(|_| Vec::new())
    }

    /// Alice's node runs by the words that are given for her home.
    fn by(words: impl FnOnce(&Home) -> Vec<String>) -> Siege {
        let alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
        let (mut node, bob_node) = (alice.serve(), bob.serve());
        pair(&alice, &bob);
        pair(&alice, &carol);
        node.kill9();
        let words = words(&alice);
        let node = alice.serve_again_by(&words.iter().map(String::as_str).collect::<Vec<_>>(), &node.addr);
        let mut siege = Siege {
            alice,
            node,
            bob,
            _bob_node: bob_node,
            carol,
            said: 0,
            late: 0,
            memory: 0,
            _alone: alone,
        };
        siege.bob.run(&["outbox", "retry"]);
        siege.node.wait_for("connected with bob");
        siege.talk(Duration::ZERO);
        siege.memory = siege.memory_now("VmRSS:");
        siege
    }

    fn memory_now(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.node.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Both friends talk for so long. Each message is in time; but one of all may take a second try, for what else the
    /// machine does.
    fn talk(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            for friend in [&self.bob, &self.carol] {
                let began = Instant::now();
                friend.run(&["say", "--wait", "30s", "alice", &self.said.to_string()]);
                let took = began.elapsed();
                self.said += 1;
                self.late += usize::from(took > IN_TIME);
                let is_in_time = self.late <= 1 && took <= 2 * IN_TIME;
                assert!(is_in_time || !is_torture(), "a message took {took:?}");
            }
            if Instant::now() >= end {
                return;
            }
        }
    }

    /// The strangers have gone, and the node is as it was.
    fn was_withstood(mut self) {
        let most = self.memory_now("VmHWM:");
        assert!(most < self.memory + MEMORY, "{} KiB at the start, and {most} KiB", self.memory);
        poll_until("a place for a newcomer", || self.answers(Ipv4Addr::new(127, 9, 9, 9)).then_some(()));
        self.talk(Duration::ZERO);
        assert!(self.node.is_running());
        let stderr = self.node.kill9();
        assert!(!stderr.contains("panicked"), "{stderr}");
        // Where it was another user's, root has it back: nobody uses a home of others.
        give(self.alice.around(), 0);
        let mut received: Vec<usize> =
            self.alice.received().iter().map(|number| number.parse().unwrap()).collect();
        received.sort_unstable();
        assert!(received.into_iter().eq(0..self.said), "each arrives, and once");
        eprintln!("{} messages, {} late; {} KiB, and {most} KiB at most", self.said, self.late, self.memory);
    }

    /// What the node has used of processors, to a hundredth of a second.
    fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.node.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Whether the node tells its key to somebody there.
    fn answers(&self, there: Ipv4Addr) -> bool {
        let mut stream = connect(there, &self.node.addr).unwrap();
        let mut key = [0; 32];
        stream.write_all(b"E-GOAT\x01\x80").and_then(|()| stream.read_exact(&mut key)).is_ok()
    }

    /// Good or bad beginnings of handshakes.
    fn openings(&self, is_good: bool) -> impl Iterator<Item = Vec<u8>> {
        let key: PublicKey = self.alice.key().parse().unwrap();
        let keys = Seed::generate().static_keys();
        (0..20).map(move |_| {
            let (_, mut first) = Initiator::start(&keys, &key, &PREAMBLE, None).unwrap();
            first[700] ^= u8::from(!is_good);
            [PREAMBLE.as_slice(), &first].concat()
        })
    }
}

/// Where the strangers of each attack come from.
fn fronts() -> Vec<Vec<Ipv4Addr>> {
    if is_torture() {
        return vec![vec![OTHER], many(ADDRESSES), vec![SHARED]];
    }
    vec![many(ADDRESSES).into_iter().flat_map(|address| [OTHER, address, SHARED]).collect()]
}

fn attack_time(seconds: usize) -> Duration {
    Duration::from_secs(count(seconds, 30) as u64)
}

/// A thousand for each of so many crowds, or as many as this process may have.
fn sockets(crowds: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let files: usize = files.split_whitespace().nth(3).unwrap().parse().unwrap();
    (files.saturating_sub(200) / crowds).min(1000)
}

fn leave(strangers: impl IntoIterator<Item = Strangers>) -> Vec<Seen> {
    strangers.into_iter().map(Strangers::leave).collect()
}

#[test]
fn thousands_of_sockets_that_say_little_or_nothing() {
    let each = sockets(3);
    for front in fronts() {
        let mut siege = Siege::new();
        let manners = [Manner::Trickling, Manner::Silent, Manner::Fleeting];
        let crowds = manners.map(|manner| Strangers::crowd(&siege.node.addr, &front, each, manner));
        siege.talk(attack_time(6));
        let seen = leave(crowds);
        // Those whom the system's own queue has no place for come late.
        assert!(seen.iter().all(|crowd| crowd.connected >= each && crowd.heard == 0), "{seen:?}");
        siege.was_withstood();
    }
}

#[test]
fn floods_of_first_messages() {
    for front in fronts() {
        for kinds in if is_torture() { vec![vec![false], vec![true]] } else { vec![vec![false, true]] } {
            let mut siege = Siege::new();
            let openings: Vec<Vec<u8>> = kinds.iter().flat_map(|is_good| siege.openings(*is_good)).collect();
            let flood = Strangers::flood(&siege.node.addr, &front, &openings);
            siege.talk(attack_time(5));
            let seen = flood.leave();
            // What was not good is not answered.
            assert!(seen.connected > 100 && (seen.heard > 0) == kinds.contains(&true), "{seen:?}");
            siege.was_withstood();
        }
    }
}

/// A recording is answered once, wherever it comes from, and costs little after that.
#[test]
fn recorded_first_messages_that_are_sent_again() {
    let mut siege = Siege::new();
    let recorded: Vec<Vec<u8>> = siege.openings(true).take(2).collect();
    let (began, before) = (Instant::now(), siege.processor_time());
    let flood = Strangers::flood(&siege.node.addr, &[SHARED], &recorded);
    siege.talk(attack_time(5));
    let seen = flood.leave();
    let (took, used) = (began.elapsed(), siege.processor_time() - before);
    eprintln!("{} connections in {took:?} cost {used:?}", seen.connected);
    assert!(seen.connected > 500 && seen.heard <= recorded.len() * MESSAGE_2_LEN, "{seen:?}");
    siege.was_withstood();
}

/// Ends threads also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A blocked peer at the friends' address proves its key again and again, and is refused.
#[test]
fn a_blocked_neighbour_who_does_whole_handshakes() {
    let mut siege = Siege::new();
    let mallory = Rogue::new(66);
    siege.alice.run(&["peers", "add", "mallory", &mallory.key()]);
    siege.alice.run(&["peers", "set", "mallory", "blocked"]);
    let (key, addr, stop) = (siege.alice.key(), siege.node.addr.clone(), AtomicBool::new(false));
    let refused = AtomicUsize::new(0);
    let come = || {
        let Some(mut line) = mallory.try_dial(&addr, &key, Kind::Push, None) else { return };
        line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
        let kinds = line.expect_end();
        refused.fetch_add(usize::from(kinds == [Message::Refused(Refusal::Blocked).kind()]), Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    come();
                }
            });
        }
        let _end = StopOnDrop(&stop);
        for _ in 0..12 {
            // It dials for each, and has the same address.
            siege.carol.run(&["say", "--wait", "10s", "alice", &siege.said.to_string()]);
            siege.said += 1;
        }
    });
    assert!(refused.load(Relaxed) > 50, "{refused:?}");
    eprintln!("{refused:?} refused");
    siege.was_withstood();
}

#[test]
fn a_newcomer_among_many_who_say_nothing() {
    let siege = Siege::new();
    let crowd = Strangers::crowd(&siege.node.addr, &many(ADDRESSES), sockets(1), Manner::Silent);
    let open_files = || fs::read_dir(format!("/proc/{}/fd", siege.node.child.id())).unwrap().count();
    poll_until("the 48 places to be taken", || (open_files() > 48).then_some(()));
    // As often as egoat dials a node that is busy, each from an address of its own.
    let is_answered = |host: u8| {
        [0, 100, 200, 400, 800].into_iter().any(|pause| {
            thread::sleep(Duration::from_millis(pause));
            siege.answers(Ipv4Addr::new(127, 9, 9, host))
        })
    };
    let answered = (1..=20).filter(|host| is_answered(*host)).count();
    eprintln!("{answered} of 20 newcomers were answered");
    assert!(answered >= 8, "{answered} of 20 newcomers were answered");
    crowd.leave();
    siege.was_withstood();
}

/// Strangers take all that the system gives the node, and go.
fn drain(mut siege: Siege) {
    // Those at the friends' own address could take what is left of so little.
    let front: Vec<Ipv4Addr> = many(ADDRESSES).into_iter().flat_map(|address| [OTHER, address]).collect();
    let manners = [Manner::Trickling, Manner::Silent];
    let crowds = manners.map(|manner| Strangers::crowd(&siege.node.addr, &front, sockets(2), manner));
    siege.talk(attack_time(5));
    leave(crowds);
    siege.was_withstood();
}

fn drain_within(limit: &str) {
    let run = format!("ulimit {limit}; exec \"$0\" \"$@\"");
    drain(Siege::by(|_| ["sh", "-c", &run].map(str::to_owned).to_vec()));
}

#[test]
fn a_process_that_may_open_few_files() {
    drain_within("-n 64");
}

/// KiB of address space, of which the program without optimisation takes half.
#[test]
fn a_process_that_may_have_little_memory() {
    drain_within("-v 27000");
}

/// A limit on processes counts those of a user, and does not hold for root: the node is another user's.
#[test]
fn a_user_who_may_have_few_threads() {
    let user = 61_000 + std::process::id() % 1000;
    let threads = 16;
    let id = format!("--reuid={user} --regid={user} --clear-groups");
    let setpriv = format!("prlimit --nproc={threads}:{threads} setpriv {id}");
    let words = || setpriv.split(' ').collect::<Vec<_>>();
    if !by(&words(), &Command::new("true")).status().is_ok_and(|status| status.success()) {
        common::skip("another user's processes cannot be started here");
        return;
    }
    drain(Siege::by(|home| {
        let program = home.path("program");
        fs::copy(EGOAT, &program).unwrap();
        give(home.around(), user);
        let run = format!("exec '{}' \"$@\"", program.display());
        words().into_iter().chain(["sh", "-c", &run]).map(str::to_owned).collect()
    }));
}

/// Makes all that is there a user's.
fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), user));
    }
}

#[test]
fn a_clock_that_jumps_a_day_either_way() {
    let dir = tempfile::tempdir().unwrap();
    let Some(clock) = Clock::new(dir.path().join("clock")) else {
        common::skip("faketime is missing");
        return;
    };
    let mut siege = Siege::by(|_| clock.words.clone());
    let crowd = Strangers::crowd(&siege.node.addr, &fronts().concat(), 100, Manner::Silent);
    let link = siege.alice.run(&["invite", "--ttl", "20h"]);
    let dora = Home::new("dora");
    let jumps = ["+0", "+1d", "-1d", "+1d", "+0"];
    for jump in jumps {
        clock.jump(jump);
        siege.talk(attack_time(1) / 2);
        // Numbers go on rising, and nothing is stored twice.
        clock.run(&siege.alice, &["say", "--wait", "30s", "bob", &format!("at {jump}")]);
        if jump == "+1d" {
            assert!(dora.fails(&["join", link.trim_end()], 77).contains("the invite has expired"));
        }
    }
    dora.run(&["join", link.trim_end()]);
    crowd.leave();
    assert_eq!(siege.bob.received(), jumps.map(|jump| format!("at {jump}")));
    siege.was_withstood();
}
