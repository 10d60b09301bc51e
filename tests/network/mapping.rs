//! A node behind a router that maps ports: Debian's miniupnpd, in namespaces. How a node takes a router that lies: see
//! `lying`.

use crate::common;
use crate::street::Street;
use crate::wire::{egoat_in, serve_in};

use common::files::sample;
use common::{Home, Process, finish, json_number, poll_until};
use std::fs;

const PCP: &str = "enable_natpmp=yes\nenable_upnp=no";
const UPNP: &str = "enable_natpmp=no\nenable_upnp=yes";
const BOTH: &str = "enable_natpmp=yes\nenable_upnp=yes";
/// Rules for who may have a port.
const ALLOW: &str = "\nallow 1024-65535 192.168.7.0/24 1024-65535";
const DENY: &str = "\ndeny 0-65535 0.0.0.0/0 0-65535";
/// Where Bob's node listens.
const LISTEN: &str = "4702";

/// What Bob's command prints.
fn bob_says(street: &Street, home: &Home, args: &[&str]) -> (String, String) {
    finish(egoat_in(&street.bob, home, args), b"", 0)
}

/// Waits until `status` has this.
fn wait_for_status(street: &Street, home: &Home, wanted: &str) {
    poll_until(wanted, || bob_says(street, home, &["status"]).0.contains(wanted).then_some(()));
}

/// Alice joins by Bob's link from outside, and sends a message and a file over several connections.
fn dial_from_outside(street: &Street, alice: &Home, bob: &Home, link: &str) {
    let alice_says = |args: &[&str]| finish(egoat_in(&street.alice, alice, args), b"", 0).0;
    alice_says(&["join", "--as", "bob", link]);
    alice_says(&["say", "--wait", "30s", "bob", "through the router"]);
    assert_eq!(bob.received(), ["through the router"]);
    let content = sample(12 << 20);
    let file = alice.file("large.bin", &content);
    let told = alice_says(&["--json", "send", "--streams", "4", "bob", &file]);
    let sent = told.lines().find(|line| line.contains("\"event\":\"sent\"")).unwrap();
    assert_eq!(json_number(sent, "bytes"), 12 << 20);
    assert!(json_number(sent, "lanes") > 1, "{sent}");
    assert!(fs::read(bob.path("downloads/alice/large.bin")).unwrap() == content);
}

