//! The chat in real terminals, and what it keeps for the next time.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(unix)]
mod beside;
#[cfg(unix)]
mod digits;
#[cfg(unix)]
mod dumb;
#[cfg(target_os = "linux")]
mod newcomer;
mod notes;
#[cfg(unix)]
mod offers;
#[cfg(unix)]
mod outgoing;
#[cfg(unix)]
mod paste;
#[cfg(unix)]
mod slash;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod wrapping;
