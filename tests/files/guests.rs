//! `egoat receive` and the link that it prints: what its bearer may plant, what the user sees and says before anything
//! lands, and what is left of either on the other side.

use crate::common;

use common::files::{MIB, names_in, sample};
use common::tmux::Terminal;
use common::{EGOAT, Home, Process, poll_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Bob receives into `here`; gives the link.
fn receive(bob: &Home, more: &[&str]) -> (Process, String) {
    let here = bob.path("here");
    let args = [&["receive", "--into", here.to_str().unwrap(), "--listen", "127.0.0.1:0"], more].concat();
    let mut receive = Process::start(bob.cmd(&args));
    let link = receive.wait_for("egoat:");
    (receive, link)
}

/// Nothing in the home knows this key.
fn knows_nothing(home: &Home, of: &Home) {
    let key = of.key();
    assert_eq!((home.run(&["peers"]), home.run(&["peers", "requests"])), (String::new(), String::new()));
    for dir in ["", "history", "outbox", "partial"] {
        for name in names_in(&home.path(dir)) {
            let path = home.path(dir).join(&name);
            let has_key = path.is_file()
                && fs::read(&path).unwrap().windows(key.len()).any(|part| part == key.as_bytes());
            assert!(!name.contains(&key) && !has_key, "{}", path.display());
        }
    }
}

#[test]
fn names_that_programs_look_for_are_refused_and_both_sides_are_told() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    fs::create_dir_all(alice.path("evil/.ssh")).unwrap();
    let keys = alice.file("evil/.ssh/authorized_keys", "mine");
    let profile = alice.file("evil/.bash_profile", "mine");
    // What nobody sees, and HFS+ ignores.
    let hidden = alice.file("evil/\u{200C}.zshrc", "mine");
    let ssh = Path::new(&keys).parent().unwrap().to_str().unwrap();
    for path in [ssh, &profile, &hidden] {
        let (mut receive, link) = receive(&bob, &[]);
        let said = alice.fails(&["send", &link, &alice.file("good", ""), path], 77);
        assert!(said.contains("it takes no names that begin with a dot at the top"), "{said}");
        assert!(said.contains("hint: they can allow it: `egoat receive --allow-dot`"), "{said}");
        receive.wait_to_say("waiting for another try");
        let told = receive.said();
        let name = Path::new(path).file_name().unwrap().to_str().unwrap().replace('\u{200C}', "\u{FFFD}");
        assert!(told.contains("names at the top begin with a dot"), "{told}");
        assert!(told.contains(&format!("\n    {name}: a ")) && !told.contains("good: "), "{told}");
        assert!(names_in(&bob.path("here")).is_empty());
        // The hint can be followed with the same link.
        alice.run(&["send", "--name", "taken", &link, path]);
        assert_eq!((receive.end().0, names_in(&bob.path("here"))), (Some(0), vec!["taken".into()]));
        let taken = bob.path("here/taken");
        if taken.is_dir() {
            fs::remove_dir_all(taken).unwrap()
        } else {
            fs::remove_file(taken).unwrap()
        }
        knows_nothing(&bob, &alice);
    }
    let (mut receiver, link) = receive(&bob, &["--allow-dot"]);
    alice.run(&["send", &link, ssh, &profile]);
    assert_eq!(
        (receiver.end().0, names_in(&bob.path("here"))),
        (Some(0), vec![".bash_profile".into(), ".ssh".into()])
    );
    // Further down a dot is like any other letter.
    let (mut receiver, link) = receive(&bob, &[]);
    alice.run(&["send", &link, alice.path("evil").to_str().unwrap()]);
    assert_eq!(receiver.end().0, Some(0));
    assert!(bob.path("here/evil/.ssh/authorized_keys").exists());
}

