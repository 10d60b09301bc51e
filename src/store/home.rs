//! The home directory: where it is, what its files are called, and who its owner is.

use std::collections::HashMap;
use std::env;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::crypto::keys::{INVITE_ID_LEN, PublicKey, Seed, StaticKeys};
use crate::error::{Error, Result, Verb};
use crate::store::conversation::ConversationId;
use crate::store::file;
use crate::store::folder::Folder;
use crate::store::history::History;
use crate::store::identity::{self, Identity};
use crate::store::lock;
use crate::store::log::{Kind, LogId, Reader, Report};
use crate::store::notes::Notes;
use crate::store::outbox::Outbox;
use crate::store::ownership;
use crate::store::queued_files::{Listed, QueuedFiles};
use crate::store::shares::{ListedShares, Shares};
use crate::text;

/// What a node calls itself when nothing else may be told.
const NEUTRAL_NAME: &str = "egoat";

/// Users that many machines have: their names say nothing of who it is.
const IMPERSONAL_USERS: [&str; 7] = ["root", "egoat", "unknown", "nobody", "user", "admin", "administrator"];

const HISTORY: &str = "history";
const OUTBOX: &str = "outbox";
const PARTIAL: &str = "partial";
const UPLOADS: &str = "uploads";
/// The folders of a home with files of its own; in the others lie files of the user.
pub const OWN_FOLDERS: [&str; 3] = [HISTORY, OUTBOX, PARTIAL];

/// Bytes of the settings file.
const MAX_SETTINGS: u64 = 64 << 10;

/// What a line of the settings says of this name.
fn setting_value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.trim_start().strip_prefix(name)?.trim_start().strip_prefix('=')
}

/// A home directory.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
    /// It was named, by `--home` or `$EGOAT_HOME`, rather than found.
    explicit: bool,
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

impl Home {
    /// Finds the home directory, and makes it with its folders if it is not there yet.
    pub fn locate(flag: Option<&str>) -> Result<Home> {
        let home = Home::find(flag)?;
        home.create()?;
        Ok(home)
    }

    /// Makes the home directory with its folders, if they are not there yet.
    pub fn create(&self) -> Result<()> {
        for folder in [self.dir.clone(), self.dir.join(HISTORY), self.dir.join(OUTBOX)] {
            file::create_private_dir(&folder).map_err(Error::disk(Verb::Create, &folder))?;
        }
        Ok(())
    }

    /// Whether it is a home already: it has an identity, or one that cannot be seen.
    pub fn is_made(&self) -> bool {
        !self.identity_path().metadata().is_err_and(|cause| cause.kind() == io::ErrorKind::NotFound)
    }

    /// Refuses a home that others own or can change.
    pub fn check_owner(&self) -> Result<()> {
        ownership::check(self)
    }

