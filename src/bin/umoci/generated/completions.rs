// SPDX-License-Identifier: Apache-2.0
//! The completions in `completions/`, under the names that the shells look for.

use std::collections::BTreeMap;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::{Shell, generate};
use umoci::image::CompressionChoice;
use umoci::oci::Algorithm;

use super::check;
use crate::help::{ABOUT_HELP, VERSION};
use crate::{Program, config, convert, logging};

/// What a flag takes, where that is one of a few words.
///
/// The program itself checks them after clap has, with messages that scripts know.
fn values(flag: &Arg) -> Option<Vec<&'static str>> {
    Some(match flag.get_long()? {
        "clear" => config::clearable().collect(),
        "compress" => CompressionChoice::NAMED.into_iter().map(|(name, _)| name).collect(),
        "digest-algorithm" => Algorithm::ALL.into_iter().map(Algorithm::as_str).collect(),
        "format" => convert::FORMATS.into_iter().map(|(name, _)| name).collect(),
        "log" => logging::LEVELS.into_iter().map(|(name, _)| name).collect(),
        _ => return None,
    })
}

/// What is offered of a command: nothing that is hidden, the words that flags take, and `help`.
fn offered(command: &Command) -> Command {
    let flags = command.get_arguments().filter(|flag| !flag.is_hide_set()).cloned();
    let flags = flags.map(|flag| match values(&flag) {
        Some(values) => flag.value_parser(PossibleValuesParser::new(values)),
        None => flag,
    });
    let offered = named_as(command).args(flags).subcommands(visible(command).map(offered));
    if !command.has_subcommands() {
        return offered;
    }
    let help = Command::new("help").about(ABOUT_HELP).disable_help_flag(true);
    offered.subcommand(help.subcommands(visible(command).map(topic)))
}

/// A command as a word behind `help`.
fn topic(command: &Command) -> Command {
    named_as(command).disable_help_flag(true).subcommands(visible(command).map(topic))
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|one| !one.is_hide_set())
}

/// A command of the same names, with nothing in it.
fn named_as(command: &Command) -> Command {
    // clap wants names that are there as long as the program.
    let name = |name: &str| -> &'static str { name.to_owned().leak() };
    Command::new(name(command.get_name()))
        .version(VERSION)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .about(command.get_about().cloned().unwrap_or_default())
        .visible_aliases(command.get_visible_aliases().map(name))
}

/// What `clap_complete` gives for bash, with two things mended.
fn mended_for_bash(mut text: String, program: &Command) -> String {
    // Bash makes three words of `--flag=value`.
    let previous = "    prev=\"$3\"\n";
    let flag = "    [[ ${prev} != \"=\" ]] || prev=\"${COMP_WORDS[COMP_CWORD-2]}\"\n";
    assert!(text.contains(previous));
    text = text.replacen(previous, &format!("{previous}{flag}"), 1);
    offer_files("umoci", program, &mut text);
    text
}

/// Where a command takes files or directories, it is they that are offered, and flags behind a dash only.
fn offer_files(function: &str, command: &Command, text: &mut String) {
    const FLAGS: &str = "COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )\n";
    for one in command.get_subcommands() {
        let separated = one.get_name().replace('-', "__subcmd__");
        offer_files(&format!("{function}__subcmd__{separated}"), one, text);
    }
    let hints = command.get_positionals().map(Arg::get_value_hint);
    // Bash itself offers files where a completion offers nothing.
    let instead = match hints.last() {
        None | Some(ValueHint::Unknown) => return,
        Some(ValueHint::DirPath) => "[[ \"${BASH_VERSINFO[0]}\" -lt 4 ]] || compopt -o plusdirs\n",
        Some(_) => "",
    };
    let block = text.find(&format!("        {function})\n            opts=")).unwrap();
    let behind_flags =
        block + text[block..].find("            esac\n            COMPREPLY").unwrap();
    let at = behind_flags + text[behind_flags..].find(FLAGS).unwrap();
    text.replace_range(at..at + FLAGS.len(), instead);
    // An empty indentation is no line.
    *text = text.replace("esac\n                        return 0", "esac\n            return 0");
}

#[test]
fn completions_are_up_to_date() {
    let shells = [("umoci.bash", Shell::Bash), ("_umoci", Shell::Zsh), ("umoci.fish", Shell::Fish)];
    let mut program = offered(&Program::command());
    let files: BTreeMap<String, String> = shells
        .into_iter()
        .map(|(file, shell)| {
            let mut text = Vec::new();
            generate(shell, &mut program, "umoci", &mut text);
            let text = String::from_utf8(text).unwrap();
            let text = match shell {
                Shell::Bash => mended_for_bash(text, &program),
                // A global flag whose value is still to come is no reason to offer nothing.
                Shell::Fish => text.replace(" or return\n", " or return 0\n"),
                _ => text,
            };
            (file.to_owned(), text)
        })
        .collect();
    check("completions", &files);
}
