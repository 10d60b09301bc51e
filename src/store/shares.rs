//! What this node shares (egoat-files(5), SHARES): which files, who may fetch them, and until when.
//!
//! ```text
//! body  1 shared:  token[16] ‖ shared u64, µs ‖ until u64, µs, or 0 ‖ once u8 ‖ entries u32 ‖ bytes u64
//!                  ‖ n u16 ‖ n × key[32] ‖ items, as store::queued_files writes them
//!       2 stopped: id[16] ‖ when u64, µs
//!       3 used:    id[16] ‖ when u64, µs ‖ key[32]
//! ```
//!
//! A share that has ended is known for a while, so that those who come later learn why they get nothing.
//! [`ListedShares`] follows the log without a lock, as its neighbours do. It leaves out the files themselves
//! (`store::source`), and who fetches them just now (`node::files::shares`).

use crate::crypto::keys::{InviteToken, PublicKey};
use crate::error::{Error, Result};
use crate::store::log::{COMPACT_ABOVE, Log, LogId, Reader, Report};
use crate::store::own_files::OwnFiles;
use crate::store::queued_files::{decode_items, put_items};
use crate::store::source::Item;
use crate::time::now_micros;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};
use crate::wire::shares::{MAX_OPEN, ShareId, SharedFiles};

const SHARED: u8 = 1;
const STOPPED: u8 = 2;
const USED: u8 = 3;

/// How long a share that has ended is known: 30 days in µs.
const ENDED_KEPT: u64 = 30 * 24 * 3600 * 1_000_000;
/// Shares that have ended, at the most.
const MAX_ENDED: usize = 5000;

/// Files and directories that others may fetch.
#[derive(Clone)]
pub struct Share {
    /// Its secret, which is in its link, if it has one.
    pub token: InviteToken,
    /// The token's public name.
    pub id: ShareId,
    /// When it was made, in µs of Unix time.
    shared: u64,
    /// When its time is over, in µs of Unix time.
    pub until: Option<u64>,
    /// It ends when somebody has fetched it.
    pub is_once: bool,
    /// Files and directories that it had when it was made.
    pub entries: u32,
    /// Their bytes.
    pub bytes: u64,
    /// The peers who may fetch it; whoever has the link, if there are none.
    pub to: Vec<PublicKey>,
    /// What it holds, each under the name that it is sent by; at least one.
    pub items: Vec<Item>,
    stopped: Option<u64>,
    used: Option<(u64, PublicKey)>,
}

/// Why a share has ended.
pub enum End {
    /// This key has all of what was meant for one.
    UsedUp(PublicKey),
    /// Its user has stopped it.
    Stopped,
    /// It was for a time that is over.
    TimeOver,
}

impl Share {
    /// A new one of these items, which add up to so many entries and bytes; known to nobody yet.
    pub fn new(items: Vec<Item>, (entries, bytes): (u32, u64)) -> Share {
        let token = InviteToken::generate();
        Share {
            id: token.invite_id(),
            token,
            shared: now_micros(),
            until: None,
            is_once: false,
            entries,
            bytes,
            to: Vec::new(),
            items,
            stopped: None,
            used: None,
        }
    }

    /// The name of what it holds first.
    pub fn name(&self) -> &str {
        self.items.first().and_then(|item| item.name.as_deref()).unwrap_or_default()
    }

    /// Whether it has a link.
    pub fn has_link(&self) -> bool {
        self.to.is_empty()
    }

    /// Whether it was meant for one, who has all of it.
    pub fn is_used_up(&self) -> bool {
        self.used.is_some()
    }

    /// Whether its time is over, or it was stopped.
    pub fn is_over(&self) -> bool {
        self.stopped.is_some() || self.until.is_some_and(|until| now_micros() >= until)
    }

    /// Whether its user has stopped it.
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Whether it can be fetched by somebody who has fetched nothing of it yet.
    pub fn is_open(&self) -> bool {
        !self.is_over() && self.used.is_none()
    }

    /// What is not as it was when it was shared; looks at the disk.
    pub fn change(&self, own: &OwnFiles) -> Option<String> {
        let change = |item: &Item| Some(format!("{}: {}", item.path.display(), item.change(own)?));
        self.items.iter().find_map(change)
    }

    /// As a peer is told of it.
    pub fn told(&self) -> SharedFiles {
        SharedFiles { id: self.id, entries: self.entries, bytes: self.bytes, name: self.name().to_owned() }
    }

