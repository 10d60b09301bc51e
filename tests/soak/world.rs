//! Nodes that are killed and stopped, behind a network that fails.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::proxy::{How, Plan, Proxy, Way};
use crate::common::{Home, Node, PATIENCE, Process, Random};
use crate::ledger::Ledger;

pub const NAMES: [&str; 4] = ["alice", "bob", "carol", "dora"];
/// She can be reached over connections that she makes, and has no address.
pub const DORA: usize = 3;
/// A command that takes longer than this hangs. One that has heard nothing for a minute ends by itself.
const COMMAND: Duration = Duration::from_secs(180);

/// How commands may end, if nobody kills them.
const CODES: [i32; 4] = [0, 1, 69, 75];
/// How one ends that finds a log locked for longer than it waits.
const LOCKED: i32 = 74;
/// The errors and warnings that may stand on stderr, of nodes and of commands.
const EXPECTED: &[&str] = &[
    "egoat: error: cannot reach ",
    "egoat: error: another egoat is delivering to ",
    "egoat: error: another egoat is sending files to ",
    "egoat: error: a node starts here, and delivers to ",
    "egoat: error: connection to ",
    "egoat: error: no message ",
    "egoat: error: no node runs on ",
    // It is stopped, or was killed while it sent files for a command.
    "egoat: error: the node here did not answer within ",
    "egoat: error: the node here has ended",
    // Two workers chose the same file.
    "egoat: another command is sending the same to ",
    // The user has cancelled it.
    " could not finish the transfer: it stopped sending",
    " stopped sending",
    // A node that is full, or that still has the connection of before.
    " refuses for now: ",
    "egoat: error: not delivered to ",
    // What a node says of the same.
    "egoat: cannot reach ",
    "egoat: connection to ",
    "egoat: hint: ",
];

pub struct Member {
    pub name: &'static str,
    pub home: Home,
    pub proxy: Proxy,
    addr: String,
    /// The program of --on-message, which notes what it is run for in a file of its name with `.heard` behind it.
    hook: String,
    /// `None` between its end and its next start.
    node: Mutex<Option<Node>>,
}

pub struct World {
    pub members: Vec<Member>,
    pub ledger: Mutex<Ledger>,
    pub faults: Mutex<Vec<String>>,
    /// The processes of nodes that were stopped for long, perhaps with a log locked.
    sleepers: Mutex<HashSet<u32>>,
    /// What was done and what stood on stderr, and how often.
    pub counts: Mutex<BTreeMap<String, usize>>,
}

/// A command that has ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
}

impl World {
    pub fn new(random: &mut Random) -> World {
        let members: Vec<Member> = NAMES.iter().map(|name| Member::new(name)).collect();
        for one in &members {
            for other in members.iter().filter(|other| other.name != one.name) {
                let key = other.home.key();
                let address = (other.name != NAMES[DORA]).then_some(other.proxy.addr.as_str());
                let args = ["peers", "add", other.name, &key].into_iter().chain(address);
                one.home.run(&args.collect::<Vec<_>>());
            }
            one.proxy.plan(bad_network(Random(random.next())));
        }
        let world = World {
            members,
            ledger: Mutex::default(),
            faults: Mutex::default(),
            sleepers: Mutex::default(),
            counts: Mutex::default(),
        };
        world.members.iter().for_each(|member| world.start(member));
        world
    }

    /// Kills and stops a node, and cuts its connections, until it is time. It runs then.
    pub fn disturb(&self, which: usize, random: &mut Random, end: Instant) {
        let member = &self.members[which];
        while pause(random, 6000, end) {
            match random.below(4) {
                0 | 1 => {
                    self.count("node killed");
                    self.kill(member);
                    pause(random, 4000, end);
                    self.start(member);
                }
                2 => {
                    self.count("node stopped");
                    // One in a while is stopped for longer than anybody waits for it.
                    let most = if random.below(20) == 0 { 90_000 } else { 5000 };
                    if most > 5000 {
                        self.sleepers.lock().unwrap().insert(member.node().as_ref().unwrap().child.id());
                    }
                    member.node().as_ref().unwrap().signal("STOP");
                    pause(random, most, end);
                    member.node().as_ref().unwrap().signal("CONT");
                }
                _ => {
                    self.count("network cut");
                    member.proxy.cut(0);
                }
            }
        }
    }

    fn kill(&self, member: &Member) {
        let Some(mut node) = member.node().take() else { return };
        if !node.is_running() {
            self.fault(format!("the node of {} has ended by itself", member.name));
        }
        self.check_stderr(&format!("serve of {}", member.name), &node.kill9());
    }

    /// Commands that deliver without a node are in its way for some time.
    fn start(&self, member: &Member) {
        let began = Instant::now();
        loop {
            let mut process = Process::start(member.serve());
            if process.next_line().is_some() {
                *member.node() = Some(Node::from(process, member.addr.clone()));
                return;
            }
            self.count("node not started");
            let (_, _, stderr) = process.end();
            self.check_stderr(&format!("start of serve of {}", member.name), &stderr);
            assert!(began.elapsed() < 3 * PATIENCE, "no node of {} starts: {stderr}", member.name);
        }
    }

    /// From now on the network is as it should be.
    pub fn heal(&self) {
        for member in &self.members {
            member.proxy.plan(Plan::default);
            member.proxy.cut(0);
        }
    }

