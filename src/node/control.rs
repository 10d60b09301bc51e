//! The node's end of the control connection (egoat-files(5), CONTROL CONNECTION): a thread lets front-ends in, and each
//! front-end has one that reads and one that writes.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::net::loopback::{Local, LoopbackListener};
use crate::node::context::Context;
use crate::node::event::Decision;
use crate::node::files::job::{self, SendRequest};
use crate::node::files::outbound::AHEAD;
use crate::node::live::{PROGRESS_INTERVAL, Subscription};
use crate::node::pairing::asked::{self, Wait};
use crate::node::threads;
use crate::store::attempts;
use crate::store::file;
use crate::wire::control::{Down, SendMode, Up};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Front-ends that are served at a time.
const MAX_FRONT_ENDS: usize = 64;
/// How long the thread that tells waits at most, should a wake-up be lost.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// The pipes of a front-end's jobs that have not ended, by the number of the job.
type Pipes = HashMap<u64, SyncSender<io::Result<Vec<u8>>>>;

/// A front-end that has proven itself, as its two threads and its jobs share it.
struct FrontEnd {
    number: u64,
    connection: Local,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_watching: bool,
    is_over: bool,
    /// What is for this front-end alone.
    answers: VecDeque<Down>,
}

impl FrontEnd {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn answer(&self, context: &Context, message: Down) {
        self.state().answers.push_back(message);
        context.live().wake();
    }
}

/// Lets front-ends in for as long as the node runs.
pub fn run(context: &Arc<Context>, mut listener: LoopbackListener) {
    let places = Arc::new(());
    let mut number = 0;
    loop {
        let connection = listener.accept();
        // One reference is ours.
        if Arc::strong_count(&places) > MAX_FRONT_ENDS {
            connection.close();
            continue;
        }
        number += 1;
        let front = Arc::new(FrontEnd { number, connection, state: Mutex::default() });
        let (context, place, reader) = (Arc::clone(context), Arc::clone(&places), Arc::clone(&front));
        let serve = move || {
            serve(&context, &reader);
            drop(place);
        };
        if threads::spawn("front-end", serve).is_err() {
            front.connection.close();
        }
    }
}

/// Serves a front-end until its connection ends. One of another version is told ours, and no more.
fn serve(context: &Arc<Context>, front: &Arc<FrontEnd>) {
    let mut body = Vec::new();
    let mut pipes = Pipes::new();
    if read(front, &mut body) == Some(Up::Version(VERSION.to_owned())) {
        listen(context, front, &mut body, &mut pipes);
    } else {
        // It may be gone.
        let _ = front.connection.write(&Down::Version(VERSION.to_owned()).encode());
    }
    front.state().is_over = true;
    front.connection.close();
    context.live().wake();
    context.live().stop_jobs(front.number);
    // Not before the jobs are stopped: for those, a pipe that is dropped here has ended.
    drop(pipes);
}

/// The next message; `None` when the connection ends or carries something else.
fn read(front: &FrontEnd, body: &mut Vec<u8>) -> Option<Up> {
    let kind = front.connection.read(body).ok()?;
    Up::decode(kind, body, file::path_of).ok()
}

