//! Messages: say something, see what waits, cancel it, try again, and collect what waits elsewhere.

pub mod delivery;
pub mod lines;
mod objects;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::app::chat::pasted;
use crate::app::contacts;
use crate::app::files;
use crate::app::link;
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::store::attempts;
use crate::store::cancel;
use crate::store::history::KeySearch;
use crate::store::home::Own;
use crate::store::outbox::{Outbox, Pending};
use crate::store::own_files::OwnFiles;
use crate::store::peers::Peer;
use crate::store::queued_files::Job;
use crate::text;
use crate::time::now_micros;

pub use crate::app::messages::delivery::{DeliveryOutcome, Fetched};
pub use crate::app::messages::objects::cancelled_object;
pub use crate::store::attempts::FailedAttempt;
pub use crate::store::outbox::{Draft, QueuedMessage};
pub use crate::wire::message::MAX_TEXT;

/// What became of a message that was said.
pub struct SayResult {
    /// Its number.
    pub number: u64,
    /// Where it is.
    pub outcome: DeliveryOutcome,
}

/// What to do with bytes that are no text.
const NO_TEXT_HINT: &str = "`iconv -f LATIN1 -t UTF-8` turns a text in Latin-1 into UTF-8; `egoat send PEER -` sends bytes as they are";

/// An error if this is not UTF-8: whoever reads it would see U+FFFD in the place of what was meant.
pub fn ensure_text(text: &[u8]) -> Result<()> {
    std::str::from_utf8(text)
        .map(drop)
        .map_err(|bad| no_text(&format!("byte {} of the message", bad.valid_up_to() + 1)))
}

fn no_text(what: &str) -> Error {
    Error::Usage { what: format!("{what} is not UTF-8, so it was not sent"), hint: Some(NO_TEXT_HINT.into()) }
}

/// Queues a message, for a front-end that does not wait, and that rings. Returns its number; durable when it returns. An
/// error if the peer is blocked.
pub fn queue(own: &Own, peer: &Peer, text: &[u8]) -> Result<u64> {
    peer.ensure_not_blocked()?;
    ensure_text(text)?;
    own.outbox(&peer.key)?.queue(&[Draft::new(text)])
}

/// Queues a message under a key, if it has one: a front-end that does not know whether it was heard says it again, and the
/// message is queued once. Returns its number; durable when it returns. An error if the peer is blocked.
pub fn queue_once(own: &Own, peer: &Peer, text: &[u8], key: &str) -> Result<u64> {
    if key.is_empty() {
        return queue(own, peer, text);
    }
    peer.ensure_not_blocked()?;
    ensure_text(text)?;
    let draft = Draft { key: key.to_owned(), ..Draft::new(text) };
    Ok(queue_keyed(own, peer, &mut own.outbox(&peer.key)?, &draft)?.number)
}

/// A message with a key, as it was queued or found.
struct Keyed {
    number: u64,
    is_new: bool,
    is_delivered: bool,
}

/// Queues a message unless one with its key waits already, or was delivered.
fn queue_keyed(own: &Own, peer: &Peer, outbox: &mut Outbox, draft: &Draft) -> Result<Keyed> {
    let mut is_delivered = false;
    let mut delivered = KeySearch::new(own.read_history(peer.conversation()), &draft.key);
    let (number, is_new) = outbox.queue_once(draft, || {
        let found = delivered.find()?;
        is_delivered = found.is_some();
        Ok(found)
    })?;
    Ok(Keyed { number, is_new, is_delivered })
}

/// Why a text is not to be said: it is a link, which is for this node or for one person.
pub fn refuse_link(text: &str) -> Option<Error> {
    match pasted::link(text) {
        Ok(None) => None,
        Ok(Some(_)) => Some(Error::usage("this is a link to pair with, and no message; it was not sent")),
        Err(error) => Some(error),
    }
}

/// Queues a message and tries to deliver it: for as long as `wait`, else once. A message with a key that was queued or
/// delivered before is not queued again, of which `known` learns.
pub fn say(
    own: &Endpoint,
    peer: &Peer,
    draft: Draft,
    wait: Option<Duration>,
    known: impl FnOnce(),
) -> Result<SayResult> {
    ensure_text(&draft.text)?;
    let mut outbox = own.outbox(&peer.key)?;
    let Keyed { number, is_new, is_delivered } = if draft.key.is_empty() {
        Keyed { number: outbox.queue(&[draft])?, is_new: true, is_delivered: false }
    } else {
        queue_keyed(own, peer, &mut outbox, &draft)?
    };
    if !is_new {
        known();
    }
    let outcome = match is_delivered {
        true => DeliveryOutcome::Delivered,
        false => delivery::deliver(own, peer, &mut outbox, delivery::Goal::Only(number), wait)?,
    };
    Ok(SayResult { number, outcome })
}

