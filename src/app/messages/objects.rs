//! What waits as objects for programs (egoat(1), JSON).

use crate::app::files::{self, Job};
use crate::app::messages::{Queue, QueuedMessage};
use crate::store::peers::Peer;
use crate::text::json::Object;
use crate::time::{self, now_micros};

/// Seconds since a time in µs of Unix time, if that is known.
fn age(since: u64) -> Option<u64> {
    time::believed(since).map(|since| now_micros().saturating_sub(since) / 1_000_000)
}

impl Queue {
    /// A message that waits in it.
    pub fn message_object(&self, waiting: &QueuedMessage) -> Object {
        let QueuedMessage { number, said, draft } = waiting;
        let object = Object::event("queued").text("peer", &self.peer.name).number("number", *number);
        let object = object.text("key", &draft.key).text("text", &String::from_utf8_lossy(&draft.text));
        self.with_attempt(object.optional_number("age", age(*said)).number("expires", draft.expires))
    }

    /// Files that wait in it, or that were stopped.
    pub fn job_object(&self, job: &Job) -> Object {
        let object = Object::event("file-queued").text("peer", &self.peer.name).number("number", job.number);
        let object = object.list("paths", job.items.iter().map(files::path_of)).number("size", job.size());
        let object = object.text("state", files::state_of(job));
        let object = object.optional("reason", files::why_stopped(job).as_deref());
        self.with_attempt(object.optional_number("age", age(job.queued)))
    }

    /// Adds what came of the last attempt to reach the peer.
    pub fn with_attempt(&self, object: Object) -> Object {
        let reason = self.attempt.as_ref().map(|attempt| attempt.reason.as_str());
        let next = self.attempt.as_ref().map_or(0, |attempt| attempt.next.saturating_mul(1_000_000));
        object.optional("error", reason).number("next", next)
    }
}

/// Something that was cancelled.
pub fn cancelled_object(peer: &Peer, number: u64) -> Object {
    Object::event("cancelled").text("peer", &peer.name).number("number", number)
}
