//! The manifest: what a transfer holds (egoat-protocol(7), MANIFEST).
//!
//! ```text
//! entry   kind u8 (0 file, 1 directory) ‖ executable u8 ‖ modified i64, ns ‖ size u64 ‖ length u16 ‖ path
//! ```
//!
//! Everything is checked before anything of it is shown or written: see [`crate::transfer::path`].

use std::collections::{HashMap, HashSet};

use crate::store::source::MAX_ENTRIES;
use crate::store::space::Usage;
use crate::text;
use crate::transfer::path::{NameList, SafePath, check_set, shortened};
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};
use crate::wire::message::{CHUNK, MAX_MANIFEST};

/// Names with a dot that are shown of an offer.
const DOTS_SHOWN: usize = 5;

/// A file or directory of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes, below the receiver's folder.
    pub path: SafePath,
    /// A directory has no bytes.
    pub is_dir: bool,
    /// The user's x bit.
    pub executable: bool,
    /// Nanoseconds of Unix time.
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

    /// `None` for a path that breaks a rule, which is noted.
    fn decode(fields: &mut FieldReader, refused: &mut NameList) -> Result<Option<Entry>, Malformed> {
        let is_dir = flag(fields.u8("kind")?)?;
        let executable = flag(fields.u8("executable")?)?;
        let modified = fields.u64("modified")? as i64;
        let size = fields.u64("size")?;
        let length = fields.u16("path length")?;
        let path = fields.text(length.into(), "path")?;
        if is_dir && (size != 0 || executable) {
            return Err(Malformed("directory"));
        }
        Ok(match SafePath::parse(path) {
            Ok(path) => Some(Entry { path, is_dir, executable, modified, size }),
            Err(rule) => {
                refused.note(path, &rule);
                None
            }
        })
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
    /// Where each entry ends in the byte string.
    ends: Vec<u64>,
}

impl Manifest {
    /// Checks the set as a whole; says what is wrong with it.
    pub fn new(entries: Vec<Entry>) -> Result<Manifest, String> {
        if entries.is_empty() || entries.len() > MAX_ENTRIES as usize {
            return Err(format!("a transfer has 1 to {MAX_ENTRIES} files"));
        }
        check_set(entries.iter().map(|entry| (&entry.path, entry.is_dir)))
            .map_err(|error| error.to_string())?;
        let mut ends = Vec::with_capacity(entries.len());
        let mut end = 0u64;
        for entry in &entries {
            end = end
                .checked_add(entry.size)
                .filter(|sum| *sum <= i64::MAX as u64)
                .ok_or("the sizes add up to more than any disk holds")?;
            ends.push(end);
        }
        Ok(Manifest { entries, ends })
    }

    /// The same files, none of them executable.
    pub fn without_programs(mut self) -> Manifest {
        self.entries.iter_mut().for_each(|entry| entry.executable = false);
        self
    }

