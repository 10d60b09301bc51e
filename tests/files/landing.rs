//! How what arrives comes to its name, what is kept of what did not, and what the sender hears of either. It leaves out who
//! may send and how much: see `receiving`; and lost connections: see `resume`.

use crate::common;

use common::files::{MIB, landed_in, names_in, note_goes, sample, sample_of, staged_in};
use common::gate::Gate;
use common::proxy::{How, Plan, Way};
use common::rogue::{Rogue, dir, file};
use common::route::{Blow, Route, fast_dir};
use common::strace::{self, Fault, Faulty, KILL};
use common::{Home, Node, Process, by, json_number, pair, poll_until, skip};
use egoat::wire::features::Features;
use egoat::wire::message::{CHUNK, Declined, Kind, Message};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// The node had no time to read the offer while its sender waited.
#[test]
fn an_offer_whose_sender_has_gone_leaves_nothing() {
    let (bob, mallory) = (Home::new("bob"), Rogue::new(13));
    bob.run(&["peers", "add", "mallory", &mallory.key()]);
    let node = bob.serve();
    for (count, what) in ["one", "tree", "stream"].into_iter().enumerate() {
        let mut line = mallory.session(&node.addr, &bob.key(), Kind::Files);
        match what {
            "one" => line.offer(&[file("one", 1000)]),
            "tree" => line.offer(&[dir("tree"), file("tree/empty", 0)]),
            _ => line.offer_stream("stream"),
        }
        line.hang_up();
        poll_until(what, || {
            (node.said().matches("connection to mallory lost").count() > count).then_some(())
        });
        assert_eq!(bob.run(&["partial"]), "", "{what}");
        assert!(names_in(&bob.path("partial")).is_empty(), "{what}");
        assert!(names_in(&bob.path("downloads/mallory")).is_empty(), "{what}");
    }
}

/// Bob has all of it, and Alice does not know.
fn send_without_the_last_word(route: &Route, paths: &[&str], names: &[&str]) {
    let first = route.alice.file("first", "x");
    route.send(&[&first]);
    let connection = route.proxy.connections().pop().unwrap();
    poll_until("its end", || connection.is_over().then_some(()));
    let whole = connection.passed()[Way::ToDialler as usize];
    fs::remove_file(route.landing.join("first")).unwrap();
    route.proxy.plan_next(Plan::cut(Way::ToDialler, whole - 1, How::Cut));
    route.alice.fails(&[&["send", "bob"], paths].concat(), 69);
    poll_until("all of it", || (landed_in(&route.landing) == names).then_some(()));
    poll_until("its folder to go", || staged_in(&route.landing).is_empty().then_some(()));
}

#[test]
fn what_was_changed_since_it_came_is_not_called_stored() {
    let in_place = |path: &Path| fs::write(path, "mine").unwrap();
    let by_another = |path: &Path| {
        // As large and as old, but not the same.
        let time = fs::metadata(path).unwrap().modified().unwrap();
        let other = path.with_extension("other");
        fs::write(&other, "mine").unwrap();
        common::files::set_time(&other, time);
        fs::rename(other, path).unwrap();
    };
    let changes: [&dyn Fn(&Path); 2] = [&in_place, &by_another];
    for change in changes {
        let route = Route::new();
        fs::create_dir(route.alice.path("tree")).unwrap();
        route.alice.file("tree/file", "hers");
        let (a, tree) = (route.alice.file("a.txt", "hers"), route.alice.path("tree"));
        let paths = [a.as_str(), tree.to_str().unwrap()];
        for changed in ["a.txt", "tree/file"] {
            let _ = fs::remove_dir_all(&route.landing);
            fs::create_dir_all(&route.landing).unwrap();
            send_without_the_last_word(&route, &paths, &["a.txt", "tree"]);
            change(&route.landing.join(changed));
            assert_eq!(route.send(&paths).held, 0, "{changed}");
            assert_eq!(names_in(&route.landing), ["a (1).txt", "a.txt", "tree", "tree (1)"]);
            for (path, content) in [("a (1).txt", "hers"), ("tree (1)/file", "hers"), (changed, "mine")] {
                assert_eq!(fs::read_to_string(route.landing.join(path)).unwrap(), content);
            }
        }
        // What was not changed is there once.
        fs::remove_dir_all(&route.landing).unwrap();
        send_without_the_last_word(&route, &paths, &["a.txt", "tree"]);
        assert_eq!(route.send(&paths).held, 8);
        assert_eq!(names_in(&route.landing), ["a.txt", "tree"]);
    }
}

