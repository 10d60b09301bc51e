//! The way to a peer, from its name to whether it takes this node as one. Nobody is paired with, and no link is used up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::app::contacts::reach::{self, PeerReference};
use crate::app::doctor::report::Reporter;
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result, reason};
use crate::net::deadline::Deadline;
use crate::net::dial::{self, Target};
use crate::net::endpoint::Endpoint;
use crate::net::handshake::DialFailure;
use crate::net::transport::route::{self, Obstacle};
use crate::net::transport::{Stream, direct};
use crate::node::pairing;
use crate::store::peers::{Peers, Place};
use crate::text;
use crate::time::now_micros;
use crate::wire::address::Address;
use crate::wire::link::Link;

/// Two clocks that are set by hand differ by less than this.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);
/// A slower handshake is worth a warning: its three round trips have to fit in 10 s.
const SLOW_ROUND_TRIP: Duration = Duration::from_secs(2);

/// Looks at all addresses of whoever is meant.
pub fn check(report: &mut Reporter, own: &Endpoint, given: &str) -> Result<()> {
    let peers = Peers::load(own.home())?;
    let reference = reach::resolve(own, &peers, given)?;
    let is_saved = matches!(reference, PeerReference::Saved(_));
    let of_link = |addresses: Vec<Address>| addresses.into_iter().map(Place::of_link).collect();
    let (label, pinned, places) = match reference {
        PeerReference::Saved(peer) => (peer.name.clone(), Some(peer.key), peer.places()),
        PeerReference::Link(Link { key, addresses, .. }) => {
            ("the link".into(), Some(key), of_link(addresses))
        }
        PeerReference::At(at) => (at.to_string(), None, of_link(vec![at])),
    };
    // Neither by its name nor by a link.
    if let Some(blocked) = pinned.and_then(|key| peers.by_key(&key)).filter(|peer| peer.is_blocked()) {
        report.skipped("session", &format!("{} is blocked here, and not dialled", blocked.name));
        return Ok(());
    }
    if places.is_empty() {
        let hint = format!(
            "it is served when it dials this node, which must be reachable for that; or give an address: `egoat peers set \
             {label} address+=HOST:PORT`"
        );
        report.warning("session", &format!("no address of {label} is known"), Some(&hint));
        return Ok(());
    }
    let look = ContactCheck { own, peers: &peers, label: &label, pinned, is_saved };
    report.each(&places, |report, place| look.at(report, place));
    Ok(())
}

struct ContactCheck<'a> {
    own: &'a Endpoint,
    peers: &'a Peers,
    label: &'a str,
    pinned: Option<PublicKey>,
    is_saved: bool,
}

impl ContactCheck<'_> {
    fn at(&self, report: &mut Reporter, place: &Place) {
        let address = &place.address;
        let is_proxied = self.own.proxy().is_some();
        let by_proxy = is_proxied || address.is_onion();
        let found = if by_proxy { self.by_proxy(report, address) } else { by_family(report, address) };
        let Some(stream) = found else { return };
        let began = Instant::now();
        let asked = dial::key_over(stream, is_proxied);
        let took = asked.is_ok().then(|| began.elapsed());
        let key = match asked {
            // It may have had no place for a moment.
            Err(DialFailure::Unread) => dial::ask_key(self.own, address),
            asked => asked.map_err(|failure| dial::key_error(failure, address)),
        };
        let key = match key {
            Ok(key) => key,
            Err(error) => return failed(report, "protocol", &error),
        };
        report.ok("protocol", "an egoat of this version answers");
        if let Some(took) = took {
            round_trip(report, took);
        }
        if self.is_right(report, place, key) {
            self.session(report, place, key);
        }
    }

    /// Nothing is resolved here.
    fn by_proxy(&self, report: &mut Reporter, address: &Address) -> Option<Stream> {
        let unresolved = match self.own.proxy() {
            Some(_) => "names are not resolved here, but by the proxy",
            None => "the name of an onion service is not resolved",
        };
        for layer in ["dns4", "dns6"] {
            report.skipped(layer, unresolved);
        }
        let proxy = self.own.proxy().map(|proxy| proxy.address.to_string()).unwrap_or_default();
        let answers = format!("the proxy {proxy} answers");
        match route::connect(self.own, address, Deadline::after(route::patience(self.own))) {
            Ok((stream, _)) => {
                report.ok("proxy", &answers);
                report.ok("tcp", "connected by the proxy");
                Some(stream)
            }
            Err(Obstacle::Peer { why, .. }) => {
                report.ok("proxy", &answers);
                let error = Error::Unreachable { peer: self.label.to_owned(), why: why.into() };
                failed(report, "tcp", &error);
                None
            }
            Err(obstacle) => {
                failed(report, "proxy", &obstacle.error(self.label.to_owned()));
                None
            }
        }
    }

    /// Whether this is the key that is wanted.
    fn is_right(&self, report: &mut Reporter, place: &Place, key: PublicKey) -> bool {
        let fingerprint = key.fingerprint();
        let known = self.peers.by_key(&key);
        match (self.pinned, known) {
            (Some(pinned), _) if pinned == key => report.ok("key", &format!("the pinned one, {fingerprint}")),
            (Some(_), _) if key == self.own.key() => {
                let hint = format!(
                    "an address of the peer leads back here; give the one that it has now: `egoat peers set {} \
                     address=HOST:PORT`",
                    self.label
                );
                report.failed("key", 69, "this node itself answers there", Some(&hint));
                return false;
            }
            (Some(_), _) if self.is_saved && !place.is_pinned() => {
                report.failed("key", 69, &format!("another node has this address now, {fingerprint}"), None);
                return false;
            }
            (Some(pinned), _) => {
                let (peer, old) = (self.label.to_owned(), pinned.fingerprint());
                let error = if self.is_saved {
                    Error::ChangedKey { peer, old, new: fingerprint, elsewhere: None }
                } else {
                    Error::OtherNode { address: place.address.to_string(), wanted: old, found: fingerprint }
                };
                failed(report, "key", &error);
                return false;
            }
            (None, Some(peer)) => report.ok("key", &format!("that of {}, {fingerprint}", peer.name)),
            (None, None) if key == self.own.key() => {
                report.ok("key", "that of this node itself");
                return false;
            }
            (None, None) => {
                let hint = Some("compare that with the one that `egoat id` shows there");
                report.warning("key", &format!("not known yet, {fingerprint}"), hint);
            }
        }
        true
    }

    /// A whole handshake proves the key, and the answer to it tells whether this node is welcome.
    fn session(&self, report: &mut Reporter, place: &Place, key: PublicKey) {
        let Some(peer) = self.peers.by_key(&key) else {
            return report.skipped("session", "it is no saved peer");
        };
        if peer.is_blocked() {
            return report.skipped("session", &format!("{} is blocked here", peer.name));
        }
        let began = Instant::now();
        let target = Target { places: vec![place.clone()], ..Target::peer(peer, None) };
        match pairing::dial_to_pair(self.own, &target) {
            Ok((profile, _)) => {
                report.ok("session", &format!("{} proves its key, and takes this node as a peer", peer.name));
                if let Some(time) = profile.time {
                    clock(report, time, began.elapsed());
                }
            }
            Err(error) => failed(report, "session", &error),
        }
    }
}

