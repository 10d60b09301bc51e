//! The findings of the doctor, and the status that they add up to.

use crate::error::{Error, Result};
use crate::wire::address::Address;

/// How a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Ok,
    /// It may be what the user wants.
    Warning,
    /// It could not be checked.
    Skipped,
    /// It does not work.
    Failed,
}

impl Verdict {
    /// For people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Skipped => "skipped",
            Verdict::Failed => "failed",
        }
    }
}

/// What was found out about a layer.
pub struct Finding<'a> {
    /// The layer.
    pub layer: &'a str,
    /// How it is.
    pub verdict: Verdict,
    /// The address of a peer that was checked.
    pub address: Option<&'a str>,
    /// What is the case; not cleaned for a terminal.
    pub detail: &'a str,
    /// What to do about it; not cleaned for a terminal.
    pub hint: Option<&'a str>,
}

/// Hands on findings as they come.
pub struct Report<'a> {
    tell: &'a mut dyn FnMut(&Finding) -> Result<()>,
    /// The address of the peer that is being checked.
    address: Option<String>,
    /// The first layer that failed, and the exit status for that.
    failure: Option<(&'static str, u8)>,
    /// The first finding that could not be told, and why; reported at the end.
    untold: Option<Error>,
}

impl<'a> Report<'a> {
    /// Nothing has failed yet.
    pub fn new(tell: &'a mut dyn FnMut(&Finding) -> Result<()>) -> Report<'a> {
        Report { tell, address: None, failure: None, untold: None }
    }

    fn tell(&mut self, layer: &str, verdict: Verdict, detail: &str, hint: Option<&str>) {
        let address = self.address.as_deref();
        let told = (self.tell)(&Finding { layer, verdict, address, detail, hint });
        self.untold = self.untold.take().or(told.err());
    }

    /// It works.
    pub fn ok(&mut self, layer: &str, detail: &str) {
        self.tell(layer, Verdict::Ok, detail, None);
    }

    /// It need not be wrong.
    pub fn warning(&mut self, layer: &str, detail: &str, hint: Option<&str>) {
        self.tell(layer, Verdict::Warning, detail, hint);
    }

    /// It could not be looked at, and that is no failure.
    pub fn skipped(&mut self, layer: &str, detail: &str) {
        self.tell(layer, Verdict::Skipped, detail, None);
    }

    /// It does not work, which is the exit status `code` if it is the first.
    pub fn failed(&mut self, layer: &'static str, code: u8, detail: &str, hint: Option<&str>) {
        self.failure = self.failure.or(Some((layer, code)));
        self.tell(layer, Verdict::Failed, detail, hint);
    }

    /// The same for an error.
    pub fn error(&mut self, layer: &'static str, code: u8, error: &Error) {
        self.failed(layer, code, &error.to_string(), error.hint().as_deref());
    }

    /// Looks at each of the addresses. When one works, the failures of others do not count.
    pub fn each<'b>(
        &mut self,
        addresses: impl Iterator<Item = &'b Address>,
        look: impl Fn(&mut Report, &Address),
    ) {
        let before = self.failure.take();
        let (mut first, mut works) = (None, false);
        for address in addresses {
            self.address = Some(address.to_string());
            look(self, address);
            works |= self.failure.is_none();
            first = first.or(self.failure.take());
        }
        self.address = None;
        self.failure = before.or(first.filter(|_| !works));
    }

    /// The status.
    pub fn end(self) -> Result<()> {
        let unwell = self.failure.map(|(layer, code)| Error::Unwell { layer, code });
        self.untold.or(unwell).map_or(Ok(()), Err)
    }
}
