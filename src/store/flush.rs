//! One sync for many files: that of the file system they are on. Thousands of fsync(2) wait for the disk thousands of times.
//! It leaves out which files those are.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::store::external;
use crate::store::folder::Folder;

/// File systems of which syncfs(2) makes everything durable. With others, such as those of file servers, in user space
/// (FUSE), or without a journal (FAT), only fsync(2) reaches the other machine, the program, or past the disk's cache.
const TRUSTED: &[&str] = &["bcachefs", "btrfs", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"];
/// How often `meanwhile` is called.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes durable what was written on the file system of `folder`, by whomever. It takes as long as the disk does, as
/// fsync(2); `meanwhile` is called now and then, and an error of it ends the waiting.
///
/// False where this cannot be done, or failed: then each file is to be synced by itself, which tells what is wrong.
pub fn file_system<E>(folder: &Folder, mut meanwhile: impl FnMut() -> Result<(), E>) -> Result<bool, E> {
    let Some(mut sync) = syncfs(folder) else { return Ok(false) };
    let Ok(mut sync) = sync.spawn() else { return Ok(false) };
    loop {
        match external::wait_until(Instant::now() + PAUSE, &mut sync) {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) => {}
            Err(_) => return Ok(false),
        }
        if let Err(error) = meanwhile() {
            external::abandon(sync);
            return Err(error);
        }
    }
}

/// std has no syncfs(2). Linux has sync(1) for it: coreutils and busybox know -f, and one that does not know it syncs all
/// file systems. Elsewhere sync(1) does not wait for the disk; but no folder has a mount there.
fn syncfs(folder: &Folder) -> Option<Command> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    if !TRUSTED.contains(&type_of(&folder.mount()?, &mounts)?) {
        return None;
    }
    let mut sync = Command::new("sync");
    sync.args(["-f", "/dev/stdin"]).stdin(folder.as_input()?).stdout(Stdio::null()).stderr(Stdio::null());
    Some(sync)
}

/// The type of a mounted file system, from proc_pid_mountinfo(5):
///
/// ```text
/// ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD]... - TYPE SOURCE OPTIONS
/// ```
fn type_of<'a>(mount: &str, mounts: &'a str) -> Option<&'a str> {
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(mount))?;
    line.split_once(" - ")?.1.split(' ').next()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::path::Path;

    const MOUNTS: &str = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
        2 22 0:21 / /sys\\040-\\040fuse rw,nosuid shared:1 master:2 - fuse.sshfs me@there:/ rw\n\
        122 22 0:5 / /dev rw - tmpfs";

    #[test]
    fn the_type_of_a_mount() {
        for (mount, expected) in
            [("22", Some("ext4")), ("2", Some("fuse.sshfs")), ("122", Some("tmpfs")), ("1", None), ("", None)]
        {
            assert_eq!(type_of(mount, MOUNTS), expected, "{mount}");
        }
        assert_eq!(type_of("7", "7\n7 - \n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn only_file_systems_that_are_trusted_are_synced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let wait = || Ok::<(), Infallible>(());
        let synced = |dir: &Path| file_system(&Folder::open(dir).unwrap(), wait).unwrap();
        assert!(synced(dir.path()));
        assert!(!synced(Path::new("/proc")) && !synced(Path::new("/sys")));
    }
}
