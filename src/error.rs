//! What can go wrong, said once.
//!
//! One enum for the whole program: the layers build a variant with the thing and the cause, and only this file
//! holds the wording, the hint with the next step, and the exit status (egoat(1), EXIT STATUS). It leaves out
//! how an error is printed: that is `cli::output`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure, with what is needed to name the thing, the cause and the next step.
#[derive(Debug)]
pub enum Error {
    /// The command line, an address or a link is wrong.
    Usage {
        /// What is wrong with it.
        what: String,
        /// What to type instead.
        hint: Option<String>,
    },
    /// A file of ours could not be used.
    Disk {
        /// What we tried to do with the file.
        verb: Verb,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// Another process keeps a file of ours locked: it was stopped, or hangs.
    Locked {
        /// The file.
        path: PathBuf,
        /// The process, where the system tells.
        holder: Option<u32>,
    },
    /// A stored file does not hold what it should.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where and what.
        what: String,
    },
    /// A file that the user names to be sent cannot be.
    Source {
        /// The file, cleaned for a terminal.
        path: String,
        /// Why.
        why: String,
        /// The way out, where there is one.
        hint: Option<&'static str>,
    },
    /// No saved peer is called so.
    UnknownPeer {
        /// What was typed.
        name: String,
        /// The home that was looked in.
        home: PathBuf,
        /// The name that was probably meant.
        near: Option<String>,
        /// The name of the peer that was saved there last, if any is.
        last: Option<String>,
        /// A host could have been named as well, and none is called so either.
        may_be_host: bool,
    },
    /// No address of the peer answered.
    Unreachable {
        /// The peer as the user knows it.
        peer: String,
        /// What was tried, and how each try ended.
        why: Causes,
    },
    /// The peer answers, and refuses for now.
    Busy {
        /// The peer as the user knows it.
        peer: String,
        /// What may be the reason, of which the answer says nothing.
        why: &'static str,
    },
    /// The proxy is not there, or cannot be used.
    Proxy {
        /// The peer as the user knows it.
        peer: String,
        /// The proxy, and what is wrong with it.
        why: String,
    },
    /// The peer is an onion service of Tor, and there is no proxy.
    Onion {
        /// The peer as the user knows it.
        peer: String,
    },
    /// Nothing came in the time that the user gave.
    TimedOut {
        /// What was waited for, and how long.
        what: String,
    },
    /// An established connection ended without a BYE.
    Lost {
        /// The peer as the user knows it.
        peer: String,
        /// What we were waiting for.
        during: String,
    },
    /// Small packets reach the peer, and large ones do not.
    LargePackets {
        /// The peer as the user knows it.
        peer: String,
        /// What we were waiting for.
        during: String,
    },
    /// The other side speaks something else.
    Protocol {
        /// The peer as the user knows it.
        peer: String,
        /// What it did.
        what: String,
    },
    /// The other side said no.
    Refused {
        /// The peer as the user knows it.
        peer: String,
        /// Its reason.
        why: String,
        /// The way out, where there is one.
        hint: Option<String>,
    },
    /// Pairing by six digits came to nothing.
    NotPaired {
        /// What happened.
        what: String,
        /// The next step.
        hint: String,
    },
    /// The other side does not wait to be paired with by six digits.
    NobodyWaits {
        /// Its address.
        peer: String,
    },
    /// A node with another key answers at the peer's address.
    ChangedKey {
        /// The peer as the user knows it.
        peer: String,
        /// Fingerprint of the pinned key.
        old: String,
        /// Fingerprint of the key that answered.
        new: String,
        /// Why its other addresses do not answer; `None` if each has a node with another key.
        elsewhere: Option<Causes>,
    },
    /// A node with another key answers at an address of a node that is not saved: nothing was pinned there.
    OtherNode {
        /// The address.
        address: String,
        /// Fingerprint of the key that was wanted, as a link has it.
        wanted: String,
        /// Fingerprint of the key that answered.
        found: String,
    },
    /// First contact, and nobody to ask.
    UnknownKey {
        /// The address that was typed.
        address: String,
        /// Fingerprint of the key that answered.
        fingerprint: String,
    },
    /// The message waits in the outbox; `--wait` ran out.
    Queued {
        /// The peer as the user knows it.
        peer: String,
        /// What is known of the last attempt.
        why: String,
    },
    /// What a peer offered was not taken here; it may offer something else.
    Declined {
        /// Who offered what, and why it was refused.
        what: String,
    },
    /// The other side could not finish a transfer.
    Remote {
        /// The peer as the user knows it.
        peer: String,
        /// Its reason.
        why: &'static str,
        /// It is a disk error there.
        disk: bool,
    },
    /// The disk of the other side has no room for a transfer that has not begun. It may have some later.
    NoRoom {
        /// The peer as the user knows it.
        peer: String,
    },
    /// The user stopped a transfer.
    Stopped,
    /// The other side's user stopped a transfer that had begun.
    StoppedThere {
        /// The peer as the user knows it.
        peer: String,
        /// What was on its way.
        title: String,
    },
    /// A layer that was looked at does not work, as was printed.
    Unwell {
        /// Which.
        layer: &'static str,
        /// The exit status that says so.
        code: u8,
    },
    /// A node already serves this home.
    NodeRunning {
        /// The home.
        home: PathBuf,
    },
    /// No node serves this home.
    NoNode {
        /// The home.
        home: PathBuf,
    },
    /// An address cannot be listened on.
    Listen {
        /// The address.
        address: String,
        /// The system's reason.
        cause: io::Error,
        /// What to type instead, where that is known.
        hint: Option<String>,
    },
    /// The identity file cannot be used as it is.
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
        /// The next step.
        hint: String,
    },
    /// A file of the home that people edit has something in it that it cannot have.
    Mistyped {
        /// The file.
        path: PathBuf,
        /// What, and in which line.
        what: String,
    },
    /// Somebody else can change a file or folder of the home, or read the identity.
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Who, or why they can.
        why: String,
        /// The next step.
        hint: String,
    },
    /// The node that runs here did what a command wanted, and failed.
    ByNode {
        /// What and why, as the node says it.
        what: String,
        /// The next step, where there is one.
        hint: Option<String>,
        /// The exit status of a command that fails so.
        status: u8,
    },
    /// Queued files were stopped, and wait for the user's decision.
    NotSent {
        /// Which, and why.
        what: String,
        /// The next step.
        hint: String,
        /// The peer refused them; else they have changed.
        is_refused: bool,
    },
    /// Anything else that ended a command.
    Failed {
        /// What and why.
        what: String,
        /// The next step, where there is one.
        hint: Option<String>,
    },
}