    /// The entries, in the order of the byte string.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// How many of the entries are files.
    pub fn files(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.is_dir).count()
    }

    /// What it takes up where it lands, with the directories that it does not list by themselves.
    pub fn usage(&self) -> Usage {
        let mut names = HashSet::new();
        for path in self.entries.iter().map(|entry| entry.path.as_str()) {
            names.extend(path.match_indices('/').map(|(end, _)| &path[..end]));
            names.insert(path);
        }
        Usage { bytes: self.bytes(), entries: names.len() as u64 }
    }

    /// What is at the top, in order: a name, whether it is a directory, and the bytes of all files in it.
    pub fn tops(&self) -> Vec<(&str, bool, u64)> {
        let mut tops: Vec<(&str, bool, u64)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for entry in &self.entries {
            let mut components = entry.path.components();
            let Some(name) = components.next() else { continue };
            let place = *places.entry(name).or_insert(tops.len());
            match tops.get_mut(place) {
                Some((_, _, bytes)) => *bytes += entry.size,
                None => tops.push((name, entry.is_dir || components.next().is_some(), entry.size)),
            }
        }
        tops
    }

    /// The names at the top that begin with a dot, or with a dot after what nobody sees and some disks ignore; and whether each
    /// is a directory.
    pub fn dot_names(&self) -> Vec<(&str, bool)> {
        let begins = |name: &str| name.chars().find(|c| text::is_clean(*c)) == Some('.');
        self.tops()
            .into_iter()
            .filter(|(name, ..)| begins(name))
            .map(|(name, is_dir, _)| (name, is_dir))
            .collect()
    }

    /// What somebody who is asked about the files has to know of those names, in one line that is clean for a terminal; empty
    /// if there are none.
    pub fn dot_note(&self) -> String {
        let dots = self.dot_names();
        let shown: Vec<String> = dots.iter().take(DOTS_SHOWN).map(|(name, _)| shortened(name)).collect();
        let more = if dots.len() > shown.len() { ", ..." } else { "" };
        match dots.len() {
            0 => String::new(),
            1 => format!("1 name at the top begins with a dot: {}", shown[0]),
            count => format!("{count} names at the top begin with a dot: {}{more}", shown.join(", ")),
        }
    }

    /// The same as a history has it: bytes and names.
    pub fn listing(&self) -> Vec<(u64, String)> {
        self.tops().into_iter().map(|(name, _, bytes)| (bytes, name.to_owned())).collect()
    }

    /// What to call it in one line, clean for a terminal: the name of what comes first at the top, and how much more
    /// there is.
    pub fn title(&self) -> String {
        text::clean_line(&match self.tops()[..] {
            [] => String::new(),
            [(name, true, _)] => format!("{name}/"),
            [(name, false, _)] => name.to_owned(),
            [(first, ..), ref more @ ..] => format!("{first} and {} more", more.len()),
        })
    }

    /// Bytes of the chunk at `index`; 0 behind the last one.
    pub fn chunk_len(&self, index: u64) -> usize {
        let start = index.saturating_mul(CHUNK as u64);
        self.bytes().saturating_sub(start).min(CHUNK as u64) as usize
    }

    /// The number of chunks.
    pub fn chunks(&self) -> u64 {
        self.bytes().div_ceil(CHUNK as u64)
    }

    /// Gives each entry as it is encoded, in order.
    pub fn each_encoded(&self, mut each: impl FnMut(&[u8])) {
        let mut encoded = Vec::new();
        for entry in &self.entries {
            encoded.clear();
            entry.encode(&mut encoded);
            each(&encoded);
        }
    }

    /// The bodies of the MANIFEST messages: whole entries, as many as fit.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let mut parts = vec![Vec::new()];
        self.each_encoded(|encoded| match parts.last_mut() {
            Some(part) if part.len() + encoded.len() <= MAX_MANIFEST => part.extend_from_slice(encoded),
            _ => parts.push(encoded.to_vec()),
        });
        parts
    }

    /// Decodes one MANIFEST message's body behind the entries that came before. Paths that break a rule are `refused`, and
    /// count as entries.
    pub fn decode_part(
        part: &[u8],
        entries: &mut Vec<Entry>,
        refused: &mut NameList,
        limit: u32,
    ) -> Result<(), Malformed> {
        let mut fields = FieldReader::new(part);
        if part.is_empty() {
            return Err(Malformed("entry"));
        }
        while !fields.is_empty() {
            if entries.len() + refused.count() >= limit as usize {
                return Err(Malformed("entries"));
            }
            entries.extend(Entry::decode(&mut fields, refused)?);
        }
        Ok(())
    }

    /// Gives the spans of files that `length` bytes from `at` on are made of, in order.
    pub fn spans<E>(
        &self,
        mut at: u64,
        length: usize,
        mut each: impl FnMut(Span) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = at + length as u64;
        // Files of no bytes end where they start, and are passed over.
        let mut entry = self.ends.partition_point(|file_end| *file_end <= at);
        while at < end {
            let offset = at - self.start(entry);
            let length = (self.ends[entry].min(end) - at) as usize;
            if length > 0 {
                each(Span { entry, offset, length })?;
            }
            at += length as u64;
            entry += 1;
        }
        Ok(())
    }

    /// Where the file at `entry` starts in the byte string.
    pub fn start(&self, entry: usize) -> u64 {
        self.ends[entry] - self.entries[entry].size
    }
}

