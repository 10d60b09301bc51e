//! What takes its time and runs in a thread of its own while the chat goes on: meeting nodes. Each job tells the
//! chat how it ended.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::app::contacts;
use crate::app::contacts::digits::{self, News, Question};
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::dial;
use crate::net::endpoint::Endpoint;
use crate::node::threads;
use crate::store::peers::Peer;
use crate::wire::address::Address;
use crate::wire::link::Link;

/// An event of a job.
pub enum BackgroundEvent {
    /// A peer is known, and perhaps it refuses us for now.
    Met(Peer, Option<Error>),
    /// The node with this key could not be paired with.
    Unmet(PublicKey, Error),
    /// A node has this key; nobody knows yet whether it is the right one.
    Asked(Address, PublicKey),
    /// Six digits are to be compared.
    Compare(Question),
    /// A line for the user.
    Note(String),
    /// The job failed.
    Failed(Error),
}

/// How a job reaches the chat; nobody listens when that is gone.
pub type EventSender = Arc<dyn Fn(BackgroundEvent) + Send + Sync>;

/// Runs `work` in a thread; a failure is told.
fn start(tell: &EventSender, work: impl FnOnce(&EventSender) -> Result<()> + Send + 'static) {
    let teller = Arc::clone(tell);
    let run = move || {
        if let Err(error) = work(&teller) {
            teller(BackgroundEvent::Failed(error));
        }
    };
    if let Err(error) = threads::spawn("job", run) {
        tell(BackgroundEvent::Failed(error));
    }
}

/// Pairs by a link.
pub fn join(own: &Endpoint, tell: &EventSender, link: Link) {
    let own = own.clone();
    start(tell, move |tell| {
        let is_known = contacts::all(&own)?.iter().any(|peer| peer.key == link.key);
        let peer = contacts::join(&own, &link, None)?;
        if is_known {
            tell(BackgroundEvent::Note(format!("{} was a peer already, and answers", peer.name)));
        }
        tell(BackgroundEvent::Met(peer, None));
        Ok(())
    });
}

/// Pairs with somebody in the same network by six digits.
pub fn join_nearby(own: &Endpoint, tell: &EventSender) {
    let own = own.clone();
    start(tell, move |tell| {
        let (key, at) = digits::find(&own)?;
        let peer = compare(tell, &digits::dial(&own, key, &at, false, None))?;
        tell(BackgroundEvent::Met(peer, None));
        Ok(())
    });
}

/// Has the user compare digits, until it is over.
fn compare(tell: &EventSender, news: &Receiver<News>) -> Result<Peer> {
    for news in news {
        match news {
            News::Compare(question) => tell(BackgroundEvent::Compare(question)),
            News::Ended(ended) => return ended.map(|peer| *peer),
            News::Another | News::Left | News::Trouble(_) => {}
        }
    }
    Err(Error::failed("the other end was not asked"))
}

/// Asks a node for its key. If its user waits for somebody, and one is here who can compare digits, that takes the place of the
/// fingerprint.
pub fn ask_key(own: &Endpoint, tell: &EventSender, at: Address, has_user: bool) {
    let own = own.clone();
    start(tell, move |tell| {
        let key = dial::ask_key(&own, &at)?;
        let is_known = contacts::all(&own)?.iter().any(|peer| peer.key == key);
        if has_user && !is_known && key != own.key() {
            match compare(tell, &digits::dial(&own, key, &at, true, None)) {
                Err(Error::NobodyWaits { .. }) => {}
                paired => {
                    tell(BackgroundEvent::Met(paired?, None));
                    return Ok(());
                }
            }
        }
        tell(BackgroundEvent::Asked(at, key));
        Ok(())
    });
}

/// Makes a peer of the node at an address whose key the user has compared.
pub fn pair_at(own: &Endpoint, tell: &EventSender, key: PublicKey, at: Address) {
    let own = own.clone();
    start(tell, move |tell| {
        tell(match contacts::first_contact(&own, key, &at) {
            Ok((peer, refusal)) => BackgroundEvent::Met(peer, refusal),
            Err(error) => BackgroundEvent::Unmet(key, error),
        });
        Ok(())
    });
}
