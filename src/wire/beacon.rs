//! Beacons: what a node calls into its own network so that friends find it (egoat-protocol(7), NEARBY). Only a friend can tell a
//! tag from random bytes. Who is called when, and who hears it, is above this.
//!
//! ```text
//! type[4] ‖ hour u32 ‖ port u16 ‖ salt[8] ‖ n u8 ‖ n × tag[8]
//! ```

use crate::crypto::beacon::{BeaconKey, TAG_LEN};
use crate::crypto::keys::PublicKey;
use crate::crypto::{random, random_array};
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};

/// How many tags a beacon has. So it says only roughly how many friends are called.
const SIZES: [usize; 4] = [8, 16, 32, 64];
/// Most tags of a beacon: 531 bytes pass any network.
const MOST: usize = SIZES[SIZES.len() - 1];
const ASK: [u8; 4] = *b"EGb1";
const ANSWER: [u8; 4] = *b"EGa1";
/// Bytes before the tags.
const HEAD: usize = 19;
/// Bytes of the longest beacon.
pub const MAX_LEN: usize = HEAD + MOST * TAG_LEN;

/// A beacon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// It answers one, and is not answered.
    pub is_answer: bool,
    /// Hours since 1970 on the clock of its sender.
    pub hour: u32,
    /// The TCP port on which its sender listens; 0 for none.
    pub port: u16,
    /// New in each beacon, so that nobody can link two.
    pub salt: [u8; 8],
    /// One for each friend, and random ones up to a size.
    pub tags: Vec<[u8; TAG_LEN]>,
}

impl Beacon {
    /// A beacon with a salt of its own and no tags.
    pub fn new(is_answer: bool, hour: u32, port: u16) -> Beacon {
        Beacon { is_answer, hour, port, salt: random_array(), tags: Vec::new() }
    }

    /// The tag by which the other owner of `key` knows that `sender` sent this.
    pub fn tag(&self, key: &BeaconKey, sender: &PublicKey) -> [u8; TAG_LEN] {
        let [hour, port] = [&self.hour.to_be_bytes()[..], &self.port.to_be_bytes()];
        key.tag(&[sender.as_bytes(), self.word(), hour, port, &self.salt])
    }

    fn word(&self) -> &'static [u8; 4] {
        if self.is_answer { &ANSWER } else { &ASK }
    }

    /// The packet, padded with random tags. At most 64 tags can be sent; see [`in_turn`].
    pub fn encode(&self) -> Vec<u8> {
        let tags = &self.tags[..self.tags.len().min(MOST)];
        let size = SIZES.into_iter().find(|size| *size >= tags.len()).unwrap_or(MOST);
        let mut packet = Vec::with_capacity(HEAD + size * TAG_LEN);
        packet.put(self.word());
        packet.put_u32(self.hour);
        packet.put_u16(self.port);
        packet.put(&self.salt);
        packet.put_u8(size as u8);
        packet.put(tags.as_flattened());
        let tagged = packet.len();
        packet.resize(HEAD + size * TAG_LEN, 0);
        random(&mut packet[tagged..]);
        packet
    }

    /// Reads a packet.
    pub fn decode(packet: &[u8]) -> Result<Beacon, Malformed> {
        let mut fields = FieldReader::new(packet);
        let is_answer = match fields.array("type")? {
            ASK => false,
            ANSWER => true,
            _ => return Err(Malformed("type")),
        };
        let (hour, port, salt) = (fields.u32("hour")?, fields.u16("port")?, fields.array("salt")?);
        let count = usize::from(fields.u8("n")?);
        if !SIZES.contains(&count) {
            return Err(Malformed("n"));
        }
        let tags = fields.take(count * TAG_LEN, "tags")?.as_chunks().0.to_vec();
        fields.expect_empty("beacon")?;
        Ok(Beacon { is_answer, hour, port, salt, tags })
    }
}

