//! Whether beacons can be heard on this machine, and whose. A node that runs answers a beacon of its own user; where none runs, a
//! packet that leaves this machine nowhere shows whether a firewall of it lets beacons in.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::net::local;
use crate::net::multicast::{self, Reader, Speaker};
use crate::node::nearby::hearing::{self, Hearing};
use crate::store::home::Home;
use crate::text;
use crate::wire::beacon::{Beacon, in_turn};

/// The name of the setting, and of the thread.
pub const NEARBY: &str = "nearby";
/// How often the node is asked: it answers once a second, and may have answered somebody else.
const TRIES: usize = 3;
const ANSWER_WAIT: Duration = Duration::from_millis(1200);
/// A packet that stays on this machine is there at once.
const LOOP_WAIT: Duration = Duration::from_millis(500);

/// What came of a probe.
pub enum Outcome {
    /// Beacons come through. These friends have answered, each from there.
    Heard(Vec<(PublicKey, SocketAddr)>),
    /// None comes through.
    Blocked,
    /// Other programs have all of the ports.
    PortsTaken,
    /// This machine is in no network in which anybody could be called; without a node, only IPv4 is looked at.
    NoNetwork,
}

/// Whether a node with this home looks for friends in its network.
pub fn is_on(home: &Home) -> Result<bool> {
    match home.setting(NEARBY)?.as_deref() {
        None | Some("" | "on") => Ok(true),
        Some("off") => Ok(false),
        Some(other) => Err(Error::Failed {
            what: format!(
                "{NEARBY}={} in {} means nothing",
                text::clean_line(other),
                home.settings_path().display()
            ),
            hint: Some(format!("write {NEARBY}=on or {NEARBY}=off; until then it is off")),
        }),
    }
}

/// Asks the node of this home, which listens there, and all friends who are in the network.
pub fn ask(own: &Endpoint, listening: &[SocketAddr], friends: &[PublicKey]) -> Outcome {
    let mut hearing = Hearing::new(own.keys());
    hearing.add(hearing::agree(own.keys(), friends));
    hearing.set_networks(multicast::interface_addresses());
    let speakers: Vec<Speaker> = multicast::links().into_iter().filter_map(Speaker::of).collect();
    if speakers.is_empty() {
        return Outcome::NoNetwork;
    }
    let called: Vec<PublicKey> = [&[own.key()], friends].concat();
    let (mut found, mut has_answered) = (Vec::new(), false);
    for _ in 0..TRIES {
        for speaker in &speakers {
            let port = local::port_at(listening, speaker.ip).unwrap_or(0);
            // With more friends than one beacon calls, the node itself is among those that are called.
            speaker.speak(&|| hearing.call(false, port, in_turn(&called, 0)));
        }
        multicast::read_answers(&speakers, ANSWER_WAIT, &mut |packet, from| {
            let Some(heard) = hearing.hear(packet, from.ip().to_canonical(), Instant::now()) else { return };
            if heard.sender == own.key() {
                has_answered = true;
            } else if !found.iter().any(|(known, _)| *known == heard.sender) {
                let mut at = from;
                at.set_port(heard.port);
                found.push((heard.sender, at));
            }
        });
        if has_answered {
            return Outcome::Heard(found);
        }
    }
    Outcome::Blocked
}

/// Finds out where no node runs, so that nobody else hears it.
pub fn listen() -> Outcome {
    let links = multicast::links();
    let speakers: Vec<Speaker> = links.iter().copied().filter_map(Speaker::to_itself).collect();
    if speakers.is_empty() {
        return Outcome::NoNetwork;
    }
    let Ok(reader) = Reader::open() else { return Outcome::PortsTaken };
    links.iter().for_each(|link| reader.join(*link));
    let packet = Beacon::new(false, hearing::hour(), 0).encode();
    speakers.iter().for_each(|speaker| speaker.speak(&|| packet.clone()));
    let mut has_come = false;
    reader.read_for(LOOP_WAIT, &mut |heard, _| {
        has_come = heard == packet;
        has_come
    });
    if has_come { Outcome::Heard(Vec::new()) } else { Outcome::Blocked }
}
