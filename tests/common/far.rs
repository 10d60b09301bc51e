//! A long way to a node, on which a test counts round trips. What is said takes its time each way, so a command that waits
//! for an answer has not ended before that has come.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long what is said is on its way.
const LATE: Duration = Duration::from_millis(200);

/// Listens at `addr` for diallers of a node.
pub struct FarWay {
    pub addr: String,
    trips: Arc<Mutex<Vec<Trips>>>,
}

/// Those of a connection.
type Trips = Arc<AtomicUsize>;

impl FarWay {
    pub fn before(node: &str) -> FarWay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = FarWay { addr: listener.local_addr().unwrap().to_string(), trips: Arc::default() };
        let (node, trips) = (node.to_owned(), Arc::clone(&far.trips));
        thread::spawn(move || {
            for dialler in listener.incoming().map_while(Result::ok) {
                let Ok(node) = TcpStream::connect(&node) else { continue };
                // One for TCP.
                let of_this = Trips::new(1.into());
                trips.lock().unwrap().push(Arc::clone(&of_this));
                join(&dialler, &node, of_this);
            }
        });
        far
    }

    /// How often diallers have waited on connections that were made since this was asked last: to be connected, or for the
    /// node to say something or to close after they had said something. Several answers in a row are one.
    pub fn take_trips(&self) -> usize {
        self.trips.lock().unwrap().drain(..).map(|trips| trips.load(Ordering::Acquire)).sum()
    }
}

fn join(dialler: &TcpStream, node: &TcpStream, trips: Trips) {
    let has_asked = Arc::<Mutex<bool>>::default();
    let asks = Arc::clone(&has_asked);
    carry(dialler, node, move || *asks.lock().unwrap() = true);
    carry(node, dialler, move || {
        if std::mem::take(&mut *has_asked.lock().unwrap()) {
            trips.fetch_add(1, Ordering::AcqRel);
        }
    });
}

/// One direction; `arrives` is called before anything in it does, the end among it.
fn carry(from: &TcpStream, to: &TcpStream, arrives: impl Fn() + Send + 'static) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    to.set_nodelay(true).unwrap();
    thread::spawn(move || {
        let mut said = vec![0; 64 << 10];
        loop {
            let length = from.read(&mut said).unwrap_or(0);
            thread::sleep(LATE);
            arrives();
            if length == 0 || to.write_all(&said[..length]).is_err() {
                return drop(to.shutdown(Shutdown::Write));
            }
        }
    });
}
