// SPDX-License-Identifier: Apache-2.0
//! The grammar of command lines: what it makes of any words reads the same
//! again, and is what clap takes without a question.

#[path = "../../../src/bin/umoci/grammar.rs"]
mod own;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::{Arg, ArgAction, Command, value_parser};
use own::{Invocation, read};

use crate::driver::Target;

pub(crate) const TARGET: Target = Target {
    name: "grammar",
    run,
    words: &[
        b"\0",
        b"\0unpack\0",
        b"\0raw\0inner\0",
        b"--image",
        b"-image=",
        b"--map\0",
        b"--map=",
        b"--rootless=false",
        b"--rootless",
        b"\0--\0",
        b"\0-\0",
        b"-f\0",
        b"--os\0",
        b"--verbose",
        b"-h\0",
        b"help\0",
        b"--version=0",
        b"---",
        b"-=",
        b"--no\0",
        b"\xff",
    ],
    mend: super::as_it_is,
};

fn run(input: &[u8]) -> String {
    thread_local!(static PROGRAM: Command = program());
    let words: Vec<OsString> =
        input.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    PROGRAM.with(|program| check(program, &words))
}

fn check(program: &Command, words: &[OsString]) -> String {
    let output = match read(program, words.iter().cloned()) {
        Ok(Invocation::Run(output)) => output,
        Ok(Invocation::BadValue(_)) => return "bad value".to_owned(),
        Ok(Invocation::NoTopic(..)) => return "no topic".to_owned(),
        Ok(other) => return format!("{other:?}").replace('"', " "),
        Err(error) => return error.message.split(": ").next().unwrap().to_owned(),
    };
    let again = read(program, output.iter().skip(1).cloned());
    assert_eq!(again, Ok(Invocation::Run(output.clone())), "{words:?}");
    let end = output.iter().rposition(|word| word == "--").unwrap();
    // Positionals come in their order, and nothing is made up.
    let found = words.iter().rev().zip(output[end + 1..].iter().rev());
    assert!(output.len() - end - 1 <= words.len(), "{words:?} {output:?} {}", found.count());
    let matches = program.clone().try_get_matches_from(output.clone());
    let matches = matches.unwrap_or_else(|error| panic!("{words:?} {output:?}: {error}"));
    let mut command = &matches;
    let mut names = String::new();
    while let Some((name, below)) = command.subcommand() {
        names.push_str(name);
        command = below;
    }
    let positionals: Vec<OsString> =
        command.get_many("words").map(|words| words.cloned().collect()).unwrap_or_default();
    assert_eq!(positionals, output[output.len() - positionals.len()..]);
    let flags = output[..end].iter().filter(|word| word.as_encoded_bytes().starts_with(b"--"));
    format!("{names} {} {}", "f".repeat(flags.count()), "p".repeat(positionals.len().min(5)))
}

/// Flags of every sort, and a command within a command.
fn program() -> Command {
    let text = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Set);
    let path = |name: &'static str| text(name).value_parser(value_parser!(OsString));
    let list = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Append);
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let words = Arg::new("words").num_args(0..).value_parser(value_parser!(OsString));
    let unpack = Command::new("unpack")
        .arg(path("image"))
        .arg(list("map"))
        .arg(switch("rootless"))
        .arg(text("platform.os").visible_alias("os"))
        .arg(path("file").short('f').alias("manifest"))
        .arg(words);
    let inner = unpack.clone().name("inner").visible_alias("in");
    let mut program = Command::new("umoci")
        .version("0")
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .arg(switch("verbose"))
        .arg(text("log"))
        .arg(Arg::new("version").long("version").short('v').action(ArgAction::Version))
        .subcommand(unpack)
        .subcommand(Command::new("raw").subcommand(inner));
    program.build();
    program
}
