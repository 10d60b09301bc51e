//! Directories: all that can travel arrives as it was, and nothing else comes along, is followed, or is replaced unasked.

use crate::common;

use common::files::{landed_in, names_in, sample, set_time, staged_in};
use common::route::{Route, fast_dir};
use common::tree::{all_in, as_received, put};
use common::{Home, Process};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, mode);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_tree_arrives_with_times_and_the_bit_that_matters() {
    let route = Route::new();
    let cwd = route.alice.path("cwd");
    let (dir, other) = (cwd.join("dir"), cwd.join("other"));
    put(&dir.join("a/script"), b"#!/bin/sh\n");
    put(&dir.join("a/large"), &sample(700_000));
    put(&dir.join("nothing"), b"");
    put(&dir.join("b/.hidden"), b"h");
    put(&dir.join("b/ \u{e4}\u{1f410} -rf ~"), b"odd");
    put(&other.join("file"), b"f");
    put(&cwd.join("z"), b"z");
    for empty in ["dir/empty", "dir/e/m/p/t/y"] {
        fs::create_dir_all(cwd.join(empty)).unwrap();
    }
    let modes = [
        ("dir/a/script", 0o4755),
        ("dir/a/large", 0o2611),
        ("dir/nothing", 0o7777),
        ("dir/b/.hidden", 0o400),
        ("dir/b", 0o3777),
        ("dir/empty", 0o500),
        ("other/file", 0o666),
        ("z", 0o1100),
        ("dir/e", 0o2755),
        ("dir", 0o1777),
    ];
    for (path, mode) in modes {
        set_mode(&cwd.join(path), mode);
    }
    // The directories last: who adds to one changes its time.
    let paths: Vec<PathBuf> = all_in(&cwd).into_keys().collect();
    for (n, path) in paths.iter().rev().enumerate() {
        let seconds = Duration::new(1_000_000_007 * (n as u64 % 3) + n as u64, 123_456_789 + n as u32);
        let time = if n % 5 == 0 { UNIX_EPOCH - seconds / 10 } else { UNIX_EPOCH + seconds };
        set_time(&cwd.join(path), time);
        assert_eq!(fs::metadata(cwd.join(path)).unwrap().modified().unwrap(), time, "this disk keeps times");
    }

    let mut command = route.alice.cmd(&["--json", "send", "bob", "dir/", "other/file", "."]);
    let (code, out, said) = Process::start({
        command.current_dir(&cwd);
        command
    })
    .end();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        out.contains("\"files\":13,\"bytes\":1400031,") && out.contains("\"title\":\"dir and 2 more\""),
        "{out}"
    );
    assert_eq!(names_in(&route.landing), ["cwd", "dir", "file"]);
    for (sent, name) in [(&dir, "dir"), (&other.join("file"), "file"), (&cwd, "cwd")] {
        assert_eq!(all_in(&route.landing.join(name)), as_received(sent), "{name}");
    }
    let log = route.bob.run(&["log"]);
    for name in ["cwd", "dir", "file"] {
        let line = format!(" * alice sent {} (", route.landing.join(name).display());
        assert_eq!(log.lines().filter(|logged| logged.contains(&line)).count(), 1, "{log}");
    }
}

#[test]
fn what_the_user_names_may_be_a_link_and_have_another_name() {
    let route = Route::new();
    let dir = route.alice.path("real");
    put(&dir.join("file"), b"f");
    symlink(&dir, route.alice.path("link")).unwrap();
    let link = route.alice.path("link");
    let parent = dir.join("..");
    fs::create_dir(dir.join("sub")).unwrap();
    assert_eq!(route.send(&[text(&link)]).title, "link/");
    assert_eq!(route.send(&["--name", "third", text(&dir)]).title, "third/");
    assert_eq!(route.send(&[text(&dir.join("sub/.."))]).title, "real/");
    assert_eq!(names_in(&route.landing), ["link", "real", "third"]);
    for name in ["link", "real", "third"] {
        assert_eq!(all_in(&route.landing.join(name)), as_received(&dir), "{name}");
    }
    // Neither a path for a name, nor one name for two.
    for name in ["a/b", "..", "/etc/x", ""] {
        route.alice.fails(&["send", "bob", "--name", name, text(&dir)], 2);
    }
    route.alice.fails(&["send", "bob", "--name", "x", text(&dir), text(&parent)], 2);
    assert_eq!(names_in(&route.landing), ["link", "real", "third"]);
}