#[test]
fn names_and_sizes_are_told_before_anything_lands() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    fs::create_dir(alice.path("dir")).unwrap();
    alice.file("dir/x", sample(2048));
    let odd = alice.file("odd\u{200B}name", "12345");
    let (mut receive, link) = receive(&bob, &[]);
    alice.run(&["send", &link, alice.path("dir").to_str().unwrap(), &odd]);
    let (code, _, told) = receive.end();
    let offer = format!("alice (fingerprint {}) offers (2 files, 2.0 KiB):\n", alice.fingerprint());
    assert!(code == Some(0) && told.contains(&offer), "{told}");
    assert!(told.contains("\n    dir/ (2.0 KiB)\n    odd\u{FFFD}name (5 B)\n"), "{told}");
    // The paths are printed when all is in place: the offer comes first.
    assert!(!told[..told.find(" offers ").unwrap()].contains("here/dir"), "{told}");
}

#[test]
fn on_a_terminal_the_user_is_asked_and_no_is_the_default() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("notes.txt", "notes");
    for (answer, code) in [("", 77), ("n", 77), ("y", 0)] {
        let Some(terminal) = Terminal::open(200) else { return };
        let (home, here) = (bob.path(""), bob.path("here"));
        terminal.type_line(&format!(
            "EGOAT_HOME='{}' '{EGOAT}' receive --into '{}' --listen 127.0.0.1:0; echo end $?",
            home.display(),
            here.display()
        ));
        let screen = terminal.wait_for("egoat:");
        let screen = if screen.contains('@') { screen } else { terminal.wait_for("@127.0.0.1") };
        let link =
            screen.split_whitespace().find(|word| word.starts_with("egoat:") && word.contains('@')).unwrap();
        let mut send = Process::start(alice.cmd(&["send", link, &file]));
        let asked = terminal.wait_for("take this? [y/N]");
        assert!(asked.contains("notes.txt (5 B)") && asked.contains(&alice.fingerprint()), "{asked}");
        assert!(names_in(&here).is_empty() && send.is_running());
        terminal.type_line(answer);
        let (status, _, said) = send.end();
        assert_eq!(status, Some(code), "{said}");
        assert_eq!(said.contains("its user did not take it"), code != 0, "{said}");
        terminal.wait_for(if code == 0 { "end 0" } else { "end 1" });
        assert_eq!(names_in(&here).is_empty(), code != 0);
    }
}

#[test]
fn a_guest_is_forgotten_on_both_sides() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (mut receive, link) = receive(&bob, &[]);
    // From stdin, so that the link stands on no command line.
    assert!(alice.fails(&["send", "-", "-"], 2).contains("stdin is either the link or the file"));
    let file = alice.file("a", sample(MIB));
    let said = alice.ends_with(&["send", "-", &file], format!("{link}\n").as_bytes(), 0).1;
    assert!(!said.contains("paired with"), "{said}");
    let (code, _, told) = receive.end();
    assert!(code == Some(0) && !told.contains("paired with"), "{told}");
    knows_nothing(&bob, &alice);
    knows_nothing(&alice, &bob);
    let said = alice.fails(&["send", &link, &file], 69);
    assert!(said.contains("or the `egoat receive` of this link, whose link ends with it"), "{said}");
    // The link is no good at a node of the same home, either.
    let node = bob.serve();
    let at_node = format!("{}@{}", link.split('@').next().unwrap(), node.addr);
    assert_ne!(alice.cmd(&["join", &at_node]).output().unwrap().status.code(), Some(0));
    assert_eq!(bob.run(&["peers"]), "");
}

/// Killed in any way, neither side keeps the other; the same files go on to a later link.
#[test]
fn nothing_is_left_of_a_guest_when_the_receiver_is_killed() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let file = alice.file("large", sample(40 * MIB));
    let (mut receiver, link) = receive(&bob, &[]);
    let mut send = Process::start(alice.cmd(&["send", "--streams", "1", &link, &file]));
    poll_until("some of it", || {
        let staged = common::files::staged_in(&bob.path("here"));
        staged.first().is_some_and(|staging| common::files::chunks_in(staging) > 8).then_some(())
    });
    receiver.kill9();
    assert_ne!(send.end().0, Some(0));
    assert_eq!((alice.run(&["peers"]), bob.run(&["peers"])), (String::new(), String::new()));
    if common::files::staged_in(&bob.path("here")).is_empty() {
        panic!("it was all there already");
    }
    assert!(bob.run(&["partial"]).contains("large"));
    let (mut receiver, link) = receive(&bob, &[]);
    let sent = alice.run(&["--json", "send", &link, &file]);
    let line = sent.lines().find(|line| line.contains("\"event\":\"sent\"")).unwrap();
    assert!(common::json_number(line, "held") > 0, "{line}");
    assert_eq!(receiver.end().0, Some(0));
    assert_eq!(bob.run(&["partial"]), "");
    knows_nothing(&bob, &alice);
}

