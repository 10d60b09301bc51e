//! `egoat doctor`: each layer's good and bad verdict, as far as it can be had on loopback, and the status for it.

use crate::common;

use common::clock::Clock;
use common::disk::SmallDisk;
use common::lan::Lan;
use common::{Dead, Home, Node, by, finish, json_text, server};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A line of the report.
#[derive(Debug)]
struct Check {
    layer: String,
    verdict: String,
    detail: String,
    hint: Option<String>,
    address: Option<String>,
}

fn parse(line: &str) -> Check {
    assert_eq!(json_text(line, "event"), "check");
    let optional = |key: &str| {
        let is_null = line.contains(&format!("\"{key}\":null"));
        (!is_null).then(|| json_text(line, key))
    };
    let text = |key: &str| json_text(line, key);
    Check {
        layer: text("layer"),
        verdict: text("verdict"),
        detail: text("detail"),
        hint: optional("hint"),
        address: optional("address"),
    }
}

struct Seen {
    checks: Vec<Check>,
    stderr: String,
}

impl Seen {
    fn by(command: Command, code: i32) -> Seen {
        let (stdout, stderr) = finish(command, b"", code);
        Seen { checks: stdout.lines().map(parse).collect(), stderr }
    }

    /// What is said of a layer, which must have the verdict. A bad one has more to say.
    fn expect(&self, layer: &str, verdict: &str, detail: &str) -> &Check {
        let found: Vec<&Check> = self.checks.iter().filter(|check| check.layer == layer).collect();
        let right = |check: &&&Check| check.verdict == verdict && check.detail.contains(detail);
        found
            .iter()
            .find(right)
            .unwrap_or_else(|| panic!("{layer} is {verdict}, {detail}: {:#?}", self.checks))
    }

    fn all(&self, layers: &[&str], verdict: &str) {
        for layer in layers {
            self.expect(layer, verdict, "");
        }
    }

    /// That nothing is said of these.
    fn lacks(&self, layers: &[&str]) {
        assert!(self.checks.iter().all(|check| !layers.contains(&&check.layer[..])), "{:#?}", self.checks);
    }

    fn first_failure(&self, layer: &str) -> &Check {
        let first = self.checks.iter().find(|check| check.verdict == "failed").unwrap();
        assert_eq!(first.layer, layer, "{:#?}", self.checks);
        assert_eq!(self.stderr, format!("egoat: error: the first layer that fails is {layer}\n"));
        first
    }
}

fn look(home: &Home, args: &[&str], code: i32) -> Seen {
    Seen::by(home.cmd(&[&["--json", "doctor"], args].concat()), code)
}

/// Bob, who serves, and Alice, who knows him.
fn acquainted() -> (Home, Home, Node) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    bob.run(&["peers", "add", "alice", &alice.key()]);
    alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
    (alice, bob, node)
}

#[test]
fn a_clock_that_is_wrong() {
    let (alice, bob, mut node) = acquainted();
    let clock = Clock::new(bob.path("clock")).expect("faketime is here");
    let words: Vec<&str> = clock.words.iter().map(String::as_str).collect();
    node.kill9();
    let node = bob.serve_again_by(&words, &node.addr);
    for (by, verdict, detail) in [
        ("+0", "ok", "that of this machine"),
        ("+10s", "ok", "s ahead of this machine's"),
        ("-3h", "warning", "3 h behind this machine's"),
        ("+2d", "warning", "1 d 23 h ahead of this machine's"),
    ] {
        clock.jump(by);
        let check = look(&alice, &["bob"], 0);
        assert_eq!(check.expect("clock", verdict, detail).hint.is_some(), verdict == "warning");
    }
    drop(node);
}

fn knows(home: &Home, key: &str, addresses: &[&str]) {
    home.run(&[&["peers", "add", "bob", key], addresses].concat());
}

