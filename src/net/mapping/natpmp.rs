//! The packets of NAT-PMP (RFC 6886), which routers from before PCP speak. Nothing is sent here.

use std::net::Ipv4Addr;

use crate::net::mapping::pcp::ANSWER;

const ADDRESS: u8 = 0;
const MAP_TCP: u8 = 2;

/// The result code of a router without an outside address.
pub const NETWORK_FAILURE: u16 = 3;
/// Asks for the router's outside address.
pub const ADDRESS_REQUEST: [u8; 2] = [0, ADDRESS];

/// What a router says: the age of its table in seconds, and what was asked for; or a result code.
pub type Answer<T> = Result<(u32, T), u16>;

/// A granted port, and for how many seconds.
pub type Port = (u16, u32);

/// Asks for the mapping of a port; a lifetime of 0 takes it back.
pub fn map_request(inside: u16, outside: u16, lifetime: u32) -> [u8; 12] {
    let mut packet = [0; 12];
    packet[1] = MAP_TCP;
    packet[4..6].copy_from_slice(&inside.to_be_bytes());
    packet[6..8].copy_from_slice(&outside.to_be_bytes());
    packet[8..].copy_from_slice(&lifetime.to_be_bytes());
    packet
}

/// The answer's age and result, if it is one to the opcode, has the length of one, and says yes.
fn read(packet: &[u8], opcode: u8, length: usize) -> Option<Answer<()>> {
    if packet.len() < 8 || packet[..2] != [0, opcode | ANSWER] {
        return None;
    }
    let result = u16::from_be_bytes([packet[2], packet[3]]);
    if result != 0 {
        return Some(Err(result));
    }
    let age = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    (packet.len() == length).then_some(Ok((age, ())))
}

/// The outside address in a packet; `None` if it is no answer to that.
pub fn read_address(packet: &[u8]) -> Option<Answer<Ipv4Addr>> {
    Some(
        read(packet, ADDRESS, 12)?
            .map(|(age, ())| (age, Ipv4Addr::new(packet[8], packet[9], packet[10], packet[11]))),
    )
}

/// The granted port in a packet; `None` if it is no answer about the port `inside`. A refusal may leave the port out.
pub fn read_map(packet: &[u8], inside: u16) -> Option<Answer<Port>> {
    let answer = read(packet, MAP_TCP, 16)?;
    if packet.len() == 16 && packet[8..10] != inside.to_be_bytes() {
        return None;
    }
    Some(answer.map(|(age, ())| {
        let lifetime = u32::from_be_bytes([packet[12], packet[13], packet[14], packet[15]]);
        (age, (u16::from_be_bytes([packet[10], packet[11]]), lifetime))
    }))
}

/// A result code in words.
pub fn reason(code: u16) -> &'static str {
    match code {
        2 => "this is not allowed here",
        4 => "it has no room for another mapping",
        _ => "it says no",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_a_whole_answer_alone() {
        let packet = [0, 128, 0, 0, 0, 0, 1, 2, 11, 0, 0, 1];
        assert_eq!(read_address(&packet), Some(Ok((258, Ipv4Addr::new(11, 0, 0, 1)))));
        for length in 0..packet.len() {
            assert_eq!(read_address(&packet[..length]), None, "{length} bytes");
        }
        assert_eq!(read_address(&[0, 128, 0, 3, 0, 0, 0, 0]), Some(Err(3)));
        assert_eq!(read_address(&[1, 128, 0, 0, 0, 0, 1, 2, 11, 0, 0, 1]), None);
        assert_eq!(read_address(&[0, 130, 0, 0, 0, 0, 1, 2, 11, 0, 0, 1]), None);
    }

    #[test]
    fn a_port_is_read_for_the_port_that_was_asked_for() {
        assert_eq!(map_request(4628, 4629, 3600), [0, 2, 0, 0, 0x12, 0x14, 0x12, 0x15, 0, 0, 0x0e, 0x10]);
        let packet = [0, 130, 0, 0, 0, 0, 0, 9, 0x12, 0x14, 0x12, 0x15, 0, 0, 0x0e, 0x10];
        assert_eq!(read_map(&packet, 4628), Some(Ok((9, (4629, 3600)))));
        assert_eq!(read_map(&packet, 4629), None);
        for length in 0..packet.len() {
            assert_eq!(read_map(&packet[..length], 4628), None, "{length} bytes");
        }
        assert_eq!(read_map(&[0, 130, 0, 2, 0, 0, 0, 9], 4628), Some(Err(2)));
    }
}
