//! The manual against the program: egoat(1) and the help texts list the same commands, options and arguments, and the
//! examples in egoat(1) run as they stand there, each in a place prepared for it, in a network of its own.

use crate::common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::files::names_in;
use common::lan::Lan;
use common::logs;
use common::tmux::Terminal;
use common::tree::put;
use common::{EGOAT, Home, Process, finish, help, poll_until};

const PAGE: &str = include_str!("../../man/egoat.1");

/// The lines of a section of the page.
fn page_section(title: &str) -> impl Iterator<Item = &'static str> {
    let begin = format!(".Sh {title}");
    PAGE.lines().skip_while(move |line| *line != begin).skip(1).take_while(|line| !line.starts_with(".Sh "))
}

/// What a line says of a command, in the page or in a help text.
#[derive(Debug, Default, PartialEq)]
struct Grammar {
    /// With the name of what stands behind it, if anything does.
    options: BTreeMap<String, Option<String>>,
    arguments: Vec<String>,
}

const MACROS: [&str; 7] = ["Ar", "Cm", "Fl", "Oc", "Oo", "Op", "Ns"];

/// Reads `Cm say Oo Fl -wait Ar duration Oc Ar peer Op Ar text ...`.
fn synopsis(line: &str) -> (String, Grammar) {
    // What the page has to part is one word.
    let line = line.trim_start_matches('.').replace(" : Ns Ar ", ":");
    let words: Vec<&str> = line.split_whitespace().collect();
    let (mut path, mut grammar) = (Vec::new(), Grammar::default());
    let mut names: Vec<String> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let behind = words[index + 1..].iter().copied().take_while(|word| !MACROS.contains(word));
        let mut behind = behind.filter(|word| !["|", "...", ","].contains(word));
        match *word {
            "Cm" => path.extend(behind),
            "Fl" => {
                names = behind.map(|name| format!("-{name}")).collect();
                grammar.options.extend(names.iter().map(|name| (name.clone(), None)));
            }
            // Without a name it stands for files.
            "Ar" => {
                let argument = behind.next().unwrap_or("file").to_owned();
                match names.is_empty() {
                    true => grammar.arguments.push(argument),
                    false => {
                        grammar.options.extend(names.drain(..).map(|name| (name, Some(argument.clone()))))
                    }
                }
            }
            "Oc" | "Op" => names.clear(),
            _ => {}
        }
    }
    (path.join(" "), grammar)
}

/// Reads a help text.
fn told(help: &str) -> Grammar {
    let usage = help.lines().next().unwrap();
    let mut grammar =
        Grammar { arguments: help::listed(help, "Positional Arguments:"), ..Default::default() };
    for names in help::listed(help, "Options:").iter().filter(|names| *names != "-h, --help") {
        let value = names.split(", ").find_map(|name| usage.split_once(&format!("[{name} <")));
        let value = value.map(|(_, value)| value.split(['.', '>']).next().unwrap().to_owned());
        grammar.options.extend(names.split(", ").map(|name| (name.to_owned(), value.clone())));
    }
    grammar
}

/// The commands of the page, each with what stands below it.
fn items() -> BTreeMap<String, (Grammar, Vec<&'static str>)> {
    let mut items = BTreeMap::new();
    let mut last = None;
    for line in page_section("COMMANDS") {
        if line.starts_with(".It Cm ") {
            let (path, grammar) = synopsis(line);
            assert!(items.insert(path.clone(), (grammar, Vec::new())).is_none(), "{path} stands there twice");
            last = Some(path);
        } else if let Some(path) = &last {
            items.get_mut(path).unwrap().1.push(line);
        }
    }
    items
}

fn describes(lines: impl IntoIterator<Item = &'static str>, option: &str) -> bool {
    lines.into_iter().any(|line| synopsis(line).1.options.contains_key(option))
}

