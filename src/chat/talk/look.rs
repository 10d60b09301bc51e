//! What the logs and the node say, and how it comes to be shown: events, unread counts, presence, peers, strangers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chat::command;
use crate::chat::conversation::{Begin, Conversation};
use crate::chat::jobs::News;
use crate::chat::notify::Notice;
use crate::chat::talk::question::Question;
use crate::chat::talk::{AWAY, Open, Talk, Transfer};
use crate::chat::waiting::Waiting;
use crate::crypto::keys::PublicKey;
use crate::error::Result;
use crate::node::event::Event as NodeEvent;
use crate::store::history::{self, Event, History, MOST_UNREAD};
use crate::store::home::Own;
use crate::store::peers::{self, Peer, Peers};
use crate::store::{node_lock, presence, requests};
use crate::text;
use crate::transfer::tally::Tally;

/// Lines of a conversation that are shown when it is opened, and the most if more are unread.
const USUAL: usize = 20;
const MOST: usize = 200;
/// Strangers are told of this often.
const QUIET: Duration = Duration::from_secs(10);

impl Talk {
    /// Looks at everything that may have changed.
    pub(super) fn look(&mut self, conversation: &mut Conversation) -> Result<()> {
        self.look_at_peers()?;
        self.look_at_presence();
        conversation.look()?;
        while conversation.next_event(|peer, seq, event| self.event(peer, seq, &event))? {}
        self.look_at_waiting();
        self.note_read();
        if let Some(told) = self.strangers.look(&self.own) {
            self.say(&told);
        }
        Ok(())
    }

    /// What waits may be damaged on the disk, and there are others to talk to.
    pub(super) fn look_at_waiting(&mut self) {
        if let Some(Err(error)) = self.open.as_mut().map(|open| open.waiting.look()) {
            self.say_error(&error);
        }
    }

    /// Notes how far was shown what is shown.
    pub(super) fn note_read(&mut self) {
        let open = self.open.as_ref().map(|open| open.peer.key);
        // Together with all others it may be shown in part.
        let is_shown = |key: &PublicKey| open == Some(*key) || self.is_all && !self.unread.contains_key(key);
        let mut shown = self.seen.iter().filter(|(key, _)| is_shown(key));
        let noted = shown.try_for_each(|(key, seen)| self.notes.set_read((*key).into(), *seen));
        self.noted(noted);
    }

    /// A record that was appended to a history.
    fn event(&mut self, peer: &Peer, seq: u64, event: &Event) -> Result<()> {
        if self.seen.get(&peer.key).is_some_and(|seen| *seen >= seq) {
            return Ok(());
        }
        self.seen.insert(peer.key, seq);
        let is_open = self.open.as_ref().is_some_and(|open| open.peer.key == peer.key);
        if let (Event::Dropped { number, .. }, true, Some(open)) = (event, is_open, &mut self.open) {
            open.waiting.drop_message(*number);
        }
        let is_news = event.is_arrival();
        if is_open || self.is_all {
            let lines = self.transcript.lines(peer, seq, event, self.is_all);
            self.above.push_str(&lines);
        } else if is_news {
            let unread = self.unread.entry(peer.key).or_default();
            *unread = (*unread + 1).min(MOST_UNREAD);
        }
        if let Event::Received { number, text } = event {
            self.notify(peer, *number, text, is_open);
        }
        Ok(())
    }

    /// Tells a user who does not look, or who was named.
    fn notify(&mut self, peer: &Peer, number: u64, text: &[u8], is_open: bool) {
        let is_away = self.last_key.elapsed() > AWAY || !is_open;
        let is_mention = || {
            let name = self.own.home().name().unwrap_or_default().to_lowercase();
            !name.is_empty() && String::from_utf8_lossy(text).to_lowercase().contains(&name)
        };
        if !is_away && !is_mention() {
            return;
        }
        match &self.notices {
            Some(notices) => {
                let notice = Notice { peer: peer.name.clone(), number, text: text.to_vec() };
                // When a command takes its time, what comes meanwhile is not told.
                let _ = notices.try_send(notice);
            }
            None => self.rings = true,
        }
    }

