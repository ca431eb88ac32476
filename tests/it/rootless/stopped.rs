// SPDX-License-Identifier: Apache-2.0
//! SIGTERM in the middle of one long step: within a file, and while a lock is waited for.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::Sandbox;

/// Sends SIGTERM to a command at work, and gives its exit status.
fn stopped(sandbox: &Sandbox, words: &[&str]) -> Option<i32> {
    let mut child = sandbox.command(words).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "{words:?} has not begun to be long");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let start = Instant::now();
    let status = child.wait().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "{words:?} goes on");
    status.code()
}

/// A file without blocks that takes long to read.
fn large(path: impl AsRef<std::path::Path>) {
    File::create(path).unwrap().set_len(1 << 40).unwrap();
}

#[test]
fn a_long_file_is_left_off() {
    let sandbox = Sandbox::with_image();
    large(sandbox.path("large"));
    let before = sandbox.tree("img");
    for compress in ["--compress=gzip", "--compress=zstd", "--compress=none"] {
        let words = ["insert", compress, "--image=img", "large", "/large"];
        assert_eq!(stopped(&sandbox, &words), Some(143), "{compress}");
        assert_eq!(sandbox.tree("img"), before, "{compress}");
    }
}

#[test]
fn a_lock_is_waited_for_no_longer() {
    let sandbox = Sandbox::with_image();
    let before = sandbox.json("img/index.json");
    std::fs::write(sandbox.path("small"), "x").unwrap();
    for lock in ["img", "img/oci-layout"] {
        let held = File::open(sandbox.path(lock)).unwrap();
        held.lock().unwrap();
        let words = ["insert", "--image=img", "small", "/small"];
        assert_eq!(stopped(&sandbox, &words), Some(143), "{lock}");
        drop(held);
        assert_eq!(sandbox.json("img/index.json"), before, "{lock}");
    }
}
