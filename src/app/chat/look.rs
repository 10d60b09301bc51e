//! How a chat learns what has changed on the disk and in the node, and what it shows of that.

use std::collections::{HashMap, HashSet};

use crate::app::chat::view::{Arrival, View};
use crate::app::chat::waiting::PendingMessages;
use crate::app::chat::{Chat, OpenConversation, Scope, transfers};
use crate::app::inbox::entry::Event;
use crate::app::inbox::histories::{Histories, StartAt};
use crate::app::inbox::{self, ArrivalCount};
use crate::app::link::{self, NodeEvent, PendingOffer, TransferWay};
use crate::app::news;
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::store::conversation::ConversationId;
use crate::store::peers::{self, Peer, Peers};
use crate::store::presence;

/// Lines of a conversation that are shown when it is opened, and the most if more are unread.
const OPENING_LINES: usize = 20;
const MAX_OPENING_LINES: usize = 200;
/// Lines before the first unread one.
const LEAD: usize = 3;

impl Chat {
    /// Looks at everything that may have changed.
    pub fn look(&mut self, view: &mut dyn View) -> Result<()> {
        self.look_at_peers(view)?;
        self.look_at_presence(view);
        self.look_at_live(view);
        self.look_at_pairing(view)?;
        self.show_news(view)?;
        self.look_at_waiting(view);
        self.note_read(view);
        if self.has_user
            && let Some(line) = self.strangers.look(&self.own)
        {
            view.note(&line);
        }
        Ok(())
    }

    /// Shows the records that were appended to the histories.
    fn show_news(&mut self, view: &mut dyn View) -> Result<()> {
        let Chat { own, histories, reading, open, is_all, is_away, .. } = self;
        let own_name = own.name().unwrap_or_default().to_lowercase();
        histories.look()?;
        while histories.next(|peer, entry| {
            let id = peer.conversation();
            if !reading.see(id, entry.seq) {
                return Ok(());
            }
            let mut open = open.as_mut().filter(|open| open.peer.key == peer.key);
            if let (Event::Dropped { number, .. }, Some(open)) = (&entry.event, &mut open) {
                open.waiting.drop_message(*number);
            }
            if open.is_some() || *is_all {
                view.entry(peer, entry, *is_all);
            } else if entry.event.is_arrival() {
                reading.add_unread(id);
            }
            if let Event::Received { number, text } = entry.event {
                let is_mention =
                    !own_name.is_empty() && String::from_utf8_lossy(text).to_lowercase().contains(&own_name);
                let (is_open, is_muted) = (open.is_some(), *is_away || peer.is_muted());
                view.arrived(&Arrival { peer, number, text, is_open, is_mention, is_muted });
            }
            Ok(())
        })? {}
        Ok(())
    }

    /// Looks at what waits. It may be damaged on the disk, and there are others to talk to.
    pub(super) fn look_at_waiting(&mut self, view: &mut dyn View) {
        if let Some(Err(error)) = self.open.as_mut().map(|open| open.waiting.look()) {
            view.error(&error);
        }
    }

    /// Notes how far the conversations were read that are shown.
    pub(super) fn note_read(&mut self, view: &mut dyn View) {
        let open = self.partner().map(Peer::conversation);
        // Together with all others a conversation may be shown in part.
        let in_full: HashSet<ConversationId> = match self.is_all {
            true => {
                self.peers.iter().filter(|one| self.unread(one).is_none()).map(Peer::conversation).collect()
            }
            false => HashSet::new(),
        };
        let noted = self.reading.note_read(|id| open == Some(id) || in_full.contains(&id));
        self.noted(noted, view);
    }

