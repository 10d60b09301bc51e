//! Conversations: reading them from the logs, and talking, on a terminal ([`talk`]) or line by line ([`plain`]). A front-end:
//! it reads histories, appends to outboxes and rings the doorbell, and knows nothing of sockets.
//!
//! [`keys`], [`editor`], [`screen`], [`width`], [`command`] and [`transcript`] are pure: bytes of the keyboard become keys,
//! keys a line, a line a command, events lines, and all of it bytes for the [`terminal`].

pub mod command;
pub mod conversation;
pub mod editor;
pub mod jobs;
pub mod keys;
pub mod line;
pub mod notify;
pub mod offers;
pub mod plain;
pub mod screen;
pub mod talk;
pub mod terminal;
pub mod transcript;
pub mod waiting;
pub mod width;
