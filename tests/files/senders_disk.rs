//! What another local user, or the system, puts in the place of files that are sent or queued, and what of the sender's disk
//! is never sent: egoat's own home.

use crate::common;

use common::files::{chunks_in, landed_in, names_in, set_time, staged_in};
use common::gate::Gate;
use common::route::Route;
use common::{Home, Process, json_number, json_text, pair, paired, poll_until};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

const SECRET: &str = "secret";
const PUBLIC: &str = "public";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Every file below a directory, by its path there.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(listed) = fs::read_dir(dir) else { return Vec::new() };
    let below = |path: PathBuf| if path.is_dir() { files_in(&path) } else { vec![path] };
    let mut all: Vec<_> = listed.flat_map(|entry| below(entry.unwrap().path())).collect();
    all.sort();
    all
}

/// A directory `shared/in` in which another user may change everything, and `private/in` in which nobody else can. Files
/// of one name in them have the same size and time.
fn shared_and_private(home: &Home) {
    for (dir, content) in [("shared/in", PUBLIC), ("private/in", SECRET)] {
        fs::create_dir_all(home.path(dir)).unwrap();
        for name in ["a", "b"] {
            let path = home.path(&format!("{dir}/{name}"));
            fs::write(&path, content).unwrap();
            set_time(&path, UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        }
    }
}

/// What the other user does: each puts something in the place of what was chosen, and keeps size and time.
type Swap = (&'static str, fn(&Home));

const SWAPS: [Swap; 5] = [
    ("a link to a file", |home| {
        fs::remove_file(home.path("shared/in/a")).unwrap();
        symlink("../../private/in/a", home.path("shared/in/a")).unwrap();
    }),
    ("another name of a file", |home| {
        fs::remove_file(home.path("shared/in/a")).unwrap();
        fs::hard_link(home.path("private/in/a"), home.path("shared/in/a")).unwrap();
    }),
    ("a link to a directory", |home| {
        fs::rename(home.path("shared/in"), home.path("shared/aside")).unwrap();
        symlink("../private/in", home.path("shared/in")).unwrap();
    }),
    ("another directory", |home| {
        fs::rename(home.path("shared/in"), home.path("shared/aside")).unwrap();
        fs::rename(home.path("private/in"), home.path("shared/in")).unwrap();
    }),
    ("a FIFO", |home| {
        fs::remove_file(home.path("shared/in/a")).unwrap();
        fifo(&home.path("shared/in/a"));
    }),
];

/// Alice has chosen `what` when the other user swaps, and sends when Bob comes.
fn swapped_after_it_was_chosen(what: &str) {
    for (how, swap) in SWAPS {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let mut node = bob.serve();
        pair(&bob, &alice);
        node.kill9();
        shared_and_private(&alice);
        let path = alice.path(what);
        let mut send = Process::start(alice.cmd(&["send", "--wait", "60s", "bob", text(&path)]));
        send.wait_to_say("trying again");
        swap(&alice);
        let _node = bob.serve_again_at(&node.addr);
        let (code, _, said) = send.end();
        assert!(code == Some(1) && said.contains("cannot send "), "{how}: {said}");
        assert!(landed_in(&bob.path("downloads/alice")).is_empty(), "{how}: {said}");
        if path.is_dir() {
            // Most likely nobody attacks, and files of the directory are in use.
            assert!(said.contains("in it: `tar c DIR | egoat send PEER -`"), "{how}: {said}");
        }
    }
}

#[test]
fn a_file_that_was_swapped_is_not_sent() {
    swapped_after_it_was_chosen("shared/in/a");
}

#[test]
fn a_file_that_was_swapped_in_a_tree_is_not_sent() {
    swapped_after_it_was_chosen("shared");
}

/// What is queued and then swapped is stopped, by `egoat fetch` and by a node, and what is queued after it goes out.
#[test]
fn what_was_swapped_in_a_queue_is_not_sent() {
    for what in ["shared/in/a", "shared"] {
        for (how, swap) in SWAPS {
            let (alice, bob) = (Home::new("alice"), Home::new("bob"));
            let _node = bob.serve();
            pair(&bob, &alice);
            shared_and_private(&alice);
            let path = alice.path(what);
            let queued = alice.run(&["--json", "send", "--queue", "bob", text(&path)]);
            alice.run(&["send", "--queue", "bob", &alice.file("next", "next")]);
            swap(&alice);
            let mut fetch = Process::start(alice.cmd(&["fetch"]));
            let (code, _, said) = fetch.end();
            assert_eq!(code, Some(1), "{what}, {how}: {said}");
            let left = alice.run(&["--json", "outbox"]);
            let states: Vec<_> = left.lines().map(|line| json_text(line, "state")).collect();
            assert_eq!(states, ["changed"], "{what}, {how}: {left}");
            assert_eq!(json_number(&left, "number"), json_number(&queued, "number"));
            assert_eq!(landed_in(&bob.path("downloads/alice")), ["next"], "{what}, {how}");
        }
    }
}

/// A file of the same size and time that took the place of the one that was queued is another file, also when its own user
/// has put it there; the user says that it is meant.
#[test]
fn what_an_editor_has_replaced_waits_for_its_user() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = bob.serve();
    pair(&bob, &alice);
    shared_and_private(&alice);
    alice.run(&["send", "--queue", "bob", text(&alice.path("shared/in/a"))]);
    fs::rename(alice.path("shared/in/b"), alice.path("shared/in/a")).unwrap();
    let said = alice.fails(&["fetch"], 1);
    assert!(said.contains("shared/in/a: another has its place now"), "{said}");
    alice.run(&["outbox", "retry", "bob"]);
    poll_until("the file", || (landed_in(&bob.path("downloads/alice")) == ["a"]).then_some(()));
    assert!(alice.run(&["outbox"]).is_empty());
}

/// The node is in the middle of a transfer when a file of it becomes a FIFO to which nobody writes: its thread goes on.
#[test]
fn a_fifo_does_not_hold_up_a_queue() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let gate = Gate::before(&node.addr, 1 << 20);
    alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    fs::create_dir(alice.path("tree")).unwrap();
    let large = File::create(alice.path("tree/a large")).unwrap();
    large.set_len(48 << 20).unwrap();
    alice.file("tree/b", PUBLIC);
    alice.run(&["send", "--queue", "bob", text(&alice.path("tree"))]);
    alice.run(&["send", "--queue", "bob", &alice.file("next", "next")]);
    let _alice_node = alice.serve_with(&["--listen", "[::1]:0"]);
    let landing = bob.path("downloads/alice");
    poll_until("the first chunk", || (chunks_in(staged_in(&landing).first()?) > 0).then_some(()));
    fs::remove_file(alice.path("tree/b")).unwrap();
    fifo(&alice.path("tree/b"));
    gate.open();
    poll_until("the next file", || (landed_in(&landing) == ["next"]).then_some(()));
    assert_eq!(json_text(&alice.run(&["--json", "outbox"]), "state"), "changed");
}

