//! Absolute deadlines on blocking sockets. A timeout per read is not a deadline: a stranger who sends a byte every
//! four seconds would hold a handshake open for hours.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A moment after which waiting is over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// `wait` from now.
    pub fn after(wait: Duration) -> Deadline {
        Deadline(Instant::now() + wait)
    }

    /// The earlier of the two.
    pub fn min(self, other: Deadline) -> Deadline {
        Deadline(self.0.min(other.0))
    }

    /// What is left, `None` when nothing is.
    pub fn remaining(&self) -> Option<Duration> {
        self.0.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// The same as an error.
    pub fn left(&self) -> io::Result<Duration> {
        self.remaining().ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// Fills `buffer` before the deadline. An end of stream before the first byte is `UnexpectedEof` with
    /// `got == 0`.
    pub fn read_exact(&self, mut stream: &TcpStream, buffer: &mut [u8]) -> Result<(), ShortRead> {
        let mut got = 0;
        while got < buffer.len() {
            let left = self.left().map_err(|cause| ShortRead { got, cause })?;
            let read = stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut buffer[got..]));
            match read {
                Ok(0) => return Err(ShortRead { got, cause: io::ErrorKind::UnexpectedEof.into() }),
                Ok(count) => got += count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(ShortRead { got, cause: timed_out(cause) }),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` before the deadline.
    pub fn write_all(&self, mut stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            stream.set_write_timeout(Some(self.left()?))?;
            match stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(timed_out(cause)),
            }
        }
        Ok(())
    }
}

/// A read that ended before the buffer was full.
#[derive(Debug)]
pub struct ShortRead {
    /// Bytes that had arrived.
    pub got: usize,
    /// Why no more came.
    pub cause: io::Error,
}

impl ShortRead {
    /// Whether nothing came, until the time was over or the other end had enough of it.
    pub fn is_silence(&self) -> bool {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
        let cause = self.cause.kind();
        self.got == 0 && matches!(cause, ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
    }
}

/// Unix reports a socket timeout as `WouldBlock`, Windows as `TimedOut`: one of them is enough for callers.
pub fn timed_out(cause: io::Error) -> io::Error {
    if cause.kind() == io::ErrorKind::WouldBlock { io::Error::from(io::ErrorKind::TimedOut) } else { cause }
}
