//! Comparing six digits on a terminal: `egoat invite --nearby`, `egoat join --nearby`, and the first contact with an address.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use crate::app::contacts::digits::{self, News, Wait};
use crate::app::{Address, Endpoint, Peer, PublicKey, contacts, news, settings};
use crate::cli::{args, pair, values};
use crate::error::{Error, Result};
use crate::text;
use crate::ui::output::{self, Output};
use crate::ui::prompt::Pending;

/// From one look at the news to the next.
const TICK: Duration = Duration::from_millis(50);
/// What a session takes to end when its time is over.
const GRACE: Duration = Duration::from_secs(15);

fn ensure_terminal() -> Result<()> {
    if output::can_ask() {
        return Ok(());
    }
    Err(Error::Usage {
        what: "there is no terminal on which somebody could compare the digits".into(),
        hint: Some("`egoat invite` and `egoat join LINK` pair without one".into()),
    })
}

/// `egoat invite --nearby`.
pub fn invite(own: &Endpoint, out: Output, args: &args::Invite) -> Result<()> {
    if !args.addr.is_empty() {
        return Err(Error::usage("either --addr, which is for a link, or --nearby"));
    }
    ensure_terminal()?;
    let given = args.ttl.as_deref().map(values::duration).transpose()?;
    let time = given.unwrap_or(digits::WAIT);
    let name = args.name.as_deref().map(contacts::parse_name).transpose()?;
    let wait = digits::wait(own, settings::parse_listen(&args.listen)?, given, name)?;
    announce(own, out, &wait, time);
    let peer = follow(out, &wait.news, Instant::now() + time)?;
    pair::print(own, out, &peer)
}

fn announce(own: &Endpoint, out: Output, wait: &Wait, time: Duration) {
    if let Some(port) = wait.chosen_port {
        out.note(&news::chosen_port(port, &own.home().listen_path()));
    }
    out.note(&format!("waiting for {}; somebody else runs one of these:", text::duration(time)));
    if wait.addresses.iter().any(|at| !at.ip().is_some_and(|ip| ip.is_loopback())) {
        out.note("    egoat join --nearby");
    }
    for address in &wait.addresses {
        out.note(&format!("    egoat join {address}"));
    }
}

/// `egoat join --nearby`.
pub fn join(own: &Endpoint, out: Output, name: Option<String>) -> Result<Peer> {
    ensure_terminal()?;
    out.note("looking in this network for somebody who runs `egoat invite --nearby`");
    let (key, at) = digits::find(own)?;
    follow(out, &digits::dial(own, key, &at, false, name), Instant::now() + digits::WAIT)
}

/// Pairs with the node at an address, if its user waits for that; `None` if not, or if there is nobody to ask here.
pub fn meet(
    own: &Endpoint,
    out: Output,
    key: PublicKey,
    at: &Address,
    name: Option<String>,
) -> Result<Option<Peer>> {
    if !output::can_ask() {
        return Ok(None);
    }
    let dialled = digits::dial(own, key, at, true, name);
    match follow(out, &dialled, Instant::now() + digits::WAIT) {
        Err(Error::NobodyWaits { .. }) => Ok(None),
        paired => paired.map(Some),
    }
}

/// Shows what happens, and asks the user, until it is over.
fn follow(out: Output, news: &Receiver<News>, mut until: Instant) -> Result<Peer> {
    let mut asked: Option<(Pending, SyncSender<bool>)> = None;
    loop {
        match news.recv_timeout(TICK) {
            Ok(News::Compare(question)) => {
                out.note(&format!("{} is there, at {}", question.name, question.address));
                // The session has an end of its own.
                until = until.max(Instant::now() + digits::COMPARE_TIME) + GRACE;
                let pending = Pending::ask(&format!("Do both show {}? [yes/no]", question.digits))?;
                asked = Some((pending, question.answer));
            }
            Ok(News::Another) => out.note("somebody else tried to pair meanwhile, and was refused"),
            Ok(News::Left) => out.note("somebody was there, and left before there was something to compare"),
            Ok(News::Trouble(error)) => output::warn(&error.to_string()),
            Ok(News::Ended(ended)) => return ended.map(|peer| *peer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::failed("the wait has ended")),
        }
        let typed = asked.as_mut().and_then(|(pending, _)| pending.answer());
        if let Some(typed) = typed
            && let Some((_, answer)) = asked.take()
        {
            let is_same = matches!(typed.as_deref(), Some("yes" | "y"));
            let _ = answer.send(is_same);
            if is_same {
                out.note("waiting for the other side to say so as well");
            }
        }
        if Instant::now() >= until {
            return Err(Error::TimedOut { what: "nobody came in time".into() });
        }
    }
}
