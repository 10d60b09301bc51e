//! A peer that is paired and means harm sends files to a real node and to a one-off receiver. Each case is one at which
//! another program has failed. Nothing may be outside the peer's own folder afterwards, what is refused must not have been
//! shown, and others are served as before. It leaves out what a harmful receiver does: see `receivers`.

use crate::common;

use common::files::{CHUNK, MIB, PIECE, landed_in, names_in, sample, staged_in};
use common::rogue::{Entry, Line, Rogue, dir, file};
use common::route::fast_dir;
use common::{Home, PATIENCE, Process, Random, by};
use egoat::wire::link::Link;
use egoat::wire::message::{Declined, Failure, Kind, Message, UNKNOWN};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a home may have.
const HOME: [&str; 12] = [
    "history",
    "identity",
    "invites",
    "name",
    "node.lock",
    "outbox",
    "partial",
    "peers",
    "presence",
    "records.lock",
    "requests",
    "starting.lock",
];

/// Bob's machine: his node, what lies around it, a peer who means harm and one who does not.
struct Field {
    sandbox: tempfile::TempDir,
    bob: Home,
    node: Process,
    addr: String,
    key: String,
    mallory: Rogue,
    carol: Home,
    /// Files that Carol has sent.
    sent: usize,
    before: BTreeMap<PathBuf, String>,
}

impl Field {
    fn new() -> Field {
        Field::with(&[])
    }

    fn with(args: &[&str]) -> Field {
        Field::by(&[], args)
    }

    /// With a node that is run by another command, see [`by`].
    fn by(words: &[&str], args: &[&str]) -> Field {
        let sandbox = tempfile::tempdir_in(fast_dir()).unwrap();
        let at = |name: &str| sandbox.path().join(name);
        for dir in ["downloads", "elsewhere/sub", ".ssh"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        for file in [".ssh/authorized_keys", ".bashrc", "elsewhere/sub/file", "downloads/mine"] {
            fs::write(at(file), "mine").unwrap();
        }
        let (bob, carol, mallory) = (Home::new_in(sandbox.path(), "bob"), Home::new("carol"), Rogue::new(13));
        bob.run(&["peers", "add", "mallory", &mallory.key()]);
        bob.run(&["peers", "add", "carol", &carol.key()]);
        let downloads = at("downloads");
        let usual = ["serve", "--listen", "127.0.0.1:0", "--downloads", downloads.to_str().unwrap()];
        let mut command = by(words, &bob.cmd(&[&usual, args].concat()));
        command.current_dir(at("elsewhere"));
        let mut node = Process::start(command);
        let addr = node.wait_for("listening on ")["listening on ".len()..].to_owned();
        let key = bob.key();
        carol.run(&["peers", "add", "bob", &key, &addr]);
        let mut field =
            Field { sandbox, bob, node, addr, key, mallory, carol, sent: 0, before: BTreeMap::new() };
        field.before = field.outside();
        field
    }

    fn at(&self, name: &str) -> PathBuf {
        self.sandbox.path().join(name)
    }

    /// Where Mallory's files land.
    fn landing(&self) -> PathBuf {
        self.at("downloads/mallory")
    }

    /// A session of Mallory in which she may offer files.
    fn files(&self) -> Line {
        self.mallory.session(&self.addr, &self.key, Kind::Files)
    }

    /// An offer that must be declined as a whole.
    fn refuses(&self, what: &str, entries: &[Entry]) {
        let mut line = self.files();
        line.offer(entries);
        self.declines(what, line);
    }

    fn declines(&self, what: &str, mut line: Line) {
        let decline = Message::Decline(Declined::Manifest).kind();
        let (kind, body) = line.read().unwrap_or_else(|| panic!("{what}: closed without a word"));
        assert_eq!((kind, &body[..]), (decline, &[Declined::Manifest as u8][..]), "{what}");
        assert!(line.read().is_none(), "{what}");
        assert!(!self.landing().exists(), "{what}");
        assert!(names_in(&self.bob.path("partial")).is_empty(), "{what}");
    }

    /// The node closes in the middle of the transfer, and nothing comes to its name.
    fn breaks_off(&self, what: &str, mut line: Line) {
        let said = line.expect_end();
        assert!(!said.contains(&Message::Stored.kind()), "{what}");
        assert!(landed_in(&self.landing()).is_empty(), "{what}: {:?}", landed_in(&self.landing()));
    }

    /// Everything that is not of a peer's folder and not the node's own business.
    fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let left_out =
            [self.at("downloads/mallory"), self.at("downloads/carol"), self.bob.around().to_owned()];
        collect(self.sandbox.path(), &left_out.map(|path| path.components().collect()), &mut found);
        let home = names_in(&self.bob.path(""));
        assert!(home.iter().all(|name| HOME.contains(&name.as_str())), "{home:?}");
        found
    }

    /// Nothing is outside the peers' folders that was not there before, what was there is as it was, and Carol can send.
    fn is_unharmed(&mut self, what: &str) {
        let after = self.outside();
        assert!(after == self.before, "{what}: {after:#?} instead of {:#?}", self.before);
        self.sent += 1;
        let path = self.carol.file(&format!("{}.txt", self.sent), what);
        self.carol.run(&["send", "bob", &path]);
        let landed = self.at("downloads/carol").join(format!("{}.txt", self.sent));
        assert_eq!(fs::read_to_string(landed).unwrap(), what);
    }

