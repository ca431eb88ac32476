// SPDX-License-Identifier: Apache-2.0
//! Killed at any system call that changes something.

use std::os::unix::fs::MetadataExt;

use super::points::{CHANGING, Fault, inject, points};
use super::scene::{self, Task, copy, tags};
use crate::harness::{needs_root, strace};

fn killed_anywhere(task: &Task) {
    let Some(strace) = strace() else { return };
    if !needs_root() {
        return;
    }
    let scene = task.scene.make();
    let before = tags(&scene);
    let points = points(&copy(&scene), &strace, task, CHANGING, 10);
    assert!(points.len() > 5, "{points:?}");
    let mut kills: usize = 0;
    for point in &points {
        let sandbox = copy(&scene);
        let run = inject(&sandbox, &strace, task, point, Fault::Kill);
        let is_killed = run.status().is_none();
        eprintln!("{:?} killed at {point:?}: {is_killed}", task.words);
        task.check(&before, &sandbox, (!is_killed).then_some(&run));
        kills += usize::from(is_killed);
    }
    eprintln!("{:?}: {kills} kills at {} calls", task.words, points.len());
    // Now and then another thread makes a call that was counted for one.
    assert!(kills * 10 >= points.len() * 9, "{kills} kills at {} calls", points.len());
}

#[test]
fn init() {
    killed_anywhere(&scene::INIT);
}

#[test]
fn new() {
    killed_anywhere(&scene::NEW);
}

#[test]
fn config() {
    killed_anywhere(&scene::CONFIG);
}

#[test]
fn tag() {
    killed_anywhere(&scene::TAG);
}

#[test]
fn remove() {
    killed_anywhere(&scene::REMOVE);
}

#[test]
fn insert() {
    killed_anywhere(&scene::INSERT);
}

#[test]
fn add_layer() {
    killed_anywhere(&scene::ADD_LAYER);
}

#[test]
fn gc() {
    killed_anywhere(&scene::GC);
}

#[test]
fn gc_of_entries() {
    killed_anywhere(&scene::GC_UNTAGGED);
}

#[test]
fn repack() {
    killed_anywhere(&scene::REPACK);
}

#[test]
fn repack_and_refresh() {
    killed_anywhere(&scene::REFRESH);
}

#[test]
fn refresh_in_place() {
    killed_anywhere(&scene::REFRESH_IN_PLACE);
}

#[test]
fn unpack() {
    killed_anywhere(&scene::UNPACK);
}

#[test]
fn index_create() {
    killed_anywhere(&scene::INDEX_CREATE);
}

#[test]
fn index_add() {
    killed_anywhere(&scene::INDEX_ADD);
}

#[test]
fn index_remove() {
    killed_anywhere(&scene::INDEX_REMOVE);
}

#[test]
fn index_annotate() {
    killed_anywhere(&scene::INDEX_ANNOTATE);
}

#[test]
fn convert() {
    killed_anywhere(&scene::CONVERT);
}

#[test]
fn rootless_unpack() {
    killed_anywhere(&scene::ROOTLESS_UNPACK);
}

#[test]
fn rootless_repack() {
    killed_anywhere(&scene::ROOTLESS_REPACK);
}

#[test]
fn rootless_repack_and_refresh() {
    killed_anywhere(&scene::ROOTLESS_REFRESH);
}

#[test]
fn rootless_insert() {
    killed_anywhere(&scene::ROOTLESS_INSERT);
}

/// An unpack that was killed at its very end, when the bundle was complete. Later its
/// `umoci.json` is another file, since the bundle was refreshed.
#[test]
fn what_an_unpack_left_in_a_complete_bundle_does_not_endanger_it() {
    if !needs_root() {
        return;
    }
    let sandbox = scene::scene();
    let private = sandbox.path("bundle/.umoci-unpack-0123456789abcdef");
    std::fs::create_dir(&private).unwrap();
    let rootfs = std::fs::metadata(sandbox.path("bundle/rootfs")).unwrap();
    let record = format!("{} {} rootfs\n", rootfs.dev(), rootfs.ino());
    std::fs::write(private.join("moved"), record).unwrap();
    let unpack = ["unpack", "--image=img:two", "bundle"];
    sandbox.umoci(&unpack).fails_with("already exists");
    assert!(!private.exists());
    assert!(sandbox.path("bundle/rootfs/etc/passwd").exists());
    sandbox.umoci(&["repack", "--image=img:two", "bundle"]).succeeds_silently();
}