#[test]
fn links_and_pipes_stay_and_are_not_followed() {
    let route = Route::new();
    let dir = route.alice.path("dir");
    put(&dir.join("sub/file"), b"f");
    put(&route.alice.path("secret/key"), b"secret");
    symlink("../secret", dir.join("a link to a dir")).unwrap();
    symlink("../../secret/key", dir.join("sub/b link")).unwrap();
    symlink("nowhere", dir.join("c dangling")).unwrap();
    symlink(".", dir.join("d loop")).unwrap();
    assert!(Command::new("mkfifo").arg(dir.join("e fifo")).status().unwrap().success());
    let _socket = UnixListener::bind(dir.join("f socket")).unwrap();
    let (_, said) = route.alice.ends_with(&["send", "bob", text(&dir)], b"", 0);
    let [first, second, third] = ["a link to a dir", "c dangling", "d loop"].map(|name| dir.join(name));
    let told = format!(
        "egoat: left out 4 symbolic links, 1 named pipe and 1 socket: {}, {}, {} and 3 more\n",
        first.display(),
        second.display(),
        third.display()
    );
    assert_eq!(said.matches("left out").count(), 1, "{said}");
    assert!(said.contains(&told), "{said}");
    assert_eq!(names_in(&route.landing.join("dir")), ["sub"]);
    assert_eq!(names_in(&route.landing.join("dir/sub")), ["file"]);
    // They never travel, so that is no warning; programs get all of them.
    let (line, said) = route.alice.ends_with(&["-q", "--json", "send", "bob", text(&dir)], b"", 0);
    assert_eq!(said, "");
    let list = line.split("\"left_out\":[").nth(1).unwrap();
    assert!(list.contains(text(&dir.join("sub/b link"))) && list.matches(text(&dir)).count() == 6, "{line}");

    // Named by the user, a pipe is an error and does not block.
    let said = route.alice.fails(&["send", "bob", text(&dir.join("e fifo"))], 1);
    assert!(said.contains("it is neither a regular file nor a directory"), "{said}");
    let said = route.alice.fails(&["send", "bob", text(&dir.join("c dangling"))], 1);
    assert!(said.contains("no such file"), "{said}");
}

/// Runs `send` without the right of root to read everything; `None` where that cannot be had.
fn send_as_anybody(home: &Home, path: &Path) -> Option<(Option<i32>, String)> {
    let send = home.cmd(&["send", "bob", text(path)]);
    let mut command = if File::open(path).is_err() || fs::read_dir(path).is_err() {
        Command::new(send.get_program())
    } else {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--"]);
        command.arg(send.get_program());
        command
    };
    command.args(send.get_args());
    let ran = command.output().ok()?;
    Some((ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned()))
}

