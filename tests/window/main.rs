//! The window: who is let in, and what the page is told and may do. What a browser makes of it is tested in `browser/`.

// A test prints what it leaves out, and why.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;

mod client;

mod api;
mod gate;
#[cfg(unix)]
mod process;
mod sessions;
#[cfg(unix)]
mod uploads;
