//! The first start in a terminal: what is asked, what is not, and that every question can be left.

use crate::common;
use crate::terminal::Chat;

use common::EGOAT;
use common::lan::Lan;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory for homes, a network in which the usual ports are free, and a terminal.
struct Newcomer {
    dir: tempfile::TempDir,
    lan: Lan,
    chat: Chat,
}

impl Newcomer {
    fn new() -> Option<Newcomer> {
        Some(Newcomer { dir: tempfile::tempdir().unwrap(), lan: Lan::new()?, chat: Chat::shell(200)? })
    }

    /// Starts a chat in the home of this name, and waits until `text` is to be seen.
    fn start(&self, chat: &Chat, name: &str, text: &str) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let home = self.dir.path().join(name);
        // What stands on the screen from an earlier start is gone when the line with its number is there.
        let (prefix, number) = (self.lan.prefix(), COUNT.fetch_add(1, Ordering::Relaxed));
        chat.line(&format!(
            "clear; echo start ''{number}; USER={name} {prefix} {EGOAT} --home {}",
            home.display()
        ));
        let begin = format!("start {number}\n");
        let is_new = |screen: &String| screen.contains(&begin) && screen.contains(text);
        chat.wait(text, || Some(chat.terminal.screen()).filter(is_new))
    }
}

#[test]
fn a_newcomer_is_led_to_a_conversation() {
    let Some((stage, bob)) = Newcomer::new().zip(Chat::shell(200)) else { return };
    let alice = &stage.chat;
    stage.start(alice, "alice", "what are you called? [alice]");
    alice.line("");
    alice.see("invite somebody, join with a link, or look around first?");
    alice.line("i");
    alice.see("this node has port 4628 from now on");
    let screen = alice.see("@127.0.0.1:4628");
    let link = screen.lines().find(|line| line.contains("@127.0.0.1:")).unwrap().trim();
    stage.start(&bob, "bob", "what are you called? [bob]");
    bob.line("bob");
    bob.see("look around first?");
    bob.line("j");
    bob.see("paste the link:");
    bob.line("no link");
    bob.see("this is no link");
    // As it is copied out of a narrow window.
    let (half, rest) = link.split_at(50);
    bob.line(&format!("  <{half}"));
    bob.see("and the rest of it?");
    bob.line(&format!("  {rest}>."));
    bob.see("paired with alice");
    alice.see("paired with bob");
    bob.see_input("alice (here)>");
    bob.line("hello");
    alice.see("   bob: hello");
    alice.line("and hello to you");
    bob.see("   alice: and hello to you");
    for (name, port) in [("alice", "4628\n"), ("bob", "4629\n")] {
        assert_eq!(fs::read_to_string(stage.dir.path().join(name).join("listen")).unwrap(), port);
    }
}

/// Without a terminal that can draw, the same is asked.
#[test]
fn a_newcomer_on_a_dumb_terminal_is_asked() {
    let Some(stage) = Newcomer::new() else { return };
    let chat = &stage.chat;
    chat.line("export TERM=dumb");
    stage.start(chat, "alice", "what are you called? [alice]");
    chat.keys(&["C-d"]);
    chat.see("nothing is saved; the next `egoat` asks again");
    stage.start(chat, "alice", "what are you called? [alice]");
    chat.line("Alice");
    chat.see("look around first?");
    chat.line("i");
    chat.see("give this link to one person");
    chat.see("@127.0.0.1:4628");
    assert_eq!(fs::read_to_string(stage.dir.path().join("alice/name")).unwrap(), "Alice\n");
}

#[test]
fn every_question_can_be_left_and_is_asked_again() {
    let Some(stage) = Newcomer::new() else { return };
    let chat = &stage.chat;
    for key in ["C-c", "C-d"] {
        for answers in 0..3 {
            stage.start(chat, "alice", "what are you called? [alice]");
            for (answer, question) in
                [("alice", "look around first?"), ("j", "paste the link:")].iter().take(answers)
            {
                chat.line(answer);
                chat.see(question);
            }
            // Ctrl-C leaves a line that was begun as well; Ctrl-D hands it over.
            if key == "C-c" {
                chat.text("begun");
            }
            chat.keys(&[key]);
            chat.see("nothing is saved; the next `egoat` asks again");
            chat.see_input("$");
            chat.line("[ \"$(stty -g)\" = \"$MODE\" ] && echo the mode is 'as before'");
            chat.see("the mode is as before");
        }
    }
    assert!(!stage.dir.path().join("alice/name").exists());
    // Whoever has answered is not asked again.
    stage.start(chat, "alice", "what are you called? [alice]");
    chat.line("Zoë");
    chat.see("look around first?");
    chat.line("");
    chat.see("no peers yet: /invite");
    chat.line("/quit");
    chat.see_input("$");
    let screen = stage.start(chat, "alice", "no peers yet: /invite");
    assert!(!screen.contains("what are you called?"), "{screen}");
    assert_eq!(fs::read_to_string(stage.dir.path().join("alice/name")).unwrap(), "Zoë\n");
}
