//! stty(1), which sets the modes of a terminal and knows its size: std has no termios.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Columns and rows of a terminal that does not tell its size.
pub const DEFAULT_SIZE: (usize, usize) = (80, 24);
const NAME: &str = "stty";
/// How often a terminal is asked how wide it is.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// Runs stty on a terminal; returns what it prints, or in words why it failed.
pub fn stty(terminal: impl Into<Stdio>, arguments: &[&str]) -> Result<String, String> {
    let run = Command::new(program()).args(arguments).stdin(terminal).output();
    let output = run.map_err(|cause| cause.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// stty by its name, or where systems have it: PATH may lead elsewhere, and a wrong width lets the terminal break lines.
fn program() -> &'static str {
    let in_path = || {
        env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(NAME).is_file()))
    };
    let usual = ["/bin/stty", "/usr/bin/stty"].into_iter().find(|path| Path::new(path).is_file());
    usual.filter(|_| !in_path()).unwrap_or(NAME)
}

/// Columns and rows of a terminal; `None` if nobody knows.
pub fn size(terminal: impl Into<Stdio>) -> Option<(usize, usize)> {
    parse_size(&stty(terminal, &["size"]).ok()?)
}

/// Parses what `stty size` prints: rows first, and both are 0 where nobody knows.
pub fn parse_size(text: &str) -> Option<(usize, usize)> {
    let (rows, columns) = text.trim().split_once(' ')?;
    let (rows, columns): (usize, usize) = (rows.parse().ok()?, columns.parse().ok()?);
    (rows > 0 && columns > 0).then_some((columns, rows))
}

/// How wide a terminal is, which its user may change.
#[derive(Default)]
pub struct TerminalWidth {
    measured: Option<(Instant, usize)>,
}

impl TerminalWidth {
    /// Of a terminal that was not asked yet.
    pub const fn new() -> TerminalWidth {
        TerminalWidth { measured: None }
    }

    /// The columns of `terminal`, which is the same each time.
    pub fn columns(&mut self, terminal: impl Into<Stdio>) -> usize {
        match self.measured {
            Some((at, columns)) if at.elapsed() < MEASURE_INTERVAL => columns,
            _ => {
                let columns = size(terminal).map_or(DEFAULT_SIZE.0, |(columns, _)| columns);
                self.measured = Some((Instant::now(), columns));
                columns
            }
        }
    }
}
