//! Where this node can be dialled, as its sessions tell their peers, and what peers tell it (egoat-protocol(7), Addresses).
//! It leaves out which addresses these are: see `node::own_addresses`; and which of a peer's are believed: see `store::peers`.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::wire::told::ToldAddresses;

/// The addresses that this node tells, shared by all its sessions.
#[derive(Default)]
pub struct OwnAddresses(Mutex<Arc<ToldAddresses>>);

impl OwnAddresses {
    fn current(&self) -> MutexGuard<'_, Arc<ToldAddresses>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// All of them. Version 0 means that nothing is told yet.
    pub fn get(&self) -> Arc<ToldAddresses> {
        Arc::clone(&self.current())
    }

    /// Sessions tell these from now on.
    pub fn set(&self, addresses: ToldAddresses) {
        *self.current() = Arc::new(addresses);
    }
}

/// Takes what the peer tells; `false` if it has to be offered again later.
pub type Learn = Box<dyn Fn(&ToldAddresses) -> bool + Send>;

/// The part of a session that tells and learns addresses.
pub struct Exchange {
    own: Arc<OwnAddresses>,
    /// The version that was told last over this session.
    told: u64,
    learn: Learn,
    /// What the peer has told, until `learn` takes it.
    learned: Option<ToldAddresses>,
}

impl Exchange {
    /// Tells what `own` has, and gives what the peer tells to `learn`.
    pub fn new(own: &Arc<OwnAddresses>, learn: Learn) -> Exchange {
        Exchange { own: Arc::clone(own), told: 0, learn, learned: None }
    }

    /// What is to be told now, if the peer does not know it yet.
    pub fn news(&mut self) -> Option<Arc<ToldAddresses>> {
        let own = self.own.get();
        let is_new = own.version > self.told;
        self.told = own.version;
        is_new.then_some(own)
    }

    /// Notes what the peer has just told, if that is anything, or what could not be noted before.
    pub fn learn(&mut self, told: Option<ToldAddresses>) {
        self.learned = told.or(self.learned.take());
        if self.learned.as_ref().is_some_and(|told| (self.learn)(told)) {
            self.learned = None;
        }
    }
}
