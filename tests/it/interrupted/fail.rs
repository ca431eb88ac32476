// SPDX-License-Identifier: Apache-2.0
//! One system call fails.

use super::points::{CHANGING, Fault, READING, inject, points};
use super::scene::{self, Task, copy, says_one_error, tags};
use crate::harness::{is_slow, needs_root, strace};

/// What a device or the system can answer to anything.
const UNIVERSAL: &[&str] = &["EIO", "ENOSPC", "EINTR"];

/// Which error a call can give in life. One of them for each place, in turn.
fn errors(call: &str) -> &'static [&'static str] {
    match call {
        "clone3" => &["EAGAIN"],
        "read" | "getdents64" | "newfstatat" | "statx" | "flock" => &["EIO", "EINTR"],
        "openat" | "openat2" => &["EIO", "EMFILE", "EINTR", "EACCES"],
        "write" | "pwrite64" | "fsync" => &["ENOSPC", "EIO", "EINTR", "EDQUOT"],
        _ => &["ENOSPC", "EIO", "EPERM", "EROFS"],
    }
}

fn fails_anywhere(task: &Task) {
    let Some(strace) = strace() else { return };
    if !needs_root() {
        return;
    }
    let scene = task.scene.make();
    let before = tags(&scene);
    let calls: Vec<&str> = CHANGING.iter().chain(READING).copied().collect();
    let points = points(&copy(&scene), &strace, task, &calls, 4);
    let mut count = 0;
    for (at, point) in points.iter().enumerate() {
        for error in errors_at(&point.0, at) {
            let sandbox = copy(&scene);
            let run = inject(&sandbox, &strace, task, point, Fault::Error(error));
            let status = run.status();
            eprintln!("{:?} {point:?} gave {error}: {status:?} {}", task.words, run.stderr());
            // It may be the writing of the message itself that failed.
            if status != Some(0) && !(point.0 == "write" && run.stderr().is_empty()) {
                says_one_error(&run);
            }
            task.check(&before, &sandbox, Some(&run));
            count += 1;
        }
    }
    eprintln!("{:?}: {count} failures at {} calls", task.words, points.len());
}

/// The errors to try at the call of a number.
fn errors_at(call: &str, number: usize) -> Vec<&'static str> {
    if is_slow() && CHANGING.contains(&call) {
        return UNIVERSAL.to_vec();
    }
    let errors = errors(call);
    vec![errors[number % errors.len()]]
}

#[test]
fn init() {
    fails_anywhere(&scene::INIT);
}

#[test]
fn new() {
    fails_anywhere(&scene::NEW);
}

#[test]
fn tag() {
    fails_anywhere(&scene::TAG);
}

#[test]
fn remove() {
    fails_anywhere(&scene::REMOVE);
}

#[test]
fn insert() {
    fails_anywhere(&scene::INSERT);
}

#[test]
fn add_layer() {
    fails_anywhere(&scene::ADD_LAYER);
}

#[test]
fn config() {
    fails_anywhere(&scene::CONFIG);
}

#[test]
fn gc() {
    fails_anywhere(&scene::GC);
}

#[test]
fn gc_of_entries() {
    fails_anywhere(&scene::GC_UNTAGGED);
}

#[test]
fn repack() {
    fails_anywhere(&scene::REPACK);
}

#[test]
fn repack_and_refresh() {
    fails_anywhere(&scene::REFRESH);
}

#[test]
fn unpack() {
    fails_anywhere(&scene::UNPACK);
}

#[test]
fn refresh_in_place() {
    fails_anywhere(&scene::REFRESH_IN_PLACE);
}

#[test]
fn index_create() {
    fails_anywhere(&scene::INDEX_CREATE);
}

#[test]
fn index_add() {
    fails_anywhere(&scene::INDEX_ADD);
}

#[test]
fn index_remove() {
    fails_anywhere(&scene::INDEX_REMOVE);
}

#[test]
fn index_annotate() {
    fails_anywhere(&scene::INDEX_ANNOTATE);
}

#[test]
fn convert() {
    fails_anywhere(&scene::CONVERT);
}

#[test]
fn rootless_unpack() {
    fails_anywhere(&scene::ROOTLESS_UNPACK);
}

#[test]
fn rootless_repack() {
    fails_anywhere(&scene::ROOTLESS_REPACK);
}

#[test]
fn rootless_repack_and_refresh() {
    fails_anywhere(&scene::ROOTLESS_REFRESH);
}

#[test]
fn rootless_insert() {
    fails_anywhere(&scene::ROOTLESS_INSERT);
}

/// What fails when the change is made already does not look as if nothing had happened.
#[test]
fn what_is_changed_all_the_same_is_told() {
    let Some(strace) = strace() else { return };
    if !needs_root() {
        return;
    }
    let cases = [
        (&scene::CONFIG, "img", "inject=fsync:error=EIO", "the index is written, but may not"),
        (&scene::TAG, "img", "inject=fsync:error=EIO", "the index is written, but may not"),
        (&scene::REFRESH, "umoci.json", "inject=renameat:error=EIO", "the image is made; refresh"),
    ];
    for (task, path, fault, message) in cases {
        let sandbox = task.scene.make();
        let before = tags(&sandbox);
        let place = sandbox.path(path);
        let path = if place.is_dir() { place.to_str().unwrap() } else { path };
        let program = task.scene.program(&sandbox);
        let traced = ["-f", "-qq", "-o", "/dev/null", "-P", path, "-e", fault];
        let words = [&traced[..], &[program.to_str().unwrap()], task.words].concat();
        let run = task.scene.run(&sandbox, &strace, &words);
        run.fails_with(message);
        assert_ne!(tags(&sandbox), before, "{:?}", task.words);
        task.check(&before, &sandbox, Some(&run));
    }
}
