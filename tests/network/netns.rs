//! A machine that changes its network: a peer that could not be reached is tried at once, and not when the back-off is
//! over, and a connection that goes out from an address that is gone is given up at once.

use crate::common;
use crate::wire::{Wire, serve_in};

use common::{Home, poll_until};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds to the next try: more than the 5 between two looks at the network, and less than the 12 of the shortest pause
/// after four tries.
const FAR: u64 = 10;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// When the node means to try again, in seconds of Unix time.
fn next_try(home: &Home) -> Option<u64> {
    let json = home.run(&["--json", "outbox"]);
    let digits = json.split("\"next\":").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<u64>().ok().map(|micros| micros / 1_000_000)
}

#[test]
#[ignore = "make check-net"]
fn a_new_network_is_tried_at_once() {
    let Some(wire) = Wire::lay() else { return };
    let (alice, _bob, mut bob_node) = wire.peers();
    let _alice_node = serve_in(&wire.alice, &alice, "127.0.0.1:0");
    alice.run(&["say", "bob", "across"]);
    let next = poll_until("a long back-off", || next_try(&alice).filter(|next| *next > now() + FAR));
    wire.alice("addr add 10.99.0.1/24 dev va");
    wire.alice("route add default via 10.99.0.2");
    bob_node.wait_for("message from alice: across");
    assert!(now() + 1 < next, "it came with the next try, not with the network");
}

/// Nobody is told that the address is gone: TCP would try for minutes, and the node for one.
#[test]
#[ignore = "make check-net"]
fn a_connection_whose_own_address_is_gone_is_made_anew() {
    let Some(wire) = Wire::lay() else { return };
    wire.alice("addr add 10.99.0.1/24 dev va");
    let (alice, _bob, mut bob_node) = wire.peers();
    let mut alice_node = serve_in(&wire.alice, &alice, "0.0.0.0:0");
    alice.run(&["say", "bob", "before"]);
    bob_node.wait_for("message from alice: before");
    alice_node.wait_for("delivered 1 to bob");

    wire.alice("addr del 10.99.0.1/24 dev va");
    wire.alice("addr add 10.99.0.7/24 dev va");
    let changed = Instant::now();
    alice.fails(&["say", "--wait", "0s", "bob", "after"], 75);
    bob_node.wait_for("message from alice: after");
    assert!(changed.elapsed() < Duration::from_secs(12), "{:?}", changed.elapsed());
}

/// The same for files, by a process without a node.
#[test]
#[ignore = "make check-net"]
fn a_transfer_whose_own_address_is_gone_goes_on_from_another() {
    // 2 MB take 16 s.
    let Some(wire) = Wire::limited("1mbit", 1600) else { return };
    let (alice, bob, _bob_node) = wire.peers();
    let content = common::files::sample(2_000_000);
    let file = alice.file("file.bin", &content);
    let mut send = common::Process::start(wire.cmd(&alice, &["send", "--wait", "60s", "bob", &file]));
    let landing = bob.path("downloads/alice");
    let chunks =
        || common::files::staged_in(&landing).iter().map(|one| common::files::chunks_in(one)).sum::<usize>();
    poll_until("a chunk", || (chunks() > 0).then_some(()));

    wire.alice("addr del 10.99.0.1/24 dev va");
    wire.alice("addr add 10.99.0.7/24 dev va");
    let changed = Instant::now();
    let (code, _, said) = send.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(changed.elapsed() < Duration::from_secs(28), "{:?}", changed.elapsed());
    assert!(std::fs::read(landing.join("file.bin")).unwrap() == content);
}
