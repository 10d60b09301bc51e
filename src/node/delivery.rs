//! Delivery by a front-end: through the node that runs, or by itself when none does.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::net::dial::{self, Target};
use crate::node::doorbell::{Bell, LOOK};
use crate::node::flow::{self, Idle, Sender};
use crate::node::pairing::OwnProfile;
use crate::store::home::Own;
use crate::store::node_lock::DeliveryLock;
use crate::store::outbox::Outbox;
use crate::store::peers::Peer;
use crate::wire::message::Kind;

/// Without `--wait`: a running node gets this long before the message is reported as queued.
const A_MOMENT: Duration = Duration::from_secs(1);
/// Without `--wait`: one try to reach the peer, at all its addresses, takes this long at most.
const ONE_TRY: Duration = Duration::from_secs(10);
/// Between two tries with `--wait`.
const PAUSE: Duration = Duration::from_secs(1);
/// Another process is delivering to the peer: what it does is looked at this often.
const POLL: Duration = Duration::from_millis(20);

/// How a delivery ended.
pub enum Outcome {
    /// It is on the peer's disk.
    Delivered,
    /// It waits in the outbox: why, as far as is known.
    Queued(String),
}

/// Sees the message `number` to the peer. Waits as long as `wait`, or makes one try.
pub fn deliver(
    own: &Own,
    peer: &Peer,
    outbox: &mut Outbox,
    number: u64,
    wait: Option<Duration>,
) -> Result<Outcome> {
    let bell = Bell::new(own.home())?;
    let started = Instant::now();
    let deadline = Deadline::after(wait.unwrap_or(ONE_TRY));
    let mut why = "it was not reached yet".to_owned();
    while !outbox.is_settled(number)? {
        let Some(left) = deadline.remaining() else { return Ok(Outcome::Queued(why)) };
        if bell.ring()? {
            if wait.is_none() && started.elapsed() > A_MOMENT {
                return Ok(Outcome::Queued("the node here has not reached it yet".into()));
            }
            bell.wait(left.min(LOOK));
            continue;
        }
        let Some(_lock) = DeliveryLock::take(own.home(), &peer.key)? else {
            bell.wait(left.min(POLL));
            continue;
        };
        match deliver_once(own, peer, outbox, deadline, wait.is_some()) {
            Ok(()) => {}
            Err(error @ (Error::Disk { .. } | Error::Corrupt { .. } | Error::ChangedKey { .. })) => {
                return Err(error);
            }
            Err(error) if wait.is_none() => return Ok(Outcome::Queued(error.to_string())),
            Err(error) => {
                why = error.to_string();
                bell.wait(left.min(PAUSE));
            }
        }
    }
    Ok(Outcome::Delivered)
}

/// Dials the peer and sends what waits.
fn deliver_once(own: &Own, peer: &Peer, outbox: &mut Outbox, by: Deadline, strict: bool) -> Result<()> {
    // Port 0: whoever only says something is not reachable afterwards.
    let profile = OwnProfile::at_port(own.home(), 0)?;
    let target = Target::peer(peer, Some(by));
    let mut session = dial::dial(own.keys(), &target, Kind::Push, &[profile.message()])?;
    if strict {
        session.set_deadline(Some(by));
    }
    let held = flow::read_held(&mut session)?;
    // Asked when nothing is left to send. What came in between is sent too; what cannot be read must not keep us here.
    let mut looked = false;
    let idle = |_| match outbox.has_pending() {
        Ok(true) if !looked => {
            looked = true;
            Idle::Look
        }
        _ => Idle::Stop,
    };
    Sender::new(&mut session, own, held)?.run(|| true, idle, |_, _| {})
}
