//! The interactive chat: one thread that owns everything it shows, woken by what is typed, by the doorbell, by the node if
//! it runs in this process, and by jobs. It shows what the logs say and appends what is said, so that any number of chats
//! can run on one home, and one that is killed loses nothing. egoat(1), CHAT, says what its user sees.

mod commands;
mod look;
mod question;

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::chat::command::{self, Line};
use crate::chat::conversation::{Begin, Conversation};
use crate::chat::editor::{Action, Editor};
use crate::chat::jobs::{News, Tell};
use crate::chat::keys::{Key, Keyboard};
use crate::chat::notify::{self, Notice};
use crate::chat::offers::Offers;
use crate::chat::screen::{Live, Screen};
use crate::chat::talk::look::Strangers;
use crate::chat::talk::question::Question;
use crate::chat::terminal::{self, Terminal};
use crate::chat::transcript::{State, Transcript};
use crate::chat::waiting::Waiting;
use crate::chat::width::columns;
use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::node::doorbell::{Bell, LOOK};
use crate::node::event::Event;
use crate::node::pairing;
use crate::node::program::Program;
use crate::store::home::Own;
use crate::store::notes::Notes;
use crate::store::outbox::Draft;
use crate::store::peers::Peer;
use crate::store::presence::Presence;
use crate::text;
use crate::time::Zone;
use crate::transfer::tally::Tally;

/// What follows an ESC of a longer key comes within this, also over a slow link.
const ESCAPE: Duration = Duration::from_millis(100);
/// A terminal that does not wait for keys is asked for them this often.
const UNBLOCKED: Duration = Duration::from_millis(20);
/// Transfers are drawn this often.
const DRAW: Duration = Duration::from_millis(250);
/// A draft is noted once nothing was typed for this long.
const PAUSE: Duration = Duration::from_secs(1);
/// The second Ctrl-C comes within this.
const TWICE: Duration = Duration::from_secs(3);
/// Who has not typed for this long is away, and told of what comes.
const AWAY: Duration = Duration::from_secs(60);
/// Messages that were said last get this long on leaving, if the peer is here.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Signals that wait; more hold up what they come from.
const SIGNALS: usize = 256;
/// Messages that wait, and transfers, that are shown below the conversation.
const LINES: usize = 3;

/// With what a chat begins.
pub struct Start {
    /// Whom to talk to.
    pub to: Option<Peer>,
    /// What the node tells, if it runs in this process.
    pub events: Option<Receiver<Event>>,
    /// What the store tells, and the node in this process, that is no error.
    pub reports: Receiver<String>,
    /// What is run for a message that nobody looks at, in place of a bell.
    pub notify: Option<Program>,
    /// A command that it begins with.
    pub first: Option<&'static str>,
}

/// What wakes the chat.
enum Signal {
    Typed(Vec<u8>),
    InputEnded,
    Resized((usize, usize)),
    /// Something may have been appended to a log.
    Look,
    Node(Event),
    News(News),
}

/// A conversation that is open.
struct Open {
    peer: Peer,
    waiting: Waiting,
}

/// Files on their way, either way.
struct Transfer {
    number: usize,
    peer: String,
    is_outgoing: bool,
    tally: Arc<Tally>,
}

