//! Views: what is printed and drawn. They show what [`crate::app`] says and hand it what the user does.
//!
//! [`terminal`] is the interactive chat, [`plain`] the chat line by line, [`window`] a page in a browser; [`output`] has the rules for all that is printed.

pub mod commands;
pub mod completion;
mod help;
pub mod lines;
pub mod output;
pub mod plain;
pub mod progress;
pub mod prompt;
pub mod reader;
pub mod stty;
pub mod terminal;
pub mod typed;
pub mod width;
pub mod window;
pub mod words;
pub mod wrap;
