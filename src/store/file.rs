//! What std leaves to the platform, and the one way to replace a file: private modes, identity of an open file,
//! positioned reads and writes, the bytes of a path, atomic replacement. Elsewhere than on Unix plainer means do: the
//! user's profile directory is private there. Locks are in `store::lock`, the terminal's mode in `ui::terminal::tty`;
//! tests/layers.rs keeps platforms out of all other files.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::crypto::{base32, random_array};
use crate::store::open::{self, FileId};

/// Options that create files which only their owner can read.
pub fn private() -> OpenOptions {
    of_mode(0o600)
}

/// The same for files that can be run.
pub fn private_executable() -> OpenOptions {
    of_mode(0o700)
}

#[cfg(unix)]
fn of_mode(mode: u32) -> OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(&mut OpenOptions::new(), mode).clone()
}

#[cfg(not(unix))]
fn of_mode(_mode: u32) -> OpenOptions {
    OpenOptions::new()
}

/// Creates a directory that only its owner can read.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(dir);
    #[cfg(not(unix))]
    return fs::create_dir(dir);
}

/// Creates `dir` and what is missing above it, readable by the owner alone; their names are durable.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent(dir);
    create_private_dir(parent)?;
    match create_dir(dir) {
        // Another process was faster.
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        created => created.and_then(|()| sync_dir(parent)),
    }
}

/// The directory that a path is in; of a bare name, the current one.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The path from the root, which means the same to processes that run elsewhere.
pub fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Whether others than the owner can read, write or enter what this is of.
pub fn is_exposed(found: &Metadata) -> bool {
    mode(found).is_some_and(|mode| mode & 0o077 != 0)
}

/// Whether others can write to it: into a directory, that is to put other files in the place of those there.
pub fn is_open_to_change(found: &Metadata) -> bool {
    mode(found).is_some_and(|mode| mode & 0o022 != 0)
}

/// Whether everybody can read the file.
pub fn is_readable_by_all(data: &Metadata) -> bool {
    mode(data).is_some_and(|mode| mode & 0o444 == 0o444)
}

/// Whether its owner can run the file.
pub fn is_executable(data: &Metadata) -> bool {
    mode(data).is_some_and(|mode| mode & 0o100 != 0)
}

/// What owner, group and others may do; `None` where files have no such bits.
pub fn permissions(data: &Metadata) -> Option<u32> {
    mode(data).map(|mode| mode & 0o7777)
}

/// The number of the user that it belongs to; `None` where std does not tell.
pub fn owner(data: &Metadata) -> Option<u32> {
    #[cfg(unix)]
    return Some(std::os::unix::fs::MetadataExt::uid(data));
    #[cfg(not(unix))]
    return Some(data).and(None);
}

/// The number of the user that this process runs as: the owner of a file that it makes. std has no getuid(2). `None` where
/// it can make none in `dir` and the system does not tell otherwise.
pub fn user(dir: &Path) -> Option<u32> {
    // What root makes on the disk of another host may belong to nobody.
    process_user().filter(|user| *user != 0).or_else(|| {
        let probe = dir.join(format!("probe-{}", random_name()));
        let made = private().write(true).create_new(true).open(&probe).and_then(|file| file.metadata());
        let _ = fs::remove_file(&probe);
        made.ok().as_ref().and_then(owner)
    })
}

/// Whether the system tells owners, so that it can be seen who may change a path.
pub const HAS_OWNERS: bool = cfg!(unix);

/// The number of the user that this process runs as, where the system tells it: on Linux.
pub fn process_user() -> Option<u32> {
    // The last of four is the one that counts for files.
    status_numbers("Uid:")?.get(3).copied()
}

/// The numbers in a line of /proc/self/status.
fn status_numbers(name: &str) -> Option<Vec<u32>> {
    let status =
        if cfg!(target_os = "linux") { fs::read_to_string("/proc/self/status").ok()? } else { return None };
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().filter_map(|number| number.parse().ok()).collect())
}

/// The owner of everything that belongs to nobody in a namespace of users, such as root outside of it (user_namespaces(7)).
const OVERFLOW: u32 = 65534;
/// The map of users of a process that is in no such namespace: every user has its own number.
const NO_NAMESPACE: [&str; 3] = ["0", "0", "4294967295"];

/// Whether this belongs to root, also to root outside of a container.
pub fn is_of_system(found: &Metadata) -> bool {
    match owner(found) {
        None | Some(0) => true,
        Some(OVERFLOW) => {
            fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.split_whitespace().eq(NO_NAMESPACE))
        }
        Some(_) => false,
    }
}

