//! A transfer that comes in to a command which was started for it: what is offered is shown and asked about, then how far it
//! is, and what has landed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use crate::app::link::{Decision, NodeEvent, Offered};
use crate::app::news;
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::ui::output::{self, Output};
use crate::ui::progress::Progress;

/// Names at the top that are shown before a transfer is taken.
const LISTED: usize = 20;

/// Shows what is offered, and asks whether to take it. Without a terminal nobody can be asked; then whoever started this
/// has said yes by that.
fn decide(out: Output, offered: &Offered) -> Decision {
    let shown = describe(offered);
    if !output::can_ask() {
        out.note(&shown);
        return Decision::Accept { dir: None };
    }
    output::warn(&shown);
    match output::ask("take this? [y/N]").as_deref() {
        Some("y" | "Y" | "yes") => Decision::Accept { dir: None },
        _ => Decision::Refuse,
    }
}

fn describe(offered: &Offered) -> String {
    let extent = match offered.bytes {
        Some(_) => text::extent(offered.files, offered.bytes),
        None => " (a stream)".to_owned(),
    };
    let mut lines = vec![format!("{} (fingerprint {}) offers{extent}:", offered.peer, offered.fingerprint)];
    for (name, is_dir, bytes) in offered.tops.iter().take(LISTED) {
        let (name, slash) = (text::clean_line(name), if *is_dir { "/" } else { "" });
        let size = offered.bytes.map_or_else(String::new, |_| format!(" ({})", text::size(*bytes)));
        lines.push(format!("{name}{slash}{size}"));
    }
    if offered.tops.len() > LISTED {
        lines.push(format!("and {} more", offered.tops.len() - LISTED));
    }
    if !offered.dots.is_empty() {
        lines.push(offered.dots.clone());
    }
    lines.join("\n")
}

/// What is shown of the transfer.
pub struct TransferView {
    out: Output,
    into_pipe: bool,
    under_way: Option<(Progress, Option<SocketAddr>)>,
    /// What is in place: printed when the sender knows it too, because whoever reads it may end us.
    landed: Vec<(PathBuf, u64)>,
    /// Since when nothing is under way.
    idle: Instant,
}

impl TransferView {
    /// Of a transfer that has not begun yet.
    pub fn new(out: Output, into_pipe: bool) -> TransferView {
        TransferView { out, into_pipe, under_way: None, landed: Vec::new(), idle: Instant::now() }
    }

    /// Since when nothing is under way.
    pub fn idle(&self) -> Option<Instant> {
        self.under_way.is_none().then_some(self.idle)
    }

    /// What happens before the transfer is done. A sender whose connection was lost, or whose files were refused, may come
    /// again; other failures are ours.
    pub fn handle(&mut self, event: NodeEvent) -> Result<()> {
        match event {
            NodeEvent::Paired { .. } => news::line(&event).into_iter().for_each(|line| self.out.note(&line)),
            NodeEvent::Offered(offered) => {
                // Its sender may have gone meanwhile.
                let _ = offered.answer.send(decide(self.out, &offered));
            }
            NodeEvent::TransferBegan { peer, address, tally } => {
                self.under_way = None;
                self.under_way = Some((Progress::show(self.out, &peer, &tally), address));
            }
            NodeEvent::File { path, size, .. } => self.landed.push((path, size)),
            NodeEvent::TransferFailed { error: error @ Error::Lost { .. }, .. } => {
                self.rest();
                output::warn(&format!("{error}; waiting for another try"));
            }
            NodeEvent::TransferFailed { error: error @ Error::Declined { .. }, .. } => {
                self.rest();
                output::warn(&error.to_string());
                self.out.note("waiting for another try");
            }
            NodeEvent::TransferFailed { error, .. } | NodeEvent::Fatal(error) => {
                self.under_way = None;
                return Err(error);
            }
            NodeEvent::Trouble(error) => output::warn(&error.to_string()),
            _ => {}
        }
        Ok(())
    }

    /// Nothing is under way any more.
    fn rest(&mut self) {
        self.under_way = None;
        self.idle = Instant::now();
    }

    /// All of it is in place.
    pub fn end(self, peer: &str) -> Result<()> {
        if let Some((progress, address)) = self.under_way {
            progress.received(address);
        }
        if self.into_pipe {
            return Ok(());
        }
        for (path, size) in self.landed {
            let path = path.to_string_lossy();
            let object =
                || Object::event("file-received").text("peer", peer).text("path", &path).number("size", size);
            self.out.data(&text::clean_line(&path), object)?;
        }
        Ok(())
    }
}
