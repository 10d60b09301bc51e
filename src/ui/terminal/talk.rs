//! The loop of the interactive chat: one thread that owns the model and the terminal, woken by keys, the logs, the node and
//! jobs.

use std::io::Read;
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::app::chat::signal::{Signal, Signals};
use crate::app::chat::view::View;
use crate::app::chat::{Chat, Question, Scope, transfers};
use crate::app::link::{LOG_POLL_INTERVAL, NodeEvent, Program};
use crate::app::{Endpoint, Peer};
use crate::error::{Error, Result};
use crate::ui::completion::complete;
use crate::ui::terminal::editor::Action;
use crate::ui::terminal::keys::Key;
use crate::ui::terminal::pane::Pane;
use crate::ui::terminal::tty::{self, Terminal};
use crate::ui::typed::{self, ParsedLine, saying};

/// How often a terminal is asked for keys that does not wait for them.
const NONBLOCKING_POLL: Duration = Duration::from_millis(20);
/// How often transfers are drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(250);
/// How long the keyboard must be idle before the draft is saved: a terminal that closes kills the chat without a word.
const DRAFT_IDLE: Duration = Duration::from_millis(250);
/// How long a draft may stay unsaved while somebody types on.
const DRAFT_TIMEOUT: Duration = Duration::from_secs(1);
/// Nothing is drawn until the size has been the same for this long: a draft that is drawn for another size leaves pieces in
/// the scrollback. tmux tells of a new size up to 250 ms after it has taken it.
const RESIZE_IDLE: Duration = Duration::from_millis(300);
/// The longest that drawing waits for that.
const RESIZE_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon the second Ctrl-C follows that leaves.
const TWICE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long messages that were said last get to be delivered on leaving, if the peer is here.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the logs are read meanwhile.
const DELIVERY_POLL: Duration = Duration::from_millis(50);

/// With what a chat begins.
pub struct Start {
    /// Whom to talk to.
    pub to: Option<Peer>,
    /// What the node tells, if it runs in this process.
    pub events: Option<Receiver<NodeEvent>>,
    /// What the store and the node in this process report that is no error.
    pub reports: Receiver<String>,
    /// What is run for a message that nobody looks at, in place of a bell.
    pub notify: Option<Program>,
    /// The chat begins with a link for somebody.
    pub invites: bool,
}

/// What the terminal sends.
enum TerminalInput {
    Typed(Vec<u8>),
    Ended,
    Resized((usize, usize)),
}

struct Talk {
    chat: Chat,
    pane: Pane,
    terminal: Terminal,
    reports: Receiver<String>,
    /// The draft is not noted as it is.
    edited: Option<Edited>,
    interrupted: Option<Instant>,
    /// When bytes came from the keyboard last.
    typed: Instant,
    /// The terminal is being resized.
    resizing: Option<Resizing>,
}

/// When a draft was changed since it was noted.
struct Edited {
    first: Instant,
    last: Instant,
}

impl Edited {
    /// How much longer the draft may stay unsaved.
    fn patience(&self) -> Duration {
        let idle = DRAFT_IDLE.saturating_sub(self.last.elapsed());
        idle.min(DRAFT_TIMEOUT.saturating_sub(self.first.elapsed()))
    }
}

/// A terminal whose size changes, until it is drawn for the last size.
struct Resizing {
    began: Instant,
    changed: Instant,
}

impl Resizing {
    /// How much longer drawing waits.
    fn patience(&self) -> Duration {
        let idle = RESIZE_IDLE.saturating_sub(self.changed.elapsed());
        idle.min(RESIZE_TIMEOUT.saturating_sub(self.began.elapsed()))
    }
}

