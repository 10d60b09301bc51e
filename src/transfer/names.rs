//! What received files are called on a disk that does not hold the names they were sent with: on Windows, on a file
//! system that takes two names for one (by case, by Unicode normalisation), or one that refuses characters, such as vfat.
//!
//! What a folder holds is found out in the folder itself, by making files of no bytes in a folder of their own; no list of
//! file systems would be true for long. Most folders hold everything, and most manifests have only names that every
//! system holds: then nothing is tried.
//!
//! A name that is not held gets a visible escape: each character that the folder refuses, and each `%`, becomes `%` and
//! two capital hexadecimal digits for each of its bytes. A name that the folder takes for another's gets a number. Both
//! depend on the folder and the manifest alone, so that the next try of a transfer finds what this one left.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::folder::Folder;
use crate::store::place::SURE_LENGTH;
use crate::store::staged::TRIAL;
use crate::text::percent;
use crate::transfer::manifest::{Entry, Manifest};
use crate::transfer::path::{MAX_COMPONENT, NameList, SafePath, free_number, numbered, shortened};

/// Where names can be tried.
pub trait Trial {
    /// Makes a file of this name; an error if the folder refuses the name, or is out of order.
    fn make(&mut self, name: &str) -> io::Result<Made>;
    /// Whether this name leads to a file that was made.
    fn has(&self, name: &str) -> bool;
    /// Removes the files that were made.
    fn clear(&mut self) -> io::Result<()>;
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// The folder has a file of this name now.
    New,
    /// It had one before, by this name or by one that it takes for the same.
    Taken,
    /// The folder does not hold such a name.
    Refused,
}

/// The manifest with the names that the folder holds, its entries in the same order, and a list of what has changed.
/// `meanwhile` is called for each name that is tried, and ends it by an error.
pub fn fit(
    manifest: Manifest,
    staging: &Folder,
    meanwhile: &mut dyn FnMut() -> Result<()>,
) -> Result<(Manifest, NameList)> {
    if is_plain(&manifest) {
        return Ok((manifest, NameList::default()));
    }
    let failed = |cause| Error::disk(Verb::Create, staging.path())(cause);
    let mut folder = TrialFolder::open(staging, meanwhile).map_err(failed)?;
    let fitted = fit_by(&manifest, &mut folder, cfg!(windows));
    let ended = folder.ended.take();
    folder.remove(staging).map_err(failed)?;
    ended.map_or(Ok(()), Err)?;
    Ok(match fitted.map_err(failed)? {
        Some((fitted, changed)) => (fitted, changed),
        None => (manifest, NameList::default()),
    })
}

/// Whether every system holds these names side by side.
fn is_plain(manifest: &Manifest) -> bool {
    let is_plain = |name: &str| name.is_ascii() && name.len() <= SURE_LENGTH && !is_refused_by_windows(name);
    // How each path is spelt whose letters differ in case alone.
    let mut spellings: HashMap<String, &str> = HashMap::new();
    let mut last = "";
    manifest.entries().iter().all(|entry| {
        let (path, parent) = (entry.path.as_str(), entry.path.parent());
        let from = if parent == last { parent.len() } else { 0 };
        last = parent;
        path[from..].split('/').filter(|name| !name.is_empty()).all(is_plain)
            && ends(path).filter(|end| *end > from).all(|end| {
                let spelling = &path[..end];
                *spellings.entry(spelling.to_ascii_lowercase()).or_insert(spelling) == spelling
            })
    })
}

/// Where the path of each directory above a path ends, and the path itself.
fn ends(path: &str) -> impl Iterator<Item = usize> {
    path.match_indices('/').map(|(end, _)| end).chain([path.len()])
}

