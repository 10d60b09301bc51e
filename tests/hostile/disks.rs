//! Peers that fill the disk (egoat(1), ROOM ON THE DISK): some room is kept free, one peer gets a share of the rest, and a
//! node whose disk is full all the same lives on.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use crate::common::disk::SmallDisk;
use crate::common::files::sample;
use crate::common::rogue::{Entry, Line, Rogue, dir as rogue_dir, file as rogue_file};
use crate::common::{Home, Node, Process, pair, poll_until};
use egoat::store::space::free_bytes;
use egoat::wire::message::{Declined, Kind, Message, Refusal};

const MIB: usize = 1 << 20;

/// A home of Bob's on a disk of so many MiB.
fn bob_on(mib: usize) -> Option<(SmallDisk, Home)> {
    let disk = SmallDisk::mount()?;
    disk.grow_to(mib);
    let bob = Home::new_in(disk.path(), "bob");
    Some((disk, bob))
}

fn serve(bob: &Home, keep_free: &str) -> Node {
    bob.serve_with(&["--listen", "127.0.0.1:0", "--keep-free", keep_free])
}

/// Mallory, whom Bob has restricted as far as he can.
fn mallory(bob: &Home) -> Rogue {
    let mallory = Rogue::new(13);
    bob.run(&["peers", "add", "mallory", &mallory.key()]);
    bob.run(&["peers", "set", "mallory", "files=refuse", "quota=1k"]);
    mallory
}

/// Says large things until it is turned away; gives how many bytes were acknowledged.
fn flood(mut line: Line, most: usize) -> usize {
    line.expect(&Message::Held(0));
    let text = vec![b'x'; MIB];
    for number in 1.. {
        line.say(&Message::Text { number, said: None, text: &text });
        match line.read().expect("a goodbye").0 {
            9 => assert!(number as usize * MIB <= most, "it takes more than {most} bytes"),
            3 => return (number as usize - 1) * MIB,
            other => panic!("{other}"),
        }
    }
    unreachable!()
}

fn refused(mallory: &Rogue, node: &Node, key: &str) -> bool {
    let mut line = mallory.dial(&node.addr, key, Kind::Push);
    line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
    line.read().is_some_and(|(kind, body)| {
        kind == Message::Refused(Refusal::Busy).kind() && body == [Refusal::Busy as u8]
    })
}

/// The answer does not say why, so the sender names what it may be, and where to look.
#[test]
fn a_sender_of_messages_hears_that_the_disk_may_be_full() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = serve(&bob, "1000000T");
    alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let said = alice.ends_with(&["say", "bob", "hello"], b"", 0).1;
    let why = "bob refuses for now: too many connections, or no room on its disk";
    assert!(said.contains(why), "{said}");
    let said = alice.fails(&["fetch", "--strict"], 69);
    assert!(said.contains(why) && said.contains("look at the output of the node there"), "{said}");
}

#[test]
fn a_peer_that_floods_gets_a_share_of_the_room() {
    let Some((_disk, bob)) = bob_on(64) else { return };
    let mallory = mallory(&bob);
    let node = serve(&bob, "4M");
    let alice = Home::new("alice");
    pair(&bob, &alice);
    let taken = flood(mallory.session(&node.addr, &bob.key(), Kind::Push), 16 * MIB);
    assert!(taken >= 14 * MIB, "{taken}");
    node.wait_to_say("the messages of mallory have filled");
    // She is not let in to try the same again, and the others are.
    assert!((0..3).all(|_| refused(&mallory, &node, &bob.key())));
    alice.run(&["say", "--wait", "30s", "bob", "hello"]);
    alice.run(&["send", "bob", &alice.file("small", b"x")]);
    assert_eq!(node.said().matches("have filled").count(), 1, "{}", node.said());
}

#[test]
fn room_is_kept_free_of_messages_which_wait_for_more() {
    let Some((disk, bob)) = bob_on(8) else { return };
    let mut node = serve(&bob, "4M");
    let alice = Home::new("alice");
    pair(&bob, &alice);
    let _alice_node = alice.serve();
    let lines: Vec<String> = (0..80).map(|number| format!("{number} {}", "x".repeat(100 << 10))).collect();
    alice.pipe(&["say", "--lines", "bob"], lines.join("\n").as_bytes());
    node.wait_to_say("there is no more room than what is kept free");
    assert!(node.is_running());
    let free = free_bytes(disk.path()).unwrap() as usize;
    assert!((3 * MIB..=4 * MIB + 2 * MIB).contains(&free), "{free}");
    // The node knows of the room before its next second is over, and Alice tries again.
    disk.grow_to(64);
    poll_until("all that was said", || {
        retry(&alice);
        (bob.received().len() == lines.len()).then_some(())
    });
    assert_eq!(bob.received(), lines);
}

