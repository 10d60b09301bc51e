//! The thread of the hooks. For each message or file in a history, in order, it runs the user's program until the program
//! exits with 0. Two cursors on disk, one for messages and one for files, say how far each program is, so a node that was
//! killed goes on from there: a program runs at least once for each arrival.
//!
//! One thread watches which histories have grown, and starts a thread for each turn. Pending arrivals stay in the
//! histories, so memory stays bounded. How a program runs is in `program`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::node::context::Context;
use crate::node::event::NodeEvent;
use crate::node::hooks::program::Program;
use crate::node::hooks::programs::{HookKind, Programs, RunReport};
use crate::node::hooks::turns::{Bell, HistoryState, HookQueue, HookQueues, HookSignal, TurnEnd};
use crate::node::retry::Backoff;
use crate::node::threads;
use crate::node::threads::LOG_POLL_INTERVAL;
use crate::store::cursor::Cursor;
use crate::store::file;
use crate::store::history::{self, Event};
use crate::store::home::Own;
use crate::store::log::Reader;
use crate::store::peers::Peer;
use crate::time;

/// Capacity of the signal channel.
const SIGNALS: usize = 64;
/// Runs in one turn. After these it is another queue's turn.
const MAX_RUNS_PER_TURN: usize = 16;

/// One program, and how far it is.
struct Hook {
    what: HookKind,
    program: Program,
    cursor: Mutex<Cursor>,
}

/// All hooks of a node, before their thread runs.
pub struct Hooks {
    hooks: Vec<Arc<Hook>>,
    woken: Receiver<HookSignal>,
    signals: SyncSender<HookSignal>,
}

impl Hooks {
    /// Opens the cursors; `None` if the user wants no hook. A new cursor stands at the end of every history, and is on disk
    /// before a message can arrive: a hook runs only for what arrives after its first start.
    pub fn open(own: &Own, programs: Programs) -> Result<Option<Hooks>> {
        let given = [(HookKind::Message, programs.message), (HookKind::File, programs.file)];
        let hooks = given.into_iter().filter_map(|(what, program)| Some(Hook::open(own, what, program?)));
        let hooks: Vec<Arc<Hook>> = hooks.collect::<Result<_>>()?;
        let (signals, woken) = sync_channel(SIGNALS);
        Ok((!hooks.is_empty()).then_some(Hooks { hooks, woken, signals }))
    }

    /// A bell for the threads that store messages and files.
    pub fn bell(&self) -> Bell {
        Bell(self.signals.clone())
    }

    /// Runs the hooks until the process ends.
    pub fn run(self, context: &Arc<Context>) {
        let mut queues = HookQueues::default();
        let mut looked: Option<Instant> = None;
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= LOG_POLL_INTERVAL) {
                looked = Some(Instant::now());
                for contact in context.roster().all() {
                    self.look_at(context, &mut queues, contact.key());
                }
            }
            while let Some((queue, backoff)) = queues.take_next() {
                self.start(context, &mut queues, queue, backoff);
            }
            let first = self.woken.recv_timeout(queues.patience()).ok();
            for signal in first.into_iter().chain(self.woken.try_iter().take(SIGNALS)) {
                match signal {
                    HookSignal::Arrived(peer) => self.look_at(context, &mut queues, peer),
                    HookSignal::Over(queue, end) => queues.end(queue, end),
                }
            }
        }
    }

    fn look_at(&self, context: &Context, queues: &mut HookQueues, peer: PublicKey) {
        queues.look_at(context.own(), self.hooks.iter().map(|hook| hook.what), peer);
    }

    /// Gives a queue a turn, in a new thread.
    fn start(&self, context: &Arc<Context>, queues: &mut HookQueues, queue: HookQueue, backoff: Backoff) {
        let Some(hook) = self.hooks.iter().find(|hook| hook.what == queue.what) else { return };
        let (context, hook, over) = (Arc::clone(context), Arc::clone(hook), self.signals.clone());
        let started = threads::spawn("hook", move || {
            let end = hook.take_turn(&context, &queue.peer, backoff);
            let _ = over.send(HookSignal::Over(queue, end));
        });
        if started.is_err() {
            queues.end(queue, TurnEnd::Failed(Instant::now() + LOG_POLL_INTERVAL, Backoff::default()));
        }
    }
}

