//! `egoat receive`: one transfer, into a directory or a pipe.

use crate::app::files::receive::{Destination, ReceiveOptions, Reception};
use crate::app::link::NodeEvent;
use crate::app::{Address, Endpoint, contacts, settings};
use crate::cli::args;
use crate::cli::incoming::TransferView;
use crate::cli::{DASH, values};
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::ui::output::{self, Output};

pub fn run(own: &Endpoint, out: Output, args: &args::Receive) -> Result<()> {
    let into_pipe = args.into.as_deref() == Some(DASH);
    if into_pipe && out.json {
        return Err(Error::usage("--json and the file cannot both be on stdout"));
    }
    let timeout = args.timeout.as_deref().map(values::duration).transpose()?;
    let options = ReceiveOptions {
        listen: settings::parse_listen(&args.listen)?,
        into: match args.into.as_deref() {
            Some(DASH) => Destination::Stdout,
            Some("") => return Err(Error::usage("--into names no directory: its value is empty")),
            Some(dir) => Destination::Directory(settings::absolute(dir.into())),
            None => Destination::Downloads,
        },
        from: args.from.as_deref().map(|name| contacts::named(own, name)).transpose()?,
        keep_free: values::keep_free(args.keep_free.as_deref())?,
        overwrite: args.overwrite,
        accept_new: args.accept_new,
        allow_dot: args.allow_dot,
        asks: output::can_ask(),
        keep: args.keep.as_deref().map(contacts::parse_name).transpose()?,
        timeout,
    };
    let reception = Reception::start(own, &options)?;
    announce(out, &options, &reception)?;
    let mut shown = TransferView::new(out, into_pipe);
    loop {
        // The sender may take its time once it has begun.
        let deadline = timeout.and_then(|timeout| Some(shown.idle()? + timeout));
        match reception.next(deadline) {
            Some(NodeEvent::TransferDone { peer }) => {
                if let Some(name) = &options.keep {
                    keep(own, out, &reception, &peer, name)?;
                }
                return shown.end(&peer);
            }
            Some(event) => shown.handle(event)?,
            None => {
                let waited = text::duration(timeout.unwrap_or_default());
                return Err(Error::TimedOut { what: format!("nobody sent anything in {waited}") });
            }
        }
    }
}

/// Makes a peer of the sender, and says so.
fn keep(own: &Endpoint, out: Output, reception: &Reception, sender: &str, name: &str) -> Result<()> {
    match reception.keep(own, sender, name)? {
        Some(peer) => {
            out.note(&format!("saved as {}, fingerprint {}", peer.name, peer.key.fingerprint()));
        }
        None => out.note(&format!("the sender is a peer already, called {sender}")),
    }
    Ok(())
}

/// Says where the sender finds us.
fn announce(out: Output, options: &ReceiveOptions, reception: &Reception) -> Result<()> {
    if let Some(peer) = &options.from {
        let at: Vec<String> = reception.addresses.iter().map(Address::to_string).collect();
        out.note(&format!("waiting for files from {} at {}", peer.name, at.join(", ")));
    }
    let Some(link) = reception.link.as_ref() else { return Ok(()) };
    contacts::who_can_dial(&link.addresses).into_iter().for_each(|who| out.note(who));
    let link = link.to_string();
    out.note("send files here with `egoat send LINK FILE...`; the link works for one sender:");
    if matches!(options.into, Destination::Stdout) {
        // Stdout is the file's; without the link nobody could send it.
        output::copyable(&link);
        return Ok(());
    }
    out.data(&link, || Object::event("invite").text("link", &link))
}
