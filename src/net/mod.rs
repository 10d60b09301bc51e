//! Sockets: deadlines, the handshake on a stream, sealed records with messages in them, and dialling, directly or through
//! a proxy. What the messages mean to each other is above this, in `node` and `transfer`.

pub mod deadline;
pub mod dial;
pub mod handshake;
pub mod lane;
pub mod local;
pub mod loopback;
pub mod route;
pub mod session;
mod socks;
