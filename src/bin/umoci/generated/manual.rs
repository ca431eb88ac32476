// SPDX-License-Identifier: Apache-2.0
//! The manual pages in `man/`, one per command and one per alias.
//!
//! Names, usage, first words and options come from the definitions; all that
//! needs more words comes from `man/parts/`: what stands there before the first
//! section continues the description, its sections follow the options.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use umoci::image::validate::Code;

use super::{all, check, directory, program, title};
use crate::grammar::spellings;

/// When the texts were last revised; shown at the foot of each page.
const REVISED: &str = "2026-11-25";

/// The part that pages have in common.
const EXIT_STATUS: &str = "exit-status";

/// Commands that write nothing but results.
const READERS: [&str; 5] = ["stat", "list", "index-list", "index", "raw"];

/// Commands that make files, but change no layout.
const UNPACKERS: [&str; 3] = ["unpack", "raw-unpack", "raw-runtime-config"];

/// It may wait for the reader of a pipe, and leaves nothing but that file; any signal ends it.
const WRITER_OF_A_FILE: &str = "raw-runtime-config";

#[test]
fn pages_are_up_to_date() {
    let mut pages = BTreeMap::new();
    add(&program(), &mut pages);
    check("man", &pages);
}

#[test]
fn every_part_has_its_page() {
    let mut pages = BTreeMap::new();
    add(&program(), &mut pages);
    for entry in std::fs::read_dir(directory("man/parts")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.strip_suffix(".roff").unwrap();
        let page = if stem == "umoci" { "umoci.1".into() } else { format!("umoci-{stem}.1") };
        assert!(stem == EXIT_STATUS || pages.contains_key(&page), "man/parts/{name} has no page");
    }
}

#[test]
fn no_flag_is_missing() {
    for command in all(&program()) {
        let page = std::fs::read_to_string(directory("man").join(file_name(command))).unwrap();
        let page = page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "");
        let (_, options) = page.split_once(".SH OPTIONS\n").unwrap();
        let (options, _) = options.split_once(".SH ").unwrap();
        let is_end = |next: char| !next.is_alphanumeric() && !"-._".contains(next);
        let words: Vec<&str> = options.split(|next: char| is_end(next)).collect();
        for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
            for name in spellings(flag) {
                let dashes = if name.len() == 1 { "-" } else { "--" };
                let name = format!("{dashes}{name}");
                assert!(words.contains(&name.as_str()), "{name} is not in {}", file_name(command));
            }
        }
    }
}

fn file_name(command: &Command) -> String {
    format!("{}.1", title(command))
}

/// Adds the pages of a command, its aliases, and the commands below it.
fn add(command: &Command, pages: &mut BTreeMap<String, String>) {
    pages.insert(file_name(command), page(command));
    let parent = title(command).strip_suffix(command.get_name()).unwrap();
    for alias in command.get_visible_aliases() {
        pages.insert(format!("{parent}{alias}.1"), format!(".so man1/{}\n", file_name(command)));
    }
    command.get_subcommands().for_each(|one| add(one, pages));
}

