//! The receiving end of a transfer of files: the offer, the proof of what is here already, the chunks of the session and
//! of its lanes. It leaves out who may send, how much, and where it lands.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::crypto::lane::TICKET_LEN;
use crate::error::{Error, Result};
use crate::net::session::{PING_AFTER, Session};
use crate::net::transport::Closer;
use crate::store::file;
use crate::store::source::MAX_ENTRIES;
use crate::transfer::landing::{Received, TransferId};
use crate::transfer::manifest::Manifest;
use crate::transfer::path::{NameList, count_of_names};
use crate::transfer::staging::Staging;
use crate::transfer::tally::Tally;
use crate::wire::features::Features;
use crate::wire::message::{CHUNK, Declined, Failure, MAX_MANIFEST, Message, PIECE, UNKNOWN};

/// Bytes of all MANIFEST messages of a transfer, and of all transfers that come from a peer at a time: 160 for each of
/// the most entries.
pub const MAX_MANIFESTS: usize = 16 << 20;
/// Chunks that are proven by one hash: 15 MiB.
const RUN: u64 = 64;
/// How often a wait for lanes looks whether to stop.
const STOP_POLL: Duration = Duration::from_secs(1);
const DURING: &str = "receiving files";

/// What a sender wants to send.
pub struct Offer {
    /// Its files.
    pub manifest: Manifest,
    /// How long it is is not known: it is one file, a stream.
    pub is_stream: bool,
    /// What its transfer is called.
    pub id: TransferId,
}

impl Offer {
    /// Bytes of all files, if that is known.
    pub fn bytes(&self) -> Option<u64> {
        (!self.is_stream).then(|| self.manifest.bytes())
    }
}

/// What an offer was, if it was none that can be taken.
enum BadOffer {
    /// Against the rules.
    Wrong(String),
    /// There is no room for it beside others of this peer.
    TooMuch,
}

/// Reads OFFER and MANIFEST, and checks them as a whole; what breaks the rules is declined here. `may_keep` is asked
/// whether there is room for a manifest of so many bytes. `None` when the sender has nothing to offer.
pub fn read_offer(
    mut session: Session,
    may_keep: impl FnMut(usize) -> bool,
) -> Result<Option<(Session, Offer)>> {
    session.take_bodies(MAX_MANIFEST);
    match offered(&mut session, may_keep)? {
        Ok(None) => Ok(None),
        Ok(Some(offer)) => {
            session.put_early_aside()?;
            // Until it is answered, the sender has nothing to say.
            session.skip_ignorable(false);
            Ok(Some((session, offer)))
        }
        Err(BadOffer::Wrong(what)) => {
            let error = session.broken(what);
            session.finish(&Message::Decline(Declined::Manifest))?;
            Err(error)
        }
        Err(BadOffer::TooMuch) => {
            let peer = session.label().to_owned();
            session.finish(&Message::Bye)?;
            Err(Error::failed(format!("{peer} offers too many files at the same time")))
        }
    }
}

/// The inner error is what is wrong with the offer.
fn offered(
    session: &mut Session,
    mut may_keep: impl FnMut(usize) -> bool,
) -> Result<std::result::Result<Option<Offer>, BadOffer>> {
    let wrong = |what: String| Ok(Err(BadOffer::Wrong(what)));
    const DURING: &str = "waiting for an offer";
    let offer = session.read_as(DURING, |message| match message {
        Message::Offer { transfer, entries, bytes } => Some(Ok(Some((transfer, entries, bytes)))),
        Message::Bye => Some(Ok(None)),
        // What is shared is not there any more.
        Message::Failed(failure) => Some(Err(failure)),
        _ => None,
    })?;
    let offer = offer.map_err(|failure| stopped(session, failure))?;
    let Some((transfer, count, bytes)) = offer else { return Ok(Ok(None)) };
    if count == 0 || count > MAX_ENTRIES {
        return wrong(format!("{count} entries"));
    }
    let (mut entries, mut refused) = (Vec::new(), NameList::default());
    let mut length = 0;
    while entries.len() + refused.count() < count as usize {
        let decoded = session.read_as(DURING, |message| match message {
            Message::Manifest(part) => {
                length += part.len();
                Some(Manifest::decode_part(part, &mut entries, &mut refused, count))
            }
            _ => None,
        })?;
        if length > MAX_MANIFESTS {
            return wrong("a manifest of over 16 MiB".into());
        }
        if let Err(malformed) = decoded {
            return wrong(format!("{} in the manifest", malformed.0));
        }
        if !may_keep(length) {
            return Ok(Err(BadOffer::TooMuch));
        }
    }
    if !refused.is_empty() {
        return wrong(format!("{} against the rules:{refused}", count_of_names(refused.count())));
    }
    let is_stream = bytes == UNKNOWN;
    match Manifest::new(entries) {
        Ok(manifest) if is_stream && !is_one_empty_file(&manifest) => {
            wrong("a stream that is not one file".into())
        }
        Ok(manifest) if !is_stream && manifest.bytes() != bytes => wrong("the sizes do not add up".into()),
        Ok(manifest) => {
            let id = TransferId::new(&session.peer(), &transfer, &manifest);
            Ok(Ok(Some(Offer { manifest, is_stream, id })))
        }
        Err(what) => wrong(what),
    }
}

