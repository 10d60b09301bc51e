//! What a real node takes from whom, and where it lands: the rules of the peers file, the limits of the node, the room on
//! its disk. Who is refused learns why, and leaves nothing behind. It leaves out the user who is asked: see `asking`.

use crate::common;

use common::disk::SmallDisk;
use common::files::{MIB, names_in, note_goes, sample, staged_in};
use common::proxy::Plan;
use common::route::{Blow, Route};
use common::strace::{self, Fault, Faulty, KILL};
use common::{Home, Process, pair, poll_until};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What the connection of an offer says that is not taken: with files that are sent early.
const OFFER: u64 = (48 << 10) + (16 << 10);
/// Bytes of one connection after which it hangs, and the chunks in them.
const SOME: u64 = 3 << 20;
const SOME_CHUNKS: usize = 12;

/// A file that takes no room here.
fn sparse(home: &Home, name: &str, bytes: u64) -> String {
    let path = home.path(name);
    File::create(&path).unwrap().set_len(bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Bob goes by these options for what Alice offers.
fn set(route: &Route, options: &[&str]) {
    route.bob.run(&[&["peers", "set", "alice"], options].concat());
}

/// Sends what is refused with `code`; gives what Alice is told. Nothing was moved, and nothing is left of it.
fn refused(route: &Route, args: &[&str], code: i32) -> String {
    let before = (files_below(&route.landing), route.bob.run(&["log"]), route.proxy.connections().len());
    let said = route.alice.fails(&[&["send", "bob"], args].concat(), code);
    let wire: u64 = route.proxy.connections()[before.2..].iter().map(|one| one.passed()[0]).sum();
    assert!(wire < OFFER, "{wire} bytes were sent for nothing");
    assert_eq!((files_below(&route.landing), route.bob.run(&["log"])), (before.0, before.1));
    assert!(staged_in(&route.landing).is_empty() && names_in(&route.bob.path("partial")).is_empty());
    said
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let names = names_in(dir).into_iter().map(|name| dir.join(name));
    names.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// A stream has no end by which it would be noticed.
#[test]
fn who_is_blocked_or_removed_sends_no_more() {
    for doing in [&["peers", "set", "alice", "blocked"][..], &["peers", "remove", "alice"]] {
        let route = Route::new();
        let mut send = Process::start(route.alice.cmd(&["send", "--name", "s", "bob", "-"]));
        send.write(&[b'x'; 4 << 20]);
        poll_until("some of it", || (!staged_in(&route.landing).is_empty()).then_some(()));
        route.bob.run(doing);
        poll_until("it to end, with its input open", || (!send.is_running()).then_some(()));
        assert_ne!(send.end().0, Some(0));
        assert!(!route.landing.join("s").exists());
    }
}

const MORE: &str = "egoat: hint: they can allow more: `egoat serve --max-file SIZE`, or `egoat peers set NAME max-file=SIZE` there";

#[test]
fn who_is_refused_sends_nothing_and_still_talks() {
    let mut route = Route::new();
    let file = route.alice.file("a", "a");
    fs::create_dir_all(route.alice.path("tree/empty")).unwrap();
    set(&route, &["files=refuse", "max-file=4G"]);
    for path in [&file, route.alice.path("tree").to_str().unwrap()] {
        let said = refused(&route, &[path], 77);
        assert!(said.contains("egoat: error: bob refused: it takes no files from you\n"), "{said}");
        assert!(
            said.contains("egoat: hint: they can allow it: `egoat peers set NAME files=accept` there\n"),
            "{said}"
        );
    }
    let (_, said) = route.alice.ends_with(&["send", "bob", "-"], b"a stream", 77);
    assert!(said.contains("it takes no files from you"), "{said}");
    assert!(!route.landing.exists() && route.bob.run(&["partial"]).is_empty());
    route.alice.run(&["say", "--wait", "30s", "bob", "may I?"]);
    assert_eq!(route.bob.received(), ["may I?"]);
    set(&route, &["files=accept"]);
    route.send(&[&file]);
    let told = route.node.kill9();
    let line = "egoat: alice offered a, which was refused: files=refuse of `egoat peers set`\n";
    assert!(told.contains(line) && told.matches("which was refused").count() == 3, "{told}");
}

#[test]
fn nobody_is_asked_where_nobody_is() {
    let route = Route::new();
    set(&route, &["files=ask"]);
    let said = refused(&route, &[&route.alice.file("a", "")], 77);
    assert!(said.contains("bob refused: its user did not take it\n"), "{said}");
    assert!(said.contains("hint: they are asked in `egoat chat`"), "{said}");
    route.alice.ends_with(&["send", "bob", "-"], b"a stream", 77);
    assert!(!route.landing.exists());
}

#[test]
fn a_paired_peer_may_send_a_gib_at_a_time() {
    let route = Route::new();
    let (large, half) = (sparse(&route.alice, "large", (1 << 30) + 1), sparse(&route.alice, "half", 1 << 29));
    let said = refused(&route, &[&large], 77);
    assert!(said.contains("bob refused: 1.0 GiB is more than it takes") && said.contains(MORE), "{said}");
    refused(&route, &[&half, &sparse(&route.alice, "other half", 1 << 29), &route.alice.file("a", "a")], 77);
    fs::create_dir(route.alice.path("tree")).unwrap();
    fs::rename(&large, route.alice.path("tree/large")).unwrap();
    refused(&route, &[route.alice.path("tree").to_str().unwrap()], 77);
    refused(&route, &["--name", "x", &sparse(&route.alice, "huge", 1 << 42)], 77);
    route.send(&[&route.alice.file("small", sample(MIB))]);
}

#[test]
fn the_limit_is_that_of_the_node_or_of_the_peer() {
    let mut route = Route::with(&["--max-file", "10k"]);
    let [fits, over, larger] =
        [10_240, 10_241, 20_481].map(|bytes| route.alice.file(&bytes.to_string(), sample(bytes)));
    route.send(&[&fits]);
    let said = refused(&route, &[&over], 77);
    assert!(said.contains("10.0 KiB is more than it takes") && said.contains(MORE), "{said}");
    set(&route, &["max-file=20k"]);
    route.send(&[&over]);
    refused(&route, &[&larger], 77);
    set(&route, &["max-file=5k", "files=accept"]);
    refused(&route, &[&fits], 77);
    set(&route, &["max-file=0"]);
    refused(&route, &[&fits], 77);
    route.send(&[&route.alice.file("empty", "")]);
    let told = route.node.kill9();
    let why = "which was refused: it is more than --max-file, or max-file= of `egoat peers set`, allows";
    assert_eq!(told.matches(why).count(), 4, "{told}");
}

/// Nobody knows how long it is before it ends.
#[test]
fn a_stream_ends_at_the_limit() {
    let route = Route::with(&["--max-file", "100k"]);
    let send = ["send", "bob", "--name", "s", "-"];
    route.alice.pipe(&send, &sample(100 << 10));
    for (options, most) in [("max-file=200k", 200 << 10), ("quota=258k", 150 << 10)] {
        set(&route, &[options]);
        let (_, said) = route.alice.ends_with(&send, &sample(most + 1), 77);
        assert!(
            said.contains("bob refused: the stream is longer than it takes") && said.contains(MORE),
            "{said}"
        );
        assert_eq!(names_in(&route.landing), ["s"]);
        assert_eq!(route.bob.run(&["partial"]), "");
    }
    route.alice.pipe(&send, &sample(150 << 10));
    assert_eq!(names_in(&route.landing), ["s", "s (1)"]);
    let (_, said) = route.alice.ends_with(&send, b"x", 77);
    assert!(said.contains("more than it has room for you"), "{said}");
}

#[test]
fn a_quota_counts_what_is_there() {
    let mut route = Route::new();
    // 4 KiB for each of two files.
    set(&route, &["quota=108k"]);
    let [sixty, forty] = [60, 40].map(|kib| route.alice.file(&kib.to_string(), sample(kib << 10)));
    let (one, none) = (route.alice.file("one", "1"), route.alice.file("none", ""));
    route.send(&[&sixty]);
    let said = refused(&route, &[&sixty], 77);
    assert!(said.contains("bob refused: your files there would be more than it has room for you"), "{said}");
    assert!(
        said.contains("hint: they can make room, or allow more: `egoat peers set NAME quota=SIZE` there"),
        "{said}"
    );
    route.send(&[&forty]);
    refused(&route, &[&one], 77);
    refused(&route, &[&none], 77);

    // Room is made, in part; what Bob puts there himself counts.
    fs::remove_file(route.landing.join("60")).unwrap();
    fs::create_dir(route.landing.join("mine")).unwrap();
    fs::write(route.landing.join("mine/own"), sample(12 << 10)).unwrap();
    refused(&route, &[&forty, &one], 77);
    fs::write(route.bob.path("downloads/beside"), sample(200 << 10)).unwrap();
    route.send(&[&forty]);
    set(&route, &["quota="]);
    route.send(&[&sixty, &none]);
    assert_eq!(names_in(&route.landing), ["40", "40 (1)", "60", "mine", "none"]);
    let told = route.node.kill9();
    assert!(told.contains("their files would be more than quota= of `egoat peers set` allows"), "{told}");
}

/// A tree of `files` empty files in as many directories as make 100 of them each.
fn empty_files(home: &Home, name: &str, files: usize) -> String {
    for n in 0..files {
        let dir = home.path(name).join((n / 100).to_string());
        fs::create_dir_all(&dir).unwrap();
        File::create(dir.join(n.to_string())).unwrap();
    }
    home.path(name).to_str().unwrap().to_owned()
}

#[test]
fn files_without_bytes_are_no_way_past_a_quota() {
    let route = Route::new();
    // The tree, its directory, and the files in them.
    let (fits, tree) = (empty_files(&route.alice, "fits", 8), empty_files(&route.alice, "tree", 9));
    set(&route, &["quota=40k", "max-file=0"]);
    let said = refused(&route, &[&tree], 77);
    assert!(said.contains("more than it has room for you"), "{said}");
    route.send(&[&fits]);
    refused(&route, &[&route.alice.file("one more", "")], 77);
    set(&route, &["quota=44k"]);
    route.send(&[&route.alice.file("one more", "")]);
}

#[test]
fn a_tree_does_not_use_up_the_last_files_of_a_disk() {
    let Some((disk, mut route)) = with_small_disk() else { return };
    disk.limit_files(200);
    let (tree, fits) = (empty_files(&route.alice, "tree", 190), empty_files(&route.alice, "fits", 150));
    let said = refused(&route, &[&tree], 69);
    assert!(said.contains("bob cannot take the files now: its disk is full\n"), "{said}");
    route.send(&[&fits]);
    refused(&route, &[&tree], 69);
    disk.limit_files(500);
    route.send(&[&tree]);
    let told = route.node.kill9();
    assert_eq!(told.matches("egoat: alice offered tree/, for which there is no room\n").count(), 2, "{told}");
}

#[test]
fn trees_that_arrive_at_once_do_not_use_up_the_last_files_of_a_disk_either() {
    let Some((disk, route)) = with_small_disk() else { return };
    disk.limit_files(200);
    let (first, second) = (empty_files(&route.alice, "first", 100), empty_files(&route.alice, "second", 100));
    fs::write(Path::new(&first).join("large"), sample(MIB / 2)).unwrap();
    // One chunk arrives, and not the next one.
    let mut send = route.start_in_part(400 << 10, 1, &["--streams", "1", &first]);
    let said = route.alice.fails(&["send", "bob", &second], 69);
    assert!(said.contains("bob cannot take the files now: its disk is full\n"), "{said}");
    route.mend();
    assert_eq!(send.end().0, Some(69));
    // It does not come any more.
    poll_until("the turn of the first to end", || {
        route.alice.cmd(&["send", "bob", &second]).output().unwrap().status.success().then_some(())
    });
}

#[test]
fn what_arrived_in_part_counts_once_against_the_quota() {
    let mut route = Route::new();
    set(&route, &["quota=8M"]);
    let file = route.alice.file("large.bin", sample(6 * MIB));
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &file], Blow::Network);
    // For another one it is in the way.
    let other = sparse(&route.alice, "other", 6 << 20);
    let said = route.alice.fails(&["send", "bob", &other], 77);
    assert!(said.contains("more than it has room for you"), "{said}");
    assert!(route.send(&["--streams", "1", &file]).held > 0);
    fs::remove_file(route.landing.join("large.bin")).unwrap();
    route.send(&[&other]);
    assert_eq!(names_in(&route.landing), ["other"]);
}

/// Alice is killed before she can say goodbye.
#[test]
fn what_is_in_place_is_not_weighed_again() {
    if !strace::works() {
        return;
    }
    let route = Route::new();
    route.alice.run(&["say", "--wait", "30s", "bob", "so that there is a log"]);
    let log = route.alice.path(&format!("history/{}.log", route.bob.key()));
    let file = route.alice.file("a", "123456");
    set(&route, &["quota=5k"]);
    let fault = Fault { call: "pwrite64", how: KILL, nth: 1, on: vec![log] };
    let send = Faulty::start(&route.alice, &["send", "bob", &file], &fault);
    poll_until("it to be killed", || send.was_hit().then_some(()));
    assert_eq!(names_in(&route.landing), ["a"]);
    set(&route, &["quota=5k", "files=ask"]);
    assert_eq!(route.send(&[&file]).held, 6);
    assert_eq!(names_in(&route.landing), ["a"]);
    note_goes(&route.bob);
}

/// Each of them alone would fit.
#[test]
fn what_is_under_way_at_once_stays_within_the_quota() {
    let route = Route::new();
    set(&route, &["quota=8200k"]);
    let [six, four, two] = [6, 4, 2].map(|mib| route.alice.file(&mib.to_string(), sample(mib * MIB)));
    let mut first = route.start_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &six]);
    route.proxy.plan(Plan::default);
    for args in [&["send", "bob", &four][..], &["send", "bob", "--name", "s", "-"]] {
        let (_, said) = route.alice.ends_with(args, &sample(3 * MIB), 77);
        assert!(said.contains("room for you") || said.contains("longer than it takes"), "{said}");
    }
    route.alice.run(&["send", "bob", &two]);
    let said = route.alice.fails(&["send", "bob", &route.alice.file("1", "1")], 77);
    assert!(said.contains("more than it has room for you"), "{said}");
    route.mend();
    assert_eq!(first.end().0, Some(69));
    // It has its place, though nothing else has.
    route.send(&["--streams", "1", &six]);
    assert_eq!(names_in(&route.landing), ["2", "6"]);
    // Neither what is done with nor what was lost is still promised room.
    fs::remove_file(route.landing.join("6")).unwrap();
    let mut lost = route.start_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &six]);
    lost.kill9();
    route.mend();
    poll_until("it to be removed", || {
        route.bob.cmd(&["partial", "remove", "--all"]).output().unwrap().status.success().then_some(())
    });
    route.send(&[&four]);
    assert_eq!(names_in(&route.landing), ["2", "4"]);
}

