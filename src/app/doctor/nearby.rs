//! Whether friends in the same network can find this node, and it them: a firewall that drops beacons looks like a network in
//! which nobody is.

use std::sync::Arc;

use crate::app::doctor::report::Reporter;
use crate::app::identity;
use crate::error::Error;
use crate::net::local;
use crate::node::nearby::probe::{self, NEARBY, Outcome};
use crate::store::home::Home;
use crate::store::node_lock;
use crate::store::peers::{Peer, Peers};
use crate::wire::address::Address;

/// Asks the node that runs, and friends; where none runs, a packet to this machine alone has to do.
pub fn check(report: &mut Reporter, home: &Home, is_hidden: bool) {
    match probe::is_on(home) {
        Err(error) => return report.warning(NEARBY, &error.to_string(), error.hint().as_deref()),
        Ok(false) => return report.skipped(NEARBY, "it is off: `nearby=off` is in the settings"),
        Ok(true) if is_hidden => {
            return report.skipped(NEARBY, "with a proxy, nobody is called in the network");
        }
        Ok(true) => {}
    }
    let running = node_lock::running(home).ok().flatten();
    let Some(listening) = running.map(|node| node.listening) else {
        return tell(report, probe::listen(), &[]);
    };
    if local::is_loopback(&listening) {
        return report.skipped(NEARBY, "the node can be dialled by this machine alone, and calls nobody");
    }
    // That is not worth a question: a node opens the home, unless it was told to keep the key to itself.
    let unasked = || Err(Error::failed("the identity has a passphrase"));
    let opened = identity::unlock(home.clone(), None, &unasked, Arc::new(|_| {}));
    let (own, peers) = match opened.and_then(|own| Ok((own, Peers::load(home)?))) {
        Ok(opened) => opened,
        Err(error) => return report.skipped(NEARBY, &format!("the node cannot be asked: {error}")),
    };
    let friends: Vec<&Peer> = peers.iter().filter(|peer| !peer.is_blocked()).collect();
    let keys: Vec<_> = friends.iter().map(|peer| peer.key).collect();
    tell(report, probe::ask(&own, &listening, &keys), &friends);
}

fn tell(report: &mut Reporter, outcome: Outcome, friends: &[&Peer]) {
    match outcome {
        Outcome::Heard(found) if found.is_empty() => {
            report.ok(NEARBY, "beacons come through; nobody whom you know answers in this network");
        }
        Outcome::Heard(found) => {
            for (key, at) in found {
                let name = friends.iter().find(|peer| peer.key == key).map_or("a peer", |peer| &peer.name);
                let at = local::with_named_zone(Address::from(at));
                report.ok(NEARBY, &format!("beacons come through; {name} answers at {at}"));
            }
        }
        Outcome::Blocked => {
            let hint = "most likely a firewall of this machine drops UDP 4628 to 4631; let these ports in from your network";
            report.warning(
                NEARBY,
                "no beacon comes through, so friends in the same network are not found",
                Some(hint),
            );
        }
        Outcome::PortsTaken => {
            let hint = Some("`ss -ulnp` shows which");
            report.warning(NEARBY, "other programs have UDP 4628 to 4631, so no beacon can be read", hint);
        }
        Outcome::NoNetwork => {
            report.skipped(NEARBY, "this machine is in no network in which that can be tried")
        }
    }
}