#[test]
fn all_is_well_between_two_nodes() {
    let (alice, _bob, node) = acquainted();
    let mut own = alice.serve();
    fs::set_permissions(alice.path(""), Permissions::from_mode(0o700)).unwrap();
    let seen = look(&alice, &["bob"], 0);
    seen.all(&["home", "identity", "disk", "downloads", "peers", "files", "node", "listen"], "ok");
    seen.all(&["tcp4", "protocol", "rtt", "key", "session"], "ok");
    // The node listens on loopback, where no router is.
    seen.all(&["gateway", "mapping", "dns4", "dns6", "tcp6"], "skipped");
    seen.lacks(&["proxy", "tcp"]);
    assert!(seen.expect("node", "ok", &own.addr).hint.is_none() && seen.stderr.is_empty());
    seen.expect("peers", "ok", "1 saved");
    assert_eq!(seen.expect("session", "ok", "takes this node as a peer").address.as_ref(), Some(&node.addr));
    seen.expect("rtt", "ok", " ms");
    seen.expect("clock", "ok", "that of this machine");
    // No link of a node that listens there alone has another.
    let addresses: Vec<_> = seen.checks.iter().filter(|check| check.layer == "address").collect();
    assert_eq!(addresses.len(), 1, "{addresses:?}");
    assert!(
        addresses[0].detail.contains("127.0.0.1 is loopback: only this machine can dial it"),
        "{addresses:?}"
    );
    seen.expect("nearby", "skipped", "by this machine alone");
    // In the order in which they depend on each other.
    let order = "home identity disk downloads peers files node listen gateway mapping nearby dns4 dns6 tcp4 tcp6 protocol rtt key session clock";
    let mut layers: Vec<&str> = seen.checks.iter().map(|check| &check.layer[..]).collect();
    layers.retain(|layer| *layer != "address");
    assert_eq!(layers.join(" "), order);
    // The same for people, without a peer's layers.
    let text = alice.run(&["doctor"]);
    assert!(text.starts_with("ok       home      /"), "{text}");
    assert!(text.contains("\nok       listen    the node answers at 127.0.0.1:"), "{text}");
    assert!(!text.contains("tcp4"), "{text}");
    own.kill9();
    let text = alice.run(&["doctor", "bob"]);
    let hinted =
        "warning  node      none runs here, so nobody can dial it\n                   hint: `egoat serve` ";
    assert!(text.contains(hinted), "{text}");
    assert!(text.contains(&format!("\nok       tcp4      {0}: connected to {0}\n", node.addr)), "{text}");
}

#[test]
fn nobody_there() {
    let (alice, dead) = (Home::new("alice"), Dead::new());
    let seen = look(&alice, &[&dead.addr], 69);
    let failure = seen.first_failure("tcp4");
    assert_eq!((&failure.detail[..], failure.address.as_ref()), ("connection refused", Some(&dead.addr)));
    assert!(failure.hint.as_ref().unwrap().contains("egoat serve"));
    seen.lacks(&["protocol", "key", "session"]);
    let on_v6 = look(&alice, &["[::1]:1"], 69);
    on_v6.first_failure("tcp6");
    on_v6.expect("tcp4", "skipped", "");
}

#[test]
fn names_resolve_or_do_not() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let at = node.addr.replace("127.0.0.1", "localhost");
    look(&alice, &[&at], 0).expect("dns4", "ok", "127.0.0.1");
    let seen = look(&alice, &["nobody.invalid:4628"], 69);
    seen.first_failure("dns4");
    seen.lacks(&["tcp4", "tcp6"]);
    let said = alice.fails(&["doctor", "nobody"], 2);
    assert!(said.contains("is called nobody, and no host either"), "{said}");
    alice.fails(&["doctor", "a b"], 2);
}

#[test]
fn one_family_that_works_is_enough() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let localhost_has_v6 = hosts.lines().any(|line| line.starts_with("::1") && line.contains(" localhost"));
    let node = bob.serve();
    let at = node.addr.replace("127.0.0.1", "localhost");
    let seen = look(&alice, &[&at], 0);
    seen.expect("tcp4", "ok", "");
    // Where the name has both, nobody listens at the other.
    let verdict = if localhost_has_v6 { "warning" } else { "skipped" };
    seen.checks.iter().filter(|check| check.layer == "tcp6").for_each(|check| {
        assert!(check.verdict == verdict || check.verdict == "skipped", "{check:?}");
    });
}

#[test]
fn another_program_there() {
    let alice = Home::new("alice");
    for (answer, words) in [
        (&b""[..], "closed the connection without an answer"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "no key"),
        (b"SSH-2.0", "too short"),
    ] {
        let seen = look(&alice, &[&server(answer)], 76);
        assert!(seen.first_failure("protocol").detail.contains(words), "{:?}", seen.checks);
        seen.expect("tcp4", "ok", "");
        seen.lacks(&["rtt", "key", "session"]);
    }
}

#[test]
fn another_key_than_the_pinned_one() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let old = Home::new("old-bob");
    knows(&alice, &old.key(), &[&node.addr]);
    let seen = look(&alice, &["bob"], 77);
    let failure = seen.first_failure("key");
    for fingerprint in [old.fingerprint(), bob.fingerprint()] {
        assert!(failure.detail.contains(&fingerprint), "{failure:?}");
    }
    assert!(failure.hint.as_ref().unwrap().contains("compare fingerprints"));
    seen.lacks(&["session"]);
    let link = format!("egoat:{}@{}", old.key(), node.addr);
    look(&alice, &[&link], 77).first_failure("key");
    // Where it was only seen, another node may be.
    let line = format!("bob {} - seen={}\n", old.key(), node.addr);
    fs::write(alice.path("peers"), line).unwrap();
    look(&alice, &["bob"], 69).expect("key", "failed", "another node has this address now");
}

