// SPDX-License-Identifier: Apache-2.0
//! What goes wrong in every day's use: each time one line, status 1, and
//! nothing changed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Sandbox, needs_root};

/// Commands that work on `img`, complete.
const READERS: [&[&str]; 2] = [&["ls", "--layout=img"], &["stat", "--image=img"]];
const WRITERS: [&[&str]; 7] = [
    &["new", "--image=img"],
    &["tag", "--image=img", "b"],
    &["rm", "--image=img"],
    &["config", "--image=img", "--author=x"],
    &["insert", "--image=img", "--whiteout", "x"],
    &["gc", "--layout=img"],
    &["repack", "--image=img", "bundle"],
];

fn commands() -> impl Iterator<Item = &'static [&'static str]> {
    let unpackers: [&[&str]; 3] = [
        &["unpack", "--image=img", "new-bundle"],
        &["raw", "unpack", "--image=img", "new-rootfs"],
        &["raw", "runtime-config", "--image=img", "new-config.json"],
    ];
    READERS.into_iter().chain(WRITERS).chain(unpackers)
}

#[test]
fn a_missing_layout() {
    let sandbox = Sandbox::new();
    for words in commands() {
        let run = sandbox.umoci(words);
        run.fails_with("no such file or directory");
        let hint = run.hint().unwrap();
        assert!(hint.contains("umoci init --layout img"), "{words:?}: {hint}");
        assert_eq!(sandbox.tree("").len(), 1, "{words:?} made something");
    }
}

#[test]
fn a_directory_that_is_no_layout() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("img")).unwrap();
    std::fs::write(sandbox.path("img/file"), "x").unwrap();
    let before = sandbox.tree("");
    for words in commands().filter(|words| words[0] != "repack") {
        let run = sandbox.umoci(words);
        run.fails_with("invalid image detected");
        assert!(run.hint().unwrap().contains("no image layout"), "{words:?}");
    }
    sandbox.umoci(&["init", "--layout=img"]).fails_with("path already exists");
    assert_eq!(sandbox.tree(""), before);
}

#[test]
fn a_file_instead_of_a_layout() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("img"), "x").unwrap();
    for words in commands() {
        sandbox.umoci(words).fails();
    }
    sandbox.umoci(&["init", "--layout=img"]).fails_with("path already exists");
    sandbox.umoci(&["init", "--layout=img/sub"]).fails_with("not a directory");
    assert_eq!(sandbox.tree("").len(), 2);
}

#[test]
fn a_missing_tag() {
    let sandbox = Sandbox::with_image();
    let before = sandbox.tree("");
    for words in [
        &["tag", "--image=img:no", "b"][..],
        &["stat", "--image=img:no"],
        &["config", "--image=img:no", "--author=x"],
        &["unpack", "--image=img:no", "bundle"],
        &["insert", "--image=img:no", "img/oci-layout", "/x"],
        &["raw", "add-layer", "--image=img:no", "/dev/null"],
        &["raw", "unpack", "--image=img:no", "rootfs"],
        &["raw", "config", "--image=img:no", "config.json"],
    ] {
        let run = sandbox.umoci(words);
        let line = run.fails();
        let known = ["tag not found: no", "tag is not found: no"];
        assert!(known.iter().any(|text| line.contains(text)), "{line}");
        assert!(run.hint().unwrap().contains("umoci ls --layout img"));
    }
    assert_eq!(sandbox.tree(""), before);
}

#[test]
fn an_ambiguous_tag() {
    let sandbox = Sandbox::with_image();
    let index = std::fs::read_to_string(sandbox.path("img/index.json")).unwrap();
    let (head, tail) = index.split_once('[').unwrap();
    let (entry, tail) = tail.rsplit_once(']').unwrap();
    let index = format!("{head}[{entry},{entry}]{tail}");
    std::fs::write(sandbox.path("img/index.json"), index).unwrap();
    let before = sandbox.tree("");
    for words in [
        &["tag", "--image=img", "b"][..],
        &["stat", "--image=img"],
        &["config", "--image=img", "--author=x"],
        &["unpack", "--image=img", "bundle"],
    ] {
        sandbox.umoci(words).fails_with("tag is ambiguous: latest");
    }
    assert_eq!(sandbox.tree(""), before);
}

