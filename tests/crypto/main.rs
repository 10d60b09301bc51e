//! The handshake and the Noise engine below it, against other implementations and published vectors.

#![allow(clippy::unwrap_used)]

mod handshake;
mod noise;
mod protocol;
