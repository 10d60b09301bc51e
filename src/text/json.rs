//! JSON objects, one a line, as `--json` prints them: an RFC 8259 writer for flat objects and lists of strings, which
//! is all that egoat(1) documents.

use crate::text::json_string;

/// An object under construction.
#[derive(Clone, PartialEq, Eq)]
pub struct Object(String);

impl Object {
    /// Begins with the field that says what the object is.
    pub fn event(name: &str) -> Object {
        Object("{".into()).text("event", name)
    }

    fn field(mut self, name: &str, value: &str) -> Object {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&json_string(name));
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    /// A string.
    pub fn text(self, name: &str, value: &str) -> Object {
        self.field(name, &json_string(value))
    }

    /// A string, or null.
    pub fn optional(self, name: &str, value: Option<&str>) -> Object {
        self.field(name, &value.map_or("null".into(), json_string))
    }

    /// An integer. Numbers of messages are below 2^53 until the year 2255, so readers with doubles get them whole.
    pub fn number(self, name: &str, value: u64) -> Object {
        self.field(name, &value.to_string())
    }

    /// An integer, or null.
    pub fn optional_number(self, name: &str, value: Option<u64>) -> Object {
        self.field(name, &value.map_or("null".into(), |value| value.to_string()))
    }

    /// True or false.
    pub fn boolean(self, name: &str, value: bool) -> Object {
        self.field(name, if value { "true" } else { "false" })
    }

    /// True or false, or null.
    pub fn optional_boolean(self, name: &str, value: Option<bool>) -> Object {
        self.field(name, value.map_or("null", |value| if value { "true" } else { "false" }))
    }

    /// A list of strings.
    pub fn list(self, name: &str, values: impl Iterator<Item = String>) -> Object {
        let values: Vec<String> = values.map(|value| json_string(&value)).collect();
        self.field(name, &format!("[{}]", values.join(",")))
    }

    /// The line.
    pub fn line(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_in_order() {
        let line = Object::event("x")
            .text("a", "q\"\n")
            .number("n", 7)
            .optional("o", None)
            .optional_number("m", None)
            .boolean("b", true)
            .list("l", ["1".into(), "2".into()].into_iter())
            .line();
        assert_eq!(line, r#"{"event":"x","a":"q\"\n","n":7,"o":null,"m":null,"b":true,"l":["1","2"]}"#);
    }
}
