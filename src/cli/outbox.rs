//! `egoat outbox`: what waits, taking it back, trying again; and `egoat fetch`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chat::line::Line;
use crate::cli::args::{self, OutboxAction};
use crate::cli::output::{self, Output};
use crate::cli::who;
use crate::error::{Error, Result};
use crate::node::delivery::{self, Fetched};
use crate::node::doorbell::Bell;
use crate::node::pairing;
use crate::store;
use crate::store::attempts::{self, Attempt};
use crate::store::history::Event;
use crate::store::home::Own;
use crate::store::node_lock;
use crate::store::outbox::{Pending, Waiting};
use crate::store::peers::{Peer, Peers};
use crate::store::queued_files::{Job, Stop};
use crate::store::source::Item;
use crate::text::{self, json::Object};
use crate::time::{Zone, now_micros};

pub fn run(own: &Own, out: Output, args: args::Outbox) -> Result<()> {
    match args.action.unwrap_or(OutboxAction::List(args::OutboxList {})) {
        OutboxAction::List(_) => list(own, out),
        OutboxAction::Cancel(args) => cancel(own, out.of_deeds(), &args),
        OutboxAction::Retry(args) => retry(own, out.of_deeds(), args.peer.as_deref()),
    }
}

/// The peers who have an outbox, of messages or of files.
fn correspondents(own: &Own) -> Result<Vec<Peer>> {
    let peers = Peers::load(own.home())?;
    let has_files = |peer: &Peer| own.home().queued_files_path(&peer.key).exists();
    Ok(peers.iter().filter(|peer| own.home().has_outbox(&peer.key) || has_files(peer)).cloned().collect())
}

fn list(own: &Own, out: Output) -> Result<()> {
    let zone = Zone::local();
    let node_runs = node_lock::running(own.home())?.is_some();
    for peer in correspondents(own)? {
        let mut attempt = attempts::last(own.home(), &peer.key);
        if let Some(attempt) = attempt.as_mut().filter(|_| !node_runs) {
            // Nobody does what a node that is gone meant to do.
            attempt.next = 0;
        }
        list_peer(own, out, &zone, &peer, attempt.as_ref(), node_runs)?;
    }
    Ok(())
}

/// Messages and files of a peer, oldest first.
fn list_peer(
    own: &Own,
    out: Output,
    zone: &Zone,
    peer: &Peer,
    attempt: Option<&Attempt>,
    node_runs: bool,
) -> Result<()> {
    let files = own.read_queued_files(&peer.key).all()?;
    let outbox = own.home().has_outbox(&peer.key).then(|| own.outbox(&peer.key)).transpose()?;
    let mut pending = outbox.map(|outbox| outbox.pending());
    let mut next_message = || pending.as_mut().map_or(Ok(None), Pending::read);
    let mut message = next_message()?;
    if message.is_some() || files.iter().any(|job| job.stopped.is_none()) {
        out.note(&status(peer, attempt, node_runs));
    }
    let mut files = files.iter().peekable();
    while let Some(waiting) = message {
        while let Some(job) = files.next_if(|job| job.number < waiting.number) {
            print_files(out, zone, peer, job, attempt)?;
        }
        print(out, zone, peer, &waiting, attempt)?;
        message = next_message()?;
    }
    files.try_for_each(|job| print_files(out, zone, peer, job, attempt))
}

/// The note above what waits for a peer.
fn status(peer: &Peer, attempt: Option<&Attempt>, node_runs: bool) -> String {
    let now = now_micros() / 1_000_000;
    let seconds = |count| text::duration(Duration::from_secs(count));
    let tried = match attempt {
        None => "not tried yet".to_owned(),
        Some(Attempt { tried, reason, .. }) => {
            format!("tried {} ago, {}", seconds(now.saturating_sub(*tried)), text::clean_line(reason))
        }
    };
    let next = match attempt.map_or(0, |attempt| attempt.next.saturating_sub(now)) {
        _ if !node_runs => "no node runs here to try again".to_owned(),
        0 => "trying now".to_owned(),
        left => format!("again in {}", seconds(left)),
    };
    format!("{}: {tried}; {next}", peer.name)
}

