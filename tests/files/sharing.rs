//! What is shared by a link or by name, and who fetches it: strangers, peers, several at once, and those who come too late.

use crate::common;

use common::files::{CHUNK, MIB, chunks_in, landed_in, names_in, sample, staged_in};
use common::proxy::{How, Plan, Proxy, Way};
use common::route::fast_dir;
use common::tmux::Terminal;
use common::tree::{all_in, as_received, put};
use common::{EGOAT, Home, Node, Process, json_number, json_text, pair, poll_until};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// Alice, whose node serves what she shares.
struct Sharing {
    alice: Home,
    node: Node,
}

impl Sharing {
    fn new() -> Sharing {
        let alice = Home::new_in(&fast_dir(), "alice");
        let node = alice.serve();
        Sharing { alice, node }
    }

    /// Shares by a link.
    fn share(&self, args: &[&str]) -> String {
        self.alice.run(&[&["share"], args].concat()).trim_end().to_owned()
    }

    /// The only share that has not ended.
    fn listed(&self) -> String {
        self.alice.run(&["--json", "share", "list"])
    }
}

/// Somebody who fetches, into a directory of their own.
struct Getter {
    home: Home,
    into: PathBuf,
}

impl Getter {
    fn new(name: &str) -> Getter {
        let home = Home::new_in(&fast_dir(), name);
        let into = home.path("into");
        fs::create_dir(&into).unwrap();
        Getter { home, into }
    }

    fn cmd(&self, args: &[&str]) -> Command {
        let mut command = self.home.cmd(&[&["get"], args].concat());
        command.current_dir(&self.into);
        command
    }

    fn get(&self, args: &[&str]) -> (String, String) {
        common::finish(self.cmd(args), b"", 0)
    }

    /// Is refused, or fails; gives what is said of it.
    fn fails(&self, args: &[&str], code: i32) -> String {
        common::finish(self.cmd(args), b"", code).1
    }

    fn start(&self, args: &[&str]) -> Process {
        Process::start(self.cmd(args))
    }

    fn chunks(&self) -> usize {
        staged_in(&self.into).iter().map(|staging| chunks_in(staging)).sum()
    }

    fn has(&self, name: &str, content: &[u8]) -> bool {
        fs::read(self.into.join(name)).is_ok_and(|found| found == content)
    }

    /// Nobody is a peer of this home, nobody waits to be one, and nothing was said.
    fn knows_nobody(&self) {
        knows_nobody(&self.home);
    }
}

fn knows_nobody(home: &Home) {
    assert_eq!(home.run(&["peers"]) + &home.run(&["peers", "requests"]) + &home.run(&["log"]), "");
    for name in ["peers", "requests", "invites"] {
        assert!(fs::read(home.path(name)).unwrap_or_default().is_empty(), "{name}");
    }
}

/// `count` files in directories of a hundred, with one that is executable.
fn many_files(home: &Home, count: usize) -> PathBuf {
    let tree = home.path("tree");
    for number in 0..count {
        put(&tree.join(format!("{}/{number}", number / 100)), number.to_string().as_bytes());
    }
    fs::create_dir(tree.join("empty")).unwrap();
    home.script("run", "echo run");
    fs::rename(home.path("run"), tree.join("run")).unwrap();
    tree
}

#[test]
fn whoever_has_the_link_fetches_and_nobody_becomes_a_peer() {
    let sharing = Sharing::new();
    let content = sample(9 * MIB);
    let (file, small) = (sharing.alice.file("large.bin", &content), sharing.alice.file("small", "small"));
    let link = sharing.share(&[&file, &small]);
    assert!(link.starts_with("egoat:get+") && !link.contains('\n'), "{link}");
    for number in 0..2 {
        let bob = Getter::new("bob");
        let (paths, said) = bob.get(&[&link]);
        let paths: Vec<&str> = paths.lines().collect();
        assert_eq!(paths, ["large.bin", "small"].map(|name| bob.into.join(name).display().to_string()));
        assert!(bob.has("large.bin", &content) && bob.has("small", b"small"));
        let fingerprint = sharing.alice.fingerprint();
        assert!(said.contains(&format!("the sharer (fingerprint {fingerprint}) offers")), "{number}: {said}");
        assert!(said.contains("    large.bin (9.0 MiB)\n    small (5 B)\n"), "{said}");
        bob.knows_nobody();
    }
    // The same once more gets other names.
    let bob = Getter::new("bob");
    bob.get(&[&link]);
    bob.get(&[&link]);
    assert_eq!(landed_in(&bob.into), ["large (1).bin", "large.bin", "small", "small (1)"]);
    bob.get(&["--overwrite", &link]);
    assert_eq!(landed_in(&bob.into).len(), 4);
    assert!(names_in(&bob.home.path("partial")).is_empty());
    knows_nobody(&sharing.alice);
    let Sharing { mut node, .. } = sharing;
    node.wait_for("sent large.bin and 1 more (9.0 MiB) to getter-");
}

