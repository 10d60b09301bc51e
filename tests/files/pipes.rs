//! Streams: what comes out of a pipe or goes into one arrives whole and in order, goes on after the network or the node
//! was away, and ends on both sides when either pipe breaks.

use crate::common;

use common::disk::SmallDisk;
use common::files::{CHUNK, MIB, PIECE, landed_in, names_in, note_goes, sample, staged_in};
use common::proxy::{How, Plan, Proxy, Way};
use common::route::{Route, fast_dir};
use common::{Home, Process, is_torture, json_number, json_text, poll_until};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a connection beside those of a stream, each way, at most.
const BESIDE: u64 = 4 << 10;
/// Bytes that a node says before it takes an offer, and to take a stream.
const HANDSHAKE_ANSWER: u64 = 1_200 + 23;
const STREAM: u64 = 31;
/// Stored bytes after which the receiver says so.
const ACK_EVERY: usize = 8 * MIB;

/// Bob, who waits with `receive --into -` for what Alice sends through a network.
struct Outlet {
    receive: Process,
    proxy: Proxy,
    alice: Home,
    bob: Home,
}

impl Outlet {
    /// With further arguments, and the stdout that is made in his home.
    fn with(args: &[&str], stdout: impl FnOnce(&Home) -> Stdio) -> Outlet {
        let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
        bob.run(&["peers", "add", "alice", &alice.key()]);
        let usual = ["receive", "--into", "-", "--from", "alice", "--listen", "127.0.0.1:0"];
        let stdout = stdout(&bob);
        let receive = Process::start_between(bob.cmd(&[&usual, args].concat()), Stdio::null(), stdout);
        let line = receive.wait_to_say("waiting for files from alice at ");
        let proxy = Proxy::before(line.rsplit_once(' ').unwrap().1);
        alice.run(&["peers", "add", "bob", &bob.key(), &proxy.addr]);
        Outlet { receive, proxy, alice, bob }
    }

    fn into(stdout: impl Into<Stdio>) -> Outlet {
        Outlet::with(&[], |_| stdout.into())
    }

    fn into_file(args: &[&str]) -> Outlet {
        Outlet::with(args, |bob| File::create(bob.path("out")).unwrap().into())
    }

    /// What has come out into the file.
    fn out(&self) -> Vec<u8> {
        fs::read(self.bob.path("out")).unwrap()
    }

    /// Both have ended well, and nothing is left behind.
    fn ended(&mut self) {
        let (code, _, said) = self.receive.end();
        assert_eq!(code, Some(0), "{said}");
        nothing_waits_at(&self.alice);
        nothing_waits_at(&self.bob);
    }
}

/// Neither a part, nor a note of one, nor a spool.
fn nothing_waits_at(home: &Home) {
    assert_eq!(names_in(&home.path("partial")), [""; 0]);
}

/// What a command prints, as a stdin.
fn output_of(program: &str, args: &[&str]) -> Stdio {
    // It ends by itself when nobody reads it any more.
    #[allow(clippy::zombie_processes)]
    let child = Command::new(program).args(args).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.unwrap().into()
}

/// Alice sends from a stdin of the test's choice.
fn send_from(alice: &Home, args: &[&str], stdin: Stdio) -> Process {
    Process::start_between(alice.cmd(&[&["send", "bob"], args].concat()), stdin, Stdio::piped())
}

fn file_of(home: &Home, content: &[u8]) -> Stdio {
    File::open(home.file("input", content)).unwrap().into()
}

/// It ends with this code, and says this.
fn ends(process: &mut Process, code: i32, text: &str) -> String {
    let (ended, out, said) = process.end();
    assert!(ended == Some(code) && said.contains(text), "{ended:?} instead of {code}, {text:?}: {said}");
    out
}

/// A directory with something of everything in it.
fn tree(home: &Home) -> String {
    let dir = home.path("d");
    fs::create_dir_all(dir.join("sub/empty")).unwrap();
    for (n, size) in [0, 1, PIECE, 3 * MIB, 77_777].into_iter().enumerate() {
        fs::write(dir.join(format!("sub/{n}")), &sample(4 * MIB)[n..n + size]).unwrap();
    }
    std::os::unix::fs::symlink("sub/1", dir.join("link")).unwrap();
    home.around().to_str().unwrap().to_owned()
}