#[test]
fn files_land_in_the_folder_of_the_peer() {
    let route = Route::new();
    let place = route.bob.path("from alice/100%");
    set(&route, &[&format!("dir={}", place.display()), "quota=10k"]);
    let file = route.alice.file("a", sample(6 << 10));
    route.send(&[&file]);
    assert_eq!(names_in(&place), ["a"]);
    assert!(!route.landing.exists());
    let log = route.bob.run(&["log"]);
    assert!(log.contains(&format!("alice sent {}", place.join("a").display())), "{log}");
    let said = route.alice.fails(&["send", "bob", &file], 77);
    assert!(said.contains("more than it has room for you"), "{said}");

    // By hand. It cannot be made where a file is.
    let peers = fs::read_to_string(route.bob.path("peers")).unwrap();
    let escaped = place.display().to_string().replace('%', "%25").replace(' ', "%20");
    let in_the_way = place.join("a/below").display().to_string().replace('%', "%25").replace(' ', "%20");
    assert!(peers.contains(&format!("dir={escaped}")), "{peers}");
    fs::write(route.bob.path("peers"), peers.replace(&escaped, &in_the_way)).unwrap();
    let said = route.alice.fails(&["send", "bob", &file], 74);
    assert!(said.contains("bob could not finish the transfer: it cannot write where files land"), "{said}");
    let elsewhere = route.bob.path("elsewhere");
    fs::write(route.bob.path("peers"), peers.replace(&escaped, elsewhere.to_str().unwrap())).unwrap();
    route.send(&[&file]);
    assert_eq!((names_in(&place), names_in(&elsewhere)), (vec!["a".into()], vec!["a".into()]));
}

