//! Files that were queued for a peer, one job after the other: sent, or stopped because they changed or were refused. It
//! leaves out when to try: that is the node's, or `egoat fetch`'s.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::node::context::Context;
use crate::node::event::NodeEvent;
use crate::node::files::collect;
use crate::node::files::outbound::{self, Outgoing};
use crate::node::live::TransferGuard;
use crate::node::retry::{self, Retry};
use crate::node::roster::{Contact, FilesTurn};
use crate::node::threads::LOG_POLL_INTERVAL;
use crate::store::attempts;
use crate::store::node_lock::FilesLock;
use crate::store::own_files::OwnFiles;
use crate::store::peers::Peer;
use crate::store::queued_files::{Job, Outcome, QueuedFiles, Stop};
use crate::text;
use crate::transfer::source::{Sources, Wanted};
use crate::transfer::tally::Tally;

/// What became of a job.
pub enum JobEnd {
    /// None waits.
    Nothing,
    /// It is in place on the peer's disk.
    Sent(Arc<Tally>),
    /// It is not sent before the user says so again.
    Stopped(Error),
    /// The user took it back meanwhile, or queued it again as it is now.
    Cancelled,
}

/// Sends what waits first, if anything does that no other thread `holds`; see [`send`].
pub fn send_next(
    own: &Endpoint,
    peer: &Peer,
    queue: &mut QueuedFiles,
    holds: &dyn Fn(u64) -> bool,
    reach: &dyn Fn(&Sources) -> Result<Outgoing>,
    is_welcome: &(dyn Fn() -> bool + Sync),
    begun: &dyn Fn(&Arc<Tally>) -> Option<TransferGuard>,
) -> Result<JobEnd> {
    let Some(job) = queue.first_waiting(holds)? else { return Ok(JobEnd::Nothing) };
    // A thread that has let go of the job since it was read here has settled it before.
    if !queue.is_waiting(job.number)? {
        return Ok(JobEnd::Cancelled);
    }
    send(own, peer, queue, &job, reach, is_welcome, begun)
}

/// Sends a job of the queue, for as long as the peer is welcome, over a session that `reach` gives. Errors are those that
/// another try may not have. `begun` learns that a transfer begins; what it returns is dropped when the transfer has ended.
pub fn send(
    own: &Endpoint,
    peer: &Peer,
    queue: &mut QueuedFiles,
    job: &Job,
    reach: &dyn Fn(&Sources) -> Result<Outgoing>,
    is_welcome: &(dyn Fn() -> bool + Sync),
    begun: &dyn Fn(&Arc<Tally>) -> Option<TransferGuard>,
) -> Result<JobEnd> {
    let home = OwnFiles::of(own.home())?;
    let wanted: Vec<Wanted> = job.items.iter().map(Wanted::item).collect();
    let sources = Sources::choose(&wanted, &home);
    // Looked at after they were chosen: whatever had changed by then shows now, and whatever changes later when it is read.
    if let Some(stop) = job.change(&home) {
        return stopped(peer, queue, job, stop);
    }
    let sources = match sources {
        Ok(sources) => Arc::new(sources),
        Err(error) => return stopped(peer, queue, job, unreadable(job, &error)),
    };
    // Whom the peer does not know, or what it does not do now, may be otherwise tomorrow: messages wait as well.
    let session = reach(&sources)?;
    let tally = Arc::new(Tally::new(sources.manifest(), false));
    let _shown = begun(&tally);
    let mut note = || {
        own.history(peer.conversation())?.store_files_sent(job.number, &sources.manifest().listing())?;
        queue.settle(job.number, &Outcome::Sent).map(drop)
    };
    let mut listed = own.read_queued_files(&peer.key);
    let mut is_cancelled = || !is_welcome() || !listed.is_waiting(job.number).unwrap_or(true);
    let sent = outbound::send_unless(
        &mut is_cancelled,
        session,
        &sources,
        outbound::default_streams(),
        &tally,
        &mut note,
    );
    match sent {
        Ok(()) => Ok(JobEnd::Sent(tally)),
        Err(_) if !is_welcome() || !queue.is_waiting(job.number)? => Ok(JobEnd::Cancelled),
        // The user stopped this transfer, so there is no use in another try.
        Err(_) if tally.check_stop().is_err() => {
            queue.settle(job.number, &Outcome::Cancelled)?;
            Ok(JobEnd::Cancelled)
        }
        Err(error @ Error::Source { .. }) => {
            let stop = job.change(&home).unwrap_or_else(|| unreadable(job, &error));
            stopped(peer, queue, job, stop)
        }
        Err(error @ (Error::Refused { .. } | Error::StoppedThere { .. } | Error::Failed { .. })) => {
            let is_stopped = queue.stop(job, Stop::Refused(error.to_string()))?;
            Ok(if is_stopped { JobEnd::Stopped(naming(error, &tally.title)) } else { JobEnd::Cancelled })
        }
        Err(error) => Err(error),
    }
}

