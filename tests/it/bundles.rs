// SPDX-License-Identifier: Apache-2.0
//! `unpack` and `repack`: the way from an image to a bundle and back, the
//! bundle's files, and that the Go program goes the same way.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use filetime::FileTime;
use serde_json::json;

use crate::harness::{Sandbox, go_umoci, needs_root, peer, set_mode, write};

fn make_fifo(path: &Path) {
    let status = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(status.success());
}

/// The time of everything in the recipe whose digests are known.
const RECIPE_TIME: &str = "1997-03-25T13:40:00+01:00";

/// One line for each file of a tree: what a layer keeps of it.
fn listing(top: &Path) -> String {
    let mut text = String::new();
    for entry in walkdir::WalkDir::new(top).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path();
        let metadata = entry.metadata().unwrap();
        let contents = match metadata.file_type() {
            kind if kind.is_file() => std::fs::read(path).unwrap(),
            kind if kind.is_symlink() => {
                std::fs::read_link(path).unwrap().as_os_str().as_bytes().to_owned()
            }
            _ => Vec::new(),
        };
        writeln!(
            text,
            "{:?} {:o} {}:{} links={} mtime={} rdev={} {:?}",
            path.strip_prefix(top).unwrap(),
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            if metadata.is_dir() { 0 } else { metadata.nlink() },
            metadata.mtime(),
            metadata.rdev(),
            String::from_utf8_lossy(&contents),
        )
        .unwrap();
    }
    text
}

/// Asserts that two trees are the same, or shows the lines of their listings that differ.
#[track_caller]
fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (listing(one), listing(other));
    let only_in = |here: &str, there: &str| {
        let missing = |line: &&str| !there.lines().any(|found| found == *line);
        here.lines().filter(missing).collect::<Vec<_>>().join("\n")
    };
    assert!(one == other, "{}\nbut\n{}", only_in(&one, &other), only_in(&other, &one));
}

fn unpack(sandbox: &Sandbox, image: &str, bundle: &str) -> PathBuf {
    sandbox.umoci(&["unpack", "--image", image, bundle]).succeeds_silently();
    sandbox.path(bundle).join("rootfs")
}

/// Fills a root filesystem with one of everything that needs no special file system.
fn populate(rootfs: &Path) {
    write(rootfs.join("usr/bin/tool"), "#!/bin/sh\n");
    set_mode(rootfs.join("usr/bin/tool"), 0o4755);
    std::fs::hard_link(rootfs.join("usr/bin/tool"), rootfs.join("usr/bin/alias")).unwrap();
    symlink("usr/bin", rootfs.join("bin")).unwrap();
    symlink("/nowhere", rootfs.join("dangling")).unwrap();
    write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    write(rootfs.join("var/data/a b\u{e9}"), "x");
    std::fs::create_dir_all(rootfs.join("tmp")).unwrap();
    set_mode(rootfs.join("tmp"), 0o1777);
    make_fifo(&rootfs.join("var/fifo"));
    std::os::unix::fs::lchown(rootfs.join("var/data"), Some(33), Some(44)).unwrap();
    filetime::set_file_mtime(rootfs.join("etc"), FileTime::from_unix_time(1_000_000_000, 0))
        .unwrap();
}

#[test]
fn what_is_packed_is_unpacked() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let rootfs = unpack(&sandbox, "img", "one");
    populate(&rootfs);
    sandbox.umoci(&["repack", "--image=img:new", "one"]).succeeds_silently();
    assert_same(&unpack(&sandbox, "img:new", "two"), &rootfs);

    // Then everything that a second layer can do to the first.
    std::fs::remove_file(rootfs.join("bin")).unwrap();
    write(rootfs.join("bin/sh"), "now a directory");
    std::fs::remove_dir_all(rootfs.join("var/data")).unwrap();
    symlink("../etc", rootfs.join("var/data")).unwrap();
    std::fs::remove_file(rootfs.join("usr/bin/alias")).unwrap();
    set_mode(rootfs.join("etc/passwd"), 0o600);
    for compress in ["auto", "gzip", "zstd", "none"] {
        let image = format!("--image=img:{compress}");
        let flag = format!("--compress={compress}");
        sandbox.umoci(&["repack", &image, "one", &flag]).succeeds_silently();
        assert_same(&unpack(&sandbox, &format!("img:{compress}"), compress), &rootfs);
    }
}

