//! `egoat serve`: the node without a terminal, a line an event on stdout.

use crate::cli::args::Serve;
use crate::cli::output::{self, Output};
use crate::error::{Error, Result};
use crate::node::admission::{Cause, Refusals};
use crate::node::event::Event;
use crate::node::hooks::{Programs, Run};
use crate::node::limits::Limits;
use crate::node::listener::Listen;
use crate::node::program::Outcome;
use crate::node::running::{self, FilesFrom, FilesTo, Options};
use crate::store::home::{Home, Own};
use crate::text::{self, json::Object};
use crate::time::now_micros;
use crate::transfer::tally::Tally;
use crate::wire::address::Address;

/// The most bytes of one transfer unless the user says otherwise.
pub const MAX_BYTES: u64 = 1 << 30;

/// The addresses of `--listen`, else those that were chosen for this home.
pub fn own_listen_addresses(home: &Home, given: &[String]) -> Result<Vec<Listen>> {
    if given.is_empty() { listen_addresses(&home.listen()?) } else { listen_addresses(given) }
}

/// The addresses of `--listen`. Port 0, which no address to dial has, means a free one.
pub fn listen_addresses(given: &[String]) -> Result<Vec<Listen>> {
    given.iter().map(|text| Listen::parse(text).map_or_else(|| Err(bad_listen(text)), Ok)).collect()
}

/// What to tell of an address that is none.
pub fn bad_listen(text: &str) -> Error {
    let hint = match text.parse::<u16>() {
        Ok(port) => format!("a port stands behind a host: [::]:{port} is on all addresses"),
        Err(_) => "an address is HOST:PORT, [IPV6]:PORT or HOST; port 0 takes a free one".into(),
    };
    Error::Usage { what: format!("{} is no address to listen on", text::clean_line(text)), hint: Some(hint) }
}

/// The size that an option gives.
pub fn size(given: Option<&str>) -> Result<u64> {
    let Some(given) = given else { return Ok(MAX_BYTES) };
    text::parse_size(given)
        .ok_or_else(|| Error::usage(format!("{} is no size, such as 500M or 4G", text::clean_line(given))))
}

/// The limits that the options set, as far as the system allows them.
fn limits(out: Output, args: &Serve) -> Result<Limits> {
    if args.max_peers == Some(0) || args.max_pending == Some(0) {
        return Err(Error::usage("--max-peers and --max-pending are 1 or more"));
    }
    let limits = Limits::new(args.max_peers, args.max_pending);
    let is_less = |wanted: Option<usize>, got: usize| wanted.is_some_and(|wanted| wanted > got);
    if is_less(args.max_peers, limits.peers()) || is_less(args.max_pending, limits.pending) {
        out.note(&format!(
            "the system gives a process so few files, or so little memory, that --max-peers is {}, and --max-pending {}",
            limits.peers(),
            limits.pending
        ));
    }
    Ok(limits)
}

pub fn run(own: &Own, out: Output, args: &Serve) -> Result<()> {
    let options = Options {
        listen: own_listen_addresses(own.home(), &args.listen)?,
        files_to: FilesTo::Folders(own.home().downloads(args.downloads.as_deref())?),
        max_bytes: Some(size(args.max_file.as_deref())?),
        overwrite: args.overwrite,
        asks: false,
        limits: limits(out, args)?,
        accept_new: args.accept_new,
        messages: true,
        files_from: FilesFrom::Peers,
        programs: Programs::new(args.on_message.as_deref(), args.on_file.as_deref())?,
    };
    for event in running::start(own.clone(), options)? {
        print(out, event)?;
    }
    Ok(())
}

/// Why connections are turned away, as it is printed.
const CAUSES: [(Cause, &str); 6] = [
    (Cause::Full, "too_many_connections"),
    (Cause::Crowd, "too_many_at_once"),
    (Cause::Rate, "too_often"),
    (Cause::Penalty, "still_kept_out"),
    (Cause::Handshake, "bad_handshakes"),
    (Cause::Stranger, "strangers"),
];

