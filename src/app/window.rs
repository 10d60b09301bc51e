//! The window: what its process has beside the page, whatever shows it: who may come in ([`sessions`]), its own door
//! ([`door`]), and the state that the page shows, told as it changes ([`feed`]).

pub mod door;
pub mod feed;
pub mod sessions;
mod state;

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::app::identity::{self, Endpoint, Proxy};
use crate::app::link::{self, KeepFree, LOG_POLL_INTERVAL, Listen, NodeEvent, NodeLink, Options};
use crate::app::window::feed::Feed;
use crate::app::window::sessions::Sessions;
use crate::app::window::state::{Objects, Overview};
use crate::crypto::keys::PublicKey;
use crate::crypto::random_array;
use crate::error::{Error, Result};
use crate::net::page::PageListener;
use crate::node::threads;
use crate::store::home::Home;
use crate::store::identity::Identity;
use crate::store::log::Report;

/// The port of a window that has none in its settings, and how many after that are tried.
const FIRST_PORT: u16 = 4680;
const PORTS: u16 = 100;
const PORT_SETTING: &str = "window-port";
/// Least time between two looks: many changes at once are told together.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How often it is looked whether a sealed home was opened.
const SEALED_INTERVAL: Duration = Duration::from_millis(100);
/// How long the window goes on looking after the last page has gone: one that is reloaded is back at once.
const LINGER: Duration = Duration::from_secs(5);

/// What the user wants of the window, and of a node in its process.
pub struct Setup {
    /// Where the node listens.
    pub listen: Vec<Listen>,
    /// The room that peers leave free.
    pub keep_free: KeepFree,
    /// Routers are asked to map the port.
    pub map: bool,
    /// The proxy to dial through.
    pub proxy: Option<Proxy>,
    /// What to type in a terminal to have this window again, and to have a node.
    pub commands: (String, String),
    /// What the node tells.
    pub told: Box<dyn Fn(&NodeEvent) + Send + Sync>,
    /// Who is told what is no error.
    pub report: Report,
}

/// The node in this process, if it is here.
#[derive(Default)]
struct OwnNode {
    runs: bool,
    /// Why it could not be started, or has ended.
    trouble: Option<String>,
}

/// The window of one home, for as long as its process runs.
pub struct Window {
    home: Home,
    setup: Setup,
    port: u16,
    /// Who may come in.
    pub sessions: Sessions,
    /// The state, as pages follow it.
    pub feed: Arc<Feed>,
    /// None while the home is sealed.
    own: OnceLock<Endpoint>,
    /// One who unseals at a time.
    unsealing: Mutex<()>,
    node: Mutex<OwnNode>,
    /// There while somebody looks, who can answer offers.
    link: Mutex<Option<NodeLink>>,
}

/// Nothing here is left half changed by a thread that panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the home has a passphrase that nobody here knows: neither a node nor a descriptor gives it.
pub fn is_sealed(home: &Home) -> Result<bool> {
    let found = crate::store::identity::load_if_there(&home.identity_path())?;
    let has_descriptor = std::env::var_os("EGOAT_PASSPHRASE_FD").is_some();
    Ok(matches!(found, Some(Identity::Sealed(_))) && !has_descriptor && link::unsealed(home).is_none())
}

/// Listens for browsers: at the port that the user names; else at that of the settings; else at the first free one, which the
/// settings have from then on. The origin of a page has the port in it, and with another one a browser forgets drafts and
/// permissions.
pub fn listen(home: &Home, given: Option<u16>) -> Result<PageListener> {
    let failed = |port: u16, cause: std::io::Error| Error::Failed {
        what: format!("cannot listen at 127.0.0.1:{port}: {cause}"),
        hint: Some("`egoat window --port N` takes another port".into()),
    };
    if let Some(port) = given {
        return PageListener::open(port).map_err(|cause| failed(port, cause));
    }
    let noted = home.setting(PORT_SETTING)?.and_then(|port| port.parse().ok());
    let first = noted.unwrap_or(FIRST_PORT);
    for port in (first..first.saturating_add(PORTS)).chain([0]) {
        match PageListener::open(port) {
            Ok(listener) => {
                let port = listener.port().map_err(|cause| failed(port, cause))?;
                if noted != Some(port) {
                    home.set_setting(PORT_SETTING, &port.to_string())?;
                }
                return Ok(listener);
            }
            Err(cause) if port == 0 => return Err(failed(first, cause)),
            Err(_) => {}
        }
    }
    Err(Error::failed("no port is free"))
}

impl Window {
    /// A window of a home that is not opened yet, which listens at the port.
    pub fn new(home: Home, setup: Setup, port: u16) -> Arc<Window> {
        Arc::new(Window {
            home,
            setup,
            port,
            sessions: Sessions::default(),
            feed: Arc::new(Feed::new(u32::from_be_bytes(random_array()))),
            own: OnceLock::new(),
            unsealing: Mutex::default(),
            node: Mutex::default(),
            link: Mutex::default(),
        })
    }

    /// Starts the thread that looks. A home that is open by now is never told to be sealed.
    pub fn watch(self: &Arc<Window>) -> Result<()> {
        let window = Arc::clone(self);
        threads::spawn("look", move || window.look())
    }

    /// The home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The room that uploads leave free, as peers do.
    pub fn keep_free(&self) -> KeepFree {
        self.setup.keep_free
    }

