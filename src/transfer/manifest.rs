//! The manifest: what a transfer holds (egoat-protocol(7), MANIFEST).
//!
//! ```text
//! entry   kind u8 (0 file, 1 directory) ‖ executable u8 ‖ modified i64, s ‖ size u64 ‖ length u16 ‖ path
//! ```
//!
//! Everything is checked before anything of it is shown or written: see [`crate::transfer::path`].

use crate::transfer::path::{SafePath, check_set};
use crate::wire::codec::{Malformed, Reader, Writer};
use crate::wire::message::{CHUNK, MAX_MANIFEST};

/// Most entries (DESIGN section 5).
pub const MAX_ENTRIES: u32 = 100_000;

/// A file or directory of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes, below the receiver's folder.
    pub path: SafePath,
    /// A directory has no bytes.
    pub is_dir: bool,
    /// The user's x bit.
    pub executable: bool,
    /// Seconds of Unix time.
    pub modified: i64,
    /// Bytes.
    pub size: u64,
}

impl Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        let path = self.path.as_str().as_bytes();
        out.put_u8(self.is_dir.into());
        out.put_u8(self.executable.into());
        out.put(&self.modified.to_be_bytes());
        out.put_u64(self.size);
        out.put_u16(path.len() as u16);
        out.put(path);
    }

    fn decode(fields: &mut Reader) -> Result<Entry, Malformed> {
        let is_dir = flag(fields.u8("kind")?)?;
        let executable = flag(fields.u8("executable")?)?;
        let modified = fields.u64("modified")? as i64;
        let size = fields.u64("size")?;
        let length = fields.u16("path length")?;
        let path = SafePath::parse(fields.text(length.into(), "path")?).map_err(|_| Malformed("path"))?;
        if is_dir && (size != 0 || executable) {
            Err(Malformed("directory"))
        } else {
            Ok(Entry { path, is_dir, executable, modified, size })
        }
    }
}

fn flag(byte: u8) -> Result<bool, Malformed> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("flag")),
    }
}

/// A manifest that keeps the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
    bytes: u64,
}

impl Manifest {
    /// Checks the set as a whole; says what is wrong with it.
    pub fn new(entries: Vec<Entry>) -> Result<Manifest, String> {
        if entries.is_empty() || entries.len() > MAX_ENTRIES as usize {
            return Err(format!("a transfer has 1 to {MAX_ENTRIES} files"));
        }
        check_set(entries.iter().map(|entry| (&entry.path, entry.is_dir)))
            .map_err(|error| error.to_string())?;
        let bytes = entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.size));
        let bytes = bytes
            .filter(|sum| *sum <= i64::MAX as u64)
            .ok_or("the sizes add up to more than any disk holds")?;
        Ok(Manifest { entries, bytes })
    }

    /// The entries, in the order of the byte string.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the chunk at `index`; 0 behind the last one.
    pub fn chunk_len(&self, index: u64) -> usize {
        let start = index.saturating_mul(CHUNK as u64);
        self.bytes.saturating_sub(start).min(CHUNK as u64) as usize
    }

    /// The number of chunks.
    pub fn chunks(&self) -> u64 {
        self.bytes.div_ceil(CHUNK as u64)
    }

    /// The bodies of the MANIFEST messages: whole entries, as many as fit.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let mut parts = vec![Vec::new()];
        let mut encoded = Vec::new();
        for entry in &self.entries {
            encoded.clear();
            entry.encode(&mut encoded);
            match parts.last_mut() {
                Some(part) if part.len() + encoded.len() <= MAX_MANIFEST => part.extend_from_slice(&encoded),
                _ => parts.push(encoded.clone()),
            }
        }
        parts
    }

    /// Decodes one MANIFEST message's body behind the entries that came before.
    pub fn decode_part(part: &[u8], entries: &mut Vec<Entry>, limit: u32) -> Result<(), Malformed> {
        let mut fields = Reader::new(part);
        if part.is_empty() {
            return Err(Malformed("entry"));
        }
        while !fields.is_empty() {
            if entries.len() >= limit as usize {
                return Err(Malformed("entries"));
            }
            entries.push(Entry::decode(&mut fields)?);
        }
        Ok(())
    }

    /// The pieces of files that the chunk at `index` is made of, in order: entry, offset in its file, bytes.
    pub fn pieces(&self, cursor: &mut Cursor, index: u64) -> Vec<Piece> {
        let mut at = index * CHUNK as u64;
        let end = at + self.chunk_len(index) as u64;
        if cursor.start > at {
            *cursor = Cursor::default();
        }
        let mut pieces = Vec::new();
        while at < end {
            let size = self.entries[cursor.entry].size;
            if at >= cursor.start + size {
                cursor.start += size;
                cursor.entry += 1;
                continue;
            }
            let offset = at - cursor.start;
            let length = (size - offset).min(end - at);
            pieces.push(Piece { entry: cursor.entry, offset, length: length as usize });
            at += length;
        }
        pieces
    }
}

