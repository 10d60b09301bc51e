//! Who takes part: the cipher alone, plain TCP, what goes over ssh, and egoat, each as something that carries a load to a
//! place and tells what that took.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use egoat::crypto::noise::CipherState;

use crate::common::{Home, key, pair};
use crate::delay;
use crate::load::{Ground, Load};
use crate::sshd::{self, HOST, Sshd};
use crate::usage::{Run, Used, measure, own_seconds};

const RECORD: usize = 64 << 10;
/// What plain TCP reads and writes at a time: the fastest of 64 KiB to 4 MiB where this was written.
const LARGE: usize = 512 << 10;

/// Carries a load to a place.
type Transfer = dyn Fn(&Load, &Path) -> Run;

/// Somebody who can transfer a load to a place.
pub struct Contender {
    pub what: String,
    /// None where nothing lands.
    landing: Option<PathBuf>,
    run: Box<Transfer>,
}

impl Contender {
    pub fn new(what: &str, landing: PathBuf, run: impl Fn(&Load, &Path) -> Run + 'static) -> Contender {
        Contender { what: what.into(), landing: Some(landing), run: Box::new(run) }
    }

    /// One transfer, of which nothing stays.
    pub fn run(&self, load: &Load) -> Run {
        let Some(landing) = &self.landing else { return (self.run)(load, Path::new("")) };
        fs::create_dir_all(landing).expect("created");
        let run = (self.run)(load, landing);
        load.take_away(landing);
        run
    }
}

/// A directory of its own for each contender.
pub fn landing(ground: &Ground, what: &str) -> PathBuf {
    ground.place(&format!("landing-{}", what.replace(' ', "-")))
}

/// Seals and opens as many bytes on all cores, and does nothing else: the A of the limit.
pub fn cipher() -> Contender {
    let run = |load: &Load, _: &Path| {
        let started = Instant::now();
        let seconds = seal_and_open_on(cores(), load.bytes);
        Run { wall: started.elapsed(), sender: Used { seconds, peak: None }, receiver: Used::default() }
    };
    Contender { what: "cipher alone".into(), landing: None, run: Box::new(run) }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Seals each byte once and opens it once, shared among threads; gives their processor time.
fn seal_and_open_on(threads: usize, bytes: u64) -> Option<f64> {
    let share = bytes / threads as u64;
    thread::scope(|scope| {
        let one = |_| {
            scope.spawn(move || {
                seal(share, true);
                own_seconds()
            })
        };
        let all: Vec<_> = (0..threads).map(one).collect();
        all.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    })
}

/// Seals full records in place one after the other; opens each, too, or not.
pub fn seal(bytes: u64, opens: bool) {
    let (mut sealer, mut opener) =
        (CipherState::initialize_key(&[7; 32]), CipherState::initialize_key(&[7; 32]));
    let mut record = vec![7; RECORD];
    for _ in 0..bytes / RECORD as u64 {
        let tag = sealer.seal_in_place(b"", &mut record).expect("sealed");
        if opens {
            opener.open_in_place(b"", &mut record, &tag).expect("opened");
        }
    }
}

/// Reads, sends, receives and writes in two threads: the T of the limit.
pub fn plain_tcp(ground: &Ground) -> Contender {
    Contender::new("plain TCP", landing(ground, "plain TCP"), tcp)
}

fn tcp(load: &Load, landing: &Path) -> Run {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let started = Instant::now();
    let (sender, receiver) = thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let socket = TcpStream::connect(address).expect("connected");
            pour(File::open(&load.path).expect("opened"), socket)
        });
        let file = File::create(landing.join(load.name())).expect("created");
        let receiver = pour(listener.accept().expect("accepted").0, file);
        (sender.join().expect("no panic"), receiver)
    });
    Run { wall: started.elapsed(), sender, receiver }
}

fn pour(mut from: impl Read, mut to: impl Write) -> Used {
    let before = own_seconds();
    let mut buffer = vec![0; LARGE];
    loop {
        let read = from.read(&mut buffer).expect("read");
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read]).expect("written");
    }
    let seconds = own_seconds().zip(before).map(|(after, before)| after - before);
    // Both threads are this process: its memory says nothing.
    Used { seconds, peak: None }
}

/// The cipher that machines with AES instructions are fastest with.
pub const FAST_SCP: &str = "scp -c aes128-gcm@openssh.com";

