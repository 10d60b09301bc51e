//! Finds the word that a mistyped one was meant to be.

/// The one name that is nearest to `word`, if few enough letters differ: at most two, and at most a third of the word.
/// Names at the same distance are no help, so they give `None`.
pub fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let most = (word.chars().count() / 3).clamp(1, 2);
    // Most names fail by their length, and so a word of megabytes costs nothing.
    let similar = names.into_iter().filter(|name| name.len().abs_diff(word.len()) <= most);
    let mut near: Vec<_> = similar.map(|name| (distance(word, name), name)).collect();
    near.sort_unstable();
    match near[..] {
        [(first, _), (second, _), ..] if first == second => None,
        [(first, name), ..] if first <= most => Some(name),
        _ => None,
    }
}

/// How many letters to insert, remove, replace or swap with their neighbour (optimal string alignment, the restricted
/// Damerau-Levenshtein distance).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let insert_or_remove = rows[i - 1][j].min(rows[i][j - 1]) + 1;
                let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if is_swap { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replace.min(insert_or_remove).min(swap)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits_and_swaps() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "say", 3),
            ("send", "send", 0),
            ("sned", "send", 1),
            ("snd", "send", 1),
            ("sendd", "send", 1),
            ("sand", "send", 1),
            ("recieve", "receive", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn only_one_near_name_is_the_nearest() {
        let names = ["say", "send", "serve", "receive", "completions"];
        assert_eq!(nearest("sya", names), Some("say"));
        assert_eq!(nearest("completoin", names), Some("completions"));
        assert_eq!(nearest("bob", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("sxy", ["say", "sky"]), None);
        assert_eq!(nearest("sayy", ["say", "says"]), None);
        assert_eq!(nearest(&"s".repeat(1 << 20), names), None);
    }
}
