//! Paths that a peer may name in a manifest: relative, plain, and the same file on every system.
//!
//! A receiver parses every path and checks the set before it shows or writes anything; what does not pass
//! refuses the whole manifest. Nothing is repaired: a path that was changed is a path the sender did not
//! mean, and repairing has been the hole elsewhere (`....//` made into `../`).
//!
//! Left out: the file system. Symbolic links and existing files are the writer's to refuse, and so are names
//! that differ only in Unicode normalisation, which std cannot tell: the writer never replaces a file, so on
//! a system that takes them for one, the second fails.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};

use crate::store::partial::STAGING;
use crate::store::source::MAX_ENTRIES;
use crate::text;

/// The longest path in bytes: PATH_MAX of macOS, the least of the systems we run on.
pub const MAX_PATH: usize = 1024;

/// The longest component in bytes: NAME_MAX of Linux and the BSDs.
pub const MAX_COMPONENT: usize = 255;

/// The most components in a path.
pub const MAX_DEPTH: usize = 32;

/// The longest end of a file name that [`numbered`] takes for its extension, in bytes with the dot.
const MAX_EXTENSION: usize = 32;

/// A relative path that stays below the directory it is joined to, and is safe to print as it is.
#[derive(Clone, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct SafePath(String);

/// The rule that a path breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsafe {
    /// Nothing at all.
    Empty,
    /// Starts at the root.
    Absolute,
    /// Two slashes together, or one at the end.
    EmptyComponent,
    /// A component `.`.
    Dot,
    /// A component `..`.
    DotDot,
    /// Contains `\`, which separates components on Windows.
    Backslash,
    /// Contains `:`, which names drives and streams on Windows.
    Colon,
    /// Contains a character that acts on a terminal or cannot be seen.
    Control,
    /// Contains one of `<>"|?*`; refused on Windows alone, which cannot store it.
    Reserved,
    /// A component ends in a dot or a space, which Windows drops.
    TrailingDotOrSpace,
    /// A component opens a device on Windows, such as `NUL` or `com1.txt`.
    DeviceName,
    /// Would be, or lie in, the folder in which another transfer waits to be whole.
    Staging,
    /// More than [`MAX_PATH`] bytes.
    TooLong,
    /// A component of more than [`MAX_COMPONENT`] bytes.
    ComponentTooLong,
    /// More than [`MAX_DEPTH`] components.
    TooDeep,
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsafe::Empty => write!(f, "the path is empty"),
            Unsafe::Absolute => write!(f, "the path is absolute"),
            Unsafe::EmptyComponent => write!(f, "a part of the path is empty"),
            Unsafe::Dot => write!(f, "a part of the path is ."),
            Unsafe::DotDot => write!(f, "a part of the path is .."),
            Unsafe::Backslash => write!(f, "the path contains a backslash"),
            Unsafe::Colon => write!(f, "the path contains a colon"),
            Unsafe::Control => write!(f, "the path contains a control or invisible character"),
            Unsafe::Reserved => write!(f, "the path contains a character that windows reserves"),
            Unsafe::TrailingDotOrSpace => write!(f, "a part of the path ends in a dot or a space"),
            Unsafe::DeviceName => write!(f, "a part of the path is the name of a windows device"),
            Unsafe::Staging => {
                write!(f, "the path begins with {STAGING}, as folders do in which transfers wait")
            }
            Unsafe::TooLong => write!(f, "the path is longer than {MAX_PATH} bytes"),
            Unsafe::ComponentTooLong => write!(f, "a part of the path is longer than {MAX_COMPONENT} bytes"),
            Unsafe::TooDeep => write!(f, "the path has more than {MAX_DEPTH} parts"),
        }
    }
}

impl std::error::Error for Unsafe {}

