//! Files: whole, verified and in place when the sender is told so; otherwise not there at all.

use crate::common;

use common::disk::SmallDisk;
use common::files::{CHUNK, MIB, PIECE, chunks_in, landed_in, names_in, sample, sample_of, staged_in};
use common::gate::Gate;
use common::proxy::{How, Plan, Way};
use common::route::Route;
use common::{Home, Node, Process, pair, paired, poll_until};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

/// More than the sockets between sender and receiver hold, so that a gate stops the sender too.
const LARGE: u64 = 48 << 20;
/// What a gate lets through: the handshake and the first chunks.
const SOME: u64 = 1 << 20;

/// A file of zeros that takes no room.
fn large(home: &Home, name: &str) -> String {
    let path = home.file(name, "");
    File::options().write(true).open(&path).unwrap().set_len(LARGE).unwrap();
    path
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A large file on its way from Alice to Bob, of which Bob holds a part.
struct Half {
    send: Process,
    gate: Gate,
    file: String,
    landing: PathBuf,
    node: Node,
    alice: Home,
    bob: Home,
}

impl Half {
    fn sent() -> Half {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let node = bob.serve();
        let gate = Gate::before(&node.addr, SOME);
        alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
        bob.run(&["peers", "add", "alice", &alice.key()]);
        let file = large(&alice, "large.bin");
        let send = Process::start(alice.cmd(&["send", "bob", &file]));
        let landing = bob.path("downloads/alice");
        poll_until("the first chunk to be written", || {
            (chunks_in(staged_in(&landing).first()?) > 0).then_some(())
        });
        Half { send, gate, file, landing, node, alice, bob }
    }

    /// Nothing has come to its name, nobody has noted a transfer, the part waits, and the node goes on.
    fn came_to_nothing(mut self) {
        assert!(landed_in(&self.landing).is_empty());
        assert!(self.alice.run(&["log"]).is_empty() && self.bob.run(&["log"]).is_empty());
        self.alice.run(&["send", "bob", &self.alice.file("small.bin", "small")]);
        assert_eq!(landed_in(&self.landing), ["small.bin"]);
        self.node.wait_for("file from alice");
        assert!(self.bob.run(&["partial"]).contains(" large.bin from alice: "));
        poll_until("its end", || {
            self.bob.cmd(&["partial", "remove", "--all"]).output().unwrap().status.success().then_some(())
        });
        assert_eq!(names_in(&self.landing), ["small.bin"]);
    }
}

#[test]
fn one_file_arrives_at_a_serving_peer() {
    let (alice, mut alice_node, bob, _bob_node) = paired();
    let content = sample(5 * MIB + 1);
    let (out, said) = bob.ends_with(&["send", "alice", &bob.file("a.bin", &content)], b"", 0);
    assert!(
        out.is_empty() && said.contains(&format!("sent a.bin (5.0 MiB) to alice at {} in ", alice_node.addr)),
        "{said}"
    );
    let path = alice.path("downloads/bob/a.bin");
    assert!(fs::read(&path).unwrap() == content);
    assert_eq!(alice_node.wait_for("file from "), format!("file from bob: {} (5.0 MiB)", path.display()));
    assert!(alice.run(&["log"]).ends_with(&format!(" * bob sent {} (5.0 MiB)\n", path.display())));
    assert!(bob.run(&["log"]).ends_with(" * alice has a.bin (5.0 MiB)\n"));
    assert_eq!(names_in(&alice.path("downloads/bob")), ["a.bin"]);
}

/// Sizes around those of pieces and chunks, and none at all.
const BORDERS: [usize; 15] = [
    0,
    1,
    PIECE - 1,
    PIECE,
    PIECE + 1,
    2 * PIECE,
    CHUNK - PIECE,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    CHUNK + PIECE,
    2 * CHUNK - 1,
    2 * CHUNK,
    2 * CHUNK + 1,
    0,
];

#[test]
fn one_file_of_each_size_arrives_alone() {
    let route = Route::new();
    let all = sample(3 * CHUNK);
    for size in BORDERS {
        let name = format!("{size}.bin");
        let sent = route.send(&[&route.alice.file(&name, &all[..size])]);
        assert_eq!((sent.files, sent.bytes, sent.held, sent.lanes), (1, size as u64, 0, 1));
        assert!(fs::read(route.landing.join(&name)).unwrap() == all[..size], "{size}");
        fs::remove_file(route.landing.join(&name)).unwrap();
    }
}

#[test]
fn files_of_all_sizes_arrive_over_any_number_of_lanes() {
    let route = Route::new();
    let sizes: Vec<usize> = BORDERS.into_iter().cycle().take(60).collect();
    let total = sizes.iter().sum::<usize>();
    let all = sample(total);
    for streams in 1..=8 {
        // In another order each time, so that the files lie at other places in the chunks.
        let sent: Vec<(String, &[u8])> = (0..sizes.len())
            .map(|n| {
                let size = sizes[(n * streams) % sizes.len()];
                let from = (n * 71_993) % (total - size);
                (
                    route.alice.file(&format!("{streams} {n:02}"), &all[from..from + size]),
                    &all[from..from + size],
                )
            })
            .collect();
        let count = streams.to_string();
        let paths = sent.iter().map(|(path, _)| path.as_str());
        let done = route.send(&["--streams", &count].into_iter().chain(paths).collect::<Vec<_>>());
        let bytes: usize = sent.iter().map(|(_, content)| content.len()).sum();
        assert_eq!((done.files, done.bytes, done.held), (60, bytes as u64, 0));
        assert_eq!(
            (done.title.clone(), done.address.clone()),
            (format!("{streams} 00 and 59 more"), route.proxy.addr.clone())
        );
        assert!((1..=streams as u64).contains(&done.lanes), "{done:?}");
        for (path, content) in sent {
            let landed = route.landing.join(Path::new(&path).file_name().unwrap());
            assert!(fs::read(landed).unwrap() == content, "{path} over {streams}");
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn lanes_share_the_work() {
    let route = Route::new();
    let content = sample(30 * MIB);
    let file = route.alice.file("large.bin", &content);
    // A slow session: what it does not get to do its lanes do.
    let mut first = Some(Plan { segment: 256, ..Plan::default() });
    route.proxy.plan(move || first.take().unwrap_or_default());
    let sent = route.send(&["--streams", "8", &file]);
    // A node lets four newcomers of an address in at a time; who comes later may find nothing left to do.
    assert!((2..=8).contains(&sent.lanes) && route.proxy.connections().len() >= 8, "{sent:?}");
    assert!(fs::read(route.landing.join("large.bin")).unwrap() == content);
    let log = route.bob.run(&["log"]);
    assert_eq!(log.lines().count(), 1);

    // Few chunks are not worth a lane.
    route.proxy.plan(Plan::default);
    let small = route.alice.file("small.bin", &content[..16 * CHUNK]);
    let before = route.proxy.connections().len();
    assert_eq!(route.send(&["--streams", "8", &small]).lanes, 1);
    assert_eq!(route.proxy.connections().len(), before + 1);
    // However often lanes come too late, nobody is kept out for it.
    for n in 0..12 {
        let file = route.alice.file(&format!("{n}.bin"), &content[n..5 * MIB + n]);
        route.send(&["--streams", "8", &file]);
    }
    for streams in ["0", "9", "x", "-1"] {
        route.alice.fails(&["send", "bob", "--streams", streams, &small], 2);
    }
}

#[test]
fn a_lane_that_cannot_be_dialled_is_done_without() {
    let route = Route::new();
    let content = sample(6 * MIB);
    let file = route.alice.file("large.bin", &content);
    // Before the node hears of it, and before the answer comes.
    for way in [Way::ToNode, Way::ToDialler] {
        let mut first = Some(Plan::default());
        route.proxy.plan(move || first.take().unwrap_or(Plan::cut(way, 1, How::Cut)));
        let sent = route.send(&["--streams", "2", &file]);
        assert_eq!((sent.lanes, sent.bytes), (1, content.len() as u64));
        assert!(fs::read(route.landing.join("large.bin")).unwrap() == content);
        fs::remove_file(route.landing.join("large.bin")).unwrap();
    }
}

#[test]
fn executable_bit_and_time_are_kept_and_others_are_kept_out() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let (script, text) = (bob.file("run.sh", "#!/bin/sh\n"), bob.file("old.txt", "old"));
    fs::set_permissions(&script, PermissionsExt::from_mode(0o4755)).unwrap();
    fs::set_permissions(&text, PermissionsExt::from_mode(0o666)).unwrap();
    let old = UNIX_EPOCH - Duration::from_secs(86_400);
    File::options().write(true).open(&text).unwrap().set_modified(old).unwrap();
    bob.run(&["send", "alice", &script, &text]);
    let landing = alice.path("downloads/bob");
    assert_eq!(mode(&landing.join("run.sh")), 0o700);
    assert_eq!(mode(&landing.join("old.txt")), 0o600);
    assert_eq!(mode(&landing), 0o700);
    assert_eq!(fs::metadata(landing.join("old.txt")).unwrap().mtime(), -86_400);
}

#[test]
fn nothing_is_ever_overwritten() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    for content in ["first", "second", "third"] {
        bob.run(&["send", "alice", &bob.file("a.tar.gz", content)]);
    }
    let landing = alice.path("downloads/bob");
    let names = names_in(&landing);
    assert_eq!(names.len(), 3, "{names:?}");
    let mut all: Vec<String> =
        names.iter().map(|name| fs::read_to_string(landing.join(name)).unwrap()).collect();
    assert_eq!(fs::read_to_string(landing.join("a.tar.gz")).unwrap(), "first");
    all.sort();
    assert_eq!(all, ["first", "second", "third"]);
    assert!(names.iter().any(|name| name.contains(" (1)")) && names.iter().any(|name| name.contains(" (2)")));

    // Neither a directory, nor what a link leads to.
    let elsewhere = alice.path("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, landing.join("link")).unwrap();
    fs::create_dir(landing.join("dir")).unwrap();
    bob.run(&["send", "alice", &bob.file("link", "x"), &bob.file("dir", "y")]);
    assert!(!elsewhere.exists() && names_in(&landing.join("dir")).is_empty());
    assert_eq!(fs::read_to_string(landing.join("link (1)")).unwrap(), "x");
    assert_eq!(fs::read_to_string(landing.join("dir (1)")).unwrap(), "y");
}

/// The connection of a transfer outlives its success for a moment; the next one was refused then.
#[test]
fn a_script_can_send_file_after_file() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    for n in 0..15 {
        bob.run(&["send", "alice", &bob.file(&format!("{n:02}.txt"), n.to_string())]);
    }
    assert_eq!(names_in(&alice.path("downloads/bob")).len(), 15);
}

#[test]
fn receiving_prints_a_link_then_the_paths_and_ends() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let here = fs::canonicalize(alice.around()).unwrap();
    let into = here.join("into");
    let mut command = alice.cmd(&["receive", "--listen", "127.0.0.1:0", "--into", "into"]);
    command.current_dir(&here);
    let mut receive = Process::start(command);
    let link = receive.wait_for("egoat:");
    bob.run(&["send", &link, &bob.file("a.txt", "a"), &bob.file("b.txt", "b")]);
    let (code, out, _) = receive.end();
    // From the root: the history is read by processes that run elsewhere.
    assert_eq!((code, out), (Some(0), format!("{0}/a.txt\n{0}/b.txt\n", into.display())));
    assert_eq!(names_in(&into), ["a.txt", "b.txt"]);
}

#[test]
fn files_to_an_address_need_the_key_taken_on_trust() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve_with(&["--listen", "127.0.0.1:0", "--accept-new"]);
    let file = bob.file("a.txt", "a");
    assert!(bob.fails(&["send", &node.addr, &file], 77).contains("--accept-new"));
    // Nobody knows Bob there, so his files are asked about, and nobody is there to answer.
    bob.fails(&["send", "--accept-new", &node.addr, &file], 77);
    assert!(!alice.path("downloads/bob/a.txt").exists());
    alice.run(&["peers", "set", "bob", "files=accept"]);
    bob.run(&["send", &node.addr, &file]);
    bob.run(&["send", &node.addr, &bob.file("b.txt", "b")]);
    assert_eq!(names_in(&alice.path("downloads/bob")), ["a.txt", "b.txt"]);
}

