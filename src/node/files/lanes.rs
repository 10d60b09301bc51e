//! The lanes of the transfers of a node: the tickets that open those which peers dial, for files that come in and for
//! files that a peer collects, and how many a peer has. It leaves out the bytes: see `transfer`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::crypto::lane::{TICKET_LEN, collect_ticket};
use crate::crypto::random_array;
use crate::net::lane::Parent;
use crate::net::session::Session;
use crate::net::transport::Closer;
use crate::node::files::transfers::IncomingTransfer;
use crate::transfer::send::Outbound;

/// Lanes of one peer at a time.
const MAX_LANES: usize = 8;
/// Lanes of one transfer beside its session.
pub const MAX_LANES_PER_TRANSFER: u8 = 7;
/// A ticket is good for this long.
const TICKET_LIFE: Duration = Duration::from_secs(60);

/// What a lane that a peer dials is for.
enum Purpose {
    /// It brings chunks.
    In(Weak<IncomingTransfer>),
    /// It takes chunks away.
    Out(Weak<Outbound>),
}

struct Ticket {
    parent: Arc<Parent>,
    purpose: Purpose,
    until: Instant,
    lanes: u8,
    /// A bit for each lane that was dialled.
    used: u8,
}

impl Ticket {
    fn is_good(&self, index: u8) -> bool {
        index < self.lanes && self.used & (1 << index) == 0 && Instant::now() < self.until
    }

    /// Its time is not over, and its transfer goes on.
    fn is_alive(&self, now: Instant) -> bool {
        let transfers = match &self.purpose {
            Purpose::In(transfer) => transfer.strong_count(),
            Purpose::Out(outbound) => outbound.strong_count(),
        };
        self.until > now && transfers > 0
    }
}

#[derive(Default)]
struct State {
    tickets: HashMap<[u8; TICKET_LEN], Ticket>,
    /// How many each peer has.
    open: HashMap<PublicKey, usize>,
}

impl State {
    fn insert(&mut self, ticket: [u8; TICKET_LEN], session: &Session, purpose: Purpose, lanes: u8) {
        let now = Instant::now();
        self.tickets.retain(|_, ticket| ticket.is_alive(now));
        let parent = Arc::new(Parent::of(session));
        self.tickets.insert(ticket, Ticket { parent, purpose, until: now + TICKET_LIFE, lanes, used: 0 });
    }
}

/// All of them.
#[derive(Default)]
pub struct Lanes {
    state: Mutex<State>,
}

impl Lanes {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Lets the sender dial lanes into a transfer; gives how many, and the ticket.
    pub fn let_in(&self, session: &Session, transfer: &Arc<IncomingTransfer>) -> (u8, [u8; TICKET_LEN]) {
        let mut state = self.state();
        let used = state.open.get(&session.peer()).copied().unwrap_or(0);
        let lanes = MAX_LANES_PER_TRANSFER.min(MAX_LANES.saturating_sub(used) as u8);
        let ticket = random_array();
        state.insert(ticket, session, Purpose::In(Arc::downgrade(transfer)), lanes);
        (lanes, ticket)
    }

    /// Lets the receiver of a COLLECT session dial so many lanes.
    pub fn let_collect(&self, session: &Session, outbound: &Arc<Outbound>, lanes: u8) {
        let ticket = collect_ticket(&session.binding().export);
        let purpose = Purpose::Out(Arc::downgrade(outbound));
        self.state().insert(ticket, session, purpose, lanes.min(MAX_LANES_PER_TRANSFER));
    }

    /// The session that a ticket belongs to, if it is good for lane `index`.
    pub fn find(&self, ticket: &[u8; TICKET_LEN], index: u8) -> Option<Arc<Parent>> {
        let state = self.state();
        let ticket = state.tickets.get(ticket)?;
        ticket.is_good(index).then(|| Arc::clone(&ticket.parent))
    }

    /// Takes lane `index` of the ticket; each can be taken once.
    pub fn take(self: &Arc<Self>, ticket: &[u8; TICKET_LEN], index: u8) -> Option<Lane> {
        let mut state = self.state();
        let ticket = state.tickets.get_mut(ticket)?;
        if !ticket.is_good(index) {
            return None;
        }
        ticket.used |= 1 << index;
        let peer = ticket.parent.peer;
        // The last one to let go of a transfer takes the lock, so that is never done under it.
        match &ticket.purpose {
            Purpose::In(transfer) => {
                let transfer = transfer.upgrade()?;
                drop(state);
                self.begin(&transfer, peer, index).map(Lane::In)
            }
            Purpose::Out(outbound) => {
                let outbound = outbound.upgrade()?;
                drop(state);
                Some(Lane::Out(OutgoingLane { outbound, _place: self.place(peer)? }))
            }
        }
    }

    /// Begins a lane that brings chunks; `None` when the peer has as many as it may have.
    pub fn begin(
        self: &Arc<Self>,
        transfer: &Arc<IncomingTransfer>,
        peer: PublicKey,
        index: u8,
    ) -> Option<IncomingLane> {
        let place = self.place(peer)?;
        transfer.inbound.expect_lane(index);
        Some(IncomingLane { transfer: Arc::clone(transfer), index, _place: place })
    }

    fn place(self: &Arc<Self>, peer: PublicKey) -> Option<LanePlace> {
        let mut state = self.state();
        let open = state.open.entry(peer).or_default();
        if *open >= MAX_LANES {
            return None;
        }
        *open += 1;
        Some(LanePlace { lanes: Arc::clone(self), peer })
    }
}

/// A lane that a peer has dialled.
pub enum Lane {
    /// It brings chunks.
    In(IncomingLane),
    /// It takes chunks away.
    Out(OutgoingLane),
}

/// A lane that brings chunks, until it is dropped.
pub struct IncomingLane {
    transfer: Arc<IncomingTransfer>,
    index: u8,
    _place: LanePlace,
}

impl IncomingLane {
    /// Keeps a handle to end it with, as long as it does not run.
    pub fn keep_closer(&self, closer: Closer) {
        self.transfer.inbound.keep_closer(self.index, closer);
    }

    /// Runs it to its end.
    pub fn run(&self, session: &mut Session) {
        self.transfer.inbound.run_lane(self.index, session);
    }
}

impl Drop for IncomingLane {
    fn drop(&mut self) {
        self.transfer.inbound.end_lane(self.index);
    }
}

/// A lane that takes chunks away, until it is dropped.
pub struct OutgoingLane {
    /// What it is a lane of.
    pub outbound: Arc<Outbound>,
    _place: LanePlace,
}

/// A place among the lanes of a peer, until it is dropped.
struct LanePlace {
    lanes: Arc<Lanes>,
    peer: PublicKey,
}

impl Drop for LanePlace {
    fn drop(&mut self) {
        let mut state = self.lanes.state();
        if let Some(count) = state.open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.peer);
            }
        }
    }
}
