//! How nodes get to know each other: invites, links, first use; and the peers that come of it.

use crate::common;

use common::proxy::{How, Plan, Proxy, Way};
use common::{EGOAT, Home, Process, json_text, pair, paired, poll_until};
use egoat::crypto::base32;
use egoat::node::pairing::{self, Admittance, Profile, Rules, Visitor};
use egoat::store::invites;
use egoat::time::now_micros;
use egoat::wire::message::Refusal;
use std::process::Command;
use std::thread;
use std::time::Duration;

fn invite(home: &Home, args: &[&str]) -> String {
    home.run(&[&["invite"], args].concat()).trim_end().to_owned()
}

/// Nobody listens at the joiner's, so there is no address to dial it at.
#[test]
fn who_joins_without_a_node_is_not_thought_to_listen() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = alice.serve();
    bob.run(&["join", &invite(&alice, &[])]);
    assert!(alice.run(&["--json", "peers"]).contains("\"seen\":null"), "{}", alice.run(&["peers"]));
}

/// Another character of base32 in place of the one at `index`.
fn altered(text: &str, index: usize) -> String {
    let other = if &text[index..=index] == "a" { "b" } else { "a" };
    format!("{}{other}{}", &text[..index], &text[index + 1..])
}

#[test]
fn an_invite_is_the_link_alone_on_stdout() {
    let alice = Home::new("alice");
    let node = alice.serve();
    let (out, said) = alice.ends_with(&["invite"], b"", 0);
    let [link] = out.lines().collect::<Vec<_>>()[..] else { panic!("{out}") };
    assert!(
        link.starts_with(&format!("egoat:{}.", alice.key())) && link.ends_with(&format!("@{}", node.addr))
    );
    assert!(said.lines().all(|line| line.starts_with("egoat: ")), "{said}");
    let (_, quiet) = alice.ends_with(&["-q", "invite"], b"", 0);
    assert_eq!(quiet, "");
    let json = alice.run(&["--json", "invite", "--ttl", "5m"]);
    assert!(json_text(&json, "link").starts_with("egoat:") && json.contains("\"seconds\":300"), "{json}");
}

#[test]
fn joining_pins_key_and_address_on_both_sides() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (mut alice_node, bob_node) = (alice.serve(), bob.serve());
    let joined = bob.run(&["join", &invite(&alice, &[])]);
    assert_eq!(joined, format!("paired with alice, fingerprint {}\n", alice.fingerprint()));
    assert_eq!(
        alice_node.wait_for("paired with "),
        format!("paired with bob, fingerprint {}", bob.fingerprint())
    );
    // The joiner has the address from the link, the inviter has seen the joiner's.
    let line = |name: &str, other: &Home, at: &str| format!("{name}  {}  {at}\n", other.fingerprint());
    assert_eq!(alice.run(&["peers"]), line("bob", &bob, &format!("{} (seen)", bob_node.addr)));
    assert_eq!(bob.run(&["peers"]), line("alice", &alice, &alice_node.addr));
    let (hers, his) = (alice.run(&["--json", "peers"]), bob.run(&["--json", "peers"]));
    assert_eq!(
        (json_text(&hers, "key"), json_text(&his, "key")),
        (bob.key().to_owned(), alice.key().to_owned())
    );
    assert_eq!(json_text(&hers, "seen"), bob_node.addr);
    assert!(
        his.contains(&format!("\"addresses\":[\"{}\"],\"origins\":[\"user\"]", alice_node.addr)),
        "{his}"
    );
    assert!(his.contains("\"seen\":null"), "{his}");
}

#[test]
fn a_link_is_read_from_stdin() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = alice.serve();
    bob.pipe(&["join", "-"], format!("  {}\n", invite(&alice, &[])).as_bytes());
    assert!(bob.run(&["peers"]).starts_with("alice "));
}

#[test]
fn without_a_link_and_a_terminal_joining_is_a_usage_error() {
    let said = Home::new("bob").fails(&["join"], 2);
    assert!(
        said.contains("no terminal") && said.contains("hint: ") && said.contains("egoat join -"),
        "{said}"
    );
}

#[test]
fn both_sides_choose_what_to_call_the_other() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = alice.serve();
    bob.run(&["join", "--as", "Älice", &invite(&alice, &["--as", "my-bob"])]);
    assert!(alice.run(&["peers"]).starts_with("my-bob "));
    assert!(bob.run(&["peers"]).starts_with("Älice "));
    let said = alice.fails(&["invite", "--as", "../bob"], 2);
    assert!(said.contains("is no name"), "{said}");
}

