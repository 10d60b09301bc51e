//! `egoat share`: what others may fetch from here.

use std::path::PathBuf;
use std::time::Duration;

use crate::app::files::share::{self, Alone, ShareOptions, ShareStatus, ToShare};
use crate::app::link::NodeEvent;
use crate::app::{Address, Endpoint, Own, contacts, news, settings};
use crate::cli::args::{self, ShareAction};
use crate::cli::send::tell_skipped;
use crate::cli::{pair, values};
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::time::Zone;
use crate::ui::output::{self, Output};
use crate::ui::progress::Progress;

pub fn run(own: &Endpoint, out: Output, args: args::Share) -> Result<()> {
    match &args.action {
        None => share(own, out, &args),
        Some(ShareAction::List(_)) => list(own, out),
        Some(ShareAction::Stop(stopped)) => {
            let out = out.ignoring_closed_stdout();
            share::stop(own, &stopped.ids, |id| {
                out.data(&format!("stopped {id}"), || Object::event("stopped").text("id", id))
            })
        }
    }
}

fn share(own: &Endpoint, out: Output, args: &args::Share) -> Result<()> {
    let ttl = args.ttl.as_deref().map(values::duration).transpose()?;
    if ttl.is_some_and(|ttl| ttl.is_zero()) {
        return Err(Error::usage("--for must be greater than zero"));
    }
    let addresses = pair::addresses(&args.addr)?;
    let listen = settings::parse_listen(&args.listen)?;
    let mut to = Vec::new();
    for name in &args.to {
        to.push(contacts::named(own, name)?);
    }
    if !to.is_empty() && !addresses.is_empty() {
        return Err(Error::usage("--addr is for the link, and with --to there is none"));
    }
    let options = ShareOptions { to, ttl, is_once: args.once };
    let paths: Vec<PathBuf> = args.files.iter().map(PathBuf::from).collect();
    let chosen = share::choose(own, &paths, &options)?;
    tell_skipped(out, &chosen.sources);
    if share::is_alone(own, &options)? {
        let title = chosen.sources.manifest().title();
        let alone = Alone::start(own, chosen, listen, addresses, ttl)?;
        return serve_alone(out, &title, ttl, &alone);
    }
    if !listen.is_empty() {
        return Err(Error::usage("--listen is for --once where no node runs, and without --to"));
    }
    note(own, out, chosen, addresses, &options)
}

/// Has the node of this home share it.
fn note(
    own: &Endpoint,
    out: Output,
    chosen: ToShare,
    addresses: Vec<Address>,
    options: &ShareOptions,
) -> Result<()> {
    let shared = share::share(own, chosen, addresses)?;
    if let Some(port) = shared.chosen_port {
        out.note(&news::chosen_port(port, &own.home().listen_path()));
    }
    if !shared.node_runs {
        out.note("no node runs here: start `egoat serve` or `egoat chat`, so that it can be fetched");
    }
    let how_long = match options.ttl {
        Some(ttl) => format!("for {}, or until", text::duration(ttl)),
        None => "until".to_owned(),
    };
    let often = if options.is_once { ", once" } else { "" };
    let who = match &options.to[..] {
        [] => "whoever has the link can fetch it".to_owned(),
        [one] => format!("{} can fetch it by `egoat get`", one.name),
        several => format!("{} peers can fetch it by `egoat get`", several.len()),
    };
    out.note(&format!("{who}{often}, {how_long} `egoat share stop {}`", shared.id));
    let link = shared.link.as_ref().map(|link| {
        contacts::who_can_use(own, &link.addresses).iter().for_each(|who| out.note(who));
        link.to_string()
    });
    let object = || {
        let object = Object::event("share").optional("link", link.as_deref()).text("id", &shared.id);
        object.optional_number("seconds", options.ttl.map(|ttl| ttl.as_secs()))
    };
    out.revocable(link.as_deref().unwrap_or(&shared.id), object).inspect_err(|_| {
        match share::stop(own, std::slice::from_ref(&shared.id), |_| Ok(())) {
            Ok(()) => out.note("nobody has seen the link, so the share was stopped"),
            Err(error) => output::warn(&error.to_string()),
        }
    })
}

/// Waits until somebody has fetched it.
fn serve_alone(out: Output, title: &str, ttl: Option<Duration>, alone: &Alone) -> Result<()> {
    contacts::who_can_dial(&alone.link.addresses).into_iter().for_each(|who| out.note(who));
    out.note(&format!("waiting for one who fetches {title} with `egoat get LINK`; Ctrl-C ends it:"));
    let link = alone.link.to_string();
    let seconds = ttl.map(|ttl| ttl.as_secs());
    out.data(&link, || Object::event("share").text("link", &link).optional_number("seconds", seconds))?;
    let out = out.ignoring_closed_stdout();
    let mut under_way = None;
    loop {
        match alone.next(under_way.is_some()) {
            Some(NodeEvent::Fetching { peer, tally }) => {
                // The one before goes first: both draw on one line.
                drop(under_way.take());
                under_way = Some(Progress::show(out, &peer, &tally));
            }
            Some(event @ NodeEvent::FilesSent { .. }) => {
                drop(under_way.take());
                news::line(&event).into_iter().for_each(|line| out.note(&line));
                news::object(&event).into_iter().for_each(|object| out.outcome(|| object));
                return Ok(());
            }
            Some(NodeEvent::TransferFailed { error, .. }) => {
                drop(under_way.take());
                output::warn(&format!("{error}; waiting for another try"));
            }
            Some(NodeEvent::Fatal(error)) => return Err(error),
            Some(NodeEvent::Trouble(error)) => output::warn(&error.to_string()),
            Some(_) => {}
            None => {
                let waited = text::duration(ttl.unwrap_or_default());
                return Err(Error::TimedOut { what: format!("nobody fetched it in {waited}") });
            }
        }
    }
}

fn list(own: &Own, out: Output) -> Result<()> {
    let listing = share::list(own)?;
    listing.ended.iter().for_each(|ended| out.note(ended));
    listing.open.iter().try_for_each(|share| out.data(&line(share), || object(share)))
}

fn line(share: &ShareStatus) -> String {
    let ShareStatus { id, name, paths, entries, bytes, to, is_once, until, change } = share;
    let name = text::clean_line(name);
    let more = if *paths > 1 { format!(" and {} more", paths - 1) } else { String::new() };
    let who = if to.is_empty() { "whoever has the link".to_owned() } else { to.join(", ") };
    let until = until.map_or_else(String::new, |until| format!(", until {}", Zone::local().format(until)));
    let once = if *is_once { " (once)" } else { "" };
    let change =
        change.as_ref().map_or_else(String::new, |what| format!(" (changed) {}", text::clean_line(what)));
    let extent = extent(*entries, *bytes);
    format!("{id} {name}{more}{extent} for {who}{until}{once}{change}")
}

/// How much is shared, to stand behind its name. Directories count as well.
pub fn extent(entries: u64, bytes: u64) -> String {
    let size = text::size(bytes);
    if entries == 1 { format!(" ({size})") } else { format!(" ({entries} entries, {size})") }
}

fn object(share: &ShareStatus) -> Object {
    let object = Object::event("share").text("id", &share.id).text("name", &share.name);
    let object = object.number("entries", share.entries).number("bytes", share.bytes);
    let object = object.list("to", share.to.iter().cloned()).boolean("once", share.is_once);
    let state = if share.change.is_some() { "changed" } else { "open" };
    object.optional_number("until", share.until).text("state", state)
}