/// A refusal that says of what.
fn naming(error: Error, title: &str) -> Error {
    match error {
        Error::StoppedThere { peer, .. } => Error::StoppedThere { peer, title: title.to_owned() },
        Error::Refused { peer, why, hint } => {
            Error::Refused { peer, why: format!("{title} is not taken: {why}"), hint }
        }
        other => Error::failed(format!("{title} is not sent: {other}")),
    }
}

/// A source that cannot be read, though it could when it was queued.
fn unreadable(job: &Job, error: &Error) -> Stop {
    let path = job.items.first().map(|item| item.path.clone()).unwrap_or_default();
    Stop::Changed { path, what: error.to_string() }
}

fn stopped(peer: &Peer, queue: &mut QueuedFiles, job: &Job, stop: Stop) -> Result<JobEnd> {
    let what = match &stop {
        Stop::Changed { path, what } => format!("{}: {what}", path.display()),
        Stop::Refused(why) => why.clone(),
    };
    let is_stopped = queue.stop(job, stop)?;
    let error = || Error::NotSent {
        what: text::clean_line(&format!("{} to {} was not sent: {what}", job.number, peer.name)),
        hint: job.how_to_go_on(&peer.name),
        is_refused: false,
    };
    Ok(if is_stopped { JobEnd::Stopped(error()) } else { JobEnd::Cancelled })
}

/// Sends until nothing waits, for when no node runs. Says how many jobs, and keeps what was in the way of others. `None`
/// while another process sends them.
pub fn send_all(own: &Endpoint, peer: &Peer, troubles: &mut Vec<Error>) -> Result<Option<usize>> {
    if !own.read_queued_files(&peer.key).has_waiting()? {
        return Ok(Some(0));
    }
    let Some(_lock) = FilesLock::take(own.home(), &peer.key)? else { return Ok(None) };
    let mut queue = own.queued_files(&peer.key)?;
    let mut sent = 0;
    loop {
        let reach = |files: &Sources| outbound::dial(own, peer, Some(files));
        match send_next(own, peer, &mut queue, &|_| false, &reach, &|| true, &|_| None) {
            Ok(JobEnd::Nothing) => return Ok(Some(sent)),
            Ok(JobEnd::Sent(_)) => {
                attempts::clear(own.home(), &peer.key)?;
                sent += 1;
            }
            Ok(JobEnd::Stopped(error)) => troubles.push(error),
            Ok(JobEnd::Cancelled) => {}
            Err(error) => {
                attempts::note(own.home(), &peer.key, &error, Duration::ZERO);
                troubles.push(error);
                return Ok(Some(sent));
            }
        }
    }
}

/// The node's thread for the files of one peer, until nothing waits.
pub fn run(context: &Arc<Context>, contact: &Contact, _turn: &FilesTurn) {
    let mut retry = Retry::new(contact.news());
    let mut open = None;
    while let Some(peer) = contact.peer().filter(|peer| !peer.is_blocked()) {
        retry.begin();
        match step(context, contact, &peer, &mut open) {
            Ok(None) => drop(contact.wait_for_news(&mut retry.seen, LOG_POLL_INTERVAL)),
            Ok(Some(JobEnd::Nothing)) => return,
            Ok(Some(JobEnd::Sent(tally))) => {
                if retry.has_failed() {
                    // A note that stays is of no harm.
                    let _ = context.reached(contact);
                }
                retry.reset();
                let bytes = tally.held() + tally.moved();
                context.tell(NodeEvent::FilesSent { peer: peer.name, title: tally.title.clone(), bytes });
                context.live().look();
                continue;
            }
            Ok(Some(JobEnd::Stopped(error))) => context.trouble(error),
            Ok(Some(JobEnd::Cancelled)) => {}
            Err(error) => {
                let pause = retry.pause();
                retry::note_failure(context.own(), contact, &error, pause);
                if retry.is_news() {
                    context.trouble(error);
                }
                retry.wait(contact, pause);
            }
        }
        retry.end();
    }
}

/// One job. The queue stays open, so that it is read from its start only once. `None` while another process has it.
fn step(
    context: &Context,
    contact: &Contact,
    peer: &Peer,
    open: &mut Option<(FilesLock, QueuedFiles)>,
) -> Result<Option<JobEnd>> {
    let own = context.own();
    if open.is_none() {
        let Some(lock) = FilesLock::take(own.home(), &peer.key)? else { return Ok(None) };
        *open = Some((lock, context.logged(own.queued_files(&peer.key))?));
    }
    let Some((_, queue)) = open else { return Ok(None) };
    let begun = |tally: &Arc<Tally>| Some(context.live().begin(&peer.name, true, None, tally));
    let reach = |files: &Sources| collect::reach(context, contact, peer, Some(files));
    let holds = |number| contact.holds_job(number);
    context.logged(send_next(own, peer, queue, &holds, &reach, &|| contact.is_welcome(), &begun)).map(Some)
}
