//! Direct connections: the addresses behind a name, and a TCP connection to one of them. It leaves out who is at the other
//! end.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::net::deadline::Deadline;
use crate::net::local;
use crate::net::transport::{Origin, Stream};
use crate::wire::address::Address;

/// How long to resolve a name, and how long to connect to each of its addresses.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest attempt at an address, however little time is left.
const MIN_CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Resolves the name, and connects to one of its addresses.
pub fn connect(address: &Address, deadline: Deadline) -> io::Result<Stream> {
    first_of(&resolve(address, deadline.left()?)?, deadline)
}

/// Connects to the first of the addresses that accepts. Each address gets its share of the time that is left, so that a
/// silent one, as where IPv6 is broken, leaves enough for the others.
pub fn first_of(found: &[SocketAddr], deadline: Deadline) -> io::Result<Stream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (number, address) in found.iter().enumerate() {
        let left = deadline.left().unwrap_or_default();
        // Resolving the name may have taken all of the time.
        if left.is_zero() && number > 0 {
            break;
        }
        let share = left / (found.len() - number) as u32;
        match connect_to(address, share.clamp(MIN_CONNECT_TIMEOUT, CONNECT_TIMEOUT)) {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

/// Connects to one address.
pub fn connect_to(address: &SocketAddr, wait: Duration) -> io::Result<Stream> {
    let socket = TcpStream::connect_timeout(address, wait)?;
    Ok(Stream::new(socket, Origin::Direct(address.ip())))
}

/// The addresses of a host. The system's resolver has no deadline of its own, so it runs in a thread that may outlive the
/// wait.
pub fn resolve(address: &Address, wait: Duration) -> io::Result<Vec<SocketAddr>> {
    // The system knows the number of the interface that a zone names.
    if let (Some(ip), None) = (address.ip(), address.zone()) {
        return Ok(local::sockets_of(ip, address.port()));
    }
    let (answer, waiting) = mpsc::channel();
    let (host, port) = (address.host().to_owned(), address.port());
    thread::Builder::new().name("resolver".into()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // After the deadline nobody waits for the answer.
        let _ = answer.send(found);
    })?;
    match waiting.recv_timeout(wait) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(_)) if address.zone().is_some() => {
            Err(io::Error::new(io::ErrorKind::NotFound, "this machine has no such interface"))
        }
        Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::NotFound, "the name does not resolve")),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the name could not be resolved in time")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    /// Linux does not answer a SYN to a listener whose queue is full.
    #[test]
    #[cfg(target_os = "linux")]
    fn an_address_from_which_nothing_comes_leaves_time_for_the_next() {
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(caller) = TcpStream::connect_timeout(&silent, Duration::from_millis(200)) {
            waiting.push(caller);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let deadline = Deadline::after(Duration::from_secs(3));
        let stream = first_of(&[silent, listener.local_addr().unwrap()], deadline).unwrap();
        assert_eq!(stream.address(), listener.local_addr().ok());
        assert!(deadline.left().is_ok(), "the first took all of the time");
    }
}
