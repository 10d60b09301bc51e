//! How often a command waits for the other end: on a way around the world, that is what its user waits for.

use crate::common;

use common::Home;
use common::far::FarWay;
use common::route::fast_dir;

/// A command that waits takes one more each time. One that does not may be slow for once, and end after the answer.
const TRIES: usize = 10;

/// To connect, to shake hands, and to hear that it is stored: what is to be stored goes with the third message of the
/// handshake, and nobody waits after the answer.
#[test]
fn a_message_and_a_small_file_take_three_round_trips_to_a_node() {
    let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
    let node = bob.serve();
    let far = FarWay::before(&node.addr);
    alice.run(&["peers", "add", "bob", &bob.key(), &far.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let file = alice.file("small", [7; 1 << 10]);
    for args in [&["say", "--wait", "30s", "bob", "hello"][..], &["send", "bob", &file]] {
        let mut trips = Vec::new();
        while trips.len() < TRIES && trips.last() != Some(&3) {
            far.take_trips();
            alice.run(args);
            trips.push(far.take_trips());
        }
        assert_eq!(trips.iter().min(), Some(&3), "{args:?}: {trips:?}");
    }
}
