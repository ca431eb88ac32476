// SPDX-License-Identifier: Apache-2.0
//! Help texts, in the sections that umoci's users and scripts know: NAME,
//! USAGE, CATEGORY, OPTIONS. Everything in them comes from the clap
//! definitions; a command's usage line is its `override_usage`.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

/// The width that running text is broken to.
const WIDTH: usize = 80;

/// The program's version, as in its help and in `--version`.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `help` does.
pub(crate) const ABOUT_HELP: &str = "show a list of commands, or the help of one command";

/// What `--version` prints: the program's version and the specifications that it implements.
pub(crate) fn version() -> String {
    format!("umoci version {VERSION}\nimage spec: 1.1.1\nruntime spec: 1.3.0\n")
}

/// The help of the command that `names` lead to; of `program` itself without names.
pub(crate) fn render(program: &Command, names: &[String]) -> String {
    let mut command = program;
    for name in names {
        let Some(found) = command.find_subcommand(name) else { break };
        command = found;
    }
    let mut text = String::new();
    let title = [&[program.get_name().to_owned()], names].concat().join(" ");
    section(&mut text, "NAME", &format!("   {title} - {}", about(command)));
    let groups = Groups::of(command);
    if names.is_empty() {
        section(
            &mut text,
            "USAGE",
            "   umoci [global options] command [command options] [arguments...]",
        );
        section(&mut text, "VERSION", &format!("   {VERSION}"));
        section(&mut text, "COMMANDS", &groups.render());
        section(&mut text, "GLOBAL OPTIONS", &options(command));
    } else if command.has_subcommands() {
        section(
            &mut text,
            "USAGE",
            &format!("   {title} command [command options] [arguments...]"),
        );
        section(&mut text, "COMMANDS", &groups.render());
        section(&mut text, "OPTIONS", &options(command));
    } else {
        section(&mut text, "USAGE", &usage(&title, command));
        section(&mut text, "CATEGORY", &format!("   {}", category(command)));
        section(&mut text, "OPTIONS", &options(command));
    }
    text.pop();
    text
}

fn section(text: &mut String, name: &str, body: &str) {
    text.push_str(name);
    text.push_str(":\n");
    text.push_str(body.trim_end_matches('\n'));
    text.push_str("\n\n");
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// Which group of the listing a command is in; its location flag tells.
fn category(command: &Command) -> &'static str {
    let has = |id: &str| command.get_arguments().any(|flag| flag.get_long() == Some(id));
    match (has("image"), has("layout")) {
        (true, _) => "image",
        (_, true) => "layout",
        _ => "devtools",
    }
}

/// The usage line and the command's description.
fn usage(title: &str, command: &Command) -> String {
    let usage = command.get_overridden_usage().map(ToString::to_string);
    let mut text = format!("   {}\n", usage.unwrap_or_else(|| title.to_owned()));
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    for paragraph in long.split("\n\n").skip(1) {
        text.push('\n');
        for line in wrap(paragraph) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

fn wrap(paragraph: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in paragraph.split_whitespace() {
        let full = |line: &String| line.chars().count() + 1 + word.chars().count() > WIDTH;
        if lines.last().is_some_and(full) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// The subcommands of a command, by category.
struct Groups {
    plain: Vec<(String, String)>,
    image: Vec<(String, String)>,
    layout: Vec<(String, String)>,
}

impl Groups {
    fn of(command: &Command) -> Self {
        let mut groups = Self { plain: Vec::new(), image: Vec::new(), layout: Vec::new() };
        for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
            let names = std::iter::once(one.get_name()).chain(one.get_visible_aliases());
            let row = (names.collect::<Vec<_>>().join(", "), about(one));
            match category(one) {
                "image" => groups.image.push(row),
                "layout" => groups.layout.push(row),
                _ => groups.plain.push(row),
            }
        }
        groups.plain.push(("help, h".to_owned(), ABOUT_HELP.to_owned()));
        groups
    }

    fn render(&self) -> String {
        let mut text = table("   ", &self.plain);
        for (name, rows) in [("image", &self.image), ("layout", &self.layout)] {
            if !rows.is_empty() {
                let _ = write!(text, "\n   {name}:\n{}", table("     ", rows));
            }
        }
        text
    }
}

/// Two columns; the second one starts at the same place in each row.
fn table(indent: &str, rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or_default();
    rows.iter().fold(String::new(), |mut text, (left, right)| {
        let line = format!("{indent}{left:width$}  {right}");
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

/// The options of a command, one per line.
///
/// `--help` is only listed where there are subcommands: every command takes it.
fn options(command: &Command) -> String {
    let listed = |flag: &&Arg| {
        let is_help = matches!(flag.get_action(), ArgAction::Help);
        !flag.is_positional() && !flag.is_hide_set() && (!is_help || command.has_subcommands())
    };
    let rows: Vec<_> = command.get_arguments().filter(listed).map(option).collect();
    table("   ", &rows)
}

fn option(flag: &Arg) -> (String, String) {
    let value = if flag.get_action().takes_values() { " value" } else { "" };
    let long = flag.get_long().into_iter();
    let longs = long.chain(flag.get_visible_aliases().unwrap_or_default());
    let mut names: Vec<String> = longs.map(|name| format!("--{name}{value}")).collect();
    names.extend(flag.get_short().map(|name| format!("-{name}{value}")));
    let mut text = match flag.get_action() {
        ArgAction::Help => "show this help".to_owned(),
        _ => flag.get_help().map(ToString::to_string).unwrap_or_default(),
    };
    if let [default] = flag.get_default_values()
        && flag.get_action().takes_values()
    {
        let _ = write!(text, " (default: {default:?})");
    }
    (names.join(", "), text)
}