#[test]
fn whom_to_join_is_renamed_if_it_is_saved_already() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let _node = alice.serve();
    pair(&alice, &bob);
    let join = |name: &str| bob.ends_with(&["join", "--as", name, &invite(&alice, &[])], b"", 0);
    let (said, notes) = join("alicia");
    assert!(said.starts_with("paired with alicia, ") && notes.is_empty(), "{said} {notes}");
    assert!(bob.run(&["peers"]).starts_with("alicia "));
    bob.run(&["peers", "add", "carol", &carol.key()]);
    let (said, notes) = join("carol");
    assert!(said.starts_with("paired with alicia, "), "{said}");
    assert!(notes.contains("another peer is called carol already, so this one is called alicia"), "{notes}");
    assert!(bob.run(&["peers", "show", "carol"]).contains(&carol.key()));
    assert!(join("alicia").1.is_empty());
}

#[test]
fn two_peers_of_one_name_are_told_apart() {
    let (alice, bob, other) = (Home::new("alice"), Home::new("bob"), Home::new("bob"));
    let _node = alice.serve();
    pair(&alice, &bob);
    pair(&alice, &other);
    let peers = alice.run(&["peers"]);
    let names: Vec<&str> = peers.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["bob", "bob-2"]);
}

#[test]
fn a_link_works_once_but_again_for_the_same_node() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let _node = alice.serve();
    let link = invite(&alice, &[]);
    bob.run(&["join", &link]);
    let said = carol.fails(&["join", &link], 77);
    assert!(said.contains("another node has used this invite") && said.contains("hint: "), "{said}");
    assert_eq!(carol.run(&["peers"]), "");
    // As after a crash before the answer arrived.
    bob.run(&["join", &link]);
    assert_eq!(alice.run(&["peers"]).lines().count(), 1);
}

#[test]
fn an_expired_link_says_so_but_not_to_who_used_it_in_time() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = alice.serve();
    let link = invite(&alice, &["--ttl", "1ms"]);
    // It is good for up to a second more.
    thread::sleep(Duration::from_millis(1100));
    let said = bob.fails(&["join", &link], 77);
    assert!(said.contains("the invite has expired"), "{said}");

    let link = invite(&alice, &[]);
    bob.run(&["join", &link]);
    // Its time passes: TOKEN EXPIRES [NAME], see egoat-files(5).
    let invites = std::fs::read_to_string(alice.path("invites")).unwrap();
    let past = invites.lines().map(|line| line.split(' ').next().unwrap().to_owned() + " 1\n");
    std::fs::write(alice.path("invites"), past.collect::<String>()).unwrap();
    assert!(Home::new("carol").fails(&["join", &link], 77).contains("another node has used this invite"));
    bob.run(&["join", &link]);
}

/// TOKEN EXPIRES [NAME], see egoat-files(5).
fn invites(count: usize, expires: u64) -> String {
    let token = |index: usize| base32::encode(&(index as u128).to_le_bytes());
    (0..count).map(|index| format!("{} {}\n", token(index), expires + index as u64)).collect()
}

#[test]
fn a_link_is_good_for_no_less_than_it_says() {
    let alice = Home::new("alice");
    for (index, ttl) in [1, 500, 999, 1000, 1001, 5900].into_iter().enumerate() {
        let before = now_micros();
        let json = alice.run(&["--json", "invite", "--ttl", &format!("{ttl}ms")]);
        let after = now_micros();
        let text = std::fs::read_to_string(alice.path("invites")).unwrap();
        let all: Vec<u64> =
            text.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        let expires = all.iter().max().unwrap() * 1_000_000;
        assert_eq!(all.len(), index + 1);
        assert!((before + ttl * 1000..after + ttl * 1000 + 1_000_000).contains(&expires), "{ttl}: {text}");
        assert!(json.contains(&format!("\"seconds\":{}}}", ttl.div_ceil(1000))), "{json}");
    }
}

