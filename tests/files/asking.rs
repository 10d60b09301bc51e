//! Files that the user of `egoat chat` is asked about, line by line: the offer, the answer, and what becomes of both when
//! somebody goes. Each chat is the node of a network of its own, since it listens at the default port.

use crate::common;

use common::files::{MIB, landed_in, names_in, sample, staged_in};
use common::lan::Lan;
use common::{Home, Process, json_number, poll_until};
use std::fs::{self, File};
use std::path::PathBuf;

/// Alice, who chats, and Bob, who is in the same network.
struct Talk {
    chat: Process,
    alice: Home,
    bob: Home,
    /// Where Alice has the files of Bob.
    landing: PathBuf,
    lan: Lan,
}

impl Talk {
    /// Alice goes by these options for what Bob offers. `None` where there can be no such network.
    fn begin(options: &[&str]) -> Option<Talk> {
        let lan = Lan::new()?;
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        alice.run(&["peers", "add", "bob", &bob.key()]);
        alice.run(&[&["peers", "set", "bob"], options].concat());
        bob.run(&["peers", "add", "alice", &alice.key(), "127.0.0.1"]);
        let mut command = lan.cmd_with_stderr(alice.cmd(&["chat"]));
        command.current_dir(alice.around());
        let mut chat = Process::start(command);
        chat.wait_for("egoat: listening on ");
        Some(Talk { chat, landing: alice.path("downloads/bob"), alice, bob, lan })
    }

    /// Bob begins to send.
    fn offer(&self, args: &[&str]) -> Process {
        Process::start(self.lan.cmd(self.bob.cmd(&[&["send", "alice"], args].concat())))
    }

    /// Bob has sent this with success.
    fn is_sent(&self, mut send: Process) {
        let (code, _, said) = send.end();
        assert_eq!(code, Some(0), "{said}");
    }

    /// Bob is refused; gives what he is told.
    fn is_refused(&self, mut send: Process) -> String {
        let (code, _, said) = send.end();
        assert_eq!(code, Some(77), "{said}");
        said
    }

    /// Nothing of Bob's is there, nor waits.
    fn has_nothing(&self) {
        assert!(landed_in(&self.landing).is_empty() && staged_in(&self.landing).is_empty());
        assert!(names_in(&self.alice.path("partial")).is_empty() && self.alice.run(&["log"]).is_empty());
    }

    /// What the chat prints while Alice types nothing, up to a line that starts so.
    fn shows(&mut self, line: &str) -> String {
        self.chat.wait_for(line)
    }

    fn types(&mut self, line: &str) {
        self.chat.write(format!("{line}\n").as_bytes());
    }
}

