//! A message for each line of standard input, for `journalctl -f` and `tail -f`. A line is on disk before the next ones are
//! read, and while too much waits for a peer who is away, reading stops: the program that writes the lines waits then, and
//! no line is lost.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::app::messages::delivery::{self, DeliveryOutcome, Goal};
use crate::app::messages::expiry;
use crate::error::{Error, Result};
use crate::net::endpoint::Endpoint;
use crate::store::outbox::{Draft, Outbox};
use crate::store::peers::Peer;
use crate::wire::message::MAX_TEXT;

/// Bytes that wait to be delivered. With more, no further line is read.
const MAX_BUFFERED: usize = 64 << 20;
/// How often the outbox is looked at for room.
const ROOM_POLL: Duration = Duration::from_millis(100);
/// How long a try to deliver takes at most.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the reading and the delivering thread share.
#[derive(Default)]
struct DeliveryProgress {
    /// The number of the last message that was queued.
    queued: AtomicU64,
    /// No more comes.
    is_over: AtomicBool,
    /// Held while lines are queued: the process does not end in the middle of that.
    queueing: Mutex<()>,
}

/// Says every line until the end of stdin, each of which expires after `expire`; then waits for the last one as a single
/// message is waited for. Returns the number of the last message, and what became of it.
pub fn say(
    own: &Endpoint,
    peer: &Peer,
    expire: Option<Duration>,
    wait: Option<Duration>,
) -> Result<(u64, DeliveryOutcome)> {
    let mut outbox = own.outbox(&peer.key)?;
    let progress = Arc::new(DeliveryProgress::default());
    let (bell, rings) = sync_channel(1);
    let reader = {
        let (mut outbox, progress) = (own.outbox(&peer.key)?, Arc::clone(&progress));
        thread::spawn(move || {
            let read = read_all(&mut outbox, expire, &progress, &bell);
            progress.is_over.store(true, SeqCst);
            read
        })
    };
    if let Err(error) = deliver_all(own, peer, &mut outbox, &progress, &rings) {
        // The reader may wait for a line that never comes, so nobody waits for the reader.
        std::mem::forget(progress.queueing.lock());
        return Err(error);
    }
    reader.join().unwrap_or_else(|_| Err(Error::failed("the reading of stdin broke down")))?;
    let number = progress.queued.load(SeqCst);
    if number == 0 {
        return Err(Error::usage("there is nothing to say"));
    }
    let outcome = delivery::deliver(own, peer, &mut outbox, Goal::UpTo(number), wait)?;
    Ok((number, outcome))
}

/// Queues lines as they come, all that are there at once.
fn read_all(
    outbox: &mut Outbox,
    expire: Option<Duration>,
    progress: &DeliveryProgress,
    bell: &SyncSender<()>,
) -> Result<()> {
    let mut stdin = std::io::stdin().lock();
    let mut line = Vec::new();
    // The last number of each batch that waits, and its bytes.
    let mut waiting: VecDeque<(u64, usize)> = VecDeque::new();
    loop {
        let bytes = stdin.fill_buf().map_err(|cause| Error::failed(format!("cannot read stdin: {cause}")))?;
        let (read, is_end) = (bytes.len(), bytes.is_empty());
        let drafts = split(&mut line, bytes, is_end, expire.map_or(0, expiry));
        stdin.consume(read);
        if !drafts.is_empty() {
            let number = {
                let _queueing = progress.queueing.lock();
                outbox.queue(&drafts)?
            };
            waiting.push_back((number, drafts.iter().map(|draft| draft.text.len()).sum()));
            progress.queued.store(number, SeqCst);
            if !is_heard(bell) {
                return Ok(());
            }
        }
        if is_end || !wait_for_room(outbox, &mut waiting, bell)? {
            return Ok(());
        }
    }
}

/// Rings for the deliverer. One that has not heard the ring before will look for all that is queued, too; one that is gone
/// has failed.
fn is_heard(bell: &SyncSender<()>) -> bool {
    !matches!(bell.try_send(()), Err(TrySendError::Disconnected(())))
}

/// The whole lines of `bytes`, behind what `line` has of one; what is left of the last stays there, unless this is the
/// end. What is longer than a message comes in several.
fn split(line: &mut Vec<u8>, bytes: &[u8], is_end: bool, expires: u64) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let mut take = |line: &mut Vec<u8>| {
        let text = std::mem::take(line);
        if !text.is_empty() {
            drafts.push(Draft { text, key: String::new(), expires });
        }
    };
    for part in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (text, is_whole) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
        for piece in text.chunks(MAX_TEXT) {
            if line.len() + piece.len() > MAX_TEXT {
                take(line);
            }
            line.extend_from_slice(piece);
        }
        if is_whole {
            take(line);
        }
    }
    if is_end {
        take(line);
    }
    drafts
}

/// Waits until less is waiting; says whether it is any use to read on.
fn wait_for_room(
    outbox: &mut Outbox,
    waiting: &mut VecDeque<(u64, usize)>,
    bell: &SyncSender<()>,
) -> Result<bool> {
    loop {
        while let Some((number, _)) = waiting.front()
            && outbox.is_settled(*number)?
        {
            waiting.pop_front();
        }
        if waiting.iter().map(|(_, bytes)| bytes).sum::<usize>() <= MAX_BUFFERED {
            return Ok(true);
        }
        if !is_heard(bell) {
            return Ok(false);
        }
        thread::sleep(ROOM_POLL);
    }
}

/// Sees to it that what was queued is delivered, through the node or without one, until nothing more comes.
fn deliver_all(
    own: &Endpoint,
    peer: &Peer,
    outbox: &mut Outbox,
    progress: &DeliveryProgress,
    rings: &Receiver<()>,
) -> Result<()> {
    while rings.recv().is_ok() {
        while !progress.is_over.load(SeqCst) && !outbox.is_settled(progress.queued.load(SeqCst))? {
            delivery::deliver(
                own,
                peer,
                outbox,
                Goal::UpTo(progress.queued.load(SeqCst)),
                Some(TRY_TIMEOUT),
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that are cut off after each of `parts`.
    fn lines(parts: &[&[u8]]) -> Vec<usize> {
        let mut line = Vec::new();
        let mut all: Vec<Draft> = parts.iter().flat_map(|part| split(&mut line, part, false, 0)).collect();
        all.extend(split(&mut line, b"", true, 0));
        all.iter().map(|draft| draft.text.len()).collect()
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let text = b"one\n\ntwo\nthree";
        for cut in 0..=text.len() {
            assert_eq!(lines(&[&text[..cut], &text[cut..]]), [3, 3, 5], "cut at {cut}");
        }
        assert_eq!(lines(&[b""]), [0; 0]);
    }

    #[test]
    fn what_is_longer_than_a_message_comes_in_several() {
        let long = vec![b'x'; 2 * MAX_TEXT + 1];
        assert_eq!(lines(&[&long, b"\ny\n"]), [MAX_TEXT, MAX_TEXT, 1, 1]);
        assert_eq!(lines(&[&long[..MAX_TEXT - 1], &long[..2], b"\n"]), [MAX_TEXT - 1, 2]);
    }
}