    /// Ends the node; gives all that it has said to its user.
    fn said(mut self) -> String {
        assert!(self.node.is_running());
        let mut said = self.node.kill9();
        while let Some(line) = self.node.next_line() {
            said += &(line + "\n");
        }
        let strange = |c: &char| c.is_control() && *c != '\n';
        assert_eq!(said.chars().find(strange), None, "{said:?}");
        said
    }
}

/// Each path below `dir` with what it is; of a directory that others may write into, not its time.
fn collect(dir: &Path, left_out: &[PathBuf], found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, data) = (entry.path(), entry.path().symlink_metadata().unwrap());
        if left_out.contains(&path) {
            continue;
        }
        let content = if data.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let time = if path.ends_with("downloads") { 0 } else { data.mtime_nsec() };
        found.insert(path.clone(), format!("{:o} {time} {content:?}", data.mode()));
        if data.is_dir() {
            collect(&path, left_out, found);
        }
    }
}

/// Names that must not be taken, by the failure that they stand for.
fn names() -> Vec<(&'static str, Vec<String>)> {
    let case = |failure, names: &[&str]| (failure, names.iter().map(|name| (*name).to_owned()).collect());
    vec![
        // A server could have the client's own directory changed, by a name that means it.
        case(
            "scp CVE-2018-20685: a name that is empty or a dot",
            &["", ".", "./", "a/.", "./a", "a//b", "a/", "/"],
        ),
        // It could send what nobody had asked for, to where programs look for it.
        case(
            "scp CVE-2019-6111: a file that was not asked for",
            &["../.bashrc", "../../.ssh/authorized_keys", "/etc/cron.d/evil"],
        ),
        case(
            "scp CVE-2019-6109 and -6110: escape sequences in what is shown",
            &["evil\x1b[2K\rgood", "\x1b]0;evil\x07", "evil\n", "evil\t", "evil\u{7f}", "evil\u{9b}31m"],
        ),
        case(
            "croc CVE-2023-43616: a path that leads out of the folder",
            &["..", "../x", "a/../../x", "a/b/../../../x", "../../../../../../../../tmp/x", "a/..", "//x"],
        ),
        case(
            "croc CVE-2023-43619: files where programs look for them",
            &["../../.ssh/authorized_keys", "x/../../../.bashrc", "~/../.profile"],
        ),
        case(
            "croc CVE-2023-43620: a raw name on a terminal",
            &["evil\x1b[31m", "\x08\x08\x08evil", "\x1bcevil", "evil\0", "evil\u{202e}gpj.exe"],
        ),
        case(
            "magic-wormhole CVE-2026-32116: the sender says where the file goes",
            &["/tmp/x", "../../elsewhere/sub/file", "..\u{2215}x\u{2028}"],
        ),
        case(
            "magic-wormhole CVE-2026-42448: a directory is unpacked outside",
            &["dir/../../elsewhere/x", "dir/sub/../../../x", "dir/./x", "dir/sub//x"],
        ),
        case(
            "rsync CVE-2024-12087: a list that leads out step by step",
            &["sub/..", "sub/../..", "sub/../../elsewhere/sub/x", "./../x"],
        ),
        case(
            "the folder in which another transfer waits to be whole",
            &[".egoat-aaaaaaaaaaaaaaaaaaaaaaaaaa/files/x", ".egoat-x", ".EGOAT-x"],
        ),
        (
            "what no system stores",
            vec!["n".repeat(256), vec!["d".repeat(255); 5].join("/"), vec!["d"; 33].join("/")],
        ),
    ]
}

#[test]
fn one_bad_name_refuses_the_whole_manifest() {
    let mut field = Field::new();
    for (failure, names) in names() {
        for name in names {
            for evil in [file(&name, 4), dir(&name)] {
                let around = [dir("good"), file("good/before", 4), evil, file("after", 4)];
                field.refuses(&format!("{failure}: {name:?}"), &around);
            }
        }
        field.is_unharmed(failure);
    }
    for name in [b"\xff\xfe".as_slice(), b"\xc0\xae\xc0\xae/x", b"evil\x9b31m", b"\xed\xa0\x80"] {
        field.refuses("no UTF-8", &[file("before", 4), file(name, 4)]);
    }
    field.is_unharmed("no UTF-8");
    let said = field.said();
    let of_mallory: Vec<&str> = said.lines().filter(|line| line.contains("mallory")).collect();
    let is_told =
        |line: &&str| line.ends_with("1 name against the rules:") || line.ends_with("path in the manifest");
    assert!(of_mallory.iter().all(is_told) && of_mallory.len() > 100, "{said}");
}

#[test]
fn every_bad_name_is_told_and_no_more_than_fit_on_a_screen() {
    let field = Field::new();
    let few = [file("good", 4), file("../one", 4), file("two\x1b[2J", 4), file(".egoat-three", 4)];
    field.refuses("three of four", &few);
    let many: Vec<Entry> = (0..100_000).map(|n| file(format!("../{n}"), 0)).collect();
    field.refuses("a hundred thousand", &many);
    let long = format!("../{}", "\u{202e}".repeat(20_000));
    field.refuses("a long one", &[file(&long, 4)]);
    // The node prints in a thread of its own.
    field.node.wait_to_say("1 name against the rules:");
    let said = field.said();
    assert!(said.contains("3 names against the rules:\n    ../one: a part of the path is ..\n"), "{said}");
    for told in
        ["\n    two\u{FFFD}[2J: it contains a control character", "\n    .egoat-three: it begins with"]
    {
        assert!(said.contains(told), "{said}");
    }
    assert!(said.contains("100000 names against the rules:\n    ../0: "), "{said}");
    assert!(said.contains("\n    and 99980 more\n") && said.lines().count() < 40, "{said}");
    assert!(said.lines().all(|line| line.chars().count() < 300), "{said}");
}

