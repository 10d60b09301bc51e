//! The one table of commands, as argh structs: parsing (`FromArgs`), the help texts, and what completions and hints read
//! (`ArgsInfo`) all come from these fields and their docs. The module leaves out what the commands do.

use argh::{ArgsInfo, FromArgs};

use crate::app::Link;

/// Talk and move files directly between two computers, encrypted end to end, with no server in between.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    help_triggers("-h", "--help"),
    note = "{command_name} help COMMAND and {command_name} COMMAND --help tell more of a command."
)]
pub struct Egoat {
    /// the directory of identity, peers and messages (default: $EGOAT_HOME, else ~/.local/share/egoat)
    #[argh(option, arg_name = "dir")]
    pub home: Option<String>,
    /// dial through this SOCKS5 proxy, such as Tor: socks5://[USER:PASSWORD@]HOST:PORT (default: $EGOAT_PROXY)
    #[argh(option, arg_name = "url")]
    pub proxy: Option<String>,
    /// no notes on stderr, only errors
    #[argh(switch, short = 'q')]
    pub quiet: bool,
    /// one JSON object a line on stdout
    #[argh(switch)]
    pub json: bool,
    /// print the version and exit
    #[argh(switch, short = 'V')]
    pub version: bool,
    /// what to do; chat when missing
    #[argh(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub enum Command {
    /// See [`Chat`].
    Chat(Chat),
    /// See [`Window`].
    Window(Window),
    /// See [`Serve`].
    Serve(Serve),
    /// See [`Say`].
    Say(Say),
    /// See [`Send`].
    Send(Send),
    /// See [`Receive`].
    Receive(Receive),
    /// See [`Share`].
    Share(Share),
    /// See [`Get`].
    Get(Get),
    /// See [`Invite`].
    Invite(Invite),
    /// See [`Join`].
    Join(Join),
    /// See [`Peers`].
    Peers(Peers),
    /// See [`Log`].
    Log(Log),
    /// See [`Outbox`].
    Outbox(Outbox),
    /// See [`Fetch`].
    Fetch(Fetch),
    /// See [`Status`].
    Status(Status),
    /// See [`Partial`].
    Partial(Partial),
    /// See [`Id`].
    Id(Id),
    /// See [`Doctor`].
    Doctor(Doctor),
    /// See [`Demo`].
    Demo(Demo),
    /// See [`Completions`].
    Completions(Completions),
    /// See [`Version`].
    Version(Version),
}

impl Command {
    /// Whether it needs a home, and so makes one where there is none; the others only look or change what is there.
    pub fn makes_home(&self) -> bool {
        match self {
            Command::Chat(_)
            | Command::Window(_)
            | Command::Serve(_)
            | Command::Say(_)
            | Command::Send(_) => true,
            Command::Invite(_) | Command::Join(_) | Command::Id(_) => true,
            // A peer is saved in a home that is there.
            Command::Receive(receive) => receive.from.is_none(),
            Command::Share(share) => share.action.is_none() && share.to.is_empty(),
            Command::Get(get) => Link::looks_like(&get.peer),
            Command::Peers(peers) => matches!(peers.action, Some(PeersAction::Add(_))),
            // What it waits for is sealed by the identity.
            Command::Log(log) => log.follow,
            Command::Outbox(_) | Command::Fetch(_) | Command::Status(_) | Command::Partial(_) => false,
            Command::Doctor(_) | Command::Demo(_) | Command::Completions(_) | Command::Version(_) => false,
        }
    }

    /// The peer that a command names which makes a home.
    pub fn peer(&self) -> Option<&str> {
        match self {
            Command::Chat(chat) => chat.peer.as_deref(),
            Command::Say(say) => Some(&say.peer),
            Command::Send(send) => Some(&send.peer),
            _ => None,
        }
    }
}

