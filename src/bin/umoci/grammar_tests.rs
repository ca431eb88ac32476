// SPDX-License-Identifier: Apache-2.0
//! The grammar's rules as tables, on a small program of its own and on the real one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::{Arg, ArgAction, Command, CommandFactory, Parser};
use proptest::prelude::*;

use crate::grammar::{Invocation, is_switch, read, spellings};

/// Flags of every sort, and a command within a command.
fn sample() -> Command {
    let text = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Set);
    let list = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Append);
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let words =
        || Arg::new("words").num_args(0..).value_parser(clap::value_parser!(OsString)).last(false);
    let unpack = Command::new("unpack")
        .arg(text("image"))
        .arg(list("map"))
        .arg(switch("rootless"))
        .arg(text("platform.os").visible_alias("os"))
        .arg(text("file").short('f').alias("manifest"))
        .arg(words());
    let raw = Command::new("raw").subcommand(unpack.clone().name("inner").visible_alias("in"));
    let mut program = Command::new("umoci")
        .version("0")
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .arg(switch("verbose"))
        .arg(text("log"))
        .arg(Arg::new("version").long("version").short('v').action(ArgAction::Version))
        .subcommand(unpack)
        .subcommand(raw);
    program.build();
    program
}

fn read_words(words: &[&str]) -> Result<Invocation, String> {
    let words = words.iter().map(OsString::from);
    read(&sample(), words).map_err(|error| error.message)
}

#[track_caller]
fn runs(words: &[&str], expected: &[&str]) {
    let expected = ["umoci"].iter().chain(expected).map(OsString::from).collect();
    assert_eq!(read_words(words), Ok(Invocation::Run(expected)), "{words:?}");
}

#[track_caller]
fn fails(words: &[&str], message: &str) {
    assert_eq!(read_words(words), Err(message.to_owned()), "{words:?}");
}

#[test]
fn one_dash_or_two_and_both_ways_to_give_a_value() {
    for words in [["-image", "x"], ["--image", "x"]] {
        runs(&["unpack", words[0], words[1]], &["unpack", "--image=x", "--"]);
    }
    for word in ["-image=x", "--image=x"] {
        runs(&["unpack", word], &["unpack", "--image=x", "--"]);
    }
    for word in ["-f", "--f"] {
        runs(&["unpack", word, "x"], &["unpack", "--file=x", "--"]);
    }
}

#[test]
fn values_may_be_empty_or_look_like_flags() {
    runs(&["unpack", "--map", "-c"], &["unpack", "--map=-c", "--"]);
    runs(&["unpack", "--map", "--rootless"], &["unpack", "--map=--rootless", "--"]);
    runs(&["unpack", "--map", "--"], &["unpack", "--map=--", "--"]);
    runs(&["unpack", "--map", ""], &["unpack", "--map=", "--"]);
    runs(&["unpack", "--map="], &["unpack", "--map=", "--"]);
    runs(&["unpack", "--map=a=b"], &["unpack", "--map=a=b", "--"]);
}

#[test]
fn the_last_text_wins_and_lists_grow_in_order() {
    runs(&["unpack", "--image", "a", "--image=b"], &["unpack", "--image=b", "--"]);
    runs(
        &["unpack", "--map", "a", "--map", "", "--map", "", "--map", "b,c"],
        &["unpack", "--map=a", "--map=", "--map=", "--map=b,c", "--"],
    );
}

#[test]
fn switches_take_a_value_only_after_an_equals_sign() {
    for on in ["1", "t", "T", "true", "TRUE", "True"] {
        runs(&["unpack", &format!("--rootless={on}")], &["unpack", "--rootless", "--"]);
    }
    for off in ["0", "f", "F", "false", "FALSE", "False"] {
        runs(&["unpack", &format!("-rootless={off}")], &["unpack", "--"]);
    }
    runs(&["unpack", "--rootless", "false"], &["unpack", "--rootless", "--", "false"]);
    runs(&["unpack", "--rootless", "--rootless=false"], &["unpack", "--"]);
    fails(
        &["unpack", "--rootless=foo"],
        "invalid boolean value \"foo\" for -rootless: parse error",
    );
    fails(&["unpack", "-rootless="], "invalid boolean value \"\" for -rootless: parse error");
}

#[test]
fn flags_may_follow_positionals_and_switches() {
    runs(&["unpack", "b", "--image", "i"], &["unpack", "--image=i", "--", "b"]);
    runs(
        &["unpack", "--rootless", "b", "--image", "i"],
        &["unpack", "--image=i", "--rootless", "--", "b"],
    );
    runs(
        &["unpack", "a", "-rootless", "b", "-map=1", "c"],
        &["unpack", "--map=1", "--rootless", "--", "a", "b", "c"],
    );
}