/// `None` if the folder holds all names as they are.
fn fit_by(
    manifest: &Manifest,
    trial: &mut impl Trial,
    is_windows: bool,
) -> io::Result<Option<(Manifest, NameList)>> {
    let mut grain = Grain::of(trial, is_windows)?;
    if !grain.is_blind && grain.holds_samples(manifest)? {
        return Ok(None);
    }
    let mut local: HashMap<&str, String> = HashMap::new();
    let mut changed = NameList::default();
    for (parent, names) in by_directory(manifest) {
        grain.trial.clear()?;
        grain.numbers.clear();
        // Those that are held as they are come first, so that none of them has to make room.
        let mut others = Vec::new();
        for path in names {
            match grain.make(name_of(path))? {
                Made::New => drop(local.insert(path, join(local.get(parent), name_of(path)))),
                made => others.push((path, made)),
            }
        }
        for (path, made) in others {
            let name = grain.another(name_of(path), made)?;
            changed.note(path, &format_args!("{name}"));
            local.insert(path, join(local.get(parent), &name));
        }
    }
    grain.trial.clear()?;
    if changed.is_empty() {
        return Ok(None);
    }
    let entry = |entry: &Entry| {
        let path = local.get(entry.path.as_str()).map_or(entry.path.as_str(), String::as_str);
        Ok(Entry { path: SafePath::parse(path).map_err(io::Error::other)?, ..entry.clone() })
    };
    let entries = manifest.entries().iter().map(entry).collect::<io::Result<_>>()?;
    Manifest::new(entries).map(|fitted| Some((fitted, changed))).map_err(io::Error::other)
}

fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn join(parent: Option<&String>, name: &str) -> String {
    parent.map_or_else(|| name.to_owned(), |parent| format!("{parent}/{name}"))
}

/// The paths of all files and directories by the directory that they are in, the upper ones first.
fn by_directory(manifest: &Manifest) -> Vec<(&str, Vec<&str>)> {
    let mut directories: Vec<(&str, Vec<&str>)> = vec![("", Vec::new())];
    let mut places = HashMap::from([("", 0)]);
    let mut known = HashSet::new();
    for entry in manifest.entries() {
        let path = entry.path.as_str();
        let mut parent = "";
        for end in ends(path) {
            let place = *places.entry(parent).or_insert_with(|| {
                directories.push((parent, Vec::new()));
                directories.len() - 1
            });
            if known.insert(&path[..end]) {
                directories[place].1.push(&path[..end]);
            }
            parent = &path[..end];
        }
    }
    directories
}

/// What a folder holds.
struct Grain<'a, T> {
    trial: &'a mut T,
    is_windows: bool,
    /// It takes two names for one that differ in case, in how an accent is written, or by a joiner.
    is_blind: bool,
    /// It keeps a dot or a space at the end of a name.
    holds_ends: bool,
    /// Whether it holds a name with this character in it.
    characters: HashMap<char, bool>,
    /// The next number for names that differ in case alone, of which there may be very many.
    numbers: HashMap<String, u32>,
}

impl<'a, T: Trial> Grain<'a, T> {
    fn of(trial: &'a mut T, is_windows: bool) -> io::Result<Self> {
        let mut is_blind = false;
        for (made, same) in [("probe", "PROBE"), ("\u{e9}", "e\u{301}"), ("ab", "a\u{200C}b")] {
            is_blind |= trial.make(made)? == Made::New && trial.has(same);
        }
        let mut holds_ends = !is_windows;
        for (made, same) in [("dot.", "dot"), ("space ", "space")] {
            holds_ends = holds_ends && trial.make(made)? == Made::New && !trial.has(same);
        }
        trial.clear()?;
        Ok(Grain {
            trial,
            is_windows,
            is_blind,
            holds_ends,
            characters: HashMap::new(),
            numbers: HashMap::new(),
        })
    }

    /// Whether it holds a sample of the manifest's names: each character of ASCII, one of each length in UTF-8 of the others,
    /// names that mean something else on Windows, and the longest one.
    fn holds_samples(&mut self, manifest: &Manifest) -> io::Result<bool> {
        let mut seen = HashSet::new();
        let mut longest = "";
        for name in manifest.entries().iter().flat_map(|entry| entry.path.components()) {
            if name.len() > longest.len() {
                longest = name;
            }
            for character in name.chars() {
                let kind = if character.is_ascii() {
                    u32::from(character)
                } else {
                    128 + character.len_utf8() as u32
                };
                if seen.insert(kind) && !self.holds(character)? {
                    return Ok(false);
                }
            }
            if is_refused_by_windows(name) && self.make(name)? == Made::Refused {
                return Ok(false);
            }
        }
        Ok(longest.len() <= SURE_LENGTH || self.make(longest)? != Made::Refused)
    }

