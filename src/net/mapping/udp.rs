//! Asks by PCP and by NAT-PMP, which both are a packet there and one back. What is in them: see [`mod@pcp`] and [`natpmp`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::crypto::base32;
use crate::net::deadline::Deadline;
use crate::net::mapping::epoch::Epoch;
use crate::net::mapping::pcp::{Answer, MapRequest};
use crate::net::mapping::{Failure, Grant, LIFETIME, Wish, check, natpmp, pcp};
use crate::store::mapping::{By, Lease};

/// How long an answer is waited for before the request is sent again, in milliseconds. A router on the same network answers
/// within a few; a second and a half is what a new node's user waits at most where none does.
const WAITS: [u64; 3] = [250, 500, 750];
/// Packets that are looked at in one exchange: somebody may send them without end.
const MAX_PACKETS: usize = 64;
/// Longer packets are none of ours.
const BUFFER: usize = 1200;

/// Sends the requests from `from`, again and again, until `read` takes an answer of the router; `false` if it takes none.
fn exchange(
    router: SocketAddr,
    from: IpAddr,
    requests: &[&[u8]],
    read: &mut dyn FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    let socket = UdpSocket::bind((from, 0))?;
    // From here on the system drops what others send.
    socket.connect(router)?;
    let (mut buffer, mut packets) = ([0; BUFFER], 0);
    for wait in WAITS {
        for request in requests {
            socket.send(request)?;
        }
        let deadline = Deadline::after(Duration::from_millis(wait));
        while let Some(left) = deadline.remaining() {
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut buffer) {
                Ok(count) if read(&buffer[..count]) => return Ok(true),
                Ok(_) => packets += 1,
                Err(cause) if is_timeout(&cause) => break,
                // The router says that nobody listens there.
                Err(cause) => return Err(cause),
            }
            if packets == MAX_PACKETS {
                return Ok(false);
            }
        }
    }
    Ok(false)
}

fn is_timeout(cause: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(cause.kind(), Interrupted | TimedOut | WouldBlock)
}

/// Asks for a mapping by PCP, and by NAT-PMP if the router speaks only that.
pub fn map(router: SocketAddr, wish: &Wish) -> Result<Grant, Failure> {
    let request = pcp_request(wish, LIFETIME);
    let (mut answer, mut speaks_nat_pmp) = (None, false);
    // Both at once: a router that knows neither costs one wait, and not two.
    let _ =
        exchange(router, wish.inside.ip(), &[&request.encode(), &natpmp::ADDRESS_REQUEST], &mut |packet| {
            speaks_nat_pmp |= natpmp::read_address(packet).is_some();
            answer = request.read(packet);
            answer.is_some()
        });
    match answer {
        Some(Answer::OnlyNatPmp) => nat_pmp(router, wish),
        None if speaks_nat_pmp => nat_pmp(router, wish),
        answer => granted_by_pcp(router, wish, answer).map_err(|failure| explained(failure, router, wish)),
    }
}

/// Some routers refuse by PCP without saying that they have no outside address, and say so by NAT-PMP.
fn explained(failure: Failure, router: SocketAddr, wish: &Wish) -> Failure {
    if !matches!(failure, Failure::Refused(..)) {
        return failure;
    }
    match outside(router, wish.inside.ip()) {
        Err(other) => failure.or(other),
        Ok(_) => failure,
    }
}

/// Asks for a mapping by PCP alone.
pub fn pcp(router: SocketAddr, wish: &Wish) -> Result<Grant, Failure> {
    let request = pcp_request(wish, LIFETIME);
    let mut answer = None;
    let _ = exchange(router, wish.inside.ip(), &[&request.encode()], &mut |packet| {
        answer = request.read(packet);
        answer.is_some()
    });
    granted_by_pcp(router, wish, answer)
}

fn pcp_request(wish: &Wish, lifetime: u32) -> MapRequest {
    let any: IpAddr = match wish.inside {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        // The own address is all that a router without translation can grant.
        SocketAddr::V6(own) => (*own.ip()).into(),
    };
    let outside = SocketAddr::new(any, wish.port);
    MapRequest { nonce: wish.nonce, inside: wish.inside, outside, lifetime }
}

