//! The storage through its public API: what a crash, a bad disk and several processes at once can do to it.
//!
//! Handles of one process have open file descriptions of their own, so the locks hold between them as between processes.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::logs::{directory, tell, told};
use egoat::crypto::SharedSecret;
use egoat::crypto::keys::{PublicKey, Seed};
use egoat::error::Error;
use egoat::store::history::{self, Dropped, Event, History, ReceivedMessage};
use egoat::store::home::Home;
use egoat::store::invites;
use egoat::store::log::{Kind, Log, LogId, Reader};
use egoat::store::mapping::{By, MapState, Mapped, Mapping};
use egoat::store::node_lock::{self, NodeInfo, NodeLock};
use egoat::store::outbox::{Draft, Outbox, Pending, QueuedMessage};
use egoat::store::peers::{Peer, Peers};
use egoat::store::requests;
use proptest::prelude::*;
use tempfile::TempDir;

/// Bytes of a log before its first record, and of a record beside its body.
const HEADER: usize = 16;
const OVERHEAD: usize = 68;

fn key(byte: u8) -> PublicKey {
    Seed::from_bytes([byte; 32]).static_keys().public()
}

fn id(path: &Path, kind: Kind) -> LogId {
    static PEER: LazyLock<PublicKey> = LazyLock::new(|| key(2));
    LogId::new(path.to_owned(), kind, &PEER, &Seed::from_bytes([1; 32]))
}

fn open(path: &Path) -> egoat::error::Result<Log> {
    Log::open(id(path, Kind::History), Arc::new(tell))
}

fn append(log: &mut Log, bodies: &[Vec<u8>]) {
    let mut appender = log.lock().unwrap();
    for body in bodies {
        let seq = appender.next_seq();
        appender.push(seq, body).unwrap();
    }
    appender.commit(true).unwrap();
}

fn reader(path: &Path) -> Reader {
    Reader::new(id(path, Kind::History), Arc::new(tell))
}

fn rest(reader: &mut Reader) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut last = 0;
    while let Some(record) = reader.read().unwrap() {
        assert!(record.seq > last, "numbers rise");
        last = record.seq;
        bodies.push(record.body.to_vec());
    }
    bodies
}

fn read(path: &Path) -> Vec<Vec<u8>> {
    rest(&mut reader(path))
}

/// Bodies of these lengths, each filled with its place.
fn bodies(lengths: &[usize]) -> Vec<Vec<u8>> {
    lengths.iter().enumerate().map(|(place, length)| vec![place as u8; *length]).collect()
}

/// A log of such bodies: its bytes, and where each record ends.
fn written(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let dir = directory();
    let path = dir.path().join("a.log");
    append(&mut open(&path).unwrap(), bodies);
    let mut end = HEADER;
    let ends = bodies.iter().map(|body| {
        end += OVERHEAD + body.len();
        end
    });
    (fs::read(&path).unwrap(), ends.collect())
}

/// The files beside `path` that were put aside, with their bytes.
fn aside(path: &Path, why: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let prefix = format!("{}.{why}-", path.file_stem().unwrap().to_str().unwrap());
    let entries = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let named = entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix));
    named.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Runs `check` with every number below `count`, on the cores there are.