#[test]
fn a_change_of_the_rules_holds_at_once() {
    let route = Route::new();
    let plain = fs::read_to_string(route.bob.path("peers")).unwrap();
    for n in 0..5 {
        let file = route.alice.file(&format!("{n}"), "x");
        set(&route, &["files=refuse"]);
        refused(&route, &[&file], 77);
        set(&route, &["files="]);
        route.send(&[&file]);
        let by_hand =
            |option: &str| fs::write(route.bob.path("peers"), format!("{} {option}\n", plain.trim_end()));
        by_hand("files=refuse").unwrap();
        refused(&route, &[&file], 77);
        by_hand("files=accept").unwrap();
        route.send(&["--name", &format!("{n} again"), &file]);
    }
    assert_eq!(names_in(&route.landing).len(), 10);
    // A line that cannot be understood lets nobody past it.
    fs::write(route.bob.path("peers"), format!("{} files=no\n", plain.trim_end())).unwrap();
    let file = route.alice.file("last", "x");
    let out = route.alice.cmd(&["send", "bob", &file]).output().unwrap();
    assert!(!out.status.success() && !route.landing.join("last").exists());
}

#[test]
fn who_receives_takes_what_it_was_started_for() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = bob.serve();
    pair(&bob, &alice);
    node.kill9();
    let file = alice.file("a", sample(3000));
    bob.run(&["peers", "set", "alice", "quota=1", "max-file=1"]);
    for files in ["files=refuse", "files=ask", "files=accept"] {
        bob.run(&["peers", "set", "alice", files]);
        let mut receive = Process::start(bob.cmd(&["receive", "--from", "alice", "--listen", &node.addr]));
        alice.run(&["send", "--wait", "30s", "bob", &file]);
        let (code, out, said) = receive.end();
        assert!(code == Some(0) && out.ends_with("\n"), "{said}");
    }
    assert_eq!(names_in(&bob.path("downloads/alice")), ["a", "a (1)", "a (2)"]);

    // For a link, and into a pipe, it is the same.
    bob.run(&["peers", "set", "alice", "files=refuse"]);
    let mut receive = Process::start(bob.cmd(&["receive", "--listen", "127.0.0.1:0"]));
    alice.run(&["send", &receive.wait_for("egoat:"), &file]);
    assert_eq!(receive.end().0, Some(0));
    let into = ["receive", "--from", "alice", "--into", "-", "--listen", &node.addr];
    let mut receive = Process::start(bob.cmd(&into));
    alice.run(&["send", "--wait", "30s", "bob", &alice.file("b", "to a pipe\n")]);
    assert_eq!(receive.end().1, "to a pipe\n");
}

