// SPDX-License-Identifier: Apache-2.0
//! The completions in `completions/`, under the names that the shells look for.

use std::collections::BTreeMap;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};
use clap_complete::{Shell, generate};
use umoci::image::CompressionChoice;
use umoci::oci::Algorithm;
use umoci::snapshot::Keyword;

use super::{check, program};
use crate::{config, convert, logging};

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
        "use-keywords" | "add-keywords" => Keyword::all_names().collect(),
        _ => return None,
    })
}

/// The same commands, whose flags say which words they take.
fn with_values(command: Command) -> Command {
    let command = command.mut_args(|flag| match values(&flag) {
        Some(values) => flag.value_parser(PossibleValuesParser::new(values)),
        None => flag,
    });
    command.mut_subcommands(with_values)
}

/// The completions of a shell without the flags that are hidden, which clap offers all the same.
fn without_hidden(text: &str, program: &Command) -> String {
    let hidden = program.get_arguments().filter(|flag| flag.is_hide_set());
    hidden.filter_map(Arg::get_long).fold(text.to_owned(), |text, name| {
        let is_offer = |line: &str| {
            line.starts_with(&format!("'--{name}=")) || line.contains(&format!(" -l {name} "))
        };
        let lines = text.split_inclusive('\n').filter(|line| !is_offer(line));
        let text = lines.collect::<String>().replace(&format!(" --{name} "), " ");
        let case = format!("                --{name})\n");
        match text.split_once(&case) {
            Some((before, after)) => {
                let (_, after) = after.split_once(";;\n").unwrap();
                format!("{before}{after}")
            }
            None => text,
        }
    })
}

#[test]
fn completions_are_up_to_date() {
    let shells = [("umoci.bash", Shell::Bash), ("_umoci", Shell::Zsh), ("umoci.fish", Shell::Fish)];
    let files: BTreeMap<String, String> = shells
        .into_iter()
        .map(|(file, shell)| {
            let mut text = Vec::new();
            generate(shell, &mut with_values(program()), "umoci", &mut text);
            // In fish, a global flag whose value is still to come is no reason to offer nothing.
            let text = String::from_utf8(text).unwrap().replace(" or return\n", " or return 0\n");
            let text = without_hidden(&text, &program());
            (file.to_owned(), text)
        })
        .collect();
    check("completions", &files);
}
