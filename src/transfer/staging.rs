//! Where files wait to be whole: their [`Landing`], with a map of the chunks that are there. They come to their names when
//! all of them are whole and on disk, and stay for the next try when the connection is lost. It leaves out connections.
//!
//! ```text
//! PLACE/.egoat-ID/lock     locked by whoever works on it
//! PLACE/.egoat-ID/map      a byte for each chunk: 1 if it was written
//! PLACE/.egoat-ID/names    what directories are to be called, while they get their names
//! PLACE/.egoat-ID/files/   the files and directories under the names that they were offered with
//! ```
//!
//! The map is no promise: what it claims is proven by hash before the sender leaves it out. So it needs no sync.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::crypto::Hasher;
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::folder::{Folder, Walk};
use crate::store::syncer::{self, Syncer};
use crate::transfer::landing::{Landing, Received};
use crate::transfer::manifest::{Entry, Manifest, Span};
use crate::wire::message::{CHUNK, PIECE};

/// Written bytes after which a file is synced in between, so that the last sync is short: the sender waits for it, and
/// takes a minute of silence for the end.
const SYNC_EVERY: u64 = 32 << 20;

/// Chunks of a transfer at the most, 15 TiB: each takes a byte of memory, and a manifest can claim any size.
pub const MAX_CHUNKS: u64 = 1 << 26;

/// The states of a chunk.
const MISSING: u8 = 0;
/// From an earlier try.
const HELD: u8 = 1;
/// Some connection has brought it.
const WRITTEN: u8 = 2;
/// Some connection has begun to bring it.
const BEGUN: u8 = 3;

/// Files on their way to their place.
pub struct Staging {
    manifest: Manifest,
    landing: Landing,
    map: File,
    map_path: PathBuf,
    chunks: Vec<AtomicU8>,
    /// Files that were written in one go, and have their time.
    finished: Vec<AtomicBool>,
    /// Syncs them, while others arrive.
    syncer: Syncer,
    /// A sync failed.
    spoiled: AtomicBool,
    /// A chunk comes twice, at least in part, so its files may be there.
    has_repeated: AtomicBool,
    /// Files that were created, of several chunks or in a transfer that goes on; whoever creates one holds the lock.
    created: Mutex<HashSet<usize>>,
}

impl Staging {
    /// Makes ready for the files of the manifest, or finds what an earlier try left of them.
    pub fn new(landing: Landing, manifest: Manifest) -> Result<Staging> {
        let opened = landing.open_map().and_then(|(map_path, map)| {
            let mut states = vec![MISSING; manifest.chunks() as usize];
            file::read_at(&map, &mut states, 0).map_err(Error::disk(Verb::Read, &map_path))?;
            Ok((map_path, map, states))
        });
        let (map_path, map, states) = opened.inspect_err(|_| landing.discard_if_new())?;
        let staging = Staging {
            created: Mutex::default(),
            chunks: states.into_iter().map(|state| AtomicU8::new(state.min(HELD))).collect(),
            finished: manifest.entries().iter().map(|_| AtomicBool::new(false)).collect(),
            syncer: Syncer::default(),
            spoiled: AtomicBool::new(false),
            has_repeated: AtomicBool::new(false),
            manifest,
            landing,
            map,
            map_path,
        };
        staging.create_dirs().inspect_err(|_| staging.landing.discard_if_new())?;
        Ok(staging)
    }

    /// The folder that it is in.
    pub fn landing(&self) -> &Landing {
        &self.landing
    }