/// Nobody listens where bob is: whoever dials ends with 69.
#[test]
fn what_cannot_travel_is_an_error_before_anybody_is_dialled() {
    let home = Home::new("alice");
    home.run(&["peers", "add", "bob", &Home::new("bob").key(), "127.0.0.1:1"]);
    let refused = |paths: &[&Path], why: &str| {
        let args: Vec<&str> =
            ["send", "bob"].into_iter().chain(paths.iter().map(|path| text(path))).collect();
        let said = home.fails(&args, 1);
        assert!(said.contains("cannot ") && said.contains(why), "{paths:?}: {said}");
    };
    let dir = home.path("dir");
    put(&dir.join("good"), b"");
    let path = dir.join("sub/esc\x1b[2J");
    put(&path.join("x"), b"");
    refused(&[&dir], "contains a control character");
    fs::remove_dir_all(dir.join("sub")).unwrap();
    let path = dir.join("sub").join(OsStr::from_bytes(b"a\xffb"));
    put(&path, b"");
    refused(&[&dir], "it is not UTF-8");
    fs::remove_file(&path).unwrap();
    // Two of one name.
    put(&home.path("else/good"), b"");
    put(&home.path("else/dir/x"), b"");
    refused(&[&dir.join("good"), &home.path("else/good")], "good: it is listed twice");
    refused(&[&dir, &home.path("else/dir")], "dir: it is listed twice");
    refused(&[&dir, &dir], "dir: it is listed twice");
    put(&home.path("file/dir"), b"");
    refused(&[&dir, &home.path("file/dir")], "dir: it is listed both as a file and as a directory");

    let deep: PathBuf = (0..31).map(|_| "d").collect();
    put(&dir.join(&deep).join("file"), b"");
    refused(&[&dir], "the path has more than 32 parts");
    fs::create_dir(dir.join(&deep).join("d")).unwrap();
    fs::remove_file(dir.join(&deep).join("file")).unwrap();
    refused(&[&dir], "it is more than 32 directories deep");
    fs::remove_dir_all(dir.join("d")).unwrap();

    home.fails(&["send", "bob", text(&dir)], 69);
}

#[test]
fn what_cannot_be_read_is_an_error_before_anybody_is_dialled() {
    let home = Home::new("alice");
    home.run(&["peers", "add", "bob", &Home::new("bob").key(), "127.0.0.1:1"]);
    let dir = home.path("dir");
    put(&dir.join("sub/secret"), b"");
    match send_as_anybody(&home, &dir) {
        Some((Some(69), _)) => {}
        other => return crate::common::skip(format!("setpriv is missing, or does not work here: {other:?}")),
    }
    for path in ["sub/secret", "sub"] {
        set_mode(&dir.join(path), 0);
        let (code, said) = send_as_anybody(&home, &dir).unwrap();
        assert!(
            code == Some(1) && said.contains("cannot send ") && said.contains("permission denied"),
            "{said}"
        );
        set_mode(&dir.join(path), 0o700);
    }
}

#[test]
fn ten_thousand_small_files_arrive() {
    let route = Route::new();
    let dir = route.alice.path("many");
    for n in 0..10_000_usize {
        let path = dir.join(format!("{}/{n}", n % 100));
        if n < 100 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::write(path, n.to_string().repeat(n % 50)).unwrap();
    }
    let sent = route.send(&[text(&dir)]);
    assert_eq!((sent.files, sent.title.as_str()), (10_000, "many/"));
    // The manifest, the bytes, and little else: no round trip for each file.
    assert!(sent.wire < sent.bytes + 10_000 * 40 + (64 << 10), "{sent:?}");
    assert!(all_in(&route.landing.join("many")) == as_received(&dir));
}

#[test]
fn deep_and_long_paths_arrive() {
    let route = Route::new();
    let dir = route.alice.path("deep");
    let deep: PathBuf = (0..30).map(|_| "d").collect();
    put(&dir.join(&deep).join("file"), b"at the bottom");
    // As long as a name can be, and as long as a path can be.
    let long: PathBuf = (0..3).map(|n| format!("{n}").repeat(255)).collect();
    put(&dir.join(&long).join("x".repeat(1024 - 5 - 3 * 256)), b"long");
    put(&dir.join("y".repeat(255)), b"");
    let last = route.alice.file(&format!("{}.tar.gz", "z".repeat(248)), "a");
    route.send(&[text(&dir), &last]);
    assert_eq!(all_in(&route.landing.join("deep")), as_received(&dir));
    // There is always another name.
    route.send(&[&last]);
    assert_eq!(
        names_in(&route.landing),
        ["deep".to_owned(), format!("{} (1).tar.gz", "z".repeat(244)), format!("{}.tar.gz", "z".repeat(248))]
    );
}