impl SafePath {
    /// Checks a path by every rule, those of other systems included: what one peer accepts any peer can
    /// store, and a tree that was received can be sent on. A leading space, `-` or `~` is allowed: only a
    /// shell would mind.
    pub fn parse(text: &str) -> Result<SafePath, Unsafe> {
        if text.is_empty() {
            return Err(Unsafe::Empty);
        }
        if text.len() > MAX_PATH {
            return Err(Unsafe::TooLong);
        }
        if text.starts_with('/') {
            return Err(Unsafe::Absolute);
        }
        check_characters(text)?;
        for (depth, component) in text.split('/').enumerate() {
            if depth == MAX_DEPTH {
                return Err(Unsafe::TooDeep);
            }
            check_component(component)?;
        }
        if text.get(..STAGING.len()).is_some_and(|start| start.eq_ignore_ascii_case(STAGING)) {
            return Err(Unsafe::Staging);
        }
        Ok(SafePath(text.to_owned()))
    }

    /// The path as it was parsed, `/` between components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components from the top down; there is at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The directory that it is in, empty at the top.
    pub fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(parent, _)| parent)
    }

    /// The place of this path below `dir`, with the system's own separator.
    pub fn join_to(&self, dir: &Path) -> PathBuf {
        let mut path = dir.to_owned();
        path.extend(self.components());
        path
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Joiners are refused with the other invisible characters: a name must not differ from another by what
/// nobody sees, and HFS+ ignored some of them, so that `.g<ZWNJ>it` was `.git` (CVE-2014-9390).
fn check_characters(text: &str) -> Result<(), Unsafe> {
    for character in text.chars() {
        match character {
            '\\' => return Err(Unsafe::Backslash),
            ':' => return Err(Unsafe::Colon),
            '<' | '>' | '"' | '|' | '?' | '*' if cfg!(windows) => return Err(Unsafe::Reserved),
            other if text::is_clean(other) => {}
            _ => return Err(Unsafe::Control),
        }
    }
    Ok(())
}

fn check_component(component: &str) -> Result<(), Unsafe> {
    match component {
        "" => Err(Unsafe::EmptyComponent),
        "." => Err(Unsafe::Dot),
        ".." => Err(Unsafe::DotDot),
        c if c.len() > MAX_COMPONENT => Err(Unsafe::ComponentTooLong),
        c if c.ends_with(['.', ' ']) => Err(Unsafe::TrailingDotOrSpace),
        c if is_device(c) => Err(Unsafe::DeviceName),
        _ => Ok(()),
    }
}

/// Whether Windows opens a device for this name, in any case and with any extension. The list is that of
/// Microsoft's "Naming Files, Paths, and Namespaces", with COM0, LPT0 and the console's two, which it leaves
/// out.
fn is_device(component: &str) -> bool {
    let is_any = |name: &str, of: &[&str]| of.iter().any(|device| name.eq_ignore_ascii_case(device));
    let base = component.split('.').next().unwrap_or(component).trim_end_matches(' ');
    if is_any(base, &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]) {
        return true;
    }
    let Some((port, number)) = base.split_at_checked("COM".len()) else { return false };
    let mut digits = number.chars();
    matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        && is_any(port, &["COM", "LPT"])
}

/// What is wrong with a set of paths that are safe each for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SetError {
    /// Another entry has this path, or one that differs from it in case alone.
    Duplicate(SafePath),
    /// This path is a file, and other entries lie below it.
    FileIsParent(SafePath),
    /// With the directories that have no entry of their own they are more than [`MAX_ENTRIES`].
    TooMany,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Duplicate(path) => {
                write!(f, "{path} is listed twice, or differs from another in case alone")
            }
            SetError::FileIsParent(path) => write!(f, "{path} is listed both as a file and as a directory"),
            SetError::TooMany => write!(f, "there are more than {MAX_ENTRIES} files and directories"),
        }
    }
}

impl std::error::Error for SetError {}

