//! Where received files land: not where other users lead them, nor where they would be obeyed, and not where nothing can.

use crate::common;

use common::files::{landed_in, names_in, sample};
use common::rogue::{Rogue, file};
use common::{Home, Node, Process, pair, skip};
use egoat::wire::features::Features;
use egoat::wire::message::{Declined, Kind, Message};
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;

/// A user who is not the one that runs the tests.
const EVE: u32 = 12_345;

/// Bob serves as a user whose home directory this is.
fn serve_at(bob: &Home, user_home: &Path) -> Node {
    let mut command = bob.cmd(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("HOME", user_home);
    let mut process = Process::start(command);
    let addr = process.wait_for("listening on ")["listening on ".len()..].to_owned();
    Node::from(process, addr)
}

/// A link that somebody else has made; `None` where only root can give it away.
fn eves_link(to: &Path, link: &Path) -> Option<()> {
    symlink(to, link).unwrap();
    if lchown(link, Some(EVE), Some(EVE)).is_err() {
        skip("only root can give a link away");
        return None;
    }
    Some(())
}

#[test]
fn names_with_a_dot_do_not_land_in_the_users_home_directory() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let user = bob.path("user");
    fs::create_dir(&user).unwrap();
    symlink(&user, bob.path("to-user")).unwrap();
    let node = serve_at(&bob, &user);
    pair(&bob, &alice);
    for dir in [".ssh", "bin"] {
        fs::create_dir(alice.path(dir)).unwrap();
    }
    let (profile, plain) = (alice.file(".profile", "evil"), alice.file("bin/tool", "good"));
    let ssh = alice.path(".ssh").to_str().unwrap().to_owned();
    for dir in ["user", "to-user"] {
        bob.run(&["peers", "set", "alice", &format!("dir={}", bob.path(dir).display())]);
        for sent in [&[&ssh][..], &[&plain, &profile], &[&profile]] {
            let sent: Vec<&str> = sent.iter().map(|path| path.as_str()).collect();
            let said = alice.fails(&[&["send", "bob"][..], &sent].concat(), 77);
            assert!(said.contains("it takes no names that begin with a dot at the top"), "{said}");
        }
        let told = node.wait_to_say("is your home directory");
        assert!(told.contains("1 name at the top begins with a dot: .ssh"), "{told}");
    }
    assert_eq!(landed_in(&user), [""; 0]);
    alice.run(&["send", "bob", &plain]);
    assert_eq!(landed_in(&user), ["tool"]);
    // Elsewhere they are names like any other.
    bob.run(&["peers", "set", "alice", &format!("dir={}", bob.path("other").display())]);
    alice.run(&["send", "bob", &profile]);
    assert_eq!(landed_in(&bob.path("other")), [".profile"]);
}

#[test]
fn an_older_sender_of_such_names_hears_of_it_in_the_words_that_it_knows() {
    let bob = Home::new("bob");
    fs::create_dir(bob.path("user")).unwrap();
    let node = serve_at(&bob, &bob.path("user"));
    let mallory = Rogue::new(14);
    bob.run(&["peers", "add", "mallory", &mallory.key()]);
    bob.run(&["peers", "set", "mallory", &format!("dir={}", bob.path("user").display())]);
    let reason = Declined::DotNames.told_to(Features::NONE);
    let mut line = mallory.session(&node.addr, &bob.key(), Kind::Files);
    line.offer(&[file("\u{200B}.profile", 5)]);
    line.expect(&Message::Decline(reason));
}

