//! A message with an id is queued once, and nobody waits for the lock of the outbox while the id is looked for in a long
//! history.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use egoat::crypto::keys::Seed;
use egoat::store::log::{Kind, LogId};
use egoat::store::outbox::{Draft, Outbox};

fn open(path: &Path) -> Outbox {
    let key = |byte| Seed::from_bytes([byte; 32]);
    let id = LogId::new(path.to_owned(), Kind::Outbox, &key(2).static_keys().public(), &key(1));
    Outbox::open(id, Arc::new(|_: &str| ())).unwrap()
}

fn keyed() -> Draft {
    Draft { key: "job 7".into(), ..Draft::new(b"once") }
}

/// Queues a message with an id, while `meanwhile` happens to the outbox during the search of the history. That finds what
/// `meanwhile` returns, from then on. Gives the number, and whether the message is new.
fn queue_while(path: &Path, meanwhile: impl FnOnce(&mut Outbox) -> Option<u64>) -> (u64, bool) {
    let (mut one, mut other) = (open(path), open(path));
    let (mut meanwhile, mut delivered) = (Some(meanwhile), None);
    let search = || {
        let known = delivered;
        if let Some(meanwhile) = meanwhile.take() {
            delivered = meanwhile(&mut other);
        }
        Ok(known)
    };
    one.queue_once(&keyed(), search).unwrap()
}

fn new_outbox() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    (dir, path)
}

#[test]
fn others_queue_while_the_history_is_searched() {
    let (_dir, path) = new_outbox();
    let (number, is_new) = queue_while(&path, |other| {
        other.queue(&[Draft::new(b"in between")]).expect("the outbox is not locked");
        None
    });
    assert!(is_new);
    let mut pending = open(&path).pending();
    assert_eq!(pending.read().unwrap().unwrap().draft.text, b"in between");
    assert_eq!(pending.read().unwrap().unwrap().number, number);
}

#[test]
fn what_others_do_while_the_history_is_searched_counts() {
    let (_dir, path) = new_outbox();
    let mut queued = 0;
    let again = queue_while(&path, |other| {
        queued = other.queue(&[keyed()]).unwrap();
        None
    });
    assert_eq!(again, (queued, false), "it was queued");
    assert_eq!(queue_while(&path, |_| panic!("it waits: nobody searches")), (queued, false));

    let (_dir, path) = new_outbox();
    let again = queue_while(&path, |other| {
        queued = other.queue(&[keyed()]).unwrap();
        other.settle(queued).unwrap();
        Some(queued)
    });
    assert_eq!(again, (queued, false), "it was delivered");

    let (_dir, path) = new_outbox();
    let (number, is_new) = queue_while(&path, |other| {
        queued = other.queue(&[keyed()]).unwrap();
        other.drop_messages(|_| true, Ok).unwrap();
        None
    });
    assert!(is_new && number > queued, "it was cancelled");

    let (_dir, path) = new_outbox();
    let again = queue_while(&path, |other| {
        queued = other.queue(&[keyed()]).unwrap();
        other.reissue_above(queued + 1_000_000_000).unwrap();
        None
    });
    let waiting = open(&path).pending().read().unwrap().unwrap().number;
    assert!(waiting > queued && again == (waiting, false), "it has another number");
}

/// A writer that failed to sync a message takes it back, and another one stands in its place.
#[test]
fn what_was_taken_back_hides_nothing() {
    let (_dir, path) = new_outbox();
    open(&path).queue(&[Draft::new(b"first")]).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    open(&path).queue(&[Draft::new(b"taken back, which is a little longer than the other one")]).unwrap();
    let mut queued = 0;
    let again = queue_while(&path, |_| {
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        queued = open(&path).queue(&[keyed()]).unwrap();
        None
    });
    assert_eq!(again, (queued, false));
}