    /// Finds the home directory, which need not be there.
    pub fn find(flag: Option<&str>) -> Result<Home> {
        // No shell has read the ~ of `--home=~/x`.
        let named = flag.map(|typed| expand(Path::new(typed))).or_else(|| variable("EGOAT_HOME"));
        let explicit = named.is_some();
        let found = || {
            // The XDG Base Directory Specification has relative paths ignored.
            variable("XDG_DATA_HOME")
                .filter(|data| data.is_absolute())
                .or_else(|| Some(user_home()?.join(".local/share")))
                .map(|data| data.join("egoat"))
        };
        let dir = named.or_else(found).ok_or_else(|| Error::Usage {
            what: "no home directory: neither HOME nor EGOAT_HOME is set".into(),
            hint: Some("name one with --home DIR".into()),
        })?;
        // What is not there can be made, but not everywhere.
        dir.try_exists().map_err(Error::disk(Verb::Open, &dir))?;
        Ok(Home { dir, explicit })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory from the root, if it was named rather than found: for other programs.
    pub fn named(&self) -> Option<PathBuf> {
        self.explicit.then(|| file::absolute(self.dir.clone()))
    }

    /// Where received files land, without the peer's folder; from the root, as histories have it.
    pub fn downloads(&self, flag: Option<&str>) -> Result<PathBuf> {
        let named = flag.map(PathBuf::from).or_else(|| variable("EGOAT_DOWNLOADS"));
        let own = || {
            if self.explicit {
                Some(self.dir.join("downloads"))
            } else {
                Some(user_home()?.join("Downloads/egoat"))
            }
        };
        named.or_else(own).map(file::absolute).ok_or_else(|| Error::Usage {
            what: "no place for received files: HOME is not set".into(),
            hint: Some("name one with --downloads DIR".into()),
        })
    }

    /// Whether the environment says where received files land.
    pub fn has_downloads_variable(&self) -> bool {
        variable("EGOAT_DOWNLOADS").is_some()
    }

    /// The identity file.
    pub fn identity_path(&self) -> PathBuf {
        self.dir.join("identity")
    }
    /// The peers file.
    pub fn peers_path(&self) -> PathBuf {
        self.dir.join("peers")
    }
    /// The invites file.
    pub fn invites_path(&self) -> PathBuf {
        self.dir.join("invites")
    }
    /// The requests file.
    pub fn requests_path(&self) -> PathBuf {
        self.dir.join("requests")
    }
    /// What the chat keeps.
    pub fn notes_path(&self) -> PathBuf {
        self.dir.join("chat.log")
    }
    /// What is shared.
    pub fn shares_path(&self) -> PathBuf {
        self.dir.join("shares.log")
    }
    /// The proxy to dial through.
    pub fn proxy_path(&self) -> PathBuf {
        self.dir.join("proxy")
    }
    /// Where the node listens.
    pub fn listen_path(&self) -> PathBuf {
        self.dir.join("listen")
    }
    /// Who is connected.
    pub fn presence_path(&self) -> PathBuf {
        self.dir.join("presence")
    }
    /// The lock that a node holds.
    pub fn node_lock_path(&self) -> PathBuf {
        self.dir.join("node.lock")
    }

    /// The lock that the process of the window holds.
    pub fn window_lock_path(&self) -> PathBuf {
        self.dir.join("window.lock")
    }

    /// Where files are put that a browser hands over, to be sent.
    pub fn uploads_dir(&self) -> PathBuf {
        self.dir.join(UPLOADS)
    }

    /// The upload that a path is in, from the root.
    pub fn upload_of(&self, path: &Path) -> Option<PathBuf> {
        let all = file::absolute(self.uploads_dir());
        let first = path.strip_prefix(&all).ok()?.components().next()?;
        Some(all.join(first))
    }

    /// Where the node told its peers that it can be dialled.
    pub fn told_path(&self) -> PathBuf {
        self.dir.join("told")
    }

    /// The settings.
    pub fn settings_path(&self) -> PathBuf {
        self.dir.join("settings")
    }

    /// The mappings that routers made for the node.
    pub fn mapping_path(&self) -> PathBuf {
        self.dir.join("mapping")
    }

    /// When tries to pair by six digits came to nothing.
    pub fn tries_path(&self) -> PathBuf {
        self.dir.join("tries")
    }

    /// The lock of a node that wants to start.
    pub fn starting_lock_path(&self) -> PathBuf {
        self.dir.join("starting.lock")
    }

    /// How far the program is that is run for each `message` or `file`.
    pub fn hook_path(&self, what: &str) -> PathBuf {
        self.dir.join(format!("on-{what}.cursor"))
    }

    /// The history of a conversation.
    pub fn history_path(&self, conversation: ConversationId) -> PathBuf {
        self.dir.join(HISTORY).join(conversation.history_name())
    }

    /// The conversations that have a history here, also those with former peers.
    pub fn conversations(&self) -> Result<Vec<ConversationId>> {
        let dir = self.dir.join(HISTORY);
        let names = match Folder::open(&dir).and_then(|folder| folder.names()) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names,
        };
        let conversation = |name: &PathBuf| ConversationId::of_history(name.to_str()?);
        Ok(names.map_err(Error::disk(Verb::Read, &dir))?.iter().filter_map(conversation).collect())
    }

