//! The status of the node that serves a home: where it listens, who is connected, what waits and why, what moves, and how
//! much room the disks have.

use std::path::PathBuf;

use crate::app::files::Job;
use crate::app::link::{
    ConnectedPeer, MapState, Mapped, Mapping, NodeLink, PendingOffer, Transfer, TransferWay, UNKNOWN,
};
use crate::app::messages::{self, Queue, QueuedItem};
use crate::error::{Error, Result};
use crate::net::local;
use crate::store::home::{Home, Own};
use crate::store::node_lock;
use crate::store::peers::Peers;
use crate::store::space;
use crate::text::json::Object;
use crate::time;
use crate::wire::address::Address;

/// What waits for one peer.
pub struct Waiting {
    /// For whom, and what came of the last attempt.
    pub queue: Queue,
    /// Messages.
    pub messages: usize,
    /// Files that are queued, in jobs.
    pub jobs: usize,
    /// Files that were stopped.
    pub stopped: Vec<Job>,
}

impl Waiting {
    /// How much of each kind waits, in words; without what was stopped.
    pub fn counts(&self) -> String {
        let counts = [(self.messages, "message", "messages"), (self.jobs, "transfer", "transfers")];
        let parts: Vec<String> = counts
            .iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
            .collect();
        parts.join(", ")
    }
}

/// The status of a running node.
pub struct Status {
    /// Where it listens.
    pub listening: Vec<String>,
    /// Where others can dial it: this machine's own addresses, as far as it can tell.
    pub addresses: Vec<Address>,
    /// What it knows of its routers.
    pub mapping: Mapping,
    /// The peers that are connected, by name.
    pub here: Vec<(String, ConnectedPeer)>,
    /// What waits; `None` where nobody gave the key that opens it.
    pub waiting: Option<Vec<Waiting>>,
    /// What is on its way.
    pub transfers: Vec<Transfer>,
    /// What waits for an answer.
    pub offers: Vec<PendingOffer>,
    /// Free bytes of the disks of the home and of the downloads, where that is known.
    pub free: Vec<(PathBuf, u64)>,
}

/// An error if no node runs on the home.
pub fn ensure_node_runs(home: &Home) -> Result<()> {
    match node_lock::running(home)? {
        Some(_) => Ok(()),
        None => Err(Error::NoNode { home: home.dir().to_owned() }),
    }
}

/// Asks the node that runs on the home; an error if none does. Only what waits needs the home to be open.
pub fn status(home: &Home, own: Option<&Own>) -> Result<Status> {
    ensure_node_runs(home)?;
    let live = NodeLink::open(home, false)?.whole()?;
    let peers = Peers::load(home)?;
    let name = |key| match peers.by_key(&key) {
        Some(peer) => peer.name.clone(),
        None => key.fingerprint(),
    };
    let mut here: Vec<(String, ConnectedPeer)> =
        live.here.into_iter().map(|(key, here)| (name(key), here)).collect();
    here.sort_by(|(one, _), (other, _)| one.cmp(other));
    let listening = live.addresses.iter().filter_map(|at| at.parse().ok()).collect::<Vec<_>>();
    let disks = [Ok(home.dir().to_owned()), home.downloads(None)];
    let free = disks.into_iter().flatten().filter_map(|dir| Some((dir.clone(), space::free_bytes(&dir)?)));
    Ok(Status {
        addresses: local::reachable_at(&listening),
        listening: live.addresses,
        mapping: node_lock::running(home)?.unwrap_or_default().mapping,
        here,
        waiting: own.map(waiting).transpose()?,
        transfers: live.transfers.into_values().collect(),
        offers: live.offers.into_values().collect(),
        free: free.collect(),
    })
}

/// What waits, for each peer for whom something does.
pub fn waiting(own: &Own) -> Result<Vec<Waiting>> {
    let mut all = Vec::new();
    for queue in messages::queues(own)? {
        let mut items = queue.items(own)?;
        let mut waiting = Waiting { queue, messages: 0, jobs: 0, stopped: Vec::new() };
        while let Some(item) = items.read()? {
            match item {
                QueuedItem::Message(_) => waiting.messages += 1,
                QueuedItem::Files(job) if job.stopped.is_some() => waiting.stopped.push(job),
                QueuedItem::Files(_) => waiting.jobs += 1,
            }
        }
        if waiting.messages + waiting.jobs + waiting.stopped.len() > 0 {
            all.push(waiting);
        }
    }
    Ok(all)
}

/// A count of bytes, if it is known.
pub fn known(bytes: u64) -> Option<u64> {
    Some(bytes).filter(|bytes| *bytes != UNKNOWN)
}

/// An address outside of a router, in words.
pub fn mapped_line(mapped: &Mapped, mapping: &Mapping) -> String {
    let (at, by) = (Address::from(mapped.address), mapped.by.title());
    match (mapped.is_pinhole, mapping.gateway) {
        (true, _) => format!("{at}, let through by the router ({by})"),
        (false, Some(gateway)) => format!("{at} by the router {gateway} ({by})"),
        (false, None) => format!("{at} by a router ({by})"),
    }
}

/// The same as an object.
pub fn mapped_object(mapped: &Mapped) -> Object {
    Object::event("mapped")
        .text("address", &Address::from(mapped.address).to_string())
        .text("by", mapped.by.word())
        .boolean("pinhole", mapped.is_pinhole)
}

/// What became of asking routers, in words.
pub fn mapping_line(mapping: &Mapping) -> String {
    match mapping.state {
        MapState::Trying => "asks the router for a port".into(),
        MapState::Off => format!("off: {}", mapping.detail),
        _ => mapping.detail.clone(),
    }
}

/// The same as an object.
pub fn mapping_object(mapping: &Mapping) -> Object {
    let gateway = mapping.gateway.map(|gateway| gateway.to_string());
    let detail = Some(mapping.detail.as_str()).filter(|detail| !detail.is_empty());
    let object = Object::event("mapping").text("state", mapping.state.word());
    object.optional("gateway", gateway.as_deref()).optional("detail", detail)
}

/// A peer that is connected, as an object for programs (egoat(1), JSON).
pub fn here_object(peer: &str, here: &ConnectedPeer) -> Object {
    let since = time::believed(here.since.saturating_mul(1_000_000));
    let object = Object::event("here").text("peer", peer).text("address", &here.address);
    object.text("path", here.path.as_str()).optional_number("time", since)
}

/// A transfer that is on its way, as an object.
pub fn transfer_object(transfer: &Transfer) -> Object {
    let way = if transfer.way == TransferWay::In { "in" } else { "out" };
    Object::event("transfer")
        .number("number", transfer.number)
        .text("peer", &transfer.peer)
        .text("title", &transfer.title)
        .text("direction", way)
        .number("bytes", transfer.done)
        .optional_number("total", known(transfer.total))
        .number("rate", transfer.rate)
}

/// An offer that waits for an answer, as an object.
pub fn offer_object(offer: &PendingOffer) -> Object {
    Object::event("offer")
        .number("number", offer.number)
        .text("peer", &offer.peer)
        .text("title", &offer.title)
        .number("files", offer.files)
        .optional_number("bytes", known(offer.bytes))
        .number("until", offer.until * 1_000_000)
}
