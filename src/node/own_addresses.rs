//! Where this node can be dialled, as it tells its peers (egoat-protocol(7), Addresses): which addresses, and their version,
//! which is kept in the home (egoat-files(5), TOLD).

use std::net::SocketAddr;

use crate::net::local::{self, Reach};
use crate::net::telling::OwnAddresses;
use crate::store::file;
use crate::store::home::Home;
use crate::store::mapping::Mapped;
use crate::time::now_micros;
use crate::wire::told::{AddressKind, ToldAddress, ToldAddresses};

/// Bytes of the file that are read.
const MAX_FILE: u64 = 8 << 10;

/// Brings what is told up to date for a node that listens at `listening`, and that can be dialled at what routers `mapped`.
pub fn refresh(own: &OwnAddresses, home: &Home, listening: &[SocketAddr], mapped: &[Mapped]) {
    let known = own.get();
    let addresses = all(listening, mapped);
    if known.version > 0 && known.addresses == addresses {
        return;
    }
    let text: String = addresses.iter().map(line).collect();
    // A file that cannot be read or written costs no more than that peers are told what they know.
    let stored = file::read_text(&home.told_path(), MAX_FILE).ok().flatten().unwrap_or_default();
    let (first, rest) = stored.split_once('\n').unwrap_or_default();
    let last = first.parse::<u64>().unwrap_or(0).max(known.version);
    if last == 0 && addresses.is_empty() {
        return;
    }
    if last > 0 && rest == text {
        return own.set(ToldAddresses { version: last, addresses });
    }
    let version = now_micros().max(last + 1);
    let _ = file::replace(&home.told_path(), format!("{version}\n{text}").as_bytes());
    own.set(ToldAddresses { version, addresses });
}

fn line(told: &ToldAddress) -> String {
    format!("{} {}\n", told.kind as u8, told.address)
}

/// Those that everybody can dial come first.
fn all(listening: &[SocketAddr], mapped: &[Mapped]) -> Vec<ToldAddress> {
    let by_router = |mapped: &Mapped| {
        let kind = if mapped.is_pinhole { AddressKind::Pinhole } else { AddressKind::Mapped };
        ToldAddress { kind, address: mapped.address.into() }
    };
    let mut all: Vec<ToldAddress> = mapped.iter().map(by_router).collect();
    for own in of_interfaces(listening) {
        if !all.iter().any(|told| told.address == own.address) {
            all.push(own);
        }
    }
    all
}

/// Those of the interfaces, but for what means something to this machine or this wire alone.
fn of_interfaces(listening: &[SocketAddr]) -> Vec<ToldAddress> {
    if listening.is_empty() {
        return Vec::new();
    }
    let is_told = |ip| !matches!(Reach::of(ip), Reach::Loopback | Reach::LinkLocal | Reach::Nobody);
    let addresses = local::reachable_at(listening).into_iter();
    let told = addresses.filter(|address| address.ip().is_some_and(is_told));
    told.map(|address| ToldAddress { kind: AddressKind::Interface, address }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::mapping::By;

    #[test]
    fn the_version_rises_with_each_change_and_stays_without_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::find(dir.path().to_str()).expect("a home");
        let at = |port: u16| [SocketAddr::from(([198, 51, 99, 7], port))];
        let version = |own: &OwnAddresses, port| {
            refresh(own, &home, &at(port), &[]);
            own.get().version
        };
        let own = OwnAddresses::default();
        let first = version(&own, 1);
        assert!(first > 0 && version(&own, 1) == first);
        let second = version(&own, 2);
        assert!(second > first);
        let after_a_restart = OwnAddresses::default();
        assert_eq!(version(&after_a_restart, 2), second);
        // A clock that goes back by years.
        let ahead = now_micros() + (1 << 50);
        std::fs::write(home.told_path(), format!("{ahead}\n1 192.0.2.1:9\n")).expect("written");
        assert_eq!(version(&OwnAddresses::default(), 3), ahead + 1);
    }

    #[test]
    fn what_everybody_can_dial_is_told_first_and_once() {
        let at = |text: &str| -> SocketAddr { text.parse().expect(text) };
        let mapped = |text: &str, is_pinhole| Mapped { address: at(text), by: By::Pcp, is_pinhole };
        let listening = [at("198.51.99.7:1"), at("[2001:4860::7]:1")];
        let told = all(&listening, &[mapped("11.0.0.1:1", false), mapped("[2001:4860::7]:1", true)]);
        let told: Vec<_> = told.iter().map(|told| (told.kind as u8, told.address.to_string())).collect();
        let expected = [(2, "11.0.0.1:1"), (3, "[2001:4860::7]:1"), (1, "198.51.99.7:1")];
        assert_eq!(told, expected.map(|(kind, text)| (kind, text.to_owned())));
    }
}
