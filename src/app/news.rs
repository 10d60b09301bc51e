//! What a node tells, in words for people and as objects for programs: one wording for every front-end. Errors are left out;
//! a front-end shows them as it shows its own.

use std::path::Path;

use crate::app::link::{Cause, NodeEvent, Refusals, RunOutcome, RunReport};
use crate::store::history::ReceivedMessage;
use crate::text::{self, json::Object};
use crate::time::now_micros;
use crate::wire::address::Address;

/// Why connections are turned away, as it is printed.
const CAUSES: [(Cause, &str); 6] = [
    (Cause::Full, "too_many_connections"),
    (Cause::Crowd, "too_many_at_once"),
    (Cause::Rate, "too_often"),
    (Cause::Penalty, "still_kept_out"),
    (Cause::Handshake, "bad_handshakes"),
    (Cause::Stranger, "strangers"),
];

/// The event as a line for people, clean for a terminal; `None` for an error, and for what is no news.
pub fn line(event: &NodeEvent) -> Option<String> {
    Some(match event {
        NodeEvent::Listening(at) => format!("listening on {at}"),
        NodeEvent::ChosePort { port, file } => chosen_port(*port, file),
        NodeEvent::Paired { peer, fingerprint } => format!("paired with {peer}, fingerprint {fingerprint}"),
        NodeEvent::Request { name, fingerprint } => {
            format!("{name} wants to be a peer: `egoat peers accept {fingerprint}`")
        }
        NodeEvent::Connected { peer } => format!("connected with {peer}"),
        NodeEvent::Disconnected { peer } => format!("disconnected from {peer}"),
        NodeEvent::Received { peer, messages } => match messages.len() {
            1 => format!("message from {peer} ({})", text::size(length(messages))),
            count => format!("{count} messages from {peer} ({})", text::size(length(messages))),
        },
        NodeEvent::Delivered { peer, count, .. } => format!("delivered {count} to {peer}"),
        NodeEvent::TransferBegan { peer, tally, .. } => {
            let extent = text::extent(tally.files() as u64, tally.done().1);
            format!("receiving {} from {peer}{extent}", tally.title)
        }
        NodeEvent::File { peer, path, size } => {
            let path = text::clean_line(&path.to_string_lossy());
            format!("file from {peer}: {path} ({})", text::size(*size))
        }
        NodeEvent::FilesSent { peer, title, bytes } => {
            format!("sent {title} ({}) to {peer}", text::size(*bytes))
        }
        NodeEvent::Hook(run) => hook_line(run),
        NodeEvent::Refusals(refusals) => refusals_line(refusals),
        NodeEvent::TransferDone { .. } | NodeEvent::Fetching { .. } | NodeEvent::Offered(_) => return None,
        NodeEvent::TransferFailed { .. } | NodeEvent::Trouble(_) | NodeEvent::Fatal(_) => return None,
    })
}