fn for_each_place(count: usize, check: impl Fn(&Path, usize) + Sync) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for first in 0..threads {
            let check = &check;
            scope.spawn(move || {
                let dir = directory();
                for place in (first..count).step_by(threads) {
                    let path = dir.path().join(format!("{place}.log"));
                    check(&path, place);
                    aside(&path, "torn").iter().for_each(|(path, _)| fs::remove_file(path).unwrap());
                    fs::remove_file(&path).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_log_cut_at_any_byte_keeps_its_whole_records() {
    let bodies = bodies(&[0, 1, 100, 5000]);
    let (bytes, ends) = written(&bodies);
    assert_eq!(ends.last(), Some(&bytes.len()));
    for_each_place(bytes.len() + 1, |path, cut| {
        fs::write(path, &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let good = if whole == 0 { HEADER.min(cut) } else { ends[whole - 1] };
        let mut follower = reader(path);
        assert_eq!(rest(&mut follower), bodies[..whole], "cut at {cut}");
        assert_eq!(told(), [""; 0], "a reader takes it for a tail in progress");

        let mut log = open(path).unwrap();
        let kept = aside(path, "torn");
        if good < cut {
            assert_eq!(kept.len(), 1, "cut at {cut}");
            assert_eq!(kept[0].1, bytes[good..cut]);
            assert_eq!(told().len(), 1);
        } else {
            assert!(kept.is_empty(), "cut at {cut}");
        }
        assert_eq!(log.len() as usize, good.max(HEADER));
        append(&mut log, &[b"new".to_vec()]);
        assert_eq!(rest(&mut follower), [b"new"], "cut at {cut}");
        assert_eq!(told(), [""; 0]);
    });
    for_each_place(ends.len(), |path, record| {
        fs::write(path, &bytes[..ends[record] - 1]).unwrap();
        append(&mut open(path).unwrap(), &[b"new".to_vec()]);
        assert_eq!(read(path), [&bodies[..record], &[b"new".to_vec()]].concat());
    });
}

#[test]
fn a_changed_byte_is_refused_and_kept_but_for_the_last_record() {
    let bodies = bodies(&[0, 1, 2000, 300, 100]);
    let (bytes, ends) = written(&bodies);
    let last = ends[ends.len() - 2];
    for_each_place(bytes.len(), |path, place| {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        fs::write(path, &damaged).unwrap();
        let hit = ends.iter().filter(|end| **end <= place).count();
        let mut others = bodies.clone();
        if place >= HEADER {
            others.remove(hit);
        }
        assert_eq!(read(path), others, "byte {place}");
        let reports = told();
        if place < HEADER || place >= last {
            assert!(reports.is_empty(), "byte {place}: {reports:?}");
        } else {
            assert_eq!(reports.len(), 1, "byte {place}");
            assert!(reports[0].contains("damaged and were skipped"), "{reports:?}");
        }

        if place < last {
            assert!(matches!(open(path).err(), Some(Error::Corrupt { .. })), "byte {place}");
            assert_eq!(fs::read(path).unwrap(), damaged);
            assert!(aside(path, "torn").is_empty());
        } else {
            append(&mut open(path).unwrap(), &[b"new".to_vec()]);
            assert_eq!(aside(path, "torn")[0].1, damaged[last..]);
            others.push(b"new".to_vec());
            assert_eq!(read(path), others, "byte {place}");
        }
        told();
    });
}

#[test]
fn damage_behind_a_torn_tail_is_refused() {
    let (mut bytes, ends) = written(&bodies(&[10, 10, 10]));
    let dir = directory();
    let path = dir.path().join("a.log");
    bytes[HEADER + 50] ^= 1;
    bytes.truncate(ends[2] - 1);
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(open(&path).err(), Some(Error::Corrupt { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// Records are bound to their place by the tag of the one before.
#[test]
fn a_record_that_is_missing_is_noticed() {
    let bodies = bodies(&[10, 20, 30]);
    let (bytes, ends) = written(&bodies);
    let dir = directory();
    let path = dir.path().join("a.log");
    let without = [&bytes[..ends[0]], &bytes[ends[1]..]].concat();
    fs::write(&path, &without).unwrap();
    assert!(matches!(open(&path).err(), Some(Error::Corrupt { .. })));
    assert_eq!(fs::read(&path).unwrap(), without);
    assert_eq!(read(&path), [bodies[0].clone(), bodies[2].clone()]);
    assert!(told()[0].contains(&format!("a record is missing before byte {}", ends[0])));
}

/// A power cut during a sync can keep the last record of a batch and lose one in the middle. The last one alone would
/// say that all of them are here.
#[test]
fn a_hole_in_the_last_batch_is_noticed_in_a_long_log_too() {
    let dir = directory();
    let path = dir.path().join("a.log");
    append(&mut open(&path).unwrap(), &vec![vec![1; 200]; 2000]);
    let length = fs::metadata(&path).unwrap().len();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 4096], length - 60_000).unwrap();
    assert!(matches!(open(&path).err(), Some(Error::Corrupt { .. })));
    assert_eq!(fs::metadata(&path).unwrap().len(), length);
    assert!(read(&path).len() > 1970);
    assert_eq!(told().len(), 1);
}

#[test]
fn a_log_that_is_no_log_is_left_alone() {
    let dir = directory();
    let path = dir.path().join("a.log");
    for content in [
        b"#!/bin/sh\n".as_slice(),
        &[0; 17],
        b"E-GOATLG\x02\x01\0\0\0\0\0\0",
        b"E-GOATLG\x01\x02\0\0\0\0\0\0",
    ] {
        fs::write(&path, content).unwrap();
        assert!(matches!(open(&path).err(), Some(Error::Corrupt { .. })));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::write(&path, [0; 16]).unwrap();
    assert!(open(&path).unwrap().is_empty(), "a header that a power cut left empty");
}

/// Blocks that were given to the file and never written. A search in them once took time by the square of their number:
/// 38 s for these.
#[test]
fn a_torn_tail_of_zeros_is_cut_quickly() {
    let dir = directory();
    let path = dir.path().join("a.log");
    append(&mut open(&path).unwrap(), &vec![vec![1; 200]; 5000]);
    let length = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length + (1 << 20)).unwrap();
    let before = Instant::now();
    assert_eq!(read(&path).len(), 5000);
    assert_eq!(open(&path).unwrap().len(), length);
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    assert_eq!(aside(&path, "torn")[0].1.len(), 1 << 20);
}

#[test]
fn a_torn_tail_longer_than_any_record_is_cut() {
    let dir = directory();
    let path = dir.path().join("a.log");
    append(&mut open(&path).unwrap(), &vec![vec![1; 200]; 2000]);
    let length = fs::metadata(&path).unwrap().len();
    let mut noise = Vec::new();
    let mut state = 1u64;
    for _ in 0..5 << 17 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        noise.extend_from_slice(&(state >> 8).to_be_bytes());
    }
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&noise, length).unwrap();
    append(&mut open(&path).unwrap(), &[b"new".to_vec()]);
    assert_eq!(aside(&path, "torn")[0].1, noise);
    assert_eq!(read(&path).len(), 2001);
}

#[test]
fn a_long_log_is_opened_from_its_end() {
    const FAR: u64 = 8 << 30;
    let (bytes, _) = written(&vec![vec![1; 200]; 2000]);
    let dir = directory();
    let path = dir.path().join("a.log");
    let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    file.write_all_at(&bytes[HEADER..], FAR).unwrap();
    let mut log = open(&path).unwrap();
    assert_eq!(log.len(), FAR + (bytes.len() - HEADER) as u64);
    append(&mut log, &[b"new".to_vec()]);
    assert_eq!(open(&path).unwrap().last_head(), b"new");
}

#[test]
fn long_bodies_stand_beside_short_ones() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mib = 1 << 20;
    let lengths =
        [vec![100; 3000], vec![mib], vec![0; 3], vec![mib, mib], vec![65_536 - OVERHEAD; 3], vec![mib]]
            .concat();
    let expected = bodies(&lengths);
    append(&mut open(&path).unwrap(), &expected);
    let mut follower = reader(&path);
    assert!(rest(&mut follower) == expected);
    let mut log = open(&path).unwrap();
    assert_eq!(log.last_head(), &expected.last().unwrap()[..32]);
    append(&mut log, &vec![vec![7; 50]; 3000]);
    assert_eq!(open(&path).unwrap().last_head(), [7; 32]);
    assert_eq!(rest(&mut follower).len(), 3000);
    assert_eq!(told(), [""; 0]);

    let mut appender = log.lock().unwrap();
    let seq = appender.next_seq();
    assert!(appender.push(seq, &vec![0; mib + 1025]).is_err());
    appender.push(seq, &vec![0; mib + 1024]).unwrap();
    appender.commit(true).unwrap();
    assert_eq!(rest(&mut follower)[0].len(), mib + 1024);
}

#[test]
fn a_reader_waits_for_a_record_in_progress() {
    let expected = bodies(&[10, 0, 300, 70_000, 5]);
    let (bytes, ends) = written(&expected);
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut follower = reader(&path);
    assert!(rest(&mut follower).is_empty(), "there is no log yet");
    let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
    let (mut seen, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        // Byte by byte but within the long body.
        let step = if (2_000..70_000).contains(&at) { 977 } else { 1 };
        let next = (at + step).min(bytes.len());
        file.write_all_at(&bytes[at..next], at as u64).unwrap();
        at = next;
        seen.append(&mut rest(&mut follower));
        assert!(seen == expected[..ends.iter().filter(|end| **end <= at).count()], "at byte {at}");
    }
    assert_eq!(told(), [""; 0]);
}

/// A record that was finished between the reader's look at it and its search for damage was once skipped.
/// Nobody knows yet where it ends.
#[test]
fn a_reader_goes_to_the_end_before_a_long_record_in_progress() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let (bytes, ends) = written(&bodies(&[10, 20, 200_000, 30]));
    for progress in [1, 100, 70_000, 150_000] {
        fs::write(&path, &bytes[..ends[1] + progress]).unwrap();
        let mut reader = reader(&path);
        reader.skip_to_last(0).unwrap();
        let seen = rest(&mut reader);
        fs::write(&path, &bytes).unwrap();
        let now = rest(&mut reader);
        assert_eq!(
            now.iter().map(Vec::len).collect::<Vec<_>>(),
            [200_000, 30],
            "{progress}, after {}",
            seen.len()
        );
        assert_eq!(told(), [""; 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
    /// What a reader gives that began elsewhere is the end of what is there.
    #[test]
    fn a_reader_begins_anywhere(
        lengths in prop::collection::vec(
            prop_oneof![6 => 0..300usize, 2 => 0..30_000usize, 1 => 60_000..70_000usize, 1 => 300_000..400_000usize],
            0..80,
        ),
        part in 0..=100usize,
        count in 0..150usize,
    ) {
        let dir = directory();
        let path = dir.path().join("a.log");
        let bodies = bodies(&lengths);
        append(&mut open(&path).unwrap(), &bodies);
        let mut all = Vec::new();
        let mut from_start = reader(&path);
        while let Some(record) = from_start.read().unwrap() {
            all.push(record.seq);
        }
        let given = |reader: &mut Reader| {
            let mut given = Vec::new();
            while let Some(record) = reader.read().unwrap() {
                given.push(record.seq);
            }
            given
        };
        let mut last = reader(&path);
        last.skip_to_last(count).unwrap();
        let last = given(&mut last);
        prop_assert!(all.ends_with(&last) && last.len() >= count.min(all.len()));
        for near in [0, 1, u64::MAX] {
            let place = all.len() * part / 101;
            let wanted = all.get(place).map_or(5, |seq| seq.wrapping_add(near));
            let mut since = reader(&path);
            since.skip_to(wanted).unwrap();
            let since = given(&mut since);
            let first = all.iter().position(|seq| *seq >= wanted).unwrap_or(all.len());
            prop_assert!(all.ends_with(&since) && since.len() >= all.len() - first);
            let mut behind = reader(&path);
            behind.skip_behind(wanted.wrapping_sub(1)).unwrap();
            prop_assert_eq!(given(&mut behind), &all[first..]);
        }
        prop_assert_eq!(told(), [""; 0]);
    }
}

#[test]
fn a_reader_misses_nothing_while_others_append() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = open(&path).unwrap();
            for _ in 0..20 {
                append(&mut log, &bodies(&[60; 2000]));
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut follower = reader(&path);
        let mut seen = 0;
        loop {
            let over = done.load(Ordering::SeqCst);
            while let Some(record) = follower.read().unwrap() {
                assert!(
                    record.body.iter().all(|byte| usize::from(*byte) == seen % 2000 % 256),
                    "record {seen}"
                );
                seen += 1;
            }
            if over {
                break;
            }
        }
        assert_eq!(seen, 40_000);
        assert_eq!(told(), [""; 0]);
    });
}

#[test]
fn appends_from_many_handles_are_all_kept() {
    let dir = directory();
    let path = dir.path().join("a.log");
    thread::scope(|scope| {
        for writer in 0..4u8 {
            let path = &path;
            scope.spawn(move || {
                let mut log = open(path).unwrap();
                for round in 0..60u8 {
                    append(&mut log, &[vec![writer, round], vec![writer; usize::from(round) * 50]]);
                }
                assert_eq!(told(), [""; 0]);
            });
        }
    });
    let all = read(&path);
    assert_eq!(all.len(), 480);
    for writer in 0..4 {
        let rounds = all.chunks(2).filter(|pair| pair[0][0] == writer);
        let expected: Vec<u8> = (0..60).collect();
        assert_eq!(
            rounds.map(|pair| pair[0][1]).collect::<Vec<_>>(),
            expected,
            "batches stay together and in order"
        );
    }
    assert!(open(&path).is_ok());
}

/// A writer whose sync fails takes back what it wrote; others may have seen it.
#[test]
fn a_record_that_was_taken_back_harms_nobody_who_saw_it() {
    for other in [100, 30, 3000] {
        let dir = directory();
        let path = dir.path().join("a.log");
        append(&mut open(&path).unwrap(), &bodies(&[10]));
        let before = fs::metadata(&path).unwrap().len();
        let mut witness = open(&path).unwrap();
        append(&mut open(&path).unwrap(), &[vec![1; 100]]);
        witness.refresh().unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(before).unwrap();
        append(&mut open(&path).unwrap(), &[vec![2; other]]);

        append(&mut witness, &[b"new".to_vec()]);
        assert_eq!(read(&path), [vec![0; 10], vec![2; other], b"new".to_vec()]);
        assert!(open(&path).is_ok());
        assert_eq!(told(), [""; 0]);
        assert!(aside(&path, "torn").is_empty());
    }
}

#[test]
fn looking_leaves_a_record_in_progress_alone() {
    let (bytes, ends) = written(&bodies(&[10, 500]));
    let dir = directory();
    let path = dir.path().join("a.log");
    fs::write(&path, &bytes[..ends[0]]).unwrap();
    let mut log = open(&path).unwrap();
    fs::write(&path, &bytes[..ends[1] - 1]).unwrap();
    log.refresh().unwrap();
    assert_eq!(log.len() as usize, ends[0]);
    assert_eq!(fs::read(&path).unwrap(), bytes[..ends[1] - 1]);
    fs::write(&path, &bytes).unwrap();
    log.refresh().unwrap();
    assert_eq!(log.len() as usize, ends[1]);
    assert_eq!(told(), [""; 0]);
}

fn history(path: &Path) -> History {
    History::open(id(path, Kind::History), Arc::new(tell)).unwrap()
}

#[test]
fn a_history_stores_each_message_once() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let message = |number, text: &str| ReceivedMessage { number, said: 0, text: text.into() };
    {
        let mut history = history(&path);
        assert_eq!(history.store_received(&[message(5, "a"), message(7, "b")]).unwrap(), [5, 7]);
        history.store_sent([sent(3, b"x"), sent(4, b"y")].iter()).unwrap();
        history.store_files_received(&[(9, "f".into())]).unwrap();
    }
    let mut history = history(&path);
    assert_eq!(history.received().unwrap(), 7, "the record of a file says it too");
    let again = [message(6, "old"), message(7, "b"), message(8, "c")];
    assert_eq!(history.store_received(&again).unwrap(), [8]);
    assert!(history.store_received(&[message(1, "old")]).unwrap().is_empty());
    history.store_sent([sent(4, b"y"), sent(6, b"z")].iter()).unwrap();
    history.store_sent([sent(6, b"z")].iter()).unwrap();

    let bodies = read(&path);
    let events: Vec<Event> = bodies.iter().map(|body| history::decode(body).unwrap()).collect();
    let expected = [
        Event::Received { number: 5, text: b"a" },
        Event::Received { number: 7, text: b"b" },
        Event::Sent { number: 3, key: "", text: b"x" },
        Event::Sent { number: 4, key: "", text: b"y" },
        Event::FileReceived { size: 9, path: b"f" },
        Event::Received { number: 8, text: b"c" },
        Event::Sent { number: 6, key: "", text: b"z" },
    ];
    assert_eq!(events, expected);
}

fn sent(number: u64, text: &[u8]) -> QueuedMessage {
    QueuedMessage { number, said: 0, draft: Draft::new(text) }
}

fn queue(outbox: &mut Outbox, text: &[u8]) -> u64 {
    outbox.queue(&[Draft::new(text)]).unwrap()
}

fn outbox(path: &Path) -> Outbox {
    Outbox::open(id(path, Kind::Outbox), Arc::new(tell)).unwrap()
}

fn waiting(pending: &mut Pending) -> Vec<(u64, Vec<u8>)> {
    std::iter::from_fn(|| pending.read().unwrap())
        .map(|waiting| (waiting.number, waiting.draft.text))
        .collect()
}

#[test]
fn an_outbox_gives_what_is_not_settled() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut writer = outbox(&path);
    let mut other = outbox(&path);
    assert!(!writer.has_pending().unwrap());
    let numbers: Vec<u64> = [b"a", b"b", b"c"].iter().map(|text| queue(&mut writer, *text)).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert!(other.has_pending().unwrap());
    other.settle(numbers[1]).unwrap();
    other.settle(numbers[0]).unwrap();
    assert!(writer.is_settled(numbers[1]).unwrap());
    assert!(!writer.is_settled(numbers[2]).unwrap());
    assert_eq!(waiting(&mut writer.pending()), [(numbers[2], b"c".to_vec())]);
    writer.settle(u64::MAX).unwrap();
    assert!(!other.has_pending().unwrap());
    assert!(writer.has_issued(numbers[2]).unwrap() && !writer.has_issued(u64::MAX).unwrap());
    let next = queue(&mut other, b"d");
    assert!(next > numbers[2]);
    assert_eq!(
        waiting(&mut outbox(&path).pending()),
        [(next, b"d".to_vec())],
        "what comes after is not settled by it"
    );
    assert!(writer.queue(&[Draft::new(&vec![0; (1 << 20) + 1])]).is_err());
}

/// The sender has a window of messages under way, and the rest still to read.
#[test]
fn what_is_dropped_meanwhile_is_not_given() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut writer = outbox(&path);
    let numbers: Vec<u64> = (0..6).map(|n| queue(&mut writer, &[n])).collect();
    let mut pending = outbox(&path).pending();
    assert_eq!(pending.read().unwrap().unwrap().number, numbers[0]);
    let dropped =
        writer.drop_messages(|waiting| [numbers[0], numbers[2]].contains(&waiting.number), Ok).unwrap();
    assert_eq!(dropped.len(), 2);
    pending.look_again();
    assert_eq!(pending.read().unwrap().unwrap().number, numbers[1]);
    assert_eq!(pending.read().unwrap().unwrap().number, numbers[3]);
    writer.drop_messages(|waiting| waiting.number == numbers[5], Ok).unwrap();
    assert_eq!(pending.read().unwrap().unwrap().number, numbers[4], "and it need not look each time");
    pending.look_again();
    assert_eq!(pending.read().unwrap(), None);
    let is_dropped: Vec<bool> = numbers.iter().map(|n| writer.is_dropped(*n).unwrap().unwrap()).collect();
    assert_eq!(is_dropped, [true, false, true, false, false, true]);
    assert_eq!(told(), [""; 0]);
}

#[test]
fn an_outbox_that_has_grown_starts_afresh_under_open_handles() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut writer = outbox(&path);
    let mut other = outbox(&path);
    let mut pending = other.pending();
    let first = queue(&mut writer, &vec![1; 1 << 20]);
    let second = queue(&mut writer, b"two");
    writer.settle(first).unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 1 << 20, "something waits");
    assert_eq!(waiting(&mut pending).len(), 2);
    writer.settle(second).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 200);

    assert!(!other.has_pending().unwrap() && other.is_settled(second).unwrap());
    let third = queue(&mut other, b"three");
    assert!(third > second);
    assert_eq!(waiting(&mut pending), [(third, b"three".to_vec())]);
    let fourth = queue(&mut writer, b"four");
    assert!(fourth > third);
    assert_eq!(waiting(&mut pending), [(fourth, b"four".to_vec())]);
    assert_eq!(waiting(&mut outbox(&path).pending()).len(), 2);
    assert_eq!(told(), [""; 0]);
}

