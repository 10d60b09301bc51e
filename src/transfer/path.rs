//! Paths that a peer may name in a manifest: relative, plain, below the folder that they are joined to.
//!
//! A receiver parses every path and checks the set before it shows or writes anything. A path that breaks a rule refuses
//! the whole manifest, and nothing is repaired: a path that was changed is a path the sender did not mean, and repairing
//! has been the hole elsewhere (`....//` made into `../`).
//!
//! Left out: what a disk can store. Names that a system or a folder does not hold, and names that it takes for one, get
//! others in `names`. Symbolic links and existing files are the writer's to refuse.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};

use crate::store::source::MAX_ENTRIES;
use crate::store::staged::STAGING;
use crate::text;

/// The longest path in bytes: PATH_MAX of macOS, the least of the systems we run on.
pub const MAX_PATH: usize = 1024;

/// The longest component in bytes: NAME_MAX of Linux and the BSDs.
pub const MAX_COMPONENT: usize = 255;

/// The most components in a path.
pub const MAX_DEPTH: usize = 32;

/// The longest end of a file name that [`numbered`] takes for its extension, in bytes with the dot.
const MAX_EXTENSION: usize = 32;

/// How many names a list shows before it only counts the rest.
pub const MAX_LISTED: usize = 20;
/// The most characters of one name in such a list: a peer may claim 65,535 bytes of path.
const MAX_SHOWN: usize = 160;
/// Numbers that are tried one after the other.
const MANY: u32 = 16;

/// A relative path that stays below the directory it is joined to. It may have characters that show nothing: clean it
/// for a terminal.
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
    /// Contains a character that acts on a terminal, or on the text around it.
    Control,
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
            Unsafe::Control => {
                write!(f, "it contains a control character, or one that changes the direction of text")
            }
            Unsafe::Staging => {
                write!(f, "it begins with {STAGING}, as folders do in which transfers wait")
            }
            Unsafe::TooLong => write!(f, "the path is longer than {MAX_PATH} bytes"),
            Unsafe::ComponentTooLong => write!(f, "a part of the path is longer than {MAX_COMPONENT} bytes"),
            Unsafe::TooDeep => write!(f, "the path has more than {MAX_DEPTH} parts"),
        }
    }
}

impl std::error::Error for Unsafe {}

impl SafePath {
    /// Checks a path by the rules that protect the receiver. A leading space, `-` or `~` is allowed: only a shell would
    /// mind.
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
        if text.chars().any(text::acts_on_text) {
            return Err(Unsafe::Control);
        }
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

fn check_component(component: &str) -> Result<(), Unsafe> {
    match component {
        "" => Err(Unsafe::EmptyComponent),
        "." => Err(Unsafe::Dot),
        ".." => Err(Unsafe::DotDot),
        c if c.len() > MAX_COMPONENT => Err(Unsafe::ComponentTooLong),
        _ => Ok(()),
    }
}

/// Names with something to say about each: the first [`MAX_LISTED`], clean for a terminal, and the number of the others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NameList {
    shown: Vec<String>,
    count: usize,
}

impl NameList {
    /// Notes a name, and what there is to say.
    pub fn note(&mut self, name: &str, what: &dyn fmt::Display) {
        self.count += 1;
        if self.count <= MAX_LISTED {
            self.shown.push(format!("{}: {what}", shortened(name)));
        }
    }

    /// Notes all of another list.
    pub fn append(&mut self, other: NameList) {
        let room = MAX_LISTED.saturating_sub(self.shown.len());
        self.shown.extend(other.shown.into_iter().take(room));
        self.count += other.count;
    }

    /// How many names were noted.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether no name was noted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A line for each name, the first on a line of its own.
impl fmt::Display for NameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.iter().try_for_each(|line| write!(f, "\n{line}"))?;
        match self.count - self.shown.len() {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// The first number that is free, where many of the first ones are; else one that is found in a few looks, however many
/// are taken: the one after a taken one.
pub fn free_number(is_taken: impl Fn(u32) -> bool) -> u32 {
    if let Some(number) = (0..MANY).find(|number| !is_taken(*number)) {
        return number;
    }
    let (mut taken, mut free) = (MANY - 1, 2 * MANY);
    while free < u32::MAX && is_taken(free) {
        (taken, free) = (free, free.saturating_mul(2));
    }
    while free - taken > 1 {
        let middle = taken + (free - taken) / 2;
        if is_taken(middle) { taken = middle } else { free = middle }
    }
    free
}

/// A name, clean for a terminal, and no longer than a line or two.
pub fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_SHOWN) {
        None => text::clean_line(name),
        Some((end, _)) => text::clean_line(&name[..end]) + "...",
    }
}

