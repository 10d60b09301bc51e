//! The harness of the end-to-end tests: homes in temporary directories, the real binary, real TCP on loopback with ports
//! of the system's choice. Every wait is for a condition and has a deadline; every child dies with its test.

// Each test file uses its part of this.
#![allow(dead_code)]

pub mod clock;
pub mod digits;
pub mod disk;
pub mod far;
pub mod files;
pub mod gate;
pub mod help;
pub mod json;
pub mod lan;
pub mod logs;
pub mod ports;
pub mod proxy;
pub mod rogue;
pub mod route;
pub mod router;
pub mod scene;
pub mod sshd;
pub mod strace;
pub mod strangers;
pub mod tmux;
pub mod tree;

pub use json::{json_number, json_text};
use ports::Ports;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::net::TcpListener;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The program, or one built for another system with what runs it: see tests/package/check-systems.
pub const EGOAT: &str = match option_env!("EGOAT_UNDER_TEST") {
    Some(program) => program,
    None => env!("CARGO_BIN_EXE_egoat"),
};

/// Long enough for two cores that are busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Lines of the output of a process that are kept for when its test fails.
const HEARD: usize = 40;

/// Says what a test cannot do here, and why. Where `.ci/run` has installed everything, that is a failure.
#[allow(clippy::print_stderr)]
pub fn skip(why: impl std::fmt::Display) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

/// Looks again and again until there is something to see.
pub fn poll_until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    poll_for(look).unwrap_or_else(|| panic!("waited in vain for: {what}"))
}

/// The same; `None` when patience ran out.
pub fn poll_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if seen.is_some() || Instant::now() >= deadline {
            return seen;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A count: the long one with EGOAT_TORTURE in the environment.
pub fn count(usual: usize, torture: usize) -> usize {
    if is_torture() { torture } else { usual }
}

pub fn is_torture() -> bool {
    std::env::var_os("EGOAT_TORTURE").is_some()
}

/// A generator that gives the same numbers for the same seed (xorshift64*).
pub struct Random(pub u64);

impl Random {
    /// From EGOAT_SEED, else `usual`; with EGOAT_TORTURE another one each time. It is printed, for when the test fails.
    #[allow(clippy::print_stdout)]
    pub fn seeded(usual: u64) -> Random {
        let given = std::env::var("EGOAT_SEED").ok().map(|seed| seed.parse().unwrap());
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
        let seed = given.unwrap_or(if is_torture() { now } else { usual });
        println!("EGOAT_SEED={seed}");
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 32) % limit as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }
}

/// A home directory of its own, with an identity, and a directory around it for what is to be sent and the like.
pub struct Home {
    around: tempfile::TempDir,
    dir: PathBuf,
    ports: Ports,
}

/// What egoat-files(5) has in a home, and its folders for files.
const OF_HOME: [&str; 19] = [
    "",
    "identity",
    "name",
    "peers",
    "invites",
    "requests",
    "listen",
    "proxy",
    "presence",
    "settings",
    "mapping",
    "tries",
    "chat.log",
    "shares.log",
    "history",
    "outbox",
    "partial",
    "downloads",
    "uploads",
];

/// Whether a path is one of the home's own.
fn is_of_home(name: &str) -> bool {
    let first = name.split('/').next().unwrap();
    let (stem, end) = first.rsplit_once('.').unwrap_or((first, ""));
    OF_HOME.contains(&first) || ["lock", "new"].contains(&end) || (end == "cursor" && stem.starts_with("on-"))
}

impl Home {
    pub fn new(name: &str) -> Home {
        Home::new_in(&std::env::temp_dir(), name)
    }

    /// The same in a directory of the test's choice.
    pub fn new_in(dir: &Path, name: &str) -> Home {
        let home = Home::empty_in(dir);
        home.run(&["id", "--name", name]);
        home
    }

