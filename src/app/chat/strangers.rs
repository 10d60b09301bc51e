//! Strangers who dialled this node while a chat is open: each is told once, and not too often.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use crate::crypto::keys::PublicKey;
use crate::store::home::Own;
use crate::store::{peers, requests};
use crate::text;

/// Least time between two lines about strangers.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The requests that are known, those not yet reported, and when the last line about any was.
pub struct Strangers {
    version: Option<(SystemTime, u64)>,
    known: HashSet<PublicKey>,
    last_report: Option<Instant>,
    unreported: Vec<(String, String)>,
}

impl Strangers {
    /// Requests that are there already are not reported.
    pub fn new(own: &Own) -> Strangers {
        let known = requests::load(own.home()).unwrap_or_default();
        Strangers {
            version: peers::version(&own.home().requests_path()),
            known: known.iter().map(|request| request.key).collect(),
            last_report: None,
            unreported: Vec::new(),
        }
    }

    /// Looks for new ones; returns a line about them when it is time for one.
    pub fn look(&mut self, own: &Own) -> Option<String> {
        let version = peers::version(&own.home().requests_path());
        if version != self.version {
            self.version = version;
            for request in requests::load(own.home()).unwrap_or_default() {
                if self.known.insert(request.key) {
                    self.unreported.push((text::clean_line(&request.name), request.key.fingerprint()));
                }
            }
        }
        if self.unreported.is_empty() || self.last_report.is_some_and(|last| last.elapsed() < REPORT_INTERVAL)
        {
            return None;
        }
        self.last_report = Some(Instant::now());
        let unreported = std::mem::take(&mut self.unreported);
        Some(match &unreported[..] {
            [(name, fingerprint)] => format!("{name} wants to be a peer: /admit {fingerprint}"),
            several => format!("{} strangers want to be peers: /requests", several.len()),
        })
    }
}
