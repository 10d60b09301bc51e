//! Threads that run commands, and note what those said.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Map, Value};

use crate::common::files::sample_of;
use crate::common::{Random, tree};
use crate::ledger::{Content, Direction, Fate, Said, Sent};
use crate::world::{DORA, Ended, NAMES, World, log_uniform, pause};

/// How often a command that did not end with 0 is run again, where that is safe.
const TRIES: usize = 4;

/// A thread that runs one command after the other on a home.
struct Worker<'a> {
    world: &'a World,
    which: usize,
    thread: usize,
    random: &'a mut Random,
    /// Things that it has said or sent: each has a number, which rises.
    made: usize,
}

/// Runs commands on a home until it is time.
pub fn work(world: &World, which: usize, thread: usize, random: &mut Random, end: Instant) {
    let mut worker = Worker { world, which, thread, random, made: 0 };
    while pause(worker.random, 500, end) {
        match worker.random.below(16) {
            0..=3 => worker.say(&[]),
            4 | 5 => worker.say(&["--wait", "5s"]),
            6 => worker.say(&["--expire", "2s"]),
            7 => worker.say_again_and_again(),
            8 | 9 => worker.say_lines(),
            10..=12 => worker.send(),
            13 => worker.queue(),
            14 => worker.send_pipe(),
            _ => worker.look(),
        }
    }
}

/// Says something when all is well.
pub fn say_last(world: &World, from: usize, to: usize) {
    let text = format!("{} 1 the last", usize::MAX);
    let out = world.members[from].home.run(&["--json", "say", NAMES[to], &text]);
    let last = said((from, to), text, &out);
    assert_ne!(last.fate, Fate::Unknown);
    world.ledger.lock().unwrap().said.push(last);
}

/// Reads a log with a cursor again and again. It misses nothing, and sees nothing twice but after a kill.
pub fn read(world: &World, which: usize, random: &mut Random, end: Instant) {
    let member = &world.members[which];
    let cursor = member.home.path("reader.cursor").to_str().unwrap().to_owned();
    let args = ["--json", "log", "--cursor", &cursor];
    let mut seen = BTreeSet::new();
    let mut take = |out: &str, may_repeat: bool| {
        for entry in objects(out).map(|entry| Value::from(entry).to_string()) {
            if !seen.insert(entry.clone()) && !may_repeat {
                world.fault(format!("{}'s cursor repeats without a kill: {entry}", member.name));
            }
        }
    };
    let mut was_killed = false;
    while pause(random, 3000, end) {
        let ended = world.run(which, random, &args, Stdio::null());
        take(&ended.out, was_killed);
        was_killed = ended.code != Some(0);
    }
    take(&member.home.run(&args), was_killed);
    let all = member.home.run(&["--json", "log"]);
    // That has what has arrived meanwhile, too.
    take(&member.home.run(&args), false);
    for entry in objects(&all).map(|entry| Value::from(entry).to_string()) {
        if !seen.contains(&entry) {
            world.fault(format!("{}'s cursor has passed over {entry}", member.name));
        }
    }
}

/// The objects in what a command has printed, whose last line may be cut off.
fn objects(out: &str) -> impl Iterator<Item = Map<String, Value>> {
    out.lines().map_while(|line| serde_json::from_str(line).ok())
}

/// What a `say` of this that has printed `out` is known to have done.
fn said(direction: Direction, text: String, out: &str) -> Said {
    let object = objects(out).find(|object| object["event"] == "said");
    let fate = match &object {
        None => Fate::Unknown,
        Some(object) if object["state"] == "delivered" => Fate::Delivered,
        Some(_) => Fate::Queued,
    };
    let number = object.and_then(|object| object["number"].as_u64());
    Said { direction, text, batch: None, number, fate, may_stay: false }
}

