//! Files that a peer sends to this node, from its offer to the end: who has a turn, what was here before, where they land. It
//! leaves out whether they are taken (`verdict`), what is told of them (`arrival`), and the bytes: see `transfer`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::net::session::Session;
use crate::node::context::Context;
use crate::node::door::limits::ENOUGH_FILES;
use crate::node::event::NodeEvent;
use crate::node::files::arrival;
use crate::node::files::collect_lanes;
use crate::node::files::into_pipe;
use crate::node::files::room::{self, StreamRoom};
use crate::node::files::transfers::{IncomingTransfer, Turn};
use crate::node::files::verdict::{self, OfferResponse, WaitingSender};
use crate::node::options::FilesTo;
use crate::store::partial::{self, Done, Partial};
use crate::store::peers::Peer;
use crate::store::place;
use crate::text;
use crate::transfer::landing::{Landing, Place};
use crate::transfer::path::count_of_names;
use crate::transfer::receive::{self, Inbound, Offer};
use crate::transfer::seal;
use crate::transfer::staging::Staging;
use crate::transfer::stream::{self, FileSink};
use crate::wire::message::{Failure, Message, Refusal, UNKNOWN};

/// Serves a session of kind FILES.
pub fn serve(context: &Arc<Context>, mut session: Session, peer: &Peer) -> Result<()> {
    if let Some(once) = context.options().once.as_ref().filter(|once| !once.takes_from(&peer.key)) {
        // Both sides read what to do about it.
        once.news_of(peer).into_iter().for_each(|news| context.trouble(Error::failed(news)));
        return session.finish(&Message::Refused(Refusal::Unsupported));
    }
    let Some(turn) = context.transfers().begin(&session, !context.options().has_messages()) else {
        return session.finish(&Message::Refused(Refusal::Busy));
    };
    session.accept()?;
    session.flush()?;
    session.read_early()?;
    receive(context, session, peer, turn);
    Ok(())
}

/// Receives one transfer over a session whose other end sends; returns whether it is in place. A failure is told.
pub fn receive(context: &Arc<Context>, session: Session, peer: &Peer, turn: Turn) -> bool {
    let turn = Arc::new(turn);
    let taken = take(context, session, peer, &turn);
    let is_taken = matches!(taken, Ok(true));
    if let Err(error) = taken {
        // Told while the turn lasts: ahead of what the next try has to tell.
        context.tell(NodeEvent::TransferFailed { peer: peer.name.clone(), error });
    }
    is_taken
}

/// Takes what is offered; `false` when nothing is.
pub fn take(context: &Arc<Context>, session: Session, peer: &Peer, turn: &Arc<Turn>) -> Result<bool> {
    let offered = receive::read_offer(session, |bytes| turn.may_keep(bytes));
    let taken = match offered {
        Ok(None) => return Ok(false),
        Ok(Some((session, offer))) => take_offered(context, session, peer, offer, turn),
        Err(error) => Err(error),
    };
    taken.map(|()| true).map_err(|error| with_limit(context, error))
}

fn take_offered(
    context: &Arc<Context>,
    session: Session,
    peer: &Peer,
    offer: Offer,
    turn: &Arc<Turn>,
) -> Result<()> {
    let name = &peer.name;
    if let FilesTo::Pipe(pipe) = &context.options().files_to {
        return into_pipe::take(context, session, peer, &offer, pipe, turn);
    }
    let default_dir = match &context.options().files_to {
        FilesTo::Flat(dir) => dir.clone(),
        _ => peer.downloads_dir().unwrap_or_else(|| context.options().landing(name)),
    };
    // Ahead of all that looks at what is there.
    if let Err(error) = place::check_way(context.own().home(), &default_dir) {
        return Err(verdict::declined_by_disk(session, error));
    }
    // Ahead of the rules: what is there already takes no room, and need not be asked about again.
    let id = offer.id.at(&default_dir);
    let new = announce(context, session, turn, &offer, &id)?;
    let Some(session) = new else { return Ok(()) };
    let mut session = verdict::rule_once(context, session, peer, &offer, &id, false)?;
    let response = verdict::rule(context, &mut session, peer, &offer, turn, default_dir)?;
    let (dir, limit, is_accepted) = match response {
        OfferResponse::Take { dir, limit, is_accepted } => (dir, limit, is_accepted),
        OfferResponse::Decline(reason, why) => return Err(verdict::refuse(session, &offer, reason, why)),
    };
    let session = verdict::keep_dots_out(context, session, &offer, &dir)?;
    let id = offer.id.at(&dir);
    let Some(session) = announce(context, session, turn, &offer, &id)? else { return Ok(()) };
    let note = Partial {
        folder: partial::folder_of(context.own().home(), &id),
        id,
        peer: peer.key,
        bytes: offer.bytes().unwrap_or(UNKNOWN),
        title: offer.manifest.title(),
        dir,
        token: context.options().once.as_ref().and_then(|once| once.token_of(&peer.key)),
        is_accepted,
        is_done: false,
    };
    let overwrite = overwrites(context, peer);
    land(context, session, offer, turn, (note, overwrite), limit)
}

