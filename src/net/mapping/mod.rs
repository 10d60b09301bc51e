//! Has a router map a port of its outside address to a node behind it, or let connections through to one. A router is asked by
//! PCP, else by NAT-PMP, else by UPnP.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`gateway`] | who the routers are |
//! | [`pcp`], [`natpmp`], [`ssdp`], [`http`], [`upnp`] | the texts and packets; no sockets but one to ask over HTTP |
//! | [`epoch`] | whether a router has lost its table |
//! | [`udp`] | asks by PCP and NAT-PMP |
//! | [`igd`] | asks by UPnP |
//!
//! Nothing that is answered is believed because it was asked for: an answer comes from the address that was asked, repeats what
//! only the asker knows where the protocol has that, and grants an address and a port that can be dialled. Every wait is
//! bounded, and so is how much is read. Whoever lies within these bounds can make this node tell others a wrong address, at
//! which they then find another key.

pub mod epoch;
pub mod gateway;
pub mod http;
pub mod igd;
pub mod natpmp;
pub mod pcp;
pub mod ssdp;
pub mod udp;
pub mod upnp;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::net::local::Reach;
use crate::net::mapping::epoch::Epoch;
use crate::net::mapping::upnp::Service;
use crate::store::mapping::{By, Lease};
use crate::wire::address::is_told_port;

/// How long a mapping is wanted for, in seconds.
pub const LIFETIME: u32 = 3600;
/// Where routers listen for PCP and NAT-PMP, and for SSDP.
const UDP_PORT: u16 = 5351;
const SSDP_PORT: u16 = 1900;
/// Where SSDP finds a router of which the routes do not tell.
const SSDP_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// A mapping that a router made.
#[derive(Debug)]
pub struct Grant {
    /// What it is.
    pub lease: Lease,
    /// How long it is good.
    pub lifetime: Duration,
    /// The age of the router's table, where the protocol tells it.
    pub epoch: Option<Epoch>,
}

/// Why a router does not map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answers.
    Silent,
    /// What was answered is no use.
    Odd(By, &'static str),
    /// The router says no, for this reason.
    Refused(By, String),
    /// The router has no outside address that is everybody's: another one stands in front of it, or it is offline.
    Inside(By),
}

impl Failure {
    /// Which of two tells more.
    fn or(self, other: Failure) -> Failure {
        let rank = |failure: &Failure| match failure {
            Failure::Silent => 0,
            Failure::Odd(..) => 1,
            Failure::Refused(..) => 2,
            Failure::Inside(_) => 3,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }

    /// Behind the name of a router.
    pub fn says(&self) -> String {
        match self {
            Failure::Silent => "answers neither PCP nor NAT-PMP nor UPnP".into(),
            Failure::Odd(by, why) => format!("answers nonsense: {why} ({})", by.title()),
            Failure::Refused(by, why) => format!("refuses to map a port: {why} ({})", by.title()),
            Failure::Inside(by) => format!(
                "has no outside address of its own: a second router is in front of it, or it is offline ({})",
                by.title()
            ),
        }
    }
}

/// What this node wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where the router dials it.
    pub inside: SocketAddr,
    /// The outside port that it had the last time, or would like to have.
    pub port: u16,
    /// Names this node to PCP.
    pub nonce: [u8; 12],
}

/// Whom to ask for a mapping of IPv4.
#[derive(Clone, Debug)]
pub struct Routers {
    /// By PCP and NAT-PMP.
    pub udp: Option<SocketAddr>,
    /// By SSDP.
    pub ssdp: Vec<SocketAddr>,
}

impl Routers {
    /// The router of the default route, and whoever says that it is one.
    pub fn of(gateway: Option<IpAddr>) -> Routers {
        let group = SocketAddr::from((SSDP_GROUP, SSDP_PORT));
        Routers {
            udp: gateway.map(|ip| SocketAddr::new(ip, UDP_PORT)),
            ssdp: gateway.map(|ip| SocketAddr::new(ip, SSDP_PORT)).into_iter().chain([group]).collect(),
        }
    }
}

/// Asks for a mapping in each way until one works.
pub fn map(routers: &Routers, wish: &Wish) -> Result<Grant, Failure> {
    let by_udp = routers.udp.map_or(Err(Failure::Silent), |router| udp::map(router, wish));
    let failure = match by_udp {
        Ok(grant) => return Ok(grant),
        Err(failure) => failure,
    };
    igd::map(&routers.ssdp, routers.udp.map(|router| router.ip()), wish).map_err(|other| failure.or(other))
}

/// Asks a router of IPv6 to let connections through to an address of this machine: by PCP, the only way that has this.
pub fn open_pinhole(mut router: SocketAddr, wish: &Wish) -> Result<Grant, Failure> {
    router.set_port(UDP_PORT);
    udp::pcp(router, wish)
}

/// Asks once more for a mapping, in the way in which it was granted.
pub fn renew(lease: &Lease, wish: &Wish) -> Result<Grant, Failure> {
    match lease.by {
        By::Pcp => udp::pcp(lease.router, wish),
        By::NatPmp => udp::nat_pmp(lease.router, wish),
        By::Upnp => match Service::of_handle(lease.router, &lease.handle) {
            Some(service) => igd::map_by(&service, wish),
            None => Err(Failure::Silent),
        },
    }
}

/// Takes a mapping back, as far as the router is there and willing. `nonce` is that with which it was asked for.
pub fn take_back(lease: &Lease, nonce: [u8; 12]) {
    match lease.by {
        By::Pcp => udp::end_pcp(lease, nonce),
        By::NatPmp => udp::end_nat_pmp(lease),
        By::Upnp => {
            if let Some(service) = Service::of_handle(lease.router, &lease.handle) {
                igd::end(&service, lease.outside.port());
            }
        }
    }
}

/// Whether the router seems to have lost the mapping, or has another outside address: asked between two renewals. A router
/// that does not answer has not.
pub fn is_lost(lease: &Lease, epoch: Option<&Epoch>) -> bool {
    let has_fallen = |age: Option<Epoch>| match (age, epoch) {
        (Some(now), Some(before)) => now.has_fallen_since(before),
        _ => false,
    };
    match lease.by {
        By::Pcp => has_fallen(udp::announce(lease)),
        By::NatPmp => match udp::outside(lease.router, lease.inside.ip()) {
            Ok((age, ip)) => IpAddr::from(ip) != lease.outside.ip() || has_fallen(Some(age)),
            Err(_) => false,
        },
        By::Upnp => Service::of_handle(lease.router, &lease.handle)
            .is_some_and(|service| igd::is_lost(&service, lease.outside)),
    }
}

/// Refuses an outside address that nobody could dial. A private one is good for those between two routers.
fn check(outside: SocketAddr, inside: SocketAddr, by: By) -> Result<SocketAddr, Failure> {
    let is_reached = match Reach::of(outside.ip()) {
        Reach::Global => true,
        Reach::Private | Reach::Carrier => outside.is_ipv4(),
        _ => false,
    };
    if !is_reached || outside.is_ipv4() != inside.is_ipv4() {
        return Err(Failure::Odd(by, "it grants an address that nobody has"));
    }
    if !is_told_port(outside.port()) {
        return Err(Failure::Odd(by, "it grants a port that nobody would dial"));
    }
    Ok(outside)
}
