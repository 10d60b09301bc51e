//! The interactive chat in real terminals: tmux types, resizes and tells what is to be seen.

use crate::common;

use common::disk::SmallDisk;
use common::gate::Gate;
use common::tmux::Terminal;
use common::{EGOAT, Home, Node, Process, logs, pair, paired, poll_for, poll_until};
use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

/// Columns of most terminals here; lines of test output fit.
pub const USUAL: usize = 100;

/// Somebody's terminal.
pub struct Chat {
    pub terminal: Terminal,
}

impl Chat {
    /// A shell in a terminal; `None` where there is no tmux.
    pub fn shell(columns: usize) -> Option<Chat> {
        let chat = Chat { terminal: Terminal::open(columns)? };
        chat.line("export TZ=UTC PS1='$ '; MODE=$(stty -g)");
        Some(chat)
    }

    /// A chat on a home, listening at a free port of loopback if it becomes the node.
    pub fn open(home: &Home, columns: usize, args: &str) -> Option<Chat> {
        let chat = Chat::shell(columns)?;
        chat.start(home, args);
        chat.see("/help lists the commands");
        Some(chat)
    }

    pub fn start(&self, home: &Home, args: &str) {
        self.line(&format!(
            "clear; {EGOAT} --home {} chat --listen {} {args}",
            home.path("").display(),
            home.own_port("127.0.0.1:0")
        ));
    }

    pub fn line(&self, text: &str) {
        self.terminal.type_line(text);
    }

    pub fn keys(&self, keys: &[&str]) {
        self.terminal.tmux(&[&["send-keys"], keys].concat()).unwrap();
    }

    pub fn text(&self, text: &str) {
        self.keys(&["-l", text]);
    }

    pub fn see(&self, text: &str) -> String {
        // A long line is broken between words; here it is one, unless that is what is looked for.
        let find = |screen: String| screen.contains(text).then_some(screen);
        self.wait(text, || {
            let screen = self.terminal.screen();
            find(screen.replace("\n    ", " ")).or_else(|| find(screen))
        })
    }

    /// Waits for something; if it does not come, the screen is shown.
    pub fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        poll_for(look).unwrap_or_else(|| panic!("no {what:?} on:\n{}", self.terminal.screen()))
    }

    /// The last line that is not empty: what is typed.
    pub fn input(&self) -> String {
        let screen = self.terminal.screen();
        screen.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim_end().to_owned()
    }

    pub fn see_input(&self, input: &str) {
        self.wait(input, || (self.input() == input).then_some(()));
    }

    pub fn resize(&self, columns: usize, rows: usize) {
        self.terminal.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]).unwrap();
    }

    /// Pastes as a terminal does, in brackets if the program asked for them.
    pub fn paste(&self, text: &str) {
        self.terminal.tmux(&["set-buffer", text]).unwrap();
        self.terminal.tmux(&["paste-buffer", "-p"]).unwrap();
    }

    /// The shell is back, and the terminal is as it was.
    pub fn is_a_shell_again(&self) {
        self.see_input("$");
        // After a kill -9 the shell may be back before the mode is. Enter ends no line then, but Ctrl-J does.
        self.text(
            "clear; until [ \"$(stty -g)\" = \"$MODE\" ]; do sleep 0.05; done; echo mode is 'as before'",
        );
        self.keys(&["C-j"]);
        self.see("mode is as before");
        let written = self.terminal.written();
        let last = |what: &str| written.rfind(what);
        let marks = last("\x1b[?2004h");
        assert!(marks.is_none() || last("\x1b[?2004l") > marks, "pastes are marked still");
        for mode in ["\x1b[?1049", "\x1b[?25l"] {
            assert!(
                last(mode).is_none(),
                "there is no other screen, and the cursor is never hidden: {mode:?}"
            );
        }
    }

    /// The chat is gone, with all that it had started. When it was killed, the shell is a moment faster than who puts the
    /// mode back.
    pub fn has_ended(&self) {
        poll_until("the guardian to end", || self.guardian().is_none().then_some(()));
        self.is_a_shell_again();
    }

    /// The process that would put the mode back if the chat could not.
    fn guardian(&self) -> Option<String> {
        let tty = self.terminal.tmux(&["display-message", "-p", "#{pane_tty}"])?;
        let listed = Command::new("ps").args(["-t", tty.trim_end(), "-o", "pid=,args="]).output().unwrap();
        let all = String::from_utf8_lossy(&listed.stdout).into_owned();
        let found = all.lines().find(|line| line.contains("egoat-guardian"))?;
        found.split_whitespace().next().map(str::to_owned)
    }

    /// Sends a signal to the chat on a home.
    pub fn kill(&self, home: &Home, signal: &str) {
        let chat = format!("^{EGOAT} --home {}", home.path("").display());
        assert!(Command::new("pkill").args([signal, "-f", &chat]).status().unwrap().success());
    }
}

/// Where the node of a home listens.
fn address(home: &Home) -> String {
    let lock = fs::read_to_string(home.path("node.lock")).unwrap();
    lock.lines().find_map(|line| line.strip_prefix("listening ")).unwrap().to_owned()
}

/// Alice chats with Bob, who serves.
pub fn with_bob() -> Option<(Chat, Home, Home, Node)> {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let link = bob.run(&["invite"]);
    alice.run(&["join", link.trim_end()]);
    let chat = Chat::open(&alice, USUAL, "")?;
    chat.see_input("bob (here)>");
    Some((chat, alice, bob, node))
}

/// Waits until the chat has noted what is typed to Bob: that is once nothing was typed for a second.
fn wait_for_draft(home: &Home, text: &str) {
    let own = logs::open(home);
    let (mut notes, bob) = (own.notes().unwrap(), logs::key(&own, "bob"));
    poll_until("the draft to be noted", || {
        notes.refresh().unwrap();
        (notes.draft(bob.into()) == text).then_some(())
    });
}

#[test]
fn a_key_is_one_write() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    let Some(chat) = Chat::shell(USUAL) else { return };
    if !common::strace::works() {
        return;
    }
    let trace = alice.path("trace");
    let (home, trace_path) = (alice.path("").display().to_string(), trace.display());
    chat.line(&format!(
        "clear; strace -f -qq -e trace=write -e signal=none -o {trace_path} {EGOAT} --home {home} chat --listen 127.0.0.1:0"
    ));
    chat.see_input("bob (away)>");
    let writes = || {
        let text = fs::read_to_string(&trace).unwrap();
        text.lines().filter(|line| line.contains("write(1, ")).count()
    };
    // The line about where it listens comes when it comes.
    chat.see("-- listening on");
    let before = writes();
    for (count, key) in ["h", "i", "BSpace", "Left", "C-e", "o"].into_iter().enumerate() {
        chat.keys(&[key]);
        poll_until("the key to be drawn", || (writes() > before + count).then_some(()));
    }
    chat.see_input("bob (away)> ho");
    assert_eq!(writes(), before + 6);
}