    /// The outbox of a peer.
    pub fn outbox_path(&self, peer: &PublicKey) -> PathBuf {
        self.dir.join(OUTBOX).join(format!("{peer}.log"))
    }

    /// Whether messages were ever queued for the peer. An empty file does not count: the disk had no room for its header.
    pub fn has_outbox(&self, peer: &PublicKey) -> bool {
        self.outbox_path(peer).metadata().is_ok_and(|file| file.len() > 0)
    }

    /// Where transfers that came in part are noted.
    pub fn partial_dir(&self) -> PathBuf {
        self.dir.join(PARTIAL)
    }

    /// The files that are queued for a peer.
    pub fn queued_files_path(&self, peer: &PublicKey) -> PathBuf {
        self.dir.join(OUTBOX).join(format!("{peer}.files.log"))
    }

    /// Held by whoever delivers messages to the peer without a node.
    pub fn delivery_lock_path(&self, peer: &PublicKey) -> PathBuf {
        self.outbox_path(peer).with_extension("lock")
    }

    /// Held by whoever sends queued files to the peer.
    pub fn files_lock_path(&self, peer: &PublicKey) -> PathBuf {
        self.dir.join(OUTBOX).join(format!("{peer}.files.lock"))
    }

    /// Held by whoever collects from the peer without a node.
    pub fn fetch_lock_path(&self, peer: &PublicKey) -> PathBuf {
        self.dir.join(OUTBOX).join(format!("{peer}.fetch.lock"))
    }

    /// What came of the last attempt to reach a peer.
    pub fn attempts_path(&self, peer: &PublicKey) -> PathBuf {
        self.dir.join(OUTBOX).join(format!("{peer}.attempts"))
    }

    /// Where this node listens unless a command says otherwise: the lines of the `listen` file.
    pub fn listen(&self) -> Result<Vec<String>> {
        let path = self.listen_path();
        let stored =
            file::read_text(&path, 4096).map_err(Error::disk(Verb::Read, &path))?.unwrap_or_default();
        Ok(stored.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }

    /// Sets that. Whoever calls this holds the lock of [`Home::lock_records`].
    pub fn set_listen(&self, address: &str) -> Result<()> {
        let path = self.listen_path();
        file::replace(&path, format!("{address}\n").as_bytes()).map_err(Error::disk(Verb::Write, &path))
    }

    fn settings(&self) -> Result<String> {
        let path = self.settings_path();
        let stored = file::read_text(&path, MAX_SETTINGS).map_err(Error::disk(Verb::Read, &path))?;
        Ok(stored.unwrap_or_default())
    }

    /// The value of a setting: what is behind `NAME=` in the last such line of `settings`.
    pub fn setting(&self, name: &str) -> Result<Option<String>> {
        let stored = self.settings()?;
        let value = stored.lines().rev().find_map(|line| setting_value(line, name));
        Ok(value.map(|value| value.trim().to_owned()))
    }

    /// Changes a setting, and no other line.
    pub fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        let _lock = self.lock_records()?;
        let stored = self.settings()?;
        let others = stored.lines().filter(|line| setting_value(line, name).is_none());
        let changed = format!("{name}={value}");
        let text: String = others.chain([changed.as_str()]).flat_map(|line| [line, "\n"]).collect();
        let path = self.settings_path();
        file::replace_text(&path, &text, MAX_SETTINGS).map_err(Error::disk(Verb::Replace, &path))
    }

    /// The proxy to dial through unless a command says otherwise: the line of the `proxy` file.
    pub fn proxy(&self) -> Result<Option<String>> {
        let path = self.proxy_path();
        let stored = file::read_text(&path, 4096).map_err(Error::disk(Verb::Read, &path))?;
        Ok(stored.map(|text| text.trim().to_owned()))
    }

    /// Whether the user has given this node a name.
    pub fn has_name(&self) -> bool {
        self.dir.join("name").exists()
    }