#[test]
fn many_expired_links_leave_room_for_good_ones() {
    let alice = Home::new("alice");
    let before = invites(27_500, now_micros() / 1_000_000 - 30_000);
    std::fs::write(alice.path("invites"), &before).unwrap();
    assert!(before.len() > (1 << 20) - 10_000);
    for _ in 0..2 {
        invite(&alice, &[]);
    }
    let after = std::fs::read_to_string(alice.path("invites")).unwrap();
    let lines: Vec<&str> = after.lines().collect();
    assert_eq!(lines.len(), 5000 + 2);
    // The oldest have gone.
    assert!(before.ends_with(&(lines[..5000].join("\n") + "\n")));
}

#[test]
fn nothing_is_written_that_could_not_be_read() {
    let alice = Home::new("alice");
    let good = invites(27_590, now_micros() / 1_000_000 + 3600);
    std::fs::write(alice.path("invites"), &good).unwrap();
    let mut room = ((1 << 20) - good.len()) / 38;
    assert!(room < 10);
    while room > 0 {
        invite(&alice, &["--addr", "host:1"]);
        room -= 1;
    }
    let full = std::fs::read_to_string(alice.path("invites")).unwrap();
    let said = alice.fails(&["invite"], 74);
    assert!(said.contains("cannot replace") && said.contains("longer than 1048576 bytes"), "{said}");
    assert_eq!(std::fs::read_to_string(alice.path("invites")).unwrap(), full);

    let comment = "#".repeat((4 << 20) - 10) + "\n";
    std::fs::write(alice.path("peers"), &comment).unwrap();
    let said = alice.fails(&["peers", "add", "bob", &Home::new("bob").key()], 74);
    assert!(said.contains("cannot replace") && said.contains("longer than 4194304 bytes"), "{said}");
    assert_eq!(alice.run(&["peers"]), "");
}

#[test]
fn an_altered_token_is_refused() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = alice.serve();
    let link = invite(&alice, &[]);
    let said = bob.fails(&["join", &altered(&link, link.find('.').unwrap() + 1)], 77);
    assert!(said.contains("does not know this invite") && said.contains("hint: "), "{said}");
    assert_eq!((alice.run(&["peers"]).as_str(), bob.run(&["peers"]).as_str()), ("", ""));
    bob.run(&["join", &link]);
}

#[test]
fn a_link_with_another_key_is_refused_with_both_fingerprints() {
    let (alice, bob, mallory) = (Home::new("alice"), Home::new("bob"), Home::new("mallory"));
    let _node = alice.serve();
    let link = invite(&alice, &[]).replace(&alice.key(), &mallory.key());
    let said = bob.fails(&["join", &link], 77);
    assert!(said.contains("another node answers at") && !said.contains("has changed"), "{said}");
    assert!(said.contains(&alice.fingerprint()) && said.contains(&mallory.fingerprint()), "{said}");
}

#[test]
fn malformed_links_are_usage_errors() {
    let bob = Home::new("bob");
    let key = Home::new("alice").key();
    let bad = [
        "".to_owned(),
        "egoat:".into(),
        "http://example.org".into(),
        format!("egoat:{key}"),
        format!("egoat:{key}@"),
        format!("egoat:{}@127.0.0.1:1", &key[1..]),
        format!("egoat:{key}.short@127.0.0.1:1"),
        format!("egoat:{key}@127.0.0.1:0"),
        format!("egoat:{key}@127.0.0.1:99999"),
        format!("egoat:{key}@127.0.0.1:1,,127.0.0.1:2"),
        format!("egoat:{}@127.0.0.1:1", "a".repeat(52)),
        format!("egoat:{key}@{}", ["127.0.0.1:1"; 9].join(",")),
    ];
    for link in bad {
        let said = bob.fails(&["join", &link], 2);
        assert!(said.contains("this is no link: ") && said.contains("hint: "), "{link}: {said}");
    }
}

#[test]
fn first_use_without_a_terminal_shows_the_fingerprint_and_two_ways_out() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve();
    let said = bob.fails(&["say", &node.addr, "hi"], 77);
    assert!(said.contains(&alice.fingerprint()), "{said}");
    assert!(said.contains("egoat invite") && said.contains("--accept-new"), "{said}");
    assert_eq!(bob.run(&["peers"]), "");
}

#[test]
fn two_who_take_keys_on_trust_talk_at_once() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = alice.serve_with(&["--listen", "127.0.0.1:0", "--accept-new"]);
    bob.run(&["say", "--accept-new", "--wait", "30s", &node.addr, "hi"]);
    node.wait_for("paired with bob");
    node.wait_for("message from bob: hi");
    // By the address as by the name.
    bob.run(&["say", "--wait", "30s", &node.addr, "again"]);
    bob.run(&["say", "--wait", "30s", "alice", "and again"]);
    node.wait_for("message from bob: and again");
}

