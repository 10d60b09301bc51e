//! One connection: the request that was read from it, its body, and the answer, which goes out through a buffer as it is
//! made. So an answer may be as long as a history, and takes no more memory than that buffer.

use std::io;
use std::time::Duration;

use crate::app::page::gate;
use crate::app::page::request::{self, BadRequest, Head, Method};
use crate::error::Error;
use crate::net::deadline::Deadline;
use crate::net::page::PageStream;
use crate::text::json::Object;

/// How long a head may take from its first byte on, or from the connection on.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that was used may say nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a body may make no progress, and a form may take in all.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are written at once.
const BUFFER: usize = 16 << 10;

/// What every answer says to the browser: nothing from elsewhere, no frame, no cache, no other origin.
const FIXED: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'\r\n\
X-Content-Type-Options: nosniff\r\n\
Referrer-Policy: no-referrer\r\n\
Cross-Origin-Opener-Policy: same-origin\r\n\
Cross-Origin-Resource-Policy: same-origin\r\n\
Cache-Control: no-store\r\n";

/// The type of answers below /api/.
pub const LINES: &str = "application/x-ndjson";

/// How far the answer to the request is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was written.
    Waits,
    /// The head was written; the body goes out in chunks.
    Chunks,
    /// The head was written, and so many bytes of the body are to come.
    Whole(u64),
    /// All was written.
    Done,
    /// The browser has gone, or is to see that the answer is not whole.
    Cut,
}

/// A connection, and the request that is being answered.
pub struct Exchange {
    stream: PageStream,
    /// What was read and is not used yet: the end of a head is not seen before it is read.
    input: Vec<u8>,
    output: Vec<u8>,
    /// The browser wants the connection to end with this answer, or sent what is no request.
    closes: bool,
    /// Bytes of the body that were not read yet.
    body: u64,
    state: State,
    is_used: bool,
    /// The connection ends with this answer.
    ends: bool,
}

impl Exchange {
    /// A new connection.
    pub fn new(stream: PageStream) -> Exchange {
        Exchange {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            closes: true,
            body: 0,
            state: State::Waits,
            is_used: false,
            ends: false,
        }
    }

    /// Reads the head of the next request that the gate admits. `None` when the connection is over: a request that is
    /// malformed, or not admitted, was answered.
    pub fn next_request(&mut self) -> Option<Head> {
        (self.closes, self.state) = (true, State::Waits);
        let head = match self.read_head() {
            Ok(head) => head?,
            Err(BadRequest) => {
                self.fail(400, &Error::usage("the request is malformed"));
                return None;
            }
        };
        self.is_used = true;
        self.closes = head.closes;
        self.body = head.length.unwrap_or(0);
        if !gate::admits(&head) {
            self.fail(403, &Error::usage("this page may not ask here"));
        } else if head.method == Method::Other {
            self.fail(405, &Error::usage("only GET, POST and PUT are answered"));
        } else if head.is_chunked || (head.method == Method::Put && head.length.is_none()) {
            self.fail(411, &Error::usage("the length of the body is missing"));
        } else if head.method == Method::Get && self.body > 0 {
            self.fail(400, &Error::usage("a GET has no body"));
        } else {
            return Some(head);
        }
        None
    }

