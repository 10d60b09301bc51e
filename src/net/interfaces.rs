//! The addresses of this machine's interfaces. Linux lists them under /proc/net; elsewhere std knows only the source addresses
//! towards the internet (`net::local`).

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Bytes of a list that are read: one with more is that of a router with the routes of the internet.
const MAX_LEN: u64 = 1 << 20;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub ip: IpAddr,
    /// Bits of it that the machines on the same network share.
    pub prefix: u32,
    /// Whether others can rely on it: a temporary IPv6 address is gone tomorrow, and a network of virtual machines or containers
    /// leads no further than this machine.
    pub is_lasting: bool,
}

impl InterfaceAddress {
    /// Whether the other address is in the same network.
    pub fn is_near(&self, other: IpAddr) -> bool {
        match (self.ip, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = (own.to_bits() ^ other.to_bits()).leading_zeros();
                differing >= self.prefix
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

/// The addresses of all interfaces but loopback; empty where the system does not list them.
pub fn all() -> Vec<InterfaceAddress> {
    let routes = connected_networks(&read("/proc/net/route"));
    let v4 = local_v4(&read("/proc/net/fib_trie")).into_iter().map(|ip| {
        let network =
            routes.iter().filter(|network| network.contains(ip)).max_by_key(|network| network.prefix);
        InterfaceAddress {
            ip: ip.into(),
            prefix: network.map_or(Ipv4Addr::BITS, |network| network.prefix),
            is_lasting: network.is_none_or(|network| !is_bridge(&network.interface)),
        }
    });
    v4.chain(local_v6(&read("/proc/net/if_inet6"))).filter(|own| !own.ip.is_loopback()).collect()
}

/// Interfaces of a family that are used to look for others, however many a machine has: Linux lets a socket join 20 groups.
const MAX_LINKS: usize = 16;

/// One family on an interface to a network in which others may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// One of its IPv4 addresses with a network around it.
    V4(Ipv4Addr),
    /// Its link-local IPv6 address, and its number.
    V6(Ipv6Addr, u32),
}

/// The interfaces but loopback, each once for a family; none where the system does not list them. What is part of a bridge or a
/// bond has no network of its own.
pub fn links() -> Vec<Link> {
    links_of(&read("/proc/net/route"), &read("/proc/net/fib_trie"), &read("/proc/net/if_inet6"), &|name| {
        !Path::new("/sys/class/net").join(name).join("master").exists()
    })
}

fn links_of(routes: &str, trie: &str, list: &str, is_whole: &dyn Fn(&str) -> bool) -> Vec<Link> {
    let own = local_v4(trie);
    let v4 = connected_networks(routes).into_iter().filter_map(|network| {
        let ip = own.iter().find(|ip| network.contains(**ip) && !ip.is_loopback())?;
        Some((network.interface, Link::V4(*ip)))
    });
    let v6 = list.lines().filter_map(|line| {
        let (number, name) = zones_of(line).pop()?;
        match local_v6(line).pop()?.ip {
            IpAddr::V6(ip) => Some((name, Link::V6(ip, number))),
            IpAddr::V4(_) => None,
        }
    });
    let (v4, v6): (Vec<_>, Vec<_>) = (v4.collect(), v6.collect());
    [v4, v6].iter().flat_map(|all| one_of_each(all, is_whole)).collect()
}

/// The first link of each interface by its name.
fn one_of_each(all: &[(String, Link)], is_whole: &dyn Fn(&str) -> bool) -> Vec<Link> {
    let is_first = |at: usize| all[..at].iter().all(|(name, _)| *name != all[at].0);
    let firsts = (0..all.len()).filter(|at| is_first(*at) && is_whole(&all[*at].0));
    firsts.take(MAX_LINKS).map(|at| all[at].1).collect()
}

/// The interfaces with a link-local IPv6 address, by number and name: those that a zone can name.
pub fn zones() -> Vec<(u32, String)> {
    zones_of(&read("/proc/net/if_inet6"))
}

fn zones_of(list: &str) -> Vec<(u32, String)> {
    let zone = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [ip, number, .., name] = fields[..] else { return None };
        let number = u32::from_str_radix(number, 16).ok()?;
        ip.starts_with("fe80").then(|| (number, name.to_owned()))
    };
    list.lines().filter_map(zone).collect()
}

/// Nothing where there is no such list.
pub(crate) fn read(path: &str) -> String {
    let mut listed = Vec::new();
    let _ = File::open(path).and_then(|file| file.take(MAX_LEN).read_to_end(&mut listed));
    String::from_utf8_lossy(&listed).into_owned()
}

/// A bridge between virtual machines or containers; it may also be that to the real network.
fn is_bridge(interface: &str) -> bool {
    Path::new("/sys/class/net").join(interface).join("bridge").exists()
}

/// A network that an interface is on.
struct Network {
    interface: String,
    first: Ipv4Addr,
    prefix: u32,
}

impl Network {
    fn contains(&self, ip: Ipv4Addr) -> bool {
        (self.first.to_bits() ^ ip.to_bits()).leading_zeros() >= self.prefix
    }
}

/// The networks of /proc/net/route that no router stands before. A line begins with
/// `Iface Destination Gateway Flags RefCnt Use Metric Mask`, with IP addresses in hexadecimal, in the byte order of the machine.
fn connected_networks(routes: &str) -> Vec<Network> {
    let network = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let ip = |index: usize| {
            let hex = fields.get(index)?;
            Some(Ipv4Addr::from(u32::from_str_radix(hex, 16).ok()?.to_ne_bytes()))
        };
        let (first, router, mask) = (ip(1)?, ip(2)?, ip(7)?);
        let prefix = mask.to_bits().leading_ones();
        let is_connected = router.is_unspecified() && prefix > 0;
        is_connected.then(|| Network { interface: fields[0].to_owned(), first, prefix })
    };
    routes.lines().filter_map(network).collect()
}

