//! Transfers that came in part, and where their data waits (egoat-files(5), PARTIAL). The data is beside the place that
//! it is for, so that it gets there by a rename; the home remembers where that is. It leaves out what is in it: see
//! `transfer::staging`.
//!
//! ```text
//! PEER-KEY BYTES TITLE...
//! DIR [FOLDER [TOKEN [yes]]]
//! [done SEAL]
//! [NAME in DIR of what has come to it]...
//! ```
//!
//! FOLDER is the name of the one with its data, `.egoat-ID` if it is missing. TOKEN is the secret of the link of an
//! `egoat receive` by which the peer came: with that it may come again, and go on; `-` stands for none. With `yes`, the
//! user was asked about the files, and takes them.
//! DIR, FOLDER and NAME have `%` and all bytes but the graphic ones of ASCII written as `%` and two hexadecimal digits.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::Home;
use crate::store::space::Usage;
use crate::store::staged::{self, Locked, MAP, NAMES, StagingFolder, escape, unescape};
use crate::wire::message::UNKNOWN;

/// Parts that nobody asked for any more are removed after this.
const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 3600);
/// The same of a stream: nobody but the command that sends it can go on with it, for as long as that waits for the peer.
const MAX_STREAM_AGE: Duration = Duration::from_secs(24 * 3600);
/// Parts that one peer may leave here; the oldest makes room.
const MAX_PARTIALS: usize = 16;
/// The start of the line before the names. No name has a space as it is written here.
const DONE: &str = "done ";
/// In the place of a token that there is not.
const NO_TOKEN: &str = "-";
/// The word of a note whose files the user takes.
const YES: &str = "yes";
/// More than the first two lines of a note ever have.
const MAX_HEAD: u64 = 64 << 10;
/// Bytes of the map of a stream: its length.
const STREAM_MAP: u64 = 8;
/// More than any note ever has: names of 16 MiB, as a manifest has them at the most, take three times as much when every
/// byte of them is written with `%`, and 100,000 of them may each get a number and the end of a line besides.
const MAX_LEN: u64 = 64 << 20;

/// What has come to its name.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    /// Where it is.
    pub paths: Vec<PathBuf>,
    /// How it looked then; egoat 0.1 noted nothing of that.
    pub seal: Option<String>,
}

/// A transfer that has begun to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Names it: in base32, of the peer, the manifest and the place.
    pub id: String,
    /// Whose it is.
    pub peer: PublicKey,
    /// Bytes of all of it.
    pub bytes: u64,
    /// What it is, in one line that is safe to show.
    pub title: String,
    /// Where it is to land.
    pub dir: PathBuf,
    /// The name of the folder in there with its data.
    pub folder: String,
    /// The token in base32 of the link of a one-off receiver by which its sender came.
    pub token: Option<String>,
    /// The user was asked about these files and takes them: nobody asks again when they go on.
    pub is_accepted: bool,
    /// All of it has come to its name; then it waits for the sender to hear of it.
    pub is_done: bool,
}

impl Partial {
    /// The folder with its data.
    pub fn staging(&self) -> PathBuf {
        self.dir.join(&self.folder)
    }

    /// Chooses another folder if somebody else has put something where its data would be.
    pub fn avoid_others(&mut self) {
        if staged::is_foreign(&self.dir, &self.folder) {
            self.folder = staged::new_name();
        }
    }

    /// What its folder has taken up so far.
    pub fn usage(&self) -> Usage {
        staged::usage(&self.dir, &self.folder, &self.id)
    }

    /// Whether an earlier try may have ended while it gave names to directories.
    pub fn has_names(&self) -> bool {
        fs::symlink_metadata(self.staging().join(NAMES)).is_ok()
    }

    /// The map of its chunks.
    pub fn map_path(&self) -> PathBuf {
        self.staging().join(MAP)
    }

    fn head(&self) -> String {
        let is_usual = self.folder == staged::name_for(&self.id);
        let mut places = escape(&self.dir);
        let mut more = vec![escape(self.folder.as_ref())];
        match (&self.token, self.is_accepted) {
            (None, false) if is_usual => more.clear(),
            (None, false) => {}
            (Some(token), false) => more.push(token.clone()),
            (token, true) => more.extend([token.as_deref().unwrap_or(NO_TOKEN).to_owned(), YES.to_owned()]),
        }
        more.iter().for_each(|word| places.push_str(&format!(" {word}")));
        format!("{} {} {}\n{places}\n", self.peer, self.bytes, self.title)
    }