    /// `None` at the end of the connection.
    fn read_head(&mut self) -> Result<Option<Head>, BadRequest> {
        let wait = if self.is_used && self.input.is_empty() { IDLE_TIMEOUT } else { HEAD_TIMEOUT };
        let mut deadline = Deadline::after(wait);
        loop {
            if let Some(length) = request::length(&self.input)? {
                let head = Head::parse(&self.input[..length])?;
                self.input.drain(..length);
                return Ok(Some(head));
            }
            let was_empty = self.input.is_empty();
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer, deadline) {
                Ok(0) | Err(_) => return Ok(None),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            }
            if was_empty {
                deadline = deadline.min(Deadline::after(HEAD_TIMEOUT));
            }
        }
    }

    /// Reads the next bytes of the body into `buffer`; none at its end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.body).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = if self.input.is_empty() {
            self.stream.read(&mut buffer[..most], Deadline::after(BODY_TIMEOUT))?
        } else {
            let count = most.min(self.input.len());
            buffer[..count].copy_from_slice(&self.input[..count]);
            self.input.drain(..count);
            count
        };
        self.body -= count as u64;
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
    }

    /// Bytes of the body that are still to be read.
    pub fn left(&self) -> u64 {
        self.body
    }

    /// Reads the body as text, of at most so many bytes; `None` if it is longer, no UTF-8, or does not arrive in time.
    pub fn text(&mut self, most: u64) -> Option<String> {
        if self.body > most {
            return None;
        }
        let deadline = Deadline::after(BODY_TIMEOUT);
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.read(&mut buffer).ok()? {
                0 => return String::from_utf8(text).ok(),
                count => text.extend_from_slice(&buffer[..count]),
            }
            deadline.remaining()?;
        }
    }

    /// Begins an answer of a length that is not known.
    pub fn begin(&mut self, status: u16, kind: &str) {
        self.write_head(status, kind, "Transfer-Encoding: chunked\r\n");
        self.state = State::Chunks;
    }

    /// Begins an answer of so many bytes; `more` are further lines of the head.
    pub fn begin_whole(&mut self, status: u16, kind: &str, length: u64, more: &str) {
        self.write_head(status, kind, &format!("Content-Length: {length}\r\n{more}"));
        self.state = State::Whole(length);
    }

    fn write_head(&mut self, status: u16, kind: &str, more: &str) {
        let reason = if status < 400 { "OK" } else { "Refused" };
        // A body that nobody read stands between this answer and the next request.
        self.ends |= self.body > 0 || status == 401 || self.closes;
        let connection = if self.ends { "Connection: close\r\n" } else { "" };
        let head =
            format!("HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\n{FIXED}{connection}{more}\r\n");
        self.output.extend_from_slice(head.as_bytes());
    }

    /// Appends to the answer. Nothing is told of a browser that has gone: the end of the connection says it.
    pub fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(BUFFER) {
            match &mut self.state {
                State::Chunks => {
                    self.output.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    self.output.extend_from_slice(piece);
                    self.output.extend_from_slice(b"\r\n");
                }
                State::Whole(left) => {
                    *left = left.saturating_sub(piece.len() as u64);
                    self.output.extend_from_slice(piece);
                }
                State::Waits | State::Done | State::Cut => {}
            }
            if self.output.len() >= BUFFER {
                self.flush();
            }
        }
    }

    /// Appends an object and the end of its line; begins the answer with the first.
    pub fn line(&mut self, object: Object) {
        if self.state == State::Waits {
            self.begin(200, LINES);
        }
        let mut line = object.line();
        line.push('\n');
        self.write(line.as_bytes());
    }

    /// Sends what was appended. Returns whether the browser is still there, as far as it can be told.
    pub fn flush(&mut self) -> bool {
        if self.state != State::Cut && self.stream.write(&self.output).is_err() {
            self.state = State::Cut;
        }
        self.output.clear();
        self.output.shrink_to(2 * BUFFER);
        self.state != State::Cut
    }

    /// Whether the browser may be one of this user.
    pub fn may_be_own(&self) -> bool {
        self.stream.may_be_own()
    }

    /// Whether what is appended still goes anywhere.
    pub fn is_going(&self) -> bool {
        self.state != State::Cut
    }

    /// Whether the browser still waits for the rest of the answer.
    pub fn is_wanted(&self) -> bool {
        self.state != State::Cut && self.stream.is_open()
    }

    /// Answers with an error; in the middle of an answer it is the last line.
    pub fn fail(&mut self, status: u16, error: &Error) {
        let object = Object::event("error")
            .text("error", &error.to_string())
            .optional("hint", error.hint().as_deref())
            .number("status", error.exit_code().into());
        if self.state == State::Waits {
            self.begin(status, LINES);
        }
        self.line(object);
        self.end();
    }

    /// Whether nothing was answered yet.
    pub fn waits(&self) -> bool {
        self.state == State::Waits
    }

    /// Cuts the answer off: the browser sees that it is not whole.
    pub fn cut(&mut self) {
        self.state = State::Cut;
        self.output.clear();
    }

    /// Ends the answer. Returns whether another request may come.
    pub fn end(&mut self) -> bool {
        match self.state {
            State::Chunks => self.output.extend_from_slice(b"0\r\n\r\n"),
            // The browser counts on more than it got, or on an answer.
            State::Whole(1..) | State::Waits => self.cut(),
            State::Whole(0) | State::Done | State::Cut => {}
        }
        if self.flush() {
            self.state = State::Done;
        }
        self.state == State::Done && !self.ends && self.body == 0
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.stream.close();
    }
}
