//! `egoat status`: what the node of this home does now.

use std::cell::Cell;
use std::sync::Arc;

use crate::app::chat::transfers;
use crate::app::files::{self, Job};
use crate::app::identity::{self, Proxy};
use crate::app::messages::Queue;
use crate::app::status::{self, Waiting};
use crate::app::{Endpoint, Home};
use crate::cli::passphrase::PassphraseSource;
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::time::{self, now_micros};
use crate::ui::output::{self, Output};

pub fn run(home: &Home, proxy: Option<Proxy>, out: Output, passphrases: &PassphraseSource) -> Result<()> {
    // That none runs needs no passphrase to be known.
    status::ensure_node_runs(home)?;
    let own = unlock(home, proxy, passphrases)?;
    let status = status::status(home, own.as_deref())?;
    for at in &status.listening {
        out.data(&line("listening", at), || Object::event("listening").text("address", at))?;
    }
    for at in status.addresses.iter().map(ToString::to_string) {
        out.data(&line("address", &at), || Object::event("address").text("address", &at))?;
    }
    let mapping = &status.mapping;
    for mapped in &mapping.mapped {
        let human = line("mapped", &status::mapped_line(mapped, mapping));
        out.data(&human, || status::mapped_object(mapped))?;
    }
    // One that works has said so.
    if out.json || mapping.mapped.is_empty() || !mapping.detail.is_empty() {
        out.data(&line("mapping", &status::mapping_line(mapping)), || status::mapping_object(mapping))?;
    }
    for (peer, here) in &status.here {
        let since = time::believed(here.since.saturating_mul(1_000_000));
        let long = since.map_or_else(String::new, |since| {
            format!(", for {}", text::seconds(now_micros().saturating_sub(since) / 1_000_000))
        });
        let human = format!("{peer}{long}, {} by {}", here.path.as_str(), here.address);
        out.data(&line("here", &human), || status::here_object(peer, here))?;
    }
    match &status.waiting {
        Some(waiting) => waiting.iter().try_for_each(|waiting| print_waiting(out, waiting))?,
        None => {
            out.note("what waits is left out: it is sealed, and the node gives the key to no other command")
        }
    }
    for transfer in &status.transfers {
        out.data(&line("moving", &transfers::line(transfer)), || status::transfer_object(transfer))?;
    }
    for offer in &status.offers {
        let extent = text::extent(offer.files, status::known(offer.bytes));
        let human = format!("[{}] {}{extent} by {}", offer.number, offer.title, offer.peer);
        out.data(&line("offered", &human), || status::offer_object(offer))?;
    }
    for (dir, bytes) in &status.free {
        let dir = dir.to_string_lossy();
        out.data(&line("disk", &format!("{} free for {dir}", text::size(*bytes))), || {
            Object::event("disk").text("path", &dir).number("free", *bytes)
        })?;
    }
    Ok(())
}

/// Opens the home, unless that would have to ask: a monitor has nobody to answer.
fn unlock(home: &Home, proxy: Option<Proxy>, passphrases: &PassphraseSource) -> Result<Option<Endpoint>> {
    let has_none = Cell::new(false);
    let ask = || match passphrases {
        PassphraseSource::Descriptor(_) => passphrases.current(),
        PassphraseSource::Terminal => {
            has_none.set(true);
            Err(Error::Stopped)
        }
    };
    match identity::unlock(home.clone(), proxy, &ask, Arc::new(output::warn)) {
        Err(_) if has_none.get() => Ok(None),
        opened => opened.map(Some),
    }
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
            queue.with_attempt(object.number("stopped", stopped.len() as u64))
        })?;
    }
    stopped.iter().try_for_each(|job| print_stopped(out, queue, job))
}

/// Files that nobody sends before the user decides: which, why, and what to type.
fn print_stopped(out: Output, queue: &Queue, job: &Job) -> Result<()> {
    let (peer, title) = (&queue.peer, files::title_of(job));
    let why = files::why_stopped(job).unwrap_or_default();
    let human = format!("{title} to {}: {why}; {}", peer.name, job.how_to_go_on(&peer.name));
    out.data(&line("stopped", &human), || queue.job_object(job))
}
