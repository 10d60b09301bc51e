//! What wakes a chat: its user, the logs, the node, and jobs. All of it goes through one channel, so the chat is one thread
//! that owns everything it shows.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::app::chat::jobs::{BackgroundEvent, EventSender};
use crate::app::link::{LOG_POLL_INTERVAL, NodeEvent, NodeLink};
use crate::error::Result;
use crate::node::threads;

/// Capacity of the channel. When it is full, producers block, so memory stays bounded: a line may have 1 MiB.
const SIGNALS: usize = 32;

/// Something that a chat handles.
pub enum Signal<I> {
    /// The view's own input.
    Input(I),
    /// Something may have been appended to a log.
    Look,
    /// The node in this process tells something.
    Node(NodeEvent),
    /// A job tells something.
    Background(BackgroundEvent),
}

/// Both ends of the channel of a chat.
pub struct Signals<I> {
    sender: SyncSender<Signal<I>>,
    /// Where signals arrive.
    pub receiver: Receiver<Signal<I>>,
}

impl<I> Default for Signals<I> {
    fn default() -> Signals<I> {
        let (sender, receiver) = sync_channel(SIGNALS);
        Signals { sender, receiver }
    }
}

impl<I: Send + 'static> Signals<I> {
    /// Lets jobs tell the chat.
    pub fn teller(&self) -> EventSender {
        let sender = self.sender.clone();
        Arc::new(move |event| drop(sender.send(Signal::Background(event))))
    }

    /// Starts a thread that produces input by `send`, which fails when the chat is gone.
    pub fn spawn(
        &self,
        name: &str,
        produce: impl FnOnce(&mut dyn FnMut(I) -> bool) + Send + 'static,
    ) -> Result<()> {
        let sender = self.sender.clone();
        threads::spawn(name, move || produce(&mut |input| sender.send(Signal::Input(input)).is_ok()))
    }

    /// Starts the threads that tell of the logs, and of the node if it runs in this process.
    pub fn listen(&self, link: &NodeLink, events: Option<Receiver<NodeEvent>>) -> Result<()> {
        let link = link.clone();
        let sender = self.sender.clone();
        threads::spawn("look", move || {
            while sender.send(Signal::Look).is_ok() {
                // A shortage of descriptors, say, passes.
                link.wait(LOG_POLL_INTERVAL).unwrap_or_else(|_| thread::sleep(LOG_POLL_INTERVAL));
            }
        })?;
        let Some(events) = events else { return Ok(()) };
        let sender = self.sender.clone();
        threads::spawn("node", move || {
            while events.recv().is_ok_and(|event| sender.send(Signal::Node(event)).is_ok()) {}
        })
    }
}