    /// When it ended, in µs of Unix time, and why; `None` while it goes on.
    pub fn ended(&self) -> Option<(u64, End)> {
        let used = self.used.map(|(when, key)| (when, End::UsedUp(key)));
        let ends = [
            used,
            self.stopped.map(|when| (when, End::Stopped)),
            self.until.map(|until| (until, End::TimeOver)),
        ];
        ends.into_iter().flatten().min_by_key(|(when, _)| *when).filter(|(when, _)| *when <= now_micros())
    }

    fn is_forgotten(&self) -> bool {
        self.ended().is_some_and(|(ended, _)| ended.saturating_add(ENDED_KEPT) <= now_micros())
    }

    /// The records that say all of it.
    fn bodies(&self) -> Result<Vec<Vec<u8>>> {
        let mut bodies = vec![self.body()?];
        bodies.extend(self.stopped.map(|when| ended_body(STOPPED, &self.id, when, None)));
        bodies.extend(self.used.map(|(when, key)| ended_body(USED, &self.id, when, Some(&key))));
        Ok(bodies)
    }

    fn body(&self) -> Result<Vec<u8>> {
        let mut body = vec![SHARED];
        body.put(self.token.as_bytes());
        body.put_u64(self.shared);
        body.put_u64(self.until.unwrap_or(0));
        body.put_u8(self.is_once.into());
        body.put_u32(self.entries);
        body.put_u64(self.bytes);
        let count = u16::try_from(self.to.len()).map_err(|_| Error::usage("these are too many peers"))?;
        body.put_u16(count);
        self.to.iter().for_each(|key| body.put(key.as_bytes()));
        put_items(&mut body, &self.items)?;
        Ok(body)
    }
}

fn ended_body(kind: u8, id: &ShareId, when: u64, key: Option<&PublicKey>) -> Vec<u8> {
    let mut body = vec![kind];
    body.put(id);
    body.put_u64(when);
    key.into_iter().for_each(|key| body.put(key.as_bytes()));
    body
}

/// The shares, open for changes.
pub struct Shares {
    log: Log,
    listed: ListedShares,
}

impl Shares {
    /// Opens or creates the log.
    pub fn open(id: LogId, report: Report) -> Result<Shares> {
        let log = Log::open(id.clone(), Report::clone(&report))?;
        Ok(Shares { log, listed: ListedShares::new(id, report) })
    }

    /// Adds a share; on disk when it returns. An error if there are too many.
    pub fn add(&mut self, share: Share) -> Result<()> {
        let body = share.body()?;
        let mut log = self.log.lock()?;
        self.listed.catch_up()?;
        if self.listed.shares.iter().filter(|share| share.is_open()).count() >= MAX_OPEN {
            return Err(Error::Failed {
                what: format!("{MAX_OPEN} shares are there already"),
                hint: Some("end some: `egoat share list`, `egoat share stop ID`".into()),
            });
        }
        let seq = log.next_seq();
        if log.log().len() > COMPACT_ABOVE {
            let mut bodies = Vec::new();
            for share in &self.listed.shares {
                bodies.extend(share.bodies()?);
            }
            bodies.push(body.clone());
            let mut records = bodies.into_iter().zip(seq..).map(|(body, seq)| Ok((seq, body)));
            if Log::shorten(&mut log, &mut records) {
                return Ok(());
            }
        }
        log.push(seq, &body)?;
        log.commit(true)
    }

    /// Stops a share; on disk when it returns. Says whether it was open.
    pub fn stop(&mut self, id: &ShareId) -> Result<bool> {
        self.end(id, STOPPED, None)
    }

    /// Notes that this key has all of a share that is meant to be fetched once; on disk when it returns. Says whether it is the
    /// first that has.
    pub fn use_up(&mut self, id: &ShareId, key: &PublicKey) -> Result<bool> {
        self.end(id, USED, Some(key))
    }

    fn end(&mut self, id: &ShareId, kind: u8, key: Option<&PublicKey>) -> Result<bool> {
        let mut log = self.log.lock()?;
        self.listed.catch_up()?;
        // What was begun in time may be used up later.
        let is_due = |share: &Share| share.used.is_none() && (kind == USED || share.is_open());
        if !self.listed.shares.iter().any(|share| share.id == *id && is_due(share)) {
            return Ok(false);
        }
        let seq = log.next_seq();
        log.push(seq, &ended_body(kind, id, now_micros(), key))?;
        log.commit(true)?;
        Ok(true)
    }
}

/// All shares that are known, as far as the log says now. The log need not exist.
pub struct ListedShares {
    reader: Reader,
    /// Oldest first.
    shares: Vec<Share>,
}

impl ListedShares {
    /// Reads the log from its start when it is asked for the first time, and from then on what is new.
    pub fn new(id: LogId, report: Report) -> ListedShares {
        ListedShares { reader: Reader::new(id, report), shares: Vec::new() }
    }

