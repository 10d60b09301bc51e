//! The door: who may connect, and what a connection is for. [`listen`] binds the sockets; [`listener`] accepts and runs
//! the handshake of each connection in a thread of its own. [`admission`] decides which connections get a thread, so that a
//! flood of strangers cannot keep peers out; `recent` knows first messages that come again. [`limits`] derives the number
//! of connections from what the system gives this process.

pub mod admission;
pub mod limits;
pub mod listen;
pub mod listener;
mod recent;
