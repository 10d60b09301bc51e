//! Files: send them now or when the peer can be reached, send what comes out of a pipe, receive a transfer, and deal with
//! transfers that arrived in part.

pub mod partial;
pub mod receive;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::app::link;
use crate::crypto::random_array;
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::net::transport::route::Route;
use crate::node::files::outbound;
use crate::store::home::Own;
use crate::store::own_files::OwnFiles;
use crate::store::peers::{Peer, Peers};
use crate::store::queued_files::Stop;
use crate::store::sent::SentNote;
use crate::text;
use crate::time::now_micros;
use crate::transfer::landing::TransferId;
use crate::transfer::manifest::{Entry, Manifest};
use crate::transfer::path::SafePath;
use crate::transfer::source::Wanted;
use crate::transfer::stream::Spool;
use crate::wire::address::Address;
use crate::wire::message::{TRANSFER_LEN, UNKNOWN};

pub use crate::node::files::outbound::{MAX_STREAMS, default_streams};
pub use crate::store::queued_files::Job;
pub use crate::store::source::Item;
pub use crate::transfer::source::Sources;
pub use crate::transfer::tally::{Tally, per_second};

/// How long to wait before a try is repeated.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A pipe cannot be read twice, so its connection may be lost for this long, however short the user's wait.
const PIPE_WAIT: Duration = Duration::from_secs(60);
/// Bytes of a pipe that are kept for a retry unless the user says otherwise.
pub const SPOOL: u64 = 1 << 30;

/// Chooses files and directories to be sent; a single one may get another `name` on the way.
pub fn choose(own: &Own, paths: &[PathBuf], name: Option<&str>) -> Result<Sources> {
    let mut wanted: Vec<Wanted> = paths.iter().map(|path| Wanted::path(path)).collect();
    match (&mut wanted[..], name) {
        ([], _) => return Err(Error::usage("which files? `egoat send PEER FILE...`, or - for stdin")),
        ([one], Some(name)) => one.name = Some(file_name(name)?.as_str().to_owned()),
        (_, Some(_)) => return Err(Error::usage("--name is for one file, directory or stdin")),
        (_, None) => {}
    }
    Sources::choose(&wanted, &OwnFiles::of(own.home())?)
}

/// A name for a file, which is not a path.
fn file_name(name: &str) -> Result<SafePath> {
    SafePath::parse(name)
        .ok()
        .filter(|path| path.components().count() == 1)
        .ok_or_else(|| Error::usage(format!("{} is no name for a file", text::clean_line(name))))
}

/// The count of a transfer of these files.
pub fn tally(sources: &Sources) -> Arc<Tally> {
    Arc::new(Tally::new(sources.manifest(), false))
}

/// Files that the peer has stored.
pub struct Sent {
    /// The peer's address, if it was dialled.
    pub address: Option<Address>,
    /// An earlier command sent them, and was killed before it could say so.
    pub by_earlier: bool,
    /// For whoever repeats the command, should it be killed: to be dropped when the user has heard that all is done.
    pub note: Option<SentNote>,
}

/// Sends files over at most `streams` connections, and retries for as long as `wait` while the peer cannot be reached;
/// `again` learns why.
pub fn send(
    own: &Endpoint,
    peer: &Peer,
    sources: &Sources,
    streams: usize,
    tally: &Tally,
    wait: Duration,
    again: impl FnMut(&Error),
) -> Result<Sent> {
    let id = TransferId::new(&peer.key, &[0; TRANSFER_LEN], sources.manifest()).at(Path::new("sent"));
    let mut left = SentNote::left(own.home(), &id);
    if left.as_ref().is_some_and(|note| note.is_complete) {
        tally.hold(sources.manifest().bytes());
        return Ok(Sent { address: None, by_earlier: true, note: left });
    }
    let deadline = Instant::now() + wait;
    let attempt = || {
        let session = outbound::dial(own, peer)?;
        let address = session.route().map(Route::address);
        outbound::send_unless(
            || false,
            session,
            sources,
            streams,
            tally,
            || {
                // An earlier command may have been killed right here.
                let transfer = left.as_ref().map_or_else(now_micros, |note| note.transfer);
                left = left.take().or_else(|| SentNote::write(own.home(), &id, transfer).ok());
                note_sent(own, peer, transfer, &sources.manifest().listing())?;
                // Without it, a repeated command would send once more.
                left.as_mut().map_or(Ok(()), SentNote::complete).or(Ok(()))
            },
        )?;
        Ok(address)
    };
    let address = retry(tally, |error| may_pass(error).then_some(deadline), attempt, again)
        .map_err(|error| after(wait, error))?;
    Ok(Sent { address, by_earlier: false, note: left })
}

/// A later try may succeed, also after a changed key: another node may have an old address of the peer, and the peer a new
/// one.
fn may_pass(error: &Error) -> bool {
    error.is_passing() || matches!(error, Error::ChangedKey { .. })
}

/// The error at the end of a wait. The user has heard of a changed key by then, so it is the reason only if each address had
/// one.
fn after(wait: Duration, error: Error) -> Error {
    match error {
        Error::ChangedKey { peer, elsewhere: Some(why), .. } if !wait.is_zero() => {
            Error::Unreachable { peer, why }
        }
        other => other,
    }
}

/// Notes files in the history with the peer. A one-off receiver that is no saved peer has none.
fn note_sent(own: &Own, peer: &Peer, transfer: u64, files: &[(u64, String)]) -> Result<()> {
    match Peers::load(own.home())?.by_key(&peer.key) {
        Some(_) => own.history(peer.conversation())?.store_files_sent(transfer, files),
        None => Ok(()),
    }
}

