//! The lines of `egoat doctor`, and the status that they add up to. It leaves out what is looked at.

use crate::cli::output::Output;
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::wire::address::Address;

/// Prints verdicts as they come.
pub struct Report {
    out: Output,
    /// What is looked at, of a peer's addresses.
    address: Option<String>,
    /// The first layer that failed, and the exit status for that.
    failure: Option<(&'static str, u8)>,
    /// Why lines could not be printed; it is told at the end.
    unprinted: Option<Error>,
}

impl Report {
    /// Nothing has failed yet.
    pub fn new(out: Output) -> Report {
        Report { out, address: None, failure: None, unprinted: None }
    }

    fn line(&mut self, layer: &str, verdict: &str, detail: &str, hint: Option<&str>) {
        let at = self.address.as_ref().map(|address| format!("{address}: ")).unwrap_or_default();
        let mut human = text::clean_line(&format!("{verdict:<8} {layer:<9} {at}{detail}"));
        if let Some(hint) = hint {
            human.push_str(&format!("\n{:19}hint: {}", "", text::clean_line(hint)));
        }
        let printed = self.out.data(&human, || {
            let object = Object::event("check").text("layer", layer).text("verdict", verdict);
            let object = object.optional("address", self.address.as_deref());
            object.text("detail", detail).optional("hint", hint)
        });
        self.unprinted = self.unprinted.take().or(printed.err());
    }

    /// It works.
    pub fn ok(&mut self, layer: &str, detail: &str) {
        self.line(layer, "ok", detail, None);
    }

    /// It need not be wrong.
    pub fn warning(&mut self, layer: &str, detail: &str, hint: Option<&str>) {
        self.line(layer, "warning", detail, hint);
    }

    /// It could not be looked at, and that is no failure.
    pub fn skipped(&mut self, layer: &str, detail: &str) {
        self.line(layer, "skipped", detail, None);
    }

    /// It does not work, which is the exit status `code` if it is the first.
    pub fn failed(&mut self, layer: &'static str, code: u8, detail: &str, hint: Option<&str>) {
        self.failure = self.failure.or(Some((layer, code)));
        self.line(layer, "failed", detail, hint);
    }

    /// The same for an error.
    pub fn error(&mut self, layer: &'static str, code: u8, error: &Error) {
        self.failed(layer, code, &error.to_string(), error.hint().as_deref());
    }

    /// Looks at each of the addresses. When one works, the failures of others do not count.
    pub fn each<'a>(
        &mut self,
        addresses: impl Iterator<Item = &'a Address>,
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
        self.unprinted.or(unwell).map_or(Ok(()), Err)
    }
}
