//! What is remembered of where connections come from: the rate and the penalties of strangers, and where peers were. All
//! of it has an end. It leaves out who is let in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::net::transport::Origin;

/// Handshakes that a source may begin at once.
const BURST: f64 = 10.0;
/// Handshakes that a source may begin in each second after a burst.
const RATE: f64 = 2.0;
/// Penalty of a source for each failed handshake.
const PENALTY: Duration = Duration::from_secs(5);
/// Penalties are enforced from this total.
const ENFORCED_FROM: Duration = Duration::from_secs(15);
/// Upper bound of the total.
const MAX_PENALTY: Duration = Duration::from_secs(600);
/// How many sources of strangers are remembered. Only the caps hold for those beyond.
const MAX_STRANGERS: usize = 16 << 10;
/// How many sources of peers are remembered.
const MAX_PEER_SOURCES: usize = 1024;
/// How long a source of a peer is remembered.
const PEER_SOURCE_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// One household: an IPv4 address, or the /64 that one IPv6 customer has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address.
    V4([u8; 4]),
    /// The first half of an address.
    V6([u8; 8]),
}

impl Source {
    /// Where an address belongs.
    pub fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(v4) => Source::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Source::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl From<Origin> for Source {
    /// A direct connection counts against its household. Each further kind of origin needs a source that does not mix with
    /// those, because a penalty keeps out everybody who shares a source.
    fn from(origin: Origin) -> Source {
        match origin {
            Origin::Direct(address) => Source::of(address),
        }
    }
}

/// What is remembered of a stranger's source.
pub struct Standing {
    /// Handshakes that it may begin at `counted`.
    tokens: f64,
    counted: Instant,
    /// When its penalties are over.
    penalty: Option<Instant>,
    /// They added up to enough to be enforced.
    barred: bool,
}

impl Standing {
    fn new(now: Instant) -> Standing {
        Standing { tokens: BURST, counted: now, penalty: None, barred: false }
    }

    fn catch_up(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST);
        self.counted = now;
        if self.penalty.is_some_and(|end| end <= now) {
            self.penalty = None;
            self.barred = false;
        }
    }

    /// It is kept out for handshakes that failed.
    pub fn is_barred(&self) -> bool {
        self.barred
    }

    /// Takes one handshake off its rate; `false` if it has none left.
    pub fn take_token(&mut self) -> bool {
        let has_one = self.tokens >= 1.0;
        self.tokens -= if has_one { 1.0 } else { 0.0 };
        has_one
    }

    /// A handshake of its failed.
    pub fn penalize(&mut self, now: Instant) {
        let end = self.penalty.map_or(now, |end| end.max(now)) + PENALTY;
        self.penalty = Some(end.min(now + MAX_PENALTY));
        // Those that came within a second count as if they came at once.
        self.barred |= end + Duration::from_secs(1) > now + ENFORCED_FROM;
    }

    /// As good as one that was never seen.
    fn is_blank(&self) -> bool {
        self.tokens >= BURST && self.penalty.is_none()
    }
}

/// All that is remembered.
#[derive(Default)]
pub struct SourceTable {
    strangers: HashMap<Source, Standing>,
    /// Where peers proved who they are, and when last.
    peers: HashMap<Source, Instant>,
}

impl SourceTable {
    /// How a stranger's source stands now.
    pub fn standing(&mut self, source: Source, now: Instant) -> &mut Standing {
        if self.strangers.len() >= MAX_STRANGERS && !self.strangers.contains_key(&source) {
            self.forget_strangers(now);
        }
        let standing = self.strangers.entry(source).or_insert_with(|| Standing::new(now));
        standing.catch_up(now);
        standing
    }

    /// Forgets those of whom there is nothing to say. If that is not many, all go, so that this is seldom done.
    fn forget_strangers(&mut self, now: Instant) {
        self.strangers.retain(|_, standing| {
            standing.catch_up(now);
            !standing.is_blank()
        });
        if self.strangers.len() > MAX_STRANGERS / 2 {
            self.strangers.clear();
        }
    }

    /// Whether a peer came from there, or is expected to.
    pub fn is_friendly(&self, source: &Source) -> bool {
        self.peers.contains_key(source)
    }

    /// A peer has come from there.
    pub fn remember_peer(&mut self, source: Source, now: Instant) {
        self.strangers.remove(&source);
        if self.peers.len() >= MAX_PEER_SOURCES && !self.peers.contains_key(&source) {
            let oldest = self.peers.iter().min_by_key(|(_, since)| **since).map(|(source, _)| *source);
            oldest.map(|oldest| self.peers.remove(&oldest));
        }
        self.peers.insert(source, now);
    }

    /// A peer is expected to come from there. Where peers have come from is more certain, and stays.
    pub fn expect(&mut self, source: Source, now: Instant) {
        if self.peers.len() < MAX_PEER_SOURCES {
            self.peers.entry(source).or_insert(now);
        }
    }

    /// Forgets the source of a peer that is blocked now.
    pub fn forget_peer(&mut self, source: &Source) {
        self.peers.remove(source);
    }

    /// Gives back what is not worth its memory any more.
    pub fn sweep(&mut self, now: Instant) {
        self.forget_strangers(now);
        self.peers.retain(|_, since| now.saturating_duration_since(*since) < PEER_SOURCE_LIFE);
        self.strangers.shrink_to_fit();
        self.peers.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u32) -> Source {
        Source::of(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn a_penalty_has_an_end() {
        let now = Instant::now();
        let mut standing = Standing::new(now);
        for _ in 0..1000 {
            standing.penalize(now);
        }
        standing.catch_up(now + MAX_PENALTY - Duration::from_secs(1));
        assert!(standing.is_barred());
        standing.catch_up(now + MAX_PENALTY);
        assert!(!standing.is_barred());
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut sources = SourceTable::default();
        let now = Instant::now();
        sources.remember_peer(number(0), now);
        for count in 0..3 * MAX_STRANGERS as u32 {
            assert!(sources.standing(number(count), now).take_token());
            assert!(sources.strangers.len() <= MAX_STRANGERS);
        }
        for count in 0..3 * MAX_PEER_SOURCES as u32 {
            sources.remember_peer(number(count), now + Duration::from_millis(count.into()));
        }
        assert_eq!(sources.peers.len(), MAX_PEER_SOURCES);
        assert!(
            !sources.is_friendly(&number(0)) && sources.is_friendly(&number(3 * MAX_PEER_SOURCES as u32 - 1))
        );
        sources.sweep(now + 2 * PEER_SOURCE_LIFE);
        assert_eq!((sources.strangers.capacity(), sources.peers.capacity()), (0, 0));
    }

    #[test]
    fn those_who_misbehave_are_remembered_when_the_others_are_forgotten() {
        let mut sources = SourceTable::default();
        let now = Instant::now();
        sources.standing(number(1), now).penalize(now);
        sources.standing(number(2), now).take_token();
        sources.sweep(now + Duration::from_secs(1));
        assert!(sources.strangers.contains_key(&number(1)) && !sources.strangers.contains_key(&number(2)));
    }
}
