//! A disk of 1 MiB, to be filled.

// Whoever runs the tests is told what was left out.
#![allow(clippy::print_stderr)]

use std::path::Path;
use std::process::Command;

/// Unmounted with its test. Mounting takes rights that not everybody has.
pub struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts it. Where that does not work, the test says that it is skipped.
    pub fn mount() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let args = ["-t", "tmpfs", "-o", "size=1m", "egoat-test"];
        let ran = Command::new("mount").args(args).arg(dir.path()).output();
        if ran.is_ok_and(|ran| ran.status.success()) {
            return Some(SmallDisk { dir });
        }
        super::skip("`mount -t tmpfs` does not work here");
        None
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes it eight times as large.
    pub fn grow(&self) {
        self.grow_to(8);
    }

    /// Makes it so many MiB large.
    pub fn grow_to(&self, mib: usize) {
        self.remount(&format!("size={mib}m"));
    }

    /// It can have so many files and directories.
    pub fn limit_files(&self, most: usize) {
        self.remount(&format!("nr_inodes={most}"));
    }

    fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        let status = Command::new("mount").args(["-o", &option]).arg(self.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