/// A home in a directory of files, as `~/.local/share/egoat` is in `~`.
fn home_among_files() -> Route {
    let route = Route::new();
    let alice = &route.alice;
    alice.run(&["say", "bob", "hello"]);
    for (name, content) in [("downloads/bob/got", "got"), ("uploads/up", "up"), ("other/file", "file")] {
        fs::create_dir_all(alice.path(name).parent().unwrap()).unwrap();
        fs::write(alice.path(name), content).unwrap();
    }
    route
}

/// What arrives when everything around the home is sent.
const AROUND: [&str; 3] = ["home/downloads/bob/got", "home/uploads/up", "other/file"];

fn only_the_home_stays(landed: &Path) {
    let expected: Vec<PathBuf> = AROUND.iter().map(|name| landed.join(name)).collect();
    assert_eq!(files_in(landed), expected);
}

#[test]
fn the_home_stays_when_what_it_is_in_is_sent() {
    let route = home_among_files();
    let alice = &route.alice;
    // Other ways to the home, none of which is the path by which it is found.
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(alice.path(""), elsewhere.path().join("link")).unwrap();
    symlink(alice.around(), elsewhere.path().join("around")).unwrap();
    let links = ["link", "around/home"].map(|name| elsewhere.path().join(name));
    let homes = [alice.path(""), "home".into()].into_iter().chain(links);
    for (number, home) in homes.enumerate() {
        let name = format!("all {number}");
        let mut send = Command::new(common::EGOAT);
        send.current_dir(alice.around()).arg("--home").arg(home);
        send.args(["send", "--name", &name, "bob", "."]);
        let (_, said) = common::finish(send, b"", 0);
        assert!(said.contains("home is a home of egoat, or part of one, and stays here"), "{said}");
        only_the_home_stays(&route.landing.join(name));
    }
}

#[test]
fn the_home_stays_when_what_it_is_in_is_queued() {
    let route = home_among_files();
    let alice = &route.alice;
    alice.run(&["send", "--queue", "--name", "all", "bob", text(alice.around())]);
    // What changes in the home is no change of what is queued.
    alice.run(&["say", "bob", "hello again"]);
    assert!(alice.run(&["fetch"]).contains("files sent 1"));
    only_the_home_stays(&route.landing.join("all"));
}

#[test]
fn the_home_itself_and_what_is_in_it_is_refused() {
    let route = home_among_files();
    let alice = &route.alice;
    let beside = alice.path("other");
    symlink(alice.path("identity"), beside.join("a link")).unwrap();
    fs::hard_link(alice.path("identity"), beside.join("another name")).unwrap();
    symlink(alice.path("history"), beside.join("histories")).unwrap();
    fs::create_dir_all(alice.path("history/deep/down")).unwrap();
    fs::write(alice.path("history/deep/down/file"), "x").unwrap();
    let names = ["", "identity", "history", "history/deep/down/file"].map(|name| alice.path(name));
    let others = ["a link", "another name", "histories"].map(|name| beside.join(name));
    for path in names.iter().chain(&others) {
        for how in [&["send", "bob"][..], &["send", "--queue", "bob"]] {
            let said = alice.fails(&[how, &[text(path)]].concat(), 1);
            assert!(said.contains("it is egoat's own home, or in it"), "{}: {said}", path.display());
            assert!(said.contains("hint: what lies in its downloads/ and uploads/ can be sent"), "{said}");
        }
    }
    // A name of the identity in a tree stays as well.
    let (_, said) = alice.ends_with(&["send", "bob", text(&beside)], b"", 0);
    assert!(said.contains("another name is a home of egoat, or part of one"), "{said}");
    assert_eq!(names_in(&route.landing.join("other")), ["file"]);
    alice.run(&["send", "bob", text(&alice.path("downloads/bob/got")), text(&alice.path("uploads"))]);
    assert_eq!(landed_in(&route.landing), ["got", "other", "uploads"]);
    assert!(alice.run(&["outbox"]).is_empty());
}