/// Checks that all entries (path, whether it is a directory) can exist side by side on any system.
///
/// Directories need no entry of their own, but each must be spelt the same wherever it appears: `A/x` beside
/// `a/y` is one directory on one system and two on another. And each counts: 100,000 paths can lead through three
/// million of them.
///
/// Files and directories are known by a hash of their folded path under a random key, which costs little memory
/// and no more than one look at each character. That two fall together which are not the same happens once in 10^9
/// of the largest sets; then a good one is refused.
pub fn check_set<'a>(entries: impl Iterator<Item = (&'a SafePath, bool)>) -> Result<(), SetError> {
    let key = RandomState::new();
    let mut nodes: HashMap<u64, TreeNode> = HashMap::with_capacity(entries.size_hint().0);
    let mut folded = Vec::new();
    // What lies side by side mostly comes so, and the way to it is looked up once.
    let mut last = ("", key.build_hasher());
    for (path, is_dir) in entries {
        let parent = path.parent();
        if parent != last.0 {
            last = ("", key.build_hasher());
        }
        let (mut end, mut hasher) = (last.0.len(), last.1.clone());
        for component in path.as_str()[end..].split('/').filter(|component| !component.is_empty()) {
            if end == parent.len() {
                last = (parent, hasher.clone());
            }
            if end > 0 {
                // No path contains NUL.
                hasher.write(&[0]);
                end += "/".len();
            }
            fold(component, &mut folded);
            hasher.write(&folded);
            end += component.len();
            let spelling = &path.as_str()[..end];
            let is_listed = spelling == path.as_str();
            let node = TreeNode { spelling, is_dir: is_dir || !is_listed, is_listed };
            match nodes.entry(hasher.finish()) {
                Entry::Vacant(place) => drop(place.insert(node)),
                Entry::Occupied(mut occupied) => occupied.get_mut().merge(&node)?,
            }
            if nodes.len() > MAX_ENTRIES as usize {
                return Err(SetError::TooMany);
            }
        }
    }
    Ok(())
}

/// A file or directory of a set: one that is listed, or that others are in.
struct TreeNode<'a> {
    spelling: &'a str,
    is_dir: bool,
    is_listed: bool,
}

impl TreeNode<'_> {
    /// The same name once more.
    fn merge(&mut self, other: &TreeNode) -> Result<(), SetError> {
        let path = || SafePath(other.spelling.to_owned());
        if self.spelling != other.spelling || (self.is_listed && other.is_listed) {
            return Err(SetError::Duplicate(path()));
        }
        if self.is_dir != other.is_dir {
            return Err(SetError::FileIsParent(path()));
        }
        self.is_listed |= other.is_listed;
        Ok(())
    }
}