    /// What is staged.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn create_dirs(&self) -> Result<()> {
        let mut walk = self.walk();
        for (dir, _) in self.dirs() {
            let whole = self.landing.files().path().join(dir);
            self.create_dir(&mut walk, dir).map_err(Error::disk(Verb::Create, &whole))?;
        }
        Ok(())
    }

    /// All directories, also those that the manifest does not list by themselves, the upper ones first. With each its own
    /// entry, or one that leads to it.
    fn dirs(&self) -> Vec<(&str, usize)> {
        let mut places = HashMap::new();
        let mut dirs = Vec::new();
        for (index, entry) in self.manifest.entries().iter().enumerate() {
            let path = entry.path.as_str();
            let ends = path.match_indices('/').map(|(end, _)| end).chain(entry.is_dir.then_some(path.len()));
            for dir in ends.map(|end| &path[..end]) {
                let place = *places.entry(dir).or_insert(dirs.len());
                if place == dirs.len() {
                    dirs.push((dir, index));
                } else if dir == path {
                    // What lies in it was listed before it.
                    dirs[place].1 = index;
                }
            }
        }
        dirs
    }

    /// Makes a directory, which may be there from an earlier try.
    fn create_dir(&self, walk: &mut Walk<&Folder>, dir: &str) -> io::Result<()> {
        let (parent, name) = dir.rsplit_once('/').unwrap_or(("", dir));
        match walk.to(parent)?.create_folder(name) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && self.landing.is_resumed() => {
                walk.to(dir).map(drop)
            }
            made => made,
        }
    }

    /// To the directories of the files.
    fn walk(&self) -> Walk<&Folder> {
        Walk::from(self.landing.files())
    }

    /// Where a file is, for people.
    fn staged(&self, entry: usize) -> PathBuf {
        self.manifest.entries()[entry].path.join_to(self.landing.files().path())
    }

    /// Runs of chunks from an earlier try, of at most `most` chunks each.
    pub fn held(&self, most: u64) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (index, state) in self.chunks.iter().enumerate() {
            let index = index as u64;
            match runs.last_mut() {
                _ if state.load(Ordering::Relaxed) != HELD => {}
                Some(run) if run.end == index && index - run.start < most => run.end += 1,
                _ => runs.push(index..index + 1),
            }
        }
        runs
    }

    /// BLAKE2b-256 of the bytes of `run`; `None` when they are not all there any more.
    pub fn hash(&self, run: &Range<u64>) -> Option<[u8; 32]> {
        let mut hasher = Hasher::default();
        let mut open: Option<(usize, File)> = None;
        let mut walk = self.walk();
        let mut buffer = vec![0; PIECE];
        let end = (run.end * CHUNK as u64).min(self.manifest.bytes());
        let mut at = run.start * CHUNK as u64;
        while at < end {
            let length = (end - at).min(PIECE as u64) as usize;
            self.manifest
                .spans(at, length, |span| {
                    let file = match open.take() {
                        Some((entry, file)) if entry == span.entry => file,
                        _ => self.open_staged(&mut walk, span.entry)?,
                    };
                    let got = file::read_at(&file, &mut buffer[..span.length], span.offset)?;
                    hasher.update(&buffer[..got]);
                    open = Some((span.entry, file));
                    if got == span.length {
                        Ok(())
                    } else {
                        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
                    }
                })
                .ok()?;
            at += length as u64;
        }
        Some(hasher.finish())
    }

    /// The chunks of `run` are not there after all.
    pub fn forget(&self, run: &Range<u64>) {
        for index in run.clone() {
            self.chunks[index as usize].store(MISSING, Ordering::Relaxed);
        }
    }

    fn is(&self, index: u64, state: u8) -> bool {
        self.chunks[index as usize].load(Ordering::Relaxed) == state
    }

    /// Whether every chunk is here, as far as the map goes.
    pub fn is_complete(&self) -> bool {
        (0..self.manifest.chunks()).all(|index| self.is(index, HELD) || self.is(index, WRITTEN))
    }

    /// The chunk that starts at `at`, which a connection begins to bring. `None` if there is none, or if it was begun before,
    /// unless chunks `may_repeat`: then two connections may write it at once, which are the same bytes.
    pub fn begin_chunk(&self, at: u64, may_repeat: bool) -> Option<u64> {
        let index = at / CHUNK as u64;
        let chunk = self.chunks.get(usize::try_from(index).ok()?)?;
        if !at.is_multiple_of(CHUNK as u64) {
            return None;
        }
        let begin = |state| (state < WRITTEN).then_some(BEGUN);
        if chunk.fetch_update(Ordering::SeqCst, Ordering::SeqCst, begin).is_err() {
            // Before a file of it is opened.
            self.has_repeated.fetch_or(may_repeat, Ordering::SeqCst);
            return may_repeat.then_some(index);
        }
        Some(index)
    }

    /// Whether a connection has brought the whole chunk.
    pub fn is_written(&self, index: u64) -> bool {
        self.is(index, WRITTEN)
    }

    /// A connection has written the whole chunk; `false` if another one had done so before.
    pub fn finish_chunk(&self, index: u64) -> Result<bool> {
        if self.chunks[index as usize].swap(WRITTEN, Ordering::Relaxed) == WRITTEN {
            return Ok(false);
        }
        self.note_chunk(index).map(|()| true)
    }

    fn note_chunk(&self, index: u64) -> Result<()> {
        file::write_all_at(&self.map, &[HELD], index).map_err(Error::disk(Verb::Write, &self.map_path))?;
        if self.spoiled.load(Ordering::SeqCst) {
            self.empty_map();
        }
        Ok(())
    }

    /// Writes bytes to their places; each connection has its own.
    pub fn writer(&self) -> ChunkWriter<'_> {
        ChunkWriter { staging: self, open: None, walk: self.walk() }
    }

    /// An existing file, and no link to one.
    fn open_staged(&self, walk: &mut Walk<&Folder>, index: usize) -> io::Result<File> {
        let path = &self.manifest.entries()[index].path;
        walk.to(path.parent())?.open_file(path.file_name())
    }

    /// Creates the file of an entry, or opens it when another connection, or an earlier try, has created it.
    fn open_entry(&self, walk: &mut Walk<&Folder>, index: usize) -> io::Result<File> {
        let entry = &self.manifest.entries()[index];
        let folder = walk.to(entry.path.parent())?;
        let start = self.manifest.start(index);
        // One of no bytes is kept: an earlier try may have given it its name, by which it is known.
        let is_in_one_chunk =
            entry.size > 0 && start / CHUNK as u64 == (start + entry.size - 1) / CHUNK as u64;
        let is_there = |cause: &io::Error| cause.kind() == io::ErrorKind::AlreadyExists;
        if is_in_one_chunk && !self.landing.is_resumed() {
            return match create(folder, entry) {
                // Another connection brings the same bytes, and may be writing them still: the file stays the one it is.
                Err(cause) if is_there(&cause) && self.has_repeated.load(Ordering::SeqCst) => {
                    folder.open_file(entry.path.file_name())
                }
                created => created,
            };
        }
        // Held until the file is made: nobody removes what another connection has just made.
        let mut created = self.created.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if created.contains(&index) {
            return folder.open_file(entry.path.file_name());
        }
        let file = match create(folder, entry) {
            Err(cause) if is_there(&cause) && self.landing.is_resumed() => {
                if is_in_one_chunk {
                    // Its chunk was under way when the earlier try ended.
                    folder.remove_file(entry.path.file_name())?;
                    create(folder, entry)?
                } else {
                    folder.open_file(entry.path.file_name())?
                }
            }
            made => made?,
        };
        created.insert(index);
        Ok(file)
    }

    /// Syncs every file and gives all their names. `meanwhile` is called now and then.
    pub fn publish(&self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<Vec<Received>> {
        self.finish_files(&mut meanwhile)?;
        self.finish_dirs(&mut meanwhile)?;
        self.syncer.finish(&mut meanwhile)?.map_err(|failed| self.unsynced(failed))?;
        let seal = self.landing.seal(&self.manifest)?;
        let received = self.publish_tops(&seal, &mut meanwhile)?;
        self.landing.finish(&received, &seal)?;
        Ok(received)
    }

    /// The files that came in parts, and those of no bytes. Where a chunk came twice, all of them: the slower connection may
    /// have written to a file that was finished.
    fn finish_files(&self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        let mut walk = self.walk();
        for (index, entry) in self.manifest.entries().iter().enumerate() {
            let is_finished = self.finished[index].load(Ordering::Relaxed);
            if !entry.is_dir && (!is_finished || self.has_repeated.load(Ordering::SeqCst)) {
                let opened = self.open_whole(&mut walk, index, entry);
                self.finish_file(index, opened.map_err(Error::disk(Verb::Complete, &self.staged(index)))?)?;
                meanwhile()?;
            }
        }
        Ok(())
    }

    fn open_whole(&self, walk: &mut Walk<&Folder>, index: usize, entry: &Entry) -> io::Result<File> {
        let file =
            if entry.size == 0 { self.open_entry(walk, index)? } else { self.open_staged(walk, index)? };
        let length = file.metadata()?.len();
        if length > entry.size {
            // What is behind the file's end was not sent, and no other try would take it away.
            file.set_len(entry.size)?;
        }
        if length >= entry.size {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "somebody else has changed it"))
        }
    }

    /// Gives a whole file its time, and has it synced.
    fn finish_file(&self, index: usize, file: File) -> Result<()> {
        set_time(&file, &self.manifest.entries()[index]);
        self.finished[index].store(true, Ordering::Relaxed);
        self.syncer.sync(index, file).map_err(|failed| self.unsynced(failed))
    }

    /// Gives the directories their times, and has them synced.
    fn finish_dirs(&self, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        let mut walk = self.walk();
        for (dir, index) in self.dirs().into_iter().rev() {
            let entry = &self.manifest.entries()[index];
            let folder = walk.to(dir).map_err(Error::disk(Verb::Open, &self.staged(index)))?;
            if entry.path.as_str() == dir {
                let _ = folder.set_modified(time(entry.modified));
            }
            if let Some(handle) = folder.handle().map_err(Error::disk(Verb::Open, &self.staged(index)))? {
                self.syncer.sync(index, handle).map_err(|failed| self.unsynced(failed))?;
            }
            meanwhile()?;
        }
        Ok(())
    }

    /// What the disk has lost may still be in memory, where its hash would prove it: none of it counts for the next try.
    fn unsynced(&self, (index, cause): syncer::SyncFailure) -> Error {
        self.spoiled.store(true, Ordering::SeqCst);
        self.empty_map();
        Error::Disk { verb: Verb::Sync, path: self.staged(index), cause }
    }

    fn empty_map(&self) {
        // A disk that does not even do this has failed as a whole.
        let _ = self.map.set_len(0);
    }

    /// Everything that is at the top of the manifest, in its order.
    fn publish_tops(&self, seal: &str, mut meanwhile: impl FnMut() -> Result<()>) -> Result<Vec<Received>> {
        let mut publish = |(name, is_dir, size)| {
            meanwhile()?;
            Ok(Received { path: self.landing.publish(name, is_dir, seal)?, size })
        };
        self.manifest.tops().into_iter().map(&mut publish).collect()
    }
}