/// Why a peer cannot be reached: in words what tells most, and for programs how the try at each address ended.
#[derive(Clone, Debug)]
pub struct Causes {
    best: Box<str>,
    tried: Box<[(String, String)]>,
    hint: Option<Box<str>>,
}

impl Causes {
    /// Of the addresses that were tried, and why each does not do; the first one tells most.
    pub fn of(tried: Vec<(String, String)>) -> Causes {
        let mut best = tried.first().map_or_else(String::new, |(address, why)| format!("{address}: {why}"));
        if tried.len() > 1 {
            best.push_str(&format!(" ({} addresses were tried)", tried.len()));
        }
        Causes { best: best.into(), tried: tried.into(), hint: None }
    }

    /// The same with a hint in the place of the usual one.
    pub fn with_hint(self, hint: String) -> Causes {
        Causes { hint: Some(hint.into()), ..self }
    }

    /// The addresses that were tried, and why each does not do.
    pub fn tried(&self) -> &[(String, String)] {
        &self.tried
    }
}

impl<T: Into<String>> From<T> for Causes {
    fn from(why: T) -> Causes {
        Causes { best: why.into().into(), tried: Box::default(), hint: None }
    }
}

impl fmt::Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.best)
    }
}

/// What we try to do with a file when the disk fails: the word in the message, and whether stored bytes are in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Finish a staged file after its last byte has arrived.
    Complete,
    /// Make a file or a directory.
    Create,
    /// Take the lock of a file.
    Lock,
    /// Open what exists.
    Open,
    /// Read content or metadata.
    Read,
    /// Delete a file or a directory.
    Remove,
    /// Give a file another name.
    Rename,
    /// Write a new file and rename it over the old one, so that a failure leaves the old one whole.
    Replace,
    /// Flush to the disk.
    Sync,
    /// Cut a damaged tail off.
    Truncate,
    /// Write in place.
    Write,
}

/// The causes that [`Error::cause`] tells apart.
pub const CAUSES: [&str; 8] =
    [CHANGED_KEY, "unreachable", "busy", "lost", "proxy", "refused", "protocol", OTHER];
