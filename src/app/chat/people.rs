//! People in a chat: how they become peers, what they are called, and what is known of them.

use crate::app::chat::view::View;
use crate::app::chat::{Chat, Question, jobs};
use crate::app::contacts;
use crate::app::identity;
use crate::error::{Error, Result};
use crate::store::peers::Peer;
use crate::text;
use crate::wire::address::Address;
use crate::wire::control::Down;
use crate::wire::link::Link;

impl Chat {
    /// Shows a link for somebody to join with, who will be called `name` here, or else what they call themselves.
    pub fn invite(&mut self, name: Option<&str>, view: &mut dyn View) -> Result<()> {
        let name = name.map(contacts::parse_name).transpose()?;
        let who =
            name.as_deref().map_or("one person".to_owned(), |name| format!("{name}, and to nobody else"));
        let invitation = contacts::invite(&self.own, contacts::INVITE_TTL, name, Vec::new())?;
        view.note(&format!("give this link to {who}; it works once, for a day:"));
        view.link(&invitation.link);
        contacts::who_can_use(&self.own, &invitation.link.addresses).iter().for_each(|who| view.note(who));
        if !invitation.node_runs {
            view.note("no node runs here: start `egoat serve`, so that the link can be used");
        }
        Ok(())
    }

    /// Pairs by somebody's link.
    pub fn join(&mut self, link: Link, view: &mut dyn View) {
        view.note("dialling");
        jobs::join(&self.own, &self.jobs, link);
    }

    /// Has the node wait for somebody with whom the user compares digits.
    pub fn invite_nearby(&mut self, view: &mut dyn View) -> Result<()> {
        if !view.can_answer() {
            return Err(Error::usage("nobody is here to compare the digits"));
        }
        if !self.link.wait_nearby()? {
            return Err(Error::Failed {
                what: "no node runs here".into(),
                hint: Some("start `egoat serve`, or `egoat invite --nearby` in a terminal".into()),
            });
        }
        view.note("waiting for 10 minutes; somebody else types one of these:");
        if !self.own.is_hidden() {
            view.note("    egoat join --nearby");
        }
        for address in identity::addresses(&self.own).unwrap_or_default() {
            view.note(&format!("    egoat join {address}"));
        }
        Ok(())
    }