#[test]
fn room_is_kept_free_of_files_and_of_streams() {
    let Some((disk, bob)) = bob_on(32) else { return };
    let mut node = serve(&bob, "16M");
    let alice = Home::new("alice");
    pair(&bob, &alice);
    let free = || free_bytes(disk.path()).unwrap() as usize;
    let file = alice.file("large", sample(17 * MIB));
    let said = alice.cmd(&["send", "bob", &file]).output().unwrap();
    assert!(!said.status.success() && free() > 24 * MIB, "{said:?}");
    let mut sending = Process::start(alice.cmd(&["send", "bob", "-"]));
    sending.write(&sample(24 * MIB));
    let (code, _, said) = sending.end();
    assert!(code.is_some_and(|code| code != 0), "{said}");
    // What no other try goes on from is gone again.
    poll_until("the room of the stream", || (free() > 24 * MIB).then_some(()));
    alice.run(&["send", "bob", &alice.file("small", sample(MIB))]);
    assert!(node.is_running());
}

#[test]
fn what_is_fetched_leaves_room_free() {
    let Some((disk, bob)) = bob_on(8) else { return };
    let alice = Home::new("alice");
    let node = alice.serve();
    pair(&alice, &bob);
    let lines: Vec<String> = (0..80).map(|number| format!("{number} {}", "x".repeat(100 << 10))).collect();
    alice.pipe(&["say", "--lines", "bob"], lines.join("\n").as_bytes());
    poll_until("the room to be used up", || {
        let ended = bob.cmd(&["fetch"]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        (ended.status.code() == Some(74) && said.contains("there is no more room than what is kept free"))
            .then_some(())
    });
    // A twentieth of 8 MiB.
    let free = free_bytes(disk.path()).unwrap() as usize;
    assert!((300 << 10..2 * MIB).contains(&free), "{free}");
    disk.grow_to(64);
    poll_until("the rest", || {
        bob.cmd(&["fetch"]).output().unwrap();
        (bob.received().len() == lines.len()).then_some(())
    });
    assert_eq!(bob.received(), lines);
    drop(node);
}

/// Mallory's transfer has begun, and she takes her time.
#[test]
fn room_that_one_transfer_needs_is_not_given_to_another() {
    let Some((_disk, bob)) = bob_on(32) else { return };
    let mallory = Rogue::new(13);
    bob.run(&["peers", "add", "mallory", &mallory.key()]);
    let node = serve(&bob, "16M");
    let alice = Home::new("alice");
    pair(&bob, &alice);
    let mut line = mallory.session(&node.addr, &bob.key(), Kind::Files);
    line.offer(&[rogue_file("slow", 10 * MIB as u64)]);
    assert_eq!(line.read().unwrap().0, 18, "TAKE");
    let file = alice.file("large", sample(10 * MIB));
    let output = alice.cmd(&["send", "bob", &file]).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    alice.run(&["send", "bob", &alice.file("small", sample(MIB))]);
    line.hang_up();
    // Her parts are promised nothing once she is gone.
    poll_until("the room of a sender that is gone", || {
        alice.cmd(&["send", "bob", &file]).output().unwrap().status.success().then_some(())
    });
}

/// Tries again now, with or without success.
fn retry(home: &Home) {
    home.cmd(&["outbox", "retry", "bob"]).output().unwrap();
}

/// Leaves no room on a disk.
fn fill(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("ballast");
    let mut file = File::create(&path).unwrap();
    while file.write_all(&[0; 1 << 10]).is_ok() {}
    path
}

#[test]
fn a_node_whose_disk_is_full_lives_on() {
    let Some((disk, bob)) = bob_on(8) else { return };
    let (alice, carol) = (Home::new("alice"), Home::new("carol"));
    let mut node = serve(&bob, "0");
    pair(&bob, &alice);
    pair(&bob, &carol);
    let ballast = fill(disk.path());
    for home in [&alice, &carol] {
        let said = home.ends_with(&["say", "bob", "hello"], b"", 0).1;
        assert!(said.contains("queued for bob"), "{said}");
    }
    node.wait_to_say("no space left on device");
    for _ in 0..3 {
        alice.fails(&["outbox", "retry", "bob"], 69);
    }
    assert!(node.is_running());
    assert_eq!(node.said().matches("no space left").count(), 1, "{}", node.said());
    fs::remove_file(ballast).unwrap();
    for home in [&alice, &carol] {
        poll_until("it to be delivered", || {
            retry(home);
            (home.delivered() == ["hello"]).then_some(())
        });
    }
}

#[test]
fn a_node_starts_on_a_full_disk_and_is_found_when_there_is_room() {
    let Some((disk, bob)) = bob_on(8) else { return };
    let alice = Home::new("alice");
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let hook = bob.script("hook", "cat >/dev/null");
    let ballast = fill(disk.path());
    let mut node = bob.serve_with(&["--listen", "127.0.0.1:0", "--keep-free", "0", "--on-message", &hook]);
    alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
    node.wait_to_say("no space left on device");
    assert!(node.is_running());
    fs::remove_file(ballast).unwrap();
    poll_until("the node to be found", || {
        let (out, _) = bob.ends_with(&["status"], b"", 0);
        out.contains("listening").then_some(())
    });
    alice.run(&["say", "--wait", "30s", "bob", "hello"]);
    node.wait_for("hook for message");
}

/// A script that repeats a failed command would say or send it twice; and a link that nobody has seen is good for nobody.
#[test]
fn what_is_done_is_done_though_stdout_is_full() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    bob.run(&["peers", "add", "alice", &alice.key()]);
    alice.run(&["peers", "add", "bob", &bob.key(), &node.addr]);
    let file = alice.file("file", "x");
    let end = |args: &[&str]| {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = alice.cmd(args).stdout(full).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for args in [&["--json", "say", "--wait", "30s", "bob", "hello"][..], &["--json", "send", "bob", &file]] {
        let (code, said) = end(args);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("it is done, but stdout cannot be written: no space left on device"), "{said}");
    }
    let (code, said) = end(&["invite", "--addr", "127.0.0.1:1"]);
    assert!(code == Some(74) && said.contains("the invite was taken back"), "{said}");
    assert_eq!(fs::read_to_string(alice.path("invites")).unwrap(), "");
}