/// Talk, on a terminal or line by line. Starts the node, or works beside a running one.
#[derive(ArgsInfo, FromArgs, Default)]
#[argh(subcommand, name = "chat", help_triggers("-h", "--help"))]
pub struct Chat {
    /// a saved peer, HOST:PORT or a link; everybody when missing
    #[argh(positional, arg_name = "peer")]
    pub peer: Option<String>,
    /// take the key of an unknown HOST:PORT on trust
    #[argh(switch)]
    pub accept_new: bool,
    /// address or port to listen on, may be repeated (default: the file listen, else 4628 or a free port above it)
    #[argh(option, arg_name = "addr")]
    pub listen: Vec<String>,
    /// ask routers to map the port: auto or off (default: the setting map, else auto)
    #[argh(option, arg_name = "how")]
    pub map: Option<String>,
    /// room that peers leave free on a disk (default 5 % of it or 1G, whichever is less)
    #[argh(option, arg_name = "size")]
    pub keep_free: Option<String>,
    /// run this program for a message that nobody looks at, in place of a bell: peer and id in the environment, the text
    /// on stdin
    #[argh(option, arg_name = "program")]
    pub notify: Option<String>,
}

/// Show conversations and files as a page in a browser of this machine. Starts the node, or works beside a running one.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "window", help_triggers("-h", "--help"))]
pub struct Window {
    /// a saved peer whose conversation is shown, or a link to join with
    #[argh(positional, arg_name = "peer")]
    pub peer: Option<String>,
    /// where the page is served, on 127.0.0.1 (default: the one of the last time, else 4680 or a free one above it)
    #[argh(option, arg_name = "n")]
    pub port: Option<u16>,
    /// address or port to listen on, may be repeated (default: the file listen, else 4628 or a free port above it)
    #[argh(option, arg_name = "addr")]
    pub listen: Vec<String>,
    /// ask routers to map the port: auto or off (default: the setting map, else auto)
    #[argh(option, arg_name = "how")]
    pub map: Option<String>,
    /// room that peers and uploads leave free on a disk (default 5 % of it or 1G, whichever is less)
    #[argh(option, arg_name = "size")]
    pub keep_free: Option<String>,
    /// print the address of the page, and open no browser
    #[argh(switch)]
    pub no_open: bool,
    /// end the window that runs
    #[argh(switch)]
    pub stop: bool,
    /// end all sessions of the window that runs
    #[argh(switch)]
    pub revoke: bool,
}

/// Run the node without a terminal: accept, deliver, receive; one line an event on stdout.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "serve", help_triggers("-h", "--help"))]
pub struct Serve {
    /// address or port to listen on, may be repeated (default: the file listen, else 4628 or a free port above it)
    #[argh(option, arg_name = "addr")]
    pub listen: Vec<String>,
    /// ask routers to map the port: auto or off (default: the setting map, else auto)
    #[argh(option, arg_name = "how")]
    pub map: Option<String>,
    /// where received files land, in a folder for each peer
    #[argh(option, arg_name = "dir")]
    pub downloads: Option<String>,
    /// the most bytes of one transfer (default 1G)
    #[argh(option, arg_name = "size")]
    pub max_file: Option<String>,
    /// room that peers leave free on a disk (default 5 % of it or 1G, whichever is less)
    #[argh(option, arg_name = "size")]
    pub keep_free: Option<String>,
    /// replace files that are there already
    #[argh(switch)]
    pub overwrite: bool,
    /// peers that may be connected at once (default 512, fewer where few files may be open)
    #[argh(option, arg_name = "n")]
    pub max_peers: Option<usize>,
    /// connections of unknowns that may be open at once (default 64, fewer where few files may be open)
    #[argh(option, arg_name = "n")]
    pub max_pending: Option<usize>,
    /// print the text of each message, not only from whom and how long it is
    #[argh(switch)]
    pub show_text: bool,
    /// make peers of strangers who dial, on first use
    #[argh(switch)]
    pub accept_new: bool,
    /// run this program for each message that arrives, until it ends with 0: the text on stdin, EGOAT_PEER, EGOAT_ID and
    /// more in the environment
    #[argh(option, arg_name = "program")]
    pub on_message: Option<String>,
    /// the same for each file that is in place: where it is, is in EGOAT_PATH
    #[argh(option, arg_name = "program")]
    pub on_file: Option<String>,
}

