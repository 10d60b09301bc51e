//! Where a peer may be: its addresses, where each comes from, and when it last worked (egoat-files(5), PEERS).
//!
//! | in the file | origin | how long it stays |
//! | --- | --- | --- |
//! | ADDRESS | the user | for ever |
//! | `link=` | a link that the user gave; moves to the ADDRESSes when it has worked | for ever |
//! | `told=`, `mapped=` | the peer, in ADDRESSES | 30 days after it was noted or has worked |
//! | `seen=` | a connection that the peer made; one | the same |
//! | `near=` | the network that both are in; one | the same |
//!
//! Another key at an ADDRESS is a changed key: the user has named it for this key, or this key was proven there. At the others
//! it is not, because another node may have the address by now, or in another network.

use std::fmt;
use std::net::IpAddr;

use crate::store::peers::Peer;
use crate::text;
use crate::time::{Civil, now_micros};
use crate::wire::address::{Address, BadAddress, is_told_port};
use crate::wire::link::MAX_ADDRESSES;
use crate::wire::told::{AddressKind, ToldAddress, ToldAddresses};

/// Most addresses of a peer that are dialled.
pub const MAX_PLACES: usize = 16;
/// Days after which an address that the user did not give goes, unless it has worked meanwhile.
const KEPT: i64 = 30;
/// An address that works again within so many days is not noted again: that would be a write for each connection.
const NOTED_AGAIN: i64 = 7;
/// The version of the peer's ADDRESSES.
const TOLD_VERSION: &str = "told-version=";
/// A version that is so far ahead of the own clock, in microseconds, is not noted: nothing would follow it.
const MAX_AHEAD: u64 = 24 * 3600 * 1_000_000;
/// When an address of any origin last worked: `worked=ADDRESS@DAY`, the latest first.
const WORKED: &str = "worked=";

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The user named it for this peer, or it is one of a link at which the peer has proven its key.
    User,
    /// It is one of a link, and has not worked yet.
    Link,
    /// The peer told it.
    Told,
    /// The peer connected from there.
    Seen,
    /// The peer is in the same network.
    Near,
    /// The peer told it, and a router maps it to the peer.
    Mapped,
}

impl Origin {
    /// Those that are options, in the order in which their addresses are dialled unless one has worked.
    const OPTIONS: [Origin; 5] = [Origin::Seen, Origin::Link, Origin::Near, Origin::Mapped, Origin::Told];

    /// The word for the user, and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::User => "user",
            Origin::Link => "link",
            Origin::Told => "told",
            Origin::Seen => "seen",
            Origin::Near => "near",
            Origin::Mapped => "mapped",
        }
    }

    /// Whether it is in the peer's ADDRESSES.
    fn is_told(self) -> bool {
        matches!(self, Origin::Told | Origin::Mapped)
    }

    /// Whether the address stays, whether it works or not.
    fn is_users(self) -> bool {
        matches!(self, Origin::User | Origin::Link)
    }
}

/// An address of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub address: Address,
    /// Where that comes from.
    pub origin: Origin,
    /// When the peer last proved its key there.
    pub worked: Option<Day>,
    /// The peer says that its router maps the address to it, wherever else this is known from.
    pub is_mapped: bool,
    /// When it was noted, if it is not the user's.
    noted: Option<Day>,
}

impl Place {
    /// An address of a node that is not saved.
    pub fn of_link(address: Address) -> Place {
        Place { address, origin: Origin::Link, worked: None, is_mapped: false, noted: None }
    }

    /// Whether another key here is a changed key.
    pub fn is_pinned(&self) -> bool {
        self.origin == Origin::User
    }

    /// Whether nobody but the peer, or a packet of it, says that it is there: it may be a third party's.
    pub fn is_hearsay(&self) -> bool {
        (self.origin.is_told() || self.origin == Origin::Near) && self.worked.is_none()
    }

    /// Whether that it works is not worth a note.
    pub fn has_worked_lately(&self) -> bool {
        let is_late = |worked: Day| (Day::today().0 - worked.0).abs() < NOTED_AGAIN;
        self.origin != Origin::Link && self.worked.is_some_and(is_late)
    }

