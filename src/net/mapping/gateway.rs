//! The routers of this machine: where its default routes lead, by /proc/net on Linux. Elsewhere, only whoever answers SSDP is
//! known.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use crate::net::interfaces;

/// Flags of a route (linux/route.h): it is up, and leads to a router.
const UP_AND_ROUTER: u32 = 0x3;

/// A router, and the address of this machine that it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The router, with port 0; of IPv6 a link-local address with its interface.
    pub router: SocketAddr,
    /// This machine.
    pub own: IpAddr,
}

/// The router of the default route of IPv4.
pub fn v4() -> Option<Gateway> {
    let router = default_v4(&interfaces::read("/proc/net/route"))?;
    Some(Gateway { router: SocketAddr::new(router.into(), 0), own: source_towards(router.into())? })
}

/// The router of the default route of IPv6.
pub fn v6() -> Option<SocketAddr> {
    let (router, interface) = default_v6(&interfaces::read("/proc/net/ipv6_route"))?;
    let (zone, _) = interfaces::zones().into_iter().find(|(_, name)| *name == interface)?;
    Some(SocketAddrV6::new(router, 0, 0, if router.is_unicast_link_local() { zone } else { 0 }).into())
}

/// The address that the system would use towards another one. No packet is sent.
pub fn source_towards(other: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if other.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((other, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// The default router with the lowest metric. A line begins with `Iface Destination Gateway Flags RefCnt Use Metric Mask`, with
/// IP addresses in hexadecimal, in the byte order of the machine.
fn default_v4(routes: &str) -> Option<Ipv4Addr> {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
        let is_default = number(1)? == 0 && number(7)? == 0 && number(3)? & UP_AND_ROUTER == UP_AND_ROUTER;
        let metric: u32 = fields.get(6)?.parse().ok()?;
        is_default.then_some((metric, Ipv4Addr::from(number(2)?.to_ne_bytes())))
    };
    routes.lines().filter_map(route).min().map(|(_, router)| router)
}

/// The same, with its interface, of lines `DESTINATION PREFIX SOURCE PREFIX ROUTER METRIC REFCNT USE FLAGS NAME`, all but NAME
/// in hexadecimal.
fn default_v6(routes: &str) -> Option<(Ipv6Addr, String)> {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, prefix, _, source, router, metric, _, _, flags, name] = fields[..] else {
            return None;
        };
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let is_default = u128::from_str_radix(destination, 16).ok()? == 0
            && (number(prefix)?, number(source)?) == (0, 0)
            && number(flags)? & UP_AND_ROUTER == UP_AND_ROUTER;
        let router = Ipv6Addr::from_bits(u128::from_str_radix(router, 16).ok()?);
        let metric = number(metric)?;
        is_default.then(|| (metric, router, name.to_owned()))
    };
    routes.lines().filter_map(route).min().map(|(_, router, name)| (router, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let router = |last: u8| {
            let word = u32::from_ne_bytes([192, 168, 7, last]);
            format!("{word:08X}")
        };
        let routes = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n\
             wlan0 00000000 {} 0003 0 0 600 00000000 0\n\
             eth0 00000000 {} 0003 0 0 100 00000000 0\n\
             tun0 00000000 00000000 0001 0 0 50 00000000 0\n\
             eth0 0007A8C0 {} 0003 0 0 0 00FFFFFF 0\nx\n",
            router(2),
            router(1),
            router(3)
        );
        assert_eq!(default_v4(&routes), Some(Ipv4Addr::new(192, 168, 7, 1)));
        assert_eq!(default_v4("Iface Destination\n"), None);
    }

    #[test]
    fn the_router_of_version_6_has_an_interface() {
        let zero = "0".repeat(32);
        let routes = format!(
            "{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n\
             fe800000000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n\
             {zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n"
        );
        let found = default_v6(&routes).map(|(router, name)| (router.to_string(), name));
        assert_eq!(found, Some(("fe80::1".to_owned(), "eth0".to_owned())));
    }
}