#[test]
fn a_node_outlives_its_output() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let command = bob.cmd(&["serve", "--listen", "127.0.0.1:0"]);
    let node = Process::start_between(command, std::process::Stdio::null(), full.into());
    node.wait_to_say("cannot write stdout: no space left on device; the node runs on");
    let status = poll_until("the node to listen", || {
        let out = bob.cmd(&["status"]).output().unwrap();
        out.status
            .success()
            .then(|| String::from_utf8(out.stdout).unwrap())
            .filter(|out| out.contains("listening"))
    });
    let addr = status.lines().find_map(|line| line.strip_prefix("listening")).unwrap().trim().to_owned();
    bob.run(&["peers", "add", "alice", &alice.key()]);
    alice.run(&["peers", "add", "bob", &bob.key(), &addr]);
    alice.run(&["say", "--wait", "30s", "bob", "hello"]);
    assert_eq!(node.said().matches("cannot write stdout").count(), 1, "{}", node.said());
}

/// Standard output on a disk that is full for a while.
#[test]
fn what_the_output_left_out_is_counted() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let journal = disk.path().join("journal");
    let ballast = fill(disk.path());
    let out = File::create(&journal).unwrap();
    let command = bob.cmd(&["serve", "--listen", "127.0.0.1:0"]);
    let node = Process::start_between(command, std::process::Stdio::null(), out.into());
    node.wait_to_say("the node runs on");
    let status = poll_until("the node to listen", || {
        let out = bob.cmd(&["status"]).output().unwrap();
        out.status
            .success()
            .then(|| String::from_utf8(out.stdout).unwrap())
            .filter(|out| out.contains("listening"))
    });
    let addr = status.lines().find_map(|line| line.strip_prefix("listening")).unwrap().trim().to_owned();
    alice.run(&["peers", "add", "bob", &bob.key(), &addr]);
    fs::remove_file(ballast).unwrap();
    alice.run(&["say", "--wait", "30s", "bob", "hello"]);
    node.wait_to_say("stdout takes lines again; 1 were left out");
    let text = poll_until("the line", || {
        let text = fs::read_to_string(&journal).unwrap();
        text.contains("message from alice").then_some(text)
    });
    assert!(text.lines().any(|line| line.ends_with(" message from alice (5 B)")), "{text}");
    assert!(!text.contains("hello"), "{text}");
}

