//! `egoat outbox`: what waits, cancelling it, trying again; and `egoat fetch`.

use std::collections::BTreeSet;

use crate::app::files::{self, Job};
use crate::app::inbox::entry::{Event, HistoryEntry, Times};
use crate::app::messages::{self, FetchStep, Fetched, Queue, QueuedItem, QueuedMessage};
use crate::app::{Endpoint, Own, Peer, contacts};
use crate::cli::args::{self, OutboxAction};
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::time::{self, Zone};
use crate::ui::lines;
use crate::ui::output::{self, Output};

pub fn run(own: &Endpoint, out: Output, args: args::Outbox) -> Result<()> {
    match args.action.unwrap_or(OutboxAction::List(args::OutboxList {})) {
        OutboxAction::List(_) => list(own, out),
        OutboxAction::Cancel(args) => cancel(own, out.ignoring_closed_stdout(), &args),
        OutboxAction::Retry(args) => retry(own, out.ignoring_closed_stdout(), args.peer.as_deref()),
    }
}

fn list(own: &Own, out: Output) -> Result<()> {
    let zone = Zone::local();
    for queue in messages::queues(own)? {
        let mut items = queue.items(own)?;
        if items.is_waiting {
            out.note(&queue.status());
        }
        while let Some(item) = items.read()? {
            match item {
                QueuedItem::Message(waiting) => print_message(out, &zone, &queue, &waiting)?,
                QueuedItem::Files(job) => print_files(out, &zone, &queue, &job)?,
            }
        }
    }
    Ok(())
}

fn print_message(out: Output, zone: &Zone, queue: &Queue, waiting: &QueuedMessage) -> Result<()> {
    let QueuedMessage { number, said, draft } = waiting;
    let peer = &queue.peer.name;
    let event = Event::Sent { number: *number, key: &draft.key, text: &draft.text };
    let times = Times { noted: *said, said: *said };
    let line = lines::line(zone, peer, &HistoryEntry { seq: *number, times, event });
    let note = match draft.expires {
        0 => String::new(),
        _ if waiting.is_expired() => " (expired)".to_owned(),
        expires => format!(" (until {})", zone.format(expires)),
    };
    out.data(&format!("{number}{note} {line}"), || queue.message_object(waiting))
}

fn print_files(out: Output, zone: &Zone, queue: &Queue, job: &Job) -> Result<()> {
    let peer = &queue.peer.name;
    let (state, reason) = (files::state_of(job), files::why_stopped(job));
    let note = if job.stopped.is_some() { format!(" ({state})") } else { String::new() };
    let (time, size) = (zone.format_known(time::believed(job.queued)), text::size(job.size()));
    let mut line = format!("{}{note} {time} -> {peer} file {} ({size})", job.number, files::title_of(job));
    if let Some(reason) = &reason {
        line = format!("{line}: {reason}");
    }
    out.data(&text::clean_line(&line), || queue.job_object(job))
}

fn cancel(own: &Own, out: Output, args: &args::OutboxCancel) -> Result<()> {
    let parse = |id: &String| {
        id.parse::<u64>().map_err(|_| Error::Usage {
            what: format!("{} is no id of a message", text::clean_line(id)),
            hint: Some("`egoat outbox` shows the ids of what waits".into()),
        })
    };
    let wanted = args.ids.iter().map(parse).collect::<Result<BTreeSet<u64>>>()?;
    if wanted.is_empty() {
        return Err(Error::usage("which message? `egoat outbox cancel ID...`"));
    }
    let mut print = |peer: &Peer, number: u64| {
        out.data(&format!("cancelled {number} to {}", peer.name), || messages::cancelled_object(peer, number))
    };
    match messages::cancel(own, wanted, &mut print)?.first() {
        Some(id) => Err(Error::failed(format!("no message {id} waits; it may be delivered by now"))),
        None => Ok(()),
    }
}

fn retry(own: &Endpoint, out: Output, name: Option<&str>) -> Result<()> {
    let only = name.map(|name| contacts::named(own, name)).transpose()?;
    let mut failures = Failures::new(true);
    messages::retry(own, only, &mut |step| match step {
        FetchStep::NodeRuns => {
            out.note("the node tries now");
            Ok(())
        }
        step => print(out, step, &mut failures),
    })?;
    failures.end()
}

pub fn fetch(own: &Endpoint, out: Output, args: &args::Fetch) -> Result<()> {
    let mut failures = Failures::new(args.strict);
    messages::fetch(own, &mut |step| match step {
        FetchStep::NodeRuns => {
            out.note("a node runs here, and does this all the time");
            Ok(())
        }
        step => print(out, step, &mut failures),
    })?;
    failures.end()
}

fn print(out: Output, step: FetchStep, failures: &mut Failures) -> Result<()> {
    match step {
        FetchStep::QueuedAgain(peer, number) => {
            out.note(&format!("{number} to {peer} waits again, as it is now"))
        }
        FetchStep::Visited(peer, fetched) => {
            let Fetched { delivered, received, files, collected, troubles, notes } = fetched;
            let counts = [("files sent", files), ("files received", collected)];
            let moved = counts.iter().filter(|(_, count)| *count > 0);
            let moved: String = moved.map(|(what, count)| format!(", {what} {count}")).collect();
            out.data(&format!("{peer}: delivered {delivered}, received {received}{moved}"), || {
                let object = Object::event("fetched").text("peer", &peer);
                let object = object.number("delivered", delivered as u64).number("received", received as u64);
                object.number("files", files as u64).number("collected", collected as u64)
            })?;
            notes.iter().for_each(|note| out.note(note));
            troubles.into_iter().for_each(|error| failures.add(error));
        }
        FetchStep::Away(peer, error) if !failures.is_strict => {
            out.data(&format!("{peer}: away"), || {
                Object::event("away").text("peer", &peer).text("error", &error.to_string())
            })?;
        }
        FetchStep::Away(_, error) | FetchStep::Failed(error) => failures.add(error),
        FetchStep::NodeRuns => {}
    }
    Ok(())
}

/// Failures after which the command goes on: the first is the command's own, the others are printed at once.
struct Failures {
    first: Option<Error>,
    /// A peer that is away counts as one.
    is_strict: bool,
}

impl Failures {
    fn new(is_strict: bool) -> Failures {
        Failures { first: None, is_strict }
    }

    fn add(&mut self, error: Error) {
        match &self.first {
            _ if error.is_absence() && !self.is_strict => {}
            None => self.first = Some(error),
            Some(_) => output::error(&error),
        }
    }

    fn end(self) -> Result<()> {
        self.first.map_or(Ok(()), Err)
    }
}
