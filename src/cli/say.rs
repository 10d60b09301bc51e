//! `egoat say`: queue a message, and try to deliver it now.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::app::contacts::reach::{self, Reached};
use crate::app::messages::lines::{self, LinesResult};
use crate::app::messages::{self, DeliveryOutcome, Draft, MAX_TEXT, SayResult};
use crate::app::{Endpoint, Peer};
use crate::cli::args;
use crate::cli::{DASH, values, who};
use crate::error::{Error, Result};
use crate::text::json::Object;
use crate::ui::output::Output;

const NOTHING: &str = "stdin was empty, so nothing was said";

pub fn run(own: &Endpoint, out: Output, args: &args::Say) -> Result<()> {
    let wait = args.wait.as_deref().map(values::duration).transpose()?;
    let expires_after = args.expire.as_deref().map(values::duration).transpose()?;
    if args.lines {
        if args.id.is_some() || !args.text.is_empty() {
            return Err(Error::usage("--lines reads its messages from stdin, and they have no --id"));
        }
        let (to, wait) = find(own, out, args, wait)?;
        out.note_typing("the messages, a line each");
        let said = lines::say(own, &to.peer, expires_after, wait);
        let LinesResult { last, read } = said.inspect_err(|error| tell_queued(out, error))?;
        let reported = match last {
            Some(last) => report(out, &to.peer, last, wait.is_some()),
            None if read.is_ok() => {
                out.note(NOTHING);
                Ok(())
            }
            None => Ok(()),
        };
        // Why reading stopped matters more than what became of the lines before.
        return read.and(reported);
    }
    let is_piped = matches!(&args.text[..], []) || args.text == [DASH];
    let text = if is_piped { from_stdin(own, out, &args.peer)? } else { args.text.join(" ").into_bytes() };
    if text.is_empty() && is_piped {
        // What a script pipes may have had nothing to tell.
        out.note(NOTHING);
        return Ok(());
    }
    if text.is_empty() {
        return Err(Error::usage("there is nothing to say"));
    }
    messages::ensure_text(&text)?;
    // In the outbox that means none; a script that runs again with it would say its message twice.
    if args.id.as_deref() == Some("") {
        return Err(Error::usage("an id cannot be empty"));
    }
    let expires = expires_after.map_or(0, messages::expiry);
    let (to, wait) = find(own, out, args, wait)?;
    let draft = Draft { text, key: args.id.clone().unwrap_or_default(), expires };
    let known = || out.note(&format!("a message with this id was queued for {} before", to.peer.name));
    let said =
        messages::say(own, &to.peer, draft, wait, known).inspect_err(|error| tell_queued(out, error))?;
    report(out, &to.peer, said, wait.is_some())
}

/// Finds the peer, and what is left of the wait then.
fn find(
    own: &Endpoint,
    out: Output,
    args: &args::Say,
    wait: Option<Duration>,
) -> Result<(Reached, Option<Duration>)> {
    let begun = Instant::now();
    let to = who::find(own, out, &args.peer, args.accept_new, wait.unwrap_or_default())?;
    Ok((to, wait.map(|wait| wait.saturating_sub(begun.elapsed()))))
}

/// The error is of what answered, and says nothing of what was queued for the peer.
fn tell_queued(out: Output, error: &Error) {
    if let Error::ChangedKey { peer, .. } = error {
        out.note(&format!("what was said stays queued for {peer} as it was; `egoat outbox` shows it"));
    }
}

/// Tells what became of a message, or of the last of several.
fn report(out: Output, peer: &Peer, said: SayResult, has_waited: bool) -> Result<()> {
    let SayResult { number, outcome } = said;
    let object = |state: &str| {
        Object::event("said").text("peer", &peer.name).number("number", number).text("state", state)
    };
    match outcome {
        DeliveryOutcome::Delivered => {
            out.note(&format!("delivered to {}", peer.name));
            out.outcome(|| object("delivered"));
            Ok(())
        }
        DeliveryOutcome::Dropped => Err(Error::failed(format!(
            "not delivered to {}: the message was cancelled, or it has expired",
            peer.name
        ))),
        DeliveryOutcome::Queued(why) if has_waited => {
            // A script needs the number to cancel it.
            out.outcome(|| object("queued"));
            Err(Error::Queued { peer: peer.name.clone(), why })
        }
        DeliveryOutcome::Queued(why) => {
            out.note(&format!("queued for {}: {why}", peer.name));
            out.outcome(|| object("queued"));
            Ok(())
        }
    }
}

/// All of stdin, but for the newline at its end, which `echo` adds and nobody means.
fn from_stdin(own: &Endpoint, out: Output, peer: &str) -> Result<Vec<u8>> {
    // Before a message is typed for nobody.
    reach::ensure_found(own, peer)?;
    out.note_typing("the message");
    let mut text = Vec::new();
    // Two bytes more than a message may have: enough to see that it is too long.
    let read = std::io::stdin().take(MAX_TEXT as u64 + 2).read_to_end(&mut text);
    read.map_err(|cause| Error::failed(format!("cannot read the message from stdin: {cause}")))?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    Ok(text)
}
