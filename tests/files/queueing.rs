//! Queued files between real nodes: they go out when the peer comes, once each and in order, and what cannot go says why.
//! It leaves out the log that holds them, and lists without a node: see `queued`.

use crate::common;

use common::files::{CHUNK, MIB, landed_in, names_in, sample, set_time};
use common::proxy::{How, Plan, Way};
use common::route::{Blow, Route, fast_dir};
use common::strace::{self, Fault, Faulty, KILL};
use common::{Home, Node, Process, count, json_number, json_text, poll_until};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Bytes of one connection after which it hangs.
const SOME: u64 = 3 << 20;

/// Alice, who can dial Bob; Bob cannot dial her.
struct Pair {
    alice: Home,
    bob: Home,
    bob_addr: String,
    /// Where Bob has the files of Alice.
    landing: PathBuf,
}

impl Pair {
    /// Bob is away.
    fn away() -> Pair {
        let (pair, mut node) = Pair::here(&[]);
        node.kill9();
        pair
    }

    /// Bob serves with further arguments.
    fn here(args: &[&str]) -> (Pair, Node) {
        let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
        let node = bob.serve_with(&[&["--listen", "127.0.0.1:0"], args].concat());
        alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
        bob.run(&["peers", "add", "alice", &alice.key()]);
        (Pair { landing: bob.path("downloads/alice"), bob_addr: node.addr.clone(), alice, bob }, node)
    }

    fn bob_comes(&self) -> Node {
        self.bob.serve_again_at(&self.bob_addr)
    }
}

/// Alice's node, where Bob does not find it: she dials him, and learns of no other way to him.
fn serve(alice: &Home) -> Node {
    alice.serve_with(&["--listen", "[::1]:0"])
}

/// Queues for Bob; gives the number.
fn queue(alice: &Home, args: &[&str]) -> u64 {
    let out = alice.run(&[&["--json", "send", "--queue", "bob"], args].concat());
    assert_eq!(
        (json_text(&out, "event"), json_text(&out, "state")),
        ("file-queued".into(), "waiting".into())
    );
    json_number(&out, "number")
}

fn outbox_is_empty(alice: &Home) {
    poll_until("the outbox to be empty", || alice.run(&["outbox"]).is_empty().then_some(()));
}

/// The line of a job in the outbox.
fn listed(alice: &Home, number: u64) -> Option<String> {
    let out = alice.run(&["outbox"]);
    out.lines().find(|line| line.starts_with(&number.to_string())).map(str::to_owned)
}

/// What the outbox says of a job once it has been stopped: its state and the reason.
fn stopped(alice: &Home, number: u64) -> (String, String) {
    let line = poll_until("it to be stopped", || {
        let out = alice.run(&["--json", "outbox"]);
        let line = out.lines().find(|line| json_number(line, "number") == number)?.to_owned();
        (json_text(&line, "state") != "waiting").then_some(line)
    });
    let (state, reason) = (json_text(&line, "state"), json_text(&line, "reason"));
    let human = listed(alice, number).unwrap();
    assert!(human.contains(&format!("{number} ({state}) ")) && human.ends_with(&reason), "{human}");
    (state, reason)
}

/// Names of files in Bob's log, in order.
fn arrived(bob: &Home) -> Vec<String> {
    let log = bob.run(&["--json", "log"]);
    let files = log.lines().filter(|line| line.contains("\"event\":\"file-received\""));
    let name = |path: String| Path::new(&path).file_name().unwrap().to_str().unwrap().to_owned();
    files.map(|line| name(json_text(line, "path"))).collect()
}

