//! `egoat say`: queue a message, and try to deliver it now.

use std::io::Read;

use crate::cli::args::Say;
use crate::cli::output::Output;
use crate::cli::{lines, who};
use crate::error::{Error, Result};
use crate::node::delivery::{self, Goal, Outcome};
use crate::store::history::History;
use crate::store::home::Own;
use crate::store::outbox::Draft;
use crate::store::peers::Peer;
use crate::text::json::Object;
use crate::time::now_micros;
use crate::wire::message::MAX_TEXT;

pub fn run(own: &Own, out: Output, args: &Say) -> Result<()> {
    let wait = args.wait.as_deref().map(who::duration).transpose()?;
    if args.lines {
        if args.id.is_some() || !args.text.is_empty() {
            return Err(Error::usage("--lines reads its messages from stdin, and they have no --id"));
        }
        let found = who::find(own, out, &args.peer, args.accept_new)?;
        return lines::run(own, out, args, &found.peer, wait);
    }
    let text = if args.text.is_empty() { from_stdin()? } else { args.text.join(" ").into_bytes() };
    if text.is_empty() {
        return Err(Error::usage("there is nothing to say"));
    }
    // In the outbox that means none; a script that runs again with it would say its message twice.
    if args.id.as_deref() == Some("") {
        return Err(Error::usage("an id cannot be empty"));
    }
    let found = who::find(own, out, &args.peer, args.accept_new)?;
    let peer = &found.peer;
    let mut outbox = own.outbox(&peer.key)?;
    let draft =
        Draft { text, key: args.id.clone().unwrap_or_default(), expires: expires(args.expire.as_deref())? };
    let mut is_delivered = false;
    let number = match draft.key.is_empty() {
        true => outbox.queue(&[draft])?,
        false => {
            let find_delivered = || {
                let found = History::find_sent(own.read_history(peer.conversation()), &draft.key)?;
                is_delivered = found.is_some();
                Ok(found)
            };
            let (number, is_new) = outbox.queue_once(&draft, find_delivered)?;
            if !is_new {
                out.note(&format!("a message with this id was queued for {} before", peer.name));
            }
            number
        }
    };
    let outcome = match found.refusal {
        _ if is_delivered => Outcome::Delivered,
        Some(refusal) if wait.is_none() => Outcome::Queued(refusal.to_string()),
        _ => delivery::deliver(own, peer, &mut outbox, Goal::Only(number), wait)?,
    };
    report(out, peer, number, outcome, wait.is_some())
}

/// Tells what became of the message `number`, or of the last of several.
pub fn report(out: Output, peer: &Peer, number: u64, outcome: Outcome, has_waited: bool) -> Result<()> {
    let object = |state: &str| {
        Object::event("said").text("peer", &peer.name).number("number", number).text("state", state)
    };
    match outcome {
        Outcome::Delivered => {
            out.note(&format!("delivered to {}", peer.name));
            out.object(|| object("delivered"))
        }
        Outcome::Dropped => Err(Error::failed(format!(
            "not delivered to {}: the message was cancelled, or it has expired",
            peer.name
        ))),
        Outcome::Queued(why) if has_waited => {
            // A script needs the number to take it back.
            out.object(|| object("queued"))?;
            Err(Error::Queued { peer: peer.name.clone(), why })
        }
        Outcome::Queued(why) => {
            out.note(&format!("queued for {}: {why}", peer.name));
            out.object(|| object("queued"))
        }
    }
}

/// When a message that is said now is of no use any more, in µs of Unix time; 0 for never.
pub fn expires(after: Option<&str>) -> Result<u64> {
    let Some(given) = after else { return Ok(0) };
    let wait = u64::try_from(who::duration(given)?.as_micros()).unwrap_or(u64::MAX);
    Ok(now_micros().saturating_add(wait))
}

/// All of stdin, but for the newline at its end, which `echo` adds and nobody means.
fn from_stdin() -> Result<Vec<u8>> {
    let mut text = Vec::new();
    // Two bytes more than a message may have: enough to see that it is too long.
    let read = std::io::stdin().take(MAX_TEXT as u64 + 2).read_to_end(&mut text);
    read.map_err(|cause| Error::failed(format!("cannot read the message from stdin: {cause}")))?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    Ok(text)
}