#[test]
fn what_is_typed_is_not_garbled_by_what_comes() {
    let Some((chat, _alice, bob, _node)) = with_bob() else { return };
    chat.text("half a ");
    for number in 0..20 {
        bob.run(&["say", "alice", &format!("message {number}")]);
        chat.text("x");
    }
    chat.see("bob: message 19");
    let typed = format!("half a {}", "x".repeat(20));
    chat.see_input(&format!("bob (here)> {typed}"));
    chat.keys(&["Enter"]);
    poll_until("the message to arrive", || bob.received().contains(&typed).then_some(()));
    let screen = chat.see(&format!("+ me: {typed}"));
    let came: Vec<&str> = screen.lines().filter(|line| line.contains("bob: message")).collect();
    assert!(came.iter().all(|line| line.len() < 30 && line.get(2..3) == Some(":")), "{screen}");
}

#[test]
fn a_message_waits_below_until_it_is_delivered() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    pair(&bob, &alice);
    let addr = node.addr.clone();
    drop(node);
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.see_input("bob (away)>");
    for text in ["one", "two", "three", "four", "five"] {
        chat.line(text);
    }
    let screen = chat.see(". me: five");
    assert!(
        screen.contains(". 2 more") && screen.contains(". me: three") && !screen.contains("me: two"),
        "{screen}"
    );
    chat.line("/cancel");
    chat.see("x me (cancelled): five");
    let _node = bob.serve_again_at(&addr);
    alice.run(&["outbox", "retry"]);
    let screen = chat.see("+ me: four");
    assert!(screen.find("+ me: one").unwrap() < screen.find("+ me: four").unwrap(), "{screen}");
    chat.see_input("bob (here)>");
    assert_eq!(bob.received(), ["one", "two", "three", "four"]);
}

#[test]
fn a_paste_is_one_message_and_no_command() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    let lines: Vec<String> = (0..200).map(|number| format!("/forget bob {number}")).collect();
    chat.paste(&lines.join("\n"));
    chat.see("/forget bob 199");
    assert!(bob.received().is_empty(), "nothing is said before Enter");
    chat.keys(&["Enter"]);
    poll_until("the paste to arrive", || (bob.received() == [lines.join("\n")]).then_some(()));
    chat.see_input("bob (here)>");
    assert!(alice.run(&["peers"]).contains("bob"));
}

#[test]
fn what_was_pasted_is_no_command_the_next_time_either() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    chat.paste("/rename hacked");
    wait_for_draft(&alice, "//rename hacked");
    chat.kill(&alice, "-KILL");
    chat.has_ended();
    chat.start(&alice, "");
    chat.see_input("bob (here)> //rename hacked");
    chat.keys(&["Enter"]);
    chat.see("+ me: /rename hacked");
    chat.keys(&["Up", "Enter"]);
    poll_until("it to be said again", || (bob.received() == ["/rename hacked"; 2]).then_some(()));
    chat.line("/quit");
    chat.is_a_shell_again();
    chat.start(&alice, "");
    chat.see_input("bob (here)>");
    chat.keys(&["Up"]);
    chat.see_input("bob (here)> //rename hacked");
    assert!(alice.run(&["peers"]).contains("bob"));
}

#[test]
fn no_text_and_no_name_steers_the_terminal() {
    let Some((chat, _alice, bob, _node)) = with_bob() else { return };
    bob.run(&["say", "alice", "\x1b]0;owned\x07\x1b[2J\x1b[1;1Hup\rback\u{202e}x\u{9b}31m end"]);
    chat.see(" end");
    bob.run(&["say", "alice", "one\n12:00   carol: forged"]);
    chat.see("    12:00   carol: forged");
    let written = chat.terminal.written();
    for evil in ["\x1b]0", "\x1b[2J\x1b[1;1H", "\rback", "\u{202e}", "\u{9b}"] {
        assert!(!written.contains(evil), "{evil:?}");
    }
}

#[test]
fn wide_and_joined_characters_are_edited_whole() {
    let Some((chat, _alice, bob, _node)) = with_bob() else { return };
    chat.text("\u{6f22}\u{5b57}e\u{301}!");
    chat.keys(&["Left", "BSpace", "Left", "x", "End"]);
    chat.text("\u{1f44d}\u{1f3fd}");
    chat.keys(&["BSpace", "Enter"]);
    poll_until("it to arrive", || (bob.received() == ["\u{6f22}x\u{5b57}!"]).then_some(()));
    chat.see("+ me: \u{6f22}x\u{5b57}!");
}

#[test]
fn kill_9_loses_nothing_and_leaves_the_terminal_usable() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    chat.text("a draft that stays");
    wait_for_draft(&alice, "a draft that stays");
    chat.kill(&alice, "-KILL");
    chat.has_ended();
    bob.run(&["say", "alice", "while you were away"]);
    chat.start(&alice, "");
    chat.see("bob: while you were away");
    chat.see_input("bob (here)> a draft that stays");
}

#[test]
fn a_signal_leaves_the_terminal_usable() {
    let Some((chat, alice, _bob, _node)) = with_bob() else { return };
    for signal in ["-TERM", "-HUP", "-INT"] {
        chat.text("what was being typed");
        chat.see_input("bob (here)> what was being typed");
        assert!(chat.guardian().is_some());
        chat.kill(&alice, signal);
        chat.has_ended();
        chat.start(&alice, "");
        chat.see("-- /help lists the commands");
        chat.wait("the prompt", || chat.input().starts_with("bob (here)>").then_some(()));
        chat.keys(&["C-u"]);
        chat.see_input("bob (here)>");
    }
}

/// Not a test: see the next one.
#[test]
#[ignore = "started by the test beside it, in a terminal"]
fn panics_in_a_terminal() {
    if std::env::var_os("EGOAT_PANIC").is_some() {
        let _entered = egoat::ui::terminal::tty::Terminal::enter().unwrap();
        panic!("what never happens");
    }
}

#[test]
fn a_panic_leaves_the_terminal_usable() {
    let Some(chat) = Chat::shell(USUAL) else { return };
    let this = std::env::current_exe().unwrap();
    let name = "--exact terminal::panics_in_a_terminal --ignored --nocapture";
    chat.line(&format!("clear; EGOAT_PANIC=1 {} {name}", this.display()));
    chat.see("what never happens");
    chat.has_ended();
    assert!(chat.terminal.written().contains("\x1b[?2004h"), "it was a terminal in raw mode");
}

