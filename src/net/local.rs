//! Where this machine is: its own addresses, who can dial them, and which addresses of others are worth dialling from here. No
//! packet is sent: connecting a UDP socket only looks up a route, and binding one only asks whether an address is there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use crate::net::interfaces::{self, InterfaceAddress};
use crate::wire::address::{Address, DEFAULT_PORT};
use crate::wire::link::MAX_ADDRESSES;

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

/// The addresses at which others may find this machine, the reachable first: those of all interfaces, also where no route
/// leads to the internet, as on a cable between two laptops. Those that do not last are left out, and link-local IPv6 ones
/// unless there are no others: every interface has one.
pub fn own_ips() -> Vec<IpAddr> {
    let outward = outward_ips();
    let is_lasting =
        |own: &&InterfaceAddress| own.is_lasting || (own.ip.is_ipv4() && outward.contains(&own.ip));
    let listed = interfaces::all();
    let mut ips: Vec<IpAddr> = listed.iter().filter(is_lasting).map(|own| own.ip).collect();
    // Of the IPv6 addresses, the outward one is a temporary one where the system has such.
    let has_global_v6 = ips.iter().any(|ip| ip.is_ipv6() && Reach::of(*ip) == Reach::Global);
    let is_missing =
        |ip: &&IpAddr| !listed.iter().any(|own| own.ip == **ip) || (ip.is_ipv6() && !has_global_v6);
    let missing: Vec<IpAddr> = outward.iter().filter(is_missing).copied().collect();
    ips.extend(missing.into_iter().filter(|ip| !ips.contains(ip)).collect::<Vec<_>>());
    let is_last_resort = |ip: &IpAddr| ip.is_ipv6() && Reach::of(*ip) == Reach::LinkLocal;
    if !ips.iter().all(is_last_resort) {
        ips.retain(|ip| !is_last_resort(ip));
    }
    ips.sort_by_key(|ip| (Reach::of(*ip), !outward.contains(ip), ip.is_ipv6()));
    ips
}

/// The same address with the name of the interface in place of its number, which changes when the machine starts anew.
pub fn with_named_zone(address: Address) -> Address {
    let number = address.zone().and_then(|zone| zone.parse::<u32>().ok());
    let name = number.and_then(|number| interfaces::zones().into_iter().find(|(known, _)| *known == number));
    name.map_or_else(|| address.clone(), |(_, name)| address.in_zone(&name))
}

/// Where an IP address is to be dialled: a link-local one without a zone, as links have it, on each interface.
pub fn sockets_of(ip: IpAddr, port: u16) -> Vec<SocketAddr> {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let on_interface = |(number, _)| SocketAddrV6::new(v6, port, 0, number).into();
            let zones = interfaces::zones();
            if zones.is_empty() {
                return vec![SocketAddr::new(ip, port)];
            }
            zones.into_iter().map(on_interface).collect()
        }
        ip => vec![SocketAddr::new(ip, port)],
    }
}

/// Whether this machine does not have the address any more: nothing can be bound to it. One that cannot be tried counts as
/// there.
pub fn is_gone(mut address: SocketAddr) -> bool {
    address.set_port(0);
    UdpSocket::bind(address).is_err_and(|cause| cause.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Whether an address is one of this machine's: loopback, or of an interface.
pub fn is_own(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || (!ip.is_multicast() && UdpSocket::bind((ip, 0)).is_ok())
}

/// Bits of an address by which machines are most likely on the same network, where the system does not say.
const LIKELY_PREFIX: [u32; 2] = [24, 64];

/// Whether an address that nobody on this machine has named is worth dialling from here: everybody's, or one of a network that
/// this machine is on. So no peer can have others dialled on a network where it is not.
pub fn is_dialled_unasked(address: &Address) -> bool {
    let Some(ip) = address.ip().map(|ip| ip.to_canonical()) else { return false };
    if ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    match Reach::of(ip) {
        Reach::Global => true,
        // It was noted because the peer came by it; see `node::pairing`.
        Reach::Loopback => true,
        Reach::LinkLocal => ip.is_ipv4() || address.zone().is_some(),
        Reach::Private | Reach::Carrier | Reach::Nobody => {
            let likely = outward_ips().into_iter().map(|ip| {
                let prefix = LIKELY_PREFIX[usize::from(ip.is_ipv6())];
                InterfaceAddress { ip, prefix, is_lasting: true }
            });
            let listed = interfaces::all();
            let near: Vec<InterfaceAddress> = if listed.is_empty() { likely.collect() } else { listed };
            is_own(ip) || near.iter().any(|own| own.is_near(ip))
        }
    }
}

/// The same for an address that only the peer has told: it is not dialled if it is one of this machine's, or on the same wire.
pub fn is_dialled_on_hearsay(address: &Address) -> bool {
    let is_fit = |ip: IpAddr| !matches!(Reach::of(ip), Reach::Loopback | Reach::LinkLocal) && !is_own(ip);
    address.ip().is_some_and(is_fit) && is_dialled_unasked(address)
}

/// Who can dial an address, by the range that it is from.
///
/// In the order of how many can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Everybody, as far as the address goes.
    Global,
    /// Those behind the same provider: carrier-grade NAT (RFC 6598). Some VPNs use the range, too.
    Carrier,
    /// Those in the same network: RFC 1918, and RFC 4193 for IPv6.
    Private,
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

/// Who can dial the best of the addresses; `None` if that cannot be told, because names are among them.
pub fn best_reach(addresses: &[Address]) -> Option<Reach> {
    addresses.iter().map(|address| address.ip().map(Reach::of)).collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// Whether only programs of this machine can dial a node that listens at these addresses.
pub fn is_loopback(listening: &[SocketAddr]) -> bool {
    listening.iter().all(|at| at.ip().to_canonical().is_loopback())
}

/// The port of a node that listens at these addresses, for whoever dials it at an address of this machine.
pub fn port_at(listening: &[SocketAddr], ip: IpAddr) -> Option<u16> {
    // A socket on all IPv6 addresses takes IPv4 too where the system lets it.
    let fits = |at: &&SocketAddr| match at.ip() {
        listens if listens.is_unspecified() => listens.is_ipv6() || ip.is_ipv4(),
        listens => listens.to_canonical() == ip,
    };
    listening.iter().find(fits).map(SocketAddr::port)
}

/// Where others can dial a node that listens at `listening`, the reachable first; without a running node, where the default would
/// be. An unspecified address stands for the machine's own ones, and for loopback if it has none.
pub fn reachable_at(listening: &[SocketAddr]) -> Vec<Address> {
    let default = [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], DEFAULT_PORT))];
    let listening = if listening.is_empty() { &default } else { listening };
    let mut addresses: Vec<Address> = Vec::new();
    for bound in listening {
        let ips = if bound.ip().is_unspecified() { own_ips() } else { vec![bound.ip()] };
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
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_the_address_that_is_dialled() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("literal");
        let cases = [
            ("0.0.0.0:1", "10.0.0.1", Some(1)),
            ("0.0.0.0:1", "fe80::1", None),
            ("[::]:1", "10.0.0.1", Some(1)),
            ("[::]:1", "fe80::1", Some(1)),
            ("10.0.0.1:1", "10.0.0.1", Some(1)),
            ("[::ffff:10.0.0.1]:1", "10.0.0.1", Some(1)),
            ("10.0.0.2:1", "10.0.0.1", None),
        ];
        for (listening, ip, port) in cases {
            assert_eq!(
                port_at(&[at("127.0.0.1:9"), at(listening)], ip.parse().expect("literal")),
                port,
                "{listening} {ip}"
            );
        }
    }

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
