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
}

impl Report {
    /// Nothing has failed yet.
    pub fn new(out: Output) -> Report {
        Report { out, address: None, failure: None }
    }

    fn line(&self, layer: &str, verdict: &str, detail: &str, hint: Option<&str>) -> Result<()> {
        let at = self.address.as_ref().map(|address| format!("{address}: ")).unwrap_or_default();
        let mut human = text::clean_line(&format!("{verdict:<8} {layer:<9} {at}{detail}"));
        if let Some(hint) = hint {
            human.push_str(&format!("\n{:19}hint: {}", "", text::clean_line(hint)));
        }
        self.out.data(&human, || {
            let object = Object::event("check").text("layer", layer).text("verdict", verdict);
            let object = object.optional("address", self.address.as_deref());
            object.text("detail", detail).optional("hint", hint)
        })
    }

    /// It works.
    pub fn ok(&mut self, layer: &str, detail: &str) -> Result<()> {
        self.line(layer, "ok", detail, None)
    }

    /// It need not be wrong.
    pub fn warning(&mut self, layer: &str, detail: &str, hint: Option<String>) -> Result<()> {
        self.line(layer, "warning", detail, hint.as_deref())
    }

    /// It could not be looked at, and that is no failure.
    pub fn skipped(&mut self, layer: &str, detail: &str) -> Result<()> {
        self.line(layer, "skipped", detail, None)
    }

    /// It does not work, which is the exit status `code` if it is the first.
    pub fn failed(
        &mut self,
        layer: &'static str,
        code: u8,
        detail: &str,
        hint: Option<String>,
    ) -> Result<()> {
        self.failure = self.failure.or(Some((layer, code)));
        self.line(layer, "failed", detail, hint.as_deref())
    }

    /// Looks at each of the addresses. When one works, the failures of others do not count.
    pub fn each<'a>(
        &mut self,
        addresses: impl Iterator<Item = &'a Address>,
        mut look: impl FnMut(&mut Report, &Address) -> Result<()>,
    ) -> Result<()> {
        let before = self.failure.take();
        let (mut first, mut works) = (None, false);
        for address in addresses {
            self.address = Some(address.to_string());
            look(self, address)?;
            works |= self.failure.is_none();
            first = first.or(self.failure.take());
        }
        self.address = None;
        self.failure = before.or(first.filter(|_| !works));
        Ok(())
    }

    /// The status.
    pub fn end(self) -> Result<()> {
        self.failure.map_or(Ok(()), |(layer, code)| Err(Error::Unwell { layer, code }))
    }
}