/// Queue a message and try to deliver it now; text from stdin when none is given.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "say", help_triggers("-h", "--help"))]
pub struct Say {
    /// a saved peer, HOST:PORT or a link
    #[argh(positional, arg_name = "peer")]
    pub peer: String,
    /// the message
    #[argh(positional, arg_name = "text")]
    pub text: Vec<String>,
    /// not to be delivered after this long
    #[argh(option, arg_name = "duration")]
    pub expire: Option<String>,
    /// a name for the message: the same one is never delivered twice to this peer
    #[argh(option, arg_name = "key")]
    pub id: Option<String>,
    /// wait for the delivery this long (30s, 5m); exit 75 if it is still queued then
    #[argh(option, arg_name = "duration")]
    pub wait: Option<String>,
    /// each line of stdin is a message, sent as it comes
    #[argh(switch)]
    pub lines: bool,
    /// take the key of an unknown HOST:PORT on trust
    #[argh(switch)]
    pub accept_new: bool,
}

/// Send files, directories or stdin; they are in place and verified on the other side when it ends.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "send", help_triggers("-h", "--help"))]
pub struct Send {
    /// a saved peer, HOST:PORT or a link; - is a link on stdin
    #[argh(positional, arg_name = "peer")]
    pub peer: String,
    /// what to send; - is stdin
    #[argh(positional, arg_name = "file")]
    pub files: Vec<String>,
    /// what the receiver is to call it
    #[argh(option, arg_name = "name")]
    pub name: Option<String>,
    /// go on trying this long when the peer cannot be reached
    #[argh(option, arg_name = "duration")]
    pub wait: Option<String>,
    /// note the files, for a running node to send when the peer can be reached
    #[argh(switch)]
    pub queue: bool,
    /// connections at once, 1 to 8 (default: one a core, at most 4)
    #[argh(option, arg_name = "n")]
    pub streams: Option<usize>,
    /// the most bytes of stdin to keep for when the connection is lost (default 1G)
    #[argh(option, arg_name = "size")]
    pub spool: Option<String>,
    /// take the key of an unknown HOST:PORT on trust
    #[argh(switch)]
    pub accept_new: bool,
}

/// Take one transfer: print a link, take one sender's files, and forget the sender.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "receive", help_triggers("-h", "--help"))]
pub struct Receive {
    /// where the files land (default: the downloads directory); - is stdout, for one file
    #[argh(option, arg_name = "dir")]
    pub into: Option<String>,
    /// room that peers leave free on a disk (default 5 % of it or 1G, whichever is less)
    #[argh(option, arg_name = "size")]
    pub keep_free: Option<String>,
    /// replace files that are there already
    #[argh(switch)]
    pub overwrite: bool,
    /// address or port to listen on, may be repeated (default: port 4628 on all, or a free one)
    #[argh(option, arg_name = "addr")]
    pub listen: Vec<String>,
    /// take files from this peer only, and print no link
    #[argh(option, arg_name = "peer")]
    pub from: Option<String>,
    /// give up after this long
    #[argh(option, arg_name = "duration")]
    pub timeout: Option<String>,
    /// take files from a stranger who dials, too
    #[argh(switch)]
    pub accept_new: bool,
    /// take names at the top that begin with a dot
    #[argh(switch)]
    pub allow_dot: bool,
    /// save the sender as a peer of this name
    #[argh(option, arg_name = "name")]
    pub keep: Option<String>,
}

