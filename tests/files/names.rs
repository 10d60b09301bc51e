//! What files are called: every name that both disks hold arrives as it is, a disk that holds less gets the rest under
//! other names, and names that no receiver takes are all told before anybody is dialled.

use crate::common;

use common::files::names_in;
use common::proxy::Plan;
use common::route::Route;
use common::tree::{all_in, put};
use common::{Home, Process, by};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names that are in use, and that some system or other does not hold.
const NAMES: [&str; 20] = [
    "Screenshot 00:15:23.png",
    "Maildir/cur/1733021723.M1P2.host:2,S",
    "linux/drivers/aux.c",
    "linux/netfilter/xt_MARK.h",
    "linux/netfilter/xt_mark.h",
    "Linux/README",
    "systemd/dev-disk-by\\x2dlabel.swap",
    "the end.",
    "space ",
    "dir./file",
    "what?*.txt",
    "a|b<c>\"d\"",
    "100%",
    "nul",
    "می\u{200C}خواهم.txt",
    "ශ්\u{200D}රී ලංකා",
    "👩\u{200D}👩\u{200D}👧 ❤\u{FE0F}.jpg",
    "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
    "葛\u{E0100}.txt",
    "e\u{301} and \u{e9}",
];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A directory with a file of each name, and what is in each of them.
fn tree(home: &Home) -> PathBuf {
    let dir = home.path("tree");
    for name in NAMES {
        put(&dir.join(name), name.as_bytes());
    }
    dir
}

#[test]
fn every_name_that_both_disks_hold_arrives_as_it_is() {
    let mut route = Route::new();
    let dir = tree(&route.alice);
    route.send(&[text(&dir)]);
    let landed = all_in(&route.landing.join("tree"));
    let sent = all_in(&dir);
    assert_eq!(landed.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
    for (path, one) in &landed {
        assert_eq!(one.content, sent[path].content, "{path:?}");
    }
    // At the top each is shown, and none with what nobody sees.
    let tops: Vec<String> = NAMES
        .iter()
        .filter(|name| !name.contains('/'))
        .map(|name| dir.join(name))
        .map(|path| text(&path).to_owned())
        .collect();
    let tops: Vec<&str> = tops.iter().map(String::as_str).collect();
    route.send(&tops);
    for name in NAMES.iter().filter(|name| !name.contains('/')) {
        assert_eq!(fs::read_to_string(route.landing.join(name)).unwrap(), **name);
    }
    let told = route.node.kill9() + &route.bob.run(&["log"]) + &route.alice.run(&["log"]);
    assert!(!told.contains(['\u{200C}', '\u{200D}', '\u{FE0F}', '\u{E0067}', '\u{E0100}']), "{told}");
    assert!(told.contains("می\u{FFFD}خواهم.txt") && !told.contains("does not hold"), "{told}");
}

#[test]
fn every_name_that_cannot_travel_is_told_before_anybody_is_dialled() {
    let home = Home::new("alice");
    // Nobody listens there.
    home.run(&["peers", "add", "bob", &Home::new("bob").key(), "127.0.0.1:1"]);
    let dir = home.path("dir");
    for n in 0..23 {
        put(&dir.join(format!("{n:02}/bad\u{202e}{n:02}")), b"");
        put(&dir.join(format!("{n:02}/good")), b"");
    }
    let also = home.file("line\nfeed", "");
    let said = home.fails(&["send", "bob", &also, text(&dir)], 1);
    assert!(said.contains("egoat: error: 24 names cannot travel:\n"), "{said}");
    assert!(said.contains("line\u{FFFD}feed: it contains a control character"), "{said}");
    for n in 0..19 {
        assert!(said.contains(&format!("/{n:02}/bad\u{FFFD}{n:02}: ")), "{said}");
    }
    assert!(said.contains("\n    and 4 more\negoat: hint: rename them"), "{said}");
    assert!(!said.contains("bad\u{FFFD}19"), "{said}");
    // Nothing of it is queued, either.
    home.fails(&["send", "--queue", "bob", text(&dir)], 1);
    assert_eq!(home.run(&["outbox"]), "");
}

/// Words in front of a command for which `dir`, and what is open, is a folder of vfat.
fn on_vfat(home: &Home, dir: &Path) -> Vec<String> {
    let library = home.path("vfat.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/vfat.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o", text(&library), text(&source), "-ldl"]).status();
    assert!(compiled.unwrap().success(), "cc, which links the tests, compiles vfat.c");
    vec!["env".into(), format!("LD_PRELOAD={}", library.display()), format!("VFAT={}", dir.display())]
}