    /// Looks at what the node tells of that.
    pub(super) fn look_at_pairing(&mut self, view: &mut dyn View) -> Result<()> {
        for news in self.link.pairing_news() {
            match news {
                Down::Digits { name, address, digits } => {
                    self.questions.push_back(Question::OfNode { name, address, digits });
                }
                Down::Paired(key) => {
                    self.look_at_peers(view)?;
                    let peer = self.peers.iter().find(|peer| peer.key == key).cloned();
                    peer.map_or(Ok(()), |peer| self.turn_to(&peer, view))?;
                }
                Down::Unpaired { why, hint } => {
                    self.questions.retain(|question| !matches!(question, Question::OfNode { .. }));
                    let hint = Some(hint).filter(|hint| !hint.is_empty());
                    view.error(&Error::Failed { what: why, hint });
                }
                Down::Tried { is_left: true } => view.note("somebody was there, and left before the digits"),
                Down::Tried { is_left: false } => {
                    view.note("somebody else tried to pair meanwhile, and was refused");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Pairs with somebody in the same network, by six digits.
    pub fn join_nearby(&mut self, view: &mut dyn View) -> Result<()> {
        if !view.can_answer() {
            return Err(Error::usage("nobody is here to compare the digits"));
        }
        view.note("looking in this network for somebody who runs `egoat invite --nearby`");
        jobs::join_nearby(&self.own, &self.jobs);
        Ok(())
    }

    /// Gets to know the node at an address.
    pub fn add(&mut self, at: Address, view: &dyn View) {
        jobs::ask_key(&self.own, &self.jobs, at, view.can_answer());
    }

    /// Lists the strangers who wait.
    pub fn list_requests(&self, view: &mut dyn View) -> Result<()> {
        let requests = contacts::requests(&self.own)?;
        if requests.is_empty() {
            view.note("nobody waits");
        }
        for request in requests {
            let (when, name) = (self.time(request.seconds), text::clean_line(&request.name));
            view.note(&format!("{when}  {name}  {}", request.key.fingerprint()));
        }
        Ok(())
    }

    /// Makes a peer of a stranger: of the only one, or of the one with this fingerprint.
    pub fn admit(&mut self, fingerprint: Option<&str>, view: &mut dyn View) -> Result<()> {
        let peer = contacts::accept(&self.own, fingerprint, None)?;
        self.look_at_peers(view)?;
        self.turn_to(&peer, view)
    }

    /// Gives a peer another name; without an old one, the peer who is talked to.
    pub fn rename(&mut self, old: &str, new: &str, view: &mut dyn View) -> Result<()> {
        let peer = self.named_or_open(old)?;
        contacts::rename(&self.own, &peer.key, &contacts::parse_name(new)?)?;
        self.look_at_peers(view)
    }

    /// Forgets a peer. Somebody who can answer is asked first: the beginning of a name is enough to name another one.
    pub fn forget(&mut self, name: &str, view: &mut dyn View) -> Result<()> {
        let peer = self.named(name)?;
        if view.can_answer() {
            self.questions.push_front(Question::Forget(Box::new(peer)));
            return Ok(());
        }
        self.remove(&peer, view)
    }

    pub(super) fn remove(&mut self, peer: &Peer, view: &mut dyn View) -> Result<()> {
        contacts::remove(&self.own, peer)?;
        view.note(&format!("{} is no peer any more; the history stays", peer.name));
        self.look_at_peers(view)
    }

    /// Shows the safety number, to be compared.
    pub fn verify(&mut self, name: &str, view: &mut dyn View) -> Result<()> {
        let peer = self.named_or_open(name)?;
        let number = contacts::safety_number(&self.own, &peer);
        view.note(&format!("compare this with {}, by voice or in person; it is the same there:", peer.name));
        for half in [&number[..35], &number[36..]] {
            view.note(half);
        }
        let is_verified = peer.is_verified();
        view.note(if is_verified { "it was compared before" } else { "when it is the same: /verified" });
        Ok(())
    }

    /// Notes that the safety number is the same on the other side.
    pub fn verified(&mut self, name: &str, view: &mut dyn View) -> Result<()> {
        let peer = self.named_or_open(name)?;
        contacts::set(&self.own, &peer, &["verified".to_owned()])?;
        view.note(&format!("{} is verified", peer.name));
        self.look_at_peers(view)
    }

    /// Mutes a peer in all chats of this home, or unmutes it.
    pub fn toggle_mute(&mut self, name: &str, view: &mut dyn View) -> Result<()> {
        let peer = self.named_or_open(name)?;
        let rule = if peer.is_muted() { "mute=" } else { "mute=yes" };
        contacts::set(&self.own, &peer, &[rule.to_owned()])?;
        view.note(&match peer.is_muted() {
            true => format!("{} is not muted any more", peer.name),
            false => {
                format!("{} is muted: no bell for its messages and offers; /mute again ends that", peer.name)
            }
        });
        self.look_at_peers(view)
    }

    /// One line for all of it: that the node dials a peer which it has just saved, and is refused once more, is no news.
    pub(super) fn tell_met(
        &mut self,
        peer: &Peer,
        refusal: Option<Error>,
        was_refused: bool,
        view: &mut dyn View,
    ) {
        let name = &peer.name;
        match refusal {
            None => view.note(&format!("paired with {name}, fingerprint {}", peer.key.fingerprint())),
            Some(refusal) => {
                if !was_refused {
                    self.told_refusals.insert(name.clone());
                }
                view.error(&Error::Failed {
                    what: format!("{name} is saved here, but {refusal}"),
                    hint: refusal.hint(),
                });
            }
        }
    }
}