/// Let others fetch files and directories: print a link, or name the peers who may.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "share", help_triggers("-h", "--help"))]
pub struct Share {
    /// what to share
    #[argh(positional, arg_name = "file")]
    pub files: Vec<String>,
    /// only for this saved peer, may be repeated; prints no link
    #[argh(option, arg_name = "peer")]
    pub to: Vec<String>,
    /// end the share after this long (default: when it is stopped)
    #[argh(option, long = "for", arg_name = "duration")]
    pub ttl: Option<String>,
    /// end the share when somebody has fetched it; without a node, wait for that
    #[argh(switch)]
    pub once: bool,
    /// where this node can be dialled, may be repeated (default: this machine's addresses)
    #[argh(option, arg_name = "host:port")]
    pub addr: Vec<String>,
    /// with --once and without a node: where to listen, may be repeated (default: port 4628 on all, or a free one)
    #[argh(option, arg_name = "addr")]
    pub listen: Vec<String>,
    /// what to do with the shares that are there
    #[argh(subcommand)]
    pub action: Option<ShareAction>,
}

/// What to do with the shares.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub enum ShareAction {
    /// See [`ShareList`].
    List(ShareList),
    /// See [`ShareStop`].
    Stop(ShareStop),
}

/// List what is shared.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
pub struct ShareList {}

/// End shares; a link says so from then on.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "stop", help_triggers("-h", "--help"))]
pub struct ShareStop {
    /// which, as the list shows them, or as many letters as are enough; or their links
    #[argh(positional, arg_name = "id")]
    pub ids: Vec<String>,
}

/// Fetch what somebody shares, by a link or from a peer; list what a peer shares.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "get", help_triggers("-h", "--help"))]
pub struct Get {
    /// a link of `egoat share`, - for one on stdin, or a saved peer
    #[argh(positional, arg_name = "peer")]
    pub peer: String,
    /// what to fetch of what the peer shares; list that when missing
    #[argh(positional, arg_name = "name")]
    pub names: Vec<String>,
    /// where the files land (default: the current directory); - is stdout, for one file
    #[argh(option, arg_name = "dir")]
    pub into: Option<String>,
    /// room to leave free on the disk (default 5 % of it or 1G, whichever is less)
    #[argh(option, arg_name = "size")]
    pub keep_free: Option<String>,
    /// replace files that are there already
    #[argh(switch)]
    pub overwrite: bool,
    /// take names at the top that begin with a dot
    #[argh(switch)]
    pub allow_dot: bool,
    /// go on trying this long when the node cannot be reached (default: 60s once it was)
    #[argh(option, arg_name = "duration")]
    pub wait: Option<String>,
}

/// Print a one-time link that pairs whoever joins with this node.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "invite", help_triggers("-h", "--help"))]
pub struct Invite {
    /// where this node can be dialled, may be repeated (default: this machine's addresses)
    #[argh(option, arg_name = "host:port")]
    pub addr: Vec<String>,
    /// how long the link is good (default 24h)
    #[argh(option, arg_name = "duration")]
    pub ttl: Option<String>,
    /// what to call whoever joins
    #[argh(option, long = "as", arg_name = "name")]
    pub name: Option<String>,
    /// print no link: wait for somebody in the same network, and compare six digits
    #[argh(switch)]
    pub nearby: bool,
    /// with --nearby: where to listen, may be repeated (default: port 4628 on all, or a free one)
    #[argh(option, arg_name = "addr")]
    pub listen: Vec<String>,
}

/// Pair with the inviter.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "join", help_triggers("-h", "--help"))]
pub struct Join {
    /// the link, or HOST:PORT; - reads a link from stdin, without it you are asked
    #[argh(positional, arg_name = "link")]
    pub link: Option<String>,
    /// what to call the inviter
    #[argh(option, long = "as", arg_name = "name")]
    pub name: Option<String>,
    /// pair with somebody in the same network who runs invite --nearby, and compare six digits
    #[argh(switch)]
    pub nearby: bool,
    /// pair with the egoat that this command runs, such as 'ssh host egoat', whichever side can dial the other
    #[argh(option, arg_name = "command")]
    pub via: Option<String>,
}

/// List and change the saved peers.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "peers", help_triggers("-h", "--help"))]
pub struct Peers {
    /// list who has said something that was not read in chat, and how many messages and files
    #[argh(switch)]
    pub unread: bool,
    /// what to do; list when missing
    #[argh(subcommand)]
    pub action: Option<PeersAction>,
}

