// SPDX-License-Identifier: Apache-2.0
//! The command line's grammar: turns the words that a user typed into words
//! that clap takes without further interpretation.
//!
//! Scripts rely on the rules of Go's `flag` package: one dash or two, values
//! that are empty or start with a dash, `--switch=false`, flags after
//! positionals. The flags themselves are read from the clap definitions, so
//! there is one place that says which exist.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, ArgAction, Command};
use umoci::quote::quote;

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// Run a command: words for clap.
    Run(Vec<OsString>),
    /// Show the help of the command with these names (none: of the program).
    Help(Vec<String>),
    /// Show the version.
    Version,
    /// Fail: a value is nothing that a command could take. The grammar is not broken by that.
    BadValue(String),
    /// A command or help topic that does not exist, and the name that may have been meant.
    NoTopic(OsString, Option<String>),
}

/// Words that break the grammar of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UsageError {
    /// What is wrong.
    pub(crate) message: String,
    /// The names of the command whose grammar it is (none: the program).
    pub(crate) command: Vec<String>,
}

/// Reads the words after the program's name.
///
/// `program` must have been built (`Command::build`).
pub(crate) fn read(
    program: &Command,
    words: impl IntoIterator<Item = OsString>,
) -> Result<Invocation, UsageError> {
    let mut reader = Reader {
        command: program,
        names: Vec::new(),
        output: vec![OsString::from(program.get_name())],
    };
    let mut words: Vec<OsString> = words.into_iter().collect();
    loop {
        match reader.level(words).map_err(|message| reader.usage_error(message))? {
            Level::Down(rest) => words = rest,
            Level::Done(invocation) => return Ok(invocation),
        }
    }
}

/// Where the words of one command lead.
enum Level {
    /// To a subcommand, with the words behind its name.
    Down(Vec<OsString>),
    Done(Invocation),
}

struct Reader<'a> {
    command: &'a Command,
    names: Vec<String>,
    output: Vec<OsString>,
}

impl Reader<'_> {
    fn usage_error(&self, message: String) -> UsageError {
        UsageError { message, command: self.names.clone() }
    }

    /// Reads the flags of the current command, and where it has subcommands the name of one.
    fn level(&mut self, words: Vec<OsString>) -> Result<Level, String> {
        let scan = Scan::read(self.command, words)?;
        check_spellings(&scan.flags)?;
        if scan.switch(&ArgAction::Help) {
            return Ok(Level::Done(Invocation::Help(self.names.clone())));
        }
        if scan.switch(&ArgAction::Version) {
            return Ok(Level::Done(Invocation::Version));
        }
        if let Err(message) = emit(self.command, &scan.flags, &mut self.output) {
            return Ok(Level::Done(Invocation::BadValue(message)));
        }
        if self.command.has_subcommands() {
            return self.subcommand(scan.positionals);
        }
        self.output.push("--".into());
        self.output.extend(scan.positionals);
        Ok(Level::Done(Invocation::Run(std::mem::take(&mut self.output))))
    }

    fn subcommand(&mut self, words: Vec<OsString>) -> Result<Level, String> {
        let mut words = words.into_iter();
        let name = words.next().unwrap_or_default();
        if name.is_empty() {
            return Ok(Level::Done(Invocation::Help(self.names.clone())));
        }
        if name == "help" || name == "h" {
            return self.help(words).map(Level::Done);
        }
        let Some(command) = find_subcommand(self.command, &name) else {
            return Ok(Level::Done(no_topic(self.command, name)));
        };
        self.command = command;
        self.names.push(command.get_name().to_owned());
        self.output.push(command.get_name().into());
        Ok(Level::Down(words.collect()))
    }

    /// `help [COMMAND]...`, at the program or at a command with subcommands.
    ///
    /// Behind a command, other words do not matter.
    fn help(&self, topics: impl Iterator<Item = OsString>) -> Result<Invocation, String> {
        let mut command = self.command;
        let mut names = self.names.clone();
        for topic in topics {
            match Word::of(&topic) {
                Word::End => {}
                Word::Flag { name: b"h" | b"help", .. } => break,
                Word::Flag { name, .. } => return Err(not_defined(name)),
                Word::Bad => return Err(bad_syntax(&topic)),
                Word::Positional => match find_subcommand(command, &topic) {
                    Some(found) => {
                        command = found;
                        names.push(found.get_name().to_owned());
                    }
                    None if names.len() > self.names.len() => break,
                    None => return Ok(no_topic(command, topic)),
                },
            }
        }
        Ok(Invocation::Help(names))
    }
}