#[test]
fn a_lost_terminal_ends_the_chat_also_where_hangups_are_ignored() {
    let Some((chat, alice, _bob, _node)) = with_bob() else { return };
    chat.line("/quit");
    chat.is_a_shell_again();
    chat.line("trap '' HUP");
    chat.start(&alice, "");
    chat.see_input("bob (here)>");
    chat.text("a draft");
    chat.see_input("bob (here)> a draft");
    let guardian = chat.guardian().unwrap();
    drop(chat);
    let lock = alice.path("node.lock");
    poll_until("the node to end with its terminal", || {
        fs::File::open(&lock).unwrap().try_lock().is_ok().then_some(())
    });
    poll_until("the guardian to end", || {
        let listed = Command::new("ps").args(["-p", &guardian, "-o", "args="]).output().unwrap();
        (!String::from_utf8_lossy(&listed.stdout).contains("egoat-guardian")).then_some(())
    });
    // Nothing was typed for less than a second, but it saw the end of its input.
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.see_input("bob (here)> a draft");
}

#[test]
fn a_lost_terminal_keeps_the_draft() {
    let Some((chat, alice, _bob, _node)) = with_bob() else { return };
    chat.text("before the line went dead");
    chat.see_input("bob (here)> before the line went dead");
    wait_for_draft(&alice, "before the line went dead");
    drop(chat);
    let lock = alice.path("node.lock");
    poll_until("the node to end with its terminal", || {
        fs::File::open(&lock).unwrap().try_lock().is_ok().then_some(())
    });
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.see_input("bob (here)> before the line went dead");
}

/// A terminal that closes kills the chat, which hears nothing of that first.
#[test]
fn a_draft_is_kept_while_somebody_types_on() {
    let Some((chat, alice, _bob, _node)) = with_bob() else { return };
    let own = logs::open(&alice);
    let (mut notes, bob) = (own.notes().unwrap(), logs::key(&own, "bob"));
    poll_until("a draft", || {
        chat.text("x ");
        notes.refresh().unwrap();
        notes.draft(bob.into()).starts_with("x x").then_some(())
    });
    chat.kill(&alice, "-HUP");
    chat.has_ended();
    chat.start(&alice, "");
    chat.see("bob (here)> x x");
}

#[test]
fn ctrl_z_suspends_and_fg_goes_on() {
    let Some((chat, _alice, bob, _node)) = with_bob() else { return };
    chat.text("half ");
    chat.see_input("bob (here)> half");
    chat.keys(&["C-z"]);
    chat.is_a_shell_again();
    chat.line("fg");
    chat.see_input("bob (here)> half");
    chat.text("whole");
    chat.keys(&["Enter"]);
    poll_until("it to arrive", || (bob.received() == ["half whole"]).then_some(()));
}

#[test]
fn leaving_puts_the_terminal_back() {
    let Some((chat, alice, _bob, _node)) = with_bob() else { return };
    chat.keys(&["C-c"]);
    chat.see("Ctrl-C again leaves");
    chat.keys(&["C-c"]);
    chat.is_a_shell_again();
    chat.start(&alice, "");
    chat.see_input("bob (here)>");
    chat.text("some words");
    chat.keys(&["C-c"]);
    chat.see_input("bob (here)>");
    chat.keys(&["C-d"]);
    chat.is_a_shell_again();
    chat.start(&alice, "");
    chat.see_input("bob (here)>");
    chat.line("/quit");
    chat.has_ended();
}

#[test]
fn a_terminal_that_was_left_in_another_mode_is_read_all_the_same() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    chat.line("/quit");
    chat.is_a_shell_again();
    // Shells put that right when they read, so this is one line. Without perl nothing is shown.
    let home = alice.path("");
    let set = "perl -MFcntl -e 'fcntl(STDIN, F_SETFL, O_RDWR | O_NONBLOCK)'";
    let listen = alice.own_port("127.0.0.1:0");
    chat.line(&format!("clear; {set}; {EGOAT} --home {} chat --listen {listen}", home.display()));
    chat.see_input("bob (here)>");
    chat.line("still here");
    poll_until("it to arrive", || (bob.received() == ["still here"]).then_some(()));
}

#[test]
fn another_size_is_drawn_anew_and_twenty_columns_are_enough() {
    let Some((chat, _alice, bob, _node)) = with_bob() else { return };
    chat.text("what is typed here is longer than a narrow window");
    for (columns, rows) in [(40, 12), (20, 8), (120, 30), (30, 4), (80, 24)] {
        chat.resize(columns, rows);
        chat.text("!");
        poll_until("one input line", || {
            let screen = chat.terminal.screen();
            let prompts = screen.lines().filter(|line| line.starts_with("bob")).count();
            (prompts <= 1 && screen.contains('!')).then_some(())
        });
    }
    chat.resize(20, 8);
    chat.keys(&["C-u"]);
    chat.see_input("bob>");
    bob.run(&["say", "alice", "a message that is wider than the window is"]);
    chat.see("wider than the window is");
    chat.text("narrow");
    chat.see_input("bob> narrow");
    chat.keys(&["Enter"]);
    poll_until("it to arrive", || (bob.received() == ["narrow"]).then_some(()));
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let Some(chat) = Chat::shell(USUAL) else { return };
    chat.line(&format!("clear; TERM=dumb {EGOAT} --home {} chat", bob.path("").display()));
    // All commands work, and none is a message.
    chat.line("/who");
    chat.see("1 alice  ");
    chat.line("from a dumb terminal");
    poll_until("it to arrive", || (alice.received() == ["from a dumb terminal"]).then_some(()));
    chat.line("/nonsense");
    chat.see("/nonsense is no command");
    chat.line("//etc");
    chat.line("/msg alice and on");
    poll_until("all to arrive", || {
        (alice.received() == ["from a dumb terminal", "/etc", "and on"]).then_some(())
    });
    alice.run(&["say", "bob", "hello"]);
    let screen = chat.see(" alice: hello");
    assert_eq!(screen.matches("from a dumb terminal").count(), 1, "{screen}");
    assert!(!chat.terminal.written().contains("\x1b[?2004h"));
    chat.line("/keys");
    chat.see("each line of a paste counts by itself");
    // The kernel drops the end of a longer line.
    chat.line(&"long ".repeat(900));
    chat.see("the line was not sent: this terminal cuts lines at 4095 bytes");
    chat.line("/add 127.0.0.1:1");
    chat.line("/q");
    chat.see_input("$");
    assert_eq!(alice.received().len(), 3);
}

