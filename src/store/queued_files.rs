//! The files that wait to be sent to one peer (egoat-files(5), QUEUED FILES): which, and what they looked like.
//!
//! ```text
//! body    kind u8 ‖ number u64 ‖ rest
//!         1 queued:  items without a place, as the first release wrote them
//!         2 settled: outcome u8 (1 sent, 2 cancelled, 3 changed, 4 refused) ‖ path length u16 ‖ path ‖ why
//!         3 afresh:  the first record of a log that was started again; number is 0
//!         4 queued:  queued u64, µs ‖ items; number is 0, and the record's seq is that of the entry; or it is the number of
//!                    an entry that was stopped and waits again, with these items in the place of its old ones
//! item    is_dir u8 ‖ modified i64, ns ‖ size u64 ‖ path length u16 ‖ path ‖ name length u16 ‖ name ‖ place
//! place   inode u64 ‖ real path length u16 ‖ real path, empty when it is the path and there is an inode; neither
//!         stands for no place
//! ```
//!
//! An entry is sent as a whole or not at all. It waits until a record settles it; one that was changed or refused is then
//! stopped, and stays listed until the user cancels it or has it wait again.
//!
//! [`Listed`] follows the log without a lock: to look again costs a few system calls as long as nothing was appended.
//! Left out are the files themselves (`store::source`), their transfer, and what was sent (`store::history`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::store::file;
use crate::store::found::Place;
use crate::store::home::Home;
use crate::store::log::{COMPACT_ABOVE, Log, LogId, MAX_BODY, Reader, Report};
use crate::store::own_files::OwnFiles;
use crate::store::source::{Item, snapshot};
use crate::text;
use crate::time::now_micros;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};

const QUEUED_WITHOUT_PLACE: u8 = 1;
const SETTLED: u8 = 2;
const AFRESH: u8 = 3;
const QUEUED: u8 = 4;

const SENT: u8 = 1;
const CANCELLED: u8 = 2;
const CHANGED: u8 = 3;
const REFUSED: u8 = 4;

/// Longest reason that is noted, in characters: it is for one line.
const MAX_WHY: usize = 1000;

/// Files and directories that are queued together and sent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub number: u64,
    /// When it was queued first, in µs of Unix time by the clock as it was then.
    pub queued: u64,
    /// What it holds; at least one.
    pub items: Vec<Item>,
    /// Why it does not wait any more.
    pub stopped: Option<Stop>,
}

impl Job {
    /// Bytes of all its items.
    pub fn size(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.size))
    }

    /// What is not as it was when it was queued, the first such thing; looks at the disk.
    pub fn change(&self, own: &OwnFiles) -> Option<Stop> {
        self.items.iter().find_map(|item| {
            let what = item.change(own)?;
            Some(Stop::Changed { path: item.path.clone(), what })
        })
    }

    /// Its items as they are now, under the same names.
    pub fn items_now(&self, own: &OwnFiles) -> Result<Vec<Item>> {
        let snapshot_of = |item: &Item| Ok(Item { name: item.name.clone(), ..snapshot(&item.path, own)? });
        self.items.iter().map(snapshot_of).collect()
    }

    /// The commands with which the user resumes or cancels a stopped job for this peer; looks at the disk.
    pub fn how_to_go_on(&self, peer: &str) -> String {
        let is_gone = self.items.iter().any(|item| matches!(item.path.try_exists(), Ok(false)));
        let how = if is_gone { "once it is there again" } else { "as it is now" };
        let number = self.number;
        format!("`egoat outbox retry {peer}` sends it {how}, `egoat outbox cancel {number}` takes it back")
    }
}

/// Why a job was not sent, and will not be unless the user says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A source is not what it was when it was queued.
    Changed {
        /// The item.
        path: PathBuf,
        /// What is different.
        what: String,
    },
    /// The peer does not take it.
    Refused(String),
}

impl Stop {
    /// For people and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Stop::Changed { .. } => "changed",
            Stop::Refused(_) => "refused",
        }
    }
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer has all of it in place.
    Sent,
    /// The user took it back.
    Cancelled,
    /// It was not sent, and the user is to see that.
    Stopped(Stop),
}

/// The files that are queued for a peer, open for changes.
pub struct QueuedFiles {
    log: Log,
    listed: Listed,
    /// Whose uploads its jobs own.
    home: Option<Home>,
}

