//! E-Goat: direct, end-to-end encrypted chat and file transfer between two computers, with no server in between.
//!
//! This is the map. The folders are layers; a file uses only what stands below it, and a test sees to that.
//!
//! | layer | what it is |
//! | --- | --- |
//! | `cli` | the command line: arguments, a file for each family of commands |
//! | [`ui`] | views: the chat on a terminal and line by line, output |
//! | [`app`] | what a user can do, each thing once |
//! | [`node`] | accepting, dialling, message flow; the threads |
//! | [`transfer`] | files: manifest, chunks, safe paths |
//! | [`net`] | deadlines, the handshake on a socket, sessions, dialling |
//! | [`store`] | the home directory: identity, logs, peers, invites |
//! | [`wire`] | bytes, messages, addresses, links |
//! | [`crypto`] | keys, Noise, the handshake, sealing at rest |
//! | [`error`], [`text`], [`time`] | what all of them need |
//!
//! The folder `package` is no layer: it has what packages need besides the program, such as units for systemd.
//!
//! The wire format is specified in egoat-protocol(7), the files in egoat-files(5), the commands in egoat(1).
//!
//! The library exists for the program and its tests; its interface may change with every version.

pub mod app;
mod cli;
pub mod crypto;
pub mod error;
pub mod net;
pub mod node;
pub mod store;
pub mod text;
pub mod time;
pub mod transfer;
pub mod ui;
pub mod wire;

pub use cli::main;
