//! What a peer says of the files that it offers: the manifest, and the paths in it.

use std::path::{Component, Path};

use egoat::text::acts_on_text;
use egoat::transfer::manifest::{Entry, Manifest};
use egoat::transfer::path::{MAX_COMPONENT, MAX_DEPTH, MAX_PATH, NameList, SafePath, numbered};
use egoat::wire::message::CHUNK;

use super::words::{is_forbidden, is_joiner};

/// Entries that were announced.
const LIMIT: u32 = 1000;

/// The body of a MANIFEST message.
pub fn manifest(input: &[u8]) -> Option<Vec<u8>> {
    let (mut entries, mut refused) = (Vec::new(), NameList::default());
    Manifest::decode_part(input, &mut entries, &mut refused, LIMIT).ok()?;
    assert!((1..=LIMIT as usize).contains(&(entries.len() + refused.count())));
    if !refused.is_empty() {
        assert!(refused.to_string().lines().all(is_one_line), "{refused}");
        return None;
    }
    let Ok(manifest) = Manifest::new(entries.clone()) else {
        each_encodes_back(&entries, input);
        return None;
    };
    assert_eq!(manifest.parts().concat(), input);
    assert_eq!(manifest.entries(), entries);
    assert!(manifest.files() <= entries.len());
    assert!(is_one_line(&manifest.title()), "{:?}", manifest.title());
    assert_eq!(manifest.tops().iter().map(|(_, _, bytes)| bytes).sum::<u64>(), manifest.bytes());
    spans_lie_in_their_files(&manifest);
    Some(input.to_vec())
}

/// Entries that may not stand together: each alone does.
fn each_encodes_back(entries: &[Entry], input: &[u8]) {
    let alone = |entry: &Entry| Manifest::new(vec![entry.clone()]).ok().map(|one| one.parts().concat());
    if let Some(parts) = entries.iter().map(alone).collect::<Option<Vec<_>>>() {
        assert_eq!(parts.concat(), input);
    }
}

/// Around the start and the end, for there may be more than anybody can walk through.
fn spans_lie_in_their_files(manifest: &Manifest) {
    let (bytes, chunks) = (manifest.bytes(), manifest.chunks());
    assert_eq!(manifest.chunk_len(chunks), 0);
    for index in [0, chunks.saturating_sub(1)] {
        let (at, length) = (index * CHUNK as u64, manifest.chunk_len(index));
        assert_eq!(length as u64, CHUNK.min((bytes - at) as usize) as u64);
        let mut left = length;
        let walked: Result<(), ()> = manifest.spans(at, length, |span| {
            let entry = &manifest.entries()[span.entry];
            assert!(!entry.is_dir && span.length > 0);
            assert!(span.offset + span.length as u64 <= entry.size);
            left -= span.length;
            Ok(())
        });
        assert_eq!((walked, left), (Ok(()), 0));
    }
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(|c| is_forbidden(c) || is_joiner(c) || c == '\n')
}

/// Paths, one a line.
pub fn path(input: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(input).ok()?;
    let mut safe = Vec::new();
    for line in text.split('\n') {
        if let Ok(path) = SafePath::parse(line) {
            assert_eq!(path.as_str(), line, "nothing is repaired");
            stays_below(&path);
            has_a_second_name(&path);
            safe.push(path);
        }
    }
    let entry = |path: &SafePath| Entry {
        path: path.clone(),
        is_dir: false,
        executable: false,
        modified: 0,
        size: 1,
    };
    if Manifest::new(safe.iter().map(entry).collect()).is_ok() {
        let names: std::collections::BTreeSet<_> = safe.iter().map(SafePath::as_str).collect();
        assert_eq!(names.len(), safe.len());
    }
    let lines: Vec<&str> = safe.iter().map(SafePath::as_str).collect();
    Some(lines.join("\n").into_bytes()).filter(|_| !safe.is_empty())
}

fn stays_below(path: &SafePath) {
    let text = path.as_str();
    assert!(!text.chars().any(acts_on_text) && text.len() <= MAX_PATH);
    assert!(path.components().count() <= MAX_DEPTH);
    for part in path.components() {
        assert!(!["", ".", ".."].contains(&part) && part.len() <= MAX_COMPONENT, "{text:?}");
    }
    let base = Path::new("/base");
    let joined = path.join_to(base);
    let mut below = joined.strip_prefix(base).unwrap().components();
    assert!(below.all(|part| matches!(part, Component::Normal(_))), "{text:?}");
    assert_eq!(joined.components().count(), 2 + path.components().count());
}

fn has_a_second_name(path: &SafePath) {
    for number in [1, 10, u32::MAX] {
        let name = numbered(path.file_name(), number);
        assert!(name != path.file_name() && SafePath::parse(&name).is_ok(), "{name:?}");
        assert!(!name.contains('/'));
    }
}
