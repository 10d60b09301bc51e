//! Long lines in a real terminal: no part of a message stands at the left margin, where lines of their own begin.

use crate::common::EGOAT;
use crate::terminal::{Chat, with_bob};

impl Chat {
    /// The rows of the screen as they are, also where the terminal has broken a line.
    fn rows(&self) -> Vec<String> {
        let screen = self.terminal.tmux(&["capture-pane", "-p"]).unwrap();
        screen.lines().map(|row| row.trim_end().to_owned()).collect()
    }

    /// The rows of the screen once this is one of them.
    fn see_row(&self, row: &str) -> Vec<String> {
        self.wait(row, || Some(self.rows()).filter(|rows| rows.iter().any(|shown| shown == row)))
    }
}

/// A line of somebody else, and before it as many blanks as push it to the margin of a terminal that breaks lines itself.
fn forged(columns: usize, head: &str, blank: &str) -> String {
    format!("yes{}alice: no", blank.repeat(columns - head.len() - 3))
}

fn is_broken_well(rows: &[String]) {
    assert!(rows.contains(&"    alice: no".to_owned()), "{rows:?}");
    let is_cut =
        |row: &String| row.starts_with("alice") || (row.starts_with(' ') && !row.starts_with("    "));
    assert!(!rows.iter().any(is_cut), "{rows:?}");
}

const LINK: &str = "https://example.org/a/path/that/is/longer/than/forty/columns";

#[test]
fn no_spaces_push_a_part_of_a_message_to_the_margin() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    bob.run(&["say", "--wait", "10s", "alice", "first"]);
    chat.see("bob: first");
    chat.resize(40, 20);
    for blank in [" ", "\u{a0}"] {
        bob.run(&["say", "--wait", "10s", "alice", &forged(40, "00:00   bob: ", blank)]);
        bob.run(&["say", "--wait", "10s", "alice", &forged(40, "2026-11-22 08:20:31 bob: ", blank)]);
    }
    bob.run(&["say", "--wait", "10s", "alice", &format!("look at {LINK} and say what you think of it")]);
    is_broken_well(&chat.see_row("    and say what you think of it"));
    chat.see(LINK);

    chat.line("/quit");
    chat.see_input("$");
    let log = format!("{EGOAT} --home {} log bob", alice.path("").display());
    for columns in [40, 30] {
        chat.resize(columns, 30);
        // The new size takes a moment.
        let resized = format!("until [ \"$(stty size)\" = '30 {columns}' ]; do sleep 0.05; done");
        chat.line(&format!("{resized}; clear; {log}; echo all {columns}"));
        is_broken_well(&chat.see_row(&format!("all {columns}")));
        chat.see(LINK);
    }
    // A pipe gets a line for each message, as before.
    chat.line(&format!("{log} | wc -l"));
    chat.see_row("6");
}

#[test]
fn words_that_are_typed_stay_whole() {
    let Some((chat, _alice, _bob, _node)) = with_bob() else { return };
    chat.resize(40, 20);
    chat.text("some words that are longer than a row");
    chat.see_input("  than a row");
    chat.see_row("bob (here)> some words that are longer");
    chat.keys(&["C-a"]);
    chat.text("the ");
    chat.see_input("  longer than a row");
    chat.see_row("bob (here)> the some words that are");
    chat.keys(&["Enter"]);
    chat.see_row("    longer than a row");
}
