//! The doctor checks what has to work, layer by layer. This file checks this machine, `nearby` whether friends are found
//! in its network, `contact` the way to a peer, and `report` collects the findings. Whatever is wrong becomes a finding and ends nothing: the home may be in disorder here.

mod contact;
mod nearby;
mod report;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::app::doctor::report::Reporter;
use crate::app::identity::would_listen;
use crate::app::link::{MapState, Mapping};
use crate::app::settings;
use crate::app::status;
use crate::error::{Error, Result, Verb, reason};
use crate::net::deadline::Deadline;
use crate::net::dial;
use crate::net::endpoint::Endpoint;
use crate::net::local::{self, Reach};
use crate::net::transport::direct;
use crate::node::door::limits::Limits;
use crate::node::door::listen;
use crate::store::home::Home;
use crate::store::identity::{self, Identity};
use crate::store::node_lock::{self, NodeInfo};
use crate::store::peers::Peers;
use crate::store::{file, space};
use crate::text;
use crate::wire::address::Address;

/// With less than this many bytes free, hardly anything can be stored.
const LEAST: u64 = 16 << 20;
/// With less, not for long.
const LITTLE: u64 = 256 << 20;
/// Fewer peers at once are too few for most.
const FEW: usize = 16;
/// This machine answers itself within this.
const LOOPBACK_TIMEOUT: Duration = Duration::from_secs(5);

pub use crate::app::doctor::report::{CheckVerdict, Finding};

/// Checks this machine, whose node `is_hidden` if there is a proxy, and the way to `peer` if one is named. Each finding goes
/// to `tell`. The error at the end names the first layer that failed.
pub fn run(
    home: Result<Home>,
    unlock: &dyn Fn(Home) -> Result<Endpoint>,
    is_hidden: bool,
    peer: Option<&str>,
    tell: &mut dyn FnMut(&Finding) -> Result<()>,
) -> Result<()> {
    let mut report = Reporter::new(tell);
    let home = match home {
        Ok(home) => home,
        Err(error @ Error::Usage { .. }) => return Err(error),
        Err(error) => {
            report.error("home", 74, &error);
            return report.end();
        }
    };
    permissions(&mut report, &home);
    let has_identity = has_identity(&mut report, &home);
    disk(&mut report, "disk", home.dir(), "move it to a larger disk, or free some space");
    if let Ok(downloads) = home.downloads(None) {
        disk(
            &mut report,
            "downloads",
            &downloads,
            "free some space, or name another folder with --downloads",
        );
    }
    peers_and_files(&mut report, &home);
    node(&mut report, &home, is_hidden);
    addresses(&mut report, &home, is_hidden);
    if has_identity {
        nearby::check(&mut report, &home, is_hidden);
    }
    match peer {
        None => {}
        Some(_) if !has_identity => report.skipped("session", "without an identity nobody can be dialled"),
        Some(given) => contact::check(&mut report, &unlock(home)?, given)?,
    }
    report.end()
}

fn permissions(report: &mut Reporter, home: &Home) {
    let dir = home.dir();
    if matches!(dir.try_exists(), Ok(false)) {
        return report
            .skipped("home", &format!("there is none at {} yet; it is made on first use", dir.display()));
    }
    let found = fs::metadata(dir).map_err(Error::disk(Verb::Read, dir));
    // A file that is there for being locked: when it cannot be opened for writing, nothing can.
    let found = found.and_then(|found| home.check_owner().and_then(|()| home.lock_records()).map(|_| found));
    let (shown, hint) = (dir.display(), format!("`chmod 700 {}`", dir.display()));
    match found {
        Err(error) => report.error("home", 74, &error),
        // The files in it are the owner's alone, each by itself.
        Ok(found) if file::is_exposed(&found) => {
            report.warning("home", &format!("others can see what is in {shown}"), Some(&hint))
        }
        Ok(_) => report.ok("home", &format!("{shown} is its owner's alone")),
    }
}

/// Whether there is an identity that can be used, or can be made.
fn has_identity(report: &mut Reporter, home: &Home) -> bool {
    let path = home.identity_path();
    match identity::load_if_there(&path) {
        Ok(None) => report.skipped("identity", "there is none yet; it is made on first use"),
        Ok(Some(Identity::Open(_))) => {
            report.ok("identity", &format!("{} is its owner's alone", path.display()));
        }
        Ok(Some(Identity::Sealed(_))) => {
            report.ok("identity", &format!("{} is its owner's alone, and has a passphrase", path.display()));
        }
        Err(error) => {
            report.error("identity", 74, &error);
            return false;
        }
    }
    true
}