/// Another key than the peer's answered.
pub const CHANGED_KEY: &str = "changed-key";
/// Any other cause.
pub const OTHER: &str = "other";

impl Error {
    /// A wrong command line.
    pub fn usage(what: impl Into<String>) -> Error {
        Error::Usage { what: what.into(), hint: None }
    }

    /// Any other failure of a command.
    pub fn failed(what: impl Into<String>) -> Error {
        Error::Failed { what: what.into(), hint: None }
    }

    /// For `map_err`: `file.sync_data().map_err(Error::disk(Verb::Sync, path))`.
    pub fn disk(verb: Verb, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |cause| Error::Disk { verb, path: path.to_owned(), cause }
    }

    /// The exit status, from sysexits where one fits (egoat(1), EXIT STATUS).
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Source { .. } | Error::NodeRunning { .. } | Error::Listen { .. } => 1,
            Error::Identity { .. } | Error::Failed { .. } | Error::Declined { .. } | Error::Stopped => 1,
            Error::Usage { .. } | Error::UnknownPeer { .. } => 2,
            Error::Unreachable { .. } | Error::Proxy { .. } | Error::Onion { .. } | Error::Busy { .. } => 69,
            Error::TimedOut { .. }
            | Error::Lost { .. }
            | Error::LargePackets { .. }
            | Error::NoRoom { .. }
            | Error::NoNode { .. } => 69,
            Error::Disk { .. } | Error::Locked { .. } | Error::Corrupt { .. } | Error::Exposed { .. } => 74,
            Error::Mistyped { .. } => 74,
            Error::Remote { disk, .. } => {
                if *disk {
                    74
                } else {
                    1
                }
            }
            Error::Unwell { code: status, .. } | Error::ByNode { status, .. } => *status,
            Error::Queued { .. } => 75,
            Error::Protocol { .. } => 76,
            Error::Refused { .. }
            | Error::StoppedThere { .. }
            | Error::NotPaired { .. }
            | Error::NobodyWaits { .. }
            | Error::ChangedKey { .. }
            | Error::OtherNode { .. }
            | Error::UnknownKey { .. } => 77,
            Error::NotSent { is_refused, .. } => {
                if *is_refused {
                    77
                } else {
                    1
                }
            }
        }
    }

    /// The peer that could not be reached, and how the try at each of its addresses ended.
    pub fn tried(&self) -> Option<(&str, &[(String, String)])> {
        match self {
            Error::Unreachable { peer, why } | Error::ChangedKey { peer, elsewhere: Some(why), .. } => {
                Some((peer, why.tried()))
            }
            _ => None,
        }
    }

    /// A word that says for programs why a peer was not reached (egoat-files(5), ATTEMPTS): one of [`CAUSES`].
    pub fn cause(&self) -> &'static str {
        match self {
            Error::ChangedKey { .. } => CHANGED_KEY,
            Error::Unreachable { .. } => "unreachable",
            Error::Busy { .. } => "busy",
            Error::Lost { .. } | Error::LargePackets { .. } => "lost",
            Error::Proxy { .. } | Error::Onion { .. } => "proxy",
            Error::Refused { .. } => "refused",
            Error::Protocol { .. } => "protocol",
            _ => OTHER,
        }
    }

    /// Another try later may succeed: the peer cannot be reached now, was lost, or has no room at the moment.
    pub fn is_passing(&self) -> bool {
        matches!(self, Error::ByNode { status: 69, .. })
            || matches!(
                self,
                Error::Unreachable { .. }
                    | Error::Busy { .. }
                    | Error::Proxy { .. }
                    | Error::Lost { .. }
                    | Error::LargePackets { .. }
                    | Error::NoRoom { .. }
            )
    }

    /// The peer is not there now, or cannot be reached from here, which is nobody's mistake.
    pub fn is_absence(&self) -> bool {
        matches!(self, Error::Unreachable { .. } | Error::Busy { .. } | Error::Lost { .. })
    }

    /// A disk, or the part of it that this user may fill, is full. What was there before is whole.
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Error::Disk { cause, .. } if matches!(cause.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// What the user can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Usage { hint, .. }
            | Error::Refused { hint, .. }
            | Error::ByNode { hint, .. }
            | Error::Failed { hint, .. } => hint.clone(),
            Error::Identity { hint, .. }
            | Error::Exposed { hint, .. }
            | Error::NotPaired { hint, .. }
            | Error::NotSent { hint, .. } => Some(hint.clone()),
            Error::NobodyWaits { .. } => {
                Some("ask them to run `egoat invite --nearby`, and give the port that it shows".into())
            }
            Error::Source { hint, .. } => hint.map(str::to_owned),
            Error::StoppedThere { .. } => Some("it goes on only if it is sent or shared again".into()),
            Error::Proxy { .. } => {
                Some("see that it runs, and what --proxy, $EGOAT_PROXY or the file proxy says of it".into())
            }
            Error::Onion { .. } => Some(
                "start Tor, and give --proxy socks5://127.0.0.1:9050, or set $EGOAT_PROXY to that".into(),
            ),
            Error::UnknownPeer { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Error::UnknownPeer { last: Some(last), may_be_host, .. } => {
                let new = if *may_be_host { "; give HOST:PORT or a link for a new one" } else { "" };
                Some(format!("`egoat peers` lists the saved ones, of whom `{last}` is the latest{new}"))
            }
            Error::UnknownPeer { .. } => Some(
                "no peer is saved there: `egoat invite` makes a link for somebody, `egoat join` takes theirs"
                    .into(),
            ),
            Error::Unreachable { why, .. } => {
                let usual = "is `egoat serve` running there, and is its port reachable?";
                Some(why.hint.as_deref().unwrap_or(usual).to_owned())
            }
            Error::LargePackets { .. } => Some(
                "give the interface, or the VPN, a smaller MTU on either side, such as 1280; firewalls on the path must \
                 let ICMP \"fragmentation needed\" and \"packet too big\" pass"
                    .into(),
            ),
            Error::Busy { .. } => Some(
                "it may be over in a moment; else look at the output of the node there, and whether `ulimit -n` or --max-peers \
                 allows too few connections"
                    .into(),
            ),
            Error::NoRoom { .. } => {
                Some("they can free some space; with --wait or --queue it is tried again".into())
            }
            Error::Protocol { .. } => {
                Some("check the port, and that both sides run the same version of egoat".into())
            }
            Error::Queued { .. } => Some("it stays queued; `egoat outbox` shows what waits".into()),
            Error::ChangedKey { peer, .. } => Some(format!(
                "if they reinstalled, compare fingerprints by phone, then `egoat peers remove {peer}` and pair again"
            )),
            Error::OtherNode { .. } => Some(
                "the link may be from another network or altered; ask for a new one: `egoat invite`".into(),
            ),
            Error::UnknownKey { .. } => Some(
                "pair by a link from `egoat invite`, or compare the fingerprint and repeat with --accept-new"
                    .into(),
            ),
            Error::Mistyped { .. } => Some("correct it there; nothing was changed".into()),
            Error::Corrupt { .. } => {
                Some("nothing was deleted; restore this file from a backup or move it away".into())
            }
            Error::Locked { holder: Some(process), .. } => Some(format!(
                "if that process was stopped, as by Ctrl-Z, let it go on: `kill -CONT {process}`; else wait for its end, or \
                 end it"
            )),
            Error::Locked { path, holder: None } => Some(format!(
                "it is an egoat, most likely one that was stopped, as by Ctrl-Z; `fuser {}` may tell its number for \
                 `kill -CONT`",
                path.display()
            )),
            Error::NoNode { .. } => Some("`egoat serve` or `egoat chat` is one".into()),
            Error::NodeRunning { .. } => Some("use another --home, or let the running node do it".into()),
            Error::Listen { hint, .. } => hint.clone(),
            Error::Disk { cause, .. } => match cause.kind() {
                io::ErrorKind::StorageFull => Some("free some space and try again".into()),
                io::ErrorKind::PermissionDenied => {
                    Some("check its owner and its mode, and those of the directory that it is in".into())
                }
                _ => None,
            },
            _ => None,
        }
    }
}

