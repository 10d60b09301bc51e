//! What the chat keeps for next time: drafts and how far was read, in one log that several chats may write at once; and the
//! note of who is here.

use crate::common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use egoat::crypto::keys::{PublicKey, Seed, safety_number};
use egoat::store::conversation::ConversationId;
use egoat::store::home::Home;
use egoat::store::log::{Kind, LogId};
use egoat::store::notes::Notes;
use egoat::store::presence::{self, Presence};
use tempfile::TempDir;

fn key(byte: u8) -> PublicKey {
    Seed::from_bytes([byte; 32]).static_keys().public()
}

fn conversation(byte: u8) -> ConversationId {
    key(byte).into()
}

fn open(path: &Path) -> Notes {
    let id = LogId::new(path.to_owned(), Kind::Notes, &key(1), &Seed::from_bytes([1; 32]));
    Notes::open(id, Arc::new(|_: &str| ())).unwrap()
}

fn directory() -> TempDir {
    tempfile::tempdir_in(common::route::fast_dir()).unwrap()
}

#[test]
fn the_last_note_counts() {
    let dir = directory();
    let path = dir.path().join("chat.log");
    let (bob, carol) = (conversation(2), conversation(3));
    let mut notes = open(&path);
    assert_eq!((notes.draft(bob), notes.read(bob)), ("", None));
    for text in ["a", "ab", "ab\nc"] {
        notes.set_draft(bob, text).unwrap();
    }
    notes.set_draft(carol, "to carol").unwrap();
    notes.set_draft(carol, "").unwrap();
    notes.set_read(bob, 7).unwrap();
    notes.set_read(bob, 5).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    notes.set_draft(bob, "ab\nc").unwrap();
    notes.set_read(bob, 7).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), length, "what is known is not noted again");
    for notes in [&notes, &open(&path)] {
        assert_eq!((notes.draft(bob), notes.read(bob)), ("ab\nc", Some(7)));
        assert_eq!((notes.draft(carol), notes.read(carol)), ("", None));
    }
}

#[test]
fn notes_cut_at_any_byte_are_those_before() {
    let dir = directory();
    let path = dir.path().join("chat.log");
    let mut notes = open(&path);
    let mut states = vec![(fs::metadata(&path).unwrap().len(), String::new(), None)];
    for number in 1..4 {
        notes.set_draft(conversation(2), &"x".repeat(number)).unwrap();
        states.push((fs::metadata(&path).unwrap().len(), "x".repeat(number), notes.read(conversation(2))));
        notes.set_read(conversation(2), number as u64).unwrap();
        states.push((fs::metadata(&path).unwrap().len(), "x".repeat(number), Some(number as u64)));
    }
    let bytes = fs::read(&path).unwrap();
    for cut in 0..=bytes.len() {
        let path = dir.path().join("cut.log");
        fs::write(&path, &bytes[..cut]).unwrap();
        let notes = open(&path);
        let whole = states.iter().rfind(|(end, ..)| *end <= cut as u64);
        let (draft, read) = whole.map_or(("", None), |(_, draft, read)| (draft, *read));
        assert_eq!(
            (notes.draft(conversation(2)), notes.read(conversation(2))),
            (draft, read),
            "cut at {cut}"
        );
    }
}

#[test]
fn several_chats_note_at_once_and_the_log_stays_small() {
    let dir = directory();
    let path = dir.path().join("chat.log");
    thread::scope(|scope| {
        for peer in 2..5 {
            let path = &path;
            scope.spawn(move || {
                let mut notes = open(path);
                for number in 0..300 {
                    notes
                        .set_draft(conversation(peer), &format!("{peer} {number} {}", "x".repeat(1000)))
                        .unwrap();
                    notes.set_read(conversation(peer), number).unwrap();
                }
            });
        }
    });
    assert!(fs::metadata(&path).unwrap().len() < 300 << 10, "900 drafts of a kilobyte went in");
    let notes = open(&path);
    for peer in 2..5 {
        assert!(notes.draft(conversation(peer)).starts_with(&format!("{peer} 299 ")));
        assert_eq!(notes.read(conversation(peer)), Some(299));
    }
}

#[test]
fn a_draft_has_no_more_than_a_message() {
    let dir = directory();
    let mut notes = open(&dir.path().join("chat.log"));
    notes.set_draft(conversation(2), &"\u{e9}".repeat(600 << 10)).unwrap();
    assert_eq!(notes.draft(conversation(2)).len(), 1 << 20);
}

#[test]
fn presence_is_read_as_it_was_written_and_never_an_error() {
    let dir = directory();
    let home = Home::locate(dir.path().to_str()).unwrap();
    assert!(presence::load(&home).is_empty());
    let all = HashMap::from([
        (key(2), Presence { is_here: true, seconds: 17 }),
        (key(3), Presence { is_here: false, seconds: u64::MAX }),
    ]);
    presence::save(&home, &all);
    assert_eq!(presence::load(&home), all);
    fs::write(home.presence_path(), format!("junk\n{} here\n{} away 5 more\n\u{0}", key(2), key(3))).unwrap();
    assert_eq!(presence::load(&home), HashMap::from([(key(3), Presence { is_here: false, seconds: 5 })]));
    fs::write(home.presence_path(), b"\xff\xfe").unwrap();
    assert!(presence::load(&home).is_empty());
}

#[test]
fn a_safety_number_is_the_same_on_both_sides_and_on_no_others() {
    let number = safety_number(&key(2), &key(3));
    assert_eq!(number, safety_number(&key(3), &key(2)));
    let groups: Vec<&str> = number.split(' ').collect();
    assert!(groups.len() == 12 && groups.iter().all(|group| group.len() == 5), "{number}");
    assert!(number.chars().all(|c| c.is_ascii_digit() || c == ' '));
    for (one, other) in [(2, 4), (3, 4), (2, 2)] {
        assert_ne!(number, safety_number(&key(one), &key(other)));
    }
}