#[test]
fn a_dash_is_positional_and_two_dashes_end_the_flags() {
    runs(&["unpack", "-", "--rootless"], &["unpack", "--rootless", "--", "-"]);
    runs(&["unpack", "--", "--image", "i"], &["unpack", "--", "--image", "i"]);
    runs(&["unpack", "a", "--", "-b", "--"], &["unpack", "--", "a", "-b", "--"]);
    runs(&["unpack", ""], &["unpack", "--", ""]);
}

#[test]
fn unknown_flags_are_refused_before_and_taken_as_words_after_a_positional() {
    fails(&["unpack", "--badflag"], "flag provided but not defined: -badflag");
    fails(&["unpack", "-badflag=x", "b"], "flag provided but not defined: -badflag");
    fails(&["unpack", "--verbose"], "flag provided but not defined: -verbose");
    fails(&["--foo", "unpack"], "flag provided but not defined: -foo");
    fails(&["unpack", "---image"], "bad flag syntax: ---image");
    fails(&["unpack", "--=x"], "bad flag syntax: --=x");
    runs(&["unpack", "b", "--bogus"], &["unpack", "--", "b", "--bogus"]);
}

#[test]
fn a_missing_value_is_named_with_one_dash() {
    fails(&["unpack", "--image"], "flag needs an argument: -image");
    fails(&["unpack", "-h", "--image"], "flag needs an argument: -image");
    fails(&["--log"], "flag needs an argument: -log");
}

#[test]
fn two_spellings_of_a_flag_exclude_each_other() {
    fails(
        &["unpack", "--platform.os=a", "--os=a"],
        "Cannot use two forms of the same flag: os platform.os",
    );
    fails(
        &["unpack", "--manifest=a", "-f", "a"],
        "Cannot use two forms of the same flag: manifest f",
    );
    runs(&["unpack", "--os=a", "--os=b"], &["unpack", "--platform.os=b", "--"]);
}

#[test]
fn global_flags_stand_before_the_command() {
    runs(&["--log", "debug", "unpack"], &["--log=debug", "unpack", "--"]);
    runs(&["-verbose", "--", "unpack"], &["--verbose", "unpack", "--"]);
    runs(&["raw", "in", "x", "-f=y"], &["raw", "inner", "--file=y", "--", "x"]);
}

#[test]
fn help_and_version() {
    let help = |names: &[&str]| {
        Ok(Invocation::Help(names.iter().map(|name| (*name).to_owned()).collect()))
    };
    for words in [&[][..], &[""], &["-h"], &["--help"], &["help"], &["h"], &["--help", "nope"]] {
        assert_eq!(read_words(words), help(&[]), "{words:?}");
    }
    for words in [
        &["unpack", "-h"][..],
        &["unpack", "x", "--help"],
        &["help", "unpack"],
        &["help", "unpack", "x", "y"],
    ] {
        assert_eq!(read_words(words), help(&["unpack"]), "{words:?}");
    }
    for words in [
        &["raw"][..],
        &["raw", "-help"],
        &["help", "raw"],
        &["raw", "h"],
        &["help", "raw", "x", "in"],
    ] {
        assert_eq!(read_words(words), help(&["raw"]), "{words:?}");
    }
    for words in [&["raw", "in", "-h"][..], &["raw", "help", "in"], &["help", "raw", "inner"]] {
        assert_eq!(read_words(words), help(&["raw", "inner"]), "{words:?}");
    }
    assert_eq!(read_words(&["-v"]), Ok(Invocation::Version));
    assert_eq!(read_words(&["--version", "unpack"]), Ok(Invocation::Version));
    runs(&["--help=false", "unpack"], &["unpack", "--"]);
}

#[test]
fn unknown_commands_are_no_help_topics() {
    for words in [
        &["foo"][..],
        &["help", "foo"],
        &["help", "foo", "unpack"],
        &["raw", "foo"],
        &["raw", "help", "foo"],
        &["foo", "--bar"],
    ] {
        assert_eq!(read_words(words), Ok(Invocation::NoTopic("foo".into(), None)), "{words:?}");
    }
}

#[test]
fn only_a_near_name_is_what_was_meant() {
    let mut program = crate::Program::command();
    program.build();
    for (words, meant) in [
        (&["confg"][..], Some("config")),
        (&["unapck"], Some("unpack")),
        (&["lst"], Some("list")),
        (&["tga"], Some("tag")),
        (&["help", "repakc"], Some("repack")),
        (&["raw", "ad-layer"], Some("add-layer")),
        (&["foo"], None),
        (&["x"], None),
        (&["configuration"], None),
        (&["--", "--"], None),
    ] {
        let read = read(&program, words.iter().map(OsString::from));
        let Ok(Invocation::NoTopic(_, nearest)) = read else { panic!("{words:?}: {read:?}") };
        assert_eq!(nearest.as_deref(), meant, "{words:?}");
    }
}

