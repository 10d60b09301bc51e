//! Asks by UPnP: SSDP finds the router, its description names a service, and the service maps. What is said in that: see
//! [`ssdp`] and [`upnp`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::net::deadline::Deadline;
use crate::net::interfaces;
use crate::net::local::Reach;
use crate::net::mapping::http::{self, Url};
use crate::net::mapping::upnp::Service;
use crate::net::mapping::{Failure, Grant, LIFETIME, Wish, check, ssdp, upnp};
use crate::store::mapping::{By, Lease};

/// When the question is repeated, and when no answer is waited for any more. A router may take a second.
const SEARCHES: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];
/// Answers that are looked at: everybody on the network may send them.
const MAX_ANSWERS: usize = 64;
/// Descriptions that are fetched.
const MAX_ROUTERS: usize = 2;
/// Outside ports that are tried.
const MAX_PORTS: u16 = 8;
/// How long finding and asking may take in all.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Some routers grant no hour, but a week, and some only what lasts for ever, in seconds.
const LIFETIMES: [u32; 3] = [LIFETIME, 604_800, 0];
/// The error for a mapping that the router does not have.
const NO_SUCH_ENTRY: u16 = 714;
/// What the list of a router shows.
const DESCRIPTION: &str = "egoat";

/// Asks for a mapping whatever answers as a router: `gateway`, or else another machine on the same network.
pub fn map(targets: &[SocketAddr], gateway: Option<IpAddr>, wish: &Wish) -> Result<Grant, Failure> {
    let deadline = Deadline::after(TIMEOUT);
    let mut failure = Failure::Silent;
    for url in find(targets, gateway, wish.inside.ip()).unwrap_or_default() {
        let described = http::ask("GET", &url, "", "").and_then(|response| match response.status {
            200 => Ok(upnp::services(&response.body, &url)),
            _ => Err("its description is not where it says"),
        });
        let services = match described {
            Ok(services) if services.is_empty() => Err("it has no service that maps ports"),
            described => described,
        };
        let services = services.unwrap_or_else(|why| {
            failure = failure.clone().or(Failure::Odd(By::Upnp, why));
            Vec::new()
        });
        // A router may have one service for each way to its provider, of which one is in use.
        for service in services.iter().take_while(|_| deadline.remaining().is_some()) {
            match map_within(service, wish, deadline) {
                Ok(grant) => return Ok(grant),
                Err(other) => failure = failure.or(other),
            }
        }
    }
    Err(failure)
}

/// Where the descriptions of routers are: that of the gateway, as soon as it answers, else those of others.
fn find(targets: &[SocketAddr], gateway: Option<IpAddr>, from: IpAddr) -> io::Result<Vec<Url>> {
    let socket = UdpSocket::bind((from, 0))?;
    let near = interfaces::all();
    let is_near = |ip: IpAddr| match near.is_empty() {
        true => Reach::of(ip) == Reach::Private,
        false => near.iter().any(|own| own.is_near(ip)),
    };
    let (mut found, mut buffer, mut answers) = (Vec::new(), [0; 2048], 0);
    for wait in SEARCHES {
        for target in targets {
            // Without a route for multicast, the gateway can still be asked.
            let _ = socket.send_to(&ssdp::search(*target), target);
        }
        let deadline = Deadline::after(wait);
        while let Some(left) = deadline.remaining().filter(|_| answers < MAX_ANSWERS) {
            socket.set_read_timeout(Some(left))?;
            let Ok((count, answerer)) = socket.recv_from(&mut buffer) else { break };
            answers += 1;
            let Some(url) = ssdp::location(&buffer[..count], answerer.ip()) else { continue };
            if Some(answerer.ip()) == gateway {
                return Ok(vec![url]);
            }
            if is_near(answerer.ip()) && found.len() < MAX_ROUTERS && !found.contains(&url) {
                found.push(url);
            }
        }
    }
    Ok(found)
}

/// Calls a service; the error is a number of UPnP, or that there was no answer.
fn call(service: &Service, action: &str, arguments: &[(&str, &str)]) -> Result<Result<String, u16>, Failure> {
    let (headers, body) = service.call(action, arguments);
    let response = http::ask("POST", &service.control, &headers, &body);
    response.map(upnp::result).map_err(|why| Failure::Odd(By::Upnp, why))
}

