//! The properties that `make fuzz` looks for counterexamples to (tests/fuzz/properties), held in `make check` for the
//! seeds, for all their beginnings, for each of their bytes changed, and for what a seeded mutator makes of them.
//!
//! `cargo test --test mutation -- --ignored` writes the seeds that are missing. One whose name begins with `found-` broke
//! a property once, and need not be good.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
#[path = "fuzz/properties/mod.rs"]
mod properties;
#[path = "fuzz/samples.rs"]
mod samples;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use common::{Random, count};
use egoat::crypto::noise::CipherState;
use egoat::crypto::record::{Opener, Sealer};
use egoat::net::session::{Incoming, MAX_IN_RECORD};
use egoat::wire::features::Features;
use egoat::wire::message::{MAX_TEXT, Message};
use peak_alloc::PeakAlloc;
use properties::{Effort, TARGETS, Target};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What one input takes of the heap can be told only while nothing else runs.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Keeps an input that breaks its property.
struct Suspect<'a>(&'a Target, &'a [u8]);

impl Drop for Suspect<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("found-{}", self.0.name));
            let written = fs::write(&kept, self.1);
            eprintln!("the input is in {}: {written:?}", kept.display());
        }
    }
}

fn hold(target: &Target, input: &[u8]) -> Option<Vec<u8>> {
    let suspect = Suspect(target, input);
    let decoded = target.hold(&HEAP, input);
    drop(suspect);
    decoded
}

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target.name)
}

/// Names and contents, in the order of the names.
fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).unwrap().map(Result::unwrap);
    let mut seeds: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    seeds
}

/// The seeds that are good.
fn good_seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut seeds = seeds(target);
    seeds.retain(|(name, _)| !name.starts_with("found-"));
    seeds
}

#[test]
#[ignore = "writes the seeds that are missing"]
fn write_the_seeds() {
    for target in TARGETS {
        fs::create_dir_all(folder(target)).unwrap();
        for (name, bytes) in samples::samples(target.name) {
            let path = folder(target).join(name);
            if !path.exists() {
                fs::write(path, bytes).unwrap();
            }
        }
    }
}

#[test]
fn every_seed_is_taken() {
    let _alone = alone();
    for target in TARGETS {
        for (name, seed) in seeds(target) {
            let decoded = hold(target, &seed);
            assert!(decoded.is_some() || name.starts_with("found-"), "{}/{name} is refused", target.name);
        }
    }
}

#[test]
fn no_beginning_of_a_seed_is_the_whole() {
    let _alone = alone();
    for target in TARGETS.iter().filter(|target| target.effort.is_prefix_free) {
        for (name, seed) in good_seeds(target) {
            let whole = hold(target, &seed);
            for end in 0..seed.len() {
                let part = hold(target, &seed[..end]);
                assert_ne!(part, whole, "{}/{name} cut at {end}", target.name);
            }
        }
    }
}

#[test]
fn every_changed_byte_is_refused_or_comes_back() {
    let _alone = alone();
    for target in TARGETS {
        for (_, seed) in good_seeds(target) {
            let mut changed = seed.clone();
            for at in 0..seed.len() {
                for flip in target.effort.flips {
                    changed[at] ^= flip;
                    hold(target, &changed);
                    changed[at] = seed[at];
                }
            }
        }
    }
}

#[test]
fn what_a_mutator_makes_is_refused_or_comes_back() {
    let _alone = alone();
    let mut random = Random::seeded(0x6d75_7461);
    for target in TARGETS {
        let seeds: Vec<Vec<u8>> = seeds(target).into_iter().map(|(_, seed)| seed).collect();
        let Effort { mutations, .. } = target.effort;
        for _ in 0..count(mutations, 100 * mutations) {
            hold(target, &mutated(&mut random, &seeds));
        }
    }
}

/// Bytes at which something begins, ends or turns over.
const EDGES: [u8; 12] = [0, 1, 9, 10, 0x20, b'%', b'.', b'/', 0x7f, 0x80, 0xfe, 0xff];

/// One of the seeds with one to four changes.
fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below(bytes.len() - at + 1);
        match random.below(9) {
            0 | 1 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            2 | 3 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = random.pick(&EDGES)),
            4 => bytes.insert(at, random.next() as u8),
            5 => drop(bytes.drain(at..end.min(at + 8))),
            // A number at its end, or one off.
            6 => {
                let length = random.pick(&[2, 4, 8]).min(bytes.len() - at);
                bytes[at..at + length].fill(random.pick(&[0, 0xff]));
                bytes[at..at + length].iter_mut().take(1).for_each(|byte| *byte ^= random.pick(&[0, 0x80]));
            }
            7 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.splice(at..end, other[from..].iter().copied());
            }
            _ => {
                let c = char::from_u32(random.below(0x11_0000) as u32).unwrap_or('\u{FFFD}');
                bytes.splice(at..at, c.encode_utf8(&mut [0; 4]).bytes());
            }
        }
        bytes.truncate(4096);
    }
    bytes
}

#[test]
fn the_heap_is_counted() {
    let _alone = alone();
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    drop(std::hint::black_box(vec![1u8; 1 << 20]));
    // The harness of the tests, which runs on, may have freed some.
    assert!(HEAP.peak_usage() > before + (1 << 19));
}

/// What is read from the socket at once, and the message: the inputs above are far smaller.
#[test]
fn the_longest_messages_take_little_more_room_than_they_have_bytes() {
    let _alone = alone();
    let cipher = || CipherState::initialize_key(&[3; 32]);
    let (mut sealer, text, mut stream, mut wire) = (Sealer::new(cipher()), vec![7; MAX_TEXT], vec![], vec![]);
    for number in 1..=3 {
        Message::Text { number, said: None, text: &text }.encode(&mut stream);
    }
    for part in stream.chunks(MAX_IN_RECORD) {
        let mut record = part.to_vec();
        let tag = sealer.seal(&mut record).unwrap();
        record.extend_from_slice(&tag);
        wire.extend_from_slice(&(record.len() as u16).to_be_bytes());
        wire.extend_from_slice(&record);
    }
    let (before, mut socket, mut read) = (HEAP.current_usage(), &wire[..], 0);
    let mut incoming = Incoming::new(Opener::new(cipher()), Features::NONE);
    incoming.take_bodies(usize::MAX);
    while read < 3 {
        if !incoming.has_message().unwrap() {
            incoming.fill(&mut socket).unwrap();
            continue;
        }
        read += 1;
        assert_eq!(incoming.next_message(), Ok(Message::Text { number: read, said: None, text: &text }));
        let taken = HEAP.current_usage() - before;
        assert!(taken < MAX_TEXT + (384 << 10), "{taken}");
    }
}
