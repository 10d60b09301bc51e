//! Of the failures at many addresses, the one that tells the user most, and how many addresses there were.

use std::io::ErrorKind;

use crate::error::{Causes, Error};
use crate::net::dial::Target;
use crate::net::dial::attempt::{AddressFailure, Attempt};
use crate::wire::address::Address;

const ELSEWHERE: &str = "not dialled: it is of a network where this machine is not";

/// A failure in words; of two, the one with the lower rank tells more.
struct Cause {
    rank: u8,
    address: Address,
    why: String,
}

/// The error of a node that was not reached: what somebody who answered did, else why nobody does.
pub fn error(target: &Target, attempt: &Attempt, mut failed: Vec<(usize, AddressFailure)>) -> Error {
    failed.sort_by_key(|(number, _)| *number);
    let mut telling: Option<Error> = None;
    let mut causes = Vec::new();
    for (number, failure) in failed {
        let address = attempt.places[number].address.clone();
        let (rank, why) = match failure {
            AddressFailure::Network(kind, why) => (rank(kind), why),
            AddressFailure::Moved => (0, "another node has this address now".into()),
            AddressFailure::Final(error) => return telling.unwrap_or(error),
            AddressFailure::Telling(error @ Error::ChangedKey { .. }) => {
                telling =
                    Some(telling.filter(|known| matches!(known, Error::ChangedKey { .. })).unwrap_or(error));
                continue;
            }
            AddressFailure::Telling(error) => {
                let why = error.to_string();
                telling = telling.or(Some(error));
                (0, why)
            }
        };
        causes.push(Cause { rank, address, why });
    }
    let is_left_out = |address: &Address| !attempt.places.iter().any(|place| place.address == *address);
    let left_out = target.places.iter().map(|place| &place.address).filter(|address| is_left_out(address));
    causes.extend(left_out.map(|address| Cause { rank: 3, address: address.clone(), why: ELSEWHERE.into() }));
    match telling {
        Some(Error::ChangedKey { peer, old, new, .. }) => {
            let elsewhere = (!causes.is_empty()).then(|| summary(causes));
            Error::ChangedKey { peer, old, new, elsewhere }
        }
        Some(error) => error,
        None if causes.is_empty() => Error::Unreachable {
            peer: target.label.to_owned(),
            why: format!(
                "no address of it is known: it is served when it connects, or give one, by `egoat peers set {} \
                 address+=HOST:PORT`",
                target.label
            )
            .into(),
        },
        None => Error::Unreachable { peer: target.label.to_owned(), why: summary(causes) },
    }
}

/// An answer tells more than silence, and silence more than that there is no way from here.
fn rank(kind: ErrorKind) -> u8 {
    use ErrorKind::{
        AddrNotAvailable, HostUnreachable, InvalidInput, NetworkDown, NetworkUnreachable, NotFound,
    };
    match kind {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => 1,
        NotFound | HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable | InvalidInput => 2,
        _ => 0,
    }
}

/// In the order of what tells most.
fn summary(mut causes: Vec<Cause>) -> Causes {
    causes.sort_by_key(|cause| cause.rank);
    Causes::of(causes.into_iter().map(|cause| (cause.address.to_string(), cause.why)).collect())
}
