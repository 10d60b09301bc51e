//! A router on loopback that answers PCP, NAT-PMP, SSDP and UPnP as a test wants, for its lies.

use egoat::net::mapping::{Routers, Wish};

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Where the node is, for whom the router maps.
pub const INSIDE: &str = "127.0.0.1:4628";
/// The type of the service.
pub const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

type Packets = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync>;
type Texts = Box<dyn Fn(&Request) -> String + Send + Sync>;

/// A request over HTTP: its first line and its body.
pub struct Request {
    pub line: String,
    pub body: String,
}

impl Request {
    /// What stands in an element of the body.
    pub fn text(&self, tag: &str) -> String {
        let (_, rest) = self.body.split_once(&format!("<{tag}>")).unwrap_or_default();
        rest.split('<').next().unwrap().to_owned()
    }
}

/// How the router answers. By default it does not.
pub struct Answers {
    /// To a packet of PCP or NAT-PMP.
    pub udp: Packets,
    /// To a search; %URL% stands for where the description is.
    pub ssdp: String,
    /// To a request over HTTP: the whole answer.
    pub http: Texts,
    /// Bytes that are written at once over HTTP, and the pause after each; all if 0.
    pub piece: usize,
    pub pause: Duration,
}

impl Default for Answers {
    fn default() -> Answers {
        Answers {
            udp: Box::new(|_| Vec::new()),
            ssdp: String::new(),
            http: Box::new(|_| String::new()),
            piece: 0,
            pause: Duration::ZERO,
        }
    }
}

/// What was asked over HTTP: the first lines, and the ports and times of AddPortMapping.
#[derive(Default)]
pub struct Asked {
    pub lines: Vec<String>,
    pub added: Vec<(String, String)>,
}

pub struct Router {
    pub routers: Routers,
    pub asked: Arc<Mutex<Asked>>,
    pub http: SocketAddr,
}

impl Router {
    /// The threads end with the test.
    pub fn start(answers: Answers) -> Router {
        let answers = Arc::new(answers);
        let (udp, ssdp) = (socket(), socket());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let http = listener.local_addr().unwrap();
        let routers = Routers { udp: udp.local_addr().ok(), ssdp: vec![ssdp.local_addr().unwrap()] };
        let asked = Arc::<Mutex<Asked>>::default();
        let url = format!("http://{http}/desc.xml");
        let told = Arc::clone(&answers);
        thread::spawn(move || serve_packets(&udp, |packet| (told.udp)(packet)));
        let search = answers.ssdp.replace("%URL%", &url).into_bytes();
        thread::spawn(move || {
            serve_packets(&ssdp, |_| if search.is_empty() { Vec::new() } else { vec![search.clone()] })
        });
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answers, noted) = (Arc::clone(&answers), Arc::clone(&noted));
                thread::spawn(move || serve_http(stream, &answers, &noted));
            }
        });
        Router { routers, asked, http }
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

fn serve_packets(socket: &UdpSocket, answer: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let mut buffer = [0; 2048];
    while let Ok((count, from)) = socket.recv_from(&mut buffer) {
        for packet in answer(&buffer[..count]) {
            // The asker may be gone.
            let _ = socket.send_to(&packet, from);
        }
    }
}

fn serve_http(mut stream: TcpStream, answers: &Answers, asked: &Mutex<Asked>) {
    let request = read_request(&mut stream);
    {
        let mut asked = asked.lock().unwrap();
        asked.lines.push(request.line.clone());
        if request.body.contains("AddPortMapping") {
            asked.added.push((request.text("NewExternalPort"), request.text("NewLeaseDuration")));
        }
    }
    let answer = (answers.http)(&request).into_bytes();
    let piece = if answers.piece == 0 { answer.len().max(1) } else { answers.piece };
    stream.set_nodelay(true).unwrap();
    for piece in answer.chunks(piece) {
        if stream.write_all(piece).is_err() {
            break;
        }
        thread::sleep(answers.pause);
    }
}

fn read_request(stream: &mut TcpStream) -> Request {
    let (mut raw, mut byte) = (Vec::new(), [0]);
    while !raw.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        raw.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&raw).into_owned();
    let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = stream.read_exact(&mut body);
    let line = head.lines().next().unwrap_or_default().to_owned();
    Request { line, body: String::from_utf8(body).unwrap() }
}

/// What the node asks for.
pub fn wish() -> Wish {
    Wish { inside: INSIDE.parse().unwrap(), port: 4628, nonce: *b"twelve bytes" }
}

/// The answer of an honest router to a MAP of PCP.
pub fn pcp_answer(request: &[u8], ip: [u8; 4], port: u16, lifetime: u32) -> Vec<u8> {
    let mut answer = request.to_vec();
    answer[1] |= 0x80;
    answer[4..8].copy_from_slice(&lifetime.to_be_bytes());
    answer[8..24].fill(0);
    answer[11] = 77;
    answer[42..44].copy_from_slice(&port.to_be_bytes());
    answer[54..56].fill(0xff);
    answer[56..60].copy_from_slice(&ip);
    answer
}

/// The answer of an honest router to NAT-PMP.
pub fn nat_pmp_answer(request: &[u8]) -> Vec<u8> {
    let mut answer = vec![0, request[1] | 0x80, 0, 0, 0, 0, 0, 9];
    match request[1] {
        0 => answer.extend([11, 0, 0, 1]),
        _ => answer.extend([&request[4..8], &3600u32.to_be_bytes()].concat()),
    }
    answer
}

/// The answer of an honest router to a search.
pub fn found() -> String {
    found_at("%URL%")
}

/// The same of one whose description is elsewhere.
pub fn found_at(url: &str) -> String {
    let target = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
    format!("HTTP/1.1 200 OK\r\nST: {target}\r\nLOCATION: {url}\r\n\r\n")
}

/// A whole answer over HTTP.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An error of UPnP.
pub fn error(code: u16) -> String {
    let body = format!("<errorCode>{code}</errorCode>");
    ok(&body).replacen("200 OK", "500 Internal Server Error", 1)
}

/// The description of a router whose service is at `control`.
pub fn description(control: &str) -> String {
    format!(
        "<root><service><serviceType>{SERVICE}</serviceType><controlURL>{control}</controlURL></service></root>"
    )
}

/// What an honest router says by UPnP.
pub fn upnp_answer(request: &Request) -> String {
    upnp_answer_with(request, "11.0.0.1")
}

/// The same of one with this outside address.
pub fn upnp_answer_with(request: &Request, outside: &str) -> String {
    match request {
        request if request.line.starts_with("GET /desc.xml ") => ok(&description("/ctl")),
        request if request.body.contains("GetExternalIPAddress") => {
            ok(&format!("<NewExternalIPAddress>{outside}</NewExternalIPAddress>"))
        }
        request if request.line.starts_with("POST /ctl ") => ok("<u:AddPortMappingResponse/>"),
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
    }
}
