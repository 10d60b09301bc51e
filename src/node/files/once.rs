//! A one-off receiver, the node of `egoat receive`: whom it takes files from, and which. Its senders are guests. They are
//! known for as long as the process runs, so that one whose connection was lost may come again. Of them, nothing is written
//! to the home but the note of a transfer that came in part: by that, its sender may go on at a receiver that is started later.

use std::sync::{Mutex, MutexGuard};

use crate::crypto::keys::{INVITE_ID_LEN, InviteToken, PublicKey};
use crate::error::Result;
use crate::node::pairing::{Admittance, Visitor, refused};
use crate::store::home::Home;
use crate::store::invites::Invite;
use crate::store::partial::{self, Partial};
use crate::store::peers::{Peer, Peers};
use crate::wire::features::Features;
use crate::wire::message::Refusal;

/// With `--accept-new`, this many strangers are let in at the most.
const MAX_GUESTS: usize = 1000;

/// Whom a one-off receiver takes files from, and which.
pub struct OneOff {
    /// That of the link which was printed. It is not among the home's invites: a node that runs beside this one must not
    /// make a peer of the guest.
    pub invite: Option<Invite>,
    /// Files of this peer alone.
    pub from: Option<PublicKey>,
    /// Strangers may send, too.
    pub accept_new: bool,
    /// Names at the top may begin with a dot.
    pub allow_dot: bool,
    /// The sender becomes a peer in the end, and so do we there.
    pub keeps: bool,
    /// A person is there who can be asked, so saved peers may offer, too.
    pub asks: bool,
    /// Senders of transfers that came in part, by the links of receivers that were here before.
    pub earlier: Vec<EarlierGuest>,
    state: Mutex<State>,
}

/// A sender whose transfer came in part.
pub struct EarlierGuest {
    /// The link by which it came.
    invite: Invite,
    key: PublicKey,
    /// The id of the transfer.
    id: String,
}

impl EarlierGuest {
    /// Those of a home.
    pub fn all(home: &Home) -> Result<Vec<EarlierGuest>> {
        let guest = |partial: Partial| {
            let invite = Invite::of_token(InviteToken::from_base32(&partial.token?)?);
            Some(EarlierGuest { invite, key: partial.peer, id: partial.id })
        };
        Ok(partial::all(home)?.into_iter().filter_map(guest).collect())
    }
}

#[derive(Default)]
struct State {
    /// Who used the link.
    used_by: Option<PublicKey>,
    /// Who used links of earlier receivers.
    came_again: Vec<PublicKey>,
    /// Peers of whom the user knows that they want to send files.
    told: Vec<PublicKey>,
    has_told_of_link: bool,
    /// Senders who are no saved peers.
    guests: Vec<Peer>,
    /// The transfer that the user has said yes to: the sender may be cut off, and is not asked about again.
    accepted: Option<String>,
}

