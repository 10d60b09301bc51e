//! The sending end of a transfer: which files, and their bytes in chunks. It leaves out whom to dial.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::crypto::random_array;
use crate::error::{Error, Result, reason};
use crate::net::session::Session;
use crate::store::file::read_at;
use crate::text;
use crate::transfer::manifest::{Cursor, Entry, Manifest, Piece};
use crate::transfer::path::SafePath;
use crate::wire::message::{CHUNK, Declined, Failure, Message};

/// Files that can be sent, and what they looked like when they were chosen.
pub struct Sources {
    paths: Vec<PathBuf>,
    /// When each was changed last, as exactly as the system knows: a change within a second must show.
    changed: Vec<Option<SystemTime>>,
    manifest: Manifest,
}

fn refuse(path: &Path, why: impl Into<String>) -> Error {
    Error::Source { path: text::clean_line(&path.to_string_lossy()), why: why.into() }
}

impl Sources {
    /// Looks at every file; each goes under its own name.
    pub fn choose(paths: &[PathBuf]) -> Result<Sources> {
        let described = paths.iter().map(|path| describe(path)).collect::<Result<Vec<_>>>()?;
        let (entries, changed) = described.into_iter().unzip();
        let manifest =
            Manifest::new(entries).map_err(|why| Error::failed(format!("cannot send these files: {why}")))?;
        Ok(Sources { paths: paths.to_vec(), changed, manifest })
    }

    /// What they add up to.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

fn describe(path: &Path) -> Result<(Entry, Option<SystemTime>)> {
    let name = path.file_name().ok_or_else(|| refuse(path, "it has no name of its own"))?;
    let name = name.to_str().ok_or_else(|| refuse(path, "its name is not UTF-8; rename it"))?;
    let safe =
        SafePath::parse(name).map_err(|rule| refuse(path, format!("its name cannot travel: {rule}")))?;
    // Opened, not just looked at: a file that cannot be read is found before anybody is dialled. A FIFO would block.
    let data = std::fs::metadata(path).map_err(|cause| refuse(path, reason(&cause)))?;
    if data.is_dir() {
        return Err(refuse(path, "it is a directory; pack it first, as with tar"));
    }
    if !data.is_file() {
        return Err(refuse(path, "it is not a regular file"));
    }
    File::open(path).map_err(|cause| refuse(path, reason(&cause)))?;
    let entry = Entry {
        path: safe,
        is_dir: false,
        executable: is_executable(&data),
        modified: modified(&data),
        size: data.len(),
    };
    Ok((entry, data.modified().ok()))
}

fn is_executable(data: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o100 != 0;
    #[cfg(not(unix))]
    return data.is_symlink();
}

/// Seconds of Unix time, also before 1970; 0 where the system has no such time.
fn modified(data: &std::fs::Metadata) -> i64 {
    let Ok(time) = data.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    }
}

/// Reads chunks from the sources; one file is open at a time.
struct Chunks<'a> {
    sources: &'a Sources,
    cursor: Cursor,
    open: Option<(usize, File)>,
}

impl Chunks<'_> {
    fn read(&mut self, index: u64, chunk: &mut Vec<u8>) -> Result<()> {
        chunk.clear();
        for piece in self.sources.manifest.pieces(&mut self.cursor, index) {
            let start = chunk.len();
            chunk.resize(start + piece.length, 0);
            self.read_piece(&piece, &mut chunk[start..])?;
        }
        Ok(())
    }

    fn read_piece(&mut self, piece: &Piece, bytes: &mut [u8]) -> Result<()> {
        let path = &self.sources.paths[piece.entry];
        let entry = &self.sources.manifest.entries()[piece.entry];
        if self.open.as_ref().is_none_or(|(open, _)| *open != piece.entry) {
            let file = File::open(path).map_err(|cause| refuse(path, reason(&cause)))?;
            self.open = Some((piece.entry, file));
        }
        let Some((_, file)) = &self.open else { return Err(refuse(path, "it is not open")) };
        let got = read_at(file, bytes, piece.offset).map_err(|cause| refuse(path, reason(&cause)))?;
        // Its last piece is only sent if the file is still what was promised: a torn copy is an error.
        let is_last = piece.offset + piece.length as u64 == entry.size;
        let data = file.metadata().map_err(|cause| refuse(path, reason(&cause)))?;
        let changed = data.len() != entry.size || data.modified().ok() != self.sources.changed[piece.entry];
        if got < bytes.len() || (is_last && changed) {
            Err(refuse(path, "it changed while it was sent"))
        } else {
            Ok(())
        }
    }
}

/// Sends the files over an accepted session; when it returns, they are in place on the receiver's disk. `progress`
/// learns the bytes sent so far.
pub fn send(mut session: Session, sources: &Sources, mut progress: impl FnMut(u64)) -> Result<()> {
    offer(&mut session, &sources.manifest)?;
    let mut chunks = Chunks { sources, cursor: Cursor::default(), open: None };
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut sent = 0;
    for index in 0..sources.manifest.chunks() {
        if let Err(error) = chunks.read(index, &mut chunk) {
            session.finish(&Message::Failed(Failure::Source))?;
            return Err(error);
        }
        session.write(&Message::Chunk { index, data: &chunk })?;
        sent += chunk.len() as u64;
        progress(sent);
        if session.has_input()? {
            break;
        }
    }
    // If the receiver has said something already, this END is not read any more, and does no harm.
    session.write(&Message::End)?;
    session.flush()?;
    stored(session)
}

fn offer(session: &mut Session, manifest: &Manifest) -> Result<()> {
    let entries = manifest.entries().len() as u32;
    session.write(&Message::Offer { transfer: random_array(), entries, bytes: manifest.bytes() })?;
    for part in manifest.parts() {
        session.write(&Message::Manifest(&part))?;
    }
    session.flush()?;
    let declined = session.read_as("waiting for the files to be taken", |message| match message {
        Message::Take => Some(None),
        Message::Decline(reason) => Some(Some(reason)),
        _ => None,
    })?;
    let Some(reason) = declined else { return Ok(()) };
    let peer = session.label().to_owned();
    Err(match reason {
        Declined::Manifest => {
            Error::Refused { peer, why: "a name or size breaks its rules".into(), hint: None }
        }
        Declined::TooLarge => Error::Refused {
            peer,
            why: format!("{} is more than it takes", text::size(manifest.bytes())),
            hint: Some("they can allow more: `egoat serve --max-file SIZE`".into()),
        },
        Declined::Full => Error::Remote { peer, why: "its disk is full", disk: true },
        Declined::Disk => Error::Remote { peer, why: "it cannot write where files land", disk: true },
    })
}

fn stored(mut session: Session) -> Result<()> {
    const DURING: &str = "waiting for the files to be on disk";
    loop {
        match session.read(DURING)? {
            Message::Stored => return session.finish(&Message::Bye),
            Message::Ping => {}
            Message::Failed(failure) => {
                let (why, disk) = match failure {
                    Failure::Full => ("its disk is full", true),
                    Failure::Disk => ("its disk failed", true),
                    Failure::Source => ("it lost track of the files", false),
                };
                return Err(Error::Remote { peer: session.label().to_owned(), why, disk });
            }
            other => {
                let kind = other.kind();
                return Err(session.unexpected(kind, DURING));
            }
        }
        session.send(&Message::Pong)?;
    }
}
