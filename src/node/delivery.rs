//! Delivery by a front-end when no node runs: it is the node for as long as it takes. It leaves out listening.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::net::dial::{self, Target};
use crate::node::doorbell::{Bell, Doorbell};
use crate::node::flow::{self, Idle, Sender};
use crate::node::pairing::OwnProfile;
use crate::store::home::Own;
use crate::store::node_lock::{NodeInfo, NodeLock};
use crate::store::outbox::Outbox;
use crate::store::peers::Peer;
use crate::wire::message::Kind;

/// Without `--wait`, a running node gets this long to deliver before `say` reports "queued".
const A_MOMENT: Duration = Duration::from_secs(1);
/// Between two tries with `--wait`.
const PAUSE: Duration = Duration::from_secs(1);

/// How a delivery ended.
pub enum Outcome {
    /// It is on the peer's disk.
    Delivered,
    /// It waits in the outbox: why, as far as is known.
    Queued(String),
}

/// Sees the message `number` to the peer: by the running node, or by being the node for a moment. Waits as long as
/// `wait`, or makes one try.
pub fn deliver(
    own: &Own,
    peer: &Peer,
    outbox: &mut Outbox,
    number: u64,
    wait: Option<Duration>,
) -> Result<Outcome> {
    let bell = Bell::new(own.home())?;
    let deadline = Instant::now() + wait.unwrap_or(A_MOMENT);
    let mut why = "the peer was not reached yet".to_owned();
    loop {
        if outbox.is_settled(number)? {
            return Ok(Outcome::Delivered);
        }
        match NodeLock::take(own.home())? {
            None => {
                bell.ring()?;
                let left = deadline.saturating_duration_since(Instant::now());
                bell.wait(left.min(PAUSE));
            }
            Some(lock) => match deliver_once(own, peer, outbox, lock) {
                Ok(()) => continue,
                Err(error @ (Error::Disk { .. } | Error::Corrupt { .. } | Error::ChangedKey { .. })) => {
                    return Err(error);
                }
                Err(error) if wait.is_none() => return Ok(Outcome::Queued(error.to_string())),
                Err(error) => {
                    why = error.to_string();
                    bell.wait(deadline.saturating_duration_since(Instant::now()).min(PAUSE));
                }
            },
        }
        if Instant::now() >= deadline && !outbox.is_settled(number)? {
            return Ok(Outcome::Queued(why));
        }
    }
}

/// Dials the peer and sends what waits, as the one node of the home. The doorbell is there so that others who ring
/// meanwhile are not ignored: what they appended goes out too.
fn deliver_once(own: &Own, peer: &Peer, outbox: &mut Outbox, lock: NodeLock) -> Result<()> {
    let doorbell = Doorbell::hang()?;
    lock.publish(own.home(), &NodeInfo { doorbell: doorbell.port(), listening: Vec::new() })?;
    // Port 0: whoever only says something is not reachable afterwards.
    let profile = OwnProfile::at_port(own.home(), 0)?;
    let target = Target { key: peer.key, token: None, addresses: &peer.addresses, label: &peer.name };
    let mut session = dial::dial(own.keys(), &target, Kind::Push, &[profile.message()])?;
    let held = flow::read_held(&mut session)?;
    let idle = |_| match outbox.has_pending() {
        Ok(true) => Idle::Look,
        _ => Idle::Stop,
    };
    Sender::new(&mut session, own, held)?.run(idle, |_, _| doorbell.ring_back())
}
