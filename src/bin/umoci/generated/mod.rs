// SPDX-License-Identifier: Apache-2.0
//! What packagers install beside the program: manual pages and shell
//! completions, made of the same clap definitions as `--help`.
//!
//! They are committed, so that nothing has to be run to build or install.
//! The tests here fail when they are out of date; `make generated` renews them.

mod completions;
mod help;
mod manual;

use std::collections::BTreeMap;
use std::path::Path;

use clap::CommandFactory;

use crate::Program;

/// The program with everything that clap adds when it is run.
fn program() -> clap::Command {
    let mut program = Program::command();
    program.build();
    program
}

/// A command and all commands below it, hidden ones too.
fn all(command: &clap::Command) -> Vec<&clap::Command> {
    let below = command.get_subcommands().flat_map(all);
    std::iter::once(command).chain(below).collect()
}

/// The name of a command with those above it: `umoci-raw-unpack`.
fn title(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// The directory at the top of the repository with this name.
fn directory(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Asserts that the files in a directory are these; writes them if `UPDATE_GENERATED` is set.
fn check(name: &str, expected: &BTreeMap<String, String>) {
    let directory = directory(name);
    let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().unwrap().is_file());
    let present: Vec<String> =
        files.map(|entry| entry.file_name().into_string().unwrap()).collect();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        for old in present.iter().filter(|file| !expected.contains_key(*file)) {
            std::fs::remove_file(directory.join(old)).unwrap();
        }
        for (file, text) in expected {
            std::fs::write(directory.join(file), text).unwrap();
        }
        return;
    }
    let hint = "out of date: run `make generated`";
    for file in &present {
        assert!(expected.contains_key(file), "{name}/{file} is {hint}");
    }
    for (file, text) in expected {
        let found = std::fs::read_to_string(directory.join(file)).unwrap_or_default();
        assert!(found == *text, "{name}/{file} is {hint}");
    }
}
