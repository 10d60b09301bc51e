//! Files that a peer sends to this node: whether they are taken, where they land, and what is told of them. It leaves
//! out the bytes: see `transfer`.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::session::{PING_AFTER, Session};
use crate::node::context::Context;
use crate::node::door::limits::ENOUGH_FILES;
use crate::node::event::{Decision, NodeEvent, Offered};
use crate::node::files::begun;
use crate::node::files::collect_lanes;
use crate::node::files::pipe::StdoutPipe;
use crate::node::files::transfers::{IncomingTransfer, Turn};
use crate::node::live::TransferGuard;
use crate::node::options::FilesTo;
use crate::node::room;
use crate::store::history::History;
use crate::store::home::Home;
use crate::store::partial::{self, Done, Partial};
use crate::store::peers::{FilesPolicy, Peer};
use crate::store::place;
use crate::store::space::{self, KeepFree, Usage};
use crate::store::staged;
use crate::text;
use crate::time;
use crate::transfer::landing::{Landing, Place, Received, Taken};
use crate::transfer::path::{NameList, count_of_names};
use crate::transfer::policy::{DeclineReason, Rules, Verdict};
use crate::transfer::receive::{self, Inbound, Offer};
use crate::transfer::seal;
use crate::transfer::staging::{MAX_CHUNKS, Staging};
use crate::transfer::stream::{self, FileSink, Sink};
use crate::transfer::tally::Tally;
use crate::wire::control;
use crate::wire::message::{CHUNK, Declined, Failure, Message, Refusal, UNKNOWN};

/// How often the connection is checked while the user decides: the sender may hang up.
const HANG_UP_POLL: Duration = Duration::from_secs(1);
/// How long the user has to answer an offer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// A stream asks how much room there is again when it has filled this part of it: others fill the disk as well.
const ASK_AFTER_PART: u64 = 16;
/// Of the files that a file system can have, one in so many stays free.
const KEPT_ENTRIES: u64 = 20;
/// How long the sender has for its goodbye. Without one, assume that it has not heard that all is in place.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

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

