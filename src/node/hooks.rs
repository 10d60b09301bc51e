//! Programs that are run for what has arrived (egoat(1), HOOKS): for each message or file that is in a history, in order,
//! until they say that it is dealt with. How far they are is on disk, in a cursor for messages and one for files, so that a
//! node that was killed goes on there: each is run for once at the least.
//!
//! One thread looks which histories have grown and whose turn it is, and starts another one for each peer that has
//! something. Nothing is kept in memory of what waits: it is in the histories. It leaves out how a program is run: see
//! `program`.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::node::doorbell::LOOK;
use crate::node::event::Event;
use crate::node::program::{Outcome, Program};
use crate::node::retry::Backoff;
use crate::node::running::Shared;
use crate::store::cursor::Cursor;
use crate::store::file;
use crate::store::history::{self, Event as Entry};
use crate::store::home::Own;
use crate::store::log::Reader;
use crate::store::peers::Peer;

/// A program that takes longer is ended.
const LIMIT: Duration = Duration::from_secs(60);
/// Programs that run at once.
const MOST: usize = 4;
/// Runs for one peer before another one that waits has its turn.
const TURN: usize = 16;
/// Signals that wait.
const SIGNALS: usize = 64;

/// What is run.
#[derive(Default)]
pub struct Programs {
    /// For each message.
    pub message: Option<Program>,
    /// For each file.
    pub file: Option<Program>,
}

impl Programs {
    /// By their paths.
    pub fn new(message: Option<&str>, file: Option<&str>) -> Result<Programs> {
        let program = |path| Program::new(path, LIMIT, true);
        Ok(Programs { message: message.map(program).transpose()?, file: file.map(program).transpose()? })
    }
}

/// What a program is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum For {
    /// A message.
    Message,
    /// A file, or a directory.
    File,
}

impl For {
    /// For people and programs.
    pub fn word(self) -> &'static str {
        match self {
            For::Message => "message",
            For::File => "file",
        }
    }
}

/// One of the programs, and how far it is.
struct Hook {
    what: For,
    program: Program,
    cursor: Mutex<Cursor>,
}

/// What wakes the thread.
enum Signal {
    /// Something has arrived from this peer.
    Arrived(PublicKey),
    /// A turn is over.
    Over(Lane, End),
}

/// How a turn ended.
enum End {
    /// All that was there when the history had this length is dealt with.
    Dry(u64),
    /// There may be more.
    More,
    /// It is no peer any more.
    Gone,
    /// It is tried again then.
    Failed(Instant, Backoff),
}

/// What one program is run for of one peer, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Lane {
    what: For,
    peer: PublicKey,
}

/// A program has been run.
#[derive(Debug)]
pub struct Run {
    /// From whom is what it was run for.
    pub peer: String,
    /// Which program.
    pub what: For,
    /// The number of the message, or of the record of the file in the history.
    pub number: u64,
    /// Where the file is.
    pub path: Option<PathBuf>,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// It is run for the same again after this.
    pub pause: Option<Duration>,
}

/// What rings when something has arrived.
pub struct Bell(SyncSender<Signal>);

impl Bell {
    /// Something has arrived from this peer.
    pub fn ring(&self, peer: &PublicKey) {
        // When too many signals wait already, it is seen within a second.
        let _ = self.0.try_send(Signal::Arrived(*peer));
    }
}

/// Programs that are about to be run.
pub struct Hooks {
    hooks: Vec<Arc<Hook>>,
    woken: Receiver<Signal>,
    signals: SyncSender<Signal>,
}

impl Hooks {
    /// Opens the cursors; `None` if there is nothing to run. At the first time only what arrives from now on counts: that
    /// is on disk before anything can.
    pub fn open(own: &Own, programs: Programs) -> Result<Option<Hooks>> {
        let given = [(For::Message, programs.message), (For::File, programs.file)];
        let hooks = given.into_iter().filter_map(|(what, program)| Some(Hook::open(own, what, program?)));
        let hooks: Vec<Arc<Hook>> = hooks.collect::<Result<_>>()?;
        let (signals, woken) = sync_channel(SIGNALS);
        Ok((!hooks.is_empty()).then_some(Hooks { hooks, woken, signals }))
    }

    /// To be rung when something has arrived.
    pub fn bell(&self) -> Bell {
        Bell(self.signals.clone())
    }

