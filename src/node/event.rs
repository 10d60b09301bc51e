//! What a node tells whoever runs it. It leaves out how that looks: see `cli`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::error::Error;
use crate::node::door::admission::Refusals;
use crate::node::hooks::programs::RunReport;
use crate::store::history::ReceivedMessage;
use crate::transfer::tally::Tally;

/// What the user says of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is taken.
    Accept {
        /// Where it goes, if not to the usual place.
        dir: Option<PathBuf>,
    },
    /// It is not.
    Refuse,
}

/// What somebody wants to send to a one-off receiver, which waits for an answer.
#[derive(Debug)]
pub struct Offered {
    /// From whom.
    pub peer: String,
    /// The fingerprint of its key.
    pub fingerprint: String,
    /// What is at the top: a name as it came, whether it is a directory, and the bytes of all files in it.
    pub tops: Vec<(String, bool, u64)>,
    /// How many files there are in all.
    pub files: u64,
    /// Their bytes, if that is known.
    pub bytes: Option<u64>,
    /// What is to be known of names at the top that begin with a dot; empty if there are none.
    pub dots: String,
    /// Takes the answer.
    pub answer: SyncSender<Decision>,
}

/// Something happened.
#[derive(Debug)]
pub enum NodeEvent {
    /// The node accepts connections at this address.
    Listening(SocketAddr),
    /// Nobody had said where this node listens, so it chose a port for itself and for those that come after it.
    ChosePort {
        /// The port.
        port: u16,
        /// Where that is noted.
        file: PathBuf,
    },
    /// A peer has become known.
    Paired {
        /// What it is called here.
        peer: String,
        /// The fingerprint of its key.
        fingerprint: String,
    },
    /// A stranger dialled and was noted.
    Request {
        /// What it calls itself.
        name: String,
        /// The fingerprint of its key.
        fingerprint: String,
    },
    /// The first connection with a peer is there.
    Connected {
        /// Who.
        peer: String,
    },
    /// The last connection with a peer is gone.
    Disconnected {
        /// Who.
        peer: String,
    },
    /// Messages are in the history.
    Received {
        /// From whom.
        peer: String,
        /// One or more, with their numbers and raw texts, in order.
        messages: Vec<ReceivedMessage>,
    },
    /// Messages are on the peer's disk.
    Delivered {
        /// To whom.
        peer: String,
        /// How many.
        count: usize,
        /// The highest of their numbers.
        number: u64,
    },
    /// Somebody wants to send files to a one-off receiver.
    Offered(Offered),
    /// Files begin to come in.
    TransferBegan {
        /// From whom.
        peer: String,
        /// From where.
        address: Option<SocketAddr>,
        /// How far they are.
        tally: Arc<Tally>,
    },
    /// Somebody begins to fetch what is shared here.
    Fetching {
        /// Who.
        peer: String,
        /// How far it is.
        tally: Arc<Tally>,
    },
    /// A file is in place.
    File {
        /// From whom.
        peer: String,
        /// Where.
        path: PathBuf,
        /// Its bytes.
        size: u64,
    },
    /// All files of a transfer are in place.
    TransferDone {
        /// From whom.
        peer: String,
    },
    /// Queued or shared files are in place with the peer.
    FilesSent {
        /// To whom.
        peer: String,
        /// What, in one line.
        title: String,
        /// Their bytes.
        bytes: u64,
    },
    /// A program was run for what has arrived.
    Hook(RunReport),
    /// A transfer that came in, or of what is shared here, ended without success.
    TransferFailed {
        /// With whom.
        peer: String,
        /// Why.
        error: Error,
    },
    /// So many connections were turned away in the last minute.
    Refusals(Refusals),
    /// Something went wrong with one peer; the node goes on.
    Trouble(Error),
    /// The node cannot go on.
    Fatal(Error),
}