fn listen(context: &Arc<Context>, front: &Arc<FrontEnd>, body: &mut Vec<u8>, pipes: &mut Pipes) {
    let live = context.live();
    let (mut asking, mut is_told, mut waiting) = (None, false, None);
    while let Some(message) = read(front, body) {
        match message {
            Up::Version(_) => return,
            Up::Ring(peer) => {
                // At once for a message; the supervisor looks at files, and at whatever else there may be.
                peer.and_then(|peer| context.roster().get(&peer)).into_iter().for_each(|one| one.ring());
                context.ring(peer);
            }
            Up::Watch { asks } => {
                asking = asks.then(|| live.begin_asking());
                front.state().is_watching = true;
                live.wake();
            }
            Up::Accept { offer, dir } => {
                live.decide(offer, Decision::Accept { dir: dir.map(PathBuf::from) });
            }
            Up::Refuse(offer) => live.decide(offer, Decision::Refuse),
            Up::Stop(transfer) => live.stop(transfer),
            Up::Dial(peer) => {
                // Whoever removes the note asks for a try now. One that stays is tried at its time.
                let _ = attempts::clear(context.own().home(), &peer);
                context.roster().get(&peer).into_iter().for_each(|contact| contact.ring());
            }
            Up::Send { job: number, peer, mode, name, paths } => {
                let pieces = matches!(mode, SendMode::Pipe(_)).then(|| {
                    let (pipe, pieces) = mpsc::sync_channel(AHEAD);
                    pipes.insert(number, pipe);
                    pieces
                });
                let owner = front.number;
                start_job(context, front, SendRequest { owner, number, peer, mode, name, paths, pieces });
            }
            Up::Unseal => front.answer(context, context.seed().map_or(Down::Forgotten, Down::Seed)),
            Up::Forget => {
                context.forget_seed();
                front.answer(context, Down::Forgotten);
            }
            Up::Nearby { waits: false } => waiting = None,
            Up::Nearby { waits: true } => {
                // The one before ends first.
                drop(waiting.take());
                waiting = begin_waiting(context, front);
            }
            Up::Same(is_same) => waiting.iter().for_each(|wait: &Wait| wait.answer(is_same)),
            Up::Data { job, bytes } if bytes.is_empty() => drop(pipes.remove(&job)),
            // Waits while the job has enough. A job that has ended takes no more.
            Up::Data { job, bytes } => {
                if pipes.get(&job).is_some_and(|pipe| pipe.send(Ok(bytes)).is_err()) {
                    pipes.remove(&job);
                }
            }
        }
        // After the first message, which is usually a ring, so that the ring does not wait for a thread to start.
        if !is_told {
            let (context, front) = (Arc::clone(context), Arc::clone(front));
            if threads::spawn("tell", move || tell(&context, &front)).is_err() {
                break;
            }
            is_told = true;
        }
    }
    drop(asking);
}

/// Starts a job of the front-end, which ends with it.
fn start_job(context: &Arc<Context>, front: &Arc<FrontEnd>, request: SendRequest) {
    let (wanted, answered, shared) = (Arc::clone(front), Arc::clone(front), Arc::clone(context));
    let is_wanted = move || !wanted.state().is_over;
    job::start(context, request, is_wanted, move |job| answered.answer(&shared, Down::Job(job)));
}

/// Begins to wait for somebody with whom the user of the front-end compares digits; `None` if that cannot be, which is told.
fn begin_waiting(context: &Arc<Context>, front: &Arc<FrontEnd>) -> Option<Wait> {
    let (shared, told) = (Arc::clone(context), Arc::clone(front));
    let begun = Wait::begin(context, move |news| told.answer(&shared, news));
    begun.map_err(|error| front.answer(context, asked::unpaired(&error))).ok()
}

/// Tells a front-end our version and then what changes, until it is gone or does not read.
fn tell(context: &Context, front: &FrontEnd) {
    let live = context.live();
    let mut subscription = Subscription::new(front.number);
    let mut messages = Down::Version(VERSION.to_owned()).encode();
    loop {
        let (answers, is_over) = {
            let mut state = front.state();
            if state.is_watching {
                subscription.watch();
            }
            (std::mem::take(&mut state.answers), state.is_over)
        };
        if is_over {
            break;
        }
        let wait = match subscription.is_watching() && live.is_moving() {
            _ if !answers.is_empty() => Duration::ZERO,
            true => PROGRESS_INTERVAL,
            false => CHECK_INTERVAL,
        };
        let news = live.wait(&mut subscription, wait);
        messages.extend(answers.iter().chain(&news).flat_map(Down::encode));
        if !messages.is_empty() && front.connection.write(&messages).is_err() {
            break;
        }
        messages.clear();
    }
    front.connection.close();
}