/// What becomes of an offer.
enum OfferResponse {
    Take {
        dir: PathBuf,
        limit: u64,
        /// The user was asked.
        is_accepted: bool,
    },
    /// What the sender is told, and what is told here.
    Decline(Declined, &'static str),
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
        return take_into_pipe(context, session, peer, &offer, pipe, turn);
    }
    let default_dir = match &context.options().files_to {
        FilesTo::Flat(dir) => dir.clone(),
        _ => peer.downloads_dir().unwrap_or_else(|| context.options().landing(name)),
    };
    // Ahead of all that looks at what is there.
    if let Err(error) = place::check_way(context.own().home(), &default_dir) {
        return Err(declined_by_disk(session, error));
    }
    // Ahead of the rules: what is there already takes no room, and need not be asked about again.
    let id = offer.id.at(&default_dir);
    let new = announce(context, session, turn, &offer, &id)?;
    let Some(session) = new else { return Ok(()) };
    let mut session = rule_once(context, session, peer, &offer, &id, false)?;
    let response = rule(context, &mut session, peer, &offer, turn, default_dir)?;
    let (dir, limit, is_accepted) = match response {
        OfferResponse::Take { dir, limit, is_accepted } => (dir, limit, is_accepted),
        OfferResponse::Decline(reason, why) => return Err(refuse(session, &offer, reason, why)),
    };
    let session = keep_dots_out(context, session, &offer, &dir)?;
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

/// The rules of a one-off receiver, if this is one; an error if they say no.
fn rule_once(
    context: &Context,
    mut session: Session,
    peer: &Peer,
    offer: &Offer,
    id: &str,
    is_pipe: bool,
) -> Result<Session> {
    let Some(once) = &context.options().once else { return Ok(session) };
    let dots = offer.manifest.dot_names();
    if !is_pipe && !once.allow_dot && !dots.is_empty() {
        let reason = Declined::DotNames.told_to(session.features());
        let mut list = NameList::default();
        dots.iter()
            .for_each(|(name, is_dir)| list.note(name, &if *is_dir { "a directory" } else { "a file" }));
        let why = format!("names at the top begin with a dot, which --allow-dot takes:{list}");
        return Err(refuse(session, offer, reason, &why));
    }
    if once.has_accepted(id) {
        return Ok(session);
    }
    if !once.may_offer(&peer.key, id) {
        let why = "its link is that of an earlier `egoat receive`, and good for what came in part into its directory";
        return Err(refuse(session, offer, Declined::Asked, why));
    }
    let (answer, decided) = mpsc::sync_channel(1);
    let tops = offer.manifest.tops().into_iter();
    context.tell(NodeEvent::Offered(Offered {
        peer: peer.name.clone(),
        fingerprint: peer.key.fingerprint(),
        tops: tops.map(|(name, is_dir, bytes)| (name.to_owned(), is_dir, bytes)).collect(),
        files: offer.manifest.files() as u64,
        bytes: offer.bytes(),
        dots: offer.manifest.dot_note(),
        answer,
    }));
    match await_answer(&mut session, &decided)? {
        Some(Decision::Accept { .. }) => once.accept(id),
        answered @ (Some(Decision::Refuse) | None) => {
            let why = if answered.is_some() { YOU } else { NOBODY };
            let answered = refuse(session, offer, Declined::Asked, why);
            // That was the user's last word, so nobody is waited for.
            return Err(match answered {
                Error::Declined { what } => Error::failed(what),
                lost => lost,
            });
        }
    }
    Ok(session)
}

/// Nothing lands in the user's home directory, for whatever reason, that shells and other programs there would obey.
fn keep_dots_out(context: &Context, session: Session, offer: &Offer, dir: &Path) -> Result<Session> {
    let is_allowed = context.options().once.as_ref().is_some_and(|once| once.allow_dot);
    if is_allowed || offer.manifest.dot_names().is_empty() || !place::is_user_home(dir) {
        return Ok(session);
    }
    let why = format!("{} is your home directory, and {}", dir.display(), offer.manifest.dot_note());
    let reason = Declined::DotNames.told_to(session.features());
    Err(refuse(session, offer, reason, &why))
}

/// Says no; gives what the user is told.
fn refuse(session: Session, offer: &Offer, reason: Declined, why: &str) -> Error {
    let what = format!("{} offered {}, which was refused: {why}", session.label(), offer.manifest.title());
    session.finish(&Message::Decline(reason)).err().unwrap_or(Error::Declined { what })
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
        Ok(Some((note, paths))) => say_again(context, session, offer, &note, paths).map(|()| None),
        Err(error) => Err(declined_by_disk(session, error)),
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
        return Err(declined_by_disk(session, error));
    }
    // What they have put there may look as if everything were here already.
    note.avoid_others();
    if let Some(reason) = no_room(context, &offer, &note, turn) {
        let what = format!("{} offered {}, for which there is no room", session.label(), note.title);
        session.finish(&Message::Decline(reason))?;
        return Err(Error::Declined { what });
    }
    let place = Place { dir: note.dir.clone(), overwrite };
    if let Some(taken) = place.taken_by_another_kind(&offer.manifest) {
        return declined_by_name(session, &note.title, &taken);
    }
    let place_shown = note.dir.display().to_string();
    let landing = match Landing::open(home, place, note) {
        Ok(Some(landing)) => landing,
        Ok(None) => return session.finish(&Message::Bye),
        Err(error) => return Err(declined_by_disk(session, error)),
    };
    let is_guest = context.options().once.as_ref().is_some_and(|once| once.is_passing(&landing.peer()));
    let wanted = if is_guest { offer.manifest.without_programs() } else { offer.manifest };
    let mut waiting = WaitingSender::new(&mut session);
    let (manifest, changed) = match landing.fit(wanted, &mut || waiting.look()) {
        Ok(fitted) => fitted,
        Err(error) => {
            landing.discard_if_new();
            return Err(declined_by_disk(session, error));
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

/// What is there of another kind is not replaced, and it is early enough to say so.
fn declined_by_name(session: Session, title: &str, taken: &Taken) -> Result<()> {
    let path = taken.path.display();
    let (reason, why) = match taken.by_directory {
        true => (Declined::IsDirectory, format!("{path} is a directory, and would be replaced by a file")),
        false => (Declined::IsFile, format!("{path} is no directory, and would be replaced by one")),
    };
    let error =
        Error::Declined { what: format!("{} offered {title}, which was refused: {why}", session.label()) };
    let reason = reason.told_to(session.features());
    session.finish(&Message::Decline(reason)).and(Err(error))
}

fn declined_by_disk(session: Session, error: Error) -> Error {
    // The sender has gone meanwhile.
    if matches!(error, Error::Lost { .. } | Error::Protocol { .. }) {
        return error;
    }
    let reason = match receive::failure(&error) {
        Some(Failure::Full) => Declined::Full,
        Some(Failure::OpenFiles) => Declined::OpenFiles,
        _ => Declined::Disk,
    };
    let reason = reason.told_to(session.features());
    session.finish(&Message::Decline(reason)).err().unwrap_or(error)
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

/// Judges an offer by the rules for its sender; the user is asked where they say so and there is one to ask. A yes holds
/// until all is here.
fn rule(
    context: &Context,
    session: &mut Session,
    peer: &Peer,
    offer: &Offer,
    turn: &Turn,
    dir: PathBuf,
) -> Result<OfferResponse> {
    let options = context.options();
    let Some(max_bytes) = options.max_bytes else {
        return Ok(OfferResponse::Take { dir, limit: u64::MAX, is_accepted: false });
    };
    let (rules, home) = (Rules::of(peer, max_bytes), context.own().home());
    let begun = begun::find(home, peer, &offer.id, &dir);
    let is_accepted = begun.as_ref().is_some_and(|begun| begun.is_accepted);
    let place = begun.as_ref().map_or_else(|| dir.clone(), |begun| begun.dir.clone());
    // Elsewhere no quota holds.
    let elsewhere = |dir| OfferResponse::Take { dir, limit: u64::MAX, is_accepted: true };
    if is_accepted && place != dir && peer.files() != Some(FilesPolicy::Refuse) {
        return Ok(elsewhere(place));
    }
    let decision = match weigh(home, &rules, offer, peer, &dir, turn, false) {
        (Verdict::Accept, limit) => return Ok(OfferResponse::Take { dir, limit, is_accepted }),
        (Verdict::Refuse(reason), _) => return Ok(decline(reason)),
        (Verdict::Ask, _) if is_accepted => Some(Decision::Accept { dir: None }),
        (Verdict::Ask, _) => ask(context, session, peer, offer, &place, begun.as_ref())?,
    };
    Ok(match decision {
        None => decline(rules.unanswered()),
        Some(Decision::Refuse) => OfferResponse::Decline(Declined::Asked, YOU),
        Some(Decision::Accept { dir: chosen }) => match chosen.unwrap_or(place) {
            other if other != dir => elsewhere(other),
            // Another one may have been taken meanwhile.
            _ => match weigh(home, &rules, offer, peer, &dir, turn, true) {
                (Verdict::Refuse(reason), _) => decline(reason),
                (_, limit) => OfferResponse::Take { dir, limit, is_accepted: true },
            },
        },
    })
}

/// The verdict, and the most bytes of a stream. What is to be taken is promised its room in the folder, if that has a
/// quota: all that is under way at once is to stay within it.
fn weigh(
    home: &Home,
    rules: &Rules,
    offer: &Offer,
    peer: &Peer,
    dir: &Path,
    turn: &Turn,
    is_wanted: bool,
) -> (Verdict, u64) {
    let limit = |used| if is_wanted { rules.room(used) } else { rules.limit(used) };
    if peer.quota().is_none() || peer.files() == Some(FilesPolicy::Refuse) {
        return (rules.judge(offer.bytes(), || 0), limit(0));
    }
    let _alone = turn.weigh();
    let id = offer.id.at(dir);
    let staged = |id: &str| partial::staged(home, dir, id).weight();
    // What an earlier try of the same left is counted as if it were not there.
    let others = space::used(dir).weight().saturating_sub(staged(&id));
    let entries = Usage { bytes: 0, ..offer.manifest.usage() }.weight();
    let used = others.saturating_add(turn.promised_beside(dir, &id, staged)).saturating_add(entries);
    let verdict = rules.judge(offer.bytes(), || used);
    if verdict == Verdict::Accept || (verdict == Verdict::Ask && is_wanted) {
        turn.promise(dir, &id, offer.bytes().unwrap_or(limit(used)).saturating_add(entries));
    }
    (verdict, limit(used))
}

/// Why nothing is taken where somebody was asked.
const NOBODY: &str = "nobody said yes";
const YOU: &str = "you said no";

/// What becomes of an offer that a rule refuses.
fn decline(reason: DeclineReason) -> OfferResponse {
    let (reason, why) = match reason {
        DeclineReason::Asked => (Declined::Asked, NOBODY),
        DeclineReason::Policy => (Declined::Policy, "files=refuse of `egoat peers set`"),
        DeclineReason::TooLarge => {
            (Declined::TooLarge, "it is more than --max-file, or max-file= of `egoat peers set`, allows")
        }
        DeclineReason::Quota => {
            (Declined::Quota, "their files would be more than quota= of `egoat peers set` allows")
        }
    };
    OfferResponse::Decline(reason, why)
}

/// Shows the offer to front-ends, and waits for an answer; `None` when nobody is there to answer. The files go to `place`
/// unless the user names another; `begun` is what an earlier try has left there.
fn ask(
    context: &Context,
    session: &mut Session,
    peer: &Peer,
    offer: &Offer,
    place: &Path,
    begun: Option<&Partial>,
) -> Result<Option<Decision>> {
    let shown = control::PendingOffer {
        number: 0,
        peer: peer.name.clone(),
        title: offer.manifest.title(),
        files: offer.manifest.files() as u64,
        bytes: offer.bytes().unwrap_or(control::UNKNOWN),
        until: time::now_micros() / 1_000_000 + ANSWER_TIMEOUT.as_secs(),
        dots: offer.manifest.dot_note(),
        held: begun.and_then(|begun| begun.held(CHUNK as u64)).map_or(0, |(held, _)| held),
        place: text::clean_line(&place.to_string_lossy()),
    };
    context.live().wait_for_asker();
    let Some((decided, _asked)) = context.live().offer(shown) else { return Ok(None) };
    await_answer(session, &decided)
}

/// Waits for the user's answer. Signs of life keep the sender waiting.
fn await_answer(session: &mut Session, decided: &Receiver<Decision>) -> Result<Option<Decision>> {
    let asked = Instant::now();
    let mut sender = WaitingSender::new(session);
    loop {
        match decided.recv_timeout(HANG_UP_POLL) {
            Ok(decision) => return Ok(Some(decision)),
            // The last front-end has left the question open: the sender may come again.
            Err(RecvTimeoutError::Disconnected) => return Err(Error::failed("nobody is here to answer")),
            Err(RecvTimeoutError::Timeout) if asked.elapsed() > ANSWER_TIMEOUT => {
                return Ok(Some(Decision::Refuse));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        sender.look()?;
    }
}

/// A sender that waits for the answer to its offer.
struct WaitingSender<'a> {
    session: &'a mut Session,
    looked: Instant,
    last_sent: Instant,
}

impl WaitingSender<'_> {
    fn new(session: &mut Session) -> WaitingSender<'_> {
        WaitingSender { session, looked: Instant::now(), last_sent: Instant::now() }
    }

    /// An error if it is gone. Signs of life keep it waiting. Looks once in a while, however often this is called.
    fn look(&mut self) -> Result<()> {
        if self.looked.elapsed() < HANG_UP_POLL {
            return Ok(());
        }
        self.looked = Instant::now();
        if self.session.has_input()? {
            // It has nothing to say now: it went.
            let kind = self.session.read("waiting for an answer")?.kind();
            return Err(self.session.unexpected(kind, "waiting for an answer"));
        }
        if self.last_sent.elapsed() >= PING_AFTER {
            self.session.send(&Message::Ping)?;
            self.last_sent = Instant::now();
        }
        Ok(())
    }
}

fn no_room(context: &Context, offer: &Offer, note: &Partial, turn: &Turn) -> Option<Declined> {
    if offer.manifest.chunks() > MAX_CHUNKS {
        return Some(Declined::TooLarge);
    }
    has_no_entries(offer, note, turn).or_else(|| has_no_bytes(context, offer, note, turn))
}

/// A file system without inodes takes no file of anybody, however much room it has. So some stay free, whatever the peer
/// may send.
fn has_no_entries(offer: &Offer, note: &Partial, turn: &Turn) -> Option<Declined> {
    let _alone = turn.weigh();
    // Ahead of what is free: what others make meanwhile counts twice then, rather than not at all.
    let others = turn.entries_beside(&note.dir);
    let (total, free) = space::entry_limits(&note.dir)?;
    let count = offer.manifest.usage().entries;
    let wanted = count.saturating_sub(note.usage().entries).saturating_add(others);
    if wanted.saturating_add(total / KEPT_ENTRIES) > free {
        return Some(Declined::Full);
    }
    turn.take_entries(note.clone(), count);
    None
}

fn has_no_bytes(context: &Context, offer: &Offer, note: &Partial, turn: &Turn) -> Option<Declined> {
    let (home, keep_free) = (context.own().home(), context.options().keep_free);
    // By the map: a file with holes is longer than what it fills. Of a stream, nobody knows yet what else is to come.
    let held = note.held(CHUNK as u64).map_or(0, |(held, _)| held);
    let bytes = offer.bytes().map_or(0, |bytes| bytes.saturating_sub(held));
    if held > 0 && offer.bytes().is_some_and(|bytes| bytes <= held) {
        return None;
    }
    let noted = noted_at_home(offer, &note.dir);
    let is_at_home = space::disk_id(home.dir()) == space::disk_id(&note.dir);
    if !is_at_home && keep_free.room(home.dir()).is_some_and(|room| noted > room) {
        return Some(Declined::Full);
    }
    let room = keep_free.room(&note.dir)?;
    let staged = partial::staged(home, &note.dir, &note.id).entries;
    let entries = offer.manifest.usage().entries.saturating_sub(staged);
    let names = Usage { bytes: 0, entries }.weight().saturating_add(if is_at_home { noted } else { 0 });
    (!turn.take_room(&note.dir, bytes.saturating_add(names), room)).then_some(Declined::Full)
}

/// What each path at the top costs in the note of a transfer and in the history, beside its bytes.
const PER_NOTED_PATH: u64 = 256;

/// About what the home notes of a transfer: where all that is at the top has landed, in the note of the transfer, which escapes
/// what is not ASCII, and in the history.
fn noted_at_home(offer: &Offer, dir: &Path) -> u64 {
    let length = |name: &str| staged::escape(Path::new(name)).len() + dir.as_os_str().len() + name.len();
    offer.manifest.tops().iter().map(|(name, ..)| length(name) as u64 + PER_NOTED_PATH).sum()
}

/// A stream on its way to a disk of which some room is kept free: it says how long it is when it is there.
struct StreamRoom<'a> {
    sink: &'a mut FileSink,
    dir: &'a Path,
    keep_free: KeepFree,
    turn: &'a Turn,
    /// Bytes that may come before the system is asked again.
    left: u64,
}

impl Sink for StreamRoom<'_> {
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        if length > self.left {
            let room = self.keep_free.room(self.dir).unwrap_or(u64::MAX);
            let room = room.saturating_sub(self.turn.expected_beside(self.dir));
            if length > room {
                return Err(room::short_of(self.dir));
            }
            self.left = (room / ASK_AFTER_PART).max(length);
        }
        self.left -= length;
        self.sink.write(at, bytes)
    }