/// As where a file that is open cannot be replaced, or the disk is full.
#[test]
fn an_outbox_that_cannot_start_afresh_goes_on_as_it_is() {
    let dir = directory();
    let path = dir.path().join("a.log");
    fs::create_dir(dir.path().join("a.new")).unwrap();
    let mut outbox = outbox(&path);
    for _ in 0..2 {
        let number = queue(&mut outbox, &vec![1; 1 << 20]);
        outbox.settle(number).unwrap();
        assert!(outbox.is_settled(number).unwrap() && !outbox.has_pending().unwrap());
    }
    assert!(fs::metadata(&path).unwrap().len() > 2 << 20);
    assert_eq!(told().len(), 2);
    fs::remove_dir(dir.path().join("a.new")).unwrap();
    let number = queue(&mut outbox, b"");
    outbox.settle(number).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 200);
}

/// Others may wait for the lock of the old file.
#[test]
fn no_lock_is_kept_on_an_outbox_that_started_afresh() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let (mut writer, mut other) = (outbox(&path), outbox(&path));
    let old = fs::File::open(&path).unwrap();
    let mut pending = other.pending();
    let last = queue(&mut writer, &vec![1; 1 << 20]);
    writer.settle(last).unwrap();
    let next = queue(&mut other, b"two");
    assert!(old.try_lock().is_ok());
    assert_eq!(waiting(&mut pending).pop(), Some((next, b"two".to_vec())));
}

