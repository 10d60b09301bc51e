//! The layers of the source: a file uses its own folder and what stands below it, nothing else. Front-ends know what a user
//! can do and nothing of how it is done, and what a user can do knows no front-end.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// From the top; what shares a line may use each other.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["ui"],
    &["app"],
    &["node"],
    &["transfer"],
    &["net"],
    &["store"],
    &["wire"],
    &["crypto"],
    &["error", "text", "time"],
];

/// What front-ends may use, besides each other.
const FOR_FRONT_ENDS: &[&str] = &["app", "text", "time", "error"];

/// What belongs to front-ends: printing, parsing arguments, a terminal.
const OF_FRONT_ENDS: &[&str] = &["argh", "println!", "print!", "stdout()", "stderr()", "IsTerminal", "stty"];

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// `src/net/dial.rs` and `src/net.rs` are both of `net`.
fn layer_of(file: &Path, src: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The modules behind `crate::`, comments left out; a group `crate::{a::x, b}` names several.
fn used(text: &str) -> Vec<String> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            None => vec![word(rest)],
            Some(group) => {
                let mut depth = 0;
                let mut parts = vec![String::new()];
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => parts.push(String::new()),
                        c if !c.is_whitespace() => parts.last_mut().unwrap().push(c),
                        _ => {}
                    }
                }
                parts.iter().map(|part| word(part)).filter(|part| !part.is_empty()).collect()
            }
        })
        .collect()
}

#[test]
fn a_file_uses_only_its_own_folder_and_what_stands_below() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in sources(&src) {
        let layer = layer_of(&file, &src);
        if layer == "main" || layer == "lib" {
            continue;
        }
        let Some(own) = rank(&layer) else { panic!("{} is in no layer", file.display()) };
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("super::super"), "{} climbs out of sight", file.display());
        for module in used(&text) {
            let below =
                rank(&module).is_some_and(|rank| rank > own || LAYERS[own].contains(&module.as_str()));
            if module != layer && !below {
                wrong.push(format!("{} uses {module}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn front_ends_know_what_a_user_can_do_and_no_more() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in sources(&src) {
        let layer = layer_of(&file, &src);
        let text = fs::read_to_string(&file).unwrap();
        // Tests may make a peer.
        let code = text.split("#[cfg(test)]").next().unwrap();
        if layer == "cli" || layer == "ui" {
            for module in used(code) {
                let is_fine = FOR_FRONT_ENDS.contains(&module.as_str())
                    || module == layer
                    || (layer == "cli" && module == "ui");
                if !is_fine {
                    wrong.push(format!("{} uses {module}", file.display()));
                }
            }
        }
        if layer == "app" {
            let words = OF_FRONT_ENDS.iter().filter(|word| code.contains(**word));
            wrong.extend(words.map(|word| format!("{} has {word}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What differs between systems is here, each with a fallback that is std alone.
const PLATFORMS: &[(&str, &[&str])] = &[
    // Positioned reads and writes, modes, identity of files, bytes of paths.
    ("store/file.rs", &["std::os::", "cfg(", "cfg!(", "target_os"]),
    // The terminal once more, for its mode.
    ("ui/terminal/tty.rs", &["std::os::", "cfg("]),
    // Programs in a process group of their own, and the signals that end them.
    ("node/program.rs", &["std::os::", "cfg("]),
    // The names of variables.
    ("store/home.rs", &["cfg!("]),
    // Whether others can read what is locked.
    ("store/lock.rs", &["cfg!("]),
    // Whether there is df(1).
    ("store/space.rs", &["cfg!("]),
    // Characters that cannot be in a name.
    ("transfer/path.rs", &["cfg!("]),
];

#[test]
fn platforms_are_told_apart_in_few_files() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&src) {
        let text = fs::read_to_string(&file).unwrap();
        // Tests may.
        let code = text.split("#[cfg(test)]").next().unwrap().split("#[cfg(all(test,").next().unwrap();
        let name = file.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        let known =
            PLATFORMS.iter().find(|(known, _)| *known == name).map_or(&[] as &[_], |(_, words)| words);
        for word in ["std::os::", "cfg(", "cfg!(", "target_os", "cfg_attr("] {
            assert_eq!(code.contains(word), known.contains(&word), "{word} in {name}");
        }
    }
}

#[test]
fn all_forms_of_use_are_seen() {
    let text = "use crate::net::dial;\nlet x = crate::text::clean(y); // crate::cli\nuse crate::{\n    error::{A, B},\n    wire,\n};";
    assert_eq!(used(text), ["net", "text", "error", "wire"]);
    assert!(used("//! [`crate::cli`]").is_empty());
}