/// Nothing is saved before the other side has said yes, and then under the name that it tells.
#[test]
fn a_stranger_waits_for_acceptance_and_is_delivered_then() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = alice.serve();
    let _bob_node = bob.serve();
    let file = bob.file("a.txt", "a");
    for args in [
        &["say", "--accept-new", &node.addr, "hi"][..],
        &["say", "--accept-new", "--wait", "5s", &node.addr, "hi"],
        &["send", "--accept-new", &node.addr, &file],
        &["send", "--accept-new", "--queue", &node.addr, &file],
    ] {
        let said = bob.fails(args, 77);
        assert!(
            said.contains("does not know this node yet") && said.contains("egoat peers accept"),
            "{said}"
        );
        assert!(said.contains("then repeat this: nothing was saved here"), "{said}");
        assert_eq!(bob.run(&["peers"]) + &bob.run(&["outbox"]), "");
    }
    let request = node.wait_for("bob wants to be a peer");
    assert!(request.contains(&format!("`egoat peers accept {}`", bob.fingerprint())), "{request}");
    let listed = alice.run(&["peers", "requests"]);
    assert!(listed.contains(&bob.fingerprint()) && listed.contains(" bob "), "{listed}");

    assert!(alice.fails(&["peers", "accept", "aaaa-bbbb"], 1).contains("no such stranger"));
    alice.run(&["peers", "accept", &bob.fingerprint()]);
    bob.run(&["say", "--accept-new", "--wait", "30s", &node.addr, "hi"]);
    node.wait_for("message from bob: hi");
    assert_eq!(alice.run(&["peers", "requests"]), "");
    let peers = bob.run(&["--json", "peers"]);
    assert!(peers.lines().count() == 1 && json_text(&peers, "peer") == "alice", "{peers}");
}

/// As two machines of one user are, or of root on two that are called vm.
#[test]
fn two_of_one_name_can_be_told_apart() {
    let (one, other) = (Home::new("vm"), Home::new("vm"));
    let mut node = one.serve();
    let (out, said) = other.ends_with(&["join", &invite(&one, &[])], b"", 0);
    assert!(out.starts_with("paired with vm-2, fingerprint "), "{out}");
    assert!(said.contains("this node is called vm; the other one is vm-2 here"), "{said}");
    node.wait_for("paired with vm-2");
    other.run(&["say", "--wait", "30s", "vm-2", "hi"]);
    node.wait_for("message from vm-2: hi");
    // Whoever names it decides.
    let third = Home::new("vm");
    let (out, said) = third.ends_with(&["join", "--as", "vm", &invite(&one, &["--as", "vm"])], b"", 0);
    assert!(
        out.starts_with("paired with vm, fingerprint ") && !said.contains("this node is called"),
        "{out}{said}"
    );
    node.wait_for("paired with vm");
}

#[test]
fn the_only_stranger_needs_no_fingerprint_and_several_are_listed() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let node = alice.serve();
    assert!(alice.fails(&["peers", "accept"], 1).contains("no stranger waits"));
    for home in [&bob, &carol] {
        home.fails(&["say", "--accept-new", &node.addr, "hi"], 77);
    }
    let said = alice.fails(&["peers", "accept"], 2);
    let line = |home: &Home, name: &str| format!("\n    {}  {name}\n", home.fingerprint());
    assert!(said.contains("2 strangers wait:"), "{said}");
    assert!(said.contains(&line(&bob, "bob")) && said.contains(&line(&carol, "carol")), "{said}");
    alice.run(&["peers", "accept", &carol.fingerprint()]);
    assert!(alice.run(&["peers", "accept"]).contains("name         bob"));
}

#[test]
fn a_stranger_is_called_what_the_user_says_if_nobody_else_is() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let node = alice.serve();
    for (home, called, note) in
        [(&bob, "friend", ""), (&carol, "friend-2", "another peer is called friend already")]
    {
        home.fails(&["say", "--accept-new", &node.addr, "hi"], 77);
        let (out, said) =
            alice.ends_with(&["--json", "peers", "accept", "--as", "friend", &home.fingerprint()], b"", 0);
        assert_eq!(json_text(&out, "peer"), called);
        assert!(said.contains(note) && said.is_empty() == note.is_empty(), "{said}");
    }
}

