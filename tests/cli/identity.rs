//! Who a node is: the identity file, its passphrase, and the home around them.

use crate::common;

use common::tmux::Terminal;
use common::{EGOAT, Home, finish, json_text};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

fn mode(home: &Home, name: &str) -> u32 {
    fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777
}

/// The command with `lines` on the descriptor that is for passphrases.
fn with_passphrase(home: &Home, args: &[&str], lines: &str) -> Command {
    let file = home.file("passphrase", lines);
    let mut command = Command::new("sh");
    command.args(["-c", r#"EGOAT_PASSPHRASE_FD=3 exec "$0" "$@" 3<"$PASSPHRASES""#, EGOAT, "--home"]);
    command.arg(home.path("")).args(args).env("PASSPHRASES", file);
    command
}

#[test]
fn an_identity_is_made_on_first_use_and_stays() {
    let home = Home::new("alice");
    let first = home.run(&["id"]);
    assert_eq!(first, home.run(&["id"]));
    for field in
        ["name         alice\n", "key          ", "fingerprint  ", "address      ", "link         egoat:"]
    {
        assert!(first.contains(field), "{first}");
    }
    assert_ne!(home.key(), Home::new("alice").key());
}

#[test]
fn only_what_needs_a_home_makes_one() {
    let home = Home::new("alice");
    let (none, cursor) = (home.path("none"), home.path("cursor").display().to_string());
    let ended = |args: &[&str], code: i32| {
        let mut command = Command::new(EGOAT);
        command.arg("--home").arg(&none).args(args);
        finish(command, b"", code)
    };
    let looks: &[(i32, &[&str])] = &[
        (0, &["log"]),
        (0, &["log", "--unread"]),
        (0, &["log", "--cursor", &cursor]),
        (2, &["log", "bob"]),
        (0, &["peers"]),
        (0, &["peers", "--unread"]),
        (0, &["peers", "requests"]),
        (1, &["peers", "accept"]),
        (2, &["peers", "show", "bob"]),
        (2, &["peers", "set", "bob", "files=ask"]),
        (2, &["peers", "rename", "bob", "rob"]),
        (2, &["peers", "remove", "bob"]),
        (0, &["outbox"]),
        (1, &["outbox", "cancel", "1"]),
        (0, &["outbox", "retry"]),
        (0, &["fetch"]),
        (69, &["status"]),
        (0, &["partial"]),
        (0, &["partial", "remove", "--all"]),
        (0, &["doctor"]),
        (0, &["version"]),
        (2, &["say", "bob", "hi"]),
        (2, &["send", "bob", "file"]),
        (2, &["chat", "bob"]),
        (2, &["receive", "--from", "localhost"]),
    ];
    for (code, args) in looks {
        ended(args, *code);
        assert!(!none.exists(), "{args:?}");
    }
    assert!(ended(&["doctor"], 0).0.contains("skipped  home"));
    let said = ended(&["say", "bob", "hi"], 2).1;
    assert!(said.contains(&format!("no peer in {} is called bob", none.display())), "{said}");
    ended(&["id"], 0);
    assert!(none.join("identity").exists());
}

#[test]
fn only_its_owner_can_read_a_home() {
    let home = Home::new("alice");
    let mut command = Command::new(EGOAT);
    command.arg("--home").arg(home.path("inner")).arg("invite");
    finish(command, b"", 0);
    assert_eq!(mode(&home, "inner"), 0o700);
    for file in ["identity", "invites", "records.lock"] {
        assert_eq!(mode(&home, &format!("inner/{file}")), 0o600, "{file}");
    }
    let _node = home.serve();
    assert_eq!(mode(&home, "node.lock"), 0o600);
    for dir in ["history", "outbox"] {
        assert_eq!(mode(&home, &format!("inner/{dir}")), 0o700, "{dir}");
    }
}

#[test]
fn a_relative_xdg_data_home_is_ignored() {
    let around = tempfile::tempdir().unwrap();
    let id = |data: &std::path::Path| {
        let mut command = Command::new(EGOAT);
        command.arg("id").env_remove("EGOAT_HOME").env("HOME", around.path()).env("XDG_DATA_HOME", data);
        finish(
            {
                command.current_dir(around.path());
                command
            },
            b"",
            0,
        )
    };
    id("data".as_ref());
    assert!(!around.path().join("data").exists());
    assert!(around.path().join(".local/share/egoat/identity").exists());
    id(&around.path().join("data"));
    assert!(around.path().join("data/egoat/identity").exists());
}

#[test]
fn an_identity_that_others_can_read_is_refused() {
    let home = Home::new("alice");
    for exposed in [0o640, 0o604, 0o620] {
        fs::set_permissions(home.path("identity"), PermissionsExt::from_mode(exposed)).unwrap();
        let said = home.fails(&["id"], 74);
        assert!(
            said.contains("others can read it") && said.contains("hint: ") && said.contains("chmod 600"),
            "{said}"
        );
    }
    fs::set_permissions(home.path("identity"), PermissionsExt::from_mode(0o600)).unwrap();
    home.run(&["id"]);
}

#[test]
fn a_damaged_identity_is_refused_and_kept() {
    let home = Home::new("alice");
    fs::write(home.path("identity"), "E-Goat identity 1\nseed abc\n").unwrap();
    assert!(home.fails(&["id"], 1).contains("restore it from a backup"));
    assert_eq!(fs::read(home.path("identity")).unwrap(), b"E-Goat identity 1\nseed abc\n");
}

#[test]
fn a_passphrase_is_set_asked_for_and_removed() {
    let home = Home::new("alice");
    let before = home.key();
    finish(with_passphrase(&home, &["id", "--passphrase"], "correct horse\n"), b"", 0);
    assert_eq!(mode(&home, "identity"), 0o600);

    let (_, said) = finish(with_passphrase(&home, &["id"], "wrong\n"), b"", 1);
    assert!(said.contains("the passphrase is wrong"), "{said}");
    // A line a question: the passphrase as it is, and then the new one.
    finish(with_passphrase(&home, &["id", "--passphrase"], "correct horse\nbattery\n"), b"", 0);
    finish(with_passphrase(&home, &["id", "--passphrase"], "battery\n\n"), b"", 0);
    assert_eq!(home.key(), before);
}

#[test]
fn only_an_empty_line_removes_a_passphrase() {
    let home = Home::new("alice");
    finish(with_passphrase(&home, &["id", "--passphrase"], "goat\n"), b"", 0);
    let sealed = fs::read(home.path("identity")).unwrap();
    for (asked, lines) in [("id --passphrase", "goat\n"), ("id --passphrase", "goat"), ("id", "")] {
        let words: Vec<&str> = asked.split(' ').collect();
        let (_, said) = finish(with_passphrase(&home, &words, lines), b"", 1);
        assert_eq!(said, "egoat: error: no passphrase was given\n", "{asked} {lines:?}");
    }
    let Some(terminal) = Terminal::open(200) else { return };
    let dir = home.path("").to_str().unwrap().to_owned();
    terminal.type_line(&format!("'{EGOAT}' --home '{dir}' id --passphrase; echo ended:$?"));
    terminal.wait_for("egoat: passphrase:");
    terminal.type_line("goat");
    terminal.wait_for("egoat: new passphrase (empty for none):");
    terminal.tmux(&["send-keys", "C-d"]).unwrap();
    let screen = terminal.wait_for("ended:1");
    assert!(screen.contains("no passphrase was given") && !screen.contains("again:"), "{screen}");
    assert_eq!(fs::read(home.path("identity")).unwrap(), sealed);
}

#[test]
fn a_passphrase_that_cannot_be_asked_for_is_a_failure() {
    let home = Home::new("alice");
    finish(with_passphrase(&home, &["id", "--passphrase"], "x\n"), b"", 0);
    // A session of its own has no terminal.
    let mut command = Command::new("setsid");
    if Command::new("setsid").arg("--version").output().is_err() {
        crate::common::skip("there is no setsid here");
        return;
    }
    command.args(["--wait", EGOAT, "--home"]).arg(home.path("")).arg("id");
    let (_, said) = finish(command, b"", 1);
    assert!(said.contains("no terminal") && said.contains("EGOAT_PASSPHRASE_FD=3"), "{said}");

    let mut command = home.cmd(&["id"]);
    command.env("EGOAT_PASSPHRASE_FD", "three");
    let (_, said) = finish(command, b"", 2);
    assert!(said.contains("EGOAT_PASSPHRASE_FD"), "{said}");
}

/// What looks after a node has no passphrase.
#[test]
fn that_no_node_runs_is_known_without_the_passphrase() {
    let home = Home::new("alice");
    finish(with_passphrase(&home, &["id", "--passphrase"], "secret\n"), b"", 0);
    assert!(home.fails(&["status"], 69).contains("no node runs on "));
}

#[test]
fn a_typed_passphrase_is_not_shown() {
    let home = Home::new("alice");
    let before = home.key();
    let dir = home.path("").to_str().unwrap().to_owned();
    let Some(terminal) = Terminal::open(200) else { return };
    terminal.type_line(&format!("'{EGOAT}' --home '{dir}' id --passphrase; echo ended:$?"));
    terminal.wait_for("new passphrase (empty for none):");
    terminal.type_line("hidden-goat");
    terminal.wait_for("again:");
    terminal.type_line("hidden-goat");
    terminal.wait_for("ended:0");
    terminal.tmux(&["clear-history"]);
    terminal.type_line(&format!("clear; '{EGOAT}' --home '{dir}' id; echo ended:$(($? + 100))"));
    terminal.wait_for("egoat: passphrase:");
    terminal.type_line("hidden-goat");
    let screen = terminal.wait_for("ended:100");
    assert!(!screen.contains("hidden-goat"), "{screen}");
    // The terminal echoes again.
    terminal.type_line("echo visible-$((40 + 2))");
    let screen = terminal.wait_for("visible-42");
    assert!(screen.contains("echo visible-$((40 + 2))") && !screen.contains("hidden-goat"), "{screen}");

    let (seen, _) = finish(with_passphrase(&home, &["--json", "id"], "hidden-goat\n"), b"", 0);
    assert_eq!(json_text(&seen, "key"), before);
}

#[test]
fn a_passphrase_that_is_given_up_leaves_the_terminal_as_it_was() {
    let home = Home::new("alice");
    home.key();
    let identity = fs::read(home.path("identity")).unwrap();
    let dir = home.path("").to_str().unwrap().to_owned();
    for keys in [&["C-c"][..], &["h", "C-c"], &["C-z", "h", "Enter"], &["C-\\", "Enter"]] {
        let Some(terminal) = Terminal::open(200) else { return };
        let mode = |when: &str| {
            terminal.type_line(&format!("echo {when}:$?:$(stty -g)"));
            let screen = terminal.wait_for(&format!("\n{when}:"));
            screen.lines().find_map(|line| line.strip_prefix(when).map(str::to_owned)).unwrap()
        };
        let before = mode("before");
        terminal.type_line(&format!("'{EGOAT}' --home '{dir}' id --passphrase"));
        terminal.wait_for("egoat: new passphrase (empty for none):");
        terminal.tmux(&[&["send-keys"], keys].concat()).unwrap();
        // It reads no further: this is for the shell.
        assert_eq!(mode("after"), before.replacen(":0:", ":130:", 1), "{keys:?}");
    }
    assert_eq!(fs::read(home.path("identity")).unwrap(), identity);
}

#[test]
fn a_home_that_cannot_be_made_is_a_disk_error() {
    let mut command = Command::new(EGOAT);
    command.args(["--home", "/dev/null/home", "id"]);
    let (_, said) = finish(command, b"", 74);
    assert!(said.contains("cannot open /dev/null/home"), "{said}");
}

/// Paths in the home that are taken for what egoat has put there.
const TRUTHS: [&str; 14] = [
    "",
    "history",
    "outbox",
    "partial",
    "peers",
    "invites",
    "requests",
    "name",
    "listen",
    "proxy",
    "presence",
    "node.lock",
    "on-message.cursor",
    "on-file.cursor",
];

/// Alice's home, with everything in it that may be there.
fn with_all() -> Home {
    let alice = Home::new("alice");
    alice.run(&["peers", "add", "bob", &Home::new("bob").key()]);
    alice.run(&["invite", "--addr", "127.0.0.1:1"]);
    for name in TRUTHS {
        let path = alice.path(name);
        match name {
            "partial" => fs::create_dir_all(path).unwrap(),
            _ if !path.exists() => drop(private(&path)),
            _ => {}
        }
    }
    alice
}

fn private(path: &std::path::Path) -> fs::File {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap()
}

#[test]
fn what_others_can_change_is_refused() {
    let alice = with_all();
    fs::set_permissions(alice.path(""), PermissionsExt::from_mode(0o711)).unwrap();
    for name in TRUTHS {
        let path = alice.path(name);
        let before = fs::metadata(&path).unwrap().permissions();
        for open in [0o020, 0o002] {
            let mode = before.mode() & 0o777 | open;
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            for args in [&["peers"][..], &["log"], &["say", "bob", "x"], &["status"]] {
                let said = alice.fails(args, 74);
                let shown = path.display().to_string();
                let shown = shown.trim_end_matches('/');
                assert!(
                    said.contains(shown) && said.contains(&format!("mode is {mode:03o}")),
                    "{name}: {said}"
                );
                assert!(said.contains(&format!("`chmod go-w {shown}")), "{name}: {said}");
            }
        }
        fs::set_permissions(&path, before).unwrap();
    }
    alice.run(&["peers"]);
}

/// As with a umask of 002, where each user has a group of their own.
#[test]
fn what_nobody_else_gets_to_may_be_writable_by_the_group() {
    let alice = with_all();
    for name in &TRUTHS[1..] {
        let path = alice.path(name);
        let mode = fs::metadata(&path).unwrap().mode() & 0o777 | 0o060;
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    alice.run(&["peers"]);
    // What a link leads to may be where others get to.
    let elsewhere = alice.file("peers-elsewhere", fs::read(alice.path("peers")).unwrap());
    fs::remove_file(alice.path("peers")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, alice.path("peers")).unwrap();
    alice.run(&["peers"]);
    fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o664)).unwrap();
    assert!(alice.fails(&["peers"], 74).contains("its mode is 664"));
}

#[test]
fn what_belongs_to_others_is_refused() {
    let alice = with_all();
    let user = fs::metadata(alice.path("")).unwrap().uid();
    if std::os::unix::fs::chown(alice.path("peers"), Some(12345), None).is_err() {
        return common::skip("only root can give a file away");
    }
    for name in TRUTHS.into_iter().chain(["identity"]) {
        let path = alice.path(name);
        std::os::unix::fs::chown(alice.path("peers"), Some(user), None).unwrap();
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        let said = alice.fails(&["peers"], 74);
        assert!(said.contains("it belongs to user 12345, and this is user"), "{name}: {said}");
        std::os::unix::fs::chown(&path, Some(user), None).unwrap();
    }
    alice.run(&["peers"]);
}

#[test]
fn a_link_in_the_place_of_a_new_file_leads_nowhere() {
    let (alice, bob) = (with_all(), Home::new("carol"));
    let victim = alice.file("victim", "mine");
    let link = |name: &str| std::os::unix::fs::symlink(&victim, alice.path(name)).unwrap();
    for (name, args) in [
        ("name.new", &["id", "--name", "other"][..]),
        ("peers.new", &["peers", "add", "carol", &bob.key()]),
        ("invites.new", &["invite", "--addr", "127.0.0.1:1"]),
    ] {
        link(name);
        alice.run(args);
        assert!(!alice.path(name).exists() && fs::symlink_metadata(alice.path(name)).is_err(), "{name}");
    }
    link("presence.new");
    let node = alice.serve();
    common::poll_until("the presence to be noted", || {
        fs::symlink_metadata(alice.path("presence.new")).is_err().then_some(())
    });
    drop(node);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(alice.run(&["id"]).contains("other"));
}

/// While a node runs, too: a directory that is not the user's, or in which others may rename, is somebody else's to swap.
#[test]
fn a_home_below_a_directory_of_others_is_refused() {
    let around = tempfile::tempdir().unwrap();
    let shared = around.path().join("shared");
    let dir = shared.join("home");
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    let home = dir.to_str().unwrap().to_owned();
    let run = |args: &[&str], code| {
        let mut command = std::process::Command::new(common::EGOAT);
        command.args(["--home", &home]).args(args).env_remove("EGOAT_HOME");
        common::finish(command, b"", code).1
    };
    let set = |mode| fs::set_permissions(&shared, PermissionsExt::from_mode(mode)).unwrap();
    run(&["id"], 0);
    for mode in [0o777, 0o757, 0o703] {
        set(mode);
        let said = run(&["id"], 74);
        let why = format!("{} is not yours alone: its mode is {mode:03o}, so that others", shared.display());
        assert!(
            said.contains(&why) && said.contains(&format!("`chmod go-w {}`", shared.display())),
            "{said}"
        );
    }
    // As /tmp is, and as a home directory with a group of its own.
    for mode in [0o1777, 0o775, 0o755] {
        set(mode);
        run(&["id"], 0);
    }
    if std::os::unix::fs::chown(&shared, None, Some(12345)).is_err() {
        return common::skip("only root can give a directory away");
    }
    set(0o775);
    run(&["id"], 74);
    set(0o755);
    run(&["id"], 0);
    std::os::unix::fs::chown(&shared, Some(12345), None).unwrap();
    assert!(run(&["id"], 74).contains("it belongs to user 12345, who can put another home in the place of"));
    // Nor may a link of theirs lead to it.
    std::os::unix::fs::chown(&shared, Some(0), Some(0)).unwrap();
    let link = around.path().join("link");
    std::os::unix::fs::symlink(&shared, &link).unwrap();
    let by_link = link.join("home").to_str().unwrap().to_owned();
    let run_by_link = |code| {
        let mut command = std::process::Command::new(common::EGOAT);
        command.args(["--home", &by_link, "id"]).env_remove("EGOAT_HOME");
        common::finish(command, b"", code).1
    };
    run_by_link(0);
    std::os::unix::fs::lchown(&link, Some(12345), Some(12345)).unwrap();
    assert!(run_by_link(74).contains("it belongs to user 12345"));
}

/// Any df(1) that comes first in PATH is asked for the room on a disk.
#[test]
fn df_gets_no_passphrase() {
    let alice = Home::new("alice");
    fs::create_dir(alice.path("bin")).unwrap();
    let seen = alice.path("seen");
    let body = r#"{ echo "number: $EGOAT_PASSPHRASE_FD"; cat <&3; } >>"$SEEN" 2>/dev/null; PATH=${PATH#*:} exec df "$@""#;
    alice.script("bin/df", body);
    let mut command = with_passphrase(&alice, &["doctor"], "the secret\n");
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", alice.path("bin").display())).env("SEEN", &seen);
    let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(out.contains("disk"), "{out}");
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.starts_with("number: \n") && !seen.contains("secret"), "{seen}");
}