/// Whether files of the peer replace those that are there. A one-off receiver does what it was started for.
fn overwrites(context: &Context, peer: &Peer) -> bool {
    let own = context.options();
    peer.overwrite().filter(|_| own.once.is_none()).unwrap_or(own.overwrite)
}

/// Claims the transfer for this session. `None` when that ends the session: another connection receives the same
/// transfer, or an earlier try has completed it.
fn announce(
    context: &Context,
    mut session: Session,
    turn: &Arc<Turn>,
    offer: &Offer,
    id: &str,
) -> Result<Option<Session>> {
    if !turn.claim(id) {
        return session.finish(&Message::Bye).map(|()| None);
    }
    let mut waiting = WaitingSender::new(&mut session);
    match done_before(context, offer, id, &mut || waiting.look()) {
        Ok(None) => Ok(Some(session)),
        Ok(Some((note, paths))) => arrival::say_again(context, session, offer, &note, paths).map(|()| None),
        Err(error) => Err(verdict::declined_by_disk(session, error)),
    }
}

/// Takes what the rules let in, if there is room for it.
fn land(
    context: &Arc<Context>,
    mut session: Session,
    offer: Offer,
    turn: &Arc<Turn>,
    (mut note, overwrite): (Partial, bool),
    limit: u64,
) -> Result<()> {
    let home = context.own().home();
    if let Err(error) = partial::sweep(home, Some(&note)) {
        return Err(verdict::declined_by_disk(session, error));
    }
    // What they have put there may look as if everything were here already.
    note.avoid_others();
    if let Some(reason) = room::lacking(context, &offer, &note, turn) {
        let what = format!("{} offered {}, for which there is no room", session.label(), note.title);
        session.finish(&Message::Decline(reason))?;
        return Err(Error::Declined { what });
    }
    let place = Place { dir: note.dir.clone(), overwrite };
    if let Some(taken) = place.taken_by_another_kind(&offer.manifest) {
        return verdict::declined_by_name(session, &note.title, &taken);
    }
    let place_shown = note.dir.display().to_string();
    let landing = match Landing::open(home, place, note) {
        Ok(Some(landing)) => landing,
        Ok(None) => return session.finish(&Message::Bye),
        Err(error) => return Err(verdict::declined_by_disk(session, error)),
    };
    let is_guest = context.options().once.as_ref().is_some_and(|once| once.is_passing(&landing.peer()));
    let wanted = if is_guest { offer.manifest.without_programs() } else { offer.manifest };
    let mut waiting = WaitingSender::new(&mut session);
    let (manifest, changed) = match landing.fit(wanted, &mut || waiting.look()) {
        Ok(fitted) => fitted,
        Err(error) => {
            landing.discard_if_new();
            return Err(verdict::declined_by_disk(session, error));
        }
    };
    if !changed.is_empty() {
        let (dir, names) = (place_shown, count_of_names(changed.count()));
        context.trouble(Error::failed(format!("{dir} does not hold {names}; here they are:{changed}")));
    }
    let offer = Offer { manifest, ..offer };
    if offer.is_stream {
        take_stream(context, session, &offer, landing, limit, turn)
    } else {
        take_files(context, session, offer, landing, turn)
    }
}

