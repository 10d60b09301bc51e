//! Files: what is sent, in which pieces, and how it comes to its place (egoat-protocol(7), FILES).
//!
//! A transfer is a [`manifest`] and one virtual byte string, the files laid end to end, cut into chunks. It leaves out
//! connections: a session comes in, and what happened goes out.

pub mod manifest;
pub mod path;
pub mod receive;
pub mod send;
