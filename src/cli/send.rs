//! `egoat send`: files, directories or stdin, now or when the peer can be reached.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::app::contacts::reach::PeerChange;
use crate::app::files::send::{self, SPOOL, Sent, StdinFile};
use crate::app::files::{self, Queued, Sources, Stays, Tally};
use crate::app::retry::Patience;
use crate::app::{Address, Endpoint, Link, Peer, contacts};
use crate::cli::args;
use crate::cli::{DASH, pair, values, who};
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::ui::output::{self, Output};
use crate::ui::progress::{self, Progress};

/// Paths that stay here and are named; of the others only the number is told.
const NAMED: usize = 3;

pub fn run(own: &Endpoint, out: Output, mut args: args::Send) -> Result<()> {
    let wait = args.wait.as_deref().map_or(Ok(Duration::ZERO), values::duration)?;
    let begun = Instant::now();
    let streams = match args.streams {
        None => files::default_streams(),
        Some(streams) if (1..=files::MAX_STREAMS).contains(&streams) => streams,
        Some(_) => return Err(Error::usage(format!("--streams is 1 to {}", files::MAX_STREAMS))),
    };
    if let Some(meant) = misplaced(own, &args) {
        return Err(meant);
    }
    if args.peer == DASH {
        if args.files.iter().any(|file| file == DASH) {
            return Err(Error::usage("stdin is either the link or the file"));
        }
        args.peer = pair::link_from_stdin(out)?;
    }
    let args = &args;
    if args.files.iter().any(|file| file == DASH) {
        return send_pipe(own, out, args, begun, wait);
    }
    let paths: Vec<PathBuf> = args.files.iter().map(PathBuf::from).collect();
    let chosen = files::choose(own, &paths, args.name.as_deref())?;
    tell_skipped(out, &chosen.sources);
    let peer = find(own, out, args, Patience::new(wait))?;
    if args.queue {
        return report_queued(out, &peer, files::queue(own, &peer, &paths, args.name.as_deref())?);
    }
    let tally = files::tally(&chosen.sources);
    let sent = {
        let _shown = Progress::show(out, &peer.name, &tally);
        let wait = wait.saturating_sub(begun.elapsed());
        send::send(own, &peer, &chosen, streams, &tally, wait, |error| who::again(out, error))
    };
    if let Ok(Sent { by_other: true, .. }) = &sent {
        out.note(&format!("{} has it: another command has sent it", peer.name));
    }
    let (at, _note) = sent.map_or_else(|error| (Err(error), None), |sent| (Ok(sent.address), sent.note));
    report(out, &peer, &tally, at, chosen.sources.skipped())
}

/// An error for whoever names the files first and the peer last, as for cp(1) and scp(1).
fn misplaced(own: &Endpoint, args: &args::Send) -> Option<Error> {
    let is_peer = |word: &str| Link::looks_like(word) || contacts::named(own, word).is_ok();
    if is_peer(&args.peer) || !Path::new(&args.peer).exists() {
        return None;
    }
    let instead = match args.files.split_last() {
        Some((last, files)) if is_peer(last) => {
            [&[last.clone(), args.peer.clone()], files].concat().join(" ")
        }
        // Somebody who has no such peer, or who has forgotten it.
        Some((last, _)) if Path::new(last).exists() => return None,
        _ => format!("PEER {}", args.peer),
    };
    let kind = if Path::new(&args.peer).is_dir() { "directory" } else { "file" };
    Some(Error::Usage {
        what: format!("the peer comes first, and {} is a {kind}", text::clean_line(&args.peer)),
        hint: Some(format!("`egoat send {}`", text::clean_line(&instead))),
    })
}

fn find(own: &Endpoint, out: Output, args: &args::Send, patience: Patience) -> Result<Peer> {
    let found = who::find_receiver(own, out, &args.peer, args.accept_new, patience)?;
    if args.queue && matches!(found.change, PeerChange::OneOff) {
        return Err(Error::usage("an `egoat receive` takes files now, and they cannot be queued for it"));
    }
    Ok(found.peer)
}