#[test]
fn the_link_is_one_senders_and_leads_to_files_alone() {
    let (alice, carol, bob) = (Home::new("alice"), Home::new("carol"), Home::new("bob"));
    let (mut receive, link) = receive(&bob, &[]);
    for args in
        [&["join", &link][..], &["say", &link, "hello"], &["send", "--queue", &link, &alice.file("a", "a")]]
    {
        let out = alice.cmd(args).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains("egoat receive"), "{args:?}: {said}");
    }
    assert_eq!((alice.run(&["peers"]), alice.run(&["outbox"])), (String::new(), String::new()));
    // Alice has used it by that; Carol is late.
    let said = carol.fails(&["send", &link, &carol.file("c", "c")], 77);
    assert!(said.contains("has used this invite"), "{said}");
    alice.run(&["send", &link, &alice.file("a", "a")]);
    assert_eq!((receive.end().0, names_in(&bob.path("here"))), (Some(0), vec!["a".into()]));
    assert_eq!((bob.run(&["peers"]), carol.run(&["peers"])), (String::new(), String::new()));
}

#[test]
fn a_guests_programs_are_no_programs_and_a_peers_are() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let script = alice.file("script", "#!/bin/sh\n");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let send = |name: &str, more: &[&str]| {
        let (mut receiver, link) = receive(&bob, more);
        alice.run(&["send", "--name", name, &link, &script]);
        assert_eq!(receiver.end().0, Some(0));
        fs::metadata(bob.path("here").join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(send("guest", &[]), 0o600);
    assert_eq!(send("kept", &["--keep", "al"]), 0o700);
    assert_eq!(send("peer", &[]), 0o700);
}

#[test]
fn a_sender_that_is_kept_is_a_peer_on_both_sides() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (mut receiver, link) = receive(&bob, &["--keep", "al"]);
    alice.run(&["send", &link, &alice.file("a", "a")]);
    let (code, _, told) = receiver.end();
    assert!(
        code == Some(0) && told.contains(&format!("saved as al, fingerprint {}", alice.fingerprint())),
        "{told}"
    );
    assert!(bob.run(&["peers"]).contains("al ") && bob.run(&["log"]).contains("al sent "));
    assert!(alice.run(&["peers"]).contains(&bob.fingerprint()));
    // The name is looked at before anybody comes.
    let said = bob.fails(&["receive", "--keep", "al", "--listen", "127.0.0.1:0"], 1);
    assert!(said.contains("another peer is called al already"), "{said}");
    bob.fails(&["receive", "--keep", "-x", "--listen", "127.0.0.1:0"], 2);
    let (mut receiver, link) = receive(&bob, &["--keep", "other"]);
    alice.run(&["send", &link, &alice.file("b", "b")]);
    assert!(receiver.end().2.contains("the sender is a peer already, called al"));
}

/// Bob receives at a port of his; gives the link.
fn receive_at(bob: &Home, addr: &str) -> (Process, String) {
    poll_until("the port to be free", || {
        let here = bob.path("here");
        let args = ["receive", "--into", here.to_str().unwrap(), "--listen", addr];
        let mut receive = Process::start(bob.cmd(&args));
        receive.next_line().map(|link| (receive, link))
    })
}