/// Bytes of one connection after which it hangs, and the chunks in them.
const SOME: u64 = 3 << 20;
const SOME_CHUNKS: usize = 12;

/// Mallory has told another user of Bob's machine what Alice will send: the name of the folder for it is no secret.
#[test]
fn what_somebody_else_has_put_where_files_wait_is_left_alone() {
    let mut route = Route::new();
    let content = sample(6 * MIB);
    let file = route.alice.file("large.bin", &content);
    let args = ["--streams", "1", &file];
    route.send_in_part(SOME, SOME_CHUNKS, &args, Blow::Sender);
    let theirs = route.staging();
    poll_until("its data to be removed", || {
        route.bob.cmd(&["partial", "remove", "--all"]).output().unwrap().status.success().then_some(())
    });

    let evil = sample_of(2, content.len());
    fs::create_dir_all(theirs.join("files")).unwrap();
    fs::write(theirs.join("files/large.bin"), &evil).unwrap();
    for path in ["", "files", "files/large.bin"] {
        if chown(theirs.join(path), Some(12_345), Some(12_345)).is_err() {
            return skip("nobody but root can give files away");
        }
    }
    // It goes on in the folder that it got instead.
    route.send_in_part(SOME, SOME_CHUNKS, &args, Blow::Sender);
    assert_eq!(staged_in(&route.landing).len(), 2);
    assert!(json_number(&route.bob.run(&["--json", "partial"]), "held") > 0);
    // All of it is there, they say.
    fs::write(theirs.join("map"), vec![1; content.len().div_ceil(CHUNK)]).unwrap();
    chown(theirs.join("map"), Some(12_345), Some(12_345)).unwrap();
    let sent = route.send(&args);
    assert!(sent.held > 0 && sent.held < sent.bytes, "{sent:?}");
    assert!(fs::read(route.landing.join("large.bin")).unwrap() == content);
    assert_eq!(staged_in(&route.landing), [theirs.as_path()]);
    assert_eq!(names_in(&theirs), ["files", "map"]);
    assert!(fs::read(theirs.join("files/large.bin")).unwrap() == evil);
    note_goes(&route.bob);

    // Whatever else they put there.
    for what in ["a file", "a link"] {
        fs::remove_file(route.landing.join("large.bin")).unwrap();
        let _ = fs::remove_dir_all(&theirs).or_else(|_| fs::remove_file(&theirs));
        match what {
            "a file" => fs::write(&theirs, "").unwrap(),
            _ => symlink(route.bob.path("partial"), &theirs).unwrap(),
        }
        route.send(&args);
        assert!(fs::read(route.landing.join("large.bin")).unwrap() == content, "{what}");
        note_goes(&route.bob);
    }
}

/// A directory of Bob's own in the place, which those may rename who may write to the place, and not empty.
fn photos(route: &Route) -> PathBuf {
    let photos = route.landing.join("photos");
    fs::create_dir_all(photos.join("files")).unwrap();
    fs::write(photos.join("files/large.bin"), "mine").unwrap();
    photos
}

