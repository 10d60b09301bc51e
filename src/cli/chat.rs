//! `egoat chat`: talk, on a terminal or line by line, beside a running node or as the node; and the questions to a newcomer.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use crate::app::link::{self, NodeEvent, Options};
use crate::app::{Endpoint, contacts, settings};
use crate::cli::args;
use crate::cli::{values, who};
use crate::error::{Error, Result};
use crate::ui::output::{self, Output};
use crate::ui::plain;
use crate::ui::terminal::{self, Start, tty};

pub fn run(own: &Endpoint, out: Output, args: &args::Chat) -> Result<()> {
    let is_interactive = !out.json && tty::is_there();
    let invites = if is_interactive { welcome(own, out)? } else { false };
    let to = match args.peer.as_deref() {
        Some(given) => Some(who::find(own, out, given, args.accept_new)?.peer),
        None => None,
    };
    let notify = args.notify.as_deref().map(terminal::program).transpose()?;
    if is_interactive {
        let (sender, reports) = mpsc::channel();
        // On stderr they would stand in the middle of what is drawn.
        let own = own.reporting_to(Arc::new(move |what: &str| drop(sender.send(what.to_owned()))));
        let events = start_node(&own, args)?;
        return terminal::run(&own, Start { to, events, reports, notify, invites });
    }
    let events = start_node(own, args)?;
    if contacts::all(own)?.is_empty() {
        out.note("no peers yet: in another terminal, `egoat invite` makes a link for somebody, `egoat join` takes theirs");
    }
    plain::run(own, out, to, events)
}

/// Becomes the node, unless one runs.
fn start_node(own: &Endpoint, args: &args::Chat) -> Result<Option<Receiver<NodeEvent>>> {
    if link::node(own)?.is_some() {
        return Ok(None);
    }
    let listen = settings::listen_of(own.home(), &args.listen)?;
    let usual = link::default_options(listen, own.home().downloads(None)?);
    link::start(own, Options { keep_free: values::keep_free(args.keep_free.as_deref())?, ..usual }).map(Some)
}

/// Asks a newcomer line by line, before the terminal becomes the chat's; returns whether the chat begins with a link for
/// somebody.
fn welcome(own: &Endpoint, out: Output) -> Result<bool> {
    let home = own.home();
    if home.has_name() || !contacts::all(own)?.is_empty() {
        return Ok(false);
    }
    output::warn("welcome; three questions, and Enter takes what stands in brackets");
    let name = ask(&format!("what are you called? [{}]", own.name()?), |given| match given {
        "" => own.name(),
        given => contacts::parse_name(given),
    })?;
    home.set_name(&name)?;
    if link::node(own)?.is_none() {
        let default = if own.is_hidden() { "127.0.0.1:4628" } else { "port 4628 on all addresses" };
        ask(&format!("where do you listen? HOST:PORT [{default}]"), |given| match given {
            "" => Ok(()),
            given => settings::choose_listen(home, given),
        })?;
    }
    let choice =
        ask("invite somebody, join with a link, or look around first? [i/j/Enter]", |given| match given {
            "" | "i" | "j" | "invite" | "join" => Ok(given.chars().next()),
            _ => Err(Error::usage("i, j or Enter")),
        })?;
    if choice == Some('j') {
        let peer = ask("paste the link:", |given| contacts::join(own, &contacts::parse_link(given)?, None))?;
        out.note(&format!("paired with {}, fingerprint {}", peer.name, peer.key.fingerprint()));
    }
    Ok(choice == Some('i'))
}

/// Asks until the answer is a good one.
fn ask<T>(question: &str, take: impl Fn(&str) -> Result<T>) -> Result<T> {
    loop {
        let answer = output::ask(question).ok_or_else(|| Error::failed("the terminal is gone"))?;
        match take(&answer) {
            Err(error) => output::error(&error),
            taken => return taken,
        }
    }
}