/// Whether somebody else than the owner and root can put something else in the place of what is in the directory: all, or
/// a group that is neither root's nor one of ours. Where a directory is sticky, as /tmp is, nobody can.
pub fn lets_others_replace(found: &Metadata) -> bool {
    let Some(mode) = mode(found).filter(|mode| mode & 0o1000 == 0) else { return false };
    mode & 0o002 != 0 || (mode & 0o020 != 0 && !is_own_group(found))
}

#[cfg(unix)]
fn is_own_group(found: &Metadata) -> bool {
    let group = std::os::unix::fs::MetadataExt::gid(found);
    let Some(own) = status_numbers("Gid:").zip(status_numbers("Groups:")) else { return true };
    group == 0 || own.0.contains(&group) || own.1.contains(&group)
}

#[cfg(not(unix))]
fn is_own_group(_found: &Metadata) -> bool {
    true
}

/// Whether this is a FIFO, and whether it is a Unix socket.
#[cfg(unix)]
pub fn is_pipe_or_socket(kind: fs::FileType) -> (bool, bool) {
    use std::os::unix::fs::FileTypeExt;
    (kind.is_fifo(), kind.is_socket())
}

/// Other systems have neither among their files.
#[cfg(not(unix))]
pub fn is_pipe_or_socket(_kind: fs::FileType) -> (bool, bool) {
    (false, false)
}

/// A name that nobody can guess.
fn random_name() -> String {
    base32::encode(&random_array::<8>())
}

/// Who may do what; `None` where files have no such bits.
#[cfg(unix)]
fn mode(data: &Metadata) -> Option<u32> {
    Some(std::os::unix::fs::MetadataExt::mode(data))
}

#[cfg(not(unix))]
fn mode(_data: &Metadata) -> Option<u32> {
    None
}

/// The number of the file system that it is on; `None` where std does not tell.
pub fn device(data: &Metadata) -> Option<u64> {
    FileId::of(data).map(|id| id.device())
}

/// Whether `path` still leads to the open file, rather than to one that replaced it.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    return is_same(file, &fs::metadata(path)?);
    // std shows no identity of files there. One that replaced the other has another length or time; looked at twice, since
    // the file may grow meanwhile.
    #[cfg(not(unix))]
    loop {
        let state = |data: Metadata| Ok::<_, io::Error>((data.len(), data.modified()?));
        let before = state(file.metadata()?)?;
        let named = state(fs::metadata(path)?)?;
        if state(file.metadata()?)? == before {
            return Ok(named == before);
        }
    }
}

/// Whether the open file is the one that `named` is of; where that cannot be told, it is.
pub fn is_same(file: &File, named: &Metadata) -> io::Result<bool> {
    let open = file.metadata()?;
    Ok(FileId::of(&open) == FileId::of(named) && open.is_dir() == named.is_dir())
}

/// Whether two names are links to one file; where that cannot be told, they are not.
pub fn is_linked(one: &Path, two: &Path) -> bool {
    let id = |path| fs::symlink_metadata(path).ok().as_ref().and_then(FileId::of);
    id(one).is_some_and(|one| id(two) == Some(one))
}

/// Tells a file apart from others that had its name; 0 where std does not tell it.
pub fn inode(found: &Metadata) -> u64 {
    FileId::of(found).map_or(0, |id| id.inode())
}

/// Whether the system lets this process, or all together, open no more files: EMFILE and ENFILE, which have these numbers on
/// all systems with such limits, and ERROR_TOO_MANY_OPEN_FILES.
pub fn are_too_many_open(cause: &io::Error) -> bool {
    let numbers: &[i32] = if cfg!(unix) { &[24, 23] } else { &[4] };
    cause.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

/// Whether the file has other names.
#[cfg(unix)]
pub fn has_links(found: &Metadata) -> bool {
    found.is_file() && std::os::unix::fs::MetadataExt::nlink(found) > 1
}

/// Whether it has cannot be told.
#[cfg(not(unix))]
pub fn has_links(_found: &Metadata) -> bool {
    false
}

/// Whether the same user owns both. Elsewhere than on Unix, a profile directory is its user's alone.
pub fn have_one_owner(one: &Metadata, two: &Metadata) -> bool {
    owner(one) == owner(two)
}

/// A path as the bytes that the system knows it by; `None` where it has others, and the path is no text.
pub fn path_bytes(path: &Path) -> Option<&[u8]> {
    #[cfg(unix)]
    return Some(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
    #[cfg(not(unix))]
    return path.to_str().map(str::as_bytes);
}

/// The path that such bytes are.
pub fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    #[cfg(unix)]
    return Some(PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes)));
    #[cfg(not(unix))]
    return std::str::from_utf8(bytes).ok().map(PathBuf::from);
}