#[test]
fn a_directory_that_gets_the_name_of_the_folder_where_files_wait_stays() {
    let mut route = Route::new();
    let content = sample(6 * MIB);
    let file = route.alice.file("large.bin", &content);
    let args = ["--streams", "1", &file];
    for mode in [0o755, 0o777] {
        route.send_in_part(SOME, SOME_CHUNKS, &args, Blow::Sender);
        let theirs = route.staging();
        fs::rename(&theirs, route.landing.join("aside")).unwrap();
        fs::rename(photos(&route), &theirs).unwrap();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(mode)).unwrap();
        route.send(&args);
        assert!(fs::read(route.landing.join("large.bin")).unwrap() == content);
        assert_eq!(
            (staged_in(&route.landing), names_in(&theirs)),
            (vec![theirs.clone()], vec!["files".into()])
        );
        assert_eq!(fs::read(theirs.join("files/large.bin")).unwrap(), b"mine");
        for name in ["aside", &theirs.file_name().unwrap().to_string_lossy()] {
            fs::remove_dir_all(route.landing.join(name)).unwrap();
        }
        fs::remove_file(route.landing.join("large.bin")).unwrap();
    }
}

#[test]
fn a_directory_that_takes_the_place_of_that_folder_while_files_arrive_stays() {
    let mut route = Route::new();
    let gate = Gate::before(&route.node.addr, SOME);
    route.alice.run(&["peers", "remove", "bob"]);
    route.alice.run(&["peers", "add", "bob", &route.bob.key(), &gate.addr]);
    let file = route.alice.file("large.bin", sample(6 * MIB));
    let mut send = route.start(&["--streams", "1", &file]);
    poll_until("a chunk", || (route.chunks() > 0).then_some(()));
    let staging = route.staging();
    fs::rename(&staging, route.landing.join("aside")).unwrap();
    fs::rename(photos(&route), &staging).unwrap();
    gate.open();
    assert_eq!(send.end().0, Some(0));
    route.node.wait_for("file from alice");
    assert_eq!(fs::read(staging.join("files/large.bin")).unwrap(), b"mine");
    assert!(names_in(&route.landing.join("aside")).is_empty());
}

#[test]
fn what_others_could_write_to_is_not_gone_on_with() {
    let mut route = Route::new();
    let content = sample(6 * MIB);
    let file = route.alice.file("large.bin", &content);
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &file], Blow::Sender);
    let staging = route.staging();
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o722)).unwrap();
    assert_eq!(json_number(&route.bob.run(&["--json", "partial"]), "held"), 0);
    assert_eq!(route.send(&["--streams", "1", &file]).held, 0);
    assert!(fs::read(route.landing.join("large.bin")).unwrap() == content);
    assert!(staged_in(&route.landing).is_empty());
}

/// Somebody who may rename what is in the place gives one transfer the folder of another: its sender would hear what is in
/// there by hash, and it would be lost.
#[test]
fn a_transfer_does_not_get_the_folder_of_another_one() {
    let mut route = Route::new();
    let contents = [sample_of(2, 6 * MIB), sample_of(3, 6 * MIB)];
    let files = ["a.bin", "b.bin"].map(|name| {
        let content = &contents[usize::from(name == "b.bin")];
        route.alice.file(name, content)
    });
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &files[0]], Blow::Sender);
    let own = route.staging();
    let aside = route.bob.path("aside");
    fs::rename(&own, &aside).unwrap();
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &files[1]], Blow::Sender);
    let other = route.staging();
    fs::remove_dir_all(&other).unwrap();
    fs::rename(&aside, &other).unwrap();
    let held = |home: &Home| json_number(home.run(&["--json", "partial"]).lines().last().unwrap(), "held");
    assert_eq!(held(&route.bob), 0);
    assert_eq!(route.send(&["--streams", "1", &files[1]]).held, 0);
    assert!(fs::read(route.landing.join("b.bin")).unwrap() == contents[1]);
    assert_eq!(names_in(&other.join("files")), ["a.bin"], "what waits for its own rest is left alone");
    fs::rename(&other, &own).unwrap();
    assert!(route.send(&["--streams", "1", &files[0]]).held > 0);
    assert_eq!(names_in(&route.landing), ["a.bin", "b.bin"]);
    assert!(fs::read(route.landing.join("a.bin")).unwrap() == contents[0]);
}

