//! The body of ADDRESSES (egoat-protocol(7), Addresses): where a node can be dialled, as it tells its peers.
//!
//! ```text
//! version u64 ‖ n u8, at most 16 ‖ n × (kind u8 ‖ punch u16 ‖ length u8 ‖ text[length])
//! ```
//!
//! The framing is strict. An entry of an unknown kind, or whose text is not an address, is left out, so that later versions can
//! add both. It leaves out what of this is believed: see `store::peers`.

use crate::wire::address::Address;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};

/// Most addresses in one message.
pub const MAX_TOLD: usize = 16;
/// Longest text of an address in bytes.
const MAX_TEXT: usize = u8::MAX as usize;
/// Longest body after the version, in bytes.
pub const MAX_LIST: usize = 1 + MAX_TOLD * (1 + 2 + 1 + MAX_TEXT);

/// How a node came by an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// One of its interfaces has it.
    Interface = 1,
    /// A router maps it to the node.
    Mapped = 2,
    /// A router lets connections to it through; IPv6.
    Pinhole = 3,
    /// Its user named it.
    User = 4,
}

impl AddressKind {
    fn from_byte(byte: u8) -> Option<AddressKind> {
        use AddressKind::{Interface, Mapped, Pinhole, User};
        [Interface, Mapped, Pinhole, User].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Where a node can be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldAddress {
    /// How it came by the address.
    pub kind: AddressKind,
    /// The address.
    pub address: Address,
}

/// All addresses of a node, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldAddresses {
    /// Rises with each change; microseconds since 1970 by the node's clock, or more.
    pub version: u64,
    /// The reachable first.
    pub addresses: Vec<ToldAddress>,
}

impl ToldAddresses {
    /// The list of a message, without the version. Addresses beyond the 16th and longer than 255 bytes are left out.
    pub fn encode_list(&self) -> Vec<u8> {
        let texts = self.addresses.iter().map(|told| (told.kind, told.address.to_string()));
        let texts: Vec<_> = texts.filter(|(_, text)| text.len() <= MAX_TEXT).take(MAX_TOLD).collect();
        let mut list = vec![texts.len() as u8];
        for (kind, text) in texts {
            list.put_u8(kind as u8);
            list.put_u16(0);
            list.put_u8(text.len() as u8);
            list.put(text.as_bytes());
        }
        list
    }

    /// What a message says.
    pub fn decode(version: u64, list: &[u8]) -> Result<ToldAddresses, Malformed> {
        let mut fields = FieldReader::new(list);
        let count = usize::from(fields.u8("number of addresses")?);
        if count > MAX_TOLD {
            return Err(Malformed("number of addresses"));
        }
        let mut addresses = Vec::new();
        for _ in 0..count {
            let kind = AddressKind::from_byte(fields.u8("kind")?);
            fields.u16("punch port")?;
            let length = usize::from(fields.u8("length")?);
            let text = std::str::from_utf8(fields.take(length, "address")?).ok();
            let address = text.and_then(|text| text.parse().ok());
            addresses.extend(kind.zip(address).map(|(kind, address)| ToldAddress { kind, address }));
        }
        fields.expect_empty("bytes after the addresses")?;
        Ok(ToldAddresses { version, addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: AddressKind, text: &str) -> ToldAddress {
        ToldAddress { kind, address: text.parse().expect(text) }
    }

    fn sample() -> ToldAddresses {
        let addresses = vec![
            told(AddressKind::Mapped, "198.51.100.7:4628"),
            told(AddressKind::Interface, "192.168.1.7:4628"),
            told(AddressKind::Pinhole, "[2001:db8::1]:4628"),
            told(AddressKind::User, "example.org:4628"),
        ];
        ToldAddresses { version: 7, addresses }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let list = sample().encode_list();
        assert_eq!(ToldAddresses::decode(7, &list), Ok(sample()));
        assert_eq!(ToldAddresses::default().encode_list(), [0]);
        assert_eq!(list[..5], [4, 2, 0, 0, 17]);
    }

    #[test]
    fn every_proper_prefix_and_a_byte_more_fail() {
        let mut list = sample().encode_list();
        for length in 0..list.len() {
            assert!(ToldAddresses::decode(7, &list[..length]).is_err(), "{length}");
        }
        list.push(0);
        assert!(ToldAddresses::decode(7, &list).is_err());
        assert!(ToldAddresses::decode(7, &[17]).is_err());
    }

    #[test]
    fn what_a_later_version_tells_is_left_out() {
        let entry = |kind: u8, text: &[u8]| [&[kind, 1, 2, text.len() as u8], text].concat();
        let list = [
            &[5][..],
            &entry(5, b"TAG@192.0.2.1:1"),
            &entry(9, b"192.0.2.1:1"),
            &entry(1, b"TAG@192.0.2.1:1"),
            &entry(1, b"\xff"),
            &entry(1, b"192.0.2.1:1"),
        ];
        let decoded = ToldAddresses::decode(7, &list.concat()).expect("well framed");
        assert_eq!(decoded.addresses, [told(AddressKind::Interface, "192.0.2.1:1")]);
    }

    #[test]
    fn no_more_are_told_than_fit() {
        let long: String = std::iter::repeat_n("a", 253).collect();
        let mut all = vec![told(AddressKind::User, &format!("{long}:4628"))];
        all.extend((1..=20).map(|port| told(AddressKind::Interface, &format!("192.0.2.1:{port}"))));
        let list = ToldAddresses { version: 1, addresses: all }.encode_list();
        let decoded = ToldAddresses::decode(1, &list).expect("well framed");
        assert_eq!((decoded.addresses.len(), decoded.addresses[0].address.port()), (MAX_TOLD, 1));
        assert!(list.len() <= MAX_LIST);
    }
}