#[test]
fn strangers_are_shown_and_stay_strangers() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let seen = look(&alice, &[&node.addr], 0);
    let key = seen.expect("key", "warning", &bob.fingerprint());
    assert!(key.hint.as_ref().unwrap().contains("egoat id"));
    seen.expect("session", "skipped", "no saved peer");
    let link = bob.run(&["invite"]);
    look(&alice, &[link.trim_end()], 0).expect("key", "ok", &bob.fingerprint());
    assert_eq!((alice.run(&["peers"]), bob.run(&["peers", "requests"])), (String::new(), String::new()));
    // The link is as good as before.
    alice.run(&["join", link.trim_end(), "--as", "bob"]);
    look(&alice, &[&node.addr], 0).expect("session", "ok", "bob proves its key");
    look(&bob, &[&node.addr], 0).expect("key", "ok", "this node itself");
}

#[test]
fn a_peer_that_does_not_take_us() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    knows(&alice, &bob.key(), &[&node.addr]);
    let seen = look(&alice, &["bob"], 77);
    let failure = seen.first_failure("session");
    assert!(failure.detail.contains("does not know this node yet"), "{failure:?}");
    assert!(failure.hint.as_ref().unwrap().contains("peers accept"));
    alice.run(&["peers", "set", "bob", "blocked"]);
    look(&alice, &[&node.addr], 0).expect("session", "skipped", "blocked here");
    let link = json_text(&bob.run(&["--json", "id"]), "link");
    for given in ["bob", &link] {
        let seen = look(&alice, &[given], 0);
        seen.expect("session", "skipped", "not dialled");
        seen.lacks(&["tcp4", "protocol", "key"]);
    }
}

#[test]
fn one_address_that_works_is_enough() {
    let (alice, bob, node) = acquainted();
    let (one, two) = (Dead::new(), server(b""));
    alice.run(&["peers", "remove", "bob"]);
    knows(&alice, &bob.key(), &[&one.addr, &two, &node.addr]);
    let seen = look(&alice, &["bob"], 0);
    assert_eq!(seen.expect("tcp4", "failed", "").address.as_ref(), Some(&one.addr));
    assert_eq!(seen.expect("protocol", "failed", "").address.as_ref(), Some(&two));
    assert_eq!(seen.expect("session", "ok", "").address.as_ref(), Some(&node.addr));
    alice.run(&["peers", "remove", "bob"]);
    knows(&alice, &bob.key(), &[&two, &one.addr]);
    look(&alice, &["bob"], 76).first_failure("protocol");
    alice.run(&["peers", "remove", "bob"]);
    knows(&alice, &bob.key(), &[]);
    look(&alice, &["bob"], 0).expect("session", "warning", "no address of bob is known");
}

#[test]
fn a_home_that_others_can_enter() {
    let alice = Home::new("alice");
    let mode = |mode| fs::set_permissions(alice.path(""), Permissions::from_mode(mode)).unwrap();
    mode(0o750);
    let warning = look(&alice, &[], 0);
    assert!(
        warning.expect("home", "warning", "others can see").hint.as_ref().unwrap().starts_with("`chmod 700 ")
    );
    mode(0o770);
    let seen = look(&alice, &[&Dead::new().addr], 74);
    let failure = seen.first_failure("home");
    assert!(
        failure.detail.contains("its mode is 770, so that others can change it") && failure.hint.is_some(),
        "{failure:?}"
    );
    // What comes behind is looked at all the same, and the first decides.
    seen.expect("tcp4", "failed", "");
    let nowhere = ["--home", "/dev/null/home", "--json", "doctor"];
    let mut command = Command::new(common::EGOAT);
    command.args(nowhere).env_remove("EGOAT_PROXY");
    Seen::by(command, 74).first_failure("home");
}

