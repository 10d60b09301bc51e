//! Files to send, and a look at what became of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Home, Random, poll_until};

pub const MIB: usize = 1 << 20;
/// What one connection brings at a time, and what is noted as a whole.
pub const PIECE: usize = 60 << 10;
pub const CHUNK: usize = 4 * PIECE;

/// Bytes that repeat nowhere near, so that a misplaced chunk shows.
pub fn sample(bytes: usize) -> Vec<u8> {
    sample_of(1, bytes)
}

/// The same, other ones for each seed.
pub fn sample_of(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut sample: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| random.next().to_ne_bytes()).collect();
    sample.truncate(bytes);
    sample
}

/// The names in a directory, sorted; none if there is no such directory.
pub fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The same without what is still to become whole.
pub fn landed_in(dir: &Path) -> Vec<String> {
    let mut names = names_in(dir);
    names.retain(|name| !name.starts_with(".egoat-"));
    names
}

/// The folders in a directory in which files wait to be whole.
pub fn staged_in(dir: &Path) -> Vec<PathBuf> {
    let names = names_in(dir);
    names.iter().filter(|name| name.starts_with(".egoat-")).map(|name| dir.join(name)).collect()
}

/// The node of this home hears the goodbye of a sender, which waits for nothing after it, and forgets the transfer.
pub fn note_goes(home: &Home) {
    poll_until("the note of a transfer to go", || names_in(&home.path("partial")).is_empty().then_some(()));
}

/// Chunks that are noted as written there.
pub fn chunks_in(staging: &Path) -> usize {
    fs::read(staging.join("map")).map_or(0, |map| map.iter().filter(|state| **state == 1).count())
}

/// Gives a file or a directory its time.
pub fn set_time(path: &Path, time: SystemTime) {
    File::open(path).unwrap().set_modified(time).unwrap();
}
