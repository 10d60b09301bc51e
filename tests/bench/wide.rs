//! Wide-area links: two network namespaces, and between them a program that delays, loses and queues packets (wan.c). What
//! users would pick takes its turn over the same link. Needs root, a compiler of C and /dev/net/tun; without one of them
//! the section is left out.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use crate::common::{Home, Node, key};
use crate::contender::{Contender, landing, ssh_command};
use crate::load::Ground;
use crate::sshd::{self, Sshd};
use crate::usage::measure;

const NEAR: &str = "10.99.0.1";
const FAR: &str = "10.99.0.2";

/// A link as it is in the world.
pub struct Kind {
    pub what: &'static str,
    /// A round trip, in ms.
    pub round_trip: f64,
    /// In per cent, each way.
    loss: f64,
    /// In Mbit/s.
    rate: f64,
    /// Bytes of a file that it takes seconds to send.
    pub bytes: u64,
}

/// The links of the section.
pub const KINDS: [Kind; 5] = [
    Kind { what: "0.4 ms, 940 Mbit/s", round_trip: 0.4, loss: 0.0, rate: 940.0, bytes: 256 << 20 },
    Kind { what: "20 ms, 300 Mbit/s", round_trip: 20.0, loss: 0.0, rate: 300.0, bytes: 128 << 20 },
    Kind { what: "150 ms, 300 Mbit/s", round_trip: 150.0, loss: 0.0, rate: 300.0, bytes: 128 << 20 },
    Kind { what: "50 ms, 300 Mbit/s, 0.1 % lost", round_trip: 50.0, loss: 0.1, rate: 300.0, bytes: 32 << 20 },
    Kind { what: "100 ms, 100 Mbit/s, 1 % lost", round_trip: 100.0, loss: 1.0, rate: 100.0, bytes: 4 << 20 },
];

/// A link that is laid, until it is dropped.
pub struct Link {
    namespaces: [String; 2],
    wan: Option<Child>,
}

impl Link {
    /// The error says what is missing.
    pub fn lay(kind: &Kind, program: &Path) -> Result<Link, String> {
        let name = |end: &str| format!("egoat-bench-{end}-{}", std::process::id());
        let mut link = Link { namespaces: [name("a"), name("b")], wan: None };
        for namespace in &link.namespaces {
            let made = Command::new("ip").args(["netns", "add", namespace]).stderr(Stdio::null()).status();
            if !made.is_ok_and(|status| status.success()) {
                return Err("network namespaces cannot be made here".into());
            }
        }
        // A queue of a quarter of a second, which is more than what is on the way.
        let queue = kind.rate * 1e6 / 8.0 / 4.0 / 1024.0;
        let settings = [kind.round_trip / 2.0, kind.loss, kind.rate, queue].map(|number| number.to_string());
        let mut wan = Command::new(program)
            .args(&link.namespaces)
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut said = String::new();
        let _ = BufReader::new(wan.stdout.take().expect("piped")).read_line(&mut said);
        link.wan = Some(wan);
        if said == "up\n" { Ok(link) } else { Err("/dev/net/tun cannot be used here".into()) }
    }

    fn words(&self, end: usize) -> [&str; 4] {
        ["ip", "netns", "exec", &self.namespaces[end]]
    }

    /// The same command on the near machine.
    pub fn near(&self, command: &Command) -> Command {
        self.on(0, command)
    }

    fn on(&self, end: usize, command: &Command) -> Command {
        let [first, words @ ..] = self.words(end);
        let mut wrapped = Command::new(first);
        wrapped.args(words).arg(command.get_program()).args(command.get_args());
        wrapped
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(mut wan) = self.wan.take() {
            let _ = wan.kill();
            let _ = wan.wait();
        }
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).stderr(Stdio::null()).status();
        }
    }
}

/// Compiles wan.c; `None` without a compiler.
pub fn program(ground: &Ground) -> Option<PathBuf> {
    let program = ground.place("wan").join("wan");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/wan.c");
    let compiled = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source).status();
    compiled.is_ok_and(|status| status.success()).then_some(program)
}

/// Alice on the near machine, and Bob's node on the far one.
pub struct Pair {
    pub alice: Home,
    _bob: Home,
    node: Node,
    pub landing: PathBuf,
}

impl Pair {
    /// Files land in a place of this name.
    pub fn over(link: &Link, ground: &Ground, name: &str) -> Pair {
        let (alice, bob) = (Home::new("alice"), Home::new("bob"));
        let landing = landing(ground, name);
        let listen = format!("{FAR}:4701");
        let downloads = landing.to_str().expect("UTF-8");
        let serve = bob.command(&["serve", "--listen", &listen, "--downloads", downloads]);
        let node = Node::of(link.on(1, &serve));
        alice.run(&["peers", "add", "bob", &key(&bob).to_string(), &listen]);
        bob.run(&["peers", "add", "alice", &key(&alice).to_string(), &format!("{NEAR}:4701")]);
        Pair { alice, _bob: bob, node, landing }
    }

    /// A command of Alice.
    pub fn command(&self, link: &Link, arguments: &[&str]) -> Command {
        link.near(&self.alice.command(arguments))
    }
}

/// egoat, and what is installed of the tools that go over ssh.
pub fn contenders(link: &Rc<Link>, ground: &Ground) -> Vec<Contender> {
    let mut all = Vec::new();
    match Sshd::start_at(FAR, &link.words(1), &link.words(0)) {
        Ok(server) => {
            let server = Rc::new(server);
            let is_installed = |tool: &&&str| sshd::find(tool).is_some();
            all.extend(["scp", "rsync"].iter().filter(is_installed).map(|tool| {
                let (server, link) = (Rc::clone(&server), Rc::clone(link));
                Contender::new(tool, landing(ground, tool), move |load, landing| {
                    let command = ssh_command(tool, &server.config(), load, landing);
                    measure(link.near(&command), server.id())
                })
            }));
        }
        Err(why) => println!("what goes over ssh is left out: {why}"),
    }
    let (pair, link) = (Pair::over(link, ground, "egoat"), Rc::clone(link));
    all.push(Contender::new("egoat", pair.landing.clone(), move |load, _| {
        measure(pair.command(&link, &["send", "bob", load.path.to_str().expect("UTF-8")]), pair.node.id())
    }));
    all
}
