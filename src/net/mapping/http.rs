//! As much of HTTP/1.1 as a router needs: one request over one connection, an answer of at most 64 KiB within 3 seconds, no
//! redirects. Only IP addresses are dialled, so no name is looked up.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::net::deadline::Deadline;

/// Most bytes of an answer, with its headers.
const MAX_ANSWER: usize = 64 << 10;
/// How long an answer may take, from the first packet to the last byte.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest path in bytes.
const MAX_PATH: usize = 512;

/// `http://IPV4:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whom to dial.
    pub at: SocketAddr,
    /// Begins with a slash, and has only printable ASCII without blanks.
    pub path: String,
}

impl Url {
    /// Parses a whole URL.
    pub fn parse(text: &str) -> Option<Url> {
        let text = text.trim();
        let rest =
            text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).map(|_| &text[7..])?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (ip, port) = host.split_once(':').unwrap_or((host, "80"));
        let ip: IpAddr = ip.parse().ok().filter(IpAddr::is_ipv4)?;
        let at = SocketAddr::new(ip, port.parse().ok().filter(|port| *port != 0)?);
        Url::at(at, if path.is_empty() { "/" } else { path })
    }

    /// A path at an address.
    pub fn at(at: SocketAddr, path: &str) -> Option<Url> {
        let is_path = path.starts_with('/')
            && path.len() <= MAX_PATH
            && path.bytes().all(|byte| byte.is_ascii_graphic());
        is_path.then(|| Url { at, path: path.to_owned() })
    }

    /// What a document at this URL means by `reference`: a whole URL, a path, or a name beside the document. It must be at the
    /// same IP address.
    pub fn join(&self, reference: &str) -> Option<Url> {
        let reference = reference.trim();
        if reference.contains("://") {
            return Url::parse(reference).filter(|url| url.at.ip() == self.at.ip());
        }
        if reference.starts_with('/') {
            return Url::at(self.at, reference);
        }
        let folder = &self.path[..=self.path.rfind('/')?];
        Url::at(self.at, &format!("{folder}{reference}"))
    }
}

/// The value of a header, whose name is in small letters. Only lines that have ended count.
pub fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    let ended = &headers[..headers.rfind("\r\n").unwrap_or(0)];
    let mut fields = ended.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// What a router answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// 200 and so on.
    pub status: u16,
    /// The text; what is not UTF-8 is replaced.
    pub body: String,
}

/// How long the body is.
enum Framing {
    /// So many bytes.
    Length(usize),
    /// Chunks, of which so much was read.
    Chunked(Chunks),
    /// All until the end of the connection.
    UntilClose,
}

/// Chunks of a body that were taken apart so far.
#[derive(Default)]
struct Chunks {
    /// Where the next chunk begins.
    at: usize,
    body: Vec<u8>,
}

/// Longest line with the length of a chunk, in bytes.
const MAX_CHUNK_LINE: usize = 256;

impl Chunks {
    /// Takes the whole chunks out of all that has come; `true` after the last.
    fn advance(&mut self, raw: &[u8]) -> Result<bool, &'static str> {
        loop {
            let rest = raw.get(self.at..).unwrap_or_default();
            let Some(line) = rest.windows(2).take(MAX_CHUNK_LINE).position(|pair| pair == b"\r\n") else {
                return if rest.len() > MAX_CHUNK_LINE { Err("its chunks are damaged") } else { Ok(false) };
            };
            let digits = std::str::from_utf8(&rest[..line]).unwrap_or_default();
            let digits = digits.split(';').next().unwrap_or_default().trim();
            let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let length = is_hex.then(|| usize::from_str_radix(digits, 16).ok()).flatten();
            let length = length.filter(|length| *length <= MAX_ANSWER).ok_or("its chunks are damaged")?;
            if length == 0 {
                return Ok(true);
            }
            let (begin, end) = (line + 2, line + 2 + length);
            match rest.get(end..end + 2) {
                None => return Ok(false),
                Some(b"\r\n") => self.body.extend(&rest[begin..end]),
                Some(_) => return Err("its chunks are damaged"),
            }
            self.at += end + 2;
        }
    }
}

/// Status and framing of the body, by the lines before it.
fn head(text: &str) -> Result<(u16, Framing), &'static str> {
    let (status, headers) = text.split_once("\r\n").ok_or("this is no HTTP")?;
    let code = status.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let code =
        code.filter(|code| code.len() == 3).and_then(|code| code.parse().ok()).ok_or("this is no HTTP")?;
    let is_chunked = header(headers, "transfer-encoding")
        .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    let framing = match header(headers, "content-length") {
        _ if is_chunked => Framing::Chunked(Chunks::default()),
        Some(length) => Framing::Length(length.parse().ok().ok_or("its length is no number")?),
        None => Framing::UntilClose,
    };
    Ok((code, framing))
}

