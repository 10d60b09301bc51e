//! The state that a page shows, as objects: who is a peer, what was said last and is unread, what waits, who is here, what
//! moves. All of it is in the logs and in what the node tells; nothing is kept here but how far they were read.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::app::inbox::entry::HistoryEntry;
use crate::app::link::{NodeInfo, Snapshot};
use crate::app::messages::{self, Queue, QueuedItem};
use crate::app::{contacts, files, inbox, status};
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::store::conversation::ConversationId;
use crate::store::history::{self, MAX_UNREAD};
use crate::store::home::Home;
use crate::store::log::Reader;
use crate::store::peers::{Peer, version};
use crate::store::presence;
use crate::text::json::Object;
use crate::time;

/// The objects of a state. The order is mostly the same each time.
#[derive(Default)]
pub struct Objects(pub Vec<Entry>);

/// An object of a state: what it is, what tells it apart from others of its kind, and its fields.
pub struct Entry {
    /// What it is.
    pub event: &'static str,
    /// What tells it apart.
    pub id: String,
    /// All of it.
    pub object: Object,
}

impl Objects {
    /// Adds an object.
    pub fn add(&mut self, event: &'static str, id: &str, object: Object) {
        self.0.push(Entry { event, id: id.to_owned(), object });
    }

    /// Adds the only object of its kind in front of all others.
    pub fn add_first(&mut self, event: &'static str, object: Object) {
        self.0.insert(0, Entry { event, id: event.to_owned(), object });
    }

    /// The object of the same kind and id as `wanted`, which most likely stands at `place`.
    pub fn like(&self, wanted: &Entry, place: usize) -> Option<&Entry> {
        let is_it = |one: &&Entry| one.event == wanted.event && one.id == wanted.id;
        self.0.get(place).filter(is_it).or_else(|| self.0.iter().find(is_it))
    }
}

/// Characters of a line in the list of conversations.
const MAX_LINE: usize = 200;
/// What waits in a log of more bytes than this is counted once a second, and else at once.
const MAX_EAGER: u64 = 256 << 10;
/// Messages that are counted for one peer.
const MAX_COUNTED: u64 = 10_000;
const SECOND: Duration = Duration::from_secs(1);

/// What changes when a file is appended to or replaced.
type Version = Option<(SystemTime, u64)>;

/// The last record of a history.
struct Last {
    seq: u64,
    event: &'static str,
    time: Option<u64>,
    line: String,
}

/// What waits for a peer.
#[derive(Default)]
struct Waiting {
    versions: [Version; 3],
    counted: Option<Instant>,
    messages: u64,
    transfers: u64,
    stopped: u64,
    newest: Option<Newest>,
    error: Option<String>,
    cause: Option<&'static str>,
    next: u64,
}

/// What was queued last of all that waits.
struct Newest {
    number: u64,
    event: &'static str,
    /// The state of files.
    state: Option<&'static str>,
    line: String,
}

/// What is known of one conversation.
struct Conversation {
    key: PublicKey,
    reader: Reader,
    version: Version,
    last: Option<Last>,
    read: Option<u64>,
    unread: usize,
    waiting: Waiting,
}

/// What is known of a home.
pub struct Overview {
    own: Endpoint,
    peers: Vec<Peer>,
    peers_version: Version,
    marks: HashMap<ConversationId, u64>,
    marks_version: Version,
    conversations: Vec<Conversation>,
}

impl Overview {
    /// Of nothing yet.
    pub fn new(own: &Endpoint) -> Overview {
        Overview {
            own: own.clone(),
            peers: Vec::new(),
            peers_version: None,
            marks: HashMap::new(),
            marks_version: None,
            conversations: Vec::new(),
        }
    }

