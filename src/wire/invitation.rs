//! The packet by which somebody who waits to pair is found in the same network (egoat-protocol(7), By six digits): `EGi1`, a
//! random number and a port. It says nothing else, and nothing of it is believed.

/// Bytes of the packet.
pub const LEN: usize = 14;
const TYPE: [u8; 4] = *b"EGi1";

/// What the packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The same in all packets of one who waits.
    pub number: u64,
    /// Where it accepts TCP.
    pub port: u16,
}

impl Invitation {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        [&TYPE[..], &self.number.to_be_bytes(), &self.port.to_be_bytes()].concat()
    }

    /// Reads a packet; `None` for any other.
    pub fn decode(packet: &[u8]) -> Option<Invitation> {
        let packet: &[u8; LEN] = packet.try_into().ok()?;
        let (number, port) = packet.strip_prefix(&TYPE)?.split_first_chunk::<8>()?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        (port != 0).then_some(Invitation { number: u64::from_be_bytes(*number), port })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_packet_is_that_of_the_page() {
        let invitation = Invitation { number: 0x0102_0304_0506_0708, port: 4628 };
        assert_eq!(invitation.encode(), *b"EGi1\x01\x02\x03\x04\x05\x06\x07\x08\x12\x14");
        assert_eq!(Invitation::decode(&invitation.encode()), Some(invitation));
        assert_eq!(Invitation::decode(b"EGi1\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00"), None, "no port");
        assert_eq!(Invitation::decode(b"EGb1\x01\x02\x03\x04\x05\x06\x07\x08\x12\x14"), None);
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_back(packet in proptest::collection::vec(any::<u8>(), 0..20), is_one: bool) {
            let mut packet = packet;
            if is_one && packet.len() >= 4 {
                packet[..4].copy_from_slice(&TYPE);
            }
            if let Some(invitation) = Invitation::decode(&packet) {
                prop_assert_eq!(invitation.encode(), packet);
            }
        }
    }
}
