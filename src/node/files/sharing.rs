//! The acceptor's part of a session of kind GET (egoat-protocol(7)): tells a peer what is shared with it, and sends a share.
//! It leaves out who may fetch what (`shares`), and the transfer (`outbound`).

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::net::session::Session;
use crate::node::context::Context;
use crate::node::event::NodeEvent;
use crate::node::files::once_sent::note_sent;
use crate::node::files::outbound::{self, Outgoing};
use crate::node::files::shares::Fetching;
use crate::store::home::Home;
use crate::store::own_files::OwnFiles;
use crate::store::peers::Peer;
use crate::store::shares::Share;
use crate::time::now_micros;
use crate::transfer::source::{Sources, Wanted};
use crate::transfer::tally::Tally;
use crate::wire::message::{Failure, Message};
use crate::wire::shares;

/// Somebody with a link for whom nothing moves for this long makes room for others, however many PINGs come: twice as long as a
/// user may think about an offer.
const GUEST_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Serves somebody with a link, who is welcome.
pub fn serve_guest(context: &Context, mut session: Session, fetching: &Fetching) -> Result<()> {
    let fingerprint = session.peer().fingerprint();
    // Nobody knows the key from elsewhere: no more of it than tells two at once apart.
    session.set_label(&format!("getter-{}", &fingerprint[..4]));
    session.accept()?;
    session.flush()?;
    send(context, session, fetching, None)
}

/// Serves a peer: it hears what is shared with it, and says what it wants of that.
pub fn serve_peer(context: &Context, mut session: Session, peer: &Peer) -> Result<()> {
    let told = context.shares().told_to(&peer.key)?;
    session.accept()?;
    for body in shares::encode(&told) {
        session.write(&Message::Shares(&body))?;
    }
    session.flush()?;
    let wanted = session.read_as("waiting to hear what it wants", |message| match message {
        Message::Want(body) => Some(shares::decode_wanted(body)),
        _ => None,
    })?;
    let wanted = wanted.map_err(|malformed| session.broken(format!("{} in WANT", malformed.0)))?;
    let Some(id) = wanted else {
        return session.read_as("waiting for its goodbye", |message| (message == Message::Bye).then_some(()));
    };
    match context.shares().fetch(&id, peer.key)? {
        Some(fetching) => send(context, session, &fetching, Some(peer)),
        None => session.finish(&Message::Bye),
    }
}

/// Sends the share, as it was when it was shared, and tells of it. It goes to a peer, or to nobody in particular.
fn send(context: &Context, session: Session, fetching: &Fetching, peer: Option<&Peer>) -> Result<()> {
    let (own, share) = (context.own(), &fetching.share);
    let sources = match sources_of(own.home(), share) {
        Ok(sources) => Arc::new(sources),
        Err(why) => {
            let (who, name) = (session.label().to_owned(), share.name());
            session.finish(&Message::Failed(Failure::Source))?;
            return Err(Error::failed(format!(
                "{who} could not fetch {name}: {why}; share it again as it is now"
            )));
        }
    };
    let (label, tally) = (session.label().to_owned(), Arc::new(Tally::new(sources.manifest(), false)));
    let _shown = context.live().begin(&label, true, None, &tally);
    context.tell(NodeEvent::Fetching { peer: label.clone(), tally: Arc::clone(&tally) });
    let is_unwelcome =
        || peer.is_some_and(|peer| context.roster().get(&peer.key).is_none_or(|one| !one.is_welcome()));
    let mut note = || {
        let listing = || sources.manifest().listing();
        peer.map_or(Ok(()), |peer| note_sent(own, peer, now_micros(), &listing()))?;
        fetching.use_up()
    };
    // The lanes are the dialler's, as where a peer collects.
    let outgoing = Outgoing::collected(session, Arc::clone(context.lanes()), mpsc::channel().0);
    let streams = outbound::default_streams();
    let mut standstill = Standstill::new(Instant::now());
    let mut is_unwanted = || {
        let moved = || tally.checked() + tally.moved();
        fetching.is_stopped()
            || is_unwelcome()
            || (peer.is_none() && standstill.is_too_long(moved(), Instant::now()))
    };
    let sent = outbound::send_unless(&mut is_unwanted, outgoing, &sources, streams, &tally, &mut note);
    match context.logged(sent) {
        Ok(()) => {
            let bytes = tally.held() + tally.moved();
            context.tell(NodeEvent::FilesSent { peer: label, title: tally.title.clone(), bytes });
            context.live().look();
        }
        Err(_) if standstill.has_ended_it => {
            let error = Error::failed(format!("nothing of it has moved to {label} for half an hour"));
            context.tell(NodeEvent::TransferFailed { peer: label, error });
        }
        // A user here has stopped the transfer or the share, and knows.
        Err(_) if tally.check_stop().is_err() => {}
        Err(error) => context.tell(NodeEvent::TransferFailed { peer: label, error }),
    }
    Ok(())
}

/// A transfer in which nothing moves.
struct Standstill {
    /// How much had moved, and since when that is all.
    moved: (u64, Instant),
    has_ended_it: bool,
}

impl Standstill {
    fn new(now: Instant) -> Standstill {
        Standstill { moved: (0, now), has_ended_it: false }
    }

    fn is_too_long(&mut self, moved: u64, now: Instant) -> bool {
        if self.moved.0 != moved {
            self.moved = (moved, now);
        }
        self.has_ended_it = now.duration_since(self.moved.1) >= GUEST_PATIENCE;
        self.has_ended_it
    }
}

/// The files of a share, if they are what they were when it was made; else why not.
fn sources_of(home: &Home, share: &Share) -> std::result::Result<Sources, String> {
    let own = OwnFiles::of(home).map_err(|error| error.to_string())?;
    let wanted: Vec<Wanted> = share.items.iter().map(Wanted::item).collect();
    let sources = Sources::choose(&wanted, &own);
    // Looked at after they were chosen: whatever had changed by then shows now, and whatever changes later when it is read.
    match share.change(&own) {
        Some(change) => Err(change),
        None => sources.map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_moves_something_now_and_then_is_not_sent_away() {
        let begun = Instant::now();
        let mut standstill = Standstill::new(begun);
        let at = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        for (moved, minutes, is_too_long) in
            [(0, 29, false), (1, 31, false), (1, 60, false), (2, 61, false), (2, 90, false), (2, 91, true)]
        {
            assert_eq!(standstill.is_too_long(moved, at(minutes)), is_too_long, "{minutes}");
        }
    }
}
