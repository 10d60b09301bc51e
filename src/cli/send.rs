//! `egoat send`: files, directories or stdin, now or when the peer can be reached.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::args::Send;
use crate::cli::output::{self, Output};
use crate::cli::progress::{self, Progress};
use crate::cli::{DASH, outbox, who};
use crate::crypto::random_array;
use crate::error::{Error, Result};
use crate::net::route::Route;
use crate::node::doorbell::Bell;
use crate::node::outbound;
use crate::store::home::Own;
use crate::store::peers::Peer;
use crate::store::source;
use crate::text::{self, json::Object};
use crate::transfer::manifest::{Entry, Manifest};
use crate::transfer::path::SafePath;
use crate::transfer::source::Sources;
use crate::transfer::stream::Spool;
use crate::transfer::tally::Tally;
use crate::wire::address::Address;
use crate::wire::message::UNKNOWN;

/// Between two tries with `--wait`.
const PAUSE: Duration = Duration::from_secs(1);
/// A pipe cannot be read twice, so its connection may be gone for this long, whatever `--wait` says.
const PIPE_WAIT: Duration = Duration::from_secs(60);
/// What is kept of a pipe unless the user says otherwise.
const SPOOL: u64 = 1 << 30;
/// Paths of skipped things that are named.
const NAMED: usize = 3;

pub fn run(own: &Own, out: Output, args: &Send) -> Result<()> {
    let wait = args.wait.as_deref().map_or(Ok(Duration::ZERO), who::duration)?;
    let streams = match args.streams {
        None => outbound::usual_streams(),
        Some(streams) if (1..=outbound::MOST_STREAMS).contains(&streams) => streams,
        Some(_) => return Err(Error::usage(format!("--streams is 1 to {}", outbound::MOST_STREAMS))),
    };
    if args.files.iter().any(|file| file == DASH) {
        return pipe(own, out, args, wait);
    }
    let paths: Vec<PathBuf> = args.files.iter().map(PathBuf::from).collect();
    let sources = match (&paths[..], &args.name) {
        ([], _) => return Err(Error::usage("which files? `egoat send PEER FILE...`, or - for stdin")),
        ([one], Some(name)) => Sources::choose_as(one, file_name(name)?.as_str())?,
        (_, Some(_)) => return Err(Error::usage("--name is for one file, directory or stdin")),
        (all, None) => Sources::choose(all)?,
    };
    tell_skipped(&sources);
    let peer = find(own, out, args)?;
    if args.queue {
        return queue(own, out, &peer, &paths, args.name.as_deref());
    }
    let tally = Arc::new(Tally::new(sources.manifest(), false));
    let deadline = Instant::now() + wait;
    let note = || own.history(peer.conversation())?.store_files(false, &sources.manifest().listing());
    let attempt = || {
        let session = outbound::dial(own, &peer)?;
        let at = session.route().map(Route::address);
        outbound::send(session, &sources, streams, &tally, note).map(|()| at)
    };
    let at = {
        let _shown = Progress::show(out, &peer.name, &tally);
        let until = |error: &Error| error.is_passing().then_some(deadline);
        retry(out, &tally, until, attempt)?
    };
    report(out, &peer, &tally, at)
}

fn find(own: &Own, out: Output, args: &Send) -> Result<Peer> {
    let found = who::find(own, out, &args.peer, args.accept_new)?;
    found.refusal.map_or(Ok(found.peer), Err)
}

fn tell_skipped(sources: &Sources) {
    let skipped = sources.skipped();
    for path in skipped.iter().take(NAMED) {
        output::warn(&format!("{} is neither a file nor a directory, and stays here", path.display()));
    }
    if skipped.len() > NAMED {
        output::warn(&format!("{} more are neither files nor directories", skipped.len() - NAMED));
    }
}

/// Tries again after those errors, and for so long, as `until` says.
fn retry<T>(
    out: Output,
    tally: &Tally,
    until: impl Fn(&Error) -> Option<Instant>,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    loop {
        match attempt() {
            Err(error) if until(&error).is_some_and(|deadline| Instant::now() < deadline) => {
                out.note(&format!("{error}; trying again"));
                tally.restart();
                std::thread::sleep(PAUSE);
            }
            Err(error) => {
                let is_kept = matches!(error, Error::Lost { .. } | Error::Remote { disk: true, .. });
                if is_kept && tally.moved() > 0 && tally.total != UNKNOWN {
                    out.note("what arrived safely is kept there; the same command goes on from it");
                }
                return Err(error);
            }
            Ok(done) => return Ok(done),
        }
    }
}

