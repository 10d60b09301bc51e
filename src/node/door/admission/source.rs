//! What is remembered of where connections come from: the rate and the penalties of strangers, which peers were where, and
//! who was made a peer unasked. All of it has an end. It leaves out who is let in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::net::transport::Origin;
use crate::node::allowance::{Allowance, Rate};

/// Handshakes that a source of strangers may begin.
const HANDSHAKES: Rate = Rate { at_once: 10, interval: Duration::from_millis(500) };
/// First messages from a source of peers that are answered, if no peer proves itself after them.
const FRIENDLY_ANSWERS: Rate = Rate { at_once: 128, interval: Duration::from_millis(3) };
/// Strangers of a source who are made peers unasked.
const ADDITIONS: Rate = Rate { at_once: 4, interval: Duration::from_secs(120) };
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
/// How many peers are remembered for a source, as behind one router.
const MAX_PEERS_PER_SOURCE: usize = 16;
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
#[derive(Default)]
pub struct Standing {
    handshakes: Allowance,
    /// When its penalties are over.
    penalty: Option<Instant>,
    /// They added up to enough to be enforced.
    barred: bool,
}

impl Standing {
    fn catch_up(&mut self, now: Instant) {
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
    pub fn take_handshake(&mut self, now: Instant) -> bool {
        self.handshakes.take(HANDSHAKES, now)
    }

    /// A handshake of its failed.
    pub fn penalize(&mut self, now: Instant) {
        let end = self.penalty.map_or(now, |end| end.max(now)) + PENALTY;
        self.penalty = Some(end.min(now + MAX_PENALTY));
        // Those that came within a second count as if they came at once.
        self.barred |= end + Duration::from_secs(1) > now + ENFORCED_FROM;
    }

    /// As good as one that was never seen.
    fn is_blank(&self, now: Instant) -> bool {
        self.handshakes.is_whole(now) && self.penalty.is_none()
    }
}

/// What is remembered of a source from which peers have come, or are expected.
struct PeerSource {
    /// The latest of them.
    peers: Vec<PublicKey>,
    /// When one proved itself last.
    since: Instant,
    answers: Allowance,
}

/// All that is remembered.
#[derive(Default)]
pub struct SourceTable {
    strangers: HashMap<Source, Standing>,
    /// Where peers proved who they are.
    peers: HashMap<Source, PeerSource>,
    /// Where strangers came from who were made peers unasked: few, because all additions have a rate as well.
    additions: HashMap<Source, Allowance>,
}

impl SourceTable {
    /// How a stranger's source stands now.
    pub fn standing(&mut self, source: Source, now: Instant) -> &mut Standing {
        if self.strangers.len() >= MAX_STRANGERS && !self.strangers.contains_key(&source) {
            self.forget_strangers(now);
        }
        let standing = self.strangers.entry(source).or_default();
        standing.catch_up(now);
        standing
    }

    /// Forgets those of whom there is nothing to say. If that is not many, all go, so that this is seldom done.
    fn forget_strangers(&mut self, now: Instant) {
        self.strangers.retain(|_, standing| {
            standing.catch_up(now);
            !standing.is_blank(now)
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
    pub fn remember_peer(&mut self, source: Source, peer: PublicKey, now: Instant) {
        self.strangers.remove(&source);
        if self.peers.len() >= MAX_PEER_SOURCES && !self.peers.contains_key(&source) {
            let oldest = self.peers.iter().min_by_key(|(_, known)| known.since).map(|(source, _)| *source);
            oldest.map(|oldest| self.peers.remove(&oldest));
        }
        self.note_peer(source, peer, now).since = now;
    }

    /// A peer is expected to come from there. Where peers have come from is more certain, and stays.
    pub fn await_peer(&mut self, source: Source, peer: PublicKey, now: Instant) {
        if self.peers.len() < MAX_PEER_SOURCES || self.peers.contains_key(&source) {
            self.note_peer(source, peer, now);
        }
    }

    fn note_peer(&mut self, source: Source, peer: PublicKey, now: Instant) -> &mut PeerSource {
        let new = || PeerSource { peers: Vec::new(), since: now, answers: Allowance::default() };
        let known = self.peers.entry(source).or_insert_with(new);
        known.peers.retain(|one| *one != peer);
        known.peers.insert(0, peer);
        known.peers.truncate(MAX_PEERS_PER_SOURCE);
        known
    }

    /// Forgets that a peer, which is blocked now, came from there. Others who did are as welcome as before.
    pub fn forget_peer(&mut self, source: &Source, peer: &PublicKey) {
        if let Some(known) = self.peers.get_mut(source) {
            known.peers.retain(|one| one != peer);
            if known.peers.is_empty() {
                self.peers.remove(source);
            }
        }
    }

    /// Takes one of the answers that a source of peers gets, now or after a wait that is no longer than `patience`.
    pub fn reserve_answer(&mut self, source: &Source, now: Instant, patience: Duration) -> Option<Duration> {
        self.peers.get_mut(source)?.answers.reserve(FRIENDLY_ANSWERS, now, patience)
    }

    /// Gives it back: a peer has proven itself after it.
    pub fn give_back_answer(&mut self, source: &Source) {
        self.peers.get_mut(source).into_iter().for_each(|known| known.answers.give_back(FRIENDLY_ANSWERS));
    }

    /// Takes one of the additions to the peers that a source gets.
    pub fn take_addition(&mut self, source: Source, now: Instant) -> bool {
        self.additions.retain(|_, taken| !taken.is_whole(now));
        self.additions.entry(source).or_default().take(ADDITIONS, now)
    }

    /// Gives back what is not worth its memory any more.
    pub fn sweep(&mut self, now: Instant) {
        self.forget_strangers(now);
        self.peers.retain(|_, known| now.saturating_duration_since(known.since) < PEER_SOURCE_LIFE);
        self.additions.retain(|_, taken| !taken.is_whole(now));
        self.strangers.shrink_to_fit();
        self.peers.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    fn peer() -> PublicKey {
        Seed::generate().static_keys().public()
    }

    #[test]
    fn a_blocked_peer_takes_its_neighbours_nothing() {
        let mut sources = SourceTable::default();
        let (now, friend, blocked) = (Instant::now(), peer(), peer());
        sources.remember_peer(number(1), friend, now);
        sources.remember_peer(number(1), blocked, now);
        sources.await_peer(number(2), blocked, now);
        for source in [number(1), number(2)] {
            sources.forget_peer(&source, &blocked);
        }
        assert!(sources.is_friendly(&number(1)) && !sources.is_friendly(&number(2)));
        sources.forget_peer(&number(1), &friend);
        assert!(!sources.is_friendly(&number(1)));
    }

    fn number(number: u32) -> Source {
        Source::of(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn a_penalty_has_an_end() {
        let now = Instant::now();
        let mut standing = Standing::default();
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
        let (now, peer) = (Instant::now(), peer());
        sources.remember_peer(number(0), peer, now);
        for count in 0..3 * MAX_STRANGERS as u32 {
            assert!(sources.standing(number(count), now).take_handshake(now));
            assert!(sources.strangers.len() <= MAX_STRANGERS);
        }
        for count in 0..3 * MAX_PEER_SOURCES as u32 {
            sources.remember_peer(number(count), peer, now + Duration::from_millis(count.into()));
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
        sources.standing(number(2), now).take_handshake(now);
        sources.sweep(now + Duration::from_secs(1));
        assert!(sources.strangers.contains_key(&number(1)) && !sources.strangers.contains_key(&number(2)));
    }
}