fn granted_by_pcp(router: SocketAddr, wish: &Wish, answer: Option<Answer>) -> Result<Grant, Failure> {
    match answer {
        None | Some(Answer::OnlyNatPmp) => Err(Failure::Silent),
        Some(Answer::Refused(pcp::NETWORK_FAILURE)) => Err(Failure::Inside(By::Pcp)),
        Some(Answer::Refused(code)) => Err(Failure::Refused(By::Pcp, pcp::reason(code).into())),
        Some(Answer::Granted { outside, lifetime, epoch }) => {
            let handle = base32::encode(&wish.nonce);
            grant(By::Pcp, router, wish, outside, (lifetime, epoch), handle)
        }
    }
}

fn grant(
    by: By,
    router: SocketAddr,
    wish: &Wish,
    outside: SocketAddr,
    (lifetime, age): (u32, u32),
    handle: String,
) -> Result<Grant, Failure> {
    let outside = check(outside, wish.inside, by)?;
    if lifetime == 0 {
        return Err(Failure::Odd(by, "it grants no time"));
    }
    let lease = Lease { by, router, inside: wish.inside, outside, handle };
    Ok(Grant { lease, lifetime: Duration::from_secs(lifetime.into()), epoch: Some(Epoch::now(age)) })
}

fn refused(code: u16) -> Failure {
    match code {
        natpmp::NETWORK_FAILURE => Failure::Inside(By::NatPmp),
        code => Failure::Refused(By::NatPmp, natpmp::reason(code).into()),
    }
}

/// The router's age and outside address by NAT-PMP.
pub fn outside(router: SocketAddr, from: IpAddr) -> Result<(Epoch, Ipv4Addr), Failure> {
    let mut answer = None;
    let _ = exchange(router, from, &[&natpmp::ADDRESS_REQUEST], &mut |packet| {
        answer = natpmp::read_address(packet);
        answer.is_some()
    });
    match answer {
        None => Err(Failure::Silent),
        Some(Err(code)) => Err(refused(code)),
        Some(Ok((age, ip))) => Ok((Epoch::now(age), ip)),
    }
}

/// Asks for a mapping by NAT-PMP.
pub fn nat_pmp(router: SocketAddr, wish: &Wish) -> Result<Grant, Failure> {
    let (_, ip) = outside(router, wish.inside.ip())?;
    let inside = wish.inside.port();
    let mut answer = None;
    let request = natpmp::map_request(inside, wish.port, LIFETIME);
    let _ = exchange(router, wish.inside.ip(), &[&request], &mut |packet| {
        answer = natpmp::read_map(packet, inside);
        answer.is_some()
    });
    match answer {
        None => Err(Failure::Silent),
        Some(Err(code)) => Err(refused(code)),
        Some(Ok((age, (port, lifetime)))) => {
            grant(By::NatPmp, router, wish, SocketAddr::new(ip.into(), port), (lifetime, age), "-".into())
        }
    }
}

/// The age that a router tells by PCP.
pub fn announce(lease: &Lease) -> Option<Epoch> {
    let from = lease.inside.ip();
    let mut age = None;
    let _ = exchange(lease.router, from, &[&pcp::announce(from)], &mut |packet| {
        age = pcp::read_announce(packet);
        age.is_some()
    });
    age.map(Epoch::now)
}

/// Takes a mapping of PCP back.
pub fn end_pcp(lease: &Lease, nonce: [u8; 12]) {
    let wish = Wish { inside: lease.inside, port: 0, nonce };
    let request = pcp_request(&wish, 0);
    let read = &mut |packet: &[u8]| request.read(packet).is_some();
    let _ = exchange(lease.router, lease.inside.ip(), &[&request.encode()], read);
}

/// Takes a mapping of NAT-PMP back.
pub fn end_nat_pmp(lease: &Lease) {
    let inside = lease.inside.port();
    let read = &mut |packet: &[u8]| natpmp::read_map(packet, inside).is_some();
    let _ = exchange(lease.router, lease.inside.ip(), &[&natpmp::map_request(inside, 0, 0)], read);
}
