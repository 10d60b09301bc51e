//! Files that were queued for a peer, one job after the other: sent, or stopped because they changed or were refused. It
//! leaves out when to try: that is the node's, or `egoat fetch`'s.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::node::backoff::Backoff;
use crate::node::event::Event;
use crate::node::outbound;
use crate::node::roster::{Contact, FilesTurn};
use crate::node::running::Shared;
use crate::store::attempts;
use crate::store::home::Own;
use crate::store::peers::Peer;
use crate::store::queued_files::{Job, Outcome, Stop};
use crate::transfer::source::Sources;
use crate::transfer::tally::Tally;

/// What became of a job.
pub enum Step {
    /// None waits.
    Nothing,
    /// It is in place on the peer's disk.
    Sent(Tally),
    /// It is not sent before the user says so again.
    Stopped(Error),
}

/// Sends what waits first, if anything does. Errors are those that another try may not have.
pub fn send_next(own: &Own, peer: &Peer) -> Result<Step> {
    let waiting = own.read_queued_files(&peer.key).waiting()?;
    let Some(job) = waiting.first() else { return Ok(Step::Nothing) };
    if let Some(stop) = job.change() {
        let what = match &stop {
            Stop::Changed { path, what } => format!("{}: {what}", path.display()),
            Stop::Refused(why) => why.clone(),
        };
        return stopped(own, peer, job, stop, Error::failed(format!("not sent to {}: {what}", peer.name)));
    }
    let sent = sources(job).and_then(|sources| {
        let tally = Tally::new(sources.manifest(), false);
        outbound::send(own, peer, &sources, outbound::usual_streams(), &tally).map(|_| (sources, tally))
    });
    match sent {
        Ok((sources, tally)) => {
            own.history(&peer.key)?.store_files(false, &sources.manifest().sizes_of_tops())?;
            own.queued_files(&peer.key)?.settle(job.number, &Outcome::Sent)?;
            Ok(Step::Sent(tally))
        }
        Err(error @ (Error::Source { .. } | Error::Refused { .. } | Error::Failed { .. })) => {
            stopped(own, peer, job, Stop::Refused(error.to_string()), error)
        }
        Err(error) => Err(error),
    }
}

fn stopped(own: &Own, peer: &Peer, job: &Job, stop: Stop, error: Error) -> Result<Step> {
    own.queued_files(&peer.key)?.settle(job.number, &Outcome::Stopped(stop))?;
    Ok(Step::Stopped(error))
}

fn sources(job: &Job) -> Result<Sources> {
    match &job.items[..] {
        [one] if one.name.is_some() => Sources::choose_as(&one.path, one.name.as_deref().unwrap_or_default()),
        items => {
            let paths: Vec<PathBuf> = items.iter().map(|item| item.path.clone()).collect();
            Sources::choose(&paths)
        }
    }
}

/// Sends until nothing waits; says how many jobs. For when no node runs.
pub fn send_all(own: &Own, peer: &Peer) -> Result<usize> {
    let mut sent = 0;
    loop {
        match send_next(own, peer)? {
            Step::Nothing => return Ok(sent),
            Step::Sent(_) => sent += 1,
            Step::Stopped(error) => own.report(&error.to_string()),
        }
    }
}

/// The node's thread for the files of one peer, until nothing waits.
pub fn run(shared: &Arc<Shared>, contact: &Contact, _turn: &FilesTurn) {
    let mut backoff = Backoff::default();
    let mut seen = contact.news();
    while let Some(peer) = contact.peer().filter(|peer| !peer.is_blocked()) {
        let is_news = backoff.is_new();
        match send_next(shared.own(), &peer) {
            Ok(Step::Nothing) => return,
            Ok(Step::Sent(tally)) => {
                backoff = Backoff::default();
                let bytes = tally.held() + tally.moved();
                shared.tell(Event::FilesSent { peer: peer.name, title: tally.title, bytes });
                shared.doorbell().ring_back();
            }
            Ok(Step::Stopped(error)) => shared.tell(Event::Trouble(error)),
            Err(error) => {
                let pause = backoff.pause();
                attempts::note(shared.own().home(), &peer.key, &error.to_string(), pause);
                if is_news {
                    shared.trouble(error);
                }
                contact.wait_for_news(&mut seen, pause);
            }
        }
    }
}
