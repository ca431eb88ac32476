// SPDX-License-Identifier: Apache-2.0
//! Whiteouts, opaque and plain, in every order and place.

use tar::{EntryType, Header};

use super::{Layer, refused, unpacked};
use crate::harness::needs_root;

fn lower() -> Layer {
    Layer::new().dir("d/").file("d/old", "").file("d/both", "old").dir("d/s/").file("d/s/x", "")
}

#[test]
fn case_27_whiteouts_after_new_entries_of_the_same_layer() {
    if !needs_root() {
        return;
    }
    let opaque = |layer: Layer| layer.file("d/.wh..wh..opq", "");
    let new = |layer: Layer| layer.file("d/new", "").file("d/both", "new");
    for upper in [opaque(new(Layer::new())), new(opaque(Layer::new()))] {
        let tree = unpacked([lower(), upper]);
        assert!(tree.has("d/new") && !tree.has("d/old") && !tree.has("d/s"));
        assert_eq!(tree.read("d/both"), "new");
    }
    let whiteout = |layer: Layer| layer.file("d/.wh.both", "");
    for upper in [whiteout(new(Layer::new())), new(whiteout(Layer::new()))] {
        assert_eq!(unpacked([lower(), upper]).read("d/both"), "new");
    }
}

#[test]
fn case_57_a_whiteout_of_nothing() {
    if !needs_root() {
        return;
    }
    for name in [".wh.", "d/.wh.", ".wh..", ".wh...", "d/.wh..", "d/.wh..."] {
        refused([lower(), Layer::new().file(name, "")], "invalid whiteout");
    }
}

#[test]
fn case_64_a_whiteout_that_is_a_hard_link() {
    if !needs_root() {
        return;
    }
    let tree = unpacked([
        Layer::new().dir("tmp/").file("tmp/K", "").file("tmp/repo", "x"),
        Layer::new().hard_link("tmp/.wh.K", "tmp/CERN.repo").symlink("tmp/.wh.repo", "/nowhere"),
    ]);
    assert!(tree.has("tmp") && !tree.has("tmp/K") && !tree.has("tmp/repo"));
}

#[test]
fn case_68_an_opaque_directory_over_a_link() {
    if !needs_root() {
        return;
    }
    let marker = |layer: Layer| layer.file("link/.wh..wh..opq", "");
    for upper in [
        marker(Layer::new().dir("link/")).file("link/new", ""),
        marker(Layer::new()).dir("link/").file("link/new", ""),
    ] {
        let below = Layer::new().dir("target/").file("target/keep", "").symlink("link", "/target");
        let tree = unpacked([below, upper]);
        assert!(tree.has("target/keep") && tree.has("link/new") && !tree.has("target/new"));
        assert!(tree.stat("link").is_dir());
    }
}

#[test]
fn case_69_an_opaque_marker_spares_its_directory_and_siblings() {
    if !needs_root() {
        return;
    }
    let tree = unpacked([lower(), Layer::new().file("d/.wh..wh..opq", "")]);
    assert_eq!(std::fs::read_dir(tree.path("d")).unwrap().count(), 0);
    // Only the exact name is one.
    let odd = Layer::new().file("d/.wh..wh..opq2", "").file("d/.wh.opq", "");
    assert!(unpacked([lower(), odd]).has("d/old"));
}

#[test]
fn case_70_and_85_no_mark_is_left_behind() {
    if !needs_root() {
        return;
    }
    // `unpacked` looks for them.
    let marks = Layer::new().file("d/.wh.old", "").file(".wh..wh.aufs", "").file("d/.wh.s", "");
    let marks = marks.member("d/.wh.both", EntryType::Char, "", |header: &mut Header| {
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
    });
    let tree = unpacked([lower(), marks]);
    assert_eq!(std::fs::read_dir(tree.path("d")).unwrap().count(), 0);
}

#[test]
fn case_81_whiteouts_of_what_is_not_there() {
    if !needs_root() {
        return;
    }
    let upper = Layer::new().file(".wh.no", "").file("no/.wh.x", "").file("d/old/.wh.x", "");
    let tree = unpacked([lower(), upper.file("new", "")]);
    assert!(tree.has("new") && tree.has("d/old") && !tree.has("no"));
}