#[test]
fn no_lock_is_kept_on_an_outbox_that_cannot_be_opened_again() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut writer = outbox(&path);
    let old = fs::File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(writer.queue(&[Draft::new(b"lost")]).is_err());
    assert!(old.try_lock().is_ok());
    old.unlock().unwrap();
    fs::remove_dir(&path).unwrap();
    queue(&mut writer, b"one");
    assert!(outbox(&path).has_pending().unwrap());
}

/// Writers that wait for the lock of a log get it when it has lost its name already.
#[test]
fn nothing_queued_is_lost_while_the_outbox_starts_afresh() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let sent = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut outbox = outbox(&path);
                    (0..25).map(|_| queue(&mut outbox, &vec![1; 200_000])).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut sender = outbox(&path);
        let mut pending = sender.pending();
        let mut sent = Vec::new();
        while sent.len() < 75 {
            if let Some(QueuedMessage { number, .. }) = pending.read().unwrap() {
                sent.push(number);
                sender.settle(number).unwrap();
            }
        }
        let mut queued: Vec<u64> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        queued.sort();
        assert_eq!(sent, queued);
        sent
    });
    assert!(sent.is_sorted_by(|a, b| a < b));
    assert_eq!(told(), [""; 0]);
    assert!(!outbox(&path).has_pending().unwrap());
}