    fn store(&mut self, end: u64) -> Result<()> {
        self.sink.store(end)
    }
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
    let running = begin(context, &session, &offer, turn);
    let tally = Arc::clone(&running.tally);
    let staging = match Staging::new(landing, offer.manifest) {
        Ok(staging) => staging,
        Err(error) => return Err(declined_by_disk(session, error)),
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
            note(context, &session, &received)?;
            drop(running);
            say_stored(context, session, || incoming.inbound.staging().landing().forget())
        }
        Err(error) => {
            if matches!(error, Error::Stopped) {
                context.logged(incoming.inbound.staging().landing().take_back_yes())?;
            }
            // Two names that this file system takes for one: no other try would help.
            if matches!(&error, Error::Disk { cause, .. } if cause.kind() == io::ErrorKind::AlreadyExists) {
                incoming.inbound.staging().landing().discard();
            }
            Err(failed(session, error))
        }
    }
}

/// Tells the sender what happened here, unless it is the connection that failed.
fn failed(session: Session, error: Error) -> Error {
    let Some(failure) = receive::failure(&error) else { return error };
    let told = failure.told_to(session.features());
    // If it cannot be told, it knows that the connection is lost.
    let _ = session.finish(&Message::Failed(told));
    error
}

fn take_stream(
    context: &Arc<Context>,
    mut session: Session,
    offer: &Offer,
    landing: Landing,
    limit: u64,
    turn: &Turn,
) -> Result<()> {
    let running = begin(context, &session, offer, turn);
    let [entry] = offer.manifest.entries() else { return Err(session.broken("a stream of several files")) };
    let (mut sink, from) = match FileSink::new(landing, entry) {
        Ok(made) => made,
        Err(error) => return Err(declined_by_disk(session, error)),
    };
    let dir = sink.landing().dir().to_owned();
    let keep_free = context.options().keep_free;
    let mut room = StreamRoom { sink: &mut sink, dir: &dir, keep_free, turn, left: 0 };
    let result = stream::receive(&mut session, &mut room, from, limit, &running.tally)
        .and_then(|size| size.map(|size| sink.publish(&offer.manifest, size)).transpose());
    turn.end_promise();
    match result {
        Ok(Some(received)) => {
            note(context, &session, &[received])?;
            drop(running);
            say_stored(context, session, || sink.landing().forget())
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
            Err(failed(session, error))
        }
    }
}