/// What to do with the peers.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub enum PeersAction {
    /// See [`PeersList`].
    List(PeersList),
    /// See [`PeersShow`].
    Show(PeersShow),
    /// See [`PeersAdd`].
    Add(PeersAdd),
    /// See [`PeersSet`].
    Set(PeersSet),
    /// See [`PeersRename`].
    Rename(PeersRename),
    /// See [`PeersRemove`].
    Remove(PeersRemove),
    /// See [`PeersAccept`].
    Accept(PeersAccept),
    /// See [`PeersRequests`].
    Requests(PeersRequests),
}

/// List all peers.
#[derive(ArgsInfo, FromArgs, Default)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
pub struct PeersList {}

/// Show all that is known of a peer.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "show", help_triggers("-h", "--help"))]
pub struct PeersShow {
    /// the peer's name
    #[argh(positional, arg_name = "peer")]
    pub name: String,
}

/// Save a peer by a key that you have from elsewhere, without dialling.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "add", help_triggers("-h", "--help"))]
pub struct PeersAdd {
    /// what to call the peer
    #[argh(positional, arg_name = "name")]
    pub name: String,
    /// its key, or the link that its `egoat id` shows
    #[argh(positional, arg_name = "key")]
    pub key: String,
    /// where it can be dialled
    #[argh(positional, arg_name = "host:port")]
    pub addresses: Vec<String>,
}

/// Say which files to take from a peer, or block it.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "set", help_triggers("-h", "--help"))]
pub struct PeersSet {
    /// the peer's name
    #[argh(positional, arg_name = "peer")]
    pub name: String,
    /// files=ask|accept|refuse, max-file=SIZE, quota=SIZE, dir=PATH, overwrite=yes|no, mute=yes, blocked|verified; OPTION= takes
    /// it away
    #[argh(positional, arg_name = "option")]
    pub options: Vec<String>,
}

/// Give a peer another name.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "rename", help_triggers("-h", "--help"))]
pub struct PeersRename {
    /// its name now
    #[argh(positional, arg_name = "peer")]
    pub name: String,
    /// its name from now on
    #[argh(positional, arg_name = "new")]
    pub new: String,
}

/// Forget a peer; its history stays on disk.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "remove", help_triggers("-h", "--help"))]
pub struct PeersRemove {
    /// the peer's name
    #[argh(positional, arg_name = "peer")]
    pub name: String,
}

/// Make a peer of a stranger who dialled.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "accept", help_triggers("-h", "--help"))]
pub struct PeersAccept {
    /// its fingerprint or key as `peers requests` shows it; may be left out if there is only one
    #[argh(positional, arg_name = "who")]
    pub who: Option<String>,
    /// what to call it
    #[argh(option, long = "as", arg_name = "name")]
    pub name: Option<String>,
}

/// List strangers who dialled and wait to be accepted.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "requests", help_triggers("-h", "--help"))]
pub struct PeersRequests {}

/// Print what was said, oldest first.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "log", help_triggers("-h", "--help"))]
pub struct Log {
    /// a saved peer; all when missing
    #[argh(positional, arg_name = "peer")]
    pub peer: Option<String>,
    /// go on printing what comes; begins with the last 10
    #[argh(switch, short = 'f')]
    pub follow: bool,
    /// only what is newer: today|yesterday, a date, a time, or how long ago (2h)
    #[argh(option, arg_name = "time")]
    pub since: Option<String>,
    /// only the last N
    #[argh(option, arg_name = "n")]
    pub limit: Option<usize>,
    /// only what contains TEXT
    #[argh(option, arg_name = "text")]
    pub grep: Option<String>,
    /// only what is new since the last time with this FILE, which is made at first and notes how far was printed
    #[argh(option, arg_name = "file")]
    pub cursor: Option<String>,
    /// only what has arrived since it was last read in chat
    #[argh(switch)]
    pub unread: bool,
    /// delete for good what is older than this, such as 90d, and print nothing of it
    #[argh(option, arg_name = "time")]
    pub delete_before: Option<String>,
    /// delete without a question
    #[argh(switch)]
    pub yes: bool,
}

