//! Strangers who dialled this node while a chat is open: each is told once, and not too often.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use crate::crypto::keys::PublicKey;
use crate::store::home::Own;
use crate::store::{peers, requests};
use crate::text;

/// Least time between two lines about strangers.
const QUIET: Duration = Duration::from_secs(10);

/// What was told of the requests file, and what was not.
pub struct Strangers {
    version: Option<(SystemTime, u64)>,
    known: HashSet<PublicKey>,
    told: Option<Instant>,
    untold: Vec<(String, String)>,
}

impl Strangers {
    /// Those who wait already are not told.
    pub fn new(own: &Own) -> Strangers {
        let known = requests::load(own.home()).unwrap_or_default();
        Strangers {
            version: peers::version(&own.home().requests_path()),
            known: known.iter().map(|request| request.key).collect(),
            told: None,
            untold: Vec::new(),
        }
    }

    /// Looks for new ones; returns a line about them when it is time for one.
    pub fn look(&mut self, own: &Own) -> Option<String> {
        let version = peers::version(&own.home().requests_path());
        if version != self.version {
            self.version = version;
            for request in requests::load(own.home()).unwrap_or_default() {
                if self.known.insert(request.key) {
                    self.untold.push((text::clean_line(&request.name), request.key.fingerprint()));
                }
            }
        }
        if self.untold.is_empty() || self.told.is_some_and(|told| told.elapsed() < QUIET) {
            return None;
        }
        self.told = Some(Instant::now());
        let untold = std::mem::take(&mut self.untold);
        Some(match &untold[..] {
            [(name, fingerprint)] => format!("{name} wants to be a peer: /admit {fingerprint}"),
            several => format!("{} strangers want to be peers: /requests", several.len()),
        })
    }
}