/// Retries after those errors, and until those deadlines, that `until` names. `again` hears of a changed key once.
fn retry<T>(
    tally: &Tally,
    mut until: impl FnMut(&Error) -> Option<Instant>,
    mut attempt: impl FnMut() -> Result<T>,
    mut again: impl FnMut(&Error),
) -> Result<T> {
    // Once told, and the end of a try at which each address had another key.
    let (mut has_told_key, mut changed_key) = (false, None);
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let Some(deadline) = until(&error) else { return Err(error) };
        let is_key = matches!(error, Error::ChangedKey { .. });
        if Instant::now() >= deadline {
            return Err(changed_key.unwrap_or(error));
        }
        if !(is_key && std::mem::replace(&mut has_told_key, true)) {
            again(&error);
        }
        if let Error::ChangedKey { elsewhere: None, .. } = error {
            changed_key = Some(error);
        }
        tally.restart();
        thread::sleep(RETRY_AFTER);
    }
}

/// Whether the peer keeps what has arrived, so that the same command goes on from there.
pub fn is_kept(error: &Error, tally: &Tally) -> bool {
    let is_kept = matches!(error, Error::Lost { .. } | Error::Remote { disk: true, .. });
    is_kept && tally.moved() > 0 && tally.total != UNKNOWN
}

/// Standard input as a file whose length shows when it ends.
pub struct StdinFile {
    manifest: Manifest,
    /// Bytes that are kept for a retry.
    limit: u64,
    /// The count of the transfer.
    pub tally: Arc<Tally>,
}

impl StdinFile {
    /// A pipe that the peer gets as a file of this `name`.
    pub fn new(name: Option<&str>, limit: u64) -> Result<StdinFile> {
        let path = file_name(name.unwrap_or("stdin"))?;
        let modified = (now_micros() * 1000) as i64;
        let entry = Entry { path, is_dir: false, executable: false, modified, size: 0 };
        let manifest = Manifest::new(vec![entry]).map_err(Error::failed)?;
        let tally = Arc::new(Tally::new(&manifest, true));
        Ok(StdinFile { manifest, limit, tally })
    }

    /// Sends standard input as [`send`] sends files.
    pub fn send(
        &self,
        own: &Endpoint,
        peer: &Peer,
        wait: Duration,
        again: impl FnMut(&Error),
    ) -> Result<Option<Address>> {
        let deadline = Instant::now() + wait;
        let pieces = outbound::read_stdin().map_err(|cause| Error::failed(format!("stdin: {cause}")))?;
        let mut spool = Spool::new(own.home(), pieces, self.limit)?;
        let transfer = random_array();
        let attempt = || outbound::send_pipe(own, peer, &self.manifest, transfer, &mut spool, &self.tally);
        let mut lost: Option<Instant> = None;
        let until = |error: &Error| {
            if matches!(error, Error::Lost { .. }) {
                lost = Some(Instant::now());
            }
            match lost {
                None => may_pass(error).then_some(deadline),
                // A router in front of a peer that is away may answer in its place, with anything.
                Some(lost) => (may_pass(error) || matches!(error, Error::Protocol { .. }))
                    .then_some(deadline.max(lost + PIPE_WAIT)),
            }
        };
        let at = retry(&self.tally, until, attempt, again).map_err(|error| after(wait, error))?;
        let sent =
            self.manifest.entries().iter().map(|entry| (self.tally.done().0, entry.path.as_str().to_owned()));
        note_sent(own, peer, now_micros(), &sent.collect::<Vec<_>>())?;
        Ok(at)
    }
}

/// Files that were queued.
pub struct Queued {
    /// The number of the job.
    pub number: u64,
    /// What it has.
    pub items: Vec<Item>,
    /// A node runs here, which sends them.
    pub node_runs: bool,
}

impl Queued {
    /// Bytes of all items.
    pub fn bytes(&self) -> u64 {
        self.items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.size))
    }
}

/// Queues files for a peer, as they are now, and rings for the node; durable when it returns.
pub fn queue(own: &Own, peer: &Peer, paths: &[PathBuf], name: Option<&str>) -> Result<Queued> {
    let (number, items) =
        own.queued_files(&peer.key)?.queue_paths(paths, name, &OwnFiles::of(own.home())?)?;
    Ok(Queued { number, items, node_runs: link::ring(own, Some(&peer.key))? })
}

/// The path of an item, with a slash at the end of a directory; not cleaned for a terminal.
pub fn path_of(item: &Item) -> String {
    let path = item.path.to_string_lossy();
    let slash = if item.is_dir && !path.ends_with('/') { "/" } else { "" };
    format!("{path}{slash}")
}

/// The first path of a job, and how many more there are; not cleaned for a terminal.
pub fn title_of(job: &Job) -> String {
    match &job.items[..] {
        [] => String::new(),
        [one] => path_of(one),
        [first, rest @ ..] => format!("{} and {} more", path_of(first), rest.len()),
    }
}

/// Why a job was stopped, with the path if it has several; `None` while it waits. Not cleaned for a terminal.
pub fn why_stopped(job: &Job) -> Option<String> {
    Some(match job.stopped.as_ref()? {
        Stop::Changed { path, what } if job.items.len() > 1 => format!("{}: {what}", path.to_string_lossy()),
        Stop::Changed { what: why, .. } | Stop::Refused(why) => why.clone(),
    })
}

/// The state of a job in one word.
pub fn state_of(job: &Job) -> &'static str {
    job.stopped.as_ref().map_or("waiting", Stop::word)
}
