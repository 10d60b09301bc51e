//! Who is connected to the running node, and when the others were last: a note of the node for front-ends (egoat-files(5),
//! PRESENCE). It is not synced, and says nothing when no node runs.
//!
//! ```text
//! KEY here|away SECONDS
//! ```
//!
//! SECONDS is the Unix time since which a peer is here, or at which it was seen last.

use std::collections::HashMap;

use crate::crypto::keys::PublicKey;
use crate::store::file;
use crate::store::home::Home;

/// Most bytes that are read: some 90 for each peer.
const MAX_LEN: u64 = 4 << 20;

/// What is known of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// It is connected.
    pub is_here: bool,
    /// Since when, or when it was, in seconds of Unix time.
    pub seconds: u64,
}

/// All that is known. What cannot be read is not known.
pub fn load(home: &Home) -> HashMap<PublicKey, Presence> {
    let text = file::read_text(&home.presence_path(), MAX_LEN).ok().flatten().unwrap_or_default();
    text.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<(PublicKey, Presence)> {
    let mut words = line.split_ascii_whitespace();
    let key = words.next()?.parse().ok()?;
    let is_here = match words.next()? {
        "here" => true,
        "away" => false,
        _ => return None,
    };
    Some((key, Presence { is_here, seconds: words.next()?.parse().ok()? }))
}

/// Writes it. A note that cannot be written is not worth an error.
pub fn save(home: &Home, all: &HashMap<PublicKey, Presence>) {
    let path = home.presence_path();
    let word = |is_here: bool| if is_here { "here" } else { "away" };
    let line = |(key, one): (&PublicKey, &Presence)| format!("{key} {} {}\n", word(one.is_here), one.seconds);
    let text: String = all.iter().map(line).collect();
    let _ = file::replace_unsynced(&path, text.as_bytes());
}
