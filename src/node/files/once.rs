//! A one-off receiver, the node of `egoat receive`: whom it takes files from, and which. Its senders are guests. They are
//! known for as long as the process runs, so that one whose connection was lost may come again; nothing of them is written
//! to the home, so nothing is left when the process is killed.

use std::sync::{Mutex, MutexGuard};

use crate::crypto::keys::{INVITE_ID_LEN, InviteToken, PublicKey};
use crate::error::Result;
use crate::node::pairing::{Admittance, Visitor, refused};
use crate::store::home::Home;
use crate::store::invites::Invite;
use crate::store::peers::{Peer, Peers};
use crate::text;
use crate::transfer::manifest::Manifest;
use crate::transfer::path::NameList;
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
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who used the link.
    used_by: Option<PublicKey>,
    /// Senders who are no saved peers.
    guests: Vec<Peer>,
    /// The transfer that the user has said yes to: the sender may be cut off, and is not asked about again.
    accepted: Option<String>,
}

impl OneOff {
    /// Nobody has come yet.
    pub fn new(
        invite: Option<Invite>,
        from: Option<PublicKey>,
        accept_new: bool,
        allow_dot: bool,
        keeps: bool,
    ) -> OneOff {
        OneOff { invite, from, accept_new, allow_dot, keeps, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_own(&self, id: &[u8; INVITE_ID_LEN]) -> bool {
        self.invite.as_ref().is_some_and(|invite| invite.token.invite_id() == *id)
    }

    /// The link's token, if the id is that of the link.
    pub fn invite_of(&self, id: &[u8; INVITE_ID_LEN]) -> Option<&Invite> {
        self.invite.as_ref().filter(|_| self.is_own(id))
    }

    /// The token of [`OneOff::invite_of`].
    pub fn token(&self, id: &[u8; INVITE_ID_LEN]) -> Option<InviteToken> {
        self.invite_of(id).map(|invite| invite.token.clone())
    }

    /// The feature bits for a dialler with this invite. Those who use another invite of this home pair with its node.
    pub fn features(&self, invite: Option<&[u8; INVITE_ID_LEN]>) -> Features {
        let is_guest = !self.keeps && invite.is_none_or(|id| self.is_own(id));
        if is_guest { Features::ONE_OFF_ACCEPTOR } else { Features::ACCEPTOR }
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

    /// Whether files of this peer or guest are taken.
    pub fn takes_from(&self, key: &PublicKey) -> bool {
        match self.from {
            Some(from) => from == *key,
            None => self.accept_new || self.state().used_by.as_ref() == Some(key),
        }
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
        let uses_link = visitor.invite.is_some_and(|invite| self.is_own(&invite.token.invite_id()));
        let mut state = self.state();
        let is_guest = state.guests.iter().any(|guest| guest.key == key);
        match (uses_link, state.used_by) {
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
    if let Some(address) = &visitor.profile.address {
        guest.see_at(address);
    }
    guest
}

/// The names at the top that begin with a dot, or with a dot after what nobody sees and some disks ignore.
pub fn dot_names(manifest: &Manifest) -> NameList {
    let mut dots = NameList::default();
    for (name, is_dir, _) in manifest.tops() {
        if name.chars().find(|c| text::is_clean(*c)) == Some('.') {
            dots.note(name, &if is_dir { "a directory" } else { "a file" });
        }
    }
    dots
}