#[test]
fn damaged_blobs() {
    let sandbox = Sandbox::with_image();
    let (digest, manifest) = sandbox.manifest("img", "latest");
    let config = manifest["config"]["digest"].as_str().unwrap().to_owned();
    for digest in [digest, config] {
        let path = sandbox.path("img/blobs/sha256").join(&digest["sha256:".len()..]);
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[10] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let before = sandbox.tree("");
        for words in [
            &["stat", "--image=img"][..],
            &["config", "--image=img", "--author=x"],
            &["unpack", "--image=img", "bundle"],
        ] {
            sandbox.umoci(words).fails_with("digest mismatch");
        }
        assert_eq!(sandbox.tree(""), before);
        std::fs::remove_file(&path).unwrap();
        sandbox.umoci(&["stat", "--image=img"]).fails_with("no such file or directory");
        assert_eq!(sandbox.umoci(&["stat", "--image=img"]).hint(), None);
        std::fs::write(&path, good).unwrap();
    }
    sandbox.umoci(&["stat", "--image=img"]).succeeds();
}

#[test]
fn an_index_that_is_no_json() {
    let sandbox = Sandbox::with_image();
    for text in ["", "{", "[]", "null", "{\"schemaVersion\":2} x", "\x1b[2J"] {
        std::fs::write(sandbox.path("img/index.json"), text).unwrap();
        let before = sandbox.tree("");
        for words in commands().filter(|words| words[0] != "repack") {
            sandbox.umoci(words).fails();
        }
        assert_eq!(sandbox.tree(""), before, "{text:?}");
    }
}

#[test]
fn a_layout_that_others_may_only_read() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    // What the first image leaves behind is for `gc` to delete.
    sandbox.umoci(&["new", "--image=img"]).succeeds();
    for path in sandbox.tree("img").into_keys() {
        let path = sandbox.path("img").join(path);
        let mode = if path.is_dir() { 0o555 } else { 0o444 };
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let before = sandbox.tree("img");
    for words in READERS {
        sandbox.umoci_as_ordinary_user(words).succeeds();
    }
    for words in WRITERS.into_iter().filter(|words| words[0] != "repack") {
        sandbox.umoci_as_ordinary_user(words).fails_with("permission denied");
    }
    sandbox.umoci_as_ordinary_user(&["init", "--layout=mine"]).fails_with("permission denied");
    assert_eq!(sandbox.tree("img"), before);
}

#[test]
fn a_layout_that_others_may_not_even_read() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let seal = |name: &Path, mode| {
        std::fs::set_permissions(sandbox.path(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    seal(Path::new("img/index.json"), 0o600);
    for words in commands().filter(|words| words[0] != "repack") {
        sandbox.umoci_as_ordinary_user(words).fails_with("permission denied");
    }
    seal(Path::new("img"), 0o700);
    for words in commands().filter(|words| words[0] != "repack") {
        let run = sandbox.umoci_as_ordinary_user(words);
        run.fails_with("permission denied");
        assert!(!run.hint().is_some_and(|hint| hint.contains("umoci init")), "{words:?}");
    }
}

#[test]
fn an_ordinary_user_is_told_of_rootless_where_it_helps() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let unpack = ["unpack", "--image=img", "open/bundle"];
    let run = sandbox.umoci_as_ordinary_user(&["unpack", "--image=img", "closed"]);
    run.fails_with("permission denied");
    assert_eq!(run.hint(), None);

    std::fs::create_dir(sandbox.path("open")).unwrap();
    std::fs::set_permissions(sandbox.path("open"), PermissionsExt::from_mode(0o777)).unwrap();
    let run = sandbox.umoci_as_ordinary_user(&unpack);
    run.fails_with("operation not permitted");
    assert!(run.hint().unwrap().contains("--rootless"));
    for name in ["rootfs", "config.json", "umoci.json"] {
        assert!(!sandbox.path("open/bundle").join(name).exists(), "{name}");
    }
}
