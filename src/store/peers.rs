//! The peers file: who this node talks to, a peer a line (egoat-files(5), PEERS).
//!
//! ```text
//! NAME KEY ADDRESS[,ADDRESS...]|- [option=value ...]
//! ```
//!
//! People edit it by hand, so comments, blank lines and unknown options stay as they are. Changes are made under a lock,
//! on the whole file, which is replaced at once.

mod options;
mod places;

use std::path::{Path, PathBuf};

pub use crate::store::peers::options::{DIR, FilesPolicy};
pub use crate::store::peers::places::{Origin, Place};

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result, Verb};
use crate::store::conversation::ConversationId;
use crate::store::file;
use crate::store::home::Home;
use crate::store::peers::options::{FILES, MAX_FILE, MUTE, NO, OVERWRITE, QUOTA, YES};
use crate::text;
use crate::wire::address::Address;

/// 10,000 peers with long lines; a larger file is not one that this program wrote.
const MAX_LEN: u64 = 4 << 20;
/// Set on a peer for each invite that it used: the invite's id in base32.
const INVITE: &str = "invite=";
/// How a user changes the addresses; not an option of the file.
const ADDRESS: &str = "address";
/// Set by the user on a peer who is not to connect.
const BLOCKED: &str = "blocked";
/// Set by the user on a peer whose safety number was compared.
const VERIFIED: &str = "verified";
/// Options that are there or not: what the user types, and what stands in the file.
const FLAGS: [(&str, &str); 3] = [("blocked", BLOCKED), ("verified", VERIFIED), ("mute", "mute=yes")];

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What the user calls them; unique in the file.
    pub name: String,
    /// Their pinned key; unique in the file.
    pub key: PublicKey,
    /// Where the user says that they are, or a link said and was right; may be empty. There may be more, see [`Peer::places`].
    pub addresses: Vec<Address>,
    /// Everything behind the addresses, as written.
    options: Vec<String>,
}

impl Peer {
    /// A peer without options.
    pub fn new(name: String, key: PublicKey, addresses: Vec<Address>) -> Peer {
        Peer { name, key, addresses, options: Vec::new() }
    }

    /// A peer whom no user knows: its files are asked about.
    pub fn on_trust(name: String, key: PublicKey) -> Peer {
        Peer {
            options: vec![format!("{FILES}{}", FilesPolicy::Ask.as_str())],
            ..Peer::new(name, key, Vec::new())
        }
    }

    /// The conversation with the peer alone.
    pub fn conversation(&self) -> ConversationId {
        self.key.into()
    }

    /// The ids of the invites that the peer used, in base32.
    pub fn invites(&self) -> impl Iterator<Item = &str> {
        self.options.iter().filter_map(|option| option.strip_prefix(INVITE))
    }

    /// Whether the peer used this invite.
    pub fn used_invite(&self, id: &str) -> bool {
        self.invites().any(|used| used == id)
    }

    /// Notes that the peer used the invite: this is what consumes it.
    pub fn set_invite(&mut self, id: &str) {
        if !self.used_invite(id) {
            self.options.push(format!("{INVITE}{id}"));
        }
    }

    /// Whether the user has blocked the peer.
    pub fn is_blocked(&self) -> bool {
        self.options.iter().any(|option| option == BLOCKED)
    }

    /// Whether the user has compared the safety number with the peer.
    pub fn is_verified(&self) -> bool {
        self.options.iter().any(|option| option == VERIFIED)
    }

    /// Whether no bell sounds for the peer in a chat.
    pub fn is_muted(&self) -> bool {
        self.value(MUTE) == Some(YES)
    }

    /// What becomes of the files that the peer offers, if the user has said so.
    pub fn files(&self) -> Option<FilesPolicy> {
        FilesPolicy::parse(self.value(FILES)?)
    }

    /// The most bytes of one transfer that is taken from the peer unasked, in place of the node's own limit.
    pub fn max_file(&self) -> Option<u64> {
        text::parse_size(self.value(MAX_FILE)?)
    }

    /// The most bytes that the folder for the peer's files may hold.
    pub fn quota(&self) -> Option<u64> {
        text::parse_size(self.value(QUOTA)?)
    }

    /// The folder for the peer's files, in place of one of the peer's name.
    pub fn downloads_dir(&self) -> Option<PathBuf> {
        options::directory(self.value(DIR)?).ok()
    }

