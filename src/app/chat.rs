//! The model of a chat: conversations, what is unread, what waits, who is here, offers and transfers. It shows what the logs
//! say and appends what is said, so any number of chats can run on one home, and one that is killed loses nothing. It knows
//! no terminal: what its user sees and types is a [`View`]. egoat(1), CHAT, describes it.

mod files;
pub mod jobs;
mod look;
mod outbox;
pub(super) mod pasted;
mod people;
mod reading;
mod scope;
pub mod signal;
mod strangers;
pub mod transfers;
pub mod view;
mod waiting;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::SystemTime;

use crate::app::chat::jobs::{BackgroundEvent, EventSender};
use crate::app::chat::outbox::ListedItem;
use crate::app::chat::reading::Reading;
use crate::app::chat::signal::Signal;
use crate::app::chat::strangers::Strangers;
use crate::app::chat::view::View;
use crate::app::chat::waiting::PendingMessages;
use crate::app::contacts::digits;
use crate::app::contacts::names::{self, NameMatch};
use crate::app::inbox::histories::{Histories, StartAt};
use crate::app::inbox::pattern::Pattern;
use crate::app::link::{self, Snapshot, Transfer};
use crate::app::{contacts, identity, messages};
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::store::peers::Peer;
use crate::store::presence::Presence;
use crate::text;
use crate::time::{self, Zone};
use crate::wire::address::Address;
use crate::wire::link::Link;

pub use crate::app::chat::scope::Scope;
pub use crate::app::chat::waiting::WaitingMessage;

/// Lines of `/history` unless the user says how many, and the most.
const HISTORY_LINES: usize = 50;
const MAX_HISTORY_LINES: usize = 1000;

/// The note after a yes to the digits.
const OTHER_SIDE: &str = "waiting for the other side to say so as well";
/// The note after an answer that came when the session was over.
const TOO_LATE: &str = "it was over before you answered";

/// The conversation that is open.
struct OpenConversation {
    peer: Peer,
    waiting: PendingMessages,
}

/// A question that the user is to answer with yes or no.
pub enum Question {
    /// Ask whether the node at an address has this key.
    Fingerprint {
        /// The address.
        at: Address,
        /// The key that answered there.
        key: PublicKey,
    },
    /// Ask whether both ends show the same digits.
    Digits(digits::Question),
    /// The same of somebody whom the node has let in.
    OfNode {
        /// The name that the other end gives itself.
        name: String,
        /// Where it is.
        address: String,
        /// The digits.
        digits: String,
    },
    /// Ask whether to join with a pasted link.
    Join(Link),
    /// Ask whether to forget a peer.
    Forget(Box<Peer>),
    /// The user wants to leave, and that interrupts something.
    Leave,
}

impl Question {
    /// Whether a typed line says yes. A second `/quit` does, because the user has read what leaving interrupts.
    pub fn is_yes(&self, line: &str) -> bool {
        match line.trim().to_lowercase().as_str() {
            "yes" | "y" => true,
            "/quit" | "/q" => matches!(self, Question::Leave),
            _ => false,
        }
    }

    /// Whether a typed line answers the question. Any other line counts as no, and is lost.
    pub fn is_answered_by(&self, line: &str) -> bool {
        self.is_yes(line) || matches!(line.trim().to_lowercase().as_str(), "no" | "n")
    }

    /// The subject of the question, in a few words.
    pub fn title(&self) -> String {
        match self {
            Question::Fingerprint { at, .. } => at.to_string(),
            Question::Digits(digits::Question { name, .. }) | Question::OfNode { name, .. } => name.clone(),
            Question::Join(_) => "join".to_owned(),
            Question::Forget(peer) => format!("forget {}", peer.name),
            Question::Leave => "leave".to_owned(),
        }
    }
}