/// Writes the bytes of one connection; one file is open at a time.
pub struct ChunkWriter<'a> {
    staging: &'a Staging,
    open: Option<OpenFile>,
    walk: Walk<&'a Folder>,
}

struct OpenFile {
    entry: usize,
    file: File,
    /// Where the next byte goes, if all before it were written here too.
    next: Option<u64>,
    unsynced: u64,
}

impl ChunkWriter<'_> {
    /// Writes `data` to its place in the byte string.
    pub fn write(&mut self, at: u64, mut data: &[u8]) -> Result<()> {
        let staging = self.staging;
        staging.manifest.spans(at, data.len(), |span| {
            let (now, later) = data.split_at(span.length);
            data = later;
            self.write_span(span, now)
        })
    }

    fn write_span(&mut self, span: Span, data: &[u8]) -> Result<()> {
        let (staging, index) = (self.staging, span.entry);
        let failed = |verb| move |cause| Error::Disk { verb, path: staging.staged(index), cause };
        let mut open = match self.open.take() {
            Some(open) if open.entry == index => open,
            _ => self.open(index).map_err(failed(Verb::Create))?,
        };
        file::write_all_at(&open.file, data, span.offset).map_err(failed(Verb::Write))?;
        let end = span.offset + data.len() as u64;
        open.next = open.next.filter(|next| *next == span.offset).map(|_| end);
        open.unsynced += data.len() as u64;
        if open.next == Some(staging.manifest.entries()[index].size) {
            return staging.finish_file(index, open.file);
        }
        if open.unsynced >= SYNC_EVERY {
            open.file.sync_data().map_err(|cause| staging.unsynced((index, cause)))?;
            open.unsynced = 0;
        }
        self.open = Some(open);
        Ok(())
    }

    fn open(&mut self, entry: usize) -> io::Result<OpenFile> {
        let file = self.staging.open_entry(&mut self.walk, entry)?;
        Ok(OpenFile { entry, file, next: Some(0), unsynced: 0 })
    }
}

/// Creates a file that is not there.
pub fn create(folder: &Folder, entry: &Entry) -> io::Result<File> {
    let mut options = if entry.executable { file::private_executable() } else { file::private() };
    folder.create(entry.path.file_name(), &mut options)
}

fn time(nanoseconds: i64) -> SystemTime {
    let since = Duration::from_nanos(nanoseconds.unsigned_abs());
    let time = if nanoseconds < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
    // A time that this system cannot have is not worth refusing a file for.
    time.unwrap_or_else(SystemTime::now)
}

/// Gives a file its time, where that can be done.
pub fn set_time(file: &File, entry: &Entry) {
    let _ = file.set_modified(time(entry.modified));
}