#[test]
fn a_restored_outbox_gives_what_waits_new_numbers() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut writer = outbox(&path);
    let mut stale = outbox(&path);
    let numbers: Vec<u64> = (0..200u32).map(|n| queue(&mut writer, &n.to_be_bytes())).collect();
    writer.settle(numbers[49]).unwrap();
    let held = numbers[199] + 3_600_000_000;
    assert!(!stale.has_issued(held).unwrap());
    writer.settle(numbers[99]).unwrap();
    // This handle has not looked since: what was settled meanwhile must not come back.
    stale.reissue_above(held).unwrap();

    let now = waiting(&mut writer.pending());
    assert!(now[0].0 > held && now.is_sorted_by(|a, b| a.0 < b.0));
    let texts: Vec<Vec<u8>> = (100..200u32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(now.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>(), texts);
    assert!(writer.has_issued(held).unwrap() && writer.has_pending().unwrap());
    assert!(queue(&mut writer, b"new") > now[99].0);
    writer.settle(now[98].0).unwrap();
    assert_eq!(waiting(&mut outbox(&path).pending()).len(), 2);
    assert!(open_outbox_log(&path).is_ok());
    assert_eq!(told(), [""; 0]);
}

fn open_outbox_log(path: &Path) -> egoat::error::Result<Log> {
    Log::open(id(path, Kind::Outbox), Arc::new(tell))
}

