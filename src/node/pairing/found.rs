//! How two users who pair by six digits find each other in one network: who waits says so by a packet every two seconds, and
//! whoever joins listens for a while. It leaves out what is in the packet: see `wire::invitation`.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::random_array;
use crate::error::{Error, Result, reason};
use crate::net::local;
use crate::net::multicast::{self, Reader, Speaker};
use crate::node::pairing::waiting::Waiting;
use crate::wire::address::{Address, LEAST_PORT};
use crate::wire::invitation::Invitation;

/// From one packet to the next.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long to listen for others after the first one was heard.
const OTHERS: Duration = Duration::from_millis(2500);
/// How long one read of the sockets goes on before the interfaces are looked at again.
const LOOK: Duration = Duration::from_secs(1);
/// Those who wait that are told apart; a network with more is being flooded.
const MAX_HEARD: usize = 8;
/// Addresses of one of them.
const MAX_PLACES: usize = 8;

/// Says that somebody waits, until the wait is over.
pub fn announce(waiting: &Waiting, listening: &[SocketAddr]) {
    let number = u64::from_be_bytes(random_array());
    while !waiting.is_over() {
        if waiting.is_open() {
            for speaker in multicast::links().into_iter().filter_map(Speaker::of) {
                if let Some(port) = local::port_at(listening, speaker.ip) {
                    speaker.speak(&|| Invitation { number, port }.encode());
                }
            }
        }
        thread::sleep(INTERVAL);
    }
}

/// Somebody who was heard.
struct Heard {
    number: u64,
    places: Vec<Address>,
}

/// Listens until somebody is heard, for so long at the most; gives its addresses. That several wait is an error which names
/// them.
pub fn listen(wait: Duration) -> Result<Vec<Address>> {
    let reader = Reader::open().map_err(|cause| Error::Failed {
        what: format!("cannot listen for somebody nearby: {}", reason(&cause)),
        hint: Some("give HOST:PORT as `egoat invite --nearby` shows it".into()),
    })?;
    let mut heard: Vec<Heard> = Vec::new();
    let mut until = Instant::now() + wait;
    while Instant::now() < until {
        multicast::links().into_iter().for_each(|link| reader.join(link));
        let networks = multicast::interface_addresses();
        let mut is_first = false;
        let left = until.saturating_duration_since(Instant::now()).min(LOOK);
        reader.read_for(left, &mut |packet, from| {
            let ip = from.ip().to_canonical();
            let is_near = networks.iter().any(|own| own.is_near(ip) || own.ip == ip);
            if let Some(said) = Invitation::decode(packet).filter(|said| is_near && said.port >= LEAST_PORT) {
                let was_silent = heard.is_empty();
                note(&mut heard, said, from);
                is_first = was_silent;
            }
            is_first
        });
        if is_first {
            until = Instant::now() + OTHERS;
        }
    }
    match heard.len() {
        0 => Err(Error::TimedOut { what: "nobody nearby was heard in time".into() }),
        1 => Ok(heard.remove(0).places),
        _ => Err(several(&heard)),
    }
}

fn note(heard: &mut Vec<Heard>, said: Invitation, mut from: SocketAddr) {
    from.set_port(said.port);
    let place = local::with_named_zone(from.into());
    let may_add = heard.len() < MAX_HEARD;
    match heard.iter_mut().find(|one| one.number == said.number) {
        Some(one) if one.places.contains(&place) || one.places.len() >= MAX_PLACES => {}
        Some(one) => one.places.push(place),
        None if may_add => heard.push(Heard { number: said.number, places: vec![place] }),
        None => {}
    }
}

fn several(heard: &[Heard]) -> Error {
    let places: Vec<String> = heard.iter().filter_map(|one| Some(one.places.first()?.to_string())).collect();
    Error::Usage {
        what: format!("several wait nearby: {}", places.join(", ")),
        hint: Some("`egoat join HOST:PORT` takes the one whose screen shows this address".into()),
    }
}
