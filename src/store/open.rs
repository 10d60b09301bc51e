//! Opening files that another local user may have replaced since anybody looked at them. Nothing here waits for a FIFO, and
//! what was opened tells what it is: its device and inode, and the path that leads to it without a link.
//!
//! std has no names for O_NONBLOCK and O_NOFOLLOW, so their numbers stand here, for each system. On a system that is not
//! listed, a link is looked for before a file is opened, and callers compare afterwards.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// `O_NONBLOCK`: to open a FIFO to which nobody writes, or to read from it, waits for nothing.
const NONBLOCK: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        0o200
    } else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
        0x4000
    } else {
        0o4000
    }
} else if IS_BSD {
    0x4
} else if cfg!(any(target_os = "illumos", target_os = "solaris")) {
    0x80
} else {
    0
};

/// `O_NOFOLLOW`: to open a symbolic link by its own name fails.
const NOFOLLOW: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    if cfg!(any(
        target_arch = "arm",
        target_arch = "aarch64",
        target_arch = "m68k",
        target_arch = "powerpc",
        target_arch = "powerpc64"
    )) {
        0o100_000
    } else {
        0o400_000
    }
} else if IS_BSD {
    0x100
} else if cfg!(any(target_os = "illumos", target_os = "solaris")) {
    0x2_0000
} else {
    0
};

const IS_BSD: bool = cfg!(any(
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "openbsd",
    target_os = "netbsd",
    target_os = "dragonfly"
));

/// Opens what a path leads to, links followed, for reading.
pub fn followed(path: &Path) -> io::Result<File> {
    with_flags(path, NONBLOCK)
}

/// Opens what has this very name, for reading; a symbolic link is an error.
pub fn unlinked(path: &Path) -> io::Result<File> {
    let link = || io::Error::new(io::ErrorKind::InvalidData, "a symbolic link has its place now");
    let is_link = || fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink());
    if NOFOLLOW == 0 && is_link() {
        return Err(link());
    }
    with_flags(path, NONBLOCK | NOFOLLOW).map_err(|cause| if is_link() { link() } else { cause })
}

fn with_flags(path: &Path, flags: i32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    #[cfg(not(unix))]
    let _ = flags;
    options.open(path)
}

/// Which file it is, whatever its name: no two files have the same id at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The id of what this is of; `None` where std does not tell it, as on Windows.
    pub fn of(data: &Metadata) -> Option<FileId> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Some(FileId { device: data.dev(), inode: data.ino() })
        }
        #[cfg(not(unix))]
        return Some(data).and(None);
    }

    /// The number of its file system.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Its number within its file system.
    pub fn inode(&self) -> u64 {
        self.inode
    }
}

/// The path of an open file or directory without a symbolic link in it; `path` is the one by which it was opened.
pub fn real_path(open: &File, path: &Path) -> io::Result<PathBuf> {
    // The kernel knows by which way it went; nobody can change that afterwards.
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        if let Ok(real) = fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd())) {
            return Ok(real);
        }
    }
    let real = fs::canonicalize(path)?;
    if FileId::of(&open.metadata()?) == FileId::of(&fs::symlink_metadata(&real)?) {
        Ok(real)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "its path leads elsewhere now"))
    }
}

/// Whether the file may have other contents than its size says: that of /proc is 0, that of /sys a page, and neither takes
/// room on a disk. True of each empty file as well.
pub fn is_size_doubtful(data: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(data) == 0;
    #[cfg(not(unix))]
    return data.len() == 0;
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_link_is_not_followed_and_a_fifo_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "content").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink(".", at("link to a directory")).unwrap();
        assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());

        assert_eq!(io::read_to_string(unlinked(&at("file")).unwrap()).unwrap(), "content");
        assert_eq!(io::read_to_string(followed(&at("link")).unwrap()).unwrap(), "content");
        assert!(unlinked(&at("link")).is_err());
        assert!(unlinked(&at("link to a directory")).is_err());
        // Without O_NONBLOCK these two never return.
        for open in [followed, unlinked] {
            assert!(!open(&at("fifo")).unwrap().metadata().unwrap().is_file());
        }
        let real = real_path(&followed(&at("link")).unwrap(), &at("link")).unwrap();
        assert_eq!(real, fs::canonicalize(at("file")).unwrap());
    }

    #[test]
    fn names_of_one_file_have_one_id() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "").unwrap();
        fs::write(at("b"), "").unwrap();
        fs::hard_link(at("a"), at("c")).unwrap();
        let id = |name: &str| FileId::of(&fs::metadata(at(name)).unwrap()).unwrap();
        assert_eq!(id("a"), id("c"));
        assert_ne!(id("a"), id("b"));
    }
}
