//! The two ends of a flow of messages, as straight loops (egoat-protocol(7), MESSAGE FLOW). The sender writes what
//! waits in the outbox and reads acknowledgements; the receiver reads, stores, syncs and acknowledges. Which of them
//! dialled makes no difference here.

use std::collections::VecDeque;
use std::time::Duration;

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::session::{PING_AFTER, Session};
use crate::store::cancel;
use crate::store::history::{Dropped, History, ReceivedMessage};
use crate::store::home::Own;
use crate::store::outbox::{Outbox, Pending, QueuedMessage};
use crate::time;
use crate::wire::features::Features;
use crate::wire::message::{HEADER, MAX_EARLY, MAX_TEXT_BODY, Message};

/// Bytes of text on their way that are not yet acknowledged. It bounds the memory of both ends, and is what a burst may
/// have in flight: large enough that a sync at the other end does not stop the stream.
const WINDOW: usize = 512 << 10;
/// What a message costs in the window beside its text.
const PER_MESSAGE: usize = 64;
/// What both ends set where the sender may say that files wait.
pub const FILES_WAIT: Features = Features::IGNORABLE.with(Features::COLLECT);
/// How long a sender that is turned away may go on sending.
const LINGER: Duration = Duration::from_secs(2);

/// How a flow starts: the receiver says the last number that it holds.
pub fn read_held(session: &mut Session) -> Result<u64> {
    session.read_as("waiting to be told what it holds", |message| match message {
        Message::Held(number) => Some(number),
        _ => None,
    })
}

/// Writes waiting messages before the receiver has said what it holds, if both ends have the feature; returns those that it
/// wrote (egoat-protocol(7), Sending early).
pub fn write_early(session: &mut Session, own: &Own) -> Result<Vec<QueuedMessage>> {
    if !session.features().has(Features::EARLY) {
        return Ok(Vec::new());
    }
    // The outbox may be locked for longer than the peer waits for our profile.
    session.flush()?;
    let early = match take_early(own, &session.peer()) {
        Ok(early) => early,
        Err(error @ Error::Disk { .. }) if !error.is_disk_full() => return Err(error),
        // An outbox that is damaged or locked, or a full disk, is told of when the flow begins: the peer is here all the same.
        Err(_) => Vec::new(),
    };
    session.write(&Message::Early(early.len() as u16))?;
    write_texts(session, &early)?;
    Ok(early)
}

/// Takes the oldest waiting messages, as many as may go early, and notes in the outbox that they were sent.
fn take_early(own: &Own, peer: &PublicKey) -> Result<Vec<QueuedMessage>> {
    let mut outbox = own.outbox(peer)?;
    let mut pending = outbox.pending();
    let mut early = Vec::new();
    let mut room = MAX_EARLY;
    while let Some(waiting) = pending.read()? {
        // Neither is skipped: there must be no gap.
        let Some(left) = room.checked_sub(HEADER + 16 + waiting.draft.text.len()) else { break };
        if waiting.is_expired() {
            break;
        }
        room = left;
        early.push(waiting);
    }
    outbox.note_sent(&mut pending, &mut early)?;
    Ok(early)
}

fn write_texts(session: &mut Session, messages: &[QueuedMessage]) -> Result<()> {
    let says_when = session.features().has(Features::SAID);
    for QueuedMessage { number, said, draft } in messages {
        let said = says_when.then(|| time::believed(*said).unwrap_or_default());
        session.write(&Message::Text { number: *number, said, text: &draft.text })?;
    }
    Ok(())
}

/// What a sender knows when a flow starts.
#[derive(Default)]
pub struct Start {
    /// What the receiver says that it holds.
    pub held: u64,
    /// What it has acknowledged over another connection while that was on its way.
    pub acknowledged: u64,
    /// What was sent before that was known.
    pub early: Vec<QueuedMessage>,
}

impl Start {
    /// Whether the receiver takes what was sent early; else it drops all of that.
    fn counts_early(&self) -> bool {
        self.early.first().is_some_and(|first| self.held < first.number)
    }
}

/// What the sender does when nothing waits.
pub enum Idle {
    /// Look again.
    Look,
    /// Nothing happened for the time: make sure that the peer is there.
    Ping,
    /// Say goodbye.
    Stop,
}

