//! This machine's own addresses, as far as std can tell: the source addresses that the system would use towards the
//! internet. No packet is sent: connecting a UDP socket only looks up a route.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::wire::address::{Address, DEFAULT_PORT};

/// Documentation addresses (RFC 5737, RFC 3849): routed like any other, and nobody's.
const SOMEWHERE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// The source addresses that the system would use now.
pub fn outward_ips() -> Vec<IpAddr> {
    let source = |somewhere: &str| {
        let any = if somewhere.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(somewhere).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    SOMEWHERE.iter().filter_map(|somewhere| source(somewhere)).filter(|ip| !ip.is_loopback()).collect()
}

/// Where others can dial a node that listens at `listening`; without a running node, where the default would be. An
/// unspecified address stands for the machine's own ones, and for loopback if it has none.
pub fn reachable_at(listening: &[SocketAddr]) -> Vec<Address> {
    let default = [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], DEFAULT_PORT))];
    let listening = if listening.is_empty() { &default } else { listening };
    let mut addresses: Vec<Address> = Vec::new();
    for bound in listening {
        let ips = if bound.ip().is_unspecified() { outward_ips() } else { vec![bound.ip()] };
        // A socket on all IPv6 addresses takes IPv4 too where the system lets it; one on 0.0.0.0 takes no IPv6.
        let fits = |ip: &&IpAddr| bound.is_ipv6() || ip.is_ipv4();
        let found: Vec<Address> =
            ips.iter().filter(fits).map(|ip| SocketAddr::new(*ip, bound.port()).into()).collect();
        let loopback = SocketAddr::from(([127, 0, 0, 1], bound.port())).into();
        addresses.extend(if found.is_empty() { vec![loopback] } else { found });
    }
    let mut seen: Vec<Address> = Vec::new();
    addresses.retain(|address| {
        !seen.contains(address) && {
            seen.push(address.clone());
            true
        }
    });
    addresses
}