struct Talk {
    own: Own,
    terminal: Terminal,
    screen: Screen,
    keyboard: Keyboard,
    editor: Editor,
    transcript: Transcript,
    notes: Notes,
    bell: Bell,
    jobs: Tell,
    notices: Option<SyncSender<Notice>>,
    /// In the order of the peers file, which is that of Alt-1 to Alt-9.
    peers: Vec<Peer>,
    peers_version: Option<(std::time::SystemTime, u64)>,
    open: Option<Open>,
    /// All conversations are shown.
    is_all: bool,
    /// The last record of each history that was seen.
    seen: HashMap<PublicKey, u64>,
    unread: HashMap<PublicKey, usize>,
    presence: HashMap<PublicKey, Presence>,
    /// A node ran when it was last looked at: this one, or one beside it.
    has_node: bool,
    offers: Offers,
    transfers: Vec<Transfer>,
    last_transfer: usize,
    strangers: Strangers,
    /// The next line answers it.
    question: Option<Question>,
    /// Further ones.
    questions: VecDeque<Question>,
    reports: Receiver<String>,
    /// Lines to be printed above what is typed.
    above: String,
    /// The bell is to sound.
    rings: bool,
    /// The draft was changed, and is not noted yet.
    edited: Option<Instant>,
    /// It was said that notes cannot be kept.
    has_lost_notes: bool,
    last_key: Instant,
    interrupted: Option<Instant>,
    /// What was there at the beginning is shown.
    has_begun: bool,
    is_leaving: bool,
}

/// Talks until the user leaves.
pub fn run(own: &Own, start: Start) -> Result<()> {
    let (terminal, sizes) = Terminal::enter()?;
    let (signals, woken) = sync_channel(SIGNALS);
    let told = signals.clone();
    let jobs: Tell = Arc::new(move |news| drop(told.send(Signal::News(news))));
    let mut talk = Talk::new(own, terminal, jobs, start.reports, start.notify)?;
    let result = talk.begin(start.to, start.first).and_then(|mut conversation| {
        listen(own, &signals, sizes, start.events)?;
        talk.run(&woken, &mut conversation)
    });
    talk.end(result)
}

/// Starts the threads that wake the chat.
fn listen(
    own: &Own,
    signals: &SyncSender<Signal>,
    sizes: ChildStdout,
    events: Option<Receiver<Event>>,
) -> Result<()> {
    let bell = Bell::new(own.home())?;
    let told = signals.clone();
    spawn("stdin", move || read_keys(&told))?;
    let told = signals.clone();
    spawn("size", move || terminal::sizes(sizes, |size| drop(told.send(Signal::Resized(size)))))?;
    let told = signals.clone();
    spawn("bell", move || {
        while bell.ring().is_ok() && told.send(Signal::Look).is_ok() {
            bell.wait(LOOK);
        }
    })?;
    let Some(events) = events else { return Ok(()) };
    let told = signals.clone();
    // Until the chat is gone.
    spawn("node", move || while events.recv().is_ok_and(|event| told.send(Signal::Node(event)).is_ok()) {})
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = thread::Builder::new().name(name.into()).spawn(work);
    started.map(drop).map_err(|cause| Error::failed(format!("no thread could be started: {cause}")))
}

fn read_keys(told: &SyncSender<Signal>) {
    let mut stdin = std::io::stdin().lock();
    let mut bytes = [0; 4096];
    loop {
        let signal = match stdin.read(&mut bytes) {
            Ok(length) if length > 0 => Signal::Typed(bytes[..length].to_vec()),
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
            // Another program has left the terminal so that nothing waits for keys.
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {
                thread::sleep(UNBLOCKED);
                continue;
            }
            _ => Signal::InputEnded,
        };
        let is_last = matches!(signal, Signal::InputEnded);
        if told.send(signal).is_err() || is_last {
            return;
        }
    }
}

impl Talk {
    fn new(
        own: &Own,
        terminal: Terminal,
        jobs: Tell,
        reports: Receiver<String>,
        notify: Option<Program>,
    ) -> Result<Talk> {
        Ok(Talk {
            own: own.clone(),
            terminal,
            screen: Screen::new(terminal::size()),
            keyboard: Keyboard::default(),
            editor: Editor::default(),
            transcript: Transcript::new(Zone::local()),
            notes: own.notes()?,
            bell: Bell::new(own.home())?,
            jobs,
            notices: notify.map(notify::start),
            peers: Vec::new(),
            peers_version: None,
            open: None,
            is_all: false,
            seen: HashMap::new(),
            unread: HashMap::new(),
            presence: HashMap::new(),
            has_node: false,
            offers: Offers::default(),
            transfers: Vec::new(),
            last_transfer: 0,
            strangers: Strangers::new(own),
            question: None,
            questions: VecDeque::new(),
            reports,
            above: String::new(),
            rings: false,
            edited: None,
            has_lost_notes: false,
            last_key: Instant::now(),
            interrupted: None,
            has_begun: false,
            is_leaving: false,
        })
    }