    /// All of them, oldest first.
    pub fn all(&mut self) -> Result<&[Share]> {
        self.catch_up()?;
        Ok(&self.shares)
    }

    /// The one with this id, also if it has ended.
    pub fn find(&mut self, id: &ShareId) -> Result<Option<&Share>> {
        self.catch_up()?;
        Ok(self.shares.iter().find(|share| share.id == *id))
    }

    fn catch_up(&mut self) -> Result<()> {
        while let Some(record) = self.reader.read()? {
            match decode(record.body) {
                // A log that was started afresh has them once more.
                Ok(ShareRecord::Shared(new)) if self.shares.iter().any(|share| share.id == new.id) => {}
                Ok(ShareRecord::Shared(share)) => self.shares.push(*share),
                Ok(ShareRecord::Stopped(id, when)) => {
                    self.shares.iter_mut().filter(|share| share.id == id).for_each(|share| {
                        share.stopped = Some(when);
                    });
                }
                Ok(ShareRecord::Used(id, when, key)) => {
                    self.shares.iter_mut().filter(|share| share.id == id).for_each(|share| {
                        share.used = Some((when, key));
                    });
                }
                Err(Malformed(_)) => {}
            }
        }
        self.shares.retain(|share| !share.is_forgotten());
        let mut left_over =
            self.shares.iter().filter(|share| !share.is_open()).count().saturating_sub(MAX_ENDED);
        self.shares.retain(|share| {
            let is_kept = left_over == 0 || share.is_open();
            left_over -= usize::from(!is_kept);
            is_kept
        });
        Ok(())
    }
}

/// What a record says.
enum ShareRecord {
    Shared(Box<Share>),
    Stopped(ShareId, u64),
    Used(ShareId, u64, PublicKey),
}

fn decode(body: &[u8]) -> std::result::Result<ShareRecord, Malformed> {
    let mut fields = FieldReader::new(body);
    let (kind, name) = (fields.u8("kind")?, fields.array("token or id")?);
    let record = match kind {
        SHARED => ShareRecord::Shared(Box::new(decode_share(InviteToken::from_bytes(name), &mut fields)?)),
        STOPPED => ShareRecord::Stopped(name, fields.u64("when")?),
        USED => ShareRecord::Used(name, fields.u64("when")?, decode_key(&mut fields)?),
        _ => return Err(Malformed("kind")),
    };
    fields.expect_empty("bytes after the record")?;
    Ok(record)
}

fn decode_share(token: InviteToken, fields: &mut FieldReader) -> std::result::Result<Share, Malformed> {
    let shared = fields.u64("shared")?;
    let until = Some(fields.u64("until")?).filter(|until| *until != 0);
    let is_once = fields.u8("once")? != 0;
    let (entries, bytes) = (fields.u32("entries")?, fields.u64("bytes")?);
    let count = fields.u16("number of peers")?;
    let mut to = Vec::new();
    for _ in 0..count {
        to.push(decode_key(fields)?);
    }
    let items = decode_items(fields, true)?;
    let id = token.invite_id();
    Ok(Share { token, id, shared, until, is_once, entries, bytes, to, items, stopped: None, used: None })
}

