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
        match words[0] {
            "new" => assert_eq!(hint, "`umoci init --layout img` makes a new layout."),
            _ => assert_eq!(hint, "There is no image layout in \"img\".", "{words:?}"),
        }
        assert_eq!(sandbox.tree("").len(), 1, "{words:?} made something");
    }
}

#[test]
fn names_in_the_form_of_other_tools() {
    let sandbox = Sandbox::with_image();
    for (image, words) in [
        ("docker://alpine", "without \"docker:\" in front; `skopeo copy`"),
        ("docker://alpine:3.20", "without \"docker:\" in front; `skopeo copy`"),
        ("containers-storage:alpine", "without \"containers-storage:\" in front"),
        ("oci:img:latest", "takes PATH[:TAG], without \"oci:\" in front."),
        ("oci:./img", "takes PATH[:TAG], without \"oci:\" in front."),
    ] {
        for command in ["stat", "new"] {
            let run = sandbox.umoci(&[command, "--image", image]);
            run.fails();
            assert!(run.hint().unwrap().contains(words), "{image}: {:?}", run.hint());
        }
    }
    // What has that name is meant by it.
    std::fs::rename(sandbox.path("img"), sandbox.path("oci")).unwrap();
    sandbox.umoci(&["stat", "--image=oci:latest"]).succeeds();
    let hint = sandbox.umoci(&["stat", "--image=oci:a..b"]).hint();
    assert_eq!(hint, None);
}

#[test]
fn a_digest_that_is_none() {
    let sandbox = Sandbox::with_image();
    for image in ["img@sha256:abc", "img@sha512:ABC"] {
        sandbox
            .umoci(&["stat", "--image", image])
            .fails_with("invalid --image: invalid digest: \"sha");
    }
    // A directory may be called that.
    std::fs::rename(sandbox.path("img"), sandbox.path("img@sha256")).unwrap();
    sandbox.umoci(&["stat", "--image=img@sha256:latest"]).succeeds();
}

#[test]
fn an_image_or_layout_without_its_flag() {
    let sandbox = Sandbox::with_image();
    let image = |word: &str| Some(format!("An image is named by a flag: --image {word}"));
    let layout = |word: &str| Some(format!("A layout is named by a flag: --layout {word}"));
    for (words, hint) in [
        (&["stat", "img:latest"][..], image("img:latest")),
        (&["stat", "img"], image("img")),
        (&["unpack", "no:latest", "bundle"], image("no:latest")),
        (&["unpack", "bundle"], None),
        (&["tag", "new"], None),
        (&["validate", "img:latest"], image("img:latest")),
        (&["ls", "img"], layout("img")),
        (&["init", "new one"], layout("'new one'")),
        (&["init"], None),
    ] {
        let run = sandbox.umoci(words);
        run.fails_with("missing mandatory argument: --");
        assert_eq!(run.hint(), hint, "{words:?}");
    }
    let run = sandbox.umoci(&["stat", "--image=img", "x:y"]);
    run.fails_with("expected none");
    assert_eq!(run.hint(), None);
}

#[test]
fn a_bundle_whose_image_is_gone() {
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["unpack", "--rootless", "--image=img", "bundle"]).succeeds();
    sandbox.umoci(&["config", "--image=img", "--author=somebody"]).succeeds();
    sandbox.umoci(&["gc", "--layout=img"]).succeeds();
    let run = sandbox.umoci(&["repack", "--image=img:new", "bundle"]);
    run.fails_with("read the image of the bundle: ");
    assert!(run.hint().unwrap().contains("`umoci gc` deletes what no tag leads to"));
    assert_eq!(sandbox.umoci(&["ls", "--layout=img"]).succeeds(), "latest\n");
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
    run.fails_with("set up rootfs: set owner 0:0 and mode of \"/\": operation not permitted");
    assert!(run.hint().unwrap().contains("--rootless"));
    for name in ["rootfs", "config.json", "umoci.json"] {
        assert!(!sandbox.path("open/bundle").join(name).exists(), "{name}");
    }
}
