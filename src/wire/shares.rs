//! The bodies of SHARES and WANT (egoat-protocol(7), GET): what a node shares with a peer, and what the peer wants of that.
//!
//! ```text
//! SHARES  n u8 ‖ n × (id[16] ‖ entries u32 ‖ bytes u64 ‖ length u8, 1 to 255 ‖ name[length])
//! WANT    n u8, 0 or 1 ‖ n × id[16]
//! ```
//!
//! Decoding is strict, as in `wire::message`. It leaves out who may have what: see `node::files::shares`.

use crate::crypto::keys::INVITE_ID_LEN;
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};

/// What names a share.
pub type ShareId = [u8; INVITE_ID_LEN];

/// Shares in one SHARES; another one follows one with so many.
const MOST: usize = u8::MAX as usize;
/// Longest body of SHARES in bytes.
pub const MAX_SHARES: usize = 1 + MOST * (INVITE_ID_LEN + 4 + 8 + 1 + MAX_NAME);
/// Longest body of WANT in bytes.
pub const MAX_WANT: usize = 1 + INVITE_ID_LEN;
/// Longest name in bytes.
const MAX_NAME: usize = u8::MAX as usize;
/// Shares of a node that have not ended: so many at the most are told to a peer.
pub const MAX_OPEN: usize = 1000;

/// A share as a peer is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFiles {
    /// What names it.
    pub id: ShareId,
    /// Files and directories.
    pub entries: u32,
    /// Bytes of all files.
    pub bytes: u64,
    /// Its first file or directory; not cleaned for a terminal.
    pub name: String,
}

/// The bodies of all SHARES, at least one. A name that cannot be told, as no file has one, is `?`.
pub fn encode(shares: &[SharedFiles]) -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = shares.chunks(MOST).map(encode_part).collect();
    if shares.len().is_multiple_of(MOST) {
        bodies.push(vec![0]);
    }
    bodies
}

fn encode_part(shares: &[SharedFiles]) -> Vec<u8> {
    let mut body = vec![shares.len() as u8];
    for share in shares {
        body.put(&share.id);
        body.put_u32(share.entries);
        body.put_u64(share.bytes);
        let is_fit = (1..=MAX_NAME).contains(&share.name.len());
        let name = if is_fit { &share.name } else { "?" };
        body.put_u8(name.len() as u8);
        body.put(name.as_bytes());
    }
    body
}

/// Decodes one SHARES and appends what it has to `shares`; says whether another one follows.
pub fn decode(body: &[u8], shares: &mut Vec<SharedFiles>) -> Result<bool, Malformed> {
    let mut fields = FieldReader::new(body);
    let count = usize::from(fields.u8("number of shares")?);
    if shares.len() + count > MAX_OPEN {
        return Err(Malformed("number of shares"));
    }
    for _ in 0..count {
        let (id, entries, bytes) = (fields.array("id")?, fields.u32("entries")?, fields.u64("bytes")?);
        let length = usize::from(fields.u8("length")?);
        let name = fields.text(length, "name")?;
        if name.is_empty() {
            return Err(Malformed("name"));
        }
        shares.push(SharedFiles { id, entries, bytes, name: name.to_owned() });
    }
    fields.expect_empty("bytes after the shares")?;
    Ok(count == MOST)
}

/// The body of WANT.
pub fn encode_wanted(wanted: Option<&ShareId>) -> Vec<u8> {
    let mut body = vec![u8::from(wanted.is_some())];
    wanted.into_iter().for_each(|id| body.put(id));
    body
}

/// Decodes the body of WANT; `None` when nothing is wanted.
pub fn decode_wanted(body: &[u8]) -> Result<Option<ShareId>, Malformed> {
    let mut fields = FieldReader::new(body);
    let wanted = match fields.u8("number of ids")? {
        0 => None,
        1 => Some(fields.array("id")?),
        _ => return Err(Malformed("number of ids")),
    };
    fields.expect_empty("bytes after the ids")?;
    Ok(wanted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(count: usize) -> Vec<SharedFiles> {
        let share = |n: usize| SharedFiles {
            id: [n as u8; INVITE_ID_LEN],
            entries: n as u32,
            bytes: u64::MAX - n as u64,
            name: "x".repeat(1 + n % MAX_NAME),
        };
        (0..count).map(share).collect()
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for count in [0, 1, 254, 255, 256, 510, MAX_OPEN] {
            let (shares, mut read) = (shares(count), Vec::new());
            let bodies = encode(&shares);
            for (index, body) in bodies.iter().enumerate() {
                assert!(body.len() <= MAX_SHARES);
                assert_eq!(decode(body, &mut read), Ok(index + 1 < bodies.len()), "{count}");
            }
            assert_eq!(read, shares);
        }
        for wanted in [None, Some([7; INVITE_ID_LEN])] {
            assert_eq!(decode_wanted(&encode_wanted(wanted.as_ref())), Ok(wanted));
        }
    }

    #[test]
    fn a_name_that_cannot_be_told_is_left_out() {
        let mut read = Vec::new();
        let named = |name: String| SharedFiles { name, ..shares(1).remove(0) };
        decode(&encode(&[named("x".repeat(256)), named(String::new())])[0], &mut read).unwrap();
        assert_eq!((read[0].name.as_str(), read[1].name.as_str()), ("?", "?"));
    }

    #[test]
    fn what_is_cut_too_long_or_too_much_is_refused() {
        let body = encode(&shares(3)).remove(0);
        for end in 0..body.len() {
            assert!(decode(&body[..end], &mut Vec::new()).is_err(), "cut at {end}");
        }
        assert!(decode(&[&body[..], &[0]].concat(), &mut Vec::new()).is_err());
        assert!(decode(&body, &mut shares(MAX_OPEN - 2)).is_err());
        let nameless = [&[1; 1 + INVITE_ID_LEN + 4 + 8][..], &[0]].concat();
        assert_eq!(decode(&nameless, &mut Vec::new()), Err(Malformed("name")));
        for body in [&[][..], &[1; INVITE_ID_LEN], &[2; 1 + 2 * INVITE_ID_LEN], &[0, 0]] {
            assert!(decode_wanted(body).is_err(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_back(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut read = Vec::new();
            if decode(&body, &mut read).is_ok() {
                prop_assert_eq!(&encode(&read)[0], &body);
            }
            if let Ok(wanted) = decode_wanted(&body) {
                prop_assert_eq!(encode_wanted(wanted.as_ref()), body);
            }
        }
    }
}