fn print(out: Output, zone: &Zone, peer: &Peer, waiting: &Waiting, attempt: Option<&Attempt>) -> Result<()> {
    let Waiting { number, draft } = waiting;
    let event = Event::Sent { number: *number, key: &draft.key, text: &draft.text };
    let line = Line { peer: &peer.name, micros: *number, event }.text(zone);
    let note = match draft.expires {
        0 => String::new(),
        _ if waiting.is_expired() => " (expired)".to_owned(),
        expires => format!(" (until {})", zone.format(expires)),
    };
    out.data(&format!("{number}{note} {line}"), || {
        let object = Object::event("queued").text("peer", &peer.name).number("number", *number);
        let object = object.text("key", &draft.key).text("text", &String::from_utf8_lossy(&draft.text));
        let object = object.number("age", now_micros().saturating_sub(*number) / 1_000_000);
        tell_attempt(object.number("expires", draft.expires), attempt)
    })
}

fn tell_attempt(object: Object, attempt: Option<&Attempt>) -> Object {
    let reason = attempt.map(|attempt| attempt.reason.as_str());
    let next = attempt.map_or(0, |attempt| attempt.next.saturating_mul(1_000_000));
    object.optional("error", reason).number("next", next)
}

fn print_files(out: Output, zone: &Zone, peer: &Peer, job: &Job, attempt: Option<&Attempt>) -> Result<()> {
    let state = job.stopped.as_ref().map_or("waiting", Stop::word);
    let reason = job.stopped.as_ref().map(|stop| why(stop, job));
    let note = if job.stopped.is_some() { format!(" ({state})") } else { String::new() };
    let (time, size) = (zone.format(job.number), text::size(job.size()));
    let mut line = format!("{}{note} {time} -> {} file {} ({size})", job.number, peer.name, what(job));
    if let Some(reason) = &reason {
        line = format!("{line}: {reason}");
    }
    out.data(&text::clean_line(&line), || {
        let object = Object::event("file-queued").text("peer", &peer.name).number("number", job.number);
        let object = object.list("paths", job.items.iter().map(shown)).number("size", job.size());
        let object = object.text("state", state).optional("reason", reason.as_deref());
        tell_attempt(object.number("age", now_micros().saturating_sub(job.number) / 1_000_000), attempt)
    })
}

/// The path of an item, of a directory with a slash behind it; not cleaned.
pub fn shown(item: &Item) -> String {
    let path = item.path.to_string_lossy();
    let slash = if item.is_dir && !path.ends_with('/') { "/" } else { "" };
    format!("{path}{slash}")
}

/// The first of its paths, and how many there are more; not cleaned.
fn what(job: &Job) -> String {
    match &job.items[..] {
        [] => String::new(),
        [one] => shown(one),
        [first, rest @ ..] => format!("{} and {} more", shown(first), rest.len()),
    }
}

/// Why it was stopped, with the path where there are several; not cleaned.
fn why(stop: &Stop, job: &Job) -> String {
    match stop {
        Stop::Changed { path, what } if job.items.len() > 1 => format!("{}: {what}", path.to_string_lossy()),
        Stop::Changed { what: why, .. } | Stop::Refused(why) => why.clone(),
    }
}

