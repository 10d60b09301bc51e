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

use crate::app::messages::delivery::{self, Goal};
use crate::app::messages::{SayResult, expiry, no_text};
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

/// What became of the lines of stdin.
pub struct LinesResult {
    /// The last one that was queued; `None` if there was none.
    pub last: Option<SayResult>,
    /// Why not all of stdin was said.
    pub read: Result<()>,
}

/// Says every line until the end of stdin, each of which expires after `expire`; then waits for the last one as a single
/// message is waited for. A line that cannot be said ends it; those before it are said.
pub fn say(
    own: &Endpoint,
    peer: &Peer,
    expire: Option<Duration>,
    wait: Option<Duration>,
) -> Result<LinesResult> {
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
    let read = reader.join().unwrap_or_else(|_| Err(Error::failed("the reading of stdin broke down")));
    let number = progress.queued.load(SeqCst);
    let deliver = || delivery::deliver(own, peer, &mut outbox, Goal::UpTo(number), wait);
    let outcome = (number != 0).then(deliver).transpose()?;
    Ok(LinesResult { last: outcome.map(|outcome| SayResult { number, outcome }), read })
}

/// Queues lines as they come, all that are there at once.
fn read_all(
    outbox: &mut Outbox,
    expire: Option<Duration>,
    progress: &DeliveryProgress,
    bell: &SyncSender<()>,
) -> Result<()> {
    let mut stdin = std::io::stdin().lock();
    let mut lines = Lines { line: Vec::new(), number: 1, expire };
    // The last number of each batch that waits, and its bytes.
    let mut waiting: VecDeque<(u64, usize)> = VecDeque::new();
    loop {
        let bytes = stdin.fill_buf().map_err(|cause| Error::failed(format!("cannot read stdin: {cause}")))?;
        let (read, is_end) = (bytes.len(), bytes.is_empty());
        let (drafts, is_text) = lines.split(bytes, is_end);
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
        is_text?;
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

/// Cuts stdin into messages.
struct Lines {
    /// The beginning of a line that goes on.
    line: Vec<u8>,
    /// Which line of stdin that is, from 1.
    number: u64,
    expire: Option<Duration>,
}

impl Lines {
    /// The lines that end in `bytes`, or here, if it is the end. What is longer than a message comes in several. A line that is
    /// not UTF-8 is an error, beside the ones before it.
    fn split(&mut self, bytes: &[u8], is_end: bool) -> (Vec<Draft>, Result<()>) {
        let mut drafts = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (mut text, is_whole) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            while !text.is_empty() {
                let room = text.len().min(MAX_TEXT - self.line.len());
                self.line.extend_from_slice(&text[..room]);
                text = &text[room..];
                if !text.is_empty()
                    && let Err(error) = self.take(&mut drafts, false)
                {
                    return (drafts, Err(error));
                }
            }
            if is_whole {
                if let Err(error) = self.take(&mut drafts, true) {
                    return (drafts, Err(error));
                }
                self.number += 1;
            }
        }
        let ended = if is_end { self.take(&mut drafts, true) } else { Ok(()) };
        (drafts, ended)
    }

    /// Makes a message of the line, or of what fits into one, but for a character that is cut in two.
    fn take(&mut self, drafts: &mut Vec<Draft>, is_whole: bool) -> Result<()> {
        let length = match std::str::from_utf8(&self.line) {
            Ok(text) => text.len(),
            Err(cut) if !is_whole && cut.error_len().is_none() => cut.valid_up_to(),
            Err(_) => return Err(no_text(&format!("line {} of stdin", self.number))),
        };
        let rest = self.line.split_off(length);
        let text = std::mem::replace(&mut self.line, rest);
        if !text.is_empty() {
            drafts.push(Draft { text, key: String::new(), expires: self.expire.map_or(0, expiry) });
        }
        Ok(())
    }
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

    fn lines() -> Lines {
        Lines { line: Vec::new(), number: 1, expire: None }
    }

    /// The lengths of the messages when `parts` are read one after the other.
    fn lengths(parts: &[&[u8]]) -> Vec<usize> {
        let mut lines = lines();
        let mut all = Vec::new();
        for (part, is_end) in parts.iter().map(|part| (*part, false)).chain([(&b""[..], true)]) {
            let (drafts, read) = lines.split(part, is_end);
            assert!(read.is_ok());
            all.extend(drafts.iter().map(|draft| draft.text.len()));
        }
        all
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let text = "one\n\ntw\u{f6}\nthree".as_bytes();
        for cut in 0..=text.len() {
            assert_eq!(lengths(&[&text[..cut], &text[cut..]]), [3, 4, 5], "cut at {cut}");
        }
        assert_eq!(lengths(&[b""]), [0; 0]);
    }

    #[test]
    fn what_is_longer_than_a_message_comes_in_several() {
        let long = vec![b'x'; 2 * MAX_TEXT + 1];
        assert_eq!(lengths(&[&long, b"\ny\n"]), [MAX_TEXT, MAX_TEXT, 1, 1]);
        assert_eq!(lengths(&[&long[..MAX_TEXT - 1], &long[..2], b"\n"]), [MAX_TEXT, 1]);
        // No character is cut in two.
        let long = "\u{20ac}".repeat(MAX_TEXT / 3 + 1).into_bytes();
        assert_eq!(lengths(&[&long, b"\n"]), [MAX_TEXT - 1, 3]);
    }

    #[test]
    fn a_line_that_is_no_text_ends_it_behind_the_lines_before() {
        for bad in [&b"\xff\n"[..], b"x\xff", b"\xe2\x82\nfour\n", b"\xe2\x82"] {
            let mut lines = lines();
            let (drafts, _) = lines.split(b"one\n\n", false);
            let (more, read) = lines.split(bad, true);
            assert_eq!((drafts.len(), more.len()), (1, 0));
            assert_eq!(
                read.err().map(|bad| bad.to_string()),
                Some("line 3 of stdin is not UTF-8, so it was not sent".into())
            );
        }
    }
}