/// What counts against a quota is what is in the place; a link to much, in the place of the folder of a transfer, takes
/// nothing off it.
#[test]
fn a_link_in_the_place_of_that_folder_makes_no_room() {
    let mut route = Route::new();
    let file = route.alice.file("large.bin", sample(6 * MIB));
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &file], Blow::Sender);
    route.bob.run(&["peers", "set", "alice", "quota=10M"]);
    let (staging, much) = (route.staging(), route.bob.path("much"));
    fs::remove_dir_all(&staging).unwrap();
    fs::create_dir(&much).unwrap();
    fs::File::create(much.join("zeros")).unwrap().set_len(1 << 30).unwrap();
    symlink(&much, &staging).unwrap();
    fs::write(route.landing.join("before"), sample(6 * MIB)).unwrap();
    let said = route.alice.fails(&["send", "bob", &file], 77);
    assert!(said.contains("your files there would be more than it has room for you"), "{said}");
    // Nor does a folder that is for something else.
    fs::remove_file(&staging).unwrap();
    fs::rename(&much, &staging).unwrap();
    fs::rename(staging.join("zeros"), staging.join("files")).unwrap();
    route.alice.fails(&["send", "bob", &file], 77);
    fs::remove_dir_all(&staging).unwrap();
    fs::remove_file(route.landing.join("before")).unwrap();
    route.send(&[&file]);
}

#[test]
fn however_many_files_have_the_name_one_more_gets_a_number() {
    let route = Route::new();
    fs::create_dir_all(&route.landing).unwrap();
    let named = |number: usize| route.landing.join(format!("a ({number}).txt"));
    fs::write(route.landing.join("a.txt"), "").unwrap();
    (1..10_002).for_each(|number| fs::write(named(number), "").unwrap());
    let file = route.alice.file("a.txt", "new");
    for number in [10_002, 10_003] {
        route.send(&[&file]);
        assert_eq!(fs::read_to_string(named(number)).unwrap(), "new");
    }
    fs::remove_file(named(3)).unwrap();
    route.send(&[&file]);
    assert_eq!(fs::read_to_string(named(3)).unwrap(), "new");
}

/// What the connection of an offer says that is not taken.
const OFFER: u64 = 16 << 10;

#[test]
fn what_cannot_be_replaced_is_told_before_a_byte_is_sent() {
    let route = Route::with(&["--overwrite"]);
    let large = sample(2 * MIB);
    let at = |name: &str| route.landing.join(name);
    for dir in ["x", "tree/sub/file", "is"] {
        fs::create_dir_all(at(dir)).unwrap();
    }
    fs::write(at("dir"), "old").unwrap();
    symlink(at("is"), at("link")).unwrap();
    let path = |name: &str| route.alice.path(name).to_str().unwrap().to_owned();
    for dir in ["dir", "tree/sub", "tree/below", "link"] {
        fs::create_dir_all(path(dir)).unwrap();
    }
    for file in ["x", "dir/a", "tree/sub/file", "link/a"] {
        route.alice.file(file, &large);
    }
    let (is_directory, is_file) = (
        "bob refused: a directory there has the name of a file",
        "bob refused: a file there has the name of a directory",
    );
    for (sent, words, taken) in [
        ("x", is_directory, "x is a directory, and would be replaced by a file"),
        ("dir", is_file, "dir is no directory, and would be replaced by one"),
        ("tree", is_directory, "tree/sub/file is a directory, and would be replaced by a file"),
        ("link", is_file, "link is no directory, and would be replaced by one"),
    ] {
        let before = route.proxy.connections().len();
        let said = route.alice.fails(&["send", "bob", &path(sent)], 77);
        assert!(said.contains(words) && said.contains("receive without --overwrite"), "{sent}: {said}");
        let wire: u64 = route.proxy.connections()[before..].iter().map(|one| one.passed()[0]).sum();
        assert!(wire < OFFER, "{sent}: {wire} bytes were sent for nothing");
        let why = format!("which was refused: {}", at(taken).display());
        assert!(route.node.wait_to_say(&why).contains(&format!("alice offered {sent}")), "{sent}");
    }
    // The other way round, one level deeper.
    fs::remove_dir(at("tree/sub/file")).unwrap();
    fs::write(at("tree/below"), "old").unwrap();
    let said = route.alice.fails(&["send", "bob", &path("tree")], 77);
    assert!(said.contains(is_file), "{said}");
    assert!(names_in(&route.bob.path("partial")).is_empty() && staged_in(&route.landing).is_empty());
    fs::remove_file(at("tree/below")).unwrap();
    route.send(&[&path("tree")]);
    assert!(fs::read(at("tree/sub/file")).unwrap() == large);
}