    /// Runs them for as long as the node runs.
    pub fn run(self, shared: &Arc<Shared>) {
        let mut lanes = Lanes::default();
        let mut looked: Option<Instant> = None;
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                for contact in shared.roster().all() {
                    lanes.look_at(shared, &self.hooks, contact.key());
                }
            }
            while let Some((lane, backoff)) = lanes.next() {
                self.start(shared, &mut lanes, lane, backoff);
            }
            let first = self.woken.recv_timeout(lanes.patience()).ok();
            for signal in first.into_iter().chain(self.woken.try_iter().take(SIGNALS)) {
                match signal {
                    Signal::Arrived(peer) => lanes.look_at(shared, &self.hooks, peer),
                    Signal::Over(lane, end) => lanes.end(lane, end),
                }
            }
        }
    }

    /// Gives a lane its turn, in a thread of its own.
    fn start(&self, shared: &Arc<Shared>, lanes: &mut Lanes, lane: Lane, backoff: Backoff) {
        let Some(hook) = self.hooks.iter().find(|hook| hook.what == lane.what) else { return };
        let (there, hook, over) = (Arc::clone(shared), Arc::clone(hook), self.signals.clone());
        let started = shared.spawn("hook", move || {
            let end = hook.take_turn(&there, &lane.peer, backoff);
            let _ = over.send(Signal::Over(lane, end));
        });
        if started.is_err() {
            lanes.end(lane, End::Failed(Instant::now() + LOOK, Backoff::default()));
        }
    }
}

/// Whose turn it is.
#[derive(Default)]
struct Lanes {
    /// The length of the history up to which there is nothing to be done; `None` while there is, or may be.
    dry: HashMap<Lane, Option<u64>>,
    /// Those who wait for a turn.
    ready: VecDeque<(Lane, Backoff)>,
    /// Those who wait for their pause to end.
    paused: Vec<(Instant, Lane, Backoff)>,
    running: usize,
}

impl Lanes {
    /// Looks whether a peer's history has grown.
    fn look_at(&mut self, shared: &Shared, hooks: &[Arc<Hook>], peer: PublicKey) {
        let length = length(shared.own(), &peer);
        for hook in hooks {
            let lane = Lane { what: hook.what, peer };
            let dry = self.dry.entry(lane).or_insert(Some(0));
            if dry.is_some_and(|dry| dry != length) {
                *dry = None;
                self.ready.push_back((lane, Backoff::default()));
            }
        }
    }

    /// The next one to have a turn, if there is room.
    fn next(&mut self) -> Option<(Lane, Backoff)> {
        if self.running >= MOST {
            return None;
        }
        let now = Instant::now();
        let over = self.paused.extract_if(.., |(until, ..)| *until <= now);
        self.ready.extend(over.map(|(_, lane, backoff)| (lane, backoff)));
        let next = self.ready.pop_front()?;
        self.running += 1;
        Some(next)
    }

    fn end(&mut self, lane: Lane, end: End) {
        self.running -= 1;
        match end {
            End::Dry(length) => drop(self.dry.insert(lane, Some(length))),
            End::More => self.ready.push_back((lane, Backoff::default())),
            End::Gone => drop(self.dry.remove(&lane)),
            End::Failed(until, backoff) => self.paused.push((until, lane, backoff)),
        }
    }

    /// How long to wait for a signal.
    fn patience(&self) -> Duration {
        // Whose pause is over as well waits for one that runs, and its end is a signal.
        if self.running >= MOST {
            return LOOK;
        }
        let next =
            self.paused.iter().map(|(until, ..)| until.saturating_duration_since(Instant::now())).min();
        next.unwrap_or(LOOK).clamp(Duration::from_millis(1), LOOK)
    }
}

fn length(own: &Own, peer: &PublicKey) -> u64 {
    std::fs::metadata(own.home().history_path((*peer).into())).map_or(0, |data| data.len())
}

/// Something that arrived.
struct Arrival {
    number: u64,
    /// The record's, in µs of Unix time.
    seq: u64,
    size: u64,
    path: Option<PathBuf>,
    text: Vec<u8>,
}

impl Hook {
    fn open(own: &Own, what: For, program: Program) -> Result<Arc<Hook>> {
        let path = own.home().hook_path(what.word());
        let mut cursor = Cursor::open(&path).map_err(|error| match error {
            Error::Usage { .. } => Error::Corrupt { path, what: "it is no cursor".into() },
            error => error,
        })?;
        if cursor.is_new() {
            // Not the peers alone: who comes back has a history as well.
            for conversation in own.home().conversations()? {
                let mut reader = own.read_history(conversation);
                reader.skip_to_last(1)?;
                while let Some(seq) = reader.read()?.map(|record| record.seq) {
                    reader.position(seq)?.into_iter().for_each(|last| cursor.move_to(conversation, last));
                }
            }
            cursor.save()?;
        }
        Ok(Arc::new(Hook { what, program, cursor: Mutex::new(cursor) }))
    }