    fn is_over(&self, today: Day) -> bool {
        let last = self.worked.max(self.noted);
        !self.origin.is_users() && last.is_some_and(|last| today.0 - last.0 > KEPT)
    }
}

/// A day of UTC, in days since 1970; in the file YYYY-MM-DD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

const SECONDS: i64 = 24 * 3600;

impl Day {
    fn today() -> Day {
        Day((now_micros() / 1_000_000) as i64 / SECONDS)
    }

    /// `None` for anything but a date of these four and two and two digits.
    fn parse(text: &str) -> Option<Day> {
        let [year, month, day] = text.split('-').collect::<Vec<_>>()[..] else { return None };
        let number = |digits: &str, length: usize| {
            let is_plain = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| digits.parse::<u16>().ok()).flatten()
        };
        let (year, month, day) =
            (i64::from(number(year, 4)?), number(month, 2)? as u8, number(day, 2)? as u8);
        let day = Civil { year, month, day, hour: 0, minute: 0, second: 0 }.to_seconds() / SECONDS;
        Some(Day(day)).filter(|day| day.to_string() == text)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, .. } = Civil::from_seconds(self.0 * SECONDS);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Whether an address that a peer tells may be noted: an IP address of another machine than this one, and no port of a system
/// service.
fn can_be_told(address: &Address) -> bool {
    let Some(ip) = address.ip().map(|ip| ip.to_canonical()) else { return false };
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let is_one = !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast() && !is_link_local;
    is_one && is_told_port(address.port())
}

/// ADDRESS or ADDRESS@DAY.
fn parse_dated(value: &str) -> Option<(Address, Option<Day>)> {
    match value.split_once('@') {
        None => Some((value.parse().ok()?, None)),
        Some((address, day)) => Some((address.parse().ok()?, Some(Day::parse(day)?))),
    }
}

/// The value of an option of this origin.
fn value_of(origin: Origin, option: &str) -> Option<&str> {
    option.strip_prefix(origin.as_str())?.strip_prefix('=')
}

impl Peer {
    /// Where to dial the peer, best first: what worked last, then the others. At most 16.
    pub fn places(&self) -> Vec<Place> {
        let today = Day::today();
        let mut places = self.all_places();
        places.retain(|place| !place.is_over(today));
        let order: Vec<Address> = self.worked().map(|(address, _)| address).collect();
        let rank = |place: &Place| order.iter().position(|at| *at == place.address).unwrap_or(order.len());
        places.sort_by_key(rank);
        places.truncate(MAX_PLACES);
        places
    }

    /// The same, with where the peer was just heard in this network as the first one.
    pub fn places_near(&self, heard: Option<&Address>) -> Vec<Place> {
        let mut places = self.places();
        if let Some(address) = heard.filter(|heard| !places.iter().any(|place| place.address == **heard)) {
            places.insert(0, Place { origin: Origin::Near, ..Place::of_link(address.clone()) });
            places.truncate(MAX_PLACES);
        }
        places
    }