/// Something that arrived.
struct HookInput {
    number: u64,
    /// The record's number.
    seq: u64,
    /// When it arrived, in µs of Unix time, by the clock as it was then.
    noted: u64,
    size: u64,
    path: Option<PathBuf>,
    text: Vec<u8>,
}

impl Hook {
    fn open(own: &Own, what: HookKind, program: Program) -> Result<Arc<Hook>> {
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
            match cursor.save() {
                // It is saved when the program has run; nothing that a peer sends is stored before there is room.
                Err(error) if error.is_disk_full() => own.report(&error.to_string()),
                saved => saved?,
            }
        }
        Ok(Arc::new(Hook { what, program, cursor: Mutex::new(cursor) }))
    }

    /// A thread that panicked left the cursor as it was between two statements, which is consistent.
    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Runs the program for what comes next of this peer, a number of times.
    fn take_turn(&self, context: &Context, peer: &PublicKey, mut backoff: Backoff) -> TurnEnd {
        match self.try_turn(context, peer, &mut backoff) {
            Ok(end) => end,
            Err(error) => {
                context.trouble(error);
                TurnEnd::Failed(Instant::now() + backoff.pause(), backoff)
            }
        }
    }

    fn try_turn(&self, context: &Context, peer: &PublicKey, backoff: &mut Backoff) -> Result<TurnEnd> {
        // Before it is read: what is appended meanwhile is looked for again.
        let state = HistoryState::now(context.own(), peer);
        let mut reader = context.own().read_history((*peer).into());
        let known = self.cursor().positions().get(&(*peer).into()).copied();
        known.map_or(Ok(()), |known| reader.resume(known))?;
        for _ in 0..MAX_RUNS_PER_TURN {
            let contact = context.roster().get(peer).and_then(|contact| contact.peer());
            let Some(contact) = contact else { return Ok(TurnEnd::Gone) };
            let Some(arrival) = self.next(&mut reader, peer)? else { return Ok(TurnEnd::Dry(state)) };
            let position = reader.position(arrival.seq)?;
            let run = self.run(context.own(), &contact, arrival, backoff);
            let pause = run.pause;
            if pause.is_none() {
                position.into_iter().for_each(|position| self.cursor().move_to((*peer).into(), position));
            }
            let saved = pause.map_or_else(|| self.cursor().save(), |_| Ok(()));
            context.tell(NodeEvent::Hook(run));
            saved?;
            if let Some(pause) = pause {
                return Ok(TurnEnd::Failed(Instant::now() + pause, std::mem::take(backoff)));
            }
        }
        Ok(TurnEnd::More)
    }

    /// The next thing that arrived; what stands before it is passed.
    fn next(&self, reader: &mut Reader, peer: &PublicKey) -> Result<Option<HookInput>> {
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
    fn arrival(&self, seq: u64, body: &[u8]) -> Option<HookInput> {
        let noted = history::times(seq, body).ok()?.noted;
        match (self.what, history::decode(body).ok()?) {
            (HookKind::Message, Event::Received { number, text }) => {
                let (size, text) = (text.len() as u64, text.to_vec());
                Some(HookInput { number, seq, noted, size, path: None, text })
            }
            (HookKind::File, Event::FileReceived { size, path }) => {
                let path = file::path_of(path);
                Some(HookInput { number: seq, seq, noted, size, path, text: Vec::new() })
            }
            _ => None,
        }
    }

    fn run(&self, own: &Own, peer: &Peer, arrival: HookInput, backoff: &mut Backoff) -> RunReport {
        let HookInput { number, noted, size, path, text, .. } = arrival;
        // Where the time of arrival is not known, now is not before it.
        let noted = time::believed(noted).unwrap_or_else(time::now_micros);
        let decimal = |number: u64| Some(OsString::from(number.to_string()));
        let variables = [
            ("EGOAT_PEER", Some(peer.name.clone().into())),
            ("EGOAT_KEY", Some(peer.key.to_string().into())),
            ("EGOAT_ID", decimal(number)),
            ("EGOAT_SIZE", decimal(size)),
            ("EGOAT_TIME", decimal(noted / 1_000_000)),
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
        RunReport { peer: peer.name.clone(), what: self.what, number, path, outcome, took, pause }
    }
}
