//! Files that a browser hands over: one job with all of it, or nothing; and what is left of an upload in the home.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::client::{Answer, Window, connect, form};
use crate::common::{Home, json_text, paired, poll_until};

/// Stores a file of an upload.
fn put(window: &Window, id: &str, number: u64, content: &[u8]) -> Answer {
    window.ask("PUT", &format!("/api/upload?id={id}&number={number}"), content)
}

fn begin(window: &Window) -> String {
    window.done("upload", &[])[0]["id"].as_str().unwrap().to_owned()
}

/// Commits these files, stored under 0, 1, ..., and directories, whose names end with a slash.
fn commit(window: &Window, id: &str, files: &[(&str, usize)]) -> Answer {
    let mut fields = vec![("id".to_owned(), id.to_owned()), ("peer".to_owned(), "bob".to_owned())];
    let mut number = 0;
    for (path, size) in files {
        match path.strip_suffix('/') {
            Some(dir) => fields.push(("dir".into(), dir.into())),
            None => {
                fields.push(("file".into(), (*path).into()));
                fields.push(("number".into(), number.to_string()));
                fields.push(("size".into(), size.to_string()));
                fields.push(("time".into(), "1700000000123".into()));
                number += 1;
            }
        }
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    window.post("commit", &fields)
}

/// The files below a directory, and what is in them; directories with a slash at the end.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.insert(format!("{name}/"), Vec::new());
            found.extend(
                tree(&entry.path()).into_iter().map(|(below, content)| (format!("{name}/{below}"), content)),
            );
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn uploads(home: &Home) -> usize {
    fs::read_dir(home.path("uploads")).map_or(0, |entries| entries.count())
}

fn jobs(home: &Home) -> Vec<String> {
    let waiting = home.run(&["--json", "outbox"]);
    waiting.lines().filter(|line| line.contains("file-queued")).map(str::to_owned).collect()
}

#[test]
fn a_drop_arrives_as_it_was_and_leaves_nothing_behind() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let window = Window::start(&alice);
    let id = begin(&window);
    let large = vec![7; 300_000];
    for (number, content) in [&b"one"[..], &large, b""].into_iter().enumerate() {
        assert_eq!(put(&window, &id, number as u64, content).status, 200);
    }
    // A file that was broken off is put once more, under the same number.
    assert_eq!(put(&window, &id, 0, b"first").status, 200);
    let answer = commit(
        &window,
        &id,
        &[("photos/a b.txt", 5), ("photos/x/\u{fc}", 300_000), ("c", 0), ("photos/empty/", 0)],
    );
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let number = answer.objects()[0]["number"].as_u64().unwrap();
    assert_eq!(answer.objects()[0]["size"], 300_005);
    poll_until("the files to arrive", || alice.run(&["--json", "log"]).contains("photos").then_some(()));
    let inbox = bob.path("downloads").join("alice");
    let expected = [
        ("c", &b""[..]),
        ("photos/", b""),
        ("photos/a b.txt", b"first"),
        ("photos/empty/", b""),
        ("photos/x/", b""),
        ("photos/x/\u{fc}", &large),
    ];
    let expected = expected.into_iter().map(|(path, content)| (path.to_owned(), content.to_vec()));
    assert_eq!(tree(&inbox), expected.collect());
    let time = fs::metadata(inbox.join("photos/a b.txt")).unwrap().modified().unwrap();
    assert_eq!(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_700_000_000);
    poll_until("the upload to go", || (uploads(&alice) == 0).then_some(()));
    assert!(jobs(&alice).is_empty(), "{number} still waits");
}

#[test]
fn only_whole_files_with_good_names_are_committed() {
    let (alice, alice_node, _bob, bob_node) = paired();
    drop((alice_node, bob_node));
    let window = Window::start(&alice);
    let id = begin(&window);
    put(&window, &id, 0, b"abc");
    for bad in ["../x", "/x", "a//b", "a/../b", ".", "a\u{1b}b", "", ".egoat-x/y"] {
        let answer = commit(&window, &id, &[(bad, 3)]);
        assert_eq!(answer.status, 400, "{bad:?}: {}", String::from_utf8_lossy(&answer.body));
    }
    for files in [&[("a", 4)][..], &[("a", 3), ("b", 0)], &[]] {
        assert_eq!(commit(&window, &id, files).status, 400, "{files:?}");
    }
    for fields in [
        &[("id", "../outbox"), ("peer", "bob"), ("file", "a"), ("number", "0"), ("size", "3"), ("time", "0")]
            [..],
        &[("id", &id), ("peer", "bob"), ("file", "a"), ("number", "x"), ("size", "3"), ("time", "0")],
        &[("id", &id), ("peer", "bob"), ("file", "a"), ("number", "0"), ("size", "3")],
        &[("id", &id), ("peer", "bob"), ("number", "0")],
    ] {
        assert_eq!(window.post("commit", fields).status, 400, "{fields:?}");
    }
    for (id, number) in
        [("", "0"), ("..", "0"), (".", "0"), ("nosuchupload", "0"), (&*id, "../0"), (&*id, "-1")]
    {
        let path = format!("/api/upload?{}", form(&[("id", id), ("number", number)]));
        assert_eq!(window.ask("PUT", &path, b"x").status, 400, "{id} {number}");
    }
    let without = window.head("PUT", &format!("/api/upload?id={id}&number=0"), "");
    assert_eq!(crate::client::raw(window.port, without.as_bytes()).unwrap().status, 411);
    assert!(jobs(&alice).is_empty());
    assert_eq!(commit(&window, &id, &[("a", 3)]).status, 200);
    assert_eq!(jobs(&alice).len(), 1);
    // What was committed goes with its job, and not before.
    assert_eq!(window.post("discard", &[("id", &id)]).status, 400);
    let number = crate::common::json_number(&jobs(&alice)[0], "number").to_string();
    window.done("cancel", &[("number", &number)]);
    assert_eq!(uploads(&alice), 0);
    let other = begin(&window);
    assert_eq!(uploads(&alice), 1);
    window.done("discard", &[("id", &other)]);
    assert_eq!(uploads(&alice), 0);
}

