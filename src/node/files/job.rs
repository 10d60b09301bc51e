//! Files that a front-end hands to the node, to be sent now. Those of a command belong to it: a transfer that has begun ends
//! with the command. Those of a chat are queued first, and go on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::node::context::Context;
use crate::node::files::collect;
use crate::node::files::once_sent::{OnceSent, note_sent};
use crate::node::files::outbound::{self, Pipe};
use crate::node::files::patience::Patience;
use crate::node::files::queued::{self, JobEnd};
use crate::node::roster::Contact;
use crate::node::threads;
use crate::store::own_files::OwnFiles;
use crate::store::peers::Peer;
use crate::store::queued_files::Outcome;
use crate::time::now_micros;
use crate::transfer::path::SafePath;
use crate::transfer::source::{Sources, Wanted};
use crate::transfer::stream::Spool;
use crate::transfer::tally::Tally;
use crate::wire::control::{JobOutcome, JobReport, SendMode};

/// A pipe's transfer is retried after this, or at once when the peer is back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The bytes of a pipe as its front-end hands them over.
pub type Pieces = Receiver<io::Result<Vec<u8>>>;

/// What a front-end wants to be sent.
pub struct SendRequest {
    /// The front-end.
    pub owner: u64,
    /// Its number of the job.
    pub number: u64,
    /// To whom.
    pub peer: PublicKey,
    /// What the job is.
    pub mode: SendMode,
    /// What the only file or directory is called on the way; empty for its own name.
    pub name: String,
    /// Files and directories, from the root.
    pub paths: Vec<PathBuf>,
    /// What a pipe brings.
    pub pieces: Option<Pieces>,
}

/// Starts a thread for the job. `is_wanted` is false once the front-end is gone; `done` learns what became of the job.
pub fn start(
    context: &Arc<Context>,
    request: SendRequest,
    is_wanted: impl Fn() -> bool + Send + 'static,
    done: impl Fn(JobReport) + Clone + Send + 'static,
) {
    let (context, number, told) = (Arc::clone(context), request.number, done.clone());
    let work = move || {
        let mut job = JobReport::without_count(number, JobOutcome::Sent);
        if let Err(error) = run(&context, request, &is_wanted, &mut job) {
            job.outcome = failed(&error);
        }
        done(job);
    };
    if let Err(error) = threads::spawn("job", work) {
        told(JobReport::without_count(number, failed(&error)));
    }
}

fn failed(error: &Error) -> JobOutcome {
    match error {
        Error::Stopped => JobOutcome::Stopped,
        error => JobOutcome::Failed {
            why: error.to_string(),
            hint: error.hint().unwrap_or_default(),
            status: error.exit_code(),
        },
    }
}

/// A job as its thread runs it.
struct Job<'a> {
    context: &'a Context,
    contact: Arc<Contact>,
    peer: Peer,
    owner: u64,
    is_wanted: &'a dyn Fn() -> bool,
}

fn run(
    context: &Context,
    request: SendRequest,
    is_wanted: &dyn Fn() -> bool,
    report: &mut JobReport,
) -> Result<()> {
    let gone = || Error::failed("it is no peer any more");
    let contact = context.roster().get(&request.peer).ok_or_else(gone)?;
    let peer = contact.peer().ok_or_else(gone)?;
    peer.ensure_not_blocked()?;
    let job = Job { context, contact, peer, owner: request.owner, is_wanted };
    match (request.mode, request.pieces) {
        (SendMode::Pipe(kept), Some(pieces)) => job.send_pipe(&request.name, pieces, kept, report),
        (mode, _) => {
            let name = Some(request.name).filter(|name| !name.is_empty());
            match mode {
                SendMode::Queue => job.send_queued(request.paths, name, report),
                _ => job.send_files(request.paths, name, report),
            }
        }
    }
}