/// Entries that cannot be beside each other, or that no entry can be.
fn contradictions() -> Vec<(&'static str, Vec<Entry>)> {
    let good = || file("good", 4);
    vec![
        ("the same twice", vec![good(), file("x", 4), file("x", 4)]),
        ("the same directory twice", vec![good(), dir("x"), dir("x")]),
        ("rsync CVE-2024-12087: a directory is replaced by something else", vec![dir("sub"), file("sub", 4)]),
        ("a file is a directory too", vec![file("sub", 4), file("sub/x", 4)]),
        ("a file is a directory too, far apart", vec![file("a/b/c", 4), good(), file("a/b", 4)]),
        ("rsync CVE-2024-12088: a link", vec![good(), Entry { kind: 2, ..file("link", 4) }]),
        ("a device", vec![good(), Entry { kind: 0xff, ..file("device", 0) }]),
        ("setuid", vec![good(), Entry { executable: 4, ..file("x", 4) }]),
        ("all bits of a mode", vec![good(), Entry { executable: 0xff, ..file("x", 4) }]),
        ("a directory with bytes", vec![good(), Entry { size: 4, ..dir("x") }]),
        ("an executable directory", vec![good(), Entry { executable: 1, ..dir("x") }]),
    ]
}

#[test]
fn entries_that_contradict_each_other_refuse_the_whole_manifest() {
    let mut field = Field::new();
    for (what, entries) in contradictions() {
        field.refuses(what, &entries);
        field.is_unharmed(what);
    }
}

#[test]
fn an_offer_that_does_not_add_up_is_refused() {
    let mut field = Field::new();
    let two = [file("a", 4), file("b", 4)];
    let offers: [(&str, u32, u64, &[Entry]); 9] = [
        ("no entries", 0, 0, &[]),
        ("one entry more than there may be", 100_001, 8, &two),
        ("as many as can be counted", u32::MAX, 8, &two),
        ("more entries than were said", 1, 8, &two),
        ("fewer bytes than the sizes", 2, 7, &two),
        ("more bytes than the sizes", 2, 9, &two),
        ("sizes that wrap around", 3, 2, &[file("a", u64::MAX), file("b", 1), file("c", 2)]),
        ("more than any disk holds", 1, 1 << 63, &[file("a", 1 << 63)]),
        ("a stream of two files", 2, UNKNOWN, &[file("a", 0), file("b", 0)]),
    ];
    for (what, count, bytes, entries) in offers {
        let mut line = field.files();
        line.offer_as([0; 16], count, bytes, entries);
        field.declines(what, line);
    }
    for (what, entry) in [
        ("a stream with a length", file("a", 1)),
        ("a stream that is a directory", dir("a")),
        ("a stream in a directory", file("a/b", 0)),
    ] {
        let mut line = field.files();
        line.offer_as([0; 16], 1, UNKNOWN, &[entry]);
        field.declines(what, line);
    }
    let entry = file("a", 4).encode();
    let bodies: [(&str, Vec<u8>); 4] = [
        ("no entry", Vec::new()),
        ("half an entry", entry[..entry.len() - 1].to_vec()),
        ("an entry and a half", [&entry[..], &entry[..5]].concat()),
        ("a path that is longer than the message", [&entry[..18], &[0xff, 0xff, b'a']].concat()),
    ];
    for (what, body) in bodies {
        let mut line = field.files();
        line.say(&Message::Offer { transfer: [0; 16], entries: 2, bytes: 4 });
        line.say(&Message::Manifest(&body));
        field.declines(what, line);
    }
    field.is_unharmed("offers that do not add up");
}

/// A few lines of a manifest can stand for far more directories than there may be entries.
#[test]
fn directories_that_are_not_listed_count_as_well() {
    let mut field = Field::new();
    let deep = |n: usize| file(format!("{n}{}/x", "/d".repeat(29)), 0);
    field.refuses("3 million directories", &(0..100_000).map(deep).collect::<Vec<_>>());
    field.refuses("one too many", &(0..3226).map(deep).collect::<Vec<_>>());
    field.is_unharmed("directories");
}

fn receiver(field: &Field, args: &[&str]) -> Command {
    let mut command = field.bob.cmd(&[&["receive", "--listen", "127.0.0.1:0"], args].concat());
    command.current_dir(field.at("elsewhere"));
    command
}

/// A one-off receiver with an invite, and Mallory who has used it.
fn receive(field: &Field, args: &[&str]) -> (Process, String) {
    receive_by(field, receiver(field, args))
}

fn receive_by(field: &Field, command: Command) -> (Process, String) {
    let mut receive = Process::start(command);
    let link: Link = receive.wait_for("egoat:").parse().unwrap();
    let addr = link.addresses[0].to_string();
    let mut line = field.mallory.try_dial(&addr, &field.key, Kind::Pair, link.token.as_ref()).unwrap();
    line.say(&Message::Profile { name: "mallory", port: 0, time: 0 });
    line.expect(&Message::Accept);
    line.read().unwrap();
    line.say(&Message::Bye);
    (receive, addr)
}