/// The sending end.
pub struct Sender<'a> {
    session: &'a mut Session,
    own: &'a Own,
    /// What the receiver held at the start: it needs no sending, only its acknowledgement was lost.
    held: u64,
    /// The last number of what was taken early: all up to it is held or on its way.
    early: u64,
    /// Closed while nothing happens, so that an idle connection has no files open but its socket.
    logs: Option<PeerLogs>,
    /// Whether the receiver was told, by a first PING, that nothing waits for it any more.
    greeted: bool,
    /// There was news, and the receiver has said nothing since.
    in_doubt: bool,
    /// Sent, or held, and not yet settled.
    flight: VecDeque<QueuedMessage>,
    in_flight: usize,
}

/// The logs of the peer.
struct PeerLogs {
    outbox: Outbox,
    pending: Pending,
    history: History,
}

impl PeerLogs {
    fn open(own: &Own, peer: &PublicKey, held: u64) -> Result<PeerLogs> {
        let outbox = own.outbox(peer)?;
        Ok(PeerLogs { pending: outbox.pending_of(held), outbox, history: own.history((*peer).into())? })
    }
}

impl<'a> Sender<'a> {
    /// Begins a flow.
    pub fn new(session: &'a mut Session, own: &'a Own, start: Start) -> Result<Sender<'a>> {
        let peer = session.label();
        let mut outbox = own.outbox(&session.peer())?;
        let sent = own.history(session.peer().into())?.sent();
        let counts_early = start.counts_early();
        let held = start.held.max(start.acknowledged);
        if held > sent && !outbox.has_issued(held)? {
            // What was taken early has higher numbers, and so has all that waits after it.
            let again = if counts_early { "" } else { "; what waits is sent again under new numbers" };
            own.report(&format!(
                "{peer} holds newer messages from here than this home has sent: it was restored from a backup, or its \
                 clock went back{again}"
            ));
            if !counts_early {
                outbox.reissue_above(held)?;
            }
        } else if held < sent {
            own.report(&format!(
                "{peer} does not hold all that it had acknowledged: it was restored from a backup, or its history was \
                 deleted; what it lost is not sent again, but `egoat log {peer}` still has it"
            ));
        }
        // All that was taken early is acknowledged over this connection, also if another one has brought it meanwhile.
        let (held, early) = if counts_early { (start.held, start.early) } else { (held, Vec::new()) };
        Ok(Sender {
            session,
            own,
            held,
            early: early.last().map_or(0, |last| last.number),
            logs: None,
            greeted: false,
            in_doubt: false,
            in_flight: early.iter().map(in_window).sum(),
            flight: early.into(),
        })
    }

    /// Sends what waits and what comes to wait, until `idle` says to stop, or `allowed` that the peer is none any more.
    /// `has_files` says when the receiver is to be told that files wait for it. `delivered` learns of each
    /// acknowledgement: how many messages, and the highest number.
    pub fn run(
        mut self,
        allowed: impl Fn() -> bool,
        mut idle: impl FnMut(Duration) -> Idle,
        mut has_files: impl FnMut() -> bool,
        mut delivered: impl FnMut(usize, u64),
    ) -> Result<()> {
        while allowed() {
            self.fill_window()?;
            match self.flight.front().map(|first| first.number) {
                Some(first) => {
                    let acknowledged = if first <= self.held { self.held } else { self.read_ack()? };
                    let (count, number) = self.settle(acknowledged)?;
                    delivered(count, number);
                }
                None => {
                    if self.session.features().has(FILES_WAIT) && has_files() {
                        self.session.write(&Message::FilesWait)?;
                        self.ping()?;
                    }
                    if !self.rest(&mut idle)? {
                        break;
                    }
                }
            }
        }
        self.session.send(&Message::Bye)
    }

    /// Waits until there may be something to send; says whether to go on.
    fn rest(&mut self, idle: &mut impl FnMut(Duration) -> Idle) -> Result<bool> {
        loop {
            // At first it pings at once: who came to collect learns by it that this is all. It does so as well when
            // what was news is nothing to send: the peer may have come anew, or be gone.
            let is_sure = self.greeted && !self.in_doubt;
            let wait = if is_sure { PING_AFTER } else { Duration::ZERO };
            match idle(wait) {
                Idle::Look => {
                    self.in_doubt = true;
                    return Ok(true);
                }
                Idle::Stop => return Ok(false),
                Idle::Ping => self.ping()?,
            }
        }
    }

    fn logs(&mut self) -> Result<&mut PeerLogs> {
        match &mut self.logs {
            Some(logs) => Ok(logs),
            closed => Ok(closed.insert(PeerLogs::open(self.own, &self.session.peer(), self.held)?)),
        }
    }

    fn fill_window(&mut self) -> Result<()> {
        self.logs()?.pending.look_again();
        let mut new = Vec::new();
        let mut room = WINDOW.saturating_sub(self.in_flight);
        while room > 0 {
            let Some(waiting) = self.logs()?.pending.read()? else { break };
            let is_held = waiting.number <= self.held;
            if !is_held && waiting.number <= self.early {
                continue;
            }
            if !is_held && waiting.is_expired() {
                self.drop_expired(new.last())?;
                continue;
            }
            room = room.saturating_sub(in_window(&waiting));
            if is_held { self.add_to_flight(waiting) } else { new.push(waiting) }
        }
        if self.flight.is_empty() && new.is_empty() {
            self.logs()?.outbox.settle_dropped()?;
        }
        self.send_new(new)
    }

    fn send_new(&mut self, mut new: Vec<QueuedMessage>) -> Result<()> {
        let PeerLogs { outbox, pending, .. } = self.logs()?;
        if !new.is_empty() {
            outbox.note_sent(pending, &mut new)?;
        }
        if !new.is_empty() {
            self.session.exchange_addresses()?;
        }
        write_texts(self.session, &new)?;
        new.into_iter().for_each(|message| self.add_to_flight(message));
        self.session.flush()
    }

    fn add_to_flight(&mut self, message: QueuedMessage) {
        self.in_flight += in_window(&message);
        // What is held stands in front of what was sent early.
        let place = self.flight.partition_point(|other| other.number < message.number);
        self.flight.insert(place, message);
    }

    /// Drops all that is expired, but for what is on its way, held or in time: up to the last of these.
    fn drop_expired(&mut self, in_time: Option<&QueuedMessage>) -> Result<()> {
        let last = in_time.or(self.flight.back()).map_or(self.held, |last| last.number.max(self.held));
        let PeerLogs { outbox, pending, history } = self.logs()?;
        let expired = |waiting: &QueuedMessage| waiting.number > last && waiting.is_expired();
        cancel::drop_messages(outbox, history, &expired, Dropped::Expired)?;
        pending.look_again();
        Ok(())
    }

    fn read_ack(&mut self) -> Result<u64> {
        let (first, last) = match (self.flight.front(), self.flight.back()) {
            (Some(first), Some(last)) => (first.number, last.number),
            _ => (0, 0),
        };
        let number = self.session.read_as("waiting for an acknowledgement", |message| match message {
            Message::Ack(number) => Some(number),
            _ => None,
        })?;
        self.in_doubt = false;
        let was_sent = (first..=last).contains(&number);
        if was_sent { Ok(number) } else { Err(self.session.broken("it acknowledges what was not sent")) }
    }

    /// The messages up to `number` are on the receiver's disk: they move from the outbox to the history. In this order:
    /// a crash in between leaves a message in both, and the history knows it by its number. Says how many, and the
    /// highest number of them.
    fn settle(&mut self, number: u64) -> Result<(usize, u64)> {
        let count = self.flight.iter().take_while(|sent| sent.number <= number).count();
        let settled: Vec<QueuedMessage> = self.flight.drain(..count).collect();
        let highest = settled.last().map_or(0, |last| last.number);
        let logs = self.logs()?;
        logs.history.store_sent(settled.iter())?;
        logs.outbox.settle(highest)?;
        self.in_flight -= settled.iter().map(in_window).sum::<usize>();
        Ok((count, highest))
    }

    fn ping(&mut self) -> Result<()> {
        (self.greeted, self.in_doubt) = (true, false);
        self.logs = None;
        self.flight = VecDeque::new();
        self.session.release_memory();
        self.session.exchange_addresses()?;
        self.session.send(&Message::Ping)?;
        self.session.read_as("waiting for a sign of life", |message| (message == Message::Pong).then_some(()))
    }
}

