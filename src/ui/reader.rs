//! Who reads an output: nobody any more, or the journal of systemd. A write would tell of the former, but a command that waits
//! has nothing to write, and std has no poll(2).

use std::io;

/// Whether standard output is a pipe whose reader has gone. Only Linux tells: elsewhere, and of a socket, this is `false`, and
/// the next write fails.
pub fn is_gone() -> bool {
    copy_nothing().is_err_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Copies an empty pipe to standard output. Between two pipes std does that by splice(2), which looks whether the output has
/// a reader before it looks for bytes.
#[cfg(unix)]
fn copy_nothing() -> io::Result<u64> {
    use std::fs::File;
    use std::os::fd::{AsFd, OwnedFd};
    let (nothing, writer) = io::pipe()?;
    drop(writer);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    io::copy(&mut File::from(OwnedFd::from(nothing)), &mut output)
}

#[cfg(not(unix))]
fn copy_nothing() -> io::Result<u64> {
    Ok(0)
}

/// Whether the output goes to the journal, by systemd.exec(5): the device and inode of the connection are in the environment,
/// and are those of the output unless somebody has redirected it since.
#[cfg(unix)]
pub fn is_journal(output: impl std::os::fd::AsFd) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else { return false };
    let copy = output.as_fd().try_clone_to_owned().map(std::fs::File::from);
    copy.and_then(|file| file.metadata())
        .is_ok_and(|file| journal == format!("{}:{}", file.dev(), file.ino()))
}

/// There is no journal on other systems.
#[cfg(not(unix))]
pub fn is_journal<T>(_output: T) -> bool {
    false
}
