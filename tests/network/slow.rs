//! Slow paths, and one that drops large packets: what arrives a byte at a time arrives, and what cannot arrive is told.

use crate::common;
use crate::wire::{Wire, serve_in};

use common::files::{chunks_in, sample, staged_in};
use common::{Process, finish, poll_until};
use std::fs;
use std::time::{Duration, Instant};

/// Longer than the longest packet: 1500 bytes, and the 14 of Ethernet.
const ANY: u32 = 1600;

/// A packet radio, or a telephone where the mast is far away. The long message takes two minutes on it, and no answer can
/// come before its end.
#[test]
#[ignore = "make check-net"]
fn a_long_message_and_the_one_after_it_pass_7_kbit_a_second() {
    let Some(wire) = Wire::limited("7kbit", ANY) else { return };
    let (alice, bob, mut bob_node) = wire.peers();
    let _alice_node = serve_in(&wire.alice, &alice, "10.99.0.1:0");
    let long = "0123456789".repeat(10_000);
    alice.ends_with(&["say", "--wait", "0s", "bob"], long.as_bytes(), 75);
    alice.fails(&["say", "--wait", "0s", "bob", "short"], 75);
    let begun = Instant::now();
    while bob.received().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(300), "{:?}", bob_node.said());
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(bob.received() == [long, "short".into()]);
    assert!(bob_node.is_running());
}

#[test]
#[ignore = "make check-net"]
fn a_file_gets_most_of_32_kbit_a_second() {
    let Some(wire) = Wire::limited("32kbit", ANY) else { return };
    let (alice, bob, _bob_node) = wire.peers();
    let content = sample(200_000);
    let file = alice.file("file.bin", &content);
    let begun = Instant::now();
    let sent = wire.cmd(&alice, &["send", "bob", &file]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    // 200 kB are 50 s of the whole rate.
    assert!(begun.elapsed() < Duration::from_secs(50 * 10 / 6), "{:?}", begun.elapsed());
    assert!(fs::read(bob.path("downloads/alice/file.bin")).unwrap() == content);
}

/// Several connections would share the path, and none would bring a chunk for minutes.
#[test]
#[ignore = "make check-net"]
fn a_slow_path_carries_a_large_file_by_one_connection() {
    let Some(wire) = Wire::limited("128kbit", ANY) else { return };
    let (alice, bob, _bob_node) = wire.peers();
    let file = alice.file("file.bin", sample(20 << 20));
    let mut send = Process::start(wire.cmd(&alice, &["send", "--streams", "4", "bob", &file]));
    let landing = bob.path("downloads/alice");
    // 480 KiB take 31 s.
    poll_until("two chunks", || {
        let chunks: usize = staged_in(&landing).iter().map(|staging| chunks_in(staging)).sum();
        assert!(wire.connections() <= 1, "a lane");
        (chunks >= 2).then_some(())
    });
    send.kill9();
}

const MTU: &str = "the path drops large packets (MTU)";

/// Not even the handshake passes, while connecting does, and so does asking for the key.
#[test]
#[ignore = "make check-net"]
fn a_path_that_drops_the_handshake_is_told_as_that() {
    let Some(wire) = Wire::limited("100mbit", 1200) else { return };
    let (alice, _bob, _bob_node) = wire.peers();
    let (_, said) = finish(wire.cmd(&alice, &["send", "bob", &alice.file("a", "a")]), b"", 69);
    assert!(
        said.contains(MTU) && said.contains("hint: give the interface, or the VPN, a smaller MTU"),
        "{said}"
    );
}

/// The handshake passes, with packets of up to 1311 bytes, and nothing longer.
#[test]
#[ignore = "make check-net"]
fn a_path_that_drops_full_packets_is_told_as_that() {
    let Some(wire) = Wire::limited("100mbit", 1400) else { return };
    let (alice, _bob, _bob_node) = wire.peers();
    let file = alice.file("file.bin", sample(100_000));
    let (_, said) = finish(wire.cmd(&alice, &["send", "bob", &file]), b"", 69);
    assert!(said.contains(MTU), "{said}");
    // A node says so, too. Bob cannot dial it: over a connection that he has made, she could not tell.
    let alice_node = serve_in(&wire.alice, &alice, "127.0.0.1:0");
    alice.ends_with(&["say", "--wait", "0s", "bob"], "0123456789".repeat(10_000).as_bytes(), 75);
    let begun = Instant::now();
    while !alice_node.said().contains(MTU) {
        assert!(begun.elapsed() < Duration::from_secs(120), "{}", alice_node.said());
        std::thread::sleep(Duration::from_millis(500));
    }
}