/// The clock of a restored home may be behind when the first of two messages is queued, and right at the second.
#[test]
fn a_restored_outbox_does_not_take_a_number_between_two_of_its_own_for_one_of_them() {
    let dir = directory();
    let mut outbox = outbox(&dir.path().join("a.log"));
    let settled = queue(&mut outbox, b"settled");
    outbox.settle(settled).unwrap();
    let waits = [queue(&mut outbox, b"one"), queue(&mut outbox, b"two")];
    let held = waits[1] - 1;
    assert!(waits[0] < held && !outbox.has_issued(held).unwrap());
    assert!([settled, waits[0], waits[1]].iter().all(|number| outbox.has_issued(*number).unwrap()));
    outbox.reissue_above(held).unwrap();
    assert!(waiting(&mut outbox.pending()).iter().all(|(number, _)| *number > held));
    assert!(outbox.has_issued(held).unwrap());
}

/// A peer can name what numbers it likes, and each new one would have all that waits written anew.
#[test]
fn ever_higher_numbers_are_not_followed_each_time() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut outbox = outbox(&path);
    let mut held = queue(&mut outbox, b"a") + 1000;
    for _ in 0..2 {
        outbox.reissue_above(held).unwrap();
        held += 1000;
    }
    let before = std::fs::read(&path).unwrap();
    let error = outbox.reissue_above(held).unwrap_err().to_string();
    assert!(error.contains("ever higher numbers") && error.contains("again in"), "{error}");
    // Other processes know it as well.
    assert!(self::outbox(&path).reissue_above(held).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(waiting(&mut outbox.pending()).len(), 1);
}

/// The receiver holds what was on its way when it was dropped, and not what was dropped before.
#[test]
fn what_was_dropped_on_its_way_counts_once_the_receiver_holds_it() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut sender = outbox(&path);
    let mut user = outbox(&path);
    let numbers: Vec<u64> = (0..5).map(|n| queue(&mut user, &[n])).collect();
    let drop_one = |user: &mut Outbox, number| {
        assert_eq!(user.drop_messages(|waiting| waiting.number == number, Ok).unwrap().len(), 1);
    };
    drop_one(&mut user, numbers[0]);
    let mut pending = sender.pending();
    let mut under_way: Vec<_> = std::iter::from_fn(|| pending.read().unwrap()).take(3).collect();
    // Between the look and the note: it does not go out.
    drop_one(&mut user, numbers[1]);
    sender.note_sent(&mut pending, &mut under_way).unwrap();
    assert_eq!(under_way.iter().map(|one| one.number).collect::<Vec<_>>(), numbers[2..4]);
    drop_one(&mut user, numbers[2]);
    drop_one(&mut user, numbers[4]);

    let of = |held| {
        let mut pending = outbox(&path).pending_of(held);
        std::iter::from_fn(move || pending.read().unwrap()).map(|one| one.number).collect::<Vec<_>>()
    };
    assert_eq!(of(0), [numbers[3]]);
    assert_eq!(of(numbers[2] - 1), [numbers[3]]);
    assert_eq!(of(numbers[2]), numbers[2..4]);
    assert_eq!(of(numbers[3]), numbers[2..4]);
    // Nobody has sent the last one.
    assert_eq!(of(numbers[4]), numbers[2..4]);

    // The fourth goes out once more, without the one that was dropped before it.
    let mut pending = outbox(&path).pending_of(0);
    let mut again: Vec<_> = std::iter::from_fn(|| pending.read().unwrap()).collect();
    sender.note_sent(&mut pending, &mut again).unwrap();
    assert_eq!(of(numbers[3]), [numbers[3]]);
}

/// Nothing was dropped when the connection began, so all that the receiver holds was on its way.
#[test]
fn what_is_dropped_while_it_is_settled_counts_as_held() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut user = outbox(&path);
    let numbers: Vec<u64> = (0..3).map(|n| queue(&mut user, &[n])).collect();
    let mut pending = outbox(&path).pending_of(numbers[1]);
    assert_eq!(pending.read().unwrap().unwrap().number, numbers[0]);
    user.drop_messages(|_| true, Ok).unwrap();
    pending.look_again();
    assert_eq!(pending.read().unwrap().unwrap().number, numbers[1]);
    assert_eq!(pending.read().unwrap(), None);
}