/// A failure of the peer that the line names anyway.
fn failed(report: &mut Reporter, layer: &'static str, error: &Error) {
    let detail = match error {
        Error::Unreachable { why, .. } => &why.to_string(),
        Error::Proxy { why, .. } | Error::Protocol { what: why, .. } => why,
        error => &error.to_string(),
    };
    report.failed(layer, error.exit_code(), detail, error.hint().as_deref());
}

/// What its clock showed within `latest` before now.
fn clock(report: &mut Reporter, peer_time: u64, latest: Duration) {
    let own_time = now_micros();
    let apart = Duration::from_micros(own_time.abs_diff(peer_time));
    if apart <= latest {
        return report.ok("clock", "that of this machine, as far as the connection shows");
    }
    let way = if peer_time > own_time { "ahead of" } else { "behind" };
    let detail = format!("{} {way} this machine's", text::duration(apart));
    if apart < MAX_CLOCK_SKEW {
        return report.ok("clock", &detail);
    }
    let hint = "set whichever is wrong: the times in the two logs differ by as much";
    report.warning("clock", &detail, Some(hint));
}

fn round_trip(report: &mut Reporter, took: Duration) {
    let round = format!("{}.{} ms", took.as_millis(), took.as_micros() % 1000 / 100);
    if took > SLOW_ROUND_TRIP {
        return report.warning("rtt", &format!("{round}, which is slow for a handshake"), None);
    }
    report.ok("rtt", &round)
}

/// Name and connection of either family; gives the first connection. One of them is enough.
fn by_family(report: &mut Reporter, address: &Address) -> Option<Stream> {
    let found = resolved(report, address)?;
    let tries = [("tcp4", false), ("tcp6", true)].map(|(layer, is_v6)| {
        let of_family: Vec<SocketAddr> = found.iter().filter(|at| at.is_ipv6() == is_v6).copied().collect();
        let tried = direct::first_of(&of_family, Deadline::after(direct::CONNECT_TIMEOUT));
        (layer, of_family, tried)
    });
    let works = tries.iter().any(|(_, _, tried)| tried.is_ok());
    let mut stream = None;
    for (layer, of_family, tried) in tries {
        match tried {
            _ if of_family.is_empty() => report.skipped(layer, "there is no such address"),
            Ok(connected) => {
                let at = connected.address().map(|at| format!(" to {at}")).unwrap_or_default();
                report.ok(layer, &format!("connected{at}"));
                stream = stream.or(Some(connected));
            }
            Err(cause) if works => report.warning(layer, &reason(&cause), None),
            Err(cause) => {
                failed(
                    report,
                    layer,
                    &Error::Unreachable { peer: String::new(), why: reason(&cause).into() },
                );
            }
        }
    }
    stream
}

/// The addresses of both families, if there are any.
fn resolved(report: &mut Reporter, address: &Address) -> Option<Vec<SocketAddr>> {
    let found = match direct::resolve(address, direct::CONNECT_TIMEOUT) {
        Ok(found) => found,
        Err(cause) => {
            let hint = Some("look at the spelling; other names tell whether resolving works here at all");
            for layer in ["dns4", "dns6"] {
                report.failed(layer, 69, &reason(&cause), hint);
            }
            return None;
        }
    };
    for (layer, is_v6) in [("dns4", false), ("dns6", true)] {
        let of_family: Vec<String> =
            found.iter().filter(|at| at.is_ipv6() == is_v6).map(|at| at.ip().to_string()).collect();
        match of_family.is_empty() {
            _ if address.ip().is_some() => report.skipped(layer, "an address needs no name"),
            true => report.skipped(layer, "the name has no such address"),
            false => report.ok(layer, &of_family.join(", ")),
        }
    }
    Some(found)
}
