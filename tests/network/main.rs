//! Ways to a peer: pairing, proxies, logins, bad networks, and whatever else answers at an address.

// A test prints what it leaves out, and why.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")]
mod addresses;
#[cfg(target_os = "linux")]
mod behind;
#[cfg(target_os = "linux")]
mod bridge;
mod digits;
mod foreign;
mod guessed;
mod hidden;
mod lying;
#[cfg(target_os = "linux")]
mod mapping;
#[cfg(target_os = "linux")]
mod nearby;
#[cfg(target_os = "linux")]
mod netns;
mod pairing;
#[cfg(target_os = "linux")]
mod port;
mod proxy;
mod retrying;
#[cfg(target_os = "linux")]
mod slow;
mod socks;
#[cfg(target_os = "linux")]
mod street;
#[cfg(target_os = "linux")]
mod told;
mod trips;
mod via;
#[cfg(target_os = "linux")]
mod wire;
