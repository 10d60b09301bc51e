//! `egoat receive`: one transfer, into a directory or a pipe.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use crate::app::files::receive::{Destination, ReceiveOptions, Reception};
use crate::app::link::{Decision, NodeEvent, Offered};
use crate::app::{Address, Endpoint, contacts, news, settings};
use crate::cli::args;
use crate::cli::{DASH, values};
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::ui::output::{self, Output};
use crate::ui::progress::Progress;

/// Names at the top that are shown before a transfer is taken.
const LISTED: usize = 20;

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
    let mut shown =
        TransferView { out, into_pipe, under_way: None, landed: Vec::new(), idle: Instant::now() };
    loop {
        // The sender may take its time once it has begun.
        let deadline = timeout.filter(|_| shown.under_way.is_none()).map(|timeout| shown.idle + timeout);
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

/// Shows what is offered, and asks whether to take it. Without a terminal nobody can be asked; then whoever started this
/// has said yes by that.
fn decide(out: Output, offered: &Offered) -> Decision {
    let shown = describe(offered);
    if !output::can_ask() {
        out.note(&shown);
        return Decision::Accept { dir: None };
    }
    output::warn(&shown);
    match output::ask("take this? [y/N]").as_deref() {
        Some("y" | "Y" | "yes") => Decision::Accept { dir: None },
        _ => Decision::Refuse,
    }
}

fn describe(offered: &Offered) -> String {
    let extent = match offered.bytes {
        Some(_) => text::extent(offered.files, offered.bytes),
        None => " (a stream)".to_owned(),
    };
    let mut lines = vec![format!("{} (fingerprint {}) offers{extent}:", offered.peer, offered.fingerprint)];
    for (name, is_dir, bytes) in offered.tops.iter().take(LISTED) {
        let (name, slash) = (text::clean_line(name), if *is_dir { "/" } else { "" });
        let size = offered.bytes.map_or_else(String::new, |_| format!(" ({})", text::size(*bytes)));
        lines.push(format!("{name}{slash}{size}"));
    }
    if offered.tops.len() > LISTED {
        lines.push(format!("and {} more", offered.tops.len() - LISTED));
    }
    if !offered.dots.is_empty() {
        lines.push(offered.dots.clone());
    }
    lines.join("\n")
}

/// Says where the sender finds us.
fn announce(out: Output, options: &ReceiveOptions, reception: &Reception) -> Result<()> {
    if let Some(peer) = &options.from {
        let at: Vec<String> = reception.addresses.iter().map(Address::to_string).collect();
        out.note(&format!("waiting for files from {} at {}", peer.name, at.join(", ")));
    }
    let Some(link) = reception.link.as_ref() else { return Ok(()) };
    contacts::who_can_use(&link.addresses).into_iter().for_each(|who| out.note(who));
    let link = link.to_string();
    out.note("send files here with `egoat send LINK FILE...`; the link works for one sender:");
    if matches!(options.into, Destination::Stdout) {
        // Stdout is the file's; without the link nobody could send it.
        output::copyable(&link);
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
    /// What happens before the transfer is done. A sender whose connection was lost, or whose files were refused, may come
    /// again; other failures are ours.
    fn handle(&mut self, event: NodeEvent) -> Result<()> {
        match event {
            NodeEvent::Paired { .. } => news::line(&event).into_iter().for_each(|line| self.out.note(&line)),
            NodeEvent::Offered(offered) => {
                // Its sender may have gone meanwhile.
                let _ = offered.answer.send(decide(self.out, &offered));
            }
            NodeEvent::TransferBegan { peer, address, tally } => {
                self.under_way = None;
                self.under_way = Some((Progress::show(self.out, &peer, &tally), address));
            }
            NodeEvent::File { path, size, .. } => self.landed.push((path, size)),
            NodeEvent::TransferFailed { error: error @ Error::Lost { .. }, .. } => {
                self.rest();
                output::warn(&format!("{error}; waiting for another try"));
            }
            NodeEvent::TransferFailed { error: error @ Error::Declined { .. }, .. } => {
                self.rest();
                output::warn(&error.to_string());
                self.out.note("waiting for another try");
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

    /// Nothing is under way any more.
    fn rest(&mut self) {
        self.under_way = None;
        self.idle = Instant::now();
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
