//! What goes over a connection and between people: bytes, messages, addresses, links, beacons and proxies. Pure code:
//! nothing here reads a socket or a file.

pub mod address;
pub mod beacon;
pub mod codec;
pub mod control;
mod copied;
pub mod features;
pub mod field;
pub mod invitation;
pub mod link;
pub mod message;
pub mod proxy;
pub mod shares;
pub mod told;
