//! What is said with an Internet Gateway Device of UPnP: its description, and the calls to its services. Tags are searched in
//! the texts; nothing else of XML is understood. Nothing is sent here.

use std::net::{Ipv4Addr, SocketAddr};

use crate::net::mapping::http::{Response, Url};

/// Services that are looked at in one description.
const MAX_SERVICES: usize = 4;
const SERVICE: &str = "urn:schemas-upnp-org:service:";

/// A service that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where it is called.
    pub control: Url,
    /// Its type, as the router names it.
    pub kind: String,
}

impl Service {
    /// As it is noted: the path and the type.
    pub fn handle(&self) -> String {
        format!("{} {}", self.control.path, self.kind)
    }

    /// As it was noted.
    pub fn of_handle(router: SocketAddr, handle: &str) -> Option<Service> {
        let (path, kind) = handle.split_once(' ')?;
        let control = Url::at(router, path)?;
        is_kind(kind).then(|| Service { control, kind: kind.to_owned() })
    }

    /// The lines behind the first ones of a call, and its body.
    pub fn call(&self, action: &str, arguments: &[(&str, &str)]) -> (String, String) {
        let kind = &self.kind;
        let arguments: String =
            arguments.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
        let headers =
            format!("Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: \"{kind}#{action}\"\r\n");
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{kind}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        );
        (headers, body)
    }
}

/// Whether a type is one that maps ports; it goes into headers, so it has nothing else in it.
fn is_kind(kind: &str) -> bool {
    let name = kind.strip_prefix(SERVICE).and_then(|rest| rest.split_once(':'));
    name.is_some_and(|(name, version)| {
        ["WANIPConnection", "WANPPPConnection"].contains(&name)
            && (1..=3).contains(&version.len())
            && version.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The text in the first element of this name, whatever its prefix and attributes.
fn text_of<'a>(xml: &'a str, tag: &str) -> Option<&'a str> {
    let mut rest = xml;
    loop {
        let (before, behind) = rest.split_once(tag)?;
        let is_open = before.ends_with('<') || (before.ends_with(':') && is_prefixed(before));
        if is_open && behind.starts_with(['>', ' ', '\t', '\r', '\n']) {
            let (_, content) = behind.split_once('>')?;
            return content.split_once('<').map(|(text, _)| text.trim());
        }
        rest = behind;
    }
}

/// Whether the text ends in `<PREFIX:`.
fn is_prefixed(before: &str) -> bool {
    let prefix = before.trim_end_matches(':').trim_end_matches(|c: char| c.is_ascii_alphanumeric());
    prefix.ends_with('<')
}

/// The services that a description at `base` names, all at the IP address that it came from.
pub fn services(description: &str, base: &Url) -> Vec<Service> {
    let base =
        text_of(description, "URLBase").and_then(|other| base.join(other)).unwrap_or_else(|| base.clone());
    let service = |block: &str| {
        let block = block.split("</service>").next()?;
        let kind = text_of(block, "serviceType").filter(|kind| is_kind(kind))?;
        let control = base.join(&text_of(block, "controlURL")?.replace("&amp;", "&"))?;
        Some(Service { control, kind: kind.to_owned() })
    };
    description.split("<service>").skip(1).filter_map(service).take(MAX_SERVICES).collect()
}

/// What came of a call: the answer's text, or the number of the error.
pub fn result(response: Response) -> Result<String, u16> {
    if response.status == 200 {
        return Ok(response.body);
    }
    let code = text_of(&response.body, "errorCode").and_then(|code| code.parse().ok());
    Err(code.unwrap_or(response.status))
}

/// The address in an answer to GetExternalIPAddress; 0.0.0.0 also where the router leaves it out, as it has none.
pub fn external_ip(body: &str) -> Option<Ipv4Addr> {
    match text_of(body, "NewExternalIPAddress")? {
        "" => Some(Ipv4Addr::UNSPECIFIED),
        text => text.parse().ok(),
    }
}

/// The number of an error in words.
pub fn reason(code: u16) -> String {
    let words = match code {
        606 => "this is not allowed here",
        501 => "it does not do it",
        718 | 729 => "other machines have the ports",
        728 => "it has no room for another mapping",
        _ => return format!("error {code}"),
    };
    format!("{words}, error {code}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DESCRIPTION: &str = "<?xml version=\"1.0\"?><root><device><serviceList>\
        <service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>\
        <controlURL>/ctl/L3F</controlURL></service></serviceList><deviceList><device><serviceList>\
        <service> <serviceType> urn:schemas-upnp-org:service:WANPPPConnection:1 </serviceType>\
        <controlURL>ppp?a=1&amp;b=2</controlURL></service>\
        <service><controlURL>http://192.168.7.1:81/ctl/IP</controlURL>\
        <serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType></service>\
        <service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
        <controlURL>http://192.168.7.9/ctl/IP</controlURL></service>\
        <service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1\"\r\nX: y</serviceType>\
        <controlURL>/ctl</controlURL></service></serviceList></device></deviceList></device></root>";

    #[test]
    fn services_are_those_that_map_at_the_same_address() {
        let base = Url::parse("http://192.168.7.1:5000/d/desc.xml").unwrap();
        let found = services(DESCRIPTION, &base);
        let shown: Vec<(String, &str)> =
            found.iter().map(|one| (one.control.at.to_string(), one.control.path.as_str())).collect();
        assert_eq!(
            shown,
            [("192.168.7.1:5000".to_owned(), "/d/ppp?a=1&b=2"), ("192.168.7.1:81".to_owned(), "/ctl/IP")]
        );
        for one in found {
            assert_eq!(Service::of_handle(one.control.at, &one.handle()), Some(one));
        }
        let many = DESCRIPTION.replace("Layer3Forwarding", "WANIPConnection").repeat(100);
        assert_eq!(services(&many, &base).len(), MAX_SERVICES);
        for length in 0..DESCRIPTION.len() {
            assert!(services(&DESCRIPTION[..length], &base).len() <= 2);
        }
    }

    #[test]
    fn an_answer_is_searched_for_its_tags() {
        let body =
            "<s:Body><u:GetExternalIPAddressResponse><NewExternalIPAddress>11.0.0.1</NewExternalIPAddress>";
        assert_eq!(external_ip(body), Some(Ipv4Addr::new(11, 0, 0, 1)));
        assert_eq!(external_ip(&body.replace("<New", "<u:New")), Some(Ipv4Addr::new(11, 0, 0, 1)));
        assert_eq!(external_ip(&body.replace("<New", "<X New")), None);
        assert_eq!(external_ip(&body.replace("11.0.0.1", "example.org")), None);
        assert_eq!(external_ip(&body.replace("</NewExternalIPAddress>", "")), None);
        let fault = "<UPnPError><errorCode>725</errorCode></UPnPError>";
        assert_eq!(result(Response { status: 500, body: fault.into() }), Err(725));
        assert_eq!(result(Response { status: 302, body: String::new() }), Err(302));
    }

    #[test]
    fn a_call_names_its_service() {
        let base = Url::parse("http://192.168.7.1:5000/d/desc.xml").unwrap();
        let (headers, body) =
            services(DESCRIPTION, &base)[1].call("DeletePortMapping", &[("NewProtocol", "TCP")]);
        assert!(headers.contains(
            "SOAPAction: \"urn:schemas-upnp-org:service:WANIPConnection:2#DeletePortMapping\"\r\n"
        ));
        assert!(body.contains("<NewProtocol>TCP</NewProtocol></u:DeletePortMapping>"));
    }
}
