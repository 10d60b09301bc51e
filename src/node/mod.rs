//! The node: it accepts, dials, delivers and receives. The threads of all connections are started here.
//!
//! One thread serves one socket, and on a socket messages flow one way: [`flow`] has the two straight loops. Who dials
//! and who sends are separate: [`dialler`] pushes to every peer that has an address, and pulls from one that cannot dial
//! us; [`listener`] serves the same two loops to those who dial us, as far as [`admission`] lets them in. [`roster`] is what the threads of one peer know of
//! each other. Front-ends append to an outbox and ring the [`doorbell`]; where no node runs, [`delivery`] does for one
//! message what a node would do. Files come in by [`inbound`], whose connections [`transfers`] keeps apart, to the disk
//! or to a [`pipe`], and go out by [`outbound`], those of the outbox by [`queued`]. For what has arrived, [`hooks`] runs the
//! user's programs.

pub mod admission;
pub mod delivery;
pub mod dialler;
pub mod doorbell;
pub mod event;
pub mod flow;
pub mod hooks;
pub mod inbound;
pub mod limits;
pub mod listener;
pub mod outbound;
pub mod pairing;
pub mod pipe;
pub mod program;
pub mod queued;
pub mod retry;
pub mod roster;
pub mod running;
pub mod transfers;
