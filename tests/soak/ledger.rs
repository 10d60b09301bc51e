//! What the commands of a soak were told, and whether the homes bear it out in the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::common::files::{landed_in, sample_of};
use crate::common::{Home, json};
use crate::world::{Member, NAMES};

/// What a command said about a message or about files before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Nothing: the command was killed, or failed. What it was to do is done or not, but not half and not twice.
    Unknown,
    /// They are in the outbox, and arrive.
    Queued,
    /// They are on the other side's disk.
    Delivered,
}

/// The home that something comes from, and the one that it goes to.
pub type Direction = (usize, usize);

#[derive(Debug)]
pub struct Said {
    pub direction: Direction,
    /// Begins with the thread that said it and a number, which rises in all that the thread says.
    pub text: String,
    /// The lines of one `say --lines` have the same.
    pub batch: Option<u64>,
    pub number: Option<u64>,
    pub fate: Fate,
    /// It may expire, or it was cancelled, perhaps in time.
    pub may_stay: bool,
}

#[derive(Debug)]
pub struct Sent {
    pub direction: Direction,
    pub name: String,
    pub content: Content,
    pub fate: Fate,
    pub may_stay: bool,
}

/// Files below a path, each by its own path there, its seed and its length. A single file has an empty path.
pub type Content = Vec<(&'static str, u64, usize)>;

#[derive(Default)]
pub struct Ledger {
    pub said: Vec<Said>,
    pub sent: Vec<Sent>,
}

/// The events of a home's log.
struct Log(Vec<Map<String, Value>>);

impl Log {
    fn of(home: &Home) -> Log {
        Log(home.run(&["--json", "log"]).lines().map(json::object).collect())
    }

    fn of_peer<'a>(&'a self, event: &str, peer: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
        self.0.iter().filter(move |one| one["event"] == event && one["peer"] == peer)
    }

    fn messages(&self, event: &str, peer: &str) -> Vec<(u64, &str)> {
        let events = self.of_peer(event, peer);
        events.map(|one| (one["number"].as_u64().unwrap(), one["text"].as_str().unwrap())).collect()
    }

    /// How often the log has a path of this last name.
    fn files(&self, event: &str, peer: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for one in self.of_peer(event, peer) {
            let path = Path::new(one["path"].as_str().unwrap().trim_end_matches('/'));
            *counts.entry(path.file_name().unwrap().to_str().unwrap().to_owned()).or_default() += 1;
        }
        counts
    }
}

impl Ledger {
    /// Everything that is not as it was told, in words.
    pub fn faults(&self, members: &[Member]) -> Vec<String> {
        let logs: Vec<Log> = members.iter().map(|member| Log::of(&member.home)).collect();
        let mut faults = Vec::new();
        for from in 0..members.len() {
            for to in (0..members.len()).filter(|to| *to != from) {
                let names = [from, to].map(|which| members[which].name);
                let ends = Ends { from: names[0], to: names[1], here: &logs[from], there: &logs[to] };
                let mut found = Vec::new();
                self.check_messages((from, to), &ends, &mut found);
                self.check_files((from, to), &ends, &members[to].home, &mut found);
                faults.extend(found.iter().map(|fault| format!("{} to {}: {fault}", ends.from, ends.to)));
            }
        }
        faults
    }

