//! Messages: from an outbox to the peer's history, and back. [`flow`] has the two ends of a session as straight loops, and
//! knows no node. [`dialler`] runs them in the threads of a node that dial a peer; the listener runs them for a peer that
//! dials us.

pub mod dialler;
pub mod flow;
