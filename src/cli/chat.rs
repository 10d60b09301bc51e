//! `egoat chat`: talk, beside a running node or as the node.

use std::collections::HashMap;
use std::sync::Arc;

use crate::chat::offers::Offers;
use crate::chat::plain;
use crate::cli::args::Chat;
use crate::cli::output::{self, Output};
use crate::cli::progress::Progress;
use crate::cli::{serve, who};
use crate::error::{Error, Result};
use crate::node::admission::Limits;
use crate::node::event::Event;
use crate::node::running::{self, FilesFrom, FilesTo, Options};
use crate::store::home::Own;
use crate::store::node_lock;
use crate::store::peers::Peers;
use crate::text;
use crate::time::Zone;

pub fn run(own: &Own, out: Output, args: &Chat) -> Result<()> {
    let to = match args.peer.as_deref() {
        Some(given) => Some(who::find(own, out, given, args.accept_new)?.peer),
        None => None,
    };
    let mut events = None;
    if node_lock::running(own.home())?.is_none() {
        let options = Options {
            listen: Vec::new(),
            files_to: FilesTo::Folders(own.home().downloads(None)?),
            max_bytes: Some(serve::MAX_BYTES),
            overwrite: false,
            asks: true,
            limits: Limits::default(),
            accept_new: false,
            messages: true,
            files_from: FilesFrom::Peers,
        };
        events = Some(running::start(own.clone(), options)?);
    }
    if Peers::load(own.home())?.iter().next().is_none() {
        out.note("no peers yet: in another terminal, `egoat invite` makes a link for somebody, `egoat join` takes theirs");
    }
    let zone = Zone::local();
    let show = |line: &crate::chat::line::Line| out.data(&line.text(&zone), || line.json());
    let offers = Arc::new(Offers::default());
    let mut shown = HashMap::new();
    let check = || match &events {
        Some(events) => events.try_iter().try_for_each(|event| note(out, &offers, &mut shown, event)),
        None => Ok(()),
    };
    plain::run(own, to, Arc::clone(&offers), show, output::warn, check)
}

/// What the node does beside the conversation.
fn note(out: Output, offers: &Offers, shown: &mut HashMap<String, Progress>, event: Event) -> Result<()> {
    match event {
        Event::Listening(at) => out.note(&format!("listening on {at}")),
        Event::Paired { peer, fingerprint } => {
            out.note(&format!("paired with {peer}, fingerprint {fingerprint}"))
        }
        Event::Request { name, fingerprint } => {
            out.note(&format!("{name} wants to be a peer: `egoat peers accept {fingerprint}`"));
        }
        Event::Connected { peer } => out.note(&format!("{peer} is here")),
        Event::Disconnected { peer } => out.note(&format!("{peer} is away")),
        Event::Offer { peer, title, files, bytes, answer } => {
            let number = offers.add(answer);
            let extent = serve::extent(files as u64, bytes);
            output::warn(&format!(
                "[{number}] {peer} offers {title}{extent}: /accept {number} [DIR] or /refuse {number}"
            ));
        }
        Event::TransferBegan { peer, tally } => {
            let extent = serve::extent(tally.files() as u64, tally.done().1);
            out.note(&format!("{peer} sends {}{extent}", tally.title));
            shown.insert(peer.clone(), Progress::lines(out, &peer, &tally));
        }
        Event::FilesSent { peer, title, bytes } => {
            out.note(&format!("{peer} has {title} ({})", text::size(bytes)));
        }
        Event::TransferFailed { peer, error } => {
            shown.remove(&peer);
            output::warn(&error.to_string());
        }
        Event::TransferDone { peer } => drop(shown.remove(&peer)),
        Event::Trouble(error @ (Error::Unreachable { .. } | Error::Lost { .. })) => {
            out.note(&error.to_string())
        }
        Event::Trouble(error) => output::warn(&error.to_string()),
        Event::Fatal(error) => return Err(error),
        Event::Refusals(_) => {}
        // These are in the logs, which the conversation shows.
        Event::Received { .. } | Event::Delivered { .. } | Event::File { .. } => {}
    }
    Ok(())
}
