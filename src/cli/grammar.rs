//! The grammar of the command line: how far a line of words has come in the table of commands (`args.rs`), which argh
//! gives as `ArgsInfo`. argh itself parses no `--opt=value`, accepts an option only next to its own command, and takes a
//! lone `-` for an option. So every line is read here first, and argh gets it in the order that argh understands. The
//! module leaves out what the values mean.

use argh::{ArgsInfo, CommandInfoWithArgs, EarlyExit, FlagInfo, FlagInfoKind, FromArgs, Optionality};

use crate::app::Link;
use crate::cli::args::Egoat;
use crate::error::{Error, Result, lower_first};
use crate::text::spelling::nearest;

const PROGRAM: &str = "egoat";

/// argh reserves this name of a command, but does nothing with it.
const HELP: &str = "help";

/// The option that every command has. argh's table does not list its short form, `-h`.
const HELP_OPTION: &str = "--help";

/// Ends the options of a line.
const END: &str = "--";

/// What takes a link: nobody can tell by looking at it which of the two it is.
const LINK_HINT: &str =
    "`egoat send LINK FILE...` if an `egoat receive` printed it, `egoat join LINK` if an `egoat invite` did";

type Flag = FlagInfo<'static>;

/// A command or an option as it is typed, or the name of a value, with what the help says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordHelp {
    /// `--wait`, `list`, or what stands for the value.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
}

/// How far a line of words has come.
pub struct ParsedWords<'a> {
    /// The names of the commands so far, from the outermost.
    path: Vec<&'static str>,
    /// The innermost of them, or the program.
    command: CommandInfoWithArgs,
    /// The options of the program, which every command accepts.
    globals: &'static [Flag],
    /// The value of `--home`.
    pub home: Option<&'a str>,
    /// The line asks for help, by an option or by the command.
    pub is_help: bool,
    /// The first word that does not fit.
    pub mistake: Option<Error>,
    /// The long names of the options so far.
    given: Vec<&'static str>,
    /// The option whose value comes next.
    pending: Option<&'static Flag>,
    /// Global options with their values.
    global_words: Vec<&'a str>,
    /// Commands, each with its own options behind it.
    words: Vec<&'a str>,
    arguments: Vec<&'a str>,
    options_ended: bool,
}

impl<'a> ParsedWords<'a> {
    /// The place after all of `words`.
    pub fn after(words: &[&'a str]) -> ParsedWords<'a> {
        let program = Egoat::get_args_info();
        let mut place = ParsedWords {
            path: Vec::new(),
            globals: program.flags,
            command: program,
            home: None,
            is_help: false,
            mistake: None,
            given: Vec::new(),
            pending: None,
            global_words: Vec::new(),
            words: Vec::new(),
            arguments: Vec::new(),
            options_ended: false,
        };
        words.iter().for_each(|word| place.read(word));
        place
    }

    /// The parsed line.
    pub fn parse(self) -> Result<Egoat> {
        let hint = self.hint("arguments and options");
        Egoat::from_args(&[PROGRAM], &self.ordered()?).map_err(|exit| refused(&exit, hint))
    }

    /// The line as argh understands it: global options, commands with their own, and after `--` the arguments.
    fn ordered(mut self) -> Result<Vec<&'a str>> {
        if let Some(option) = self.pending {
            self.refuse(format!("no value provided for option '{}'", option.long), self.hint("options"));
        }
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        if self.given.contains(&"--version") {
            // The command need not be complete for that.
            return Ok(self.global_words);
        }
        let end: &[&str] = if self.arguments.is_empty() { &[] } else { &[END] };
        Ok([&self.global_words, &self.words, end, &self.arguments].concat())
    }

    /// The help of the command.
    pub fn help(self) -> Result<String> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let line = [&self.path[..], &[HELP_OPTION]].concat();
        let mut help = Egoat::from_args(&[PROGRAM], &line).err().map(|exit| exit.output).unwrap_or_default();
        if !self.path.is_empty() {
            help.push_str("\nEvery command also takes the options that egoat --help lists.\n");
        }
        Ok(help)
    }

    fn read(&mut self, word: &'a str) {
        if let Some(option) = self.pending.take() {
            self.read_value(option, word);
        } else if self.options_ended || word == "-" || !word.starts_with('-') {
            self.read_name(word);
        } else if word == END {
            self.options_ended = true;
        } else {
            self.read_option(word);
        }
    }

    fn read_option(&mut self, word: &'a str) {
        let (name, value) = parted(word).map_or((word, None), |(name, value)| (name, Some(value)));
        let Some(option) = self.option(name) else { return self.refuse_option(name) };
        self.given.push(option.long);
        match (&option.kind, value) {
            (FlagInfoKind::Switch, Some(_)) => {
                self.refuse(format!("option '{}' takes no value", option.long), self.hint("options"));
            }
            (FlagInfoKind::Switch, None) if option.long == HELP_OPTION => self.is_help = true,
            (FlagInfoKind::Switch, None) => self.words_with(option).push(option.long),
            (FlagInfoKind::Option { .. }, None) => self.pending = Some(option),
            (FlagInfoKind::Option { .. }, Some(value)) => self.read_value(option, value),
        }
    }

