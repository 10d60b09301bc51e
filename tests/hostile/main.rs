//! Peers and strangers that mean harm, and the text that they send.

// A test prints what it leaves out, and why.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(unix)]
mod collecting;
#[cfg(target_os = "linux")]
mod conversations;
#[cfg(target_os = "linux")]
mod digits;
mod disks;
#[cfg(unix)]
mod early;
mod files;
mod growth;
#[cfg(unix)]
mod receivers;
#[cfg(unix)]
mod sharing;
#[cfg(target_os = "linux")]
mod sinks;
mod stops;
#[cfg(target_os = "linux")]
mod strangers;
mod telling;