#[test]
fn the_page_and_the_help_texts_list_the_same() {
    let (home, mut items) = (Home::new("alice"), items());
    for (path, help) in help::commands(&home) {
        let told = told(&help);
        if path.is_empty() {
            let options: String =
                page_section("DESCRIPTION").filter(|line| line.starts_with(".It Fl ")).collect();
            let mut grammar = synopsis(&options.replace(".It", " Oc")).1;
            grammar.options.retain(|option, _| !["-h", "--help"].contains(&option.as_str()));
            assert_eq!(grammar, told);
        } else if !help::listed(&help, "Commands:").is_empty() {
            // Those below it have the items, and what it does by itself, if that has options.
            assert_eq!(told, items.remove(&path).unwrap_or_default().0, "{path}");
        } else {
            let (grammar, body) = items.remove(&path).unwrap_or_else(|| panic!("egoat(1) lacks {path}"));
            assert_eq!(grammar, told, "the synopsis of {path} in egoat(1), and its help");
            for option in told.options.keys() {
                let all = body.iter().copied().chain(page_section("DESCRIPTION"));
                assert!(describes(all, option), "egoat(1) does not describe {option} of {path}");
            }
            for line in body.iter().filter(|line| line.starts_with(".It Fl ")) {
                for option in synopsis(line).1.options.keys() {
                    assert!(told.options.contains_key(option), "{path} has no {option}");
                }
            }
        }
    }
    // argh lists it apart.
    assert!(items.remove("help").is_some());
    assert!(items.is_empty(), "no help text knows {:?}", items.keys());
}

#[test]
fn the_page_is_whole() {
    let sections: Vec<&str> = PAGE.lines().filter_map(|line| line.strip_prefix(".Sh ")).collect();
    let usual = ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "ENVIRONMENT", "FILES", "EXIT STATUS"];
    for title in usual.into_iter().chain(["EXAMPLES", "SECURITY", "SEE ALSO"]) {
        assert!(sections.contains(&title), "{title}");
    }
    for name in variables(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        assert!(
            PAGE.lines().any(|line| line.split([' ', ',']).any(|word| word == name)),
            "egoat(1) lacks {name}"
        );
    }
}

/// Pages, and what mdoc makes of them in so many columns.
fn rendered(columns: usize) -> Vec<(PathBuf, String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let page = |name: String| {
        let path = dir.join(name);
        let width = format!("width={columns}");
        let rendering =
            Command::new("mandoc").args(["-T", "utf8", "-O", &width]).arg(&path).output().unwrap();
        assert!(rendering.status.success(), "{}", path.display());
        let text = String::from_utf8(rendering.stdout).unwrap();
        // Overstruck letters are bold or underlined.
        let mut plain = String::new();
        for letter in text.chars() {
            if letter == '\u{8}' {
                plain.pop();
            } else {
                plain.push(letter);
            }
        }
        (path.clone(), fs::read_to_string(path).unwrap(), plain)
    };
    names_in(&dir).into_iter().map(page).collect()
}

/// A word that mdoc takes for punctuation loses the blank before it, and one that it takes for a macro is gone.
#[test]
fn lines_to_be_typed_are_shown_as_they_are_typed() {
    let mut count = 0;
    for (path, source, shown) in rendered(250) {
        for line in source.lines().filter_map(|line| line.strip_prefix(".Dl ")) {
            let typed = unescaped(line);
            let is_shown = shown.lines().any(|line| line.trim() == typed);
            assert!(
                is_shown || line.starts_with("Li ") || line.starts_with("Fl "),
                "{}: {typed}",
                path.display()
            );
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

/// What stands in a page as it is to be typed or written, line by line.
fn literal_lines(source: &str) -> Vec<String> {
    let mut is_literal = false;
    let mut lines = Vec::new();
    for line in source.lines() {
        match line.strip_prefix(".Dl ") {
            Some(line) => lines.push(unescaped(line)),
            None if line.starts_with(".Bd -literal") => is_literal = true,
            None if line.starts_with(".Ed") => is_literal = false,
            None if is_literal => lines.push(unescaped(line.trim())),
            None => {}
        }
    }
    lines
}

/// Half a screen beside an editor: a table that is wider loses its shape.
#[test]
fn tables_fit_sixty_columns() {
    for (path, source, shown) in rendered(60) {
        let literal = literal_lines(&source);
        for line in shown.lines().filter(|line| line.chars().count() > 60) {
            assert!(literal.iter().any(|literal| literal == line.trim()), "{}: {line}", path.display());
        }
    }
}

/// On the usual screen an example stands as it is typed: neither cut nor broken.
#[test]
fn literal_lines_fit_eighty_columns() {
    let mut wide = Vec::new();
    for (path, source, shown) in rendered(80) {
        let fits = |literal: &String| {
            let shown = shown.lines().filter(|line| line.chars().count() <= 80);
            shown.into_iter().any(|line| {
                line.trim().replace(['\u{2018}', '\u{2019}', '`'], "'") == literal.replace('`', "'")
            })
        };
        let lines = literal_lines(&source).into_iter().filter(|line| !line.is_empty() && !fits(line));
        wide.extend(lines.map(|line| format!("{}: {line}", path.display())));
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}

fn unescaped(line: &str) -> String {
    line.replace("\\(dq", "\"")
        .replace("\\(aq", "'")
        .replace("\\e", "\\")
        .replace("\\&", "")
        .replace("\\-", "-")
}

/// The variables of the environment that are only ours, by their names in the source.
fn variables(dir: &Path) -> Vec<String> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                return variables(&path);
            }
            let text = fs::read_to_string(&path).unwrap();
            let names = text
                .split("\"EGOAT_")
                .skip(1)
                .map(|rest| format!("EGOAT_{}", rest.split('"').next().unwrap()));
            names.collect()
        })
        .collect()
}