#[test]
fn files_to_a_node_that_does_not_know_us_are_refused() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve();
    let said = bob.fails(&["send", "--accept-new", &node.addr, &bob.file("a.txt", "a")], 77);
    assert!(said.contains("does not know this node yet") && said.contains("egoat peers accept"), "{said}");
}

#[test]
fn another_node_at_a_peers_address_is_a_changed_key() {
    let (alice, mut alice_node, bob, mut bob_node) = paired();
    bob_node.kill9();
    alice_node.kill9();
    let mallory = Home::new("mallory");
    let _node = mallory.serve_again_at(&alice_node.addr);
    let file = bob.file("secret.txt", "secret");
    for args in [&["say", "alice", "hi"][..], &["send", "alice", &file]] {
        let said = bob.fails(args, 77);
        assert!(said.contains(&alice.fingerprint()) && said.contains(&mallory.fingerprint()), "{said}");
        assert!(said.contains("hint: ") && said.contains("egoat peers remove alice"), "{said}");
        let is_queued =
            said.contains("what was said stays queued for alice as it was; `egoat outbox` shows it");
        assert_eq!(is_queued, args[0] == "say", "{said}");
    }
    assert_eq!(mallory.run(&["log"]), "");
}

#[test]
fn a_node_does_not_pair_with_itself() {
    let alice = Home::new("alice");
    let node = alice.serve();
    assert!(alice.fails(&["join", &invite(&alice, &[])], 2).contains("own"));
    assert!(alice.fails(&["say", "--accept-new", &node.addr, "hi"], 2).contains("is this one"));
    assert!(alice.fails(&["peers", "add", "me", &alice.key()], 2).contains("own key"));
}

/// It was found before its peer was removed, and the removal has the lock first.
#[test]
fn an_invite_that_is_withdrawn_meanwhile_brings_nobody_back() {
    let alice = Home::new("alice");
    let home = egoat::store::home::Home::locate(alice.path("").to_str()).unwrap();
    let invite = invites::issue(&home, Duration::from_secs(60), None, Vec::new()).unwrap();
    let profile =
        Profile { name: None, address: None, is_from_here: true, time: None, is_one_off: false, port: 0 };
    let visitor =
        Visitor { key: Home::new("bob").key().parse().unwrap(), profile: &profile, invite: Some(&invite) };
    invites::withdraw(&home, &invites::id_text(&invite.token.invite_id())).unwrap();
    let rules = Rules { accepts_new: false, may_add: &|| true, may_note: &|| true, may_move: &|_| true };
    let verdict = pairing::judge(&home, &visitor, &rules).unwrap();
    assert!(matches!(verdict, Admittance::Refused { refusal: Refusal::Unknown, noted: true }));
}

/// Connections last for weeks, and another may have the old name by then.
#[test]
fn a_name_that_is_given_holds_for_connections_that_are_there() {
    let (alice, mut alice_node, bob, _bob_node) = paired();
    alice_node.wait_for("connected with bob");
    alice.run(&["peers", "rename", "bob", "robert"]);
    poll_until("the new name to be used", || {
        bob.run(&["say", "alice", "hm"]);
        alice_node.wait_for("message from ").starts_with("message from robert: ").then_some(())
    });
    alice.run(&["say", "robert", "hm"]);
    alice_node.wait_for("delivered 1 to robert");
}

#[test]
fn peers_are_shown_renamed_and_added_by_key() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    alice.run(&["peers", "add", "bob", &bob.key(), "bob.example:5000", "[::1]:6000"]);
    let shown = alice.run(&["peers", "show", "bob"]);
    assert!(
        shown.contains(&bob.key()) && shown.contains("\naddress      bob.example:5000  (yours"),
        "{shown}"
    );
    assert!(shown.contains("\naddress      [::1]:6000  (yours; has not worked yet)"), "{shown}");
    let link = json_text(&carol.run(&["--json", "id"]), "link");
    alice.run(&["peers", "add", "carol", &link]);
    assert!(alice.run(&["peers", "show", "carol"]).contains(&carol.fingerprint()));

    assert!(alice.fails(&["peers", "add", "robert", &bob.key()], 1).contains("bob has this key already"));
    assert!(alice.fails(&["peers", "add", "dora", "abc"], 2).contains("this is no key"));
    assert!(alice.fails(&["peers", "rename", "bob", "carol"], 1).contains("called carol already"));
    assert!(alice.fails(&["peers", "rename", "bob", "a b"], 2).contains("is no name"));
    alice.run(&["peers", "rename", "bob", "bob"]);
    alice.run(&["peers", "rename", "bob", "robert"]);
    assert!(alice.fails(&["peers", "show", "bob"], 2).contains("is called bob"));
    assert!(alice.run(&["peers", "show", "robert"]).contains(&bob.key()));
}