fn find_subcommand<'a>(command: &'a Command, name: &OsStr) -> Option<&'a Command> {
    let name = name.to_str()?;
    command
        .get_subcommands()
        .find(|one| one.get_name() == name || one.get_all_aliases().any(|alias| alias == name))
}

fn no_topic(command: &Command, name: OsString) -> Invocation {
    let visible = command.get_subcommands().filter(|one| !one.is_hide_set());
    let names =
        visible.flat_map(|one| std::iter::once(one.get_name()).chain(one.get_all_aliases()));
    let nearest = nearest(&name, names).map(str::to_owned);
    Invocation::NoTopic(name, nearest)
}

/// The name that was meant by a word that is none, if it is hardly another.
fn nearest<'a>(word: &OsStr, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_str()?;
    // Two letters away from a word of three is any word.
    let bound = word.chars().count() / 3;
    let distance = |name: &str| strsim::osa_distance(word, name);
    let nearest = names.map(|name| (distance(name), name)).min_by_key(|(distance, _)| *distance);
    nearest.filter(|(distance, _)| *distance <= bound.min(2)).map(|(_, name)| name)
}

/// What a word is where a flag may stand.
enum Word<'a> {
    /// `--`: everything behind it is positional.
    End,
    Positional,
    /// `-name`, `--name`, with or without `=value`.
    Flag {
        name: &'a [u8],
        value: Option<&'a [u8]>,
    },
    /// Dashes without a name behind them.
    Bad,
}

impl<'a> Word<'a> {
    fn of(word: &'a OsStr) -> Self {
        let bytes = word.as_bytes();
        let Some(rest) = bytes.strip_prefix(b"-") else { return Self::Positional };
        let rest = match rest.strip_prefix(b"-") {
            Some([]) => return Self::End,
            Some(rest) => rest,
            None if rest.is_empty() => return Self::Positional,
            None => rest,
        };
        if rest.starts_with(b"-") || rest.starts_with(b"=") {
            return Self::Bad;
        }
        let mut parts = rest.splitn(2, |byte| *byte == b'=');
        Self::Flag { name: parts.next().unwrap_or_default(), value: parts.next() }
    }
}

/// A flag as it was given.
struct Given<'a> {
    flag: &'a Arg,
    /// The spelling that was used.
    name: String,
    value: Value,
}

enum Value {
    Switch(bool),
    Text(OsString),
}

/// The words of one command, told apart.
struct Scan<'a> {
    flags: Vec<Given<'a>>,
    positionals: Vec<OsString>,
}

impl<'a> Scan<'a> {
    fn read(command: &'a Command, words: Vec<OsString>) -> Result<Self, String> {
        let mut scan = Self { flags: Vec::new(), positionals: Vec::new() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match Word::of(&word) {
                Word::End => break,
                Word::Flag { name, value } => {
                    if let Some(flag) = find_flag(command, name) {
                        scan.flags.push(given(flag, name, value, || words.next())?);
                        continue;
                    } else if scan.positionals.is_empty() {
                        return Err(not_defined(name));
                    }
                }
                Word::Bad if scan.positionals.is_empty() => return Err(bad_syntax(&word)),
                Word::Bad | Word::Positional => {}
            }
            scan.positionals.push(word);
            // What follows a subcommand's name is for the subcommand to read.
            if command.has_subcommands() {
                break;
            }
        }
        scan.positionals.extend(words);
        Ok(scan)
    }

    /// Whether a switch of this action was given and left on.
    fn switch(&self, action: &ArgAction) -> bool {
        let is_action = |given: &&Given<'_>| {
            std::mem::discriminant(given.flag.get_action()) == std::mem::discriminant(action)
        };
        let last = self.flags.iter().rev().find(is_action);
        matches!(last, Some(Given { value: Value::Switch(true), .. }))
    }
}

