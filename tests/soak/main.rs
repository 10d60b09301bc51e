//! A soak: four nodes, random commands on their homes, nodes and commands that are killed or stopped at any moment, and a
//! network that cuts, stalls and hangs connections anywhere. Then everything is well again, and in the end the homes must
//! bear out what the commands were told: see `ledger.rs`.
//!
//! `make soak` does that for 20 minutes, or for EGOAT_SOAK seconds; as a test of all it is short. EGOAT_SEED repeats the
//! decisions of a run, though not the moments at which they fall.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use common::{Random, json};
use ledger::Fate;
use world::{NAMES, World};

/// Threads that run commands on each home.
const WORKERS: usize = 2;
/// What waits must be gone this long after all is well: a node that hears nothing closes a connection after a minute.
const SETTLING: Duration = Duration::from_secs(180);

#[test]
fn nothing_that_was_acknowledged_is_lost_or_doubled() {
    let given = std::env::var("EGOAT_SOAK").ok().map(|seconds| seconds.parse().unwrap());
    let usual = given.map_or(1, |_| std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64);
    let mut random = Random::seeded(usual);
    let world = World::new(&mut random);
    let end = Instant::now() + Duration::from_secs(given.unwrap_or(20));
    thread::scope(|scope| {
        let lives: Vec<_> = (0..NAMES.len())
            .map(|which| {
                let mut own = Random(random.next());
                let world = &world;
                scope.spawn(move || world.disturb(which, &mut own, end))
            })
            .collect();
        for which in 0..NAMES.len() {
            let mut own = Random(random.next());
            let world = &world;
            scope.spawn(move || worker::read(world, which, &mut own, end));
            for thread in which * WORKERS..(which + 1) * WORKERS {
                let mut own = Random(random.next());
                scope.spawn(move || worker::work(world, which, thread, &mut own, end));
            }
        }
        // Once the nodes are left alone, the network is, too, and the last commands end.
        lives.into_iter().for_each(|life| life.join().unwrap());
        world.heal();
    });
    settle(&world);
    report(&world);
    let ledger = world.ledger.lock().unwrap();
    ledger.faults(&world.members).into_iter().for_each(|fault| world.fault(fault));
    world.end();
    let faults = world.faults.lock().unwrap();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Waits until no outbox has anything any more, and the hooks have heard everything.
fn settle(world: &World) {
    // Whatever pauses the nodes are in: they dial at once when there is something to say.
    for (from, member) in world.members.iter().enumerate().rev() {
        for to in (0..NAMES.len()).filter(|to| *to != from) {
            worker::say_last(world, from, to);
        }
        member.home.run(&["outbox", "retry"]);
    }
    let deadline = Instant::now() + SETTLING;
    for member in &world.members {
        loop {
            let left = member.home.run(&["--json", "outbox"]);
            if left.is_empty() && ledger::has_heard_all(member) {
                break;
            }
            let is_late = Instant::now() >= deadline;
            assert!(!is_late, "{} has heard {:?}; it still has {left}", member.name, member.heard());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

fn report(world: &World) {
    let ledger = world.ledger.lock().unwrap();
    let count = |fates: &mut dyn Iterator<Item = Fate>| {
        let mut counts = BTreeMap::<Fate, usize>::new();
        fates.for_each(|fate| *counts.entry(fate).or_default() += 1);
        counts
    };
    eprintln!("messages: {:?}", count(&mut ledger.said.iter().map(|said| said.fate)));
    eprintln!("files: {:?}", count(&mut ledger.sent.iter().map(|sent| sent.fate)));
    for event in ["received", "cancelled", "expired", "file-received"] {
        let logs = world.members.iter().map(|member| member.home.run(&["--json", "log"]));
        let events = logs.flat_map(|log| log.lines().map(json::object).collect::<Vec<_>>());
        eprintln!("{event}: {}", events.filter(|one| one["event"] == event).count());
    }
    for member in &world.members {
        let connections = member.proxy.connections();
        let cut = connections.iter().filter(|connection| connection.was_cut()).count();
        eprintln!(
            "{}: {} connections, {cut} cut where it was planned; {}",
            member.name,
            connections.len(),
            member.use_of_system()
        );
    }
    let counts = world.counts.lock().unwrap();
    counts.iter().for_each(|(what, count)| eprintln!("{count:6} {what}"));
}