/// The model of a chat.
pub struct Chat {
    own: Endpoint,
    zone: Zone,
    scope: Scope,
    jobs: EventSender,
    histories: Histories,
    /// In the order of the peers file.
    peers: Vec<Peer>,
    peers_version: Option<(SystemTime, u64)>,
    /// Why the peers file cannot be used, as it was told.
    peers_trouble: Option<String>,
    open: Option<OpenConversation>,
    /// All conversations are shown together.
    is_all: bool,
    /// The last line was for somebody who is nobody.
    is_lost: bool,
    /// Everybody is muted.
    is_away: bool,
    reading: Reading,
    /// The peers of whom was told that they are away, and what is said to them waits.
    told_away: HashSet<PublicKey>,
    /// The user knows that notes cannot be kept.
    has_lost_notes: bool,
    presence: HashMap<PublicKey, Presence>,
    /// A node ran when it was last looked at: this process, or one beside it.
    has_node: bool,
    link: link::NodeLink,
    live: Snapshot,
    /// The offers that were shown.
    shown_offers: BTreeSet<u64>,
    /// The transfers of which was told that they begin or go on.
    told_transfers: BTreeSet<u64>,
    /// The peers of the jobs that the node does for this chat.
    jobs_of: HashMap<u64, String>,
    last_job: u64,
    /// Somebody types the lines, so that all commands work.
    has_user: bool,
    /// This process is the node: it ends with the chat.
    is_node: bool,
    /// The entries that `/outbox` has listed, the first as number 1. An entry keeps its number, so `/cancel` never takes back
    /// another one.
    listed: Vec<ListedItem>,
    /// The nodes that this chat is about to pair with, and tells of when it has; with whether the node here was refused
    /// meanwhile.
    meeting: HashMap<PublicKey, bool>,
    /// The names of peers that refused, as the user knows; the node meets that once more.
    told_refusals: HashSet<String>,
    strangers: Strangers,
    questions: VecDeque<Question>,
    /// The last message that was queued for each peer.
    queued: HashMap<PublicKey, u64>,
    /// The chat has shown the entries that were there at the beginning.
    has_begun: bool,
}

impl Chat {
    /// A chat of which nothing is shown yet; jobs reach it through `jobs`. It `is_node` if the node runs in this process.
    pub fn new(own: &Endpoint, scope: Scope, jobs: EventSender, is_node: bool) -> Result<Chat> {
        let only = match scope {
            Scope::News { of: Some(key), .. } => contacts::all(own)?.into_iter().find(|peer| peer.key == key),
            _ => None,
        };
        let mut histories = Histories::new(own, only.as_ref(), StartAt::Last(0))?;
        let link = link::NodeLink::open(own.home(), true)?;
        // Skip older entries here: `open` shows them with their conversation.
        while histories.next(|_, _| Ok(()))? {}
        Ok(Chat {
            own: own.clone(),
            zone: Zone::local(),
            scope,
            jobs,
            histories,
            peers: Vec::new(),
            peers_version: None,
            peers_trouble: None,
            open: None,
            is_all: scope != Scope::Conversations,
            is_lost: false,
            is_away: false,
            reading: Reading::open(own, scope.is_read())?,
            told_away: HashSet::new(),
            has_lost_notes: false,
            presence: HashMap::new(),
            has_node: false,
            link,
            live: Snapshot::default(),
            shown_offers: BTreeSet::new(),
            told_transfers: BTreeSet::new(),
            jobs_of: HashMap::new(),
            last_job: 0,
            has_user: scope == Scope::Conversations,
            is_node,
            listed: Vec::new(),
            meeting: HashMap::new(),
            told_refusals: HashSet::new(),
            strangers: Strangers::new(own),
            questions: VecDeque::new(),
            queued: HashMap::new(),
            has_begun: false,
        })
    }

    /// Shows what is there, and opens the conversation with `to`, else the one that was talked in last.
    pub fn begin(&mut self, to: Option<Peer>, view: &mut dyn View) -> Result<()> {
        self.has_user = view.can_answer();
        self.look_at_peers(view)?;
        if self.scope == Scope::Conversations {
            view.note(match self.peers[..] {
                [] => "no peers yet: /invite makes a link for somebody, /join takes theirs; /help lists the commands",
                _ => "/help lists the commands, /keys says what the keys do",
            });
        }
        if self.scope.is_read() {
            for peer in self.peers.iter().filter(|peer| self.scope.has(&peer.key)) {
                self.reading.count(&self.own, peer.conversation())?;
            }
        }
        self.look_at_presence(view);
        match to {
            Some(peer) => self.open(&peer, view)?,
            None if self.scope == Scope::Conversations => {
                let latest = self.peers.iter().max_by_key(|peer| self.reading.seen(peer.conversation()));
                if let Some(peer) = latest.cloned() {
                    self.open(&peer, view)?;
                }
            }
            None => {}
        }
        if self.scope != Scope::Conversations && self.scope.is_read() {
            self.begin_to_read(view)?;
        }
        self.has_begun = true;
        if self.has_user {
            self.tell_waiting(view);
        }
        Ok(())
    }

