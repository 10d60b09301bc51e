//! `egoat send` and `egoat receive`.

use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use crate::cli::args::{Receive, Send};
use crate::cli::output::{self, Output};
use crate::cli::{DASH, pair, serve, who};
use crate::error::{Error, Result};
use crate::net::dial::{self, Target};
use crate::net::local;
use crate::net::session::Session;
use crate::node::event::Event;
use crate::node::pairing::OwnProfile;
use crate::node::running::{self, FilesFrom, Options};
use crate::store::home::Own;
use crate::store::invites;
use crate::store::peers::Peer;
use crate::text::{self, json::Object};
use crate::transfer::send::{self as sending, Sources};
use crate::wire::link::Link;
use crate::wire::message::Kind;

/// Between two tries with `--wait`.
const PAUSE: Duration = Duration::from_secs(1);
/// A bar is drawn this often, and a plain line said this often.
const DRAW: Duration = Duration::from_millis(100);
const SAY: Duration = Duration::from_secs(10);

pub fn send(own: &Own, out: Output, args: &Send) -> Result<()> {
    if args.files.is_empty() {
        return Err(Error::usage("which files? `egoat send PEER FILE...`"));
    }
    if args.files.iter().any(|file| file == DASH) {
        return Err(Error::usage("stdin cannot be sent yet; write it to a file first"));
    }
    let deadline = Instant::now() + args.wait.as_deref().map_or(Ok(Duration::ZERO), who::duration)?;
    let paths: Vec<PathBuf> = args.files.iter().map(PathBuf::from).collect();
    let sources = Sources::choose(&paths)?;
    let found = who::find(own, out, &args.peer, args.accept_new)?;
    if let Some(refusal) = found.refusal {
        return Err(refusal);
    }
    let started = Instant::now();
    loop {
        match try_send(own, out, &found.peer, &sources) {
            Err(error @ (Error::Unreachable { .. } | Error::Lost { .. })) if Instant::now() < deadline => {
                out.note(&format!("{error}; trying again"));
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    let mut history = own.history(&found.peer.key)?;
    for entry in sources.manifest().entries() {
        history.store_file(false, entry.size, entry.path.as_str())?;
    }
    report(out, &found.peer, &sources, started.elapsed())
}

fn try_send(own: &Own, out: Output, peer: &Peer, sources: &Sources) -> Result<()> {
    let session = dial_for_files(own, peer)?;
    let mut progress = Progress::new(out, sources.manifest().bytes());
    sending::send(session, sources, |sent| progress.update(sent))
}

fn dial_for_files(own: &Own, peer: &Peer) -> Result<Session> {
    let profile = OwnProfile::new(own.home(), 0)?;
    dial::dial(own.keys(), &Target::peer(peer, None), Kind::Files, &[profile.message()])
}

fn report(out: Output, peer: &Peer, sources: &Sources, took: Duration) -> Result<()> {
    let (bytes, files) = (sources.manifest().bytes(), sources.manifest().entries().len());
    let rate = (bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
    let what = match sources.manifest().entries() {
        [one] => one.path.as_str().to_owned(),
        all => format!("{} files", all.len()),
    };
    out.note(&format!(
        "sent {what} ({}) to {} in {}, {}/s",
        text::size(bytes),
        peer.name,
        text::duration(took),
        text::size(rate)
    ));
    out.object(|| {
        let sent = Object::event("sent").text("peer", &peer.name).number("files", files as u64);
        sent.number("bytes", bytes).number("milliseconds", took.as_millis() as u64)
    })
}

/// A bar on a terminal, else a line each ten seconds.
struct Progress {
    out: Output,
    total: u64,
    started: Instant,
    shown: Instant,
}

impl Progress {
    fn new(out: Output, total: u64) -> Progress {
        let now = Instant::now();
        Progress { out, total, started: now, shown: now }
    }

    fn update(&mut self, sent: u64) {
        let draws = self.out.draws();
        if self.shown.elapsed() < if draws { DRAW } else { SAY } {
            return;
        }
        self.shown = Instant::now();
        let rate = (sent as f64 / self.started.elapsed().as_secs_f64()) as u64;
        let left = Duration::from_secs((self.total - sent) / rate.max(1));
        let percent = sent * 100 / self.total.max(1);
        let line = format!(
            "{percent:3} %  {} of {}  {}/s  {} left",
            text::size(sent),
            text::size(self.total),
            text::size(rate),
            text::duration(left)
        );
        if draws { self.out.draw(&line) } else { self.out.note(&line) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.out.draw("");
    }
}

pub fn receive(own: &Own, out: Output, args: &Receive) -> Result<()> {
    if args.into.as_deref() == Some(DASH) {
        return Err(Error::usage("a transfer cannot be written to stdout yet; name a directory"));
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
    let options = Options {
        listen: serve::listen_addresses(&args.listen)?,
        downloads: own.home().downloads(args.into.as_deref())?,
        flat: args.into.is_some(),
        // Whoever starts this has asked for the files.
        max_bytes: u64::MAX,
        accept_new: args.accept_new,
        messages: false,
        files_from,
    };
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let events = running::start(own.clone(), options)?;
    let mut listening = Vec::new();
    while let Ok(Event::Listening(at)) = events.try_recv() {
        listening.push(at);
    }
    let addresses = local::reachable_at(&listening);
    if let Some(peer) = &from {
        let at: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        out.note(&format!("waiting for files from {} at {}", peer.name, at.join(", ")));
    }
    if let Some(invite) = invite {
        let link = Link { key: own.key(), token: Some(invite.token), addresses }.to_string();
        out.note("send files here with `egoat send LINK FILE...`; the link works for one sender:");
        out.data(&link, || Object::event("invite").text("link", &link))?;
    }
    loop {
        let event = match deadline {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => events.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::TransferDone { .. }) => return Ok(()),
            Ok(event) => received(out, event)?,
            Err(_) => {
                let waited = text::duration(timeout.unwrap_or_default());
                return Err(Error::TimedOut { what: format!("nobody sent anything in {waited}") });
            }
        }
    }
}

/// What happens before the transfer is done. A sender whose connection was lost may come again; other failures are ours.
fn received(out: Output, event: Event) -> Result<()> {
    match event {
        Event::Paired { peer, fingerprint } => {
            out.note(&format!("paired with {peer}, fingerprint {fingerprint}"))
        }
        Event::File { peer, path, size } => {
            let path = path.to_string_lossy();
            let object = || {
                Object::event("file-received").text("peer", &peer).text("path", &path).number("size", size)
            };
            out.data(&text::clean_line(&path), object)?;
        }
        Event::TransferFailed { error: error @ Error::Lost { .. }, .. } => {
            output::warn(&format!("{error}; waiting for another try"));
        }
        Event::TransferFailed { error, .. } | Event::Fatal(error) => return Err(error),
        Event::Trouble(error) => output::warn(&error.to_string()),
        _ => {}
    }
    Ok(())
}
