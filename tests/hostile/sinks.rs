//! Every code point and random bytes, as what a peer says, as what it calls itself, as what its files are called and as
//! what a user types: nothing but what section 7 of the design allows comes out of the real binary, to whatever it
//! prints. The peer is made with the library, since the binary sends no such things.

// Elsewhere loopback has one address, and file names may be no bytes.

use crate::common;
#[path = "../common/shown.rs"]
mod shown;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{EGOAT, Home, Random, json_number, json_text, poll_until, untimed};
use egoat::crypto::keys::{PublicKey, StaticKeys};
use egoat::net::deadline::Deadline;
use egoat::net::handshake::{self, Opening};
use egoat::net::session::Session;
use egoat::net::transport::{Listener, Origin, Stream};
use egoat::text::{acts_on_text, clean_line};
use egoat::transfer::path::SafePath;
use egoat::wire::codec::FieldWriter;
use egoat::wire::features::Features;
use egoat::wire::link::Link;
use egoat::wire::message::{Kind, Message};
use shown::{is_forbidden, is_joiner};
use socket2::{Domain, Socket, Type};

const DURING: &str = "attacking";
/// Words that a text ends in which comes last.
const LAST: &str = "this is the last one";

/// What may come out in a line of its own, a name, a path or an error.
fn assert_line(what: &str, text: &str) {
    let wrong = text.chars().find(|c| is_forbidden(*c) || is_joiner(*c) || *c == '\n');
    assert_eq!(wrong.map(|c| c.escape_unicode().to_string()), None, "{what}: {text:?}");
}

/// Output is UTF-8, and of all characters that section 7 names it has LF, and joiners if it shows what peers said.
fn checked<'a>(what: &str, output: &'a [u8], has_bodies: bool) -> &'a str {
    let text = std::str::from_utf8(output).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
    if has_bodies {
        let wrong = text.chars().find(|c| is_forbidden(*c));
        assert_eq!(wrong.map(|c| c.escape_unicode().to_string()), None, "{what}");
    } else {
        text.split('\n').for_each(|line| assert_line(what, line));
    }
    text
}

/// Runs a command to its end and checks what it prints; gives its stdout.
fn output_of(home: &Home, args: &[impl AsRef<OsStr>], has_bodies: bool) -> String {
    let output = home.cmd(args).stdin(Stdio::null()).output().unwrap();
    let what: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
    let what = format!("{:.80?}", what.join(" "));
    checked(&what, &output.stderr, false);
    checked(&what, &output.stdout, has_bodies).to_owned()
}

/// A command that goes on, with all that it prints in files, byte by byte.
struct Recorded {
    child: Child,
    dir: tempfile::TempDir,
}

impl Recorded {
    fn start(home: &Home, args: &[&str]) -> Recorded {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(dir.path().join(name)).unwrap();
        let mut command = home.cmd(args);
        command.stdin(Stdio::piped()).stdout(file("out")).stderr(file("err"));
        Recorded { child: command.spawn().unwrap(), dir }
    }

    /// A node, and where it listens.
    fn node(home: &Home, args: &[&str]) -> (Recorded, SocketAddr) {
        let node = Recorded::start(home, args);
        let place = poll_until("a node to listen", || {
            let output = String::from_utf8(node.bytes("out")).unwrap();
            let at = output.find("127.0.0.1:")?;
            let end = output[at..].find(['"', '\n'])?;
            output[at..at + end].parse().ok()
        });
        (node, place)
    }

    /// The whole lines that it has printed.
    fn bytes(&self, name: &str) -> Vec<u8> {
        let mut bytes = fs::read(self.dir.path().join(name)).unwrap();
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
        bytes
    }

    /// The same once `words` are among them.
    fn wait_for(&self, name: &str, words: &str) -> Vec<u8> {
        poll_until(words, || {
            Some(self.bytes(name)).filter(|bytes| String::from_utf8_lossy(bytes).contains(words))
        })
    }