    /// Reads the peers file again if it has changed, whoever changed it.
    pub fn look_at_peers(&mut self, view: &mut dyn View) -> Result<()> {
        let version = peers::version(&self.own.home().peers_path());
        if version == self.peers_version && version.is_some() {
            return Ok(());
        }
        let has_changed = version != self.peers_version;
        self.peers_version = version;
        let peers: Vec<Peer> = match Peers::load(self.own.home()) {
            Ok(peers) => peers.iter().cloned().collect(),
            // With a typing error in the file, what was read before holds.
            Err(error) => {
                let trouble = Some(error.to_string());
                if has_changed || trouble != self.peers_trouble {
                    view.error(&error);
                }
                self.peers_trouble = trouble;
                return Ok(());
            }
        };
        self.peers_trouble = None;
        let known: HashSet<PublicKey> = self.peers.iter().map(|peer| peer.key).collect();
        let has_begun = self.has_begun;
        let is_news = |peer: &&Peer| !known.contains(&peer.key) && !self.meeting.contains_key(&peer.key);
        for peer in peers.iter().filter(|peer| has_begun && is_news(peer)) {
            view.note(&format!("paired with {}, fingerprint {}", peer.name, peer.key.fingerprint()));
        }
        self.peers = peers;
        match &mut self.open {
            Some(open) => match self.peers.iter().find(|peer| peer.key == open.peer.key) {
                Some(peer) => open.peer = peer.clone(),
                None => self.close(view),
            },
            // With a single peer there is no question to whom. But what is being typed may be for one who is gone.
            None if has_begun
                && self.scope == Scope::Conversations
                && self.peers.len() == 1
                && (known.is_empty() || view.is_idle()) =>
            {
                return self.open(&self.peers[0].clone(), view);
            }
            None => {}
        }
        Ok(())
    }

    /// Looks at who is here.
    pub(super) fn look_at_presence(&mut self, view: &mut dyn View) {
        self.presence = presence::load(self.own.home());
        self.told_away.retain(|key| self.presence.get(key).is_none_or(|one| !one.is_here));
        let has_node = link::node(&self.own).is_ok_and(|node| node.is_some());
        if !has_node {
            self.presence.values_mut().for_each(|one| one.is_here = false);
        }
        if std::mem::replace(&mut self.has_node, has_node) && !has_node {
            view.note("the node beside this chat has ended: what is said waits until there is one, as by `egoat serve`");
        }
    }

    /// Shows the unread entries, one conversation after the other, and says to whom a line goes.
    pub(super) fn begin_to_read(&mut self, view: &mut dyn View) -> Result<()> {
        for peer in self.peers.clone() {
            if let Some(read) = self.take_unread(&peer) {
                self.show_last(Some(&peer), 0, Some(read), view)?;
            }
        }
        self.note_read(view);
        let to = match (self.partner(), &self.peers[..]) {
            (Some(peer), _) | (None, [peer]) => peer,
            (None, []) => return Ok(()),
            (None, _) => {
                view.note(
                    "you hear all peers; /to NAME says to whom you talk, /who lists them, /help the commands",
                );
                return Ok(());
            }
        };
        let state = if self.is_here(to) { "here" } else { "away" };
        view.note(&format!("what you type goes to {} ({state}); /help lists the commands", to.name));
        Ok(())
    }

    /// Where no mark stands before a message, its user learns once that it waits.
    pub(super) fn tell_away(&mut self, peer: &Peer, view: &mut dyn View) {
        let is_marked = self.scope == Scope::Conversations || !self.has_user;
        if !is_marked && !self.is_here(peer) && self.told_away.insert(peer.key) {
            view.note(&format!("{} is away: what you say waits, and goes out when they are back", peer.name));
        }
    }

    /// Nothing of the peer is unread any more. Returns how far it was read, if something was unread.
    fn take_unread(&mut self, peer: &Peer) -> Option<u64> {
        let id = peer.conversation();
        self.reading.clear_unread(id).map(|_| self.reading.read(id).unwrap_or(0))
    }

    /// Looks at what the node tells of transfers, offers and jobs.
    fn look_at_live(&mut self, view: &mut dyn View) {
        let before = self.live.connection;
        self.live = self.link.live();
        if self.live.connection != before {
            // Another node begins with 1 again.
            self.shown_offers.clear();
            self.told_transfers.clear();
        }
        self.shown_offers.retain(|number| self.live.offers.contains_key(number));
        for offer in self.live.offers.values() {
            if self.shown_offers.insert(offer.number) {
                let PendingOffer { number, peer, .. } = offer;
                let question = format!(
                    "[{number}] {peer} offers {}: /accept {number} [DIR] or /refuse {number}",
                    transfers::offered(offer)
                );
                let is_muted = self.peers.iter().any(|one| one.name == *peer && one.is_muted());
                if is_muted || self.is_away { view.note(&question) } else { view.alert(&question) }
            }
        }
        self.tell_transfers(view);
        for job in self.link.ended_jobs() {
            self.job(job, view);
        }
    }

