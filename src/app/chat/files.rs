//! Files in a chat: sent, offered, on their way.

use std::path::PathBuf;
use std::time::Duration;

use crate::app::chat::view::View;
use crate::app::chat::{Chat, transfers};
use crate::app::link::{Decision, JobOutcome, JobReport, SendMode, Transfer, TransferWay};
use crate::app::{files, settings};
use crate::error::{Error, Result};
use crate::text;

/// A transfer that took longer is worth a line with its rate.
const LONG: Duration = Duration::from_secs(2);
/// The note of a chat without a transfer.
const NOTHING_MOVES: &str = "nothing moves; /outbox lists what waits";

impl Chat {
    /// Sends files to the peer who is talked to.
    pub fn send_files(&mut self, paths: Vec<PathBuf>, view: &mut dyn View) -> Result<()> {
        let peer = self.recipient()?.clone();
        if paths.is_empty() {
            return Err(Error::usage("which files? /send PATH..."));
        }
        peer.ensure_not_blocked()?;
        let paths: Vec<PathBuf> = paths.into_iter().map(settings::absolute).collect();
        self.last_job += 1;
        self.jobs_of.insert(self.last_job, peer.name.clone());
        if !self.link.send(self.last_job, peer.key, SendMode::Queue, None, paths.clone())? {
            self.jobs_of.remove(&self.last_job);
            let queued = files::queue(&self.own, &peer, &paths, None)?;
            let size = text::size(queued.bytes());
            view.note(&format!("no node runs here; queued {size} for {}", peer.name));
        }
        Ok(())
    }

    /// Tells what became of a job.
    pub(super) fn job(&mut self, job: JobReport, view: &mut dyn View) {
        let Some(peer) = self.jobs_of.remove(&job.number) else { return };
        let (title, size) = (&job.title, text::size(job.bytes));
        match job.outcome {
            // The history has a line for each file. Of those that took a moment there is no more to say.
            JobOutcome::Sent if job.milliseconds < LONG.as_millis() as u64 => {}
            JobOutcome::Sent => {
                let took = Duration::from_millis(job.milliseconds);
                let rate = text::size(files::per_second(job.bytes, took));
                view.note(&format!("{title} ({size}) went in {}, {rate}/s", text::duration(took)));
            }
            JobOutcome::Queued => {
                view.note(&format!("{peer} cannot be reached now; {title} ({size}) goes out when it can"));
            }
            JobOutcome::Failed { why, hint, .. } if hint.is_empty() => view.note(&why),
            JobOutcome::Failed { why, hint, .. } => view.note(&format!("{why}; {hint}")),
            JobOutcome::Stopped => view.note(&format!("{title} does not go to {peer}: it was stopped here")),
        }
    }

    /// Decides an offer; without a number the only one, as far as the user has seen any. It stays open if nothing can land in
    /// the directory that is named.
    pub fn decide(&mut self, number: Option<u64>, decision: Decision, view: &mut dyn View) -> Result<()> {
        let seen = self.live.offers.values().filter(|offer| self.shown_offers.contains(&offer.number));
        let seen: Vec<(u64, String)> =
            seen.map(|offer| (offer.number, format!("{} of {}", offer.title, offer.peer))).collect();
        let number = only(number, "offer", &seen, "no offer waits", view)?;
        let Some(number) = number else { return Ok(()) };
        let lands = self.live.offers.get(&number).and_then(|offer| match &decision {
            Decision::Accept { dir: Some(dir) } => Some(text::clean_line(&dir.to_string_lossy())),
            Decision::Accept { dir: None } => Some(offer.place.clone()),
            Decision::Refuse => None,
        });
        files::decide(self.own.home(), &self.link, number, decision)?;
        lands.into_iter().for_each(|place| view.note(&format!("taken; it lands in {place}")));
        Ok(())
    }

    /// Lists what is on its way.
    pub fn list_transfers(&self, view: &mut dyn View) {
        if self.live.transfers.is_empty() {
            view.note(NOTHING_MOVES);
        }
        self.transfers().for_each(|transfer| view.note(&transfers::line(transfer)));
    }

    /// Stops a transfer; without a number the only one.
    pub fn stop(&self, number: Option<u64>, view: &mut dyn View) -> Result<()> {
        if number.is_some_and(|number| !self.live.transfers.contains_key(&number)) {
            return Err(Error::usage("which one? /transfers lists them"));
        }
        let moving: Vec<(u64, String)> =
            self.transfers().map(|transfer| (transfer.number, transfer.title.clone())).collect();
        let number = only(number, "transfer", &moving, NOTHING_MOVES, view)?;
        let Some(transfer) = number.and_then(|number| self.live.transfers.get(&number)) else {
            return Ok(());
        };
        self.link.stop(transfer.number)?;
        let Transfer { title, peer, .. } = transfer;
        match transfer.way {
            TransferWay::In => view.note(&format!(
                "{title} is stopped, and {peer} told; what has arrived waits: `egoat partial` lists it"
            )),
            // A job of this chat has a line when it has ended.
            _ if !self.jobs_of.is_empty() => {}
            _ => view.note(&format!("{title} is stopped, and {peer} told")),
        }
        Ok(())
    }
}

/// The number that was given, else that of the only one that there is. Of several, lists them and gives `None`.
fn only(
    given: Option<u64>,
    what: &str,
    all: &[(u64, String)],
    none: &str,
    view: &mut dyn View,
) -> Result<Option<u64>> {
    match (given, all) {
        (Some(number), _) => Ok(Some(number)),
        (None, []) => Err(Error::failed(none)),
        (None, [(number, _)]) => Ok(Some(*number)),
        (None, several) => {
            view.note(&format!("which {what}? type its number:"));
            several.iter().for_each(|(number, title)| view.note(&format!("[{number}] {title}")));
            Ok(None)
        }
    }
}
