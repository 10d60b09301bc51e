//! The packets of SSDP (UPnP Device Architecture 1.1, section 1.3), by which routers are found. Nothing is sent here.

use std::net::{IpAddr, SocketAddr};

use crate::net::mapping::http::{Url, header};

/// Every router answers for the first version, also a newer one.
const TARGET: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
/// What the target of an answer must begin with.
const KINDS: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:";

/// Asks who is a router. Answers come within a second.
pub fn search(to: SocketAddr) -> Vec<u8> {
    format!("M-SEARCH * HTTP/1.1\r\nHOST: {to}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {TARGET}\r\n\r\n")
        .into_bytes()
}

/// Where the description of a router is, by its answer; `None` if the packet is none, or leads to another machine than the one
/// that sent it.
pub fn location(packet: &[u8], from: IpAddr) -> Option<Url> {
    let text = std::str::from_utf8(packet).ok()?;
    let (status, headers) = text.split_once("\r\n")?;
    let is_ok = status.starts_with("HTTP/1.") && status.split(' ').nth(1) == Some("200");
    if !is_ok || !header(headers, "st")?.starts_with(KINDS) {
        return None;
    }
    Url::parse(header(headers, "location")?).filter(|url| url.at.ip() == from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n\
        ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
        Location: http://192.168.7.1:5000/rootDesc.xml\r\n\r\n";

    #[test]
    fn a_location_is_at_the_address_that_answers() {
        let router = "192.168.7.1".parse().unwrap();
        let found = location(ANSWER.as_bytes(), router).unwrap();
        assert_eq!(
            (found.at.to_string(), found.path.as_str()),
            ("192.168.7.1:5000".to_owned(), "/rootDesc.xml")
        );
        assert_eq!(location(ANSWER.as_bytes(), "192.168.7.9".parse().unwrap()), None);
        for (from, to) in [
            ("200 OK", "404 Not Found"),
            ("Gateway", "Printing"),
            ("http:", "https:"),
            ("192.168.7.1", "router"),
            ("192.168.7.1", "192.168.7.1@192.168.7.9"),
            ("Location", "X"),
        ] {
            assert_eq!(location(ANSWER.replace(from, to).as_bytes(), router), None, "{from} {to}");
        }
        let whole = ANSWER.len() - "l\r\n\r\n".len();
        let cut = (0..whole).find(|length| {
            location(&ANSWER.as_bytes()[..*length], router).is_some_and(|url| url.path.ends_with(".xml"))
        });
        assert_eq!(cut, None, "a header counts when its line has ended");
    }

    #[test]
    fn a_search_names_whom_it_asks() {
        let asked = String::from_utf8(search("192.168.7.1:1900".parse().unwrap())).unwrap();
        assert!(asked.starts_with("M-SEARCH * HTTP/1.1\r\nHOST: 192.168.7.1:1900\r\n"));
        assert!(asked.ends_with("\r\n\r\n"));
    }
}
