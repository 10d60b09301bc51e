//! The interactive chat's figures: opening, how soon a message is on the screen, idling. script(1) is the terminal; without
//! it they are left out. Left out too: how long a terminal takes to draw.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Home, PROGRAM, median_and_worst, milliseconds, pair, proc, row, ticks};

const MESSAGES: u64 = 10_000;
const RUNS: usize = 20;
const WATCH: Duration = Duration::from_secs(10);

/// A chat in a terminal, and what it writes.
struct Chat {
    script: Child,
    written: Receiver<Vec<u8>>,
}

impl Chat {
    fn start(home: &Home) -> Option<Chat> {
        let command =
            format!("exec {PROGRAM} --home {} chat --listen 127.0.0.1:0", home.dir.path().display());
        let mut script = Command::new("script")
            .args(["-q", "-f", "-c", &command, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut stdout = script.stdout.take()?;
        let (sender, written) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Chat { script, written })
    }

    /// Waits until it has written `text`.
    fn wait_for(&self, text: &str) {
        let mut seen = Vec::new();
        while !seen.windows(text.len()).any(|part| part == text.as_bytes()) {
            seen.extend(self.written.recv_timeout(WATCH).unwrap_or_else(|_| panic!("no {text:?}")));
        }
    }

    fn ticks(&self) -> Option<u64> {
        let script = self.script.id();
        let chat = proc(script, &format!("task/{script}/children"))?.trim().parse().ok()?;
        ticks(&proc(chat, "stat")?)
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Prints all of them.
pub fn figures(fill: impl Fn(&Home, &Home, u64)) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _bob_node = bob.serve();
    pair(&bob, &alice);
    fill(&alice, &bob, MESSAGES);
    let mut opened = Vec::new();
    let mut chat = None;
    for _ in 0..RUNS {
        drop(chat.take());
        let started = Instant::now();
        let Some(one) = Chat::start(&alice) else {
            return println!("no script(1) here: the chat is left out");
        };
        one.wait_for("bob (");
        opened.push(started.elapsed());
        chat = Some(one);
    }
    let Some(chat) = chat else { return };
    let (median, worst) = median_and_worst(opened);
    row(
        "chat, from nothing to 10,000 messages of history",
        milliseconds(median),
        milliseconds(worst),
        "100 ms",
    );
    let mut told = Vec::new();
    for number in 0..RUNS {
        let text = format!("number {number} is said");
        let started = Instant::now();
        bob.run(&["say", "--wait", "10s", "alice", &text]);
        chat.wait_for(&text);
        told.push(started.elapsed());
    }
    let (median, worst) = median_and_worst(told);
    row(
        "a message, from its typing to the peer's screen",
        milliseconds(median),
        milliseconds(worst),
        "150 ms",
    );
    let before = chat.ticks();
    thread::sleep(WATCH);
    let used = chat.ticks().zip(before).map(|(after, before)| (after - before) as f64 / WATCH.as_secs_f64());
    let used = used.map_or("not known".into(), |percent| format!("{percent:.2} %"));
    row("idle chat that is the node, share of a core", used, String::new(), "0.3 %");
}