    /// Looks at everything; adds what there is to `objects`.
    pub fn look(&mut self, live: &Snapshot, node: Option<&NodeInfo>, objects: &mut Objects) -> Result<()> {
        let home = self.own.home().clone();
        let peers_version = version(&home.peers_path());
        if peers_version.is_none() || peers_version != self.peers_version {
            // With a typing error in the file, what was read before holds.
            self.peers = contacts::all(&self.own).unwrap_or_else(|_| std::mem::take(&mut self.peers));
            self.peers_version = peers_version;
        }
        let marks_version = version(&home.notes_path());
        if marks_version != self.marks_version {
            (self.marks, self.marks_version) = (self.own.read_marks()?, marks_version);
        }
        let known = presence::load(&home);
        let peers = std::mem::take(&mut self.peers);
        for (place, peer) in peers.iter().enumerate() {
            let key = peer.key.to_string();
            objects.add("peer", &key, contacts::object(peer));
            // With one damaged log, all others are shown.
            let conversation = self.conversation(place, peer, node.is_some());
            objects.add("conversation", &key, conversation.unwrap_or_else(|error| unreadable(peer, &error)));
            let (event, presence) = match live.here.get(&peer.key) {
                Some(here) => ("here", status::here_object(&peer.name, here)),
                None => {
                    let seconds = known.get(&peer.key).map(|one| one.seconds.saturating_mul(1_000_000));
                    let object = Object::event("away").text("peer", &peer.name);
                    ("away", object.optional_number("time", seconds.and_then(time::believed)))
                }
            };
            objects.add(event, &key, presence.text("key", &key));
        }
        self.conversations.truncate(peers.len());
        self.peers = peers;
        for transfer in live.transfers.values() {
            let object = status::transfer_object(transfer).number("checked", transfer.checked);
            let object = object.boolean("taken", transfer.is_taken);
            objects.add("transfer", &transfer.number.to_string(), object);
        }
        for offer in live.offers.values() {
            let object = status::offer_object(offer).text("dots", &offer.dots);
            objects.add("offer", &offer.number.to_string(), object);
        }
        for request in contacts::requests(&self.own).unwrap_or_default() {
            objects.add("request", &request.key.fingerprint(), contacts::request_object(&request));
        }
        Ok(())
    }

    /// Whether this node has peers.
    pub fn has_peers(&self) -> bool {
        !self.peers.is_empty()
    }

    /// What is known of the conversations stands in the order of the peers.
    fn conversation(&mut self, place: usize, peer: &Peer, node_runs: bool) -> Result<Object> {
        let read = self.marks.get(&peer.conversation()).copied();
        match self.conversations.iter().skip(place).position(|known| known.key == peer.key) {
            Some(0) => {}
            Some(behind) => self.conversations.swap(place, place + behind),
            None => self.conversations.insert(place, Conversation::open(&self.own, peer, read)?),
        }
        let conversation = &mut self.conversations[place];
        conversation.look(&self.own, peer, read)?;
        conversation.waiting.look(&self.own, peer, node_runs)?;
        Ok(conversation.object(peer))
    }
}

impl Conversation {
    fn open(own: &Endpoint, peer: &Peer, read: Option<u64>) -> Result<Conversation> {
        let id = peer.conversation();
        let mut conversation = Conversation {
            key: peer.key,
            reader: own.read_history(id),
            version: version(&own.home().history_path(id)),
            last: None,
            read,
            unread: 0,
            waiting: Waiting::default(),
        };
        conversation.reader.skip_to_last(1)?;
        conversation.catch_up()?;
        conversation.unread = conversation.count(own, peer)?;
        Ok(conversation)
    }

    /// Counts what is unread from the log.
    fn count(&self, own: &Endpoint, peer: &Peer) -> Result<usize> {
        let last = self.last.as_ref().map_or(0, |last| last.seq);
        if self.read.is_some_and(|read| read >= last) {
            return Ok(0);
        }
        Ok(inbox::unread(own, peer.conversation(), self.read, last + 1, MAX_UNREAD)?.count)
    }

    /// Reads what was appended.
    fn look(&mut self, own: &Endpoint, peer: &Peer, read: Option<u64>) -> Result<()> {
        let version = version(&own.home().history_path(peer.conversation()));
        if version != self.version {
            self.version = version;
            let arrived = self.catch_up()?;
            self.unread = (self.unread + arrived).min(MAX_UNREAD);
        }
        if read != self.read {
            self.read = read;
            self.unread = self.count(own, peer)?;
        }
        Ok(())
    }

    /// Reads to the end; returns how much arrived.
    fn catch_up(&mut self) -> Result<usize> {
        let mut arrived = 0;
        while let Some(record) = self.reader.read()? {
            let (Ok(times), Ok(event)) =
                (history::times(record.seq, record.body), history::decode(record.body))
            else {
                continue;
            };
            let entry = HistoryEntry { seq: record.seq, times, event };
            let is_known = self.last.as_ref().is_some_and(|last| last.seq >= entry.seq);
            if is_known {
                continue;
            }
            arrived += usize::from(event.is_arrival() && self.read.is_none_or(|read| read < entry.seq));
            self.last = Some(Last {
                seq: entry.seq,
                event: event.word(),
                time: entry.time(),
                line: first_line(event.raw()),
            });
        }
        Ok(arrived)
    }

