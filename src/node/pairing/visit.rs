//! The acceptor's part of kind NEARBY: who may come to a session in which digits are compared, and what the user who waits
//! hears of it.

use crate::error::Result;
use crate::net::session::Session;
use crate::node::context::Context;
use crate::node::door::admission::PendingSlot;
use crate::node::pairing::digits::{self, User};
use crate::node::pairing::waiting::News;
use crate::node::pairing::{OwnProfile, Profile};
use crate::store::peers::{Peer, Peers};
use crate::wire::message::{Message, Refusal};

/// Serves a session of kind NEARBY, whoever dialled it.
pub fn serve(
    context: &Context,
    mut session: Session,
    theirs: &Profile,
    has_invite: bool,
    slot: PendingSlot,
) -> Result<()> {
    let key = session.peer();
    let is_blocked = Peers::load(context.own().home())?.by_key(&key).is_some_and(Peer::is_blocked);
    let waiting = context.waiting();
    let refusal = match &waiting {
        _ if has_invite => Some(Refusal::Unsupported),
        _ if is_blocked => Some(Refusal::Blocked),
        None => Some(Refusal::Unknown),
        Some(waiting) => waiting.begin().err(),
    };
    let (Some(waiting), None) = (waiting, refusal) else {
        slot.turn_away(is_blocked.then_some(&key));
        let _ = session.finish(&Message::Refused(refusal.unwrap_or(Refusal::Unknown)));
        return Ok(());
    };
    // One place of its own, so that a crowd at the door does not cut the session.
    drop(slot);
    let label = theirs.name.clone().or_else(|| session.remote_address().map(|at| at.ip().to_string()));
    session.set_label(label.as_deref().unwrap_or("somebody"));
    let mut has_used_try = false;
    let user = User {
        ask: &|question| waiting.tell(News::Compare(question)),
        save: &waiting.save,
        until: waiting.session_end(),
    };
    let ended = OwnProfile::at_port(context.own(), waiting.port).and_then(|own| {
        let used_up = || has_used_try = true;
        digits::accept(context.own().home(), &mut session, (&own, theirs), &user, used_up)
    });
    waiting.end(ended, has_used_try);
    Ok(())
}