/// The system says that there are too many open files, but not how many there may be.
fn with_limit(context: &Context, error: Error) -> Error {
    if receive::failure(&error) != Some(Failure::OpenFiles) {
        return error;
    }
    let most = context.options().limits.open_files;
    Error::failed(format!(
        "{error}: this process may open {most}, and {ENOUGH_FILES} are needed (`ulimit -n {ENOUGH_FILES}`)"
    ))
}

/// All of it came to its name before, and is there as it came, but the sender has not heard of it. Gives the note, and where
/// it is.
fn done_before(
    context: &Context,
    offer: &Offer,
    id: &str,
    meanwhile: &mut dyn FnMut() -> Result<()>,
) -> Result<Option<(Partial, Vec<PathBuf>)>> {
    let home = context.own().home();
    let Some(note) = Partial::load(home, id)? else { return Ok(None) };
    if !note.is_done && !Landing::resume(home, &note, &offer.manifest, meanwhile)? {
        return Ok(None);
    }
    let Done { paths, seal } = note.done(home)?;
    let is_whole = paths.len() == offer.manifest.tops().len();
    let found = is_whole.then(|| seal::seal(&offer.manifest, |place| paths[place].clone()).ok()).flatten();
    Ok((found.is_some() && found == seal).then_some((note, paths)))
}

fn take_files(
    context: &Arc<Context>,
    mut session: Session,
    offer: Offer,
    landing: Landing,
    turn: &Arc<Turn>,
) -> Result<()> {
    let running = arrival::begin(context, &session, &offer, turn);
    let tally = Arc::clone(&running.tally);
    let staging = match Staging::new(landing, offer.manifest) {
        Ok(staging) => staging,
        Err(error) => return Err(verdict::declined_by_disk(session, error)),
    };
    let incoming = IncomingTransfer::new(Inbound::new(staging, tally), Arc::clone(turn));
    let let_in = |session: &Session| match session.route() {
        None => context.lanes().let_in(session, &incoming),
        Some(route) => collect_lanes::dial_all(context, session, route, &incoming),
    };
    let result = incoming.inbound.run(&mut session, let_in);
    incoming.turn().end_promise();
    match result {
        Ok(received) => {
            arrival::note(context, &session, &received)?;
            drop(running);
            arrival::say_stored(context, session, || incoming.inbound.staging().landing().forget())
        }
        Err(error) => {
            if matches!(error, Error::Stopped) {
                context.logged(incoming.inbound.staging().landing().take_back_yes())?;
            }
            // Two names that this file system takes for one: no other try would help.
            if matches!(&error, Error::Disk { cause, .. } if cause.kind() == io::ErrorKind::AlreadyExists) {
                incoming.inbound.staging().landing().discard();
            }
            Err(arrival::failed(session, error))
        }
    }
}

fn take_stream(
    context: &Arc<Context>,
    mut session: Session,
    offer: &Offer,
    landing: Landing,
    limit: u64,
    turn: &Turn,
) -> Result<()> {
    let running = arrival::begin(context, &session, offer, turn);
    let [entry] = offer.manifest.entries() else { return Err(session.broken("a stream of several files")) };
    let (mut sink, from) = match FileSink::new(landing, entry) {
        Ok(made) => made,
        Err(error) => return Err(verdict::declined_by_disk(session, error)),
    };
    let dir = sink.landing().dir().to_owned();
    let keep_free = context.options().keep_free;
    let mut room = StreamRoom::new(&mut sink, &dir, keep_free, turn);
    let result = stream::receive(&mut session, &mut room, from, limit, &running.tally)
        .and_then(|size| size.map(|size| sink.publish(&offer.manifest, size)).transpose());
    turn.end_promise();
    match result {
        Ok(Some(received)) => {
            arrival::note(context, &session, &[received])?;
            drop(running);
            arrival::say_stored(context, session, || sink.landing().forget())
        }
        Ok(None) => {
            sink.landing().discard();
            let peer = session.label().to_owned();
            session.finish(&Message::Failed(Failure::TooLarge))?;
            Err(Error::failed(format!(
                "the stream of {peer} was longer than the {} allowed",
                text::size(limit)
            )))
        }
        Err(error) => {
            sink.give_up(&error);
            Err(arrival::failed(session, error))
        }
    }
}
