//! Files: what is sent, in which pieces, and how it comes to its place (egoat-protocol(7), FILES).
//!
//! A transfer is a [`manifest`] and one virtual byte string, the files laid end to end, cut into chunks that any of its
//! connections may carry. The sender reads them from its [`source`], the receiver writes them to their [`staging`], from
//! which whole files come to their names in their [`landing`], or to other [`names`] where the disk does not hold these.
//! What a receiver has of an earlier try is proven by hash and not sent again. A [`stream`] is one file whose length
//! nobody knows, in order, over one connection. A sender makes its [`offer`], hears a [`refusal`] perhaps, and sends
//! ([`send`]); the other end is [`receive`].
//!
//! It leaves out who may send, and all threads: connections come in, and what happened goes out.

pub mod landing;
pub mod manifest;
pub mod names;
pub mod offer;
pub mod path;
pub mod policy;
pub mod receive;
pub mod refusal;
pub mod seal;
pub mod send;
pub mod source;
pub mod staging;
pub mod stream;
pub mod tally;
