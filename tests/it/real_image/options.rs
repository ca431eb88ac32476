// SPDX-License-Identifier: Apache-2.0
//! Id maps, `--keep-dirlinks` and `SOURCE_DATE_EPOCH` on a real image.

use std::path::Path;

use super::fixture::{Fixture, drop_fractions, shell};
use super::tree::Tree;
use crate::harness::{Run, Sandbox};

/// The first id on the host.
const FIRST: u32 = 100_000;
const MAPS: [&str; 2] = ["--uid-map=0:100000:65536", "--gid-map=0:100000:65536"];

#[test]
fn owners_are_mapped_there_and_back() {
    let Some(fixture) = Fixture::get() else { return };
    let sandbox = fixture.sandbox();
    let words = ["unpack", "--image=img:single", MAPS[0], "bundle", MAPS[1]];
    sandbox.umoci(&words).succeeds_silently();
    let rootfs = sandbox.path("bundle/rootfs");
    let shifted =
        |tree: Tree| tree.map(|node| node.owner = (node.owner.0 + FIRST, node.owner.1 + FIRST));
    shifted(fixture.single.clone()).assert_same(&Tree::of(&rootfs));

    // A file of the host's root has no owner in the image.
    shell(&rootfs, "echo new >new");
    let before = std::fs::read(sandbox.path("img/index.json")).unwrap();
    let repack = ["repack", "--image=img:new", "bundle"];
    sandbox.umoci(&repack).fails_with("cannot be mapped");
    assert_eq!(std::fs::read(sandbox.path("img/index.json")).unwrap(), before);

    shell(&rootfs, "chown 100033:100044 new; chown -h 100005:100006 bin; rm -r usr/share/doc/bash");
    drop_fractions(&rootfs);
    sandbox.umoci(&repack).succeeds_silently();
    sandbox.umoci(&["unpack", "--image=img:new", "unmapped"]).succeeds_silently();
    let unmapped = Tree::of(&sandbox.path("unmapped/rootfs"));
    shifted(unmapped).assert_same(&Tree::of(&rootfs));
}

/// A layer of a program that does not know that `/bin` is a link by now.
#[test]
fn directories_can_go_through_links_that_are_there() {
    let Some(fixture) = Fixture::get() else { return };
    let sandbox = fixture.sandbox();
    let script = "mkdir -p top/bin top/lib/new top/lib64 top/etc
        echo tool >top/bin/tool
        echo file >top/lib/new/file
        touch -d @1500000000 top/bin/tool top/lib/new/file
        touch -d @1500000000 top/lib/new top/bin top/lib top/lib64 top/etc
        tar -C top -cf layer.tar bin lib lib64 etc";
    shell(&sandbox.path(""), script);
    let words = ["raw", "add-layer", "--image", "img:single", "--tag", "new", "layer.tar"];
    sandbox.peer(&fixture.go, &words).succeeds();
    let words = |bundle| ["unpack", "--image", "img:new", "--keep-dirlinks", bundle];
    sandbox.umoci(&words("ours")).succeeds_silently();
    sandbox.peer(&fixture.go, &words("theirs")).succeeds();
    let tree = |bundle: &str| Tree::of(&sandbox.path(bundle).join("rootfs"));
    let (ours, theirs) = (tree("ours"), tree("theirs"));
    let kind = |path: &str| ours.0[Path::new(path)].kind;
    assert_eq!((kind("bin"), kind("usr/bin/tool"), kind("usr/lib/new/file")), ('l', '-', '-'));
    // The times of the members are those of the directories behind the links.
    assert_eq!(ours.0[Path::new("usr/bin")].mtime, (1_500_000_000, 0));
    let paths = ["bin", "lib", "lib64", "usr/bin", "usr/lib", "usr/lib64"];
    let timeless = |mut tree: Tree| {
        for path in paths {
            tree.0.get_mut(Path::new(path)).unwrap().mtime = (0, 0);
        }
        tree
    };
    timeless(theirs).assert_same(&timeless(ours));
}

#[test]
fn equal_trees_give_equal_images_on_any_number_of_processors() {
    let Some(fixture) = Fixture::get() else { return };
    let sandbox = fixture.sandbox();
    sandbox.umoci(&["unpack", "--image=img:single", "bundle"]).succeeds_silently();
    // All of it is new, and much of it newer than the time that it gets.
    shell(&sandbox.path("bundle/rootfs"), "find usr etc -exec touch -h -d 2024-05-06 {} +");
    for compress in ["gzip", "zstd"] {
        let all = repacked(&sandbox, &[], compress, "all");
        let one = repacked(&sandbox, &["taskset", "-c", "0"], compress, "one");
        assert_eq!(all, one, "{compress}");
    }
    sandbox.umoci(&["unpack", "--image=img:all", "clamped"]).succeeds_silently();
    let clamped = Tree::of(&sandbox.path("clamped/rootfs"));
    assert_eq!(clamped.0[Path::new("usr/bin/env")].mtime, (1_600_000_000, 0));
    assert_eq!(clamped.0[Path::new("bin")], fixture.single.0[Path::new("bin")]);
}

/// The digest of the manifest of a new image, made by a command with other words before it.
fn repacked(sandbox: &Sandbox, before: &[&str], compress: &str, tag: &str) -> String {
    let image = format!("--image=img:{tag}");
    let compress = format!("--compress={compress}");
    let program = env!("CARGO_BIN_EXE_umoci");
    let words = [before, &[program, "repack", &image, &compress, "bundle"]].concat();
    let mut command = sandbox.program(words[0], &words[1..]);
    Run::of(command.env("SOURCE_DATE_EPOCH", "1600000000")).succeeds();
    sandbox.manifest("img", tag).0
}