    /// Waits until it has printed `words`, and checks all that it printed; gives its stdout.
    fn until(&self, words: &str, has_bodies: bool) -> String {
        let output = self.wait_for("out", words);
        checked("stderr", &self.bytes("err"), false);
        checked("stdout", &output, has_bodies).to_owned()
    }

    /// The same for stderr.
    fn until_error(&self, words: &str) -> String {
        checked("stderr", &self.wait_for("err", words), false).to_owned()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer that says what it likes. Each comes from an address of its own: a node takes so many handshakes from one.
struct Mallory {
    keys: StaticKeys,
    from: Ipv4Addr,
}

impl Mallory {
    fn number(number: u16) -> Mallory {
        let mut secret = [0x6d; 32];
        secret[..2].copy_from_slice(&number.to_be_bytes());
        let [high, low] = number.to_be_bytes();
        Mallory { keys: StaticKeys::from_secret(secret), from: Ipv4Addr::new(127, 66, high, low) }
    }

    fn key(&self) -> String {
        self.keys.public().to_string()
    }

    /// Dials; nothing is said yet.
    fn dial(&self, home: &Home, at: SocketAddr, kind: Kind) -> Session {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((self.from, 0)).into()).unwrap();
        socket.connect(&at.into()).unwrap();
        let deadline = Deadline::after(Duration::from_secs(30));
        let key: PublicKey = home.key().parse().unwrap();
        let stream = Stream::new(socket.into(), Origin::Direct(at.ip()));
        handshake::initiate(stream, &self.keys, &key, None, kind, "the node", deadline).unwrap()
    }

    /// Dials, says its name, and is let in.
    fn session(&self, home: &Home, at: SocketAddr, kind: Kind) -> Session {
        let mut session = self.dial(home, at, kind);
        session.write(&Message::Profile { name: "mallory", port: 0, time: 0 }).unwrap();
        if [Kind::Push, Kind::Files].contains(&kind) {
            session.write(&Message::Early(0)).unwrap();
        }
        session.flush().unwrap();
        read(&mut session, |message| message == Message::Accept);
        session
    }

    /// Says texts, and waits until they are stored.
    fn say(&self, home: &Home, at: SocketAddr, texts: &[Vec<u8>]) {
        let mut session = self.session(home, at, Kind::Push);
        read(&mut session, |message| message == Message::Held(0));
        for (number, text) in (1..).zip(texts) {
            session.write(&Message::Text { number, said: Some(number), text }).unwrap();
        }
        session.flush().unwrap();
        while session.read_as(DURING, acknowledged).unwrap() < texts.len() as u64 {}
        session.finish(&Message::Bye).unwrap();
    }

    /// Offers empty files with these paths, as they are.
    fn offer(&self, home: &Home, at: SocketAddr, paths: &[impl AsRef<[u8]>], size: u64) -> Session {
        let mut session = self.session(home, at, Kind::Files);
        let entries = paths.len() as u32;
        let bytes = size * u64::from(entries);
        session.write(&Message::Offer { transfer: [0; 16], entries, bytes }).unwrap();
        for part in paths.chunks(50) {
            let part: Vec<u8> = part.iter().flat_map(|path| entry(path.as_ref(), size)).collect();
            session.write(&Message::Manifest(&part)).unwrap();
        }
        session.flush().unwrap();
        session
    }

    /// Sends empty files, and sees them stored.
    fn send(&self, home: &Home, at: SocketAddr, paths: &[impl AsRef<[u8]>]) {
        let mut session = self.offer(home, at, paths, 0);
        let in_chunks = session.read_as(DURING, |message| match message {
            Message::Take { .. } => Some(true),
            Message::Stream(0) => Some(false),
            _ => None,
        });
        if in_chunks.unwrap() {
            session.write(&Message::Start(0)).unwrap();
        }
        session.send(&Message::End).unwrap();
        read(&mut session, |message| message == Message::Stored);
        session.finish(&Message::Bye).unwrap();
    }
}

fn read(session: &mut Session, is_expected: impl Fn(Message) -> bool) {
    session.read_as(DURING, |message| is_expected(message).then_some(())).unwrap();
}

fn acknowledged(message: Message) -> Option<u64> {
    match message {
        Message::Ack(number) => Some(number),
        Message::Ping => Some(0),
        _ => None,
    }
}

/// An entry of a manifest, with any path.
fn entry(path: &[u8], size: u64) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.put_u64(1_000_000_000);
    bytes.put_u64(size);
    bytes.put_u16(path.len() as u16);
    bytes.put(path);
    bytes
}