    /// Tells of transfers that go on where an earlier connection ended: nobody is asked about them. Where no line shows how far
    /// transfers are, it also tells of each that begins to go out.
    fn tell_transfers(&mut self, view: &mut dyn View) {
        self.told_transfers.retain(|number| self.live.transfers.contains_key(number));
        let is_shown = self.scope == Scope::Conversations || !self.has_user;
        for transfer in self.live.transfers.values() {
            let begins = !is_shown && transfer.way != TransferWay::In;
            let line = transfers::resumed(transfer).or_else(|| begins.then(|| transfers::line(transfer)));
            if let Some(line) = line
                && self.told_transfers.insert(transfer.number)
            {
                view.note(&line);
            }
        }
    }

    /// Turns to a peer who has just been met, unless the user is busy with another: a line that was begun is for whom it was
    /// begun.
    pub(super) fn turn_to(&mut self, peer: &Peer, view: &mut dyn View) -> Result<()> {
        let is_open = self.partner().is_some_and(|open| open.key == peer.key);
        if is_open && !self.is_all {
            return Ok(());
        }
        if self.peers.len() == 1 || view.is_idle() {
            return self.open(peer, view);
        }
        view.note(&format!("/to {} talks to them", peer.name));
        Ok(())
    }

    /// Turns away from a peer who is one no more: what was typed to it is for nobody else.
    fn close(&mut self, view: &mut dyn View) {
        self.note_draft(view);
        self.open = None;
        if view.drop_line() {
            view.note("what was being typed is kept, should this peer come back");
        }
    }

    /// Turns to a peer: its last lines, what is unread, what waits, the draft.
    pub fn open(&mut self, peer: &Peer, view: &mut dyn View) -> Result<()> {
        self.note_draft(view);
        self.is_lost = false;
        if self.scope == Scope::Conversations {
            self.is_all = false;
            view.begin();
            view.note(&peer.name);
            let read = self.take_unread(peer);
            self.show_last(Some(peer), OPENING_LINES, read, view)?;
        }
        let waiting = PendingMessages::new(&self.own, &peer.key).unwrap_or_else(|error| {
            view.error(&error);
            PendingMessages::default()
        });
        // If nobody was open, keep the line that the user has begun: it is for the peer who opens now.
        let is_kept = self.open.is_none() && view.draft().is_none_or(|draft| !draft.is_empty());
        self.open = Some(OpenConversation { peer: peer.clone(), waiting });
        let noted = self.reading.refresh();
        self.noted(noted, view);
        if !is_kept {
            self.show_draft(view);
        }
        self.note_read(view);
        Ok(())
    }

