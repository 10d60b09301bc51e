//! A bad network between two nodes: it cuts a connection at an exact byte of either direction, lets one direction stall
//! first or hang, splits and delays the stream, and delivers late what a dialler that is gone had sent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::PATIENCE;
use super::Random;

/// How long the other direction goes on while one stalls, and how long a dialler is listened to for late bytes.
const STALL: Duration = Duration::from_millis(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    ToNode = 0,
    ToDialler = 1,
}

/// What happens where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Both ends are closed at once.
    Cut,
    /// This direction stops, the other goes on for a moment; then both ends are closed.
    Stall,
    /// This direction stops, and nobody is told: both ends stay open until the test cuts them.
    Hang,
    /// The dialler's end is closed. The rest of what it sent reaches the node when the test says so.
    Late,
}

/// What happens to one connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// The direction, and after how many of its bytes.
    pub cut: Option<(Way, u64, How)>,
    /// Segments have at most this many bytes, 0 for no limit.
    pub segment: usize,
    /// Chooses the length of each segment, and the few that are delayed; 0 for full ones without delay.
    pub seed: u64,
}

impl Plan {
    pub fn cut(way: Way, at: u64, how: How) -> Plan {
        Plan { cut: Some((way, at, how)), ..Plan::default() }
    }
}

/// Listens at `addr` for diallers of a node.
pub struct Proxy {
    pub addr: String,
    state: Arc<State>,
}

struct State {
    node: String,
    plans: Mutex<Box<dyn FnMut() -> Plan + Send>>,
    connections: Mutex<Vec<Arc<Connection>>>,
    released: Mutex<bool>,
    release: Condvar,
}

/// A connection that was made through the proxy.
pub struct Connection {
    /// Until it is closed: a test may make thousands.
    ends: Mutex<Vec<TcpStream>>,
    passed: [AtomicU64; 2],
    is_over: AtomicBool,
    was_cut: AtomicBool,
}

impl Connection {
    fn close(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
        self.is_over.store(true, Ordering::Release);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Whether it came to where its plan cuts it.
    pub fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Acquire)
    }

    /// Bytes that went on to the node, and to the dialler.
    pub fn passed(&self) -> [u64; 2] {
        [0, 1].map(|way| self.passed[way].load(Ordering::Acquire))
    }
}

impl Proxy {
    /// Lets everything through until there is another plan.
    pub fn before(node: &str) -> Proxy {
        Proxy::at("127.0.0.1:0", node)
    }

    /// The same at an address of the test's choice.
    pub fn at(listen: &str, node: &str) -> Proxy {
        let listener = TcpListener::bind(listen).unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            node: node.to_owned(),
            plans: Mutex::new(Box::new(Plan::default)),
            connections: Mutex::default(),
            released: Mutex::new(true),
            release: Condvar::new(),
        });
        let there = Arc::clone(&state);
        thread::spawn(move || {
            for dialler in listener.incoming().map_while(Result::ok) {
                there.join(dialler);
            }
        });
        Proxy { addr, state }
    }

    /// Each new connection gets a plan of these.
    pub fn plan(&self, plans: impl FnMut() -> Plan + Send + 'static) {
        *self.state.plans.lock().unwrap() = Box::new(plans);
    }

    /// The next connection gets this plan, and all later ones are left alone.
    pub fn plan_next(&self, plan: Plan) {
        let mut next = Some(plan);
        self.plan(move || next.take().unwrap_or_default());
    }

    /// Ends all connections but the first `kept`.
    pub fn cut(&self, kept: usize) {
        self.connections()[kept..].iter().for_each(|connection| connection.close());
    }

    /// The next connection gets this plan, and all connections but the first `kept` end now.
    pub fn cut_and_plan(&self, kept: usize, plan: Plan) {
        let connections = self.state.connections.lock().unwrap();
        self.plan_next(plan);
        connections[kept..].iter().for_each(|connection| connection.close());
    }

    /// Late bytes are held from now on.
    pub fn hold(&self) {
        *self.state.released.lock().unwrap() = false;
    }

    /// Late bytes arrive.
    pub fn release(&self) {
        *self.state.released.lock().unwrap() = true;
        self.state.release.notify_all();
    }

    /// Every connection that there was.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        self.state.connections.lock().unwrap().clone()
    }
}