impl Verb {
    /// Whether a failure leaves open which bytes the disk has. The node then ends, because its next acknowledgement
    /// could be for a message that a power cut takes away.
    pub fn may_lose_bytes(self) -> bool {
        match self {
            Verb::Write | Verb::Sync | Verb::Truncate => true,
            Verb::Complete | Verb::Create | Verb::Lock | Verb::Open | Verb::Read => false,
            Verb::Remove | Verb::Rename | Verb::Replace => false,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verb::Complete => "complete",
            Verb::Create => "create",
            Verb::Lock => "lock",
            Verb::Open => "open",
            Verb::Read => "read",
            Verb::Remove => "remove",
            Verb::Rename => "rename",
            Verb::Replace => "replace",
            Verb::Sync => "sync",
            Verb::Truncate => "truncate",
            Verb::Write => "write",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage { what, .. }
            | Error::Failed { what, .. }
            | Error::ByNode { what, .. }
            | Error::NotSent { what, .. }
            | Error::NotPaired { what, .. }
            | Error::Declined { what }
            | Error::TimedOut { what } => f.write_str(what),
            Error::Disk { verb, path, cause } => {
                write!(f, "cannot {verb} {}: {}", path.display(), reason(cause))
            }
            Error::Locked { path, holder } => {
                let process = holder.map_or("another process".into(), |process| format!("process {process}"));
                write!(f, "cannot lock {}: {process} keeps it locked", path.display())
            }
            Error::Exposed { path, why, .. } => write!(f, "{} is not yours alone: {why}", path.display()),
            Error::Mistyped { path, what } => write!(f, "cannot use {}: {what}", path.display()),
            Error::Corrupt { path, what } => write!(f, "{} is damaged: {what}", path.display()),
            Error::Source { path, why, .. } => write!(f, "cannot send {path}: {why}"),
            Error::UnknownPeer { name, home, may_be_host, .. } => {
                let nor_host = if *may_be_host { ", and no host either" } else { "" };
                write!(f, "no peer in {} is called {name}{nor_host}", home.display())
            }
            Error::Unreachable { peer, why } => write!(f, "cannot reach {peer}: {why}"),
            Error::Proxy { peer, why } => write!(f, "cannot reach {peer}: {why}"),
            Error::Onion { peer } => {
                write!(
                    f,
                    "cannot reach {peer}: onion services are reached through Tor, and there is no proxy"
                )
            }
            Error::Lost { peer, during } => write!(f, "connection to {peer} lost while {during}"),
            Error::LargePackets { peer, during } => write!(
                f,
                "connection to {peer} lost while {during}: small packets arrive and large ones do not, so most likely the \
                 path drops large packets (MTU)"
            ),
            Error::Protocol { peer, what } => write!(f, "{peer} does not speak this protocol: {what}"),
            Error::Refused { peer, why, .. } => write!(f, "{peer} refused: {why}"),
            Error::NobodyWaits { peer } => write!(f, "nobody waits at {peer} to pair by six digits"),
            Error::OtherNode { address, wanted, found } => {
                write!(f, "another node answers at {address}: {found}, not {wanted}")
            }
            Error::ChangedKey { peer, old, new, .. } => {
                write!(f, "the key of {peer} has changed: {old} was pinned, {new} answers now")
            }
            Error::UnknownKey { address, fingerprint } => {
                write!(f, "the node at {address} is not known yet; its fingerprint is {fingerprint}")
            }
            Error::Queued { peer, why } => write!(f, "not delivered to {peer} in time: {why}"),
            Error::Remote { peer, why, .. } => write!(f, "{peer} could not finish the transfer: {why}"),
            Error::Busy { peer, why } => write!(f, "{peer} refuses for now: {why}"),
            Error::NoRoom { peer } => write!(f, "{peer} cannot take the files now: its disk is full"),
            Error::Unwell { layer, .. } => write!(f, "the first layer that fails is {layer}"),
            Error::Stopped => f.write_str("it was stopped here"),
            Error::StoppedThere { peer, title } => write!(f, "{peer} stopped {title}"),
            Error::NoNode { home } => write!(f, "no node runs on {}", home.display()),
            Error::NodeRunning { home } => write!(f, "a node already runs on {}", home.display()),
            Error::Listen { address, cause, .. } => {
                write!(f, "cannot listen on {address}: {}", reason(cause))
            }
            Error::Identity { path, why, .. } => {
                write!(f, "cannot use the identity {}: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

/// The system's words for `cause` in our style: lower case, without "(os error 28)" and the full stop that Windows has.
pub fn reason(cause: &io::Error) -> String {
    let text = cause.to_string();
    lower_first(text.split(" (os error").next().unwrap_or(&text).trim_end_matches('.'))
}

/// Messages of the system and of libraries begin with a capital, ours do not.
pub fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}
