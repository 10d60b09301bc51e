//! What a terminal sends, as keys: UTF-8, control characters, the escape sequences of xterm and its kin (ECMA-48, xterm's
//! ctlseqs), bracketed paste. It leaves out what the keys do.

use std::time::Duration;

use crate::text;

/// A key, or a block that was pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character to type.
    Char(char),
    /// With Ctrl, in lower case.
    Ctrl(char),
    /// With Alt.
    Alt(char),
    /// Return.
    Enter,
    /// With Alt.
    AltEnter,
    /// Tab.
    Tab,
    /// Backspace, or Ctrl-H.
    Backspace,
    /// With Alt.
    AltBackspace,
    /// Delete.
    Delete,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// Home.
    Home,
    /// End.
    End,
    /// Ctrl or Alt with an arrow.
    WordLeft,
    /// Ctrl or Alt with an arrow.
    WordRight,
    /// A lone ESC.
    Escape,
    /// Pasted text, cleaned.
    Paste(String),
    /// Pasted text of more than a message.
    LongPaste,
}

/// Longest escape sequence that is waited for; what is longer is no key.
const MAX_SEQUENCE: usize = 32;
/// Most bytes of one paste: a message has no more.
const MAX_PASTE: usize = 1 << 20;
const ESC: u8 = 0x1b;
const CTRL_C: u8 = 0x03;
const PASTE_BEGIN: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// How long the rest of a longer key takes after its ESC at most, also over a slow link.
const ESCAPE_PAUSE: Duration = Duration::from_millis(100);
/// A paste is over when nothing has come for this long after its end. Terminals exist that do not strip ESC from what they
/// paste: a text that contains an end goes on after it within a few milliseconds.
const PASTE_PAUSE: Duration = Duration::from_millis(100);
/// The same when no end has come. A slow link may stall for a second in the middle of a paste.
const STALLED_PASTE_PAUSE: Duration = Duration::from_secs(3);

/// Bytes become keys as soon as they are whole. A paste is whole after a pause: it takes everything that comes before the
/// pause, so no text can end its own paste and go on as keys.
#[derive(Default)]
pub struct Keyboard {
    waiting: Vec<u8>,
    paste: Option<Paste>,
    /// The last paste was given without an end, and no key was pressed since: the rest may still come.
    is_cut: bool,
}

/// What the front of the bytes is.
enum Front {
    /// A key, or nothing that is known, of so many bytes.
    Whole(Option<Key>, usize),
    /// More bytes are needed.
    Part,
    /// A paste begins behind so many bytes.
    PasteBegins(usize),
}

impl Keyboard {
    /// Takes bytes, and gives the keys that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Key> {
        if std::mem::take(&mut self.is_cut) && !is_one_key(bytes) {
            self.paste = Some(Paste::default());
        }
        if let Some(paste) = &mut self.paste {
            paste.push(bytes);
            return Vec::new();
        }
        self.waiting.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while !self.waiting.is_empty() {
            match front(&self.waiting) {
                Front::Part => break,
                Front::Whole(key, used) => {
                    self.waiting.drain(..used);
                    keys.extend(key);
                }
                Front::PasteBegins(used) => {
                    let mut paste = Paste::default();
                    paste.push(&self.waiting[used..]);
                    self.paste = Some(paste);
                    self.waiting.clear();
                }
            }
        }
        keys
    }

    /// How long to wait for more bytes before [`Keyboard::give_up`]; `None` when nothing has begun.
    pub fn patience(&self) -> Option<Duration> {
        match &self.paste {
            Some(paste) if paste.is_stalled => Some(STALLED_PASTE_PAUSE),
            Some(_) => Some(PASTE_PAUSE),
            None => (!self.waiting.is_empty()).then_some(ESCAPE_PAUSE),
        }
    }

    /// Whether a paste has begun that is not given yet.
    pub fn is_pasting(&self) -> bool {
        self.paste.is_some()
    }

    /// Nothing more came for as long as [`Keyboard::patience`] says. What is there is all, but a paste without an end gets
    /// a second and longer pause.
    pub fn give_up(&mut self) -> Option<Key> {
        if let Some(paste) = self.paste.as_mut().filter(|paste| !paste.has_ended && !paste.is_stalled) {
            paste.is_stalled = true;
            return None;
        }
        if let Some(paste) = self.paste.take() {
            self.is_cut = !paste.has_ended;
            return paste.key();
        }
        let waiting = std::mem::take(&mut self.waiting);
        (waiting == [ESC]).then_some(Key::Escape)
    }
}

