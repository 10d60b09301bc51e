//! Which addresses a node names in its links, and who can use these; link-local addresses. In namespaces, where no default
//! route is.

use crate::common;
use crate::wire::{BOB, Wire, egoat_in, serve_in};

use common::{Home, finish, json_text};
use std::process::Command;

/// The link-local address of an interface.
fn link_local(namespace: &str, device: &str) -> String {
    common::poll_until("a link-local address", || {
        let args =
            ["-n", namespace, "-6", "-o", "addr", "show", "dev", device, "scope", "link", "-tentative"];
        let shown = Command::new("ip").args(args).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        Some(shown.split("inet6 ").nth(1)?.split('/').next()?.to_owned())
    })
}

#[test]
#[ignore = "make check-net"]
fn two_laptops_on_a_cable_pair_without_a_default_route() {
    let Some(wire) = Wire::lay() else { return };
    wire.alice("addr add 10.99.0.1/24 dev va");
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = serve_in(&wire.bob, &bob, "[::]:4701");
    let (link, said) = finish(egoat_in(&wire.bob, &bob, &["invite"]), b"", 0);
    assert!(link.trim_end().ends_with("@10.99.0.2:4701"), "{link}");
    assert!(said.contains("only your own network can use this link"), "{said}");
    let (checked, _) = finish(egoat_in(&wire.bob, &bob, &["doctor"]), b"", 0);
    assert!(checked.contains("10.99.0.2 is private") && !checked.contains("in no network"), "{checked}");
    finish(wire.cmd(&alice, &["join", link.trim_end()]), b"", 0);
}

#[test]
#[ignore = "make check-net"]
fn each_interface_is_named_and_none_that_leads_nowhere() {
    let Some(wire) = Wire::lay() else { return };
    for change in [
        "addr add 192.168.7.1/24 dev va",
        "link add second type veth peer name third",
        "link set third up",
        "link set second up",
        "addr add 11.0.0.5/24 dev second",
        "link add docker0 type bridge",
        "link set docker0 up",
        "addr add 172.17.0.1/16 dev docker0",
        "-6 addr add 2001:db7::7/64 dev second nodad",
    ] {
        wire.alice(change);
    }
    let alice = Home::new("alice");
    let mut node = serve_in(&wire.alice, &alice, "[::]:4701");
    let (link, said) = finish(wire.cmd(&alice, &["invite"]), b"", 0);
    assert!(link.trim_end().ends_with("@11.0.0.5:4701,[2001:db7::7]:4701,192.168.7.1:4701"), "{link}");
    assert!(!said.contains("can use this link"), "{said}");
    // No link has more addresses than others read.
    for number in 10..20 {
        wire.alice(&format!("addr add 10.0.{number}.1/24 dev va"));
    }
    let (link, _) = finish(wire.cmd(&alice, &["invite"]), b"", 0);
    assert_eq!(link.matches(':').count() - link.matches("2001:db7::7").count() * 3, 1 + 8, "{link}");
    node.kill9();
}

#[test]
#[ignore = "make check-net"]
fn a_link_local_address_is_dialled_with_a_zone_and_without() {
    let Some(wire) = Wire::lay() else { return };
    wire.bob("addr del 10.99.0.2/24 dev vb");
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (at, _) = (link_local(&wire.bob, "vb"), link_local(&wire.alice, "va"));
    let mut node = serve_in(&wire.bob, &bob, &format!("[{at}%vb]:4701"));
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let full = format!("[{at}%va]:4701");
    finish(wire.cmd(&alice, &["peers", "add", "bob", &bob.key(), &full]), b"", 0);
    finish(wire.cmd(&alice, &["say", "--wait", "30s", "bob", "by a zone"]), b"", 0);
    assert_eq!(alice.run(&["peers", "show", "bob"]).matches(&full).count(), 1);
    let unknown = format!("[{at}%eth7]:4701");
    let (_, said) = finish(wire.cmd(&alice, &["say", "--accept-new", &unknown, "x"]), b"", 69);
    assert!(said.contains("this machine has no such interface"), "{said}");
    node.kill9();
    // The link has no zone: that of its maker means nothing elsewhere.
    let mut node = serve_in(&wire.bob, &bob, "[::]:4701");
    let (json, said) = finish(egoat_in(&wire.bob, &bob, &["--json", "invite"]), b"", 0);
    let link = json_text(&json, "link");
    assert!(link.ends_with(&format!("@[{at}]:4701")), "{link}");
    assert!(said.contains("only machines on the same cable or Wi-Fi"), "{said}");
    let carol = Home::new("carol");
    finish(wire.cmd(&carol, &["join", &link]), b"", 0);
    node.kill9();
}

#[test]
fn a_link_says_that_only_this_machine_can_use_it() {
    let alice = Home::new("alice");
    let _node = alice.serve();
    let (_, said) = alice.ends_with(&["invite"], b"", 0);
    assert!(said.contains("only this machine can use this link"), "{said}");
    let (_, said) = alice.ends_with(&["invite", "--addr", BOB], b"", 0);
    assert!(said.contains("only your own network can use this link"), "{said}");
    for everybody in ["host.example:4628", "11.0.0.1:4628"] {
        let (_, said) = alice.ends_with(&["invite", "--addr", everybody, "--addr", BOB], b"", 0);
        assert!(!said.contains("can use this link"), "{said}");
    }
}