/// The identity may be on a stick, and the histories on a larger disk.
#[test]
fn what_links_in_the_home_lead_to_is_part_of_it() {
    let route = home_among_files();
    let alice = &route.alice;
    let elsewhere = tempfile::tempdir().unwrap();
    let away = |name: &str| elsewhere.path().join(name);
    let names = ["identity", "peers", "history"];
    for name in names {
        // It may be on another file system.
        assert!(Command::new("mv").args([alice.path(name), away(name)]).status().unwrap().success());
        symlink(away(name), alice.path(name)).unwrap();
    }
    fs::write(away("file"), "file").unwrap();
    alice.run(&["say", "--wait", "30s", "bob", "hello again"]);
    let log = fs::read_dir(away("history")).unwrap().next().unwrap().unwrap().path();
    for path in names.iter().flat_map(|name| [alice.path(name), away(name)]).chain([log]) {
        for how in [&["send", "bob"][..], &["send", "--queue", "bob"]] {
            let said = alice.fails(&[how, &[text(&path)]].concat(), 1);
            assert!(said.contains("it is egoat's own home, or in it"), "{}: {said}", path.display());
        }
    }
    let (_, said) = alice.ends_with(&["send", "--name", "all", "bob", text(elsewhere.path())], b"", 0);
    for name in names {
        let stays = format!("/{name} is a home of egoat, or part of one, and stays here");
        assert!(said.contains(&stays), "{said}");
    }
    assert_eq!(names_in(&route.landing.join("all")), ["file"]);
}

/// A file whose size is 0, or a page, whatever is in it.
#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_size_nobody_knows_is_refused() {
    let (_alice, _alice_node, bob, _bob_node) = paired();
    for path in ["/proc/version", "/proc/sys/kernel/random", "/sys/class/net/lo/mtu"] {
        for how in [&["send", "alice"][..], &["send", "--queue", "alice"]] {
            let said = bob.fails(&[how, &[path]].concat(), 1);
            assert!(said.contains("the system does not tell how large it is"), "{path}: {said}");
            assert!(said.contains("hint: ") && said.contains("`egoat send PEER - <FILE`"), "{said}");
        }
    }
    assert!(bob.run(&["outbox"]).is_empty());
}

/// With `--home`, the usual home is somebody else's to this command; so is its own one where an overlay shows it again.
#[test]
fn the_home_of_another_identity_stays_as_well() {
    let route = Route::new();
    let tree = route.alice.path("tree");
    let other = tree.join("other");
    egoat::store::file::create_dir(&tree).unwrap();
    let mut id = Command::new(common::EGOAT);
    id.arg("--home").arg(&other).arg("id");
    assert!(id.output().unwrap().status.success());
    fs::write(other.join("peers"), SECRET).unwrap();
    fs::write(tree.join("public"), PUBLIC).unwrap();
    for dir in ["uploads", "downloads/bob"] {
        fs::create_dir_all(other.join(dir)).unwrap();
        fs::write(other.join(dir).join("public"), PUBLIC).unwrap();
    }
    let landed = || {
        files_in(&route.landing)
            .iter()
            .map(|path| text(path).replace(text(&route.landing), ""))
            .collect::<Vec<_>>()
    };
    let expected = ["/other/downloads/bob/public", "/other/uploads/public", "/public"]
        .map(|path| format!("/tree{path}"));
    let (_, said) = route.alice.ends_with(&["send", "bob", text(&tree)], b"", 0);
    assert!(said.contains("tree/other is a home of egoat, or part of one, and stays here"), "{said}");
    assert_eq!(landed(), expected);
    fs::remove_dir_all(route.landing.join("tree")).unwrap();
    route.alice.run(&["send", "--queue", "bob", text(&tree)]);
    route.alice.ends_with(&["fetch"], b"", 0);
    poll_until("the queue to be sent", || (landed() == expected).then_some(()));
    for named in ["", "identity", "peers", "history", "history/.."] {
        let path = other.join(named);
        for way in [&[][..], &["--queue"]] {
            let said = route.alice.fails(&[&["send", "bob"], way, &[text(&path)]].concat(), 1);
            assert!(said.contains("it is a home of egoat, or in one"), "{said}");
        }
    }
    route.alice.run(&["send", "bob", text(&other.join("uploads"))]);
}
