//! The packets of PCP (RFC 6887): MAP asks for a mapping, ANNOUNCE for the age of the router's table. Nothing is sent here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const VERSION: u8 = 2;
const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;
/// The result code of a router without an outside address.
pub const NETWORK_FAILURE: u8 = 7;
/// The bit of an opcode that makes it an answer.
pub const ANSWER: u8 = 0x80;
/// TCP, as a number of IP.
const TCP: u8 = 6;
/// Bytes of what all packets begin with, and of a MAP.
const HEADER: usize = 24;
const MAP_LEN: usize = 60;
/// The longest packet (RFC 6887, section 7).
const MAX_LEN: usize = 1100;

/// A request for a mapping, which also knows its answer.
#[derive(Clone, Debug)]
pub struct MapRequest {
    /// Tells the answer from those that somebody else invents, and lets only this node change the mapping.
    pub nonce: [u8; 12],
    /// Where the node is dialled by the router: the address from which the request is sent.
    pub inside: SocketAddr,
    /// What this node would like to have; the router may grant something else.
    pub outside: SocketAddr,
    /// Seconds; 0 takes the mapping back.
    pub lifetime: u32,
}

/// What a router says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It maps.
    Granted {
        /// Where the router is dialled.
        outside: SocketAddr,
        /// Seconds.
        lifetime: u32,
        /// Seconds since its table began.
        epoch: u32,
    },
    /// It does not: a result code.
    Refused(u8),
    /// It speaks only NAT-PMP.
    OnlyNatPmp,
}

/// An IPv4 address in the form of IPv6.
fn wide(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn header(opcode: u8, lifetime: u32, from: IpAddr) -> Vec<u8> {
    let mut packet = vec![VERSION, opcode, 0, 0];
    packet.extend(lifetime.to_be_bytes());
    packet.extend(wide(from));
    packet
}

/// A field of the packet, whose length was checked.
fn word(packet: &[u8], at: usize) -> u32 {
    packet[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn half(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

/// Whether the packet is an answer to the opcode, and whole.
fn is_answer(packet: &[u8], opcode: u8) -> bool {
    (HEADER..=MAX_LEN).contains(&packet.len())
        && packet.len().is_multiple_of(4)
        && packet[..2] == [VERSION, opcode | ANSWER]
}

impl MapRequest {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = header(MAP, self.lifetime, self.inside.ip());
        packet.extend(self.nonce);
        packet.extend([TCP, 0, 0, 0]);
        packet.extend(self.inside.port().to_be_bytes());
        packet.extend(self.outside.port().to_be_bytes());
        packet.extend(wide(self.outside.ip()));
        packet
    }

    /// What a packet says; `None` if it is no answer to this request: nonce, protocol and port must be those of the request.
    pub fn read(&self, packet: &[u8]) -> Option<Answer> {
        // What NAT-PMP answers to a version that it does not know, result 1.
        if packet.len() >= 4 && packet[0] == 0 && packet[1] & ANSWER != 0 && packet[2..4] == [0, 1] {
            return Some(Answer::OnlyNatPmp);
        }
        if !is_answer(packet, MAP) || packet.len() < MAP_LEN {
            return None;
        }
        let is_ours =
            packet[HEADER..36] == self.nonce && packet[36] == TCP && half(packet, 40) == self.inside.port();
        if !is_ours {
            return None;
        }
        if packet[3] != 0 {
            return Some(Answer::Refused(packet[3]));
        }
        let ip: [u8; 16] = packet[44..MAP_LEN].try_into().ok()?;
        let outside = SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), half(packet, 42));
        Some(Answer::Granted { outside, lifetime: word(packet, 4), epoch: word(packet, 8) })
    }
}

/// Asks for the age of the router's table.
pub fn announce(from: IpAddr) -> Vec<u8> {
    header(ANNOUNCE, 0, from)
}

/// The age in an answer to [`announce`], in seconds.
pub fn read_announce(packet: &[u8]) -> Option<u32> {
    (is_answer(packet, ANNOUNCE) && packet[3] == 0).then(|| word(packet, 8))
}

/// A result code in words.
pub fn reason(code: u8) -> &'static str {
    match code {
        2 => "this is not allowed here",
        3 | 6 => "it does not understand the request",
        4 | 5 | 9 => "it does not offer this",
        8 => "it has no room for another mapping",
        10 => "this machine has too many mappings",
        11 => "it cannot give such an address",
        12 => "another router stands before it",
        _ => "it says no",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request() -> MapRequest {
        MapRequest {
            nonce: *b"twelve bytes",
            inside: "192.168.7.2:4628".parse().unwrap(),
            outside: "0.0.0.0:4629".parse().unwrap(),
            lifetime: 3600,
        }
    }

    fn granted() -> Vec<u8> {
        let mut packet = request().encode();
        packet[1] |= ANSWER;
        packet[8..24].fill(0);
        packet[8..12].copy_from_slice(&77u32.to_be_bytes());
        packet[56..60].copy_from_slice(&[11, 0, 0, 1]);
        packet
    }

    #[test]
    fn a_request_is_laid_out_as_the_rfc_says() {
        let packet = request().encode();
        assert_eq!(packet.len(), MAP_LEN);
        assert_eq!(packet[..8], [2, 1, 0, 0, 0, 0, 0x0e, 0x10]);
        assert_eq!(packet[18..24], [255, 255, 192, 168, 7, 2]);
        assert_eq!(packet[24..36], *b"twelve bytes");
        assert_eq!(packet[36..44], [6, 0, 0, 0, 0x12, 0x14, 0x12, 0x15]);
        assert_eq!(packet[54..], [255, 255, 0, 0, 0, 0]);
        assert_eq!(announce("10.0.0.1".parse().unwrap()).len(), HEADER);
    }

    #[test]
    fn an_answer_must_match_in_each_field() {
        let outside = "11.0.0.1:4629".parse().unwrap();
        let answer = Answer::Granted { outside, lifetime: 3600, epoch: 77 };
        assert_eq!(request().read(&granted()), Some(answer));
        for at in (0..2).chain(24..37).chain(40..42) {
            let mut packet = granted();
            packet[at] ^= 1;
            assert_eq!(request().read(&packet), None, "byte {at}");
        }
        for length in 0..MAP_LEN {
            assert_eq!(request().read(&granted()[..length]), None, "{length} bytes");
        }
        assert_eq!(request().read(&[granted(), vec![0; MAX_LEN]].concat()), None);
        assert!(request().read(&[granted(), vec![1, 0, 0, 0]].concat()).is_some(), "an option is left alone");
        let mut packet = granted();
        packet[3] = 2;
        assert_eq!(request().read(&packet), Some(Answer::Refused(2)));
        assert_eq!(request().read(&[0, ANSWER | 1, 0, 1, 0, 0, 0, 9]), Some(Answer::OnlyNatPmp));
    }

    #[test]
    fn an_age_is_read_from_an_announcement_alone() {
        let mut packet = vec![0; HEADER];
        packet[..2].copy_from_slice(&[2, ANSWER]);
        packet[11] = 9;
        assert_eq!(read_announce(&packet), Some(9));
        assert_eq!(read_announce(&packet[..20]), None);
        assert_eq!(read_announce(&granted()), None);
    }
}