/// The tools among `tools` that are installed, with a server for them.
pub fn over_ssh(ground: &Ground, tools: &[&str]) -> Vec<Contender> {
    let server = match Sshd::start() {
        Ok(server) => Rc::new(server),
        Err(why) => {
            println!("everything over ssh is left out: {why}");
            return Vec::new();
        }
    };
    let is_installed = |tool: &&&str| {
        let program = tool.split(' ').next().unwrap_or_default();
        let found = sshd::find(program).is_some();
        if !found {
            println!("{program} is not installed: left out");
        }
        found
    };
    let contender = |tool: &&str| {
        let (server, tool) = (Rc::clone(&server), (*tool).to_owned());
        // So that the name of one is not how another begins.
        let what = if tool == FAST_SCP { tool.clone() } else { format!("{tool} over ssh") };
        Contender::new(&what, landing(ground, &what), move |load, landing| {
            measure(ssh_command(&tool, &server.config(), load, landing), server.id())
        })
    };
    tools.iter().filter(is_installed).map(contender).collect()
}

/// A tool's command that copies the load into `landing`.
pub fn ssh_command(tool: &str, config: &Path, load: &Load, landing: &Path) -> Command {
    let mut words = tool.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    let target = format!("{HOST}:{}/", landing.display());
    match tool {
        "rsync" => {
            command.arg("-a").arg("-e").arg(format!("ssh -F {}", config.display()));
            command.arg(&load.path).arg(target);
        }
        "tar" => {
            command = Command::new("sh");
            let script = "tar -C \"$1\" -cf - \"$2\" | ssh -F \"$3\" \"$4\" \"tar -C '$5' -xf -\"";
            let parent = load.path.parent().expect("a parent");
            command
                .args(["-c", script, "sh"])
                .arg(parent)
                .arg(load.name())
                .arg(config)
                .arg(HOST)
                .arg(landing);
        }
        _ => {
            command.args(words).arg("-q").arg("-F").arg(config);
            command.args(load.is_tree().then_some("-r")).arg(&load.path).arg(target);
        }
    }
    command
}

/// Values of --streams; none is without the option, as a user would run it.
pub const STREAMS: [Option<&str>; 4] = [None, Some("1"), Some("2"), Some("4")];

/// A contender for each number of streams, if this egoat has that option.
pub fn egoats(ground: &Ground, streams: &[Option<&str>]) -> Vec<Contender> {
    let help = Home::new("alice").run(&["send", "--help"]);
    let is_known = help.contains("--streams");
    if !is_known && streams.len() > 1 {
        println!("this egoat has no --streams: left out");
    }
    let usable = streams.iter().filter(|number| is_known || number.is_none());
    usable
        .map(|number| {
            let what = number.map_or("egoat".into(), |number| format!("egoat --streams {number}"));
            egoat(ground, &what, *number, None)
        })
        .collect()
}

/// A sender, a node that serves, and a path between them if it is not direct.
pub fn egoat(ground: &Ground, what: &str, streams: Option<&str>, delay: Option<Duration>) -> Contender {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let landing = landing(ground, what);
    let downloads = landing.to_str().expect("UTF-8");
    let node = bob.serve_with(&["--downloads", downloads, "--max-file", "4G"]);
    let path = delay.map(|delay| delay::Path::before(&node.address, delay));
    match &path {
        None => pair(&bob, &alice),
        Some(path) => {
            alice.run(&["peers", "add", "bob", &key(&bob).to_string(), &path.address]);
            bob.run(&["peers", "add", "alice", &key(&alice).to_string()]);
        }
    }
    let streams: Vec<String> =
        streams.iter().flat_map(|number| ["--streams".into(), (*number).into()]).collect();
    Contender::new(what, landing, move |load, _| {
        let carried = path.as_ref().map(delay::Path::carried);
        let mut command = alice.command(&["send"]);
        command.args(&streams).arg("bob").arg(&load.path);
        let run = measure(command, node.id());
        if let (Some(path), Some(before)) = (&path, carried) {
            assert!(path.carried() - before >= load.bytes, "it went another way");
        }
        // The receiver's home is needed for as long as its node.
        let _ = &bob;
        run
    })
}

/// Whether directories can be sent: a small one is.
pub fn takes_trees() -> bool {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let _node = bob.serve();
    pair(&bob, &alice);
    let tree = alice.dir.path().join("tree");
    fs::create_dir(&tree).expect("created");
    fs::write(tree.join("leaf"), "leaf").expect("written");
    alice
        .command(&["send", "bob", tree.to_str().expect("UTF-8")])
        .output()
        .expect("it starts")
        .status
        .success()
}