/// One peer may replace its files, and another one not, whatever holds for all.
#[test]
fn a_peer_replaces_files_or_not_as_the_user_says_of_it() {
    for (args, option, expected) in
        [(&[][..], "overwrite=yes", &["a"][..]), (&["--overwrite"], "overwrite=no", &["a", "a (1)"])]
    {
        let route = Route::with(args);
        route.bob.run(&["peers", "set", "alice", option]);
        for content in ["first", "second"] {
            route.send(&[&route.alice.file("a", content)]);
        }
        assert_eq!(names_in(&route.landing), expected, "{option}");
        let replaced = fs::read_to_string(route.landing.join("a")).unwrap();
        assert_eq!(replaced, if expected.len() == 1 { "second" } else { "first" });
    }
}

/// It comes while the bytes travel, so that only the step to the names meets it.
#[test]
fn what_cannot_be_replaced_late_is_told_by_its_own_name() {
    let route = Route::with(&["--overwrite"]);
    let gate = Gate::before(&route.node.addr, SOME);
    route.alice.run(&["peers", "remove", "bob"]);
    route.alice.run(&["peers", "add", "bob", &route.bob.key(), &gate.addr]);
    fs::create_dir_all(route.alice.path("tree/sub")).unwrap();
    for (name, size) in [("tree/a", 6 * MIB), ("tree/sub/b", 10)] {
        route.alice.file(name, sample(size));
    }
    let mut send = route.start(&["--streams", "1", route.alice.path("tree").to_str().unwrap()]);
    poll_until("chunks to be written", || (route.chunks() > 0).then_some(()));
    let taken = route.landing.join("tree/sub/b");
    fs::create_dir_all(&taken).unwrap();
    gate.open();
    let (code, _, said) = send.end();
    assert_eq!(code, Some(74), "{said}");
    let why = format!("cannot replace {}: a directory is in the place of a file", taken.display());
    route.node.wait_to_say(&why);
}

#[test]
fn an_older_sender_hears_of_it_in_the_words_that_it_knows() {
    let bob = Home::new("bob");
    let node = bob.serve_with(&["--overwrite", "--listen", "127.0.0.1:0"]);
    fs::create_dir_all(bob.path("downloads/mallory/x")).unwrap();
    let mallory = Rogue::new(13);
    bob.run(&["peers", "add", "mallory", &mallory.key()]);
    for (features, reason) in [(Features::NONE, Declined::Disk), (Features::REASONS, Declined::IsDirectory)] {
        let mut line = Rogue::new(13).with_features(features).session(&node.addr, &bob.key(), Kind::Files);
        line.offer(&[file("x", 5)]);
        line.expect(&Message::Decline(reason));
    }
}

