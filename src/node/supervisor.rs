//! The supervisor: starts a node and every long-lived thread of it, then keeps the node in step with the disk. It looks at
//! the peers file and the outboxes when it is woken, and every second in any case.
//!
//! Other files of the node start threads only for one connection or one run of a program, which end with it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::net::local;
use crate::net::loopback::LoopbackListener;
use crate::net::mapping::gateway;
use crate::net::transport::Listener;
use crate::node::context::{Channels, Context, PendingRings};
use crate::node::control;
use crate::node::door::listen::{self, Listen};
use crate::node::door::listener;
use crate::node::event::NodeEvent;
use crate::node::files::{collect, queued};
use crate::node::hooks::runner::Hooks;
use crate::node::mapping;
use crate::node::messages::dialler;
use crate::node::nearby::watch;
use crate::node::options::Options;
use crate::node::outside::MapState;
use crate::node::own_addresses;
use crate::node::roster::{Contact, Roster, Via};
use crate::node::threads::{self, LOG_POLL_INTERVAL};
use crate::store::cancel::cancel;
use crate::store::file;
use crate::store::home::Own;
use crate::store::node_lock::{self, NodeInfo, NodeLock, StartingLock};
use crate::store::presence::{self, Presence};
use crate::store::queued_files::Listed;

/// Capacity of the event channel. When it is full, producers block, so memory stays bounded: each event may carry a
/// message.
const EVENT_CAPACITY: usize = 64;
/// How often the supervisor compares the machine's addresses with those that it saw last.
const NETWORK_INTERVAL: Duration = Duration::from_secs(5);
/// How often a node tries to listen where another program has the port.
const LISTEN_INTERVAL: Duration = Duration::from_secs(3);
/// The shortest time between two reports of refused connections.
const REFUSAL_REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How long to wait for an `egoat say` to release the home. Those of 0.1.0 take up to 20 s; later ones give way at once.
const HOME_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts a node, which runs until the process ends. The channel gives its events; whoever holds the channel must read
/// it, because a full one blocks the node.
///
/// Fails if another node runs on the home, if no socket can be bound, or if a thread cannot be started.
pub fn start(own: Endpoint, mut options: Options) -> Result<Receiver<NodeEvent>> {
    let lock = if options.has_messages() { Some(take_home(&own)?) } else { None };
    let hooks = Hooks::open(&own, std::mem::take(&mut options.programs))?;
    let Bound { listeners, chosen, unbound } = bind(&own, &options)?;
    let addresses = listen::local_addresses(&listeners);
    let control_listener = lock.is_some().then(open_control).transpose()?;
    let (events, receiver) = mpsc::sync_channel(EVENT_CAPACITY);
    for address in &addresses {
        // The receiver is still here.
        let _ = events.send(NodeEvent::Listening(*address));
    }
    if let Some(port) = chosen {
        let _ = events.send(NodeEvent::ChosePort { port, file: own.home().listen_path() });
    }
    for (_, error) in &unbound {
        let _ = events.send(NodeEvent::Trouble(not_listening(error)));
    }
    let unbound = unbound.into_iter().map(|(address, _)| address).collect();
    let control = control_listener.as_ref().map(|(listener, port)| (*port, listener.secret().clone()));
    let mapping = mapping::before(&own, &options, &addresses);
    let info = NodeInfo { control, listening: addresses.clone(), mapping };
    let (turn_away, turned_away) = mpsc::sync_channel(options.limits.pending);
    let (wake, woken) = mpsc::sync_channel(1);
    let channels = Channels { events, turned_away: turn_away, wake, hooks: hooks.as_ref().map(Hooks::bell) };
    let context = Arc::new(Context::new(own, options, channels, lock));
    context.live().listen(&addresses);
    context.outside().set(info.mapping.clone());
    tell_addresses(&context, &addresses);
    let is_published = publish(&context, &info)?;
    context.refresh_roster()?;
    threads::spawn("turned away", move || listener::close_later(&turned_away))?;
    if let Some(hooks) = hooks {
        let context = Arc::clone(&context);
        threads::spawn("hooks", move || hooks.run(&context))?;
    }
    listeners.into_iter().try_for_each(|listener| start_listener(&context, listener))?;
    if let Some((listener, _)) = control_listener {
        let context = Arc::clone(&context);
        threads::spawn("control", move || control::run(&context, listener))?;
    }
    watch::start(&context)?;
    if context.options().map && !context.own().is_hidden() {
        let context = Arc::clone(&context);
        threads::spawn("mapping", move || mapping::run(&context))?;
    }
    let door = Door { info, is_published, unbound, tried: Instant::now() };
    threads::spawn("supervisor", move || Supervisor::new(context, door).run(&woken))?;
    Ok(receiver)
}

