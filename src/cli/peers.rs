//! `egoat peers`: list and change who this node talks to.

use crate::cli::args::{self, PeersAction};
use crate::cli::output::Output;
use crate::cli::{pair, who};
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::node::doorbell::Bell;
use crate::node::pairing;
use crate::store::cancel::cancel;
use crate::store::history::{History, MOST_UNREAD};
use crate::store::home::Own;
use crate::store::node_lock;
use crate::store::peers::{FilesPolicy, Peer, Peers};
use crate::store::requests;
use crate::text::{self, json::Object};
use crate::time::Zone;
use crate::wire::address::Address;
use crate::wire::link::Link;

pub fn run(own: &Own, out: Output, args: args::Peers) -> Result<()> {
    if args.unread {
        return list_unread(own, out, args.action.is_some());
    }
    let action = args.action.unwrap_or(PeersAction::List(args::PeersList {}));
    let result = match action {
        PeersAction::List(_) => return list(own, out),
        PeersAction::Show(args) => return print(out, &who::saved(own, &args.name)?),
        PeersAction::Requests(_) => return list_requests(own, out),
        PeersAction::Add(args) => add(own, out.of_deeds(), &args),
        PeersAction::Set(args) => set(own, out.of_deeds(), &args),
        PeersAction::Rename(args) => rename(own, &args),
        PeersAction::Remove(args) => remove(own, &args),
        PeersAction::Accept(args) => accept(own, out.of_deeds(), &args),
    };
    // A node that runs is to know of a change now, not in a second.
    Bell::new(own.home())?.ring()?;
    result
}

fn object(peer: &Peer) -> Object {
    Object::event("peer")
        .text("peer", &peer.name)
        .text("key", &peer.key.to_string())
        .text("fingerprint", &peer.key.fingerprint())
        .list("addresses", peer.addresses.iter().map(Address::to_string))
        .optional("seen", peer.seen().map(|at| at.to_string()).as_deref())
        .optional("files", peer.files().map(FilesPolicy::as_str))
        .optional_number("max_file", peer.max_file())
        .optional_number("quota", peer.quota())
        .optional("dir", peer.downloads_dir().as_ref().map(|dir| dir.to_string_lossy()).as_deref())
        .boolean("blocked", peer.is_blocked())
        .boolean("verified", peer.is_verified())
}

fn addresses(peer: &Peer) -> String {
    let given = peer.addresses.iter().map(Address::to_string);
    let all: Vec<String> = given.chain(peer.seen().map(|at| format!("{at} (seen)"))).collect();
    if all.is_empty() { "no address; it dials us".into() } else { all.join(", ") }
}

fn list(own: &Own, out: Output) -> Result<()> {
    let peers = Peers::load(own.home())?;
    let width = peers.iter().map(|peer| peer.name.chars().count()).max().unwrap_or(0);
    for peer in peers.iter() {
        let line = format!("{:width$}  {}  {}", peer.name, peer.key.fingerprint(), addresses(peer));
        out.data(&line, || object(peer))?;
    }
    if peers.iter().next().is_none() {
        out.note("no peers yet: `egoat invite` makes a link for somebody, `egoat join` takes theirs");
    }
    Ok(())
}

/// For status bars: nothing is locked, written or rung.
fn list_unread(own: &Own, out: Output, does_more: bool) -> Result<()> {
    if does_more {
        return Err(Error::usage("--unread stands alone behind `egoat peers`"));
    }
    let marks = own.read_marks()?;
    for peer in Peers::load(own.home())?.iter() {
        let mut reader = own.read_history(peer.conversation());
        if let Some(mark) = marks.get(&peer.conversation()) {
            reader.skip_behind(*mark)?;
        }
        let (count, _) = History::count_arrived(reader, MOST_UNREAD)?;
        if count > 0 {
            let (name, count) = (&peer.name, count as u64);
            out.data(&format!("{name} {count}"), || {
                Object::event("unread").text("peer", name).number("count", count)
            })?;
        }
    }
    Ok(())
}

fn print(out: Output, peer: &Peer) -> Result<()> {
    let mut human = format!(
        "name         {}\nkey          {}\nfingerprint  {}\naddresses    {}",
        peer.name,
        peer.key,
        peer.key.fingerprint(),
        addresses(peer)
    );
    for (name, value) in options(peer) {
        human.push_str(&format!("\n{name:11}  {value}"));
    }
    out.data(&human, || object(peer))
}

