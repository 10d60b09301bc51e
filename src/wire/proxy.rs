//! A SOCKS5 proxy as people write it: `socks5://[USER:PASSWORD@]HOST:PORT`. It leaves out talking to it: see `net::transport`.

use std::str::FromStr;

use crate::text::percent;
use crate::wire::address::Address;

/// The most bytes of a user and of a password (RFC 1929).
const MAX_LOGIN: usize = 255;

/// What a proxy is told about who asks. No `Debug`: the password may be somebody's secret.
#[derive(Clone)]
pub struct Login {
    /// 1 to 255 bytes.
    pub user: Vec<u8>,
    /// 1 to 255 bytes.
    pub password: Vec<u8>,
}

/// A proxy, and what the user says to tell it.
#[derive(Clone)]
pub struct Proxy {
    /// Where it is.
    pub address: Address,
    /// Who asks, if the URL says that.
    pub login: Option<Login>,
}

/// Why a text is no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadProxy(pub &'static str);

impl FromStr for Proxy {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Proxy, BadProxy> {
        let rest = text.strip_prefix("socks5://").ok_or(BadProxy("it does not begin with socks5://"))?;
        // A password may have an @ in it, a host has none.
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(parse_login(login)?), address),
            None => (None, rest),
        };
        let parsed: Address = address.parse().map_err(|_| BadProxy("no HOST:PORT stands in it"))?;
        // An address without a port has the one of a node, which no proxy has.
        if !parsed.to_string().eq_ignore_ascii_case(address) {
            return Err(BadProxy("the port is missing"));
        }
        Ok(Proxy { address: parsed, login })
    }
}

fn parse_login(text: &str) -> Result<Login, BadProxy> {
    let (user, password) = text.split_once(':').ok_or(BadProxy("a user needs a password: USER:PASSWORD@"))?;
    let part = |text| {
        let bytes = percent::decode(text).ok_or(BadProxy("a % stands before two hexadecimal digits"))?;
        let is_good = (1..=MAX_LOGIN).contains(&bytes.len());
        is_good.then_some(bytes).ok_or(BadProxy("user and password have 1 to 255 bytes each"))
    };
    Ok(Login { user: part(user)?, password: part(password)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_panics(rest in ".{0,20}") {
            let _ = format!("socks5://{rest}").parse::<Proxy>();
            let _ = format!("socks5://u%{rest}:p@h:1").parse::<Proxy>();
        }
    }

    #[test]
    fn forms_that_people_type() {
        let login = |user: &[u8], password: &[u8]| Some([user.to_vec(), password.to_vec()]);
        for (text, address, expected) in [
            ("socks5://127.0.0.1:9050", "127.0.0.1:9050", None),
            ("socks5://[::1]:1080", "[::1]:1080", None),
            ("socks5://LocalHost:4628", "localhost:4628", None),
            ("socks5://bob:secret@h:1", "h:1", login(b"bob", b"secret")),
            ("socks5://bob:a:b@c@h:1", "h:1", login(b"bob", b"a:b@c")),
            ("socks5://b%3Ab:%00%fF%25@h:1", "h:1", login(b"b:b", b"\x00\xff%")),
            ("socks5://ä:ö@h:1", "h:1", login("ä".as_bytes(), "ö".as_bytes())),
        ] {
            let Ok(Proxy { address: found, login }) = text.parse() else { panic!("{text}") };
            assert_eq!(found.to_string(), address);
            assert_eq!(login.map(|login| [login.user, login.password]), expected, "{text}");
        }
        let longest = "x".repeat(255);
        assert!(format!("socks5://{longest}:{longest}@h:1").parse::<Proxy>().is_ok());
    }

    #[test]
    fn malformed_ones_are_refused() {
        let long = format!("socks5://{}:x@h:1", "x".repeat(256));
        for text in [
            "",
            "127.0.0.1:9050",
            "http://127.0.0.1:9050",
            "socks5h://127.0.0.1:9050",
            "socks5://",
            "socks5://h",
            "socks5://[::1]",
            "socks5://2001:db8::1",
            "socks5://h:0",
            "socks5://h:1/",
            "socks5://h:65536",
            "socks5://bob@h:1",
            "socks5://:x@h:1",
            "socks5://bob:@h:1",
            "socks5://bob:%@h:1",
            "socks5://bob:%4@h:1",
            "socks5://bob:%+4@h:1",
            "socks5://bob:%4ä@h:1",
            &long,
        ] {
            assert!(text.parse::<Proxy>().is_err(), "{text:?}");
        }
    }
}