/// The addresses in /proc/net/fib_trie: a line `|-- ADDRESS`, and under it one that ends in `host LOCAL`.
fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let (mut found, mut leaf) = (Vec::new(), None);
    for line in trie.lines().map(str::trim) {
        if let Some(ip) = line.strip_prefix("|-- ") {
            leaf = ip.parse().ok();
        } else if let Some(ip) = leaf.filter(|_| line == "/32 host LOCAL")
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    found
}

/// Flags of if_inet6 (linux/if_addr.h): temporary, a duplicate, deprecated, and not yet known to be unique.
const TEMPORARY: u8 = 0x01;
const UNUSABLE: u8 = 0x08 | 0x20 | 0x40;

/// The addresses in /proc/net/if_inet6: lines `ADDRESS INDEX PREFIX SCOPE FLAGS NAME`, all but NAME in hexadecimal. Those that
/// the system does not use are left out.
fn local_v6(list: &str) -> Vec<InterfaceAddress> {
    let address = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [ip, _, prefix, _, flags, interface] = fields[..] else { return None };
        let ip = Ipv6Addr::from_bits(u128::from_str_radix(ip, 16).ok()?);
        let (prefix, flags) = (u32::from_str_radix(prefix, 16).ok()?, u8::from_str_radix(flags, 16).ok()?);
        let is_lasting = flags & TEMPORARY == 0 && !is_bridge(interface);
        (flags & UNUSABLE == 0).then(|| InterfaceAddress { ip: ip.into(), prefix, is_lasting })
    };
    list.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 192.168.1.0
        /24 link UNICAST
     |-- 192.168.1.7
        /32 host LOCAL
        /32 link UNICAST
Local:
     |-- 192.168.1.7
        /32 host LOCAL
";

    #[test]
    fn addresses_of_version_4_are_found_once() {
        let found = local_v4(TRIE);
        assert_eq!(found, [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 168, 1, 7)]);
        assert!(local_v4("|-- x\n/32 host LOCAL\n|--\n").is_empty());
    }

    #[test]
    fn networks_behind_a_router_are_not_connected() {
        let (net, gateway, mask) = if cfg!(target_endian = "little") {
            ("0001A8C0", "0101A8C0", "00FFFFFF")
        } else {
            ("C0A80100", "C0A80101", "FFFFFF00")
        };
        let routes = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n\
             eth0 00000000 {gateway} 0003 0 0 0 00000000 0\neth0 {net} 00000000 0001 0 0 0 {mask} 0\nx\n"
        );
        let networks = connected_networks(&routes);
        assert_eq!(networks.len(), 1);
        assert!(networks[0].contains(Ipv4Addr::new(192, 168, 1, 200)));
        assert!(!networks[0].contains(Ipv4Addr::new(192, 168, 2, 7)));
    }

    #[test]
    fn addresses_of_version_6_have_flags() {
        let line = |last: u8, flags: &str| {
            format!("200100000000000000000000000000{last:02x} 02 40 00 {flags} no-such0\n")
        };
        let list = [line(1, "80"), line(2, "01"), line(3, "20"), line(4, "40"), "junk\n".into()].concat();
        let found: Vec<(String, bool)> =
            local_v6(&list).iter().map(|own| (own.ip.to_string(), own.is_lasting)).collect();
        assert_eq!(found, [("2001::1".to_owned(), true), ("2001::2".to_owned(), false)]);
    }

    #[test]
    fn each_interface_is_one_link() {
        let hex = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let route = |name: &str, first: [u8; 4], router: [u8; 4], mask: [u8; 4]| {
            format!("{name} {} {} 0001 0 0 0 {}\n", hex(first), hex(router), hex(mask))
        };
        let zero = [0; 4];
        let routes = [
            route("eth0", zero, [192, 168, 1, 1], zero),
            route("eth0", [192, 168, 1, 0], zero, [255, 255, 255, 0]),
            route("eth0", [192, 168, 0, 0], zero, [255, 255, 0, 0]),
            route("port0", [192, 168, 1, 0], zero, [255, 255, 255, 0]),
            route("far0", [10, 9, 0, 0], zero, [255, 255, 0, 0]),
        ];
        let line = |ip: &str, number: u8, flags: &str, name: &str| {
            format!("{ip:0<32} {number:02x} 40 20 {flags} {name}\n")
        };
        let list = [
            line("fe80", 2, "80", "eth0"),
            line("2001", 2, "80", "eth0"),
            line("fe80", 3, "40", "new0"),
            line("fe80", 4, "80", "six0"),
            line("fe80", 5, "80", "port0"),
        ];
        let links = links_of(&routes.concat(), TRIE, &list.concat(), &|name| name != "port0");
        let v6 = |number| Link::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), number);
        assert_eq!(links, [Link::V4(Ipv4Addr::new(192, 168, 1, 7)), v6(2), v6(4)]);
    }

    #[test]
    fn a_prefix_ends_where_it_should() {
        let own = InterfaceAddress { ip: Ipv4Addr::new(10, 1, 2, 3).into(), prefix: 20, is_lasting: true };
        for (ip, is_near) in
            [("10.1.0.0", true), ("10.1.15.255", true), ("10.1.16.0", false), ("::ffff:10.1.0.1", false)]
        {
            assert_eq!(own.is_near(ip.parse().expect("literal")), is_near, "{ip}");
        }
        let all = InterfaceAddress { prefix: 0, ..own.clone() };
        assert!(all.is_near(Ipv4Addr::new(200, 1, 1, 1).into()));
    }
}
