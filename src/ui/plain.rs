//! The chat line by line: a view of [`crate::app::chat`] for pipes, and for terminals on which no lines can be drawn. Each
//! line of standard input is said, and what happens is printed as `egoat log` prints it.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, IsTerminal, Read};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::app::chat::signal::{Signal, Signals};
use crate::app::chat::view::{Arrival, View};
use crate::app::chat::{Chat, Question, Scope};
use crate::app::inbox::entry::{Event, HistoryEntry};
use crate::app::link::{LOG_POLL_INTERVAL, NodeEvent};
use crate::app::messages::MAX_TEXT;
use crate::app::{Endpoint, Link, Peer, PublicKey, news};
use crate::error::{Error, Result};
use crate::ui::lines::EntryPrinter;
use crate::ui::output::{self, Output};
use crate::ui::progress::Progress;
use crate::ui::terminal::tty::TypedLines;
use crate::ui::typed::{self, ParsedLine};

/// How long what was typed gets to be delivered after the end of input.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon the second Ctrl-C follows that leaves.
const TWICE_TIMEOUT: Duration = Duration::from_secs(3);
const CTRL_C: u8 = 0x03;
/// Bytes of the longest line that Linux hands over where it edits lines itself: N_TTY_BUF_SIZE, without the end. Other systems
/// take less and refuse more with a bell.
const MAX_TYPED: usize = 4095;
/// How often the logs are read meanwhile.
const DELIVERY_POLL: Duration = Duration::from_millis(50);

/// What standard input gives.
enum Input {
    /// A line without its newline.
    Line(Vec<u8>),
    /// A line that is longer than a message may be, and was left out.
    TooLong,
    /// A line of which the terminal may have dropped the end, and that was left out.
    Cut,
    /// Ctrl-C, on a line in which something stood or not.
    Interrupted { had_text: bool },
    /// Ctrl-D on a terminal, which may be followed by more.
    Left,
    /// There is no more; an error if it cannot be read.
    Ended(Result<()>),
}

/// What is printed.
struct Lines {
    out: Output,
    printer: EntryPrinter,
    /// Lines are typed on the terminal that shows what is printed.
    is_terminal: bool,
    /// The messages that were typed there, and stand on it already.
    typed: HashSet<(PublicKey, u64)>,
    /// The next line answers it.
    question: Option<Question>,
    /// A line said `/quit`.
    is_leaving: bool,
    /// The user was asked about that, and knows what is not delivered.
    is_sure: bool,
    /// When Ctrl-C was typed on an empty line.
    interrupted: Option<Instant>,
    /// The transfers that come in, by the peer's name, and from where.
    shown: HashMap<String, (Progress, Option<SocketAddr>)>,
    /// Why a line could not be printed.
    failed: Option<Error>,
}

