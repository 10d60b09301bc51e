//! `egoat serve`: the node without a terminal, a line an event on stdout.
//!
//! A thread of its own prints, so that a terminal that was stopped by Ctrl-S, or a pipe that nobody reads, holds up no node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::app::link::{self, Limits, NodeEvent, Options, Programs};
use crate::app::{Endpoint, news, settings};
use crate::cli::args;
use crate::cli::values;
use crate::error::{Error, Result};
use crate::text::json::Object;
use crate::ui::output::{self, Output};

/// The limits that the options set, as far as the system allows them.
fn limits(out: Output, args: &args::Serve) -> Result<Limits> {
    if args.max_peers == Some(0) || args.max_pending == Some(0) {
        return Err(Error::usage("--max-peers and --max-pending are 1 or more"));
    }
    let limits = Limits::new(args.max_peers, args.max_pending);
    let is_less = |wanted: Option<usize>, got: usize| wanted.is_some_and(|wanted| wanted > got);
    if is_less(args.max_peers, limits.peers()) || is_less(args.max_pending, limits.pending) {
        out.note(&format!(
            "the system gives a process so few files, or so little memory, that --max-peers is {}, and --max-pending {}",
            limits.peers(),
            limits.pending
        ));
    }
    Ok(limits)
}

pub fn run(own: &Endpoint, out: Output, args: &args::Serve) -> Result<()> {
    let listen = settings::listen_of(own.home(), &args.listen)?;
    let options = Options {
        max_bytes: Some(values::max_file(args.max_file.as_deref())?),
        keep_free: values::keep_free(args.keep_free.as_deref())?,
        map: settings::map_of(own.home(), args.map.as_deref())?,
        overwrite: args.overwrite,
        limits: limits(out, args)?,
        accept_new: args.accept_new,
        programs: Programs::new(args.on_message.as_deref(), args.on_file.as_deref())?,
        ..link::default_options(listen, settings::downloads(own.home(), args.downloads.as_deref())?)
    };
    output::stamp_lines();
    let events = link::start(own, options)?;
    let (journal, told) = sync_channel(QUEUE);
    let (is_done, done) = channel::<()>();
    let missed = Arc::<AtomicUsize>::default();
    let mut printing = Journal { out, shows_text: args.show_text, left_out: 0, missed: Arc::clone(&missed) };
    let print = move || {
        told.into_iter().for_each(|event| printing.note(event));
        drop(is_done);
    };
    thread::Builder::new()
        .name("journal".into())
        .spawn(print)
        .map_err(|cause| Error::failed(format!("cannot start a thread: {cause}")))?;
    let shows_text = args.show_text;
    let ended = pass_on(&events, &journal, |event| {
        missed.fetch_add(lines_of(event, shows_text), Ordering::Relaxed);
    });
    // The journal prints the events from before the end, if anybody reads it.
    drop(journal);
    let _ = done.recv_timeout(LAST_LINES);
    ended
}

/// Events that wait to be printed.
const QUEUE: usize = 64;
/// An output that takes nothing for this long is read by nobody.
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// How often a full queue is tried.
const RETRY: Duration = Duration::from_millis(10);
/// How long a node that cannot go on has for what it has told before.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Gives the journal what the node tells, until that cannot go on. Waits for the journal, but not when it stands still:
/// then `leave_out` gets the events.
fn pass_on(
    events: &Receiver<NodeEvent>,
    journal: &SyncSender<NodeEvent>,
    leave_out: impl Fn(&NodeEvent),
) -> Result<()> {
    let mut patience = STALLED_AFTER;
    for mut event in events {
        if let NodeEvent::Fatal(error) = event {
            return Err(error);
        }
        let begun = Instant::now();
        loop {
            match journal.try_send(event) {
                Ok(()) => {
                    patience = STALLED_AFTER;
                    break;
                }
                Err(TrySendError::Full(same)) if begun.elapsed() < patience => {
                    event = same;
                    thread::sleep(RETRY);
                }
                Err(TrySendError::Full(same) | TrySendError::Disconnected(same)) => {
                    patience = Duration::ZERO;
                    leave_out(&same);
                    break;
                }
            }
        }
    }
    Ok(())
}

/// How many lines are left out with the event.
fn lines_of(event: &NodeEvent, shows_text: bool) -> usize {
    match event {
        NodeEvent::Received { messages, .. } if shows_text => messages.len(),
        NodeEvent::TransferDone { .. } | NodeEvent::Fetching { .. } | NodeEvent::Offered(_) => 0,
        _ => 1,
    }
}

/// Prints the events of the node on stdout and stderr.
struct Journal {
    out: Output,
    shows_text: bool,
    /// Lines that stdout did not take since it took one.
    left_out: usize,
    /// Lines that were left out while an output stood still.
    missed: Arc<AtomicUsize>,
}

impl Journal {
    fn note(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::Received { peer, messages } if self.shows_text => {
                for message in &messages {
                    let line = news::message_line(&peer, message);
                    self.print(&line, || news::message_object(&peer, message));
                }
            }
            NodeEvent::TransferFailed { error, .. } | NodeEvent::Trouble(error) | NodeEvent::Fatal(error) => {
                output::warn(&error.to_string())
            }
            // Standard output says where the node listens anyway; a person is to know that it stays so.
            NodeEvent::ChosePort { .. } => {
                news::line(&event).into_iter().for_each(|line| self.out.note(&line));
                if let (true, Some(object)) = (self.out.json, news::object(&event)) {
                    self.print("", || object);
                }
            }
            event => {
                // Nobody is asked here, and each file was told by itself.
                if let (Some(line), Some(object)) = (news::line(&event), news::object(&event)) {
                    self.print(&line, || object);
                }
            }
        }
    }

    /// Prints a line. The node is worth more than its output: where that is a file on a full disk, the line is left out.
    fn print(&mut self, line: &str, object: impl FnOnce() -> Object) {
        match self.out.data(line, object) {
            Ok(()) => {
                let count = std::mem::take(&mut self.left_out) + self.missed.swap(0, Ordering::Relaxed);
                if count > 0 {
                    output::warn(&format!("stdout takes lines again; {count} were left out"));
                }
            }
            Err(error) => {
                if self.left_out == 0 {
                    output::warn(&format!("{error}; the node runs on, and leaves lines out"));
                }
                self.left_out += 1;
            }
        }
    }
}
