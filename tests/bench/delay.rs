//! A long path to a node: every byte arrives later by a fixed time each way, however many there are. A connection's own
//! opening takes a round trip too, as it would. Left out: loss, a limit to the rate, and the windows of TCP, which see
//! loopback on either side; what shows here is whether the program waits for answers.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes under way in one direction of a connection, at most: 2.5 GB/s at 25 ms.
const UNDER_WAY: usize = 64 << 20;
const BLOCK: usize = 256 << 10;

/// Takes connections for a node, any number of them. It goes on for as long as the benchmark.
pub struct Path {
    /// What to dial in the node's place.
    pub address: String,
    carried: Arc<AtomicU64>,
}

impl Path {
    /// Before the node at `node`, with a delay each way.
    pub fn before(node: &str, delay: Duration) -> Path {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (node, carried) = (node.to_owned(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&carried);
        thread::spawn(move || {
            for dialler in listener.incoming().flatten() {
                let opened = Instant::now() + 2 * delay;
                let Ok(acceptor) = TcpStream::connect(&node) else { continue };
                for (from, to) in [(&dialler, &acceptor), (&acceptor, &dialler)] {
                    let _ = from.set_nodelay(true);
                    let ends = (from.try_clone().expect("cloned"), to.try_clone().expect("cloned"));
                    carry(ends, opened, delay, Arc::clone(&counter));
                }
            }
        });
        Path { address, carried }
    }

    /// Bytes that have come this way so far.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

/// One direction: what was read, and when it is due. An empty block is the end.
#[derive(Default)]
struct Line {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    blocks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// Nobody takes any more.
    is_closed: bool,
}

impl Line {
    /// Waits for room; whether it was taken.
    fn put(&self, due: Instant, block: Vec<u8>) -> bool {
        let queue = self.queue.lock().expect("no panic");
        let is_full = |queue: &mut Queue| queue.bytes >= UNDER_WAY && !queue.is_closed;
        let mut queue = self.changed.wait_while(queue, is_full).expect("no panic");
        queue.bytes += block.len();
        queue.blocks.push_back((due, block));
        self.changed.notify_all();
        !queue.is_closed
    }

    fn take(&self) -> (Instant, Vec<u8>) {
        let queue = self.queue.lock().expect("no panic");
        let mut queue = self.changed.wait_while(queue, |queue| queue.blocks.is_empty()).expect("no panic");
        let (due, block) = queue.blocks.pop_front().expect("waited for");
        queue.bytes -= block.len();
        self.changed.notify_all();
        (due, block)
    }

    fn close(&self) {
        self.queue.lock().expect("no panic").is_closed = true;
        self.changed.notify_all();
    }
}

fn carry((from, to): (TcpStream, TcpStream), opened: Instant, delay: Duration, carried: Arc<AtomicU64>) {
    let line = Arc::new(Line::default());
    let departures = Arc::clone(&line);
    thread::spawn(move || depart(from, &departures, opened, delay));
    thread::spawn(move || arrive(to, &line, &carried));
}

fn depart(mut from: TcpStream, line: &Line, opened: Instant, delay: Duration) {
    loop {
        let mut block = vec![0; BLOCK];
        let read = from.read(&mut block).unwrap_or(0);
        block.truncate(read);
        if !line.put(Instant::now().max(opened) + delay, block) || read == 0 {
            return;
        }
    }
}

fn arrive(mut to: TcpStream, line: &Line, carried: &AtomicU64) {
    loop {
        let (due, block) = line.take();
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if block.is_empty() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        carried.fetch_add(block.len() as u64, Ordering::Relaxed);
        if to.write_all(&block).is_err() {
            // The reader of the other direction sees it too, and then nobody is left.
            let _ = to.shutdown(Shutdown::Both);
            return line.close();
        }
    }
}
