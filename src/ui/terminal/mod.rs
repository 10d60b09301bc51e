//! The interactive chat: a view of [`crate::app::chat`] on a terminal. egoat(1), CHAT, says what its user sees.
//!
//! [`keys`], [`editor`], [`screen`] and `transcript` are pure: bytes of the keyboard become keys, keys a line,
//! entries lines, and all of it bytes for the [`tty`]. `pane` holds them together; `talk` is the loop.

mod attention;
pub mod editor;
pub mod keys;
mod pane;
pub mod screen;
mod talk;
mod transcript;
pub mod tty;

pub use attention::program;
pub use talk::{Start, run};
