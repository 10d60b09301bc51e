//! The identity of this node: its home, name, key, passphrase, and where it can be dialled.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use crate::app::contacts;
use crate::app::link::{self, Listen, MapState, Mapping};
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::local;
use crate::node::door::listen;
use crate::store::log::Report;
use crate::wire::address::Address;
use crate::wire::link::{Link, MAX_ADDRESSES};

pub use crate::net::endpoint::Endpoint;
pub use crate::store::home::{Home, Own};
pub use crate::wire::proxy::{BadProxy, Proxy};

/// How long a node that is starting has to say where it listens, and how often it is asked.
const STARTING: Duration = Duration::from_secs(5);
const STARTING_POLL: Duration = Duration::from_millis(20);

/// Opens a home, whose peers are reached through `proxy`. A sealed identity is opened by the node that runs, as by an agent,
/// else by the passphrase that `ask` gives.
pub fn unlock(
    home: Home,
    proxy: Option<Proxy>,
    ask: &dyn Fn() -> Result<String>,
    report: Report,
) -> Result<Endpoint> {
    Ok(Endpoint::new(home.unlock(link::unsealed, ask, report)?, proxy))
}

/// Gives this node another name. Peers who know it already keep the name that they gave it.
pub fn rename(own: &Own, name: &str) -> Result<()> {
    own.home().set_name(&contacts::parse_name(name)?)
}

/// What this node calls itself, unless it is hidden.
pub fn name(own: &Own) -> Result<String> {
    own.home().name(false)
}

/// A home that is not made yet, for what only looks: nothing is in it.
pub fn unmade(home: Home, proxy: Option<Proxy>, report: Report) -> Endpoint {
    Endpoint::new(home.unmade(report), proxy)
}

/// The proxy that was `given` on the command line, else that of the environment, else that of the home. An empty one is
/// none, wherever it stands. An error tells what is wrong with a proxy without naming it: it may have a password in it.
pub fn proxy(given: Option<String>, home: Option<&Home>) -> Result<Option<Proxy>> {
    let named = given.map(Into::into).or_else(|| std::env::var_os("EGOAT_PROXY"));
    let (named, hint) = match (named, home) {
        (Some(named), _) => (
            named.to_string_lossy().into_owned(),
            "--proxy and $EGOAT_PROXY are socks5://[USER:PASSWORD@]HOST:PORT".to_owned(),
        ),
        (None, Some(home)) => (
            home.proxy()?.unwrap_or_default(),
            format!(
                "{} is to hold one line, socks5://[USER:PASSWORD@]HOST:PORT",
                home.proxy_path().display()
            ),
        ),
        (None, None) => return Ok(None),
    };
    if named.is_empty() {
        return Ok(None);
    }
    let bad =
        |BadProxy(why)| Error::Usage { what: format!("the proxy cannot be used: {why}"), hint: Some(hint) };
    named.parse().map(Some).map_err(bad)
}

/// Who this node is.
pub struct Card {
    /// What it calls itself.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
    /// Its key and addresses, as others dial it; `None` if it is hidden.
    pub link: Option<Link>,
}

/// This node's name, key and addresses.
pub fn card(own: &Endpoint) -> Result<Card> {
    let link = match own.is_hidden() {
        true => None,
        false => Some(Link { is_share: false, key: own.key(), token: None, addresses: addresses(own)? }),
    };
    Ok(Card { name: own.name()?, key: own.key(), link })
}

/// Where others can dial this node, as far as it can tell: the addresses of the node that runs, else those of one that
/// would. An error if it is hidden: these are what it hides.
pub fn addresses(own: &Endpoint) -> Result<Vec<Address>> {
    if own.is_hidden() {
        return Err(Error::Usage {
            what: "with a proxy, a link does not get this machine's addresses by itself".into(),
            hint: Some("name where others reach this node: `egoat invite --addr HOST:PORT`".into()),
        });
    }
    let (listening, mapping) = listening(own)?;
    let mut addresses: Vec<Address> = mapping.mapped.iter().map(|one| one.address.into()).collect();
    let mut others = local::reachable_at(&listening);
    others.retain(|other| !addresses.contains(other));
    addresses.append(&mut others);
    addresses.truncate(MAX_ADDRESSES);
    Ok(addresses)
}

/// Where the node of this home listens, or would, as far as the home tells, and what its routers say. A node that has just
/// started has asked them, and waits for the answer.
fn listening(own: &Own) -> Result<(Vec<SocketAddr>, Mapping)> {
    let deadline = Deadline::after(STARTING);
    while let Some(info) = link::node(own)? {
        let is_told = !info.listening.is_empty() && info.mapping.state != MapState::Trying;
        if is_told || deadline.left().is_err() {
            return Ok((info.listening, info.mapping));
        }
        thread::sleep(STARTING_POLL);
    }
    Ok((would_listen(own.home())?, Mapping::default()))
}

/// Where a node of the home would listen, as far as the home tells.
pub fn would_listen(home: &Home) -> Result<Vec<SocketAddr>> {
    let wanted = listen::of_home(home)?;
    let everywhere = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let at = |one: &Listen| {
        Some(SocketAddr::new(one.ip().or(one.is_everywhere().then_some(everywhere))?, one.port()?))
    };
    Ok(wanted.iter().filter_map(at).collect())
}
