//! Where a node can be dialled: `HOST:PORT`, `[V6]:PORT` or `HOST`, as text that people type. It leaves out name
//! resolution, which needs the network: see `net::dial`.
//!
//! A link-local IPv6 address has a zone behind it, as in `[fe80::1%eth0]:4628`: the interface of the machine that dials.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The port of a node that names none.
pub const DEFAULT_PORT: u16 = 4628;
/// The least port that is dialled on somebody else's word alone: those below belong to services of a system.
pub const LEAST_PORT: u16 = 1024;
/// Longest zone in bytes: Linux and the BSDs give an interface a name of at most 15.
const MAX_ZONE: usize = 15;

/// Whether a peer or a router may name this port for others to dial. That of HTTPS is often the only one that is let through.
pub fn is_told_port(port: u16) -> bool {
    port >= LEAST_PORT || port == 443
}

/// A host name (RFC 1123 limits: 253 bytes) or IP address, and a port other than 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is an onion service of Tor, whose name nobody else can resolve, or is to be asked for (RFC 7686).
    pub fn is_onion(&self) -> bool {
        self.host.trim_end_matches('.').ends_with(".onion")
    }

    /// The IP address, without its zone, if no name needs to be resolved.
    pub fn ip(&self) -> Option<IpAddr> {
        without_zone(&self.host).parse().ok()
    }

    /// The interface that the IPv6 address is on, as a name or a number.
    pub fn zone(&self) -> Option<&str> {
        self.host.split_once('%').map(|(_, zone)| zone)
    }

    /// The same address on the interface of this name or number.
    pub fn in_zone(&self, zone: &str) -> Address {
        Address { host: format!("{}%{zone}", without_zone(&self.host)), port: self.port }
    }
}

impl From<SocketAddr> for Address {
    /// An IPv4 address that arrived on a dual-stack socket is written as IPv4.
    fn from(address: SocketAddr) -> Address {
        let plain = Address { host: address.ip().to_canonical().to_string(), port: address.port() };
        match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 && v6.ip().is_unicast_link_local() => {
                plain.in_zone(&v6.scope_id().to_string())
            }
            _ => plain,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress(pub &'static str);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Address, BadAddress> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, tail) =
                    rest.split_once(']').ok_or(BadAddress("the closing bracket is missing"))?;
                if !is_ipv6(host) {
                    return Err(BadAddress("no IPv6 address stands between the brackets"));
                }
                (
                    host,
                    if tail.is_empty() {
                        None
                    } else {
                        Some(tail.strip_prefix(':').ok_or(BadAddress("only :PORT may follow the bracket"))?)
                    },
                )
            }
            // More than one colon: an IPv6 address without brackets, and so without a port.
            None if text.matches(':').count() > 1 && !is_ipv6(text) => {
                return Err(BadAddress("too many colons; an IPv6 address with a port is [ADDRESS]:PORT"));
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) => parse_port(digits)?,
        };
        check_host(host)?;
        let ip_or_name = without_zone(host);
        // Names of interfaces differ by case.
        Ok(Address { host: ip_or_name.to_ascii_lowercase() + &host[ip_or_name.len()..], port })
    }
}

fn without_zone(host: &str) -> &str {
    host.split_once('%').map_or(host, |(ip, _)| ip)
}

/// Whether it is an IPv6 address, with or without a zone. Only a link-local one can have a zone.
fn is_ipv6(host: &str) -> bool {
    let Ok(ip) = without_zone(host).parse::<Ipv6Addr>() else { return false };
    let is_zone = |zone: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (1..=MAX_ZONE).contains(&zone.len()) && zone.bytes().all(plain)
    };
    host.split_once('%').is_none_or(|(_, zone)| ip.is_unicast_link_local() && is_zone(zone))
}

fn parse_port(digits: &str) -> Result<u16, BadAddress> {
    let bad = BadAddress("the port is a number from 1 to 65535");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad);
    }
    digits.parse::<u16>().ok().filter(|port| *port != 0).ok_or(bad)
}

/// Letters, digits, '-', '.', '_' of a name, or an IPv6 address: nothing that a shell, a link or the peers file
/// would have to quote.
fn check_host(host: &str) -> Result<(), BadAddress> {
    if host.is_empty() {
        return Err(BadAddress("the host is missing"));
    }
    if host.len() > 253 {
        return Err(BadAddress("the host is longer than 253 bytes"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.starts_with('-') || !(host.bytes().all(plain) || is_ipv6(host)) {
        return Err(BadAddress("the host has a character that no host name has"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_people_type() {
        for (text, shown) in [
            ("example.org:22", "example.org:22"),
            ("Example.ORG", "example.org:4628"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("[::1]:9", "[::1]:9"),
            ("[2001:db8::1]", "[2001:db8::1]:4628"),
            ("2001:db8::1", "[2001:db8::1]:4628"),
            ("my_host", "my_host:4628"),
            ("[FE80::1%eth0]:9", "[fe80::1%eth0]:9"),
            ("[fe80::1%br-Home.1]", "[fe80::1%br-Home.1]:4628"),
            ("fe80::1%3", "[fe80::1%3]:4628"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse::<Address>().as_ref(), Ok(&address), "what is shown can be typed");
        }
    }

    #[test]
    fn malformed_ones_are_refused() {
        let long = "a".repeat(254);
        for text in [
            "",
            ":1",
            "h:",
            "h:0",
            "h:65536",
            "h:+1",
            "h:1x",
            "h:1:2",
            "[::1",
            "[::1]1",
            "[1.2.3.4]:1",
            "[]:1",
            "a b:1",
            "a/b",
            "-h:1",
            "h\n:1",
            "ä:1",
            "a,b:1",
            "a@b:1",
            "[fe80::1%]:1",
            "[fe80::1%eth0",
            "[fe80::1%et,h0]:1",
            "[fe80::1%et%h0]:1",
            "[fe80::1%sixteen-letters-]:1",
            "[2001:db8::1%eth0]:1",
            "host%eth0:1",
            &long,
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn mapped_addresses_are_written_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:5".parse().expect("literal");
        assert_eq!(Address::from(mapped).to_string(), "10.0.0.1:5");
    }

    #[test]
    fn a_link_local_address_keeps_its_zone() {
        let socket: SocketAddr = "[fe80::1%7]:5".parse().expect("literal");
        let address = Address::from(socket);
        assert_eq!((address.to_string(), address.zone()), ("[fe80::1%7]:5".to_owned(), Some("7")));
        assert_eq!(address.ip(), Some(socket.ip()));
        assert_eq!(address.in_zone("eth0").to_string(), "[fe80::1%eth0]:5");
    }
}
