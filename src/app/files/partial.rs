//! Transfers that arrived in part, and wait for their rest.

use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::store::home::Own;
use crate::store::partial;
use crate::store::peers::Peers;
use crate::text;
use crate::wire::message::{CHUNK, UNKNOWN};

pub use crate::store::partial::Partial;

/// A transfer that waits for its rest.
pub struct PartialStatus {
    /// The transfer.
    pub partial: Partial,
    /// The name of the peer who sends it, or the fingerprint if it is a peer no longer.
    pub peer: String,
    /// Bytes that are here.
    pub held: u64,
    /// All bytes, if that is known.
    pub total: Option<u64>,
    /// How long ago the last of them arrived.
    pub age: Duration,
}

/// Transfers of which part is missing; of one that is done, only the sender's goodbye is.
fn incomplete(own: &Own) -> Result<Vec<Partial>> {
    let mut partials = partial::all(own.home())?;
    partials.retain(|partial| !partial.is_done);
    Ok(partials)
}

/// All transfers that wait for their rest. Those that are too old are removed first.
pub fn list(own: &Own) -> Result<Vec<PartialStatus>> {
    partial::sweep(own.home(), None)?;
    let peers = Peers::load(own.home())?;
    let waiting = |partial: Partial| {
        let peer = match peers.by_key(&partial.peer) {
            Some(peer) => peer.name.clone(),
            None => partial.peer.fingerprint(),
        };
        let (held, age) = match partial.held(CHUNK as u64) {
            Some((held, since)) => (held, SystemTime::now().duration_since(since).unwrap_or_default()),
            None => (0, Duration::ZERO),
        };
        let total = (partial.bytes != UNKNOWN).then_some(partial.bytes);
        PartialStatus { partial, peer, held, total, age }
    };
    Ok(incomplete(own)?.into_iter().map(waiting).collect())
}

/// Removes the transfers whose ids begin so, or all; `tell` learns of each.
pub fn remove(
    own: &Own,
    ids: &[String],
    all: bool,
    mut tell: impl FnMut(&Partial) -> Result<()>,
) -> Result<()> {
    // Every id begins with an empty word, which most likely is a script's unset variable.
    if ids.iter().any(String::is_empty) || (ids.is_empty() && !all) {
        return Err(Error::usage("which one? `egoat partial remove ID...`, or --all"));
    }
    let waiting = incomplete(own)?;
    for id in ids {
        match waiting.iter().filter(|one| one.id.starts_with(id.as_str())).count() {
            1 => {}
            0 => return Err(Error::failed(format!("no transfer {} waits", text::clean_line(id)))),
            _ => return Err(Error::usage(format!("several transfers start with {}", text::clean_line(id)))),
        }
    }
    for partial in &waiting {
        if all || ids.iter().any(|id| partial.id.starts_with(id.as_str())) {
            if !partial.remove(own.home())? {
                return Err(Error::failed(format!("{} is coming in just now", partial.title)));
            }
            tell(partial)?;
        }
    }
    Ok(())
}