/// Talks until the user leaves.
pub fn run(own: &Endpoint, start: Start) -> Result<()> {
    let (terminal, sizes) = Terminal::enter()?;
    let signals = Signals::default();
    let mut talk = Talk {
        chat: Chat::new(own, Scope::Conversations, signals.teller(), start.events.is_some())?,
        pane: Pane::new(tty::size(), start.notify),
        terminal,
        reports: start.reports,
        edited: None,
        interrupted: None,
        typed: Instant::now(),
        resizing: None,
    };
    let result = talk.begin(start.to, start.invites).and_then(|()| {
        signals.listen(talk.chat.link(), start.events)?;
        listen(&signals, sizes)?;
        talk.run(&signals.receiver)
    });
    talk.end(result)
}

/// Starts the threads that listen to the terminal.
fn listen(signals: &Signals<TerminalInput>, sizes: ChildStdout) -> Result<()> {
    signals.spawn("stdin", read_keys)?;
    signals.spawn("size", |send| {
        tty::sizes(sizes, |size| {
            // When the chat is gone, so is its terminal.
            let _ = send(TerminalInput::Resized(size));
        });
    })
}

fn read_keys(send: &mut dyn FnMut(TerminalInput) -> bool) {
    let mut stdin = std::io::stdin().lock();
    let mut bytes = [0; 4096];
    loop {
        let input = match stdin.read(&mut bytes) {
            Ok(length) if length > 0 => TerminalInput::Typed(bytes[..length].to_vec()),
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
            // Another program has left the terminal in non-blocking mode.
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {
                thread::sleep(NONBLOCKING_POLL);
                continue;
            }
            _ => TerminalInput::Ended,
        };
        let is_last = matches!(input, TerminalInput::Ended);
        if !send(input) || is_last {
            return;
        }
    }
}

impl Talk {
    fn begin(&mut self, to: Option<Peer>, invites: bool) -> Result<()> {
        self.chat.begin(to, &mut self.pane)?;
        if invites && let Err(error) = self.chat.invite(None, &mut self.pane) {
            self.pane.error(&error);
        }
        self.draw()
    }

