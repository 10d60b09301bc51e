//! What takes its time, and runs in threads of its own while the chat goes on: meeting nodes, sending files. Each tells the
//! chat when it is done. It leaves out what the chat makes of that.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::dial;
use crate::node::doorbell::Bell;
use crate::node::{outbound, pairing};
use crate::store::home::Own;
use crate::store::peers::{Peer, Peers};
use crate::store::source;
use crate::text;
use crate::transfer::source::Sources;
use crate::transfer::tally::Tally;
use crate::wire::address::Address;
use crate::wire::link::Link;

/// What a job tells.
pub enum News {
    /// A peer is known now, and what else there is to say of it.
    Met(Peer, Option<Error>),
    /// A node has this key; nobody knows whether it is the right one.
    Asked(Address, PublicKey),
    /// Files begin to go out.
    Sending(String, Arc<Tally>),
    /// They are in place on the other side's disk.
    Sent(String, Arc<Tally>),
    /// Something to say.
    Said(String),
    /// It came to nothing.
    Failed(Error),
}

/// Tells the chat; nobody listens when that is gone.
pub type Tell = Arc<dyn Fn(News) + Send + Sync>;

/// Runs `work` in a thread; it tells by what it is given.
fn start(tell: Tell, work: impl FnOnce(&Tell) -> Result<()> + Send + 'static) {
    let there = Arc::clone(&tell);
    let run = move || {
        if let Err(error) = work(&there) {
            there(News::Failed(error));
        }
    };
    if let Err(cause) = thread::Builder::new().name("job".into()).spawn(run) {
        tell(News::Failed(Error::failed(format!("no thread could be started: {cause}"))));
    }
}

/// Pairs by a link.
pub fn join(own: &Own, tell: Tell, link: Link) {
    let own = own.clone();
    start(tell, move |tell| {
        let is_known = Peers::load(own.home())?.by_key(&link.key).is_some();
        let peer = pairing::join(&own, &link, None)?;
        if is_known {
            tell(News::Said(format!("{} was a peer already, and answers", peer.name)));
        }
        tell(News::Met(peer, None));
        Ok(())
    });
}

/// Asks a node for its key.
pub fn ask_key(own: &Own, tell: Tell, at: Address) {
    let own = own.clone();
    start(tell, move |tell| {
        let key = dial::ask_key(&own, &at)?;
        tell(News::Asked(at, key));
        Ok(())
    });
}

/// Makes a peer of the node at an address whose key the user has compared.
pub fn meet(own: &Own, tell: Tell, key: PublicKey, at: Address) {
    let own = own.clone();
    start(tell, move |tell| {
        let (peer, refusal) = pairing::first_contact(&own, key, &at)?;
        tell(News::Met(peer, refusal));
        Ok(())
    });
}

/// Sends files now, or queues them for when the peer can be reached.
pub fn send(own: &Own, tell: Tell, peer: Peer, paths: Vec<PathBuf>) {
    let own = own.clone();
    start(tell, move |tell| {
        let sources = Sources::choose(&paths)?;
        let tally = Arc::new(Tally::new(sources.manifest(), false));
        tell(News::Sending(peer.name.clone(), Arc::clone(&tally)));
        let note = || own.history(peer.conversation())?.store_files(false, &sources.manifest().listing());
        let sent = outbound::dial(&own, &peer)
            .and_then(|session| outbound::send_unless(|| false, session, &sources, &tally, note));
        tally.end();
        match sent {
            Ok(()) => {
                tell(News::Sent(peer.name, tally));
                Ok(())
            }
            Err(_) if tally.check_stop().is_err() => Err(Error::Stopped),
            Err(error) if error.is_passing() => queue(&own, tell, &peer, &paths, &tally.title),
            Err(error) => Err(error),
        }
    });
}

fn queue(own: &Own, tell: &Tell, peer: &Peer, paths: &[PathBuf], title: &str) -> Result<()> {
    let items = paths.iter().map(|path| source::snapshot(path)).collect::<Result<Vec<_>>>()?;
    own.queued_files(&peer.key)?.queue(&items)?;
    Bell::new(own.home())?.ring()?;
    let size = items.iter().map(|item| item.size).sum();
    let said =
        format!("{} cannot be reached now; {title} ({}) goes out when it can", peer.name, text::size(size));
    tell(News::Said(said));
    Ok(())
}
