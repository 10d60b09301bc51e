//! What is on the disk: a log of any bytes, records of any bodies, and the peers file, which people edit. Damage is the
//! work of a disk or of another program; nobody else can seal a record.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use egoat::crypto::keys::{PublicKey, Seed};
use egoat::error::Error;
use egoat::store::history::{self, Event};
use egoat::store::log::{Kind, Log, LogId, Reader};
use egoat::store::outbox::{Draft, Outbox, QueuedMessage};
use egoat::store::peers::Peers;
use egoat::store::queued_files::{Listed, QueuedFiles};
use egoat::store::shares::{ListedShares, Share, Shares};
use egoat::store::source::Item;
use egoat::text;
use tempfile::TempDir;

/// Bytes of a log before its first record.
const HEADER: usize = 16;

/// The owner and the peer of all logs are the same ones, so that a seed can be opened again.
fn log_id(path: &Path, kind: Kind) -> LogId {
    LogId::new(path.to_owned(), kind, &key(2), &Seed::from_bytes([1; 32]))
}

pub fn key(byte: u8) -> PublicKey {
    Seed::from_bytes([byte; 32]).static_keys().public()
}

fn quiet(_: &str) {}

/// In memory where that is possible: a sync costs nothing there.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

type Records = Vec<(u64, Vec<u8>)>;

fn read_all(mut reader: Reader) -> Records {
    let mut records = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        records.push((record.seq, record.body.to_vec()));
    }
    records
}

/// A log of any bytes: what can be read is read, nothing is lost by opening it, and what was read can be written again.
pub fn log(input: &[u8]) -> Option<Vec<u8>> {
    let dir = directory();
    let path = dir.path().join("one.log");
    fs::write(&path, input).unwrap();
    let id = log_id(&path, Kind::History);
    let reader = || Reader::new(id.clone(), Arc::new(quiet));
    let records = read_all(reader());
    skipping_leads_to_the_same(&reader, &records);

    match Log::open(id.clone(), Arc::new(quiet)) {
        Ok(log) => {
            drop(log);
            nothing_is_lost(input, &path);
            assert_eq!(read_all(reader()), records, "opening changed what can be read");
        }
        Err(Error::Corrupt { .. }) => assert_eq!(fs::read(&path).unwrap(), input),
        Err(other) => panic!("{other}"),
    }
    let again = log_id(&dir.path().join("two.log"), Kind::History);
    write_log(&again, &records);
    assert_eq!(
        read_all(Reader::new(again, Arc::new(quiet))),
        records,
        "what was read cannot be written again"
    );
    Some(format!("{records:?}").into_bytes()).filter(|_| !records.is_empty())
}

/// A torn header is completed and a torn tail kept aside; every other byte stays where it was.
fn nothing_is_lost(before: &[u8], path: &Path) {
    let mut after = fs::read(path).unwrap();
    if before.len() <= HEADER {
        assert!(after.len() == HEADER && after.starts_with(without_zeros(before)));
        return;
    }
    for entry in fs::read_dir(path.parent().unwrap()).unwrap().map(Result::unwrap) {
        if entry.path() != path {
            assert!(entry.file_name().to_str().unwrap().contains("torn"));
            after.extend_from_slice(&fs::read(entry.path()).unwrap());
        }
    }
    assert!(after == before, "bytes are lost");
}

/// Zeros at the end are what a header ends in, and what a disk has where nothing was written.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
}

fn skipping_leads_to_the_same(reader: &dyn Fn() -> Reader, records: &Records) {
    let mut last = reader();
    last.skip_to_last(1).unwrap();
    let read = read_all(last);
    assert!(records.ends_with(&read) && (records.is_empty() || !read.is_empty()));
    let mut from = reader();
    from.skip_to(records.last().map_or(1, |(seq, _)| *seq)).unwrap();
    assert!(records.ends_with(&read_all(from)));
}

fn write_log(id: &LogId, records: &[(u64, Vec<u8>)]) {
    let mut log = Log::open(id.clone(), Arc::new(quiet)).unwrap();
    let mut appender = log.lock().unwrap();
    records.iter().for_each(|(seq, body)| appender.push(*seq, body).unwrap());
    appender.commit(false).unwrap();
}

/// The bytes of a log with these records.
pub fn log_of(kind: Kind, records: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let dir = directory();
    let id = log_id(&dir.path().join("one.log"), kind);
    write_log(&id, records);
    fs::read(id.path()).unwrap()
}