/// When a message that is said now expires after `wait`, in µs of Unix time.
pub fn expiry(wait: Duration) -> u64 {
    now_micros().saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX))
}

/// What waits for one peer.
pub struct Queue {
    /// The peer.
    pub peer: Peer,
    /// The last attempt to reach it, if that failed.
    pub attempt: Option<FailedAttempt>,
    /// A node runs here, which tries again.
    pub node_runs: bool,
}

/// Something that waits.
pub enum QueuedItem {
    /// A message.
    Message(QueuedMessage),
    /// Files, or files that were stopped.
    Files(Job),
}

/// What waits for one peer, oldest first.
pub struct Items {
    messages: Option<Pending>,
    message: Option<QueuedMessage>,
    files: std::iter::Peekable<std::vec::IntoIter<Job>>,
    /// Something waits; all else is files that were stopped.
    pub is_waiting: bool,
}

/// The peers for whom something is or was queued.
fn correspondents(own: &Own) -> Result<Vec<Peer>> {
    let mut peers = contacts::all(own)?;
    let home = own.home();
    peers.retain(|peer| home.has_outbox(&peer.key) || home.queued_files_path(&peer.key).exists());
    Ok(peers)
}

/// All queues of this home.
pub fn queues(own: &Own) -> Result<Vec<Queue>> {
    let node_runs = link::node(own)?.is_some();
    Ok(correspondents(own)?.into_iter().map(|peer| queue_of(own, peer, node_runs)).collect())
}

/// The queue of one peer.
pub fn queue_of(own: &Own, peer: Peer, node_runs: bool) -> Queue {
    let mut attempt = attempts::last(own.home(), &peer.key);
    if let Some(attempt) = attempt.as_mut().filter(|_| !node_runs) {
        // The node that meant to try again is gone.
        attempt.next = 0;
    }
    Queue { peer, attempt, node_runs }
}

impl Queue {
    /// What waits in it.
    pub fn items(&self, own: &Own) -> Result<Items> {
        let files = own.read_queued_files(&self.peer.key).all()?;
        let has_outbox = own.home().has_outbox(&self.peer.key);
        let outbox = has_outbox.then(|| own.outbox(&self.peer.key)).transpose()?;
        let mut messages = outbox.map(|outbox| outbox.pending());
        let message = messages.as_mut().map_or(Ok(None), Pending::read)?;
        let is_waiting = message.is_some() || files.iter().any(|job| job.stopped.is_none());
        Ok(Items { messages, message, files: files.into_iter().peekable(), is_waiting })
    }

    /// For whom something waits, what came of the last attempt, and when the next one is.
    pub fn status(&self) -> String {
        let now = now_micros() / 1_000_000;
        let tried = match &self.attempt {
            None => "not tried yet".to_owned(),
            Some(FailedAttempt { tried, reason, .. }) => {
                let ago = tried.map_or_else(String::new, |tried| {
                    format!(" {} ago", text::seconds(now.saturating_sub(tried)))
                });
                format!("tried{ago}, {}", text::clean_line(reason))
            }
        };
        let next = match self.attempt.as_ref().map_or(0, |attempt| attempt.next.saturating_sub(now)) {
            _ if !self.node_runs => "no node runs here to try again".to_owned(),
            0 => "trying now".to_owned(),
            left => format!("again in {}", text::seconds(left)),
        };
        format!("{}: {tried}; {next}", self.peer.name)
    }
}

impl Items {
    /// Reads the next item; `None` after the last.
    pub fn read(&mut self) -> Result<Option<QueuedItem>> {
        let is_due = |job: &Job| self.message.as_ref().is_none_or(|message| job.number < message.number);
        if let Some(job) = self.files.next_if(is_due) {
            return Ok(Some(QueuedItem::Files(job)));
        }
        let Some(message) = self.message.take() else { return Ok(None) };
        self.message = self.messages.as_mut().map_or(Ok(None), Pending::read)?;
        Ok(Some(QueuedItem::Message(message)))
    }
}

