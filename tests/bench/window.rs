//! The window's figures: files that a browser hands over, beside `egoat send`; and with a browser, how soon its page shows what
//! is on the disk, and what a node with an open page costs. `tests/window/browser/measure.mjs` drives the page. Without
//! node, chromium and what `make check-window` installs, that part is left out.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Home, PROGRAM, key, median_and_worst, memory, milliseconds, pair, proc, row, ticks};

const GIB: u64 = 1 << 30;
/// Rounds of a GiB, after one that is not counted.
const ROUNDS: usize = 3;
const PIECE: usize = 1 << 20;
const WATCH: Duration = Duration::from_secs(10);
const MANY: u64 = 100_000;
const SOME: u64 = 10_000;

/// An `egoat window`, and the address that it has printed.
struct Window {
    process: Child,
    address: String,
}

impl Window {
    fn start(home: &Home) -> Window {
        let mut command = home.command(&["window", "--no-open", "--port", "0", "--listen", "127.0.0.1:0"]);
        for variable in ["SSH_CONNECTION", "SSH_CLIENT"] {
            command.env_remove(variable);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut address = String::new();
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        stdout.read_line(&mut address).expect("it speaks");
        thread::spawn(move || stdout.lines().for_each(drop));
        Window { process, address: address.trim_end().to_owned() }
    }

    fn resident(&self) -> u64 {
        memory(self.process.id(), "VmRSS:").unwrap_or_default()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Prints all of them.
pub fn figures(fill: impl Fn(&Home, &Home, u64)) {
    uploads();
    let Some(dir) = browser_tests() else {
        return println!("no node, chromium or playwright here (`make check-window`): the page is left out");
    };
    for messages in [SOME, MANY] {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let _bob_node = bob.serve();
        pair(&bob, &alice);
        fill(&alice, &bob, messages);
        page(&dir, &alice, &bob, messages);
    }
}

/// A GiB that a browser hands over, until it is durable; and the same by `egoat send` to another node, in turns.
fn uploads() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _bob_node = bob.serve();
    pair(&bob, &alice);
    // What the receiver keeps counts for its room: each round is removed.
    bob.run(&["peers", "set", "alice", "max-file=2G", "quota=100G"]);
    // Nothing of a home itself can be sent.
    let outside = tempfile::tempdir().expect("a temporary directory");
    let file = outside.path().join("big");
    let piece: Vec<u8> = (0..PIECE).map(|at| (at * at / 7) as u8).collect();
    let mut big = File::create(&file).expect("created");
    (0..GIB / PIECE as u64).for_each(|_| big.write_all(&piece).expect("written"));
    big.sync_all().expect("synced");
    let window = Window::start(&alice);
    let mut browser = Browser::enter(&window.address);
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let id = browser.ask("POST", "upload", 0, &[]);
        let id =
            id.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_owned();
        let started = Instant::now();
        let stored = browser.ask("PUT", &format!("upload?id={id}&number=0"), GIB, &piece);
        let put = started.elapsed();
        assert!(stored.contains("\"stored\""), "{stored}");
        let discarded = format!("id={id}");
        browser.ask("POST", "discard", discarded.len() as u64, discarded.as_bytes());
        let started = Instant::now();
        alice.run(&["send", "bob", file.to_str().expect("UTF-8")]);
        if round > 0 {
            rounds.push((put, started.elapsed()));
        }
        let _ = fs::remove_dir_all(bob.dir.path().join("downloads"));
    }
    let times =
        |which: fn(&(Duration, Duration)) -> Duration| median_and_worst(rounds.iter().map(which).collect());
    let ((put, put_worst), (send, send_worst)) = (times(|round| round.0), times(|round| round.1));
    row("1 GiB by `egoat send` over loopback", milliseconds(send), milliseconds(send_worst), "");
    let goal = format!("1.4 x send = {}", milliseconds(send.mul_f64(1.4)));
    row("1 GiB from a browser, until it is durable", milliseconds(put), milliseconds(put_worst), &goal);
}

/// What a browser would ask, over one connection.
struct Browser {
    stream: BufReader<TcpStream>,
    host: String,
    token: String,
}

impl Browser {
    fn enter(address: &str) -> Browser {
        let (host, code) =
            address.trim_start_matches("http://").split_once("/#code=").expect("an address with a code");
        let stream = BufReader::new(TcpStream::connect(host).expect("a window"));
        let mut browser = Browser { stream, host: host.to_owned(), token: String::new() };
        let form = format!("code={code}");
        let answer = browser.ask("POST", "session", form.len() as u64, form.as_bytes());
        let token = answer.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next());
        browser.token = token.expect("a token").to_owned();
        browser
    }