/// Bodies of records, `length u16 ‖ body` each, with the numbers that their places give them.
fn bodies(mut input: &[u8]) -> Records {
    let mut records = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let (body, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        records.push((records.len() as u64 + 1, body.to_vec()));
        input = rest;
    }
    records
}

fn waiting(outbox: &Outbox) -> Vec<QueuedMessage> {
    let mut pending = outbox.pending();
    std::iter::from_fn(|| pending.read().unwrap()).collect()
}

/// Records of any bodies as an outbox: what waits can be queued again, taken out and settled.
pub fn outbox(input: &[u8]) -> Option<Vec<u8>> {
    let dir = directory();
    let id = log_id(&dir.path().join("one.log"), Kind::Outbox);
    write_log(&id, &bodies(input));
    let mut outbox = Outbox::open(id, Arc::new(quiet)).unwrap();
    let found = waiting(&outbox);
    let drafts: Vec<Draft> = found.iter().map(|waiting| waiting.draft.clone()).collect();
    let drafts_of = |outbox: &Outbox| waiting(outbox).into_iter().map(|one| one.draft).collect::<Vec<_>>();

    let mut other = Outbox::open(log_id(&dir.path().join("two.log"), Kind::Outbox), Arc::new(quiet)).unwrap();
    // A key that no command line gives is refused, and so is text that no record holds.
    if !drafts.is_empty() && other.queue(&drafts).is_ok() {
        assert_eq!(drafts_of(&other), drafts);
        other.reissue_above(1 << 54).unwrap();
        assert_eq!(drafts_of(&other), drafts, "new numbers, and nothing else");
        let last = waiting(&other).last().unwrap().number;
        other.settle(last).unwrap();
        assert!(waiting(&other).is_empty() && other.is_settled(last).unwrap());
    }
    // Of its own records it may make what it likes, without a panic.
    let _ = (outbox.has_pending(), outbox.has_issued(3), outbox.is_dropped(3));
    let _ = outbox.drop_messages(|_| true, Ok).map(|dropped| assert_eq!(dropped, found));
    let _ = (outbox.settle_dropped(), outbox.settle(2), outbox.queue(&[Draft::new(b"later")]));
    Some(format!("{found:?}").into_bytes()).filter(|_| !found.is_empty())
}

/// Records of any bodies as the files that are queued.
pub fn queued_files(input: &[u8]) -> Option<Vec<u8>> {
    let dir = directory();
    let id = log_id(&dir.path().join("one.log"), Kind::Files);
    write_log(&id, &bodies(input));
    let jobs = Listed::new(id, Arc::new(quiet)).all().unwrap();
    let again = log_id(&dir.path().join("two.log"), Kind::Files);
    let mut queued = QueuedFiles::open(again.clone(), Arc::new(quiet)).unwrap();
    for job in &jobs {
        assert!(!job.items.is_empty());
        let _ = job.size();
        queued.queue(&job.items).unwrap();
    }
    let items = |jobs: Vec<egoat::store::queued_files::Job>| -> Vec<Vec<Item>> {
        jobs.into_iter().map(|job| job.items).collect()
    };
    let shown = format!("{jobs:?}");
    let is_empty = jobs.is_empty();
    assert_eq!(items(Listed::new(again, Arc::new(quiet)).all().unwrap()), items(jobs));
    Some(shown.into_bytes()).filter(|_| !is_empty)
}

/// Shares that a property adds again, each with a sync.
const SHARED_AGAIN: usize = 20;