#[test]
fn a_disk_that_holds_less_gets_visible_escapes_and_says_so() {
    let mut route = Route::new();
    let dir = tree(&route.alice);
    let place = route.bob.path("vfat");
    let words = on_vfat(&route.bob, &place);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let addr = route.node.addr.clone();
    route.node.kill9();
    let serve = ["serve", "--listen", &addr, "--downloads", text(&place)];
    let mut node = Process::start(by(&words, &route.bob.cmd(&serve)));
    node.wait_for("listening on ");
    route.send(&[text(&dir)]);
    let landed = all_in(&place.join("alice/tree"));
    let content = |name: &str| {
        let found = landed.get(Path::new(name)).and_then(|found| found.content.clone());
        String::from_utf8(found.unwrap_or_else(|| panic!("{name} among {:?}", landed.keys()))).unwrap()
    };
    for (name, here) in [
        ("Screenshot 00:15:23.png", "screenshot 00%3a15%3a23.png"),
        ("Maildir/cur/1733021723.M1P2.host:2,S", "maildir/cur/1733021723.m1p2.host%3a2,s"),
        // Its directory comes after the other of that name, in the sender's order.
        ("Linux/README", "linux/readme"),
        ("linux/drivers/aux.c", "linux (1)/drivers/aux.c"),
        ("linux/netfilter/xt_MARK.h", "linux (1)/netfilter/xt_mark.h"),
        ("linux/netfilter/xt_mark.h", "linux (1)/netfilter/xt_mark (1).h"),
        ("systemd/dev-disk-by\\x2dlabel.swap", "systemd/dev-disk-by%5cx2dlabel.swap"),
        ("what?*.txt", "what%3f%2a.txt"),
        ("100%", "100%"),
        ("dir./file", "dir./file"),
    ] {
        assert_eq!(content(here), name);
    }
    assert_eq!(landed.values().filter(|found| found.content.is_some()).count(), NAMES.len());
    node.wait_to_say("Screenshot 00:15:23.png");
    let told = node.kill9();
    assert_eq!(told.matches(" does not hold ").count(), 1, "{told}");
    assert!(told.contains("Screenshot 00:15:23.png: Screenshot 00%3A15%3A23.png\n"), "{told}");
    assert!(names_in(&place.join("alice")) == ["tree"]);
}

/// What was begun goes on under the same names, and nothing of it is sent again.
#[test]
fn a_resumed_transfer_finds_the_names_that_it_gave() {
    let mut route = Route::new();
    let dir = route.alice.path("tree");
    let large: Vec<u8> = (0..6 << 20).map(|n: u32| (n / 7) as u8).collect();
    put(&dir.join("A:B"), &large);
    put(&dir.join("a:b"), &large[1..]);
    let place = route.bob.path("vfat");
    let words = on_vfat(&route.bob, &place);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let addr = route.node.addr.clone();
    route.node.kill9();
    let serve = ["serve", "--listen", &addr, "--downloads", text(&place)];
    let start = || {
        let mut node = Process::start(by(&words, &route.bob.cmd(&serve)));
        node.wait_for("listening on ");
        node
    };
    let mut node = start();
    route.landing = place.join("alice");
    // Both have begun.
    let mut send = route.start_in_part(8 << 20, 30, &["--streams", "1", text(&dir)]);
    node.kill9();
    assert_ne!(send.end().0, Some(0));
    route.proxy.plan(Plan::default);
    let _node = start();
    assert!(route.send(&["--streams", "1", text(&dir)]).held > 6 << 20);
    assert!(fs::read(route.landing.join("tree/a%3ab")).unwrap() == large);
    assert!(fs::read(route.landing.join("tree/a%3ab (1)")).unwrap() == large[1..]);
}