/// The examples in a section of the page: of each the lines to be typed.
fn examples(section: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut block: Option<Vec<String>> = None;
    for line in page_section(section) {
        let text = unescaped(line);
        match (&mut block, line.strip_prefix(".Dl ")) {
            (None, Some(_)) => found.push(vec![text[".Dl ".len()..].to_owned()]),
            (None, None) if line.starts_with(".Bd -literal") => block = Some(Vec::new()),
            (Some(_), _) if line == ".Ed" => found.extend(block.take()),
            (Some(lines), _) => lines.push(text),
            (None, None) => {}
        }
    }
    found
}

/// Plays an example, given its lines.
type Play = fn(&[&str]);

/// Who plays an example, by how it begins.
const PLAYS: &[(&str, Play)] = &[
    ("alice$ egoat serve &", two_machines_pair),
    ("egoat join --as server --via", over_a_login),
    ("make world; egoat say alice", a_job_is_done),
    ("egoat say --wait 1m alice 'coming down' &&", only_if_she_has_it),
    ("df -h | egoat say --id", once_a_day),
    ("egoat peers set nas ", a_quota),
    ("*/10 * * * * egoat -q fetch", every_ten_minutes),
    ("egoat receive --into inbox", from_anybody),
    ("egoat share --once disk.img", to_one),
    ("bob$ mkdir new && egoat receive --into - --from alice |", a_directory_as_it_is),
    ("egoat send --wait 1d bob disk.img", something_large),
    ("egoat --json log --follow --limit 0 bob |", messages_as_they_come),
    ("egoat --json log --follow --cursor ~/.cache/egoat.cursor bob |", from_where_it_was),
    ("egoat peers --unread | paste", a_status_line),
    ("$ cat answer", an_answer),
    ("$ cat unpack", what_comes_is_unpacked),
    ("0 * * * * egoat log --cursor ~/.cache/mailed", each_hour),
    ("@daily egoat -q log --delete-before 365d", each_day),
    ("HiddenServiceDir ", an_onion_service),
    ("alice$ echo socks5://", through_tor),
];

