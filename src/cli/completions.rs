//! `egoat completions`: the scripts that complete command lines in a shell, and what may stand at the end of a line,
//! which the scripts ask for. They know nothing of the grammar, so that they fit every version of the program.

use crate::app::{Home, contacts};
use crate::cli::args;
use crate::cli::grammar::{ParsedWords, WordHelp};
use crate::error::{Error, Result};
use crate::ui::output;

const SCRIPTS: [(&str, &str); 3] = [
    ("bash", include_str!("completions/egoat.bash")),
    ("zsh", include_str!("completions/_egoat")),
    ("fish", include_str!("completions/egoat.fish")),
];

/// What the shells know how to complete, by the names of arguments.
const OF_THE_SHELL: [(&str, &str); 3] = [("file", ":files"), ("dir", ":dirs"), ("program", ":programs")];

/// Prints a script, or what the scripts ask for.
pub fn run(args: &args::Completions) -> Result<()> {
    let script = SCRIPTS.iter().find(|(shell, _)| *shell == args.shell);
    let (_, script) = script.ok_or_else(|| Error::usage("there are completions for bash, zsh and fish"))?;
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let Some((last, before)) = words.split_last() else { return output::print(script.trim_end()) };
    for (word, about) in candidates(last, before) {
        // One line each, without what a shell's own syntax of such lists would have to quote.
        output::print(&if about.is_empty() { word } else { format!("{word}\t{about}") })?;
    }
    Ok(())
}

/// What may stand in the place of the last word.
fn candidates(last: &str, before: &[&str]) -> Vec<(String, String)> {
    let place = ParsedWords::after(before);
    if place.mistake.is_some() {
        return Vec::new();
    }
    let shown = |entry: WordHelp| (entry.name.to_owned(), entry.about.to_owned());
    if place.takes_options() && last.starts_with('-') {
        return match place.value_in(last) {
            Some((option, value)) => {
                values(value, place.home).map(|word| (given(option, word), String::new())).collect()
            }
            None => place.options().map(shown).collect(),
        };
    }
    let mut found: Vec<_> = place.commands().filter(|_| place.takes_options()).map(shown).collect();
    if let Some(value) = place.next().filter(|_| !place.is_help) {
        found.extend(values(value, place.home).map(|word| (word, String::new())));
    }
    found
}

/// What may stand for a value or an argument.
fn values(wanted: WordHelp, home: Option<&str>) -> impl Iterator<Item = String> {
    let of_the_shell = OF_THE_SHELL.iter().filter(move |(argument, _)| *argument == wanted.name);
    let saved = if wanted.name == "peer" { peers(home) } else { Vec::new() };
    of_the_shell.map(|(_, kind)| (*kind).to_owned()).chain(saved).chain(choices(wanted.about))
}

/// `--opt=value`. The shells themselves put the option in front of the files that they find.
fn given(option: &str, value: String) -> String {
    if value.starts_with(':') { value } else { format!("{option}={value}") }
}

/// The words between which a help text leaves the choice, written `ask|accept|refuse`, and the beginnings of such as
/// `quota=SIZE`. What is in capitals stands for something else.
fn choices(about: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in about.split([' ', ',', ';', '(', ')']).filter(|word| word.contains(['|', '='])) {
        let (name, values) = word.split_at(word.find('=').map_or(0, |at| at + 1));
        let is_choice = |word: &str| !word.starts_with(|c: char| c.is_ascii_uppercase());
        let values = values.split('|').map(|value| if is_choice(value) { value } else { "" });
        found.extend(
            values.map(|value| format!("{name}{value}")).filter(|word| is_choice(word) && !word.is_empty()),
        );
    }
    found
}

/// The saved peers. Nothing is made or unlocked for that, and whoever presses Tab is not told what went wrong.
fn peers(home: Option<&str>) -> Vec<String> {
    Home::find(home).and_then(|home| contacts::names(&home)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_from_the_help() {
        assert_eq!(choices("bash|zsh|fish"), ["bash", "zsh", "fish"]);
        assert_eq!(
            choices("files=ask|refuse, max-file=SIZE, blocked|verified; OPTION= takes it away"),
            ["files=ask", "files=refuse", "max-file=", "blocked", "verified"]
        );
        assert!(choices("a peer, HOST:PORT or a link; DIR|FILE").is_empty());
    }
}
