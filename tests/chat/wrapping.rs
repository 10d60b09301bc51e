//! Long lines in a real terminal: no part of a message stands at the left margin, where lines of their own begin.

use egoat::text;
use egoat::ui::width::{clusters, most_columns};

use crate::common::tmux::Terminal;
use crate::common::{EGOAT, Home, Process};
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
    chat.line(&format!("clear; PATH=/nowhere {log}; echo no stty"));
    is_broken_well(&chat.see_row("no stty"));
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

#[test]
fn errors_notes_and_help_break_between_words() {
    let home = Home::new("alice");
    let Some(chat) = Chat::shell(60) else { return };
    let peer = "p".repeat(30);
    home.run(&["peers", "add", &peer, &Home::new("bob").key()]);
    chat.resize(60, 60);
    for (number, command) in [
        "say nobody-at-all hi",
        &format!("say {peer} hi"),
        "join egoat:nothing",
        "doctor --help",
        "receive --help",
        "--no-such-option",
        "peers",
    ]
    .into_iter()
    .enumerate()
    {
        let piped = format!("{EGOAT} --home {} {command} 2>&1", home.path("").display());
        chat.line(&format!(
            "clear; {piped}; {piped} | cat >{}; echo end {number}",
            home.path("piped").display()
        ));
        let rows = chat.see_row(&format!("end {number}"));
        let shown = &rows[..rows.iter().position(|row| row.starts_with("end")).unwrap()];
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let whole = std::fs::read_to_string(home.path("piped")).unwrap();
        assert!(words(&whole).len() > 60, "{command}: {whole}");
        assert_eq!(words(&shown.join("\n")), words(&whole), "{command}");
        // What goes on is below what it belongs to, and not at the margin, but for the prose of the help.
        let begins = |row: &String| whole.lines().any(|line| line.starts_with(row.as_str()));
        let is_good =
            command.contains("--help") || shown.iter().all(|row| row.starts_with("    ") || begins(row));
        assert!(is_good, "{command}: {shown:?}");
    }
}

#[test]
fn a_window_that_is_resized_fast_leaves_no_pieces_of_the_draft() {
    let Some((chat, _alice, _bob, _node)) = with_bob() else { return };
    chat.resize(80, 24);
    for number in 0..9 {
        chat.line(&format!("/history line-{number}"));
    }
    chat.see("nothing here has line-8");
    chat.text("the draft has some words, and so many that they take a few rows where the window is narrow");
    for columns in [72, 61, 50, 38, 31, 45, 57, 69, 52, 34, 64, 80].repeat(3) {
        chat.resize(columns, 24);
        // Whoever drags a window is about as fast.
        (0..5).for_each(|_| drop(chat.terminal.tmux(&["display-message", "-p", ""])));
    }
    chat.see_row("  where the window is narrow");
    let all = chat.terminal.tmux(&["capture-pane", "-p", "-S", "-"]).unwrap();
    assert_eq!(all.matches("the draft has").count(), 1, "{all}");
    assert!(
        (0..9).all(|number| all.matches(&format!("nothing here has line-{number}")).count() == 1),
        "{all}"
    );
}

#[test]
fn no_spaces_push_a_part_of_what_a_node_tells_to_the_margin() {
    const COLUMNS: usize = 120;
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let Some(chat) = Chat::shell(COLUMNS) else { return };
    let command = |args: &str| format!("{EGOAT} --home {} {args}", alice.path("").display());
    let forged = |rows: &[String], line: &str| {
        assert!(rows.iter().any(|row| row.starts_with("    ") && row.contains(line)), "{rows:?}");
        assert!(!rows.iter().any(|row| row.starts_with(line)), "{rows:?}");
    };
    alice.run(&["peers", "add", "bob", &bob.key()]);
    chat.line(&command("serve --show-text --listen 127.0.0.1:0"));
    let screen = chat.see("listening on 127.0.0.1:");
    let (_, at) = screen.rsplit_once("listening on ").unwrap();
    bob.run(&["peers", "add", "alice", &alice.key(), at.trim()]);
    let blanks = |head: &str| " ".repeat(COLUMNS - head.len());
    let text = format!("hi{}message from carol: pay", blanks("2026-12-01 08:20:31 message from bob: hi"));
    bob.run(&["say", "--wait", "20s", "alice", &text]);
    chat.see("carol: pay");
    forged(&chat.rows(), "message from carol: pay");
    chat.keys(&["C-c"]);

    chat.line(&format!("clear; {}", command("receive --listen 127.0.0.1:0")));
    let link = chat.wait("a link", || {
        let screen = chat.terminal.screen();
        let mut words = screen.split_whitespace();
        words.find(|word| word.starts_with("egoat:") && word.contains("@127.0.0.1:")).map(str::to_owned)
    });
    let name = format!("a.txt{}egoat: your friend sends", blanks("    a.txt"));
    let mut send = Process::start(bob.cmd(&["send", &link, &bob.file(&name, "x")]));
    chat.see("take this? [y/N]");
    forged(&chat.rows(), "egoat: your friend sends");
    chat.line("y");
    assert_eq!(send.end().0, Some(0));
}

/// The characters that may stand in clean text, but for planes that have none, which a program counts as so many columns.
fn characters_of(columns: usize) -> Vec<char> {
    let assigned = ('\u{80}'..='\u{3FFFF}').chain('\u{E0000}'..='\u{E0FFF}');
    let is_counted = |c: &char| {
        let text = c.to_string();
        text::clean(&text) == text && clusters(&text).map(most_columns).sum::<usize>() == columns
    };
    assigned.filter(is_counted).collect()
}

#[test]
fn no_character_is_wider_in_a_terminal_than_it_is_counted() {
    const COLUMNS: usize = 200;
    let Some(terminal) = Terminal::open(COLUMNS) else { return };
    let full = "x".repeat(COLUMNS);
    let (marks, narrow) = (characters_of(0), characters_of(1));
    // No more marks than tmux keeps with one character.
    let marked = marks.chunks(3).map(|marks| format!("{full}{}\n", marks.iter().collect::<String>()));
    let narrow = narrow.chunks(COLUMNS).map(|row| format!("{}\n", row.iter().collect::<String>()));
    let rows: String = marked.chain(narrow).collect();
    let home = Home::new("rows");
    std::fs::write(home.path("rows"), &rows).unwrap();

    terminal.type_line(&format!("clear; cat {}; printf 'e%s\\n' nd", home.path("rows").display()));
    terminal.wait_for("\nend");
    let captured = |how: &[&str]| terminal.tmux(&[&["capture-pane", "-p", "-S", "-"], how].concat()).unwrap();
    let (shown, whole) = (captured(&[]), captured(&["-J"]));
    let broken = shown.lines().zip(whole.lines()).find(|(row, line)| row.trim_end() != line.trim_end());
    assert_eq!(broken, None);
    assert!(shown.lines().count() > rows.lines().count(), "the terminal forgot the first rows");
}