    /// Of a note, or the start of one that has the first two lines and some of the third, if there is one.
    fn parse(id: &str, text: &str) -> Option<Partial> {
        let mut lines = text.splitn(3, '\n');
        let mut fields = lines.next()?.splitn(3, ' ');
        let mut places = lines.next()?.split(' ');
        let dir = unescape(places.next()?)?;
        let folder = match places.next().map(unescape) {
            Some(folder) => folder?.to_str()?.to_owned(),
            None => staged::name_for(id),
        };
        let token = places.next().filter(|token| *token != NO_TOKEN).map(str::to_owned);
        let is_accepted = places.next() == Some(YES);
        Some(Partial {
            id: id.to_owned(),
            peer: fields.next()?.parse().ok()?,
            bytes: fields.next()?.parse().ok()?,
            title: fields.next()?.to_owned(),
            dir,
            folder,
            token,
            is_accepted,
            is_done: !lines.next()?.is_empty(),
        })
    }

    /// Writes it to the home, at once but not durably: a power cut that loses it loses the list of leftovers, no data.
    pub fn save(&self, home: &Home) -> Result<()> {
        self.write(home, &self.head())
    }

    /// The same, when all of it has come to its name. `seal` tells how it looks, see `transfer::seal`.
    pub fn save_done<'a>(
        &self,
        home: &Home,
        seal: &str,
        paths: impl Iterator<Item = &'a Path>,
    ) -> Result<()> {
        let mut text = format!("{}{DONE}{seal}\n", self.head());
        for path in paths {
            text.push_str(&escape(path.strip_prefix(&self.dir).unwrap_or(path)));
            text.push('\n');
        }
        self.write(home, &text)
    }

    /// Makes the note durable: without it, nobody looks for names that were noted.
    pub fn sync(&self, home: &Home) -> io::Result<()> {
        let dir = home.partial_dir();
        // Windows syncs no file that is open for reading alone.
        File::options().write(true).open(dir.join(&self.id))?.sync_data()?;
        file::sync_dir(&dir)
    }

    fn write(&self, home: &Home, text: &str) -> Result<()> {
        let dir = home.partial_dir();
        file::create_private_dir(&dir).map_err(Error::disk(Verb::Create, &dir))?;
        let path = dir.join(&self.id);
        file::replace_unsynced(&path, text.as_bytes()).map_err(Error::disk(Verb::Write, &path))
    }

    /// The one of this id. A note that is damaged counts as none.
    pub fn load(home: &Home, id: &str) -> Result<Option<Partial>> {
        let path = home.partial_dir().join(id);
        // A peer may have had many names noted. They are not for whoever looks at all notes.
        let head = file::read_start(&path, MAX_HEAD).map_err(Error::disk(Verb::Read, &path))?;
        Ok(head.and_then(|head| Partial::parse(id, std::str::from_utf8(&head).ok()?)))
    }

    /// What has come to its name, once all has; nothing if the note of it is damaged.
    pub fn done(&self, home: &Home) -> Result<Done> {
        let path = home.partial_dir().join(&self.id);
        let text = match file::read_text(&path, MAX_LEN) {
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => String::new(),
            read => read.map_err(Error::disk(Verb::Read, &path))?.unwrap_or_default(),
        };
        let mut lines = text.lines().skip(2).peekable();
        let seal = lines.next_if(|line| line.starts_with(DONE)).map(|line| line[DONE.len()..].to_owned());
        let names: Option<Vec<PathBuf>> = lines.map(unescape).collect();
        let paths = names.unwrap_or_default().into_iter().map(|name| self.dir.join(name)).collect();
        Ok(Done { paths, seal })
    }

    /// Locks its data, making the folder if it is not there.
    pub fn lock(&self) -> io::Result<Locked> {
        staged::lock(&self.dir, &self.folder, &self.id)
    }

    /// The same where something of somebody else is in the way: then it gets a folder of another name. `None` while
    /// another process or thread works on it.
    pub fn begin(&mut self, home: &Home) -> Result<Option<StagingFolder>> {
        let mut locked = self.try_lock()?;
        if matches!(locked, Locked::Foreign) {
            self.folder = staged::new_name();
            self.save(home)?;
            locked = self.try_lock()?;
        }
        match locked {
            Locked::Ours(staged) => Ok(Some(*staged)),
            Locked::Busy => Ok(None),
            Locked::Foreign => {
                let cause = io::Error::new(io::ErrorKind::PermissionDenied, "somebody else changes it");
                Err(Error::disk(Verb::Lock, &self.staging())(cause))
            }
        }
    }

    fn try_lock(&self) -> Result<Locked> {
        self.lock().map_err(Error::disk(Verb::Create, &self.staging()))
    }

    /// Bytes of it that are here, and when the last of them came; `None` when its folder is gone.
    pub fn held(&self, chunk: u64) -> Option<(u64, SystemTime)> {
        let file = self.open_map().ok()?;
        let since = file.metadata().ok()?.modified().ok()?;
        let most = if self.bytes == UNKNOWN { STREAM_MAP } else { self.bytes.div_ceil(chunk) };
        let mut map = Vec::new();
        file.take(most).read_to_end(&mut map).ok()?;
        let held = match map.first_chunk() {
            _ if self.bytes != UNKNOWN => {
                let chunks = map.iter().filter(|state| **state != 0).count() as u64;
                (chunks * chunk).min(self.bytes)
            }
            // Of a stream, its length so far.
            Some(length) => u64::from_be_bytes(*length),
            None => 0,
        };
        Some((held, since))
    }

    fn open_map(&self) -> io::Result<File> {
        staged::open_map(&self.dir, &self.folder, &self.id)
    }

    /// Removes its data and the note of it, unless somebody works on it; says whether it did.
    pub fn remove(&self, home: &Home) -> Result<bool> {
        Ok(self.remove_data()? && self.forget(home).map(|()| true)?)
    }

    /// Removes its data, unless somebody works on it; says whether none is left.
    pub fn remove_data(&self) -> Result<bool> {
        let staging = self.staging();
        if fs::symlink_metadata(&staging).is_ok() {
            match self.lock().map_err(Error::disk(Verb::Lock, &staging))? {
                Locked::Busy => return Ok(false),
                Locked::Ours(staged) => staged.remove().map_err(Error::disk(Verb::Remove, &staging))?,
                // Its owner can remove it.
                Locked::Foreign => {}
            }
        }
        Ok(true)
    }

    /// Removes the note of it.
    pub fn forget(&self, home: &Home) -> Result<()> {
        let path = home.partial_dir().join(&self.id);
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(Error::disk(Verb::Remove, &path)(cause))
            }
            _ => Ok(()),
        }
    }

    fn max_age(&self) -> Duration {
        if self.bytes == UNKNOWN { MAX_STREAM_AGE } else { MAX_AGE }
    }

    /// When the note was written.
    pub fn noted(&self, home: &Home) -> Option<SystemTime> {
        noted(home, &self.id)
    }

    fn last_change(&self, home: &Home) -> Option<SystemTime> {
        let noted = self.noted(home)?;
        let map = self.open_map().and_then(|map| map.metadata()?.modified()).ok();
        Some(map.map_or(noted, |map| map.max(noted)))
    }
}

