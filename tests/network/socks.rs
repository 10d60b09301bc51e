//! Dialling through a SOCKS5 proxy: a real one, and one of the test's own that shows what it is asked, and answers as no
//! proxy should.

use crate::common;

use common::{Dead, EGOAT, Home, Node, PATIENCE, Process, finish, json_number, json_text, poll_until};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const ACCEPT: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
/// Documentation addresses (RFC 5737): nobody is there, and nobody must try.
const NOWHERE: &str = "192.0.2.1:4628";

/// microsocks(1), on a port of its own.
struct Microsocks {
    child: Child,
    addr: String,
    said: Arc<Mutex<String>>,
}

impl Microsocks {
    fn start(options: &[&str]) -> Microsocks {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Below those that the system gives away. If the port is in use all the same, the program ends, and another port is
        // tried.
        poll_until("microsocks (Debian: microsocks)", || {
            let number = std::process::id() * 16 + COUNT.fetch_add(1, Ordering::Relaxed);
            let port = (10_000 + number % 20_000).to_string();
            let mut child = Command::new("microsocks")
                .args(["-i", "127.0.0.1", "-p", &port])
                .args(options)
                .stderr(Stdio::piped())
                .spawn()
                .expect("microsocks, of the Debian package of this name");
            let addr = format!("127.0.0.1:{port}");
            let listens = common::poll_for(|| match child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => TcpStream::connect(&addr).is_ok().then_some(true),
            });
            if listens != Some(true) {
                return None;
            }
            let mut stderr = child.stderr.take().unwrap();
            let said = Arc::<Mutex<String>>::default();
            let saying = Arc::clone(&said);
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(got @ 1..) = stderr.read(&mut bytes) {
                    saying.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..got]));
                }
            });
            Some(Microsocks { child, addr, said })
        })
    }

    /// How many connections to `to` it has made.
    fn connections(&self, to: &str) -> usize {
        self.said.lock().unwrap().matches(&format!("connected to {to}\n")).count()
    }
}

impl Drop for Microsocks {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that deals with each connection as `act` says. Gives its address.
fn server(act: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let act = Arc::new(act);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let act = Arc::clone(&act);
            thread::spawn(move || act(stream));
        }
    });
    addr
}

fn read<const N: usize>(mut stream: &TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn read_vec(mut stream: &TcpStream, length: u8) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// User and password.
type Login = Option<(Vec<u8>, Vec<u8>)>;

/// What a proxy is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    login: Login,
    /// The type of the address, and the address as it stands there.
    kind: u8,
    host: Vec<u8>,
    port: u16,
}

/// Takes a request, with the method of login that the proxy chooses; `say` is how it answers before the last reply.
fn asked(stream: &TcpStream, method: u8, say: impl Fn(&[u8])) -> Option<Asked> {
    assert_eq!(read(stream)?, [5, 2, 2, 0], "the methods that are offered");
    say(&[5, method]);
    let mut login = None;
    if method == 2 {
        let [version, length] = read(stream)?;
        assert_eq!(version, 1);
        let user = read_vec(stream, length)?;
        let [length] = read(stream)?;
        login = Some((user, read_vec(stream, length)?));
        say(&[1, 0]);
    }
    let [version, command, reserved, kind] = read(stream)?;
    assert_eq!([version, command, reserved], [5, 1, 0]);
    let length = match kind {
        1 => 4,
        4 => 16,
        _ => read::<1>(stream)?[0],
    };
    let host = read_vec(stream, length)?;
    Some(Asked { login, kind, host, port: u16::from_be_bytes(read(stream)?) })
}

