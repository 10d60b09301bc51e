//! Form-encoded fields (the URL standard, application/x-www-form-urlencoded).

use crate::error::{Error, Result};
use crate::text::percent;

/// The fields of a request, in their order.
#[derive(Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Decodes fields; `None` if they are no UTF-8, or malformed.
    pub fn decode(encoded: &str) -> Option<Form> {
        let word = |word: &str| String::from_utf8(percent::decode(&word.replace('+', " "))?).ok();
        let field = |field: &str| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            Some((word(name)?, word(value)?))
        };
        encoded.split('&').filter(|part| !part.is_empty()).map(field).collect::<Option<_>>().map(Form)
    }

    /// The value of a field, if it is there and is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields().find(|(field, _)| *field == name);
        found.map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a field that has to be there.
    pub fn wanted(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| Error::usage(format!("the field {name} is missing")))
    }

    /// A number that may be missing.
    pub fn number(&self, name: &str) -> Result<Option<u64>> {
        let parse =
            |text: &str| text.parse().map_err(|_| Error::usage(format!("the field {name} is no number")));
        self.get(name).map(parse).transpose()
    }

    /// A number that has to be there.
    pub fn wanted_number(&self, name: &str) -> Result<u64> {
        self.number(name)?.ok_or_else(|| Error::usage(format!("the field {name} is missing")))
    }
}