/// What a message counts for in the window.
fn in_window(message: &QueuedMessage) -> usize {
    message.draft.text.len() + PER_MESSAGE
}

/// What the receiver holds, as it says at the start of a flow: what is in the history, and on disk by now.
pub fn held(own: &Own, peer: &PublicKey) -> Result<u64> {
    own.history((*peer).into())?.received()
}

/// Reads what the sender has sent early, before it knew what is `held` here. All of it counts if the first message is new,
/// and is received like what follows; else all of it is dropped, and sent again. If only what is new were stored, the next
/// HELD would claim what was dropped, and a sender that was restored from a backup would take that for delivered.
pub fn receive_early(session: &mut Session, held: u64) -> Result<()> {
    session.read_early()?;
    session.take_bodies(MAX_EARLY);
    let first = session.put_early_aside()?.map(|first| match first {
        Message::Text { number, .. } => Ok(number),
        other => Err(other.kind()),
    });
    match first {
        Some(Ok(number)) if number > held => session.take_early(),
        Some(Err(kind)) => return Err(session.unexpected(kind, "waiting for messages")),
        _ => session.drop_early(),
    }
    Ok(())
}

/// What the receiver has read and must do next.
enum Next {
    Store,
    Answer,
    End,
}

/// The receiving end: stores what comes, and acknowledges it once it is on disk. `stored` learns of the messages that
/// were new, a batch at a time, and `files_wait` that the sender has files to be collected. Ends with the sender's BYE, or
/// when `allowed` is false for so many bytes: then nothing more is stored.
/// With `all_there_is` it ends with the sender's first PING, which says that no message waits any more: with our goodbye,
/// or, when files wait, with the answer, so that the connection stays for what is still to come.
pub fn receive(
    session: &mut Session,
    own: &Own,
    all_there_is: bool,
    allowed: impl Fn(usize) -> bool,
    mut stored: impl FnMut(Vec<ReceivedMessage>),
    files_wait: impl Fn(),
) -> Result<()> {
    let has_said = session.features().has(Features::SAID);
    session.take_bodies(if has_said { MAX_TEXT_BODY } else { MAX_TEXT_BODY - 8 });
    // Closed while nothing happens.
    let mut history = None;
    let mut last = 0;
    let mut is_left = false;
    loop {
        let (mut batch, next) = read_batch(session, &mut last)?;
        if session.take_files_wait() {
            is_left = true;
            files_wait();
        }
        if !allowed(batch.iter().map(|message| message.text.len() + PER_MESSAGE).sum()) {
            return turn_away(session);
        }
        if !batch.is_empty() {
            let history = match &mut history {
                Some(history) => history,
                closed => closed.insert(own.history(session.peer().into())?),
            };
            let new = history.store_received(&batch)?;
            session.exchange_addresses()?;
            session.send(&Message::Ack(last))?;
            batch.retain(|message| new.binary_search(&message.number).is_ok());
            stored(batch);
        }
        match next {
            Next::Store => {}
            Next::Answer if all_there_is => {
                return session.send(if is_left { &Message::Pong } else { &Message::Bye });
            }
            Next::Answer => {
                history = None;
                session.exchange_addresses()?;
                session.send(&Message::Pong)?;
                session.release_memory();
            }
            Next::End => return Ok(()),
        }
    }
}

