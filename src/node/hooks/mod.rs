//! Hooks: the user's programs, which run for each message and each file that arrives (egoat(1), HOOKS). [`runner`] reads
//! the histories and gives each program what is new there; [`turns`] decides whose turn it is. [`programs`] is what the
//! options say, and the report of a run. [`program`] starts one program, feeds it and ends it when it takes too long.

pub mod program;
pub mod programs;
pub mod runner;
pub mod turns;
