//! What the interactive chat prints of a conversation (egoat(1), CHAT): a line for each event, days, colours. What a
//! peer wrote is clean, and its further lines are indented, so that no message can look like another line.
//!
//! ```text
//! 20:31   bob: received        20:31 + me: delivered       20:31 x me (expired): not sent
//! 20:31   ~ bob waves          20:31 * bob sent PATH (SIZE)
//! ```

use crate::app::chat::WaitingMessage;
use crate::app::inbox::entry::{HistoryEntry, MessageStatus, Words};
use crate::app::{Peer, PublicKey};
use crate::time::Zone;
use crate::ui::typed::ACTION;

/// Colours of names: those that are seen on light and on dark ground.
const COLOURS: [u8; 6] = [32, 33, 34, 35, 36, 31];

/// How lines look.
pub struct Transcript {
    zone: Zone,
    /// With colours.
    is_coloured: bool,
    /// The day of the last line.
    day: String,
}

/// What became of a message of ours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits.
    Queued,
    /// It is on its way.
    Sent,
    /// The peer has it on its disk.
    Delivered,
    /// It is not sent.
    Dropped,
}

impl DeliveryState {
    /// As it stands before the message.
    pub fn mark(self) -> char {
        match self {
            DeliveryState::Queued => '.',
            DeliveryState::Sent => '>',
            DeliveryState::Delivered => '+',
            DeliveryState::Dropped => 'x',
        }
    }
}

impl Transcript {
    /// In local time; NO_COLOR and TERM have their say (no-color.org).
    pub fn new(zone: Zone) -> Transcript {
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Transcript { zone, is_coloured: !is_plain, day: String::new() }
    }

    /// The lines of an entry, each ended; before the first of a day, one that says so. With `is_all`, messages of ours
    /// say to whom.
    pub fn lines(&mut self, peer: &Peer, entry: &HistoryEntry, is_all: bool) -> String {
        let time = entry.time();
        let when = self.zone.format_known(time);
        let (day, clock) = (&when[..10], &when[11..16]);
        let mut out = String::new();
        // What waited long is told when it was delivered, among what was said since.
        if time.is_some() && day > self.day.as_str() {
            self.day = day.to_owned();
            out.push_str(&format!("-- {day} --\n"));
        }
        out.push_str(&format!("{clock} {}\n", self.line(peer, entry, is_all)));
        out
    }

    fn line(&self, peer: &Peer, entry: &HistoryEntry, is_all: bool) -> String {
        let name = self.name(&peer.name, &peer.key);
        let me = || self.me(peer, is_all);
        match entry.words() {
            Words::Message { way: MessageStatus::Received, text } => message_line(' ', &name, &text),
            Words::Message { way: MessageStatus::Delivered, text } => {
                message_line(DeliveryState::Delivered.mark(), &me(), &text)
            }
            Words::Message { way: MessageStatus::Dropped(why), text } => {
                message_line(DeliveryState::Dropped.mark(), &format!("{} ({})", me(), why.word()), &text)
            }
            Words::File { verb, what } => format!("* {name} {verb} {what}"),
        }
    }

    fn me(&self, peer: &Peer, is_all: bool) -> String {
        if is_all { format!("me -> {}", self.name(&peer.name, &peer.key)) } else { "me".into() }
    }

    /// A name in its colour, which is always the same for the same key.
    pub fn name(&self, name: &str, key: &PublicKey) -> String {
        if !self.is_coloured {
            return name.to_owned();
        }
        let colour = COLOURS[usize::from(key.as_bytes()[0]) % COLOURS.len()];
        format!("\x1b[{colour}m{name}\x1b[0m")
    }

    /// A message of ours that waits, in one line.
    pub fn waiting(&self, message: &WaitingMessage, state: DeliveryState) -> String {
        let clock = self.zone.format_known(message.said);
        format!("{} {} me: {}", &clock[11..16], state.mark(), message.line)
    }

    /// Days are told anew.
    pub fn begin(&mut self) {
        self.day.clear();
    }
}

/// `text` is clean and indented.
fn message_line(mark: char, name: &str, text: &str) -> String {
    match text.strip_prefix(ACTION) {
        Some(action) => format!("{mark} ~ {name} {action}"),
        None => format!("{mark} {name}: {text}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::app::inbox::entry::{Event, Times};
    use crate::crypto::keys::Seed;
    use crate::store::history::Dropped;

    const MINUTE: u64 = 60_000_000;

    fn at(time: u64) -> Times {
        Times { noted: time, said: time }
    }

    fn transcript() -> Transcript {
        Transcript { zone: Zone::utc(), is_coloured: false, day: String::new() }
    }

    fn bob() -> Peer {
        Peer::new("bob".into(), Seed::from_bytes([1; 32]).static_keys().public(), Vec::new())
    }

    fn received(text: &str) -> String {
        let event = Event::Received { number: 1, text: text.as_bytes() };
        transcript().lines(&bob(), &HistoryEntry { seq: 1, times: at(MINUTE), event }, false)
    }

    #[test]
    fn each_event_has_its_line() {
        let mut transcript = transcript();
        let mut line = |event: Event, is_all| {
            transcript.lines(
                &bob(),
                &HistoryEntry { seq: 1, times: Times { noted: 2 * MINUTE, said: MINUTE }, event },
                is_all,
            )
        };
        assert_eq!(
            line(Event::Received { number: 1, text: b"hi" }, false),
            "-- 1970-01-01 --\n00:02   bob: hi\n"
        );
        assert_eq!(line(Event::Sent { number: MINUTE, key: "", text: b"ho" }, false), "00:01 + me: ho\n");
        assert_eq!(
            line(Event::Sent { number: MINUTE, key: "", text: b"ho" }, true),
            "00:01 + me -> bob: ho\n"
        );
        let why = Dropped::Expired;
        assert_eq!(
            line(Event::Dropped { number: MINUTE, why, text: b"no" }, false),
            "00:01 x me (expired): no\n"
        );
        assert_eq!(line(Event::FileSent { size: 2048, path: b"a" }, false), "00:02 * bob has a (2.0 KiB)\n");
        assert_eq!(line(Event::Received { number: 1, text: b"/me waves" }, false), "00:02   ~ bob waves\n");
    }

    #[test]
    fn no_message_can_forge_a_line_or_steer_the_terminal() {
        assert_eq!(
            received("a\n00:02   carol: b"),
            "-- 1970-01-01 --\n00:01   bob: a\n    00:02   carol: b\n"
        );
        for evil in ["\x1b[2J", "a\rb", "\u{9b}1A", "\u{202e}x", "/me \x1b]0;x\x07"] {
            let lines = received(evil);
            assert!(lines.chars().all(|c| c == '\n' || !c.is_control()), "{lines:?}");
        }
    }

    #[test]
    fn a_name_keeps_its_colour() {
        let coloured = Transcript { is_coloured: true, ..transcript() };
        let (peer, name) = (bob(), |peer: &Peer| coloured.name(&peer.name, &peer.key));
        assert_eq!(name(&peer), name(&peer.clone()));
        assert!(name(&peer).starts_with("\x1b[3") && name(&peer).ends_with("mbob\x1b[0m"));
    }
}
