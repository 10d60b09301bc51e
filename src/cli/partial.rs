//! `egoat partial`: transfers that came in part.

use std::time::SystemTime;

use crate::cli::args::{Partial as Args, PartialAction, PartialRemove};
use crate::cli::output::Output;
use crate::error::{Error, Result};
use crate::store::home::Own;
use crate::store::partial::{self, Partial};
use crate::store::peers::Peers;
use crate::text::{self, json::Object};
use crate::wire::message::{CHUNK, UNKNOWN};

pub fn run(own: &Own, out: Output, args: Args) -> Result<()> {
    match args.action {
        None | Some(PartialAction::List(_)) => list(own, out),
        Some(PartialAction::Remove(args)) => remove(own, out.of_deeds(), &args),
    }
}

/// Those that wait for their rest; of what is done only the sender's goodbye is missing.
fn waiting(own: &Own) -> Result<Vec<Partial>> {
    let mut all = partial::all(own.home())?;
    all.retain(|partial| !partial.is_done);
    Ok(all)
}

fn list(own: &Own, out: Output) -> Result<()> {
    partial::sweep(own.home(), None)?;
    let peers = Peers::load(own.home())?;
    for partial in waiting(own)? {
        let peer = match peers.by_key(&partial.peer) {
            Some(peer) => peer.name.clone(),
            None => partial.peer.fingerprint(),
        };
        let (held, age) = match partial.held(CHUNK as u64) {
            Some((held, since)) => (held, SystemTime::now().duration_since(since).unwrap_or_default()),
            None => (0, std::time::Duration::ZERO),
        };
        let total = (partial.bytes != UNKNOWN).then_some(partial.bytes);
        let of = total.map_or(String::new(), |bytes| format!(" of {}", text::size(bytes)));
        let dir = partial.dir.to_string_lossy();
        let line = format!(
            "{} {} from {peer}: {}{of}, {} ago, for {dir}",
            partial.id,
            partial.title,
            text::size(held),
            text::duration(age)
        );
        out.data(&text::clean_line(&line), || {
            let object = Object::event("partial").text("id", &partial.id).text("peer", &peer);
            let object = object.text("title", &partial.title).number("held", held);
            object.optional_number("bytes", total).number("age", age.as_secs()).text("dir", &dir)
        })?;
    }
    Ok(())
}

fn remove(own: &Own, out: Output, args: &PartialRemove) -> Result<()> {
    // Nothing is the beginning of all ids, and most likely a script's variable that is not set.
    if args.ids.iter().any(String::is_empty) || (args.ids.is_empty() && !args.all) {
        return Err(Error::usage("which one? `egoat partial remove ID...`, or --all"));
    }
    let all = waiting(own)?;
    for id in &args.ids {
        match all.iter().filter(|one| one.id.starts_with(id.as_str())).count() {
            1 => {}
            0 => return Err(Error::failed(format!("no transfer {} waits", text::clean_line(id)))),
            _ => return Err(Error::usage(format!("several transfers start with {}", text::clean_line(id)))),
        }
    }
    for partial in &all {
        if args.all || args.ids.iter().any(|id| partial.id.starts_with(id.as_str())) {
            if !partial.remove(own.home())? {
                return Err(Error::failed(format!("{} is coming in just now", partial.title)));
            }
            let object = || Object::event("removed").text("id", &partial.id).text("title", &partial.title);
            out.data(&format!("removed {} {}", partial.id, partial.title), object)?;
        }
    }
    Ok(())
}