    /// Whether the peer's files replace those that are there already, if the user has said so for this peer.
    pub fn overwrite(&self) -> Option<bool> {
        self.value(OVERWRITE).map(|value| value == YES)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().find_map(|option| option.strip_prefix(name))
    }

    /// Sets an option that is the user's to set, typed as `NAME=VALUE`, and taken away by `NAME=`. Those that are there or not
    /// are `NAME` or `NAME=yes`, and taken away by `NAME=no` as well. Addresses are changed by `address=`, `address+=` and
    /// `address-=`. A path is a plain path. An error says what is wrong, and nothing was changed.
    pub fn set_option(&mut self, typed: &str) -> std::result::Result<(), String> {
        if let Some(change) = typed.strip_prefix(ADDRESS) {
            return self.change_addresses(change).unwrap_or_else(|| Err(no_option(typed)));
        }
        let (word, value) = typed.split_once('=').unwrap_or((typed, YES));
        if let Some((_, option)) = FLAGS.iter().find(|(name, _)| *name == word) {
            let is_set = match value {
                YES => true,
                NO | "" => false,
                _ => return Err(format!("{word}= is yes or no")),
            };
            self.options.retain(|known| known.split('=').next() != Some(word));
            self.options.extend(is_set.then(|| (*option).to_owned()));
            return Ok(());
        }
        let (name, value) = options::split(typed).ok_or_else(|| no_option(typed))?;
        let option = if value.is_empty() { None } else { Some(options::from_typed(name, value)?) };
        self.options.retain(|known| !known.starts_with(name));
        self.options.extend(option);
        Ok(())
    }

    /// An error when the user has blocked the peer: then it is not dialled, and nothing is queued for it.
    pub fn ensure_not_blocked(&self) -> Result<()> {
        if !self.is_blocked() {
            return Ok(());
        }
        Err(Error::Failed {
            what: format!("{} is blocked here", self.name),
            hint: Some(format!("`egoat peers set {} blocked=` lets them in again", self.name)),
        })
    }

    pub(crate) fn parse(line: &str) -> std::result::Result<Peer, String> {
        let mut fields = line.split_ascii_whitespace();
        let (name, key, addresses) = match (fields.next(), fields.next(), fields.next()) {
            (Some(name), Some(key), Some(addresses)) => (name, key, addresses),
            _ => return Err("a line is NAME KEY ADDRESS[,ADDRESS...] or NAME KEY -".into()),
        };
        let name = text::name(name).ok_or("the name has characters that a name may not have, or over 32")?;
        let key = key.parse().map_err(|_| "the key is not 52 characters of base32, or no valid key")?;
        let addresses = match addresses {
            "-" => Vec::new(),
            list => list
                .split(',')
                .map(|one| one.parse().map_err(|bad: crate::wire::address::BadAddress| bad.0.to_owned()))
                .collect::<std::result::Result<_, String>>()?,
        };
        let options: Vec<String> = fields.map(str::to_owned).collect();
        options::check(&options)?;
        Ok(Peer { name, key, addresses, options })
    }

    fn line(&self) -> String {
        let addresses = match &self.addresses[..] {
            [] => "-".to_owned(),
            list => list.iter().map(Address::to_string).collect::<Vec<_>>().join(","),
        };
        let mut line = format!("{} {} {addresses}", self.name, self.key);
        for option in &self.options {
            line.push(' ');
            line.push_str(option);
        }
        line
    }
}

fn no_option(typed: &str) -> String {
    format!(
        "{} is no option: they are address=, files=, max-file=, quota=, dir= and overwrite= with a value, and blocked, \
         verified and mute",
        text::clean_line(typed)
    )
}

enum Line {
    Peer(Peer),
    /// A comment or a blank line.
    Other(String),
}

/// The whole file.
pub struct Peers {
    lines: Vec<Line>,
}

impl Peers {
    /// Reads the file; a missing one has no peers. A malformed line is an error, and nothing is dropped.
    pub fn load(home: &Home) -> Result<Peers> {
        let path = home.peers_path();
        let text =
            file::read_text(&path, MAX_LEN).map_err(Error::disk(Verb::Read, &path))?.unwrap_or_default();
        // People edit it, and mistype: that is no damage, and must not end a node.
        Peers::parse(&text).map_err(|what| Error::Mistyped { path, what })
    }

