//! Ports of loopback that stay a test's own while its node is away. The system gives a free port to whoever asks: a
//! node or a server of another test would be found there, dialled again and again, and be in the way of the node that
//! comes back.

use std::net::SocketAddr;
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};

/// Ports that are taken for as long as this is there.
#[derive(Default)]
pub struct Ports {
    taken: Mutex<Vec<Socket>>,
}

impl Ports {
    /// An address to listen on, for one of loopback with port 0. It is bound here too, of both families and without
    /// listening, so that the system gives it to nobody else; that both can be is Linux's way.
    pub fn take(&self, listen: &str) -> String {
        let asks = ["127.0.0.1:0", "[::1]:0"].contains(&listen);
        if !cfg!(target_os = "linux") || !asks {
            return listen.to_owned();
        }
        loop {
            let v4 = bound(([127, 0, 0, 1], 0).into()).unwrap();
            let port = v4.local_addr().unwrap().as_socket().unwrap().port();
            match bound(([0, 0, 0, 0, 0, 0, 0, 1], port).into()) {
                Err(cause) if cause.kind() == std::io::ErrorKind::AddrInUse => continue,
                // There may be no IPv6.
                v6 => self.taken.lock().unwrap().extend([v4].into_iter().chain(v6)),
            }
            return format!("{}:{port}", listen.strip_suffix(":0").unwrap());
        }
    }
}

fn bound(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
