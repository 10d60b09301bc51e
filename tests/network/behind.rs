//! A peer behind a router with network address translation that lets nobody in: its node dials, and files reach it all the
//! same. It leaves out what collecting is otherwise: see `files/collecting`.

use crate::common;
use crate::wire::{egoat_in, run, serve_in};

use common::files::sample;
use common::{Home, Process, json_number, poll_until};
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where Alice's node listens.
const ALICE: &str = "11.0.0.1:4701";

static LAID: AtomicU32 = AtomicU32::new(0);

/// Alice's machine, a router, and Bob's machine behind it.
struct Networks {
    alice: String,
    router: String,
    bob: String,
}

impl Networks {
    fn lay() -> Option<Networks> {
        let number = LAID.fetch_add(1, Ordering::Relaxed);
        let name = |who: &str| format!("egoat-n{who}-{}-{number}", std::process::id());
        let networks = Networks { alice: name("a"), router: name("r"), bob: name("b") };
        let Networks { alice, router, bob } = &networks;
        let rules = "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100 ; }; \
                     add rule ip nat out oifname \"ro\" masquerade; \
                     add chain ip nat through { type filter hook forward priority 0 ; policy drop ; }; \
                     add rule ip nat through iifname \"ri\" accept; \
                     add rule ip nat through ct state established,related accept";
        let steps = [
            format!("ip netns add {alice}"),
            format!("ip netns add {router}"),
            format!("ip netns add {bob}"),
            format!("ip link add va netns {alice} type veth peer name ro netns {router}"),
            format!("ip link add vb netns {bob} type veth peer name ri netns {router}"),
            format!("ip -n {alice} addr add 11.0.0.1/24 dev va"),
            format!("ip -n {router} addr add 11.0.0.2/24 dev ro"),
            format!("ip -n {router} addr add 192.168.7.1/24 dev ri"),
            format!("ip -n {bob} addr add 192.168.7.2/24 dev vb"),
            format!("ip -n {alice} link set va up"),
            format!("ip -n {router} link set ro up"),
            format!("ip -n {router} link set ri up"),
            format!("ip -n {bob} link set vb up"),
            format!("ip -n {alice} link set lo up"),
            format!("ip -n {bob} link set lo up"),
            format!("ip -n {bob} route add default via 192.168.7.1"),
        ];
        let in_router = |args: &[&str]| {
            Command::new("ip")
                .args(["netns", "exec", router])
                .args(args)
                .status()
                .is_ok_and(|status| status.success())
        };
        let is_laid = steps.iter().all(|step| run(step))
            && in_router(&["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])
            && in_router(&["nft", rules]);
        if !is_laid {
            common::skip("network namespaces with a router cannot be made here");
        }
        is_laid.then_some(networks)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for namespace in [&self.alice, &self.router, &self.bob] {
            run(&format!("ip netns del {namespace}"));
        }
    }
}

#[test]
#[ignore = "make check-net"]
fn files_reach_a_peer_behind_a_router() {
    let Some(networks) = Networks::lay() else { return };
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    bob.run(&["peers", "add", "alice", &alice.key(), ALICE]);
    let mut alice_node = serve_in(&networks.alice, &alice, ALICE);
    let mut bob_node = serve_in(&networks.bob, &bob, "0.0.0.0:4702");
    alice_node.wait_for("connected with bob");
    let content = sample(8 << 20);
    let file = alice.file("large.bin", &content);
    let send = |args: &[&str]| {
        let args = [&["--json", "send", "bob"], args].concat();
        let (code, out, said) = Process::start(egoat_in(&networks.alice, &alice, &args)).end();
        assert_eq!(code, Some(0), "{said}");
        out.lines().find(|line| line.contains("\"event\":\"sent\"")).unwrap().to_owned()
    };
    assert_eq!(json_number(&send(&[&file]), "bytes"), 8 << 20);
    assert!(fs::read(bob.path("downloads/alice/large.bin")).unwrap() == content);

    // He goes away, and comes back through the same router.
    bob_node.kill9();
    alice_node.wait_for("disconnected from bob");
    alice.run(&["send", "--queue", "bob", &alice.file("later", "later")]);
    let _bob_node = serve_in(&networks.bob, &bob, "0.0.0.0:4702");
    let later = || fs::read_to_string(bob.path("downloads/alice/later")).ok().filter(|text| text == "later");
    poll_until("what was queued to be there", later);
}