#[test]
fn a_chat_beside_a_serving_node_is_detached_and_attached_again() {
    let (alice, mut alice_node, bob, _bob_node) = paired();
    for _ in 0..2 {
        let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
        chat.see_input("bob (here)>");
        chat.line("through the node");
        alice_node.wait_for("delivered 1 to bob");
        chat.see("+ me: through the node");
        bob.run(&["say", "alice", "to whoever looks"]);
        chat.see("bob: to whoever looks");
    }
    assert_eq!(bob.received(), ["through the node", "through the node"]);
}

#[test]
fn who_is_gone_is_away_at_once() {
    let Some((chat, _alice, bob, node)) = with_bob() else { return };
    // Now there are connections both ways.
    bob.run(&["say", "alice", "goodbye"]);
    chat.see("bob: goodbye");
    let began = Instant::now();
    drop(node);
    chat.see_input("bob (away)>");
    // A ping would tell as well, 20 seconds after the one before.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn two_chats_share_a_home() {
    let Some((first, alice, bob, _node)) = with_bob() else { return };
    let Some(second) = Chat::open(&alice, USUAL, "") else { return };
    second.see_input("bob (here)>");
    bob.run(&["say", "alice", "to both"]);
    first.see("bob: to both");
    second.see("bob: to both");
    second.line("from the second");
    first.see("+ me: from the second");
    first.line("/quit");
    first.is_a_shell_again();
    // Nobody delivers any more, and what is said waits.
    second.see("-- the node beside this chat has ended: what is said waits until there is one");
    second.see_input("bob (away)>");
    second.line("to nobody");
    second.see(". me: to nobody");
    second.line("/invite");
    second.see("-- no node runs here: start `egoat serve`");
    first.start(&alice, "");
    second.see("+ me: to nobody");
    assert_eq!(bob.received(), ["from the second", "to nobody"]);
}

#[test]
fn a_file_for_the_serving_node_is_shown_with_where_it_is() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let here = fs::canonicalize(alice.around()).unwrap();
    let mut serve = alice.cmd(&["serve", "--listen", "127.0.0.1:0", "--downloads", "a place"]);
    serve.current_dir(&here);
    let mut node = Process::start(serve);
    node.wait_for("listening on ");
    pair(&alice, &bob);
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.see_input("bob (away)>");
    bob.run(&["send", "alice", &bob.file("one.txt", "content")]);
    let path = here.join("a place/bob/one.txt");
    chat.see(&format!("* bob sent {} (7 B)", path.display()));
    assert_eq!(fs::read(path).unwrap(), b"content");
}

/// Three messages from Bob, of which the second is damaged on the disk.
fn damage(alice: &Home, bob: &Home) {
    logs::receive(&logs::open(alice), "bob", &["one", "two", "six"]);
    let history = alice.path(&format!("history/{}.log", bob.key()));
    let mut bytes = fs::read(&history).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&history, bytes).unwrap();
}

#[test]
fn damage_is_told_in_the_conversation() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    damage(&alice, &bob);
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    let screen = chat.see("are damaged and were skipped\n");
    let told: Vec<&str> = screen.lines().filter(|line| line.contains("damaged")).collect();
    assert!(told.len() == 1 && told[0].starts_with("-- "), "{screen}");
    assert!(screen.contains("bob: one") && screen.contains("bob: six"), "{screen}");
    assert!(!chat.terminal.written().contains("egoat: "), "nothing is written past the screen");
    // Line by line, stderr is for that.
    let (out, said) = alice.ends_with(&["log"], b"", 0);
    assert!(out.contains("bob: six") && said.starts_with("egoat: ") && said.contains("damaged"), "{said}");
}

/// The outbox is in nobody's way but its own.
#[test]
fn an_outbox_that_is_damaged_ends_no_chat() {
    let Some((chat, alice, [bob, _carol], _nodes)) = with_two() else { return };
    chat.line("/quit");
    chat.is_a_shell_again();
    let outbox = alice.path(&format!("outbox/{}.log", bob.key()));
    fs::write(&outbox, [b"not a log".as_slice(), &[1; 300]].concat()).unwrap();
    chat.start(&alice, "bob");
    chat.see("it does not start as a log of this version and kind");
    chat.see_input("bob (here)>");
    chat.line("kept");
    chat.see_input("bob (here)> kept");
    chat.keys(&["C-u"]);
    chat.line("/to carol");
    chat.see_input("carol (here)>");
    chat.line("hello");
    chat.see("+ me: hello");
}

/// Wherever it is cancelled: what cannot be noted in the history stays in the outbox.
#[test]
fn a_history_that_is_damaged_costs_no_message_that_is_cancelled() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    alice.run(&["say", "bob", "to be kept"]);
    let listed = alice.run(&["outbox"]);
    fs::write(alice.path(&format!("history/{}.log", bob.key())), b"not a log").unwrap();
    let number = listed.split(' ').next().unwrap();
    let why = "it does not start as a log of this version and kind";
    assert!(alice.fails(&["outbox", "cancel", number], 74).contains(why));
    assert_eq!(alice.run(&["outbox"]), listed);
    assert!(alice.fails(&["peers", "set", "bob", "blocked"], 74).contains(why));
    assert_eq!(alice.run(&["outbox"]), listed);
    alice.run(&["peers", "set", "bob", "blocked="]);
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.see_input("bob (away)>");
    chat.line("/cancel");
    chat.see(why);
    chat.see(". me: to be kept");
    assert_eq!(alice.run(&["outbox"]), listed);
}

#[test]
fn a_full_disk_ends_no_chat_and_loses_no_line() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (alice, bob) = (Home::new_in(disk.path(), "alice"), Home::new("bob"));
    let _node = bob.serve();
    alice.run(&["join", bob.run(&["invite"]).trim_end()]);
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.see_input("bob (here)>");
    let ballast = disk.path().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 1024]).is_ok() {}
    drop(file);
    // More than there is room for at the end of a file.
    let text = format!("{}end", "long ".repeat(2000));
    chat.paste(&text);
    chat.see("-- no drafts are kept for the next chat");
    chat.keys(&["Enter"]);
    let written = || chat.terminal.written().replace('\r', "").replace("\n    ", " ");
    let told = || written().matches("no space left on device").count();
    chat.wait("the second error", || (told() == 2).then_some(()));
    chat.see("long end");
    assert!(bob.received().is_empty());
    fs::remove_file(&ballast).unwrap();
    chat.keys(&["Enter"]);
    poll_until("the message to arrive", || (bob.received() == [text.as_str()]).then_some(()));
    chat.line("and on");
    chat.see("+ me: and on");
    // For as long as this chat runs they are.
    chat.text("half a line");
    chat.keys(&["M-1"]);
    chat.text("!");
    chat.see_input("bob (here)> half a line!");
    assert_eq!(written().matches("no drafts are kept").count(), 1);
}

