// SPDX-License-Identifier: Apache-2.0
//! What is installed beside the program, as those use it who get it: `man`,
//! the shells, and `make install`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Run, Sandbox, peer};

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
    let script = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
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
}

/// Words before a value, and what must be among those that are offered for it.
const VALUES: [(&[&str], &[&str]); 7] = [
    (&["umoci", "--log"], &["debug", "warn", "fatal"]),
    (&["umoci", "config", "--clear"], &["config.labels", "platform.os.features"]),
    (&["umoci", "repack", "--compress"], &["auto", "gzip", "zstd", "none"]),
    (&["umoci", "raw", "add-layer", "--compress"], &["auto", "gzip", "zstd", "none"]),
    (&["umoci", "convert", "--format"], &["oci", "docker"]),
    (&["umoci", "raw", "mtree-validate", "-k"], &["size", "mode", "sha256digest"]),
    (&["umoci", "new", "--digest-algorithm"], &["sha256", "sha512"]),
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

#[test]
fn zsh_completes_values() {
    let Some(zsh) = peer("zsh") else { return };
    assert_offered(|words| {
        let [commands @ .., flag, _] = words else { panic!("{words:?}") };
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
    let place = sandbox.path("place");
    let make = |target: &str| {
        let mut command = Command::new("make");
        // The program that is being tested stands for the one that would be built.
        command.arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(["-s", target]);
        command.arg(format!("STATIC={}", env!("CARGO_BIN_EXE_umoci"))).arg("PREFIX=/usr");
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

#[test]
fn what_was_built_is_installed_without_a_compiler() {
    if peer("make").is_none() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["Makefile", "man", "completions"] {
        std::os::unix::fs::symlink(repository(name), sandbox.path(name)).unwrap();
    }
    let install = || {
        let mut command = sandbox.program("make", &["-s", "HOST=", "CARGO=false", "DESTDIR=to"]);
        command.env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL");
        Run::of(command.arg("install"))
    };
    let run = install();
    assert_eq!(run.status(), Some(2));
    assert!(run.stderr().starts_with("needs rustc"), "{}", run.stderr());

    let release = sandbox.path("target/some-machine/release");
    std::fs::create_dir_all(&release).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_umoci"), release.join("umoci")).unwrap();
    install().succeeds();
    assert!(sandbox.path("to/usr/local/bin/umoci").is_file());
    assert_eq!(files(&sandbox.path("target")).len(), 1);
}
