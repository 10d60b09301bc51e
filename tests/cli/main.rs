//! The command line: options, help, completions, the manual, exit statuses, and commands that move no message.

// A test prints what it leaves out, and why.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;

mod completions;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod identity;
mod manual;
mod names;
#[cfg(unix)]
mod nobody;
mod policy;
mod scripts;
mod typing;