    fn check_messages(&self, direction: Direction, ends: &Ends, faults: &mut Vec<String>) {
        let received = ends.there.messages("received", ends.from);
        let delivered = ends.here.messages("delivered", ends.to);
        let withdrawn = ["cancelled", "expired"].map(|event| ends.here.messages(event, ends.to)).concat();
        let numbers: HashMap<&str, u64> = withdrawn.iter().map(|(number, text)| (*text, *number)).collect();
        if numbers.len() < withdrawn.len() {
            faults.push(format!("withdrawn twice: {withdrawn:?}"));
        }
        // One that was withdrawn may be on its way in a connection that is lost, and arrive when the next one has begun: the
        // log here then has it as withdrawn alone.
        let known: HashSet<&str> = delivered.iter().map(|(_, text)| *text).collect();
        let is_late = |text: &str| numbers.contains_key(text) && !known.contains(text);
        let in_time: Vec<_> = received.iter().filter(|(_, text)| !is_late(text)).copied().collect();
        if in_time != delivered {
            let at = in_time.iter().zip(&delivered).take_while(|(one, other)| one == other).count();
            faults.push(format!("the logs differ: {:?}, {:?}", in_time.get(at), delivered.get(at)));
        }
        if let Some(pair) = received.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            faults.push(format!("the numbers do not rise: {pair:?}"));
        }
        let mut last: HashMap<usize, usize> = HashMap::new();
        for (_, text) in &received {
            let (thread, place) = place(text);
            if last.insert(thread, place).is_some_and(|before| before >= place) {
                faults.push(format!("twice, or out of order: {text}"));
            }
        }
        let mut arrived: HashMap<&str, u64> =
            received.iter().map(|(number, text)| (*text, *number)).collect();
        let mut last_missing = None;
        for said in self.said.iter().filter(|said| said.direction == direction) {
            let there = arrived.remove(said.text.as_str());
            let known = there.or(numbers.get(said.text.as_str()).copied());
            let fault = match said.fate {
                Fate::Delivered if there.is_none() => "lost",
                Fate::Queued if there.is_none() && !said.may_stay => "lost",
                Fate::Queued if known.is_none() => "nowhere",
                _ if known.zip(said.number).is_some_and(|(known, told)| known != told) => "another number",
                // Lines are queued in their order, so what a killed command leaves is the first ones.
                _ if there.is_some() && said.batch.is_some() && said.batch == last_missing => "a gap before",
                _ => "",
            };
            if there.is_none() {
                last_missing = said.batch.or(last_missing);
            }
            if !fault.is_empty() {
                faults.push(format!("{fault}: {said:?}"));
            }
        }
        faults.extend(arrived.keys().map(|text| format!("nobody said {text}")));
    }

    fn check_files(&self, direction: Direction, ends: &Ends, to: &Home, faults: &mut Vec<String>) {
        let folder = to.path(&format!("downloads/{}", ends.from));
        let landed = landed_in(&folder);
        let received = ends.there.files("file-received", ends.from);
        let delivered = ends.here.files("file-delivered", ends.to);
        if !landed.iter().eq(received.keys()) || received.values().any(|count| *count != 1) {
            faults.push(format!("the log has other files than the folder: {received:?}, {landed:?}"));
        }
        for name in landed.iter().chain(delivered.keys()) {
            if !self.sent.iter().any(|sent| sent.direction == direction && sent.name == *name) {
                faults.push(format!("{name} is a copy, or nobody sent it"));
            }
        }
        for sent in self.sent.iter().filter(|sent| sent.direction == direction) {
            let is_there = landed.contains(&sent.name);
            let told = delivered.get(&sent.name).copied().unwrap_or_default();
            let is_due = match sent.fate {
                Fate::Unknown => false,
                Fate::Queued => !sent.may_stay,
                Fate::Delivered => true,
            };
            if is_due && !is_there {
                faults.push(format!("lost: {sent:?}"));
            }
            if is_there && !is_whole(&folder.join(&sent.name), &sent.content) {
                faults.push(format!("not whole: {sent:?}"));
            }
            // A command that was killed may have had no time to note that they are there.
            if told > 1 || (told > 0 && !is_there) || (told == 0 && is_due) {
                faults.push(format!("{told} times delivered by the log here: {sent:?}"));
            }
        }
    }
}

/// The two logs that a direction is in.
struct Ends<'a> {
    from: &'a str,
    to: &'a str,
    here: &'a Log,
    there: &'a Log,
}

fn is_whole(path: &Path, content: &Content) -> bool {
    let is_same = |(below, seed, length): &(&str, u64, usize)| {
        let path = if below.is_empty() { path.to_owned() } else { path.join(below) };
        fs::read(path).is_ok_and(|found| found == sample_of(*seed, *length))
    };
    content.iter().all(is_same)
}

/// Whether the hook was run for each message that has arrived, those of each peer in their order.
pub fn has_heard_all(member: &Member) -> bool {
    let (log, heard) = (Log::of(&member.home), member.heard());
    let beginning = |peer: &str, text: &str| {
        let (thread, place) = place(text);
        format!("{peer} {thread} {place}")
    };
    NAMES.iter().all(|peer| {
        let received = log.messages("received", peer);
        let heard = heard.iter().filter(|line| line.split(' ').next() == Some(peer));
        heard.eq(received.iter().map(|(_, text)| beginning(peer, text)).collect::<Vec<_>>().iter())
    })
}

/// The thread that said a text, and its place in what that said.
fn place(text: &str) -> (usize, usize) {
    let mut words = text.split(' ').map(|word| word.parse().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}