/// Logs of earlier versions have no times but the numbers.
#[test]
fn records_without_times_are_read() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let head = |kind: u8, received: u64, sent: u64| {
        [&[kind][..], &received.to_be_bytes(), &sent.to_be_bytes()].concat()
    };
    let bodies = [
        [head(1, 5, 0), b"got".to_vec()].concat(),
        [head(2, 5, 6), vec![1], b"kgone".to_vec()].concat(),
        [head(5, 5, 6), 7u64.to_be_bytes().to_vec(), vec![2], b"late".to_vec()].concat(),
        [head(3, 5, 6), 9u64.to_be_bytes().to_vec(), b"/f".to_vec()].concat(),
    ];
    let mut log = Log::open(id(&path, Kind::History), Arc::new(tell)).unwrap();
    let mut log = log.lock().unwrap();
    for (seq, body) in (1000..).zip(&bodies) {
        log.push(seq, body).unwrap();
    }
    log.commit(true).unwrap();
    let said = [0, 6, 7, 0];
    for (place, body) in bodies.iter().enumerate() {
        let noted = 1000 + place as u64;
        assert_eq!(history::times(noted, body).unwrap(), history::Times { noted, said: said[place] });
    }
    let events: Vec<Event> = bodies.iter().map(|body| history::decode(body).unwrap()).collect();
    assert_eq!(events[0], Event::Received { number: 5, text: b"got" });
    assert_eq!(events[1], Event::Sent { number: 6, key: "k", text: b"gone" });
    assert_eq!(events[3], Event::FileReceived { size: 9, path: b"/f" });
    // It goes on from there.
    let mut history = history(&path);
    let message = |number| ReceivedMessage { number, said: 0, text: b"more".to_vec() };
    assert_eq!(history.store_received(&[message(5), message(8)]).unwrap(), [8]);
    assert_eq!(
        history.store_dropped(vec![sent(6, b"gone"), sent(7, b"late")], Dropped::Expired).unwrap().len(),
        1
    );
    assert_eq!(read(&path).len(), 5, "what is noted is not noted again");

    let path = dir.path().join("b.log");
    let counters = |kind: u8| [&[kind][..], &2000u64.to_be_bytes(), &[0; 12]].concat();
    let body = [counters(1), 0u64.to_be_bytes().to_vec(), vec![1], b"khi".to_vec()].concat();
    let mut log = Log::open(id(&path, Kind::Outbox), Arc::new(tell)).unwrap();
    let mut log = log.lock().unwrap();
    log.push(2000, &body).unwrap();
    log.commit(true).unwrap();
    let draft = Draft { text: b"hi".to_vec(), key: "k".into(), expires: 0 };
    let expected = QueuedMessage { number: 2000, said: 2000, draft };
    assert_eq!(outbox(&path).pending().read().unwrap(), Some(expected));
}

/// A message of ours may have a number that is ahead of the clock. Its records are found by it all the same.
#[test]
fn what_became_of_a_message_is_found_whatever_its_number() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut history = history(&path);
    let ahead = egoat::time::now_micros() + 1_000_000_000_000;
    history.store_dropped(vec![sent(ahead, b"x")], Dropped::Cancelled).unwrap();
    let reader = || Reader::new(id(&path, Kind::History), Arc::new(tell));
    assert!(History::was_dropped(reader(), ahead).unwrap());
    assert!(!History::was_dropped(reader(), ahead + 1).unwrap());
    let body = read(&path).remove(0);
    assert!(history::times(ahead, &body).unwrap().noted < ahead);
}

/// The number comes from the peer.
#[test]
fn an_impossible_number_reissues_nothing() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut outbox = outbox(&path);
    let number = queue(&mut outbox, b"a");
    assert!(outbox.reissue_above(u64::MAX).is_err());
    assert!(outbox.reissue_above(1 << 56).is_err());
    assert_eq!(waiting(&mut outbox.pending()), [(number, b"a".to_vec())]);
    assert!(queue(&mut outbox, b"b") > number);
}

#[test]
fn a_damaged_outbox_is_kept_when_it_starts_afresh() {
    let dir = directory();
    let path = dir.path().join("a.log");
    let mut outbox = outbox(&path);
    let mut last = 0;
    for _ in 0..3 {
        last = queue(&mut outbox, &vec![1; 400_000]);
    }
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"damage", 1000).unwrap();
    let damaged = fs::read(&path).unwrap();
    outbox.settle(last).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 200);
    let kept = aside(&path, "damaged");
    assert_eq!(kept.len(), 1);
    assert!(kept[0].1 == damaged);
    assert_eq!(told().len(), 1);
}

fn home(dir: &TempDir) -> Home {
    Home::locate(dir.path().to_str()).unwrap()
}

#[test]
fn peers_are_added_from_many_threads() {
    let dir = directory();
    let home = home(&dir);
    fs::write(home.peers_path(), "# mine\n").unwrap();
    thread::scope(|scope| {
        for writer in 0..4u8 {
            let home = &home;
            scope.spawn(move || {
                for round in 0..10u8 {
                    let peer = Peer::new("bob".into(), key(10 + writer * 10 + round), Vec::new());
                    Peers::edit(home, |peers| Ok(peers.add(peer))).unwrap();
                }
            });
        }
    });
    let peers = Peers::load(&home).unwrap();
    assert_eq!(peers.iter().count(), 40);
    assert!((10..50).all(|byte| peers.by_key(&key(byte)).is_some()));
    assert!(fs::read_to_string(home.peers_path()).unwrap().starts_with("# mine\n"));
}

