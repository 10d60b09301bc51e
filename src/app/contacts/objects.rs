//! Peers and strangers as objects for programs (egoat(1), JSON).

use crate::store::peers::{FilesPolicy, Peer, Place};
use crate::store::requests::Request;
use crate::text::json::Object;
use crate::time;
use crate::wire::address::Address;

/// A saved peer.
pub fn object(peer: &Peer) -> Object {
    Object::event("peer")
        .text("peer", &peer.name)
        .text("key", &peer.key.to_string())
        .text("fingerprint", &peer.key.fingerprint())
        .list("addresses", peer.places().iter().map(|place| place.address.to_string()))
        .list("origins", peer.places().iter().map(|place| place.origin.as_str().to_owned()))
        .list("worked", peer.places().iter().map(worked))
        .optional("seen", peer.seen().map(|at| at.to_string()).as_deref())
        .optional("files", peer.files().map(FilesPolicy::as_str))
        .optional_number("max_file", peer.max_file())
        .optional_number("quota", peer.quota())
        .optional("dir", peer.downloads_dir().as_ref().map(|dir| dir.to_string_lossy()).as_deref())
        .optional_boolean("overwrite", peer.overwrite())
        .boolean("blocked", peer.is_blocked())
        .boolean("verified", peer.is_verified())
        .boolean("mute", peer.is_muted())
}

/// The day when an address worked last, or an empty text.
fn worked(place: &Place) -> String {
    place.worked.map_or_else(String::new, |day| day.to_string())
}

/// A peer with whom this node has just paired.
pub fn paired_object(peer: &Peer) -> Object {
    Object::event("paired")
        .text("peer", &peer.name)
        .text("fingerprint", &peer.key.fingerprint())
        .text("key", &peer.key.to_string())
}

/// A stranger who waits to be accepted.
pub fn request_object(request: &Request) -> Object {
    Object::event("request")
        .text("name", &request.name)
        .text("key", &request.key.to_string())
        .text("fingerprint", &request.key.fingerprint())
        .optional("address", request.address.as_ref().map(Address::to_string).as_deref())
        .optional_number("time", time::believed(request.seconds.saturating_mul(1_000_000)))
}