    fn read_value(&mut self, option: &'static Flag, value: &'a str) {
        if option.long == "--home" {
            self.home = Some(value);
        }
        self.words_with(option).extend([option.long, value]);
    }

    /// Reads a command or an argument.
    fn read_name(&mut self, word: &'a str) {
        if self.path.is_empty() && word == HELP {
            self.is_help = true;
        } else if let Some(index) = self.command.commands.iter().position(|below| below.name == word) {
            let below = self.command.commands.swap_remove(index);
            self.path.push(below.name);
            self.words.push(below.name);
            self.command = below.command;
        } else if self.argument().is_some() {
            self.arguments.push(word);
        } else {
            self.refuse_name(word);
        }
    }

    /// The option of that name, long or short. The command's own come first.
    fn option(&self, name: &str) -> Option<&'static Flag> {
        let name = if name == "-h" { HELP_OPTION } else { name };
        let short = name.strip_prefix('-').and_then(|name| name.parse().ok());
        self.flags().find(|flag| flag.long == name || short.is_some() && flag.short == short)
    }

    /// The options of the command and the global ones, each once.
    fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        let own = self.command.flags;
        let more = self.globals.iter().filter(|global| own.iter().all(|flag| flag.long != global.long));
        own.iter().chain(more)
    }

    /// The part of the line for argh that an option belongs to.
    fn words_with(&mut self, option: &Flag) -> &mut Vec<&'a str> {
        let is_own = self.command.flags.iter().any(|flag| flag.long == option.long);
        if is_own && !self.path.is_empty() { &mut self.words } else { &mut self.global_words }
    }

    /// The argument that comes next.
    fn argument(&self) -> Option<WordHelp> {
        let positionals = self.command.positionals;
        let repeating = || positionals.last().filter(|last| last.optionality == Optionality::Repeating);
        let next = positionals.get(self.arguments.len()).or_else(repeating)?;
        Some(WordHelp { name: next.name, about: next.description })
    }

    /// The commands that may come next.
    pub fn commands(&self) -> impl Iterator<Item = WordHelp> {
        let help = WordHelp { name: HELP, about: "Print the help of a command." };
        let below = self.command.commands.iter();
        let below = below.map(|below| WordHelp { name: below.name, about: below.command.description });
        below.chain(self.path.is_empty().then_some(help))
    }

    /// The options that may still be given.
    pub fn options(&self) -> impl Iterator<Item = WordHelp> {
        self.left().map(|flag| WordHelp { name: flag.long, about: flag.description })
    }

    fn left(&self) -> impl Iterator<Item = &'static Flag> {
        let is_left =
            |flag: &&Flag| flag.optionality == Optionality::Repeating || !self.given.contains(&flag.long);
        self.flags().filter(is_left)
    }

    /// The value or the argument that comes next.
    pub fn next(&self) -> Option<WordHelp> {
        self.pending.map_or_else(|| self.argument(), value_of)
    }

    /// For the beginning of a word that gives an option its value, `--wait=3`: the option, and the value.
    pub fn value_in<'w>(&self, word: &'w str) -> Option<(&'w str, WordHelp)> {
        let (name, _) = parted(word)?;
        Some((name, self.left().find(|flag| flag.long == name).and_then(value_of)?))
    }

    /// Whether an option or a command may come next, rather than a value.
    pub fn takes_options(&self) -> bool {
        self.pending.is_none() && !self.options_ended
    }

    fn refuse_option(&mut self, name: &str) {
        let trimmed = name.trim_start_matches('-');
        let names = self.flags().map(|flag| flag.long.trim_start_matches('-'));
        let hint = match nearest(trimmed, names) {
            Some(near) => format!("did you mean `--{near}`?"),
            None if self.argument().is_some() => {
                format!("{}; an argument that begins with a dash goes after `--`", self.hint("options"))
            }
            None => self.hint("options"),
        };
        self.refuse(format!("{} has no option {name}", self.name()), hint);
    }

    fn refuse_name(&mut self, word: &str) {
        // Whoever got a link may not know yet what takes it.
        if Link::looks_like(word) {
            let what = match &self.path[..] {
                [] => "a link is no command".to_owned(),
                ["receive"] => "egoat receive takes no link: it prints one".to_owned(),
                _ => format!("{} takes no link", self.name()),
            };
            return self.refuse(what, LINK_HINT.to_owned());
        }
        if self.command.commands.is_empty() {
            return self.refuse(format!("unrecognized argument: {word}"), self.hint("arguments"));
        }
        let hint = match nearest(word, self.commands().map(|command| command.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => self.hint("commands"),
        };
        self.refuse(format!("{} has no command {word}", self.name()), hint);
    }

    fn refuse(&mut self, what: String, hint: String) {
        self.mistake.get_or_insert(Error::Usage { what, hint: Some(hint) });
    }

    fn hint(&self, what: &str) -> String {
        format!("`{} --help` lists the {what}", self.name())
    }

    /// The command as it is typed.
    fn name(&self) -> String {
        [&[PROGRAM], &self.path[..]].concat().join(" ")
    }
}

