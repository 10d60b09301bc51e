//! Who may ask at all: pages of this very origin, and a user who types the address. A page from elsewhere is kept out by what
//! the browser says of it, a name that leads here by rebinding (DNS) by its Host.

use crate::app::page::request::Head;

/// The names by which a browser reaches this machine. The port is any: `ssh -L` changes it.
const HOSTS: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// Whether the request may be answered.
pub fn admits(head: &Head) -> bool {
    let is_top = head.path == "/";
    is_own_host(&head.host)
        && match head.site.as_deref() {
            None | Some("same-origin") => true,
            // The user typed the address, or a program opened it.
            Some("none") => is_top,
            Some(_) => false,
        }
        && head.origin.as_ref().is_none_or(|origin| origin.strip_prefix("http://") == Some(&head.host))
}

fn is_own_host(host: &str) -> bool {
    let rest = HOSTS.iter().find_map(|name| host.strip_prefix(name));
    rest.is_some_and(|rest| rest.is_empty() || port(rest).is_some())
}

/// The port in what is behind a host's name.
fn port(rest: &str) -> Option<u16> {
    rest.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Whether the browser dials this port itself, and so is on this machine, as far as it can be told.
pub fn is_direct(head: &Head, port: u16) -> bool {
    let rest = HOSTS.iter().find_map(|name| head.host.strip_prefix(name));
    rest.and_then(self::port) == Some(port)
}
