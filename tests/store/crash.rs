//! Power cuts, at every instant of random histories of an outbox and a history.
//!
//! A child process works on the two logs with the code that egoat runs, under strace(1), and notes in a file what it
//! was about to do and what it was told is done. The trace is played back on a model of a disk: synced bytes and synced
//! names stay, all else may be there, be torn, or not be there. Each of the states that this gives is written to a
//! directory and opened with the same code. What was acknowledged must be there, in order and once; nothing else but
//! what was under way; and the logs must take more. Some children are killed on the way and followed by another one.
//!
//! `EGOAT_TORTURE=200` runs that many histories with more states of each, `EGOAT_SEED=7` starts with that one. A seed
//! always gives the same history and the same states, but for the nonces of the records and the numbers from the clock.
//! Left out: disks that lose what they said is synced, names that reach the disk in another order than they were given,
//! and file systems that sync a file and not the new name that it got before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{env, thread};

use crate::common::logs::{self, tell, told};
use egoat::crypto::keys::{PublicKey, Seed};
use egoat::error::Error;
use egoat::store::history::{self, Dropped, Event, History, KeySearch, ReceivedMessage};
use egoat::store::log::{Kind, LogId, Reader};
use egoat::store::outbox::{Draft, Outbox, QueuedMessage};
use egoat::time::now_micros;
use tempfile::TempDir;

const OUTBOX: &str = "outbox/a.log";
const HISTORY: &str = "history/a.log";
const MARKS: &str = "marks";
/// Bytes of a log before its first record, and of a record beside its body.
const HEADER: usize = 16;
const OVERHEAD: usize = 68;
const PAGE: usize = 4096;
/// A write of more bytes than this is played back in fewer states.
const LONG: usize = 512 << 10;

fn id(path: &Path, kind: Kind) -> LogId {
    static PEER: LazyLock<PublicKey> = LazyLock::new(|| Seed::from_bytes([2; 32]).static_keys().public());
    LogId::new(path.to_owned(), kind, &PEER, &Seed::from_bytes([1; 32]))
}

fn outbox_id(dir: &Path) -> LogId {
    id(&dir.join(OUTBOX), Kind::Outbox)
}

fn history_id(dir: &Path) -> LogId {
    id(&dir.join(HISTORY), Kind::History)
}

fn directory() -> TempDir {
    let dir = logs::directory();
    for name in [OUTBOX, HISTORY] {
        fs::create_dir(dir.path().join(name).parent().unwrap()).unwrap();
    }
    dir
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count.div_ceil(8)).flat_map(|_| self.next().to_ne_bytes()).take(count).collect()
    }
}

/// Messages are known by ids that rise in the order they are made in. An id says all about its message: the lowest two
/// bits its size, the third whether it has a key.
#[derive(Clone, Copy)]
enum Size {
    Small,
    Page,
    Long,
    Huge,
}

const KEYED: u64 = 4;

fn draft(id: u64) -> Draft {
    let some = Random(id).below(1000);
    let length = match id % 4 {
        0 => some / 8,
        1 => 3000 + 4 * some,
        2 => 60_000 + 20 * some,
        _ => (1 << 20) - 8,
    };
    let mut text = vec![id as u8; 8 + length];
    text[..8].copy_from_slice(&id.to_be_bytes());
    let key = if id & KEYED == 0 { String::new() } else { format!("k{id}") };
    Draft { text, key, expires: 0 }
}

/// The id of a message that must be as it was made.
fn id_of(text: &[u8], key: &str) -> u64 {
    let id = u64::from_be_bytes(*text.first_chunk().expect("a text has an id"));
    let made = draft(id);
    assert!(made.text == text, "message {id} has another text");
    assert_eq!(made.key, key, "the key of message {id}");
    id
}

/// What a child does with the logs, in the order of these steps; as a line of its notes.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Queue(Vec<u64>),
    QueueOnce(u64),
    Receive(Vec<u64>),
    StoreSent(Vec<u64>),
    /// Up to this message.
    Settle(u64),
    /// If no message up to this one waits.
    SettleDropped(u64),
    Drop(Vec<u64>),
    StoreDropped(Vec<u64>),
    /// Above this number.
    Reissue(u64),
    /// From the history: all of it, or a part.
    Delete {
        all: bool,
    },
}

impl Step {
    fn words(&self) -> String {
        let list = |ids: &[u64]| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        match self {
            Step::Queue(ids) => format!("queue {}", list(ids)),
            Step::QueueOnce(id) => format!("queue-once {id}"),
            Step::Receive(ids) => format!("receive {}", list(ids)),
            Step::StoreSent(ids) => format!("store-sent {}", list(ids)),
            Step::Settle(id) => format!("settle {id}"),
            Step::SettleDropped(id) => format!("settle-dropped {id}"),
            Step::Drop(ids) => format!("drop {}", list(ids)),
            Step::StoreDropped(ids) => format!("store-dropped {}", list(ids)),
            Step::Reissue(number) => format!("reissue {number}"),
            Step::Delete { all } => format!("delete {}", u64::from(*all)),
        }
    }

    fn parse(words: &str) -> Step {
        let mut words = words.split_whitespace();
        let name = words.next().unwrap();
        let ids: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
        match name {
            "queue" => Step::Queue(ids),
            "queue-once" => Step::QueueOnce(ids[0]),
            "receive" => Step::Receive(ids),
            "store-sent" => Step::StoreSent(ids),
            "settle" => Step::Settle(ids[0]),
            "settle-dropped" => Step::SettleDropped(ids[0]),
            "drop" => Step::Drop(ids),
            "store-dropped" => Step::StoreDropped(ids),
            "reissue" => Step::Reissue(ids[0]),
            "delete" => Step::Delete { all: ids[0] == 1 },
            other => panic!("{other}"),
        }
    }
}

