//! What is transferred, and where: files with the same content each time, in memory if there is a file system for that,
//! so that no disk is measured.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Where Linux has files in memory.
const SHM: &str = "/dev/shm";
/// The largest load, the same once more where it lands, and as much again for whoever else is there.
const ROOM: u64 = 3 << 30;
/// Files in each directory of a tree.
const BRANCH: usize = 100;
/// A tree's files have at most this many bytes.
const LEAF: u64 = 8 << 10;

/// A place for loads and for where they land. An interrupted benchmark leaves its directory behind.
pub struct Ground(TempDir);

impl Ground {
    pub fn new() -> Ground {
        let named = |builder: &mut tempfile::Builder<'_, '_>, place: &Path| builder.tempdir_in(place);
        let mut builder = tempfile::Builder::new();
        builder.prefix("egoat-bench-");
        let in_memory = has_room().then(|| named(&mut builder, Path::new(SHM)).ok()).flatten();
        Ground(in_memory.unwrap_or_else(|| {
            println!(
                "{SHM} is no tmpfs with 3 GiB to spare: the files are in {}",
                std::env::temp_dir().display()
            );
            named(&mut builder, &std::env::temp_dir()).expect("a temporary directory")
        }))
    }

    /// A directory of its own for each name.
    pub fn place(&self, name: &str) -> PathBuf {
        let dir = self.0.path().join(name);
        fs::create_dir_all(&dir).expect("created");
        dir
    }
}

fn has_room() -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let is_tmpfs = mounts.lines().any(|line| line.split(' ').skip(1).take(2).eq([SHM, "tmpfs"]));
    is_tmpfs && free_space() >= Some(ROOM) && free_memory() >= Some(ROOM)
}

fn free_space() -> Option<u64> {
    let told = Command::new("df").args(["-Pk", SHM]).output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    Some(told.lines().nth(1)?.split_ascii_whitespace().nth(3)?.parse::<u64>().ok()? << 10)
}

fn free_memory() -> Option<u64> {
    let told = fs::read_to_string("/proc/meminfo").ok()?;
    let free = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(free.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// A file or a directory to transfer.
pub struct Load {
    pub path: PathBuf,
    pub files: usize,
    pub bytes: u64,
}

impl Load {
    pub fn file(ground: &Ground, name: &str, bytes: u64) -> Load {
        let path = ground.place("source").join(name);
        write(&path, bytes, &mut Noise(bytes));
        Load { path, files: 1, bytes }
    }

    /// A directory of small files, a hundred in each of its directories.
    pub fn tree(ground: &Ground, files: usize) -> Load {
        let path = ground.place(&format!("source/{files}-files"));
        let mut noise = Noise(files as u64);
        let mut bytes = 0;
        for number in 0..files {
            let branch = path.join(format!("{:03}", number / BRANCH));
            fs::create_dir_all(&branch).expect("created");
            let size = noise.next() % (LEAF + 1);
            write(&branch.join(format!("file-{number:05}.bin")), size, &mut noise);
            bytes += size;
        }
        Load { path, files, bytes }
    }

    pub fn is_tree(&self) -> bool {
        self.path.is_dir()
    }

    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).expect("a name")
    }

    /// Sees that all of it has landed, and removes it: the next one must not find it, nor memory fill up.
    pub fn take_away(&self, landing: &Path) {
        let landed = tally(landing).expect("readable");
        assert_eq!(landed, (self.files, self.bytes), "files and bytes in {}", landing.display());
        // A receiver may be removing what it staged at the same time.
        while landing.exists() {
            if let Err(error) = fs::remove_dir_all(landing) {
                let is_race = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty);
                assert!(is_race, "{}: {error}", landing.display());
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = if self.is_tree() { fs::remove_dir_all(&self.path) } else { fs::remove_file(&self.path) };
    }
}

/// Files below a directory and their bytes, but for hidden ones, which are on their way.
fn tally(dir: &Path) -> io::Result<(usize, u64)> {
    let mut sum = (0, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let data = entry.metadata()?;
        let (files, bytes) = if data.is_dir() { tally(&entry.path())? } else { (1, data.len()) };
        sum = (sum.0 + files, sum.1 + bytes);
    }
    Ok(sum)
}

/// Bytes that nothing compresses and that are the same each time (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn write(path: &Path, bytes: u64, noise: &mut Noise) {
    let mut file = File::create(path).expect("created");
    let mut block = vec![0; bytes.min(1 << 20) as usize];
    let mut left = bytes as usize;
    while left > 0 {
        let now = left.min(block.len());
        for word in block[..now].chunks_mut(8) {
            word.copy_from_slice(&noise.next().to_le_bytes()[..word.len()]);
        }
        file.write_all(&block[..now]).expect("written");
        left -= now;
    }
}