impl Worker<'_> {
    fn anybody(&mut self) -> usize {
        (self.which + 1 + self.random.below(NAMES.len() - 1)) % NAMES.len()
    }

    /// Files need somebody who can be dialled.
    fn anybody_with_address(&mut self) -> usize {
        loop {
            let to = self.anybody();
            if to != DORA {
                return to;
            }
        }
    }

    fn run(&mut self, args: &[&str], input: Stdio) -> Ended {
        self.world.run(self.which, self.random, args, input)
    }

    /// A text that nobody says a second time.
    fn text(&mut self) -> String {
        self.made += 1;
        let most = if self.random.below(8) == 0 { 200_000 } else { 200 };
        let length = log_uniform(self.random, most);
        format!("{} {} {}", self.thread, self.made, "x".repeat(length))
    }

    fn enter(&self, said: Said) {
        self.world.ledger.lock().unwrap().said.push(said);
    }

    /// A file beside the home that is a command's stdin: what it says may be too long for its arguments.
    fn input(&self, content: &[u8]) -> Stdio {
        let path = self.world.members[self.which].home.path(&format!("input-{}", self.thread));
        fs::write(&path, content).unwrap();
        fs::File::open(path).unwrap().into()
    }

    fn say(&mut self, options: &[&str]) {
        let (to, text) = (self.anybody(), self.text());
        let input = self.input(text.as_bytes());
        let ended = self.run(&[&["--json", "say"], options, &[NAMES[to]]].concat(), input);
        let mut said = said((self.which, to), text, &ended.out);
        said.may_stay =
            options.contains(&"--expire") || (said.fate == Fate::Queued && self.cancels(said.number));
        self.enter(said);
    }

    /// Cancels one in three.
    fn cancels(&mut self, number: Option<u64>) -> bool {
        let Some(number) = number.filter(|_| self.random.below(3) == 0) else { return false };
        self.run(&["outbox", "cancel", &number.to_string()], Stdio::null());
        true
    }

    /// The same message until a command has said that it is there.
    fn say_again_and_again(&mut self) {
        let (to, text) = (self.anybody(), self.text());
        let id = format!("{} {}", self.thread, self.made);
        let mut known = said((self.which, to), text.clone(), "");
        for _ in 0..TRIES {
            let input = self.input(text.as_bytes());
            let ended = self.run(&["--json", "say", "--id", &id, "--wait", "1s", NAMES[to]], input);
            let more = said((self.which, to), text.clone(), &ended.out);
            if known.number.zip(more.number).is_some_and(|(one, other)| one != other) {
                self.world.fault(format!("two numbers of one id: {known:?}, {more:?}"));
            }
            if more.fate > known.fate {
                known = more;
            }
            if known.fate == Fate::Delivered {
                break;
            }
        }
        self.enter(known);
    }

    fn say_lines(&mut self) {
        let to = self.anybody();
        let texts: Vec<String> = (0..1 + log_uniform(self.random, 100)).map(|_| self.text()).collect();
        let wait: &[&str] = self.random.pick(&[&[], &["--wait", "5s"]]);
        let input = self.input(texts.join("\n").as_bytes());
        let ended = self.run(&[&["--json", "say", "--lines"], wait, &[NAMES[to]]].concat(), input);
        let (last, batch) = (texts.len() - 1, Some(self.random.next()));
        for (index, text) in texts.into_iter().enumerate() {
            let line = said((self.which, to), text, &ended.out);
            // The number is that of the last line.
            let number = line.number.filter(|_| index == last);
            self.enter(Said { batch, number, ..line });
        }
    }

    /// Files of random content, below a name of their own.
    fn make(&mut self) -> (String, Content, String) {
        self.made += 1;
        let is_file = self.random.below(4) > 0;
        let names: &[&str] = if is_file { &[""] } else { &["one", "below/two", "below/three"] };
        let most = if self.random.below(4) == 0 { 16 << 20 } else { 1 << 20 };
        let content: Content = names
            .iter()
            .map(|name| (*name, self.random.next(), log_uniform(self.random, most) - 1))
            .collect();
        let name = format!("{}-{}.data", self.thread, self.made);
        let path = self.world.members[self.which].home.path(&name);
        for (below, seed, length) in &content {
            let path = if below.is_empty() { path.clone() } else { path.join(below) };
            tree::put(&path, &sample_of(*seed, *length));
        }
        (name, content, path.to_str().unwrap().to_owned())
    }

    fn enter_sent(&self, to: usize, (name, content): (String, Content), fate: Fate, may_stay: bool) {
        let sent = Sent { direction: (self.which, to), name, content, fate, may_stay };
        self.world.ledger.lock().unwrap().sent.push(sent);
    }

    fn send(&mut self) {
        let to = self.anybody_with_address();
        let (name, content, path) = self.make();
        let streams = self.random.pick(&["1", "2", "4"]);
        let mut fate = Fate::Unknown;
        for _ in 0..TRIES {
            let args = ["--json", "send", "--wait", "3s", "--streams", streams, NAMES[to], &path];
            let ended = self.run(&args, Stdio::null());
            // A command that was killed after it has said so is not run again: that would send a copy.
            if ended.code == Some(0) || objects(&ended.out).any(|object| object["event"] == "sent") {
                fate = Fate::Delivered;
                break;
            }
        }
        self.enter_sent(to, (name, content), fate, false);
    }

    fn queue(&mut self) {
        let to = self.anybody_with_address();
        let (name, content, path) = self.make();
        let ended = self.run(&["--json", "send", "--queue", NAMES[to], &path], Stdio::null());
        let number = objects(&ended.out).find_map(|object| object["number"].as_u64());
        let fate = if number.is_some() { Fate::Queued } else { Fate::Unknown };
        let may_stay = self.cancels(number);
        self.enter_sent(to, (name, content), fate, may_stay);
    }

    /// What comes out of a pipe cannot come twice.
    fn send_pipe(&mut self) {
        let to = self.anybody_with_address();
        self.made += 1;
        let (seed, length) = (self.random.next(), log_uniform(self.random, 4 << 20));
        let name = format!("{}-{}.pipe", self.thread, self.made);
        let (mut writer, input) = pipe(self.input(&sample_of(seed, length)));
        let ended = self.run(&["--json", "send", "--name", &name, "--wait", "3s", NAMES[to], "-"], input);
        writer.wait().unwrap();
        let fate = if ended.code == Some(0) { Fate::Delivered } else { Fate::Unknown };
        self.enter_sent(to, (name, vec![("", seed, length)]), fate, false);
    }

    /// Commands that only look, or only hurry.
    fn look(&mut self) {
        let commands: [&[&str]; 6] = [
            &["outbox"],
            &["status"],
            &["log", "--limit", "5"],
            &["peers"],
            &["outbox", "retry"],
            &["fetch"],
        ];
        let command = self.random.pick(&commands);
        self.run(command, Stdio::null());
    }
}

/// The end of a pipe into which a process writes this.
fn pipe(content: Stdio) -> (Child, Stdio) {
    let mut writer = Command::new("cat").stdin(content).stdout(Stdio::piped()).spawn().unwrap();
    let reading = writer.stdout.take().unwrap();
    (writer, reading.into())
}