#[test]
fn an_upload_takes_no_room_that_is_to_stay_free() {
    let (alice, _alice_node, _bob, _bob_node) = paired();
    let window = Window::start_with(&alice, &["--keep-free", "1000T"]);
    let id = begin(&window);
    let answer = put(&window, &id, 0, b"abc");
    assert_eq!(answer.status, 507, "{}", String::from_utf8_lossy(&answer.body));
    assert!(answer.error().contains("no more room"), "{}", answer.error());
}

/// Whatever the instant at which the process is killed, the job is there as a whole or not at all.
#[test]
fn a_kill_leaves_the_job_whole_or_none() {
    let (alice, alice_node, _bob, bob_node) = paired();
    drop((alice_node, bob_node));
    let content = vec![3; 20_000];
    let mut random = crate::common::Random::seeded(11);
    for round in 0..crate::common::count(12, 300) {
        let mut window = Window::start(&alice);
        let (port, pause) = (window.port, random.below(30_000));
        let id = begin(&window);
        for number in 0..20 {
            assert_eq!(put(&window, &id, number, &content).status, 200);
        }
        let mut fields = format!("id={id}&peer=bob");
        for number in 0..20 {
            fields += &format!("&file=dir/d{number}/file&number={number}&size=20000&time=0");
        }
        let head = window.head("POST", "/api/commit", &format!("Content-Length: {}\r\n", fields.len()));
        let mut stream = connect(port);
        stream.write_all([head, fields].concat().as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(pause as u64));
        window.process.kill9();
        match &jobs(&alice)[..] {
            [] => {}
            [job] => {
                assert!(job.contains("\"state\":\"waiting\"") && job.contains("\"size\":400000"), "{job}");
                let dir = alice.path("uploads").join(&id).join("files/dir");
                assert_eq!(tree(&dir).values().filter(|file| **file == content).count(), 20, "round {round}");
                alice.run(&["outbox", "cancel", &crate::common::json_number(job, "number").to_string()]);
                assert!(!alice.path("uploads").join(&id).exists());
            }
            several => panic!("{several:?}"),
        }
    }
}

/// A PUT that is cut off leaves no file that could be committed.
#[test]
fn a_file_that_did_not_arrive_whole_is_none() {
    let (alice, _alice_node, _bob, _bob_node) = paired();
    let window = Window::start(&alice);
    let id = begin(&window);
    let dir = alice.path("uploads").join(&id);
    let head = window.head("PUT", &format!("/api/upload?id={id}&number=0"), "Content-Length: 100000\r\n");
    let mut stream = connect(window.port);
    stream.write_all(&[head.as_bytes(), &[1; 50_000]].concat()).unwrap();
    let files = || fs::read_dir(&dir).unwrap().count();
    poll_until("the file to begin", || (files() == 1).then_some(()));
    drop(stream);
    poll_until("its beginning to go", || (files() == 0).then_some(()));
    assert_eq!(commit(&window, &id, &[("a", 100_000)]).status, 400);
    let answer = put(&window, &id, 0, b"abc");
    assert_eq!(json_text(std::str::from_utf8(&answer.body).unwrap().trim(), "event"), "stored");
}

#[test]
fn an_upload_that_nobody_committed_goes_after_a_day() {
    let (alice, alice_node, _bob, bob_node) = paired();
    drop((alice_node, bob_node));
    let window = Window::start(&alice);
    let (old, new, waits) = (begin(&window), begin(&window), begin(&window));
    for id in [&old, &new, &waits] {
        assert_eq!(put(&window, id, 0, b"abc").status, 200);
    }
    assert_eq!(commit(&window, &waits, &[("a", 3)]).status, 200);
    let at = |id: &str| alice.path("uploads").join(id);
    for id in [&old, &waits] {
        assert!(Command::new("touch").args(["-d", "25 hours ago"]).arg(at(id)).status().unwrap().success());
    }
    assert!(Command::new("touch").args(["-d", "23 hours ago"]).arg(at(&new)).status().unwrap().success());
    assert!(home_stop(&alice));
    drop(window);
    let _again = Window::start(&alice);
    poll_until("the old one to go", || (!at(&old).exists()).then_some(()));
    assert!(at(&new).join("0").exists() && at(&waits).join("files/a").exists());
}

fn home_stop(home: &Home) -> bool {
    home.cmd(&["window", "--stop"]).output().unwrap().status.success()
}

#[test]
fn uploads_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (alice, _alice_node, _bob, _bob_node) = paired();
    let window = Window::start(&alice);
    let id = begin(&window);
    put(&window, &id, 0, b"abc");
    for path in ["uploads".to_owned(), format!("uploads/{id}"), format!("uploads/{id}/0")] {
        let mode = fs::metadata(alice.path(&path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}