/// Records of any bodies as what is shared: what is listed can be told to a peer, shared once more, used up and stopped.
pub fn shares_log(input: &[u8]) -> Option<Vec<u8>> {
    let dir = directory();
    let id = log_id(&dir.path().join("one.log"), Kind::Shares);
    write_log(&id, &bodies(input));
    let mut listed = ListedShares::new(id, Arc::new(quiet));
    let found: Vec<Share> = listed.all().unwrap().to_vec();
    let again = log_id(&dir.path().join("two.log"), Kind::Shares);
    let mut shares = Shares::open(again.clone(), Arc::new(quiet)).unwrap();
    let mut listed_again = ListedShares::new(again, Arc::new(quiet));
    for share in found.iter().take(SHARED_AGAIN) {
        assert!(!share.items.is_empty() && share.token.invite_id() == share.id);
        assert_eq!(listed.find(&share.id).unwrap().map(shown), Some(shown(share)));
        let told = share.told();
        assert_eq!((told.id, told.entries, told.bytes), (share.id, share.entries, share.bytes));
        shares.add(share.clone()).unwrap();
        let Some(read) = listed_again.find(&share.id).unwrap() else {
            assert!(share.is_over(), "it was shared, and is not there");
            continue;
        };
        assert_eq!((&read.items, &read.to, read.until), (&share.items, &share.to, share.until));
        assert!(!read.is_stopped() && !read.is_used_up());
        let is_open = read.is_open();
        assert_eq!(shares.stop(&share.id).unwrap(), is_open);
        assert!(shares.use_up(&share.id, &key(3)).unwrap() && !shares.use_up(&share.id, &key(4)).unwrap());
        assert!(listed_again.find(&share.id).unwrap().unwrap().is_used_up());
    }
    Some(found.iter().map(shown).collect::<String>().into_bytes()).filter(|_| !found.is_empty())
}

fn shown(share: &Share) -> String {
    let Share { id, until, is_once, entries, bytes, to, items, .. } = share;
    let ended = (share.is_stopped(), share.is_used_up());
    format!("{id:?} {until:?} {is_once} {entries} {bytes} {to:?} {items:?} {ended:?}\n")
}

/// The number of a record, for those without times.
const SEQ: u64 = 77;

/// The body of a record of a history, encoded again as egoat-files(5) has it.
pub fn history(input: &[u8]) -> Option<Vec<u8>> {
    let event = history::decode(input).ok()?;
    // The numbers in front are those of the log up to here; an event has its own of them.
    let (received, sent) = (&input[1..9], &input[9..17]);
    let history::Times { noted, said } = history::times(SEQ, input).unwrap();
    let is_timed = input[0] >= 17;
    let times = if is_timed { [noted.to_be_bytes(), said.to_be_bytes()].concat() } else { Vec::new() };
    assert!(is_timed || noted == SEQ);
    let (kind, rest) = match event {
        Event::Received { number, text } => {
            assert_eq!(number.to_be_bytes(), *received);
            (1, text.to_vec())
        }
        Event::Sent { number, key, text } => {
            assert_eq!(number.to_be_bytes(), *sent);
            (2, [&[key.len() as u8], key.as_bytes(), text].concat())
        }
        Event::FileReceived { size, path } => (3, [&size.to_be_bytes(), path].concat()),
        Event::FileSent { size, path } => (4, [&size.to_be_bytes(), path].concat()),
        Event::Dropped { number, why, text } => {
            let why = if why.word() == "cancelled" { 1 } else { 2 };
            (5, [&number.to_be_bytes(), [why].as_slice(), text].concat())
        }
    };
    let kind = if is_timed { kind + 16 } else { kind };
    assert_eq!([&[kind], received, sent, &times, &rest].concat(), input);
    Some(input.to_vec())
}

/// The peers file: kept as it is but for the spacing of a peer's line, and safe to go by.
pub fn peers(input: &[u8]) -> Option<Vec<u8>> {
    let peers = Peers::parse(std::str::from_utf8(input).ok()?).ok()?;
    let written = peers.text();
    assert_eq!(Peers::parse(&written).ok().unwrap().text(), written);
    for peer in peers.iter() {
        assert_eq!(text::name(&peer.name).as_ref(), Some(&peer.name));
        assert_eq!(peers.by_name(&peer.name), Some(peer));
        assert_eq!(peers.by_key(&peer.key), Some(peer));
        let _ = (peer.files(), peer.max_file(), peer.quota(), peer.seen(), peer.is_blocked());
        let (places, mut noted) = (peer.places(), peer.clone());
        assert!(places.len() <= 16 && peer.has_address() != places.is_empty());
        // What has worked is first, and what is over goes once.
        if let Some(last) = places.last() {
            noted.note_worked(&last.address);
            assert_eq!(noted.places()[0].address, last.address);
        }
        noted.forget_old_places();
        let once = noted.clone();
        noted.forget_old_places();
        assert_eq!(noted, once);
        assert!(peer.downloads_dir().is_none_or(|dir| dir.is_absolute()));
    }
    Some(written.into_bytes())
}