#[test]
fn the_examples_run_word_for_word() {
    let examples = examples("EXAMPLES");
    for lines in &examples {
        let play = PLAYS.iter().find(|(begin, _)| lines[0].starts_with(begin));
        let (_, play) = play.unwrap_or_else(|| panic!("nobody plays this example of egoat(1): {}", lines[0]));
        play(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for (begin, _) in PLAYS {
        assert!(examples.iter().any(|lines| lines[0].starts_with(begin)), "no example begins {begin}");
    }
}

#[test]
fn the_quick_start_works_word_for_word() {
    let lines: Vec<String> = examples("QUICK START").concat();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let [serve, invite, join, say, send, log, receive] = lines[..] else { panic!("{lines:?}") };
    let (stage, _node) = pair_on_a_terminal([serve, invite, join]);
    stage.run("bob", say);
    fs::write(stage.path("bob", "build.log"), "built").unwrap();
    stage.run("bob", send);
    poll_until("the log", || {
        let shown = stage.run("alice", log);
        (shown.contains(" bob: the build is done\n") && shown.contains("build.log")).then_some(())
    });
    let mut receiver = stage.start("alice", receive);
    let link = receiver.0.wait_for("egoat:");
    stage.run("bob", &format!("egoat send '{link}' build.log"));
    assert_eq!(receiver.0.end().0, Some(0));
    assert_eq!(fs::read_to_string(stage.path("alice", "inbox/build.log")).unwrap(), "built");
    assert!(stage.run("bob", "egoat doctor alice").contains("ok "));
}

/// Two homes in a network of their own, where port 4628 is free.
struct Stage {
    lan: Lan,
    alice: Home,
    bob: Home,
    /// What an example needs of other programs goes to `bin`; `alice` and `bob` are the folders that they are in.
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "alice", "bob"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let lan = Lan::new().expect("the examples need a network of their own");
        Stage { lan, alice: Home::new("alice"), bob: Home::new("bob"), dir }
    }

    /// The same with a node of Alice's, whom Bob knows by her address.
    fn with_node_of_alice() -> (Stage, Process) {
        let stage = Stage::new();
        stage.alice.run(&["peers", "add", "bob", &stage.bob.key()]);
        stage.bob.run(&["peers", "add", "alice", &stage.alice.key(), "127.0.0.1"]);
        let mut node = Process::start(stage.lan.cmd(stage.alice.cmd(&["serve"])));
        node.wait_for("listening on ");
        (stage, node)
    }

    /// Somewhere in the folder that one of them is in.
    fn path(&self, who: &str, name: &str) -> PathBuf {
        self.dir.path().join(who).join(name)
    }

    /// A program that an example calls, and that is better not called here.
    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin", name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The line in the shell of `who`, without the prompt.
    fn typed(&self, who: &str, line: &str) -> Command {
        let line = line.strip_prefix(&format!("{who}$ ")).unwrap_or(line);
        let home = if who == "alice" { &self.alice } else { &self.bob };
        let ours = Path::new(EGOAT).parent().unwrap().display();
        let path = format!("{}:{ours}:{}", self.path("bin", "").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env("PATH", path).env("EGOAT_HOME", home.path("")).env("TZ", "UTC");
        shell.env("HOME", self.path(who, "")).env_remove("EGOAT_DOWNLOADS").env_remove("EGOAT_PASSPHRASE_FD");
        let mut inside = self.lan.cmd(shell);
        // All that a line starts ends with it.
        inside.current_dir(self.path(who, "")).process_group(0);
        inside
    }

    /// Runs it to its end, which must be a good one; gives its stdout.
    fn run(&self, who: &str, line: &str) -> String {
        finish(self.typed(who, line), b"", 0).0
    }

    fn start(&self, who: &str, line: &str) -> Group {
        Group(Process::start(self.typed(who, line)))
    }
}

/// The first example of the README, in homes that nobody has named: whoever the users are, its lines do what they say.
#[test]
fn the_first_example_of_the_readme_runs_word_for_word() {
    let readme = include_str!("../../README.md");
    let lines: Vec<&str> = readme.split("```\n").nth(1).unwrap().lines().collect();
    let [serve_and_invite, join, say_and_send] = lines[..] else { panic!("{lines:?}") };
    for (inviter, joiner) in [("alice", "bob"), ("root", "root"), ("egoat", "sam"), ("sam", "sam")] {
        let stage = Stage::new();
        for home in [&stage.alice, &stage.bob] {
            fs::remove_file(home.path("name")).unwrap();
        }
        let typed = |who: &str, user: &str, line: &str| {
            let mut command = stage.typed(who, line);
            command.env("USER", user);
            command
        };
        let mut node = Group(Process::start(typed("alice", inviter, &format!("{serve_and_invite}\nwait"))));
        let link = node.0.wait_for("egoat:");
        assert!(join.contains("'egoat:KEY.TOKEN@HOST:PORT'"), "{join}");
        // The node may still be starting when there is a link already.
        poll_until("the node to listen", || {
            let told = fs::read_to_string(stage.alice.path("node.lock")).unwrap_or_default();
            told.contains("listening ").then_some(())
        });
        let join = join.replace("egoat:KEY.TOKEN@HOST:PORT", &link);
        assert!(finish(typed("bob", joiner, &join), b"", 0).0.starts_with("paired with alice"));
        fs::write(stage.path("bob", "build.log"), "it is built").unwrap();
        finish(typed("bob", joiner, say_and_send), b"", 0);
        poll_until("the message", || (stage.alice.received() == ["the build is done"]).then_some(()));
        let landed = fs::read_dir(stage.alice.path("downloads")).unwrap().next().unwrap().unwrap().path();
        assert_eq!(fs::read_to_string(landed.join("build.log")).unwrap(), "it is built");
        let name = landed.file_name().unwrap().to_str().unwrap().to_owned();
        // Where both would be called so, it has a number.
        let called = if joiner == inviter { format!("{joiner}-2") } else { joiner.to_owned() };
        assert!(joiner == "root" || name == called, "{name}");
    }
}

/// A shell with all that it has started.
struct Group(Process);

impl Drop for Group {
    fn drop(&mut self) {
        // It may have ended by itself.
        let mut kill = Command::new("kill");
        let _ = kill.args(["-9", "--", &format!("-{}", self.0.child.id())]).stderr(Stdio::null()).status();
    }
}

fn two_machines_pair(lines: &[&str]) {
    let [serve, invite, join] = lines else { panic!("{lines:?}") };
    pair_on_a_terminal([serve, invite, join]);
}

/// Alice serves and invites, and Bob joins; with Alice's node.
fn pair_on_a_terminal([serve, invite, join]: [&str; 3]) -> (Stage, Group) {
    let stage = Stage::new();
    let mut node = stage.start("alice", &format!("{serve}\nwait"));
    node.0.wait_for("listening on ");
    let link = stage.run("alice", invite);
    // Bob is asked for it, on a terminal.
    let terminal = Terminal::open(200).expect("there is tmux");
    let shell = stage.typed("bob", join);
    for (name, value) in shell.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        terminal.type_line(&format!("export {}='{}'", name.display(), value.display()));
    }
    let words = [shell.get_program()].into_iter().chain(shell.get_args());
    let words: Vec<String> =
        words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"))).collect();
    terminal.type_line(&format!("clear; {}", words.join(" ")));
    terminal.wait_for("paste the link:");
    terminal.type_line(link.trim_end());
    terminal.wait_for("paired with alice");
    assert!(stage.bob.run(&["peers"]).contains(&stage.alice.fingerprint()));
    poll_until("bob among alice's peers", || {
        stage.alice.run(&["peers"]).contains(&stage.bob.fingerprint()).then_some(())
    });
    (stage, node)
}

fn a_job_is_done(lines: &[&str]) {
    let (stage, node) = Stage::with_node_of_alice();
    stage.program("make", "exit 2");
    stage.run("bob", lines[0]);
    assert_eq!(stage.alice.received(), ["make ended with 2"]);
    // Whether she is there or not.
    drop(node);
    stage.run("bob", lines[0]);
    assert!(stage.bob.run(&["outbox"]).contains("-> alice: make ended with 2"));
}

fn only_if_she_has_it(lines: &[&str]) {
    let (stage, _node) = Stage::with_node_of_alice();
    let down = stage.path("bin", "down");
    stage.program("shutdown", &format!("echo \"$@\" >'{}'", down.display()));
    stage.run("bob", lines[0]);
    assert_eq!(stage.alice.received(), ["coming down"]);
    assert_eq!(fs::read_to_string(down).unwrap(), "now\n");
}

fn once_a_day(lines: &[&str]) {
    let (stage, _node) = Stage::with_node_of_alice();
    // No midnight between.
    stage.program("date", "[ \"$1\" = +%F ] && echo 2026-11-22");
    stage.program("df", "echo full");
    stage.run("bob", lines[0]);
    stage.run("bob", lines[0]);
    assert_eq!(stage.alice.received(), ["full"]);
}

fn a_quota(lines: &[&str]) {
    let stage = Stage::new();
    stage.alice.run(&["peers", "add", "nas", &stage.bob.key()]);
    stage.run("alice", lines[0]);
    let shown = stage.alice.run(&["peers", "show", "nas"]);
    for option in ["max-file     20.0 GiB", "quota        200.0 GiB", "dir          /srv/backup"] {
        assert!(shown.contains(option), "{shown}");
    }
}

fn every_ten_minutes(lines: &[&str]) {
    let (stage, _node) = Stage::with_node_of_alice();
    stage.alice.run(&["say", "bob", "are you there?"]);
    let command = lines[0].split(' ').skip(5).collect::<Vec<_>>().join(" ");
    // What is printed, cron mails.
    assert_eq!(stage.run("bob", &command), "");
    assert_eq!(stage.bob.received(), ["are you there?"]);
}

/// Who has the link can plant nothing that a program looks for, and nothing beside the directory.
fn from_anybody(lines: &[&str]) {
    let stage = Stage::new();
    let start = || {
        let mut receiver = stage.start("bob", lines[0]);
        let link = receiver.0.wait_for("egoat:");
        (receiver, link)
    };
    let (mut receiver, link) = start();
    for evil in [".bash_profile", ".ssh/authorized_keys"] {
        put(&stage.path("alice", evil), b"evil");
        let top = evil.split('/').next().unwrap();
        finish(stage.typed("alice", &format!("egoat send '{link}' {top}")), b"", 77);
        receiver.0.wait_to_say("waiting for another try");
    }
    fs::write(stage.path("alice", "notes.txt"), "notes").unwrap();
    fs::set_permissions(stage.path("alice", "notes.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    stage.run("alice", &format!("egoat send '{link}' notes.txt"));
    assert_eq!(receiver.0.end().0, Some(0));
    assert_eq!(fs::read_to_string(stage.path("bob", "inbox/notes.txt")).unwrap(), "notes");
    assert_eq!(fs::metadata(stage.path("bob", "inbox/notes.txt")).unwrap().permissions().mode() & 0o111, 0);
    assert_eq!(
        (names_in(&stage.path("bob", "")), names_in(&stage.path("bob", "inbox"))),
        (vec!["inbox".into()], vec!["notes.txt".into()])
    );
}

/// One takes it, and then it is over.
fn to_one(lines: &[&str]) {
    let stage = Stage::new();
    fs::write(stage.path("alice", "disk.img"), "image").unwrap();
    let mut share = stage.start("alice", lines[0]);
    let link = share.0.wait_for("egoat:get+");
    stage.run("bob", &format!("egoat get {link}"));
    assert_eq!(fs::read_to_string(stage.path("bob", "disk.img")).unwrap(), "image");
    assert_eq!(share.0.end().0, Some(0));
    finish(stage.typed("bob", &format!("egoat get {link}")), b"", 69);
    assert_eq!((stage.alice.run(&["peers"]), stage.bob.run(&["peers"])), (String::new(), String::new()));
}

fn each_day(lines: &[&str]) {
    let stage = Stage::new();
    stage.alice.run(&["peers", "add", "bob", &stage.bob.key()]);
    logs::receive(&logs::open(&stage.alice), "bob", &["of today"]);
    // What is printed, cron mails.
    assert_eq!(stage.run("alice", lines[0].strip_prefix("@daily ").unwrap()), "");
    assert_eq!(stage.alice.received(), ["of today"]);
}

/// An archive that brings a link out of the directory, and one with a file behind that link.
fn planted(stage: &Stage, who: &str) -> [PathBuf; 2] {
    put(&stage.path(who, "outside/mine"), b"mine");
    let outside = stage.path(who, "outside");
    let pack = |name: &str, members: &[&str], make: &dyn Fn(&Path)| {
        let from = stage.dir.path().join(name);
        fs::create_dir(&from).unwrap();
        make(&from);
        let archive = stage.dir.path().join(format!("{name}.tar"));
        let packed = Command::new("tar").arg("cf").arg(&archive).arg("-C").arg(&from).args(members).status();
        assert!(packed.unwrap().success());
        archive
    };
    let link = pack("link", &["photos"], &|from| {
        fs::create_dir(from.join("photos")).unwrap();
        symlink(&outside, from.join("photos/out")).unwrap();
    });
    // Without the directory, which would take the place of the link.
    let file = pack("behind", &["photos/out/evil", "photos/out/mine"], &|from| {
        put(&from.join("photos/out/evil"), b"evil");
        put(&from.join("photos/out/mine"), b"evil");
    });
    [link, file]
}

/// Nothing is behind the planted link but what was there.
fn is_unharmed(stage: &Stage, who: &str) {
    assert_eq!(names_in(&stage.path(who, "outside")), ["mine"]);
    assert_eq!(fs::read_to_string(stage.path(who, "outside/mine")).unwrap(), "mine");
}

fn a_directory_as_it_is(lines: &[&str]) {
    let [receive, unpack, send] = lines else { panic!("{lines:?}") };
    let receive = &format!("{receive}\n{unpack}");
    let stage = Stage::new();
    stage.alice.run(&["peers", "add", "bob", &stage.bob.key(), "127.0.0.1"]);
    stage.bob.run(&["peers", "add", "alice", &stage.alice.key()]);
    fs::create_dir(stage.path("alice", "photos")).unwrap();
    symlink("of-you.jpg", stage.path("alice", "photos/best.jpg")).unwrap();
    let mut receiver = stage.start("bob", receive);
    stage.run("alice", send);
    assert_eq!(receiver.0.end().0, Some(0));
    assert_eq!(fs::read_link(stage.path("bob", "new/photos/best.jpg")).unwrap(), Path::new("of-you.jpg"));
    // Where an earlier archive is, the next is not unpacked.
    let mut receiver = stage.start("bob", receive);
    let (code, _, said) = receiver.0.end();
    assert!(code != Some(0) && said.contains("mkdir"), "{said}");
    // One archive with both.
    let [link, behind] = planted(&stage, "bob");
    let joined = stage.dir.path().join("both.tar");
    fs::copy(&link, &joined).unwrap();
    assert!(Command::new("tar").arg("-Af").args([&joined, &behind]).status().unwrap().success());
    fs::rename(stage.path("bob", "new"), stage.path("bob", "old")).unwrap();
    let mut receiver = stage.start("bob", receive);
    stage.run("alice", &format!("egoat send --wait 5m bob - <'{}'", joined.display()));
    receiver.0.end();
    is_unharmed(&stage, "bob");
}

fn something_large(lines: &[&str]) {
    let stage = Stage::new();
    stage.alice.run(&["peers", "add", "bob", &stage.bob.key(), "127.0.0.1"]);
    stage.bob.run(&["peers", "add", "alice", &stage.alice.key()]);
    let image = vec![7; 3 << 20];
    fs::write(stage.path("alice", "disk.img"), &image).unwrap();
    // He comes when it is tried already.
    let sender = stage.start("alice", lines[0]);
    let _node = Process::start(stage.lan.cmd(stage.bob.cmd(&["serve"])));
    let Group(sender) = &sender;
    sender.wait_to_say("disk.img");
    poll_until("the image", || {
        fs::read(stage.bob.path("downloads/alice/disk.img")).ok().filter(|received| *received == image)
    });
}

fn messages_as_they_come(lines: &[&str]) {
    let (stage, _node) = Stage::with_node_of_alice();
    let (output, number) = (stage.path("alice", "output"), &mut 0);
    let stdout = Stdio::from(File::create(&output).unwrap());
    let follower = stage.typed("alice", &lines.join("\n"));
    let _follower = Group(Process::start_between(follower, Stdio::null(), stdout));
    // Where it begins to follow is not to be seen.
    let seen = poll_until("a message", || {
        *number += 1;
        stage.run("bob", &format!("egoat say --wait 30s alice 'number {number}\nand more'"));
        fs::read_to_string(&output).ok().filter(|text| text.lines().count() >= 2)
    });
    assert!(
        seen.lines().next().unwrap().starts_with("\"number ") && seen.contains("\\nand more\"\n"),
        "{seen}"
    );
    stage.run("bob", &format!("egoat say --wait 30s alice '{ATTACK}'"));
    let seen = poll_until("the attack", || {
        fs::read_to_string(&output).ok().filter(|text| text.lines().any(|line| line.contains("gone")))
    });
    is_tame(&seen);
}

/// Clears the screen, sets the title, turns the line around, as a terminal of 7 and of 8 bits reads it.
const ATTACK: &str = "\x1b[2J\x1b]0;title\x07 \u{9b}2J \u{202e}gone\u{7f}";

/// Nothing in it acts on a terminal.
fn is_tame(printed: &str) {
    assert!(printed.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{printed:?}");
}

fn over_a_login(lines: &[&str]) {
    let stage = Stage::new();
    let mut node = Process::start(stage.lan.cmd(stage.alice.cmd(&["serve"])));
    node.wait_for("listening on ");
    let home = stage.alice.path("");
    stage.program("ssh", &format!("[ $1 = server ] && shift && EGOAT_HOME='{}' exec \"$@\"", home.display()));
    assert!(stage.run("bob", lines[0]).starts_with("paired with server, fingerprint "));
    assert!(stage.alice.run(&["peers"]).contains(&stage.bob.fingerprint()));
}

/// The script is killed, and goes on with what came meanwhile.
fn from_where_it_was(lines: &[&str]) {
    let (stage, _node) = Stage::with_node_of_alice();
    fs::create_dir(stage.path("alice", ".cache")).unwrap();
    let cursor = || fs::read(stage.path("alice", ".cache/egoat.cursor")).ok();
    for text in ["one", "two", ATTACK] {
        let before = cursor();
        stage.run("bob", &format!("egoat say --wait 30s alice '{text}'"));
        let mut script = stage.start("alice", &lines.join("\n"));
        let printed = script.0.next_line().unwrap();
        is_tame(&printed);
        assert!(text == ATTACK || printed == format!("\"{text}\""), "{printed}");
        poll_until("the cursor behind it", || (cursor() != before).then_some(()));
    }
}

fn a_status_line(lines: &[&str]) {
    let (stage, _node) = Stage::with_node_of_alice();
    stage.run("bob", "egoat say --wait 30s alice hello; egoat say --wait 30s alice again");
    assert_eq!(stage.run("alice", lines[0]), "bob 2\n");
}

/// The script of an example, in Alice's folder, and the line that uses it.
fn saved<'a>(stage: &Stage, lines: &[&'a str]) -> &'a str {
    let [cat, script @ .., line] = lines else { panic!("{lines:?}") };
    let path = stage.path("alice", cat.trim_start_matches("$ cat "));
    fs::write(&path, script.join("\n") + "\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    line.trim_start_matches("$ ")
}

/// Alice's node with that line, which Bob knows.
fn node_by(stage: &Stage, line: &str) -> Group {
    stage.alice.run(&["peers", "add", "bob", &stage.bob.key()]);
    stage.bob.run(&["peers", "add", "alice", &stage.alice.key(), "127.0.0.1"]);
    let mut node = stage.start("alice", line);
    node.0.wait_for("listening on ");
    node
}

fn an_answer(lines: &[&str]) {
    let stage = Stage::new();
    stage.program("uptime", "echo up for long");
    let _node = node_by(&stage, saved(&stage, lines));
    stage.run("bob", "egoat say --wait 30s alice hello; egoat say --wait 30s alice uptime");
    poll_until("an answer", || {
        stage.run("bob", "egoat fetch");
        (stage.bob.received() == ["up for long"]).then_some(())
    });
}

fn what_comes_is_unpacked(lines: &[&str]) {
    let stage = Stage::new();
    fs::create_dir(stage.path("alice", "in")).unwrap();
    let mut node = node_by(&stage, saved(&stage, lines));
    let [link, behind] = planted(&stage, "alice");
    fs::write(stage.path("bob", "broken.tar"), "no tar").unwrap();
    fs::write(stage.path("bob", "photo.jpg"), "no archive").unwrap();
    for path in [&link, &behind, &stage.path("bob", "broken.tar"), &stage.path("bob", "photo.jpg")] {
        stage.run("bob", &format!("egoat send alice '{}'", path.display()));
        let told = node.0.wait_for("hook for ");
        assert!(told.ends_with(": done"), "{told}");
    }
    is_unharmed(&stage, "alice");
    let unpacked = names_in(&stage.path("alice", "in"));
    assert_eq!(unpacked.len(), 2, "{unpacked:?}");
    assert!(unpacked.iter().any(|dir| stage.path("alice", "in").join(dir).join("photos/out/evil").is_file()));
    assert_eq!(names_in(&stage.alice.path("downloads/bob")), ["broken.tar", "photo.jpg"]);
}

fn each_hour(lines: &[&str]) {
    let (stage, _node) = Stage::with_node_of_alice();
    fs::create_dir(stage.path("alice", ".cache")).unwrap();
    let command = lines[0].split(' ').skip(5).collect::<Vec<_>>().join(" ");
    assert_eq!(stage.run("alice", &command), "");
    stage.run("bob", "egoat say --wait 30s alice hello");
    assert!(stage.run("alice", &command).ends_with(" bob: hello\n"));
    assert_eq!(stage.run("alice", &command), "");
}

/// A part of a configuration: it has to lead to where the next example listens.
fn an_onion_service(lines: &[&str]) {
    let [_, "HiddenServicePort 4628 127.0.0.1:4628"] = lines else { panic!("{lines:?}") };
}

fn through_tor(lines: &[&str]) {
    let [proxy, serve, invite, proxy_too, join, serve_too] = lines else { panic!("{lines:?}") };
    let stage = Stage::new();
    // The homes of a stage are elsewhere.
    for (who, proxy) in [("alice", proxy), ("bob", proxy_too)] {
        stage.run(who, &proxy.replace("~/.local/share/egoat", "\"$EGOAT_HOME\""));
    }
    // In the place of Tor: a proxy that knows the name.
    let hosts = stage.path("bin", "hosts");
    fs::write(&hosts, "127.0.0.1 xyz.onion\n").unwrap();
    let mut tor = Command::new("unshare");
    tor.args(["-m", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec microsocks -i 127.0.0.1 -p 9050"]);
    let _tor = Process::start(stage.lan.cmd({
        tor.arg(&hosts);
        tor
    }));
    let mut node = stage.start("alice", &format!("{serve}\nwait"));
    node.0.wait_for("listening on 127.0.0.1:4628");
    let link = stage.run("alice", invite);
    let join = stage.typed("bob", &format!("{join} -"));
    assert!(finish(join, link.as_bytes(), 0).0.starts_with("paired with alice"));
    drop(node);
    let serve_too = format!("{}\nwait", serve_too.trim_start_matches("bob$ "));
    let (_node, line) = poll_until("the old port to be free", || {
        let mut node = stage.start("bob", &serve_too);
        node.0.next_line().map(|line| (node, line))
    });
    assert_eq!(line, "listening on 127.0.0.1:4628");
}