/// Bob's node is dialled from outside at the address that the router maps.
fn is_reached_by(settings: &str, by: &str) {
    let Some(street) = Street::with_daemon("11.0.0", &[settings, ALLOW].concat()) else { return };
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = serve_in(&street.bob, &bob, LISTEN);
    // The first invite waits for the router.
    let (link, said) = bob_says(&street, &bob, &["invite"]);
    assert!(link.trim_end().ends_with("@11.0.0.2:4702,192.168.7.2:4702"), "{link}");
    assert!(said.contains("anybody can use this link: the router maps port 4702"), "{said}");
    wait_for_status(&street, &bob, &format!("mapped     11.0.0.2:4702 by the router 192.168.7.1 ({by})\n"));
    let (json, _) = bob_says(&street, &bob, &["--json", "status"]);
    let word = by.to_lowercase();
    let mapped = format!(r#"{{"event":"mapped","address":"11.0.0.2:4702","by":"{word}","pinhole":false}}"#);
    assert!(json.contains(&mapped), "{json}");
    let mapping = r#"{"event":"mapping","state":"works","gateway":"192.168.7.1","detail":null}"#;
    assert!(json.contains(mapping), "{json}");
    let (checked, _) = bob_says(&street, &bob, &["doctor"]);
    for line in [
        "ok       gateway   the router is 192.168.7.1\n",
        "ok       mapping   the router maps a port to this node\n",
        "ok       outside   everybody can dial 11.0.0.2:4702",
        "ok       address   192.168.7.2 is private",
    ] {
        assert!(checked.contains(line), "{checked}");
    }
    dial_from_outside(&street, &alice, &bob, link.trim_end());
}

#[test]
#[ignore = "make check-net"]
fn a_node_behind_a_router_that_speaks_everything_is_dialled_from_outside() {
    is_reached_by(BOTH, "PCP");
}

#[test]
#[ignore = "make check-net"]
fn a_node_behind_a_router_that_speaks_pcp_alone_is_dialled_from_outside() {
    is_reached_by(PCP, "PCP");
}

#[test]
#[ignore = "make check-net"]
fn a_node_behind_a_router_that_speaks_upnp_alone_is_dialled_from_outside() {
    is_reached_by(UPNP, "UPnP");
}

/// Bob's link is for his own network, and his node says why.
fn is_not_reached(street: &Street, status: &str, note: &str, checks: &[&str]) {
    let bob = Home::new("bob");
    let _node = serve_in(&street.bob, &bob, LISTEN);
    let (link, said) = bob_says(street, &bob, &["invite"]);
    assert!(link.trim_end().ends_with("@192.168.7.2:4702"), "{link}");
    assert!(said.contains(note), "{said}");
    wait_for_status(street, &bob, status);
    let (checked, _) = bob_says(street, &bob, &["doctor"]);
    for check in checks {
        assert!(checked.contains(check), "{checked}");
    }
    assert_eq!(street.mappings(), []);
}

const NO_PORT: &str = "only your own network can use this link: no port is mapped";

#[test]
#[ignore = "make check-net"]
fn a_router_that_answers_nothing_is_named() {
    let Some(street) = Street::lay("11.0.0") else { return };
    let silent = "192.168.7.1 answers neither PCP nor NAT-PMP nor UPnP";
    let check = format!("warning  mapping   {silent}\n");
    is_not_reached(
        &street,
        &format!("mapping    {silent}\n"),
        NO_PORT,
        &[&check, "hint: switch UPnP or PCP on"],
    );
}

#[test]
#[ignore = "make check-net"]
fn a_router_that_refuses_is_named_with_its_reason() {
    let Some(street) = Street::with_daemon("11.0.0", &[UPNP, DENY].concat()) else { return };
    let refusal = "192.168.7.1 refuses to map a port: this is not allowed here, error 606 (UPnP)";
    let check = format!("warning  mapping   {refusal}\n");
    is_not_reached(&street, &format!("mapping    {refusal}\n"), NO_PORT, &[&check]);
}

/// miniupnpd maps nothing where its outside address is private.
#[test]
#[ignore = "make check-net"]
fn a_second_router_in_front_is_said_as_such() {
    for (settings, by) in [(PCP, "NAT-PMP"), (UPNP, "UPnP")] {
        let Some(street) = Street::with_daemon("10.0.0", &[settings, ALLOW].concat()) else { return };
        let detail = format!(
            "192.168.7.1 has no outside address of its own: a second router is in front of it, or it is offline ({by})"
        );
        let note = "only your own network can use this link: a second router is in front";
        let check = format!("warning  outside   {detail}\n");
        is_not_reached(&street, &format!("mapping    {detail}\n"), note, &[&check]);
    }
}

/// A router in this program that grants an outside address for so many seconds, whatever it is asked.
fn granting(street: &Street, address: &str, seconds: u32) -> Process {
    let mut router = std::process::Command::new("ip");
    router.args(["netns", "exec", &street.router]).arg(std::env::current_exe().unwrap());
    router.args(["--exact", "lying::serve_as_a_router", "--ignored", "--nocapture"]);
    router.env("EGOAT_ROUTER", format!("{address} {seconds}"));
    Process::start(router)
}

#[test]
#[ignore = "make check-net"]
fn a_private_outside_address_is_told_to_nobody() {
    let Some(street) = Street::lay("11.0.0") else { return };
    let _router = granting(&street, "10.1.2.3", 3600);
    let detail = "192.168.7.1 maps 10.1.2.3:4702, a private address: a second router is in front of it";
    let note = "only your own network can use this link: a second router is in front";
    is_not_reached(
        &street,
        &format!("mapping    {detail}\n"),
        note,
        &[&format!("warning  outside   {detail}\n")],
    );
}

/// A router cannot make a node ask it all the time.
#[test]
#[ignore = "make check-net"]
fn a_mapping_for_a_second_is_not_renewed_each_second() {
    let Some(street) = Street::lay("11.0.0") else { return };
    let mut router = granting(&street, "11.0.0.2", 1);
    let bob = Home::new("bob");
    let _node = serve_in(&street.bob, &bob, LISTEN);
    wait_for_status(&street, &bob, "mapped     11.0.0.2:4702 ");
    // What is not to come cannot be waited for: at twice a second, eight more would have come by then.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let asked = router.kill9().matches("asked").count();
    assert!((1..=3).contains(&asked), "{asked}");
}

#[test]
#[ignore = "make check-net"]
fn ten_restarts_leave_one_mapping() {
    for settings in [PCP, UPNP] {
        let Some(street) = Street::with_daemon("11.0.0", &[settings, ALLOW].concat()) else { return };
        let bob = Home::new("bob");
        for _ in 0..10 {
            let mut node = serve_in(&street.bob, &bob, LISTEN);
            wait_for_status(&street, &bob, "mapped     11.0.0.2:4702 ");
            node.kill9();
        }
        assert_eq!(street.mappings(), [("4702".to_owned(), "192.168.7.2:4702".to_owned())]);
    }
}

/// The port of the node is another machine's outside, so the router gives another one; that one is kept.
#[test]
#[ignore = "make check-net"]
fn an_outside_port_that_is_taken_is_another_one_and_stays_the_same() {
    for settings in [PCP, UPNP] {
        let Some(street) = Street::with_daemon("11.0.0", &[settings, ALLOW].concat()) else { return };
        let other = Home::new("other");
        let mut other_node = serve_in(&street.bob, &other, LISTEN);
        wait_for_status(&street, &other, "mapped     11.0.0.2:4702 ");
        other_node.kill9();
        street.bob("addr del 192.168.7.2/24 dev vb");
        street.bob("addr add 192.168.7.3/24 dev vb");
        street.bob("route add default via 192.168.7.1");
        let bob = Home::new("bob");
        let outside = || {
            let mut node = serve_in(&street.bob, &bob, LISTEN);
            let port = poll_until("a mapped port", || {
                let (status, _) = bob_says(&street, &bob, &["status"]);
                let line = status.lines().find(|line| line.starts_with("mapped "))?.to_owned();
                Some(line.split("11.0.0.2:").nth(1)?.split(' ').next()?.to_owned())
            });
            node.kill9();
            port
        };
        let port = outside();
        assert_ne!(port, "4702");
        assert_eq!(outside(), port);
    }
}

/// A router that lets nobody in by IPv6 opens its firewall for the port.
#[test]
#[ignore = "make check-net"]
fn a_firewall_of_version_6_lets_the_port_through() {
    let Some(mut street) = Street::lay("11.0.0") else { return };
    street.router("-6 addr add fe80::1/64 dev ri nodad");
    street.router("-6 addr add 2001:db7:7::1/64 dev ri nodad");
    street.router("-6 addr add 2001:db7:1::2/64 dev ro nodad");
    street.alice("-6 addr add 2001:db7:1::1/64 dev va nodad");
    street.alice("-6 route add 2001:db7:7::/64 via 2001:db7:1::2");
    street.bob("-6 addr add 2001:db7:7::2/64 dev vb nodad");
    street.bob("-6 route add default via fe80::1 dev vb");
    if !street.start_daemon(&[PCP, ALLOW].concat()) {
        return;
    }
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = serve_in(&street.bob, &bob, LISTEN);
    wait_for_status(&street, &bob, "mapped     [2001:db7:7::2]:4702, let through by the router (PCP)\n");
    let link =
        format!("{}@[2001:db7:7::2]:4702", bob_says(&street, &bob, &["invite"]).0.split('@').next().unwrap());
    dial_from_outside(&street, &alice, &bob, &link);
}

#[test]
#[ignore = "make check-net"]
fn what_ends_in_order_takes_its_mapping_back() {
    for settings in [PCP, UPNP] {
        let Some(street) = Street::with_daemon("11.0.0", &[settings, ALLOW].concat()) else { return };
        let bob = Home::new("bob");
        let mut chat = Process::start(egoat_in(&street.bob, &bob, &["chat", "--listen", LISTEN]));
        poll_until("a mapping", || (street.mappings().len() == 1).then_some(()));
        wait_for_status(&street, &bob, "mapped     11.0.0.2:4702 ");
        chat.write(b"/quit\n");
        assert_eq!(chat.end().0, Some(0));
        assert_eq!(street.mappings(), []);
    }
}

/// Alice knows no address of Bob's, who dials her; then he cannot, and she can.
#[test]
#[ignore = "make check-net"]
fn a_peer_is_told_what_the_router_maps() {
    let Some(street) = Street::with_daemon("11.0.0", &[BOTH, ALLOW].concat()) else { return };
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    bob.run(&["peers", "add", "alice", &alice.key(), "11.0.0.1:4703"]);
    let mut alice_node = serve_in(&street.alice, &alice, "11.0.0.1:4703");
    let mut node = serve_in(&street.bob, &bob, LISTEN);
    let is_told = || fs::read_to_string(alice.path("peers")).unwrap().contains(" mapped=11.0.0.2:4702@");
    poll_until("the mapped address", || is_told().then_some(()));
    node.kill9();
    bob.run(&["peers", "set", "alice", "address="]);
    // Where he could dial her again, either connection may be the first.
    alice_node.kill9();
    let _alice_node = serve_in(&street.alice, &alice, "127.0.0.1:0");
    let _node = serve_in(&street.bob, &bob, LISTEN);
    finish(egoat_in(&street.alice, &alice, &["say", "--wait", "60s", "bob", "by your router"]), b"", 0);
    for (namespace, home) in [(&street.alice, &alice), (&street.bob, &bob)] {
        poll_until("the path", || {
            let (json, _) = finish(egoat_in(namespace, home, &["--json", "status"]), b"", 0);
            json.contains(r#""path":"mapped""#).then_some(())
        });
    }
}

/// The machine gets another address, and the router another one while the node is away.
#[test]
#[ignore = "make check-net"]
fn a_mapping_follows_new_addresses() {
    let Some(mut street) = Street::with_daemon("11.0.0", &[BOTH, ALLOW].concat()) else { return };
    let bob = Home::new("bob");
    let mut node = serve_in(&street.bob, &bob, LISTEN);
    wait_for_status(&street, &bob, "mapped     11.0.0.2:4702 ");
    street.bob("addr del 192.168.7.2/24 dev vb");
    street.bob("addr add 192.168.7.9/24 dev vb");
    street.bob("route add default via 192.168.7.1");
    let is_there = |street: &Street| street.mappings().iter().any(|(_, inside)| inside == "192.168.7.9:4702");
    poll_until("a mapping to the new address", || is_there(&street).then_some(()));
    node.kill9();

    street.stop_daemon();
    street.router("addr del 11.0.0.2/24 dev ro");
    street.router("addr add 11.0.0.77/24 dev ro");
    assert!(street.start_daemon(&[BOTH, ALLOW].concat()));
    let _node = serve_in(&street.bob, &bob, LISTEN);
    let (link, _) = bob_says(&street, &bob, &["invite"]);
    assert!(link.contains("@11.0.0.77:"), "{link}");
    assert!(!link.contains("11.0.0.2:"), "{link}");
}

/// Neither the option nor the setting lets a packet go to the router.
#[test]
#[ignore = "make check-net"]
fn a_node_that_is_told_not_to_asks_no_router() {
    let Some(street) = Street::with_daemon("11.0.0", &[BOTH, ALLOW].concat()) else { return };
    let count = || {
        let shown = std::process::Command::new("ip")
            .args(["netns", "exec", &street.bob, "cat", "/sys/class/net/vb/statistics/tx_packets"])
            .output();
        String::from_utf8(shown.unwrap().stdout).unwrap()
    };
    let bob = Home::new("bob");
    let before = street.mappings();
    let args = ["serve", "--map", "off", "--listen", LISTEN];
    let mut node = Process::start(egoat_in(&street.bob, &bob, &args));
    node.wait_for("listening on ");
    wait_for_status(&street, &bob, "mapping    off: by `--map off`");
    node.kill9();
    fs::write(bob.path("settings"), "map=off\n").unwrap();
    let mut node = serve_in(&street.bob, &bob, LISTEN);
    wait_for_status(&street, &bob, "mapping    off: by `--map off`, or `map=off` in the settings\n");
    node.kill9();
    assert_eq!((street.mappings(), bob.path("mapping").exists()), (before, false), "{}", count());
    // The option has the last word.
    let args = ["serve", "--map=auto", "--listen", LISTEN];
    let _node = Process::start(egoat_in(&street.bob, &bob, &args));
    poll_until("a mapping", || (street.mappings().len() == 1).then_some(()));
}

#[test]
fn map_is_auto_or_off() {
    let bob = Home::new("bob");
    let said = bob.fails(&["serve", "--map", "on", "--listen", "127.0.0.1:0"], 2);
    assert!(said.contains("--map is auto or off"), "{said}");
    fs::write(bob.path("settings"), "map=yes\n").unwrap();
    let said = bob.fails(&["serve", "--listen", "127.0.0.1:0"], 2);
    assert!(said.contains("map= in ") && said.contains("is auto or off"), "{said}");
}

/// On loopback there is no router, and with a proxy none is asked.
#[test]
fn a_node_that_nobody_outside_can_dial_asks_no_router() {
    let bob = Home::new("bob");
    let mut node = bob.serve();
    let status = bob.run(&["status"]);
    assert!(status.contains("mapping    off: the node listens where no router leads\n"), "{status}");
    node.kill9();
    let args = ["--proxy", "socks5://127.0.0.1:9", "serve", "--listen", "127.0.0.1:0"];
    let mut node = Process::start(bob.cmd(&args));
    node.wait_for("listening on ");
    assert!(bob.run(&["status"]).contains("mapping    off: a node with a proxy asks no router\n"));
    node.kill9();
}