#[test]
fn a_usage_error_names_its_command() {
    let error = read(&sample(), ["raw", "in", "-x"].map(OsString::from)).unwrap_err();
    assert_eq!(error.command, ["raw", "inner"]);
}

#[test]
fn values_that_are_paths_need_not_be_utf8() {
    let program = {
        let mut program = crate::Program::command();
        program.build();
        program
    };
    let odd = OsString::from_vec(b"/\xff".to_vec());
    let with = |flag: &str| ["list".into(), flag.into(), odd.clone()];
    let Ok(Invocation::Run(words)) = read(&program, with("--layout")) else { panic!() };
    assert!(words.contains(&OsString::from_vec(b"--layout=/\xff".to_vec())));
    crate::Program::try_parse_from(words).unwrap();

    let message = "invalid value \"/\\xFF\" for -author: not UTF-8".to_owned();
    let bad = read(&program, ["config".into(), "--author".into(), odd]);
    assert_eq!(bad, Ok(Invocation::BadValue(message)));
}

/// Every flag of the real program, with one value, is taken by clap as it was given.
#[test]
fn clap_takes_what_the_grammar_gives() {
    let mut program = crate::Program::command();
    program.debug_assert();
    program = crate::Program::command();
    program.build();
    let mut paths = vec![(Vec::new(), &program)];
    while let Some((names, command)) = paths.pop() {
        for flag in command.get_arguments().filter(|flag| !flag.is_positional()) {
            assert!(flag.get_long().is_some(), "{flag:?} has no long name");
            for spelling in spellings(flag) {
                if matches!(flag.get_action(), ArgAction::Help | ArgAction::Version) {
                    continue;
                }
                let value = if is_switch(flag) { "" } else { "=-x" };
                let mut words: Vec<OsString> = names.iter().map(OsString::from).collect();
                words.push(format!("-{spelling}{value}").into());
                if names.is_empty() {
                    words.push("list".into());
                }
                let Ok(Invocation::Run(words)) = read(&program, words) else { panic!("{flag:?}") };
                crate::Program::try_parse_from(words).unwrap();
            }
        }
        for one in command.get_subcommands() {
            let mut names = names.clone();
            names.push(one.get_name().to_owned());
            paths.push((names, one));
        }
    }
}

/// Words of which the grammar knows a meaning, and some that it does not.
fn any_word() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "unpack",
            "raw",
            "in",
            "help",
            "-",
            "--",
            "",
            "--image",
            "-image=x",
            "--map",
            "-map=",
            "--rootless",
            "-rootless=0",
            "--os",
            "--log=info",
            "-h",
            "-v",
            "---",
            "-=",
        ])
        .prop_map(String::from),
        "[-a-z=]{0,6}",
    ]
}

proptest! {
    /// Whatever the order of flags and positionals, the result is the same.
    #[test]
    fn order_of_flags_and_positionals_does_not_matter(
        flags in prop::collection::vec(0..4_usize, 0..5),
        positionals in prop::collection::vec("[a-z]{1,3}", 0..4),
        places in prop::collection::vec(any::<prop::sample::Index>(), 5),
    ) {
        let groups = [&["--image", "-i"][..], &["-map=a"], &["--rootless"], &["--map", ""]];
        let mut ordered: Vec<Vec<&str>> = flags.iter().map(|i| groups[*i].to_vec()).collect();
        let tail: Vec<Vec<&str>> = positionals.iter().map(|word| vec![word.as_str()]).collect();
        let mut mixed = tail.clone();
        let mut from = 0;
        for (group, place) in ordered.iter().zip(&places) {
            from += place.index(mixed.len() - from + 1);
            mixed.insert(from, group.clone());
            from += 1;
        }
        ordered.extend(tail);
        let words = |groups: Vec<Vec<&str>>| {
            let mut words = vec!["unpack".to_owned()];
            words.extend(groups.concat().into_iter().map(str::to_owned));
            words.into_iter().map(OsString::from).collect::<Vec<_>>()
        };
        prop_assert_eq!(read(&sample(), words(ordered)), read(&sample(), words(mixed)));
    }

    /// No words make it panic, and what it lets through is what clap takes.
    #[test]
    fn whatever_passes_is_taken_by_clap(words in prop::collection::vec(any_word(), 0..8)) {
        if let Ok(Invocation::Run(words)) = read(&sample(), words.iter().map(OsString::from)) {
            prop_assert!(sample().try_get_matches_from(words).is_ok());
        }
    }
}
