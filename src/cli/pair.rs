//! `egoat invite` and `egoat join`.

use std::io::Read;
use std::time::Duration;

use crate::cli::args::{Invite, Join};
use crate::cli::output::{self, Output};
use crate::cli::{DASH, id, via, who};
use crate::error::{Error, Result};
use crate::node::doorbell::Bell;
use crate::node::pairing;
use crate::store::home::Own;
use crate::store::peers::{Peer, Peers};
use crate::store::{invites, node_lock};
use crate::text::{self, json::Object};
use crate::wire::address::Address;
use crate::wire::link::{Link, MAX_ADDRESSES};

/// An invite is good for this long unless the user says otherwise.
pub const TTL: Duration = Duration::from_secs(24 * 3600);

pub fn invite(own: &Own, out: Output, args: &Invite) -> Result<()> {
    let ttl = args.ttl.as_deref().map_or(Ok(TTL), who::duration)?;
    if ttl.is_zero() {
        return Err(Error::usage("a link that is good for no time lets nobody in"));
    }
    let name = args.name.as_deref().map(who::name).transpose()?;
    let mut addresses =
        args.addr.iter().map(|given| who::address(given)).collect::<Result<Vec<Address>>>()?;
    if addresses.is_empty() {
        addresses = id::own_addresses(own)?;
    }
    if addresses.len() > MAX_ADDRESSES {
        return Err(Error::usage(format!("a link has at most {MAX_ADDRESSES} addresses")));
    }
    let invite = invites::issue(own.home(), ttl, name)?;
    let link = Link { key: own.key(), token: Some(invite.token), addresses }.to_string();
    if node_lock::running(own.home())?.is_none() {
        out.note("no node runs here: start `egoat serve` or `egoat chat`, so that the link can be used");
    }
    out.note(&format!("the link works once, for {}; whoever has it becomes a peer", text::duration(ttl)));
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    out.data(&link, || Object::event("invite").text("link", &link).number("seconds", seconds))
}

pub fn join(own: &Own, out: Output, args: &Join) -> Result<()> {
    let name = args.name.as_deref().map(who::name).transpose()?;
    if let Some(command) = &args.via {
        if args.link.is_some() {
            return Err(Error::usage("either a link or --via"));
        }
        let peer = call(own, out, via::pair(own, command, name.clone())?, name)?;
        out.note(&format!("this node's fingerprint, as {} has it: {}", peer.name, own.key().fingerprint()));
        return tell(out, &peer);
    }
    let given = match args.link.as_deref() {
        Some(DASH) => from_stdin()?,
        Some(link) => link.to_owned(),
        // Not on the command line, so that the token does not stand in the shell's history.
        None => match output::ask("paste the link:") {
            Some(link) => link,
            None => {
                return Err(Error::Usage {
                    what: "there is no terminal to ask for the link".into(),
                    hint: Some("give it as an argument, or on stdin with `egoat join -`".into()),
                });
            }
        },
    };
    let peer = pairing::join(own, &who::link(&given)?, name.clone())?;
    tell(out, &call(own, out, peer, name)?)
}

/// Gives the peer the wanted name, which it has not got yet if it was saved before, or if another peer has it.
pub fn call(own: &Own, out: Output, mut peer: Peer, wanted: Option<String>) -> Result<Peer> {
    let Some(name) = wanted.filter(|name| *name != peer.name) else { return Ok(peer) };
    if Peers::load(own.home())?.by_name(&name).is_some() {
        out.note(&format!("another peer is called {name} already, so this one is called {}", peer.name));
        return Ok(peer);
    }
    pairing::rename(own.home(), &peer.key, &name)?;
    // A node that runs is to know of it now.
    Bell::new(own.home())?.ring()?;
    peer.name = name;
    Ok(peer)
}

fn tell(out: Output, peer: &Peer) -> Result<()> {
    let fingerprint = peer.key.fingerprint();
    out.data(&format!("paired with {}, fingerprint {fingerprint}", peer.name), || {
        Object::event("paired")
            .text("peer", &peer.name)
            .text("fingerprint", &fingerprint)
            .text("key", &peer.key.to_string())
    })
}

fn from_stdin() -> Result<String> {
    let mut link = String::new();
    // A link with eight long addresses has under 3 KiB.
    let read = std::io::stdin().take(8192).read_to_string(&mut link);
    read.map_err(|cause| Error::failed(format!("cannot read the link from stdin: {cause}")))?;
    Ok(link)
}
