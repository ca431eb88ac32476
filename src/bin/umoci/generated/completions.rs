// SPDX-License-Identifier: Apache-2.0
//! The completions in `completions/`, under the names that the shells look for.

use std::collections::BTreeMap;

use clap_complete::{Shell, generate};

use super::{check, program};

#[test]
fn completions_are_up_to_date() {
    let shells = [("umoci.bash", Shell::Bash), ("_umoci", Shell::Zsh), ("umoci.fish", Shell::Fish)];
    let files: BTreeMap<String, String> = shells
        .into_iter()
        .map(|(file, shell)| {
            let mut text = Vec::new();
            generate(shell, &mut program(), "umoci", &mut text);
            (file.to_owned(), String::from_utf8(text).unwrap())
        })
        .collect();
    check("completions", &files);
}
