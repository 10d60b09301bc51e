//! `egoat chat`: talk, on a terminal or line by line, beside a running node or as the node.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::app::link::{self, NodeEvent, Options};
use crate::app::{Endpoint, contacts, settings};
use crate::cli::args;
use crate::cli::welcome::{self, Welcome};
use crate::cli::{values, who};
use crate::error::Result;
use crate::ui::output::Output;
use crate::ui::plain;
use crate::ui::terminal::{self, Start, tty};

pub fn run(own: &Endpoint, out: Output, args: &args::Chat) -> Result<()> {
    let is_interactive = !out.json && tty::is_there();
    let is_typed = is_interactive || plain::is_typed(out);
    let invites = match is_typed.then(|| welcome::run(own, out)).transpose()? {
        Some(Welcome::Left) => return Ok(()),
        Some(Welcome::Begin { invites }) => invites,
        None => false,
    };
    let to = match args.peer.as_deref() {
        Some(given) => Some(who::find(own, out, given, args.accept_new, Duration::ZERO)?.peer),
        None => None,
    };
    let notify = args.notify.as_deref().map(terminal::program).transpose()?;
    if is_interactive {
        let (sender, reports) = mpsc::channel();
        // On stderr they would stand in the middle of what is drawn.
        let own = own.reporting_to(Arc::new(move |what: &str| drop(sender.send(what.to_owned()))));
        let events = start_node(&own, args)?;
        let is_node = events.is_some();
        let ended = terminal::run(&own, Start { to, events, reports, notify, invites });
        return leave(&own, is_node, ended);
    }
    let events = start_node(own, args)?;
    let is_node = events.is_some();
    if !invites && contacts::all(own)?.is_empty() {
        out.note(if plain::is_typed(out) {
            "no peers yet: /invite makes a link for somebody, /join takes theirs; /help lists the commands"
        } else {
            "no peers yet: in another terminal, `egoat invite` makes a link for somebody, `egoat join` takes theirs"
        });
    }
    leave(own, is_node, plain::run(own, out, to, events, invites))
}

/// Routers are told that the node ends, if it was here.
fn leave(own: &Endpoint, is_node: bool, ended: Result<()>) -> Result<()> {
    if is_node {
        link::withdraw_mapping(own);
    }
    ended
}

/// Becomes the node, unless one runs.
fn start_node(own: &Endpoint, args: &args::Chat) -> Result<Option<Receiver<NodeEvent>>> {
    if link::node(own)?.is_some() {
        return Ok(None);
    }
    let listen = settings::listen_of(own.home(), &args.listen)?;
    let usual = link::default_options(listen, own.home().downloads(None)?);
    let keep_free = values::keep_free(args.keep_free.as_deref())?;
    let map = settings::map_of(own.home(), args.map.as_deref())?;
    // Whoever gives an address can give another one; what the home says is not worth a conversation.
    link::start(own, Options { keep_free, map, listens_later: args.listen.is_empty(), ..usual }).map(Some)
}
