//! How a sender offers files and learns how they are taken: the manifest, what the receiver has already, and a transfer that
//! is so short that all of it goes out with the offer. It leaves out the chunks: see `send`.

use std::ops::Range;
use std::time::Instant;

use crate::crypto::lane::TICKET_LEN;
use crate::error::Result;
use crate::net::session::{PING_AFTER, Session};
use crate::transfer::manifest::Manifest;
use crate::transfer::refusal;
use crate::transfer::source::Sources;
use crate::transfer::tally::Tally;
use crate::wire::features::Features;
use crate::wire::message::{CHUNK, HEADER, MAX_EARLY, Message, PIECE_HEAD, TRANSFER_LEN, UNKNOWN};

/// How the receiver takes what was offered.
pub enum Answer {
    /// In chunks, over these many lanes at most beside the session.
    Chunks {
        /// Lanes that may be dialled.
        lanes: u8,
        /// What opens them.
        ticket: [u8; TICKET_LEN],
        /// Chunks that it has.
        proven: Vec<Range<u64>>,
    },
    /// As they were sent early: all that is left is to hear that they are stored.
    Taken,
    /// In order, from this byte on.
    Stream(u64),
    /// Not at all: they came with an earlier try, of which only the last word was lost.
    Stored,
}

/// Writes a whole transfer before the receiver has accepted the session, if both ends have the feature and the transfer is
/// short enough. Returns whether it did (egoat-protocol(7), Sending early).
pub fn write_early(session: &mut Session, files: Option<&Sources>) -> Result<bool> {
    if !session.features().has(Features::EARLY) {
        return Ok(false);
    }
    let short = files.and_then(|files| Some((files.manifest(), short_content(files)?)));
    let Some((manifest, (parts, data))) = short else {
        session.write(&Message::Early(0))?;
        return Ok(false);
    };
    let pieces = manifest.chunks();
    // OFFER, START and END are three.
    session.write(&Message::Early(3 + parts.len() as u16 + pieces as u16))?;
    write_offer(session, [0; TRANSFER_LEN], manifest, &parts, manifest.bytes())?;
    session.write(&Message::Start(pieces))?;
    if !data.is_empty() {
        session.write(&Message::Piece { at: 0, data: &data })?;
    }
    session.write(&Message::End)?;
    Ok(true)
}

/// The manifest's parts and the bytes of all files, if they are short enough to go early, which is less than a PIECE holds.
/// `None` also for a file that cannot be read: the usual way reports the error.
fn short_content(files: &Sources) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
    /// Of OFFER, START, PIECE and END, and of the headers of what is counted below.
    const HEADS: u64 = 33 + 13 + PIECE_HEAD as u64 + 5 + HEADER as u64;
    let manifest = files.manifest();
    let room = (MAX_EARLY as u64 - HEADS).checked_sub(manifest.bytes())?;
    if manifest.entries().len() as u64 > room {
        return None;
    }
    let parts = manifest.parts();
    if parts.len() != 1 || parts[0].len() as u64 > room {
        return None;
    }
    let mut data = vec![0; manifest.bytes() as usize];
    files.reader().read(0, &mut data).ok()?;
    Some((parts, data))
}

/// Offers files, unless that `is_early`, and learns how they are taken. What the receiver has of an earlier try is compared
/// with the files.
pub fn offer(session: &mut Session, sources: &Sources, tally: &Tally, is_early: bool) -> Result<Answer> {
    let manifest = sources.manifest();
    if !is_early {
        write_offer(session, [0; TRANSFER_LEN], manifest, &manifest.parts(), manifest.bytes())?;
        session.flush()?;
    }
    let mut reader = sources.reader();
    let mut has_compared = false;
    let answer = read_answer(session, manifest.bytes(), manifest.chunks(), tally, |chunks, hash| {
        has_compared = true;
        let (start, end) = (chunks.start * CHUNK as u64, (chunks.end * CHUNK as u64).min(manifest.bytes()));
        let is_same = reader.hash(start, end - start)? == *hash;
        tally.check(end - start);
        Ok(is_same)
    })?;
    let is_one_file = manifest.entries().len() == 1 && manifest.files() == 1;
    if matches!(answer, Answer::Stream(_)) && !is_one_file {
        return Err(session.broken("it takes several files as if they were one"));
    }
    if is_early && !has_compared && matches!(answer, Answer::Chunks { .. }) {
        tally.add_lane();
        tally.add(manifest.bytes());
        session.skip_ignorable(true);
        return Ok(Answer::Taken);
    }
    Ok(answer)
}

/// Offers one file of unknown length. The answer says where to begin; `None` that it is stored already.
pub fn offer_stream(
    session: &mut Session,
    transfer: [u8; TRANSFER_LEN],
    manifest: &Manifest,
    tally: &Tally,
) -> Result<Option<u64>> {
    write_offer(session, transfer, manifest, &manifest.parts(), UNKNOWN)?;
    session.flush()?;
    match read_answer(session, UNKNOWN, 0, tally, |_, _| Ok(false))? {
        Answer::Stream(from) => Ok(Some(from)),
        Answer::Stored => Ok(None),
        Answer::Chunks { .. } | Answer::Taken => Err(session.broken("it takes a stream as if it were files")),
    }
}

fn write_offer(
    session: &mut Session,
    transfer: [u8; TRANSFER_LEN],
    manifest: &Manifest,
    parts: &[Vec<u8>],
    bytes: u64,
) -> Result<()> {
    session.write(&Message::Offer { transfer, entries: manifest.entries().len() as u32, bytes })?;
    parts.iter().try_for_each(|part| session.write(&Message::Manifest(part)))
}

/// Reads HAVE, each for some of `chunks` behind those of the one before, until it is TAKE, STREAM or DECLINE. So there
/// are not more of them than chunks, however many it would like to have hashed.
fn read_answer(
    session: &mut Session,
    bytes: u64,
    chunks: u64,
    tally: &Tally,
    mut is_same: impl FnMut(&Range<u64>, &[u8; 32]) -> Result<bool>,
) -> Result<Answer> {
    const DURING: &str = "waiting for the files to be taken";
    let features = session.features();
    let mut proven: Vec<Range<u64>> = Vec::new();
    let mut compared = 0;
    let mut last_sent = Instant::now();
    loop {
        tally.check_stop()?;
        match session.read(DURING)? {
            Message::Have { first, count, hash } => {
                let run = first..first.saturating_add(count.into());
                if run.start < compared || run.is_empty() || run.end > chunks {
                    return Err(
                        session.broken("chunks that there are not, or that it had said to have already")
                    );
                }
                compared = run.end;
                if is_same(&run, &hash)? {
                    proven.push(run);
                }
                // It waits while we compare.
                if last_sent.elapsed() >= PING_AFTER {
                    last_sent = Instant::now();
                    session.send(&Message::Ping)?;
                }
            }
            Message::Take { lanes, ticket } => {
                session.skip_ignorable(false);
                return Ok(Answer::Chunks { lanes, ticket, proven });
            }
            Message::Stream(from) => {
                session.skip_ignorable(false);
                return Ok(Answer::Stream(from));
            }
            Message::Stored => return Ok(Answer::Stored),
            Message::Decline(reason) if reason.told_to(features) != reason => {
                return Err(session.broken("a reason that it may not give"));
            }
            Message::Decline(reason) => return Err(refusal::declined(session.label(), reason, bytes)),
            // Its user is asked.
            Message::Ping => {}
            other => {
                let kind = other.kind();
                return Err(session.unexpected(kind, DURING));
            }
        }
    }
}
