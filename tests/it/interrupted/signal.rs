// SPDX-License-Identifier: Apache-2.0
//! SIGTERM at any system call that changes something: a command that ends with the signal's
//! status has changed nothing, one that ends with 0 has done all, and there is no third.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::Signal;

use super::points::{CHANGING, STRACE, points};
use super::scene::{self, Task, copy, tags};
use crate::harness::{Run, Sandbox, is_slow, needs_root, strace};
use crate::traced::Traced;

/// The status of a command that SIGTERM has stopped.
const STOPPED: i32 = 143;
/// Calls before which nothing is changed yet, or after which all is.
const TURNING: [&str; 6] = ["flock", "fsync", "rename", "renameat", "renameat2", "unlinkat"];
/// What is said when there was nothing left to stop.
const TOO_LATE: &str = "umoci: warn: SIGTERM came too late: ";

/// Starts a command with a delay at some calls, as strace has it.
fn delayed(sandbox: &Sandbox, task: &Task, words: &[&str]) -> Option<Traced> {
    let strace = strace()?;
    let program = task.scene.program(sandbox);
    let traced = [&STRACE[..], &["-o", "/dev/null"], words, &[program.to_str().unwrap()]].concat();
    let words = [&traced, task.words].concat();
    Some(Traced::start(&mut task.scene.command(sandbox, &strace, &words)))
}

fn stopped_anywhere(task: &Task) {
    let Some(strace) = strace() else { return };
    if !needs_root() {
        return;
    }
    let scene = task.scene.make();
    let (before, bundle) = (tags(&scene), scene::record_of_bundle(&scene));
    let calls = if is_slow() { CHANGING } else { &TURNING };
    let points = points(&copy(&scene), &strace, task, calls, 2);
    let mut stops = 0;
    for (call, at) in &points {
        let sandbox = copy(&scene);
        let delay = format!("inject={call}:delay_enter=100000:when={at}");
        let filter = format!("trace={call}");
        let mut traced = delayed(&sandbox, task, &["-e", &filter, "-e", &delay]).unwrap();
        if traced.is_held_up() {
            traced.signal(Signal::SIGTERM);
        }
        let run = traced.ends();
        let is_done = run.status() == Some(0);
        eprintln!("{:?} told to stop at {call} {at}: {:?}", task.words, run.status());
        if !is_done {
            stops += 1;
            says_that_it_was_stopped(&run);
            assert_eq!(tags(&sandbox), before);
            assert_eq!(scene::record_of_bundle(&sandbox), bundle);
            task.nothing_half_there(&sandbox);
        }
        task.check(&before, &sandbox, is_done.then_some(&run));
    }
    eprintln!("{:?}: {stops} stops at {} calls", task.words, points.len());
}

/// Before it has begun, the signal ends it at once.
#[track_caller]
fn says_that_it_was_stopped(run: &Run) {
    let status = run.status();
    assert!(matches!(status, None | Some(STOPPED)), "{status:?} {}", run.stderr());
    if status == Some(STOPPED) {
        scene::says_one_error(run);
        assert!(run.stderr().ends_with("interrupted\n"), "{}", run.stderr());
    }
}

/// The change is made when a file has its name: from then on a signal stops nothing.
fn done_once_named(task: &Task, path: &str) {
    if !needs_root() {
        return;
    }
    let sandbox = task.scene.make();
    let before = tags(&sandbox);
    let name = Path::new(path).file_name().unwrap().to_str().unwrap();
    let delay = ["-P", name, "-e", "inject=rename,renameat,renameat2:delay_exit=1000000"];
    let inode = || sandbox.path(path).metadata().map(|file| file.ino()).ok();
    let old = inode();
    let Some(mut traced) = delayed(&sandbox, task, &delay) else { return };
    assert!(traced.reaches(|| inode() != old), "{:?}", task.words);
    traced.signal(Signal::SIGTERM);
    let run = traced.ends();
    run.succeeds();
    assert!(run.stderr().contains(TOO_LATE), "{}", run.stderr());
    task.check(&before, &sandbox, Some(&run));
}

#[test]
fn init() {
    stopped_anywhere(&scene::INIT);
}

#[test]
fn new() {
    stopped_anywhere(&scene::NEW);
    done_once_named(&scene::NEW, "img/index.json");
}

#[test]
fn config() {
    stopped_anywhere(&scene::CONFIG);
    done_once_named(&scene::CONFIG, "img/index.json");
}

#[test]
fn tag() {
    stopped_anywhere(&scene::TAG);
    done_once_named(&scene::TAG, "img/index.json");
}

#[test]
fn remove() {
    stopped_anywhere(&scene::REMOVE);
    done_once_named(&scene::REMOVE, "img/index.json");
}

#[test]
fn insert() {
    stopped_anywhere(&scene::INSERT);
    done_once_named(&scene::INSERT, "img/index.json");
}

#[test]
fn add_layer() {
    stopped_anywhere(&scene::ADD_LAYER);
    done_once_named(&scene::ADD_LAYER, "img/index.json");
}

#[test]
fn gc() {
    stopped_anywhere(&scene::GC);
}

#[test]
fn gc_of_entries() {
    stopped_anywhere(&scene::GC_UNTAGGED);
}

#[test]
fn repack() {
    stopped_anywhere(&scene::REPACK);
    done_once_named(&scene::REPACK, "img/index.json");
}

#[test]
fn repack_and_refresh() {
    stopped_anywhere(&scene::REFRESH);
    done_once_named(&scene::REFRESH, "img/index.json");
}

#[test]
fn refresh_in_place() {
    stopped_anywhere(&scene::REFRESH_IN_PLACE);
    done_once_named(&scene::REFRESH_IN_PLACE, "img/index.json");
}

#[test]
fn unpack() {
    stopped_anywhere(&scene::UNPACK);
    done_once_named(&scene::UNPACK, "fresh/umoci.json");
}

#[test]
fn raw_unpack() {
    stopped_anywhere(&scene::RAW_UNPACK);
}

#[test]
fn index_create() {
    stopped_anywhere(&scene::INDEX_CREATE);
    done_once_named(&scene::INDEX_CREATE, "img/index.json");
}

#[test]
fn index_add() {
    stopped_anywhere(&scene::INDEX_ADD);
    done_once_named(&scene::INDEX_ADD, "img/index.json");
}

#[test]
fn index_remove() {
    stopped_anywhere(&scene::INDEX_REMOVE);
    done_once_named(&scene::INDEX_REMOVE, "img/index.json");
}

#[test]
fn index_annotate() {
    stopped_anywhere(&scene::INDEX_ANNOTATE);
    done_once_named(&scene::INDEX_ANNOTATE, "img/index.json");
}

#[test]
fn convert() {
    stopped_anywhere(&scene::CONVERT);
    done_once_named(&scene::CONVERT, "img/index.json");
}

#[test]
fn rootless_unpack() {
    stopped_anywhere(&scene::ROOTLESS_UNPACK);
    done_once_named(&scene::ROOTLESS_UNPACK, "fresh/umoci.json");
}

#[test]
fn rootless_repack() {
    stopped_anywhere(&scene::ROOTLESS_REPACK);
    done_once_named(&scene::ROOTLESS_REPACK, "img/index.json");
}

#[test]
fn rootless_repack_and_refresh() {
    stopped_anywhere(&scene::ROOTLESS_REFRESH);
    done_once_named(&scene::ROOTLESS_REFRESH, "img/index.json");
}

#[test]
fn rootless_insert() {
    stopped_anywhere(&scene::ROOTLESS_INSERT);
    done_once_named(&scene::ROOTLESS_INSERT, "img/index.json");
}