/// A part of the byte string that lies in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
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
            Manifest::decode_part(&part, &mut decoded, &mut NameList::default(), 5000).expect("decodes");
        }
        assert_eq!(decoded, entries);
    }

    #[test]
    fn every_proper_prefix_fails_or_is_fewer_entries() {
        let part = Manifest::new(vec![file("a", 1), file("b", 2)]).expect("good").parts().remove(0);
        for end in 0..part.len() {
            let mut entries = Vec::new();
            let whole =
                Manifest::decode_part(&part[..end], &mut entries, &mut NameList::default(), 9).is_ok();
            assert_eq!(whole, end == part.len() / 2, "cut at {end}");
        }
    }

    #[test]
    fn directories_that_are_not_listed_take_room_as_well() {
        let mut listed = file("a/b", 0);
        listed.is_dir = true;
        let manifest = Manifest::new(vec![file("a/b/c", 5), file("a/b/d", 6), listed, file("e", 7)]);
        assert_eq!(manifest.expect("good").usage(), Usage { bytes: 18, entries: 5 });
    }

    #[test]
    fn bad_manifests_are_refused() {
        assert!(Manifest::new(vec![]).is_err());
        assert!(Manifest::new(vec![file("a", u64::MAX), file("b", 1)]).is_err());
        assert!(Manifest::new(vec![file("a", i64::MAX as u64 + 1)]).is_err());
        assert!(Manifest::new(vec![file("a", 1), file("a", 1)]).is_err());
        let mut evil = Vec::new();
        file("ab/cd", 1).encode(&mut evil);
        let place = evil.len() - 5;
        let mut refused = NameList::default();
        for name in [b"../cd", b"/b/cd", b"a//cd", b"a\x1b[2J", b"ab/.."] {
            evil[place..].copy_from_slice(name);
            let mut entries = Vec::new();
            Manifest::decode_part(&evil, &mut entries, &mut refused, 9).expect("an entry");
            assert!(entries.is_empty(), "{name:?}");
        }
        assert_eq!(refused.count(), 5);
        evil[place..].copy_from_slice(b"\xff\xff\xff\xff\xff");
        assert!(Manifest::decode_part(&evil, &mut Vec::new(), &mut refused, 9).is_err());
        evil[place..].copy_from_slice(b"ab/..");
        let mut two = evil.clone();
        two.extend_from_slice(&evil);
        let more = Manifest::decode_part(&two, &mut Vec::new(), &mut NameList::default(), 1);
        assert!(more.is_err(), "more entries than were announced");
    }

    proptest! {
        #[test]
        fn spans_cover_every_byte_once_in_order(
            sizes in proptest::collection::vec(prop_oneof![Just(0u64), 0u64..700_000], 1..12),
            step in 1usize..300_000,
        ) {
            let entries: Vec<Entry> = sizes.iter().enumerate().map(|(n, size)| file(&n.to_string(), *size)).collect();
            let manifest = Manifest::new(entries).expect("good");
            let mut covered = vec![0u64; sizes.len()];
            let mut at = 0;
            while at < manifest.bytes() {
                let length = step.min((manifest.bytes() - at) as usize);
                let mut left = length;
                manifest.spans(at, length, |span| {
                    prop_assert_eq!(span.offset, covered[span.entry]);
                    covered[span.entry] += span.length as u64;
                    left -= span.length;
                    Ok(())
                })?;
                prop_assert_eq!(left, 0);
                at += length as u64;
            }
            prop_assert_eq!(covered, sizes);
        }
    }
}