    /// Whether a name can be tried at all: what Windows drops at its end, or opens a device for, would seem to be made.
    fn may_have(&self, name: &str) -> bool {
        let is_cut = !self.holds_ends && name.ends_with(['.', ' ']);
        let is_else = self.is_windows && is_refused_by_windows(name);
        !is_cut && !is_else
    }

    fn make(&mut self, name: &str) -> io::Result<Made> {
        if self.may_have(name) { self.trial.make(name) } else { Ok(Made::Refused) }
    }

    fn holds(&mut self, character: char) -> io::Result<bool> {
        if character.is_ascii_alphanumeric() {
            return Ok(true);
        }
        if let Some(held) = self.characters.get(&character) {
            return Ok(*held);
        }
        let held = self.make(&format!("x{character}x"))? != Made::Refused;
        self.characters.insert(character, held);
        Ok(held)
    }

    /// Makes another name for one that is `Taken` or `Refused`.
    fn another(&mut self, name: &str, made: Made) -> io::Result<String> {
        let mut base = name.to_owned();
        for escaped in if made == Made::Refused { self.escapes(name)? } else { Vec::new() } {
            base = escaped;
            match self.make(&base)? {
                Made::New => return Ok(base),
                Made::Taken => break,
                Made::Refused => {}
            }
        }
        let alike = base.to_lowercase();
        let next = self.numbers.get(&alike).copied().unwrap_or(1);
        let is_taken = |number| number == 0 || self.trial.has(&numbered(&base, number));
        let number = if is_taken(next) { free_number(is_taken) } else { next };
        let other = numbered(&base, number);
        if self.make(&other)? == Made::New {
            self.numbers.insert(alike, number.saturating_add(1));
            return Ok(other);
        }
        let what = format!("it does not hold the name {}", shortened(name));
        Err(io::Error::new(io::ErrorKind::InvalidInput, what))
    }

    /// Escapes of a refused name, the shortest first: of the characters that the folder refuses; with the first one, since
    /// the name as a whole may be a device's; of all that is no letter or digit.
    fn escapes(&mut self, name: &str) -> io::Result<Vec<String>> {
        let mut refused = HashSet::from(['%']);
        for character in name.chars() {
            if !self.holds(character)? {
                refused.insert(character);
            }
        }
        let last = name.char_indices().next_back().map_or(0, |(at, _)| at);
        let is_cut = !self.holds_ends && name.ends_with(['.', ' ']);
        let is_refused = |at: usize, c: char| refused.contains(&c) || (is_cut && at == last);
        Ok(vec![
            escape(name, is_refused),
            escape(name, |at, c| at == 0 || is_refused(at, c)),
            escape(name, |at, c| at == 0 || !c.is_ascii_alphanumeric()),
        ])
    }
}

/// The characters for which `is_refused` says so (by place and character) as `%` and two digits for each byte, and no longer
/// than a name may be.
fn escape(name: &str, is_refused: impl Fn(usize, char) -> bool) -> String {
    let mut escaped = String::new();
    for (at, character) in name.char_indices() {
        let mut part = String::new();
        if is_refused(at, character) {
            character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| percent::push(&mut part, byte));
        } else {
            part.push(character);
        }
        if escaped.len() + part.len() > MAX_COMPONENT {
            break;
        }
        escaped += &part;
    }
    escaped
}

/// Whether Windows cannot store a name, or takes it for something else: a drive, a stream, a path, a device, another
/// name. The list of devices is that of Microsoft's "Naming Files, Paths, and Namespaces", with COM0, LPT0 and the
/// console's two, which it leaves out.
fn is_refused_by_windows(name: &str) -> bool {
    name.contains(['\\', ':', '<', '>', '"', '|', '?', '*']) || name.ends_with(['.', ' ']) || is_device(name)
}