fn sparse(home: &Home, name: &str, bytes: u64) -> String {
    let path = home.path(name);
    File::create(&path).unwrap().set_len(bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_offer_is_shown_and_taken() {
    let Some(mut talk) = Talk::begin(&["files=ask"]) else { return };
    fs::create_dir_all(talk.bob.path("photos/empty")).unwrap();
    for n in 0..12 {
        talk.bob.file(&format!("photos/{n}.jpg"), sample(300 << 10));
    }
    let send = talk.offer(&[talk.bob.path("photos").to_str().unwrap()]);
    let offer = talk.shows("egoat: [");
    assert_eq!(offer, "egoat: [1] bob offers photos/ (12 files, 3.5 MiB): /accept 1 [DIR] or /refuse 1");
    talk.has_nothing();
    // What is no answer is a message, or is told.
    talk.types("/refuse it");
    assert_eq!(talk.shows("egoat: it is no"), "egoat: it is no number; which one is meant?");
    talk.types("/accept 2");
    assert_eq!(talk.shows("egoat: no such"), "egoat: no such offer waits any more");
    talk.has_nothing();
    talk.types("/accept 1");
    assert_eq!(talk.shows("egoat: receiving"), "egoat: receiving photos/ from bob (12 files, 3.5 MiB)");
    talk.is_sent(send);
    let line = talk.shows("20");
    assert!(
        line.ends_with(&format!(" * bob sent {} (3.5 MiB)", talk.landing.join("photos").display())),
        "{line}"
    );
    assert_eq!(names_in(&talk.landing.join("photos")).len(), 13);
    talk.types("/accept 1");
    talk.shows("egoat: no such offer waits any more");
    // Numbers go on.
    let send = talk.offer(&[&talk.bob.file("b", "b")]);
    assert!(talk.shows("egoat: [").starts_with("egoat: [2] bob offers b (1 B): /accept 2 "));
    // He hears what it waits for. Of two, neither is meant without a number.
    send.wait_to_say("b: waiting for alice to take it");
    let mut other = talk.offer(&[&talk.bob.file("c", "c")]);
    talk.shows("egoat: [3] bob offers c");
    talk.types("/accept");
    assert_eq!(talk.shows("egoat: which"), "egoat: which offer? type its number:");
    assert_eq!(talk.shows("egoat: [2]"), "egoat: [2] b of bob");
    assert_eq!(talk.shows("egoat: [3]"), "egoat: [3] c of bob");
    talk.types("/refuse 2");
    talk.is_refused(send);
    // The chat may not have seen yet that one of them is gone.
    poll_until("the only one to be taken", || {
        talk.types("/accept");
        (!other.is_running()).then_some(())
    });
    talk.is_sent(other);
    talk.types("/accept");
    talk.shows("egoat: no offer waits");
    assert_eq!(talk.chat.end().0, Some(0));
}

#[test]
fn an_offer_is_refused() {
    let Some(mut talk) = Talk::begin(&["files=ask"]) else { return };
    let send = talk.offer(&[&talk.bob.file("a", "a")]);
    talk.shows("egoat: [1] bob offers a (1 B)");
    talk.types("/refuse 1");
    let said = talk.is_refused(send);
    assert!(said.contains("egoat: error: alice refused: its user did not take it\n"), "{said}");
    assert!(said.contains("egoat: hint: they are asked in `egoat chat` and by `egoat receive`\n"), "{said}");
    assert_eq!(talk.shows("egoat: bob offered"), "egoat: bob offered a, which was refused: you said no");
    talk.has_nothing();
}

#[test]
fn what_is_taken_may_go_elsewhere() {
    let Some(mut talk) = Talk::begin(&["files=ask", "quota=5k"]) else { return };
    let there = talk.alice.path("a place/for it");
    let file = talk.bob.file("a", "12345");
    for (typed, place) in [
        (there.display().to_string(), there.clone()),
        // Where the chat was started, and with no shell in between.
        ("from bob".into(), talk.alice.path("from bob")),
        ("~/x".into(), talk.alice.path("user/x")),
    ] {
        if typed.starts_with('~') {
            // A chat that knows where home is.
            let mut command = talk.lan.cmd_with_stderr(talk.alice.cmd(&["chat"]));
            command.env("HOME", talk.alice.path("user"));
            assert_eq!(talk.chat.end().0, Some(0));
            talk.chat = Process::start(command);
            talk.shows("egoat: listening on ");
        }
        let send = talk.offer(&[&file]);
        let offer = talk.shows("egoat: [");
        let number = &offer["egoat: [".len()..offer.find(']').unwrap()];
        talk.types(&format!("/accept {number} {typed}"));
        talk.is_sent(send);
        assert_eq!(names_in(&place), ["a"], "{typed}");
        let line = talk.shows("20");
        assert!(line.contains(&format!(" * bob sent {} ", place.join("a").display())), "{line}");
    }
    assert!(!talk.landing.exists());
    // A place that cannot be is told, and another one can be named.
    let send = talk.offer(&[&file]);
    talk.shows("egoat: [");
    talk.types(&format!("/accept 2 {}", there.join("a/below").display()));
    assert!(talk.shows("egoat: cannot receive into ").contains("a place/for it/a is no directory"));
    talk.types(&format!("/accept 2 {}", talk.alice.path("another").display()));
    talk.is_sent(send);
}

#[test]
fn two_offers_wait_at_once() {
    let Some(mut talk) = Talk::begin(&["files=ask"]) else { return };
    let carol = Home::new("carol");
    talk.alice.run(&["peers", "add", "carol", &carol.key()]);
    talk.alice.run(&["peers", "set", "carol", "files=ask"]);
    carol.run(&["peers", "add", "alice", &talk.alice.key(), "127.0.0.1"]);
    let first = talk.offer(&[&talk.bob.file("a", "a")]);
    talk.shows("egoat: [1] bob offers a (1 B)");
    let second = talk.offer(&[&talk.bob.file("b", "b")]);
    talk.shows("egoat: [2] bob offers b (1 B)");
    let third = Process::start(talk.lan.cmd(carol.cmd(&["send", "alice", &carol.file("a", "c")])));
    talk.shows("egoat: [3] carol offers a (1 B)");
    talk.types("/accept 3");
    talk.is_sent(third);
    talk.types("/accept 2");
    talk.is_sent(second);
    assert_eq!(landed_in(&talk.landing), ["b"]);
    talk.types("/refuse 1");
    talk.is_refused(first);
    assert_eq!(landed_in(&talk.landing), ["b"]);
    assert_eq!(fs::read_to_string(talk.alice.path("downloads/carol/a")).unwrap(), "c");
}

#[test]
fn a_sender_who_goes_while_the_user_is_asked_takes_the_offer_along() {
    let Some(mut talk) = Talk::begin(&["files=ask"]) else { return };
    let mut send = talk.offer(&[&talk.bob.file("a", "a")]);
    talk.shows("egoat: [1] bob offers a (1 B)");
    send.kill9();
    talk.shows("egoat: connection to bob lost while waiting for an answer");
    talk.types("/accept 1");
    talk.shows("egoat: no such offer waits any more");
    talk.has_nothing();
    // He comes again.
    let send = talk.offer(&[talk.bob.path("a").to_str().unwrap()]);
    talk.shows("egoat: [2] bob offers a (1 B)");
    talk.types("/accept 2");
    talk.is_sent(send);
    assert_eq!(names_in(&talk.landing), ["a"]);
}

#[test]
fn a_chat_that_ends_while_it_asks_takes_nothing() {
    let Some(mut talk) = Talk::begin(&["files=ask"]) else { return };
    let mut send = talk.offer(&[&talk.bob.file("a", "a")]);
    talk.shows("egoat: [1] bob offers a (1 B)");
    assert_eq!(talk.chat.end().0, Some(0));
    let (code, _, said) = send.end();
    assert!(code == Some(69) && said.contains("connection to alice lost"), "{said}");
    talk.has_nothing();
}

#[test]
fn more_than_is_taken_unasked_is_asked_about() {
    let Some(mut talk) = Talk::begin(&["files=accept"]) else { return };
    let send = talk.offer(&[&talk.bob.file("small", "s")]);
    talk.is_sent(send);
    let large = sparse(&talk.bob, "large", (1 << 30) + 1);
    let send = talk.offer(&[&large]);
    talk.shows("egoat: [1] bob offers large (1.0 GiB): ");
    assert_eq!(landed_in(&talk.landing), ["small"]);
    talk.types("/refuse 1");
    talk.is_refused(send);
    talk.alice.run(&["peers", "set", "bob", "max-file=1k"]);
    let send = talk.offer(&["--name", "more", &talk.bob.file("more", sample(1025))]);
    talk.shows("egoat: [2] bob offers more (1.0 KiB): ");
    talk.types("/accept 2");
    talk.is_sent(send);
    assert_eq!(landed_in(&talk.landing), ["more", "small"]);
    assert!(staged_in(&talk.landing).is_empty());
}

#[test]
fn the_quota_holds_whatever_the_user_says() {
    let Some(mut talk) = Talk::begin(&["files=ask", "quota=8M"]) else { return };
    // What cannot be taken is not asked about.
    let said = talk.is_refused(talk.offer(&[&sparse(&talk.bob, "9", 9 << 20)]));
    assert!(said.contains("more than it has room for you"), "{said}");
    let five = talk.offer(&[&talk.bob.file("5", sample(5 * MIB))]);
    talk.shows("egoat: [1] bob offers 5 (5.0 MiB)");
    let four = talk.offer(&[&talk.bob.file("4", sample(4 * MIB))]);
    talk.shows("egoat: [2] bob offers 4 (4.0 MiB)");
    talk.types("/accept 1");
    talk.is_sent(five);
    talk.types("/accept 2");
    let said = talk.is_refused(four);
    assert!(said.contains("more than it has room for you"), "{said}");
    talk.shows("egoat: bob offered 4, which was refused: their files would be more than quota=");
    let mut stream = talk.offer(&["--name", "stream", "-"]);
    talk.shows("egoat: [3] bob offers stream: /accept 3");
    talk.types("/accept 3");
    stream.write(&sample(3 * MIB + 1));
    let (code, _, said) = stream.end();
    assert!(code == Some(77) && said.contains("the stream is longer than it takes"), "{said}");
    assert_eq!(landed_in(&talk.landing), ["5"]);
    assert!(staged_in(&talk.landing).is_empty());
}

/// A node asks for Bob, who is there all the time.
#[test]
fn what_is_queued_is_asked_about_once_and_may_be_cancelled() {
    let Some(mut talk) = Talk::begin(&["files=ask"]) else { return };
    let args = ["serve", "--listen", "127.0.0.1:0"];
    let mut node = Process::start(talk.lan.cmd(talk.bob.cmd(&args)));
    node.wait_for("listening on ");
    let queue = |name| {
        let out = talk.bob.run(&["--json", "send", "--queue", "alice", &talk.bob.file(name, name)]);
        json_number(&out, "number")
    };
    let (_, b, c) = (queue("a"), queue("b"), queue("c"));
    talk.chat.wait_for("egoat: [1] bob offers a (1 B)");
    talk.chat.write(b"/refuse 1\n");
    talk.chat.wait_for("egoat: [2] bob offers b (1 B)");
    talk.bob.run(&["outbox", "cancel", &b.to_string()]);
    // Messages pass meanwhile.
    talk.bob.run(&["say", "--wait", "30s", "alice", "take c"]);
    talk.chat.wait_for("egoat: [3] bob offers c (1 B)");
    talk.chat.write(b"/accept 2\n/accept 3\n");
    assert_eq!(node.wait_for("sent "), "sent c (1 B) to alice");
    assert_eq!(landed_in(&talk.landing), ["c"]);
    let out = poll_until("c to be settled", || {
        let out = talk.bob.run(&["outbox"]);
        (!out.contains(&c.to_string())).then_some(out)
    });
    assert!(
        out.contains(" (refused) ") && out.ends_with(": alice refused: its user did not take it\n"),
        "{out}"
    );
    assert_eq!(out.lines().count(), 1);
}

#[test]
fn an_offer_shows_names_with_a_dot_and_stays_open_while_nothing_can_land_there() {
    let Some(mut talk) = Talk::begin(&["files=ask"]) else { return };
    let user = talk.alice.path("user");
    fs::create_dir(&user).unwrap();
    // A chat that knows where home is.
    let mut command = talk.lan.cmd_with_stderr(talk.alice.cmd(&["chat"]));
    command.current_dir(talk.alice.around()).env("HOME", &user);
    assert_eq!(talk.chat.end().0, Some(0));
    talk.chat = Process::start(command);
    talk.shows("egoat: listening on ");
    let send = talk.offer(&[&talk.bob.file("photo.jpg", "a"), &talk.bob.file(".profile", "evil")]);
    let offer = talk.shows("egoat: [");
    assert!(
        offer.contains(
            "photo.jpg and 1 more (2 files, 5 B); 1 name at the top begins with a dot: .profile: /accept 1"
        ),
        "{offer}"
    );
    talk.types("/accept 1 ~/");
    assert!(talk.shows("egoat: 1 name").contains("none of these is taken into your home directory"));
    for (dir, why) in [
        ("/proc/egoat", "egoat: cannot receive into /proc/egoat: nothing can be made in /proc: "),
        (&*talk.alice.file("file", ""), "egoat: cannot receive into "),
        (talk.alice.path("").to_str().unwrap(), "egoat: cannot receive into "),
    ] {
        talk.types(&format!("/accept 1 {dir}"));
        talk.shows(why);
    }
    assert_eq!(names_in(&user), [""; 0]);
    talk.types("/accept 1 elsewhere");
    talk.is_sent(send);
    assert_eq!(landed_in(&talk.alice.path("elsewhere")), [".profile", "photo.jpg"]);
}
