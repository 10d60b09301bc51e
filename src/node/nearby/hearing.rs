//! What a beacon means to this node: who sent it, whether it was heard before, and how many are looked at. No socket and no
//! thread is here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::crypto::beacon::{BeaconKey, TAG_LEN};
use crate::crypto::keys::{PublicKey, StaticKeys};
use crate::net::multicast::InterfaceAddress;
use crate::time::now_micros;
use crate::wire::beacon::{self, Beacon};

/// Beacons that are looked at in a second: each costs an HMAC for every friend.
const LOOKS: usize = 20;
/// The same, of one source.
const LOOKS_OF_SOURCE: usize = 2;
/// With thousands of friends fewer are looked at: so many HMACs are computed in a second.
const MAX_TAGS: usize = LOOKS * 1024;
const SECOND: Duration = Duration::from_secs(1);
/// Beacons of friends that are remembered: one that comes again is a recording.
const MAX_SEEN: usize = 256;

/// Hours since 1970 on this machine's clock.
pub fn hour() -> u32 {
    (now_micros() / 1_000_000 / 3600) as u32
}

/// A beacon of a friend.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who sent it: a friend, or this node's own `egoat doctor`.
    pub sender: PublicKey,
    /// The port on which the sender listens.
    pub port: u16,
    /// It asks who is there.
    pub is_ask: bool,
}

/// What a node knows of those it may hear.
pub struct Hearing {
    own: PublicKey,
    /// Made once for each friend: a packet costs no key agreement.
    keys: HashMap<PublicKey, BeaconKey>,
    /// The networks that this machine is in.
    networks: Vec<InterfaceAddress>,
    /// When the second began of which the looks are counted.
    since: Instant,
    looks: usize,
    sources: Vec<(IpAddr, usize)>,
    answered: Option<Instant>,
    seen: VecDeque<[u8; 8]>,
}

impl Hearing {
    /// Of a node that knows no friends yet, but knows itself: a beacon with its own tag is of its user, who asks whether any come
    /// through.
    pub fn new(keys: &StaticKeys) -> Hearing {
        let mut hearing = Hearing {
            own: keys.public(),
            keys: HashMap::new(),
            networks: Vec::new(),
            since: Instant::now(),
            looks: 0,
            sources: Vec::new(),
            answered: None,
            seen: VecDeque::new(),
        };
        hearing.add(agree(keys, &[keys.public()]));
        hearing
    }

    /// Those of the friends who are not known yet.
    pub fn unknown(&self, friends: &[PublicKey]) -> Vec<PublicKey> {
        friends.iter().filter(|key| !self.keys.contains_key(key)).copied().collect()
    }

    /// Adds what [`agree`] has computed.
    pub fn add(&mut self, keys: Vec<(PublicKey, BeaconKey)>) {
        self.keys.extend(keys);
    }

    /// Forgets those who are no friends any more.
    pub fn forget_unless(&mut self, friends: &HashSet<PublicKey>) {
        let own = self.own;
        self.keys.retain(|key, _| *key == own || friends.contains(key));
    }

    /// The machine is in these networks now.
    pub fn set_networks(&mut self, networks: Vec<InterfaceAddress>) {
        self.networks = networks;
    }

    /// This machine's address in the network of the other one; `None` if that is in none of its networks.
    pub fn beside(&self, other: IpAddr) -> Option<IpAddr> {
        self.networks.iter().find(|own| own.is_near(other)).map(|own| own.ip)
    }

    /// A beacon of this node to these friends.
    pub fn call<'a>(
        &self,
        is_answer: bool,
        port: u16,
        friends: impl Iterator<Item = &'a PublicKey>,
    ) -> Vec<u8> {
        let mut call = Beacon::new(is_answer, hour(), port);
        call.tags = friends.filter_map(|key| Some(call.tag(self.keys.get(key)?, &self.own))).collect();
        call.encode()
    }

    /// What a packet from `source` says, if it is of a friend and was not heard before. Others, and those that are too many, are
    /// dropped without a trace.
    pub fn hear(&mut self, packet: &[u8], source: IpAddr, now: Instant) -> Option<Heard> {
        let beacon = Beacon::decode(packet).ok()?;
        let is_now = beacon.hour.abs_diff(hour()) <= 1;
        if !is_now || self.beside(source).is_none() || !self.may_look(source, now) {
            return None;
        }
        let is_of = |(sender, key): &(&PublicKey, &BeaconKey)| {
            let tag: [u8; TAG_LEN] = beacon.tag(key, sender);
            beacon.tags.contains(&tag)
        };
        let sender = *self.keys.iter().find(is_of)?.0;
        if self.seen.contains(&beacon.salt) {
            return None;
        }
        self.seen.truncate(MAX_SEEN - 1);
        self.seen.push_front(beacon.salt);
        Some(Heard { sender, port: beacon.port, is_ask: !beacon.is_answer })
    }

    /// Counts a look, if one is left in this second.
    fn may_look(&mut self, source: IpAddr, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= SECOND {
            (self.since, self.looks) = (now, 0);
            self.sources.clear();
        }
        let most = (MAX_TAGS / self.keys.len().max(1)).clamp(1, LOOKS);
        let known = self.sources.iter().position(|(known, _)| *known == source);
        let of_source = known.map_or(0, |known| self.sources[known].1);
        if self.looks >= most || of_source >= LOOKS_OF_SOURCE {
            return false;
        }
        self.looks += 1;
        match known {
            Some(known) => self.sources[known].1 += 1,
            None => self.sources.push((source, 1)),
        }
        true
    }

    /// Whether an answer may be sent now: one in a second, whoever asks.
    pub fn may_answer(&mut self, now: Instant) -> bool {
        let may = self.answered.is_none_or(|last| now.saturating_duration_since(last) >= SECOND);
        if may {
            self.answered = Some(now);
        }
        may
    }
}