    fn object(&self, peer: &Peer) -> Object {
        let last = self.last.as_ref();
        let waiting = &self.waiting;
        let newest = waiting.newest.as_ref();
        Object::event("conversation")
            .text("peer", &peer.name)
            .text("key", &peer.key.to_string())
            .optional_number("last", last.map(|last| last.seq))
            .optional("last_event", last.map(|last| last.event))
            .optional_number("time", last.and_then(|last| last.time))
            .optional("line", last.map(|last| last.line.as_str()))
            .number("unread", self.unread as u64)
            .optional_number("read", self.read)
            .number("messages", waiting.messages)
            .number("transfers", waiting.transfers)
            .number("stopped", waiting.stopped)
            .optional_number("newest", newest.map(|newest| newest.number))
            .optional("newest_event", newest.map(|newest| newest.event))
            .optional("newest_state", newest.and_then(|newest| newest.state))
            .optional("newest_line", newest.map(|newest| newest.line.as_str()))
            .optional("error", waiting.error.as_deref())
            .optional("cause", waiting.cause)
            .number("next", waiting.next)
    }
}

/// A conversation of which the log cannot be read.
fn unreadable(peer: &Peer, error: &Error) -> Object {
    let object = Object::event("conversation").text("peer", &peer.name).text("key", &peer.key.to_string());
    object.text("error", &error.to_string())
}

/// The first line of a text, as much as a list shows. It may be long: all of it is not looked at.
fn first_line(raw: &[u8]) -> String {
    let start = String::from_utf8_lossy(&raw[..raw.len().min(4 * MAX_LINE)]).into_owned();
    start.trim_start().lines().next().unwrap_or_default().chars().take(MAX_LINE).collect()
}

impl Waiting {
    fn look(&mut self, own: &Endpoint, peer: &Peer, node_runs: bool) -> Result<()> {
        let home = own.home();
        let paths =
            [home.outbox_path(&peer.key), home.queued_files_path(&peer.key), home.attempts_path(&peer.key)];
        let versions = paths.each_ref().map(|path: &std::path::PathBuf| version(Path::new(path)));
        let is_same = self.counted.is_some() && versions == self.versions;
        let is_long = versions[0].is_some_and(|(_, length)| length > MAX_EAGER);
        let is_recent = self.counted.is_some_and(|counted| counted.elapsed() < SECOND);
        if is_same || (is_long && is_recent) {
            return Ok(());
        }
        let queue = messages::queue_of(own, peer.clone(), node_runs);
        *self = Waiting { versions, counted: Some(Instant::now()), ..Waiting::default() };
        self.count(own, &queue)?;
        self.error = queue.attempt.as_ref().map(|attempt| attempt.reason.clone());
        self.cause = queue.attempt.as_ref().map(|attempt| attempt.cause);
        self.next = queue.attempt.map_or(0, |attempt| attempt.next.saturating_mul(1_000_000));
        Ok(())
    }

    fn count(&mut self, own: &Endpoint, queue: &Queue) -> Result<()> {
        if self.versions[0].is_none() && self.versions[1].is_none() {
            return Ok(());
        }
        let mut items = queue.items(own)?;
        while let Some(item) = items.read()? {
            let newest = match item {
                QueuedItem::Message(message) => {
                    self.messages += 1;
                    let line = first_line(&message.draft.text);
                    Newest { number: message.number, event: "queued", state: None, line }
                }
                QueuedItem::Files(job) => {
                    match job.stopped {
                        Some(_) => self.stopped += 1,
                        None => self.transfers += 1,
                    }
                    let line = first_line(files::title_of(&job).as_bytes());
                    let state = Some(files::state_of(&job));
                    Newest { number: job.number, event: "file-queued", state, line }
                }
            };
            // They come in the order of their numbers.
            self.newest = Some(newest);
            if self.messages >= MAX_COUNTED {
                break;
            }
        }
        Ok(())
    }
}

/// What the node is, as an object.
pub fn node_object(node: Option<&NodeInfo>, is_own: bool, trouble: Option<&str>) -> Object {
    let addresses = node.map(|node| node.listening.iter().map(ToString::to_string).collect::<Vec<_>>());
    Object::event("node")
        .boolean("runs", node.is_some())
        .boolean("own", is_own)
        .list("addresses", addresses.unwrap_or_default().into_iter())
        .optional("trouble", trouble)
}

/// What this home and its window are, as an object; without an `own`, the home is sealed.
pub fn window_object(
    own: Option<&Endpoint>,
    home: &Home,
    port: u16,
    (command, serve): (&str, &str),
    has_peers: bool,
) -> Object {
    let object = Object::event("window")
        .text("version", env!("CARGO_PKG_VERSION"))
        .boolean("locked", own.is_none())
        .number("port", port.into())
        .text("command", command)
        .text("serve", serve)
        .text("home", &home.dir().to_string_lossy());
    let Some(own) = own else { return object };
    let downloads = home.downloads(None).map(|dir| dir.to_string_lossy().into_owned()).ok();
    object
        .text("name", &own.name().unwrap_or_default())
        .text("key", &own.key().to_string())
        .text("fingerprint", &own.key().fingerprint())
        .boolean("is_new", !home.has_name() && !has_peers)
        .optional("downloads", downloads.as_deref())
}