#[test]
fn a_one_off_receiver_refuses_as_well_and_says_why() {
    let field = Field::new();
    let into = field.at("into");
    let beside = |name: &String| vec![file("before", 4), file(name, 4), file("after", 4)];
    let bad_names = names()
        .into_iter()
        .flat_map(|(failure, names)| names.iter().map(|name| (failure, beside(name))).collect::<Vec<_>>());
    for (failure, entries) in bad_names.chain(contradictions()) {
        let (mut receive, addr) = receive(&field, &["--into", into.to_str().unwrap()]);
        let mut line = field.mallory.session(&addr, &field.key, Kind::Files);
        line.offer(&entries);
        line.expect(&Message::Decline(Declined::Manifest));
        drop(line);
        let (code, out, said) = receive.end();
        assert_eq!((code, out.as_str()), (Some(76), ""), "{failure}: {said}");
        assert!(said.contains("mallory does not speak this protocol: "), "{said}");
        let strange = |c: &char| c.is_control() && *c != '\n';
        assert_eq!(said.chars().find(strange), None, "{failure}: {said:?}");
        assert!(!into.exists(), "{failure}");
        assert_eq!(field.outside(), field.before, "{failure}");
    }
    let (mut receive, addr) = receive(&field, &["--into", into.to_str().unwrap()]);
    let mut line = field.mallory.session(&addr, &field.key, Kind::Files);
    line.offer(&[file("good", 4)]);
    line.deliver(b"good");
    assert_eq!(receive.end().0, Some(0));
    assert_eq!(names_in(&into), ["good"]);
}

#[test]
fn scp_cve_2019_6111_what_is_there_stays_and_nothing_comes_unasked() {
    let mut field = Field::new();
    // Into a folder with files of its own, even into the home directory.
    let top = field.sandbox.path().to_str().unwrap().to_owned();
    let into = ["--into", &top];
    for dot in [file(".zshrc", 4), file(".config/autostart/x", 4), file("\u{200d}.profile", 4)] {
        let (receive, addr) = receive(&field, &into);
        let mut line = field.mallory.session(&addr, &field.key, Kind::Files);
        line.offer(&[file("good", 4), dot]);
        field.declines("a name that programs look for", line);
        receive.wait_to_say("waiting for another try");
    }
    field.is_unharmed("names that programs look for");
    let (mut receive, addr) = receive(&field, &[&into[..], &["--allow-dot"]].concat());
    let mut line = field.mallory.session(&addr, &field.key, Kind::Files);
    line.offer(&[file(".bashrc", 4), file(".ssh/authorized_keys", 4), file("elsewhere/sub/file", 4)]);
    line.deliver(b"evilevilevil");
    let (code, out, _) = receive.end();
    let landed = [".bashrc (1)", ".ssh (1)", "elsewhere (1)"].map(|name| field.at(name));
    let paths: String = landed.iter().map(|path| format!("{}\n", path.display())).collect();
    assert_eq!((code, out), (Some(0), paths));
    assert_eq!(fs::read_to_string(field.at(".ssh (1)/authorized_keys")).unwrap(), "evil");
    fs::remove_file(&landed[0]).unwrap();
    landed[1..].iter().for_each(|path| fs::remove_dir_all(path).unwrap());
    // The folder itself has changed, and what is in it has not.
    field.is_unharmed("files with the names of others");

    // A second offer behind the first, and bytes behind the last.
    let mut line = field.files();
    line.offer(&[file("asked for", 4)]);
    line.expect_take();
    line.say(&Message::Start(1));
    line.chunk(0, b"good");
    line.say(&Message::End);
    line.offer(&[file("not asked for", 4)]);
    line.expect(&Message::Stored);
    line.expect_end();
    assert_eq!(names_in(&field.landing()), ["asked for"]);
    field.is_unharmed("two offers in one session");
}

/// The names of scp's files were put into a command line of the other side, where a shell read them.
#[test]
fn scp_cve_2020_15778_names_are_names_and_no_commands() {
    let mut field = Field::new();
    let names = [
        "`touch evil`",
        "$(touch evil)",
        "; touch evil ;",
        "| touch evil",
        "& touch evil &",
        "a && touch evil",
        "x' ; touch evil ; '",
        "x\" ; touch evil ; \"",
        "--help",
        "-rf",
        "*",
        "?",
        "~",
        "$HOME",
        "$IFS",
        "!!",
        "#",
        "%s%n",
        "{a,b}",
        "<evil",
        ">evil",
        "@evil",
        " x",
    ];
    // More than a MiB: then the node runs df to see what room there is.
    let mut entries: Vec<Entry> = names.iter().map(|name| file(name, 0)).collect();
    entries.push(file("$(touch evil)d/`touch evil`", 5 * CHUNK as u64));
    let mut line = field.files();
    line.offer(&entries);
    line.deliver(&sample(5 * CHUNK));
    line.expect_end();
    let mut landed = names.map(str::to_owned).to_vec();
    landed.push("$(touch evil)d".into());
    landed.sort();
    assert_eq!(names_in(&field.landing()), landed);
    field.is_unharmed("commands as names");
    assert!(field.bob.run(&["log", "mallory"]).contains("$(touch evil)d"));
}