fn take_into_pipe(
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
    let mut session = rule_once(context, session, peer, offer, &id, true)?;
    let running = begin(context, &session, offer, turn);
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
            note(context, &session, &[Received { path: PathBuf::from(title), size }])?;
            drop(running);
            say_stored(context, session, || Ok(()))
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
        error => failed(session, error),
    }
}

/// A transfer that comes in, until this is dropped.
struct ActiveTransfer {
    tally: Arc<Tally>,
    _shown: TransferGuard,
}

impl Drop for ActiveTransfer {
    fn drop(&mut self) {
        self.tally.end();
    }
}

/// Tells that a transfer comes in.
fn begin(context: &Context, session: &Session, offer: &Offer, turn: &Turn) -> ActiveTransfer {
    let tally = Arc::new(Tally::new(&offer.manifest, offer.is_stream));
    turn.follow(&tally);
    let (peer, address) = (session.label().to_owned(), session.remote_address());
    let shown = context.live().begin(&peer, false, None, &tally);
    context.tell(NodeEvent::TransferBegan { peer, address, tally: Arc::clone(&tally) });
    ActiveTransfer { tally, _shown: shown }
}

/// Notes what is in place in the history, and tells of it.
fn note(context: &Context, session: &Session, received: &[Received]) -> Result<()> {
    let files: Vec<(u64, String)> =
        received.iter().map(|one| (one.size, one.path.to_string_lossy().into_owned())).collect();
    // Of a guest nothing stays.
    if !context.options().once.as_ref().is_some_and(|once| once.is_passing(&session.peer())) {
        let mut history = context.logged(context.own().history(session.peer().into()))?;
        context.logged(history.store_files_received(&files))?;
    }
    for Received { path, size } in received {
        context.tell(NodeEvent::File { peer: session.label().to_owned(), path: path.clone(), size: *size });
    }
    context.ring_arrival(&session.peer());
    Ok(())
}