fn path(home: &Home, name: &str) -> String {
    home.path(name).to_str().unwrap().to_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn a_node_keeps_nothing_of_who_is_no_peer_any_more() {
    let (pair, mut bob_node) = Pair::here(&[]);
    let alice = &pair.alice;
    let mut node = serve(alice);
    node.wait_for("connected with bob");
    bob_node.kill9();
    node.wait_for("disconnected from bob");
    queue(alice, &[&alice.file("file", "content")]);
    let (fds, key) = (format!("/proc/{}/fd", node.child.id()), pair.bob.key());
    let is_open = || {
        let mut open = fs::read_dir(&fds).unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        open.any(|path| path.to_string_lossy().ends_with(&format!("{key}.files.log")))
    };
    let is_noted = || fs::read_to_string(alice.path("presence")).unwrap().contains(&key);
    poll_until("the log to be open", || (is_open() && is_noted()).then_some(()));
    alice.run(&["peers", "remove", "bob"]);
    poll_until("the log to be closed", || (!is_open() && !is_noted()).then_some(()));
}

#[test]
fn what_is_queued_goes_out_when_the_peer_comes() {
    let pair = Pair::away();
    let (alice, bob) = (&pair.alice, &pair.bob);
    let mut node = serve(alice);
    let script = alice.file("run.sh", "#!/bin/sh\n");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    set_time(Path::new(&script), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
    fs::create_dir_all(alice.path("photos/empty")).unwrap();
    alice.file("photos/a.jpg", sample(CHUNK + 7));
    let (photos, b, c) = (path(alice, "photos"), alice.file("b", "b"), alice.file("c", ""));
    let (out, said) = alice.ends_with(&["send", "--queue", "bob", &script], b"", 0);
    assert_eq!((out.as_str(), said.as_str()), ("", "egoat: queued 10 B for bob; the node here sends it\n"));
    let args: [&[&str]; 4] = [&[&photos], &[&b, &c], &["--name", "other", &b], &["--name", "album", &photos]];
    for args in args {
        queue(alice, args);
    }
    let (out, said) = poll_until("a try", || {
        let (out, said) = alice.ends_with(&["outbox"], b"", 0);
        said.contains("cannot reach bob").then_some((out, said))
    });
    assert!(out.lines().count() == 5 && said.contains(&pair.bob_addr), "{out}{said}");

    let mut bob_node = pair.bob_comes();
    for title in ["run.sh (10 B)", "photos/ (240.0 KiB)", "b and 1 more (1 B)", "other (1 B)", "album/ ("] {
        let line = node.wait_for("sent ");
        assert!(line.starts_with(&format!("sent {title}")) && line.ends_with(" to bob"), "{line}");
        bob_node.wait_for("receiving ");
    }
    outbox_is_empty(alice);
    assert_eq!(names_in(&pair.landing), ["album", "b", "c", "other", "photos", "run.sh"]);
    assert_eq!(arrived(bob), ["run.sh", "photos", "b", "c", "other", "album"]);
    let ran = Command::new("diff").arg("-r").args([&photos, &path(bob, "downloads/alice/album")]).status();
    assert!(ran.unwrap().success() && pair.landing.join("photos/empty").is_dir());
    let landed = fs::metadata(pair.landing.join("run.sh")).unwrap();
    assert_eq!(landed.permissions().mode() & 0o777, 0o700);
    assert_eq!(landed.modified().unwrap(), fs::metadata(&script).unwrap().modified().unwrap());
    let log = alice.run(&["log"]);
    assert!(log.lines().count() == 6 && log.contains(" * bob has run.sh (10 B)\n"), "{log}");
    assert!(alice.ends_with(&["outbox"], b"", 0).1.is_empty(), "nothing of the failed tries is left");
}

#[test]
fn without_a_node_it_waits_for_one() {
    let pair = Pair::away();
    let (alice, file) = (&pair.alice, pair.alice.file("a", "a"));
    let said = alice.ends_with(&["send", "--queue", "bob", &file], b"", 0).1;
    assert_eq!(said, "egoat: queued 1 B for bob; `egoat serve` or `egoat fetch` sends it\n");
    let bob_node = pair.bob_comes();
    let mut node = serve(alice);
    assert_eq!(node.wait_for("sent "), "sent a (1 B) to bob");
    assert_eq!(arrived(&pair.bob), ["a"]);
    drop(bob_node);
}

#[test]
fn a_directory_is_told_with_its_slash_when_it_is_queued_too() {
    let pair = Pair::away();
    let dir = path(&pair.alice, "dir");
    fs::create_dir(&dir).unwrap();
    let queued = pair.alice.run(&["--json", "send", "--queue", "bob", &dir]);
    for told in [queued, pair.alice.run(&["--json", "outbox"])] {
        assert!(told.contains(&format!("\"paths\":[\"{dir}/\"]")), "{told}");
    }
}

#[test]
fn what_cannot_be_queued_is_an_error_at_once() {
    let pair = Pair::away();
    let (alice, a) = (&pair.alice, pair.alice.file("a", "a"));
    fs::create_dir(alice.path("dir")).unwrap();
    let same = alice.file("dir/a", "other");
    for (code, args, said) in [
        (1, &["bob", &path(alice, "missing")][..], "missing: no such file"),
        (1, &["bob", "/dev/null"], "neither a regular file nor a directory"),
        (1, &["bob", &a, &same], "cannot send these files"),
        (2, &["bob", "-"], "stdin cannot be queued"),
        (2, &["bob"], "which files?"),
        (2, &["bob", "--name", "x", &a, &same], "--name is for one file"),
        (2, &["nobody", &a], "is called nobody"),
    ] {
        let told = alice.fails(&[&["send", "--queue"], args].concat(), code);
        assert!(told.contains(said), "{args:?}: {told}");
    }
    assert_eq!(alice.run(&["outbox"]), "");
}

#[test]
fn a_large_file_goes_over_lanes() {
    let route = Route::new();
    let content = sample(24 * MIB);
    let file = route.alice.file("large.bin", &content);
    let mut node = serve(&route.alice);
    node.wait_for("connected with bob");
    // A slow session, so that there is something left for its lanes. This machine may have one processor.
    let mut first = Some(Plan { segment: 256, ..Plan::default() });
    route.proxy.plan(move || first.take().unwrap_or_default());
    let before = route.proxy.connections().len();
    queue(&route.alice, &[&file]);
    assert_eq!(node.wait_for("sent "), "sent large.bin (24.0 MiB) to bob");
    assert!(fs::read(route.landing.join("large.bin")).unwrap() == content);
    let lanes = std::thread::available_parallelism().unwrap().get().min(4);
    let busy =
        route.proxy.connections()[before..].iter().filter(|one| one.passed()[0] > CHUNK as u64).count();
    assert_eq!(busy, lanes);
}

fn goes_on_after(blow: Blow) {
    let mut route = Route::new();
    let content = sample(6 * MIB + 1);
    let (file, small) = (route.alice.file("large.bin", &content), route.alice.file("small", "s"));
    route.proxy.plan(|| Plan::cut(Way::ToNode, SOME, How::Hang));
    let mut node = serve(&route.alice);
    queue(&route.alice, &[&file]);
    queue(&route.alice, &[&small]);
    poll_until("chunks to be written", || (route.chunks() >= 8).then_some(()));
    match blow {
        Blow::Sender => {
            node.kill9();
            route.mend();
            node = serve(&route.alice);
        }
        Blow::Network => route.mend(),
        Blow::Node => {
            route.node.kill9();
            route.mend();
            route.node = route.bob.serve_again_at(&route.node.addr);
        }
    }
    assert_eq!(node.wait_for("sent "), "sent large.bin (6.0 MiB) to bob");
    assert_eq!(node.wait_for("sent "), "sent small (1 B) to bob");
    outbox_is_empty(&route.alice);
    assert_eq!(names_in(&route.landing), ["large.bin", "small"]);
    assert!(fs::read(route.landing.join("large.bin")).unwrap() == content);
    assert_eq!(arrived(&route.bob), ["large.bin", "small"]);
    assert_eq!(route.alice.run(&["log"]).lines().count(), 2);
    assert_eq!(route.bob.run(&["partial"]), "");
}

#[test]
fn it_goes_on_after_the_senders_node_was_killed() {
    goes_on_after(Blow::Sender);
}

#[test]
fn it_goes_on_after_the_peers_node_was_killed() {
    goes_on_after(Blow::Node);
}

#[test]
fn it_goes_on_after_the_network_was_cut() {
    goes_on_after(Blow::Network);
}

#[test]
fn a_node_that_is_killed_at_any_moment_sends_each_once() {
    let (pair, _bob_node) = Pair::here(&[]);
    let mut expected = Vec::new();
    for round in 0..count(8, 200) {
        let mut node = serve(&pair.alice);
        for n in 0..3 {
            let name = format!("{round:03}-{n}");
            queue(&pair.alice, &[&pair.alice.file(&name, &name)]);
            expected.push(name);
        }
        // While it waits, while it sends, or just when a file is in place and nobody has noted so.
        let seen = 3 * round + round % 4;
        poll_until("some to arrive", || (landed_in(&pair.landing).len() >= seen).then_some(()));
        node.kill9();
    }
    let _node = serve(&pair.alice);
    outbox_is_empty(&pair.alice);
    assert_eq!(names_in(&pair.landing), expected);
    assert_eq!(arrived(&pair.bob), expected);
}

/// Bob has the file in place and has said so; it is noted in the log first, then in the queue.
#[test]
fn a_node_that_is_killed_before_it_notes_what_it_sent_sends_it_once() {
    if !strace::works() {
        return;
    }
    let (pair, _bob_node) = Pair::here(&[]);
    let (alice, key) = (&pair.alice, pair.bob.key());
    // So that both logs are there.
    alice.run(&["say", "--wait", "30s", "bob", "hello"]);
    let logs = [format!("history/{key}.log"), format!("outbox/{key}.files.log")];
    let mut expected = Vec::new();
    for (n, log) in logs.iter().cycle().take(4).enumerate() {
        let name = n.to_string();
        queue(alice, &[&alice.file(&name, &name)]);
        let fault = Fault { call: "pwrite64", how: KILL, nth: 1, on: vec![alice.path(log)] };
        let mut node = Faulty::start(alice, &["serve", "--listen", "[::1]:0"], &fault);
        poll_until("it to be killed", || node.was_hit().then_some(()));
        node.stop();
        expected.push(name);
        assert_eq!(names_in(&pair.landing), expected);
        assert_eq!(alice.run(&["outbox"]).lines().count(), 1, "killed too late");
        let _node = serve(alice);
        outbox_is_empty(alice);
        assert_eq!(names_in(&pair.landing), expected, "killed before {log} was written");
        assert_eq!(arrived(&pair.bob), expected);
    }
}

#[test]
fn a_source_that_changed_is_told_and_the_others_are_sent() {
    let pair = Pair::away();
    let alice = &pair.alice;
    let mut node = serve(alice);
    let dirs = ["tree", "renamed", "was-dir"];
    for dir in dirs {
        fs::create_dir_all(alice.path(dir)).unwrap();
        alice.file(&format!("{dir}/in it"), "12345");
    }
    let names =
        ["content", "size", "time", "gone", "to-dir", "to-link", "dangling", "tree", "renamed", "was-dir"];
    let numbers = names.map(|name| {
        if !dirs.contains(&name) {
            alice.file(name, "12345");
        }
        queue(alice, &[&path(alice, name)])
    });
    let both = queue(alice, &[&alice.file("fine too", "x"), &path(alice, "gone")]);
    queue(alice, &[&alice.file("fine", "x")]);

    let later = SystemTime::now() + Duration::from_secs(5);
    alice.file("content", "54321");
    alice.file("size", "123456");
    set_time(&alice.path("time"), later);
    for name in ["gone", "to-dir", "to-link", "dangling"] {
        fs::remove_file(alice.path(name)).unwrap();
    }
    fs::create_dir(alice.path("to-dir")).unwrap();
    symlink(alice.file("elsewhere", "123456"), alice.path("to-link")).unwrap();
    symlink("nowhere", alice.path("dangling")).unwrap();
    alice.file("tree/in it too", "1");
    fs::rename(alice.path("renamed/in it"), alice.path("renamed/as that")).unwrap();
    fs::remove_dir_all(alice.path("was-dir")).unwrap();
    alice.file("was-dir", "12345");

    let _bob_node = pair.bob_comes();
    assert_eq!(node.wait_for("sent "), "sent fine (1 B) to bob");
    let reasons = [
        "it was modified after it was queued",
        "its size was 5 B and is 6 B now",
        "it was modified after it was queued",
        "it is gone",
        "it was a file and is a directory now",
        "its size was 5 B and is 6 B now",
        "it is gone",
        "its size was 5 B and is 6 B now",
        "it was modified after it was queued",
        "it was a directory and is a file now",
    ];
    for ((name, number), reason) in names.into_iter().zip(numbers).zip(reasons) {
        assert_eq!(stopped(alice, number), ("changed".into(), reason.into()), "{name}");
    }
    let gone = path(alice, "gone");
    assert_eq!(stopped(alice, both).1, format!("{gone}: it is gone"));
    assert_eq!(names_in(&pair.landing), ["fine"]);
    let (_, said) = alice.ends_with(&["outbox"], b"", 0);
    assert_eq!(said, "", "nothing is tried");
    let status = alice.run(&["status"]);
    for line in status.lines().filter(|line| line.starts_with("stopped ")) {
        let is_gone = line.contains("it is gone");
        assert!(
            line.contains(if is_gone { "sends it once it is there again" } else { "sends it as it is now" }),
            "{line}"
        );
    }
    assert!(status.contains("sends it once it is there again"), "{status}");
    let told = node.kill9();
    assert_eq!(told.matches(" to bob was not sent: ").count(), 11, "{told}");
    assert!(told.contains(&format!(" to bob was not sent: {gone}: it is gone\n")), "{told}");

    // A node that is started again tries none of them. Those that can be read go when the user says so.
    let mut node = serve(alice);
    let said = alice.fails(&["outbox", "retry"], 1);
    assert_eq!(said.matches(" waits again, as it is now").count(), 8, "{said}");
    assert!(said.contains("gone: no such file") && said.contains("dangling: no such file"), "{said}");
    for name in ["content", "size", "time", "to-dir/", "to-link", "tree/", "renamed/", "was-dir"] {
        assert!(node.wait_for("sent ").starts_with(&format!("sent {name} (")), "{name}");
    }
    assert_eq!(fs::read(pair.landing.join("content")).unwrap(), b"54321");
    assert_eq!(alice.run(&["outbox"]).lines().count(), 3);
}

#[test]
fn a_source_that_changes_while_it_is_sent_is_told() {
    let large = Large::under_way(Plan { segment: 256, ..Plan::default() });
    set_time(&large.file, SystemTime::now() + Duration::from_secs(5));
    let (route, mut node) = (large.route, large.node);
    assert_eq!(node.wait_for("sent "), "sent next (1 B) to bob");
    let told = (String::from("changed"), String::from("it was modified after it was queued"));
    assert_eq!(stopped(&route.alice, large.number), told);
    assert_eq!(landed_in(&route.landing), ["next"]);
}

#[test]
fn what_is_cancelled_before_it_goes_does_not_go() {
    let pair = Pair::away();
    let mut node = serve(&pair.alice);
    let numbers = ["a", "b", "c"].map(|name| queue(&pair.alice, &[&pair.alice.file(name, name)]));
    let out = pair.alice.run(&["outbox", "cancel", &numbers[1].to_string()]);
    assert_eq!(out, format!("cancelled {} to bob\n", numbers[1]));
    let _bob_node = pair.bob_comes();
    node.wait_for("sent a ");
    node.wait_for("sent c ");
    assert_eq!(names_in(&pair.landing), ["a", "c"]);
    let said = pair.alice.fails(&["outbox", "cancel", &numbers[0].to_string()], 1);
    assert!(said.contains("it may be delivered by now"), "{said}");
    assert_eq!(pair.alice.run(&["log"]).lines().count(), 2);
}

/// A large file that is on its way, and a small one behind it.
struct Large {
    route: Route,
    node: Node,
    file: PathBuf,
    number: u64,
}

impl Large {
    /// On connections that are slow, or hang.
    fn under_way(plan: Plan) -> Large {
        let route = Route::new();
        let file = route.alice.path("large.bin");
        File::create(&file).unwrap().set_len(1 << 30).unwrap();
        let mut node = serve(&route.alice);
        node.wait_for("connected with bob");
        route.proxy.plan(move || plan);
        let number = queue(&route.alice, &[file.to_str().unwrap()]);
        queue(&route.alice, &[&route.alice.file("next", "n")]);
        poll_until("chunks to be written", || (route.chunks() >= 4).then_some(()));
        Large { route, node, file, number }
    }
}

fn cancelled_while_it_is_sent(plan: Plan) {
    let Large { route, mut node, number, .. } = Large::under_way(plan);
    route.alice.run(&["outbox", "cancel", &number.to_string()]);
    assert_eq!(node.wait_for("sent "), "sent next (1 B) to bob");
    outbox_is_empty(&route.alice);
    assert_eq!(landed_in(&route.landing), ["next"]);
    assert_eq!(route.alice.run(&["log"]).lines().count(), 1);
    assert_eq!(node.kill9(), "", "that is no trouble");
}

#[test]
fn what_is_cancelled_while_it_is_sent_does_not_arrive() {
    cancelled_while_it_is_sent(Plan { segment: 256, ..Plan::default() });
}

#[test]
fn what_is_under_way_to_a_peer_who_is_removed_does_not_arrive() {
    let Large { route, mut node, .. } = Large::under_way(Plan { segment: 256, ..Plan::default() });
    route.alice.run(&["peers", "remove", "bob"]);
    node.wait_for("disconnected from bob");
    // The connection with the file ends within a second.
    let mut last = (0, 0);
    poll_until("nothing to come any more", || {
        let chunks = route.chunks();
        last = if chunks == last.0 { (chunks, last.1 + 1) } else { (chunks, 0) };
        (last.1 == 200).then_some(())
    });
    assert!(landed_in(&route.landing).is_empty());
    assert_eq!(node.kill9(), "", "that is no trouble");
}

#[test]
fn what_is_cancelled_while_the_peer_hangs_is_in_nobodys_way() {
    cancelled_while_it_is_sent(Plan::cut(Way::ToNode, SOME, How::Hang));
}

/// The session has brought its share and waits for a lane, and the peer is as good as gone.
#[test]
fn what_is_cancelled_while_a_lane_hangs_is_in_nobodys_way() {
    let route = Route::new();
    let file = route.alice.path("large.bin");
    File::create(&file).unwrap().set_len(64 << 20).unwrap();
    let mut node = serve(&route.alice);
    node.wait_for("connected with bob");
    let connections = || route.proxy.connections().len();
    poll_until("one that pushes and one that pulls", || (connections() == 2).then_some(()));
    let mut session = Some(Plan::default());
    route.proxy.plan(move || session.take().unwrap_or(Plan::cut(Way::ToNode, SOME, How::Hang)));
    let number = queue(&route.alice, &[file.to_str().unwrap()]);
    queue(&route.alice, &[&route.alice.file("next", "n")]);
    let mut last = (0, 0);
    poll_until("all that the lane does not have", || {
        let chunks = route.chunks();
        last = if chunks == last.0 { (chunks, last.1 + 1) } else { (chunks, 0) };
        (chunks > 0 && last.1 == 100).then_some(())
    });
    route.node.signal("STOP");
    let (began, before) = (Instant::now(), connections());
    route.proxy.plan(Plan::default);
    route.alice.run(&["outbox", "cancel", &number.to_string()]);
    poll_until("the next to be tried", || (connections() > before).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(15), "it was in its way for {:?}", began.elapsed());
    route.node.signal("CONT");
    assert_eq!(node.wait_for("sent "), "sent next (1 B) to bob");
}

#[test]
fn what_the_peer_refuses_is_told_and_not_tried_again() {
    let route = Route::with(&["--max-file", "1k"]);
    let (alice, bob) = (&route.alice, &route.bob);
    let mut node = serve(alice);
    let large = queue(alice, &[&alice.file("large", sample(1025)), &alice.file("small", "s")]);
    let refusal = "bob refused: 1.0 KiB is more than it takes";
    assert_eq!(stopped(alice, large), ("refused".into(), refusal.into()));
    bob.run(&["peers", "set", "alice", "files=refuse"]);
    let unwanted = queue(alice, &[&alice.file("unwanted", "u")]);
    assert_eq!(
        stopped(alice, unwanted),
        ("refused".into(), "bob refused: it takes no files from you".into())
    );

    // A node that is started again does not try either; what is new goes.
    bob.run(&["peers", "set", "alice", "files="]);
    let said = node.kill9();
    let told = "egoat: bob refused: large and 1 more is not taken: 1.0 KiB is more than it takes\n";
    assert!(
        said.contains(told) && said.contains("bob refused: unwanted is not taken: it takes no"),
        "{said}"
    );
    let mut node = serve(alice);
    queue(alice, &[&alice.file("fine", "f")]);
    assert_eq!(node.wait_for("sent "), "sent fine (1 B) to bob");
    assert_eq!(landed_in(&route.landing), ["fine"]);
    assert_eq!(alice.run(&["outbox"]).lines().count(), 2);

    // The user decides: one goes now, the other is not taken again, and is dropped.
    let said = alice.ends_with(&["outbox", "retry", "bob"], b"", 0).1;
    assert_eq!(said.matches(" waits again, as it is now").count(), 2, "{said}");
    assert_eq!(node.wait_for("sent "), "sent unwanted (1 B) to bob");
    assert_eq!(stopped(alice, large).0, "refused");
    alice.run(&["outbox", "cancel", &large.to_string()]);
    outbox_is_empty(alice);
}

#[test]
fn a_peer_who_does_not_know_this_node_yet_is_waited_for() {
    let (pair, mut bob_node) = Pair::here(&[]);
    pair.bob.run(&["peers", "remove", "alice"]);
    let _node = serve(&pair.alice);
    queue(&pair.alice, &[&pair.alice.file("a", "a")]);
    bob_node.wait_for("alice wants to be a peer");
    poll_until("its refusal", || {
        let (out, said) = pair.alice.ends_with(&["outbox"], b"", 0);
        assert!(!out.contains("(refused)") && !out.is_empty(), "{out}");
        said.contains("it does not know this node yet").then_some(())
    });
    pair.bob.run(&["peers", "accept"]);
    outbox_is_empty(&pair.alice);
    assert_eq!(arrived(&pair.bob), ["a"]);
}

#[test]
fn many_small_ones_arrive_in_order() {
    let (pair, mut bob_node) = Pair::here(&[]);
    let names: Vec<String> = (0..60).map(|n| format!("{n:02}")).collect();
    for name in &names {
        queue(&pair.alice, &[&pair.alice.file(name, name)]);
    }
    let _node = serve(&pair.alice);
    outbox_is_empty(&pair.alice);
    assert_eq!(arrived(&pair.bob), names);
    for name in &names {
        assert!(bob_node.wait_for("file from alice").ends_with(&format!("/{name} (2 B)")));
    }
    let log = pair.alice.run(&["log"]);
    let sent: Vec<&str> = log.lines().map(|line| line.split(" bob has ").nth(1).unwrap()).collect();
    assert!(sent.iter().map(|sent| &sent[..2]).eq(names.iter().map(String::as_str)), "{log}");
}

/// Bob's connection hangs in the middle of a file.
#[test]
fn files_messages_and_peers_are_not_in_each_others_way() {
    let route = Route::new();
    let (alice, carol) = (&route.alice, Home::new_in(&fast_dir(), "carol"));
    let carol_node = carol.serve();
    alice.run(&["peers", "add", "carol", &carol.key(), &carol_node.addr]);
    carol.run(&["peers", "add", "alice", &alice.key()]);
    let mut node = serve(alice);
    alice.run(&["say", "--wait", "30s", "bob", "before"]);
    route.bob.run(&["say", "--wait", "30s", "alice", "before"]);
    let before = route.proxy.connections().len();
    route.proxy.plan(|| Plan::cut(Way::ToNode, SOME, How::Hang));
    let large = alice.file("large.bin", sample(6 * MIB));
    queue(alice, &[&large]);
    poll_until("chunks to be written", || (route.chunks() >= 8).then_some(()));
    for n in 0..20 {
        alice.run(&["say", "--wait", "30s", "bob", &n.to_string()]);
        route.bob.run(&["say", "--wait", "30s", "alice", &n.to_string()]);
    }
    alice.run(&["send", "--queue", "carol", &large]);
    assert_eq!(node.wait_for("sent "), "sent large.bin (6.0 MiB) to carol");
    assert!(landed_in(&route.landing).is_empty());
    route.proxy.cut_and_plan(before, Plan::default());
    assert_eq!(node.wait_for("sent "), "sent large.bin (6.0 MiB) to bob");
    assert_eq!((alice.received().len(), route.bob.received().len()), (21, 21));
    assert_eq!(
        (names_in(&route.landing), arrived(&carol)),
        (vec!["large.bin".into()], vec!["large.bin".into()])
    );
}

/// When the node means to try again, in seconds of Unix time.
fn next_try(alice: &Home) -> u64 {
    let out = alice.run(&["--json", "outbox"]);
    out.lines().next().map_or(0, |line| json_number(line, "next") / 1_000_000)
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// Far enough from the next try for nobody to take that for the cause.
const FAR: u64 = 5;

/// Bob is there, but has no place for files, until long after the first try.
fn is_tried_at_once(news: impl FnOnce(&Home)) {
    let (Pair { alice, bob, .. }, _bob_node) = Pair::here(&[]);
    bob.file("downloads", "in the way");
    queue(&alice, &[&alice.file("a", "a")]);
    let mut node = serve(&alice);
    let next = poll_until("a long pause", || Some(next_try(&alice)).filter(|next| *next > now() + FAR));
    let said = alice.ends_with(&["outbox"], b"", 0).1;
    assert!(said.contains("bob could not finish the transfer: it cannot write where files land"), "{said}");
    fs::remove_file(bob.path("downloads")).unwrap();
    news(&alice);
    assert_eq!(node.wait_for("sent "), "sent a (1 B) to bob");
    assert!(now() < next, "it went with the next try");
}

#[test]
fn what_waits_is_tried_at_once_when_more_is_queued() {
    is_tried_at_once(|alice| {
        queue(alice, &[&alice.file("b", "b")]);
    });
}

#[test]
fn what_waits_is_tried_at_once_when_the_user_says_so() {
    is_tried_at_once(|alice| drop(alice.run(&["outbox", "retry"])));
}

#[test]
fn what_is_queued_meanwhile_does_not_put_off_the_next_try() {
    let (Pair { alice, bob, .. }, _bob_node) = Pair::here(&[]);
    bob.file("downloads", "in the way");
    let (began, mut node) = (SystemTime::now(), serve(&alice));
    node.wait_for("connected with bob");
    let note = alice.path(&format!("outbox/{}.attempts", bob.key()));
    let tried = || note.metadata().and_then(|data| data.modified()).ok();
    for n in 0..8 {
        let before = tried();
        queue(&alice, &[&alice.file(&n.to_string(), "x")]);
        poll_until("a try", || tried().filter(|tried| Some(*tried) != before));
    }
    // As for messages: see tests/messages/outbox.rs.
    let most = 4 * began.elapsed().unwrap().as_secs() + 2;
    assert!(next_try(&alice) <= now() + most, "{} s, and {most} s are the most", next_try(&alice) - now());
}

/// Files failed for want of room, and messages with the network: that these pass again is news for those.
#[test]
fn what_waits_is_tried_at_once_when_the_peer_is_reached() {
    let route = Route::new();
    let (alice, bob) = (&route.alice, &route.bob);
    bob.file("downloads", "in the way");
    queue(alice, &[&alice.file("a", "a")]);
    let mut node = serve(alice);
    node.wait_for("connected with bob");
    let next = poll_until("a long pause", || Some(next_try(alice)).filter(|next| *next > now() + FAR));
    fs::remove_file(bob.path("downloads")).unwrap();
    route.proxy.cut(0);
    assert_eq!(node.wait_for("sent "), "sent a (1 B) to bob");
    assert!(now() < next, "it went with the next try");
}

#[test]
fn fetch_sends_what_is_queued() {
    let pair = Pair::away();
    let alice = &pair.alice;
    alice.run(&["say", "bob", "hello"]);
    let numbers = ["a", "b", "c"].map(|name| queue(alice, &[&alice.file(name, name)]));
    assert_eq!(alice.ends_with(&["fetch"], b"", 0), ("bob: away\n".into(), String::new()));
    assert_eq!(alice.run(&["outbox"]).lines().count(), 4);

    let _bob_node = pair.bob_comes();
    alice.file("b", "other");
    let (out, said) = alice.ends_with(&["fetch"], b"", 1);
    assert_eq!(out, "bob: delivered 1, received 0, files sent 2\n");
    let changed =
        format!("egoat: error: {} to bob was not sent: {}: it was modified", numbers[1], path(alice, "b"));
    assert!(said.starts_with(&changed) || said.contains("its size was 1 B and is 5 B now"), "{said}");
    assert!(said.contains("hint: `egoat outbox retry bob` sends it as it is now"), "{said}");
    assert_eq!(
        (arrived(&pair.bob), pair.bob.received()),
        (vec!["a".into(), "c".into()], vec!["hello".into()])
    );
    // It is told each time, until the user decides.
    let (out, said) = alice.ends_with(&["--json", "fetch"], b"", 1);
    let line = "{\"event\":\"fetched\",\"peer\":\"bob\",\"delivered\":0,\"received\":0,\"files\":0,\"collected\":0}\n";
    assert!(out.starts_with(line), "{out}");
    let (number, b) = (numbers[1], path(alice, "b"));
    assert!(said.contains(&format!("error: {number} to bob, {b}, was not sent: it")), "{said}");
    assert!(said.contains("hint: `egoat outbox retry bob` sends it as it is now"), "{said}");
    assert!(said.contains(&format!("`egoat outbox cancel {number}` takes it back")), "{said}");

    pair.bob.run(&["peers", "set", "alice", "files=refuse"]);
    let (out, said) = alice.ends_with(&["outbox", "retry"], b"", 77);
    assert_eq!(out, "bob: delivered 0, received 0\n");
    assert!(said.contains("bob refused: b is not taken: it takes no files from you"), "{said}");
    assert!(said.contains("hint: they can allow it"), "{said}");
    let (_, said) = alice.ends_with(&["fetch"], b"", 77);
    assert!(said.contains(&format!("{number} to bob, {b}, was not sent: bob refused")), "{said}");
    {
        let _node = serve(alice);
        let (_, said) = alice.ends_with(&["fetch"], b"", 77);
        assert!(said.contains("a node runs here") && said.contains("was not sent"), "{said}");
        // Nobody tries it, and the status says so.
        let status = alice.run(&["status"]);
        let stopped = format!(
            "stopped    {b} to bob: bob refused: it takes no files from you; `egoat outbox retry bob`"
        );
        assert!(status.contains(&stopped) && !status.contains("waiting"), "{status}");
    }
    pair.bob.run(&["peers", "set", "alice", "files="]);
    assert_eq!(alice.run(&["outbox", "retry"]), "bob: delivered 0, received 0, files sent 1\n");
    assert_eq!(fs::read(pair.landing.join("b")).unwrap(), b"other");
    assert!(listed(alice, numbers[1]).is_none());
}

/// A file may take hours.
#[test]
fn fetch_is_in_nobodys_way_while_it_sends() {
    let route = Route::new();
    let alice = &route.alice;
    let content = sample(6 * MIB);
    queue(alice, &[&alice.file("large.bin", &content)]);
    route.bob.run(&["say", "alice", "waits there"]);
    route.proxy.plan(|| Plan::cut(Way::ToNode, SOME, How::Hang));
    let mut fetch = Process::start(alice.cmd(&["fetch", "--strict"]));
    poll_until("chunks to be written", || (route.chunks() >= 8).then_some(()));
    assert_eq!(alice.received(), ["waits there"], "messages come first");
    alice.run(&["say", "--wait", "30s", "bob", "hello"]);
    assert_eq!(route.bob.received(), ["hello"]);
    // The next one that cron starts has nothing to mail.
    let (out, said) = alice.ends_with(&["fetch"], b"", 0);
    assert_eq!(out, "bob: delivered 0, received 0\n");
    assert!(said.starts_with("egoat: ") && said.contains(" sends files to bob just now"), "{said}");
    assert_eq!(alice.ends_with(&["-q", "fetch", "--strict"], b"", 0).1, "");
    let mut node = serve(alice);
    queue(alice, &[&alice.file("next", "n")]);
    route.mend();
    let (code, out, said) = fetch.end();
    assert_eq!((code, out.as_str()), (Some(69), "bob: delivered 0, received 1\n"), "{said}");
    assert_eq!(node.wait_for("sent "), "sent large.bin (6.0 MiB) to bob");
    assert_eq!(node.wait_for("sent "), "sent next (1 B) to bob");
    assert_eq!(names_in(&route.landing), ["large.bin", "next"]);
    assert!(fs::read(route.landing.join("large.bin")).unwrap() == content);
}
