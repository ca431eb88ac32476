// SPDX-License-Identifier: Apache-2.0
//! What ARCHITECTURE.md says of the structure holds in the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which modules of the library each module may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("quote", &[]),
    ("random", &[]),
    ("sys", &[]),
    ("idmap", &["error"]),
    ("interrupt", &["error"]),
    ("progress", &[]),
    ("oci", &["error", "quote"]),
    ("rootfs", &["error", "idmap", "interrupt", "random"]),
    ("layout", &["error", "interrupt", "oci", "quote", "random", "sys"]),
    ("layer", &["error", "idmap", "interrupt", "oci", "progress", "rootfs"]),
    ("snapshot", &["error", "idmap", "progress", "quote", "rootfs"]),
    (
        "image",
        &[
            "error",
            "idmap",
            "interrupt",
            "layer",
            "layout",
            "oci",
            "progress",
            "quote",
            "rootfs",
            "sys",
        ],
    ),
    (
        "bundle",
        &[
            "error",
            "idmap",
            "image",
            "interrupt",
            "layer",
            "layout",
            "oci",
            "progress",
            "quote",
            "random",
            "rootfs",
            "snapshot",
            "sys",
        ],
    ),
];

/// The code of every source file below `src`, without tests, by its path there.
fn sources() -> BTreeMap<String, String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&top).into_iter().map(Result::unwrap);
    let files = files.filter(|file| file.path().extension().is_some_and(|end| end == "rs"));
    files
        .map(|file| {
            let path = file.path().strip_prefix(&top).unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(file.path()).unwrap();
            (path, text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned())
        })
        .filter(|(path, _)| !path.contains("tests"))
        .collect()
}

/// Lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn module(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap()
}

#[test]
fn modules_depend_one_way() {
    let allowed: BTreeMap<_, BTreeSet<_>> =
        ALLOWED.iter().map(|(module, uses)| (*module, uses.iter().copied().collect())).collect();
    for (path, text) in sources().iter().filter(|(path, _)| !path.starts_with("bin/")) {
        if path == "lib.rs" {
            continue;
        }
        let own = module(path);
        let may = allowed.get(own).unwrap_or_else(|| panic!("{own} is not in the table"));
        for line in code(text) {
            for used in line.split("crate::").skip(1) {
                let used = used.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
                let used = used.unwrap();
                let known = allowed.contains_key(used) && used != own;
                assert!(!known || may.contains(used), "{path}: {own} must not use {used}: {line}");
            }
        }
    }
}

#[test]
fn only_the_program_prints_exits_and_reads_environment_and_clock() {
    let forbidden = [
        "println!",
        "eprintln!",
        "process::exit",
        "env::var",
        "env::args",
        "SystemTime::now",
        "Zoned::now",
        "Timestamp::now",
    ];
    for (path, text) in sources().iter().filter(|(path, _)| !path.starts_with("bin/")) {
        for line in code(text) {
            for word in forbidden {
                assert!(!line.contains(word), "{path}: {line}");
            }
        }
    }
}

/// SECURITY.md says which tests hold the program to what it promises: they are there.
#[test]
fn promises_name_tests_that_exist() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(top.join("SECURITY.md")).unwrap();
    let is_name = |word: &&str| {
        word.contains("::")
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || b"_:".contains(&byte))
    };
    let names: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let parts: Vec<&str> = name.split("::").collect();
        let is_test = |base: &Path, parts: &[&str], function: &str| {
            let file = base.join(parts.join("/"));
            [file.with_extension("rs"), file.join("mod.rs")].iter().any(|file| {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                text.contains(&format!("fn {function}("))
                    || (function.is_empty() && !text.is_empty())
            })
        };
        let (function, module) = parts.split_last().unwrap();
        let found = ["tests/it", "src"].iter().any(|base| {
            let base = top.join(base);
            is_test(&base, &parts, "")
                || is_test(&base, module, function)
                // The module of unit tests in the same file.
                || module.split_last().is_some_and(|(last, module)| *last == "tests" && is_test(&base, module, function))
        });
        assert!(found, "SECURITY.md names {name}");
    }
}

#[test]
fn system_calls_have_two_doors() {
    for (path, text) in &sources() {
        if ["sys.rs", "rootfs/sys.rs"].contains(&&**path) || path.starts_with("bin/") {
            continue;
        }
        for line in code(text) {
            let calls = line.replace("unix::", "").replace("nix::errno::Errno", "");
            assert!(
                !calls.contains("nix::") && !calls.contains("xattr::FileExt"),
                "{path}: {line}"
            );
        }
    }
}
