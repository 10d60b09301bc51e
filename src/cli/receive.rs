//! `egoat receive`: one transfer, into a directory or a pipe.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use crate::cli::args::Receive;
use crate::cli::output::{self, Output};
use crate::cli::progress::Progress;
use crate::cli::{DASH, pair, serve, who};
use crate::error::{Error, Result};
use crate::net::local;
use crate::node::event::Event;
use crate::node::hooks::Programs;
use crate::node::limits::Limits;
use crate::node::pipe::Pipe;
use crate::node::running::{self, FilesFrom, FilesTo, Options};
use crate::store::file;
use crate::store::home::Own;
use crate::store::invites::{self, Invite};
use crate::store::peers::Peer;
use crate::text::{self, json::Object};
use crate::wire::address::Address;
use crate::wire::link::Link;

pub fn run(own: &Own, out: Output, args: &Receive) -> Result<()> {
    let into_pipe = args.into.as_deref() == Some(DASH);
    if into_pipe && out.json {
        return Err(Error::usage("--json and the file cannot both be on stdout"));
    }
    let from = args.from.as_deref().map(|name| who::saved(own, name)).transpose()?;
    let timeout = args.timeout.as_deref().map(who::duration).transpose()?;
    let invite = match from {
        Some(_) => None,
        None => Some(invites::issue(own.home(), timeout.unwrap_or(pair::TTL), None)?),
    };
    let files_from = match (&from, &invite) {
        (Some(peer), _) => FilesFrom::Peer(peer.key),
        (None, Some(invite)) if !args.accept_new => {
            FilesFrom::Invited(invites::id_text(&invite.token.invite_id()))
        }
        _ => FilesFrom::Peers,
    };
    let files_to = match args.into.as_deref() {
        Some(DASH) => FilesTo::Pipe(Pipe::start()?),
        Some(dir) => FilesTo::Flat(file::absolute(dir.into())),
        None => FilesTo::Folders(own.home().downloads(None)?),
    };
    let options = Options {
        listen: serve::listen_addresses(&args.listen)?,
        files_to,
        // Whoever starts this has asked for the files.
        max_bytes: None,
        overwrite: args.overwrite,
        asks: false,
        limits: Limits::default(),
        accept_new: args.accept_new,
        messages: false,
        files_from,
        programs: Programs::default(),
    };
    let events = running::start(own.clone(), options)?;
    let mut listening = Vec::new();
    while let Ok(Event::Listening(at)) = events.try_recv() {
        listening.push(at);
    }
    announce(own, out, from.as_ref(), invite, local::reachable_at(&listening), into_pipe)?;
    let mut reception =
        Reception { out, into_pipe, under_way: None, landed: Vec::new(), idle: Instant::now() };
    loop {
        // Who sends has no need to hurry.
        let deadline =
            timeout.filter(|_| reception.under_way.is_none()).map(|timeout| reception.idle + timeout);
        match next(&events, deadline) {
            Ok(Event::TransferDone { peer }) => return reception.end(&peer),
            Ok(event) => reception.handle(event)?,
            Err(_) => {
                let waited = text::duration(timeout.unwrap_or_default());
                return Err(Error::TimedOut { what: format!("nobody sent anything in {waited}") });
            }
        }
    }
}

fn next(events: &Receiver<Event>, deadline: Option<Instant>) -> std::result::Result<Event, RecvTimeoutError> {
    match deadline {
        None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Some(deadline) => events.recv_timeout(deadline.saturating_duration_since(Instant::now())),
    }
}

/// Says where the sender finds us.
fn announce(
    own: &Own,
    out: Output,
    from: Option<&Peer>,
    invite: Option<Invite>,
    addresses: Vec<Address>,
    into_pipe: bool,
) -> Result<()> {
    if let Some(peer) = from {
        let at: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        out.note(&format!("waiting for files from {} at {}", peer.name, at.join(", ")));
    }
    let Some(invite) = invite else { return Ok(()) };
    let link = Link { key: own.key(), token: Some(invite.token), addresses }.to_string();
    out.note("send files here with `egoat send LINK FILE...`; the link works for one sender:");
    if into_pipe {
        // Stdout is the file's; without the link nobody could send it.
        output::warn(&link);
        return Ok(());
    }
    out.data(&link, || Object::event("invite").text("link", &link))
}

/// What is told of the transfer.
struct Reception {
    out: Output,
    into_pipe: bool,
    under_way: Option<(Progress, Option<SocketAddr>)>,
    /// What is in place: printed when the sender knows it, too, as nobody may read it and end us.
    landed: Vec<(PathBuf, u64)>,
    /// Since when nothing is under way.
    idle: Instant,
}

impl Reception {
    /// What happens before the transfer is done. A sender whose connection was lost may come again; other failures are
    /// ours.
    fn handle(&mut self, event: Event) -> Result<()> {
        let out = self.out;
        match event {
            Event::Paired { peer, fingerprint } => {
                out.note(&format!("paired with {peer}, fingerprint {fingerprint}"));
            }
            Event::TransferBegan { peer, address, tally } => {
                self.under_way = None;
                self.under_way = Some((Progress::show(out, &peer, &tally), address));
            }
            Event::File { path, size, .. } => self.landed.push((path, size)),
            Event::TransferFailed { error: error @ Error::Lost { .. }, .. } => {
                self.under_way = None;
                self.idle = Instant::now();
                output::warn(&format!("{error}; waiting for another try"));
            }
            Event::TransferFailed { error, .. } | Event::Fatal(error) => {
                self.under_way = None;
                return Err(error);
            }
            Event::Trouble(error) => output::warn(&error.to_string()),
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