impl QueuedFiles {
    /// Opens or creates it.
    pub fn open(id: LogId, report: Report) -> Result<QueuedFiles> {
        let log = Log::open(id.clone(), report)?;
        // Of damage, those are told who list.
        Ok(QueuedFiles { log, listed: Listed::new(id, Arc::new(|_: &str| ())), home: None })
    }

    /// Has jobs take what was uploaded for them along when they go (egoat-files(5), UPLOADS).
    pub fn with_uploads(self, home: &Home) -> QueuedFiles {
        QueuedFiles { home: Some(home.clone()), ..self }
    }

    /// What waits first, but for jobs that are `held`. Those are asked about after the log was read.
    pub fn first_waiting(&mut self, held: impl Fn(u64) -> bool) -> Result<Option<Job>> {
        self.listed.catch_up()?;
        let mut waiting = self.listed.jobs.values().filter(|job| job.stopped.is_none());
        Ok(waiting.find(|job| !held(job.number)).cloned())
    }

    /// A job that waits; `None` if it does no more.
    pub fn waiting(&mut self, number: u64) -> Result<Option<Job>> {
        self.listed.catch_up()?;
        Ok(self.listed.jobs.get(&number).filter(|job| job.stopped.is_none()).cloned())
    }

    /// Whether this job waits, as [`Listed::is_waiting`].
    pub fn is_waiting(&mut self, number: u64) -> Result<bool> {
        self.listed.is_waiting(number)
    }

    /// Queues files and directories as they are now; a single one may get another `name` on the way. Durable when it
    /// returns. Returns the number of the job and what it holds.
    pub fn queue_paths(
        &mut self,
        paths: &[PathBuf],
        name: Option<&str>,
        own: &OwnFiles,
    ) -> Result<(u64, Vec<Item>)> {
        let named = |path: &PathBuf| Ok(Item { name: name.map(str::to_owned), ..snapshot(path, own)? });
        let items = paths.iter().map(named).collect::<Result<Vec<Item>>>()?;
        Ok((self.queue(&items)?, items))
    }

    /// Queues a job; on disk when it returns. Gives its number.
    pub fn queue(&mut self, items: &[Item]) -> Result<u64> {
        let body = queued_body(0, now_micros(), items)?;
        let mut log = self.log.lock()?;
        let number = log.next_seq();
        log.push(number, &body)?;
        log.commit(true)?;
        Ok(number)
    }

    /// Has a job that was stopped wait again, with `items` in the place of its old ones; on disk when it returns. Says
    /// whether it was stopped.
    pub fn queue_again(&mut self, number: u64, items: &[Item]) -> Result<bool> {
        let body = queued_body(number, now_micros(), items)?;
        let mut log = self.log.lock()?;
        self.listed.catch_up()?;
        if self.listed.jobs.get(&number).is_none_or(|job| job.stopped.is_none()) {
            return Ok(false);
        }
        let seq = log.next_seq();
        log.push(seq, &body)?;
        log.commit(true)?;
        Ok(true)
    }

    /// Notes what became of a job; on disk when it returns. Says whether it was listed: if not, it was cancelled
    /// meanwhile, or another process was faster. Starts the log afresh when nothing is listed and it has grown.
    pub fn settle(&mut self, number: u64, outcome: &Outcome) -> Result<bool> {
        let is_settled = self.settle_if(number, outcome, |_| true)?;
        if is_settled && !matches!(outcome, Outcome::Stopped(_)) {
            self.remove_uploads(number);
        }
        Ok(is_settled)
    }

    /// Stops a job as it was `seen`; on disk when it returns. Returns false if it is not listed any more, or if the user has
    /// queued it again meanwhile, with what is there now: a reason of before does not hold for that.
    pub fn stop(&mut self, seen: &Job, stop: Stop) -> Result<bool> {
        self.settle_if(seen.number, &Outcome::Stopped(stop), |job| job.items == seen.items)
    }

    fn settle_if(&mut self, number: u64, outcome: &Outcome, holds: impl Fn(&Job) -> bool) -> Result<bool> {
        let body = settled_body(number, outcome)?;
        let mut log = self.log.lock()?;
        self.listed.catch_up()?;
        if !self.listed.jobs.get(&number).is_some_and(holds) {
            return Ok(false);
        }
        let stays = matches!(outcome, Outcome::Stopped(_));
        let seq = log.next_seq();
        let is_last = !stays && self.listed.jobs.len() == 1 && log.log().len() > COMPACT_ABOVE;
        let first = (seq, new_body(AFRESH, 0));
        if !is_last || !Log::shorten(&mut log, &mut std::iter::once(Ok(first))) {
            log.push(seq, &body)?;
            log.commit(true)?;
        }
        Ok(true)
    }

