//! Sockets: the ways to a peer, deadlines, the handshake on a stream, sealed records with messages in them, dialling, and
//! multicasts. What the messages mean to each other is above this, in `node` and `transfer`.

pub mod deadline;
pub mod dial;
pub mod endpoint;
pub mod handshake;
mod interfaces;
pub mod lane;
pub mod local;
pub mod loopback;
pub mod mapping;
pub mod multicast;
mod pace;
pub mod page;
mod race;
pub mod session;
pub mod telling;
pub mod transport;