/// The sockets of a node that starts.
struct Bound {
    listeners: Vec<Listener>,
    /// The port, if the node has just chosen it for itself.
    chosen: Option<u16>,
    /// What is bound later, and what is in the way.
    unbound: Vec<(Listen, Error)>,
}

fn bind(own: &Endpoint, options: &Options) -> Result<Bound> {
    let is_hidden = own.is_hidden();
    let (listeners, chosen) = match &options.listen[..] {
        [] if options.has_messages() => listen::bind_home(own.home(), is_hidden)?,
        [] => (listen::bind_any(is_hidden)?, None),
        named if options.listens_later => {
            let (listeners, unbound) = listen::bind_free(named, is_hidden);
            return Ok(Bound { listeners, chosen: None, unbound });
        }
        named => (listen::bind(named, is_hidden)?, None),
    };
    Ok(Bound { listeners, chosen, unbound: Vec::new() })
}

fn start_listener(context: &Arc<Context>, listener: Listener) -> Result<()> {
    let context = Arc::clone(context);
    threads::spawn("listener", move || listener::accept(&context, &listener))
}

/// The error for a user whose node goes on, and listens later.
fn not_listening(error: &Error) -> Error {
    let what = format!("{error}; nobody can dial this node there until it can, and it keeps trying");
    Error::Failed { what, hint: error.hint() }
}