impl State {
    fn join(self: &Arc<Self>, dialler: TcpStream) {
        let Ok(node) = TcpStream::connect(&self.node) else {
            // A router takes what is said before it closes: else it would depend on the moment whether that is a reset.
            let _ = dialler.set_read_timeout(Some(PATIENCE)).and_then(|()| (&dialler).read(&mut [0; 4096]));
            return;
        };
        // Under the lock of the connections, so that none is made with an old plan and not seen.
        let mut connections = self.connections.lock().unwrap();
        let plan = (self.plans.lock().unwrap())();
        let ends = vec![dialler.try_clone().unwrap(), node.try_clone().unwrap()];
        ends.iter().for_each(|end| end.set_nodelay(true).unwrap());
        let connection = Arc::new(Connection {
            ends: Mutex::new(ends),
            passed: Default::default(),
            is_over: AtomicBool::new(false),
            was_cut: AtomicBool::new(false),
        });
        connections.push(Arc::clone(&connection));
        for (way, from, to) in [
            (Way::ToNode, dialler.try_clone().unwrap(), node.try_clone().unwrap()),
            (Way::ToDialler, node, dialler),
        ] {
            let (state, connection) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || state.pump(&connection, plan, way, from, to));
        }
    }

    fn pump(&self, connection: &Connection, plan: Plan, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let mut random = Random(plan.seed);
        let mut buffer = vec![0; 64 << 10];
        let passed = &connection.passed[way as usize];
        let cut = plan.cut.filter(|(cut_way, ..)| *cut_way == way).map(|(_, at, how)| (at, how));
        loop {
            let left = cut.map_or(u64::MAX, |(at, _)| at - passed.load(Ordering::Acquire));
            if left == 0 {
                connection.was_cut.store(true, Ordering::Release);
                break;
            }
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Ok(got @ 1..) = from.read(&mut buffer[..most]) else { break };
            let mut rest = &buffer[..got];
            while !rest.is_empty() {
                let mut length = if plan.segment == 0 { got } else { plan.segment };
                if plan.seed > 0 {
                    length = 1 + random.below(length);
                    if random.below(256) == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                let (segment, later) = rest.split_at(length.min(rest.len()));
                if to.write_all(segment).is_err() {
                    return connection.close();
                }
                passed.fetch_add(segment.len() as u64, Ordering::AcqRel);
                rest = later;
            }
        }
        match cut {
            Some((at, how)) if passed.load(Ordering::Acquire) == at => match how {
                How::Cut => {}
                How::Stall => thread::sleep(STALL),
                How::Hang => {
                    while !connection.is_over() {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
                How::Late => self.deliver_late(connection, from, to),
            },
            // The one end is done: the other is to see it, and may still speak.
            _ => {
                let _ = to.shutdown(Shutdown::Write);
                let both_are_done = connection.is_over.swap(true, Ordering::AcqRel);
                if !both_are_done {
                    return;
                }
            }
        }
        connection.close();
    }

    /// Reads what the dialler has sent, closes its end, and passes that on once it is released.
    fn deliver_late(&self, connection: &Connection, mut from: TcpStream, mut to: TcpStream) {
        let mut rest = Vec::new();
        let _ = from.set_read_timeout(Some(STALL));
        let _ = from.read_to_end(&mut rest);
        let _ = from.shutdown(Shutdown::Both);
        connection.is_over.store(true, Ordering::Release);
        let held = self.released.lock().unwrap();
        drop(self.release.wait_while(held, |released| !*released).unwrap());
        let _ = to.write_all(&rest);
        // The node reads it before it sees the end.
        let _ = to.shutdown(Shutdown::Write);
        let _ = to.set_read_timeout(Some(Duration::from_secs(1)));
        let _ = to.read_to_end(&mut rest);
    }
}