#[test]
fn comments_and_unknown_options_in_the_peers_file_stay() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let text = format!("# friends\n\nbob {} - colour=blue\n", bob.key());
    std::fs::write(alice.path("peers"), &text).unwrap();
    alice.run(&["peers", "rename", "bob", "robert"]);
    let after = std::fs::read_to_string(alice.path("peers")).unwrap();
    assert_eq!(after, text.replace("bob ", "robert "));
}

#[test]
fn a_removed_peer_cannot_come_back_by_its_old_link() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = alice.serve();
    let link = invite(&alice, &[]);
    bob.run(&["join", &link]);
    bob.run(&["say", "--wait", "30s", "alice", "before"]);
    alice.run(&["peers", "remove", "bob"]);
    let said = bob.fails(&["join", &link], 77);
    assert!(said.contains("does not know this invite"), "{said}");
    let (_, said) = bob.ends_with(&["say", "alice", "after"], b"", 0);
    assert!(said.contains("queued") && said.contains("does not know this node"), "{said}");
    node.wait_for("bob wants to be a peer");
    assert_eq!(alice.run(&["peers"]), "");
}

#[test]
fn a_connection_of_a_removed_peer_delivers_nothing_more() {
    let (alice, mut alice_node, bob, _bob_node) = paired();
    bob.run(&["say", "--wait", "30s", "alice", "before"]);
    alice_node.wait_for("message from bob: before");
    alice.run(&["peers", "remove", "bob"]);
    poll_until("the node to notice", || {
        let mut command = bob.cmd(&["say", "--wait", "300ms", "alice", "after"]);
        (command.output().unwrap().status.code() == Some(75)).then_some(())
    });
    assert!(bob.run(&["outbox"]).ends_with(" -> alice: after\n"));
}

#[test]
fn a_blocked_peer_is_told_so() {
    let (alice, mut alice_node, bob, _bob_node) = paired();
    let peers = std::fs::read_to_string(alice.path("peers")).unwrap();
    std::fs::write(alice.path("peers"), peers.trim_end().to_owned() + " blocked\n").unwrap();
    let said = bob.fails(&["send", "alice", &bob.file("a.txt", "a")], 77);
    assert!(said.contains("it has blocked this node"), "{said}");
    assert!(alice_node.is_running());
}

#[test]
fn a_typing_error_in_the_peers_file_does_not_end_a_node() {
    let (alice, mut alice_node, bob, _bob_node) = paired();
    let good = std::fs::read_to_string(alice.path("peers")).unwrap();
    std::fs::write(alice.path("peers"), format!("{good}oops\n")).unwrap();
    let said = alice.fails(&["peers"], 74);
    assert!(said.contains("line 2") && said.contains("hint: "), "{said}");
    // A new connection is refused; the node knows all the same whom it collects from over the one that is there.
    let sent = Process::start(bob.cmd(&["send", "alice", &bob.file("a.txt", "a")])).end();
    assert!(matches!(sent.0, Some(0 | 69)), "{}", sent.2);
    assert!(alice_node.is_running());
    std::fs::write(alice.path("peers"), good).unwrap();
    bob.run(&["say", "--wait", "30s", "alice", "hi"]);
    alice_node.wait_for("message from bob: hi");
}

#[test]
fn a_fingerprint_is_confirmed_on_a_terminal() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve_with(&["--listen", "127.0.0.1:0", "--accept-new"]);
    if cfg!(not(target_os = "linux")) || Command::new("script").arg("--version").output().is_err() {
        crate::common::skip("there is no script(1) of util-linux here");
        return;
    }
    let on_terminal = |answer: &str, code: i32| {
        let mut command = Command::new("script");
        let home = bob.path("");
        let line = format!("'{}' --home '{}' say {} hi", EGOAT, home.display(), node.addr);
        command.args(["-qec", &line, "/dev/null"]);
        let mut process = Process::start(command);
        process.wait_for("egoat: ");
        process.write(answer.as_bytes());
        let (ended, out, _) = process.end();
        assert_eq!(ended, Some(code), "{out}");
    };
    on_terminal("no\n", 1);
    assert_eq!(bob.run(&["peers"]), "");
    on_terminal("yes\n", 0);
    assert!(bob.run(&["peers"]).contains(&alice.fingerprint()));
}