    /// Handles a signal; gives back the view's own input.
    pub fn take<I>(&mut self, signal: Signal<I>, view: &mut dyn View) -> Result<Option<I>> {
        match signal {
            Signal::Input(input) => return Ok(Some(input)),
            Signal::Look => self.look(view)?,
            Signal::Node(event) => self.node_event(event, view)?,
            Signal::Background(event) => self.background(event, view)?,
        }
        Ok(None)
    }

    fn background(&mut self, event: BackgroundEvent, view: &mut dyn View) -> Result<()> {
        match event {
            BackgroundEvent::Met(peer, refusal) => {
                self.look_at_peers(view)?;
                self.turn_to(&peer, view)?;
                if let Some(was_refused) = self.meeting.remove(&peer.key) {
                    self.tell_met(&peer, refusal, was_refused, view);
                }
            }
            BackgroundEvent::Unmet(key, error) => {
                self.meeting.remove(&key);
                view.error(&error);
            }
            BackgroundEvent::Asked(at, key) => {
                if !view.is_idle() {
                    view.note(&format!("{at} answers: whether it is the right one is asked after this line"));
                }
                self.questions.push_back(Question::Fingerprint { at, key });
            }
            BackgroundEvent::Compare(digits) => {
                if !view.is_idle() {
                    view.note(&format!("{} is there: the digits are shown after this line", digits.name));
                }
                self.questions.push_back(Question::Digits(digits));
            }
            BackgroundEvent::Note(what) => view.note(&what),
            BackgroundEvent::Failed(error) => view.error(&error),
        }
        Ok(())
    }

    /// The saved peers, in the order of the peers file.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// The peer of the conversation that is open.
    pub fn partner(&self) -> Option<&Peer> {
        self.open.as_ref().map(|open| &open.peer)
    }

    /// Whether all conversations are shown together.
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    /// How many messages and files of the peer are unread; `None` if none is.
    pub fn unread(&self, peer: &Peer) -> Option<usize> {
        self.reading.unread(peer.conversation())
    }

    /// Whether the peer is connected.
    pub fn is_here(&self, peer: &Peer) -> bool {
        self.presence.get(&peer.key).is_some_and(|one| one.is_here)
    }

    /// The queued messages for the open peer, oldest first.
    pub fn waiting(&self) -> impl DoubleEndedIterator<Item = &WaitingMessage> + ExactSizeIterator {
        static NOTHING: VecDeque<WaitingMessage> = VecDeque::new();
        self.open.as_ref().map_or(NOTHING.iter(), |open| open.waiting.messages())
    }

    /// The transfers that the node reports.
    pub fn transfers(&self) -> impl Iterator<Item = &Transfer> {
        self.live.transfers.values()
    }

    /// Whether the node ends with this chat.
    pub fn is_node(&self) -> bool {
        self.is_node
    }

    /// The link to the node.
    pub fn link(&self) -> &link::NodeLink {
        &self.link
    }

    /// The next peer in order, after the one who is talked to, of whom something is unread.
    pub fn next_unread(&self) -> Option<Peer> {
        let open = self.partner().and_then(|open| self.peers.iter().position(|peer| peer.key == open.key));
        let (before, after) = self.peers.split_at(open.map_or(0, |place| place + 1));
        after.iter().chain(before).find(|peer| self.unread(peer).is_some()).cloned()
    }

