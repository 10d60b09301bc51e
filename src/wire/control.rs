//! The messages of the control connection between a node and a front-end of its home (egoat-files(5), CONTROL CONNECTION),
//! framed as those of a session. Both ends are programs of one version, so nothing here needs to grow.

use std::path::PathBuf;

use crate::crypto::keys::PublicKey;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};

/// Longest body of a message in bytes.
pub const MAX_BODY: usize = 64 << 10;
/// The number of bytes of something whose length is not known.
pub const UNKNOWN: u64 = u64::MAX;

/// The way that a connection to a peer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// Over the network alone.
    #[default]
    Direct,
    /// To where a beacon of the peer came from.
    Nearby,
    /// To an address that the peer's router maps to it.
    Mapped,
    /// By a proxy.
    Proxy,
}

impl Path {
    const ALL: [Path; 4] = [Path::Direct, Path::Nearby, Path::Mapped, Path::Proxy];

    /// The word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Path::Direct => "direct",
            Path::Nearby => "nearby",
            Path::Mapped => "mapped",
            Path::Proxy => "proxy",
        }
    }
}

/// From a front-end to the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Up {
    /// The version of the front-end.
    Version(String),
    /// Something was appended to an outbox of this peer; without a peer, something changed in the home.
    Ring(Option<PublicKey>),
    /// The front-end wants to know the node's state; `asks` if a person can answer offers.
    Watch {
        /// A person can answer.
        asks: bool,
    },
    /// Takes an offer.
    Accept {
        /// Its number.
        offer: u64,
        /// Where its files go, if not to the usual place.
        dir: Option<String>,
    },
    /// Refuses an offer.
    Refuse(u64),
    /// Ends a transfer.
    Stop(u64),
    /// Dials a peer now.
    Dial(PublicKey),
    /// Sends files to a peer.
    Send {
        /// The front-end's number of the job.
        job: u64,
        /// The peer.
        peer: PublicKey,
        /// What the job is.
        mode: SendMode,
        /// What the only file or directory is called on the way; empty for its own name.
        name: String,
        /// What to send.
        paths: Vec<PathBuf>,
    },
    /// Asks for the seed of the identity.
    Unseal,
    /// Asks the node to give the seed to nobody any more.
    Forget,
    /// The user waits for somebody with whom to compare six digits, or does not any more.
    Nearby {
        /// It waits.
        waits: bool,
    },
    /// Whether both ends show the same digits, as the user says.
    Same(bool),
    /// The next bytes of a job's pipe; none at its end.
    Data {
        /// The front-end's number of the job.
        job: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

/// What a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendMode {
    /// Files, which are queued if the peer cannot be reached.
    Queue,
    /// Files of a command, which fails if the peer cannot be reached.
    Now,
    /// What comes out of a pipe of a command, of which so many bytes are kept until the peer has them.
    Pipe(u64),
}

impl SendMode {
    fn encode(self, out: &mut Vec<u8>) {
        let (mode, kept) = match self {
            SendMode::Queue => (0, 0),
            SendMode::Now => (1, 0),
            SendMode::Pipe(kept) => (2, kept),
        };
        out.put_u8(mode);
        out.put_u64(kept);
    }

    fn decode(fields: &mut FieldReader) -> Result<SendMode, Malformed> {
        match (fields.u8("mode")?, fields.u64("kept bytes")?) {
            (0, 0) => Ok(SendMode::Queue),
            (1, 0) => Ok(SendMode::Now),
            (2, kept) => Ok(SendMode::Pipe(kept)),
            _ => Err(Malformed("mode")),
        }
    }
}

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferWay {
    /// From the peer.
    In = 0,
    /// To the peer.
    Out = 1,
    /// To the peer, as a job of the front-end that is told.
    Own = 2,
}

/// A transfer as the node tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its number.
    pub number: u64,
    /// The peer's name.
    pub peer: String,
    /// Which way it goes, and whose it is.
    pub way: TransferWay,
    /// What is moved, in one line that is safe to show.
    pub title: String,
    /// All bytes, or [`UNKNOWN`].
    pub total: u64,
    /// Bytes on the other side.
    pub done: u64,
    /// Bytes of an earlier try that were compared.
    pub checked: u64,
    /// Bytes in a second.
    pub rate: u64,
    /// The other side has taken it: bytes can move.
    pub is_taken: bool,
}