/// The same link by way of a proxy in front of the node.
fn by_way_of(link: &str, proxy: &Proxy) -> String {
    format!("{}@{}", link.split('@').next().unwrap(), proxy.addr)
}

#[test]
fn a_handshake_that_is_cut_is_a_lost_connection_and_no_fault_of_the_link() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve();
    let proxy = Proxy::before(&node.addr);
    let link = by_way_of(&invite(&alice, &[]), &proxy);
    // Late, the dialler sees an end in order after what it said, as from a node that does not know the invite.
    proxy.hold();
    for plan in [
        Plan::cut(Way::ToNode, 600, How::Late),
        Plan::cut(Way::ToNode, 600, How::Cut),
        Plan::cut(Way::ToDialler, 600, How::Cut),
        Plan::cut(Way::ToDialler, 20, How::Cut),
    ] {
        proxy.plan(move || plan);
        let said = bob.fails(&["join", &link], 69);
        assert!(!said.contains("invite") && !said.contains("protocol"), "{plan:?}: {said}");
    }
    proxy.release();
    proxy.plan(Plan::default);
    // The connections that were held end in their time.
    let join = || bob.cmd(&["join", &link]).output().unwrap().status.success();
    poll_until("a place at the node", || join().then_some(()));
    // Nor does a good line make a bad link good.
    let said = bob.fails(&["join", &altered(&link, link.find('.').unwrap() + 1)], 77);
    assert!(said.contains("does not know this invite"), "{said}");
}

#[test]
fn a_node_that_is_met_at_an_address_may_be_cut_off_as_well() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve();
    let proxy = Proxy::before(&node.addr);
    proxy.plan(|| Plan::cut(Way::ToDialler, 20, How::Cut));
    let said = bob.fails(&["chat", &proxy.addr], 69);
    assert!(said.contains("lost while"), "{said}");
}

#[test]
fn whoever_waits_pairs_when_the_line_is_good_again() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = bob.file("a.txt", "a");
    let here = alice.path("here").to_str().unwrap().to_owned();
    let mut receive = Process::start(alice.cmd(&["receive", "--into", &here, "--listen", "127.0.0.1:0"]));
    let link = receive.wait_for("egoat:");
    let proxy = Proxy::before(link.split('@').nth(1).unwrap());
    proxy.plan(|| Plan::cut(Way::ToDialler, 600, How::Cut));
    let mut send = Process::start(bob.cmd(&["send", "--wait", "10m", &by_way_of(&link, &proxy), &file]));
    send.wait_to_say("trying again");
    proxy.plan(Plan::default);
    let (status, _, said) = send.end();
    assert_eq!((status, receive.end().0), (Some(0), Some(0)), "{said}");

    let node = alice.serve();
    let proxy = Proxy::before(&node.addr);
    proxy.plan(|| Plan::cut(Way::ToDialler, 600, How::Cut));
    let link = by_way_of(&invite(&alice, &[]), &proxy);
    let mut say = Process::start(bob.cmd(&["say", "--wait", "10m", &link, "hi"]));
    say.wait_to_say("trying again");
    proxy.plan(Plan::default);
    let (status, _, said) = say.end();
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn what_a_pipe_gave_outlives_a_first_connection_that_is_cut() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    bob.run(&["peers", "add", "alice", &alice.key()]);
    for (number, at) in [0, 600].into_iter().enumerate() {
        let proxy = Proxy::before(&node.addr);
        proxy.plan(move || Plan::cut(Way::ToNode, at, How::Cut));
        let name = format!("bob{number}");
        alice.run(&["peers", "add", &name, &bob.key(), &proxy.addr]);
        let mut send = Process::start(alice.cmd(&["send", &name, "-"]));
        send.write(b"precious");
        send.wait_to_say("trying again");
        proxy.plan(Plan::default);
        let (status, _, said) = send.end();
        assert_eq!(status, Some(0), "{said}");
        alice.run(&["peers", "remove", &name]);
    }
}