#[test]
fn a_bundle_has_the_known_files_and_is_never_overwritten() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    std::fs::create_dir(sandbox.path("bundle")).unwrap();
    unpack(&sandbox, "img", "bundle");
    let (digest, _) = sandbox.manifest("img", "latest");
    let mut names: Vec<_> = std::fs::read_dir(sandbox.path("bundle"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let mtree = format!("{}.mtree", digest.replace(':', "_"));
    for name in ["config.json", "rootfs", "umoci.json", mtree.as_str()] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
    let mode = std::fs::metadata(sandbox.path("bundle")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o700);

    let before = sandbox.tree("bundle");
    let again = sandbox.umoci(&["unpack", "--image=img", "bundle"]);
    again.fails_with("config.json already exists");
    assert_eq!(sandbox.tree("bundle"), before);

    write(sandbox.path("other/rootfs/precious"), "x");
    sandbox.umoci(&["unpack", "--image=img", "other"]).fails_with("already exists");
    assert!(sandbox.path("other/rootfs/precious").exists());
}

#[test]
fn a_damaged_layer_leaves_no_bundle() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    write(unpack(&sandbox, "img", "one").join("file"), "contents");
    sandbox.umoci(&["repack", "--image=img", "--compress=none", "one"]).succeeds();
    let (_, manifest) = sandbox.manifest("img", "latest");
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let path = sandbox.path("img/blobs/sha256").join(&layer["sha256:".len()..]);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|window| window == b"contents").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    sandbox.umoci(&["unpack", "--image=img", "two"]).fails_with("mismatch");
    for name in ["rootfs", "config.json", "umoci.json"] {
        assert!(!sandbox.path("two").join(name).exists(), "{name}");
    }
}

#[test]
fn an_unchanged_bundle_adds_no_layer() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    unpack(&sandbox, "img", "bundle");
    let words = ["repack", "--image=img", "--history.created=2020-01-01T00:00:00Z", "bundle"];
    sandbox.umoci(&words).succeeds_silently();
    let (_, manifest) = sandbox.manifest("img", "latest");
    assert_eq!(manifest["layers"], json!([]));
    let entry = json!({
        "created": "2020-01-01T00:00:00Z",
        "created_by": "umoci repack",
        "empty_layer": true,
    });
    assert_eq!(sandbox.config("latest")["history"], json!([entry]));
}

#[test]
fn masks_and_volumes_are_left_out() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    sandbox.umoci(&["config", "--image=img", "--config.volume=/data"]).succeeds();
    let rootfs = unpack(&sandbox, "img", "bundle");
    for name in ["data/volume", "masked/deep/file", "kept/file"] {
        write(rootfs.join(name), "x");
    }
    let has = |bundle: &str, name: &str| sandbox.path(bundle).join("rootfs").join(name).exists();
    sandbox.umoci(&["repack", "--image=img:a", "--mask-path=masked/deep", "bundle"]).succeeds();
    unpack(&sandbox, "img:a", "a");
    assert!(has("a", "kept/file") && has("a", "masked"));
    assert!(!has("a", "data/volume") && !has("a", "masked/deep"));
    sandbox.umoci(&["repack", "bundle", "--no-mask-volumes", "--image=img:b"]).succeeds();
    unpack(&sandbox, "img:b", "b");
    assert!(has("b", "data/volume") && has("b", "masked/deep/file"));
}

#[test]
fn a_refreshed_bundle_is_repacked_from_where_it_is() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let rootfs = unpack(&sandbox, "img", "bundle");
    for count in 1..=2 {
        write(rootfs.join(format!("file{count}")), "x");
        sandbox.umoci(&["repack", "--refresh-bundle", "bundle", "--image=img"]).succeeds_silently();
        let (_, manifest) = sandbox.manifest("img", "latest");
        assert_eq!(manifest["layers"].as_array().unwrap().len(), count);
    }
    // Nothing changed, and nothing is recorded: the manifest stays the same.
    let words = ["repack", "--refresh-bundle", "--no-history", "--image=img", "bundle"];
    sandbox.umoci(&words).succeeds_silently();
    sandbox.umoci(&words).succeeds_silently();
    assert_same(&unpack(&sandbox, "img", "fresh"), &rootfs);
}

/// The known digests of a small image that is built by a fixed recipe.
#[test]
fn the_known_recipe_has_the_known_digests() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    let rootfs = unpack(&sandbox, "img", "bundle");
    for directory in ["usr/bin", "etc", "var/run"] {
        std::fs::create_dir_all(rootfs.join(directory)).unwrap();
    }
    make_fifo(&rootfs.join("var/run/test.fifo"));
    set_mode(rootfs.join("var/run/test.fifo"), 0o644);
    write(rootfs.join("usr/bin/bash"), "#!/usr/bin/true\n");
    set_mode(rootfs.join("usr/bin/bash"), 0o755);
    for link in ["sh", "ash"] {
        let link = rootfs.join("usr/bin").join(link);
        std::fs::hard_link(rootfs.join("usr/bin/bash"), link).unwrap();
    }
    symlink("/usr/bin", rootfs.join("bin")).unwrap();
    symlink("/var/run", rootfs.join("run")).unwrap();
    let time: umoci::oci::Timestamp = RECIPE_TIME.parse().unwrap();
    let time = FileTime::from_unix_time(time.epoch_seconds(), 0);
    for entry in walkdir::WalkDir::new(&rootfs).contents_first(true) {
        filetime::set_symlink_file_times(entry.unwrap().path(), time, time).unwrap();
    }
    set_mode(rootfs.join("var"), 0);
    filetime::set_file_mtime(rootfs.join("var"), time).unwrap();

    let history = format!("--history.created={RECIPE_TIME}");
    sandbox.umoci(&["repack", "--image=img", &history, "bundle"]).succeeds();
    let created = format!("--created={RECIPE_TIME}");
    let words = ["config", "--image=img", "--config.user=1000:100", "--config.cmd=/bin/sh"];
    let more = ["--os=linux", "--architecture=amd64", &created, &history];
    sandbox.umoci(&[&words[..], &more].concat()).succeeds();
    let diff_id = "sha256:b30a031a2b1c4616735cf8dd5d08ddebcbbff91e1d6b9fc740a2fec18af57b27";
    assert_eq!(sandbox.config("latest")["rootfs"]["diff_ids"], json!([diff_id]));
    let (_, manifest) = sandbox.manifest("img", "latest");
    let config = "sha256:f4a39a97d97aa834da7ad2d92940f9636a57e3d9b3cc7c53242451b02a6cea89";
    assert_eq!(manifest["config"]["digest"], json!(config));
}

