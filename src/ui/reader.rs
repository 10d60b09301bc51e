//! Whether somebody still reads standard output. A write would tell, but a command that waits has nothing to write, and std
//! has no poll(2).

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
