//! A window that runs, and a client that asks it over raw sockets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::common::json::object;
use crate::common::{Home, Process, by};

/// Longer than any wait of the window.
const PATIENCE: Duration = Duration::from_secs(45);

/// Objects of an answer.
pub type Objects = Vec<Map<String, Value>>;

/// A running `egoat window`.
pub struct Window {
    pub process: Process,
    pub port: u16,
    /// Of the session that was begun.
    pub token: String,
}

/// The port and the code of an address that was printed.
pub fn parts(address: &str) -> (u16, String) {
    let rest = address.strip_prefix("http://127.0.0.1:").unwrap();
    let (port, rest) = rest.split_once("/#code=").unwrap();
    (port.parse().unwrap(), rest.split('&').next().unwrap().to_owned())
}

/// What an answer says.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn objects(&self) -> Objects {
        let text = std::str::from_utf8(&self.body).unwrap();
        text.lines().filter(|line| !line.starts_with(':')).map(object).collect()
    }

    /// The error that it tells.
    pub fn error(&self) -> String {
        self.objects()[0]["error"].as_str().unwrap().to_owned()
    }
}

/// Connects to the window.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes as they are, and reads the answer; `None` if the connection ends without one.
pub fn raw(port: u16, bytes: &[u8]) -> Option<Answer> {
    let mut stream = connect(port);
    // It may be closed before all is written.
    let _ = stream.write_all(bytes);
    read(&mut BufReader::new(stream)).unwrap()
}

/// Reads one answer, its body by its length or its chunks.
pub fn read(stream: &mut impl BufRead) -> io::Result<Option<Answer>> {
    let Some((status, head)) = read_head(stream)? else { return Ok(None) };
    let mut body = Vec::new();
    let field = |name: &str| {
        head.lines()
            .find_map(|line| line.to_lowercase().strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    if field("transfer-encoding:").is_some() {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            stream.take(length).read_to_end(&mut body)?;
            stream.read_line(&mut line)?;
            if length == 0 {
                break;
            }
        }
    } else {
        let length = field("content-length:").unwrap().parse().unwrap();
        stream.take(length).read_to_end(&mut body)?;
        if (body.len() as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(Answer { status, head, body }))
}

/// The status and the head of an answer.
pub fn read_head(stream: &mut impl BufRead) -> io::Result<Option<(u16, String)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_line(&mut head) {
            Ok(0) => return Ok(None),
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            read => drop(read?),
        }
    }
    Ok(Some((head.split(' ').nth(1).unwrap().parse().unwrap(), head)))
}

/// Encodes fields of a form.
pub fn form(fields: &[(&str, &str)]) -> String {
    let word = |word: &str| -> String { word.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let all: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", word(name), word(value))).collect();
    all.join("&")
}

impl Window {
    /// Starts one at a port of the system's choice, with a node at another, and begins a session.
    pub fn start(home: &Home) -> Window {
        Window::start_with(home, &["--listen", "127.0.0.1:0"])
    }

    pub fn start_with(home: &Home, args: &[&str]) -> Window {
        let (process, address) = Window::process(home, args);
        let (port, code) = parts(&address);
        let mut window = Window { process, port, token: String::new() };
        window.token = window.trade(&code).objects()[0]["token"].as_str().unwrap().to_owned();
        window
    }

    /// The process and the address that it has printed.
    pub fn process(home: &Home, args: &[&str]) -> (Process, String) {
        Window::process_by(&[], home, args)
    }

    /// The same with these words in front of the command.
    pub fn process_by(words: &[&str], home: &Home, args: &[&str]) -> (Process, String) {
        let mut command = by(words, &home.cmd(&[&["window", "--no-open", "--port", "0"], args].concat()));
        for variable in ["SSH_CONNECTION", "SSH_CLIENT"] {
            command.env_remove(variable);
        }
        let mut process = Process::start(command);
        let address = process.wait_for("http://");
        (process, address)
    }

    /// A request as a browser of this origin would make it.
    pub fn head(&self, method: &str, path: &str, more: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nSec-Fetch-Site: same-origin\r\nAuthorization: Bearer {}\r\n{more}\r\n",
            self.port, self.token
        )
    }

    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let length =
            if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        raw(self.port, &[self.head(method, path, &length).as_bytes(), body].concat()).unwrap()
    }

    pub fn get(&self, name: &str, fields: &[(&str, &str)]) -> Objects {
        let answer = self.ask("GET", &format!("/api/{name}?{}", form(fields)), b"");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.objects()
    }

    pub fn post(&self, name: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask("POST", &format!("/api/{name}"), form(fields).as_bytes())
    }

    /// The same, which has to be done.
    pub fn done(&self, name: &str, fields: &[(&str, &str)]) -> Objects {
        let answer = self.post(name, fields);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.objects()
    }

    pub fn trade(&self, code: &str) -> Answer {
        self.post("session", &[("code", code)])
    }

    /// Whether the session goes on.
    pub fn is_in(&self) -> bool {
        self.ask("GET", "/api/outbox", b"").status == 200
    }

    /// Follows what changes.
    pub fn events(&self, after: Option<u64>) -> Events {
        let query = after.map_or(String::new(), |after| format!("?after={after}"));
        let mut stream = connect(self.port);
        stream.write_all(self.head("GET", &format!("/api/events{query}"), "").as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let (status, _) = read_head(&mut stream).unwrap().unwrap();
        Events { status, stream }
    }
}

/// A stream of events. Chunks and lines are told apart by their first character.
pub struct Events {
    pub status: u16,
    stream: BufReader<TcpStream>,
}

impl Events {
    /// The next object; `None` at the end, or when there is none for long.
    pub fn next(&mut self) -> Option<Map<String, Value>> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(1..) if line.starts_with('{') => return Some(object(&line)),
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
        None
    }

    /// The next object of which this is true.
    pub fn wait_for(
        &mut self,
        what: &str,
        is_it: impl Fn(&Map<String, Value>) -> bool,
    ) -> Map<String, Value> {
        loop {
            match self.next() {
                Some(object) if is_it(&object) => return object,
                Some(_) => {}
                None => panic!("no {what} was told"),
            }
        }
    }

    /// All of the state.
    pub fn state(&mut self) -> Objects {
        assert_eq!(self.next().unwrap()["event"], "state");
        std::iter::from_fn(|| self.next().filter(|object| object["event"] != "live")).collect()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.stream.get_ref().shutdown(Shutdown::Both);
    }
}
