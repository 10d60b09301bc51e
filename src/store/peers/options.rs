//! The options of a peer that say what becomes of the files it offers (egoat-files(5), PEERS): their values, as they
//! stand in the file and as a user types them. It leaves out the decision (`transfer::policy`).

use std::path::{Path, PathBuf};

use crate::text::{self, percent};

/// Whether the peer's files are taken.
pub const FILES: &str = "files=";
/// The most bytes of one transfer that is taken unasked.
pub const MAX_FILE: &str = "max-file=";
/// The most bytes that the folder for the peer's files may hold.
pub const QUOTA: &str = "quota=";
/// The folder for the peer's files.
pub const DIR: &str = "dir=";
/// Whether the peer's files replace those that are there already, whatever the node says.
pub const OVERWRITE: &str = "overwrite=";
/// Whether no bell sounds for the peer in a chat.
pub const MUTE: &str = "mute=";
/// The value of an option that holds.
pub const YES: &str = "yes";
/// The value of an option that does not hold.
pub const NO: &str = "no";

const NAMES: [&str; 6] = [FILES, MAX_FILE, QUOTA, DIR, OVERWRITE, MUTE];

/// What becomes of the files that a peer offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesPolicy {
    /// The user is asked each time.
    Ask,
    /// They are taken, up to a size.
    Accept,
    /// They are not taken.
    Refuse,
}

impl FilesPolicy {
    const ALL: [FilesPolicy; 3] = [FilesPolicy::Ask, FilesPolicy::Accept, FilesPolicy::Refuse];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            FilesPolicy::Ask => "ask",
            FilesPolicy::Accept => "accept",
            FilesPolicy::Refuse => "refuse",
        }
    }

    /// The policy of this word.
    pub fn parse(word: &str) -> Option<FilesPolicy> {
        FilesPolicy::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

/// Checks the options of a line. An option of another name means nothing; one of these that meant nothing would let in
/// what the user wanted kept out, so it is an error, and so are two that contradict each other.
pub fn check(options: &[String]) -> Result<(), String> {
    for name in NAMES {
        let mut values = options.iter().filter_map(|option| option.strip_prefix(name));
        values.next().map_or(Ok(()), |value| check_value(name, value))?;
        if values.next().is_some() {
            return Err(format!("{name} stands there twice"));
        }
    }
    Ok(())
}

fn check_value(name: &str, value: &str) -> Result<(), String> {
    match name {
        FILES if FilesPolicy::parse(value).is_none() => Err("files= is ask, accept or refuse".into()),
        MAX_FILE | QUOTA if text::parse_size(value).is_none() => {
            Err(format!("{name} is a size, such as 500M or 4G"))
        }
        OVERWRITE | MUTE if ![YES, NO].contains(&value) => Err(format!("{name} is yes or no")),
        DIR => directory(value).map(drop),
        _ => Ok(()),
    }
}

/// Splits what a user typed into the name of an option, with its `=`, and a value; `None` if no option is called so.
pub fn split(typed: &str) -> Option<(&'static str, &str)> {
    NAMES.into_iter().find_map(|name| Some((name, typed.strip_prefix(name)?)))
}

/// The option for the file, of a value as a user types it: a path is a plain path.
pub fn from_typed(name: &str, value: &str) -> Result<String, String> {
    let word = match name {
        DIR => encode(value),
        // `4 GiB` is a size, and would be two words.
        MAX_FILE | QUOTA if text::parse_size(value).is_some() => value.split_whitespace().collect(),
        _ => value.to_owned(),
    };
    check_value(name, &word)?;
    Ok(format!("{name}{word}"))
}

/// The folder that a value of `dir=` in the file names.
pub fn directory(value: &str) -> Result<PathBuf, String> {
    let path = decode(value).ok_or("dir= has a % that does not begin %20, %25 or another byte of UTF-8")?;
    if !Path::new(&path).is_absolute() || path.contains('\0') {
        return Err("dir= is an absolute path".into());
    }
    Ok(path.into())
}

/// Writes white space, controls and `%` as the `%XX` of their bytes, so that a path is one word of one line.
fn encode(path: &str) -> String {
    let mut word = String::with_capacity(path.len());
    for c in path.chars() {
        if c == '%' || c.is_whitespace() || c.is_control() {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|byte| percent::push(&mut word, byte));
        } else {
            word.push(c);
        }
    }
    word
}

fn decode(word: &str) -> Option<String> {
    String::from_utf8(percent::decode(word)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checked(line: &str) -> Result<(), String> {
        check(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    /// An absolute path of this system.
    fn absolute(rest: &str) -> String {
        if cfg!(windows) { format!("C:\\{rest}") } else { format!("/{rest}") }
    }

    #[test]
    fn values_are_checked_and_other_options_are_not() {
        for good in [
            "",
            "files=ask",
            "files=accept max-file=4G quota=0 overwrite=no mute=yes",
            "blocked future=1 files filesystem=x",
        ] {
            assert_eq!(checked(good), Ok(()), "{good:?}");
        }
        for bad in [
            "files=",
            "files=Ask",
            "files=ask,accept",
            "max-file=",
            "max-file=lots",
            "max-file=-1",
            "quota=1.5G",
            "quota=16E",
            "dir=",
            "dir=here",
            "dir=~/here",
            "dir=%2",
            "dir=/%zz",
            "dir=/%+1",
            "dir=/%ff",
            "dir=/%00",
            "dir=/a%",
            "mute=",
            "mute=maybe",
            "overwrite=",
            "overwrite=Yes",
            "files=ask x files=ask",
            "quota=1 quota=2",
        ] {
            let name = bad.split('=').next().unwrap_or_default();
            let wrong = checked(bad).expect_err(bad);
            assert!(wrong.starts_with(&format!("{name}= ")), "{bad:?}: {wrong}");
        }
    }

    #[test]
    fn what_is_typed_becomes_one_word() {
        let word = |typed: &str| split(typed).map(|(name, value)| from_typed(name, value));
        assert_eq!(word("files=refuse"), Some(Ok("files=refuse".into())));
        assert_eq!(word("max-file= 4 GiB "), Some(Ok("max-file=4GiB".into())));
        assert!(matches!(word("max-file=1 2"), Some(Err(_))));
        assert!(matches!(word("files=ask refuse"), Some(Err(_))));
        assert!(matches!(word("dir=../up"), Some(Err(_))));
        for other in ["colour=red", "files", "blocked", "invite=aa", "FILES=ask", "="] {
            assert_eq!(word(other), None, "{other:?}");
        }
        if cfg!(unix) {
            assert_eq!(word("dir=/a b/100%"), Some(Ok("dir=/a%20b/100%25".into())));
            assert_eq!(word("dir=/a%20b"), Some(Ok("dir=/a%2520b".into())));
            assert_eq!(directory("/a%20b/%c3%A9"), Ok("/a b/é".into()));
        }
    }

    proptest! {
        #[test]
        fn every_path_comes_back(rest in "[^\0]{0,20}", odd in "[%0-9a-f \t\r\n\u{A0}\u{2028}]{0,9}") {
            let path = absolute(&(rest + &odd));
            let word = encode(&path);
            prop_assert_eq!(word.split_ascii_whitespace().collect::<Vec<_>>(), [word.as_str()]);
            prop_assert_eq!(word.lines().count(), 1);
            prop_assert_eq!(directory(&word), Ok(PathBuf::from(path)));
        }

        #[test]
        fn no_word_panics(word in "[%0-9a-g/é]{0,12}") {
            let _ = directory(&word);
        }
    }
}
