//! Chat line by line: what is typed goes to a peer's outbox, what happens comes out as lines. For pipes, and for
//! terminals until the interactive form is there. It works beside a running node, and knows it by the doorbell alone.

use std::io::{BufRead, Read};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::chat::conversation::{Begin, Conversation};
use crate::chat::line::Line;
use crate::chat::offers::Offers;
use crate::error::{Error, Result};
use crate::node::doorbell::{Bell, LOOK};
use crate::node::pairing;
use crate::store::home::Own;
use crate::store::outbox::Draft;
use crate::store::peers::{Peer, Peers};
use crate::wire::message::MAX_TEXT;

/// After the end of input, what was typed gets this long to be delivered.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the input's thread and the main one share.
struct Input {
    /// How it ended, once it has.
    ended: Mutex<Option<Result<()>>>,
    /// The last line of each peer: its key and number.
    said: Mutex<Vec<(Peer, u64)>>,
}

/// Talks until the end of input. `show` prints an event, `tell` says something about the chat itself.
pub fn run(
    own: &Own,
    to: Option<Peer>,
    offers: Arc<Offers>,
    mut show: impl FnMut(&Line) -> Result<()>,
    tell: fn(&str),
    mut check: impl FnMut() -> Result<()>,
) -> Result<()> {
    let mut conversation = Conversation::new(own, to.as_ref(), Begin::Last(0))?;
    // Only what happens from now on is shown; `log` has the rest.
    while conversation.next(|_, _| Ok(()))? {}
    let bell = Bell::new(own.home())?;
    let input = Arc::new(Input { ended: Mutex::new(None), said: Mutex::default() });
    let (reader, theirs) = (own.clone(), Arc::clone(&input));
    thread::spawn(move || {
        let result = read_lines(&reader, to, &offers, &theirs, tell);
        *theirs.ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(result);
    });
    let mut deadline = None;
    loop {
        check()?;
        conversation.look()?;
        while conversation.next(|_, line| show(line))? {}
        let ended = input.ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        match ended {
            Some(Err(error)) => return Err(error),
            Some(Ok(())) => deadline = Some(Instant::now() + LAST_WORDS),
            None => {}
        }
        if let Some(deadline) = deadline {
            let is_delivered = is_all_delivered(own, &input)?;
            if is_delivered || Instant::now() >= deadline {
                conversation.look()?;
                while conversation.next(|_, line| show(line))? {}
                if !is_delivered {
                    tell("not all that was typed is delivered yet; `egoat outbox` shows what waits");
                }
                return Ok(());
            }
        }
        bell.ring()?;
        bell.wait(if deadline.is_some() { LOOK / 20 } else { LOOK / 4 });
    }
}

fn is_all_delivered(own: &Own, input: &Input) -> Result<bool> {
    let said = input.said.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (peer, number) in said.iter() {
        if !own.outbox(&peer.key)?.is_settled(*number)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_lines(own: &Own, mut to: Option<Peer>, offers: &Offers, input: &Input, tell: fn(&str)) -> Result<()> {
    let bell = Bell::new(own.home())?;
    let mut stdin = std::io::stdin().lock();
    let mut line = Vec::new();
    let mut is_lost = false;
    loop {
        line.clear();
        // One byte more than a message may have, so that a longer line is refused and not cut.
        let limit = MAX_TEXT as u64 + 2;
        let read = stdin.by_ref().take(limit).read_until(b'\n', &mut line);
        if read.map_err(|cause| Error::failed(format!("cannot read the input: {cause}")))? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == limit {
            tell("a line over 1 MiB was left out; send it as a file: `egoat send PEER FILE`");
            skip_line(&mut stdin)?;
            continue;
        }
        if let Some(name) = line.strip_prefix(b"/to ") {
            let name = String::from_utf8_lossy(name).trim().to_owned();
            let found = Peers::load(own.home()).map(|peers| peers.by_name(&name).cloned());
            // What follows a name that is nobody's is for somebody else than what came before.
            is_lost = !matches!(found, Ok(Some(_)));
            match found {
                Ok(Some(peer)) => to = Some(peer),
                Ok(None) => tell("no peer is called that; `egoat peers` lists them"),
                Err(error) => tell(&error.to_string()),
            }
            continue;
        }
        if let Some(said) = std::str::from_utf8(&line).ok().and_then(|line| offers.command(line)) {
            if !said.is_empty() {
                tell(said);
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let peer = match recipient(own, to.as_ref(), is_lost) {
            Ok(peer) => peer,
            Err(error) => {
                tell(&format!("this line was not sent: {error}"));
                continue;
            }
        };
        match own.outbox(&peer.key)?.queue(&[Draft::new(&line)]) {
            Ok(number) => {
                let mut said = input.said.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                said.retain(|(other, _)| other.key != peer.key);
                said.push((peer, number));
            }
            Err(error @ Error::Usage { .. }) => tell(&error.to_string()),
            Err(error) => return Err(error),
        }
        bell.ring()?;
    }
}

/// Reads to the end of a line that is too long to keep.
fn skip_line(input: &mut impl BufRead) -> Result<()> {
    loop {
        let bytes =
            input.fill_buf().map_err(|cause| Error::failed(format!("cannot read the input: {cause}")))?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(bytes.len(), |place| place + 1);
        let done = end.is_some() || bytes.is_empty();
        input.consume(used);
        if done {
            return Ok(());
        }
    }
}

/// Who is meant, as the peers file has it now. With a single peer there is no question to whom.
fn recipient(own: &Own, to: Option<&Peer>, is_lost: bool) -> Result<Peer> {
    let peers = match (Peers::load(own.home()), to) {
        // With a typing error in the file, what was read before holds.
        (Err(_), Some(to)) if !is_lost => return pairing::ensure_not_blocked(to).map(|()| to.clone()),
        (peers, _) => peers?,
    };
    let mut all = peers.iter();
    let peer = match to {
        _ if is_lost => None,
        Some(to) => peers.by_key(&to.key),
        None => all.next().filter(|_| all.next().is_none()),
    };
    let peer = peer.ok_or_else(|| Error::usage("to whom? type /to NAME first"))?;
    pairing::ensure_not_blocked(peer)?;
    Ok(peer.clone())
}