/// Says goodbye to a sender that is still sending. Closing with unread input would reset the connection, and could destroy
/// the goodbye on its way.
fn turn_away(session: &mut Session) -> Result<()> {
    session.send(&Message::Bye)?;
    session.set_deadline(Some(Deadline::after(LINGER)));
    while session.read("saying goodbye").is_ok() {}
    Ok(())
}

/// Reads what has arrived, at least one message: a burst is stored with few syncs.
fn read_batch(session: &mut Session, last: &mut u64) -> Result<(Vec<ReceivedMessage>, Next)> {
    const DURING: &str = "waiting for messages";
    let mut batch = Vec::new();
    let mut bytes = 0;
    loop {
        match session.read(DURING)? {
            Message::Text { number, said, text } if number > *last => {
                *last = number;
                bytes += text.len() + PER_MESSAGE;
                let said = said.and_then(time::believed).unwrap_or_default();
                batch.push(ReceivedMessage { number, said, text: text.to_vec() });
            }
            Message::Text { .. } => return Err(session.broken("message numbers do not rise")),
            Message::Ping => return Ok((batch, Next::Answer)),
            Message::Bye => return Ok((batch, Next::End)),
            other => {
                let kind = other.kind();
                return Err(session.unexpected(kind, DURING));
            }
        }
        if bytes >= WINDOW || !session.has_buffered()? {
            return Ok((batch, Next::Store));
        }
    }
}