/// The beacon keys with these friends. Each costs a key agreement, so this is called once for a friend, and under no lock.
pub fn agree(keys: &StaticKeys, friends: &[PublicKey]) -> Vec<(PublicKey, BeaconKey)> {
    friends.iter().filter_map(|friend| Some((*friend, BeaconKey::agree(keys, friend).ok()?))).collect()
}

/// The longest packet that is read; a longer one is no beacon.
pub const MAX_PACKET: usize = beacon::MAX_LEN + 1;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn keys(seed: u8) -> StaticKeys {
        Seed::from_bytes([seed; 32]).static_keys()
    }

    /// One who knows the other, in the network of [`SOURCE`].
    fn hearing(own: u8, other: u8) -> Hearing {
        let mut hearing = Hearing::new(&keys(own));
        hearing.add(agree(&keys(own), &[keys(other).public()]));
        let ip = std::net::Ipv4Addr::new(10, 0, 0, 1).into();
        hearing.set_networks(vec![InterfaceAddress { ip, prefix: 24, is_lasting: true }]);
        hearing
    }

    /// Later, when all may be looked at again.
    fn later(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_friend_is_heard_once_by_friends_alone() {
        let (alice, mut bob, mut carol) = (hearing(1, 2), hearing(2, 1), hearing(3, 1));
        let call = alice.call(false, 4701, [keys(2).public()].iter());
        let heard = Heard { sender: keys(1).public(), port: 4701, is_ask: true };
        assert_eq!(bob.hear(&call, SOURCE, later(1)), Some(heard));
        assert_eq!(bob.hear(&call, SOURCE, later(2)), None, "a recording");
        assert_eq!(carol.hear(&call, SOURCE, later(1)), None);
        let answer = bob.call(true, 4702, [keys(1).public()].iter());
        let mut alice = alice;
        assert!(!alice.hear(&answer, SOURCE, later(1)).unwrap().is_ask);
        // Nobody hears himself, though both have one key.
        assert_eq!(alice.hear(&call, SOURCE, later(2)), None);
        let own = alice.call(false, 4701, [keys(1).public()].iter());
        assert_eq!(alice.hear(&own, SOURCE, later(3)).unwrap().sender, keys(1).public());
    }

    #[test]
    fn what_is_forged_old_or_from_afar_is_not_heard() {
        let (alice, mut bob) = (hearing(1, 2), hearing(2, 1));
        let call = |change: &dyn Fn(&mut Beacon)| {
            let mut beacon = Beacon::new(false, hour(), 4701);
            change(&mut beacon);
            beacon.tags = vec![beacon.tag(&alice.keys[&keys(2).public()], &keys(1).public())];
            beacon
        };
        let mut second = 0;
        let mut hears = |packet: &[u8], source| {
            second += 1;
            bob.hear(packet, source, later(second)).is_some()
        };
        assert!(hears(&call(&|_| {}).encode(), SOURCE));
        assert!(!hears(&Beacon { port: 1, ..call(&|_| {}) }.encode(), SOURCE));
        assert!(!hears(&Beacon::new(false, hour(), 4701).encode(), SOURCE));
        assert!(!hears(&call(&|_| {}).encode(), "10.0.1.2".parse().unwrap()));
        for (off, is_heard) in [(-2, false), (-1, true), (1, true), (2, false)] {
            let packet = call(&|beacon| beacon.hour = beacon.hour.saturating_add_signed(off)).encode();
            assert_eq!(hears(&packet, SOURCE), is_heard, "{off}");
        }
    }

    #[test]
    fn of_a_hundred_thousand_in_a_second_twenty_are_looked_at() {
        let (mut bob, start) = (hearing(2, 1), later(10));
        let looked = |bob: &mut Hearing, sources: u32, start: Instant| {
            let from = |number: u32| IpAddr::V4((0x0a00_0000 + number % sources).into());
            let at = |number: u32| start + Duration::from_micros(9 * u64::from(number));
            (0..100_000).filter(|number| bob.may_look(from(*number), at(*number))).count()
        };
        assert_eq!(looked(&mut bob, 1, start), LOOKS_OF_SOURCE);
        assert_eq!(looked(&mut bob, 250, start + SECOND), LOOKS);
        assert!(bob.sources.len() <= LOOKS);
        // The cost stays the same, however many friends there are.
        for number in 0..3000_u16 {
            let mut secret = [7; 32];
            secret[..2].copy_from_slice(&number.to_be_bytes());
            let key = BeaconKey::agree(&keys(2), &keys(1).public()).unwrap();
            bob.keys.insert(PublicKey::from_bytes(secret).unwrap(), key);
        }
        assert_eq!(looked(&mut bob, 250, start + 2 * SECOND), MAX_TAGS / 3002);
    }

    #[test]
    fn one_answer_in_a_second() {
        let (mut bob, now) = (hearing(2, 1), Instant::now());
        let may = |bob: &mut Hearing, millis| bob.may_answer(now + Duration::from_millis(millis));
        assert_eq!(
            [0, 10, 999, 1000, 1500, 2100].map(|at| may(&mut bob, at)),
            [true, false, false, true, false, true]
        );
    }

    #[test]
    fn few_beacons_are_remembered() {
        let (alice, mut bob) = (hearing(1, 2), hearing(2, 1));
        for second in 1..=2 * MAX_SEEN as u64 {
            let call = alice.call(false, 4701, [keys(2).public()].iter());
            assert!(bob.hear(&call, SOURCE, later(second)).is_some());
        }
        assert_eq!(bob.seen.len(), MAX_SEEN);
    }
}
