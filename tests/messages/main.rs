//! Messages: queued, delivered, read, and handed to programs.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(unix)]
mod cursor;
#[cfg(unix)]
mod deleting;
mod delivery;
#[cfg(unix)]
mod early;
#[cfg(unix)]
mod hooks;
mod keyed;
#[cfg(unix)]
mod lines;
#[cfg(unix)]
mod outbox;
mod processes;
#[cfg(unix)]
mod times;
