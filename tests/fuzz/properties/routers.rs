//! What a router answers: packets of PCP and NAT-PMP, answers over SSDP and HTTP, descriptions and calls of UPnP.

use std::net::{IpAddr, SocketAddr};

use egoat::net::mapping::http::{self, Response, Url};
use egoat::net::mapping::pcp::{Answer, MapRequest};
use egoat::net::mapping::{natpmp, pcp, ssdp, upnp};

const ROUTER: &str = "192.168.7.1";

/// The request whose answers the samples are.
pub fn request() -> MapRequest {
    MapRequest {
        nonce: *b"twelve bytes",
        inside: "192.168.7.2:4628".parse().unwrap(),
        outside: "0.0.0.0:4629".parse().unwrap(),
        lifetime: 3600,
    }
}

/// ```text
/// input   which u8 ‖ rest
///         0   rest is a packet, by PCP or NAT-PMP
///         1   rest is an answer to a search
///         2   rest is an answer over HTTP, which arrives in pieces of any size
///         3   rest is a description, or what a call gives
/// ```
pub fn routers(input: &[u8]) -> Option<Vec<u8>> {
    let (which, rest) = input.split_first()?;
    let router: IpAddr = ROUTER.parse().unwrap();
    let decoded = match which {
        0 => packet(rest)?,
        1 => {
            let url = ssdp::location(rest, router)?;
            assert_eq!(url.at.ip(), router);
            is_harmless(&url);
            url.path.into_bytes()
        }
        2 => {
            let whole = response(rest, 2000);
            for piece in [1, 7] {
                assert_eq!(response(rest, piece), whole);
            }
            whole.ok()?.body.into_bytes()
        }
        3 => texts(&String::from_utf8_lossy(rest), router)?,
        _ => return None,
    };
    Some([&[*which], &decoded[..]].concat())
}

/// What a packet says, as an honest router would say it.
fn packet(packet: &[u8]) -> Option<Vec<u8>> {
    let age = pcp::read_announce(packet);
    let port = natpmp::read_map(packet, 4628);
    let address = natpmp::read_address(packet);
    match request().read(packet) {
        Some(Answer::Granted { outside, lifetime, epoch }) => {
            assert!(age.is_none() && port.is_none() && address.is_none());
            let ip = match outside.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            let told =
                [&lifetime.to_be_bytes()[..], &epoch.to_be_bytes(), &outside.port().to_be_bytes(), &ip];
            Some(told.concat())
        }
        Some(Answer::Refused(code)) => Some(vec![code]),
        Some(Answer::OnlyNatPmp) => None,
        None => Some(format!("{age:?} {port:?} {address:?}").into_bytes())
            .filter(|_| age.is_some() || port.is_some() || address.is_some()),
    }
}

fn response(answer: &[u8], piece: usize) -> Result<Response, &'static str> {
    let mut pieces = answer.chunks(piece);
    http::response(&mut |buffer| {
        let next = pieces.next().unwrap_or_default();
        buffer[..next.len()].copy_from_slice(next);
        Ok(next.len())
    })
}

/// Whatever a text names is at the address of the router, and breaks no line of a request.
fn texts(text: &str, router: IpAddr) -> Option<Vec<u8>> {
    let base = Url { at: SocketAddr::new(router, 5000), path: "/desc.xml".into() };
    let services = upnp::services(text, &base);
    for service in &services {
        assert_eq!(service.control.at.ip(), router);
        is_harmless(&service.control);
        let (headers, _) = service.call("GetExternalIPAddress", &[]);
        assert_eq!((headers.matches("\r\n").count(), headers.lines().count()), (2, 2), "{headers}");
        let again = upnp::Service::of_handle(service.control.at, &service.handle());
        assert_eq!(again.as_ref(), Some(service));
    }
    let error = upnp::result(Response { status: 500, body: text.to_owned() }).unwrap_err();
    assert!(!upnp::reason(error).is_empty());
    let ip = upnp::external_ip(text);
    let handles = services.iter().map(upnp::Service::handle).collect::<Vec<_>>().join("\n");
    (ip.is_some() || !services.is_empty()).then(|| format!("{ip:?} {handles}").into_bytes())
}

fn is_harmless(url: &Url) {
    assert!(
        url.path.starts_with('/') && url.path.bytes().all(|byte| byte.is_ascii_graphic()),
        "{}",
        url.path
    );
}
