//! A gate between two nodes: it lets some bytes through and holds the rest back, so that a test can act in the middle.

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Listens at `addr` for diallers of a node.
pub struct Gate {
    pub addr: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl State {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        drop(self.changed.wait_while(self.is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
    }
}

impl Gate {
    /// Lets `bytes` of each dialler through to the node, and all that the node says. It opens when a connection ends.
    pub fn before(node: &str, bytes: u64) -> Gate {
        Gate::listen(node, bytes, true)
    }

    /// The same, but it stays closed whatever ends, until it is opened.
    pub fn firmly_before(node: &str, bytes: u64) -> Gate {
        Gate::listen(node, bytes, false)
    }

    fn listen(node: &str, bytes: u64, opens_at_end: bool) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate { addr: listener.local_addr().unwrap().to_string(), state: Arc::default() };
        let (node, state) = (node.to_owned(), Arc::clone(&gate.state));
        thread::spawn(move || {
            for dialler in listener.incoming().map_while(Result::ok) {
                if let Ok(node) = TcpStream::connect(&node) {
                    join(dialler, node, (bytes, opens_at_end), &state);
                }
            }
        });
        gate
    }

    pub fn open(&self) {
        self.state.open();
    }
}

fn join(mut dialler: TcpStream, mut node: TcpStream, (bytes, opens_at_end): (u64, bool), state: &Arc<State>) {
    let (mut said, mut heard) = (node.try_clone().unwrap(), dialler.try_clone().unwrap());
    let (opening, waiting) = (Arc::clone(state), Arc::clone(state));
    thread::spawn(move || {
        let _ = std::io::copy(&mut said, &mut heard);
        let _ = heard.shutdown(Shutdown::Write);
        // The node is gone: the dialler is to see it.
        if opens_at_end {
            opening.open();
        }
    });
    thread::spawn(move || {
        let first = std::io::copy(&mut (&mut dialler).take(bytes), &mut node);
        if first.is_ok_and(|passed| passed == bytes) {
            waiting.wait();
            let _ = std::io::copy(&mut dialler, &mut node);
        }
        let _ = node.shutdown(Shutdown::Write);
    });
}