/// An offer as the node tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingOffer {
    /// Its number.
    pub number: u64,
    /// The name of the peer who offers.
    pub peer: String,
    /// What, in one line that is safe to show.
    pub title: String,
    /// How many files.
    pub files: u64,
    /// Their bytes, or [`UNKNOWN`].
    pub bytes: u64,
    /// When it ends without an answer, in seconds of Unix time.
    pub until: u64,
    /// What is to be known of names at the top that begin with a dot, in one line that is safe to show; empty if there are
    /// none.
    pub dots: String,
    /// Bytes that are here from an earlier try.
    pub held: u64,
    /// Where its files go unless the answer names another directory, in one line that is safe to show.
    pub place: String,
}

/// Files that the node was to send, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobReport {
    /// The front-end's number of the job.
    pub number: u64,
    /// What became of it.
    pub outcome: JobOutcome,
    /// Bytes that it has.
    pub bytes: u64,
    /// Bytes that the peer had before.
    pub held: u64,
    /// Connections that brought it.
    pub lanes: u64,
    /// How long it took.
    pub milliseconds: u64,
    /// What it is, in one line that is safe to show.
    pub title: String,
}

impl JobReport {
    /// A report on a job of which nothing was counted.
    pub fn without_count(number: u64, outcome: JobOutcome) -> JobReport {
        JobReport { number, outcome, bytes: 0, held: 0, lanes: 0, milliseconds: 0, title: String::new() }
    }
}

/// What became of files that the node was to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// The peer has them.
    Sent,
    /// The peer cannot be reached; they are queued.
    Queued,
    /// They were not sent.
    Failed {
        /// The reason.
        why: String,
        /// The next step; empty where there is none.
        hint: String,
        /// The exit status of a command that fails so.
        status: u8,
    },
    /// A user stopped them.
    Stopped,
}

/// From the node to a front-end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// The version of the node.
    Version(String),
    /// A log has grown.
    Look,
    /// All of the state was told.
    Ready,
    /// A peer is connected, or is not any more.
    Peer {
        /// The peer.
        key: PublicKey,
        /// It is connected.
        is_here: bool,
        /// It has dialled the node for its messages, and would collect files.
        collects: bool,
        /// Since when, in seconds of Unix time.
        since: u64,
        /// The way that the connection took.
        path: Path,
        /// The address at its other end.
        address: String,
    },
    /// How far a transfer is.
    Transfer(Transfer),
    /// A transfer has ended.
    Ended(u64),
    /// Files wait for an answer.
    Offer(PendingOffer),
    /// An offer waits no more.
    Decided(u64),
    /// The node listens here.
    Address(String),
    /// What became of a job of this front-end.
    Job(JobReport),
    /// The seed of the identity.
    Seed([u8; 32]),
    /// The node gives the seed to nobody any more.
    Forgotten,
    /// Somebody is there: the user is to compare these digits.
    Digits {
        /// What it calls itself.
        name: String,
        /// Where it is.
        address: String,
        /// The digits, as they are shown.
        digits: String,
    },
    /// The wait has ended with this peer.
    Paired(PublicKey),
    /// The wait has ended, and nobody was saved.
    Unpaired {
        /// The reason.
        why: String,
        /// The next step; empty where there is none.
        hint: String,
    },
    /// Somebody has come whose digits were not compared.
    Tried {
        /// It has left; else it was refused, because another one was there.
        is_left: bool,
    },
}

fn key(fields: &mut FieldReader) -> Result<PublicKey, Malformed> {
    PublicKey::from_bytes(fields.array("key")?).map_err(|_| Malformed("key"))
}

fn flag(fields: &mut FieldReader, name: &'static str) -> Result<bool, Malformed> {
    match fields.u8(name)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed(name)),
    }
}

fn rest(fields: &mut FieldReader, name: &'static str) -> Result<String, Malformed> {
    String::from_utf8(fields.rest().to_vec()).map_err(|_| Malformed(name))
}

fn short(fields: &mut FieldReader, name: &'static str) -> Result<String, Malformed> {
    let length = fields.u16(name)?.into();
    fields.text(length, name).map(str::to_owned)
}

