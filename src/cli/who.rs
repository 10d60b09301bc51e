//! PEER on the command line: finds who is meant, and asks about the fingerprint of a node that is not known yet.

use std::time::Duration;

use crate::app::contacts::reach::{self, Newcomers, PeerChange, Reached, Trust};
use crate::app::retry::Patience;
use crate::app::{Address, Endpoint, Peer, PublicKey};
use crate::cli::digits;
use crate::error::{Error, Result};
use crate::ui::output::{self, Output};

/// Finds the peer, and pairs with it if it is not saved yet. With `accept_new`, nobody is asked about a fingerprint.
pub fn find(own: &Endpoint, out: Output, given: &str, accept_new: bool, wait: Duration) -> Result<Reached> {
    let mut newcomer = Newcomer::new(own, out, accept_new);
    let reached = reach::reach(own, given, Patience::new(wait), &mut newcomer, |error| again(out, error));
    reached.inspect(|reached| tell(out, reached))
}

/// The same for files, which a one-off receiver takes.
pub fn find_receiver(
    own: &Endpoint,
    out: Output,
    given: &str,
    accept_new: bool,
    patience: Patience,
) -> Result<Reached> {
    let mut newcomer = Newcomer::new(own, out, accept_new);
    let reached = reach::reach_for_files(own, given, patience, &mut newcomer, |error| again(out, error));
    reached.inspect(|reached| tell(out, reached))
}

/// Says why it is tried again.
pub fn again(out: Output, error: &Error) {
    match error {
        Error::ChangedKey { .. } => output::warn(&format!("{error}; trying its addresses again")),
        _ => out.note(&format!("{error}; trying again")),
    }
}

/// Asks about a node that is known by its address alone.
pub struct Newcomer<'a> {
    own: &'a Endpoint,
    out: Output,
    accept_new: bool,
    /// What to call it.
    name: Option<String>,
    /// The fingerprint to which the user has said yes, which is asked about once.
    trusted: Option<String>,
}

impl<'a> Newcomer<'a> {
    /// With `accept_new`, nobody is asked.
    pub fn new(own: &'a Endpoint, out: Output, accept_new: bool) -> Newcomer<'a> {
        Newcomer { own, out, accept_new, name: None, trusted: None }
    }

    /// The same with a name for it.
    pub fn called(self, name: Option<String>) -> Newcomer<'a> {
        Newcomer { name, ..self }
    }
}

impl Newcomers for Newcomer<'_> {
    fn meet(&mut self, key: PublicKey, at: &Address) -> Result<Option<Peer>> {
        if self.accept_new || self.trusted.is_some() {
            return Ok(None);
        }
        digits::meet(self.own, self.out, key, at, self.name.clone())
    }

    fn trusts(&mut self, at: &Address, fingerprint: &str) -> Trust {
        if self.accept_new || self.trusted.as_deref() == Some(fingerprint) {
            return Trust::Yes;
        }
        let answer = ask(at, fingerprint);
        if matches!(answer, Trust::Yes) {
            self.trusted = Some(fingerprint.to_owned());
        }
        answer
    }
}

fn tell(out: Output, reached: &Reached) {
    let peer = &reached.peer;
    match &reached.change {
        PeerChange::None | PeerChange::OneOff => {}
        PeerChange::Paired => out.note(&format!("paired with {}", peer.name)),
        PeerChange::Met(at) => {
            out.note(&format!("{at} is saved as {}, fingerprint {}", peer.name, peer.key.fingerprint()));
        }
    }
}

fn ask(at: &Address, fingerprint: &str) -> Trust {
    let question = format!(
        "{at} is not known yet; its fingerprint is {fingerprint}\n    is that the right one? [yes/no]"
    );
    match output::ask(&question).as_deref() {
        Some("yes" | "y") => Trust::Yes,
        Some(_) => Trust::No,
        None => Trust::NobodyToAsk,
    }
}
