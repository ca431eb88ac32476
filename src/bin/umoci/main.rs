// SPDX-License-Identifier: Apache-2.0
//! The command line program: reads the command line, starts a command, shows
//! how it ended. What commands do is in the library.

mod args;
mod clock;
mod config;
mod convert;
mod failure;
mod gc;
#[cfg(test)]
mod generated;
mod grammar;
#[cfg(test)]
mod grammar_tests;
mod help;
mod host;
mod index;
mod init;
mod insert;
mod interrupt;
mod list;
mod logging;
mod new;
mod output;
mod progress;
mod publish;
mod raw;
mod referrers;
mod remove;
mod repack;
mod stat;
mod table;
mod tag;
mod twins;
mod unpack;
mod validate;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use umoci::error::{Error, ErrorKind};

use crate::failure::{Failure, NO, Outcome};
use crate::grammar::{Invocation, UsageError};
use crate::logging::LogArgs;
use crate::output::Label;

/// Exit status of a command that a signal has stopped: this and the signal's number.
const SIGNALLED: u8 = 128;

/// umoci modifies Open Container images
#[derive(Debug, Parser)]
#[command(name = "umoci", version = help::VERSION)]
#[command(disable_help_subcommand = true, disable_version_flag = true)]
pub(crate) struct Program {
    #[command(flatten)]
    log: LogArgs,

    /// print the version
    #[arg(long, short = 'v', action = clap::ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    command: Command,
}

/// The commands, in the order in which help lists them.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Raw(raw::Command),
    Config(Box<config::Args>),
    Unpack(unpack::Args),
    Repack(repack::Args),
    New(new::Args),
    Tag(tag::Args),
    #[command(visible_alias = "rm")]
    Remove(remove::Args),
    Stat(stat::Args),
    Insert(Box<insert::Args>),
    #[command(subcommand)]
    Index(index::Command),
    Convert(convert::Args),
    Gc(gc::Args),
    Init(init::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    Validate(validate::Args),
}

impl Command {
    fn run(&self) -> Outcome {
        match self {
            Self::Raw(command) => command.run(),
            Self::Config(args) => config::run(args),
            Self::Unpack(args) => unpack::run(args),
            Self::Repack(args) => repack::run(args),
            Self::New(args) => new::run(args),
            Self::Tag(args) => tag::run(args),
            Self::Remove(args) => remove::run(args),
            Self::Stat(args) => stat::run(args),
            Self::Convert(args) => convert::run(args),
            Self::Index(command) => command.run(),
            Self::Insert(args) => insert::run(args),
            Self::Gc(args) => gc::run(args),
            Self::Init(args) => init::run(args),
            Self::List(args) => list::run(args),
            Self::Validate(args) => validate::run(args),
        }
    }
}

fn main() -> ExitCode {
    host::keep_files_open_to_their_owner();
    let mut program = Program::command();
    program.build();
    let ended = match grammar::read(&program, std::env::args_os().skip(1)) {
        Ok(Invocation::Run(words)) => run(program, words),
        Ok(Invocation::Help(names)) => output::result(&help::render(&program, &names)),
        Ok(Invocation::BadValue(message)) => Err(Error::invalid(message).into()),
        Ok(Invocation::Version) => output::result(&help::version()),
        Ok(Invocation::NoTopic(name, nearest)) => return no_topic(&name, nearest.as_deref()),
        Err(error) => incorrect_usage(&program, &error),
    };
    match ended {
        Ok(()) => {
            interrupt::tell_if_late();
            ExitCode::SUCCESS
        }
        // Who reads only the first lines has got what was wanted.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            match interrupt::received() {
                Some(signal) if failure.kind() == ErrorKind::Interrupted => {
                    ExitCode::from(SIGNALLED | signal)
                }
                _ => ExitCode::from(failure.status()),
            }
        }
    }
}

/// Scripts know the first line.
fn no_topic(name: &OsStr, nearest: Option<&str>) -> ExitCode {
    output::complain(Label::None, &format!("No help topic for '{}'", name.to_string_lossy()));
    if let Some(nearest) = nearest {
        output::complain(Label::Hint, &format!("Did you mean {nearest:?}?"));
    }
    ExitCode::from(NO)
}

fn run(program: clap::Command, words: Vec<OsString>) -> Outcome {
    let matches = program.try_get_matches_from(words);
    let matches = matches.map_err(|error| unexpected(&error))?;
    let program = Program::from_arg_matches(&matches).map_err(|error| unexpected(&error))?;
    logging::start(program.log.level()?);
    program.log.warn();
    if program.log.is_quiet() {
        output::silence();
    }
    let ended = program.command.run();
    ended.map_err(|failure| match args::hints::forgotten_flag(&matches) {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

/// What clap refuses although the grammar let it pass.
fn unexpected(error: &clap::Error) -> Error {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    Error::invalid(line.trim_start_matches("error: "))
}

/// Shows how the command is to be used, and fails.
fn incorrect_usage(program: &clap::Command, error: &UsageError) -> Outcome {
    let message = output::one_line(&error.message);
    let help = help::render(program, &error.command);
    // The reader of standard output may be gone; the error is to be seen all the same.
    let _ = output::result(&format!("Incorrect Usage: {message}\n\n{help}"));
    Err(Failure::from(Error::invalid(message)))
}
