//! Sockets: deadlines, the handshake on a stream, sealed records with messages in them, and dialling. What the
//! messages mean to each other is above this, in `node` and `transfer`.

pub mod deadline;
pub mod dial;
pub mod handshake;
pub mod lane;
pub mod local;
pub mod session;