fn cancel(own: &Own, out: Output, args: &args::OutboxCancel) -> Result<()> {
    let parse = |id: &String| {
        id.parse::<u64>().map_err(|_| Error::Usage {
            what: format!("{} is no id of a message", text::clean_line(id)),
            hint: Some("`egoat outbox` shows the ids of what waits".into()),
        })
    };
    let mut wanted = args.ids.iter().map(parse).collect::<Result<BTreeSet<u64>>>()?;
    if wanted.is_empty() {
        return Err(Error::usage("which message? `egoat outbox cancel ID...`"));
    }
    for peer in correspondents(own)? {
        for number in store::cancel::cancel(own, &peer.key, |number| wanted.contains(&number))? {
            wanted.remove(&number);
            let object = || Object::event("cancelled").text("peer", &peer.name).number("number", number);
            out.data(&format!("cancelled {number} to {}", peer.name), object)?;
        }
    }
    match wanted.first() {
        Some(id) => Err(Error::failed(format!("no message {id} waits; it may be delivered by now"))),
        None => Ok(()),
    }
}

/// Has the files that were stopped wait again, as they are now; those that cannot be read stay as they are.
fn queue_again(own: &Own, out: Output, peer: &Peer) -> Result<()> {
    let mut failures = Failures::default();
    let listed = own.read_queued_files(&peer.key).all()?;
    for job in listed.iter().filter(|job| job.stopped.is_some()) {
        let again = |items: Vec<Item>| own.queued_files(&peer.key)?.queue_again(job.number, &items);
        let queued = job.items_now().and_then(again);
        if failures.keep(queued).unwrap_or(false) {
            out.note(&format!("{} to {} waits again, as it is now", job.number, peer.name));
        }
    }
    failures.end()
}

/// By the node that runs, or by this process. A peer who is blocked is not dialled.
fn retry(own: &Own, out: Output, name: Option<&str>) -> Result<()> {
    let peers = match name {
        Some(name) => {
            let peer = who::saved(own, name)?;
            pairing::ensure_not_blocked(&peer)?;
            vec![peer]
        }
        None => correspondents(own)?.into_iter().filter(|peer| !peer.is_blocked()).collect(),
    };
    let mut failures = Failures::default();
    for peer in &peers {
        failures.keep(queue_again(own, out, peer));
        failures.keep(attempts::clear(own.home(), &peer.key));
    }
    if Bell::new(own.home())?.ring()? {
        out.note("the node tries now");
        return failures.end();
    }
    failures.keep(visit(out, &peers, |peer| delivery::push_all(own, peer)));
    failures.end()
}

pub fn fetch(own: &Own, out: Output) -> Result<()> {
    if node_lock::running(own.home())?.is_some() {
        Bell::new(own.home())?.ring()?;
        out.note("a node runs here, and does this all the time");
        return Ok(());
    }
    let peers: Vec<Peer> = Peers::load(own.home())?
        .iter()
        .filter(|peer| peer.has_address() && !peer.is_blocked())
        .cloned()
        .collect();
    visit(out, &peers, |peer| delivery::fetch(own, peer))
}

/// Each peer in turn; a failure of one does not keep from the others, and the first is the command's.
fn visit(out: Output, peers: &[Peer], act: impl Fn(&Peer) -> Result<Fetched>) -> Result<()> {
    let mut failures = Failures::default();
    for peer in peers {
        if let Some(Fetched { delivered, received, files, troubles }) = failures.keep(act(peer)) {
            let sent = if files > 0 { format!(", files sent {files}") } else { String::new() };
            out.data(&format!("{}: delivered {delivered}, received {received}{sent}", peer.name), || {
                let object = Object::event("fetched").text("peer", &peer.name);
                let object = object.number("delivered", delivered as u64).number("received", received as u64);
                object.number("files", files as u64)
            })?;
            for trouble in troubles {
                failures.keep(Err::<(), _>(trouble));
            }
        }
    }
    failures.end()
}

/// Failures that do not keep from what comes next: the first is the command's, the others are told at once.
#[derive(Default)]
struct Failures(Option<Error>);

impl Failures {
    fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(done) => return Some(done),
            Err(error) if self.0.is_none() => self.0 = Some(error),
            Err(error) => output::error(&error),
        }
        None
    }

    fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
