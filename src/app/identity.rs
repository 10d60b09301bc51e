//! The identity of this node: its home, name, key, passphrase, and where it can be dialled.

use crate::app::link;
use crate::error::Result;
use crate::net::local;
use crate::store::log::Report;
use crate::wire::address::Address;
use crate::wire::link::Link;

pub use crate::net::endpoint::Endpoint;
pub use crate::store::home::{Home, Own};
pub use crate::wire::proxy::{BadProxy, Proxy};

/// Opens a home, whose peers are reached through `proxy`. A sealed identity is opened by the node that runs, as by an agent,
/// else by the passphrase that `ask` gives.
pub fn unlock(
    home: Home,
    proxy: Option<Proxy>,
    ask: impl FnOnce() -> Result<String>,
    report: Report,
) -> Result<Endpoint> {
    Ok(Endpoint::new(home.unlock(link::unsealed, ask, report)?, proxy))
}

/// Who this node is.
pub struct Card {
    /// What it calls itself.
    pub name: String,
    /// Its key and addresses, as others dial it.
    pub link: Link,
}

/// This node's name, key and addresses.
pub fn card(own: &Own) -> Result<Card> {
    let link = Link { key: own.key(), token: None, addresses: addresses(own)? };
    Ok(Card { name: own.home().name()?, link })
}

/// Where others can dial this node, as far as it can tell: the addresses of the node that runs, else those of one that would.
pub fn addresses(own: &Own) -> Result<Vec<Address>> {
    Ok(local::reachable_at(&link::node(own)?.unwrap_or_default().listening))
}
