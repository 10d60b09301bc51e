//! The threads that look for friends in the network. `nearby` calls them while somebody is missing, and hears who answers;
//! `beacons` listens to those who call, answers, and has them dialled.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::keys::PublicKey;
use crate::crypto::random_array;
use crate::error::Result;
use crate::net::local;
use crate::net::multicast::{self, Link, Reader, Speaker};
use crate::node::allowance::{Allowance, Rate};
use crate::node::context::Context;
use crate::node::nearby::hearing::{self, Hearing, MAX_PACKET};
use crate::node::nearby::probe::{self, NEARBY};
use crate::node::threads;
use crate::wire::address::LEAST_PORT;
use crate::wire::beacon::in_turn;

/// How long a node that starts dials before it calls: whoever is where he was needs no call.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How often the interfaces are compared with those that were there before, and whether somebody is missing is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest time between two calls; up to [`JITTER`] is added.
const CALL_INTERVAL: Duration = Duration::from_secs(45);
const JITTER: Duration = Duration::from_secs(30);
/// How long answers are waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Packets that are read, whatever is in them: more wait in the system's buffer, which drops what it has no room for.
const READS: Rate = Rate { at_once: 256, interval: Duration::from_millis(2) };

/// Starts the search for friends, unless the user has turned it off, a proxy hides this node, or it exchanges no messages.
pub fn start(context: &Arc<Context>) -> Result<()> {
    if !context.options().has_messages() || context.own().is_hidden() {
        return Ok(());
    }
    match probe::is_on(context.own().home()) {
        Ok(false) => return Ok(()),
        Ok(true) => {}
        // Whoever has mistyped it wants it off.
        Err(error) => {
            context.trouble(error);
            return Ok(());
        }
    }
    let watch = Watch {
        hearing: Arc::new(Mutex::new(Hearing::new(context.own().keys()))),
        context: Arc::clone(context),
        reader: None,
        links: Vec::new(),
        due: None,
        turn: usize::from(random_array::<1>()[0]),
    };
    threads::spawn(NEARBY, move || watch.run())
}

fn lock(hearing: &Mutex<Hearing>) -> MutexGuard<'_, Hearing> {
    hearing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

struct Watch {
    context: Arc<Context>,
    hearing: Arc<Mutex<Hearing>>,
    /// Where beacons are read, once there is a port for it.
    reader: Option<Reader>,
    /// The interfaces that were there at the last look.
    links: Vec<Link>,
    /// When the next call is due; `None` before the first one.
    due: Option<Instant>,
    /// Counts the calls.
    turn: usize,
}

impl Watch {
    fn run(mut self) {
        thread::sleep(FIRST_WAIT);
        loop {
            self.look();
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn look(&mut self) {
        // A node that only this machine can dial has nothing to tell to a network.
        let listening = self.context.live().listening();
        if local::is_loopback(&listening) {
            return;
        }
        let links = multicast::links();
        let new: Vec<Link> = links.iter().filter(|link| !self.links.contains(link)).copied().collect();
        self.links = links;
        if self.reader.is_none() {
            self.reader = open(&self.context, &self.hearing);
        }
        let missing = self.missing();
        let is_due = self.due.is_none_or(|due| Instant::now() >= due);
        let links = if is_due { self.links.clone() } else { new };
        if let Some(reader) = &self.reader {
            links.iter().for_each(|link| reader.join(*link));
        }
        if !missing.is_empty() && !links.is_empty() {
            if is_due {
                let jitter = JITTER.mul_f64(f64::from(random_array::<1>()[0]) / 255.0);
                self.due = Some(Instant::now() + CALL_INTERVAL + jitter);
            }
            self.call(&links, &listening, &missing);
        }
    }

    /// The peers who are not here, in an order that stays. What is needed to hear them is known from then on.
    fn missing(&self) -> Vec<PublicKey> {
        let mut friends = self.context.roster().all();
        friends.retain(|contact| contact.is_welcome());
        let missing = friends.iter().filter(|contact| !contact.is_here());
        let missing: Vec<PublicKey> = missing.map(|contact| contact.key()).collect();
        let friends: HashSet<PublicKey> = friends.iter().map(|contact| contact.key()).collect();
        let networks = multicast::interface_addresses();
        let unknown = {
            let mut hearing = lock(&self.hearing);
            hearing.forget_unless(&friends);
            hearing.set_networks(networks);
            hearing.unknown(&missing)
        };
        let keys = hearing::agree(self.context.own().keys(), &unknown);
        lock(&self.hearing).add(keys);
        missing
    }

    /// Calls those who are missing, and waits for a moment for who answers.
    fn call(&mut self, links: &[Link], listening: &[SocketAddr], missing: &[PublicKey]) {
        self.turn += 1;
        let mut speakers = Vec::new();
        for speaker in links.iter().copied().filter_map(Speaker::of) {
            if let Some(port) = local::port_at(listening, speaker.ip) {
                speaker.speak(&|| lock(&self.hearing).call(false, port, in_turn(missing, self.turn)));
                speakers.push(speaker);
            }
        }
        multicast::read_answers(&speakers, ANSWER_WAIT, &mut |packet, from| {
            take(&self.context, &self.hearing, packet, from);
        });
    }
}

/// Opens the reader, and starts its threads; `None` while others have all of its ports.
fn open(context: &Arc<Context>, hearing: &Arc<Mutex<Hearing>>) -> Option<Reader> {
    let reader = Reader::open().ok()?;
    for socket in reader.sockets().ok()? {
        let (context, hearing) = (Arc::clone(context), Arc::clone(hearing));
        threads::spawn("beacons", move || read(&context, &hearing, &socket)).ok()?;
    }
    Some(reader)
}

fn read(context: &Context, hearing: &Mutex<Hearing>, socket: &UdpSocket) {
    let (mut buffer, mut reads) = ([0; MAX_PACKET], Allowance::default());
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                if let Some(answer) = take(context, hearing, &buffer[..length], from) {
                    // If it is lost, the sender calls again.
                    let _ = socket.send_to(&answer, from);
                }
            }
            Err(_) => thread::sleep(LOOK_INTERVAL),
        }
        let wait = reads.reserve(READS, Instant::now(), LOOK_INTERVAL);
        thread::sleep(wait.unwrap_or(LOOK_INTERVAL));
    }
}

/// Has whoever sent the beacon dialled, if it is a friend; gives the answer, if one is due.
fn take(context: &Context, hearing: &Mutex<Hearing>, packet: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let (now, ip) = (Instant::now(), from.ip().to_canonical());
    let heard = lock(hearing).hear(packet, ip, now)?;
    if heard.sender != context.own().key() {
        let contact = context.roster().get(&heard.sender).filter(|contact| contact.is_welcome())?;
        if heard.port >= LEAST_PORT {
            let mut at = from;
            at.set_port(heard.port);
            contact.find_near(local::with_named_zone(at.into()));
        }
    }
    let listening = context.live().listening();
    let mut hearing = lock(hearing);
    if !heard.is_ask || !hearing.may_answer(now) {
        return None;
    }
    let port = hearing.beside(ip).and_then(|own| local::port_at(&listening, own)).unwrap_or(0);
    Some(hearing.call(true, port, [heard.sender].iter()))
}