#[test]
fn a_message_is_not_taken_back_where_that_cannot_be_noted() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    alice.run(&["say", "bob", "it waits"]);
    damage(&alice, &bob);
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.see(". me: it waits");
    chat.line("/cancel");
    chat.see("hint: nothing was deleted");
    chat.see(". me: it waits");
    assert!(alice.run(&["outbox"]).contains("it waits"));
}

#[test]
fn what_the_node_of_the_chat_repairs_is_told_in_the_conversation() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    chat.text("half a line");
    bob.run(&["say", "alice", "before"]);
    chat.see("bob: before");
    let history = alice.path(&format!("history/{}.log", bob.key()));
    fs::OpenOptions::new().append(true).open(&history).unwrap().write_all(b"torn").unwrap();
    bob.run(&["say", "alice", "behind"]);
    let screen = chat.see("an unfinished record of 4 bytes at its end was cut off and kept as");
    assert!(screen.lines().any(|line| line.starts_with("-- /") && line.contains("cut off")), "{screen}");
    chat.see("bob: behind");
    chat.see_input("bob (here)> half a line");
    assert!(!chat.terminal.written().contains("egoat: "), "nothing is written past the screen");
}

/// Alice, who chats, and two who serve.
fn with_two() -> Option<(Chat, Home, [Home; 2], [Node; 2])> {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let nodes = [bob.serve(), carol.serve()];
    for home in [&bob, &carol] {
        alice.run(&["join", home.run(&["invite"]).trim_end()]);
    }
    let chat = Chat::open(&alice, USUAL, "bob")?;
    chat.see_input("bob (here)>");
    Some((chat, alice, [bob, carol], nodes))
}

#[test]
fn unread_messages_of_others_are_counted_and_found() {
    let Some((chat, alice, [bob, carol], _nodes)) = with_two() else { return };
    for text in ["one", "two"] {
        carol.run(&["say", "alice", text]);
    }
    chat.see_input("[carol 2] bob (here)>");
    chat.text("for bob");
    assert_eq!(alice.run(&["peers", "--unread"]), "carol 2\n");
    let log = alice.run(&["log", "--unread"]);
    assert!(log.lines().count() == 2 && log.ends_with(" carol: two\n"), "{log}");
    chat.keys(&["M-a"]);
    let screen = chat.see("carol: two");
    poll_until("it to be read", || alice.run(&["peers", "--unread"]).is_empty().then_some(()));
    assert!(screen.contains("-- unread\n") || screen.contains("-- unread --"), "{screen}");
    chat.see_input("carol (here)>");
    chat.line("for carol");
    chat.see("+ me: for carol");
    chat.keys(&["M-1"]);
    chat.see_input("bob (here)> for bob");
    chat.keys(&["C-u"]);
    chat.line("/to carol");
    chat.see_input("carol (here)>");
    bob.run(&["say", "alice", "three"]);
    chat.see_input("[bob 1] carol (here)>");
    chat.line("/all");
    chat.see_input("all, carol (here)>");
    carol.run(&["say", "alice", "four"]);
    let screen = chat.see("carol: four");
    assert!(screen.contains("bob: three") && screen.contains("me -> carol: for carol"), "{screen}");
    // What was seen stays seen, also for the next chat.
    chat.line("/quit");
    chat.is_a_shell_again();
    carol.run(&["say", "alice", "five"]);
    chat.start(&alice, "bob");
    chat.see_input("[carol 1] bob (here)>");
}

/// The chat, `peers --unread` and `log --unread` mean the same.
#[test]
fn a_conversation_that_was_never_open_is_unread() {
    let (alice, [bob, carol]) = (Home::new("alice"), [Home::new("bob"), Home::new("carol")]);
    for (name, home) in [("bob", &bob), ("carol", &carol)] {
        alice.run(&["peers", "add", name, &home.key()]);
    }
    logs::receive(&logs::open(&alice), "carol", &["one", "two"]);
    assert_eq!(alice.run(&["peers", "--unread"]), "carol 2\n");
    let Some(chat) = Chat::open(&alice, USUAL, "bob") else { return };
    chat.see_input("[carol 2] bob (away)>");
    assert_eq!(alice.run(&["peers", "--unread"]), "carol 2\n");
    chat.line("/to carol");
    let screen = chat.see("carol: two");
    assert!(screen.contains("-- unread --"), "{screen}");
    poll_until("it to be read", || alice.run(&["peers", "--unread"]).is_empty().then_some(()));
    assert!(alice.run(&["log", "--unread"]).is_empty());
}

#[test]
fn what_was_not_read_is_shown_whatever_came_behind_it() {
    let Some((chat, alice, [_bob, carol], _nodes)) = with_two() else { return };
    let own = logs::open(&alice);
    let lines = |what: &str, count: usize| -> Vec<String> {
        (0..count).map(|number| format!("{what} {number}")).collect()
    };
    let all = || chat.terminal.tmux(&["capture-pane", "-p", "-S", "-400"]).unwrap();
    let receive = |texts: &[String]| {
        logs::receive(&own, "carol", &texts.iter().map(String::as_str).collect::<Vec<_>>());
    };
    receive(&lines("theirs", 25));
    chat.see_input("[carol 25] bob (here)>");
    for text in lines("ours", 30) {
        alice.run(&["say", "carol", &text]);
    }
    // Of so many, all together show the last alone, and the others stay unread.
    chat.line("/all");
    chat.see_input("[carol 25] all, bob (here)>");
    chat.line("/clear");
    chat.line("/to carol");
    chat.see_input("carol (here)>");
    let shown = all();
    let shown = shown.rsplit("-- carol\n").next().unwrap();
    assert!(shown.contains("-- unread --\n") && shown.contains("carol: theirs 0\n"), "{shown}");
    assert!(shown.contains("+ me: ours 29\n"), "{shown}");
    chat.line("/to bob");
    chat.see_input("bob (here)>");
    receive(&lines("more", 300));
    chat.see_input("[carol 300] bob (here)>");
    chat.line("/to carol");
    chat.see_input("carol (here)>");
    let shown = all();
    let shown = shown.rsplit("-- carol\n").next().unwrap();
    assert!(shown.starts_with("-- unread, and 100 before: /history 300 or `egoat log` --\n"), "{shown}");
    assert!(shown.contains("carol: more 100\n") && !shown.contains("carol: more 99\n"), "{shown}");
    assert_eq!(carol.received().len(), 30);
}

