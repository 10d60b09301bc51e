//! PEER on the command line: finds who is meant, and asks about the fingerprint of a node that is not known yet.

use crate::app::contacts::reach::{self, PeerChange, Reached, Trust};
use crate::app::{Address, Endpoint};
use crate::error::Result;
use crate::ui::output::{self, Output};

/// Finds the peer, and pairs with it if it is not saved yet. With `accept_new`, nobody is asked about a fingerprint.
pub fn find(own: &Endpoint, out: Output, given: &str, accept_new: bool) -> Result<Reached> {
    reach::reach(own, given, trust(accept_new)).inspect(|reached| tell(out, reached))
}

/// The same for files, which a one-off receiver takes.
pub fn find_receiver(own: &Endpoint, out: Output, given: &str, accept_new: bool) -> Result<Reached> {
    reach::reach_for_files(own, given, trust(accept_new)).inspect(|reached| tell(out, reached))
}

fn trust(accept_new: bool) -> impl FnOnce(&Address, &str) -> Trust {
    move |at, fingerprint| if accept_new { Trust::Yes } else { ask(at, fingerprint) }
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
