//! What a peer may send: `peers set`, the peers file that comes of it, and the room that there is.

use crate::common;

use common::disk::SmallDisk;
use common::{Home, json_text, pair, poll_until};
use egoat::store::space::{Usage, free_bytes, used};
use std::fs;

/// A home that knows bob, by a key that nobody has.
fn home_with_bob() -> Home {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key(), "192.0.2.1:4628"]);
    alice
}

fn peers_file(home: &Home) -> String {
    fs::read_to_string(home.path("peers")).unwrap()
}

#[test]
fn options_are_set_shown_and_taken_away() {
    let alice = home_with_bob();
    let plain = peers_file(&alice);
    let shown = alice.run(&["peers", "show", "bob"]);
    assert!(!shown.contains("files") && !shown.contains("blocked"), "{shown}");
    let json = alice.run(&["--json", "peers", "show", "bob"]);
    assert!(
        json.ends_with(
            "\"seen\":null,\"files\":null,\"max_file\":null,\"quota\":null,\"dir\":null,\"overwrite\":null,\"blocked\":false,\"verified\":false,\"mute\":false}\n"
        ),
        "{json}"
    );

    let around = alice.around().to_str().unwrap();
    let dir = format!("dir={around}/from bob/100%");
    let set = ["files=ask", "max-file=4 GiB", "quota=1500", &dir, "blocked"];
    let printed = alice.run(&[&["peers", "set", "bob"], &set[..]].concat());
    let words = format!("files=ask max-file=4GiB quota=1500 dir={around}/from%20bob/100%25 blocked");
    assert_eq!(peers_file(&alice), format!("{} {words}\n", plain.trim_end()));
    let shown = alice.run(&["peers", "show", "bob"]);
    assert_eq!(printed, shown);
    for line in [
        "files        ask",
        "max-file     4.0 GiB",
        "quota        1.4 KiB",
        &format!("dir          {around}/from bob/100%"),
        "blocked      yes",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} is not in {shown}");
    }
    let json = alice.run(&["--json", "peers", "show", "bob"]);
    assert_eq!(
        (json_text(&json, "files"), json_text(&json, "dir")),
        ("ask".into(), format!("{around}/from bob/100%"))
    );
    assert!(
        json.contains("\"max_file\":4294967296,\"quota\":1500,") && json.contains("\"blocked\":true"),
        "{json}"
    );

    let shown = alice.run(&["peers", "set", "bob", "overwrite=no"]);
    assert!(shown.contains("\noverwrite    no\n") && peers_file(&alice).contains(" overwrite=no"), "{shown}");
    assert!(alice.run(&["--json", "peers"]).contains("\"overwrite\":false"));
    alice.run(&["peers", "set", "bob", "overwrite="]);
    assert!(!peers_file(&alice).contains("overwrite"));
    // One at a time, and what is not named stays.
    alice.run(&["peers", "set", "bob", "files=refuse"]);
    alice.run(&["peers", "set", "bob", "quota="]);
    let file = peers_file(&alice);
    assert!(
        file.contains("files=refuse") && file.contains("max-file=4GiB") && !file.contains("quota"),
        "{file}"
    );
    alice.run(&["peers", "set", "bob", "blocked=", "files=", "max-file=", "dir=", "quota="]);
    assert_eq!(peers_file(&alice), plain);
}

#[test]
fn what_is_there_or_not_is_set_by_yes_and_taken_away_by_no() {
    let alice = home_with_bob();
    let plain = peers_file(&alice);
    for (typed, option) in [("blocked", "blocked"), ("verified", "verified"), ("mute", "mute=yes")] {
        for (set, unset) in [("=yes", "=no"), ("", "="), ("=yes", "=")] {
            let shown = alice.run(&["peers", "set", "bob", &format!("{typed}{set}")]);
            assert!(shown.contains(&format!("{typed:11}  yes")), "{shown}");
            assert_eq!(peers_file(&alice), format!("{} {option}\n", plain.trim_end()));
            assert!(alice.run(&["--json", "peers"]).contains(&format!("\"{typed}\":true")));
            alice.run(&["peers", "set", "bob", &format!("{typed}{unset}")]);
            assert_eq!(peers_file(&alice), plain);
        }
    }
}

#[test]
fn a_wrong_option_changes_nothing() {
    let alice = home_with_bob();
    let plain = peers_file(&alice);
    for (wrong, said) in [
        ("files=never", "files= is ask, accept or refuse"),
        ("max-file=big", "max-file= is a size"),
        ("quota=-1", "quota= is a size"),
        ("dir=downloads", "dir= is an absolute path"),
        ("colour=red", "colour=red is no option"),
        ("blocked=maybe", "blocked= is yes or no"),
        ("mute=1", "mute= is yes or no"),
        ("muted", "muted is no option"),
        ("seen=10.0.0.1:1", "is no option"),
        ("files=ask quota=1", "files= is ask"),
    ] {
        let error = alice.fails(&["peers", "set", "bob", "quota=1G", wrong], 2);
        assert!(error.contains(said), "{wrong:?}: {error}");
        assert_eq!(peers_file(&alice), plain, "{wrong:?}");
    }
    assert!(alice.fails(&["peers", "set", "bob"], 2).contains("nothing to set"));
    assert!(alice.fails(&["peers", "set", "carol", "files=ask"], 2).contains("carol"));
}