/// The spellings of a flag, in the order in which it defines them.
pub(crate) fn spellings(flag: &Arg) -> impl Iterator<Item = String> + '_ {
    let short = flag.get_short().map(String::from);
    let aliases = flag.get_all_aliases().unwrap_or_default();
    let short_aliases = flag.get_all_short_aliases().unwrap_or_default();
    let aliases = aliases.into_iter().map(String::from);
    let short_aliases = short_aliases.into_iter().map(String::from);
    flag.get_long().map(String::from).into_iter().chain(short).chain(aliases).chain(short_aliases)
}

fn find_flag<'a>(command: &'a Command, name: &[u8]) -> Option<&'a Arg> {
    command.get_arguments().find(|flag| spellings(flag).any(|one| one.as_bytes() == name))
}

/// Whether the flag is a switch: it is never followed by its value as a word of its own.
pub(crate) fn is_switch(flag: &Arg) -> bool {
    !flag.get_action().takes_values()
}

fn given<'a>(
    flag: &'a Arg,
    name: &[u8],
    value: Option<&[u8]>,
    next: impl FnOnce() -> Option<OsString>,
) -> Result<Given<'a>, String> {
    let name = String::from_utf8_lossy(name).into_owned();
    let value = match value {
        Some(text) if is_switch(flag) => Value::Switch(boolean(&name, text)?),
        None if is_switch(flag) => Value::Switch(true),
        Some(text) => Value::Text(OsString::from_vec(text.to_vec())),
        None => Value::Text(next().ok_or_else(|| format!("flag needs an argument: -{name}"))?),
    };
    Ok(Given { flag, name, value })
}

fn boolean(name: &str, text: &[u8]) -> Result<bool, String> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(false),
        _ => Err(format!("invalid boolean value {} for -{name}: parse error", quote(text))),
    }
}

fn not_defined(name: &[u8]) -> String {
    format!("flag provided but not defined: -{}", String::from_utf8_lossy(name))
}

fn bad_syntax(word: &OsStr) -> String {
    format!("bad flag syntax: {}", word.to_string_lossy())
}

/// Refuses a flag that was given under two of its names.
fn check_spellings(flags: &[Given<'_>]) -> Result<(), String> {
    for one in flags.iter().filter(|given| !matches!(given.flag.get_action(), ArgAction::Help)) {
        let used = |name: &String| flags.iter().any(|given| given.name == *name);
        let used: Vec<String> = spellings(one.flag).filter(used).collect();
        if let [first, second, ..] = used.as_slice() {
            return Err(format!("Cannot use two forms of the same flag: {second} {first}"));
        }
    }
    Ok(())
}

/// Writes the flags as `--name=value`: repeatable ones all, of the others what was given last.
fn emit(command: &Command, flags: &[Given<'_>], output: &mut Vec<OsString>) -> Result<(), String> {
    for flag in command.get_arguments() {
        let Some(long) = flag.get_long() else { continue };
        let given: Vec<&Given<'_>> =
            flags.iter().filter(|given| given.flag.get_id() == flag.get_id()).collect();
        let kept = match flag.get_action() {
            ArgAction::Append => given.as_slice(),
            _ => &given[given.len().saturating_sub(1)..],
        };
        for given in kept {
            match &given.value {
                Value::Switch(false) => {}
                Value::Switch(true) => output.push(format!("--{long}").into()),
                Value::Text(text) => {
                    check_text(flag, &given.name, text)?;
                    let mut word = OsString::from(format!("--{long}="));
                    word.push(text);
                    output.push(word);
                }
            }
        }
    }
    Ok(())
}

/// Refuses bytes that are no text where the flag's value is text (not a path).
fn check_text(flag: &Arg, name: &str, value: &OsStr) -> Result<(), String> {
    if flag.get_value_parser().type_id() == TypeId::of::<String>() && value.to_str().is_none() {
        return Err(format!("invalid value {value:?} for -{name}: not UTF-8"));
    }
    Ok(())
}
