//! Room on a disk: what is free, and what a folder takes up. Both are for a decision ahead of a transfer, and may be
//! untrue a moment later.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::store::external::{self, Starter};
use crate::store::file;

/// How long df may take. It answers at once, unless it waits for a file server that is gone.
const DF_TIMEOUT: Duration = Duration::from_secs(2);
/// Entries of a folder that are counted: ten transfers of the most files, which takes a few seconds.
const MAX_COUNTED: u64 = 1 << 20;

/// What each file, directory or link takes up beside its bytes, for a quota: the block that most file systems give it.
pub const PER_ENTRY: u64 = 4 << 10;

/// What a folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the regular files.
    pub bytes: u64,
    /// Files, directories, links and whatever else has a name.
    pub entries: u64,
}

impl Usage {
    /// What counts against a quota, in bytes.
    pub fn weight(self) -> u64 {
        self.entries.saturating_mul(PER_ENTRY).saturating_add(self.bytes)
    }
}

/// What peers leave free on a disk unless the user says otherwise: this part of it, and no more than so many bytes.
const KEPT_PART: u64 = 20;
const MOST_KEPT: u64 = 1 << 30;

/// How much room what comes from peers leaves free on a disk.
#[derive(Clone, Copy, Default)]
pub struct KeepFree {
    /// So many bytes, by `--keep-free`.
    pub bytes: Option<u64>,
}

impl KeepFree {
    /// The bytes beyond what is kept free that this user can still write to the file system of `dir`, which need not exist
    /// yet. `None` where that cannot be found out: then a write will tell.
    pub fn room(self, dir: &Path) -> Option<u64> {
        let disk = disk_of(dir)?;
        let kept = self.bytes.unwrap_or((disk.size / KEPT_PART).min(MOST_KEPT));
        Some(disk.free.saturating_sub(kept))
    }
}

/// A file system, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Disk {
    size: u64,
    /// What this user can still write.
    free: u64,
}

/// The bytes that this user can still write to the file system of `dir`, which need not exist yet. `None` where that
/// cannot be found out.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    disk_of(dir).map(|disk| disk.free)
}

/// Which file system `dir` is on, or will be when it is made; the same number for the same one.
pub fn disk_id(dir: &Path) -> Option<u64> {
    fs::metadata(existing(dir)).ok().and_then(|data| file::device(&data))
}

/// The directory, or what there is above it.
fn existing(dir: &Path) -> &Path {
    dir.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."))
}

fn disk_of(dir: &Path) -> Option<Disk> {
    let (size, free) = figures(&ask_df(&["-P", "-k"], dir)?)?;
    Some(Disk { size: size.checked_mul(1024)?, free: free.checked_mul(1024)? })
}

/// How many files and directories the file system of `dir` can have in all, and how many it can still take. `None` where
/// that cannot be found out, or where it makes room for as many as are needed.
pub fn entry_limits(dir: &Path) -> Option<(u64, u64)> {
    let answer = ask_df(&["-P", "-i"], dir)?;
    // GNU and BusyBox count inodes in the place of blocks. Elsewhere -i adds columns behind those of the blocks.
    let header = answer.lines().next()?;
    (header.split_whitespace().nth(1) == Some("Inodes")).then(|| figures(&answer)).flatten()
}

/// What df(1) says of the file system of `dir`.
fn ask_df(options: &[&str], dir: &Path) -> Option<String> {
    if cfg!(not(unix)) {
        return None;
    }
    // std has no statvfs(3). POSIX has df(1), with one format for all systems.
    let mut df = Starter::for_tool().command("df");
    df.args(options).arg("--").arg(existing(dir)).env("LC_ALL", "C").stderr(Stdio::null());
    let ended = external::run_within(DF_TIMEOUT, &mut df, "").ok()?;
    ended.status.success().then_some(ended.printed)
}

/// The total and the available units in an answer of `df -P`:
///
/// ```text
/// Filesystem 1024-blocks Used Available Capacity Mounted on
/// ```
///
/// A device may have spaces in its name or a line of its own, and a mount point has any name: what counts is the first
/// percentage with three numbers before it. A file system that has no blocks, such as a remote one that does not tell, is
/// not a full one.
fn figures(answer: &str) -> Option<(u64, u64)> {
    let (_header, rest) = answer.split_once('\n')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (total, available) = words.windows(4).find_map(|figures| {
        let [total, used, available, capacity] = figures else { return None };
        let _: u64 = capacity.strip_suffix('%')?.parse().ok()?;
        let _: i64 = used.parse().ok()?;
        Some((total.parse::<i64>().ok()?, available.parse::<i64>().ok()?))
    })?;
    let total = u64::try_from(total).ok().filter(|total| *total > 0)?;
    // BSD says how far into the reserve a disk is filled, as a negative number.
    Some((total, u64::try_from(available).unwrap_or(0)))
}