impl OneOff {
    /// For the sender with the link, or for this peer alone. Nobody has come yet.
    pub fn new(invite: Option<Invite>, from: Option<PublicKey>) -> OneOff {
        OneOff {
            invite,
            from,
            accept_new: false,
            allow_dot: false,
            keeps: false,
            asks: false,
            earlier: Vec::new(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_own(&self, id: &[u8; INVITE_ID_LEN]) -> bool {
        self.invite.as_ref().is_some_and(|invite| invite.token.invite_id() == *id)
    }

    fn earlier_by(&self, id: [u8; INVITE_ID_LEN]) -> impl Iterator<Item = &EarlierGuest> {
        self.earlier.iter().filter(move |guest| guest.invite.token.invite_id() == id)
    }

    /// The link's token, if the id is that of the link.
    pub fn invite_of(&self, id: &[u8; INVITE_ID_LEN]) -> Option<&Invite> {
        let own = self.invite.as_ref().filter(|_| self.is_own(id));
        own.or_else(|| self.earlier_by(*id).next().map(|guest| &guest.invite))
    }

    /// The token of [`OneOff::invite_of`].
    pub fn token(&self, id: &[u8; INVITE_ID_LEN]) -> Option<InviteToken> {
        self.invite_of(id).map(|invite| invite.token.clone())
    }

    /// The feature bits for a dialler with this invite. Those who use another invite of this home pair with its node.
    pub fn features(&self, invite: Option<&[u8; INVITE_ID_LEN]>) -> Features {
        let is_guest = !self.keeps && invite.is_none_or(|id| self.invite_of(id).is_some());
        if is_guest { Features::ONE_OFF_ACCEPTOR } else { Features::ACCEPTOR }
    }

    /// Lets in somebody who need not come: we have dialled it.
    pub fn let_in(&self, guest: Peer) {
        self.state().guests.push(guest);
    }

    /// The guest with this key.
    pub fn guest(&self, key: &PublicKey) -> Option<Peer> {
        self.state().guests.iter().find(|guest| guest.key == *key).cloned()
    }

    /// Whether this is a guest who is forgotten in the end: its files are not executable, and no history has them.
    pub fn is_passing(&self, key: &PublicKey) -> bool {
        !self.keeps && self.guest(key).is_some()
    }

    /// The guest of this name.
    pub fn guest_named(&self, name: &str) -> Option<Peer> {
        self.state().guests.iter().find(|guest| guest.name == name).cloned()
    }

    /// Whether files of this peer or guest are taken, or asked about.
    pub fn takes_from(&self, key: &PublicKey) -> bool {
        if let Some(from) = self.from {
            return from == *key;
        }
        let is_saved = self.guest(key).is_none();
        let state = self.state();
        let has_link = state.used_by.as_ref() == Some(key) || state.came_again.contains(key);
        self.accept_new || has_link || (is_saved && self.asks)
    }

    /// Whether it may offer this transfer: by the link of an earlier receiver, one that came in part by it.
    pub fn may_offer(&self, key: &PublicKey, id: &str) -> bool {
        let state = self.state();
        let is_bound = state.came_again.contains(key) && state.used_by.as_ref() != Some(key);
        !is_bound || self.earlier.iter().any(|guest| guest.key == *key && guest.id == id)
    }

    /// The token in base32 of the link by which the guest came.
    pub fn token_of(&self, key: &PublicKey) -> Option<String> {
        let has_link = self.state().used_by.as_ref() == Some(key);
        let own = self.invite.as_ref().filter(|_| has_link);
        let earlier = || self.earlier.iter().find(|guest| guest.key == *key).map(|guest| &guest.invite);
        own.or_else(earlier).map(|invite| invite.token.to_base32())
    }

    /// What to tell the user of a saved peer whose files are not taken, once.
    pub fn news_of(&self, peer: &Peer) -> Option<String> {
        let mut state = self.state();
        if state.told.contains(&peer.key) {
            return None;
        }
        state.told.push(peer.key);
        let name = &peer.name;
        Some(format!("{name} wants to send files: give them the link, or run `egoat receive --from {name}`"))
    }

    /// What to tell the user of somebody who has the link of another receiver or an altered one, once.
    pub fn news_of_another_link(&self) -> Option<String> {
        let is_told = std::mem::replace(&mut self.state().has_told_of_link, true);
        (!is_told).then(|| "somebody came with another link than this one: give them this one".into())
    }

    /// Decides about a proven dialler; `None` for those with whom this receiver has nothing to do, who are judged as by
    /// any node.
    pub fn judge(&self, home: &Home, visitor: &Visitor) -> Result<Option<Admittance>> {
        let key = visitor.key;
        let peers = Peers::load(home)?;
        let saved = peers.by_key(&key);
        if saved.is_some_and(Peer::is_blocked) {
            return Ok(Some(refused(Refusal::Blocked)));
        }
        let invite_id = visitor.invite.map(|invite| invite.token.invite_id());
        let uses_link = invite_id.is_some_and(|id| self.is_own(&id));
        let mut earlier = invite_id.into_iter().flat_map(|id| self.earlier_by(id)).peekable();
        let uses_earlier = !uses_link && earlier.peek().is_some();
        let mut state = self.state();
        let is_guest = state.guests.iter().any(|guest| guest.key == key);
        match (uses_link, state.used_by) {
            _ if uses_earlier && !earlier.any(|guest| guest.key == key) => {
                return Ok(Some(refused(Refusal::InviteUsed)));
            }
            _ if uses_earlier => state.came_again.push(key),
            (true, Some(other)) if other != key => return Ok(Some(refused(Refusal::InviteUsed))),
            (true, None) if visitor.invite.is_some_and(Invite::is_expired) => {
                return Ok(Some(refused(Refusal::InviteExpired)));
            }
            (true, _) => state.used_by = Some(key),
            (false, _) if visitor.invite.is_some() => return Ok(None),
            (false, _) if is_guest => {}
            (false, _) if saved.is_none() && self.accept_new && self.from.is_none() => {}
            (false, _) => return Ok(None),
        }
        if let Some(saved) = saved {
            return Ok(Some(Admittance::Peer(saved.clone())));
        }
        if !is_guest {
            if state.guests.len() >= MAX_GUESTS {
                return Ok(Some(refused(Refusal::Busy)));
            }
            let guest = new_guest(&state.guests, peers, visitor);
            state.guests.push(guest);
        }
        Ok(state.guests.iter().find(|guest| guest.key == key).cloned().map(Admittance::Peer))
    }

    /// Whether the user has said yes to this transfer.
    pub fn has_accepted(&self, id: &str) -> bool {
        self.state().accepted.as_deref() == Some(id)
    }

    /// The user says yes to this transfer.
    pub fn accept(&self, id: &str) {
        self.state().accepted = Some(id.to_owned());
    }
}

/// A guest, under a name that neither a peer nor another guest has.
fn new_guest(guests: &[Peer], mut peers: Peers, visitor: &Visitor) -> Peer {
    for guest in guests {
        peers.add(guest.clone());
    }
    let name = visitor.profile.name.clone().unwrap_or_else(|| "guest".into());
    let name = peers.add(Peer::new(name, visitor.key, Vec::new()));
    let mut guest = Peer::new(name, visitor.key, Vec::new());
    // As of any stranger: one that comes by a program of this machine is elsewhere.
    let address = visitor.profile.address.as_ref().filter(|_| !visitor.profile.is_from_here);
    address.into_iter().for_each(|address| guest.see_at(address));
    guest
}