#[test]
fn a_wrong_line_is_named_and_kept() {
    let alice = home_with_bob();
    let wrong = format!("# friends\n{} files=accpet\n", peers_file(&alice).trim_end());
    fs::write(alice.path("peers"), &wrong).unwrap();
    for command in [&["peers"][..], &["peers", "show", "bob"], &["peers", "set", "bob", "files=ask"]] {
        let error = alice.fails(command, 74);
        assert!(error.contains("line 2: files= is ask, accept or refuse"), "{error}");
    }
    assert_eq!(peers_file(&alice), wrong);
}

#[test]
fn what_a_node_learns_leaves_the_options() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = alice.serve();
    pair(&alice, &bob);
    let around = alice.around().to_str().unwrap();
    alice.run(&["peers", "set", "bob", "files=ask", &format!("dir={around}/a b")]);
    alice.run(&["peers", "rename", "bob", "robert"]);
    let serving = bob.serve();
    poll_until("bob's address to be noted", || peers_file(&alice).contains(&serving.addr).then_some(()));
    assert!(peers_file(&alice).contains(&format!(" files=ask dir={around}/a%20b")), "{}", peers_file(&alice));
    assert!(node.is_running());
}

#[test]
fn a_running_node_goes_by_a_block_at_once() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = alice.serve();
    pair(&alice, &bob);
    bob.run(&["say", "--wait", "30s", "alice", "one"]);
    alice.run(&["peers", "set", "bob", "blocked"]);
    let said = bob.fails(&["send", "alice", &bob.file("x", "x")], 77);
    assert!(said.contains("refused"), "{said}");
    alice.run(&["peers", "set", "bob", "blocked="]);
    bob.run(&["say", "--wait", "30s", "alice", "two"]);
    assert_eq!(alice.received(), ["one", "two"]);
    assert!(node.is_running());
}

#[test]
fn free_space_is_that_of_the_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let downloads = disk.path().join("downloads/bob");
    let free = || free_bytes(&downloads).unwrap();
    let before = free();
    assert!(before > 900 << 10 && before <= 1 << 20, "{before}");
    fs::create_dir_all(&downloads).unwrap();
    fs::write(downloads.join("file"), vec![1; 512 << 10]).unwrap();
    assert_eq!(used(disk.path()), Usage { bytes: 512 << 10, entries: 3 });
    assert!(free() <= before - (512 << 10) && free() > 300 << 10, "{}", free());
    assert!(fs::write(downloads.join("rest"), vec![1; 1 << 20]).is_err());
    assert_eq!(free(), 0);
}

#[test]
fn addresses_are_set_added_and_taken_away() {
    let alice = home_with_bob();
    alice.run(&["peers", "set", "bob", "address=a.example:1,[::1]:2"]);
    assert!(peers_file(&alice).contains(" a.example:1,[::1]:2"), "{}", peers_file(&alice));
    alice.run(&["peers", "set", "bob", "address+=b.example", "address-=a.example:1"]);
    let shown = alice.run(&["--json", "peers", "show", "bob"]);
    assert!(shown.contains("\"addresses\":[\"b.example:4628\",\"[::1]:2\"]"), "{shown}");
    let before = peers_file(&alice);
    for (wrong, said) in [
        ("address-=a.example:1", "a.example:1 is no address of bob"),
        ("address=x:0", "x:0 is no address: the port"),
        ("address*=x", "is no option: they are address="),
    ] {
        assert!(alice.fails(&["peers", "set", "bob", wrong], 2).contains(said));
        assert_eq!(peers_file(&alice), before);
    }
    alice.run(&["peers", "set", "bob", "address="]);
    assert!(alice.run(&["peers", "show", "bob"]).contains("no address; it dials us"));
}

#[cfg(unix)]
#[test]
fn a_peers_file_that_cannot_be_read_is_told_once_until_it_changes() {
    let alice = home_with_bob();
    let node = alice.serve();
    let told = || node.said().matches("cannot read").count();
    let peers = alice.path("peers");
    let text = peers_file(&alice);
    fs::remove_file(&peers).unwrap();
    fs::create_dir(&peers).unwrap();
    poll_until("the trouble to be told", || (told() == 1).then_some(()));
    // The directory has another time then.
    fs::create_dir(peers.join("x")).unwrap();
    poll_until("it to be told again", || (told() == 2).then_some(()));
    // At once: a directory that is emptied first has another time again.
    fs::rename(&peers, alice.path("aside")).unwrap();
    fs::write(&peers, text).unwrap();
    let carol = Home::new("carol");
    pair(&alice, &carol);
    assert_eq!(told(), 2);
}