    /// Asks with a body of so many bytes, which is `piece` over and over; the answer.
    fn ask(&mut self, method: &str, path: &str, length: u64, piece: &[u8]) -> String {
        let (host, token) = (&self.host, &self.token);
        let mut head =
            format!("{method} /api/{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n");
        if !token.is_empty() {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        let stream = self.stream.get_mut();
        stream.write_all((head + "\r\n").as_bytes()).expect("sent");
        let mut left = length;
        while left > 0 {
            let some = (piece.len() as u64).min(left);
            stream.write_all(&piece[..some as usize]).expect("sent");
            left -= some;
        }
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(self.stream.read_line(&mut line).expect("an answer") > 0, "it hung up");
        }
        self.chunks()
    }

    fn chunks(&mut self) -> String {
        let mut body = String::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a chunk");
            let length = u64::from_str_radix(line.trim(), 16).expect("a length");
            Read::by_ref(&mut self.stream).take(length).read_to_string(&mut body).expect("a chunk");
            self.stream.read_line(&mut line).expect("its end");
            if length == 0 {
                return body;
            }
        }
    }
}

/// Where `make check-window` has put playwright, with the scripts of now.
fn browser_tests() -> Option<PathBuf> {
    let dir = Path::new(PROGRAM).parent()?.parent()?.join("window");
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !dir.join("node_modules/playwright-core").exists() || !runs("node") || !runs("chromium") {
        return None;
    }
    for script in ["lib.mjs", "measure.mjs"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/window/browser").join(script);
        fs::copy(from, dir.join(script)).ok()?;
    }
    Some(dir)
}

/// What the page does with the history that is there, and what that costs.
fn page(dir: &Path, alice: &Home, bob: &Home, messages: u64) {
    let with_times = messages == SOME;
    let window = Window::start(alice);
    let mut script = Command::new("node")
        .current_dir(dir)
        .args(["measure.mjs", &window.address, &key(bob).to_string(), if with_times { "20" } else { "0" }])
        .env("EGOAT", PROGRAM)
        .env("ALICE", alice.dir.path())
        .env("BOB", bob.dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut lines = BufReader::new(script.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut print = |what: &str, goal: &str| {
        let line = lines.next().expect("it speaks");
        let times =
            line.split(' ').map(|time| Duration::from_secs_f64(time.parse::<f64>().expect("ms") / 1e3));
        let (median, worst) = median_and_worst(times.collect());
        row(what, milliseconds(median), milliseconds(worst), goal);
    };
    if with_times {
        print("the page, from a reload to the newest 200 of 10,000 messages", "300 ms");
        print("the same from a click on the conversation", "300 ms");
        print("a message, from the disk to the page", "50 ms");
    }
    assert_eq!(lines.next().as_deref(), Some("ready"));
    let before = proc(window.process.id(), "stat").and_then(|stat| ticks(&stat)).unwrap_or_default();
    thread::sleep(WATCH);
    let after = proc(window.process.id(), "stat").and_then(|stat| ticks(&stat)).unwrap_or_default();
    let resident = format!("{:.1} MiB", window.resident() as f64 / 1024.0);
    row(&format!("node with an open page, {messages} messages, resident"), resident, String::new(), "8 MiB");
    let used = format!("{:.2} %", (after - before) as f64 / WATCH.as_secs_f64());
    row("the same, share of a core while nothing happens", used, String::new(), "0.1 %");
    // The script ends with its input.
    drop(script.stdin.take());
    let _ = script.wait();
}