/// A paste that is coming in.
#[derive(Default)]
struct Paste {
    text: Vec<u8>,
    /// The last bytes, which may begin a mark.
    last: Vec<u8>,
    /// An end has come, and no begin since.
    has_ended: bool,
    /// No end has come for [`PASTE_PAUSE`].
    is_stalled: bool,
}

impl Paste {
    fn push(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        // After a pause it was typed, and is no part of the paste. All of the paste is dropped, also the rest.
        if std::mem::take(&mut self.is_stalled)
            && let Some((&CTRL_C, behind)) = bytes.split_first()
        {
            *self = Paste { has_ended: true, ..Paste::default() };
            bytes = behind;
        }
        self.last.extend_from_slice(bytes);
        let mut rest = std::mem::take(&mut self.last);
        while let Some(at) = rest.windows(PASTE_END.len()).position(is_mark) {
            self.has_ended = rest[at..].starts_with(PASTE_END);
            self.keep(&rest[..at]);
            rest.drain(..at + PASTE_END.len());
        }
        let begun = rest.len().saturating_sub(PASTE_END.len() - 1);
        self.keep(&rest[..begun]);
        self.last = rest.split_off(begun);
    }

    /// Keeps so much that it can be told to be too long.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (MAX_PASTE + 1).saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn key(mut self) -> Option<Key> {
        let last = std::mem::take(&mut self.last);
        self.keep(&last);
        match self.text.len() {
            0 => None,
            1..=MAX_PASTE => Some(Key::Paste(pasted(&self.text))),
            _ => Some(Key::LongPaste),
        }
    }
}

fn is_mark(bytes: &[u8]) -> bool {
    bytes == PASTE_END || bytes == PASTE_BEGIN
}

/// Whether this is what a terminal sends for one key, or the beginning of that.
fn is_one_key(bytes: &[u8]) -> bool {
    match front(bytes) {
        Front::Whole(_, used) => used == bytes.len(),
        Front::Part => true,
        Front::PasteBegins(_) => false,
    }
}

/// A terminal sends CR for the ends of pasted lines.
fn pasted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    text::clean(&text).into_owned()
}

fn front(bytes: &[u8]) -> Front {
    match bytes {
        [ESC] | [ESC, ESC] => Front::Part,
        // However many there are, none is with Alt but the last.
        [ESC, ESC, ESC, ..] => Front::Whole(Some(Key::Escape), 1),
        [ESC, b'[', rest @ ..] => control_sequence(rest),
        [ESC, b'O'] => Front::Part,
        [ESC, b'O', last, ..] => Front::Whole(arrow(*last, ""), 3),
        [ESC, rest @ ..] => match front(rest) {
            Front::Whole(key, used) => Front::Whole(key.and_then(with_alt), used + 1),
            Front::PasteBegins(used) => Front::PasteBegins(used + 1),
            Front::Part => Front::Part,
        },
        [first, ..] => character(*first, bytes),
        [] => Front::Part,
    }
}

fn character(first: u8, bytes: &[u8]) -> Front {
    let key = match first {
        b'\r' => Key::Enter,
        b'\t' => Key::Tab,
        0x7f | 0x08 => Key::Backspace,
        0..0x20 => Key::Ctrl((first | 0x60) as char),
        _ => return utf8(bytes),
    };
    Front::Whole(Some(key), 1)
}

/// One character of UTF-8; what is none is passed over byte by byte.
fn utf8(bytes: &[u8]) -> Front {
    let length = match bytes[0] {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Front::Whole(None, 1),
    };
    let whole = &bytes[..length.min(bytes.len())];
    match std::str::from_utf8(whole) {
        Ok(text) => Front::Whole(text.chars().next().filter(|c| is_typed(*c)).map(Key::Char), length),
        Err(bad) if bad.error_len().is_none() => Front::Part,
        Err(_) => Front::Whole(None, 1),
    }
}

/// What would be cleaned away is not taken either.
fn is_typed(c: char) -> bool {
    text::clean(c.encode_utf8(&mut [0; 4])).chars().eq([c])
}

fn with_alt(key: Key) -> Option<Key> {
    match key {
        Key::Char(c) => Some(Key::Alt(c)),
        Key::Enter => Some(Key::AltEnter),
        Key::Backspace => Some(Key::AltBackspace),
        Key::Left => Some(Key::WordLeft),
        Key::Right => Some(Key::WordRight),
        _ => None,
    }
}

