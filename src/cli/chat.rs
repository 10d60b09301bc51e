//! `egoat chat`: talk, on a terminal or line by line, beside a running node or as the node; and what a newcomer is asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use crate::chat::offers::Offers;
use crate::chat::talk::{self, Start};
use crate::chat::{notify, plain, terminal};
use crate::cli::args::Chat;
use crate::cli::output::{self, Output};
use crate::cli::progress::Progress;
use crate::cli::{serve, who};
use crate::error::{Error, Result};
use crate::node::event::Event;
use crate::node::hooks::Programs;
use crate::node::limits::Limits;
use crate::node::listener::Listen;
use crate::node::pairing;
use crate::node::running::{self, FilesFrom, FilesTo, Options};
use crate::store::home::Own;
use crate::store::node_lock;
use crate::store::peers::Peers;
use crate::text;
use crate::time::Zone;

pub fn run(own: &Own, out: Output, args: &Chat) -> Result<()> {
    let is_interactive = !out.json && terminal::is_there();
    let first = if is_interactive { welcome(own, out)? } else { None };
    let to = match args.peer.as_deref() {
        Some(given) => Some(who::find(own, out, given, args.accept_new)?.peer),
        None => None,
    };
    let notify = args.notify.as_deref().map(notify::program).transpose()?;
    if is_interactive {
        let (reports, told) = mpsc::channel();
        // On stderr it would stand in the middle of what is drawn.
        let own = own.reporting_to(Arc::new(move |what: &str| drop(reports.send(what.to_owned()))));
        let events = start_node(&own, args)?;
        return talk::run(&own, Start { to, events, reports: told, notify, first });
    }
    let events = start_node(own, args)?;
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

/// Becomes the node, unless one runs.
fn start_node(own: &Own, args: &Chat) -> Result<Option<Receiver<Event>>> {
    if node_lock::running(own.home())?.is_some() {
        return Ok(None);
    }
    let options = Options {
        listen: serve::own_listen_addresses(own.home(), &args.listen)?,
        files_to: FilesTo::Folders(own.home().downloads(None)?),
        max_bytes: Some(serve::MAX_BYTES),
        overwrite: false,
        asks: true,
        limits: Limits::default(),
        accept_new: false,
        messages: true,
        files_from: FilesFrom::Peers,
        programs: Programs::default(),
    };
    running::start(own.clone(), options).map(Some)
}

/// What a newcomer is asked, line by line, before the terminal becomes the chat's; gives the command that the chat begins
/// with.
fn welcome(own: &Own, out: Output) -> Result<Option<&'static str>> {
    let home = own.home();
    if home.has_name() || Peers::load(home)?.iter().next().is_some() {
        return Ok(None);
    }
    output::warn("welcome; three questions, and Enter takes what stands in brackets");
    let name = ask(&format!("what are you called? [{}]", home.name()?), |given| match given {
        "" => home.name(),
        given => who::name(given),
    })?;
    home.set_name(&name)?;
    if node_lock::running(home)?.is_none() {
        ask("where do you listen? HOST:PORT [port 4628 on all addresses]", |given| match given {
            "" => Ok(()),
            given => {
                Listen::parse(given).map_or_else(|| Err(serve::bad_listen(given)), |_| home.set_listen(given))
            }
        })?;
    }
    let choice =
        ask("invite somebody, join with a link, or look around first? [i/j/Enter]", |given| match given {
            "" | "i" | "j" | "invite" | "join" => Ok(given.chars().next()),
            _ => Err(Error::usage("i, j or Enter")),
        })?;
    if choice == Some('j') {
        let peer = ask("paste the link:", |given| pairing::join(own, &who::link(given)?, None))?;
        out.note(&format!("paired with {}, fingerprint {}", peer.name, peer.key.fingerprint()));
    }
    Ok((choice == Some('i')).then_some("/invite"))
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

/// A transfer that comes in, and from where.
type Shown = (Progress, Option<SocketAddr>);

/// What the node does beside the conversation.
fn note(out: Output, offers: &Offers, shown: &mut HashMap<String, Shown>, event: Event) -> Result<()> {
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
            let extent = text::extent(files as u64, bytes);
            output::warn(&format!(
                "[{number}] {peer} offers {title}{extent}: /accept {number} [DIR] or /refuse {number}"
            ));
        }
        Event::TransferBegan { peer, address, tally } => {
            let extent = text::extent(tally.files() as u64, tally.done().1);
            out.note(&format!("{peer} sends {}{extent}", tally.title));
            let progress = Progress::lines(out, &peer, &tally);
            shown.insert(peer, (progress, address));
        }
        Event::FilesSent { peer, title, bytes } => {
            out.note(&format!("{peer} has {title} ({})", text::size(bytes)));
        }
        Event::TransferFailed { peer, error } => {
            shown.remove(&peer);
            output::warn(&error.to_string());
        }
        Event::TransferDone { peer } => {
            if let Some((progress, address)) = shown.remove(&peer) {
                progress.received(address);
            }
        }
        Event::Trouble(error) if error.is_passing() => out.note(&error.to_string()),
        Event::Trouble(error) => output::warn(&error.to_string()),
        Event::Fatal(error) => return Err(error),
        Event::Refusals(_) | Event::Hook(_) => {}
        // These are in the logs, which the conversation shows.
        Event::Received { .. } | Event::Delivered { .. } | Event::File { .. } => {}
    }
    Ok(())
}
