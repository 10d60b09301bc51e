//! Accepting: the listening sockets, a thread per connection, and what each connection is for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::keys::INVITE_ID_LEN;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::handshake::{self, Accepted, HANDSHAKE, Opening};
use crate::net::lane;
use crate::net::session::Session;
use crate::node::admission::Ticket;
use crate::node::dialler::{receive_messages, send_messages};
use crate::node::event::Event;
use crate::node::flow;
use crate::node::inbound;
use crate::node::pairing::{self, Profile, Verdict, Visitor};
use crate::node::roster::{Contact, Via};
use crate::node::running::Shared;
use crate::store::invites;
use crate::store::peers::Peer;
use crate::wire::address::{Address, DEFAULT_PORT};
use crate::wire::message::{Kind, Message, Refusal};

/// After accept() failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);
/// Those who are turned away are left waiting for so long: who comes again at once comes less often so.
const DELAY: Duration = Duration::from_millis(100);

/// A connection, and when it is closed.
pub type TurnedAway = (Instant, Arc<TcpStream>);

/// An address to listen on: like one to dial, but port 0 takes a free one.
#[derive(Clone)]
pub struct Listen {
    host: String,
    port: u16,
}

impl Listen {
    /// `HOST:PORT`, `[V6]:PORT` or `HOST`; `None` for anything else. A bare number is most likely meant for a port, and is
    /// not taken for the IPv4 address that it could be.
    pub fn parse(text: &str) -> Option<Listen> {
        if text.parse::<u32>().is_ok() {
            return None;
        }
        if let Ok(address) = text.parse::<Address>() {
            return Some(Listen { host: address.host().to_owned(), port: address.port() });
        }
        let address: Address = text.strip_suffix(":0")?.parse().ok()?;
        Some(Listen { host: address.host().to_owned(), port: 0 })
    }

    fn bind(&self) -> Result<TcpListener> {
        // A name like "localhost" may mean several addresses; the first that can be bound is taken.
        TcpListener::bind((self.host.as_str(), self.port))
            .map_err(|cause| Error::Listen { address: format!("{} port {}", self.host, self.port), cause })
    }
}

/// Binds what the user names, or the default port on all addresses of both families.
pub fn bind(addresses: &[Listen]) -> Result<Vec<TcpListener>> {
    if addresses.is_empty() {
        bind_everywhere(DEFAULT_PORT)
    } else {
        addresses.iter().map(Listen::bind).collect()
    }
}

/// One dual-stack socket where the system makes them, else one of each family.
pub fn bind_everywhere(port: u16) -> Result<Vec<TcpListener>> {
    let v6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let port =
        v6.as_ref().ok().and_then(|listener| listener.local_addr().ok()).map_or(port, |bound| bound.port());
    let v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    match (v6, v4) {
        (Ok(v6), Ok(v4)) => Ok(vec![v6, v4]),
        // The second is in use by the first: it takes both families.
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(vec![one]),
        (Err(_), Err(cause)) => Err(Error::Listen { address: format!("port {port}"), cause }),
    }
}

/// Accepts for ever.
pub fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        match listener.accept() {
            Ok((stream, from)) => start(shared, stream, from.ip()),
            // The connection was gone before it was ours.
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionAborted => {}
            // EMFILE, ENFILE, ENOMEM: descriptors come back as connections end.
            Err(_) => {
                shared.admission().run_short();
                thread::sleep(PAUSE);
            }
        }
    }
}

/// Closes those who were turned away, each at its time.
pub fn close_later(turned_away: &Receiver<TurnedAway>) {
    for (time, stream) in turned_away {
        thread::sleep(time.saturating_duration_since(Instant::now()));
        drop(stream);
    }
}

/// A thread for the connection; without one, the connection is closed, and nothing more.
fn start(shared: &Arc<Shared>, stream: TcpStream, from: IpAddr) {
    let stream = Arc::new(stream);
    if let Some(ticket) = shared.admission().admit(from, &stream) {
        let (there, its) = (Arc::clone(shared), Arc::clone(&stream));
        if shared.spawn("handshake", move || shake_hands(&there, its, ticket)).is_ok() {
            return;
        }
        shared.admission().run_short();
    }
    // If too many wait for that already, it is closed now.
    let _ = shared.turned_away().try_send((Instant::now() + DELAY, stream));
}

/// A stranger's failed handshake is not worth a word.
fn shake_hands(shared: &Arc<Shared>, stream: Arc<TcpStream>, ticket: Ticket) {
    let opening = match Opening::read(&stream) {
        Ok(opening) => opening,
        Err(error) => return ticket.fail(&error),
    };
    if opening.is_lane() {
        return start_lane(shared, stream, &opening, ticket);
    }
    let find_token = |id: &[u8; INVITE_ID_LEN]| Some(invites::find(shared.own().home(), id).ok()??.token);
    let begun = || ticket.begin();
    let accepted = match handshake::respond(stream, &opening, shared.own().keys(), find_token, begun) {
        Ok(accepted) => accepted,
        // Who only wanted to know the key has it.
        Err(Error::Lost { .. }) if opening.asks_key() => return,
        Err(error) => return ticket.fail(&error),
    };
    // In a thread of its own, if there is one: the handshake has touched a hundred KiB of this one's stack, which an idle
    // connection must not keep.
    let proven = Arc::new(Mutex::new(Some((accepted, ticket))));
    let (there, its) = (Arc::clone(shared), Arc::clone(&proven));
    if shared.spawn("session", move || serve_proven(&there, &its)).is_err() {
        serve_proven(shared, &proven);
    }
}

