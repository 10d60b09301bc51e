//! PEER on the command line: finds who is meant, and asks about the fingerprint of a node that is not known yet.

use std::time::Duration;

use crate::app::contacts::reach::{self, PeerChange, Reached, Trust};
use crate::app::retry::Patience;
use crate::app::{Address, Endpoint};
use crate::error::{Error, Result};
use crate::ui::output::{self, Output};

/// Finds the peer, and pairs with it if it is not saved yet. With `accept_new`, nobody is asked about a fingerprint.
pub fn find(own: &Endpoint, out: Output, given: &str, accept_new: bool, wait: Duration) -> Result<Reached> {
    let reached = reach::reach(own, given, Patience::new(wait), trust(accept_new), |error| again(out, error));
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
    let reached = reach::reach_for_files(own, given, patience, trust(accept_new), |error| again(out, error));
    reached.inspect(|reached| tell(out, reached))
}

/// Says why it is tried again.
pub fn again(out: Output, error: &Error) {
    match error {
        Error::ChangedKey { .. } => output::warn(&format!("{error}; trying its addresses again")),
        _ => out.note(&format!("{error}; trying again")),
    }
}

/// Asks once about each fingerprint.
fn trust(accept_new: bool) -> impl FnMut(&Address, &str) -> Trust {
    let mut trusted = None;
    move |at, fingerprint| {
        if accept_new || trusted.as_deref() == Some(fingerprint) {
            return Trust::Yes;
        }
        let answer = ask(at, fingerprint);
        if matches!(answer, Trust::Yes) {
            trusted = Some(fingerprint.to_owned());
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