/// One by name, two by the link.
#[test]
fn three_fetch_a_tree_of_10000_files_at_once() {
    let sharing = Sharing::new();
    let tree = many_files(&sharing.alice, 10_000);
    let (path, carol) = (tree.to_str().unwrap(), Getter::new("carol"));
    pair(&sharing.alice, &carol.home);
    let (link, id) = (sharing.share(&[path]), sharing.share(&["--to", "carol", path]));
    let strangers = [Getter::new("bob"), Getter::new("dave")];
    let told = carol.home.run(&["get", "alice"]);
    assert!(told.starts_with(&format!("{id} tree (1010")), "{told}");
    let mut getting: Vec<Process> = strangers.iter().map(|bob| bob.start(&[&link])).collect();
    getting.push(carol.start(&["alice", "tree"]));
    for mut one in getting {
        let (code, _, said) = one.end();
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(all_in(&carol.into.join("tree")), as_received(&tree));
    for bob in &strangers {
        let mut expected = as_received(&tree);
        // Nothing of somebody who is nobody's peer can be run.
        expected.get_mut(Path::new("run")).unwrap().mode = 0o100600;
        assert_eq!(all_in(&bob.into.join("tree")), expected);
        bob.knows_nobody();
    }
    assert_eq!(sharing.alice.run(&["--json", "peers"]).lines().count(), 1);
    assert_eq!(sharing.alice.run(&["peers", "requests"]), "");
    // Peers have it in their logs, on both sides.
    for home in [&sharing.alice, &carol.home] {
        let log = home.run(&["log"]);
        assert!(log.lines().count() == 1 && log.contains("tree"), "{log}");
    }
}

#[test]
fn a_getter_that_is_killed_goes_on_from_what_it_has() {
    let sharing = Sharing::new();
    let content = sample(12 * MIB);
    let file = sharing.alice.file("large.bin", &content);
    let proxy = Proxy::before(&sharing.node.addr);
    let carol = Getter::new("carol");
    pair(&sharing.alice, &carol.home);
    let peers = fs::read_to_string(carol.home.path("peers")).unwrap();
    let by_proxy = peers.replace(&sharing.node.addr, &proxy.addr);
    fs::write(carol.home.path("peers"), by_proxy).unwrap();
    sharing.share(&["--to", "carol", "--once", &file]);
    let link = sharing.share(&["--once", "--addr", &proxy.addr, &file]);
    for (getter, args) in [(Getter::new("bob"), vec![link.as_str()]), (carol, vec!["alice", "large.bin"])] {
        // The list comes over a connection of its own.
        proxy.plan(|| Plan::cut(Way::ToDialler, 3 << 20, How::Hang));
        let mut first = getter.start(&args);
        poll_until("chunks to be written", || (getter.chunks() >= 4).then_some(()));
        first.kill9();
        proxy.cut_and_plan(0, Plan::default());
        let before = proxy.connections().len();
        let (_, said) = poll_until("the node to see that it has gone", || {
            let mut again = getter.start(&args);
            let (code, out, said) = again.end();
            assert!(
                code == Some(0) || said.contains("sends nothing") || said.contains("cannot reach"),
                "{said}"
            );
            (code == Some(0)).then_some((out, said))
        });
        assert!(getter.has("large.bin", &content), "{said}");
        let wire: u64 = proxy.connections()[before..].iter().map(|one| one.passed()[1]).sum();
        assert!(wire < (12 << 20) - 3 * CHUNK as u64, "{wire} bytes");
        assert!(names_in(&getter.home.path("partial")).is_empty() && staged_in(&getter.into).is_empty());
    }
    assert_eq!(sharing.listed(), "", "each was meant for one");
}

#[test]
fn a_connection_that_is_lost_is_an_error_that_says_how_to_go_on() {
    let sharing = Sharing::new();
    let proxy = Proxy::before(&sharing.node.addr);
    let file = sharing.alice.file("large.bin", sample(6 * MIB));
    let (link, bob) = (sharing.share(&["--addr", &proxy.addr, &file]), Getter::new("bob"));
    proxy.plan(|| Plan::cut(Way::ToDialler, 2 << 20, How::Cut));
    let said = bob.fails(&["--wait", "0s", &link], 69);
    assert!(said.contains("the same command goes on from it"), "{said}");
    let listed = bob.home.run(&["partial"]);
    assert!(listed.contains("large.bin from ") && listed.contains("of 6.0 MiB"), "{listed}");
    proxy.plan(Plan::default);
    bob.get(&[&link]);
    assert_eq!(bob.home.run(&["partial"]), "");
}

#[test]
fn a_connection_that_is_lost_is_made_again_and_nobody_is_asked_twice() {
    let sharing = Sharing::new();
    let proxy = Proxy::before(&sharing.node.addr);
    let content = sample(6 * MIB);
    let file = sharing.alice.file("large.bin", &content);
    let (link, bob) = (sharing.share(&["--once", "--addr", &proxy.addr, &file]), Getter::new("bob"));
    proxy.plan(|| Plan::cut(Way::ToDialler, 2 << 20, How::Cut));
    let (paths, said) = bob.get(&[&link]);
    assert_eq!(paths, format!("{}\n", bob.into.join("large.bin").display()));
    assert!(bob.has("large.bin", &content));
    assert_eq!(said.matches(" offers ").count(), 1, "{said}");
    assert!(said.contains("; trying again\n"), "{said}");
    assert_eq!(sharing.listed(), "", "it was meant for one");
}

/// What is shared goes to whoever dials, and in no other way.
#[test]
fn of_a_peer_that_only_dials_in_nothing_can_be_fetched_and_the_error_says_what_to_do() {
    let (alice, bob) = (Getter::new("alice"), Home::new_in(&fast_dir(), "bob"));
    let mut node = alice.home.serve();
    alice.home.run(&["peers", "add", "bob", &bob.key()]);
    bob.run(&["peers", "add", "alice", &alice.home.key(), &node.addr]);
    bob.run(&["share", "--to", "alice", &bob.file("small", "small")]);
    let ask = "ask them to `egoat send` it, or say where they can be dialled: `egoat peers set bob address+=HOST:PORT`";
    for args in [&["bob"][..], &["bob", "small"]] {
        let said = alice.fails(args, 69);
        let why =
            "cannot reach bob: no address of it is known, and what it shares is fetched by dialling it\n";
        assert!(said.contains(why) && said.contains(&format!("hint: {ask}")), "{said}");
    }
    let bob_node = bob.serve();
    node.wait_for("connected with bob");
    let connected = format!("hint: bob has dialled the node here, and not the other way round; {ask}");
    let said = alice.fails(&["bob"], 69);
    assert!(said.contains(&connected), "{said}");
    // Where nobody listens.
    alice.home.run(&["peers", "set", "bob", "address+=127.0.0.2:1"]);
    let said = alice.fails(&["bob", "small"], 69);
    assert!(said.contains("127.0.0.2:1: ") && said.contains(&connected), "{said}");
    alice.home.run(&["peers", "set", "bob", &format!("address+={}", bob_node.addr)]);
    alice.get(&["bob", "small"]);
    assert!(alice.has("small", b"small"));
}

/// In the middle of a transfer to a directory, by a link and by name, and of one to a pipe.
#[test]
fn a_sharer_that_is_killed_and_started_again_brings_the_rest() {
    let Sharing { alice, mut node } = Sharing::new();
    let content = sample(12 * MIB);
    let file = alice.file("large.bin", &content);
    let proxy = Proxy::before(&node.addr);
    let carol = Getter::new("carol");
    pair(&alice, &carol.home);
    let peers = fs::read_to_string(carol.home.path("peers")).unwrap();
    fs::write(carol.home.path("peers"), peers.replace(&node.addr, &proxy.addr)).unwrap();
    alice.run(&["share", "--to", "carol", &file]);
    let link = alice.run(&["share", "--addr", &proxy.addr, &file]).trim_end().to_owned();
    for (getter, args) in [
        (Getter::new("bob"), vec![link.as_str()]),
        (carol, vec!["alice", "large.bin"]),
        (Getter::new("dave"), vec!["--into", "-", &link]),
    ] {
        let out = getter.home.path("out");
        proxy.plan(|| Plan::cut(Way::ToDialler, 3 << 20, How::Hang));
        let output = File::create(&out).unwrap().into();
        let mut get = Process::start_between(getter.cmd(&args), Stdio::null(), output);
        let written = || fs::metadata(&out).unwrap().len();
        poll_until("some of it to be there", || (getter.chunks() >= 4 || written() >= 1 << 20).then_some(()));
        node.kill9();
        proxy.cut_and_plan(0, Plan::default());
        get.wait_to_say("; trying again");
        let before = proxy.connections().len();
        node = alice.serve_again_at(&node.addr);
        let (code, _, said) = get.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(getter.has("large.bin", &content) || fs::read(&out).unwrap() == content, "{args:?}: {said}");
        let wire: u64 = proxy.connections()[before..].iter().map(|one| one.passed()[1]).sum();
        assert!(wire < (12 << 20) - 3 * CHUNK as u64, "{args:?}: {wire} bytes");
    }
}

#[test]
fn a_sharer_that_is_away_is_waited_for_as_long_as_the_user_says() {
    let Sharing { alice, mut node } = Sharing::new();
    let carol = Getter::new("carol");
    pair(&alice, &carol.home);
    let file = alice.file("small", "small");
    alice.run(&["share", "--to", "carol", &file]);
    let link = alice.run(&["share", "--addr", &node.addr, &file]).trim_end().to_owned();
    node.kill9();
    let said = carol.fails(&[&link], 69);
    assert!(!said.contains("trying again"), "{said}");
    // The same from the same to the same place would be for one of them.
    let bob = Getter::new("bob");
    let all = [(&bob, vec![link.as_str()]), (&carol, vec!["alice", "small"]), (&carol, vec!["alice"])];
    let getters = all.map(|(getter, args)| {
        let get = getter.start(&[&["--wait", "30s"], &args[..]].concat());
        get.wait_to_say("; trying again");
        get
    });
    let _node = alice.serve_again_at(&node.addr);
    for mut get in getters {
        let (code, _, said) = get.end();
        assert_eq!(code, Some(0), "{said}");
    }
    assert!(bob.has("small", b"small") && carol.has("small", b"small"));
}

#[test]
fn what_has_changed_is_not_sent() {
    let sharing = Sharing::new();
    let (bob, content) = (Getter::new("bob"), sample(48 * MIB));
    let file = sharing.alice.file("large.bin", &content);
    let link = sharing.share(&[&file]);
    // In the middle: more of it is on its way than the sockets hold.
    let mut get = bob.start(&[&link]);
    poll_until("chunks to be written", || (bob.chunks() >= 1).then_some(()));
    get.signal("STOP");
    fs::write(&file, &content[1..]).unwrap();
    get.signal("CONT");
    let (code, _, said) = get.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a file has changed there, or cannot be read"), "{said}");
    assert!(landed_in(&bob.into).is_empty());
    // Before anybody comes.
    let said = bob.fails(&[&link], 1);
    assert!(said.contains("a file has changed there"), "{said}");
    assert!(sharing.alice.run(&["share", "list"]).contains(" (changed) "));
    assert_eq!(json_text(&sharing.listed(), "state"), "changed");
    // As it was, as far as anybody can see.
    let (tree, link) = (sharing.alice.path("tree"), |path: &Path| sharing.share(&[path.to_str().unwrap()]));
    put(&tree.join("a"), b"a");
    let link = link(&tree);
    bob.get(&[&link]);
    put(&tree.join("b"), b"b");
    assert!(bob.fails(&[&link], 1).contains("a file has changed there"));
    fs::remove_dir_all(&tree).unwrap();
    assert!(bob.fails(&[&link], 1).contains("a file has changed there"));
    let Sharing { mut node, .. } = sharing;
    let told = node.kill9();
    assert!(told.contains("could not fetch tree: ") && told.contains("large.bin: its size was"), "{told}");
}

#[test]
fn a_link_that_is_no_good_says_why() {
    let sharing = Sharing::new();
    let (file, bob) = (sharing.alice.file("file", "content"), Getter::new("bob"));
    let refused = |link: &str, why: &str| {
        let said = bob.fails(&[link], 77);
        assert!(said.contains(why), "{said}");
        assert!(said.contains("hint: ask for a new link, of `egoat share`\n"), "{said}");
    };
    let once = sharing.share(&["--once", &file]);
    Getter::new("carol").get(&[&once]);
    refused(&once, "what this link shares was fetched already, and it was meant for one");

    let ended = "this share has ended: its time is over, or it was stopped";
    let short = sharing.share(&["--for", "1s", &file]);
    poll_until("its end", || (!sharing.listed().contains("\"once\":false")).then_some(()));
    refused(&short, ended);

    let stopped = sharing.share(&[&file]);
    let id = json_text(&sharing.listed(), "id");
    assert_eq!(sharing.alice.run(&["share", "stop", &id[..6]]), format!("stopped {id}\n"));
    refused(&stopped, ended);
    assert!(sharing.alice.fails(&["share", "stop", &id], 1).contains(" has ended: it was stopped at 20"));
    assert_eq!(sharing.alice.ends_with(&["-q", "share", "list"], b"", 0), (String::new(), String::new()));

    let (link, said) = sharing.alice.ends_with(&["share", "--for", "1h", &file], b"", 0);
    let id = json_text(&sharing.listed(), "id");
    assert!(said.contains(&format!("for 1 h, or until `egoat share stop {id}`\n")), "{said}");
    assert_eq!(sharing.alice.run(&["share", "stop", link.trim()]), format!("stopped {id}\n"));
    assert!(Getter::new("dave").home.fails(&["share", "stop", link.trim()], 1).contains("of another node"));

    let good = sharing.share(&[&file]);
    let dot = good.find('.').unwrap() + 1;
    let other = if good[dot..].starts_with('a') { 'b' } else { 'a' };
    let altered = format!("{}{other}{}", &good[..dot], &good[dot + 1..]);
    refused(&altered, "it does not know this share: it ended long ago, or the link was altered");

    // The commands name each other.
    let invite = sharing.alice.run(&["invite"]);
    for link in [invite.trim_end(), &good.replace("get+", "")] {
        let said = bob.fails(&[link], 2);
        assert!(
            said.contains("is of a node, and not of files") && said.contains("`egoat join LINK`"),
            "{said}"
        );
    }
    for command in [&["join", &good][..], &["send", &good, &file], &["say", &good, "hello"]] {
        let said = bob.home.fails(command, 2);
        assert!(
            said.contains("for files that somebody shares") && said.contains("`egoat get LINK`"),
            "{said}"
        );
    }
    // The token of a share is no invite, whatever its link looks like.
    let said = bob.home.fails(&["join", &good.replace("get+", "")], 77);
    assert!(said.contains("refused"), "{said}");
    assert!(sharing.alice.fails(&["get", &good], 2).contains("this node's own"));
    bob.get(&[&good]);
    assert!(bob.has("file", b"content"));
    // From stdin, so that it stands on no command line.
    common::finish(bob.cmd(&["-"]), format!("{good}\n").as_bytes(), 0);
    assert!(bob.has("file (1)", b"content"));
    bob.knows_nobody();
    assert_eq!(sharing.alice.run(&["peers"]) + &sharing.alice.run(&["peers", "requests"]), "");
}

#[test]
fn a_file_goes_into_a_pipe() {
    let sharing = Sharing::new();
    let (content, bob) = (sample(9 * MIB), Getter::new("bob"));
    let file = sharing.alice.file("large.bin", &content);
    let mut get = bob.cmd(&["--into", "-", &sharing.share(&[&file])]);
    let out = get.output().unwrap();
    assert!(out.status.success() && out.stdout == content, "{}", String::from_utf8_lossy(&out.stderr));
    let empty = sharing.alice.file("empty", "");
    assert_eq!(bob.get(&["--into", "-", &sharing.share(&[&empty])]).0, "");
    // A name with a dot writes to no directory.
    let dotted = sharing.alice.file(".dotted", "dotted");
    assert_eq!(bob.get(&["--into", "-", &sharing.share(&[&dotted])]).0, "dotted\n");
    let link = sharing.share(&[&file, &empty]);
    let out = bob.cmd(&["--into", "-", &link]).output().unwrap();
    assert!(!out.status.success() && out.stdout.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    // Who reads it goes away.
    let link = sharing.share(&[&file]);
    let line = format!("{EGOAT} --home {} get --into - {link} | head -c 10", bob.home.path("").display());
    let out = Command::new("bash").args(["-o", "pipefail", "-c", &line]).output().unwrap();
    assert!(!out.status.success() && out.stdout == content[..10]);
    assert!(names_in(&bob.into).is_empty() && names_in(&bob.home.path("partial")).is_empty());
}

/// The sender starts, one takes it, and nothing is left behind.
#[test]
fn one_fetches_from_a_command_without_a_node() {
    let (alice, bob) = (Home::new_in(&fast_dir(), "alice"), Getter::new("bob"));
    let content = sample(9 * MIB);
    let file = alice.file("large.bin", &content);
    let mut before = names_in(&alice.path(""));
    let start = |args: &[&str]| {
        let args = [&["share", "--once", "--listen", "127.0.0.1:0"], args, &[&file]].concat();
        let mut share = Process::start(alice.cmd(&args));
        let link = share.wait_for("egoat:get+");
        share.wait_to_say("waiting for one who fetches large.bin with `egoat get LINK`");
        (share, link)
    };
    let (mut share, link) = start(&[]);
    bob.get(&[&link]);
    assert!(bob.has("large.bin", &content));
    let (code, _, said) = share.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("egoat: sent large.bin (9.0 MiB) to getter-"), "{said}");
    bob.knows_nobody();
    knows_nobody(&alice);
    // A lock is empty, and there as long as the home.
    before.push("records.lock".into());
    assert!(
        names_in(&alice.path("")).iter().all(|name| before.contains(name)),
        "{:?}",
        names_in(&alice.path(""))
    );
    assert!(
        bob.fails(&[&link], 69)
            .contains("hint: what `egoat share --once` shares is over once somebody has it")
    );

    // While one fetches, nobody else does, and whoever began goes on.
    let (mut share, link) = start(&["--for", "1s"]);
    let mut get = bob.start(&[&link]);
    poll_until("chunks to be written", || (bob.chunks() >= 1).then_some(()));
    get.signal("STOP");
    if poll_for_few(&bob) {
        let said = Getter::new("carol").fails(&[&link], 69);
        assert!(
            said.contains("the sharer refuses for now: somebody else fetches this, or too many do"),
            "{said}"
        );
    }
    get.signal("CONT");
    assert_eq!(get.end().0, Some(0));
    assert_eq!(share.end().0, Some(0), "its time is over for nobody who has begun");
    let (mut share, _) = start(&["--for", "1ms"]);
    let (code, _, said) = share.end();
    assert!(code == Some(69) && said.contains("nobody fetched it in 1 ms"), "{said}");
}

/// Whether it has not all of the file yet, which on a slow machine may be otherwise.
fn poll_for_few(bob: &Getter) -> bool {
    landed_in(&bob.into).len() < 2 && bob.chunks() < 38
}

/// The second comes while the first fetches, and after it.
#[test]
fn only_one_fetches_what_is_meant_for_one() {
    let sharing = Sharing::new();
    let proxy = Proxy::before(&sharing.node.addr);
    let file = sharing.alice.file("large.bin", sample(6 * MIB));
    let link = sharing.share(&["--once", "--addr", &proxy.addr, &file]);
    let (bob, carol) = (Getter::new("bob"), Getter::new("carol"));
    proxy.plan(|| Plan::cut(Way::ToDialler, 2 << 20, How::Hang));
    let mut get = bob.start(&[&link]);
    poll_until("chunks to be written", || (bob.chunks() >= 2).then_some(()));
    let said = carol.fails(&[&link], 69);
    assert!(
        said.contains("the sharer refuses for now: somebody else fetches this, or too many do"),
        "{said}"
    );
    proxy.cut_and_plan(0, Plan::default());
    let (code, _, said) = get.end();
    assert_eq!(code, Some(0), "{said}");
    let said = carol.fails(&[&link], 77);
    assert!(said.contains("it was meant for one"), "{said}");
    carol.knows_nobody();
    // It is over for the one who has it as well, and alice can see what became of it.
    assert!(bob.fails(&[&link], 77).contains("was fetched already, and it was meant for one"));
    let (listed, said) = sharing.alice.ends_with(&["share", "list"], b"", 0);
    let id = said.split_whitespace().nth(2).unwrap();
    let told = format!("share {id} of large.bin has ended: somebody with its link fetched it at 20");
    assert!(listed.is_empty() && said.contains(&told), "{listed}{said}");
    assert!(sharing.alice.fails(&["share", "stop", &id[..6]], 1).contains(&told));

    pair(&sharing.alice, &carol.home);
    let id = sharing.share(&["--to", "carol", "--once", &file]);
    carol.get(&["alice", "large.bin"]);
    assert!(carol.fails(&["alice", &id], 1).contains("alice shares nothing called"));
    let said = sharing.alice.fails(&["share", "stop", &id], 1);
    assert!(said.contains("large.bin has ended: carol fetched it at 20"), "{said}");
}

#[test]
fn a_share_for_peers_is_for_these_alone() {
    let sharing = Sharing::new();
    let (bob, carol) = (Getter::new("bob"), Getter::new("carol"));
    pair(&sharing.alice, &bob.home);
    pair(&sharing.alice, &carol.home);
    let (file, other) = (sharing.alice.file("file", "content"), sharing.alice.file("other", "other"));
    let id = sharing.share(&["--to", "bob", "--for", "1h", &file]);
    sharing.share(&["--to", "bob", "--to", "carol", &file]);
    sharing.share(&["--to", "carol", &other]);
    let link = sharing.share(&[&other]);
    assert_eq!(bob.home.run(&["get", "alice"]).lines().count(), 2, "what has a link is not told");
    let told = carol.home.run(&["--json", "get", "alice"]);
    let told: Vec<&str> = told.lines().collect();
    assert_eq!((json_text(told[0], "name"), json_number(told[0], "bytes")), ("file".into(), 7));
    assert_eq!((json_text(told[1], "name"), json_number(told[1], "entries")), ("other".into(), 1));
    let said = bob.fails(&["alice", "file"], 2);
    assert!(said.contains("alice shares several things called file; name the one by its id"), "{said}");
    bob.get(&["alice", &id[..8]]);
    assert!(bob.has("file", b"content"));
    carol.get(&["alice", "file", "other"]);
    assert_eq!(landed_in(&carol.into), ["file", "other"]);
    assert!(bob.fails(&["alice", "other"], 1).contains("alice shares nothing called other with you"));
    bob.get(&[&link]);
    // A peer who is blocked, or no peer any more, gets nothing by name.
    sharing.alice.run(&["peers", "set", "carol", "blocked"]);
    assert!(carol.fails(&["alice"], 77).contains("it has blocked this node"));
    sharing.alice.run(&["peers", "remove", "bob"]);
    assert!(bob.fails(&["alice"], 77).contains("does not know this node"));
    let list = sharing.alice.run(&["share", "list"]);
    assert!(list.contains(&format!("for {}, until 20", bob.home.fingerprint())), "{list}");
    assert!(list.contains(", carol\n") && list.contains(" for whoever has the link\n"), "{list}");
    assert!(!sharing.alice.fails(&["share", "--to", "nobody", &file], 2).is_empty());
}

#[test]
fn a_share_outlives_its_node() {
    let alice = Home::new_in(&fast_dir(), "alice");
    let (file, bob) = (alice.file("file", "content"), Getter::new("bob"));
    // Nobody serves it yet.
    let (link, said) = alice.ends_with(&["share", "--addr", "127.0.0.1:9", &file], b"", 0);
    assert!(said.contains("no node runs here: start `egoat serve`"), "{said}");
    let mut node = alice.serve();
    let at_node = |node: &Node| link.trim_end().replace("127.0.0.1:9", &node.addr);
    bob.get(&[&at_node(&node)]);
    node.kill9();
    let said = bob.fails(&[&at_node(&node)], 69);
    assert!(said.contains("cannot reach the sharer"), "{said}");
    let node = alice.serve();
    bob.get(&[&at_node(&node)]);
    assert_eq!(landed_in(&bob.into), ["file", "file (1)"]);
    // The log is sealed, the token with it.
    let token = link.split(['.', '@']).nth(1).unwrap().to_owned();
    let log = fs::read(alice.path("shares.log")).unwrap();
    for secret in [token.as_bytes(), b"content", file.as_bytes()] {
        assert!(!log.windows(secret.len()).any(|bytes| bytes == secret));
    }
}

#[test]
fn what_is_stopped_while_it_is_fetched_ends() {
    let sharing = Sharing::new();
    // More than the sockets hold.
    let file = sharing.alice.file("large.bin", sample(48 * MIB));
    let (link, bob) = (sharing.share(&[&file]), Getter::new("bob"));
    let mut get = bob.start(&[&link]);
    poll_until("chunks to be written", || (bob.chunks() >= 1).then_some(()));
    get.signal("STOP");
    let moves = || sharing.alice.run(&["--json", "status"]).contains("\"event\":\"transfer\"");
    poll_until("the transfer to be seen", || moves().then_some(()));
    sharing.alice.run(&["share", "stop", &json_text(&sharing.listed(), "id")]);
    poll_until("the transfer to end", || (!moves()).then_some(()));
    get.signal("CONT");
    let (code, _, said) = get.end();
    // It has heard so, or has come again.
    assert!(code == Some(77), "{said}");
    assert!(said.contains("the sharer stopped sending") || said.contains("this share has ended"), "{said}");
    assert!(bob.fails(&[&link], 77).contains("this share has ended"));
}

#[test]
fn the_rules_are_those_of_receive() {
    let sharing = Sharing::new();
    let bob = Getter::new("bob");
    let (dotted, plain) = (sharing.alice.file(".profile", "evil"), sharing.alice.file("plain", "plain"));
    let link = sharing.share(&[&plain, &dotted]);
    let said = bob.fails(&[&link], 1);
    assert!(said.contains("which --allow-dot takes") && said.contains(".profile: a file"), "{said}");
    assert!(landed_in(&bob.into).is_empty());
    bob.get(&["--allow-dot", &link]);
    assert_eq!(landed_in(&bob.into), [".profile", "plain"]);
    let said = bob.fails(&["--keep-free", "1000000T", "--allow-dot", &link], 1);
    assert!(said.contains("for which there is no room"), "{said}");
    let (_, said) = bob.get(&["--into", "../elsewhere", "--allow-dot", &link]);
    assert!(said.contains("names at the top begin with a dot") || said.contains(".profile"), "{said}");
    assert_eq!(names_in(&bob.home.path("elsewhere")), [".profile", "plain"]);
    // Not into the home with the identity, whatever it is called.
    let into = bob.home.path("").join("history");
    bob.fails(&["--into", into.to_str().unwrap(), &sharing.share(&[&plain])], 1);
}

/// On a terminal it is asked about, and nothing lands before.
#[test]
fn on_a_terminal_it_is_asked_about() {
    let sharing = Sharing::new();
    let Some(terminal) = Terminal::open(120) else { return };
    let (bob, file) = (Getter::new("bob"), sharing.alice.file("file", "content"));
    let (home, into) = (bob.home.path("").display().to_string(), bob.into.display().to_string());
    let line = format!("{EGOAT} --home {home} get --into {into} {}", sharing.share(&["--once", &file]));
    terminal.type_line(&line);
    terminal.wait_for("file (7 B)");
    terminal.wait_for("take this? [y/N]");
    assert!(names_in(&bob.into).is_empty());
    terminal.type_line("n");
    terminal.wait_for("you said no");
    assert!(names_in(&bob.into).is_empty() && !sharing.listed().is_empty());
    terminal.type_line(&format!("clear; {line}"));
    terminal.wait_for("take this? [y/N]");
    terminal.type_line("y");
    poll_until("it to be there", || bob.has("file", b"content").then_some(()));
    poll_until("its end", || sharing.listed().is_empty().then_some(()));
}

/// A mistake shares nothing.
#[test]
fn what_cannot_be_shared_is_an_error() {
    let sharing = Sharing::new();
    let fails = |args: &[&str], code, why: &str| {
        let said = sharing.alice.fails(&[&["share"], args].concat(), code);
        assert!(said.contains(why), "{said}");
    };
    let file = sharing.alice.file("file", "content");
    fails(&[], 2, "which files?");
    fails(&["/nowhere"], 1, "no such file");
    fails(&["/dev/null"], 1, "neither a regular file");
    fails(&[sharing.alice.path("identity").to_str().unwrap()], 1, "");
    fails(&["--for", "0s", &file], 2, "--for must be greater than zero");
    fails(&["--to", "alice", &file], 2, "no peer");
    fails(&["--listen", "1", &file], 2, "--listen is for --once where no node runs");
    fails(&[&file, "list"], 2, "unrecognized argument");
    fails(&["stop"], 2, "which one?");
    fails(&["stop", ""], 2, "which one?");
    fails(&["stop", "nothing"], 1, "no share nothing is there");
    assert_eq!(sharing.listed(), "");
    // A home is not made for a peer that is in none.
    let empty = Home::empty_in(&fast_dir());
    empty.fails(&["get", "bob"], 2);
    assert!(names_in(&empty.path("")).is_empty());
}

/// Who comes is told apart from others by no more than a key that is used for this alone.
#[test]
fn a_getter_by_a_link_is_known_nowhere_else() {
    let sharing = Sharing::new();
    let (bob, file) = (Getter::new("bob"), sharing.alice.file("file", "content"));
    pair(&sharing.alice, &bob.home);
    let seen = |line: String| line.rsplit(' ').next().unwrap().to_owned();
    let Sharing { alice, mut node } = sharing;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let link = alice.run(&["share", &file]);
        for _ in 0..2 {
            bob.get(&[link.trim_end()]);
            keys.push(seen(node.wait_for("sent file (7 B) to getter-")));
        }
    }
    assert!(keys[0] == keys[1] && keys[2] == keys[3] && keys[0] != keys[2], "{keys:?}");
    assert!(!keys.iter().any(|key| key.ends_with(&bob.home.fingerprint()[..4])));
    assert_eq!(alice.run(&["log"]), "");
    // A clock far ahead has no part in it: a time that is over is over.
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    common::files::set_time(Path::new(&file), old);
    assert!(alice.run(&["share", "list"]).contains("(changed)"));
}
