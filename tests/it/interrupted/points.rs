// SPDX-License-Identifier: Apache-2.0
//! Where a command can be interrupted: the system calls that it makes, counted
//! by strace. Each call by itself, so that `(name, n)` is the `n`th of its name
//! in one of the program's threads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::harness::{Run, Sandbox};

/// System calls that change files.
pub(super) const CHANGING: &[&str] = &[
    "openat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "utimensat",
    "ftruncate",
    "flock",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "symlinkat",
    "linkat",
    "mknodat",
];

/// System calls that only read.
pub(super) const READING: &[&str] =
    &["openat", "openat2", "read", "getdents64", "newfstatat", "statx", "clone3"];

/// The calls that a command makes of those named `calls`, once its own code runs.
pub(super) fn points(
    sandbox: &Sandbox,
    strace: &Path,
    words: &[&str],
    calls: &[&str],
) -> BTreeSet<(String, u32)> {
    let log = sandbox.path("trace");
    let filter = format!("trace=poll,{}", calls.join(","));
    let log_name = log.to_str().unwrap();
    let traced = ["-f", "-qq", "-o", log_name, "-e", &filter, env!("CARGO_BIN_EXE_umoci")];
    sandbox.peer(strace, &[&traced[..], words].concat()).succeeds();
    let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    std::fs::remove_file(&log).unwrap();
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut points = BTreeSet::new();
    // The language's runtime polls the standard streams before `main`.
    let mut is_own_code = false;
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else { continue };
        let Some((name, arguments)) = rest.trim_start().split_once('(') else { continue };
        let count = counts.entry((thread, name)).or_default();
        *count += 1;
        is_own_code |= name == "poll";
        if is_own_code && calls.contains(&name) && !arguments.contains("\"/proc/") {
            points.insert((name.to_owned(), *count));
        }
    }
    points
}

/// Whether an `openat` of a trace may make a file is not known by its number, so all are
/// points. Those are many: past the first few, every third.
pub(super) fn sample(points: BTreeSet<(String, u32)>, most: u32) -> Vec<(String, u32)> {
    let taken = |(_, n): &(String, u32)| *n <= most || n % 3 == 0;
    points.into_iter().filter(taken).collect()
}

/// Runs a command with a fault injected into one of its system calls.
pub(super) fn inject(
    sandbox: &Sandbox,
    strace: &Path,
    words: &[&str],
    (call, at): &(String, u32),
    fault: &str,
) -> Run {
    let fault = format!("inject={call}:{fault}:when={at}");
    let traced = ["-f", "-qq", "-o", "/dev/null", "-e", &fault, env!("CARGO_BIN_EXE_umoci")];
    sandbox.peer(strace, &[&traced[..], words].concat())
}
