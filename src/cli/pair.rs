//! `egoat invite` and `egoat join`.

use std::io::Read;

use crate::app::contacts::{self, NameResult, reach, via};
use crate::app::identity;
use crate::app::{Address, Endpoint, Link, Own, Peer, news};
use crate::cli::DASH;
use crate::cli::args;
use crate::cli::digits;
use crate::cli::values;
use crate::cli::who::Newcomer;
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::ui::output::{self, Output};
use crate::ui::prompt;

pub fn invite(own: &Endpoint, out: Output, args: &args::Invite) -> Result<()> {
    if args.nearby {
        return digits::invite(own, out, args);
    }
    if !args.listen.is_empty() {
        return Err(Error::usage("--listen is for --nearby; a link names --addr"));
    }
    let ttl = args.ttl.as_deref().map_or(Ok(contacts::INVITE_TTL), values::duration)?;
    if ttl.is_zero() {
        return Err(Error::usage("--ttl must be greater than zero"));
    }
    let name = args.name.as_deref().map(contacts::parse_name).transpose()?;
    let addresses = addresses(&args.addr)?;
    let invitation = contacts::invite(own, ttl, name, addresses)?;
    if let Some(port) = invitation.chosen_port {
        out.note(&news::chosen_port(port, &own.home().listen_path()));
    }
    if !invitation.node_runs {
        out.note("no node runs here: start `egoat serve` or `egoat chat`, so that the link can be used");
    }
    out.note(&format!("the link works once, for {}; whoever has it becomes a peer", text::duration(ttl)));
    let who = contacts::who_can_use(own, &invitation.link.addresses);
    who.iter().for_each(|who| out.note(who));
    let link = invitation.link.to_string();
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    let object = || Object::event("invite").text("link", &link).number("seconds", seconds);
    out.revocable(&link, object).inspect_err(|_| match contacts::withdraw(own, &invitation.link) {
        Ok(()) => out.note("nobody has seen the link, so the invite was taken back"),
        Err(error) => output::warn(&error.to_string()),
    })
}

/// Where a link says that this node can be dialled.
pub fn addresses(given: &[String]) -> Result<Vec<Address>> {
    given.iter().map(|given| contacts::parse_address(given)).collect()
}

pub fn join(own: &Endpoint, out: Output, args: &args::Join) -> Result<()> {
    let name = args.name.as_deref().map(contacts::parse_name).transpose()?;
    if args.nearby {
        if args.link.is_some() || args.via.is_some() {
            return Err(Error::usage("either --nearby, a link or --via"));
        }
        let peer = digits::join(own, out, name.clone())?;
        return print(own, out, &give_name(own, out, peer, name)?);
    }
    if let Some(command) = &args.via {
        if args.link.is_some() {
            return Err(Error::usage("either a link or --via"));
        }
        let peer = give_name(own, out, via::pair(own, command, name.clone())?, name)?;
        out.note(&format!("this node's fingerprint, as {} has it: {}", peer.name, own.key().fingerprint()));
        return print(own, out, &peer);
    }
    let given = match args.link.as_deref() {
        Some(DASH) => link_from_stdin(out)?,
        Some(link) => link.to_owned(),
        // Not on the command line, so that the token does not stand in the shell's history.
        None if output::can_ask() => {
            prompt::ask_link("paste the link:").ok_or_else(|| Error::failed("no link was given"))?
        }
        None => {
            return Err(Error::Usage {
                what: "there is no terminal to ask for the link".into(),
                hint: Some("give it as an argument, or on stdin with `egoat join -`".into()),
            });
        }
    };
    if !Link::looks_like(&given)
        && let Ok(at) = contacts::parse_address(given.trim())
    {
        return join_at(own, out, at, name);
    }
    let peer = contacts::join(own, &contacts::parse_link(&given)?, name.clone())?;
    print(own, out, &give_name(own, out, peer, name)?)
}

/// Joins the node at an address: by six digits if its user waits for that, else on first use.
fn join_at(own: &Endpoint, out: Output, at: Address, name: Option<String>) -> Result<()> {
    let mut newcomer = Newcomer::new(own, out, false).called(name.clone());
    let peer = reach::join_at(own, at, &mut newcomer)?;
    print(own, out, &give_name(own, out, peer, name)?)
}

/// Gives the peer the wanted name, if nobody else has it.
pub fn give_name(own: &Own, out: Output, peer: Peer, wanted: Option<String>) -> Result<Peer> {
    Ok(match contacts::give_name(own, peer, wanted)? {
        NameResult::AsWished(peer) => peer,
        NameResult::Taken { peer, name } => {
            out.note(&format!("another peer is called {name} already, so this one is called {}", peer.name));
            peer
        }
    })
}

pub fn print(own: &Own, out: Output, peer: &Peer) -> Result<()> {
    let own_name = identity::name(own)?;
    let number = peer.name.strip_prefix(&own_name).and_then(|rest| rest.strip_prefix('-'));
    if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
        out.note(&format!("this node is called {own_name}; the other one is {} here", peer.name));
    }
    let line = format!("paired with {}, fingerprint {}", peer.name, peer.key.fingerprint());
    out.data(&line, || contacts::paired_object(peer))
}

/// The link that somebody pipes, so that it stands on no command line.
pub fn link_from_stdin(out: Output) -> Result<String> {
    out.note_typing("the link");
    let mut link = String::new();
    // A link with eight long addresses has under 3 KiB.
    let read = std::io::stdin().take(8192).read_to_string(&mut link);
    read.map_err(|cause| Error::failed(format!("cannot read the link from stdin: {cause}")))?;
    Ok(link)
}
