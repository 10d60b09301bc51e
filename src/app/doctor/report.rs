//! The findings of the doctor, and the status that they add up to.

use crate::error::{Error, Result};
use crate::store::peers::Place;
use crate::text::json::Object;

/// How a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckVerdict {
    /// It works.
    Ok,
    /// It may be what the user wants.
    Warning,
    /// It could not be checked.
    Skipped,
    /// It does not work.
    Failed,
}

impl CheckVerdict {
    /// For people and programs.
    pub fn word(self) -> &'static str {
        match self {
            CheckVerdict::Ok => "ok",
            CheckVerdict::Warning => "warning",
            CheckVerdict::Skipped => "skipped",
            CheckVerdict::Failed => "failed",
        }
    }
}

/// What was found out about a layer.
pub struct Finding<'a> {
    /// The layer.
    pub layer: &'a str,
    /// How it is.
    pub verdict: CheckVerdict,
    /// The address of a peer that was checked.
    pub address: Option<&'a str>,
    /// What is the case; not cleaned for a terminal.
    pub detail: &'a str,
    /// What to do about it; not cleaned for a terminal.
    pub hint: Option<&'a str>,
}

impl Finding<'_> {
    /// The finding as an object for programs (egoat(1), JSON).
    pub fn object(&self) -> Object {
        let object = Object::event("check").text("layer", self.layer).text("verdict", self.verdict.word());
        object.optional("address", self.address).text("detail", self.detail).optional("hint", self.hint)
    }
}

/// Hands on findings as they come.
pub struct Reporter<'a> {
    tell: &'a mut dyn FnMut(&Finding) -> Result<()>,
    /// The address of the peer that is being checked.
    address: Option<String>,
    /// The first layer that failed, and the exit status for that.
    failure: Option<(&'static str, u8)>,
    /// Why the first finding that could not be reported was not; returned at the end.
    report_error: Option<Error>,
}

impl<'a> Reporter<'a> {
    /// Nothing has failed yet.
    pub fn new(tell: &'a mut dyn FnMut(&Finding) -> Result<()>) -> Reporter<'a> {
        Reporter { tell, address: None, failure: None, report_error: None }
    }

    fn tell(&mut self, layer: &str, verdict: CheckVerdict, detail: &str, hint: Option<&str>) {
        let address = self.address.as_deref();
        let result = (self.tell)(&Finding { layer, verdict, address, detail, hint });
        self.report_error = self.report_error.take().or(result.err());
    }

    /// It works.
    pub fn ok(&mut self, layer: &str, detail: &str) {
        self.tell(layer, CheckVerdict::Ok, detail, None);
    }

    /// It need not be wrong.
    pub fn warning(&mut self, layer: &str, detail: &str, hint: Option<&str>) {
        self.tell(layer, CheckVerdict::Warning, detail, hint);
    }

    /// It could not be looked at, and that is no failure.
    pub fn skipped(&mut self, layer: &str, detail: &str) {
        self.tell(layer, CheckVerdict::Skipped, detail, None);
    }

    /// It does not work, which is the exit status `code` if it is the first.
    pub fn failed(&mut self, layer: &'static str, code: u8, detail: &str, hint: Option<&str>) {
        self.failure = self.failure.or(Some((layer, code)));
        self.tell(layer, CheckVerdict::Failed, detail, hint);
    }

    /// The same for an error.
    pub fn error(&mut self, layer: &'static str, code: u8, error: &Error) {
        self.failed(layer, code, &error.to_string(), error.hint().as_deref());
    }

    /// Looks at each of the addresses. When one works, the failures of others do not count.
    pub fn each(&mut self, places: &[Place], look: impl Fn(&mut Reporter, &Place)) {
        let before = self.failure.take();
        let (mut first, mut works) = (None, false);
        for place in places {
            self.address = Some(place.address.to_string());
            look(self, place);
            works |= self.failure.is_none();
            first = first.or(self.failure.take());
        }
        self.address = None;
        self.failure = before.or(first.filter(|_| !works));
    }

    /// The status.
    pub fn end(self) -> Result<()> {
        let unwell = self.failure.map(|(layer, code)| Error::Unwell { layer, code });
        self.report_error.or(unwell).map_or(Ok(()), Err)
    }
}