/// Names cost room as well: directories and empty files on the disk where they land, and what the home notes of each.
#[test]
fn room_is_kept_free_of_names() {
    let Some((disk, bob)) = bob_on(16) else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let mallory = Rogue::new(13);
    bob.run(&["peers", "add", "mallory", &mallory.key()]);
    let key = bob.key();
    let declined = |node: &Node, entries: &[Entry]| {
        let free = free_bytes(disk.path());
        let mut line = mallory.session(&node.addr, &key, Kind::Files);
        line.offer(entries);
        loop {
            let (kind, body) = line.read().unwrap();
            if kind != Message::Ping.kind() {
                assert_eq!(Message::decode(kind, &body), Ok(Message::Decline(Declined::Full)));
                break;
            }
        }
        assert!(free_bytes(disk.path()) >= free.map(|free| free - MIB as u64));
    };
    let directories: Vec<Entry> = (0..4000).map(|number| rogue_dir(number.to_string())).collect();
    declined(&serve(&bob, "8M"), &directories);
    let args = ["--listen", "127.0.0.1:0", "--keep-free", "8M", "--downloads"];
    let node = bob.serve_with(&[&args[..], &[elsewhere.path().to_str().unwrap()]].concat());
    let files: Vec<Entry> = (0..20000).map(|number| rogue_file(format!("{number:0>250}"), 0)).collect();
    declined(&node, &files);
    // Notes have three bytes for each that is not ASCII.
    let files: Vec<Entry> =
        (0..7500).map(|number| rogue_file(format!("{}{number:0>5}", "\u{634}".repeat(125)), 0)).collect();
    declined(&node, &files);
    // Others are served.
    let alice = Home::new("alice");
    pair(&bob, &alice);
    alice.run(&["send", "bob", &alice.file("small", b"x")]);
}

/// A pipe, or a terminal that was stopped by Ctrl-S, takes what fits in it and no more.
#[test]
fn a_node_whose_output_nobody_reads_goes_on() {
    for (is_stdout, mut number) in [(true, 1), (false, 1)] {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let mallory = Rogue::new(13);
        bob.run(&["peers", "add", "alice", &alice.key()]);
        bob.run(&["peers", "add", "mallory", &mallory.key()]);
        bob.run(&["peers", "set", "mallory", "files=refuse"]);
        let (mut unread, full) = std::io::pipe().unwrap();
        let mut command = bob.cmd(&["serve", "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null());
        if is_stdout {
            command.stdout(full).stderr(Stdio::null())
        } else {
            command.stdout(Stdio::null()).stderr(full)
        };
        let mut node = command.spawn().unwrap();
        drop(command);
        let addr = poll_until("the node to listen", || {
            let out = String::from_utf8(bob.cmd(&["status"]).output().unwrap().stdout).unwrap();
            out.lines().find_map(|line| Some(line.strip_prefix("listening")?.trim().to_owned()))
        });
        let key = bob.key();
        if is_stdout {
            let mut line = mallory.session(&addr, &key, Kind::Push);
            line.expect(&Message::Held(0));
            // A line of 26 bytes for each.
            while number < 3000 {
                line.say(&Message::Text { number, said: None, text: b"x" });
                line.expect(&Message::Ack(number));
                number += 1;
            }
        } else {
            // A line of some 170 bytes for each.
            while number < 600 {
                let mut line = mallory.session(&addr, &key, Kind::Files);
                line.offer(&[rogue_file("x".repeat(100), 0)]);
                line.expect_end();
                number += 1;
            }
        }
        alice.run(&["peers", "add", "bob", &key, &addr]);
        for text in ["one", "two"] {
            alice.run(&["say", "--wait", "20s", "bob", text]);
        }
        // What comes when somebody reads again is told.
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            unread.read_to_string(&mut text).map(|_| text)
        });
        if is_stdout {
            alice.run(&["say", "--wait", "20s", "bob", "three"]);
        }
        node.kill().unwrap();
        node.wait().unwrap();
        let text = reading.join().unwrap().unwrap();
        assert!(text.lines().count() > 300, "{text}");
    }
}
