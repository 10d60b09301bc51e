//! Where a line is broken that is longer than the terminal is wide. Everything that is printed on a terminal breaks lines
//! here. The terminal would break them within words, and continue at the left margin: with enough spaces in front, a part
//! of a message would look like a line of its own there.

use crate::ui::width::{Cluster, clusters, columns, fit, most_columns, most_columns_of};

/// Before each further row of a line; as many spaces as stand before the further lines of a message.
pub const INDENT: &str = "    ";
/// Behind a line that was cut.
const MORE: &str = " ...";

/// What becomes of a word that is longer than a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LongWord {
    /// It is cut.
    Cut,
    /// A link, a path or a key stays as it is for copying, and the terminal cuts it. Such a word has nothing in it that
    /// looks like a space.
    Kept,
}

/// Rows of at most so many columns, of one line of clean text, which may have colours. No row ends in spaces, and each but
/// the first is indented.
pub fn rows(line: &str, room: usize) -> Vec<String> {
    hanging(line, room, INDENT.len().min(room / 4))
}

/// The rows of each line of a text that the program itself has laid out. The rest of a line stands at least at this column,
/// and below the first word of its line.
pub fn text(text: &str, room: usize, column: usize) -> String {
    let least = column.max(INDENT.len().min(room / 4));
    let rows = text.split('\n').flat_map(|line| {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        hanging(line, room, blanks.max(least))
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// The same as [`rows`] with an indent of so many columns, but of no more than half of a row.
pub fn hanging(line: &str, room: usize, indent: usize) -> Vec<String> {
    let indent = indent.min(room / 2);
    let mut starts = vec![0];
    starts.extend(breaks(line, 0, room, indent, LongWord::Kept));
    let ends = starts.iter().skip(1).copied().chain([line.len()]);
    let mut rows: Vec<String> = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        let row = line[*start..end].trim_end();
        if rows.is_empty() {
            rows.push(row.to_owned());
        } else if !row.trim().is_empty() {
            rows.push(format!("{:indent$}{}", "", row.trim_start()));
        }
    }
    rows
}

/// As many words of a line as there is room for, and a mark if there are more. A word that fills most of the row is cut.
pub fn cut(line: &str, room: usize) -> String {
    if most_columns_of(line) <= room {
        return line.to_owned();
    }
    let fitting = fit(line, room.saturating_sub(MORE.len()));
    let is_within_word = !line[fitting.len()..].starts_with(' ');
    let words = fitting.rfind(' ').filter(|end| is_within_word && *end >= room / 2);
    format!("{}{MORE}", fitting[..words.unwrap_or(fitting.len())].trim_end())
}

/// The places in a line, in bytes, at which a further row begins; in the first row, `column` columns are taken. Blanks stay
/// at the end of their row, for as many as there is room.
pub fn breaks(line: &str, column: usize, room: usize, indent: usize, long: LongWord) -> Vec<usize> {
    let (mut breaks, mut column, mut at) = (Vec::new(), column, 0);
    let mut has_word = false;
    for piece in pieces(line, room.saturating_sub(indent)) {
        let columns: usize = clusters(piece).map(most_columns).sum();
        let is_whole = !is_blank(piece)
            && match long {
                LongWord::Cut => indent + columns <= room,
                LongWord::Kept => indent + columns <= room || is_kept(piece),
            };
        if is_whole && column + columns > room && (has_word || column > indent) {
            breaks.push(at);
            (column, has_word) = (indent, false);
        }
        has_word |= !is_blank(piece);
        for cluster in clusters(piece) {
            let columns = most_columns(cluster);
            if !is_whole && column + columns > room && column > indent {
                breaks.push(at);
                column = indent;
            }
            column += columns;
            at += cluster.text.len();
        }
    }
    breaks
}

/// Runs of blanks, and what stands between them: words, spans in backquotes for which there is room, such as commands, and
/// single characters of two columns, which scripts without spaces have.
fn pieces(line: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let (piece, behind) = rest.split_at(piece_len(rest, room));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

fn piece_len(text: &str, room: usize) -> usize {
    let mut all = clusters(text);
    let Some(first) = all.next() else { return 0 };
    if first.text == "`"
        && let Some(length) = text[1..].find('`').map(|length| length + 2)
        && columns(&text[..length]) <= room
    {
        return length;
    }
    let is_same = |next: &Cluster| match is_blank(first.text) {
        true => is_blank(next.text),
        false => !is_blank(next.text) && next.columns < 2 && first.columns < 2 && next.text != "`",
    };
    first.text.len() + all.take_while(is_same).map(|next| next.text.len()).sum::<usize>()
}

/// Whether this looks like spaces: also those that a terminal does not take for any, and the empty pattern of Braille.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c == '\u{2800}')
}

fn is_kept(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_graphic() || c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_between_words() {
        for (line, expected) in [
            ("", &[""][..]),
            ("0123456789 12345678", &["0123456789 12345678"]),
            ("0123456789 1234567890", &["0123456789", "    1234567890"]),
            ("bob: a few words and some more", &["bob: a few words and", "    some more"]),
            ("bob: two  spaces stay", &["bob: two  spaces", "    stay"]),
            ("bob: `egoat outbox list` shows", &["bob: `egoat outbox", "    list` shows"]),
            ("bob: do `egoat log -f`", &["bob: do", "    `egoat log -f`"]),
            // A link is whole, and what follows it is not at the margin.
            (
                "bob: https://example.org/a/long/path is it",
                &["bob:", "    https://example.org/a/long/path", "    is it"],
            ),
            (
                "\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}",
                &[
                    "\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}\u{5b57}",
                    "    \u{6f22}",
                ],
            ),
            ("\x1b[32mbob\x1b[0m: 3456789 1234567", &["\x1b[32mbob\x1b[0m: 3456789 1234567"]),
        ] {
            assert_eq!(rows(line, 20), expected, "{line:?}");
        }
    }

    #[test]
    fn no_space_pushes_a_word_to_the_margin() {
        for blank in [" ", "\u{a0}", "\u{3000}", "\u{2800}", "\u{2003}", "\u{202f}", "`  ` "] {
            for count in 0..120 {
                let line = format!("bob: x{}alice: hi{}", blank.repeat(count), blank.repeat(count));
                for row in rows(&line, 20).iter().skip(1) {
                    assert!(row.starts_with(INDENT) && columns(row) <= 20, "{line:?}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn what_terminals_may_show_wider_is_counted_so() {
        // A family is one character of two columns, or three of them.
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(rows(&family.repeat(4), 20).len(), 2);
    }

    #[test]
    fn further_rows_stand_below_the_field_that_they_continue() {
        assert_eq!(text("ok  home  is yours alone", 20, 10), "ok  home  is yours\n          alone");
        assert_eq!(text("x\n   hint: do `this that`", 20, 0), "x\n   hint: do\n    `this that`");
        assert_eq!(text("      hint: look at the\nnet", 20, 0), "      hint: look at\n      the\nnet");
    }

    #[test]
    fn a_line_that_is_cut_ends_with_a_word() {
        for (line, expected) in [
            ("a short line", "a short line"),
            ("a line that is not short", "a line that is ..."),
            ("a line that goes on and on", "a line that goes ..."),
            ("/a/path/that/is/not/short", "/a/path/that/is/ ..."),
        ] {
            assert_eq!(cut(line, 20), expected);
        }
    }

    #[test]
    fn input_is_cut_where_it_has_no_spaces() {
        assert_eq!(breaks("0123456789abcdef", 5, 10, 2, LongWord::Cut), [5, 13]);
        assert_eq!(breaks("01 3456789abc", 5, 12, 2, LongWord::Cut), [3]);
        assert_eq!(breaks("0123          45", 5, 10, 2, LongWord::Cut), [5, 13]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_row_is_too_long(line in "[ab\u{a0}`/:\u{e9}\u{6f22}\u{301} ]{0,80}", room in 4_usize..40) {
            let shown = |text: &str| text.chars().filter(|c| !is_blank(c.encode_utf8(&mut [0; 4]))).collect::<String>();
            let rows = rows(&line, room);
            prop_assert_eq!(shown(&rows.concat()), shown(&line));
            for row in &rows {
                // A mark that joins nothing may stand before a word that is longer than the row.
                let word = row.trim_start().trim_start_matches('\u{301}');
                prop_assert!(columns(row) <= room || is_kept(word), "{row:?}");
            }
            let cut = breaks(&line, 2, room, 2.min(room / 4), LongWord::Cut);
            prop_assert!(cut.windows(2).all(|pair| columns(&line[pair[0]..pair[1]]) <= room));
        }

        #[test]
        fn words_links_and_commands_stay_whole(
            words in prop::collection::vec("[a-z\u{e9}\u{5d0}]{1,12}|egoat:[a-z2-7]{9,60}|/[a-z/.]{1,60}|`[a-z]{1,5} [a-z]{1,5}`", 1..12),
            room in 24_usize..60,
            indent in 0_usize..8,
        ) {
            let rows = hanging(&words.join(" "), room, indent);
            let mut at = 0;
            for word in &words {
                let is_in = |row: &String| format!(" {row} ").contains(&format!(" {word} "));
                let behind = rows[at..].iter().position(is_in);
                prop_assert!(behind.is_some(), "{word:?} is broken in {rows:?}");
                at += behind.unwrap_or_default();
                let is_alone = rows[at].trim_start() == word;
                prop_assert!(columns(&rows[at]) <= room || is_alone, "{word:?} has company in {rows:?}");
            }
            prop_assert_eq!(rows.iter().map(|row| row.trim_start()).collect::<Vec<_>>().join(" "), words.join(" "));
            prop_assert!(rows.iter().skip(1).all(|row| row.starts_with(&" ".repeat(indent))));
        }

        #[test]
        fn what_is_cut_has_room_and_says_so(line in "[a-z \u{6f22}\u{1f1e9}\u{1f1ea}]{0,40}", room in 4_usize..30) {
            let cut = cut(&line, room);
            prop_assert!(most_columns_of(&cut) <= room, "{cut:?}");
            prop_assert!(cut == line || cut.strip_suffix(MORE).is_some_and(|kept| line.starts_with(kept)), "{cut:?}");
        }
    }
}