#[test]
fn tab_completes_commands_peers_and_paths() {
    let Some((chat, alice, _others, _nodes)) = with_two() else { return };
    chat.text("/verif");
    chat.keys(&["Tab"]);
    chat.see("-- /verify  /verified");
    chat.keys(&["C-u"]);
    chat.text("/t");
    chat.keys(&["Tab"]);
    chat.see("-- /to  /transfers");
    chat.text("o c");
    chat.keys(&["Tab", "Enter"]);
    chat.see_input("carol (here)>");
    alice.file("a long name.txt", "content");
    chat.text(&format!("/send {}/a\\ lo", alice.around().display()));
    chat.keys(&["Tab", "Enter"]);
    chat.see("* carol has a long name.txt (7 B)");
}

#[test]
fn both_sides_see_the_same_safety_number() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let Some(first) = Chat::open(&bob, USUAL, "") else { return };
    first.line("/invite");
    let screen = first.see("@127.0.0.1:");
    let link = screen.lines().find(|line| line.contains("@127.0.0.1:")).unwrap().trim();
    let Some(second) = Chat::open(&alice, USUAL, "") else { return };
    second.line(&format!("/join {link}"));
    second.see_input("bob (here)>");
    first.see_input("alice (here)>");
    let number = |chat: &Chat| {
        chat.line("/verify");
        let screen = chat.see("when it is the same: /verified");
        let is_half =
            |line: &&str| line.len() == 38 && line[3..].chars().all(|c| c.is_ascii_digit() || c == ' ');
        screen.lines().map(str::trim_end).filter(is_half).map(str::to_owned).collect::<Vec<_>>()
    };
    let (one, other) = (number(&first), number(&second));
    assert!(one.len() == 2 && one == other, "{one:?} {other:?}");
    second.line("/verified");
    second.see("bob is verified");
    assert!(alice.run(&["peers", "show", "bob"]).contains("verified     yes"));
    second.line("/rename robert");
    second.see_input("robert (here)>");
    second.line("/forget r");
    second.see("forget robert? What waits for it goes out no more. yes or no");
    second.line("no");
    second.see("robert stays");
    assert!(!alice.run(&["peers"]).is_empty());
    second.line("/forget robert");
    second.see_input("forget robert: yes or no>");
    second.line("yes");
    second.see_input("egoat>");
    assert!(alice.run(&["peers"]).is_empty());
}

#[test]
fn a_conversation_with_somebody_new_begins_with_one_line() {
    let homes = ["alice", "bob", "carol"].map(Home::new);
    let Some((alice, bob)) = Chat::open(&homes[0], USUAL, "").zip(Chat::open(&homes[1], USUAL, "")) else {
        return;
    };
    let begins_once = |chat: &Chat, name: &str| {
        chat.see_input(&format!("{name} (here)>"));
        chat.line("hello");
        let screen = chat.see("+ me: hello");
        assert_eq!(screen.matches(&format!("-- {name}\n")).count(), 1, "{screen}");
    };
    let link = homes[0].run(&["invite"]).trim_end().to_owned();
    bob.line(&format!("/join {link}"));
    begins_once(&alice, "bob");
    begins_once(&bob, "alice");
    bob.line(&format!("/join {link}"));
    bob.see("-- alice was a peer already, and answers");
    begins_once(&bob, "alice");
    let Some(carol) = Chat::open(&homes[2], USUAL, "") else { return };
    homes[0].run(&["peers", "add", "carol", &homes[2].key(), &address(&homes[2])]);
    carol.see("-- alice wants to be a peer");
    carol.line("/admit");
    begins_once(&carol, "alice");
}

#[test]
fn a_node_is_added_by_its_address_once_its_fingerprint_is_confirmed() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = bob.serve();
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    chat.line(&format!("/add {}", node.addr));
    chat.see(&format!("is {}; is that the right one?", bob.fingerprint()));
    chat.line("no");
    chat.see("then nothing was saved");
    chat.line(&format!("/add {}", node.addr));
    chat.see_input(&format!("{}: yes or no>", node.addr));
    chat.line("yes");
    let refused = "refused: it does not know this node yet; your request was noted there";
    chat.see(&format!("-- 127.0.0.1 is saved here, but {} {refused}", node.addr));
    chat.see("-- hint: ask them to run `egoat peers accept`");
    bob.run(&["peers", "accept"]);
    chat.line("hello");
    poll_until("the message to arrive", || (bob.received() == ["hello"]).then_some(()));
    let screen = chat.see("+ me: hello");
    assert_eq!(screen.replace("\n    ", " ").matches(refused).count(), 1, "{screen}");
    assert!(!screen.contains("paired with"), "{screen}");
}

#[test]
fn a_line_that_was_begun_is_for_whom_it_was_begun() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    let (carol, dave) = (Home::new("carol"), Home::new("dave"));
    let nodes = [carol.serve(), dave.serve()];
    let [join, add] = [&nodes[0], &nodes[1]].map(|node| Gate::before(&node.addr, 0));
    let link = carol.run(&["invite"]);
    let (key, _) = link.split_once('@').unwrap();
    chat.line(&format!("/join {key}@{}", join.addr));
    chat.line(&format!("/add {}", add.addr));
    chat.text("for bob ");
    chat.see_input("bob (here)> for bob");
    join.open();
    chat.see("-- /to carol talks to them");
    add.open();
    chat.see(&format!("-- {} answers: whether it is the right one is asked after this line", add.addr));
    chat.text("alone");
    chat.keys(&["Enter"]);
    chat.see_input(&format!("{}: yes or no>", add.addr));
    poll_until("the line to arrive", || (bob.received() == ["for bob alone"]).then_some(()));
    // Nor is a draft an answer, and it is there again behind the question.
    chat.keys(&["C-c"]);
    chat.see_input("bob (here)>");
    chat.text("no answer");
    wait_for_draft(&alice, "no answer");
    chat.keys(&["M-2"]);
    chat.see_input("carol (here)>");
    chat.line(&format!("/add {}", nodes[1].addr));
    chat.see_input(&format!("{}: yes or no>", nodes[1].addr));
    chat.keys(&["M-1"]);
    chat.see_input(&format!("{}: yes or no>", nodes[1].addr));
    chat.keys(&["C-c"]);
    chat.see_input("bob (here)> no answer");
}

#[test]
fn questions_are_asked_one_after_another() {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(Home::new);
    let nodes = [bob.serve(), carol.serve()];
    let [first, second] = [&nodes[0], &nodes[1]].map(|node| Gate::before(&node.addr, 0));
    let Some(chat) = Chat::open(&alice, USUAL, "") else { return };
    for gate in [&first, &second] {
        chat.line(&format!("/add {}", gate.addr));
    }
    second.open();
    chat.see_input(&format!("{}: yes or no>", second.addr));
    first.open();
    chat.see(&format!("-- {} answers", first.addr));
    chat.line("yes");
    chat.see_input(&format!("{}: yes or no>", first.addr));
    chat.line("no");
    chat.see_input("127.0.0.1 (away)>");
}