    /// A directory that is to become a home.
    pub fn empty_in(dir: &Path) -> Home {
        let around = tempfile::tempdir_in(dir).unwrap();
        let dir = around.path().join("home");
        egoat::store::file::create_dir(&dir).unwrap();
        Home { around, dir, ports: Ports::default() }
    }

    /// Copies the home as it is now.
    pub fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(&self.dir, copy.path());
        copy
    }

    /// Puts a copy back in the place of what is there.
    pub fn restore(&self, copy: &Path) {
        for entry in fs::read_dir(&self.dir).unwrap().map(Result::unwrap) {
            let is_dir = entry.file_type().unwrap().is_dir();
            let removed =
                if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.unwrap();
        }
        copy_dir(copy, &self.dir);
    }

    /// The texts that it has received, in order.
    pub fn received(&self) -> Vec<String> {
        self.texts("received")
    }

    /// The texts that it knows to be delivered, in order.
    pub fn delivered(&self) -> Vec<String> {
        self.texts("delivered")
    }

    fn texts(&self, event: &str) -> Vec<String> {
        let event = format!("\"event\":\"{event}\"");
        let log = self.run(&["--json", "log"]);
        log.lines().filter(|line| line.contains(&event)).map(|line| json_text(line, "text")).collect()
    }

    pub fn key(&self) -> String {
        json_text(&self.run(&["--json", "id"]), "key")
    }

    pub fn fingerprint(&self) -> String {
        json_text(&self.run(&["--json", "id"]), "fingerprint")
    }

    /// A path in the home if a home has that name, else beside the home, where it may be sent.
    pub fn path(&self, name: &str) -> PathBuf {
        if is_of_home(name) { self.dir.join(name) } else { self.around.path().join(name) }
    }

    /// The directory that the home is in.
    pub fn around(&self) -> &Path {
        self.around.path()
    }

    /// A file to send.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A program for sh. Another process writes it: one that another thread starts meanwhile would have the file open as
    /// well for a moment, and a file that is written to cannot be run.
    pub fn script(&self, name: &str, body: &str) -> String {
        let text = self.file(&format!("{name}.text"), format!("#!/bin/sh\n{body}\n"));
        let path = self.path(name).to_str().unwrap().to_owned();
        assert!(Command::new("install").args(["-m", "700", &text, &path]).status().unwrap().success());
        path
    }

    /// A command on the home. Where it is to listen at port 0 of loopback, that is a port which nobody else gets
    /// before the home is gone.
    pub fn cmd<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(EGOAT);
        command.arg("--home").arg(&self.dir).env("TZ", "UTC");
        for (place, arg) in args.iter().map(AsRef::as_ref).enumerate() {
            let is_listen = place > 0 && args[place - 1].as_ref() == "--listen";
            match arg.to_str().filter(|_| is_listen) {
                Some(listen) => command.arg(self.own_port(listen)),
                None => command.arg(arg),
            };
        }
        for variable in ["EGOAT_HOME", "EGOAT_DOWNLOADS", "EGOAT_PASSPHRASE_FD", "EGOAT_PROXY"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs a command that must succeed; gives its stdout.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        self.pipe(args, b"")
    }

    /// The same with `input` on its stdin.
    pub fn pipe<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> String {
        self.ends_with(args, input, 0).0
    }

    /// Runs a command that must end with `code`; gives its stderr.
    pub fn fails<S: AsRef<OsStr>>(&self, args: &[S], code: i32) -> String {
        self.ends_with(args, b"", code).1
    }

    /// Runs a command that must end with `code`; gives its stdout and stderr.
    pub fn ends_with<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8], code: i32) -> (String, String) {
        finish(self.cmd(args), input, code)
    }

    /// The address, with a port of the home's own in the place of 0.
    pub fn own_port(&self, listen: &str) -> String {
        self.ports.take(listen)
    }

    pub fn serve(&self) -> Node {
        self.serve_with(&["--listen", "127.0.0.1:0"])
    }

    pub fn serve_with(&self, args: &[&str]) -> Node {
        let mut process = Process::start(self.cmd(&[&["serve", "--show-text"], args].concat()));
        let addr = process.wait_for("listening on ")["listening on ".len()..].to_owned();
        Node { process, addr }
    }

    /// Serves at the address of a node that is gone; its connections may hold the port for a moment.
    pub fn serve_again_at(&self, addr: &str) -> Node {
        self.serve_again_by(&[], addr)
    }

    /// The same by another command, see [`by`].
    pub fn serve_again_by(&self, words: &[&str], addr: &str) -> Node {
        poll_until("the old port to be free", || {
            let mut process =
                Process::start(by(words, &self.cmd(&["serve", "--show-text", "--listen", addr])));
            process.next_line().map(|_| Node { process, addr: addr.to_owned() })
        })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if thread::panicking() {
            scene::tell_home(&self.dir, |args| self.cmd(args));
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else {
            // With its mode.
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Pairs two homes by a link; both know each other's address if both serve.
pub fn pair(inviter: &Home, joiner: &Home) {
    let link = inviter.run(&["invite"]);
    joiner.run(&["join", link.trim_end()]);
}

/// A port that is taken, so that nobody else gets it, and at which nobody listens.
pub struct Dead {
    _socket: socket2::Socket,
    pub addr: String,
}

impl Dead {
    pub fn new() -> Dead {
        Dead::on("127.0.0.1:0")
    }

    /// Takes a port of this address.
    pub fn on(address: &str) -> Dead {
        let address: SocketAddr = address.parse().unwrap();
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.bind(&address.into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap().to_string();
        Dead { _socket: socket, addr }
    }
}

/// Two homes that serve and are paired.
pub fn paired() -> (Home, Node, Home, Node) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (alice_node, bob_node) = (alice.serve(), bob.serve());
    pair(&alice, &bob);
    // Alice's node notes that it has reached Bob. A test that edits the file meanwhile would lose that or be lost.
    let has_noted = || fs::read_to_string(alice.path("peers")).is_ok_and(|peers| peers.contains(" worked="));
    poll_until("a note of where Bob was reached", || has_noted().then_some(()));
    (alice, alice_node, bob, bob_node)
}

/// A server that says `answer` to whoever connects, and closes. Gives its address.
pub fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    addr
}

/// The command with others in front that run it, such as `nice`.
pub fn by(words: &[&str], command: &Command) -> Command {
    let mut all = words.iter().map(OsStr::new).chain([command.get_program()]).chain(command.get_args());
    let mut whole = Command::new(all.next().unwrap());
    whole.args(all);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    whole
}

/// Runs a command to its end, which must come, with `code`.
pub fn finish(command: Command, input: &[u8], code: i32) -> (String, String) {
    let mut process = Process::start(command);
    process.write(input);
    let ended = process.end();
    assert_eq!(ended.0, Some(code), "stdout: {}\nstderr: {}", ended.1, ended.2);
    (ended.1, ended.2)
}

/// A line of `egoat serve` without the time at its front.
pub fn untimed(line: &str) -> &str {
    let is_time = |time: &str| {
        time.bytes().zip(*b"0000-00-00 00:00:00 ").all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        })
    };
    line.split_at_checked(20).filter(|(time, _)| is_time(time)).map_or(line, |(_, rest)| rest)
}

