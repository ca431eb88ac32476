// SPDX-License-Identifier: Apache-2.0
//! One system call fails.

use super::points::{CHANGING, READING, inject, points};
use super::scene::{self, Task, copy, says_one_error, tags};
use crate::harness::{needs_root, strace};

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
    let scene = scene::scene();
    let before = tags(&scene);
    let calls: Vec<&str> = CHANGING.iter().chain(READING).copied().collect();
    let points = points(&copy(&scene), &strace, task.words, &calls, 4);
    for (at, point) in points.iter().enumerate() {
        let errors = errors(&point.0);
        let error = errors[at % errors.len()];
        let sandbox = copy(&scene);
        let run = inject(&sandbox, &strace, task.words, point, &format!("error={error}"));
        eprintln!("{:?} {point:?} gave {error}: {:?} {}", task.words, run.status(), run.stderr());
        // It may be the writing of the message itself that failed.
        if run.status() != Some(0) && !(point.0 == "write" && run.stderr().is_empty()) {
            says_one_error(&run);
        }
        task.check(&before, &sandbox, Some(&run));
    }
}

#[test]
fn init() {
    fails_anywhere(&scene::INIT);
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
