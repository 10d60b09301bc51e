//! The disk: what survives crashes, faults and power cuts.

// A test prints what it leaves out, and why.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")]
mod crash;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod locks;
#[cfg(unix)]
mod logs;
#[cfg(target_os = "linux")]
mod powercut;