/// A home that knows this peer.
fn home_with(mallory: &Mallory) -> Home {
    let home = Home::new("victim");
    home.run(&["peers", "add", "mallory", &mallory.key()]);
    home
}

/// Random bytes: most are no UTF-8.
fn noise(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.next() as u8).collect()
}

fn code_points() -> impl Iterator<Item = char> {
    '\0'..=char::MAX
}

/// What is known to work somewhere, and lines that look like those of others.
const TRICKS: [&[u8]; 15] = [
    b"\x1b[2J\x1b[1;1Hgone",
    b"\x1b]0;title\x07\x1b]52;c;ZWdvYXQ=\x07",
    b"\x1bP+q544e\x1b\\ \x9b2J \x90q\x9c",
    "\u{9b}2J \u{85} \u{90}q\u{9c}".as_bytes(),
    b"hi\n2030-01-01 00:00:00 carol: forged\nmessage from carol: forged\negoat: forged",
    b"hi\r2030-01-01 00:00:00 carol: forged\r\nmessage from carol: forged\r\r\n",
    "a\u{2028}b\u{2029}c\u{b}d\u{c}e\u{85}f\u{1c}g".as_bytes(),
    "user\u{202e}gpj.exe \u{2066}x\u{2069}".as_bytes(),
    b"\xc0\xaf\xe0\x80\xaf \xed\xa0\x80\xed\xb0\x80 \xf4\x90\x80\x80 \xf8\x88\x80\x80\x80",
    b"cut \xf0\x9f\x91",
    b"\xff\xfe\xfd\x00\x01\x80\xbf",
    "\u{e0041}\u{e0042} \u{ffff}\u{10ffff}\u{fdd0} \u{feff}".as_bytes(),
    b"",
    b"\n\n\n",
    "ordinary: né 日本語 שלום 👨\u{200d}👩 ❤\u{fe0f} می\u{200c}خواهم".as_bytes(),
];

/// Every code point, tricks, and random bytes.
fn texts() -> Vec<Vec<u8>> {
    let all: Vec<char> = code_points().collect();
    let mut texts: Vec<Vec<u8>> =
        all.chunks(1 << 14).map(|part| part.iter().collect::<String>().into_bytes()).collect();
    texts.extend(TRICKS.map(<[u8]>::to_vec));
    let mut random = Random::seeded(0x73_696e_6b73);
    texts.extend((0..8).map(|_| noise(&mut random, 4096)));
    texts.push(LAST.as_bytes().to_vec());
    texts
}

/// Lines that begin at the margin: as many as there are messages, whatever these hold.
fn at_margin<'a>(output: &'a str, start: &str) -> Vec<&'a str> {
    output.lines().filter(|line| !line.starts_with("    ") && line.contains(start)).collect()
}

/// The texts in the objects with this event: each as it came, but for what is no UTF-8.
fn assert_objects(what: &str, output: &str, event: &str, texts: &[Vec<u8>]) {
    let event = format!("{{\"event\":\"{event}\"");
    let lines: Vec<&str> = output.lines().filter(|line| line.starts_with(&event)).collect();
    assert_eq!(lines.len(), texts.len(), "{what}");
    for (line, text) in lines.iter().zip(texts) {
        assert!(json_text(line, "text") == String::from_utf8_lossy(text), "{what}: {line:.200}");
    }
}

