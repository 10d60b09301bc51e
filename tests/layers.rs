//! The layers of the source: a file uses its own folder and what stands below it, nothing else. Front-ends know what a user
//! can do and nothing of how it is done, and what a user can do knows no front-end.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;

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

/// All paths behind `crate::`, comments left out: `crate::{a::x, b}` gives `a::x` and `b`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut paths = Vec::new();
    for tree in code.split("crate::").skip(1) {
        read_tree(&mut tree.chars().peekable(), Vec::new(), &mut paths);
    }
    paths
}

/// Reads one tree of a `use`: words, and at the end perhaps a group of trees in braces.
fn read_tree(code: &mut Peekable<Chars>, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    loop {
        if code.next_if_eq(&'{').is_some() {
            loop {
                while code.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
                if code.peek().is_none_or(|c| *c == '}') {
                    code.next();
                    return;
                }
                read_tree(code, path.clone(), paths);
                // `as name`, `*`, or what is no `use`.
                while code.next_if(|c| *c != ',' && *c != '}').is_some() {}
            }
        }
        let word: String =
            std::iter::from_fn(|| code.next_if(|c| c.is_alphanumeric() || *c == '_')).collect();
        if !word.is_empty() {
            path.push(word);
        }
        // One colon follows a word elsewhere: `x: crate::a::B` in a struct.
        if code.next_if_eq(&':').is_none() || code.next_if_eq(&':').is_none() {
            paths.push(path);
            return;
        }
    }
}

/// The modules behind `crate::`.
fn used(text: &str) -> Vec<String> {
    paths(text).into_iter().filter_map(|path| path.into_iter().next()).collect()
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

/// A [`egoat::net::transport::Stream`] may come from a proxy or a relay, so nothing above `net` may rely on a socket.
#[test]
fn tcp_sockets_are_named_in_net_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in sources(&src).into_iter().filter(|file| layer_of(file, &src) != "net") {
        let text = fs::read_to_string(&file).unwrap();
        // Tests may.
        let code = text.split("#[cfg(test)]").next().unwrap();
        let words = ["TcpStream", "TcpListener"].into_iter().filter(|word| code.contains(word));
        wrong.extend(words.map(|word| format!("{} has {word}", file.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What differs between systems is here, each with a fallback that is std alone.
const PLATFORMS: &[(&str, &[&str])] = &[
    // Positioned reads and writes, modes, identity of files, bytes of paths.
    ("store/file.rs", &["std::os::", "cfg(", "cfg!(", "target_os"]),
    // The numbers of flags, and what an open file is.
    ("store/open.rs", &["std::os::", "cfg(", "cfg!(", "target_os"]),
    // The terminal once more, for its mode.
    ("ui/terminal/tty.rs", &["std::os::", "cfg("]),
    // The key that ends what is typed.
    ("ui/output.rs", &["cfg!("]),
    // Standard output and a pipe, as files.
    ("ui/reader.rs", &["std::os::", "cfg("]),
    // Programs in a process group of their own, and the signals that end them.
    ("node/hooks/program.rs", &["std::os::", "cfg("]),
    // The names of variables.
    ("store/home.rs", &["cfg!("]),
    // Whether others can read what is locked.
    ("store/lock.rs", &["cfg!("]),
    // Whether there is df(1).
    ("store/space.rs", &["cfg!("]),
    // What opens an address or a folder on the desktop.
    ("app/desktop.rs", &["cfg!(", "target_os"]),
    // Names that cannot be stored.
    ("transfer/names.rs", &["cfg!("]),
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

/// For each file of the node, by its path of modules, the files that it uses. Tests are left out.
fn node_files() -> BTreeMap<String, Vec<String>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    for file in sources(&src.join("node")) {
        let module = file.strip_prefix(&src).unwrap().with_extension("");
        let name = module.to_str().unwrap().replace(['/', '\\'], "::");
        if !name.ends_with("::tests") {
            let text = fs::read_to_string(&file).unwrap().replace("#[cfg(test)]\nmod tests;", "");
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            assert!(!code.contains("super::"), "{name} uses super::, which this test does not follow");
            files.insert(name.trim_end_matches("::mod").to_owned(), code);
        }
    }
    let file_of = |path: &[String]| {
        let prefixes = (1..=path.len()).rev().map(|length| path[..length].join("::"));
        prefixes.into_iter().find(|prefix| files.contains_key(prefix))
    };
    let uses = |name: &String, code: &String| {
        let mut used: Vec<String> = paths(code).iter().filter_map(|path| file_of(path)).collect();
        used.retain(|other| other != name);
        used
    };
    files.iter().map(|(name, code)| (name.clone(), uses(name, code))).collect()
}

/// A circle among files that use each other, if there is one: its first file is also its last.
fn circle(files: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    fn visit(
        file: &String,
        files: &BTreeMap<String, Vec<String>>,
        way: &mut Vec<String>,
        done: &mut Vec<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|before| before == file) {
            let mut circle = way.split_off(start);
            circle.push(file.clone());
            return Some(circle);
        }
        if done.contains(file) {
            return None;
        }
        way.push(file.clone());
        let found = files.get(file)?.iter().find_map(|used| visit(used, files, way, done));
        way.pop();
        done.push(file.clone());
        found
    }
    let mut done = Vec::new();
    files.keys().find_map(|file| visit(file, files, &mut Vec::new(), &mut done))
}

#[test]
fn no_files_of_the_node_use_each_other_in_a_circle() {
    let files = node_files();
    assert!(files["node::supervisor"].contains(&"node::context".to_owned()), "the test sees nothing");
    if let Some(circle) = circle(&files) {
        panic!("files of the node use each other in a circle: {}", circle.join(" uses "));
    }
}

#[test]
fn a_circle_is_found() {
    let files = |all: &[(&str, &[&str])]| {
        let uses = |(file, used): &(&str, &[&str])| {
            ((*file).to_owned(), used.iter().map(|&file| file.to_owned()).collect())
        };
        all.iter().map(uses).collect()
    };
    assert_eq!(circle(&files(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])), None);
    let found = circle(&files(&[("a", &["b"]), ("b", &["c", "d"]), ("c", &[]), ("d", &["b"])]));
    assert_eq!(found.unwrap(), ["b", "d", "b"]);
}

#[test]
fn all_forms_of_use_are_seen() {
    let text = "use crate::net::dial;\nlet x = crate::text::clean(y); // crate::cli\nuse crate::{\n    error::{A, B},\n    wire,\n};";
    assert_eq!(used(text), ["net", "text", "error", "error", "wire"]);
    assert!(used("//! [`crate::cli`]").is_empty());
    let text = "use crate::a::{b::{c, d as e}, f::*, self};\nstruct X { x: crate::g::H, y: u8 }\n";
    let paths: Vec<String> = paths(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::b::c", "a::b::d", "a::f", "a::self", "g::H"]);
}
