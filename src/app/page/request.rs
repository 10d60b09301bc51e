//! The head of a request, read strictly: what two programs could read in two ways is refused (RFC 9112, section 11.2).

/// Longest head in bytes.
pub const MAX_HEAD: usize = 16 << 10;

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Look.
    Get,
    /// Change something.
    Post,
    /// Store a file.
    Put,
    /// Anything else: OPTIONS, too, since nobody from elsewhere may ask what is allowed.
    Other,
}

/// The head of a request, as far as anything here goes by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path, before `?`.
    pub path: String,
    /// What is behind `?`.
    pub query: String,
    /// Host, in small letters.
    pub host: String,
    /// Origin.
    pub origin: Option<String>,
    /// Sec-Fetch-Site.
    pub site: Option<String>,
    /// What is behind `Bearer` in Authorization.
    pub token: Option<String>,
    /// Content-Length.
    pub length: Option<u64>,
    /// The body has chunks: its length is not known.
    pub is_chunked: bool,
    /// The connection ends with the answer.
    pub closes: bool,
}

/// The request is malformed, or can be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRequest;

/// Bytes of the head at the front of `bytes`, with the empty line at its end; `None` while it is not whole.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, BadRequest> {
    for (place, byte) in bytes.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| bytes[before]);
        match byte {
            b'\n' if before != Some(b'\r') => return Err(BadRequest),
            b'\n' if bytes[..place - 1].ends_with(b"\r\n") => return Ok(Some(place + 1)),
            b'\n' => {}
            _ if before == Some(b'\r') => return Err(BadRequest),
            b'\r' => {}
            // Text, and no control character but a tab.
            b'\t' | 0x20..=0x7e => {}
            _ => return Err(BadRequest),
        }
    }
    if bytes.len() > MAX_HEAD { Err(BadRequest) } else { Ok(None) }
}

impl Head {
    /// Parses a whole head.
    pub fn parse(bytes: &[u8]) -> Result<Head, BadRequest> {
        let text = std::str::from_utf8(bytes).map_err(|_| BadRequest)?;
        let mut lines = text.strip_suffix("\r\n\r\n").ok_or(BadRequest)?.split("\r\n");
        let mut words = lines.next().ok_or(BadRequest)?.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(BadRequest);
        };
        if !target.starts_with('/') {
            return Err(BadRequest);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut head = Head {
            method: match method {
                "GET" => Method::Get,
                "POST" => Method::Post,
                "PUT" => Method::Put,
                _ => Method::Other,
            },
            path: path.to_owned(),
            query: query.to_owned(),
            host: String::new(),
            origin: None,
            site: None,
            token: None,
            length: None,
            is_chunked: false,
            closes: false,
        };
        for line in lines {
            head.field(line)?;
        }
        if head.host.is_empty() || (head.is_chunked && head.length.is_some()) {
            return Err(BadRequest);
        }
        Ok(head)
    }

    fn field(&mut self, line: &str) -> Result<(), BadRequest> {
        let (name, value) = line.split_once(':').ok_or(BadRequest)?;
        // A folded line begins with white space, and some programs take `Name :` for the name.
        let is_token = |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(BadRequest);
        }
        let value = value.trim_matches([' ', '\t']);
        let once = |place: &mut Option<String>| match place.replace(value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(BadRequest),
        };
        match name.to_ascii_lowercase().as_str() {
            "host" if self.host.is_empty() => self.host = value.to_ascii_lowercase(),
            "host" => return Err(BadRequest),
            "origin" => once(&mut self.origin)?,
            "sec-fetch-site" => once(&mut self.site)?,
            "authorization" => {
                let mut given = None;
                if let Some(token) = value.strip_prefix("Bearer ") {
                    given = Some(token.to_owned());
                }
                if self.token.is_some() {
                    return Err(BadRequest);
                }
                self.token = given;
            }
            "content-length" => {
                let is_number =
                    (1..=18).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
                if !is_number || self.length.is_some() {
                    return Err(BadRequest);
                }
                self.length = value.parse().ok();
            }
            "transfer-encoding" => self.is_chunked = true,
            "connection" => self.closes |= value.eq_ignore_ascii_case("close"),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GOOD: &[u8] =
        b"GET /a?b=c HTTP/1.1\r\nHost: LOCALHOST:1\r\nX: \ty \r\nAuthorization: Bearer t\r\n\r\n";

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        assert_eq!(length(GOOD), Ok(Some(GOOD.len())));
        assert_eq!(length(&[GOOD, b"\n\0"].concat()), Ok(Some(GOOD.len())), "what follows is not looked at");
        let head = Head::parse(GOOD).unwrap();
        assert_eq!((head.method, &*head.path, &*head.query), (Method::Get, "/a", "b=c"));
        assert_eq!((&*head.host, head.token.as_deref()), ("localhost:1", Some("t")));
        for end in 0..GOOD.len() {
            assert_eq!(length(&GOOD[..end]), Ok(None), "{end}");
            assert_eq!(Head::parse(&GOOD[..end]), Err(BadRequest), "{end}");
        }
    }

    /// A byte that is lost or changed makes another head, or none; it never makes this one end early or late.
    #[test]
    fn no_byte_can_be_changed_into_the_end_of_a_head() {
        for place in 0..GOOD.len() - 4 {
            for byte in 0..=255 {
                let mut changed = GOOD.to_vec();
                changed[place] = byte;
                if let Ok(found) = length(&changed) {
                    assert_eq!(found, Some(GOOD.len()), "{byte} at {place}");
                    let _ = Head::parse(&changed);
                }
            }
        }
    }
}
