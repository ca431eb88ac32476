// SPDX-License-Identifier: Apache-2.0
//! The help of every command, for the integration tests to compare with what the program prints.

use std::collections::BTreeMap;

use clap::Command;

use super::{check, program, title};
use crate::help::render;

#[test]
fn help_is_up_to_date() {
    let program = program();
    let mut files = BTreeMap::new();
    add(&program, &program, &mut Vec::new(), &mut files);
    check("tests/it/golden/help", &files);
}

/// Adds the help of a command, which has these names, and of all commands below it.
fn add(
    program: &Command,
    command: &Command,
    names: &mut Vec<String>,
    files: &mut BTreeMap<String, String>,
) {
    files.insert(format!("{}.txt", title(command)), render(program, names));
    for one in command.get_subcommands() {
        names.push(one.get_name().to_owned());
        add(program, one, names, files);
        names.pop();
    }
}
