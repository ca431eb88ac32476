// SPDX-License-Identifier: Apache-2.0
//! The grammar of the command line, where what it does can be seen from
//! outside. Its rules as tables are beside `grammar.rs`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Stdio;

use crate::harness::{Run, Sandbox, needs_root, write};

#[test]
fn flags_stand_anywhere_and_in_any_form() {
    let sandbox = Sandbox::with_image();
    for words in [
        &["tag", "--image", "img", "a"][..],
        &["tag", "b", "--image", "img"],
        &["tag", "-image=img", "c"],
        &["tag", "--image", "wrong", "--image=img:latest", "--", "d"],
        &["--verbose=false", "--log", "error", "--", "tag", "e", "-image", "img"],
    ] {
        sandbox.umoci(words).succeeds_silently();
    }
    let tags = sandbox.umoci(&["ls", "-layout", "img"]).succeeds();
    assert_eq!(tags, "latest\na\nb\nc\nd\ne\n");
}

#[test]
fn wrong_flags_get_help_and_one_line() {
    let sandbox = Sandbox::new();
    for (words, message) in [
        (&["stat", "--badflag"][..], "flag provided but not defined: -badflag"),
        (&["ls", "--verbose", "--layout", "x"], "flag provided but not defined: -verbose"),
        (&["init", "-layout"], "flag needs an argument: -layout"),
        (&["config", "-h", "--image"], "flag needs an argument: -image"),
        (&["stat", "--json=foo"], "invalid boolean value \"foo\" for -json: parse error"),
        (
            &["config", "--platform.os=a", "--os=b"],
            "Cannot use two forms of the same flag: os platform.os",
        ),
    ] {
        let run = sandbox.umoci(words);
        assert_eq!(run.fails(), message);
        let stdout = run.stdout();
        let (usage, help) = stdout.split_once("\n\n").unwrap();
        assert_eq!(usage, format!("Incorrect Usage: {message}"));
        assert!(
            help.starts_with(
                &format!("NAME:\n   umoci {} - ", words[0]).replace("umoci ls", "umoci list")
            ),
            "{help}"
        );
    }
    let run = sandbox.umoci(&["--foo"]);
    assert_eq!(run.fails(), "flag provided but not defined: -foo");
    assert!(run.stdout().contains("NAME:\n   umoci - umoci modifies Open Container images\n"));
}

#[test]
fn control_characters_of_the_command_line_are_not_echoed() {
    let sandbox = Sandbox::new();
    let run = sandbox.umoci(&["ls", "--bad\x1b[2J\nflag"]);
    run.fails();
    assert!(!run.stdout().contains('\x1b'));
    let run = sandbox.umoci(&["\x1b[2J"]);
    assert_eq!((run.status(), run.stdout().as_str()), (Some(3), ""));
    assert!(!run.stderr().contains('\x1b'));
}

#[test]
fn values_are_checked_in_the_known_order() {
    let sandbox = Sandbox::new();
    for (words, message) in [
        (&["stat"][..], "missing mandatory argument: --image"),
        (&["unpack"], "missing mandatory argument: --image"),
        (&["gc", "x"], "missing mandatory argument: --layout"),
        (&["new", "--image", ":foo", "x"], "invalid --image: path is empty"),
        (
            &["config", "--image", "a:", "--no-history", "--history.author="],
            "invalid --image: tag contains invalid characters: \"\"",
        ),
        (
            &["config", "--image", "a", "--no-history", "--history.author=", "--tag="],
            "--no-history and --history.author may not be specified together",
        ),
        (
            &["config", "--image", "a", "--tag=", "x"],
            "invalid --tag: tag contains invalid characters: \"\"",
        ),
        (
            &["repack", "--image", "a", "--compress=lzma"],
            "invalid --compress: unknown layer compression type \"lzma\"",
        ),
        (&["ls", "--layout", "a:b"], "invalid --layout: path contains ':' character: \"a:b\""),
        (&["init", "--layout="], "invalid --layout: path is empty"),
        (&["--log=warm", "ls"], "parsing log level: invalid level: \"warm\""),
        (&["--log=", "ls"], "parsing log level: invalid level: \"\""),
        (&["--log=info", "--verbose", "ls"], "--log=* and --verbose are mutually exclusive"),
    ] {
        let run = sandbox.umoci(words);
        assert_eq!(run.fails(), message, "{words:?}");
        assert_eq!(run.stdout(), "", "{words:?}");
    }
}