    fn run(&mut self, signals: &Receiver<Signal<TerminalInput>>) -> Result<()> {
        while !self.pane.is_leaving {
            match signals.recv_timeout(self.patience()) {
                Ok(signal) => {
                    for signal in std::iter::once(signal).chain(signals.try_iter()) {
                        if let Some(input) = self.chat.take(signal, &mut self.pane)? {
                            self.input(input)?;
                        }
                        if self.pane.is_leaving {
                            break;
                        }
                    }
                }
                // Not before: bytes of a paste may have waited behind other signals.
                Err(RecvTimeoutError::Timeout) => self.pause()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.edited.as_ref().is_some_and(|edited| edited.patience().is_zero()) {
                self.note_draft();
            }
            if let Some(question) = self.chat.ask(&mut self.pane) {
                self.pane.question = Some(question);
            }
            self.draw()?;
        }
        self.wait_for_delivery()
    }

    /// What was said last may be delivered in a moment.
    fn wait_for_delivery(&mut self) -> Result<()> {
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        let is_moment =
            |chat: &Chat| chat.waiting().len() > 0 && chat.partner().is_some_and(|peer| chat.is_here(peer));
        while is_moment(&self.chat) && Instant::now() < deadline {
            thread::sleep(DELIVERY_POLL);
            self.chat.look(&mut self.pane)?;
            self.draw()?;
        }
        Ok(())
    }

    /// Leaves the terminal as it was, with the conversation on it.
    fn end(mut self, result: Result<()>) -> Result<()> {
        self.note_draft();
        // What there is still to show.
        self.end_resizing();
        let _ = self.draw();
        let mut last = self.pane.screen.clear();
        let waiting = self.chat.waiting().len();
        if waiting > 0 {
            last.push_str(&format!("-- {waiting} not delivered yet; `egoat outbox` shows what waits --\r\n"));
        }
        for transfer in self.chat.transfers().filter(|_| self.chat.is_node()) {
            last.push_str(&format!("-- {}: goes on next time --\r\n", transfers::line(transfer)));
        }
        let _ = self.terminal.write(&last);
        result
    }

    /// How long to wait for a signal.
    fn patience(&self) -> Duration {
        let is_moving = self.chat.transfers().next().is_some();
        let interval = if is_moving { DRAW_INTERVAL } else { LOG_POLL_INTERVAL };
        let keyboard = self.pane.keyboard.patience().map(|pause| pause.saturating_sub(self.typed.elapsed()));
        let resizing = self.resizing.as_ref().map(Resizing::patience);
        let draft = self.edited.as_ref().map(Edited::patience);
        keyboard.into_iter().chain(resizing).chain(draft).fold(interval, Duration::min)
    }

    /// Nothing has come: what the keyboard has begun may be all of it.
    fn pause(&mut self) -> Result<()> {
        if self.pane.keyboard.patience().is_some_and(|pause| self.typed.elapsed() >= pause)
            && let Some(key) = self.pane.keyboard.give_up()
        {
            self.key(&key)?;
        }
        Ok(())
    }

    fn input(&mut self, input: TerminalInput) -> Result<()> {
        match input {
            TerminalInput::Typed(bytes) => {
                self.typed = Instant::now();
                self.pane.attention.typed();
                for key in self.pane.keyboard.push(&bytes) {
                    self.key(&key)?;
                }
            }
            TerminalInput::Ended => {
                // What was pasted last belongs to the draft.
                while self.pane.keyboard.patience().is_some() {
                    self.pane.keyboard.give_up().map_or(Ok(()), |key| self.key(&key))?;
                }
                self.pane.leave();
            }
            TerminalInput::Resized(size) => self.resize(size),
        }
        Ok(())
    }

    fn resize(&mut self, size: (usize, usize)) {
        self.pane.screen.resize(size);
        let now = Instant::now();
        self.resizing.get_or_insert(Resizing { began: now, changed: now }).changed = now;
    }

    /// Whether the terminal is still being resized. News of its size take a moment, so it is asked in the end.
    fn is_resizing(&mut self) -> bool {
        let Some(resizing) = &self.resizing else { return false };
        if !resizing.patience().is_zero() {
            return true;
        }
        let is_late = resizing.began.elapsed() >= RESIZE_TIMEOUT;
        let is_other = self.pane.screen.resize(tty::size());
        match &mut self.resizing {
            Some(resizing) if is_other && !is_late => resizing.changed = Instant::now(),
            _ => self.resizing = None,
        }
        self.resizing.is_some()
    }

    /// Takes the terminal as it is: what is written next cannot wait.
    fn end_resizing(&mut self) {
        if self.resizing.take().is_some() {
            self.pane.screen.resize(tty::size());
        }
    }

    fn key(&mut self, key: &Key) -> Result<()> {
        let interrupted = self.interrupted.take();
        match self.pane.editor.key(key) {
            Action::Edit => self.edit(),
            Action::Submit => return self.submit(),
            Action::Complete => self.complete(),
            Action::TooLong => {
                self.pane.note("a message of more than 1 MiB was not pasted; send it as a file: /send PATH");
            }
            Action::Leave => return self.leave(),
            Action::Interrupt if matches!(self.pane.question, Some(Question::Leave)) => return self.leave(),
            Action::Interrupt if self.pane.question.take().is_some() => self.chat.show_draft(&mut self.pane),
            Action::Interrupt if interrupted.is_some_and(|before| before.elapsed() < TWICE_TIMEOUT) => {
                return self.leave();
            }
            Action::Interrupt => {
                self.interrupted = Some(Instant::now());
                self.pane.note("Ctrl-C again leaves");
            }
            Action::Suspend => return self.suspend(),
            Action::Redraw => self.pane.clear(),
            Action::Switch(place) => self.switch(self.chat.peers().get(place).cloned()),
            Action::NextUnread => self.switch(self.chat.next_unread()),
        }
        Ok(())
    }

    fn edit(&mut self) {
        let now = Instant::now();
        self.edited.get_or_insert(Edited { first: now, last: now }).last = now;
    }

    /// Leaves at once when the question was seen that is asked before.
    fn leave(&mut self) -> Result<()> {
        if matches!(self.pane.question, Some(Question::Leave)) {
            self.pane.leave();
            return Ok(());
        }
        self.chat.quit(&mut self.pane)
    }

    fn switch(&mut self, to: Option<Peer>) {
        if let Some(peer) = to
            && let Err(error) = self.chat.open(&peer, &mut self.pane)
        {
            self.pane.error(&error);
        }
    }

    fn suspend(&mut self) -> Result<()> {
        self.note_draft();
        self.end_resizing();
        let cleared = self.pane.screen.clear();
        self.terminal.write(&cleared)?;
        self.terminal.suspend()?;
        self.pane.screen.resize(tty::size());
        self.pane.screen.forget();
        Ok(())
    }

    fn submit(&mut self) -> Result<()> {
        // Whoever is gone or blocked gets nothing more.
        self.chat.look_at_peers(&mut self.pane)?;
        let line = self.pane.editor.take();
        // An Enter that was pressed before the question was seen is no answer.
        if let Some(question) = self.pane.question.take_if(|_| !line.trim().is_empty()) {
            self.chat.show_draft(&mut self.pane);
            if !question.is_answered_by(&line) {
                self.pane.note("the line answered the question, with no (Up brings it back)");
            }
            let is_yes = question.is_yes(&line);
            self.chat.answer(question, is_yes, &mut self.pane);
            return Ok(());
        }
        match typed::parse(&line) {
            _ if line.trim().is_empty() => {}
            ParsedLine::Message(text) => match self.chat.say(text.as_bytes(), &mut self.pane) {
                // There is no room for it, say: another Enter tries again.
                Err(error @ (Error::Disk { .. } | Error::Corrupt { .. })) => {
                    self.pane.editor.set(&saying(text));
                    self.pane.error(&error);
                }
                Err(error) => {
                    self.refuse(&line, &error.to_string());
                    error.hint().into_iter().for_each(|hint| self.pane.note(&format!("hint: {hint}")));
                }
                Ok(()) => {}
            },
            ParsedLine::Command(command, rest) => {
                if let Err(error) = command.run(&mut self.chat, &mut self.pane, rest) {
                    self.pane.error(&error);
                }
            }
            ParsedLine::Refused(why) => self.refuse(&line, &why),
        }
        // The draft stays until its message is queued.
        self.note_draft();
        Ok(())
    }

    /// A line that goes to nobody. Left where it is typed, it would stand in front of the next one.
    fn refuse(&mut self, line: &str, why: &str) {
        if self.pane.editor.recalls(line) {
            self.pane.note(&format!("{why} (Up brings the line back)"));
        } else {
            self.pane.editor.set(line);
            self.pane.note(why);
        }
    }

    /// Completes what stands before the cursor; if there are several ways and nothing more in common, lists them.
    fn complete(&mut self) {
        let names: Vec<&str> = self.chat.peers().iter().map(|peer| peer.name.as_str()).collect();
        let editor = &mut self.pane.editor;
        let before = &editor.text()[..editor.cursor()];
        let completion = complete(before, &names);
        let common = completion.common();
        if common.len() > before.len() - completion.start {
            editor.complete(completion.start, common);
            self.edit();
        } else if completion.candidates.len() > 1 {
            self.pane.note(&completion.candidates.join(" "));
        }
    }

    fn note_draft(&mut self) {
        self.edited = None;
        self.chat.note_draft(&mut self.pane);
    }

    /// Each reader of a damaged log reports it; what is the same is shown once.
    fn show_reports(&mut self) {
        let mut shown: Vec<String> = Vec::new();
        for report in self.reports.try_iter() {
            if !shown.contains(&report) {
                shown.push(report);
            }
        }
        shown.iter().for_each(|report| self.pane.note(report));
    }

    /// Prints what is new and shows what is live, in one write.
    fn draw(&mut self) -> Result<()> {
        self.show_reports();
        if self.is_resizing() {
            return Ok(());
        }
        let out = self.pane.draw(&self.chat);
        if out.is_empty() { Ok(()) } else { self.terminal.write(&out) }
    }
}