fn noted(home: &Home, id: &str) -> Option<SystemTime> {
    fs::metadata(home.partial_dir().join(id)).and_then(|data| data.modified()).ok()
}

/// What the transfer `id` to `dir` has taken up so far, with the folder in which it waits.
pub fn staged(home: &Home, dir: &Path, id: &str) -> Usage {
    staged::usage(dir, &folder_of(home, id), id)
}

/// The name of the folder for the transfer: the one that an earlier try had, or the usual one.
pub fn folder_of(home: &Home, id: &str) -> String {
    let noted = Partial::load(home, id).ok().flatten();
    noted.map_or_else(|| staged::name_for(id), |partial| partial.folder)
}

/// All that have begun, the oldest first. A note that cannot be read is left out: it is in the way of no other.
pub fn all(home: &Home) -> Result<Vec<Partial>> {
    look_at_all(home).map(|(found, _)| found)
}

/// The same, and the ids of those that cannot be read.
fn look_at_all(home: &Home) -> Result<(Vec<Partial>, Vec<String>)> {
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for id in ids(home)? {
        match Partial::load(home, &id) {
            Ok(Some(partial)) => found.push(partial),
            _ => damaged.push(id),
        }
    }
    found.sort_unstable_by_key(|partial| partial.last_change(home));
    Ok((found, damaged))
}