#[test]
fn positionals_are_counted() {
    let sandbox = Sandbox::with_image();
    let expected = "invalid number of positional arguments: expected ";
    for (words, name) in [
        (&["init", "x", "--layout=y"][..], "none"),
        (&["new", "x", "--image=img"], "none"),
        (&["config", "--image=img", "x"], "none"),
        (&["stat", "--image=img", "x"], "none"),
        (&["ls", "--layout=img", "x"], "none"),
        (&["rm", "--image=img", "x", "--bogus"], "none"),
        (&["tag", "--image=img"], "<new-tag>"),
        (&["tag", "--image=img", "a", "b"], "<new-tag>"),
        (&["unpack", "--image=img"], "<bundle>"),
        (&["repack", "--image=img", "a", "--bogus"], "<bundle>"),
        (&["insert", "--image=img", "a"], "2"),
        (&["insert", "--image=img", "a", "b", "c"], "2"),
        (&["insert", "--image=img", "--whiteout", "a", "b"], "1"),
        (&["raw", "add-layer", "--image=img"], "<newlayer.tar>"),
        (&["raw", "unpack", "--image=img", "a", "b"], "<rootfs>"),
        (&["raw", "config", "--image=img"], "<config.json>"),
    ] {
        sandbox.umoci(words).fails_with(&format!("{expected}{name}"));
    }
    sandbox.umoci(&["tag", "--image=img", ""]).fails_with("new tag cannot be empty");
    sandbox.umoci(&["unpack", "--image=img", ""]).fails_with("bundle path cannot be empty");
    for (words, message) in [
        (&["insert", "--image=img", "", "b"][..], "invalid positional argument 0: arguments"),
        (&["insert", "--image=img", "a", ""], "invalid positional argument 1: arguments"),
        (&["insert", "--image=img", "--whiteout", ""], "invalid positional argument 0: arguments"),
        (&["raw", "add-layer", "--image=img", ""], "<new-layer.tar> path"),
        (&["raw", "unpack", "--image=img", ""], "rootfs path"),
        (&["raw", "runtime-config", "--image=img", ""], "config.json path"),
    ] {
        sandbox.umoci(words).fails_with(&format!("{message} cannot be empty"));
    }
    sandbox.umoci(&["tag", "--image=img", "a-"]).fails_with("new tag is an invalid reference");
}

#[test]
fn paths_need_not_be_utf8() {
    let sandbox = Sandbox::new();
    let path = OsString::from_vec(b"img\xff".to_vec());
    let mut image = OsString::from("--image=");
    image.push(&path);
    sandbox.umoci(&["init".into(), "--layout".into(), path.clone()]).succeeds_silently();
    sandbox.umoci(&["new".into(), image]).succeeds_silently();
    let tags = sandbox.umoci(&["ls".into(), OsString::from("--layout"), path]).succeeds();
    assert_eq!(tags, "latest\n");
}

#[test]
fn text_has_to_be_utf8() {
    let sandbox = Sandbox::with_image();
    let odd = OsString::from_vec(b"caf\xe9".to_vec());
    let run = sandbox.umoci(&["config".into(), "--image=img".into(), "--author".into(), odd]);
    assert_eq!(run.fails(), "invalid value \"caf\\xE9\" for -author: not UTF-8");
    assert_eq!(run.stdout(), "");
}

#[test]
fn a_profile_is_not_written() {
    let sandbox = Sandbox::with_image();
    let run = sandbox.umoci(&["--cpu-profile", "profile", "ls", "--layout=img"]);
    assert_eq!(run.succeeds(), "latest\n");
    assert_eq!(run.stderr(), "umoci: warn: --cpu-profile is ignored: no profile is written\n");
    assert!(!sandbox.path("profile").exists());
    assert!(!sandbox.umoci(&["--help"]).succeeds().contains("cpu-profile"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let sandbox = Sandbox::with_image();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = Run::of(sandbox.command(&["ls", "--layout=img"]).stdout(writer));
    assert_eq!((run.status(), run.stderr().as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_below_standard_output_is_a_failure() {
    let sandbox = Sandbox::with_image();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = Run::of(sandbox.command(&["ls", "--layout=img"]).stdout(Stdio::from(full)));
    assert_eq!(run.fails(), "write standard output: no space left on device");
}

#[test]
fn verbose_tells_what_was_done() {
    let sandbox = Sandbox::new();
    for flags in [&["--verbose"][..], &["--log=INFO"], &["-log", "debug"]] {
        let layout = format!("--layout=img{}", flags.len() + flags[0].len());
        let run = sandbox.umoci(&[flags, &["init", &layout]].concat());
        assert_eq!(run.succeeds(), "");
        assert!(
            run.stderr().starts_with("umoci: info: created new OCI image: "),
            "{}",
            run.stderr()
        );
    }
}

/// NOTE(compat): the texts are those that people know and scripts look for.
#[test]
fn verbose_tells_the_steps_of_long_work() {
    let sandbox = Sandbox::with_image();
    write(sandbox.path("file"), "one");
    sandbox.umoci(&["insert", "--image=img", "--tag=a", "file", "/file"]).succeeds();
    let (_, manifest) = sandbox.manifest("img", "a");
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let told = |words: &[&str]| {
        let run = sandbox.umoci(&[&["--verbose"], words].concat());
        run.succeeds();
        let lines = run.stderr();
        lines.lines().map(|line| line.replacen("umoci: info: ", "", 1)).collect::<Vec<_>>()
    };
    assert_eq!(told(&["tag", "--image=img:a", "b"]), ["created new tag: \"b\" -> \"a\""]);
    let unpack = [
        "unpacking bundle ...",
        "unpack rootfs: bundle/rootfs",
        &format!("unpack layer: {layer}"),
        "... done",
        "computing filesystem manifest ...",
        "... done",
        "unpacked image bundle: bundle",
    ];
    if needs_root() {
        assert_eq!(told(&["unpack", "--image=img:a", "bundle"]), unpack);
        let repack = told(&["repack", "--image=img:c", "bundle"]);
        assert_eq!(repack[..2], ["computing filesystem diff ...", "... done"]);
    }
}
