//! What a terminal sends, as keys: UTF-8, control characters, the escape sequences of xterm and its kin (ECMA-48, xterm's
//! ctlseqs), bracketed paste. It leaves out what the keys do.

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
const PASTE_END: &[u8] = b"\x1b[201~";

/// Bytes become keys as soon as they are whole.
#[derive(Default)]
pub struct Keyboard {
    waiting: Vec<u8>,
    paste: Option<Vec<u8>>,
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
        self.waiting.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while !self.waiting.is_empty() {
            if self.paste.is_some() {
                match self.read_paste() {
                    Some(key) => keys.push(key),
                    None => break,
                }
                continue;
            }
            match front(&self.waiting) {
                Front::Part => break,
                Front::Whole(key, used) => {
                    self.waiting.drain(..used);
                    keys.extend(key);
                }
                Front::PasteBegins(used) => {
                    self.waiting.drain(..used);
                    self.paste = Some(Vec::new());
                }
            }
        }
        keys
    }

    /// Whether a key has begun that may be a lone ESC.
    pub fn is_waiting(&self) -> bool {
        self.paste.is_none() && !self.waiting.is_empty()
    }

    /// Whether the end of a paste is still to come.
    pub fn is_pasting(&self) -> bool {
        self.paste.is_some()
    }

    /// Nothing more came for a moment: what waits is all there is.
    pub fn give_up(&mut self) -> Option<Key> {
        let waiting = std::mem::take(&mut self.waiting);
        (waiting == [ESC]).then_some(Key::Escape)
    }

    /// Takes what has come of a paste; gives it when its end is there.
    fn read_paste(&mut self) -> Option<Key> {
        let end = self.waiting.windows(PASTE_END.len()).position(|bytes| bytes == PASTE_END);
        // The end may be there in part.
        let safe = end.unwrap_or(self.waiting.len().saturating_sub(PASTE_END.len() - 1));
        let paste = self.paste.as_mut()?;
        // One more tells that it is too long.
        let room = (MAX_PASTE + 1).saturating_sub(paste.len()).min(safe);
        paste.extend_from_slice(&self.waiting[..room]);
        self.waiting.drain(..safe);
        end?;
        self.waiting.drain(..PASTE_END.len());
        let bytes = self.paste.take()?;
        Some(if bytes.len() > MAX_PASTE { Key::LongPaste } else { Key::Paste(pasted(&bytes)) })
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
            other => other,
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

    fn keys(bytes: &[u8]) -> Vec<Key> {
        Keyboard::default().push(bytes)
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
            (b"\x1b[200~a\rb\x1b[A\x1b[201~c", vec![Key::Paste("a\nb\u{fffd}[A".into()), Key::Char('c')]),
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
                let mut keyboard = Keyboard::default();
                let mut got = keyboard.push(&bytes[..cut]);
                got.extend(keyboard.push(&bytes[cut..]));
                assert_eq!(got, expected, "{bytes:?} cut at {cut}");
            }
            let mut keyboard = Keyboard::default();
            let got: Vec<Key> = bytes.iter().flat_map(|byte| keyboard.push(&[*byte])).collect();
            assert_eq!(got, expected, "{bytes:?} byte by byte");
        }
    }

    #[test]
    fn a_lone_escape_is_one_when_nothing_follows() {
        let mut keyboard = Keyboard::default();
        assert!(keyboard.push(b"\x1b").is_empty() && keyboard.is_waiting());
        assert_eq!(keyboard.give_up(), Some(Key::Escape));
        assert!(keyboard.push(b"\x1b[1;").is_empty());
        assert_eq!(keyboard.give_up(), None);
        assert_eq!(keyboard.push(b"5"), [Key::Char('5')]);
    }

    #[test]
    fn any_number_of_escapes_are_that_many() {
        assert_eq!(keys(&[ESC; 100_000]), vec![Key::Escape; 100_000 - 2]);
    }

    #[test]
    fn what_is_too_long_is_no_key_and_a_paste_has_an_end() {
        let long = [b"\x1b[".as_slice(), &[b'1'; 40], b"A"].concat();
        assert_eq!(keys(&long).len(), 40 + 1 - MAX_SEQUENCE);
        let mut keyboard = Keyboard::default();
        keyboard.push(b"\x1b[200~");
        for _ in 0..40 {
            keyboard.push(&[b'x'; 64 << 10]);
        }
        assert_eq!(keyboard.push(b"\x1b[201~x"), [Key::LongPaste, Key::Char('x')]);
        keyboard.push(&[b"\x1b[200~".as_slice(), &[b'x'; MAX_PASTE]].concat());
        assert_eq!(keyboard.push(b"\x1b[201~"), [Key::Paste("x".repeat(MAX_PASTE))]);
    }
}
