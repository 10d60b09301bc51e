//! The logs of a home as a test writes them itself, beside whatever runs on it.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::Home;
use egoat::crypto::keys::PublicKey;
use egoat::store::history::ReceivedMessage;
use egoat::store::home::{self, Own};
use egoat::store::peers::Peers;
use egoat::time::now_micros;
use tempfile::TempDir;

/// Opens a home that has no passphrase.
pub fn open(home: &Home) -> Own {
    let opened = home::Home::locate(home.path("").to_str()).unwrap();
    opened.unlock(|_| None, || panic!("it has no passphrase"), Arc::new(|_: &str| ())).unwrap()
}

/// The key of a saved peer.
pub fn key(own: &Own, peer: &str) -> PublicKey {
    Peers::load(own.home()).unwrap().by_name(peer).unwrap().key
}

/// A message from the peer for each text, as if it had just come.
pub fn receive(own: &Own, peer: &str, texts: &[impl AsRef<str>]) {
    let from = now_micros();
    let numbered = (from..).zip(texts);
    let messages: Vec<ReceivedMessage> = numbered
        .map(|(number, text)| ReceivedMessage { number, said: number, text: text.as_ref().into() })
        .collect();
    let stored = own.history(key(own, peer).into()).unwrap().store_received(&messages).unwrap();
    assert_eq!(stored.len(), texts.len());
}

/// Texts with these numbers.
pub fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("message {number}")).collect()
}

thread_local! {
    static TOLD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Takes a report of a log, for [`told`].
pub fn tell(what: &str) {
    TOLD.with_borrow_mut(|told| told.push(what.to_owned()));
}

/// What was reported on this thread since the last call.
pub fn told() -> Vec<String> {
    TOLD.take()
}

/// In memory where that is possible: the tests are about order and bytes, and thousands of syncs take long.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}