    /// Shows the last records of one history or of all. Given how far one was `read`, it begins before the first unread
    /// record, which a line marks, but shows only so much. Returns the number of the first record that is shown of each
    /// history.
    pub(super) fn show_last(
        &mut self,
        peer: Option<&Peer>,
        count: usize,
        read: Option<u64>,
        view: &mut dyn View,
    ) -> Result<HashMap<ConversationId, u64>> {
        let begin = StartAt::Last(if read.is_some() { MAX_OPENING_LINES } else { count });
        let mut records = Vec::new();
        let mut histories = Histories::new(&self.own, peer, begin.clone())?;
        while histories.next(|peer, entry| {
            records.push((peer.conversation(), entry.seq));
            Ok(())
        })? {}
        let last = |count| records.len().saturating_sub(count);
        let from = match read {
            Some(read) => {
                let unread = records.partition_point(|(_, seq)| *seq <= read);
                unread.saturating_sub(LEAD).min(last(count)).max(last(MAX_OPENING_LINES))
            }
            None => last(count),
        };
        let known: HashSet<_> = records.iter().map(|(id, _)| *id).collect();
        // Backwards, so that the first of each history is what stays.
        let shown: HashMap<_, _> = records[from..].iter().rev().copied().collect();
        let mut mark = match (peer, read) {
            (Some(peer), Some(read)) => {
                let id = peer.conversation();
                let first = shown.get(&id).copied().unwrap_or(0);
                let hidden = inbox::unread_between(&self.own, id, Some(read), first)?;
                let mark = unread_mark(hidden, records.len() - from);
                let is_between_dashes = self.scope == Scope::Conversations;
                let mark = if is_between_dashes { mark } else { mark.trim_end_matches(" --").to_owned() };
                Some((read, mark))
            }
            _ => None,
        };
        let (reading, is_all) = (&mut self.reading, self.is_all);
        let mut histories = Histories::new(&self.own, peer, begin)?;
        while histories.next(|peer, entry| {
            reading.see(peer.conversation(), entry.seq);
            if let Event::Sent { text, .. } = entry.event {
                view.remember(&String::from_utf8_lossy(text));
            }
            let id = peer.conversation();
            // A history that has begun since is shown whole.
            if shown.get(&id).map_or(!known.contains(&id), |first| entry.seq >= *first) {
                if let Some((_, mark)) = mark.take_if(|(read, _)| entry.seq > *read) {
                    view.note(&mark);
                }
                view.entry(peer, entry, is_all);
            }
            Ok(())
        })? {}
        Ok(shown)
    }

    /// The unread entries of a conversation before the record `first`.
    pub(super) fn unread_before(&self, id: ConversationId, first: u64) -> Result<ArrivalCount> {
        inbox::unread_between(&self.own, id, self.reading.read(id), first)
    }

    /// Whether the user knows that this peer refuses us, or is about to hear it from the pairing under way.
    fn is_told_of_refusal(&mut self, peer: &str, view: &mut dyn View) -> Result<bool> {
        self.look_at_peers(view)?;
        let key = self.peers.iter().find(|one| one.name == peer).map(|one| one.key);
        match key.and_then(|key| self.meeting.get_mut(&key)) {
            Some(was_refused) => {
                *was_refused = true;
                Ok(true)
            }
            None => Ok(self.told_refusals.remove(peer)),
        }
    }

    /// What the node in this process tells. What is in the logs is seen there.
    pub(super) fn node_event(&mut self, event: NodeEvent, view: &mut dyn View) -> Result<()> {
        match event {
            NodeEvent::Listening(_) | NodeEvent::ChosePort { .. } => {
                news::line(&event).into_iter().for_each(|line| view.note(&line))
            }
            // Presence says as much.
            NodeEvent::Trouble(error) if error.is_passing() => {}
            NodeEvent::Trouble(Error::Refused { peer, .. }) if self.is_told_of_refusal(&peer, view)? => {}
            // Whoever has stopped it knows.
            NodeEvent::TransferFailed { error: Error::Stopped, .. } => {}
            NodeEvent::TransferFailed { error, .. } | NodeEvent::Trouble(error) => view.error(&error),
            NodeEvent::Fatal(error) => return Err(error),
            NodeEvent::Connected { .. } | NodeEvent::Disconnected { .. } => self.look_at_presence(view),
            NodeEvent::TransferBegan { .. } | NodeEvent::TransferDone { .. } | NodeEvent::Offered(_) => {}
            NodeEvent::FilesSent { .. } | NodeEvent::Fetching { .. } | NodeEvent::File { .. } => {}
            NodeEvent::Paired { .. } | NodeEvent::Request { .. } | NodeEvent::Refusals(_) => {}
            NodeEvent::Hook(_) | NodeEvent::Received { .. } | NodeEvent::Delivered { .. } => {}
        }
        Ok(())
    }
}

/// The line before what is unread, of which `hidden` is not shown, before so many records that are.
fn unread_mark(hidden: ArrivalCount, shown: usize) -> String {
    match hidden.count {
        0 => "unread --".to_owned(),
        count => format!("unread, and {count} before: /history {} or `egoat log` --", hidden.records + shown),
    }
}