    /// Parses a whole file; says in which line what is wrong.
    pub fn parse(text: &str) -> std::result::Result<Peers, String> {
        let mut peers = Peers { lines: Vec::new() };
        // Not `lines`: what else a line ends in stays, as in a file of another system's editor.
        for (index, line) in text.split_terminator('\n').enumerate() {
            let parsed = if line.trim().is_empty() || line.trim_start().starts_with('#') {
                Line::Other(line.to_owned())
            } else {
                let at = |what| format!("line {}: {what}", index + 1);
                let peer = Peer::parse(line).map_err(at)?;
                if peers.by_name(&peer.name).is_some() || peers.by_key(&peer.key).is_some() {
                    return Err(at("the name or the key stands on an earlier line too".into()));
                }
                Line::Peer(peer)
            };
            peers.lines.push(parsed);
        }
        Ok(peers)
    }

    /// The whole file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Peer(peer) => text.push_str(&peer.line()),
                Line::Other(other) => text.push_str(other),
            }
            text.push('\n');
        }
        text
    }

    /// Loads the file, lets `change` change it, and replaces it, all under the lock; without a change nothing is written.
    pub fn edit<T>(home: &Home, change: impl FnOnce(&mut Peers) -> Result<T>) -> Result<T> {
        let _lock = home.lock_records()?;
        let mut peers = Peers::load(home)?;
        let before = peers.text();
        let result = change(&mut peers)?;
        peers.all_mut().for_each(Peer::forget_old_places);
        let after = peers.text();
        if after != before {
            let path = home.peers_path();
            file::replace_text(&path, &after, MAX_LEN).map_err(Error::disk(Verb::Replace, &path))?;
        }
        Ok(result)
    }

    /// All peers, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.lines.iter().filter_map(|line| match line {
            Line::Peer(peer) => Some(peer),
            Line::Other(_) => None,
        })
    }

    /// The peer of this name.
    pub fn by_name(&self, name: &str) -> Option<&Peer> {
        self.iter().find(|peer| peer.name == name)
    }

    /// The peer with this key; raw bytes are compared.
    pub fn by_key(&self, key: &PublicKey) -> Option<&Peer> {
        self.iter().find(|peer| peer.key == *key)
    }

    /// The peer with this key, to change.
    pub fn by_key_mut(&mut self, key: &PublicKey) -> Option<&mut Peer> {
        self.lines.iter_mut().find_map(|line| match line {
            Line::Peer(peer) if peer.key == *key => Some(peer),
            _ => None,
        })
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.lines.iter_mut().filter_map(|line| match line {
            Line::Peer(peer) => Some(peer),
            Line::Other(_) => None,
        })
    }

    /// Adds a peer; the name gets a number behind it if another has it. Gives the name that it got.
    pub fn add(&mut self, peer: Peer) -> String {
        self.add_told(peer, "")
    }

    /// The same for a name that the peer has told: where it is this node's `own_name` as well, as between two machines of one
    /// user, it gets a number too.
    pub fn add_told(&mut self, mut peer: Peer, own_name: &str) -> String {
        let wanted = peer.name.clone();
        let mut number = 2;
        while peer.name == own_name || self.by_name(&peer.name).is_some() {
            let suffix = format!("-{number}");
            let stem: String = wanted.chars().take(32 - suffix.len()).collect();
            peer.name = stem + &suffix;
            number += 1;
        }
        let name = peer.name.clone();
        self.lines.push(Line::Peer(peer));
        name
    }

    /// Takes a peer out.
    pub fn remove(&mut self, key: &PublicKey) {
        self.lines.retain(|line| !matches!(line, Line::Peer(peer) if peer.key == *key));
    }
}

