//! Friends in one network find each other by beacons that nobody else can read (egoat(1), NEARBY). In namespaces on a bridge, where
//! all that passes is recorded.

use crate::bridge::Bridge;
use crate::common;

use common::digits::User;
use common::{Home, finish, poll_until};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Two who know each other's keys, and no address.
fn friends() -> (Home, Home) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    (alice, bob)
}

/// What the doctor says of beacons.
fn doctor(bridge: &Bridge, host: char, home: &Home) -> String {
    let (checked, _) = finish(bridge.cmd(host, home, &["doctor"]), b"", 0);
    let lines = checked.lines().skip_while(|line| !line.contains(" nearby "));
    lines.take(2).collect::<Vec<_>>().join("\n")
}

/// Waits until it says this: on a busy machine answers may come too late for it.
fn doctor_says(bridge: &Bridge, host: char, home: &Home, what: &str) {
    poll_until(what, || doctor(bridge, host, home).contains(what).then_some(()));
}

/// Whether a node on the machine of Alice reads beacons: the port is 1214 in hexadecimal.
fn is_reading(bridge: &Bridge) -> bool {
    let sockets = bridge.exec('a', &["cat", "/proc/net/udp6"]).output().unwrap();
    String::from_utf8(sockets.stdout).unwrap().contains(":1214 ")
}

/// Has a machine's firewall drop beacons; it lets TCP pass.
fn drop_beacons(bridge: &Bridge, host: char) {
    let rules = "add table inet f; add chain inet f i { type filter hook input priority 0 ; }; \
                 add rule inet f i udp dport 4628 drop";
    assert!(bridge.exec(host, &["nft", rules]).status().unwrap().success());
}

/// A beacon that is nobody's.
fn forged(number: u8) -> Vec<u8> {
    let hour = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 3600;
    let mut packet = b"EGb1".to_vec();
    packet.extend_from_slice(&(hour as u32).to_be_bytes());
    packet.extend_from_slice(&4701_u16.to_be_bytes());
    packet.extend_from_slice(&[number; 8]);
    packet.push(8);
    packet.extend_from_slice(&[number ^ 0x55; 64]);
    packet
}

#[test]
#[ignore = "make check-net"]
fn friends_find_each_other_and_others_learn_nothing() {
    for has_route in [false, true] {
        let Some(bridge) = Bridge::lay(3, true) else { return };
        if has_route {
            ['a', 'b', 'c'].into_iter().for_each(|host| bridge.ip(host, "route add default via 10.98.0.9"));
        }
        let (alice, bob) = friends();
        let carol = Home::new("carol");
        carol.run(&["peers", "add", "dave", &Home::new("dave").key()]);
        let mut alice_node = bridge.serve('a', &alice, "4701");
        let mut carol_node = bridge.serve('c', &carol, "4703");
        let mut bob_node = bridge.serve('b', &bob, "4702");
        alice_node.wait_for("connected with bob");
        bob_node.wait_for("connected with alice");
        finish(bridge.cmd('a', &alice, &["say", "bob", "found you"]), b"", 0);
        bob_node.wait_for("message from alice: found you");
        poll_until("what carol calls", || (!bridge.beacons('c').is_empty()).then_some(()));
        doctor_says(&bridge, 'a', &alice, "bob answers at ");
        doctor_says(&bridge, 'c', &carol, "nobody whom you know answers in this network");
        // Where the other one is, is kept for the time when no beacon passes.
        let kept = fs::read_to_string(alice.path("peers")).unwrap();
        assert!(kept.contains("=10.98.0.2:4702@"), "{kept}");
        carol_node.kill9();
        assert!(bridge.dials('c', 4701) + bridge.dials('c', 4702) == 0);
        for frame in bridge.frames() {
            let has = |needle: &[u8]| frame.windows(needle.len()).any(|window| window == needle);
            for (name, home) in [("alice", &alice), ("bob", &bob), ("carol", &carol)] {
                let key = home.key();
                let bytes: egoat::crypto::keys::PublicKey = key.parse().unwrap();
                let is_silent = !has(name.as_bytes()) && !has(key.as_bytes()) && !has(&bytes.as_bytes()[..8]);
                assert!(is_silent, "{name} is in a packet: {frame:02x?}");
            }
        }
        let mut salts: Vec<Vec<u8>> = Vec::new();
        for beacon in ['a', 'b', 'c'].into_iter().flat_map(|host| bridge.beacons(host)) {
            assert_eq!(beacon.body.len(), 19 + 8 * 8);
            assert!(!salts.iter().any(|salt| *salt == beacon.body[10..18]), "two packets can be linked");
            salts.push(beacon.body[10..18].to_vec());
        }
    }
}