fn decode_key(fields: &mut FieldReader) -> std::result::Result<PublicKey, Malformed> {
    PublicKey::from_bytes(fields.array("key")?).map_err(|_| Malformed("key"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;
    use crate::store::log::Kind;
    use std::sync::Arc;

    fn key(number: u8) -> PublicKey {
        Seed::from_bytes([number; 32]).static_keys().public()
    }

    fn item(path: &str) -> Item {
        let name = Some(path[1..].to_owned());
        Item { path: path.into(), name, is_dir: false, size: 7, modified: -5, place: None }
    }

    fn share(path: &str) -> Share {
        Share::new(vec![item(path)], (1, 7))
    }

    fn silent() -> Report {
        Arc::new(|_: &str| ())
    }

    fn log(dir: &tempfile::TempDir) -> LogId {
        LogId::new(dir.path().join("shares.log"), Kind::Shares, &key(1), &Seed::from_bytes([1; 32]))
    }

    fn open(dir: &tempfile::TempDir) -> (Shares, ListedShares) {
        (Shares::open(log(dir), silent()).unwrap(), ListedShares::new(log(dir), silent()))
    }

    #[test]
    fn what_is_noted_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (mut shares, mut listed) = open(&dir);
        assert!(listed.all().unwrap().is_empty());
        let whole = Share {
            until: Some(now_micros() + 1_000_000_000),
            is_once: true,
            to: vec![key(2), key(3)],
            items: vec![item("/a"), Item { is_dir: true, ..item("/b") }],
            ..share("/a")
        };
        shares.add(whole.clone()).unwrap();
        let read = listed.find(&whole.id).unwrap().unwrap();
        assert_eq!((read.token.as_bytes(), read.id), (whole.token.as_bytes(), whole.token.invite_id()));
        assert_eq!((read.until, read.is_once, &read.to), (whole.until, true, &whole.to));
        assert_eq!((&read.items, read.entries, read.bytes), (&whole.items, 1, 7));
        assert!(read.is_open() && !read.has_link() && read.name() == "a");

        assert!(shares.use_up(&whole.id, &key(2)).unwrap());
        assert!(!shares.use_up(&whole.id, &key(3)).unwrap(), "it is used up");
        let read = listed.find(&whole.id).unwrap().unwrap();
        assert_eq!((read.is_used_up(), read.is_open(), read.is_over()), (true, false, false));
        assert!(matches!(read.ended(), Some((_, End::UsedUp(user))) if user == key(2)));
        let other = share("/c");
        assert!(!shares.stop(&other.id).unwrap(), "it is not there");
        shares.add(other.clone()).unwrap();
        assert!(shares.stop(&other.id).unwrap() && !shares.stop(&other.id).unwrap());
        assert!(listed.find(&other.id).unwrap().unwrap().is_stopped());
    }

    #[test]
    fn a_cut_record_is_none() {
        let shared = Share { to: vec![key(2)], ..share("/a") };
        for body in [
            shared.body().unwrap(),
            ended_body(STOPPED, &shared.id, 9, None),
            ended_body(USED, &shared.id, 9, Some(&key(2))),
        ] {
            assert!(decode(&body).is_ok());
            assert!((0..body.len()).all(|end| decode(&body[..end]).is_err()), "{body:?}");
            assert!(decode(&[&body[..], &[0]].concat()).is_err());
        }
        assert!(decode(&[9; 40]).is_err());
    }

    #[test]
    fn what_ended_long_ago_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (mut shares, mut listed) = open(&dir);
        let over = |ago| Share { until: Some(now_micros() - ago), ..share("/a") };
        let (late, old) = (over(1), over(ENDED_KEPT + 1_000_000));
        shares.add(late.clone()).unwrap();
        shares.add(old.clone()).unwrap();
        assert!(listed.find(&late.id).unwrap().unwrap().is_over());
        assert!(listed.find(&old.id).unwrap().is_none());
    }

    #[test]
    fn there_are_no_more_than_can_be_told() {
        let dir = tempfile::tempdir().unwrap();
        let (mut shares, mut listed) = open(&dir);
        let mut last = share("/a");
        // One log for all: each append is synced.
        let mut log = shares.log.lock().unwrap();
        for seq in 1..MAX_OPEN as u64 {
            log.push(seq, &share("/a").body().unwrap()).unwrap();
        }
        log.commit(true).unwrap();
        shares.add(last.clone()).unwrap();
        assert!(shares.add(share("/b")).is_err());
        shares.stop(&last.id).unwrap();
        last = share("/c");
        shares.add(last).unwrap();
        assert_eq!(listed.all().unwrap().iter().filter(|share| share.is_open()).count(), MAX_OPEN);
    }

    /// Readers that have it open see no difference.
    #[test]
    fn a_log_that_has_grown_is_started_afresh() {
        let dir = tempfile::tempdir().unwrap();
        let (mut shares, mut listed) = open(&dir);
        let long = |path: String| Share {
            items: vec![item(&format!("/{}", "x".repeat(50_000))); 4],
            ..share(&path)
        };
        let stopped: Vec<Share> = (0..4).map(|number| long(format!("/{number}"))).collect();
        for one in &stopped {
            shares.add(one.clone()).unwrap();
            shares.stop(&one.id).unwrap();
        }
        assert_eq!(listed.all().unwrap().len(), 4);
        let before = std::fs::metadata(dir.path().join("shares.log")).unwrap().len();
        assert!(before > COMPACT_ABOVE);
        let new = share("/new");
        shares.add(new.clone()).unwrap();
        for mut listed in [listed, ListedShares::new(log(&dir), silent())] {
            let all = listed.all().unwrap();
            assert_eq!(all.iter().map(|share| share.id).collect::<Vec<_>>(), {
                stopped.iter().chain([&new]).map(|share| share.id).collect::<Vec<_>>()
            });
            assert!(all[..4].iter().all(Share::is_stopped) && all[4].is_open());
        }
        assert!(shares.stop(&new.id).unwrap());
    }
}
