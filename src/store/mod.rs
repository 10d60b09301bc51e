//! The home directory: every file in it, as egoat-files(5) specifies them. Nothing here opens a socket.

pub mod attempts;
pub mod cancel;
pub mod conversation;
pub mod cursor;
pub mod external;
pub mod file;
pub mod folder;
pub mod history;
pub mod home;
pub mod identity;
pub mod invites;
pub mod lock;
pub mod log;
pub mod node_lock;
pub mod notes;
pub mod outbox;
pub mod ownership;
pub mod partial;
pub mod peers;
pub mod presence;
pub mod queued_files;
pub mod requests;
pub mod source;
pub mod space;
pub mod syncer;