fn refused(code: u16) -> Failure {
    Failure::Refused(By::Upnp, upnp::reason(code))
}

/// The outside address of the router.
pub fn outside(service: &Service) -> Result<Ipv4Addr, Failure> {
    let answer = call(service, "GetExternalIPAddress", &[])?.map_err(refused)?;
    match upnp::external_ip(&answer) {
        Some(ip) if ip.is_unspecified() => Err(Failure::Inside(By::Upnp)),
        Some(ip) => Ok(ip),
        None => Err(Failure::Odd(By::Upnp, "it tells no outside address")),
    }
}

/// Whether the router has another outside address now, or the port not any more.
pub fn is_lost(service: &Service, at: SocketAddr) -> bool {
    let Ok(ip) = outside(service) else { return false };
    let port = at.port().to_string();
    IpAddr::from(ip) != at.ip()
        || matches!(call(service, "GetSpecificPortMappingEntry", &entry(&port)), Ok(Err(NO_SUCH_ENTRY)))
}

/// What names a mapping.
fn entry(port: &str) -> [(&str, &str); 3] {
    [("NewRemoteHost", ""), ("NewExternalPort", port), ("NewProtocol", "TCP")]
}

/// Asks a service that is known for a mapping.
pub fn map_by(service: &Service, wish: &Wish) -> Result<Grant, Failure> {
    map_within(service, wish, Deadline::after(TIMEOUT))
}

fn map_within(service: &Service, wish: &Wish, deadline: Deadline) -> Result<Grant, Failure> {
    let ip = outside(service)?;
    let own = wish.inside.port();
    let mut ports = (0..MAX_PORTS).map(|more| own.saturating_add(more)).filter(|port| *port != wish.port);
    let mut lifetimes = LIFETIMES.into_iter();
    let (mut port, mut lifetime) = (wish.port, LIFETIMES[0]);
    lifetimes.next();
    // Each refusal leaves one port or one time less to ask for.
    while deadline.remaining().is_some() {
        let outside = check(SocketAddr::new(ip.into(), port), wish.inside, By::Upnp)?;
        let has_other = match add(service, wish.inside, port, lifetime)? {
            Ok(_) => {
                let lease = Lease {
                    by: By::Upnp,
                    router: service.control.at,
                    inside: wish.inside,
                    outside,
                    handle: service.handle(),
                };
                // What lasts for ever is asked for again as often: the router may have been reset.
                let lifetime = if lifetime == 0 { LIFETIME } else { lifetime };
                return Ok(Grant { lease, lifetime: Duration::from_secs(lifetime.into()), epoch: None });
            }
            Err(402 | 725) => next(&mut lifetime, &mut lifetimes),
            Err(718 | 729) => next(&mut port, &mut ports),
            // Both ports must be the same.
            Err(724) if port != own => {
                port = own;
                true
            }
            Err(code) => return Err(refused(code)),
        };
        if !has_other {
            return Err(Failure::Refused(By::Upnp, "none of its answers fits".into()));
        }
    }
    Err(Failure::Odd(By::Upnp, "its answers take too long"))
}

/// Moves on to what is tried next, if there is something.
fn next<T>(tried: &mut T, others: &mut dyn Iterator<Item = T>) -> bool {
    others.next().map(|other| *tried = other).is_some()
}

fn add(
    service: &Service,
    inside: SocketAddr,
    port: u16,
    lifetime: u32,
) -> Result<Result<String, u16>, Failure> {
    let (port, inside_port) = (port.to_string(), inside.port().to_string());
    let (ip, lifetime) = (inside.ip().to_string(), lifetime.to_string());
    let mut arguments = entry(&port).to_vec();
    arguments.extend([
        ("NewInternalPort", inside_port.as_str()),
        ("NewInternalClient", &ip),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", DESCRIPTION),
        ("NewLeaseDuration", &lifetime),
    ]);
    call(service, "AddPortMapping", &arguments)
}

/// Takes a mapping back.
pub fn end(service: &Service, port: u16) {
    // A router that has gone, or knows it no more, is as good.
    let _ = call(service, "DeletePortMapping", &entry(&port.to_string()));
}