    /// A thread that panicked left the cursor as it was between two statements, which is consistent.
    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Runs the program for what comes next of this peer, a number of times.
    fn take_turn(&self, shared: &Shared, peer: &PublicKey, mut backoff: Backoff) -> End {
        match self.try_turn(shared, peer, &mut backoff) {
            Ok(end) => end,
            Err(error) => {
                shared.tell(Event::Trouble(error));
                End::Failed(Instant::now() + backoff.pause(), backoff)
            }
        }
    }

    fn try_turn(&self, shared: &Shared, peer: &PublicKey, backoff: &mut Backoff) -> Result<End> {
        // Before it is read: what is appended meanwhile is looked for again.
        let length = length(shared.own(), peer);
        let mut reader = shared.own().read_history((*peer).into());
        let known = self.cursor().positions().get(&(*peer).into()).copied();
        known.map_or(Ok(()), |known| reader.resume(known))?;
        for _ in 0..TURN {
            let contact = shared.roster().get(peer).and_then(|contact| contact.peer());
            let Some(contact) = contact else { return Ok(End::Gone) };
            let Some(arrival) = self.next(&mut reader, peer)? else { return Ok(End::Dry(length)) };
            let position = reader.position(arrival.seq)?;
            let run = self.run(shared.own(), &contact, arrival, backoff);
            let pause = run.pause;
            if pause.is_none() {
                position.into_iter().for_each(|position| self.cursor().move_to((*peer).into(), position));
            }
            let saved = pause.map_or_else(|| self.cursor().save(), |_| Ok(()));
            shared.tell(Event::Hook(run));
            saved?;
            if let Some(pause) = pause {
                return Ok(End::Failed(Instant::now() + pause, std::mem::take(backoff)));
            }
        }
        Ok(End::More)
    }

    /// The next thing that arrived; what stands before it is passed.
    fn next(&self, reader: &mut Reader, peer: &PublicKey) -> Result<Option<Arrival>> {
        loop {
            let read = reader.read()?.map(|record| (record.seq, self.arrival(record.seq, record.body)));
            match read {
                None => return Ok(None),
                Some((_, Some(arrival))) => return Ok(Some(arrival)),
                Some((seq, None)) => {
                    let position = reader.position(seq)?;
                    position.into_iter().for_each(|position| self.cursor().move_to((*peer).into(), position));
                }
            }
        }
    }

    /// The record, if it is one for this program.
    fn arrival(&self, seq: u64, body: &[u8]) -> Option<Arrival> {
        match (self.what, history::decode(body).ok()?) {
            (For::Message, Entry::Received { number, text }) => {
                Some(Arrival { number, seq, size: text.len() as u64, path: None, text: text.to_vec() })
            }
            (For::File, Entry::FileReceived { size, path }) => {
                Some(Arrival { number: seq, seq, size, path: file::path_of(path), text: Vec::new() })
            }
            _ => None,
        }
    }

    fn run(&self, own: &Own, peer: &Peer, arrival: Arrival, backoff: &mut Backoff) -> Run {
        let Arrival { number, seq, size, path, text } = arrival;
        let decimal = |number: u64| Some(OsString::from(number.to_string()));
        let variables = [
            ("EGOAT_PEER", Some(peer.name.clone().into())),
            ("EGOAT_KEY", Some(peer.key.to_string().into())),
            ("EGOAT_ID", decimal(number)),
            ("EGOAT_SIZE", decimal(size)),
            ("EGOAT_TIME", decimal(seq / 1_000_000)),
            ("EGOAT_PATH", path.clone().map(PathBuf::into_os_string)),
            ("EGOAT_HOME", own.home().named().map(PathBuf::into_os_string)),
        ];
        let began = Instant::now();
        let outcome = self.program.run(&variables, text);
        let took = began.elapsed();
        let pause = if outcome.is_done() {
            *backoff = Backoff::default();
            None
        } else {
            Some(backoff.pause())
        };
        Run { peer: peer.name.clone(), what: self.what, number, path, outcome, took, pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_is_over_is_no_reason_to_spin_while_no_other_can_run() {
        let lane =
            Lane { what: For::Message, peer: crate::crypto::keys::StaticKeys::from_secret([1; 32]).public() };
        let mut lanes = Lanes { running: MOST, ..Lanes::default() };
        lanes.paused.push((Instant::now(), lane, Backoff::default()));
        assert!(lanes.next().is_none());
        assert_eq!(lanes.patience(), LOOK);
        lanes.running -= 1;
        assert!(lanes.patience() < LOOK && lanes.next().is_some());
    }
}
