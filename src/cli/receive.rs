//! `egoat receive`: one transfer, into a directory or a pipe.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use crate::app::files::receive::{Destination, ReceiveOptions, Reception};
use crate::app::link::NodeEvent;
use crate::app::{Address, Endpoint, contacts, news, settings};
use crate::cli::args;
use crate::cli::{DASH, values};
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::ui::output::{self, Output};
use crate::ui::progress::Progress;

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
            Some(dir) => Destination::Directory(settings::absolute(dir.into())),
            None => Destination::Downloads,
        },
        from: args.from.as_deref().map(|name| contacts::named(own, name)).transpose()?,
        keep_free: values::keep_free(args.keep_free.as_deref())?,
        overwrite: args.overwrite,
        accept_new: args.accept_new,
        timeout,
    };
    let reception = Reception::start(own, &options)?;
    announce(out, &options, &reception)?;
    let mut shown =
        TransferView { out, into_pipe, under_way: None, landed: Vec::new(), idle: Instant::now() };
    loop {
        // The sender may take its time once it has begun.
        let deadline = timeout.filter(|_| shown.under_way.is_none()).map(|timeout| shown.idle + timeout);
        match reception.next(deadline) {
            Some(NodeEvent::TransferDone { peer }) => return shown.end(&peer),
            Some(event) => shown.handle(event)?,
            None => {
                let waited = text::duration(timeout.unwrap_or_default());
                return Err(Error::TimedOut { what: format!("nobody sent anything in {waited}") });
            }
        }
    }
}

/// Says where the sender finds us.
fn announce(out: Output, options: &ReceiveOptions, reception: &Reception) -> Result<()> {
    if let Some(peer) = &options.from {
        let at: Vec<String> = reception.addresses.iter().map(Address::to_string).collect();
        out.note(&format!("waiting for files from {} at {}", peer.name, at.join(", ")));
    }
    let Some(link) = reception.link.as_ref().map(ToString::to_string) else { return Ok(()) };
    out.note("send files here with `egoat send LINK FILE...`; the link works for one sender:");
    if matches!(options.into, Destination::Stdout) {
        // Stdout is the file's; without the link nobody could send it.
        output::warn(&link);
        return Ok(());
    }
    out.data(&link, || Object::event("invite").text("link", &link))
}

/// What is shown of the transfer.
struct TransferView {
    out: Output,
    into_pipe: bool,
    under_way: Option<(Progress, Option<SocketAddr>)>,
    /// What is in place: printed when the sender knows it too, because whoever reads it may end us.
    landed: Vec<(PathBuf, u64)>,
    /// Since when nothing is under way.
    idle: Instant,
}

impl TransferView {
    /// What happens before the transfer is done. A sender whose connection was lost may come again; other failures are
    /// ours.
    fn handle(&mut self, event: NodeEvent) -> Result<()> {
        match event {
            NodeEvent::Paired { .. } => news::line(&event).into_iter().for_each(|line| self.out.note(&line)),
            NodeEvent::TransferBegan { peer, address, tally } => {
                self.under_way = None;
                self.under_way = Some((Progress::show(self.out, &peer, &tally), address));
            }
            NodeEvent::File { path, size, .. } => self.landed.push((path, size)),
            NodeEvent::TransferFailed { error: error @ Error::Lost { .. }, .. } => {
                self.under_way = None;
                self.idle = Instant::now();
                output::warn(&format!("{error}; waiting for another try"));
            }
            NodeEvent::TransferFailed { error, .. } | NodeEvent::Fatal(error) => {
                self.under_way = None;
                return Err(error);
            }
            NodeEvent::Trouble(error) => output::warn(&error.to_string()),
            _ => {}
        }
        Ok(())
    }

    /// All of it is in place.
    fn end(self, peer: &str) -> Result<()> {
        if let Some((progress, address)) = self.under_way {
            progress.received(address);
        }
        if self.into_pipe {
            return Ok(());
        }
        for (path, size) in self.landed {
            let path = path.to_string_lossy();
            let object =
                || Object::event("file-received").text("peer", peer).text("path", &path).number("size", size);
            self.out.data(&text::clean_line(&path), object)?;
        }
        Ok(())
    }
}