impl Job<'_> {
    fn own(&self) -> &Endpoint {
        self.context.own()
    }

    /// Runs a transfer that front-ends see; `report` gets its counts.
    fn counted(
        &self,
        tally: &Arc<Tally>,
        report: &mut JobReport,
        transfer: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let _shown = self.context.live().begin(&self.peer.name, true, Some(self.owner), tally);
        // The front-end may have gone before its transfer could be found and stopped.
        let sent = if (self.is_wanted)() { transfer() } else { Err(Error::Stopped) };
        report.title.clone_from(&tally.title);
        report.milliseconds = tally.moving().as_millis() as u64;
        (report.bytes, report.held, report.lanes) = (tally.done().0, tally.held(), tally.lanes());
        let sent = self.context.logged(sent);
        match sent {
            Ok(()) => {
                self.context.live().look();
                Ok(())
            }
            Err(_) if tally.check_stop().is_err() => Err(Error::Stopped),
            Err(error) => Err(error),
        }
    }

    fn choose(&self, paths: &[PathBuf], name: Option<&str>, home: &OwnFiles) -> Result<Arc<Sources>> {
        let mut wanted: Vec<Wanted> = paths.iter().map(|path| Wanted::path(path)).collect();
        if let ([one], Some(name)) = (&mut wanted[..], name) {
            one.name = Some(name.to_owned());
        }
        let sources = Sources::choose(&wanted, home)?;
        sources.own().for_each(|what| self.own().report(&what));
        Ok(Arc::new(sources))
    }

    /// Files of a command, which fails if they cannot be sent now.
    fn send_files(&self, paths: Vec<PathBuf>, name: Option<String>, report: &mut JobReport) -> Result<()> {
        let sources = self.choose(&paths, name.as_deref(), &OwnFiles::of(self.own().home())?)?;
        let tally = Arc::new(Tally::new(sources.manifest(), false));
        let mut once = OnceSent::of_command(self.own(), &self.peer, &sources);
        self.counted(&tally, report, || {
            let outgoing = collect::reach(self.context, &self.contact, &self.peer, Some(&sources))?;
            let streams = outbound::default_streams();
            let contact = &self.contact;
            let mut is_unwanted = || !contact.is_welcome();
            once.send(self.own(), &self.peer, (outgoing, streams), (&sources, &tally), &mut is_unwanted)
        })
    }

    /// Files that are queued first, so that they go on whatever ends meanwhile: the front-end, the connection, the node. They
    /// do not wait behind what is queued already.
    fn send_queued(&self, paths: Vec<PathBuf>, name: Option<String>, report: &mut JobReport) -> Result<()> {
        let home = OwnFiles::of(self.own().home())?;
        let sources = self.choose(&paths, name.as_deref(), &home)?;
        (report.title, report.bytes) = (sources.manifest().title(), sources.manifest().bytes());
        drop(sources);
        let mut hold = self.contact.hold_job();
        let mut queue = self.context.logged(self.own().queued_files(&self.peer.key))?;
        let (number, _) = self.context.logged(queue.queue_paths(&paths, name.as_deref(), &home))?;
        hold.note(number);
        let Some(job) = queue.waiting(number)? else { return Err(Error::Stopped) };
        let begun = |tally: &Arc<Tally>| Some(self.context.live().begin(&self.peer.name, true, None, tally));
        let reach = |files: &Sources| collect::reach(self.context, &self.contact, &self.peer, Some(files));
        let contact = &self.contact;
        let is_welcome = || contact.is_welcome();
        let end = queued::send(self.own(), &self.peer, &mut queue, &job, &reach, &is_welcome, &begun);
        let failed = match self.context.logged(end) {
            Ok(JobEnd::Sent(tally)) => {
                report.milliseconds = tally.moving().as_millis() as u64;
                (report.held, report.lanes) = (tally.held(), tally.lanes());
                self.context.live().look();
                return Ok(());
            }
            Ok(JobEnd::Cancelled | JobEnd::Nothing) => return Err(Error::Stopped),
            Ok(JobEnd::Stopped(error)) => error,
            Err(error) if error.is_passing() => {
                report.outcome = JobOutcome::Queued;
                drop(hold);
                self.context.ring(Some(self.peer.key));
                return Ok(());
            }
            Err(error) => error,
        };
        // Whoever handed them over is told, so they need not stay listed. If nobody is there any more, the list tells.
        if (self.is_wanted)() {
            self.context.logged(queue.settle(number, &Outcome::Cancelled))?;
        }
        Err(failed)
    }

    fn send_pipe(&self, name: &str, pieces: Pieces, kept: u64, report: &mut JobReport) -> Result<()> {
        let path = SafePath::parse(name).map_err(|_| Error::failed("that is no name for a file"))?;
        let manifest = Pipe::manifest(path)?;
        let tally = Arc::new(Tally::new(&manifest, true));
        let mut pipe = Pipe::new(manifest, Spool::new(self.own().home(), pieces, kept)?);
        self.counted(&tally, report, || {
            let mut patience = Patience::for_pipe(Duration::ZERO);
            while let Err(error) = self.try_pipe(&mut pipe, &tally, &mut patience) {
                let is_over = patience.until(&error).is_none_or(|until| Instant::now() >= until);
                if is_over || tally.check_stop().is_err() {
                    return Err(error);
                }
                tally.restart();
                self.contact.wait_for_news(&mut self.contact.news(), RETRY_AFTER);
            }
            let file = (tally.done().0, pipe.name());
            note_sent(self.own(), &self.peer, now_micros(), &[file])
        })
    }

    fn try_pipe(&self, pipe: &mut Pipe, tally: &Tally, patience: &mut Patience) -> Result<()> {
        let outgoing = collect::reach(self.context, &self.contact, &self.peer, None)?;
        patience.found();
        let contact = &self.contact;
        pipe.send(&mut || !contact.is_welcome(), outgoing, tally)
    }
}