fn mark(marks: &mut File, line: &str) {
    marks.write_all(line.as_bytes()).unwrap();
}

fn received(id: u64) -> ReceivedMessage {
    ReceivedMessage { number: id, said: id, text: draft(id).text }
}

/// The child's side: one process at work.
struct Worker {
    dir: PathBuf,
    marks: File,
    random: Random,
    next_id: u64,
    outbox: Outbox,
    history: History,
    /// When the last steps began.
    moments: Vec<u64>,
}

impl Worker {
    fn fresh(&mut self, size: Size) -> u64 {
        self.next_id += 8;
        self.next_id + size as u64
    }

    /// As messages come: mostly few, at times enough for several writes of a batch.
    fn batch(&mut self) -> Vec<u64> {
        let (count, size) = match self.random.below(12) {
            0..=6 => (1 + self.random.below(4), Size::Small),
            7..=8 => (40 + self.random.below(80), Size::Small),
            9 => (1 + self.random.below(8), Size::Page),
            10 => (40 + self.random.below(20), Size::Page),
            _ => (1 + self.random.below(4), Size::Long),
        };
        (0..count).map(|_| self.fresh(size)).collect()
    }

    fn mark(&mut self, line: &str) {
        mark(&mut self.marks, line);
    }

    /// Notes a step, does it, and notes what came out of it: a number that was given out, if any.
    fn step(&mut self, step: Step) {
        self.mark(&format!("+{}\n", step.words()));
        let number = match &step {
            Step::Queue(ids) => {
                let drafts: Vec<Draft> = ids.iter().map(|id| draft(*id)).collect();
                self.outbox.queue(&drafts).unwrap()
            }
            Step::QueueOnce(id) => {
                let draft = draft(*id);
                let history = History::reader(history_id(&self.dir), Arc::new(tell));
                let mut delivered = KeySearch::new(history, &draft.key);
                self.outbox.queue_once(&draft, || delivered.find()).unwrap().0
            }
            Step::Receive(ids) => {
                let messages: Vec<_> = ids.iter().map(|id| received(*id)).collect();
                self.history.store_received(&messages).unwrap();
                0
            }
            _ => unreachable!("the others know numbers"),
        };
        self.mark(&format!("-{} {number}\n", step.words()));
    }

    fn note(&mut self, step: Step, work: impl FnOnce(&mut Worker)) {
        self.mark(&format!("+{}\n", step.words()));
        work(self);
        self.mark(&format!("-{} 0\n", step.words()));
    }

    fn pending(&self) -> Vec<QueuedMessage> {
        let mut pending = self.outbox.pending();
        std::iter::from_fn(|| pending.read().unwrap()).collect()
    }

    /// The peer acknowledges the first of what waits.
    fn deliver(&mut self, most: usize) {
        let mut waiting = self.pending();
        waiting.truncate(most);
        let ids: Vec<u64> =
            waiting.iter().map(|waiting| id_of(&waiting.draft.text, &waiting.draft.key)).collect();
        let Some(last) = waiting.last().map(|last| last.number) else { return };
        let settled = Step::Settle(ids[ids.len() - 1]);
        self.note(Step::StoreSent(ids), |worker| worker.history.store_sent(waiting.iter()).unwrap());
        self.note(settled, |worker| worker.outbox.settle(last).unwrap());
    }

    fn drop_some(&mut self) {
        let mut waiting = self.pending();
        // What a killed process has noted as sent, and not settled, is sent.
        let sent = self.history.sent();
        waiting.retain(|one| one.number > sent);
        let all = self.random.below(3) == 0;
        waiting.retain(|_| all || self.random.below(4) == 0);
        let ids: Vec<u64> =
            waiting.iter().map(|waiting| id_of(&waiting.draft.text, &waiting.draft.key)).collect();
        if ids.is_empty() {
            return;
        }
        self.note(Step::Drop(ids.clone()), |worker| {
            let Worker { outbox, history, marks, .. } = worker;
            let store = |messages| {
                mark(marks, &format!("+{}\n", Step::StoreDropped(ids.clone()).words()));
                let noted = history.store_dropped(messages, Dropped::Cancelled);
                mark(marks, &format!("-{} 0\n", Step::StoreDropped(ids).words()));
                noted
            };
            assert_eq!(outbox.drop_messages(|one| waiting.contains(one), store).unwrap(), waiting);
        });
    }

    /// What came in last comes again then: the acknowledgement was lost.
    fn delete(&mut self, last: Vec<u64>) {
        let all = self.random.below(2) == 0;
        let until = if all { now_micros() + 1 } else { self.moments[self.random.below(self.moments.len())] };
        self.note(Step::Delete { all }, |worker| _ = worker.history.delete_before(until).unwrap());
        self.step(Step::Receive(last));
    }

    fn reopen(&mut self) {
        self.outbox = Outbox::open(outbox_id(&self.dir), Arc::new(tell)).unwrap();
        self.history = History::open(history_id(&self.dir), Arc::new(tell)).unwrap();
    }

