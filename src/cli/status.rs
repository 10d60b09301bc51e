//! `egoat status`: what the node of this home does now.

use crate::app::Own;
use crate::app::chat::transfers;
use crate::app::files::{self, Job};
use crate::app::link::{TransferWay, UNKNOWN};
use crate::app::messages::Queue;
use crate::app::status::{self, Waiting};
use crate::cli::outbox;
use crate::error::Result;
use crate::text::{self, json::Object};
use crate::time::{self, now_micros};
use crate::ui::output::Output;

pub fn run(own: &Own, out: Output) -> Result<()> {
    let status = status::status(own)?;
    for at in &status.listening {
        out.data(&line("listening", at), || Object::event("listening").text("address", at))?;
    }
    for at in status.addresses.iter().map(ToString::to_string) {
        out.data(&line("address", &at), || Object::event("address").text("address", &at))?;
    }
    for (peer, here) in &status.here {
        let since = time::believed(here.since.saturating_mul(1_000_000));
        let long = since.map_or_else(String::new, |since| {
            format!(", for {}", text::seconds(now_micros().saturating_sub(since) / 1_000_000))
        });
        let human = format!("{peer}{long}, by {}", here.way);
        out.data(&line("here", &human), || {
            let object = Object::event("here").text("peer", peer).text("address", &here.way);
            object.optional_number("time", since)
        })?;
    }
    status.waiting.iter().try_for_each(|waiting| print_waiting(out, waiting))?;
    for transfer in &status.transfers {
        out.data(&line("moving", &transfers::line(transfer)), || {
            let way = if transfer.way == TransferWay::In { "in" } else { "out" };
            let object = Object::event("transfer").number("number", transfer.number);
            let object = object.text("peer", &transfer.peer).text("title", &transfer.title);
            let object = object.text("direction", way).number("bytes", transfer.done);
            object.optional_number("total", known(transfer.total)).number("rate", transfer.rate)
        })?;
    }
    for offer in &status.offers {
        let extent = text::extent(offer.files, known(offer.bytes));
        out.data(
            &line("offered", &format!("[{}] {}{extent} by {}", offer.number, offer.title, offer.peer)),
            || {
                let object = Object::event("offer").number("number", offer.number).text("peer", &offer.peer);
                let object = object.text("title", &offer.title).number("files", offer.files);
                object.optional_number("bytes", known(offer.bytes)).number("until", offer.until * 1_000_000)
            },
        )?;
    }
    for (dir, bytes) in &status.free {
        let dir = dir.to_string_lossy();
        out.data(&line("disk", &format!("{} free for {dir}", text::size(*bytes))), || {
            Object::event("disk").text("path", &dir).number("free", *bytes)
        })?;
    }
    Ok(())
}

fn known(bytes: u64) -> Option<u64> {
    Some(bytes).filter(|bytes| *bytes != UNKNOWN)
}

fn line(what: &str, rest: &str) -> String {
    text::clean_line(&format!("{what:<11}{rest}"))
}

fn print_waiting(out: Output, waiting: &Waiting) -> Result<()> {
    let Waiting { queue, messages, jobs, stopped } = waiting;
    // What was stopped has lines of its own, and is not tried.
    if out.json || messages + jobs > 0 {
        let human = format!("{} for {}", waiting.counts(), queue.status());
        out.data(&line("waiting", &human), || {
            let object = Object::event("waiting").text("peer", &queue.peer.name);
            let object = object.number("messages", *messages as u64).number("transfers", *jobs as u64);
            outbox::with_attempt(object.number("stopped", stopped.len() as u64), queue)
        })?;
    }
    stopped.iter().try_for_each(|job| print_stopped(out, queue, job))
}

/// Files that nobody sends before the user decides: which, why, and what to type.
fn print_stopped(out: Output, queue: &Queue, job: &Job) -> Result<()> {
    let (peer, title) = (&queue.peer, files::title_of(job));
    let why = files::why_stopped(job).unwrap_or_default();
    let human = format!("{title} to {}: {why}; {}", peer.name, files::how_to_go_on(peer, job));
    out.data(&line("stopped", &human), || outbox::file_object(queue, job))
}