#[test]
fn what_a_peer_says() {
    let (mallory, texts) = (Mallory::number(1), texts());
    let attack = |json: bool| {
        let home = home_with(&mallory);
        let form: &[&str] = if json { &["--json"] } else { &[] };
        let (node, at) =
            Recorded::node(&home, &[form, &["serve", "--show-text", "--listen", "127.0.0.1:0"]].concat());
        let mut chat = Recorded::start(&home, &[form, &["chat"]].concat());
        // It shows what comes from now on: when it takes commands, that is now.
        chat.child.stdin.as_mut().unwrap().write_all(b"/to nobody\n").unwrap();
        chat.until_error("no peer is called nobody");
        mallory.say(&home, at, &texts);
        let outputs = [
            ("serve", node.until(LAST, true)),
            ("chat", chat.until(LAST, true)),
            ("log", output_of(&home, &[form, &["log"]].concat(), true)),
        ];
        for (what, output) in outputs {
            if json {
                assert_objects(what, &output, "received", &texts);
            } else {
                assert_eq!(at_margin(&output, "mallory: ").len(), texts.len(), "{what}");
                assert!(output.contains(std::str::from_utf8(TRICKS[14]).unwrap()), "{what}");
                assert!(at_margin(&output, "forged").len() <= 1, "{what}: the text that begins so");
            }
        }
        let found = output_of(&home, &[form, &["log", "--grep", "forged"]].concat(), true);
        assert_eq!(found.lines().filter(|line| line.contains("hi")).count(), 2);
    };
    thread::scope(|scope| {
        scope.spawn(|| attack(false));
        scope.spawn(|| attack(true));
    });
}