    /// Removes what a browser had handed over for a job that is done with. What cannot be removed is too old some day.
    fn remove_uploads(&self, number: u64) {
        let first = self.listed.jobs.get(&number).and_then(|job| job.items.first());
        if let Some((home, item)) = self.home.as_ref().zip(first)
            && let Some(upload) = home.upload_of(&item.path)
        {
            let _ = std::fs::remove_dir_all(upload);
        }
    }
}

/// What waits and what was stopped, as far as the log says now. The log need not exist.
pub struct Listed {
    reader: Reader,
    jobs: BTreeMap<u64, Job>,
}

impl Listed {
    /// Reads the log from its start when it is asked for the first time, and from then on what is new.
    pub fn new(id: LogId, report: Report) -> Listed {
        Listed { reader: Reader::new(id, report), jobs: BTreeMap::new() }
    }

    /// All of it, oldest first.
    pub fn all(&mut self) -> Result<Vec<Job>> {
        self.catch_up()?;
        Ok(self.jobs.values().cloned().collect())
    }

    /// What waits, oldest first.
    pub fn waiting(&mut self) -> Result<Vec<Job>> {
        self.catch_up()?;
        Ok(self.jobs.values().filter(|job| job.stopped.is_none()).cloned().collect())
    }

    /// Whether something waits.
    pub fn has_waiting(&mut self) -> Result<bool> {
        self.catch_up()?;
        Ok(self.jobs.values().any(|job| job.stopped.is_none()))
    }

    /// Whether something waits that is not `held`.
    pub fn has_waiting_but(&mut self, held: impl Fn(u64) -> bool) -> Result<bool> {
        self.catch_up()?;
        Ok(self.jobs.values().any(|job| job.stopped.is_none() && !held(job.number)))
    }

    /// Whether this job waits: it is neither done with nor stopped.
    pub fn is_waiting(&mut self, number: u64) -> Result<bool> {
        self.catch_up()?;
        Ok(self.jobs.get(&number).is_some_and(|job| job.stopped.is_none()))
    }