    /// All that stand in the file, each once.
    fn all_places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        let mut add = |address: Address, origin, noted| {
            if !places.iter().any(|place| place.address == address) {
                let worked = self.worked().find(|(at, _)| *at == address).map(|(_, day)| day);
                let is_mapped = self.dated(Origin::Mapped).any(|(at, _)| at == address);
                places.push(Place { address, origin, worked, is_mapped, noted });
            }
        };
        // An ADDRESS is pinned, whatever else is said of it; where the peer was seen is tried first all the same.
        let seen = self.dated(Origin::Seen).filter(|(at, _)| !self.addresses.contains(at));
        seen.for_each(|(at, day)| add(at, Origin::Seen, day));
        self.addresses.iter().for_each(|at| add(at.clone(), Origin::User, None));
        for origin in Origin::OPTIONS {
            self.dated(origin).for_each(|(at, day)| add(at, origin, day));
        }
        places
    }

    fn dated(&self, origin: Origin) -> impl Iterator<Item = (Address, Option<Day>)> {
        self.options.iter().filter_map(move |option| parse_dated(value_of(origin, option)?))
    }

    /// The addresses that have worked, the latest first.
    fn worked(&self) -> impl Iterator<Item = (Address, Day)> {
        let dated = |option: &String| parse_dated(option.strip_prefix(WORKED)?);
        self.options.iter().filter_map(dated).filter_map(|(address, day)| Some((address, day?)))
    }

    /// Notes that the peer has just proven its key at this address. One of a link is an ADDRESS from then on.
    pub fn note_worked(&mut self, address: &Address) {
        if self.dated(Origin::Link).any(|(at, _)| at == *address) {
            self.drop_option(Origin::Link, address);
            self.addresses.push(address.clone());
        }
        let first = self.options.iter().position(|option| option.starts_with(WORKED));
        let first = first.unwrap_or(self.options.len());
        self.options.insert(first, format!("{WORKED}{address}@{}", Day::today()));
        let mut index = 0;
        self.options.retain(|option| {
            index += 1;
            let value = option.strip_prefix(WORKED);
            index - 1 == first || value.and_then(parse_dated).is_none_or(|(at, _)| at != *address)
        });
    }

    fn drop_option(&mut self, origin: Origin, address: &Address) {
        let is_it = |option: &String| {
            value_of(origin, option).and_then(parse_dated).is_some_and(|(at, _)| at == *address)
        };
        self.options.retain(|option| !is_it(option));
    }

    /// Adds an address that the user gave for this peer, as the first one.
    pub fn add_address(&mut self, address: Address) {
        for origin in Origin::OPTIONS {
            self.drop_option(origin, &address);
        }
        self.addresses.retain(|known| *known != address);
        self.addresses.insert(0, address);
        self.addresses.truncate(MAX_ADDRESSES);
    }

    /// Adds the addresses of a link that the user gave. None of them has worked.
    pub fn add_link(&mut self, addresses: &[Address]) {
        let known: Vec<Address> = self.dated(Origin::Link).map(|(at, _)| at).collect();
        // The newest link counts; those of others stay only where there is room.
        let new = addresses.iter().filter(|at| !self.addresses.contains(at)).cloned();
        let old = known.into_iter().filter(|at| !addresses.contains(at));
        let all: Vec<Address> = new.chain(old).take(MAX_ADDRESSES).collect();
        self.options.retain(|option| value_of(Origin::Link, option).is_none());
        for address in all {
            self.drop_option(Origin::Seen, &address);
            self.options.push(format!("{}={address}", Origin::Link.as_str()));
        }
    }

    /// Changes the addresses as the user types it behind `address`: `=A,B`, `+=A` or `-=A`; `None` for anything else.
    pub fn change_addresses(&mut self, typed: &str) -> Option<Result<(), String>> {
        let (how, list) = typed.split_once('=')?;
        let parse = |text: &str| {
            let why = |bad: BadAddress| format!("{} is no address: {}", text::clean_line(text), bad.0);
            text.parse().map_err(why)
        };
        let parsed =
            list.split(',').filter(|_| !list.is_empty()).map(parse).collect::<Result<Vec<Address>, _>>();
        let addresses = match parsed {
            Ok(addresses) => addresses,
            Err(why) => return Some(Err(why)),
        };
        Some(match how {
            "" => self.set_addresses(addresses),
            "+" => self.add_addresses(addresses),
            "-" => self.remove_addresses(&addresses),
            _ => return None,
        })
    }

    /// Puts addresses in front of those that are known. Those that the user gave are not dropped for others.
    fn add_addresses(&mut self, addresses: Vec<Address>) -> Result<(), String> {
        let new = addresses.iter().filter(|address| !self.addresses.contains(address)).count();
        if self.addresses.len() + new > MAX_ADDRESSES {
            return Err(format!(
                "{} has at most {MAX_ADDRESSES} addresses; address-= takes one away",
                self.name
            ));
        }
        addresses.into_iter().rev().for_each(|address| self.add_address(address));
        Ok(())
    }

    fn remove_addresses(&mut self, addresses: &[Address]) -> Result<(), String> {
        let unknown =
            addresses.iter().find(|unwanted| !self.all_places().iter().any(|at| at.address == **unwanted));
        if let Some(unknown) = unknown {
            return Err(format!("{unknown} is no address of {}", self.name));
        }
        addresses.iter().for_each(|address| self.remove_address(address));
        Ok(())
    }

    /// Takes an address away that the user does not want any more, wherever it comes from.
    fn remove_address(&mut self, address: &Address) {
        self.addresses.retain(|known| known != address);
        for origin in Origin::OPTIONS {
            self.drop_option(origin, address);
        }
        self.forget_old_places();
    }

    /// Puts the addresses that the user gives in the place of all that are known.
    fn set_addresses(&mut self, addresses: Vec<Address>) -> Result<(), String> {
        let (before, options) = (std::mem::take(&mut self.addresses), self.options.clone());
        if let Err(why) = self.add_addresses(addresses) {
            self.addresses = before;
            return Err(why);
        }
        self.options = options;
        self.forget_learned_places();
        Ok(())
    }

    /// Takes out all that the user did not name.
    fn forget_learned_places(&mut self) {
        self.options
            .retain(|option| Origin::OPTIONS.iter().all(|origin| value_of(*origin, option).is_none()));
        self.forget_old_places();
    }

    /// Takes out all addresses.
    pub fn forget_places(&mut self) {
        self.addresses.clear();
        self.forget_learned_places();
    }

    /// Where the peer was seen last, if that is none of its addresses: it may be another's by now.
    pub fn seen(&self) -> Option<Address> {
        self.dated(Origin::Seen).next().map(|(address, _)| address)
    }

    /// Whether [`Peer::see_at`] would change nothing.
    pub fn is_noted_at(&self, address: &Address) -> bool {
        match self.seen() {
            Some(seen) => seen == *address,
            None => self.knows(address),
        }
    }

    fn knows(&self, address: &Address) -> bool {
        self.addresses.contains(address) || self.dated(Origin::Link).any(|(at, _)| at == *address)
    }

    /// Notes where the peer was just seen, in the place of where it was seen before.
    pub fn see_at(&mut self, address: &Address) {
        if !self.is_noted_at(address) {
            self.options.retain(|option| value_of(Origin::Seen, option).is_none());
            if !self.knows(address) {
                self.options.push(format!("{}={address}@{}", Origin::Seen.as_str(), Day::today()));
            }
            self.forget_old_places();
        }
    }

    /// The version of the peer's ADDRESSES that was noted last; 0 if none was.
    fn told_version(&self) -> u64 {
        let version = self.options.iter().find_map(|option| option.strip_prefix(TOLD_VERSION));
        version.and_then(|version| version.parse().ok()).unwrap_or(0)
    }

    /// Notes where the peer says that it can be dialled, in the place of what it said before. Says whether that changes
    /// anything; the same addresses are noted again after a week.
    pub fn note_told(&mut self, told: &ToldAddresses) -> bool {
        let is_believed = told.version <= now_micros().saturating_add(MAX_AHEAD);
        if !is_believed || told.version < self.told_version() {
            return false;
        }
        let mut new: Vec<(Origin, Address)> = Vec::new();
        for ToldAddress { kind, address } in &told.addresses {
            let is_mapped = matches!(kind, AddressKind::Mapped | AddressKind::Pinhole);
            let origin = if is_mapped { Origin::Mapped } else { Origin::Told };
            if can_be_told(address) && !self.knows(address) && !new.iter().any(|(_, at)| at == address) {
                new.push((origin, address.clone()));
            }
        }
        let today = Day::today();
        let known = || {
            [Origin::Mapped, Origin::Told].into_iter().flat_map(|of| self.dated(of).map(move |at| (of, at)))
        };
        let is_noted = |(origin, address): &(Origin, Address)| {
            known().any(|(of, (at, day))| {
                of == *origin
                    && at == *address
                    && day.is_some_and(|day| (today.0 - day.0).abs() < NOTED_AGAIN)
            })
        };
        if known().count() == new.len() && new.iter().all(is_noted) {
            return false;
        }
        let is_old = |option: &String| {
            option.starts_with(TOLD_VERSION)
                || [Origin::Mapped, Origin::Told].iter().any(|origin| value_of(*origin, option).is_some())
        };
        self.options.retain(|option| !is_old(option));
        let added = new.iter().map(|(origin, address)| format!("{}={address}@{today}", origin.as_str()));
        self.options.extend(added);
        self.options.push(format!("{TOLD_VERSION}{}", told.version));
        self.forget_old_places();
        true
    }

    /// Notes where the peer has proven its key in this network, in the place of where it was before. What is known otherwise
    /// stays what it is.
    pub fn note_near(&mut self, address: &Address) {
        if !self.all_places().iter().any(|place| place.address == *address) {
            self.options.retain(|option| value_of(Origin::Near, option).is_none());
            self.options.push(format!("{}={address}@{}", Origin::Near.as_str(), Day::today()));
        }
    }

    /// Takes out what is over, and when addresses worked that are gone.
    pub fn forget_old_places(&mut self) {
        let today = Day::today();
        for place in self.all_places() {
            if place.is_over(today) {
                self.drop_option(place.origin, &place.address);
            }
        }
        let places = self.all_places();
        let is_gone = |at: &Address| !places.iter().any(|place| place.address == *at);
        let worked = |option: &str| parse_dated(option.strip_prefix(WORKED)?);
        self.options.retain(|option| worked(option).is_none_or(|(at, _)| !is_gone(&at)));
    }

    /// The IP addresses that it is known to have.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.places().into_iter().filter_map(|place| place.address.ip())
    }

    /// Whether the peer can be dialled at all.
    pub fn has_address(&self) -> bool {
        !self.places().is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    fn at(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn peer(rest: &str) -> Peer {
        let key = Seed::from_bytes([1; 32]).static_keys().public();
        Peer::parse(&format!("bob {key} {rest}")).unwrap()
    }

    /// What stands behind the key.
    fn rest(peer: &Peer) -> String {
        peer.line().splitn(3, ' ').nth(2).unwrap().to_owned()
    }

    fn order(peer: &Peer) -> Vec<String> {
        peer.places().iter().map(|place| place.address.to_string()).collect()
    }

    fn day(ago: i64) -> String {
        Day(Day::today().0 - ago).to_string()
    }

    #[test]
    fn days_are_written_as_they_are_read() {
        for text in ["1970-01-01", "2024-02-29", "9999-12-31", "0001-01-01"] {
            assert_eq!(Day::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["", "2024-2-29", "2023-02-29", "2024-13-01", "2024-00-01", "+024-01-01", "2024-01-01-1", "x"]
        {
            assert_eq!(Day::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_worked_last_is_first() {
        let mut peer = peer("a:1,b:1 link=c:1 seen=d:1 told=e:1 files=ask near=f:1");
        assert_eq!(order(&peer), ["d:1", "a:1", "b:1", "c:1", "f:1", "e:1"]);
        for text in ["b:1", "e:1", "b:1"] {
            peer.note_worked(&at(text));
        }
        assert_eq!(order(&peer), ["b:1", "e:1", "d:1", "a:1", "c:1", "f:1"]);
        let today = day(0);
        let expected = format!("near=f:1 worked=b:1@{today} worked=e:1@{today}");
        assert!(rest(&peer).ends_with(&expected), "{}", rest(&peer));
    }

    #[test]
    fn an_address_that_works_all_the_time_is_noted_once_a_week() {
        for (ago, is_late) in [(0, true), (6, true), (7, false), (-7, false)] {
            let places = peer(&format!("a:1 worked=a:1@{}", day(ago))).places();
            assert_eq!(places[0].has_worked_lately(), is_late, "{ago}");
        }
    }

    #[test]
    fn a_link_is_relied_on_where_it_has_worked() {
        let mut peer = peer("a:1");
        peer.add_link(&[at("b:1"), at("a:1"), at("c:1")]);
        assert_eq!(rest(&peer), "a:1 link=b:1 link=c:1");
        peer.note_worked(&at("c:1"));
        assert_eq!(rest(&peer), format!("a:1,c:1 link=b:1 worked=c:1@{}", day(0)));
        let pinned: Vec<bool> = peer.places().iter().map(Place::is_pinned).collect();
        assert_eq!(
            (order(&peer), pinned),
            (vec!["c:1".into(), "a:1".into(), "b:1".into()], vec![true, true, false])
        );
        for number in 0..20 {
            peer.add_link(&[at(&format!("d:{}", number + 1))]);
        }
        assert_eq!(peer.dated(Origin::Link).count(), MAX_ADDRESSES);
    }

    #[test]
    fn only_what_the_user_gave_stays_without_working() {
        let old = day(KEPT + 1);
        let (young, future) = (day(KEPT), day(-400));
        let mut peer = peer(&format!(
            "a:1 link=b:1 seen=c:1@{old} told=d:1@{old} told=e:1@{old} told=f:1@{young} near=g:1 told=h:1@{future} \
             worked=a:1@{old} worked=b:1@{old} worked=d:1@{young} worked=e:1@{old} worked=z:1@{young}"
        ));
        assert_eq!(order(&peer), ["a:1", "b:1", "d:1", "g:1", "f:1", "h:1"]);
        peer.forget_old_places();
        let expected = format!(
            "a:1 link=b:1 told=d:1@{old} told=f:1@{young} near=g:1 told=h:1@{future} worked=a:1@{old} \
             worked=b:1@{old} worked=d:1@{young}"
        );
        assert_eq!(rest(&peer), expected);
    }

    #[test]
    fn what_is_learned_leaves_what_was_given() {
        let mut peer = peer("a:1,b:1");
        peer.see_at(&at("b:1"));
        assert_eq!(rest(&peer), "a:1,b:1");
        for number in 1..20 {
            peer.see_at(&at(&format!("c:{number}")));
            peer.note_worked(&at(&format!("c:{number}")));
        }
        let today = day(0);
        assert_eq!(rest(&peer), format!("a:1,b:1 seen=c:19@{today} worked=c:19@{today}"));
        peer.add_address(at("b:1"));
        peer.add_address(at("c:19"));
        assert_eq!(rest(&peer), format!("c:19,b:1,a:1 worked=c:19@{today}"));
    }

    fn told(version: u64, addresses: &[(AddressKind, &str)]) -> ToldAddresses {
        let addresses = addresses.iter().map(|(kind, text)| ToldAddress { kind: *kind, address: at(text) });
        ToldAddresses { version, addresses: addresses.collect() }
    }

    #[test]
    fn what_a_peer_tells_takes_the_place_of_what_it_told_before() {
        use AddressKind::{Interface, Mapped};
        let (today, mut peer) = (day(0), peer("11.0.0.1:4628 seen=11.0.0.2:4628"));
        let first = [(Mapped, "11.0.0.3:4628"), (Interface, "10.0.0.4:4628"), (Interface, "11.0.0.1:4628")];
        assert!(peer.note_told(&told(5, &first)));
        let expected = format!(
            "11.0.0.1:4628 seen=11.0.0.2:4628 mapped=11.0.0.3:4628@{today} told=10.0.0.4:4628@{today} told-version=5"
        );
        assert_eq!(rest(&peer), expected);
        assert!(!peer.note_told(&told(5, &first)), "nothing is new");
        assert!(!peer.note_told(&told(4, &[])), "it is older");
        let far = now_micros() + 2 * MAX_AHEAD;
        assert!(!peer.note_told(&told(far, &[])), "nothing could follow it");
        peer.note_worked(&at("10.0.0.4:4628"));
        assert!(peer.note_told(&told(6, &[(Interface, "10.0.0.4:4628")])));
        let expected = format!(
            "11.0.0.1:4628 seen=11.0.0.2:4628 worked=10.0.0.4:4628@{today} told=10.0.0.4:4628@{today} told-version=6"
        );
        assert_eq!(rest(&peer), expected);
        assert!(peer.note_told(&told(7, &[])));
        assert_eq!(rest(&peer), "11.0.0.1:4628 seen=11.0.0.2:4628 told-version=7");
    }

    #[test]
    fn an_address_that_is_told_for_weeks_stays() {
        let mut peer = peer(&format!("- told=11.0.0.1:4628@{} told-version=5", day(NOTED_AGAIN)));
        assert!(peer.note_told(&told(5, &[(AddressKind::Interface, "11.0.0.1:4628")])));
        assert_eq!(rest(&peer), format!("- told=11.0.0.1:4628@{} told-version=5", day(0)));
    }

    #[test]
    fn what_may_be_a_trap_is_not_noted() {
        let traps = [
            "127.0.0.1:4628",
            "[::1]:4628",
            "0.0.0.0:4628",
            "[::]:4628",
            "224.0.0.1:4628",
            "[ff02::1]:4628",
            "169.254.1.1:4628",
            "[fe80::1]:4628",
            "[::ffff:127.0.0.1]:4628",
            "11.0.0.1:22",
            "11.0.0.1:1023",
            "host.example:4628",
            "abc.onion:4628",
        ];
        let all: Vec<_> = traps.iter().map(|text| (AddressKind::User, *text)).collect();
        let mut peer = peer("-");
        assert!(!peer.note_told(&told(5, &all)));
        assert!(peer.note_told(&told(6, &[(AddressKind::User, "11.0.0.1:443")])));
    }

    #[test]
    fn one_address_in_the_network_is_noted() {
        let mut peer = peer("a:1 link=b:1 seen=c:1");
        for text in ["a:1", "b:1", "c:1"] {
            peer.note_near(&at(text));
        }
        assert_eq!(rest(&peer), "a:1 link=b:1 seen=c:1");
        let today = day(0);
        for text in ["d:1", "e:1", "e:1"] {
            peer.note_near(&at(text));
            peer.note_worked(&at(text));
        }
        peer.forget_old_places();
        assert_eq!(rest(&peer), format!("a:1 link=b:1 seen=c:1 worked=e:1@{today} near=e:1@{today}"));
        assert_eq!(peer.places_near(Some(&at("a:1"))), peer.places());
        let heard = peer.places_near(Some(&at("f:1")));
        assert_eq!((&heard[0].address, heard[0].origin), (&at("f:1"), Origin::Near));
        assert_eq!(order(&peer)[0], "e:1");
        assert!(!peer.places()[0].is_pinned());
    }

    #[test]
    fn a_user_takes_any_address_away() {
        let mut peer = peer("a:1,b:1 seen=c:1 told=d:1 worked=c:1@2024-01-01 blocked");
        peer.set_option("address-=c:1,b:1").unwrap();
        assert!(peer.set_option("address-=c:1").unwrap_err().contains("c:1 is no address of bob"));
        assert_eq!(rest(&peer), "a:1 told=d:1 blocked");
        peer.set_option("address+=g:1").unwrap();
        assert_eq!(rest(&peer), "g:1,a:1 told=d:1 blocked");
        peer.set_option("address=e:1,f:1").unwrap();
        assert_eq!(rest(&peer), "e:1,f:1 blocked");
        let before = peer.clone();
        for wrong in
            ["address=e:0", "address+=e:2,", "address*=e:2", "address", "addresses=e:2", "address-=x y:1"]
        {
            assert!(peer.set_option(wrong).is_err() && peer == before, "{wrong}");
        }
        let nine: Vec<String> = (1..=9).map(|number| format!("n:{number}")).collect();
        for how in ["=", "+="] {
            let why = peer.set_option(&format!("address{how}{}", nine.join(","))).unwrap_err();
            assert!(why.contains("at most 8") && peer == before, "{why}");
        }
        peer.set_option(&format!("address={}", nine[1..].join(","))).unwrap();
        peer.set_option("address=").unwrap();
        assert_eq!((rest(&peer), peer.has_address()), ("- blocked".to_owned(), false));
    }

    #[test]
    fn at_most_sixteen_are_dialled() {
        let told: Vec<String> = (1..=40).map(|number| format!("told=t:{number}")).collect();
        let peer = peer(&format!("a:1 {}", told.join(" ")));
        assert_eq!(order(&peer).len(), MAX_PLACES);
    }
}