/// What is wrong with a set of paths that are safe each for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SetError {
    /// These are listed twice, or as a file and as a directory.
    Clashes(NameList),
    /// With the directories that have no entry of their own they are more than [`MAX_ENTRIES`].
    TooMany,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Clashes(names) => write!(f, "{} clash:{names}", count_of_names(names.count())),
            SetError::TooMany => write!(f, "there are more than {MAX_ENTRIES} files and directories"),
        }
    }
}

impl std::error::Error for SetError {}

/// `1 name`, `2 names`.
pub fn count_of_names(count: usize) -> String {
    format!("{count} name{}", if count == 1 { "" } else { "s" })
}

/// Checks that no path of the entries (path, whether it is a directory) is listed twice, and none as a file and as a
/// directory. Directories need no entry of their own, but each counts: 100,000 paths can lead through three million of
/// them.
///
/// Files and directories are known by a hash of their path under a random key, which costs little memory and no more than
/// one look at each character. Two different paths share a hash once in 10^9 of the largest sets; then a good set is
/// refused.
pub fn check_set<'a>(entries: impl Iterator<Item = (&'a SafePath, bool)>) -> Result<(), SetError> {
    let key = RandomState::new();
    let mut nodes: HashMap<u64, TreeNode> = HashMap::with_capacity(entries.size_hint().0);
    let mut clashes = NameList::default();
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
            hasher.write(component.as_bytes());
            end += component.len();
            let is_listed = end == path.as_str().len();
            let node = TreeNode { is_dir: is_dir || !is_listed, is_listed, is_told: false };
            match nodes.entry(hasher.finish()) {
                Entry::Vacant(place) => drop(place.insert(node)),
                Entry::Occupied(mut known) => {
                    if let Some(what) = known.get_mut().merge(&node) {
                        clashes.note(&path.as_str()[..end], &what);
                    }
                }
            }
            if nodes.len() > MAX_ENTRIES as usize {
                return Err(SetError::TooMany);
            }
        }
    }
    if clashes.is_empty() { Ok(()) } else { Err(SetError::Clashes(clashes)) }
}

/// A file or directory of a set: one that is listed, or that others are in.
struct TreeNode {
    is_dir: bool,
    is_listed: bool,
    /// It clashes, as is known already: a file in the place of a directory has a say for each file in that.
    is_told: bool,
}

