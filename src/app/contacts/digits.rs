//! Pairing by six digits that two people compare (egoat(1), `invite --nearby` and `join --nearby`): one waits, the other dials.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::app::contacts::found::Found;
use crate::app::contacts::{ensure_unused, save};
use crate::app::link;
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::dial::ask_key;
use crate::net::endpoint::Endpoint;
use crate::net::local;
use crate::node::door::listen::{self, Listen};
use crate::node::event::NodeEvent;
use crate::node::pairing::Profile;
use crate::node::pairing::digits::{self, User};
use crate::node::pairing::found;
use crate::node::pairing::waiting::Waiting;
use crate::node::threads;
use crate::store::node_lock;
use crate::store::peers::{Peer, Peers};
use crate::store::tries;
use crate::wire::address::Address;

pub use crate::node::pairing::digits::{COMPARE_TIME, Question};
pub use crate::node::pairing::waiting::{News, WAIT};

/// A user who waits for somebody.
pub struct Wait {
    /// Reports of the wait, until `Ended`.
    pub news: Receiver<News>,
    /// Where the other one dials.
    pub addresses: Vec<Address>,
    /// The port that was chosen for the node to come.
    pub chosen_port: Option<u16>,
}

/// Begins to wait, for [`WAIT`] or for so long, which then ends a session as well; who comes will be called `name` here. It
/// listens beside a node that runs.
pub fn wait(
    own: &Endpoint,
    listen: Vec<Listen>,
    time: Option<Duration>,
    name: Option<String>,
) -> Result<Wait> {
    if own.is_hidden() && listen.is_empty() {
        return Err(Error::Usage {
            what: "with a proxy, nobody nearby is told of this machine".into(),
            hint: Some(
                "`egoat invite` prints a link, for which --addr names where you can be dialled".into(),
            ),
        });
    }
    tries::ensure_left(own.home())?;
    name.as_ref().map_or(Ok(()), |name| ensure_unused(own, name))?;
    let (port, chosen_port) = node_port(own)?;
    let (tell, news) = mpsc::channel();
    let trouble = tell.clone();
    let saver = own.clone();
    let save = move |key: PublicKey, profile: &Profile| {
        let peer = digits::save_dialler(saver.home(), key, profile, name.clone())?;
        link::ring(&saver, None)?;
        Ok(peer)
    };
    let mut waiting = Waiting::new(time.unwrap_or(WAIT), port, tell, Box::new(save));
    waiting.ends_session = time.is_some();
    let waiting = Arc::new(waiting);
    let options =
        link::Options { waiting: Some(Arc::clone(&waiting)), ..link::default_options(listen, "".into()) };
    let events = link::start(own, options)?;
    let mut listening = Vec::new();
    while let Ok(NodeEvent::Listening(at)) = events.try_recv() {
        listening.push(at);
    }
    if !own.is_hidden() {
        let at = listening.clone();
        threads::spawn("invite", move || found::announce(&waiting, &at))?;
    }
    // A channel that nobody reads would hold the node up.
    threads::spawn("events", move || {
        for event in events {
            if let NodeEvent::Trouble(error) | NodeEvent::Fatal(error) = event {
                let _ = trouble.send(News::Trouble(error));
            }
        }
    })?;
    Ok(Wait { news, addresses: local::reachable_at(&listening), chosen_port })
}

/// The port of the node of this home, or of the one to come; it comes along if it was chosen just now.
fn node_port(own: &Endpoint) -> Result<(u16, Option<u16>)> {
    let running = node_lock::running(own.home())?.unwrap_or_default();
    if let Some(address) = running.listening.first() {
        return Ok((address.port(), None));
    }
    let chosen = listen::choose_port(own.home(), own.is_hidden())?;
    let listens = listen::of_home(own.home())?;
    Ok((listens.first().and_then(Listen::port).unwrap_or(0), chosen))
}

/// Listens for somebody who waits in the same network; gives its key, and where it answers.
pub fn find(own: &Endpoint) -> Result<(PublicKey, Address)> {
    if own.is_hidden() {
        return Err(Error::Usage {
            what: "with a proxy, this machine looks for nobody nearby".into(),
            hint: Some("`egoat join` takes a link, or HOST:PORT".into()),
        });
    }
    tries::ensure_left(own.home())?;
    let mut failed = None;
    for place in found::listen(WAIT)? {
        match ask_key(own, &place) {
            Ok(key) if key == own.key() => failed = Some(Error::usage("only this node itself waits nearby")),
            Ok(key) => {
                Peers::load(own.home())?.by_key(&key).map_or(Ok(()), Peer::ensure_not_blocked)?;
                return Ok((key, place));
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(|| Error::failed("nobody waits nearby")))
}

/// Dials the node with this key. [`Error::NobodyWaits`] says that nobody waits there.
pub fn dial(
    own: &Endpoint,
    key: PublicKey,
    at: &Address,
    is_typed: bool,
    name: Option<String>,
) -> Receiver<News> {
    let (tell, news) = mpsc::channel();
    let (own, at, failed) = (own.clone(), at.clone(), tell.clone());
    let work = move || {
        let user = User {
            // The front-end may be gone. The question is dropped then, and that counts as a no.
            ask: &|question| drop(tell.send(News::Compare(question))),
            save: &|key, profile| save_acceptor(&own, key, (&at, is_typed), profile, name.clone()),
            until: Deadline::after(COMPARE_TIME),
        };
        let _ = tell.send(News::Ended(digits::dial(&own, key, &at, &user).map(Box::new)));
    };
    if let Err(error) = threads::spawn("digits", work) {
        let _ = failed.send(News::Ended(Err(error)));
    }
    news
}

/// Saves who was dialled. The port of a command that waits is gone in a moment, and only that of its node is kept.
fn save_acceptor(
    own: &Endpoint,
    key: PublicKey,
    (at, is_typed): (&Address, bool),
    profile: &Profile,
    name: Option<String>,
) -> Result<Peer> {
    let is_passing = profile.is_one_off && !profile.is_hidden() && profile.port != at.port();
    let given = if is_passing { &[][..] } else { std::slice::from_ref(at) };
    let found = Found { given, is_typed, proven_at: Some(at), profile: Some(profile) };
    save(own, key, &found, name.or_else(|| profile.name.clone()))
}
