//! The mappings that routers made for the node of this home (egoat-files(5), MAPPING): the next node asks for the same ones,
//! so that none is left over, and what ends orderly takes them back.
//!
//! ```text
//! BY ROUTER INSIDE OUTSIDE HANDLE
//! ```

use std::net::{IpAddr, SocketAddr};

use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::Home;

/// Most bytes of the file.
const MAX_LEN: u64 = 4096;

/// How a router was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Port Control Protocol, RFC 6887.
    Pcp,
    /// NAT Port Mapping Protocol, RFC 6886.
    NatPmp,
    /// UPnP, Internet Gateway Device.
    Upnp,
}

const WAYS: [(By, &str, &str); 3] =
    [(By::Pcp, "pcp", "PCP"), (By::NatPmp, "nat-pmp", "NAT-PMP"), (By::Upnp, "upnp", "UPnP")];

impl By {
    /// For programs and files.
    pub fn word(self) -> &'static str {
        WAYS[self as usize].1
    }

    /// For people.
    pub fn title(self) -> &'static str {
        WAYS[self as usize].2
    }

    /// The way of this word.
    pub fn of_word(word: &str) -> Option<By> {
        WAYS.iter().find(|way| way.1 == word).map(|way| way.0)
    }
}

/// An address outside of a router at which this node can be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The address.
    pub address: SocketAddr,
    /// How the router was asked.
    pub by: By,
    /// The address is this machine's own, and the router lets it through.
    pub is_pinhole: bool,
}

/// What became of asking routers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapState {
    /// Nobody asks.
    #[default]
    Off,
    /// The first answer is still to come.
    Trying,
    /// No router needs to map anything.
    Needless,
    /// A router maps.
    Works,
    /// A router maps, and another one stands in front of it.
    Behind,
    /// No router maps.
    Failed,
}

const STATES: [(MapState, &str); 6] = [
    (MapState::Off, "off"),
    (MapState::Trying, "trying"),
    (MapState::Needless, "needless"),
    (MapState::Works, "works"),
    (MapState::Behind, "behind"),
    (MapState::Failed, "failed"),
];

impl MapState {
    /// For programs and files.
    pub fn word(self) -> &'static str {
        STATES[self as usize].1
    }

    /// The state of this word.
    pub fn of_word(word: &str) -> Option<MapState> {
        STATES.iter().find(|state| state.1 == word).map(|state| state.0)
    }
}

/// What a node knows of the routers between it and everybody, as it tells it to front-ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// What became of asking.
    pub state: MapState,
    /// The router that was asked.
    pub gateway: Option<IpAddr>,
    /// The state in words for people: one line of ours, with nothing in it that a router chose but addresses and numbers.
    pub detail: String,
    /// Where everybody can dial this node.
    pub mapped: Vec<Mapped>,
}

/// A mapping as it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How it was asked for.
    pub by: By,
    /// Who was asked.
    pub router: SocketAddr,
    /// Where the node is dialled by the router.
    pub inside: SocketAddr,
    /// Where the router is dialled.
    pub outside: SocketAddr,
    /// What the router needs to know to change it: the nonce of PCP in base32, or path and service of UPnP.
    pub handle: String,
}

impl Lease {
    fn line(&self) -> String {
        let Lease { by, router, inside, outside, handle } = self;
        format!("{} {router} {inside} {outside} {handle}\n", by.word())
    }

    fn parse(line: &str) -> Option<Lease> {
        let mut words = line.splitn(5, ' ');
        let by = By::of_word(words.next()?)?;
        let mut address = || words.next()?.parse::<SocketAddr>().ok();
        let (router, inside, outside) = (address()?, address()?, address()?);
        Some(Lease { by, router, inside, outside, handle: words.next()?.to_owned() })
    }
}

/// The mappings that were noted last. A file that cannot be read, and a line that cannot be understood, tell nothing: the
/// node then asks as for the first time.
pub fn noted(home: &Home) -> Vec<Lease> {
    let stored = file::read_text(&home.mapping_path(), MAX_LEN).ok().flatten().unwrap_or_default();
    stored.lines().filter_map(Lease::parse).collect()
}

/// Notes the mappings in the place of those before.
pub fn note(home: &Home, leases: &[Lease]) -> Result<()> {
    let path = home.mapping_path();
    let text: String = leases.iter().map(Lease::line).collect();
    file::replace(&path, text.as_bytes()).map_err(Error::disk(Verb::Write, &path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_it_was_noted() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::locate(dir.path().to_str()).unwrap();
        assert!(noted(&home).is_empty());
        let lease = |by, router: &str, handle: &str| Lease {
            by,
            router: router.parse().unwrap(),
            inside: "192.168.7.2:4628".parse().unwrap(),
            outside: "11.0.0.1:4629".parse().unwrap(),
            handle: handle.into(),
        };
        let leases = [
            lease(By::Pcp, "[fe80::1%3]:5351", "aaaa"),
            lease(By::NatPmp, "192.168.7.1:5351", "-"),
            lease(By::Upnp, "192.168.7.1:5000", "/ctl urn:schemas-upnp-org:service:WANIPConnection:1"),
        ];
        note(&home, &leases).unwrap();
        assert_eq!(noted(&home), leases);
        std::fs::write(home.mapping_path(), "pcp\npcp x y z w\nother 1.1.1.1:1 1.1.1.1:1 1.1.1.1:1 -\n")
            .unwrap();
        assert!(noted(&home).is_empty());
    }

    #[test]
    fn words_are_those_of_their_own() {
        for (by, word, _) in WAYS {
            assert_eq!((by.word(), By::of_word(word)), (word, Some(by)));
        }
        for (state, word) in STATES {
            assert_eq!((state.word(), MapState::of_word(word)), (word, Some(state)));
        }
    }
}