#[test]
fn the_same_command_goes_on_at_a_receiver_that_was_started_anew() {
    let (alice, carol, bob) = (Home::new("alice"), Home::new("carol"), Home::new("bob"));
    let addr = bob.own_port("127.0.0.1:0");
    let file = alice.file("large", sample(40 * MIB));
    let (mut receiver, link) = receive_at(&bob, &addr);
    let mut send = Process::start(alice.cmd(&["send", "--streams", "1", &link, &file]));
    poll_until("some of it", || {
        let staged = common::files::staged_in(&bob.path("here"));
        staged.first().is_some_and(|staging| common::files::chunks_in(staging) > 8).then_some(())
    });
    receiver.kill9();
    assert_ne!(send.end().0, Some(0));

    let (mut receiver, new_link) = receive_at(&bob, &addr);
    assert_ne!(link, new_link);
    // The old link is good for who had it, and for that transfer.
    let said = carol.fails(&["send", &link, &carol.file("c", "c")], 77);
    assert!(said.contains("has used this invite") && said.contains("`egoat receive`"), "{said}");
    alice.fails(&["send", &link, &alice.file("other", "x")], 77);
    receiver.wait_to_say("offered other, which was refused: its link is that of an earlier `egoat receive`");
    // Which keeps nobody from going on.
    let sent = alice.run(&["--json", "send", &link, &file]);
    let line = sent.lines().find(|line| line.contains("\"event\":\"sent\"")).unwrap();
    assert!(common::json_number(line, "held") > 0, "{line}");
    assert_eq!(receiver.end().0, Some(0));
    knows_nothing(&bob, &alice);
    // When nothing is left of it, both sides read what to type.
    let (receiver, _) = receive_at(&bob, &addr);
    let said = alice.fails(&["send", &link, &file], 77);
    assert!(
        said.contains("does not know this invite") && said.contains("for files of `egoat receive`"),
        "{said}"
    );
    receiver.wait_to_say("somebody came with another link than this one: give them this one");
}

#[test]
fn a_known_peer_is_told_how_to_send_and_so_is_the_receiver() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let (receiver, link) = receive(&bob, &[]);
    let at = link.rsplit_once('@').unwrap().1;
    alice.run(&["peers", "add", "bob", &bob.key(), at]);
    let file = alice.file("a", "a");
    for _ in 0..2 {
        let said = alice.fails(&["send", "bob", &file], 77);
        assert!(said.contains("bob refused: it receives files from somebody else right now"), "{said}");
        assert!(said.contains("hint: ask for the link that `egoat receive` prints there"), "{said}");
    }
    receiver
        .wait_to_say("alice wants to send files: give them the link, or run `egoat receive --from alice`");
    assert_eq!(receiver.said().matches("wants to send").count(), 1, "{}", receiver.said());
    alice.run(&["send", &link, &file]);
    // Where somebody can be asked, the peer may offer.
    let Some(terminal) = Terminal::open(200) else { return };
    let home = bob.path("");
    terminal.type_line(&format!("EGOAT_HOME='{}' '{EGOAT}' receive --listen 127.0.0.1:0", home.display()));
    let screen = terminal.wait_for("@127.0.0.1");
    let link =
        screen.split_whitespace().find(|word| word.starts_with("egoat:") && word.contains('@')).unwrap();
    let at = link.rsplit_once('@').unwrap().1;
    alice.run(&["peers", "set", "bob", &format!("address={at}")]);
    let mut send = Process::start(alice.cmd(&["send", "bob", &file]));
    terminal.wait_for("take this? [y/N]");
    terminal.type_line("y");
    assert_eq!(send.end().0, Some(0));
    assert!(bob.path("downloads/alice/a").exists());
}

#[test]
fn the_port_of_a_receiver_is_no_address_of_its_node() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (mut receiver, link) = receive(&bob, &["--keep", "al"]);
    alice.run(&["send", &link, &alice.file("a", "a")]);
    assert_eq!(receiver.end().0, Some(0));
    assert!(
        alice.run(&["peers"]).trim_end().ends_with("no address; it dials us"),
        "{}",
        alice.run(&["peers"])
    );
    // Beside a node, it tells where that is.
    let dora = Home::new("dora");
    let node = bob.serve();
    let (mut receiver, link) = receive(&bob, &["--keep", "dora"]);
    dora.run(&["send", &link, &dora.file("a", "a")]);
    assert_eq!(receiver.end().0, Some(0));
    let at = |line: &str| line.contains(&format!("{} (seen)", node.addr));
    assert!(at(&dora.run(&["peers"])), "{}", dora.run(&["peers"]));
    bob.run(&["say", "dora", "hi"]);
    dora.run(&["say", "--wait", "30s", "bob", "by its node"]);
}
