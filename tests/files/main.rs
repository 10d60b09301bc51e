//! Files, directories and streams between real nodes.

// A test prints what it leaves out, and why.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")]
mod asking;
#[cfg(unix)]
mod collecting;
#[cfg(unix)]
mod guests;
#[cfg(unix)]
mod landing;
#[cfg(target_os = "linux")]
mod names;
#[cfg(unix)]
mod pipes;
#[cfg(unix)]
mod places;
#[cfg(unix)]
mod progress;
#[cfg(unix)]
mod queued;
#[cfg(unix)]
mod queueing;
#[cfg(unix)]
mod receiving;
#[cfg(unix)]
mod resume;
#[cfg(unix)]
mod senders_disk;
#[cfg(unix)]
mod sending;
#[cfg(unix)]
mod sharing;
#[cfg(unix)]
mod trees;
