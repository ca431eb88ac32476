// SPDX-License-Identifier: Apache-2.0
//! What is installed beside the program, as those use it who get it: `man`,
//! the shells, and `make install`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Run, Sandbox, peer, set_mode, set_times, write};

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(directory).sort_by_file_name();
    let entries = entries.into_iter().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| !entry.file_type().is_dir());
    files.map(|entry| entry.path().strip_prefix(directory).unwrap().to_owned()).collect()
}

/// The manual pages, without those that only lead to another one.
fn pages() -> Vec<PathBuf> {
    let all = files(&repository("man")).into_iter().map(|name| repository("man").join(name));
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "1");
    let text = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    all.filter(|path| is_page(path) && !text(path).starts_with(".so ")).collect()
}

#[test]
fn man_shows_every_page_without_a_warning() {
    let Some(man) = peer("man") else { return };
    for page in pages() {
        let mut command = Command::new(&man);
        command.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(&page);
        command.env("LC_ALL", "C.UTF-8").env("MANROFFSEQ", "").env("MANWIDTH", "80");
        let run = Run::of(&mut command);
        assert!(run.succeeds().contains("EXAMPLES") || page.ends_with("umoci-raw.1"), "{page:?}");
        assert_eq!(run.stderr(), "", "{page:?}");
    }
}

#[test]
fn mandoc_finds_nothing_worse_than_style() {
    let Some(mandoc) = peer("mandoc") else { return };
    let run = Run::of(Command::new(mandoc).args(["-Tlint", "-Wwarning"]).args(pages()));
    assert_eq!(run.succeeds(), "");
}