    /// Runs a command, perhaps not to its end.
    pub fn run(&self, which: usize, random: &mut Random, args: &[&str], input: Stdio) -> Ended {
        let command = self.members[which].home.cmd(&[&["--quiet"], args].concat());
        let mut process = Process::start_between(command, input, Stdio::piped());
        let began = Instant::now();
        let mut kill_at = (random.below(6) == 0).then(|| began + log_uniform_time(random, 3000));
        let mut stop_at = (random.below(12) == 0).then(|| began + log_uniform_time(random, 3000));
        let mut was_killed = false;
        while process.is_running() {
            let now = Instant::now();
            if stop_at.take_if(|time| *time < now).is_some() {
                self.count("command stopped");
                process.signal("STOP");
                thread::sleep(log_uniform_time(random, 2000));
                process.signal("CONT");
            }
            if kill_at.take_if(|time| *time < now).is_some() {
                self.count("command killed");
                was_killed = true;
                process.child.kill().unwrap();
            }
            if began.elapsed() > COMMAND {
                self.fault(format!("{args:?} of {} does not end; stderr: {}", NAMES[which], process.said()));
                process.child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(5));
        }
        let (code, out, stderr) = process.end();
        let is_locked_out =
            code == Some(LOCKED) && stderr.lines().any(|line| self.is_locked_by_sleeper(line));
        if !is_locked_out && !code.map_or(was_killed, |code| CODES.contains(&code)) {
            self.fault(format!("{args:?} of {} ends with {code:?}", NAMES[which]));
        }
        let words: Vec<&str> = args.iter().copied().filter(|arg| *arg != "--json").take(2).collect();
        self.count(&format!("{} ended with {code:?}", words[0]));
        self.check_stderr(&format!("{words:?} of {}, {code:?}", NAMES[which]), &stderr);
        Ended { code, out }
    }

    fn check_stderr(&self, whose: &str, stderr: &str) {
        for line in stderr.lines() {
            self.count(&format!("on stderr: {}", line.replace(|c: char| c.is_ascii_digit(), "9")));
            let is_expected = EXPECTED.iter().any(|text| line.contains(text));
            if !is_expected && !self.is_locked_by_sleeper(line) {
                self.fault(format!("{whose} says {line}"));
            }
        }
    }

    fn is_locked_by_sleeper(&self, line: &str) -> bool {
        let sleepers = self.sleepers.lock().unwrap();
        let is_by = |pid: &u32| line.ends_with(&format!(": process {pid} keeps it locked"));
        line.contains("cannot lock ") && sleepers.iter().any(is_by)
    }

    pub fn count(&self, what: &str) {
        *self.counts.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub fn fault(&self, what: String) {
        eprintln!("FAULT {what}");
        self.faults.lock().unwrap().push(what);
    }

    /// Ends the nodes.
    pub fn end(&self) {
        self.members.iter().for_each(|member| self.kill(member));
    }
}

impl Member {
    fn new(name: &'static str) -> Member {
        let home = Home::new(name);
        let addr = home.own_port("127.0.0.1:0");
        // It dials from 127.0.0.1, which is another address than its own: no node takes that for where the dialler can be
        // reached, and goes around the proxy.
        let proxy = Proxy::at("127.0.1.1:0", &addr);
        let hook = home
            .script("hook", r#"read -r thread place rest; echo "$EGOAT_PEER $thread $place" >>"$0.heard""#);
        Member { name, home, proxy, addr, hook, node: Mutex::new(None) }
    }

    fn node(&self) -> MutexGuard<'_, Option<Node>> {
        self.node.lock().unwrap()
    }

    fn serve(&self) -> std::process::Command {
        self.home.cmd(&["--quiet", "serve", "--listen", &self.addr, "--on-message", &self.hook])
    }

    /// What the hook was run for, as lines that each have a peer and the beginning of a message. Runs that were killed are
    /// repeated: the first ones count.
    pub fn heard(&self) -> Vec<String> {
        let heard = fs::read_to_string(format!("{}.heard", self.hook)).unwrap_or_default();
        let mut seen = HashSet::new();
        heard.lines().filter(|line| seen.insert(*line)).map(str::to_owned).collect()
    }

    /// What the node uses in the end: nothing that grows with what it went through.
    pub fn use_of_system(&self) -> String {
        let node = self.node();
        let pid = node.as_ref().unwrap().child.id();
        let entries = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
        format!("{} threads, {} open files, {memory}", entries("task"), entries("fd"))
    }
}

/// Two of three connections are cut somewhere: as often in a handshake as in what follows it.
fn bad_network(mut random: Random) -> impl FnMut() -> Plan + Send {
    move || {
        let way = random.pick(&[Way::ToNode, Way::ToDialler]);
        let how = random.pick(&[How::Cut, How::Cut, How::Stall, How::Hang, How::Late]);
        let at = 1 + log_uniform(&mut random, 4 << 20) as u64;
        let cut = (random.below(3) > 0).then_some((way, at, how));
        Plan { cut, segment: random.pick(&[0, 0, 100, 1400]), seed: random.next() }
    }
}

/// Below the limit, and as often below its square root as above.
pub fn log_uniform(random: &mut Random, limit: usize) -> usize {
    let exponent = random.below(1 << 16) as f64 / f64::from(1 << 16);
    (limit as f64).powf(exponent) as usize
}

fn log_uniform_time(random: &mut Random, milliseconds: usize) -> Duration {
    Duration::from_millis(log_uniform(random, milliseconds) as u64)
}

/// Lets some time pass, up to so many milliseconds; whether there is time left.
pub fn pause(random: &mut Random, milliseconds: usize, end: Instant) -> bool {
    let time = Duration::from_millis(random.below(milliseconds) as u64);
    thread::sleep(time.min(end.saturating_duration_since(Instant::now())));
    Instant::now() < end
}