/// Where in the manifest the last chunk was, so that the next is found without a search.
#[derive(Clone, Copy, Default)]
pub struct Cursor {
    entry: usize,
    start: u64,
}

/// A part of a chunk that lies in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Index of the entry.
    pub entry: usize,
    /// Bytes from the start of its file.
    pub offset: u64,
    /// Bytes.
    pub length: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(name: &str, size: u64) -> Entry {
        Entry {
            path: SafePath::parse(name).expect(name),
            is_dir: false,
            executable: false,
            modified: -5,
            size,
        }
    }

    #[test]
    fn parts_decode_to_the_same_entries() {
        let entries: Vec<Entry> = (0..5000).map(|n| file(&format!("dir/some file {n}"), n)).collect();
        let manifest = Manifest::new(entries.clone()).expect("good");
        let parts = manifest.parts();
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= MAX_MANIFEST));
        let mut decoded = Vec::new();
        for part in parts {
            Manifest::decode_part(&part, &mut decoded, 5000).expect("decodes");
        }
        assert_eq!(decoded, entries);
    }

    #[test]
    fn every_proper_prefix_fails_or_is_fewer_entries() {
        let part = Manifest::new(vec![file("a", 1), file("b", 2)]).expect("good").parts().remove(0);
        for end in 0..part.len() {
            let mut entries = Vec::new();
            let whole = Manifest::decode_part(&part[..end], &mut entries, 9).is_ok();
            assert_eq!(whole, end == part.len() / 2, "cut at {end}");
        }
    }

    #[test]
    fn bad_manifests_are_refused() {
        assert!(Manifest::new(vec![]).is_err());
        assert!(Manifest::new(vec![file("a", u64::MAX), file("b", 1)]).is_err());
        assert!(Manifest::new(vec![file("a", i64::MAX as u64 + 1)]).is_err());
        assert!(Manifest::new(vec![file("A", 1), file("a", 1)]).is_err());
        let mut evil = Vec::new();
        file("ab/cd", 1).encode(&mut evil);
        let place = evil.len() - 5;
        for name in [
            b"../cd",
            b"/b/cd",
            b"a//cd",
            b"a\\bcd",
            b"a\x1b[2J",
            b"aux.c",
            b"ab/..",
            b"\xff\xff\xff\xff\xff",
        ] {
            evil[place..].copy_from_slice(name);
            assert!(Manifest::decode_part(&evil, &mut Vec::new(), 9).is_err(), "{name:?}");
        }
        let mut two = evil.clone();
        two.extend_from_slice(&evil);
        assert!(Manifest::decode_part(&two, &mut Vec::new(), 1).is_err(), "more entries than were announced");
    }

    proptest! {
        #[test]
        fn pieces_cover_every_byte_once_in_order(sizes in proptest::collection::vec(0u64..700_000, 1..12)) {
            let entries: Vec<Entry> = sizes.iter().enumerate().map(|(n, size)| file(&n.to_string(), *size)).collect();
            let manifest = Manifest::new(entries).expect("good");
            let mut covered = vec![0u64; sizes.len()];
            let mut cursor = Cursor::default();
            for index in 0..manifest.chunks() {
                let pieces = manifest.pieces(&mut cursor, index);
                let length: usize = pieces.iter().map(|piece| piece.length).sum();
                prop_assert_eq!(length, manifest.chunk_len(index));
                for piece in &pieces {
                    prop_assert_eq!(piece.offset, covered[piece.entry]);
                    covered[piece.entry] += piece.length as u64;
                }
                let mut fresh = Cursor::default();
                prop_assert_eq!(pieces, manifest.pieces(&mut fresh, index), "the cursor is only a short cut");
            }
            prop_assert_eq!(covered, sizes);
        }
    }
}