/// Appends a text and its length; one that is too long loses its end.
fn put_short(out: &mut Vec<u8>, text: &str) {
    let end = (0..=text.len().min(1024)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    out.put_u16(end as u16);
    out.put(&text.as_bytes()[..end]);
}

/// Frames a body.
fn frame(kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![kind, 0, 0, 0, 0];
    body(&mut out);
    let length = (out.len() - 5) as u32;
    out[1..5].copy_from_slice(&length.to_be_bytes());
    out
}

impl Up {
    /// The whole message, header and body.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Up::Version(version) => frame(1, |out| out.put(version.as_bytes())),
            Up::Ring(peer) => frame(2, |out| match peer {
                Some(peer) => out.put(peer.as_bytes()),
                None => out.put(&[0; 32]),
            }),
            Up::Watch { asks } => frame(3, |out| out.put_u8(u8::from(*asks))),
            Up::Accept { offer, dir } => frame(4, |out| {
                out.put_u64(*offer);
                out.put(dir.as_deref().unwrap_or_default().as_bytes());
            }),
            Up::Refuse(offer) => frame(5, |out| out.put_u64(*offer)),
            Up::Stop(transfer) => frame(6, |out| out.put_u64(*transfer)),
            Up::Dial(peer) => frame(7, |out| out.put(peer.as_bytes())),
            Up::Send { job, peer, mode, name, paths } => frame(8, |out| {
                out.put_u64(*job);
                out.put(peer.as_bytes());
                mode.encode(out);
                put_short(out, name);
                for path in paths {
                    let bytes = path.as_os_str().as_encoded_bytes();
                    out.put_u16(bytes.len() as u16);
                    out.put(bytes);
                }
            }),
            Up::Unseal => frame(9, |_| ()),
            Up::Forget => frame(10, |_| ()),
            Up::Nearby { waits } => frame(12, |out| out.put_u8(u8::from(*waits))),
            Up::Same(is_same) => frame(13, |out| out.put_u8(u8::from(*is_same))),
            Up::Data { job, bytes } => frame(11, |out| {
                out.put_u64(*job);
                out.put(bytes);
            }),
        }
    }

    /// Decodes the body of a message of type `kind`. `path_of` makes a path of its bytes, if it can be one here.
    pub fn decode(
        kind: u8,
        body: &[u8],
        path_of: impl Fn(&[u8]) -> Option<PathBuf>,
    ) -> Result<Up, Malformed> {
        let mut fields = FieldReader::new(body);
        let message = match kind {
            1 => Up::Version(rest(&mut fields, "version")?),
            2 if body == [0; 32] => return Ok(Up::Ring(None)),
            2 => Up::Ring(Some(key(&mut fields)?)),
            3 => Up::Watch { asks: flag(&mut fields, "asks")? },
            4 => Up::Accept {
                offer: fields.u64("offer")?,
                dir: Some(rest(&mut fields, "directory")?).filter(|dir| !dir.is_empty()),
            },
            5 => Up::Refuse(fields.u64("offer")?),
            6 => Up::Stop(fields.u64("transfer")?),
            7 => Up::Dial(key(&mut fields)?),
            8 => {
                let (job, peer) = (fields.u64("job")?, key(&mut fields)?);
                let mode = SendMode::decode(&mut fields)?;
                let name = short(&mut fields, "name")?;
                let mut paths = Vec::new();
                while !fields.is_empty() {
                    let length = fields.u16("path length")?.into();
                    paths.push(path_of(fields.take(length, "path")?).ok_or(Malformed("path"))?);
                }
                Up::Send { job, peer, mode, name, paths }
            }
            9 => Up::Unseal,
            10 => Up::Forget,
            12 => Up::Nearby { waits: flag(&mut fields, "waits")? },
            13 => Up::Same(flag(&mut fields, "same")?),
            11 => Up::Data { job: fields.u64("job")?, bytes: fields.rest().to_vec() },
            _ => return Err(Malformed("message type")),
        };
        fields.expect_empty("bytes behind the message")?;
        Ok(message)
    }
}

