//! Files: send them now or when the peer can be reached, send what comes out of a pipe, receive a transfer, share files and
//! fetch what others share, and deal with transfers that arrived in part.

mod by_node;
pub mod get;
pub mod offers;
pub mod partial;
pub mod receive;
pub mod received;
pub mod send;
pub mod share;

use std::path::PathBuf;
use std::sync::Arc;

use crate::app::link;
use crate::error::{Error, Result};
use crate::store::home::Own;
use crate::store::own_files::OwnFiles;
use crate::store::peers::Peer;
use crate::store::queued_files::Stop;
use crate::text;
use crate::transfer::path::SafePath;
use crate::transfer::source::Wanted;

pub use crate::app::files::offers::decide;
pub use crate::node::files::outbound::{MAX_STREAMS, default_streams};
pub use crate::store::found::Stays;
pub use crate::store::queued_files::Job;
pub use crate::store::source::Item;
pub use crate::transfer::source::Sources;
pub use crate::transfer::tally::{Tally, per_second};

/// Files and directories that the user named.
pub struct Chosen {
    /// The files behind the names, as they were when they were chosen.
    pub sources: Arc<Sources>,
    paths: Vec<PathBuf>,
    name: Option<String>,
}

/// Chooses files and directories to be sent; a single one may get another `name` on the way.
pub fn choose(own: &Own, paths: &[PathBuf], name: Option<&str>) -> Result<Chosen> {
    let mut wanted: Vec<Wanted> = paths.iter().map(|path| Wanted::path(path)).collect();
    match (&mut wanted[..], name) {
        ([], _) => return Err(Error::usage("which files? `egoat send PEER FILE...`, or - for stdin")),
        ([one], Some(name)) => one.name = Some(file_name(name)?.as_str().to_owned()),
        (_, Some(_)) => return Err(Error::usage("--name is for one file, directory or stdin")),
        (_, None) => {}
    }
    let sources = Arc::new(Sources::choose(&wanted, &OwnFiles::of(own.home())?)?);
    Ok(Chosen { sources, paths: paths.to_vec(), name: name.map(str::to_owned) })
}

/// A name for a file, which is not a path.
fn file_name(name: &str) -> Result<SafePath> {
    SafePath::parse(name).ok().filter(|path| path.components().count() == 1).ok_or_else(|| Error::Usage {
        what: format!("{} is no name for a file", text::clean_line(name)),
        hint: Some("the receiver chooses the folder; --name takes one name, without a slash".into()),
    })
}

/// The count of a transfer of these files.
pub fn tally(sources: &Sources) -> Arc<Tally> {
    Arc::new(Tally::new(sources.manifest(), false))
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

/// The error that says of a stopped job which it is, why it is not sent, and how to go on; `None` while it waits.
pub fn stopped_error(peer: &Peer, job: &Job) -> Option<Error> {
    let (number, name) = (job.number, &peer.name);
    let what = format!("{number} to {name}, {}, was not sent: {}", title_of(job), why_stopped(job)?);
    Some(Error::NotSent {
        what: text::clean_line(&what),
        hint: job.how_to_go_on(name),
        is_refused: matches!(job.stopped, Some(Stop::Refused(_))),
    })
}

/// The state of a job in one word.
pub fn state_of(job: &Job) -> &'static str {
    job.stopped.as_ref().map_or("waiting", Stop::word)
}