#[test]
fn the_go_program_and_this_one_take_each_others_bundles() {
    let Some(go) = go_umoci() else { return };
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::with_image();
    populate(&unpack(&sandbox, "img", "base"));
    sandbox.umoci(&["repack", "--image=img", "base"]).succeeds();

    let ours = unpack(&sandbox, "img", "ours");
    sandbox.peer(&go, &["unpack", "--image", "img", "theirs"]).succeeds();
    let theirs = sandbox.path("theirs/rootfs");
    assert_same(&ours, &theirs);

    for rootfs in [&ours, &theirs] {
        // `#lock` comes before the root itself, which is `.` in a layer.
        let new = ["new", "#lock"];
        for name in new {
            write(rootfs.join(name), "x");
        }
        std::fs::remove_dir_all(rootfs.join("var/data")).unwrap();
        for name in new.into_iter().chain(["var", ""]) {
            let time = FileTime::from_unix_time(1_500_000_000, 0);
            filetime::set_file_mtime(rootfs.join(name), time).unwrap();
        }
    }
    let history = "--history.created=2020-01-01T00:00:00Z";
    let words = |image, bundle| ["repack", "--image", image, history, bundle];
    sandbox.peer(&go, &words("img:go-ours", "ours")).succeeds();
    sandbox.peer(&go, &words("img:go-theirs", "theirs")).succeeds();
    sandbox.umoci(&words("img:ours", "ours")).succeeds_silently();
    sandbox.umoci(&words("img:theirs", "theirs")).succeeds_silently();
    let diff_ids = |tag: &str| sandbox.config(tag)["rootfs"]["diff_ids"].clone();
    let expected = diff_ids("go-theirs");
    for tag in ["go-ours", "ours", "theirs"] {
        assert_eq!(diff_ids(tag), expected, "{tag}");
    }
}

/// The steps of an image builder that copies a whole tree into the bundle.
#[test]
fn a_tree_copied_into_an_existing_directory_becomes_an_image() {
    let Some(skopeo) = peer("skopeo") else { return };
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.umoci(&["init", "--layout", "img"]).succeeds_silently();
    sandbox.umoci(&["new", "--image", "img:base"]).succeeds_silently();
    std::fs::create_dir(sandbox.path("dir")).unwrap();
    populate(&unpack(&sandbox, "img:base", "dir"));
    let history = ["--history.comment=c", "--history.created_by=b", "--history.author=a"];
    let words = ["--history.created", "2020-01-01T00:00:00+00:00", "--image", "img:base", "dir"];
    sandbox.umoci(&[&["repack"], &history[..], &words].concat()).succeeds_silently();
    sandbox
        .umoci(&[
            "config",
            "--author=me",
            "--config.user=0",
            "--config.workingdir=/",
            "--clear=config.entrypoint",
            "--config.cmd=/bin/sh",
            "--config.volume=/v",
            "--config.exposedports=80",
            "--config.env=A=B",
            "--config.label=k=v",
            "--no-history",
            "--image",
            "img:base",
            "--tag",
            "new",
            "--created",
            "2020-01-01T00:00:00+00:00",
        ])
        .succeeds_silently();
    sandbox.umoci(&["gc", "--layout", "img"]).succeeds_silently();
    let words = ["copy", "oci:img:new", "docker-archive:archive.tar:name/image:new"];
    sandbox.peer(&skopeo, &words).succeeds();
    assert!(std::fs::metadata(sandbox.path("archive.tar")).unwrap().len() > 0);
    let entry = &sandbox.config("new")["history"][0];
    let expected = json!({
        "created": "2020-01-01T00:00:00Z",
        "created_by": "b",
        "author": "a",
        "comment": "c",
    });
    assert_eq!(entry, &expected);
}