/// Show what waits to be delivered, and manage it.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "outbox", help_triggers("-h", "--help"))]
pub struct Outbox {
    /// what to do; list when missing
    #[argh(subcommand)]
    pub action: Option<OutboxAction>,
}

/// What to do with the outbox.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub enum OutboxAction {
    /// See [`OutboxList`].
    List(OutboxList),
    /// See [`OutboxCancel`].
    Cancel(OutboxCancel),
    /// See [`OutboxRetry`].
    Retry(OutboxRetry),
}

/// List what waits, oldest first.
#[derive(ArgsInfo, FromArgs, Default)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
pub struct OutboxList {}

/// Take back messages and files that are not delivered yet.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "cancel", help_triggers("-h", "--help"))]
pub struct OutboxCancel {
    /// which, as the list shows them
    #[argh(positional, arg_name = "id")]
    pub ids: Vec<String>,
}

/// Try to deliver now; files that were changed or refused are queued again as they are now.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "retry", help_triggers("-h", "--help"))]
pub struct OutboxRetry {
    /// to this peer only
    #[argh(positional, arg_name = "peer")]
    pub peer: Option<String>,
}

/// List or remove transfers that came in part and wait for their rest.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "partial", help_triggers("-h", "--help"))]
pub struct Partial {
    /// what to do; list when missing
    #[argh(subcommand)]
    pub action: Option<PartialAction>,
}

/// What to do with the parts.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub enum PartialAction {
    /// See [`PartialList`].
    List(PartialList),
    /// See [`PartialRemove`].
    Remove(PartialRemove),
}

/// List them.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
pub struct PartialList {}

/// Remove what has arrived of transfers; they start from nothing if they come again.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "remove", help_triggers("-h", "--help"))]
pub struct PartialRemove {
    /// which, as the list shows them, or as many letters as are enough
    #[argh(positional, arg_name = "id")]
    pub ids: Vec<String>,
    /// all of them
    #[argh(switch)]
    pub all: bool,
}

/// Connect to every peer once, deliver and collect what waits, and exit; for cron.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "fetch", help_triggers("-h", "--help"))]
pub struct Fetch {
    /// a peer that is away is an error, too
    #[argh(switch)]
    pub strict: bool,
}

/// Print what the node of this home does now; without a node the exit status is 69.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "status", help_triggers("-h", "--help"))]
pub struct Status {}

/// Print this node's name, key, fingerprint and addresses.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "id", help_triggers("-h", "--help"))]
pub struct Id {
    /// give this node a name
    #[argh(option, arg_name = "name")]
    pub name: Option<String>,
    /// set a passphrase on the identity, or remove it
    #[argh(switch)]
    pub passphrase: bool,
    /// have the running node give the key to no other command any more, so that each asks for the passphrase
    #[argh(switch)]
    pub forget: bool,
}

/// Check one layer a line: home, disk, node, addresses, and with a peer the way to it, its protocol and its key.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "doctor", help_triggers("-h", "--help"))]
pub struct Doctor {
    /// a saved peer, HOST:PORT or a link; only this machine when missing
    #[argh(positional, arg_name = "peer")]
    pub peer: Option<String>,
}

/// Two nodes on this machine pair, talk, go offline and back, and move a file; prints what happens.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "demo", help_triggers("-h", "--help"))]
pub struct Demo {}

/// Print a script that completes command lines in a shell.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "completions", help_triggers("-h", "--help"))]
pub struct Completions {
    /// bash|zsh|fish
    #[argh(positional, arg_name = "shell")]
    pub shell: String,
    /// print what the last word of a command line may become, as the script does; without egoat, behind --
    #[argh(positional, arg_name = "word")]
    pub words: Vec<String>,
}

/// Print the version.
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "version", help_triggers("-h", "--help"))]
pub struct Version {}