fn untimed_errors(said: &[u8]) -> String {
    let untimed = |line: &str| match line.strip_prefix("egoat: ") {
        Some(rest) => format!("egoat: {}", untimed(rest)),
        None => line.to_owned(),
    };
    String::from_utf8_lossy(said).split_inclusive('\n').map(untimed).collect()
}

/// A running command.
pub struct Process {
    pub child: Child,
    command: String,
    lines: Receiver<String>,
    heard: Arc<Mutex<VecDeque<String>>>,
    stderr: Option<JoinHandle<String>>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Process {
    pub fn start(command: Command) -> Process {
        Process::start_between(command, Stdio::piped(), Stdio::piped())
    }

    /// The same with a stdin and a stdout of the test's choice.
    pub fn start_between(mut command: Command, stdin: Stdio, stdout: Stdio) -> Process {
        let words = |arg: &OsStr| arg.to_string_lossy().split_whitespace().any(|word| word == "serve");
        let has_times = command.get_args().any(words);
        let mut child = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().map(BufReader::new);
        let heard = Arc::<Mutex<VecDeque<String>>>::default();
        let hearing = Arc::clone(&heard);
        thread::spawn(move || {
            stdout?.lines().map_while(Result::ok).try_for_each(|line| {
                let line = if has_times { untimed(&line).to_owned() } else { line };
                let mut heard = hearing.lock().unwrap();
                heard.push_back(line.clone());
                if heard.len() > HEARD {
                    heard.pop_front();
                }
                drop(heard);
                sender.send(line).ok()
            })
        });
        let mut errors = child.stderr.take().unwrap();
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let saying = Arc::clone(&said);
        let stderr = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(got @ 1..) = errors.read(&mut bytes) {
                saying.lock().unwrap().extend_from_slice(&bytes[..got]);
            }
            untimed_errors(&saying.lock().unwrap())
        });
        Process { child, command: format!("{command:?}"), lines, heard, stderr: Some(stderr), said }
    }

    /// What it has said on stderr by now, without the times of `egoat serve`.
    pub fn said(&self) -> String {
        untimed_errors(&self.said.lock().unwrap())
    }

    /// The next line on stderr that contains `text`, once it is there.
    pub fn wait_to_say(&self, text: &str) -> String {
        poll_until(text, || {
            let said = self.said();
            said.split_inclusive('\n')
                .find(|line| line.contains(text) && line.ends_with('\n'))
                .map(|line| line.trim_end().to_owned())
        })
    }

    /// The next line on stdout that starts with `prefix`; those before it are gone.
    pub fn wait_for(&mut self, prefix: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.starts_with(prefix) => return line,
                Ok(_) => {}
                Err(_) => panic!("no line starts with {prefix:?}; stderr: {}", self.said()),
            }
        }
    }

    /// The next line on stdout, `None` at its end.
    pub fn next_line(&mut self) -> Option<String> {
        self.lines.recv_timeout(PATIENCE).ok()
    }

    /// Writes to stdin; a process that does not want it is no error.
    pub fn write(&mut self, input: &[u8]) {
        let _ = self.child.stdin.as_mut().unwrap().write_all(input);
    }

    /// Ends stdin and waits for the end of the process: its exit code, what is left of stdout, and stderr.
    pub fn end(&mut self) -> (Option<i32>, String, String) {
        self.child.stdin = None;
        let mut stdout = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => stdout += &(line + "\n"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; stderr: {}", self.said()),
            }
        }
        let status = poll_until("the end of a command", || self.child.try_wait().unwrap());
        (status.code(), stdout, self.stderr.take().unwrap().join().unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal, such as STOP.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Kills it at once; gives its stderr.
    pub fn kill9(&mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.stderr.take().map(|stderr| stderr.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            let pid = matches!(self.child.try_wait(), Ok(None)).then(|| self.child.id());
            let heard: String = self
                .heard
                .lock()
                .iter()
                .flat_map(|heard| heard.iter().flat_map(|line| [line, "\n"]))
                .collect();
            scene::tell_process(&self.command, pid, &heard, &self.said());
        }
        if self.stderr.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A running `egoat serve`.
pub struct Node {
    process: Process,
    pub addr: String,
}

impl Node {
    /// One that listens already.
    pub fn from(process: Process, addr: String) -> Node {
        Node { process, addr }
    }
}

impl Deref for Node {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