#[test]
fn what_waits_to_be_said() {
    let home = home_with(&Mallory::number(2));
    let mut texts = texts();
    // Nothing else can be said.
    texts.retain(|text| !matches!(&text[..], b"" | b"\n") && std::str::from_utf8(text).is_ok());
    for text in &mut texts {
        home.pipe(&["-q", "say", "mallory"], text);
        // It is the end of the line, as `echo` has it.
        text.pop_if(|last| *last == b'\n');
    }
    let waiting = output_of(&home, &["outbox"], true);
    assert_eq!(at_margin(&waiting, " -> mallory: ").len(), texts.len());
    let objects = output_of(&home, &["--json", "outbox", "list"], true);
    let numbers: Vec<String> = objects.lines().map(|line| json_number(line, "number").to_string()).collect();
    let cancel: Vec<&str> =
        ["outbox", "cancel"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
    assert_eq!(output_of(&home, &cancel, true).lines().count(), texts.len());
    let log = output_of(&home, &["--json", "log"], true);
    assert_objects("log", &log, "cancelled", &texts);
    assert_eq!(at_margin(&output_of(&home, &["log"], true), "(cancelled): ").len(), texts.len());
}

/// Names of at most 32 characters: with every forbidden one, with tricks, and random.
fn names() -> Vec<String> {
    let mut forbidden: Vec<char> = code_points().filter(|c| is_forbidden(*c) || is_joiner(*c)).collect();
    // The two long ranges are what a quarter of a name does as well as all of it.
    forbidden
        .retain(|c| !('\u{e0020}'..='\u{e007f}').contains(c) && !('\u{e0110}'..='\u{e01ef}').contains(c));
    let mut names: Vec<String> = forbidden.chunks(31).map(|part| part.iter().collect()).collect();
    names.extend(TRICKS.iter().map(|trick| String::from_utf8_lossy(trick).chars().take(32).collect()));
    names.extend(["", "../../etc", "-rf", "a=b,c", "#x", ".", "127.0.0.1:1", "\u{3164}"].map(str::to_owned));
    let mut random = Random::seeded(0x6e61_6d65);
    while names.len() < 60 {
        let random_char = |_| char::from_u32(random.below(0x11_0000) as u32).unwrap_or('\u{ad}');
        names.push((0..32).map(random_char).collect());
    }
    names
}

/// A name of a peer is a word of 1 to 32 characters, which needs no quoting in the peers file.
fn assert_name(name: &str) {
    assert_line("a name", name);
    assert!((1..=32).contains(&name.chars().count()), "{name:?}");
    assert!(!name.contains(char::is_whitespace) && !name.starts_with(['-', '.', '#']), "{name:?}");
    assert!(!name.contains(['/', '\\', ':', ',', '=', '.']), "{name:?}");
}

#[test]
fn what_a_stranger_calls_itself() {
    // A node listens to so many strangers at once.
    for names in names().chunks(10) {
        strangers_are_shown(names);
    }
}

fn strangers_are_shown(names: &[String]) {
    let home = Home::new("victim");
    let (node, at) = Recorded::node(&home, &["serve", "--listen", "127.0.0.1:0"]);
    for (number, name) in names.iter().enumerate() {
        let mut session = Mallory::number(1000 + number as u16).dial(&home, at, Kind::Push);
        session.send(&Message::Profile { name, port: 1, time: 0 }).unwrap();
        read(&mut session, |message| matches!(message, Message::Refused(_)));
    }
    let wants = " wants to be a peer: `egoat peers accept ";
    let output = poll_until("the requests to be told", || {
        let output = node.until(wants, false);
        (output.matches(wants).count() == names.len()).then_some(output)
    });
    for line in output.lines().filter(|line| line.contains(wants)) {
        assert_name(untimed(line).split_once(wants).unwrap().0);
    }
    let requests = output_of(&home, &["--json", "peers", "requests"], false);
    assert_eq!(requests.lines().count(), names.len());
    assert_eq!(output_of(&home, &["peers", "requests"], false).lines().count(), names.len());
    for line in requests.lines().step_by(6) {
        assert_name(&json_text(line, "name"));
        output_of(&home, &["peers", "accept", &json_text(line, "fingerprint")], false);
    }
    all_peers_are_shown(&home);
}

/// By their names, as lines and as objects.
fn all_peers_are_shown(home: &Home) {
    let peers = output_of(home, &["--json", "peers"], false);
    assert_eq!(output_of(home, &["peers", "list"], false).lines().count(), peers.lines().count());
    for line in peers.lines() {
        let name = json_text(line, "peer");
        assert_name(&name);
        assert!(
            output_of(home, &["peers", "show", &name], false).starts_with(&format!("name         {name}\n"))
        );
    }
    assert!(!peers.is_empty());
}

#[test]
fn what_a_newcomer_is_called_who_is_taken_on_trust() {
    let names: Vec<String> = names().into_iter().step_by(2).collect();
    // A node takes no more from one address at once.
    for names in names.chunks(4) {
        let home = Home::new("victim");
        let args = ["--json", "serve", "--accept-new", "--listen", "127.0.0.1:0"];
        let (node, at) = Recorded::node(&home, &args);
        for (number, name) in names.iter().enumerate() {
            let mut session = Mallory::number(2000 + number as u16).dial(&home, at, Kind::Pair);
            session.send(&Message::Profile { name, port: 1, time: 0 }).unwrap();
            read(&mut session, |message| message == Message::Accept);
        }
        let paired = "{\"event\":\"paired\"";
        poll_until("the pairings to be told", || {
            (node.until(paired, false).matches(paired).count() == names.len()).then_some(())
        });
        all_peers_are_shown(&home);
    }
}

/// Accepts whoever dials, under a name; gives the link to it.
fn accept_under(name: String, number: u16) -> String {
    let mallory = Mallory::number(number);
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    let link = Link { is_share: false, key: mallory.keys.public(), token: None, addresses: vec![address] };
    thread::spawn(move || {
        let stream = listener.accept().unwrap();
        let opening = Opening::read(&stream).unwrap();
        let accepted = handshake::respond(
            stream,
            &opening,
            &mallory.keys,
            |_| None,
            |_| Features::ACCEPTOR,
            |_| true,
            |_| true,
        )
        .unwrap();
        let mut session = accepted.session;
        read(&mut session, |message| matches!(message, Message::Profile { .. }));
        session.write(&Message::Accept).unwrap();
        session.send(&Message::Profile { name: &name, port: 0, time: 0 }).unwrap();
        let _ = session.read(DURING);
    });
    link.to_string()
}

#[test]
fn what_a_node_calls_itself_that_is_joined() {
    let home = Home::new("victim");
    for (number, name) in names().into_iter().step_by(5).enumerate() {
        let link = accept_under(name, 3000 + number as u16);
        assert!(output_of(&home, &["join", &link], false).starts_with("paired with "));
    }
    all_peers_are_shown(&home);
}

/// Paths with every code point of the first plane that may be in one, and with some of the others.
fn good_paths() -> Vec<String> {
    let is_good = |c: &char| *c != '/' && SafePath::parse(&format!("x{c}x")).is_ok();
    for c in code_points().filter(is_good) {
        assert!(!acts_on_text(c), "U+{:04X} may be in a path", u32::from(c));
    }
    let first: Vec<char> = ('\0'..'\u{10000}').filter(is_good).collect();
    let others: Vec<char> = ('\u{10000}'..=char::MAX).step_by(509).filter(is_good).collect();
    let names = first.chunks(80).chain(others.chunks(60)).enumerate();
    // Numbered, since some stretches are others in another case.
    names.map(|(number, part)| format!("{number}-{}x", part.iter().collect::<String>())).collect()
}

#[test]
fn what_files_are_called_that_come_in() {
    let mallory = Mallory::number(4);
    let paths = good_paths();
    let attack = |json: bool| {
        let home = home_with(&mallory);
        let form: &[&str] = if json { &["--json"] } else { &[] };
        let (node, at) = Recorded::node(&home, &[form, &["serve", "--listen", "127.0.0.1:0"]].concat());
        mallory.send(&home, at, &paths);
        let named = [b"tricks/".as_slice(), TRICKS[14]].concat();
        // One of the tricks may be what a file is called.
        let is_bad =
            |path: &&[u8]| std::str::from_utf8(path).map_or(true, |text| SafePath::parse(text).is_err());
        let tricky = TRICKS.iter().copied().chain([named.as_slice(), b"one\n2030-01-01 00:00:00 carol: two"]);
        for (number, path) in tricky.filter(is_bad).enumerate() {
            let again =
                Mallory { keys: mallory.keys.clone(), from: Mallory::number(5000 + number as u16).from };
            let mut session = again.offer(&home, at, &[path], 0);
            read(&mut session, |message| matches!(message, Message::Decline(_)));
        }
        // One that stays unfinished.
        let mut session = mallory.offer(&home, at, &["half/日本 \u{e0b0}"], 1000);
        read(&mut session, |message| matches!(message, Message::Take { .. }));

        node.until_error("against the rules");
        let told = node.until(&format!("/{}-", paths.len() - 1), false);
        assert_eq!(told.lines().filter(|line| line.contains("/downloads/mallory/")).count(), paths.len());
        let log = output_of(&home, &[form, &["log"]].concat(), false);
        assert_eq!(log.lines().count(), paths.len());
        for (line, path) in log.lines().zip(&paths) {
            let shown = if json { json_text(line, "path") } else { line.to_owned() };
            let expected = if json { path.clone() } else { clean_line(path) };
            assert!(shown.contains(&expected), "{shown}");
        }
        let partial = poll_until("the note of what is unfinished", || {
            Some(output_of(&home, &[form, &["partial"]].concat(), false)).filter(|list| !list.is_empty())
        });
        assert!(partial.contains("half"), "{partial}");
        drop(session);
    };
    thread::scope(|scope| {
        scope.spawn(|| attack(false));
        scope.spawn(|| attack(true));
    });
}

#[test]
fn what_a_file_is_called_that_is_waited_for() {
    let mallory = Mallory::number(6);
    let paths = good_paths();
    let home = home_with(&mallory);
    let into = home.path("in").to_str().unwrap().to_owned();
    for (form, into) in [(Some("--json"), into.as_str()), (None, &into), (None, "-")] {
        let args = ["receive", "--from", "mallory", "--into", into, "--listen", "127.0.0.1:0"];
        let mut command = Recorded::start(&home, &form.into_iter().chain(args).collect::<Vec<_>>());
        let said = command.until_error(" at 127.0.0.1:");
        let at = said.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        let is_pipe = into == "-";
        mallory.send(&home, at, if is_pipe { &paths[199..200] } else { &paths[..200] });
        assert!(poll_until("it to end", || command.child.try_wait().unwrap()).success());
        if is_pipe {
            assert!(command.until_error("199-").contains(&paths[199]));
        } else {
            let told = command.until("/199-", false);
            assert_eq!(told.lines().filter(|line| line.contains("/in/")).count(), 200);
        }
    }
}

#[test]
fn what_files_are_called_that_are_to_go_out() {
    let home = home_with(&Mallory::number(7));
    let mut random = Random::seeded(0x66_696c_6573);
    let mut names: Vec<Vec<u8>> = TRICKS.map(<[u8]>::to_vec).to_vec();
    names.extend((0..4).map(|_| noise(&mut random, 200)));
    names.push("❤\u{fe0f}👨\u{200d}👩\u{ad}.txt".into());
    for name in &mut names {
        name.retain(|byte| ![0, b'/'].contains(byte));
        name.truncate(200);
    }
    names.retain(|name| !name.is_empty());
    for (number, name) in names.iter().enumerate() {
        // A path with an odd folder in it, where odd ones are not taken as the name of a file.
        let dir: PathBuf = home.path("odd").join(OsStr::from_bytes(name));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join(format!("file-{number}"));
        fs::write(&file, "x").unwrap();
        for path in [&dir, &file, &dir.join("missing")] {
            let args = ["send", "mallory", "--queue"].map(OsStr::new);
            output_of(&home, &[&args[..], &[path.as_os_str()]].concat(), false);
        }
    }
    let waiting = output_of(&home, &["outbox"], false);
    assert!(waiting.lines().count() > 5, "{waiting}");
    assert_eq!(output_of(&home, &["--json", "outbox"], false).lines().count(), waiting.lines().count());
}

#[test]
fn what_a_user_types() {
    let home = home_with(&Mallory::number(8));
    let all: Vec<char> = code_points().skip(1).collect();
    for part in all.chunks(3 << 13) {
        let typed: String = part.iter().collect();
        output_of(&home, &["log", &typed], false);
    }
    let odd: String = code_points().skip(1).filter(|c| is_forbidden(*c) || is_joiner(*c)).collect();
    let dir = home.path(&format!("{odd:.40}"));
    let dir = dir.to_str().unwrap();
    let commands: [&[&str]; 19] = [
        &[&odd],
        &["log", &format!("--{odd}")],
        &["log", "--since", &odd],
        &["peers", "show", &odd],
        &["peers", "add", &odd, &odd],
        &["peers", "add", "x", &odd],
        &["peers", "set", "mallory", &odd],
        &["peers", "set", "mallory", &format!("dir={dir}")],
        &["peers", "show", "mallory"],
        &["peers", "rename", "mallory", &odd],
        &["peers", "accept", &odd],
        &["say", &odd, "hi"],
        &["send", &odd, "Cargo.toml"],
        &["send", "mallory", "--queue", &odd],
        &["join", &format!("egoat:{odd}")],
        &["invite", "--addr", &odd],
        &["serve", "--listen", &odd],
        &["outbox", "cancel", &odd],
        &["partial", "remove", &odd],
    ];
    for command in commands {
        output_of(&home, command, false);
        output_of(&home, &[&["--json"], command].concat(), false);
    }
    output_of(&home, &[OsStr::new("say"), OsStr::from_bytes(b"\xff\x1b[2J\xc2\x9b"), OsStr::new("x")], false);
    // A home that cannot be, for its parent is a file.
    let no_home = home.path("peers").join("❤\u{fe0f}\u{200d}\x1b[2J");
    let output = Command::new(EGOAT).arg("--home").arg(no_home).arg("id").output().unwrap();
    assert!(checked("a bad home", &output.stderr, false).contains("cannot open "));
}
