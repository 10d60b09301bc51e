//! What the terminal shows: lines that scroll up, and below them the live part with the line that is being typed.

use crate::app::chat::view::{Arrival, View};
use crate::app::chat::{Chat, Question, transfers};
use crate::app::inbox::entry::HistoryEntry;
use crate::app::link::Program;
use crate::app::{Link, Peer};
use crate::text;
use crate::time::Zone;
use crate::ui::terminal::attention::Attention;
use crate::ui::terminal::editor::Editor;
use crate::ui::terminal::keys::Keyboard;
use crate::ui::terminal::screen::{LiveArea, Screen};
use crate::ui::terminal::transcript::{DeliveryState, Transcript};
use crate::ui::terminal::tty;
use crate::ui::typed::saying;
use crate::ui::width::columns;

/// Messages that wait, and transfers, that are shown below the conversation.
const LIVE_LINES: usize = 3;

/// The terminal's content.
pub struct Pane {
    pub screen: Screen,
    pub keyboard: Keyboard,
    pub editor: Editor,
    pub attention: Attention,
    transcript: Transcript,
    /// Lines to be printed above what is typed.
    above: String,
    /// The next line answers it.
    pub question: Option<Question>,
    /// What empties the screen with the next drawing.
    emptied: String,
    /// The user wants to leave.
    pub is_leaving: bool,
}

impl Pane {
    /// An empty pane on a terminal of this size; notices go to the program, if there is one.
    pub fn new(size: (usize, usize), notify: Option<Program>) -> Pane {
        Pane {
            screen: Screen::new(size),
            keyboard: Keyboard::default(),
            editor: Editor::default(),
            attention: Attention::new(notify),
            transcript: Transcript::new(Zone::local()),
            above: String::new(),
            question: None,
            emptied: String::new(),
            is_leaving: false,
        }
    }

    /// The bytes that print what is new and show what is live.
    pub fn draw(&mut self, chat: &Chat) -> String {
        let live = LiveArea {
            lines: self.live_lines(chat),
            prompt: self.prompt(chat),
            text: self.editor.text().to_owned(),
            cursor: self.editor.cursor(),
        };
        let mut out = std::mem::take(&mut self.emptied);
        out.push_str(&self.screen.draw(&std::mem::take(&mut self.above), &live));
        if self.attention.take_ring() {
            out.push('\x07');
        }
        out
    }

    /// What waits and what moves.
    fn live_lines(&self, chat: &Chat) -> Vec<String> {
        let mut lines = Vec::new();
        let is_here = chat.partner().is_some_and(|peer| chat.is_here(peer));
        let state = if is_here { DeliveryState::Sent } else { DeliveryState::Queued };
        let waiting = chat.waiting();
        let hidden = waiting.len().saturating_sub(LIVE_LINES);
        if hidden > 0 {
            lines.push(format!("      {} {hidden} more", state.mark()));
        }
        let waiting = waiting.skip(hidden);
        lines.extend(waiting.map(|message| self.transcript.waiting(message, state)));
        lines.extend(chat.transfers().take(LIVE_LINES).map(transfers::line));
        lines
    }

    /// What stands before the line: how many messages wait to be read, who is talked to, whether they are here.
    fn prompt(&self, chat: &Chat) -> String {
        if let Some(question) = &self.question {
            return format!("{}: yes or no> ", question.title());
        }
        if let Some(query) = self.editor.query() {
            return format!("search {}: ", text::clean_line(query));
        }
        let others = chat.peers().iter().filter_map(|peer| Some((peer, chat.unread(peer)?)));
        let unread: String = others.map(|(peer, count)| format!("[{} {count}] ", peer.name)).collect();
        let Some(peer) = chat.partner() else { return format!("{unread}egoat> ") };
        let muted = if chat.is_away() { "muted, " } else { "" };
        let all = if chat.is_all() { "all, " } else { "" };
        let state = if chat.is_here(peer) { "here" } else { "away" };
        let (name, room) = (&peer.name, self.screen.room());
        let long = format!("{unread}{muted}{all}{name} ({state})> ");
        // On a narrow screen the line itself is more important.
        if columns(&long) * 2 <= room { long } else { format!("{name}> ") }
    }
}

impl View for Pane {
    fn note(&mut self, text: &str) {
        for line in text::clean(text).lines() {
            self.above.push_str(&format!("-- {line}\n"));
        }
    }

    fn link(&mut self, link: &Link) {
        self.above.push_str(&format!("{link}\n"));
    }

    fn begin(&mut self) {
        self.transcript.begin();
    }

    fn entry(&mut self, peer: &Peer, entry: &HistoryEntry, is_all: bool) {
        let lines = self.transcript.lines(peer, entry, is_all);
        self.above.push_str(&lines);
    }

    fn arrived(&mut self, arrival: &Arrival) {
        self.attention.arrived(arrival);
    }

    fn alert(&mut self, text: &str) {
        self.note(text);
        self.attention.ring();
    }

    fn clear(&mut self) {
        self.screen.resize(tty::size());
        self.emptied = self.screen.empty();
    }

    fn leave(&mut self) {
        self.is_leaving = true;
    }

    fn is_idle(&self) -> bool {
        let is_empty = self.editor.text().is_empty() && self.editor.query().is_none();
        is_empty && !self.keyboard.is_pasting() && self.question.is_none()
    }

    /// Neither the answer to a question is a draft, nor what Ctrl-R just found.
    fn draft(&self) -> Option<String> {
        let is_draft = self.question.is_none() && self.editor.query().is_none();
        is_draft.then(|| self.editor.typed())
    }

    fn set_draft(&mut self, draft: &str) {
        if self.question.is_none() {
            self.editor.set(draft);
        }
    }

    fn drop_line(&mut self) -> bool {
        let is_dropped = self.question.is_none() && !self.editor.text().is_empty();
        if is_dropped {
            self.editor.set("");
        }
        is_dropped
    }

    fn remember(&mut self, text: &str) {
        self.editor.remember(&saying(&text::clean(text)));
    }
}