fn page(command: &Command) -> String {
    let name = title(command);
    let short = name.strip_prefix("umoci-").unwrap_or(name);
    let part = part(short);
    let (description, sections) = match part.split_once(".SH ") {
        Some((description, sections)) => (description, format!(".SH {sections}")),
        None => (&*part, String::new()),
    };
    let source = format!("umoci {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(for_manual(command)).title(name.to_uppercase()).date(REVISED);
    let man = man.source(source).manual("User Commands");
    let mut text = Vec::new();
    man.render_title(&mut text).unwrap();
    man.render_name_section(&mut text).unwrap();
    man.render_synopsis_section(&mut text).unwrap();
    text.extend_from_slice(long_about(command).as_bytes());
    text.extend_from_slice(description.as_bytes());
    if command.has_subcommands() {
        text.extend_from_slice(commands(command).as_bytes());
    }
    man.render_options_section(&mut text).unwrap();
    if !sections.contains(".SH EXIT STATUS") {
        text.extend_from_slice(exit_status(short).as_bytes());
    }
    text.extend_from_slice(sections.as_bytes());
    tidy(&String::from_utf8(text).unwrap())
}

fn part(name: &str) -> String {
    let path = directory("man/parts").join(format!("{name}.roff"));
    let part = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    part.replace("@codes@\n", &codes())
}

/// The common part with what holds for this command.
fn exit_status(name: &str) -> String {
    let is_reader = READERS.contains(&name);
    let changes_layout = !is_reader && !UNPACKERS.contains(&name);
    part(EXIT_STATUS).lines().fold(String::new(), |kept, line| {
        let (holds, line) = match (line.strip_prefix("@layout@"), line.strip_prefix("@watches@")) {
            (Some(line), _) => (changes_layout, line),
            (_, Some(line)) => (!is_reader && name != WRITER_OF_A_FILE, line),
            (None, None) => (true, line),
        };
        if holds { kept + line + "\n" } else { kept }
    })
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// The commands below this one, and those below them.
fn commands(command: &Command) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for one in all(command).into_iter().skip(1).filter(|one| !one.is_hide_set()) {
        roff.control("TP", []);
        roff.text([bold(title(one)), roman("(1)")]);
        roff.text([roman(about(one))]);
    }
    roff.render()
}

/// The table of what a validation can find.
fn codes() -> String {
    let mut roff = Roff::new();
    for code in Code::ALL {
        roff.control("TP", []);
        roff.text([bold(code.as_str()), roman(format!(" ({})", code.severity()))]);
        roff.text([roman(code.meaning())]);
    }
    roff.render().replace(&Roff::new().render(), "")
}

/// The description that the definitions give; its first paragraph is what stands under NAME.
fn long_about(command: &Command) -> String {
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    for (at, paragraph) in long.split("\n\n").skip(1).enumerate() {
        if at > 0 {
            roff.control("PP", []);
        }
        // A sentence that begins on a line of its own is set as one.
        roff.text([roman(paragraph.replace(". ", ".\n"))]);
    }
    roff.render()
}

/// The same definitions, worded for a manual.
fn for_manual(command: &Command) -> Command {
    let mut command = command.clone().mut_args(option);
    // The name is in front of it already.
    if let Some(about) = about(&command).strip_prefix("umoci ") {
        command = command.about(about.to_owned());
    }
    if command.has_subcommands() {
        let options = if title(&command) == "umoci" { "global options" } else { "options" };
        let name = title(&command).replace('-', " ");
        let usage = format!("{name} [{options}] command [command options] [arguments...]");
        command = command.override_usage(usage);
    }
    command
}

/// Adds to an option's text what the definition says elsewhere. Other words are in synopsis and description.
fn option(flag: Arg) -> Arg {
    if flag.is_positional() {
        return flag.hide(true);
    }
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    match flag.get_action() {
        ArgAction::Help => {
            return flag.help("show the help of the command").long_help(None::<&str>);
        }
        ArgAction::Append if !help.contains("repeated") => {
            let help = format!("{help}; may be repeated");
            return with_aliases(flag, help);
        }
        _ => {}
    }
    with_aliases(flag, help)
}

fn with_aliases(flag: Arg, help: String) -> Arg {
    let aliases = flag.get_visible_aliases().unwrap_or_default();
    let aliases: Vec<String> = aliases.iter().map(|alias| format!("--{alias}")).collect();
    if aliases.is_empty() {
        return flag.help(help);
    }
    flag.help(format!("{help} (also {})", aliases.join(", ")))
}

/// One preamble instead of one per section, and no spaces at the ends of lines.
fn tidy(text: &str) -> String {
    let preamble = Roff::new().render();
    let source = ".\\\" Made by `make generated` of the program's definitions and man/parts/.\n";
    let body = text.replace(&preamble, "");
    let lines = body.lines().map(|line| format!("{}\n", line.trim_end()));
    let lines = lines.filter(|line| line != "\n");
    format!("{source}{preamble}{}", lines.collect::<String>())
}