/// A path by which an open directory is found whatever becomes of its name; `None` without such paths, as where /proc is
/// not mounted.
pub fn way_to_open(handle: &File) -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    return Some(PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(handle))))
        .filter(|way| way.is_dir());
    #[cfg(not(target_os = "linux"))]
    return handle.metadata().ok().and(None);
}

/// Reads at `offset` without moving a cursor that other threads may use; fewer bytes at the end of the file.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(file, &mut buffer[got..], offset + got as u64);
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(file, &mut buffer[got..], offset + got as u64);
        match read {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(got)
}

/// Writes all of `bytes` at `offset`.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_all_at(file, bytes, offset);
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < bytes.len() {
            done += std::os::windows::fs::FileExt::seek_write(file, &bytes[done..], offset + done as u64)?;
        }
        Ok(())
    }
}

/// Copies what `file` has from `from` on to a new file, durably; says how many bytes.
pub fn copy_from(file: &File, from: u64, to: &Path) -> io::Result<u64> {
    let copy = private().write(true).create_new(true).open(to)?;
    let copied = copy_rest(file, from, copy).and_then(|done| sync_dir(parent(to)).map(|()| done));
    if copied.is_err() {
        // Part of a copy is of no use, and takes room that may be short.
        let _ = fs::remove_file(to);
    }
    copied
}

fn copy_rest(file: &File, from: u64, mut copy: File) -> io::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut done = 0;
    loop {
        let got = read_at(file, &mut buffer, from + done)?;
        if got == 0 {
            break;
        }
        copy.write_all(&buffer[..got])?;
        done += got as u64;
    }
    copy.sync_all()?;
    Ok(done)
}

/// A directory that can be synced; None where the system opens no directories, but there is one.
pub fn open_dir(dir: &Path) -> io::Result<Option<File>> {
    open_dir_by(open::followed, dir)
}

/// The same for a directory of this very name, and no link to one.
pub fn open_unlinked_dir(dir: &Path) -> io::Result<Option<File>> {
    open_dir_by(open::unlinked, dir)
}

fn open_dir_by(open: fn(&Path) -> io::Result<File>, dir: &Path) -> io::Result<Option<File>> {
    let handle = if cfg!(unix) { Some(open(dir)?) } else { None };
    let data = handle.as_ref().map_or_else(|| fs::metadata(dir), File::metadata)?;
    if data.is_dir() { Ok(handle) } else { Err(no_directory()) }
}

/// Something else has the name by now.
pub fn no_directory() -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, "it is no directory any more")
}

/// Makes names in `dir` durable: a file whose directory was not synced may be gone after a power cut.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    open_dir(dir)?.map_or(Ok(()), |dir| dir.sync_all())
}

/// A file that was not there before. What has the name is removed first: a crash may have left it, or somebody may have put
/// a link there that leads elsewhere.
pub fn create_afresh(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    private().write(true).create_new(true).open(path)
}

/// `FILE.new`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Replaces the file at `path` so that at every instant, even of a power cut, either the old or the new one is there.
/// Callers hold the lock that keeps two writers apart.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    write_synced(create_afresh(&temporary)?, bytes)?;
    fs::rename(&temporary, path)?;
    sync_dir(parent(path))
}

/// The same without a sync, for notes that are worth nothing after a power cut. Other processes read the old file or the
/// new one, never a part.
pub fn replace_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    create_afresh(&temporary)?.write_all(bytes)?;
    fs::rename(&temporary, path)
}

/// The same for the text of a small file that [`read_text`] reads with this limit: what would be longer is an error, and
/// the old file stays.
pub fn replace_text(path: &Path, text: &str, limit: u64) -> io::Result<()> {
    if text.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it would be longer than {limit} bytes"),
        ));
    }
    replace(path, text.as_bytes())
}

/// Makes a file that appears whole and durable under its name, or not at all: it is written beside it and linked there,
/// which fails when another process has made one meanwhile.
pub fn create_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", random_name()));
    let made = create_afresh(&temporary)
        .and_then(|file| write_synced(file, bytes))
        .and_then(|()| fs::hard_link(&temporary, path))
        .and_then(|()| sync_dir(parent(path)));
    // Whatever happened, the temporary name is of no use any more.
    let _ = fs::remove_file(&temporary);
    made
}

fn write_synced(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// The first `most` bytes of a file, or all of it; `None` if it is not there.
pub fn read_start(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, most), &mut bytes)?;
    Ok(Some(bytes))
}

/// The text of a small file, `None` if there is none; more than `limit` bytes are an error, not an allocation.
pub fn read_text(path: &Path, limit: u64) -> io::Result<Option<String>> {
    let Some(bytes) = read_start(path, limit + 1)? else { return Ok(None) };
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {limit} bytes")));
    }
    io::read_to_string(bytes.as_slice()).map(Some)
}