/// Tells front-ends how to reach the node. On a full disk that has to wait for room, and peers are served meanwhile; says
/// whether it was done.
fn publish(context: &Context, info: &NodeInfo) -> Result<bool> {
    match context.publish(info) {
        Ok(()) => Ok(true),
        Err(error) if error.is_disk_full() => {
            context.trouble(error);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The node's end of the control connection, and its port.
fn open_control() -> Result<(LoopbackListener, u16)> {
    let opened = LoopbackListener::open().and_then(|listener| listener.port().map(|port| (listener, port)));
    opened.map_err(|cause| Error::Listen { address: "127.0.0.1 for front-ends".into(), cause, hint: None })
}

/// Takes the home for this node. Waits for an `egoat say` that is delivering from it, and fails if another node runs.
fn take_home(own: &Own) -> Result<NodeLock> {
    let deadline = Instant::now() + HOME_TIMEOUT;
    let mut starting = None;
    loop {
        if starting.is_none() {
            starting = StartingLock::take(own.home())?;
        }
        if let Some(lock) = NodeLock::take(own.home())? {
            return Ok(lock);
        }
        if node_lock::running(own.home())?.is_some() {
            return Err(Error::NodeRunning { home: own.home().dir().to_owned() });
        }
        if Instant::now() >= deadline {
            return Err(node_lock::held(own.home())?);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Tells peers where this node can be dialled, unless that is hidden, or gone in a moment. Until the router has answered, they
/// know what they were told last: else each start would take the mapped address back.
fn tell_addresses(context: &Context, listening: &[SocketAddr]) {
    let mapping = context.outside().mapping();
    let is_known = mapping.state != MapState::Trying;
    if is_known && context.options().has_messages() && !context.own().is_hidden() {
        own_addresses::refresh(context.own_addresses(), context.own().home(), listening, &mapping.mapped);
    }
}

struct Supervisor {
    context: Arc<Context>,
    /// Threads that the system has refused so far.
    undialled: Vec<(Arc<Contact>, Via)>,
    followed: FollowedLogs,
    present: HashMap<PublicKey, Presence>,
    /// The machine's addresses and its router, and when they were compared last.
    addresses: (Vec<IpAddr>, Instant),
    /// When refused connections were reported last.
    counted: Option<Instant>,
    door: Door,
}

/// Where the node listens.
struct Door {
    /// What front-ends need to reach the node.
    info: NodeInfo,
    /// They are told; while the disk is full, that has to wait.
    is_published: bool,
    /// What could not be bound yet, and when that was tried last.
    unbound: Vec<Listen>,
    tried: Instant,
}

impl Door {
    /// Front-ends are told what is new of the routers.
    fn note_mapping(&mut self, context: &Context) {
        let mapping = context.outside().mapping();
        if self.info.mapping != mapping {
            self.info.mapping = mapping;
            self.is_published = false;
            tell_addresses(context, &self.info.listening);
        }
    }

    /// Binds what could not be bound before.
    fn open(&mut self, context: &Arc<Context>) {
        if self.unbound.is_empty() || self.tried.elapsed() < LISTEN_INTERVAL {
            return;
        }
        self.tried = Instant::now();
        let (listeners, unbound) = listen::bind_free(&self.unbound, context.own().is_hidden());
        self.unbound = unbound.into_iter().map(|(address, _)| address).collect();
        for listener in listeners {
            let Ok(address) = listener.local_addr() else { continue };
            match start_listener(context, listener) {
                Ok(()) => {
                    self.info.listening.push(address);
                    self.is_published = false;
                    context.live().listen(&self.info.listening);
                    tell_addresses(context, &self.info.listening);
                    context.outside().ring();
                    context.tell(NodeEvent::Listening(address));
                }
                Err(error) => context.trouble(error),
            }
        }
    }
}

impl Supervisor {
    fn new(context: Arc<Context>, door: Door) -> Supervisor {
        let home = context.own().home();
        let mut present = presence::load(home);
        // If an earlier node was killed, nobody knows how long its peers stayed.
        present.values_mut().for_each(|presence| presence.is_here = false);
        // A one-off node may run beside the one whose peers these are.
        if context.options().has_messages() {
            presence::save(home, &present);
        }
        Supervisor {
            context,
            undialled: Vec::new(),
            followed: FollowedLogs::default(),
            present,
            addresses: (network(), Instant::now()),
            counted: None,
            door,
        }
    }

    fn run(mut self, woken: &Receiver<()>) {
        let mut looked: Option<Instant> = None;
        loop {
            let PendingRings { all, peers } = self.context.take_rings();
            if all || looked.is_none_or(|looked| looked.elapsed() >= LOG_POLL_INTERVAL) {
                self.look();
                looked = Some(Instant::now());
            } else {
                self.look_at(&peers);
            }
            // Everything is looked at every second: nobody rings for an editor that changes the peers file.
            let left =
                LOG_POLL_INTERVAL.saturating_sub(looked.map_or(LOG_POLL_INTERVAL, |looked| looked.elapsed()));
            let _ = woken.recv_timeout(left);
        }
    }

    /// Looks at what waits for these peers, for whom a front-end has rung.
    fn look_at(&mut self, peers: &HashSet<PublicKey>) {
        for contact in peers.iter().filter_map(|peer| self.context.roster().get(peer)) {
            self.followed.look_at(&self.context, &contact);
        }
    }

    fn look(&mut self) {
        let context = Arc::clone(&self.context);
        self.door.open(&context);
        self.door.note_mapping(&context);
        if !self.door.is_published {
            self.door.is_published = context.publish(&self.door.info).is_ok();
        }
        match context.refresh_roster() {
            Ok(()) => {}
            // For a moment; the next look retries.
            Err(Error::Disk { cause, .. }) if file::are_too_many_open(&cause) => {}
            Err(error) => context.trouble(error),
        }
        self.start_dialling();
        let is_guest =
            |key: &PublicKey| context.options().once.as_ref().is_some_and(|once| once.guest(key).is_some());
        let is_welcome = |key: &PublicKey| match context.roster().get(key) {
            Some(contact) => contact.is_welcome(),
            None => is_guest(key),
        };
        context.transfers().close_unless(is_welcome);
        self.followed.forget_others(context.roster());
        for contact in context.roster().all() {
            self.followed.look_at(&context, &contact);
            contact.close_cut_off();
            context.tell_presence(&contact);
        }
        self.note_presence();
        self.look_at_network();
        self.report_refusals();
    }

    /// Starts the two threads of each new contact. Those that the system refuses wait for the next look; the peer can
    /// dial us meanwhile.
    fn start_dialling(&mut self) {
        let new = self.context.take_new_contacts().into_iter();
        let new = new.flat_map(|contact| [(Arc::clone(&contact), Via::Push), (contact, Via::Pull)]);
        let waiting: Vec<_> = std::mem::take(&mut self.undialled).into_iter().chain(new).collect();
        for (contact, via) in waiting {
            let (context, dialled) = (Arc::clone(&self.context), Arc::clone(&contact));
            let started = match via {
                Via::Push => threads::spawn("push", move || dialler::push(&context, &dialled)),
                Via::Pull => threads::spawn("pull", move || dialler::pull(&context, &dialled)),
            };
            if started.is_err() {
                self.undialled.push((contact, via));
            }
        }
    }

    /// Tells front-ends who is here, when that has changed.
    fn note_presence(&mut self) {
        let known = self.present.len();
        self.present.retain(|key, _| self.context.roster().get(key).is_some());
        let mut has_changed = self.present.len() != known;
        for contact in self.context.roster().all() {
            let Some(presence) = contact.presence() else { continue };
            let before = self.present.insert(contact.key(), presence);
            // A further connection of a peer that is here already changes nothing that front-ends show.
            has_changed |= before.is_none_or(|before| {
                before.is_here != presence.is_here || (!presence.is_here && before != presence)
            });
        }
        if has_changed {
            presence::save(self.context.own().home(), &self.present);
            self.context.live().look();
        }
    }

    /// Makes every contact retry when the machine has changed networks: a peer that was unreachable may not be now.
    fn look_at_network(&mut self) {
        let (known, compared) = &mut self.addresses;
        if compared.elapsed() > NETWORK_INTERVAL {
            *compared = Instant::now();
            let addresses = network();
            if *known != addresses {
                *known = addresses;
                tell_addresses(&self.context, &self.door.info.listening);
                self.context.roster().all().iter().for_each(|contact| contact.ring());
                self.context.outside().ring();
            }
        }
    }

    /// Reports how many connections were refused, at most once in each [`REFUSAL_REPORT_INTERVAL`], and frees what admission
    /// no longer needs.
    fn report_refusals(&mut self) {
        if self.counted.is_some_and(|counted| counted.elapsed() <= REFUSAL_REPORT_INTERVAL) {
            return;
        }
        self.context.admission().sweep();
        let refusals = self.context.admission().take_refusals();
        if refusals.total() > 0 {
            self.counted = Some(Instant::now());
            self.context.tell(NodeEvent::Refusals(refusals));
        }
    }
}

/// By what a network is told from another one.
fn network() -> Vec<IpAddr> {
    let router = gateway::v4().map(|gateway| gateway.router.ip());
    local::own_ips().into_iter().chain(router).collect()
}

/// What the supervisor has seen of each contact.
#[derive(Default)]
struct FollowedLogs {
    /// Lengths of the outboxes for messages and for files, in bytes.
    lengths: HashMap<PublicKey, (u64, u64)>,
    files: HashMap<PublicKey, Listed>,
    /// Blocked contacts whose queue is cancelled.
    blocked: HashSet<PublicKey>,
}

impl FollowedLogs {
    /// Forgets keys that are not in the roster, and closes the logs that were read for them.
    fn forget_others(&mut self, roster: &Roster) {
        self.lengths.retain(|key, _| roster.get(key).is_some());
        self.files.retain(|key, _| roster.get(key).is_some());
        self.blocked.retain(|key| roster.get(key).is_some());
    }

    /// Wakes the threads that send to a contact when there is something to send or to retry.
    fn look_at(&mut self, context: &Arc<Context>, contact: &Arc<Contact>) {
        let (home, key) = (context.own().home(), contact.key());
        let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
        let lengths = (length(home.outbox_path(&key)), length(home.queued_files_path(&key)));
        let has_grown = self.lengths.insert(key, lengths) != Some(lengths);
        // `egoat outbox retry` asks for a new try by removing the note of the failure.
        let is_wanted = contact.has_failed() && !home.attempts_path(&key).exists();
        if is_wanted {
            contact.set_failed(false);
        }
        if has_grown || is_wanted {
            contact.ring();
        }
        if contact.is_welcome() {
            self.blocked.remove(&key);
        } else if self.blocked.insert(key) || has_grown {
            // A blocked peer has no queue. If cancelling fails, the next change of the queue retries.
            if let Err(error) = cancel(context.own(), &key, &|_| true) {
                context.trouble(error);
            }
        }
        if let Some(turn) = contact.begin_collecting() {
            let (context, contact) = (Arc::clone(context), Arc::clone(contact));
            // If the system refuses the thread, the peer says once more that files wait.
            let _ = threads::spawn("collect", move || collect::run(&context, &contact, &turn));
        }
        let listed = self.files.entry(key).or_insert_with(|| context.own().read_queued_files(&key));
        // Ignore damaged queues here; `egoat outbox` reports them.
        if listed.has_waiting_but(|number| contact.holds_job(number)).unwrap_or(false) {
            send_files(context, contact);
        }
    }
}

/// Starts the thread that sends the files in a contact's queue, unless one runs.
fn send_files(context: &Arc<Context>, contact: &Arc<Contact>) {
    if !contact.is_welcome() {
        return;
    }
    let Some(turn) = contact.begin_files() else { return };
    let (context, contact) = (Arc::clone(context), Arc::clone(contact));
    // If the system refuses the thread, the next look retries.
    let _ = threads::spawn("files", move || queued::run(&context, &contact, &turn));
}