impl Down {
    /// The whole message, header and body.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Down::Version(version) => frame(1, |out| out.put(version.as_bytes())),
            Down::Look => frame(32, |_| ()),
            Down::Ready => frame(33, |_| ()),
            Down::Peer { key, is_here, collects, since, path, address } => frame(34, |out| {
                out.put(key.as_bytes());
                out.put_u8(u8::from(*is_here));
                out.put_u8(u8::from(*collects));
                out.put_u64(*since);
                out.put_u8(*path as u8);
                out.put(address.as_bytes());
            }),
            Down::Transfer(transfer) => frame(35, |out| {
                out.put_u64(transfer.number);
                out.put_u8(transfer.way as u8);
                for number in [transfer.total, transfer.done, transfer.checked, transfer.rate] {
                    out.put_u64(number);
                }
                out.put_u8(u8::from(transfer.is_taken));
                put_short(out, &transfer.peer);
                put_short(out, &transfer.title);
            }),
            Down::Ended(transfer) => frame(36, |out| out.put_u64(*transfer)),
            Down::Offer(offer) => frame(37, |out| {
                for number in [offer.number, offer.files, offer.bytes, offer.until] {
                    out.put_u64(number);
                }
                for text in [&offer.peer, &offer.title, &offer.dots] {
                    put_short(out, text);
                }
                out.put_u64(offer.held);
                put_short(out, &offer.place);
            }),
            Down::Decided(offer) => frame(38, |out| out.put_u64(*offer)),
            Down::Address(address) => frame(39, |out| out.put(address.as_bytes())),
            Down::Job(job) => frame(40, |out| {
                out.put_u64(job.number);
                let (code, status, hint, why) = match &job.outcome {
                    JobOutcome::Sent => (0, 0, "", ""),
                    JobOutcome::Queued => (1, 0, "", ""),
                    JobOutcome::Failed { why, hint, status } => (2, *status, hint.as_str(), why.as_str()),
                    JobOutcome::Stopped => (3, 0, "", ""),
                };
                out.put(&[code, status]);
                for number in [job.bytes, job.held, job.lanes, job.milliseconds] {
                    out.put_u64(number);
                }
                put_short(out, &job.title);
                put_short(out, hint);
                out.put(why.as_bytes());
            }),
            Down::Seed(seed) => frame(41, |out| out.put(seed)),
            Down::Forgotten => frame(42, |_| ()),
            Down::Digits { name, address, digits } => frame(43, |out| {
                put_short(out, name);
                put_short(out, address);
                out.put(digits.as_bytes());
            }),
            Down::Paired(key) => frame(44, |out| out.put(key.as_bytes())),
            Down::Unpaired { why, hint } => frame(45, |out| {
                put_short(out, hint);
                out.put(why.as_bytes());
            }),
            Down::Tried { is_left } => frame(46, |out| out.put_u8(u8::from(*is_left))),
        }
    }

    /// Decodes the body of a message of type `kind`.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Down, Malformed> {
        let mut fields = FieldReader::new(body);
        let message = match kind {
            1 => Down::Version(rest(&mut fields, "version")?),
            32 => Down::Look,
            33 => Down::Ready,
            34 => Down::Peer {
                key: key(&mut fields)?,
                is_here: flag(&mut fields, "state")?,
                collects: flag(&mut fields, "collects")?,
                since: fields.u64("since")?,
                path: *Path::ALL.get(usize::from(fields.u8("path")?)).ok_or(Malformed("path"))?,
                address: rest(&mut fields, "address")?,
            },
            35 => {
                let number = fields.u64("transfer")?;
                let way = match fields.u8("direction")? {
                    0 => TransferWay::In,
                    1 => TransferWay::Out,
                    2 => TransferWay::Own,
                    _ => return Err(Malformed("direction")),
                };
                let (total, done) = (fields.u64("total")?, fields.u64("done")?);
                let (checked, rate) = (fields.u64("checked")?, fields.u64("rate")?);
                let is_taken = flag(&mut fields, "taken")?;
                let (peer, title) = (short(&mut fields, "peer")?, short(&mut fields, "title")?);
                Down::Transfer(Transfer { number, peer, way, title, total, done, checked, rate, is_taken })
            }
            36 => Down::Ended(fields.u64("transfer")?),
            37 => {
                let (number, files) = (fields.u64("offer")?, fields.u64("files")?);
                let (bytes, until) = (fields.u64("bytes")?, fields.u64("until")?);
                let (peer, title) = (short(&mut fields, "peer")?, short(&mut fields, "title")?);
                let dots = short(&mut fields, "dot names")?;
                let (held, place) = (fields.u64("held bytes")?, short(&mut fields, "place")?);
                Down::Offer(PendingOffer { number, peer, title, files, bytes, until, dots, held, place })
            }
            38 => Down::Decided(fields.u64("offer")?),
            39 => Down::Address(rest(&mut fields, "address")?),
            40 => {
                let (number, code, status) =
                    (fields.u64("job")?, fields.u8("outcome")?, fields.u8("status")?);
                let (bytes, held) = (fields.u64("bytes")?, fields.u64("held")?);
                let (lanes, milliseconds) = (fields.u64("lanes")?, fields.u64("milliseconds")?);
                let (title, hint) = (short(&mut fields, "title")?, short(&mut fields, "hint")?);
                let why = rest(&mut fields, "reason")?;
                let outcome = match code {
                    0 => JobOutcome::Sent,
                    1 => JobOutcome::Queued,
                    2 => JobOutcome::Failed { why, hint, status },
                    3 => JobOutcome::Stopped,
                    _ => return Err(Malformed("outcome")),
                };
                Down::Job(JobReport { number, outcome, bytes, held, lanes, milliseconds, title })
            }
            41 => Down::Seed(fields.array("seed")?),
            42 => Down::Forgotten,
            43 => Down::Digits {
                name: short(&mut fields, "name")?,
                address: short(&mut fields, "address")?,
                digits: rest(&mut fields, "digits")?,
            },
            44 => Down::Paired(key(&mut fields)?),
            45 => {
                let hint = short(&mut fields, "hint")?;
                Down::Unpaired { why: rest(&mut fields, "reason")?, hint }
            }
            46 => Down::Tried { is_left: flag(&mut fields, "left")? },
            _ => return Err(Malformed("message type")),
        };
        fields.expect_empty("bytes behind the message")?;
        Ok(message)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    fn peer() -> PublicKey {
        Seed::from_bytes([1; 32]).static_keys().public()
    }

    fn path_of(bytes: &[u8]) -> Option<PathBuf> {
        std::str::from_utf8(bytes).ok().map(PathBuf::from)
    }

    #[test]
    fn a_front_end_is_understood() {
        for message in [
            Up::Version("0.1.0".into()),
            Up::Ring(None),
            Up::Ring(Some(peer())),
            Up::Watch { asks: true },
            Up::Accept { offer: 7, dir: None },
            Up::Accept { offer: 7, dir: Some("/tmp/a b".into()) },
            Up::Refuse(8),
            Up::Stop(9),
            Up::Dial(peer()),
            Up::Send {
                job: 1,
                peer: peer(),
                mode: SendMode::Pipe(1 << 30),
                name: "c".into(),
                paths: vec!["/a".into(), "/b c".into()],
            },
            Up::Unseal,
            Up::Forget,
            Up::Data { job: 1, bytes: vec![1, 2, 3] },
            Up::Data { job: 1, bytes: Vec::new() },
            Up::Nearby { waits: true },
            Up::Same(false),
        ] {
            let bytes = message.encode();
            assert_eq!(Up::decode(bytes[0], &bytes[5..], path_of).as_ref(), Ok(&message));
            assert_eq!(bytes[1..5], ((bytes.len() - 5) as u32).to_be_bytes());
        }
        for (kind, body) in
            [(0, &[][..]), (2, &[1; 31]), (3, &[2]), (5, &[0; 9]), (8, &[0; 40]), (9, &[0]), (10, &[0])]
        {
            assert!(Up::decode(kind, body, path_of).is_err(), "{kind} {body:?}");
        }
    }

    #[test]
    fn a_node_is_understood() {
        let transfer = Transfer {
            number: 3,
            peer: "bob".into(),
            way: TransferWay::Own,
            title: "photos/".into(),
            total: UNKNOWN,
            done: 5,
            checked: 6,
            rate: 7,
            is_taken: true,
        };
        let offer = PendingOffer {
            number: 4,
            peer: "bob".into(),
            title: "photos/".into(),
            files: 12,
            bytes: 40,
            until: 1 << 31,
            dots: "1 name".into(),
            held: 17,
            place: "/srv/in".into(),
        };
        let job = |outcome| {
            Down::Job(JobReport {
                number: 1,
                outcome,
                bytes: 9,
                held: 3,
                lanes: 2,
                milliseconds: 8,
                title: "photos/".into(),
            })
        };
        for message in [
            Down::Version("0.1.0".into()),
            Down::Look,
            Down::Ready,
            Down::Peer {
                key: peer(),
                is_here: true,
                collects: true,
                since: 9,
                path: Path::Proxy,
                address: "192.0.2.1:4628".into(),
            },
            Down::Transfer(transfer),
            Down::Ended(3),
            Down::Offer(offer),
            Down::Decided(4),
            Down::Address("[::]:4628".into()),
            job(JobOutcome::Sent),
            job(JobOutcome::Queued),
            job(JobOutcome::Failed { why: "no".into(), hint: "so".into(), status: 69 }),
            job(JobOutcome::Stopped),
            Down::Seed([7; 32]),
            Down::Forgotten,
            Down::Digits { name: "bob".into(), address: "192.0.2.1".into(), digits: "000 123".into() },
            Down::Paired(peer()),
            Down::Unpaired { why: "no".into(), hint: String::new() },
            Down::Tried { is_left: true },
        ] {
            let bytes = message.encode();
            assert_eq!(Down::decode(bytes[0], &bytes[5..]).as_ref(), Ok(&message));
        }
        for (kind, body) in
            [(0, &[][..]), (35, &[0; 40]), (36, &[0; 7]), (40, &[9; 17]), (41, &[0; 31]), (42, &[0])]
        {
            assert!(Down::decode(kind, body).is_err(), "{kind} {body:?}");
        }
    }
}
