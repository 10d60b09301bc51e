//! A transfer whose one file goes to stdout: the offer and the end of it. It leaves out what has gone to stdout so far: see
//! `pipe`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::net::session::Session;
use crate::node::context::Context;
use crate::node::files::arrival;
use crate::node::files::pipe::StdoutPipe;
use crate::node::files::transfers::Turn;
use crate::node::files::verdict;
use crate::store::peers::Peer;
use crate::transfer::landing::Received;
use crate::transfer::receive::Offer;
use crate::transfer::stream;
use crate::wire::message::{Declined, Failure, Message};

/// Takes the one file that is offered, from where stdout has got to in it.
pub fn take(
    context: &Arc<Context>,
    session: Session,
    peer: &Peer,
    offer: &Offer,
    mut pipe: &StdoutPipe,
    turn: &Turn,
) -> Result<()> {
    if offer.manifest.entries().len() != 1 || offer.manifest.files() != 1 {
        return Err(declined_by_pipe(session, Declined::OneFile, "more than one file"));
    }
    let id = offer.id.at(Path::new("-"));
    let mut session = verdict::rule_once(context, session, peer, offer, &id, true)?;
    let running = arrival::begin(context, &session, offer, turn);
    // What came before the last connection was lost may still be on its way to the reader.
    if let Err(error) = stream::wait_for(&mut session, &mut pipe) {
        return Err(failed_pipe(session, error));
    }
    let Some(from) = pipe.begin(id) else {
        return Err(declined_by_pipe(session, Declined::Gone, "something else than it began with"));
    };
    match stream::receive(&mut session, &mut pipe, from, u64::MAX, &running.tally) {
        Ok(size) => {
            let size = size.unwrap_or(u64::MAX);
            let title = offer.manifest.title();
            arrival::note(context, &session, &[Received { path: PathBuf::from(title), size }])?;
            drop(running);
            arrival::say_stored(context, session, || Ok(()))
        }
        Err(error) => Err(failed_pipe(session, error)),
    }
}

fn declined_by_pipe(session: Session, reason: Declined, what: &str) -> Error {
    let error = Error::Declined { what: format!("{} offered {what}, and was refused", session.label()) };
    match session.finish(&Message::Decline(reason)) {
        Ok(()) => error,
        Err(lost) => lost,
    }
}

fn failed_pipe(session: Session, error: Error) -> Error {
    match error {
        Error::Disk { cause, .. } if cause.kind() == io::ErrorKind::BrokenPipe => {
            // As in `failed`.
            let _ = session.finish(&Message::Failed(Failure::Closed));
            Error::failed("what reads the output has closed it")
        }
        error => arrival::failed(session, error),
    }
}