/// A link that is there already, because somebody on this machine made it, or an earlier transfer did elsewhere.
#[test]
fn croc_symlinked_parent_and_rsync_cve_2024_12088_no_link_is_followed() {
    for args in [&[][..], &["--overwrite"]] {
        let mut field = Field::with(args);
        let landing = field.landing();
        fs::create_dir_all(landing.join("real")).unwrap();
        // To a directory and to a file; by way of another link, as what looks safe to whoever reads one link alone.
        symlink("../../elsewhere", landing.join("dir")).unwrap();
        symlink("../../elsewhere/sub/file", landing.join("file")).unwrap();
        symlink("up", landing.join("chain")).unwrap();
        symlink("../..", landing.join("up")).unwrap();
        symlink("../../../elsewhere", landing.join("real/dir")).unwrap();
        symlink("nowhere", landing.join("nothing")).unwrap();
        for path in
            ["dir/sub/file", "dir/new", "file", "chain/elsewhere/sub/file", "real/dir/new", "nothing", "up/x"]
        {
            let mut line = field.files();
            line.offer(&[file(path, 4)]);
            line.say(&Message::Start(1));
            line.chunk(0, b"evil");
            line.say(&Message::End);
            line.say(&Message::Bye);
            let said = line.expect_end();
            // Under another name, or where the link was, or not at all.
            let is_stored = said.contains(&Message::Stored.kind());
            assert!(is_stored || said == [Message::Decline(Declined::Disk).kind()], "{path}: {said:?}");
            assert!(is_stored || !args.is_empty(), "{path}");
            field.is_unharmed(path);
        }
    }
}

/// How long somebody swaps directories and files for links.
const RACE: Duration = Duration::from_secs(3);
/// What is sent meanwhile: a file of three chunks, and small ones in either directory.
const LARGE: usize = 2 * CHUNK + 1;
const SMALL: usize = 30;

/// Somebody else on Bob's machine who may write where files are staged: puts a link in the place of what is there, and
/// that back again, until he is told to stop.
fn swap_for_links(landing: &Path, elsewhere: &Path, stop: &AtomicBool) {
    let (mut random, began) = (Random::seeded(13), Instant::now());
    while !stop.load(Ordering::Relaxed) && began.elapsed() < 2 * PATIENCE {
        let Some(staging) = staged_in(landing).pop() else { continue };
        let target =
            random.pick(&["", "files", "files/d", "files/d/sub", "files/d/sub/file", "files/d/7", "map"]);
        // Another name each time: what has lost its place for good must not be in the way.
        let (victim, aside) = (staging.join(target), landing.join(format!("aside {}", random.next())));
        let leads_to = match target {
            "files/d/sub" => elsewhere.join("sub"),
            "files/d/sub/file" | "files/d/7" | "map" => elsewhere.join("sub/file"),
            _ => elsewhere.to_owned(),
        };
        let pause = Duration::from_micros(random.below(300) as u64);
        // It may be gone by now, with all that is in it.
        if fs::rename(&victim, &aside).is_ok() && symlink(leads_to, &victim).is_ok() {
            thread::sleep(pause);
            let _ = fs::remove_file(&victim);
        }
        let _ = fs::rename(&aside, &victim);
        thread::sleep(pause);
    }
}

/// One transfer of two directories over two connections; says whether it was stored.
fn race(field: &Field, content: &[u8], round: i64) -> bool {
    let mut entries = vec![dir("d"), dir("d/sub"), file("d/sub/file", LARGE as u64)];
    for folder in ["d", "d/sub"] {
        entries.extend((0..SMALL).map(|n| file(format!("{folder}/{n}"), 9000)));
    }
    entries.iter_mut().for_each(|entry| entry.modified += round);
    let mut line = field.files();
    line.offer(&entries);
    let Some((kind, body)) = line.read() else { return false };
    let Ok(Message::Take { ticket, .. }) = Message::decode(kind, &body) else { return false };
    let mut lane = line.lane(&field.addr, &ticket, 0);
    line.say(&Message::Start(content.len().div_ceil(CHUNK) as u64));
    for (index, chunk) in content.chunks(CHUNK).enumerate() {
        let over = if index % 2 == 0 { &mut line } else { lane.as_mut().unwrap_or(&mut line) };
        over.chunk(index as u64, chunk);
    }
    lane.into_iter().for_each(|mut lane| lane.say(&Message::End));
    line.say(&Message::End);
    line.say(&Message::Bye);
    line.expect_end().contains(&Message::Stored.kind())
}