    fn work(&mut self) {
        self.moments.push(now_micros());
        match self.random.below(44) {
            0..=9 => {
                let ids = self.batch();
                self.step(Step::Queue(ids));
            }
            10..=19 => {
                let ids = self.batch();
                self.step(Step::Receive(ids.clone()));
                if self.random.below(5) == 0 {
                    // The acknowledgement was lost.
                    self.step(Step::Receive(ids));
                }
            }
            20..=27 => {
                for _ in 0..1 + self.random.below(3) {
                    let most = 1 + self.random.below(8);
                    self.deliver(most);
                }
            }
            28 => self.deliver(usize::MAX),
            29..=31 => self.drop_some(),
            32..=33 => {
                let last = self.next_id | 7;
                self.note(Step::SettleDropped(last), |worker| worker.outbox.settle_dropped().unwrap());
            }
            34 => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
                let held = now + self.random.next() % 10_000_000_000;
                let step = Step::Reissue(held).words();
                self.mark(&format!("+{step}\n"));
                // More than two are too many at once.
                if self.outbox.reissue_above(held).is_ok() {
                    self.mark(&format!("-{step} 0\n"));
                }
            }
            35 => {
                let id = self.fresh(Size::Huge);
                self.step(Step::Queue(vec![id]));
                self.deliver(usize::MAX);
            }
            36..=37 => {
                let id = self.fresh(Size::Small) | KEYED;
                self.step(Step::QueueOnce(id));
            }
            38..=41 => {
                let ids = self.batch();
                self.step(Step::Receive(ids.clone()));
                self.delete(ids);
            }
            _ => self.reopen(),
        }
    }
}

/// Not a test: the work of a child, see `run_child`.
#[test]
#[ignore = "started by the test beside it"]
fn child() {
    let Some(dir) = env::var_os("EGOAT_CRASH_DIR").map(PathBuf::from) else { return };
    let variable = |name| env::var(name).unwrap();
    let seed: u64 = variable("EGOAT_CRASH_SEED").parse().unwrap();
    let round: u64 = variable("EGOAT_CRASH_ROUND").parse().unwrap();
    let marks = fs::OpenOptions::new().append(true).open(dir.join(MARKS)).unwrap();
    let mut worker = Worker {
        marks,
        random: Random(seed ^ (round << 48)),
        next_id: (round + 1) << 20,
        outbox: Outbox::open(outbox_id(&dir), Arc::new(tell)).unwrap(),
        history: History::open(history_id(&dir), Arc::new(tell)).unwrap(),
        moments: Vec::new(),
        dir,
    };
    // What the one before was killed at is tried again, as people and peers do.
    let again = env::var("EGOAT_CRASH_AGAIN").ok().map(|words| Step::parse(&words));
    if let Some(step @ (Step::QueueOnce(_) | Step::Receive(_))) = again {
        worker.step(step);
    }
    for _ in 0..14 {
        worker.work();
    }
}

/// Runs a child under strace; it may be killed at the entry of a system call. Returns the trace.
fn run_child(dir: &Path, seed: u64, round: u64, kill: Option<String>) -> String {
    let trace = dir.join("trace");
    let marks = fs::read_to_string(dir.join(MARKS)).unwrap();
    let again = marks.lines().last().and_then(|line| line.strip_prefix('+')).unwrap_or("none");
    let calls = "openat,write,pwrite64,fsync,fdatasync,?rename,?renameat,?renameat2,ftruncate,?link,linkat,\
                 ?unlink,unlinkat,close";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-xx", "-s", "4194304", "-e", "signal=none", "-e"]);
    strace.arg(format!("trace={calls}")).arg("-o").arg(&trace);
    if let Some(kill) = kill {
        strace.arg("-e").arg(format!("inject={kill}"));
    }
    strace.arg(env::current_exe().unwrap());
    strace.args(["--exact", "crash::child", "--ignored", "--test-threads=1"]);
    strace.env("EGOAT_CRASH_DIR", dir).env("EGOAT_CRASH_SEED", seed.to_string());
    strace.env("EGOAT_CRASH_ROUND", round.to_string()).env_remove("EGOAT_CRASH_AGAIN");
    if again != "none" {
        strace.env("EGOAT_CRASH_AGAIN", again);
    }
    let output = strace.stdin(Stdio::null()).output().unwrap();
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
    assert!(
        output.status.success() || killed,
        "seed {seed} round {round}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    fs::read_to_string(trace).unwrap()
}

/// What the trace says happened to the disk, and the notes between.
#[derive(Debug)]
enum Action {
    Write { inode: usize, at: usize, bytes: Vec<u8> },
    Truncate { inode: usize, length: usize },
    SyncFile(usize),
    SyncDir(String),
    Name(NameChange),
    Mark(String),
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(String, usize),
    Rename(String, String),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Put(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            NameChange::Rename(from, to) => {
                let inode = names.remove(from).expect("a file that is renamed has a name");
                names.insert(to.clone(), inode);
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
        }
    }

    fn dir(&self) -> &str {
        let (NameChange::Put(name, _) | NameChange::Rename(_, name) | NameChange::Remove(name)) = self;
        name.split('/').next().unwrap()
    }
}

enum Open {
    File { inode: usize, cursor: usize },
    Dir(String),
    Marks,
}

/// Reads the traces of the children of one history, one after the other.
#[derive(Default)]
struct Tracer {
    names: BTreeMap<String, usize>,
    inodes: usize,
    actions: Vec<Action>,
}

impl Tracer {
    fn read(&mut self, trace: &str, dir: &Path) {
        let prefix = format!("{}/", dir.to_str().unwrap());
        let mut open: HashMap<&str, Open> = HashMap::new();
        for line in trace.lines() {
            let call = line.trim_start_matches(|digit: char| digit.is_ascii_digit()).trim_start();
            if call.starts_with("+++") {
                continue;
            }
            let (name, rest) = call.split_once('(').unwrap_or_else(|| panic!("{line}"));
            let (arguments, result) = rest.rsplit_once(" = ").unwrap_or_else(|| panic!("{line}"));
            let result = result.split(' ').next().unwrap();
            // The call failed, or the child was killed before it.
            if result.starts_with('-') || result == "?" {
                continue;
            }
            let arguments: Vec<&str> = arguments.trim_end().trim_end_matches(')').split(", ").collect();
            let paths: Vec<String> = arguments
                .iter()
                .filter(|_| name != "write" && name != "pwrite64")
                .filter_map(|argument| argument.strip_prefix('"')?.strip_suffix('"'))
                .map(|hex| String::from_utf8(unhex(hex)).unwrap())
                .collect();
            let paths: Option<Vec<&str>> = paths.iter().map(|path| path.strip_prefix(&prefix)).collect();
            // Files elsewhere are of no interest.
            let Some(paths) = paths else { continue };
            match name {
                "openat" => {
                    let opened = self.open(paths[0], arguments[2]);
                    open.insert(result, opened);
                }
                "rename" | "renameat" | "renameat2" => {
                    self.name(NameChange::Rename(paths[0].to_owned(), paths[1].to_owned()));
                }
                "link" | "linkat" => {
                    let inode = self.names[paths[0]];
                    self.name(NameChange::Put(paths[1].to_owned(), inode));
                }
                "unlink" | "unlinkat" => self.name(NameChange::Remove(paths[0].to_owned())),
                "close" => {
                    open.remove(arguments[0]);
                }
                _ => {
                    if let Some(open) = open.get_mut(arguments[0]) {
                        self.file_call(name, &arguments, result, open);
                    }
                }
            }
        }
    }

    fn open(&mut self, path: &str, flags: &str) -> Open {
        if path == MARKS {
            return Open::Marks;
        }
        if !path.contains('/') {
            return Open::Dir(path.to_owned());
        }
        if let Some(inode) = self.names.get(path).copied() {
            if flags.contains("O_TRUNC") {
                self.actions.push(Action::Truncate { inode, length: 0 });
            }
            return Open::File { inode, cursor: 0 };
        }
        assert!(flags.contains("O_CREAT"), "{path} is opened and was never made");
        let inode = self.inodes;
        self.inodes += 1;
        self.name(NameChange::Put(path.to_owned(), inode));
        Open::File { inode, cursor: 0 }
    }

    fn name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.actions.push(Action::Name(change));
    }

    fn file_call(&mut self, name: &str, arguments: &[&str], result: &str, open: &mut Open) {
        let bytes = |argument: &str| {
            let mut bytes = unhex(argument.trim_matches('"'));
            bytes.truncate(result.parse().unwrap());
            bytes
        };
        self.actions.push(match (name, open) {
            ("write", Open::Marks) => Action::Mark(String::from_utf8(bytes(arguments[1])).unwrap()),
            ("write", Open::File { inode, cursor }) => {
                let (at, bytes) = (*cursor, bytes(arguments[1]));
                *cursor += bytes.len();
                Action::Write { inode: *inode, at, bytes }
            }
            ("pwrite64", Open::File { inode, .. }) => {
                Action::Write { inode: *inode, at: arguments[3].parse().unwrap(), bytes: bytes(arguments[1]) }
            }
            ("ftruncate", Open::File { inode, .. }) => {
                Action::Truncate { inode: *inode, length: arguments[1].parse().unwrap() }
            }
            ("fsync" | "fdatasync", Open::File { inode, .. }) => Action::SyncFile(*inode),
            ("fsync" | "fdatasync", Open::Dir(path)) => Action::SyncDir(path.clone()),
            (name, _) => panic!("{name} is not known of this kind of file"),
        });
    }
}

