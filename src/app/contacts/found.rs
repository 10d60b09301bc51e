//! Which addresses are saved of a node that was paired with: those that the user gave, as far as they are the node's. An
//! `egoat receive` is paired with as well, at a port that is gone when it ends.

use crate::node::pairing::Profile;
use crate::store::peers::Peer;
use crate::wire::address::{Address, DEFAULT_PORT};

/// How a node was found.
pub struct Found<'a> {
    /// Where the user says that it is.
    pub given: &'a [Address],
    /// The user named the addresses for this key, and not a link.
    pub is_typed: bool,
    /// Where it has proven its key just now, unless nobody dialled.
    pub proven_at: Option<&'a Address>,
    /// The node's profile; `None` if the node refused the connection.
    pub profile: Option<&'a Profile>,
}

impl<'a> Found<'a> {
    /// By a link that nobody has dialled yet.
    pub fn by_link(given: &'a [Address]) -> Found<'a> {
        Found { given, is_typed: false, proven_at: None, profile: None }
    }

    /// Has the peer dialled where it was found, for as long as this process runs.
    pub fn dial_first(&self, peer: &mut Peer) {
        peer.add_link(self.given);
        self.proven_at.into_iter().for_each(|at| peer.note_worked(at));
    }

    /// Has the peer dialled where it was found and nowhere else, for as long as this process runs: at its other addresses its
    /// node may answer, which takes files for another place.
    pub fn dial_there_alone(&self, peer: &mut Peer) {
        peer.forget_places();
        self.dial_first(peer);
    }

    /// Notes the addresses.
    pub fn note(&self, peer: &mut Peer) {
        let node_port = self.profile.filter(|profile| !profile.is_hidden()).map(|profile| profile.port);
        if node_port == Some(0) {
            // No node runs there now. One that is started without a word will have the default port.
            let usual = self.given.iter().filter(|address| address.port() == DEFAULT_PORT).cloned();
            return peer.add_link(&usual.collect::<Vec<_>>());
        }
        if self.is_typed {
            self.given.iter().rev().for_each(|address| peer.add_address(address.clone()));
        } else {
            peer.add_link(self.given);
        }
        let Some(proven_at) = self.proven_at else { return };
        if node_port.is_none_or(|port| port == proven_at.port()) {
            return peer.note_worked(proven_at);
        }
        // A router that maps one port to another, or a receiver beside the node: it has to work once more.
        let told = self.profile.and_then(|profile| profile.address.as_ref());
        told.into_iter().for_each(|address| peer.see_at(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    #[test]
    fn a_receiver_beside_a_node_is_dialled_where_it_is() {
        let at = |text: &str| -> Address { text.parse().expect(text) };
        let mut peer =
            Peer::new("bob".into(), Seed::from_bytes([1; 32]).static_keys().public(), vec![at("node:1")]);
        peer.see_at(&at("node:2"));
        let given = [at("receiver:1"), at("receiver:2")];
        let proven_at = at("receiver:2");
        Found { proven_at: Some(&proven_at), ..Found::by_link(&given) }.dial_there_alone(&mut peer);
        let dialled: Vec<Address> = peer.places().into_iter().map(|place| place.address).collect();
        assert_eq!(dialled, [at("receiver:2"), at("receiver:1")]);
    }
}