fn disk(report: &mut Reporter, layer: &'static str, dir: &Path, hint: &str) {
    let Some(free) = space::free_bytes(dir) else {
        return report.skipped(layer, &format!("how much room {} has cannot be found out", dir.display()));
    };
    let detail = format!("{} free for {}", text::size(free), dir.display());
    let hint = Some(hint);
    match free {
        ..LEAST => report.failed(layer, 74, &detail, hint),
        LEAST..LITTLE => report.warning(layer, &detail, hint),
        _ => report.ok(layer, &detail),
    }
}

/// How many peers are saved, and whether a node could have a connection with each.
fn peers_and_files(report: &mut Reporter, home: &Home) {
    let saved = match Peers::load(home) {
        Err(error) => {
            report.error("peers", 74, &error);
            0
        }
        Ok(peers) => {
            let saved = peers.iter().count();
            report.ok("peers", &format!("{saved} saved in {}", home.peers_path().display()));
            saved
        }
    };
    let limits = Limits::default();
    let (files, peers) = (limits.open_files, limits.peers());
    let detail = format!("{files} files may be open, enough for {peers} peers at once");
    if peers < saved.max(FEW) {
        let hint = "a node that is started behind `ulimit -n 4096` may have more";
        return report.warning("files", &detail, Some(hint));
    }
    report.ok("files", &detail)
}

/// Whether a node runs, and can be dialled at least from here.
fn node(report: &mut Reporter, home: &Home, is_hidden: bool) {
    match node_lock::running(home) {
        Err(error) => report.warning("node", &error.to_string(), error.hint().as_deref()),
        Ok(Some(NodeInfo { listening, mapping, .. })) => {
            let at: Vec<String> = listening.iter().map(|at| format!(" {at}")).collect();
            report.ok("node", &format!("one runs here, and listens on{}", at.concat()));
            for at in listening {
                listens(report, at);
                if is_hidden && !at.ip().to_canonical().is_loopback() {
                    let hint =
                        Some("start it with --listen 127.0.0.1:4628, or put that into the file listen");
                    report.warning("listen", &format!("{at} can be found without the proxy"), hint);
                }
            }
            routers(report, &mapping);
        }
        Ok(None) => {
            let hint = "`egoat serve` or `egoat chat` is one; or run `egoat fetch` now and then";
            report.warning("node", "none runs here, so nobody can dial it", Some(hint));
            let bound = settings::listen_of(home, &[]).and_then(|wanted| match &wanted[..] {
                [] => listen::bind_usual(is_hidden).map(|(_, bound)| bound),
                named => listen::bind(named, is_hidden),
            });
            match bound {
                Ok(_) => report.ok("listen", "where a node would listen, nobody else does"),
                Err(error) => report.warning("listen", &error.to_string(), error.hint().as_deref()),
            }
        }
    }
}

/// What the running node knows of its routers: who they are, whether one maps, and what comes of it.
fn routers(report: &mut Reporter, mapping: &Mapping) {
    let (state, detail) = (mapping.state, mapping.detail.as_str());
    match mapping.gateway {
        Some(gateway) => report.ok("gateway", &format!("the router is {gateway}")),
        None if state == MapState::Off => report.skipped("gateway", detail),
        None => report.warning("gateway", "the system names no router", Some("is this machine online?")),
    }
    match state {
        MapState::Off => report.skipped("mapping", detail),
        MapState::Trying => report.skipped("mapping", "the router was asked, and did not answer yet"),
        MapState::Needless => report.ok("mapping", &format!("nothing is to be mapped: {detail}")),
        MapState::Works => report.ok("mapping", "the router maps a port to this node"),
        MapState::Behind => report.skipped("mapping", "nothing outside leads to this router"),
        MapState::Failed => report.warning("mapping", detail, Some(NO_MAPPING)),
    }
    for mapped in &mapping.mapped {
        report.ok("outside", &format!("everybody can dial {}", status::mapped_line(mapped, mapping)));
    }
    match state {
        MapState::Behind => report.warning("outside", detail, Some(SECOND_ROUTER)),
        MapState::Failed if mapping.mapped.is_empty() => {
            report.skipped("outside", "nobody has told an address that everybody can dial")
        }
        _ => {}
    }
}

