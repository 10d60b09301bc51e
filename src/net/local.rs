//! This machine's own addresses, as far as std can tell: the source addresses that the system would use towards the
//! internet. No packet is sent: connecting a UDP socket only looks up a route.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

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

/// Whether this machine does not have the address any more: nothing can be bound to it. One that cannot be tried counts as
/// there.
pub fn is_gone(mut address: SocketAddr) -> bool {
    address.set_port(0);
    UdpSocket::bind(address).is_err_and(|cause| cause.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Whether an address is one of this machine's: loopback, or one that the system would use now.
pub fn is_own(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || outward_ips().contains(&ip)
}

/// Who can dial an address, by the range that it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody, as far as the address goes.
    Global,
    /// Those in the same network: RFC 1918, and RFC 4193 for IPv6.
    Private,
    /// Those behind the same provider: carrier-grade NAT (RFC 6598). Some VPNs use the range, too.
    Carrier,
    /// Those on the same wire (RFC 3927, RFC 4291).
    LinkLocal,
    /// This machine.
    Loopback,
    /// Nobody: for documentation, tests, groups, or of no use yet.
    Nobody,
}

impl Reach {
    /// Of an address; one of IPv4 in IPv6 is one of IPv4.
    pub fn of(ip: IpAddr) -> Reach {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Reach::of_v4(ip),
            IpAddr::V6(ip) => Reach::of_v6(ip),
        }
    }

    /// By the IANA registry of special-purpose addresses.
    fn of_v4(ip: Ipv4Addr) -> Reach {
        match ip.octets() {
            [127, ..] => Reach::Loopback,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reach::Private,
            [100, 64..=127, ..] => Reach::Carrier,
            [169, 254, ..] => Reach::LinkLocal,
            [0 | 224..=255, ..] | [192, 0, 0 | 2, _] | [198, 18..=19, ..] => Reach::Nobody,
            [198, 51, 100, _] | [203, 0, 113, _] => Reach::Nobody,
            _ => Reach::Global,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Reach {
        match ip.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
            [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
            [0xfc00..=0xfdff, ..] => Reach::Private,
            [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Nobody,
            [0x2000..=0x3fff, ..] => Reach::Global,
            _ => Reach::Nobody,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_they_should() {
        use Reach::{Carrier, Global, LinkLocal, Loopback, Nobody, Private};
        for (ip, reach) in [
            ("8.8.8.8", Global),
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("126.255.255.255", Global),
            ("128.0.0.0", Global),
            ("10.0.0.1", Private),
            ("9.255.255.255", Global),
            ("11.0.0.0", Global),
            ("172.15.255.255", Global),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Global),
            ("192.168.0.1", Private),
            ("192.167.255.255", Global),
            ("192.169.0.0", Global),
            ("100.63.255.255", Global),
            ("100.64.0.0", Carrier),
            ("100.127.255.255", Carrier),
            ("100.128.0.0", Global),
            ("169.254.0.1", LinkLocal),
            ("169.253.255.255", Global),
            ("0.0.0.0", Nobody),
            ("192.0.2.1", Nobody),
            ("192.0.1.1", Global),
            ("198.17.255.255", Global),
            ("198.19.0.1", Nobody),
            ("198.51.100.7", Nobody),
            ("198.51.101.7", Global),
            ("203.0.113.255", Nobody),
            ("223.255.255.255", Global),
            ("224.0.0.1", Nobody),
            ("255.255.255.255", Nobody),
            ("::1", Loopback),
            ("::", Nobody),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:8.8.8.8", Global),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Nobody),
            ("fc00::1", Private),
            ("fdff::1", Private),
            ("fbff::1", Nobody),
            ("2001:4860:4860::8888", Global),
            ("2001:db8::1", Nobody),
            ("2001:db9::1", Global),
            ("2000::", Global),
            ("1fff::1", Nobody),
            ("3ffe::1", Global),
            ("3fff:fff::1", Nobody),
            ("3fff:1000::1", Global),
            ("4000::1", Nobody),
            ("64:ff9b::808:808", Nobody),
            ("ff02::1", Nobody),
        ] {
            assert_eq!(Reach::of(ip.parse().expect("literal")), reach, "{ip}");
        }
    }
}
