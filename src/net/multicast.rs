//! UDP to everybody in the network of this machine: beacons go to a group of each family, on each interface by itself, and are
//! read at the first free of four ports. It leaves out what is in them: see `wire::beacon`.
//!
//! std lets no caller choose the interface of an IPv4 multicast. Linux, though, takes that of the address to which the socket is
//! bound, also where no route leads anywhere.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

pub use crate::net::interfaces::{InterfaceAddress, Link, all as interface_addresses, links};
use crate::wire::beacon::MAX_LEN;

/// The ports at which beacons are read: a machine has a few users, and each may run a node.
pub const PORTS: RangeInclusive<u16> = 4628..=4631;
/// Of the range that every organization may use within itself (RFC 2365).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 70, 71);
/// Of the link alone, and not assigned by anybody (RFC 4291).
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x4628, 1);
/// From one look for answers to the next.
const ANSWER_INTERVAL: Duration = Duration::from_millis(50);
/// Packets that one socket is read for at each of these looks.
const MAX_ANSWERS: usize = 16;

/// Where beacons are read: on one port, for both families.
pub struct Reader {
    sockets: Vec<UdpSocket>,
}

impl Reader {
    /// At the first free of the ports.
    pub fn open() -> io::Result<Reader> {
        let mut last = io::ErrorKind::AddrInUse.into();
        for port in PORTS {
            let v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port));
            if v6.as_ref().is_err_and(|cause| cause.kind() == io::ErrorKind::AddrInUse) {
                continue;
            }
            // Fails where the first socket is of both families.
            let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
            match (v6, v4) {
                (Err(_), Err(cause)) => last = cause,
                (v6, v4) => return Ok(Reader { sockets: v6.into_iter().chain(v4).collect() }),
            }
        }
        Err(last)
    }

    /// Joins the group on the interface. That it has is no error, and neither is an interface that is just going away.
    pub fn join(&self, link: Link) {
        for socket in &self.sockets {
            let _ = match link {
                Link::V4(ip) => socket.join_multicast_v4(&GROUP_V4, &ip),
                Link::V6(_, number) => socket.join_multicast_v6(&GROUP_V6, number),
            };
        }
    }

    /// The sockets, for a thread each.
    pub fn sockets(&self) -> io::Result<Vec<UdpSocket>> {
        self.sockets.iter().map(UdpSocket::try_clone).collect()
    }

    /// Reads for so long or until `read` has enough, for one who has no thread for it.
    pub fn read_for(&self, wait: Duration, read: &mut dyn FnMut(&[u8], SocketAddr) -> bool) {
        let sockets: Vec<&UdpSocket> =
            self.sockets.iter().filter(|socket| socket.set_nonblocking(true).is_ok()).collect();
        read_for(&sockets, wait, read);
    }
}

/// What speaks on one interface with one of its addresses. Answers come back to it.
pub struct Speaker {
    socket: UdpSocket,
    /// The address that it speaks with.
    pub ip: IpAddr,
    group: SocketAddr,
}

impl Speaker {
    /// That of an interface, for what goes no further than this network; `None` if the address is gone.
    pub fn of(link: Link) -> Option<Speaker> {
        let (own, group): (SocketAddr, SocketAddr) = match link {
            Link::V4(ip) => ((ip, 0).into(), (GROUP_V4, 0).into()),
            Link::V6(ip, number) => {
                let on_link = |ip| SocketAddrV6::new(ip, 0, 0, number).into();
                (on_link(ip), on_link(GROUP_V6))
            }
        };
        let socket = UdpSocket::bind(own).ok()?;
        // One hop is what the system has for both families unless it is told (RFC 1112, RFC 3493).
        socket.set_nonblocking(true).ok()?;
        Some(Speaker { socket, ip: own.ip(), group })
    }

    /// One that only programs on this machine hear: a packet with no hop left is looped back and goes out nowhere. std says that
    /// for IPv4 alone.
    pub fn to_itself(link: Link) -> Option<Speaker> {
        let speaker = Speaker::of(link).filter(|speaker| speaker.ip.is_ipv4())?;
        speaker.socket.set_multicast_ttl_v4(0).ok()?;
        Some(speaker)
    }

    /// Sends what `packet` gives to each of the ports. What the network does not take is lost, as any packet may be.
    pub fn speak(&self, packet: &dyn Fn() -> Vec<u8>) {
        for port in PORTS {
            let mut to = self.group;
            to.set_port(port);
            let _ = self.socket.send_to(&packet(), to);
        }
    }
}

/// Reads what comes back to the speakers for so long.
pub fn read_answers(speakers: &[Speaker], wait: Duration, read: &mut dyn FnMut(&[u8], SocketAddr)) {
    let sockets: Vec<&UdpSocket> = speakers.iter().map(|speaker| &speaker.socket).collect();
    read_for(&sockets, wait, &mut |packet, from| {
        read(packet, from);
        false
    });
}

/// Reads sockets that do not block.
fn read_for(sockets: &[&UdpSocket], wait: Duration, read: &mut dyn FnMut(&[u8], SocketAddr) -> bool) {
    let end = Instant::now() + wait;
    let mut buffer = [0; MAX_LEN + 1];
    while Instant::now() < end {
        for socket in sockets {
            for _ in 0..MAX_ANSWERS {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { break };
                if read(&buffer[..length], from) {
                    return;
                }
            }
        }
        thread::sleep(ANSWER_INTERVAL);
    }
}
