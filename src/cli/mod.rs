//! The command line: which command, with which home, and how it ends. Each family of commands has a file.

mod args;
mod chat;
mod completions;
mod demo;
mod digits;
mod doctor;
mod get;
mod grammar;
mod id;
mod incoming;
mod log;
mod outbox;
mod pair;
mod partial;
mod passphrase;
mod peers;
mod receive;
mod say;
mod send;
mod serve;
mod share;
mod status;
mod values;
mod welcome;
mod who;
mod window;

use std::process::ExitCode;
use std::sync::Arc;

use crate::app::contacts::{self, reach};
use crate::app::identity;
use crate::app::{Endpoint, Home};
use crate::cli::args::{Command, Egoat};
use crate::cli::grammar::ParsedWords;
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::ui::output::{self, Output};

/// Stdin or stdout, in the place of a file or a link.
const DASH: &str = "-";

const VERSION: &str = concat!("egoat ", env!("CARGO_PKG_VERSION"));

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    keep_secrets_out_of_core_dumps();
    match parse().and_then(|line| line.map_or(Ok(()), run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// A core dump has no memory in it on Linux, where a process can say so through a file; elsewhere see setrlimit(2).
fn keep_secrets_out_of_core_dumps() {
    // Without /proc there is nothing to be done.
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
}

/// The parsed command line; `None` when help or the version was asked for, and printed.
fn parse() -> Result<Option<Egoat>> {
    let mut arguments = Vec::new();
    for argument in std::env::args_os().skip(1) {
        let argument = argument.into_string().map_err(|bad| Error::Usage {
            what: format!("{} is not UTF-8", text::clean_line(&bad.to_string_lossy())),
            hint: Some("rename a file to send it; give a text in UTF-8, as `iconv -f LATIN1 -t UTF-8` makes it of Latin-1".into()),
        })?;
        arguments.push(argument);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let place = ParsedWords::after(&arguments);
    if place.is_help {
        return output::print_help(&place.help()?).map(|()| None);
    }
    let line = place.parse()?;
    if line.version {
        return output::print(VERSION).map(|()| None);
    }
    Ok(Some(line))
}

fn run(line: Egoat) -> Result<()> {
    let out = Output::new(line.json, line.quiet);
    let command = match line.command.unwrap_or(Command::Chat(args::Chat::default())) {
        Command::Completions(args) => return completions::run(&args),
        Command::Demo(_) => return demo::run(out.ignoring_closed_stdout()),
        Command::Version(_) => return output::print(VERSION),
        command => command,
    };
    let home = Home::find(line.home.as_deref());
    let proxy = identity::proxy(line.proxy, home.as_ref().ok())?;
    let has_proxy = proxy.is_some();
    let passphrases = passphrase::PassphraseSource::from_environment()?;
    let report = || Arc::new(output::warn);
    let unlock = |home: Home, makes_it: bool| {
        if !makes_it && !home.is_made() {
            return Ok(identity::unmade(home, proxy.clone(), report()));
        }
        home.create()?;
        identity::unlock(home, proxy.clone(), &|| passphrases.current(), report())
    };
    match command {
        Command::Doctor(args) => {
            let unlock = |home| unlock(home, false);
            doctor::run(out.ignoring_closed_stdout(), home, &unlock, has_proxy, args.peer.as_deref())
        }
        // This must not need the passphrase.
        Command::Id(args) if args.forget => {
            let home = home?;
            home.check_owner()?;
            id::forget(&home, out, &args)
        }
        Command::Status(_) => {
            let home = home?;
            home.check_owner()?;
            status::run(&home, proxy.clone(), out, &passphrases)
        }
        Command::Window(args) => {
            let home = home?;
            home.check_owner()?;
            window::run(home, proxy.clone(), out, &args, &|home| unlock(home, true))
        }
        command => {
            let home = home?;
            home.check_owner()?;
            if let Some(peer) = command.peer().filter(|peer| !home.is_made() && *peer != DASH) {
                // A home is not made for a name that is mistyped, or that is saved in another home.
                reach::ensure_found(&unlock(home.clone(), false)?, peer)?;
            }
            let own = unlock(home, command.makes_home())?;
            let looks_for_all = matches!(command, Command::Log(_) | Command::Outbox(_) | Command::Fetch(_));
            dispatch(&own, out, &passphrases, command).inspect_err(|error| tell_tried(out, error))?;
            if looks_for_all { note_nobody(out, &own) } else { Ok(()) }
        }
    }
}

/// Says why a command about all peers printed nothing, if that may be because another home was meant.
fn note_nobody(out: Output, own: &Endpoint) -> Result<()> {
    let (home, dir) = (own.home(), own.home().dir().display());
    if !home.is_made() {
        out.note(&format!("no home is at {dir} yet"));
    } else if contacts::all(own)?.is_empty() {
        out.note(&format!("no peer is saved in {dir}"));
    }
    Ok(())
}

/// The error names the address that tells most; programs are told of all.
fn tell_tried(out: Output, error: &Error) {
    let (peer, tried) = error.tried().unwrap_or_default();
    for (address, why) in tried {
        out.passing_object(|| {
            Object::event("tried").text("peer", peer).text("address", address).text("error", why)
        });
    }
}

/// Those commands that work on a home in order.
fn dispatch(
    own: &Endpoint,
    out: Output,
    passphrases: &passphrase::PassphraseSource,
    command: Command,
) -> Result<()> {
    match command {
        Command::Chat(args) => chat::run(own, out, &args),
        Command::Serve(args) => serve::run(own, out.ignoring_closed_stdout(), &args),
        Command::Say(args) => say::run(own, out.ignoring_closed_stdout(), &args),
        Command::Send(args) => send::run(own, out.ignoring_closed_stdout(), args),
        Command::Receive(args) => receive::run(own, out, &args),
        Command::Share(args) => share::run(own, out, args),
        Command::Get(args) => get::run(own, out, &args),
        Command::Invite(args) => pair::invite(own, out, &args),
        Command::Join(args) => pair::join(own, out, &args),
        Command::Peers(args) => peers::run(own, out, args),
        Command::Log(args) => log::log(own, out, &args),
        Command::Outbox(args) => outbox::run(own, out, args),
        Command::Fetch(args) => outbox::fetch(own, out.ignoring_closed_stdout(), &args),
        Command::Partial(args) => partial::run(own, out, args),
        Command::Id(args) => id::run(own, out, passphrases, &args),
        // They have run by now.
        Command::Completions(_) | Command::Demo(_) | Command::Doctor(_) | Command::Version(_) => Ok(()),
        Command::Status(_) | Command::Window(_) => Ok(()),
    }
}