#[test]
fn receiving_from_one_peer_takes_no_other_and_no_messages() {
    let (alice, mut alice_node, bob, _bob_node) = paired();
    let carol = Home::new("carol");
    pair(&alice, &carol);
    alice_node.kill9();
    let mut receive = Process::start(alice.cmd(&["receive", "--from", "bob", "--listen", &alice_node.addr]));
    let file = carol.file("c.txt", "c");
    let said = carol.fails(&["send", "--wait", "30s", "alice", &file], 77);
    assert!(said.contains("refused"), "{said}");
    let (_, said) = carol.ends_with(&["say", "alice", "hi"], b"", 0);
    assert!(said.contains("queued for alice") && said.contains("does not do this now"), "{said}");
    bob.run(&["send", "alice", &bob.file("b.txt", "b")]);
    let landed = format!("{}\n", alice.path("downloads/bob/b.txt").display());
    let (code, out, said) = receive.end();
    assert_eq!((code, out), (Some(0), landed), "{said}");
    assert!(alice.fails(&["receive", "--from", "nobody"], 2).contains("nobody"));
}

#[test]
fn receiving_in_vain_ends_in_time() {
    let args = ["receive", "--listen", "127.0.0.1:0", "--timeout", "100ms"];
    let said = Home::new("alice").fails(&args, 69);
    assert!(said.contains("nobody sent anything in 100 ms"), "{said}");
}