/// The sender learns that all is in place, and does not wait for what is done here after that: by then, nobody sees the
/// transfer any more. `forget` is called once it has said goodbye. If it has not, it asks again.
fn say_stored(context: &Context, mut session: Session, forget: impl FnOnce() -> Result<()>) -> Result<()> {
    let peer = session.label().to_owned();
    let sent = session.send_last(&Message::Stored);
    session.skip_ignorable(true);
    session.set_deadline(Some(Deadline::after(GOODBYE_TIMEOUT)));
    let answered = sent.and_then(|()| {
        session.read_as("waiting for its goodbye", |message| (message == Message::Bye).then_some(()))
    });
    if answered.is_ok() {
        forget()?;
    }
    // If this is lost, the files are in place all the same, and that is what is told here.
    context.tell(NodeEvent::TransferDone { peer });
    Ok(())
}

/// The same of what came with an earlier try, which may have ended before it was in the history.
fn say_again(
    context: &Context,
    session: Session,
    offer: &Offer,
    done: &Partial,
    paths: Vec<PathBuf>,
) -> Result<()> {
    let home = context.own().home();
    let known = known_since(context, &session, done)?;
    let tops = offer.manifest.tops().into_iter().map(|(_, _, size)| size);
    let received = paths.into_iter().zip(tops).map(|(path, size)| Received {
        size: if offer.is_stream { fs::metadata(&path).map_or(0, |data| data.len()) } else { size },
        path,
    });
    let new: Vec<Received> =
        received.filter(|one| !known.contains(one.path.to_string_lossy().as_ref())).collect();
    if !new.is_empty() {
        note(context, &session, &new)?;
    }
    // What an earlier try may have left of its folder: nobody is to see that once the sender knows. What cannot be removed
    // is tried again then.
    let _ = done.remove_data();
    say_stored(context, session, || done.remove(home).map(drop))
}

/// Files that are in the history since all of a transfer was noted to be in place.
fn known_since(context: &Context, session: &Session, done: &Partial) -> Result<HashSet<String>> {
    let own = context.own();
    let since = done.noted(own.home()).map_or(0, time::micros);
    History::files_since(own.read_history(session.peer().into()), since)
}
