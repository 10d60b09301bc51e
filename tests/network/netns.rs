//! Two machines, as network namespaces that the test makes itself: a peer that could not be reached is tried at once when
//! this machine gets into a network, and not when its back-off is over.

use crate::common;

use common::{Home, Process, poll_until};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds to the next try: more than the 5 between two looks at the network, and less than the 12 of the shortest pause
/// after four tries.
const FAR: u64 = 10;

fn ip(arguments: &str) -> bool {
    let ran = Command::new("ip").args(arguments.split(' ')).output();
    ran.is_ok_and(|ran| ran.status.success())
}

/// Two namespaces with a wire between them; Bob's end has an address.
struct Wire {
    alice: String,
    bob: String,
}

impl Wire {
    fn lay() -> Option<Wire> {
        let name = |who: &str| format!("egoat-{who}-{}", std::process::id());
        let wire = Wire { alice: name("a"), bob: name("b") };
        let Wire { alice, bob } = &wire;
        let steps = [
            format!("netns add {alice}"),
            format!("netns add {bob}"),
            format!("link add va netns {alice} type veth peer name vb netns {bob}"),
            format!("-n {alice} link set lo up"),
            format!("-n {alice} link set va up"),
            format!("-n {bob} link set lo up"),
            format!("-n {bob} link set vb up"),
            format!("-n {bob} addr add 10.99.0.2/24 dev vb"),
        ];
        steps.iter().all(|step| ip(step)).then_some(wire)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.alice));
        ip(&format!("netns del {}", self.bob));
    }
}

fn serve_in(namespace: &str, home: &Home, listen: &str) -> Process {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_egoat"), "--home"]);
    command.arg(home.path("")).args(["serve", "--show-text", "--listen", listen]);
    let mut node = Process::start(command);
    node.wait_for("listening on ");
    node
}

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
    let Some(wire) = Wire::lay() else {
        crate::common::skip("network namespaces cannot be made here");
        return;
    };
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key(), "10.99.0.2:4701"]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let mut bob_node = serve_in(&wire.bob, &bob, "10.99.0.2:4701");
    let _alice_node = serve_in(&wire.alice, &alice, "127.0.0.1:0");
    alice.run(&["say", "bob", "across"]);
    let next = poll_until("a long back-off", || next_try(&alice).filter(|next| *next > now() + FAR));
    assert!(ip(&format!("-n {} addr add 10.99.0.1/24 dev va", wire.alice)));
    assert!(ip(&format!("-n {} route add default via 10.99.0.2", wire.alice)));
    bob_node.wait_for("message from alice: across");
    assert!(now() + 1 < next, "it came with the next try, not with the network");
}