#[test]
fn what_was_typed_to_a_peer_that_is_removed_is_for_nobody_else() {
    let Some((chat, alice, [bob, carol], _nodes)) = with_two() else { return };
    chat.text("for bob");
    chat.see_input("bob (here)> for bob");
    alice.run(&["peers", "remove", "bob"]);
    chat.see("-- what was being typed is kept, should this peer come back");
    chat.see_input("egoat>");
    chat.line(" alone");
    chat.see("-- to whom?");
    chat.see_input("egoat>");
    chat.keys(&["Up"]);
    chat.see_input("egoat>  alone");
    alice.run(&["peers", "rename", "carol", "caroline"]);
    chat.see_input("egoat>  alone");
    chat.keys(&["C-u", "M-1"]);
    chat.see_input("caroline (here)>");
    alice.run(&["peers", "add", "bob", &bob.key()]);
    chat.see("-- paired with bob");
    chat.line("/to bob");
    chat.see(")> for bob");
    assert!(carol.received().is_empty());
}

#[test]
fn nothing_goes_to_whom_the_user_has_blocked() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    alice.run(&["peers", "set", "bob", "blocked"]);
    let path = alice.file("notes.txt", "some notes");
    chat.line(&format!("/send {path}"));
    chat.see("-- bob is blocked here");
    chat.line("/clear");
    chat.line("hello");
    chat.see("-- bob is blocked here");
    chat.see_input("bob (away)>");
    chat.line("/quit");
    chat.is_a_shell_again();
    let (_, said) = alice.ends_with(&["chat"], b"line by line\n", 0);
    assert!(said.contains("this line was not sent: bob is blocked here"), "{said}");
    assert!(alice.run(&["outbox"]).is_empty() && bob.received().is_empty());
    assert!(!bob.path("downloads/alice").exists());
}

#[test]
fn a_typing_error_in_the_peers_file_ends_no_chat() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    // In one step, as editors do: a file that is being written is empty for a moment.
    let edit = |text: &str| {
        fs::write(alice.path("peers.new"), text).unwrap();
        fs::rename(alice.path("peers.new"), alice.path("peers")).unwrap();
    };
    let peers = fs::read_to_string(alice.path("peers")).unwrap();
    let broken = format!("{peers}carol who?\n");
    edit(&broken);
    chat.see("-- hint: correct it there");
    chat.line("still here");
    chat.see("me: still here");
    chat.line("/quit");
    chat.is_a_shell_again();
    edit(&peers);
    let mut plain = Process::start(alice.cmd(&["chat", "--listen", &alice.own_port("127.0.0.1:0")]));
    plain.write(b"/to bob\none\n");
    poll_until("one", || bob.received().contains(&"one".to_owned()).then_some(()));
    edit(&broken);
    plain.write(b"two\n/to bob\nthree\n");
    let (code, _, said) = plain.end();
    // Names mean what they meant when the file could be read last, as in the chat on a terminal.
    assert!(code == Some(0) && said.contains("line 2: a line is NAME KEY"), "{code:?} {said}");
    // The node may not dial meanwhile.
    edit(&peers);
    // Bob may not know yet that the connection of the chat has ended.
    poll_until("bob to be reached", || {
        alice.cmd(&["fetch"]).output().unwrap().status.success().then_some(())
    });
    assert_eq!(bob.received(), ["still here", "one", "two", "three"]);
}

#[test]
fn strangers_are_one_quiet_line() {
    let Some((chat, alice, _bob, _node)) = with_bob() else { return };
    let carol = Home::new("carol");
    let addr = address(&alice);
    for _ in 0..3 {
        let _ = carol.cmd(&["say", "--accept-new", &addr, "let me in"]).output().unwrap();
    }
    chat.see(&format!("-- carol wants to be a peer: /admit {}", carol.fingerprint()));
    chat.line(&format!("/admit {}", carol.fingerprint()));
    chat.see("paired with carol");
    let screen = chat.terminal.screen();
    assert_eq!(screen.matches("wants to be a peer").count(), 1, "{screen}");
}

#[test]
fn files_go_out_wait_and_are_stopped() {
    let Some((chat, alice, bob, node)) = with_bob() else { return };
    let path = alice.file("notes.txt", "some notes");
    chat.line(&format!("/send {path}"));
    chat.see("* bob has notes.txt (10 B)");
    assert_eq!(fs::read(bob.path("downloads/alice/notes.txt")).unwrap(), b"some notes");
    chat.line("/send /nonexistent/file");
    chat.see("cannot send /nonexistent/file");
    chat.line(&format!("/send {}", alice.path("identity").display()));
    chat.see("it is egoat's own home, or in it");
    drop(node);
    chat.see_input("bob (away)>");
    chat.line(&format!("/send {path}"));
    chat.see("bob cannot be reached now; notes.txt (10 B) goes out when it can");
    assert!(alice.run(&["outbox"]).contains("notes.txt"));
}

/// Alice, whose chat sends a file to Bob that does not get far.
fn sending_for_long(alice: &Home) -> Option<(Chat, (Home, Node, Gate))> {
    let bob = Home::new("bob");
    let node = bob.serve();
    // It lets the handshake and the first chunks through.
    let gate = Gate::before(&node.addr, 1 << 20);
    alice.run(&["peers", "add", "bob", &bob.key(), &gate.addr]);
    bob.run(&["peers", "add", "alice", &alice.key()]);
    let path = alice.file("large.bin", vec![7; 48 << 20]);
    let chat = Chat::open(alice, USUAL, "")?;
    chat.see_input("bob (here)>");
    chat.line(&format!("/send {path}"));
    chat.see("/s: large.bin to bob");
    Some((chat, (bob, node, gate)))
}

#[test]
fn a_transfer_is_listed_and_stopped() {
    let alice = Home::new("alice");
    let Some((chat, _bob)) = sending_for_long(&alice) else { return };
    chat.line("/transfers");
    chat.see("/s: large.bin to bob");
    chat.line("/stop 7");
    chat.see("which one? /transfers lists them");
    chat.line("/stop 1");
    chat.see("-- large.bin does not go to bob: it was stopped here");
    chat.line("/transfers");
    chat.see("-- nothing moves");
    assert!(alice.run(&["outbox"]).is_empty(), "what was stopped is not queued");
}

