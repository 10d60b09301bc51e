//! What a receiver says when it does not take files, or cannot go on with them, in the words of the sender's user.

use crate::error::Error;
use crate::text;
use crate::wire::message::{Declined, Failure, UNKNOWN};

/// The way out of a limit.
const MORE: &str =
    "they can allow more: `egoat serve --max-file SIZE`, or `egoat peers set NAME max-file=SIZE` there";

/// What breaks the rules of this version was refused before the receiver was dialled, so it follows older ones.
const OLDER: &str = "an older egoat takes no names with : or \\ or joiners, none that end in a dot or a space, and none that \
     differ in case alone; update it, or pack the files: `tar c DIR | egoat send PEER --name DIR.tar -`";

/// The way out of a name that is taken.
const AWAY: &str = "they can move it away, or receive without --overwrite";

/// What the receiver needs.
const OPEN_FILES: &str =
    "its system lets it open too few files: 64 are needed, `ulimit -n` there tells how many it may";

/// The reason why what was offered, so many bytes, is not taken.
pub fn declined(peer: &str, reason: Declined, bytes: u64) -> Error {
    let peer = peer.to_owned();
    let refused = |why: &str, hint: Option<&str>| Error::Refused {
        peer: peer.clone(),
        why: why.into(),
        hint: hint.map(str::to_owned),
    };
    match reason {
        Declined::Manifest => refused("a name or size breaks its rules", Some(OLDER)),
        Declined::TooLarge if bytes == UNKNOWN => refused("a stream may be more than it takes", Some(MORE)),
        Declined::TooLarge => refused(&format!("{} is more than it takes", text::size(bytes)), Some(MORE)),
        Declined::Full => Error::NoRoom { peer },
        Declined::Disk => Error::Remote { peer, why: "it cannot write where files land", disk: true },
        Declined::DotNames => refused(
            "it takes no names that begin with a dot at the top",
            Some(
                "they can allow it: `egoat receive --allow-dot`, or take them elsewhere than in their home directory; or \
                 send one under another name, by --name",
            ),
        ),
        Declined::Policy => refused(
            "it takes no files from you",
            Some("they can allow it: `egoat peers set NAME files=accept` there"),
        ),
        Declined::Quota => refused(
            "your files there would be more than it has room for you",
            Some("they can make room, or allow more: `egoat peers set NAME quota=SIZE` there"),
        ),
        Declined::Asked => {
            refused("its user did not take it", Some("they are asked in `egoat chat` and by `egoat receive`"))
        }
        Declined::IsDirectory => refused("a directory there has the name of a file", Some(AWAY)),
        Declined::IsFile => refused("a file there has the name of a directory", Some(AWAY)),
        Declined::OpenFiles => Error::Remote { peer, why: OPEN_FILES, disk: true },
        Declined::OneFile => refused(
            "it writes one file to a pipe",
            Some("send one file, or pack them: `tar c ... | egoat send`"),
        ),
        Declined::Gone => refused(
            "its pipe already has the beginning of another transfer",
            Some("ask them to run `egoat receive --into -` again"),
        ),
    }
}

/// The receiver's failure in the user's words.
pub fn failed(peer: &str, failure: Failure) -> Error {
    let (why, disk) = match failure {
        Failure::Full => ("its disk is full", true),
        Failure::Disk => ("its disk failed", true),
        Failure::Source => ("it lost track of the files", false),
        Failure::OpenFiles => (OPEN_FILES, true),
        Failure::Closed => ("what it writes to was closed", false),
        Failure::TooLarge => {
            let why = "the stream is longer than it takes".into();
            return Error::Refused { peer: peer.to_owned(), why, hint: Some(MORE.into()) };
        }
        Failure::Stopped => return Error::StoppedThere { peer: peer.to_owned(), title: "it".into() },
    };
    Error::Remote { peer: peer.to_owned(), why, disk }
}