/// Links come and go where files of Mallory arrive.
fn run_a_race(field: &Field) {
    let (stop, landing, elsewhere) = (AtomicBool::new(false), field.landing(), field.at("elsewhere"));
    let content = sample(LARGE + 2 * SMALL * 9000);
    let mut ends = [0, 0];
    thread::scope(|scope| {
        scope.spawn(|| swap_for_links(&landing, &elsewhere, &stop));
        let began = Instant::now();
        let goes_on =
            |ends: &[i32]| began.elapsed() < RACE || (ends.contains(&0) && began.elapsed() < PATIENCE);
        for round in 0.. {
            if !goes_on(&ends) {
                break;
            }
            ends[usize::from(race(field, &content, round))] += 1;
            // What is left of this round is not to draw the other off the next one.
            staged_in(&landing).iter().for_each(|staging| drop(fs::remove_dir_all(staging)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    // Some were in the way of a link, and others were not.
    assert!(ends.iter().all(|count| *count > 0), "{ends:?}");
}

#[test]
fn rsync_cve_2024_12747_a_link_raced_into_the_staging_folder_leads_nowhere() {
    let mut field = Field::new();
    run_a_race(&field);
    field.is_unharmed("a race");
    field.said();
}

/// As on systems that have no name for an open directory. What has content does not get elsewhere, and what was there
/// stays.
#[test]
fn without_proc_a_raced_link_has_nothing_but_empty_files_and_directories_made() {
    let hidden = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" \"$@\""];
    let works = by(&hidden, &Command::new("true")).output().is_ok_and(|ran| ran.status.success());
    if !works {
        crate::common::skip("`unshare -rm` and mount(8) do not work here");
        return;
    }
    let field = Field::by(&hidden, &[]);
    run_a_race(&field);
    let after = field.outside();
    assert!(field.before.keys().all(|path| after.contains_key(path)), "{after:#?}");
    for (path, found) in &after {
        match field.before.get(path) {
            // A directory has another time when something was made in it.
            Some(before) => assert!(found == before || path.is_dir(), "{path:?}: {found}"),
            None => assert!(found.ends_with(" []"), "{path:?}: {found}"),
        }
    }
    field.said();
}

#[test]
fn no_bit_of_a_mode_is_the_senders_but_one() {
    let sandbox = tempfile::tempdir().unwrap();
    let (bob, mallory) = (Home::new_in(sandbox.path(), "bob"), Rogue::new(13));
    bob.run(&["peers", "add", "mallory", &mallory.key()]);
    // Without a umask nothing but the node itself keeps others out.
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh", common::EGOAT, "--home"]);
    command.arg(bob.path("")).args(["serve", "--listen", "127.0.0.1:0"]);
    let mut node = Process::start(command);
    let addr = node.wait_for("listening on ")["listening on ".len()..].to_owned();
    let mut line = mallory.session(&addr, &bob.key(), Kind::Files);
    let executable = |path| Entry { executable: 1, ..file(path, 4) };
    let times =
        [i64::MIN, i64::MAX, -1, 0].map(|modified| Entry { modified, ..file(format!("t{modified}"), 0) });
    let mut entries =
        vec![file("plain", 4), executable("run"), dir("dir"), executable("dir/run"), file("unlisted/x", 4)];
    entries.extend(times);
    entries.push(Entry { modified: i64::MIN, ..dir("old") });
    line.offer(&entries);
    line.deliver(&[b'x'; 16]);
    line.expect_end();
    let landing = bob.path("downloads/mallory");
    for (path, mode) in [
        ("", 0o700),
        ("plain", 0o600),
        ("run", 0o700),
        ("dir", 0o700),
        ("dir/run", 0o700),
        ("unlisted", 0o700),
        ("unlisted/x", 0o600),
        ("old", 0o700),
    ] {
        assert_eq!(fs::metadata(landing.join(path)).unwrap().mode() & 0o7777, mode, "{path:?}");
    }
    assert!(node.is_running());
}

/// Another implementation may list a directory behind what is in it.
#[test]
fn a_directory_that_is_listed_late_gets_its_time() {
    let field = Field::new();
    let mut line = field.files();
    line.offer(&[file("late/below/x", 4), dir("late/below"), dir("late")]);
    line.deliver(b"text");
    line.expect_end();
    for path in ["late", "late/below", "late/below/x"] {
        let data = fs::metadata(field.landing().join(path)).unwrap();
        assert_eq!((data.mtime(), data.mtime_nsec()), (1, 0), "{path}");
    }
}

/// What is wrong with a transfer of three chunks and five bytes, and how it goes.
type Wrong = (&'static str, fn(&mut Line));

fn piece(line: &mut Line, at: usize, length: usize) {
    line.say(&Message::Piece { at: at as u64, data: &vec![0; length] });
}

fn whole(line: &mut Line, index: usize) {
    line.chunk(index as u64, &vec![0; CHUNK]);
}

const WRONG: [Wrong; 30] = [
    ("a chunk behind the last", |line| piece(line, 4 * CHUNK, 5)),
    ("a chunk far behind the last", |line| piece(line, CHUNK << 30, PIECE)),
    ("the last of all places", |line| line.frame(20, &[&[0xff; 8][..], &[0; PIECE]].concat())),
    ("a place that is no start of a chunk", |line| piece(line, 1, PIECE)),
    ("the second piece first", |line| piece(line, PIECE, PIECE)),
    ("a gap between pieces", |line| [0, 2].into_iter().for_each(|n| piece(line, n * PIECE, PIECE))),
    ("pieces that overlap", |line| [0, PIECE - 1].into_iter().for_each(|at| piece(line, at, PIECE))),
    ("a piece twice", |line| [0, 0].into_iter().for_each(|at| piece(line, at, PIECE))),
    ("a chunk twice", |line| [0, 1, 0].into_iter().for_each(|index| whole(line, index))),
    ("two chunks by turns", |line| [0, CHUNK].into_iter().for_each(|at| piece(line, at, PIECE))),
    ("an empty piece", |line| piece(line, 0, 0)),
    ("a short piece", |line| piece(line, 0, PIECE - 1)),
    ("a piece longer than any", |line| piece(line, 0, PIECE + 1)),
    ("more bytes than declared", |line| piece(line, 3 * CHUNK, 6)),
    ("fewer bytes than declared", |line| piece(line, 3 * CHUNK, 4)),
    ("a whole piece where five bytes are left", |line| piece(line, 3 * CHUNK, PIECE)),
    ("a piece that goes over into the next chunk", |line| {
        (0..3).for_each(|n| piece(line, n * PIECE, PIECE));
        piece(line, 3 * PIECE, PIECE + 1);
    }),
    ("the end in a chunk", |line| {
        piece(line, 0, PIECE);
        line.say(&Message::End);
    }),
    ("the end before the last chunk", |line| {
        (0..3).for_each(|index| whole(line, index));
        line.say(&Message::End);
    }),
    ("nothing but the end", |line| line.say(&Message::End)),
    ("the connection ends before the last chunk", |line| {
        (0..3).for_each(|index| whole(line, index));
        line.hang_up();
    }),
    ("the connection ends in a chunk", |line| {
        piece(line, 0, PIECE);
        line.hang_up();
    }),
    ("a piece cut short", |line| {
        line.lie(20, 8 + PIECE as u32, &[0; 100]);
        line.hang_up();
    }),
    ("another start", |line| line.say(&Message::Start(4))),
    ("another offer", |line| line.offer(&[file("evil", 4)])),
    ("a stream instead", |line| line.say(&Message::Stream(0))),
    ("what only a receiver says", |line| line.say(&Message::Stored)),
    ("a message", |line| line.say(&Message::Text { number: 1, said: None, text: b"evil" })),
    ("goodbye", |line| line.say(&Message::Bye)),
    ("a failure that there is not", |line| line.frame(23, &[9])),
];

#[test]
fn bytes_that_were_not_declared_and_chunks_that_do_not_fit_end_the_transfer() {
    let mut field = Field::new();
    for (number, (what, rest)) in WRONG.into_iter().enumerate() {
        let mut line = field.files();
        line.offer(&[file(format!("evil {number}"), 3 * CHUNK as u64 + 5)]);
        line.expect_take();
        line.say(&Message::Start(4));
        rest(&mut line);
        field.breaks_off(what, line);
        field.is_unharmed(what);
    }
    let starts: [Wrong; 6] = [
        ("a piece before the start", |line| piece(line, 0, PIECE)),
        ("the end before the start", |line| line.say(&Message::End)),
        ("more chunks than there are", |line| line.say(&Message::Start(5))),
        ("as many as can be", |line| line.say(&Message::Start(u64::MAX))),
        ("none, since there were some before", |line| {
            line.say(&Message::Start(0));
            line.say(&Message::End);
        }),
        ("one chunk, of nothing", |line| {
            line.say(&Message::Start(0));
            piece(line, 0, 1);
        }),
    ];
    for (number, (what, rest)) in starts.into_iter().enumerate() {
        let mut line = field.files();
        line.offer(&[file(format!("start {number}"), 3 * CHUNK as u64 + 5)]);
        line.expect_take();
        rest(&mut line);
        field.breaks_off(what, line);
    }
    let mut line = field.files();
    line.offer(&[file("nothing", 0), dir("dir")]);
    line.expect_take();
    line.say(&Message::Start(0));
    piece(&mut line, 0, 1);
    field.breaks_off("a byte of no file", line);
    field.is_unharmed("starts");
    // What had come in part is listed, and goes.
    let listed = field.bob.run(&["partial"]);
    assert!(listed.lines().count() <= 16, "{listed}");
    field.bob.run(&["partial", "remove", "--all"]);
    assert!(names_in(&field.landing()).is_empty());
}

#[test]
fn two_transfers_of_one_name_at_once_are_two_files() {
    let mut field = Field::new();
    let contents = [sample(CHUNK + 1), sample(CHUNK + 2)];
    let start = |content: &[u8], name: &str| {
        let mut line = field.files();
        line.offer(&[file(name, content.len() as u64)]);
        line.expect_take();
        line.say(&Message::Start(2));
        line.chunk(0, &content[..CHUNK]);
        line
    };
    let end = |line: &mut Line, content: &[u8]| {
        line.chunk(1, &content[CHUNK..]);
        line.say(&Message::End);
    };
    for name in ["x.bin", "dir/x.bin"] {
        let mut lines = contents.each_ref().map(|content| start(content, name));
        // Both are there before either hears of it.
        lines.iter_mut().zip(&contents).for_each(|(line, content)| end(line, content));
        for line in &mut lines {
            line.expect(&Message::Stored);
            line.say(&Message::Bye);
            line.expect_end();
        }
    }
    let landing = field.landing();
    assert_eq!(names_in(&landing), ["dir", "dir (1)", "x (1).bin", "x.bin"]);
    for (one, other) in [("x.bin", "x (1).bin"), ("dir/x.bin", "dir (1)/x.bin")] {
        let mut found = [one, other].map(|name| fs::read(landing.join(name)).unwrap());
        found.sort_by_key(Vec::len);
        assert!(found == contents);
    }

    // The very same twice: the first connection must be dead, and ends.
    let mut first = start(&contents[0], "same.bin");
    let mut second = start(&contents[0], "same.bin");
    first.expect_end();
    end(&mut second, &contents[0]);
    second.expect(&Message::Stored);
    second.say(&Message::Bye);
    second.expect_end();
    assert!(fs::read(landing.join("same.bin")).unwrap() == contents[0]);
    assert_eq!(landed_in(&landing).len(), 5);
    field.is_unharmed("two at once");
}

#[test]
fn a_stream_out_of_order_or_without_end_is_broken_off() {
    let mut field = Field::with(&["--max-file", "1M"]);
    let wrong: [Wrong; 6] = [
        ("not the first byte", |line| piece(line, 1, 10)),
        ("a gap", |line| [0, 11].into_iter().for_each(|at| piece(line, at, 10))),
        ("bytes twice", |line| [0, 0].into_iter().for_each(|at| piece(line, at, 10))),
        ("the last of all places", |line| line.frame(20, &[0xff; 18])),
        ("nothing", |line| piece(line, 0, 0)),
        ("a start as of files", |line| line.say(&Message::Start(0))),
    ];
    for (number, (what, rest)) in wrong.into_iter().enumerate() {
        let mut line = field.files();
        line.offer_stream(&format!("evil {number}"));
        line.expect(&Message::Stream(0));
        rest(&mut line);
        field.breaks_off(what, line);
        field.is_unharmed(what);
    }
    let mut line = field.files();
    line.offer_stream("endless");
    line.expect(&Message::Stream(0));
    for n in 0..18 {
        piece(&mut line, n * PIECE, PIECE);
    }
    let (kind, body) = std::iter::from_fn(|| line.read()).last().unwrap();
    assert_eq!(Message::decode(kind, &body), Ok(Message::Failed(Failure::TooLarge)));
    assert!(landed_in(&field.landing()).is_empty());
    field.is_unharmed("an endless stream");
}

/// Where nobody says what room there is, a size must not be taken for what can be had.
#[test]
fn a_file_larger_than_any_disk_is_declined() {
    let field = Field::new();
    let into = field.at("into");
    for size in [u64::MAX >> 1, 1 << 52] {
        let mut command = receiver(&field, &["--into", into.to_str().unwrap()]);
        command.env("PATH", "/nonexistent");
        let (receive, addr) = receive_by(&field, command);
        let mut line = field.mallory.session(&addr, &field.key, Kind::Files);
        line.offer(&[file("large", size)]);
        line.expect(&Message::Decline(Declined::TooLarge));
        drop(line);
        receive.wait_to_say("mallory offered large, for which there is no room");
        receive.wait_to_say("waiting for another try");
        assert_eq!(names_in(&into), [""; 0]);
    }
}

#[test]
fn what_a_peer_calls_itself_is_shown_clean_and_names_no_other_folder() {
    let field = Field::new();
    let names = [
        "../../elsewhere",
        "/etc",
        "..",
        ".ssh",
        "a/b",
        "evil\x1b[31m",
        "\u{202e}evil",
        "x\ny",
        ".egoat-x",
        "-rf",
        "CON",
        "carol",
        "",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let stranger = Rogue::new(100 + number as u8);
        let link: Link = field.bob.run(&["invite"]).trim_end().parse().unwrap();
        let mut line = stranger.try_dial(&field.addr, &field.key, Kind::Pair, link.token.as_ref()).unwrap();
        line.say(&Message::Profile { name, port: 0, time: 0 });
        line.expect(&Message::Accept);
        line.read().unwrap();
        line.say(&Message::Bye);
        let mut line = stranger.session(&field.addr, &field.key, Kind::Files);
        line.offer(&[file("evil", 4)]);
        line.deliver(b"evil");
        line.expect_end();
        // Nobody knows this one; of strangers there may not be many in so short a time.
        if number >= 8 {
            continue;
        }
        let mut line = Rogue::new(200 + number as u8).dial(&field.addr, &field.key, Kind::Push);
        line.say(&Message::Profile { name, port: 0, time: 0 });
        assert_eq!(line.expect_end(), [2]);
    }
    let folders = names_in(&field.at("downloads"));
    assert_eq!(folders.len(), names.len() + 1, "{folders:?}");
    for folder in folders.iter().filter(|folder| *folder != "mine") {
        assert!(!folder.starts_with(['.', '-']) && !folder.contains(char::is_control), "{folder:?}");
        assert_eq!(names_in(&field.at("downloads").join(folder)), ["evil"]);
    }
    let requests = field.bob.run(&["peers", "requests"]);
    assert_eq!(requests.chars().find(|c| c.is_control() && *c != '\n'), None, "{requests:?}");
    assert_eq!(field.outside().keys().filter(|path| !path.starts_with(field.at("downloads"))).count(), 6);
    field.said();
}

/// The names are noted until the sender has heard that all is in place, which it never says.
#[test]
fn names_without_end_that_wait_for_a_goodbye_are_in_the_way_of_nobody() {
    let mut field = Field::new();
    let entries: Vec<Entry> = (0..6000).map(|n| file(format!("{n:05}{}", "x".repeat(200)), 0)).collect();
    let offer = || {
        let mut line = field.files();
        line.offer(&entries);
        line
    };
    let mut line = offer();
    line.expect_take();
    line.say(&Message::Start(0));
    line.say(&Message::End);
    line.expect(&Message::Stored);
    drop(line);
    let note =
        fs::metadata(field.bob.path("partial").join(&names_in(&field.bob.path("partial"))[0])).unwrap();
    assert!(note.len() > MIB as u64);
    assert_eq!(field.bob.run(&["partial"]), "", "it is not a part of anything");
    field.bob.run(&["partial", "remove", "--all"]);

    // It is found when the same comes again, and goes with the goodbye.
    let mut line = offer();
    line.expect(&Message::Stored);
    line.say(&Message::Bye);
    assert!(line.read().is_none());
    assert!(names_in(&field.bob.path("partial")).is_empty());
    assert_eq!(names_in(&field.landing()).len(), entries.len());
    field.is_unharmed("names without end");
}