fn print(out: Output, event: Event) -> Result<()> {
    let peer_event = |name: &str, peer: &str| Object::event(name).text("peer", peer);
    match event {
        Event::Listening(at) => out.data(&format!("listening on {at}"), || {
            Object::event("listening").text("address", &Address::from(at).to_string())
        }),
        Event::Paired { peer, fingerprint } => out
            .data(&format!("paired with {peer}, fingerprint {fingerprint}"), || {
                peer_event("paired", &peer).text("fingerprint", &fingerprint)
            }),
        Event::Request { name, fingerprint } => out
            .data(&format!("{name} wants to be a peer: `egoat peers accept {fingerprint}`"), || {
                Object::event("request").text("name", &name).text("fingerprint", &fingerprint)
            }),
        Event::Connected { peer } => {
            out.data(&format!("connected with {peer}"), || peer_event("connected", &peer))
        }
        Event::Disconnected { peer } => {
            out.data(&format!("disconnected from {peer}"), || peer_event("disconnected", &peer))
        }
        Event::Received { peer, number, text } => {
            let line = format!("message from {peer}: {}", text::indent(&text::clean_bytes(&text)));
            out.data(&line, || {
                peer_event("received", &peer)
                    .number("number", number)
                    .text("text", &String::from_utf8_lossy(&text))
            })
        }
        Event::Delivered { peer, count, number } => {
            let line = format!("delivered {count} to {peer}");
            out.data(&line, || {
                peer_event("delivered", &peer).number("count", count as u64).number("number", number)
            })
        }
        Event::File { peer, path, size } => {
            let path = path.to_string_lossy();
            let line = format!("file from {peer}: {} ({})", text::clean_line(&path), text::size(size));
            out.data(&line, || peer_event("file-received", &peer).text("path", &path).number("size", size))
        }
        Event::TransferBegan { peer, tally, .. } => print_began(out, &peer, &tally),
        Event::FilesSent { peer, title, bytes } => out
            .data(&format!("sent {title} ({}) to {peer}", text::size(bytes)), || {
                peer_event("sent", &peer).text("title", &title).number("bytes", bytes)
            }),
        Event::Hook(run) => print_run(out, &run),
        // Nobody is asked here.
        Event::Offer { .. } | Event::TransferDone { .. } => Ok(()),
        Event::Refusals(refusals) => print_refusals(out, &refusals),
        Event::TransferFailed { error, .. } | Event::Trouble(error) => {
            output::warn(&error.to_string());
            Ok(())
        }
        Event::Fatal(error) => Err(error),
    }
}

fn print_began(out: Output, peer: &str, tally: &Tally) -> Result<()> {
    let (files, bytes) = (tally.files() as u64, tally.done().1);
    let line = format!("receiving {} from {peer}{}", tally.title, text::extent(files, bytes));
    out.data(&line, || {
        let object = Object::event("receiving").text("peer", peer).text("title", &tally.title);
        object.number("files", files).optional_number("bytes", bytes)
    })
}

fn print_run(out: Output, run: &Run) -> Result<()> {
    let path = run.path.as_ref().map(|path| path.to_string_lossy());
    let what = path.as_ref().map_or_else(|| run.number.to_string(), |path| text::clean_line(path));
    let end = match (&run.outcome, run.pause) {
        (Outcome::Exited(_), None) => "done".into(),
        (Outcome::Exited(status), Some(pause)) => {
            format!("exit status {status}, again in {}", text::duration(pause))
        }
        (Outcome::Failed(why), pause) => {
            format!("{why}, again in {}", text::duration(pause.unwrap_or_default()))
        }
    };
    let next = run.pause.map_or(0, |pause| now_micros().saturating_add(pause.as_micros() as u64));
    out.data(&format!("hook for {} {what} from {}: {end}", run.what.word(), run.peer), || {
        let (status, error) = match &run.outcome {
            Outcome::Exited(status) => (Some(u64::from(*status as u32)), None),
            Outcome::Failed(why) => (None, Some(why.as_str())),
        };
        Object::event("hook")
            .text("peer", &run.peer)
            .text("kind", run.what.word())
            .number("number", run.number)
            .optional("path", path.as_deref())
            .optional_number("status", status)
            .optional("error", error)
            .number("milliseconds", run.took.as_millis() as u64)
            .number("next", next)
    })
}

fn print_refusals(out: Output, refusals: &Refusals) -> Result<()> {
    let causes = CAUSES.iter().map(|(cause, name)| (refusals.of(*cause), *name));
    let list: Vec<String> = causes
        .clone()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {}", name.replace('_', " ")))
        .collect();
    out.data(&format!("turned away in a minute: {}", list.join(", ")), || {
        let object = Object::event("refusals");
        causes.fold(object, |object, (count, name)| object.number(name, count))
    })
}
