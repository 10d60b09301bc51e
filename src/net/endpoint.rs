//! Who dials, and how: an opened home, and the proxy that this process reaches peers through. The store knows no network,
//! so the proxy stands here beside it.

use std::ops::Deref;
use std::sync::Arc;

use crate::crypto::keys::StaticKeys;
use crate::error::Result;
use crate::net::dial::tries::Tries;
use crate::store::home::Own;
use crate::store::log::Report;
use crate::wire::proxy::Proxy;

/// An opened home and the way out of it. Whatever dials takes an endpoint; whatever only reads or writes the home takes
/// the [`Own`] that an endpoint derefs to. Cheap to clone, shared by all threads.
#[derive(Clone)]
pub struct Endpoint {
    own: Own,
    proxy: Option<Arc<Proxy>>,
    /// What this node calls itself, in place of what its home says.
    name: Option<String>,
    /// What it proves to those whom it dials, in place of its own keys.
    guise: Option<StaticKeys>,
    tries: Arc<Tries>,
}

impl Endpoint {
    /// Every connection to a peer goes through `proxy`; without one, straight to the peer.
    pub fn new(own: Own, proxy: Option<Proxy>) -> Endpoint {
        Endpoint { own, proxy: proxy.map(Arc::new), name: None, guise: None, tries: Arc::default() }
    }

    /// The proxy that every connection to a peer goes through.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_deref()
    }

    /// Whether others are not to learn by themselves where this node is: it dials through a proxy.
    pub fn is_hidden(&self) -> bool {
        self.proxy.is_some()
    }

    /// What this node calls itself. One that is hidden does not tell the names of its user and machine.
    pub fn name(&self) -> Result<String> {
        self.name.clone().map_or_else(|| self.own.home().name(self.is_hidden()), Ok)
    }

    /// The same endpoint under a name that its home does not have yet.
    pub fn called(&self, name: &str) -> Endpoint {
        Endpoint { name: Some(name.to_owned()), ..self.clone() }
    }

    /// The same endpoint under keys that tell nobody who it is.
    pub fn disguised(&self, keys: StaticKeys) -> Endpoint {
        Endpoint { guise: Some(keys), ..self.clone() }
    }

    /// How often addresses were dialled that only a peer has named.
    pub fn tries(&self) -> &Tries {
        &self.tries
    }

    /// The keys that it proves to those whom it dials.
    pub fn dialling_keys(&self) -> &StaticKeys {
        self.guise.as_ref().unwrap_or_else(|| self.keys())
    }

    /// The same endpoint, whose logs report to somebody else. See [`Own::reporting_to`].
    pub fn reporting_to(&self, report: Report) -> Endpoint {
        Endpoint { own: self.own.reporting_to(report), ..self.clone() }
    }
}

impl Deref for Endpoint {
    type Target = Own;

    fn deref(&self) -> &Own {
        &self.own
    }
}
