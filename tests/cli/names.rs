//! Names of peers and of this node, and links, as people type and copy them.

use crate::common;

use common::{Home, finish, pair};

/// Adds peers with keys of their own.
fn with_peers(names: &[&str]) -> Home {
    let home = Home::new("me");
    for name in names {
        home.run(&["peers", "add", name, &Home::new(name).key()]);
    }
    home
}

#[test]
fn a_peer_is_found_by_its_beginning_and_in_any_case() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = bob.serve();
    pair(&bob, &alice);
    alice.run(&["peers", "add", "anna", &Home::new("anna").key()]);
    alice.run(&["peers", "add", "anton", &Home::new("anton").key()]);
    for typed in ["bob", "Bob", "B", "bo"] {
        alice.run(&["say", "--wait", "30s", typed, typed]);
    }
    assert_eq!(bob.received(), ["bob", "Bob", "B", "bo"]);
    assert!(alice.run(&["log", "BO"]).contains("-> bob: bo"));
    assert!(alice.run(&["peers", "set", "ant", "files=ask"]).starts_with("name         anton\n"));
    for (typed, args) in
        [("an", &["say", "an", "hi"][..]), ("AN", &["log", "AN"]), ("a", &["peers", "remove", "a"])]
    {
        let said = alice.fails(args, 2);
        assert!(said.contains(&format!("{typed} may be anna or anton; type more")), "{said}");
    }
}

#[test]
fn a_name_of_nobody_is_told_with_the_home_and_the_one_that_was_meant() {
    let home = with_peers(&["alice", "bob"]);
    let dir = home.path("").display().to_string();
    let dir = dir.trim_end_matches('/');
    for args in [
        &["log", "alcie"][..],
        &["peers", "show", "alcie"],
        &["peers", "remove", "alcie"],
        &["peers", "rename", "alcie", "x"],
        &["outbox", "retry", "alcie"],
        &["receive", "--from", "alcie"],
        &["say", "alcie", "hi"],
        &["chat", "alcie"],
    ] {
        let said = home.fails(args, 2);
        assert!(said.contains(&format!("no peer in {dir} is called alcie")), "{args:?}: {said}");
        assert!(said.contains("hint: did you mean `alice`?"), "{args:?}: {said}");
    }
    for args in [&["log", "nobody"][..], &["peers", "remove", "nobody"]] {
        let said = home.fails(args, 2);
        assert!(
            said.contains("hint: `egoat peers` lists the saved ones, of whom `bob` is the latest\n")
                && !said.contains("link"),
            "{said}"
        );
        let said = Home::new("new").fails(args, 2);
        assert!(said.contains("`egoat invite` makes a link for somebody"), "{said}");
    }
    assert!(home.fails(&["say", "nobody", "hi"], 2).contains("give HOST:PORT or a link for a new one"));
}

#[test]
fn a_link_is_taken_however_it_was_copied() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let invite = || bob.run(&["invite"]).trim_end().to_owned();
    let text = invite();
    let (half, rest) = text.split_at(60);
    let copied = format!("Here it is:\n\negoat: \u{201C}{half}\n  {rest}\u{201D}.\n");
    assert!(alice.pipe(&["join", "-"], copied.as_bytes()).starts_with("paired with bob"));
    for copied in [
        format!("<{}>", invite()),
        format!("'{}'.", invite()),
        invite().to_uppercase(),
        format!("egoat: {}", invite()),
        format!("Hi, here: {} see you, Anna", invite()),
        format!("{}\n\nSent from my iPhone", invite()),
    ] {
        let guest = Home::new("guest");
        assert!(guest.run(&["join", &copied]).starts_with("paired with bob"), "{copied}");
    }
    let plain = format!("\"egoat:{}@{}\"", bob.key().to_uppercase(), node.addr);
    let carol = Home::new("carol");
    carol.run(&["peers", "add", "bob", &plain]);
    carol.run(&["say", &plain, "hi"]);
    let said = alice.fails(&["join", "<egoat:abc@host>"], 2);
    assert!(said.contains("this is no link: the key is not 52 characters"), "{said}");
}

/// What a node without a name calls itself.
fn default_name(variables: &[(&str, &str)]) -> String {
    let home = Home::empty_in(&std::env::temp_dir());
    let mut command = home.cmd(&["id"]);
    command.env_remove("USER").env_remove("LOGNAME").envs(variables.iter().copied());
    let shown = finish(command, b"", 0).0;
    shown.lines().next().unwrap().strip_prefix("name         ").unwrap().to_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn a_node_is_called_as_its_user_or_as_its_machine() {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let machine = kernel.trim().split('.').next().unwrap();
    assert_eq!(default_name(&[("USER", "alice")]), "alice");
    assert_eq!(default_name(&[("LOGNAME", "bob")]), "bob");
    for nobody in
        [&[][..], &[("USER", "root")], &[("USER", "egoat")], &[("USER", "unknown")], &[("USER", "")]]
    {
        let name = default_name(nobody);
        // A machine that is called localhost tells nothing.
        assert!(name == machine || machine == "localhost" && name == "egoat", "{nobody:?}: {name}");
    }
}
