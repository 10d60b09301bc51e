//! Sending files to a peer: the session, the threads of its lanes, and the one that reads a pipe. It leaves out whether
//! to try again.

use std::io::{self, Read};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::crypto::lane::TICKET_LEN;
use crate::crypto::random_array;
use crate::error::{Error, Result};
use crate::net::dial::{self, Target};
use crate::net::endpoint::Endpoint;
use crate::net::lane::{self, Parent};
use crate::net::session::Session;
use crate::net::transport::Closer;
use crate::net::transport::route::Route;
use crate::node::files::lanes::Lanes;
use crate::node::pairing::OwnProfile;
use crate::node::threads::{self, LOG_POLL_INTERVAL, STACK};
use crate::store::peers::Peer;
use crate::time::now_micros;
use crate::transfer::manifest::{Entry, Manifest};
use crate::transfer::offer::{self, Answer};
use crate::transfer::path::SafePath;
use crate::transfer::send::{self, Outbound};
use crate::transfer::source::Sources;
use crate::transfer::stream::{self, FileFeed, Spool};
use crate::transfer::tally::Tally;
use crate::wire::address::Address;
use crate::wire::message::{Kind, Message, PIECE, TRANSFER_LEN};

/// Connections of a transfer, its session among them.
pub const MAX_STREAMS: usize = 8;
/// Connections of a transfer for which the user gives no number.
const DEFAULT_STREAMS: usize = 4;
/// A lane is worth its handshake for so many chunks: 4 MiB.
pub const CHUNKS_PER_LANE: u64 = 17;
/// A node with many newcomers closes before it answers; a lane is dialled again after this, and then done without.
pub const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Pieces of a pipe that are read ahead.
pub const AHEAD: usize = 4;

/// Whether a transfer is wanted no more; looked at once a second. Dynamic, as is what notes its end, so that the program has
/// one copy of sending and not one for each who sends.
pub type Unwanted<'a> = &'a mut (dyn FnMut() -> bool + Send);

/// How many connections a transfer has unless the user says.
pub fn default_streams() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(DEFAULT_STREAMS)
}

/// A session for one transfer to a peer.
pub struct Outgoing {
    session: Session,
    /// All of the transfer was sent early.
    is_early: bool,
    collected: Option<Collected>,
}

/// What goes with a session by which the peer collects: the peer dials its lanes.
struct Collected {
    lanes: Arc<Lanes>,
    /// Dropped when the transfer is over.
    _over: Sender<()>,
}

impl Outgoing {
    /// One by which the peer collects. `over` is dropped when the transfer is over.
    pub fn collected(session: Session, lanes: Arc<Lanes>, over: Sender<()>) -> Outgoing {
        Outgoing { session, is_early: false, collected: Some(Collected { lanes, _over: over }) }
    }

    /// The address that was dialled, if it was not the peer who dialled.
    pub fn address(&self) -> Option<Address> {
        self.session.route().map(Route::address)
    }

    /// The session, where nothing is to be sent.
    pub fn into_session(self) -> Session {
        self.session
    }
}

/// Dials the peer, for one transfer: of these files, which go out with the first messages if there are few of them, or of a
/// pipe.
pub fn dial(own: &Endpoint, peer: &Peer, files: Option<&Sources>) -> Result<Outgoing> {
    let profile = OwnProfile::new(own)?;
    let mut is_early = false;
    let session = dial::dial(own, &Target::peer(peer, None), Kind::Files, &mut |session| {
        session.write(&profile.message())?;
        is_early = offer::write_early(session, files)?;
        Ok(())
    })?;
    Ok(Outgoing { session, is_early, collected: None })
}

/// Sends the files over at most `streams` connections, the session among them. When they are in place on the peer's disk,
/// `note` is called, and only then does the peer hear a goodbye: should this process end in between, the next try is told
/// that they are stored, and no second copy is made.
fn send(
    Outgoing { mut session, is_early, collected }: Outgoing,
    sources: &Arc<Sources>,
    streams: usize,
    tally: &Arc<Tally>,
    note: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let session = match offer::offer(&mut session, sources, tally, is_early)? {
        Answer::Taken => send::stored(session)?,
        Answer::Stored => {
            tally.hold(sources.manifest().bytes());
            session
        }
        Answer::Stream(from) => {
            let mut feed = FileFeed::new(sources.reader(), sources.manifest().bytes());
            stream::send(session, &mut feed, from, tally)?
        }
        Answer::Chunks { lanes, ticket, proven } => {
            let outbound = Arc::new(Outbound::new(sources, proven, tally));
            let dialled = match &collected {
                Some(collected) => {
                    collected.lanes.let_collect(&session, &outbound, lanes);
                    0
                }
                None => streams.min(1 + usize::from(lanes)) - 1,
            };
            send_chunks(session, &outbound, dialled, &ticket)?
        }
    };
    note()?;
    // All is done, whether the peer hears this or not.
    let _ = session.close_with(&Message::Bye);
    Ok(())
}