#[test]
fn a_place_that_can_be_no_directory_is_told_before_there_is_a_link() {
    let bob = Home::new("bob");
    let file = bob.file("file", "mine");
    symlink("nowhere", bob.path("dangling")).unwrap();
    let below = format!("{file}/below/it");
    let dangling = bob.path("dangling").to_str().unwrap().to_owned();
    for (into, why) in [
        (file.as_str(), format!("{file} is no directory")),
        (&below, format!("{file} is no directory")),
        (&dangling, format!("{dangling} is a link that leads nowhere")),
        ("/proc/egoat", "nothing can be made in /proc: ".to_owned()),
    ] {
        let (out, said) = bob.ends_with(&["receive", "--listen", "127.0.0.1:0", "--into", into], b"", 1);
        assert!(said.contains(&format!("egoat: error: cannot receive into {into}: {why}")), "{said}");
        assert!(said.contains("hint: choose another directory"), "{said}");
        assert_eq!(out, "", "a link for nobody");
        assert!(!bob.path("invites").exists(), "no invite is used up");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    // What can be made is not made before it is needed.
    let new = bob.path("new/one");
    let args = ["receive", "--listen", "127.0.0.1:0", "--timeout", "1s", "--into", new.to_str().unwrap()];
    bob.fails(&args, 69);
    assert!(!bob.path("new").exists());
}

/// A node that the system lets open so few files.
fn with_open_files(bob: &Home, most: usize) -> Node {
    let script = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
    let command = bob.cmd(&["serve", "--listen", "127.0.0.1:0"]);
    let mut process = Process::start(by(&["sh", "-c", &script], &command));
    let addr = process.wait_for("listening on ")["listening on ".len()..].to_owned();
    Node::from(process, addr)
}

/// Over several connections, and many at once, while both nodes talk.
#[test]
fn forty_eight_open_files_are_enough() {
    let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
    let (_node, bob_node) = (alice.serve(), with_open_files(&bob, 48));
    pair(&alice, &bob);
    alice.run(&["say", "--wait", "30s", "bob", "one"]);
    bob.run(&["say", "--wait", "30s", "alice", "two"]);
    let content = sample(20 * MIB);
    let file = alice.file("large.bin", &content);
    fs::create_dir(alice.path("tree")).unwrap();
    (0..200).for_each(|number| drop(alice.file(&format!("tree/{number}"), "x")));
    alice.run(&["send", "--streams", "8", "bob", &file, alice.path("tree").to_str().unwrap()]);
    assert!(fs::read(bob.path("downloads/alice/large.bin")).unwrap() == content);
    assert_eq!(names_in(&bob.path("downloads/alice/tree")).len(), 200);
    drop(bob_node);
}

#[test]
fn too_few_open_files_are_named_with_the_number_on_both_sides() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = with_open_files(&bob, 14);
    alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let said = alice.fails(&["send", "bob", &alice.file("file", "x")], 74);
    assert!(said.contains("its system lets it open too few files: 64 are needed, `ulimit -n`"), "{said}");
    node.wait_to_say("too many open files: this process may open 14, and 64 are needed (`ulimit -n 64`)");
}

/// It has said goodbye, so that Bob has forgotten the transfer.
#[test]
fn a_command_that_is_killed_as_it_ends_and_repeated_leaves_no_second_copy() {
    if !strace::works() {
        return;
    }
    // The first write is for a core dump that has no secret, the second notes at which address Bob was reached, as does the first unlink.
    for (call, nth) in [("shutdown", 1), ("write", 3), ("unlink", 2)] {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let node = bob.serve();
        alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
        bob.run(&["peers", "add", "alice", &alice.key()]);
        let file = alice.file("a.txt", "x");
        let send = ["send", "bob", &file];
        let fault = Fault { call, how: KILL, nth, on: Vec::new() };
        let killed = Faulty::start(&alice, &send, &fault);
        poll_until("it to be killed", || killed.was_hit().then_some(()));
        drop(killed);
        poll_until("Bob to have heard the goodbye", || {
            names_in(&bob.path("partial")).is_empty().then_some(())
        });
        assert_eq!(names_in(&bob.path("downloads/alice")), ["a.txt"]);
        let (_, said) = alice.ends_with(&send, b"", 0);
        assert!(said.contains("bob has it: another command has sent it"), "{said}");
        assert!(said.contains("sent a.txt (1 B) to bob"), "{said}");
        assert_eq!(names_in(&bob.path("downloads/alice")), ["a.txt"], "{call}");
        assert!(names_in(&alice.path("partial")).is_empty());
        // Who sends it again wants it again.
        alice.run(&send);
        assert_eq!(names_in(&bob.path("downloads/alice")), ["a (1).txt", "a.txt"]);
        for home in [&alice, &bob] {
            assert_eq!(home.run(&["log"]).lines().count(), 2);
        }
    }
}

