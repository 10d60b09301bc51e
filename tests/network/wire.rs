//! Two machines, as network namespaces that the test makes itself, and a wire between them that can be slow or drop large
//! packets. They are Alice's, at 10.99.0.1, and Bob's, at 10.99.0.2, where his node listens.

use crate::common::{EGOAT, Home, Process};

use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where Bob's node listens.
pub const BOB: &str = "10.99.0.2:4701";

/// Tells the wires of one process apart.
static LAID: AtomicU32 = AtomicU32::new(0);

pub struct Wire {
    pub alice: String,
    pub bob: String,
}

impl Wire {
    /// A wire of which Bob's end has an address; where none can be laid, the test says that it is skipped.
    pub fn lay() -> Option<Wire> {
        let number = LAID.fetch_add(1, Ordering::Relaxed);
        let name = |who: &str| format!("egoat-{who}-{}-{number}", std::process::id());
        let wire = Wire { alice: name("a"), bob: name("b") };
        let Wire { alice, bob } = &wire;
        let steps = [
            format!("ip netns add {alice}"),
            format!("ip netns add {bob}"),
            format!("ip link add va netns {alice} type veth peer name vb netns {bob}"),
            format!("ip -n {alice} link set lo up"),
            format!("ip -n {alice} link set va up"),
            format!("ip -n {bob} link set lo up"),
            format!("ip -n {bob} link set vb up"),
            format!("ip -n {bob} addr add 10.99.0.2/24 dev vb"),
        ];
        let is_laid = steps.iter().all(|step| run(step));
        if !is_laid {
            crate::common::skip("network namespaces cannot be made here");
        }
        is_laid.then_some(wire)
    }

    /// Alice's end has its address, too, and each way takes `rate`, such as 32kbit. A packet of more than `longest` bytes,
    /// with the 14 of Ethernet, is dropped, and nobody is told.
    pub fn limited(rate: &str, longest: u32) -> Option<Wire> {
        let wire = Wire::lay()?;
        wire.alice("addr add 10.99.0.1/24 dev va");
        for (namespace, device) in [(&wire.alice, "va"), (&wire.bob, "vb")] {
            let bucket = format!("tbf rate {rate} burst {longest} limit 20000");
            assert!(run(&format!("tc -n {namespace} qdisc add dev {device} root {bucket}")), "tc: {bucket}");
        }
        Some(wire)
    }

    /// Changes something on Alice's machine by ip(8).
    pub fn alice(&self, change: &str) {
        assert!(run(&format!("ip -n {} {change}", self.alice)), "ip {change}");
    }

    /// Changes something on Bob's machine by ip(8).
    pub fn bob(&self, change: &str) {
        assert!(run(&format!("ip -n {} {change}", self.bob)), "ip {change}");
    }

    /// Alice, and Bob's node, which she knows.
    pub fn peers(&self) -> (Home, Home, Process) {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        alice.run(&["peers", "add", "bob", &bob.key(), BOB]);
        bob.run(&["peers", "add", "alice", &alice.key()]);
        let node = serve_in(&self.bob, &bob, BOB);
        (alice, bob, node)
    }

    /// A command of Alice.
    pub fn cmd<S: AsRef<OsStr>>(&self, home: &Home, args: &[S]) -> Command {
        egoat_in(&self.alice, home, args)
    }

    /// How many connections Alice's machine has to Bob's node.
    pub fn connections(&self) -> usize {
        let read = Command::new("ip").args(["netns", "exec", &self.alice, "cat", "/proc/net/tcp"]).output();
        let table = String::from_utf8(read.unwrap().stdout).unwrap();
        // The addresses are in the byte order of the machine; 4701 is 125D, and state 01 a connection.
        table.lines().filter(|line| line.contains(":125D 01 ")).count()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        run(&format!("ip netns del {}", self.alice));
        run(&format!("ip netns del {}", self.bob));
    }
}

/// Runs a command; whether it succeeds.
pub fn run(step: &str) -> bool {
    let mut words = step.split(' ');
    let ran = Command::new(words.next().unwrap()).args(words).output();
    ran.is_ok_and(|ran| ran.status.success())
}

/// A command on the machine of this namespace.
pub fn egoat_in<S: AsRef<OsStr>>(namespace: &str, home: &Home, args: &[S]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, EGOAT, "--home"]).arg(home.path("")).args(args);
    command
}

/// A node on the machine of this namespace.
pub fn serve_in(namespace: &str, home: &Home, listen: &str) -> Process {
    let mut node = Process::start(egoat_in(namespace, home, &["serve", "--show-text", "--listen", listen]));
    node.wait_for("listening on ");
    node
}