/// The event as an object for programs (egoat(1), JSON); `None` where no object is specified.
pub fn object(event: &NodeEvent) -> Option<Object> {
    let of = |name: &str, peer: &str| Object::event(name).text("peer", peer);
    Some(match event {
        NodeEvent::Listening(at) => {
            Object::event("listening").text("address", &Address::from(*at).to_string())
        }
        NodeEvent::ChosePort { port, file } => {
            Object::event("port").number("port", u64::from(*port)).text("file", &file.to_string_lossy())
        }
        NodeEvent::Paired { peer, fingerprint } => of("paired", peer).text("fingerprint", fingerprint),
        NodeEvent::Request { name, fingerprint } => {
            Object::event("request").text("name", name).text("fingerprint", fingerprint)
        }
        NodeEvent::Connected { peer } => of("connected", peer),
        NodeEvent::Disconnected { peer } => of("disconnected", peer),
        NodeEvent::Received { peer, messages } => of("received", peer)
            .number("number", messages.last().map_or(0, |last| last.number))
            .number("count", messages.len() as u64)
            .number("bytes", length(messages)),
        NodeEvent::Delivered { peer, count, number } => {
            of("delivered", peer).number("count", *count as u64).number("number", *number)
        }
        NodeEvent::TransferBegan { peer, tally, .. } => {
            let object = of("receiving", peer).text("title", &tally.title);
            object.number("files", tally.files() as u64).optional_number("bytes", tally.done().1)
        }
        NodeEvent::File { peer, path, size } => {
            of("file-received", peer).text("path", &path.to_string_lossy()).number("size", *size)
        }
        NodeEvent::FilesSent { peer, title, bytes } => {
            of("sent", peer).text("title", title).number("bytes", *bytes)
        }
        NodeEvent::Hook(run) => hook_object(run),
        NodeEvent::Refusals(refusals) => {
            let causes = CAUSES.iter().map(|(cause, name)| (refusals.of(*cause), *name));
            causes.fold(Object::event("refusals"), |object, (count, name)| object.number(name, count))
        }
        NodeEvent::TransferDone { .. } | NodeEvent::Fetching { .. } | NodeEvent::Offered(_) => return None,
        NodeEvent::TransferFailed { .. } | NodeEvent::Trouble(_) | NodeEvent::Fatal(_) => return None,
    })
}

/// Says that a port was chosen, and where that stands.
pub fn chosen_port(port: u16, file: &Path) -> String {
    format!("this node has port {port} from now on, as {} says", file.display())
}

/// Bytes of their texts.
fn length(messages: &[ReceivedMessage]) -> u64 {
    messages.iter().map(|message| message.text.len() as u64).sum()
}

/// A message that has arrived, with its text: for a user who has asked for the texts, since whatever keeps this output
/// keeps in clear what the logs seal.
pub fn message_line(peer: &str, ReceivedMessage { text, .. }: &ReceivedMessage) -> String {
    format!("message from {peer}: {}", text::indent(&text::clean_bytes(text)))
}

/// The same as an object.
pub fn message_object(peer: &str, ReceivedMessage { number, text, .. }: &ReceivedMessage) -> Object {
    Object::event("received")
        .text("peer", peer)
        .number("number", *number)
        .text("text", &String::from_utf8_lossy(text))
}

fn hook_line(run: &RunReport) -> String {
    let path = run.path.as_ref().map(|path| text::clean_line(&path.to_string_lossy()));
    let what = path.unwrap_or_else(|| run.number.to_string());
    let end = match (&run.outcome, run.pause) {
        (RunOutcome::Exited(_), None) => "done".into(),
        (RunOutcome::Exited(status), Some(pause)) => {
            format!("exit status {status}, again in {}", text::duration(pause))
        }
        (RunOutcome::Failed(why), pause) => {
            format!("{why}, again in {}", text::duration(pause.unwrap_or_default()))
        }
    };
    format!("hook for {} {what} from {}: {end}", run.what.word(), run.peer)
}

fn hook_object(run: &RunReport) -> Object {
    let next = run.pause.map_or(0, |pause| now_micros().saturating_add(pause.as_micros() as u64));
    let (status, error) = match &run.outcome {
        RunOutcome::Exited(status) => (Some(u64::from(*status as u32)), None),
        RunOutcome::Failed(why) => (None, Some(why.as_str())),
    };
    Object::event("hook")
        .text("peer", &run.peer)
        .text("kind", run.what.word())
        .number("number", run.number)
        .optional("path", run.path.as_ref().map(|path| path.to_string_lossy()).as_deref())
        .optional_number("status", status)
        .optional("error", error)
        .number("milliseconds", run.took.as_millis() as u64)
        .number("next", next)
}

fn refusals_line(refusals: &Refusals) -> String {
    let counts = CAUSES.iter().map(|(cause, name)| (refusals.of(*cause), name.replace('_', " ")));
    let counted = counts.filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}"));
    format!("turned away in a minute: {}", counted.collect::<Vec<_>>().join(", "))
}