/// The option and the value of `--opt=value`.
fn parted(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(name, _)| name.starts_with("--"))
}

fn value_of(option: &'static Flag) -> Option<WordHelp> {
    match option.kind {
        FlagInfoKind::Switch => None,
        FlagInfoKind::Option { arg_name } => Some(WordHelp { name: arg_name, about: option.description }),
    }
}

/// What argh complains of, without its lines and columns.
fn refused(exit: &EarlyExit, hint: String) -> Error {
    let what = exit.output.split_whitespace().collect::<Vec<_>>().join(" ");
    Error::Usage { what: lower_first(&what), hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(line: &str) -> Vec<&str> {
        let words: Vec<&str> = line.split(' ').collect();
        ParsedWords::after(&words).ordered().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// The error and the hint.
    fn refused(line: &str) -> (String, String) {
        let words: Vec<&str> = line.split(' ').collect();
        let error = ParsedWords::after(&words).ordered().err().unwrap_or_else(|| panic!("{line}"));
        (error.to_string(), error.hint().unwrap_or_default())
    }

    /// Calls `look` with each command, and the commands above it from the outermost.
    fn each(look: &mut dyn FnMut(&[&CommandInfoWithArgs], &CommandInfoWithArgs)) {
        fn descend(
            above: &[&CommandInfoWithArgs],
            command: &CommandInfoWithArgs,
            look: &mut dyn FnMut(&[&CommandInfoWithArgs], &CommandInfoWithArgs),
        ) {
            look(above, command);
            let above = [above, &[command]].concat();
            command.commands.iter().for_each(|below| descend(&above, &below.command, look));
        }
        descend(&[], &Egoat::get_args_info(), look);
    }

    /// The words that lead to a command: those above it but the program, and itself.
    fn path(above: &[&CommandInfoWithArgs], command: &CommandInfoWithArgs) -> Vec<&'static str> {
        above.iter().copied().chain([command]).skip(1).map(|command| command.name).collect()
    }

    #[test]
    fn no_option_has_the_name_of_one_above_it() {
        each(&mut |above, command| {
            for flag in command.flags.iter().filter(|flag| flag.long != HELP_OPTION) {
                for other in above.iter().flat_map(|above| above.flags) {
                    assert_ne!(flag.long, other.long, "{}", command.name);
                    assert!(
                        flag.short.is_none() || flag.short != other.short,
                        "{} {}",
                        command.name,
                        flag.long
                    );
                }
            }
        });
    }

    #[test]
    fn the_table_is_one_that_this_module_reads() {
        each(&mut |_, command| {
            // A word that is a command is no argument: there, `egoat share list` needs no path to be told from it.
            let is_both = !command.commands.is_empty() && !command.positionals.is_empty();
            assert_eq!(is_both, command.name == "share", "{}", command.name);
            let (flags, positionals) = (command.flags.iter(), command.positionals.iter());
            let descriptions =
                flags.map(|flag| flag.description).chain(positionals.clone().map(|p| p.description));
            for about in descriptions.chain([command.description]) {
                assert!(!about.is_empty() && !about.contains(['\n', '\t']), "{}: {about}", command.name);
            }
            for positional in positionals {
                assert!(positional.optionality != Optionality::Greedy, "{}", positional.name);
            }
            assert!(command.flags.iter().any(|flag| flag.long == HELP_OPTION), "{}", command.name);
        });
    }

    #[test]
    fn every_long_option_takes_its_value_after_an_equals_sign() {
        let read = |path: &[&str], words: &[&str]| match ParsedWords::after(&[path, words].concat()).ordered()
        {
            Ok(words) => Ok(words.iter().map(|word| word.to_string()).collect::<Vec<_>>()),
            Err(error) => Err(error.to_string()),
        };
        each(&mut |above, command| {
            let path = path(above, command);
            for flag in command.flags.iter().filter(|flag| flag.long != HELP_OPTION) {
                for value in ["x", "", "a=b", "=", "-", "--", "--home", "--home=x"] {
                    let expected = match flag.kind {
                        FlagInfoKind::Option { .. } => read(&path, &[flag.long, value]),
                        FlagInfoKind::Switch => Err(format!("option '{}' takes no value", flag.long)),
                    };
                    let joined = format!("{}={value}", flag.long);
                    assert_eq!(read(&path, &[&joined]), expected, "{path:?} {joined}");
                }
            }
        });
        assert_eq!(ordered("say --id=a=b bob x"), ["say", "--id", "a=b", "--", "bob", "x"]);
        assert_eq!(ordered("say --id= bob x"), ["say", "--id", "", "--", "bob", "x"]);
    }

    #[test]
    fn global_options_go_before_and_after_every_command() {
        let global = ["--home", "x", "--proxy=y", "-q", "--json"];
        let first = ["--home", "x", "--proxy", "y", "--quiet", "--json"];
        each(&mut |above, command| {
            let path = path(above, command);
            for at in 0..=path.len() {
                let line = [&path[..at], &global, &path[at..]].concat();
                assert_eq!(
                    ParsedWords::after(&line).ordered().ok(),
                    Some([&first[..], &path].concat()),
                    "{line:?}"
                );
            }
        });
        assert_eq!(ordered("say bob x --home y --wait=3"), ordered("--home y say --wait 3 bob x"));
        assert_eq!(ParsedWords::after(&["say", "--home=y", "bob"]).home, Some("y"));
    }

    #[test]
    fn a_value_and_what_follows_a_double_dash_are_no_options() {
        assert_eq!(ordered("say --id --home bob"), ["say", "--id", "--home", "--", "bob"]);
        assert_eq!(ordered("say --id -- bob"), ["say", "--id", "--", "--", "bob"]);
        assert_eq!(ordered("say bob -- --home x"), ["say", "--", "bob", "--home", "x"]);
        assert_eq!(ordered("say bob -- --id=x -- -q"), ["say", "--", "bob", "--id=x", "--", "-q"]);
        assert_eq!(ordered("-- say bob --json"), ["say", "--", "bob", "--json"]);
        assert_eq!(ordered("say - - --id - -q"), ["--quiet", "say", "--id", "-", "--", "-", "-"]);
    }

    #[test]
    fn the_version_needs_no_complete_command() {
        assert_eq!(ordered("say -V --json"), ["--version", "--json"]);
    }

    /// A chat sends none of them as a message.
    #[test]
    fn a_chat_knows_every_command() {
        use crate::ui::typed::SHELL_COMMANDS;
        let known = |name: &str| SHELL_COMMANDS.iter().any(|(known, _)| *known == name);
        ParsedWords::after(&[])
            .commands()
            .for_each(|command| assert!(known(command.name), "{}", command.name));
    }

    #[test]
    fn a_mistyped_word_gets_the_nearest_as_hint() {
        for (line, error, hint) in [
            ("sned bob", "egoat has no command sned", "did you mean `send`?"),
            ("hlep", "egoat has no command hlep", "did you mean `help`?"),
            ("help pers", "egoat has no command pers", "did you mean `peers`?"),
            ("peers lst", "egoat peers has no command lst", "did you mean `list`?"),
            ("bob", "egoat has no command bob", "`egoat --help` lists the commands"),
            (
                "egoat:KEY.TOKEN@192.0.2.1:4628",
                "a link is no command",
                "`egoat send LINK FILE...` if an `egoat receive` printed it, `egoat join LINK` if an `egoat invite` did",
            ),
            (
                "receive --into x egoat:KEY.TOKEN@192.0.2.1:4628",
                "egoat receive takes no link: it prints one",
                "`egoat send LINK FILE...` if an `egoat receive` printed it, `egoat join LINK` if an `egoat invite` did",
            ),
            ("say --wiat=3 bob", "egoat say has no option --wiat", "did you mean `--wait`?"),
            ("say --jsn bob", "egoat say has no option --jsn", "did you mean `--json`?"),
            ("-json id", "egoat has no option -json", "did you mean `--json`?"),
            ("peers list --hepl", "egoat peers list has no option --hepl", "did you mean `--help`?"),
            ("fetch --wait 3", "egoat fetch has no option --wait", "`egoat fetch --help` lists the options"),
            (
                "say bob -1",
                "egoat say has no option -1",
                "`egoat say --help` lists the options; an argument that begins with a dash goes after `--`",
            ),
            ("fetch bob", "unrecognized argument: bob", "`egoat fetch --help` lists the arguments"),
            ("-q=x id", "egoat has no option -q=x", "`egoat --help` lists the options"),
            ("--json=yes id", "option '--json' takes no value", "`egoat --help` lists the options"),
            ("say --wait", "no value provided for option '--wait'", "`egoat say --help` lists the options"),
            // argh would take the command for the value.
            (
                "say bob --home",
                "no value provided for option '--home'",
                "`egoat say --help` lists the options",
            ),
        ] {
            assert_eq!(refused(line), (error.to_owned(), hint.to_owned()), "{line}");
        }
    }
}