#[test]
#[ignore = "make check-net"]
fn friends_find_each_other_by_link_local_addresses() {
    let Some(bridge) = Bridge::lay(2, false) else { return };
    let (alice, bob) = friends();
    let mut alice_node = bridge.serve('a', &alice, "4701");
    let mut bob_node = bridge.serve('b', &bob, "4702");
    alice_node.wait_for("connected with bob");
    bob_node.wait_for("connected with alice");
    poll_until("an address with the name of the interface", || {
        let kept = fs::read_to_string(alice.path("peers")).unwrap();
        (kept.contains("=[fe80::") && kept.contains("%eth0]:4702@")).then_some(())
    });
    finish(bridge.cmd('b', &bob, &["say", "alice", "by the link"]), b"", 0);
    alice_node.wait_for("message from bob: by the link");
    assert!(bridge.beacons('a').iter().all(|beacon| beacon.from.is_ipv6()));
}

#[test]
#[ignore = "make check-net"]
fn two_homes_of_one_machine_and_a_third_are_found() {
    let Some(bridge) = Bridge::lay(2, true) else { return };
    let (alice, bob) = friends();
    let carol = Home::new("carol");
    carol.run(&["peers", "add", "bob", &bob.key()]);
    bob.run(&["peers", "add", "carol", &carol.key()]);
    let mut alice_node = bridge.serve('a', &alice, "4701");
    let mut bob_node = bridge.serve('a', &bob, "4702");
    bob_node.wait_for("connected with alice");
    alice_node.wait_for("connected with bob");
    let mut carol_node = bridge.serve('b', &carol, "4701");
    carol_node.wait_for("connected with bob");
    bob_node.wait_for("connected with carol");
    doctor_says(&bridge, 'a', &bob, "beacons come through");
}

/// No peer has others dial a port of a system; it dials them.
#[test]
#[ignore = "make check-net"]
fn a_low_port_is_not_dialled_and_the_way_is_shown() {
    let Some(bridge) = Bridge::lay(2, true) else { return };
    let (alice, bob) = friends();
    let mut alice_node = bridge.serve('a', &alice, "4701");
    let mut bob_node = bridge.serve('b', &bob, "700");
    alice_node.wait_for("connected with bob");
    bob_node.wait_for("connected with alice");
    let (shown, _) = finish(bridge.cmd('b', &bob, &["--json", "status"]), b"", 0);
    assert!(shown.contains("\"path\":\"nearby\""), "{shown}");
    assert_eq!(bridge.dials('a', 700), 0);
}