#[test]
fn only_the_receiver_may_have_files_replaced() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = bob.serve();
    pair(&bob, &alice);
    let said = alice.fails(&["send", "--overwrite", "bob", &alice.file("a", "first")], 2);
    assert!(said.contains("--overwrite"), "{said}");
    let send = |content| drop(alice.run(&["send", "--wait", "30s", "bob", &alice.file("a", content)]));
    let landing = bob.path("downloads/alice");
    let landed =
        || names_in(&landing).into_iter().map(|name| fs::read_to_string(landing.join(name)).unwrap());
    send("first");
    send("second");
    assert_eq!(names_in(&landing), ["a", "a (1)"]);
    node.kill9();
    let args = ["serve", "--overwrite", "--listen", &node.addr];
    let mut replacing = Process::start(bob.cmd(&args));
    send("third");
    assert!(landed().eq(["third", "second"]));
    replacing.kill9();
    let from = ["receive", "--from", "alice", "--listen", &node.addr];
    for (more, content, name) in [(&["--overwrite"][..], "fourth", "a"), (&[], "fifth", "a (2)")] {
        let mut receive = Process::start(bob.cmd(&[&from[..], more].concat()));
        send(content);
        assert_eq!(receive.end().1, format!("{}\n", landing.join(name).display()));
    }
    assert!(landed().eq(["fourth", "second", "fifth"]));
}

