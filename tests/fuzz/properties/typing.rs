//! What is typed: bytes of a terminal become keys, keys a line, and the line bytes for the terminal.

use egoat::ui::terminal::editor::{Action, Editor};
use egoat::ui::terminal::keys::{Key, Keyboard};
use egoat::ui::terminal::screen::{LiveArea, Screen};

use super::words::is_forbidden;

/// As many bytes arrive at once.
const READ: usize = 64;

/// ```text
/// input   width u8 ‖ bytes
/// ```
///
/// However they arrive, they are the same line; nothing in it and nothing that is drawn could steer the terminal, but for
/// the sequences that the screen is made of.
pub fn editor(input: &[u8]) -> Option<Vec<u8>> {
    let (width, bytes) = input.split_first()?;
    let (mut keyboard, mut editor, mut screen) =
        (Keyboard::default(), Editor::default(), Screen::new((usize::from(*width), 24)));
    for read in bytes.chunks(READ) {
        keyboard.push(read).iter().for_each(|key| press(&mut editor, key));
        let live = LiveArea {
            lines: vec!["a line".into()],
            prompt: "bob (here)> ".into(),
            text: editor.text().to_owned(),
            cursor: editor.cursor(),
        };
        is_harmless(&screen.draw("", &live));
    }
    wait(&mut keyboard, &mut editor);
    let (mut again, mut slowly) = (Editor::default(), Keyboard::default());
    for byte in bytes {
        slowly.push(&[*byte]).iter().for_each(|key| press(&mut again, key));
    }
    wait(&mut slowly, &mut again);
    assert_eq!((again.text(), again.cursor()), (editor.text(), editor.cursor()));
    Some(editor.text().as_bytes().to_vec())
}

/// Nothing comes for long.
fn wait(keyboard: &mut Keyboard, editor: &mut Editor) {
    while keyboard.patience().is_some() {
        keyboard.give_up().iter().for_each(|key| press(editor, key));
    }
}

fn press(editor: &mut Editor, key: &Key) {
    if editor.key(key) == Action::Submit {
        editor.take();
    }
    assert!(editor.text().is_char_boundary(editor.cursor()), "{key:?}");
    assert!(!editor.text().chars().any(|c| is_forbidden(c) && c != '\n'), "{:?}", editor.text());
}

/// Moves of the cursor, and clearing to the end of the line or the screen; all else is text.
fn is_harmless(drawn: &str) {
    for (number, part) in drawn.split('\x1b').enumerate() {
        let text = match part.strip_prefix('[').filter(|_| number > 0) {
            Some(sequence) => {
                let rest = sequence.trim_start_matches(|c: char| c.is_ascii_digit());
                assert!(rest.starts_with(['A', 'B', 'C', 'J', 'K']), "{drawn:?}");
                &rest[1..]
            }
            None => {
                assert_eq!(number, 0, "{drawn:?}");
                part
            }
        };
        assert!(!text.chars().any(|c| is_forbidden(c) && !matches!(c, '\r' | '\n')), "{drawn:?}");
    }
}
