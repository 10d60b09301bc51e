//! Pastes in a real terminal: whatever is in one, nothing runs and nothing is sent before Enter.

use crate::common;
use crate::terminal::{Chat, with_bob};

use common::poll_until;
use std::time::Duration;

/// Longer than a terminal needs for one paste, and somebody for one key.
const PAUSE: Duration = Duration::from_millis(300);

impl Chat {
    /// Types bytes as they are, all at once.
    fn raw(&self, bytes: &[u8]) {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex: Vec<&str> = hex.iter().map(String::as_str).collect();
        self.keys(&[&["-H"], &hex[..]].concat());
    }

    /// The chat goes on after all that: a line is said, and is the next that arrives.
    fn says(&self, text: &str) {
        self.keys(&["C-c"]);
        self.see_input("bob (here)>");
        self.line(text);
        self.see(&format!("+ me: {text}"));
    }
}

#[test]
fn a_paste_that_contains_its_own_end_runs_nothing() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    let evil = "a\x1b[201~\r/forget bob\r\x04\x1b[201~\r/forget bob\r";
    chat.raw(format!("\x1b[200~{evil}\x1b[201~").as_bytes());
    chat.see("/forget bob");
    chat.says("one");
    // tmux of some versions takes ESC out of a buffer, and others do not.
    chat.paste(evil);
    chat.see("/forget bob");
    chat.says("two");
    assert_eq!(bob.received(), ["one", "two"], "nothing is said before Enter");
    assert!(alice.run(&["peers"]).contains("bob"));
}

#[test]
fn a_paste_with_line_breaks_is_shown_as_it_will_be_sent() {
    let Some((chat, _alice, bob, _node)) = with_bob() else { return };
    chat.raw(b"\x1b[200~one\r/quit\r\x1b[201~\r");
    chat.see("bob (here)> one\n  /quit\n");
    assert!(bob.received().is_empty());
    chat.keys(&["Enter"]);
    poll_until("the paste to arrive", || (bob.received() == ["one\n/quit\n\n"]).then_some(()));
}

#[test]
fn a_paste_without_an_end_ends_by_ctrl_c_and_by_a_pause() {
    let Some((chat, _alice, bob, _node)) = with_bob() else { return };
    chat.raw(b"\x1b[200~first\r/quit\r");
    chat.see("first\n  /quit");
    chat.says("after a pause");
    chat.raw(b"\x1b[200~second\r/quit\r");
    // One that comes within a moment is part of the paste. The next drops it, and one more is a key again.
    poll_until("the line to be free", || {
        std::thread::sleep(PAUSE);
        chat.keys(&["C-c"]);
        std::thread::sleep(PAUSE);
        chat.terminal.screen().contains("Ctrl-C again leaves").then_some(())
    });
    chat.see_input("bob (here)>");
    chat.line("after Ctrl-C");
    chat.see("+ me: after Ctrl-C");
    assert_eq!(bob.received(), ["after a pause", "after Ctrl-C"]);
}