/// Its sender waits for nothing after that, and whoever looks then sees no more than the files.
#[test]
fn once_the_sender_hears_that_all_is_stored_nothing_else_is_to_be_seen() {
    let (bob, mallory) = (Home::new("bob"), Rogue::new(14).with_features(Features::PROGRESS));
    bob.run(&["peers", "add", "mallory", &mallory.key()]);
    let node = bob.serve();
    let landing = bob.path("downloads/mallory");
    let content = sample(2 << 10);
    let nothing_waits = || {
        assert_eq!(names_in(&landing), ["a.txt"]);
        assert_eq!(bob.run(&["partial"]), "");
        assert!(!bob.run(&["status"]).contains("moving"), "{}", bob.run(&["status"]));
        assert_eq!(bob.run(&["log"]).lines().count(), 1);
    };
    let offer = || {
        let mut line = mallory.session(&node.addr, &bob.key(), Kind::Files);
        line.offer(&[file("a.txt", content.len() as u64)]);
        line
    };
    let mut line = offer();
    line.expect_take();
    line.say(&Message::Start(1));
    line.chunk(0, &content);
    line.say(&Message::End);
    line.expect(&Message::Stored);
    nothing_waits();
    // Not even how much has arrived, which is said after two seconds elsewhere.
    assert_eq!(line.read(), None, "it says something after STORED");

    // A node that was killed just then has left its folder.
    let id = names_in(&bob.path("partial")).remove(0);
    let staged = landing.join(format!(".egoat-{id}"));
    fs::create_dir_all(staged.join("files")).unwrap();
    fs::write(staged.join("lock"), "").unwrap();
    fs::write(staged.join("id"), &id).unwrap();
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o700)).unwrap();
    let mut line = offer();
    line.expect(&Message::Stored);
    nothing_waits();
    line.say(&Message::Bye);
    assert_eq!(line.read(), None);
    assert!(names_in(&bob.path("partial")).is_empty());
}

/// Files that are sent to Bob through a gate, which holds up what is more than a little.
struct Held {
    alice: Home,
    gate: Gate,
    landing: PathBuf,
    _bob: (Home, Node),
}

impl Held {
    fn new() -> Held {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let node = bob.serve();
        let gate = Gate::before(&node.addr, MIB as u64);
        alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
        bob.run(&["peers", "add", "alice", &alice.key()]);
        Held { alice, gate, landing: bob.path("downloads/alice"), _bob: (bob, node) }
    }

    /// Starts to send, and waits until so many commands say in the home that they do.
    fn start(&self, file: &str, commands: usize) -> Process {
        let send = Process::start(self.alice.cmd(&["send", "bob", file]));
        let notes = || names_in(&self.alice.path("partial"));
        let count = || notes().iter().filter(|name| name.ends_with(".sent")).count();
        poll_until("the command to have begun", || (count() == commands).then_some(()));
        send
    }
}

/// Made by a script, two files easily have name, size and time in common.
#[test]
fn other_files_that_look_the_same_are_sent_as_well() {
    let held = Held::new();
    let contents = [1, 2].map(|n| sample_of(n, 2 * MIB));
    let files = [0, 1].map(|n: usize| {
        fs::create_dir(held.alice.path(&n.to_string())).unwrap();
        let file = held.alice.file(&format!("{n}/same.bin"), &contents[n]);
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        file
    });
    let sends = [held.start(&files[0], 1), held.start(&files[1], 2)];
    held.gate.open();
    for (mut send, file) in sends.into_iter().zip(&files) {
        let (code, _, said) = send.end();
        if code != Some(0) {
            // For the receiver it is one transfer, and comes over one connection at a time.
            assert_eq!(code, Some(69), "{said}");
            held.alice.run(&["send", "bob", file]);
        }
    }
    let names = ["same (1).bin", "same.bin"];
    assert_eq!(names_in(&held.landing), names);
    let mut landed = names.map(|name| fs::read(held.landing.join(name)).unwrap());
    landed.sort();
    let mut sent = contents.clone();
    sent.sort();
    assert!(landed == sent);
}