/// What follows `ESC [`: parameters, then a letter or `~`.
fn control_sequence(bytes: &[u8]) -> Front {
    let Some(end) = bytes.iter().take(MAX_SEQUENCE).position(|byte| !(0x20..0x40).contains(byte)) else {
        return if bytes.len() < MAX_SEQUENCE { Front::Part } else { Front::Whole(None, 2 + MAX_SEQUENCE) };
    };
    let used = 2 + end + 1;
    let parameters = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    let key = match (bytes[end], parameters) {
        (b'~', "200") => return Front::PasteBegins(used),
        (b'~', "1" | "7") => Some(Key::Home),
        (b'~', "4" | "8") => Some(Key::End),
        (b'~', "3") => Some(Key::Delete),
        (last, parameters) => arrow(last, parameters),
    };
    Front::Whole(key, used)
}

fn arrow(last: u8, parameters: &str) -> Option<Key> {
    // 3 is Alt, 5 is Ctrl.
    let is_word = matches!(parameters, "1;3" | "1;5");
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' if is_word => Key::WordRight,
        b'D' if is_word => Key::WordLeft,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of bytes that come in these pieces, and then no more.
    fn keys_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Key> {
        let mut keyboard = Keyboard::default();
        let mut keys: Vec<Key> = pieces.into_iter().flat_map(|piece| keyboard.push(piece)).collect();
        keys.extend(rest(&mut keyboard));
        keys
    }

    fn keys(bytes: &[u8]) -> Vec<Key> {
        keys_of([bytes])
    }

    /// What is given when nothing comes for long.
    fn rest(keyboard: &mut Keyboard) -> Vec<Key> {
        std::iter::from_fn(|| keyboard.patience().map(|_| keyboard.give_up())).flatten().collect()
    }

    fn paste(text: &str) -> Key {
        Key::Paste(text.into())
    }

    /// What is sent, and the keys that it is.
    fn samples() -> Vec<(&'static [u8], Vec<Key>)> {
        vec![
            (b"a\xc3\xa9", vec![Key::Char('a'), Key::Char('\u{e9}')]),
            (b"\r\t\x7f\x08", vec![Key::Enter, Key::Tab, Key::Backspace, Key::Backspace]),
            (b"\x01\x03\x1a\x00", vec![Key::Ctrl('a'), Key::Ctrl('c'), Key::Ctrl('z'), Key::Ctrl('`')]),
            (b"\x1b[A\x1b[B\x1bOC\x1b[D", vec![Key::Up, Key::Down, Key::Right, Key::Left]),
            (
                b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[3~",
                vec![Key::Home, Key::End, Key::Home, Key::End, Key::Delete],
            ),
            (b"\x1b[1;5C\x1b[1;3D\x1b\x1b[C", vec![Key::WordRight, Key::WordLeft, Key::WordRight]),
            (
                b"\x1bb\x1b1\x1b\r\x1b\x7f",
                vec![Key::Alt('b'), Key::Alt('1'), Key::AltEnter, Key::AltBackspace],
            ),
            (b"x\x1b[200~a\rb\x1b[A\x1b[201~", vec![Key::Char('x'), paste("a\nb\u{fffd}[A")]),
            // It contains its own end, Ctrl-C and Ctrl-D, or another paste follows at once.
            (b"\x1b[200~a\x1b[201~\r/quit\r\x03\x04\x1b[201~", vec![paste("a\n/quit\n\u{fffd}\u{fffd}")]),
            (b"\x1b[200~a\x1b[201~\x1b[201~\r/quit\r", vec![paste("a\n/quit\n")]),
            (b"\x1b[200~a\x1b[200~b\x1b[201~\x1b[200~c\x1b[201~", vec![paste("abc")]),
            (b"\x1b[200~a\r/quit\r", vec![paste("a\n/quit\n")]),
            (b"\x1b\x1b[200~a\x1b[201~", vec![paste("a")]),
            (b"\x1b[200~\x1b[201~", vec![]),
            // Function keys, the mouse, answers to questions nobody asked, and bytes that are no UTF-8.
            (b"\x1b[15~\x1b[<0;1;2M\x1b[?62;c\x1b[I\xff\xc3(x", vec![Key::Char('('), Key::Char('x')]),
            // A terminal does not send it, but a paste without brackets may.
            ("\u{202e}\u{9b}x".as_bytes(), vec![Key::Char('x')]),
        ]
    }

    #[test]
    fn sequences_are_keys() {
        for (bytes, expected) in samples() {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn it_does_not_matter_how_bytes_arrive() {
        for (bytes, expected) in samples() {
            for cut in 0..bytes.len() {
                let (before, behind) = bytes.split_at(cut);
                assert_eq!(keys_of([before, behind]), expected, "{bytes:?} cut at {cut}");
            }
            assert_eq!(keys_of(bytes.chunks(1)), expected, "{bytes:?} byte by byte");
        }
    }

    #[test]
    fn after_a_pause_a_key_is_no_part_of_a_paste() {
        let mut keyboard = Keyboard::default();
        assert!(keyboard.push(b"\x1b[200~a\r\x1b[201~").is_empty());
        assert_eq!((keyboard.patience(), keyboard.is_pasting()), (Some(PASTE_PAUSE), true));
        assert_eq!(keyboard.give_up(), Some(paste("a\n")));
        assert_eq!((keyboard.patience(), keyboard.is_pasting()), (None, false));
        assert_eq!(keyboard.push(b"\r"), [Key::Enter]);
    }

    #[test]
    fn a_paste_without_an_end_ends_by_ctrl_c_and_by_a_long_pause() {
        for cut in 6..9 {
            let mut keyboard = Keyboard::default();
            keyboard.push(&b"\x1b[200~a\x03b"[..cut]);
            assert_eq!((keyboard.patience(), keyboard.give_up()), (Some(PASTE_PAUSE), None));
            assert_eq!(keyboard.patience(), Some(STALLED_PASTE_PAUSE));
            let mut stalled = Keyboard::default();
            stalled.push(&b"\x1b[200~a\x03b"[..cut]);
            stalled.give_up();
            // What follows within a moment may be the rest of it.
            assert!(stalled.push(b"\x03").is_empty());
            assert_eq!((stalled.give_up(), stalled.patience()), (None, None));
            assert_eq!(stalled.push(b"\x03x"), [Key::Ctrl('c'), Key::Char('x')]);
            let pasted = keyboard.give_up();
            assert_eq!((pasted.is_some(), keyboard.patience()), (cut > 6, None));
            assert_eq!(keyboard.push(b"\x03"), [Key::Ctrl('c')]);
            assert_eq!(keyboard.push(b"x\r"), [Key::Char('x'), Key::Enter]);
        }
    }

    #[test]
    fn the_rest_of_a_paste_that_stalled_for_long_is_pasted_too() {
        let mut keyboard = Keyboard::default();
        keyboard.push(b"\x1b[200~a\r");
        assert_eq!(rest(&mut keyboard), [paste("a\n")]);
        assert!(keyboard.push(b"/quit\r").is_empty());
        assert!(keyboard.push(b"\r\x1b[201~").is_empty());
        assert_eq!(rest(&mut keyboard), [paste("/quit\n\n")]);
        assert_eq!(keyboard.push(b"x\r"), [Key::Char('x'), Key::Enter]);
    }

    #[test]
    fn a_lone_escape_is_one_when_nothing_follows() {
        let mut keyboard = Keyboard::default();
        assert!(keyboard.push(b"\x1b").is_empty() && keyboard.patience() == Some(ESCAPE_PAUSE));
        assert_eq!(keyboard.give_up(), Some(Key::Escape));
        assert!(keyboard.push(b"\x1b[1;").is_empty());
        assert_eq!(keyboard.give_up(), None);
        assert_eq!(keyboard.push(b"5"), [Key::Char('5')]);
    }

    #[test]
    fn any_number_of_escapes_are_that_many() {
        assert_eq!(Keyboard::default().push(&[ESC; 100_000]), vec![Key::Escape; 100_000 - 2]);
    }

    #[test]
    fn what_is_too_long_is_no_key_and_a_paste_has_an_end() {
        let long = [b"\x1b[".as_slice(), &[b'1'; 40], b"A"].concat();
        assert_eq!(keys(&long).len(), 40 + 1 - MAX_SEQUENCE);
        let piece = [b'x'; 64 << 10];
        let long = [b"\x1b[200~".as_slice()].into_iter().chain([&piece[..]; 40]).chain([PASTE_END]);
        assert_eq!(keys_of(long), [Key::LongPaste]);
        let most = [b"\x1b[200~".as_slice(), &[b'x'; MAX_PASTE], PASTE_END];
        assert_eq!(keys_of(most), [Key::Paste("x".repeat(MAX_PASTE))]);
        assert_eq!(keys_of(most.into_iter().chain([&b"y"[..]])), [Key::LongPaste]);
    }
}