/// Sends the files over at most `streams` connections, and ends when that `is_unwanted`, or stopped by its tally.
pub fn send_unless(
    is_unwanted: Unwanted,
    outgoing: Outgoing,
    sources: &Arc<Sources>,
    streams: usize,
    tally: &Arc<Tally>,
    note: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let closer = outgoing.session.closer();
    watched(is_unwanted, &closer, tally, Box::new(|| send(outgoing, sources, streams, tally, note)))
}

/// Runs a transfer, and ends it when it `is_unwanted`, or stopped by its tally: politely at first, then by ending the
/// session, for a peer who takes nothing. A session whose own address is gone ends at once.
fn watched(
    is_unwanted: Unwanted,
    closer: &Closer,
    tally: &Tally,
    run: Box<dyn FnOnce() -> Result<()> + '_>,
) -> Result<()> {
    let (over, is_over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watch = move || watch(is_unwanted, tally, closer, &is_over);
        // Without a thread, what is on its way arrives.
        let _ = threads::spawn_scoped(scope, "watch", watch);
        let result = run();
        drop(over);
        result
    })
}

fn watch(is_unwanted: Unwanted, tally: &Tally, closer: &Closer, is_over: &Receiver<()>) {
    let goes_on = || is_over.recv_timeout(LOG_POLL_INTERVAL) == Err(RecvTimeoutError::Timeout);
    while goes_on() {
        if closer.is_cut_off() {
            return closer.close();
        }
        if tally.check_stop().is_ok() && !is_unwanted() {
            continue;
        }
        tally.stop();
        if goes_on() {
            closer.close();
        }
        return;
    }
}

/// The session in this thread, and each of at most `lanes` lanes that we dial in one of its own.
fn send_chunks(
    session: Session,
    outbound: &Outbound,
    lanes: usize,
    ticket: &[u8; TICKET_LEN],
) -> Result<Session> {
    let lanes = lanes.min((outbound.chunks() / CHUNKS_PER_LANE) as usize);
    let parent = Parent::of(&session);
    let route = session.route().cloned();
    thread::scope(|scope| {
        for index in 0..lanes as u8 {
            let (parent, route) = (&parent, &route);
            let run = move || {
                let Some(route) = route else { return };
                let dial = || {
                    let keep = |closer| outbound.keep_closer(closer);
                    lane::dial(route, parent, ticket, index, keep).ok()
                };
                let again = || {
                    thread::sleep(RETRY_PAUSE);
                    outbound.has_more().then(dial).flatten()
                };
                // Without it, the others do its work.
                if outbound.wait_until_fast()
                    && let Some(session) = dial().or_else(again)
                {
                    outbound.run_lane(session);
                }
            };
            // One lane fewer, if there can be no thread.
            let _ = threads::spawn_scoped(scope, &format!("lane {index}"), run);
        }
        let result = outbound.run(session);
        // A lane that is still being dialled is not waited for.
        outbound.close_lanes();
        result
    })
}

/// A pipe as a file whose length shows when it ends.
pub struct Pipe {
    manifest: Manifest,
    transfer: [u8; TRANSFER_LEN],
    spool: Spool,
}

impl Pipe {
    /// The manifest of a pipe that the peer gets as a file of this name, from now.
    pub fn manifest(name: SafePath) -> Result<Manifest> {
        let modified = (now_micros() * 1000) as i64;
        let entry = Entry { path: name, is_dir: false, executable: false, modified, size: 0 };
        Manifest::new(vec![entry]).map_err(Error::failed)
    }

    /// One with this manifest, of which the spool keeps what the peer has not stored.
    pub fn new(manifest: Manifest, spool: Spool) -> Pipe {
        Pipe { manifest, transfer: random_array(), spool }
    }

    /// What the peer calls it.
    pub fn name(&self) -> String {
        self.manifest.title()
    }

    /// Sends what comes out of it, from where the peer wants it, unless that `is_unwanted` or stopped. After a lost
    /// connection it goes on over another.
    pub fn send(&mut self, is_unwanted: Unwanted, outgoing: Outgoing, tally: &Tally) -> Result<()> {
        let closer = outgoing.session.closer();
        // What goes with it lasts as long as the session.
        let Outgoing { mut session, is_early: _, collected: _collected } = outgoing;
        let run = || {
            let session = match offer::offer_stream(&mut session, self.transfer, &self.manifest, tally)? {
                Some(from) => stream::send(session, &mut self.spool, from, tally)?,
                None => {
                    let length = self.spool.length();
                    tally.hold(length.ok_or_else(|| session.broken("it has all of a stream that goes on"))?);
                    session
                }
            };
            // As in `send`.
            let _ = session.close_with(&Message::Bye);
            Ok(())
        };
        watched(is_unwanted, &closer, tally, Box::new(run))
    }
}

/// Reads stdin, so that whoever sends it is not held up by a pipe in which nothing comes.
pub fn read_stdin() -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, pieces) = mpsc::sync_channel(AHEAD);
    thread::Builder::new().name("stdin".into()).stack_size(STACK).spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut piece = vec![0; PIECE];
            let read = match stdin.read(&mut piece) {
                Ok(0) => return,
                Ok(length) => {
                    piece.truncate(length);
                    Ok(piece)
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => Err(cause),
            };
            let failed = read.is_err();
            if sender.send(read).is_err() || failed {
                return;
            }
        }
    })?;
    Ok(pieces)
}
