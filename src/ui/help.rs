//! The help of a command for a terminal of another width. argh lays it out for 80 columns, and never breaks the usage line
//! or the first sentence.

use crate::ui::wrap;

/// Where argh begins the descriptions of options and commands.
const COLUMN: usize = 20;

/// The help in rows of at most so many columns, with the descriptions below each other.
pub fn fit(text: &str, room: usize) -> String {
    let rows = unfolded(text).into_iter().flat_map(|line| wrap::hanging(&line, room, indent(&line)));
    rows.collect::<Vec<_>>().join("\n")
}

/// Where the rest of a line stands: prose has none of its own.
fn indent(line: &str) -> usize {
    match line.as_bytes().get(COLUMN - 2..COLUMN) {
        _ if line.starts_with("Usage:") => wrap::INDENT.len(),
        Some(b"  ") => COLUMN,
        _ => line.len() - line.trim_start().len(),
    }
}

/// The lines before argh broke them.
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match (lines.last_mut().filter(|last| indent(last) == COLUMN), line.strip_prefix(&" ".repeat(COLUMN)))
        {
            (Some(last), Some(more)) => last.push_str(&format!(" {more}")),
            // A name that is too long has its description below it.
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "Usage: egoat say [--wait <duration>] [--] <peer> [<text...>]

Queue a message and try to deliver it now, if you like.

Options:
  --wait            wait for the delivery this long (30s, 5m); exit 75 if it is
                    still queued
  --a-name-that-is-long
                    what it does
  -h, --help        display usage information
";

    #[test]
    fn descriptions_stand_below_each_other() {
        let expected = "Usage: egoat say [--wait <duration>] [--]
    <peer> [<text...>]

Queue a message and try to deliver it now,
if you like.

Options:
  --wait            wait for the delivery
                    this long (30s, 5m);
                    exit 75 if it is still
                    queued
  --a-name-that-is-long
                    what it does
  -h, --help        display usage
                    information";
        assert_eq!(fit(HELP.trim_end(), 43), expected);
    }

    #[test]
    fn a_wide_terminal_shows_what_argh_made() {
        assert_eq!(
            fit("Commands:\n  say               Queue a message.", 79),
            "Commands:\n  say               Queue a message."
        );
    }
}
