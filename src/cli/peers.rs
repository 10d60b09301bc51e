//! `egoat peers`: list and change who this node talks to.

use crate::app::{Address, Link, Origin, Own, Peer, Place, contacts, inbox, link};
use crate::cli::args::{self, PeersAction};
use crate::cli::pair;
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::time::{self, Zone};
use crate::ui::output::Output;

pub fn run(own: &Own, out: Output, args: args::Peers) -> Result<()> {
    if args.unread {
        return list_unread(own, out, args.action.is_some());
    }
    let action = args.action.unwrap_or(PeersAction::List(args::PeersList {}));
    match action {
        PeersAction::List(_) => list(own, out),
        PeersAction::Show(args) => print(out, &contacts::named(own, &args.name)?),
        PeersAction::Requests(_) => list_requests(own, out),
        PeersAction::Add(args) => add(own, out.ignoring_closed_stdout(), &args),
        PeersAction::Set(args) => set(own, out.ignoring_closed_stdout(), &args),
        PeersAction::Rename(args) => rename(own, &args),
        PeersAction::Remove(args) => remove(own, out, &args),
        PeersAction::Accept(args) => accept(own, out.ignoring_closed_stdout(), &args),
    }
}

const NO_ADDRESS: &str = "no address; it dials us";

fn addresses(peer: &Peer) -> String {
    let word = |place: Place| match place.origin {
        Origin::User | Origin::Link => place.address.to_string(),
        other => format!("{} ({})", place.address, other.as_str()),
    };
    let addresses: Vec<String> = peer.places().into_iter().map(word).collect();
    if addresses.is_empty() { NO_ADDRESS.into() } else { addresses.join(", ") }
}

/// A line for each address, the one that is dialled first at the top.
fn address_lines(peer: &Peer) -> String {
    let line = |place: Place| {
        let origin = match place.origin {
            Origin::User => "yours",
            Origin::Link => "of a link",
            Origin::Told => "told by it",
            Origin::Mapped => "the peer told it: its router maps it",
            Origin::Seen => "it was seen there",
            Origin::Near => "in the same network",
        };
        let worked = place.worked.map_or("has not worked yet".into(), |day| format!("worked {day}"));
        format!("\naddress      {}  ({origin}; {worked})", place.address)
    };
    let lines: String = peer.places().into_iter().map(line).collect();
    if lines.is_empty() { format!("\naddress      {NO_ADDRESS}") } else { lines }
}

fn list(own: &Own, out: Output) -> Result<()> {
    let peers = contacts::all(own)?;
    let width = peers.iter().map(|peer| peer.name.chars().count()).max().unwrap_or(0);
    for peer in &peers {
        let line = format!("{:width$}  {}  {}", peer.name, peer.key.fingerprint(), addresses(peer));
        out.data(&line, || contacts::object(peer))?;
    }
    if peers.is_empty() {
        out.note("no peers yet: `egoat invite` makes a link for somebody, `egoat join` takes theirs");
    }
    Ok(())
}

/// For status bars: nothing is locked, written or rung.
fn list_unread(own: &Own, out: Output, does_more: bool) -> Result<()> {
    if does_more {
        return Err(Error::usage("--unread stands alone behind `egoat peers`"));
    }
    for (peer, count) in inbox::unread_peers(own)? {
        let (name, count) = (&peer.name, count as u64);
        out.data(&format!("{name} {count}"), || {
            Object::event("unread").text("peer", name).number("count", count)
        })?;
    }
    Ok(())
}

fn print(out: Output, peer: &Peer) -> Result<()> {
    let mut human = format!(
        "name         {}\nkey          {}\nfingerprint  {}{}",
        peer.name,
        peer.key,
        peer.key.fingerprint(),
        address_lines(peer)
    );
    for (name, value) in options(peer) {
        human.push_str(&format!("\n{name:11}  {value}"));
    }
    out.data(&human, || contacts::object(peer))
}

/// What the user has set, by its name in the file.
fn options(peer: &Peer) -> impl Iterator<Item = (&'static str, String)> {
    let dir = peer.downloads_dir().map(|dir| text::clean_line(&dir.to_string_lossy()));
    let set = [
        ("files", peer.files().map(|files| files.as_str().to_owned())),
        ("max-file", peer.max_file().map(text::size)),
        ("quota", peer.quota().map(text::size)),
        ("dir", dir),
        ("overwrite", peer.overwrite().map(|holds| if holds { "yes" } else { "no" }.to_owned())),
        ("blocked", peer.is_blocked().then(|| "yes".to_owned())),
        ("verified", peer.is_verified().then(|| "yes".to_owned())),
        ("mute", peer.is_muted().then(|| "yes".to_owned())),
    ];
    set.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

fn add(own: &Own, out: Output, args: &args::PeersAdd) -> Result<()> {
    let name = contacts::parse_name(&args.name)?;
    let (key, of_link) = if Link::looks_like(&args.key) {
        let link = contacts::parse_link(&args.key)?;
        if link.token.is_some() {
            return Err(Error::usage("this link is an invite; `egoat join` takes it"));
        }
        (link.key, link.addresses)
    } else {
        (contacts::parse_key(&args.key)?, Vec::new())
    };
    let addresses =
        args.addresses.iter().map(|given| contacts::parse_address(given)).collect::<Result<_>>()?;
    print(out, &contacts::add(own, name, key, addresses, &of_link)?)
}

fn set(own: &Own, out: Output, args: &args::PeersSet) -> Result<()> {
    let meant = contacts::named(own, &args.name)?;
    if args.options.is_empty() {
        return Err(Error::Usage {
            what: "nothing to set".into(),
            hint: Some(format!("such as `egoat peers set {} files=ask`", meant.name)),
        });
    }
    let (peer, cancelled) = contacts::set(own, &meant, &args.options)?;
    if cancelled > 0 {
        let what = if cancelled == 1 { "message or file" } else { "messages and files" };
        out.note(&format!("cancelled {cancelled} queued {what} for {}", peer.name));
    }
    print(out, &peer)
}

fn rename(own: &Own, args: &args::PeersRename) -> Result<()> {
    let (old, new) = (contacts::named(own, &args.name)?, contacts::parse_name(&args.new)?);
    contacts::rename(own, &old.key, &new)
}

fn remove(own: &Own, out: Output, args: &args::PeersRemove) -> Result<()> {
    let peer = contacts::named(own, &args.name)?;
    contacts::remove(own, &peer)?;
    // The name may have been typed in part.
    out.note(&format!("{} is no peer any more; the history stays", peer.name));
    Ok(())
}

fn list_requests(own: &Own, out: Output) -> Result<()> {
    let zone = Zone::local();
    for request in contacts::requests(own)? {
        let address = request.address.as_ref().map(Address::to_string);
        let time = time::believed(request.seconds.saturating_mul(1_000_000));
        let line = format!(
            "{}  {}  {}  {}",
            zone.format_known(time),
            request.key.fingerprint(),
            text::clean_line(&request.name),
            address.as_deref().unwrap_or("no address")
        );
        out.data(&line, || contacts::request_object(&request))?;
    }
    Ok(())
}

fn accept(own: &Own, out: Output, args: &args::PeersAccept) -> Result<()> {
    let name = args.name.as_deref().map(contacts::parse_name).transpose()?;
    let peer = contacts::accept(own, args.who.as_deref(), name.clone())?;
    let peer = pair::give_name(own, out, peer, name)?;
    if link::node(own)?.is_none() {
        out.note("no node runs here: start `egoat serve` or `egoat chat`, so that they can connect");
    }
    print(out, &peer)
}
