//! How far the histories were dealt with by somebody who reads them in order and must miss nothing: `log --cursor`, and what
//! `serve` runs (egoat-files(5), CURSORS).
//!
//! ```text
//! E-Goat cursor 1
//! KEY FIRST SEQ
//! ```
//!
//! A line for each conversation, KEY being that of its peer: the number of the first record of its history, by which one
//! that was started anew is known, and that of the last record that is dealt with. A history without a line is new from its
//! first record on.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Verb};
use crate::store::conversation::ConversationId;
use crate::store::file;
use crate::store::log::Position;
use crate::text;

const FIRST_LINE: &str = "E-Goat cursor 1";
/// Most bytes that are read: some 90 for each conversation.
const MAX_LEN: u64 = 4 << 20;
/// Symbolic links from one to the next that are followed, as Linux does.
const MAX_LINKS: usize = 40;

/// A position in each history.
pub struct Cursor {
    path: PathBuf,
    positions: HashMap<ConversationId, Position>,
    /// The file is as this is.
    is_saved: bool,
    is_new: bool,
}

impl Cursor {
    /// Reads the file. One that is not there yet is made when it is saved; one that is something else is an error.
    pub fn open(path: &Path) -> Result<Cursor> {
        // A symbolic link stays, and leads to the file that is replaced.
        let path = end_of_links(path);
        let other = || Error::Usage {
            what: format!("{} is there, and is no cursor", text::clean_line(&path.to_string_lossy())),
            hint: Some("nothing was changed; name a file that is not there yet, and it is made".into()),
        };
        if path.exists() && !path.is_file() {
            return Err(other());
        }
        let text = match file::read_text(&path, MAX_LEN) {
            Err(cause) if cause.kind() == std::io::ErrorKind::InvalidData => return Err(other()),
            read => read.map_err(Error::disk(Verb::Read, &path))?,
        };
        let positions = match &text {
            Some(text) => text.strip_prefix(FIRST_LINE).and_then(parse).ok_or_else(other)?,
            None => HashMap::new(),
        };
        Ok(Cursor { positions, is_saved: text.is_some(), is_new: text.is_none(), path })
    }

    /// Whether there was no file.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// All of it.
    pub fn positions(&self) -> &HashMap<ConversationId, Position> {
        &self.positions
    }

    /// Moves on in the history of a conversation.
    pub fn move_to(&mut self, conversation: ConversationId, position: Position) {
        self.is_saved &= self.positions.insert(conversation, position) == Some(position);
    }

    /// Writes the file unless it says as much; it is on disk when this returns.
    pub fn save(&mut self) -> Result<()> {
        if self.is_saved {
            return Ok(());
        }
        let line = |(conversation, at): (&ConversationId, &Position)| {
            format!("{conversation} {} {}\n", at.first, at.seq)
        };
        let mut lines: Vec<String> = self.positions.iter().map(line).collect();
        lines.sort_unstable();
        let text = format!("{FIRST_LINE}\n{}", lines.concat());
        file::replace(&self.path, text.as_bytes()).map_err(Error::disk(Verb::Write, &self.path))?;
        self.is_saved = true;
        Ok(())
    }
}

/// Where a name leads, also when nothing is there yet.
fn end_of_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = file::parent(&path).join(target);
    }
    path
}

/// What stands behind the first line's words.
fn parse(text: &str) -> Option<HashMap<ConversationId, Position>> {
    // Whole lines: a number that was cut off is another one.
    let lines = text.strip_prefix('\n').filter(|_| text.ends_with('\n'))?;
    let mut positions = HashMap::new();
    for line in lines.lines() {
        let mut fields = line.split_ascii_whitespace();
        let conversation = fields.next()?.parse().ok()?;
        let mut number = || fields.next()?.parse().ok();
        let position = Position { first: number()?, seq: number()? };
        if fields.next().is_some() || positions.insert(conversation, position).is_some() {
            return None;
        }
    }
    Some(positions)
}