    fn catch_up(&mut self) -> Result<()> {
        while let Some(record) = self.reader.read()? {
            let seq = record.seq;
            match decode(record.body) {
                Ok(QueueRecord::Queued { number, queued, items }) => {
                    let number = if number == 0 { seq } else { number };
                    // Of earlier versions there is no time but the number.
                    let queued =
                        self.jobs.get(&number).map_or(queued.unwrap_or(number), |before| before.queued);
                    self.jobs.insert(number, Job { number, queued, items, stopped: None });
                }
                Ok(QueueRecord::Settled(number, Outcome::Stopped(stop))) => {
                    if let Some(job) = self.jobs.get_mut(&number) {
                        job.stopped = Some(stop);
                    }
                }
                Ok(QueueRecord::Settled(number, _)) => {
                    self.jobs.remove(&number);
                }
                // How the last of them was settled was in the file before.
                Ok(QueueRecord::Afresh) => self.jobs.clear(),
                Err(Malformed(_)) => {}
            }
        }
        Ok(())
    }
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
enum QueueRecord {
    Queued { number: u64, queued: Option<u64>, items: Vec<Item> },
    Settled(u64, Outcome),
    Afresh,
}

fn decode(body: &[u8]) -> std::result::Result<QueueRecord, Malformed> {
    let mut fields = FieldReader::new(body);
    let (kind, number) = (fields.u8("kind")?, fields.u64("number")?);
    match kind {
        QUEUED | QUEUED_WITHOUT_PLACE => {
            let has_place = kind == QUEUED;
            let queued = if kind == QUEUED { Some(fields.u64("queued")?) } else { None };
            let items = decode_items(&mut fields, has_place)?;
            Ok(QueueRecord::Queued { number, queued, items })
        }
        SETTLED => decode_outcome(&mut fields).map(|outcome| QueueRecord::Settled(number, outcome)),
        AFRESH => Ok(QueueRecord::Afresh),
        _ => Err(Malformed("kind")),
    }
}

/// The items up to the end of a body, at least one.
pub(super) fn decode_items(
    fields: &mut FieldReader,
    have_places: bool,
) -> std::result::Result<Vec<Item>, Malformed> {
    let mut items = vec![decode_item(fields, have_places)?];
    while !fields.is_empty() {
        items.push(decode_item(fields, have_places)?);
    }
    Ok(items)
}

fn decode_item(fields: &mut FieldReader, has_place: bool) -> std::result::Result<Item, Malformed> {
    let is_dir = fields.u8("is_dir")? != 0;
    let modified = i64::from_be_bytes(fields.array("modified")?);
    let size = fields.u64("size")?;
    let path = decode_path(fields)?;
    let length = fields.u16("name length")?.into();
    let name = Some(fields.text(length, "name")?).filter(|name| !name.is_empty()).map(str::to_owned);
    let place = if has_place { decode_place(fields, &path)? } else { None };
    Ok(Item { path, name, is_dir, size, modified, place })
}

fn decode_place(fields: &mut FieldReader, path: &Path) -> std::result::Result<Option<Place>, Malformed> {
    let (inode, real) = (fields.u64("inode")?, decode_path(fields)?);
    let is_path = real.as_os_str().is_empty();
    let real = if is_path { path.to_owned() } else { real };
    Ok((inode != 0 || !is_path).then_some(Place { real, inode }))
}

fn decode_path(fields: &mut FieldReader) -> std::result::Result<PathBuf, Malformed> {
    let length = fields.u16("path length")?.into();
    file::path_of(fields.take(length, "path")?).ok_or(Malformed("path"))
}

fn decode_outcome(fields: &mut FieldReader) -> std::result::Result<Outcome, Malformed> {
    let (outcome, path) = (fields.u8("outcome")?, decode_path(fields)?);
    let why = String::from_utf8_lossy(fields.rest()).into_owned();
    Ok(match outcome {
        SENT => Outcome::Sent,
        CANCELLED => Outcome::Cancelled,
        CHANGED => Outcome::Stopped(Stop::Changed { path, what: why }),
        REFUSED => Outcome::Stopped(Stop::Refused(why)),
        _ => return Err(Malformed("outcome")),
    })
}

fn new_body(kind: u8, number: u64) -> Vec<u8> {
    let mut body = vec![kind];
    body.put_u64(number);
    body
}

fn queued_body(number: u64, queued: u64, items: &[Item]) -> Result<Vec<u8>> {
    let mut body = new_body(QUEUED, number);
    body.put_u64(queued);
    put_items(&mut body, items)?;
    Ok(body)
}

/// Appends items, the last field of a body; an error if there are none, or too many for a record.
pub(super) fn put_items(body: &mut Vec<u8>, items: &[Item]) -> Result<()> {
    for item in items {
        body.put_u8(item.is_dir.into());
        body.put(&item.modified.to_be_bytes());
        body.put_u64(item.size);
        put_path(body, &item.path)?;
        put_short(body, item.name.as_deref().unwrap_or_default().as_bytes(), &item.path)?;
        put_place(body, item)?;
    }
    match (items.is_empty(), body.len() > MAX_BODY) {
        (false, false) => Ok(()),
        (true, _) => Err(Error::usage("no files are named")),
        (_, true) => Err(Error::Usage {
            what: format!("{} names are too many at once", items.len()),
            hint: Some("name the directory that they are in".into()),
        }),
    }
}

fn put_place(body: &mut Vec<u8>, item: &Item) -> Result<()> {
    let place = item.place.as_ref();
    body.put_u64(place.map_or(0, |place| place.inode));
    let noted = place.filter(|place| place.inode == 0 || place.real != item.path);
    put_path(body, noted.map_or(Path::new(""), |place| &place.real))
}

fn settled_body(number: u64, outcome: &Outcome) -> Result<Vec<u8>> {
    let (code, path, why) = match outcome {
        Outcome::Sent => (SENT, Path::new(""), ""),
        Outcome::Cancelled => (CANCELLED, Path::new(""), ""),
        Outcome::Stopped(Stop::Changed { path, what }) => (CHANGED, path.as_path(), what.as_str()),
        Outcome::Stopped(Stop::Refused(why)) => (REFUSED, Path::new(""), why.as_str()),
    };
    let mut body = new_body(SETTLED, number);
    body.put_u8(code);
    put_path(&mut body, path)?;
    body.put(why.chars().take(MAX_WHY).collect::<String>().as_bytes());
    Ok(body)
}

fn put_path(body: &mut Vec<u8>, path: &Path) -> Result<()> {
    let bytes = file::path_bytes(path).ok_or_else(|| unfit(path))?;
    put_short(body, bytes, path)
}

/// The bytes behind their length; `path` is what they are about.
fn put_short(body: &mut Vec<u8>, bytes: &[u8], path: &Path) -> Result<()> {
    body.put_u16(u16::try_from(bytes.len()).map_err(|_| unfit(path))?);
    body.put(bytes);
    Ok(())
}

fn unfit(path: &Path) -> Error {
    Error::Source {
        path: text::clean_line(&path.to_string_lossy()),
        why: "its name cannot be noted; rename it".into(),
        hint: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn item(path: &str, name: Option<&str>) -> Item {
        let name = name.map(str::to_owned);
        let place = Some(Place { real: format!("/real{path}").into(), inode: 7 });
        Item { path: path.into(), name, is_dir: path.ends_with('d'), size: 1 << 40, modified: -5, place }
    }

    fn outcomes() -> [Outcome; 4] {
        let changed = Stop::Changed { path: "/a/b".into(), what: "it is gone".into() };
        let refused = Stop::Refused("too large".into());
        [Outcome::Sent, Outcome::Cancelled, Outcome::Stopped(changed), Outcome::Stopped(refused)]
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let without = Item { place: None, ..item("/b", None) };
        let itself = Item { place: Some(Place { real: "/c".into(), inode: 8 }), ..item("/c", None) };
        let numberless = Item { place: Some(Place { real: "/d".into(), inode: 0 }), ..item("/d", None) };
        let items = vec![
            item("/a/d", None),
            item("/a/ü", Some("b")),
            item("/\u{202e}", None),
            without,
            itself,
            numberless,
        ];
        let queued = QueueRecord::Queued { number: 9, queued: Some(4), items: items.clone() };
        assert_eq!(decode(&queued_body(9, 4, &items).unwrap()), Ok(queued));
        for outcome in outcomes() {
            assert_eq!(decode(&settled_body(7, &outcome).unwrap()), Ok(QueueRecord::Settled(7, outcome)));
        }
        assert_eq!(decode(&new_body(AFRESH, 0)), Ok(QueueRecord::Afresh));
    }

    #[test]
    fn a_cut_body_is_refused_or_says_less() {
        let items = [item("/a/d", None), item("/b", Some("c"))];
        let body = queued_body(0, 4, &items).unwrap();
        let first = queued_body(0, 4, &items[..1]).unwrap().len();
        for end in (0..body.len()).filter(|end| *end != first) {
            assert!(decode(&body[..end]).is_err(), "cut at {end}");
        }
        for outcome in outcomes() {
            let body = settled_body(7, &outcome).unwrap();
            let fixed = body.len() - if let Outcome::Stopped(_) = outcome { 9 } else { 0 };
            assert!((0..fixed - 1).all(|end| decode(&body[..end]).is_err()), "{outcome:?}");
        }
        for kind in [0, 5, 255] {
            assert_eq!(decode(&new_body(kind, 1)), Err(Malformed("kind")));
        }
    }

    /// A record of the first release, byte by byte: two files, the second under another name.
    #[test]
    fn what_was_queued_before_places_were_noted_is_read() {
        let mut body = new_body(QUEUED_WITHOUT_PLACE, 3);
        for (path, name) in [("/a", ""), ("/b", "c")] {
            body.put_u8(0);
            body.put(&(-5i64).to_be_bytes());
            body.put_u64(1 << 40);
            body.put_u16(2);
            body.put(path.as_bytes());
            body.put_u16(name.len() as u16);
            body.put(name.as_bytes());
        }
        let old = |path, name| Item { place: None, ..item(path, name) };
        let items = vec![old("/a", None), old("/b", Some("c"))];
        assert_eq!(decode(&body), Ok(QueueRecord::Queued { number: 3, queued: None, items }));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt;
        let path: PathBuf = std::ffi::OsStr::from_bytes(b"/a\xff").into();
        let item = Item { path, ..item("", None) };
        let body = queued_body(0, 4, std::slice::from_ref(&item)).unwrap();
        assert_eq!(decode(&body), Ok(QueueRecord::Queued { number: 0, queued: Some(4), items: vec![item] }));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(queued_body(0, 4, &[]).is_err());
        assert!(queued_body(0, 4, &[item(&"x".repeat(65_536), None)]).is_err());
        assert!(queued_body(0, 4, &vec![item(&"x".repeat(4000), None); 300]).is_err());
        let long = Outcome::Stopped(Stop::Refused("ü".repeat(5000)));
        assert!(settled_body(1, &long).unwrap().len() < 3 * MAX_WHY);
    }
}
