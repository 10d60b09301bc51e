//! The outbox in a chat: `/outbox` lists it with numbers, `/cancel` takes an entry back, the chat names it at its start and asks
//! before it leaves.

use crate::app::chat::view::View;
use crate::app::chat::waiting::{PendingMessages, first_line};
use crate::app::chat::{Chat, Question, Scope};
use crate::app::messages::{self, Queue, QueuedItem};
use crate::app::{files, status};
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::text;

/// Lines of `/outbox` at most.
const MAX_LISTED: usize = 100;
/// Peers that are named when the chat begins.
const MAX_TOLD: usize = 5;

/// An entry that `/outbox` has listed.
pub struct ListedItem {
    peer: PublicKey,
    /// Its number among all that waits for the peer.
    number: u64,
    /// A description of one line.
    title: String,
}

impl Chat {
    /// Lists what waits, for whomever, with numbers for `/cancel`.
    pub fn list_outbox(&mut self, view: &mut dyn View) -> Result<()> {
        let (mut shown, mut hidden) = (0, 0);
        for queue in messages::queues(&self.own)? {
            // The others are listed all the same.
            if let Err(error) = self.list_queue(&queue, &mut shown, &mut hidden, view) {
                view.error(&error);
            }
        }
        match (shown, hidden) {
            (0, _) => view.note("nothing waits"),
            (_, 0) => view.note("/cancel N takes one back"),
            _ => view.note(&format!("/cancel N takes one back; `egoat outbox` lists {hidden} more")),
        }
        Ok(())
    }

    fn list_queue(
        &mut self,
        queue: &Queue,
        shown: &mut usize,
        hidden: &mut usize,
        view: &mut dyn View,
    ) -> Result<()> {
        let mut items = queue.items(&self.own)?;
        if items.is_waiting {
            let here = format!("{} is here", queue.peer.name);
            view.note(&if self.is_here(&queue.peer) { here } else { queue.status() });
        }
        while let Some(item) = items.read()? {
            if *shown == MAX_LISTED {
                *hidden += 1;
                continue;
            }
            *shown += 1;
            let (number, since, title, note) = match &item {
                QueuedItem::Message(message) => {
                    (message.number, message.said, first_line(&message.draft.text), String::new())
                }
                QueuedItem::Files(job) => {
                    let title = format!("file {} ({})", files::title_of(job), text::size(job.size()));
                    let why = files::why_stopped(job);
                    let note = why.map(|why| format!("; stopped, {why}: `egoat outbox retry` tries again"));
                    (job.number, job.queued, text::clean_line(&title), note.unwrap_or_default())
                }
            };
            let (place, when) = (self.place_of(queue.peer.key, number, &title), self.time(since / 1_000_000));
            view.note(&format!("{place}  {when}  to {}: {title}{note}", queue.peer.name));
        }
        Ok(())
    }

    /// The number under which something is listed.
    fn place_of(&mut self, peer: PublicKey, number: u64, title: &str) -> usize {
        let is_it = |item: &ListedItem| item.peer == peer && item.number == number;
        let place = self.listed.iter().position(is_it).unwrap_or_else(|| {
            self.listed.push(ListedItem { peer, number, title: title.to_owned() });
            self.listed.len() - 1
        });
        place + 1
    }

    /// Takes back what `/outbox` has listed under this number; without one, the last message that waits here.
    pub fn cancel(&mut self, place: Option<u64>, view: &mut dyn View) -> Result<()> {
        let Some(place) = place else { return self.cancel_last() };
        let index = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
        let unknown = || Error::usage("which one? /outbox lists what waits, with numbers");
        let item = index.and_then(|index| self.listed.get(index)).ok_or_else(unknown)?;
        let peer = self.peers.iter().find(|peer| peer.key == item.peer).ok_or_else(unknown)?;
        messages::cancel_one(&self.own, peer, item.number)?;
        view.note(&format!("taken back: {} to {}", item.title, peer.name));
        if let Some(open) = self.open.as_mut().filter(|open| open.peer.key == item.peer) {
            open.waiting.drop_message(item.number);
        }
        Ok(())
    }

    fn cancel_last(&mut self) -> Result<()> {
        let peer = self.recipient()?.clone();
        let nothing = || Error::failed("no message waits here; /outbox lists all that waits");
        let last = match &self.open {
            Some(open) => open.waiting.messages().next_back().map(|last| last.number),
            None => {
                PendingMessages::new(&self.own, &peer.key)?.messages().next_back().map(|last| last.number)
            }
        };
        let number = last.ok_or_else(nothing)?;
        messages::cancel_one(&self.own, &peer, number)?;
        if let Some(open) = &mut self.open {
            open.waiting.drop_message(number);
        }
        Ok(())
    }

    /// Tells at the beginning what goes on from an earlier time, but for the messages that stand below the conversation.
    pub(super) fn tell_waiting(&self, view: &mut dyn View) {
        let open = self.partner().map(|peer| peer.key);
        // Damage is told where the conversation is opened, and by `/outbox`.
        let waiting = status::waiting(&self.own).unwrap_or_default();
        let is_shown = self.scope == Scope::Conversations;
        let is_seen = |one: &&status::Waiting| {
            is_shown && one.jobs + one.stopped.len() == 0 && Some(one.queue.peer.key) == open
        };
        let unseen: Vec<_> = waiting.iter().filter(|one| !is_seen(one)).collect();
        for one in unseen.iter().take(MAX_TOLD) {
            let stopped = Some(one.stopped.len()).filter(|count| *count > 0);
            let counts = [Some(one.counts()), stopped.map(|count| format!("{count} stopped"))];
            let counts: Vec<String> = counts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
            let (counts, name) = (counts.join(", "), &one.queue.peer.name);
            view.note(&format!("{counts} for {name} from before: /outbox lists what waits"));
        }
        if let more @ 1.. = unseen.len().saturating_sub(MAX_TOLD) {
            view.note(&format!("and something for {more} more peers"));
        }
    }

    /// The user wants to leave. If that interrupts something, they are asked once.
    pub fn quit(&mut self, view: &mut dyn View) -> Result<()> {
        match self.interrupted_by_leaving() {
            Some(_) if view.can_answer() => self.questions.push_front(Question::Leave),
            _ => view.leave(),
        }
        Ok(())
    }

    /// What goes on only when this program runs again, in words; `None` where another process is the node, or nothing is left
    /// to do. What waits for somebody who is here is delivered in a moment.
    pub(super) fn interrupted_by_leaving(&self) -> Option<String> {
        if !self.is_node {
            return None;
        }
        let waiting = status::waiting(&self.own).unwrap_or_default();
        let away = || waiting.iter().filter(|one| !self.is_here(&one.queue.peer));
        let messages = counted(away().map(|one| one.messages).sum(), "message");
        let jobs = counted(away().map(|one| one.jobs).sum(), "transfer");
        let waits = [messages, jobs].into_iter().flatten().collect::<Vec<_>>().join(" and ");
        let moves = counted(self.transfers().count(), "transfer");
        Some(match (moves, waits.as_str()) {
            (None, "") => return None,
            (None, waits) => format!("still to go out: {waits}"),
            (Some(moves), "") => format!("on its way, and to go on next time: {moves}"),
            (Some(moves), waits) => format!("on its way, and to go on next time: {moves}; waiting: {waits}"),
        })
    }
}

/// So many things in words; `None` for none.
fn counted(count: usize, what: &str) -> Option<String> {
    let plural = if count == 1 { "" } else { "s" };
    (count > 0).then(|| format!("{count} {what}{plural}"))
}
