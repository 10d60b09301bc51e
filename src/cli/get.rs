//! `egoat get`: what others share, by a link or from a peer.

use std::path::PathBuf;

use crate::app::files::get::{self, Fetch, GetOptions, SharedFiles, Sharer};
use crate::app::files::receive::Destination;
use crate::app::link::NodeEvent;
use crate::app::{Endpoint, Peer, settings};
use crate::cli::args;
use crate::cli::incoming::TransferView;
use crate::cli::share::extent;
use crate::cli::{DASH, pair, values, who};
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::ui::output::Output;

pub fn run(own: &Endpoint, out: Output, args: &args::Get) -> Result<()> {
    let into_pipe = args.into.as_deref() == Some(DASH);
    if into_pipe && out.json {
        return Err(Error::usage("--json and the file cannot both be on stdout"));
    }
    let directory = |dir: &str| Destination::Directory(settings::absolute(PathBuf::from(dir)));
    let options = GetOptions {
        into: match args.into.as_deref() {
            Some(DASH) => Destination::Stdout,
            Some("") => return Err(Error::usage("--into names no directory: its value is empty")),
            Some(dir) => directory(dir),
            None => directory("."),
        },
        keep_free: values::keep_free(args.keep_free.as_deref())?,
        overwrite: args.overwrite,
        allow_dot: args.allow_dot,
        wait: args.wait.as_deref().map(values::duration).transpose()?,
    };
    let again = move |error: &Error| who::again(out, error);
    let given = if args.peer == DASH { pair::link_from_stdin(out)? } else { args.peer.clone() };
    match get::sharer(own, &given)? {
        Sharer::Link(_) if !args.names.is_empty() => {
            Err(Error::usage("a link is for all that it shares: leave the names out"))
        }
        Sharer::Link(link) => fetch(out, into_pipe, &get::by_link(own, link, &options, again)?),
        Sharer::Peer(peer) if args.names.is_empty() => {
            list(out, &peer, &get::list(own, &peer, options.wait, again)?)
        }
        Sharer::Peer(_) if into_pipe && args.names.len() > 1 => {
            Err(Error::usage("standard output takes one file: give one name"))
        }
        Sharer::Peer(peer) => {
            let shares = get::list(own, &peer, options.wait, again)?;
            let mut found = Vec::new();
            for name in &args.names {
                found.push(get::find(&peer, &shares, name)?);
            }
            for share in found {
                fetch(out, into_pipe, &get::by_name(own, &peer, share, &options, again)?)?;
            }
            Ok(())
        }
    }
}

fn list(out: Output, peer: &Peer, shares: &[SharedFiles]) -> Result<()> {
    if shares.is_empty() {
        out.note(&format!("{} shares nothing with you", peer.name));
    }
    for share in shares {
        let SharedFiles { entries, bytes, name, .. } = share;
        let id = get::id_of(share);
        let extent = extent(u64::from(*entries), *bytes);
        out.data(&format!("{id} {}{extent}", text::clean_line(name)), || {
            let object = Object::event("share").text("id", &id).text("name", name);
            object.number("entries", u64::from(*entries)).number("bytes", *bytes)
        })?;
    }
    Ok(())
}

/// Shows the transfer to its end.
fn fetch(out: Output, into_pipe: bool, fetch: &Fetch) -> Result<()> {
    let mut shown = TransferView::new(out, into_pipe);
    loop {
        match fetch.next() {
            Some(NodeEvent::TransferDone { peer }) => return shown.end(&peer),
            Some(NodeEvent::TransferFailed { error, .. }) => {
                let is_kept = error.is_passing() && shown.idle().is_none() && !into_pipe;
                // Nothing is drawn any more when the error is told.
                drop(shown);
                if is_kept {
                    out.note("what arrived safely is kept; the same command goes on from it");
                }
                return Err(error);
            }
            Some(event) => shown.handle(event)?,
            None => {
                return Err(Error::Failed {
                    what: format!("{} sends nothing of this now", fetch.sharer),
                    hint: Some(
                        "it may have been stopped, or somebody else fetches what was meant for one; or another `egoat \
                         get` fetches the same to here"
                            .into(),
                    ),
                });
            }
        }
    }
}