#[test]
fn leaving_asks_once_and_what_it_interrupts_goes_on() {
    let alice = Home::new("alice");
    let Some((chat, (bob, _node, gate))) = sending_for_long(&alice) else { return };
    chat.line("/quit");
    chat.see("-- on its way, and to go on next time: 1 transfer; leave? yes or no");
    chat.see_input("leave: yes or no>");
    chat.line("no");
    chat.see_input("bob (here)>");
    chat.keys(&["C-d"]);
    chat.see_input("leave: yes or no>");
    chat.line("Y");
    let screen = chat.see("large.bin to bob: goes on next time --");
    assert!(screen.contains("-- [1] "), "{screen}");
    chat.is_a_shell_again();
    chat.start(&alice, "");
    chat.see("-- 1 transfer for bob from before: /outbox lists what waits");
    gate.open();
    chat.see("* bob has large.bin");
    assert_eq!(fs::metadata(bob.path("downloads/alice/large.bin")).unwrap().len(), 48 << 20);
    assert_eq!(fs::read_dir(bob.path("downloads/alice")).unwrap().count(), 1);
}

#[test]
fn files_of_a_chat_that_is_killed_go_on() {
    let alice = Home::new("alice");
    let Some((chat, (bob, _node, gate))) = sending_for_long(&alice) else { return };
    chat.kill(&alice, "-KILL");
    chat.has_ended();
    assert!(alice.run(&["outbox"]).contains("large.bin"));
    chat.start(&alice, "");
    gate.open();
    chat.see("* bob has large.bin");
    assert_eq!(fs::read_dir(bob.path("downloads/alice")).unwrap().count(), 1);
}

/// A file that waits behind a large one would wait for long.
#[test]
fn files_do_not_wait_for_those_that_were_sent_before() {
    let alice = Home::new("alice");
    let Some((chat, (_bob, _node, gate))) = sending_for_long(&alice) else { return };
    chat.line(&format!("/send {}", alice.file("small.txt", "small")));
    chat.see("[2] ");
    gate.open();
    chat.see("* bob has small.txt");
}

#[test]
fn what_a_node_could_not_send_any_more_is_told() {
    let alice = Home::new("alice");
    let node = alice.serve();
    let Some((chat, _bob)) = sending_for_long(&alice) else { return };
    drop(node);
    chat.see("-- the node here has ended before the files were sent; they go on when one runs again");
}

/// An offer that Alice is asked about, from Bob, who has no more to say.
fn offered(chat: &Chat, alice: &Home, bob: &Home, name: &str) -> common::Process {
    alice.run(&["peers", "set", "bob", "files=ask"]);
    let path = bob.file(name, "an offer");
    let send = common::Process::start(bob.cmd(&["send", "alice", &path]));
    chat.see(&format!("bob offers {name} (8 B)"));
    send
}

#[test]
fn offers_are_taken_where_the_user_wants_or_refused() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    let addr = address(&alice);
    let key = alice.key();
    bob.run(&["peers", "remove", "alice"]);
    bob.run(&["peers", "add", "alice", &key, &addr]);
    let mut send = offered(&chat, &alice, &bob, "one.txt");
    chat.line("/refuse 1");
    assert_eq!(send.end().0, Some(77));
    let mut send = offered(&chat, &alice, &bob, "two.txt");
    let into = alice.path("elsewhere");
    chat.line(&format!("/accept 2 {}", into.display()));
    assert_eq!(send.end().0, Some(0));
    assert_eq!(fs::read(into.join("two.txt")).unwrap(), b"an offer");
    chat.see(&format!("* bob sent {}", into.join("two.txt").display()));
    chat.line("/accept 2");
    chat.see("no such offer waits any more");
}

#[test]
fn a_program_is_told_of_what_nobody_looks_at() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let _nodes = [bob.serve(), carol.serve()];
    for home in [&bob, &carol] {
        alice.run(&["join", home.run(&["invite"]).trim_end()]);
    }
    let told = alice.path("told");
    let program =
        alice.script("script", &format!("(echo \"$EGOAT_PEER $EGOAT_ID $#\"; cat) >>{}", told.display()));
    let Some(chat) = Chat::open(&alice, USUAL, &format!("--notify {program} bob")) else { return };
    chat.see_input("bob (here)>");
    bob.run(&["say", "alice", "seen at once"]);
    chat.see("bob: seen at once");
    carol.run(&["say", "alice", "$(touch /tmp/x) not looked at"]);
    let look = || fs::read_to_string(&told).ok().filter(|text| text.contains("not looked at"));
    let text = poll_until("the program to be told", look);
    assert!(text.starts_with("carol 1") && text.contains(" 0\n$(touch"), "{text}");
    bob.run(&["say", "alice", "Alice, are you there?"]);
    poll_until("a mention to be told", || {
        fs::read_to_string(&told).unwrap().contains("are you there?").then_some(())
    });
    assert!(!fs::read_to_string(&told).unwrap().contains("seen at once"));
}

#[test]
fn the_past_is_shown_and_searched() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    for number in 0..30 {
        bob.run(&["say", "alice", &format!("line {number}")]);
    }
    chat.see("bob: line 29");
    chat.line("/history LINE 7");
    chat.see("-- nothing here has LINE 7");
    chat.line("/history line 7");
    chat.see("bob: line 7");
    chat.line("/clear");
    poll_until("an empty screen", || (!chat.terminal.screen().contains("line")).then_some(()));
    chat.line("/history 2");
    let screen = chat.see("bob: line 29");
    assert!(screen.contains("bob: line 28") && !screen.contains("bob: line 27"), "{screen}");
    chat.line("/quit");
    chat.is_a_shell_again();
    chat.start(&alice, "");
    chat.see_input("bob (here)>");
    let all = chat.terminal.tmux(&["capture-pane", "-p", "-S", "-100"]).unwrap();
    let last = all.rsplit("-- /help").next().unwrap();
    assert_eq!(last.matches("bob: line").count(), 20, "{last}");
}

#[test]
fn help_lists_every_command_and_what_is_none_is_said() {
    let Some((chat, _alice, _bob, _node)) = with_bob() else { return };
    chat.resize(USUAL, 50);
    chat.line("/help");
    for name in ["/to /msg", "/stop", "/quit"] {
        chat.see(name);
    }
    chat.line("/help all");
    for name in ["/to NAME", "/stop [N]", "leave; also /q"] {
        chat.see(name);
    }
    chat.line("/keys");
    chat.see("Ctrl-R searches");
    chat.line("/nonsense");
    chat.see("/nonsense is no command; /help lists them, and // begins a message (Up brings the line back)");
    chat.see_input("bob (here)>");
    chat.keys(&["Up"]);
    chat.see_input("bob (here)> /nonsense");
    chat.keys(&["C-u"]);
    chat.line("//etc begins with a slash");
    chat.see("+ me: /etc begins with a slash");
    chat.line("/me waves");
    chat.see("+ ~ me waves");
    chat.line("/who");
    chat.see("-- 1 bob  here");
    chat.line("/id");
    chat.see("-- at 127.0.0.1:");
}