#[test]
fn who_sends_the_same_meanwhile_ends_as_the_first_does() {
    let held = Held::new();
    let file = held.alice.file("file.bin", sample(2 * MIB));
    let mut first = held.start(&file, 1);
    let mut second = held.start(&file, 1);
    second.wait_to_say("another command is sending the same to bob; waiting for its end");
    held.gate.open();
    assert_eq!(first.end().0, Some(0));
    let (code, _, said) = second.end();
    assert!(code == Some(0) && said.contains("bob has it: another command has sent it"), "{said}");
    assert_eq!(names_in(&held.landing), ["file.bin"]);
    assert!(names_in(&held.alice.path("partial")).is_empty());
}

#[test]
fn who_waits_for_another_that_fails_sends_it() {
    let route = Route::new();
    let file = route.alice.file("large.bin", sample(8 * MIB));
    let first = route.start_in_part(3 << 20, 4, &[&file]);
    let second = route.start(&[&file]);
    second.wait_to_say("another command is sending the same to bob; waiting for its end");
    // The first fails, so the second sends it.
    route.mend();
    let (code, _, said) = { first }.end();
    assert_eq!(code, Some(69), "{said}");
    let (code, _, said) = { second }.end();
    assert!(code == Some(0) && said.contains("sent large.bin"), "{said}");
    assert_eq!(names_in(&route.landing), ["large.bin"]);
}

/// Nobody reads what it says, and it goes on all the same.
#[test]
fn a_send_whose_output_nobody_reads_leaves_no_note() {
    let route = Route::new();
    let file = route.alice.file("file", "x");
    for expected in [&["file"][..], &["file", "file (1)"]] {
        let mut command = route.alice.cmd(&["--json", "send", "bob", &file]);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert!(command.stdout(writer).status().unwrap().success());
        assert_eq!(names_in(&route.landing), expected);
        assert!(names_in(&route.alice.path("partial")).is_empty());
    }
}

/// The file has its name by then, and nothing says so but the second name that it still has.
#[test]
fn a_node_that_is_killed_as_files_get_their_names_makes_no_second_copy() {
    if !strace::works() {
        return;
    }
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let landing = bob.path("downloads/alice");
    fs::create_dir_all(&landing).unwrap();
    // The first sync of the place is for the folder where files wait.
    let fault = Fault { call: "fsync", how: KILL, nth: 2, on: vec![landing.clone()] };
    let mut killed = Faulty::start(&bob, &["serve", "--listen", "127.0.0.1:0"], &fault);
    let addr = killed.wait_for("listening on ").replace("listening on ", "");
    alice.run(&["peers", "add", "bob", &bob.key(), &addr]);
    let mut files = vec![alice.file("empty", ""), alice.file("large", sample(MIB))];
    files.extend((10..40).map(|number| alice.file(&format!("small{number}"), number.to_string())));
    let send: Vec<&str> = ["send", "bob"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let names: Vec<&str> = files.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    alice.fails(&send, 69);
    poll_until("it to be killed", || killed.was_hit().then_some(()));
    drop(killed);
    assert_eq!(landed_in(&landing), names);
    let trace = bob.path("trace").to_str().unwrap().to_owned();
    let place = landing.to_str().unwrap();
    let words = ["strace", "-f", "-qq", "-o", &trace, "-e", "trace=getdents64", "-P", place];
    let _node = bob.serve_again_by(&words, &addr);
    alice.run(&send);
    assert_eq!(names_in(&landing), names);
    // They are looked for together: else many files take the square of the time.
    let looks = fs::read_to_string(trace).unwrap().matches("getdents64").count();
    assert!((1..files.len()).contains(&looks), "{looks} looks at the whole place");
}