/// The machine gets its address when the node runs already.
#[test]
#[ignore = "make check-net"]
fn a_new_network_is_called_into_at_once() {
    let Some(bridge) = Bridge::lay(2, true) else { return };
    bridge.ip('a', "link set eth0 down");
    let (alice, bob) = friends();
    let _bob_node = bridge.serve('b', &bob, "4702");
    poll_until("what bob calls", || (!bridge.beacons('b').is_empty()).then_some(()));
    let mut alice_node = bridge.serve('a', &alice, "4701");
    // By then she has looked for networks once.
    poll_until("that alice listens", || is_reading(&bridge).then_some(()));
    bridge.ip('a', "link set eth0 up");
    let began = Instant::now();
    alice_node.wait_for("connected with bob");
    // His next call comes 45 s after the first at the earliest.
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

#[test]
#[ignore = "make check-net"]
fn the_doctor_tells_a_firewall_from_an_empty_network() {
    let Some(bridge) = Bridge::lay(2, true) else { return };
    let (alice, bob) = friends();
    let nobody = "nobody whom you know answers in this network";
    let blocked = "no beacon comes through";
    doctor_says(&bridge, 'a', &alice, nobody);
    assert!(bridge.beacons('a').is_empty(), "what tests this machine has left it");
    let mut alice_node = bridge.serve('a', &alice, "4701");
    doctor_says(&bridge, 'a', &alice, nobody);
    drop_beacons(&bridge, 'a');
    let said = doctor(&bridge, 'a', &alice);
    assert!(said.contains(blocked) && said.contains("UDP 4628 to 4631"), "{said}");
    // It is hers that is closed, and not his.
    let _bob_node = bridge.serve('b', &bob, "4702");
    doctor_says(&bridge, 'b', &bob, nobody);
    alice_node.kill9();
    let said = doctor(&bridge, 'a', &alice);
    assert!(said.contains(blocked), "without a node: {said}");
}

#[test]
#[ignore = "make check-net"]
fn recordings_and_forgeries_are_not_answered() {
    let Some(bridge) = Bridge::lay(3, true) else { return };
    let (alice, bob) = friends();
    let mut bob_node = bridge.serve('b', &bob, "4702");
    let mut recorded = poll_until("what bob calls", || {
        let beacons = bridge.beacons('b');
        (beacons.len() >= 8).then_some(beacons)
    });
    bob_node.kill9();
    recorded.truncate(1);
    let _alice_node = bridge.serve('a', &alice, "4701");
    poll_until("that alice listens", || {
        let joined = bridge.exec('a', &["ip", "maddr", "show", "dev", "eth0"]).output().unwrap();
        String::from_utf8(joined.stdout).unwrap().contains("239.192.70.71").then_some(())
    });
    let answers =
        || bridge.beacons('a').into_iter().filter(|beacon| beacon.body.starts_with(b"EGa1")).count();
    for number in 0..40 {
        bridge.send('c', 1, &[forged(number)]);
    }
    assert_eq!((answers(), bridge.dials('a', 4701)), (0, 0));
    // Who has recorded what is new to her is dialled, once, and learns nothing by it.
    let recording = [recorded[0].body.clone()];
    poll_until("the recording to be heard", || {
        bridge.send('c', 1, &recording);
        (bridge.dials('a', 4702) == 1).then_some(())
    });
    assert_eq!(answers(), 1);
    for _ in 0..20 {
        bridge.send('c', 1, &recording);
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((answers(), bridge.dials('a', 4702)), (1, 1));
}

/// A node reads no more than it has time for; the system drops the others.
#[test]
#[ignore = "make check-net"]
fn a_flood_costs_little_and_passes() {
    let Some(bridge) = Bridge::lay(3, true) else { return };
    let (alice, bob) = friends();
    let mut alice_node = bridge.serve('a', &alice, "4701");
    let mut bob_node = bridge.serve('b', &bob, "4702");
    alice_node.wait_for("connected with bob");
    let began = Instant::now();
    let all: Vec<Vec<u8>> = (0..=255).map(forged).collect();
    const SENT: usize = 200_000;
    bridge.send('c', SENT, &all);
    let took = began.elapsed();
    let counts = bridge.exec('a', &["cat", "/proc/net/snmp"]).output().unwrap();
    let counts = String::from_utf8(counts.stdout).unwrap();
    // How many packets programs have read, and how many none had room for.
    let of_udp = counts.lines().filter_map(|line| line.strip_prefix("Udp: ")).nth(1).unwrap();
    let of_udp: Vec<usize> = of_udp.split(' ').map(|number| number.parse().unwrap()).collect();
    let (read, dropped) = (of_udp[0], of_udp[4]);
    // At once, each second until now, and some more that are read after the last was sent.
    let most = 256 + 500 * (took.as_secs() as usize + 2) + 500;
    assert!((1..most).contains(&read) && dropped > 0, "{read} of {SENT} were read in {took:?}");
    finish(bridge.cmd('a', &alice, &["say", "bob", "still here"]), b"", 0);
    bob_node.wait_for("message from alice: still here");
    bob_node.kill9();
    alice_node.wait_for("disconnected from bob");
    // He is found at a place where he never was.
    bridge.ip('b', "addr del 10.98.0.2/24 dev eth0");
    bridge.ip('b', "addr add 10.98.0.22/24 dev eth0");
    let mut bob_node = bridge.serve('b', &bob, "4772");
    bob_node.wait_for("connected with alice");
}

#[test]
#[ignore = "make check-net"]
fn nobody_is_called_who_is_here_and_others_once_a_minute() {
    let Some(bridge) = Bridge::lay(3, true) else { return };
    let (alice, bob) = friends();
    let carol = Home::new("carol");
    carol.run(&["peers", "add", "dave", &Home::new("dave").key()]);
    let mut alice_node = bridge.serve('a', &alice, "4701");
    let _bob_node = bridge.serve('b', &bob, "4702");
    alice_node.wait_for("connected with bob");
    // By now alice has called for the first time, if she calls at all.
    let _carol_node = bridge.serve('c', &carol, "4703");
    let first = poll_until("what carol calls", || {
        let beacons = bridge.beacons('c');
        (beacons.len() >= 8).then_some(beacons)
    });
    assert_eq!(first.len(), 8, "one for each family and port: {first:?}");
    let began = Instant::now();
    let before = bridge.beacons('a').len() + bridge.beacons('b').len();
    // The next call comes 75 s after the one before at the latest, and the 5 s of a look; a third one 45 s later at the earliest.
    let (mut second, mut called) = (None, first.len());
    loop {
        let beacons = bridge.beacons('c').len();
        if began.elapsed() > Duration::from_secs(87) {
            break;
        }
        called = beacons;
        second = second.or((called > 8).then(|| began.elapsed()));
        thread::sleep(Duration::from_millis(500));
    }
    assert!(second.is_some_and(|second| second > Duration::from_secs(40)), "{second:?}");
    assert_eq!(called, 16, "two for each family and port");
    assert_eq!(bridge.beacons('a').len() + bridge.beacons('b').len(), before);
}

#[test]
#[ignore = "make check-net"]
fn who_does_not_want_it_calls_nobody_and_hears_nobody() {
    let Some(bridge) = Bridge::lay(2, true) else { return };
    let (alice, bob) = friends();
    fs::write(alice.path("settings"), "nearby=off\n").unwrap();
    let mut alice_node = bridge.serve('a', &alice, "4701");
    assert!(doctor(&bridge, 'a', &alice).contains("it is off"));
    let _bob_node = bridge.serve('b', &bob, "4702");
    poll_until("what bob calls", || (bridge.beacons('b').len() >= 8).then_some(()));
    assert!(!is_reading(&bridge));
    alice_node.kill9();
    // What is mistyped was meant to turn it off.
    fs::write(alice.path("settings"), "nearby=of\n").unwrap();
    let mut alice_node = bridge.serve('a', &alice, "4701");
    alice_node.wait_to_say("nearby=of in");
    assert!(doctor(&bridge, 'a', &alice).contains("means nothing"));
    assert!(!is_reading(&bridge));
    alice_node.kill9();
    fs::write(alice.path("settings"), "").unwrap();
    let hidden = ["--proxy", "socks5://127.0.0.1:9050", "serve", "--listen", "4701"];
    let mut alice_node = common::Process::start(bridge.cmd('a', &alice, &hidden));
    alice_node.wait_for("listening on ");
    let (checked, _) =
        finish(bridge.cmd('a', &alice, &["--proxy", "socks5://127.0.0.1:9050", "doctor"]), b"", 0);
    assert!(checked.contains("with a proxy, nobody is called"), "{checked}");
    assert!(!is_reading(&bridge) && bridge.beacons('a').is_empty());
    alice_node.kill9();
    // Nobody else could dial it.
    let mut alice_node = bridge.serve('a', &alice, "127.0.0.1:4701");
    assert!(doctor(&bridge, 'a', &alice).contains("by this machine alone"));
    assert!(!is_reading(&bridge) && bridge.beacons('a').is_empty());
    alice_node.kill9();
}

/// Two users on machines of the bridge, whose nodes will listen on port 4701 and 4702.
fn users(bridge: &Bridge) -> Option<(User, User)> {
    let (mut alice, mut bob) = User::new("alice").zip(User::new("bob"))?;
    for (user, host, port) in [(&mut alice, 'a', "4701"), (&mut bob, 'b', "4702")] {
        user.prefix = format!("ip netns exec {}", bridge.host(host));
        fs::write(user.home.path("listen"), format!("{port}\n")).unwrap();
    }
    Some((alice, bob))
}

#[test]
#[ignore = "make check-net"]
fn who_waits_is_found_and_says_no_more_than_a_port() {
    for has_v4 in [true, false] {
        let Some(bridge) = Bridge::lay(2, has_v4) else { return };
        let Some((alice, bob)) = users(&bridge) else { return };
        // Beside a node, which has the port 4628 and reads the beacons there.
        let _node = bridge.serve('a', &alice.home, "4628");
        let _reader = bridge.serve('b', &bob.home, "4702");
        bob.types("join --nearby");
        bob.terminal.wait_for("looking in this network");
        alice.types("invite --nearby");
        assert_eq!(alice.compares(), bob.compares());
        alice.answers("yes");
        bob.answers("yes");
        alice.ends_with(0);
        bob.ends_with(0);
        let packets = bridge.beacons('a');
        let said: Vec<_> = packets.iter().filter(|packet| packet.body.starts_with(b"EGi1")).collect();
        assert!(!said.is_empty() && said.iter().all(|packet| packet.body.len() == 14), "{said:?}");
        // What is kept is where the nodes are.
        let kept = |user: &User| fs::read_to_string(user.home.path("peers")).unwrap();
        assert!(
            kept(&bob).contains(":4628") && kept(&alice).contains(":4702"),
            "{}{}",
            kept(&bob),
            kept(&alice)
        );
        finish(bridge.cmd('b', &bob.home, &["say", "--wait", "20s", "alice", "found"]), b"", 0);
        assert_eq!(alice.home.received(), ["found"]);
    }
}

#[test]
#[ignore = "make check-net"]
fn of_several_who_wait_nobody_is_dialled() {
    let Some(bridge) = Bridge::lay(3, true) else { return };
    let Some((alice, bob)) = users(&bridge) else { return };
    let Some(mut carol) = User::new("carol") else { return };
    carol.prefix = format!("ip netns exec {}", bridge.host('c'));
    alice.types("invite --nearby");
    carol.types("invite --nearby --listen 4711");
    let calls = |host| bridge.beacons(host).iter().filter(|packet| packet.body.starts_with(b"EGi1")).count();
    poll_until("both call", || (calls('a') > 0 && calls('c') > 0).then_some(()));
    bob.types("join --nearby");
    let said = bob.ends_with(2);
    assert!(said.contains("several wait nearby: ") && said.contains("10.98.0.3:4711"), "{said}");
    bob.types("join 10.98.0.3:4711");
    assert_eq!(bob.compares(), carol.compares());
    alice.knows_nobody();
}
