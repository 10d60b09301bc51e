//! What the interactive chat keeps for next time: the draft of each conversation, and how far it was read (egoat-files(5),
//! CHAT NOTES).
//!
//! ```text
//! body    kind u8 ‖ conversation id[32], the peer's key ‖ rest
//!         1 draft: rest is the text, empty when there is none any more
//!         2 read:  rest is seq u64 of the last record of the history that was shown
//! ```
//!
//! The last record of a kind and conversation counts. Several chats may keep notes at once. Nothing is synced: a power
//! cut takes the last words of a draft. It leaves out what is said, which is in the outbox and the history.

use std::collections::HashMap;

use crate::error::Result;
use crate::store::conversation::ConversationId;
use crate::store::log::{Log, LogId, Reader, Report};
use crate::wire::codec::{FieldReader, FieldWriter, Malformed};
use crate::wire::message::MAX_TEXT;

const DRAFT: u8 = 1;
const READ: u8 = 2;
/// Notes are written anew, one of each kind and conversation, when they have more bytes than this.
const COMPACT_ABOVE: u64 = 256 << 10;

/// What is kept of one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Note {
    draft: String,
    read: Option<u64>,
}

/// The notes, open for changes.
pub struct Notes {
    log: Log,
    reader: Reader,
    notes: HashMap<ConversationId, Note>,
}

impl Notes {
    /// Opens or creates them.
    pub fn open(id: LogId, report: Report) -> Result<Notes> {
        let log = Log::open(id, report)?;
        let mut notes = Notes { reader: log.reader(), log, notes: HashMap::new() };
        notes.refresh()?;
        Ok(notes)
    }

    /// Looks at what other chats have noted.
    pub fn refresh(&mut self) -> Result<()> {
        while let Some(record) = self.reader.read()? {
            // What a later version notes is nothing to this one.
            let _ = apply(record.body, &mut self.notes);
        }
        Ok(())
    }

    /// How far each history was read, for those who only look: nothing is locked or made.
    pub fn read_marks(mut reader: Reader) -> Result<HashMap<ConversationId, u64>> {
        let mut notes = HashMap::new();
        while let Some(record) = reader.read()? {
            let _ = apply(record.body, &mut notes);
        }
        Ok(notes.into_iter().filter_map(|(conversation, note)| Some((conversation, note.read?))).collect())
    }

    /// What was being typed in the conversation.
    pub fn draft(&self, conversation: ConversationId) -> &str {
        self.notes.get(&conversation).map_or("", |note| &note.draft)
    }

    /// The last record of the history that was shown; `None` if this was never noted.
    pub fn read(&self, conversation: ConversationId) -> Option<u64> {
        self.notes.get(&conversation)?.read
    }

    /// Notes a draft, as much of it as a message may have. One that cannot be noted is known here all the same.
    pub fn set_draft(&mut self, conversation: ConversationId, text: &str) -> Result<()> {
        let ends = (0..=text.len().min(MAX_TEXT)).rev();
        let text = ends.into_iter().find_map(|end| text.get(..end)).unwrap_or_default();
        if self.draft(conversation) == text {
            return Ok(());
        }
        let noted = self.append(body(DRAFT, conversation, text.as_bytes()));
        if noted.is_err() {
            text.clone_into(&mut self.notes.entry(conversation).or_default().draft);
        }
        noted
    }

    /// Notes that the history was shown up to `seq`. What was read stays read.
    pub fn set_read(&mut self, conversation: ConversationId, seq: u64) -> Result<()> {
        if self.read(conversation).is_some_and(|read| read >= seq) {
            return Ok(());
        }
        self.append(body(READ, conversation, &seq.to_be_bytes()))
    }

    fn append(&mut self, body: Vec<u8>) -> Result<()> {
        let mut log = self.log.lock()?;
        if log.log().len() > COMPACT_ABOVE {
            // Under the lock, so that nobody's note is left out.
            while let Some(record) = self.reader.read()? {
                let _ = apply(record.body, &mut self.notes);
            }
            let _ = apply(&body, &mut self.notes);
            let mut seq = log.next_seq();
            let mut bodies = self.notes.iter().flat_map(|(&conversation, note)| {
                let read = note.read.map(|seq| self::body(READ, conversation, &seq.to_be_bytes()));
                [Some(self::body(DRAFT, conversation, note.draft.as_bytes())), read].into_iter().flatten()
            });
            let mut records = std::iter::from_fn(|| {
                seq += 1;
                bodies.next().map(|body| Ok((seq, body)))
            });
            if Log::shorten(&mut log, &mut records) {
                return Ok(());
            }
        }
        let seq = log.next_seq();
        log.push(seq, &body)?;
        log.commit(false)?;
        self.refresh()
    }
}

fn body(kind: u8, conversation: ConversationId, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![kind];
    body.put(conversation.as_bytes());
    body.put(rest);
    body
}

fn apply(body: &[u8], notes: &mut HashMap<ConversationId, Note>) -> std::result::Result<(), Malformed> {
    let mut fields = FieldReader::new(body);
    let kind = fields.u8("kind")?;
    let id = ConversationId::from_bytes(fields.array("conversation")?);
    let note = notes.entry(id.map_err(|_| Malformed("conversation"))?).or_default();
    match kind {
        DRAFT => note.draft = String::from_utf8_lossy(fields.rest()).into_owned(),
        READ => note.read = Some(fields.u64("seq")?),
        _ => return Err(Malformed("kind")),
    }
    Ok(())
}