#[test]
fn what_is_no_plain_file_is_refused_before_anybody_is_dialled() {
    let home = Home::new("alice");
    home.run(&["peers", "add", "bob", &Home::new("bob").key()]);
    assert!(Command::new("mkfifo").arg(home.path("fifo")).status().unwrap().success());
    home.file("line\nfeed", "");
    for (path, why) in [
        (home.path("missing"), "no such file"),
        (home.path("fifo"), "it is neither a regular file nor a directory"),
        (home.path("line\nfeed"), "contains a control character"),
        (PathBuf::from("/"), "it has no name of its own"),
    ] {
        let said = home.fails(&["send", "bob", path.to_str().unwrap()], 1);
        assert!(said.contains("cannot ") && said.contains(why), "{path:?}: {said}");
    }
    fs::create_dir(home.path("dir")).unwrap();
    let (a, b) = (home.file("x.txt", "x"), home.file("dir/x.txt", "y"));
    assert!(home.fails(&["send", "bob", &a, &b], 1).contains("cannot send these files"));
    home.fails(&["send", "bob"], 2);
    for name in ["a/b", "..", "/etc/x", "", "a\nb"] {
        assert!(
            home.fails(&["send", "bob", "--name", name, &a], 2).contains("is no name for a file"),
            "{name}"
        );
    }
    home.fails(&["send", "bob", "--name", "x", &a, &b], 2);

    let secret = home.file("secret", "");
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o000)).unwrap();
    if File::open(&secret).is_err() {
        assert!(home.fails(&["send", "bob", &secret], 1).contains("permission denied"));
    }
}

