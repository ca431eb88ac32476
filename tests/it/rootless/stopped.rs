// SPDX-License-Identifier: Apache-2.0
//! SIGTERM in the middle of one long step: within a file, and while a lock is waited for.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::interrupt::wait_until;
use crate::harness::Sandbox;

/// How long a command may go on that has been told to stop. What it is at would take far longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Sends SIGTERM to a command when its work has come to a point, and gives its exit status.
fn stopped(sandbox: &Sandbox, words: &[&str], come: impl FnOnce(&mut Child)) -> Option<i32> {
    let words = [&["--verbose"], words].concat();
    let mut child = sandbox.command(&words).stderr(Stdio::piped()).spawn().unwrap();
    come(&mut child);
    assert!(child.try_wait().unwrap().is_none(), "{words:?} has ended too soon");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let start = Instant::now();
    let status = child.wait().unwrap();
    assert!(start.elapsed() < LIMIT, "{words:?} goes on");
    status.code()
}

/// Until it has read so much that it can only have been from a large file.
fn reads(child: &mut Child) {
    let counters = format!("/proc/{}/io", child.id());
    wait_until(|| {
        let text = std::fs::read_to_string(&counters).unwrap_or_default();
        let read = text.lines().find_map(|line| line.strip_prefix("rchar: "));
        read.is_some_and(|bytes| bytes.parse::<u64>().unwrap() > 64 << 20)
    });
}

/// Until it says that it waits.
fn waits(child: &mut Child) {
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.any(|line| line.contains("waiting for ")), "it does not wait");
    // What else it says has somewhere to go.
    std::thread::spawn(move || lines.count());
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
        assert_eq!(stopped(&sandbox, &words, reads), Some(143), "{compress}");
        assert_eq!(sandbox.tree("img"), before, "{compress}");
    }
}

/// Nobody reads the pipe that the configuration goes to.
#[test]
fn a_pipe_is_waited_for_no_longer() {
    let sandbox = Sandbox::with_image();
    assert!(sandbox.program("mkfifo", &["pipe"]).status().unwrap().success());
    let words = ["raw", "runtime-config", "--rootless", "--image=img", "pipe"];
    let watches = |child: &mut Child| {
        let threads = format!("/proc/{}/task", child.id());
        wait_until(|| std::fs::read_dir(&threads).is_ok_and(|threads| threads.count() > 1));
    };
    assert_eq!(stopped(&sandbox, &words, watches), Some(143));
    let child = sandbox.command(&words).spawn().unwrap();
    let config = std::fs::read(sandbox.path("pipe")).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert!(config.starts_with(b"{") && config.ends_with(b"}\n"), "{} bytes", config.len());
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
        assert_eq!(stopped(&sandbox, &words, waits), Some(143), "{lock}");
        drop(held);
        assert_eq!(sandbox.json("img/index.json"), before, "{lock}");
    }
}