#[test]
fn an_identity_that_cannot_be_used() {
    let (alice, _bob, _node) = acquainted();
    let path = alice.path("identity");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    for words in ["others can read it", "not an identity of this version"] {
        let seen = look(&alice, &["bob"], 74);
        assert!(seen.first_failure("identity").detail.contains(words), "{:?}", seen.checks);
        seen.expect("session", "skipped", "without an identity");
        seen.lacks(&["tcp4"]);
        fs::write(&path, "something else\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    let empty = Home::empty_in(&std::env::temp_dir());
    look(&empty, &[], 0).expect("identity", "skipped", "made on first use");
    assert!(!empty.path("identity").exists());
}

#[test]
fn a_passphrase_is_asked_for_only_to_dial() {
    let (alice, _bob, _node) = acquainted();
    let with_passphrases = |args: &[&str]| {
        let script = "printf 'one\\none\\n' > \"$1\"; exec 3< \"$1\"; shift; exec \"$@\"";
        let file = alice.path("passphrases");
        let mut command = by(&["sh", "-c", script, "sh", file.to_str().unwrap()], &alice.cmd(args));
        command.env("EGOAT_PASSPHRASE_FD", "3");
        command
    };
    // The identity has none yet: the first line is the new one.
    finish(with_passphrases(&["id", "--passphrase"]), b"", 0);
    look(&alice, &[], 0).expect("identity", "ok", "has a passphrase");
    Seen::by(with_passphrases(&["--json", "doctor", "bob"]), 0).expect("session", "ok", "");
    let said = alice.fails(&["doctor", "bob"], 1);
    assert!(said.contains("passphrase"), "{said}");
}

#[test]
fn a_peers_file_that_cannot_be_understood() {
    let alice = Home::new("alice");
    fs::write(alice.path("peers"), "bob\n").unwrap();
    look(&alice, &[], 74).first_failure("peers");
}

#[test]
fn a_disk_that_fills() {
    let Some(disk) = SmallDisk::mount() else { return };
    let alice = Home::new_in(disk.path(), "alice");
    let seen = look(&alice, &[], 74);
    assert!(seen.first_failure("disk").detail.contains("free for "), "{:?}", seen.checks);
    seen.expect("downloads", "failed", "downloads");
    disk.grow_to(64);
    let seen = look(&alice, &[], 0);
    assert!(seen.expect("disk", "warning", "").hint.is_some());
    seen.expect("downloads", "warning", "");
}

#[test]
fn few_files_may_be_open() {
    let alice = Home::new("alice");
    let limited = |files: &str| {
        let script = format!("ulimit -n {files}; exec \"$@\"");
        Seen::by(by(&["sh", "-c", &script, "sh"], &alice.cmd(&["--json", "doctor"])), 0)
    };
    let few = limited("64");
    let warning = few.expect("files", "warning", "64 files may be open, enough for 2 peers at once");
    assert!(warning.hint.as_ref().unwrap().contains("ulimit -n"));
    limited("1024").expect("files", "ok", "1024 files");
    // Enough for most, but not for those who are saved.
    let peer = |number: usize| format!("p{number} {} -\n", Home::new("peer").key());
    fs::write(alice.path("peers"), (0..20).map(peer).collect::<String>()).unwrap();
    limited("300").expect("files", "warning", "300 files");
}

#[test]
fn a_node_that_does_not_answer() {
    let alice = Home::new("alice");
    let node = alice.serve_with(&["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]);
    let seen = look(&alice, &[], 0);
    seen.expect("listen", "ok", &node.addr);
    seen.expect("listen", "ok", "[::1]:");
    node.signal("STOP");
    let seen = look(&alice, &[], 69);
    assert!(seen.first_failure("listen").hint.as_ref().unwrap().contains("firewall"));
    node.signal("CONT");
    look(&alice, &[], 0).expect("listen", "ok", &node.addr);
}

#[test]
fn where_a_node_would_listen() {
    let alice = Home::new("alice");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    fs::write(alice.path("listen"), format!("{at}\n")).unwrap();
    let seen = look(&alice, &[], 0);
    seen.expect("node", "warning", "none runs here");
    assert!(seen.expect("listen", "warning", "cannot listen on 127.0.0.1").hint.is_some());
    drop(taken);
    look(&alice, &[], 0).expect("listen", "ok", "nobody else does");
}

#[test]
fn each_kind_of_address_is_explained() {
    let Some(lan) = Lan::new() else { return };
    let alice = Home::new("alice");
    let look = |script: &str| {
        let script = format!("{script} exec \"$@\"");
        Seen::by(lan.cmd(by(&["sh", "-c", &script, "sh"], &alice.cmd(&["--json", "doctor"]))), 0)
    };
    let none = look("");
    assert!(none.expect("address", "warning", "none but loopback").hint.is_some());
    for (ip, verdict, words) in [
        ("100.64.0.9", "warning", "carrier-grade NAT, RFC 6598"),
        ("192.168.3.4", "warning", "private (RFC 1918)"),
        ("169.254.3.4", "warning", "link-local"),
        ("192.0.2.2", "warning", "cannot be dialled by anybody"),
        ("8.8.4.4", "ok", "can be dialled by everybody"),
        ("2600::5", "ok", "can be dialled by everybody"),
        ("fd00::5", "warning", "private (RFC 4193)"),
    ] {
        // A new IPv6 address is no source address before the kernel knows that nobody else has it.
        let flag = if ip.contains(':') { "nodad" } else { "" };
        let seen = look(&format!(
            "ip addr flush dev lo scope global; ip addr add {ip} dev lo {flag} \
             && ip route replace default dev lo src {ip} || exit 9;"
        ));
        let check = seen.expect("address", verdict, &format!("{ip} "));
        assert!(check.detail.contains(words) && check.hint.is_some() == (verdict == "warning"), "{check:?}");
    }
}
