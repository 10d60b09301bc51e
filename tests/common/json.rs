//! Reading the objects of `--json`.

use serde_json::{Map, Value};

/// What a line of `--json` is: one object, and nothing else.
pub fn object(line: &str) -> Map<String, Value> {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The first `key` in lines of `--json`.
fn value(lines: &str, key: &str) -> Value {
    let found = lines.lines().find_map(|line| object(line).remove(key));
    found.unwrap_or_else(|| panic!("no {key} in {lines}"))
}

/// The string that is `key` in a line of `--json`.
pub fn json_text(line: &str, key: &str) -> String {
    let value = value(line, key);
    value.as_str().unwrap_or_else(|| panic!("{key} is no string in {line}")).to_owned()
}

/// The number that is `key` in a line of `--json`.
pub fn json_number(line: &str, key: &str) -> u64 {
    value(line, key).as_u64().unwrap_or_else(|| panic!("{key} is no number in {line}"))
}