/// What changed the file last: a cheap test of whether it must be read again.
pub fn version(path: &Path) -> Option<(std::time::SystemTime, u64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    fn key(byte: u8) -> PublicKey {
        Seed::from_bytes([byte; 32]).static_keys().public()
    }

    #[test]
    fn a_file_edited_by_hand_is_kept_as_it_is() {
        let text = format!(
            "# friends\r\n\nbob {} 10.0.0.1:7,[::1]:8 files=ask future=1\ncarol {} -\n  # end\r\r\n",
            key(1),
            key(2)
        );
        let peers = Peers::parse(&text).expect("parses");
        assert_eq!(peers.text(), text);
        let bob = peers.by_name("bob").expect("bob");
        assert_eq!(bob.addresses.len(), 2);
        assert!(peers.by_key(&key(2)).expect("carol").addresses.is_empty());
    }

    #[test]
    fn malformed_lines_name_their_number() {
        let (a, b) = (key(1), key(2));
        for text in [
            "bob".to_owned(),
            format!("bob {a}"),
            format!("-bob {a} -"),
            "bob aaaa -".to_owned(),
            format!("bob {a} host:0"),
            format!("bob {a} ,"),
            format!("bob {a} - files=never"),
            format!("bob {a} - files=ask files=accept"),
            format!("bob {a} - max-file=lots"),
            format!("bob {a} - future=1 quota="),
            format!("bob {a} - dir=downloads"),
            format!("bob {a} - dir=/tmp/100%"),
            format!("bob {a} -\nbob {b} -"),
            format!("bob {a} -\ncarol {a} -"),
        ] {
            let error = Peers::parse(&text).err().expect(&text);
            assert!(error.starts_with("line "), "{error}");
        }
    }

    #[test]
    fn a_second_peer_of_one_name_gets_a_number() {
        let mut peers = Peers::parse("").expect("empty");
        let long = "x".repeat(32);
        assert_eq!(peers.add(Peer::new(long.clone(), key(1), vec![])), long);
        let second = peers.add(Peer::new(long.clone(), key(2), vec![]));
        assert!(second.ends_with("x-2") && second.len() == 32, "{second}");
        assert_eq!(peers.add(Peer::new("bob".into(), key(3), vec![])), "bob");
        assert_eq!(peers.add(Peer::new("bob".into(), key(4), vec![])), "bob-2");
        assert_eq!(peers.add_told(Peer::new("vm".into(), key(5), vec![]), "vm"), "vm-2");
        assert_eq!(peers.add_told(Peer::new("vm".into(), key(6), vec![]), "vm"), "vm-3");
        assert!(Peers::parse(&peers.text()).is_ok());
    }

    #[test]
    fn every_invite_that_a_peer_used_stays_used() {
        let mut peer = Peer::new("bob".into(), key(1), vec![]);
        for id in ["aa", "bb", "aa"] {
            peer.set_invite(id);
        }
        assert!(peer.line().ends_with("- invite=aa invite=bb"), "{}", peer.line());
        assert!(peer.used_invite("aa") && peer.used_invite("bb") && !peer.used_invite("a"));
    }

    #[test]
    fn options_for_files_are_read() {
        let parse = |options: &str| Peer::parse(&format!("bob {} - {options}", key(1))).expect(options);
        let peer = parse("quota=10G files=refuse future=1 max-file=1500");
        assert_eq!(peer.files(), Some(FilesPolicy::Refuse));
        assert_eq!((peer.max_file(), peer.quota()), (Some(1500), Some(10 << 30)));
        assert_eq!(peer.downloads_dir(), None);
        let peer = parse("files my-quota=1 dirs=x");
        assert_eq!((peer.files(), peer.max_file(), peer.quota()), (None, None, None));
        #[cfg(unix)]
        assert_eq!(parse("dir=/srv/from%20bob").downloads_dir(), Some("/srv/from bob".into()));
    }

    #[test]
    fn a_user_sets_options_and_takes_them_away() {
        let mut peer = Peer::new("bob".into(), key(1), vec![]);
        peer.set_invite("aa");
        for option in ["files=ask", "blocked", "max-file=1 G", "files=accept", "blocked"] {
            peer.set_option(option).expect(option);
        }
        assert!(peer.line().ends_with(" - invite=aa max-file=1G files=accept blocked"), "{}", peer.line());
        assert!(peer.is_blocked());
        let before = peer.clone();
        for wrong in ["files=never", "quota=x", "dir=x", "files", "blocked=maybe", "invite=bb", "seen=", ""] {
            assert!(peer.set_option(wrong).is_err() && peer == before, "{wrong:?}");
        }
        for option in ["files=", "blocked=no", "max-file=", "quota="] {
            peer.set_option(option).expect(option);
        }
        assert!(peer.line().ends_with(" - invite=aa"), "{}", peer.line());
        assert!(!peer.is_blocked());
    }
}
