//! Deleting the beginning of a history (egoat-files(5), HISTORY): the log is written anew, and a record `afresh` stands in the
//! place of what is deleted. It has the number of the record that was first, so that places in the log stay what they are,
//! and all that others may still need to know of what is gone: nothing is stored or said twice because of a deletion.

use crate::crypto::sha256;
use crate::error::Result;
use crate::store::history::{AFRESH, Event, History, Numbers, decode, times};
use crate::store::log::{Appender, Log, MAX_BODY, Reader};
use crate::time;
use crate::wire::codec::{FieldReader, FieldWriter};

/// Bytes of a key in the record: the number of the message, and the start of a hash of the key.
const KEY_LEN: usize = 8 + KEY_HASH;
const KEY_HASH: usize = 16;
/// Keys that are kept; of more, the oldest are forgotten.
const MAX_KEYS: usize = (MAX_BODY - 1024) / KEY_LEN;

fn key_hash(key: &str) -> [u8; KEY_HASH] {
    let mut hash = [0; KEY_HASH];
    hash.copy_from_slice(&sha256(key.as_bytes())[..KEY_HASH]);
    hash
}

/// The keys of delivered messages in a record `afresh`; none in any other.
fn keys_of(body: &[u8]) -> &[u8] {
    let mut fields = FieldReader::new(body);
    match Numbers::take(&mut fields) {
        Ok((AFRESH, _)) => fields.rest(),
        _ => &[],
    }
}

/// The number of the message that had this key, by the body of a record `afresh`.
pub(super) fn find_key(body: &[u8], wanted: &str) -> Option<u64> {
    let hash = key_hash(wanted);
    let mut entries = keys_of(body).chunks_exact(KEY_LEN).filter_map(|entry| entry.split_first_chunk());
    entries.find(|(_, of)| *of == hash).map(|(number, _)| u64::from_be_bytes(*number))
}

/// What is old in a history: all up to a record.
struct Old {
    /// The number of the first record.
    first: u64,
    /// The number of the last record that is old.
    last: u64,
    /// Messages and files among them.
    count: usize,
}

impl Old {
    /// What was noted before `until`, in µs of Unix time. Behind a record that is younger nothing is old, and one whose time
    /// is not known is as old as the one behind it.
    fn find(mut reader: Reader, until: u64) -> Result<Option<Old>> {
        let (mut first, mut count, mut old) = (None, 0, None);
        while let Some(record) = reader.read()? {
            let first = *first.get_or_insert(record.seq);
            count += usize::from(decode(record.body).is_ok());
            match times(record.seq, record.body).ok().and_then(|times| time::believed(times.noted)) {
                Some(noted) if noted >= until => break,
                Some(_) => old = Some(Old { first, last: record.seq, count }),
                None => {}
            }
        }
        Ok(old)
    }
}

/// How many messages and files were noted before `until`, in µs of Unix time.
pub fn count_before(reader: Reader, until: u64) -> Result<usize> {
    Ok(Old::find(reader, until)?.map_or(0, |old| old.count))
}

impl History {
    /// Deletes what was noted before `until`, in µs of Unix time, and returns how many messages and files that were. On disk
    /// when it returns.
    pub fn delete_before(&mut self, until: u64) -> Result<usize> {
        let mut log = self.log.lock()?;
        match Old::find(log.log().reader(), until)? {
            Some(old) => replace(&mut log, &old).map(|()| old.count),
            None => Ok(0),
        }
    }
}

fn replace(log: &mut Appender, old: &Old) -> Result<()> {
    let mut reader = log.log().reader();
    let body = afresh(&mut reader, old)?;
    let rest = std::iter::from_fn(|| {
        let read = reader.read().map(|record| record.map(|record| (record.seq, record.body.to_vec())));
        read.transpose()
    });
    Log::start_afresh(log, &mut std::iter::once(Ok((old.first, body))).chain(rest))
}

/// The body of the record in the place of what is old; `reader` is behind that then.
fn afresh(reader: &mut Reader, old: &Old) -> Result<Vec<u8>> {
    let (mut numbers, mut keys) = (Numbers::default(), Vec::new());
    while let Some(record) = reader.read()? {
        numbers = Numbers::of_body(record.body).unwrap_or(numbers);
        keys.put(keys_of(record.body));
        if let Ok(Event::Sent { number, key, .. }) = decode(record.body)
            && !key.is_empty()
        {
            keys.put_u64(number);
            keys.put(&key_hash(key));
        }
        if record.seq >= old.last {
            break;
        }
    }
    let forgotten = (keys.len() / KEY_LEN).saturating_sub(MAX_KEYS) * KEY_LEN;
    let mut body = vec![AFRESH];
    for field in [numbers.received, numbers.sent, numbers.deleted.max(old.last)] {
        body.put_u64(field);
    }
    body.put(&keys[forgotten..]);
    Ok(body)
}