    /// The home as its owner has opened it; an error while it is sealed.
    pub fn own(&self) -> Result<&Endpoint> {
        self.own.get().ok_or_else(|| Error::failed("this home is sealed with a passphrase"))
    }

    /// Opens the home with a passphrase, and starts the node.
    pub fn unlock(self: &Arc<Window>, passphrase: &str) -> Result<()> {
        let _one = locked(&self.unsealing);
        if self.own.get().is_some() {
            return Ok(());
        }
        let given = || Ok(passphrase.to_owned());
        let report = Arc::clone(&self.setup.report);
        self.begin(identity::unlock(self.home.clone(), self.setup.proxy.clone(), &given, report)?);
        Ok(())
    }

    /// Takes the home that was opened, and becomes its node unless one runs. A node that cannot be started is told to the page:
    /// the logs can be read all the same.
    pub fn begin(self: &Arc<Window>, own: Endpoint) {
        if let Err(error) = self.start_node(&own) {
            locked(&self.node).trouble = Some(error.to_string());
            (self.setup.told)(&NodeEvent::Fatal(error));
        }
        // The first one stays.
        let _ = self.own.set(own);
        self.feed.wake();
    }

    fn start_node(self: &Arc<Window>, own: &Endpoint) -> Result<()> {
        if link::node(own)?.is_some() {
            return Ok(());
        }
        let usual = link::default_options(self.setup.listen.clone(), own.home().downloads(None)?);
        let events =
            link::start(own, Options { keep_free: self.setup.keep_free, map: self.setup.map, ..usual })?;
        locked(&self.node).runs = true;
        let window = Arc::clone(self);
        threads::spawn("node", move || window.hear(&events))
    }

    fn hear(&self, events: &Receiver<NodeEvent>) {
        for event in events {
            if let NodeEvent::Fatal(error) = &event {
                *locked(&self.node) = OwnNode { runs: false, trouble: Some(error.to_string()) };
            }
            (self.setup.told)(&event);
        }
    }

    /// Routers are told that the node ends, if it was here.
    pub fn leave(&self) {
        if let Some(own) = self.own.get().filter(|_| locked(&self.node).runs) {
            link::withdraw_mapping(own);
        }
    }

    /// Rings for the node about a peer.
    pub fn ring(&self, peer: &PublicKey) -> Result<()> {
        let link = locked(&self.link).clone();
        match link {
            Some(link) => link.ring(peer),
            None => drop(link::ring(self.own()?, Some(peer))?),
        }
        Ok(())
    }

    /// Has the thread that looks do so now: something was changed here.
    pub fn nudge(&self) {
        let link = locked(&self.link).clone();
        link.into_iter().for_each(|link| link.nudge());
    }

    /// The link to the node, for what is on its way.
    pub fn link(&self) -> Result<NodeLink> {
        match locked(&self.link).clone() {
            Some(link) => Ok(link),
            None => NodeLink::open(&self.home, false),
        }
    }

    /// Looks for as long as pages follow, and tells them what is new.
    fn look(&self) {
        let mut overview = None;
        loop {
            if !self.feed.is_followed() && self.feed.unseen() > LINGER {
                // Without a page nobody can answer offers: the node is to know.
                *locked(&self.link) = None;
                self.feed.rest();
                self.feed.wait_for_follower(Duration::from_secs(60));
                continue;
            }
            let begun = Instant::now();
            // A shortage of descriptors, say, passes.
            if let Err(error) = self.look_once(&mut overview) {
                (self.setup.report)(&error.to_string());
                thread::sleep(LOG_POLL_INTERVAL);
            }
            thread::sleep(LOOK_INTERVAL.saturating_sub(begun.elapsed()));
            let link = locked(&self.link).clone();
            match link {
                Some(link) => {
                    link.wait(LOG_POLL_INTERVAL).unwrap_or_else(|_| thread::sleep(LOG_POLL_INTERVAL))
                }
                // It may be unsealed any time.
                None => thread::sleep(SEALED_INTERVAL),
            }
        }
    }

    /// The link to the node, opened now if it is not.
    fn asking_link(&self, node_runs: bool) -> Result<NodeLink> {
        if let Some(link) = locked(&self.link).clone() {
            return Ok(link);
        }
        let link = NodeLink::open(&self.home, true)?;
        if node_runs {
            // A page is not to see first that nobody is here. A node that does not answer is seen as one that says nothing.
            let _ = link.whole();
        }
        Ok(locked(&self.link).insert(link).clone())
    }

    fn look_once(&self, overview: &mut Option<Overview>) -> Result<()> {
        let mut objects = Objects::default();
        let own = self.own.get();
        if let Some(own) = own {
            let overview = overview.get_or_insert_with(|| Overview::new(own));
            let node = link::node(own)?;
            let link = self.asking_link(node.is_some())?;
            let live = link.live();
            overview.look(&live, node.as_ref(), &mut objects)?;
            let (is_own, trouble) = {
                let own_node = locked(&self.node);
                (own_node.runs, own_node.trouble.clone())
            };
            objects.add_first("node", state::node_object(node.as_ref(), is_own, trouble.as_deref()));
        }
        let has_peers = overview.as_ref().is_some_and(Overview::has_peers);
        let (command, serve) = &self.setup.commands;
        let object = state::window_object(own, &self.home, self.port, (command, serve), has_peers);
        objects.add_first("window", object);
        self.feed.publish(objects);
        Ok(())
    }
}