    /// The peers file may have been changed by anybody.
    pub(super) fn look_at_peers(&mut self) -> Result<()> {
        let version = peers::version(&self.own.home().peers_path());
        if version == self.peers_version && version.is_some() {
            return Ok(());
        }
        self.peers_version = version;
        let peers: Vec<Peer> = match Peers::load(self.own.home()) {
            Ok(peers) => peers.iter().cloned().collect(),
            // With a typing error in it, what was read before holds.
            Err(error) => {
                self.say_error(&error);
                return Ok(());
            }
        };
        let known: HashSet<PublicKey> = self.peers.iter().map(|peer| peer.key).collect();
        let has_begun = self.has_begun;
        for peer in peers.iter().filter(|peer| has_begun && !known.contains(&peer.key)) {
            self.say(&format!("paired with {}, fingerprint {}", peer.name, peer.key.fingerprint()));
            // All that it says is unread, until it is read.
            let noted = self.notes.set_read(peer.conversation(), 0);
            self.noted(noted);
        }
        self.peers = peers;
        // What is being typed may be for one who is gone.
        let is_free = known.is_empty() || self.is_idle();
        match &mut self.open {
            Some(open) => match self.peers.iter().find(|peer| peer.key == open.peer.key) {
                Some(peer) => open.peer = peer.clone(),
                None => self.close(),
            },
            // With a single peer there is no question to whom.
            None if has_begun && is_free && self.peers.len() == 1 => {
                return self.open(&self.peers[0].clone());
            }
            None => {}
        }
        Ok(())
    }

    pub(super) fn look_at_presence(&mut self) {
        self.presence = presence::load(self.own.home());
        let has_node = node_lock::running(self.own.home()).is_ok_and(|node| node.is_some());
        if !has_node {
            self.presence.values_mut().for_each(|one| one.is_here = false);
        }
        if std::mem::replace(&mut self.has_node, has_node) && !has_node {
            self.say("the node beside this chat has ended: what is said waits until there is one, as by `egoat serve`");
        }
    }

    /// What came since it was last looked at. A history of which nobody has noted that begins as read.
    pub(super) fn count_unread(&mut self) -> Result<()> {
        for peer in self.peers.clone() {
            let mut reader = self.own.read_history(peer.conversation());
            let read = self.notes.read(peer.conversation());
            match read {
                Some(read) => reader.skip_behind(read)?,
                None => reader.skip_to_last(1)?,
            }
            let (count, last) = History::count_arrived(reader, usize::MAX)?;
            if let Some(last) = last.or(read).filter(|last| *last > 0) {
                self.seen.insert(peer.key, last);
            }
            match read {
                Some(_) if count > 0 => drop(self.unread.insert(peer.key, count.min(MOST_UNREAD))),
                Some(_) => {}
                None => {
                    let seen = self.seen.get(&peer.key).copied().unwrap_or(0);
                    let noted = self.notes.set_read(peer.conversation(), seen);
                    self.noted(noted);
                }
            }
        }
        Ok(())
    }

    /// Whom to talk to when the user has not said: the only peer, or the one of the latest conversation.
    pub(super) fn usual_peer(&self) -> Option<Peer> {
        self.peers.iter().max_by_key(|peer| self.seen.get(&peer.key)).cloned()
    }

    /// The next peer in order, after the one that is talked to, who said something that was not read.
    pub(super) fn next_unread(&self) -> Option<Peer> {
        let after =
            self.open.as_ref().and_then(|open| self.peers.iter().position(|peer| peer.key == open.peer.key));
        let (before, behind) = self.peers.split_at(after.map_or(0, |place| place + 1));
        behind.iter().chain(before).find(|peer| self.unread.contains_key(&peer.key)).cloned()
    }

    /// Turns to a peer who has just been met: nobody else may be there, and then that was done when it was seen in the
    /// peers file. A line that was begun is for whom it was begun.
    pub(super) fn turn_to(&mut self, peer: &Peer) -> Result<()> {
        let is_open = self.open.as_ref().is_some_and(|open| open.peer.key == peer.key);
        if is_open && !self.is_all {
            return Ok(());
        }
        if self.peers.len() == 1 || self.is_idle() {
            return self.open(peer);
        }
        self.say(&format!("/to {} talks to them", peer.name));
        Ok(())
    }

