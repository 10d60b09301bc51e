//! Conversations: reading them from the logs, a line for each message, and talking line by line. A front-end: it reads
//! histories, appends to outboxes and rings the doorbell, and knows nothing of sockets.

pub mod conversation;
pub mod line;
pub mod offers;
pub mod plain;