/// Tells what stays here: links and the like never travel, so that is a note, in one line.
pub fn tell_skipped(out: Output, sources: &Sources) {
    sources.own().for_each(|what| output::warn(&what));
    let skipped = sources.skipped();
    if skipped.is_empty() {
        return;
    }
    let kinds: BTreeSet<Stays> = skipped.iter().map(|(kind, _)| *kind).collect();
    let counts: Vec<String> = kinds
        .into_iter()
        .map(|kind| {
            let count = skipped.iter().filter(|(other, _)| *other == kind).count();
            format!("{count} {}", kind.word(count))
        })
        .collect();
    let mut named: Vec<String> =
        skipped.iter().take(NAMED).map(|(_, path)| text::clean_line(&path.to_string_lossy())).collect();
    if skipped.len() > NAMED {
        named.push(format!("{} more", skipped.len() - NAMED));
    }
    out.note(&format!("left out {}: {}", text::list(&counts), text::list(&named)));
}

/// Sends stdin, which is one file whose length shows when it ends.
fn send_pipe(own: &Endpoint, out: Output, args: &args::Send, begun: Instant, wait: Duration) -> Result<()> {
    let [_only_stdin] = &args.files[..] else {
        return Err(Error::usage("- (stdin) cannot be combined with other files"));
    };
    if args.queue {
        return Err(Error::usage("stdin cannot be queued; write it to a file first"));
    }
    let limit = match args.spool.as_deref() {
        None => SPOOL,
        Some(given) => {
            text::parse_size(given).ok_or_else(|| Error::usage("--spool is a size, such as 4G"))?
        }
    };
    let pipe = StdinFile::new(args.name.as_deref(), limit)?;
    let peer = find(own, out, args, Patience::for_pipe(wait))?;
    out.note_typing("what is to be sent");
    let sent = {
        let _shown = Progress::show(out, &peer.name, &pipe.tally);
        pipe.send(own, &peer, wait.saturating_sub(begun.elapsed()), |error| who::again(out, error))
    };
    report(out, &peer, &pipe.tally, sent, &[])
}

fn report_queued(out: Output, peer: &Peer, queued: Queued) -> Result<()> {
    let bytes = queued.bytes();
    let sender = if queued.node_runs { "the node here" } else { "`egoat serve` or `egoat fetch`" };
    out.note(&format!("queued {} for {}; {sender} sends it", text::size(bytes), peer.name));
    out.outcome(|| {
        let object = Object::event("file-queued").text("peer", &peer.name).number("number", queued.number);
        let object = object.list("paths", queued.items.iter().map(files::path_of));
        object.number("size", bytes).text("state", "waiting")
    });
    Ok(())
}

fn report(
    out: Output,
    peer: &Peer,
    tally: &Tally,
    sent: Result<Option<Address>>,
    skipped: &[(Stays, PathBuf)],
) -> Result<()> {
    let at = match sent {
        Ok(at) => at,
        Err(error) => {
            if send::is_kept(&error, tally) {
                out.note("what arrived safely is kept there; the same command goes on from it");
            }
            return Err(error);
        }
    };
    let (bytes, _) = tally.done();
    let address = at.as_ref().map(Address::to_string).unwrap_or_default();
    out.note(&progress::summary("sent", tally, &format!("to {}", peer.name), at));
    out.outcome(|| {
        Object::event("sent")
            .text("peer", &peer.name)
            .text("title", &tally.title)
            .number("files", tally.files() as u64)
            .number("bytes", bytes)
            .number("held", tally.held())
            .number("milliseconds", tally.moving().as_millis() as u64)
            .number("lanes", tally.lanes())
            .text("address", &address)
            .list("left_out", skipped.iter().map(|(_, path)| path.to_string_lossy().into_owned()))
    });
    Ok(())
}
