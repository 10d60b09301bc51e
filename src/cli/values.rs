//! The values of options: durations and sizes as egoat(1) has them.

use std::time::Duration;

use crate::app::link::KeepFree;
use crate::app::settings;
use crate::error::{Error, Result};
use crate::text;

/// The longest duration: a hundred years are as good as for ever, and no clock overflows.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Parses a duration.
pub fn duration(given: &str) -> Result<Duration> {
    text::parse_duration(given).map(|duration| duration.min(MAX_DURATION)).ok_or_else(|| {
        without_unit(given).unwrap_or_else(|| {
            Error::usage(format!("{} is no duration, such as 30s, 5m or 24h", text::clean_line(given)))
        })
    })
}

/// The error of a number without a unit, if this is one.
pub fn without_unit(given: &str) -> Option<Error> {
    text::bare_number(given).map(|number| Error::Usage {
        what: format!("{number} has no unit"),
        hint: Some(format!(
            "write {number}s, {number}m, {number}h or {number}d for seconds, minutes, hours or days"
        )),
    })
}

/// Parses the size that limits a file.
pub fn max_file(given: Option<&str>) -> Result<u64> {
    given.map_or(Ok(settings::MAX_FILE), size)
}

/// Parses the room that peers leave free.
pub fn keep_free(given: Option<&str>) -> Result<KeepFree> {
    Ok(KeepFree { bytes: given.map(size).transpose()? })
}

fn size(given: &str) -> Result<u64> {
    text::parse_size(given)
        .ok_or_else(|| Error::usage(format!("{} is no size, such as 500M or 4G", text::clean_line(given))))
}
