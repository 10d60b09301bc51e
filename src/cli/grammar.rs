//! The grammar of the command line, as the help texts tell it: the commands there are, their options and arguments, and
//! where in it a line of words has got to. It is read from the texts that argh makes of `args.rs`, so that nothing is
//! written twice; argh's own table of the same (`ArgsInfo`) takes several times as many bytes. It leaves out what the
//! values mean.

use argh::FromArgs;

use crate::cli::args::Egoat;

const HELP: &str = "help";

/// A command, an option or an argument.
pub struct Entry {
    /// As it is typed, `--wait` or `list`, or the name that stands for an argument.
    pub name: String,
    /// What the help says of it.
    pub about: String,
    /// The short form of an option.
    short: Option<String>,
    /// The name of what stands behind an option.
    value: Option<String>,
    repeats: bool,
}

/// What may stand behind a command, or behind the program's name.
pub struct Level {
    /// All of it, to be read.
    pub help: String,
    /// The commands below.
    pub commands: Vec<Entry>,
    /// The options.
    pub options: Vec<Entry>,
    arguments: Vec<Entry>,
}

impl Level {
    fn of(path: &[&str]) -> Level {
        let words = [path, &["--help"]].concat();
        let help = Egoat::from_args(&["egoat"], &words).err().map(|exit| exit.output).unwrap_or_default();
        let usage = help.lines().next().unwrap_or_default();
        let options = section(&help, "Options:", usage);
        let mut commands = section(&help, "Commands:", "");
        if path.is_empty() {
            // argh reserves the name, and does nothing with it.
            commands.push(entry(HELP, "Print the help of a command.", ""));
        }
        let arguments = section(&help, "Positional Arguments:", usage);
        Level { commands, options, arguments, help }
    }

    fn option(&self, word: &str) -> Option<&Entry> {
        self.options.iter().find(|option| option.name == word || option.short.as_deref() == Some(word))
    }

    /// The argument behind so many others.
    fn argument(&self, behind: usize) -> Option<&Entry> {
        self.arguments.get(behind).or_else(|| self.arguments.last().filter(|last| last.repeats))
    }
}

/// The entries under a title: each on a line, its words from column 20, where the lines that follow go on with them.
fn section(help: &str, title: &str, usage: &str) -> Vec<Entry> {
    let lines = help.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.is_empty());
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines {
        let (name, about) = line.trim_start().split_once("  ").unwrap_or((line.trim_start(), ""));
        match entries.last_mut() {
            Some(last) if line.starts_with("    ") => last.about = format!("{} {}", last.about, line.trim()),
            _ => entries.push(entry(name, about.trim(), usage)),
        }
    }
    entries
}

fn entry(names: &str, about: &str, usage: &str) -> Entry {
    let (short, name) = names.split_once(", ").unzip();
    let name = name.unwrap_or(names);
    // `[--listen <addr...>]`, `[<text...>]`
    let value = [name, short.unwrap_or(name)].into_iter().find_map(|flag| {
        let behind = usage.split_once(&format!("[{flag} <"))?.1;
        behind.split_once('>').map(|(value, _)| value)
    });
    let shown = value.unwrap_or_default();
    Entry {
        name: name.to_owned(),
        about: about.to_owned(),
        short: short.map(str::to_owned),
        value: value.map(|value| value.trim_end_matches("...").to_owned()),
        repeats: shown.ends_with("...") || usage.contains(&format!("<{name}...>")),
    }
}

/// Where a line of words has got to.
pub struct Place<'a> {
    path: Vec<&'a str>,
    /// What may follow.
    pub level: Level,
    /// The value of `--home`.
    pub home: Option<&'a str>,
    /// Help is asked for: by an option, or as the command.
    pub is_help: bool,
    /// A word that has no place in the grammar.
    pub astray: Option<&'a str>,
    /// The options of this level that were given.
    given: Vec<String>,
    /// The name of the value that must come next.
    value: Option<String>,
    /// All words but the arguments.
    others: Vec<&'a str>,
    arguments: Vec<&'a str>,
    options_ended: bool,
}

impl<'a> Place<'a> {
    /// Behind all of the words.
    pub fn behind(words: &[&'a str]) -> Place<'a> {
        let mut place = Place {
            path: Vec::new(),
            level: Level::of(&[]),
            home: None,
            is_help: false,
            astray: None,
            given: Vec::new(),
            value: None,
            others: Vec::new(),
            arguments: Vec::new(),
            options_ended: false,
        };
        words.iter().for_each(|word| place.pass(word));
        place
    }

    /// The same words with the arguments last, behind `--`: argh takes a lone `-` for an option elsewhere.
    pub fn sorted(&self) -> Vec<&'a str> {
        if self.arguments.is_empty() || self.value.is_some() {
            // Without its value an option is an error, and `--` is none.
            return self.others.clone();
        }
        [&self.others[..], &["--"], &self.arguments].concat()
    }

    fn pass(&mut self, word: &'a str) {
        if self.value.take().is_some() {
            self.others.push(word);
            if self.given.last().is_some_and(|option| option == "--home") {
                self.home = Some(word);
            }
        } else if self.options_ended || !word.starts_with('-') || word == "-" {
            self.pass_word(word);
        } else if word == "--" {
            self.options_ended = true;
        } else {
            self.others.push(word);
            self.pass_option(word);
        }
    }

    fn pass_option(&mut self, word: &'a str) {
        if word == "-h" || word == "--help" {
            self.is_help = true;
        } else if let Some(option) = self.level.option(word) {
            self.given.push(option.name.clone());
            self.value = option.value.clone();
        } else {
            self.astray.get_or_insert(word);
        }
    }

    fn pass_word(&mut self, word: &'a str) {
        if self.path.is_empty() && word == HELP {
            self.others.push(word);
            self.is_help = true;
        } else if self.level.commands.iter().any(|command| command.name == word) {
            self.others.push(word);
            self.path.push(word);
            self.level = Level::of(&self.path);
            self.given.clear();
            // Each command has its own.
            self.options_ended = false;
        } else if self.level.argument(self.arguments.len()).is_none() {
            // Behind what has a place, so that argh does not complain of that.
            let words = if self.arguments.is_empty() { &mut self.others } else { &mut self.arguments };
            words.push(word);
            self.astray.get_or_insert(word);
        } else {
            self.arguments.push(word);
        }
    }

    /// What comes next, if it is the value of an option or an argument: its name, and what the help says of it.
    pub fn next(&self) -> Option<(&str, &str)> {
        match (&self.value, self.given.last()) {
            (Some(value), Some(option)) => Some((value, &self.level.option(option)?.about)),
            _ => self
                .level
                .argument(self.arguments.len())
                .map(|entry| (entry.name.as_str(), entry.about.as_str())),
        }
    }

    /// Whether an option may come next, rather than the value of one.
    pub fn takes_options(&self) -> bool {
        self.value.is_none() && !self.options_ended
    }

    /// The options that may still be given.
    pub fn options(&self) -> impl Iterator<Item = &Entry> {
        self.level.options.iter().filter(|option| option.repeats || !self.given.contains(&option.name))
    }
}
