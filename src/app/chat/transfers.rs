//! The transfers that a chat shows, by number.

use std::sync::Arc;

use crate::app::files::Tally;
use crate::error::{Error, Result};
use crate::text;

/// Files on their way, either way.
pub struct Transfer {
    number: usize,
    peer: String,
    is_outgoing: bool,
    tally: Arc<Tally>,
}

impl Transfer {
    /// Its number, what it is and how far, in one short line.
    pub fn line(&self) -> String {
        let (done, total) = self.tally.done();
        let way = if self.is_outgoing { "to" } else { "from" };
        let title = &self.tally.title;
        let far = match total {
            _ if self.tally.moved() == 0 && self.tally.checked() > 0 => "comparing".to_owned(),
            Some(total) => format!("{} %", done.saturating_mul(100).checked_div(total).unwrap_or(100)),
            None => text::size(done),
        };
        let rate = text::size(self.tally.rate());
        format!("[{}] {far}, {rate}/s: {title} {way} {}", self.number, self.peer)
    }
}

/// All transfers of a chat; those that have ended are gone after [`Transfers::sweep`].
#[derive(Default)]
pub struct Transfers {
    all: Vec<Transfer>,
    last: usize,
}

impl Transfers {
    /// Shows one more.
    pub fn add(&mut self, peer: String, is_outgoing: bool, tally: Arc<Tally>) {
        self.last += 1;
        self.all.push(Transfer { number: self.last, peer, is_outgoing, tally });
    }

    /// Forgets those that have ended.
    pub fn sweep(&mut self) {
        self.all.retain(|transfer| !transfer.tally.is_over());
    }

    /// Has the one of this number end.
    pub fn stop(&self, number: Option<usize>) -> Result<()> {
        let found = self.all.iter().find(|transfer| Some(transfer.number) == number);
        found
            .map(|transfer| transfer.tally.stop())
            .ok_or_else(|| Error::usage("which one? /transfers lists them"))
    }

    /// Whether none is on its way.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those that are on their way.
    pub fn iter(&self) -> impl Iterator<Item = &Transfer> {
        self.all.iter()
    }

    /// Those that end with this process.
    pub fn outgoing(&self) -> impl Iterator<Item = &Transfer> {
        self.all.iter().filter(|transfer| transfer.is_outgoing)
    }
}