    /// Turns away from a peer who is one no more: what was typed to it is for nobody else.
    fn close(&mut self) {
        self.note_draft();
        self.open = None;
        if self.question.is_none() && !self.editor.text().is_empty() {
            self.editor.set("");
            self.say("what was being typed is kept, should this peer come back");
        }
    }

    /// Turns to a peer: its last lines, what is unread, what waits, the draft.
    pub(super) fn open(&mut self, peer: &Peer) -> Result<()> {
        self.note_draft();
        self.is_all = false;
        self.transcript.begin();
        self.say(&peer.name.clone());
        let unread = self.unread.remove(&peer.key).unwrap_or(0);
        let read = if unread > 0 { self.notes.read(peer.conversation()) } else { None };
        self.show_last(Some(peer), USUAL, read)?;
        let waiting = Waiting::new(&self.own, &peer.key).unwrap_or_else(|error| {
            self.say_error(&error);
            Waiting::default()
        });
        // What was typed before anybody was there to talk to is for whom it was typed.
        let keeps = self.open.is_none() && !self.editor.text().is_empty();
        self.open = Some(Open { peer: peer.clone(), waiting });
        let noted = self.notes.refresh();
        self.noted(noted);
        if !keeps && self.question.is_none() {
            self.editor.set(self.notes.draft(peer.conversation()));
        }
        self.note_read();
        Ok(())
    }

    /// Shows the last records of one history or of all. Given how far one was `read`, it begins in front of what came
    /// behind that, where a line says so, but shows only so much. Gives the number of the first record that is shown.
    pub(super) fn show_last(&mut self, peer: Option<&Peer>, count: usize, read: Option<u64>) -> Result<u64> {
        let begin = Begin::Last(if read.is_some() { MOST } else { count });
        let mut seqs = Vec::new();
        let mut conversation = Conversation::new(&self.own, peer, begin.clone())?;
        while conversation.next_event(|_, seq, _| {
            seqs.push(seq);
            Ok(())
        })? {}
        let last = |count| seqs.len().saturating_sub(count);
        let from = match read {
            Some(read) => {
                let unread = seqs.partition_point(|seq| *seq <= read);
                unread.saturating_sub(LEAD).min(last(count)).max(last(MOST))
            }
            None => last(count),
        };
        let first = seqs.get(from).copied().unwrap_or(0);
        let mut mark = match (peer, read) {
            (Some(peer), Some(read)) => match self.count_hidden(&peer.key, read, first)? {
                (_, 0) => Some((read, "-- unread --\n".to_owned())),
                (records, count) => {
                    let all = records + seqs.len() - from;
                    Some((read, format!("-- unread, and {count} before: /history {all} or `egoat log` --\n")))
                }
            },
            _ => None,
        };
        let mut conversation = Conversation::new(&self.own, peer, begin)?;
        while conversation.next_event(|peer, seq, event| {
            let seen = self.seen.entry(peer.key).or_insert(seq);
            *seen = seq.max(*seen);
            if let Event::Sent { text, .. } = event {
                self.editor.remember(&command::saying(&text::clean_bytes(text)));
            }
            if seq >= first {
                let mark = mark.take_if(|(read, _)| seq > *read).map_or(String::new(), |(_, mark)| mark);
                let lines = self.transcript.lines(peer, seq, &event, self.is_all);
                self.above.extend([mark, lines]);
            }
            Ok(())
        })? {}
        Ok(first)
    }

    /// What a history has behind the record `read` and before `first`: how many records, and how many from the peer.
    pub(super) fn count_hidden(&self, key: &PublicKey, read: u64, first: u64) -> Result<(usize, usize)> {
        let mut reader = self.own.read_history((*key).into());
        reader.skip_behind(read)?;
        let (mut records, mut arrived) = (0, 0);
        while let Some(record) = reader.read()?
            && record.seq < first
        {
            records += 1;
            arrived += usize::from(history::decode(record.body).is_ok_and(|event| event.is_arrival()));
        }
        Ok((records, arrived))
    }

