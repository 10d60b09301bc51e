//! What a user can do, each thing once: every front-end calls these functions, and none of them prints, parses arguments or
//! knows a terminal.
//!
//! | module | what a user does with it |
//! | --- | --- |
//! | [`identity`] | open a home, name this node, see its key and addresses |
//! | [`contacts`] | invite, join, accept, rename, set rules, verify, block, remove |
//! | [`messages`] | say, see what waits, cancel, retry, fetch |
//! | [`files`] | send, queue, receive, answer offers, remove partial transfers |
//! | [`inbox`] | read histories, search them, see what is unread |
//! | [`chat`] | all of this at once, in a conversation: the model behind every view |
//! | [`link`] | run a node, or reach the one that runs |
//! | [`news`] | what a node tells, in words |
//! | [`window`] | what the page in a browser shows, and who may see it |
//! | [`page`] | an HTTP server on loopback |
//! | [`uploads`] | files that a browser hands over |
//! | [`desktop`] | open an address or a folder |
//! | [`status`] | see what the node does |
//! | [`retry`] | wait for a peer that is away |
//! | [`settings`] | where to listen, where files land |
//! | [`doctor`] | find out what does not work |
//!
//! Front-ends name this layer alone, so the types that they handle are exported here.

pub mod chat;
pub mod contacts;
pub mod desktop;
pub mod doctor;
pub mod files;
pub mod identity;
pub mod inbox;
pub mod link;
pub mod messages;
pub mod news;
pub mod page;
pub mod retry;
pub mod settings;
pub mod status;
pub mod uploads;
pub mod window;

pub use crate::app::identity::{Endpoint, Home, Own};
pub use crate::crypto::keys::PublicKey;
pub use crate::store::log::Position;
pub use crate::store::peers::{FilesPolicy, Origin, Peer, Place};
pub use crate::wire::address::Address;
pub use crate::wire::link::Link;