#[test]
fn a_failed_or_empty_edit_leaves_the_peers_file_alone() {
    let dir = directory();
    let home = home(&dir);
    let text = format!("bob   {}\t- # by hand\n", key(1));
    fs::write(home.peers_path(), &text).unwrap();
    Peers::edit(&home, |_| Ok(())).unwrap();
    let failed = Peers::edit(&home, |peers| {
        peers.remove(&key(1));
        Err::<(), _>(Error::usage("no"))
    });
    assert!(failed.is_err());
    assert_eq!(fs::read_to_string(home.peers_path()).unwrap(), text);
}

#[test]
fn invites_are_issued_found_and_withdrawn() {
    let dir = directory();
    let home = home(&dir);
    let day = Duration::from_secs(86_400);
    let issued: Vec<_> = thread::scope(|scope| {
        let issue = || {
            (0..10)
                .map(|_| invites::issue(&home, day, Some("bob".into()), Vec::new()).unwrap())
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(issue)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for invite in &issued {
        let found = invites::find(&home, &invite.token.invite_id()).unwrap().unwrap();
        assert!(!found.is_expired() && found.name.as_deref() == Some("bob"));
    }
    let gone = issued[0].token.invite_id();
    invites::withdraw(&home, &invites::id_text(&gone)).unwrap();
    assert!(invites::find(&home, &gone).unwrap().is_none());
    assert!(invites::find(&home, &issued[1].token.invite_id()).unwrap().is_some());

    let brief = invites::issue(&home, Duration::ZERO, None, Vec::new()).unwrap();
    let found = invites::find(&home, &brief.token.invite_id()).unwrap().unwrap();
    assert!(found.name.is_none());
    // Times are in seconds, and rounded up.
    thread::sleep(Duration::from_millis(1100));
    assert!(found.is_expired());
    let lasting = invites::issue(&home, Duration::MAX, None, Vec::new()).unwrap();
    assert!(!lasting.is_expired());
    assert!(invites::find(&home, &gone).unwrap().is_none(), "the file is still read");
}

#[test]
fn requests_are_few_and_the_latest() {
    let dir = directory();
    let home = home(&dir);
    let note = |byte: u8, name: &str, address: Option<&str>, may: bool| {
        let address = address.map(|address| address.parse().unwrap());
        requests::note(&home, key(byte), name.into(), address, || may).unwrap()
    };
    for byte in 0..70 {
        assert_eq!(note(byte, "stranger", None, true), Some(true));
    }
    assert_eq!(note(30, "again", Some("host:7"), true), Some(false));
    let all = requests::load(&home).unwrap();
    assert_eq!(all.len(), requests::MAX_REQUESTS);
    assert_eq!(all[0].key, key(6));
    assert_eq!((all[63].key, all[63].name.as_str()), (key(30), "again"));
    // What strangers do in one minute is not written again and again, and only so many are noted.
    let text = std::fs::read_to_string(home.requests_path()).unwrap();
    assert_eq!(note(30, "again", Some("host:7"), true), Some(false));
    assert_eq!(note(30, "again", Some("host:8"), false), Some(false));
    assert_eq!(note(100, "stranger", None, false), None);
    assert_eq!(std::fs::read_to_string(home.requests_path()).unwrap(), text);
    std::fs::write(home.requests_path(), text.replace(&format!("host:7 {}", all[63].seconds), "host:7 1"))
        .unwrap();
    assert_eq!(note(30, "again", Some("host:7"), false), Some(false));
    assert!(requests::load(&home).unwrap()[63].seconds >= all[63].seconds, "a minute is over");
    requests::remove(&home, &key(30)).unwrap();
    assert_eq!(requests::load(&home).unwrap().len(), requests::MAX_REQUESTS - 1);
}

#[test]
fn one_node_runs_on_a_home() {
    let dir = directory();
    let home = home(&dir);
    assert_eq!(node_lock::running(&home).unwrap(), None);
    assert!(!home.node_lock_path().exists());
    let lock = NodeLock::take(&home).unwrap().unwrap();
    assert!(NodeLock::take(&home).unwrap().is_none());
    assert_eq!(node_lock::running(&home).unwrap(), Some(NodeInfo::default()));
    let long = NodeInfo {
        control: Some((4000, SharedSecret::generate())),
        listening: vec!["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()],
        mapping: Mapping {
            state: MapState::Works,
            gateway: Some("192.168.7.1".parse().unwrap()),
            detail: "some words".into(),
            mapped: vec![
                Mapped { address: "11.0.0.1:4".parse().unwrap(), by: By::NatPmp, is_pinhole: false },
                Mapped { address: "[2001::1]:5".parse().unwrap(), by: By::Pcp, is_pinhole: true },
            ],
        },
    };
    lock.publish(&long).unwrap();
    assert_eq!(node_lock::running(&home).unwrap(), Some(long));
    let short = NodeInfo { listening: vec!["127.0.0.1:1".parse().unwrap()], ..NodeInfo::default() };
    lock.publish(&short).unwrap();
    assert_eq!(node_lock::running(&home).unwrap(), Some(short));
    drop(lock);
    assert_eq!(node_lock::running(&home).unwrap(), None);
    assert!(NodeLock::take(&home).unwrap().is_some());
}