fn say(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// A proxy of the test's own. It leads everybody to one node, whatever they ask for.
struct Leading {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Leading {
    fn to(node: &str, method: u8) -> Leading {
        Leading::slowly_to(node, method, Duration::ZERO)
    }

    /// Each byte of its answers comes after a pause.
    fn slowly_to(node: &str, method: u8, pause: Duration) -> Leading {
        let list = Arc::<Mutex<Vec<Asked>>>::default();
        let (asking, node) = (Arc::clone(&list), node.to_owned());
        let addr = server(move |stream| {
            let slowly = |bytes: &[u8]| {
                for byte in bytes {
                    thread::sleep(pause);
                    say(&stream, &[*byte]);
                }
            };
            let Some(request) = asked(&stream, method, slowly) else { return };
            asking.lock().unwrap().push(request);
            let node = TcpStream::connect(&node).unwrap();
            slowly(&ACCEPT);
            splice(stream, node);
        });
        Leading { url: format!("socks5://{addr}"), asked: list }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn logins(&self) -> Vec<Login> {
        self.asked().into_iter().map(|asked| asked.login).collect()
    }
}

fn splice(one: TcpStream, other: TcpStream) {
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let (from, to) = (one.try_clone().unwrap(), other.try_clone().unwrap());
    let there = thread::spawn(move || pump(from, to));
    pump(other, one);
    there.join().unwrap();
}

/// A command that dials through the proxy.
fn through(home: &Home, url: &str, args: &[&str]) -> Command {
    let mut command = home.cmd(args);
    command.env("EGOAT_PROXY", url);
    command
}

/// Runs it; it must end with `code`. Gives stdout and stderr.
fn ends(home: &Home, url: &str, args: &[&str], code: i32) -> (String, String) {
    finish(through(home, url, args), b"", code)
}

/// Alice, who serves, and Bob, who knows her at `host` with her port.
fn acquainted(host: &str) -> (Home, Node, Home, String) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve();
    let at = format!("{host}:{}", node.addr.rsplit_once(':').unwrap().1);
    alice.run(&["peers", "add", "bob", &bob.key()]);
    bob.run(&["peers", "add", "alice", &alice.key(), &at]);
    (alice, node, bob, at)
}

#[test]
fn every_command_that_dials_goes_through_the_proxy() {
    let proxy = Microsocks::start(&[]);
    let url = format!("socks5://{}", proxy.addr);
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve();
    let at = format!("localhost:{}", node.addr.rsplit_once(':').unwrap().1);
    let link = alice.run(&["invite", "--addr", &at]);
    let mut made = 0;
    let mut check = |what: &str, at_least: usize| {
        let now = proxy.connections(&at);
        assert!(now >= made + at_least, "{what}: {made} connections before, and {now} behind it");
        made = now;
    };
    let joined = ends(&bob, &url, &["join", link.trim_end()], 0).0;
    assert!(joined.starts_with("paired with alice"), "{joined}");
    check("join", 1);
    ends(&bob, &url, &["say", "--wait", "30s", "alice", "hello"], 0);
    assert_eq!(alice.received(), ["hello"]);
    check("say", 1);
    let file = bob.file("large", common::files::sample(20 << 20));
    let sent = ends(&bob, &url, &["--json", "send", "--streams", "2", "alice", &file], 0).0;
    let sent = sent.lines().find(|line| line.contains("\"sent\"")).unwrap();
    assert_eq!((json_number(sent, "lanes"), json_text(sent, "address")), (2, at.clone()));
    assert_eq!(std::fs::read(alice.path("downloads/bob/large")).unwrap(), common::files::sample(20 << 20));
    check("send", 2);
    alice.run(&["say", "bob", "collect this"]);
    assert_eq!(ends(&bob, &url, &["fetch"], 0).0, "alice: delivered 0, received 1\n");
    check("fetch", 1);
    let chat = ["chat", "--listen", "127.0.0.1:0", "alice"];
    finish(through(&bob, &url, &chat), b"by the chat\n", 0);
    poll_until("what the chat sent", || (alice.received().len() == 2).then_some(()));
    check("chat", 1);
    let mut bob_node = Process::start(through(&bob, &url, &["serve", "--listen", "127.0.0.1:0"]));
    bob_node.wait_for("connected with alice");
    alice.run(&["say", "--wait", "30s", "bob", "to who was behind a proxy"]);
    check("serve", 1);
    // With the port of the node that runs: the address that Alice sees is not Bob's.
    ends(&bob, &url, &["send", "alice", &bob.file("small", b"x")], 0);
    check("send beside a node", 1);
    assert!(!alice.run(&["peers", "show", "bob"]).contains("127.0.0.1"), "{}", alice.run(&["peers"]));
}

#[test]
fn a_password_is_needed_where_one_is_wanted() {
    let proxy = Microsocks::start(&["-u", "us:er", "-P", "p@ss%"]);
    let (alice, _node, bob, at) = acquainted("localhost");
    let url = |login: &str| format!("socks5://{login}{}", proxy.addr);
    ends(&bob, &url("us%3Aer:p@ss%25@"), &["say", "--wait", "30s", "alice", "in"], 0);
    assert_eq!((alice.received(), proxy.connections(&at)), (vec!["in".to_owned()], 1));
    for login in ["us%3Aer:secret@", ""] {
        let (_, said) = ends(&bob, &url(login), &["send", "alice", &bob.file("f", b"x")], 69);
        let expected = format!("cannot reach alice: the proxy {} wants another user", proxy.addr);
        assert!(said.contains(&expected) && said.contains("hint: ") && !said.contains("secret"), "{said}");
    }
}

#[test]
fn the_proxy_gets_addresses_as_they_are_typed() {
    let alice = Home::new("alice");
    let node = alice.serve();
    for (method, host, kind, bytes) in [
        (2, "alice.example.invalid", 3, b"alice.example.invalid".to_vec()),
        (0, "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion", 3, Vec::new()),
        (2, "192.0.2.7", 1, vec![192, 0, 2, 7]),
        (0, "[2001:db8::7]", 4, [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[7]].concat()),
    ] {
        let (proxy, bob) = (Leading::to(&node.addr, method), Home::new("bob"));
        bob.run(&["peers", "add", "alice", &alice.key(), &format!("{host}:700")]);
        alice.run(&["peers", "add", &format!("bob-{kind}-{method}"), &bob.key()]);
        ends(&bob, &proxy.url, &["say", "--wait", "30s", "alice", host], 0);
        let asked = proxy.asked();
        let [one] = &asked[..] else { panic!("{asked:?}") };
        let bytes = if bytes.is_empty() { host.as_bytes().to_vec() } else { bytes };
        assert_eq!((one.kind, &one.host, one.port), (kind, &bytes, 700), "{host}");
        assert_eq!(one.login.is_some(), method == 2);
    }
}

/// The files and the servers that a C library looks at for a name, and every address that is connected to.
fn traces(command: &Command, trace: &std::path::Path, code: i32) -> (Vec<String>, Vec<String>) {
    let words = ["strace", "-f", "-qq", "-e", "trace=openat,connect,sendto,sendmmsg,sendmsg", "-o"];
    let traced = common::by(&[&words[..], &[trace.to_str().unwrap()]].concat(), command);
    finish(traced, b"", code);
    let text = std::fs::read_to_string(trace).unwrap();
    let has = |line: &&str, all: &[&str]| all.iter().any(|word| line.contains(word));
    let looked = ["resolv.conf", "/etc/hosts", "nsswitch.conf", "nscd", "systemd/resolve", "htons(53)"];
    let looked = text.lines().filter(|line| has(line, &looked)).map(str::to_owned).collect();
    let inet = text.lines().filter(|line| line.contains("connect(") && line.contains("AF_INET"));
    // A UDP socket that is connected only asks for a route, or rings a node.
    (looked, inet.map(str::to_owned).collect())
}

#[test]
fn no_name_is_looked_up_here() {
    let alice = Home::new("alice");
    let node = alice.serve_with(&["--listen", "127.0.0.1:0", "--accept-new"]);
    let proxy = Leading::to(&node.addr, 2);
    let bob = Home::new("bob");
    let (trace, file) = (bob.path("trace"), bob.file("f", common::files::sample(20 << 20)));
    let port = format!("htons({})", proxy.url.rsplit_once(':').unwrap().1);
    let link = alice.run(&["invite", "--addr", "name.invalid:700"]);
    for args in [
        &["join", link.trim_end()][..],
        &["say", "--wait", "30s", "alice", "x"],
        &["send", "--streams", "2", "alice", &file],
        &["fetch"],
        &["say", "--accept-new", "other.invalid:700", "x"],
    ] {
        let (looked, connected) = traces(&through(&bob, &proxy.url, args), &trace, 0);
        assert!(looked.is_empty(), "{args:?}: {looked:#?}");
        assert!(!connected.is_empty() && connected.iter().all(|line| line.contains(&port)), "{connected:#?}");
    }
    let (looked, connected) = traces(&through(&bob, &proxy.url, &["say", "nobody", "x"]), &trace, 2);
    assert!(looked.is_empty() && connected.is_empty(), "{looked:#?} {connected:#?}");
    // Neither is an onion service, by anybody.
    let (looked, connected) = traces(&bob.cmd(&["say", "xyz.onion.", "x"]), &trace, 69);
    assert!(looked.is_empty() && connected.is_empty(), "{looked:#?} {connected:#?}");
    // The test would see it.
    let (looked, _) = traces(&bob.cmd(&["say", "localhost:1", "x"]), &trace, 69);
    assert!(!looked.is_empty());
}

#[test]
fn each_peer_has_a_login_of_its_own() {
    let (_alice, node, bob, _) = acquainted("one.invalid");
    let proxy = Leading::to(&node.addr, 2);
    let file = bob.file("large", common::files::sample(20 << 20));
    ends(&bob, &proxy.url, &["send", "--streams", "2", "alice", &file], 0);
    ends(&bob, &proxy.url, &["say", "--wait", "30s", "alice", "x"], 0);
    let first = proxy.logins();
    assert!(first.len() >= 3 && first.iter().all(|login| *login == first[0]), "{first:?}");
    let (user, password) = first[0].clone().unwrap();
    assert_eq!((&user[..], password.len()), (&b"egoat"[..], 52));
    let of = |home: &Home, url: &str, to: &str| {
        ends(home, url, &["say", to, "x"], 77);
        proxy.logins().pop().unwrap().unwrap()
    };
    let port = node.addr.rsplit_once(':').unwrap().1;
    assert_eq!(of(&Home::new("one"), &proxy.url, "y.invalid:1").0, user);
    let strangers = Home::new("carol");
    let mut passwords = vec![
        password,
        of(&strangers, &proxy.url, "two.invalid:700").1,
        of(&strangers, &proxy.url, "two.invalid:701").1,
    ];
    passwords.push(of(&strangers, &proxy.url, &format!("one.invalid:{port}")).1);
    passwords.sort();
    passwords.dedup();
    assert_eq!(passwords.len(), 4, "by the peer's address, and by the node");
    // Who names a user is one user to all.
    let named = proxy.url.replace("//", "//bob:secret@");
    let given = (b"bob".to_vec(), b"secret".to_vec());
    assert_eq!(of(&strangers, &named, "two.invalid:700"), given);
    assert_eq!(of(&strangers, &named, "three.invalid:700"), given);
}

#[test]
fn each_reply_is_told_in_words() {
    let home = Home::new("bob");
    for (code, words) in [
        (1, "says that it failed, but not why"),
        (2, "says that its rules forbid it"),
        (3, "says that the network cannot be reached"),
        (4, "says that the host cannot be reached, or is not known"),
        (5, "says that the connection was refused"),
        (6, "says that it took too long"),
        (7, "says that it makes no connections"),
        (8, "says that it takes no address of this kind"),
        (9, "gave the reason 9, which has no meaning"),
        (255, "gave the reason 255, which has no meaning"),
    ] {
        let addr = server(move |stream| {
            let reply = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
            // Some say no more than they must.
            let length = if code % 2 == 0 { 10 } else { 2 };
            if asked(&stream, 0, |bytes| say(&stream, bytes)).is_some() {
                say(&stream, &reply[..length]);
            }
        });
        let (_, said) = ends(&home, &format!("socks5://{addr}"), &["say", NOWHERE, "x"], 69);
        let expected = format!("error: cannot reach {NOWHERE}: the proxy {addr} {words}\n");
        assert!(said.contains(&expected), "{code}: {said}");
        assert!(said.contains("hint: is `egoat serve` running there"), "{said}");
    }
}

/// The answers of a proxy, in turn: each is said once what it answers to was read.
fn answering(answers: Vec<Vec<u8>>) -> String {
    server(move |mut stream| {
        for answer in &answers {
            // What is asked comes at once.
            if !matches!(stream.read(&mut [0; 1024]), Ok(1..)) {
                return;
            }
            say(&stream, answer);
        }
        // Whoever goes on is not to see a reset before it has read all.
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.set_read_timeout(Some(PATIENCE));
        while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
    })
}

fn fails_at_the_proxy(home: &Home, addr: &str, words: &str) {
    let (_, said) = ends(home, &format!("socks5://{addr}"), &["say", NOWHERE, "x"], 69);
    let expected = format!("error: cannot reach {NOWHERE}: the proxy {addr} {words}");
    assert!(said.contains(&expected), "{words}: {said}");
    assert!(said.contains("hint: see that it runs"), "{said}");
}

#[test]
fn what_no_proxy_answers_is_not_believed() {
    let home = Home::new("bob");
    let none = "is no SOCKS5 proxy: ";
    for (answers, words) in [
        (vec![&[4, 0][..]], format!("{none}it speaks another version")),
        (vec![b"HTTP/1.1 400 Bad Request\r\n\r\n"], format!("{none}it speaks another version")),
        (vec![&[5, 1]], format!("{none}it wants a login that was not offered")),
        (vec![&[5, 0xff]], "wants another kind of login than a password".into()),
        (vec![&[5, 2], &[5, 0]], format!("{none}it does not answer to a user and password")),
        (vec![&[5, 2], &[1, 1]], "wants another user or password".into()),
        (vec![&[5, 0], &[4, 0, 0, 1]], format!("{none}its reply is of another version")),
        (vec![&[5, 0], &[0, 0x5a, 0, 0]], format!("{none}its reply is of another version")),
        (vec![&[5, 0], &[5, 0, 1, 1]], format!("{none}its reply has no address")),
        (vec![&[5, 0], &[5, 0, 0, 2]], format!("{none}its reply has no address")),
    ] {
        let addr = answering(answers.into_iter().map(<[u8]>::to_vec).collect());
        fails_at_the_proxy(&home, &addr, &words);
    }
}

#[test]
fn an_answer_that_is_cut_at_any_byte_is_an_error() {
    let home = Home::new("bob");
    let named = [&[5, 0, 0, 3, 3][..], b"abc\x12\x34"].concat();
    for reply in [ACCEPT.to_vec(), named] {
        let whole = [vec![5, 2], vec![1, 0], reply];
        let bytes: usize = whole.iter().map(Vec::len).sum();
        for cut in 0..bytes {
            let mut left = cut;
            let answers = whole.iter().map(|answer| {
                let part = answer[..left.min(answer.len())].to_vec();
                left -= part.len();
                part
            });
            let answers: Vec<_> = answers.collect();
            let last = answers.iter().position(|answer| answer.len() < 2).unwrap_or(2);
            let addr = answering(answers[..=last].to_vec());
            fails_at_the_proxy(&home, &addr, "closed the connection before it had answered");
        }
    }
}

#[test]
fn a_slow_proxy_is_waited_for_but_not_for_ever() {
    let (alice, node, bob, _) = acquainted("slow.invalid");
    let slow = Leading::slowly_to(&node.addr, 2, Duration::from_millis(30));
    ends(&bob, &slow.url, &["say", "--wait", "30s", "alice", "slowly"], 0);
    assert_eq!(alice.received(), ["slowly"]);

    let never = |stage: usize| {
        server(move |mut stream| {
            let answers: [&[u8]; 2] = [&[5, 2], &[1, 0]];
            for answer in answers.iter().take(stage) {
                let _ = stream.read(&mut [0; 1024]);
                say(&stream, answer);
            }
            let _ = stream.set_read_timeout(Some(PATIENCE));
            while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
        })
    };
    // A name of 255 bytes that comes byte by byte: no single wait is long.
    let trickle = server(|stream| {
        let all = [&[5, 0, 0, 3, 255][..], &[b'x'; 257]].concat();
        if asked(&stream, 2, |bytes| say(&stream, bytes)).is_some() {
            for byte in all {
                say(&stream, &[byte]);
                thread::sleep(Duration::from_millis(100));
            }
        }
    });
    for (addr, words) in [
        (never(0), "does not answer in time"),
        (never(1), "does not answer in time"),
        (never(2), "has not reached it in time"),
        (trickle, "does not answer in time"),
    ] {
        let began = Instant::now();
        let (_, said) = ends(&bob, &format!("socks5://{addr}"), &["say", "--wait", "1s", "alice", "x"], 75);
        assert!(said.contains(&format!("the proxy {addr} {words}")), "{said}");
        assert!(began.elapsed() < Duration::from_secs(15), "{words}: {:?}", began.elapsed());
    }
}

#[test]
fn a_proxy_and_a_peer_that_are_away_are_told_apart() {
    let (proxy, dead) = (Microsocks::start(&[]), Dead::new());
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    bob.run(&["peers", "add", "alice", &alice.key(), &dead.addr]);
    let file = bob.file("f", b"x");
    let (_, said) = ends(&bob, &format!("socks5://{}", proxy.addr), &["send", "alice", &file], 69);
    let expected = format!(
        "cannot reach alice: {}: the proxy {} says that the connection was refused",
        dead.addr, proxy.addr
    );
    assert!(said.contains(&expected) && said.contains("hint: with --queue the files wait here"), "{said}");
    let (_, said) = ends(&bob, &format!("socks5://{}", dead.addr), &["send", "alice", &file], 69);
    let expected =
        format!("cannot reach alice: the proxy {} cannot be reached: connection refused", dead.addr);
    assert!(said.contains(&expected) && said.contains("hint: see that it runs"), "{said}");
    // A peer that closes is not known to be no node: what it has read cannot be seen from here.
    let closing = Leading::to(&server(|stream| assert!(read::<8>(&stream).is_some())), 0);
    let (_, said) = ends(&bob, &closing.url, &["send", "alice", &file], 69);
    assert!(said.contains("takes no connection from here now"), "{said}");
}

#[test]
fn the_option_wins_and_other_variables_are_not_read() {
    let (alice, node, bob, _) = acquainted("127.0.0.1");
    let proxy = Leading::to(&node.addr, 0);
    let mut texts = Vec::new();
    let mut check = |option: Option<&str>, variable: &str, goes_through: bool| {
        let before = proxy.asked().len();
        let mut args = option.map_or_else(Vec::new, |url| vec!["--proxy", url]);
        texts.push(format!("{option:?} {variable}"));
        let text = texts.last().unwrap().clone();
        args.extend(["say", "--wait", "30s", "alice", &text]);
        ends(&bob, variable, &args, 0);
        assert_eq!(proxy.asked().len() > before, goes_through, "{option:?} {variable}");
    };
    let dead = "socks5://127.0.0.1:1";
    check(Some(&proxy.url), dead, true);
    check(None, &proxy.url, true);
    check(Some(""), dead, false);
    check(None, "", false);
    let mut command = bob.cmd(&["say", "--wait", "30s", "alice", "last"]);
    for variable in ["ALL_PROXY", "all_proxy", "SOCKS_SERVER", "http_proxy"] {
        command.env(variable, dead);
    }
    finish(command, b"", 0);
    texts.push("last".into());
    assert_eq!(alice.received(), texts);
}

#[test]
fn a_bad_proxy_is_a_wrong_command_line() {
    let home = Home::new("bob");
    for url in [
        "http://bob:secret@127.0.0.1:9050",
        "socks5://bob:secret@127.0.0.1",
        "127.0.0.1:9050",
        "socks5://bob@h:1",
    ] {
        for said in [ends(&home, url, &["id"], 2).1, home.fails(&["--proxy", url, "id"], 2)] {
            assert!(said.contains("error: the proxy cannot be used: "), "{said}");
            assert!(said.contains("hint: --proxy and $EGOAT_PROXY are socks5://"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
    let mut command = Command::new(EGOAT);
    command.args(["--proxy", "socks5", "id"]).env("EGOAT_HOME", home.path(""));
    finish(command, b"", 2);
}

#[test]
fn an_onion_service_without_a_proxy_is_told() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = alice.serve();
    alice.run(&["peers", "add", "bob", &bob.key()]);
    bob.run(&["peers", "add", "alice", &alice.key(), "xyz.onion"]);
    let file = bob.file("f", b"x");
    let said = bob.fails(&["send", "--wait", "1h", "alice", &file], 69);
    assert!(said.contains("cannot reach alice: onion services are reached through Tor"), "{said}");
    assert!(said.contains("hint: start Tor, and give --proxy socks5://127.0.0.1:9050"), "{said}");
    // Another address does.
    bob.run(&["peers", "remove", "alice"]);
    bob.run(&["peers", "add", "alice", &alice.key(), "XYZ.Onion", &node.addr]);
    bob.run(&["send", "alice", &file]);
    // And so does a proxy that knows the name.
    bob.run(&["peers", "set", "alice", "address=xyz.onion"]);
    let proxy = Leading::to(&node.addr, 2);
    ends(&bob, &proxy.url, &["say", "--wait", "30s", "alice", "x"], 0);
    assert_eq!(proxy.asked()[0].host, b"xyz.onion");
}

#[test]
fn the_demo_needs_no_proxy() {
    let home = Home::new("bob");
    ends(&home, "socks5://127.0.0.1:1", &["demo"], 0);
}

#[test]
fn nothing_is_said_to_the_peer_before_the_proxy_has_answered() {
    let (alice, node, bob, _) = acquainted("late.invalid");
    let target = node.addr.clone();
    let early = Arc::new(Mutex::new(Vec::new()));
    let noting = Arc::clone(&early);
    let addr = server(move |stream| {
        let Some(_) = asked(&stream, 0, |bytes| say(&stream, bytes)) else { return };
        let (last, others) = ACCEPT.split_last().unwrap();
        say(&stream, others);
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        noting.lock().unwrap().push((&stream).read(&mut [0]).map_err(|cause| cause.kind()));
        stream.set_read_timeout(None).unwrap();
        say(&stream, &[*last]);
        splice(stream, TcpStream::connect(&target).unwrap());
    });
    ends(&bob, &format!("socks5://{addr}"), &["say", "--wait", "30s", "alice", "x"], 0);
    assert_eq!(alice.received(), ["x"]);
    assert_eq!(early.lock().unwrap()[..], [Err(ErrorKind::WouldBlock)]);
}

#[test]
fn the_doctor_looks_at_the_proxy() {
    let (proxy, dead) = (Microsocks::start(&[]), Dead::new());
    let url = format!("socks5://{}", proxy.addr);
    let (_alice, _node, bob, at) = acquainted("localhost");
    let seen = ends(&bob, &url, &["doctor", "alice"], 0).0;
    for line in [
        format!("skipped  dns4      {at}: names are not resolved here, but by the proxy\n"),
        format!("skipped  dns6      {at}: names are not resolved here, but by the proxy\n"),
        format!("ok       proxy     {at}: the proxy {} answers\n", proxy.addr),
        format!("ok       tcp       {at}: connected by the proxy\n"),
        format!("ok       session   {at}: alice proves its key, and takes this node as a peer\n"),
    ] {
        assert!(seen.contains(&line), "{seen}");
    }
    let (seen, said) = ends(&bob, &url, &["doctor", &dead.addr], 69);
    assert!(seen.contains(&format!("\nok       proxy     {}: ", dead.addr)), "{seen}");
    let refused = format!("\nfailed   tcp       {}: the proxy {} says that the", dead.addr, proxy.addr);
    assert!(seen.contains(&refused) && said.ends_with("the first layer that fails is tcp\n"), "{seen}{said}");
    let (seen, _) = ends(&bob, &format!("socks5://{}", dead.addr), &["doctor", "alice"], 69);
    let away = format!("\nfailed   proxy     {at}: the proxy {} cannot be reached: ", dead.addr);
    assert!(seen.contains(&away), "{seen}");
    let onion = bob.ends_with(&["doctor", "xyz.onion"], b"", 69).0;
    assert!(
        onion.contains("failed   proxy     xyz.onion:4628: ") && onion.contains("hint: start Tor"),
        "{onion}"
    );
}
