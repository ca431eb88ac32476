// SPDX-License-Identifier: Apache-2.0
//! Help and version, as scripts and people read them.

use crate::harness::Sandbox;

const COMMANDS: [(&str, &str); 12] = [
    ("config", "image"),
    ("unpack", "image"),
    ("repack", "image"),
    ("new", "image"),
    ("tag", "image"),
    ("remove", "image"),
    ("stat", "image"),
    ("insert", "image"),
    ("gc", "layout"),
    ("init", "layout"),
    ("list", "layout"),
    ("validate", "image"),
];

/// The lines that open a section.
fn sections(help: &str) -> Vec<&str> {
    let is_title = |line: &&str| line.ends_with(':') && line.starts_with(char::is_uppercase);
    help.lines().filter(is_title).collect()
}

#[test]
fn the_program_has_help() {
    let sandbox = Sandbox::new();
    let help = sandbox.umoci(&["--help"]).succeeds();
    assert!(help.starts_with("NAME:\n   umoci - umoci modifies Open Container images\n\nUSAGE:\n"));
    assert_eq!(sections(&help), ["NAME:", "USAGE:", "VERSION:", "COMMANDS:", "GLOBAL OPTIONS:"]);
    for words in [&[][..], &[""], &["help"], &["h"], &["-h"], &["-help"]] {
        let run = sandbox.umoci(words);
        assert_eq!((run.succeeds(), run.stderr()), (help.clone(), String::new()), "{words:?}");
    }
    for (command, category) in COMMANDS {
        let group = help.split(&format!("   {category}:\n")).nth(1).unwrap();
        assert!(
            group.contains(&format!("\n     {command}"))
                || group.starts_with(&format!("     {command}"))
        );
    }
    assert!(help.contains("     remove, rm  ") && help.contains("     list, ls  "));
    assert!(help.contains("--log value") && help.contains("(default: \"warn\")"));
}

#[test]
fn every_command_has_help() {
    let sandbox = Sandbox::new();
    for (command, category) in COMMANDS {
        let help = sandbox.umoci(&[command, "--help"]).succeeds();
        let first = format!("NAME:\n   umoci {command} - ");
        assert!(help.starts_with(&first), "{help}");
        assert_eq!(sections(&help), ["NAME:", "USAGE:", "CATEGORY:", "OPTIONS:"]);
        assert!(help.contains(&format!("\nUSAGE:\n   umoci {command} [command options] --")));
        assert!(help.contains(&format!("\nCATEGORY:\n   {category}\n\nOPTIONS:\n")));
        assert!(help.contains(&format!("   --{category} value")));
        for words in [["help", command], ["h", command], [command, "-h"], [command, "-help"]] {
            assert_eq!(sandbox.umoci(&words).succeeds(), help, "{words:?}");
        }
        let undescribed = help.lines().filter(|line| line.trim_start().starts_with("--"));
        let undescribed: Vec<_> =
            undescribed.filter(|line| !line.trim_start().contains("  ")).collect();
        assert!(undescribed.is_empty(), "no description: {undescribed:?}");
    }
    assert!(sandbox.umoci(&["rm", "-h"]).succeeds().contains("umoci remove - "));
    assert!(sandbox.umoci(&["ls", "x", "-h"]).succeeds().contains("umoci list - "));
}

#[test]
fn every_raw_command_has_help() {
    let sandbox = Sandbox::new();
    let raw = sandbox.umoci(&["raw", "--help"]).succeeds();
    assert!(raw.starts_with("NAME:\n   umoci raw - "), "{raw}");
    assert!(
        raw.contains("     runtime-config, config  ") && raw.contains("   --help, -h"),
        "{raw}"
    );
    assert!(!raw.contains("mtree-validate"), "{raw}");
    for words in [&["raw"][..], &["help", "raw"], &["raw", "help"], &["raw", "h"], &["raw", ""]] {
        assert_eq!(sandbox.umoci(words).succeeds(), raw, "{words:?}");
    }
    for (command, category) in [
        ("add-layer", "image"),
        ("runtime-config", "image"),
        ("unpack", "image"),
        ("mtree-validate", "devtools"),
    ] {
        let help = sandbox.umoci(&["raw", command, "-h"]).succeeds();
        assert!(help.starts_with(&format!("NAME:\n   umoci raw {command} - ")), "{help}");
        assert!(help.contains(&format!("\nUSAGE:\n   umoci raw {command} [command options] --")));
        assert!(help.contains(&format!("\nCATEGORY:\n   {category}\n\nOPTIONS:\n")), "{help}");
        for words in
            [["raw", "help", command], ["raw", command, "--help"], ["help", "raw", command]]
        {
            assert_eq!(sandbox.umoci(&words).succeeds(), help, "{words:?}");
        }
    }
    let help = sandbox.umoci(&["raw", "config", "-h"]).succeeds();
    assert!(help.starts_with("NAME:\n   umoci raw runtime-config - "), "{help}");
    let run = sandbox.umoci(&["raw", "foo"]);
    assert_eq!((run.status(), run.stderr().as_str()), (Some(3), "No help topic for 'foo'\n"));
}

#[test]
fn help_of_config_tells_of_what_scripts_look_for() {
    let help = Sandbox::new().umoci(&["config", "--help"]).succeeds();
    for line in [
        "   --no-history ",
        "   --history.created_by value ",
        "   --platform.os value, --os value ",
        "   --platform.arch value, --architecture value ",
        "   --manifest.annotation value ",
    ] {
        assert!(help.lines().any(|found| found.starts_with(line)), "{line:?} is not in\n{help}");
    }
}

#[test]
fn unknown_commands_and_topics() {
    let sandbox = Sandbox::new();
    for words in [&["foo"][..], &["help", "foo"], &["foo", "--image", "x"], &["h", "foo"]] {
        let run = sandbox.umoci(words);
        assert_eq!(run.status(), Some(3), "{words:?}");
        assert_eq!(
            (run.stdout().as_str(), run.stderr().as_str()),
            ("", "No help topic for 'foo'\n")
        );
    }
}

#[test]
fn a_command_that_is_nearly_one() {
    let run = Sandbox::new().umoci(&["confg", "--image", "x"]);
    let told = "No help topic for 'confg'\numoci: hint: Did you mean \"config\"?\n";
    assert_eq!((run.status(), run.stderr().as_str()), (Some(3), told));
}

#[test]
fn the_version_names_the_specifications() {
    let sandbox = Sandbox::new();
    for words in [["-v"], ["--version"], ["-version"]] {
        let run = sandbox.umoci(&words);
        let expected = format!(
            "umoci version {}\nimage spec: 1.1.1\nruntime spec: 1.3.0\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!((run.succeeds(), run.stderr()), (expected, String::new()));
    }
}
