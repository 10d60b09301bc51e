//! The node: it accepts and dials, delivers and receives. One thread serves one socket, and on a socket to a peer messages
//! flow one way. Front-ends append to an outbox and ring over the [`control`] connection.
//!
//! A file uses only files of lines below its own, so there is no circle; `tests/layers.rs` holds that there is none.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`supervisor`] | starts the node and its long-lived threads; follows the peers file and the outboxes |
//! | [`control`] | serves front-ends: they ring, answer offers, hand over files, and see what is going on |
//! | [`door::listener`] | accepts connections and serves each of them |
//! | [`messages::dialler`] | dials a peer, to push and to pull messages |
//! | [`files::job`] | sends files that a front-end handed over |
//! | [`files::sharing`], [`files::get`] | sends what is shared to who fetches it; fetches what others share |
//! | [`files::inbound`] | receives files |
//! | [`files::verdict`], [`files::room`], [`files::arrival`] | whether files are taken; room for them; what is told of them |
//! | [`files::queued`] | sends the files that wait in a queue |
//! | [`mapping`] | has routers map the port of the node |
//! | [`hooks::runner`] | runs programs for what has arrived |
//! | [`nearby::watch`], [`nearby::probe`] | finds peers in the same network; whether any can be found |
//! | [`context`] | what all threads of the node share; starts no thread |
//! | [`nearby::hearing`] | what a beacon means to this node |
//! | [`live`] | what front-ends see: who is here, transfers, offers |
//! | [`outside`] | at which addresses everybody can dial the node |
//! | [`options`] | what whoever starts the node wants |
//! | [`event`] | what the node reports |
//! | [`files::outbound`] | one transfer to a peer |
//! | [`files::shares`] | what is shared, and who fetches it |
//! | [`files::pipe`], [`files::transfers`] | stdout as the place for a file; the transfers that are being received |
//! | [`hooks::turns`], [`hooks::programs`], [`hooks::program`] | whose turn it is; which programs; one run |
//! | [`door::admission`], [`door::limits`], [`door::listen`] | who may connect; how many; the sockets |
//! | [`messages::flow`] | the two ends of a session of messages |
//! | [`own_addresses`] | where peers are told that this node can be dialled |
//! | [`room`] | how much of the disk the messages of peers may fill |
//! | [`retry`] | how long a thread pauses after a failure |
//! | [`roster`] | the peers, and what the threads of one peer know of each other |
//! | [`pairing`] | how nodes get to know each other |
//! | [`allowance`] | so many at once, and then one after each interval |
//! | [`threads`] | stack size; how a thread starts |

pub mod allowance;
pub mod context;
pub mod control;
pub mod door;
pub mod event;
pub mod files;
pub mod hooks;
pub mod live;
pub mod mapping;
pub mod messages;
pub mod nearby;
pub mod options;
pub mod outside;
pub mod own_addresses;
pub mod pairing;
pub mod retry;
pub mod room;
pub mod roster;
pub mod supervisor;
pub mod threads;