/// Makes `folded` what [`fold_character`] makes of all characters.
fn fold(component: &str, folded: &mut Vec<u8>) {
    folded.clear();
    if component.is_ascii() {
        folded.extend_from_slice(component.as_bytes());
        return folded.make_ascii_lowercase();
    }
    for character in component.chars().flat_map(fold_character) {
        folded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Folds case for comparison: lower, upper, lower again, each character by itself.
///
/// One mapping is not enough: `ſ` and `ς` reach `s` and `σ` only through upper case, and `ẞ` reaches `ss`
/// only through `ß`. All three together join whatever std's case mappings connect, which is coarse on purpose:
/// it may refuse two names that a system could tell apart (`ı` and `i`) rather than pass two that it could not.
fn fold_character(character: char) -> impl Iterator<Item = char> {
    character.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// The `n`th other name for a file whose name is taken, counted from 1: `photo.jpg` becomes `photo (1).jpg`,
/// `a.tar.gz` becomes `a (1).tar.gz`, `.bashrc` becomes `.bashrc (1)`.
///
/// The result is at most [`MAX_COMPONENT`] bytes; where it would be longer, the stem loses its end.
pub fn numbered(name: &str, n: u32) -> String {
    let (stem, extension) = split_extension(name);
    let number = format!(" ({n})");
    let room = MAX_COMPONENT - number.len() - extension.len();
    let end = (0..=stem.len().min(room)).rev().find(|&at| stem.is_char_boundary(at)).unwrap_or(0);
    let stem = &stem[..end];
    format!("{stem}{number}{extension}")
}

/// Splits a name before its extension: the last dot and what follows, with a `.tar` before it. What is long
/// or has a space in it is no extension but the end of a sentence.
fn split_extension(name: &str) -> (&str, &str) {
    let Some(last) = name.rfind('.') else { return (name, "") };
    let (stem, _) = name.split_at(last);
    let tar = stem
        .len()
        .checked_sub(".tar".len())
        .filter(|&at| stem.is_char_boundary(at) && stem[at..].eq_ignore_ascii_case(".tar"));
    let dot = tar.filter(|&at| at > 0).unwrap_or(last);
    let (stem, extension) = name.split_at(dot);
    let plausible = (2..=MAX_EXTENSION).contains(&extension.len()) && !extension.contains(' ');
    if stem.is_empty() || !plausible { (name, "") } else { (stem, extension) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn safe(text: &str) -> SafePath {
        SafePath::parse(text).unwrap()
    }

    #[test]
    fn ordinary_paths_pass() {
        for text in [
            "a",
            "a/b/c.txt",
            ".bashrc",
            "..a",
            "a..b",
            "...a/.b",
            " leading",
            "-rf",
            "~/x",
            "a b/c d",
            "日本/é",
            "content",
            "console.log",
            "com10",
            "com",
            "lpt",
            "nullable/auxiliary.prn",
            "a.con",
            "$(id)",
            "a/.egoat-x",
            ".egoat",
        ] {
            assert_eq!(safe(text).as_str(), text);
        }
    }

    #[test]
    fn every_rule_refuses() {
        let cases = [
            ("", Unsafe::Empty),
            ("/", Unsafe::Absolute),
            ("//server/share", Unsafe::Absolute),
            ("a//b", Unsafe::EmptyComponent),
            ("a/", Unsafe::EmptyComponent),
            (".", Unsafe::Dot),
            ("a/./b", Unsafe::Dot),
            ("..", Unsafe::DotDot),
            ("a/..", Unsafe::DotDot),
            ("a\\b", Unsafe::Backslash),
            ("file:stream", Unsafe::Colon),
            ("a\0b", Unsafe::Control),
            ("a\nb", Unsafe::Control),
            ("a\tb", Unsafe::Control),
            ("a\r\nb", Unsafe::Control),
            ("\x1b]0;title\x07", Unsafe::Control),
            ("photo\u{202E}gpj.exe", Unsafe::Control),
            (".g\u{200C}it/config", Unsafe::Control),
            ("a.", Unsafe::TrailingDotOrSpace),
            ("a /b", Unsafe::TrailingDotOrSpace),
            ("...", Unsafe::TrailingDotOrSpace),
            ("a/.. /b", Unsafe::TrailingDotOrSpace),
            ("CON", Unsafe::DeviceName),
            ("a/nul.tar.gz", Unsafe::DeviceName),
            ("Aux.c/x", Unsafe::DeviceName),
            ("com0", Unsafe::DeviceName),
            ("LPT9.txt", Unsafe::DeviceName),
            ("com¹", Unsafe::DeviceName),
            ("lpt³.x", Unsafe::DeviceName),
            ("conin$", Unsafe::DeviceName),
            ("CONOUT$.txt", Unsafe::DeviceName),
            ("prn .txt", Unsafe::DeviceName),
            (".egoat-x", Unsafe::Staging),
            (".Egoat-/a", Unsafe::Staging),
        ];
        for (text, rule) in cases {
            assert_eq!(SafePath::parse(text), Err(rule), "{text:?}");
        }
    }

    #[test]
    fn known_attacks_fail() {
        for text in [
            "../.ssh/authorized_keys",  // scp, CVE-2019-6111: names the client never asked for
            "/root/.bashrc",            // tar, zip: absolute members
            "a/../../../../etc/passwd", // zip slip
            "../../../.ssh/authorized_keys", // croc, CVE-2023-43616 and -43619
            "dir/../../outside",        // rsync, CVE-2024-12087: out of the destination
            "..\\..\\Windows\\win.ini", // the same for Windows
            "C:/Windows/win.ini",       // a drive
            "C:evil",                   // relative to a drive's directory
            "\\\\?\\C:\\x",             // a device path
            "a.txt::$DATA",             // an alternate stream
            "ok/\x1b[31m",              // croc, CVE-2023-43620: escape sequences in names
            "..\u{2215}x\u{200B}/..",   // parts that look like others
            "a/...",                    // Windows drops the dots
        ] {
            assert!(SafePath::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn limits_are_exact() {
        let component = "é".repeat(127) + "x";
        assert!(SafePath::parse(&component).is_ok());
        assert_eq!(SafePath::parse(&format!("{component}x")), Err(Unsafe::ComponentTooLong));
        let path = ["x".repeat(255), "x".repeat(255), "x".repeat(255), "x".repeat(255)].join("/");
        assert_eq!(path.len(), 1023);
        assert!(SafePath::parse(&path).is_ok());
        assert_eq!(SafePath::parse(&format!("{path}/x")), Err(Unsafe::TooLong));
        assert!(SafePath::parse(&["d"; 32].join("/")).is_ok());
        assert_eq!(SafePath::parse(&["d"; 33].join("/")), Err(Unsafe::TooDeep));
    }

    #[test]
    fn wildcards_are_refused_where_they_cannot_be_stored() {
        for text in ["what?.txt", "a*b", "<x>", "\"q\"", "a|b"] {
            assert_eq!(SafePath::parse(text).is_err(), cfg!(windows), "{text:?}");
        }
    }

    #[test]
    fn parts() {
        let path = safe("a/b/c.txt");
        assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b", "c.txt"]);
        assert_eq!(path.file_name(), "c.txt");
        assert_eq!(safe("c.txt").file_name(), "c.txt");
        assert_eq!((path.parent(), safe("c.txt").parent()), ("a/b", ""));
        assert_eq!(path.join_to(Path::new("dir")), Path::new("dir").join("a").join("b").join("c.txt"));
    }

    fn fold(text: &str) -> String {
        text.chars().flat_map(fold_character).collect()
    }

    /// Checks a set that is written `dir/ file dir/file`, in this order and in the reverse.
    fn set(text: &str) -> Result<(), SetError> {
        let entries: Vec<_> =
            text.split(' ').map(|t| (safe(t.trim_end_matches('/')), t.ends_with('/'))).collect();
        let forwards = check_set(entries.iter().map(|(path, is_dir)| (path, *is_dir)));
        let backwards = check_set(entries.iter().rev().map(|(path, is_dir)| (path, *is_dir)));
        let kind = |result: &Result<(), SetError>| result.as_ref().map_err(std::mem::discriminant).copied();
        assert_eq!(kind(&forwards), kind(&backwards), "{text:?}");
        forwards
    }

    #[test]
    fn sets_that_can_exist_pass() {
        assert_eq!(check_set(std::iter::empty()), Ok(()));
        for text in
            ["a", "a b", "d/ d/a d/e/ d/e/b", "d/e/b d/a", "a a.txt a-b/x", "d/ d-x d.x d/y", "x/A y/a"]
        {
            assert_eq!(set(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn sets_that_clash_are_refused() {
        let duplicates = [
            "a a",
            "d/ d/",
            "a a/",
            "README readme",
            "d/Straße d/STRASSE",
            "ẞ ss",
            "ΣΑΣ σας",
            "ſ S",
            "\u{212A} k",
            "A/ a/",
            "A/x a/y",
            "A/b/x z a/b/y",
            "d/E/x d/e-f d/e/y",
        ];
        for text in duplicates {
            assert!(matches!(set(text), Err(SetError::Duplicate(_))), "{text:?}");
        }
        for text in ["a a/b", "a/b/c a/b", "a a-b a.c a/b", "d/ d/a d/a/b/"] {
            assert!(matches!(set(text), Err(SetError::FileIsParent(_))), "{text:?}");
        }
        assert_eq!(set("d/a d/a/b"), Err(SetError::FileIsParent(safe("d/a"))));
    }

    #[test]
    fn directories_count_whether_they_are_listed_or_not() {
        let deep = |n: usize| safe(&format!("{}/{n}{}", n % 2, "/d".repeat(23)));
        let check = |paths: &[SafePath]| check_set(paths.iter().map(|path| (path, true)));
        // 24 of each, and two that all share.
        let mut paths: Vec<SafePath> = (0..4166).map(deep).collect();
        paths.push(safe("0/0"));
        paths.extend((0..14).map(|n| safe(&format!("x{n}"))));
        assert_eq!(check(&paths), Ok(()));
        paths.push(safe("y"));
        assert_eq!(check(&paths), Err(SetError::TooMany));
    }

    #[test]
    fn folding_joins_every_case_pair() {
        for c in '\0'..=char::MAX {
            let folded = fold(&c.to_string());
            assert_eq!(fold(&folded), folded, "{c:?}");
            assert_eq!(fold(&c.to_uppercase().to_string()), folded, "{c:?}");
            assert_eq!(fold(&c.to_lowercase().to_string()), folded, "{c:?}");
            assert!(c == '/' || !folded.contains(['/', '\0']) || c == '\0', "{c:?}");
        }
    }

    #[test]
    fn numbered_names() {
        let cases = [
            ("photo.jpg", "photo (1).jpg"),
            ("README", "README (1)"),
            (".bashrc", ".bashrc (1)"),
            (".config.toml", ".config (1).toml"),
            ("a.tar.gz", "a (1).tar.gz"),
            ("a.TAR.zst", "a (1).TAR.zst"),
            (".tar.gz", ".tar (1).gz"),
            ("v1.2 final notes. Read me", "v1.2 final notes. Read me (1)"),
            ("photo (1).jpg", "photo (1) (1).jpg"),
            ("é.é", "é (1).é"),
        ];
        for (name, expected) in cases {
            assert_eq!(numbered(name, 1), expected);
        }
        assert_eq!(numbered("a", u32::MAX), "a (4294967295)");
        let long = numbered(&format!("{}.jpeg", "é".repeat(125)), 10);
        assert_eq!(long, format!("{} (10).jpeg", "é".repeat(122)));
        assert_eq!(numbered(&format!("a.{}", "x".repeat(253)), 1).len(), 255);
    }

    fn component() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-zA-Z.~ é-]{1,12}",
            "\\PC{1,90}",
            Just("..".to_owned()),
            "(con|nul|com[0-9])(\\.[a-z]+)?"
        ]
    }

    proptest! {
        #[test]
        fn what_parses_stays_below(parts in prop::collection::vec(component(), 1..5), separator in "[/\\\\:]") {
            if let Ok(path) = SafePath::parse(&parts.join(&separator)) {
                let joined = path.join_to(Path::new("/base"));
                prop_assert!(joined.starts_with("/base"));
                let normal = joined.components().skip(2).all(|c| matches!(c, std::path::Component::Normal(_)));
                prop_assert!(normal);
                prop_assert_eq!(joined.components().count(), path.components().count() + 2);
                prop_assert_eq!(text::clean_line(path.as_str()), path.as_str());
            }
        }

        #[test]
        fn a_numbered_name_is_a_safe_one(name in prop_oneof![component(), "\\PC{1,120}"], n in any::<u32>()) {
            if let Ok(path) = SafePath::parse(&name) {
                let other = numbered(path.file_name(), n);
                prop_assert_ne!(&other, path.file_name());
                let parsed = SafePath::parse(&other);
                prop_assert!(parsed.is_ok(), "{:?}: {:?}", other, parsed);
            }
        }

        #[test]
        fn the_set_check_agrees_with_a_table(
            entries in prop::collection::vec(("[aAbß]{1,2}(/[aA.b-]b){0,2}", any::<bool>()), 1..6)
        ) {
            let entries: Vec<_> = entries.iter().map(|(text, is_dir)| (safe(text), *is_dir)).collect();
            let mut listed = std::collections::HashSet::new();
            let mut spellings = std::collections::HashMap::new();
            let mut files = std::collections::HashSet::new();
            let mut parents = std::collections::HashSet::new();
            let mut good = true;
            for (path, is_dir) in &entries {
                good &= listed.insert(fold(path.as_str()));
                if !is_dir { files.insert(fold(path.as_str())); }
                for (at, _) in path.as_str().match_indices('/').chain([(path.as_str().len(), "")]) {
                    let part = &path.as_str()[..at];
                    good &= *spellings.entry(fold(part)).or_insert(part) == part;
                    if at < path.as_str().len() { parents.insert(fold(part)); }
                }
            }
            good &= files.is_disjoint(&parents);
            prop_assert_eq!(check_set(entries.iter().map(|(p, d)| (p, *d))).is_ok(), good);
        }
    }
}