/// Whether Windows opens a device for this name, in any case and with any extension.
fn is_device(name: &str) -> bool {
    let is_any = |name: &str, of: &[&str]| of.iter().any(|device| name.eq_ignore_ascii_case(device));
    let base = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    if is_any(base, &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]) {
        return true;
    }
    let Some((port, number)) = base.split_at_checked("COM".len()) else { return false };
    let mut digits = number.chars();
    matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        && is_any(port, &["COM", "LPT"])
}

/// A real folder to try names in.
struct TrialFolder<'a> {
    folder: Folder,
    made: Vec<String>,
    meanwhile: &'a mut dyn FnMut() -> Result<()>,
    /// Why no more names are tried.
    ended: Option<Error>,
}

/// A name that every folder holds.
const SURE: &str = "sure";

impl<'a> TrialFolder<'a> {
    /// Makes it in the folder of a transfer, in the place of one that an earlier try left.
    fn open(staging: &Folder, meanwhile: &'a mut dyn FnMut() -> Result<()>) -> io::Result<TrialFolder<'a>> {
        staging.ensure_here()?;
        let _ = fs::remove_dir_all(staging.way_to(TRIAL));
        staging.create_folder(TRIAL)?;
        Ok(TrialFolder { folder: staging.folder(TRIAL)?, made: Vec::new(), meanwhile, ended: None })
    }

    fn remove(mut self, staging: &Folder) -> io::Result<()> {
        self.clear()?;
        staging.ensure_here()?;
        fs::remove_dir(staging.way_to(TRIAL))
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.folder.create(name, &mut file::private())?;
        self.made.push(name.to_owned());
        Ok(())
    }
}

impl Trial for TrialFolder<'_> {
    fn make(&mut self, name: &str) -> io::Result<Made> {
        if let Err(error) = (self.meanwhile)() {
            self.ended = Some(error);
            return Err(io::ErrorKind::Interrupted.into());
        }
        match self.create(name) {
            Ok(()) => Ok(Made::New),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(Made::Taken),
            // Systems have many errors for a bad name. If a good one cannot be made either, it was not the name.
            Err(cause) => {
                self.create(SURE).map_err(|_| cause)?;
                self.made.pop();
                self.folder.remove_file(SURE)?;
                Ok(Made::Refused)
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.folder.way_to(name)).is_ok()
    }

    fn clear(&mut self) -> io::Result<()> {
        self.made.drain(..).try_for_each(|name| self.folder.remove_file(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A folder as some system has it.
    #[derive(Default)]
    struct Fake {
        made: Vec<String>,
        /// What it knows a name by; names with the same are one. `None` for those that it refuses.
        known_by: Option<fn(&str) -> Option<String>>,
    }

    impl Fake {
        fn known_by(&self, name: &str) -> Option<String> {
            self.known_by.map_or_else(|| Some(name.to_owned()), |known_by| known_by(name))
        }
    }

    impl Trial for Fake {
        fn make(&mut self, name: &str) -> io::Result<Made> {
            Ok(match self.known_by(name) {
                None => Made::Refused,
                Some(known) if self.made.contains(&known) => Made::Taken,
                Some(known) => {
                    self.made.push(known);
                    Made::New
                }
            })
        }

        fn has(&self, name: &str) -> bool {
            self.known_by(name).is_some_and(|known| self.made.contains(&known))
        }

        fn clear(&mut self) -> io::Result<()> {
            self.made.clear();
            Ok(())
        }
    }

    /// As Linux has it: case-blind, without the characters that it reserves and without dots and spaces at the end.
    fn vfat(name: &str) -> Option<String> {
        let is_refused = name.contains(['\\', ':', '*', '?', '"', '<', '>', '|']);
        (!is_refused).then(|| name.trim_end_matches(['.', ' ']).to_lowercase())
    }

    fn macos(name: &str) -> Option<String> {
        Some(name.replace('\u{e9}', "e\u{301}").replace('\u{200C}', "").to_lowercase())
    }

    fn ascii_only(name: &str) -> Option<String> {
        (name.is_ascii() && name.len() <= 100).then(|| name.to_owned())
    }

    fn manifest(paths: &[&str]) -> Manifest {
        let entry = |path: &&str| Entry {
            path: SafePath::parse(path.trim_end_matches('/')).expect(path),
            is_dir: path.ends_with('/'),
            executable: false,
            modified: 0,
            size: 0,
        };
        Manifest::new(paths.iter().map(entry).collect()).expect("good")
    }

    /// What the paths become, and how many names have changed.
    fn fitted(paths: &[&str], mut folder: Fake, is_windows: bool) -> (Vec<String>, usize) {
        let manifest = manifest(paths);
        let fitted = fit_by(&manifest, &mut folder, is_windows).expect("fits");
        let (fitted, changed) = fitted.unwrap_or((manifest, NameList::default()));
        let paths = fitted.entries().iter().map(|entry| entry.path.as_str().to_owned()).collect();
        (paths, changed.count())
    }

    const ODD: [&str; 9] = [
        "Screenshot 00:15:23.png",
        "100%: all",
        "src/aux.c",
        "src/xt_MARK.h",
        "src/xt_mark.h",
        "A./x",
        "a\\b",
        "\u{e9}",
        "e\u{301}",
    ];

    #[test]
    fn a_folder_that_holds_all_names_changes_none() {
        assert_eq!(fitted(&ODD, Fake::default(), false), (ODD.map(str::to_owned).to_vec(), 0));
    }

    #[test]
    fn each_folder_gets_what_it_holds() {
        let of = |known_by| Fake { known_by: Some(known_by), ..Fake::default() };
        let (names, changed) = fitted(&ODD, of(vfat), false);
        let expected = [
            "Screenshot 00%3A15%3A23.png",
            "100%25%3A all",
            "src/aux.c",
            "src/xt_MARK.h",
            "src/xt_mark (1).h",
            "A%2E/x",
            "a%5Cb",
            "\u{e9}",
            "e\u{301}",
        ];
        assert_eq!((names, changed), (expected.map(str::to_owned).to_vec(), 5));

        let (names, changed) = fitted(&ODD, of(macos), false);
        assert_eq!(names[..4], ODD[..4]);
        assert_eq!(
            (names[4].as_str(), &names[5..8], names[8].as_str()),
            ("src/xt_mark (1).h", &ODD.map(str::to_owned)[5..8], "e\u{301} (1)")
        );
        assert_eq!(changed, 2);

        let (names, _) = fitted(&ODD, of(ascii_only), false);
        assert_eq!(
            (&names[..7], &names[7..]),
            (&ODD.map(str::to_owned)[..7], &["%C3%A9", "e%CC%81"].map(str::to_owned)[..])
        );

        // Windows is asked about no name that it would take for something else.
        let (names, changed) =
            fitted(&ODD, of(|name| (!is_refused_by_windows(name)).then(|| name.to_lowercase())), true);
        assert_eq!(names[2], "src/%61ux.c");
        assert_eq!(
            (&names[..2], &names[4..7], changed),
            (&expected.map(str::to_owned)[..2], &expected.map(str::to_owned)[4..7], 6)
        );
    }

    #[test]
    fn a_name_that_is_held_keeps_its_place() {
        let of = Fake { known_by: Some(vfat), ..Fake::default() };
        let (names, _) = fitted(&["a:b", "a%3Ab", "A/x", "a/y", "a/X", "a/x"], of, false);
        assert_eq!(names, ["a%3Ab (1)", "a%3Ab", "A/x", "a (1)/y", "a (1)/X", "a (1)/x (1)"]);
    }

    #[test]
    fn a_name_that_grows_too_long_is_cut() {
        let long = format!("{}.c", ":".repeat(253));
        let other = format!("{}.h", ":".repeat(253));
        let of = Fake { known_by: Some(vfat), ..Fake::default() };
        let (names, changed) = fitted(&[&long, &other], of, false);
        assert_eq!(changed, 2);
        assert!(
            names[0] != names[1]
                && names.iter().all(|name| name.len() <= MAX_COMPONENT && name.starts_with("%3A%3A"))
        );
    }

    #[test]
    fn plain_names_are_not_tried() {
        assert!(is_plain(&manifest(&["a/b/c", "a/b/d", "a/e", "b", "100%", "a b"])));
        for odd in [
            &["a:b"][..],
            &["nul"],
            &["d./x"],
            &["\u{e9}"],
            &["A", "a"],
            &["A/x", "a/y"],
            &["d/x", "d/X"],
            &["d/x/1", "b", "d/X/2"],
        ] {
            assert!(!is_plain(&manifest(odd)), "{odd:?}");
        }
    }

    #[test]
    fn many_names_that_are_one_take_a_few_looks_each() {
        let count = 3000;
        let spelt = |number: usize| (0..12).map(move |bit| if number >> bit & 1 == 0 { 'a' } else { 'A' });
        let names: Vec<String> = (0..count).map(|number| spelt(number).collect()).collect();
        let paths: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut folder = Counting { fake: Fake { known_by: Some(vfat), ..Fake::default() }, looks: 0.into() };
        let (fitted, _) = fit_by(&manifest(&paths), &mut folder, false).expect("fits").expect("changed");
        let held: HashSet<String> =
            fitted.entries().iter().map(|entry| entry.path.as_str().to_lowercase()).collect();
        assert_eq!(held.len(), count);
        assert!(folder.looks.get() < 5 * count, "{} looks", folder.looks.get());
    }

    /// Counts what is asked of a folder.
    struct Counting {
        fake: Fake,
        looks: std::cell::Cell<usize>,
    }

    impl Trial for Counting {
        fn make(&mut self, name: &str) -> io::Result<Made> {
            self.looks.set(self.looks.get() + 1);
            self.fake.make(name)
        }

        fn has(&self, name: &str) -> bool {
            self.looks.set(self.looks.get() + 1);
            self.fake.has(name)
        }

        fn clear(&mut self) -> io::Result<()> {
            self.fake.clear()
        }
    }

    #[test]
    fn names_are_tried_no_longer_than_somebody_waits() {
        let dir = tempfile::tempdir().expect("a folder");
        let staging = Folder::open(dir.path()).expect("opens");
        let mut left = 8;
        let fitted = fit(manifest(&ODD), &staging, &mut || {
            left -= 1;
            if left > 0 { Ok(()) } else { Err(Error::Stopped) }
        });
        assert!(matches!(fitted, Err(Error::Stopped)) && left == 0);
        assert!(staging.names().expect("listed").is_empty());
    }

    #[test]
    fn a_real_folder_is_left_as_it_was() {
        let dir = tempfile::tempdir().expect("a folder");
        let staging = Folder::open(dir.path()).expect("opens");
        fs::create_dir(dir.path().join(TRIAL)).expect("left by an earlier try");
        let (fitted, changed) = fit(manifest(&ODD), &staging, &mut || Ok(())).expect("fits");
        assert_eq!((fitted.entries().len(), changed.count()), (ODD.len(), 0));
        assert!(staging.names().expect("listed").is_empty());
    }

    proptest! {
        #[test]
        fn what_fits_is_one_to_one(paths in proptest::collection::btree_set("[aA:é%. ]{1,4}(/[aA:. ]{1,3})?", 1..12), which in 0..3usize) {
            let safe: Vec<&str> = paths.iter().map(String::as_str).filter(|path| SafePath::parse(path).is_ok()).collect();
            let entry = |path: &&str| Entry { path: SafePath::parse(path).expect("safe"), is_dir: false, executable: false, modified: 0, size: 1 };
            let Ok(manifest) = Manifest::new(safe.iter().map(entry).collect()) else { return Ok(()) };
            let known_by = [vfat, macos, ascii_only][which];
            let mut folder = Fake { known_by: Some(known_by), ..Fake::default() };
            if let Some((fitted, _)) = fit_by(&manifest, &mut folder, false).expect("fits") {
                prop_assert_eq!(fitted.entries().len(), manifest.entries().len());
                let held: HashSet<Vec<String>> = fitted.entries().iter().map(|entry| entry.path.components().map(|name| known_by(name).expect("held")).collect()).collect();
                prop_assert_eq!(held.len(), manifest.entries().len(), "no two are one file there");
            }
        }
    }
}