    /// The saved peer that is meant by a name.
    pub fn named(&self, name: &str) -> Result<Peer> {
        let list = if self.has_user { "/who" } else { "`egoat peers`" };
        if name.is_empty() {
            return Err(Error::usage(format!("which peer? {list} lists them")));
        }
        let typed = text::clean_line(name);
        match names::find(&self.peers, name) {
            NameMatch::One(peer) => Ok(peer.clone()),
            NameMatch::Several(meant) => Err(Error::usage(names::ambiguity(&typed, &meant))),
            NameMatch::Nobody(Some(near)) => {
                Err(Error::usage(format!("no peer is called {typed}; did you mean {near}?")))
            }
            NameMatch::Nobody(None) => {
                Err(Error::usage(format!("no peer is called {typed}; {list} lists them")))
            }
        }
    }

    /// The saved peer of this name; without a name, who is talked to.
    fn named_or_open(&self, name: &str) -> Result<Peer> {
        match self.partner() {
            Some(peer) if name.is_empty() => Ok(peer.clone()),
            _ => self.named(name),
        }
    }

    /// The peer that a line is for: the one who is talked to. In a pipe, where no conversation need be open, the only peer
    /// will do.
    fn recipient(&self) -> Result<&Peer> {
        let only = match &self.peers[..] {
            [peer] if self.scope != Scope::Conversations => Some(peer),
            _ => None,
        };
        let found = if self.is_lost { None } else { self.partner().or(only) };
        found.ok_or_else(|| match self.scope {
            _ if self.has_user => Error::usage("to whom? /to NAME, or /invite somebody first"),
            _ => Error::usage("to whom? type /to NAME first"),
        })
    }

    /// Queues a message for the peer who is talked to; durable when it returns. A link is asked about instead.
    pub fn say(&mut self, text: &[u8], view: &mut dyn View) -> Result<()> {
        if let Some(link) = pasted::link(&String::from_utf8_lossy(text))? {
            return self.ask_about(link, view);
        }
        let peer = self.recipient()?.clone();
        self.queue(&peer, text, view)
    }

    /// The same for the peer of this name.
    pub fn say_to(&mut self, name: &str, text: &str, view: &mut dyn View) -> Result<()> {
        let peer = self.named(name)?;
        if text.is_empty() {
            return Err(Error::usage("say what? /msg NAME TEXT"));
        }
        if let Some(link) = pasted::link(text)? {
            return self.ask_about(link, view);
        }
        self.queue(&peer, text.as_bytes(), view)?;
        if self.scope == Scope::Conversations && self.partner().is_none_or(|open| open.key != peer.key) {
            view.note(&format!("queued for {}", peer.name));
        }
        Ok(())
    }

    fn ask_about(&mut self, link: Link, view: &mut dyn View) -> Result<()> {
        if link.key == self.own.key() {
            return Err(Error::usage(
                "this link is this node's own, for one person outside of this chat; it was not sent",
            ));
        }
        if !view.can_answer() {
            return Err(Error::usage("it is a link; `egoat join` takes it"));
        }
        self.questions.push_back(Question::Join(link));
        Ok(())
    }

    fn queue(&mut self, peer: &Peer, text: &[u8], view: &mut dyn View) -> Result<()> {
        let number = messages::queue(&self.own, peer, text)?;
        view.said(peer, number);
        self.link.ring(&peer.key);
        self.queued.insert(peer.key, number);
        self.look_at_waiting(view);
        self.tell_away(peer, view);
        Ok(())
    }