#[test]
fn what_somebody_else_leads_elsewhere_is_no_place() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (node, content) = (bob.serve(), alice.file("authorized_keys", sample(10)));
    pair(&bob, &alice);
    let ssh = bob.path("ssh");
    fs::create_dir_all(ssh.join("below")).unwrap();
    fs::create_dir(bob.path("shared")).unwrap();
    let link = bob.path("shared/link");
    let Some(()) = eves_link(&ssh, &link) else { return };
    let why = format!("{} is a link that belongs to user {EVE}", link.display());
    for dir in [link.clone(), link.join("below"), link.join("new"), bob.path("shared/link/../ssh")] {
        let dir = dir.to_str().unwrap();
        let said = bob.fails(&["receive", "--listen", "127.0.0.1:0", "--into", dir], 74);
        assert!(said.contains(&why), "{said}");
        assert!(bob.fails(&["peers", "set", "alice", &format!("dir={dir}")], 74).contains(&why));
        assert!(bob.fails(&["serve", "--downloads", dir], 74).contains(&why));
    }
    assert!(!bob.run(&["peers", "show", "alice"]).contains("dir"));
    // One that comes later is found when files do.
    fs::remove_file(&link).unwrap();
    bob.run(&["peers", "set", "alice", &format!("dir={}", link.display()), "quota=1M"]);
    alice.run(&["send", "bob", &content]);
    fs::rename(&link, bob.path("shared/aside")).unwrap();
    eves_link(&ssh, &link).unwrap();
    assert!(
        alice.fails(&["send", "bob", &alice.file("b", "b")], 74).contains("it cannot write where files land")
    );
    node.wait_to_say(&why);
    assert_eq!(names_in(&ssh), ["below"]);
    // What the user, or root, has made is followed.
    lchown(&link, Some(0), Some(0)).unwrap();
    alice.run(&["send", "bob", &alice.file("c", "c")]);
    assert_eq!(landed_in(&ssh), ["below", "c"]);
}

#[test]
fn the_home_of_egoat_is_no_place_but_for_its_folders_for_files() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    pair(&bob, &alice);
    symlink(bob.path(""), bob.path("to-home")).unwrap();
    let before = names_in(&bob.path(""));
    for dir in [bob.path(""), bob.path("outbox"), bob.path("").join("new/one"), bob.path("to-home")] {
        let dir = dir.to_str().unwrap();
        let why = "it is egoat's own home, or in it";
        for args in [
            &["receive", "--listen", "127.0.0.1:0", "--into", dir][..],
            &["peers", "set", "alice", &format!("dir={dir}")],
            &["serve", "--downloads", dir],
        ] {
            let said = bob.fails(args, 1);
            assert!(said.contains(why) && said.contains("only downloads/ and uploads/"), "{said}");
        }
    }
    assert_eq!(names_in(&bob.path("")), before);
    // By hand it can be written all the same.
    let peers = fs::read_to_string(bob.path("peers")).unwrap();
    let line = format!("{} dir={}\n", peers.trim_end(), bob.path("").display());
    fs::write(bob.path("peers"), line).unwrap();
    common::poll_until("the line to be read", || {
        let said = alice.cmd(&["send", "bob", &alice.file("identity.txt", "evil")]).output().unwrap();
        (said.status.code() == Some(74)).then_some(())
    });
    node.wait_to_say("it is egoat's own home");
    assert!(!bob.path("").join("identity.txt").exists());
    for dir in ["uploads", "downloads", "downloads/new", "uploads/a/b"] {
        bob.run(&["peers", "set", "alice", &format!("dir={}", bob.path("").join(dir).display())]);
    }
}

#[test]
fn a_place_where_nothing_can_land_is_told_when_it_is_named() {
    let bob = Home::new("bob");
    bob.run(&["peers", "add", "alice", &Home::new("alice").key()]);
    let file = bob.file("file", "mine");
    let (long, deep) = (bob.path(&"n".repeat(300)), bob.path("d").join("dddddddddd/".repeat(400)));
    for dir in [Path::new(&file), Path::new("/proc/self"), &long, &deep] {
        let dir = dir.to_str().unwrap();
        let told = format!("cannot receive into {dir}: ");
        for args in [
            &["receive", "--listen", "127.0.0.1:0", "--into", dir][..],
            &["peers", "set", "alice", &format!("dir={dir}")],
            &["serve", "--downloads", dir],
        ] {
            let said = bob.fails(args, 1);
            assert!(said.contains(&told) && said.contains("hint: choose another directory"), "{said}");
        }
    }
    for args in [&["receive", "--into", ""][..], &["serve", "--downloads", ""]] {
        assert!(bob.fails(args, 2).contains("names no directory: its value is empty"));
    }
    assert!(!bob.path("d").exists(), "what was made to try it is gone");
    // Something is made only where it can be looked at and removed again.
    let hidden = bob.path("hidden");
    fs::create_dir(&hidden).unwrap();
    fs::set_permissions(&hidden, PermissionsExt::from_mode(0o300)).unwrap();
    if fs::read_dir(&hidden).is_err() {
        bob.fails(&["receive", "--listen", "127.0.0.1:0", "--into", hidden.to_str().unwrap()], 1);
    }
}