/// As `\x41\x42`.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks_exact(4).map(|four| digit(four[2]) << 4 | digit(four[3])).collect()
}

/// What a power cut does to a write that is not synced. The numbers are bytes of the write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Absent,
    Whole,
    /// The first bytes, and the file is no longer than them.
    Cut(usize),
    /// The first bytes; the file is as long as it would be.
    Zeros(usize),
    Garbage(usize),
    /// All but those from the first to the second.
    Hole(usize, usize),
}

impl Fate {
    /// All that are tried for a write of `length` bytes to `at`.
    fn all(at: usize, length: usize, random: &mut Random) -> Vec<Fate> {
        let cuts = [0, 1, 511, 512, length - 1].into_iter().filter(|cut| *cut < length);
        let mut fates: Vec<Fate> =
            cuts.flat_map(|cut| [Fate::Cut(cut), Fate::Zeros(cut), Fate::Garbage(cut)]).collect();
        // Garbage in place of its header makes a file that is none of ours: it is left alone, and that is right.
        fates.retain(|fate| at >= HEADER || !matches!(fate, Fate::Garbage(_)));
        // What is missing are blocks of the file.
        let ends: Vec<usize> = (1..=length / PAGE + 1)
            .map(|page| page * PAGE - at % PAGE)
            .take_while(|end| *end < length)
            .collect();
        if let [first, .., last] = ends[..] {
            fates.push(Fate::Hole(first, last));
        }
        if !ends.is_empty() {
            fates.push(Fate::Hole(0, ends[0]));
            let mut pick = || ends[random.below(ends.len())];
            let (one, other) = (pick(), pick());
            fates.push(Fate::Hole(one.min(other), (one.max(other) + PAGE).min(length)));
        }
        fates
    }