impl TreeNode {
    /// The same path once more; says what is wrong with that.
    fn merge(&mut self, other: &TreeNode) -> Option<&'static str> {
        let is_twice = self.is_listed && other.is_listed;
        self.is_listed |= other.is_listed;
        let is_both = self.is_dir != other.is_dir;
        if self.is_told || !(is_twice || is_both) {
            return None;
        }
        self.is_told = true;
        Some(if is_both { "it is listed both as a file and as a directory" } else { "it is listed twice" })
    }
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
            "Screenshot 00:15:23.png",
            "cur/1733021723.M1P2.host:2,S",
            "dev-disk-by\\x2dlabel.swap",
            "drivers/aux.c",
            "COM1",
            "trailing.",
            "trailing ",
            "...",
            "a/.. /b",
            "what?.txt",
            "<a|b>*\"",
            "می\u{200C}خواهم",
            "ක්\u{200D}ෂ",
            "👨\u{200D}👩 ❤\u{FE0F}",
            "🏴\u{E0067}\u{E0062}\u{E007F}",
            "葛\u{E0100}",
            "soft\u{AD}hyphen",
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
            ("a\0b", Unsafe::Control),
            ("a\nb", Unsafe::Control),
            ("a\tb", Unsafe::Control),
            ("a\r\nb", Unsafe::Control),
            ("\x1b]0;title\x07", Unsafe::Control),
            ("photo\u{202E}gpj.exe", Unsafe::Control),
            ("a\u{200F}b", Unsafe::Control),
            ("a\u{2066}b", Unsafe::Control),
            ("a\u{2028}b", Unsafe::Control),
            ("a\u{9b}2J", Unsafe::Control),
            ("a\u{FFFE}b", Unsafe::Control),
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
            "ok/\x1b[31m",              // croc, CVE-2023-43620: escape sequences in names
            "..\u{2215}x\u{200B}/..",   // parts that look like others
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
    fn parts() {
        let path = safe("a/b/c.txt");
        assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b", "c.txt"]);
        assert_eq!(path.file_name(), "c.txt");
        assert_eq!(safe("c.txt").file_name(), "c.txt");
        assert_eq!((path.parent(), safe("c.txt").parent()), ("a/b", ""));
        assert_eq!(path.join_to(Path::new("dir")), Path::new("dir").join("a").join("b").join("c.txt"));
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
        for text in [
            "a",
            "a b",
            "d/ d/a d/e/ d/e/b",
            "d/e/b d/a",
            "a a.txt a-b/x",
            "d/ d-x d.x d/y",
            "x/A y/a",
            "xt_MARK.h xt_mark.h",
            "A/x a/y",
            "\u{e9} e\u{301}",
        ] {
            assert_eq!(set(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn sets_that_clash_are_refused() {
        let duplicates = ["a a", "d/ d/", "d/a d/b d/a"];
        for text in duplicates {
            assert!(set(text).unwrap_err().to_string().ends_with("is listed twice"), "{text:?}");
        }
        for text in ["a a/", "a a/b", "a/b/c a/b", "a a-b a.c a/b", "d/ d/a d/a/b/", "a a/b a/c a/d"] {
            assert!(set(text).unwrap_err().to_string().ends_with("as a file and as a directory"), "{text:?}");
        }
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
    fn every_clash_is_told_once_and_the_list_is_bounded() {
        let entries = |count: usize| {
            let names: Vec<_> =
                (0..count).flat_map(|n| [format!("{n}"), format!("{n}/a"), format!("{n}/b")]).collect();
            let paths: Vec<_> = names.iter().map(|name| safe(name)).collect();
            check_set(paths.iter().map(|path| (path, false))).unwrap_err().to_string()
        };
        let few = entries(MAX_LISTED);
        assert!(
            few.starts_with("20 names clash:\n0: it is listed both") && few.lines().count() == 21,
            "{few}"
        );
        let many = entries(MAX_LISTED + 5);
        assert!(many.starts_with("25 names clash:\n") && many.ends_with("\nand 5 more"), "{many}");
        let long = shortened(&"\u{202E}".repeat(60_000));
        assert_eq!(long, "\u{FFFD}".repeat(MAX_SHOWN) + "...");
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

    #[test]
    fn a_free_number_is_found_in_a_few_looks() {
        for count in (0..100).chain([10_000, 1 << 20, u32::MAX - 1]) {
            let looks = std::cell::Cell::new(0);
            let is_taken = |number| {
                looks.set(looks.get() + 1);
                number < count
            };
            assert_eq!(free_number(is_taken), count);
            assert!(looks.get() <= MANY + 64, "{count}: {} looks", looks.get());
        }
    }

    proptest! {
        #[test]
        fn a_free_number_is_free(taken in prop::collection::hash_set(0_u32..100, 0..100)) {
            let number = free_number(|number| taken.contains(&number));
            prop_assert!(!taken.contains(&number));
            prop_assert!(number == 0 || taken.contains(&(number - 1)));
        }

        #[test]
        fn what_parses_stays_below(parts in prop::collection::vec(component(), 1..5)) {
            if let Ok(path) = SafePath::parse(&parts.join("/")) {
                let joined = path.join_to(Path::new("/base"));
                prop_assert!(joined.starts_with("/base"));
                let normal = joined.components().skip(2).all(|c| matches!(c, std::path::Component::Normal(_)));
                prop_assert!(normal);
                prop_assert_eq!(joined.components().count(), path.components().count() + 2);
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
            let (mut files, mut dirs) = (std::collections::HashSet::new(), std::collections::HashSet::new());
            let mut good = true;
            for (path, is_dir) in &entries {
                good &= listed.insert(path.as_str());
                if *is_dir { dirs.insert(path.as_str()); } else { files.insert(path.as_str()); }
                dirs.extend(path.as_str().match_indices('/').map(|(at, _)| &path.as_str()[..at]));
            }
            good &= files.is_disjoint(&dirs);
            prop_assert_eq!(check_set(entries.iter().map(|(p, d)| (p, *d))).is_ok(), good);
        }
    }
}