/// The names of all notes, whatever is in them.
fn ids(home: &Home) -> Result<Vec<String>> {
    let dir = home.partial_dir();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(Error::disk(Verb::Read, &dir)(cause)),
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // Spools and temporary files have a dot in their names.
    Ok(names.filter(|name| !name.contains('.')).collect())
}

/// Removes what is too old, and makes room for the one that `begins`, which may have begun before. What cannot be
/// removed is in the way of nobody.
pub fn sweep(home: &Home, begins: Option<&Partial>) -> Result<()> {
    let now = SystemTime::now();
    let is_old = |last: Option<SystemTime>, most: Duration| {
        last.and_then(|last| now.duration_since(last).ok()).is_some_and(|age| age > most)
    };
    let (mut others, damaged) = look_at_all(home)?;
    for id in damaged.iter().filter(|id| is_old(noted(home, id), MAX_AGE)) {
        // It says of no data where they are.
        let _ = fs::remove_file(home.partial_dir().join(id));
    }
    others.retain(|partial| begins.is_none_or(|new| new.id != partial.id));
    let is_of_peer = |partial: &Partial| begins.is_some_and(|new| new.peer == partial.peer);
    let of_peer = others.iter().filter(|partial| is_of_peer(partial)).count();
    let mut excess = of_peer.saturating_sub(MAX_PARTIALS - 1);
    for partial in &others {
        let is_excess = excess > 0 && is_of_peer(partial);
        if (is_excess || is_old(partial.last_change(home), partial.max_age()))
            && partial.remove(home).unwrap_or(false)
        {
            excess -= usize::from(is_excess);
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    fn sample() -> Partial {
        Partial {
            id: "abc".into(),
            peer: Seed::from_bytes([1; 32]).static_keys().public(),
            bytes: 7,
            title: "3 files of mine".into(),
            dir: PathBuf::from("/tmp/a b%\n\u{e9}"),
            folder: ".egoat-abc".into(),
            token: None,
            is_accepted: false,
            is_done: false,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (home, partial) = (Home::locate(dir.path().to_str()).unwrap(), sample());
        let elsewhere = Partial { folder: ".egoat-else where".into(), ..sample() };
        let by_link = Partial { token: Some("abcdefgh".into()), ..sample() };
        by_link.save(&home).unwrap();
        assert_eq!(Partial::load(&home, "abc").unwrap(), Some(by_link));
        for token in [None, Some("abcdefgh".into())] {
            let accepted = Partial { token, is_accepted: true, ..sample() };
            accepted.save(&home).unwrap();
            assert_eq!(Partial::load(&home, "abc").unwrap(), Some(accepted));
        }
        elsewhere.save(&home).unwrap();
        assert_eq!(Partial::load(&home, "abc").unwrap(), Some(elsewhere));
        partial.save(&home).unwrap();
        assert_eq!(Partial::load(&home, "abc").unwrap(), Some(partial.clone()));
        // Many names, each as long as can be, with three bytes for one.
        let paths: Vec<PathBuf> =
            (0..10_000).map(|n| partial.dir.join(format!("{n}{}", "\u{e9}".repeat(125)))).collect();
        partial.save_done(&home, "seal", paths.iter().map(PathBuf::as_path)).unwrap();
        assert_eq!(Partial::load(&home, "abc").unwrap(), Some(Partial { is_done: true, ..partial.clone() }));
        assert!(partial.done(&home).unwrap() == Done { paths, seal: Some("seal".into()) });
    }

    #[test]
    fn every_cut_is_refused_or_whole_lines() {
        let text = sample().head() + "a\nb\n";
        let head = sample().head().len();
        for end in 0..text.len() {
            let parsed = Partial::parse("abc", &text[..end]);
            assert_eq!(
                parsed.map(|partial| partial.is_done),
                (end >= head).then_some(end > head),
                "cut at {end}"
            );
        }
        assert!(unescape("a%2").is_none() && unescape("a%zz").is_none());
    }
}
