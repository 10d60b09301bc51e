//! Files: the two ends of a transfer as a node and its front-ends run them; `transfer` moves the bytes. [`inbound`] takes
//! what a peer sends, to the disk, or by [`into_pipe`] to a [`pipe`], if the [`verdict`] is yes and there is [`room`];
//! [`arrival`] has what is told of it. [`transfers`] keeps simultaneous transfers apart, and [`lanes`] their further
//! connections, and [`begun`] finds what an earlier try has left. [`outbound`] sends over one session and its
//! lanes. [`queued`] sends what waits in a peer's queue, and [`job`] what a front-end hands to the node. A peer that this
//! node cannot dial collects its files: [`collect`] and [`collect_lanes`] have both ends of that, and at the [`desk`] a
//! sender waits for it. [`collect_once`] is that end for a command. [`shares`] has what others may fetch from this node,
//! [`sharing`] serves them, and [`get`] fetches from others.

pub mod arrival;
pub mod begun;
pub mod collect;
pub mod collect_lanes;
pub mod collect_once;
pub mod desk;
pub mod get;
pub mod inbound;
pub mod into_pipe;
pub mod job;
pub mod lanes;
pub mod once;
pub mod once_sent;
pub mod outbound;
pub mod patience;
pub mod pipe;
pub mod queued;
pub mod room;
pub mod shares;
pub mod sharing;

pub mod transfers;
pub mod verdict;