    /// What the node in this process tells. What is in the logs is seen there.
    pub(super) fn node_event(&mut self, event: NodeEvent) -> Result<()> {
        match event {
            NodeEvent::Listening(at) => self.say(&format!("listening on {at}")),
            NodeEvent::Offer { peer, title, files, bytes, answer } => {
                let number = self.offers.add(answer);
                let extent = text::extent(files as u64, bytes);
                self.say(&format!(
                    "[{number}] {peer} offers {title}{extent}: /accept {number} [DIR] or /refuse {number}"
                ));
                self.rings = true;
            }
            NodeEvent::TransferBegan { peer, tally, .. } => self.add_transfer(peer, false, tally),
            NodeEvent::FilesSent { .. } | NodeEvent::TransferDone { .. } | NodeEvent::File { .. } => {}
            NodeEvent::TransferFailed { error, .. } => self.say_error(&error),
            // Presence says as much.
            NodeEvent::Trouble(error) if error.is_passing() => {}
            NodeEvent::Trouble(error) => self.say_error(&error),
            NodeEvent::Fatal(error) => return Err(error),
            NodeEvent::Paired { .. } | NodeEvent::Request { .. } | NodeEvent::Refusals(_) => {}
            NodeEvent::Hook(_) => {}
            NodeEvent::Connected { .. } | NodeEvent::Disconnected { .. } => self.look_at_presence(),
            NodeEvent::Received { .. } | NodeEvent::Delivered { .. } => {}
        }
        Ok(())
    }

    fn add_transfer(&mut self, peer: String, is_outgoing: bool, tally: Arc<Tally>) {
        self.last_transfer += 1;
        self.transfers.push(Transfer { number: self.last_transfer, peer, is_outgoing, tally });
    }

    /// What a job tells.
    pub(super) fn news(&mut self, news: News) -> Result<()> {
        match news {
            News::Met(peer, refusal) => {
                self.look_at_peers()?;
                self.turn_to(&peer)?;
                if let Some(error) = refusal {
                    self.say_error(&error);
                }
            }
            News::Asked(at, key) => {
                if !self.is_idle() {
                    self.say(&format!("{at} answers: whether it is the right one is asked behind this line"));
                }
                self.questions.push_back(Question { at, key });
            }
            News::Sending(peer, tally) => self.add_transfer(peer, true, tally),
            News::Sent(peer, tally) => {
                let (bytes, _) = tally.done();
                let rate = text::size(tally.rate());
                let time = text::duration(tally.elapsed());
                self.say(&format!("{peer} has {} ({}), in {time}, {rate}/s", tally.title, text::size(bytes)));
            }
            News::Said(what) => self.say(&what),
            News::Failed(error) => self.say_error(&error),
        }
        Ok(())
    }
}

/// Lines before what is unread.
const LEAD: usize = 3;

/// Strangers who dialled: told once each, and not often.
pub(super) struct Strangers {
    version: Option<(std::time::SystemTime, u64)>,
    known: HashSet<PublicKey>,
    told: Option<Instant>,
    untold: Vec<(String, String)>,
}

impl Strangers {
    /// Those who have waited before are not told of.
    pub(super) fn new(own: &Own) -> Strangers {
        let known = requests::load(own.home()).unwrap_or_default();
        Strangers {
            version: peers::version(&own.home().requests_path()),
            known: known.iter().map(|request| request.key).collect(),
            told: None,
            untold: Vec::new(),
        }
    }

    /// A line about those who are new, when it is time for one.
    fn look(&mut self, own: &Own) -> Option<String> {
        let version = peers::version(&own.home().requests_path());
        if version != self.version {
            self.version = version;
            for request in requests::load(own.home()).unwrap_or_default() {
                if self.known.insert(request.key) {
                    self.untold.push((text::clean_line(&request.name), request.key.fingerprint()));
                }
            }
        }
        if self.untold.is_empty() || self.told.is_some_and(|told| told.elapsed() < QUIET) {
            return None;
        }
        self.told = Some(Instant::now());
        let untold = std::mem::take(&mut self.untold);
        Some(match &untold[..] {
            [(name, fingerprint)] => format!("{name} wants to be a peer: /admit {fingerprint}"),
            several => format!("{} strangers want to be peers: /requests", several.len()),
        })
    }
}