/// What is below `dir`, links not followed. What cannot be read is not counted; a folder with more entries than anybody can
/// look at counts as full, since small files must be no way past a quota.
pub fn used(dir: &Path) -> Usage {
    let mut folders = vec![dir.to_owned()];
    let mut used = Usage::default();
    while let Some(folder) = folders.pop() {
        let Ok(found) = fs::read_dir(&folder) else { continue };
        for entry in found.flatten() {
            used.entries += 1;
            if used.entries > MAX_COUNTED {
                return Usage { bytes: u64::MAX, ..used };
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => {
                    used.bytes = used.bytes.saturating_add(entry.metadata().map_or(0, |data| data.len()));
                }
                _ => {}
            }
        }
    }
    used
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_of_many_systems() {
        let gnu = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n\
                   /dev/vda         264212084 27253268  68032620      29% /\n";
        let gnu_long = "Filesystem                                             1024-blocks      Used Available Capacity Mounted on\n\
                        /dev/mapper/luks-6f1d3c1e-51c2-4c4a-9d3f-0a1b2c3d4e5f    479079112 301234560 153434568      67% /home\n";
        let busybox = "Filesystem           1024-blocks    Used Available Capacity Mounted on\n\
                       overlay               61202244  43145028  14915896  74% /\n";
        let busybox_wrapped = "Filesystem           1024-blocks    Used Available Capacity Mounted on\n\
                               /dev/disk/by-uuid/6f1d3c1e-51c2\n\
                               \x20                     61202244  43145028  14915896  74% /\n";
        let macos = "Filesystem   1024-blocks      Used Available Capacity  Mounted on\n\
                     /dev/disk1s1   244912536 216165460  15568776    94%    /System/Volumes/Data\n";
        let share = "Filesystem    1024-blocks     Used Available Capacity  Mounted on\n\
                     //me@nas/My Files 7 of 9  976762584 488381292 488381292    50%    /Volumes/50% full\n";
        let mount_point = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n\
                           /dev/sdb1           102400     2400    100000       3% /media/1 2 3 4%\n";
        let freebsd = "Filesystem  1024-blocks     Used Avail Capacity  Mounted on\n\
                       /dev/ada0p2    20307196 18900000 -217379   101%    /\n";
        assert_eq!(figures(gnu), Some((264_212_084, 68_032_620)));
        for (answer, kib) in [
            (gnu, 68_032_620),
            (gnu_long, 153_434_568),
            (busybox, 14_915_896),
            (busybox_wrapped, 14_915_896),
            (macos, 15_568_776),
            (share, 488_381_292),
            (mount_point, 100_000),
            (freebsd, 0),
        ] {
            assert_eq!(figures(answer).unwrap().1, kib, "{answer}");
        }
    }

    #[test]
    fn other_answers_are_none() {
        let header = "Filesystem 1024-blocks Used Available Capacity Mounted on\n";
        for line in [
            "",
            "proc                     0        0         0        - /proc\n",
            "map auto_home            0        0         0     100% /System/Volumes/Data/home\n",
            "sshfs                    -        -         -        - /mnt\n",
            "/dev/sda1 12 34 56 /\n",
            "/dev/sda1 12 34 56% /\n",
            "x 18446744073709551615 0 18446744073709551615 0% /\n",
            "btrfs                    0        0         0        - /\n",
        ] {
            assert_eq!(figures(&format!("{header}{line}")), None, "{line:?}");
        }
        assert_eq!(figures("df: unknown option -- P"), None);
        assert_eq!(figures("1 2 3 4% /\n"), None, "a header alone");
    }

    proptest! {
        #[test]
        fn no_answer_panics(answer in "([0-9]{1,20}[ %\n-]{1,2}){0,9}") {
            let _ = figures(&answer);
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_disk_of_a_folder_that_is_to_be_made_has_room() {
        let dir = tempfile::tempdir().unwrap();
        let free = free_bytes(dir.path()).unwrap();
        assert!(free > 0);
        assert!(free_bytes(&dir.path().join("not/there/yet")).is_some());
        assert!(free_bytes(Path::new("not-there-either")).is_some());
        assert!(free_bytes(Path::new("")).is_some());
    }

    #[test]
    fn a_folder_holds_bytes_and_entries() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("bob");
        let uses = |bytes, entries| assert_eq!(used(&top), Usage { bytes, entries });
        uses(0, 0);
        fs::create_dir_all(top.join("a/b")).unwrap();
        uses(0, 2);
        fs::write(top.join("one"), [0; 1000]).unwrap();
        fs::write(top.join("a/b/two"), [0; 234]).unwrap();
        fs::write(dir.path().join("beside"), [0; 5000]).unwrap();
        uses(1234, 4);
        #[cfg(unix)]
        for (to, link) in [("../beside", "file"), ("..", "up"), ("a", "down"), ("none", "dangling")] {
            std::os::unix::fs::symlink(to, top.join(link)).unwrap();
        }
        uses(1234, if cfg!(unix) { 8 } else { 4 });
        assert_eq!(Usage { bytes: 5, entries: 2 }.weight(), 8197);
        assert_eq!(Usage { bytes: u64::MAX, entries: 2 }.weight(), u64::MAX);
    }
}