/// Bob's downloads are on a disk of 1 MiB.
fn with_small_disk() -> Option<(SmallDisk, Route)> {
    let disk = SmallDisk::mount()?;
    let mut route = Route::with(&["--downloads", disk.path().to_str().unwrap()]);
    route.landing = disk.path().join("alice");
    Some((disk, route))
}

#[test]
fn what_has_no_room_on_the_disk_is_not_begun() {
    let Some((disk, mut route)) = with_small_disk() else { return };
    let file = route.alice.file("large.bin", sample(3 * MIB));
    let said = refused(&route, &[&file], 69);
    assert!(said.contains("bob cannot take the files now: its disk is full\n"), "{said}");
    assert!(names_in(disk.path()).is_empty());
    // As soon as there is room it arrives, and nobody types the command again.
    let mut send = route.start(&["--wait", "1m", &file]);
    send.wait_to_say("its disk is full");
    disk.grow();
    assert_eq!(send.end().0, Some(0));
    assert_eq!(names_in(&route.landing), ["large.bin"]);
    let told = route.node.kill9();
    assert!(told.contains("egoat: alice offered large.bin, for which there is no room\n"), "{told}");
}

#[test]
fn what_arrived_in_part_needs_no_room_again() {
    let Some((disk, mut route)) = with_small_disk() else { return };
    disk.grow();
    let file = route.alice.file("large.bin", sample(6 * MIB));
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &file], Blow::Sender);
    // A hole is no room: lanes write at many places.
    let staged = route.staging().join("files/large.bin");
    let length = fs::metadata(&staged).unwrap().len();
    File::options().write(true).open(&staged).unwrap().set_len(6 << 20).unwrap();
    let filler = |mib| fs::write(disk.path().join("filler"), vec![1; mib * MIB]).unwrap();
    filler(3);
    let before = route.proxy.connections().len();
    let said = route.alice.fails(&["send", "bob", "--streams", "1", &file], 69);
    assert!(said.contains("its disk is full\n"), "{said}");
    assert!(route.proxy.connections()[before..].iter().all(|one| one.passed()[0] < OFFER));
    // 3 MiB are missing, 4 are free.
    filler(1);
    assert!(length < 4 << 20);
    let sent = route.send(&["--streams", "1", &file]);
    assert!(sent.held > 0 && names_in(&route.landing) == ["large.bin"], "{sent:?}");
}

#[test]
fn a_sender_without_the_link_is_told_of_it() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut receive = Process::start(bob.cmd(&["receive", "--listen", "127.0.0.1:0"]));
    let link = receive.wait_for("egoat:");
    let at = link.rsplit('@').next().unwrap();
    let (_, said) = alice.ends_with(&["send", "--accept-new", at, &alice.file("a.txt", "a")], b"", 77);
    assert!(said.contains("it takes files, and only from somebody with its link"), "{said}");
    assert!(said.contains("`egoat send LINK FILE`"), "{said}");
    receive.kill9();
}