/// What the user has set, by its name in the file.
fn options(peer: &Peer) -> impl Iterator<Item = (&'static str, String)> {
    let dir = peer.downloads_dir().map(|dir| text::clean_line(&dir.to_string_lossy()));
    let set = [
        ("files", peer.files().map(|files| files.as_str().to_owned())),
        ("max-file", peer.max_file().map(text::size)),
        ("quota", peer.quota().map(text::size)),
        ("dir", dir),
        ("blocked", peer.is_blocked().then(|| "yes".to_owned())),
        ("verified", peer.is_verified().then(|| "yes".to_owned())),
    ];
    set.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

fn add(own: &Own, out: Output, args: &args::PeersAdd) -> Result<()> {
    let name = who::name(&args.name)?;
    let (key, mut at) = if Link::looks_like(&args.key) {
        let link = who::link(&args.key)?;
        if link.token.is_some() {
            return Err(Error::usage("this link is an invite; `egoat join` takes it"));
        }
        (link.key, link.addresses)
    } else {
        (parse_key(&args.key)?, Vec::new())
    };
    for given in &args.addresses {
        at.push(who::address(given)?);
    }
    if key == own.key() {
        return Err(Error::usage("this is this node's own key"));
    }
    let peer = Peers::edit(own.home(), |peers| {
        if let Some(other) = peers.by_key(&key) {
            return Err(Error::failed(format!("{} has this key already", other.name)));
        }
        pairing::ensure_free(peers, &name)?;
        let peer = Peer::new(name, key, at);
        peers.add(peer.clone());
        Ok(peer)
    })?;
    print(out, &peer)
}

fn parse_key(given: &str) -> Result<PublicKey> {
    given.parse().map_err(|_| Error::Usage {
        what: "this is no key".into(),
        hint: Some("a key has 52 characters of base32, as `egoat id` prints it".into()),
    })
}

fn set(own: &Own, out: Output, args: &args::PeersSet) -> Result<()> {
    let meant = who::saved(own, &args.name)?;
    if args.options.is_empty() {
        return Err(Error::Usage {
            what: "nothing to set".into(),
            hint: Some(format!("such as `egoat peers set {} files=ask`", meant.name)),
        });
    }
    let peer = Peers::edit(own.home(), |peers| {
        let gone = || Error::UnknownPeer { name: meant.name.clone() };
        let peer = peers.by_key_mut(&meant.key).ok_or_else(gone)?;
        args.options.iter().try_for_each(|typed| peer.set_option(typed).map_err(Error::usage))?;
        Ok(peer.clone())
    })?;
    if peer.is_blocked() {
        let dropped = cancel(own, &peer.key, |_| true)?.len();
        if dropped > 0 {
            out.note(&format!("{dropped} that waited for {} will not be sent", peer.name));
        }
    }
    print(out, &peer)
}

fn rename(own: &Own, args: &args::PeersRename) -> Result<()> {
    let (old, new) = (who::saved(own, &args.name)?, who::name(&args.new)?);
    pairing::rename(own.home(), &old.key, &new)
}

fn remove(own: &Own, args: &args::PeersRemove) -> Result<()> {
    pairing::forget(own.home(), &who::saved(own, &args.name)?)
}

fn list_requests(own: &Own, out: Output) -> Result<()> {
    let zone = Zone::local();
    for request in requests::load(own.home())? {
        let address = request.address.as_ref().map(Address::to_string);
        let line = format!(
            "{}  {}  {}  {}",
            zone.format(request.seconds.saturating_mul(1_000_000)),
            request.key.fingerprint(),
            text::clean_line(&request.name),
            address.as_deref().unwrap_or("no address")
        );
        out.data(&line, || {
            Object::event("request")
                .text("name", &request.name)
                .text("key", &request.key.to_string())
                .text("fingerprint", &request.key.fingerprint())
                .optional("address", address.as_deref())
                .number("time", request.seconds.saturating_mul(1_000_000))
        })?;
    }
    Ok(())
}

fn accept(own: &Own, out: Output, args: &args::PeersAccept) -> Result<()> {
    let given = args.name.as_deref().map(who::name).transpose()?;
    let peer = pairing::admit(own.home(), args.who.as_deref(), given.clone())?;
    let peer = pair::call(own, out, peer, given)?;
    if node_lock::running(own.home())?.is_none() {
        out.note("no node runs here: start `egoat serve` or `egoat chat`, so that they can connect");
    }
    print(out, &peer)
}
