//! The addresses to listen on, and the sockets that are bound to them. This file accepts no connection: see `listener`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::net::transport::Listener;
use crate::store::home::Home;
use crate::text;
use crate::wire::address::{Address, DEFAULT_PORT};

/// The last of the ports that a node tries, from [`DEFAULT_PORT`] on, when nobody has said where it listens. One machine
/// rarely has more users than that who each run a node.
const LAST_PORT: u16 = 4659;

/// An address to listen on. Port 0 means any free port.
#[derive(Clone)]
pub struct Listen {
    /// `None` is every address of this machine, or loopback for a node that is hidden.
    host: Option<String>,
    port: u16,
    /// The file that names it, if no option does.
    file: Option<PathBuf>,
}

impl Listen {
    /// Parses `PORT`, `HOST:PORT`, `[V6]:PORT` or `HOST`; `None` for anything else. A bare number could be an IPv4 address,
    /// but whoever types one means a port.
    pub fn parse(text: &str) -> Option<Listen> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(Listen::everywhere);
        }
        let at = |host: &str, port| Listen { host: Some(host.to_owned()), port, file: None };
        if let Ok(address) = text.parse::<Address>() {
            return Some(at(address.host(), address.port()));
        }
        let address: Address = text.strip_suffix(":0")?.parse().ok()?;
        Some(at(address.host(), 0))
    }

    fn everywhere(port: u16) -> Listen {
        Listen { host: None, port, file: None }
    }

    /// The same, as a line of a file that people edit: errors name it.
    pub fn in_file(self, file: &Path) -> Listen {
        Listen { file: Some(file.to_owned()), ..self }
    }

    /// The IP address, if no name has to be resolved for it.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.as_deref()?.parse().ok()
    }

    /// Whether it is every address of this machine.
    pub fn is_everywhere(&self) -> bool {
        self.host.is_none()
    }

    /// The port that others can dial; `None` if the system chooses it.
    pub fn port(&self) -> Option<u16> {
        Some(self.port).filter(|port| *port != 0)
    }

    fn bind(&self, is_hidden: bool) -> Result<Vec<Listener>> {
        let bound = self.sockets(is_hidden);
        bound.map_err(|cause| Error::Listen {
            address: match &self.host {
                Some(host) => format!("{host} port {}", self.port),
                None => format!("port {}", self.port),
            },
            hint: self.hint(&cause, is_hidden),
            cause,
        })
    }

    fn sockets(&self, is_hidden: bool) -> io::Result<Vec<Listener>> {
        match &self.host {
            // A name like "localhost" may mean several addresses; this binds the first that works.
            Some(host) => Ok(vec![Listener::bind((host.as_str(), self.port))?]),
            None if is_hidden => Ok(vec![Listener::bind((Ipv4Addr::LOCALHOST, self.port))?]),
            None => bind_everywhere(self.port),
        }
    }

    /// What to type instead, in the words that were typed.
    fn hint(&self, cause: &io::Error, is_hidden: bool) -> Option<String> {
        let instead = |other: &Listen| match &self.file {
            Some(file) => format!("write {other} into {}", file.display()),
            None => format!("give --listen {other}"),
        };
        match cause.kind() {
            io::ErrorKind::AddrInUse => {
                let at = |port| Listen { port, ..self.clone() };
                let free = usual_ports().map(at).find(|other| other.sockets(is_hidden).is_ok());
                let free = free.unwrap_or_else(|| at(0));
                Some(format!("another program listens there; {}, which is free", instead(&free)))
            }
            io::ErrorKind::PermissionDenied => {
                let usual = Listen { port: DEFAULT_PORT, ..self.clone() };
                Some(format!("the system keeps this port for itself; {}", instead(&usual)))
            }
            // What is not an address of this machine, or no name of one.
            _ if self.host.is_some() => {
                let port = if self.port == 0 { DEFAULT_PORT } else { self.port };
                let all = instead(&Listen::everywhere(port));
                Some(format!("it must be an address of this machine; for all of them, {all}"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => write!(f, "{}", self.port),
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

fn usual_ports() -> std::ops::RangeInclusive<u16> {
    DEFAULT_PORT..=LAST_PORT
}

/// Binds the addresses that the user names. A port alone is a port of all addresses; of loopback for a node that is hidden.
pub fn bind(addresses: &[Listen], is_hidden: bool) -> Result<Vec<Listener>> {
    let bound: Result<Vec<Vec<Listener>>> = addresses.iter().map(|address| address.bind(is_hidden)).collect();
    Ok(bound?.into_iter().flatten().collect())
}

/// Binds those of the addresses that can be bound now; the others come back, each with what is in the way.
pub fn bind_free(addresses: &[Listen], is_hidden: bool) -> (Vec<Listener>, Vec<(Listen, Error)>) {
    let (mut listeners, mut unbound) = (Vec::new(), Vec::new());
    for address in addresses {
        match address.bind(is_hidden) {
            Ok(bound) => listeners.extend(bound),
            Err(error) => unbound.push((address.clone(), error)),
        }
    }
    (listeners, unbound)
}

/// Binds the first of the usual ports that is free.
pub fn bind_usual(is_hidden: bool) -> Result<(u16, Vec<Listener>)> {
    for port in usual_ports() {
        match Listen::everywhere(port).bind(is_hidden) {
            Err(Error::Listen { cause, .. }) if cause.kind() == io::ErrorKind::AddrInUse => {}
            bound => return Ok((port, bound?)),
        }
    }
    Err(Error::Listen {
        address: format!("any port from {DEFAULT_PORT} to {LAST_PORT}"),
        cause: io::ErrorKind::AddrInUse.into(),
        hint: Some("other programs listen there; give --listen 0 for any other port".into()),
    })
}

/// Binds the first of the usual ports or, if that is taken, any other, for a node that its peers find by a link alone.
pub fn bind_any(is_hidden: bool) -> Result<Vec<Listener>> {
    let usual = Listen::everywhere(DEFAULT_PORT).bind(is_hidden);
    usual.or_else(|_| Listen::everywhere(0).bind(is_hidden))
}

/// Parses what an option or a file names.
pub fn parse(text: &str) -> Result<Listen> {
    Listen::parse(text).ok_or_else(|| Error::Usage {
        what: format!("{} is no address to listen on", text::clean_line(text)),
        hint: Some("give a PORT, HOST:PORT, [IPV6]:PORT or HOST; port 0 is any free one".into()),
    })
}

/// What the `listen` file of a home names.
pub fn of_home(home: &Home) -> Result<Vec<Listen>> {
    let file = home.listen_path();
    let of_file = |line: &String| match parse(line) {
        Ok(listen) => Ok(listen.in_file(&file)),
        Err(error) => {
            Err(Error::Usage { what: format!("cannot use {}: {error}", file.display()), hint: error.hint() })
        }
    };
    home.listen()?.iter().map(of_file).collect()
}

/// Binds what the `listen` file of a home names. Without the file, takes the first free port of the usual ones and notes it
/// there, because from now on peers and links know it; the port that was chosen just now comes along.
pub fn bind_home(home: &Home, is_hidden: bool) -> Result<(Vec<Listener>, Option<u16>)> {
    let _lock = home.lock_records()?;
    // A link that is made at the same moment may have chosen.
    let named = of_home(home)?;
    if !named.is_empty() {
        return Ok((bind(&named, is_hidden)?, None));
    }
    let (port, listeners) = bind_usual(is_hidden)?;
    match home.set_listen(&port.to_string()) {
        Ok(()) => Ok((listeners, Some(port))),
        // A node starts on a full disk as well. The next one chooses again.
        Err(error) if error.is_disk_full() => Ok((listeners, None)),
        Err(error) => Err(error),
    }
}

/// Chooses the port of a home that has none yet, for a link that is made before its first node runs; gives it if it was
/// chosen just now.
pub fn choose_port(home: &Home, is_hidden: bool) -> Result<Option<u16>> {
    let _lock = home.lock_records()?;
    if !home.listen()?.is_empty() {
        return Ok(None);
    }
    let (port, listeners) = bind_usual(is_hidden)?;
    // Before the file is there: a node that reads it binds the port.
    drop(listeners);
    home.set_listen(&port.to_string()).map(|()| Some(port))
}

/// Binds one dual-stack socket where the system has these, else a socket of each family.
fn bind_everywhere(port: u16) -> io::Result<Vec<Listener>> {
    let v6 = Listener::bind((Ipv6Addr::UNSPECIFIED, port));
    if v6.as_ref().is_err_and(|cause| cause.kind() == io::ErrorKind::AddrInUse) {
        // Half of the callers would reach the other program.
        return v6.map(|one| vec![one]);
    }
    let port =
        v6.as_ref().ok().and_then(|listener| listener.local_addr().ok()).map_or(port, |bound| bound.port());
    let v4 = Listener::bind((Ipv4Addr::UNSPECIFIED, port));
    match (v6, v4) {
        (Ok(v6), Ok(v4)) => Ok(vec![v6, v4]),
        // The first socket is dual-stack and already has the port of the second family.
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(vec![one]),
        (Err(_), Err(cause)) => Err(cause),
    }
}

/// The addresses of the sockets, with the ports that the system has chosen.
pub fn local_addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_loopback_for_a_hidden_node() {
        let is_on_loopback =
            |listeners: &[Listener]| local_addresses(listeners).iter().all(|at| at.ip().is_loopback());
        let any = [Listen::parse("0").unwrap()];
        assert!(is_on_loopback(&bind(&any, true).unwrap()));
        assert!(!is_on_loopback(&bind(&any, false).unwrap()));
        let named = [Listen::parse("0.0.0.0:0").unwrap()];
        assert!(!is_on_loopback(&bind(&named, true).unwrap()));
    }

    #[test]
    fn what_is_parsed_can_be_typed_again() {
        for text in ["4628", "0", "127.0.0.1:7", "[::1]:0", "example.org:4628"] {
            assert_eq!(Listen::parse(text).unwrap().to_string(), text);
        }
        for text in ["65536", "-1", "1.5:x", "", "99999999999999999999999"] {
            assert!(Listen::parse(text).is_none(), "{text}");
        }
    }
}