    /// Checks that each message of this chat is delivered or cancelled.
    pub fn is_all_settled(&self) -> Result<bool> {
        for (peer, number) in &self.queued {
            if !self.own.outbox(peer)?.is_settled(*number)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Notes the draft in the line for the next chat.
    pub fn note_draft(&mut self, view: &mut dyn View) {
        if let (Some(open), Some(draft)) = (&self.open, view.draft()) {
            let noted = self.reading.note_draft(open.peer.conversation(), &draft);
            self.noted(noted, view);
        }
    }

    /// Nobody need stop talking because something cannot be noted for the next time.
    fn noted(&mut self, noted: Result<()>, view: &mut dyn View) {
        if let Err(error) = noted
            && !std::mem::replace(&mut self.has_lost_notes, true)
        {
            view.error(&error);
            view.note("no drafts are kept for the next chat from now on, nor what was read");
        }
    }

    /// Puts the draft of the conversation that is open into the line.
    pub fn show_draft(&self, view: &mut dyn View) {
        if let Some(open) = &self.open {
            view.set_draft(self.reading.draft(open.peer.conversation()));
        }
    }

    /// The next question to the user, if the line is free for one.
    pub fn ask(&mut self, view: &mut dyn View) -> Option<Question> {
        if !view.is_idle() {
            return None;
        }
        let question = self.questions.pop_front()?;
        match &question {
            Question::Fingerprint { at, key } => {
                let fingerprint = key.fingerprint();
                view.note(&format!(
                    "the fingerprint of {at} is {fingerprint}; is that the right one? yes or no"
                ));
            }
            Question::Digits(digits::Question { name, address, digits, .. })
            | Question::OfNode { name, address, digits } => {
                view.note(&format!("{name} is there, at {address}: do both show {digits}? yes or no"));
            }
            Question::Join(link) => {
                let (kind, fingerprint) = (link_kind(link), link.key.fingerprint());
                view.note(&format!(
                    "this is {kind} of the node {fingerprint}, and no message: join it? yes or no"
                ));
            }
            Question::Forget(peer) => {
                view.note(&format!("forget {}? What waits for it goes out no more. yes or no", peer.name));
            }
            Question::Leave => {
                let Some(interrupted) = self.interrupted_by_leaving() else {
                    // All of it was done meanwhile.
                    view.leave();
                    return None;
                };
                view.note(&format!("{interrupted}; leave? yes or no"));
            }
        }
        Some(question)
    }

    /// The user has answered a question.
    pub fn answer(&mut self, question: Question, is_yes: bool, view: &mut dyn View) {
        match question {
            Question::Fingerprint { at, key } if is_yes => {
                if self.peers.iter().all(|peer| peer.key != key) {
                    self.meeting.insert(key, false);
                }
                jobs::pair_at(&self.own, &self.jobs, key, at);
            }
            Question::Digits(asked) => match asked.answer.send(is_yes) {
                Ok(()) if is_yes => view.note(OTHER_SIDE),
                Ok(()) => {}
                Err(_) => view.note(TOO_LATE),
            },
            Question::OfNode { .. } => match self.link.say_same(is_yes) {
                Ok(true) if is_yes => view.note(OTHER_SIDE),
                Ok(true) => {}
                Ok(false) => view.note(TOO_LATE),
                Err(error) => view.error(&error),
            },
            Question::Forget(peer) if is_yes => {
                if let Err(error) = self.remove(&peer, view) {
                    view.error(&error);
                }
            }
            Question::Forget(peer) => view.note(&format!("{} stays", peer.name)),
            Question::Leave if is_yes => view.leave(),
            Question::Leave => view.note("then on"),
            Question::Join(link) if is_yes => self.join(link, view),
            Question::Fingerprint { .. } => view.note("then nothing was saved"),
            Question::Join(_) => view.note("then nothing was joined, and the link was sent to nobody"),
        }
    }

    /// Talks to the peer of this name.
    pub fn talk_to(&mut self, name: &str, view: &mut dyn View) -> Result<()> {
        // In a pipe, what follows a name that is nobody's is not for whom the lines before were.
        self.is_lost = self.scope != Scope::Conversations;
        let peer = self.named(name)?;
        self.open(&peer, view)
    }

    /// Shows all conversations together, or one again.
    pub fn toggle_all(&mut self, view: &mut dyn View) -> Result<()> {
        if let (true, Some(peer)) = (self.is_all, self.partner().cloned()) {
            return self.open(&peer, view);
        }
        self.is_all = true;
        view.begin();
        view.note("all conversations");
        let shown = self.show_last(None, HISTORY_LINES, None, view)?;
        for id in self.reading.all_unread() {
            let first = shown.get(&id).copied().unwrap_or(u64::MAX);
            if self.unread_before(id, first)?.count == 0 {
                self.reading.clear_unread(id);
            }
        }
        self.note_read(view);
        Ok(())
    }

    /// Tells who is here, and when the others were.
    pub fn who(&self, view: &mut dyn View) {
        if self.peers.is_empty() {
            view.note("nobody yet: /invite somebody, or /join with a link");
        }
        let width = self.peers.iter().map(|peer| peer.name.len()).max().unwrap_or(0);
        for (place, peer) in self.peers.iter().enumerate() {
            let state = match self.presence.get(&peer.key) {
                _ if peer.is_blocked() => "blocked".to_owned(),
                Some(one) if one.is_here => match self.live.here.get(&peer.key) {
                    Some(here) => format!("here, {}", here.path.as_str()),
                    None => "here".to_owned(),
                },
                Some(one) => format!("away, seen {}", self.time(one.seconds)),
                None => "away".to_owned(),
            };
            let unread = self.unread(peer).map_or(String::new(), |count| format!(", {count} unread"));
            let verified = if peer.is_verified() { ", verified" } else { "" };
            let muted = if peer.is_muted() { ", muted" } else { "" };
            view.note(&format!("{} {:width$}  {state}{unread}{verified}{muted}", place + 1, peer.name));
        }
    }

    /// A time in seconds of Unix time, to the minute, as far as it is known.
    fn time(&self, seconds: u64) -> String {
        self.zone.format_known(time::believed(seconds.saturating_mul(1_000_000)))[..16].to_owned()
    }

    /// Shows the last lines, as many as `wanted` says, or those that contain it, see [`Pattern`].
    pub fn history(&mut self, wanted: &str, view: &mut dyn View) -> Result<()> {
        let peer = self.partner().filter(|_| !self.is_all).cloned();
        view.begin();
        let count = if wanted.is_empty() { Some(HISTORY_LINES) } else { wanted.parse().ok() };
        match count {
            Some(count) => {
                self.show_last(peer.as_ref(), count.clamp(1, MAX_HISTORY_LINES), None, view)?;
            }
            None => self.show_found(peer.as_ref(), wanted, view)?,
        }
        view.note("now");
        Ok(())
    }

    /// Shows the last lines that contain `wanted`. They are counted first, so that memory stays bounded.
    fn show_found(&self, peer: Option<&Peer>, wanted: &str, view: &mut dyn View) -> Result<()> {
        let pattern = Pattern::new(wanted);
        let mut count = 0_usize;
        let mut histories = Histories::new(&self.own, peer, StartAt::Start)?;
        while histories.next(|_, entry| {
            count += usize::from(entry.contains(&pattern));
            Ok(())
        })? {}
        if count == 0 {
            view.note(&pattern.not_found("here"));
        }
        let mut left_out = count.saturating_sub(MAX_HISTORY_LINES);
        let mut histories = Histories::new(&self.own, peer, StartAt::Start)?;
        while histories.next(|peer, entry| {
            if entry.contains(&pattern) {
                match left_out.checked_sub(1) {
                    Some(rest) => left_out = rest,
                    None => view.entry(peer, entry, self.is_all),
                }
            }
            Ok(())
        })? {}
        Ok(())
    }

    /// Mutes everybody in this chat, or no more.
    pub fn toggle_away(&mut self, view: &mut dyn View) {
        self.is_away = !self.is_away;
        view.note(match self.is_away {
            true => "all are muted in this chat until you type /away again; nobody is told",
            false => "nobody is muted by /away any more",
        });
    }

    /// Whether this chat mutes all peers, as `/away` wants.
    pub fn is_away(&self) -> bool {
        self.is_away
    }

    /// Gives this node another name.
    pub fn rename_self(&self, name: &str, view: &mut dyn View) -> Result<()> {
        if name.is_empty() {
            return Err(Error::usage(format!(
                "you are called {}; another name? /nick NAME",
                self.own.name()?
            )));
        }
        identity::rename(&self.own, name)?;
        view.note(&format!(
            "new peers know you as {name}; those you have go on with the name that they gave you"
        ));
        Ok(())
    }

    /// Tells this node's name, fingerprint and addresses.
    pub fn id(&self, view: &mut dyn View) -> Result<()> {
        let card = identity::card(&self.own)?;
        view.note(&format!("{}, fingerprint {}", card.name, card.key.fingerprint()));
        let addresses = card.link.iter().flat_map(|link| &link.addresses);
        addresses.for_each(|address| view.note(&format!("at {address}")));
        Ok(())
    }
}

fn link_kind(link: &Link) -> &'static str {
    if link.token.is_some() { "an invite link" } else { "a link" }
}