    fn begin(&mut self, to: Option<Peer>, first: Option<&str>) -> Result<Conversation> {
        let mut conversation = Conversation::new(&self.own, None, Begin::Last(0))?;
        // What is there already is shown with the conversation that it belongs to.
        while conversation.next_event(|_, _, _| Ok(()))? {}
        self.look_at_peers()?;
        self.say(match self.peers[..] {
            [] => "no peers yet: /invite makes a link for somebody, /join takes theirs; /help lists the commands",
            _ => "/help lists the commands, /keys says what the keys do",
        });
        self.count_unread()?;
        self.look_at_presence();
        if let Some(peer) = to.or_else(|| self.usual_peer()) {
            self.open(&peer)?;
        }
        self.has_begun = true;
        if let Some(command) = first {
            self.command(command, "");
        }
        self.draw()?;
        Ok(conversation)
    }

    fn run(&mut self, woken: &Receiver<Signal>, conversation: &mut Conversation) -> Result<()> {
        while !self.is_leaving {
            match woken.recv_timeout(self.patience()) {
                Ok(signal) => {
                    for signal in std::iter::once(signal).chain(woken.try_iter()) {
                        self.take(signal, conversation)?;
                        if self.is_leaving {
                            break;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(key) = self.keyboard.give_up() {
                        self.key(&key)?;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.edited.is_some_and(|edited| edited.elapsed() > PAUSE) {
                self.note_draft();
            }
            self.ask();
            self.draw()?;
        }
        let deadline = Instant::now() + LAST_WORDS;
        while self.has_last_words() && Instant::now() < deadline {
            self.bell.ring()?;
            self.bell.wait(LOOK / 20);
            self.look(conversation)?;
            self.draw()?;
        }
        Ok(())
    }

    /// Leaves the terminal as it was, with the conversation on it.
    fn end(mut self, result: Result<()>) -> Result<()> {
        self.note_draft();
        // What there is still to say.
        let _ = self.draw();
        let waits = self.open.as_ref().map_or(0, |open| open.waiting.messages().len());
        let mut last = self.screen.clear();
        if waits > 0 {
            last.push_str(&format!("-- {waits} not delivered yet; `egoat outbox` shows what waits --\r\n"));
        }
        for transfer in self.transfers.iter().filter(|transfer| transfer.is_outgoing) {
            let line = transfer.line();
            last.push_str(&format!("-- cut off: {line}; `egoat send` of the same goes on from there --\r\n"));
        }
        let _ = self.terminal.write(&last);
        result
    }

    /// How long to wait for a signal.
    fn patience(&self) -> Duration {
        if self.keyboard.is_waiting() {
            ESCAPE
        } else if !self.transfers.is_empty() {
            DRAW
        } else {
            LOOK
        }
    }

    /// What was said last may be delivered in a moment.
    fn has_last_words(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| self.is_here(&open.peer.key) && open.waiting.messages().len() > 0)
    }

    fn take(&mut self, signal: Signal, conversation: &mut Conversation) -> Result<()> {
        match signal {
            Signal::Typed(bytes) => {
                self.last_key = Instant::now();
                for key in self.keyboard.push(&bytes) {
                    self.key(&key)?;
                }
                Ok(())
            }
            Signal::InputEnded => {
                self.is_leaving = true;
                Ok(())
            }
            Signal::Resized(size) => {
                self.screen.resize(size);
                Ok(())
            }
            Signal::Look => self.look(conversation),
            Signal::Node(event) => self.node_event(event),
            Signal::News(news) => self.news(news),
        }
    }

    fn key(&mut self, key: &Key) -> Result<()> {
        let interrupted = self.interrupted.take();
        match self.editor.key(key) {
            Action::Edit => {
                self.edited = Some(Instant::now());
                Ok(())
            }
            Action::Submit => self.submit(),
            Action::Complete => {
                self.complete();
                Ok(())
            }
            Action::TooLong => {
                self.say("a message of more than 1 MiB was not pasted; send it as a file: /send PATH");
                Ok(())
            }
            Action::Leave => {
                self.is_leaving = true;
                Ok(())
            }
            Action::Interrupt if self.end_question().is_some() => Ok(()),
            Action::Interrupt if interrupted.is_some_and(|before| before.elapsed() < TWICE) => {
                self.is_leaving = true;
                Ok(())
            }
            Action::Interrupt => {
                self.interrupted = Some(Instant::now());
                self.say("Ctrl-C again leaves");
                Ok(())
            }
            Action::Suspend => self.suspend(),
            Action::Redraw => self.redraw(),
            Action::Switch(place) => {
                self.switch(self.peers.get(place).cloned());
                Ok(())
            }
            Action::NextUnread => {
                self.switch(self.next_unread());
                Ok(())
            }
        }
    }

    fn switch(&mut self, to: Option<Peer>) {
        if let Some(peer) = to {
            self.command("/to", &peer.name);
        }
    }

    fn suspend(&mut self) -> Result<()> {
        self.note_draft();
        let cleared = self.screen.clear();
        self.terminal.write(&cleared)?;
        self.terminal.suspend()?;
        self.screen.resize(terminal::size());
        self.screen.forget();
        Ok(())
    }

    /// The screen is emptied; what was on it is still in the scrollback of most terminals.
    fn redraw(&mut self) -> Result<()> {
        self.screen.resize(terminal::size());
        self.screen.forget();
        self.terminal.write("\x1b[H\x1b[2J")
    }

    fn submit(&mut self) -> Result<()> {
        // Who is gone or blocked gets nothing more.
        self.look_at_peers()?;
        let line = self.editor.take();
        if let Some(question) = self.end_question() {
            return self.answer(question, &line);
        }
        match command::parse(&line) {
            _ if line.trim().is_empty() => {}
            Line::Message(text) => self.send_message(text),
            Line::Command(name, rest) => self.command(name, rest),
            Line::Unknown(name) => {
                self.editor.set(&line);
                self.say(&format!(
                    "{} is no command; /help lists them, and // begins a message",
                    text::clean_line(name)
                ));
            }
        }
        // The draft stays until its message is queued.
        self.note_draft();
        Ok(())
    }

    fn send_message(&mut self, text: &str) {
        let Some(open) = &self.open else {
            self.editor.set(&command::saying(text));
            return self.say("to whom? /to NAME, or /invite somebody first");
        };
        let draft = Draft::new(text.as_bytes());
        let queued = pairing::ensure_not_blocked(&open.peer)
            .and_then(|()| self.own.outbox(&open.peer.key)?.queue(&[draft]));
        match queued {
            Ok(_) => {
                self.look_at_waiting();
                // A node that hears nothing looks by itself.
                let _ = self.bell.ring();
            }
            // The peer is blocked, or it is too long, or cannot be stored: it is not lost.
            Err(error) => {
                self.editor.set(&command::saying(text));
                self.say_error(&error);
            }
        }
    }

    /// Completes what stands before the cursor; if there are several ways and nothing more in common, they are listed.
    fn complete(&mut self) {
        let names: Vec<&str> = self.peers.iter().map(|peer| peer.name.as_str()).collect();
        let before = &self.editor.text()[..self.editor.cursor()];
        let completion = command::complete(before, &names);
        let common = completion.common();
        if common.len() > before.len() - completion.start {
            self.editor.complete(completion.start, common);
            self.edited = Some(Instant::now());
        } else if completion.candidates.len() > 1 {
            self.say(&completion.candidates.join(" "));
        }
    }

    /// A line about the chat itself.
    fn say(&mut self, what: &str) {
        for line in text::clean(what).lines() {
            self.above.push_str(&format!("-- {line}\n"));
        }
    }

    fn say_error(&mut self, error: &Error) {
        self.say(&error.to_string());
        if let Some(hint) = error.hint() {
            self.say(&format!("hint: {hint}"));
        }
    }

    /// Each reader of a damaged log reports it: what is the same is told once.
    fn tell_reports(&mut self) {
        let mut told: Vec<String> = Vec::new();
        for what in self.reports.try_iter() {
            if !told.contains(&what) {
                told.push(what);
            }
        }
        told.iter().for_each(|what| self.say(what));
    }

    fn is_here(&self, key: &PublicKey) -> bool {
        self.presence.get(key).is_some_and(|one| one.is_here)
    }

    /// Prints what is new and shows what is live, in one write.
    fn draw(&mut self) -> Result<()> {
        self.transfers.retain(|transfer| !transfer.tally.is_over());
        self.tell_reports();
        let live = Live {
            lines: self.live_lines(),
            prompt: self.prompt(),
            text: self.editor.text().to_owned(),
            cursor: self.editor.cursor(),
        };
        let mut out = self.screen.draw(&std::mem::take(&mut self.above), &live);
        if std::mem::take(&mut self.rings) {
            out.push('\x07');
        }
        if out.is_empty() { Ok(()) } else { self.terminal.write(&out) }
    }

    /// What waits and what moves.
    fn live_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(open) = &self.open {
            let state = if self.is_here(&open.peer.key) { State::Sent } else { State::Queued };
            let all = open.waiting.messages();
            let hidden = all.len().saturating_sub(LINES);
            if hidden > 0 {
                lines.push(format!("      {} {hidden} more", state.mark()));
            }
            lines
                .extend(all.skip(hidden).map(|(number, text)| self.transcript.waiting(*number, text, state)));
        }
        lines.extend(self.transfers.iter().take(LINES).map(|transfer| transfer.line()));
        lines
    }

    /// What stands before the line: how many messages wait to be read, who is talked to, whether they are here.
    fn prompt(&self) -> String {
        if let Some(question) = &self.question {
            return format!("{}: yes or no> ", question.at);
        }
        if let Some(query) = self.editor.query() {
            return format!("search {}: ", text::clean_line(query));
        }
        let others = self.peers.iter().filter_map(|peer| Some((peer, self.unread.get(&peer.key)?)));
        let unread: String = others.map(|(peer, count)| format!("[{} {count}] ", peer.name)).collect();
        let Some(open) = &self.open else { return format!("{unread}egoat> ") };
        let all = if self.is_all { "all, " } else { "" };
        let state = if self.is_here(&open.peer.key) { "here" } else { "away" };
        let (name, room) = (&open.peer.name, self.screen.room());
        let long = format!("{unread}{all}{name} ({state})> ");
        // On a narrow screen the line itself is more important.
        if columns(&long) * 2 <= room { long } else { format!("{name}> ") }
    }
}

impl Transfer {
    /// Its number, what it is and how far, in one short line.
    fn line(&self) -> String {
        let (done, total) = self.tally.done();
        let way = if self.is_outgoing { "to" } else { "from" };
        let title = &self.tally.title;
        let far = match total {
            _ if self.tally.moved() == 0 && self.tally.checked() > 0 => "comparing".to_owned(),
            Some(total) => format!("{} %", done.saturating_mul(100).checked_div(total).unwrap_or(100)),
            None => text::size(done),
        };
        let rate = text::size(self.tally.rate());
        format!("[{}] {far}, {rate}/s: {title} {way} {}", self.number, self.peer)
    }
}