/// What bash offers for the last of these words.
fn bash_offers(words: &[&str]) -> Vec<String> {
    let last = words.len() - 1;
    let script = r#"source "$1"; shift; compopt() { echo "$*"; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        [[ $(complete -p umoci) == *" -F _umoci umoci" ]] || exit 2
        _umoci umoci "${@: -1}" "${@: -2:1}"; printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"]).arg(repository("completions/umoci.bash"));
    let run = Run::of(bash.args(&words[..last]).arg(words[last]));
    run.succeeds().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_flags() {
    if peer("bash").is_none() {
        return;
    }
    assert_eq!(bash_offers(&["umoci", "un"]), ["unpack"]);
    assert_eq!(bash_offers(&["umoci", "repack", "--mask"]), ["--mask-path"]);
    assert_eq!(bash_offers(&["umoci", "config", "--os"]), ["--os", "--os-version", "--os-feature"]);
    assert_eq!(bash_offers(&["umoci", "rm", "--im"]), ["--image"]);
    let all = bash_offers(&["umoci", "config", "--config."]);
    assert!(all.contains(&"--config.entrypoint".to_owned()), "{all:?}");
    assert_eq!(bash_offers(&["umoci", "help", "unp"]), ["unpack"]);
    // Bash takes `=` for a word.
    assert_eq!(bash_offers(&["umoci", "repack", "--compress", "=", "zs"]), ["zstd"]);
    let after_flag = ["umoci", "config", "--clear", "=", "config.l"];
    assert_eq!(bash_offers(&after_flag), ["config.labels"]);
}

/// Where files are wanted bash offers some by itself, as long as the completion offers nothing.
#[test]
fn bash_leaves_positionals_to_files_and_directories() {
    if peer("bash").is_none() {
        return;
    }
    let directories = ["-o plusdirs", ""];
    assert_eq!(bash_offers(&["umoci", "unpack", "--image", "img", ""]), directories);
    assert_eq!(bash_offers(&["umoci", "raw", "unpack", "--image", "img", ""]), directories);
    assert_eq!(bash_offers(&["umoci", "insert", "--image", "img", ""]), [""]);
    assert_eq!(bash_offers(&["umoci", "raw", "add-layer", "--image", "img", "lay"]), [""]);
    assert_eq!(bash_offers(&["umoci", "unpack", "--image", "img", "--root"]), ["--rootless"]);
    assert!(bash_offers(&["umoci", "gc", "--json", ""]).contains(&"--dry-run".to_owned()));
}

#[test]
fn nothing_hidden_is_offered() {
    for file in files(&repository("completions")) {
        let text = std::fs::read_to_string(repository("completions").join(&file)).unwrap();
        for hidden in ["cpu-profile", "mtree"] {
            assert!(!text.contains(hidden), "{file:?} offers {hidden}");
        }
    }
}

/// Words before a value, and what must be among those that are offered for it.
const VALUES: [(&[&str], &[&str]); 8] = [
    (&["umoci", "--log"], &["debug", "warn", "fatal"]),
    (&["umoci", "config", "--clear"], &["config.labels", "platform.os.features"]),
    (&["umoci", "repack", "--compress"], &["auto", "gzip", "zstd", "none"]),
    (&["umoci", "raw", "add-layer", "--compress"], &["auto", "gzip", "zstd", "none"]),
    (&["umoci", "convert", "--format"], &["oci", "docker"]),
    (&["umoci", "new", "--digest-algorithm"], &["sha256", "sha512"]),
    (&["umoci"], &["unpack", "ls", "raw", "help"]),
    (&["umoci", "help"], &["unpack", "raw", "index"]),
];

fn assert_offered(offers: impl Fn(&[&str]) -> Vec<String>) {
    for (words, expected) in VALUES {
        let offered = offers(&[words, &[""]].concat());
        for value in expected {
            assert!(offered.iter().any(|one| one == value), "{words:?}: {value} in {offered:?}");
        }
    }
}

#[test]
fn bash_completes_values() {
    if peer("bash").is_some() {
        assert_offered(bash_offers);
    }
}

#[test]
fn fish_completes_values() {
    let Some(fish) = peer("fish") else { return };
    assert_offered(|words| {
        let script = "source $argv[1]; complete -C $argv[2]";
        let mut command = Command::new(&fish);
        command.args(["--no-config", "-c", script]).arg(repository("completions/umoci.fish"));
        let offers = Run::of(command.arg(words.join(" "))).succeeds();
        offers.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect()
    });
}

/// Goes through the commands as `_arguments` would, and prints what it is given for the last one.
const ZSH: &str = r#"
    file=$1; shift; typed=("$@"); depth=0
    compdef() {}
    _arguments() {
        specs=("$@"); depth=$((depth + 1)); state=$typed[depth]; line=("$typed[depth+1]")
    }
    source $file; _umoci; print -rl -- $specs
"#;

/// The commands that are described below the one that these words lead to.
fn zsh_commands(zsh: &Path, words: &[&str]) -> Vec<String> {
    let script = r"compdef() {}; _arguments() { return 1 }
        _describe() { print -rl -- ${commands%%:*} }; source $1; _umoci; $2";
    let function = format!("_{}_commands", words.join("__subcmd__"));
    let mut command = Command::new(zsh);
    command.args(["-f", "-c", script, "zsh"]).arg(repository("completions/_umoci")).arg(function);
    Run::of(&mut command).succeeds().lines().map(str::to_owned).collect()
}

#[test]
fn zsh_completes_values() {
    let Some(zsh) = peer("zsh") else { return };
    assert_offered(|words| {
        let [commands @ .., flag, _] = words else { panic!("{words:?}") };
        if !flag.starts_with('-') {
            return zsh_commands(&zsh, &words[..words.len() - 1]);
        }
        let mut command = Command::new(&zsh);
        command.args(["-f", "-c", ZSH, "zsh"]).arg(repository("completions/_umoci"));
        let specs = Run::of(command.args(commands)).succeeds();
        let mut of_flag = specs.lines().filter_map(|spec| {
            let rest = spec.trim_start_matches('*').strip_prefix(flag)?;
            rest.starts_with(['=', '+']).then_some(rest)
        });
        let (_, values) = of_flag.next().unwrap().rsplit_once(":(").unwrap();
        values.trim_end_matches(')').split(' ').map(str::to_owned).collect()
    });
}

#[test]
fn zsh_and_fish_take_their_completions() {
    for (shell, file) in [("zsh", "_umoci"), ("fish", "umoci.fish")] {
        if let Some(shell) = peer(shell) {
            let run =
                Run::of(Command::new(shell).arg("-n").arg(repository("completions").join(file)));
            assert_eq!((run.succeeds(), run.stderr()), (String::new(), String::new()), "{file}");
        }
    }
}

#[test]
fn everything_is_installed_and_removed_again() {
    if peer("make").is_none() {
        return;
    }
    let sandbox = Sandbox::new();
    let place = sandbox.path("a place");
    let make = |target: &str| {
        let mut command = Command::new("make");
        // The program that is being tested stands for the one that would be built.
        command.arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(["-s", target]);
        command.arg(format!("PROGRAM={}", env!("CARGO_BIN_EXE_umoci"))).arg("PREFIX=/usr");
        command.arg(format!("DESTDIR={}", place.display()));
        // Of the `make` that may be running this test.
        command.env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL");
        Run::of(&mut command).succeeds();
    };
    make("install");
    let installed = files(&place);
    for expected in [
        "usr/bin/umoci",
        "usr/share/man/man1/umoci.1",
        "usr/share/man/man1/umoci-rm.1",
        "usr/share/man/man1/umoci-unpack.1",
        "usr/share/bash-completion/completions/umoci",
        "usr/share/zsh/site-functions/_umoci",
        "usr/share/fish/vendor_completions.d/umoci.fish",
    ] {
        assert!(installed.contains(&PathBuf::from(expected)), "{expected} is not in {installed:?}");
    }
    let umoci = place.join("usr/bin/umoci");
    let version = Run::of(Command::new(umoci).arg("--version")).succeeds();
    assert!(version.starts_with("umoci version "));
    make("uninstall");
    assert_eq!(files(&place), Vec::<PathBuf>::new());
}

/// A sandbox with a tree that is like the sources, and `make` there.
fn sources() -> (Sandbox, impl Fn(&Sandbox, &[&str]) -> Run) {
    let sandbox = Sandbox::new();
    for name in ["Makefile", "man", "completions"] {
        std::os::unix::fs::symlink(repository(name), sandbox.path(name)).unwrap();
    }
    for name in ["Cargo.toml", "Cargo.lock", "src/lib.rs"] {
        write(sandbox.path(name), "");
    }
    let make = |sandbox: &Sandbox, words: &[&str]| {
        let mut command = sandbox.program("make", &["-s", "DESTDIR=to", "install"]);
        for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CARGO_TARGET_DIR", "RUSTFLAGS"] {
            command.env_remove(name);
        }
        Run::of(command.args(words))
    };
    (sandbox, make)
}