    /// This node's name: the first line of the `name` file, else that of the user or the machine, or `NEUTRAL_NAME` if it
    /// `is_hidden` who that is.
    pub fn name(&self, is_hidden: bool) -> Result<String> {
        let path = self.dir.join("name");
        let stored = file::read_text(&path, 1024).map_err(Error::disk(Verb::Read, &path))?;
        let first = stored.as_deref().and_then(|text| text.lines().next());
        let default = || if is_hidden { None } else { default_name() };
        Ok(first.and_then(text::suggest_name).or_else(default).unwrap_or_else(|| NEUTRAL_NAME.into()))
    }

    /// Gives this node a name.
    pub fn set_name(&self, name: &str) -> Result<()> {
        let _lock = self.lock_records()?;
        let path = self.dir.join("name");
        file::replace(&path, format!("{name}\n").as_bytes()).map_err(Error::disk(Verb::Replace, &path))
    }

    /// Keeps two processes from changing the small files (peers, invites, requests, name) at once; held for
    /// milliseconds.
    pub fn lock_records(&self) -> Result<File> {
        let path = self.dir.join("records.lock");
        let file = file::private()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::disk(Verb::Open, &path))?;
        lock::wait_for(&file, &path)?;
        Ok(file)
    }

    /// Opens the home for its owner. If the identity is sealed, `unsealed` gives the seed, or else `ask` the passphrase.
    pub fn unlock(
        self,
        unsealed: impl FnOnce(&Home) -> Option<Seed>,
        ask: impl FnOnce() -> Result<String>,
        report: Report,
    ) -> Result<Own> {
        let path = self.identity_path();
        let seed = match identity::load_or_create(&path)? {
            Identity::Open(seed) => seed,
            Identity::Sealed(sealed) => match unsealed(&self) {
                Some(seed) => seed,
                None => sealed.open(ask()?.as_bytes()).ok_or_else(|| Error::Identity {
                    path,
                    why: "the passphrase is wrong".into(),
                    hint: "try again; without it, what is in this home cannot be read".into(),
                })?,
            },
        };
        Ok(self.owned(seed, report))
    }

    /// A home that is not made yet, as what only looks finds it: nothing is in it, and its identity is in memory alone.
    pub fn unmade(self, report: Report) -> Own {
        self.owned(Seed::generate(), report)
    }

    fn owned(self, seed: Seed, report: Report) -> Own {
        Own { parts: Arc::new(OwnParts { keys: seed.static_keys(), home: self, seed }), report }
    }
}

/// What `~` stands for.
pub fn user_home() -> Option<PathBuf> {
    variable(if cfg!(windows) { "USERPROFILE" } else { "HOME" })
}

/// A path as a person typed it where no shell has read it: `~` and `~/` at its front mean the user's home.
pub fn expand(typed: &Path) -> PathBuf {
    match (typed.strip_prefix("~"), user_home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => typed.to_owned(),
    }
}

/// The user's name or, where many machines have a user of that name, the machine's.
fn default_name() -> Option<String> {
    let variables: &[&str] = if cfg!(windows) { &["USERNAME"] } else { &["USER", "LOGNAME"] };
    let user = variables.iter().find_map(|name| variable(name)?.into_os_string().into_string().ok());
    let tells_who = |user: &String| !IMPERSONAL_USERS.iter().any(|name| user.eq_ignore_ascii_case(name));
    user.filter(tells_who).and_then(|user| text::suggest_name(&user)).or_else(machine_name)
}

/// The machine's name without its domain.
fn machine_name() -> Option<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = kernel.or_else(|| env::var("HOSTNAME").ok()).or_else(|| env::var("COMPUTERNAME").ok())?;
    let first = host.trim().split('.').next().filter(|first| *first != "localhost" && *first != "(none)")?;
    text::suggest_name(first)
}

struct OwnParts {
    home: Home,
    seed: Seed,
    keys: StaticKeys,
}

/// A home that its owner has opened: the keys, and the logs that they seal. Cheap to clone, shared by all threads.
#[derive(Clone)]
pub struct Own {
    parts: Arc<OwnParts>,
    report: Report,
}