/// Those of the friends that beacon number `turn` calls: all, or 64 of more, and other ones the next time.
pub fn in_turn<T>(friends: &[T], turn: usize) -> impl Iterator<Item = &T> {
    let most = friends.len().min(MOST);
    friends.iter().cycle().skip(turn * most % friends.len().max(1)).take(most)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;
    use std::collections::HashSet;

    fn beacon(tags: usize) -> Beacon {
        let tags = (0..tags).map(|number| [number as u8; TAG_LEN]).collect();
        Beacon { tags, ..Beacon::new(false, 0x0102_0304, 0x1214) }
    }

    #[test]
    fn what_is_encoded_is_read_and_no_beginning_of_it_is() {
        for (tags, size) in [(0, 8), (1, 8), (8, 8), (9, 16), (17, 32), (33, 64), (64, 64), (70, 64)] {
            for is_answer in [false, true] {
                let sent = Beacon { is_answer, ..beacon(tags) };
                let packet = sent.encode();
                assert!(packet.len() == HEAD + size * TAG_LEN && packet.len() <= MAX_LEN);
                let read = Beacon::decode(&packet).unwrap();
                assert_eq!(read.tags[..tags.min(64)], sent.tags[..tags.min(64)]);
                assert_eq!(Beacon { tags: sent.tags.clone(), ..read.clone() }, sent);
                assert_eq!(read.encode(), packet);
                for length in 0..packet.len() {
                    assert!(Beacon::decode(&packet[..length]).is_err(), "{length}");
                }
                assert!(Beacon::decode(&[&packet[..], &[0]].concat()).is_err());
            }
        }
    }

    #[test]
    fn other_types_and_counts_are_refused() {
        let packet = beacon(3).encode();
        let with = |at: usize, byte: u8| {
            let mut changed = packet.clone();
            changed[at] = byte;
            Beacon::decode(&changed)
        };
        assert_eq!(with(3, b'2'), Err(Malformed("type")));
        // That of an invitation, which somebody else reads.
        assert_eq!(with(2, b'i'), Err(Malformed("type")));
        for count in [0, 7, 9, 63, 255] {
            assert_eq!(with(18, count), Err(Malformed("n")));
        }
        assert_eq!(with(18, 16), Err(Malformed("tags")));
    }

    #[test]
    fn padding_is_new_each_time() {
        let one = beacon(0);
        assert_ne!(one.encode(), one.encode());
        let tags: HashSet<[u8; TAG_LEN]> = Beacon::decode(&one.encode()).unwrap().tags.into_iter().collect();
        assert_eq!(tags.len(), 8);
        assert_ne!(beacon(0).salt, beacon(0).salt);
    }

    #[test]
    fn all_have_their_turn() {
        for count in [0, 1, 64, 65, 130, 1000] {
            let friends: Vec<usize> = (0..count).collect();
            let called: HashSet<usize> =
                (0..count / MOST + 1).flat_map(|turn| in_turn(&friends, turn).copied()).collect();
            assert_eq!(called.len(), count);
            assert_eq!(in_turn(&friends, 7).count(), count.min(MOST));
        }
    }

    #[test]
    fn a_tag_covers_all_but_the_tags() {
        let [alice, bob] = [1, 2].map(|seed| Seed::from_bytes([seed; 32]).static_keys());
        let key = BeaconKey::agree(&alice, &bob.public()).unwrap();
        let sent = beacon(1);
        let tag = sent.tag(&key, &alice.public());
        assert_eq!(tag, Beacon { tags: Vec::new(), ..sent.clone() }.tag(&key, &alice.public()));
        let others = [
            Beacon { is_answer: true, ..sent.clone() },
            Beacon { hour: sent.hour + 1, ..sent.clone() },
            Beacon { port: sent.port + 1, ..sent.clone() },
            Beacon { salt: [0; 8], ..sent.clone() },
        ];
        assert!(others.iter().all(|other| other.tag(&key, &alice.public()) != tag));
        assert_ne!(sent.tag(&key, &bob.public()), tag);
    }
}
