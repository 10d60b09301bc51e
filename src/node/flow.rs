//! The two ends of a flow of messages, as straight loops (egoat-protocol(7), MESSAGE FLOW). The sender writes what
//! waits in the outbox and reads acknowledgements; the receiver reads, stores, syncs and acknowledges. Which of them
//! dialled makes no difference here.

use std::collections::VecDeque;
use std::time::Duration;

use crate::crypto::keys::PublicKey;
use crate::error::Result;
use crate::net::session::{PING_AFTER, Session};
use crate::store::history::{History, Numbered};
use crate::store::home::Own;
use crate::store::outbox::{Outbox, Pending};
use crate::wire::message::Message;

/// Bytes of text on their way that are not yet acknowledged. It bounds the memory of both ends, and is what a burst may
/// have in flight: large enough that a sync at the other end does not stop the stream.
const WINDOW: usize = 512 << 10;
/// What a message costs in the window beside its text.
const PER_MESSAGE: usize = 64;

/// How a flow starts: the receiver says the last number that it holds.
pub fn read_held(session: &mut Session) -> Result<u64> {
    session.expect("waiting to be told what it holds", |message| match message {
        Message::Held(number) => Some(number),
        _ => None,
    })
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
    outbox: Outbox,
    pending: Pending,
    history: Option<History>,
    own: &'a Own,
    peer: PublicKey,
    /// What the receiver held at the start: it needs no sending, only its acknowledgement was lost.
    held: u64,
    /// Sent, or held, and not yet settled.
    flight: VecDeque<Numbered>,
    in_flight: usize,
}

impl<'a> Sender<'a> {
    /// Begins a flow to a receiver that holds everything up to `held`.
    pub fn new(session: &'a mut Session, own: &'a Own, held: u64) -> Result<Sender<'a>> {
        let peer = session.peer();
        let mut outbox = own.outbox(&peer)?;
        if !outbox.has_issued(held)? {
            own.report(&format!(
                "{} holds newer messages from here than this home has sent: it was restored from a backup, or its clock \
                 went back; what waits is sent again under new numbers",
                session.label()
            ));
            outbox.reissue_above(held)?;
        }
        let pending = outbox.pending();
        Ok(Sender {
            session,
            outbox,
            pending,
            history: None,
            own,
            peer,
            held,
            flight: VecDeque::new(),
            in_flight: 0,
        })
    }

    /// Sends what waits and what comes to wait, until `idle` says to stop. `delivered` learns of each acknowledgement:
    /// how many messages, and the highest number.
    pub fn run(
        mut self,
        mut idle: impl FnMut(Duration) -> Idle,
        mut delivered: impl FnMut(usize, u64),
    ) -> Result<()> {
        loop {
            self.fill_window()?;
            let acknowledged = match self.flight.front() {
                Some((first, _)) if *first <= self.held => self.held,
                Some(_) => self.read_ack()?,
                None => {
                    match idle(PING_AFTER) {
                        Idle::Look => {}
                        Idle::Ping => self.ping()?,
                        Idle::Stop => return self.session.send(&Message::Bye),
                    }
                    continue;
                }
            };
            let (count, number) = self.settle(acknowledged)?;
            delivered(count, number);
        }
    }

    fn fill_window(&mut self) -> Result<()> {
        while self.in_flight < WINDOW {
            let Some((number, text)) = self.pending.read()? else { break };
            if number > self.held {
                self.session.write(&Message::Text { number, body: &text })?;
            }
            self.in_flight += text.len() + PER_MESSAGE;
            self.flight.push_back((number, text));
        }
        self.session.flush()
    }

    fn read_ack(&mut self) -> Result<u64> {
        const DURING: &str = "waiting for an acknowledgement";
        let (first, last) = match (self.flight.front(), self.flight.back()) {
            (Some((first, _)), Some((last, _))) => (*first, *last),
            _ => (0, 0),
        };
        let number = self.session.expect(DURING, |message| match message {
            Message::Ack(number) => Some(number),
            _ => None,
        })?;
        let was_sent = (first..=last).contains(&number);
        if was_sent { Ok(number) } else { Err(self.session.broken("it acknowledges what was not sent")) }
    }

    /// The messages up to `number` are on the receiver's disk: they move from the outbox to the history. In this order:
    /// a crash in between leaves a message in both, and the history knows it by its number. Says how many, and the
    /// highest number of them.
    fn settle(&mut self, number: u64) -> Result<(usize, u64)> {
        let count = self.flight.iter().take_while(|(sent, _)| *sent <= number).count();
        let settled = self.flight.iter().take(count).map(|(number, text)| (*number, &text[..]));
        let history = match &mut self.history {
            Some(history) => history,
            none => none.insert(self.own.history(&self.peer)?),
        };
        history.store_sent(settled)?;
        let highest = if count == 0 { 0 } else { self.flight[count - 1].0 };
        self.outbox.settle(highest)?;
        for (_, text) in self.flight.drain(..count) {
            self.in_flight -= text.len() + PER_MESSAGE;
        }
        Ok((count, highest))
    }

    fn ping(&mut self) -> Result<()> {
        self.session.release_memory();
        self.pending.release_memory();
        self.flight.shrink_to_fit();
        self.session.send(&Message::Ping)?;
        self.session.expect("waiting for a sign of life", |message| (message == Message::Pong).then_some(()))
    }
}

/// What the receiver has read and must do next.
enum Next {
    Store,
    Answer,
    End,
}

/// The receiving end: stores what comes, and acknowledges it once it is on disk. `stored` learns of every message that
/// was new. Ends with the sender's BYE, or when `welcome` turns false: then nothing more is stored.
pub fn receive(
    session: &mut Session,
    history: &mut History,
    welcome: impl Fn() -> bool,
    mut stored: impl FnMut(Numbered),
) -> Result<()> {
    const DURING: &str = "waiting for messages";
    let mut batch: Vec<Numbered> = Vec::new();
    let mut last = 0;
    loop {
        let mut bytes = 0;
        let next = loop {
            match session.read(DURING)? {
                Message::Text { number, body } if number > last => {
                    last = number;
                    bytes += body.len() + PER_MESSAGE;
                    batch.push((number, body.to_vec()));
                }
                Message::Text { .. } => return Err(session.broken("message numbers do not rise")),
                Message::Ping => break Next::Answer,
                Message::Bye => break Next::End,
                other => {
                    let kind = other.kind();
                    return Err(session.unexpected(kind, DURING));
                }
            }
            // One sync for all that has arrived: a burst costs few.
            if bytes >= WINDOW || !session.has_buffered()? {
                break Next::Store;
            }
        };
        if !welcome() {
            return session.send(&Message::Bye);
        }
        if !batch.is_empty() {
            let new = history.store_received(&batch)?;
            session.send(&Message::Ack(last))?;
            batch.drain(..).filter(|(number, _)| new.binary_search(number).is_ok()).for_each(&mut stored);
        }
        match next {
            Next::Store => {}
            Next::Answer => {
                session.send(&Message::Pong)?;
                session.release_memory();
                batch = Vec::new();
            }
            Next::End => return Ok(()),
        }
    }
}
