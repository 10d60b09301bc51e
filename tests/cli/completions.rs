//! Completion in bash, zsh and fish: what each of them makes of the beginning of a command line, asked of the shell's
//! function, and typed at its prompt.

use crate::common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::tmux::Terminal;
use common::{EGOAT, Home, finish, help, poll_until};

/// The functions that a script uses are replaced by such as tell of it.
const BASH: &str = r#"
source <(egoat completions bash)
compopt() { echo "${2/%s/}:$2"; }
COMP_LINE="egoat $1" COMP_POINT=$((${#1} + 6)) COMP_WORDBREAKS=' '
read -ra COMP_WORDS <<<"$COMP_LINE"
[[ $COMP_LINE == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_egoat > >(sed -e 's/^.*:default/:files/' -e 's/^.*:dirnames/:dirs/' -e '/nospace/d')
printf '%s\n' "${COMPREPLY[@]}"
"#;

const ZSH: &str = r#"
compdef() { : }
source <(egoat completions zsh)
_describe() { print -rl -- "${(@)${(@P)2}%%:*}" }
compadd() { print -rl -- "${(@P)4}" }
_files() { [[ $1 == -/ ]] && echo :dirs || echo :files }
_command_names() { echo :programs }
compset() { : }
words=(egoat "${(@s: :)1}") CURRENT=$#words PREFIX=$words[-1]
_egoat
"#;

const FISH: &str = "egoat completions fish | source; complete -C \"egoat $argv[1]\"";

/// Ours comes first in PATH, and all that a shell writes goes to its own folder.
fn beside(home: &Home, shell: &str) -> Command {
    let bin = Path::new(EGOAT).parent().unwrap().display().to_string();
    let mut command = Command::new(shell);
    command.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()));
    command.env("EGOAT_HOME", home.path("")).env("HOME", home.path("shells")).env("TERM", "xterm");
    command.env_remove("EGOAT_PASSPHRASE_FD").current_dir(home.path("here"));
    command
}

/// What the shell offers for the end of `egoat LINE`, in alphabetical order.
fn offered(home: &Home, shell: &str, line: &str) -> Vec<String> {
    let mut command = beside(home, shell);
    match shell {
        "bash" => command.args(["--norc", "-c", BASH, "bash", line]),
        "zsh" => command.args(["-f", "-c", ZSH, "zsh", line]),
        _ => command.args(["--no-config", "-c", FISH, "--", line]),
    };
    let (stdout, stderr) = finish(command, b"", 0);
    assert_eq!(stderr, "", "{shell}: {line}");
    let last = line.rsplit(' ').next().unwrap();
    let words = stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned());
    // zsh itself takes those that fit.
    let mut words: Vec<String> =
        words.filter(|word| !word.is_empty() && (word.starts_with(':') || word.starts_with(last))).collect();
    words.sort();
    words
}

fn home() -> Home {
    let home = Home::new("alice");
    for name in ["bea", "bob", "bob@work", "carol"] {
        home.run(&["peers", "add", name, &Home::new(name).key()]);
    }
    for folder in ["here", "here/below", "shells"] {
        fs::create_dir(home.path(folder)).unwrap();
    }
    home.file("here/notes.txt", "");
    home
}

#[test]
fn all_shells_offer_commands_options_peers_and_values() {
    let (home, other) = (home(), Home::new("other"));
    other.run(&["peers", "add", "dora", &home.key()]);
    let elsewhere = format!("--home {} say ", other.path("").display());
    let elsewhere_joined = format!("--home={} say ", other.path("").display());
    let elsewhere_after = format!("say --home {} ", other.path("").display());
    let cases: &[(&str, &[&str])] = &[
        ("pe", &["peers"]),
        ("se", &["send", "serve"]),
        ("--q", &["--quiet"]),
        ("-q --", &["--help", "--home", "--json", "--proxy", "--version"]),
        ("peers re", &["remove", "rename", "requests"]),
        ("outbox ", &["cancel", "list", "retry"]),
        ("say b", &["bea", "bob", "bob@work"]),
        ("say --id x ca", &["carol"]),
        ("say bob@w", &["bob@work"]),
        ("say bob ", &[]),
        ("say --w", &["--wait"]),
        ("say --wait ", &[]),
        ("say --wait 3s --w", &[]),
        ("say -- b", &["bea", "bob", "bob@work"]),
        ("serve --listen x --listen y --l", &["--listen"]),
        ("receive --from ca", &["carol"]),
        ("peers add ", &[]),
        ("peers rename ca", &["carol"]),
        ("peers rename carol ", &[]),
        ("peers set bob files=a", &["files=accept", "files=ask"]),
        ("peers set bob files=ask q", &["quota="]),
        ("log --since t", &["today"]),
        ("completions ", &["bash", "fish", "zsh"]),
        ("help pee", &["peers"]),
        ("help peers sho", &["show"]),
        ("peers bogus ", &[]),
        ("say --no-such-option ", &[]),
        // Global options, wherever the line has come to.
        ("say --j", &["--json"]),
        ("peers set bob --h", &["--help", "--home"]),
        ("--json say --j", &[]),
        ("say bob --quiet --q", &[]),
        ("say -- --j", &[]),
        // The value in the same word.
        ("receive --from=ca", &["--from=carol"]),
        ("receive --from=bob@w", &["--from=bob@work"]),
        ("receive --from=carol --from=c", &[]),
        ("log --since=", &["--since=today", "--since=yesterday"]),
        ("log --since=t bo", &["bob", "bob@work"]),
        ("say --wait=", &[]),
        ("say --json=", &[]),
        ("say -- --from=c", &[]),
        ("say --id --from=c b", &["bea", "bob", "bob@work"]),
        (&elsewhere, &["dora"]),
        (&elsewhere_joined, &["dora"]),
        (&elsewhere_after, &["dora"]),
    ];
    for (line, expected) in cases {
        for shell in ["bash", "zsh", "fish"] {
            assert_eq!(offered(&home, shell, line), *expected, "{shell}: egoat {line}");
        }
    }
}

#[test]
fn all_shells_offer_files_folders_and_programs() {
    let home = home();
    for shell in ["bash", "zsh"] {
        assert_eq!(offered(&home, shell, "send bob "), [":files"], "{shell}");
        assert_eq!(offered(&home, shell, "send bob a b"), [":files"], "{shell}");
        assert_eq!(offered(&home, shell, "serve --downloads "), [":dirs"], "{shell}");
        assert_eq!(offered(&home, shell, "serve --downloads=be"), [":dirs"], "{shell}");
        assert_eq!(offered(&home, shell, "log --cursor=no"), [":files"], "{shell}");
    }
    assert_eq!(offered(&home, "fish", "send bob a "), ["below/", "notes.txt"]);
    assert_eq!(offered(&home, "fish", "serve --downloads "), ["below/"]);
    assert_eq!(offered(&home, "fish", "serve --downloads=be"), ["--downloads=below/"]);
    assert_eq!(offered(&home, "fish", "log --cursor=no"), ["--cursor=notes.txt"]);
    for shell in ["bash", "fish"] {
        assert!(offered(&home, shell, "chat --notify tmu").contains(&"tmux".to_owned()), "{shell}");
        let joined = offered(&home, shell, "chat --notify=tmu");
        assert!(joined.contains(&"--notify=tmux".to_owned()), "{shell}: {joined:?}");
    }
}

/// All that the help texts list is offered, without being written down a second time.
#[test]
fn every_command_and_option_of_the_help_is_offered() {
    let home = home();
    let global = help::listed(&home.run(&["--help"]), "Options:");
    for (path, help) in help::commands(&home) {
        let line = if path.is_empty() { path } else { path + " " };
        let mut options = help::listed(&help, "Options:");
        options.extend(global.iter().filter(|names| !options.contains(names)).cloned().collect::<Vec<_>>());
        options.iter_mut().for_each(|names| *names = names.rsplit(", ").next().unwrap().to_owned());
        options.sort();
        assert_eq!(offered(&home, "fish", &format!("{line}--")), options, "{line:?}");
        let mut commands = help::listed(&help, "Commands:");
        if !commands.is_empty() {
            commands.extend(line.is_empty().then(|| "help".to_owned()));
            // What is shared may stand there as well.
            let files = if line == "share " { &["below/", "notes.txt"][..] } else { &[] };
            commands.extend(files.iter().map(|file| (*file).to_owned()));
            commands.sort();
            assert_eq!(offered(&home, "fish", &line), commands, "{line:?}");
        }
    }
}

#[test]
fn typed_at_a_prompt_a_word_is_completed() {
    let home = home();
    let functions = home.path("functions");
    fs::create_dir(&functions).unwrap();
    let script = finish(by_name(&home, "zsh"), b"", 0).0;
    fs::write(functions.join("_egoat"), script).unwrap();
    let zsh = format!("fpath=({} $fpath); autoload -U compinit; compinit -u", functions.display());
    // They read it before their first prompt: what is typed earlier can get lost.
    for (shell, file, begin) in [
        ("bash --rcfile ~/begin", "begin", "source <(egoat completions bash); PS1='ready> '"),
        ("zsh -d", ".zshrc", &format!("{zsh}; PS1='ready> '")),
        (
            "fish --no-config --init-command 'source ~/begin'",
            "begin",
            "egoat completions fish | source; function fish_prompt; echo -n 'ready> '; end",
        ),
    ] {
        fs::write(home.path("shells").join(file), begin).unwrap();
        let Some(terminal) = Terminal::open(100) else { panic!("there is no tmux here") };
        let shown = beside(&home, "sh");
        for (name, value) in shown.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            terminal.type_line(&format!("export {}='{}'", name.display(), value.display()));
        }
        terminal.type_line(&format!("cd '{}'; clear; exec {shell}", home.path("here").display()));
        terminal.wait_for("ready>");
        for steps in [
            &[("egoat pe", "egoat peers "), ("sho", "egoat peers show "), ("ca", "egoat peers show carol ")]
                as &[_],
            &[("egoat sa", "egoat say "), ("bob@w", "egoat say bob@work ")],
            &[
                ("egoat peers set bob fi", "egoat peers set bob files="),
                ("as", "egoat peers set bob files=ask "),
            ],
            &[("egoat peers set bob quo", "egoat peers set bob quota=")],
            &[("egoat send bob not", "egoat send bob notes.txt ")],
            &[("egoat serve --down", "egoat serve --downloads "), ("bel", "egoat serve --downloads below/")],
            &[("egoat serve --downloads=bel", "egoat serve --downloads=below/")],
            &[("egoat receive --from=car", "egoat receive --from=carol ")],
            &[("egoat say carol --js", "egoat say carol --json ")],
        ] {
            for (typed, becomes) in steps {
                terminal.tmux(&["send-keys", "-l", typed]).unwrap();
                terminal.tmux(&["send-keys", "Tab"]).unwrap();
                terminal.wait_for(becomes.trim_end());
            }
            // A letter behind it shows whether there is a blank.
            terminal.tmux(&["send-keys", "-l", "X"]).unwrap();
            terminal.wait_for(&format!("{}X", steps.last().unwrap().1));
            // Not Ctrl-C, with which what is typed next can get lost, too.
            terminal.tmux(&["send-keys", "C-u"]).unwrap();
            poll_until("an empty line", || (!terminal.screen().contains("egoat")).then_some(()));
        }
    }
}

fn by_name(home: &Home, shell: &str) -> Command {
    home.cmd(&["completions", shell])
}

#[test]
fn nothing_is_made_asked_or_told() {
    let home = home();
    let missing = home.path("missing");
    let ask = |dir: &Path| {
        let mut command = Command::new(EGOAT);
        command
            .arg("--home")
            .arg(dir)
            .args(["completions", "bash", "--", "--home"])
            .arg(dir)
            .args(["say", ""]);
        finish(command, b"", 0)
    };
    assert_eq!(ask(&missing), Default::default());
    assert!(!missing.exists());
    // With a passphrase, and nobody to ask for it.
    let mut command = home.cmd(&["id", "--passphrase"]);
    command.env("EGOAT_PASSPHRASE_FD", "0");
    finish(command, b"a passphrase\n", 0);
    assert_eq!(ask(&home.path("")), ("bea\nbob\nbob@work\ncarol\n".into(), String::new()));
    // A mistake in the file of peers is told by the command, not while it is typed.
    fs::write(home.path("peers"), "what is this").unwrap();
    assert_eq!(ask(&home.path("")), Default::default());
}

#[test]
fn other_shells_are_an_error_that_names_those_there_are() {
    let said = finish(by_name(&home(), "tcsh"), b"", 2).1;
    assert!(said.contains("bash, zsh and fish"), "{said}");
}

#[test]
fn help_is_a_command_and_an_option_before_or_behind_one() {
    let home = Home::new("alice");
    let help = |line: &str| home.run(&line.split(' ').collect::<Vec<_>>());
    let usage = help("peers set --help");
    assert!(usage.starts_with("Usage: egoat peers set "), "{usage}");
    for line in [
        "peers set -h",
        "help peers set",
        "-h peers set",
        "peers -h set",
        "-q help peers set bob",
        "--json --help peers set",
    ] {
        assert_eq!(help(line), usage, "{line}");
    }
    assert_eq!(help("help"), help("--help"));
    assert_eq!(help("help help"), help("--help"));
    for line in ["help bogus", "help peers bogus", "bogus -h"] {
        let said = home.fails(&line.split(' ').collect::<Vec<_>>(), 2);
        assert!(said.contains("has no command bogus\n") && said.contains("hint: "), "{said}");
    }
}

#[test]
fn options_take_their_value_in_the_same_word_and_global_ones_go_after_the_command() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    alice.run(&["peers", "add", "bob", &bob.key()]);
    alice.run(&["say", "bob", "--id=a=b", "--quiet", "first", "-"]);
    alice.run(&["say", "--id", "--json", "bob", "--", "second", "--home=x", "--", "-q"]);
    let queued = alice.run(&["outbox", "list", "--json"]);
    assert!(queued.contains(r#""key":"a=b","text":"first -""#), "{queued}");
    assert!(queued.contains(r#""key":"--json","text":"second --home=x -- -q""#), "{queued}");
    let elsewhere = |args: &[&str]| {
        let mut command = Command::new(EGOAT);
        command.args(args).env("EGOAT_HOME", "/dev/null/home");
        finish(command, b"", 0).0
    };
    let path = alice.path("").display().to_string();
    assert!(elsewhere(&["id", &format!("--home={path}")]).contains(&alice.key()));
    assert!(elsewhere(&["peers", "show", "bob", "--home", &path]).contains(&bob.key()));
    assert!(elsewhere(&["peers", "show", "--version"]).starts_with("egoat "));
    assert!(alice.fails(&["id", "--home", "x"], 2).contains("'--home'"));
    assert!(alice.fails(&["--json=yes", "id"], 2).contains("option '--json' takes no value\n"));
}

#[test]
fn a_mistyped_command_or_option_is_an_error_that_hints_at_the_nearest() {
    let home = Home::new("alice");
    for (line, error, hint) in [
        ("peesr", "egoat has no command peesr", "did you mean `peers`?"),
        ("peers shwo bob", "egoat peers has no command shwo", "did you mean `show`?"),
        ("say bob --wiat=3s", "egoat say has no option --wiat", "did you mean `--wait`?"),
        ("xyzzy", "egoat has no command xyzzy", "`egoat --help` lists the commands"),
    ] {
        let said = home.fails(&line.split(' ').collect::<Vec<_>>(), 2);
        assert_eq!(said, format!("egoat: error: {error}\negoat: hint: {hint}\n"), "{line}");
    }
}