#[test]
fn what_was_built_is_installed_without_a_compiler() {
    if peer("make").is_none() {
        return;
    }
    let (sandbox, make) = sources();
    let without = ["HOST=", "CARGO=false"];
    let run = make(&sandbox, &without);
    assert_eq!(run.status(), Some(2));
    assert!(run.stderr().starts_with("needs rustc"), "{}", run.stderr());

    let program = sandbox.path("target/some-machine/release/umoci");
    write(&program, "the program");
    set_mode(&program, 0o755);
    make(&sandbox, &without).succeeds();
    assert!(sandbox.path("to/usr/local/bin/umoci").is_file());
    assert_eq!(files(&sandbox.path("target")).len(), 1);
    // Never an old one without a word.
    set_times(&program, 0);
    let run = make(&sandbox, &without);
    assert_eq!(run.status(), Some(2));
    assert!(run.stderr().starts_with("needs rustc"), "{}", run.stderr());
}

#[test]
fn what_is_older_than_its_sources_is_built_again() {
    if peer("make").is_none() {
        return;
    }
    let (sandbox, make) = sources();
    // Not by this process: a child that another test is about to start has open what is being
    // written, and what is being written cannot be run.
    sandbox.shell("printf '#!/bin/sh\\necho built >>log\\n' >cargo; chmod 755 cargo").succeeds();
    let program = sandbox.path("else where/m/release/umoci");
    write(&program, "");
    set_mode(&program, 0o755);
    let words = ["HOST=m", "CARGO=./cargo", "CARGO_TARGET_DIR=else where"];
    let built = || files(&sandbox.path(".")).contains(&PathBuf::from("log"));
    make(&sandbox, &words).succeeds();
    assert!(!built());
    set_times(&program, 0);
    make(&sandbox, &words).succeeds();
    assert!(built());
    // Even if cargo leaves it as it is, it is not made once more.
    std::fs::remove_file(sandbox.path("log")).unwrap();
    make(&sandbox, &words).succeeds();
    assert!(!built());
    // Who says which program it is has built it.
    write(sandbox.path("own"), "own");
    set_mode(sandbox.path("own"), 0o755);
    set_times(&sandbox.path("own"), 0);
    make(&sandbox, &[&words[..], &["PROGRAM=own"]].concat()).succeeds();
    assert!(!built());
    assert_eq!(std::fs::read(sandbox.path("to/usr/local/bin/umoci")).unwrap(), b"own");
    let run = make(&sandbox, &["PROGRAM=none"]);
    assert_eq!(run.stderr().lines().next(), Some("there is no program none"));
}
