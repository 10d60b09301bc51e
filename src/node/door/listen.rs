//! The addresses to listen on, and the sockets that are bound to them. This file accepts no connection: see `listener`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::{Error, Result};
use crate::net::transport::Listener;
use crate::wire::address::{Address, DEFAULT_PORT};

/// An address to listen on. Port 0 means any free port.
#[derive(Clone)]
pub struct Listen {
    host: String,
    port: u16,
}

impl Listen {
    /// Parses `HOST:PORT`, `[V6]:PORT` or `HOST`; `None` for anything else. A bare number is `None`, although it could be
    /// an IPv4 address: whoever types one most likely means a port.
    pub fn parse(text: &str) -> Option<Listen> {
        if text.parse::<u32>().is_ok() {
            return None;
        }
        if let Ok(address) = text.parse::<Address>() {
            return Some(Listen { host: address.host().to_owned(), port: address.port() });
        }
        let address: Address = text.strip_suffix(":0")?.parse().ok()?;
        Some(Listen { host: address.host().to_owned(), port: 0 })
    }

    /// The IP address, if no name has to be resolved for it.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn bind(&self) -> Result<Listener> {
        // A name like "localhost" may mean several addresses; this binds the first that works.
        Listener::bind((self.host.as_str(), self.port))
            .map_err(|cause| Error::Listen { address: format!("{} port {}", self.host, self.port), cause })
    }
}

/// Binds the addresses that the user names, or the default port as [`bind_default`] does.
pub fn bind(addresses: &[Listen], is_hidden: bool) -> Result<Vec<Listener>> {
    if addresses.is_empty() {
        bind_default(DEFAULT_PORT, is_hidden)
    } else {
        addresses.iter().map(Listen::bind).collect()
    }
}

/// Binds a port of all addresses; of loopback alone for a node that others are to find through an onion service at most.
pub fn bind_default(port: u16, is_hidden: bool) -> Result<Vec<Listener>> {
    if is_hidden {
        Ok(vec![Listen { host: Ipv4Addr::LOCALHOST.to_string(), port }.bind()?])
    } else {
        bind_everywhere(port)
    }
}

/// Binds one dual-stack socket where the system has these, else a socket of each family.
fn bind_everywhere(port: u16) -> Result<Vec<Listener>> {
    let v6 = Listener::bind((Ipv6Addr::UNSPECIFIED, port));
    let port =
        v6.as_ref().ok().and_then(|listener| listener.local_addr().ok()).map_or(port, |bound| bound.port());
    let v4 = Listener::bind((Ipv4Addr::UNSPECIFIED, port));
    match (v6, v4) {
        (Ok(v6), Ok(v4)) => Ok(vec![v6, v4]),
        // The first socket is dual-stack and already has the port of the second family.
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(vec![one]),
        (Err(_), Err(cause)) => Err(Error::Listen { address: format!("port {port}"), cause }),
    }
}

/// The addresses of the sockets, with the ports that the system has chosen.
pub fn local_addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_node_is_on_loopback_unless_told_otherwise() {
        let is_on_loopback =
            |listeners: &[Listener]| local_addresses(listeners).iter().all(|at| at.ip().is_loopback());
        assert!(is_on_loopback(&bind_default(0, true).unwrap()));
        assert!(!is_on_loopback(&bind_default(0, false).unwrap()));
        let named = [Listen::parse("0.0.0.0:0").unwrap()];
        assert!(!is_on_loopback(&bind(&named, true).unwrap()));
    }
}