/// Whether two directories hold the same.
fn assert_same(one: &Path, two: &Path) {
    let ran = Command::new("diff").args(["-r", "--no-dereference"]).args([one, two]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn what_tar_packs_arrives_as_a_file() {
    let mut route = Route::new();
    let parent = tree(&route.alice);
    let tar = output_of("tar", &["c", "-C", &parent, "d"]);
    let mut send = send_from(&route.alice, &["--name", "d.tar", "-"], tar);
    let out = ends(&mut send, 0, "sent d.tar (");
    assert_eq!(out, "");
    assert_eq!(names_in(&route.landing), ["d.tar"]);
    let landed = route.landing.join("d.tar");
    fs::create_dir(route.bob.path("unpacked")).unwrap();
    let unpacked =
        Command::new("tar").arg("xf").arg(&landed).arg("-C").arg(route.bob.path("unpacked")).status();
    assert!(unpacked.unwrap().success());
    assert_same(&route.alice.path("d"), &route.bob.path("unpacked/d"));
    nothing_waits_at(&route.alice);
    note_goes(&route.bob);
    assert_eq!(route.node.wait_for("receiving "), "receiving d.tar from alice");
    assert!(route.node.wait_for("file from alice").contains("/d.tar ("));
    assert!(route.bob.run(&["log"]).contains(" * alice sent "));
    assert!(route.alice.run(&["log"]).contains(" * bob has d.tar ("));
}

#[test]
fn tar_unpacks_what_comes_out() {
    for from_file in [false, true] {
        let into = tempfile::tempdir_in(fast_dir()).unwrap();
        let mut tar = Command::new("tar").arg("x").current_dir(&into).stdin(Stdio::piped()).spawn().unwrap();
        let mut outlet = Outlet::into(tar.stdin.take().unwrap());
        let parent = tree(&outlet.alice);
        let (args, stdin) = if from_file {
            let path = outlet.alice.path("d.tar").to_str().unwrap().to_owned();
            assert!(Command::new("tar").args(["cf", &path, "-C", &parent, "d"]).status().unwrap().success());
            (path, Stdio::null())
        } else {
            ("-".into(), output_of("tar", &["c", "-C", &parent, "d"]))
        };
        ends(&mut send_from(&outlet.alice, &[&args], stdin), 0, " to bob at ");
        outlet.ended();
        assert!(tar.wait().unwrap().success());
        assert_same(&outlet.alice.path("d"), &into.path().join("d"));
    }
}

/// None, one byte, and around pieces and what is flushed at once.
const SIZES: [usize; 9] = [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, CHUNK, CHUNK + 1, 2 * CHUNK];

#[test]
fn streams_of_each_size_land() {
    let route = Route::new();
    let all = sample(2 * CHUNK);
    for size in SIZES {
        let name = size.to_string();
        let args = ["--json", "send", "bob", "--name", &name, "-"];
        let line = route.alice.pipe(&args, &all[..size]).lines().last().unwrap().to_owned();
        assert_eq!(json_text(&line, "event"), "sent");
        assert_eq!((json_text(&line, "peer"), json_text(&line, "title")), ("bob".into(), name.clone()));
        assert_eq!(json_text(&line, "address"), route.proxy.addr);
        let numbers = ["files", "bytes", "held", "lanes"].map(|key| json_number(&line, key));
        assert_eq!(numbers, [1, size as u64, 0, 1]);
        assert!(fs::read(route.landing.join(&name)).unwrap() == all[..size], "{size}");
    }
    assert_eq!(names_in(&route.landing).len(), SIZES.len());
    nothing_waits_at(&route.alice);
    note_goes(&route.bob);
}

#[test]
fn streams_of_each_size_come_out() {
    let all = sample(2 * CHUNK);
    thread::scope(|scope| {
        for size in SIZES {
            let content = &all[..size];
            scope.spawn(move || {
                let mut outlet = Outlet::into_file(&[]);
                outlet.alice.pipe(&["send", "bob", "-"], content);
                outlet.ended();
                assert!(outlet.out() == content, "{size}");
                let mut outlet = Outlet::into_file(&[]);
                outlet.alice.run(&["send", "bob", &outlet.alice.file("file", content)]);
                outlet.ended();
                assert!(outlet.out() == content, "{size}");
            });
        }
    });
}

#[test]
fn a_name_is_kept_and_no_file_is_replaced() {
    let route = Route::new();
    for (name, content) in [(None, "one"), (Some("d.tar"), "two"), (Some("d.tar"), "three")] {
        let mut args = vec!["send", "bob", "-"];
        args.extend(name.iter().flat_map(|name| ["--name", name]));
        route.alice.pipe(&args, content.as_bytes());
    }
    assert_eq!(names_in(&route.landing), ["d (1).tar", "d.tar", "stdin"]);
    for (name, content) in [("stdin", "one"), ("d.tar", "two"), ("d (1).tar", "three")] {
        assert_eq!(fs::read_to_string(route.landing.join(name)).unwrap(), content);
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let home = Home::new("alice");
    home.run(&["peers", "add", "bob", &Home::new("bob").key(), "127.0.0.1:1"]);
    let file = home.file("file", "x");
    for (args, said) in [
        (&["--queue", "-"][..], "stdin cannot be queued; write it to a file first"),
        (&["-", &file], "- (stdin) cannot be combined with other files"),
        (&[&file, "-"], "- (stdin) cannot be combined with other files"),
        (&["-", "-"], "- (stdin) cannot be combined with other files"),
        (&["--spool", "much", "-"], "--spool is a size"),
        (&["--streams", "9", "-"], "--streams is 1 to 8"),
        (&["--name", "a/b", "-"], "a/b is no name for a file"),
        (&["--name", "..", "-"], ".. is no name for a file"),
        (&["--name", "", "-"], "is no name for a file"),
        (&["--name", "/etc/x", "-"], "is no name for a file"),
        (&["--name", "-x\u{202e}", "-"], "is no name for a file"),
    ] {
        let error = home.fails(&[&["send", "bob"], args].concat(), 2);
        assert!(error.contains(said), "{args:?}: {error}");
    }
    let said = home.fails(&["--json", "receive", "--into", "-"], 2);
    assert!(said.contains("--json and the file cannot both be on stdout"), "{said}");
    // All is well but for bob, who is away.
    home.fails(&["send", "bob", "--spool", "1", "--streams", "8", "--name", "d.tar", "-"], 69);
    nothing_waits_at(&home);
}

/// The most memory that a process has had so far.
fn peak(process: &Process) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_what_passes() {
    const MUCH: usize = 104 * MIB;
    let block = sample(MIB);
    let pour = |send: &mut Process| (0..MUCH / MIB).for_each(|_| send.write(&block));
    let is_low = |process: &Process, who| {
        let peak = peak(process);
        assert!(peak < 24 * MIB, "the {who} had {peak} bytes");
    };

    let mut route = Route::new();
    let mut send = route.start(&["-"]);
    pour(&mut send);
    is_low(&send, "sender");
    is_low(&route.node, "node");
    ends(&mut send, 0, "sent stdin (104.0 MiB)");
    let landed = fs::metadata(route.landing.join("stdin")).unwrap().len();
    assert_eq!(landed, MUCH as u64);
    route.node.kill9();

    let mut outlet = Outlet::into_file(&[]);
    let mut send = send_from(&outlet.alice, &["-"], Stdio::piped());
    pour(&mut send);
    is_low(&send, "sender");
    is_low(&outlet.receive, "receiver");
    ends(&mut send, 0, "sent stdin (104.0 MiB)");
    outlet.ended();
    assert_eq!(fs::metadata(outlet.bob.path("out")).unwrap().len(), MUCH as u64);
}

#[test]
fn a_reader_that_has_enough_ends_both() {
    for from_file in [false, true] {
        let mut head = Command::new("head");
        let head = head.args(["-c", "1000"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut head = head.unwrap();
        let mut outlet = Outlet::into(head.stdin.take().unwrap());
        let (arg, stdin) = if from_file {
            (outlet.alice.file("file", "y\n".repeat(4 * MIB)), Stdio::null())
        } else {
            // It would never end by itself.
            ("-".into(), output_of("yes", &[]))
        };
        let mut send = send_from(&outlet.alice, &[&arg], stdin);
        ends(&mut outlet.receive, 1, "error: what reads the output has closed it");
        ends(&mut send, 1, "bob could not finish the transfer: what it writes to was closed");
        let read = head.wait_with_output().unwrap().stdout;
        assert_eq!(read, "y\n".repeat(500).as_bytes());
        nothing_waits_at(&outlet.alice);
        assert!(outlet.alice.run(&["log"]).is_empty() && outlet.bob.run(&["log"]).is_empty());
    }
}

#[test]
fn an_output_that_is_full_ends_both() {
    let mut outlet = Outlet::into(File::options().write(true).open("/dev/full").unwrap());
    let mut send = send_from(&outlet.alice, &["-"], output_of("yes", &[]));
    ends(&mut outlet.receive, 74, "cannot write stdout: no space left on device");
    ends(&mut send, 74, "bob could not finish the transfer: its disk is full");
}

/// Nobody can tell that from the end of the input: `set -o pipefail` is there for that.
#[test]
fn the_end_of_a_killed_writer_is_the_end_of_the_file() {
    let route = Route::new();
    let writer = output_of("sh", &["-c", "printf 'all that came'; kill -9 $$"]);
    ends(&mut send_from(&route.alice, &["-"], writer), 0, "sent stdin (13 B)");
    assert_eq!(fs::read_to_string(route.landing.join("stdin")).unwrap(), "all that came");
}

#[test]
fn an_input_that_cannot_be_read_ends_both() {
    let mut route = Route::new();
    let dir = || File::open(fast_dir()).unwrap().into();
    ends(&mut send_from(&route.alice, &["-"], dir()), 1, "cannot send stdin: is a directory");
    assert!(names_in(&route.landing).is_empty());
    note_goes(&route.bob);
    nothing_waits_at(&route.alice);
    assert!(route.node.is_running());

    let mut outlet = Outlet::into_file(&[]);
    ends(&mut send_from(&outlet.alice, &["-"], dir()), 1, "cannot send stdin: is a directory");
    ends(&mut outlet.receive, 1, "alice could not finish the transfer: it stopped sending");
}

#[test]
fn a_killed_sender_leaves_no_half_file() {
    let mut route = Route::new();
    let mut send = route.start(&["--name", "d.tar", "-"]);
    send.write(&sample(MIB));
    let staged = || staged_in(&route.landing).pop();
    poll_until("something to arrive", || {
        (fs::metadata(staged()?.join("files/d.tar")).ok()?.len() >= (MIB / 2) as u64).then_some(())
    });
    send.kill9();
    let json = poll_until("its end", || {
        // What has come is noted.
        let json = route.bob.run(&["--json", "partial"]);
        (json_number(&json, "held") > 0).then_some(json)
    });
    assert!(json.contains("\"title\":\"d.tar\"") && json.contains("\"bytes\":null"), "{json}");
    assert!(landed_in(&route.landing).is_empty());
    nothing_waits_at(&route.alice);
    assert!(route.node.is_running());

    // Another of the name has nothing to do with it.
    route.alice.pipe(&["send", "bob", "--name", "d.tar", "-"], b"whole");
    assert_eq!(landed_in(&route.landing), ["d.tar"]);
    assert_eq!(fs::read_to_string(route.landing.join("d.tar")).unwrap(), "whole");
    let removed = route.bob.run(&["partial", "remove", "--all"]);
    assert!(removed.contains(" d.tar"), "{removed}");
    assert_eq!(names_in(&route.landing), ["d.tar"]);
}

#[test]
fn what_has_come_out_in_part_is_followed_by_nothing_else() {
    let mut outlet = Outlet::into_file(&[]);
    // Of this nothing has come out yet.
    let mut first = send_from(&outlet.alice, &["-"], Stdio::piped());
    let answer = |outlet: &Outlet| outlet.proxy.connections().first().map_or(0, |first| first.passed()[1]);
    poll_until("it to be taken", || (answer(&outlet) >= HANDSHAKE_ANSWER + STREAM).then_some(()));
    first.kill9();
    outlet.receive.wait_to_say("waiting for another try");

    let mut second = send_from(&outlet.alice, &["-"], Stdio::piped());
    second.write(b"half a ");
    poll_until("it to come out", || (outlet.out() == b"half a ").then_some(()));
    second.kill9();
    poll_until("its end", || {
        (outlet.receive.said().matches("waiting for another try").count() == 2).then_some(())
    });
    assert!(outlet.receive.is_running());

    let said = outlet.alice.fails(&["send", "bob", "-"], 77);
    assert!(said.contains("its pipe already has the beginning of another transfer"), "{said}");
    outlet.receive.wait_to_say("alice offered something else than it began with, and was refused");
    assert!(outlet.receive.is_running());
    assert_eq!(outlet.out(), b"half a ");
}

#[test]
fn a_sender_that_does_not_come_back_is_waited_for_as_long_as_the_user_says() {
    let mut outlet = Outlet::into_file(&["--timeout", "3s"]);
    let mut send = send_from(&outlet.alice, &["-"], Stdio::piped());
    // Longer than that, all in all.
    for n in 0..7 {
        send.write(b"more ");
        poll_until("it to come out", || (outlet.out().len() == 5 * (n + 1)).then_some(()));
        thread::sleep(Duration::from_millis(500));
    }
    assert!(outlet.receive.is_running());
    send.kill9();
    ends(&mut outlet.receive, 69, "nobody sent anything in 3.0 s");
    assert_eq!(outlet.out(), b"more ".repeat(7));
}

#[test]
fn only_one_file_goes_into_a_pipe() {
    for several in [false, true] {
        let mut outlet = Outlet::into_file(&[]);
        fs::create_dir(outlet.alice.path("dir")).unwrap();
        let paths = [outlet.alice.file("dir/a", "a"), outlet.alice.file("b", "b")];
        let dir = outlet.alice.path("dir").to_str().unwrap().to_owned();
        let args =
            if several { vec!["send", "bob", &paths[0], &paths[1]] } else { vec!["send", "bob", &dir] };
        let said = outlet.alice.fails(&args, 77);
        assert!(said.contains("it writes one file to a pipe") && said.contains("tar c"), "{said}");
        outlet.receive.wait_to_say("alice offered more than one file, and was refused");
        assert_eq!(outlet.out(), b"");
        outlet.alice.run(&["send", "bob", &paths[0]]);
        assert_eq!((outlet.receive.end().0, outlet.out()), (Some(0), b"a".to_vec()));
    }
}

/// What `--json` says at the end of a stream that Alice sends.
fn sent(send: &mut Process) -> [u64; 2] {
    let out = ends(send, 0, "");
    let line = out.lines().last().unwrap();
    assert_eq!(json_text(line, "event"), "sent");
    ["bytes", "held"].map(|key| json_number(line, key))
}

/// Where the first connection of a stream of three MiB is cut: in the handshake, around the answer, in the middle and
/// around the end.
fn cuts(length: u64) -> Vec<Plan> {
    let to_node = [1, 1_400, 1_500, 70_000, 1 << 20, length - 1, length + 1_500];
    let to_dialler = [0, 1_200, HANDSHAKE_ANSWER - 1, HANDSHAKE_ANSWER + STREAM - 1];
    let to_node = to_node.map(|at| Plan::cut(Way::ToNode, at, How::Cut));
    to_node.into_iter().chain(to_dialler.map(|at| Plan::cut(Way::ToDialler, at, How::Stall))).collect()
}

#[test]
fn a_stream_to_a_node_survives_a_cut_anywhere() {
    let content = sample(3 * MIB + 1);
    let mut plans = cuts(content.len() as u64);
    // With the last byte of the last word, or of one that says how much is stored.
    plans.push(Plan::cut(Way::ToDialler, HANDSHAKE_ANSWER + STREAM + 22, How::Cut));
    thread::scope(|scope| {
        for plan in plans {
            let content = &content;
            scope.spawn(move || {
                let route = Route::new();
                route.proxy.plan_next(plan);
                let command = route.alice.cmd(&["--json", "send", "bob", "--name", "d.tar", "-"]);
                let mut send =
                    Process::start_between(command, file_of(&route.alice, content), Stdio::piped());
                let [bytes, _] = sent(&mut send);
                assert_eq!(bytes, content.len() as u64, "{plan:?}");
                assert_eq!(names_in(&route.landing), ["d.tar"], "{plan:?}");
                assert!(fs::read(route.landing.join("d.tar")).unwrap() == *content, "{plan:?}");
                nothing_waits_at(&route.alice);
                poll_until("the note to go", || {
                    names_in(&route.bob.path("partial")).is_empty().then_some(())
                });
                let log = route.alice.run(&["--json", "log"]);
                assert_eq!(json_number(&log, "size"), content.len() as u64, "{plan:?}");
                assert_eq!(route.bob.run(&["log"]).lines().count(), 1, "{plan:?}");
            });
        }
    });
}

#[test]
fn a_stream_into_a_pipe_survives_a_cut_anywhere() {
    let content = sample(3 * MIB + 1);
    thread::scope(|scope| {
        for plan in cuts(content.len() as u64) {
            let content = &content;
            scope.spawn(move || {
                let mut outlet = Outlet::into_file(&[]);
                outlet.proxy.plan_next(plan);
                let mut send = send_from(&outlet.alice, &["-"], file_of(&outlet.alice, content));
                ends(&mut send, 0, "sent stdin (3.0 MiB)");
                outlet.ended();
                assert!(outlet.out() == *content, "{plan:?}");
            });
        }
    });
}

/// The file is read again from where the pipe is.
#[test]
fn a_file_into_a_pipe_goes_on_where_it_was_cut() {
    let content = sample(3 * MIB + 1);
    let mut outlet = Outlet::into_file(&[]);
    let file = outlet.alice.file("file", &content);
    outlet.proxy.plan_next(Plan::cut(Way::ToNode, 1 << 20, How::Cut));
    let said = outlet.alice.fails(&["send", "bob", &file], 69);
    assert!(said.contains("the same command goes on from it"), "{said}");
    outlet.receive.wait_to_say("waiting for another try");
    let some = outlet.out().len();
    assert!(some > 15 * PIECE && outlet.out() == content[..some]);
    let out = outlet.alice.run(&["--json", "send", "bob", &file]);
    assert_eq!(json_number(out.lines().last().unwrap(), "held"), some as u64);
    outlet.ended();
    assert!(outlet.out() == content);
}

#[test]
fn what_is_stored_is_not_sent_again() {
    let route = Route::new();
    let content = sample(12 * MIB);
    let cut = 10 << 20;
    route.proxy.plan_next(Plan::cut(Way::ToNode, cut, How::Cut));
    let command = route.alice.cmd(&["--json", "send", "bob", "-"]);
    let mut send = Process::start_between(command, file_of(&route.alice, &content), Stdio::piped());
    let [bytes, held] = sent(&mut send);
    assert_eq!(bytes, content.len() as u64);
    // Pieces that had come whole, more than the sender had heard of. Those that the node had not read when it sent its next
    // ACK are gone: to that, a closed connection answers with a reset.
    assert!(held > ACK_EVERY as u64 && held.is_multiple_of(PIECE as u64), "{held}");
    let passed: u64 = route.proxy.connections().iter().map(|connection| connection.passed()[0]).sum();
    assert!(passed < bytes + cut - held + 4 * BESIDE + 200 * 31, "{passed}");
    assert!(fs::read(route.landing.join("stdin")).unwrap() == content);
}

fn goes_on_after_the_node_was_killed(behind_router: bool) {
    let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
    let mut node = bob.serve();
    let proxy = Proxy::before(&node.addr);
    let at = if behind_router { &proxy.addr } else { &node.addr };
    alice.run(&["peers", "add", "bob", &bob.key(), at]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let content = sample(12 * MIB);
    let mut send = send_from(&alice, &["--spool", "64M", "-"], Stdio::piped());
    let (first, rest) = content.split_at(9 * MIB);
    send.write(first);
    poll_until("much of it to be stored", || {
        let json = bob.run(&["--json", "partial"]);
        (!json.is_empty() && json_number(&json, "held") >= ACK_EVERY as u64).then_some(())
    });
    node.kill9();
    send.wait_to_say("connection to bob lost while sending");
    send.wait_to_say(if behind_router {
        "closed the connection without an answer"
    } else {
        "cannot reach bob"
    });
    let mut node = bob.serve_again_at(&node.addr);
    send.write(rest);
    let said = ends(&mut send, 0, "of it were there already");
    assert_eq!(said, "");
    let landing = bob.path("downloads/alice");
    assert_eq!(names_in(&landing), ["stdin"]);
    assert!(fs::read(landing.join("stdin")).unwrap() == content);
    node.wait_for("file from alice");
    nothing_waits_at(&alice);
}

#[test]
fn a_stream_goes_on_after_the_node_was_killed() {
    goes_on_after_the_node_was_killed(false);
}

/// Who takes the connection, and closes it.
#[test]
fn a_stream_goes_on_after_the_node_behind_a_router_was_killed() {
    goes_on_after_the_node_was_killed(true);
}

#[test]
fn a_sender_whose_peer_does_not_come_back_gives_up() {
    let mut route = Route::new();
    let mut send = route.start(&["-"]);
    send.write(&sample(MIB));
    poll_until("something to arrive", || staged_in(&route.landing).pop());
    // The node lives, but takes no files any more: that is not worth waiting for.
    route.bob.run(&["peers", "set", "alice", "blocked"]);
    route.mend();
    ends(&mut send, 77, "bob refused: it has blocked this node");
    assert!(landed_in(&route.landing).is_empty());
    assert!(route.node.is_running());
}

#[test]
fn a_small_spool_holds_the_pipe_up_and_loses_nothing() {
    let content = sample(MIB + 1);
    thread::scope(|scope| {
        for spool in ["0", "1", "200k"] {
            let (content, args) = (&content, ["send", "bob", "--spool", spool, "-"]);
            scope.spawn(move || {
                let route = Route::new();
                // The pieces that were not stored are still there.
                route.proxy.plan_next(Plan::cut(Way::ToNode, 400_000, How::Cut));
                route.alice.pipe(&args, content);
                assert!(fs::read(route.landing.join("stdin")).unwrap() == *content, "{spool}");
            });
            scope.spawn(move || {
                let mut outlet = Outlet::into_file(&[]);
                outlet.proxy.plan_next(Plan::cut(Way::ToDialler, HANDSHAKE_ANSWER + STREAM + 100, How::Cut));
                outlet.alice.pipe(&args, content);
                outlet.ended();
                assert!(outlet.out() == *content, "{spool}");
            });
        }
    });
}

#[test]
fn no_more_than_the_spool_is_taken_while_nothing_is_stored() {
    const SPOOL: usize = 600 << 10;
    /// Pieces that are read ahead, what a pipe holds, and what is on its way from one to the other.
    const AHEAD: usize = 6 * PIECE + (64 << 10);
    let route = Route::new();
    route.proxy.plan(|| Plan::cut(Way::ToDialler, HANDSHAKE_ANSWER + STREAM, How::Hang));
    let mut send = route.start(&["--spool", "600k", "-"]);
    let content = sample(4 * MIB);
    let taken = Arc::new(AtomicUsize::new(0));
    let (mut stdin, counted, pouring) =
        (send.child.stdin.take().unwrap(), Arc::clone(&taken), content.clone());
    let writer = thread::spawn(move || {
        for part in pouring.chunks(4096) {
            stdin.write_all(part).unwrap();
            counted.fetch_add(part.len(), Ordering::Relaxed);
        }
    });
    let taken = || taken.load(Ordering::Relaxed);
    poll_until("the spool to be full", || (taken() >= SPOOL - PIECE).then_some(()));
    // If it took more, it would soon have taken much more.
    thread::sleep(Duration::from_millis(500));
    assert!(taken() < SPOOL + AHEAD, "{} bytes were taken", taken());
    assert!(send.is_running());
    route.mend();
    ends(&mut send, 0, "sent stdin (4.0 MiB)");
    writer.join().unwrap();
    assert!(fs::read(route.landing.join("stdin")).unwrap() == content);
}

#[test]
fn what_comes_slowly_is_passed_on_at_once() {
    let mut outlet = Outlet::into_file(&[]);
    let mut send = send_from(&outlet.alice, &["-"], Stdio::piped());
    let mut all = Vec::new();
    for part in ["a line\n", "and not a whole one", ": ", "\0\n\n", "the last"] {
        send.write(part.as_bytes());
        all.extend_from_slice(part.as_bytes());
        let began = Instant::now();
        poll_until("it to come out", || (outlet.out() == all).then_some(()));
        // And not with the next sign of life, after 20 s.
        assert!(began.elapsed() < Duration::from_secs(15), "{part:?}");
    }
    ends(&mut send, 0, "sent stdin (39 B)");
    outlet.ended();
    assert_eq!(outlet.out(), all);
}

#[test]
fn more_than_the_receiver_takes_leaves_nothing() {
    let mut route = Route::with(&["--max-file", "1M"]);
    let content = sample(2 * MIB);
    for more in [&content[..MIB + 1], &content] {
        let mut send = send_from(&route.alice, &["-"], file_of(&route.alice, more));
        ends(&mut send, 77, "bob refused: the stream is longer than it takes");
        poll_until("all of it to go", || names_in(&route.landing).is_empty().then_some(()));
        note_goes(&route.bob);
    }
    nothing_waits_at(&route.alice);
    // As much as it takes.
    route.alice.pipe(&["send", "bob", "--name", "most", "-"], &content[..MIB]);
    assert!(fs::read(route.landing.join("most")).unwrap() == content[..MIB]);

    // And what there is room for.
    route.bob.run(&["peers", "set", "alice", "max-file=1G", "quota=1108k"]);
    let mut send = send_from(&route.alice, &["-"], file_of(&route.alice, &content[..(76 << 10) + 1]));
    ends(&mut send, 77, "the stream is longer than it takes");
    route.alice.pipe(&["send", "bob", "--name", "rest", "-"], &content[..76 << 10]);
    let mut send = send_from(&route.alice, &["-"], file_of(&route.alice, b"x"));
    ends(&mut send, 77, "your files there would be more than it has room for you");
    poll_until("all of it to go", || (names_in(&route.landing) == ["most", "rest"]).then_some(()));

    route.bob.run(&["peers", "set", "alice", "files=refuse"]);
    ends(&mut send_from(&route.alice, &["-"], output_of("yes", &[])), 77, "it takes no files from you");
    let said = route.node.kill9();
    assert!(said.contains("the stream of alice was longer than the 1.0 MiB allowed"), "{said}");
}

/// Its beginning is of no use to anybody, since no command can go on with it.
#[test]
fn a_disk_that_a_pipe_fills_up_has_its_room_back_at_once() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut route = Route::with(&["--downloads", disk.path().to_str().unwrap()]);
    let landing = disk.path().join("alice");
    let content = sample(3 * MIB);
    let mut send = send_from(&route.alice, &["-"], file_of(&route.alice, &content));
    ends(&mut send, 74, "bob could not finish the transfer: its disk is full");
    nothing_waits_at(&route.alice);
    poll_until("its data to be gone", || names_in(&landing).is_empty().then_some(()));
    note_goes(&route.bob);
    route.alice.pipe(&["send", "bob", "-"], &content[..MIB / 2]);
    assert!(fs::read(landing.join("stdin")).unwrap() == content[..MIB / 2]);
    assert!(route.node.is_running());
}

/// A receiver whose reader takes nothing for a while, so that the pipe is full.
fn held_up(content: &[u8]) -> (Outlet, std::io::PipeReader, Process) {
    let (reader, writer) = std::io::pipe().unwrap();
    let outlet = Outlet::into(writer);
    let send = send_from(&outlet.alice, &["-"], file_of(&outlet.alice, content));
    // More than the pipe takes, and a sign of life.
    poll_until("the pipe to be full", || {
        let [to_node, to_dialler] = outlet.proxy.connections().first()?.passed();
        (to_node > 100_000 && to_dialler > HANDSHAKE_ANSWER + STREAM).then_some(())
    });
    (outlet, reader, send)
}

fn rest_of(reader: &mut impl Read) -> Vec<u8> {
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    rest
}

#[test]
fn a_reader_that_takes_its_time_is_waited_for() {
    let content = sample(3 * MIB);
    let (mut outlet, mut reader, mut send) = held_up(&content);
    // Now and then, the sender hears of it.
    let first = &outlet.proxy.connections()[0];
    let before = first.passed()[1];
    poll_until("two signs of life", || (first.passed()[1] >= before + 2 * 23).then_some(()));
    assert!(send.is_running() && outlet.receive.is_running());
    assert!(rest_of(&mut reader) == content);
    ends(&mut send, 0, "sent stdin (3.0 MiB)");
    outlet.ended();
    assert_eq!(outlet.proxy.connections().len(), 1);
}

#[test]
fn a_sender_comes_back_to_a_reader_that_takes_its_time() {
    let content = sample(3 * MIB);
    let (mut outlet, mut reader, mut send) = held_up(&content);
    outlet.proxy.cut(0);
    send.wait_to_say("trying again");
    // It is taken, and waits for the reader.
    let answer = |nth: usize| outlet.proxy.connections().get(nth).map_or(0, |second| second.passed()[1]);
    poll_until("a sign of life", || (answer(1) > HANDSHAKE_ANSWER).then_some(()));
    assert!(rest_of(&mut reader) == content);
    ends(&mut send, 0, "sent stdin (3.0 MiB)");
    assert!(!send.said().contains("cannot reach"), "{}", send.said());
    outlet.ended();
}

/// Takes minutes.
#[test]
fn silence_is_told_from_death() {
    if !is_torture() {
        return;
    }
    thread::scope(|scope| {
        // A reader that takes longer than a write may be stalled, and a connection silent.
        scope.spawn(|| {
            let content = sample(24 * MIB);
            let (mut outlet, mut reader, mut send) = held_up(&content);
            thread::sleep(Duration::from_secs(100));
            assert!(rest_of(&mut reader) == content);
            ends(&mut send, 0, "sent stdin (24.0 MiB)");
            outlet.ended();
            assert_eq!(outlet.proxy.connections().len(), 1);
        });
        // An input in which nothing comes for as long.
        scope.spawn(|| {
            let route = Route::new();
            let mut send = route.start(&["-"]);
            send.write(b"now");
            thread::sleep(Duration::from_secs(100));
            send.write(b" and then");
            ends(&mut send, 0, "sent stdin (12 B)");
            assert_eq!(fs::read_to_string(route.landing.join("stdin")).unwrap(), "now and then");
            assert_eq!(route.proxy.connections().len(), 1);
        });
        // A network in which everything gets lost, with an input in which little comes.
        scope.spawn(|| {
            let route = Route::new();
            route.proxy.plan_next(Plan::cut(Way::ToNode, 2_000, How::Hang));
            let mut send = route.start(&["-"]);
            let began = Instant::now();
            let mut lines = 0;
            while !send.said().contains("connection to bob lost while sending a stream (no sign of life)") {
                assert!(began.elapsed() < Duration::from_secs(90));
                send.write(b"a line\n");
                lines += 1;
                thread::sleep(Duration::from_millis(500));
            }
            ends(&mut send, 0, "sent stdin");
            let landed = fs::read_to_string(route.landing.join("stdin")).unwrap();
            assert_eq!(landed, "a line\n".repeat(lines));
        });
    });
}
