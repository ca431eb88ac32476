// SPDX-License-Identifier: Apache-2.0
//! Help and version, as scripts and people read them.

use crate::golden;
use crate::harness::Sandbox;

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
    assert!(help.contains("     remove, rm  ") && help.contains("     list, ls  "));
    assert!(help.contains("--log value") && help.contains("(default: \"warn\")"));
}

#[test]
fn every_command_has_help() {
    let sandbox = Sandbox::new();
    let program = sandbox.umoci(&["--help"]).succeeds();
    for (words, help) in golden::help() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for ways in [
            [&words[..], &["--help"]].concat(),
            [&words[..], &["-h"]].concat(),
            [&words[..], &["x", "-help"]].concat(),
            [&["help"], &words[..]].concat(),
            [&["h"], &words[..], &["x"]].concat(),
        ] {
            // Behind a group of commands `x` would be one of them.
            if ways.ends_with(&["x", "-help"]) && help.contains("\nCOMMANDS:\n")
                || ways == ["h", "x"]
            {
                continue;
            }
            assert_eq!(sandbox.umoci(&ways).succeeds(), help, "{ways:?}");
        }
        if let [command] = words[..] {
            let lists = |line: &str| line.trim_start().split([' ', ',']).next() == Some(command);
            assert!(program.lines().any(lists), "{command} is not listed");
        }
        let flags = help.lines().filter_map(|line| line.strip_prefix("   "));
        let flags = flags.filter(|line| line.starts_with("--"));
        let undescribed: Vec<_> = flags.filter(|line| !line.contains("  ")).collect();
        assert!(undescribed.is_empty(), "no description: {undescribed:?}");
    }
    assert!(sandbox.umoci(&["rm", "-h"]).succeeds().contains("umoci remove - "));
    assert!(sandbox.umoci(&["ls", "x", "-h"]).succeeds().contains("umoci list - "));
}

/// Each command has the sections that scripts know, and is listed under what it works on.
#[test]
fn help_has_sections() {
    let leaves = golden::help().into_iter().filter(|(_, help)| !help.contains("\nCOMMANDS:\n"));
    for (words, help) in leaves {
        let title = format!("umoci {}", words.join(" "));
        assert!(help.starts_with(&format!("NAME:\n   {title} - ")), "{help}");
        assert_eq!(sections(&help), ["NAME:", "USAGE:", "CATEGORY:", "OPTIONS:"]);
        assert!(help.contains(&format!("\nUSAGE:\n   {title} [command options] ")), "{help}");
        let has = |flag: &str| help.contains(&format!("\n   --{flag} value"));
        let category = match (has("image"), has("layout")) {
            (true, _) => "image",
            (_, true) => "layout",
            _ => "devtools",
        };
        assert!(help.contains(&format!("\nCATEGORY:\n   {category}\n")), "{help}");
    }
}

#[test]
fn raw_commands_have_help() {
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

/// Go's program shows the help of the first word, whatever follows it.
#[test]
fn words_behind_a_topic_do_not_matter() {
    let sandbox = Sandbox::new();
    for (words, topic) in [
        (&["help", "ls", "x"][..], "ls"),
        (&["help", "ls", "x", "-h"], "ls"),
        (&["h", "raw", "x"], "raw"),
    ] {
        let expected = sandbox.umoci(&[topic, "--help"]).succeeds();
        assert_eq!(sandbox.umoci(words).succeeds(), expected, "{words:?}");
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