const NO_MAPPING: &str = "switch UPnP or PCP on in the router, or forward a port and name it: `egoat invite --addr \
                          HOST:PORT`; or let the other side invite";
const SECOND_ROUTER: &str = "make one of the two a plain bridge, or have the one in front forward the port to the other; \
                             or let the other side invite";

/// A node that listens on all addresses does so on loopback.
fn listens(report: &mut Reporter, at: SocketAddr) {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let at = SocketAddr::new(ip, at.port());
    let asked = match direct::first_of(&[at], Deadline::after(LOOPBACK_TIMEOUT)) {
        Ok(stream) => {
            dial::key_over(stream, false).map_err(|failure| dial::key_error(failure, &at.into()).to_string())
        }
        Err(cause) => Err(format!("cannot reach {at}: {}", reason(&cause))),
    };
    match asked {
        Ok(_) => report.ok("listen", &format!("the node answers at {at}")),
        Err(why) => {
            let hint = "a firewall of this machine may be in the way, or the node is too busy";
            report.failed("listen", 69, &why, Some(hint))
        }
    }
}

/// The addresses that links of this machine have, but for those outside of a router.
fn addresses(report: &mut Reporter, home: &Home, is_hidden: bool) {
    if is_hidden {
        return report.skipped("address", "with a proxy, links have the addresses that --addr names");
    }
    let NodeInfo { listening, mapping, .. } = node_lock::running(home).ok().flatten().unwrap_or_default();
    let is_mapped = mapping.mapped.iter().any(|mapped| !mapped.is_pinhole);
    let running = Some(listening).filter(|at| !at.is_empty());
    let listening = running.map_or_else(|| would_listen(home), Ok);
    let listening = listening.unwrap_or_default();
    let is_everywhere = listening.is_empty() || listening.iter().any(|at| at.ip().is_unspecified());
    if is_everywhere && local::own_ips().is_empty() {
        let hint = Some("connect it to one; on this machine itself, everything works without");
        return report.warning("address", "there is none but loopback: this machine is in no network", hint);
    }
    let mut ips: Vec<IpAddr> = Vec::new();
    for ip in local::reachable_at(&listening).iter().filter_map(Address::ip) {
        // It stands there once for each port.
        if ips.contains(&ip) {
            continue;
        }
        ips.push(ip);
        let (what, hint) = match reach(ip) {
            _ if is_mapped && ip.is_ipv4() && Reach::of(ip) == Reach::Private => {
                ("is private (RFC 1918), and the router maps a port to this node", None)
            }
            meaning => meaning,
        };
        let detail = format!("{ip} {what}");
        match hint {
            None => report.ok("address", &detail),
            hint => report.warning("address", &detail, hint),
        }
    }
}

/// What an address of this machine means for those who dial it, and what to do about that.
fn reach(ip: IpAddr) -> (&'static str, Option<&'static str>) {
    match Reach::of(ip) {
        Reach::Global => ("can be dialled by everybody, if no firewall is in the way", None),
        Reach::Private if ip.is_ipv6() => (
            "is private (RFC 4193): only the same network can dial it",
            Some("ask the provider for IPv6, let the other side invite, or see PROXY in egoat(1)"),
        ),
        Reach::Private => (
            "is private (RFC 1918): only the same network can dial it",
            Some("forward a port of the router to it, and name that: `egoat invite --addr HOST:PORT`"),
        ),
        Reach::Carrier => (
            "is shared by customers of a provider (carrier-grade NAT, RFC 6598), or belongs to a VPN",
            Some(
                "no port can be forwarded to it: use IPv6, let the other side invite, or see PROXY in egoat(1)",
            ),
        ),
        Reach::LinkLocal => (
            "is link-local: no network has given this machine an address",
            Some("look at the cable, the Wi-Fi and the router"),
        ),
        Reach::Loopback => (
            "is loopback: only this machine can dial it",
            Some(
                "for others, `egoat serve --listen PORT`, or a PORT in the file listen, listens at all addresses",
            ),
        ),
        Reach::Nobody => ("cannot be dialled by anybody", Some("look at the network's settings")),
    }
}
