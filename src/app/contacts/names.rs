//! Which saved peer a typed name means: that of the name, else the one whose name differs in capitals only, else the only
//! one whose name begins so.

use crate::store::peers::Peer;
use crate::text::spelling::nearest;

/// Peers that are named as possible ones; more are no help.
const LISTED: usize = 5;

/// The peers that a typed name can mean.
pub enum NameMatch<'p> {
    /// This peer.
    One(&'p Peer),
    /// Any of these.
    Several(Vec<&'p Peer>),
    /// Nobody; perhaps this name was meant.
    Nobody(Option<&'p str>),
}

/// Finds the peer that is meant.
pub fn find<'p>(peers: impl IntoIterator<Item = &'p Peer>, typed: &str) -> NameMatch<'p> {
    let peers: Vec<&Peer> = peers.into_iter().collect();
    if let Some(peer) = peers.iter().find(|peer| peer.name == typed) {
        return NameMatch::One(peer);
    }
    let small = typed.to_lowercase();
    let fits = |is_meant: fn(&str, &str) -> bool| -> Vec<&'p Peer> {
        let fitting = peers.iter().filter(|peer| is_meant(&peer.name.to_lowercase(), &small));
        fitting.copied().collect()
    };
    let same = fits(|name, small| name == small);
    let found =
        if same.is_empty() && !small.is_empty() { fits(|name, small| name.starts_with(small)) } else { same };
    match found[..] {
        [] => NameMatch::Nobody(nearest(typed, peers.iter().map(|peer| peer.name.as_str()))),
        [one] => NameMatch::One(one),
        _ => NameMatch::Several(found),
    }
}

/// Why a name means nobody when it means several.
pub fn ambiguity(typed: &str, meant: &[&Peer]) -> String {
    let mut names: Vec<&str> = meant.iter().take(LISTED).map(|peer| peer.name.as_str()).collect();
    if meant.len() > LISTED {
        names.push("others");
    }
    let last = names.pop().unwrap_or_default();
    format!("{typed} may be {} or {last}; type more of the name", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    fn peers(names: &[&str]) -> Vec<Peer> {
        let key = |place: usize| Seed::from_bytes([place as u8 + 1; 32]).static_keys().public();
        names
            .iter()
            .enumerate()
            .map(|(place, name)| Peer::new((*name).to_owned(), key(place), vec![]))
            .collect()
    }

    /// The names that are meant, or in brackets the one that perhaps is.
    fn meant(names: &[&str], typed: &str) -> String {
        match find(&peers(names), typed) {
            NameMatch::One(peer) => peer.name.clone(),
            NameMatch::Several(peers) => ambiguity(typed, &peers),
            NameMatch::Nobody(near) => format!("({})", near.unwrap_or_default()),
        }
    }

    #[test]
    fn a_name_is_found_by_its_beginning_and_in_any_case() {
        let names = ["alice", "alan", "Bob", "bob-2", "Zoë"];
        for (typed, expected) in [
            ("alice", "alice"),
            ("Alice", "alice"),
            ("ali", "alice"),
            ("ALA", "alan"),
            ("bob", "Bob"),
            ("bob-", "bob-2"),
            ("ZOË", "Zoë"),
            ("al", "al may be alice or alan; type more of the name"),
            ("a", "a may be alice or alan; type more of the name"),
            ("alcie", "(alice)"),
            ("carol", "()"),
            ("", "()"),
        ] {
            assert_eq!(meant(&names, typed), expected, "{typed}");
        }
        assert_eq!(meant(&["bob", "Bob"], "bob"), "bob");
        assert_eq!(meant(&["bob", "Bob"], "BOB"), "BOB may be bob or Bob; type more of the name");
        let many = ["a1", "a2", "a3", "a4", "a5", "a6"];
        assert_eq!(meant(&many, "a"), "a may be a1, a2, a3, a4, a5 or others; type more of the name");
    }
}