/// Reads an answer by `read`, which gives no bytes at the end of the connection. Each byte is looked at once, however few
/// arrive together.
pub fn response(read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>) -> Result<Response, &'static str> {
    let (mut raw, mut found) = (Vec::new(), None);
    let mut buffer = [0; 2048];
    loop {
        let count = match read(&mut buffer) {
            Ok(count) => count,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err("its answer does not end"),
        };
        let looked = raw.len().saturating_sub(3);
        raw.extend(&buffer[..count]);
        if raw.len() > MAX_ANSWER {
            return Err("its answer is too long");
        }
        if found.is_none()
            && let Some(end) = raw[looked..].windows(4).position(|four| four == b"\r\n\r\n")
        {
            let end = looked + end + 4;
            let text = std::str::from_utf8(&raw[..end]).map_err(|_| "this is no HTTP")?;
            found = Some((end, head(text)?));
        }
        let is_over = count == 0;
        let Some((end, (status, framing))) = &mut found else {
            if is_over {
                return Err("its answer is cut off");
            }
            continue;
        };
        let body = &raw[*end..];
        let whole = match framing {
            Framing::Length(length) => body.get(..*length),
            Framing::Chunked(chunks) => chunks.advance(body)?.then_some(&chunks.body[..]),
            Framing::UntilClose => is_over.then_some(body),
        };
        match whole {
            Some(body) => {
                return Ok(Response { status: *status, body: String::from_utf8_lossy(body).into_owned() });
            }
            None if is_over => return Err("its answer is cut off"),
            None => {}
        }
    }
}

/// Sends a request, and reads the answer. `more` are the lines behind the first ones, each with its end.
pub fn ask(method: &str, url: &Url, more: &str, body: &str) -> Result<Response, &'static str> {
    let deadline = Deadline::after(TIMEOUT);
    let request = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{more}Content-Length: {}\r\n\r\n{body}",
        url.path,
        url.at,
        body.len()
    );
    let unreachable = |_| "it cannot be reached where its own answer says";
    let mut stream = TcpStream::connect_timeout(&url.at, TIMEOUT).map_err(unreachable)?;
    deadline.write_all(&stream, request.as_bytes()).map_err(unreachable)?;
    response(&mut |buffer| {
        stream.set_read_timeout(Some(deadline.left()?))?;
        stream.read(buffer)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Reads what arrives in pieces of this many bytes.
    fn read_in(answer: &[u8], piece: usize) -> Result<Response, &'static str> {
        let mut pieces = answer.chunks(piece);
        response(&mut |buffer| {
            let next = pieces.next().unwrap_or_default();
            buffer[..next.len()].copy_from_slice(next);
            Ok(next.len())
        })
    }

    #[test]
    fn an_answer_is_the_same_in_pieces_of_any_size() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, not this",
            "HTTP/1.0 200 OK\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ] {
            for piece in [1, 2, 3, 7, 2000] {
                let response = read_in(answer.as_bytes(), piece).unwrap();
                assert_eq!((response.status, response.body.as_str()), (200, "hello"), "{answer}");
            }
        }
        assert_eq!(read_in(b"HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n", 9).unwrap().status, 302);
    }

    #[test]
    fn an_answer_that_is_cut_off_or_damaged_is_none() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n";
        let whole = chunked.len() - "\r\n".len();
        for length in 0..whole {
            assert!(read_in(&chunked.as_bytes()[..length], 5).is_err(), "{length} bytes");
        }
        for bad in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nhe\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhe\r\n0\r\n\r\n",
        ] {
            assert!(read_in(bad.as_bytes(), 2000).is_err(), "{bad}");
        }
        let long = ["HTTP/1.1 200 OK\r\n\r\n", &"x".repeat(MAX_ANSWER)].concat();
        assert_eq!(read_in(long.as_bytes(), 2000), Err("its answer is too long"));
    }

    #[test]
    fn a_url_names_an_ip_address_and_no_other_one() {
        let base = Url::parse("HTTP://192.168.7.1:5000/a/desc.xml").unwrap();
        for (reference, path) in [
            ("/ctl", Some("/ctl")),
            ("ctl", Some("/a/ctl")),
            ("http://192.168.7.1:80/x", Some("/x")),
            ("a b", None),
        ] {
            assert_eq!(base.join(reference).map(|url| url.path).as_deref(), path, "{reference}");
        }
        for bad in ["http://192.168.7.9/x", "https://192.168.7.1/", "http://u@192.168.7.1/", "/a\r\nX: y"] {
            assert_eq!(base.join(bad), None, "{bad}");
        }
        for bad in [
            "",
            "http://",
            "http://[::1]/",
            "http://192.168.7.1:0/",
            "http://192.168.7.1:x/",
            "http://router/",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
        assert_eq!(Url::parse("http://192.168.7.1").unwrap().path, "/");
    }
}