#[test]
fn a_name_that_is_not_utf8_is_a_usage_error() {
    let home = Home::new("alice");
    let said = home.fails(&[OsStr::new("send"), OsStr::new("bob"), OsStr::from_bytes(b"a\xffb")], 2);
    assert!(said.contains("is not UTF-8\n") && said.contains("hint: rename a file"), "{said}");
}

#[test]
fn more_than_the_receiver_takes_is_refused() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = alice.serve_with(&["--listen", "127.0.0.1:0", "--max-file", "10k"]);
    pair(&alice, &bob);
    let (a, b) = (bob.file("a.bin", sample(10_240)), bob.file("b.bin", "1"));
    let said = bob.fails(&["send", "alice", &a, &b], 77);
    assert!(said.contains("is more than it takes") && said.contains("--max-file"), "{said}");
    assert!(names_in(&alice.path("downloads/bob")).is_empty());
    bob.run(&["send", "alice", &a]);
    assert!(node.is_running());
}

fn changed_while_it_is_sent(change: impl FnOnce(&File)) -> String {
    let mut half = Half::sent();
    change(&File::options().write(true).open(&half.file).unwrap());
    half.gate.open();
    let (code, _, said) = half.send.end();
    assert!(code == Some(1) && said.contains("it changed while it was sent"), "{said}");
    half.came_to_nothing();
    said
}

