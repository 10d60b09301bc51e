//! Files: the two ends of a transfer as a node and its front-ends run them; `transfer` moves the bytes. [`inbound`] takes
//! what a peer sends, to the disk or to a [`pipe`], and [`transfers`] keeps the connections of simultaneous transfers
//! apart. [`outbound`] sends over one session and its lanes. [`queued`] sends the jobs that wait in a peer's queue.

pub mod inbound;
pub mod job;
pub mod once;
pub mod outbound;
pub mod pipe;
pub mod queued;
pub mod transfers;