    fn random(at: usize, length: usize, random: &mut Random) -> Fate {
        match random.below(8) {
            0..=2 => Fate::Whole,
            3..=4 => Fate::Absent,
            _ => {
                let all = Fate::all(at, length, random);
                all[random.below(all.len())]
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>, fate: Fate) {
        let (at, bytes) = match self {
            Change::Truncate(length) => {
                if fate != Fate::Absent {
                    content.truncate(*length);
                    grow(content, *length);
                }
                return;
            }
            Change::Write { at, bytes } => (*at, bytes),
        };
        let mut put = |from: usize, to: usize| {
            grow(content, at + to);
            content[at + from..at + to].copy_from_slice(&bytes[from..to]);
        };
        match fate {
            Fate::Absent => {}
            Fate::Whole => put(0, bytes.len()),
            Fate::Cut(end) => put(0, end),
            Fate::Zeros(end) | Fate::Garbage(end) => {
                put(0, end);
                let old = content.len();
                let new = old.max(at + bytes.len());
                grow(content, new);
                if let Fate::Garbage(_) = fate {
                    let garbage = Random(new as u64).bytes(PAGE);
                    content[old..]
                        .chunks_mut(PAGE)
                        .for_each(|part| part.copy_from_slice(&garbage[..part.len()]));
                }
            }
            Fate::Hole(from, to) => {
                put(0, from);
                put(to, bytes.len());
            }
        }
    }
}

/// Makes `content` at least so long. `resize` goes byte by byte in a build for debugging.
fn grow(content: &mut Vec<u8>, length: usize) {
    let more = length.saturating_sub(content.len());
    content.extend_from_slice(&vec![0; more]);
}

#[derive(Clone, Debug, Default)]
struct Inode {
    synced: Vec<u8>,
    changes: Vec<Change>,
}

impl Inode {
    fn with(&self, fates: &[Fate]) -> Vec<u8> {
        let mut content = self.synced.clone();
        self.changes.iter().zip(fates).for_each(|(change, fate)| change.apply(&mut content, *fate));
        content
    }

    fn whole(&self) -> Vec<u8> {
        self.with(&vec![Fate::Whole; self.changes.len()])
    }
}

/// The disk at one instant: what is safe, and what is not yet.
#[derive(Clone, Default)]
struct Disk {
    inodes: Vec<Inode>,
    synced_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
}

/// What is left of a disk: how many of the changes to names, and of the changes to each file.
#[derive(Clone, Debug)]
struct Cut {
    names: usize,
    fates: BTreeMap<usize, Vec<Fate>>,
}

impl Disk {
    fn apply(&mut self, action: &Action) {
        match action {
            Action::Write { inode, at, bytes } => {
                self.inode(*inode).changes.push(Change::Write { at: *at, bytes: bytes.clone() })
            }
            Action::Truncate { inode, length } => self.inode(*inode).changes.push(Change::Truncate(*length)),
            Action::SyncFile(inode) => {
                self.sync_new_name(*inode);
                let inode = self.inode(*inode);
                inode.synced = inode.whole();
                inode.changes.clear();
            }
            Action::SyncDir(path) => {
                let names = &mut self.synced_names;
                self.name_changes.retain(|change| {
                    let here = change.dir() == path;
                    if here {
                        change.apply(names);
                    }
                    !here
                });
            }
            Action::Name(change) => self.name_changes.push(change.clone()),
            Action::Mark(_) => {}
        }
    }

    /// A journal has the change of a file's name before what was written to the file after it. Without that, who appends
    /// to a log whose starter was killed between the rename and the sync of the directory would lose it all.
    fn sync_new_name(&mut self, inode: usize) {
        let mut names = self.synced_names.clone();
        let mut renamed = 0;
        for (at, change) in self.name_changes.iter().enumerate() {
            change.apply(&mut names);
            if matches!(change, NameChange::Rename(_, to) if names[to] == inode) {
                renamed = at + 1;
            }
        }
        self.name_changes.drain(..renamed).for_each(|change| change.apply(&mut self.synced_names));
    }

    fn inode(&mut self, number: usize) -> &mut Inode {
        if self.inodes.len() <= number {
            self.inodes.resize(number + 1, Inode::default());
        }
        &mut self.inodes[number]
    }

    /// The same fate for all that is not synced.
    fn cut(&self, names: usize, fate: Fate) -> Cut {
        let changed = self.inodes.iter().enumerate().filter(|(_, inode)| !inode.changes.is_empty());
        Cut { names, fates: changed.map(|(at, inode)| (at, vec![fate; inode.changes.len()])).collect() }
    }

    fn names(&self, cut: &Cut) -> BTreeMap<String, usize> {
        let mut names = self.synced_names.clone();
        self.name_changes[..cut.names].iter().for_each(|change| change.apply(&mut names));
        names
    }

    fn content(&self, inode: usize, cut: &Cut) -> Vec<u8> {
        let Some(file) = self.inodes.get(inode) else { return Vec::new() };
        cut.fates.get(&inode).map_or_else(|| file.synced.clone(), |fates| file.with(fates))
    }

    /// What can be left after `last`.
    fn cuts(&self, last: &Action, random: &mut Random, torture: bool) -> Vec<Cut> {
        let all = self.name_changes.len();
        let mut cuts = vec![self.cut(all, Fate::Whole), self.cut(0, Fate::Absent)];
        let is_long = |inode: &Inode| inode.synced.len() > LONG || inode.whole().len() > LONG;
        if !torture && self.inodes.iter().any(is_long) && !matches!(last, Action::Name(_)) {
            return cuts;
        }
        if all > 0 {
            cuts.extend([self.cut(0, Fate::Whole), self.cut(all, Fate::Absent)]);
            cuts.push(self.cut(random.below(all), Fate::Whole));
        }
        if let Action::Write { inode, at, bytes } = last
            && !bytes.is_empty()
        {
            let mut fates = Fate::all(*at, bytes.len(), random);
            // A search through megabytes takes long.
            let most = if bytes.len() > LONG { 1 } else { 5 };
            while !torture && fates.len() > most {
                fates.swap_remove(random.below(fates.len()));
            }
            for fate in fates {
                let mut cut = self.cut(all, Fate::Whole);
                *cut.fates.get_mut(inode).unwrap().last_mut().unwrap() = fate;
                cuts.push(cut);
            }
        }
        let changes: Vec<&Change> = self.inodes.iter().flat_map(|inode| &inode.changes).collect();
        let long =
            changes.iter().any(|change| matches!(change, Change::Write { bytes, .. } if bytes.len() > LONG));
        let mixed = match (changes.len(), torture) {
            (0, _) => 0,
            (_, false) if long => 0,
            (1, _) => 1,
            (_, false) => 3,
            (_, true) => 20,
        };
        for _ in 0..mixed {
            let mut cut = self.cut(random.below(all + 1), Fate::Whole);
            for (inode, fates) in &mut cut.fates {
                for (fate, change) in fates.iter_mut().zip(&self.inodes[*inode].changes) {
                    *fate = match change {
                        Change::Write { at, bytes } if !bytes.is_empty() => {
                            Fate::random(*at, bytes.len(), random)
                        }
                        _ => [Fate::Whole, Fate::Absent][random.below(2)],
                    };
                }
            }
            cuts.push(cut);
        }
        cuts
    }

    /// Whether a file has a whole record behind bytes that were never synced and did not reach the disk. That cannot be
    /// told from damage, and appends are refused. So are they to a file of which nothing was ever synced, not even its
    /// header, if it came to more than that: its maker was killed, and the next one had the power cut.
    fn has_hole(&self, inode: usize, content: &[u8]) -> bool {
        let Some(inode) = self.inodes.get(inode) else { return false };
        let whole = inode.whole();
        let parts = content.chunks(PAGE).zip(whole.chunks(PAGE));
        let same = PAGE * parts.take_while(|(left, written)| left == written).count();
        let rest = content.iter().zip(&whole).skip(same.min(content.len()));
        let Some(lost) = rest.take(PAGE).position(|(left, written)| left != written).map(|at| same + at)
        else {
            return false;
        };
        if inode.synced.len() < HEADER {
            return content.len() > HEADER;
        }
        let mut start = HEADER;
        while let Some(length) = whole.get(start..).and_then(|rest| rest.first_chunk()) {
            let end = start + OVERHEAD + u32::from_be_bytes(*length) as usize;
            if start > lost && content.get(start..end).is_some_and(|left| left == &whole[start..end]) {
                return lost >= inode.synced.len();
            }
            start = end;
        }
        false
    }
}

/// What the notes say: for each message that a step was begun with, whether the step was over.
#[derive(Default)]
struct Model {
    queued: BTreeMap<u64, bool>,
    received: BTreeMap<u64, bool>,
    sent: BTreeMap<u64, bool>,
    dropped: BTreeMap<u64, bool>,
    dropped_stored: BTreeMap<u64, bool>,
    /// What may have been deleted from the history, and what is deleted for good.
    may_be_deleted: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
    /// What went in together.
    batches: Vec<Vec<u64>>,
    /// Up to which message: begun, done, and on disk by a later sync.
    settled: [u64; 3],
    /// The highest number that someone was told.
    number: u64,
}

impl Model {
    fn mark(&mut self, mark: &str) {
        let (sign, words) = mark.trim_end().split_at(1);
        let done = sign == "-";
        let (words, number) = match done {
            true => words.rsplit_once(' ').map(|(words, number)| (words, number.parse().unwrap())).unwrap(),
            false => (words, 0),
        };
        let step = Step::parse(words);
        self.number = self.number.max(number);
        let syncs_outbox =
            matches!(step, Step::Queue(_) | Step::QueueOnce(_) | Step::Drop(_) | Step::Reissue(_));
        if done && syncs_outbox {
            self.settled[2] = self.settled[1];
        }
        let (map, ids) = match step {
            Step::Queue(ids) => (&mut self.queued, ids),
            Step::QueueOnce(id) => (&mut self.queued, vec![id]),
            Step::Receive(ids) => (&mut self.received, ids),
            Step::StoreSent(ids) => (&mut self.sent, ids),
            Step::Drop(ids) => (&mut self.dropped, ids),
            Step::StoreDropped(ids) => (&mut self.dropped_stored, ids),
            Step::Settle(id) => {
                let settled = &mut self.settled[usize::from(done)];
                *settled = id.max(*settled);
                return;
            }
            // What it settles is dropped or settled already.
            Step::SettleDropped(_) => return,
            Step::Reissue(held) => {
                self.number = self.number.max(if done { held } else { 0 });
                return;
            }
            Step::Delete { all } => {
                let is_sure = all && done;
                let noted = [&self.received, &self.sent, &self.dropped_stored].into_iter().flatten();
                // What was not noted for sure may be so later.
                let ids = noted.filter(|(_, noted)| **noted || !is_sure).map(|(id, _)| *id);
                if is_sure {
                    self.deleted.extend(ids)
                } else {
                    self.may_be_deleted.extend(ids)
                }
                return;
            }
        };
        for id in &ids {
            *map.entry(*id).or_default() |= done;
        }
        if !done {
            self.batches.push(ids);
        }
    }

    /// Holds what two logs say against what was said to whoever used them.
    fn check(&self, pending: &[u64], events: &Events) {
        let Events { received, sent, dropped } = events;
        let rises = |what: &str, ids: &[u64]| {
            assert!(ids.is_sorted_by(|a, b| a < b), "{what}: not in order, or twice: {ids:?}")
        };
        let known = |what: &str, ids: &[u64], known: &BTreeMap<u64, bool>| {
            let made_up = ids.iter().find(|id| !known.contains_key(id));
            assert_eq!(made_up, None, "{what}: was never there");
        };
        let held = |what: &str, ids: &[u64], known: &BTreeMap<u64, bool>| {
            let lost = known.iter().filter(|(id, done)| **done && !ids.contains(id));
            let lost: Vec<_> = lost.filter(|(id, _)| !self.may_be_deleted.contains(id)).collect();
            assert!(lost.is_empty(), "{what}: acknowledged and lost: {lost:?}");
            let back: Vec<_> = ids.iter().filter(|id| self.deleted.contains(id)).collect();
            assert!(back.is_empty(), "{what}: deleted and there again: {back:?}");
        };
        rises("received", received);
        rises("sent", sent);
        rises("waiting", pending);
        known("received", received, &self.received);
        held("received", received, &self.received);
        known("sent", sent, &self.sent);
        held("sent", sent, &self.sent);
        known("dropped", dropped, &self.dropped_stored);
        held("dropped", dropped, &self.dropped_stored);
        assert_eq!(
            dropped.iter().collect::<BTreeSet<_>>().len(),
            dropped.len(),
            "dropped twice: {dropped:?}"
        );
        known("waiting", pending, &self.queued);

        for id in pending {
            assert!(*id > self.settled[2], "message {id} was settled, and that was synced");
            assert_ne!(self.dropped.get(id), Some(&true), "message {id} was dropped");
        }
        let here: BTreeSet<u64> = pending.iter().chain(sent).chain(received).copied().collect();
        for (id, done) in &self.queued {
            let settled = *id <= self.settled[0] && sent.contains(id);
            // What is dropped is in the history before it is out of the outbox.
            let deleted = self.may_be_deleted.contains(id);
            let fine = !done || pending.contains(id) || dropped.contains(id) || settled || deleted;
            assert!(fine, "message {id} was queued and is lost");
        }
        // What a killed process has queued, and not synced, may be dropped by the next one, one message without the other.
        let gone = |id: &u64| {
            !(here.contains(id) || self.dropped.contains_key(id) || self.may_be_deleted.contains(id))
        };
        for batch in &self.batches {
            let missing = batch.iter().position(gone).unwrap_or(batch.len());
            let behind = batch[missing..].iter().find(|id| here.contains(id));
            assert_eq!(
                behind,
                None,
                "it is there, and {} before it is not",
                batch[missing.min(batch.len() - 1)]
            );
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Events {
    received: Vec<u64>,
    sent: Vec<u64>,
    dropped: Vec<u64>,
}

fn events(dir: &Path) -> Events {
    let mut events = Events::default();
    let mut reader = History::reader(history_id(dir), Arc::new(tell));
    while let Some(record) = reader.read().unwrap() {
        // What stands for deleted records is none of these.
        let Ok(event) = history::decode(record.body) else {
            assert_eq!(record.body[0], 8);
            continue;
        };
        match event {
            Event::Received { number, text } => {
                assert_eq!(number, id_of(text, ""));
                events.received.push(number);
            }
            Event::Sent { key, text, .. } => events.sent.push(id_of(text, key)),
            Event::Dropped { text, .. } => {
                let id = u64::from_be_bytes(*text.first_chunk().unwrap());
                events.dropped.push(id_of(text, &draft(id).key));
            }
            other => panic!("{other:?}"),
        }
    }
    events
}

fn waiting(outbox: &Outbox) -> Vec<QueuedMessage> {
    let mut pending = outbox.pending();
    let all: Vec<QueuedMessage> = std::iter::from_fn(|| pending.read().unwrap()).collect();
    assert!(all.is_sorted_by(|a, b| a.number < b.number), "numbers rise");
    all
}

fn ids(waiting: &[QueuedMessage]) -> Vec<u64> {
    waiting.iter().map(|one| id_of(&one.draft.text, &one.draft.key)).collect()
}

/// Opens a log; `None` if it is refused, and that for a hole.
fn open<T>(opened: egoat::error::Result<T>, has_hole: impl FnOnce() -> bool) -> Option<T> {
    match opened {
        Ok(open) => Some(open),
        Err(Error::Corrupt { what, .. }) => {
            assert!(has_hole(), "refused, and there is no hole in it: {what}");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// A refused log must still give all that was synced.
fn check_readable(id: LogId, synced: &[u8], dir: &Path, kind: Kind) {
    let path = dir.join("synced.log");
    fs::write(&path, synced).unwrap();
    let records = |mut reader: Reader| {
        let mut all = Vec::new();
        while let Some(record) = reader.read().unwrap() {
            all.push((record.seq, record.body.to_vec()));
        }
        all
    };
    let expected = records(Reader::new(self::id(&path, kind), Arc::new(tell)));
    let found = records(Reader::new(id, Arc::new(tell)));
    assert!(found.starts_with(&expected), "a refused log can be read as far as it was synced");
}

/// Opens what a power cut left, and goes on with it. Says whether a log was refused.
fn check(disk: &Disk, cut: &Cut, model: &Model, dir: &Path) -> bool {
    const MINE: u64 = 1 << 40;
    for name in ["outbox", "history"] {
        for entry in fs::read_dir(dir.join(name)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    let names = disk.names(cut);
    for (name, inode) in &names {
        fs::write(dir.join(name), disk.content(*inode, cut)).unwrap();
    }
    let has_hole =
        |name: &str| names.get(name).is_some_and(|inode| disk.has_hole(*inode, &disk.content(*inode, cut)));
    told();
    let outbox = open(Outbox::open(outbox_id(dir), Arc::new(tell)), || has_hole(OUTBOX));
    let history = open(History::open(history_id(dir), Arc::new(tell)), || has_hole(HISTORY));
    let (Some(mut outbox), Some(mut history)) = (outbox, history) else {
        for (name, id, kind) in
            [(OUTBOX, outbox_id(dir), Kind::Outbox), (HISTORY, history_id(dir), Kind::History)]
        {
            if let Some(inode) = names.get(name).and_then(|inode| disk.inodes.get(*inode)) {
                check_readable(id, &inode.synced, dir, kind);
            }
        }
        return true;
    };
    told();
    let (pending, before) = (waiting(&outbox), events(dir));
    assert_eq!(told(), [""; 0], "damage that was not noticed when the log was opened");
    model.check(&ids(&pending), &before);
    match (before.received.last(), history.received().unwrap()) {
        (Some(last), received) => assert_eq!(received, *last),
        // What was deleted need not come again.
        (None, received) => {
            let acknowledged = model.received.iter().filter(|(_, done)| **done).map(|(id, _)| *id).max();
            assert!(
                received >= acknowledged.unwrap_or(0)
                    && (received == 0 || model.received.contains_key(&received))
            );
        }
    }

    let number = outbox.queue(&[draft(MINE)]).unwrap();
    assert!(number > model.number, "{number} was given out before");
    history.store_received(&[received(MINE)]).unwrap();
    history.store_sent([QueuedMessage { number: 1 << 55, said: 0, draft: draft(MINE) }].iter()).unwrap();
    drop((outbox, history));
    let outbox = Outbox::open(outbox_id(dir), Arc::new(tell)).unwrap();
    let mut found = waiting(&outbox);
    let last = found.pop().expect("one waits");
    assert!((last.number, last.draft) == (number, draft(MINE)), "the outbox goes on as it was");
    assert!(found == pending, "the outbox goes on as it was");
    let mut expected = before;
    expected.received.push(MINE);
    expected.sent.push(MINE);
    assert_eq!(events(dir), expected, "the history goes on as it was");
    assert_eq!(told(), [""; 0]);
    false
}

/// How many states were checked, and how many of them were refused.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    states: usize,
    refused: usize,
}

fn run(seed: u64, torture: bool) -> Counts {
    let work = directory();
    File::create(work.path().join(MARKS)).unwrap();
    let mut random = Random(!seed);
    let mut tracer = Tracer::default();
    let rounds = if seed.is_multiple_of(2) { 1 } else { 3 };
    for round in 0..rounds {
        let kill = (round + 1 < rounds).then(|| {
            let (call, most) = [("fdatasync", 20), ("fsync", 8), ("pwrite64", 20), ("?rename,?renameat", 2)]
                [random.below(4)];
            format!("{call}:signal=KILL:when={}", 1 + random.below(most))
        });
        let trace = run_child(work.path(), seed, round, kill);
        tracer.read(&trace, work.path());
    }

    let scratch = directory();
    let (mut disk, mut model) = (Disk::default(), Model::default());
    let (mut counts, mut seen) = (Counts::default(), HashSet::new());
    let mut history = String::new();
    for (at, action) in tracer.actions.iter().enumerate() {
        disk.apply(action);
        if let Action::Mark(mark) = action {
            model.mark(mark);
            history.push_str(mark);
        }
        for cut in disk.cuts(action, &mut random, torture) {
            let mut hasher = DefaultHasher::new();
            history.len().hash(&mut hasher);
            for (name, inode) in disk.names(&cut) {
                (name, disk.content(inode, &cut)).hash(&mut hasher);
            }
            if !seen.insert(hasher.finish()) {
                continue;
            }
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                check(&disk, &cut, &model, scratch.path())
            }));
            let Ok(refused) = checked else {
                panic!("{}", describe(seed, &tracer.actions[..=at], &history, &cut));
            };
            counts.states += 1;
            counts.refused += usize::from(refused);
        }
    }
    // The model of the disk has seen all that happened to the real one.
    let end = disk.cut(disk.name_changes.len(), Fate::Whole);
    for (name, inode) in disk.names(&end) {
        assert!(
            fs::read(work.path().join(&name)).unwrap() == disk.content(inode, &end),
            "seed {seed}: {name}"
        );
    }
    counts
}

fn describe(seed: u64, actions: &[Action], history: &str, cut: &Cut) -> String {
    let mut text = format!("seed {seed}: power cut behind action {}\n", actions.len());
    for action in &actions[actions.len().saturating_sub(12)..] {
        match action {
            Action::Write { inode, at, bytes } => {
                writeln!(text, "  write of {} bytes at {at} of file {inode}", bytes.len())
            }
            other => writeln!(text, "  {other:?}"),
        }
        .unwrap();
    }
    let lines: Vec<&str> = history.lines().collect();
    write!(text, "left is {cut:?}\nlast steps:\n  {}", lines[lines.len().saturating_sub(6)..].join("\n  "))
        .unwrap();
    text
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        crate::common::skip("there is no strace");
        return;
    }
    let number = |name| env::var(name).ok().map(|value| value.parse::<usize>().unwrap_or(200));
    let torture = number("EGOAT_TORTURE");
    let (first, count) = (number("EGOAT_SEED").unwrap_or(1), torture.unwrap_or(4));
    let next = AtomicUsize::new(first);
    let started = Instant::now();
    let counts = thread::scope(|scope| {
        let worker = || {
            let mut sum = Counts::default();
            loop {
                let seed = next.fetch_add(1, Ordering::SeqCst);
                if seed >= first + count {
                    return sum;
                }
                let one = run(seed as u64, torture.is_some());
                sum = Counts { states: sum.states + one.states, refused: sum.refused + one.refused };
            }
        };
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join().expect("see above")).collect::<Vec<_>>()
    });
    let sum = |of: fn(&Counts) -> usize| counts.iter().map(of).sum::<usize>();
    let (states, refused) = (sum(|counts| counts.states), sum(|counts| counts.refused));
    eprintln!("{states} states in {:.1?}, {refused} of them refused for a hole", started.elapsed());
    assert!(states > 100 * count, "{states}");
}
