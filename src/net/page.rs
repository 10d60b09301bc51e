//! The socket of the window: TCP on 127.0.0.1 for browsers of this machine, with deadlines. It knows nothing of HTTP.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::net::deadline::{Deadline, timed_out};
use crate::store::file;

/// How long a write may make no progress.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause after accept() has failed for want of descriptors or memory.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long what is still on its way is read before a connection is closed: the kernel sends RST for what is unread, and a
/// browser that is in the middle of a file would lose the answer.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of a table of the system's sockets that are looked at.
const MAX_TABLE: u64 = 16 << 20;

/// The user of a socket between these ports, by its line in proc_net_tcp(5): number, own address, the other's, state, queues,
/// timer, timeouts, user.
fn owner(line: &str, own: u16, other: u16) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let mut port = || u16::from_str_radix(fields.next()?.rsplit_once(':')?.1, 16).ok();
    if port()? != own || port()? != other {
        return None;
    }
    fields.nth(4)?.parse().ok()
}

/// A listener on loopback.
pub struct PageListener(TcpListener);

impl PageListener {
    /// Listens at the port; 0 is any free one.
    pub fn open(port: u16) -> io::Result<PageListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(PageListener)
    }

    /// The port.
    pub fn port(&self) -> io::Result<u16> {
        self.0.local_addr().map(|address| address.port())
    }

    /// Waits for the next connection.
    pub fn accept(&self) -> PageStream {
        loop {
            match self.0.accept() {
                Ok((stream, _)) => {
                    // An answer is written in few pieces; none is to wait for the acknowledgement of another.
                    let set =
                        stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(STALL_TIMEOUT)));
                    if set.is_ok() {
                        return PageStream(stream);
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => thread::sleep(RETRY_PAUSE),
            }
        }
    }
}

/// A connection of a browser.
pub struct PageStream(TcpStream);

impl PageStream {
    /// Reads what has arrived, at least a byte but at the end of the stream, before the deadline.
    pub fn read(&self, buffer: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        loop {
            self.0.set_read_timeout(Some(deadline.left()?))?;
            match (&self.0).read(buffer) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(timed_out),
            }
        }
    }

    /// Writes all of it.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }

    /// Whether the program at the other end may be this user's: not if the system says that another user has its socket. Linux
    /// tells that, in proc_net_tcp(5); what it does not tell may be.
    pub fn may_be_own(&self) -> bool {
        let (Some(user), Ok(theirs), Ok(ours)) =
            (file::process_user(), self.0.peer_addr(), self.0.local_addr())
        else {
            return true;
        };
        // A browser may have an IPv6 socket for an IPv4 address.
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().all(|path| {
            let table = File::open(path).map(|file| BufReader::new(file.take(MAX_TABLE)));
            let lines = table.into_iter().flat_map(|table| table.lines().map_while(Result::ok));
            // Root is trusted anyway, and it is root who forwards from outside of some virtual machines.
            lines
                .filter_map(|line| owner(&line, theirs.port(), ours.port()))
                .all(|owner| owner == user || owner == 0)
        })
    }

    /// Whether the other end is still there, as far as it can be told without waiting: it says nothing in the middle of an
    /// answer.
    pub fn is_open(&self) -> bool {
        let looked = self.0.set_nonblocking(true).and_then(|()| self.0.peek(&mut [0]));
        let is_open = match looked {
            Ok(count) => count > 0,
            Err(cause) => cause.kind() == io::ErrorKind::WouldBlock,
        };
        self.0.set_nonblocking(false).is_ok() && is_open
    }

    /// Ends the connection so that what was written arrives.
    pub fn close(&self) {
        let deadline = Deadline::after(LINGER);
        if self.0.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut buffer = [0; 16 << 10];
        while let Ok(1..) = self.read(&mut buffer, deadline) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_socket_is_told_by_its_ports() {
        let line =
            "  10: 0100007F:1A0A 0100007F:1248 01 00000000:00000000 00:00000000 00000000  1000        0 77 1";
        assert_eq!(owner(line, 0x1a0a, 0x1248), Some(1000));
        assert_eq!(owner(line, 0x1248, 0x1a0a), None);
        assert_eq!(
            owner("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid", 1, 2),
            None
        );
        assert_eq!(owner("", 1, 2), None);
    }
}