impl Own {
    /// The same, with somebody else who is told what is no error.
    pub fn reporting_to(&self, report: Report) -> Own {
        Own { parts: Arc::clone(&self.parts), report }
    }

    /// The directory.
    pub fn home(&self) -> &Home {
        &self.parts.home
    }

    /// The static keys of the handshake.
    pub fn keys(&self) -> &StaticKeys {
        &self.parts.keys
    }

    /// This node's public key.
    pub fn key(&self) -> PublicKey {
        self.parts.keys.public()
    }

    /// The seed of the identity, for a front-end that the node trusts with it.
    pub fn seed(&self) -> &[u8; 32] {
        self.parts.seed.expose()
    }

    /// Seals the identity file with a passphrase, or opens it with an empty one.
    pub fn set_passphrase(&self, passphrase: &[u8]) -> Result<()> {
        let _lock = self.parts.home.lock_records()?;
        identity::set_passphrase(&self.parts.home.identity_path(), &self.parts.seed, passphrase)
    }

    fn log_id(&self, kind: Kind, peer: &PublicKey) -> LogId {
        let path = match kind {
            Kind::History => self.parts.home.history_path((*peer).into()),
            Kind::Outbox => self.parts.home.outbox_path(peer),
            Kind::Files => self.parts.home.queued_files_path(peer),
            Kind::Notes => self.parts.home.notes_path(),
            Kind::Shares => self.parts.home.shares_path(),
        };
        LogId::new(path, kind, peer, &self.parts.seed)
    }

    /// The history of a conversation, for appending.
    pub fn history(&self, conversation: ConversationId) -> Result<History> {
        History::open(self.log_id(Kind::History, &conversation.peer()), Arc::clone(&self.report))
    }

    /// The history of a conversation, for reading from the start; the history need not exist.
    pub fn read_history(&self, conversation: ConversationId) -> Reader {
        History::reader(self.log_id(Kind::History, &conversation.peer()), Arc::clone(&self.report))
    }

    /// The outbox of a peer.
    pub fn outbox(&self, peer: &PublicKey) -> Result<Outbox> {
        Outbox::open(self.log_id(Kind::Outbox, peer), Arc::clone(&self.report))
    }

    /// The files that are queued for a peer, for changes.
    pub fn queued_files(&self, peer: &PublicKey) -> Result<QueuedFiles> {
        let queue = QueuedFiles::open(self.log_id(Kind::Files, peer), Arc::clone(&self.report))?;
        Ok(queue.with_uploads(self.home()))
    }

    /// The same, for reading from the start; the log need not exist.
    pub fn read_queued_files(&self, peer: &PublicKey) -> Listed {
        Listed::new(self.log_id(Kind::Files, peer), Arc::clone(&self.report))
    }

    /// What is shared, for changes.
    pub fn shares(&self) -> Result<Shares> {
        Shares::open(self.log_id(Kind::Shares, &self.key()), Arc::clone(&self.report))
    }

    /// The same, for reading from the start; the log need not exist.
    pub fn read_shares(&self) -> ListedShares {
        ListedShares::new(self.log_id(Kind::Shares, &self.key()), Arc::clone(&self.report))
    }

    /// The keys with which this node fetches a share by its link.
    pub fn getter_keys(&self, share: &[u8; INVITE_ID_LEN]) -> StaticKeys {
        self.parts.seed.getter_keys(share)
    }

    /// What the chat keeps for next time.
    pub fn notes(&self) -> Result<Notes> {
        Notes::open(self.log_id(Kind::Notes, &self.key()), Arc::clone(&self.report))
    }

    /// The last record of each history that a chat has shown.
    pub fn read_marks(&self) -> Result<HashMap<ConversationId, u64>> {
        Notes::read_marks(Reader::new(self.log_id(Kind::Notes, &self.key()), Arc::clone(&self.report)))
    }

    /// Tells the user something that is no error.
    pub fn report(&self, what: &str) {
        (self.report)(what);
    }
}