#[test]
fn a_tree_gets_another_name_when_its_own_is_taken() {
    let route = Route::new();
    let dir = route.alice.path("dir.d");
    put(&dir.join("sub/file"), b"new");
    let elsewhere = route.bob.path("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let before = all_in(&elsewhere);
    // Something, nothing, a file, a link.
    put(&route.landing.join("dir.d/sub/file"), b"old");
    fs::create_dir(route.landing.join("dir (1).d")).unwrap();
    fs::write(route.landing.join("dir (2).d"), "a file").unwrap();
    symlink(&elsewhere, route.landing.join("dir (3).d")).unwrap();
    symlink("nowhere", route.landing.join("dir (4).d")).unwrap();
    route.send(&[text(&dir)]);
    let mut expected: Vec<String> = (1..=5).map(|n| format!("dir ({n}).d")).collect();
    expected.push("dir.d".into());
    assert_eq!(names_in(&route.landing), expected);
    assert_eq!(all_in(&route.landing.join("dir (5).d")), as_received(&dir));
    assert_eq!(fs::read_to_string(route.landing.join("dir.d/sub/file")).unwrap(), "old");
    assert!(names_in(&route.landing.join("dir (1).d")).is_empty());
    assert_eq!(all_in(&elsewhere), before);
}

#[test]
fn an_empty_tree_arrives() {
    let route = Route::new();
    let dir = route.alice.path("dir");
    fs::create_dir_all(dir.join("a/b")).unwrap();
    fs::create_dir_all(dir.join("c")).unwrap();
    let sent = route.send(&[text(&dir)]);
    assert_eq!((sent.files, sent.bytes, sent.title.as_str()), (0, 0, "dir/"));
    assert_eq!(all_in(&route.landing.join("dir")), as_received(&dir));
}

/// Bob's folder as `tree` makes it before Alice sends hers into it, to a node that is to overwrite.
fn overwritten(tree: impl FnOnce(&Path), code: i32) -> (Route, String) {
    let route = Route::with(&["--overwrite"]);
    let dir = route.alice.path("dir");
    put(&dir.join("a"), b"new");
    put(&dir.join("sub/b"), b"new");
    put(&dir.join("sub/c"), b"new");
    put(&dir.join("z"), b"new");
    put(&route.bob.path("elsewhere/b"), b"mine");
    put(&route.landing.join("dir/kept"), b"old");
    put(&route.landing.join("dir/a"), b"old");
    put(&route.landing.join("dir/z"), b"old");
    tree(&route.landing.join("dir"));
    let said = route.alice.fails(&["send", "bob", text(&dir)], code);
    assert_eq!(fs::read_to_string(route.bob.path("elsewhere/b")).unwrap(), "mine");
    assert_eq!(names_in(&route.bob.path("elsewhere")), ["b"]);
    assert_eq!(fs::read_to_string(route.landing.join("dir/kept")).unwrap(), "old");
    assert_eq!(landed_in(&route.landing), ["dir"]);
    (route, said)
}

#[test]
fn a_receiver_that_overwrites_has_the_new_files_among_its_own() {
    let elsewhere = |dir: &Path| dir.ancestors().nth(3).unwrap().join("elsewhere");
    let (route, _) = overwritten(
        |dir| {
            put(&dir.join("sub/d"), b"old");
            put(&dir.join("sub/c"), b"old");
            set_mode(&dir.join("sub"), 0o750);
            // The link is replaced, and not what it leads to.
            symlink(elsewhere(dir).join("b"), dir.join("sub/b")).unwrap();
            fs::remove_file(dir.join("a")).unwrap();
            symlink("nowhere", dir.join("a")).unwrap();
        },
        0,
    );
    let dir = route.landing.join("dir");
    assert_eq!(names_in(&dir), ["a", "kept", "sub", "z"]);
    assert_eq!(names_in(&dir.join("sub")), ["b", "c", "d"]);
    for (path, content) in [("a", "new"), ("sub/b", "new"), ("sub/c", "new"), ("sub/d", "old"), ("z", "new")]
    {
        assert!(fs::symlink_metadata(dir.join(path)).unwrap().is_file(), "{path}");
        assert_eq!(fs::read_to_string(dir.join(path)).unwrap(), content, "{path}");
    }
    assert_eq!(fs::metadata(dir.join("sub")).unwrap().mode() & 0o777, 0o750);
    assert!(staged_in(&route.landing).is_empty());
    // A file at the top.
    for content in ["one", "another"] {
        route.send(&[&route.alice.file("file", content)]);
        assert_eq!(fs::read_to_string(route.landing.join("file")).unwrap(), content);
    }
    assert_eq!(names_in(&route.landing), ["dir", "file"]);
}

#[test]
fn overwriting_follows_no_link_to_a_directory() {
    let (route, said) = overwritten(
        |dir| symlink(dir.ancestors().nth(3).unwrap().join("elsewhere"), dir.join("sub")).unwrap(),
        77,
    );
    assert!(said.contains("a file there has the name of a directory"), "{said}");
    assert!(fs::symlink_metadata(route.landing.join("dir/sub")).unwrap().is_symlink());

    // Nor at the top.
    let route = Route::with(&["--overwrite"]);
    put(&route.bob.path("elsewhere/file"), b"mine");
    fs::create_dir_all(&route.landing).unwrap();
    symlink(route.bob.path("elsewhere"), route.landing.join("dir")).unwrap();
    put(&route.alice.path("dir/file"), b"new");
    route.alice.fails(&["send", "bob", text(&route.alice.path("dir"))], 77);
    assert_eq!(fs::read_to_string(route.bob.path("elsewhere/file")).unwrap(), "mine");
    // A file replaces the link.
    fs::remove_dir_all(route.alice.path("dir")).unwrap();
    route.send(&[&route.alice.file("dir", "a file")]);
    assert!(fs::symlink_metadata(route.landing.join("dir")).unwrap().is_file());
    assert_eq!(fs::read_to_string(route.bob.path("elsewhere/file")).unwrap(), "mine");
}

#[test]
fn no_directory_makes_room_for_a_file_nor_the_other_way_round() {
    let (route, _) = overwritten(|dir| put(&dir.join("sub/b/file"), b"old"), 77);
    assert_eq!(fs::read_to_string(route.landing.join("dir/sub/b/file")).unwrap(), "old");
    let (route, _) = overwritten(|dir| put(&dir.join("sub"), b"old"), 77);
    assert_eq!(fs::read_to_string(route.landing.join("dir/sub")).unwrap(), "old");

    // An empty one neither.
    let route = Route::with(&["--overwrite"]);
    fs::create_dir_all(route.landing.join("x")).unwrap();
    fs::write(route.landing.join("y"), "old").unwrap();
    route.alice.fails(&["send", "bob", &route.alice.file("x", "file")], 77);
    assert!(route.landing.join("x").is_dir());
    fs::create_dir(route.alice.path("y")).unwrap();
    route.alice.fails(&["send", "bob", text(&route.alice.path("y"))], 77);
    assert_eq!(fs::read_to_string(route.landing.join("y")).unwrap(), "old");
}

#[test]
fn a_one_off_receiver_overwrites_if_it_is_told_to() {
    let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
    let into = bob.path("into");
    put(&alice.path("dir/file"), b"new");
    put(&into.join("dir/file"), b"old");
    put(&into.join("dir/kept"), b"old");
    let dir = alice.path("dir");
    for (flag, file, names) in
        [("--overwrite", "new", vec!["dir"]), ("--accept-new", "new", vec!["dir", "dir (1)"])]
    {
        let args = ["receive", "--listen", "127.0.0.1:0", "--into", text(&into), flag];
        let mut receive = Process::start(bob.cmd(&args));
        let link = receive.wait_for("egoat:");
        alice.run(&["send", &link, text(&dir)]);
        let (code, out, _) = receive.end();
        assert_eq!((code, out), (Some(0), format!("{}\n", into.join(names.last().unwrap()).display())));
        assert_eq!(names_in(&into), names);
        assert_eq!(fs::read_to_string(into.join("dir/file")).unwrap(), file);
    }
    assert_eq!(names_in(&into.join("dir")), ["file", "kept"]);
    assert_eq!(names_in(&into.join("dir (1)")), ["file"]);
}