/// Whether lines are typed on the terminal that shows what is printed.
pub fn is_typed(out: Output) -> bool {
    !out.json && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Talks until the end of input: to `to`, else to the only peer or whom a line names. The chat begins with a link for
/// somebody if its user `invites`.
pub fn run(
    own: &Endpoint,
    out: Output,
    to: Option<Peer>,
    events: Option<Receiver<NodeEvent>>,
    invites: bool,
) -> Result<()> {
    let signals = Signals::default();
    let mut view = Lines::new(out);
    let scope = Scope::News { of: to.as_ref().map(|peer| peer.key), is_read: view.is_terminal };
    let mut chat = Chat::new(own, scope, signals.teller(), events.is_some())?;
    chat.begin(to, &mut view)?;
    if invites && let Err(error) = chat.invite(None, &mut view) {
        view.error(&error);
    }
    signals.listen(chat.link(), events)?;
    let mode = view.is_terminal.then(TypedLines::enter).flatten();
    signals.spawn("stdin", if view.is_terminal { read_typed } else { read_lines })?;
    let mut deadline: Option<Instant> = None;
    while deadline.is_none_or(|deadline| Instant::now() < deadline && !chat.is_all_settled().unwrap_or(true))
    {
        match signals.receiver.recv_timeout(if deadline.is_some() {
            DELIVERY_POLL
        } else {
            LOG_POLL_INTERVAL
        }) {
            Ok(signal) => {
                if let Signal::Node(event) = &signal {
                    view.beside(event);
                }
                match chat.take(signal, &mut view)? {
                    Some(Input::Ended(ended)) => {
                        ended?;
                        deadline = Some(Instant::now() + DELIVERY_TIMEOUT);
                    }
                    // What was typed is safe, and its user does not wait any longer.
                    Some(Input::Interrupted { .. } | Input::Left) if deadline.is_some() => break,
                    // What follows `/quit` is not read.
                    _ if deadline.is_some() => {}
                    Some(input) => take(input, &mut chat, &mut view, mode.as_ref())?,
                    None => {}
                }
            }
            Err(RecvTimeoutError::Timeout) => chat.look(&mut view)?,
            Err(RecvTimeoutError::Disconnected) => break,
        }
        view.failed.take().map_or(Ok(()), Err)?;
        if view.question.is_none() {
            view.question = chat.ask(&mut view);
        }
        if view.is_leaving && deadline.is_none() {
            let timeout = if view.is_sure { Duration::ZERO } else { DELIVERY_TIMEOUT };
            deadline = Some(Instant::now() + timeout);
        }
    }
    chat.look(&mut view)?;
    view.failed.take().map_or(Ok(()), Err)?;
    if !chat.is_all_settled()? {
        output::warn("not all that was typed is delivered yet; `egoat outbox` shows what waits");
    }
    Ok(())
}

/// Does what the user wants by this input.
fn take(input: Input, chat: &mut Chat, view: &mut Lines, mode: Option<&TypedLines>) -> Result<()> {
    match input {
        Input::Line(line) => {
            // If that fails, Ctrl-C ends the process.
            mode.into_iter().for_each(|mode| drop(mode.set()));
            handle(chat, view, &line)?;
        }
        Input::TooLong => {
            output::warn("a line over 1 MiB was left out; send it as a file: `egoat send PEER FILE`");
        }
        Input::Cut => output::warn(
            "the line was not sent: this terminal cuts lines at 4095 bytes; send it as a file, or in parts",
        ),
        Input::Interrupted { had_text } => interrupt(chat, view, had_text)?,
        Input::Left => leave(chat, view)?,
        Input::Ended(ended) => ended?,
    }
    Ok(())
}

/// Ctrl-C drops the line, and the question that it was to answer. On an empty line, the second one leaves.
fn interrupt(chat: &mut Chat, view: &mut Lines, had_text: bool) -> Result<()> {
    output::end_question();
    let before = view.interrupted.take();
    if matches!(view.question, Some(Question::Leave)) {
        return leave(chat, view);
    }
    if view.question.take().is_some() || had_text {
        return Ok(());
    }
    if before.is_some_and(|before| before.elapsed() < TWICE_TIMEOUT) {
        return leave(chat, view);
    }
    view.interrupted = Some(Instant::now());
    view.note("Ctrl-C again leaves");
    Ok(())
}

/// Leaves at once when the question was seen that is asked before.
fn leave(chat: &mut Chat, view: &mut Lines) -> Result<()> {
    if matches!(view.question.take(), Some(Question::Leave)) {
        view.is_sure = true;
        view.leave();
        return Ok(());
    }
    chat.quit(view)
}

/// Does or says a line. Only an error of this disk ends the chat.
fn handle(chat: &mut Chat, view: &mut Lines, line: &[u8]) -> Result<()> {
    chat.look_at_peers(view)?;
    if let Some(question) = view.question.take_if(|_| !line.trim_ascii().is_empty()) {
        let line = String::from_utf8_lossy(line);
        if !question.is_answered_by(&line) {
            output::warn("this line was not sent: it answered the question, with no");
        }
        let is_yes = question.is_yes(&line);
        view.is_sure = is_yes && matches!(question, Question::Leave);
        chat.answer(question, is_yes, view);
        return Ok(());
    }
    // A line that begins with a slash is a message if it is one in any chat, and else goes to nobody.
    match typed::parse(&String::from_utf8_lossy(line)) {
        _ if line.is_empty() => Ok(()),
        ParsedLine::Message(_) => {
            say(chat, view, line.strip_prefix(b"/").filter(|rest| rest.starts_with(b"/")).unwrap_or(line))
        }
        ParsedLine::Command(command, rest) if view.is_terminal || command.is_piped() => {
            command.run(chat, view, rest).unwrap_or_else(|error| view.error(&error));
            Ok(())
        }
        ParsedLine::Command(command, _) => {
            output::warn(&format!(
                "this line was not sent: {} works on a terminal, and // begins a message",
                command.name
            ));
            Ok(())
        }
        ParsedLine::Refused(why) => {
            output::warn(&format!("this line was not sent: {why}"));
            Ok(())
        }
    }
}

fn say(chat: &mut Chat, view: &mut Lines, message: &[u8]) -> Result<()> {
    match chat.say(message, view) {
        Err(error @ (Error::Disk { .. } | Error::Corrupt { .. })) => Err(error),
        Err(error) => {
            output::warn(&format!("this line was not sent: {error}"));
            warn_of_hint(&error);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn warn_of_hint(error: &Error) {
    error.hint().into_iter().for_each(|hint| output::warn(&format!("hint: {hint}")));
}

fn read_lines(send: &mut dyn FnMut(Input) -> bool) {
    let mut stdin = std::io::stdin().lock();
    loop {
        let input = match read_line(&mut stdin) {
            Ok(Some(input)) => input,
            Ok(None) => Input::Ended(Ok(())),
            Err(cause) => Input::Ended(Err(Error::failed(format!("cannot read the input: {cause}")))),
        };
        let is_last = matches!(input, Input::Ended(_));
        if !send(input) || is_last {
            return;
        }
    }
}

/// The same on a terminal, whose lines end with Ctrl-C as well, and which goes on after Ctrl-D.
fn read_typed(send: &mut dyn FnMut(Input) -> bool) {
    let mut stdin = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        let input = match stdin.fill_buf() {
            Ok([]) if line.is_empty() => Input::Left,
            Ok([]) => Input::Line(std::mem::take(&mut line)),
            Ok(bytes) => {
                let end = bytes.iter().position(|byte| [b'\n', CTRL_C].contains(byte));
                let used = end.map_or(bytes.len(), |place| place + 1);
                let last = bytes[used - 1];
                line.extend_from_slice(&bytes[..end.unwrap_or(used)]);
                stdin.consume(used);
                match end {
                    None if line.len() <= MAX_TEXT => continue,
                    None => {
                        // No terminal hands over so much at once.
                        line.clear();
                        Input::TooLong
                    }
                    Some(_) if last == CTRL_C => {
                        Input::Interrupted { had_text: !std::mem::take(&mut line).is_empty() }
                    }
                    // What the terminal has not room for, it drops without a word.
                    Some(_) if line.len() >= MAX_TYPED => {
                        line.clear();
                        Input::Cut
                    }
                    Some(_) => Input::Line(std::mem::take(&mut line)),
                }
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(cause) => Input::Ended(Err(Error::failed(format!("cannot read the input: {cause}")))),
        };
        let is_last = matches!(input, Input::Ended(_));
        if !send(input) || is_last {
            return;
        }
    }
}

/// The next line; `None` at the end.
fn read_line(stdin: &mut impl BufRead) -> std::io::Result<Option<Input>> {
    let mut line = Vec::new();
    // One byte more than a message and its newline have, so that a longer line is refused and not cut.
    let limit = MAX_TEXT as u64 + 2;
    if stdin.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        // Windows ends lines so.
        line.pop_if(|last| *last == b'\r');
    } else if line.len() as u64 == limit {
        skip_line(stdin)?;
        return Ok(Some(Input::TooLong));
    }
    Ok(Some(Input::Line(line)))
}

/// Reads to the end of a line that is too long to keep.
fn skip_line(stdin: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let bytes = stdin.fill_buf()?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(bytes.len(), |place| place + 1);
        let is_done = end.is_some() || bytes.is_empty();
        stdin.consume(used);
        if is_done {
            return Ok(());
        }
    }
}

impl Lines {
    fn new(out: Output) -> Lines {
        let is_terminal = is_typed(out);
        Lines {
            out,
            printer: EntryPrinter::new(out).showing_actions(is_terminal),
            is_terminal,
            typed: HashSet::new(),
            question: None,
            is_leaving: false,
            is_sure: false,
            interrupted: None,
            shown: HashMap::new(),
            failed: None,
        }
    }

    /// Prints what the node does beside the conversation, and is not in the logs.
    fn beside(&mut self, event: &NodeEvent) {
        match event {
            NodeEvent::TransferBegan { peer, address, tally } => {
                self.note_event(event);
                let progress = Progress::lines(self.out, peer, tally);
                self.shown.insert(peer.clone(), (progress, *address));
            }
            NodeEvent::TransferDone { peer } => {
                if let Some((progress, address)) = self.shown.remove(peer) {
                    progress.received(address);
                }
            }
            NodeEvent::TransferFailed { peer, .. } => drop(self.shown.remove(peer)),
            // Who types learns of the command of the chat, from the model.
            NodeEvent::Request { .. } if self.is_terminal => {}
            NodeEvent::Request { .. }
            | NodeEvent::Connected { .. }
            | NodeEvent::Disconnected { .. }
            | NodeEvent::FilesSent { .. } => self.note_event(event),
            NodeEvent::Trouble(error) if error.is_passing() => self.out.note(&error.to_string()),
            // The model shows these, or the logs have them.
            _ => {}
        }
    }

    fn note_event(&self, event: &NodeEvent) {
        news::line(event).into_iter().for_each(|line| self.out.note(&line));
    }
}

impl View for Lines {
    fn note(&mut self, text: &str) {
        self.out.note(text);
    }

    /// Without anything before it, for copying. Only a terminal asks for links.
    fn link(&mut self, link: &Link) {
        let printed = output::print(&link.to_string());
        self.failed = self.failed.take().or(printed.err());
    }

    fn begin(&mut self) {}

    fn entry(&mut self, peer: &Peer, entry: &HistoryEntry, _is_all: bool) {
        if let Event::Sent { number, .. } = entry.event
            && self.typed.remove(&(peer.key, number))
        {
            return;
        }
        let printed = self.printer.print(&self.printer.line(&peer.name, entry));
        self.failed = self.failed.take().or(printed.err());
    }

    fn said(&mut self, peer: &Peer, number: u64) {
        if self.is_terminal {
            self.typed.insert((peer.key, number));
        }
    }

    fn arrived(&mut self, _arrival: &Arrival) {}

    fn alert(&mut self, text: &str) {
        output::warn(text);
    }

    fn error(&mut self, error: &Error) {
        output::warn(&error.to_string());
        warn_of_hint(error);
    }

    fn clear(&mut self) {}

    fn leave(&mut self) {
        self.is_leaving = true;
    }

    fn can_answer(&self) -> bool {
        self.is_terminal
    }

    fn reads_keys(&self) -> bool {
        false
    }

    fn is_idle(&self) -> bool {
        self.question.is_none()
    }

    fn draft(&self) -> Option<String> {
        None
    }

    fn set_draft(&mut self, _draft: &str) {}

    fn drop_line(&mut self) -> bool {
        false
    }

    fn remember(&mut self, _text: &str) {}
}