fn serve_proven(shared: &Arc<Shared>, proven: &Mutex<Option<(Accepted, Ticket)>>) {
    let taken = proven.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    let Some((accepted, ticket)) = taken else { return };
    if let Err(error) = receive(shared, accepted, ticket) {
        shared.trouble(error);
    }
}

/// A lane goes on in this thread: its handshake is small, and it will not be idle.
fn start_lane(shared: &Arc<Shared>, stream: Arc<TcpStream>, opening: &Opening, ticket: Ticket) {
    let transfers = shared.transfers();
    let accepted = lane::respond(stream, opening, |name, index| {
        let name = *name;
        let found = transfers.find(&name, index)?;
        ticket.begin();
        Some((found, move || transfers.claim(&name, index)))
    });
    let (mut session, lane) = match accepted {
        Ok(Some(accepted)) => accepted,
        Ok(None) => return,
        Err(error) => return ticket.fail(&error),
    };
    if let Ok(_seat) = ticket.seat(session.peer()) {
        inbound::serve_lane(&lane, &mut session);
    }
}

/// Receives a proven connection: who it is, and whether it is welcome. What goes wrong before that is known is a stranger's
/// failure, and not worth a word either.
fn receive(shared: &Arc<Shared>, accepted: Accepted, ticket: Ticket) -> Result<()> {
    let Accepted { mut session, kind, invite } = accepted;
    session.set_deadline(Some(Deadline::after(HANDSHAKE)));
    let profile = match Profile::read(&mut session) {
        Ok(profile) => profile,
        Err(error) => {
            ticket.fail(&error);
            return Ok(());
        }
    };
    session.set_deadline(None);
    if invite.is_some() && kind != Kind::Pair {
        ticket.turn_away(false);
        return refuse(session, ticket, Refusal::Unsupported);
    }
    let home = shared.own().home();
    let invite = invite.map(|id| invites::find(home, &id)).transpose()?.flatten();
    let visitor = Visitor { key: session.peer(), profile: &profile, invite: invite.as_ref() };
    let may_note = || shared.admission().may_note();
    let peer = match pairing::judge(home, &visitor, shared.options().accept_new, may_note)? {
        Verdict::Peer(peer) => peer,
        Verdict::Added(peer) => {
            shared.tell(Event::Paired { peer: peer.name.clone(), fingerprint: peer.key.fingerprint() });
            peer
        }
        Verdict::Refused { refusal, noted } => {
            if noted {
                let name = profile.name.unwrap_or_else(|| "stranger".into());
                shared.tell(Event::Request { name, fingerprint: session.peer().fingerprint() });
            }
            ticket.turn_away(refusal == Refusal::Blocked);
            return refuse(session, ticket, refusal);
        }
    };
    session.set_label(&peer.name);
    shared.refresh_roster()?;
    match ticket.seat(peer.key) {
        Ok(_seat) => serve(shared, session, kind, &peer),
        Err(ticket) => refuse(session, ticket, Refusal::Busy),
    }
}

/// Says why not. Its place is taken until it has read that; if it does not care to, nobody else does.
fn refuse(session: Session, ticket: Ticket, why: Refusal) -> Result<()> {
    let _ = session.finish(&Message::Refused(why));
    drop(ticket);
    Ok(())
}

/// Serves a peer's connection.
fn serve(shared: &Arc<Shared>, session: Session, kind: Kind, peer: &Peer) -> Result<()> {
    match kind {
        Kind::Pair => pair(shared, session),
        Kind::Push | Kind::Pull if !shared.options().messages => {
            session.finish(&Message::Refused(Refusal::Unsupported))
        }
        Kind::Push => serve_push(shared, session, peer),
        Kind::Pull => serve_pull(shared, session, peer),
        Kind::Files => inbound::serve(shared, session, peer),
    }
}

fn pair(shared: &Arc<Shared>, mut session: Session) -> Result<()> {
    session.accept()?;
    session.write(&shared.profile()?.answer())?;
    session.set_deadline(Some(Deadline::after(HANDSHAKE)));
    session.flush()?;
    session.read_as("waiting for its goodbye", |message| (message == Message::Bye).then_some(()))
}

fn contact(shared: &Arc<Shared>, peer: &Peer) -> Result<Arc<Contact>> {
    // It was taken out of the peers file just now.
    let gone =
        || Error::Refused { peer: peer.name.clone(), why: "it is no peer any more".into(), hint: None };
    shared.roster().get(&peer.key).ok_or_else(gone)
}

fn serve_push(shared: &Arc<Shared>, mut session: Session, peer: &Peer) -> Result<()> {
    let contact = contact(shared, peer)?;
    let Some(_connection) = shared.connect(&contact, &peer.name, true) else {
        return session.finish(&Message::Refused(Refusal::Busy));
    };
    let _receiving = contact.begin_receiving();
    let held = shared.logged(flow::held(shared.own(), &peer.key))?;
    session.accept()?;
    session.send(&Message::Held(held))?;
    receive_messages(shared, &contact, &mut session)
}

fn serve_pull(shared: &Arc<Shared>, mut session: Session, peer: &Peer) -> Result<()> {
    let contact = contact(shared, peer)?;
    let Some(_connection) = shared.connect(&contact, &peer.name, true) else {
        return session.finish(&Message::Refused(Refusal::Busy));
    };
    let Some(_sending) = contact.begin_sending(Via::Pull, Some(session.closer())) else {
        return session.finish(&Message::Refused(Refusal::Busy));
    };
    shared.reached(&contact)?;
    session.accept()?;
    session.flush()?;
    let held = flow::read_held(&mut session)?;
    send_messages(shared, &contact, &mut session, held, &mut 0)
}

/// Where the listeners are bound.
pub fn local_addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}
