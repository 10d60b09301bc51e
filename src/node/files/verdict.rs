//! Whether what a peer offers is taken: the rules for the peer, those of a one-off receiver, the user's word, and what the
//! sender is told of a no. It leaves out how much room there is: see `room`.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::net::session::{PING_AFTER, Session};
use crate::node::context::Context;
use crate::node::event::{Decision, NodeEvent, Offered};
use crate::node::files::begun;
use crate::node::files::transfers::Turn;
use crate::store::home::Home;
use crate::store::partial::{self, Partial};
use crate::store::peers::{FilesPolicy, Peer};
use crate::store::place;
use crate::store::space::{self, Usage};
use crate::text;
use crate::time;
use crate::transfer::landing::Taken;
use crate::transfer::path::NameList;
use crate::transfer::policy::{DeclineReason, Rules, Verdict};
use crate::transfer::receive::{self, Offer};
use crate::wire::control;
use crate::wire::message::{CHUNK, Declined, Failure, Message};

/// How often the connection is checked while the user decides: the sender may hang up.
const HANG_UP_POLL: Duration = Duration::from_secs(1);

/// How long the user has to answer an offer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// What becomes of an offer.
pub enum OfferResponse {
    /// It is taken.
    Take {
        /// Where it is to land.
        dir: PathBuf,
        /// The most bytes of a stream.
        limit: u64,
        /// The user was asked.
        is_accepted: bool,
    },
    /// What the sender is told, and what is told here.
    Decline(Declined, &'static str),
}

/// The rules of a one-off receiver, if this is one; an error if they say no.
pub fn rule_once(
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
pub fn keep_dots_out(context: &Context, session: Session, offer: &Offer, dir: &Path) -> Result<Session> {
    let is_allowed = context.options().once.as_ref().is_some_and(|once| once.allow_dot);
    if is_allowed || offer.manifest.dot_names().is_empty() || !place::is_user_home(dir) {
        return Ok(session);
    }
    let why = format!("{} is your home directory, and {}", dir.display(), offer.manifest.dot_note());
    let reason = Declined::DotNames.told_to(session.features());
    Err(refuse(session, offer, reason, &why))
}

/// Judges an offer by the rules for its sender; the user is asked where they say so and there is one to ask. A yes holds
/// until all is here.
pub fn rule(
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
pub struct WaitingSender<'a> {
    session: &'a mut Session,
    looked: Instant,
    last_sent: Instant,
}

impl WaitingSender<'_> {
    /// Begins to wait.
    pub fn new(session: &mut Session) -> WaitingSender<'_> {
        WaitingSender { session, looked: Instant::now(), last_sent: Instant::now() }
    }

    /// An error if it is gone. Signs of life keep it waiting. Looks once in a while, however often this is called.
    pub fn look(&mut self) -> Result<()> {
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

/// Says no; gives what the user is told.
pub fn refuse(session: Session, offer: &Offer, reason: Declined, why: &str) -> Error {
    let what = format!("{} offered {}, which was refused: {why}", session.label(), offer.manifest.title());
    session.finish(&Message::Decline(reason)).err().unwrap_or(Error::Declined { what })
}

/// What is there of another kind is not replaced, and it is early enough to say so.
pub fn declined_by_name(session: Session, title: &str, taken: &Taken) -> Result<()> {
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

/// Nothing can be received here because of this error, and the sender hears so. Gives what the user is told.
pub fn declined_by_disk(session: Session, error: Error) -> Error {
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