/// Notes what is to be sent, for the node.
fn queue(own: &Own, out: Output, peer: &Peer, paths: &[PathBuf], name: Option<&str>) -> Result<()> {
    let mut items = paths.iter().map(|path| source::snapshot(path)).collect::<Result<Vec<_>>>()?;
    for item in &mut items {
        item.name = name.map(str::to_owned);
    }
    let number = own.queued_files(&peer.key)?.queue(&items)?;
    let node_runs = Bell::new(own.home())?.ring()?;
    let bytes = items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.size));
    let who = if node_runs { "the node here" } else { "`egoat serve` or `egoat fetch`" };
    out.note(&format!("queued {} for {}; {who} sends it", text::size(bytes), peer.name));
    out.object(|| {
        let object = Object::event("file-queued").text("peer", &peer.name).number("number", number);
        object.list("paths", items.iter().map(outbox::shown)).number("size", bytes).text("state", "waiting")
    })
}

/// Sends stdin, which is one file whose length shows when it ends.
fn pipe(own: &Own, out: Output, args: &Send, wait: Duration) -> Result<()> {
    let [_only_stdin] = &args.files[..] else {
        return Err(Error::usage("- stands for stdin, and goes alone"));
    };
    if args.queue {
        return Err(Error::usage("stdin cannot be queued; write it to a file first"));
    }
    let manifest = describe_pipe(args.name.as_deref().unwrap_or("stdin"))?;
    let limit = match args.spool.as_deref() {
        None => SPOOL,
        Some(given) => {
            text::parse_size(given).ok_or_else(|| Error::usage("--spool is a size, such as 4G"))?
        }
    };
    let peer = find(own, out, args)?;
    let started = Instant::now();
    let pieces = outbound::read_stdin().map_err(|cause| Error::failed(format!("stdin: {cause}")))?;
    let mut spool = Spool::new(own.home(), pieces, limit)?;
    let tally = Arc::new(Tally::new(&manifest, true));
    let transfer = random_array();
    let at = {
        let _shown = Progress::show(out, &peer.name, &tally);
        let lost = Cell::new(None);
        let attempt = || {
            let sent = outbound::send_pipe(own, &peer, &manifest, transfer, &mut spool, &tally);
            if matches!(sent, Err(Error::Lost { .. })) {
                lost.set(Some(Instant::now()));
            }
            sent
        };
        let until = |error: &Error| match lost.get() {
            None => error.is_passing().then_some(started + wait),
            // What stands before a node that is away, such as a router, may answer in its place, in other ways.
            Some(lost) => (error.is_passing() || matches!(error, Error::Protocol { .. }))
                .then_some((started + wait).max(lost + PIPE_WAIT)),
        };
        retry(out, &tally, until, attempt)?
    };
    let [entry] = manifest.entries() else { return Ok(()) };
    let file = (tally.done().0, entry.path.as_str().to_owned());
    own.history(peer.conversation())?.store_files(false, &[file])?;
    report(out, &peer, &tally, at)
}

/// What `--name` gives: one name, and no path.
fn file_name(name: &str) -> Result<SafePath> {
    SafePath::parse(name)
        .ok()
        .filter(|path| path.components().count() == 1)
        .ok_or_else(|| Error::usage(format!("{} is no name for a file", text::clean_line(name))))
}

fn describe_pipe(name: &str) -> Result<Manifest> {
    let path = file_name(name)?;
    let modified = (crate::time::now_micros() * 1000) as i64;
    let entry = Entry { path, is_dir: false, executable: false, modified, size: 0 };
    Manifest::new(vec![entry]).map_err(Error::failed)
}

fn report(out: Output, peer: &Peer, tally: &Tally, at: Option<Address>) -> Result<()> {
    let (bytes, _) = tally.done();
    let address = at.as_ref().map(Address::to_string).unwrap_or_default();
    out.note(&progress::summary("sent", tally, &format!("to {}", peer.name), at));
    out.object(|| {
        Object::event("sent")
            .text("peer", &peer.name)
            .text("title", &tally.title)
            .number("files", tally.files() as u64)
            .number("bytes", bytes)
            .number("held", tally.held())
            .number("milliseconds", tally.elapsed().as_millis() as u64)
            .number("lanes", tally.lanes())
            .text("address", &address)
    })
}