#[test]
fn a_file_that_grows_while_it_is_sent_does_not_arrive() {
    let said = changed_while_it_is_sent(|file| file.set_len(LARGE + 4).unwrap());
    assert!(
        said.contains("hint: send what it holds now through a pipe: `egoat send PEER - <FILE`"),
        "{said}"
    );
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_does_not_arrive() {
    let said = changed_while_it_is_sent(|file| file.set_len(SOME).unwrap());
    assert!(said.contains("hint: send it again once nothing writes to it"), "{said}");
}

#[test]
fn a_file_that_is_written_to_while_it_is_sent_does_not_arrive() {
    changed_while_it_is_sent(|file| file.write_all_at(b"other", 7).unwrap());
}

#[test]
fn a_sender_that_is_killed_leaves_no_half_file() {
    let mut half = Half::sent();
    half.send.kill9();
    half.gate.open();
    half.came_to_nothing();
}

#[test]
fn a_receiver_that_is_killed_has_no_half_file() {
    let mut half = Half::sent();
    half.node.kill9();
    let (code, _, said) = half.send.end();
    assert!(code == Some(69) && said.contains("connection to bob lost"), "{said}");
    assert!(landed_in(&half.landing).is_empty());
    // What it has of another transfer stays.
    let node = half.bob.serve();
    half.alice.run(&["send", &format!("egoat:{}@{}", half.bob.key(), node.addr), &half.alice.file("b", "b")]);
    assert_eq!(landed_in(&half.landing), ["b"]);
    assert_eq!(staged_in(&half.landing).len(), 1);
}

/// Both are on their way when the first of them ends.
#[test]
fn two_of_one_name_from_one_peer_both_arrive() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let gate = Gate::before(&node.addr, SOME);
    alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let landing = bob.path("downloads/alice");
    let mut sends = Vec::new();
    let mut contents = Vec::new();
    for n in 1..=3 {
        fs::create_dir_all(alice.path(&format!("{n}/dir"))).unwrap();
        let content = sample_of(n, 2 * MIB);
        let file = alice.file(&format!("{n}/same.bin"), &content);
        // Of other times, or the receiver would take them for one transfer.
        let time = UNIX_EPOCH + Duration::from_secs(n);
        fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let tree = alice.file(&format!("{n}/dir/file"), n.to_string());
        let tree = Path::new(&tree).parent().unwrap().to_str().unwrap();
        sends.push(Process::start(alice.cmd(&["send", "bob", "--streams", "1", tree, &file])));
        contents.push((n.to_string(), content));
    }
    poll_until("all to be on their way", || {
        let staged = staged_in(&landing);
        (staged.len() == 3 && staged.iter().all(|one| chunks_in(one) > 0)).then_some(())
    });
    gate.open();
    for mut send in sends {
        let (code, _, said) = send.end();
        assert_eq!(code, Some(0), "{said}");
    }
    let names = ["dir", "dir (1)", "dir (2)", "same (1).bin", "same (2).bin", "same.bin"];
    assert_eq!(names_in(&landing), names);
    let mut files: Vec<Vec<u8>> =
        names[3..].iter().map(|name| fs::read(landing.join(name)).unwrap()).collect();
    let mut trees: Vec<String> =
        names[..3].iter().map(|name| fs::read_to_string(landing.join(name).join("file")).unwrap()).collect();
    files.sort();
    trees.sort();
    contents.sort_by(|(_, one), (_, two)| one.cmp(two));
    assert!(files.iter().eq(contents.iter().map(|(_, content)| content)));
    assert_eq!(trees, ["1", "2", "3"]);
}

#[test]
fn a_full_disk_is_the_senders_error_and_the_node_goes_on() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let Some(disk) = SmallDisk::mount() else { return };
    let mut node =
        alice.serve_with(&["--listen", "127.0.0.1:0", "--downloads", disk.path().to_str().unwrap()]);
    pair(&alice, &bob);
    let fits = bob.file("fits.bin", sample(1000));
    let said = bob.fails(&["send", "alice", &fits, &bob.file("large.bin", sample(3 * MIB))], 69);
    assert!(said.contains("its disk is full"), "{said}");
    assert!(names_in(&disk.path().join("bob")).is_empty() && alice.run(&["partial"]).is_empty());
    bob.run(&["send", "alice", &fits]);
    bob.run(&["say", "--wait", "30s", "alice", "still there?"]);
    node.wait_for("message from bob: still there?");
    assert_eq!(names_in(&disk.path().join("bob")), ["fits.bin"]);
}

#[test]
fn two_senders_at_once_do_not_meet_in_a_name() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let node = alice.serve();
    let into = alice.path("into");
    let senders = [(&bob, "from bob"), (&carol, "from carol")];
    senders.iter().for_each(|(home, _)| pair(&alice, home));
    thread::scope(|scope| {
        for (home, content) in senders {
            let (alice, into) = (&alice, &into);
            scope.spawn(move || {
                let args = ["receive", "--listen", "127.0.0.1:0", "--into", into.to_str().unwrap()];
                let mut receive = Process::start(alice.cmd(&args));
                let link = receive.wait_for("egoat:");
                let file = home.file("same.txt", content);
                home.run(&["send", &link, &file]);
                assert_eq!(receive.end().0, Some(0));
                // A node has a folder for each peer.
                home.run(&["send", "alice", &file]);
            });
        }
    });
    assert_eq!(names_in(&into), ["same (1).txt", "same.txt"]);
    let mut both = ["same (1).txt", "same.txt"].map(|name| fs::read_to_string(into.join(name)).unwrap());
    both.sort();
    assert_eq!(both, ["from bob", "from carol"]);
    for (name, content) in [("bob", "from bob"), ("carol", "from carol")] {
        let path = alice.path(&format!("downloads/{name}/same.txt"));
        assert_eq!(fs::read_to_string(path).unwrap(), content);
    }
    drop(node);
}
