//! Strangers: many connections that mean no good, from as many addresses of loopback as wanted. They come again as soon
//! as they are closed. It leaves out what a node is to do about them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// A connection that was closed is opened again after this at the earliest.
const AGAIN: Duration = Duration::from_secs(1);
/// One that trickles sends a byte as often.
const TRICKLE: Duration = Duration::from_secs(4);
/// All connections of a crowd are looked at as often.
const LOOK: Duration = Duration::from_millis(10);
/// Longer than a node waits for anything of a stranger.
const PATIENCE: Duration = Duration::from_secs(20);
/// Threads of a flood.
const HANDS: usize = 16;

/// An address that the friends of a node have as well, who cannot choose theirs.
pub const SHARED: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// One that they have not.
pub const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// `count` addresses.
pub fn many(count: usize) -> Vec<Ipv4Addr> {
    (0..count as u32).map(|number| Ipv4Addr::from(0x7f07_0001 + number)).collect()
}

fn socket(from: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    Ok(socket)
}

/// Connects from an address.
pub fn connect(from: Ipv4Addr, to: &str) -> io::Result<TcpStream> {
    let to: SocketAddr = to.parse().unwrap();
    let socket = socket(from)?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What each of a crowd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Sends nothing.
    Silent,
    /// Sends a byte every four seconds.
    Trickling,
    /// Hangs up at once.
    Fleeting,
}

/// What strangers saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Connections that came to be.
    pub connected: usize,
    /// The longest that one was left open by the node.
    pub longest: Duration,
    /// Bytes that the node said.
    pub heard: usize,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.connected += other.connected;
        self.longest = self.longest.max(other.longest);
        self.heard += other.heard;
    }
}

/// What a thread does again and again.
type Work = Box<dyn FnMut(&AtomicBool) -> Seen + Send>;

/// Strangers at work, until they are told to go.
pub struct Strangers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Strangers {
    fn start(works: Vec<Work>) -> Strangers {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = works.into_iter().map(|mut work| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut seen = Seen::default();
                while !stop.load(Ordering::Relaxed) {
                    seen.add(work(&stop));
                }
                seen
            })
        });
        Strangers { threads: threads.collect(), stop }
    }

    /// So many connections at once, from these addresses in turn.
    pub fn crowd(to: &str, from: &[Ipv4Addr], count: usize, manner: Manner) -> Strangers {
        let to: SocketAddr = to.parse().unwrap();
        let mut places: Vec<Place> =
            (0..count).map(|index| Place::new(from[index % from.len()], to, manner)).collect();
        Strangers::start(vec![Box::new(move |_| {
            thread::sleep(LOOK);
            let mut seen = Seen::default();
            places.iter_mut().for_each(|place| seen.add(place.look()));
            seen
        })])
    }

    /// As many as come, each of whom says one of `openings`. Half of them wait for what the node does then; the others hang
    /// up as soon as it says something.
    pub fn flood(to: &str, from: &[Ipv4Addr], openings: &[Vec<u8>]) -> Strangers {
        let works = (0..HANDS).map(|hand| {
            let (to, from, openings) = (to.to_owned(), from.to_vec(), openings.to_vec());
            let mut turn = hand;
            let work: Work = Box::new(move |stop| {
                turn += HANDS;
                say(from[turn % from.len()], &to, &openings[turn % openings.len()], hand % 2 == 0, stop)
            });
            work
        });
        Strangers::start(works.collect())
    }

    /// They go.
    pub fn leave(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        self.threads.into_iter().for_each(|thread| seen.add(thread.join().unwrap()));
        seen
    }
}

fn say(from: Ipv4Addr, to: &str, opening: &[u8], waits: bool, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let Ok(mut stream) = connect(from, to) else {
        thread::sleep(LOOK);
        return seen;
    };
    let since = Instant::now();
    seen.connected = 1;
    let _ = stream.set_read_timeout(Some(LOOK));
    if stream.write_all(opening).is_ok() {
        let mut answer = [0; 4096];
        while !stop.load(Ordering::Relaxed) {
            match stream.read(&mut answer) {
                Ok(0) => break,
                Ok(heard) => seen.heard += heard,
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => break,
            }
            if !waits {
                return seen;
            }
        }
    }
    seen.longest = since.elapsed();
    seen
}

/// A place in a crowd, and the connection that holds it.
struct Place {
    from: Ipv4Addr,
    to: SocketAddr,
    manner: Manner,
    held: Option<Held>,
    again: Instant,
}

struct Held {
    stream: TcpStream,
    since: Instant,
    said: Instant,
}

impl Place {
    fn new(from: Ipv4Addr, to: SocketAddr, manner: Manner) -> Place {
        Place { from, to, manner, held: None, again: Instant::now() }
    }

    fn look(&mut self) -> Seen {
        let now = Instant::now();
        let mut seen = Seen::default();
        let Some(held) = &mut self.held else {
            if now >= self.again {
                self.held = open(self.from, self.to).ok();
                self.again = now + AGAIN;
            }
            return seen;
        };
        if held.stream.peer_addr().is_err() {
            // It is not connected yet, or will never be.
            if now - held.since > AGAIN {
                self.held = None;
            }
            return seen;
        }
        let is_over = match held.stream.read(&mut [0; 64]) {
            Ok(0) => true,
            Ok(heard) => {
                seen.heard = heard;
                false
            }
            Err(cause) => cause.kind() != ErrorKind::WouldBlock,
        };
        if is_over || self.manner == Manner::Fleeting {
            seen.connected = 1;
            seen.longest = if is_over { now - held.since } else { Duration::ZERO };
            self.held = None;
            return seen;
        }
        if self.manner == Manner::Trickling && now - held.said > TRICKLE {
            held.said = now;
            let _ = held.stream.write(b"E");
        }
        // One that the node forgets must be seen as well.
        seen.longest = now - held.since;
        seen
    }
}

/// Begins to connect.
fn open(from: Ipv4Addr, to: SocketAddr) -> io::Result<Held> {
    let socket = socket(from)?;
    socket.set_nonblocking(true)?;
    // It is under way, and says so as an error.
    let _ = socket.connect(&to.into());
    let now = Instant::now();
    Ok(Held { stream: socket.into(), since: now, said: now })
}