fn is_one_empty_file(manifest: &Manifest) -> bool {
    let [one] = manifest.entries() else { return false };
    !one.is_dir && one.size == 0 && one.path.components().count() == 1
}

/// Files that come in over a session and its lanes.
pub struct Inbound {
    staging: Staging,
    tally: Arc<Tally>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Chunks that were written.
    got: u64,
    /// Lanes that were let in, by a handle to end those that run.
    lanes: Vec<(u8, Option<Closer>)>,
    /// Why it cannot go on.
    failed: Option<Error>,
    /// A lane ended before it brought anything. The sender may not have had it at all, and does without: it was cut, or
    /// somebody repeated how it began. Or it was lost, and the sender sends again what it carried.
    lost: Option<Error>,
    over: bool,
}

/// The part of the chunks that one connection brings.
#[derive(Default)]
struct Share {
    has_begun: bool,
    /// The chunk under way.
    current: Option<Arriving>,
}

/// A chunk of which the first `done` bytes have arrived.
#[derive(Clone, Copy)]
struct Arriving {
    index: u64,
    done: usize,
    /// How many of them count as moved: those that came before another connection had brought the chunk.
    counted: usize,
}

impl Inbound {
    /// Nothing has come yet.
    pub fn new(staging: Staging, tally: Arc<Tally>) -> Inbound {
        Inbound { staging, tally, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Where the files are staged.
    pub fn staging(&self) -> &Staging {
        &self.staging
    }

    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The session's own part, from the proof of what is here to the names of the files. It ends the lanes. `let_in` gives
    /// the number of lanes and their ticket, once TAKE is about to be sent: the ticket's time runs from then.
    pub fn run(
        &self,
        session: &mut Session,
        let_in: impl FnOnce(&Session) -> (u8, [u8; TICKET_LEN]),
    ) -> Result<Vec<Received>> {
        session.stop_by(Some(self.tally.stop_flag()));
        let taken = self.take(session, let_in);
        // From here on it is too late.
        session.stop_by(None);
        // The sender may have gone long before its offer was read.
        let is_in_vain = taken.is_err() && self.state().got == 0;
        let result = taken.and_then(|()| {
            let mut last_sent = Instant::now();
            self.staging.publish(|| sign_of_life(session, &mut last_sent))
        });
        self.end_lanes();
        if is_in_vain {
            self.staging.landing().discard_if_new();
        }
        result
    }

    fn end_lanes(&self) {
        let mut state = self.state();
        state.over = true;
        self.changed.notify_all();
        for closer in state.lanes.drain(..).filter_map(|(_, closer)| closer) {
            closer.close();
        }
    }

    fn take(
        &self,
        session: &mut Session,
        let_in: impl FnOnce(&Session) -> (u8, [u8; TICKET_LEN]),
    ) -> Result<()> {
        session.skip_ignorable(true);
        let has_proven = self.prove(session)?;
        let is_early = !has_proven && session.has_early();
        // The whole transfer is here, but its sender has hung up since: its user cancelled it, so nothing lands.
        if is_early && session.has_input()? {
            return session.read_as(DURING, |_| None);
        }
        let (lanes, ticket) = let_in(session);
        session.send(&Message::Take { lanes, ticket })?;
        if is_early {
            session.take_early()
        } else {
            session.drop_early()
        }
        let expected = self.read_start(session)?;
        session.skip_ignorable(false);
        self.tally.add_lane();
        self.receive_chunks(session, &mut Share::default())?;
        self.wait_for_lanes(session, expected)?;
        if self.staging.is_complete() {
            return Ok(());
        }
        let lost = self.state().lost.take();
        Err(lost.unwrap_or_else(|| session.broken("the end before the last chunk")))
    }

    /// Says what is here from an earlier try, with its hashes: what the sender finds to be the same it leaves out. Says here
    /// whether that is anything.
    fn prove(&self, session: &mut Session) -> Result<bool> {
        let mut has_proven = false;
        for run in self.staging.held(RUN) {
            let Some(hash) = self.staging.hash(&run) else {
                self.staging.forget(&run);
                continue;
            };
            let count = (run.end - run.start) as u32;
            session.send(&Message::Have { first: run.start, count, hash })?;
            has_proven = true;
            self.tally.check(u64::from(count) * CHUNK as u64);
        }
        Ok(has_proven)
    }

    /// How many chunks will come.
    fn read_start(&self, session: &mut Session) -> Result<u64> {
        loop {
            self.tally.check_stop()?;
            let start = session.read_as("waiting for the first chunk", |message| match message {
                Message::Start(chunks) => Some(Some(Ok(chunks))),
                Message::Failed(failure) => Some(Some(Err(failure))),
                Message::Ping => Some(None),
                _ => None,
            })?;
            let chunks = match start {
                Some(Ok(chunks)) => chunks,
                Some(Err(failure)) => return Err(stopped(session, failure)),
                None => continue,
            };
            let total = self.staging.manifest().chunks();
            let Some(held) = total.checked_sub(chunks) else {
                return Err(session.broken("more chunks than there are"));
            };
            self.tally.hold(self.staging.manifest().bytes().min(held * CHUNK as u64));
            return Ok(chunks);
        }
    }

    /// Waits until a whole chunk has arrived; `false` when no more of them are wanted.
    pub fn wait_for_chunk(&self) -> bool {
        let state = self.state();
        let waited =
            self.changed.wait_while(state, |state| state.got == 0 && !state.over && state.failed.is_none());
        let state = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        !state.over && state.failed.is_none()
    }

    /// A lane is let in, before it is told so: what it brings is waited for.
    pub fn expect_lane(&self, index: u8) {
        self.state().lanes.push((index, None));
    }

    /// A lane brings no more, or never came.
    pub fn end_lane(&self, index: u8) {
        self.state().lanes.retain(|(lane, _)| *lane != index);
        self.changed.notify_all();
    }

    /// Keeps a handle to end an expected lane with; `false` when it is too late for the lane, whose connection is closed.
    pub fn keep_closer(&self, index: u8, closer: Closer) -> bool {
        let mut state = self.state();
        if state.over {
            closer.close();
            return false;
        }
        for (_, kept) in state.lanes.iter_mut().filter(|(lane, _)| *lane == index) {
            *kept = Some(closer.clone());
        }
        true
    }

    /// Runs a lane that is expected to its end.
    pub fn run_lane(&self, index: u8, session: &mut Session) {
        if !self.keep_closer(index, session.closer()) {
            return;
        }
        self.tally.add_lane();
        let mut share = Share::default();
        let result = self.receive_chunks(session, &mut share);
        let is_made_up_for = session.features().has(Features::PROGRESS);
        if result.is_ok() {
            // The sender waits for this.
            session.report();
        } else {
            self.tally.take_back(share.current.map_or(0, |current| current.counted as u64));
        }
        let mut state = self.state();
        match result {
            Err(error) if !share.has_begun || (is_made_up_for && matches!(error, Error::Lost { .. })) => {
                state.lost.get_or_insert(error);
            }
            Err(error) if !state.over => {
                state.failed.get_or_insert(error);
            }
            _ => {}
        }
    }

    /// Writes the chunks of one connection until it says that these were all.
    fn receive_chunks(&self, session: &mut Session, share: &mut Share) -> Result<()> {
        session.take_bodies(8 + PIECE);
        let mut writer = self.staging.writer();
        let may_repeat = session.features().has(Features::PROGRESS);
        loop {
            let (at, data) = match session.read(DURING)? {
                Message::Piece { at, data } => (at, data),
                Message::End if share.current.is_none() => return Ok(()),
                Message::Ping if self.goes_on() => continue,
                Message::Ping => return Ok(()),
                Message::Failed(failure) => return Err(stopped(session, failure)),
                other => {
                    let kind = other.kind();
                    return Err(session.unexpected(kind, DURING));
                }
            };
            let begin = |index| Arriving { index, done: 0, counted: 0 };
            let current = share.current.or_else(|| self.staging.begin_chunk(at, may_repeat).map(begin));
            let Some(Arriving { index, done, mut counted }) = current else {
                return Err(session.broken("a chunk that there is not, or that came before"));
            };
            share.has_begun = true;
            let length = self.staging.manifest().chunk_len(index);
            if at != index * CHUNK as u64 + done as u64 || data.len() != PIECE.min(length - done) {
                return Err(session.broken("a piece that does not fit its chunk"));
            }
            share.current = current;
            if !self.staging.is_written(index) {
                writer.write(at, data)?;
                self.tally.add(data.len() as u64);
                counted += data.len();
            }
            let done = done + data.len();
            share.current = (done < length).then_some(Arriving { index, done, counted });
            if share.current.is_none() && !self.end_chunk(index, counted)? {
                return Ok(());
            }
        }
    }

    /// A connection has brought a whole chunk, of which so many bytes count as moved; says whether to go on.
    fn end_chunk(&self, index: u64, counted: usize) -> Result<bool> {
        if self.staging.finish_chunk(index)? {
            self.state().got += 1;
            self.changed.notify_all();
        } else {
            self.tally.take_back(counted as u64);
        }
        Ok(self.goes_on())
    }

    fn goes_on(&self) -> bool {
        let mut state = self.state();
        if let Err(stop) = self.tally.check_stop() {
            state.failed.get_or_insert(stop);
            self.changed.notify_all();
        }
        !state.over && state.failed.is_none()
    }

    /// The session has brought its share; the lanes may need a while for theirs.
    fn wait_for_lanes(&self, session: &mut Session, expected: u64) -> Result<()> {
        let mut last_sent = Instant::now();
        let mut state = self.state();
        loop {
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            if state.got >= expected || state.lanes.is_empty() {
                return Ok(());
            }
            self.tally.check_stop()?;
            let waited = self.changed.wait_timeout(state, STOP_POLL);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
            if last_sent.elapsed() >= PING_AFTER {
                drop(state);
                sign_of_life(session, &mut last_sent)?;
                state = self.state();
            }
        }
    }
}

/// The sender waits, and takes a minute of silence for the end.
fn sign_of_life(session: &mut Session, last_sent: &mut Instant) -> Result<()> {
    if last_sent.elapsed() < PING_AFTER {
        return Ok(());
    }
    *last_sent = Instant::now();
    session.send(&Message::Ping)
}

fn stopped(session: &Session, failure: Failure) -> Error {
    let why = match failure {
        Failure::Source => "a file has changed there, or cannot be read",
        Failure::Stopped => {
            return Error::StoppedThere { peer: session.label().to_owned(), title: "sending".into() };
        }
        _ => "it stopped sending",
    };
    Error::Remote { peer: session.label().to_owned(), why, disk: false }
}

/// What the sender is told of a failure here; `None` when the connection is what failed.
pub fn failure(error: &Error) -> Option<Failure> {
    match error {
        Error::Disk { .. } if error.is_disk_full() => Some(Failure::Full),
        Error::Disk { cause, .. } if file::are_too_many_open(cause) => Some(Failure::OpenFiles),
        Error::Disk { .. } | Error::Failed { .. } | Error::Mistyped { .. } => Some(Failure::Disk),
        Error::Stopped => Some(Failure::Stopped),
        _ => None,
    }
}
