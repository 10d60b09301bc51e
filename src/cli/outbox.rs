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
use crate::store::attempts::{self, Attempt};
use crate::store::history::{Dropped, Event};
use crate::store::home::Own;
use crate::store::node_lock;
use crate::store::outbox::Waiting;
use crate::store::peers::{Peer, Peers};
use crate::text::{self, json::Object};
use crate::time::{Zone, now_micros};

pub fn run(own: &Own, out: Output, args: args::Outbox) -> Result<()> {
    match args.action.unwrap_or(OutboxAction::List(args::OutboxList {})) {
        OutboxAction::List(_) => list(own, out),
        OutboxAction::Cancel(args) => cancel(own, out, &args),
        OutboxAction::Retry(args) => retry(own, out, args.peer.as_deref()),
    }
}

/// The peers who have an outbox.
fn correspondents(own: &Own) -> Result<Vec<Peer>> {
    let peers = Peers::load(own.home())?;
    Ok(peers.iter().filter(|peer| own.home().outbox_path(&peer.key).exists()).cloned().collect())
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
        let mut pending = own.outbox(&peer.key)?.pending();
        let mut first = true;
        while let Some(waiting) = pending.read()? {
            if first {
                out.note(&status(&peer, attempt.as_ref(), node_runs));
            }
            first = false;
            print(out, &zone, &peer, &waiting, attempt.as_ref())?;
        }
    }
    Ok(())
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
        let object = object.number("expires", draft.expires);
        let reason = attempt.map(|attempt| attempt.reason.as_str());
        let next = attempt.map_or(0, |attempt| attempt.next.saturating_mul(1_000_000));
        object.optional("error", reason).number("next", next)
    })
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
        let dropped = own.outbox(&peer.key)?.drop_messages(|waiting| wanted.contains(&waiting.number))?;
        own.history(&peer.key)?.store_dropped(&dropped, Dropped::Cancelled)?;
        for waiting in dropped {
            wanted.remove(&waiting.number);
            let object =
                || Object::event("cancelled").text("peer", &peer.name).number("number", waiting.number);
            out.data(&format!("cancelled {} to {}", waiting.number, peer.name), object)?;
        }
    }
    match wanted.first() {
        Some(id) => Err(Error::failed(format!("no message {id} waits; it may be delivered by now"))),
        None => Ok(()),
    }
}

/// By the node that runs, or by this process. A peer who is blocked is not dialled.
fn retry(own: &Own, out: Output, name: Option<&str>) -> Result<()> {
    let peers = match name {
        Some(name) => vec![who::saved(own, name)?],
        None => correspondents(own)?.into_iter().filter(|peer| !peer.is_blocked()).collect(),
    };
    for peer in &peers {
        attempts::clear(own.home(), &peer.key)?;
    }
    if Bell::new(own.home())?.ring()? {
        out.note("the node tries now");
        return Ok(());
    }
    visit(out, &peers, |peer| {
        delivery::push_all(own, peer).map(|delivered| Fetched { delivered, received: 0 })
    })
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
    let mut failure = None;
    for peer in peers {
        match act(peer) {
            Ok(Fetched { delivered, received }) => {
                out.data(&format!("{}: delivered {delivered}, received {received}", peer.name), || {
                    let object = Object::event("fetched").text("peer", &peer.name);
                    object.number("delivered", delivered as u64).number("received", received as u64)
                })?;
            }
            Err(error) if failure.is_none() => failure = Some(error),
            Err(error) => output::error(&error),
        }
    }
    failure.map_or(Ok(()), Err)
}