/// Cancels what waits under these numbers, whoever it is for. `tell` learns of each that waited; the numbers that did not
/// are returned.
pub fn cancel(
    own: &Own,
    mut wanted: BTreeSet<u64>,
    tell: &mut dyn FnMut(&Peer, u64) -> Result<()>,
) -> Result<BTreeSet<u64>> {
    for peer in correspondents(own)? {
        for number in cancel::cancel(own, &peer.key, &|number| wanted.contains(&number))? {
            wanted.remove(&number);
            tell(&peer, number)?;
        }
    }
    Ok(wanted)
}

/// Cancels one message or job for a peer.
pub fn cancel_one(own: &Own, peer: &Peer, number: u64) -> Result<()> {
    if cancel::cancel(own, &peer.key, &|waiting| waiting == number)?.is_empty() {
        return Err(Error::failed("it waits no more; it may be delivered by now"));
    }
    Ok(())
}

/// What happens while several peers are visited. A failure with one is no reason to leave out the others.
pub enum FetchStep {
    /// Files that were stopped wait again, as they are now.
    QueuedAgain(String, u64),
    /// A node runs here, and does the rest.
    NodeRuns,
    /// A peer was visited.
    Visited(String, Fetched),
    /// A peer is not there now; the error says how that was found out.
    Away(String, Error),
    /// Something failed.
    Failed(Error),
}

/// Tries again what waits for this peer, or for all who are not blocked; files that were stopped are queued again. Errors of
/// `tell` end it.
pub fn retry(
    own: &Endpoint,
    only: Option<Peer>,
    tell: &mut dyn FnMut(FetchStep) -> Result<()>,
) -> Result<()> {
    let peers = match only {
        Some(peer) => {
            peer.ensure_not_blocked()?;
            vec![peer]
        }
        None => correspondents(own)?.into_iter().filter(|peer| !peer.is_blocked()).collect(),
    };
    for peer in &peers {
        if let Err(error) = queue_again(own, peer, tell) {
            tell(FetchStep::Failed(error))?;
        }
        // Whoever removes the note asks the node to try now.
        if let Err(error) = attempts::clear(own.home(), &peer.key) {
            tell(FetchStep::Failed(error))?;
        }
    }
    if link::ring(own, None)? {
        return tell(FetchStep::NodeRuns);
    }
    visit(&peers, &|peer| delivery::push_all(own, peer), tell)
}

/// Queues files again that were stopped. Those that cannot be read now stay as they are.
fn queue_again(own: &Own, peer: &Peer, tell: &mut dyn FnMut(FetchStep) -> Result<()>) -> Result<()> {
    let home = OwnFiles::of(own.home())?;
    for job in own.read_queued_files(&peer.key).all()?.iter().filter(|job| job.stopped.is_some()) {
        let queue = |items: Vec<_>| own.queued_files(&peer.key)?.queue_again(job.number, &items);
        match job.items_now(&home).and_then(queue) {
            Ok(true) => tell(FetchStep::QueuedAgain(peer.name.clone(), job.number))?,
            Ok(false) => {}
            Err(error) => tell(FetchStep::Failed(error))?,
        }
    }
    Ok(())
}

/// Connects to every peer that has an address, delivers what waits here, and collects what waits there; a node that runs
/// does so all the time.
pub fn fetch(own: &Endpoint, tell: &mut dyn FnMut(FetchStep) -> Result<()>) -> Result<()> {
    // What is stopped meanwhile is told with its cause.
    let stopped = stopped(own)?;
    if link::ring(own, None)? {
        tell(FetchStep::NodeRuns)?;
    } else {
        let mut peers = contacts::all(own)?;
        peers.retain(|peer| peer.has_address() && !peer.is_blocked());
        visit(&peers, &|peer| delivery::fetch(own, peer), tell)?;
    }
    stopped.into_iter().try_for_each(|error| tell(FetchStep::Failed(error)))
}

/// The files that were stopped, as errors: nobody sends them before the user decides.
fn stopped(own: &Own) -> Result<Vec<Error>> {
    let mut errors = Vec::new();
    for peer in correspondents(own)? {
        let jobs = own.read_queued_files(&peer.key).all()?;
        errors.extend(jobs.iter().filter_map(|job| files::stopped_error(&peer, job)));
    }
    Ok(errors)
}

fn visit(
    peers: &[Peer],
    act: &dyn Fn(&Peer) -> Result<Fetched>,
    tell: &mut dyn FnMut(FetchStep) -> Result<()>,
) -> Result<()> {
    for peer in peers {
        tell(match act(peer) {
            Ok(fetched) => FetchStep::Visited(peer.name.clone(), fetched),
            Err(error) if error.is_absence() => FetchStep::Away(peer.name.clone(), error),
            Err(error) => FetchStep::Failed(error),
        })?;
    }
    Ok(())
}
