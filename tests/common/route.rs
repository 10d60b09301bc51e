//! Alice, who sends files to Bob's node through a network that fails when the test says so.

use std::path::{Path, PathBuf};

use super::files::{chunks_in, staged_in};
use super::proxy::{How, Plan, Proxy, Way};
use super::{Home, Node, Process, json_number, json_text, poll_until};

pub struct Route {
    pub proxy: Proxy,
    pub node: Node,
    /// Where Bob has the files of Alice.
    pub landing: PathBuf,
    pub alice: Home,
    pub bob: Home,
}

/// What ends a transfer in the middle.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    Sender,
    Node,
    Network,
}

/// What `--json` says of a transfer that is done.
#[derive(Debug)]
pub struct Sent {
    pub title: String,
    pub address: String,
    pub files: u64,
    pub bytes: u64,
    pub held: u64,
    pub lanes: u64,
    /// Bytes that Alice really sent.
    pub wire: u64,
}

/// Where homes are that hold much: in memory, if the system has such a place.
pub fn fast_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

impl Route {
    pub fn new() -> Route {
        Route::with(&[])
    }

    /// Bob serves with further arguments.
    pub fn with(args: &[&str]) -> Route {
        let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Home::new_in(&fast_dir(), "bob"));
        let node = bob.serve_with(&[&["--listen", "127.0.0.1:0"], args].concat());
        let proxy = Proxy::before(&node.addr);
        alice.run(&["peers", "add", "bob", &bob.key(), &proxy.addr]);
        bob.run(&["peers", "add", "alice", &alice.key()]);
        Route { proxy, node, landing: bob.path("downloads/alice"), alice, bob }
    }

    /// Starts to send.
    pub fn start(&self, args: &[&str]) -> Process {
        Process::start(self.alice.cmd(&[&["send", "bob"], args].concat()))
    }

    /// Sends, with success.
    pub fn send(&self, args: &[&str]) -> Sent {
        let before = self.proxy.connections().len();
        let out = self.alice.run(&[&["--json", "send", "bob"], args].concat());
        let line = out.lines().find(|line| line.contains("\"event\":\"sent\"")).unwrap();
        assert_eq!(json_text(line, "peer"), "bob");
        let connections = self.proxy.connections();
        Sent {
            title: json_text(line, "title"),
            address: json_text(line, "address"),
            files: json_number(line, "files"),
            bytes: json_number(line, "bytes"),
            held: json_number(line, "held"),
            lanes: json_number(line, "lanes"),
            wire: connections[before..].iter().map(|connection| connection.passed()[0]).sum(),
        }
    }

    /// Sends on connections of which each hangs after so many bytes, until so many chunks are on Bob's disk.
    pub fn start_in_part(&self, bytes: u64, chunks: usize, args: &[&str]) -> Process {
        self.proxy.plan(move || Plan::cut(Way::ToNode, bytes, How::Hang));
        let send = self.start(args);
        poll_until("chunks to be written", || (self.chunks() >= chunks).then_some(()));
        send
    }

    /// The same, and then it ends; the network is as good as new.
    pub fn send_in_part(&mut self, bytes: u64, chunks: usize, args: &[&str], blow: Blow) {
        let mut send = self.start_in_part(bytes, chunks, args);
        match blow {
            Blow::Sender => {
                send.kill9();
                self.mend();
            }
            Blow::Network => self.mend(),
            Blow::Node => {
                self.node.kill9();
                self.mend();
                self.node = self.bob.serve_again_at(&self.node.addr);
            }
        }
        if !matches!(blow, Blow::Sender) {
            let (code, _, said) = send.end();
            assert!(code == Some(69) && said.contains("connection to bob lost"), "{said}");
            assert!(
                said.contains("what arrived safely is kept there; the same command goes on from it"),
                "{said}"
            );
        }
        assert!(super::files::landed_in(&self.landing).is_empty());
    }

    /// All connections end, and those to come are left alone.
    pub fn mend(&self) {
        self.proxy.cut_and_plan(0, Plan::default());
    }

    /// Chunks on Bob's disk that wait for the others.
    pub fn chunks(&self) -> usize {
        staged_in(&self.landing).iter().map(|staging| chunks_in(staging)).sum()
    }

    /// The one folder in which they wait.
    pub fn staging(&self) -> PathBuf {
        let staged = staged_in(&self.landing);
        assert_eq!(staged.len(), 1);
        staged[0].clone()
    }
}
